"""The training loop, which knows nothing of a model but what `Trainable` lists.

A *player* owns some of the parameters and minimises a loss of its own over them. An ordinary model
is one player; a game is several, who move in turn. One *round* draws as many minibatches as the
busiest player has steps, and lets every player in turn take its steps on the first of them; one
*epoch* passes over the data once. A *hook* looks on, or takes a hand, before and after every step
and epoch.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Adam, Optimizer
from torch.utils.data import DataLoader, DistributedSampler

from genlib.core import parallel
from genlib.core.checkpoint import Checkpoint
from genlib.core.history import History
from genlib.core.progress import progress_bar
from genlib.core.validation import check_count, check_flag, check_positive, is_finite

Batch = tuple[Tensor, ...]
Data = Batch | DataLoader
MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]

_COLUMNS = ("epoch", "seconds", "valid")  # of the history, beside the losses of the players


class TrainingDivergedError(ArithmeticError):
    """A loss or gradient stopped being finite; the parameters are those before that step. Buffers
    that a forward pass changes, such as batch norm's statistics, may have seen it.
    """


class Trainable(Protocol):
    """What the loop asks of a model, beside what every `nn.Module` has."""

    @property
    def device(self) -> torch.device:
        """Where the model lives."""

    def players(self) -> Sequence[Player]:
        """Who moves."""

    def validation_loss(self, *batch: Tensor) -> Tensor:
        """Mean loss on held-out rows."""

    def check_batch(self, *batch: Tensor, name: str = "x") -> None:
        """Raise unless the model can be trained on a batch like this one."""

    def begin(self, data: Data) -> None:
        """Before the first step, and after all checks."""


@dataclass(frozen=True)
class Player:
    """One side of a game: minimises ``loss`` over ``parameters``, ``steps`` times a round.

    Raises
    ------
    TypeError, ValueError
        There are no parameters, something else is among them or one that is frozen; the name is a
        column of the history's own; or ``steps`` is no positive integer.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    loss: Callable[..., Tensor]
    steps: int = 1
    optimizer: MakeOptimizer | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", tuple(self.parameters))
        if not self.parameters:
            raise ValueError(
                f"parameters: expected at least one for player {self.name!r} to train, got none."
            )
        for parameter in self.parameters:
            if not isinstance(parameter, nn.Parameter):
                raise TypeError(
                    f"parameters: expected torch.nn.Parameter for player {self.name!r}, got "
                    f"{type(parameter).__name__}."
                )
            if not parameter.requires_grad:
                raise ValueError(
                    f"parameters: expected none that is frozen for player {self.name!r}; leave out "
                    "those without requires_grad."
                )
        if self.name in _COLUMNS:
            raise ValueError(
                f"name: expected none of {', '.join(_COLUMNS)}, which the history has, got "
                f"{self.name!r}."
            )
        check_count(self.steps, "steps")


class Hook:
    """Something that looks on while a model is trained, or takes a hand in it.

    Each method does nothing unless a subclass says otherwise. What a hook must remember stands in
    its ``state_dict``, as in torch's optimisers: it is then in the checkpoint. What decides its
    numbers stands in its ``identity``: a checkpoint of another run is then refused.
    """

    watches_validation: bool = False  # whether a run must have validation data

    def begin(self, run: Run) -> None:
        """Before the run, and before its state is read from a checkpoint."""

    def before_step(self, run: Run) -> None:
        """Before every step of a player; ``run.steps`` have been taken."""

    def after_step(self, run: Run) -> None:
        """After every step of a player, ``run.players[run.mover]``."""

    def before_evaluation(self, run: Run) -> None:
        """Before the model is judged: after an epoch's steps, and once more at the end."""

    def after_epoch(self, run: Run) -> None:
        """After every epoch; ``run.history.last`` is its row, to which columns may be added."""

    def after_evaluation(self, run: Run) -> None:
        """Before training goes on; what `before_evaluation` did is undone here, the last hook
        first.
        """

    def end(self, run: Run) -> None:
        """After the last epoch."""

    def leave(self, run: Run) -> None:
        """When the run is over, however it ended; what else the hook has set is set back here."""

    def identity(self) -> dict[str, Any]:
        """Settings that decide the run's numbers: plain values."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What must be remembered."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a ``state_dict``."""


class Run:
    """A training run: the state that a checkpoint must hold, and the moves that change it.

    Parameters
    ----------
    model : Trainable
    optimizer : callable, optional
        Makes every player's optimiser out of its parameters; by default a player's own, or Adam.
    lr : float, optional
        Adam's rate, 0.001 by default.
    clip_norm : float, optional
    precision : torch.dtype, optional
        For `torch.autocast`.
    hooks : sequence of Hook
    validated : bool
        Whether there are validation data.

    Attributes
    ----------
    history : History
    steps : int
        How many steps were taken.
    mover : int
        Number of the player whose step is being, or was last, taken.
    stopped : bool
        A hook sets it to end the run.
    """

    def __init__(
        self,
        model: Trainable,
        *,
        optimizer: MakeOptimizer | None = None,
        lr: float | None = None,
        clip_norm: float | None = None,
        precision: torch.dtype | None = None,
        hooks: Sequence[Hook] = (),
        validated: bool = False,
    ) -> None:
        for name, value in {"lr": lr, "clip_norm": clip_norm}.items():
            if value is not None:
                check_positive(value, name)
        if optimizer is not None and not callable(optimizer):
            raise TypeError(
                f"optimizer: expected a function of parameters, such as torch.optim.SGD, got "
                f"{optimizer!r}."
            )
        _check_hooks(hooks, validated)
        self.validated = validated
        self.model, self.hooks, self.precision = model, list(hooks), precision
        self.clip_norm = math.inf if clip_norm is None else clip_norm
        self.players = list(model.players())
        _check_players(self.players, model, optimizer, lr)
        adam = partial(Adam, lr=1e-3 if lr is None else lr)
        self.optimizers = [(optimizer or p.optimizer or adam)(p.parameters) for p in self.players]
        _check_optimizers(self.optimizers, self.players)
        parallel.share_buffers(model)
        self.objectives = [parallel.objective(p.loss, p.parameters) for p in self.players]
        self._settings = [_settings(optimizer) for optimizer in self.optimizers]
        self.history, self.steps, self.mover, self.stopped = History(), 0, 0, False
        self.seed = parallel.common_seed()
        self.generators: list[torch.Generator] = []  # of the loaders
        for hook in self.hooks:
            hook.begin(self)

    def identity(self) -> dict[str, Any]:
        """What decides the numbers of the run, beside the model and the data."""
        return {
            "players": [(player.name, player.steps) for player in self.players],
            "optimizers": self._settings,  # as they were before a schedule changed them
            "clip_norm": self.clip_norm,
            "precision": str(self.precision),
            "hooks": [{"kind": type(hook).__qualname__, **hook.identity()} for hook in self.hooks],
            "processes": parallel.world(),
        }

    def train(
        self,
        data: Data,
        *,
        valid: Data | None = None,
        epochs: int = 10,
        batch_size: int = 128,
        checkpoint: Checkpoint | None = None,
        progress: bool | None = None,
    ) -> History:
        """Pass over ``data`` until there are ``epochs`` rows in the history, or a hook stops."""
        for name, value in {"epochs": epochs, "batch_size": batch_size}.items():
            check_count(value, name)
        if progress is not None:
            check_flag(progress, "progress")
        self.generators = [g for part in (data, valid) for g in _own_generators(part)]
        if checkpoint is not None and checkpoint.saved is not None:
            self.load_state_dict(checkpoint.saved)
        if len(self.history) > epochs:
            raise ValueError(
                f"epochs: expected at least the {len(self.history)} that the checkpoint has seen, "
                f"got {epochs}."
            )
        if not self.history:
            self.model.begin(data)
        label, show = type(self.model).__name__, progress if parallel.rank() == 0 else False
        try:
            with progress_bar(epochs, label, show) as bar:
                bar.update(len(self.history))
                while len(self.history) < epochs and not self.stopped:
                    row = self._epoch(data, valid, batch_size)
                    going_on = torch.tensor(not self.stopped, device=self.model.device)
                    self.stopped = not parallel.everywhere(going_on)  # one decides for all
                    if checkpoint is not None and parallel.rank() == 0:
                        last = self.stopped or len(self.history) >= epochs
                        checkpoint.write(self.state_dict(), last=last)
                    bar.set_postfix({name: f"{value:.4g}" for name, value in row.items()})
                    bar.update()
            self.model.eval()
            for moment in ("before_evaluation", "end"):
                self._call(moment)
        finally:
            self._call("leave")
            self.model.eval()
            parallel.common_noise(self.seed)
        return self.history

    def _epoch(self, data: Data, valid: Data | None, batch_size: int) -> dict[str, float]:
        started = time.perf_counter()
        row = self._pass(data, batch_size)
        self.model.eval()
        self._call("before_evaluation")
        try:
            if valid is not None:
                row["valid"] = self._validate(valid, batch_size)
            seconds = time.perf_counter() - started
            self.history.append(epoch=len(self.history) + 1, seconds=seconds, **row)
            self._call("after_epoch")
        finally:
            for hook in reversed(self.hooks):
                hook.after_evaluation(self)
        return row

    def _pass(self, data: Data, batch_size: int) -> dict[str, float]:
        """Pass over ``data`` once; return each player's mean loss over the rows that it saw."""
        self.model.train()
        parallel.own_noise(self.seed, len(self.history))
        sums = [self._nothing() for _ in self.players]
        rows = [0] * len(self.players)
        batches = self._batches(data, batch_size)
        for turn in _rounds(batches, max(player.steps for player in self.players)):
            for i, player in enumerate(self.players):
                for batch in turn[: player.steps]:
                    sums[i].add_(self._step(i, batch), alpha=len(batch[0]))
                    rows[i] += len(batch[0])
        names = ["loss"] if len(self.players) == 1 else [player.name for player in self.players]
        return dict(zip(names, map(parallel.mean, sums, rows), strict=True))

    def _batches(self, data: Data, batch_size: int) -> Iterator[Batch]:
        """One pass over ``data``, shuffled; a loader's batches as they come."""
        if isinstance(data, DataLoader):
            if isinstance(data.sampler, DistributedSampler):
                data.sampler.set_epoch(len(self.history))
            yield from loaded(data, self.model)
            return
        order = parallel.shuffled(len(data[0]), self.seed, len(self.history))
        for rows in order.to(data[0].device).split(parallel.share(batch_size)):
            yield tuple(part[rows] for part in data)

    def _step(self, i: int, batch: Batch) -> Tensor:
        player, optimizer = self.players[i], self.optimizers[i]
        self.mover = i
        self._call("before_step")
        with self._autocast():
            loss = self.objectives[i](*batch)
        if not isinstance(loss, Tensor) or loss.shape:
            came = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
            raise ValueError(
                f"the loss of player {player.name!r}: expected a tensor of one number, got {came}; "
                "average it over the rows."
            )
        for parameter in player.parameters:  # now, so that new gradients lie where the old ones did
            parameter.grad = None
        # Only this player's parameters receive a gradient, although the loss may run through the
        # other's.
        loss.backward(inputs=list(player.parameters))
        gradients = [p.grad for p in player.parameters if p.grad is not None]
        clipped = math.isfinite(self.clip_norm)
        watched = [nn.utils.get_total_norm(gradients)] if clipped else gradients
        if not _all_finite(loss.detach(), watched):
            raise self._diverged(player, loss, gradients)
        if clipped:
            nn.utils.clip_grads_with_norm_(player.parameters, self.clip_norm, watched[0])
        optimizer.step()
        self.steps += 1
        self._call("after_step")
        return loss.detach()

    def _autocast(self) -> AbstractContextManager:
        if self.precision is None:
            return nullcontext()
        return torch.autocast(self.model.device.type, self.precision)

    def _diverged(
        self, player: Player, loss: Tensor, gradients: list[Tensor]
    ) -> TrainingDivergedError:
        norm = nn.utils.get_total_norm(gradients)
        what, value = ("loss", loss) if not torch.isfinite(loss) else ("gradient norm", norm)
        return TrainingDivergedError(
            f"the {what} of player {player.name!r} became {value.item()} in epoch "
            f"{len(self.history) + 1}. The weights are those before this step. A smaller lr or "
            "clip_norm=1.0 often helps; look also for a logarithm or a division that can meet zero."
        )

    @torch.no_grad()
    def _validate(self, data: Data, batch_size: int) -> float:
        """Mean validation loss over the rows of ``data``."""
        if isinstance(data, DataLoader):
            batches = loaded(data, self.model, "valid")
        else:
            own = [part[parallel.rank() :: parallel.world()] for part in data]
            parts = [part.split(batch_size) for part in own if len(part)]  # no row, no batch
            batches = zip(*parts, strict=True)
        total, rows = self._nothing(), 0
        for batch in batches:
            total += self.model.validation_loss(*batch) * len(batch[0])
            rows += len(batch[0])
        return parallel.mean(total, rows)

    def _nothing(self) -> Tensor:
        """A sum to begin with, in float64: epochs may have millions of rows."""
        return torch.zeros((), dtype=torch.float64, device=self.model.device)

    def _call(self, moment: str) -> None:
        for hook in self.hooks:
            getattr(hook, moment)(self)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on, but for torch's generators."""
        return {
            "weights": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "hooks": [hook.state_dict() for hook in self.hooks],
            "history": self.history.rows,
            "steps": self.steps,
            "stopped": self.stopped,
            "seed": self.seed,
            "loaders": [generator.get_state() for generator in self.generators],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a `state_dict`."""
        self.model.load_state_dict(state["weights"])
        for kind in ("optimizers", "hooks"):
            for part, saved in zip(getattr(self, kind), state[kind], strict=True):
                part.load_state_dict(saved)
        self.history = History(state["history"])
        self.steps, self.stopped, self.seed = state["steps"], state["stopped"], state["seed"]
        for generator, saved in zip(self.generators, state["loaders"], strict=True):
            generator.set_state(saved)


def loaded(loader: DataLoader, model: Trainable, name: str = "x") -> Iterator[Batch]:
    """The batches of a loader as tuples on the model's device; the first is checked.

    Raises
    ------
    TypeError, ValueError
        The loader yields nothing, or what the model cannot be trained on; or all processes would
        draw the same rows.
    """
    if parallel.world() > 1 and not isinstance(loader.sampler, DistributedSampler):
        raise ValueError(
            f"{name}: expected a loader with a torch.utils.data.DistributedSampler, so that each "
            f"of the {parallel.world()} processes sees rows of its own."
        )
    empty = True
    for drawn in loader:
        batch = (drawn,) if isinstance(drawn, Tensor) else drawn
        if not (isinstance(batch, list | tuple) and all(isinstance(x, Tensor) for x in batch)):
            raise TypeError(
                f"{name}: expected a loader of tensors, or of tuples of them, got a batch of type "
                f"{type(drawn).__name__}."
            )
        batch = tuple(part.to(model.device, non_blocking=True) for part in batch)
        if empty:
            model.check_batch(*batch, name=name)
            empty = False
        yield batch
    if empty:
        raise ValueError(f"{name}: expected a loader of at least one batch, got none.")


def _all_finite(loss: Tensor, watched: list[Tensor]) -> bool:
    """Whether a step's numbers, gradients or their norm, are finite, in every process."""
    if parallel.world() == 1 and loss.device.type == "cpu":  # where sums cost least
        return all(map(is_finite, (loss, *watched)))
    return parallel.everywhere(torch.isfinite(loss + nn.utils.get_total_norm(watched)))


def _check_hooks(hooks: Sequence[Hook], validated: bool) -> None:
    """Raise unless ``hooks`` is a list of hooks, and there is validation data for those that watch
    the validation loss.
    """
    if isinstance(hooks, str) or not isinstance(hooks, Sequence):
        raise TypeError(f"hooks: expected a list of hooks, got {hooks!r}.")
    for hook in hooks:
        if not isinstance(hook, Hook):
            raise TypeError(f"hooks: expected instances of genlib's Hook, got {hook!r}.")
        if hook.watches_validation and not validated:
            raise ValueError(
                f"{type(hook).__name__} watches the validation loss; pass valid= as well."
            )


def _check_players(
    players: Sequence[Player],
    model: Trainable,
    optimizer: MakeOptimizer | None,
    lr: float | None,
) -> None:
    kind = type(model).__name__
    if not players or not all(isinstance(player, Player) for player in players):
        raise TypeError(
            f"{kind}.players(): expected a list of Player, at least one, got {players!r}."
        )
    known = set(model.parameters())
    for player in players:
        if not known.issuperset(player.parameters):
            raise ValueError(
                f"{kind}.players(): expected parameters of the model, got others from player "
                f"{player.name!r}; no checkpoint would hold them."
            )
    names = [player.name for player in players]
    if len(set(names)) < len(names):
        raise ValueError(f"{kind}.players(): expected names that differ, got {names}.")
    own = [player.name for player in players if player.optimizer is not None]
    if lr is not None and (own or optimizer is not None):
        who = f"player {own[0]!r} brings" if own else "optimizer= makes"
        raise ValueError(f"lr: {who} an optimiser with a rate of its own; leave lr out.")


def _check_optimizers(optimizers: Sequence[Optimizer], players: Sequence[Player]) -> None:
    for optimizer, player in zip(optimizers, players, strict=True):
        if not isinstance(optimizer, Optimizer) or isinstance(optimizer, LBFGS):
            raise TypeError(
                "optimizer: expected a function that makes a torch.optim.Optimizer, one whose step "
                f"needs no closure, got {type(optimizer).__name__} for player {player.name!r}."
            )
        trained = {p for group in optimizer.param_groups for p in group["params"]}
        if not trained or not trained.issubset(player.parameters):
            raise ValueError(
                f"optimizer: expected one over the parameters of player {player.name!r}, got one "
                "over others; make it anew from those that it is given."
            )


def _own_generators(data: Data | None) -> list[torch.Generator]:
    """The generators of a loader, which a checkpoint must hold."""
    if not isinstance(data, DataLoader):
        return []
    found = (data.generator, getattr(data.sampler, "generator", None))
    return list(dict.fromkeys(generator for generator in found if generator is not None))


def _rounds(batches: Iterator[Batch], size: int) -> Iterator[list[Batch]]:
    """``size`` batches a round; the last round may be short."""
    turn: list[Batch] = []
    for batch in batches:
        turn.append(batch)
        if len(turn) == size:
            yield turn
            turn = []
    if turn:
        yield turn


def _settings(optimizer: Optimizer) -> dict[str, Any]:
    """An optimiser's class, and the settings of its groups of parameters."""
    groups = optimizer.state_dict()["param_groups"]
    groups = [{name: value for name, value in g.items() if name != "params"} for g in groups]
    return {"kind": type(optimizer).__qualname__, "groups": groups}


def budget(n: int) -> int:
    """How many epochs or steps an experiment of ``n`` gets: ``n`` times ``$GENLIB_BUDGET``, or 1.

    Lessons say by it how long they train, and can be run again with longer training: a comparison
    that holds has to survive it.

    Raises
    ------
    TypeError, ValueError
        ``n`` is no positive integer, or ``$GENLIB_BUDGET`` no number of at least 1.
    """
    check_count(n)
    given = os.environ.get("GENLIB_BUDGET", "1")
    try:
        times = float(given)
    except ValueError:
        times = math.nan
    if not 1 <= times < math.inf:
        raise ValueError(f"GENLIB_BUDGET: expected a number of at least 1, got {given!r}.")
    return round(n * times)
