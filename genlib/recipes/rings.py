"""What makes the modes collapse, and what helps? Small adversarial games on a ring, ten at a time.

Networks and numbers of rounds are the same, and first weights and rows too where the players draw
as often; what changes is what the two players minimise, how they move, and how fast. (Minibatch
features enlarge a discriminator's last layer.) Each recipe trains ten games at once, which differ
in their first weights and in their draws; the error of a figure is that of the games that have not
diverged.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from genlib.core import Density, Estimate, History, Model
from genlib.core.random import normal
from genlib.core.validation import check_choice, check_count
from genlib.data import Dataset, ring
from genlib.kernels import minibatch_features
from genlib.metrics import ModeCount, count_modes, kernel_distance
from genlib.models.adversarial.costs import COSTS, MINIMAX, Cost, smoothed
from genlib.models.adversarial.gan import gradient_penalty
from genlib.recipes.recipe import Recipe, mean_of_rows

RING, STABLE = "adversarial networks on a ring", "what helps adversarial networks on a ring"

_MODES = 8
SCALE, SAMPLES, ENOUGH = 0.1, 2500, 25  # enough samples are one in a hundred
NEAR = {"covered": 0.75, "found": 3 * SCALE}  # neighbours on the ring are 1.53 apart
BANDWIDTH = 0.3  # of the kernel distance: it sees modes, and how wide they are
FEATURE_SIZE = 5
FAR = 1e6  # from here on a copy counts as diverged


@dataclass(frozen=True)
class Rules:
    """How a game is played.

    Attributes
    ----------
    cost : Cost
    discriminator_steps : int
        A round, each on new rows.
    penalty : float
        Weight of the gradient penalty.
    unroll : int
        Steps of the discriminator that the generator looks ahead.
    unroll_rate : float
        The size of these plain gradient steps.
    through : bool
        Whether the generator's gradient runs through these steps.
    features : int
        Minibatch features that the discriminator's last layer is given beside its hidden units.
    """

    cost: Cost
    discriminator_steps: int = 1
    penalty: float = 0.0
    unroll: int = 0
    unroll_rate: float = 0.1
    through: bool = True
    features: int = 0


_PLAIN = COSTS["non-saturating"]
GAMES = {
    "minimax": Rules(MINIMAX),
    "non-saturating": Rules(_PLAIN),
    "forward-kl": Rules(COSTS["forward-kl"]),
    "reverse-kl": Rules(COSTS["reverse-kl"]),
    # The discriminator of the minimax game, and a generator that is told another divergence.
    "classifier, forward-kl": Rules(replace(MINIMAX, generator=lambda v: -v.exp().mean())),
    "classifier, reverse-kl": Rules(replace(MINIMAX, generator=lambda v: -v.mean())),
    # What is said to help.
    "smoothed": Rules(smoothed(_PLAIN, 0.1)),
    "least-squares": Rules(COSTS["least-squares"]),
    "five-steps": Rules(_PLAIN, discriminator_steps=5),
    "wasserstein": Rules(COSTS["wasserstein"], discriminator_steps=5, penalty=10.0),
    "minibatch": Rules(_PLAIN, features=8),
    "unrolled-1": Rules(_PLAIN, unroll=1),
    "unrolled-5": Rules(_PLAIN, unroll=5),
    "unrolled-10": Rules(_PLAIN, unroll=10),
    "ahead-5": Rules(_PLAIN, unroll=5, through=False),
}


class RingGANs(Model, abstract=True):  # not one to be loaded: it is here to be counted
    """Several small adversarial networks of the plane, each by itself, in tensors with a dimension
    in front. An event is a point of each copy, (copies, 2).

    Parameters
    ----------
    game : str
        One of `GAMES`: how it is played.
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
        check_count(copies, "copies", minimum=2)  # one would have no error
        for name, value in (("latent", latent), ("hidden", hidden)):
            check_count(value, name)
        self.rules, self.copies, self.latent = GAMES[game], copies, latent
        self.event_shape = (copies, 2)
        self.generator = _layers(copies, latent, hidden, hidden, 2)
        features = self.rules.features
        self.discriminator = _layers(copies, 2, hidden, hidden)
        self.discriminator.extend(_layers(copies, hidden + features, 1))
        if features:
            closeness = torch.randn(copies, hidden, features * FEATURE_SIZE) * hidden**-0.5
            self.discriminator.append(nn.Parameter(closeness))

    def logits(self, x: Tensor) -> Tensor:
        """What each copy's discriminator says of its point: (N, copies, 2) → (N, copies). With
        minibatch features it depends on the copy's other points.
        """
        self.check(x)
        return self._judged(x.transpose(0, 1)).squeeze(2).T

    def discriminator_loss(self, x: Tensor) -> Tensor:
        """The discriminators' losses on rows ``x`` (copies, N, 2) and on as many new ones, a sum
        over copies.
        """
        with torch.no_grad():
            fake = self._fakes(x)
        return self._told_apart(x, fake)

    def generator_loss(self, x: Tensor) -> Tensor:
        """The generators' losses on new rows, as many as ``x`` (copies, N, 2) has, a sum over
        copies.
        """
        fake = self._fakes(x)
        logits = self._judged(fake, self._ahead(x, fake))
        return sum(self.rules.cost.generator(each) for each in logits)

    def _told_apart(self, x: Tensor, fake: Tensor, parts: Sequence[Tensor] | None = None) -> Tensor:
        pairs = zip(self._judged(x, parts), self._judged(fake, parts), strict=True)
        loss = sum(self.rules.cost.discriminator(*pair) for pair in pairs)
        if not self.rules.penalty:
            return loss
        rows = (part.flatten(0, 1) for part in (x, fake))
        of_all = gradient_penalty(lambda between: self._judged(between.view_as(x), parts), *rows)
        return loss + self.rules.penalty * self.copies * of_all

    def _ahead(self, x: Tensor, fake: Tensor) -> list[Tensor]:
        """The discriminators' parameters some steps later, as functions of ``fake``."""
        parts, through = list(self.discriminator), self.rules.through
        for _ in range(self.rules.unroll):
            loss = self._told_apart(x, fake if through else fake.detach(), parts)
            slopes = torch.autograd.grad(loss, parts, create_graph=through)
            steps = zip(parts, slopes, strict=True)
            parts = [part - self.rules.unroll_rate * slope for part, slope in steps]
        return parts

    def _judged(self, x: Tensor, parts: Sequence[Tensor] | None = None) -> Tensor:
        """Logits (copies, N, 1), under the discriminators' parameters or under ``parts``."""
        parts = list(self.discriminator) if parts is None else parts
        hidden = _through(parts[:4], x).relu()
        if self.rules.features:
            hidden = torch.cat([hidden, _closeness(hidden, parts[6])], 2)
        return _through(parts[4:6], hidden)

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


def _through(layers: Sequence[Tensor], x: Tensor) -> Tensor:
    """(copies, N, inputs) → (copies, N, outputs), rectified between layers."""
    *hidden, last = zip(layers[::2], layers[1::2], strict=True)
    for weight, bias in hidden:
        x = torch.baddbmm(bias, x, weight).relu()
    return torch.baddbmm(last[1], x, last[0])


def _closeness(hidden: Tensor, weight: Tensor) -> Tensor:
    """Minibatch features of each copy's rows by themselves, (copies, N, B)."""
    copies, n, _ = hidden.shape
    m = (hidden @ weight).view(copies, n, -1, FEATURE_SIZE)  # features do not see each other
    found = minibatch_features(m.transpose(0, 1).flatten(1, 2).contiguous())
    return found.view(n, copies, -1).transpose(0, 1)


@dataclass(frozen=True)
class Rounds:
    """Alternating steps of Adam with β₁ = 0.5, first of the discriminators; over the second half of
    the rounds the rates fall to zero.

    Each copy draws rows of its own, which `Model.fit` does not do. A run that was stopped begins
    anew.

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

    def __post_init__(self) -> None:
        for name in ("rounds", "every", "batch_size"):
            check_count(getattr(self, name), name)

    def __call__(
        self, model: RingGANs, data: Dataset, folder: Path, *, progress: bool | None = None
    ) -> History:
        """Train all copies; ``folder`` and ``progress`` are not used."""
        turns = (
            (model.discriminator, self.discriminator_rate, model.discriminator_loss),
            (model.generator, self.rate, model.generator_loss),
        )
        players = [Adam(part.parameters(), lr=rate, betas=(0.5, 0.999)) for part, rate, _ in turns]
        falling = [LambdaLR(player, self._factor) for player in players]
        steps = model.rules.discriminator_steps, 1
        history, start = History(), time.perf_counter()
        for number in range(1, self.rounds + 1):
            for player, (_, _, loss), times in zip(players, turns, steps, strict=True):
                for _ in range(times):
                    player.zero_grad()
                    loss(self._rows(model, data)).backward()
                    player.step()
            for schedule in falling:
                schedule.step()
            if number % self.every == 0:
                seconds, start = time.perf_counter() - start, time.perf_counter()
                counts = [near.modes for near in _near(_left(model), data, NEAR["covered"])]
                covered = sum(counts) / max(1, len(counts))
                history.append(epoch=number // self.every, seconds=seconds, valid=-covered)
        return history

    def _factor(self, number: int) -> float:
        return min(1.0, 2 * (1 - number / self.rounds))

    def _rows(self, model: RingGANs, data: Dataset) -> Tensor:
        return data.train[torch.randint(len(data.train), (model.copies, self.batch_size))]


def modes(model: RingGANs, data: Dataset) -> dict[str, Estimate]:
    """Modes, of eight, that a copy covers: with at least 1 % of its samples nearer than half-way to
    the next one; and that it finds: with as many within three standard deviations. The means over
    the copies whose samples are numbers, and the number of those whose are not.

    Raises
    ------
    ValueError
        Fewer than two copies are left.
    """
    return _modes_of(_left(model), model.copies, data)


def _modes_of(left: list[Tensor], copies: int, data: Dataset) -> dict[str, Estimate]:
    if len(left) < 2:
        raise ValueError(f"model: expected two copies that have not diverged, got {len(left)}.")
    near = {name: _near(left, data, radius) for name, radius in NEAR.items()}
    covered, found = (_column(each.modes for each in near[name]) for name in NEAR)
    counts = {
        "fewest": covered.min(),
        "most": covered.max(),
        "all eight": (covered == _MODES).sum(),
        "diverged": torch.tensor(copies - len(left)),
    }
    return {
        "modes covered": mean_of_rows(covered),
        "modes found": mean_of_rows(found),
        "share near a mode": mean_of_rows(_column(each.share for each in near["found"])),
        **{name: Estimate(value, torch.zeros(())) for name, value in counts.items()},
    }


def modes_and_distances(model: RingGANs, data: Dataset) -> dict[str, Estimate]:
    """`modes`, and a copy's squared kernel distances from validation rows, by which rates are
    chosen, and from test rows.
    """
    left = _left(model)
    rows = {"validation kernel distance": data.valid, "kernel distance": data.test}
    return _modes_of(left, model.copies, data) | {
        name: mean_of_rows(
            _column(kernel_distance(x, y[:SAMPLES], "gaussian", BANDWIDTH).value for x in left)
        )
        for name, y in rows.items()
    }


def _left(model: RingGANs) -> list[Tensor]:
    """Samples of each copy that has not diverged."""
    # Not by `sample`, which refuses all copies where one of them has diverged.
    drawn = model._sample(SAMPLES, None).detach().unbind(1)
    return [x for x in drawn if x.isfinite().all() and x.abs().max() < FAR]


def _near(left: list[Tensor], data: Dataset, radius: float) -> list[ModeCount]:
    centres = ring(scale=SCALE).centres.to(data.test)
    return [count_modes(x, centres, radius, ENOUGH) for x in left]


def _column(values: Iterable[float]) -> Tensor:
    return torch.tensor([float(value) for value in values]).double()


def _rows() -> Dataset:
    return ring(scale=SCALE).dataset(10_000)


TITLES = {
    "minimax": "Jensen–Shannon",
    "non-saturating": "non-saturating",
    "forward-kl": "forward KL, its own bound",
    "reverse-kl": "reverse KL, its own bound",
    "classifier, forward-kl": "forward KL, by a classifier",
    "classifier, reverse-kl": "reverse KL, by a classifier",
    "smoothed": "real labels of 0.9",
    "least-squares": "least squares",
    "five-steps": "five steps of the discriminator",
    "wasserstein": "Wasserstein with gradient penalty",
    "minibatch": "minibatch features",
    "unrolled-1": "unrolled, 1 step",
    "unrolled-5": "unrolled, 5 steps",
    "unrolled-10": "unrolled, 10 steps",
    "ahead-5": "5 steps ahead, without a gradient through them",
}
HELP = tuple(GAMES)[list(GAMES).index("smoothed") :]
PACES = {  # rates of the generator and the discriminator
    "equal": (1e-3, 1e-3),
    "slow": (1e-3, 1e-4),
    "low": (1e-4, 1e-4),
}
_SAID = {"equal": "equal rates", "slow": "a slow discriminator", "low": "low rates"}


def name_of(game: str, pace: str) -> str:
    """The recipe of a game and a pace."""
    return f"ring_{game.replace(', ', '_').replace('-', '_')}_{pace}"


RECIPES = tuple(
    Recipe(
        name=name_of(game, pace),
        title=f"{title}; {_SAID[pace]}",
        data=_rows,
        model=partial(RingGANs, game),
        train=Rounds(*rates),
        measure=modes_and_distances,
        metric="modes covered, of eight, mean of the games that did not diverge",
        group=STABLE if game in HELP else RING,
    )
    for pace, rates in PACES.items()
    for game, title in TITLES.items()
    if pace != "low" or game not in HELP
)
