"""Figures that a reader can move, in a live notebook and on a page with no kernel behind it.

An `Explorer` computes its curves for every position of its controls beforehand and carries them
along as data, with a few lines of plain JavaScript that pick the right ones. It asks no server for
anything, and its controls are the browser's own, so the keyboard works them. With a kernel at hand,
`Explorer.live` recomputes instead of looking up.
"""

from __future__ import annotations

import hashlib
import html
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from genlib import plots
from genlib.core.validation import check_tensor

Frame = Callable[..., tuple[Mapping[str, Tensor], str]]

_MOST_FRAMES = 10_000

# The drawing area, in the units of the SVG's own coordinate system.
_WIDTH, _HEIGHT = 6400, 3000
_LEFT, _RIGHT, _TOP, _BOTTOM = 620, 100, 100, 560
_COLOURS = ("#2B8CCE", "#D55E00", "#009E73", "#CC79A7")
_DASHES = ("", "160 80", "40 60", "160 60 40 60")


class Explorer:
    """Curves over ``x`` that change with controls.

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

    def __init__(
        self,
        frame: Frame,
        x: Tensor,
        controls: Mapping[str, Sequence[Any]],
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
        _check_controls(controls)
        self.frame, self.x, self.xlabel, self.ylabel, self.alt = (
            frame,
            x.detach().cpu(),
            xlabel,
            ylabel,
            alt,
        )
        self.controls = {name: list(values) for name, values in controls.items()}
        if not isinstance(start, Mapping | None):
            raise TypeError(f"start: expected values by the name of a control, got {start!r}.")
        self.start = {name: values[0] for name, values in self.controls.items()} | dict(start or {})
        for name, value in self.start.items():
            if value not in self.controls.get(name, []):
                raise ValueError(
                    f"start: expected {name!r} to be one of {self.controls.get(name)}, got "
                    f"{value!r}."
                )
        self.frames = [
            self._computed(dict(zip(self.controls, values, strict=True)))
            for values in itertools.product(*self.controls.values())
        ]
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
            if _is_scale(values)
            else ipywidgets.Dropdown(options=values, value=self.start[name])
            for name, values in self.controls.items()
        }
        return ipywidgets.interactive(show, **sliders)

    def _repr_html_(self) -> str:
        paths = [{name: self._path(y) for name, y in curves.items()} for curves, _ in self.frames]
        names = list(dict.fromkeys(name for frame in paths for name in frame))
        moving = [name for name in names if len({frame[name] for frame in paths}) > 1]
        data = json.dumps(
            {
                "sizes": [len(values) for values in self.controls.values()],
                "x": self._places(self.x, *self._xlim(), _LEFT, _WIDTH - _RIGHT),
                "curves": moving,
                "y": [
                    [self._heights(curves[name]) for name in moving] for curves, _ in self.frames
                ],
                "captions": [caption for _, caption in self.frames],
            },
            separators=(",", ":"),
            ensure_ascii=False,
        ).replace("</", "<\\/")
        first = self._index(self.start)
        key = "explorer-" + hashlib.sha256((data + self.alt).encode()).hexdigest()[:12]
        curves = "".join(self._curve(i, name, paths[first][name]) for i, name in enumerate(names))
        return _PAGE.format(
            key=key,
            alt=html.escape(self.alt, quote=True),
            width=_WIDTH,
            height=_HEIGHT,
            axes=self._axes(),
            curves=curves,
            legend="".join(self._legend(i, name) for i, name in enumerate(names)),
            controls="".join(self._control(name) for name in self.controls),
            caption=html.escape(self.frames[first][1]),
            data=data,
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
            if y.isnan().any():
                where = self.x[y.isnan()][0].item()
                raise ValueError(
                    f"frame: expected numbers, got NaN in {name!r} at x = {where:g}, {settings}."
                )
        return curves, str(found[1])

    def _index(self, settings: Mapping[str, Any]) -> int:
        index = 0
        for name, values in self.controls.items():
            index = index * len(values) + values.index(settings[name])
        return index

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

    def _curve(self, i: int, name: str, path: str) -> str:
        return _stroke(i, path, f'data-curve="{html.escape(name, quote=True)}"')

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
        for value in _ticks(*self._xlim()):
            (place,) = self._places(torch.tensor([value]), *self._xlim(), left, right)
            parts.append(_text(place, bottom + 200, f"{value:g}"))
        for value in _ticks(*self.ylim):
            (place,) = self._places(torch.tensor([value]), *self.ylim, bottom, _TOP)
            parts.append(_text(left - 60, place + 50, f"{value:g}", "end"))
        parts.append(_text(_WIDTH // 2, _HEIGHT - 120, self.xlabel))
        turned = f'<g transform="translate(150 {(_TOP + bottom) // 2}) rotate(-90)">'
        return "".join(parts) + turned + _text(0, 0, self.ylabel) + "</g>"

    def _control(self, name: str) -> str:
        values = self.controls[name]
        start = values.index(self.start[name])
        if _is_scale(values):
            shown = html.escape(json.dumps(values), quote=True)
            inner = (
                f'<input type="range" min="0" max="{len(values) - 1}" value="{start}" '
                f'data-values="{shown}" aria-valuetext="{values[start]}"> '
                f"<output>{values[start]}</output>"
            )
        else:
            names = [html.escape(str(value)) for value in values]
            options = [
                f'<option value="{i}"{" selected" * (i == start)}>{name}</option>'
                for i, name in enumerate(names)
            ]
            inner = f"<select>{''.join(options)}</select>"
        return f"<label>{html.escape(name)} {inner}</label>"


def _stroke(i: int, path: str, attributes: str = "") -> str:
    """The i-th line's colour and dashes along a path."""
    dashes = f' stroke-dasharray="{_DASHES[i % 4]}"' if i else ""
    return (
        f'<path {attributes} d="{path}" fill="none" stroke="{_COLOURS[i % 4]}" '
        f'stroke-width="28"{dashes}/>'
    )


def _text(x: int, y: int, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _check_controls(controls: object) -> None:
    """Raise unless there are values for every control, and not too many positions in all."""
    if not isinstance(controls, Mapping):
        raise TypeError(f"controls: expected lists of values by name, got {controls!r}.")
    for name, values in controls.items():
        if not isinstance(values, Sequence) or isinstance(values, str):
            raise TypeError(f"controls: expected a list of values for {name!r}, got {values!r}.")
        if not len(values):
            raise ValueError(f"controls: expected at least one value for {name!r}, got none.")
    positions = math.prod(len(values) for values in controls.values())
    if positions > _MOST_FRAMES:
        raise ValueError(
            f"controls: expected at most {_MOST_FRAMES} positions in all, got {positions}; "
            "thin the values out."
        )


def _is_scale(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _ticks(low: float, high: float) -> list[float]:
    return [tick for tick in MaxNLocator(6).tick_values(low, high) if low <= tick <= high]


_PAGE = """<figure class="genlib-explorer" id="{key}" style="margin:1em 0;max-width:46em">
<svg viewBox="0 0 {width} {height}" role="img" aria-label="{alt}"
 style="width:100%;height:auto;font-size:150px;fill:currentColor">
{axes}{curves}{legend}</svg>
<div style="display:flex;flex-wrap:wrap;gap:.4em 1.6em;align-items:center">{controls}
<span role="status" style="font-variant-numeric:tabular-nums">{caption}</span></div>
<script type="application/json">{data}</script>
<script>
(function () {{
  const figure = document.getElementById("{key}");
  const data = JSON.parse(figure.querySelector('script[type="application/json"]').textContent);
  const controls = [...figure.querySelectorAll("input, select")];
  const paths = {{}};
  figure.querySelectorAll("path[data-curve]").forEach((p) => (paths[p.dataset.curve] = p));
  function draw() {{
    const index = controls.reduce((sum, c, i) => sum * data.sizes[i] + Number(c.value), 0);
    data.curves.forEach((name, i) => {{
      const y = data.y[index][i];
      paths[name].setAttribute("d", "M" + data.x.map((x, k) => x + " " + y[k]).join("L"));
    }});
    for (const control of controls) {{
      if (control.type !== "range") continue;
      const value = JSON.parse(control.dataset.values)[control.value];
      control.setAttribute("aria-valuetext", value);
      control.parentElement.querySelector("output").textContent = value;
    }}
    figure.querySelector("[role=status]").textContent = data.captions[index];
  }}
  controls.forEach((control) => control.addEventListener("input", draw));
}})();
</script></figure>"""
