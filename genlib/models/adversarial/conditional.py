"""An adversarial game in which both players are told the label of a row.

Sources: the chapter on conditional adversarial networks of document C; Mirza and Osindero (2014),
"Conditional generative adversarial nets".
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.core.validation import check_count
from genlib.models.adversarial.costs import Cost
from genlib.models.adversarial.gan import GAN, check_settings
from genlib.models.adversarial.networks import with_numbers


class ConditionalGAN(GAN):
    """GAN of x given a label y: x = G(z, y), judged together with its label.

    Real and generated rows come with the same labels, those of the batch, so that the generator is
    to draw p(x | y), whatever the share of each label in the data.

    Parameters
    ----------
    generator : torch.nn.Module
        (N, latent + classes) to events: the label stands behind z, one-hot.
    discriminator : torch.nn.Module
        Events with their labels to logits, (N,) or (N, 1). Behind x the label stands one-hot too:
        as further columns, (N, D + classes), or of images as further channels that are constant
        over the image, (N, C + classes, H, W).
    cost : str or Cost
        See `GAN`.
    latent : int
    classes : int
        y is a label in 0 … classes − 1.
    **settings
        As for `GAN`.

    Raises
    ------
    TypeError, ValueError
        ``classes`` is no integer of at least 2; see also `GAN`.

    Notes
    -----
    All of ``fit``, ``sample``, ``decode``, ``logits``, ``interpolate`` and ``invert`` need ``y``,
    since there is no p(y).

    References
    ----------
    Mirza and Osindero (2014), equation 2.

    Examples
    --------
    >>> from genlib.models.adversarial.networks import mlp_discriminator, mlp_generator
    >>> networks = mlp_generator(latent=3 + 10), mlp_discriminator(shape=2 + 10)
    >>> model = ConditionalGAN(*networks, latent=3, classes=10)
    >>> model.sample(4, torch.tensor([7, 7, 0, 1])).shape
    torch.Size([4, 2])
    """

    lesson = "20_gan_zoo"

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        cost: str | Cost = "non-saturating",
        *,
        latent: int,
        classes: int,
        **settings: Any,
    ) -> None:
        check_settings(ConditionalGAN, settings)
        check_count(classes, "classes", minimum=2)
        self.classes = classes
        super().__init__(generator, discriminator, cost, latent=latent, **settings)

    def _condition(self, y: Tensor | None, count: int, name: str = "y") -> Tensor:
        if y is None:
            raise ValueError(f"{name}: this model is conditional: give the label of each row.")
        return super()._condition(y, count, name)

    def _generated(self, z: Tensor, y: Tensor) -> Tensor:
        return self.generator(self._with_labels(z, y))

    def _logits(self, x: Tensor, y: Tensor) -> Tensor:
        return self._column(self.discriminator(self._with_labels(x, y)), x)

    def _with_labels(self, x: Tensor, y: Tensor) -> Tensor:
        return with_numbers(x, F.one_hot(y, self.classes).to(x.dtype))

    def _example_labels(self, n: int, like: Tensor) -> tuple[Tensor, ...]:
        return (torch.zeros(n, dtype=torch.int64, device=like.device),)
