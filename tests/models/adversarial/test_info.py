"""InfoGAN against steps on the losses written out, and channels of known information."""

import functools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import genlib as gl
from genlib.core.hooks import WeightAverage
from genlib.models.adversarial.networks import mlp_discriminator, mlp_generator
from tests.models.adversarial.games import stepped

ROWS = torch.randn(7, 2, generator=torch.Generator().manual_seed(1)) + 1


def networks():
    judge = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1 + 4 + 2))
    return mlp_generator(3 + 4 + 2, 2, (8,)), judge


def small(**settings):
    gl.seed(0)
    return gl.InfoGAN(*networks(), latent=3, categories=4, continuous=2, **settings)


class Channel(nn.Module):
    """Rows x = value of the category + noise · z."""

    def __init__(self, values, noise):
        super().__init__()
        self.values, self.noise = nn.Parameter(values), noise

    def forward(self, z):
        size = self.values.shape[1]
        return z[:, size:] @ self.values + self.noise * z[:, :size]


class Reader(nn.Module):
    """The posterior of a `Channel` of two values ±a: scores ±a x / noise²."""

    def __init__(self, a, noise, tempered=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(tempered * a / noise**2))

    def forward(self, x):
        return torch.cat([0 * x, self.weight * x, -self.weight * x], 1)


@pytest.mark.covers("G16")
class TestTheGame:
    @pytest.mark.parametrize("settings", [{}, {"information": 0.3, "scale": 0.5}])
    def test_a_step_of_each_player_is_that_of_the_losses_written_out(self, settings):
        model, x = small(**settings, gradient_penalty=2.0).double(), ROWS.double()
        weight, scale = settings.get("information", 1.0), settings.get("scale", 1.0)

        def drawn():
            category = torch.randint(4, (7,))
            numbers = 2 * torch.rand(7, 2, dtype=torch.float64) - 1
            z = torch.randn(7, 3, dtype=torch.float64)
            onehot = torch.eye(4, dtype=torch.float64)[category]
            return model.generator(torch.cat([z, onehot, numbers], 1)), category, numbers

        def bound(fake, category, numbers):
            out = model.discriminator(fake)
            log_q = -F.cross_entropy(out[:, 1:5], category)
            normal = torch.distributions.Normal(out[:, 5:], scale)
            log_q = log_q + normal.log_prob(numbers).sum(1).mean()
            return log_q + math.log(4) + 2 * math.log(2)

        def discriminator():
            fake, category, numbers = drawn()
            fake = fake.detach()
            loss = F.softplus(-model.discriminator(x)[:, 0]).mean()
            loss = loss + F.softplus(model.discriminator(fake)[:, 0]).mean()
            u = torch.rand(7, 1, dtype=torch.float64)
            between = (u * x + (1 - u) * fake).requires_grad_()
            out = model.discriminator(between)[:, 0].sum()
            (slope,) = torch.autograd.grad(out, between, create_graph=True)
            loss = loss + 2 * (slope.square().sum(1).sqrt() - 1).square().mean()
            return loss - weight * bound(fake, category, numbers)

        def generator():
            fake, category, numbers = drawn()
            loss = F.softplus(-model.discriminator(fake)[:, 0]).mean()
            return loss - weight * bound(fake, category, numbers)

        stepped(model, (x,), [discriminator, generator])
        torch.manual_seed(2)  # the numbers too: constants of the bound have no slope
        expected = generator()
        torch.manual_seed(2)
        torch.testing.assert_close(model.generator_loss(x), expected)

    def test_finds_the_categories_of_rows_without_labels(self):
        """Two Gaussians of known width far apart: the two values of the code find them. Over seeds
        0 to 5 the rows hold 0.692 of the code's log 2 = 0.693 nats, and each row of the data is
        read as that of its Gaussian.
        """
        gl.seed(0)
        y = torch.arange(512) % 2
        x = torch.tensor([[2.0, 0.0], [-2.0, 0.0]])[y] + 0.4 * torch.randn(512, 2)
        judge = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1 + 2))
        model = gl.InfoGAN(
            Channel(0.1 * torch.randn(2, 2), 0.4),
            judge,
            latent=2,
            categories=2,
            gradient_penalty=0.3,
        )
        adam = functools.partial(torch.optim.Adam, lr=1e-2, betas=(0.5, 0.999))
        model.fit(x, epochs=30, batch_size=64, optimizer=adam, hooks=[WeightAverage(0.98)])
        assert model.bound(4000).value > 0.6
        right = (model.codes(x).argmax(1) == y).double().mean()
        assert max(right, 1 - right) > 0.95


@pytest.mark.covers("G16")
class TestTheBound:
    """Of a category as ±a in unit noise, the information is known by quadrature."""

    A, NOISE = 1.2, 1.5

    def information(self):
        x = torch.linspace(-12, 12, 20001, dtype=torch.float64)
        normal = torch.distributions.Normal(torch.tensor([self.A, -self.A]).double(), self.NOISE)
        p = normal.log_prob(x[:, None]).exp()
        mean = p.mean(1)
        return torch.trapezoid((0.5 * torch.xlogy(p, p / mean[:, None])).sum(1), x).item()

    def model(self, tempered=1.0):
        generator = Channel(torch.tensor([[self.A], [-self.A]]), self.NOISE)
        return gl.InfoGAN(generator, Reader(self.A, self.NOISE, tempered), latent=1, categories=2)

    def test_is_the_information_where_q_is_the_posterior(self):
        """Five standard errors: a false alarm in a million seeds."""
        gl.seed(0)
        found = self.model().bound(40_000)
        assert abs(found.value - self.information()) < 5 * found.error
        assert 0 < found.error < 0.005

    @pytest.mark.parametrize("tempered", [0.3, 2.0])
    def test_lies_below_it_elsewhere(self, tempered):
        gl.seed(0)
        found = self.model(tempered).bound(40_000)
        assert found.value + 5 * found.error < self.information()

    def test_its_error_is_that_of_repeated_estimates(self):
        """400 estimates: their spread is told to one in seven, at 4 standard errors of it."""
        gl.seed(0)
        found = [self.model().bound(200) for _ in range(400)]
        spread = torch.stack([each.value for each in found]).std()
        stated = torch.stack([each.error for each in found]).mean()
        assert 0.86 < (stated / spread).item() < 1.16


@pytest.mark.covers("G16", "G17")
class TestQueries:
    def test_are_those_of_the_networks(self):
        model, z, code = small(), torch.randn(7, 3), small().draw_codes(7)
        x = model.decode(z, code)
        torch.testing.assert_close(x, model.generator(torch.cat([z, code], 1)))
        out = model.discriminator(ROWS)
        torch.testing.assert_close(model.logits(ROWS), out[:, 0])
        shares = out[:, 1:5].exp()
        expected = torch.cat([shares / shares.sum(1, keepdim=True), out[:, 5:]], 1)
        torch.testing.assert_close(model.codes(ROWS), expected)
        draws = model.sample(7, code, generator=torch.Generator().manual_seed(5))
        z = torch.randn(7, 3, generator=torch.Generator().manual_seed(5))
        torch.testing.assert_close(draws, model.decode(z, code).detach())
        assert model.interpolate(z, z.flip(0), 4, y=code).shape == (7, 4, 2)
        assert model.invert(ROWS, code, steps=2).shape == (7, 3)

    def test_codes_are_one_category_and_numbers_between_minus_one_and_one(self):
        """Shares of 20,000 draws, and the moments of the numbers: 5 standard errors each."""
        codes = small().draw_codes(20_000, torch.Generator().manual_seed(0))
        category, numbers = codes[:, :4], codes[:, 4:]
        assert ((category == 0) | (category == 1)).all() and (category.sum(1) == 1).all()
        assert (category.mean(0) - 0.25).abs().max() < 5 * (0.25 * 0.75 / 20_000) ** 0.5
        assert numbers.min() >= -1 and numbers.max() < 1
        assert numbers.mean(0).abs().max() < 5 * (1 / 3 / 20_000) ** 0.5
        assert (numbers.square().mean(0) - 1 / 3).abs().max() < 5 * (4 / 45 / 20_000) ** 0.5

    def test_a_sample_without_codes_draws_them_first(self):
        model = small()
        x = model.sample(7, generator=torch.Generator().manual_seed(5))
        generator = torch.Generator().manual_seed(5)
        code = model.draw_codes(7, generator)
        assert torch.equal(x, model.sample(7, code, generator=generator))

    @pytest.mark.parametrize("size", [(3, 0), (0, 2)])
    def test_a_code_may_be_a_category_or_numbers_alone(self, size):
        gl.seed(0)
        width = sum(size)
        judge = nn.Linear(2, 1 + width)
        model = gl.InfoGAN(
            nn.Linear(3 + width, 2), judge, latent=3, categories=size[0], continuous=size[1]
        )
        model.fit(ROWS, epochs=1)
        assert model.codes(ROWS).shape == model.draw_codes(7).shape == (7, width)

    def test_are_put_in_evaluation_mode(self):
        gl.seed(0)
        judge = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 7))
        model = gl.InfoGAN(networks()[0], judge, latent=3, categories=4, continuous=2).train()
        for ask in (model.codes, model.logits):
            torch.testing.assert_close(ask(ROWS[2:3])[0], ask(ROWS)[2])
        before = {name: value.clone() for name, value in model.state_dict().items()}
        model.bound(50)
        assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())
        assert judge[1].training


@pytest.mark.covers("G16")
class TestBadInput:
    @pytest.mark.parametrize(
        ("ask", "words"),
        [
            (lambda m: m.fit(ROWS, m.draw_codes(7)), "y: InfoGAN finds its codes itself"),
            (lambda m: m.decode(torch.zeros(7, 3)), "y: expected the code of each row"),
            (lambda m: m.invert(ROWS), "y: expected the code of each row"),
            (lambda m: m.interpolate(ROWS, ROWS), r"start: expected shape \(N, 3\)"),
            (lambda m: m.sample(7, torch.zeros(7, 2)), r"y: expected shape \(N, 6\), got \(7, 2\)"),
            (lambda m: m.sample(5, torch.zeros(7, 6)), "y: expected one condition a row, 5, got 7"),
            (lambda m: m.codes(ROWS[0]), r"x: expected shape \(N, 2\)"),
            (lambda m: m.bound(1), "n: expected at least 2"),
            (lambda m: m.draw_codes(0), "n: expected at least 1"),
        ],
    )
    def test_rows_and_codes_are_checked(self, ask, words):
        with pytest.raises(ValueError, match=words):
            ask(small())

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"categories": 1}, "expected a code of at least two categories or one number, got 1"),
            ({"categories": 0, "continuous": 0}, "expected a code of .* got 0 and 0"),
            ({"continuous": -1}, "continuous: expected at least 0"),
            ({"information": -1.0}, "information: expected a finite number, zero or positive"),
            ({"scale": 0.0}, "scale: expected a finite positive number"),
        ],
    )
    def test_settings_are_checked(self, settings, words):
        with pytest.raises(ValueError, match=words):
            gl.InfoGAN(*networks(), **{"latent": 3, "categories": 4, "continuous": 2, **settings})

    def test_networks_are_tried(self):
        generator, judge = networks()
        sizes = {"latent": 3, "categories": 4, "continuous": 2}
        words = r"a logit and 6 numbers on the code a row, shape \(3, 7\), got \(3, 1\)"
        with pytest.raises(ValueError, match=words):
            gl.InfoGAN(generator, mlp_discriminator(2), **sizes)
        with pytest.raises(ValueError, match="generator: expected a network that takes"):
            gl.InfoGAN(mlp_generator(3), judge, **sizes)
        with pytest.raises(ValueError, match=r"expected logits, .* a softmax"):
            gl.InfoGAN(generator, nn.Sequential(judge, nn.Softmax(1)), **sizes)
