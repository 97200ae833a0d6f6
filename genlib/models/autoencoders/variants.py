"""Autoencoders that are asked for more than a small error: sparse, denoising, contractive.

Sources: the chapters on autoencoders of documents U and C; Vincent et al. (2010), "Stacked
denoising autoencoders"; Rifai et al. (2011), "Contractive auto-encoders".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from genlib.core.random import normal, uniform
from genlib.core.validation import (
    check_between,
    check_choice,
    check_count,
    check_event,
    check_positive,
)
from genlib.models.autoencoders.autoencoder import Autoencoder

NOISES = ("masking", "gaussian")
JACOBIANS = ("exact", "hutchinson")
_VALIDATION_SEED = 0


class SparseAutoencoder(Autoencoder):
    """Autoencoder whose code units have a small mean activation.

    With ρ̂_j the mean activation of code unit j over the rows of a batch, training adds to the mean
    error, once a batch::

        weight · Σ_j KL(target ‖ ρ̂_j)        KL(ρ ‖ ρ̂) = ρ log ρ/ρ̂ + (1 − ρ) log (1 − ρ)/(1 − ρ̂)

    The divergence is between coins, so that activations are in (0, 1): code units are sigmoids.
    It is a function of the batch's mean, not a mean over rows: a unit may be on for few rows and
    off for all others.

    Parameters
    ----------
    shape, latent, hidden
        As for `Autoencoder`.
    target : float
        ρ, in (0, 1).
    weight : float
        Of the penalty.
    **settings
        As for `Autoencoder`, but for ``code_activation``, which is the sigmoid. An encoder of your
        own must put out numbers in (0, 1).

    Raises
    ------
    TypeError, ValueError
        As for `Autoencoder`; ``target`` is outside (0, 1), ``weight`` negative, or the code is not
        in (0, 1).

    Notes
    -----
    ``validation_loss`` adds the penalty as ``loss`` does, once for each batch of held-out rows.
    """

    def __init__(
        self,
        shape: int | Sequence[int] = 784,
        latent: int = 200,
        hidden: Sequence[int] = (),
        *,
        target: float = 0.05,
        weight: float = 1.0,
        **settings: Any,
    ) -> None:
        check_between(target, 0, 1, "target", ends=False)
        check_positive(weight, "weight", zero=True)
        if settings.setdefault("code_activation", "sigmoid") != "sigmoid":
            raise ValueError(
                'code_activation: expected "sigmoid", whose mean is that of a coin, got '
                f"{settings['code_activation']!r}."
            )
        super().__init__(shape, latent, hidden, **settings)
        self.target, self.weight = target, weight

    def penalty(self, x: Tensor) -> Tensor:
        """Σ_j KL(target ‖ ρ̂_j) of the rows of ``x`` together, a number of nats, unweighted."""
        self.check(x)
        return self._penalty(self._encoded(x))

    def loss(self, x: Tensor) -> Tensor:
        """Mean error of the rows, and the penalty of their mean activations."""
        z = self._encoded(x)
        error, penalty = self._errors_of(z, x).mean(), self._penalty(z)
        return error + self.weight * penalty if self.weight else error  # a penalty may be infinite

    def _penalty(self, z: Tensor) -> Tensor:
        mean, rho = z.mean(0), self.target
        if not ((mean >= 0) & (mean <= 1)).all():
            raise ValueError(
                "encoder: expected mean activations in (0, 1), as a last sigmoid gives them, got "
                f"{mean.min():g} … {mean.max():g}."
            )
        on = torch.xlogy(torch.full_like(mean, rho), rho / mean)
        off = torch.xlogy(torch.full_like(mean, 1 - rho), (1 - rho) / (1 - mean))
        return (on + off).sum()


class DenoisingAutoencoder(Autoencoder):
    """Autoencoder that sees a corrupted row and is to restore the row itself.

    The error compares x with g(f(x̃)), where x̃ is drawn anew each time a row is seen::

        x̃_i = 0 with probability level, else x_i      "masking"
        x̃ = x + level · ε, ε ~ N(0, I)                "gaussian": not clipped to the range of x

    For little Gaussian noise and squared error this is, to second order, the plain error plus
    level² ‖∂g(f(x))/∂x‖²_F and a term in the second derivatives of g∘f that vanishes where x is
    restored. The minimiser over all functions of x̃ is E[x | x̃].

    Parameters
    ----------
    shape, latent, hidden
        As for `Autoencoder`.
    noise : {"masking", "gaussian"}
    level : float
        Probability in [0, 1) that a value is masked, or the standard deviation of the Gaussian
        noise.
    **settings
        As for `Autoencoder`.

    Raises
    ------
    TypeError, ValueError
        As for `Autoencoder`; or ``level`` is outside its range.

    Notes
    -----
    ``encode`` and ``reconstruct`` see rows as they are; `denoise` takes noisy ones.
    ``validation_loss`` corrupts rows by the same draws every time, those of a generator with a
    fixed seed, so that epochs can be compared.

    References
    ----------
    Vincent et al. (2010), "Stacked denoising autoencoders", Journal of Machine Learning Research
    11, 3371–3408.
    """

    def __init__(
        self,
        shape: int | Sequence[int] = 784,
        latent: int = 200,
        hidden: Sequence[int] = (),
        *,
        noise: str = "masking",
        level: float = 0.25,
        **settings: Any,
    ) -> None:
        check_choice(noise, NOISES, "noise")
        if noise == "masking":
            check_between(level, 0, 1, "level")
            if level == 1:
                raise ValueError("level: expected less than 1, for masks that leave something.")
        else:
            check_positive(level, "level", zero=True)
        super().__init__(shape, latent, hidden, **settings)
        self.noise, self.level = noise, level

    def corrupt(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """``x`` with fresh noise, of its shape."""
        self.check(x)
        return self._corrupted(x, generator)

    def denoise(self, x: Tensor) -> Tensor:
        """g(f(x)) of rows that are noisy already: any real numbers, also where an event must be in
        [0, 1].
        """
        check_event(x, self.event_shape, dtype=self.dtype, device=self.device)
        return self._mean(self._decoded(self._encoded(x)))

    def loss(self, x: Tensor) -> Tensor:
        """Mean error between the rows and what is restored of their corrupted selves."""
        return self._errors(self._corrupted(x, None), x).mean()

    def validation_loss(self, x: Tensor) -> Tensor:
        """The same, with the same noise every time."""
        fixed = torch.Generator().manual_seed(_VALIDATION_SEED)
        return self._errors(self._corrupted(x, fixed), x).mean()

    def _corrupted(self, x: Tensor, generator: Generator | None) -> Tensor:
        if self.noise == "masking":
            return x * (uniform(x.shape, x, generator) >= self.level)
        return x + self.level * normal(x.shape, x, generator)


class ContractiveAutoencoder(Autoencoder):
    """Autoencoder whose code hardly moves when x does.

    Training adds to the mean error weight · ‖J‖²_F, averaged over rows, where J = ∂f(x)/∂x is the
    encoder's Jacobian. Of one dense layer with activation s it has a closed form::

        ‖J‖²_F = Σ_j s'(a_j)² Σ_i W_ji²       s' = s (1 − s) of a sigmoid, 1 − s² of tanh

    Else J is differentiated row by row, a backward pass for each unit of the code; or estimated
    without bias (Hutchinson): ‖J‖²_F = E‖Jᵀv‖² for v of independent random signs, a backward pass
    for each of the ``probes``.

    Parameters
    ----------
    shape, latent, hidden
        As for `Autoencoder`.
    weight : float
        Of the penalty.
    jacobian : {"exact", "hutchinson"}
        How training and validation compute it.
    probes : int
        Draws of v for each row.
    **settings
        As for `Autoencoder`. An encoder of your own must not mix rows, as batch norm does.

    Raises
    ------
    TypeError, ValueError
        As for `Autoencoder`; or ``weight`` is negative.

    Notes
    -----
    The penalty alone is smallest for a code that is shrunk, with a decoder that stretches it again;
    ``tied=True`` forbids that, as in [1].

    References
    ----------
    [1] Rifai et al. (2011), "Contractive auto-encoders: explicit invariance during feature
    extraction", ICML.
    """

    def __init__(
        self,
        shape: int | Sequence[int] = 784,
        latent: int = 200,
        hidden: Sequence[int] = (),
        *,
        weight: float = 0.1,
        jacobian: str = "exact",
        probes: int = 1,
        **settings: Any,
    ) -> None:
        check_positive(weight, "weight", zero=True)
        check_choice(jacobian, JACOBIANS, "jacobian")
        check_count(probes, "probes")
        settings.setdefault("code_activation", "sigmoid")
        super().__init__(shape, latent, hidden, **settings)
        self.weight, self.method, self.probes = weight, jacobian, probes

    def jacobian(self, x: Tensor) -> Tensor:
        """∂f(x)/∂x of each row, (N, latent, \\*shape), by autograd."""
        self.check(x)
        return torch.stack(self._pulled_back(x, self._units), 1)

    def penalty(self, x: Tensor) -> Tensor:
        """‖∂f(x)/∂x‖²_F of each row, (N,), exact and unweighted."""
        self.check(x)
        return self._exact(x, self._encoded(x))

    def estimated_penalty(
        self, x: Tensor, *, probes: int = 1, generator: Generator | None = None
    ) -> Tensor:
        """‖∂f(x)/∂x‖²_F of each row, (N,), estimated without bias from ``probes`` draws of v."""
        self.check(x)
        check_count(probes, "probes")
        return self._estimated(x, probes, generator)

    def loss(self, x: Tensor) -> Tensor:
        """Mean error of the rows, and the weighted mean of their penalties."""
        return self._loss(x, None)

    def validation_loss(self, x: Tensor) -> Tensor:
        """The same, with the same draws of v every time."""
        return self._loss(x, torch.Generator().manual_seed(_VALIDATION_SEED))

    def _loss(self, x: Tensor, generator: Generator | None) -> Tensor:
        z = self._encoded(x)
        if self.method == "exact":
            penalty = self._exact(x, z)
        else:
            penalty = self._estimated(x, self.probes, generator)
        return self._errors_of(z, x).mean() + self.weight * penalty.mean()

    def _exact(self, x: Tensor, z: Tensor) -> Tensor:
        # Only of a plain Sequential do the layers tell what the encoder computes.
        plain = type(self.encoder) is nn.Sequential
        kinds = [type(layer) for layer in self.encoder] if plain else []
        if kinds in ([nn.Flatten, nn.Linear, nn.Sigmoid], [nn.Flatten, nn.Linear, nn.Tanh]):
            slope = z * (1 - z) if kinds[-1] is nn.Sigmoid else 1 - z.square()
            return slope.square() @ self.encoder[1].weight.square().sum(1)
        rows = self._pulled_back(x, self._units)
        return torch.stack([_squared_length(row) for row in rows]).sum(0)

    def _estimated(self, x: Tensor, probes: int, generator: Generator | None) -> Tensor:
        def signs(z: Tensor) -> list[Tensor]:
            return [1 - 2 * (uniform(z.shape, z, generator) < 0.5).to(z) for _ in range(probes)]

        return torch.stack([_squared_length(row) for row in self._pulled_back(x, signs)]).mean(0)

    @staticmethod
    def _units(z: Tensor) -> list[Tensor]:
        return [e.expand_as(z) for e in torch.eye(z.shape[1]).to(z)]

    def _pulled_back(self, x: Tensor, directions: Any) -> list[Tensor]:
        """Jᵀv of each row, of the shape of ``x``, for each v (N, latent) of ``directions(z)``."""
        graph = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone() if x.requires_grad else x.detach().clone().requires_grad_()
            z = self._encoded(x)
            return [
                torch.autograd.grad(z, x, v, retain_graph=True, create_graph=graph)[0]
                for v in directions(z)
            ]


def _squared_length(rows: Tensor) -> Tensor:
    return rows.flatten(1).square().sum(1)
