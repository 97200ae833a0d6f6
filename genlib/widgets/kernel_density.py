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
from genlib.widgets.page import Interactive, escaped, instructions, printed, rounded

_MOST_POINTS = 100
_FRAME = {"width": 480, "height": 240, "left": 54, "right": 12, "top": 26, "bottom": 190}
_SCORE_BOTTOM = 136
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
        Places (M,), and the density there (M,), to be drawn as well where the axis goes.
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
        "merge. Where does leave-one-out put h? Then drag one point far away.",
        alt: str = "Points on a line, a Gaussian kernel at each, and their mean, the estimated "
        "density; below, the leave-one-out log-likelihood against the bandwidth.",
    ) -> None:
        super().__init__(alt, hint)
        check_tensor(points, "points")
        if points.dim() != 1 or not 2 <= len(points) <= 60:
            raise ValueError(
                f"points: expected shape (N,) with 2 to 60 points, got {tuple(points.shape)}."
            )
        self.points = points.tolist()
        self.bandwidths = _checked_bandwidths(bandwidths)
        self.start = self.bandwidths[0] if start is None else start
        if self.start not in self.bandwidths:
            raise ValueError(f"start: expected one of {self.bandwidths}, got {start!r}.")
        self.truth = None if truth is None else self._checked_truth(truth)

    def _range(self) -> tuple[float, float]:
        """The axis, along all of which points may be: with room beyond those of the start."""
        low, high = min(self.points), max(self.points)
        margin = (0.2 * (high - low) or 1.0) + _TAIL * self.bandwidths[-1]
        return low - margin, high + margin

    def _across(self, bandwidth: float) -> float:
        """Where a bandwidth stands on its axis, which is logarithmic."""
        left, right = _FRAME["left"], _FRAME["width"] - _FRAME["right"]
        part, whole = (math.log(h / self.bandwidths[0]) for h in (bandwidth, self.bandwidths[-1]))
        return left + (right - left) * part / whole

    def _data(self) -> dict[str, Any]:
        return {
            "frame": _FRAME,
            "scoreBottom": _SCORE_BOTTOM,
            "across": [round(self._across(h), 2) for h in self.bandwidths],
            "points": self.points,
            "bandwidths": self.bandwidths,
            "start": self.bandwidths.index(self.start),
            "most": _MOST_POINTS,
            "range": self._range(),
            "truth": self.truth,
            "ceiling": max(self.truth[1]) if self.truth else 0,
        }

    def _checked_truth(self, truth: object) -> list[list[float]]:
        """Places and densities where they are drawn, to four digits."""
        x, p = _checked_curve(truth)
        low, high = self._range()
        there = [(a, b) for a, b in zip(x, p, strict=True) if low <= a <= high]
        if len(there) < 2:
            raise ValueError(
                f"truth: expected two or more places in the range that is drawn, "
                f"[{low:g}, {high:g}], got {len(there)}; the others go from {min(x):g} to "
                f"{max(x):g}."
            )
        places, densities = zip(*there, strict=True)
        return [
            [rounded(place, high - low) for place in places],
            [float(f"{density:.4g}") for density in densities],
        ]

    def density(self) -> tuple[Tensor, Tensor]:
        """The estimate at the start, as it is drawn: places that rise, and the density there."""
        low, high = self._range()
        x, h = torch.tensor(self.points, dtype=torch.float64), self.start
        near = (x[:, None] + torch.arange(-12, 13) / 3 * h).flatten()
        even = torch.linspace(low, high, 201, dtype=torch.float64)
        places = torch.cat([even, near[(low < near) & (near < high)]]).sort().values
        return places, torch.distributions.Normal(x, h).log_prob(places[:, None]).exp().mean(1)

    def _body(self) -> str:
        width, height = _FRAME["width"], _FRAME["height"]
        score = (
            f"{_axes(_SCORE_BOTTOM, 'bandwidth h', 'leave-one-out below its best, nats a point')}"
            '<path data-part="score" fill="none" stroke="#2B8CCE" stroke-width="2.5"/>'
            '<circle data-part="best" r="9" fill="none" stroke="#2B8CCE" stroke-width="2"/>'
            f'<circle data-part="here" r="5" fill="#D55E00"/>{self._bandwidth_ticks()}'
        )
        return (
            f"{instructions(self.hint, _HOW_TO)}"
            f'<div role="application" tabindex="0" aria-label="{escaped(self.alt)}">'
            f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{self._drawing()}</svg></div>'
            f'<svg viewBox="0 0 {width} {_SCORE_BOTTOM + 50}" aria-hidden="true">{score}</svg>'
            '<div class="genlib-legend">Ring: the best bandwidth. Dot: the present one. The scale '
            "below the best is logarithmic.</div>"
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
        ceiling = 1.05 * max(y.max().item(), *(self.truth[1] if self.truth else [0.0]))
        tall = bottom - _FRAME["top"]
        pairs = zip(x.tolist(), y.tolist(), strict=True)
        mean = "L".join(f"{place(a):.2f} {bottom - b / ceiling * tall:.2f}" for a, b in pairs)
        ticks = "".join(
            f'<text x="{place(tick):.1f}" y="{bottom + 26}" text-anchor="middle">'
            f"{printed(tick, high - low)}</text>"
            for tick in _ticks(low, high)
        )
        truth = '<path data-part="truth" fill="none" stroke="currentColor" stroke-dasharray="5 4"/>'
        return (
            f"{_axes(bottom, 'x', 'density')}{ticks}{truth}"
            '<path data-part="kernels" fill="none" stroke="#2B8CCE" stroke-opacity=".45"/>'
            f'<path data-part="mean" d="M{mean}" fill="none" stroke="#2B8CCE" stroke-width="2.5"/>'
            '<g data-part="points">'
            + "".join(f'<circle cx="{place(x):.1f}" cy="{bottom}" r="5"/>' for x in self.points)
            + "</g>"
        )

    def _bandwidth_ticks(self) -> str:
        """1, 2 and 5 times powers of ten, or the powers alone where they are many."""
        low, high = self.bandwidths[0], self.bandwidths[-1]
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        steps = (1, 2, 5) if len(powers) < 5 else (1,)
        marks = [float(f"{n}e{power}") for power in powers for n in steps]
        return "".join(
            f'<path d="M{self._across(h):.1f} {_SCORE_BOTTOM}v5" stroke="currentColor"/>'
            f'<text x="{self._across(h):.1f}" y="{_SCORE_BOTTOM + 22}" text-anchor="middle">'
            f"{h:g}</text>"
            for h in marks
            if low <= h <= high
        )


def _axes(bottom: int, along: str, upward: str) -> str:
    """Two axes with their titles."""
    left, right, top = _FRAME["left"], _FRAME["width"] - _FRAME["right"], _FRAME["top"]
    return (
        f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="currentColor"/>'
        f'<text x="{left}" y="{top - 12}">{upward}</text><g data-part="ticks"></g>'
        f'<text x="{(left + right) // 2}" y="{bottom + 44}" text-anchor="middle">{along}</text>'
    )


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


def _checked_curve(truth: object) -> tuple[list[float], list[float]]:
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
