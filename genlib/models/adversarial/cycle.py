"""CycleGAN: translation between two sets of rows without pairs.

Sources: Zhu, Park, Isola and Efros (2017), "Unpaired image-to-image translation using
cycle-consistent adversarial networks"; Shrivastava et al. (2017), "Learning from simulated and
unsupervised images through adversarial training", for the pool; the chapter on translation between
images of document C.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from genlib.core import Density, Player
from genlib.core.fit import MakeOptimizer
from genlib.core.history import History
from genlib.core.random import integers, uniform
from genlib.core.shapes import as_shape
from genlib.core.validation import check_count, check_event, check_positive
from genlib.data.loaders import unpaired_loader
from genlib.models.adversarial.costs import Cost
from genlib.models.adversarial.game import (
    Game,
    check_modules,
    check_unbounded,
    has_batch_norm,
    logits_of,
    probed,
    range_of,
)
from genlib.nn.modes import evaluating


class CycleGAN(Game):
    """CycleGAN: generators G from a set X to a set Y and F back, which undo each other.

    No row of X is known to belong to a row of Y. Discriminators of either set learn to tell its
    rows from translated ones; the generators want to be taken for data, and that a translation
    there and back ends where it began::

        discriminators:  L_D(v_Y(y), v_Y(G(x))) + L_D(v_X(x), v_X(F(y)))
        generators:      L_G(v_Y(G(x))) + L_G(v_X(F(y)))
                         + λ (E|F(G(x)) − x| + E|G(F(y)) − y|)
                         + μ (E|G(y) − y| + E|F(x) − x|)

    L_D and L_G being those of the ``cost``, and absolute errors means over all values. Neither
    says *which* y a row x must become: any map that fits the two sets and can be undone is as
    good, and G may hide x in details of G(x) for F to find.

    Parameters
    ----------
    to_y, to_x : torch.nn.Module
        G and F: (N, \\*shape) to (N, \\*shape_of_y), and back.
    discriminator_y, discriminator_x : torch.nn.Module
        Rows of their set to logits: one a row, (N,) or (N, 1), or one a patch, (N, 1, h, w).
    cost : str or Cost
        See `GAN`.
    shape : int, or sequence of int
        Of a row of X; that of Y is found by trying G.
    cycle : float
        λ. With the least-squares cost, which has the factor ½ for both players, 5 is what Zhu et
        al. call 10.
    identity : float
        μ; zero leaves that term out. It needs rows of one shape in X and Y, and keeps, for one,
        colours as they are.
    pool : int
        The discriminators are shown translations of earlier steps as well: this many of each
        set are kept. Once they are, a new one is, with probability ½, shown in exchange for one of
        these, which is shown in its place. None are kept with 0.
    discriminator_steps, generator_steps : int
        See `GAN`.
    discriminator_optimizer, generator_optimizer : callable, optional
        See `GAN`.

    Raises
    ------
    TypeError, ValueError
        A setting is not what it must be; or the networks do not fit each other.

    Notes
    -----
    ``fit(x, y)`` takes two sets of any sizes. A pass goes once over the larger one, in a new order,
    while the smaller one is gone through again and again, each time in a new order; see
    `genlib.data.loaders.unpaired_loader`. In several processes, hand in a loader of your own.

    References
    ----------
    Zhu, Park, Isola and Efros (2017), ICCV, equations 1 to 3 and section 5.2.

    Examples
    --------
    >>> networks = [nn.Linear(2, 3), nn.Linear(3, 2), nn.Linear(3, 1), nn.Linear(2, 1)]
    >>> model = CycleGAN(*networks, shape=2)
    >>> model.translate(torch.zeros(5, 2)).shape, model.translate_back(torch.zeros(4, 3)).shape
    (torch.Size([5, 3]), torch.Size([4, 2]))
    """

    density = Density.IMPLICIT
    lesson = "20_gan_zoo"
    cannot: ClassVar = {
        "log_prob": "the generators define translations of rows, not densities that could be "
        "evaluated.",
        "sample": "the generators make rows of rows, and none of nothing: translate(x) and "
        "translate_back(y).",
        "encode": "a row is translated, not coded: translate(x) and translate_back(y).",
    }
    training_buffers = ("pool_y", "pool_x")

    def __init__(
        self,
        to_y: nn.Module,
        to_x: nn.Module,
        discriminator_y: nn.Module,
        discriminator_x: nn.Module,
        cost: str | Cost = "least-squares",
        *,
        shape: int | Sequence[int],
        cycle: float = 5.0,
        identity: float = 0.0,
        pool: int = 50,
        discriminator_steps: int = 1,
        generator_steps: int = 1,
        discriminator_optimizer: MakeOptimizer | None = None,
        generator_optimizer: MakeOptimizer | None = None,
    ) -> None:
        super().__init__()
        check_positive(cycle, "cycle", zero=True)
        check_positive(identity, "identity", zero=True)
        check_count(pool, "pool", minimum=0)
        self._set_rules(
            cost,
            (discriminator_steps, generator_steps),
            (discriminator_optimizer, generator_optimizer),
        )
        self.cycle, self.identity, self.pool = cycle, identity, pool
        networks = {"to_y": to_y, "to_x": to_x}
        networks |= {"discriminator_y": discriminator_y, "discriminator_x": discriminator_x}
        check_modules(networks)
        self.to_y, self.to_x = to_y, to_x
        self.discriminator_y, self.discriminator_x = discriminator_y, discriminator_x
        self.event_shape = as_shape(shape)
        self._check_networks()
        for name, rows in (("pool_y", self.shape_of_y), ("pool_x", self.event_shape)):
            self.register_buffer(name, next(to_y.parameters()).new_zeros(0, *rows))
        self._note_code()

    # ------------------------------------------------------------------ the game

    def players(self) -> list[Player]:
        """Who moves: both discriminators, then both generators."""
        return self._sides([self.discriminator_y, self.discriminator_x], [self.to_y, self.to_x])

    def discriminator_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Loss of both discriminators on rows of both sets and on translations of them or, in
        training, of earlier ones.
        """
        self._check_batches_of_one(x, y)
        with torch.no_grad():
            fake_y = self._shown("pool_y", self.to_y(x).to(x.dtype))
            fake_x = self._shown("pool_x", self.to_x(y).to(y.dtype))
        of_y = self.cost.discriminator(self._logits_y(y), self._logits_y(fake_y))
        return of_y + self.cost.discriminator(self._logits_x(x), self._logits_x(fake_x))

    def generator_loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Loss of both generators on rows of both sets."""
        self._check_batches_of_one(x, y)
        fake_y, fake_x = self.to_y(x).to(x.dtype), self.to_x(y).to(y.dtype)
        loss = self.cost.generator(self._logits_y(fake_y))
        loss = loss + self.cost.generator(self._logits_x(fake_x))
        back = _error(self.to_x(fake_y), x) + _error(self.to_y(fake_x), y)
        loss = loss + self.cycle * back
        if self.identity:
            loss = loss + self.identity * (_error(self.to_y(y), y) + _error(self.to_x(x), x))
        return loss

    @torch.no_grad()
    def _shown(self, name: str, rows: Tensor) -> Tensor:
        """What a discriminator is shown of translated ``rows``, by way of a pool."""
        if not (self.training and self.pool):
            return rows
        room = self.pool - len(getattr(self, name))
        if room:
            setattr(self, name, torch.cat([getattr(self, name), rows[:room]]))
        pool, shown = getattr(self, name), rows.clone()
        late = rows[room:]  # they find the pool full
        exchanged = (uniform((len(late),), rows) < 0.5).tolist()
        places = integers(self.pool, (len(late),), rows).tolist()
        for i in range(len(late)):
            if exchanged[i]:
                shown[room + i] = pool[places[i]]
                pool[places[i]] = late[i]
        return shown

    def _logits_y(self, y: Tensor) -> Tensor:
        return logits_of(self.discriminator_y(y), y, "discriminator_y", patches=True)

    def _logits_x(self, x: Tensor) -> Tensor:
        return logits_of(self.discriminator_x(x), x, "discriminator_x", patches=True)

    # ------------------------------------------------------------------ the queries

    def translate(self, x: Tensor) -> Tensor:
        """G(x), in evaluation mode: (N, \\*shape) → (N, \\*shape_of_y)."""
        self.check(x)
        with evaluating(self.to_y):
            return self.to_y(x)

    def translate_back(self, y: Tensor) -> Tensor:
        """F(y), in evaluation mode: (N, \\*shape_of_y) → (N, \\*shape)."""
        self.check_y(y)
        with evaluating(self.to_x):
            return self.to_x(y)

    # ------------------------------------------------------------------ data

    def fit(
        self,
        x: Tensor | DataLoader,
        y: Tensor | None = None,
        *,
        batch_size: int = 128,
        **settings: Any,
    ) -> History:
        """Train on two sets of any sizes; see `Model.fit`.

        A pass goes once over the larger set, in a new order, while the smaller one is gone through
        again and again.

        Parameters
        ----------
        x : Tensor, shape (N, \\*shape), or torch.utils.data.DataLoader
            The set X; or a loader of batches (x, y), whose parts need not be of one size.
        y : Tensor, shape (M, \\*shape_of_y)
            The set Y.
        batch_size : int
            Rows of each set in a batch.
        **settings
            As for `Model.fit`, but for ``valid``: these losses do not tell how good a model is.
        """
        if not isinstance(x, DataLoader):
            self.check_batch(*((x,) if y is None else (x, y)))
            x, y = unpaired_loader(x, y, batch_size), None
        return super().fit(x, y, batch_size=batch_size, **settings)

    def check_batch(self, *batch: Tensor, name: str = "x") -> None:
        """Raise unless there are rows of both sets."""
        if len(batch) != 2:
            raise ValueError(
                f"{name}: expected rows of two sets, (x, y), got {len(batch)}: fit(x, y)."
            )
        self.check(batch[0], name)
        self.check_y(batch[1], "y" if name == "x" else f"y of {name}")

    def check_y(self, y: Tensor, name: str = "y") -> None:
        """Raise unless ``y`` is a batch of rows of Y."""
        check_event(
            y, self.shape_of_y, self.support_of_y, dtype=self.dtype, device=self.device, name=name
        )

    # ------------------------------------------------------------------ checks

    def _check_networks(self) -> None:
        """Raise unless the networks fit each other; note the shapes and ranges of the sets."""
        first = next(self.to_y.parameters(), None)
        if first is None:
            raise ValueError("to_y: expected a network with parameters to train, got none.")
        x = first.new_zeros(3, *self.event_shape)
        y, last = probed(self.to_y, self.to_y, (x,), "to_y")
        if y.dim() < 2 or len(y) != 3:
            raise ValueError(
                f"to_y: expected a row for each of 3, shape (3, ...), got {tuple(y.shape)}."
            )
        self.shape_of_y, self.support_of_y = y.shape[1:], range_of(self.to_y, last)
        back, last = probed(self.to_x, self.to_x, (y,), "to_x")
        if back.shape != x.shape:
            raise ValueError(
                f"to_x: expected rows of the shape of X, {tuple(x.shape)} for 3, got "
                f"{tuple(back.shape)}."
            )
        self.support = range_of(self.to_x, last)
        if self.identity and self.shape_of_y != self.event_shape:
            raise ValueError(
                "identity: expected two sets of rows of one shape, got "
                f"{tuple(self.event_shape)} and {tuple(self.shape_of_y)}; leave identity at 0."
            )
        for name, logits, rows in (
            ("discriminator_y", self._logits_y, y),
            ("discriminator_x", self._logits_x, x),
        ):
            _, last = probed(getattr(self, name), logits, (rows,), name)
            check_unbounded(last, name)
        self._has_batch_norm = any(map(has_batch_norm, self.children()))

    def _check_batches_of_one(self, x: Tensor, y: Tensor) -> None:
        self._check_batch_of_one(x)
        self._check_batch_of_one(y)


def _error(found: Tensor, expected: Tensor) -> Tensor:
    """Mean absolute error over all values."""
    return (found.to(expected.dtype) - expected).abs().mean()
