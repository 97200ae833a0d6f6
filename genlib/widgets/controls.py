"""Sliders and menus: the browser's own, so that mouse, touch and keys work them."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from genlib.widgets.page import escaped, minus

_MOST_POSITIONS = 10_000

Controls = Mapping[str, Sequence[Any]]


def checked_controls(
    controls: object, start: object
) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """The values of every control, and those to start from: by default the first of each.

    Raises
    ------
    TypeError, ValueError
        There are no values for a control, or others than words and finite numbers; too many
        positions in all; or ``start`` names others.
    """
    if not isinstance(controls, Mapping):
        raise TypeError(f"controls: expected lists of values by name, got {controls!r}.")
    for name, values in controls.items():
        if not isinstance(values, Sequence) or isinstance(values, str):
            raise TypeError(f"controls: expected a list of values for {name!r}, got {values!r}.")
        if not len(values):
            raise ValueError(f"controls: expected at least one value for {name!r}, got none.")
        for value in values:
            _check_value(value, name)
    positions = math.prod(len(values) for values in controls.values())
    if positions > _MOST_POSITIONS:
        raise ValueError(
            f"controls: expected at most {_MOST_POSITIONS} positions in all, got {positions}; "
            "thin the values out."
        )
    known = {name: list(values) for name, values in controls.items()}
    if not isinstance(start, Mapping | None):
        raise TypeError(f"start: expected values by the name of a control, got {start!r}.")
    chosen = {name: values[0] for name, values in known.items()} | dict(start or {})
    for name, value in chosen.items():
        if value not in known.get(name, []):
            raise ValueError(
                f"start: expected {name!r} to be one of {known.get(name)}, got {value!r}."
            )
    return known, chosen


def _check_value(value: object, name: str) -> None:
    """Raise unless a control can have this value: a slider's number travels as JSON."""
    if not isinstance(value, str | int | float):
        raise TypeError(
            f"controls: expected words, or numbers of Python's own, for {name!r}, got {value!r} of "
            f"{type(value).__name__}; .tolist() of an array or a tensor gives such numbers."
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"controls: expected finite numbers for {name!r}, got {value!r}.")


def positions(controls: Controls) -> list[dict[str, Any]]:
    """Every position of the controls, in the order in which the scripts count them."""
    return [
        dict(zip(controls, values, strict=True)) for values in itertools.product(*controls.values())
    ]


def bar(
    controls: Controls,
    start: Mapping[str, Any],
    caption: str,
    labels: Mapping[str, str] | None = None,
) -> str:
    """All controls and what is said of the position, as HTML. A control is labelled with its name,
    where ``labels`` has no other words for it.
    """
    parts = "".join(
        _control(name, list(values), start[name], (labels or {}).get(name, name))
        for name, values in controls.items()
    )
    status = f'<span role="status">{escaped(minus(caption))}</span>'
    return f'<div class="genlib-controls">{parts}{status}</div>'


def buttons(actions: Mapping[str, str]) -> str:
    """A row of buttons, by the name of their action in the script, as HTML."""
    each = "".join(
        f'<button type="button" data-action="{escaped(name)}">{escaped(words)}</button>'
        for name, words in actions.items()
    )
    return f'<div class="genlib-controls">{each}</div>'


def _control(name: str, values: list[Any], start: Any, label: str) -> str:
    at = values.index(start)
    if is_scale(values):
        inner = (
            f'<input type="range" data-control="{escaped(name)}" min="0" max="{len(values) - 1}" '
            f'value="{at}" data-values="{escaped(json.dumps(values))}" '
            f'aria-valuetext="{minus(start)}"> <output>{minus(start)}</output>'
        )
    else:
        options = "".join(
            f'<option value="{i}"{" selected" * (i == at)}>{escaped(value)}</option>'
            for i, value in enumerate(values)
        )
        inner = f'<select data-control="{escaped(name)}">{options}</select>'
    return f"<label>{escaped(label)} {inner}</label>"


def is_scale(values: Sequence[Any]) -> bool:
    """Whether values are numbers, which make a slider; others make a menu."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
