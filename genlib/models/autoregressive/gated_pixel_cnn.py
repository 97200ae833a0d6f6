"""Gated PixelCNN: two stacks of convolutions that together see every pixel before the current one.

Source: van den Oord et al. (2016), "Conditional image generation with PixelCNN decoders".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from genlib.core.random import integers
from genlib.core.validation import check_count, check_flag
from genlib.models.autoregressive.base import MOST_PARTS, choose
from genlib.models.autoregressive.pixels import (
    PixelModel,
    check_channels,
    colour_groups,
    pixel_head,
)
from genlib.nn.incremental import Cache
from genlib.nn.masked_conv import (
    HorizontalConv2d,
    MaskedConv2d,
    PointConv2d,
    VerticalConv2d,
    check_kernel_sizes,
)


class GatedPixelCNN(PixelModel):
    """Gated PixelCNN: p(x) = Π_i p(x_i | x_<i) without a blind spot, and given labels if there are.

    A log mass over images, (C, H, W), exact. A *vertical* stack sees all rows above the current
    one; a *horizontal* stack sees the current row to the left, and takes in what the vertical one
    has at its place. Each layer ends in a gate [1]::

        y = tanh(W_f * x + V_f[label]) · σ(W_g * x + V_g[label])

    Parameters
    ----------
    shape : (int, int, int)
        Colours, rows and columns of an image.
    channels : int, optional
        Channels of each stack, a multiple of the number of colours; by default 32, or where that is
        none the next one.
    layers : int
        Number of gated layers, the first one included.
    levels : int
        Values a pixel can take: 0 and 1 for 2, else k / (levels − 1).
    components : int, optional
        Number of logistics that a pixel's levels are predicted by, instead of a logit each; see
        `genlib.nn.heads.LogisticMixtureHead`.
    classes : int, optional
        Number of labels. Then ``fit(x, y)`` needs them, and ``log_prob``, ``conditionals`` and
        ``sample`` take them. Where they are left out, ``sample`` draws them and ``log_prob`` sums
        over them, all equally likely; `complete` draws them given the known values.
    gates : bool
        Whether layers end in gates; without them, in rectified linear units, for comparison.
    kernel_size, first_kernel_size : int
        Sizes of the convolutions; odd.

    Raises
    ------
    TypeError, ValueError
        A number is not what it must be.

    Notes
    -----
    ``conditionals`` gives logits: (N, C, H, W) for two levels, (N, C, H, W, levels) for more; with
    components their log weights, means and log-scales, (N, C, H, W, components, 3). ``encode``
    gives the features of the last hidden layer, averaged over the image, (N, channels), for models
    without labels.

    References
    ----------
    [1] van den Oord et al. (2016), "Conditional image generation with PixelCNN decoders", NIPS.

    Examples
    --------
    >>> model = GatedPixelCNN(shape=(1, 8, 8), channels=8, layers=2, classes=10)
    >>> model.sample(3, y=torch.tensor([0, 1, 2])).shape
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
        classes: int | None = None,
        gates: bool = True,
        kernel_size: int = 3,
        first_kernel_size: int = 7,
    ) -> None:
        super().__init__(shape, pixel_head(levels, components))
        groups = colour_groups(self.event_shape, self.head)
        check_count(layers, "layers", maximum=MOST_PARTS)
        check_kernel_sizes(kernel_size=kernel_size, first_kernel_size=first_kernel_size)
        check_flag(gates, "gates")
        if classes is not None:
            check_count(classes, "classes")
            self.cannot = self.cannot | {
                "encode": "the features of a model with classes depend on the label, which is what "
                "a representation should tell; fit one with classes=None."
            }
        self.classes = classes
        colours = self.event_shape[0]
        self.network = GatedNetwork(
            colours,
            check_channels(channels, groups, default=32),
            layers,
            self.head.channels(colours),
            groups,
            kernel_size=kernel_size,
            first_kernel_size=first_kernel_size,
            classes=classes,
            gates=gates,
        )

    def _out(self, x: Tensor, y: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        return self.network(2 * x - 1, cache, y).to(x.dtype)

    # ------------------------------------------------------------------ labels

    def loss(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Mean negative log-likelihood of ``x``, given its labels where there are any, in nats."""
        self._require_labels(y, len(x))
        return -self._log_prob(x, y).mean()

    def conditionals(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Parameters of p(x_i | x_<i, y) for every i; ``y`` are labels, for a model with labels."""
        self.check(x)
        self._require_labels(y, len(x))
        return self._conditionals(x, y)

    def _log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        if self.classes is None or y is not None:
            return super()._log_prob(x, y)
        return self._each_class(super()._log_prob, x).logsumexp(0) - math.log(self.classes)

    def _sample(self, n: int, generator: Generator | None, y: Tensor | None = None) -> Tensor:
        y = self._any_label(n, generator) if y is None else y
        return self._draw(self.noise(n, generator=generator), y)

    def _fill(self, x: Tensor, known: Tensor, generator: Generator | None) -> Tensor:
        """Draw the label from p(y | known values), where there are labels, and then the rest."""
        if self.classes is None:
            return super()._fill(x, known, generator)
        terms = self._each_class(self._log_conditionals, x)
        y = choose(terms.where(known.flatten(1), 0).sum(2).T, generator)
        return self._draw(self.noise(len(x), generator=generator), y, x, known)

    def _propose(
        self, x: Tensor, known: Tensor, generator: Generator | None
    ) -> tuple[Tensor, Tensor]:
        """With any label, and how likely that makes the known values."""
        y = self._any_label(len(x), generator)
        drawn = self._draw(self.noise(len(x), generator=generator), y, x, known)
        return drawn, self._log_conditionals(drawn, y).where(known.flatten(1), 0).sum(1)

    def _any_label(self, n: int, generator: Generator | None) -> Tensor | None:
        """Labels for ``n`` images, all equally likely, for a model with labels."""
        like = next(self.parameters())
        return None if self.classes is None else integers(self.classes, (n,), like, generator)

    def _each_class(self, function: Callable[..., Tensor], x: Tensor) -> Tensor:
        """What ``function`` gives for each label in turn, (classes, ...)."""
        labels = torch.arange(self.classes, device=x.device)
        return torch.stack([function(x, y.expand(len(x))) for y in labels])


class GatedNetwork(nn.Module):
    """Gated layers, and two 1 × 1 layers that read the horizontal stack out.

    Besides the image, its layers may be given what is known before the first pixel is drawn: with
    ``classes``, labels ``y``, (N,); with ``context``, so many channels of what a subclass makes of
    the image in `_context`.
    """

    def __init__(
        self,
        colours: int,
        channels: int,
        layers: int,
        outputs: int,
        groups: int,
        *,
        kernel_size: int,
        first_kernel_size: int,
        classes: int | None = None,
        context: int | None = None,
        gates: bool = True,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _GatedLayer(
                channels if i else colours,
                channels,
                kernel_size if i else first_kernel_size,
                groups,
                classes,
                context,
                first=i == 0,
                gates=gates,
            )
            for i in range(layers)
        )
        self.hidden = MaskedConv2d(channels, channels, 1, "B", groups)
        self.last = MaskedConv2d(channels, outputs, 1, "B", groups)

    def forward(self, x: Tensor, cache: Cache | None = None, y: Tensor | None = None) -> Tensor:
        """Input of the head, of images scaled to [−1, 1], or at the place of a cache."""
        return self.last(self.features(x, cache, y), cache)

    def features(self, x: Tensor, cache: Cache | None = None, y: Tensor | None = None) -> Tensor:
        """The last hidden layer."""
        if cache is None:
            above = self._vertical(x, None, y)
        else:  # the rows above are complete when a row begins
            rows = cache.per_row(self, lambda row: self._vertical(x, row, y))
            above = [part[..., cache.columns] for part in rows]
        h = x
        for layer, part in zip(self.layers, above, strict=True):
            h = layer.right(h, part, cache, y)
        return F.relu(self.hidden(F.relu(h), cache))

    def _vertical(self, x: Tensor, cache: Cache | None, y: Tensor | None) -> list[Tensor]:
        """What the vertical stack hands to each horizontal layer."""
        v, context, handed = x, self._context(x, cache), []
        for layer in self.layers:
            v, part = layer.down(v, cache, y, context)
            handed.append(part)
        return handed

    def _context(self, x: Tensor, cache: Cache | None) -> Tensor | None:
        """Features (N, context, H, W), or those of a row; each layer sees those at its place."""
        return None


class _GatedLayer(nn.Module):
    """One layer of both stacks: a gated convolution each, and a link from above to the side.

    The link needs no mask, and neither do labels and a context: all are known before the current
    row begins.
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        size: int,
        groups: int,
        classes: int | None,
        context: int | None,
        *,
        first: bool,
        gates: bool,
    ) -> None:
        super().__init__()
        self.first, self.groups, self.gates = first, groups, gates
        width = channels * (1 + gates)  # before the gates, or the units
        self.vertical = VerticalConv2d(inputs, width, size, first=first)
        self.link = PointConv2d(width, width)
        self.horizontal = HorizontalConv2d(inputs, width, size, "A" if first else "B", groups)
        self.out = MaskedConv2d(channels, channels, 1, "B", groups)
        self.label = None if classes is None else nn.Embedding(classes, 2 * width)
        self.context = None if context is None else PointConv2d(context, width)
        # Torch's weights shrink a signal by √3, a gate halves it, and a rectified unit divides it
        # by √2: layer by layer, the vertical stack would fade out.
        with torch.no_grad():
            self.vertical.weight.mul_(3.0 if gates else math.sqrt(6))
            self.link.weight.mul_(math.sqrt(3))
            self.horizontal.weight.mul_(math.sqrt(3))

    def down(
        self, v: Tensor, cache: Cache | None, y: Tensor | None, context: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The vertical stack's next features, and what it hands to the horizontal one."""
        h = self.vertical(v, cache)
        if context is not None:  # the link hands it on to the horizontal stack
            h = h + self.context(context, cache)
        return self._gate(self._add_label(h, y, 0)), self.link(h, cache)

    def right(self, h: Tensor, above: Tensor, cache: Cache | None, y: Tensor | None) -> Tensor:
        """The horizontal stack's next features."""
        seen = self.horizontal(h, cache) + above
        out = self.out(self._gate(self._add_label(seen, y, 1)), cache)
        return out if self.first else h + out

    def _add_label(self, h: Tensor, y: Tensor | None, stack: int) -> Tensor:
        return h if y is None else h + self.label(y).chunk(2, 1)[stack][:, :, None, None]

    def _gate(self, h: Tensor) -> Tensor:
        """tanh of one half times σ of the other, in each group of channels, if there are gates."""
        if not self.gates:
            return F.relu(h)
        value, gate = h.unflatten(1, (self.groups, 2, -1)).unbind(2)
        return (value.tanh() * gate.sigmoid()).flatten(1, 2)
