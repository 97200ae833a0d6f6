"""The training loop reaches closed forms, plays games, stops, and resumes to the same numbers."""

import functools
import io
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch

import genlib as gl
from genlib.core import saving
from tests.core.toys import IsingRing, TrainedGaussian, TugOfWar


@pytest.fixture
def data():
    gl.seed(0)
    mixing = torch.tensor([[1.0, 0.0], [0.8, 0.5]])
    return torch.randn(600, 2) @ mixing.T + torch.tensor([1.0, -2.0])


SGD = functools.partial(torch.optim.SGD, lr=0.1)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def losses(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


class TestReachesTheAnswer:
    def test_gradient_descent_reaches_the_closed_form(self, data):
        model = TrainedGaussian(2)
        history = model.fit(data, epochs=300, batch_size=600, lr=0.05)
        torch.testing.assert_close(model.loc.detach(), data.mean(0), atol=1e-3, rtol=0)
        covariance = model.scale_tril() @ model.scale_tril().T
        torch.testing.assert_close(
            covariance.detach(), torch.cov(data.T, correction=0), atol=1e-2, rtol=0
        )
        assert history["loss"][-1] < history["loss"][0]

    def test_energy_model_reaches_matched_moments(self):
        gl.seed(1)
        x = (torch.rand(400, 5) < 0.5).float()
        x[:, 1] = x[:, 0]
        model = IsingRing(5, 0.0)
        model.fit(x, epochs=200, batch_size=400, lr=0.05)
        model.zero_grad()
        model.loss(x).backward()
        assert (
            model.coupling.grad.abs() < 1e-3
        )  # at the maximum, observed and expected statistics agree

    def test_game_reaches_its_saddle_point(self):
        x = torch.full((64, 1), 3.0)
        model = TugOfWar()
        history = model.fit(
            x, epochs=200, batch_size=16, optimizer=functools.partial(torch.optim.SGD, lr=0.1)
        )
        assert model.u.item() == pytest.approx(1.5, abs=1e-3)
        assert model.v.item() == pytest.approx(1.5, abs=1e-3)
        assert history.names == ["epoch", "seconds", "critic", "actor"]

    @pytest.mark.parametrize(
        ("rows", "critic_moves", "actor_moves"), [(90, 9, 3), (100, 10, 4), (10, 1, 1)]
    )
    def test_an_epoch_passes_over_the_data_once(self, rows, critic_moves, actor_moves):
        """Three critic steps an actor step: the busiest player sees every row once."""
        seen = {"critic": [], "actor": []}

        class Counting(TugOfWar):
            def players(self):
                return [
                    gl.Player(
                        p.name, p.parameters, functools.partial(self.note, p.name, p.loss), p.steps
                    )
                    for p in super().players()
                ]

            def note(self, name, loss, x):
                seen[name].append(x.flatten())
                return loss(x)

        Counting().fit(torch.arange(rows).float()[:, None], epochs=1, batch_size=10)
        assert [len(seen["critic"]), len(seen["actor"])] == [critic_moves, actor_moves]
        assert torch.equal(torch.cat(seen["critic"]).sort().values, torch.arange(rows).float())

    def test_a_player_moves_only_its_own_parameters(self):
        model = TugOfWar()
        still = functools.partial(torch.optim.SGD, lr=0.0)
        players = model.players()
        model.players = lambda: [
            players[0],
            gl.Player("actor", [model.u], model.value, optimizer=still),
        ]
        model.fit(torch.ones(8, 1), epochs=3)
        assert model.u.item() == 2.0 and model.v.item() != -1.0


class TestValidation:
    def test_validation_is_the_mean_over_rows(self, data):
        model = TrainedGaussian(2)
        history = model.fit(data[:500], valid=data[500:], epochs=2, batch_size=64)
        assert history.last["valid"] == pytest.approx(
            -model.log_prob(data[500:]).mean().item(), rel=1e-5
        )

    def test_early_stopping_goes_back_to_the_best_weights(self, data):
        model = TrainedGaussian(2)
        history = model.fit(data[:5], valid=data[5:], epochs=500, batch_size=5, lr=0.1, patience=5)
        best = history.best()
        assert len(history) == best["epoch"] + 5 < 500
        assert -model.log_prob(data[5:]).mean().item() == pytest.approx(best["valid"], rel=1e-5)

    def test_the_loss_is_the_mean_over_rows_too(self):
        class Rowwise(TrainedGaussian):
            def loss(self, x):
                return x.mean() + 0 * self.loc.sum()

        x = torch.arange(10.0)[:, None].expand(10, 2).contiguous()
        history = Rowwise(2).fit(x, valid=x, epochs=1, batch_size=8)
        assert history.last["loss"] == pytest.approx(4.5)
        assert history.last["valid"] == pytest.approx(4.5)

    def test_patience_needs_validation_data(self, data):
        with pytest.raises(ValueError, match="pass valid="):
            TrainedGaussian(2).fit(data, patience=3)

    def test_bad_validation_data_is_refused_at_the_door(self, data):
        with pytest.raises(ValueError, match=r"expected shape \(N, 2\)"):
            TrainedGaussian(2).fit(data, valid=torch.zeros(3, 5))

    @pytest.mark.parametrize(
        ("setting", "error"),
        [
            ({"epochs": 0}, ValueError),
            ({"batch_size": 1.5}, TypeError),
            ({"lr": -1.0}, ValueError),
            ({"lr": "fast"}, TypeError),
            ({"clip_norm": -1.0}, ValueError),
            ({"clip_norm": 0}, ValueError),
            ({"clip_norm": float("nan")}, ValueError),
            ({"progress": "no"}, TypeError),
            ({"precision": torch.float16}, ValueError),
            ({"precision": "bfloat16"}, ValueError),
        ],
    )
    def test_settings_are_checked(self, data, setting, error):
        with pytest.raises(error, match=next(iter(setting))):
            TrainedGaussian(2).fit(data, **setting)


class TestPlayers:
    @pytest.mark.parametrize(
        ("make", "error", "words"),
        [
            (lambda p: [], TypeError, "expected a list of Player, at least one"),
            (lambda p: ["critic"], TypeError, "expected a list of Player, at least one"),
            (lambda p: [gl.Player("a", [p], None)] * 2, ValueError, "names that differ"),
            (lambda p: [gl.Player("a", [], None)], ValueError, "at least one for player 'a'"),
            (lambda p: [gl.Player("a", [p.data], None)], TypeError, "expected torch.nn.Parameter"),
            (lambda p: [gl.Player("a", [p], None, steps=0)], ValueError, "steps: expected"),
            (lambda p: [gl.Player("a", [p], None, steps=2.0)], TypeError, "steps: expected"),
            (lambda p: [gl.Player("valid", [p], None)], ValueError, "name: expected none of epoch"),
            (
                lambda p: [gl.Player("a", [torch.nn.Parameter(p.data)], None)],
                ValueError,
                "expected parameters of the model, got others",
            ),
            (
                lambda p: [gl.Player("a", [p], lambda x: x * p)],
                ValueError,
                "a tensor of one number",
            ),
        ],
    )
    def test_a_game_needs_players_with_something_to_train(self, make, error, words):
        model = TugOfWar()
        model.players = lambda: make(model.u)
        with pytest.raises(error, match=words):
            model.fit(torch.ones(8, 1))

    def test_a_model_without_parameters_says_so(self):
        class Empty(gl.Model):
            event_shape = torch.Size([1])

        with pytest.raises(ValueError, match="at least one for player 'model' to train"):
            Empty().fit(torch.ones(8, 1))

    def test_a_frozen_parameter_is_left_alone(self, data):
        model = TrainedGaussian(2)
        model.log_scale.requires_grad_(False)
        model.fit(data, epochs=1)
        assert not model.log_scale.any() and model.loc.any()
        with pytest.raises(ValueError, match="expected none that is frozen for player 'a'"):
            gl.Player("a", [model.log_scale], model.loss)

    @pytest.mark.parametrize(
        ("make", "error"),
        [
            (lambda parameters: 3, TypeError),
            (torch.optim.LBFGS, TypeError),
            (lambda parameters: SGD([torch.nn.Parameter(torch.zeros(1))]), ValueError),
        ],
    )
    def test_an_optimiser_is_one_and_over_the_player_s_parameters(self, data, make, error):
        with pytest.raises(error, match="optimizer: expected"):
            TrainedGaussian(2).fit(data, optimizer=make)

    def test_a_rate_beside_an_optimiser_is_refused(self, data):
        with pytest.raises(ValueError, match="lr: optimizer= makes an optimiser with a rate"):
            TrainedGaussian(2).fit(data, lr=0.1, optimizer=SGD)


class TestPrecision:
    def test_bfloat16_trains_float32_weights(self, data):
        model = TrainedGaussian(2)
        model.fit(data, epochs=2, precision=torch.bfloat16)
        assert model.loc.dtype == torch.float32 and torch.isfinite(model.loc).all()

    def test_a_float64_model_is_refused(self, data):
        with pytest.raises(ValueError, match=r"precision: expected a model in torch\.float32"):
            TrainedGaussian(2).double().fit(data.double(), precision=torch.bfloat16)


class TestDivergence:
    def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_weights(self, data):
        class Cliff(TrainedGaussian):
            def loss(self, x):
                return super().loss(x) + torch.log(1.0 - 10 * self.loc[0])

        model = Cliff(2)
        with pytest.raises(
            gl.TrainingDivergedError, match=r"loss of player 'model' became .* in epoch 1"
        ):
            model.fit(data, lr=0.1)
        assert all(torch.isfinite(value).all() for value in model.state_dict().values())
        assert not model.training  # dropout and batch norm would answer queries at random

    def test_a_gradient_that_is_not_finite_stops_too(self, data):
        class Kink(TrainedGaussian):
            def loss(self, x):
                return super().loss(x) + torch.sqrt(self.lower[0, 1])  # slope infinite at zero

        model = Kink(2)
        with pytest.raises(gl.TrainingDivergedError, match="gradient norm"):
            model.fit(data)
        assert model.lower[0, 1] == 0

    def test_clipping_bounds_the_step(self, data):
        model = TrainedGaussian(2)
        sgd = functools.partial(torch.optim.SGD, lr=1.0)
        model.fit(1e4 * data[:1], epochs=1, optimizer=sgd, clip_norm=0.1)
        moved = sum((value**2).sum() for value in model.state_dict().values()).sqrt()
        assert moved == pytest.approx(0.1, rel=1e-4)


class Noisy(TrainedGaussian):
    """Training noise drawn from the global generator: resuming must bring that back too."""

    def loss(self, x):
        return super().loss(x + 0.1 * torch.randn_like(x))


class TestCheckpoints:
    @pytest.mark.parametrize("kind", [Noisy, TrainedGaussian])
    def test_resumed_run_is_the_uninterrupted_run_bit_for_bit(self, data, tmp_path, kind):
        def run(path, *pieces):
            gl.seed(5)
            model = kind(2)
            for epochs in pieces:
                history = model.fit(
                    data, valid=data[:50], epochs=epochs, checkpoint=path, resume=True, patience=50
                )
                if epochs != pieces[-1]:
                    gl.seed(999)  # whatever happens between the two sittings must not matter
                    model = kind(2)
            return model, history

        whole, whole_history = run(tmp_path / "a", 7)
        pieces, pieces_history = run(tmp_path / "b", 2, 3, 7)
        assert same(weights(whole), weights(pieces))
        assert losses(whole_history) == losses(pieces_history)

    def test_game_resumes_bit_for_bit(self, tmp_path):
        x = torch.randn(100, 1)

        def run(path, *pieces):
            for epochs in pieces:
                gl.seed(2)
                model = TugOfWar()
                model.fit(x, epochs=epochs, batch_size=7, checkpoint=path, resume=True)
            return model

        assert same(weights(run(tmp_path / "a", 6)), weights(run(tmp_path / "b", 3, 6)))

    def test_training_changes_with_the_seed(self, data):
        results = []
        for n in (0, 1):
            gl.seed(n)
            model = Noisy(2)
            model.fit(data, epochs=1)
            results.append(weights(model))
        assert not same(*results)

    def test_an_existing_checkpoint_is_not_overwritten_by_accident(self, data, tmp_path):
        TrainedGaussian(2).fit(data, epochs=1, checkpoint=tmp_path / "c")
        with pytest.raises(FileExistsError, match="resume=True"):
            TrainedGaussian(2).fit(data, epochs=1, checkpoint=tmp_path / "c")

    @pytest.mark.parametrize(
        ("model", "rows", "settings", "words"),
        [
            (IsingRing(2), None, {}, "model = .*IsingRing, found .*TrainedGaussian"),
            (TrainedGaussian(3), None, {}, "arguments.dim = 3, found 2"),
            (TrainedGaussian(2), 10, {}, "data = "),
            (TrainedGaussian(2), 600, {}, "data = "),
            (TrainedGaussian(2).double(), None, {}, "dtype = torch.float64, found torch.float32"),
            (TrainedGaussian(2), None, {"batch_size": 7}, "batch_size = 7, found 128"),
            (TrainedGaussian(2), None, {"lr": 1e-9}, r"groups\[0\].lr = 1e-09, found 0.001"),
            (
                TrainedGaussian(2),
                None,
                {"optimizer": SGD},
                "SGD, found Adam",
            ),
            (TrainedGaussian(2), None, {"clip_norm": 1.0}, "clip_norm = 1.0, found inf"),
            (TrainedGaussian(2), None, {"valid": torch.zeros(4, 2)}, "valid = .*found none"),
            (TrainedGaussian(2), None, {"precision": torch.bfloat16}, "precision = torch.bfloat16"),
            (TrainedGaussian(2), None, {"hooks": [gl.WeightAverage(0.9)]}, "hooks = .*WeightAver"),
        ],
    )
    def test_a_checkpoint_of_another_run_is_refused(
        self, data, tmp_path, model, rows, settings, words
    ):
        TrainedGaussian(2).fit(data, epochs=1, checkpoint=tmp_path / "c")
        x = data.to(model.dtype) if rows is None else torch.randn(rows, 2)
        if model.event_shape != x.shape[1:] or isinstance(model, IsingRing):
            x = torch.zeros(600, *model.event_shape)
        before = weights(model)
        with pytest.raises(gl.WrongCheckpointError, match=words):
            model.fit(x, epochs=2, checkpoint=tmp_path / "c", resume=True, **settings)
        assert same(before, weights(model))

    def test_a_finished_run_cannot_be_made_shorter(self, data, tmp_path):
        TrainedGaussian(2).fit(data, epochs=3, checkpoint=tmp_path / "c")
        with pytest.raises(ValueError, match="epochs: expected at least the 3"):
            TrainedGaussian(2).fit(data, epochs=2, checkpoint=tmp_path / "c", resume=True)
        before = torch.get_rng_state()
        with pytest.raises(ValueError, match="epochs: expected at least 1"):
            TrainedGaussian(2).fit(data, epochs=0, checkpoint=tmp_path / "c", resume=True)
        assert torch.equal(before, torch.get_rng_state())

    def test_another_number_of_steps_is_another_run(self, tmp_path):
        x = torch.ones(8, 1)
        TugOfWar(3).fit(x, epochs=1, checkpoint=tmp_path / "c")
        model = TugOfWar(3)
        model.inner_steps = 1
        with pytest.raises(gl.WrongCheckpointError, match=r"players\[0\]\[1\] = 1, found 3"):
            model.fit(x, epochs=2, checkpoint=tmp_path / "c", resume=True)

    def test_a_missing_folder_is_noticed_before_training(self, data, tmp_path):
        model = TrainedGaussian(2)
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            model.fit(data, checkpoint=tmp_path / "no" / "c")
        assert not model.loc.any()

    def test_buffers_that_are_to_be_kept_are_persistent(self, data):
        class Typo(TrainedGaussian):
            training_buffers = ("pool",)

        with pytest.raises(ValueError, match="Typo: expected 'pool', which is to be in"):
            Typo(2).fit(data)

    def test_a_saved_model_is_not_a_checkpoint_and_the_reverse(self, data, tmp_path):
        model = TrainedGaussian(2)
        model.save(tmp_path / "model")
        with pytest.raises(gl.WrongCheckpointError, match="another kind of file"):
            model.fit(data, checkpoint=tmp_path / "model", resume=True)
        model.fit(data, epochs=1, checkpoint=tmp_path / "run")
        with pytest.raises(gl.DamagedFileError, match="expected a saved model"):
            gl.load(tmp_path / "run")

    def test_a_damaged_checkpoint_is_refused(self, data, tmp_path):
        path = tmp_path / "c"
        TrainedGaussian(2).fit(data, epochs=1, checkpoint=path)
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(gl.DamagedFileError, match="cannot read it"):
            TrainedGaussian(2).fit(data, epochs=2, checkpoint=path, resume=True)

    def test_a_killed_run_resumes_to_the_same_numbers(self, tmp_path):
        """SIGKILL at some moment of training; what is on disk is a whole checkpoint, and the end is
        the same.
        """
        script = textwrap.dedent("""
            import sys, torch, genlib as gl
            from tests.core.toys import TrainedGaussian
            torch.set_num_threads(1)
            gl.seed(0)
            x = torch.randn(2000, 2)
            model = TrainedGaussian(2)
            path, epochs = sys.argv[1], int(sys.argv[2])
            model.fit(x, epochs=epochs, batch_size=20, checkpoint=path, resume=True)
            model.save(path + ".model")
        """)

        def start(path, epochs):
            return subprocess.Popen([sys.executable, "-c", script, str(path), str(epochs)])

        killed = start(tmp_path / "killed", 60)
        deadline = time.monotonic() + 60
        while not (tmp_path / "killed").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(killed.pid, signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL, "the run ended before it could be killed"
        assert saving.read_tree(tmp_path / "killed")["state"]["history"]
        assert start(tmp_path / "killed", 60).wait() == 0
        assert start(tmp_path / "whole", 60).wait() == 0
        a, b = (gl.load(tmp_path / f"{name}.model") for name in ("killed", "whole"))
        assert same(weights(a), weights(b))
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "killed",
            "killed.model",
            "whole",
            "whole.model",
        ]


class TestProgress:
    def test_quiet_unless_somebody_watches(self, data, capsys, monkeypatch):
        monkeypatch.setenv("GENLIB_PROGRESS", "0")
        TrainedGaussian(2).fit(data, epochs=2)
        assert capsys.readouterr() == ("", "")

    def test_shown_on_request(self, data, monkeypatch):
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        TrainedGaussian(2).fit(data, epochs=2, progress=True)
        assert "TrainedGaussian" in stream.getvalue()


def test_a_budget_multiplies_epochs(monkeypatch):
    monkeypatch.delenv("GENLIB_BUDGET", raising=False)
    assert gl.budget(18) == 18
    monkeypatch.setenv("GENLIB_BUDGET", "3")
    assert gl.budget(18) == 54
    monkeypatch.setenv("GENLIB_BUDGET", "1.5")
    assert gl.budget(3) == 4 and isinstance(gl.budget(3), int)  # 4.5, to the even neighbour
    with pytest.raises(ValueError, match="n: expected at least 1, got 0"):
        gl.budget(0)


@pytest.mark.parametrize("given", ["much", "", "0", "-3", "0.5", "nan", "inf"])
def test_a_budget_is_a_number_of_at_least_one(monkeypatch, given):
    monkeypatch.setenv("GENLIB_BUDGET", given)
    with pytest.raises(ValueError, match=f"GENLIB_BUDGET: expected .* at least 1, got '{given}'"):
        gl.budget(18)
