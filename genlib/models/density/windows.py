"""Windows of Parzen's estimate: K(u), its sum over training rows, its integral, draws from it."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from genlib.core.random import normal, uniform
from genlib.kernels.kde import log_kernel_sum
from genlib.models.density.base import log_unit_ball

_IN_CACHE = 2**18  # values of the window that are computed at a time


class Window:
    """A window K(u): its sum over training rows, its integral, draws from it, and its scale."""

    def log_sum(
        self, x: Tensor, y: Tensor, h: Tensor, w: Tensor, *, leave_one_out: bool = False
    ) -> Tensor:
        """log Σ_j w_j K((x_i − y_j) / h), shape (N,), without j = i where one is left out."""
        raise NotImplementedError

    def log_integral(self, d: int) -> float:
        """log ∫ K(u) du in d dimensions."""
        raise NotImplementedError

    def draw(self, y: Tensor, h: Tensor, generator: Generator | None) -> Tensor:
        """A draw from the window around each row of ``y``, shape (n, d)."""
        return y + h * self._noise(y, generator)

    def _noise(self, like: Tensor, generator: Generator | None) -> Tensor:
        """Draws from K/∫K, as many as ``like`` has rows, and of its shape (n, d)."""
        raise NotImplementedError

    def per_deviation(self, d: int) -> float:
        """The h at which one coordinate of a draw from the window has standard deviation one."""
        raise NotImplementedError


class _Gaussian(Window):
    """K(u) = exp(−‖u‖²/2)."""

    def log_sum(
        self, x: Tensor, y: Tensor, h: Tensor, w: Tensor, *, leave_one_out: bool = False
    ) -> Tensor:
        return log_kernel_sum(x, y, h, w, leave_one_out=leave_one_out)

    def log_integral(self, d: int) -> float:
        return d / 2 * math.log(2 * math.pi)

    def _noise(self, like: Tensor, generator: Generator | None) -> Tensor:
        return normal(like.shape, like, generator)

    def per_deviation(self, d: int) -> float:
        return 1.0


class _Compact(Window):
    """A window that is zero outside a bounded set."""

    def value(self, x: Tensor, y: Tensor, h: Tensor) -> Tensor:
        """K((x − y) / h) of points whose coordinates lie along the first dimension."""
        raise NotImplementedError

    def log_sum(
        self, x: Tensor, y: Tensor, h: Tensor, w: Tensor, *, leave_one_out: bool = False
    ) -> Tensor:
        sums, start = [], 0
        for part in x.split(max(1, _IN_CACHE // len(y))):  # the (N, M) matrix is never whole
            values = self.value(part.T[:, :, None], y.T[:, None, :], h)
            if leave_one_out:
                rows = torch.arange(len(part), device=x.device)
                values = values.index_put((rows, rows + start), values.new_zeros(()))
            sums.append((values * w).sum(1))  # in pairs: a product adds one after another
            start += len(part)
        return torch.cat(sums).log()

    def draw(self, y: Tensor, h: Tensor, generator: Generator | None) -> Tensor:
        x = super().draw(y, h, generator)
        # Rounded, a point may come to lie outside the window: back, a number at a time.
        while (outside := self.value(x.T, y.T, h) == 0).any():
            x = torch.where(outside[:, None], x.nextafter(y), x)
        return x


class _Hypercube(_Compact):
    """K(u) = 1 where every |u_i| < ½."""

    def value(self, x: Tensor, y: Tensor, h: Tensor) -> Tensor:
        inside = (x[0] - y[0]).abs() < h[0] / 2
        for a, b, side in zip(x[1:], y[1:], h[1:], strict=True):
            inside &= (a - b).abs() < side / 2
        return inside.to(x)

    def log_integral(self, d: int) -> float:
        return 0.0

    def _noise(self, like: Tensor, generator: Generator | None) -> Tensor:
        return uniform(like.shape, like, generator) - 0.5

    def per_deviation(self, d: int) -> float:
        return math.sqrt(12)


class _Epanechnikov(_Compact):
    """K(u) = 1 − ‖u‖² where that is positive."""

    def value(self, x: Tensor, y: Tensor, h: Tensor) -> Tensor:
        squares = 0.0
        for a, b, radius in zip(x, y, h, strict=True):
            squares = squares + ((a - b) / radius) ** 2
        return (1 - squares).clamp_min(0)

    def log_integral(self, d: int) -> float:
        return log_unit_ball(d) + math.log(2 / (d + 2))

    def _noise(self, like: Tensor, generator: Generator | None) -> Tensor:
        # d coordinates of a uniform point on the sphere in d + 4 dimensions have exactly this
        # density.
        n, d = like.shape
        sphere = normal((n, d + 4), like, generator)
        return sphere[:, :d] / sphere.norm(dim=1, keepdim=True)

    def per_deviation(self, d: int) -> float:
        return math.sqrt(d + 4)


WINDOWS: dict[str, Window] = {
    "gaussian": _Gaussian(),
    "hypercube": _Hypercube(),
    "epanechnikov": _Epanechnikov(),
}
