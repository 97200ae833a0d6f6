"""Lesson 01: what it defines, against independent truth, where it has no time to look itself."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import optimize, stats
from scipy.integrate import quad
from sklearn.linear_model import LinearRegression
from sklearn.metrics import roc_auc_score

import genlib as gl
from tests.book.browser import Browser, executable
from tests.lessons.definitions import definitions
from tests.widgets.test_distances import ended


@pytest.fixture(scope="module")
def lesson():
    """The lesson's definitions; its classes leave the registry of models again."""
    known = dict(gl.Model.registry)
    yield definitions("01_generative_models")
    gl.Model.registry.clear()
    gl.Model.registry.update(known)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


# ---------------------------------------------------------------------- F01


@pytest.mark.covers("F01")
def test_k_means_never_gets_worse_with_another_round(lesson):
    x = torch.randn(300, 4)
    costs = []
    for rounds in range(1, 15):
        torch.manual_seed(1)
        costs.append(lesson["spread"](x, *lesson["k_means"](x, 6, rounds)))
    assert all(b <= a * (1 + 1e-6) for a, b in itertools.pairwise(costs)) and costs[-1] < costs[0]


@pytest.mark.covers("F01")
def test_k_means_finds_clusters_that_lie_apart(lesson):
    truth = torch.arange(120) % 4
    x = 20.0 * torch.eye(4)[truth] + torch.randn(120, 4)
    _, cluster = lesson["best_k_means"](x, 4, starts=30)
    assert lesson["majority"](cluster, truth) == 1.0
    assert len({(c, t) for c, t in zip(cluster.tolist(), truth.tolist(), strict=True)}) == 4


@pytest.mark.covers("F01")
def test_k_means_survives_clusters_that_run_empty(lesson):
    x = torch.tensor([[0.0], [0.0], [0.0], [1.0]])
    centres, cluster = lesson["k_means"](x, 3)
    assert torch.isfinite(centres).all() and lesson["spread"](x, centres, cluster) == 0


@pytest.mark.covers("F01")
@pytest.mark.parametrize("shape", [(50, 6), (5, 20)])
def test_principal_components_are_eigenvectors_of_the_covariance(lesson, shape):
    x = torch.randn(*shape).double() * torch.arange(1, shape[1] + 1)
    mean, directions, variances = lesson["principal_components"](x, 3)
    covariance = torch.cov(x.T, correction=0)
    values = torch.linalg.eigvalsh(covariance).flip(0)[:3]
    assert torch.allclose(mean, x.mean(0)) and torch.allclose(variances, values)
    assert torch.allclose(covariance @ directions.T, directions.T * variances, atol=1e-8)


@pytest.mark.covers("F01")
def test_fraction_explained_is_that_of_linear_regression_even_for_redundant_features(lesson):
    kinds = torch.nn.functional.one_hot(torch.arange(60) % 3).float()  # columns add up to one
    features = torch.cat([kinds, torch.randn(60, 2)], 1)
    target = features @ torch.tensor([1.0, 2, 3, 4, 5]) + torch.randn(60)
    fitted = LinearRegression().fit(features.numpy(), target.numpy())
    expected = fitted.score(features.numpy(), target.numpy())
    assert lesson["fraction_explained"](features, target) == pytest.approx(expected, abs=1e-6)


# ---------------------------------------------------------------------- F02

PAIRS = [((0.3, 0.8), (-1.0, 1.7)), ((0.0, 0.5), (2.5, 0.5)), ((-2.0, 2.0), (-2.0, 0.7))]
INTEGRANDS = {
    "forward KL": lambda p, q: p * math.log(p / q) if p > 1e-300 and q > 1e-300 else 0.0,
    "reverse KL": lambda p, q: q * math.log(q / p) if p > 1e-300 and q > 1e-300 else 0.0,
    "total variation": lambda p, q: abs(p - q) / 2,
    "Jensen–Shannon": lambda p, q: sum(
        0.5 * a * math.log(2 * a / (p + q)) for a in (p, q) if a > 1e-300
    ),
}


@pytest.mark.covers("F02")
@pytest.mark.parametrize("name", INTEGRANDS)
@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_distances_between_densities_equal_adaptive_quadrature(lesson, name, p, q):
    x = lesson["line"](-20, 20, 80_001)
    found = lesson["DISTANCES"][name](lesson["log_normal"](x, *p), lesson["log_normal"](x, *q), x)
    f, g = stats.norm(*p).pdf, stats.norm(*q).pdf
    edges = np.linspace(-14, 14, 57)
    parts = (
        quad(lambda t: INTEGRANDS[name](f(t), g(t)), a, b) for a, b in itertools.pairwise(edges)
    )
    assert found.item() == pytest.approx(sum(value for value, _ in parts), abs=1e-6)


@pytest.mark.covers("F02")
@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_wasserstein_on_the_grid_equals_the_difference_of_quantiles(lesson, p, q):
    """W₁ = ∫₀¹ |F⁻¹ − G⁻¹| du; for normals E|(μ₁ − μ₂) + (σ₁ − σ₂) Z|, a folded normal mean."""
    x = lesson["line"](-24, 24, 96_001)
    found = lesson["wasserstein"](lesson["log_normal"](x, *p), lesson["log_normal"](x, *q), x)
    mean, scale = p[0] - q[0], abs(p[1] - q[1])
    expected = abs(mean) if scale == 0 else stats.foldnorm(abs(mean) / scale, scale=scale).mean()
    assert found.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.covers("F02")
@pytest.mark.parametrize(("p", "q"), PAIRS)
@pytest.mark.parametrize("width", [0.3, 1.0, 4.0])
def test_mmd_on_the_grid_equals_its_closed_form(lesson, p, q, width):
    x = lesson["line"](-16, 16, 1601)
    found = lesson["squared_mmd"](
        lesson["log_normal"](x, *p), lesson["log_normal"](x, *q), x, width
    )

    def mean_kernel(a, b):
        variance = width**2 + a[1] ** 2 + b[1] ** 2
        return width / math.sqrt(variance) * math.exp(-((a[0] - b[0]) ** 2) / (2 * variance))

    expected = mean_kernel(p, p) + mean_kernel(q, q) - 2 * mean_kernel(p, q)
    assert found.item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.covers("F02")
def test_total_is_an_integral_over_a_line_and_over_a_square(lesson):
    x = lesson["line"](-9, 9, 361)
    square = torch.cartesian_prod(x, x)
    assert lesson["total"](torch.exp(-0.5 * (x / 0.7) ** 2), x).item() == pytest.approx(
        0.7 * math.sqrt(2 * math.pi), abs=1e-9
    )
    bump = torch.exp(-0.5 * (square**2).sum(1) / 0.49)
    assert lesson["total"](bump, square).item() == pytest.approx(0.98 * math.pi, abs=1e-9)


@pytest.mark.covers("F02")
def test_two_gaussians_are_the_mixture_that_theta_says(lesson):
    x = lesson["AXIS"]
    theta = torch.tensor([1.2, -1.0, 2.0, -0.3, 0.5], dtype=torch.float64)
    found = lesson["two_gaussians"](theta).exp()
    share = 1 / (1 + math.exp(-1.2))
    left, right = (
        stats.norm(mean, math.exp(log_width)).pdf(x) for mean, log_width in ((-1, -0.3), (2, 0.5))
    )
    np.testing.assert_allclose(found, share * left + (1 - share) * right, atol=1e-12)


@pytest.mark.covers("F02")
@pytest.mark.parametrize("separation", [1.0, 3.3, 7.0])
def test_the_best_gaussian_is_the_best(lesson, separation):
    """Forward KL by moments; the others against a search from many starts."""
    x, log_p = lesson["AXIS"], lesson["two_clusters"](separation)
    mean, variance = -0.15 * separation, 0.36 + 0.65 * 0.35 * separation**2
    theta, _ = lesson["best_gaussian"](lesson["forward_kl"], log_p)
    assert theta[0].item() == pytest.approx(mean, abs=1e-5)
    assert theta[1].exp().item() == pytest.approx(math.sqrt(variance), abs=1e-5)
    for distance in lesson["DISTANCES"].values():

        def value(theta, distance=distance):
            theta = torch.as_tensor(theta, dtype=torch.float64)
            return distance(log_p, lesson["one_gaussian"](theta, x), x).item()

        starts = [(-separation / 2, -0.5), (mean, 0.5), (separation / 2, -0.5)]
        bounds = [(-6, 6), (-1.2, 1.8)]
        rivals = [
            optimize.minimize(value, s, method="Nelder-Mead", bounds=bounds).fun for s in starts
        ]
        # The kinks of |p − q| stop L-BFGS early: half of the last digit that the lesson prints.
        assert lesson["best_gaussian"](distance, log_p)[1] <= min(rivals) + 5e-4


@pytest.mark.covers("F02")
@pytest.mark.skipif(not executable(), reason="needs Chromium")
@pytest.mark.parametrize(("separation", "mean"), [(3.0, -2.0), (4.0, 0.0), (8.0, 0.0)])
def test_descents_of_the_lesson_end_where_those_of_its_figure_do(
    lesson, tmp_path, separation, mean
):
    figure, page = gl.widgets.Distances(separation, mean), tmp_path / "figure.html"
    page.write_text(f'<!doctype html><meta charset="utf-8">{figure._repr_html_()}', "utf-8")
    with Browser() as browser:
        browser.open(page.as_uri())
        for number, distance in enumerate(lesson["DISTANCES"].values()):
            value, centre, width = ended(browser, number)
            expected = lesson["descend"](distance, separation, mean, figure.deviation)
            assert (centre, width) == pytest.approx(expected[:2], abs=0.02)
            assert value == pytest.approx(expected[2], abs=1e-3)


@pytest.mark.covers("F02")
def test_transport_of_samples_is_that_of_scipy(lesson):
    for n in (1, 2, 57):
        x, y = torch.randn(n), torch.randn(n) * 2 + 1
        expected = stats.wasserstein_distance(x.numpy(), y.numpy())
        assert lesson["wasserstein_of_samples"](x, y).item() == pytest.approx(expected, abs=1e-5)


@pytest.fixture
def mixtures(lesson):
    """Two mixtures in the plane with skew covariances."""

    def make(seed):
        generator = torch.Generator().manual_seed(seed)
        shares = torch.rand(3, generator=generator, dtype=torch.float64) + 0.2
        means = 2 * torch.randn(3, 2, generator=generator, dtype=torch.float64)
        root = torch.randn(3, 2, 2, generator=generator, dtype=torch.float64)
        covariances = root @ root.transpose(1, 2) + 0.2 * torch.eye(2)
        return lesson["Mixture"](shares / shares.sum(), means, covariances)

    return make(0), make(1)


@pytest.mark.covers("F02")
def test_planar_mmd_equals_its_closed_form_for_mixtures(lesson, mixtures):
    v = lesson["line"](-14, 14, 281)
    x = torch.cartesian_prod(v, v).flip(1)
    log_p, log_q = (lesson["mixture_log_prob"](m, x) for m in mixtures)

    def mean_kernel(a, b):
        total = 0
        for i, j in itertools.product(range(3), range(3)):
            covariance = a.covariances[i] + b.covariances[j] + torch.eye(2)
            gap = a.means[i] - b.means[j]
            exponent = -0.5 * gap @ torch.linalg.solve(covariance, gap)
            total += (
                a.weights[i] * b.weights[j] * exponent.exp() / torch.linalg.det(covariance).sqrt()
            )
        return total

    p, q = mixtures
    expected = mean_kernel(p, p) + mean_kernel(q, q) - 2 * mean_kernel(p, q)
    found = lesson["planar_squared_mmd"](log_p, log_q, x)
    assert found.item() == pytest.approx(expected.item(), abs=1e-7)


@pytest.mark.covers("F02")
def test_sliced_wasserstein_equals_that_of_projected_samples(lesson, mixtures):
    def sample(mixture, n):
        part = torch.multinomial(mixture.weights, n, replacement=True)
        lower = torch.linalg.cholesky(mixture.covariances)
        noise = torch.randn(n, 2, 1, dtype=torch.float64)
        return mixture.means[part] + (lower[part] @ noise)[..., 0]

    x, y = (sample(m, 100_000) for m in mixtures)
    angles = np.arange(16) * math.pi / 16
    each = [
        stats.wasserstein_distance(*(rows @ torch.tensor([math.cos(a), math.sin(a)]).double()
                                     for rows in (x, y)))
        for a in angles
    ]  # fmt: skip
    found = lesson["sliced_wasserstein"](*mixtures).item()
    assert found == pytest.approx(np.mean(each), abs=0.03)
    assert lesson["sliced_wasserstein"](mixtures[0], mixtures[0]) == 0


@pytest.mark.covers("F02")
def test_mmd_of_samples_is_an_average_over_all_pairs(lesson):
    x, y, widths = torch.randn(5, 3), torch.randn(7, 3) + 1, (0.4, 2.0)

    def mean_kernel(a, b):
        pairs = itertools.product(a, b)
        return np.mean(
            [sum(math.exp(-(s - t).square().sum() / (2 * w**2)) for w in widths) for s, t in pairs]
        )

    expected = mean_kernel(x, x) + mean_kernel(y, y) - 2 * mean_kernel(x, y)
    assert lesson["sample_mmd"](x, y, widths).item() == pytest.approx(expected, abs=1e-5)


# ---------------------------------------------------------------------- F03, F04


@pytest.mark.covers("F03", "F04")
def test_the_lessons_models_answer_what_they_declare(lesson):
    rows = gl.plots.answers([lesson[n] for n in ("PlaneGenerator", "TinyIsing", "Centroids")]).rows
    assert [row[1:] for row in rows] == [
        ("implicit", "yes", "no"),
        ("up to the partition function", "no", "no"),
        ("none", "no", "yes"),
    ]
    generator = lesson["PlaneGenerator"]()
    with pytest.raises(gl.CannotAnswerError, match="nobody can list"):
        generator.log_prob(torch.zeros(1, 2))
    draws = [generator.sample(4, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*draws)
    centroids = lesson["Centroids"](3)
    with pytest.raises(gl.NotFittedError):
        centroids.encode(torch.zeros(1, 2))
    centroids.fit(torch.randn(50, 2))
    assert centroids.encode(torch.randn(9, 2)).sum(1).eq(1).all()


@pytest.mark.covers("F03")
@pytest.mark.parametrize("coupling", [-0.7, 0.0, 0.5, 3.0])
def test_tiny_ising_equals_a_sum_by_hand(lesson, coupling):
    pairs = [(i, i + 1) for i in (0, 1, 3, 4, 6, 7)] + [(i, i + 3) for i in range(6)]
    weights = {
        bits: math.exp(coupling * sum((2 * bits[i] - 1) * (2 * bits[j] - 1) for i, j in pairs))
        for bits in itertools.product((0, 1), repeat=9)
    }
    model = lesson["TinyIsing"](coupling)
    x = torch.tensor(list(weights)).float().reshape(-1, 3, 3)
    expected = torch.tensor(list(weights.values())) / sum(weights.values())
    assert torch.allclose(model.log_prob(x).exp(), expected, rtol=1e-4, atol=1e-9)


# ---------------------------------------------------------------------- F05


@pytest.mark.covers("F05")
def test_what_a_right_family_loses_is_parameters_over_twice_the_examples(lesson):
    truth = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
    arguments = (gl.Gaussian, lambda n: truth.sample((n,)), truth.log_prob, 200)
    results = [lesson["examine"](*arguments) for _ in range(40)]
    lost = np.array([row[0] for row in results])
    error = lost.std() / math.sqrt(len(lost))
    assert abs(lost.mean() - 5 / (2 * 200)) < 5 * error + 0.001  # and a little of second order
    assert {row[3] for row in results} == {6} and all(row[1] > 0 and row[2] > 0 for row in results)


# ---------------------------------------------------------------------- F17


@pytest.mark.covers("F17")
def test_area_is_that_of_the_roc_curve_with_ties(lesson):
    odd, even = torch.randint(5, (40,)).float() + 1, torch.randint(5, (60,)).float()
    expected = roc_auc_score([1] * 40 + [0] * 60, torch.cat([odd, even]).numpy())
    assert lesson["area"](odd, even) == pytest.approx(expected)


@pytest.mark.covers("F17")
def test_conditional_of_a_gaussian_equals_that_of_its_precision(lesson):
    root = torch.randn(6, 6).double()
    sigma, mu = root @ root.T + 0.1 * torch.eye(6), torch.randn(6).double()
    seen = torch.tensor([True, False, True, True, False, False])
    lesson |= {"mu": mu, "sigma": sigma, "seen": seen}  # what the functions take from the lesson
    x = torch.randn(4, 6).double()
    mean, covariance = lesson["conditional"](x[:, seen])
    precision = torch.linalg.inv(sigma)
    hidden = torch.linalg.inv(precision[~seen][:, ~seen])
    assert torch.allclose(covariance, hidden)
    shift = (x[:, seen] - mu[seen]) @ precision[seen][:, ~seen] @ hidden
    assert torch.allclose(mean, mu[~seen] - shift)


@pytest.mark.covers("F17")
def test_conditional_of_parzen_is_a_weighted_mean_of_the_joint_kernel(lesson):
    seen = torch.tensor([True, False, True])
    lesson |= {"seen": seen}
    train, x_a = torch.randn(20, 3).double(), torch.randn(5, 2).double()
    weights = torch.tensor(
        [
            [stats.norm(0, 0.6).pdf(a - b).prod() for b in train[:, seen].numpy()]
            for a in x_a.numpy()
        ]
    )
    expected = (weights / weights.sum(1, keepdim=True)) @ train[:, ~seen]
    assert torch.allclose(lesson["parzen_conditional"](x_a, train, 0.6), expected)
    nearest = train[torch.cdist(x_a, train[:, seen]).argmin(1)][:, ~seen]
    assert torch.allclose(lesson["parzen_conditional"](x_a, train, 0.005), nearest, atol=1e-6)


# ---------------------------------------------------------------------- F18


@pytest.mark.covers("F18")
def test_the_classifier_score_runs_from_one_to_the_number_of_classes(lesson):
    lesson |= {"judged": lambda p: p.double()}  # a judge who reads the probabilities off the sample
    every = torch.eye(10).repeat(3, 1)
    assert lesson["classifier_score"](every) == pytest.approx(10, abs=1e-6)
    assert lesson["classifier_score"](every[:1].repeat(9, 1)) == pytest.approx(1, abs=1e-6)
    assert lesson["classifier_score"](torch.full((5, 10), 0.1)) == pytest.approx(1, abs=1e-6)
    some = torch.distributions.Dirichlet(torch.ones(10)).sample((200,)).double()
    entropies = torch.special.entr(some).sum(1).mean(), torch.special.entr(some.mean(0)).sum()
    expected = (entropies[1] - entropies[0]).exp().item()  # mutual information of x and y
    assert lesson["classifier_score"](some) == pytest.approx(expected, rel=1e-6)


@pytest.mark.covers("F18")
def test_typical_distance_is_blind_to_what_is_missing(lesson):
    x = torch.randn(50, 3)
    assert lesson["typical_distance"](x[:1].repeat(9, 1), x) == 0
    assert lesson["typical_distance"](torch.tensor([[3.0, 4, 0]]), torch.zeros(1, 3)) == 5


@pytest.mark.covers("F18")
@pytest.mark.parametrize("share", [0.5, 1e-2, 1e-6])
def test_a_memoriser_and_a_diluted_model_are_what_the_lesson_says(share):
    """The two counter-examples with genlib's own models, in 196 dimensions."""
    data = gl.data.strokes(600, size=14).flat()
    honest, memoriser = gl.Gaussian(ridge=0.01), gl.Parzen(bandwidth=0.01)
    honest.fit(data.train)
    memoriser.fit(data.train)
    drawn = memoriser.sample(50)
    assert torch.cdist(drawn, data.train).amin(1).max() < 0.01 * math.sqrt(
        stats.chi2(196).isf(1e-9)
    )
    assert memoriser.log_prob(data.test).mean() < 0 < honest.log_prob(data.test).mean()
    log_p = honest.log_prob(data.test).double()
    diluted = torch.logaddexp(log_p + math.log(share), torch.tensor(math.log1p(-share)))
    assert (log_p - diluted <= -math.log(share) + 1e-9).all()
    assert torch.allclose(log_p - diluted, torch.tensor(-math.log(share)).double(), atol=1e-3)


# ---------------------------------------------------------------------- F20


@pytest.mark.covers("F20")
@pytest.mark.parametrize(
    ("g", "law", "x"),
    [
        (torch.exp, stats.lognorm(1), [0.01, 0.5, 1, 7, 40]),
        (torch.sinh, stats.johnsonsu(0, 1), [-9.0, -1, 0, 0.3, 5]),
        (lambda z: 3 * z - 2, stats.norm(-2, 3), [-15.0, -2, 0, 9]),
    ],
)
def test_the_pushed_density_is_the_law_that_statistics_knows(lesson, g, law, x):
    found = lesson["pushed_log_prob"](g, torch.tensor(x).double())
    np.testing.assert_allclose(found, law.logpdf(x), atol=1e-8)


@pytest.mark.covers("F20")
def test_the_folded_density_reaches_into_the_tails(lesson):
    x = lesson["line"](0.01, 60, 50)
    expected = stats.ncx2(df=1, nc=0.25).logpdf(x.numpy())
    np.testing.assert_allclose(lesson["folded_log_prob"](x), expected, atol=1e-7)


@pytest.mark.covers("F20")
def test_coupling_layers_invert_and_know_their_determinant(lesson):
    flow = torch.nn.Sequential(*(lesson["Coupling"](hidden=8) for _ in range(5))).double()
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=1.0)
    z = 2 * torch.randn(30, 2).double()
    x = z
    for layer in flow:
        y = layer(x)
        back, log_det = layer.inverse(y)
        assert torch.allclose(back, x, atol=1e-8)
        J = torch.func.vmap(torch.func.jacrev(lambda row, f=layer: f(row[None])[0]))(x)
        assert torch.allclose(log_det, torch.linalg.slogdet(J).logabsdet, atol=1e-8)
        x = y
    J = torch.func.vmap(torch.func.jacrev(lambda row: flow(row[None])[0]))(z)
    expected = stats.norm.logpdf(z).sum(1) - torch.linalg.slogdet(J).logabsdet.detach().numpy()
    np.testing.assert_allclose(lesson["flow_log_prob"](flow, x).detach(), expected, atol=1e-7)
