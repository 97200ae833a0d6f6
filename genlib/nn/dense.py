"""Networks of fully connected and of strided convolutional layers, for encoders and decoders."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import nn

from genlib.core.validation import check_choice, check_count

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "silu": nn.SiLU, "softplus": nn.Softplus}
_KERNEL = {"kernel_size": 4, "stride": 2, "padding": 1}


def dense(sizes: Sequence[int], activation: str = "relu") -> nn.Sequential:
    """Fully connected layers of so many units, with ``activation`` between them.

    Raises
    ------
    TypeError, ValueError
        A size is no positive integer, or the activation is not known.
    """
    check_choice(activation, ACTIVATIONS, "activation")
    for size in sizes:
        check_count(size, "hidden")
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


class ConvolutionalEncoder(nn.Sequential):
    """Images (N, C, H, W) to vectors: convolutions that halve the sides, then dense layers."""

    def __init__(
        self,
        shape: torch.Size,
        channels: Sequence[int],
        sizes: Sequence[int],
        activation: str = "relu",
    ) -> None:
        flat = channels[-1] * shape[1] * shape[2] // 4 ** len(channels)
        layers: list[nn.Module] = []
        for before, after in zip([shape[0], *channels[:-1]], channels, strict=True):
            layers += [nn.Conv2d(before, after, **_KERNEL), ACTIVATIONS[activation]()]
        super().__init__(*layers, nn.Flatten(), *dense([flat, *sizes], activation))


class ConvolutionalDecoder(nn.Sequential):
    """Vectors to images (N, C, H, W): dense layers, then transposed convolutions that double the
    sides.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        channels: Sequence[int],
        shape: torch.Size,
        activation: str = "relu",
    ) -> None:
        halvings = len(channels)
        first = (channels[0], shape[1] // 2**halvings, shape[2] // 2**halvings)
        layers: list[nn.Module] = [
            *dense([*sizes, torch.Size(first).numel()], activation),
            ACTIVATIONS[activation](),
            nn.Unflatten(1, first),
        ]
        for before, after in zip(channels, [*channels[1:], shape[0]], strict=True):
            layers += [nn.ConvTranspose2d(before, after, **_KERNEL), ACTIVATIONS[activation]()]
        super().__init__(*layers[:-1])
