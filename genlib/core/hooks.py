"""Hooks that lessons and recipes share: stopping early, schedules, averaged weights, columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.optim.swa_utils import get_ema_multi_avg_fn

from genlib.core.fit import Hook, Run, TrainingDivergedError
from genlib.core.validation import check_choice, check_count


class EarlyStopping(Hook):
    """Stop after ``patience`` epochs without a better validation loss, and go back to the best
    weights.

    Parameters
    ----------
    patience : int, optional
        Without it the run is never stopped: it only ends with its best weights.
    better_than : float
        A validation loss that counts as reached by the weights with which the run begins.
    column : str
        What is watched in its place: a column that `Watch`, among the hooks before, has added.

    Raises
    ------
    TrainingDivergedError
        At the end of the run, where the validation loss, or the column, was never finite.
    """

    def __init__(
        self,
        patience: int | None = None,
        better_than: float = math.inf,
        column: str = "valid",
    ) -> None:
        if patience is not None:
            check_count(patience, "patience")
        number = isinstance(better_than, int | float) and not isinstance(better_than, bool)
        if not (number and better_than > -math.inf):  # NaN is not
            raise ValueError(
                f"better_than: expected a number that a loss can be below, got {better_than!r}."
            )
        self.patience, self.better_than, self.column = patience, better_than, column
        self.watches_validation = column == "valid"

    def begin(self, run: Run) -> None:
        """Take the first weights for the best ones."""
        self.best, self.best_epoch, self.weights = self.better_than, 0, copied_state(run.model)

    def after_epoch(self, run: Run) -> None:
        """Look at the validation loss: NaN is never better."""
        if self.column not in run.history.last:
            raise ValueError(
                f"column: expected one of {', '.join(run.history.last)}, got {self.column!r}; a "
                "Watch that adds it stands before this hook."
            )
        loss, epoch = run.history.last[self.column], len(run.history)
        if loss < self.best:
            self.best, self.best_epoch, self.weights = loss, epoch, copied_state(run.model)
        if self.patience is not None and epoch - self.best_epoch >= self.patience:
            run.stopped = True

    def end(self, run: Run) -> None:
        """Go back to the best weights."""
        if not self.best_epoch and self.better_than == math.inf:
            what = "validation loss" if self.column == "valid" else f"column {self.column!r}"
            raise TrainingDivergedError(
                f"the {what} was not finite after any of {len(run.history)} epochs; the weights "
                "are those of the last. Look at the data, or for a logarithm of zero."
            )
        # Not strict: a pool may have been made since, and what is no tensor is not copied.
        run.model.load_state_dict(self.weights, strict=False)

    def identity(self) -> dict[str, Any]:
        """The settings."""
        settings = {"patience": self.patience, "better_than": self.better_than}
        return settings if self.column == "valid" else settings | {"column": self.column}

    def state_dict(self) -> dict[str, Any]:
        """The best weights so far, and when they were reached."""
        return {"best": self.best, "epoch": self.best_epoch, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a ``state_dict``."""
        self.best, self.best_epoch, self.weights = state["best"], state["epoch"], state["weights"]


class Schedule(Hook):
    """A learning-rate schedule of `torch.optim.lr_scheduler` for each player.

    Parameters
    ----------
    make : callable
        Maps an optimiser to its scheduler: ``partial(CosineAnnealingLR, T_max=10_000)``.
    per : {"step", "epoch"}
        When the scheduler moves. `ReduceLROnPlateau` moves with epochs, and watches ``valid``.

    Raises
    ------
    TypeError
        ``make`` makes something else.
    ValueError
        The schedule leads to a rate that is negative or not finite.
    """

    def __init__(self, make: Callable[[Optimizer], LRScheduler], *, per: str = "step") -> None:
        check_choice(per, ("step", "epoch"), "per")
        if not callable(make):
            raise TypeError(f"make: expected a function of an optimiser, got {make!r}.")
        self.make, self.per = make, per

    def begin(self, run: Run) -> None:
        """Make a scheduler for each player's optimiser."""
        self.schedulers = [self.make(optimizer) for optimizer in run.optimizers]
        for scheduler in self.schedulers:
            if not isinstance(scheduler, LRScheduler):
                raise TypeError(
                    "make: expected a torch.optim.lr_scheduler.LRScheduler, got "
                    f"{type(scheduler).__name__}."
                )
            if isinstance(scheduler, ReduceLROnPlateau):
                self._check_plateau(run)
        self._settings = [
            {"kind": type(scheduler).__qualname__, **_plain(scheduler.state_dict())}
            for scheduler in self.schedulers
        ]
        self._check_rates(run)

    def _check_plateau(self, run: Run) -> None:
        if self.per != "epoch":
            raise ValueError('per: expected "epoch" for ReduceLROnPlateau, got "step".')
        if not run.validated:
            raise ValueError("ReduceLROnPlateau watches the validation loss; pass valid= as well.")

    def after_step(self, run: Run) -> None:
        """Move the schedule of the player who took the step."""
        if self.per == "step":
            self.schedulers[run.mover].step()
            self._check_rates(run)

    def after_epoch(self, run: Run) -> None:
        """Move all schedules."""
        if self.per == "epoch":
            for scheduler in self.schedulers:
                if isinstance(scheduler, ReduceLROnPlateau):
                    scheduler.step(run.history.last["valid"])
                else:
                    scheduler.step()
            self._check_rates(run)

    def identity(self) -> dict[str, Any]:
        """Each scheduler's class and settings."""
        return {"per": self.per, "schedulers": self._settings}

    def state_dict(self) -> dict[str, Any]:
        """The schedulers' states."""
        return {"schedulers": [_plain(scheduler.state_dict()) for scheduler in self.schedulers]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a ``state_dict``."""
        for scheduler, saved in zip(self.schedulers, state["schedulers"], strict=True):
            scheduler.load_state_dict(saved)

    @staticmethod
    def _check_rates(run: Run) -> None:
        for optimizer in run.optimizers:
            for group in optimizer.param_groups:
                if not 0 <= group["lr"] < math.inf:
                    raise ValueError(
                        f"lr: expected rates that are finite and not negative, got {group['lr']} "
                        f"from the schedule after step {run.steps}."
                    )


class WeightAverage(Hook):
    """Judge the model by an exponential moving average of its parameters, and leave that in it.

    The average begins with the weights after the first step, and moves at every step of every
    player: in a game with five critic steps a round, six times a round. Buffers (batch norm's
    statistics, a spectral norm's vectors) are not averaged: they are the model's newest.

    Parameters
    ----------
    decay : float
        What the average keeps of itself at every step, in (0, 1).
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not (isinstance(decay, float) and 0 < decay < 1):
            raise ValueError(f"decay: expected a number between 0 and 1, got {decay!r}.")
        self.decay = decay
        self._average = get_ema_multi_avg_fn(decay)

    def begin(self, run: Run) -> None:
        """Make room for the average."""
        self.parameters = list(run.model.parameters())
        self.average = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def after_step(self, run: Run) -> None:
        """Take the new weights into the average."""
        if run.steps == 1:
            for mean, parameter in zip(self.average, self.parameters, strict=True):
                mean.copy_(parameter)
        else:
            self._average(self.average, self.parameters, None)

    def before_evaluation(self, run: Run) -> None:
        """Put the average into the model."""
        self._exchange()

    def after_evaluation(self, run: Run) -> None:
        """Put the weights back."""
        self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for mean, parameter in zip(self.average, self.parameters, strict=True):
            kept = mean.clone()
            mean.copy_(parameter)
            parameter.copy_(kept)

    def identity(self) -> dict[str, Any]:
        """The settings."""
        return {"decay": self.decay}

    def state_dict(self) -> dict[str, Any]:
        """The average."""
        return {"average": self.average}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a ``state_dict``."""
        for mean, saved in zip(self.average, state["average"], strict=True):
            mean.copy_(saved)


class Watch(Hook):
    """Further columns of the history: ``function(model)`` after every epoch, names to numbers."""

    def __init__(self, function: Callable[[nn.Module], Mapping[str, float]]) -> None:
        if not callable(function):
            raise TypeError(f"function: expected a function of the model, got {function!r}.")
        self.function = function

    def after_epoch(self, run: Run) -> None:
        """Add the columns."""
        with torch.no_grad():
            columns = self.function(run.model)
        if not isinstance(columns, Mapping):
            raise TypeError(
                f"function: expected a mapping of names to numbers, got {type(columns).__name__}."
            )
        taken = columns.keys() & run.history.last.keys()
        if taken:
            raise ValueError(f"function: the history has a column {min(taken)!r} already.")
        run.history.last.update({name: float(value) for name, value in columns.items()})


def copied_state(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a model's state, as they are now."""
    state = model.state_dict()
    return {name: value.clone() for name, value in state.items() if isinstance(value, Tensor)}


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    """What of a scheduler's state can be written: all but functions and live objects."""
    plain = (bool, int, float, str, list, tuple, dict, Tensor, type(None))
    return {name: value for name, value in state.items() if isinstance(value, plain)}
