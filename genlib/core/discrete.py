"""Events of finitely many values: where they may lie, how they are numbered, and all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import constraints

from genlib.core.validation import check_count

LARGEST_LISTING = 2**20  # events that are listed, to be summed over or counted
_MOST_BINARY = 24  # variables whose events are made on demand: of more, the numbers fill the memory


class States(constraints.Constraint):
    """Vectors whose i-th value is one of 0, 1, …, ``states[i]`` − 1.

    Where every variable is binary, `constraints.boolean` says the same and is used instead.
    """

    is_discrete = True
    event_dim = 0

    def __init__(self, states: Sequence[int]) -> None:
        self.states = tuple(states)
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Whether each value is a state of its variable."""
        return (value % 1 == 0) & (value >= 0) & (value < torch.tensor(self.states).to(value))

    def __repr__(self) -> str:
        if len(set(self.states)) == 1:
            return f"{{0, …, {self.states[0] - 1}}}"
        return f"the states 0 … s − 1 of each variable, for s = {self.states}"


class Levels(constraints.Constraint):
    """The values 0, 1/(L − 1), …, 1 of a pixel with L ≥ 2 levels, up to a thousandth of a level.

    Where there are two, `constraints.boolean` says the same and is used instead.
    """

    is_discrete = True
    event_dim = 0
    lower_bound, upper_bound = 0.0, 1.0

    def __init__(self, levels: int) -> None:
        self.levels = levels
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        """Whether each value is a level."""
        scaled = value * (self.levels - 1)
        near = (scaled - scaled.round()).abs() <= 1e-3
        return near & (value > -0.5 / self.levels) & (value < 1 + 0.5 / self.levels)

    def __repr__(self) -> str:
        return f"the {self.levels} levels 0, 1/{self.levels - 1}, …, 1"


def state_space(states: Sequence[int]) -> constraints.Constraint:
    """Return the support of variables with so many states each."""
    return constraints.boolean if set(states) == {2} else States(states)


def state_counts(support: constraints.Constraint, size: int) -> tuple[int, ...] | None:
    """Number of states of each of ``size`` values with this support; ``None`` where a value has
    infinitely many.
    """
    if support is constraints.boolean:
        return (2,) * size
    if isinstance(support, Levels):
        return (support.levels,) * size
    return support.states if isinstance(support, States) else None


def finite_events(
    support: constraints.Constraint,
    event_shape: torch.Size,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor | None:
    """All events of a support, shape (count, \\*event_shape), counting upwards with the last value
    fastest; ``None`` where there are more than `LARGEST_LISTING`.
    """
    states = state_counts(support, event_shape.numel())
    if states is None or math.prod(states) > LARGEST_LISTING:
        return None
    events = discrete_events(states, dtype=torch.int64, device=device)
    return to_values(events, support, dtype).reshape(-1, *event_shape)


def event_numbers(x: Tensor, support: constraints.Constraint) -> Tensor:
    """The place of each row of ``x`` among the `finite_events` of its support, int64 of shape
    (N,).
    """
    states = to_states(x.flatten(1), support)
    places = place_values(state_counts(support, states.shape[1]))
    return (states * torch.tensor(places, device=x.device)).sum(1)


def to_states(x: Tensor, support: constraints.Constraint) -> Tensor:
    """The states 0, 1, … of values of a finite support, int64 of the shape of ``x``."""
    return (x * (support.levels - 1)).round().long() if isinstance(support, Levels) else x.long()


def to_values(states: Tensor, support: constraints.Constraint, dtype: torch.dtype) -> Tensor:
    """The values of a finite support that have these ``states``: the inverse of `to_states`."""
    values = states.to(dtype)
    return values / (support.levels - 1) if isinstance(support, Levels) else values


def place_values(states: Sequence[int]) -> list[int]:
    """What a step of each variable adds to the number of an event, the last variable fastest."""
    return [math.prod(states[i + 1 :]) for i in range(len(states))]


def discrete_events(
    states: Sequence[int],
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """All events of variables with so many states each, shape (Π states, len(states)), counting
    upwards with the last column fastest; 2**24 at most.
    """
    for count in states:
        check_count(count, "states")
    if math.prod(states) > 2**_MOST_BINARY:
        raise ValueError(
            f"states: expected at most 2**{_MOST_BINARY} events in all, got some 10**"
            f"{math.log10(math.prod(states)):.0f} of {len(states)} variables."
        )
    numbers = torch.arange(math.prod(states), device=device)[:, None]
    places = torch.tensor(place_values(states), device=device)
    return (numbers // places % torch.tensor(states, device=device)).to(dtype)


def binary_events(
    size: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Tensor:
    """All 2**size binary vectors, shape (2**size, size), counting upwards with the last column
    fastest; ``size`` is 24 at most.
    """
    check_count(size, "size", maximum=_MOST_BINARY)
    return discrete_events([2] * size, dtype=dtype, device=device)
