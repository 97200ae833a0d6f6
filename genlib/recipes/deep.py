"""Deep networks of MNIST that begin as stacks of restricted Boltzmann machines [1, 2], and the
principal components that they are held against.

[1] Hinton, Osindero and Teh (2006), "A fast learning algorithm for deep belief nets", Neural
Computation 18. [2] Hinton and Salakhutdinov (2006), "Reducing the dimensionality of data with
neural networks", Science 313.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from genlib.core import Estimate, History, Model, load
from genlib.core.rows import row_chunks
from genlib.data import Dataset, Splits
from genlib.data.loaders import binarizing_loader
from genlib.models import DBN, PCA, Autoencoder, DeepAutoencoder
from genlib.recipes.boltzmann import InPhases, Phase
from genlib.recipes.features import grey_rows, label_errors
from genlib.recipes.recipe import InStages, Recipe, Stage, mean_of_rows

CODES = "codes of MNIST, 30 values"
DIGITS = "deep belief networks of MNIST"


@dataclass(frozen=True)
class UpDown(InPhases):
    """Train the layers one by one, then all together, up–down, in phases.

    The machines see bits drawn once from the grey values, up–down sees them drawn anew in every
    epoch.

    Attributes
    ----------
    pretraining : Phase
        Of every machine.
    """

    pretraining: Phase = field(kw_only=True)

    def __call__(
        self, model: DBN, data: Dataset, folder: Path, *, progress: bool | None = None
    ) -> History:
        """Train ``model``, or go on with what stands in ``folder``: each phase has a checkpoint."""
        _once(model, folder, partial(self._pretrain, data=data, progress=progress))
        rows = binarizing_loader(data.train, self.batch_size, labels=data.labels.train)
        return self._train(model, model.top, rows, folder, progress)

    def _pretrain(self, model: DBN, *, data: Dataset, progress: bool | None) -> None:
        model.settings["k"] = model.top.k = self.pretraining.k
        model.pretrain(
            torch.bernoulli(data.train),
            data.labels.train,
            epochs=self.pretraining.epochs,
            batch_size=self.batch_size,
            optimizer=self.optimizer(self.pretraining),
            progress=progress,
        )


@dataclass(frozen=True)
class Unrolled:
    """Train the machines of a deep autoencoder, unroll them, and train both halves in stages.

    Attributes
    ----------
    pretraining : Stage
        Of every machine.
    stages : sequence of Stage
        Of both halves; see `InStages`.
    batch_size : int
    """

    pretraining: Stage
    stages: Sequence[Stage]
    batch_size: int = 100

    def __call__(
        self, model: DeepAutoencoder, data: Dataset, folder: Path, *, progress: bool | None = None
    ) -> History:
        """Train ``model``, or go on with what stands in ``folder``."""
        _once(model, folder, partial(self._pretrain, data=data, progress=progress))
        return InStages(self.stages, self.batch_size)(model, data, folder, progress=progress)

    def _pretrain(self, model: DeepAutoencoder, *, data: Dataset, progress: bool | None) -> None:
        model.pretrain(
            data.train,
            epochs=self.pretraining.epochs,
            lr=self.pretraining.lr,
            batch_size=self.batch_size,
            progress=progress,
        )


def _once(model: Model, folder: Path, train: Callable[[Model], None]) -> None:
    """Train ``model``, or take what an earlier run has left in ``folder``."""
    path = folder / "pretrained.safetensors"
    if path.exists():
        model.load_state_dict(load(path).state_dict())
    else:
        train(model)
        model.save(path)


def fit(model: Model, data: Dataset, folder: Path, *, progress: bool | None = None) -> History:
    """Fit a model that needs no settings."""
    return model.fit(data.train)


@torch.no_grad()
def squared_errors(model: Model, data: Dataset) -> dict[str, Estimate]:
    """Squared error of an image, summed over pixels: mean over the test rows and over the
    validation rows, each with its standard error.
    """
    return {
        "squared error": _squared_error(model, data.test),
        "validation squared error": _squared_error(model, data.valid),
    }


def _squared_error(model: Model, x: Tensor) -> Estimate:
    parts = [(model.reconstruct(part) - part).square().sum(1) for part in row_chunks(x)]
    return mean_of_rows(torch.cat(parts).double())


def _held_out_bits() -> Dataset:
    """Grey training rows, whose bits are drawn; held-out pixels that are 1 above one half."""
    grey = grey_rows()
    bits = grey.binarized()
    return replace(grey, valid=bits.valid, test=bits.test)


def _all_for_training() -> Dataset:
    """Grey training rows, the validation rows among them; test pixels that are 1 above one half."""
    grey = grey_rows()
    y = torch.cat([grey.labels.train, grey.labels.valid])
    return replace(
        grey,
        train=torch.cat([grey.train, grey.valid]),
        valid=None,
        test=grey.binarized().test,
        labels=Splits(y, test=grey.labels.test),
    )


def _up_down(*epochs: int) -> UpDown:
    """Phases of so many epochs, at falling rates."""
    phases = zip((1, 1, 3, 3), (0.1, 0.03, 0.01, 0.002), epochs, strict=True)
    return UpDown([Phase(*phase) for phase in phases], pretraining=Phase(1, 0.05, 10))


_dbn = partial(
    Recipe,
    model=partial(DBN, [784, 500, 500, 2000], classes=10, weight_decay=2e-4),
    measure=label_errors,
    metric="test errors, %",
    published=1.25,
    source="hinton2006fast",
    group=DIGITS,
)

_code = partial(
    Recipe,
    data=grey_rows,
    measure=squared_errors,
    metric="mean squared test error of an image",
    source="hinton2006reducing",
    group=CODES,
)

RECIPES = (
    _dbn(
        name="mnist_dbn",
        title="DBN, 500–500–2,000 hidden units and labels",
        data=_held_out_bits,
        train=_up_down(150, 50, 30, 20),
    ),
    _dbn(
        name="mnist_dbn_short",
        title="the same, for fewer epochs on all 60,000 rows",
        data=_all_for_training,
        train=_up_down(60, 25, 10, 8),
    ),
    _code(
        name="mnist_deep_autoencoder",
        title="deep autoencoder, 784–1,000–500–250–30",
        model=partial(DeepAutoencoder, [784, 1000, 500, 250, 30]),
        train=Unrolled(Stage(1e-3, 10), [Stage(1e-3, 50), Stage(3e-4, 30), Stage(1e-4, 20)]),
        published=3.00,
    ),
    _code(
        name="mnist_logistic_pca",
        title="logistic PCA: a linear code under one sigmoid layer",
        model=partial(Autoencoder, 784, 30, (), error="cross_entropy"),
        train=InStages([Stage(1e-3, 30), Stage(3e-4, 10), Stage(1e-4, 10)]),
        published=8.01,
    ),
    _code(
        name="mnist_pca",
        title="PCA",
        model=partial(PCA, 30),
        train=fit,
        published=13.87,
    ),
)
