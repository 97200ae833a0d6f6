"""Convolutions that see the pixels before the current one.

Every convolution of the pixel models is a *window*: its output at (r, c) is a sum over the inputs
at rows r − above … r + below and columns c − left … c + right, with ``below`` ≤ 0, so that nothing
below the current row is read. A mask takes out what in the current row comes too late [1]::

    type A   pixels before the current one, and at it the colours before the output's own
    type B   these, and the output's own colour

Type A belongs in the first layer, which sees the image; after it a feature may look at itself. In
hidden layers the channels are cut into as many equal groups as there are colours, first red, then
green, then blue; group g sees what may be known when colour g is predicted.

Given a cache, a layer computes the current place alone; see `genlib.nn.incremental`.

References
----------
[1] van den Oord, Kalchbrenner and Kavukcuoglu (2016), "Pixel recurrent neural networks", ICML.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.core.validation import check_choice, check_count
from genlib.nn.incremental import Cache


class Window(NamedTuple):
    """How far a convolution looks, in rows and columns from its own place; −1 leaves that out."""

    above: int
    below: int
    left: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the kernel."""
        return self.above + self.below + 1, self.left + self.right + 1


class WindowConv2d(nn.Conv2d):
    """A convolution over a window, whose output has the size of its input.

    What lies outside the image counts as zero.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    window : Window
    mask : Tensor of bool, shape (outputs, inputs, rows, columns), optional
        False where a weight is held at zero.
    stride : int
        Keep every so many rows and columns, the first ones included.
    reads_image : bool
        Whether the input is the image itself, which a cache need not remember.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        window: Window,
        mask: Tensor | None = None,
        *,
        stride: int = 1,
        reads_image: bool = False,
    ) -> None:
        super().__init__(inputs, outputs, window.size, stride=stride)
        self.window, self.reads_image = window, reads_image
        if mask is not None and mask.all():
            mask = None  # which costs nothing
        self.register_buffer("mask", mask, persistent=False)

    def kernel(self) -> Tensor:
        """The weights, with zeros where they are masked."""
        return self.weight if self.mask is None else self.weight.where(self.mask, 0)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """Convolve whole images (N, inputs, H, W), or, given a ``cache``, at its place alone."""
        if cache is not None:
            return cache.convolve(self, x)
        above, below, left, right = self.window
        if any(self.window):  # to pad by nothing would be a copy
            x = F.pad(x, (left, right, above, below))  # a negative margin crops
        return F.conv2d(x, self.kernel(), self.bias, self.stride)


class PointConv2d(WindowConv2d):
    """A 1 × 1 convolution without a mask."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, Window(0, 0, 0, 0))


class MaskedConv2d(WindowConv2d):
    """A square kernel under mask A or B: all rows above the current one, and what precedes in it.

    The rows below would all be masked; they are not stored. A network of such layers has a *blind
    spot*: in the rows above, what lies to the right below a line that rises from the current pixel,
    one row for every ``size // 2`` columns, is never seen, however many layers there are.

    Parameters
    ----------
    inputs, outputs : int
        Channels; multiples of ``colours``.
    size : int
        Rows and columns of the full kernel, odd.
    kind : {"A", "B"}
    colours : int
        Number of groups of channels.

    Raises
    ------
    TypeError, ValueError
        ``size`` is no odd number, ``kind`` neither A nor B, or the colours do not divide the
        channels.
    """

    def __init__(self, inputs: int, outputs: int, size: int, kind: str, colours: int = 1) -> None:
        reach = half_width(size)
        mask = torch.ones(outputs, inputs, reach + 1, size, dtype=torch.bool)
        mask[:, :, -1, reach] = colour_mask(inputs, outputs, kind, colours)
        mask[:, :, -1, reach + 1 :] = False
        window = Window(reach, 0, reach, reach)
        super().__init__(inputs, outputs, window, mask, reads_image=kind == "A")


class HorizontalConv2d(WindowConv2d):
    """One row of weights, over the current pixel and those to its left, under mask A or B.

    Parameters and errors are those of `MaskedConv2d`; the kernel has ``size // 2 + 1`` columns.
    """

    def __init__(self, inputs: int, outputs: int, size: int, kind: str, colours: int = 1) -> None:
        reach = half_width(size)
        mask = torch.ones(outputs, inputs, 1, reach + 1, dtype=torch.bool)
        mask[:, :, 0, -1] = colour_mask(inputs, outputs, kind, colours)
        window = Window(0, 0, reach, 0)
        super().__init__(inputs, outputs, window, mask, reads_image=kind == "A")


class VerticalConv2d(WindowConv2d):
    """All columns, to both sides, of the rows above and of the current one; no mask is needed.

    With ``first=True``, as in the layer that sees the image, the current row is left out.

    Raises
    ------
    TypeError, ValueError
        ``size`` is no odd number.
    """

    def __init__(self, inputs: int, outputs: int, size: int, *, first: bool = False) -> None:
        reach = half_width(size)
        window = Window(reach, -1 if first else 0, reach, reach)
        super().__init__(inputs, outputs, window, reads_image=first)


def half_width(size: int, name: str = "kernel size") -> int:
    """How far a square kernel reaches to each side; raises unless it has a centre."""
    check_count(size, name, maximum=999)
    if size % 2 == 0:
        raise ValueError(
            f"{name}: expected an odd number, so that one pixel is the centre, got {size}."
        )
    return size // 2


def check_kernel_sizes(**sizes: int) -> None:
    """Raise unless all sizes, by the names of the arguments that give them, are odd."""
    for name, size in sizes.items():
        half_width(size, name)


def colour_mask(inputs: int, outputs: int, kind: str, colours: int = 1) -> Tensor:
    """Which input channels each output channel may see at its own place, (outputs, inputs)."""
    check_choice(kind, ("A", "B"), "kind")
    check_count(colours, "colours")
    for name, channels in {"inputs": inputs, "outputs": outputs}.items():
        check_count(channels, name)
        if channels % colours:
            raise ValueError(
                f"{name}: expected a multiple of {colours}, equally many channels for each "
                f"colour, got {channels}."
            )
    source = torch.arange(inputs) * colours // inputs
    target = (torch.arange(outputs) * colours // outputs)[:, None]
    return source < target if kind == "A" else source <= target
