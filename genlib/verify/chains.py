"""Whether a Markov chain leaves its target as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from genlib.core.validation import check_count, check_dense, check_tensor, first_index
from genlib.verify._common import (
    VerificationError,
    binomial_p_values,
    check_draws,
    enough,
    in_words,
    level,
    nearest,
    shape_of,
    standard_errors,
)

Step = Callable[[Tensor], Tensor | tuple[Tensor, Any]]


def detailed_balance(
    step: Step,
    log_prob: Callable[[Tensor], Tensor],
    states: Tensor,
    draws: int = 4_000,
) -> None:
    """Check that a Markov chain is reversible: π(i) T(i → j) = π(j) T(j → i) for every pair of
    states.

    Takes ``draws`` steps from each state and counts where they lead. Given the sum of the counts i
    → j and j → i, the first is binomial with a share decided by π alone; each pair is tested so,
    with a false-alarm rate of `FALSE_ALARM` over all pairs.

    Parameters
    ----------
    step : callable
        Maps states (N, \\*event_shape) to the next states, or to ``(states, info)``, each row a
        chain of its own.
    log_prob : callable
        Maps states to (N,), log π up to a constant.
    states : Tensor, shape (S, \\*event_shape)
        All the states there are.
    draws : int
        Steps from each state.

    Raises
    ------
    VerificationError
        Some pair is out of balance, a step leads to a state that is not listed, or no step leads
        anywhere.
    TypeError, ValueError
        Fewer than two states, or one of them twice, or of probability zero; ``step`` or
        ``log_prob`` does not answer for every row; too few ``draws`` to notice anything.
    """
    log_pi = _log_pi(log_prob, states)
    i, j = torch.triu_indices(len(states), len(states), 1)
    check_draws(draws, enough(len(i)), "so that a flow four times its return stands out")
    counts = torch.stack([_counts(step, states, start, draws) for start in range(len(states))])
    there, back = counts[i, j], counts[j, i]
    if not (there + back).any():
        raise VerificationError(
            "every step stays where it is, so that there is nothing to balance: is every proposal "
            "refused, or none made?"
        )
    share = torch.sigmoid(log_pi[j] - log_pi[i])  # T(i→j) / (T(i→j) + T(j→i)) under balance
    wrong = binomial_p_values(there, there + back, share, share) < level(len(i))
    if wrong.any():
        (pair,) = first_index(wrong)
        raise VerificationError(
            f"states ({i[pair]}, {j[pair]}): {there[pair]} steps there and {back[pair]} back in "
            f"{draws} from each, where balance wants a share of {share[pair]:.3f} there; look at "
            "the acceptance ratio, or at a sweep whose order is fixed."
        )


def stationary(
    step: Step,
    sample: Callable[[int], Tensor],
    steps: int = 7,
    draws: int = 20_000,
    cells: int = 32,
) -> None:
    """Check that a Markov chain, on any space, leaves its target distribution as it is.

    Chains start from exact draws of the target; after ``steps`` steps each has to be one still. Two
    kinds of test compare every chain with its own start, at `FALSE_ALARM` over all comparisons:

    - as many chains enter as leave each of ``cells`` nearest-point cells around draws: exact
      binomial tests of the chains that change their cell;
    - mean and variance of each value stay what they are: z-tests of the mean change, whose rate
      holds as far as means of so many changes are normal.

    A chain that never mixes may be stationary as well. One that comes back in a cycle shows nothing
    after as many steps, so that an odd number of them is wise.

    Parameters
    ----------
    step : callable
        Maps states (N, \\*event_shape) to the next states, or to ``(states, info)``, each row a
        chain of its own.
    sample : callable
        Maps n to n independent exact draws of the target, (n, \\*event_shape), as ``model.sample``
        does.
    steps : int
        Steps of each chain.
    draws : int
        Number of chains.
    cells : int

    Raises
    ------
    VerificationError
        A mean, variance or share of a cell changes; a state is not finite; no chain moves.
    TypeError, ValueError
        ``sample`` or ``step`` does not answer for every row; too few ``draws`` to notice anything.
    """
    check_count(steps, "steps")
    check_count(cells, "cells", minimum=2)
    needed = enough(2 * cells)
    check_draws(draws, needed * cells, f"so that each of {cells} cells holds some {needed}")
    x = sample(cells + draws)
    check_tensor(x, "sample")
    if len(x) != cells + draws:
        raise ValueError(f"sample: expected {cells + draws} draws, as asked for, got {len(x)}.")
    centres, start = x[:cells], x[cells:]
    end = start
    for _ in range(steps):
        end = _advance(step, end)
    if torch.equal(start, end):
        raise VerificationError(
            f"every chain is where it was {steps} steps before, so that there is nothing to "
            "compare: is every proposal refused, or none made?"
        )
    centres, start, end = (
        part.reshape(len(part), -1).double().cpu() for part in (centres, start, end)
    )
    _moments_stay(start, end, steps)
    _cells_stay(start, end, centres, steps)


def _advance(step: Step, x: Tensor) -> Tensor:
    """The states after a step, one for each of ``x``."""
    reached = step(x.clone())
    reached = reached[0] if isinstance(reached, tuple) else reached
    if not isinstance(reached, Tensor):
        raise TypeError(
            "step: expected it to return the next states, or (states, info), got "
            f"{type(reached).__name__}."
        )
    if reached.shape != x.shape:
        raise ValueError(
            f"step: expected a state for each that it is given, shape {tuple(x.shape)}, got "
            f"{tuple(reached.shape)}."
        )
    if not reached.isfinite().all():
        i = first_index(~reached.isfinite())
        raise VerificationError(
            f"the chain reaches {reached[i]:g} at index {i}: look for a step that is too long, or "
            "a log of zero."
        )
    return reached.detach()


def _log_pi(log_prob: Callable[[Tensor], Tensor], states: Tensor) -> Tensor:
    """log π of each state, up to a constant, where states are such as can be checked."""
    check_dense(states, "states", "genlib.discrete_events lists states")
    if states.dim() < 2 or len(states) < 2:
        raise ValueError(
            f"states: expected at least two, shape (S, d), got shape {tuple(states.shape)}."
        )
    if len(states.unique(dim=0)) < len(states):
        raise ValueError("states: expected each state once, got some of them twice.")
    log_pi = log_prob(states)
    if not isinstance(log_pi, Tensor) or log_pi.shape != (len(states),):
        raise ValueError(
            f"log_prob: expected a number a state, shape ({len(states)},), got {shape_of(log_pi)}."
        )
    if not log_pi.isfinite().all():
        (i,) = first_index(~log_pi.isfinite())
        raise ValueError(
            f"log_prob: expected finite values, got {log_pi[i]:g} for state {i}; leave states of "
            "probability zero out of states."
        )
    return log_pi.detach().double().cpu()


def _counts(step: Step, states: Tensor, start: int, draws: int) -> Tensor:
    """How many of ``draws`` steps from state ``start`` lead to each state."""
    reached = _advance(step, states[start].expand(draws, *states.shape[1:])).flatten(1)
    match = (reached[:, None] == states.flatten(1)[None]).all(-1)
    listed = match.any(1)
    if not listed.all():
        raise VerificationError(
            f"from state {start} the chain reaches {in_words(reached[~listed][0])}, not in states."
        )
    return torch.bincount(match.int().argmax(1).cpu(), minlength=len(states))


def _moments_stay(start: Tensor, end: Tensor, steps: int) -> None:
    mean = start.mean(0)
    for name, before, after in [
        ("mean", start, end),
        ("variance", (start - mean) ** 2, (end - mean) ** 2),
    ]:
        change = after - before
        error = change.std(0) / len(change) ** 0.5
        # Half of the false alarms for means and variances, half for the cells.
        wrong = change.mean(0).abs() > standard_errors(4 * start.shape[1]) * error
        if wrong.any():
            (i,) = first_index(wrong)
            raise VerificationError(
                f"after {steps} steps from exact draws the {name} of value {i} goes from "
                f"{before[:, i].mean():.4g} to {after[:, i].mean():.4g}, by "
                f"{change[:, i].mean().abs() / error[i]:.1f} standard errors; look at the "
                "acceptance ratio, or at a step without one that is too long."
            )


def _cells_stay(start: Tensor, end: Tensor, centres: Tensor, steps: int) -> None:
    here, there = nearest(start, centres), nearest(end, centres)
    moved = here != there
    left = torch.bincount(here[moved], minlength=len(centres))
    entered = torch.bincount(there[moved], minlength=len(centres))
    half = torch.full((len(centres),), 0.5)
    wrong = binomial_p_values(entered, left + entered, half, half) < level(2 * len(centres))
    if wrong.any():
        (cell,) = first_index(wrong)
        raise VerificationError(
            f"in {steps} steps from exact draws {entered[cell]} chains enter the cell around "
            f"{in_words(centres[cell])} and {left[cell]} leave it; look at the acceptance ratio, "
            "or at a step without one that is too long."
        )
