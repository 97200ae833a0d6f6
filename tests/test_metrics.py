"""Metrics against SciPy, loops over their formulas, closed forms, and their own claims on bias."""

import itertools
import math

import numpy as np
import pytest
import scipy.linalg
import torch
from scipy.spatial.distance import cdist, pdist

import genlib as gl
from genlib import metrics
from genlib.metrics import (
    count_modes,
    frechet,
    frechet_corrected,
    halves,
    kernel_distance,
    precision_recall,
)


def features(n, d, seed=0, dtype=torch.double):
    """Correlated columns, of different sizes, that are not Gaussian."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=generator, dtype=torch.double)
    x = torch.randn(n, d, generator=generator, dtype=torch.double)
    return ((x + 0.3 * x**2) @ mix + torch.arange(d)).to(dtype)


# ------------------------------------------------------------------------------ Fréchet


def frechet_by_scipy(x, y):
    """As the usual implementations have it: a root of the product of the covariances."""
    x, y = x.double().numpy(), y.double().numpy()
    a, b = (np.atleast_2d(np.cov(part, rowvar=False)) for part in (x, y))
    root = scipy.linalg.sqrtm(a @ b)
    assert np.abs(np.imag(root)).max() < 1e-6
    shift = ((x.mean(0) - y.mean(0)) ** 2).sum()
    return shift + np.trace(a) + np.trace(b) - 2 * np.trace(np.real(root))


@pytest.mark.parametrize("dtype", [torch.double, torch.float])
@pytest.mark.parametrize("shape", [(40, 30, 1), (50, 70, 3), (300, 200, 20)], ids=str)
def test_frechet_is_that_of_a_matrix_square_root(shape, dtype):
    n, m, d = shape
    x, y = features(n, d, 0, dtype), features(m, d, 1, dtype)
    found = frechet(x, y)
    assert isinstance(found, float)
    assert found == pytest.approx(frechet_by_scipy(x, y), rel=1e-8, abs=1e-6)
    assert frechet(y, x) == pytest.approx(found, rel=1e-10)


def with_moments(means, variances, n=64):
    """Rows whose sample means and (N − 1)-variances are exactly these, without correlations."""
    d = len(means)
    raw = torch.linalg.qr(torch.randn(n, d + 1).double().index_fill_(1, torch.tensor([0]), 1)).Q
    rows = raw[:, 1:] * math.sqrt(n - 1)  # orthogonal to a column of ones
    return rows * torch.tensor(variances).double().sqrt() + torch.tensor(means).double()


def test_frechet_between_diagonal_covariances_is_a_sum_over_columns():
    """Σ (μ_x − μ_y)² + (σ_x − σ_y)²."""
    x = with_moments([0.0, 1.0, -2.0], [1.0, 4.0, 0.25])
    y = with_moments([3.0, 1.0, -1.0], [9.0, 1.0, 0.25], n=50)
    assert frechet(x, y) == pytest.approx(9 + 0 + 1 + 4 + 1 + 0, rel=1e-12)


def test_frechet_of_a_set_with_itself_is_zero_and_singular_covariances_do_no_harm():
    x, y = features(100, 8), features(90, 8, 1)
    assert abs(frechet(x, x)) < 1e-9
    assert frechet(x + 1e4, y + 1e4) == pytest.approx(frechet(x, y), rel=1e-8)
    flat = [torch.cat([part, torch.zeros(len(part), 2).double()], 1) for part in (x, y)]
    assert frechet(*flat) == pytest.approx(frechet(x, y), rel=1e-10)
    twice = [torch.cat([part, part], 1) for part in (x, y)]  # rotated, √2 and 0 of each column
    assert frechet(*twice) == pytest.approx(2 * frechet(x, y), rel=1e-10)


SPREADS = (4.0, 1.0, 0.25)


def gaussians(n, spreads=SPREADS, shift=0.0):
    spreads = torch.tensor(spreads).double()
    return torch.randn(n, len(spreads)).double() * spreads.sqrt() + shift


def test_the_bias_of_frechet_is_the_one_stated():
    """Within five standard errors of 400 pairs of sets, and 3 % for what is of order 1/N²."""
    n, m = 300, 200
    found = np.array([frechet(gaussians(n), gaussians(m)) for _ in range(400)])
    pairs = sum(a * b / (a + b) for a, b in itertools.product(SPREADS, SPREADS))
    stated = (1 / n + 1 / m) * (1.25 * sum(SPREADS) + pairs / 2)
    allowed = 5 * found.std() / math.sqrt(len(found)) + 0.03 * stated
    assert abs(found.mean() - stated) < allowed
    assert 2 * allowed < stated
    ones = (1.0, 1.0, 1.0, 1.0)
    found = np.array([frechet(gaussians(n, ones), gaussians(m, ones)) for _ in range(400)])
    stated = (1 / n + 1 / m) * (4**2 + 5 * 4) / 4
    assert abs(found.mean() - stated) < 5 * found.std() / math.sqrt(len(found)) + 0.03 * stated


def test_the_correction_removes_the_bias_and_tells_its_error():
    """Within five standard errors of 200 pairs of sets, by which `frechet` itself is off; the mean
    square of the errors is their variance to a factor of 1.5, which is five of its own errors.
    """
    spreads, shift = (1.0, 2.0, 0.5), 0.2
    pairs = zip(SPREADS, spreads, strict=True)
    truth = 3 * shift**2 + sum((math.sqrt(a) - math.sqrt(b)) ** 2 for a, b in pairs)
    plain, corrected = [], []
    for _ in range(200):
        x, y = gaussians(150), gaussians(100, spreads, shift)
        plain.append(frechet(x, y) - truth)
        corrected.append(frechet_corrected(x, y))
    left = np.array([estimate.value.item() for estimate in corrected]) - truth
    assert abs(left.mean()) < 5 * left.std() / math.sqrt(200) < np.mean(plain)
    stated = np.mean([estimate.error.item() ** 2 for estimate in corrected])
    assert 1 / 1.5 < stated / left.var() < 1.5


def test_the_correction_is_the_jackknife_of_the_groups():
    x, y = features(21, 3), features(17, 3, 1)
    found = frechet_corrected(x, y, groups=4, generator=torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    x, y = (part[torch.randperm(len(part), generator=generator)] for part in (x, y))
    sizes = [6, 5, 5, 5], [5, 4, 4, 4]
    parts = [list(part.split(size)) for part, size in zip((x, y), sizes, strict=True)]
    left = []
    for k in range(4):
        rest = [torch.cat([p for i, p in enumerate(part) if i != k]) for part in parts]
        left.append(frechet(*rest))
    assert found.value.item() == pytest.approx(4 * frechet(x, y) - 3 * np.mean(left), rel=1e-10)
    assert found.error.item() == pytest.approx(math.sqrt(3 * np.var(left)), rel=1e-10)


# ------------------------------------------------------------------------------ kernel distance


def polynomial(a, b):
    return (np.dot(a, b) / len(a) + 1) ** 3


def gaussian(a, b, h=0.7):
    return math.exp(-((a - b) ** 2).sum() / (2 * h**2))


def mmd(x, y, kernel):
    def mean(pairs):
        values = [kernel(a, b) for a, b in pairs]
        return math.fsum(values) / len(values)

    within = [mean(itertools.permutations(part, 2)) for part in (x, y)]
    return sum(within) - 2 * mean(itertools.product(x, y))


def interaction(x, y, kernel, same):
    """Mean square of what is left of a kernel without the means of its row and its column."""
    k = np.array([[kernel(a, b) for b in y] for a in x])
    used = ~np.eye(len(x), dtype=bool) if same else np.ones_like(k, dtype=bool)
    rows = np.array([k[i, used[i]].mean() for i in range(len(x))])
    columns = np.array([k[used[:, j], j].mean() for j in range(len(y))])
    return (k[used] ** 2).mean() - (rows**2).mean() - (columns**2).mean() + k[used].mean() ** 2


CASES = {"polynomial": (polynomial, {}), "gaussian": (gaussian, {"bandwidth": 0.7})}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("pairs", [2**22, 7])
def test_kernel_distance_is_the_mean_over_pairs_and_its_error_that_of_leaving_out(
    name, apart, pairs, monkeypatch
):
    """Between sets that are alike, under the Gaussian kernel, the second order alone is left."""
    monkeypatch.setattr(metrics, "_PAIRS", pairs)
    kernel, options = CASES[name]
    x = (0.3 * features(9, 2, 4)).numpy()
    y = (0.3 * features(7, 2, 5) + 1).numpy() if apart else x[1:8]
    found = kernel_distance(torch.tensor(x), torch.tensor(y), name, **options)
    assert found.value.item() == pytest.approx(mmd(x, y, kernel), rel=1e-10)
    without_x = np.array([mmd(np.delete(x, i, 0), y, kernel) for i in range(9)])
    without_y = np.array([mmd(x, np.delete(y, i, 0), kernel) for i in range(7)])
    jackknife = 8 * without_x.var() + 6 * without_y.var()
    second = 2 / (9 * 8) * interaction(x, x, kernel, True)
    second += 2 / (7 * 6) * interaction(y, y, kernel, True)
    second += 4 / (9 * 7) * interaction(x, y, kernel, False)
    floor = name == "gaussian" and not apart
    assert second > 0 and (jackknife < 2 * second) == floor
    variance = second if floor else jackknife - second
    assert found.error.item() == pytest.approx(math.sqrt(variance), rel=1e-10)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_kernel_distance_has_no_bias_and_a_true_error(shift):
    """400 pairs of sets: within five standard errors of the closed form. The mean square of the
    errors is their variance, or twice it at most between equal distributions, to a factor of 1.4;
    the variance of 400 skewed numbers is off by a tenth.
    """
    h = 0.8
    far = 1 - math.exp(-(shift**2) / (2 * (h**2 + 2)))
    truth = 2 * h / math.sqrt(h**2 + 2) * far
    found = [
        kernel_distance(gaussians(60, (1.0,)), gaussians(40, (1.0,), shift), "gaussian", h)
        for _ in range(400)
    ]
    values = np.array([estimate.value.item() for estimate in found])
    assert abs(values.mean() - truth) < 5 * values.std() / math.sqrt(400)
    stated = np.mean([estimate.error.item() ** 2 for estimate in found])
    assert 1 / 1.4 < stated / values.var() < 1.4 * (1 if shift else 2)
    assert (values < 0).any() == (shift == 0)


def test_the_polynomial_kernel_sees_a_scale_and_has_no_bias_either():
    """Four columns of x of variance 1, of y 2: E (xᵀx'/d + 1)³ = 1 + 3 Var(xᵀx')/d² = 1 + 3 v w/d.

    So MMD² = 3/4 (1 + 4 − 2 · 2); five standard errors.
    """
    ones, twos = (1.0,) * 4, (2.0,) * 4
    found = [
        kernel_distance(gaussians(80, ones), gaussians(80, twos)).value.item() for _ in range(200)
    ]
    assert abs(np.mean(found) - 0.75) < 5 * np.std(found) / math.sqrt(200) < 0.3


def test_the_default_bandwidth_is_the_median_distance():
    x, y = features(6, 3), features(5, 3, 1)
    median = np.median(pdist(torch.cat([x, y]).numpy()))
    found = kernel_distance(x, y, "gaussian")
    assert found.value.item() == pytest.approx(
        kernel_distance(x, y, "gaussian", float(median)).value.item(), rel=1e-12
    )


# ------------------------------------------------------------------------------ precision, recall


def share_covered(points, balls, k):
    """In loops: the share of points within the k-th nearest distance of some row of ``balls``."""
    inside = 0
    for point in points:
        for i, centre in enumerate(balls):
            others = [math.dist(centre, row) for j, row in enumerate(balls) if j != i]
            if math.dist(point, centre) <= sorted(others)[k - 1]:
                inside += 1
                break
    return inside / len(points)


@pytest.mark.parametrize("pairs", [2**22, 50])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_precision_and_recall_are_those_of_a_loop(k, pairs, monkeypatch):
    monkeypatch.setattr(metrics, "_PAIRS", pairs)
    data, samples = features(40, 2), 0.6 * features(30, 2, 1) + 1
    found = precision_recall(data, samples, k)
    lists = data.tolist(), samples.tolist()
    assert found.precision == pytest.approx(share_covered(lists[1], lists[0], k), abs=1e-12)
    assert found.recall == pytest.approx(share_covered(*lists, k), abs=1e-12)


def test_precision_and_recall_by_hand_with_the_edge_inside():
    data = torch.tensor([[0.0], [1.0], [2.0]])  # with one neighbour, balls of radius 1
    samples = torch.tensor([[3.0], [3.5], [10.0]])  # of radius ½, ½ and 6½
    assert precision_recall(data, samples, 1) == (pytest.approx(1 / 3), 0.0)
    assert precision_recall(samples, data, 1) == (0.0, pytest.approx(1 / 3))
    assert precision_recall(data, data, 1) == (1.0, 1.0)


def test_precision_without_recall_and_recall_without_precision():
    data = torch.randn(300, 2) + 20 * torch.randint(2, (300, 1))
    one = torch.randn(300, 2)
    everywhere = 60 * torch.rand(3000, 2) - 20
    assert precision_recall(data, one).precision > 0.8 > 0.6 > precision_recall(data, one).recall
    found = precision_recall(data, everywhere)
    assert found.recall > 0.8 > 0.3 > found.precision


def test_equal_rows_make_balls_of_radius_zero():
    data = torch.zeros(5, 2)
    assert precision_recall(data, torch.zeros(4, 2)) == (1.0, 1.0)
    assert precision_recall(data, torch.ones(4, 2)) == (0.0, 0.0)


# ------------------------------------------------------------------------------ modes


@pytest.mark.covers("G04")
def test_modes_are_counted_as_a_loop_counts_them(monkeypatch):
    angle = torch.arange(8) * (2 * math.pi / 8)
    centres = 2 * torch.stack([angle.cos(), angle.sin()], 1)
    samples = centres[torch.randint(6, (500,))] + 0.3 * torch.randn(500, 2)
    counts = [0] * 8
    for row, distances in zip(samples, cdist(samples, centres), strict=True):
        assert row.shape == (2,)
        if distances.min() <= 0.4:
            counts[distances.argmin()] += 1
    for pairs in (2**22, 9):
        monkeypatch.setattr(metrics, "_PAIRS", pairs)
        found = count_modes(samples, centres, 0.4)
        assert found.counts.tolist() == counts
        assert found.modes == sum(count > 0 for count in counts) == 6
        assert found.share == pytest.approx(sum(counts) / 500) and 0.3 < found.share < 0.9
    enough = sorted(counts)[-3]
    assert count_modes(samples, centres, 0.4, enough).modes == sum(n >= enough for n in counts)


@pytest.mark.covers("G04")
def test_the_edge_of_a_mode_is_inside_and_a_sample_counts_once():
    centres = torch.tensor([[0.0], [3.0], [10.0]])
    samples = torch.tensor([[1.0], [1.5], [2.0], [8.9]])
    assert count_modes(samples, centres, 1.0)[:2] == (2, 0.5)
    found = count_modes(samples, centres, 2.0)
    assert found.counts.tolist() == [2, 1, 1]  # 1.5 is as near to 0 as to 3
    assert found[:2] == (3, 1.0)
    assert count_modes(samples, centres, 0.1)[:2] == (0, 0.0)


# ------------------------------------------------------------------------------ halves


def test_halves_are_halves_of_the_rows():
    x, seen = torch.arange(11.0)[:, None], []
    generators = (torch.Generator().manual_seed(1) for _ in range(2))
    for generator in generators:
        halves(lambda a, b: seen.append((a, b)), x, generator=generator)
    (a, b), (again, _) = seen
    assert len(a) == len(b) == 5
    assert len(set(a.flatten().tolist()) | set(b.flatten().tolist())) == 10
    assert torch.equal(a, again) and not torch.equal(a, a.sort(0).values)


def test_halves_give_the_floor_of_a_metric():
    x = features(400, 6)
    assert 0 < halves(frechet, x) < frechet(x[:200], x[200:] + 1)
    assert 0.5 < halves(precision_recall, x).precision < 1


# ------------------------------------------------------------------------------ bad input


X = torch.randn(8, 2)
BAD = {
    "list": (lambda: frechet([[0.0]], X), TypeError, "x: expected a torch.Tensor, got list"),
    "integers": (lambda: frechet(X, X.int()), TypeError, "y: expected floating-point values"),
    "NaN": (lambda: kernel_distance(X, X * torch.nan), ValueError, "y: expected finite values"),
    "images": (
        lambda: frechet(torch.zeros(9, 1, 2, 2), X),
        ValueError,
        r"x: expected a matrix of shape \(N, d\), got \(9, 1, 2, 2\); flatten with x\.flatten\(1\)",
    ),
    "vector": (lambda: halves(frechet, X[:, 0]), ValueError, r"x\.unsqueeze\(1\) makes rows"),
    "columns": (
        lambda: precision_recall(X, X[:, :1]),
        ValueError,
        "samples: expected features as those of data, 2 columns in .* got 1 in",
    ),
    "dtypes": (lambda: frechet(X, X.double()), ValueError, r"y: .* 2 columns in torch\.float32"),
    "few rows": (
        lambda: frechet(X, X[:2]),
        ValueError,
        "y: expected more rows than columns, .* got 2 rows of 2; .*kernel_distance",
    ),
    "few left": (
        lambda: frechet_corrected(X[:4], X[:4], 2),
        ValueError,
        "x: expected more rows than columns",
    ),
    "groups": (lambda: frechet_corrected(X, X, 9), ValueError, "groups: expected at most 8"),
    "one group": (lambda: frechet_corrected(X, X, 1), ValueError, "groups: expected at least 2"),
    "two rows": (lambda: kernel_distance(X, X[:2]), ValueError, "y: expected 3 rows at least"),
    "kernel": (
        lambda: kernel_distance(X, X, "linear"),
        ValueError,
        "kernel: expected one of 'polynomial', 'gaussian', got 'linear'",
    ),
    "bandwidth": (
        lambda: kernel_distance(X, X, "gaussian", 0),
        ValueError,
        "bandwidth: expected a finite positive number, got 0",
    ),
    "needless": (
        lambda: kernel_distance(X, X, bandwidth=1.0),
        ValueError,
        'bandwidth: expected only with kernel="gaussian"',
    ),
    "equal rows": (
        lambda: kernel_distance(0 * X, 0 * X, "gaussian"),
        ValueError,
        "bandwidth: the median distance between rows is zero",
    ),
    "neighbours": (lambda: precision_recall(X, X, 0), ValueError, "neighbours: .* at least 1"),
    "too many": (
        lambda: precision_recall(X, X[:5], 5),
        ValueError,
        "samples: expected 6 rows at least, got 5",
    ),
    "radius": (lambda: count_modes(X, X, -1.0), ValueError, "radius: expected a finite positive"),
    "minimum": (lambda: count_modes(X, X, 1.0, 0), ValueError, "minimum: expected at least 1"),
    "centres": (
        lambda: count_modes(X, X[[0, 1, 0]], 1.0),
        ValueError,
        "centres: expected different ones",
    ),
    "one row": (lambda: halves(frechet, X[:1]), ValueError, "x: expected 2 rows at least, got 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name(case):
    call, error, message = BAD[case]
    with pytest.raises(error, match=message):
        call()


def test_the_metrics_are_reached_from_the_package_and_leave_their_input_alone():
    assert gl.metrics is metrics
    x, y = features(30, 3).requires_grad_(), features(20, 3, 1)
    before = x.detach().clone()
    frechet_corrected(x, y, 3)
    kernel_distance(x, y, "gaussian")
    precision_recall(x, y)
    count_modes(x, y, 1.0)
    assert torch.equal(x, before)
