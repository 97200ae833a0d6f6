"""Likelihoods of a decoder against torch's distributions, sums and draws."""

import math

import pytest
import torch
from scipy import stats
from torch.distributions import Bernoulli, Normal, constraints

from genlib.nn.likelihoods import Logistic, likelihood


def test_bernoulli_and_gaussian_are_torchs():
    x, out = (torch.rand(4, 3, 2, 2) < 0.5).double(), torch.randn(5, 4, 3, 2, 2).double()
    expected = Bernoulli(logits=out).log_prob(x).sum((2, 3, 4))
    torch.testing.assert_close(likelihood("bernoulli").log_prob(out, x), expected)
    for scale in (None, 0.3):
        one = likelihood("gaussian", scale=scale)
        expected = Normal(out, scale or 1.0).log_prob(x).sum((2, 3, 4))
        torch.testing.assert_close(one.log_prob(out, x), expected)
    learned = likelihood("gaussian")
    with torch.no_grad():
        learned.log_scale.fill_(math.log(0.7))
    torch.testing.assert_close(
        learned.log_prob(out, x), Normal(out, 0.7).log_prob(x).sum((2, 3, 4))
    )
    assert [*learned.parameters()] and not [*likelihood("gaussian", scale=0.3).parameters()]


def test_extreme_logits_stay_finite():
    out = torch.tensor([[1e4, -1e4]])
    found = likelihood("bernoulli").log_prob(out, torch.tensor([[0.0, 0.0]]))
    assert found.item() == -1e4


@pytest.mark.parametrize("levels", [2, 5, 256])
def test_logistic_masses_are_differences_of_the_distribution_function(levels):
    one, out = Logistic(levels), torch.randn(1, 2, dtype=torch.float64)
    mean, scale = out[0, 0] + 0.5, (out[0, 1] - 2).exp()
    x = torch.arange(levels, dtype=torch.float64) / (levels - 1)
    found = one.log_prob(out.expand(levels, 2), x[:, None]).exp()
    edges = (x[:-1] + x[1:]) / 2
    below = torch.cat([torch.zeros(1), ((edges - mean) / scale).sigmoid(), torch.ones(1)])
    torch.testing.assert_close(found, below.diff())
    assert found.sum().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", ["bernoulli", "gaussian", "logistic"])
def test_draws_follow_the_masses(name):
    """Against the distribution function; false alarm 1e-6."""
    given = {"logistic": {"levels": 6}, "gaussian": {"scale": 0.2}}
    one = likelihood(name, **given.get(name, {}))
    torch.manual_seed(0)
    out = torch.randn(1, 2 * one.parameters_each)
    out[:, 2:] = 1.0  # log-scales, of those that have them: no level is too rare to count
    drawn = one.draw(out.expand(20_000, -1), 1, torch.Generator().manual_seed(0)).detach()
    assert drawn.shape == (20_000, 2)
    if name == "gaussian":
        assert stats.kstest(drawn[:, 0].numpy(), "norm", (out[0, 0].item(), 0.2)).pvalue > 1e-6
        return
    levels = torch.arange(2 if name == "bernoulli" else 6) / (1 if name == "bernoulli" else 5)
    assert one.support.check(drawn).all()
    parts = out[:, 0::2] if name == "logistic" else out[:, :1]
    p = one.log_prob(parts.expand(len(levels), -1), levels[:, None]).exp()
    counts = torch.stack([(drawn[:, 0] - level).abs().lt(1e-5).sum() for level in levels])
    expected = p.double().detach()
    expected *= 20_000 / expected.sum()
    assert stats.chisquare(counts.numpy(), expected.numpy()).pvalue > 1e-6


def test_means():
    out = 2 * torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(likelihood("gaussian").mean(out, 1), out)
    torch.testing.assert_close(likelihood("bernoulli").mean(out, 1), Bernoulli(logits=out).mean)
    # Two numbers a value, the first 0 at a mean of one half.
    torch.testing.assert_close(Logistic(6).mean(out, 1), (out[:, :2] + 0.5).clamp(0, 1))


def test_supports_and_refusals():
    assert likelihood("bernoulli").support is constraints.boolean
    assert likelihood("gaussian").support is constraints.real
    with pytest.raises(ValueError, match="likelihood: expected one of"):
        likelihood("poisson")
    with pytest.raises(ValueError, match="only the Gaussian likelihood has one"):
        likelihood("logistic", scale=1.0)
    with pytest.raises(ValueError, match="levels: expected at least 2"):
        likelihood("logistic", levels=1)
