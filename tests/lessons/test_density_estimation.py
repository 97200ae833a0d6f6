"""What lesson 03 writes by hand, against independent truth and on inputs it has no time for."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

import genlib as gl
from tests.lessons.definitions import definitions, run_cell


@pytest.fixture
def lesson():
    return definitions("03_density_estimation")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def two_pieces(x):
    """The lesson's density with a hidden switch: N(±2, ½), each half of the time."""
    return sum(stats.norm(m, math.sqrt(0.5)).pdf(x) for m in (-2, 2)) / 2


# ------------------------------------------------------------------ maximum likelihood


@pytest.mark.covers("F10")
def test_the_mean_log_likelihood_is_that_of_scipys_normal_density(lesson):
    x = torch.randn(40, 3, generator=generator()).double()
    lesson |= {"x": x}  # what the function takes from the lesson
    root = torch.randn(3, 3, generator=generator(1)).double()
    sigma, mu = root @ root.T + 0.3 * torch.eye(3), torch.tensor([0.3, -1.0, 2.0]).double()
    found = lesson["log_likelihood"](mu, torch.linalg.inv(sigma))
    expected = stats.multivariate_normal(mu, sigma).logpdf(x).mean()
    assert found.item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.covers("F10")
def test_the_density_with_a_hidden_switch(lesson):
    torch.manual_seed(0)
    x = torch.linspace(-6, 6, 50).double()[:, None]
    expected = two_pieces(x[:, 0].numpy())
    np.testing.assert_allclose(lesson["true_log_prob"](x).exp(), expected, rtol=1e-9)
    for at in (-3.0, 0.0, 2.2):
        area = integrate.quad(two_pieces, -12, at)[0]
        assert lesson["probability_below"](torch.tensor(at).double()).item() == pytest.approx(area)
    drawn, switch = lesson["two_pieces"](40_000)
    for side, mean in ((0, -2.0), (1, 2.0)):
        piece = stats.norm(mean, math.sqrt(0.5))
        assert stats.kstest(drawn[switch == side, 0].numpy(), piece.cdf).pvalue > 1e-6


@pytest.mark.covers("F10")
def test_without_the_switch_the_loss_is_that_of_the_gaussian_with_the_same_moments(lesson):
    """For a Gaussian with the moments of p, KL(p || q) = h(q) − h(p): entropies alone."""
    run_cell("03_density_estimation", "cell-013", lesson)
    entropy = integrate.quad(lambda x: -two_pieces(x) * np.log(two_pieces(x)), -9, 9, limit=200)[0]
    moments = [integrate.quad(lambda x, k=k: x**k * two_pieces(x), -9, 9)[0] for k in (1, 2)]
    best = stats.norm(moments[0], math.sqrt(moments[1] - moments[0] ** 2))
    assert lesson["floor"] == pytest.approx(best.entropy() - entropy, abs=1e-6)


@pytest.mark.covers("F10")
def test_the_parameters_of_a_gaussian_are_its_mean_and_one_triangle(lesson, capsys):
    torch.manual_seed(0)
    run_cell("03_density_estimation", "cell-016", lesson)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    for d, count, ratio, *_ in rows:
        expected = int(d) + len(torch.tril_indices(int(d), int(d)).T)
        assert int(count) == expected and float(ratio) == pytest.approx(expected / 200, abs=6e-4)
        # What the lesson says of it: for d far below N the mean loss is this over 2N.
        near = lesson["mean_loss_of_fit"](10**6, int(d))
        assert 2e6 * near == pytest.approx(expected, rel=1e-3)
    assert [int(d) for d, *_ in rows] == [1, 2, 4, 8, 16, 32, 64]


@pytest.mark.covers("F11")
def test_bias_and_variance_of_a_count_are_those_of_a_binomial(lesson):
    run_cell("03_density_estimation", "exact-errors", lesson)
    widths, n = lesson["widths"].double().numpy(), lesson["n"]
    for i in range(0, 60, 9):
        h = widths[i]
        P = integrate.quad(two_pieces, 2 - h / 2, 2 + h / 2)[0]
        estimate = stats.binom(n, P)  # of N h p
        bias = estimate.mean() / (n * h) - two_pieces(2.0)
        variance = estimate.var() / (n * h) ** 2
        assert lesson["variance"][0, i].item() == pytest.approx(variance, rel=1e-4)
        assert lesson["bias2"][0, i].item() == pytest.approx(bias**2, rel=1e-2, abs=1e-9)


@pytest.mark.covers("F10")
@pytest.mark.parametrize("d", [1, 3])
def test_the_loss_of_a_fit_is_torchs_divergence(lesson, d):
    torch.manual_seed(1)
    losses = lesson["loss_of_fit"](20, d, repeats=5)
    torch.manual_seed(1)
    data = torch.randn(5, 20, d).double()
    standard = torch.distributions.MultivariateNormal(
        torch.zeros(d).double(), torch.eye(d).double()
    )
    for loss, x in zip(losses, data, strict=True):
        covariance = torch.cov(x.T, correction=0).reshape(d, d)
        fitted = torch.distributions.MultivariateNormal(x.mean(0), covariance)
        expected = torch.distributions.kl_divergence(standard, fitted)
        assert loss.item() == pytest.approx(expected.item(), abs=1e-9)


# ------------------------------------------------------------------ estimators by hand


@pytest.mark.covers("F12")
def test_the_histogram_counts_by_loops(lesson):
    train, x = (torch.rand(n, 3, generator=generator(n)) for n in (200, 40))
    train[0], x[0] = 1.0, 1.0  # the edge belongs to the last cell
    found = lesson["histogram_log_prob"](train, x, 3).exp()

    def cell(row):
        return [min(int(value * 3), 2) for value in row]

    cells = [cell(row) for row in train.tolist()]
    expected = [sum(cell(row) == other for other in cells) / 200 * 27 for row in x.tolist()]
    assert torch.allclose(found, torch.tensor(expected))


@pytest.mark.covers("F12")
@pytest.mark.parametrize("d", [1, 2])
def test_the_window_is_a_cube_of_side_h(lesson, d):
    train, x = (torch.rand(n, d, generator=generator(n)) for n in (150, 30))
    for h in (0.1, 0.4):
        found = lesson["parzen_prob"](train, x, h)
        expected = [
            sum(max(abs(a - b) for a, b in zip(row, other, strict=True)) < h / 2
                for other in train.tolist()) / 150 / h**d
            for row in x.tolist()
        ]  # fmt: skip
        assert torch.allclose(found, torch.tensor(expected), rtol=1e-4)


@pytest.mark.covers("F13")
@pytest.mark.parametrize(("d", "unit"), [(1, 2.0), (2, math.pi), (3, 4 / 3 * math.pi)])
@pytest.mark.parametrize("k", [1, 5])
def test_neighbours_in_a_ball_that_holds_k(lesson, d, unit, k):
    train, x = (torch.randn(n, d, generator=generator(n)).double() for n in (60, 10))
    found = lesson["neighbour_log_prob"](train, x, k).exp()
    for p, row in zip(found, x, strict=True):
        radius = sorted((row - other).norm().item() for other in train)[k - 1]
        assert p.item() == pytest.approx(k / (60 * unit * radius**d), rel=1e-9)


@pytest.mark.covers("F12")
def test_colours_of_rectangles_are_dequantised(lesson):
    photo = torch.arange(3 * 10 * 12).view(3, 10, 12) % 256 / 255
    lesson |= {"photo": photo}
    found = lesson["colours_in"]([(2, 5, 1, 4), (0, 1, 0, 12)])
    levels = [photo[:, 2:5, 1:4].flatten(1), photo[:, :1].flatten(1)]
    expected = (torch.cat(levels, 1).T * 255).round()
    assert (found * 256 - (found * 256).floor()).std() > 0.2  # spread over the cell
    order = [sorted(map(tuple, part.long().tolist())) for part in ((found * 256).floor(), expected)]
    assert order[0] == order[1]


@pytest.mark.covers("F10", "F12")
def test_log_odds_and_classes_follow_bayes_rule(lesson):
    torch.manual_seed(0)
    clusters = {"one": torch.randn(80, 2) - 1, "other": 1 + 2 * torch.randn(90, 2)}
    lesson |= {"marked": {name: name for name in clusters}, "colours_in": clusters.__getitem__}
    x = torch.randn(20, 2)
    densities = []
    for rows in clusters.values():
        covariance = torch.cov(rows.T, correction=0)
        densities.append(stats.multivariate_normal(rows.mean(0), covariance).logpdf(x))
    found = lesson["log_odds"](lesson["fitted"](gl.Gaussian), x)
    np.testing.assert_allclose(found, densities[0] - densities[1], atol=1e-3)

    labels = torch.arange(120) % 10 * (torch.arange(120) < 60)  # the class 0 is commoner
    learn, ask = torch.randn(120, 2) + labels[:, None], torch.randn(15, 2)
    _, joint = lesson["class_densities"](gl.Gaussian, learn, labels, ask)
    for c in range(10):
        rows = learn[labels == c]
        law = stats.multivariate_normal(rows.mean(0), torch.cov(rows.T, correction=0))
        expected = law.logpdf(ask) + math.log(len(rows) / 120)
        np.testing.assert_allclose(joint[:, c], expected, rtol=1e-3, atol=1e-3)


# ------------------------------------------------------------------ the curse of dimensionality


@pytest.mark.covers("F10")
def test_the_mean_loss_of_a_gaussian_is_the_closed_form_that_the_lesson_prints(lesson):
    """½ [(N+1) d/(N−d−2) − d + Σ ψ((N−i)/2) + d log 2/N]; false alarms below one in a million."""
    torch.manual_seed(0)
    n, d = 40, 3
    digamma = sum(torch.digamma(torch.tensor((n - i) / 2)).item() for i in range(1, d + 1))
    exact = 0.5 * ((n + 1) * d / (n - d - 2) - d + digamma + d * math.log(2 / n))
    losses = lesson["loss_of_fit"](n, d, repeats=150)
    assert abs(losses.mean() - exact) < 5 * losses.std() / math.sqrt(150)
    assert lesson["mean_loss_of_fit"](n, d) == pytest.approx(exact, abs=1e-5)


@pytest.mark.covers("F12")
@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("n", [20, 500])
def test_the_least_squared_error_is_that_of_quadrature(lesson, d, n):
    """E ∫(p̂ − p)² of N(0, I): bias² and variance at each point of a line, or of a radius."""
    r = np.linspace(0, 9, 4001)
    shell = 2 * np.ones_like(r) if d == 1 else 2 * np.pi * r

    def normal(variance):
        return np.exp(-(r**2) / (2 * variance)) / (2 * np.pi * variance) ** (d / 2)

    def error(h):
        mean = normal(1 + h**2)
        square = normal(1 + h**2 / 2) / (4 * np.pi * h**2) ** (d / 2)  # κ_h² is a normal density
        at = (mean - normal(1)) ** 2 + (square - mean**2) / n
        return np.trapezoid(at * shell, r) * (4 * np.pi) ** (d / 2)

    least = min(error(h) for h in np.geomspace(0.05, 4, 150))
    assert lesson["best_squared_error"](n, d) == pytest.approx(least, rel=2e-3)


@pytest.mark.covers("F12")
@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("n", [10, 500])
def test_the_relative_error_at_the_top_is_that_of_the_best_bandwidth(lesson, d, n):
    """Bias by E κ_h(X), variance by E κ_h(X)², each an integral over one coordinate."""
    t = np.linspace(-9, 9, 20_001)
    truth, top = stats.norm.pdf(t), stats.norm.pdf(0) ** d

    def error(h):
        kernel = stats.norm(0, h).pdf(t)
        mean, square = (np.trapezoid(kernel**k * truth, t) ** d / top**k for k in (1, 2))
        return (mean - 1) ** 2 + (square - mean**2) / n

    # The minimum is flat: a grid within 3 % of the best h is within a part in a thousand of it.
    least = min(error(h) for h in np.geomspace(0.05, 4, 150))
    assert lesson["relative_error"](math.log(n), d) == pytest.approx(least, rel=2e-3)


@pytest.mark.covers("F10", "F12", "F13")
def test_the_four_estimators_are_the_formulas_that_the_lesson_prints():
    """genlib's, in float64, by loops over pairs."""
    y, x = (torch.randn(n, 2, generator=generator(n)).double() for n in (30, 8))
    h, k = 0.6, 4
    parzen, neighbours = gl.Parzen(bandwidth=h).double(), gl.KNearest(k=k).double()
    cube, grid = gl.Parzen(kernel="hypercube", bandwidth=h), gl.Histogram(4, low=-4.0, high=4.0)
    for model in (parzen, neighbours, cube.double(), grid.double()):
        model.fit(y)
    for i, row in enumerate(x):
        gaps = [(row - other).tolist() for other in y]
        bumps = [math.exp(-(a * a + b * b) / (2 * h**2)) / (2 * math.pi * h**2) for a, b in gaps]
        assert parzen.log_prob(x)[i].exp().item() == pytest.approx(sum(bumps) / 30)
        inside = sum(abs(a) < h / 2 and abs(b) < h / 2 for a, b in gaps)
        assert cube.log_prob(x)[i].exp().item() == pytest.approx(inside / (30 * h**2))
        radius = sorted(math.hypot(*gap) for gap in gaps)[k - 1]
        found = neighbours.unnormalised_log_prob(x)[i].exp().item()
        assert found == pytest.approx(k / (30 * math.pi * radius**2))
        cells = [[math.floor((v + 4) / 2) for v in other.tolist()] for other in (row, *y)]
        same = sum(cell == cells[0] for cell in cells[1:])
        assert grid.log_prob(x)[i].exp().item() == pytest.approx(same / (30 * 4))
    left_out = parzen.leave_one_out_log_prob().exp()
    for i in range(30):
        terms = [
            math.exp(-(y[i] - y[m]).square().sum().item() / (2 * h**2)) / (2 * math.pi * h**2)
            for m in range(30)
            if m != i
        ]
        assert left_out[i].item() == pytest.approx(sum(terms) / 29)


@pytest.mark.covers("F12")
def test_scotts_rule_is_sigma_times_a_power_of_n():
    x = torch.randn(50, 3, generator=generator()).double() * torch.tensor([1.0, 5, 0.1]).double()
    model = gl.Parzen().double()
    model.fit(x)
    assert torch.allclose(model.h, x.std(0, correction=0) * 50 ** (-1 / (3 + 4)))
