"""Completions against p(unknown | known) by enumeration."""

import pytest
import torch
from scipy import stats

from genlib.models.autoregressive import FVSBN, NADE
from tests.models.autoregressive.checks import ORDER, completion_probabilities
from tests.parameters import scattered

FALSE_ALARM = 1e-6
DRAWS = 20_000


def mask_of(known):
    mask = torch.zeros(9, dtype=torch.bool)
    mask[known] = True
    return mask


def total_variation(model, x, mask, **options):
    """Half the sum of |share − probability| over all completions of one row."""
    events, p = completion_probabilities(model, x, mask)
    found = model.complete(
        x.repeat(DRAWS, 1), mask, generator=torch.Generator().manual_seed(1), **options
    )
    codes = (found[:, None] == events).all(2).int()
    assert codes.any(1).all(), "a completion changed what is known"
    share = torch.bincount(codes.argmax(1), minlength=len(p)) / len(found)
    return (share - p).abs().sum().item() / 2


def noise(states):
    """A bound on the total variation of counts that only chance moves, by Hoeffding's inequality
    over all sets of events.
    """
    return ((states * 0.6931 - torch.tensor(FALSE_ALARM).log().item()) / (2 * DRAWS)) ** 0.5


MODELS = {
    "FVSBN": lambda: FVSBN(9, ORDER),
    "NADE": lambda: NADE(9, 5, ORDER),
    "orderless NADE": lambda: NADE(9, 5, ORDER, orderless=True),
}


@pytest.fixture(params=MODELS)
def model(request):
    return scattered(MODELS[request.param](), seed=4)


@pytest.mark.covers("A01")
def test_exact_where_the_known_values_come_first(model):
    x, mask = model.sample(1)[0], mask_of(ORDER[:5])
    assert total_variation(model, x, mask) < noise(16)


def test_nothing_known_is_a_sample_and_everything_known_is_left_alone(model):
    x = model.sample(50)
    assert torch.equal(model.complete(x, mask_of(range(9))), x)
    drawn = model.complete(x, mask_of([]), generator=torch.Generator().manual_seed(2))
    assert torch.equal(drawn, model.sample(50, generator=torch.Generator().manual_seed(2)))


@pytest.mark.covers("A01")
def test_particles_approach_the_answer_that_one_particle_misses():
    """Known values at the end of the order: what a clamped draw ignores, weights put right."""
    model = scattered(FVSBN(9, ORDER), seed=4)
    x, mask = model.sample(1, generator=torch.Generator().manual_seed(2))[0], mask_of(ORDER[5:])
    errors = [total_variation(model, x, mask, particles=count) for count in (1, 4, 64)]
    assert errors[0] > 0.3
    assert errors[1] < errors[0] / 2
    assert errors[2] < noise(32)


def test_particles_are_exact_where_no_weight_differs(model):
    x, mask = model.sample(1)[0], mask_of(ORDER[:5])
    assert total_variation(model, x, mask, particles=3) < noise(16)


@pytest.mark.parametrize("name", ["FVSBN", "NADE"])
def test_an_exact_answer_out_of_reach_is_refused(name):
    model = MODELS[name]()
    x, masks = torch.zeros(2, 9), torch.stack([mask_of(ORDER[:3]), mask_of([ORDER[0], ORDER[2]])])
    with pytest.raises(ValueError, match=r"in row 1 the known value 5 comes after unknown ones"):
        model.complete(x, masks)


@pytest.mark.covers("A02")
def test_orderless_training_answers_every_mask():
    """Known values first, then the rest in the model's order: p in that order, enumerated."""
    model = scattered(NADE(9, 5, orderless=True), seed=4)
    x, mask = model.sample(1)[0], mask_of([8, 2, 5])
    order = torch.tensor([2, 5, 8, 0, 1, 3, 4, 6, 7])
    mixture = model.ensemble([order])
    events, p = completion_probabilities(mixture, x, mask)
    rows = torch.stack([x, 1 - x]).repeat(DRAWS, 1)
    masks = torch.stack([mask, mask_of([0])]).repeat(DRAWS, 1)  # two masks in one call
    found = model.complete(rows, masks, generator=torch.Generator().manual_seed(1))[::2]
    assert torch.equal(found[:, mask], rows[::2, mask])
    share = (found[:, None] == events).all(2).float().mean(0)
    assert (share - p).abs().sum() / 2 < noise(64)


def test_the_generator_alone_decides(model):
    x, mask = torch.zeros(30, 9), mask_of(ORDER[:2])
    for options in ({}, {"particles": 3}):
        draws = [
            model.complete(x, mask, generator=torch.Generator().manual_seed(5), **options)
            for _ in "12"
        ]
        assert torch.equal(*draws)


def test_one_unknown_value_is_a_coin_of_known_bias(model):
    """An exact binomial test."""
    x, last = model.sample(1)[0], ORDER[-1]
    mask = mask_of(ORDER[:-1])
    p = model.conditionals(x[None])[0, last].sigmoid().item()
    ones = model.complete(x.repeat(2000, 1), mask)[:, last].sum().int().item()
    assert stats.binomtest(ones, 2000, p).pvalue > FALSE_ALARM


BAD = {
    "list": ([True] * 9, TypeError, r"mask: expected a torch\.Tensor, got list"),
    "floats": (torch.ones(9), TypeError, r"mask: .* got torch\.float32"),
    "short": (torch.ones(8, dtype=torch.bool), ValueError, r"\(9,\), or \(2, 9\).* got \(8,\)"),
    "rows": (torch.ones(3, 9, dtype=torch.bool), ValueError, r"got \(3, 9\)"),
    "column": (torch.ones(2, 1, dtype=torch.bool), ValueError, r"got \(2, 1\)"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_masks_are_refused(case, model):
    mask, error, message = BAD[case]
    with pytest.raises(error, match=message):
        model.complete(torch.zeros(2, 9), mask)


@pytest.mark.parametrize("particles", [0, 2.0])
def test_bad_numbers_of_particles_are_refused(particles, model):
    with pytest.raises((TypeError, ValueError), match="particles: expected"):
        model.complete(torch.zeros(2, 9), mask_of([0]), particles=particles)


def test_rows_off_the_support_are_refused(model):
    with pytest.raises(ValueError, match=r"values in \{0, 1\}"):
        model.complete(torch.full((2, 9), 0.5), mask_of([0]))
