"""Planar densities: their mass by quadrature, their samples by counting, their values by peers."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from sklearn.datasets import make_moons
from torch import distributions

from genlib import data

DENSITIES = {
    "ring": data.ring(),
    "ring of 3": data.ring(modes=3, radius=1.0, scale=0.3),
    "grid": data.grid(),
    "grid of 4": data.grid(side=2, spacing=1.0, scale=0.2),
    "two moons": data.two_moons(),
    "spirals": data.spirals(),
    "3 spirals": data.spirals(arms=3, turns=0.7, radius=2.0, scale=0.15),
    "checkerboard": data.checkerboard(),
    "checkerboard of 3": data.checkerboard(squares=3),
    "pinwheel": data.pinwheel(),
    "pinwheel of 3": data.pinwheel(arms=3, radius=1.0, radial=0.3, tangential=0.15, rate=0.5),
}


def midpoints(density, cells):
    """Centres of a fine grid over the density's extent, (cells², 2), and the area of a cell."""
    side = 2 * density.extent / cells
    line = -density.extent + side * (torch.arange(cells, dtype=torch.float64) + 0.5)
    return torch.cartesian_prod(line, line), side**2


def chi_square(x, density, cells=24, finer=10):
    """Upper-tail p-value of counts in a grid of cells against the integral of the density."""
    points, area = midpoints(density, cells * finer)
    mass = density.log_prob(points).exp() * area
    expected = mass.view(cells, finer, cells, finer).sum((1, 3)).flatten().numpy() * len(x)
    edges = np.linspace(-density.extent, density.extent, cells + 1)
    counts = np.histogram2d(*np.asarray(x.double()).T, bins=[edges, edges])[0].flatten()
    large = expected >= 10
    # What is too rare to count cell by cell is one cell more, with all that lies outside.
    observed = np.append(counts[large], len(x) - counts[large].sum())
    expected = np.append(expected[large], len(x) - expected[large].sum())
    if expected[-1] < 10:
        observed, expected = observed[:-1], expected[:-1]
    statistic = ((observed - expected) ** 2 / expected).sum()
    return stats.chi2.sf(statistic, len(expected) - 1)


@pytest.mark.parametrize("name", DENSITIES)
class TestAll:
    def test_the_mass_inside_the_extent_is_one(self, name):
        density = DENSITIES[name]
        points, area = midpoints(density, 240)
        assert density.log_prob(points).exp().sum() * area == pytest.approx(1, abs=1e-6)

    def test_samples_follow_the_density(self, name):
        # 11 densities at 9e-8: a false alarm in at most one run of a million.
        density = DENSITIES[name]
        x = density.sample(40_000, torch.Generator().manual_seed(1))
        assert x.shape == (40_000, 2) and x.dtype == torch.float32
        assert chi_square(x, density) > 9e-8

    def test_draws_lie_in_the_support_and_are_repeatable(self, name):
        density = DENSITIES[name]
        torch.manual_seed(3)
        x = density.sample(20_000)
        torch.manual_seed(3)
        assert torch.equal(x, density.sample(20_000))
        assert density.support.check(x).all()
        assert torch.isfinite(density.log_prob(x)).all()

    def test_dataset_has_three_splits_and_the_components_as_labels(self, name):
        density = DENSITIES[name]
        drawn = density.dataset(2000, seed=5)
        assert [len(part) for _, part in drawn.splits.items()] == [1600, 200, 200]
        assert drawn.labels.train.unique().tolist() == list(range(density.components))
        assert torch.equal(drawn.train, density.dataset(2000, seed=5).train)
        assert not torch.equal(drawn.train, density.dataset(2000, seed=6).train)

    def test_refusals(self, name):
        density = DENSITIES[name]
        with pytest.raises(ValueError, match=r"x: expected shape \(N, 2\), got \(4, 3\)"):
            density.log_prob(torch.zeros(4, 3))
        with pytest.raises(ValueError, match="finite"):
            density.log_prob(torch.tensor([[0.0, float("nan")]]))
        with pytest.raises(TypeError, match=r"torch.int64"):
            density.log_prob(torch.zeros(4, 2, dtype=torch.int64))
        with pytest.raises(ValueError, match="n: expected at least 1, got 0"):
            density.sample(0)
        with pytest.raises(ValueError, match="n: expected at least 10, got 9"):
            density.dataset(9)

    def test_the_dtype_of_x_is_kept(self, name):
        x = DENSITIES[name].sample(10)
        single, double = DENSITIES[name].log_prob(x), DENSITIES[name].log_prob(x.double())
        assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
        torch.testing.assert_close(single, double.float())


@pytest.mark.parametrize("name", ["ring", "ring of 3", "grid", "grid of 4"])
def test_modes_agree_with_torch_distributions(name):
    density = DENSITIES[name]
    peer = distributions.MixtureSameFamily(
        distributions.Categorical(logits=torch.zeros(density.components)),
        distributions.Independent(
            distributions.Normal(density.centres, torch.tensor(density.scale)), 1
        ),
    )
    x = midpoints(density, 20)[0]
    torch.testing.assert_close(density.log_prob(x), peer.log_prob(x), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_labels_are_the_nearest_centres(name):
    density = DENSITIES[name]
    drawn = density.dataset(1000)
    assert torch.equal(
        torch.cdist(drawn.train, density.centres.float()).argmin(1), drawn.labels.train
    )


@pytest.mark.parametrize("arms", [2, 3])
def test_spirals_agree_with_adaptive_quadrature(arms):
    density = data.spirals(arms=arms, turns=1.2, radius=2.0, scale=0.1)

    def log_density(x, y):
        def integrand(t):
            r, total = 2.0 * t, 0.0
            for k in range(arms):
                a = 2 * math.pi * (1.2 * t + k / arms)
                squared = (x - r * math.cos(a)) ** 2 + (y - r * math.sin(a)) ** 2
                total += math.exp(-squared / 0.02) / (2 * math.pi * 0.01)
            return 2 * t * total / arms

        return math.log(integrate.quad(integrand, 0, 1, limit=1000, epsabs=1e-14)[0])

    # Draws lie near the arms, where quadrature without logarithms is accurate.
    x = density.sample(12, torch.Generator().manual_seed(0)).double()
    expected = torch.tensor([log_density(*row) for row in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(density.log_prob(x), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("scale", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("make", [data.two_moons, data.spirals])
def test_quadrature_has_converged_wherever_log_p_is_above_minus_100(make, scale):
    density, finer = make(scale=scale), make(scale=scale)
    finer._nodes, finer._weights = finer._quadrature(np.linspace(0, 1, 1001))
    x = midpoints(density, 30)[0]
    ours, expected = density.log_prob(x), finer.log_prob(x)
    near = expected > -100
    assert (ours - expected)[near].abs().max() < 1e-9


def test_two_moons_are_scikit_learns():
    # One chi-square test at 1e-6.
    x, label = make_moons(40_000, noise=0.1, random_state=0)
    density = data.two_moons(scale=0.1)
    assert chi_square(torch.tensor(x - [0.5, 0.25]), density) > 1e-6
    ours = density.dataset(40_000)
    for k in (0, 1):
        mean = ours.train[ours.labels.train == k].double().mean(0).numpy()
        error = mean - (x[label == k] - [0.5, 0.25]).mean(0)
        assert np.abs(error).max() < 6 * 0.75 / math.sqrt(16_000)  # 6 σ of the mean


def test_pinwheel_is_the_change_of_variables():
    density = data.pinwheel(arms=1)
    centre = torch.tensor([2.0, 0.0], dtype=torch.float64)
    base = distributions.Normal(centre, torch.tensor([0.6, 0.2], dtype=torch.float64))

    def twist(f):
        angle = 0.25 * torch.exp(f.norm() / 2)
        cos, sin = angle.cos(), angle.sin()
        return torch.stack([cos * f[0] - sin * f[1], sin * f[0] + cos * f[1]])

    torch.manual_seed(0)
    for f in base.sample((20,)):
        jacobian = torch.autograd.functional.jacobian(twist, f)
        expected = base.log_prob(f).sum() - torch.linalg.slogdet(jacobian)[1]
        found = density.log_prob(twist(f)[None])[0]
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


def test_checkerboard_is_flat_on_the_black_squares_and_nothing_off_them():
    density = data.checkerboard()
    x = torch.tensor([[-3.0, -3.0], [3.0, 3.0], [-1.0, -1.0], [-3.0, -1.0], [5.0, 5.0], [-2, -2]])
    expected = torch.tensor([1, 1, 1, 0, 0, 1]) / 32
    torch.testing.assert_close(density.log_prob(x).exp(), expected)
    assert str(density.support) == "the black squares of the checkerboard"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: data.ring(modes=0), "modes: expected at least 1, got 0"),
        (lambda: data.ring(modes=2**40), "modes: expected at most 1024, got 1099511627776"),
        (lambda: data.ring(scale=0.0), r"scale: expected a number in \[1e-100, 1e\+100\], got 0.0"),
        (lambda: data.ring(radius=5e-324), "radius: expected a number in .*, got 5e-324"),
        (lambda: data.grid(side=2**40), "side: expected at most 32"),
        (lambda: data.grid(spacing=-1.0), "spacing: expected a number in"),
        (lambda: data.two_moons(scale=float("inf")), "scale: expected .*, got inf"),
        (lambda: data.two_moons(scale=1e-9), r"at most 4096 pieces .*, got 2.09e\+09; enlarge the"),
        (lambda: data.spirals(turns=0.0), r"turns: expected a number inside \(0, 100\), got 0"),
        (lambda: data.spirals(turns=1e9), "turns: expected a number inside"),
        (lambda: data.spirals(arms=2**40), "arms: expected at most 1024"),
        (lambda: data.checkerboard(squares=0), "squares: expected at least 1"),
        (lambda: data.checkerboard(squares=2**40), "squares: expected at most 32"),
        (lambda: data.pinwheel(tangential=-0.1), "tangential: expected a number in"),
        (lambda: data.pinwheel(rate=math.nan), r"rate: .* in \[-1000, 1000\], got nan"),
        (lambda: data.pinwheel(arms=2**40), "arms: expected at most 1024"),
        (lambda: data.ring().sample(2**40), "n: expected at most 1073741824"),
        (lambda: data.ring().dataset(seed=2**64), "seed: expected at most"),
        (lambda: data.ring().log_prob(torch.zeros(2, 2, device="meta")), "x: .* meta device"),
    ],
)
def test_values_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: data.ring(modes=2.0), "modes: expected an integer, got 2.0"),
        (lambda: data.ring(scale="a"), "scale: expected a number in .*, got 'a'"),
        (lambda: data.pinwheel(rate=None), "rate: expected a number in .*, got None"),
        (lambda: data.ring().sample(5, generator=3), "generator: expected .* got 3"),
        (lambda: data.ring().dataset(seed="a"), "seed: expected an integer, got 'a'"),
        (lambda: data.ring().log_prob(torch.eye(2).to_sparse()), "x: expected a dense tensor"),
    ],
)
def test_values_of_another_kind(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_far_out_the_pinwheel_is_its_untwisted_gaussian_at_the_right_distance():
    """There log p is −½ (f₁ − radius)²/radial² − ½ f₂²/tangential² at the best arm, ‖f‖ = ‖x‖:
    between that of a point along the narrow axis and that of one along the wide axis.
    """
    density = data.pinwheel()
    for r in (1e3, 1e5, 1e30):
        x = r * torch.tensor([[1.0, 0.0], [0.6, -0.8]], dtype=torch.float64)
        found = density.log_prob(x)
        assert (found <= -0.5 * ((r - 2) / 0.6) ** 2 * (1 - 1e-9) + 10).all()
        assert (found >= -0.5 * ((r + 2) / 0.2) ** 2 * (1 + 1e-9) - 10).all()


@pytest.mark.parametrize("scale", [1e-9, 1e-6, 1.0])
def test_modes_are_as_exact_where_the_scale_is_small(scale):
    """One standard deviation beside a mode, far from the origin."""
    density = data.ring(radius=10.0, scale=scale)
    x = density.centres + torch.tensor([scale, 0.0], dtype=torch.float64)
    z = ((x - density.centres) / scale).square().sum(1)  # not quite 1, as x is rounded
    expected = -z / 2 - math.log(8 * 2 * math.pi) - 2 * math.log(scale)
    torch.testing.assert_close(density.log_prob(x), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in DENSITIES if "checkerboard" not in name])
def test_log_prob_has_a_score(name):
    density = DENSITIES[name]
    x = density.sample(6, torch.Generator().manual_seed(2)).double().requires_grad_()
    assert torch.autograd.gradcheck(density.log_prob, [x])
