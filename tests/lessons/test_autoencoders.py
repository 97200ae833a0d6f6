"""What lesson 13 writes by hand, against independent truth and on inputs it has no time for."""

import itertools
import math

import pytest
import torch
from scipy import stats
from torch import nn
from torch.distributions import Bernoulli, MixtureSameFamily, MultivariateNormal, kl_divergence
from torch.distributions import Categorical as Which

import genlib as gl
from tests.lessons.definitions import definitions

LESSON = "13_autoencoders"


@pytest.fixture(scope="module")
def lesson():
    return definitions(LESSON)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(*shape, seed=0):
    return torch.rand(shape, generator=generator(seed), dtype=torch.float64)


def small_network(*sizes, seed=0, code=nn.Tanh):
    """A network in float64 with activations after every layer."""
    torch.manual_seed(seed)
    layers = [part for n, k in itertools.pairwise(sizes) for part in (nn.Linear(n, k), code())]
    return nn.Sequential(*layers).double().requires_grad_(False)


# ------------------------------------------------------------------ a code and back


@pytest.mark.covers("R04")
def test_the_error_is_a_mean_over_rows_of_sums_over_values_of_g_after_f(lesson):
    torch.manual_seed(0)
    model, x = lesson["ByHand"](3, hidden=5), rows(4, lesson["PIXELS"]).float()
    total = 0.0
    for row in x:
        z = model.encoder(row[None])
        assert z.shape == (1, 3)
        back = model.decoder(z)[0]
        total += sum((a - b) ** 2 for a, b in zip(row.tolist(), back.tolist(), strict=True)) / 4
    assert model.loss(x).item() == pytest.approx(total, rel=1e-5)
    torch.testing.assert_close(model(x), model.decoder(model.encoder(x)))


# ------------------------------------------------------------------ sparse


@pytest.mark.covers("R05")
@pytest.mark.parametrize("rho", [0.05, 0.3, 0.9])
def test_the_penalty_is_torchs_divergence_of_the_mean(lesson, rho):
    z = 0.05 + 0.9 * rows(9, 4)
    target = Bernoulli(torch.full((4,), rho, dtype=torch.float64))
    expected = kl_divergence(target, Bernoulli(z.mean(0))).sum()
    torch.testing.assert_close(lesson["sparsity"](z, rho), expected, rtol=1e-6, atol=1e-7)
    of_rows = kl_divergence(Bernoulli(torch.full_like(z, rho)), Bernoulli(z)).sum(1).mean()
    found = lesson["sparsity_of_rows"](z, rho)
    torch.testing.assert_close(found, of_rows, rtol=1e-6, atol=1e-7)
    assert found > expected
    on_target = torch.full((3, 2), rho, dtype=torch.float64)
    assert abs(lesson["sparsity"](on_target, rho)) < 1e-7


@pytest.mark.covers("R05")
def test_units_that_are_on_for_a_fraction_of_rows_cost_the_batch_nothing(lesson):
    z = torch.full((10, 2), 1e-6, dtype=torch.float64)
    z[0, 0] = z[1, 1] = 1 - 1e-6
    assert lesson["sparsity"](z, 0.1) < 1e-9 < 4 < lesson["sparsity_of_rows"](z, 0.1)


@pytest.mark.covers("R05")
def test_the_other_loss_of_the_lesson_adds_the_penalty_of_rows(lesson):
    torch.manual_seed(0)
    model, x = lesson["OfRows"](6, 4, target=0.1, weight=3.0), rows(5, 6).float()
    z = model.encoder(x)
    error = (x - model.decoder(z)).square().sum(1).mean()
    target = Bernoulli(torch.full_like(z, 0.1))
    expected = error + 3 * kl_divergence(target, Bernoulli(z)).sum(1).mean()
    torch.testing.assert_close(model.loss(x), expected)


# ------------------------------------------------------------------ noise, or a penalty


@pytest.mark.covers("R06")
def test_masks_set_a_fraction_to_zero_and_noise_has_its_deviation(lesson):
    """False alarm: 1e-6 each."""
    torch.manual_seed(0)
    x = 0.5 + rows(400, 50)
    masked = lesson["masked"](x, 0.3)
    gone = masked == 0
    assert torch.equal(masked[~gone], x[~gone])
    assert stats.binomtest(int(gone.sum()), gone.numel(), 0.3).pvalue > 1e-6
    noise = (lesson["noisy"](x, 0.4) - x) / 0.4
    assert stats.kstest(noise.flatten().numpy(), "norm").pvalue > 1e-6


@pytest.mark.covers("R06")
def test_the_denoising_loss_compares_with_the_clean_rows(lesson):
    x, seen = rows(5, 4), rows(5, 4, seed=1)
    network = small_network(4, 3, 4)
    expected = (x - network(seen)).square().sum(1).mean()
    torch.testing.assert_close(lesson["denoising_loss"](network, x, seen), expected)


@pytest.mark.covers("R07")
def test_the_contraction_of_one_layer_is_autograds(lesson):
    encoder, x = small_network(5, 3, code=nn.Sigmoid), rows(6, 5)
    found = lesson["contraction"](encoder(x), encoder[0].weight)
    for n, row in enumerate(x):
        jacobian = torch.autograd.functional.jacobian(encoder, row)
        assert found[n].item() == pytest.approx(jacobian.square().sum().item(), rel=1e-10)


@pytest.mark.covers("R07")
def test_the_estimate_is_unbiased_for_a_deep_encoder_and_made_of_signs(lesson):
    """z-tests, a row each. False alarm: 1e-6 in all."""
    encoder, x = small_network(5, 6, 3), rows(4, 5)
    torch.manual_seed(1)
    drawn = torch.stack([lesson["estimated_contraction"](encoder, x) for _ in range(3000)])
    jacobians = [torch.autograd.functional.jacobian(encoder, row) for row in x]
    exact = torch.stack([jacobian.square().sum() for jacobian in jacobians])
    z = (drawn.mean(0) - exact) / drawn.std(0) * 3000**0.5
    assert z.abs().max() < stats.norm.isf(1e-6 / 2 / 4)
    signs = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)), dtype=torch.float64)
    possible = torch.stack([(signs @ jacobian).square().sum(1) for jacobian in jacobians], 1)
    assert (drawn[:, None] - possible).abs().min(1).values.max() < 1e-9
    assert not x.requires_grad


@pytest.mark.covers("R07")
def test_the_error_in_noise_is_that_of_a_linear_map(lesson):
    """E|A(x + σε) − x|² = |Ax − x|² + σ²|A|²."""
    A, x = rows(2, 2) - 0.5, rows(7, 2)
    found = lesson["noisy_error"](lambda v: v @ A.T, x, 0.7)
    expected = (x @ A.T - x).square().sum(1) + 0.49 * A.square().sum()
    torch.testing.assert_close(found, expected)


@pytest.mark.covers("R07")
def test_the_parts_of_second_order_by_hand(lesson):
    """r(x) = (x₁² x₂, sin x₂)."""

    def r(v):
        return torch.stack([v[:, 0] ** 2 * v[:, 1], v[:, 1].sin()], 1)

    x = rows(5, 2)
    a, b = x.T
    rest = r(x) - x
    plain, jacobian, hessian = lesson["second_order"](r, x)
    torch.testing.assert_close(plain, rest.square().sum(1))
    torch.testing.assert_close(jacobian, (2 * a * b) ** 2 + a**4 + b.cos() ** 2)
    torch.testing.assert_close(hessian, rest[:, 0] * 2 * b - rest[:, 1] * b.sin())


@pytest.mark.covers("R07")
@pytest.mark.parametrize("seed", range(3))
def test_taylors_formula_leaves_the_fourth_order(lesson, seed):
    r, x = small_network(2, 8, 2, seed=seed), rows(20, 2, seed=seed)
    plain, jacobian, hessian = lesson["second_order"](r, x)
    rest = []
    for sigma in (0.04, 0.02):
        found = lesson["noisy_error"](r, x, sigma) - plain
        rest.append((found - sigma**2 * (jacobian + hessian)).abs().mean())
    assert (rest[0] / rest[1]).item() == pytest.approx(16, rel=0.1)


# ------------------------------------------------------------------ scores


def mixture(lesson, sigma):
    variance = lesson["WIDTH"] ** 2 + sigma**2
    return MixtureSameFamily(
        Which(torch.ones(5, dtype=torch.float64)),
        MultivariateNormal(
            lesson["MODES"].double(), variance * torch.eye(2, dtype=torch.float64).expand(5, 2, 2)
        ),
    )


@pytest.mark.covers("R06")
@pytest.mark.parametrize("sigma", [0.0, 0.3, 1.0])
def test_the_density_is_torchs_mixture_and_the_score_its_gradient(lesson, sigma):
    x = 6 * rows(9, 2) - 3
    expected = mixture(lesson, sigma).log_prob(x)
    torch.testing.assert_close(lesson["log_density"](x, sigma), expected)
    gl.verify.gradient(
        lambda v: lesson["log_density"](v, sigma), x, lambda v: lesson["score"](v, sigma)
    )


@pytest.mark.covers("R06")
def test_points_with_noise_come_from_the_noised_density(lesson):
    """Kolmogorov–Smirnov along one axis. False alarm: 1e-6."""
    torch.manual_seed(0)
    x = lesson["noisy"](lesson["five_clusters"](20_000), 0.5)[:, 0].double()
    means, scale = lesson["MODES"][:, 0].tolist(), math.hypot(lesson["WIDTH"], 0.5)

    def cdf(v):
        return sum(stats.norm.cdf(v, mean, scale) for mean in means) / 5

    assert stats.kstest(x.numpy(), cdf).pvalue > 1e-6


@pytest.mark.covers("R06")
def test_the_missed_share_of_a_field(lesson):
    exact = rows(6, 2)
    assert lesson["missed_share"](exact, exact) == 0
    assert lesson["missed_share"](0 * exact, exact) == pytest.approx(1)
    assert lesson["missed_share"](3 * exact, exact) == pytest.approx(4)


# ------------------------------------------------------------------ stacks and features


@pytest.mark.covers("R08")
@pytest.mark.parametrize(("unit", "he"), [("sigmoid", False), ("silu", False), ("silu", True)])
def test_layers_fit_on_each_other_and_begin_as_the_text_says(lesson, unit, he):
    torch.manual_seed(0)
    parts = lesson["layers"](unit, he)
    gl.StackedAutoencoder(parts)
    assert [part.latent for part in parts] == [128, 64, 32, 8]
    x = rows(10, lesson["PIXELS"]).float()
    assert parts[0].reconstruct(x).min() < 0  # linear
    middle = parts[1].reconstruct(parts[0].encode(x))
    assert middle.min() > (0 if unit == "sigmoid" else -0.3)
    weight, n = parts[0].encoder[1].weight, lesson["PIXELS"]
    if he:
        assert weight.std().item() == pytest.approx((2 / n) ** 0.5, rel=0.05)
        assert not parts[0].encoder[1].bias.any()
    else:
        assert weight.abs().max().item() <= n**-0.5
        assert weight.std().item() == pytest.approx((3 * n) ** -0.5, rel=0.05)


@pytest.mark.covers("R07")
def test_weight_decay_adds_the_squared_weights_of_the_encoder(lesson):
    torch.manual_seed(0)
    model = lesson["Decayed"](6, 4, hidden=(), code_activation="sigmoid", decay=0.3).double()
    x = rows(5, 6)
    squares = sum(w**2 for w in model.encoder[1].weight.flatten().tolist())
    expected = model.reconstruction_error(x).mean().item() + 0.3 * squares
    assert model.loss(x).item() == pytest.approx(expected)


@pytest.mark.covers("R07")
def test_a_ridge_probe_is_the_normal_equations(lesson):
    a, b = rows(30, 4) - 0.3, rows(12, 4, seed=1)
    y = torch.randint(10, (30,), generator=generator(2))
    truth = torch.randint(10, (12,), generator=generator(3))
    found = lesson["ridge_errors"](a, y, [(b, truth)])
    target = nn.functional.one_hot(y, 10).double()
    for k, ridge in enumerate(lesson["RIDGES"].tolist()):
        shifted = a - a.mean(0)
        gram = shifted.T @ shifted + len(a) * ridge * torch.eye(4, dtype=torch.float64)
        weight = torch.linalg.solve(gram, shifted.T @ (target - target.mean(0)))
        guess = ((b - a.mean(0)) @ weight + target.mean(0)).argmax(1)
        assert found[0, k].item() == pytest.approx((guess != truth).double().mean().item())
