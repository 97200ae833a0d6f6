"""Networks of fully connected and of strided convolutional layers, for encoders and decoders."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.core.validation import check_choice, check_count
from genlib.nn.modes import evaluating

ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky_relu": partial(nn.LeakyReLU, 0.2),
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "sigmoid": nn.Sigmoid,
}
KERNEL = {"kernel_size": 4, "stride": 2, "padding": 1}  # it halves or doubles the sides


def dense(sizes: Sequence[int], activation: str = "relu") -> nn.Sequential:
    """Fully connected layers of so many units, with ``activation`` between them.

    It is ``"relu"``, ``"leaky_relu"`` (whose slope is 0.2 below zero), ``"tanh"``, ``"silu"``,
    ``"softplus"`` or ``"sigmoid"``.

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
        check_choice(activation, ACTIVATIONS, "activation")
        flat = channels[-1] * shape[1] * shape[2] // 4 ** len(channels)
        layers: list[nn.Module] = []
        for before, after in zip([shape[0], *channels[:-1]], channels, strict=True):
            layers += [nn.Conv2d(before, after, **KERNEL), ACTIVATIONS[activation]()]
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
        check_choice(activation, ACTIVATIONS, "activation")
        halvings = len(channels)
        first = (channels[0], shape[1] // 2**halvings, shape[2] // 2**halvings)
        layers: list[nn.Module] = [
            *dense([*sizes, torch.Size(first).numel()], activation),
            ACTIVATIONS[activation](),
            nn.Unflatten(1, first),
        ]
        for before, after in zip(channels, [*channels[1:], shape[0]], strict=True):
            layers += [nn.ConvTranspose2d(before, after, **KERNEL), ACTIVATIONS[activation]()]
        super().__init__(*layers[:-1])


class Transposed(nn.Module):
    """The dense layers of ``encoder`` from the last to the first, each with its weight transposed
    and a bias of its own: (N, latent) to (N, \\*shape).

    The weights stay the encoder's: they are not among the parameters of this module.
    """

    def __init__(self, encoder: nn.Sequential, shape: torch.Size, activation: str = "relu") -> None:
        super().__init__()
        linear = [layer for layer in encoder if isinstance(layer, nn.Linear)]
        self._layers = tuple(reversed(linear))  # a tuple: not registered as submodules
        self.biases = nn.ParameterList(torch.zeros(layer.in_features) for layer in self._layers)
        self.activation, self.shape = ACTIVATIONS[activation](), shape

    def forward(self, z: Tensor) -> Tensor:
        """The output of the last of them, without an activation."""
        for number, (layer, bias) in enumerate(zip(self._layers, self.biases, strict=True), 1):
            z = F.linear(z, layer.weight.T, bias)
            if number < len(self._layers):
                z = self.activation(z)
        return z.unflatten(1, self.shape)


@torch.no_grad()
def check_network(
    network: object,
    function: Callable[..., object],
    arguments: Sequence[Tensor],
    expected: tuple[int, ...],
    name: str,
) -> None:
    """Raise unless ``network`` is a module, and ``function(*arguments)``, which calls it, gives one
    tensor of the shape ``expected``.

    The network is asked in evaluation mode, and each part of it then goes back to its own.
    """
    if not isinstance(network, nn.Module):
        raise TypeError(f"{name}: expected a torch.nn.Module, got {network!r:.60}.")
    out = output_of(network, function, arguments, name)
    if out.shape != expected:
        raise ValueError(
            f"{name}: expected outputs of shape {expected} for two rows, got {tuple(out.shape)}."
        )


def output_of(
    network: nn.Module, function: Callable[..., object], arguments: Sequence[Tensor], name: str
) -> Tensor:
    """What ``function(*arguments)``, which calls ``network``, says in evaluation mode: one tensor,
    or an error that speaks of ``name``.
    """
    with evaluating(network):
        try:
            out = function(*arguments)
        except RuntimeError as error:
            raise ValueError(
                f"{name}: expected a network that takes {tuple(arguments[0].shape)}: {error}"
            ) from error
    return one_tensor(out, name)


def one_tensor(out: object, name: str) -> Tensor:
    """What the network ``name`` said, checked to be one tensor."""
    if not isinstance(out, Tensor):
        raise TypeError(f"{name}: expected one tensor, got {type(out).__name__}.")
    return out
