"""Independent component analysis, as a density.

Sources: Hyvärinen and Oja (2000), "Independent component analysis: algorithms and applications";
Hyvärinen (1999), "Fast and robust fixed-point algorithms for independent component analysis".
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from genlib.core import Density, Estimator, History
from genlib.core.random import normal, uniform
from genlib.core.validation import check_choice, check_count, check_event, check_positive

SOURCES = ("laplace", "logistic")


class ICA(Estimator):
    """Independent component analysis: x = s A + μ with independent sources s: an exact log density.

    With W = A⁻¹, s = (x − μ) W, and densities p_k of the sources of scale b_k::

        log p(x) = log |det W| + Σ_k log p_k(s_k)

        p(s) = exp(−|s|/b) / 2b                        "laplace"
        p(s) = 1 / (4 b cosh²(s / 2b))                 "logistic"

    Symmetric FastICA finds W: it whitens the rows and looks for the rotation with stationary
    E log cosh of the sources, which therefore are uncorrelated, of mean 0 and variance 1. Then each
    b_k is that of the highest likelihood given W. (The W of the highest likelihood need not make
    sources uncorrelated; it is another.)

    Parameters
    ----------
    sources : {"laplace", "logistic"}
        Their density. FastICA does not look at it.
    components : int, optional
        Unmix so many leading principal components alone; what is left of x then has no density,
        and no sample. By default all d.
    iterations, tolerance : int, float
        The most iterations, and the change at which they end: one less the least cosine, without
        its sign, between an axis of the rotation and what it was.

    Attributes
    ----------
    mean : Tensor, shape (d,)
    unmixing : Tensor, shape (d, components)
        W.
    mixing : Tensor, shape (components, d)
        A, an atom a row, as in `SparseCoding`: W⁻¹, or with fewer components its pseudo-inverse.
    scales : Tensor, shape (components,)
        b.

    Notes
    -----
    ``encode`` gives the sources, (N, components); `decode` s A + μ. Order and signs of sources mean
    nothing; sources that are Gaussian cannot be told apart.

    References
    ----------
    Hyvärinen (1999), "Fast and robust fixed-point algorithms for independent component analysis",
    IEEE Transactions on Neural Networks 10, 626–634.
    """

    density = Density.EXACT
    lesson = "12_sparse_coding"
    fitted_buffers = ("mean", "unmixing", "mixing", "scales")
    mean: Tensor
    unmixing: Tensor
    mixing: Tensor
    scales: Tensor

    def __init__(
        self,
        sources: str = "laplace",
        components: int | None = None,
        *,
        iterations: int = 200,
        tolerance: float = 1e-6,
    ) -> None:
        super().__init__()
        check_choice(sources, SOURCES, "sources")
        check_count(iterations, "iterations")
        check_positive(tolerance, "tolerance")
        if components is not None:
            check_count(components, "components")
        self.sources, self.components = sources, components
        self.iterations, self.tolerance = iterations, tolerance
        if components is not None:
            why = "a number of components says nothing of what is left of x; leave components out."
            self.cannot = {"log_prob": why, "sample": why}

    def _estimate(self, x: Tensor, *, held_out: tuple[Tensor, ...]) -> History:
        wide = x.double()
        mean = wide.mean(0)
        whitener, unwhitener = self._whitening(wide - mean)
        white = (wide - mean) @ whitener
        rotation, history = self._rotation(white)
        scales = self._best_scales(white @ rotation)
        found = mean, whitener @ rotation, rotation.T @ unwhitener, scales
        self.mean, self.unmixing, self.mixing, self.scales = (part.to(x) for part in found)
        return history

    def _whitening(self, apart: Tensor) -> tuple[Tensor, Tensor]:
        """V with (x − μ) V uncorrelated and of variance 1, (d, components), and its inverse."""
        (n, d), q = apart.shape, self.components or apart.shape[1]
        if q > min(d, n - 1):
            raise ValueError(
                f"components: expected at most {min(d, n - 1)} of {n} rows in {d} dimensions, got "
                f"{q}; fit to more rows, or ask for fewer components."
            )
        values, vectors = torch.linalg.eigh(apart.T @ apart / n)
        values, vectors = values.flip(0)[:q], vectors.flip(1)[:, :q]
        if values[-1] <= 1e-9 * values[0]:
            rank = int((values > 1e-9 * values[0]).sum())
            raise ValueError(
                f"x: expected rows that vary in {q} directions, got {rank}; leave out columns that "
                f"are constant or sums of others, or ask for components={rank} or fewer."
            )
        return vectors / values.sqrt(), (vectors * values.sqrt()).T

    def _rotation(self, white: Tensor) -> tuple[Tensor, History]:
        """Orthogonal R, (q, q), by symmetric FastICA: white R are the sources."""
        history = History()
        rotation = _orthogonal(normal((white.shape[1],) * 2, white))
        for _ in range(self.iterations):
            s = (white @ rotation).tanh_()
            curvature = (1 - s.square()).mean(0)
            new = _orthogonal(white.T @ s / len(white) - rotation * curvature)
            turned = 1 - (new * rotation).sum(0).abs().min().item()
            rotation = new
            history.append(turned=turned)
            if turned < self.tolerance:
                break
        return rotation, history

    def _best_scales(self, s: Tensor) -> Tensor:
        """b of the highest likelihood of each column of ``s``."""
        size = s.abs().mean(0)
        if self.sources == "laplace":
            return size
        low, high = torch.zeros_like(size), size  # the root of b = E s tanh(s / 2b) lies between
        for _ in range(50):
            b = (low + high) / 2
            above = (s * (s / (2 * b)).tanh()).mean(0) > b
            low, high = torch.where(above, b, low), torch.where(above, high, b)
        return high

    # ------------------------------------------------------------------ the queries

    def decode(self, s: Tensor) -> Tensor:
        """Rows s A + μ of sources: (N, components) → (N, d)."""
        self._require_data("decode")
        shape = self.scales.shape
        check_event(s, shape, dtype=self.dtype, device=self.device, name="s")
        return s @ self.mixing + self.mean

    def _encode(self, x: Tensor) -> Tensor:
        return (x - self.mean) @ self.unmixing

    def _log_prob(self, x: Tensor) -> Tensor:
        u = self._encode(x).abs() / self.scales
        # For logistic sources −2 log 2 cosh(u / 2), without overflow.
        above = math.log(2) if self.sources == "laplace" else 2 * (-u).exp().log1p()
        log_p = -u - above - self.scales.log()
        return log_p.sum(1) + torch.linalg.slogdet(self.unmixing).logabsdet

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        shape = (n, len(self.scales))
        least = torch.finfo(self.dtype).eps / 4  # in place of zero
        u = uniform(shape, self.scales, generator).clamp_min(least)
        if self.sources == "laplace":
            v = uniform(shape, self.scales, generator).clamp_min(least)
            s = v.log() - u.log()
        else:
            s = u.log() - (-u).log1p()
        return self.decode(self.scales * s)


def _orthogonal(w: Tensor) -> Tensor:
    """The orthogonal matrix nearest to ``w``: (w wᵀ)^−½ w."""
    u, _, v = torch.linalg.svd(w)
    return u @ v
