"""A restricted Boltzmann machine with a label among its visible units.

Sources: Hinton, Osindero and Teh (2006), "A fast learning algorithm for deep belief nets";
Larochelle and Bengio (2008), "Classification using discriminative restricted Boltzmann machines".
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor
from torch.distributions import constraints
from torch.nn import functional as F

from genlib.core.random import categorical, uniform
from genlib.core.validation import check_count
from genlib.kernels import bernoulli, gibbs_step
from genlib.models.boltzmann.restricted import (
    RestrictedMachine,
    check_labelled,
    new_key,
    softplus,
)


class ClassificationRBM(RestrictedMachine):
    """Restricted Boltzmann machine of binary units and of a label y, with weights of its own.

        E(x, y, h) = −b · x − d_y − c · h − x W h − U_y · h

    ``fit(x, y)`` trains the joint density of rows and labels. ``predict_proba`` gives p(y | x), by
    free energies, exactly; ``log_prob(x)`` is the marginal and ``log_prob(x, y)`` the density given
    the label, exact where at most 25 hidden units are to be listed. ``encode`` gives p(h = 1 | x).
    ``sample`` gives rows alone; `gibbs` moves rows and labels.

    Parameters
    ----------
    visible, hidden, **settings
        As for `RBM`.
    classes : int
        Number of labels.

    Raises
    ------
    TypeError, ValueError
        As for `RBM`.

    Notes
    -----
    The last ``classes`` rows of ``W`` and entries of ``b`` are U and d.
    """

    support = constraints.boolean

    def __init__(self, visible: int, hidden: int, classes: int, **settings: Any) -> None:
        check_count(visible, "visible")
        check_count(classes, "classes", minimum=2)
        super().__init__(visible + classes, hidden, **settings)
        self.event_shape, self.classes = torch.Size([visible]), classes

    # ------------------------------------------------------------------ labels

    def predict_proba(self, x: Tensor) -> Tensor:
        """p(y | x), (N, classes)."""
        self.check(x)
        return (-self._energies_by_label(x)).softmax(1)

    def predict(self, x: Tensor) -> Tensor:
        """The most probable label of each row, int64 of shape (N,)."""
        self.check(x)
        return (-self._energies_by_label(x)).argmax(1)

    def check_batch(self, *batch: Tensor, name: str = "x") -> None:
        """Raise unless there are rows and labels."""
        super().check_batch(*batch, name=name)
        check_labelled(batch, name, "this machine")

    def energy(self, x: Tensor, h: Tensor | None = None, y: Tensor | None = None) -> Tensor:
        """Energy E(x, y, h) of each row, label and hidden state; without ``h`` the free energy
        F(x, y), without labels F(x). Shape (N,), in nats.
        """
        if isinstance(h, Tensor) and h.dtype == torch.int64:
            raise TypeError("h: expected hidden states, got integers; pass labels as y=.")
        labels = self._condition(y, len(x)) if isinstance(x, Tensor) else None
        if h is None:
            energies = super().energy(x)
            if labels is None:
                return energies
            return self._energies_by_label(x).gather(1, labels[:, None])[:, 0]
        self.check(x)
        self._check_hidden(h, len(x))
        return self._joint_energy(self._joined(x, labels), h)

    def free_energy(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """F(x, y) of each row and label; without labels F(x). Shape (N,), in nats."""
        return self.energy(x, y=y)

    def _energies_by_label(self, x: Tensor) -> Tensor:
        """F(x, y) of each row and each label, (N, classes)."""
        size = x.shape[1]
        field = torch.addmm(self.c, x, self.W[:size])
        sums = torch.stack([softplus(field + weight).sum(1) for weight in self.W[size:]], 1)
        return -(x @ self.b[:size])[:, None] - self.b[size:] - sums

    def _energy(self, x: Tensor) -> Tensor:
        return -(-self._energies_by_label(x)).logsumexp(1)

    def _encode(self, x: Tensor) -> Tensor:
        size = x.shape[1]
        field = torch.addmm(self.c, x, self.W[:size])
        weights = (-self._energies_by_label(x)).softmax(1)
        parts = zip(weights.T, self.W[size:], strict=True)
        return sum(weight[:, None] * (field + own).sigmoid() for weight, own in parts)

    def hidden_probabilities(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """p(h_j = 1 | x, y), shape (N, hidden); without labels p(h_j = 1 | x)."""
        self.check(x)
        labels = self._condition(y, len(x))
        return self._encode(x) if labels is None else self._field(self._joined(x, labels)).sigmoid()

    def _log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        if y is None:
            return super()._log_prob(x)
        joint = self._energies_by_label(x).gather(1, y[:, None])[:, 0]
        return -joint - self._log_partitions_by_label()[y]

    def _log_partitions_by_label(self) -> Tensor:
        """log Σ_x exp(−F(x, y)) for each label, by listing hidden states, (classes,)."""
        self._check_listed()
        size = self.event_shape.numel()
        parts = []
        for h in self._hidden_states():
            rows = h @ self.c + softplus(h @ self.W[:size].T + self.b[:size]).sum(1)
            parts.append(rows[:, None] + h @ self.W[size:].T)
        return torch.logsumexp(torch.cat(parts), 0) + self.b[size:]

    # ------------------------------------------------------------------ both kinds of units

    def _joined(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        check_labelled((x, y), "x", "this machine")
        return torch.cat([x, F.one_hot(y, self.classes).to(x.dtype)], 1)

    def _visible_energy(self, v: Tensor, bias: Tensor) -> Tensor:
        return -(v @ bias)

    def _draw_visible(
        self, h: Tensor, bias: Tensor, scale: float, key: int, generator: Generator | None
    ) -> Tensor:
        size = self.event_shape.numel()
        x = gibbs_step(h, self.W[:size].T, bias[:size], key, 1, scale=scale)
        logits = torch.addmm(bias[size:], h, self.W[size:].T, alpha=scale)
        y = categorical(logits.softmax(1), uniform((len(h),), h, generator))
        return self._joined(x, y)

    def _log_visible_sum(self, field: Tensor, bias: Tensor) -> Tensor:
        size = self.event_shape.numel()
        own = field + bias
        return softplus(own[:, :size]).sum(1) + own[:, size:].logsumexp(1)

    def _base_rates(self, v: Tensor) -> Tensor:
        size = self.event_shape.numel()
        rates = (v.sum(0) + 0.5) / (len(v) + 1)
        return torch.cat([rates[:size].logit(), rates[size:].log()])

    def _visible_states(self) -> int | None:
        return None

    # ------------------------------------------------------------------ sampling

    @torch.no_grad()
    def gibbs(
        self,
        x: Tensor,
        y: Tensor,
        steps: int = 1,
        *,
        clamp: bool = False,
        generator: Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Rows and labels of chains after ``steps`` steps of block Gibbs sampling from ``x`` and
        ``y``; with ``clamp`` the labels stay.
        """
        self.check_batch(x, y)
        check_count(steps, "steps")
        v = self._joined(x, y)
        if clamp:
            v = self._clamped_chain(v, steps, generator)
        else:
            v = self._chain(v, self._field(v), steps, generator)
        return self._parted(v)

    def _sample(self, n: int, generator: Generator | None, y: Tensor | None = None) -> Tensor:
        if y is None:
            return self._parted(super()._sample(n, generator))[0]
        x = (uniform((n, *self.event_shape), self.c, generator) < 0.5).to(self.dtype)
        return self._parted(self._clamped_chain(self._joined(x, y), self._BURN_IN, generator))[0]

    def _clamped_chain(self, v: Tensor, steps: int, generator: Generator | None) -> Tensor:
        """Chains from ``v`` whose labels stay."""
        size = self.event_shape.numel()
        labels, weight, bias = v[:, size:], self.W[:size].T, self.b[:size]
        for _ in range(steps):
            key = new_key(generator)
            x = gibbs_step(bernoulli(self._field(v), key, 0), weight, bias, key, 1)
            v = torch.cat([x, labels], 1)
        return v

    def _parted(self, v: Tensor) -> tuple[Tensor, Tensor]:
        size = self.event_shape.numel()
        return v[:, :size], v[:, size:].argmax(1)
