"""Counts on a grid of equal cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from genlib.core import History
from genlib.core.random import integers, uniform
from genlib.core.rows import row_chunks
from genlib.core.validation import check_count, check_positive, first_index
from genlib.models.density.base import (
    DensityEstimator,
    check_each,
    check_finite,
    check_finite_number,
    check_varied,
    per_column,
)

_IN_CACHE = 2**16  # values of a part of the rows
_DENSE = 4  # cells a row up to which a number for every cell is cheaper than sorting or searching


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
        if isinstance(bins, str) and bins != "scott":
            raise ValueError(f'bins: expected a count, counts, or "scott", got {bins!r}.')
        if not isinstance(bins, str):
            check_each(bins, check_count, "bins")
        for edge, name in ((low, "low"), (high, "high")):
            if edge is not None:
                check_each(edge, check_finite_number, name)
        check_positive(smoothing, "smoothing", zero=True)
        self.bins, self.smoothing = bins, smoothing
        self.given_low, self.given_high = low, high

    def _estimate(self, x: Tensor, *, held_out: tuple[Tensor, ...]) -> History:
        parts = _columns(x)
        low, high = self._edges(x, parts)
        shape = self._grid(x, low, high)
        keys, count = (_keys(part, low, high, shape) for part in parts), math.prod(shape.tolist())
        if count > _IN_CACHE:  # counts of each part would not be cheap
            keys = [torch.cat(tuple(keys))]
        if count <= _DENSE * len(x):
            counts = sum(torch.bincount(part, minlength=count) for part in keys)
            cells = counts.nonzero().squeeze(1)
            counts = counts[cells]
        else:
            cells, counts = torch.cat(tuple(keys)).unique(return_counts=True)
        self.low, self.high, self.shape = low, high, shape
        self.cells, self.counts = cells, counts
        return History()

    def _edges(self, x: Tensor, parts: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Edges of the grid, with all rows of ``x`` between them; ``parts`` are its columns."""
        least = torch.stack([part.amin(1) for part in parts]).amin(0)
        most = torch.stack([part.amax(1) for part in parts]).amax(0)
        low = least if self.given_low is None else per_column(self.given_low, x, "low")
        high = most if self.given_high is None else per_column(self.given_high, x, "high")
        if (high <= low).any():
            column = first_index(high <= low)[0]
            raise ValueError(
                f"x: column {column} spans [{low[column]:g}, {high[column]:g}]; expected low < "
                "high; give low= and high=."
            )
        check_finite(high - low, "span")
        if (least < low).any() or (most > high).any():
            outside = ((x < low) | (x > high)).any(1)
            raise ValueError(
                f"x: row {first_index(outside)[0]} lies outside the grid from low to high; "
                "widen the grid."
            )
        return low, high

    def _grid(self, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Number of cells in each dimension."""
        d = x.shape[1]
        if self.bins == "scott":
            deviation = x.std(0, correction=0)
            check_varied(deviation == 0, 'bins="scott" finds no width; give bins as a count')
            check_finite(deviation, "deviation")
            width = 3.49 * deviation * len(x) ** (-1 / (d + 2))
            shape = ((high - low) / width).ceil().long().clamp_min(1)
        else:
            shape = per_column(self.bins, x.new_empty(1, d, dtype=torch.int64), "bins")
        if math.prod(shape.tolist()) >= 2**62:
            raise ValueError(
                f"bins: a grid of {' × '.join(map(str, shape.tolist()))} cells cannot be "
                "numbered; use fewer."
            )
        return shape

    def _mass(self) -> float:
        """N + αB, the divisor that makes smoothed counts probabilities."""
        return self.counts.sum().item() + self.smoothing * math.prod(self.shape.tolist())

    def _log_prob(self, x: Tensor) -> Tensor:
        log_volume = ((self.high - self.low).double() / self.shape).log().sum()
        counts = torch.cat([self.counts, self.counts.new_zeros(1)])  # and that of an empty cell
        log_p = (counts.double() + self.smoothing).log() - math.log(self._mass()) - log_volume
        log_p_of = self._lookup(log_p.to(self.dtype), len(x))
        return torch.cat([log_p_of(part) for part in _columns(x)])

    def _lookup(self, log_p: Tensor, rows: int) -> Callable[[Tensor], Tensor]:
        """Function from points, (d, N), to what ``log_p`` says of their cells: of each that is
        stored, and last of an empty one. It is to be asked for so many rows.
        """
        stored, count = len(self.cells), math.prod(self.shape.tolist())
        table = None
        if count <= _DENSE * rows:
            table = log_p[-1:].repeat(count)
            table[self.cells] = log_p[:-1]

        def log_p_of(columns: Tensor) -> Tensor:
            keys, outside = _keys(columns, self.low, self.high, self.shape), None
            # The extremes are found faster than every point that lies outside.
            if (columns.amin(1) < self.low).any() or (columns.amax(1) > self.high).any():
                outside = ((columns < self.low[:, None]) | (columns > self.high[:, None])).any(0)
                keys = keys.masked_fill_(outside, 0)
            if table is not None:
                found = table.index_select(0, keys)
            else:
                slots = torch.searchsorted(self.cells, keys).clamp_max_(stored - 1)
                found = log_p[slots.where(self.cells[slots] == keys, stored)]
            return found if outside is None else found.masked_fill_(outside, -torch.inf)

        return log_p_of

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        row = integers(self.counts.sum().item(), (n,), self.low, generator)
        key = self.cells[torch.searchsorted(self.counts.cumsum(0), row, right=True)]
        place = key[:, None] // self._strides() % self.shape
        if self.smoothing:  # a share of the mass is spread evenly over all cells
            share = self.counts.sum().item() / self._mass()
            evenly = uniform((n, 1), self.low, generator) > share
            anywhere = uniform(place.shape, self.low, generator).double() * self.shape
            place = torch.where(evenly, anywhere.long(), place)
        within = uniform(place.shape, self.low, generator)
        return self._point(place, within)

    def _strides(self) -> Tensor:
        """What a step in each dimension adds to the number of a cell."""
        return torch.cat([self.shape[1:], self.shape.new_ones(1)]).flip(0).cumprod(0).flip(0)

    def _point(self, place: Tensor, within: Tensor) -> Tensor:
        """The point at the share ``within`` of cell ``place`` in each dimension, (N, d)."""
        width = (self.high.double() - self.low.double()) / self.shape
        x = (self.low.double() + (place + within.double()) * width).to(self.dtype)
        x = x.clamp(self.low, self.high)
        # Rounded, a point may come to lie in the next cell, to which the data may give nothing.
        for _ in range(4):
            off = place - _places(x.T, self.low, self.high, self.shape).T
            if not off.any():
                break
            x = torch.where(off == 0, x, x.nextafter(torch.where(off > 0, self.high, self.low)))
        return x


def _columns(x: Tensor) -> list[Tensor]:
    """Parts of the rows that fit in a cache, as columns: (d, n) each."""
    return [part.T.contiguous() for part in row_chunks(x, _IN_CACHE)]


def _keys(columns: Tensor, low: Tensor, high: Tensor, shape: Tensor) -> Tensor:
    """Number of the cell of each point, (N,), counted with the last dimension fastest."""
    places = _places(columns, low, high, shape)
    key = places[0]
    for place, count in zip(places[1:], shape[1:], strict=True):
        key = torch.addcmul(place, key, count)
    return key


def _places(columns: Tensor, low: Tensor, high: Tensor, shape: Tensor) -> Tensor:
    """Cell of each point in each dimension, (d, N), for points inside the grid, whose upper edges
    belong to the last cells.
    """
    low, high, shape = low[:, None], high[:, None], shape[:, None]
    return (columns - low).div_(high - low).mul_(shape).long().clamp_max_(shape - 1)
