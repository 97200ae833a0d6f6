"""Small models that are right, and can be made wrong on purpose; and how often a check fails."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn
from torch.distributions import constraints

import genlib as gl
from genlib.core.discrete import States
from genlib.verify import VerificationError, _common

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Autoregressive(gl.Model):
    """Binary logits from a weight matrix: causal where it is strictly lower triangular in the
    order.
    """

    density = gl.Density.EXACT
    support = constraints.boolean

    def __init__(self, size: int = 6, order: list[int] | None = None) -> None:
        super().__init__()
        self.event_shape = torch.Size([size])
        self.order = torch.arange(size) if order is None else torch.as_tensor(order)
        rank = self.order.argsort()
        mask = (rank[None] < rank[:, None]).float()
        self.weight = nn.Parameter(mask * torch.randn(size, size))
        self.bias = nn.Parameter(torch.randn(size))

    def conditionals(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x @ self.weight.T + self.bias)

    def _log_prob(self, x: Tensor) -> Tensor:
        return torch.distributions.Bernoulli(self.conditionals(x)).log_prob(x).sum(1)

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        x = torch.zeros(n, *self.event_shape)
        for i in self.order:
            x[:, i] = torch.bernoulli(self.conditionals(x)[:, i], generator=generator)
        return x


class Pair(gl.Model):
    """Two variables of two and three states, by one table."""

    density = gl.Density.EXACT
    support = States((2, 3))
    event_shape = torch.Size([2])
    stated = torch.tensor([[0.1, 0.2, 0.05], [0.3, 0.0, 0.35]])
    drawn = stated

    def _log_prob(self, x: Tensor) -> Tensor:
        return self.stated[tuple(x.long().T)].log()

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        number = torch.multinomial(self.drawn.flatten(), n, True, generator=generator)
        return torch.stack([number // 3, number % 3], 1).float()


def failures(check: Callable[[], None], times: int, monkeypatch, rate: float = 0.1) -> int:
    """How often ``check`` fails in so many calls with a false-alarm rate of ``rate``."""
    monkeypatch.setattr(_common, "FALSE_ALARM", rate)
    count = 0
    for _ in range(times):
        try:
            check()
        except VerificationError:
            count += 1
    return count
