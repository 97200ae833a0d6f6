"""Densities that are integrals over a latent variable, and what random draws say of them."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Generator, Tensor

from genlib.core.model import Density, Model
from genlib.core.rows import row_chunks
from genlib.core.validation import check_count

_VALUES_AT_ONCE = 2**24  # of x, each as often as there are draws of z


class Estimate(NamedTuple):
    """What random draws say of numbers: a value each, and its standard error."""

    value: Tensor
    error: Tensor


class LatentVariableModel(Model, abstract=True):
    """p(x) = ∫ p(x | z) p(z) dz, bounded and estimated with the help of q(z | x).

    A subclass writes ``_log_weights(x, samples, generator)``: log p(x, z) − log q(z | x) at
    ``samples`` draws of z from q for each row, shape (samples, N), in nats. Where a model takes
    labels or conditions, ``y`` follows as a last argument, and all is given y.

    References
    ----------
    Kingma and Welling (2014), "Auto-encoding variational Bayes"; Burda, Grosse and Salakhutdinov
    (2016), "Importance weighted autoencoders".
    """

    density = Density.BOUND
    cannot: ClassVar[dict[str, str]] = {
        "log_prob": "the integral over z has no closed form; elbo bounds it, and "
        "estimate_log_prob estimates it.",
    }

    def elbo(
        self,
        x: Tensor,
        y: Tensor | None = None,
        *,
        samples: int = 1,
        generator: Generator | None = None,
    ) -> Tensor:
        """Evidence lower bound E_q[log p(x, z) − log q(z | x)] of each row, averaged over
        ``samples`` draws of z, shape (N,), in nats.
        """
        return self._checked_log_weights(samples, generator, *self._checked(x, y)).mean(0)

    def iwae(
        self,
        x: Tensor,
        y: Tensor | None = None,
        *,
        samples: int = 100,
        generator: Generator | None = None,
    ) -> Tensor:
        """Importance-weighted bound log (1/K) Σ_k p(x, z_k) / q(z_k | x) of each row, shape (N,),
        in nats. In expectation it is a lower bound, and rises with K to log p(x).
        """
        return log_mean(self._checked_log_weights(samples, generator, *self._checked(x, y)))

    @torch.no_grad()
    def estimate_log_prob(
        self,
        x: Tensor,
        y: Tensor | None = None,
        *,
        samples: int = 1000,
        generator: Generator | None = None,
    ) -> Estimate:
        """Importance-sampling estimate of log p(x) of each row, in nats: `iwae`, with its standard
        error by the delta method.

        The error is itself an estimate: where few draws carry all the weight, it is too small. The
        effective sample size behind a row is about samples / (1 + samples error²); where that is
        below ten or so, believe neither number.
        """
        check_count(samples, "samples", minimum=2)
        batch = self._checked(x, y)
        rows = len(row_chunks(x, max(1, _VALUES_AT_ONCE // samples))[0])
        # Room for all results first: small tensors that are kept between large ones that are freed
        # cut an allocator's memory into pieces, and the process grows with every part.
        found = Estimate(x.new_empty(len(x)), x.new_empty(len(x)))
        parts = [part.split(rows) for part in (*batch, *found)]
        for *chunk, value, error in zip(*parts, strict=True):
            log_w = self._checked_log_weights(samples, generator, *chunk)
            value.copy_(log_mean(log_w))
            error.copy_((log_w - value).exp().std(0) / math.sqrt(samples))
        return found

    def loss(self, x: Tensor, *y: Tensor) -> Tensor:
        """Mean of −ELBO over the rows, from one draw of z each, in nats."""
        return -self._log_weights(x, 1, None, *y).mean()

    def validation_loss(self, x: Tensor, *y: Tensor) -> Tensor:
        """Mean of −ELBO, whatever `loss` may weigh or anneal."""
        return LatentVariableModel.loss(self, x, *y)

    def _checked(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, ...]:
        """``(x,)``, or ``(x, y)`` of a model that has labels or conditions, checked."""
        self.check(x)
        condition = self._condition(y, len(x))
        return (x,) if condition is None else (x, condition)

    def _checked_log_weights(
        self, samples: int, generator: Generator | None, x: Tensor, *y: Tensor
    ) -> Tensor:
        """`_log_weights` of rows that have been checked, checked to be a row for each sample."""
        check_count(samples, "samples")
        log_w = self._log_weights(x, samples, generator, *y)
        if log_w.shape != (samples, len(x)):
            raise ValueError(
                f"{type(self).__name__}._log_weights: expected shape ({samples}, {len(x)}), a row "
                f"for each sample, got {tuple(log_w.shape)}."
            )
        return log_w

    def _log_weights(
        self, x: Tensor, samples: int, generator: Generator | None, *y: Tensor
    ) -> Tensor:
        raise NotImplementedError


def log_mean(log_w: Tensor) -> Tensor:
    """Logarithm of the mean of weights over the first dimension, from their logarithms."""
    return log_w.logsumexp(0) - math.log(len(log_w))
