"""The autoencoder: x to a code and back.

Sources: the chapters on autoencoders of documents U and C; Hinton and Salakhutdinov (2006),
"Reducing the dimensionality of data with neural networks".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import constraints
from torch.nn import functional as F

from genlib.core import Density, Model
from genlib.core.shapes import as_shape, check_halvings, check_image_shape
from genlib.core.validation import (
    check_choice,
    check_count,
    check_counts,
    check_event,
    check_flag,
)
from genlib.nn.dense import (
    ACTIVATIONS,
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    Transposed,
    check_network,
    dense,
)

ERRORS = {"squared": constraints.real, "cross_entropy": constraints.unit_interval}


class Reconstruction(Model, abstract=True):
    """What all autoencoders share: g∘f, an encoder f and then a decoder g, and how far x is from
    g(f(x)).

    A subclass sets ``event_shape``, ``latent`` and ``error``, and says what `_encoded` and
    `_decoded` are.
    """

    density = Density.NONE
    lesson = "13_autoencoders"
    cannot = {  # noqa: RUF012
        "log_prob": "an autoencoder learns to restore rows, not how probable they are: nothing in "
        "its loss is normalised over x, and rows of another kind may be restored as well; VAE "
        "bounds a density.",
        "sample": "nothing says how codes are distributed, and codes at will decode to anything; "
        "VAE has a prior.",
    }
    latent: int
    error: str

    @property
    def support(self) -> constraints.Constraint:
        """[0, 1] where the error is a cross-entropy, else the real numbers."""
        return ERRORS[self.error]

    def decode(self, z: Tensor) -> Tensor:
        """g(z) for each row of ``z``: (M, latent) → (M, \\*shape)."""
        check_event(z, torch.Size([self.latent]), dtype=self.dtype, device=self.device, name="z")
        return self._mean(self._decoded(z))

    def reconstruct(self, x: Tensor) -> Tensor:
        """g(f(x)) of each row of ``x``, of its shape."""
        self.check(x)
        return self._mean(self._decoded(self._encoded(x)))

    def reconstruction_error(self, x: Tensor) -> Tensor:
        """Error of each row of ``x``, (N,): a sum over its values. It is no density."""
        self.check(x)
        return self._errors(x, x)

    def loss(self, x: Tensor) -> Tensor:
        """Mean error of the rows, each a sum over values."""
        return self._errors(x, x).mean()

    def _errors(self, seen: Tensor, x: Tensor) -> Tensor:
        """How far each row of ``x`` is from what is restored of the one ``seen``, (N,)."""
        return self._errors_of(self._encoded(seen), x)

    def _errors_of(self, z: Tensor, x: Tensor) -> Tensor:
        """How far each row of ``x`` is from what is restored of its code, (N,)."""
        out = self._decoded(z)
        if self.error == "squared":
            each = (x - out).square()
        else:
            each = F.binary_cross_entropy_with_logits(out, x, reduction="none")
        return each.flatten(1).sum(1)

    def _mean(self, out: Tensor) -> Tensor:
        """What the decoder's output ``out`` says of x."""
        return out if self.error == "squared" else out.sigmoid()

    def _encode(self, x: Tensor) -> Tensor:
        return self._encoded(x)

    def _encoded(self, x: Tensor) -> Tensor:
        """f(x), (N, latent)."""
        raise NotImplementedError

    def _decoded(self, z: Tensor) -> Tensor:
        """g(z) before its last sigmoid, where it has one, (N, \\*shape)."""
        raise NotImplementedError


class Autoencoder(Reconstruction):
    """Autoencoder: an encoder f and a decoder g, trained to restore each row from its code, g∘f.

    Training minimises, averaged over rows and summed over the values i of a row, with x̂ = g(f(x))::

        Σ_i (x_i − x̂_i)²                                     "squared"
        −Σ_i x_i log x̂_i + (1 − x_i) log(1 − x̂_i)            "cross_entropy", in nats

    for the second of which x is in [0, 1] and g ends in a sigmoid.

    It answers no density. A code for each row and a row for each code say nothing of how rows, or
    codes, are distributed: a small error means that x can be restored, not that it is probable.

    Parameters
    ----------
    shape : int, or sequence of int
        Of an event: a number of values, or (C, H, W) for images.
    latent : int
        Units of the code.
    hidden : sequence of int
        Units of the encoder's dense layers before the code; the decoder has the same, in reverse.
    channels : sequence of int
        Channels of the convolutions before them, each of which halves the sides of the image; none
        by default.
    activation : {"relu", "leaky_relu", "tanh", "silu", "softplus", "sigmoid"}
        Of the layers between x and code.
    code_activation : {"linear", "relu", "leaky_relu", "tanh", "silu", "softplus", "sigmoid"}
        Of the code itself.
    output_activation : {"linear", "relu", "leaky_relu", "tanh", "silu", "softplus", "sigmoid"}
        Of the decoder's last layer. In a stack, a layer that restores the codes of another has the
        ``code_activation`` of that one here: linear ones would make the stack's decoder linear.
    error : {"squared", "cross_entropy"}
    tied : bool
        The decoder has the encoder's weights, transposed, and biases of its own. For dense layers.
    encoder, decoder : torch.nn.Module, optional
        Networks of your own: (N, \\*shape) to (N, latent) and back, the decoder without its last
        sigmoid. A model with such networks cannot be written by `save`; keep its ``state_dict``.

    Raises
    ------
    TypeError, ValueError
        A number is not what it must be; a network of your own has outputs of another shape; or two
        settings exclude each other.

    References
    ----------
    Hinton and Salakhutdinov (2006), "Reducing the dimensionality of data with neural networks",
    Science 313, 504–507.

    Examples
    --------
    >>> model = Autoencoder(64, latent=2, hidden=(32,))
    >>> x = torch.zeros(3, 64)
    >>> model.encode(x).shape, model.reconstruct(x).shape
    (torch.Size([3, 2]), torch.Size([3, 64]))
    """

    def __init__(
        self,
        shape: int | Sequence[int] = 784,
        latent: int = 32,
        hidden: Sequence[int] = (200,),
        *,
        channels: Sequence[int] = (),
        activation: str = "relu",
        code_activation: str = "linear",
        output_activation: str = "linear",
        error: str = "squared",
        tied: bool = False,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.event_shape = as_shape(shape)
        check_count(latent, "latent")
        check_counts(hidden, "hidden")
        check_counts(channels, "channels")
        check_choice(code_activation, ("linear", *ACTIVATIONS), "code_activation")
        check_choice(output_activation, ("linear", *ACTIVATIONS), "output_activation")
        check_choice(error, ERRORS, "error")
        check_flag(tied, "tied")
        if channels:
            check_image_shape(self.event_shape)
            check_halvings(self.event_shape, len(channels))
        if error == "cross_entropy" and output_activation != "linear":
            raise ValueError(
                'output_activation: expected "linear" with a cross-entropy, which has its own '
                f"sigmoid, got {output_activation!r}."
            )
        if tied and (channels or encoder is not None or decoder is not None):
            raise ValueError(
                "tied: expected dense layers that the model makes itself; leave channels=, "
                "encoder= and decoder= out, or tied."
            )
        self.latent, self.error = latent, error
        sizes = [*hidden, latent]
        self.encoder = encoder or self._make_encoder(sizes, channels, activation, code_activation)
        if tied:
            self.decoder = Transposed(self.encoder, self.event_shape, activation)
        else:
            self.decoder = decoder or self._make_decoder(sizes[::-1], channels, activation)
        linear = output_activation == "linear"
        self.output = nn.Identity() if linear else ACTIVATIONS[output_activation]()
        self._check_networks()

    def _encoded(self, x: Tensor) -> Tensor:
        return self.encoder(x)

    def _decoded(self, z: Tensor) -> Tensor:
        return self.output(self.decoder(z))

    def _make_encoder(
        self, sizes: Sequence[int], channels: Sequence[int], activation: str, code_activation: str
    ) -> nn.Sequential:
        if channels:
            layers = [*ConvolutionalEncoder(self.event_shape, channels, sizes, activation)]
        else:
            layers = [nn.Flatten(), *dense([self.event_shape.numel(), *sizes], activation)]
        if code_activation != "linear":
            layers.append(ACTIVATIONS[code_activation]())
        return nn.Sequential(*layers)

    def _make_decoder(
        self, sizes: Sequence[int], channels: Sequence[int], activation: str
    ) -> nn.Sequential:
        shape = self.event_shape
        if channels:
            return ConvolutionalDecoder(sizes, [*reversed(channels)], shape, activation)
        return nn.Sequential(*dense([*sizes, shape.numel()], activation), nn.Unflatten(1, shape))

    def _check_networks(self) -> None:
        """Raise unless the networks map events to codes and codes to events."""
        x, z = torch.zeros(2, *self.event_shape), torch.zeros(2, self.latent)
        check_network(self.encoder, self._encoded, (x,), (2, self.latent), "encoder")
        check_network(self.decoder, self._decoded, (z,), (2, *self.event_shape), "decoder")
