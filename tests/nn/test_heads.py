"""Output heads: masses that sum to one, draws that follow them, and the colours of a pixel."""

import itertools

import pytest
import torch
from scipy import stats
from torch.distributions import Bernoulli, Categorical, constraints

from genlib.nn.heads import BernoulliHead, CategoricalHead, LogisticMixtureHead

HEADS = {
    "bernoulli": BernoulliHead(),
    "categorical": CategoricalHead(4),
    "mixture": LogisticMixtureHead(3, levels=4),
    "binary mixture": LogisticMixtureHead(2, levels=2),
}
LEVELS = {"bernoulli": 2, "categorical": 4, "mixture": 4, "binary mixture": 2}


def output(head, colours, rows=2, columns=3, n=1):
    return torch.randn(n, head.channels(colours), rows, columns, dtype=torch.double)


def pixels(levels, colours):
    """Every pixel there is, a batch of images of 1 × 1."""
    values = torch.arange(levels, dtype=torch.double) / (levels - 1)
    return torch.stack([torch.stack(p) for p in itertools.product(values, repeat=colours)])[
        ..., None, None
    ]


@pytest.mark.parametrize("colours", [1, 2, 3])
@pytest.mark.parametrize("name", HEADS)
def test_all_pixels_together_have_probability_one(name, colours):
    head, x = HEADS[name], pixels(LEVELS[name], colours)
    out = output(head, colours, 1, 1).expand(len(x), -1, 1, 1)
    assert head.log_prob(out, x).exp().sum().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("name", HEADS)
def test_conditionals_multiply_to_the_whole(name, colours):
    head = HEADS[name]
    out = output(head, colours, n=5)
    x = torch.randint(LEVELS[name], (5, colours, 2, 3)).double() / (LEVELS[name] - 1)
    terms = head.log_conditionals(out, x)
    assert terms.shape == x.shape
    torch.testing.assert_close(terms.flatten(1).sum(1), head.log_prob(out, x))


@pytest.mark.parametrize("levels", [98, 195, 256])
def test_each_level_in_single_precision_has_its_own_logit(levels):
    """k / (L − 1) · (L − 1) is not always k."""
    x = (torch.arange(levels) / (levels - 1)).view(1, 1, 1, -1)
    logits = torch.randn(levels)
    out = logits.view(1, -1, 1, 1).expand(-1, -1, 1, levels)
    found = CategoricalHead(levels).log_conditionals(out, x)
    torch.testing.assert_close(found.flatten(), logits.log_softmax(0))


def test_bernoulli_and_categorical_are_those_of_torch():
    x = (torch.rand(5, 3, 2, 3) < 0.5).double()
    out = output(BernoulliHead(), 3, n=5)
    torch.testing.assert_close(
        BernoulliHead().log_conditionals(out, x), Bernoulli(logits=out).log_prob(x)
    )
    head, level = CategoricalHead(7), torch.randint(7, (5, 3, 2, 3))
    out = output(head, 3, n=5)
    conditionals = head.conditionals(out, level / 6)
    assert conditionals.shape == (5, 3, 2, 3, 7)
    torch.testing.assert_close(conditionals[:, 1], out[:, 7:14].movedim(1, -1))
    torch.testing.assert_close(
        head.log_conditionals(out, level / 6), Categorical(logits=conditionals).log_prob(level)
    )


def mass(head, conditionals, x):
    """What conditionals put on values, by the logistic distribution of SciPy."""
    weight, mean, scale = (part.numpy() for part in conditionals.unbind(-1))
    edge, value = 0.5 / (head.levels - 1), x[..., None].numpy()
    law = stats.logistic(loc=mean, scale=torch.as_tensor(scale).exp().numpy())
    upper = torch.as_tensor(law.cdf(value + edge)).where(torch.as_tensor(value) < 1, 1)
    lower = torch.as_tensor(law.cdf(value - edge)).where(torch.as_tensor(value) > 0, 0)
    return (torch.as_tensor(weight).exp() * (upper - lower)).sum(-1)


@pytest.mark.covers("A09")
@pytest.mark.parametrize("colours", [1, 3])
def test_a_mixture_says_what_its_parameters_say(colours):
    """Weights, means and scales of each conditional, read by SciPy, give its probability."""
    head = LogisticMixtureHead(4, levels=16)
    out = output(head, colours, n=6)
    x = torch.randint(16, (6, colours, 2, 3)).double() / 15
    conditionals = head.conditionals(out, x)
    assert conditionals.shape == (6, colours, 2, 3, 4, 3)
    torch.testing.assert_close(conditionals[..., 0].exp().sum(-1), torch.ones_like(x))
    found = head.log_conditionals(out, x).exp()
    torch.testing.assert_close(found, mass(head, conditionals, x), rtol=1e-6, atol=1e-12)


@pytest.mark.covers("A09")
def test_each_colour_sees_those_before_it_alone():
    head = LogisticMixtureHead(3)
    out, x = output(head, 3, 1, 1), torch.full((1, 3, 1, 1), 0.2, dtype=torch.double)
    before = head.conditionals(out, x)
    for changed in range(3):
        other = x.clone()
        other[:, changed] = 0.6
        moved = (head.conditionals(out, other) != before).flatten(2).any(2)[0]
        assert moved.tolist() == [c > changed for c in range(3)]


@pytest.mark.parametrize("name", HEADS)
def test_draws_follow_the_conditionals(name):
    head, levels, n = HEADS[name], LEVELS[name], 20_000
    out = output(head, 1, 1, 1)
    values = torch.arange(levels, dtype=torch.double).view(-1, 1, 1, 1) / (levels - 1)
    p = head.log_prob(out.expand(levels, -1, 1, 1), values).exp()
    conditionals = head.conditionals(out, values[:1])
    generator = torch.Generator().manual_seed(0)
    u = torch.rand(n, 1, 1, 1, head.noise, generator=generator, dtype=torch.double)
    drawn = head.draw(conditionals.expand(n, *conditionals.shape[1:]), u)
    assert drawn.shape == (n, 1, 1, 1)
    counts = torch.bincount((drawn.flatten() * (levels - 1)).round().long(), minlength=levels)
    assert stats.chisquare(counts.numpy(), (n * p / p.sum()).numpy()).pvalue > 1e-6


@pytest.mark.parametrize("name", HEADS)
def test_the_ends_of_the_unit_interval_are_values_too(name):
    head = HEADS[name]
    out = output(head, 1, 1, 1)
    conditionals = head.conditionals(out, torch.zeros(1, 1, 1, 1, dtype=torch.double))
    for u in (0.0, 1 - 2**-24):
        value = head.draw(conditionals, torch.full((1, 1, 1, 1, head.noise), u))
        assert head.support.check(value).all()


def test_supports():
    assert BernoulliHead().support is constraints.boolean
    assert CategoricalHead(2).support is constraints.boolean
    support, grid = CategoricalHead().support, torch.arange(256) / 255
    assert support.check(grid).all()
    assert support.check(torch.arange(256) * torch.tensor(1 / 255)).all()
    assert not support.check(torch.tensor([0.5, -1 / 255, 256 / 255, 0.01])).any()


@pytest.mark.parametrize("make", [CategoricalHead, LogisticMixtureHead])
def test_bad_numbers_are_refused(make):
    with pytest.raises(ValueError, match="levels: expected at least 2, got 1"):
        make(levels=1)
    with pytest.raises(ValueError, match="components: expected at least 1, got 0"):
        LogisticMixtureHead(0)
