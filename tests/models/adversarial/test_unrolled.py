"""The unrolled GAN against finite differences, a closed form and steps written out."""

import functools

import pytest
import torch
from torch import nn

import genlib as gl
from genlib.models.adversarial.networks import mlp_discriminator, mlp_generator
from genlib.nn.minibatch import MinibatchDiscrimination


def smooth(unroll, cost="non-saturating", seed=0, **settings):
    """A small model in float64 whose losses have derivatives of every order."""
    gl.seed(seed)
    generator = mlp_generator(2, 2, (5,), "tanh").double()
    discriminator = mlp_discriminator(2, (6,), "tanh").double()
    return gl.UnrolledGAN(
        generator, discriminator, cost, latent=2, unroll=unroll, unroll_rate=0.5, **settings
    )


def loss_of(model, x, seed=3):
    torch.manual_seed(seed)
    return model.generator_loss(x)


def gradient(model, x):
    return torch.autograd.grad(loss_of(model, x), list(model.generator.parameters()))


@pytest.mark.covers("G09")
class TestTheGradient:
    @pytest.mark.parametrize(
        ("unroll", "cost", "settings"),
        [
            (1, "non-saturating", {}),
            (5, "non-saturating", {}),
            (3, "minimax", {"smoothing": 0.1}),
            (3, "least-squares", {}),
            (2, "wasserstein", {"gradient_penalty": 2.0}),
        ],
    )
    def test_is_that_of_finite_differences(self, unroll, cost, settings):
        model = smooth(unroll, cost, **settings)
        x = torch.randn(7, 2, dtype=torch.float64) + 1
        h = 1e-5
        for parameter, slope in zip(model.generator.parameters(), gradient(model, x), strict=True):
            values, slopes = parameter.data.view(-1), slope.reshape(-1)
            for i in range(len(values)):
                kept = values[i].item()
                values[i] = kept + h
                above = loss_of(model, x).item()
                values[i] = kept - h
                below = loss_of(model, x).item()
                values[i] = kept
                found = (above - below) / (2 * h)
                assert slopes[i].item() == pytest.approx(found, rel=1e-4, abs=1e-8)

    def test_runs_through_a_discriminator_that_sees_the_whole_batch(self):
        """Minibatch features, whose slopes of slopes are written out."""
        gl.seed(0)
        features = MinibatchDiscrimination(4, 3, 2).double()
        layers = [nn.Linear(2, 4), nn.Tanh(), features, nn.Linear(7, 1)]
        model = gl.UnrolledGAN(
            mlp_generator(2, 2, (5,), "tanh").double(),
            nn.Sequential(*layers).double(),
            latent=2,
            unroll=3,
            unroll_rate=0.5,
        )
        x, h = torch.randn(7, 2, dtype=torch.float64) + 1, 1e-6
        for parameter, slope in zip(model.generator.parameters(), gradient(model, x), strict=True):
            direction = torch.randn_like(parameter)
            with torch.no_grad():  # where a loss can be looked at as well
                parameter += h * direction
                above = loss_of(model, x)
                parameter -= 2 * h * direction
                below = loss_of(model, x)
                parameter += h * direction
            found = ((above - below) / (2 * h)).item()
            assert (slope * direction).sum().item() == pytest.approx(found, rel=1e-4, abs=1e-7)

    @pytest.mark.parametrize("unroll", [0, 1, 4])
    def test_of_a_linear_game_by_hand(self, unroll):
        """Critic w·x, loss w·(mean fake − mean x): w_k = w − k η (m − x̄), and the generator's loss
        −w_k·m has the slope −w + k η (2 m − x̄) in m = b. Without the gradient through the steps
        it would be −w + k η (m − x̄).
        """
        generator, critic = nn.Linear(2, 2).double(), nn.Linear(2, 1, bias=False).double()
        nn.init.zeros_(generator.weight)
        model = gl.UnrolledGAN(
            generator, critic, "wasserstein", latent=2, unroll=unroll, unroll_rate=0.3
        )
        x = torch.randn(6, 2, dtype=torch.float64) + 2
        m, mean, w = generator.bias.detach(), x.mean(0), critic.weight.detach()[0]
        w_k = w - unroll * 0.3 * (m - mean)
        loss = model.generator_loss(x)
        torch.testing.assert_close(loss, -w_k @ m)
        (slope,) = torch.autograd.grad(loss, generator.bias)
        torch.testing.assert_close(slope, -w + unroll * 0.3 * (2 * m - mean))

    def test_runs_through_the_steps(self):
        """With the steps' discriminator taken for a constant, it is another gradient."""
        model, x = smooth(3), torch.randn(7, 2, dtype=torch.float64) + 1
        torch.manual_seed(3)
        fake = model.generator(model.noise(len(x)))
        ahead = {name: value.detach() for name, value in model._ahead(x, fake).items()}
        logits = torch.func.functional_call(model.discriminator, ahead, (fake,))
        loss = nn.functional.softplus(-logits).mean()
        torch.testing.assert_close(loss, loss_of(model, x))
        constant = torch.autograd.grad(loss, list(model.generator.parameters()))
        exact = gradient(model, x)
        assert max((a - b).abs().max() for a, b in zip(constant, exact, strict=True)) > 1e-3

    def test_steps_are_those_that_the_discriminator_would_take(self):
        """SGD on a copy, with torch's own optimiser."""
        model, x = smooth(4, smoothing=0.1), torch.randn(7, 2, dtype=torch.float64)
        fake = model.generator(model.noise(7)).detach()
        ahead = model._ahead(x, fake)
        optimizer = torch.optim.SGD(model.discriminator.parameters(), lr=0.5)
        for _ in range(4):
            optimizer.zero_grad()
            model._told_apart(model._logits, x, fake).backward()
            optimizer.step()
        for name, value in model.discriminator.named_parameters():
            torch.testing.assert_close(ahead[name], value.detach())

    def test_of_no_steps_is_the_gan_s(self):
        model, x = smooth(0), torch.randn(7, 2, dtype=torch.float64)
        plain = gl.GAN(model.generator, model.discriminator, latent=2)
        torch.manual_seed(3)
        assert torch.equal(loss_of(model, x), loss_of(plain, x))


@pytest.mark.covers("G09")
class TestTraining:
    def test_looking_ahead_moves_no_parameter_and_no_buffer(self):
        gl.seed(0)
        critic = nn.Sequential(nn.Linear(2, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 1))
        model = gl.UnrolledGAN(mlp_generator(2, hidden=(5,)), critic, latent=2, unroll=2)
        before = {name: value.clone() for name, value in critic.state_dict().items()}
        model.train().generator_loss(torch.randn(9, 2)).backward()
        assert all(torch.equal(value, before[name]) for name, value in critic.state_dict().items())

    def test_a_frozen_layer_stays_as_it_is_ahead(self):
        model = smooth(2)
        model.discriminator[1].requires_grad_(False)
        x = torch.randn(7, 2, dtype=torch.float64)
        ahead = model._ahead(x, model.generator(model.noise(7)))
        assert set(ahead) == {"3.weight", "3.bias"}
        assert torch.isfinite(model.generator_loss(x))

    def test_fit_moves_both_players(self):
        gl.seed(0)
        model = gl.UnrolledGAN(
            mlp_generator(2, hidden=(8,)), mlp_discriminator(hidden=(8,)), latent=2, unroll=2
        )
        before = {name: value.clone() for name, value in model.state_dict().items()}
        sgd = functools.partial(torch.optim.SGD, lr=0.1)
        history = model.fit(torch.randn(64, 2), epochs=1, batch_size=32, optimizer=sgd)
        assert history.names == ["epoch", "seconds", "discriminator", "generator"]
        assert all(not torch.equal(v, before[name]) for name, v in model.state_dict().items())

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"unroll": -1}, "unroll: expected at least 0, got -1"),
            ({"unroll_rate": 0.0}, "unroll_rate: expected a finite positive number, got 0.0"),
        ],
    )
    def test_settings_are_checked(self, settings, words):
        with pytest.raises(ValueError, match=words):
            gl.UnrolledGAN(mlp_generator(2), mlp_discriminator(), latent=2, **settings)
        with pytest.raises(TypeError, match=r"unroll: expected an integer, got 2\.0"):
            gl.UnrolledGAN(mlp_generator(2), mlp_discriminator(), latent=2, unroll=2.0)
