"""Points in the plane to add, drag and remove, and the Gaussian that fits them best."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from genlib.core.validation import check_count, check_flag, check_tensor
from genlib.widgets.controls import bar, buttons
from genlib.widgets.page import Interactive, escaped, instructions, minus

_FRAME = {"width": 400, "height": 320, "left": 34, "right": 10, "top": 10, "bottom": 290}
_MOST_POINTS = 200
_HOW_TO = (
    "Click or tap to add a point, drag it, double-click to remove it. Keys: Page Up and Page Down "
    "choose a point, arrows move it, Enter adds, Delete removes."
)
_ACTIONS = {"remove": "Remove the chosen point", "restart": "Start again"}


class Points(Interactive):
    """Points in the plane that the reader adds, drags and removes, with the Gaussian of largest
    likelihood.

    The Gaussian has the mean of the points and their covariance (1/N) Σ_n (x_n − m)(x_n − m)ᵀ; it
    is drawn as the ellipses at one and two standard deviations. Three points that do not lie on a
    line are the fewest that have one.

    Parameters
    ----------
    points : Tensor, shape (N, 2)
        Where to start; 100 at most.
    limit : int
        Both coordinates are in [−limit, limit].
    gaussian : bool
        Whether to draw the Gaussian.
    hint : str
        What to look for.
    alt : str, optional
        What the figure shows, for those who cannot see it.

    Raises
    ------
    TypeError, ValueError
        An argument is not of this kind, or a point lies outside.

    Examples
    --------
    >>> import torch
    >>> Points(torch.tensor([[-1.0, 0.0], [1.0, 0.5], [0.0, 2.0]])).limit
    4
    """

    kind = "points"
    shared = ("handles.js",)

    def __init__(
        self,
        points: Tensor,
        limit: int = 4,
        *,
        gaussian: bool = True,
        hint: str = "Drag one point away from the others: how far does it turn and stretch the "
        "fit?",
        alt: str = "Points in the plane, and the ellipses of the Gaussian that fits them best.",
    ) -> None:
        super().__init__(alt, hint)
        check_tensor(points, "points")
        check_count(limit, "limit", maximum=1000)
        check_flag(gaussian, "gaussian")
        if points.dim() != 2 or points.shape[1] != 2 or len(points) > 100:
            raise ValueError(
                f"points: expected shape (N, 2) with at most 100 points, got {tuple(points.shape)}."
            )
        if points.abs().max() > limit:
            raise ValueError(
                f"points: expected coordinates in [−{limit}, {limit}], got "
                f"{points.abs().max():g}; choose another limit."
            )
        self.points = points.tolist()
        self.limit, self.gaussian = limit, gaussian

    def _data(self) -> dict[str, Any]:
        return {
            "frame": _FRAME,
            "points": self.points,
            "limit": self.limit,
            "gaussian": self.gaussian,
            "most": _MOST_POINTS,
        }

    def _place(self, x: float, y: float) -> tuple[float, float]:
        left, top = _FRAME["left"], _FRAME["top"]
        across = _FRAME["width"] - left - _FRAME["right"]
        down = _FRAME["bottom"] - top
        return (
            left + (x / self.limit + 1) / 2 * across,
            top + (1 - y / self.limit) / 2 * down,
        )

    def _body(self) -> str:
        left, top, bottom = (_FRAME[k] for k in ("left", "top", "bottom"))
        right = _FRAME["width"] - _FRAME["right"]
        places = [self._place(*point) for point in self.points]
        circles = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5"/>' for x, y in places)
        ticks = (-self.limit, 0, self.limit)
        across = "".join(_label(self._place(k, 0)[0], bottom + 20, k, "middle") for k in ticks)
        upward = "".join(_label(left - 6, self._place(0, k)[1] + 5, k, "end") for k in ticks)
        return (
            f"{instructions(self.hint, _HOW_TO)}"
            f'<div role="application" tabindex="0" aria-label="{escaped(self.alt)}">'
            f'<svg viewBox="0 0 {_FRAME["width"]} {_FRAME["height"]}" aria-hidden="true">'
            f'<rect x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" '
            f'fill="none" stroke="currentColor"/>{across}{upward}'
            '<g data-part="gaussian" fill="none" stroke="#2B8CCE" stroke-width="2"></g>'
            f'<g data-part="points">{circles}</g></svg></div>' + bar({}, {}, "") + buttons(_ACTIONS)
        )


def _label(x: float, y: float, value: int, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{minus(value)}</text>'
