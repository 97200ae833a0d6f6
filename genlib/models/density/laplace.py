"""Independent Laplace densities, fitted by maximum likelihood."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from genlib.core import History
from genlib.core.random import uniform
from genlib.models.density.base import DensityEstimator, check_finite, check_varied


class Laplace(DensityEstimator):
    """Independent Laplace densities, ``Π_i exp(−|x_i − m_i| / b_i) / (2 b_i)``, fitted by maximum
    likelihood.

    The estimate is each column's median, the lower one if N is even, and the mean absolute
    deviation from it. The course uses it as the family that is *not* the data's: maximum likelihood
    then finds the best of a poor choice, without a word of warning.
    """

    fitted_buffers = ("loc", "scale")

    def _estimate(self, x: Tensor, *, held_out: tuple[Tensor, ...]) -> History:
        loc = x.median(0).values
        scale = (x - loc).abs().mean(0)
        check_varied(scale == 0, "its best density is infinite; leave it out")
        check_finite(scale, "mean absolute deviation")
        self.loc, self.scale = loc, scale
        return History()

    def _log_prob(self, x: Tensor) -> Tensor:
        return -((x - self.loc).abs() / self.scale + (2 * self.scale).log()).sum(1)

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        u = uniform((n, len(self.loc)), self.loc, generator) - 0.5
        # At u = −½ the logarithm is that of zero: half a step of the uniform numbers from there.
        inside = (-2 * u.abs()).clamp_min(torch.finfo(u.dtype).eps / 2 - 1)
        return self.loc - self.scale * u.sign() * torch.log1p(inside)
