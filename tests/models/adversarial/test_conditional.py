"""The conditional game against losses written out, and a world of known conditionals."""

import functools

import pytest
import torch
from torch import nn
from torch.distributions import constraints
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import genlib as gl
from genlib.core.hooks import WeightAverage
from genlib.models.adversarial.costs import COSTS
from genlib.models.adversarial.gan import latent_path
from genlib.models.adversarial.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    mlp_discriminator,
    mlp_generator,
)

LABELS = torch.tensor([2, 0, 1, 2, 0, 0, 1])
ROWS = torch.randn(7, 2, generator=torch.Generator().manual_seed(1)) + 1


def small(cost="non-saturating", **settings):
    """Three classes, two latent variables, two columns."""
    gl.seed(0)
    networks = mlp_generator(2 + 3, 2, (8,)), mlp_discriminator(2 + 3, (8,))
    return gl.ConditionalGAN(*networks, cost, latent=2, classes=3, **settings)


def told(x, y, classes=3):
    """Rows with their one-hot labels behind, in a loop."""
    rows = []
    for row, label in zip(x, y.tolist(), strict=True):
        rows.append(torch.cat([row, torch.tensor([float(k == label) for k in range(classes)])]))
    return torch.stack(rows)


def noise(n, seed=2):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


@pytest.mark.covers("G13")
class TestTheGame:
    @pytest.mark.parametrize("cost", ["non-saturating", "hinge"])
    def test_both_players_are_told_the_labels_of_the_batch(self, cost):
        model = small(cost)
        fake = model.generator(told(noise(7), LABELS))
        real, of_fake = (model.discriminator(told(x, LABELS))[:, 0] for x in (ROWS, fake))
        torch.manual_seed(2)
        expected = COSTS[cost].discriminator(real, of_fake)
        torch.testing.assert_close(model.discriminator_loss(ROWS, LABELS), expected)
        torch.manual_seed(2)
        expected = COSTS[cost].generator(of_fake)
        torch.testing.assert_close(model.generator_loss(ROWS, LABELS), expected)

    def test_the_penalty_is_on_the_slope_in_x_alone(self):
        """A linear critic w·x + v·y has the slope w, whatever v is."""
        gl.seed(0)
        networks = nn.Linear(2 + 3, 2), nn.Linear(2 + 3, 1)
        model = gl.ConditionalGAN(
            *networks, "wasserstein", latent=2, classes=3, gradient_penalty=7.0
        )
        fake = model.generator(told(noise(7), LABELS))
        gap = model.discriminator(told(fake, LABELS)) - model.discriminator(told(ROWS, LABELS))
        expected = gap.mean() + 7 * (model.discriminator.weight[0, :2].norm() - 1) ** 2
        torch.manual_seed(2)
        torch.testing.assert_close(model.discriminator_loss(ROWS, LABELS), expected)

    def test_of_images_labels_are_constant_channels(self):
        gl.seed(0)
        generator = DCGANGenerator(2 + 3, (1, 8, 8), (6, 4), batch_norm=False)
        judge = DCGANDiscriminator((1 + 3, 8, 8), (4, 6), batch_norm=False)
        model = gl.ConditionalGAN(generator, judge, latent=2, classes=3)
        assert model.event_shape == (1, 8, 8) and model.support is constraints.unit_interval
        x = torch.rand(7, 1, 8, 8)
        maps = torch.zeros(7, 3, 8, 8)
        for n, label in enumerate(LABELS.tolist()):
            maps[n, label] = 1
        torch.testing.assert_close(model.logits(x, LABELS), judge(torch.cat([x, maps], 1))[:, 0])
        model.fit(x, LABELS, epochs=1, batch_size=4)
        assert model.sample(7, LABELS).shape == (7, 1, 8, 8)

    def test_learns_known_conditionals_whatever_the_shares_of_the_labels(self):
        """x given y is N(m_y, ½²), labels coming as 1 : 2 : 5. Each mean is within 1 of its own
        place, over seeds 0 to 5 within 0.50; without labels, one of two that are 4.1 apart would
        be 2 off.
        """
        gl.seed(0)
        centres = torch.tensor([[2.0, 0.0], [-2.0, 1.0], [0.0, -2.0]])
        y = torch.multinomial(torch.tensor([1.0, 2.0, 5.0]), 512, replacement=True)
        x = centres[y] + 0.5 * torch.randn(512, 2)
        networks = nn.Linear(2 + 3, 2), mlp_discriminator(2 + 3, (32,), "tanh")
        model = gl.ConditionalGAN(*networks, latent=2, classes=3, gradient_penalty=0.3)
        adam = functools.partial(torch.optim.Adam, lr=1e-2, betas=(0.5, 0.999))
        model.fit(x, y, epochs=40, batch_size=64, optimizer=adam, hooks=[WeightAverage(0.98)])
        for label, centre in enumerate(centres):
            drawn = model.sample(2000, torch.full((2000,), label))
            assert (drawn.mean(0) - centre).norm() < 1, label

    def test_a_loader_brings_rows_with_their_labels(self):
        loader = DataLoader(TensorDataset(ROWS, LABELS), batch_size=4)
        history = small().fit(loader, epochs=1)
        assert history.names == ["epoch", "seconds", "discriminator", "generator"]
        with pytest.raises(ValueError, match="y: this model is conditional"):
            small().fit(DataLoader(TensorDataset(ROWS), batch_size=4))


@pytest.mark.covers("G13")
class TestQueries:
    def test_are_those_of_the_rows_with_their_labels(self):
        model, z = small(), noise(7)
        x = model.sample(7, LABELS, generator=torch.Generator().manual_seed(2))
        expected = model.generator(told(z, LABELS))
        torch.testing.assert_close(x, expected.detach())
        torch.testing.assert_close(model.decode(z, LABELS), expected)
        torch.testing.assert_close(
            model.logits(x, LABELS), model.discriminator(told(x, LABELS))[:, 0]
        )
        paths = model.interpolate(z, z.flip(0), 5, y=LABELS)
        assert paths.shape == (7, 5, 2)
        points = latent_path(z, z.flip(0), 5)
        for n in range(7):
            torch.testing.assert_close(paths[n], model.decode(points[n], LABELS[n].expand(5)))

    def test_a_large_sample_keeps_its_labels(self):
        model, y = small(), torch.arange(2500) % 3
        x = model.sample(2500, y, generator=torch.Generator().manual_seed(5))
        torch.testing.assert_close(x, model.decode(noise(2500, 5), y).detach())

    def test_inversion_is_under_the_labels(self):
        """A generator z + c_y: the z of x is x − c_y."""
        generator, c = nn.Linear(2 + 3, 2), torch.tensor([[3.0, 0.0], [0.0, -2.0], [1.0, 1.0]])
        with torch.no_grad():
            generator.weight.copy_(torch.cat([torch.eye(2), c.T], 1))
            generator.bias.zero_()
        model = gl.ConditionalGAN(generator, mlp_discriminator(5), latent=2, classes=3)
        z = model.invert(ROWS, LABELS, starts=3)
        torch.testing.assert_close(z, ROWS - c[LABELS], rtol=0, atol=1e-3)

    def test_a_density_is_refused_in_words(self):
        with pytest.raises(gl.CannotAnswerError, match="ConditionalGAN cannot answer log_prob"):
            small().log_prob(ROWS, LABELS)


@pytest.mark.covers("G13")
class TestBadInput:
    ASKS = (
        lambda model, y: model.fit(ROWS, y),
        lambda model, y: model.sample(7, y),
        lambda model, y: model.decode(ROWS, y),
        lambda model, y: model.logits(ROWS, y),
        lambda model, y: model.invert(ROWS, y),
        lambda model, y: model.interpolate(ROWS, ROWS.flip(0), y=y),
    )

    @pytest.mark.parametrize("ask", ASKS)
    @pytest.mark.parametrize(
        ("y", "error", "words"),
        [
            (None, ValueError, "y: this model is conditional: give the label of each row"),
            (LABELS + 1, ValueError, r"y: expected labels in 0 … 2, got 1 … 3"),
            (LABELS - 1, ValueError, r"y: expected labels in 0 … 2, got -1 … 1"),
            (LABELS.float(), TypeError, r"y: expected integer labels \(torch.int64\)"),
            (LABELS[:3], ValueError, r"y: expected one label a row, shape \(7,\), got \(3,\)"),
            (LABELS.tolist(), TypeError, "y: expected a torch.Tensor, got list"),
        ],
    )
    def test_labels_are_checked(self, ask, y, error, words):
        model = small()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        with pytest.raises(error, match=words):
            ask(model, y)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

    @pytest.mark.parametrize(
        ("generator", "discriminator", "words"),
        [
            (mlp_generator(2), mlp_discriminator(5), r"generator: expected a network that takes"),
            (mlp_generator(5), mlp_discriminator(2), r"discriminator: expected a network that"),
            (mlp_generator(5), nn.Linear(5, 2), r"discriminator: expected one logit a row"),
            (
                mlp_generator(5),
                nn.Sequential(nn.Linear(5, 1), nn.Sigmoid()),
                "discriminator: expected logits, .* a sigmoid",
            ),
        ],
    )
    def test_networks_are_tried_with_labels(self, generator, discriminator, words):
        with pytest.raises(ValueError, match=words):
            gl.ConditionalGAN(generator, discriminator, latent=2, classes=3)

    def test_settings_are_checked(self):
        networks = mlp_generator(3), mlp_discriminator(3)
        with pytest.raises(ValueError, match="classes: expected at least 2, got 1"):
            gl.ConditionalGAN(*networks, latent=2, classes=1)
        with pytest.raises(ValueError, match="cost: expected one of"):
            small("minmax")
        with pytest.raises(ValueError, match="discriminator_steps: expected at least 1"):
            small(discriminator_steps=0)


class TestCheckpoints:
    def test_a_run_resumes_bit_for_bit(self, tmp_path):
        def run(path, *pieces):
            for epochs in pieces:
                model = small()
                model.fit(ROWS, LABELS, epochs=epochs, batch_size=3, checkpoint=path, resume=True)
            return model.state_dict()

        a, b = run(tmp_path / "a", 3), run(tmp_path / "b", 1, 3)
        assert all(torch.equal(a[name], b[name]) for name in a)

    def test_one_hot_labels_are_of_the_model_s_dtype(self):
        model = small().double()
        x = model.sample(7, LABELS)
        assert x.dtype == model.logits(x, LABELS).dtype == torch.float64
        told_now = F.one_hot(LABELS, 3).double()
        z = model.invert(x, LABELS, steps=1, starts=1)
        torch.testing.assert_close(
            model.decode(z, LABELS), model.generator(torch.cat([z, told_now], 1))
        )

    def test_a_model_in_a_lower_precision_is_told_labels_too(self):
        """With one-hot labels in float32 its networks would be given float32."""
        model = small().bfloat16()
        x = model.sample(7, LABELS)
        assert x.dtype == model.logits(x, LABELS).dtype == torch.bfloat16
