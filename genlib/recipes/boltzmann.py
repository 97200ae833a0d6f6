"""Restricted Boltzmann machines on the fixed binarisation of MNIST, judged by annealing [1].

[1] Salakhutdinov and Murray (2008), "On the quantitative analysis of deep belief networks", ICML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.optim import SGD
from torch.utils.data import DataLoader

from genlib.core import Estimate, History, Model, WeightAverage
from genlib.core.fit import MakeOptimizer
from genlib.core.validation import check_count, check_positive
from genlib.data import Dataset
from genlib.models import RBM
from genlib.models.boltzmann.restricted import RestrictedMachine
from genlib.recipes.mnist import binary_rows
from genlib.recipes.recipe import Recipe, mean_of_rows

MACHINES = "restricted Boltzmann machines on binarised MNIST"
_CHAINS = 100


@dataclass(frozen=True)
class Phase:
    """Epochs of contrastive divergence with chains of k steps, at one rate."""

    k: int
    lr: float
    epochs: int

    def __post_init__(self) -> None:
        check_count(self.k, "k")
        check_positive(self.lr, "lr")
        check_count(self.epochs, "epochs")


@dataclass(frozen=True)
class InPhases:
    """Train by stochastic gradient steps with momentum; the weights kept are a running average of
    those of the last phase. No held-out rows choose anything: log p costs annealing.
    """

    stages: Sequence[Phase]
    batch_size: int = 100
    momentum: float = 0.9
    decay: float = 0.999

    def __call__(
        self, model: RBM, data: Dataset, folder: Path, *, progress: bool | None = None
    ) -> History:
        """Train ``model``, or go on with what stands in ``folder``: each phase has a checkpoint."""
        return self._train(model, model, data.train, folder, progress)

    def _train(
        self,
        model: Model,
        machine: RestrictedMachine,
        rows: Tensor | DataLoader,
        folder: Path,
        progress: bool | None,
    ) -> History:
        """Train ``model``, in which ``machine`` has the chains."""
        history = History()
        for number, phase in enumerate(self.stages, 1):
            machine.k = phase.k
            last = number == len(self.stages)
            epochs = model.fit(
                rows,
                epochs=phase.epochs,
                batch_size=self.batch_size,
                optimizer=self.optimizer(phase),
                hooks=[WeightAverage(self.decay)] if last else [],
                checkpoint=folder / f"phase-{number}.safetensors",
                resume=True,
                progress=progress,
            )
            for row in epochs:
                history.append(**{**row, "epoch": len(history) + 1, "phase": number})
        return history

    def optimizer(self, phase: Phase) -> MakeOptimizer:
        """Makes the optimiser of a phase."""
        return partial(SGD, lr=phase.lr, momentum=self.momentum)


@torch.no_grad()
def annealed_nats(
    model: RBM, data: Dataset, *, temperatures: int = 14_500, steps: int = 5000
) -> dict[str, Estimate]:
    """Mean log-likelihood of the test rows and of the validation rows, in nats, by annealing from
    the base rates up; and that of the test rows by annealing down from where chains end, after
    so many ``steps`` from training rows. The error is that of the rows together with that of log Z.
    """
    up = model.estimate_log_partition(_CHAINS, temperatures=temperatures).log_partition
    x = model.gibbs(data.train[:_CHAINS], steps)
    down = model.bound_log_partition(x, temperatures=temperatures).log_partition
    return {
        "nats": _log_likelihood(model, data.test, up),
        "validation nats": _log_likelihood(model, data.valid, up),
        "nats by annealing down": _log_likelihood(model, data.test, down),
    }


def _log_likelihood(model: RBM, x: Tensor, log_z: Estimate) -> Estimate:
    energies = torch.cat([model.energy(part) for part in x.split(1000)]).double()
    value, error = mean_of_rows(-energies)
    return Estimate(value - log_z.value, torch.hypot(error, log_z.error))


_machine = partial(
    Recipe,
    data=binary_rows,
    model=partial(RBM, 784, 500, weight_decay=1e-3),
    measure=annealed_nats,
    metric="mean test log-likelihood by annealed importance sampling, nats",
    source="salakhutdinov2008",
    group=MACHINES,
)

RECIPES = (
    _machine(
        name="rbm_cd1",
        title="RBM, 500 hidden units, CD-1",
        train=InPhases([Phase(1, 0.05, 100), Phase(1, 0.01, 30)]),
        published=-125.53,
    ),
    _machine(
        name="rbm_cd25",
        title="RBM, 500 hidden units, CD-25",
        train=InPhases(
            [Phase(1, 0.05, 10), Phase(5, 0.03, 15), Phase(25, 0.02, 30), Phase(25, 0.005, 15)]
        ),
        published=-86.34,
        remarks="k rises from 1 to 25",
    ),
)
