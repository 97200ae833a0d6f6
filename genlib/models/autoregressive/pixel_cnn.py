"""PixelCNN: masked convolutions predict all pixels of an image at once, each from those before it.

Sources: the chapters on autoregressive models of documents H and C; van den Oord, Kalchbrenner and
Kavukcuoglu (2016), "Pixel recurrent neural networks".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from genlib.core.validation import check_count
from genlib.models.autoregressive.base import MOST_PARTS
from genlib.models.autoregressive.pixels import (
    PixelModel,
    check_channels,
    colour_groups,
    pixel_head,
)
from genlib.nn.incremental import Cache
from genlib.nn.masked_conv import MaskedConv2d, check_kernel_sizes


class PixelCNN(PixelModel):
    """PixelCNN: p(x) = Π_i p(x_i | x_<i), all conditionals from one network of masked convolutions.

    A log mass over images, (C, H, W), exact. The first layer has mask A, all others have mask B, so
    that the output at a pixel depends on the pixels before it in reading order, and, where there
    are colours, on red before green before blue within it. Training computes all conditionals in
    parallel; sampling takes one step a value, each at the cost of a single place (see
    `genlib.nn.incremental`). A *blind spot* to the right of and above each pixel is never seen.

    Parameters
    ----------
    shape : (int, int, int)
        Colours, rows and columns of an image.
    channels : int, optional
        Channels between the residual blocks, a multiple of 2 · colours; by default 64, or where
        that is none the next one.
    layers : int
        Number of residual blocks: 1 × 1 to half the channels, 3 × 3, 1 × 1 back.
    levels : int
        Values a pixel can take: 0 and 1 for 2, else k / (levels − 1).
    components : int, optional
        Number of logistics that a pixel's levels are predicted by, instead of a logit each; see
        `genlib.nn.heads.LogisticMixtureHead`.
    kernel_size, first_kernel_size : int
        Sizes of the convolutions in the blocks and of the first one; odd.

    Raises
    ------
    TypeError, ValueError
        A number is not what it must be.

    Notes
    -----
    ``conditionals`` gives logits: (N, C, H, W) for two levels, (N, C, H, W, levels) for more; with
    components their log weights, means and log-scales, (N, C, H, W, components, 3).
    ``encode`` gives the features of the last hidden layer, averaged over the image, (N, channels).

    References
    ----------
    van den Oord, Kalchbrenner and Kavukcuoglu (2016), "Pixel recurrent neural networks", ICML.

    Examples
    --------
    >>> model = PixelCNN(shape=(1, 8, 8), channels=16, layers=2)
    >>> model.sample(4).shape
    torch.Size([4, 1, 8, 8])
    """

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
        channels: int | None = None,
        layers: int = 7,
        levels: int = 2,
        *,
        components: int | None = None,
        kernel_size: int = 3,
        first_kernel_size: int = 7,
    ) -> None:
        super().__init__(shape, pixel_head(levels, components))
        groups = colour_groups(self.event_shape, self.head)
        check_count(layers, "layers", minimum=0, maximum=MOST_PARTS)
        check_kernel_sizes(kernel_size=kernel_size, first_kernel_size=first_kernel_size)
        channels = check_channels(channels, 2 * groups, default=64)
        colours = self.event_shape[0]
        first = MaskedConv2d(colours, channels, first_kernel_size, "A", groups)
        blocks = (_Block(channels, kernel_size, groups) for _ in range(layers))
        self.network = MaskedNetwork(first, blocks, self.head.channels(colours), groups)


class MaskedNetwork(nn.Module):
    """The first layer, the residual blocks, and two 1 × 1 layers that read them out."""

    def __init__(
        self, first: MaskedConv2d, blocks: Iterable[nn.Module], outputs: int, groups: int
    ) -> None:
        super().__init__()
        channels = first.out_channels
        self.first = first
        self.blocks = nn.ModuleList(blocks)
        self.hidden = MaskedConv2d(channels, channels, 1, "B", groups)
        self.last = MaskedConv2d(channels, outputs, 1, "B", groups)

    def forward(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """Input of the head, of images scaled to [−1, 1], or at the place of a cache."""
        return self.last(self.features(x, cache), cache)

    def features(self, x: Tensor, cache: Cache | None = None) -> Tensor:
        """The last hidden layer."""
        h = self.first(x, cache)
        for block in self.blocks:
            h = block(h, cache)
        return F.relu(self.hidden(F.relu(h), cache))


class _Block(nn.Module):
    """x plus three convolutions, narrow in the middle."""

    def __init__(self, channels: int, size: int, groups: int) -> None:
        super().__init__()
        self.narrow = MaskedConv2d(channels, channels // 2, 1, "B", groups)
        self.middle = MaskedConv2d(channels // 2, channels // 2, size, "B", groups)
        self.widen = MaskedConv2d(channels // 2, channels, 1, "B", groups)

    def forward(self, x: Tensor, cache: Cache | None) -> Tensor:
        h = self.narrow(F.relu(x), cache)
        h = self.middle(F.relu(h), cache)
        return x + self.widen(F.relu(h), cache)
