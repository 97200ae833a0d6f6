"""Matrices as coloured cells: point at a cell, and see what is known of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import torch
from torch import Tensor

from genlib.core.validation import check_dense, check_tensor, first_index
from genlib.widgets.controls import Controls, bar, checked_controls, positions
from genlib.widgets.page import (
    Interactive,
    check_words,
    escaped,
    instructions,
    printed,
    rounded,
)

Cell = tuple[int, int]
Panels = Mapping[str, Tensor] | Callable[..., Mapping[str, Tensor]]

_MOST_CELLS = 4096  # that are drawn at once
# A cell of a map is stored as one letter: that of its level, or a blank where there is nothing.
# Of categories, which are few, several cells are.
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+"
_HOW_TO = "Point at a cell, or move with the arrow keys."
_EMPTY = "#80808026"  # grey, nearly transparent, on any page
_CATEGORIES = (("#56B4E9", "●"), ("#E69F00", "×"), ("#D55E00", "!"), ("#CC79A7", "+"))
_SIDE = 0.94  # of a cell's square: what is left is the line between cells


class Grid(Interactive):
    """Matrices drawn as cells, side by side. A cell is selected by pointing at it, or by the arrow
    keys; what is known of it is said, and maps that belong to it are shown.

    Parameters
    ----------
    panels : mapping, or callable
        Tensors by name, or ``panels(**settings)`` that returns them. Those of shape (rows, columns)
        are drawn as they stand. Those of shape (rows, columns, r, c) are *linked*: of each the map
        (r, c) of the selected cell is drawn, in which NaN is a cell that is left out; the two
        largest numbers of a map are marked 1 and 2.
    controls : mapping, optional
        Values of each control. Numbers become a slider, strings a menu.
    start : mapping, optional
        Values to start from; by default the first of each control.
    cell : (int, int)
        Row and column to start from, counted from zero.
    categories : sequence of str, optional
        Then values are their numbers, 0, 1, … (four at most), and the legend names them.
    empty : str, optional
        What the legend says of cells that are left out.
    labels : mapping, optional
        What stands beside a control, where that is not its name.
    limits : mapping, optional
        (low, high) by the name of a panel: the values of the first and the last colour. By default
        the least and the largest value of the panel; those outside get the colour of the end.
    hint : str, optional
        What to look for.
    alt : str
        What the figure shows, for those who cannot see it.

    Attributes
    ----------
    frames : list of dict
        The panels at every position of the controls.
    cell : (int, int)

    Raises
    ------
    TypeError, ValueError
        An argument is not of this kind: panels differ in their rows and columns or in their names
        between positions, hold NaN where all cells count, or more than 4,096 cells in all.

    Examples
    --------
    >>> product = torch.outer(torch.arange(1.0, 10), torch.arange(1.0, 10))
    >>> Grid({"product": product}, cell=(6, 7), alt="The table of products up to 9 × 9.").cell
    (6, 7)
    """

    kind = "grid"

    def __init__(
        self,
        panels: Panels,
        controls: Controls | None = None,
        start: Mapping[str, Any] | None = None,
        *,
        cell: Cell = (0, 0),
        categories: Sequence[str] | None = None,
        empty: str = "",
        labels: Mapping[str, str] | None = None,
        limits: Mapping[str, tuple[float, float]] | None = None,
        hint: str = "",
        alt: str,
    ) -> None:
        super().__init__(alt, hint)
        self.controls, self.start = checked_controls({} if controls is None else controls, start)
        self.categories = _checked_categories(categories)
        self.empty = check_words(empty, "empty")
        self.labels = _checked_labels(labels, self.controls)
        self.frames = [
            _checked_panels(panels(**settings) if callable(panels) else panels, settings)
            for settings in positions(self.controls)
        ]
        _check_alike(self.frames)
        self.shape = next(iter(self.frames[0].values())).shape[:2]
        self.cell = _checked_cell(cell, self.shape)
        given = self._checked_limits(limits)
        self.limits = {name: self._limits(name, given) for name in self.frames[0]}

    def shown(self, panel: str, cell: Cell | None = None, **settings: Any) -> Tensor:
        """The matrix that ``panel`` shows where ``cell`` is selected; by default at the start."""
        values = self._frame(**settings)[panel]
        return values if values.dim() == 2 else values[cell or self.cell]

    def strongest(
        self, panel: str, n: int = 1, cell: Cell | None = None, **settings: Any
    ) -> list[Cell]:
        """The ``n`` cells of largest value in what `shown` gives, the largest first."""
        values = self.shown(panel, cell, **settings).nan_to_num(-math.inf)
        places = values.flatten().argsort(descending=True, stable=True)[:n].tolist()
        return [divmod(place, values.shape[1]) for place in places]

    def _frame(self, **settings: Any) -> dict[str, Tensor]:
        _, chosen = checked_controls(self.controls, self.start | settings)
        return self.frames[positions(self.controls).index(chosen)]

    def _checked_limits(self, limits: object) -> Mapping[str, Any]:
        if not isinstance(limits, Mapping | None):
            raise TypeError(f"limits: expected (low, high) by the name of a panel, got {limits!r}.")
        panels = [] if self.categories else list(self.frames[0])  # categories have no scale
        if unknown := [name for name in limits or {} if name not in panels]:
            raise ValueError(f"limits: expected names among {panels}, got {unknown}.")
        for name, pair in (limits or {}).items():
            two = isinstance(pair, Sequence) and len(pair) == 2
            if not (two and all(isinstance(end, int | float) for end in pair)):
                raise TypeError(f"limits: expected (low, high) for {name!r}, got {pair!r}.")
        return limits or {}

    def _limits(self, name: str, given: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
        values = torch.cat([frame[name].flatten() for frame in self.frames])
        values = values[~values.isnan()]
        if self.categories:
            whole = (values == values.round()).all() and values.min() >= 0
            if not (whole and values.max() < len(self.categories)):
                raise ValueError(
                    f"panels: expected numbers of categories, 0 … {len(self.categories) - 1}, in "
                    f"{name!r}, got {values.min():g} … {values.max():g}."
                )
            return 0, len(_LETTERS) - 1  # a category is its own level
        low, high = given.get(name, (values.min().item(), values.max().item()))
        if name not in given and low == high:
            high = low + 1
        if not -math.inf < low < high < math.inf:
            raise ValueError(
                f"limits: expected two finite numbers that rise for {name!r}, got {(low, high)}."
            )
        return low, high

    def _span(self, name: str) -> float:
        low, high = self.limits[name]
        return high - low

    def _levels(self, name: str, values: Tensor) -> list[int]:
        """The level of every cell, −1 where there is nothing."""
        low, high = self.limits[name]
        scaled = (values.double() - low) / (high - low) * (len(_LETTERS) - 1)
        scaled = scaled.nan_to_num(-1.0).clamp(0, len(_LETTERS) - 1)
        levels = (scaled + 0.5).floor()  # halves go up, as in the page
        return levels.where(~values.isnan(), -1).long().flatten().tolist()

    def _data(self) -> dict[str, Any]:
        maps: dict[tuple[Any, ...], int] = {}
        return {
            "sizes": [len(values) for values in self.controls.values()],
            "shape": list(self.shape),
            "cell": self.cell[0] * self.shape[1] + self.cell[1],
            "panels": [self._panel(name, maps) for name in self.frames[0]],
            "maps": list(maps),
            "letters": " " + _LETTERS,
            "packing": self._packing(),
            "colours": self._colours(),
            "empty": _EMPTY,
            "symbols": [symbol for _, symbol in _CATEGORIES[: len(self.categories)]],
            "categories": self.categories,
        }

    def _panel(self, name: str, maps: dict[tuple[Any, ...], int]) -> dict[str, Any]:
        """What the script draws of a panel; every map stands once in ``maps``, for all panels."""
        values, span = [frame[name] for frame in self.frames], self._span(name)
        panel = {"name": name, "columns": values[0].shape[-1], "limits": self.limits[name]}
        if values[0].dim() == 2:
            numbers = [[rounded(v, span) for v in each.flatten().tolist()] for each in values]
            return panel | {"values": numbers}
        frames = [
            [maps.setdefault(self._map(name, shown), len(maps)) for shown in each.flatten(0, 1)]
            for each in values
        ]
        return panel | {"linked": frames}

    def _map(self, name: str, values: Tensor) -> tuple[Any, ...]:
        """The letters of a map; of numbers also its two largest, place and value in turn."""
        letters = _letters(self._levels(name, values), *self._packing())
        if self.categories:
            return (letters,)
        found = [(row * values.shape[1] + c, values[row, c]) for row, c in self._largest(values)]
        span = self._span(name)
        return letters, *(part for k, v in found for part in (k, rounded(v.item(), span)))

    def _packing(self) -> tuple[int, int]:
        """How many values a cell of a map can have, and how many cells one letter holds."""
        base = len(self.categories or _LETTERS) + 1
        return base, {2: 6, 3: 3, 4: 3, 5: 2}.get(base, 1)

    def _colours(self) -> list[str]:
        if self.categories:
            return [colour for colour, _ in _CATEGORIES[: len(self.categories)]]
        ramp = mpl.colormaps["cividis"].resampled(len(_LETTERS))
        return [mpl.colors.to_hex(ramp(level)) for level in range(len(_LETTERS))]

    def _body(self) -> str:
        drawn = "".join(self._drawing(name) for name in self.frames[0])
        return (
            f"{instructions(self.hint, _HOW_TO)}"
            f'<div class="genlib-panels" role="application" tabindex="0" '
            f'aria-label="{escaped(self.alt)}">{drawn}</div>'
            + self._legend()
            + bar(
                self.controls,
                self.start,
                f"row {self.cell[0] + 1}, column {self.cell[1] + 1}",
                self.labels,
            )
        )

    def _drawing(self, name: str) -> str:
        values = self.shown(name, **self.start)
        colours, columns = self._colours(), values.shape[1]
        cells, symbols = [], []
        for place, level in enumerate(self._levels(name, values)):
            row, column = divmod(place, columns)
            fill = colours[level] if level >= 0 else _EMPTY
            cells.append(
                f'<rect x="{column}" y="{row}" width="{_SIDE}" height="{_SIDE}" fill="{fill}"/>'
            )
            if self.categories:
                symbols.append(
                    f'<text x="{column}.47" y="{row}.72" font-size=".7" fill="#000" '
                    f'text-anchor="middle">{_CATEGORIES[level][1] if level >= 0 else ""}</text>'
                )
        if self._ranked(name):
            symbols = [_rank(n, self._largest(values)[n - 1 : n]) for n in (1, 2)]
        return (
            f'<div class="genlib-panel"><div>{escaped(name)}</div>'
            f'<svg viewBox="-.1 -.1 {columns + 0.2} {len(values) + 0.2}" aria-hidden="true">'
            f"{''.join(cells + symbols)}</svg>{'' if self.categories else self._scale(name)}</div>"
        )

    def _ranked(self, name: str) -> bool:
        """Whether the two largest cells of a panel are marked: those of maps of numbers."""
        return not self.categories and self.frames[0][name].dim() == 4

    @staticmethod
    def _largest(values: Tensor) -> list[Cell]:
        """The two cells of largest value, if there are as many."""
        largest, places = values.flatten().nan_to_num(-math.inf).topk(min(2, values.numel()))
        there = places[largest > -math.inf].tolist()
        return [divmod(place, values.shape[1]) for place in there]

    def _scale(self, name: str) -> str:
        """The colours of a panel, with the values of the first and the last."""
        low, high = (printed(end, self._span(name), 3) for end in self.limits[name])
        return (
            f'<div class="genlib-legend">{low}<span class="genlib-scale" style="background: '
            f'linear-gradient(90deg, {", ".join(self._colours()[::6])})"></span>{high}</div>'
        )

    def _legend(self) -> str:
        kinds = [*zip(_CATEGORIES, self.categories, strict=False)]
        kinds += [((_EMPTY, ""), self.empty)] if self.empty else []
        swatches = "".join(_swatch(*drawn, words) for drawn, words in kinds)
        if any(map(self._ranked, self.frames[0])):
            swatches += "<span>1, 2: the two largest</span>"
        return f'<div class="genlib-legend">{swatches}</div>'


def _swatch(colour: str, symbol: str, words: str) -> str:
    return (
        f'<span><span class="genlib-swatch" style="background: {colour}; color: #000">{symbol}'
        f"</span>{escaped(words)}</span>"
    )


def _rank(number: int, cells: list[Cell]) -> str:
    """The number on its cell, or nowhere if there is none."""
    row, column = cells[0] if cells else (0, 0)
    words = number if cells else ""
    return f'<text class="genlib-rank" x="{column}.47" y="{row}.8">{words}</text>'


def _letters(levels: list[int], base: int, per: int) -> str:
    """Levels as letters, ``per`` of them in each, as digits to a ``base``; 0 is an empty cell."""
    groups = (levels[at : at + per] for at in range(0, len(levels), per))
    codes = (sum((level + 1) * base**k for k, level in enumerate(group)) for group in groups)
    return "".join((" " + _LETTERS)[code] for code in codes).rstrip()


def _checked_categories(categories: object) -> list[str]:
    if categories is None:
        return []
    words = isinstance(categories, Sequence) and not isinstance(categories, str)
    if not (words and all(isinstance(each, str) for each in categories)):
        raise TypeError(f"categories: expected a list of words, got {categories!r}.")
    if not 1 <= len(categories) <= len(_CATEGORIES):
        raise ValueError(
            f"categories: expected 1 to {len(_CATEGORIES)} of them, got {len(categories)}."
        )
    return list(categories)


def _checked_labels(labels: object, controls: Controls) -> dict[str, str]:
    if not isinstance(labels, Mapping | None):
        raise TypeError(f"labels: expected words by the name of a control, got {labels!r}.")
    if unknown := set(labels or {}) - set(controls):
        raise ValueError(f"labels: expected names among {list(controls)}, got {sorted(unknown)}.")
    return {name: check_words(words, "labels") for name, words in (labels or {}).items()}


def _checked_panels(panels: object, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """The panels at one position of the controls, checked."""
    at = f" at {settings}" if settings else ""
    if not isinstance(panels, Mapping) or not panels:
        raise TypeError(f"panels: expected tensors by name, got {panels!r}{at}.")
    checked, cells = {}, 0
    for name, values in panels.items():
        check_dense(values, f"panels: {name!r}", "torch.as_tensor makes one")
        if values.is_complex():
            raise TypeError(f"panels: expected real numbers in {name!r}, got {values.dtype}{at}.")
        values = values.detach().cpu().float()
        if values.dim() not in (2, 4) or not values.numel():
            raise ValueError(
                f"panels: expected shape (rows, columns), or (rows, columns, r, c) for a linked "
                f"one, in {name!r}, got {tuple(values.shape)}{at}."
            )
        if values.dim() == 2:
            check_tensor(values, f"panels: {name!r}{at}")
        elif values.isinf().any():
            raise ValueError(
                f"panels: expected finite values, or NaN for no cell, in {name!r}, got infinity "
                f"at index {first_index(values.isinf())}{at}."
            )
        elif values.isnan().all():
            raise ValueError(f"panels: expected a value somewhere in {name!r}, got NaN alone{at}.")
        cells += values.shape[-1] * values.shape[-2]
        checked[name] = values
    if cells > _MOST_CELLS:
        raise ValueError(
            f"panels: expected at most {_MOST_CELLS:,} cells drawn at once, got {cells:,}."
        )
    return checked


def _check_alike(frames: Sequence[Mapping[str, Tensor]]) -> None:
    """Raise unless all positions have the same panels, and all panels the same cells to select."""
    shapes = [{name: tuple(values.shape) for name, values in frame.items()} for frame in frames]
    for other in shapes[1:]:
        if list(other.items()) != list(shapes[0].items()):
            raise ValueError(
                f"panels: expected the same names and shapes everywhere, {shapes[0]}, got {other}."
            )
    if len({shape[:2] for shape in shapes[0].values()}) > 1:
        raise ValueError(
            f"panels: expected the same rows and columns to select from, got {shapes[0]}."
        )


def _checked_cell(cell: object, shape: Sequence[int]) -> Cell:
    pair = isinstance(cell, tuple) and len(cell) == 2 and all(isinstance(at, int) for at in cell)
    if not (pair and all(0 <= at < size for at, size in zip(cell, shape, strict=True))):
        raise ValueError(
            f"cell: expected a row and a column of {shape[0]} × {shape[1]} cells, counted from "
            f"zero, got {cell!r}."
        )
    return cell
