"""What lesson 09 writes by hand, against independent truth and on inputs it has no time for."""

import math

import pytest
import torch
from scipy import integrate, stats

import genlib as gl
from tests.lessons.definitions import definitions
from tests.lessons.pages import minutes_of_exercises, unnamed_in_folds

LESSON = "09_variational_autoencoders"


@pytest.fixture(scope="module")
def lesson():
    return definitions(LESSON)


def test_folds_name_what_visible_code_takes_from_them():
    assert unnamed_in_folds(LESSON) == []


def test_the_stated_time_is_about_the_sum_of_the_exercises():
    stated, summed = minutes_of_exercises(LESSON)
    assert abs(stated - summed) <= 15


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------ the sum over causes


@pytest.mark.covers("L03")
def test_the_joint_is_a_product_of_coins(lesson):
    weight, bias = torch.randn(5, 3, generator=generator()), torch.randn(5, generator=generator(1))
    x = torch.tensor([[0.0, 1.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0, 0.0]])
    found = lesson["log_joint"](x, gl.binary_events(3), weight, bias)
    for n, row in enumerate(x.tolist()):
        for m, causes in enumerate(gl.binary_events(3).tolist()):
            p = 0.5**3
            for i, value in enumerate(row):
                logit = bias[i].item() + sum(
                    w * z for w, z in zip(weight[i].tolist(), causes, strict=True)
                )
                p *= 1 / (1 + math.exp(-logit if value else logit))
            assert found[n, m].item() == pytest.approx(math.log(p), abs=1e-4)


@pytest.mark.covers("L03")
def test_a_sum_that_comes_apart_is_the_sum_over_all_states(lesson):
    own, bias = 2 * torch.randn(2, 7, generator=generator(2)).double()
    x = gl.binary_events(7, dtype=torch.float64)
    found = lesson["log_marginal_apart"](x, own, bias)
    assert found.exp().sum().item() == pytest.approx(1, abs=1e-9)
    states = gl.binary_events(7, dtype=torch.float64)
    brute = lesson["log_joint"](x, states, own.diag(), bias).logsumexp(1)
    assert torch.allclose(found, brute, atol=1e-9)


@pytest.mark.covers("L03")
def test_the_effective_sample_size_between_its_ends(lesson):
    assert lesson["effective"](torch.full((50,), -900.0)).item() == pytest.approx(50)
    assert lesson["effective"](torch.tensor([0.0] + [-500.0] * 9)).item() == pytest.approx(1)


# ------------------------------------------------------------------ divergences


@pytest.mark.covers("L06")
@pytest.mark.parametrize("k", [1, 2, 7])
def test_the_divergence_of_gaussians_is_pytorchs(lesson, k):
    a, b = torch.randn(2, k, k, generator=generator(k)).double()
    eye = torch.eye(k).double()
    means = torch.randn(2, k, generator=generator(k + 1)).double()
    covariances = a @ a.T + 0.2 * eye, b @ b.T + 0.2 * eye
    found = lesson["gaussian_kl"](means[0], covariances[0], means[1], covariances[1])
    first, second = (
        torch.distributions.MultivariateNormal(m, c)
        for m, c in zip(means, covariances, strict=True)
    )
    assert found.item() == pytest.approx(torch.distributions.kl_divergence(first, second).item())


@pytest.mark.covers("L06")
@pytest.mark.parametrize(("mean", "sigma"), [(0.0, 1.0), (1.5, 0.3), (-2.0, 2.5)])
def test_the_divergence_from_the_prior_is_an_integral(lesson, mean, sigma):
    q, p = stats.norm(mean, sigma), stats.norm(0, 1)

    def integrand(z):
        return q.pdf(z) * (q.logpdf(z) - p.logpdf(z))

    wanted, _ = integrate.quad(integrand, mean - 12 * sigma, mean + 12 * sigma)
    given = torch.tensor([mean, sigma], dtype=torch.float64)
    found = lesson["kl_to_prior"](given[0], given[1].log())
    assert found.item() == pytest.approx(wanted, abs=1e-8)


# ------------------------------------------------------------------ gradients


@pytest.mark.covers("L05")
def test_all_three_gradients_are_right_on_average(lesson):
    """E[sin(z)] = sin(μ) exp(−σ²/2); six standard errors, false alarms under 1e-7."""
    torch.manual_seed(0)
    mu, sigma = torch.tensor([0.3, -1.0]).double(), 0.8

    def waves(z):
        return z.sin().sum(1)

    wanted = mu.cos() * math.exp(-(sigma**2) / 2)
    for name, g in lesson["gradients"](waves, mu, sigma, samples=50_000).items():
        error = g.std(0) / math.sqrt(len(g))
        assert ((g.mean(0) - wanted).abs() < 6 * error).all(), name


# ------------------------------------------------------------------ models


@pytest.mark.covers("L04")
def test_the_linear_bound_is_genlibs(lesson):
    x = gl.data.strokes(200, size=14).binarized().flat().train
    centre = x.double().mean(0)
    S = torch.cov(x.double().T, correction=0)
    W, V = 0.2 * torch.randn(2, 196, 3, generator=generator(3)).double()
    log_s, log_sigma = torch.tensor([-0.5, 0.0, 0.3]).double(), torch.tensor(-0.7).double()
    found = lesson["linear_elbo"](S, W, V.T, log_s, log_sigma)
    model = gl.VAE(
        196,
        3,
        likelihood="gaussian",
        scale=math.exp(-0.7),
        encoder=torch.nn.Linear(196, 6),
        decoder=torch.nn.Linear(3, 196),
    )
    with torch.no_grad():
        model.encoder.weight.copy_(torch.cat([V.T, torch.zeros(3, 196)]))
        model.encoder.bias.copy_(torch.cat([-V.T @ centre, log_s]))
        model.decoder.weight.copy_(W)
        model.decoder.bias.copy_(centre)
        draws = torch.stack([model.elbo(x, generator=generator(i)).mean() for i in range(200)])
    error = draws.std() / math.sqrt(len(draws))
    assert abs(draws.mean() - found) < 6 * error + 1e-3


@pytest.mark.covers("L05", "L07")
def test_the_loss_is_a_mean_over_rows_of_sums(lesson):
    torch.manual_seed(1)
    model = lesson["ByHand"](3)
    x = (torch.rand(6, 196, generator=generator(4)) < 0.2).float()
    vae = gl.VAE(196, 3, encoder=model.encoder, decoder=model.decoder)
    torch.manual_seed(5)
    ours = model.elbo(x)
    torch.manual_seed(5)
    assert torch.allclose(ours, vae.elbo(x), atol=1e-3)
    torch.manual_seed(5)
    assert model.loss(x).item() == pytest.approx(-ours.mean().item(), abs=1e-3)


@pytest.mark.covers("L07")
def test_a_vae_has_a_bound_and_no_density():
    with pytest.raises(NotImplementedError, match="elbo"):
        gl.VAE(4, 2).log_prob(torch.zeros(3, 4))


@pytest.mark.covers("L07")
@pytest.mark.parametrize("kind", ["all", "near"])
def test_pixels_in_turn_see_only_the_pixels_before(lesson, kind):
    torch.manual_seed(2)
    context = lesson["AllBefore"]()
    with torch.no_grad():
        for part in context.parameters():
            part.normal_()
    if kind == "near":
        near = lesson["MaskedConv2d"](1, 4, 7, "A")
        unflatten = torch.nn.Unflatten(1, (1, 14, 14))
        context = torch.nn.Sequential(
            unflatten, near, torch.nn.ReLU(), lesson["PointConv2d"](4, 1), torch.nn.Flatten()
        )
    x = torch.rand(1, 196)
    slopes = torch.autograd.functional.jacobian(lambda v: context(v)[0], x)[:, 0]
    assert slopes.triu().abs().max() == 0 and slopes.tril(-1).abs().max() > 0


@pytest.mark.covers("L07")
def test_pixels_in_turn_are_drawn_from_their_own_density(lesson):
    """Each drawn pixel is 1 exactly where u_i < p(x_i = 1 | z, x_<i)."""
    torch.manual_seed(3)
    model = lesson["InTurn"](lesson["AllBefore"]()).requires_grad_(False)
    model.context.weights.normal_()
    z, u = torch.randn(5, 2), torch.rand(5, 196)
    x = model.sample(z, u)
    p = (model.decoder(z) + model.context(x)).sigmoid()
    assert ((u < p) == (x == 1)).float().mean() > 0.999


@pytest.mark.covers("L07")
def test_stray_ink_and_fine_power_on_pictures_made_for_them(lesson):
    blank = torch.zeros(3, 14, 14)
    line, dots = blank.clone(), blank.clone()
    line[:, 7] = 1
    dots[:, ::3, ::3] = 1
    assert lesson["stray_ink"](line) == 0 and lesson["stray_ink"](dots) == 1
    waves = torch.cos(2 * math.pi * torch.arange(14) * 2 / 14).expand(3, 14, 14)
    assert lesson["fine_power"](waves) < 1e-6
    quick = torch.cos(2 * math.pi * torch.arange(14) * 6 / 14).expand(3, 14, 14)
    assert lesson["fine_power"](quick) == pytest.approx(2 * (196 / 2) ** 2, rel=1e-4)


@pytest.mark.covers("L04")
@pytest.mark.parametrize("seed", range(3))
def test_the_variance_of_weights_is_the_formulas(seed):
    """Relative variance Σ p(z|x)²/q − 1, by enumeration of the definition."""
    joint = torch.rand(8, generator=generator(seed)).double()
    q = torch.rand(8, generator=generator(seed + 9)).double() + 0.1
    q = q / q.sum()
    marginal = joint.sum()
    weights = joint / q
    variance = (q * (weights - marginal) ** 2).sum() / marginal**2
    assert variance.item() == pytest.approx((((joint / marginal) ** 2) / q).sum().item() - 1)
