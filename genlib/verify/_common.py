"""What all checks share: their error, their false-alarm rate, and what they ask of a call."""

from __future__ import annotations

import math

import torch
from scipy import stats
from torch import Tensor

from genlib.core import NotFittedError
from genlib.core.validation import check_count

FALSE_ALARM = 1e-6


class VerificationError(AssertionError):
    """A property that a model should have and has not."""


# ---------------------------------------------------------------------- statistics


def level(tests: int = 1) -> float:
    """The level of each of so many tests of one call: together they fail at `FALSE_ALARM`."""
    return FALSE_ALARM / tests


def standard_errors(tests: int = 1) -> float:
    """How many standard errors a right mean may lie off, to either side, in so many tests."""
    return stats.norm.isf(level(tests) / 2).item()


def enough(tests: int = 1) -> int:
    """How many draws of a thing let an error by a factor of two stand out, in so many tests.

    The standard error of a count of n is √n at most; where both of two counts have one, n is told
    from 2 n as soon as n ≥ 2 z √n.
    """
    return math.ceil((2 * standard_errors(tests)) ** 2)


def binomial_p_values(counts: Tensor, trials: Tensor | int, low: Tensor, high: Tensor) -> Tensor:
    """Two-sided p-values of binomial ``counts`` whose shares lie somewhere in ``low`` … ``high``.

    Twice the smaller tail, so that it is no less than the exact two-sided one.
    """
    counts, trials = counts.cpu().numpy(), torch.as_tensor(trials).cpu().numpy()
    few = stats.binom.cdf(counts, trials, low.double().clamp(0, 1).cpu().numpy())
    many = stats.binom.sf(counts - 1, trials, high.double().clamp(0, 1).cpu().numpy())
    return 2 * torch.from_numpy(few).minimum(torch.from_numpy(many))


def nearest(x: Tensor, centres: Tensor) -> Tensor:
    """The centre (cells, d) that lies nearest to each row of ``x`` (N, d), int64 of shape (N,)."""
    return torch.cat([torch.cdist(part, centres).argmin(1) for part in x.split(8192)])


# ---------------------------------------------------------------------- the door


def check_model(model: object, *methods: str) -> None:
    """Raise unless ``model`` has these ``methods``, and says what its events are."""
    for name in (*methods, "event_shape", "support", "dtype", "device"):
        if not hasattr(model, name):
            raise TypeError(
                f"model: expected one with {', '.join(methods)}, event_shape, support, dtype and "
                f"device, as a genlib Model has; {type(model).__name__} has no {name}."
            )
    if model.event_shape is None:
        raise NotFittedError(f"{type(model).__name__} has seen no data yet: call fit(x) first.")


def check_draws(draws: object, minimum: int, purpose: str) -> None:
    """Raise unless ``draws`` is an integer of at least ``minimum``, which ``purpose`` explains."""
    check_count(draws, "draws")
    if draws < minimum:
        raise ValueError(
            f"draws: expected at least {minimum}, {purpose}; got {draws}, of which the check would "
            "notice little."
        )


def shape_of(x: object) -> str:
    """The shape of a tensor, or the kind of what is none, for a message."""
    return str(tuple(x.shape)) if isinstance(x, Tensor) else type(x).__name__


def in_words(x: Tensor, most: int = 6) -> str:
    """The first values of one event, for a message."""
    x = x.flatten()
    shown = ", ".join(f"{value:.3g}" for value in x[:most].tolist())
    return f"({shown}, …)" if len(x) > most else f"({shown})"
