"""Adversarial games against loops, closed forms and gradients written out."""

import functools
import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy import stats
from torch import nn
from torch.distributions import constraints
from torch.nn import functional as F

import genlib as gl
from genlib.core.hooks import WeightAverage
from genlib.models.adversarial.costs import COSTS, f_gan, smoothed
from genlib.models.adversarial.gan import gradient_penalty, latent_path
from genlib.models.adversarial.networks import mlp_discriminator, mlp_generator
from genlib.nn.minibatch import MinibatchDiscrimination, VirtualBatchNorm, WithReference
from tests.models.test_door import BAD, WORDS


def small(cost="non-saturating", **settings):
    gl.seed(0)
    generator, discriminator = mlp_generator(3, 2, (8,)), mlp_discriminator(2, (8,))
    return gl.GAN(generator, discriminator, cost, latent=3, **settings)


def normed():
    """A game whose networks behave differently in training."""
    gl.seed(0)
    generator = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    discriminator = nn.Sequential(
        nn.Linear(2, 8), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 1)
    )
    return gl.GAN(generator, discriminator, latent=3)


def rows(n=40, *shape):
    return torch.randn(n, *(shape or (2,)), generator=torch.Generator().manual_seed(1)) + 1


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Called(nn.Module):
    """A function as a network, with a weight so that there is something to train."""

    def __init__(self, function):
        super().__init__()
        self.function, self.weight = function, nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.function(self.weight * x)


@pytest.mark.covers("G17")
class TestQueries:
    def test_a_density_and_a_code_are_refused_in_words(self):
        model = small()
        assert model.density is gl.Density.IMPLICIT
        words = r"GAN cannot answer log_prob: the generator defines samples, not a density.*Watch"
        with pytest.raises(gl.CannotAnswerError, match=words):
            model.log_prob(rows())
        words = r"GAN cannot answer encode: .*invert\(x\).*lesson 17_adversarial_game"
        with pytest.raises(gl.CannotAnswerError, match=words):
            model.encode(rows())
        with pytest.raises(gl.CannotAnswerError, match="cannot answer log_prob"):
            model.fit(rows(), valid=rows())

    def test_a_sample_is_its_noise_through_the_generator(self):
        model = small()
        z = torch.randn(6, 3, generator=torch.Generator().manual_seed(5))
        x = model.sample(6, generator=torch.Generator().manual_seed(5))
        torch.testing.assert_close(x, model.generator(z))
        assert not x.requires_grad
        torch.testing.assert_close(model.decode(z), model.generator(z))

    def test_layers_that_see_a_batch_work_in_a_game(self):
        """Virtual batch norm, whose samples do not depend on those beside them; and minibatch
        features, in a discriminator whose logits do.
        """
        gl.seed(0)
        layers = nn.Linear(3, 8), VirtualBatchNorm(8), nn.ReLU(), nn.Linear(8, 2)
        generator = WithReference(nn.Sequential(*layers), torch.randn(10, 3))
        judge = nn.Sequential(nn.Linear(2, 8), MinibatchDiscrimination(8, 4, 3), nn.Linear(12, 1))
        model = gl.GAN(generator, judge, latent=3)
        model.fit(rows(9), epochs=2, batch_size=4)  # the last batch is of one row
        z = rows(9, 3)
        x = model.decode(z)
        for i in range(9):
            torch.testing.assert_close(model.decode(z[i : i + 1])[0], x[i])
        assert not torch.allclose(model.logits(x)[:2], model.logits(x[:2]))

    def test_rows_do_not_depend_on_who_is_drawn_beside_them(self):
        """Batch norm in training mode would tie them; each part is back in its mode afterwards."""
        model = normed().train()
        model.discriminator[1].eval()
        modes = [part.training for part in model.modules()]
        model.fit(rows(64), epochs=2, batch_size=16)
        model.train()
        model.discriminator[1].eval()
        before = state(model)
        x = model.sample(9, generator=torch.Generator().manual_seed(5))
        z = torch.randn(9, 3, generator=torch.Generator().manual_seed(5))
        for i in range(9):
            torch.testing.assert_close(model.decode(z[i : i + 1])[0], x[i])
            alone = model.logits(x[i : i + 1])[0]
            torch.testing.assert_close(alone, model.logits(x)[i])
        assert [part.training for part in model.modules()] == modes
        assert same(state(model), before)

    def test_a_large_sample_is_that_of_its_parts(self):
        model = small()
        x = model.sample(2500, generator=torch.Generator().manual_seed(5))
        z = torch.randn(2500, 3, generator=torch.Generator().manual_seed(5))
        assert x.shape == (2500, 2)
        torch.testing.assert_close(x, model.generator(z).detach())

    def test_noise_is_standard_normal(self):
        """Means and variances of 20,000 draws: a false alarm in a million seeds."""
        z = small().noise(20_000, torch.Generator().manual_seed(0))
        far = stats.norm.isf(1e-6 / 2 / 6)
        assert (z.mean(0).abs() < far * (1 / len(z)) ** 0.5).all()
        assert ((z.var(0) - 1).abs() < far * (2 / len(z)) ** 0.5).all()

    @pytest.mark.parametrize("what", BAD)
    def test_bad_input_is_refused_in_words(self, what):
        model = small()
        before, bad = state(model), BAD[what](rows())
        for ask in (model.fit, model.logits, model.invert):
            with pytest.raises((TypeError, ValueError), match=WORDS):
                ask(bad)
        bad = BAD[what](rows(40, 3))
        good = rows(40, 3)
        for ask in (
            model.decode,
            lambda z: model.interpolate(z, good),
            lambda z: model.interpolate(good, z),
        ):
            with pytest.raises((TypeError, ValueError), match=WORDS):
                ask(bad)
        assert same(state(model), before)

    def test_labels_are_refused(self):
        with pytest.raises(ValueError, match="y: GAN has no labels"):
            small().fit(rows(4), torch.zeros(4, dtype=torch.int64))


@pytest.mark.covers("G01", "G03")
class TestTheGame:
    @pytest.mark.parametrize("cost", COSTS)
    def test_losses_are_the_cost_of_the_logits(self, cost):
        model, x = small(cost), rows(10)
        z = torch.randn(10, 3, generator=torch.Generator().manual_seed(2))
        real = model.discriminator(x)[:, 0]
        fake = model.discriminator(model.generator(z))[:, 0]
        torch.manual_seed(2)
        expected = COSTS[cost].discriminator(real, fake)
        torch.testing.assert_close(model.discriminator_loss(x), expected)
        torch.manual_seed(2)
        torch.testing.assert_close(model.generator_loss(x), COSTS[cost].generator(fake))

    def test_one_step_moves_logits_the_right_way(self):
        """The discriminator's step raises real logits and lowers generated ones; the generator's
        raises its own.
        """
        for cost in COSTS:
            model, x = small(cost), rows(200) + 2
            nn.init.zeros_(model.discriminator[-1].weight)  # logits from which every cost moves on
            judge, drawer = model.players()
            z = torch.randn(200, 3)
            fakes = [model.logits(model.decode(z)).mean(), model.logits(x).mean()]
            optimizer = torch.optim.SGD(judge.parameters, lr=1e-2)
            judge.loss(x).backward(inputs=list(judge.parameters))
            optimizer.step()
            after = [model.logits(model.decode(z)).mean(), model.logits(x).mean()]
            assert after[1] - after[0] > fakes[1] - fakes[0], cost
            optimizer = torch.optim.SGD(drawer.parameters, lr=1e-2)
            drawer.loss(x).backward(inputs=list(drawer.parameters))
            optimizer.step()
            assert model.logits(model.decode(z)).mean() > after[0], cost

    def test_the_discriminator_s_loss_does_not_reach_the_generator(self):
        model = small()
        model.discriminator_loss(rows()).backward()
        assert all(p.grad is None for p in model.generator.parameters())
        assert all(p.grad is not None for p in model.discriminator.parameters())

    def test_smoothing_is_that_of_real_labels(self):
        model, x = small(smoothing=0.2), rows(10)
        torch.manual_seed(2)
        found = model.discriminator_loss(x)
        z = torch.randn(10, 3, generator=torch.Generator().manual_seed(2))
        real = model.discriminator(x)
        fake = model.discriminator(model.generator(z))
        expected = F.binary_cross_entropy_with_logits(real, torch.full_like(real, 0.8))
        expected += F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
        torch.testing.assert_close(found, expected)

    def test_a_cost_of_one_s_own(self):
        own = smoothed(COSTS["minimax"], 0.1, 0.2)
        assert small(own).cost is own

    @pytest.mark.parametrize("steps", [(1, 1), (3, 1), (1, 2)])
    def test_fit_is_a_loop_by_hand(self, steps):
        """Bit for bit: each round's batches to the discriminator first, noise new for each step."""
        x, (n_judge, n_drawer) = rows(60), steps
        model = small(discriminator_steps=n_judge, generator_steps=n_drawer)
        by_hand = small()
        torch.manual_seed(7)
        history = model.fit(x, epochs=2, batch_size=10, lr=1e-2)
        torch.manual_seed(7)
        judge, drawer = (
            torch.optim.Adam(network.parameters(), lr=1e-2)
            for network in (by_hand.discriminator, by_hand.generator)
        )
        losses = []
        for _ in range(2):
            batches, seen = x[torch.randperm(60)].split(10), []
            for start in range(0, 6, max(steps)):
                turn = batches[start : start + max(steps)]
                for batch in turn[:n_judge]:
                    with torch.no_grad():
                        fake = by_hand.generator(torch.randn(len(batch), 3))
                    real, fake = (by_hand.discriminator(v) for v in (batch, fake))
                    loss = -F.logsigmoid(real).mean() - F.logsigmoid(-fake).mean()
                    judge.zero_grad()
                    loss.backward()
                    judge.step()
                    seen.append(loss.item())
                for batch in turn[:n_drawer]:
                    fake = by_hand.discriminator(by_hand.generator(torch.randn(len(batch), 3)))
                    drawer.zero_grad()
                    (-F.logsigmoid(fake).mean()).backward()
                    drawer.step()
            losses.append(sum(seen) / len(seen))
        assert same(state(model), state(by_hand))
        assert history["discriminator"] == pytest.approx(losses, rel=1e-6)
        assert history.names == ["epoch", "seconds", "discriminator", "generator"]

    @pytest.mark.parametrize("cost", ["non-saturating", "wasserstein"])
    def test_leads_the_generator_to_the_data(self, cost):
        """With averaged weights, since the last ones go round; 0.05 to 0.24 over seeds 0 to 5."""
        gl.seed(0)
        x = 0.5 * torch.randn(256, 2) + torch.tensor([2.0, -1.0])
        judge = mlp_discriminator(2, (16,), "tanh")
        model = gl.GAN(nn.Linear(2, 2), judge, cost, latent=2, gradient_penalty=1.0)
        before = (model.sample(2000).mean(0) - x.mean(0)).norm()
        adam = functools.partial(torch.optim.Adam, lr=1e-2, betas=(0.5, 0.999))
        model.fit(x, epochs=25, batch_size=32, optimizer=adam, hooks=[WeightAverage(0.98)])
        assert (model.sample(2000).mean(0) - x.mean(0)).norm() < 0.5 * before

    def test_each_player_may_bring_its_optimiser(self):
        still = functools.partial(torch.optim.SGD, lr=0.0)
        model = small(discriminator_optimizer=still)
        before = state(model)
        model.fit(rows(), epochs=1)
        moved = {
            name for name, value in state(model).items() if not torch.equal(value, before[name])
        }
        assert moved == {name for name in before if name.startswith("generator")}
        with pytest.raises(ValueError, match="lr: player 'discriminator' brings an optimiser"):
            model.fit(rows(), lr=0.1)

    @pytest.mark.parametrize("penalty", [0.0, 1.0])
    def test_losses_under_autocast_are_in_the_model_s_precision(self, penalty):
        model, x = small(gradient_penalty=penalty), rows(20)
        for player in model.players():
            torch.manual_seed(2)
            expected = player.loss(x)
            torch.manual_seed(2)
            with torch.autocast("cpu", torch.bfloat16):
                found = player.loss(x)
            assert found.dtype == torch.float32
            torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)
        model.fit(x, epochs=1, precision=torch.bfloat16)

    def test_averaged_weights_are_the_generator_s_by_hand(self):
        class Noting(gl.Hook):
            def begin(self, run):
                self.seen = []

            def after_step(self, run):
                self.seen.append([p.detach().clone() for p in run.model.generator.parameters()])

        model, noting = small(), Noting()
        model.fit(rows(), epochs=3, batch_size=10, hooks=[noting, WeightAverage(0.8)])
        mean = noting.seen[0]
        for now in noting.seen[1:]:
            mean = [0.8 * m + 0.2 * p for m, p in zip(mean, now, strict=True)]
        assert len(noting.seen) == 24
        for expected, found in zip(mean, model.generator.parameters(), strict=True):
            torch.testing.assert_close(found.detach(), expected)


class TestCheckpoints:
    def test_a_run_resumes_bit_for_bit(self, tmp_path):
        def run(path, *pieces):
            for epochs in pieces:
                model = small(COSTS["hinge"], discriminator_steps=2)
                if epochs != pieces[0]:
                    gl.seed(99)  # which the checkpoint's own takes the place of
                model.fit(rows(), epochs=epochs, batch_size=8, checkpoint=path, resume=True)
            return state(model)

        assert same(run(tmp_path / "a", 4), run(tmp_path / "b", 2, 4))

    @pytest.mark.parametrize("change", ["network", "cost", "smoothing"])
    def test_another_game_is_refused(self, tmp_path, change):
        small().fit(rows(), epochs=1, checkpoint=tmp_path / "c")
        other = {"cost": lambda: small("minimax"), "smoothing": lambda: small(smoothing=0.1)}
        other["network"] = lambda: gl.GAN(
            mlp_generator(3, 2, (9,)), mlp_discriminator(2, (8,)), latent=3
        )
        with pytest.raises(gl.WrongCheckpointError):
            other[change]().fit(rows(), epochs=2, checkpoint=tmp_path / "c", resume=True)

    def test_networks_of_one_s_own_cannot_be_saved_but_their_weights_can(self, tmp_path):
        """As the refusal says."""
        model, path = small(), tmp_path / "model"
        words = r"cannot save a GAN: .* code of yours for generator, discriminator; .*state_dict"
        with pytest.raises(TypeError, match=words):
            model.save(path)
        assert not path.exists()
        model.fit(rows(), epochs=1)
        save_file(model.state_dict(), path)
        other = small()
        other.load_state_dict(load_file(path))
        assert same(state(model), state(other))

    def test_code_among_the_arguments_cannot_be_saved(self, tmp_path):
        """A file would hold its name, of which nothing can be made."""
        cost, words = f_gan("reverse-kl", non_saturating=True), "cannot save a DCGAN: .* for cost; "
        with pytest.raises(TypeError, match=words):
            gl.DCGAN((1, 4, 4), 2, (3,), cost).save(tmp_path / "model")
        gl.DCGAN((1, 4, 4), 2, (3,), COSTS["hinge"]).save(tmp_path / "model")
        assert gl.load(tmp_path / "model").cost is COSTS["hinge"]
        own = replace(COSTS["hinge"], generator=lambda fake: fake.square().mean())
        with pytest.raises(TypeError, match=words):  # by a name that is known it is another one
            gl.DCGAN((1, 4, 4), 2, (3,), own).save(tmp_path / "model")

        class Own(gl.GAN):
            def __init__(self, adam=None, layers=None):
                networks = mlp_generator(2), mlp_discriminator()
                super().__init__(*networks, latent=2, generator_optimizer=adam)

        try:
            for settings in ({"adam": torch.optim.Adam}, {"layers": nn.Linear(1, 1)}):
                with pytest.raises(TypeError, match=f"cannot save a Own: .* for {min(settings)};"):
                    Own(**settings).save(tmp_path / "own")
            Own().save(tmp_path / "own")
        finally:
            del gl.Model.registry[f"{__name__}.{Own.__qualname__}"]


class TestNetworks:
    @pytest.mark.parametrize(
        ("discriminator", "error", "words"),
        [
            (
                nn.Linear(2, 2),
                ValueError,
                r"shape \(3,\) or \(3, 1\), got \(3, 2\); of two classes",
            ),
            (nn.Linear(2, 3), ValueError, r"expected one logit a row, .* got \(3, 3\)\."),
            (Called(lambda x: x.mean()), ValueError, r"got \(\)"),
            (Called(lambda x: x.mean(0)[:1]), ValueError, r"got \(1,\)"),
            (Called(lambda x: (x, x)), TypeError, "expected one tensor, got tuple"),
            (Called(lambda x: x[:, 0].detach()), ValueError, "expected outputs with a gradient"),
            (
                nn.Sequential(nn.Linear(2, 1), nn.Sigmoid()),
                ValueError,
                "expected logits, any real numbers, got the values of a sigmoid",
            ),
            (
                nn.Sequential(nn.Linear(2, 1), nn.Sigmoid(), nn.Flatten(0)),
                ValueError,
                "the values of a sigmoid",
            ),
            (Called(lambda x: x[:, 0].sigmoid()), ValueError, "the values of a sigmoid"),
            (Called(lambda x: x.softmax(1)[:, 0]), ValueError, "the values of a softmax"),
            (Called(lambda x: x.softmax(1)[:, :1]), ValueError, "the values of a softmax"),
            (nn.Linear(3, 1), ValueError, r"expected a network that takes \(3, 2\)"),
            (nn.Linear(2, 1).double(), ValueError, r"expected a network that takes \(3, 2\)"),
            (lambda x: x, TypeError, "expected a torch.nn.Module"),
        ],
    )
    def test_a_discriminator_gives_one_logit_a_row(self, discriminator, error, words):
        with pytest.raises(error, match=f"discriminator: .*{words}"):
            gl.GAN(nn.Linear(3, 2), discriminator, latent=3)
        with pytest.raises(error, match=f"critic: .*{words}"):
            gl.WGAN(nn.Linear(3, 2), discriminator, latent=3)

    @pytest.mark.parametrize("shape", [(), (1,)])
    def test_logits_are_rows_or_one_column(self, shape):
        gl.seed(0)
        discriminator = Called(lambda x: x.sum(1).reshape(len(x), *shape))
        model = gl.GAN(nn.Linear(3, 2), discriminator, latent=3)
        x = rows(5)
        assert model.logits(x).shape == (5,)
        torch.testing.assert_close(model.logits(x), x.sum(1))

    def test_a_discriminator_that_changes_its_mind_is_noticed(self):
        class Fickle(nn.Linear):
            def forward(self, x):
                return super().forward(x).repeat(1, 2 if self.training else 1)

        model = gl.GAN(nn.Linear(3, 2), Fickle(2, 1), latent=3)
        with pytest.raises(ValueError, match="expected one logit a row"):
            model.fit(rows())

    def test_no_constant_logit_is_taken_for_a_probability(self):
        """Logits that all lie in [0, 1] are none: only the operation tells."""
        discriminator = nn.Linear(2, 1)
        nn.init.zeros_(discriminator.weight)
        nn.init.constant_(discriminator.bias, 0.3)
        gl.GAN(nn.Linear(3, 2), discriminator, latent=3)

    @pytest.mark.parametrize(
        ("generator", "error", "words"),
        [
            (nn.Linear(4, 2), ValueError, r"expected a network that takes \(3, 3\)"),
            (Called(lambda z: z.sum(1)), ValueError, r"shape \(3, ...\), got \(3,\)"),
            (Called(lambda z: z[:2]), ValueError, r"shape \(3, ...\), got \(2, 3\)"),
            (Called(lambda z: None), TypeError, "expected one tensor, got NoneType"),
            (nn.Identity(), ValueError, "expected a network with parameters"),
            ("network", TypeError, "expected a torch.nn.Module, got 'network'"),
        ],
    )
    def test_a_generator_gives_an_event_a_row(self, generator, error, words):
        with pytest.raises(error, match=f"generator: .*{words}"):
            gl.GAN(generator, mlp_discriminator(3), latent=3)

    def test_common_parameters_are_refused(self):
        layer = nn.Linear(2, 2)
        with pytest.raises(ValueError, match="expected networks without common parameters"):
            gl.GAN(layer, nn.Sequential(layer, nn.Linear(2, 1)), latent=2)

    @pytest.mark.parametrize(
        ("last", "low", "high"), [(nn.Sigmoid(), 0.0, 1.0), (nn.Tanh(), -1.0, 1.0)]
    )
    def test_data_outside_the_generator_s_range_are_refused(self, last, low, high):
        generator = nn.Sequential(nn.Linear(3, 4), last, nn.Unflatten(1, (1, 2, 2)))
        discriminator = nn.Sequential(nn.Flatten(), nn.Linear(4, 1))
        model = gl.GAN(generator, discriminator, latent=3)
        assert model.event_shape == (1, 2, 2)
        inside = torch.full((6, 1, 2, 2), low)
        model.fit(inside, epochs=1)
        words = rf"x: expected values in \[{low:g}, {high:g}\], got"
        for outside in (high + 0.5, low - 0.5):
            with pytest.raises(ValueError, match=words):
                model.fit(torch.full((6, 1, 2, 2), outside))
        assert small().support is constraints.real

    def test_a_generator_may_say_its_range_itself(self):
        generator = Called(lambda z: 2 + z.tanh())
        generator.support = constraints.interval(1.0, 3.0)
        model = gl.GAN(generator, mlp_discriminator(3), latent=3)
        model.fit(torch.full((4, 3), 3.0), epochs=1)
        with pytest.raises(ValueError, match=r"x: expected values in \[1, 3\], got 0.5"):
            model.fit(torch.full((4, 3), 0.5))
        generator.support = "a layer of the user's"
        assert gl.GAN(generator, mlp_discriminator(3), latent=3).support is constraints.real

    def test_a_batch_of_one_is_refused_where_there_is_batch_norm(self):
        words = "batch_size: expected batches of at least two rows for batch norm, got one"
        with pytest.raises(ValueError, match=words):
            normed().fit(rows(9), epochs=1, batch_size=4)
        normed().fit(rows(8), epochs=1, batch_size=4)
        small().fit(rows(9), epochs=1, batch_size=4)

    def test_probing_changes_nothing_and_draws_nothing(self):
        gl.seed(0)
        torch.randn(1)
        expected = torch.randn(3)
        generator = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).train()
        before = state(generator)
        gl.seed(0)
        torch.randn(1)
        gl.GAN(generator, Called(lambda x: F.dropout(x, 0.0).sum(1)), latent=3)
        assert torch.equal(torch.randn(3), expected)
        assert same(state(generator), before) and all(m.training for m in generator.modules())

    @pytest.mark.parametrize(
        ("settings", "error", "words"),
        [
            ({"latent": 0}, ValueError, "latent: expected at least 1"),
            ({"cost": "minmax"}, ValueError, "cost: expected one of 'minimax', 'non-sat"),
            ({"discriminator_steps": 0}, ValueError, "discriminator_steps: expected at least 1"),
            ({"generator_steps": 1.0}, TypeError, "generator_steps: expected an integer"),
            ({"smoothing": -0.1}, ValueError, "smoothing: expected a number in"),
            ({"smoothing": "a"}, TypeError, "smoothing: expected a number in"),
            ({"smoothing": 0.1, "cost": "hinge"}, ValueError, "smoothing: expected a cost that"),
            ({"gradient_penalty": -1.0}, ValueError, "gradient_penalty: expected a finite number"),
        ],
    )
    def test_settings_are_checked(self, settings, error, words):
        with pytest.raises(error, match=words):
            gl.GAN(mlp_generator(3), mlp_discriminator(), **{"latent": 3, **settings})


@pytest.mark.covers("G10")
class TestWassersteinGAN:
    def test_its_losses_by_hand(self):
        """A linear critic w·x has the slope w everywhere: penalty (‖w‖ − 1)²."""
        gl.seed(0)
        generator, critic = nn.Linear(3, 2), nn.Linear(2, 1)
        model = gl.WGAN(generator, critic, latent=3, gradient_penalty=7.0)
        x, w = rows(10), critic.weight[0]
        z = torch.randn(10, 3, generator=torch.Generator().manual_seed(2))
        fake = generator(z)
        torch.manual_seed(2)
        expected = w @ (fake.mean(0) - x.mean(0)) + 7 * (w.norm() - 1) ** 2
        torch.testing.assert_close(model.discriminator_loss(x), expected)
        torch.manual_seed(2)
        expected = -(fake @ w + critic.bias).mean()
        torch.testing.assert_close(model.generator_loss(x), expected)
        assert [(p.name, p.steps) for p in model.players()] == [("critic", 5), ("generator", 1)]
        assert model.critic is critic and model.gradient_penalty == 7.0
        assert gl.WGAN(generator, critic, latent=3).gradient_penalty == 10.0

    def test_the_penalty_has_one_mixing_number_and_one_norm_a_row(self):
        """The critic ½ Σ a x² has the slope a x̂ there: with u drawn again, all by hand."""
        real, fake = rows(5, 2, 3, 3), -2 * rows(5, 2, 3, 3).flip(0)
        a = torch.rand(2, 3, 3, generator=torch.Generator().manual_seed(3))
        found = gradient_penalty(
            lambda x: 0.5 * (a * x.square()).flatten(1).sum(1),
            real,
            fake,
            torch.Generator().manual_seed(4),
        )
        u, total = torch.rand(5, generator=torch.Generator().manual_seed(4)), 0.0
        for n in range(5):
            slope = a * (u[n] * real[n] + (1 - u[n]) * fake[n])
            total += (slope.square().sum().sqrt() - 1) ** 2 / 5
        torch.testing.assert_close(found, total)

    def test_the_penalty_s_gradient_is_that_of_the_formula(self):
        """Of λ (‖w‖ − 1)²: 2 λ (‖w‖ − 1) w / ‖w‖."""
        w = torch.tensor([3.0, -4.0], requires_grad=True)
        gradient_penalty(lambda x: x @ w, rows(), rows()).backward()
        torch.testing.assert_close(w.grad, 2 * (5 - 1) * w.detach() / 5)

    def test_the_penalty_is_finite_where_the_slope_is_zero(self):
        critic = mlp_discriminator(2, (4,))
        for parameter in critic.parameters():
            nn.init.zeros_(parameter)
        penalty = gradient_penalty(lambda x: critic(x)[:, 0], rows(), rows() - 1)
        assert penalty.item() == 1
        penalty.backward()
        slopes = [p.grad for p in critic.parameters() if p.grad is not None]
        assert slopes and all(torch.isfinite(slope).all() for slope in slopes)

    def test_losses_can_be_looked_at_where_no_gradient_is_wanted(self):
        """As in a Watch."""
        model, x = small("wasserstein", gradient_penalty=7.0), rows(10)
        torch.manual_seed(2)
        expected = model.discriminator_loss(x)
        torch.manual_seed(2)
        with torch.no_grad():
            assert torch.equal(model.discriminator_loss(x), expected)

    def test_the_penalty_is_between_rows_of_one_shape(self):
        with pytest.raises(ValueError, match=r"real, fake: .* got \(40, 2\) and \(1, 2\)"):
            gradient_penalty(lambda x: x.sum(1), rows(), rows(1))

    def test_batch_norm_in_the_critic_is_refused(self):
        for norm in (nn.BatchNorm1d(4), nn.SyncBatchNorm(4)):
            critic = nn.Sequential(nn.Linear(2, 4), norm, nn.Linear(4, 1))
            with pytest.raises(ValueError, match="critic: expected no batch norm"):
                gl.WGAN(nn.Linear(3, 2), critic, latent=3)
        generator = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        gl.WGAN(generator, mlp_discriminator(), latent=3)
        layer = nn.Sequential(nn.Linear(2, 4), nn.LayerNorm(4), nn.Linear(4, 1))
        gl.WGAN(generator, layer, latent=3)

    def test_settings_are_checked(self):
        for value in (0.0, -1.0):
            with pytest.raises(ValueError, match="gradient_penalty: expected a finite positive"):
                gl.WGAN(nn.Linear(3, 2), nn.Linear(2, 1), latent=3, gradient_penalty=value)
        with pytest.raises(ValueError, match="critic_steps: expected at least 1"):
            gl.WGAN(nn.Linear(3, 2), nn.Linear(2, 1), latent=3, critic_steps=0)

    @pytest.mark.parametrize(("start", "weight"), [(0.1, 10.0), (0.1, 2.0), (-0.1, 10.0)])
    def test_a_linear_critic_s_slope_is_one_plus_the_distance_over_twice_the_weight(
        self, start, weight
    ):
        """−s d + λ (|s| − 1)² with d the gap of the means: s = 1 + d / 2λ, or from the wrong side
        the local minimum −(1 − d / 2λ), from which no step leads away.
        """
        generator, critic = nn.Linear(1, 1), nn.Linear(1, 1)
        model = gl.WGAN(generator, critic, latent=1, gradient_penalty=weight)
        nn.init.constant_(critic.weight, start)
        x = rows(50, 1) + 2
        with torch.no_grad():
            torch.manual_seed(2)
            distance = (x.mean() - generator(model.noise(50)).mean()).item()
        assert distance > 1
        optimizer = torch.optim.SGD(critic.parameters(), lr=0.05)
        for _ in range(80):
            torch.manual_seed(2)
            optimizer.zero_grad()
            model.discriminator_loss(x).backward()
            optimizer.step()
        expected = math.copysign(1, start) + distance / (2 * weight)
        assert critic.weight.item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.covers("G12")
class TestPaths:
    def test_spherical_ones_are_the_textbook_s(self):
        a, b = (torch.randn(4, 5, dtype=torch.float64) for _ in range(2))
        found = latent_path(a, b, 6)
        assert found.shape == (4, 6, 5)
        for n in range(4):
            omega = math.acos(F.cosine_similarity(a[n], b[n], dim=0).item())
            for i in range(6):
                t = i / 5
                shares = math.sin((1 - t) * omega), math.sin(t * omega)
                expected = (shares[0] * a[n] + shares[1] * b[n]) / math.sin(omega)
                torch.testing.assert_close(found[n, i], expected)
        torch.testing.assert_close(found[:, 0], a)
        torch.testing.assert_close(found[:, -1], b)

    def test_spherical_ones_keep_the_distance_and_linear_ones_cut_the_corner(self):
        a, b = (F.normalize(torch.randn(4, 50, dtype=torch.float64)) for _ in range(2))
        lengths = latent_path(a, b, 9).norm(dim=2)
        torch.testing.assert_close(lengths, torch.ones_like(lengths))
        steps = latent_path(a, b, 9).diff(dim=1).norm(dim=2)
        torch.testing.assert_close(steps, steps[:, :1].expand_as(steps))
        linear = latent_path(a, b, 9, path="linear")
        torch.testing.assert_close(linear[:, 4], (a + b) / 2)
        torch.testing.assert_close(linear[:, 2], 0.75 * a + 0.25 * b)
        assert (linear[:, 4].norm(dim=1) < 0.9).all()

    def test_from_a_row_to_itself_nothing_moves(self):
        a = torch.randn(3, 4)
        path = latent_path(a, a.clone(), 5)
        torch.testing.assert_close(path, a[:, None].expand(3, 5, 4))
        scaled = latent_path(a, 3 * a, 3)  # along a ray it is linear
        torch.testing.assert_close(scaled[:, 1], 2 * a)

    def test_where_there_is_no_single_path_it_says_so(self):
        a = torch.randn(3, 4)
        with pytest.raises(ValueError, match="opposite to each other"):
            latent_path(a, -2 * a)
        with pytest.raises(ValueError, match="no row of zeros"):
            latent_path(a, torch.zeros_like(a))
        latent_path(a, torch.zeros_like(a), path="linear")
        with pytest.raises(ValueError, match=r"expected one shape \(N, d\)"):
            latent_path(a, a[:2])
        with pytest.raises(TypeError, match=r"end: expected a torch\.Tensor, got list"):
            latent_path(a, a.tolist())
        with pytest.raises(ValueError, match="start: expected finite values"):
            latent_path(a / 0, a)
        with pytest.raises(ValueError, match="steps: expected at least 2"):
            latent_path(a, a, 1)
        with pytest.raises(ValueError, match="path: expected one of 'spherical', 'linear'"):
            latent_path(a, a, path="round")

    def test_interpolated_events_are_the_generator_s_along_the_path(self):
        model = small()
        a, b = rows(4, 3), rows(4, 3).flip(0)
        x = model.interpolate(a, b, 6)
        assert x.shape == (4, 6, 2)
        torch.testing.assert_close(x[1], model.decode(latent_path(a, b, 6)[1]))
        linear = model.interpolate(a, b, 6, path="linear")
        torch.testing.assert_close(linear[2, 0], model.decode(a[2:3])[0])
        assert not torch.allclose(x, linear)


@pytest.mark.covers("G12")
class TestInversion:
    def linear(self):
        gl.seed(0)
        generator = nn.Linear(3, 6)
        return gl.GAN(generator, mlp_discriminator(6), latent=3)

    @pytest.mark.parametrize("prior", [0.0, 0.5])
    def test_of_a_linear_generator_is_least_squares(self, prior):
        """(AᵀA + prior I)⁻¹ Aᵀ (x − b), for events that no z reaches."""
        model = self.linear()
        x, a, b = rows(4, 6), model.generator.weight.detach(), model.generator.bias.detach()
        expected = torch.linalg.solve(a.T @ a + prior * torch.eye(3), a.T @ (x - b).T).T
        z = model.invert(x, prior=prior, steps=1500, starts=2)
        torch.testing.assert_close(z, expected, rtol=0, atol=1e-3)

    def test_is_adam_whose_rate_falls_to_zero(self):
        """Its five steps written out, the slope of ‖A z + b − x‖² being 2 Aᵀ (A z + b − x)."""
        model, lr, steps = self.linear().double(), 0.05, 5
        x, a, b = rows(4, 6).double(), model.generator.weight.detach(), model.generator.bias
        z = model.noise(4, torch.Generator().manual_seed(3))
        mean, square = torch.zeros_like(z), torch.zeros_like(z)
        for step in range(steps):
            slope = 2 * (z @ a.T + b.detach() - x) @ a
            mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
            unbiased = mean / (1 - 0.9 ** (step + 1)), square / (1 - 0.999 ** (step + 1))
            rate = lr * (steps - step) / steps
            z = z - rate * unbiased[0] / (unbiased[1].sqrt() + 1e-8)
        generator = torch.Generator().manual_seed(3)
        found = model.invert(x, steps=steps, lr=lr, starts=1, generator=generator)
        torch.testing.assert_close(found, z)

    def test_the_best_start_is_kept_for_each_row(self):
        """x = z³ − 3 z: from z < −1 or z > 1 the search of 2 or −2 ends in another minimum."""
        generator = Called(lambda z: z**3 - 3 * z)
        model = gl.GAN(generator, mlp_discriminator(1), latent=1)
        x = torch.tensor([[1.0], [-1.0], [1.9], [5.0], [-5.0], [0.0]])

        def errors(starts):
            z = model.invert(x, starts=starts, generator=torch.Generator().manual_seed(0))
            assert z.shape == (6, 1)
            return (model.decode(z) - x).square()[:, 0]

        assert (errors(64) < 1e-4).all() and (errors(1) > 0.1).any()

    def test_rows_do_not_depend_on_those_beside_them(self):
        model, x = normed().train(), rows(4)
        together = model.invert(x, starts=1, generator=torch.Generator().manual_seed(0))
        noise = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
        model.noise = lambda n, generator=None: noise[2:3].clone()
        torch.testing.assert_close(
            model.invert(x[2:3], starts=1)[0], together[2], rtol=0, atol=1e-3
        )

    def test_leaves_the_networks_as_they_were(self):
        model = normed().train()
        before = state(model)
        with torch.no_grad():
            z = model.invert(rows(3).requires_grad_(), steps=2)
        assert z.shape == (3, 3) and not z.requires_grad
        assert same(state(model), before) and model.generator[1].training
        assert all(p.grad is None for p in model.parameters())

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"steps": 0}, "steps: expected at least 1"),
            ({"starts": 0}, "starts: expected at least 1"),
            ({"lr": 0.0}, "lr: expected a finite positive"),
            ({"prior": -1.0}, "prior: expected a finite number, zero or positive"),
        ],
    )
    def test_settings_are_checked(self, settings, words):
        with pytest.raises(ValueError, match=words):
            self.linear().invert(rows(2, 6), **settings)
