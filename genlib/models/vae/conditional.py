"""A variational autoencoder of x given y.

Sources: the chapters on variational autoencoders of document C; Kingma, Rezende, Mohamed and
Welling (2014), "Semi-supervised learning with deep generative models"; Sohn, Lee and Yan (2015),
"Learning structured output representation using deep conditional generative models".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from genlib.core.shapes import as_shape
from genlib.core.validation import check_count
from genlib.models.vae.vae import VAE


class ConditionalVAE(VAE):
    """Conditional VAE: p(x | y) = ∫ p(x | z, y) N(z; 0, I) dz, with q(z | x, y).

    What y says of x, z need not hold: for digits with their labels, z is left with the style.

    Parameters
    ----------
    shape, latent, hidden
        As for `VAE`.
    classes : int, optional
        y is a label in 0 … classes − 1.
    condition_shape : int, or sequence of int, optional
        y is a tensor of this shape. One of the two must be given.
    **settings
        As for `VAE`. Networks of your own see y behind x and z: as one-hot labels or flattened
        numbers, for convolutions as further channels that are constant over the image.

    Raises
    ------
    TypeError, ValueError
        Neither ``classes`` nor ``condition_shape`` is given, or both; or as for `VAE`.

    Notes
    -----
    All queries but ``encode`` need ``y``, since there is no p(y). ``encode`` asks for rows with
    their y: `encode_given`.
    """

    cannot = {  # noqa: RUF012
        "encode": "q(z | x, y) needs y as well: encode_given(x, y) gives its mean.",
    }

    def __init__(
        self,
        shape: int | Sequence[int] = 784,
        latent: int = 10,
        hidden: Sequence[int] = (200, 200),
        *,
        classes: int | None = None,
        condition_shape: int | Sequence[int] | None = None,
        **settings: Any,
    ) -> None:
        if (classes is None) == (condition_shape is None):
            raise ValueError(
                "classes, condition_shape: expected one of them, got "
                f"{'neither' if classes is None else 'both'}."
            )
        if classes is not None:
            check_count(classes, "classes", minimum=2)
            self.classes = classes
        else:
            self.condition_shape = as_shape(condition_shape, "condition_shape")
        self._as_channels = bool(settings.get("channels"))
        super().__init__(shape, latent, hidden, **settings)

    def encode_given(self, x: Tensor, y: Tensor) -> Tensor:
        """Mean of q(z | x, y) of each row, (N, latent)."""
        return self.posterior.centre(self._encoded(*self._checked(x, y))).to(x.dtype)

    def _condition(self, y: Tensor | None, count: int, name: str = "y") -> Tensor:
        if y is None:
            raise ValueError(
                f"{name}: this model is conditional: give the label or condition of each row."
            )
        return super()._condition(y, count, name)

    def _encoded(self, x: Tensor, y: Tensor) -> Tensor:
        told = self._numbers(y)
        if self._as_channels:
            maps = told[:, :, None, None].expand(-1, -1, *x.shape[2:])
            return self.encoder(torch.cat([x, maps], 1))
        return self.encoder(torch.cat([x.flatten(1), told], 1))

    def _decoded(self, z: Tensor, y: Tensor) -> Tensor:
        return self.decoder(torch.cat([z, self._numbers(y)], 1))

    def _numbers(self, y: Tensor) -> Tensor:
        """Labels one-hot, conditions flattened, (N, numbers)."""
        if self.classes is None:
            return y.flatten(1)
        return F.one_hot(y, self.classes).to(next(self.parameters()).dtype)

    @property
    def _condition_size(self) -> int:
        return self.condition_shape.numel() if self.classes is None else self.classes

    def _no_condition(self, n: int) -> tuple[Tensor, ...]:
        if self.classes is None:
            return (torch.zeros(n, *self.condition_shape),)
        return (torch.zeros(n, dtype=torch.int64),)
