"""MNIST digits classified by a network of one hidden layer that an autoencoder has trained [1].

The autoencoder sees no labels. All its weights, and those of a linear layer on its code, are then
trained with labels; the validation rows say when that is best. The same network from random weights
stands beside it.

[1] Rifai, Vincent, Muller, Glorot and Bengio (2011), "Contractive auto-encoders: explicit
invariance during feature extraction", ICML.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from genlib.core import EarlyStopping, Estimate, History, Watch
from genlib.data import Dataset, mnist
from genlib.models import (
    DBN,
    Autoencoder,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    StackedAutoencoder,
)
from genlib.recipes.recipe import InStages, Recipe, Stage

FEATURES = "classifiers of MNIST, first trained as autoencoders"
_ROWS_AT_ONCE = 1000

Classifier = StackedAutoencoder | DBN


@dataclass(frozen=True)
class PretrainedClassifier:
    """Train the layers of a stack as autoencoders, then all of it with labels, both in stages.

    Attributes
    ----------
    pretraining : sequence of Stage
        The same for every layer; none to begin from random weights.
    stages : sequence of Stage
        With labels. Each stage begins with the weights that have made the fewest errors on the
        validation rows so far, and the last leaves them in the model.
    batch_size : int
    """

    pretraining: Sequence[Stage]
    stages: Sequence[Stage]
    batch_size: int = 100

    def __call__(
        self,
        model: StackedAutoencoder,
        data: Dataset,
        folder: Path,
        *,
        progress: bool | None = None,
    ) -> History:
        """Train ``model``, or go on with what stands in ``folder``: each stage has a checkpoint."""
        history = History()
        if self.pretraining:
            (layer,) = model.layers
            (folder / "layer").mkdir(exist_ok=True)
            in_stages = InStages(self.pretraining, self.batch_size)
            for row in in_stages(layer, data, folder / "layer", progress=progress):
                history.append(restored=row.pop("valid"), **row)
        self._tune(model, data, folder, history, progress)
        return history

    def _tune(
        self,
        model: StackedAutoencoder,
        data: Dataset,
        folder: Path,
        history: History,
        progress: bool | None,
    ) -> None:
        held_out, fewest = (data.valid, data.labels.valid), math.inf
        before = len(history)
        for number, stage in enumerate(self.stages, 1):
            stopping = EarlyStopping(better_than=fewest, column="errors")
            epochs = model.fit(
                data.train,
                data.labels.train,
                valid=held_out,
                epochs=stage.epochs,
                batch_size=self.batch_size,
                lr=stage.lr,
                hooks=[Watch(partial(_errors_as_column, held_out=held_out)), stopping],
                checkpoint=folder / f"tuning-{number}.safetensors",
                resume=True,
                progress=progress,
            )
            for row in epochs:
                place = len(history) - before + 1
                history.append(**{**row, "epoch": place, "stage": f"labels {number}"})
            fewest = stopping.best


def label_errors(model: Classifier, data: Dataset) -> dict[str, Estimate]:
    """Percentage of wrong labels, of the test rows and of the validation rows, if there are any,
    each with its binomial standard error.
    """
    found = {"errors": _error_rate(model, data.test, data.labels.test)}
    if data.valid is not None:
        found["validation errors"] = _error_rate(model, data.valid, data.labels.valid)
    return found


@torch.no_grad()
def _error_rate(model: Classifier, x: Tensor, y: Tensor) -> Estimate:
    found = torch.cat([model.predict(part) for part in x.split(_ROWS_AT_ONCE)])
    rate = (found != y).double().mean()
    return Estimate(100 * rate, 100 * (rate * (1 - rate) / len(y)).sqrt())


def _errors_as_column(model: Classifier, *, held_out: tuple[Tensor, Tensor]) -> dict[str, float]:
    """Percentage of wrong labels of the held-out rows, as `Watch` wants it."""
    return {"errors": _error_rate(model, *held_out).value.item()}


def grey_rows() -> Dataset:
    """MNIST, an image a row."""
    return mnist().flat()


def _classifier(kind: type[Autoencoder], **settings: object) -> StackedAutoencoder:
    layer = kind(
        784, 1000, (), code_activation="sigmoid", error="cross_entropy", tied=True, **settings
    )
    return StackedAutoencoder([layer], classes=10)


_classify = partial(
    Recipe, data=grey_rows, measure=label_errors, metric="test errors, %", group=FEATURES
)
_PRETRAINING = [Stage(1e-3, 25), Stage(3e-4, 10)]
_LABELS = [Stage(3e-3, 15), Stage(1e-3, 10), Stage(3e-4, 10)]

RECIPES = (
    _classify(
        name="mnist_contractive",
        title="contractive autoencoder, 1,000 units, then labels",
        model=partial(_classifier, ContractiveAutoencoder, weight=2.0),
        train=PretrainedClassifier(_PRETRAINING, _LABELS),
        published=1.14,
        source="rifai2011",
        remarks="weight of the penalty 2",
    ),
    _classify(
        name="mnist_denoising",
        title="denoising autoencoder, 1,000 units, then labels",
        model=partial(_classifier, DenoisingAutoencoder, noise="gaussian", level=0.5),
        train=PretrainedClassifier(_PRETRAINING, _LABELS),
        published=1.18,
        source="rifai2011",
        remarks="Gaussian noise of deviation 0.5",
    ),
    _classify(
        name="mnist_no_pretraining",
        title="the same network from random weights",
        model=partial(_classifier, Autoencoder),
        train=PretrainedClassifier([], _LABELS),
    ),
)
