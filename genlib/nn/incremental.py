"""Incremental decoding: convolutional networks one place at a time, with a cache.

While an image is drawn, only one place changes: the features of all places before it are final. A
`Cache` keeps, for each convolution, the last rows of its input, as many as its window is high.
``convolution(x, cache)`` puts the features ``x`` of the current place there, gathers the window,
and multiplies it with the kernel: for all images at once, one matrix product a layer [1]. Layers
without a window (activations, gates, sums) need no such care. So a network is written once, and
computes whole images, or, given a cache, the place at which the cache stands.

References
----------
[1] Ramachandran et al. (2017), "Fast generation for convolutional autoregressive models", ICLR.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, TypeVar

from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from genlib.nn.masked_conv import WindowConv2d

T = TypeVar("T")


class Cache:
    """What the layers of a network keep of images that are drawn in reading order.

    Parameters
    ----------
    width : int
        Columns of the images.

    Attributes
    ----------
    row : int
    columns : slice
        The current place: a column of this row, or several.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self._states: dict[Hashable, object] = {}
        self.seek(0, slice(0, width))

    def seek(self, row: int, columns: slice) -> None:
        """Make these columns of this row the current place."""
        self.row, self.columns = row, columns

    def state(self, key: Hashable, initial: Callable[[], T]) -> T:
        """What a layer keeps under ``key``: at first what ``initial`` gives."""
        if key not in self._states:
            self._states[key] = initial()
        return self._states[key]

    def per_row(self, key: Hashable, compute: Callable[[Cache], T]) -> T:
        """What ``compute`` gives for the whole of the current row, computed once a row."""
        state = self.state((key, "row"), dict)
        if self.row not in state:
            state.clear()
            whole_row = copy.copy(self)  # of the same states
            whole_row.columns = slice(0, self.width)
            state[self.row] = compute(whole_row)
        return state[self.row]

    def halved(self) -> Cache:
        """The cache of images of half the size, at the place that covers this one."""
        half = self.state("halved", lambda: Cache(self.width // 2))
        half.seek(self.row // 2, slice(self.columns.start // 2, (self.columns.stop + 1) // 2))
        return half

    def convolve(self, layer: WindowConv2d, x: Tensor) -> Tensor:
        """Output of ``layer`` at the current place, (N, outputs, 1, columns).

        ``x`` are the features there, (N, inputs, 1, columns), but for a layer that reads the image
        itself, which has all that comes before the place, it is the image.
        """
        windows = self._image_windows(layer, x) if layer.reads_image else self._windows(layer, x)
        weight = self.state((layer, "weight"), lambda: layer.kernel().movedim(1, 3).flatten(1))
        out = F.linear(windows.flatten(2).flatten(0, 1), weight, layer.bias)
        return out.unflatten(0, windows.shape[:2]).transpose(1, 2).unsqueeze(2)

    def _windows(self, layer: WindowConv2d, x: Tensor) -> Tensor:
        """Windows around the current place, (N, columns, kernel rows, kernel columns, inputs)."""
        x = x.movedim(1, 3)
        if layer.kernel_size == (1, 1):
            return x.movedim(1, 2).unsqueeze(3)
        _, _, left, right = layer.window
        shape = len(x), layer.kernel_size[0], left + self.width + max(right, 0), x.shape[-1]
        rows = self.state(layer, lambda: _Rows(x.new_zeros(shape)))
        rows.write(x, self.row, left + self.columns.start)
        seen = rows.values[:, :, self.columns.start : self.columns.stop + left + right]
        return _unfolded(seen, layer)

    def _image_windows(self, layer: WindowConv2d, image: Tensor) -> Tensor:
        above, below, left, right = layer.window
        height, width = image.shape[2:]
        top, bottom = self.row - above, self.row + below + 1
        first, last = self.columns.start - left, self.columns.stop + right
        seen = image[:, :, max(top, 0) : max(bottom, 0), max(first, 0) : max(last, 0)]
        margins = (max(-first, 0), max(last - width, 0), max(-top, 0), max(bottom - height, 0))
        return _unfolded(F.pad(seen, margins).movedim(1, 3), layer)


class _Rows:
    """The last rows of a layer's input, (N, rows, columns, channels), between margins of zeros."""

    def __init__(self, values: Tensor) -> None:
        self.values, self.newest = values, 0

    def write(self, x: Tensor, row: int, start: int) -> None:
        """Put the features of a place into the newest row, a new one where the row is new."""
        if row != self.newest:
            self.values = F.pad(self.values[:, 1:], (0, 0, 0, 0, 0, 1))
            self.newest = row
        self.values[:, -1:, start : start + x.shape[2]] = x


def _unfolded(rows: Tensor, layer: WindowConv2d) -> Tensor:
    """Rows (N, kernel rows, columns, channels) as windows (N, places, …), a stride apart."""
    return rows.unfold(2, layer.kernel_size[1], layer.stride[1]).permute(0, 2, 1, 4, 3)
