"""Adversarial networks whose discriminator is an autoencoder: EBGAN and BEGAN.

Sources: Zhao, Mathieu and LeCun (2017), "Energy-based generative adversarial networks"; Berthelot,
Schumm and Metz (2017), "BEGAN: boundary equilibrium generative adversarial networks"; the chapter
on other adversarial networks of document C.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.core.validation import check_between, check_positive
from genlib.models.adversarial.costs import Cost
from genlib.models.adversarial.gan import GAN, SETTINGS, check_settings
from genlib.nn.dense import one_tensor
from genlib.nn.modes import evaluating

_KNOWN = tuple(name for name in SETTINGS if name != "smoothing")  # there are no labels to smooth


class Reconstructing(GAN, abstract=True):
    """A game whose discriminator reconstructs rows: its logit is minus the error."""

    lesson = "20_gan_zoo"
    _power: ClassVar[int] = 2

    def reconstruct(self, x: Tensor) -> Tensor:
        """What the discriminator makes of each row, of the shape of ``x``, in evaluation mode."""
        self.check(x)
        with evaluating(self.discriminator):
            return self._reconstructed(x)

    def reconstruction_error(self, x: Tensor) -> Tensor:
        """Error of each row, (N,), in evaluation mode: minus its `logits`."""
        return -self.logits(x)

    def _logits(self, x: Tensor) -> Tensor:
        return -(self._reconstructed(x) - x).abs().pow(self._power).flatten(1).mean(1)

    def _reconstructed(self, x: Tensor) -> Tensor:
        out = one_tensor(self.discriminator(x), self._judge)
        if out.shape != x.shape:
            raise ValueError(
                f"{self._judge}: expected an autoencoder, whose outputs have the shape of its "
                f"inputs, {tuple(x.shape)}, got {tuple(out.shape)}."
            )
        return out.to(x.dtype)


class EBGAN(Reconstructing):
    """Energy-based GAN: the discriminator gives rows an energy, its error of reconstruction.

    The energy U(x) = ‖A(x) − x‖² / D, a mean over the D values of a row, is to be low for rows of
    the data and at least the ``margin`` m for those of the generator, which is to find rows of low
    energy::

        discriminator:  E[U(x)] + E[max(0, m − U(G(z)))]
        generator:      E[U(G(z))] + w · PT

    The *pulling-away term* PT is, over all pairs of different rows of a batch, the mean of the
    squared cosine between their codes: the larger, the more the rows are alike. A discriminator
    that reconstructed everything would leave nothing to learn; the margin, and a narrow code,
    prevent it. Energies are compared with each other and are no −log p(x).

    Parameters
    ----------
    generator : torch.nn.Module
        (N, latent) to events.
    discriminator : torch.nn.Module
        A, an autoencoder: events to events. For the pulling-away term it has a part ``encoder``,
        events to codes.
    latent : int
    margin : float
        m, positive, in units of the energy: to be below that of rows unlike the data.
    pulling_away : float
        w, zero or more.
    **settings
        As for `GAN`, but for ``smoothing``.

    Raises
    ------
    TypeError, ValueError
        The discriminator's outputs have another shape than its inputs; the pulling-away term has
        no codes; a setting is not what it must be; see also `GAN`.

    References
    ----------
    Zhao, Mathieu and LeCun (2017), ICLR, sections 2.1, 2.3 and 2.4.

    Examples
    --------
    >>> from genlib.models.adversarial.networks import mlp_generator
    >>> autoencoder = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
    >>> model = EBGAN(mlp_generator(latent=3), autoencoder, latent=3)
    >>> model.reconstruction_error(model.sample(5)).shape
    torch.Size([5])
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        latent: int,
        margin: float = 1.0,
        pulling_away: float = 0.0,
        **settings: Any,
    ) -> None:
        check_settings(EBGAN, settings, _KNOWN)
        check_positive(margin, "margin")
        check_positive(pulling_away, "pulling_away", zero=True)
        encoder = getattr(discriminator, "encoder", None)
        if pulling_away and not isinstance(encoder, nn.Module):
            raise ValueError(
                "pulling_away: expected a discriminator with a part encoder, whose codes are "
                "compared, got one without; name its layers, or leave pulling_away at 0."
            )
        self.margin, self.pulling_away = margin, pulling_away
        super().__init__(generator, discriminator, _energies(margin), latent=latent, **settings)

    def generator_loss(self, x: Tensor) -> Tensor:
        """The generator's loss on new rows, as many as ``x`` has."""
        self._check_batch_of_one(x)
        fake = self._fakes(x)
        loss = self.cost.generator(self._logits(fake))
        if self.pulling_away and len(x) > 1:
            codes = self.discriminator.encoder(fake).to(x.dtype)
            loss = loss + self.pulling_away * pulling_away_term(codes)
        return loss


class BEGAN(Reconstructing):
    """Boundary-equilibrium GAN: errors of reconstruction, held in a set proportion.

    With U(x) the mean absolute error of a row's reconstruction, over its values::

        discriminator:  E[U(x)] − k E[U(G(z))]
        generator:      E[U(G(z))]

    k, in [0, 1] and zero at first, is moved so that the errors of generated rows become γ times
    those of data: k ← k + λ (γ E[U(x)] − E[U(G(z))]) whenever its loss is formed in training. A
    small γ makes it attend to the data alone, and rows are alike; a large one makes them various.

    Parameters
    ----------
    generator : torch.nn.Module
        (N, latent) to events.
    discriminator : torch.nn.Module
        An autoencoder: events to events.
    latent : int
    diversity : float
        γ, in [0, 1].
    balance_rate : float
        λ, positive.
    **settings
        As for `GAN`, but for ``smoothing``.

    Attributes
    ----------
    k : Tensor, shape ()

    Raises
    ------
    TypeError, ValueError
        The discriminator's outputs have another shape than its inputs; a setting is not what it
        must be; see also `GAN`.

    Notes
    -----
    A departure from the paper, which moves k by the rows of the generator's step: here they are
    those of the discriminator's. z is normal (uniform there).

    References
    ----------
    Berthelot, Schumm and Metz (2017), sections 3.4 and, for ``convergence``, 3.4.1.

    Examples
    --------
    >>> from genlib.models.adversarial.networks import mlp_generator
    >>> autoencoder = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
    >>> model = BEGAN(mlp_generator(latent=3), autoencoder, latent=3)
    >>> model.sample(5).shape, model.k.item()
    (torch.Size([5, 2]), 0.0)
    """

    training_buffers = ("k",)
    _power = 1

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        *,
        latent: int,
        diversity: float = 0.5,
        balance_rate: float = 1e-3,
        **settings: Any,
    ) -> None:
        check_settings(BEGAN, settings, _KNOWN)
        check_between(diversity, 0, 1, "diversity")
        check_positive(balance_rate, "balance_rate")
        super().__init__(generator, discriminator, "wasserstein", latent=latent, **settings)
        self.diversity, self.balance_rate = diversity, balance_rate
        self.register_buffer("k", next(generator.parameters()).new_zeros(()))

    @torch.no_grad()
    def convergence(self, x: Tensor) -> float:
        """M = E[U(x)] + abs(γ E[U(x)] − E[U(G(z))]) on ``x`` and as many new rows, in evaluation
        mode: it falls as the training goes well.
        """
        real = self.reconstruction_error(x).mean()
        fake = self.reconstruction_error(self.sample(len(x))).mean()
        return (real + (self.diversity * real - fake).abs()).item()

    def _told_apart(self, judge: Callable[[Tensor], Tensor], x: Tensor, fake: Tensor) -> Tensor:
        real_error, fake_error = -judge(x).mean(), -judge(fake).mean()
        loss = real_error - self.k * fake_error + self._penalty(judge, x, fake)
        if self.training:
            step = self.balance_rate * (self.diversity * real_error - fake_error).detach()
            self.k = (self.k + step).clamp(0, 1)
        return loss


def pulling_away_term(codes: Tensor) -> Tensor:
    """Mean squared cosine between the codes of different rows: (N, \\*shape) to one number in
    [0, 1]. Raises ValueError unless there are two rows at least.
    """
    if len(codes) < 2:
        raise ValueError(
            f"codes: expected at least two rows, whose pairs are compared, got {len(codes)}."
        )
    unit = F.normalize(codes.flatten(1))
    squares = (unit @ unit.T).square()
    n = len(codes)
    return (squares.sum() - squares.diagonal().sum()) / (n * (n - 1))


def _energies(margin: float) -> Cost:
    """The cost of energies U = −v, to be low for data and ``margin`` for generated rows."""
    return Cost(
        name=f"energies, margin {margin:g}",
        formula="E_p[−v] + E_q[max(0, m + v)];  −E_q[v];  v = −U",
        discriminator=partial(_margin_loss, margin),
        generator=lambda fake: -fake.mean(),
        optimum=None,
    )


def _margin_loss(margin: float, real: Tensor, fake: Tensor) -> Tensor:
    return -real.mean() + F.relu(margin + fake).mean()
