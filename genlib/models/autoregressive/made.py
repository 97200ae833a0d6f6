"""The masked autoencoder for distribution estimation: an autoencoder that became a density.

Sources: the chapter on autoregressive models of document H; Germain, Gregor, Murray and Larochelle
(2015), "MADE: masked autoencoder for distribution estimation".
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from genlib.core.random import integers
from genlib.core.validation import check_count, check_counts, check_flag
from genlib.models.autoregressive.base import (
    MOST_PARTS,
    BinaryAutoregressive,
    Order,
    check_known_first,
    choose,
)
from genlib.nn.heads import log_bernoulli
from genlib.nn.masked_linear import MaskedLinear, connections, draw_degrees, spread_degrees


class MADE(BinaryAutoregressive):
    """Masked autoencoder: a network of any depth in which output i sees only inputs before i.

    A log mass over binary vectors, p(x) = Π_i p(x_i | x_<i), all conditionals from one pass.
    Every unit has a degree, and connections in which the degree would fall are cut [1].

    With ``num_masks=K`` the network has K sets of masks with hidden degrees of their own, and, with
    ``sample_orders=True``, orders of their own. Each training batch draws one of them. The model is
    then the mixture p(x) = (1/K) Σ_k p_k(x): ``log_prob`` averages probabilities, not logits, and
    takes K passes.

    Parameters
    ----------
    dim : int
        Number of binary values, 2 at least.
    hidden : sequence of int
        Number of rectified linear units of each hidden layer. It may be empty if there are direct
        connections: then the model is an FVSBN.
    order : sequence of int, optional
        Permutation of the columns in which they are predicted, the first of the orders if there are
        several; by default as they stand.
    num_masks : int
        Sets of masks. One alone has its hidden degrees spread evenly; of several, all are drawn.
    sample_orders : bool
        Draw an order for every set of masks but the first.
    direct : bool
        Connect inputs to outputs also directly.
    seed : int
        Of the generator that draws degrees and orders.

    Attributes
    ----------
    orders : Tensor of int64, shape (num_masks, dim)

    Raises
    ------
    ValueError
        A hidden layer is too small to pass on both the first value and the last that anybody may
        see, so that outputs or inputs were unreachable; or there is no path at all.

    Notes
    -----
    ``conditionals(x)`` gives logits, shape (N, dim), under the first set of masks, in ``order``.
    ``encode`` gives the last hidden layer, under the same. A draw costs what one pass does: each
    unit is computed once, as soon as all that it may see is there.

    References
    ----------
    [1] Germain, Gregor, Murray and Larochelle (2015), "MADE: masked autoencoder for distribution
    estimation", ICML.
    """

    orders: Tensor

    def __init__(
        self,
        dim: int = 784,
        hidden: Sequence[int] = (500, 500),
        order: Order | None = None,
        *,
        num_masks: int = 1,
        sample_orders: bool = False,
        direct: bool = False,
        seed: int = 0,
    ) -> None:
        check_count(dim, "dim", minimum=2)
        check_count(num_masks, "num_masks", maximum=MOST_PARTS)
        check_count(seed, "seed", minimum=0, maximum=2**63 - 1)
        check_flag(sample_orders, "sample_orders")
        check_flag(direct, "direct")
        super().__init__(dim, order)
        _check_reachable(hidden, dim, direct)
        sizes = [dim, *hidden]
        self.layers = nn.ModuleList(map(MaskedLinear, sizes[:-1], sizes[1:]))
        self.output = MaskedLinear(sizes[-1], dim) if hidden else None
        self.direct = MaskedLinear(dim, dim, bias=not hidden) if direct else None
        self._draw_degrees(hidden, num_masks, sample_orders, seed)
        self._selected: int | None = None
        self.register_load_state_dict_post_hook(_select_anew)  # other degrees may have come

    def _draw_degrees(
        self, hidden: Sequence[int], num_masks: int, sample_orders: bool, seed: int
    ) -> None:
        """Degrees of all units under each set of masks, (num_masks, units) for each layer."""
        generator, dim = torch.Generator().manual_seed(seed), len(self.order)
        orders = [
            torch.randperm(dim, generator=generator) if sample_orders and k else self.order
            for k in range(num_masks)
        ]
        self.register_buffer("orders", torch.stack(orders))
        self.register_buffer("degrees_0", self.orders.argsort(1) + 1)
        for number, units in enumerate(hidden, start=1):
            degrees = [
                spread_degrees(units, dim - 1)
                if num_masks == 1
                else draw_degrees(units, dim - 1, generator)
                for _ in range(num_masks)
            ]
            self.register_buffer(f"degrees_{number}", torch.stack(degrees))

    # ------------------------------------------------------------------ the network

    def _degrees(self, k: int) -> list[Tensor]:
        """Degrees of inputs (and outputs) and of every hidden layer, under masks ``k``."""
        return [getattr(self, f"degrees_{number}")[k] for number in range(len(self.layers) + 1)]

    def _masks(self, k: int) -> dict[MaskedLinear, Tensor]:
        """The mask of each layer in the set ``k``."""
        degrees = self._degrees(k)
        masks = {
            layer: connections(degrees[number + 1], degrees[number])
            for number, layer in enumerate(self.layers)
        }
        if self.output is not None:
            masks[self.output] = connections(degrees[0], degrees[-1], strict=True)
        if self.direct is not None:
            masks[self.direct] = connections(degrees[0], degrees[0], strict=True)
        return masks

    def _select(self, k: int) -> None:
        """Give the layers the masks ``k``. They keep those of one set, as all might fill the
        memory; new tensors, since a graph may still need the old ones.
        """
        if k != self._selected:
            with torch.inference_mode(False):  # training may follow, and could not use such masks
                for layer, mask in self._masks(k).items():
                    layer.keep(mask)
            self._selected = k

    @property
    def free_parameters(self) -> int:
        """How many numbers training is free to choose: biases, and weights that some mask keeps."""
        kept = self._masks(0)
        for k in range(1, len(self.orders)):
            for layer, mask in self._masks(k).items():
                kept[layer] = kept[layer].maximum(mask)
        biases = sum(layer.bias.numel() for layer in kept if layer.bias is not None)
        return biases + sum(int(mask.count_nonzero()) for mask in kept.values())

    def _features(self, x: Tensor) -> Tensor:
        """The last hidden layer, under the masks that are selected."""
        for layer in self.layers:
            x = layer(x).relu()
        return x

    def _logits(self, x: Tensor, k: int) -> Tensor:
        """Logits under masks ``k``."""
        self._select(k)
        logits = 0 if self.direct is None else self.direct(x)
        if self.output is not None:
            logits = logits + self.output(self._features(x))
        return logits.to(x.dtype)

    def _conditionals(self, x: Tensor) -> Tensor:
        return self._logits(x, 0)

    def _encode(self, x: Tensor) -> Tensor:
        self._select(0)
        return self._features(x).to(x.dtype)

    # ------------------------------------------------------------------ density

    def loss(self, x: Tensor) -> Tensor:
        """Mean negative log-likelihood in nats, under masks that are drawn anew for every batch."""
        k = int(torch.randint(len(self.orders), ())) if len(self.orders) > 1 else 0
        return -self._terms(x, k).sum(1).mean()

    def validation_loss(self, x: Tensor) -> Tensor:
        """Mean negative log-likelihood of the mixture, in nats."""
        return -self._log_prob(x).mean()

    def _terms(self, x: Tensor, k: int) -> Tensor:
        """log p_k(x_i | x_<i), (N, dim)."""
        return log_bernoulli(self._logits(x, k), x)

    def _log_prob(self, x: Tensor) -> Tensor:
        if len(self.orders) == 1:
            return self._terms(x, 0).sum(1)
        each = torch.stack([self._terms(x, k).sum(1) for k in range(len(self.orders))])
        return each.logsumexp(0) - math.log(len(each))

    # ------------------------------------------------------------------ sampling

    def _fill(self, x: Tensor, known: Tensor, generator: Generator | None) -> Tensor:
        """Each row under masks drawn with probability p(k | known values), as the mixture asks."""
        log_weights = x.new_zeros(len(x), len(self.orders))
        if known.any():
            each = [self._terms(x, k).where(known, 0).sum(1) for k in range(len(self.orders))]
            log_weights = torch.stack(each, 1)
        which = choose(log_weights, generator)
        return self._draw_under(which, self._uniforms(x, known, generator))

    def _propose(
        self, x: Tensor, known: Tensor, generator: Generator | None
    ) -> tuple[Tensor, Tensor]:
        which = integers(len(self.orders), (len(x),), x, generator)
        drawn = self._draw_under(which, self._uniforms(x, known, generator))
        log_weights = x.new_empty(len(x))
        for k in which.unique():
            rows = which == k
            log_weights[rows] = self._terms(drawn[rows], k).where(known[rows], 0).sum(1)
        return drawn, log_weights

    def _require_known_first(self, known: Tensor) -> None:
        for order in self.orders:
            check_known_first(known, order)

    def _draw_under(self, which: Tensor, u: Tensor) -> Tensor:
        """Draw each row under the masks that ``which`` names."""
        x = torch.empty_like(u)
        for k in which.unique().tolist():
            x[which == k] = self._draw_by(u[which == k], k)
        return x

    def _draw_by(self, u: Tensor, k: int) -> Tensor:
        """Draw under masks ``k``, each unit computed when the last value that it sees is there."""
        self._select(k)
        weights = {layer: layer.masked_weight() for layer in self._masks(k)}
        due = [_by_degree(of_layer, u.shape[1]) for of_layer in self._degrees(k)[1:]]
        x = torch.zeros_like(u)
        hidden = [u.new_zeros(len(u), layer.out_features) for layer in self.layers]
        for place, i in enumerate(self.orders[k].tolist()):
            logit = u.new_zeros(len(u))
            for layer, seen in ((self.direct, x), (self.output, hidden[-1] if hidden else None)):
                if layer is not None:
                    logit += seen @ weights[layer][i]
                    logit += 0 if layer.bias is None else layer.bias[i]
            x[:, i] = u[:, i] < logit.sigmoid()
            below = x
            for layer, units, h in zip(self.layers, due, hidden, strict=True):
                now = units[place]
                h[:, now] = F.linear(below, weights[layer][now], layer.bias[now]).relu().to(h.dtype)
                below = h
        return x


def _select_anew(model: MADE, *_: object) -> None:
    """Make no use of the masks that are there."""
    model._selected = None


def _by_degree(degrees: Tensor, largest: int) -> tuple[Tensor, ...]:
    """Numbers of the units of degree 1, of degree 2, … up to ``largest``."""
    counts = torch.bincount(degrees, minlength=largest + 1)[1:]
    return degrees.argsort(stable=True).split(counts.tolist())


def _check_reachable(hidden: Sequence[int], dim: int, direct: bool) -> None:
    """Raise unless every output but the first can see a value, and all but the last are seen."""
    check_counts(hidden, "hidden")
    check_count(len(hidden), "hidden, layers", minimum=0, maximum=MOST_PARTS)
    if not hidden and not direct:
        raise ValueError(
            "hidden: expected at least one layer, got none: without direct=True outputs are then "
            "unreachable from the inputs."
        )
    needed = min(2, dim - 1)  # a unit of degree 1, and one of degree dim − 1
    if hidden and min(hidden) < needed and not direct:
        raise ValueError(
            f"hidden: expected at least {needed} units a layer, got {list(hidden)}: one unit has "
            "one degree, so that either outputs are unreachable or inputs unseen; use more units, "
            "or direct=True."
        )
