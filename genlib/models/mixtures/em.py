"""Expectation maximisation, written once for all mixtures.

Sources: the chapters on latent variables of documents H and U; Dempster, Laird and Rubin (1977),
"Maximum likelihood from incomplete data via the EM algorithm"; Neal and Hinton (1998), "A view of
the EM algorithm"; Cappé and Moulines (2009), "On-line expectation-maximization algorithm for latent
data models".
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader

from genlib.core import (
    Checkpoint,
    Density,
    Estimator,
    History,
    NotFittedError,
    TrainingDivergedError,
)
from genlib.core.checkpoint import fingerprint
from genlib.core.fit import loaded
from genlib.core.hooks import copied_state
from genlib.core.random import categorical, uniform
from genlib.core.validation import (
    check_between,
    check_choice,
    check_count,
    check_positive,
)
from genlib.models.mixtures.kmeans import KMeans, check_enough

STARTS = ("kmeans", "random", "current")


class Statistics(NamedTuple):
    """What EM must know of some rows: for each component its weight, a sum of responsibilities, and
    weighted averages of the rows; in float64.
    """

    weight: Tensor  # (K,)
    mean: Tensor  # (K, D)
    scatter: Tensor | None = None  # about the mean: (K, D, D), or (K, D) along the axes alone

    def merged(self, other: Statistics, keep: float) -> Statistics:
        """``keep`` of these together with 1 − keep of the ``other``."""
        a, b = keep * self.weight, (1 - keep) * other.weight
        weight = a + b
        share = (b / weight.clamp_min(torch.finfo(weight.dtype).tiny))[:, None]
        apart = other.mean - self.mean
        mean = self.mean + share * apart
        if self.scatter is None:
            return Statistics(weight, mean)
        if self.scatter.dim() == 2:
            between = apart.square()
        else:
            share, between = share[..., None], apart[:, :, None] * apart[:, None, :]
        scatter = (1 - share) * self.scatter + share * other.scatter
        return Statistics(weight, mean, scatter + share * (1 - share) * between)


class Mixture(Estimator, abstract=True):
    """p(x) = Σ_k π_k p(x | k), fitted by EM.

    A subclass names its parameters in ``fitted_buffers``, the last of them ``"log_weights"``, and
    writes what this class leaves open: ``_joint`` and ``_draw``, the two steps of EM, and where it
    begins.

    Parameters
    ----------
    components : int
        K.
    """

    density = Density.EXACT
    lesson = "08_mixtures_and_em"
    log_weights: Tensor

    def __init__(self, components: int) -> None:
        super().__init__()
        check_count(components, "components")
        self.components = components

    # ------------------------------------------------------------------ the queries

    def _log_prob(self, x: Tensor) -> Tensor:
        return self._joint(x).logsumexp(1)

    def _encode(self, x: Tensor) -> Tensor:
        """Responsibilities p(k | x), (N, K)."""
        return self._joint(x).softmax(1)

    def _sample(self, n: int, generator: Generator | None) -> Tensor:
        u = uniform((n,), self.log_weights, generator)
        return self._draw(categorical(self.log_weights.exp(), u), generator)

    def _joint(self, x: Tensor) -> Tensor:
        """log π_k p(x | k), (N, K)."""
        raise NotImplementedError

    def _draw(self, k: Tensor, generator: Generator | None) -> Tensor:
        """A row from each of the components ``k``."""
        raise NotImplementedError

    # ------------------------------------------------------------------ what EM asks

    def _statistics(self, x: Tensor) -> tuple[Tensor, Statistics]:
        """The E-step: log p(x), (N,), and the statistics of the rows."""
        raise NotImplementedError

    def _maximise(self, statistics: Statistics) -> None:
        """The M-step: set the parameters."""
        raise NotImplementedError

    def _hard_statistics(self, x: Tensor, label: Tensor) -> Statistics:
        """Statistics of rows that belong to one component each."""
        raise NotImplementedError

    def _random_statistics(self, x: Tensor) -> Statistics:
        """Statistics to begin with: components around random rows."""
        raise NotImplementedError

    # ------------------------------------------------------------------ fitting

    def fit(
        self,
        x: Tensor | DataLoader,
        *,
        valid: Tensor | None = None,
        iterations: int = 100,
        tolerance: float = 1e-4,
        restarts: int = 1,
        start: str = "kmeans",
        batch_size: int | None = None,
        forget: float = 0.6,
        checkpoint: str | Path | None = None,
        resume: bool = False,
    ) -> History:
        """Fit the mixture by EM. Draws come from torch's global generator: `seed` repeats them.

        Parameters
        ----------
        x : Tensor, shape (N, d), or torch.utils.data.DataLoader
            Rows; a loader's batches need never be in memory together.
        valid : Tensor, optional
            Held-out rows, whose mean negative log-likelihood is recorded as ``valid``.
        iterations : int
            At most so many passes over the rows.
        tolerance : float
            Stop where the mean log-likelihood rises by less, in nats. Mini-batch EM, whose
            likelihood is of parameters that move on the way, makes all ``iterations``.
        restarts : int
            Runs, of which the one with the highest likelihood of the training rows is kept.
        start : {"kmeans", "random", "current"}
            Begin from the clusters of k-means, from random rows, or from the parameters that the
            model has: of an earlier fit, or assigned, every one of them.
        batch_size : int, optional
            Rows after which the parameters move. By default they move after all of them; of a
            loader, after each batch.
        forget : float
            In mini-batch EM, the statistics of the t-th batch enter with the weight t^−forget; in
            [½, 1].
        checkpoint : path, optional
            File to write, atomically, after iterations, so often that it takes a tenth of the time.
        resume : bool
            Go on from ``checkpoint`` if it exists, to the numbers of the uninterrupted run, with
            the parameters in the file, whichever the model has. Of a loader's rows it knows
            nothing: they must be the same.

        Returns
        -------
        History
            A row an iteration: ``restart``, ``iteration``, and ``loss``, the mean negative
            log-likelihood of the rows before the parameters moved.

        Raises
        ------
        ValueError
            There are fewer rows than components, or fewer that differ; or a setting is not what it
            must be.
        TrainingDivergedError
            The likelihood is not finite, as where the parameters that it began with are not.
        FileExistsError, WrongCheckpointError, DamagedFileError
            See `genlib.core.Checkpoint`.
        """
        settings = {
            "iterations": iterations,
            "tolerance": tolerance,
            "restarts": restarts,
            "start": start,
            "batch_size": batch_size,
            "forget": forget,
        }
        self._check_settings(**settings)
        first = next(loaded(x, self))[0] if isinstance(x, DataLoader) else x
        self._training_rows(first, None)
        if start == "current":
            self.check(first)
        held_out = () if valid is None else self._held_out_rows(valid, (first,))
        check_enough(first, self.components, "components")
        known = held_out if isinstance(x, DataLoader) else (x, *held_out)
        file = self._checkpoint(checkpoint, resume, {**settings, "data": fingerprint(known)})
        history = _Run(self, x, first.detach(), held_out, settings)(file)
        self.eval()
        return history

    def _check_settings(
        self,
        iterations: int,
        tolerance: float,
        restarts: int,
        start: str,
        batch_size: int | None,
        forget: float,
    ) -> None:
        check_count(iterations, "iterations")
        check_count(restarts, "restarts")
        check_positive(tolerance, "tolerance", zero=True)
        check_choice(start, STARTS, "start")
        check_between(forget, 0.5, 1, "forget")
        if batch_size is not None:
            check_count(batch_size, "batch_size")
        if start == "current":
            empty = [name for name in self.fitted_buffers if not getattr(self, name).numel()]
            if empty:
                raise NotFittedError(
                    f'start="current": expected {", ".join(self.fitted_buffers)} from an earlier '
                    f"fit, or assigned; {empty[0]} is empty."
                )


class _Run:
    """A fit: which restart and iteration it has reached, and the best parameters so far."""

    def __init__(
        self,
        model: Mixture,
        x: Tensor | DataLoader,
        first: Tensor,
        held_out: tuple[Tensor, ...],
        settings: dict[str, Any],
    ) -> None:
        self.model, self.x, self.first, self.held_out = model, x, first, held_out
        self.settings, self.history = settings, History()
        self.in_batches = isinstance(x, DataLoader) or settings["batch_size"] is not None
        self.given = model.state_dict() if settings["start"] == "current" else None
        self.restart, self.best, self.best_state = 1, math.inf, None
        self._reset()

    def _reset(self) -> None:
        self.iteration, self.batches, self.before = 0, 0, math.inf
        self.statistics: Statistics | None = None

    def __call__(self, file: Checkpoint | None) -> History:
        if file is not None and file.saved is not None:
            self._load(file.saved)
        while self.restart <= self.settings["restarts"]:
            if self.iteration == 0:
                self._begin()
            while self.iteration < self.settings["iterations"]:
                if not self._iterate():
                    break  # unwritten: a run resumed from before it makes it again, and ends
                if file is not None:
                    file.write(self._state())
            if self.before < self.best:
                self.best, self.best_state = self.before, copied_state(self.model)
            self.restart += 1
            self._reset()
        self.model.load_state_dict(self.best_state)
        if file is not None:
            file.write(self._state(), last=True)
        return self.history

    def _begin(self) -> None:
        """Set the parameters from which a restart begins."""
        model, x = self.model, self.first
        if self.given is not None:
            model.load_state_dict(self.given)
        elif self.settings["start"] == "random":
            model._maximise(model._random_statistics(x))
        else:
            clusters = KMeans(model.components).to(x)
            clusters.fit(x, iterations=20)
            model._maximise(model._hard_statistics(x, clusters.assign(x)))

    @torch.no_grad()
    def _iterate(self) -> bool:
        """Pass over the rows once; say whether the likelihood still rises."""
        total, rows = 0.0, 0
        for batch in self._batches():
            log_p, statistics = self.model._statistics(batch)
            total, rows = total - log_p.double().sum().item(), rows + len(batch)
            self.model._maximise(self._blended(statistics))
        loss = total / rows
        self.iteration += 1
        if not math.isfinite(loss):
            raise TrainingDivergedError(
                f"the mean log-likelihood in iteration {self.iteration} is {-loss:g}; are the "
                "parameters that EM began with finite?"
            )
        row = {"restart": self.restart, "iteration": self.iteration, "loss": loss}
        if self.held_out:
            row["valid"] = self.model.validation_loss(*self.held_out).item()
        self.history.append(**row)
        rises = self.in_batches or self.before - loss >= self.settings["tolerance"]
        self.before = loss
        return rises

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
        """What the parameters move to: ``new`` itself, or in mini-batch EM a running average."""
        if not self.in_batches:
            return new
        self.batches += 1
        new = new._replace(weight=new.weight / new.weight.sum())
        if self.statistics is None:
            self.statistics = new
        else:
            keep = 1 - self.batches ** -self.settings["forget"]
            self.statistics = self.statistics.merged(new, keep)
        return self.statistics

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "best": self.best,
            "best_state": self.best_state,
            "statistics": None if self.statistics is None else list(self.statistics),
            "place": [self.restart, self.iteration, self.batches, self.before],
            "history": self.history.rows,
            "given": self.given,
        }

    def _load(self, saved: dict[str, Any]) -> None:
        self.model.load_state_dict(saved["model"])
        self.best, self.best_state = saved["best"], saved["best_state"]
        self.restart, self.iteration, self.batches, self.before = saved["place"]
        kept = saved["statistics"]
        self.statistics = None if kept is None else Statistics(*kept)
        self.history.rows, self.given = saved["history"], saved["given"]
