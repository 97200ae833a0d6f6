"""RNADE against torch.distributions, quadrature and Gaussian conditioning."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal

import genlib as gl
from genlib.models.autoregressive import RNADE
from tests.parameters import scattered

FALSE_ALARM = 1e-6


@pytest.fixture(params=[None, [2, 0, 1]], ids=["as they stand", "permuted"])
def model(request):
    return scattered(RNADE(3, 6, 2, request.param), scale=0.7, seed=1)


@pytest.mark.covers("A03")
def test_density_and_samples(model):
    gl.seed(0)
    gl.verify.causal(model)
    gl.verify.normalised(model)
    gl.verify.samples_match(model)


@pytest.mark.covers("A03")
def test_the_conditionals_are_mixtures_of_their_definition(model):
    """Every sum from the start, one value after another, in float64."""
    x = 2 * torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    p = {name: value.detach().double() for name, value in model.named_parameters()}
    expected = torch.zeros(40, dtype=torch.float64)
    for place, i in enumerate(model.order):
        before = model.order[:place]
        h = (p["rho"][i] * (p["c"] + x[:, before].double() @ p["w"][before])).relu()
        logits, means, scales = ((h @ p["v"][i]).view(40, 3, 2) + p["b"][i]).unbind(1)
        scales = model.min_scale + scales.exp().log1p()
        mixture = MixtureSameFamily(Categorical(logits=logits), Normal(means, scales))
        expected += mixture.log_prob(x[:, i].double())
        found = model.conditionals(x)[:, i].detach().double()
        torch.testing.assert_close(found[:, 0].exp().sum(1), torch.ones(40).double())
        torch.testing.assert_close(found[:, 1], means, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found[:, 2], scales, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.log_prob(x).double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.covers("A03")
def test_one_value_integrates_to_one():
    model = scattered(RNADE(1, 3, 4), seed=2)
    total, _ = integrate.quad(
        lambda x: model.log_prob(torch.tensor([[x]])).exp().item(), -12, 12, points=[-1, 0, 1, 2]
    )
    assert total == pytest.approx(1, abs=1e-4)


def test_the_gradient_is_right(model):
    x = torch.randn(5, 3)
    wide = model.double()
    gl.verify.gradient(wide.log_prob, x)


@pytest.mark.covers("A03")
def test_it_learns_a_correlated_gaussian():
    """With one component the truth is in reach: the loss comes down to its entropy, the
    conditionals to its regressions.
    """
    gl.seed(0)
    covariance = torch.tensor([[1.0, 0.8], [0.8, 1.0]])
    truth = MultivariateNormal(torch.zeros(2), covariance)
    model = RNADE(2, 32, 1)
    for lr in (0.02, 0.002):
        model.fit(truth.sample((4000,)), epochs=12, batch_size=100, lr=lr)
    x = truth.sample((4000,))
    assert -model.log_prob(x).mean().item() == pytest.approx(
        -truth.log_prob(x).mean().item(), abs=0.03
    )
    _, mean, scale = model.conditionals(x).detach()[:, 1].unbind(1)
    inside = x[:, 0].abs() < 1.5
    assert (mean[:, 0] - 0.8 * x[:, 0])[inside].abs().max() < 0.2
    assert scale[inside].mean().item() == pytest.approx(0.6, abs=0.05)


@pytest.mark.covers("A03")
def test_more_components_fit_two_modes_that_one_cannot():
    gl.seed(0)
    x = torch.randn(2000, 2) * 0.1 + (torch.rand(2000, 1) < 0.5).float() * 2 - 1
    losses = []
    for components in (1, 4):
        gl.seed(1)
        model = RNADE(2, 16, components)
        model.fit(x, epochs=15, batch_size=100, lr=0.02)
        losses.append(-model.log_prob(x).mean().item())
    entropy = math.log(2) + 2 * (0.5 + math.log(0.1 * math.sqrt(2 * math.pi)))
    assert losses[0] > entropy + 0.5
    assert losses[1] < entropy + 0.15


def test_exact_completions_follow_the_conditional():
    """Kolmogorov–Smirnov, against the mixture's distribution function."""
    model = scattered(RNADE(3, 6, 2, [2, 0, 1]), scale=0.7, seed=1)
    x = torch.tensor([[0.5, 0.0, -1.0]])
    mask = torch.tensor([True, False, True])
    found = model.complete(x.repeat(4000, 1), mask, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found[:, mask], x[:, mask].expand(4000, 2))
    log_share, mean, scale = model.conditionals(x)[0, 1].detach().numpy()

    def distribution(value):
        return np.exp(log_share) @ stats.norm.cdf(value, mean[:, None], scale[:, None])

    assert stats.kstest(found[:, 1].numpy(), distribution).pvalue > FALSE_ALARM


@pytest.mark.covers("A03")
def test_particles_condition_a_gaussian():
    """Known value second: its weight pulls the first towards it, as Gaussian conditioning says."""
    model = RNADE(2, 2, 1)
    with torch.no_grad():  # x_1 ~ N(0, 1), x_2 | x_1 ~ N(x_1, 1): h = (relu x_1, relu −x_1)
        for parameter in model.parameters():
            parameter.zero_()
        model.rho.fill_(1)
        model.w[0] = torch.tensor([1.0, -1.0])
        model.v[1, :, 1] = torch.tensor([1.0, -1.0])
        model.b[:, 2] = math.log(math.expm1(1 - model.min_scale))
    x, mask = torch.tensor([[0.0, 2.0]]).repeat(3000, 1), torch.tensor([False, True])
    draw = model.complete(x, mask, particles=200, generator=torch.Generator().manual_seed(0))[:, 0]
    # p(x_1 | x_2 = 2) = N(1, 1/2), and 200 particles are biased by far less than the test sees.
    assert draw.mean().item() == pytest.approx(1, abs=5 * math.sqrt(0.5 / 3000) + 0.02)
    assert draw.var().item() == pytest.approx(0.5, abs=0.1)


def test_it_is_saved(tmp_path, model):
    model.save(tmp_path / "model.safetensors")
    x = torch.randn(5, 3)
    again = gl.load(tmp_path / "model.safetensors")
    assert torch.equal(again.log_prob(x), model.log_prob(x))


def test_codes_do_not_depend_on_the_order(model):
    x = torch.randn(5, 3)
    torch.testing.assert_close(model.encode(x), (model.c + x @ model.w).relu())


@pytest.mark.parametrize("name", ["dim", "hidden", "components", "min_scale"])
def test_bad_sizes_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}: expected"):
        RNADE(**{"dim": 2} | {name: 0})


def test_values_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match=r"expected finite values, got nan at index \(0, 1\)"):
        RNADE(2).log_prob(torch.tensor([[0.0, math.nan]]))
