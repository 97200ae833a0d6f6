"""Approximate posteriors q(z | x): what an encoder's output says of the latent variables.

Sources: the chapters on variational autoencoders of documents H, U and C; Kingma and Welling
(2014), "Auto-encoding variational Bayes"; Rezende and Mohamed (2015), "Variational inference with
normalizing flows"; Kingma et al. (2016), "Improved variational inference with inverse
autoregressive flow".
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from genlib.core.random import normal
from genlib.core.validation import check_choice, check_count
from genlib.nn.coupling import AffineCoupling, alternating
from genlib.nn.masked_linear import MaskedLinear, connections, spread_degrees

POSTERIORS = ("gaussian", "planar", "iaf", "realnvp")
_LOG_2PI = math.log(2 * math.pi)
_NO_MOVE = math.log(math.e - 1)  # softplus of it is 1


def log_normal(z: Tensor) -> Tensor:
    """Log density of N(0, I), summed over the last dimension."""
    return -0.5 * (z.square() + _LOG_2PI).sum(-1)


def gaussian_kl(mean: Tensor, log_scale: Tensor) -> Tensor:
    """KL(N(mean, scale²) ‖ N(0, 1)) of each dimension, in nats."""
    return 0.5 * (mean.square() + (2 * log_scale).exp() - 1) - log_scale


class DiagonalGaussian(nn.Module):
    """q(z | x) = N(z; μ(x), diag σ(x)²): the encoder gives μ and log σ."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.latent = latent
        self.outputs = 2 * latent

    def parameters_of(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """μ and log σ, each (N, latent), from the encoder's output."""
        mean, log_scale = h.chunk(2, -1)
        return mean, log_scale

    def draw(self, h: Tensor, samples: int, generator: Generator | None) -> tuple[Tensor, Tensor]:
        """Draws z, (samples, N, latent), and log q(z | x), (samples, N).

        z = μ + σ ε with ε ~ N(0, I): gradients flow to μ and σ.
        """
        mean, log_scale = self.parameters_of(h)
        noise = normal((samples, *mean.shape), mean, generator)
        return mean + log_scale.exp() * noise, log_normal(noise) - log_scale.sum(-1)

    def centre(self, h: Tensor) -> Tensor:
        """The mean of q, (N, latent)."""
        return self.parameters_of(h)[0]

    def kl(self, h: Tensor) -> Tensor:
        """KL(q(z | x) ‖ N(0, I)) of each dimension, (N, latent)."""
        return gaussian_kl(*self.parameters_of(h))


class FlowPosterior(DiagonalGaussian):
    """A diagonal Gaussian whose draws go through invertible maps; a subclass writes `flow`.

    Its KL divergence from the prior has no closed form.
    """

    def parameters_of(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """μ and log σ of the base, each (N, latent); what follows in ``h`` is the flow's."""
        return super().parameters_of(h[..., : 2 * self.latent])

    def draw(self, h: Tensor, samples: int, generator: Generator | None) -> tuple[Tensor, Tensor]:
        """Draws z, (samples, N, latent), and log q(z | x), (samples, N)."""
        z, log_q = super().draw(h, samples, generator)
        z, log_det = self.flow(h[..., 2 * self.latent :], z)
        return z, log_q - log_det

    def centre(self, h: Tensor) -> Tensor:
        """Where the flow takes the mean of the base: a centre of q, though not its mean."""
        return self.flow(h[..., 2 * self.latent :], super().centre(h)[None])[0][0]

    def flow(self, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Where z, (samples, N, latent), goes, and the log determinant of the Jacobian there."""
        raise NotImplementedError


class PlanarFlow(FlowPosterior):
    """A diagonal Gaussian through K planar flows, all of whose parameters the encoder gives.

    z ← z + u tanh(w·z + b), with log det = log(1 + (1 − tanh²) u·w). u is first moved along w, so
    that u·w > −1 and the map is invertible [1, appendix A]: by softplus, shifted so that where
    u·w = 0 it does not move, however short w is.

    References
    ----------
    [1] Rezende and Mohamed (2015), "Variational inference with normalizing flows", ICML.
    """

    def __init__(self, latent: int, steps: int) -> None:
        super().__init__(latent)
        self.steps = steps
        self.outputs = 2 * latent + steps * (2 * latent + 1)

    def flow(self, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Where z, (samples, N, latent), goes, and the log determinant of the Jacobian there."""
        log_det = z.new_zeros(())
        for step in h.unflatten(-1, (self.steps, -1)).unbind(-2):
            w, u, b = step.split([self.latent, self.latent, 1], -1)
            along = (u * w).sum(-1, keepdim=True)
            allowed = F.softplus(along + _NO_MOVE) - 1
            u = u + (allowed - along) * w / w.square().sum(-1, keepdim=True).clamp_min(1e-12)
            t = ((z * w).sum(-1, keepdim=True) + b).tanh()
            slope = (1 - t.square()) * (u * w).sum(-1, keepdim=True)
            log_det = log_det + slope.squeeze(-1).log1p()
            z = z + u * t
        return z, log_det


class InverseAutoregressiveFlow(FlowPosterior):
    """A diagonal Gaussian through K inverse autoregressive flows [1].

    z ← σ(s) z + (1 − σ(s)) m, where m and s at place i see z at the places before it, and a context
    that the encoder gives; log det = Σ log σ(s). Places are reversed between the steps.

    References
    ----------
    [1] Kingma et al. (2016), "Improved variational inference with inverse autoregressive flow",
    NeurIPS.
    """

    def __init__(self, latent: int, steps: int, hidden: int = 64) -> None:
        super().__init__(latent)
        self.outputs = 3 * latent
        self.steps = nn.ModuleList(_MaskedStep(latent, hidden) for _ in range(steps))

    def flow(self, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Where z, (samples, N, latent), goes, and the log determinant of the Jacobian there."""
        log_det = z.new_zeros(())
        for step in self.steps:
            move, gate = step(z, h)
            keep = gate.sigmoid()
            z = (keep * z + (1 - keep) * move).flip(-1)
            log_det = log_det + F.logsigmoid(gate).sum(-1)
        return z, log_det


class CouplingFlow(FlowPosterior):
    """A diagonal Gaussian through K affine coupling layers, which see a context from the encoder.

    See `genlib.nn.coupling`.
    """

    def __init__(self, latent: int, steps: int, hidden: int = 64) -> None:
        super().__init__(latent)
        self.outputs = 3 * latent
        self.steps = nn.ModuleList(
            AffineCoupling(kept, [hidden], latent) for kept in alternating(latent, steps)
        )

    def flow(self, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Where z, (samples, N, latent), goes, and the log determinant of the Jacobian there."""
        log_det = z.new_zeros(())
        for step in self.steps:
            z, more = step(z, h)
            log_det = log_det + more
        return z, log_det


class _MaskedStep(nn.Module):
    """Two masked layers: where z_i moves to, and its gate, from z_<i and a context."""

    def __init__(self, latent: int, hidden: int) -> None:
        super().__init__()
        places = torch.arange(1, latent + 1)
        degrees = spread_degrees(hidden, max(1, latent - 1))
        self.first, self.second = MaskedLinear(latent, hidden), MaskedLinear(hidden, 2 * latent)
        self.first.keep(connections(degrees, places))
        self.second.keep(connections(places.repeat(2), degrees, strict=True))
        self.context = nn.Linear(latent, hidden + 2 * latent)
        self.sizes = [hidden, 2 * latent]
        with torch.no_grad():
            self.second.bias[latent:].fill_(2.0)  # gates begin nearly open

    def forward(self, z: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Where z_i, (samples, N, latent), moves to, and the logit of what it keeps of itself."""
        # The first place sees no other: the context has to reach the outputs directly too.
        to_hidden, to_outputs = self.context(context).split(self.sizes, -1)
        flat = z.flatten(0, 1)
        hidden = (self.first(flat).unflatten(0, z.shape[:2]) + to_hidden).relu()
        out = self.second(hidden.flatten(0, 1)).unflatten(0, z.shape[:2]) + to_outputs
        return out.chunk(2, -1)


def posterior(name: str, latent: int, steps: int) -> DiagonalGaussian:
    """The posterior called ``name``, of so many latent values; ``steps`` are those of a flow."""
    check_choice(name, POSTERIORS, "posterior")
    if name == "gaussian":
        return DiagonalGaussian(latent)
    check_count(steps, "flow_steps")
    if name == "realnvp":
        check_count(latent, "latent", minimum=2)  # one half of them moves the other
    flows = {"planar": PlanarFlow, "iaf": InverseAutoregressiveFlow, "realnvp": CouplingFlow}
    return flows[name](latent, steps)
