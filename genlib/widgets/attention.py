"""Attention as a matrix that is linked to its text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import torch
from torch import Tensor

from genlib.core.validation import check_tensor, first_index
from genlib.widgets.controls import bar, checked_controls
from genlib.widgets.page import Interactive, escaped, instructions

_MOST_PLACES = 64
_LONGEST = 6  # letters of a label
_LETTER = 0.5  # width of one, in cells
_ROUNDING = 1e-3  # by which a row's sum may miss one
_HOW_TO = "Point at a symbol or at a row, or move with the arrow keys."


class Attention(Interactive):
    """A causal attention matrix beside its text: point at a symbol, and see which of the symbols
    before it were looked at when it was predicted.

    Parameters
    ----------
    weights : Tensor, shape (n, n), or mapping
        Entry (i, j) is the weight of position j in row i; rows sum to one and entries j > i are
        zero. Several by name (layers, heads) make a menu.
    symbols : sequence of str
        What stands at the n positions. Or n + 1 symbols, where the first is the start symbol: then
        row i predicts symbol i + 1 and looks at those before it, as the rows of
        `genlib.CausalTransformer.attention` do.
    start : mapping, optional
        ``{"layer": name}`` to start from; by default the first.
    row : int, optional
        Row to start from, counted from zero; by default the last.
    hint : str
        What to look for.
    alt : str
        What the figure shows, for those who cannot see it.

    Raises
    ------
    TypeError, ValueError
        An argument is not of this kind: a row that does not sum to one, a weight that is negative
        or on a later position, or other numbers of symbols.

    Examples
    --------
    >>> weights = torch.tensor([[1.0, 0.0], [0.25, 0.75]])
    >>> Attention(weights, ["start", "a", "b"], alt="Attention of two predictions.").row
    1
    """

    kind = "attention"

    def __init__(
        self,
        weights: Tensor | Mapping[str, Tensor],
        symbols: Sequence[str],
        start: Mapping[str, str] | None = None,
        *,
        row: int | None = None,
        hint: str = "",
        alt: str,
    ) -> None:
        super().__init__(alt, hint)
        by_name = weights if isinstance(weights, Mapping) else {"": weights}
        self.weights = {name: _checked_weights(each, name) for name, each in by_name.items()}
        sizes = {len(each) for each in self.weights.values()}
        if len(sizes) != 1:
            raise ValueError(
                f"weights: expected one size for all matrices, got {sorted(sizes) or 'none'}."
            )
        (self.size,) = sizes
        self.symbols = _checked_symbols(symbols, self.size)
        several = {"layer": list(self.weights)} if len(self.weights) > 1 else {}
        self.controls, self.start = checked_controls(several, start)
        self.row = self.size - 1 if row is None else row
        if not (isinstance(self.row, int) and 0 <= self.row < self.size):
            raise ValueError(f"row: expected one of 0 … {self.size - 1}, got {row!r}.")

    def _shift(self) -> int:
        """How many symbols after the last one it looks at a row predicts: 1, or 0 for itself."""
        return len(self.symbols) - self.size

    def _colours(self) -> list[str]:
        return [mpl.colors.to_hex(mpl.colormaps["cividis"](level / 20)) for level in range(21)]

    def _data(self) -> dict[str, Any]:
        rows = torch.arange(self.size)
        return {
            "symbols": self.symbols,
            "size": self.size,
            "shift": self._shift(),
            "row": self.row,
            "colours": self._colours(),
            "weights": [
                [[round(w, 3) for w in each[i, : i + 1].tolist()] for i in rows]
                for each in self.weights.values()
            ],
        }

    def _body(self) -> str:
        weights = self.weights[self.start.get("layer", next(iter(self.weights)))]
        colours = self._colours()
        cells = "".join(
            f'<rect x="{j}" y="{i}" width=".96" height=".96" '
            f'fill="{colours[math.floor(20 * round(weights[i, j].item(), 3) + 0.5)]}"/>'
            for i in range(self.size)
            for j in range(i + 1)
        )
        shift = self._shift()
        text = "".join(
            f"<span{' class=genlib-given' if i < shift else ''}>{escaped(symbol)}</span>"
            for i, symbol in enumerate(self.symbols)
        )
        n, room = self.size, self._room()
        return (
            f"{instructions(self.hint, _HOW_TO)}"
            f'<div role="application" tabindex="0" aria-label="{escaped(self.alt)}">'
            f'<div class="genlib-text">{text}</div><div class="genlib-matrix">'
            f'<svg viewBox="{-room} {-room} {n + room + 0.1} {n + room + 0.1}" '
            f'aria-hidden="true">{cells}'
            '<rect data-part="row" height=".96" fill="none" stroke="#D55E00" stroke-width=".16"/>'
            f"{self._labels()}</svg></div></div>"
            '<div class="genlib-legend">weight 0 <span class="genlib-scale" style="background: '
            f'linear-gradient(90deg, {", ".join(colours)})"></span> 1 '
            f"(rows: the symbol that {'is predicted' if shift else 'looks'}; "
            "columns: what it looks at)</div>" + bar(self.controls, self.start, "")
        )

    def _room(self) -> float:
        """For the labels of rows and columns, in cells."""
        return round(0.4 + _LETTER * max(len(label) for label in self._short()), 2)

    def _short(self) -> list[str]:
        """The symbols, cut to a few letters."""
        return [
            symbol if len(symbol) <= _LONGEST else symbol[: _LONGEST - 1] + "…"
            for symbol in self.symbols
        ]

    def _labels(self) -> str:
        """What each row is about, and each column; words above the columns stand upright."""
        short = self._short()
        upright = ' transform="rotate(-90 {x} -.3)"' if max(map(len, short)) > 2 else ""
        anchor = "start" if upright else "middle"
        rows = "".join(
            f'<text x="-.3" y="{i + 0.75}" text-anchor="end">{escaped(label)}</text>'
            for i, label in enumerate(short[self._shift() :])
        )
        columns = "".join(
            f'<text x="{(x := j + (0.75 if upright else 0.5))}" y="-.3" text-anchor="{anchor}"'
            f"{upright.format(x=x)}>{escaped(label)}</text>"
            for j, label in enumerate(short[: self.size])
        )
        return f'<g font-size=".8" font-family="monospace">{rows}{columns}</g>'


def _checked_weights(weights: object, name: str) -> Tensor:
    called = f"weights: {name!r}" if name else "weights"
    check_tensor(weights, called)
    weights = weights.detach().cpu()
    if weights.dim() != 2 or weights.shape[0] != weights.shape[1]:
        raise ValueError(f"{called}: expected shape (n, n), got {tuple(weights.shape)}.")
    if len(weights) > _MOST_PLACES:
        raise ValueError(f"{called}: expected at most {_MOST_PLACES} rows, got {len(weights)}.")
    for wrong, expected in (
        (weights < 0, "no negative weights"),
        (weights.triu(1) > _ROUNDING, "no weight on a later position"),
    ):
        if wrong.any():
            index = first_index(wrong)
            raise ValueError(f"{called}: expected {expected}, got {weights[index]:g} at {index}.")
    sums = weights.sum(1)
    if ((sums - 1).abs() > _ROUNDING).any():
        (row,) = first_index((sums - 1).abs() > _ROUNDING)
        raise ValueError(
            f"{called}: expected rows that sum to one, got {sums[row]:g} in row {row}."
        )
    return weights


def _checked_symbols(symbols: object, size: int) -> list[str]:
    words = isinstance(symbols, Sequence) and all(isinstance(each, str) for each in symbols)
    if not words:
        raise TypeError(f"symbols: expected a list of words, got {symbols!r}.")
    if len(symbols) not in (size, size + 1):
        raise ValueError(
            f"symbols: expected {size}, or {size + 1} with a start symbol, got {len(symbols)}."
        )
    return list(symbols)
