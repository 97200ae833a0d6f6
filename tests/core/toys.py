"""Three small models whose answers are known in closed form: the contract is proved on them."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn
from torch.distributions import constraints

import genlib as gl
from genlib.core.random import normal


class TrainedGaussian(gl.Model):
    """N(μ, LLᵀ) with trainable μ and L; the likelihood's maximum is the sample's mean and
    covariance.
    """

    density = gl.Density.EXACT

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.event_shape = torch.Size([dim])
        self.loc = nn.Parameter(torch.zeros(dim))
        self.log_scale = nn.Parameter(torch.zeros(dim))
        self.lower = nn.Parameter(torch.zeros(dim, dim))

    def scale_tril(self) -> Tensor:
        return self.lower.tril(-1) + torch.diag(self.log_scale.exp())

    def _log_prob(self, x: Tensor) -> Tensor:
        white = torch.linalg.solve_triangular(self.scale_tril(), (x - self.loc).T, upper=False)
        return (
            -0.5 * (white**2).sum(0)
            - self.log_scale.sum()
            - 0.5 * len(self.loc) * math.log(2 * math.pi)
        )

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        noise = normal((n, len(self.loc)), self.loc, generator)
        return self.loc + noise @ self.scale_tril().T

    def _encode(self, x: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self.scale_tril(), (x - self.loc).T, upper=False).T


class IsingRing(gl.EnergyModel):
    """n spins in a ring, E(x) = −J Σ s_i s_{i+1} with s = 2x − 1; Z = (2 cosh J)ⁿ + (2 sinh J)ⁿ."""

    support = constraints.boolean
    cannot = {  # noqa: RUF012
        "sample": "drawing from it needs a Markov chain.",
        "encode": "it has no hidden units.",
    }
    lesson = "14_restricted_boltzmann_machines"

    def __init__(self, spins: int, coupling: float = 0.5) -> None:
        super().__init__()
        self.event_shape = torch.Size([spins])
        self.coupling = nn.Parameter(torch.tensor(coupling))

    def _energy(self, x: Tensor) -> Tensor:
        spins = 2 * x - 1
        return -self.coupling * (spins * spins.roll(1, dims=1)).sum(1)


class TugOfWar(gl.Model):
    """min over u, max over v of ½(u − m)² + uv − ½v² with m the data's mean: the saddle point is u
    = v = m/2.
    """

    density = gl.Density.IMPLICIT
    cannot = {"log_prob": "a game between two players defines samples, not a density."}  # noqa: RUF012
    lesson = "17_adversarial_game"

    def __init__(self, inner_steps: int = 3) -> None:
        super().__init__()
        self.event_shape = torch.Size([1])
        self.inner_steps = inner_steps
        self.u = nn.Parameter(torch.tensor(2.0))
        self.v = nn.Parameter(torch.tensor(-1.0))

    def value(self, x: Tensor) -> Tensor:
        return 0.5 * ((self.u - x) ** 2).mean() + self.u * self.v - 0.5 * self.v**2

    def players(self) -> list[gl.Player]:
        return [
            gl.Player("critic", [self.v], lambda x: -self.value(x), steps=self.inner_steps),
            gl.Player("actor", [self.u], self.value),
        ]

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        return self.u + normal((n, 1), self.u, generator)
