"""What all restricted Boltzmann machines share: two layers, conditionals, training, annealing.

A machine has visible units v, binary hidden units h, and connections between the layers alone:

    E(v, h) = e(v) − v W h − c · h        p(v, h) = exp(−E(v, h)) / Z

Given one layer the units of the other are independent. The hidden units sum out:

    F(v) = e(v) − Σ_j softplus((v W)_j + c_j)        p(v) = exp(−F(v)) / Z

F is called the free energy; it is the energy of the density of v. Its gradient, and so that of the
log-likelihood, E_model[∂F] − E_data[∂F], needs draws from the model.

Sources: the chapter on Boltzmann machines of document C (whose b and c are our c and b); Hinton
(2002), "Training products of experts by minimizing contrastive divergence"; Tieleman (2008),
"Training restricted Boltzmann machines using approximations to the likelihood gradient"; Hinton
(2012), "A practical guide to training restricted Boltzmann machines"; Salakhutdinov and Murray
(2008), "On the quantitative analysis of deep belief networks".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.distributions import constraints
from torch.nn import functional as F
from torch.utils.data import DataLoader

from genlib.core import CannotAnswerError, EnergyModel, Estimate
from genlib.core.discrete import discrete_events
from genlib.core.fit import Data
from genlib.core.random import categorical, integers, uniform
from genlib.core.validation import (
    check_between,
    check_choice,
    check_count,
    check_event,
    check_positive,
)
from genlib.data.loaders import rows_of
from genlib.kernels import bernoulli
from genlib.sampling import Annealed, ais, reverse_ais

Temperatures = Tensor | np.ndarray | Sequence[float]

METHODS = ("cd", "pcd", "exact")
MOST_LISTED = 25  # units of a layer whose states are listed for log Z
_MOST_DRAWN = 12  # units of a layer whose states are listed to be drawn from
MOST_QUICKLY = 16  # units of a layer that are listed rather than annealed
_CHAINS, _TARGET = 100, 0.1  # of training, unless said otherwise
_STATES_AT_ONCE = 2**22  # values of both layers, of a part of a list


# Torch leaves e⁻ˣ out above 20, where float64 still sees it.
softplus = partial(F.softplus, threshold=40)


class RestrictedMachine(EnergyModel, abstract=True):
    """A restricted Boltzmann machine with any kind of visible units.

    A subclass says what e(v) is, how visible units are drawn, and what they sum out to:
    ``_visible_energy``, ``_draw_visible``, ``_log_visible_sum``.

    Attributes
    ----------
    W : Parameter, shape (visible, hidden)
    b : Parameter, shape (visible,)
        Visible biases.
    c : Parameter, shape (hidden,)
        Hidden biases.
    base : buffer, shape (visible,)
        Visible biases of the base-rate machine from which annealing starts: see `set_base_rates`.
    chains : buffer, shape (chains, visible)
        Persistent chains; only training has them.
    """

    lesson = "14_restricted_boltzmann_machines"
    training_buffers: ClassVar[tuple[str, ...]] = ("chains",)
    _BURN_IN: ClassVar[int] = 1000  # steps of chains that stand for samples

    def __init__(
        self,
        visible: int,
        hidden: int,
        *,
        method: str = "cd",
        k: int = 1,
        chains: int = _CHAINS,
        weight_decay: float = 0.0,
        sparsity: float = 0.0,
        target: float = _TARGET,
    ) -> None:
        super().__init__()
        check_count(visible, "visible")
        check_count(hidden, "hidden")
        check_choice(method, METHODS, "method")
        check_count(k, "k")
        check_count(chains, "chains")
        check_positive(weight_decay, "weight_decay", zero=True)
        check_positive(sparsity, "sparsity", zero=True)
        check_between(target, 0, 1, "target", ends=False)
        if chains != _CHAINS and method != "pcd":
            raise ValueError(f'chains: expected none but for method="pcd", got {chains}.')
        if target != _TARGET and not sparsity:
            raise ValueError(f"target: expected none without sparsity, got {target}.")
        self.event_shape = torch.Size([visible])
        self.method, self.k, self.number_of_chains = method, k, chains
        self.weight_decay, self.sparsity, self.target = weight_decay, sparsity, target
        self.W = nn.Parameter(0.01 * torch.randn(visible, hidden))
        self.b = nn.Parameter(torch.zeros(visible))
        self.c = nn.Parameter(torch.zeros(hidden))
        self.register_buffer("base", torch.zeros(visible))
        self.register_buffer("rated", torch.tensor(False))
        self.register_buffer("chains", torch.zeros(0, visible))
        if method == "exact" and self._least_listed() > MOST_LISTED:
            raise ValueError(
                f'method: expected "cd" or "pcd" for so many units; "exact" lists the states of a '
                f"layer of at most {MOST_LISTED}, got {visible} visible and {hidden} hidden."
            )

    def extra_repr(self) -> str:
        """Sizes, and how it is trained."""
        return "{}, {}, method={!r}, k={}".format(*self.W.shape, self.method, self.k)

    # ------------------------------------------------------------------ what the kinds differ in

    def _visible_energy(self, v: Tensor, bias: Tensor) -> Tensor:
        """e(v) of units with these biases, (N,)."""
        raise NotImplementedError

    def _draw_visible(
        self, h: Tensor, bias: Tensor, scale: float, key: int, generator: Generator | None
    ) -> Tensor:
        """Visible units given hidden ones, of weights ``scale`` W and these biases."""
        raise NotImplementedError

    def _log_visible_sum(self, field: Tensor, bias: Tensor) -> Tensor:
        """log Σ_v exp(v · field − e(v)), or the integral, (N,)."""
        raise NotImplementedError

    def _base_rates(self, v: Tensor) -> Tensor:
        """Biases of the machine without weights that is most likely to have made ``v``."""
        raise NotImplementedError

    def _visible_states(self) -> int | None:
        """log2 of the number of states of the visible layer; ``None`` where it has no list."""
        raise NotImplementedError

    # ------------------------------------------------------------------ energies and conditionals

    def energy(self, x: Tensor, h: Tensor | None = None) -> Tensor:
        """Energy E(x, h) of each pair of rows; without ``h`` the free energy F(x). Shape (N,), in
        nats.
        """
        if h is None:
            return super().energy(x)
        self.check(x)
        self._check_hidden(h, len(x))
        return self._joint_energy(x, h)

    def free_energy(self, x: Tensor) -> Tensor:
        """F(x) = −log Σ_h exp(−E(x, h)) of each row, shape (N,), in nats."""
        return super().energy(x)

    def hidden_probabilities(self, x: Tensor) -> Tensor:
        """p(h_j = 1 | x) = σ((x W)_j + c_j), shape (N, hidden)."""
        self.check(x)
        return self._field(x).sigmoid()

    def _encode(self, x: Tensor) -> Tensor:
        return self._field(x).sigmoid()

    def _energy(self, x: Tensor) -> Tensor:
        return self._free_energy(x, self._field(x))

    def _joint_energy(self, v: Tensor, h: Tensor) -> Tensor:
        return self._visible_energy(v, self.b) - (self._field(v) * h).sum(1)

    def _field(self, v: Tensor) -> Tensor:
        """v W + c: the logits of the hidden units."""
        return torch.addmm(self.c, v, self.W)

    def _free_energy(self, v: Tensor, field: Tensor) -> Tensor:
        return self._visible_energy(v, self.b) - softplus(field).sum(1)

    def _check_hidden(self, h: Tensor, rows: int) -> None:
        if not isinstance(h, Tensor) or h.shape != (rows, len(self.c)):
            came = tuple(h.shape) if isinstance(h, Tensor) else repr(h)
            raise ValueError(f"h: expected shape ({rows}, {len(self.c)}), got {came}.")
        shape, kind = self.c.shape, constraints.boolean
        check_event(h, shape, kind, dtype=self.dtype, device=self.device, name="h")

    # ------------------------------------------------------------------ sampling

    @torch.no_grad()
    def gibbs(self, x: Tensor, steps: int = 1, *, generator: Generator | None = None) -> Tensor:
        """States of chains that begin at the rows of ``x``, after ``steps`` steps of block Gibbs
        sampling: all hidden units given the visible ones, then all visible ones given the hidden.
        """
        self.check(x)
        check_count(steps, "steps")
        self._require_finite_parameters()
        return self._chain(x, self._field(x), steps, generator)

    def _chain(self, v: Tensor, field: Tensor, steps: int, generator: Generator | None) -> Tensor:
        """Chains at ``v``, where the hidden logits are ``field``, after ``steps``."""
        for step in range(steps):
            key = new_key(generator)
            h = self._draw_hidden(field, key, generator)
            v = self._draw_visible(h, self.b, 1.0, key, generator)
            if step + 1 < steps:
                field = self._field(v)
        return v

    def _draw_hidden(self, field: Tensor, key: int, generator: Generator | None) -> Tensor:
        """Hidden units whose logits are ``field``."""
        return bernoulli(field, key, 0)

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        if len(self.c) <= _MOST_DRAWN:
            h = torch.cat(list(self._hidden_states()))
            log_p = self._log_hidden_marginals(h)
            u = uniform((n,), log_p, generator)
            chosen = h[categorical((log_p - log_p.max()).exp(), u)]
            return self._draw_visible(chosen, self.b, 1.0, new_key(generator), generator)
        h = (uniform((n, len(self.c)), self.c, generator) < 0.5).to(self.dtype)
        v = self._draw_visible(h, self.b, 1.0, new_key(generator), generator)
        return self._chain(v, self._field(v), self._BURN_IN, generator)

    # ------------------------------------------------------------------ training

    def begin(self, data: Data) -> None:
        """`set_base_rates` at the first ``fit``, to rows that are given as a tensor or by a loader
        in whose data set they lie as one.
        """
        rows = rows_of(data) if isinstance(data, DataLoader) else data
        if rows is not None and not self.rated:
            self.set_base_rates(*(part.to(self.device) for part in rows))

    @torch.no_grad()
    def set_base_rates(self, x: Tensor, y: Tensor | None = None) -> None:
        """Set the base-rate machine, from which annealing starts, to what rows have on average; and
        the visible biases too, where they are all zero, as at first (Hinton 2012, section 8).

        Parameters
        ----------
        x : Tensor, shape (N, visible)
            Rows like those of training; of binary units their probabilities will do.
        y : Tensor, optional
            Labels, for machines that have some.

        Raises
        ------
        TypeError, ValueError
            As for ``fit``.
        """
        self._check_rates(x)
        self.base.copy_(self._base_rates(self._joined(x, self._condition(y, len(x)))))
        if not self.b.any():
            self.b.copy_(self.base)
        self.rated.fill_(True)

    def _check_rates(self, x: Tensor) -> None:
        """Raise unless ``x`` is a batch of events, or of probabilities of binary ones."""
        check_event(
            x, self.event_shape, constraints.unit_interval, dtype=self.dtype, device=self.device
        )

    def loss(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """A quantity with the gradient that training follows: mean F of the data less mean F of the
        negatives; −log p(x) where ``method`` is ``"exact"``. Penalties are added.
        """
        v = self._joined(x, y)
        if self.method == "exact":
            loss = self._free_energy(v, self._field(v)).mean() + self.log_partition()
        else:
            with torch.no_grad():
                field = self._field(v)  # the first half step of the chain and F both need it
                negatives = self._negatives_after(v, field)
            loss = self._contrast(v, field, negatives)
        if self.weight_decay:
            loss = loss + 0.5 * self.weight_decay * self.W.square().sum()
        if self.sparsity:
            loss = loss + self.sparsity * self._cross_entropies(v).sum()
        return loss

    def _cross_entropies(self, v: Tensor) -> Tensor:
        """Of ``target`` and each hidden unit's mean probability. Logarithms of the means of p and
        of 1 − p, rather than of rounded means: units that are stuck have a slope, too.
        """
        field = self._field(v)
        on, off = (F.logsigmoid(sign * field).logsumexp(0) for sign in (1, -1))
        return math.log(len(v)) - self.target * on - (1 - self.target) * off

    def _contrast(self, v: Tensor, field: Tensor, negatives: Tensor) -> Tensor:
        """Mean F of the data, whose hidden logits are known, less mean F of the negatives."""
        with torch.no_grad():
            fields = torch.cat([field, self._field(negatives)])
            rows = torch.cat([v, negatives])
            weights = v.new_full((len(rows),), -1 / len(negatives))
            weights[: len(v)] = 1 / len(v)
            value = weights @ self._free_energy(rows, fields)
        return _Contrast.apply(self.W, self.b, self.c, value, rows, fields, weights)

    @torch.no_grad()
    def _negatives(self, x: Tensor) -> Tensor:
        return self._negatives_after(x, self._field(x))

    def _negatives_after(self, v: Tensor, field: Tensor) -> Tensor:
        """Where chains of k steps from the data end, or persistent chains after k further ones."""
        if self.method == "cd":
            return self._chain(v, field, self.k, None)
        if len(self.chains) != self.number_of_chains:
            start = torch.arange(self.number_of_chains, device=v.device) % len(v)
            self.chains = v[start].clone()
        self.chains = self._chain(self.chains, self._field(self.chains), self.k, None)
        return self.chains

    def _joined(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Visible units of rows, and of their labels where there are some."""
        return x

    # ------------------------------------------------------------------ log Z

    def log_partition(self) -> Tensor:
        """Exact log Z, in nats, by listing the states of the smaller layer.

        Raises
        ------
        CannotAnswerError
            Both layers have more than 25 units.
        """
        self._check_listed()
        if len(self.c) == self._least_listed():
            parts = [self._log_hidden_marginals(h) for h in self._hidden_states()]
        else:
            parts = [-self._free_energy(v, self._field(v)) for v in self._visible_list()]
        return torch.logsumexp(torch.cat(parts), 0)

    def _check_listed(self) -> None:
        if self._least_listed() > MOST_LISTED:
            raise CannotAnswerError(
                f"{type(self).__name__} cannot list the states of a layer to find log Z: expected "
                f"at most {MOST_LISTED} units in one, got {len(self.b)} visible and "
                f"{len(self.c)} hidden; see estimate_log_partition."
            )

    def _least_listed(self) -> int:
        visible = self._visible_states()
        return len(self.c) if visible is None else min(visible, len(self.c))

    def _log_hidden_marginals(self, h: Tensor) -> Tensor:
        """log Σ_v exp(−E(v, h)) of each row, (N,)."""
        return h @ self.c + self._log_visible_sum(h @ self.W.T, self.b)

    def _hidden_states(self) -> Iterator[Tensor]:
        """All states of the hidden layer, in parts."""
        return self._states(len(self.c), len(self.b))

    def _visible_list(self) -> Iterator[Tensor]:
        """All states of the visible layer, in parts."""
        return self._states(len(self.b), len(self.c))

    def _states(self, units: int, others: int) -> Iterator[Tensor]:
        fast = min(units, max(1, int(math.log2(_STATES_AT_ONCE // max(units, others)))))
        part = discrete_events([2] * fast, dtype=self.dtype, device=self.device)
        if fast == units:
            yield part
            return
        for number in range(2 ** (units - fast)):
            bits = [number >> place & 1 for place in reversed(range(units - fast))]
            yield torch.cat([part.new_tensor(bits).expand(len(part), -1), part], 1)

    def annealing_path(self) -> MachinePath:
        """The distributions between the base-rate machine and this one, for `genlib.sampling`:
        `ais`, `reverse_ais`, `parallel_tempering`.
        """
        return MachinePath(self)

    @torch.no_grad()
    def estimate_log_partition(
        self,
        chains: int = 100,
        *,
        temperatures: int | Temperatures = 14_500,
        generator: Generator | None = None,
    ) -> Annealed:
        """Estimate log Z by annealed importance sampling from the base-rate machine.

        Parameters
        ----------
        chains : int
        temperatures : int, Tensor, array or sequence of float
            How many, spaced as Salakhutdinov and Murray (2008) do, or the inverse temperatures
            themselves, rising from 0 to 1.
        generator : torch.Generator, optional

        Notes
        -----
        Costs as many Gibbs steps of all chains as there are temperatures: of the default, about a
        minute on a core for 784 × 500 units.

        Returns
        -------
        Annealed
            ``log_partition`` is an `Estimate`; below log Z on average. See `genlib.sampling.ais`.
        """
        return ais(self.annealing_path(), _betas(temperatures), chains, generator=generator)

    @torch.no_grad()
    def bound_log_partition(
        self,
        x: Tensor,
        y: Tensor | None = None,
        *,
        temperatures: int | Temperatures = 14_500,
        generator: Generator | None = None,
    ) -> Annealed:
        """Estimate log Z from above, by annealing from draws ``x`` of the machine, with labels
        where it has some, back to the base: the other side of `estimate_log_partition`. See
        `genlib.sampling.reverse_ais`.
        """
        self.check(x)
        v = self._joined(x, self._condition(y, len(x)))
        return reverse_ais(self.annealing_path(), _betas(temperatures), v, generator=generator)

    @torch.no_grad()
    def estimate_log_prob(
        self,
        x: Tensor,
        *,
        chains: int = 100,
        temperatures: int | Temperatures = 14_500,
        log_partition: Estimate | None = None,
        generator: Generator | None = None,
    ) -> Estimate:
        """log p(x) of each row, in nats, with log Z by listing where a layer has at most 16 units,
        and the error is then zero; else by annealing, and all rows share its error. Every call
        anneals anew, unless ``log_partition``, an estimate already made, is given.
        """
        energy = self.energy(x)
        if self._least_listed() <= MOST_QUICKLY:
            value = -energy - self.log_partition()
            return Estimate(value, torch.zeros_like(value))
        value, error = (
            log_partition
            or self.estimate_log_partition(
                chains, temperatures=temperatures, generator=generator
            ).log_partition
        )
        return Estimate((-energy - value).to(self.dtype), error.expand(len(x)).to(self.dtype))


class _Contrast(torch.autograd.Function):
    """A weighted sum of free energies: ``value``, with its gradient.

    The chain has computed the logits of the hidden units already, and one product in place of two
    gives the gradient of W, whose size is what costs in small batches. That of b is the same for
    binary units and for Gaussian ones, where the weights sum to zero.
    """

    @staticmethod
    def forward(ctx, W, b, c, value, v, field, weights):
        ctx.save_for_backward(v, field, weights)
        return value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        v, field, weights = ctx.saved_tensors
        slopes = weights * -grad
        p = field.sigmoid().mul_(slopes[:, None])
        return v.T @ p, slopes @ v, p.sum(0), None, None, None, None


class PathState(NamedTuple):
    """Visible units, and the hidden logits v W + c."""

    v: Tensor
    field: Tensor


class MachinePath:
    """From the base-rate machine, which has no weights, to a machine: an `AnnealingPath`.

    p_β sums the hidden units of weights β W and biases β c out; visible units have the biases
    (1 − β) base + β b.
    """

    def __init__(self, machine: RestrictedMachine) -> None:
        self.machine = machine

    def log_partition(self) -> Tensor:
        """Log Z of the base, in nats: 2^hidden states of hidden units that matter to nothing."""
        machine = self.machine
        field = machine.base.new_zeros(1, len(machine.base))
        free = machine._log_visible_sum(field, machine.base)[0].double()
        return free + len(machine.c) * math.log(2)

    def sample(self, n: int, generator: Generator | None) -> PathState:
        """``n`` chains, drawn from the base."""
        h = self.machine.c.new_zeros(n, len(self.machine.c))
        key = new_key(generator)
        return self.state(self.machine._draw_visible(h, self.machine.base, 0.0, key, generator))

    def state(self, x: Tensor) -> PathState:
        """Chains at given rows."""
        return PathState(x, self.machine._field(x))

    def energy(self, state: PathState, beta: float) -> Tensor:
        """E(x, β) of each chain, (n,), in nats."""
        machine = self.machine
        visible = (1 - beta) * machine._visible_energy(state.v, machine.base)
        visible = visible + beta * machine._visible_energy(state.v, machine.b)
        return visible - softplus(beta * state.field).sum(1)

    def step(self, state: PathState, beta: float, generator: Generator | None) -> PathState:
        """A step of block Gibbs sampling at β."""
        machine, key = self.machine, new_key(generator)
        h = bernoulli(beta * state.field, key, 0)
        bias = (1 - beta) * machine.base + beta * machine.b
        return self.state(machine._draw_visible(h, bias, beta, key, generator))


@torch.no_grad()
def unroll(machine: RestrictedMachine, up: nn.Linear, down: nn.Linear) -> None:
    """Copy a machine's weights into a layer that leads up, and transposed into one that leads down.

    Units of labels, the last among the visible ones, are left out.
    """
    units = down.out_features
    up.weight.copy_(machine.W[:units].T)
    up.bias.copy_(machine.c)
    down.weight.copy_(machine.W[:units])
    down.bias.copy_(machine.b[:units])


def linear_layers(network: nn.Module) -> list[nn.Linear]:
    """The layers with weights, in their order."""
    return [part for part in network.modules() if isinstance(part, nn.Linear)]


def check_labelled(batch: tuple[Tensor, ...], name: str, of: str) -> None:
    """Raise unless labels, which are units ``of`` a machine, came with the rows."""
    if len(batch) == 1 or batch[1] is None:
        raise ValueError(f"{name}: expected labels y as well, which are units of {of}.")


def new_key(generator: Generator | None) -> int:
    """A key for draws of a step."""
    return int(integers(2**62, (), torch.empty(0), generator))


def _betas(temperatures: int | Temperatures) -> Tensor:
    """One part in 29 of the temperatures up to 0.5, eight up to 0.9, the others up to 1."""
    if isinstance(temperatures, Tensor | np.ndarray | Sequence) and not isinstance(
        temperatures, str
    ):
        return torch.as_tensor(temperatures)
    check_count(temperatures, "temperatures", minimum=2)
    first, second = max(1, temperatures // 29), max(1, 8 * temperatures // 29)
    ends = torch.tensor([0, first, first + second, max(temperatures, first + second + 1)])
    steps = [
        torch.linspace(low, high, int(count) + 1, dtype=torch.float64)[:-1]
        for low, high, count in zip((0, 0.5, 0.9), (0.5, 0.9, 1.0), ends.diff(), strict=True)
    ]
    return torch.cat([*steps, torch.ones(1, dtype=torch.float64)])
