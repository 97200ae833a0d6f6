"""Likelihoods: what the output of a decoder says of an event, its values independent given z.

A likelihood reads the output ``out`` of a network, (..., k · C, \\*rest), as k parameters of each
value of an event (C, \\*rest); `heads` has those for pixels that see each other.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn
from torch.distributions import constraints
from torch.nn import functional as F

from genlib.core.discrete import Levels
from genlib.core.random import normal, uniform
from genlib.core.validation import check_choice, check_count, check_positive
from genlib.kernels.logistic_mixture import logistic_mixture_log_prob
from genlib.nn.heads import logistic_level

LIKELIHOODS = ("bernoulli", "gaussian", "logistic")


class Likelihood(nn.Module):
    """p(x | out) = Π_i p(x_i | out_i), one factor a value.

    Attributes
    ----------
    support : torch.distributions.constraints.Constraint
        The values of an event.
    parameters_each : int
        k, how many numbers of the output describe one value.
    """

    support: constraints.Constraint
    parameters_each = 1

    def log_prob(self, out: Tensor, x: Tensor) -> Tensor:
        """Log-likelihood of each event, summed over its values, in nats.

        Parameters
        ----------
        out : Tensor, shape (..., N, k · C, \\*rest)
        x : Tensor, shape (N, C, \\*rest)

        Returns
        -------
        Tensor, shape (..., N)
        """
        each = self._log_each(out, x)
        return each.flatten(each.dim() - (x.dim() - 1)).sum(-1)

    def mean(self, out: Tensor, dims: int) -> Tensor:
        """Mean of each value, where an event has ``dims`` dimensions."""
        raise NotImplementedError

    def draw(self, out: Tensor, dims: int, generator: Generator | None = None) -> Tensor:
        """An event for each output, where an event has ``dims`` dimensions."""
        raise NotImplementedError

    def _log_each(self, out: Tensor, x: Tensor) -> Tensor:
        """Log-likelihood of each value, (..., N, C, \\*rest)."""
        raise NotImplementedError


class Bernoulli(Likelihood):
    """Values 0 and 1, by the logit of 1."""

    support = constraints.boolean

    def _log_each(self, out: Tensor, x: Tensor) -> Tensor:
        # log σ(l) of a 1, log σ(−l) of a 0: exact for both, and one pass over the output.
        return F.logsigmoid(out * (2 * x - 1))

    def mean(self, out: Tensor, dims: int) -> Tensor:
        """Probability of 1."""
        return out.sigmoid()

    def draw(self, out: Tensor, dims: int, generator: Generator | None = None) -> Tensor:
        """0 or 1 for each value."""
        return (uniform(out.shape, out, generator) < out.sigmoid()).to(out)


class Gaussian(Likelihood):
    """Real values, N(out, σ²), with one σ for all of them.

    Parameters
    ----------
    scale : float, optional
        σ; without it σ is a parameter that training finds, from 1 on.
    """

    support = constraints.real

    def __init__(self, scale: float | None = None) -> None:
        super().__init__()
        if scale is not None:
            check_positive(scale, "scale")
        log_scale = torch.tensor(0.0 if scale is None else math.log(scale))
        if scale is None:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    def _log_each(self, out: Tensor, x: Tensor) -> Tensor:
        z = (x - out) * (-self.log_scale).exp()
        return -0.5 * z.square() - self.log_scale - 0.5 * math.log(2 * math.pi)

    def mean(self, out: Tensor, dims: int) -> Tensor:
        """The output itself."""
        return out

    def draw(self, out: Tensor, dims: int, generator: Generator | None = None) -> Tensor:
        """The output with noise."""
        return out + self.log_scale.exp() * normal(out.shape, out, generator)


class Logistic(Likelihood):
    """Values k/(L − 1), by what a logistic density puts on the bin around each.

    Two numbers describe a value, a mean in [0, 1] and a log-scale. The first and the last bin reach
    to infinity; see `genlib.kernels.logistic_mixture`.

    Parameters
    ----------
    levels : int
        L.
    """

    parameters_each = 2

    def __init__(self, levels: int = 256) -> None:
        super().__init__()
        check_count(levels, "levels", minimum=2)
        self.levels = levels
        self.support = constraints.boolean if levels == 2 else Levels(levels)

    def _log_each(self, out: Tensor, x: Tensor) -> Tensor:
        mean, log_scale = (part.contiguous() for part in self._parts(out, x.dim() - 1))
        values = x.expand_as(mean).reshape(-1, 1, 1, 1)
        each = [part.view(-1, 1, 1, 1, 1) for part in (mean, log_scale)]
        log_p = logistic_mixture_log_prob(values, torch.zeros_like(values), *each, self.levels)
        return log_p.view_as(mean)

    def mean(self, out: Tensor, dims: int) -> Tensor:
        """Mean of the logistic density, held in [0, 1]."""
        return self._parts(out, dims)[0].clamp(0, 1)

    def draw(self, out: Tensor, dims: int, generator: Generator | None = None) -> Tensor:
        """The level next to a draw from the logistic density."""
        mean, log_scale = self._parts(out, dims)
        u = uniform(mean.shape, mean, generator)
        return logistic_level(mean, log_scale, u, self.levels)

    def _parts(self, out: Tensor, dims: int) -> tuple[Tensor, Tensor]:
        """Mean and log-scale; where the network says zero, ½ and −2."""
        mean, log_scale = out.chunk(2, dim=out.dim() - dims)
        return mean + 0.5, log_scale - 2


def likelihood(name: str, *, scale: float | None = None, levels: int = 256) -> Likelihood:
    """The likelihood called ``name``: ``"bernoulli"``, ``"gaussian"`` with a ``scale``, or
    ``"logistic"`` with so many ``levels``.
    """
    check_choice(name, LIKELIHOODS, "likelihood")
    if scale is not None and name != "gaussian":
        raise ValueError(
            f"scale: only the Gaussian likelihood has one, got {scale!r} for {name!r}."
        )
    if name == "bernoulli":
        return Bernoulli()
    return Gaussian(scale) if name == "gaussian" else Logistic(levels)
