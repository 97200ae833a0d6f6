"""Discrete events against itertools and numpy's own numbering."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.distributions import constraints

import genlib as gl
from genlib.core.discrete import (
    Levels,
    States,
    event_numbers,
    finite_events,
    place_values,
    state_counts,
    state_space,
    to_states,
    to_values,
)
from genlib.core.validation import check_event, describe

SIZES = [(2,), (5,), (2, 2, 2), (3, 2, 4), (2, 7, 1, 3)]


@pytest.mark.parametrize("states", SIZES)
class TestNumbering:
    def test_all_events_are_listed_once_the_last_column_fastest(self, states):
        expected = torch.tensor(list(itertools.product(*map(range, states)))).float()
        assert torch.equal(gl.discrete_events(states), expected)
        assert gl.discrete_events(states, dtype=torch.float64).dtype == torch.float64

    def test_place_values_number_them_as_numpy_does(self, states):
        events = np.array(list(itertools.product(*map(range, states))))
        numbers = events @ np.array(place_values(states))
        assert numbers.tolist() == np.ravel_multi_index(events.T, states).tolist()
        assert numbers.tolist() == list(range(math.prod(states)))


def test_binary_events_are_those_of_two_states():
    assert torch.equal(gl.binary_events(5), gl.discrete_events([2] * 5))


def test_place_values_of_nothing_are_none():
    assert place_values([]) == []


class TestStates:
    def test_only_states_are_inside(self):
        support = States((2, 4))
        for value, inside in [
            ((0, 0), (True, True)),
            ((1, 3), (True, True)),
            ((2, 4), (False, False)),
            ((-1, 2), (False, True)),
            ((0.5, 2.5), (False, False)),
            ((-0.0, 2.0), (True, True)),
            ((math.nan, math.inf), (False, False)),
        ]:
            for dtype in (torch.float32, torch.float64):
                assert support.check(torch.tensor([value], dtype=dtype)).tolist() == [list(inside)]

    def test_two_states_everywhere_is_boolean(self):
        assert state_space([2, 2]) is constraints.boolean
        assert isinstance(state_space([2, 3]), States)
        assert isinstance(state_space([3]), States)
        assert isinstance(state_space([1, 2]), States)

    def test_counts_come_back_from_the_support(self):
        assert state_counts(constraints.boolean, 3) == (2, 2, 2)
        assert state_counts(state_space([2, 3, 4]), 3) == (2, 3, 4)
        assert state_counts(constraints.nonnegative_integer, 3) is None
        assert state_counts(constraints.real, 3) is None

    def test_messages_name_the_states(self):
        assert describe(States((6, 6))) == "{0, …, 5}"
        assert describe(constraints.nonnegative_integer) == "{0, 1, 2, …}"
        with pytest.raises(
            ValueError,
            match=r"states 0 … s − 1 .* s = \(2, 3\), got 3 at index \(1, 1\)",
        ):
            check_event(torch.tensor([[1.0, 2], [1, 3]]), torch.Size([2]), States((2, 3)))

    def test_is_discrete(self):
        assert States((3,)).is_discrete and state_space([2]).is_discrete


@pytest.mark.parametrize(
    ("states", "error", "words"),
    [
        ([2, 0], ValueError, "states: expected at least 1, got 0"),
        ([2, 2.0], TypeError, "states: expected an integer, got 2.0"),
        (["a"], TypeError, "got 'a'"),
    ],
)
def test_bad_numbers_of_states(states, error, words):
    with pytest.raises(error, match=words):
        gl.discrete_events(states)
    with pytest.raises(ValueError, match="size: expected at least 1, got 0"):
        gl.binary_events(0)
    with pytest.raises(ValueError, match="size: expected at most 24, got 40"):
        gl.binary_events(40)
    with pytest.raises(ValueError, match=r"at most 2\*\*24 events in all, got some 10\*\*19 of 40"):
        gl.discrete_events([3] * 40)


class TestFiniteEvents:
    @pytest.mark.parametrize(
        ("support", "values"),
        [
            (constraints.boolean, [[0, 1]] * 4),
            (States([3, 2, 1, 4]), [range(3), range(2), range(1), range(4)]),
            (Levels(5), [[0, 0.25, 0.5, 0.75, 1]] * 4),
        ],
    )
    def test_all_are_listed_in_order_and_numbered(self, support, values):
        events = finite_events(support, torch.Size([2, 2]), dtype=torch.float64)
        expected = torch.tensor(list(itertools.product(*values)), dtype=torch.float64)
        assert torch.equal(events, expected.view(-1, 2, 2))
        assert event_numbers(events, support).tolist() == list(range(len(events)))

    @pytest.mark.parametrize(
        ("support", "size"),
        [(constraints.real, 1), (constraints.boolean, 21), (Levels(256), 3), (Levels(3), 784)],
    )
    def test_none_where_they_are_too_many_or_infinite(self, support, size):
        assert finite_events(support, torch.Size([size])) is None


@pytest.mark.parametrize("levels", [3, 5, 255, 256])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_levels_and_their_states_turn_into_each_other(levels, dtype):
    """Values k/(L − 1), as numpy divides them, and those a thousandth of a level off."""
    values = torch.from_numpy(np.arange(levels) / (levels - 1)).to(dtype)
    states = torch.arange(levels)
    assert torch.equal(to_values(states, Levels(levels), dtype), values)
    assert torch.equal(to_states(values, Levels(levels)), states)
    assert torch.equal(to_states(values + 9e-4 / (levels - 1), Levels(levels)), states)
    assert torch.equal(to_states(states.to(dtype), States((levels,) * levels)), states)
    assert torch.equal(to_values(states, States((levels,) * levels), dtype), states.to(dtype))


@pytest.mark.parametrize("levels", [3, 256])
def test_a_level_is_met_up_to_a_thousandth(levels):
    near = (torch.arange(levels, dtype=torch.float64) + 9e-4) / (levels - 1)
    off = (torch.arange(levels, dtype=torch.float64) + 2e-3) / (levels - 1)
    assert Levels(levels).check(near).all() and not Levels(levels).check(off).any()
    outside = torch.tensor([-1.0, levels]).double() / (levels - 1)
    assert not Levels(levels).check(outside).any()
