"""Lesson 01: what it defines, against independent truth, where it has no time to look itself."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad
from scipy.special import expit, rel_entr
from sklearn.metrics import roc_auc_score

import genlib as gl
from tests.lessons.definitions import definitions


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
    assert len({(c, t) for c, t in zip(cluster.tolist(), truth.tolist(), strict=True)}) == 4


@pytest.mark.covers("F01")
def test_k_means_assigns_each_row_to_the_nearest_of_the_centres_it_returns(lesson):
    x = torch.randn(300, 2)
    centres, cluster = lesson["k_means"](x, 9, rounds=1)
    assert torch.equal(cluster, (x[:, None] - centres).square().sum(2).argmin(1))


@pytest.mark.covers("F01")
def test_the_best_k_means_is_the_best_of_its_starts(lesson):
    x = torch.randn(100, 3)
    costs = []
    for starts in range(1, 7):
        torch.manual_seed(1)
        costs.append(lesson["spread"](x, *lesson["best_k_means"](x, 8, starts)))
    torch.manual_seed(1)
    each = [lesson["spread"](x, *lesson["k_means"](x, 8)) for _ in range(6)]
    assert costs == list(itertools.accumulate(each, min)) and len(set(costs)) > 1


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


# ---------------------------------------------------------------------- F02

PAIRS = [((0.3, 0.8), (-1.0, 1.7)), ((0.0, 0.5), (2.5, 0.5)), ((-2.0, 2.0), (-2.0, 0.7))]
INTEGRANDS = {
    "forward KL": lambda p, q: p * math.log(p / q) if p > 1e-300 and q > 1e-300 else 0.0,
    "reverse KL": lambda p, q: q * math.log(q / p) if p > 1e-300 and q > 1e-300 else 0.0,
}


def log_normal(lesson, mean, deviation):
    return torch.distributions.Normal(mean, deviation).log_prob(lesson["AXIS"])


@pytest.mark.covers("F02")
@pytest.mark.parametrize("name", INTEGRANDS)
@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_divergences_between_densities_equal_adaptive_quadrature(lesson, name, p, q):
    found = lesson["DISTANCES"][name](log_normal(lesson, *p), log_normal(lesson, *q))
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
    found = lesson["wasserstein"](log_normal(lesson, *p), log_normal(lesson, *q))
    mean, scale = p[0] - q[0], abs(p[1] - q[1])
    expected = abs(mean) if scale == 0 else stats.foldnorm(abs(mean) / scale, scale=scale).mean()
    assert found.item() == pytest.approx(expected, abs=2e-3)


@pytest.mark.covers("F02")
def test_distances_of_many_models_at_once_are_those_of_each(lesson):
    p, q = log_normal(lesson, 0.5, 1.1), log_normal(lesson, -1, 0.8)
    for distance in lesson["DISTANCES"].values():
        assert torch.allclose(
            distance(p, torch.stack([p, q])), torch.stack([distance(p, p), distance(p, q)])
        )
        assert distance(p, p) == 0


@pytest.mark.covers("F02")
def test_transport_of_samples_is_that_of_scipy(lesson):
    for n in (1, 2, 57):
        x, y = torch.randn(3, n), torch.randn(3, n) * 2 + 1
        expected = [stats.wasserstein_distance(*pair) for pair in zip(x, y, strict=True)]
        assert lesson["wasserstein_of_samples"](x, y).tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.covers("F02")
@pytest.mark.parametrize(("mean", "deviation"), [(-2.0, 1.0), (1.5, 0.4)])
def test_the_two_clusters_and_their_distances_are_those_of_the_figure(lesson, mean, deviation):
    """The larger one on the left, as the text says: 0.65 N(−2, 0.6²) + 0.35 N(2, 0.6²)."""
    log_p = torch.stack(
        [math.log(w) + part.log_prob(lesson["AXIS"]) for w, part in lesson["PARTS"]]
    )
    p = 0.65 * stats.norm(-2, 0.6).pdf(lesson["AXIS"]) + 0.35 * stats.norm(2, 0.6).pdf(
        lesson["AXIS"]
    )
    np.testing.assert_allclose(log_p.logsumexp(0).exp(), p, rtol=1e-6, atol=1e-12)
    figure = gl.widgets.Distances(4.0, mean, deviation, names=list(lesson["DISTANCES"]))
    log_q = log_normal(lesson, mean, deviation)
    for name, value in figure.distances().items():
        found = lesson["DISTANCES"][name](log_p.logsumexp(0), log_q)
        assert found.item() == pytest.approx(value, rel=1e-5)


# ---------------------------------------------------------------------- F03, F04


@pytest.mark.covers("F03", "F04")
def test_the_lessons_models_answer_what_they_declare(lesson):
    names = ("Staircase", "HiddenCoin", "PlaneNetwork", "Voters")
    rows = gl.plots.answers([lesson[n] for n in names]).rows
    assert [row[1:] for row in rows] == [
        ("exact", "yes", "yes"),
        ("a bound", "yes", "yes"),
        ("implicit", "yes", "no"),
        ("implicit, by a chain", "yes", "no"),
    ]
    for name in names:
        model = lesson[name]()
        draws = [model.sample(4, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
        assert torch.equal(*draws) and draws[0].shape == (4, *model.event_shape)
    for name in names[1:]:
        with pytest.raises(gl.CannotAnswerError):
            lesson[name]().log_prob(draws[0])


@pytest.mark.covers("F03")
@pytest.mark.parametrize("slope", [-1.0, 0.0, 0.7, 4.0, 300.0])
def test_the_bound_of_the_hidden_coin_falls_short_by_the_divergence(lesson, slope):
    model, x = lesson["HiddenCoin"](slope), torch.linspace(-7, 7, 57)[:, None].double()
    pdfs = [stats.norm(mean, 1).pdf(x[:, 0]) / 2 for mean in (-2, 2)]
    log_p = np.log(sum(pdfs))
    assert model.log_joint(x).logsumexp(1).numpy() == pytest.approx(log_p, abs=1e-9)
    q = expit(slope * x[:, 0].numpy())
    assert model.encode(x.float())[:, 0].numpy() == pytest.approx(q, abs=1e-6)
    elbo = model.elbo(x).numpy()
    assert (elbo <= log_p + 1e-9).all()
    kl = sum(rel_entr(part, pdf / sum(pdfs)) for part, pdf in zip((1 - q, q), pdfs, strict=True))
    assert log_p - elbo == pytest.approx(kl, abs=1e-6)
    assert np.isfinite(elbo).all() and (np.abs(log_p - elbo).max() < 1e-9) == (slope == 4)


@pytest.mark.covers("F03")
def test_samples_of_the_hidden_coin_follow_its_density(lesson):
    drawn = lesson["HiddenCoin"]().sample(20_000)[:, 0].numpy()
    law = stats.norm(-2, 1), stats.norm(2, 1)
    test = stats.kstest(drawn, lambda t: (law[0].cdf(t) + law[1].cdf(t)) / 2)
    assert test.pvalue > 1e-6  # the false-alarm rate


@pytest.mark.covers("F04")
@pytest.mark.parametrize("noise", [0.2, 0.35])
def test_the_voters_settle_in_the_chains_own_distribution(lesson, noise):
    """The transition matrix by hand: five votes a pixel, on 3 × 3 pixels that wrap around."""
    states = np.array(list(itertools.product((0, 1), repeat=9)))
    grid = states.reshape(-1, 3, 3)
    votes = grid + sum(np.roll(grid, s, axis) for s in (-1, 1) for axis in (1, 2))
    on = np.where(votes >= 3, 1 - noise, noise).reshape(-1, 1, 9)
    model = lesson["Voters"](noise=noise)
    found = model.p_on(torch.tensor(grid).float()).flatten(1)
    assert torch.allclose(found, torch.tensor(on[:, 0]).float())
    T = np.where(states == 1, on, 1 - on).prod(2)
    settled = np.linalg.matrix_power(T, 400).mean(0)
    codes = (model.sample(20_000).flatten(1).long() * 2 ** torch.arange(8, -1, -1)).sum(1)
    count = np.bincount(codes, minlength=512)
    law = stats.binom(len(codes), settled)
    tail = 2 * np.minimum(law.cdf(count), law.sf(count - 1))
    assert tail.min() > 1e-6 / 512  # false alarms: 1e-6 in all


# ---------------------------------------------------------------------- F05


@pytest.mark.covers("F05")
def test_what_a_right_family_loses_is_parameters_over_twice_the_examples(lesson):
    truth = gl.Gaussian()
    truth.fit(torch.randn(1000, 2))
    lost = [lesson["nats_lost"](gl.Gaussian(), truth, 200, repeats=1) for _ in range(120)]
    error = np.std(lost) / math.sqrt(len(lost))
    assert abs(np.mean(lost) - 5 / (2 * 200)) < 5 * error + 0.001  # and a little of second order


# ---------------------------------------------------------------------- F17


@pytest.mark.covers("F17")
def test_area_is_that_of_the_roc_curve_with_ties(lesson):
    odd, even = torch.randint(5, (40,)).float() + 1, torch.randint(5, (60,)).float()
    expected = roc_auc_score([1] * 40 + [0] * 60, torch.cat([odd, even]).numpy())
    assert lesson["area"](odd, even) == pytest.approx(expected)


@pytest.mark.covers("F17")
def test_the_two_sided_score_is_least_in_the_middle_and_zero_beyond_both_ends(lesson):
    held_out = torch.arange(101.0)
    found = lesson["two_sided"](torch.tensor([-1.0, 5.0, 50.0, 95.0, 200.0]), held_out)
    assert found.tolist() == pytest.approx([0, -12 / 101, -102 / 101, -12 / 101, 0])


@pytest.mark.covers("F17")
@pytest.mark.parametrize("whole", [True, False])
def test_what_is_given_equals_the_conditional_by_the_precision(lesson, whole):
    """Of entries, and of sums: turned by an invertible matrix whose first rows are A."""
    root = torch.randn(6, 6).double()
    sigma, mu = root @ root.T + 0.1 * torch.eye(6), torch.randn(6).double()
    lesson |= {"mu": mu, "sigma": sigma}  # what the function takes from the lesson
    B = torch.eye(6).double()[torch.tensor([0, 2, 3, 1, 4, 5])]
    B = B if whole else B + 0.3 * torch.randn(6, 6).double()
    A, x = B[:3], torch.randn(4, 6).double()
    mean, covariance = lesson["given"](x @ A.T, A)
    precision = torch.linalg.inv(B @ sigma @ B.T)
    hidden = torch.linalg.inv(precision[3:, 3:])
    shift = ((x - mu) @ A.T) @ precision[:3, 3:] @ hidden
    assert torch.allclose(mean @ B.T, torch.cat([x @ A.T, mu @ B[3:].T - shift], 1))
    turned = torch.zeros(6, 6).double()
    turned[3:, 3:] = hidden
    assert torch.allclose(B @ covariance @ B.T, turned, atol=1e-9)


@pytest.mark.covers("F17")
@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_the_ridge_takes_its_trace_from_the_mean_squared_distance(ridge):
    x = torch.randn(200, 5) @ torch.randn(5, 5)
    model = gl.Gaussian(ridge=ridge)
    model.fit(x)
    squares = 2 * (model.log_prob(model.loc[None]) - model.log_prob(x))
    inverse = model.scale_tril.cholesky_inverse()
    assert squares.mean().item() == pytest.approx(5 - ridge * inverse.trace().item(), abs=1e-3)


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
def test_nearest_distance_is_blind_to_what_is_missing(lesson):
    x = torch.randn(50, 3)
    assert lesson["nearest_distance"](x[:1].repeat(9, 1), x) == 0
    assert lesson["nearest_distance"](torch.tensor([[3.0, 4, 0]]), torch.zeros(1, 3)) == 5
    assert (
        lesson["nearest_distance"](torch.tensor([[3.0, 4]]), torch.tensor([[3.0, 3], [0, 0]])) == 1
    )


@pytest.mark.covers("F18")
@pytest.mark.parametrize("weight", [0.5, 1e-2, 1e-6])
def test_a_memoriser_and_a_diluted_model_are_what_the_lesson_says(weight):
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
    diluted = torch.logaddexp(log_p + math.log(weight), torch.tensor(math.log1p(-weight)))
    assert (log_p - diluted <= -math.log(weight) + 1e-9).all()
    assert torch.allclose(log_p - diluted, torch.tensor(-math.log(weight)).double(), atol=1e-3)


# ---------------------------------------------------------------------- F20


@pytest.mark.covers("F20")
@pytest.mark.parametrize(
    ("g", "slope", "law", "x"),
    [
        (torch.exp, torch.exp, stats.lognorm(1), [0.01, 0.5, 1, 7, 40]),
        (torch.sinh, torch.cosh, stats.johnsonsu(0, 1), [-9.0, -1, 0, 0.3, 5]),
        (lambda z: 3 * z - 2, lambda z: 0 * z + 3, stats.norm(-2, 3), [-15.0, -2, 0, 9]),
    ],
)
def test_the_pushed_density_is_the_law_that_statistics_knows(lesson, g, slope, law, x):
    model = lesson["Staircase"]()
    model.g, model.slope = g, slope
    found = model.log_prob(torch.tensor(x)[:, None])
    np.testing.assert_allclose(found, law.logpdf(x), atol=1e-4)


@pytest.mark.covers("F20")
def test_the_slope_of_the_staircase_is_its_derivative_and_the_inverse_goes_back(lesson):
    model = lesson["Staircase"]()
    z = torch.linspace(-4, 4, 201).double().requires_grad_()
    (slope,) = torch.autograd.grad(model.g(z).sum(), z)
    assert torch.allclose(slope, model.slope(z))
    assert torch.allclose(lesson["inverse"](model.g, model.g(z)), z, atol=1e-9)
    back = model.encode(model.g(z.detach().float())[:, None])
    assert torch.allclose(back[:, 0].double(), z, atol=1e-4)
    test = stats.kstest(model.encode(model.sample(20_000))[:, 0].numpy(), "norm")
    assert test.pvalue > 1e-6  # the false-alarm rate


@pytest.mark.covers("F20")
def test_the_plane_network_is_pushed_through_its_layers(lesson):
    model = lesson["PlaneNetwork"](hidden=3)
    z = torch.randn(5, 2, generator=torch.Generator().manual_seed(8))
    first, _, last = model.network
    expected = torch.tanh(z @ first.weight.T + first.bias) @ last.weight.T + last.bias
    found = model.sample(5, generator=torch.Generator().manual_seed(8))
    assert torch.allclose(found, expected, atol=1e-6)
