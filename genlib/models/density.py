"""Density estimation: parametric maximum likelihood, histogram, Parzen windows, nearest neighbours.

Every estimator here is fitted in one go to the rows of a matrix ``x`` of shape (N, d), without a
learning rate or an epoch, and all but one answer the density query exactly. Source: the
density-estimation part of document U; Bishop (2006), §2.5; Silverman (1986); Scott (1992).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from genlib.core import Density, History, Model
from genlib.core.validation import check_count, check_event, check_positive, first_index
from genlib.kernels.kde import log_kernel_sum

_TILE = 2**22  # pairs of rows looked at together where a kernel has no tiled operation of its own


class DensityEstimator(Model, abstract=True):
    """A model that ``fit`` computes in one step from rows of shape (N, d).

    A subclass names its fitted buffers, the first with d as its last dimension, and fills them in
    ``_estimate``.
    """

    density = Density.EXACT
    lesson = "03_density_estimation"
    cannot: ClassVar[dict[str, str]] = {
        "encode": "it describes where data lie, and has no inner variable that would describe a "
        "single point.",
    }

    def __init__(self) -> None:
        super().__init__()
        for name in self.fitted_buffers:
            self.register_buffer(name, torch.empty(0))

    @property
    def event_shape(self) -> torch.Size | None:
        """``(d,)`` once fitted."""
        first = getattr(self, self.fitted_buffers[0])
        return first.shape[-1:] if first.numel() else None

    def fit(self, x: Tensor, *, valid: Tensor | None = None, **settings: Any) -> History:
        """Estimate the density of the rows of ``x``.

        Parameters
        ----------
        x : Tensor, shape (N, d)
        valid : Tensor, shape (M, d), optional
            Held-out rows; their mean negative log-likelihood is recorded as ``valid``, in nats.

        Returns
        -------
        History
            One row; where a setting was chosen by search, one row a candidate.
        """
        check_event(x, None, self.support, dtype=self.dtype, device=self.device)
        if x.dim() != 2:
            raise ValueError(
                f"x: expected a matrix of shape (N, d), got {tuple(x.shape)}; flatten with "
                "x.flatten(1)."
            )
        if valid is not None:
            check_event(valid, x.shape[1:], dtype=self.dtype, device=self.device, name="valid")
        history = self._estimate(x.detach().clone(), valid, **settings)
        self.eval()
        if valid is not None and "valid" not in history.names:
            history.append(valid=-self.log_prob(valid).mean().item())
        return history

    def _estimate(self, x: Tensor, valid: Tensor | None) -> History:
        """Fill the buffers from ``x``, which is the model's to keep."""
        raise NotImplementedError


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
        if covariance not in ("full", "diagonal"):
            raise ValueError(f'covariance: expected "full" or "diagonal", got {covariance!r}.')
        if ridge:
            check_positive(ridge, "ridge")
        self.covariance = covariance
        self.ridge = ridge

    def _estimate(self, x: Tensor, valid: Tensor | None) -> History:
        centred = x.double() - x.double().mean(0)
        sigma = centred.T @ centred / len(x)
        if self.covariance == "diagonal":
            sigma = torch.diag(sigma.diagonal())
        sigma.diagonal().add_(self.ridge)
        scale_tril, failed = torch.linalg.cholesky_ex(sigma)
        if failed or (scale_tril.diagonal() ** 2 <= 1e-12 * sigma.diagonal()).any():
            raise ValueError(
                f"x: the covariance of these {len(x)} rows in {x.shape[1]} dimensions is "
                "singular (a constant column, a "
                "column that others determine, or N ≤ d); use ridge=1e-3, or "
                'covariance="diagonal" for the last two.'
            )
        self.loc, self.scale_tril = x.double().mean(0).to(x), scale_tril.to(x)
        return History()

    def _log_prob(self, x: Tensor) -> Tensor:
        white = torch.linalg.solve_triangular(self.scale_tril, (x - self.loc).T, upper=False)
        log_scale = self.scale_tril.diagonal().log().sum()
        return -0.5 * (white**2).sum(0) - log_scale - 0.5 * len(self.loc) * math.log(2 * math.pi)

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        noise = torch.randn(n, len(self.loc), generator=generator).to(self.loc)
        return self.loc + noise @ self.scale_tril.T


class Laplace(DensityEstimator):
    """Independent Laplace densities, ``Π_i exp(−|x_i − m_i| / b_i) / (2 b_i)``, fitted by maximum
    likelihood.

    The estimate is each column's median and mean absolute deviation from it. The course uses it as
    the family that is *not* the data's: maximum likelihood then finds the best of a poor choice,
    without a word of warning.
    """

    fitted_buffers = ("loc", "scale")

    def _estimate(self, x: Tensor, valid: Tensor | None) -> History:
        loc = x.median(0).values
        scale = (x - loc).abs().mean(0)
        if (scale == 0).any():
            raise ValueError(
                f"x: column {first_index(scale == 0)[0]} is constant, so its best density is "
                "infinite; leave it out."
            )
        self.loc, self.scale = loc, scale
        return History()

    def _log_prob(self, x: Tensor) -> Tensor:
        return -((x - self.loc).abs() / self.scale + (2 * self.scale).log()).sum(1)

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        u = torch.rand(n, len(self.loc), generator=generator).to(self.loc) - 0.5
        return self.loc - self.scale * u.sign() * torch.log1p(-2 * u.abs())


class Histogram(DensityEstimator):
    """Piecewise constant density over a grid of equal cells in d dimensions: p(x) = K / (N V).

    K is the number of the N rows that fall into the cell of x, V the cell's volume; outside the
    grid the density is zero. Only cells that hold data are stored, so memory grows with N and not
    with the number of cells.

    Parameters
    ----------
    bins : int, sequence of int, or "scott"
        Cells a dimension; Scott's rule makes them 3.49 σ N^(−1/(d+2)) wide.
    low, high : float or sequence of float, optional
        Edges of the grid; by default the smallest and largest value of each column.
    smoothing : float
        Count added to every cell. With zero, an empty cell makes a held-out row infinitely
        unlikely.
    """

    fitted_buffers = ("low", "high", "shape", "cells", "counts")

    def __init__(
        self,
        bins: int | Sequence[int] | str = 10,
        low: float | Sequence[float] | None = None,
        high: float | Sequence[float] | None = None,
        smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if isinstance(bins, str):
            if bins != "scott":
                raise ValueError(f'bins: expected a count, counts, or "scott", got {bins!r}.')
        else:
            for count in [bins] if isinstance(bins, int) else bins:
                check_count(count, "bins")
        if smoothing:
            check_positive(smoothing, "smoothing")
        self.bins, self.smoothing = bins, smoothing
        self.given_low, self.given_high = low, high

    def _estimate(self, x: Tensor, valid: Tensor | None) -> History:
        low, high = (
            x.amin(0) if self.given_low is None else _per_column(self.given_low, x, "low"),
            x.amax(0) if self.given_high is None else _per_column(self.given_high, x, "high"),
        )
        if (high <= low).any():
            column = first_index(high <= low)[0]
            raise ValueError(
                f"x: column {column} spans [{low[column]:g}, {high[column]:g}]; expected low < "
                "high."
            )
        outside = ((x < low) | (x > high)).any(1)
        if outside.any():
            raise ValueError(
                f"x: row {first_index(outside)[0]} lies outside the grid from low to high; "
                "widen the grid."
            )
        shape = self._grid(x, low, high)
        self.low, self.high, self.shape = low, high, shape
        self.cells, self.counts = self._keys(x).unique(return_counts=True)
        return History()

    def _grid(self, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Number of cells in each dimension."""
        d = x.shape[1]
        if self.bins == "scott":
            width = 3.49 * x.std(0, correction=0) * len(x) ** (-1 / (d + 2))
            shape = ((high - low) / width).ceil().long().clamp_min(1)
        else:
            shape = _per_column(self.bins, x.new_empty(1, d, dtype=torch.int64), "bins")
        if math.prod(shape.tolist()) >= 2**62:
            raise ValueError(
                f"bins: a grid of {' × '.join(map(str, shape.tolist()))} cells cannot be "
                "numbered; use fewer."
            )
        return shape

    def _keys(self, x: Tensor) -> Tensor:
        """Number of the cell of each row; rows must lie inside the grid, whose upper edges belong
        to the last cells.
        """
        place = (
            ((x - self.low) / (self.high - self.low) * self.shape).long().clamp_max(self.shape - 1)
        )
        return (place * self._strides()).sum(1)

    def _strides(self) -> Tensor:
        return torch.cat([self.shape[1:], self.shape.new_ones(1)]).flip(0).cumprod(0).flip(0)

    def _mass(self) -> float:
        """N + αB, the divisor that makes smoothed counts probabilities."""
        return self.counts.sum().item() + self.smoothing * math.prod(self.shape.tolist())

    def _log_prob(self, x: Tensor) -> Tensor:
        inside = ((x >= self.low) & (x <= self.high)).all(1)
        keys = self._keys(torch.where(inside[:, None], x, self.low))
        slot = torch.searchsorted(self.cells, keys).clamp_max(len(self.cells) - 1)
        count = (
            torch.where(self.cells[slot] == keys, self.counts[slot], 0).double() + self.smoothing
        )
        log_volume = ((self.high - self.low) / self.shape).double().log().sum()
        log_p = count.log() - math.log(self._mass()) - log_volume
        return torch.where(inside, log_p, -math.inf).to(self.dtype)

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        row = torch.randint(self.counts.sum().item(), (n,), generator=generator).to(self.cells)
        key = self.cells[torch.searchsorted(self.counts.cumsum(0), row, right=True)]
        place = key[:, None] // self._strides() % self.shape
        if self.smoothing:  # a share of the mass is spread evenly over all cells
            evenly = (
                torch.rand(n, 1, generator=generator).to(self.low)
                > self.counts.sum().item() / self._mass()
            )
            anywhere = torch.rand(n, len(self.shape), generator=generator).to(self.low) * self.shape
            place = torch.where(evenly, anywhere.long(), place)
        return (
            self.low
            + (place + torch.rand(place.shape, generator=generator).to(self.low))
            * (self.high - self.low)
            / self.shape
        )


class Parzen(DensityEstimator):
    """Kernel density estimate (Parzen windows): p(x) = Σ_j w_j K((x − y_j) / h) / Π_i h_i over the
    training rows y_j.

    Parameters
    ----------
    kernel : {"gaussian", "hypercube", "epanechnikov"}
        ``"hypercube"`` is document U's: one where every ``|x_i − y_i| < h/2``, so h is the *side*
        of a cube. For ``"gaussian"`` h is a standard deviation. ``"epanechnikov"`` is 1 − ‖u‖²
        inside the unit ball, so h is a radius.
    bandwidth : float, sequence of float, or str
        h, for all columns or for each. ``"scott"`` and ``"silverman"`` are the rules for Gaussian
        data, stated for the kernel's standard deviation. ``"leave-one-out"`` and ``"held-out"``
        search for the multiple of Scott's bandwidth that makes training rows, each predicted from
        the others, or the rows of ``valid``, most likely.

    References
    ----------
    Rosenblatt (1956); Parzen (1962); Silverman (1986), §3.4 and §4.3 for the rules, §3.4.4 for
    leave-one-out likelihood.
    """

    fitted_buffers = ("points", "weights", "h")
    rules: ClassVar[tuple[str, ...]] = ("scott", "silverman", "leave-one-out", "held-out")

    def __init__(
        self, kernel: str = "gaussian", bandwidth: float | Sequence[float] | str = "scott"
    ) -> None:
        super().__init__()
        if kernel not in _KERNELS:
            raise ValueError(f"kernel: expected one of {', '.join(_KERNELS)}, got {kernel!r}.")
        if isinstance(bandwidth, str):
            if bandwidth not in self.rules:
                raise ValueError(
                    f"bandwidth: expected a positive number or one of {', '.join(self.rules)}, "
                    f"got {bandwidth!r}."
                )
        else:
            for h in bandwidth if isinstance(bandwidth, Sequence) else [bandwidth]:
                check_positive(h, "bandwidth")
        self.kernel, self.bandwidth = kernel, bandwidth

    def fit(
        self, x: Tensor, *, weights: Tensor | None = None, valid: Tensor | None = None
    ) -> History:
        """Keep the rows of ``x`` and choose the bandwidth.

        Parameters
        ----------
        x : Tensor, shape (N, d)
        weights : Tensor, shape (N,), optional
            Share of each row, not negative, with sum one; equal shares by default.
        valid : Tensor, shape (M, d), optional
            Held-out rows, which ``bandwidth="held-out"`` needs.

        Returns
        -------
        History
            For a searched bandwidth one row a candidate: ``factor`` (times Scott's bandwidth) and
            ``loss``, the mean negative log-likelihood in nats, infinite where some row has density
            zero.
        """
        return super().fit(x, valid=valid, weights=weights)

    def _estimate(self, x: Tensor, valid: Tensor | None, weights: Tensor | None) -> History:
        weights = (
            x.new_full((len(x),), 1 / len(x))
            if weights is None
            else _checked_weights(weights, x).clone()
        )
        if not isinstance(self.bandwidth, str):
            self.points, self.weights, self.h = (
                x,
                weights,
                _per_column(self.bandwidth, x, "bandwidth"),
            )
            return History()
        if self.bandwidth == "held-out" and valid is None:
            raise ValueError(
                'bandwidth="held-out": expected held-out rows to judge by; pass valid=.'
            )
        if self.bandwidth == "leave-one-out" and len(x) < 2:
            raise ValueError('bandwidth="leave-one-out": expected at least two rows, got one.')
        scott = self._scott(x)
        if (scott == 0).any():
            raise ValueError(
                f"x: column {first_index(scott == 0)[0]} is constant; give its bandwidth as a "
                "number."
            )
        self.points, self.weights, self.h = x, weights, scott
        if self.bandwidth == "scott":
            return History()
        if self.bandwidth == "silverman":
            self.h = scott * (4 / (x.shape[1] + 2)) ** (1 / (x.shape[1] + 4))
            return History()
        history, factor = _search(lambda factor: self._score(scott * factor, valid))
        self.h = scott * factor
        return history

    def _scott(self, x: Tensor) -> Tensor:
        """σ N^(−1/(d+4)), in the kernel's own units."""
        d = x.shape[1]
        return (
            x.std(0, correction=0)
            * len(x) ** (-1 / (d + 4))
            * _KERNELS[self.kernel].per_deviation(d)
        )

    @torch.no_grad()
    def _score(self, h: Tensor, valid: Tensor | None) -> float:
        self.h = h
        log_p = (
            self._leave_one_out() if self.bandwidth == "leave-one-out" else self._log_prob(valid)
        )
        return log_p.mean().item()

    def leave_one_out_log_prob(self) -> Tensor:
        """Log density of each training row under the estimate from all the others, shape (N,), in
        nats.
        """
        self._require("log_prob")
        return self._leave_one_out()

    def _leave_one_out(self) -> Tensor:
        return (
            self._log_sum(self.points, leave_one_out=True)
            - torch.log1p(-self.weights)
            - self._log_volume()
        )

    def _log_prob(self, x: Tensor) -> Tensor:
        return self._log_sum(x) - self._log_volume()

    def _log_sum(self, x: Tensor, leave_one_out: bool = False) -> Tensor:
        return _KERNELS[self.kernel].log_sum(x, self.points, self.h, self.weights, leave_one_out)

    def _log_volume(self) -> Tensor:
        """Logarithm of ∫ K((x − y) / h) dx, in nats."""
        return self.h.log().sum() + _KERNELS[self.kernel].log_integral(len(self.h))

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        total = self.weights.double().cumsum(0)
        u = torch.rand(n, generator=generator, dtype=torch.float64).to(total.device) * total[-1]
        origin = torch.searchsorted(total, u, right=True).clamp_max(len(total) - 1)
        return self.points[origin] + self.h * _KERNELS[self.kernel].draw(
            n, len(self.h), generator
        ).to(self.h)


class KNearest(DensityEstimator):
    """Nearest-neighbour density: p(x) ≈ K / (N V), with V the ball around x that just holds K of
    the N rows.

    Where a histogram fixes V and counts K, this fixes K and lets V grow. The result is no density:
    far away V grows like ‖x‖^d, so p falls like ‖x‖^(−d), and its integral diverges for every K and
    N.

    Parameters
    ----------
    k : int
        Neighbours. A training row counts as its own first neighbour.

    References
    ----------
    Loftsgaarden and Quesenberry (1965); Bishop (2006), §2.5.2.
    """

    density = Density.UNNORMALISED
    cannot: ClassVar[dict[str, str]] = {
        "log_prob": "its estimate K/(NV) falls like ‖x‖^(−d), so its integral is infinite and "
        "nothing can normalise it; "
        "unnormalised_log_prob gives the estimate itself.",
        "sample": "nothing can be drawn from an estimate whose integral is infinite.",
        "encode": DensityEstimator.cannot["encode"],
    }
    fitted_buffers = ("points",)

    def __init__(self, k: int = 10) -> None:
        super().__init__()
        check_count(k, "k")
        self.k = k

    def fit(self, x: Tensor) -> History:
        """Keep the rows of ``x``, shape (N, d); N must be at least ``k``."""
        return super().fit(x)

    def _estimate(self, x: Tensor, valid: Tensor | None) -> History:
        if self.k > len(x):
            raise ValueError(f"k: expected at most the number of rows, {len(x)}, got {self.k}.")
        self.points = x
        return History()

    def unnormalised_log_prob(self, x: Tensor) -> Tensor:
        """log(K / (N V)) at each row of ``x``, shape (N,); infinite where K training rows coincide
        with ``x``.
        """
        from sklearn.neighbors import NearestNeighbors

        self._require_data("unnormalised_log_prob")
        self.check(x)
        d = x.shape[1]
        # The library finds who the k-th neighbour is; the distance is ours, so that it is exact and
        # has a gradient.
        search = NearestNeighbors(n_neighbors=self.k).fit(self.points.detach().cpu().numpy())
        index = search.kneighbors(x.detach().cpu().numpy(), return_distance=False)[:, -1]
        radius = (x - self.points[torch.as_tensor(index, device=x.device)]).norm(dim=1)
        return math.log(self.k / len(self.points)) - _log_unit_ball(d) - d * radius.log()


# ---------------------------------------------------------------------- kernels of Parzen


class _Kernel:
    """A window K(u): its sum over training rows, its integral, draws from it, and its scale."""

    def log_sum(self, x: Tensor, y: Tensor, h: Tensor, w: Tensor, leave_one_out: bool) -> Tensor:
        """log Σ_j w_j K((x_i − y_j) / h), shape (N,)."""
        raise NotImplementedError

    def log_integral(self, d: int) -> float:
        """log ∫ K(u) du in d dimensions."""
        raise NotImplementedError

    def draw(self, n: int, d: int, generator: Generator | None) -> Tensor:
        """n draws from K/∫K, shape (n, d)."""
        raise NotImplementedError

    def per_deviation(self, d: int) -> float:
        """The h at which one coordinate of a draw from the window has standard deviation one."""
        raise NotImplementedError


class _GaussianKernel(_Kernel):
    def log_sum(self, x: Tensor, y: Tensor, h: Tensor, w: Tensor, leave_one_out: bool) -> Tensor:
        return log_kernel_sum(x, y, h, w, leave_one_out=leave_one_out)

    def log_integral(self, d: int) -> float:
        return d / 2 * math.log(2 * math.pi)

    def draw(self, n: int, d: int, generator: Generator | None) -> Tensor:
        return torch.randn(n, d, generator=generator)

    def per_deviation(self, d: int) -> float:
        return 1.0


class _CompactKernel(_Kernel):
    """A window that is zero outside a bounded set."""

    def log_sum(self, x: Tensor, y: Tensor, h: Tensor, w: Tensor, leave_one_out: bool) -> Tensor:
        return _tiled_log_sum(self.window, x, y, h, w, leave_one_out)

    def window(self, x: Tensor, y: Tensor, h: Tensor) -> Tensor:
        """K((x_i − y_j) / h), shape (N, M)."""
        raise NotImplementedError


class _HypercubeKernel(_CompactKernel):
    def window(self, x: Tensor, y: Tensor, h: Tensor) -> Tensor:
        inside = torch.ones(len(x), len(y), dtype=torch.bool, device=x.device)
        for a, b, side in zip(x.T, y.T, h, strict=True):
            inside &= (a[:, None] - b).abs() < side / 2
        return inside.to(x)

    def log_integral(self, d: int) -> float:
        return 0.0

    def draw(self, n: int, d: int, generator: Generator | None) -> Tensor:
        return torch.rand(n, d, generator=generator) - 0.5

    def per_deviation(self, d: int) -> float:
        return math.sqrt(12)


class _EpanechnikovKernel(_CompactKernel):
    def window(self, x: Tensor, y: Tensor, h: Tensor) -> Tensor:
        squares = x.new_zeros(len(x), len(y))
        for a, b, radius in zip(x.T, y.T, h, strict=True):
            squares = squares + ((a[:, None] - b) / radius) ** 2
        return (1 - squares).clamp_min(0)

    def log_integral(self, d: int) -> float:
        return _log_unit_ball(d) + math.log(2 / (d + 2))

    def draw(self, n: int, d: int, generator: Generator | None) -> Tensor:
        # d coordinates of a uniform point on the sphere in d + 4 dimensions have exactly this
        # density.
        sphere = torch.randn(n, d + 4, generator=generator)
        return sphere[:, :d] / sphere.norm(dim=1, keepdim=True)

    def per_deviation(self, d: int) -> float:
        return math.sqrt(d + 4)


_KERNELS: dict[str, _Kernel] = {
    "gaussian": _GaussianKernel(),
    "hypercube": _HypercubeKernel(),
    "epanechnikov": _EpanechnikovKernel(),
}


def _tiled_log_sum(
    window: Callable[[Tensor, Tensor, Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    h: Tensor,
    w: Tensor,
    leave_one_out: bool,
) -> Tensor:
    """log Σ_j w_j K((x_i − y_j) / h) in tiles of rows, so that the (N, M) matrix is never whole."""
    sums, start = [], 0
    for part in x.split(max(1, _TILE // len(y))):
        values = window(part, y, h)
        if leave_one_out:
            rows = torch.arange(len(part), device=x.device)
            values = values.index_put((rows, rows + start), values.new_zeros(()))
        sums.append(values @ w)
        start += len(part)
    return torch.cat(sums).log()


# ---------------------------------------------------------------------- helpers


def _search(score: Callable[[float], float]) -> tuple[History, float]:
    """The multiple of a bandwidth that maximises ``score``: a coarse grid, then a finer one around
    its best.
    """
    history = History()

    def best_of(exponents: Tensor) -> float:
        for exponent in exponents.tolist():
            history.append(factor=2**exponent, loss=-score(2**exponent))
        return math.log2(history.best("loss")["factor"])

    centre = best_of(torch.linspace(-5, 3, 17))
    best_of(centre + torch.linspace(-0.4, 0.4, 9))
    best = history.best("loss")
    if not math.isfinite(best["loss"]):
        raise ValueError(
            "bandwidth: every candidate gives some row density zero; use the Gaussian kernel or "
            "a number."
        )
    return history, best["factor"]


def _per_column(value: float | Sequence[float], x: Tensor, name: str) -> Tensor:
    """One value a column of ``x``, of the dtype of ``x``, from a number or one number a column."""
    given = torch.as_tensor(value, dtype=x.dtype, device=x.device)
    if given.dim() and given.shape != x.shape[1:]:
        raise ValueError(
            f"{name}: expected one number, or {x.shape[1]} of them, got shape {tuple(given.shape)}."
        )
    return given.expand(x.shape[1]).clone()


def _checked_weights(weights: Tensor, x: Tensor) -> Tensor:
    check_event(weights, torch.Size([]), dtype=x.dtype, device=x.device, name="weights")
    if len(weights) != len(x):
        raise ValueError(f"weights: expected one a row, {len(x)}, got {len(weights)}.")
    if (weights < 0).any():
        index = first_index(weights < 0)[0]
        raise ValueError(
            f"weights: expected none negative, got {weights[index]:g} at index {index}."
        )
    total = weights.double().sum().item()
    if abs(total - 1) > 1e-4:
        raise ValueError(
            f"weights: expected a sum of 1, got {total:g}; divide with weights / weights.sum()."
        )
    return weights


def _log_unit_ball(d: int) -> float:
    """Logarithm of the volume of the unit ball in d dimensions."""
    return d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1)
