"""A variational autoencoder with two layers of latent variables.

Sources: the chapters on variational autoencoders of document C; Rezende, Mohamed and Wierstra
(2014), "Stochastic backpropagation"; Burda, Grosse and Salakhutdinov (2016), "Importance weighted
autoencoders".
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Generator, Tensor, nn
from torch.distributions import Normal

from genlib.core import LatentVariableModel
from genlib.core.latent import log_mean
from genlib.core.random import normal
from genlib.core.shapes import as_shape
from genlib.core.validation import check_choice, check_count, check_counts
from genlib.models.vae.posteriors import log_normal
from genlib.models.vae.vae import OBJECTIVES
from genlib.nn.dense import dense
from genlib.nn.likelihoods import likelihood as make_likelihood


class HierarchicalVAE(LatentVariableModel):
    """Two-layer VAE: p(x) = ∫∫ p(x | z₁) p(z₁ | z₂) N(z₂; 0, I) dz₁ dz₂, bounded with the help of
    q(z₁ | x) q(z₂ | z₁).

    All conditionals over latent variables are diagonal Gaussians whose means and deviations dense
    networks give. Training maximises the ELBO, or with ``objective="iwae"`` the importance-weighted
    bound of ``samples`` draws.

    Parameters
    ----------
    shape : int, or sequence of int
        Of an event.
    latent : (int, int)
        Numbers of latent variables, z₁ and z₂.
    hidden : (sequence of int, sequence of int)
        Units of the networks between x and z₁, and between z₁ and z₂.
    activation, likelihood, scale
        As for `VAE`.
    objective : {"elbo", "iwae"}
    samples : int

    Notes
    -----
    ``encode`` gives the mean of q(z₁ | x).

    References
    ----------
    Burda, Grosse and Salakhutdinov (2016), "Importance weighted autoencoders", ICLR.
    """

    lesson = "10_beyond_the_vae"

    def __init__(
        self,
        shape: int | Sequence[int] = 784,
        latent: tuple[int, int] = (100, 50),
        hidden: tuple[Sequence[int], Sequence[int]] = ((200, 200), (100, 100)),
        *,
        activation: str = "tanh",
        likelihood: str = "bernoulli",
        scale: float | None = None,
        objective: str = "elbo",
        samples: int = 1,
    ) -> None:
        super().__init__()
        self.event_shape = as_shape(shape)
        for name, parts in {"latent": latent, "hidden": hidden}.items():
            if not isinstance(parts, Sequence) or len(parts) != 2:
                raise ValueError(f"{name}: expected a pair, one for each layer, got {parts!r:.60}.")
        check_counts(latent, "latent")
        for units in hidden:
            check_counts(units, "hidden")
        check_choice(objective, OBJECTIVES, "objective")
        check_count(samples, "samples")
        self.objective, self.samples = objective, samples
        self.likelihood = make_likelihood(likelihood, scale=scale)
        self.support = self.likelihood.support
        first, *rest = self.event_shape
        out = as_shape([first * self.likelihood.parameters_each, *rest])
        below, above = ([*units] for units in hidden)
        lower, upper = latent

        def network(*sizes: int) -> nn.Sequential:
            return dense(sizes, activation)

        self.up_1 = network(self.event_shape.numel(), *below, 2 * lower)
        self.up_2 = network(lower, *above, 2 * upper)
        self.down_2 = network(upper, *reversed(above), 2 * lower)
        self.down_1 = nn.Sequential(
            network(lower, *reversed(below), out.numel()), nn.Unflatten(1, out)
        )
        self.latent = upper

    def loss(self, x: Tensor) -> Tensor:
        """Mean of minus the bound that is trained, in nats."""
        log_w = self._log_weights(x, self.samples, None)
        return -(log_w if self.objective == "elbo" else log_mean(log_w)).mean()

    def validation_loss(self, x: Tensor) -> Tensor:
        """Mean of minus the bound that is trained."""
        return self.loss(x)

    def _log_weights(self, x: Tensor, samples: int, generator: Generator | None) -> Tensor:
        q_1 = _gaussian(self.up_1(x.flatten(1)))
        z_1 = q_1.loc + q_1.scale * normal((samples, *q_1.loc.shape), x, generator)
        q_2 = _gaussian(self.up_2(z_1))
        z_2 = q_2.loc + q_2.scale * normal(q_2.loc.shape, x, generator)
        p_1 = _gaussian(self.down_2(z_2))
        out = self.down_1(z_1.flatten(0, 1)).to(x.dtype).unflatten(0, z_1.shape[:2])
        log_p = self.likelihood.log_prob(out, x) + p_1.log_prob(z_1).sum(-1) + log_normal(z_2)
        return log_p - q_1.log_prob(z_1).sum(-1) - q_2.log_prob(z_2).sum(-1)

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        z_2 = normal((n, self.latent), next(self.parameters()), generator)
        p_1 = _gaussian(self.down_2(z_2))
        z_1 = p_1.loc + p_1.scale * normal(p_1.loc.shape, z_2, generator)
        return self.likelihood.draw(self.down_1(z_1), len(self.event_shape), generator)

    def _encode(self, x: Tensor) -> Tensor:
        return _gaussian(self.up_1(x.flatten(1))).loc


def _gaussian(out: Tensor) -> Normal:
    """The diagonal Gaussian of which a network gives mean and log deviation."""
    mean, log_scale = out.chunk(2, -1)
    return Normal(mean, log_scale.exp(), validate_args=False)
