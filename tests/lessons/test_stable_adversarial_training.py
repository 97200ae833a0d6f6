"""What lesson 18 writes by hand, against loops in float64, closed forms and SciPy's quadrature."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch import nn

from genlib.models.adversarial.costs import COSTS, smoothed
from tests.lessons.definitions import definitions, run_cell

TWO = [(0.65, stats.norm(-1.5, 0.6)), (0.35, stats.norm(1.5, 0.6))]
LESSON = "18_stable_adversarial_training"


@pytest.fixture
def lesson():
    return definitions(LESSON)


def smooth(inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 16), nn.Tanh(), nn.Linear(16, outputs)).double()


def logistic(t):
    return 1 / (1 + math.exp(-t))


def density(x):
    return sum(weight * part.pdf(x) for weight, part in TWO)


def quad(function, points=(-3, -1.5, 0, 1.5, 3)):
    return integrate.quad(function, -16, 16, points=points, limit=800)[0]


# ------------------------------------------------------------------ orders and rules


@pytest.mark.covers("G07")
def test_orders_and_mixtures_of_the_game_of_the_slides(lesson, capsys):
    run_cell(LESSON, "orders", lesson)
    told = capsys.readouterr().out
    assert "min over D: 2.0" in told and "max over G: 3.0" in told
    assert told.count("at worst 2.50") == 2 and "D mixes 0.25" in told and "G mixes 0.50" in told


@pytest.mark.covers("G07")
@pytest.mark.parametrize("rate", [0.05, 0.4, 0.9])
def test_a_step_of_each_rule_by_numbers(lesson, rate):
    x, y = 0.7, -1.3
    new_x, new_y = x - rate * y, y + rate * x
    wanted = {
        "simultaneous": (new_x, new_y),
        "alternating": (new_x, y + rate * new_x),
        "extragradient": (x - rate * new_y, y + rate * new_x),
    }
    for name, pair in wanted.items():
        found = lesson[name](*(torch.tensor([each]).double() for each in (x, y)), rate)
        assert [each.item() for each in found] == pytest.approx(pair)


@pytest.mark.covers("G07")
def test_orbits_leave_circle_and_arrive_at_the_rates_of_the_text(lesson):
    x, y = torch.eye(2).double()
    eta = 0.2
    factor = {
        "simultaneous": math.sqrt(1 + eta**2),
        "extragradient": math.sqrt(1 - eta**2 + eta**4),
    }
    for name, each in factor.items():
        path = lesson["orbit"](lesson[name], x, y, eta, 50)
        assert path.shape == (51, 2, 2)
        assert path[-1].norm().item() == pytest.approx(math.sqrt(2) * each**50)
        assert (path[:, 0] * path[:, 1]).sum(1).abs().max() < 1e-9
    path = lesson["orbit"](lesson["alternating"], x, y, eta, 50)
    kept = path.square().sum((1, 2)) - eta * (path[:, 0] * path[:, 1]).sum(1)
    torch.testing.assert_close(kept, kept[:1].expand(51))


# ------------------------------------------------------------------ smoothed labels


@pytest.mark.covers("G05")
def test_samples_have_the_density(lesson):
    """Kolmogorov–Smirnov: false alarms once in a million."""
    torch.manual_seed(0)
    x = lesson["sample_data"](20_000).double().numpy()

    def cdf(t):
        return sum(weight * part.cdf(t) for weight, part in TWO)

    assert stats.kstest(x, cdf).pvalue > 1e-6
    axis = torch.linspace(-6, 6, 50).double()
    np.testing.assert_allclose(lesson["log_data"](axis).exp(), density(axis.numpy()), rtol=1e-9)


@pytest.mark.covers("G05")
@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.0), (0.1, 0.0), (0.3, 0.2)])
def test_the_smoothed_loss_and_its_best_discriminator(lesson, alpha, beta):
    real, fake = [0.4, -1.2, 2.0], [0.3, -0.7]
    found = lesson["smoothed_loss"](
        torch.tensor(real).double(), torch.tensor(fake).double(), alpha, beta
    ).item()
    wanted = 0.0
    for values, label in ((real, 1 - alpha), (fake, beta)):
        for v in values:
            D = logistic(v)
            cost = -label * math.log(D) - (1 - label) * math.log(1 - D)
            wanted += cost / len(values)
    assert found == pytest.approx(wanted)
    for p, q in ((0.3, 0.1), (0.02, 0.5)):
        logs = (torch.tensor(each).double().log() for each in (p, q))
        best = lesson["best_D"](*logs, alpha, beta).item()
        grid = np.linspace(1e-4, 1 - 1e-4, 100_001)
        a, b = (1 - alpha) * p + beta * q, alpha * p + (1 - beta) * q
        at = grid[np.argmax(a * np.log(grid) + b * np.log(1 - grid))]
        assert best == pytest.approx(at, abs=2e-4)


@pytest.mark.covers("G05")
def test_accuracy_counts_both_kinds(lesson):
    lesson["p"] = lesson["gaussian"](lesson["GRID"], 0.0, 1.0)
    lesson["q"] = lesson["gaussian"](lesson["GRID"], 2.0, 1.0)
    D = (lesson["GRID"] < 1.0).double()
    found = lesson["accuracy"](D, 0.5).item()
    assert found == pytest.approx(stats.norm.cdf(1.0), abs=2e-3)


@pytest.mark.covers("G05")
@pytest.mark.parametrize("theta", [1.0, 4.0])
@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 0.0), (0.1, 0.0), (0.0, 0.1), (0.2, 0.1)])
def test_pulls_are_slopes_of_the_cost_of_samples_moved_by_hand(lesson, theta, alpha, beta):
    """The cost of samples of q, each moved by h, under the logit of q where it was."""

    def cost(x):
        p, q = stats.norm(0, 1).logpdf(x), stats.norm(theta, 1).logpdf(x)
        u = math.exp(p - q)
        D = ((1 - alpha) * u + beta) / (u + 1)
        return -math.log(D)

    def moved(h):
        return quad(lambda e: stats.norm.pdf(e) * cost(theta + e + h), (-4, -2, 0, 2, 4))

    slope = (moved(1e-4) - moved(-1e-4)) / 2e-4
    assert lesson["pull"](theta, alpha, beta).item() == pytest.approx(slope, abs=1e-4)


@pytest.mark.covers("G05")
def test_a_step_forgets_older_gradients_and_goes_downhill(lesson):
    net = nn.Linear(1, 1, bias=False).double()
    net.weight.data.fill_(2.0)
    net.weight.grad = torch.full_like(net.weight, 7.0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    lesson["step"](optimizer, net(torch.ones(1, 1).double()).sum())
    assert net.weight.item() == pytest.approx(1.9)


# ------------------------------------------------------------------ norms


@pytest.mark.covers("G06")
def test_norms_by_loops_over_rows(lesson):
    torch.manual_seed(0)
    x, reference = torch.randn(5, 3).double(), 2 + torch.randn(7, 3).double()
    for name in ("batch_norm", "reference_norm", "virtual_norm"):
        found = lesson[name](x, reference).numpy()
        for i, row in enumerate(x.numpy()):
            seen = {
                "batch_norm": x.numpy(),
                "reference_norm": reference.numpy(),
                "virtual_norm": np.concatenate([reference.numpy(), row[None]]),
            }[name]
            wanted = (row - seen.mean(0)) / np.sqrt(seen.var(0) + 1e-5)
            np.testing.assert_allclose(found[i], wanted, rtol=1e-9)


@pytest.mark.covers("G06")
def test_a_row_of_virtual_batch_norm_is_bounded_and_sees_no_neighbour(lesson):
    torch.manual_seed(0)
    reference = torch.randn(9, 4).double()
    x = torch.cat([1e6 * torch.ones(1, 4), torch.randn(3, 4)]).double()
    found = lesson["virtual_norm"](x, reference)
    assert found.abs().max() < 3.0  # √R
    assert torch.allclose(found[1:], lesson["virtual_norm"](x[1:], reference))


@pytest.mark.covers("G06")
def test_the_reference_goes_through_the_layers_by_its_own_statistics(lesson):
    torch.manual_seed(0)
    weights = [torch.randn(i, o).double() for i, o in ((2, 3), (3, 4), (4, 1))]
    z, reference = torch.randn(3, 2).double(), torch.randn(6, 2).double()
    found = lesson["generated"](lesson["reference_norm"], z, reference, weights)
    x, r = z.numpy(), reference.numpy()
    for W in weights[:-1]:
        x, r = x @ W.numpy(), r @ W.numpy()
        mean, deviation = r.mean(0), np.sqrt(r.var(0) + 1e-5)
        x, r = (np.maximum((each - mean) / deviation, 0) for each in (x, r))
    np.testing.assert_allclose(found.numpy(), x @ weights[-1].numpy(), rtol=1e-9)


# ------------------------------------------------------------------ costs and penalty


@pytest.mark.covers("G10")
def test_costs_by_numbers(lesson):
    real, fake = [0.4, -1.2, 2.0], [0.3, -0.7]
    rows = [torch.tensor(each).double() for each in (real, fake)]
    wanted = {
        "cross_entropy": sum(-math.log(logistic(v)) for v in real) / 3
        + sum(-math.log(1 - logistic(v)) for v in fake) / 2,
        "least_squares": sum((v - 1) ** 2 for v in real) / 6 + sum(v**2 for v in fake) / 4,
        "gap": sum(fake) / 2 - sum(real) / 3,
    }
    for name, value in wanted.items():
        assert lesson[name](*rows).item() == pytest.approx(value)
    for name, (loss, cost) in lesson["GAMES"].items():
        theirs = COSTS[name]
        assert loss(*rows).item() == pytest.approx(theirs.discriminator(*rows).item())
        assert cost(rows[1]).item() == pytest.approx(theirs.generator(rows[1]).item())
    for alpha, beta in ((0.1, 0.0), (0.2, 0.3)):
        wanted_loss = smoothed(COSTS["minimax"], alpha, beta).discriminator(*rows).item()
        assert lesson["smoothed_loss"](*rows, alpha, beta).item() == pytest.approx(wanted_loss)
    generators = {
        "minimax": sum(math.log(1 - logistic(v)) for v in fake) / 2,
        "non-saturating": sum(-math.log(logistic(v)) for v in fake) / 2,
        "least-squares": sum((v - 1) ** 2 for v in fake) / 4,
        "wasserstein": -sum(fake) / 2,
    }
    for name, value in generators.items():
        assert lesson["GAMES"][name][1](rows[1]).item() == pytest.approx(value)


@pytest.mark.covers("G10")
def test_a_sample_has_the_least_squares_weight_of_the_text(lesson):
    """−(dc/dv) dv*/d log u with v* = σ(log u) is D (1 − D)²."""
    log_u = torch.linspace(-6, 6, 61).double().requires_grad_()
    cost = lesson["GAMES"]["least-squares"][1](log_u.sigmoid())
    (slope,) = torch.autograd.grad(cost, log_u)
    D = log_u.detach().sigmoid()
    torch.testing.assert_close(-61 * slope, D * (1 - D) ** 2)


@pytest.mark.covers("G10")
def test_the_penalty_takes_one_norm_and_one_mixing_number_a_row(lesson):
    """Of v(x) = ‖x‖² / 2 the slope at x is x, so that the penalty tells where the rows are."""
    seen = []

    def critic(x):
        seen.append(x.detach().clone())
        return x.square().sum(1) / 2

    torch.manual_seed(0)
    x, fake = torch.randn(6, 3), torch.randn(6, 3)
    found = lesson["penalty"](critic, x, fake).item()
    (between,) = seen
    t = (between - fake) / (x - fake)
    assert torch.allclose(t, t[:, :1].expand(6, 3), atol=1e-3)  # one a row
    assert ((t >= 0) & (t <= 1)).all() and t[:, 0].std() > 0.05  # and another for each
    wanted = sum((math.sqrt(sum(c**2 for c in row)) - 1) ** 2 for row in between.tolist()) / 6
    assert found == pytest.approx(wanted, rel=1e-5)


@pytest.mark.covers("G10")
def test_the_penalty_can_be_trained(lesson):
    w = torch.full((1, 1), 3.0, requires_grad=True)
    torch.manual_seed(0)
    lesson["penalty"](lambda x: x @ w, torch.randn(4, 1), torch.randn(4, 1)).backward()
    assert w.grad.item() == pytest.approx(4.0)


# ------------------------------------------------------------------ games


@pytest.mark.covers("G07")
def test_many_networks_are_each_their_own(lesson):
    torch.manual_seed(0)
    parts, copies = lesson["layers"](3, 5, 4, 2), lesson["GAMES_AT_ONCE"]
    x = torch.randn(copies, 7, 3)
    found = lesson["through"](parts, x)
    for k in range(copies):
        net = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU())
        net.append(nn.Linear(4, 2))
        for layer, weight, bias in zip(net[::2], parts[::2], parts[1::2], strict=True):
            layer.weight.data, layer.bias.data = weight[k].T, bias[k, 0]
        assert torch.allclose(net(x[k]), found[k], atol=1e-6)


@pytest.mark.covers("G07")
def test_gaps_are_those_of_kolmogorov_and_smirnov(lesson):
    torch.manual_seed(0)
    x = 0.3 + lesson["sample_data"](2000)

    def cdf(t):
        return sum(weight * part.cdf(t) for weight, part in TWO)

    wanted = stats.kstest(x.double().numpy(), cdf).statistic
    assert lesson["off_by"](x) == pytest.approx(wanted, abs=3e-3)


@pytest.mark.covers("G07")
def test_generators_come_nearer_and_a_rate_of_zero_leaves_them(lesson):
    torch.manual_seed(0)
    still = lesson["play"](8, 3, rate=0.0)
    torch.manual_seed(0)
    moved = lesson["play"](32, 150, rate=5e-3)
    assert still.shape == (lesson["GAMES_AT_ONCE"],)
    assert moved.mean() < still.mean() - 0.1


# ------------------------------------------------------------------ looking ahead


@pytest.mark.covers("G09")
@pytest.mark.parametrize("k", [0, 1, 3])
def test_unrolled_losses_step_by_step_and_their_slopes_by_differences(lesson, k):
    torch.manual_seed(0)
    G, D = smooth(2, 2), smooth(2, 1)
    x, z = torch.randn(5, 2).double(), torch.randn(4, 2).double()

    def by_steps(G):
        other = copy.deepcopy(D)
        optimizer = torch.optim.SGD(other.parameters(), lr=0.3)
        with torch.no_grad():
            fake = G(z)
        for _ in range(k):
            optimizer.zero_grad()
            loss = (1 + (-other(x)).exp()).log().mean() + (1 + other(fake).exp()).log().mean()
            loss.backward()
            optimizer.step()
        return (1 + (-other(fake)).exp()).log().mean().item()

    loss = lesson["unrolled_loss"](G, D, x, z, k, rate=0.3)
    assert loss.item() == pytest.approx(by_steps(G), rel=1e-9)
    slopes = torch.autograd.grad(loss, list(G.parameters()))
    given = lesson["unrolled_loss"](G, D, x, z, k, rate=0.3, through_steps=False)
    assert given.item() == pytest.approx(loss.item(), rel=1e-12)
    part, slope = G[2].weight, slopes[2]
    for i in range(2):
        values = []
        for sign in (1, -1):
            moved = copy.deepcopy(G)
            moved[2].weight.data[i, 3] += sign * 1e-5
            values.append(by_steps(moved))
        assert slope[i, 3].item() == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-7)
    assert all(torch.equal(one, other) for one, other in zip(part, G[2].weight, strict=True))


@pytest.mark.covers("G09")
def test_taken_as_given_the_slope_is_that_of_a_fixed_discriminator(lesson):
    torch.manual_seed(0)
    G, D = smooth(2, 2), smooth(2, 1)
    x, z = torch.randn(5, 2).double(), torch.randn(4, 2).double()
    other = copy.deepcopy(D)
    optimizer = torch.optim.SGD(other.parameters(), lr=0.3)
    for _ in range(2):
        optimizer.zero_grad()
        lesson["cross_entropy"](other(x), other(G(z).detach())).backward()
        optimizer.step()
    wanted = torch.autograd.grad(
        -nn.functional.logsigmoid(other(G(z))).mean(), list(G.parameters())
    )
    loss = lesson["unrolled_loss"](G, D, x, z, 2, rate=0.3, through_steps=False)
    for one, two in zip(torch.autograd.grad(loss, list(G.parameters())), wanted, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.covers("G08")
def test_closeness_by_loops(lesson):
    torch.manual_seed(0)
    x, T = torch.randn(5, 3).double(), torch.randn(3, 2, 4).double()
    found = lesson["closeness"](x, T)
    M = [[(row @ T[:, b]).tolist() for b in range(2)] for row in x]
    for i in range(5):
        for b in range(2):
            wanted = sum(
                math.exp(-sum(abs(u - v) for u, v in zip(M[i][b], M[j][b], strict=True)))
                for j in range(5)
                if j != i
            )
            assert found[i, b].item() == pytest.approx(wanted)
