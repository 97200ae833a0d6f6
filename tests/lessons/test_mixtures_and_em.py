"""What lesson 08 writes by hand, against independent truth and on inputs it has no time for."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from tests.lessons.definitions import definitions


@pytest.fixture
def lesson():
    return definitions("08_mixtures_and_em")


def mixture(d, K=3, seed=0):
    """Weights, means and covariances of a mixture, drawn."""
    generator = torch.Generator().manual_seed(seed)
    draw = {"generator": generator, "dtype": torch.float64}
    weights = torch.rand(K, **draw) + 0.2
    roots = torch.randn(K, d, d, **draw)
    sigmas = roots @ roots.mT + 0.3 * torch.eye(d, dtype=torch.float64)
    return weights / weights.sum(), 2 * torch.randn(K, d, **draw), sigmas


def rows(n, d, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(n, d, generator=generator, dtype=torch.float64)


def any_q(n, K, seed=2):
    generator = torch.Generator().manual_seed(seed)
    q = torch.rand(n, K, generator=generator, dtype=torch.float64) ** 2
    return q / q.sum(1, keepdim=True)


def pieces(x, weights, means, sigmas):
    """π_k N(x; μ_k, Σ_k) by scipy, (N, K)."""
    return np.stack(
        [
            w * stats.multivariate_normal(m, s).pdf(x)
            for w, m, s in zip(weights.numpy(), means.numpy(), sigmas.numpy(), strict=True)
        ],
        axis=-1,
    ).reshape(len(x), -1)


# ------------------------------------------------------------------ the model


@pytest.mark.covers("L01")
@pytest.mark.parametrize("d", [1, 3])
def test_the_joint_the_density_and_the_posterior_are_scipys(lesson, d):
    theta, x = mixture(d), rows(30, d)
    joint = pieces(x, *theta)
    np.testing.assert_allclose(lesson["log_joint"](x, *theta).exp(), joint, rtol=1e-9)
    np.testing.assert_allclose(lesson["log_prob"](x, theta).exp(), joint.sum(1), rtol=1e-9)
    expected = joint / joint.sum(1, keepdims=True)
    np.testing.assert_allclose(lesson["posterior"](x, theta), expected, rtol=1e-8, atol=1e-12)


@pytest.mark.covers("L01")
def test_ancestral_samples_have_the_mixtures_moments_and_frequencies(lesson):
    torch.manual_seed(0)
    theta, n = mixture(2), 60_000
    x, z = lesson["ancestral"](n, *theta)
    # z-tests; false-alarm rate below 1e-6 in all (18 tests, |z| < 5.5)
    for k, (weight, mean, sigma) in enumerate(zip(*theta, strict=True)):
        error = (weight * (1 - weight) / n).sqrt()
        assert abs((z == k).double().mean() - weight) < 5.5 * error
        part = x[z == k]
        error = (sigma.diagonal() / len(part)).sqrt()
        assert ((part.mean(0) - mean).abs() < 5.5 * error).all()
        products = torch.einsum("ni,nj->nij", part - mean, part - mean)
        error = products.std(0) / math.sqrt(len(part))
        assert ((products.mean(0) - sigma).abs() < 5.5 * error).all()


# ------------------------------------------------------------------ the bound


@pytest.mark.covers("L02")
def test_the_bound_and_the_divergence_are_sums_over_z(lesson):
    theta, x = mixture(2), rows(20, 2)
    q, joint = any_q(20, 3), pieces(x, *theta)
    posterior = joint / joint.sum(1, keepdims=True)
    expected = (q.numpy() * (np.log(joint) - q.log().numpy())).sum(1)
    np.testing.assert_allclose(lesson["elbo"](q, x, theta), expected, atol=1e-9)
    np.testing.assert_allclose(
        lesson["divergence"](q, torch.from_numpy(posterior)),
        [stats.entropy(a, b) for a, b in zip(q.numpy(), posterior, strict=True)],
        atol=1e-9,
    )
    np.testing.assert_allclose(lesson["entropy"](q), stats.entropy(q.numpy(), axis=1), atol=1e-12)


@pytest.mark.covers("L02")
def test_a_certain_q_has_no_entropy_and_a_finite_bound(lesson):
    theta, x = mixture(2), rows(6, 2)
    q = torch.eye(3).double().repeat(2, 1)
    assert not lesson["entropy"](q).any()
    joint = pieces(x, *theta)
    expected = np.log(joint[q.numpy() == 1])
    np.testing.assert_allclose(lesson["elbo"](q, x, theta), expected, atol=1e-9)


# ------------------------------------------------------------------ EM


@pytest.mark.covers("L02")
@pytest.mark.parametrize("d", [1, 3])
def test_the_m_step_is_numpys_weighted_mean_and_covariance(lesson, d):
    x, q = rows(40, d), any_q(40, 3)
    weights, means, sigmas = lesson["m_step"](x, q)
    np.testing.assert_allclose(weights, q.mean(0), atol=1e-12)
    for k in range(3):
        mean = np.average(x.numpy(), axis=0, weights=q[:, k].numpy())
        np.testing.assert_allclose(means[k], mean, atol=1e-12)
        expected = np.cov(x.T.numpy(), aweights=q[:, k].numpy(), ddof=0).reshape(d, d)
        np.testing.assert_allclose(sigmas[k], expected, atol=1e-12)


@pytest.mark.covers("L02")
@pytest.mark.parametrize("seed", range(5))
def test_no_step_of_em_descends(lesson, seed):
    x = rows(60, 2, seed)
    theta, q = lesson["start_at"](x, [0, 1, 2]), any_q(60, 3)
    theta = tuple(part.double() for part in theta)
    bound = lesson["elbo"](q, x, theta).mean()
    for _ in range(20):
        q = lesson["e_step"](x, theta)
        after_e = lesson["elbo"](q, x, theta).mean()
        assert after_e >= bound - 1e-12
        assert abs(after_e - lesson["log_prob"](x, theta).mean()) < 1e-10
        theta = lesson["m_step"](x, q)
        bound = lesson["elbo"](q, x, theta).mean()
        assert bound >= after_e - 1e-12


@pytest.mark.covers("L02")
def test_a_start_has_rows_as_means_and_the_covariance_of_all(lesson):
    x = rows(30, 3)
    weights, means, sigmas = lesson["start_at"](x, [4, 7])
    assert torch.equal(weights.double(), torch.tensor([0.5, 0.5]).double())
    assert torch.equal(means, x[[4, 7]])
    for sigma in sigmas:
        np.testing.assert_allclose(sigma, np.cov(x.T.numpy(), ddof=0), atol=1e-12)


@pytest.mark.covers("L02")
def test_with_equal_weights_and_widths_the_means_move_as_in_em(lesson):
    x = rows(30, 2)
    means = x[:3]
    for sigma in (0.5, 2.0):
        same = sigma**2 * torch.eye(2, dtype=torch.float64).repeat(3, 1, 1)
        theta = torch.full((3,), 1 / 3, dtype=torch.float64), means, same
        joint = pieces(x, *theta)
        q = joint / joint.sum(1, keepdims=True)
        moved, found = lesson["mean_step"](x, means, sigma)
        np.testing.assert_allclose(found, q, atol=1e-9)
        np.testing.assert_allclose(moved.numpy(), q.T @ x.numpy() / q.sum(0)[:, None], atol=1e-9)


@pytest.mark.covers("L01")
def test_agreement_finds_the_best_naming(lesson):
    z = torch.tensor([0, 0, 1, 1, 2, 2])
    assert lesson["agreement"](torch.tensor([2, 2, 0, 0, 1, 1]), z) == 1
    assert lesson["agreement"](torch.tensor([1, 1, 0, 2, 2, 2]), z) == pytest.approx(5 / 6)
