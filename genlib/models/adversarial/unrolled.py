"""The unrolled GAN: a generator that looks some steps of its opponent ahead.

Source: Metz, Poole, Pfau and Sohl-Dickstein (2017), "Unrolled generative adversarial networks"; the
chapter on it of document C.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from genlib.core.validation import check_count, check_positive
from genlib.models.adversarial.costs import Cost
from genlib.models.adversarial.gan import GAN, check_settings


class UnrolledGAN(GAN):
    """GAN whose generator is judged by the discriminator as it will be ``unroll`` steps later.

    The generator minimises its cost under discriminator parameters θ_k that follow from the present
    ones, θ_0, by gradient steps on the discriminator's loss L::

        θ_{i+1} = θ_i − η ∇L(θ_i; generator),      i = 0, …, k − 1

    θ_k depends on the generator, and its gradient runs through all the steps: it tells the
    generator how the discriminator would answer. The steps are only looked ahead; the
    discriminator itself takes its own, as in `GAN`. All of them, and the judgement, see the same
    batch of data and the same z. With ``unroll`` = 0 this is `GAN`.

    In terms of V = −L the discriminator maximises, and the problem to solve is min over the
    generator of the max over the discriminator, which k → ∞ approaches; alternating steps do not
    tell it from the max of the min.

    Parameters
    ----------
    generator, discriminator, cost
        See `GAN`.
    latent : int
    unroll : int
        k, zero or more.
    unroll_rate : float
        η.
    **settings
        As for `GAN`. Optimisers move the two networks; the steps ahead are plain gradient steps.
        Each of several ``generator_steps`` looks ahead from the discriminator as it is.

    Raises
    ------
    TypeError, ValueError
        A setting is not what it must be, such as k < 0; see also `GAN`.

    References
    ----------
    Metz, Poole, Pfau and Sohl-Dickstein (2017), ICLR, equations 7 to 10.
    """

    lesson = "18_stable_adversarial_training"

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        cost: str | Cost = "non-saturating",
        *,
        latent: int,
        unroll: int = 5,
        unroll_rate: float = 0.1,
        **settings: Any,
    ) -> None:
        check_settings(UnrolledGAN, settings)
        check_count(unroll, "unroll", minimum=0)
        check_positive(unroll_rate, "unroll_rate")
        super().__init__(generator, discriminator, cost, latent=latent, **settings)
        self.unroll, self.unroll_rate = unroll, unroll_rate

    def generator_loss(self, x: Tensor) -> Tensor:
        """The generator's loss on new rows, as many as ``x`` has, under the discriminator that it
        would face after ``unroll`` steps on ``x`` and these rows.
        """
        self._check_batch_of_one(x)
        fake = self._fakes(x)
        return self.cost.generator(self._logits_under(self._ahead(x, fake), fake))

    @torch.enable_grad()
    def _ahead(self, x: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The discriminator's parameters after the steps, as functions of ``fake``."""
        named = self.discriminator.named_parameters()
        state = {name: value for name, value in named if value.requires_grad}
        for _ in range(self.unroll):
            loss = self._told_apart(partial(self._logits_under, state), x, fake)
            slopes = torch.autograd.grad(
                loss, list(state.values()), create_graph=True, materialize_grads=True
            )
            pairs = zip(state.items(), slopes, strict=True)
            state = {name: value - self.unroll_rate * slope for (name, value), slope in pairs}
        return state

    def _logits_under(self, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        """Logits under other parameters; the buffers that a forward pass changes stay as they
        are.
        """
        buffers = {name: b.clone() for name, b in self.discriminator.named_buffers()}
        out = functional_call(self.discriminator, {**parameters, **buffers}, (x,))
        return self._column(out, x)
