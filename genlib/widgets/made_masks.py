"""MADE as a drawing of its units: point at one, and see the paths into it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genlib.models import MADE
from genlib.widgets.controls import bar
from genlib.widgets.page import Interactive, escaped, instructions

_MOST_UNITS = 80
_WIDTH, _GAP, _MARGIN = 480, 92, 26  # of the drawing, between layers, and around
_RADIUS = 13
_HOW_TO = "Point at a unit, or move with the arrow keys."


class MadeMasks(Interactive):
    """The masks of a `genlib.MADE`, drawn as a network with the degree of every unit: point at a
    unit, and see the paths that lead into it, the inputs it can see and those it cannot.

    Inputs are at the bottom and outputs at the top, in the order of the columns. An input and an
    output carry the place of their column in the order; a unit of a hidden layer its degree, the
    number of values that it may depend on. A model with several sets of masks is drawn with the
    first.

    Parameters
    ----------
    model : MADE
        With at most 80 units, inputs and outputs included.
    unit : (int, int), optional
        Layer and number of the unit to start from, counted from zero; the inputs are layer 0. By
        default the output in the middle of the order.
    hint : str
        What to look for.
    alt : str, optional
        What the figure shows, for those who cannot see it.

    Attributes
    ----------
    degrees : list of Tensor
        Of the inputs, of each hidden layer, and of the outputs.
    masks : list of Tensor of bool
        Between each layer and the next, (out, in).
    sees : list of Tensor of bool
        Which inputs each unit of a layer can see, (units, inputs).

    Raises
    ------
    TypeError, ValueError
        An argument is not of this kind.

    Examples
    --------
    >>> figure = MadeMasks(MADE(4, hidden=[6]))
    >>> figure.sees[-1].int().tolist()
    [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]]
    """

    kind = "made_masks"

    def __init__(
        self,
        model: MADE,
        unit: tuple[int, int] | None = None,
        *,
        hint: str = "Degrees never fall along a path, and rise strictly into an output. Which "
        "inputs can an output see, and which not?",
        alt: str = "A masked network: inputs at the bottom, hidden units, outputs at the top, each "
        "with its degree. Paths into the selected unit are marked, and the inputs that it sees.",
    ) -> None:
        super().__init__(alt, hint)
        if not isinstance(model, MADE):
            raise TypeError(f"model: expected a genlib.MADE, got {type(model).__name__}.")
        self.degrees, self.masks, self.direct = _masks_of(model)
        units = sum(map(len, self.degrees))
        if units > _MOST_UNITS:
            raise ValueError(f"model: expected at most {_MOST_UNITS} units, got {units}.")
        self.sees = [torch.eye(len(self.degrees[0])).bool()]
        for mask in self.masks:
            self.sees.append(mask.float() @ self.sees[-1].float() > 0)
        if self.direct is not None:
            self.sees[-1] = self.sees[-1] | self.direct
        middle = (self.degrees[-1] == (len(self.degrees[-1]) + 2) // 2).nonzero().item()
        self.unit = (len(self.degrees) - 1, middle) if unit is None else self._checked_unit(unit)

    def _checked_unit(self, unit: object) -> tuple[int, int]:
        pair = isinstance(unit, tuple) and len(unit) == 2 and all(isinstance(k, int) for k in unit)
        there = pair and 0 <= unit[0] < len(self.degrees)
        if not (there and 0 <= unit[1] < len(self.degrees[unit[0]])):
            sizes = [len(layer) for layer in self.degrees]
            raise ValueError(
                f"unit: expected a layer and a unit of layers of {sizes}, counted from zero, got "
                f"{unit!r}."
            )
        return unit

    def _data(self) -> dict[str, Any]:
        return {
            "degrees": [layer.tolist() for layer in self.degrees],
            "edges": [[[layer, out], below, into] for layer, out, below, into in self._edges()],
            "unit": list(self.unit),
        }

    def _edges(self) -> list[tuple[int, int, int, int]]:
        """(layer, unit) of the end of every connection, then those of its beginning."""
        last = len(self.degrees) - 1
        found = [
            (layer + 1, out, layer, into)
            for layer, mask in enumerate(self.masks)
            for out, into in mask.nonzero().tolist()
        ]
        if self.direct is not None:
            found += [(last, out, 0, into) for out, into in self.direct.nonzero().tolist()]
        return found

    def _place(self, layer: int, unit: int) -> tuple[float, float]:
        size, last = len(self.degrees[layer]), len(self.degrees) - 1
        return (
            round(_WIDTH * (unit + 0.5) / size, 1),
            _MARGIN + (last - layer) * _GAP,
        )

    def _body(self) -> str:
        height = 2 * _MARGIN + (len(self.degrees) - 1) * _GAP
        lines = []
        for layer, out, below, into in self._edges():
            (x, y), (u, v) = self._place(layer, out), self._place(below, into)
            bend = f"Q{(x + u) / 2 + 18} {(y + v) / 2} " if layer - below > 1 else "L"
            lines.append(f'<path d="M{u} {v}{bend}{x} {y}"/>')
        radius = min(_RADIUS, 0.45 * _WIDTH / max(map(len, self.degrees)))
        units = []
        for layer, degrees in enumerate(self.degrees):
            for unit, degree in enumerate(degrees.tolist()):
                x, y = self._place(layer, unit)
                units.append(
                    f'<g class="genlib-unit"><circle cx="{x}" cy="{y}" r="{radius:.1f}"/>'
                    f'<text x="{x}" y="{y + 0.38 * radius:.1f}">{degree}</text></g>'
                )
        return (
            f"{instructions(self.hint, _HOW_TO)}"
            f'<div role="application" tabindex="0" aria-label="{escaped(self.alt)}">'
            f'<svg viewBox="0 0 {_WIDTH} {height}" aria-hidden="true" '
            f'style="font-size: {1.1 * radius:.1f}px"><g class="genlib-edges">{"".join(lines)}</g>'
            f"{''.join(units)}</svg></div>"
            '<div class="genlib-legend">outputs at the top, inputs at the bottom'
            '<span><span class="genlib-swatch" style="background: #56B4E9"></span>seen</span>'
            '<span><span class="genlib-swatch" style="background: #E69F00; border-style: dashed">'
            "</span>not seen</span>"
            '<span><span class="genlib-swatch" style="background: #fff"></span>on no path</span>'
            "</div>" + bar({}, {}, "")
        )


def _masks_of(model: MADE) -> tuple[list[Tensor], list[Tensor], Tensor | None]:
    """Degrees and masks of the first set, layer by layer, and the direct mask if there is one."""
    with torch.no_grad():
        model.conditionals(torch.zeros(1, len(model.order)))  # under the first set of masks
    hidden = [getattr(model, f"degrees_{k}")[0] for k in range(1, len(model.layers) + 1)]
    inputs = model.degrees_0[0]
    layers = [*model.layers, *([model.output] if model.output is not None else [])]
    masks = [layer.mask.bool() for layer in layers]
    direct = None if model.direct is None else model.direct.mask.bool()
    if not masks:  # an FVSBN: inputs are connected to outputs alone
        masks, direct = [direct], None
    return [inputs, *hidden, inputs], masks, direct
