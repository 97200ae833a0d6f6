"""The training loop, which knows nothing of a model but its players, weights and validation loss.

A *player* owns some of the parameters and minimises a loss of its own over them. An ordinary model
is one player; a game is several, who move in turn. One *round* draws as many minibatches as the
busiest player has steps, and lets every player in turn take its steps on the first of them; one
*epoch* passes over the data once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from genlib.core.history import History
from genlib.core.progress import progress_bar
from genlib.core.saving import read_tree, write_tree
from genlib.core.validation import check_count, check_positive

if TYPE_CHECKING:
    from genlib.core.model import Model

Batch = tuple[Tensor, ...]


class TrainingDivergedError(ArithmeticError):
    """A loss or gradient stopped being finite; the weights are those before that step."""


class WrongCheckpointError(ValueError):
    """A checkpoint that belongs to another model or another run."""


@dataclass(frozen=True)
class Player:
    """One side of a game: minimises ``loss`` over ``parameters``, ``steps`` times a round."""

    name: str
    parameters: Sequence[nn.Parameter]
    loss: Callable[..., Tensor]
    steps: int = 1
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] | None = None


def fit(
    model: Model,
    data: Batch,
    *,
    valid: Batch | None = None,
    epochs: int = 10,
    batch_size: int = 128,
    lr: float = 1e-3,
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] | None = None,
    clip_norm: float | None = None,
    patience: int | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    progress: bool | None = None,
) -> History:
    """Train ``model`` on ``data``, tensors with one row an example; see `genlib.Model.fit`."""
    for name, value in {"epochs": epochs, "batch_size": batch_size}.items():
        check_count(value, name)
    check_positive(lr, "lr")
    if patience is not None:
        check_count(patience, "patience")
        if valid is None:
            raise ValueError(
                "patience: early stopping watches the validation loss; pass valid= as well."
            )
    run = _Run(
        model,
        optimizer or (lambda parameters: Adam(parameters, lr=lr)),
        math.inf if clip_norm is None else clip_norm,
    )
    identity = {
        "model": type(model).__qualname__,
        "arguments": model.arguments,
        "rows": len(data[0]),
        "batch": batch_size,
    }
    if checkpoint is not None:
        _open_checkpoint(Path(checkpoint), run, identity, resume)

    with progress_bar(epochs, type(model).__name__, progress) as bar:
        bar.update(len(run.history))
        while len(run.history) < epochs and not run.stopped(patience):
            started = time.perf_counter()
            row = run.epoch(data, batch_size)
            if valid is not None:
                row["valid"] = run.validate(valid, batch_size)
            run.history.append(
                epoch=len(run.history) + 1, seconds=time.perf_counter() - started, **row
            )
            run.keep_best(patience)
            if checkpoint is not None:
                write_tree(checkpoint, {"identity": identity, "run": run.state()})
            bar.set_postfix({name: f"{value:.4g}" for name, value in row.items()})
            bar.update()
    if run.best_weights is not None:
        model.load_state_dict(run.best_weights)
    model.eval()
    return run.history


class _Run:
    """The state of a training run: what a checkpoint must hold, and the moves that change it."""

    def __init__(self, model: Model, optimizer: Callable[..., Optimizer], clip_norm: float) -> None:
        self.model = model
        self.players = list(model.players())
        self.optimizers = [
            (player.optimizer or optimizer)(player.parameters) for player in self.players
        ]
        self.clip_norm = clip_norm
        self.history = History()
        self.best_weights: dict[str, Tensor] | None = None

    def epoch(self, data: Batch, batch_size: int) -> dict[str, float]:
        """Pass over ``data`` once; return each player's mean loss."""
        self.model.train()
        sums = [0.0] * len(self.players)
        steps = [0] * len(self.players)
        for turn in _rounds(data, batch_size, max(player.steps for player in self.players)):
            for i, player in enumerate(self.players):
                for batch in turn[: player.steps]:
                    sums[i] += self._step(i, batch)
                    steps[i] += 1
        names = ["loss"] if len(self.players) == 1 else [player.name for player in self.players]
        return {name: total / count for name, total, count in zip(names, sums, steps, strict=True)}

    def _step(self, i: int, batch: Batch) -> float:
        player, optimizer = self.players[i], self.optimizers[i]
        optimizer.zero_grad(set_to_none=True)
        loss = player.loss(*batch)
        # Only this player's parameters receive a gradient, although the loss may run through the
        # other's.
        loss.backward(inputs=list(player.parameters))
        norm = nn.utils.clip_grad_norm_(player.parameters, self.clip_norm)
        if not (torch.isfinite(loss) and torch.isfinite(norm)):
            what, value = ("loss", loss) if not torch.isfinite(loss) else ("gradient norm", norm)
            raise TrainingDivergedError(
                f"the {what} of player {player.name!r} became {value.item()} in epoch "
                f"{len(self.history) + 1}. "
                "The weights are those before this step. A smaller lr or clip_norm=1.0 often "
                "helps; "
                "look also for a logarithm or a division that can meet zero."
            )
        optimizer.step()
        return loss.item()

    @torch.no_grad()
    def validate(self, data: Batch, batch_size: int) -> float:
        """Mean validation loss over the rows of ``data``."""
        self.model.eval()
        batches = zip(*(part.split(batch_size) for part in data), strict=True)
        total = sum(self.model.validation_loss(*batch).item() * len(batch[0]) for batch in batches)
        return total / len(data[0])

    def keep_best(self, patience: int | None) -> None:
        """Remember the weights of the best epoch so far: early stopping may want them back."""
        if patience is not None and self.history.best() is self.history.last:
            self.best_weights = {
                name: value.clone() for name, value in self.model.state_dict().items()
            }

    def stopped(self, patience: int | None) -> bool:
        """Whether the validation loss has not improved for ``patience`` epochs."""
        if patience is None or not len(self.history):
            return False
        return len(self.history) - self.history.best()["epoch"] >= patience

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on."""
        return {
            "weights": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "history": self.history.rows,
            "best_weights": self.best_weights,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a `state`."""
        self.model.load_state_dict(state["weights"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.history = History(state["history"])
        self.best_weights = state["best_weights"]
        torch.set_rng_state(state["random"])
        if state["random_cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["random_cuda"])


def _rounds(data: Batch, batch_size: int, batches: int) -> Iterator[list[Batch]]:
    """Shuffle the rows and deal them out, ``batches`` minibatches a round (the last round may be
    short).
    """
    order = torch.randperm(len(data[0])).to(data[0].device)
    for chunk in order.split(batch_size * batches):
        yield [tuple(part[rows] for part in data) for rows in chunk.split(batch_size)]


def _open_checkpoint(path: Path, run: _Run, identity: dict[str, Any], resume: bool) -> None:
    if not path.exists():
        return
    if not resume:
        raise FileExistsError(
            f"{path} exists: pass resume=True to go on from it, or remove it to start afresh."
        )
    saved = read_tree(path)
    found = saved.get("identity") if isinstance(saved, dict) else None
    if found is None:
        raise WrongCheckpointError(
            f"{path}: expected a checkpoint of a fit, found another kind of file."
        )
    for name, expected in identity.items():
        if not _equal(found[name], expected):
            raise WrongCheckpointError(
                f"{path}: expected a checkpoint with {name} = {expected}, found {found[name]}."
            )
    run.restore(saved["run"])


def _equal(a: Any, b: Any) -> bool:
    """Equality of saved arguments, tensors included."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return isinstance(a, Tensor) and isinstance(b, Tensor) and torch.equal(a.cpu(), b.cpu())
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    return a == b
