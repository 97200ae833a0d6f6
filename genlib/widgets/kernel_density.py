"""Parzen windows to play with: points to add and drag, and a bandwidth."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from genlib.core.validation import check_positive, check_tensor
from genlib.widgets.controls import bar, buttons
from genlib.widgets.page import Interactive, escaped, instructions

_MOST_POINTS = 100
_FRAME = {"width": 480, "height": 250, "left": 46, "right": 12, "top": 12, "bottom": 200}
_SCORE_BOTTOM = 110
_DEPTH = 1.5  # nats a point below the best, down to which leave-one-out is drawn
_TAIL = 3  # bandwidths that are drawn beyond the points: 0.1 % of a kernel lies farther on a side
_HOW_TO = (
    "Click or tap to add a point, drag it, double-click to remove it. Keys: ↑ ↓ choose a point, "
    "← → move it, Enter adds, Delete removes."
)
_ACTIONS = {
    "best": "Set the best bandwidth",
    "remove": "Remove the chosen point",
    "restart": "Start again",
}


class KernelDensity(Interactive):
    """The Gaussian kernel density estimate of points on a line that the reader adds and drags: each
    kernel, their mean, and the leave-one-out log-likelihood of every bandwidth.

    Everything is computed in the page: p(x) = (1/N) Σ_n N(x; x_n, h²), and, in nats a point,
    LOO(h) = (1/N) Σ_n log (1/(N − 1)) Σ_{m ≠ n} N(x_n; x_m, h²). Curves are drawn at three places
    in every bandwidth around each point at least, and the scale follows the highest value, so that
    no spike is missed or cut off.

    Parameters
    ----------
    points : Tensor, shape (N,)
        Where to start, two points at least and 60 at most.
    bandwidths : sequence of float
        Standard deviations h of a kernel that rise; best a geometric sequence.
    start : float, optional
        Bandwidth to start from; by default the first.
    truth : (Tensor, Tensor), optional
        Places (M,), and the density there (M,), to be drawn as well.
    hint : str
        What to look for.
    alt : str, optional
        What the figure shows, for those who cannot see it.

    Raises
    ------
    TypeError, ValueError
        An argument is not of this kind.

    Examples
    --------
    >>> figure = KernelDensity(torch.tensor([-1.0, 0.0, 2.0]), [0.1, 0.3, 1.0], start=0.3)
    >>> figure.bandwidths
    [0.1, 0.3, 1.0]
    """

    kind = "kernel_density"
    shared = ("handles.js",)

    def __init__(
        self,
        points: Tensor,
        bandwidths: Sequence[float],
        start: float | None = None,
        *,
        truth: tuple[Tensor, Tensor] | None = None,
        hint: str = "With a small h every point has a spike of its own; with a large one the peaks "
        "melt. Where does leave-one-out put h? Then drag one point far away.",
        alt: str = "Points on a line, a Gaussian kernel at each, and their mean, the estimated "
        "density; below, the leave-one-out log-likelihood against the bandwidth.",
    ) -> None:
        super().__init__(alt, hint)
        check_tensor(points, "points")
        if points.dim() != 1 or not 2 <= len(points) <= 60:
            raise ValueError(
                f"points: expected shape (N,) with 2 to 60 points, got {tuple(points.shape)}."
            )
        self.points = [float(f"{x:.4g}") for x in points.tolist()]
        self.bandwidths = _checked_bandwidths(bandwidths)
        self.start = self.bandwidths[0] if start is None else start
        if self.start not in self.bandwidths:
            raise ValueError(f"start: expected one of {self.bandwidths}, got {start!r}.")
        self.truth = None if truth is None else _checked_truth(truth)

    def _inside(self) -> tuple[float, float]:
        """Where points may be: beyond those of the start by a fifth of their range on each side."""
        low, high = min(self.points), max(self.points)
        margin = 0.2 * (high - low) or 1.0
        return low - margin, high + margin

    def _range(self) -> tuple[float, float]:
        low, high = self._inside()
        return low - _TAIL * self.bandwidths[-1], high + _TAIL * self.bandwidths[-1]

    def _data(self) -> dict[str, Any]:
        inside = self._truth_inside()
        return {
            "frame": _FRAME,
            "scoreBottom": _SCORE_BOTTOM,
            "depth": _DEPTH,
            "points": self.points,
            "bandwidths": self.bandwidths,
            "start": self.bandwidths.index(self.start),
            "most": _MOST_POINTS,
            "inside": self._inside(),
            "range": self._range(),
            "truth": inside,
            "ceiling": max(inside[1]) if inside else 0,
        }

    def _truth_inside(self) -> list[list[float]] | None:
        """The truth where it is drawn, to four digits."""
        if self.truth is None:
            return None
        low, high = self._range()
        there = [(x, p) for x, p in zip(*self.truth, strict=True) if low <= x <= high]
        return [[float(f"{value:.4g}") for value in each] for each in zip(*there, strict=True)]

    def density(self) -> tuple[Tensor, Tensor]:
        """The estimate at the start, as it is drawn: places that rise, and the density there."""
        low, high = self._range()
        x, h = torch.tensor(self.points, dtype=torch.float64), self.start
        near = (x[:, None] + torch.arange(-12, 13) / 3 * h).flatten()
        even = torch.linspace(low, high, 201, dtype=torch.float64)
        places = torch.cat([even, near[(low < near) & (near < high)]]).sort().values
        return places, torch.distributions.Normal(x, h).log_prob(places[:, None]).exp().mean(1)

    def _body(self) -> str:
        width, height, left, top = (_FRAME[k] for k in ("width", "height", "left", "top"))
        right, tall = width - _FRAME["right"], _SCORE_BOTTOM - top + 6
        score = (
            f"{_axes(_SCORE_BOTTOM)}"
            f'<path data-part="here" stroke="#D55E00" stroke-width="2" stroke-dasharray="6 4"/>'
            f'<svg x="{left}" y="{top - 6}" width="{right - left}" height="{tall}" '
            f'viewBox="{left} {top - 6} {right - left} {tall}" style="width: auto">'
            '<path data-part="score" fill="none" stroke="#2B8CCE" stroke-width="2.5"/></svg>'
            '<circle data-part="best" r="6" fill="#2B8CCE"/>'
            f'<text data-part="top" x="{left - 4}" y="{top + 8}" text-anchor="end"></text>'
            f'<text data-part="low" x="{left - 4}" y="{_SCORE_BOTTOM}" text-anchor="end"></text>'
            f"{self._bandwidth_ticks()}"
        )
        return (
            f"{instructions(self.hint, _HOW_TO)}"
            f'<div role="application" tabindex="0" aria-label="{escaped(self.alt)}">'
            f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{self._drawing()}</svg></div>'
            '<div class="genlib-title">leave-one-out log-likelihood, nats a point, against h '
            "(the dot marks the best)</div>"
            f'<svg viewBox="0 0 {width} {_SCORE_BOTTOM + 32}" aria-hidden="true">{score}</svg>'
            + bar({"bandwidth": self.bandwidths}, {"bandwidth": self.start}, "")
            + buttons(_ACTIONS)
        )

    def _drawing(self) -> str:
        """Axis, curves and points at the start."""
        low, high = self._range()
        left, bottom = _FRAME["left"], _FRAME["bottom"]
        across = _FRAME["width"] - left - _FRAME["right"]

        def place(x: float) -> float:
            return left + (x - low) / (high - low) * across

        x, y = self.density()
        inside = self._truth_inside()
        ceiling = 1.05 * max(y.max().item(), *(inside[1] if inside else [0.0]))
        tall = bottom - _FRAME["top"]
        pairs = zip(x.tolist(), y.tolist(), strict=True)
        mean = "L".join(f"{place(a):.2f} {bottom - b / ceiling * tall:.2f}" for a, b in pairs)
        ticks = "".join(
            f'<text x="{place(tick):.1f}" y="{bottom + 28}" text-anchor="middle">{tick:g}</text>'
            for tick in _ticks(low, high)
        )
        truth = '<path data-part="truth" fill="none" stroke="currentColor" stroke-dasharray="5 4"/>'
        return (
            f"{_axes(bottom)}{ticks}{truth}"
            '<path data-part="kernels" fill="none" stroke="#2B8CCE" stroke-opacity=".45"/>'
            f'<path data-part="mean" d="M{mean}" fill="none" stroke="#2B8CCE" stroke-width="2.5"/>'
            f'<text data-part="tick" x="{left}" text-anchor="end"></text>'
            '<g data-part="points">'
            + "".join(f'<circle cx="{place(x):.1f}" cy="{bottom}" r="5"/>' for x in self.points)
            + "</g>"
        )

    def _bandwidth_ticks(self) -> str:
        left, right = _FRAME["left"], _FRAME["width"] - _FRAME["right"]
        last = len(self.bandwidths) - 1
        marks = sorted({0, last // 3, 2 * last // 3, last})
        return "".join(
            f'<text x="{left + (right - left) * i / last:.1f}" y="{_SCORE_BOTTOM + 20}" '
            f'text-anchor="{"end" if i == last else "middle"}">{self.bandwidths[i]:g}</text>'
            for i in marks
        )


def _axes(bottom: int) -> str:
    left, right, top = _FRAME["left"], _FRAME["width"] - _FRAME["right"], _FRAME["top"]
    return f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="currentColor"/>'


def _ticks(low: float, high: float) -> list[float]:
    """Some five round numbers in the range."""
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= max(n for n in (1, 2, 5) if n * step <= (high - low) / 4)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _checked_bandwidths(bandwidths: object) -> list[float]:
    if not isinstance(bandwidths, Sequence) or isinstance(bandwidths, str):
        raise TypeError(f"bandwidths: expected a list of numbers, got {bandwidths!r}.")
    for h in bandwidths:
        check_positive(h, "bandwidths")
    rising = all(a < b for a, b in itertools.pairwise(bandwidths))
    if not (2 <= len(bandwidths) <= 60 and rising):
        raise ValueError(f"bandwidths: expected 2 to 60 numbers that rise, got {bandwidths!r}.")
    return [float(h) for h in bandwidths]


def _checked_truth(truth: object) -> tuple[list[float], list[float]]:
    if not (isinstance(truth, tuple) and len(truth) == 2):
        raise TypeError(f"truth: expected (places, densities), got {truth!r}.")
    x, p = truth
    check_tensor(x, "truth: places")
    check_tensor(p, "truth: densities")
    if x.dim() != 1 or x.shape != p.shape or p.min() < 0:
        raise ValueError(
            f"truth: expected places and densities, none negative, of one shape (M,), got "
            f"{tuple(x.shape)} and {tuple(p.shape)} with minimum {p.min():g}."
        )
    return x.tolist(), p.tolist()
