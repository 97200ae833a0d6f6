"""Annealed importance sampling: log Z by a path of distributions, from one whose Z is known.

Between a base p_0 and the target p_1 lie p_β(x) ∝ exp(−E(x, β)). A chain starts with x ~ p_0 and at
each of the temperatures 0 = β_0 < … < β_T = 1 first gathers weight, then moves by a step that
leaves p_β invariant:

    log w ← log w + E(x, β_{t−1}) − E(x, β_t)        x ~ T_{β_t}(· | x)

The mean of w is Z_1 / Z_0 without bias, whether or not the chains mix [1]; its logarithm, below
log Z_1 / Z_0 on average. Run backwards from x ~ p_1, the same sum estimates Z_0 / Z_1, and minus
its logarithm lies above on average [2]. Where the two sides meet there is little left to doubt; the
standard error of one side sees only what its chains have seen.

[1] Neal (2001), "Annealed importance sampling", Statistics and Computing 11.
[2] Burda, Grosse and Salakhutdinov (2015), "Accurate and conservative estimates of MRF
log-likelihood using reverse annealing", AISTATS.
"""

from __future__ import annotations

import math
import sys
import warnings
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from genlib.core.latent import Estimate, log_mean
from genlib.core.validation import check_count, check_tensor

_FEW = 10  # effective samples below which neither value nor error is to be believed


@runtime_checkable
class AnnealingPath(Protocol):
    """Distributions p_β ∝ exp(−E(x, β)) from a base, β = 0, to a target, β = 1. A machine gives its
    own: ``machine.annealing_path()``.

    A state is whatever the path passes on: rows x, with what was computed of them.
    """

    def log_partition(self) -> Tensor:
        """Log Z of the base, in nats."""

    def sample(self, n: int, generator: Generator | None) -> Any:
        """State of ``n`` chains, drawn from the base."""

    def state(self, x: Tensor) -> Any:
        """State of chains at given rows."""

    def energy(self, state: Any, beta: float) -> Tensor:
        """E(x, β) of each chain, (n,), in nats."""

    def step(self, state: Any, beta: float, generator: Generator | None) -> Any:
        """A new state, by a step that leaves p_β invariant."""


class Annealed(NamedTuple):
    """What annealing found."""

    log_partition: Estimate  # of the target, in nats, with its standard error by the delta method
    log_weights: Tensor  # (chains,)
    effective_sample_size: float  # (Σ w)² / Σ w²
    state: Any  # where the chains ended


@torch.no_grad()
def ais(
    path: AnnealingPath,
    betas: Tensor,
    chains: int = 100,
    *,
    generator: Generator | None = None,
) -> Annealed:
    """Estimate log Z of a path's target, from below on average.

    Parameters
    ----------
    path : AnnealingPath
    betas : Tensor, shape (T + 1,)
        Inverse temperatures, rising from 0 to 1; two at least.
    chains : int
        Two at least.
    generator : torch.Generator, optional

    Returns
    -------
    Annealed

    Warns
    -----
    RuntimeWarning
        The effective sample size is below ten: more temperatures, or chains, are needed.

    Raises
    ------
    TypeError, ValueError
        ``path`` is none, ``betas`` do not rise from 0 to 1, or there are fewer than two chains.
    """
    check_path(path)
    check_count(chains, "chains", minimum=2)
    steps = checked_betas(betas)
    state = path.sample(chains, generator)
    log_w = path.energy(state, 0.0).double()
    for beta, after in zip(steps[1:], [*steps[2:], None], strict=True):
        log_w -= path.energy(state, beta)
        if after is not None:  # a step at β = 1 would change no weight
            state = path.step(state, beta, generator)
            log_w += path.energy(state, beta)
    return _summary(path.log_partition() + log_mean(log_w), log_w, state)


@torch.no_grad()
def reverse_ais(
    path: AnnealingPath,
    betas: Tensor,
    x: Tensor,
    *,
    generator: Generator | None = None,
) -> Annealed:
    """Estimate log Z of a path's target from above on average, by chains that go from the target to
    the base.

    Parameters
    ----------
    path : AnnealingPath
    betas : Tensor, shape (T + 1,)
        As for `ais`.
    x : Tensor, shape (chains, ...)
        Draws from the target. Where they only stand near them, as the ends of long chains do, the
        estimate is no bound on average.
    generator : torch.Generator, optional

    Returns
    -------
    Annealed
        ``log_weights`` are those of Z_0 / Z_1.

    Warns, raises
    -------------
    As `ais`.
    """
    check_path(path)
    steps = checked_betas(betas)
    check_tensor(x)
    check_count(len(x), "rows of x", minimum=2)
    state = path.state(x)
    log_w = path.energy(state, 1.0).double()
    for beta in reversed(steps[1:-1]):
        log_w -= path.energy(state, beta)
        state = path.step(state, beta, generator)
        log_w += path.energy(state, beta)
    log_w -= path.energy(state, 0.0)
    return _summary(path.log_partition() - log_mean(log_w), log_w, state)


def _summary(log_partition: Tensor, log_w: Tensor, state: Any) -> Annealed:
    w = (log_w - log_mean(log_w)).exp()  # of mean 1
    size = (w.sum().square() / w.square().sum()).item()
    if not size >= _FEW:  # NaN is not
        warnings.warn(
            f"annealing ended with an effective sample of {size:.1f} of {len(w)} chains; take more "
            "temperatures or chains, or believe neither the estimate nor its error.",
            RuntimeWarning,
            stacklevel=_level_of_caller(),
        )
    error = w.std() / math.sqrt(len(w))
    return Annealed(Estimate(log_partition, error), log_w, size, state)


def _level_of_caller() -> int:
    """The ``stacklevel``, in the function that asks, of the first one outside genlib and torch."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_globals["__name__"].partition(".")[0] in ("genlib", "torch"):
        frame, level = frame.f_back, level + 1
    return level


def check_path(path: object) -> None:
    """Raise unless ``path`` is an `AnnealingPath`."""
    if not isinstance(path, AnnealingPath):
        own = hasattr(path, "annealing_path")
        mend = "pass its annealing_path()" if own else "see genlib.sampling.AnnealingPath"
        raise TypeError(f"path: expected an annealing path, got {type(path).__name__}; {mend}.")


def checked_betas(betas: Tensor) -> list[float]:
    """``betas`` as numbers, checked to rise from 0 to 1."""
    check_tensor(betas, "betas")
    rises = betas.dim() == 1 and len(betas) > 1 and bool((betas.diff() > 0).all())
    if not (rises and betas[0] == 0 and betas[-1] == 1):
        raise ValueError(
            "betas: expected at least two numbers that rise from 0 to 1, as in "
            f"torch.linspace(0, 1, 1001), got {betas.flatten()[:4].tolist()} … of shape "
            f"{tuple(betas.shape)}."
        )
    return betas.tolist()
