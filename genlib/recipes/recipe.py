"""A full-size training run that can be stopped, resumed, and believed: it leaves a record."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Adam

from genlib.core import (
    Checkpoint,
    EarlyStopping,
    Estimate,
    History,
    Model,
    load,
    parallel,
    seed,
)
from genlib.core.checkpoint import fingerprint
from genlib.core.files import write_json
from genlib.core.provenance import machine, versions
from genlib.core.validation import check_choice, check_count, check_positive
from genlib.data import Dataset
from genlib.data.loaders import binarizing_loader

PACKAGES = ("genlib-course", "torch", "numpy")
RECORDS = Path(__file__).with_name("records")
WEIGHTS = Path(__file__).with_name("weights")
PUBLISHED = "models with published figures"
ROWS_AT_ONCE = 1000

Train = Callable[..., History]
Measure = Callable[[Model, Dataset], Mapping[str, Estimate]]


@dataclass(frozen=True)
class Stage:
    """Epochs of Adam at one learning rate."""

    lr: float
    epochs: int

    def __post_init__(self) -> None:
        check_positive(self.lr, "lr")
        check_count(self.epochs, "epochs")


@dataclass(frozen=True)
class InStages:
    """Train by Adam in stages, each at a rate of its own.

    Each stage begins with the best weights so far, judged by the validation rows, and the last
    leaves them in the model. A model with ``classes`` is given the labels of the rows.

    Attributes
    ----------
    stages : sequence of Stage
    batch_size : int
    weight_decay : mapping of str to float
        Adam's, for each parameter that has one, by its name in the model.
    binarize : bool
        Draw the bits of the training rows, which are grey, anew in every epoch.
    precision : {"bfloat16"}, optional
        Compute the layers in it, by autocast.
    """

    stages: Sequence[Stage]
    batch_size: int = 100
    weight_decay: Mapping[str, float] = field(default_factory=dict)
    binarize: bool = False
    precision: str | None = None

    def __post_init__(self) -> None:
        if not self.stages:
            raise ValueError("stages: expected at least one, got none.")
        for name, decay in self.weight_decay.items():
            check_positive(decay, f"weight_decay[{name!r}]")
        if self.precision is not None:
            check_choice(self.precision, ["bfloat16"], "precision")

    def __call__(
        self, model: Model, data: Dataset, folder: Path, *, progress: bool | None = None
    ) -> History:
        """Train ``model``, or go on with what stands in ``folder``: each stage has a checkpoint."""
        history, best = History(), math.inf
        rows, valid = self._rows(model, data)
        precision = None if self.precision is None else getattr(torch, self.precision)
        for number, stage in enumerate(self.stages, 1):
            stopping = EarlyStopping(better_than=best)
            epochs = model.fit(
                *rows,
                valid=valid,
                epochs=stage.epochs,
                batch_size=self.batch_size,
                optimizer=partial(self._adam, model=model, lr=stage.lr),
                precision=precision,
                hooks=[stopping],
                checkpoint=folder / f"stage-{number}.safetensors",
                resume=True,
                progress=progress,
            )
            for row in epochs:
                history.append(**{**row, "epoch": len(history) + 1, "stage": number})
            best = stopping.best
        return history

    def _rows(self, model: Model, data: Dataset) -> tuple[tuple[Any, ...], Any]:
        """What `Model.fit` takes: training rows, or a loader of them, and validation rows."""
        labels = data.labels if getattr(model, "classes", None) else None
        if self.binarize:
            y = None if labels is None else labels.train
            rows = (binarizing_loader(data.train, self.batch_size, labels=y),)
        else:
            rows = (data.train,) if labels is None else (data.train, labels.train)
        return rows, data.valid if labels is None else (data.valid, labels.valid)

    def _adam(self, parameters: Iterable[nn.Parameter], *, model: Model, lr: float) -> Adam:
        """Adam with a group of parameters for each weight decay."""
        names = {parameter: name for name, parameter in model.named_parameters()}
        unknown = set(self.weight_decay) - set(names.values())
        if unknown:
            raise ValueError(
                f"weight_decay: expected names of parameters, {', '.join(names.values())}; got "
                f"{min(unknown)!r}."
            )
        groups: dict[float, list[nn.Parameter]] = {}
        for parameter in parameters:
            groups.setdefault(self.weight_decay.get(names[parameter], 0.0), []).append(parameter)
        return Adam(
            [{"params": group, "weight_decay": decay} for decay, group in groups.items()], lr=lr
        )


def nats(model: Model, data: Dataset) -> dict[str, Estimate]:
    """Mean log-likelihood of the test rows, in nats, and of the validation rows.

    The error is that of the rows: they are a sample.
    """
    return {
        name: mean_of_rows(log_likelihoods(model, rows))
        for name, rows in {"nats": data.test, "validation nats": data.valid}.items()
    }


def estimated_nats(model: Model, data: Dataset, *, samples: int = 5000) -> dict[str, Estimate]:
    """Mean log-likelihood of the test rows, estimated by importance sampling, and mean ELBO.

    The error of the first is that of the rows together with that of the draws.
    """
    value, error = model.estimate_log_prob(data.test, samples=samples)
    mean, rows = mean_of_rows(value.double())
    draws = error.double().square().sum().sqrt() / len(error)
    return {
        "nats": Estimate(mean, torch.hypot(rows, draws)),
        "ELBO": mean_of_rows(_bounds(model, data.test)),
    }


def bounded_nats(model: Model, data: Dataset) -> dict[str, Estimate]:
    """Mean ELBO of the test rows and of the validation rows, and the test rows' mean divergence of
    q(z | x) from the prior, all in nats.

    The error is that of the rows together with that of the ten draws of z for each.
    """
    with torch.no_grad():
        kl = torch.cat([model.kl(part).sum(1) for part in data.test.split(ROWS_AT_ONCE)])
    return {
        "ELBO": mean_of_rows(_bounds(model, data.test)),
        "validation ELBO": mean_of_rows(_bounds(model, data.valid)),
        "KL": mean_of_rows(kl.double()),
    }


@dataclass(frozen=True)
class Recipe:
    """What to train, how, and the number to hold it against.

    Attributes
    ----------
    name, title : str
    data : callable
        Returns the data set, flattened as the model wants it.
    model : callable
        Makes the model, after the seed was set.
    train : callable
        ``train(model, data, folder, progress=)`` fits the model, or goes on with what stands in the
        folder, and returns the history; `InStages` is one. It does not look at the test rows.
    measure : callable
        ``measure(model, data)`` says what was reached: names to estimates, the one to publish
        first.
    metric : str
        What that first number is, in words.
    published : float, optional
        The number that the source reports.
    same_model : bool
        Whether it is that of the same model, at its size; else it is there for orientation, and
        ``remarks`` say of what it is.
    source : str, optional
        Key of the publication in the course's bibliography.
    group : str
        Which table of results it belongs to: runs in one group are there to be compared.
    remarks : str
        How the run differs from the published one.
    """

    name: str
    title: str
    data: Callable[[], Dataset]
    model: Callable[[], Model]
    train: Train
    measure: Measure = field(default_factory=lambda: nats)
    metric: str = "mean test log-likelihood, nats"
    published: float | None = None
    same_model: bool = True
    source: str | None = None
    group: str = PUBLISHED
    remarks: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        """How the model is trained, as plain values."""
        return _described(self.train)


def run(
    recipe: Recipe,
    folder: str | Path,
    *,
    seed_number: int = 0,
    device: torch.device | str = "cpu",
    progress: bool | None = None,
) -> dict[str, object]:
    """Train by ``recipe``, or go on with what stands in ``folder``, and write the record there.

    A run that was stopped goes on from its last checkpoint, and on a CPU comes to the same numbers.
    Weights are chosen by validation rows alone; the test rows are looked at once, at the end. Where
    ``torchrun`` has started several processes, they train one model, and one of them writes.

    Returns
    -------
    dict
        What ``record.json`` holds.

    Raises
    ------
    WrongCheckpointError
        ``folder`` holds a run with another seed, other settings or other data.
    """
    if not isinstance(recipe, Recipe):
        raise TypeError(f"recipe: expected a Recipe, such as RECIPES['nade'], got {recipe!r}.")
    check_count(seed_number, "seed_number", minimum=0)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    seed(seed_number)
    with parallel.one_after_another():  # the first may have to download
        data = recipe.data().to(device)
    _claim(folder, recipe, data, seed_number)
    seed(seed_number)
    model = recipe.model().to(device)
    history = recipe.train(model, data, folder, progress=progress)
    if parallel.rank() == 0:
        _keep(model, folder / "model.safetensors")
    record = _record(recipe, data, model, history, seed_number, device)
    if parallel.rank() == 0:
        write_json(folder / "record.json", record)
    return record


def _keep(model: Model, path: Path) -> None:
    """Write the model; of one whose networks were handed to it, so that no file could say how to
    make them, the weights alone.
    """
    try:
        model.save(path)
    except TypeError:
        save_file({name: part.contiguous() for name, part in model.state_dict().items()}, path)


def records() -> dict[str, dict[str, object]]:
    """The records that came with the library, by the name of the recipe."""
    paths = sorted(RECORDS.glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def pretrained(name: str) -> Model:
    """The model that the recipe ``name`` trained, with the weights that came with the library, in
    float32 (some are stored as float16) and in evaluation mode; `records` says what it reached.

    Raises
    ------
    ValueError
        No weights of this name came with the library; the message lists those that did, and says
        how others are made.
    DamagedFileError
        The weights were altered since.

    Examples
    --------
    >>> pretrained("vae_strokes").sample(4).shape
    torch.Size([4, 1, 28, 28])
    """
    shipped = sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))
    if name in list(records()) and name not in shipped:
        raise ValueError(
            f"name: expected a recipe whose weights came with genlib, {', '.join(shipped)}; got "
            f"{name!r}. python -m genlib.recipes {name} trains it anew, and leaves its weights in "
            f"runs/{name}/model.safetensors, for gl.load."
        )
    check_choice(name, shipped, "name")
    return load(WEIGHTS / f"{name}.safetensors").float()


def _described(train: Train) -> dict[str, Any]:
    """What decides how ``train`` trains, as plain values.

    Raises
    ------
    TypeError
        It is no dataclass, function, or partial of one, so that nothing can be said of it.
    """
    if dataclasses.is_dataclass(train):
        return dataclasses.asdict(train)
    if isinstance(train, partial):
        settings = {"args": list(train.args), **train.keywords} if train.args else train.keywords
        return _described(train.func) | dict(settings)
    if not hasattr(train, "__qualname__"):
        raise TypeError(
            "train: expected a function, a partial of one, or a dataclass that can be called, got "
            f"{type(train).__name__}."
        )
    return {"train": f"{train.__module__}.{train.__qualname__}"}


def _claim(folder: Path, recipe: Recipe, data: Dataset, seed_number: int) -> None:
    """Write down whose folder this is; raise where it is another run's."""
    identity = {
        "recipe": recipe.name,
        "seed": seed_number,
        "settings": recipe.settings,
        "data": fingerprint(part for _, part in data.splits.items()),
    }
    claim = Checkpoint(folder / "run.safetensors", identity, resume=True)
    parallel.wait()  # no process may write before all have looked
    if parallel.rank() == 0:
        claim.write({}, last=True)


def _record(
    recipe: Recipe,
    data: Dataset,
    model: Model,
    history: History,
    seed_number: int,
    device: torch.device | str,
) -> dict[str, object]:
    measured: dict[str, float] = {}
    for name, (value, error) in recipe.measure(model, data).items():
        label = f"standard error of {name}" if measured else "standard error"
        measured |= {name: round(value.item(), 3), label: round(error.item(), 3)}
    if not measured:
        raise ValueError(f"measure: expected at least one estimate of {recipe.name}, got none.")
    return {
        "recipe": recipe.name,
        "title": recipe.title,
        "metric": recipe.metric,
        "measure": next(iter(measured)),
        **measured,
        "published": recipe.published,
        "source": recipe.source,
        "data": data.name,
        "dimensions": data.event_shape.numel(),
        "rows": {name: len(rows) for name, rows in data.splits.items()},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "settings": recipe.settings,
        "remarks": recipe.remarks,
        "seed": seed_number,
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": round(sum(row.get("seconds", 0.0) for row in history)),
        "validation curve": [round(-row["valid"], 3) for row in history if "valid" in row],
        "machine": machine(device) | {"processes": parallel.world()},
        "versions": versions(PACKAGES),
    }


def mean_of_rows(values: Tensor) -> Estimate:
    """Mean of one value a row, with its standard error: the rows are a sample."""
    return Estimate(values.mean(), values.std() / len(values) ** 0.5)


@torch.no_grad()
def _bounds(model: Model, rows: Tensor) -> Tensor:
    return torch.cat([model.elbo(part, samples=10) for part in rows.split(500)]).double()


@torch.no_grad()
def log_likelihoods(model: Model, rows: Tensor) -> Tensor:
    """log p(x) of every row, (N,) in float64."""
    return torch.cat([model.log_prob(part) for part in rows.split(ROWS_AT_ONCE)]).double()
