"""A full-size training run that can be stopped, resumed, and believed: it leaves a record."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.optim import Adam

from genlib.core import History, Model, seed
from genlib.core.files import write_json
from genlib.core.provenance import machine, versions
from genlib.data import Dataset

PACKAGES = ("genlib-course", "torch", "numpy")
RECORDS = Path(__file__).with_name("records")
PUBLISHED = "models with published figures"
_ROWS_AT_ONCE = 1000
_WEIGHTS = 10_000  # a parameter with fewer numbers holds biases


@dataclass(frozen=True)
class Stage:
    """Epochs of Adam at one learning rate; after each stage the best weights so far are kept."""

    lr: float
    epochs: int


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
    stages : sequence of Stage
    published : float, optional
        Mean test log-likelihood that the source reports, in nats.
    source : str, optional
        Key of the publication in the course's bibliography.
    group : str
        Which table of results it belongs to: runs in one group are there to be compared.
    batch_size : int
    weight_decay : float
        Adam's, on weights; biases are spared.
    remarks : str
        How the run differs from the published one.
    """

    name: str
    title: str
    data: Callable[[], Dataset]
    model: Callable[[], Model]
    stages: Sequence[Stage]
    published: float | None = None
    source: str | None = None
    group: str = PUBLISHED
    batch_size: int = 100
    weight_decay: float = 0.0
    remarks: str = ""


def run(
    recipe: Recipe,
    folder: str | Path,
    *,
    seed_number: int = 0,
    device: torch.device | str = "cpu",
    progress: bool | None = None,
) -> dict[str, object]:
    """Train by ``recipe``, or go on with what stands in ``folder``, and write the record there.

    Each stage has a checkpoint of its own, so a run that was stopped goes on from its last epoch
    and on a CPU comes to the same numbers. Weights are chosen by validation rows alone; the test
    rows are looked at once, at the end.

    Returns
    -------
    dict
        What ``record.json`` holds; ``nats`` is the mean test log-likelihood.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    seed(seed_number)
    data, model = recipe.data().to(device), recipe.model().to(device)
    histories = [
        model.fit(
            data.train,
            valid=data.valid,
            epochs=stage.epochs,
            batch_size=recipe.batch_size,
            optimizer=partial(_adam, lr=stage.lr, weight_decay=recipe.weight_decay),
            patience=stage.epochs,
            checkpoint=folder / f"stage-{number}.safetensors",
            resume=True,
            progress=progress,
        )
        for number, stage in enumerate(recipe.stages, 1)
    ]
    model.save(folder / "model.safetensors")
    record = _record(recipe, data, model, histories, seed_number, device)
    write_json(folder / "record.json", record)
    return record


def records() -> dict[str, dict[str, object]]:
    """The records that came with the library, by the name of the recipe."""
    paths = sorted(RECORDS.glob("*.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def _record(
    recipe: Recipe,
    data: Dataset,
    model: Model,
    histories: Sequence[History],
    seed_number: int,
    device: torch.device | str,
) -> dict[str, object]:
    nats = _log_likelihoods(model, data.test)
    return {
        "recipe": recipe.name,
        "title": recipe.title,
        "metric": "mean test log-likelihood, nats",
        "nats": round(nats.mean().item(), 3),
        "standard error": round(nats.std().item() / len(nats) ** 0.5, 3),
        "validation nats": round(_log_likelihoods(model, data.valid).mean().item(), 3),
        "published": recipe.published,
        "source": recipe.source,
        "data": data.name,
        "dimensions": data.event_shape.numel(),
        "rows": {name: len(rows) for name, rows in data.splits.items()},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "settings": {
            "stages": [asdict(stage) for stage in recipe.stages],
            "batch_size": recipe.batch_size,
            "weight_decay": recipe.weight_decay,
        },
        "remarks": recipe.remarks,
        "seed": seed_number,
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": round(sum(sum(history["seconds"]) for history in histories)),
        "validation curve": [round(-v, 3) for history in histories for v in history["valid"]],
        "machine": machine(device),
        "versions": versions(PACKAGES),
    }


@torch.no_grad()
def _log_likelihoods(model: Model, rows: Tensor) -> Tensor:
    return torch.cat([model.log_prob(part) for part in rows.split(_ROWS_AT_ONCE)]).double()


def _adam(parameters: Sequence[torch.nn.Parameter], *, lr: float, weight_decay: float) -> Adam:
    """Adam whose decay spares biases, which say how often a value occurs at all."""
    parameters = list(parameters)
    groups = [
        {"params": [p for p in parameters if p.numel() >= _WEIGHTS], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.numel() < _WEIGHTS], "weight_decay": 0.0},
    ]
    return Adam([group for group in groups if group["params"]], lr=lr)
