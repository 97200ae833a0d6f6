"""Translation without pairs against steps on the losses written out, and what a pool holds."""

import functools

import pytest
import torch
from torch import nn
from torch.distributions import constraints
from torch.utils.data import DataLoader

import genlib as gl
from genlib.core.hooks import WeightAverage
from genlib.models.adversarial.costs import COSTS
from genlib.models.adversarial.networks import mlp_discriminator
from tests.models.adversarial.games import stepped

X = torch.randn(12, 2, generator=torch.Generator().manual_seed(1))
Y = torch.randn(7, 2, generator=torch.Generator().manual_seed(2)) + 2


def networks(width=2):
    judges = mlp_discriminator(width, (6,), "tanh"), mlp_discriminator(2, (6,), "tanh")
    return (nn.Linear(2, width), nn.Linear(width, 2), *judges)


def small(width=2, **settings):
    gl.seed(0)
    return gl.CycleGAN(*networks(width), shape=2, **settings)


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.covers("G14")
class TestTheGame:
    @pytest.mark.parametrize(
        ("cost", "settings"),
        [
            ("least-squares", {}),
            ("least-squares", {"cycle": 0.5, "identity": 0.25}),
            ("non-saturating", {"cycle": 0.0}),
        ],
    )
    def test_a_step_of_each_player_is_that_of_the_losses_written_out(self, cost, settings):
        model = small(cost=cost, **settings).double()
        x, y, cost = X.double(), Y.double(), COSTS[cost]
        cycle, identity = settings.get("cycle", 5.0), settings.get("identity", 0.0)

        def error(a, b):
            return sum((r - s).abs().sum() for r, s in zip(a, b, strict=True)) / b.numel()

        def discriminator():
            fake_y, fake_x = model.to_y(x).detach(), model.to_x(y).detach()
            of_y = cost.discriminator(model.discriminator_y(y), model.discriminator_y(fake_y))
            of_x = cost.discriminator(model.discriminator_x(x), model.discriminator_x(fake_x))
            return of_y + of_x

        def generator():
            fake_y, fake_x = model.to_y(x), model.to_x(y)
            loss = cost.generator(model.discriminator_y(fake_y))
            loss = loss + cost.generator(model.discriminator_x(fake_x))
            loss = loss + cycle * (error(model.to_x(fake_y), x) + error(model.to_y(fake_x), y))
            return loss + identity * (error(model.to_y(y), y) + error(model.to_x(x), x))

        stepped(model, (x, y), [discriminator, generator])
        assert [len(p.parameters) for p in model.players()] == [8, 4]

    def test_learns_to_translate_and_back(self):
        """Two Gaussians with means 2.2 apart: over seeds 0 to 5 the means of translations are
        within 0.30 of the other set's, and errors of a cycle at most 0.20.
        """
        gl.seed(0)
        x = torch.randn(300, 2) * torch.tensor([1.0, 0.5])
        y = torch.randn(200, 2) * torch.tensor([1.0, 0.5]) + torch.tensor([2.0, -1.0])
        judges = [mlp_discriminator(2, (32,), "tanh") for _ in range(2)]
        model = gl.CycleGAN(
            nn.Linear(2, 2), nn.Linear(2, 2), *judges, "non-saturating", shape=2, cycle=1.0
        )
        adam = functools.partial(torch.optim.Adam, lr=1e-2, betas=(0.5, 0.999))
        model.fit(x, y, epochs=60, batch_size=50, optimizer=adam, hooks=[WeightAverage(0.98)])
        with torch.no_grad():
            there, back = model.translate(x), model.translate_back(y)
            cycle = (model.translate_back(there) - x).abs().mean()
        assert (there.mean(0) - y.mean(0)).norm() < 0.8 and (back.mean(0) - x.mean(0)).norm() < 0.8
        assert cycle < 0.5

    def test_players_may_bring_their_optimisers_and_steps(self):
        sgd = functools.partial(torch.optim.SGD, lr=0.1)
        model = small(discriminator_steps=2, generator_steps=3, generator_optimizer=sgd)
        assert [(p.name, p.steps, p.optimizer) for p in model.players()] == [
            ("discriminator", 2, None),
            ("generator", 3, sgd),
        ]

    def test_losses_do_not_reach_the_other_player(self):
        model = small()
        judging, drawing = model.players()
        judging.loss(X, Y).backward()
        assert all(p.grad is not None for p in judging.parameters)
        assert all(p.grad is None for p in drawing.parameters)


@pytest.mark.covers("G14")
class TestThePool:
    def test_gathers_the_first_translations_and_shows_them(self):
        model = small(pool=5).train()
        rows = torch.arange(4.0)[:, None].expand(4, 2)
        assert torch.equal(model._shown("pool_y", rows), rows)
        assert torch.equal(model.pool_y, rows) and len(model.pool_x) == 0

    @pytest.mark.parametrize("size", [1, 3])
    def test_exchanges_half_of_the_later_ones(self, size):
        """Rows are numbered. Each is shown or kept, once; of 2000 coins, 5 standard errors."""
        gl.seed(0)
        model = small(pool=size).train()
        shown, exchanged = [], 0
        for start in range(0, 2000, 8):
            rows = torch.arange(start, start + 8.0)[:, None].expand(8, 2)
            found = model._shown("pool_y", rows)
            assert torch.equal(found[:, 0], found[:, 1])
            exchanged += (found != rows)[:, 0].sum().item()
            shown += found[:, 0].tolist()
            assert len(model.pool_y) == size
        seen = sorted({*shown, *model.pool_y[:, 0].tolist()})
        assert seen == list(range(2000))
        # The first rows are kept as well as shown; no other is ever shown twice.
        assert len(shown) - len(set(shown)) <= size
        assert abs(exchanged / 2000 - 0.5) < 5 * 0.5 / 2000**0.5
        assert max(model.pool_y[:, 0]) > 1900  # what is kept is renewed

    def test_a_place_is_chosen_among_all(self):
        """Of 3000 exchanges a third each, at 5 standard errors."""
        gl.seed(0)
        model, counts = small(pool=3).train(), torch.zeros(3)
        model._shown("pool_y", torch.zeros(3, 2))
        for i in range(1, 3001):
            before = model.pool_y.clone()
            model._shown("pool_y", torch.full((1, 2), float(i)))
            counts += (model.pool_y != before)[:, 0]
        assert (counts / counts.sum() - 1 / 3).abs().max() < 5 * (2 / 9 / 1400) ** 0.5

    def test_is_of_training_alone(self):
        model = small(pool=5).eval()
        rows = torch.ones(4, 2)
        assert model._shown("pool_y", rows) is rows and len(model.pool_y) == 0
        without = small(pool=0)
        without.fit(X, Y, epochs=1)
        assert len(without.pool_y) == len(without.pool_x) == 0

    def test_what_a_discriminator_sees_comes_from_it(self):
        model = small(pool=4).train()
        model.discriminator_loss(X[:3], Y[:4])
        torch.testing.assert_close(model.pool_y, model.to_y(X[:3]).detach())
        torch.testing.assert_close(model.pool_x, model.to_x(Y[:4]).detach())

        class Full:
            def __call__(self, name, rows):
                return rows + 1

        model._shown = Full()
        fake = [model.to_y(X).detach() + 1, model.to_x(Y).detach() + 1]
        cost = COSTS["least-squares"]
        expected = cost.discriminator(model.discriminator_y(Y), model.discriminator_y(fake[0]))
        expected = expected + cost.discriminator(
            model.discriminator_x(X), model.discriminator_x(fake[1])
        )
        torch.testing.assert_close(model.discriminator_loss(X, Y), expected)

    def test_a_run_resumes_with_it_bit_for_bit(self, tmp_path):
        def run(path, *pieces):
            for epochs in pieces:
                model = small(pool=9)
                if epochs != pieces[0]:
                    gl.seed(99)  # which the checkpoint's own takes the place of
                model.fit(X, Y, epochs=epochs, batch_size=5, checkpoint=path, resume=True)
            return state(model)

        a = run(tmp_path / "a", 3)
        assert same(a, run(tmp_path / "b", 1, 3)) and len(a["pool_y"]) == 9
        with pytest.raises(gl.WrongCheckpointError):  # by another set
            small(pool=9).fit(
                X, Y + 1, epochs=4, batch_size=5, checkpoint=tmp_path / "a", resume=True
            )


@pytest.mark.covers("G14")
class TestQueries:
    def test_translations_are_the_generators(self):
        model = small(3)
        assert model.event_shape == (2,) and model.shape_of_y == (3,)
        y = torch.randn(4, 3)
        torch.testing.assert_close(model.translate(X), model.to_y(X))
        torch.testing.assert_close(model.translate_back(y), model.to_x(y))
        assert small(3).fit(X, y, epochs=1).names == [
            "epoch", "seconds", "discriminator", "generator",
        ]  # fmt: skip

    def test_are_put_in_evaluation_mode(self):
        gl.seed(0)
        there, back = (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)) for _ in range(2))
        model = gl.CycleGAN(there, back, *networks()[2:], shape=2).train()
        for ask in (model.translate, model.translate_back):
            torch.testing.assert_close(ask(X[2:3])[0], ask(X)[2])
        assert there[1].training and back[1].training

    @pytest.mark.parametrize("query", ["log_prob", "encode"])
    def test_others_are_refused_in_words(self, query):
        with pytest.raises(gl.CannotAnswerError, match=f"CycleGAN cannot answer {query}: .*lesson"):
            getattr(small(), query)(X)

    def test_a_sample_is_refused_in_words(self):
        with pytest.raises(gl.CannotAnswerError, match=r"none of nothing: translate\(x\)"):
            small().sample(3)
        with pytest.raises(gl.CannotAnswerError, match="cannot answer log_prob"):
            small().fit(X, Y, valid=(X, Y))

    def test_images_and_patches(self):
        gl.seed(0)
        judges = nn.Conv2d(2, 1, 3), nn.Conv2d(1, 1, 3)
        there, back = nn.Conv2d(1, 2, 1), nn.Sequential(nn.Conv2d(2, 1, 1), nn.Sigmoid())
        model = gl.CycleGAN(there, back, *judges, shape=(1, 4, 4))
        assert model.shape_of_y == (2, 4, 4) and model.support_of_y is constraints.real
        assert model.support is constraints.unit_interval
        model.fit(torch.rand(5, 1, 4, 4), torch.randn(3, 2, 4, 4), epochs=1, batch_size=2)
        assert model.pool_x.shape == (5, 1, 4, 4)

    def test_other_precisions(self):
        model = small().double()
        assert torch.isfinite(model.train().discriminator_loss(X.double(), Y.double()))
        assert model.pool_y.dtype == torch.float64
        small().fit(X, Y, epochs=1, precision=torch.bfloat16)

    def test_networks_cannot_be_saved_but_their_weights_can(self, tmp_path):
        model = small()
        model.fit(X, Y, epochs=1)
        with pytest.raises(
            TypeError, match=r"cannot save a CycleGAN: .* code of yours for to_y, to_x"
        ):
            model.save(tmp_path / "model")
        other = small()
        other.load_state_dict(model.state_dict())
        assert same(state(model), state(other))


@pytest.mark.covers("G14")
class TestBadInput:
    @pytest.mark.parametrize(
        ("ask", "error", "words"),
        [
            (lambda m: m.fit(X), ValueError, r"x: expected rows of two sets, \(x, y\), got 1"),
            (lambda m: m.fit(X.tolist(), Y), TypeError, r"x: expected a torch\.Tensor"),
            (lambda m: m.fit(X, Y.tolist()), TypeError, r"y: expected a torch\.Tensor"),
            (lambda m: m.fit(X, Y[:0]), ValueError, "y: expected at least one value"),
            (lambda m: m.fit(X, Y[:, :1]), ValueError, r"y: expected shape \(N, 2\), got \(7, 1\)"),
            (lambda m: m.fit(X, Y / 0), ValueError, "y: expected finite values"),
            (lambda m: m.fit(X.double(), Y), TypeError, "x: the model computes in"),
            (lambda m: m.fit(DataLoader(X, 4)), ValueError, "x: expected rows of two sets"),
            (lambda m: m.fit(X, Y, batch_size=0), ValueError, "batch_size: expected at least 1"),
            (lambda m: m.translate(X[0]), ValueError, r"x: expected shape \(N, 2\)"),
            (lambda m: m.translate_back(Y[0]), ValueError, r"y: expected shape \(N, 2\)"),
        ],
    )
    def test_rows_of_both_sets_are_checked(self, ask, error, words):
        model = small()
        before = state(model)
        with pytest.raises(error, match=words):
            ask(model)
        assert same(state(model), before)

    def test_rows_outside_the_ranges_are_refused(self):
        gl.seed(0)
        there = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
        model = gl.CycleGAN(there, nn.Linear(2, 2), *networks()[2:], shape=2)
        with pytest.raises(ValueError, match=r"y: expected values in \[-1, 1\]"):
            model.fit(X, Y)

    @pytest.mark.parametrize(
        ("position", "network", "error", "words"),
        [
            (0, nn.Linear(3, 2), ValueError, r"to_y: expected a network that takes \(3, 2\)"),
            (0, nn.Flatten(), ValueError, "to_y: expected a network with parameters"),
            (1, nn.Linear(2, 3), ValueError, r"to_x: expected rows of the shape of X, \(3, 2\)"),
            (1, nn.Linear(3, 2), ValueError, r"to_x: expected a network that takes \(3, 2\)"),
            (2, nn.Linear(2, 2), ValueError, "discriminator_y: expected one logit a row"),
            (3, nn.Linear(3, 1), ValueError, "discriminator_x: expected a network that takes"),
            (
                3,
                nn.Sequential(nn.Linear(2, 1), nn.Sigmoid()),
                ValueError,
                "discriminator_x: expected logits, .* a sigmoid",
            ),
            (1, "network", TypeError, "to_x: expected a torch.nn.Module"),
        ],
    )
    def test_networks_fit_each_other(self, position, network, error, words):
        parts = list(networks())
        parts[position] = network
        with pytest.raises(error, match=words):
            gl.CycleGAN(*parts, shape=2)

    def test_common_parameters_are_refused(self):
        parts = list(networks())
        parts[1] = parts[0]
        with pytest.raises(ValueError, match=r"to_y, to_x, .* without common parameters"):
            gl.CycleGAN(*parts, shape=2)

    @pytest.mark.parametrize(
        ("settings", "error", "words"),
        [
            ({"cycle": -1.0}, ValueError, "cycle: expected a finite number, zero or positive"),
            (
                {"identity": -1.0},
                ValueError,
                "identity: expected a finite number, zero or positive",
            ),
            ({"pool": -1}, ValueError, "pool: expected at least 0"),
            ({"pool": 1.0}, TypeError, "pool: expected an integer"),
            ({"cost": "minmax"}, ValueError, "cost: expected one of 'minimax'"),
            ({"discriminator_steps": 0}, ValueError, "discriminator_steps: expected at least 1"),
            ({"generator_steps": 0}, ValueError, "generator_steps: expected at least 1"),
            (
                {"identity": 1.0, "width": 3},
                ValueError,
                "identity: expected two sets of rows of one",
            ),
            ({"steps": 1}, TypeError, "steps"),
        ],
    )
    def test_settings_are_checked(self, settings, error, words):
        with pytest.raises(error, match=words):
            small(**settings)

    def test_a_batch_of_one_is_refused_where_there_is_batch_norm(self):
        gl.seed(0)
        there = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        model = gl.CycleGAN(there, nn.Linear(2, 2), *networks()[2:], shape=2).train()
        for batch in ((X[:1], Y), (X, Y[:1])):
            for player in model.players():
                with pytest.raises(
                    ValueError, match="batch_size: expected batches of at least two"
                ):
                    player.loss(*batch)
