"""The normal density, fitted by maximum likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Generator, Tensor

from genlib.core import History
from genlib.core.random import normal
from genlib.core.rows import row_chunks
from genlib.core.validation import check_choice, check_positive
from genlib.models.density.base import (
    DensityEstimator,
    check_finite,
    check_resolved,
    full_precision,
)

_IN_CACHE = 2**18  # values of a part of the rows
_SMALL = 128  # dimensions up to which a product with the inverse is faster than solving


class Gaussian(DensityEstimator):
    """Normal density N(μ, Σ), fitted by maximum likelihood: the sample's mean and covariance
    (divided by N).

    Parameters
    ----------
    covariance : {"full", "diagonal"}
        A diagonal Σ has d parameters where a full one has d(d+1)/2, and takes the columns to be
        independent.
    ridge : float
        Added to the variances. Zero is the maximum-likelihood estimate, which is singular where N ≤
        d.

    Notes
    -----
    Σ = L Lᵀ is computed in float64, and L is kept in the dtype of the model, with which every
    answer is computed. A column of which only a share s of the variance is left, given the columns
    before it, loses digits in proportion to 1/√s. Where s ≤ 10⁻⁶ in float32, or 10⁻¹² in float64,
    `fit` calls the covariance singular; above that, rounding moves log_prob of rows like those
    fitted by less than 0.005 nats for each such column. μ is kept in that dtype too: where it
    lies 10⁴ standard deviations from zero, subtract a constant before fitting in float32.

    Examples
    --------
    >>> model = Gaussian()
    >>> _ = model.fit(torch.tensor([[-1.0], [1.0]]))
    >>> model.log_prob(torch.tensor([[0.0]])).item()  # log of 1/√(2π)
    -0.9189385175704956
    """

    fitted_buffers = ("loc", "scale_tril")

    def __init__(self, covariance: str = "full", ridge: float = 0.0) -> None:
        super().__init__()
        check_choice(covariance, ["full", "diagonal"], "covariance")
        check_positive(ridge, "ridge", zero=True)
        self.covariance, self.ridge = covariance, ridge

    def _estimate(self, x: Tensor, *, held_out: tuple[Tensor, ...]) -> History:
        mean = sum(part.sum(0, dtype=torch.float64) for part in row_chunks(x, _IN_CACHE)) / len(x)
        sigma = _scatter(x, mean, diagonal=self.covariance == "diagonal").div_(len(x))
        sigma.diagonal().add_(self.ridge)
        scale_tril, failed = torch.linalg.cholesky_ex(sigma)
        left = scale_tril.diagonal() ** 2 / sigma.diagonal()
        kept = scale_tril.to(x, memory_format=torch.contiguous_format)
        check_finite(sigma.diagonal(), "variance")
        check_finite(kept.diagonal(), "deviation, ridge included,")
        # L is rounded to the dtype of x; what is subtracted on the way to it, to float64.
        if failed or not (left > max(1e-12, 8 * torch.finfo(x.dtype).eps)).all():
            raise ValueError(
                f"x: the covariance of these {len(x)} rows in {x.shape[1]} dimensions is "
                f"singular in {x.dtype} (a constant column, a column that others determine, or "
                'N ≤ d); use ridge=1e-3, or covariance="diagonal" for the last two.'
            )
        check_resolved(kept.diagonal(), "deviation, given the columns before it,")
        self.loc, self.scale_tril = mean.to(x), kept
        return History()

    def _log_prob(self, x: Tensor) -> Tensor:
        with full_precision(x):
            whiten = self._whitener()
            parts = [whiten((part - self.loc).T) for part in row_chunks(x, _IN_CACHE)]
        squares = torch.cat([part.square().sum(0) for part in parts])
        at_mean = -self.scale_tril.diagonal().log().sum() - len(x.T) / 2 * math.log(2 * math.pi)
        return torch.sub(at_mean, squares, alpha=0.5)

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        noise = normal((n, len(self.loc)), self.loc, generator)
        with full_precision(noise):
            return self.loc + noise @ self.scale_tril.T

    def _whitener(self) -> Callable[[Tensor], Tensor]:
        """Function from x − μ, shape (d, N), to L⁻¹(x − μ)."""
        if self.covariance == "diagonal" or len(self.loc) == 1:
            return self.scale_tril.diagonal()[:, None].reciprocal().mul
        if len(self.loc) > _SMALL:
            return partial(torch.linalg.solve_triangular, self.scale_tril, upper=False)
        # W L = I is solved, not L W = I: then W (L z) is z up to rounding, as if solved for.
        eye = torch.eye(len(self.loc)).to(self.loc)
        return torch.linalg.solve_triangular(self.scale_tril, eye, upper=False, left=False).matmul


def _scatter(x: Tensor, mean: Tensor, diagonal: bool) -> Tensor:
    """Σ_n (x_n − mean)(x_n − mean)ᵀ in float64, its lower triangle or its diagonal alone."""
    parts = (part.to(mean, copy=True).sub_(mean) for part in row_chunks(x, _IN_CACHE))
    if diagonal:
        return torch.diag(sum(part.square().sum(0) for part in parts))
    if x.device.type != "cpu":
        return sum(part.T @ part for part in parts)
    from scipy.linalg.blas import dsyrk  # half the work of a product

    scatter = np.zeros((len(mean), len(mean)), order="F")
    for part in parts:
        scatter = dsyrk(1.0, part.numpy().T, beta=1.0, c=scatter, lower=1, overwrite_c=1)
    return torch.from_numpy(scatter)
