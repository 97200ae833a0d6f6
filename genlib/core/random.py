"""Everything that draws: one seed, and the few draws that models share.

A draw is made where its generator lives: on the CPU by default, so that a seed means the same
numbers on every machine; on a GPU where the caller hands in a generator there, as long chains want.
It then goes to the device of the tensor that it is to be like.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor


def seed(n: int | None = None) -> torch.Generator:
    """Seed torch (every device), NumPy's legacy generator and Python's ``random`` with ``n``.

    Without ``n`` the seed is ``$GENLIB_SEED``, or 0: lessons begin so, and can be run again under
    other seeds.

    Draws with ``generator=None``, initialisation, dropout and training noise use torch's global
    generator, so after ``seed(n)`` the same code on the same machine gives the same numbers.
    Returns torch's CPU generator, as `torch.manual_seed` does.

    Raises
    ------
    TypeError, ValueError
        ``n`` is no integer, or not one that torch takes: −2⁶³ … 2⁶⁴ − 1.
    """
    if n is None:
        given = os.environ.get("GENLIB_SEED", "0")
        if not given.lstrip("-").isdecimal():
            raise ValueError(f"GENLIB_SEED: expected an integer, got {given!r}.")
        n = int(given)
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise TypeError(f"n: expected an integer, got {n!r}.")
    n = int(n)
    if not -(2**63) <= n < 2**64:
        raise ValueError(f"n: expected a seed in −2**63 … 2**64 − 1, got {n}.")
    random.seed(n)
    np.random.seed(n % 2**32)
    return torch.manual_seed(n)


def uniform(shape: Sequence[int], like: Tensor, generator: Generator | None = None) -> Tensor:
    """Uniform numbers in [0, 1), of the dtype and on the device of ``like``."""
    drawn = torch.rand(shape, generator=generator, dtype=like.dtype, device=source(generator))
    return drawn.to(like.device)


def normal(shape: Sequence[int], like: Tensor, generator: Generator | None = None) -> Tensor:
    """Standard normal numbers, of the dtype and on the device of ``like``."""
    drawn = torch.randn(shape, generator=generator, dtype=like.dtype, device=source(generator))
    return drawn.to(like.device)


def integers(
    high: int, shape: Sequence[int], like: Tensor, generator: Generator | None = None
) -> Tensor:
    """Integers in 0 … ``high`` − 1, all equally likely, int64 on the device of ``like``."""
    drawn = torch.randint(high, shape, generator=generator, device=source(generator))
    return drawn.to(like.device)


def categorical(weights: Tensor, u: Tensor) -> Tensor:
    """The states at which summed ``weights`` pass uniform numbers: draws from a categorical
    distribution.

    Parameters
    ----------
    weights : Tensor, shape (K,), or (..., K) with a row for each number of ``u``
        Not negative; they need not sum to one. A state of weight zero never comes.
    u : Tensor, shape (...)
        Uniform numbers in [0, 1), of the dtype of ``weights``; see `uniform`.

    Returns
    -------
    Tensor of int64, shape (...)

    Raises
    ------
    ValueError
        Some row of weights has no positive, finite sum, so that it is no distribution.
    """
    ends = weights.cumsum(-1)
    total = ends[..., -1]
    positive = torch.isfinite(total) & (total > 0)
    if not positive.all():
        raise ValueError(
            "weights: expected a positive finite sum in every row, got "
            f"{total[~positive][0].item():g}; were NaN or infinite "
            "parameters loaded, or did training diverge?"
        )
    # u < 1, so u · total rounds to less than total, and the last state found has some weight.
    if ends.dim() == 1:
        return torch.searchsorted(ends, u * total, right=True)
    return torch.searchsorted(ends, (u * total).unsqueeze(-1), right=True).squeeze(-1)


def source(generator: Generator | None) -> torch.device:
    """The device on which a draw is made: where its generator lives.

    Raises
    ------
    TypeError
        ``generator`` is neither a generator nor ``None``.
    """
    if not isinstance(generator, Generator | None):
        raise TypeError(f"generator: expected a torch.Generator or None, got {generator!r}.")
    return torch.device("cpu") if generator is None else generator.device
