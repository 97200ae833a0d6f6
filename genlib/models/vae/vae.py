"""The variational autoencoder.

Sources: the chapters on variational autoencoders of documents H, U and C; Kingma and Welling
(2014), "Auto-encoding variational Bayes"; Rezende, Mohamed and Wierstra (2014), "Stochastic
backpropagation"; Burda, Grosse and Salakhutdinov (2016), "Importance weighted autoencoders".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from genlib.core import Hook, LatentVariableModel
from genlib.core.fit import Run
from genlib.core.latent import log_mean
from genlib.core.random import normal
from genlib.core.shapes import as_shape, check_halvings, check_image_shape
from genlib.core.validation import (
    check_choice,
    check_count,
    check_counts,
    check_event,
    check_flag,
    check_positive,
)
from genlib.models.vae.posteriors import FlowPosterior, log_normal
from genlib.models.vae.posteriors import posterior as make_posterior
from genlib.nn.dense import (
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    check_network,
    dense,
)
from genlib.nn.likelihoods import likelihood as make_likelihood

OBJECTIVES = ("elbo", "iwae")


class VAE(LatentVariableModel):
    """Variational autoencoder: p(x) = ∫ p(x | z) N(z; 0, I) dz, bounded with the help of q(z | x).

    The decoder gives the parameters of p(x | z), in which the values of x are independent; the
    encoder those of q(z | x). Training maximises, averaged over rows and over ``samples`` draws of
    z from q::

        E_q[log p(x | z)] − β KL(q(z | x) ‖ N(0, I))          "elbo", a sum over values and over z
        log (1/K) Σ_k p(x | z_k) p(z_k) / q(z_k | x)          "iwae"

    What `elbo`, `iwae`, `estimate_log_prob` and `validation_loss` say does not depend on how the
    model is trained: β, free bits and warm-up are left out there.

    Parameters
    ----------
    shape : int, or sequence of int
        Of an event: a number of values, or (C, H, W) for images.
    latent : int
        Number of latent variables.
    hidden : sequence of int
        Units of the encoder's dense layers; the decoder has the same, in reverse.
    channels : sequence of int
        Channels of the convolutions before them, each of which halves the sides of the image; none
        by default.
    activation : {"relu", "leaky_relu", "tanh", "silu", "softplus", "sigmoid"}
    likelihood : {"bernoulli", "gaussian", "logistic"}
        Of a value given z; see `genlib.nn.likelihoods`.
    scale : float, optional
        Standard deviation of the Gaussian likelihood; without it, training finds one.
    posterior : {"gaussian", "planar", "iaf", "realnvp"}
        q(z | x): a diagonal Gaussian, or one through ``flow_steps`` planar flows, inverse
        autoregressive flows, or affine coupling layers.
    beta : float
        Weight of the KL divergence in training.
    free_bits : float
        Nats of each latent variable's mean KL divergence that cost nothing in training.
    objective : {"elbo", "iwae"}
    samples : int
        Draws of z for each row in training.
    encoder, decoder : torch.nn.Module, optional
        Networks of your own. From (N, \\*shape) to the numbers that q takes, in one tensor: for
        ``"gaussian"`` μ and then log σ (not its square's), (N, 2 latent). From (M, latent) to
        (M, \\*shape), its first dimension twice as long for ``"logistic"``. A model with such
        networks cannot be written by `save`; keep its ``state_dict``.

    Raises
    ------
    TypeError, ValueError
        A number is not what it must be; a network of your own has outputs of another shape; or two
        settings exclude each other.

    Notes
    -----
    ``encode`` gives the mean of q(z | x), or with a flow the image of its base's mean.

    References
    ----------
    Kingma and Welling (2014), "Auto-encoding variational Bayes", ICLR. β: Higgins et al. (2017),
    ICLR. Free bits: Kingma et al. (2016), NeurIPS.

    Examples
    --------
    >>> model = VAE(64, latent=2, hidden=(32,))
    >>> x = torch.zeros(3, 64)
    >>> model.encode(x).shape, model.decode(torch.zeros(5, 2)).shape
    (torch.Size([3, 2]), torch.Size([5, 64]))
    """

    lesson = "09_variational_autoencoders"

    def __init__(
        self,
        shape: int | Sequence[int] = 784,
        latent: int = 10,
        hidden: Sequence[int] = (200, 200),
        *,
        channels: Sequence[int] = (),
        activation: str = "relu",
        likelihood: str = "bernoulli",
        scale: float | None = None,
        posterior: str = "gaussian",
        flow_steps: int = 4,
        beta: float = 1.0,
        free_bits: float = 0.0,
        objective: str = "elbo",
        samples: int = 1,
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.event_shape = as_shape(shape)
        check_count(latent, "latent")
        check_positive(beta, "beta", zero=True)
        check_positive(free_bits, "free_bits", zero=True)
        check_choice(objective, OBJECTIVES, "objective")
        check_count(samples, "samples")
        self.latent, self.beta, self.free_bits = latent, beta, free_bits
        self.objective, self.samples = objective, samples
        self.likelihood = make_likelihood(likelihood, scale=scale)
        self.posterior = make_posterior(posterior, latent, flow_steps)
        self.support = self.likelihood.support
        self.kl_weight = 1.0  # which `WarmUp` moves
        self._check_objective()
        check_counts(hidden, "hidden")
        check_counts(channels, "channels")
        if channels:
            check_image_shape(self.event_shape)
            check_halvings(self.event_shape, len(channels))
        self.encoder = encoder or self._make_encoder(hidden, channels, activation)
        self.decoder = decoder or self._make_decoder(hidden, channels, activation)
        self._check_networks()

    # ------------------------------------------------------------------ the bound

    def elbo(
        self,
        x: Tensor,
        y: Tensor | None = None,
        *,
        samples: int = 1,
        analytic: bool = True,
        generator: Generator | None = None,
    ) -> Tensor:
        """Evidence lower bound E_q[log p(x | z)] − KL(q(z | x) ‖ p(z)) of each row, shape (N,), in
        nats, its expectation estimated from ``samples`` draws of z.

        Parameters
        ----------
        x : Tensor, shape (N, \\*shape)
        y : Tensor, optional
            Labels or conditions, for a model that has them.
        samples : int
        analytic : bool
            Take the divergence from its closed form, where q has one; else from the same draws.
        generator : torch.Generator, optional
        """
        check_flag(analytic, "analytic")
        if not (analytic and self._has_closed_form):
            return super().elbo(x, y, samples=samples, generator=generator)
        check_count(samples, "samples")
        fit, kl = self._terms(samples, generator, *self._checked(x, y))
        return fit - kl.sum(-1)

    def kl(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """KL(q(z_j | x) ‖ N(0, 1)) of each latent variable, shape (N, latent), in nats.

        Raises
        ------
        NotImplementedError
            A flow has no closed form of it.
        """
        batch = self._checked(x, y)
        if not self._has_closed_form:
            raise NotImplementedError(
                "kl: the divergence of a flow has no closed form; elbo estimates it from draws."
            )
        return self.posterior.kl(self._encoded(*batch))

    def loss(self, x: Tensor, *y: Tensor) -> Tensor:
        """What training minimises on a batch, averaged over its rows, in nats."""
        if self.objective == "iwae":
            return -log_mean(self._log_weights(x, self.samples, None, *y)).mean()
        fit, kl = self._terms(self.samples, None, x, *y)
        weight = self.beta * self.kl_weight
        return weight * kl.mean(0).clamp_min(self.free_bits).sum() - fit.mean()

    def validation_loss(self, x: Tensor, *y: Tensor) -> Tensor:
        """Mean of −ELBO, whatever training weighs; of the bound of `iwae` where that is trained."""
        if self.objective == "iwae":
            return self.loss(x, *y)
        fit, kl = self._terms(1, None, x, *y)
        return kl.sum(-1).mean() - fit.mean()

    def _terms(
        self, samples: int, generator: Generator | None, x: Tensor, *y: Tensor
    ) -> tuple[Tensor, Tensor]:
        """E_q[log p(x | z)] from draws, (N,), and the KL divergence: of each z_j, (N, latent), or
        of a flow its estimate from the same draws, (N, 1).
        """
        h = self._encoded(x, *y)
        z, log_q = self.posterior.draw(h, samples, generator)
        fit = self._log_likelihood(z, x, *y).mean(0)
        if self._has_closed_form:
            return fit, self.posterior.kl(h)
        return fit, (log_q - log_normal(z)).mean(0)[:, None]

    def _log_weights(
        self, x: Tensor, samples: int, generator: Generator | None, *y: Tensor
    ) -> Tensor:
        z, log_q = self.posterior.draw(self._encoded(x, *y), samples, generator)
        return self._log_likelihood(z, x, *y) + log_normal(z) - log_q

    def _log_likelihood(self, z: Tensor, x: Tensor, *y: Tensor) -> Tensor:
        """log p(x | z), (samples, N), of z (samples, N, latent)."""
        repeated = (part.repeat(len(z), *[1] * (part.dim() - 1)) for part in y)
        out = self._decoded(z.flatten(0, 1), *repeated).to(x.dtype)
        return self.likelihood.log_prob(out.unflatten(0, z.shape[:2]), x)

    def _encoded(self, x: Tensor, *y: Tensor) -> Tensor:
        """What the encoder says of q(z | x)."""
        return self.encoder(x)

    def _decoded(self, z: Tensor, *y: Tensor) -> Tensor:
        """What the decoder says of p(x | z)."""
        return self.decoder(z)

    @property
    def _has_closed_form(self) -> bool:
        return not isinstance(self.posterior, FlowPosterior)

    # ------------------------------------------------------------------ the other queries

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Mean of p(x | z) for each row of ``z``: (M, latent) → (M, \\*shape)."""
        check_event(z, torch.Size([self.latent]), dtype=self.dtype, device=self.device, name="z")
        condition = self._condition(y, len(z))
        out = self._decoded(z, *(() if condition is None else (condition,)))
        return self.likelihood.mean(out, len(self.event_shape))

    def _sample(self, n: int, generator: Generator | None, *y: Tensor) -> Tensor:
        z = normal((n, self.latent), next(self.parameters()), generator)
        return self.likelihood.draw(self._decoded(z, *y), len(self.event_shape), generator)

    def _encode(self, x: Tensor) -> Tensor:
        return self.posterior.centre(self._encoded(x)).to(x.dtype)

    # ------------------------------------------------------------------ the networks

    def _make_encoder(
        self, hidden: Sequence[int], channels: Sequence[int], activation: str
    ) -> nn.Module:
        sizes, (first, *rest) = [*hidden, self.posterior.outputs], self.event_shape
        if channels:
            seen = torch.Size([first + self._condition_size, *rest])
            return ConvolutionalEncoder(seen, channels, sizes, activation)
        inputs = self.event_shape.numel() + self._condition_size
        return nn.Sequential(nn.Flatten(), *dense([inputs, *sizes], activation))

    def _make_decoder(
        self, hidden: Sequence[int], channels: Sequence[int], activation: str
    ) -> nn.Module:
        first, *rest = self.event_shape
        out = torch.Size([first * self.likelihood.parameters_each, *rest])
        sizes = [self.latent + self._condition_size, *reversed(hidden)]
        if channels:
            return ConvolutionalDecoder(sizes, [*reversed(channels)], out, activation)
        return nn.Sequential(*dense([*sizes, out.numel()], activation), nn.Unflatten(1, out))

    # ------------------------------------------------------------------ checks

    def _check_objective(self) -> None:
        """Raise where training settings exclude each other."""
        if self.objective == "iwae" and (self.beta != 1 or self.free_bits):
            raise ValueError(
                f'beta, free_bits: the "iwae" objective has no divergence to weigh; expected 1 and '
                f"0, got {self.beta} and {self.free_bits}."
            )
        if self.free_bits and not self._has_closed_form:
            raise ValueError(
                "free_bits: a flow's divergence is not a sum over latent variables; use "
                'posterior="gaussian", or beta.'
            )

    def _check_networks(self) -> None:
        """Raise unless the networks' outputs have the shapes that q and the likelihood read."""
        first, *rest = self.event_shape
        x, z, y = torch.zeros(2, first, *rest), torch.zeros(2, self.latent), self._no_condition(2)
        told, painted = self.posterior.outputs, first * self.likelihood.parameters_each
        check_network(self.encoder, self._encoded, (x, *y), (2, told), "encoder")
        check_network(self.decoder, self._decoded, (z, *y), (2, painted, *rest), "decoder")

    @property
    def _condition_size(self) -> int:
        """How many numbers of a condition the networks see beside x and z."""
        return 0

    def _no_condition(self, n: int) -> tuple[Tensor, ...]:
        """``n`` conditions, if the model has any."""
        return ()


class WarmUp(Hook):
    """Let the weight of the KL divergence grow from 0 to 1 in the first ``steps`` of training.

    The weight is a function of the number of the step, so that a resumed run weighs as the
    uninterrupted one does; validation always weighs with 1.

    Parameters
    ----------
    steps : int
    """

    def __init__(self, steps: int) -> None:
        check_count(steps, "steps")
        self.steps = steps

    def begin(self, run: Run) -> None:
        """Raise unless the model's loss has such a weight."""
        came = type(run.model).__name__
        if getattr(run.model, "objective", "") == "iwae":
            came += ' with objective="iwae"'
        elif hasattr(run.model, "kl_weight"):
            return
        raise TypeError(f"WarmUp: expected a model that is trained by a KL divergence, got {came}.")

    def before_step(self, run: Run) -> None:
        """Weigh by the share of the steps that have been taken."""
        run.model.kl_weight = min(1.0, run.steps / self.steps)

    def leave(self, run: Run) -> None:
        """Weigh with 1."""
        run.model.kl_weight = 1.0

    def identity(self) -> dict[str, int]:
        """The settings."""
        return {"steps": self.steps}
