"""Pix2pix: an adversarial game of pictures given condition images, in pairs.

Sources: Isola, Zhu, Zhou and Efros (2017), "Image-to-image translation with conditional adversarial
networks"; the chapter on translation between images of document C.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from genlib.core.shapes import as_shape
from genlib.core.validation import check_positive
from genlib.models.adversarial.costs import Cost
from genlib.models.adversarial.game import logits_of, probed
from genlib.models.adversarial.gan import GAN, check_settings
from genlib.models.adversarial.networks import with_numbers


class Pix2Pix(GAN):
    """Pix2pix: a picture x = G(y) of a condition image y, judged together with it, from pairs.

    The discriminator learns to tell pairs (x, y) of the data from (G(y), y). The generator wants
    to be taken for data, and to come near to the very x that belongs to y::

        discriminator:  L_D(v(x, y), v(G(y), y))
        generator:      L_G(v(G(y), y))  +  λ E|x − G(y)|

    L_D and L_G being those of the ``cost``, and the absolute error a mean over all values. Alone,
    it would lead to a median of all pictures that y allows for, which is blurred where there are
    many; the game asks for one of them.

    Parameters
    ----------
    generator : torch.nn.Module
        Condition images (N, \\*condition_shape) to events (N, \\*event_shape). Latent variables, if
        any, stand behind y as further channels that are constant over the image.
    discriminator : torch.nn.Module
        Pairs, y as further channels behind x, (N, C + C_y, H, W), to logits: one a row, (N,) or
        (N, 1), or one a patch, (N, 1, h, w).
    cost : str or Cost
        See `GAN`; its means are over rows and patches.
    condition_shape : int, or sequence of int
        Of a condition image, (C_y, H, W).
    l1 : float
        λ, zero or more.
    latent : int
        Number of latent variables; none with 0: then a condition has one picture.
    **settings
        As for `GAN`. A gradient penalty is on the slope in x of the mean logit of a row.

    Raises
    ------
    TypeError, ValueError
        A setting is not what it must be; see also `GAN`.

    Notes
    -----
    ``fit(x, y)``: x are the pictures, y the condition images, one a row. ``translate(y)`` and
    ``sample(n, y)`` answer in evaluation mode. Isola et al. leave dropout on for some noise, by
    which, they found, pictures hardly differ.

    References
    ----------
    Isola, Zhu, Zhou and Efros (2017), CVPR, equations 1 to 4.

    Examples
    --------
    >>> networks = nn.Conv2d(2, 1, 3, padding=1), nn.Conv2d(1 + 2, 1, 4, stride=2)
    >>> model = Pix2Pix(*networks, condition_shape=(2, 8, 8))
    >>> model.translate(torch.zeros(5, 2, 8, 8)).shape
    torch.Size([5, 1, 8, 8])
    """

    lesson = "20_gan_zoo"
    cannot: ClassVar = {
        "encode": "no network leads from a picture back to its condition or to latent variables.",
    }
    _fewest_latent = 0

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        cost: str | Cost = "non-saturating",
        *,
        condition_shape: int | Sequence[int],
        l1: float = 100.0,
        latent: int = 0,
        **settings: Any,
    ) -> None:
        check_settings(Pix2Pix, settings)
        check_positive(l1, "l1", zero=True)
        self.condition_shape = as_shape(condition_shape, "condition_shape")
        self.l1 = l1
        super().__init__(generator, discriminator, cost, latent=latent, **settings)

    def generator_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """The generator's loss on the pictures of the condition images ``y``."""
        self._check_batch_of_one(x)
        fake = self._fakes(x, y)
        return self.cost.generator(self._logits(fake, y)) + self.l1 * (fake - x).abs().mean()

    def translate(self, y: Tensor, generator: Generator | None = None) -> Tensor:
        """A picture of each condition image, (N, \\*event_shape): a sample, of as many rows."""
        rows = len(y) if isinstance(y, Tensor) and y.dim() else 0
        return self.sample(len(self._condition(y, rows)), y, generator=generator)

    def invert(self, x: Tensor, y: Tensor | None = None, **settings: Any) -> Tensor:
        """See `GAN.invert`: latent variables, where there are some, under the conditions ``y``."""
        self._require_latent("invert")
        return super().invert(x, y, **settings)

    def _condition(self, y: Tensor | None, count: int, name: str = "y") -> Tensor:
        if y is None:
            raise ValueError(
                f"{name}: this model is conditional: give the condition image of each row."
            )
        if isinstance(y, Tensor) and y.dim() and len(y) not in (0, count):
            raise ValueError(
                f"{name}: expected pairs, a condition image for each of {count} rows, got "
                f"{len(y)}; of two sets without pairs learns gl.CycleGAN."
            )
        return super()._condition(y, count, name)

    def _generated(self, z: Tensor, y: Tensor) -> Tensor:
        return self.generator(with_numbers(y, z) if self.latent else y)

    def _logits(self, x: Tensor, y: Tensor) -> Tensor:
        return self._column(self.discriminator(torch.cat([x, y], 1)), x)

    def _column(self, out: object, x: Tensor) -> Tensor:
        return logits_of(out, x, self._judge, patches=True)

    def _penalty(
        self, judge: Callable[[Tensor], Tensor], x: Tensor, fake: Tensor
    ) -> Tensor | float:
        return super()._penalty(lambda rows: judge(rows).reshape(len(rows), -1).mean(1), x, fake)

    def _check_latent(self, z: Tensor, name: str) -> None:
        self._require_latent(name)
        super()._check_latent(z, name)

    def _require_latent(self, name: str) -> None:
        if not self.latent:
            raise ValueError(
                f"{name}: expected a model with latent variables, got one with latent=0, of which "
                "translate(y) gives the one picture of each condition."
            )

    def _tried_generator(self, z: Tensor, y: Tensor) -> tuple[Tensor, str]:
        given = with_numbers(y, z) if self.latent else y
        return probed(self.generator, self.generator, (given,), "generator")

    def _example_labels(self, n: int, like: Tensor) -> tuple[Tensor, ...]:
        return (like.new_zeros(n, *self.condition_shape),)
