"""What models share that write p(x) = Π_i p(x_i | x_<i): the order, sampling and completing.

Source: the chapter on autoregressive models of document H; Frey (1998).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.distributions import constraints

from genlib.core import Density, Model
from genlib.core.random import categorical, uniform
from genlib.core.validation import check_count, check_mask, first_index
from genlib.nn.heads import log_bernoulli

Order = Sequence[int] | Tensor

MOST_PARTS = 1_000  # layers, scales or masks; a larger number is a slip, and takes for ever to make
_DRAWS_AT_ONCE = 2**14  # completions in memory together


class Autoregressive(Model, abstract=True):
    """A product of conditionals over the values of an event, taken in a fixed order.

    A subclass writes ``_conditionals(x)``, the parameters of every p(x_i | x_<i) at once;
    ``_log_conditionals(x)``, the (N, dim) terms of log p(x); and ``_fill``, which draws one value
    after another.

    Attributes
    ----------
    order : Tensor of int64, shape (dim,)
        The column that comes first, the one that comes second, and so on.
    rank : Tensor of int64, shape (dim,)
        The place of each column in the order: the inverse permutation.
    """

    density = Density.EXACT
    lesson = "05_autoregressive_networks"

    order: Tensor
    rank: Tensor

    def __init__(self, dim: int, order: Order | None = None) -> None:
        super().__init__()
        check_count(dim, "dim")
        self.event_shape = torch.Size([dim])
        order = check_order(order, dim)
        # Not saved with the weights: the constructor's arguments say them.
        self.register_buffer("order", order, persistent=False)
        self.register_buffer("rank", order.argsort(), persistent=False)

    @property
    def free_parameters(self) -> int:
        """How many numbers training is free to choose."""
        return sum(parameter.numel() for parameter in self.parameters())

    def conditionals(self, x: Tensor) -> Tensor:
        """Parameters of p(x_i | x_<i) for every i, at the values before it in each row of ``x``.

        Returns
        -------
        Tensor, shape (N, dim, \\*parameters)
            In the order of the columns of ``x``; the class says which parameters.
        """
        self.check(x)
        return self._conditionals(x)

    @torch.no_grad()
    def complete(
        self,
        x: Tensor,
        mask: Tensor,
        *,
        particles: int | None = None,
        generator: Generator | None = None,
    ) -> Tensor:
        """Draw the values that are not known, given those that are.

        Where all known values come before all unknown ones in the order, this is a draw from
        p(unknown | known): the unknown values are drawn one after another, as in ``sample``.
        Elsewhere such a draw ignores what lies ahead, and an exact one would need a sum over all
        completions. ``particles=K`` then approximates: each row is drawn K times in this way, and
        one of the K is kept with probability proportional to Π p(x_i | x_<i) over the known i, the
        probability of what it met on its way (sampling importance resampling [1]). The answer
        is exact in the limit of many particles. One particle takes no notice of known values
        ahead; and when few particles carry all the weight, more are needed.

        Parameters
        ----------
        x : Tensor, shape (N, dim)
            What stands in the unknown places does not matter, so long as it lies in the support.
        mask : Tensor of bool, shape (dim,) or (N, dim)
            True where a value is known.
        particles : int, optional
            Number of draws to choose from. None, the default, admits exact draws only.
        generator : torch.Generator, optional

        Returns
        -------
        Tensor, shape (N, dim)
            ``x`` with its unknown values replaced.

        Raises
        ------
        TypeError, ValueError
            ``x`` is not a batch of events, ``mask`` does not fit it, or, without ``particles``, a
            known value comes after an unknown one.

        References
        ----------
        [1] Rubin (1987), discussion of Tanner and Wong, Journal of the American Statistical
        Association 82, 543-546.
        """
        self.check(x)
        known = check_mask(mask, x)
        if particles is None:
            self._require_known_first(known)
            return self._fill(x, known, generator)
        check_count(particles, "particles")
        rows = max(1, _DRAWS_AT_ONCE // particles)
        return torch.cat([
            self._resample(*part, particles, generator)
            for part in zip(x.split(rows), known.split(rows), strict=True)
        ])  # fmt: skip

    def _resample(
        self, x: Tensor, known: Tensor, particles: int, generator: Generator | None
    ) -> Tensor:
        """One of several completions of each row, chosen by what it says of the known values."""
        x, known = (part.repeat_interleave(particles, 0) for part in (x, known))
        drawn, log_weights = self._propose(x, known, generator)
        chosen = choose(log_weights.view(-1, particles), generator)
        return drawn.unflatten(0, (-1, particles))[torch.arange(len(chosen)), chosen]

    def _propose(
        self, x: Tensor, known: Tensor, generator: Generator | None
    ) -> tuple[Tensor, Tensor]:
        """A completion of each row that ignores known values ahead, and log Π p(x_i | x_<i) over
        the known i.
        """
        drawn = self._fill(x, known, generator)
        return drawn, self._log_conditionals(drawn).where(known.flatten(1), 0).sum(1)

    def _require_known_first(self, known: Tensor) -> None:
        """Raise unless, in each row, the known values come before the unknown ones."""
        check_known_first(known.flatten(1), self.order)

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        x = torch.zeros(n, *self.event_shape, dtype=self.dtype, device=self.device)
        return self._fill(x, torch.zeros_like(x, dtype=torch.bool), generator)

    def _log_prob(self, x: Tensor) -> Tensor:
        return self._log_conditionals(x).sum(1)

    def _conditionals(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _log_conditionals(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _fill(self, x: Tensor, known: Tensor, generator: Generator | None) -> Tensor:
        """``x`` with each value that is not known drawn from its conditional, in order."""
        raise NotImplementedError


class BinaryAutoregressive(Autoregressive, abstract=True):
    """An autoregressive model of binary values, whose conditionals are given by their logits.

    A subclass writes ``_conditionals(x) -> (N, dim)`` and ``_draw(u) -> (N, dim)``, which sets
    x_i = 1 where u_i < p(x_i = 1 | x_<i), in order.
    """

    support = constraints.boolean
    cannot: ClassVar[dict[str, str]] = {
        "encode": "all its variables are observed; there is no hidden one that would describe an "
        "event.",
    }

    def _log_conditionals(self, x: Tensor) -> Tensor:
        return log_bernoulli(self._conditionals(x), x)

    def _fill(self, x: Tensor, known: Tensor, generator: Generator | None) -> Tensor:
        return self._draw(self._uniforms(x, known, generator))

    def _uniforms(self, x: Tensor, known: Tensor, generator: Generator | None) -> Tensor:
        """Uniform numbers; where a value is known, one that decides for it: −1 for 1, 1 for 0."""
        return uniform(x.shape, x, generator).where(~known, 1 - 2 * x)

    def _draw(self, u: Tensor) -> Tensor:
        raise NotImplementedError


def choose(log_weights: Tensor, generator: Generator | None) -> Tensor:
    """For each row, a column drawn with probability proportional to its weight, (N,)."""
    u = uniform(log_weights.shape[:-1], log_weights, generator)
    return categorical(log_weights.softmax(-1), u)


def check_order(order: Order | None, dim: int) -> Tensor:
    """``order`` as a tensor, checked to be a permutation of 0 … dim − 1; by default it is that."""
    if order is None:
        return torch.arange(dim)
    try:
        order = torch.as_tensor(order).cpu()
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise TypeError(f"order: expected a permutation of integers, got {order!r:.60}.") from None
    if order.is_floating_point() or order.is_complex() or order.dtype == torch.bool:
        raise TypeError(f"order: expected integers, got {order.dtype}.")
    order = order.long()  # unsigned ones can be neither sorted nor compared
    if order.shape != (dim,) or not torch.equal(order.sort().values, torch.arange(dim)):
        raise ValueError(
            f"order: expected a permutation of 0 … {dim - 1}, each column once, got "
            f"{order.numel()} values of which {len(order.unique())} differ; "
            f"torch.randperm({dim}) makes one."
        )
    return order


def check_known_first(known: Tensor, order: Tensor) -> None:
    """Raise where, in a row of ``known``, a true value comes after a false one in ``order``."""
    ordered = known[:, order]
    late = ordered[:, 1:] & ~ordered[:, :-1]
    if late.any():
        row, place = first_index(late)
        raise ValueError(
            f"mask: in row {row} the known value {order[place + 1]} comes after unknown ones in "
            "the order, so an exact draw is out of reach; pass particles=100 for an approximate "
            "one, or use a model whose order begins with the known values."
        )
