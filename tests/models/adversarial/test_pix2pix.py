"""Translation from pairs against steps on the losses written out, and a known translation."""

import functools

import pytest
import torch
from torch import nn
from torch.distributions import constraints
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import genlib as gl
from genlib.models.adversarial.networks import mlp_discriminator
from tests.models.adversarial.games import stepped

X = torch.rand(6, 1, 5, 5, generator=torch.Generator().manual_seed(1))
Y = torch.rand(6, 2, 5, 5, generator=torch.Generator().manual_seed(2))


def small(latent=0, **settings):
    gl.seed(0)
    generator = nn.Sequential(nn.Conv2d(2 + latent, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 1, 1))
    judge = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 1, 2))
    return gl.Pix2Pix(generator, judge, condition_shape=(2, 5, 5), latent=latent, **settings)


@pytest.mark.covers("G14")
class TestTheGame:
    @pytest.mark.parametrize(
        "settings", [{}, {"l1": 3.0, "latent": 2}, {"l1": 0.0, "gradient_penalty": 2.0}]
    )
    def test_a_step_of_each_player_is_that_of_the_losses_written_out(self, settings):
        model, x, y = small(**settings).double(), X.double(), Y.double()
        weight, latent = settings.get("l1", 100.0), settings.get("latent", 0)

        def fakes():
            z = torch.randn(6, latent, dtype=torch.float64)
            maps = z.repeat_interleave(25, 1).view(6, latent, 5, 5)
            return model.generator(torch.cat([y, maps], 1))

        def judged(rows):
            return model.discriminator(torch.cat([rows, y], 1))

        def discriminator():
            fake = fakes().detach()
            loss = F.softplus(-judged(x)).mean() + F.softplus(judged(fake)).mean()
            if "gradient_penalty" in settings:
                u = torch.rand(6, 1, 1, 1, dtype=torch.float64)
                between = (u * x + (1 - u) * fake).requires_grad_()
                patches = judged(between)
                assert patches.shape == (6, 1, 2, 2)
                (slope,) = torch.autograd.grad(patches.sum() / 4, between, create_graph=True)
                norm = slope.flatten(1).square().sum(1).sqrt()
                loss = loss + 2 * (norm - 1).square().mean()
            return loss

        def generator():
            fake = fakes()
            error = sum((fake[i] - x[i]).abs().sum() for i in range(6)) / (6 * 25)
            return F.softplus(-judged(fake)).mean() + weight * error

        stepped(model, (x, y), [discriminator, generator])

    def test_learns_a_known_translation(self):
        """x = y₁ − y₂ in each pixel: over seeds 0 to 5 the error falls from at least 0.30 to at
        most 0.024.
        """
        gl.seed(0)
        y = torch.rand(256, 2, 4, 4)
        x = y[:, :1] - y[:, 1:]
        judge = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Tanh(), nn.Conv2d(8, 1, 1))
        model = gl.Pix2Pix(nn.Conv2d(2, 1, 1), judge, condition_shape=(2, 4, 4))
        adam = functools.partial(torch.optim.Adam, lr=2e-2, betas=(0.5, 0.999))
        model.fit(x, y, epochs=20, batch_size=32, optimizer=adam)
        assert (model.translate(y) - x).abs().mean() < 0.08

    def test_a_loader_brings_pairs(self):
        small().fit(DataLoader(TensorDataset(X, Y), batch_size=4), epochs=1)
        with pytest.raises(ValueError, match="y: this model is conditional"):
            small().fit(DataLoader(TensorDataset(X), batch_size=4))


@pytest.mark.covers("G14")
class TestQueries:
    def test_are_those_of_the_networks(self):
        model = small()
        assert model.event_shape == (1, 5, 5) and model.condition_shape == (2, 5, 5)
        expected = model.generator(Y).detach()
        torch.testing.assert_close(model.translate(Y), expected)
        torch.testing.assert_close(model.sample(6, Y), expected)
        patches = model.discriminator(torch.cat([X, Y], 1))[:, 0]
        torch.testing.assert_close(model.logits(X, Y), patches)
        assert patches.shape == (6, 2, 2)

    def test_logits_may_be_one_a_row(self):
        gl.seed(0)
        judge = mlp_discriminator((3, 5, 5), (4,))
        model = gl.Pix2Pix(nn.Conv2d(2, 1, 1), judge, condition_shape=(2, 5, 5))
        assert model.logits(X, Y).shape == (6,)
        model.fit(X, Y, epochs=1)

    def test_with_latent_variables_a_condition_has_many_pictures(self):
        model = small(latent=2)
        z = torch.randn(6, 2, generator=torch.Generator().manual_seed(5))
        maps = z[:, :, None, None].expand(-1, -1, 5, 5)
        expected = model.generator(torch.cat([Y, maps], 1))
        torch.testing.assert_close(model.decode(z, Y), expected)
        found = model.translate(Y, torch.Generator().manual_seed(5))
        torch.testing.assert_close(found, expected.detach())
        assert model.invert(X, Y, steps=2).shape == (6, 2)
        assert model.interpolate(z, z.flip(0), 3, y=Y).shape == (6, 3, 1, 5, 5)

    def test_are_put_in_evaluation_mode(self):
        gl.seed(0)
        generator = nn.Sequential(nn.Conv2d(2, 1, 1), nn.BatchNorm2d(1), nn.Dropout(0.5))
        model = gl.Pix2Pix(generator, nn.Conv2d(3, 1, 2), condition_shape=(2, 5, 5)).train()
        torch.testing.assert_close(model.translate(Y[1:2])[0], model.translate(Y)[1])
        assert generator[1].training

    def test_the_generator_s_range_is_that_of_the_pictures_alone(self):
        gl.seed(0)
        generator = nn.Sequential(nn.Conv2d(2, 1, 1), nn.Sigmoid())
        model = gl.Pix2Pix(generator, nn.Conv2d(3, 1, 2), condition_shape=(2, 5, 5))
        assert model.support is constraints.unit_interval
        model.fit(X, Y - 3, epochs=1)
        with pytest.raises(ValueError, match=r"x: expected values in \[0, 1\]"):
            model.fit(X - 3, Y)


@pytest.mark.covers("G14")
class TestBadInput:
    @pytest.mark.parametrize(
        ("ask", "error", "words"),
        [
            (lambda m: m.fit(X), ValueError, "y: this model is conditional: give the condition im"),
            (lambda m: m.fit(X, Y[:4]), ValueError, "y: expected pairs, .* 6 rows, got 4; .*Cycle"),
            (lambda m: m.fit(X, Y[:, :1]), ValueError, r"y: expected shape \(N, 2, 5, 5\), got"),
            (lambda m: m.fit(X, Y / 0), ValueError, "y: expected finite values"),
            (lambda m: m.fit(X, Y.double()), TypeError, "y: the model computes in torch.float32"),
            (lambda m: m.fit(X, torch.arange(6)), TypeError, "y: expected floating-point values"),
            (lambda m: m.translate(None), ValueError, "y: this model is conditional"),
            (
                lambda m: m.translate(Y.tolist()),
                TypeError,
                r"y: expected a torch\.Tensor, got list",
            ),
            (lambda m: m.translate(Y[0]), ValueError, r"y: expected shape \(N, 2, 5, 5\)"),
            (lambda m: m.translate(Y[:0]), ValueError, "y: expected at least one value"),
            (lambda m: m.sample(5, Y), ValueError, "y: expected pairs"),
            (lambda m: m.logits(X[:, 0], Y), ValueError, r"x: expected shape \(N, 1, 5, 5\)"),
            (
                lambda m: m.invert(X, Y),
                ValueError,
                "invert: expected a model with latent variables",
            ),
            (
                lambda m: m.decode(torch.zeros(6, 1), Y),
                ValueError,
                "z: expected a model with latent",
            ),
        ],
    )
    def test_rows_and_conditions_are_checked(self, ask, error, words):
        model = small()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        with pytest.raises(error, match=words):
            ask(model)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

    @pytest.mark.parametrize(
        ("generator", "judge", "words"),
        [
            (nn.Conv2d(3, 1, 1), nn.Conv2d(3, 1, 1), r"generator: expected a network that takes"),
            (nn.Conv2d(2, 1, 1), nn.Conv2d(2, 1, 1), r"discriminator: expected a network that"),
            (nn.Conv2d(2, 1, 2), nn.Conv2d(3, 1, 1), r"discriminator: expected a network that"),
            (
                nn.Conv2d(2, 1, 1),
                nn.Conv2d(3, 2, 1),
                r"one logit a row, .* one channel of them, \(3, 1, h, w\), got \(3, 2, 5, 5\)",
            ),
            (
                nn.Conv2d(2, 1, 1),
                nn.Sequential(nn.Conv2d(3, 1, 1), nn.Sigmoid()),
                "expected logits, .* a sigmoid",
            ),
        ],
    )
    def test_networks_are_tried_in_pairs(self, generator, judge, words):
        with pytest.raises(ValueError, match=words):
            gl.Pix2Pix(generator, judge, condition_shape=(2, 5, 5))

    def test_settings_are_checked(self):
        with pytest.raises(ValueError, match="l1: expected a finite number, zero or positive"):
            small(l1=-1.0)
        with pytest.raises(ValueError, match="latent: expected at least 0"):
            gl.Pix2Pix(nn.Conv2d(2, 1, 1), nn.Conv2d(3, 1, 1), condition_shape=(2, 5, 5), latent=-1)
        with pytest.raises(ValueError, match="condition_shape: expected at least 1"):
            gl.Pix2Pix(nn.Conv2d(2, 1, 1), nn.Conv2d(3, 1, 1), condition_shape=(2, 0, 5))
