"""The neural autoregressive density estimator, for one order or for all of them.

Sources: the chapter on autoregressive models of document H; Larochelle and Murray (2011), "The
neural autoregressive distribution estimator"; Uria, Murray and Larochelle (2014), "A deep and
tractable density estimator".
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.distributions import constraints

from genlib.core import Density, Model
from genlib.core.random import integers, uniform
from genlib.core.validation import check_count, check_flag, check_mask
from genlib.kernels.nade import nade_logits, nade_sample
from genlib.models.autoregressive.base import BinaryAutoregressive, Order, check_order
from genlib.nn.heads import log_bernoulli


class NADE(BinaryAutoregressive):
    """Neural autoregressive density estimator: a hidden layer whose weights all conditionals share.

    A log mass over binary vectors, p(x) = Π_i p(x_i | x_<i) with::

        h_i = σ(c + Σ_{j<i} x_j W_j),        p(x_i = 1 | x_<i) = σ(b_i + V_i · h_i)

    The sum grows by one term from each value to the next, so that log p(x) takes O(dim · hidden)
    operations, and there are dim · (2 hidden + 1) + hidden parameters.

    With ``orderless=True`` one network learns all orders [1]. Each training row hides a random set
    of values, of any size, and is asked for each of those from the others. So that a hidden value
    differs from a zero, the network also sees which values it has been given: h = σ(c + Σ_j (x_j
    W_j + M_j)) over the given j. ``log_prob`` is then the log mass in the order ``order``,
    `ensemble` mixes several orders, and `complete` begins with whatever is known.

    Parameters
    ----------
    dim : int
        Number of binary values.
    hidden : int
        Number of hidden units.
    order : sequence of int, optional
        Permutation of the columns in which they are predicted; by default as they stand.
    orderless : bool
        Train for all orders.

    Attributes
    ----------
    w, v : Parameter, shape (dim, hidden)
        Weights into and out of the hidden layer; row i belongs to column i of ``x``.
    m : Parameter, shape (dim, hidden), or None
        What being given adds to the hidden units, with ``orderless=True``.
    b, c : Parameter, shapes (dim,) and (hidden,)

    Notes
    -----
    ``conditionals`` gives logits, shape (N, dim); ``encode`` the hidden units when all values have
    been seen, shape (N, hidden).

    References
    ----------
    [1] Uria, Murray and Larochelle (2014), "A deep and tractable density estimator", ICML.

    Examples
    --------
    >>> NADE(dim=784, hidden=500).free_parameters
    785284
    """

    def __init__(
        self,
        dim: int = 784,
        hidden: int = 500,
        order: Order | None = None,
        *,
        orderless: bool = False,
    ) -> None:
        super().__init__(dim, order)
        check_count(hidden, "hidden")
        check_flag(orderless, "orderless")
        limit = math.sqrt(6 / (dim + hidden))
        self.w = nn.Parameter(torch.empty(dim, hidden).uniform_(-limit, limit))
        self.v = nn.Parameter(torch.empty(dim, hidden).uniform_(-limit, limit))
        self.m = nn.Parameter(torch.zeros(dim, hidden)) if orderless else None
        self.b = nn.Parameter(torch.zeros(dim))
        self.c = nn.Parameter(torch.zeros(hidden))

    @property
    def orderless(self) -> bool:
        """Whether the model is trained for all orders."""
        return self.m is not None

    def loss(self, x: Tensor) -> Tensor:
        """Mean negative log-likelihood, in nats: in the model's order, or for orderless training an
        unbiased estimate of its mean over all orders.

        A row with d of its D values given has D − d terms, one for each hidden value, and weight
        D / (D − d): the mean of its terms, times the number of factors of p(x).
        """
        if not self.orderless:
            return super().loss(x)
        dim = x.shape[1]
        given = torch.randint(dim, (len(x), 1), device=x.device)
        known = (torch.rand(x.shape, device=x.device).argsort(1) < given).to(x)
        a = torch.addmm(torch.addmm(self.c, known * x, self.w), known, self.m)
        logits = torch.addmm(self.b, a.sigmoid(), self.v.T)
        terms = log_bernoulli(logits, x) * (1 - known)
        return -(terms.sum(1, keepdim=True) * dim / (dim - given)).mean()

    def validation_loss(self, x: Tensor) -> Tensor:
        """Mean negative log-likelihood in the model's order, exact in either case."""
        return -self._log_prob(x).mean()

    def ensemble(self, orders: Sequence[Order]) -> NADEEnsemble:
        """The mixture of this model's densities in several orders; it shares the weights."""
        return NADEEnsemble(self, orders)

    @torch.no_grad()
    def complete(
        self,
        x: Tensor,
        mask: Tensor,
        *,
        particles: int | None = None,
        generator: Generator | None = None,
    ) -> Tensor:
        """Draw the values that are not known, given those that are; see `Autoregressive.complete`.

        After orderless training, and without ``particles``, every mask is answered exactly: in the
        order that takes the known values first, and then goes on in the model's own.
        """
        if not self.orderless or particles is not None:
            return super().complete(x, mask, particles=particles, generator=generator)
        self.check(x)
        known = check_mask(mask, x)
        u = self._uniforms(x, known, generator)
        out = torch.empty_like(x)
        masks, which = known.unique(dim=0, return_inverse=True)
        for number, first in enumerate(masks[:, self.order]):
            rows = which == number
            order = torch.cat([self.order[first], self.order[~first]])
            out[rows] = self._draw_in(order, u[rows])
        return out

    def _conditionals(self, x: Tensor) -> Tensor:
        return self._logits_in(self.order, x)[:, self.rank]

    def _draw(self, u: Tensor) -> Tensor:
        return self._draw_in(self.order, u)

    def _encode(self, x: Tensor) -> Tensor:
        given = 0 if self.m is None else self.m.sum(0)
        return (x @ self.w + self.c + given).sigmoid().to(x.dtype)

    def _logits_in(self, order: Tensor, x: Tensor) -> Tensor:
        """Logits in ``order``, and sorted by it."""
        return nade_logits(x[:, order], *self._weights_in(order))

    def _draw_in(self, order: Tensor, u: Tensor) -> Tensor:
        """Draws in ``order``; columns stand as always."""
        return nade_sample(u[:, order], *self._weights_in(order))[:, order.argsort()]

    def _weights_in(self, order: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """W, c, V and b for values taken in ``order``."""
        w, v, b = (part.index_select(0, order) for part in (self.w, self.v, self.b))
        if self.m is None:
            return w, self.c, v, b
        m = self.m.index_select(0, order)
        return w, self.c + m.cumsum(0) - m, v, b


class NADEEnsemble(Model):
    """One orderless `NADE` in several orders: p(x) = (1/K) Σ_k p_k(x), a log mass.

    Probabilities are averaged, not logits: the result is a mixture, sums to one, and by Jensen's
    inequality gives data at least the mean of the orders' log-likelihoods. `NADE.ensemble` makes
    one from a trained model.

    Parameters
    ----------
    nade : NADE
        The model whose weights all orders share, made with ``orderless=True``.
    orders : sequence of permutations, or Tensor of int64, shape (K, dim)

    Raises
    ------
    TypeError, ValueError
        ``nade`` is no orderless NADE, there are no orders, or one is no permutation.
    """

    density = Density.EXACT
    support = constraints.boolean
    lesson = "05_autoregressive_networks"

    def __init__(self, nade: NADE, orders: Sequence[Order]) -> None:
        super().__init__()
        if not isinstance(nade, NADE):
            raise TypeError(f"nade: expected a NADE, got {type(nade).__name__}.")
        if not nade.orderless:
            raise ValueError(
                "nade: the weights are trained for one order and mean nothing in another; make the "
                "model with orderless=True."
            )
        if not isinstance(orders, Sequence | Tensor):
            raise TypeError(
                "orders: expected several permutations, as in [range(4), (3, 2, 1, 0)], got "
                f"{type(orders).__name__}."
            )
        if not len(orders):
            raise ValueError("orders: expected at least one permutation, got none.")
        self.event_shape = nade.event_shape
        orders = torch.stack([check_order(order, len(nade.order)) for order in orders])
        self.register_buffer("orders", orders, persistent=False)
        self.nade = nade

    def _log_prob(self, x: Tensor) -> Tensor:
        terms = [
            log_bernoulli(self.nade._logits_in(order, x), x[:, order]).sum(1)
            for order in self.orders
        ]
        return torch.stack(terms).logsumexp(0) - math.log(len(terms))

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        """Each row in an order of its own."""
        chosen = integers(len(self.orders), (n,), self.nade.w, generator)
        u = uniform((n, *self.event_shape), self.nade.w, generator)
        x = torch.empty_like(u)
        for k in chosen.unique():
            rows = chosen == k
            x[rows] = self.nade._draw_in(self.orders[k], u[rows])
        return x

    def _encode(self, x: Tensor) -> Tensor:
        return self.nade._encode(x)
