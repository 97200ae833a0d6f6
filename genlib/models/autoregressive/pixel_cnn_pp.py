"""PixelCNN++: fewer outputs, coarser scales and skip connections.

Source: Salimans, Karpathy, Chen and Kingma (2017), "PixelCNN++: improving the PixelCNN with
discretized logistic mixture likelihood and other modifications".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.core.shapes import check_halvings
from genlib.core.validation import check_count, check_flag
from genlib.models.autoregressive.base import MOST_PARTS
from genlib.models.autoregressive.pixels import (
    PixelModel,
    pixel_head,
)
from genlib.nn.incremental import Cache
from genlib.nn.masked_conv import PointConv2d, Window, WindowConv2d


class PixelCNNPP(PixelModel):
    """PixelCNN++: p(x) = Π p(pixel | pixels before it), each pixel a mixture of logistics.

    A log mass over images, (C, H, W), exact. As in the gated PixelCNN one stack sees the rows above
    and one the current row as well. What is new [1]:

    - The levels of a pixel share K logistics instead of having a logit each; its colours depend on
      one another within the mixture, so that no mask need divide the channels.
    - Convolutions with a stride halve the image, and pixels at coarse scales reach far at low cost.
    - Short-cuts hand the features on the way down to the layers of their size on the way up.

    Parameters
    ----------
    shape : (int, int, int)
        Colours, rows and columns of an image; rows and columns multiples of 2^(scales − 1).
    channels : int
        Channels of each stack.
    layers : int
        Residual blocks at each scale, on the way down and again on the way up.
    levels : int
        Values a pixel can take, k / (levels − 1).
    components : int or None
        K; ``None`` gives each level a logit of its own, for comparison, in grey images only.
    scales : int
        Number of image sizes, the full one included.
    shortcuts : bool
        Whether there are skip connections.

    Raises
    ------
    TypeError, ValueError
        A number is not what it must be, or the image cannot be halved so often.

    Notes
    -----
    ``conditionals`` gives the log weight, mean and log scale of each logistic, (N, C, H, W,
    components, 3). ``encode`` gives the features of the last hidden layer, averaged over the image,
    (N, channels).

    References
    ----------
    [1] Salimans, Karpathy, Chen and Kingma (2017), "PixelCNN++", ICLR.

    Examples
    --------
    >>> model = PixelCNNPP(shape=(3, 8, 8), channels=8, layers=1)
    >>> model.sample(2).shape
    torch.Size([2, 3, 8, 8])
    """

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
        channels: int = 32,
        layers: int = 2,
        levels: int = 256,
        *,
        components: int | None = 5,
        scales: int = 2,
        shortcuts: bool = True,
    ) -> None:
        super().__init__(shape, pixel_head(levels, components))
        check_count(channels, "channels")
        check_count(layers, "layers", maximum=MOST_PARTS)
        check_count(scales, "scales", maximum=MOST_PARTS)
        check_flag(shortcuts, "shortcuts")
        check_halvings(self.event_shape, scales - 1)
        colours = self.event_shape[0]
        if colours > 1 and not self.head.joint:
            raise ValueError(
                "components: without a mixture nothing orders the colours of a pixel; expected a "
                "number of components, or shape=(1, H, W)."
            )
        outputs = self.head.channels(colours)
        self.network = _Network(colours, channels, layers, scales, outputs, shortcuts)


class _Features(NamedTuple):
    """What a tower has at each of its blocks, scale within scale."""

    down: list[Tensor]
    coarse: _Features | None
    up: list[Tensor]

    def at(self, columns: slice) -> _Features:
        """Those at some columns alone."""
        half = slice(columns.start // 2, (columns.stop + 1) // 2)
        return _Features(
            [part[..., columns] for part in self.down],
            None if self.coarse is None else self.coarse.at(half),
            [part[..., columns] for part in self.up],
        )


class _Network(nn.Module):
    """Two towers over scales: one of the rows above, one of the current row to the left as well."""

    def __init__(
        self, colours: int, channels: int, layers: int, scales: int, outputs: int, shortcuts: bool
    ) -> None:
        super().__init__()
        image = {"reads_image": True}
        self.above = WindowConv2d(colours, channels, Window(2, -1, 1, 1), **image)
        self.row_above = WindowConv2d(colours, channels, Window(1, -1, 1, 1), **image)
        self.left = WindowConv2d(colours, channels, Window(1, 0, 1, -1), **image)
        sizes = channels, layers, scales
        self.vertical = _Tower(*sizes, Window(1, 0, 1, 1), guided=False, shortcuts=shortcuts)
        self.horizontal = _Tower(*sizes, Window(1, 0, 1, 0), guided=True, shortcuts=shortcuts)
        self.last = PointConv2d(channels, outputs)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """Input of the head, of images scaled to [−1, 1], or at the place of a cache."""
        return self.last(self.features(x, cache), cache)

    def features(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """The last hidden layer."""
        if cache is None:
            guide = self._rows_above(x, None)
        else:  # the rows above are complete when a row begins
            rows = cache.per_row(self, lambda row: self._rows_above(x, row))
            guide = rows.at(cache.columns)
        h = self.row_above(x, cache) + self.left(x, cache)
        return F.elu(self.horizontal(h, guide, cache).up[-1])

    def _rows_above(self, x: Tensor, cache: Cache | None) -> _Features:
        return self.vertical(self.above(x, cache), None, cache)


class _Tower(nn.Module):
    """Blocks on the way down, the coarser scales, and blocks on the way up.

    A pixel at a coarse scale has seen what comes before the first of the four pixels that it
    covers, so that all four may use it.
    """

    def __init__(
        self,
        channels: int,
        layers: int,
        scales: int,
        window: Window,
        *,
        guided: bool,
        shortcuts: bool,
    ) -> None:
        super().__init__()
        self.guided, self.shortcuts = guided, shortcuts
        on_the_way_down = channels * guided
        on_the_way_up = channels * (guided + shortcuts)
        self.down = nn.ModuleList(
            _Residual(channels, window, on_the_way_down) for _ in range(layers)
        )
        self.up = nn.ModuleList(_Residual(channels, window, on_the_way_up) for _ in range(layers))
        self.coarse = None
        if scales > 1:
            self.shrink = WindowConv2d(channels, channels, window, stride=2)
            self.coarse = _Tower(
                channels, layers, scales - 1, window, guided=guided, shortcuts=shortcuts
            )
            self.grow = PointConv2d(channels, 4 * channels)

    def forward(self, x: Tensor, guide: _Features | None, cache: Cache | None) -> _Features:
        down, coarse, up = [], None, []
        for i, block in enumerate(self.down):
            x = block(x, [guide.down[i]] if self.guided else [], cache)
            down.append(x)
        if self.coarse is not None:
            x, coarse = self._through_coarse(x, guide, cache)
        for i, block in enumerate(self.up):
            given = ([guide.up[i]] if self.guided else []) + (
                [down[-1 - i]] if self.shortcuts else []
            )
            x = block(x, given, cache)
            up.append(x)
        return _Features(down, coarse, up)

    def _through_coarse(
        self, x: Tensor, guide: _Features | None, cache: Cache | None
    ) -> tuple[Tensor, _Features | None]:
        """What the coarser scales make of ``x``, at its own size, and their features."""
        inner = guide.coarse if self.guided else None
        small = self.shrink(x, cache)
        if cache is None:
            coarse = self.coarse(small, inner, None)
            return F.pixel_shuffle(self.grow(coarse.up[-1]), 2), coarse
        # Two rows of features; each coarse pixel fills a square, when its first pixel is reached.
        enlarged = cache.state(self, lambda: x.new_zeros(*x.shape[:2], 2, cache.width))
        row, columns, coarse = cache.row % 2, cache.columns, None
        if row == 0 and columns.start % 2 == 0:
            half = cache.halved()
            coarse = self.coarse(small, inner, half)
            square = F.pixel_shuffle(self.grow(coarse.up[-1], half), 2)
            enlarged[..., columns.start : columns.start + square.shape[-1]] = square
        return enlarged[:, :, row : row + 1, columns].clone(), coarse


class _Residual(nn.Module):
    """x plus a gated pair of convolutions, the first of which takes in further features."""

    def __init__(self, channels: int, window: Window, further: int) -> None:
        super().__init__()
        self.first = WindowConv2d(2 * channels, channels, window)
        self.further = PointConv2d(2 * further, channels) if further else None
        self.second = WindowConv2d(2 * channels, 2 * channels, window)

    def forward(self, x: Tensor, further: list[Tensor], cache: Cache | None) -> Tensor:
        h = self.first(_concat_elu(x), cache)
        if further:
            h = h + self.further(_concat_elu(torch.cat(further, 1)), cache)
        value, gate = self.second(_concat_elu(h), cache).chunk(2, 1)
        return x + value * gate.sigmoid()


def _concat_elu(x: Tensor) -> Tensor:
    """ELU of x and of −x: nothing is lost at zero."""
    return F.elu(torch.cat([x, -x], 1))
