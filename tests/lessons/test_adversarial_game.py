"""What lesson 17 writes by hand, against SciPy's quadrature and on inputs it has no time for."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn

from tests.lessons.definitions import definitions

TWO = [(0.65, stats.norm(-1.5, 0.6)), (0.35, stats.norm(1.5, 0.6))]


@pytest.fixture
def lesson():
    return definitions("17_adversarial_game")


def density(x):
    return sum(weight * part.pdf(x) for weight, part in TWO)


def quad(function):
    return integrate.quad(function, -12, 12, points=[-3, -1.5, 0, 1.5, 3], limit=400)[0]


def linear(weight):
    layer = nn.Linear(1, 1, bias=False).double()
    layer.weight.data.fill_(weight)
    return layer


# ------------------------------------------------------------------ the game


@pytest.mark.covers("G01")
def test_the_losses_are_sums_of_two_means(lesson):
    x, z = torch.tensor([[1.0], [-2.0]]).double(), torch.tensor([[3.0]]).double()
    G, D = linear(0.5), linear(2.0)
    first = lesson["discriminator_loss"](x, z, G, D).item()
    second = lesson["generator_loss"](z, G, D).item()
    judged = [1 / (1 + math.exp(-v)) for v in (2.0, -4.0, 3.0)]
    wanted = -(math.log(judged[0]) + math.log(judged[1])) / 2 - math.log(1 - judged[2])
    assert first == pytest.approx(wanted)
    assert second == pytest.approx(math.log(1 - judged[2]))


@pytest.mark.covers("G01")
def test_each_loss_moves_its_own_player(lesson):
    x, z = torch.randn(6, 1).double(), torch.randn(6, 1).double()
    G, D = linear(0.5), linear(2.0)
    lesson["discriminator_loss"](x, z, G, D).backward()
    assert G.weight.grad is None and D.weight.grad is not None
    before = copy.deepcopy(D)
    lesson["step"](torch.optim.SGD(G.parameters(), lr=0.1), lesson["generator_loss"](z, G, D))
    assert torch.equal(before.weight, D.weight) and G.weight.item() != 0.5


@pytest.mark.covers("G01")
def test_a_step_forgets_older_gradients_and_goes_downhill(lesson):
    net = linear(2.0)
    net.weight.grad = torch.full_like(net.weight, 7.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    lesson["step"](optimizer, net(torch.ones(1, 1).double()).sum())
    assert net.weight.item() == pytest.approx(1.9)


@pytest.mark.covers("G01")
def test_samples_have_the_density(lesson):
    """Kolmogorov–Smirnov: false alarms once in a million."""
    torch.manual_seed(0)
    x = lesson["sample_data"](20_000)[:, 0].double().numpy()

    def cdf(t):
        return sum(weight * part.cdf(t) for weight, part in TWO)

    assert stats.kstest(x, cdf).pvalue > 1e-6
    axis = torch.linspace(-6, 6, 50).double()
    np.testing.assert_allclose(lesson["log_data"](axis).exp(), density(axis.numpy()), rtol=1e-9)
    found = lesson["gaussian"](axis, 0.5, 1.7)
    np.testing.assert_allclose(found, stats.norm(0.5, 1.7).logpdf(axis.numpy()))


# ------------------------------------------------------------------ the best discriminator


@pytest.mark.covers("G02")
@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 2.0), (1.0, 0.8), (-2.0, 1.2)])
def test_divergences_and_the_value_by_another_quadrature(lesson, mean, deviation):
    other = stats.norm(mean, deviation).pdf
    p, q = lesson["log_data"](lesson["GRID"]), lesson["gaussian"](lesson["GRID"], mean, deviation)
    forward = quad(lambda x: density(x) * math.log(density(x) / other(x)))
    assert lesson["kl"](p, q).item() == pytest.approx(forward, abs=1e-5)

    def middle(x):
        return (density(x) + other(x)) / 2

    js = quad(lambda x: density(x) * math.log(density(x) / middle(x))) / 2
    js += quad(lambda x: other(x) * math.log(other(x) / middle(x))) / 2
    assert lesson["js"](p, q).item() == pytest.approx(js, abs=1e-5)
    best = lesson["value"](p, q, p - q).item()
    assert best == pytest.approx(2 * js - 2 * math.log(2), abs=1e-5)
    half = lesson["value"](p, q, torch.zeros_like(p)).item()
    assert half == pytest.approx(-2 * math.log(2), abs=1e-6)
    off = lesson["value"](p, q, torch.full_like(p, 0.7)).item()  # both terms, each its own sign
    wanted = math.log(1 / (1 + math.exp(-0.7))) + math.log(1 / (1 + math.exp(0.7)))
    assert off == pytest.approx(wanted, abs=1e-6)


# ------------------------------------------------------------------ what a generator feels


@pytest.mark.covers("G02")
@pytest.mark.covers("G03")
@pytest.mark.parametrize("mean", [-2.0, 0.5, 2.0])
def test_pulls_are_the_slopes_of_costs_on_samples_moved_by_hand(lesson, mean):
    """The cost of samples of q, each moved by h, under the logit of q where it was."""
    GRID = lesson["GRID"]
    p, q = lesson["log_data"](GRID), lesson["gaussian"](GRID, mean, 0.9)
    h = 1e-4
    noise = torch.linspace(-8, 8, 4001).double()
    weight = torch.from_numpy(stats.norm.pdf(noise.numpy()))

    def cost(shift, of):
        x = mean + 0.9 * noise + shift
        v = lesson["log_data"](x) - lesson["gaussian"](x, mean, 0.9)
        return torch.trapezoid(weight * of(v), noise)

    costs = {
        "minimax": lambda v: torch.nn.functional.logsigmoid(-v),
        "non-saturating": lambda v: -torch.nn.functional.logsigmoid(v),
    }
    for name, of in costs.items():
        slope = ((cost(h, of) - cost(-h, of)) / (2 * h)).item()
        found = lesson["pull"](lesson["WEIGHT"][name], p, q).item()
        assert found == pytest.approx(slope, abs=1e-4)
        twice = lesson["pull"](lesson["WEIGHT"][name], p, q, 2.0).item()
        assert twice == pytest.approx(2 * found)


@pytest.mark.covers("G03")
@pytest.mark.parametrize("name", ["forward-kl", "reverse-kl", "jensen-shannon"])
def test_conjugates_slopes_and_weights_of_the_divergences(lesson, name):
    f, slope, conjugate, weight = lesson["F_GAMES"][name]
    u = torch.linspace(0.05, 8, 400).double()
    assert abs(f(torch.ones(1).double()).item()) < 1e-12
    h = 1e-4
    np.testing.assert_allclose(slope(u), (f(u + h) - f(u - h)) / (2 * h), rtol=1e-5, atol=1e-6)
    second = (f(u + h) - 2 * f(u) + f(u - h)) / h**2
    np.testing.assert_allclose(weight(u), u**2 * second, rtol=1e-3, atol=1e-4)
    fine = torch.linspace(1e-3, 40, 400_001).double()
    for t in slope(torch.tensor([0.1, 0.5, 1.0, 3.0]).double()):
        assert conjugate(t).item() == pytest.approx((fine * t - f(fine)).max().item(), abs=1e-5)


@pytest.mark.covers("G03")
def test_the_bound_has_both_terms(lesson):
    GRID = lesson["GRID"]
    p, q = lesson["log_data"](GRID), lesson["gaussian"](GRID, 0.5, 2.0)
    conjugate = lesson["F_GAMES"]["forward-kl"][2]
    T = torch.full_like(GRID, 1.5)
    found = lesson["bound"](p, q, T, conjugate).item()
    assert found == pytest.approx(1.5 - math.exp(0.5), abs=1e-6)


# ------------------------------------------------------------------ the ring


@pytest.mark.covers("G04")
def test_generators_differ_by_the_weights_of_the_divergences(lesson):
    v = torch.linspace(-4, 4, 33).double().requires_grad_()
    weights = {
        "Jensen–Shannon": lambda u: u / (1 + u),
        "non-saturating": lambda u: 1 / (1 + u),
        "reverse KL": torch.ones_like,
        "forward KL": lambda u: u,
    }
    assert list(lesson["GAMES"]) == list(weights)
    for name, cost in lesson["GAMES"].items():
        (slope,) = torch.autograd.grad(cost(v), v)
        assert torch.allclose(-33 * slope, weights[name](v.detach().exp()))


@pytest.mark.covers("G04")
def test_many_networks_are_each_their_own(lesson):
    torch.manual_seed(0)
    parts = lesson["layers"](3, 5, 4, 2)
    copies = lesson["SEEDS"] * len(lesson["GAMES"])
    x = torch.randn(copies, 7, 3)
    found = lesson["through"](parts, x)
    for k in range(copies):
        net = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU())
        net.append(nn.Linear(4, 2))
        for layer, weight, bias in zip(net[::2], parts[::2], parts[1::2], strict=True):
            layer.weight.data, layer.bias.data = weight[k].T, bias[k, 0]
        assert torch.allclose(net(x[k]), found[k], atol=1e-6)
    for part in parts[::2]:  # every game begins alike, every seed in its own way
        games = part.detach().view(len(lesson["GAMES"]), lesson["SEEDS"], *part.shape[1:])
        assert torch.equal(games[0], games[-1]) and not torch.equal(games[0, 0], games[0, 1])


@pytest.mark.covers("G04")
def test_a_mode_is_covered_by_one_percent_of_the_samples(lesson):
    centres = lesson["RING"].centres.float()
    x = centres[:3].repeat_interleave(torch.tensor([97, 2, 1]), 0)
    assert lesson["covered"](x) == 3
    assert lesson["covered"](torch.cat([x, x[:1]])) == 2  # one of 101 is too few
    assert lesson["covered"](torch.zeros(50, 2)) == 0  # the middle is near to none
    gap = (centres[0] - centres[1]).norm().item()
    assert gap > 2 * 0.75  # no sample counts twice


@pytest.mark.covers("G04")
def test_a_round_moves_discriminators_first_and_each_player_at_its_rate(lesson):
    """With a rate of zero a player stays: the losses of the other one fall."""
    torch.manual_seed(0)
    started = lesson["play"](0.0, 3e-3, 3)
    again = started.std((1, 2))
    assert started.shape == (len(lesson["GAMES"]), lesson["SEEDS"], 2500, 2)
    assert torch.allclose(again[0], again[-1])  # generators that did not move are alike
    torch.manual_seed(0)
    moved = lesson["play"](3e-3, 3e-3, 3)
    assert not torch.equal(moved[0], moved[1])
