"""Dictionary learning: codes and atoms by turns, of all rows at once or batch by batch.

Sources: the section on sparse coding of document U; Mairal, Bach, Ponce and Sapiro (2010), "Online
learning for matrix factorization and sparse coding".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from genlib.core import Checkpoint, History, TrainingDivergedError
from genlib.core.fit import loaded

if TYPE_CHECKING:
    from genlib.models.sparse_coding.model import SparseCoding

_SWEEPS = 20  # over the atoms in a dictionary step, at most
_ONLINE_SWEEPS = 2  # where the next batch brings another step


class Statistics(NamedTuple):
    """All that the dictionary step must know of rows and their codes, averaged over rows."""

    gram: Tensor  # (K, K), zᵀ z
    product: Tensor  # (K, D), zᵀ x

    @classmethod
    def of(cls, x: Tensor, z: Tensor) -> Statistics:
        """Averages over the rows of x (N, D) and their codes z (N, K)."""
        return cls(z.T @ z / len(x), z.T @ x / len(x))

    def merged(self, other: Statistics, keep: float) -> Statistics:
        """``keep`` of these and 1 − keep of the ``other``."""
        pairs = zip(self, other, strict=True)
        return Statistics(*(torch.lerp(new, old, keep) for old, new in pairs))

    def without(self, dead: Tensor) -> Statistics:
        """As if the atoms marked as ``dead``, (K,), had never been used."""
        on = (~dead).to(self.gram)
        return Statistics(self.gram * on * on[:, None], self.product * on[:, None])


def improved(atoms: Tensor, statistics: Statistics, sweeps: int = _SWEEPS) -> Tensor:
    """The dictionary step: A with a lower ½ E‖x − z A‖², its atoms in the unit ball.

    With all other atoms fixed the error is a quadratic in a_k of curvature S_kk, S = E zᵀz, about

        a_k + (E zᵀx − S A)_k / S_kk

    so that the point of the ball that is nearest to this one is the best. One atom after the other
    is set so, in sweeps; each lowers the error or leaves it. Atoms that no code uses stay.
    """
    gram, product = statistics
    used = gram.diagonal() > 0
    atoms = atoms.clone()
    for _ in range(sweeps):
        before = atoms.clone()
        for k in used.nonzero()[:, 0].tolist():
            best = atoms[k] + (product[k] - gram[k] @ atoms) / gram[k, k]
            atoms[k] = best / best.norm().clamp_min(1)
        if (atoms - before).abs().max() < 1e-4:
            break
    return atoms


def worst_rows(x: Tensor, z: Tensor, atoms: Tensor, count: int) -> Tensor:
    """Rows with the largest error ‖x − z A‖, scaled to length 1: what dead atoms become.

    At most ``count``, and none that is zero.
    """
    errors = (x - z @ atoms).square().sum(1)
    rows = x[errors.topk(min(count, len(x))).indices]
    rows = rows[rows.norm(dim=1) > 0]
    return rows / rows.norm(dim=1, keepdim=True)


class Run:
    """A fit: the iteration it has reached, and what it remembers of the rows."""

    def __init__(
        self,
        model: SparseCoding,
        x: Tensor | DataLoader,
        first: Tensor,
        held_out: tuple[Tensor, ...],
        settings: dict[str, Any],
    ) -> None:
        self.model, self.x, self.first, self.held_out = model, x, first, held_out
        self.settings, self.history = settings, History()
        self.in_batches = isinstance(x, DataLoader) or settings["batch_size"] is not None
        self.iteration, self.batches, self.before = 0, 0, math.inf
        self.falls = True  # whether the objective still does
        self.statistics: Statistics | None = None
        self.codes: Tensor | None = None  # of all rows, where they are coded at once

    def __call__(self, file: Checkpoint | None) -> History:
        """Iterate to the end; the dictionary is the model's."""
        if file is not None and file.saved is not None:
            self._load(file.saved)
        elif self.settings["start"] != "current":
            self.model.dictionary = self._begin()
        while self.falls and self.iteration < self.settings["iterations"]:
            self._iterate()
            if file is not None:
                file.write(self._state())
        if file is not None:
            file.write(self._state(), last=True)
        return self.history

    def _begin(self) -> Tensor:
        """Atoms to begin with: random rows, or random directions, of length 1."""
        k, x = self.model.atoms, self.first
        if self.settings["start"] == "random":
            atoms = torch.randn(k, x.shape[1]).to(x)
        else:
            rows = x[x.norm(dim=1) > 0]
            atoms = rows[torch.randperm(len(rows))[:k].to(x.device)]
        return atoms / atoms.norm(dim=1, keepdim=True)

    @torch.no_grad()
    def _iterate(self) -> None:
        """Pass over the rows once."""
        model = self.model
        sweeps = _ONLINE_SWEEPS if self.in_batches else _SWEEPS
        total = rows = active = 0.0
        used = torch.zeros(model.atoms, dtype=torch.bool, device=model.device)
        for x in self._batches():
            z = model._codes(x, None if self.in_batches else self.codes)
            self.codes = None if self.in_batches else z
            total += model._objective(x, z).double().sum().item()
            rows, active = rows + len(x), active + (z != 0).sum().item()
            used |= (z != 0).any(0)
            statistics = self._blended(Statistics.of(x, z))
            model.dictionary = improved(model.dictionary, statistics, sweeps)
        loss = total / rows
        replaced = self._replace(~used, x, z)
        self.iteration += 1
        if not math.isfinite(loss):
            raise TrainingDivergedError(
                f"the mean objective in iteration {self.iteration} is {loss:g}; are the rows of a "
                "size that squares do not overflow?"
            )
        row = {"iteration": self.iteration, "loss": loss, "active": active / rows}
        row["replaced"] = replaced
        if self.held_out:
            row["valid"] = model.validation_loss(*self.held_out).item()
        self.history.append(**row)
        gain, self.before = self.before - loss, loss
        self.falls = self.in_batches or gain >= self.settings["tolerance"] * abs(loss)

    def _replace(self, dead: Tensor, x: Tensor, z: Tensor) -> int:
        """Give atoms that no row has used the directions of rows that are badly coded."""
        places = dead.nonzero()[:, 0]
        rows = worst_rows(x, z, self.model.dictionary, len(places))
        places = places[: len(rows)]
        self.model.dictionary = self.model.dictionary.index_copy(0, places, rows)
        if self.statistics is not None:
            self.statistics = self.statistics.without(dead)
        return len(places)

    def _batches(self) -> Iterator[Tensor]:
        size = self.settings["batch_size"]
        if isinstance(self.x, DataLoader):
            for x, *_ in loaded(self.x, self.model):
                self.model.check_batch(x)
                yield x
        elif size is None:
            yield self.x
        else:
            for rows in torch.randperm(len(self.x)).to(self.x.device).split(size):
                yield self.x[rows]

    def _blended(self, new: Statistics) -> Statistics:
        """``new`` itself, or in batches a running average."""
        if not self.in_batches:
            return new
        self.batches += 1
        keep = 1 - self.batches ** -self.settings["forget"]
        self.statistics = new if self.statistics is None else self.statistics.merged(new, keep)
        return self.statistics

    def _state(self) -> dict[str, Any]:
        return {
            "dictionary": self.model.dictionary,
            "statistics": None if self.statistics is None else list(self.statistics),
            "codes": self.codes,
            "place": [self.iteration, self.batches, self.before, self.falls],
            "history": self.history.rows,
        }

    def _load(self, saved: dict[str, Any]) -> None:
        self.model.dictionary, self.codes = saved["dictionary"], saved["codes"]
        kept = saved["statistics"]
        self.statistics = None if kept is None else Statistics(*kept)
        self.iteration, self.batches, self.before, self.falls = saved["place"]
        self.history.rows = saved["history"]
