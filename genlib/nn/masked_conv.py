"""Convolutions that see the pixels before the current one, over an image or a place at a time.

Every convolution of the pixel models is a *window*: its output at (r, c) is a sum over the inputs
at rows r − above … r + below and columns c − left … c + right, with ``below`` ≤ 0, so that nothing
below the current row is read. A mask takes out what in the current row comes too late [1]::

    type A   pixels before the current one, and at it the colours before the output's own
    type B   these, and the output's own colour

Type A belongs in the first layer, which sees the image; after it a feature may look at itself. In
hidden layers the channels are cut into as many equal groups as there are colours, first red, then
green, then blue; group g sees what may be known when colour g is predicted.

**One place at a time.** While an image is drawn, only one place changes: the features of all places
before it are final. A `Stream` keeps, for each convolution, the last rows of its input, as many as
the window is high. ``convolution(x, stream)`` puts the features ``x`` of the current place there,
gathers the window, and multiplies it with the kernel: for all images at once, one matrix product a
layer [2]. Layers without a window (activations, gates, sums) need no such care. So a network is
written once, and runs over whole images and over a stream.

References
----------
[1] van den Oord, Kalchbrenner and Kavukcuoglu (2016), "Pixel recurrent neural networks", ICML.
[2] Ramachandran et al. (2017), "Fast generation for convolutional autoregressive models", ICLR.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.core.validation import check_count

Kept = TypeVar("Kept")


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
        Keep every so many rows and columns, the first ones included. A stream computes them all.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        window: Window,
        mask: Tensor | None = None,
        stride: int = 1,
    ) -> None:
        super().__init__(inputs, outputs, window.size, stride=stride)
        self.window = window
        self.register_buffer("mask", mask, persistent=False)

    def kernel(self) -> Tensor:
        """The weights, with zeros where they are masked."""
        return self.weight if self.mask is None else self.weight.where(self.mask, 0)

    def forward(self, x: Tensor, stream: Stream | None = None) -> Tensor:
        """Convolve images (N, inputs, H, W), or, with a ``stream``, the features of its place."""
        if stream is not None:
            return stream.convolve(self, x)
        above, below, left, right = self.window
        padded = F.pad(x, (left, right, above, below))  # a negative margin crops
        return F.conv2d(padded, self.kernel(), self.bias, self.stride)

    def look(self, image: Tensor, stream: Stream | None = None) -> Tensor:
        """Convolve a whole image, but, with a ``stream``, only at its place.

        For the first layers of a network: they see the image, which is there already.
        """
        if stream is None:
            return self(image)
        above, below, left, right = self.window
        height, width = image.shape[2:]
        top, bottom = stream.row - above, stream.row + below + 1
        first, last = stream.columns.start - left, stream.columns.stop + right
        seen = image[:, :, max(top, 0) : max(bottom, 0), max(first, 0) : max(last, 0)]
        margins = (max(-first, 0), max(last - width, 0), max(-top, 0), max(bottom - height, 0))
        rows, columns = self.window.size
        patches = F.pad(seen, margins).view(len(image), -1, rows, last - first)
        patches = patches.unfold(3, columns, 1).permute(0, 3, 2, 4, 1)
        return stream.multiply(self, patches)


class PointConv2d(WindowConv2d):
    """A 1 × 1 convolution without a mask."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, Window(0, 0, 0, 0))


class MaskedConv2d(WindowConv2d):
    """A square kernel under mask A or B: all rows above the current one, and what precedes in it.

    The rows below would all be masked; they are not stored. A network of such layers has a *blind
    spot*: what lies to the right of the current pixel, above a line that rises from it, is never
    seen, however many layers there are.

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
        super().__init__(inputs, outputs, Window(reach, 0, reach, reach), mask)


class HorizontalConv2d(WindowConv2d):
    """One row of weights, over the current pixel and those to its left, under mask A or B.

    Parameters and errors are those of `MaskedConv2d`; the kernel has ``size // 2 + 1`` columns.
    """

    def __init__(self, inputs: int, outputs: int, size: int, kind: str, colours: int = 1) -> None:
        reach = half_width(size)
        mask = torch.ones(outputs, inputs, 1, reach + 1, dtype=torch.bool)
        mask[:, :, 0, -1] = colour_mask(inputs, outputs, kind, colours)
        super().__init__(inputs, outputs, Window(0, 0, reach, 0), mask)


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
        super().__init__(inputs, outputs, Window(reach, -1 if first else 0, reach, reach))


def half_width(size: int) -> int:
    """How far a square kernel reaches to each side; raises unless it has a centre."""
    check_count(size, "kernel size")
    if size % 2 == 0:
        raise ValueError(
            f"kernel size: expected an odd number, so that one pixel is the centre, got {size}."
        )
    return size // 2


def colour_mask(inputs: int, outputs: int, kind: str, colours: int = 1) -> Tensor:
    """Which input channels each output channel may see at its own place, (outputs, inputs)."""
    if kind not in ("A", "B"):
        raise ValueError(f'kind: expected "A" or "B", got {kind!r}.')
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


class Stream:
    """What the convolutions of a network remember of images that are drawn place by place.

    Places are visited in reading order: a pixel at a time, or, with `whole_row`, a row.

    Parameters
    ----------
    width : int
        Columns of the images.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._memories: dict[object, object] = {}
        self.move(0, slice(0, width))

    def move(self, row: int, columns: slice) -> None:
        """Go to another place: these columns of this row."""
        self.row, self.columns = row, columns

    def at(self, row: int, columns: slice) -> Stream:
        """The same memory, looked at from another place."""
        other = Stream(self.width)
        other._memories = self._memories
        other.move(row, columns)
        return other

    def whole_row(self) -> Stream:
        """The same memory, looked at from the whole of the current row."""
        return self.at(self.row, slice(0, self.width))

    def keep(self, owner: object, make: Callable[[], Kept]) -> Kept:
        """What ``make`` gave when ``owner`` first asked."""
        if owner not in self._memories:
            self._memories[owner] = make()
        return self._memories[owner]

    def halved(self) -> Stream:
        """The place that contains this one in images of half the size, with a memory of its own."""
        other = self.keep("halved", lambda: Stream(self.width // 2))
        start, stop = self.columns.start // 2, (self.columns.stop + 1) // 2
        return other.at(self.row // 2, slice(start, stop))

    def once_a_row(self, owner: object, make: Callable[[Stream], Kept]) -> Kept:
        """What ``make`` gives for the whole of the current row, computed when first asked for."""
        kept = self.keep((owner, "row"), dict)
        if self.row not in kept:
            kept.clear()
            kept[self.row] = make(self.whole_row())
        return kept[self.row]

    def convolve(self, layer: WindowConv2d, x: Tensor) -> Tensor:
        """Output of ``layer`` at the current place, whose input is ``x``, (N, C, 1, columns)."""
        x = x.permute(0, 2, 3, 1)
        if layer.window == (0, 0, 0, 0):
            return self.multiply(layer, x[:, 0, :, None, None])
        rows = self.keep(layer, lambda: _Rows(x, layer.window, self.width))
        rows.write(x, self.row, self.columns)
        return self.multiply(layer, rows.patches(self.columns))

    def multiply(self, layer: WindowConv2d, patches: Tensor) -> Tensor:
        """Multiply patches (N, columns, kernel rows, kernel columns, C) with the kernel."""
        weight = self.keep(
            (layer, "weight"),
            lambda: layer.kernel().permute(2, 3, 1, 0).reshape(-1, layer.out_channels),
        )
        n, columns = patches.shape[:2]
        out = torch.addmm(layer.bias, patches.reshape(n * columns, -1), weight)
        return out.view(n, columns, -1).transpose(1, 2).unsqueeze(2)


class _Rows:
    """The last rows that a convolution has read, (N, rows, columns, C), with margins of zeros."""

    def __init__(self, like: Tensor, window: Window, width: int) -> None:
        self.left, self.span = window.left, window.size[1]
        columns = window.left + width + window.right
        self.values = like.new_zeros(len(like), window.size[0], columns, like.shape[-1])
        self.row = 0

    def write(self, x: Tensor, row: int, columns: slice) -> None:
        """Put the features of a place into the newest row, a new one where the row is new."""
        if row != self.row:
            self.values = F.pad(self.values[:, 1:], (0, 0, 0, 0, 0, 1))
            self.row = row
        self.values[:, -1:, self.left + columns.start : self.left + columns.stop] = x

    def patches(self, columns: slice) -> Tensor:
        """The windows around some columns, (N, columns, kernel rows, kernel columns, C)."""
        seen = self.values[:, :, columns.start : columns.stop + self.span - 1]
        return seen.unfold(2, self.span, 1).permute(0, 2, 1, 4, 3)
