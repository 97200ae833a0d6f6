"""An LSTM and a causal transformer of equal size on the text that comes with Python.

Nothing has to be downloaded; a run takes less than an hour on one core, and `pretrained` loads what
they came to.
"""

from __future__ import annotations

import math
from functools import partial

from genlib.core import Estimate, Model
from genlib.data import Dataset, Text, passages
from genlib.models import LSTM, CausalTransformer
from genlib.recipes.recipe import InStages, Recipe, Stage, nats

TEXT = "characters of the reference manual of Python"
_LENGTH, _SYMBOLS = 128, 64


def bits_per_character(model: Model, data: Dataset) -> dict[str, Estimate]:
    """Mean −log₂ p of a character of the test rows, and of the validation rows; the first character
    of a row is predicted from nothing.

    The error is that of the rows: they are a sample.
    """
    unit = -math.log(2) * data.event_shape.numel()
    return {
        name.replace("nats", "bits per character"): Estimate(mean / unit, error / abs(unit))
        for name, (mean, error) in nats(model, data).items()
    }


def _passages() -> Text:
    """The manual in rows of 128 characters."""
    return passages(_LENGTH)


_text = partial(
    Recipe,
    data=_passages,
    measure=bits_per_character,
    metric="bits per character of the test rows",
    group=TEXT,
)

RECIPES = (
    _text(
        name="text_lstm",
        title="LSTM, 256 hidden units",
        model=lambda: LSTM(_LENGTH, _SYMBOLS, hidden=256, embedding=64),
        train=InStages([Stage(3e-3, 30), Stage(1e-3, 15), Stage(3e-4, 10)], batch_size=32),
    ),
    _text(
        name="text_transformer",
        title="causal transformer, 3 layers of width 96",
        model=lambda: CausalTransformer(_LENGTH, _SYMBOLS, width=96, heads=4, layers=3),
        train=InStages([Stage(4e-3, 30), Stage(1e-3, 15), Stage(3e-4, 10)], batch_size=32),
    ),
)
