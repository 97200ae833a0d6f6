"""The bidirectional GAN: a generator and an encoder, judged by the pairs that they make.

Sources: Donahue, Krähenbühl and Darrell (2017), "Adversarial feature learning"; Dumoulin et al.
(2017), "Adversarially learned inference"; the chapter on other adversarial networks of document C.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from genlib.core import Player
from genlib.models.adversarial.costs import Cost
from genlib.models.adversarial.game import has_batch_norm
from genlib.models.adversarial.gan import GAN, check_settings
from genlib.models.adversarial.networks import with_numbers
from genlib.nn.dense import check_network
from genlib.nn.modes import evaluating


class BiGAN(GAN):
    """Bidirectional GAN: a generator z ↦ G(z), an encoder x ↦ E(x), and a discriminator of pairs.

    The discriminator learns to tell pairs (x, E(x)) of the data from pairs (G(z), z) with
    z ~ N(0, I); generator and encoder, one player, learn to make the two alike::

        discriminator:       L_D(v(x, E(x)), v(G(z), z))
        generator, encoder:  L_G(v(G(z), z)) + L_E(v(x, E(x)))

    L_D, L_G and L_E being those of the ``cost``: with ``"non-saturating"``, L_G = −E[log D] and
    L_E = −E[log (1 − D)]. Where the two joint distributions agree, G draws p(x), codes of the data
    are N(0, I), and E inverts G: no error of reconstruction was asked for. Before that, E(x) may
    be far from all z with G(z) = x.

    Parameters
    ----------
    generator : torch.nn.Module
        (N, latent) to events.
    discriminator : torch.nn.Module
        Pairs to logits, (N,) or (N, 1). Behind x stands z: as further columns, (N, D + latent),
        or of images as further channels that are constant over the image, (N, C + latent, H, W).
    encoder : torch.nn.Module
        Events to (N, latent).
    cost : str or Cost
        See `GAN`; a cost of your own must have an ``encoder``.
    latent : int
    **settings
        As for `GAN`. The generator's optimiser and steps are the encoder's too, and a gradient
        penalty is on the slope in x and z together.

    Raises
    ------
    TypeError, ValueError
        The encoder has other outputs, or parameters that are another network's; the cost knows
        none; see also `GAN`.

    Notes
    -----
    The encoder is a function, as with Donahue et al.; that of Dumoulin et al. draws from a Gaussian
    q(z | x).

    References
    ----------
    Donahue, Krähenbühl and Darrell (2017), ICLR, section 3; Dumoulin et al. (2017), ICLR.

    Examples
    --------
    >>> from genlib.models.adversarial.networks import mlp_discriminator, mlp_generator
    >>> networks = mlp_generator(latent=3), mlp_discriminator(shape=2 + 3), nn.Linear(2, 3)
    >>> model = BiGAN(*networks, latent=3)
    >>> model.encode(model.sample(5)).shape
    torch.Size([5, 3])
    """

    lesson = "20_gan_zoo"

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        encoder: nn.Module,
        cost: str | Cost = "non-saturating",
        *,
        latent: int,
        **settings: Any,
    ) -> None:
        check_settings(BiGAN, settings)
        super().__init__(generator, discriminator, cost, latent=latent, **settings)
        if self.cost.encoder is None:
            raise ValueError(
                f"cost: expected one that says what an encoder minimises, got {self.cost.name!r} "
                "without an encoder; see genlib.models.adversarial.costs.Cost."
            )
        self.encoder = encoder
        self._check_encoder()

    def players(self) -> list[Player]:
        """Who moves: the discriminator, then the generator together with the encoder."""
        return self._sides([self.discriminator], [self.generator, self.encoder])

    def discriminator_loss(self, x: Tensor) -> Tensor:
        """The discriminator's loss on the pairs (x, E(x)) and on as many of the generator's."""
        self._check_batch_of_one(x)
        with torch.no_grad():
            pairs = self._pairs_of_both(x)
        return self._told_apart(self._logits_of_pairs, *pairs)

    def generator_loss(self, x: Tensor) -> Tensor:
        """Loss of generator and encoder, on the pairs (x, E(x)) and on as many of the former's."""
        self._check_batch_of_one(x)
        of_real, of_fake = map(self._logits_of_pairs, self._pairs_of_both(x))
        return self.cost.generator(of_fake) + self.cost.encoder(of_real)

    def logits(self, x: Tensor, z: Tensor | None = None) -> Tensor:
        """What the discriminator says of pairs (x, z), or (x, E(x)), in evaluation mode: (N,)."""
        self.check(x)
        if z is None:
            z = self._encode(x)
        self._check_latent(z, "z")
        if len(z) != len(x):
            raise ValueError(f"z: expected one row for each of x, {len(x)}, got {len(z)}.")
        with evaluating(self.discriminator):
            return self._logits(x, z)

    def _encode(self, x: Tensor) -> Tensor:
        with evaluating(self.encoder):
            return self.encoder(x)

    def _pairs_of_both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pairs of the encoder and of the generator, each in one row of numbers."""
        z = self.noise(len(x)).to(x.dtype)
        fake = self._generated(z).to(x.dtype)
        code = self.encoder(x).to(x.dtype)
        return tuple(torch.cat([a.flatten(1), b], 1) for a, b in ((x, code), (fake, z)))

    def _logits_of_pairs(self, pairs: Tensor) -> Tensor:
        x, z = pairs.split([self.event_shape.numel(), self.latent], 1)
        return self._logits(x.unflatten(1, self.event_shape), z)

    def _logits(self, x: Tensor, z: Tensor) -> Tensor:
        return self._column(self.discriminator(with_numbers(x, z)), x)

    def _judged_beside(self, z: Tensor) -> tuple[Tensor, ...]:
        return (z,)

    def _check_encoder(self) -> None:
        x = next(self.generator.parameters()).new_zeros(2, *self.event_shape)
        check_network(self.encoder, self.encoder, (x,), (2, self.latent), "encoder")
        others = {*self.generator.parameters(), *self.discriminator.parameters()}
        if not others.isdisjoint(self.encoder.parameters()):
            raise ValueError(
                "encoder: expected a network without parameters of the other two, whose losses "
                "would pull them both ways."
            )
        self._has_batch_norm |= has_batch_norm(self.encoder)
