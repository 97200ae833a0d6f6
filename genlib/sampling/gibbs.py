"""Gibbs sampling of binary variables, one after the other, under any energy."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.distributions import constraints

from genlib.core.random import uniform
from genlib.core.validation import check_count, check_event, check_one_a_row


class Chain(NamedTuple):
    """Where chains stand, and how they moved."""

    x: Tensor  # (N, d)
    energy: Tensor  # (N,), nats
    flips: Tensor  # (sweeps,), the part of the values that changed in each sweep


@torch.no_grad()
def gibbs(
    energy: Callable[[Tensor], Tensor],
    x: Tensor,
    sweeps: int = 1,
    *,
    generator: Generator | None = None,
) -> Chain:
    """Draw every binary value anew, given all others, from p(x) ∝ exp(−E(x)).

    A sweep passes over the values in order: p(x_i = 1 | others) = σ(E(x_i = 0) − E(x_i = 1)). It
    leaves p invariant; as the order is fixed, a sweep is not reversible, though each draw is.

    Parameters
    ----------
    energy : callable
        Gives the energies (N,) of rows (N, d), in nats.
    x : Tensor, shape (N, d)
        States to begin with, one a chain, of zeros and ones; it is not changed.
    sweeps : int
    generator : torch.Generator, optional

    Returns
    -------
    Chain

    Raises
    ------
    TypeError, ValueError
        ``x`` is no batch of zeros and ones, ``energy`` does not give one number a row or gives NaN
        at the start, or ``sweeps`` is no positive integer.
    """
    check_count(sweeps, "sweeps")
    check_event(x, x.shape[1:], constraints.boolean, dtype=x.dtype, device=x.device)
    if x.dim() != 2:
        raise ValueError(f"x: expected states of shape (N, d), got {tuple(x.shape)}.")
    x, now, flips = x.clone(), energy(x), []
    check_one_a_row(now, x, "energy")
    if now.isnan().any():
        raise ValueError("energy: expected numbers, got NaN where a chain begins.")
    for _ in range(sweeps):
        u, before = uniform(x.shape, x, generator), x.clone()
        for i in range(x.shape[1]):
            other = x.clone()
            other[:, i] = 1 - x[:, i]
            flipped = energy(other)
            flip = u[:, i] < torch.sigmoid(now - flipped)
            x, now = torch.where(flip[:, None], other, x), torch.where(flip, flipped, now)
        flips.append((x != before).double().mean())
    return Chain(x, now, torch.stack(flips))
