"""What the pixel models share: from a network to the three queries, image by image.

Sources: the chapters on autoregressive models of documents H and C; van den Oord, Kalchbrenner and
Kavukcuoglu (2016), "Pixel recurrent neural networks".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.distributions import constraints

from genlib.core.random import uniform
from genlib.core.shapes import check_image_shape
from genlib.core.validation import check_count, check_event, check_flag
from genlib.models.autoregressive.base import Autoregressive, Order
from genlib.nn.heads import BernoulliHead, CategoricalHead, LogisticMixtureHead, PixelHead
from genlib.nn.incremental import Cache


class PixelModel(Autoregressive, abstract=True):
    """Images whose values are predicted pixel by pixel, the colours of a pixel one after another.

    Pixels come in reading order, unless a subclass says otherwise. It sets ``network``, whose
    output at a pixel depends on the values before it alone::

        out = network(2 x − 1)                      (N, channels, H, W), from values in [−1, 1]
        log p(x) = Σ_i log p(x_i | x_<i) = head.log_prob(out, x)

    Given a cache as well, the network computes its place alone (see `genlib.nn.incremental`);
    ``network.features`` is the last hidden layer.

    Attributes
    ----------
    head : PixelHead
        What the outputs of the network mean: logits of a Bernoulli distribution for two levels, a
        logit for each of more, or the parameters of a mixture of logistics.
    """

    lesson = "07_pixel_models"
    network: nn.Module

    def __init__(self, shape: Sequence[int], head: PixelHead, order: Order | None = None) -> None:
        shape = check_image_shape(shape)
        super().__init__(shape.numel(), order=pixel_order(shape) if order is None else order)
        self.event_shape = shape
        self.support = head.support
        self.head = head

    def _out(self, x: Tensor, y: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Input of the head: (N, channels, H, W), or, given a ``cache``, that at its place."""
        return self.network(2 * x - 1, cache).to(x.dtype)

    def _conditionals(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.head.conditionals(self._out(x, y), x)

    def _log_conditionals(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.head.log_conditionals(self._out(x, y), x).flatten(1)

    def _log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.head.log_prob(self._out(x, y), x)

    def _encode(self, x: Tensor) -> Tensor:
        """Features of the last hidden layer, averaged over the image, (N, channels)."""
        return self.network.features(2 * x - 1).mean((2, 3)).to(x.dtype)

    # ------------------------------------------------------------------ drawing

    def noise(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Uniform numbers for ``n`` images, as `draw` takes them, (n, C, H, W, head.noise)."""
        check_count(n)
        return uniform((n, *self._noise_shape), next(self.parameters()), generator)

    @torch.no_grad()
    def draw(self, noise: Tensor, y: Tensor | None = None, *, cached: bool = True) -> Tensor:
        """The images that uniform numbers give: what ``sample`` returns for them.

        With a cache, a pixel costs each layer the work for one place; without one, the work for the
        whole image. The images are the same, but for rounding where a number falls on a threshold.

        Parameters
        ----------
        noise : Tensor, shape (N, C, H, W, head.noise)
            Uniform numbers in [0, 1), from `noise`.
        y : Tensor of int64, shape (N,), optional
            Labels, for a model with labels.
        cached : bool

        Returns
        -------
        Tensor, shape (N, C, H, W)

        Raises
        ------
        TypeError, ValueError
            ``noise`` has another shape or dtype, or values outside [0, 1).
        """
        check_flag(cached, "cached")
        unit = constraints.half_open_interval(0.0, 1.0)
        check_event(
            noise, self._noise_shape, unit, dtype=self.dtype, device=self.device, name="noise"
        )
        self._require_labels(y, len(noise))
        return self._draw(noise, y, cached=cached)

    @property
    def _noise_shape(self) -> torch.Size:
        return torch.Size([*self.event_shape, self.head.noise])

    def _fill(self, x: Tensor, known: Tensor, generator: Generator | None) -> Tensor:
        return self._draw(self.noise(len(x), generator=generator), None, x, known)

    def _draw(
        self,
        noise: Tensor,
        y: Tensor | None,
        x: Tensor | None = None,
        known: Tensor | None = None,
        *,
        cached: bool = True,
    ) -> Tensor:
        """Images drawn place by place; where ``known``, the value is that of ``x``."""
        drawn = noise.new_zeros(len(noise), *self.event_shape)
        cache = Cache(self.event_shape[-1]) if cached else None
        places = torch.stack(torch.unravel_index(self.order, self.event_shape), 1)
        for colour, row, column in places.tolist():
            place = (..., slice(row, row + 1), slice(column, column + 1))
            if colour == 0 or not self.head.joint:
                if cached:
                    cache.seek(row, place[-1])
                out = self._out(drawn, y, cache)
                out = out if cached else out[place]
            parameters = self.head.conditionals(out, drawn[place])[:, colour, 0, 0]
            at = (slice(None), colour, row, column)
            value = self.head.draw(parameters, noise[at])
            drawn[at] = value if known is None else x[at].where(known[at], value)
        return drawn

    def _require_labels(self, y: Tensor | None, n: int) -> None:
        """Raise unless ``y`` holds ``n`` labels, for a model with labels, and is None otherwise."""
        if self.classes is not None and y is None:
            raise ValueError(
                f"y: this model has {self.classes} classes; give the label of each row."
            )
        self._condition(y, n)


def pixel_head(levels: int, components: int | None = None) -> PixelHead:
    """The head for pixels of so many levels: a mixture of logistics where components are given."""
    check_count(levels, "levels", minimum=2)
    if components is not None:
        return LogisticMixtureHead(components, levels)
    return BernoulliHead() if levels == 2 else CategoricalHead(levels)


def colour_groups(shape: torch.Size, head: PixelHead) -> int:
    """Groups that masks cut channels into: one where the head itself orders the colours."""
    return 1 if head.joint else shape[0]


def check_channels(channels: int | None, divisor: int, default: int) -> int:
    """``channels``, checked to be a multiple of ``divisor``; where it is None, the least such
    multiple that is not below ``default``.
    """
    if channels is None:
        return -(-default // divisor) * divisor
    check_count(channels, "channels")
    if channels % divisor:
        raise ValueError(f"channels: expected a multiple of {divisor}, got {channels}.")
    return channels


def pixel_order(shape: torch.Size) -> Tensor:
    """Places in the flattened image (C, H, W), row by row, column by column, colour by colour."""
    return torch.arange(shape.numel()).view(shape).permute(1, 2, 0).flatten()
