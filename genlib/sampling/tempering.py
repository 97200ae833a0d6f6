"""Parallel tempering: chains at several temperatures that exchange their states.

Replicas r = 1 … R hold p_{β_r} ∝ exp(−E(x, β_r)) of an annealing path. After a step of each, pairs
of neighbours exchange states with probability

    min(1, exp(E(x_r, β_r) + E(x_s, β_s) − E(x_s, β_r) − E(x_r, β_s)))

which leaves their joint distribution invariant (Swendsen and Wang 1986; Geyer 1991). What is stuck
at β = 1 gets away by way of the base.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from genlib.core.random import uniform
from genlib.core.validation import check_count
from genlib.sampling.annealing import AnnealingPath, check_path, checked_betas


class Tempered(NamedTuple):
    """Where the replicas stand, and how often they met."""

    states: list[Any]  # one a temperature, of all chains; the last is at β = 1
    exchanged: Tensor  # (R − 1,), the part of exchanges between neighbours that were accepted


@torch.no_grad()
def parallel_tempering(
    path: AnnealingPath,
    betas: Tensor,
    states: list[Any],
    steps: int,
    *,
    generator: Generator | None = None,
) -> Tempered:
    """Move replicas ``steps`` times, each time with exchanges of the even or the odd pairs.

    Parameters
    ----------
    path : AnnealingPath
        Of a machine ``machine.annealing_path()``. Its states are tensors, or named tuples of
        tensors, with a row for each chain.
    betas : Tensor, shape (R,)
        Inverse temperatures, rising from 0 to 1.
    states : list of states
        One for each temperature, of equally many chains.
    steps : int
    generator : torch.Generator, optional

    Returns
    -------
    Tempered

    Raises
    ------
    TypeError, ValueError
        ``betas`` do not rise from 0 to 1, or there is not one state, of equally many chains, for
        each.
    """
    check_path(path)
    at = checked_betas(betas)
    check_count(steps, "steps")
    if len(states) != len(at):
        raise ValueError(f"states: expected one for each of {len(at)} betas, got {len(states)}.")
    energies = [path.energy(state, beta) for state, beta in zip(states, at, strict=True)]
    chains = [len(each) for each in energies]
    if len(set(chains)) > 1:
        raise ValueError(f"states: expected equally many chains in each, got {chains}.")
    states, tried = list(states), torch.zeros(len(at) - 1)
    accepted = torch.zeros(len(at) - 1, device=energies[0].device)
    for step in range(steps):
        states = [path.step(state, b, generator) for state, b in zip(states, at, strict=True)]
        for r in range(step % 2, len(at) - 1, 2):
            cold, hot = states[r + 1], states[r]
            log_ratio = (
                path.energy(hot, at[r])
                + path.energy(cold, at[r + 1])
                - path.energy(cold, at[r])
                - path.energy(hot, at[r + 1])
            )
            swap = uniform(log_ratio.shape, log_ratio, generator).log() < log_ratio
            states[r], states[r + 1] = _exchanged(hot, cold, swap)
            accepted[r] += swap.double().mean()
            tried[r] += 1
    return Tempered(states, accepted.cpu() / tried.clamp_min(1))


def _exchanged(a: Any, b: Any, swap: Tensor) -> tuple[Any, Any]:
    """States with the chains exchanged where ``swap`` is true."""
    if isinstance(a, Tensor):
        swap = swap.view(-1, *[1] * (a.dim() - 1))
        return torch.where(swap, b, a), torch.where(swap, a, b)
    pairs = [_exchanged(x, y, swap) for x, y in zip(a, b, strict=True)]
    return type(a)(*(x for x, _ in pairs)), type(a)(*(y for _, y in pairs))
