"""Generators and discriminators: dense ones for the plane, convolutional ones for images.

Sources: the chapters on adversarial networks of documents C and U; Radford, Metz and Chintala
(2016), "Unsupervised representation learning with deep convolutional generative adversarial
networks".
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from genlib.core.shapes import as_shape, check_halvings, check_image_shape
from genlib.core.validation import check_choice, check_count, check_counts, check_flag
from genlib.nn.dense import ACTIVATIONS, KERNEL, dense

BATCH_NORM = ("both", "generator", "discriminator", "neither")

_STANDARD_DEVIATION = 0.02  # of the initial weights


def mlp_generator(
    latent: int,
    shape: int | Sequence[int] = 2,
    hidden: Sequence[int] = (128, 128),
    activation: str = "relu",
) -> nn.Sequential:
    """Dense layers from (N, latent) to (N, \\*shape), any real values: by default to the plane.

    ``hidden`` are the units of the layers between; for ``activation`` see `genlib.nn.dense`.
    """
    event = as_shape(shape)
    check_count(latent, "latent")
    check_counts(hidden, "hidden")
    return nn.Sequential(
        *dense([latent, *hidden, event.numel()], activation), nn.Unflatten(1, event)
    )


def mlp_discriminator(
    shape: int | Sequence[int] = 2,
    hidden: Sequence[int] = (128, 128),
    activation: str = "relu",
) -> nn.Sequential:
    """Dense layers from (N, \\*shape) to logits (N, 1); see `mlp_generator`."""
    check_counts(hidden, "hidden")
    return nn.Sequential(nn.Flatten(), *dense([as_shape(shape).numel(), *hidden, 1], activation))


def with_numbers(x: Tensor, numbers: Tensor) -> Tensor:
    """Rows (N, D) with ``numbers`` (N, K) as further columns; or images (N, C, H, W) with them as
    further channels that are constant over the image.
    """
    places = [1] * (x.dim() - 2)
    return torch.cat([x, numbers.view(*numbers.shape, *places).expand(-1, -1, *x.shape[2:])], 1)


class DCGANGenerator(nn.Sequential):
    """Latent variables (N, latent) to images (N, C, H, W) in [0, 1] by convolutions that double the
    sides.

    Parameters
    ----------
    latent : int
    shape : sequence of int
        (C, H, W); H and W can be halved as often as there are ``channels``.
    channels : sequence of int
        Of the first, smallest layer and of those after it; each convolution doubles the sides.
    batch_norm : bool
        After every layer but the last.
    strided : bool
        Transposed convolutions 4 × 4 of stride 2; else each pixel is repeated twice in both
        directions, and a convolution 3 × 3 follows.
    hidden : int
        Units of a dense layer before the convolutions; none with 0.
    activation : str
        After every layer but the last, whose tanh is mapped to [0, 1]; see `genlib.nn.dense`.
    """

    support = constraints.unit_interval

    def __init__(
        self,
        latent: int,
        shape: Sequence[int] = (1, 28, 28),
        channels: Sequence[int] = (128, 64),
        *,
        batch_norm: bool = True,
        strided: bool = True,
        hidden: int = 0,
        activation: str = "relu",
    ) -> None:
        check_count(latent, "latent")
        colours, rows, columns = _checked(shape, channels, batch_norm, strided, hidden, activation)
        act, flat_norm, norm = _kinds(activation, batch_norm)
        bias, factor = not batch_norm, 2 ** len(channels)
        first = (channels[0], rows // factor, columns // factor)
        layers: list[nn.Module] = []
        if hidden:
            layers += [nn.Linear(latent, hidden, bias), flat_norm(hidden), act()]
        layers += [nn.Linear(hidden or latent, torch.Size(first).numel(), bias)]
        layers += [nn.Unflatten(1, first), norm(first[0]), act()]
        for before, after in itertools.pairwise(channels):
            layers += [*_doubled(before, after, strided, bias), norm(after), act()]
        layers += [*_doubled(channels[-1], colours, strided, True), nn.Tanh(), ToUnit()]
        super().__init__(*layers)
        self.apply(_initialise)


class DCGANDiscriminator(nn.Sequential):
    """Images (N, C, H, W) in [0, 1] to logits (N, 1) by convolutions that halve the sides.

    Parameters
    ----------
    shape : sequence of int
        (C, H, W); H and W can be halved as often as there are ``channels``.
    channels : sequence of int
        Of the layers, each of which halves the sides.
    batch_norm : bool
        After every convolution but the first, which is to see the mean and scale of the images.
    strided : bool
        Convolutions 4 × 4 of stride 2; else 3 × 3 ones, each followed by the largest of 2 × 2
        values.
    hidden : int
        Units of a dense layer after the convolutions; none with 0.
    activation : str
        See `genlib.nn.dense`.
    """

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
        channels: Sequence[int] = (64, 128),
        *,
        batch_norm: bool = True,
        strided: bool = True,
        hidden: int = 0,
        activation: str = "leaky_relu",
    ) -> None:
        colours, rows, columns = _checked(shape, channels, batch_norm, strided, hidden, activation)
        act, flat_norm, norm = _kinds(activation, batch_norm)
        bias, inputs = not batch_norm, channels[-1] * rows * columns // 4 ** len(channels)
        layers = [FromUnit(), *_halved(colours, channels[0], strided, True), act()]
        for before, after in itertools.pairwise(channels):
            layers += [*_halved(before, after, strided, bias), norm(after), act()]
        layers += [nn.Flatten()]
        if hidden:
            layers += [nn.Linear(inputs, hidden, bias), flat_norm(hidden), act()]
        super().__init__(*layers, nn.Linear(hidden or inputs, 1))
        self.apply(_initialise)


class ToUnit(nn.Module):
    """Values in [−1, 1] to [0, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        """(x + 1) / 2."""
        return (x + 1) / 2


class FromUnit(nn.Module):
    """Values in [0, 1] to [−1, 1]."""

    def forward(self, x: Tensor) -> Tensor:
        """2 x − 1."""
        return 2 * x - 1


def _kinds(activation: str, batch_norm: bool) -> tuple[Callable[..., nn.Module], ...]:
    """What makes an activation, and the norms of vectors and of images, or nothing in their
    place.
    """
    norms = (nn.BatchNorm1d, nn.BatchNorm2d) if batch_norm else (nn.Identity, nn.Identity)
    return ACTIVATIONS[activation], *norms


def _doubled(before: int, after: int, strided: bool, bias: bool) -> list[nn.Module]:
    """Layers that double the sides of an image."""
    if strided:
        return [nn.ConvTranspose2d(before, after, **KERNEL, bias=bias)]
    return [nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1, bias=bias)]


def _halved(before: int, after: int, strided: bool, bias: bool) -> list[nn.Module]:
    """Layers that halve the sides of an image."""
    if strided:
        return [nn.Conv2d(before, after, **KERNEL, bias=bias)]
    return [nn.Conv2d(before, after, 3, padding=1, bias=bias), nn.MaxPool2d(2)]


def _initialise(layer: nn.Module) -> None:
    """Weights from N(0, 0.02²), biases zero; the scales of batch norm from N(1, 0.02²)."""
    if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, _STANDARD_DEVIATION)
    elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, _STANDARD_DEVIATION)
    else:
        return
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _checked(
    shape: Sequence[int],
    channels: Sequence[int],
    batch_norm: bool,
    strided: bool,
    hidden: int,
    activation: str,
) -> torch.Size:
    """``shape``, checked like the other settings of a convolutional network."""
    image = check_image_shape(shape)
    check_counts(channels, "channels")
    if not channels:
        raise ValueError("channels: expected at least one convolution, got none.")
    check_halvings(image, len(channels))
    check_flag(batch_norm, "batch_norm")
    check_flag(strided, "strided")
    check_count(hidden, "hidden", minimum=0)
    check_choice(activation, ACTIVATIONS, "activation")
    return image
