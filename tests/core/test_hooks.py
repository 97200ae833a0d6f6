"""Hooks against torch's own schedulers, averages worked out by hand, and uninterrupted runs."""

import functools
import math

import pytest
import torch
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

import genlib as gl
from tests.core.toys import TrainedGaussian, TugOfWar

SGD = functools.partial(torch.optim.SGD, lr=0.1)
COSINE = functools.partial(CosineAnnealingLR, T_max=100)


@pytest.fixture
def x():
    return torch.randn(300, 2, generator=torch.Generator().manual_seed(0)) + 1


class Rates(gl.Hook):
    """Notes the rate of every step."""

    def __init__(self):
        self.seen = []

    def before_step(self, run):
        self.seen.append(run.optimizers[run.mover].param_groups[0]["lr"])


class Weights(gl.Hook):
    """Notes the weights after every step, and those by which the model is judged."""

    def __init__(self):
        self.steps, self.judged = [], []

    def after_step(self, run):
        self.steps.append(run.model.loc.detach().clone())

    def after_epoch(self, run):
        self.judged.append(run.model.loc.detach().clone())


def everything():
    return [gl.Schedule(COSINE), gl.WeightAverage(0.9), gl.Watch(lambda m: {"norm": m.loc.norm()})]


class TestSchedule:
    @pytest.mark.parametrize(
        "make",
        [
            COSINE,
            functools.partial(StepLR, step_size=2, gamma=0.5),
            functools.partial(OneCycleLR, max_lr=0.3, total_steps=50),
            functools.partial(LambdaLR, lr_lambda=lambda step: 0.9**step),
            lambda o: SequentialLR(o, [StepLR(o, 1), COSINE(o)], milestones=[2]),
        ],
    )
    def test_rates_are_torch_s_own_and_can_be_resumed(self, x, tmp_path, make):
        rates = Rates()
        model = TrainedGaussian(2)
        settings = {"batch_size": 100, "optimizer": SGD, "checkpoint": tmp_path / "c"}
        model.fit(x, epochs=2, hooks=[gl.Schedule(make), rates], **settings)
        model.fit(x, epochs=4, hooks=[gl.Schedule(make), rates], resume=True, **settings)
        optimizer = SGD([torch.nn.Parameter(torch.zeros(1))])
        scheduler, expected = make(optimizer), []
        for _ in range(12):
            expected.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        assert rates.seen == pytest.approx(expected)

    def test_each_player_has_a_schedule_of_its_own(self):
        rates = Rates()
        halve = functools.partial(StepLR, step_size=1, gamma=0.5)
        TugOfWar(2).fit(
            torch.ones(8, 1),
            epochs=1,
            batch_size=4,
            optimizer=SGD,
            hooks=[rates, gl.Schedule(halve)],
        )
        assert rates.seen == [0.1, 0.05, 0.1]  # two steps of the critic, one of the actor

    def test_a_plateau_is_watched_by_epoch(self, x):
        make = functools.partial(
            ReduceLROnPlateau, factor=0.1, patience=0, threshold_mode="abs", threshold=10
        )
        rates = Rates()
        TrainedGaussian(2).fit(
            x,
            valid=x,
            epochs=3,
            batch_size=300,
            optimizer=SGD,
            hooks=[rates, gl.Schedule(make, per="epoch")],
        )
        assert rates.seen == pytest.approx([0.1, 0.1, 0.01])

    def test_a_plateau_by_step_or_without_validation_is_refused(self, x):
        with pytest.raises(ValueError, match='per: expected "epoch" for ReduceLROnPlateau'):
            TrainedGaussian(2).fit(x, valid=x, hooks=[gl.Schedule(ReduceLROnPlateau)])
        with pytest.raises(ValueError, match="watches the validation loss; pass valid="):
            TrainedGaussian(2).fit(x, hooks=[gl.Schedule(ReduceLROnPlateau, per="epoch")])

    @pytest.mark.parametrize("rate", [-1.0, math.nan, math.inf])
    def test_a_rate_that_makes_no_sense_is_refused(self, x, rate):
        make = functools.partial(LambdaLR, lr_lambda=lambda step: rate if step == 2 else 1.0)
        with pytest.raises(ValueError, match=r"lr: expected rates .* after step 2"):
            TrainedGaussian(2).fit(x, batch_size=100, hooks=[gl.Schedule(make)])

    def test_what_is_no_scheduler_is_refused(self, x):
        with pytest.raises(TypeError, match=r"make: expected a torch.optim.lr_scheduler.*got int"):
            TrainedGaussian(2).fit(x, hooks=[gl.Schedule(lambda optimizer: 3)])
        with pytest.raises(TypeError, match="make: expected a function of an optimiser, got 'cos'"):
            gl.Schedule("cos")
        with pytest.raises(ValueError, match="per: expected one of 'step', 'epoch', got 'batch'"):
            gl.Schedule(COSINE, per="batch")


class TestWeightAverage:
    def test_it_is_the_moving_average_by_hand(self, x):
        weights = Weights()
        model = TrainedGaussian(2)
        model.fit(x, epochs=3, batch_size=100, hooks=[gl.WeightAverage(0.8), weights])
        average, judged = weights.steps[0].double(), []
        for i, step in enumerate(weights.steps):
            average = step.double() if i == 0 else 0.8 * average + 0.2 * step.double()
            if i % 3 == 2:
                judged.append(average)
        torch.testing.assert_close(torch.stack(weights.judged).double(), torch.stack(judged))
        torch.testing.assert_close(model.loc.detach().double(), average)

    def test_training_itself_goes_on_from_the_last_weights(self, x):
        plain, averaged = Weights(), Weights()
        for hooks in ([plain], [gl.WeightAverage(0.8), averaged]):
            gl.seed(0)
            TrainedGaussian(2).fit(x, epochs=3, hooks=hooks)
        assert all(map(torch.equal, plain.steps, averaged.steps))

    @pytest.mark.parametrize("first", [True, False])
    def test_validation_and_early_stopping_judge_the_average_in_any_order(self, x, first):
        hooks = [gl.WeightAverage(0.9), gl.EarlyStopping(3)]
        gl.seed(0)
        model = TrainedGaussian(2)
        history = model.fit(
            x[:20], valid=x[20:], epochs=60, lr=0.1, hooks=hooks if first else hooks[::-1]
        )
        loss = -model.log_prob(x[20:]).mean().item()
        assert loss == pytest.approx(history.best()["valid"], rel=1e-6)

    @pytest.mark.parametrize("decay", [0, 1.0, -0.5, "0.9", math.nan])
    def test_a_decay_lies_between_zero_and_one(self, decay):
        with pytest.raises(ValueError, match="decay: expected a number between 0 and 1"):
            gl.WeightAverage(decay)


class TestEarlyStopping:
    class Scripted(TrainedGaussian):
        """Validation losses as told, whatever the weights."""

        def validation_loss(self, x):
            return torch.tensor(self.losses.pop(0))

    def run(self, x, losses, **settings):
        model, weights = self.Scripted(2), Weights()
        model.losses = list(losses)
        history = model.fit(
            x, valid=x[:10], epochs=len(losses), batch_size=300, hooks=[weights], **settings
        )
        return model, history, weights

    def test_nan_is_never_the_best(self, x):
        model, history, weights = self.run(x, [math.nan, 0.7, 0.5, 0.9, 0.8], patience=2)
        assert len(history) == 5
        assert torch.equal(model.loc, weights.steps[2])

    def test_a_loss_that_is_nan_throughout_is_an_error(self, x):
        with pytest.raises(gl.TrainingDivergedError, match="not finite after any of 2 epochs"):
            self.run(x, [math.nan] * 6, patience=2)

    def test_weights_at_the_beginning_may_count_as_the_best(self, x):
        model = self.Scripted(2)
        model.losses = [0.7, 0.6]
        before = model.loc.detach().clone()
        model.fit(x, valid=x[:10], epochs=2, hooks=[gl.EarlyStopping(better_than=0.5)])
        assert torch.equal(model.loc, before)

    def test_another_column_may_be_watched(self, x):
        errors = [3.0, 1.0, 2.0, 2.0]
        watch = gl.Watch(lambda model: {"errors": errors.pop(0)})
        stopping = gl.EarlyStopping(2, column="errors")
        model, weights = self.Scripted(2), Weights()
        model.losses = [0.4, 0.3, 0.2, 0.1]
        model.fit(x, valid=x[:10], epochs=4, batch_size=300, hooks=[weights, watch, stopping])
        assert torch.equal(model.loc, weights.steps[1]) and stopping.best == 1.0
        assert stopping.identity()["column"] == "errors"
        model.losses = [0.4]
        with pytest.raises(ValueError, match=r"column: expected one of epoch, .* got 'errors'"):
            model.fit(x, valid=x[:10], epochs=1, hooks=[gl.EarlyStopping(2, column="errors")])

    def test_of_equal_losses_the_first_is_the_best(self, x):
        errors, stopping = [1.0, 1.0, 2.0], gl.EarlyStopping(column="errors")
        watch = gl.Watch(lambda model: {"errors": errors.pop(0)})
        TrainedGaussian(2).fit(x, valid=x, epochs=3, hooks=[watch, stopping])
        assert stopping.best_epoch == 1

    def test_a_column_that_is_nan_throughout_is_an_error_by_its_name(self, x):
        watch = gl.Watch(lambda model: {"errors": math.nan})
        hooks = [watch, gl.EarlyStopping(column="errors")]
        with pytest.raises(gl.TrainingDivergedError, match="the column 'errors' was not finite"):
            TrainedGaussian(2).fit(x, valid=x, epochs=2, hooks=hooks)

    @pytest.mark.parametrize("value", [math.nan, -math.inf, True, "x", None])
    def test_better_than_is_a_number_that_something_is_below(self, value):
        with pytest.raises(ValueError, match="better_than: expected a number that a loss can be"):
            gl.EarlyStopping(better_than=value)

    def test_a_pool_made_in_the_first_step_does_not_matter(self, x):
        class Pooled(TrainedGaussian):
            training_buffers = ("pool",)

            def __init__(self):
                super().__init__(2)
                self.register_buffer("pool", None)

            def loss(self, x):
                self.pool = x.detach()
                return super().loss(x)

        model = Pooled()
        before = model.loc.detach().clone()
        model.fit(x, valid=x, epochs=2, hooks=[gl.EarlyStopping(better_than=-1e9)])
        assert torch.equal(model.loc, before)


class TestOrder:
    def test_two_hooks_that_swap_weights_leave_training_alone(self, x):
        plain, averaged = Weights(), Weights()
        for hooks in ([plain], [gl.WeightAverage(0.9), gl.WeightAverage(0.99), averaged]):
            gl.seed(0)
            TrainedGaussian(2).fit(x, epochs=3, hooks=hooks)
        assert all(map(torch.equal, plain.steps, averaged.steps))

    @pytest.mark.parametrize("valid", [True, False])
    def test_a_model_is_judged_in_evaluation_mode(self, x, valid):
        modes = []

        class Mode(gl.Hook):
            def before_evaluation(self, run):
                modes.append(run.model.training)

            def end(self, run):
                modes.append(run.model.training)

        watch = gl.Watch(lambda model: {"mode": model.training})
        settings = {"valid": x} if valid else {}
        history = TrainedGaussian(2).fit(x, epochs=2, hooks=[Mode(), watch], **settings)
        assert modes == [False] * 4 and history["mode"] == [0.0, 0.0]

    def test_a_hook_that_fails_leaves_the_trained_weights(self, x):
        trained = Weights()

        def fail(model):
            raise RuntimeError("no figures")

        model = TrainedGaussian(2)
        with pytest.raises(RuntimeError, match="no figures"):
            model.fit(x, epochs=1, hooks=[gl.WeightAverage(0.9), trained, gl.Watch(fail)])
        assert torch.equal(model.loc, trained.steps[-1])


class TestWatch:
    def test_columns_are_added_and_resumed(self, x, tmp_path):
        watch = gl.Watch(lambda model: {"norm": model.loc.norm()})
        model = TrainedGaussian(2)
        history = model.fit(x, epochs=2, hooks=[watch], checkpoint=tmp_path / "c")
        assert history.last["norm"] == pytest.approx(model.loc.norm().item())
        history = model.fit(x, epochs=3, hooks=[watch], checkpoint=tmp_path / "c", resume=True)
        assert len(history["norm"]) == 3

    @pytest.mark.parametrize(
        ("function", "error", "words"),
        [
            (lambda model: 3, TypeError, "a mapping of names to numbers, got int"),
            (lambda model: {"loss": 3}, ValueError, "has a column 'loss' already"),
        ],
    )
    def test_what_is_no_column_is_refused(self, x, function, error, words):
        with pytest.raises(error, match=words):
            TrainedGaussian(2).fit(x, epochs=1, hooks=[gl.Watch(function)])
        with pytest.raises(TypeError, match="function: expected a function of the model"):
            gl.Watch(3)


class TestAll:
    @pytest.mark.parametrize("kind", [TrainedGaussian, TugOfWar])
    def test_together_they_resume_bit_for_bit(self, tmp_path, kind):
        x = torch.randn(300, 2 if kind is TrainedGaussian else 1)
        watch = gl.Watch(lambda model: {"size": sum(p.square().sum() for p in model.parameters())})

        def run(path, *pieces):
            for epochs in pieces:
                gl.seed(5 if epochs == pieces[0] else 99)
                model = kind(*[2] * (kind is TrainedGaussian))
                hooks = [gl.Schedule(COSINE), gl.WeightAverage(0.9), watch]
                valid = {"valid": x[:50], "patience": 4} if kind is TrainedGaussian else {}
                history = model.fit(
                    x, epochs=epochs, lr=0.1, checkpoint=path, resume=True, hooks=hooks, **valid
                )
            rows = [{k: v for k, v in row.items() if k != "seconds"} for row in history]
            return model.state_dict(), rows

        (whole, history), (pieces, others) = run(tmp_path / "a", 9), run(tmp_path / "b", 2, 3, 9)
        assert all(torch.equal(whole[name], pieces[name]) for name in whole)
        assert history == others

    @pytest.mark.parametrize(
        ("hooks", "words"),
        [
            ([], r"hooks = \[\], found"),
            ([gl.WeightAverage(0.99), gl.Schedule(COSINE)], r"hooks\[0\].decay = 0.99, found 0.9;"),
            (
                [gl.WeightAverage(0.9), gl.Schedule(functools.partial(COSINE, T_max=9))],
                r"hooks\[1\].schedulers\[0\].T_max = 9, found 100",
            ),
            ([gl.Schedule(COSINE), gl.WeightAverage(0.9)], r"hooks\[0\] = "),
        ],
    )
    def test_a_checkpoint_of_other_hooks_is_refused(self, x, tmp_path, hooks, words):
        model = TrainedGaussian(2)
        own = [gl.WeightAverage(0.9), gl.Schedule(COSINE)]
        model.fit(x, epochs=1, hooks=own, checkpoint=tmp_path / "c")
        with pytest.raises(gl.WrongCheckpointError, match=words):
            model.fit(x, epochs=2, hooks=hooks, checkpoint=tmp_path / "c", resume=True)

    @pytest.mark.parametrize("hooks", [gl.WeightAverage(), [gl.WeightAverage], [3], "hook", 3])
    def test_what_is_no_list_of_hooks_is_refused(self, x, hooks):
        with pytest.raises(TypeError, match="hooks: expected"):
            TrainedGaussian(2).fit(x, hooks=hooks)
