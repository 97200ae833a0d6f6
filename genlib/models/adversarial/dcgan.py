"""The deep convolutional GAN: an adversarial game between two convolutional networks.

Source: Radford, Metz and Chintala (2016), "Unsupervised representation learning with deep
convolutional generative adversarial networks"; the chapters on it of documents C and U.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch.optim import Adam

from genlib.core.validation import check_choice, check_counts
from genlib.models.adversarial.costs import Cost
from genlib.models.adversarial.gan import GAN, check_settings
from genlib.models.adversarial.networks import BATCH_NORM, DCGANDiscriminator, DCGANGenerator
from genlib.nn.dense import ACTIVATIONS

ADAM = partial(Adam, lr=2e-4, betas=(0.5, 0.999))


class DCGAN(GAN):
    """Deep convolutional GAN for images in [0, 1].

    The generator and the discriminator are mirror images of each other after the five rules of
    Radford et al.: strided convolutions in place of pooling; batch norm in both; no hidden dense
    layers; ReLU in the generator, and tanh at its end; leaky ReLU in the discriminator. Each of
    them has a setting, so that it can be left out. Both players are trained by Adam with rate
    0.0002 and β₁ = ½, unless the model or ``fit`` is given another optimiser.

    Parameters
    ----------
    shape : sequence of int
        (C, H, W); H and W can be halved as often as there are ``channels``.
    latent : int
    channels : sequence of int
        Of the discriminator's convolutions, each of which halves the sides; the generator has the
        same, in reverse.
    cost : str or Cost
        See `GAN`.
    strided : bool
        Rule 1; else upsampling by repetition, and maximum pooling.
    batch_norm : {"both", "generator", "discriminator", "neither"}
        Rule 2.
    hidden : int
        Rule 3: units of a dense layer in each network, none with 0.
    generator_activation, discriminator_activation : str
        Rules 4 and 5; see `genlib.nn.dense`.
    **settings
        As for `GAN`. A gradient penalty excludes batch norm from the discriminator.

    Raises
    ------
    TypeError, ValueError
        A setting is not what it must be; see also `GAN`.

    Notes
    -----
    Departures from the paper, after common practice: kernels are 4 × 4, a multiple of the stride
    (5 × 5 there); z is normal (uniform there); images lie in [0, 1] and are mapped to tanh's range
    within the networks.

    References
    ----------
    Radford, Metz and Chintala (2016), ICLR.

    Examples
    --------
    >>> model = DCGAN((1, 16, 16), latent=8, channels=(8, 16))
    >>> model.sample(3).shape
    torch.Size([3, 1, 16, 16])
    """

    lesson = "19_convolutional_gans"

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
        latent: int = 100,
        channels: Sequence[int] = (64, 128),
        cost: str | Cost = "non-saturating",
        *,
        strided: bool = True,
        batch_norm: str = "both",
        hidden: int = 0,
        generator_activation: str = "relu",
        discriminator_activation: str = "leaky_relu",
        **settings: Any,
    ) -> None:
        check_settings(DCGAN, settings)
        check_counts(channels, "channels")
        check_choice(batch_norm, BATCH_NORM, "batch_norm")
        check_choice(generator_activation, ACTIVATIONS, "generator_activation")
        check_choice(discriminator_activation, ACTIVATIONS, "discriminator_activation")
        generator = DCGANGenerator(
            latent,
            shape,
            tuple(reversed(channels)),
            batch_norm=batch_norm in ("both", "generator"),
            strided=strided,
            hidden=hidden,
            activation=generator_activation,
        )
        discriminator = DCGANDiscriminator(
            shape,
            channels,
            batch_norm=batch_norm in ("both", "discriminator"),
            strided=strided,
            hidden=hidden,
            activation=discriminator_activation,
        )
        adam = {"discriminator_optimizer": ADAM, "generator_optimizer": ADAM}
        super().__init__(generator, discriminator, cost, latent=latent, **(adam | settings))
