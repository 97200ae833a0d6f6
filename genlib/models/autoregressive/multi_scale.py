"""Multi-scale PixelCNN: a small image first, and then the pixels around it.

Source: van den Oord, Kalchbrenner and Kavukcuoglu (2016), "Pixel recurrent neural networks".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genlib.core.shapes import check_halvings, check_image_shape
from genlib.core.validation import check_count
from genlib.models.autoregressive.base import MOST_PARTS
from genlib.models.autoregressive.gated_pixel_cnn import GatedNetwork, GatedPixelCNN
from genlib.models.autoregressive.pixels import (
    PixelModel,
    check_channels,
    colour_groups,
    pixel_head,
    pixel_order,
)
from genlib.nn.incremental import Cache
from genlib.nn.masked_conv import check_kernel_sizes


class MultiScalePixelCNN(PixelModel):
    """Multi-scale PixelCNN: p(x) = p(x_s) · p(x | x_s), where x_s is every second row and column.

    A log mass over images, (C, H, W), exact: the small image x_s is part of the large one, so that
    nothing is predicted twice. A gated PixelCNN of its own draws x_s. A second network draws the
    pixels between, in reading order. It sees what comes before a pixel, as any gated PixelCNN does,
    and x_s ahead of it as well: two ordinary convolutions make features of the small image, of the
    surroundings within their reach (with the default sizes, 4 of its pixels to each side); a
    transposed one enlarges them; and each layer is biased by those at its place [1].

    The small image comes first in ``order``. Where it is known, ``complete`` draws from
    p(x | x_s): it enlarges pictures.

    Parameters
    ----------
    shape : (int, int, int)
        Colours, rows and columns of an image; rows and columns multiples of 2^(scales − 1).
    channels : int, optional
        Channels of each stack in each network, and of the enlarged features, a multiple of the
        number of colours; by default 32, or where that is none the next one.
    layers : int
        Number of gated layers in each network.
    levels : int
        Values a pixel can take: 0 and 1 for 2, else k / (levels − 1).
    components : int, optional
        Number of logistics that a pixel's levels are predicted by, instead of a logit each; see
        `genlib.nn.heads.LogisticMixtureHead`.
    scales : int
        Number of image sizes, at least 2; with more, the small image is drawn in the same way.
    kernel_size, first_kernel_size : int
        Sizes of the convolutions; odd.

    Raises
    ------
    TypeError, ValueError
        A number is not what it must be, or the image cannot be halved so often.

    Notes
    -----
    ``conditionals`` are those of `GatedPixelCNN`, each given what comes before it in ``order``.
    ``encode`` gives the second network's features of the last hidden layer, averaged over the
    image, (N, channels).

    References
    ----------
    [1] van den Oord, Kalchbrenner and Kavukcuoglu (2016), "Pixel recurrent neural networks", ICML.

    Examples
    --------
    >>> model = MultiScalePixelCNN(shape=(1, 8, 8), channels=8, layers=2)
    >>> small = torch.zeros(1, 8, 8, dtype=torch.bool)
    >>> small[:, ::2, ::2] = True
    >>> model.complete(model.sample(3), small).shape
    torch.Size([3, 1, 8, 8])
    """

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
        channels: int | None = None,
        layers: int = 7,
        levels: int = 2,
        *,
        components: int | None = None,
        scales: int = 2,
        kernel_size: int = 3,
        first_kernel_size: int = 7,
    ) -> None:
        shape = check_image_shape(shape)
        check_count(layers, "layers", maximum=MOST_PARTS)
        check_count(scales, "scales", minimum=2, maximum=MOST_PARTS)
        check_halvings(shape, scales - 1)
        check_kernel_sizes(kernel_size=kernel_size, first_kernel_size=first_kernel_size)
        super().__init__(shape, pixel_head(levels, components), coarse_first(shape, scales))
        colours, height, width = shape
        groups = colour_groups(shape, self.head)
        channels = check_channels(channels, groups, default=32)
        sizes = {"kernel_size": kernel_size, "first_kernel_size": first_kernel_size}
        further = {"components": components} | sizes
        small = (colours, height // 2, width // 2), channels, layers, levels
        if scales == 2:
            coarse = GatedPixelCNN(*small, **further)
        else:
            coarse = MultiScalePixelCNN(*small, scales=scales - 1, **further)
        outputs = self.head.channels(colours)
        self.network = _FineNetwork(coarse, colours, channels, layers, outputs, groups, **sizes)

    @property
    def coarse(self) -> PixelModel:
        """The model of the small images."""
        return self.network.coarse


class _FineNetwork(GatedNetwork):
    """A gated network whose context is every second row and column of the image, enlarged; there
    its output is that of the model of small images.
    """

    def __init__(
        self,
        coarse: PixelModel,
        colours: int,
        channels: int,
        layers: int,
        outputs: int,
        groups: int,
        *,
        kernel_size: int,
        first_kernel_size: int,
    ) -> None:
        sizes = {"kernel_size": kernel_size, "first_kernel_size": first_kernel_size}
        super().__init__(colours, channels, layers, outputs, groups, context=channels, **sizes)
        self.coarse = coarse
        self.enlarge = nn.Sequential(
            nn.Conv2d(colours, channels, first_kernel_size, padding="same"),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel_size, padding="same"),
            nn.ReLU(),
            nn.ConvTranspose2d(channels, channels, 2, stride=2),
            nn.ReLU(),
        )

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """Input of the head, of images scaled to [−1, 1], or at the place of a cache."""
        small = x[..., ::2, ::2]
        if cache is None:
            out = super().forward(x)
            out[..., ::2, ::2] = self.coarse.network(small)
            return out
        row, column = cache.row, cache.columns.start
        if row % 2 == column % 2 == 0:
            return self.coarse.network(small, cache.halved())
        # To the left, in every second row, is a pixel of the small image: its features are due too.
        due = 1 - row % 2
        cache.seek(row, slice(column - due, column + 1))
        return self.last(self.features(x, cache)[..., due:], cache)

    def _context(self, x: Tensor, cache: Cache | None) -> Tensor:
        small = x[..., ::2, ::2]
        if cache is None:
            return self.enlarge(small)
        # The small image is complete when this network begins.
        context = cache.state(self.enlarge, lambda: self.enlarge(small))
        return context[:, :, cache.row : cache.row + 1]


def coarse_first(shape: torch.Size, scales: int) -> Tensor:
    """`pixel_order`, but the pixels of the smallest image first, then those of the next, …"""
    colours, *sides = shape
    halvings = torch.zeros(sides, dtype=torch.int64)  # that a pixel survives
    for times in range(1, scales):
        halvings[:: 2**times, :: 2**times] = times
    reading = pixel_order(shape)
    last_scale = halvings.expand(colours, -1, -1).flatten()[reading]
    return reading[last_scale.argsort(descending=True, stable=True)]
