"""Does the divergence make the modes collapse? Small adversarial games on a ring, ten at a time.

All networks, first weights, rows and budgets are the same; what changes is what the two players
minimise, and how fast the discriminator learns. Each recipe trains ten games at once, which differ
in their first weights and in their draws; the error of a figure is that of ten games.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.optim import Adam

from genlib.core import Density, Estimate, History, Model
from genlib.core.random import normal
from genlib.core.validation import check_choice, check_count
from genlib.data import Dataset, ring
from genlib.metrics import count_modes
from genlib.models.adversarial.costs import COSTS, MINIMAX
from genlib.recipes.recipe import Recipe, mean_of_rows

RING = "adversarial networks on a ring"

SCALE, SAMPLES, ENOUGH = 0.1, 2500, 25  # enough samples are one in a hundred
NEAR = {"covered": 0.75, "found": 3 * SCALE}  # neighbours on the ring are 1.53 apart
GAMES = {
    "minimax": MINIMAX,
    "non-saturating": COSTS["non-saturating"],
    "forward-kl": COSTS["forward-kl"],
    "reverse-kl": COSTS["reverse-kl"],
    # The discriminator of the minimax game, and a generator that is told another divergence.
    "classifier, forward-kl": replace(MINIMAX, generator=lambda v: -v.exp().mean()),
    "classifier, reverse-kl": replace(MINIMAX, generator=lambda v: -v.mean()),
}


class RingGANs(Model, abstract=True):  # not one to be loaded: it is here to be counted
    """Several small adversarial networks of the plane, each by itself, in tensors with a dimension
    in front. An event is a point of each copy, (copies, 2).

    Parameters
    ----------
    game : str
        One of `GAMES`: what the two players minimise.
    copies : int
        How many.
    latent, hidden : int
        Latent variables; units in each of two hidden layers.
    """

    density = Density.IMPLICIT
    lesson = "17_adversarial_game"
    cannot: ClassVar = {
        "log_prob": "the generators define samples, not a density that could be evaluated.",
        "encode": "no network leads from an event back to latent variables.",
    }

    def __init__(
        self, game: str = "minimax", copies: int = 10, latent: int = 8, hidden: int = 32
    ) -> None:
        super().__init__()
        check_choice(game, GAMES, "game")
        for name, value in (("copies", copies), ("latent", latent), ("hidden", hidden)):
            check_count(value, name)
        self.cost, self.copies, self.latent = GAMES[game], copies, latent
        self.event_shape = (copies, 2)
        self.generator = _layers(copies, latent, hidden, hidden, 2)
        self.discriminator = _layers(copies, 2, hidden, hidden, 1)

    def logits(self, x: Tensor) -> Tensor:
        """What each copy's discriminator says of its point: (N, copies, 2) → (N, copies)."""
        self.check(x)
        return _through(self.discriminator, x.transpose(0, 1)).squeeze(2).T

    def losses(self, x: Tensor) -> Iterator[Tensor]:
        """The discriminators' losses on rows ``x`` (copies, N, 2) and on as many new ones, then the
        generators': each a sum over copies.
        """
        with torch.no_grad():
            fake = self._fakes(x)
        pairs = zip(self._judged(x), self._judged(fake), strict=True)
        yield sum(self.cost.discriminator(*pair) for pair in pairs)
        yield sum(self.cost.generator(each) for each in self._judged(self._fakes(x)))

    def _judged(self, x: Tensor) -> Tensor:
        return _through(self.discriminator, x)

    def _fakes(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        z = normal((self.copies, x.shape[1], self.latent), x, generator)
        return _through(self.generator, z)

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        like = next(self.parameters()).new_empty(self.copies, n, 0)
        return self._fakes(like, generator).transpose(0, 1)


def _layers(copies: int, *sizes: int) -> nn.ParameterList:
    """Weights, uniform over ±1/√inputs, and biases, zero, of dense layers; by turns."""
    parts: list[Tensor] = []
    for inputs, outputs in pairwise(sizes):
        weight = (2 * torch.rand(copies, inputs, outputs) - 1) / inputs**0.5
        parts += [weight, torch.zeros(copies, 1, outputs)]
    return nn.ParameterList([nn.Parameter(part) for part in parts])


def _through(layers: nn.ParameterList, x: Tensor) -> Tensor:
    """(copies, N, inputs) → (copies, N, outputs), rectified between layers."""
    *hidden, last = zip(layers[::2], layers[1::2], strict=True)
    for weight, bias in hidden:
        x = torch.baddbmm(bias, x, weight).relu()
    return torch.baddbmm(last[1], x, last[0])


@dataclass(frozen=True)
class Rounds:
    """Alternating steps of Adam with β₁ = 0.5, first of the discriminators.

    A run that was stopped begins anew.

    Attributes
    ----------
    rate, discriminator_rate : float
    rounds : int
    every : int
        Rounds after which modes are counted, again and again. Minus the mean number that is
        covered stands in the history's column ``valid``.
    batch_size : int
        Rows, drawn for each copy by itself.
    """

    rate: float = 1e-3
    discriminator_rate: float = 1e-3
    rounds: int = 12_000
    every: int = 1000
    batch_size: int = 64

    def __call__(
        self, model: RingGANs, data: Dataset, folder: Path, *, progress: bool | None = None
    ) -> History:
        """Train all copies; ``folder`` and ``progress`` are not used."""
        rates = (self.discriminator_rate, self.rate)
        players = [
            Adam(part.parameters(), lr=rate, betas=(0.5, 0.999))
            for part, rate in zip((model.discriminator, model.generator), rates, strict=True)
        ]
        history, start = History(), time.perf_counter()
        for number in range(1, self.rounds + 1):
            x = data.train[torch.randint(len(data.train), (model.copies, self.batch_size))]
            for player, loss in zip(players, model.losses(x), strict=True):
                player.zero_grad()
                loss.backward()
                player.step()
            if number % self.every == 0:
                seconds, start = time.perf_counter() - start, time.perf_counter()
                covered = modes(model, data)["modes covered"].value
                history.append(epoch=number // self.every, seconds=seconds, valid=-covered.item())
        return history


def modes(model: RingGANs, data: Dataset) -> dict[str, Estimate]:
    """Modes, of eight, that a copy covers: with at least 1 % of its samples nearer than half-way to
    the next one; and that it finds: with as many within three standard deviations. The mean over
    copies.

    A sample that is no number is near to none.
    """
    centres = ring(scale=SCALE).centres.to(data.test)
    told: dict[str, list[float]] = {"covered": [], "found": [], "share": [], "diverged": []}
    # Not by `sample`, which refuses all copies where one of them has diverged.
    for x in model._sample(SAMPLES, None).detach().unbind(1):
        fine = bool(x.isfinite().all())
        for name, radius in NEAR.items():
            near = count_modes(x.nan_to_num(1e3, 1e3, -1e3), centres, radius, ENOUGH)
            told[name].append(float(near.modes))
        told["share"].append(near.share)
        told["diverged"].append(float(not fine))
    rows = {name: torch.tensor(values).double() for name, values in told.items()}
    none = torch.zeros(())
    return {
        "modes covered": mean_of_rows(rows["covered"]),
        "fewest": Estimate(rows["covered"].min(), none),
        "most": Estimate(rows["covered"].max(), none),
        "modes found": mean_of_rows(rows["found"]),
        "share near a mode": mean_of_rows(rows["share"]),
        "diverged": Estimate(rows["diverged"].sum(), none),
    }


def _rows() -> Dataset:
    return ring(scale=SCALE).dataset(10_000)


TITLES = {
    "minimax": "Jensen–Shannon",
    "non-saturating": "non-saturating",
    "forward-kl": "forward KL, its own bound",
    "reverse-kl": "reverse KL, its own bound",
    "classifier, forward-kl": "forward KL, by a classifier",
    "classifier, reverse-kl": "reverse KL, by a classifier",
}
PACES = {"equal": 1e-3, "slow": 1e-4}  # the discriminator's rate


def name_of(game: str, pace: str) -> str:
    """The recipe of a game and a pace."""
    return f"ring_{game.replace(', ', '_').replace('-', '_')}_{pace}"


RECIPES = tuple(
    Recipe(
        name=name_of(game, pace),
        title=f"{title}; the discriminator's rate {'equal' if pace == 'equal' else 'a tenth'}",
        data=_rows,
        model=partial(RingGANs, game),
        train=Rounds(discriminator_rate=rate),
        measure=modes,
        metric="modes covered, of eight, mean of ten games",
        group=RING,
    )
    for pace, rate in PACES.items()
    for game, title in TITLES.items()
)
