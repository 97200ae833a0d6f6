"""A square to draw in, for a network in the page that classifies the drawing or makes another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from genlib.core.validation import check_count, check_positive, check_tensor
from genlib.widgets.decoder import check_image
from genlib.widgets.network import exported
from genlib.widgets.page import Interactive, check_words, escaped, instructions

_LARGEST_SIDE = 64
_PARTS = 4  # a pixel's ink is the mean over 4 × 4 parts of it
_ROW, _LABEL, _BAR = 24, 70, 150  # in the drawing's own units
_HOW_TO = (
    "Draw with the mouse or a finger. By keys: arrows move the marked pixel, space paints it, and "
    "Shift with an arrow paints on the way."
)


class Sketchpad(Interactive):
    """Draw an image, and see what a network makes of it: probabilities of classes as bars, or
    another image.

    The drawing has ``side`` × ``side`` pixels from 0, no ink, to 1. A pixel's value is the share of
    it that the pen has covered, so that edges are grey as in a scan made smaller.

    Parameters
    ----------
    net : nn.Sequential
        From images (N, 1, side, side) to probabilities (N, classes), by a Softmax or Sigmoid at its
        end, or to images. Layers and size are those that `genlib.widgets.network.exported` takes.
    side : int
        Rows and columns, up to 64.
    labels : sequence of str, optional
        Names of the classes, if it puts out probabilities.
    start : Tensor, shape (side, side), optional
        The drawing at the start, from 0 to 1; by default empty.
    pen : float, optional
        Width of the pen in pixels; by default a tenth of ``side``, and at least one.
    hint : str
        What to look for, said above the figure.
    alt : str
        What there is to see, for those who cannot.

    Raises
    ------
    TypeError, ValueError
        A network that the page cannot run, an output that is neither an image nor probabilities
        with a label each, or a start of another shape or outside [0, 1].

    Examples
    --------
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2), nn.Softmax(1))
    >>> figure = Sketchpad(net, 8, labels=["zero", "one"], alt="A square to draw a digit in.")
    """

    kind = "sketchpad"
    shared = ("network.js",)

    def __init__(
        self,
        net: nn.Sequential,
        side: int,
        *,
        labels: Sequence[str] | None = None,
        start: Tensor | None = None,
        pen: float | None = None,
        hint: str = "",
        alt: str,
    ) -> None:
        super().__init__(alt, hint)
        check_count(side, "side", maximum=_LARGEST_SIDE)
        self.side, self.pen = side, max(1.0, side / 10) if pen is None else pen
        check_positive(self.pen, "pen")
        self.layers = exported(net, (1, side, side))
        self.labels = None if labels is None else self._checked_labels(labels)
        if self.labels is None:
            check_image(self.layers[-1]["shape"], "net")
        self.drawing = self._checked_start(torch.zeros(side, side) if start is None else start)

    def _data(self) -> dict[str, Any]:
        return {
            "layers": self.layers,
            "side": self.side,
            "parts": _PARTS,
            "pen": self.pen,
            "labels": self.labels,
            "start": [round(value, 4) for value in self.drawing.flatten().tolist()],
        }

    def _body(self) -> str:
        return (
            instructions(self.hint, _HOW_TO)
            + '<div class="genlib-pair"><canvas role="application" tabindex="0" '
            f'aria-label="{escaped(self.alt)}"></canvas>{self._output()}</div>'
            '<div class="genlib-controls"><button type="button">Clear</button>'
            '<span role="status"></span></div>'
        )

    def _output(self) -> str:
        """Where the network's answer is drawn; the status says it to those who cannot see."""
        if self.labels is None:
            return '<canvas aria-hidden="true"></canvas>'
        rows = "".join(
            f'<text x="{_LABEL - 8}" y="{_ROW * i + 18}" text-anchor="end">{escaped(label)}</text>'
            f'<rect x="{_LABEL}" y="{_ROW * i + 4}" width="0" height="{_ROW - 8}" fill="#2B8CCE"/>'
            for i, label in enumerate(self.labels)
        )
        width, height = _LABEL + _BAR, _ROW * len(self.labels)
        return (
            f'<svg viewBox="0 0 {width} {height}" aria-hidden="true" style="font-size:16px">'
            f'<path d="M{_LABEL} 0v{height}M{width} 0v{height}" stroke="currentColor"/>{rows}</svg>'
        )

    def _checked_labels(self, labels: object) -> list[str]:
        shape = self.layers[-1]["shape"]
        if isinstance(labels, str) or not isinstance(labels, Sequence):
            raise TypeError(f"labels: expected a sequence of names, got {labels!r}.")
        if shape != [len(labels)]:
            raise ValueError(
                f"labels: expected a name for each output of the network, which has the shape "
                f"{tuple(shape)}, got {len(labels)}."
            )
        if self.layers[-1]["kind"] not in ("softmax", "sigmoid"):
            raise ValueError("net: expected probabilities; end it with nn.Softmax(1).")
        return [check_words(label, "labels") for label in labels]

    def _checked_start(self, start: Tensor) -> Tensor:
        check_tensor(start, "start")
        if start.shape != (self.side, self.side) or start.min() < 0 or start.max() > 1:
            raise ValueError(
                f"start: expected shape {(self.side, self.side)} and values from 0 to 1, got shape "
                f"{tuple(start.shape)} and values from {start.min():g} to {start.max():g}."
            )
        return start.detach().cpu()
