"""A decoder in the page: move its code, and see the image that it makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from genlib.core.validation import check_count, check_positive, check_tensor
from genlib.widgets.controls import bar
from genlib.widgets.network import exported
from genlib.widgets.page import Interactive, escaped, instructions

_MOST_LATENTS = 8
_STEPS = 80  # of a slider, from end to end
_PLANE = 200  # side, in the drawing's own units
_HOW_TO = "Move the sliders: the image is redrawn each time."
_HOW_TO_PLANE = "Drag the point in the plane, or move the sliders: the image is redrawn each time."


class Decoder(Interactive):
    """Sliders, or a point in a plane, for the latent code of an image; the network runs in the
    page.

    Parameters
    ----------
    net : nn.Sequential
        From rows of ``latents`` numbers to images (C, H, W), C being 1 or 3. Layers and size are
        those that `genlib.widgets.network.exported` takes.
    latents : int
        Dimensions of the code, up to 8; with 2 there is a plane to drag the code in.
    extent : float
        Sliders run from −extent to extent, in 80 steps.
    start : sequence of float, optional
        The code at the start, drawn at the nearest steps; by default zero.
    values : (float, float)
        What is drawn black and white; numbers outside are drawn as these.
    hint : str
        What to look for, said above the figure.
    alt : str
        What there is to see, for those who cannot.

    Raises
    ------
    TypeError, ValueError
        A network that the page cannot run, an output that is no image, a start outside the sliders.

    Examples
    --------
    >>> net = nn.Sequential(nn.Linear(2, 64), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8)))
    >>> figure = Decoder(net, 2, alt="An image of 8 by 8 pixels that a decoder makes of a code.")
    """

    kind = "decoder"
    shared = ("network.js",)

    def __init__(
        self,
        net: nn.Sequential,
        latents: int,
        *,
        extent: float = 2.0,
        start: Sequence[float] | None = None,
        values: tuple[float, float] = (0.0, 1.0),
        hint: str = "",
        alt: str,
    ) -> None:
        super().__init__(alt, hint)
        check_count(latents, "latents", maximum=_MOST_LATENTS)
        check_positive(extent, "extent")
        self.layers = exported(net, (latents,))
        self.values = checked_values(values)
        check_image(self.layers[-1]["shape"], "net")
        middle = _STEPS // 2
        steps = [extent * (step / middle - 1) for step in range(_STEPS + 1)]
        self.positions = [float(f"{step:.6g}") for step in steps]
        code = torch.zeros(latents) if start is None else torch.as_tensor(start).float()
        if code.shape != (latents,) or not (code.abs() <= extent).all():
            raise ValueError(
                f"start: expected {latents} numbers from {-extent:g} to {extent:g}, got {start!r}."
            )
        self.start = [min(self.positions, key=lambda at, z=z: abs(at - z)) for z in code.tolist()]

    def _data(self) -> dict[str, Any]:
        return {"layers": self.layers, "values": self.values, "positions": self.positions}

    def _body(self) -> str:
        flat = len(self.start) == 2
        names = [f"z{i + 1}" for i in range(len(self.start))]
        plane = (
            f'<svg viewBox="0 0 {_PLANE} {_PLANE}" aria-hidden="true">'
            f'<path d="M0 0h{_PLANE}v{_PLANE}h-{_PLANE}zM0 {_PLANE // 2}h{_PLANE}'
            f'M{_PLANE // 2} 0v{_PLANE}" fill="#8881" stroke="currentColor"/>'
            '<circle r="9" fill="#D55E00"/></svg>'
        )
        return (
            instructions(self.hint, _HOW_TO_PLANE if flat else _HOW_TO)
            + f'<div class="genlib-pair">{plane if flat else ""}'
            f'<canvas role="img" aria-label="{escaped(self.alt)}"></canvas></div>'
            + bar(
                dict.fromkeys(names, self.positions), dict(zip(names, self.start, strict=True)), ""
            )
        )


def check_image(shape: Sequence[int], name: str) -> None:
    """Raise unless ``shape`` is that of an image."""
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ValueError(
            f"{name}: expected to put out images (C, H, W), C being 1 or 3, got {tuple(shape)}; "
            "end it with nn.Unflatten(1, (1, H, W))."
        )


def checked_values(values: object) -> list[float]:
    """Two numbers that rise, for black and white."""
    found = torch.as_tensor(values, dtype=torch.float64)
    if found.shape != (2,) or not found[0] < found[1]:
        raise ValueError(f"values: expected two numbers that rise, got {values!r}.")
    check_tensor(found, "values")
    return found.tolist()
