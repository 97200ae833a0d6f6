"""InfoGAN: codes that can be read off the rows which were made of them.

Source: Chen, Duan, Houthooft, Schulman, Sutskever and Abbeel (2016), "InfoGAN: interpretable
representation learning by information maximizing generative adversarial nets"; the chapter on other
adversarial networks of document C.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from genlib.core import Estimate
from genlib.core.random import integers, uniform
from genlib.core.validation import check_count, check_positive
from genlib.models.adversarial.costs import Cost
from genlib.models.adversarial.gan import GAN, check_settings
from genlib.nn.modes import evaluating


class InfoGAN(GAN):
    """InfoGAN: x = G(z, c) with a code c that a head Q of the discriminator can read off x.

    The code is a category, all equally likely, or numbers uniform in [−1, 1], or both; nobody
    says what it is to mean. The mutual information of code and row has a lower bound::

        L_I(G, Q) = E[log Q(c | G(z, c))] + H(c)  ≤  I(c; G(z, c))

    with equality where Q is the posterior, and H(c) = log (categories) + (continuous) log 2. Both
    players raise it, with ``information`` as its weight λ::

        discriminator, Q:  L_D(v(x), v(G(z, c)))  −  λ L_I(G, Q)
        generator:         L_G(v(G(z, c)))        −  λ L_I(G, Q)

    L_D and L_G being those of the ``cost``. Q(c | x) is a distribution over the categories times
    N(c; μ(x), σ²) for each number, with σ = ``scale``.

    Parameters
    ----------
    generator : torch.nn.Module
        (N, latent + categories + continuous) to events: behind z stands the category, one-hot,
        and then the numbers.
    discriminator : torch.nn.Module
        Events to (N, 1 + categories + continuous): the logit, a score for each category, and the
        means μ.
    cost : str or Cost
        See `GAN`.
    latent : int
        Number of latent variables beside the code.
    categories : int
        Two or more, or none with 0.
    continuous : int
        How many numbers the code has.
    information : float
        λ, zero or more.
    scale : float
        Standard deviation of Q's Gaussians: the smaller, the more an error of μ costs.
    **settings
        As for `GAN`.

    Raises
    ------
    TypeError, ValueError
        There is no code; a setting is not what it must be; see also `GAN`.

    Notes
    -----
    ``fit`` takes rows alone. A condition ``y`` is a code here, (N, categories + continuous):
    ``decode``, ``interpolate`` and ``invert`` need it, and ``sample`` draws one where none is
    given.

    References
    ----------
    Chen et al. (2016), NIPS, equations 5 and 6.

    Examples
    --------
    >>> from genlib.models.adversarial.networks import mlp_generator
    >>> networks = mlp_generator(latent=3 + 4 + 1), nn.Linear(2, 1 + 4 + 1)
    >>> model = InfoGAN(*networks, latent=3, categories=4, continuous=1)
    >>> model.codes(model.sample(5)).shape
    torch.Size([5, 5])
    """

    lesson = "20_gan_zoo"

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        cost: str | Cost = "non-saturating",
        *,
        latent: int,
        categories: int = 0,
        continuous: int = 0,
        information: float = 1.0,
        scale: float = 1.0,
        **settings: Any,
    ) -> None:
        check_settings(InfoGAN, settings)
        check_count(categories, "categories", minimum=0)
        check_count(continuous, "continuous", minimum=0)
        if categories == 1 or categories + continuous == 0:
            raise ValueError(
                "categories, continuous: expected a code of at least two categories or one number, "
                f"got {categories} and {continuous}."
            )
        check_positive(information, "information", zero=True)
        check_positive(scale, "scale")
        self.categories, self.continuous = categories, continuous
        self.information, self.scale = information, scale
        self.condition_shape = torch.Size([categories + continuous])
        super().__init__(generator, discriminator, cost, latent=latent, **settings)

    # ------------------------------------------------------------------ the game

    def discriminator_loss(self, x: Tensor) -> Tensor:
        """Loss of the discriminator and of Q on real rows ``x`` and as many new ones."""
        self._check_batch_of_one(x)
        code = self._drawn_codes(len(x), x, None)
        with torch.no_grad():
            fake = self._fakes(x, code)
        of_fake, about = self._outputs(fake)
        loss = self.cost.discriminator(self._logits(x), of_fake)
        loss = loss + self._penalty(self._logits, x, fake)
        return loss - self.information * self._bounds(about, code).mean()

    def generator_loss(self, x: Tensor) -> Tensor:
        """The generator's loss on new rows, as many as ``x`` has."""
        self._check_batch_of_one(x)
        code = self._drawn_codes(len(x), x, None)
        logits, about = self._outputs(self._fakes(x, code))
        return self.cost.generator(logits) - self.information * self._bounds(about, code).mean()

    def _bounds(self, about: Tensor, code: Tensor) -> Tensor:
        """log Q(c | x) + H(c) of each row, whose mean is the bound; nats."""
        scores, means = about.split([self.categories, self.continuous], 1)
        category, numbers = code.split([self.categories, self.continuous], 1)
        errors = ((numbers - means) / self.scale).square().sum(1)
        # log N(c; μ, σ²) + log 2 of each number
        constant = math.log(2) - 0.5 * math.log(2 * math.pi) - math.log(self.scale)
        total = self.continuous * constant - 0.5 * errors
        if self.categories:
            log_q = (category * scores.log_softmax(1)).sum(1)
            total = total + log_q + math.log(self.categories)
        return total

    # ------------------------------------------------------------------ codes

    def draw_codes(self, n: int, generator: Generator | None = None) -> Tensor:
        """``n`` codes (n, categories + continuous): one-hot categories, and numbers uniform in
        [−1, 1).
        """
        check_count(n)
        return self._drawn_codes(n, next(self.generator.parameters()), generator)

    def codes(self, x: Tensor) -> Tensor:
        """What Q reads off each row, in evaluation mode: the probability of each category, then the
        means of the numbers, (N, categories + continuous).
        """
        self.check(x)
        with evaluating(self.discriminator):
            scores, means = self._outputs(x)[1].split([self.categories, self.continuous], 1)
        return torch.cat([scores.softmax(1), means], 1)

    @torch.no_grad()
    def bound(self, n: int = 1000, generator: Generator | None = None) -> Estimate:
        """L_I(G, Q) in nats, estimated from ``n`` ≥ 2 new rows, in evaluation mode."""
        check_count(n, minimum=2)
        code = self.draw_codes(n, generator)
        x = self._sample(n, generator, code)
        with evaluating(self.discriminator):
            bounds = self._bounds(self._outputs(x)[1], code)
        return Estimate(bounds.mean(), bounds.std() / n**0.5)

    def _drawn_codes(self, n: int, like: Tensor, generator: Generator | None) -> Tensor:
        parts = []
        if self.categories:
            drawn = integers(self.categories, (n,), like, generator)
            parts.append(F.one_hot(drawn, self.categories).to(like.dtype))
        if self.continuous:
            parts.append(2 * uniform((n, self.continuous), like, generator) - 1)
        return torch.cat(parts, 1)

    # ------------------------------------------------------------------ queries

    def logits(self, x: Tensor) -> Tensor:
        """What the discriminator says of events, in evaluation mode: (N, \\*event_shape) → (N,)."""
        self.check(x)
        with evaluating(self.discriminator):
            return self._logits(x)

    def check_batch(self, *batch: Tensor, name: str = "x") -> None:
        """Raise unless there are rows, and nothing beside them."""
        if len(batch) > 1:
            raise ValueError(f"y: {type(self).__name__} finds its codes itself; leave y out.")
        super().check_batch(*batch, name=name)

    def _sample(self, n: int, generator: Generator | None, y: Tensor | None = None) -> Tensor:
        code = self.draw_codes(n, generator) if y is None else y
        return super()._sample(n, generator, code)

    def _told(self, y: Tensor | None, count: int) -> tuple[Tensor, ...]:
        if y is None:
            raise ValueError("y: expected the code of each row; model.draw_codes(n) draws some.")
        return super()._told(y, count)

    def _generated(self, z: Tensor, y: Tensor) -> Tensor:
        return self.generator(torch.cat([z, y], 1))

    def _logits(self, x: Tensor) -> Tensor:
        return self._outputs(x)[0]

    def _outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N,), and what Q says of the codes, (N, categories + continuous)."""
        size = self.categories + self.continuous
        return self._parted(self.discriminator(x), x, size, f"{size} numbers on the code")

    def _example_labels(self, n: int, like: Tensor) -> tuple[Tensor, ...]:
        return (like.new_zeros(n, *self.condition_shape),)

    def _judged_beside(self, z: Tensor, *y: Tensor) -> tuple[Tensor, ...]:
        return ()
