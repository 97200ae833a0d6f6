"""A deep autoencoder that begins as a stack of restricted Boltzmann machines.

Sources: the chapter on deep autoencoders of document C; Hinton and Salakhutdinov (2006), "Reducing
the dimensionality of data with neural networks", Science 313, 504–507.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Generator, Tensor

from genlib.core import History
from genlib.core.random import normal
from genlib.core.validation import check_counts
from genlib.data.loaders import binarizing_loader
from genlib.models.autoencoders import Autoencoder
from genlib.models.boltzmann.rbm import RBM
from genlib.models.boltzmann.restricted import linear_layers, unroll


class DeepAutoencoder(Autoencoder):
    """Autoencoder of sigmoid layers with a linear code, whose halves mirror each other.

    `pretrain` trains a restricted Boltzmann machine for each pair of neighbouring layers, the
    lowest first, on bits drawn anew in every epoch from the probabilities that the one below gives
    its hidden units; the code's units are Gaussian, of variance one. Then it *unrolls* them: each
    machine's weights become a layer of the encoder and, transposed, one of the decoder. ``fit``
    trains both halves, no longer tied, by the cross-entropy of the rows. Without `pretrain` it
    begins with the random weights of `Autoencoder`.

    Parameters
    ----------
    sizes : sequence of int
        Units of a row, of the hidden layers, and of the code; two at least.
    activation : str
        Of the layers between row and code, as for `Autoencoder`; the machines' own is the sigmoid.

    Raises
    ------
    TypeError, ValueError
        A number is not what it must be, or there are fewer than two layers.

    Examples
    --------
    >>> model = DeepAutoencoder([784, 100, 30])
    >>> model.encode(torch.zeros(3, 784)).shape
    torch.Size([3, 30])
    """

    lesson = "16_deep_autoencoders"

    def __init__(self, sizes: Sequence[int], *, activation: str = "sigmoid") -> None:
        check_counts(sizes, "sizes")
        if len(sizes) < 2:
            raise ValueError(
                f"sizes: expected a row's and a code's at least, as in [784, 1000, 30], got "
                f"{list(sizes)}."
            )
        shape, *hidden, latent = sizes
        super().__init__(shape, latent, hidden, activation=activation, error="cross_entropy")
        self.sizes = tuple(sizes)

    def pretrain(
        self, x: Tensor, *, epochs: int = 10, batch_size: int = 100, **settings: Any
    ) -> list[History]:
        """Train the machines, and begin both halves with their weights.

        Parameters
        ----------
        x : Tensor, shape (N, sizes[0])
            Values in [0, 1], which are probabilities of bits.
        epochs, batch_size : int
        **settings
            As for ``RBM.fit``, for every machine alike.

        Returns
        -------
        list of History
            One a machine.
        """
        self.check(x)
        if settings.get("checkpoint") is not None:
            raise ValueError("checkpoint: expected none; keep one of fit.")
        encoder, decoder = (linear_layers(part) for part in (self.encoder, self.decoder))
        histories = []
        layers = zip(pairwise(self.sizes), encoder, reversed(decoder), strict=True)
        for number, ((below, above), up, down) in enumerate(layers, 1):
            kind = RBM if number < len(encoder) else _GaussianCodeRBM
            machine = kind(below, above).to(self.device, self.dtype)
            bits = binarizing_loader(x, batch_size)
            histories.append(machine.fit(bits, epochs=epochs, **settings))
            unroll(machine, up, down)
            with torch.no_grad():
                x = machine._field(x).sigmoid()
        return histories


class _GaussianCodeRBM(RBM, abstract=True):
    """Binary visible units under real hidden ones.

        E(v, h) = ½ ‖h − c‖² − b · v − v W h

    so that h is Gaussian with mean c + v W and variance one, and F(v) = −b · v − v W c − ½ ‖v W‖².
    """

    def _free_energy(self, v: Tensor, field: Tensor) -> Tensor:
        return self._visible_energy(v, self.b) - 0.5 * (field**2 - self.c**2).sum(1)

    def _draw_hidden(self, field: Tensor, key: int, generator: Generator | None) -> Tensor:
        return field + normal(field.shape, field, generator)

    def _contrast(self, v: Tensor, field: Tensor, negatives: Tensor) -> Tensor:
        data = self._free_energy(v, self._field(v)).mean()
        return data - self._free_energy(negatives, self._field(negatives)).mean()
