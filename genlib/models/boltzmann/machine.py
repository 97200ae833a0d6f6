"""The general Boltzmann machine, small enough to be listed.

Sources: the chapter on Boltzmann machines of document C; Ackley, Hinton and Sejnowski (1985), "A
learning algorithm for Boltzmann machines".
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.distributions import constraints

from genlib.core import CannotAnswerError, EnergyModel
from genlib.core.discrete import binary_events
from genlib.core.random import categorical, uniform
from genlib.core.validation import check_count, check_event

MOST_UNITS = 20  # whose states are listed


class BoltzmannMachine(EnergyModel):
    """Binary units, each connected with every other.

        E(s) = −½ s · W s − b · s        p(s) = exp(−E(s)) / Z        s = (x, h)

    with W symmetric and zero on its diagonal. The first ``visible`` units are the event x; the
    others, h, are hidden and sum out: energy(x) = −log Σ_h exp(−E(x, h)). All is exact, by listing
    the states of all units, and so is training.

    (Document C writes xᵀ W x without the half, which counts every pair twice.)

    Parameters
    ----------
    visible : int
    hidden : int
        20 units in all, at most.

    Raises
    ------
    TypeError, ValueError
        There are too many units, or a number is no integer.

    Examples
    --------
    >>> BoltzmannMachine(3).log_prob(torch.zeros(1, 3)).shape
    torch.Size([1])
    """

    lesson = "14_restricted_boltzmann_machines"
    support = constraints.boolean

    def __init__(self, visible: int, hidden: int = 0) -> None:
        super().__init__()
        check_count(visible, "visible")
        check_count(hidden, "hidden", minimum=0)
        units = visible + hidden
        if units > MOST_UNITS:
            raise ValueError(
                f"visible, hidden: expected at most {MOST_UNITS} units in all, whose states are "
                f"listed, got {units}; an RBM may have more."
            )
        self.hidden, self.event_shape = hidden, torch.Size([visible])
        self.upper = nn.Parameter(0.1 * torch.randn(units * (units - 1) // 2))
        self.b = nn.Parameter(torch.zeros(units))
        self.register_buffer("pairs", torch.triu_indices(units, units, 1), persistent=False)

    @property
    def W(self) -> Tensor:
        """Symmetric weights, (units, units); zero on the diagonal."""
        units = len(self.b)
        half = self.upper.new_zeros(units, units).index_put(tuple(self.pairs), self.upper)
        return half + half.T

    def joint_energy(self, s: Tensor) -> Tensor:
        """E(s) of states of all units, visible first, (N, units) to (N,), in nats."""
        check_event(s, self.b.shape, self.support, dtype=self.dtype, device=self.device, name="s")
        return self._joint_energy(s)

    def _joint_energy(self, s: Tensor) -> Tensor:
        return -0.5 * (s @ self.W * s).sum(1) - s @ self.b

    def _energy(self, x: Tensor) -> Tensor:
        if not self.hidden:
            return self._joint_energy(x)
        h = binary_events(self.hidden, dtype=x.dtype, device=x.device)
        size = x.shape[1]
        W, b = self.W, self.b
        own = -0.5 * (x @ W[:size, :size] * x).sum(1) - x @ b[:size]
        among = 0.5 * (h @ W[size:, size:] * h).sum(1) + h @ b[size:]
        return own - torch.logsumexp(x @ W[:size, size:] @ h.T + among, 1)

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        x = binary_events(self.event_shape.numel(), dtype=self.dtype, device=self.device)
        p = self._log_prob(x).exp()
        return x[categorical(p, uniform((n,), p, generator))]

    def _encode(self, x: Tensor) -> Tensor:
        """p(h_j = 1 | x)."""
        if not self.hidden:
            raise CannotAnswerError("this machine has no hidden units to encode with.")
        h = binary_events(self.hidden, dtype=x.dtype, device=x.device)
        rows = torch.cat([x.repeat_interleave(len(h), 0), h.repeat(len(x), 1)], 1)
        return (-self._joint_energy(rows)).view(len(x), -1).softmax(1) @ h
