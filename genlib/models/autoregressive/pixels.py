"""What the pixel models share: images pixel by pixel, drawn with or without a memory.

Sources: the chapters on autoregressive models of documents H and C; van den Oord, Kalchbrenner and
Kavukcuoglu (2016), "Pixel recurrent neural networks".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from genlib.core.validation import check_count
from genlib.models.autoregressive.base import Autoregressive, Order
from genlib.nn.heads import BernoulliHead, CategoricalHead, LogisticMixtureHead, PixelHead
from genlib.nn.masked_conv import Stream


class PixelModel(Autoregressive, abstract=True):
    """Images whose values are predicted pixel by pixel, the colours of a pixel one after another.

    Pixels come in reading order, unless a subclass says otherwise. It sets ``network``, a module
    with two methods: ``features(x, stream, **labels)``, what it makes of images whose values lie in
    [−1, 1], shape (N, channels, H, W), and ``readout(features, stream)``, the input of the head.
    Without a stream both compute whole images; with one, the place at which it stands.

    Attributes
    ----------
    head : PixelHead
        What the outputs of the network mean.
    """

    lesson = "07_pixel_models"
    network: nn.Module

    def __init__(self, shape: Sequence[int], head: PixelHead, order: Order | None = None) -> None:
        shape = check_image_shape(shape)
        super().__init__(shape.numel(), order=pixel_order(shape) if order is None else order)
        self.event_shape = shape
        self.support = head.support
        self.head = head

    def noise(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """Uniform numbers for ``n`` images, as `draw` takes them, (n, C, H, W, head.noise)."""
        check_count(n)
        shape = (n, *self.event_shape, self.head.noise)
        return torch.rand(shape, generator=generator, dtype=self.dtype).to(self.device)

    @torch.no_grad()
    def draw(self, noise: Tensor, y: Tensor | None = None, *, cached: bool = True) -> Tensor:
        """The images that uniform numbers give: what ``sample`` returns for them.

        With a cache, a pixel costs each layer the work for one place; without one, the work for the
        whole image. The images are the same, but for rounding where a number falls on a threshold.

        Parameters
        ----------
        noise : Tensor, shape (N, C, H, W, head.noise)
            Uniform numbers, from `noise`.
        y : Tensor of int64, shape (N,), optional
            Labels, for a model with labels.
        cached : bool

        Returns
        -------
        Tensor, shape (N, C, H, W)
        """
        expected = (*self.event_shape, self.head.noise)
        if noise.shape[1:] != expected:
            raise ValueError(
                f"noise: expected shape (N, {', '.join(map(str, expected))}), got "
                f"{tuple(noise.shape)}; model.noise(n) makes it."
            )
        return self._draw(noise, cached=cached, **self._given(y, len(noise)))

    def _given(self, y: Tensor | None, n: int) -> dict[str, Tensor]:
        """Checked labels as a keyword argument, which a model with labels cannot do without."""
        if self.classes is not None and y is None:
            raise ValueError(
                f"y: this model has {self.classes} classes; give the label of each row."
            )
        return {} if y is None else {"y": self._condition(y, n)}

    def _draw(
        self,
        noise: Tensor,
        x: Tensor | None = None,
        known: Tensor | None = None,
        *,
        cached: bool = True,
        **labels: Tensor,
    ) -> Tensor:
        """Images drawn place by place; where ``known``, the value is that of ``x``."""
        drawn = noise.new_zeros(len(noise), *self.event_shape)
        scaled = drawn.clone()  # for the network: 0 where nothing is drawn yet
        stream = Stream(self.event_shape[-1]) if cached else None
        places = torch.stack(torch.unravel_index(self.order, self.event_shape), 1)
        for colour, row, column in places.tolist():
            at = (slice(None), colour, row, column)
            if colour == 0 or not self.head.joint:
                out = self._out_at(scaled, row, column, stream, **labels)
            parameters = self.head.conditionals(out, drawn[:, :, row, column, None, None])
            value = self.head.draw(parameters[:, colour, 0, 0], noise[at])
            if known is not None:
                value = x[at].where(known[at], value)
            drawn[at], scaled[at] = value, 2 * value - 1
        return drawn

    def _out_at(
        self, scaled: Tensor, row: int, column: int, stream: Stream | None, **labels: Tensor
    ) -> Tensor:
        """Input of the head at one place, (N, channels, 1, 1)."""
        if stream is None:
            return self._out(scaled, **labels)[:, :, row : row + 1, column : column + 1]
        stream.move(row, slice(column, column + 1))
        return self.network.readout(self.network.features(scaled, stream, **labels), stream)

    def _out(self, scaled: Tensor, **labels: Tensor) -> Tensor:
        return self.network.readout(self.network.features(scaled, **labels))

    def _conditionals(self, x: Tensor, **labels: Tensor) -> Tensor:
        return self.head.conditionals(self._out(2 * x - 1, **labels), x)

    def _log_conditionals(self, x: Tensor, **labels: Tensor) -> Tensor:
        return self.head.log_conditionals(self._out(2 * x - 1, **labels), x).flatten(1)

    def _log_prob(self, x: Tensor, **labels: Tensor) -> Tensor:
        return self.head.log_prob(self._out(2 * x - 1, **labels), x)

    def _encode(self, x: Tensor) -> Tensor:
        """Features of the last hidden layer, averaged over the image, (N, channels)."""
        return self.network.features(2 * x - 1).mean((2, 3))

    def _sample(self, n: int, generator: Generator | None, **labels: Tensor) -> Tensor:
        return self._draw(self.noise(n, generator=generator), **labels)

    def _fill(self, x: Tensor, known: Tensor, generator: Generator | None) -> Tensor:
        return self._draw(self.noise(len(x), generator=generator), x, known)


def pixel_head(levels: int, components: int | None = None) -> PixelHead:
    """The head for pixels of so many levels: a mixture of logistics where components are given."""
    check_count(levels, "levels", minimum=2)
    if components is not None:
        return LogisticMixtureHead(components, levels)
    return BernoulliHead() if levels == 2 else CategoricalHead(levels)


def colour_groups(shape: torch.Size, head: PixelHead) -> int:
    """Groups that masks cut channels into: one where the head itself orders the colours."""
    return 1 if head.joint else shape[0]


def check_channels(channels: int, divisor: int) -> None:
    """Raise unless the channels can be divided among the colours."""
    check_count(channels, "channels")
    if channels % divisor:
        raise ValueError(f"channels: expected a multiple of {divisor}, got {channels}.")


def check_image_shape(shape: Sequence[int]) -> torch.Size:
    """``shape`` as a torch.Size, checked to be (colours, rows, columns)."""
    if len(shape) != 3:
        raise ValueError(f"shape: expected (C, H, W), as in (1, 28, 28), got {tuple(shape)}.")
    for name, size in zip(("colours", "rows", "columns"), shape, strict=True):
        check_count(size, f"shape, {name}")
    return torch.Size(shape)


def check_halvings(shape: torch.Size, times: int) -> None:
    """Raise unless the rows and columns of an image can be halved so often."""
    often = "once" if times == 1 else f"{times} times"
    for name, side in zip(("rows", "columns"), shape[1:], strict=True):
        if side % 2**times:
            raise ValueError(
                f"shape: expected {name} that can be halved {often}, got {side}; crop or pad the "
                "images, or use fewer scales."
            )


def pixel_order(shape: torch.Size) -> Tensor:
    """Places in the flattened image (C, H, W), row by row, column by column, colour by colour."""
    return torch.arange(shape.numel()).view(shape).permute(1, 2, 0).flatten()
