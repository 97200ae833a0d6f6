"""Curves that change with controls: computed for every position beforehand, and looked up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from genlib import plots
from genlib.core.validation import check_tensor
from genlib.widgets.controls import Controls, bar, checked_controls, is_scale, positions
from genlib.widgets.page import Interactive, escaped, minus, printed

Frame = Callable[..., tuple[Mapping[str, Tensor], str]]

# The drawing area, in the units of the SVG's own coordinate system.
_WIDTH, _HEIGHT = 6400, 3000
_LEFT, _RIGHT, _TOP, _BOTTOM = 620, 100, 100, 560
_COLOURS = ("#2B8CCE", "#D55E00", "#009E73", "#CC79A7")
_DASHES = ("", "160 80", "40 60", "160 60 40 60")


class Explorer(Interactive):
    """Curves over ``x`` that change with controls. With a kernel at hand, `live` recomputes instead
    of looking up.

    Parameters
    ----------
    frame : callable
        ``frame(**settings)`` returns named curves, each a tensor like ``x``, and a caption for this
        position.
    x : Tensor, shape (N,)
    controls : mapping
        Values of each control. Numbers become a slider, strings a menu. Every combination is
        computed at once, up to 10,000 of them.
    start : mapping, optional
        Values to start from; by default the first of each control.
    xlabel, ylabel : str
    ylim : (float, float), optional
        By default from zero, or the lowest value, to the highest. Values outside are drawn at the
        edge.
    alt : str
        What the figure shows, for those who cannot see it.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of this kind, or ``frame`` returns something else: curves of another
        length, other names at another position, or NaN.

    Examples
    --------
    >>> x = torch.linspace(0, 1, 50)
    >>> explorer = Explorer(lambda power: ({"y": x**power}, "a power"), x, {"power": [1, 2, 3]})
    >>> len(explorer.frames)
    3
    """

    kind = "curves"

    def __init__(
        self,
        frame: Frame,
        x: Tensor,
        controls: Controls,
        start: Mapping[str, Any] | None = None,
        *,
        xlabel: str = "",
        ylabel: str = "",
        ylim: tuple[float, float] | None = None,
        alt: str = "",
    ) -> None:
        check_tensor(x, "x")
        if x.dim() != 1 or x.min() == x.max():
            raise ValueError(
                f"x: expected shape (N,) and different values, got shape {tuple(x.shape)}."
            )
        super().__init__(alt)
        self.frame, self.x, self.xlabel, self.ylabel = frame, x.detach().cpu(), xlabel, ylabel
        self.controls, self.start = checked_controls(controls, start)
        self.frames = [self._computed(settings) for settings in positions(self.controls)]
        if len({tuple(curves) for curves, _ in self.frames}) > 1:
            raise ValueError("frame: expected the same names of curves, in one order, everywhere.")
        if ylim is None:
            ylim = self._range()
        if not (len(ylim) == 2 and -math.inf < ylim[0] < ylim[1] < math.inf):
            raise ValueError(f"ylim: expected two finite numbers that rise, got {ylim}.")
        self.ylim = ylim

    def live(self) -> Any:
        """A widget that recomputes ``frame`` in the kernel whenever a control moves (needs
        `ipywidgets`).
        """
        import ipywidgets

        def show(**settings: Any) -> None:
            curves, caption = self._computed(settings)
            ax = plots.curves(self.x, curves, xlabel=self.xlabel, ylabel=self.ylabel, title=caption)
            ax.set_ylim(*self.ylim)
            plt.show()

        sliders = {
            name: ipywidgets.SelectionSlider(
                options=values, value=self.start[name], continuous_update=False
            )
            if is_scale(values)
            else ipywidgets.Dropdown(options=values, value=self.start[name])
            for name, values in self.controls.items()
        }
        return ipywidgets.interactive(show, **sliders)

    def _data(self) -> dict[str, Any]:
        moving = self._moving()
        return {
            "sizes": [len(values) for values in self.controls.values()],
            "x": self._places(self.x, *self._xlim(), _LEFT, _WIDTH - _RIGHT),
            "curves": moving,
            "y": [[self._heights(curves[name]) for name in moving] for curves, _ in self.frames],
            "captions": [caption for _, caption in self.frames],
        }

    def _moving(self) -> list[str]:
        """Names of the curves that differ between positions, as they are drawn."""
        return [
            name
            for name in self.frames[0][0]
            if len({tuple(self._heights(curves[name])) for curves, _ in self.frames}) > 1
        ]

    def _body(self) -> str:
        curves, caption = self.frames[positions(self.controls).index(self.start)]
        lines = "".join(
            _stroke(i, self._path(y), f'data-curve="{escaped(name)}"')
            for i, (name, y) in enumerate(curves.items())
        )
        legend = "".join(self._legend(i, name) for i, name in enumerate(curves))
        return (
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escaped(self.alt)}" '
            f'style="font-size:150px">{self._axes()}{lines}{legend}</svg>'
            + bar(self.controls, self.start, caption)
        )

    def _computed(self, settings: Mapping[str, Any]) -> tuple[dict[str, Tensor], str]:
        """The curves and the caption at one position, checked."""
        found = self.frame(**settings)
        if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[0], Mapping)):
            raise TypeError(
                f"frame: expected (curves by name, caption), got {type(found).__name__} at "
                f"{settings}."
            )
        curves = {name: torch.as_tensor(y).detach().cpu() for name, y in found[0].items()}
        if not curves:
            raise ValueError(f"frame: expected at least one curve, got none at {settings}.")
        for name, y in curves.items():
            if y.shape != self.x.shape:
                raise ValueError(
                    f"frame: expected {name!r} of the shape of x, {tuple(self.x.shape)}, got "
                    f"{tuple(y.shape)} at {settings}."
                )
            if y.is_complex():
                raise TypeError(
                    f"frame: expected real numbers in {name!r}, got {y.dtype} at {settings}; take "
                    ".real or .abs()."
                )
            if y.isnan().any():
                where = self.x[y.isnan()][0].item()
                raise ValueError(
                    f"frame: expected numbers, got NaN in {name!r} at x = {where:g}, {settings}."
                )
        return curves, str(found[1])

    def _xlim(self) -> tuple[float, float]:
        return self.x.min().item(), self.x.max().item()

    def _range(self) -> tuple[float, float]:
        values = torch.cat(
            [y[torch.isfinite(y)] for curves, _ in self.frames for y in curves.values()]
        )
        if not len(values):
            raise ValueError("ylim: expected a range, as no curve has a finite value.")
        low, high = min(0.0, values.min().item()), values.max().item()
        high *= 1.05 if high > 0 else 0.95
        return low, high if high > low else low + 1

    @staticmethod
    def _places(values: Tensor, low: float, high: float, start: int, end: int) -> list[int]:
        scaled = start + (end - start) * (values.double().nan_to_num(high, high, low) - low) / (
            high - low
        )
        return scaled.clamp(min(start, end), max(start, end)).round().long().tolist()

    def _heights(self, y: Tensor) -> list[int]:
        return self._places(y, *self.ylim, _HEIGHT - _BOTTOM, _TOP)

    def _path(self, y: Tensor) -> str:
        across = self._places(self.x, *self._xlim(), _LEFT, _WIDTH - _RIGHT)
        return "M" + "L".join(f"{a} {b}" for a, b in zip(across, self._heights(y), strict=True))

    def _legend(self, i: int, name: str) -> str:
        y = _TOP + 130 + 190 * i
        line = _stroke(i, f"M{_WIDTH - 1900} {y}h400")
        return line + _text(_WIDTH - 1420, y + 50, name, "start")

    def _axes(self) -> str:
        left, right, bottom = _LEFT, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
        parts = [
            f'<path d="M{left} {_TOP}V{bottom}H{right}" fill="none" stroke="currentColor" '
            'stroke-width="12"/>'
        ]
        low, high = self._xlim()
        for value in _ticks(low, high):
            (place,) = self._places(torch.tensor([value]), *self._xlim(), left, right)
            parts.append(_text(place, bottom + 200, printed(value, high - low)))
        low, high = self.ylim
        for value in _ticks(low, high):
            (place,) = self._places(torch.tensor([value]), *self.ylim, bottom, _TOP)
            parts.append(_text(left - 60, place + 50, printed(value, high - low), "end"))
        parts.append(_text(_WIDTH // 2, _HEIGHT - 120, self.xlabel))
        turned = f'<g transform="translate(150 {(_TOP + bottom) // 2}) rotate(-90)">'
        return "".join(parts) + turned + _text(0, 0, self.ylabel) + "</g>"


def _stroke(i: int, path: str, attributes: str = "") -> str:
    """The i-th line's colour and dashes along a path."""
    dashes = f' stroke-dasharray="{_DASHES[i % 4]}"' if i else ""
    return (
        f'<path {attributes} d="{path}" fill="none" stroke="{_COLOURS[i % 4]}" '
        f'stroke-width="28"{dashes}/>'
    )


def _text(x: int, y: int, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escaped(minus(text))}</text>'


def _ticks(low: float, high: float) -> list[float]:
    return [tick for tick in MaxNLocator(6).tick_values(low, high) if low <= tick <= high]
