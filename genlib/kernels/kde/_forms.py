"""Forms: how the energies s_ij of a tile are computed, and what that may round.

A form keeps points in coordinates of its own, in which (x_k − y_k) / h_k is a difference of
coordinates times ``unit[k]``. Energies and exponents are in bits, that is, to base 2.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

LN_2 = math.log(2)

# Error allowed in f_i over max(1, |f_i|), in epsilons: 1e-5 in float32, 2e-14 in float64.
TOLERANCE = 84.0
# What summing over j and the logarithm may lose, whatever the form, in half epsilons.
SUM_ROUNDINGS = 40.0


class Points(NamedTuple):
    """Points as a form keeps them."""

    at: Tensor  # coordinates, (n, d) or (d, n)
    half: Tensor  # what each point alone adds to s, (n,)


class Tile(NamedTuple):
    """Some columns of a block of rows, and memory for them."""

    columns: slice
    t: Tensor  # exponents, then weights p, (rows, columns)
    scratch: list[Tensor]  # more of the same shape


class Needs(NamedTuple):
    """Which gradients are asked for."""

    x: bool
    y: bool
    h: bool
    w: bool


class Moments(NamedTuple):
    """Sums over a block of rows with weights g_i p_ij, in the coordinates of a form."""

    row: Tensor  # Σ_j g_i p_ij (x_i − y_j), as the form keeps x
    column: Tensor  # Σ_i g_i p_ij (y_j − x_i), as the form keeps y
    square: Tensor  # Σ_ij g_i p_ij (x_ik − y_jk)², (d,), float64
    weight: Tensor  # Σ_i g_i p_ij / w_j, (M,)


class Form(ABC):
    """A way from points to energies."""

    direct: ClassVar[bool]  # from differences of coordinates, and not from products
    y: Points
    unit: Tensor  # (d,), float64
    factors: Sequence[float] = ()  # of squared differences, to bits: products need none

    def __init__(self, dtype: torch.dtype, dims: int) -> None:
        self.dtype, self.dims = dtype, dims

    @abstractmethod
    def place(self, x: Tensor) -> Points:
        """Convert rows (n, d) to the coordinates of the form."""

    @abstractmethod
    def by_point(self, at: Tensor) -> Tensor:
        """Turn coordinates as they are kept into (n, d), or back."""

    @abstractmethod
    def error(self, x: Points, energy: Tensor) -> Tensor:
        """Bound the error of f_i in nats, (n,), given Σ_j p_ij s_ij in nats."""

    @abstractmethod
    def write_exponents(self, tile: Tile, x: Points, x_bias: Tensor, y_bias: Tensor) -> None:
        """Fill ``tile.t`` with x_bias_i + y_bias_j − s_ij, where the biases hold what each point
        alone adds to −s.
        """

    @abstractmethod
    def add_moments(self, sums: Moments, tile: Tile, x: Points, needs: Needs) -> None:
        """Add the moments of a tile, of which ``tile.t`` holds the weights g_i p_ij."""


class Differences(Form):
    """s from differences of coordinates: few roundings, whatever the data; two passes a dimension.

    Points are kept as (d, n), each dimension times a power of two close to 1/h. This rounds
    nothing, and keeps squares from overflow and underflow whatever the unit of the data.
    """

    direct = True

    def __init__(self, y: Tensor, h: Tensor, dtype: torch.dtype) -> None:
        super().__init__(dtype, len(h))
        mantissa, exponent = torch.frexp(h.double())
        self.scale = torch.ldexp(torch.ones_like(mantissa), -exponent)
        self.unit = 1 / mantissa
        self.factors = (self.unit.square() / (2 * LN_2)).tolist()
        self.y = self.place(y)

    def place(self, x: Tensor) -> Points:
        at = (x.double() * self.scale).T.to(self.dtype, memory_format=torch.contiguous_format)
        return Points(at, at.new_zeros(len(x)))

    def by_point(self, at: Tensor) -> Tensor:
        return at.T

    def error(self, x: Points, energy: Tensor) -> Tensor:
        """Relative to s, unless a square overflows."""
        limits = torch.finfo(self.dtype)
        largest = torch.maximum(x.at.abs().amax(0), self.y.at.abs().max())
        roundings = (self.dims + 8) * (1 + energy) + SUM_ROUNDINGS
        return (limits.eps / 2 * roundings).where(largest < limits.max**0.45, torch.inf)

    def write_exponents(self, tile: Tile, x: Points, x_bias: Tensor, y_bias: Tensor) -> None:
        difference = tile.scratch[0]
        torch.add(x_bias[:, None], y_bias, out=tile.t)
        y = self.y.at[:, tile.columns]
        for a, b, factor in zip(x.at, y, self.factors, strict=True):
            torch.sub(a[:, None], b, out=difference)
            tile.t.addcmul_(difference, difference, value=-factor)

    def add_moments(self, sums: Moments, tile: Tile, x: Points, needs: Needs) -> None:
        difference, weighted = tile.scratch
        for k, (a, b) in enumerate(zip(x.at, self.y.at[:, tile.columns], strict=True)):
            torch.sub(a[:, None], b, out=difference)
            torch.mul(tile.t, difference, out=weighted)
            if needs.x:
                sums.row[k] += weighted.sum(1)
            if needs.y:
                sums.column[k, tile.columns] -= weighted.sum(0)
            if needs.h:
                sums.square[k] += weighted.mul_(difference).sum()


class Products(Form):
    """s from matrix products of centred points, in bandwidths: s = ½‖x‖² + ½‖y‖² − x·y."""

    direct = False
    chunk = 32  # dimensions a product, at most: a sum of short sums rounds less than one long sum

    def __init__(self, y: Tensor, h: Tensor, dtype: torch.dtype) -> None:
        super().__init__(dtype, len(h))
        self.centre = y.mean(0, dtype=torch.float64).to(y.dtype).to(dtype)
        self.scale = (1 / (h.double() * math.sqrt(LN_2))).to(dtype)
        self.unit = torch.full_like(h, math.sqrt(LN_2), dtype=torch.float64)
        self.y = self.place(y)

    def place(self, x: Tensor) -> Points:
        at = (x.to(self.dtype) - self.centre) * self.scale
        return Points(at, at.square().sum(1) / 2)

    def by_point(self, at: Tensor) -> Tensor:
        return at

    def error(self, x: Points, energy: Tensor) -> Tensor:
        """Bound the error of f_i in nats, (n,), given Σ_j p_ij s_ij in nats.

        Let a = ‖x_i‖, and b ≤ a + √(2 energy) the mean ‖y_j‖ that counts. A sum of K products alike
        loses at most K/2 roundings of ab; so does the sum of chunks, of 16 dimensions or more.
        Adding ‖x‖² and ‖y‖² loses one of (a + b)², and placing the points one of ‖x − y‖(a + b).
        """
        a = (2 * LN_2 * x.half).sqrt()
        reach = (2 * energy).sqrt()
        b = a + reach
        terms = (min(self.dims, self.chunk) + self.dims / 16) / 2
        roundings = terms * a * b + (a + b).square() + reach * (a + b)
        return torch.finfo(self.dtype).eps / 2 * (roundings + SUM_ROUNDINGS)

    def write_exponents(self, tile: Tile, x: Points, x_bias: Tensor, y_bias: Tensor) -> None:
        a = x.at.split(self.chunk, 1)
        b = self.y.at[tile.columns].split(self.chunk, 1)
        torch.mm(a[0], b[0].T, out=tile.t)
        for k in range(1, len(a)):
            tile.t.addmm_(a[k], b[k].T)
        tile.t.add_(x_bias[:, None]).add_(y_bias)  # last, so that partial sums stay small

    def add_moments(self, sums: Moments, tile: Tile, x: Points, needs: Needs) -> None:
        p, y = tile.t, self.y.at[tile.columns]
        if needs.x or needs.h:
            row = torch.addmm(x.at * p.sum(1)[:, None], p, y, alpha=-1)
            sums.row.add_(row)
        if needs.y or needs.h:
            column = torch.addmm(y * p.sum(0)[:, None], p.T, x.at, alpha=-1)
            sums.column[tile.columns] += column
        if needs.h:  # p (x − y)² = p (x − y) x + p (y − x) y
            sums.square.add_((x.at * row).sum(0, dtype=torch.float64))
            sums.square.add_((y * column).sum(0, dtype=torch.float64))
