"""What the parts of pixel models are worth: variants with and without each, in as many passes.

The first group takes three passes over the fixed binarisation of MNIST. The second predicts 256
grey levels of photographs, with one network and either head: photographs of the training, the
validation and the test rows are different ones.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from genlib.core import Model
from genlib.data import Dataset, binarized_mnist, patches, photo
from genlib.models import GatedPixelCNN, MultiScalePixelCNN, PixelCNN, PixelCNNPP
from genlib.recipes.recipe import InStages, Recipe, Stage

PARTS, HEADS = "parts of a pixel model", "heads of a pixel model"

_DIGIT = (1, 28, 28)
PHOTOGRAPHS = {
    "train": ("astronaut", "camera", "chelsea", "coffee", "rocket"),
    "valid": ("coins",),
    "test": ("motorcycle_left",),
}
_PATCHES = {"train": 20_000, "valid": 2_000, "test": 5_000}


def _photographs() -> Dataset:
    """Patches of 16 × 16 pixels, 256 levels of grey."""
    generator = torch.Generator().manual_seed(0)
    parts = {
        split: torch.cat(
            [_squares(name, _PATCHES[split] // len(names), generator) for name in names]
        )
        for split, names in PHOTOGRAPHS.items()
    }
    return Dataset(**parts, name="16 × 16 patches of bundled photographs")


def _squares(name: str, n: int, generator: torch.Generator) -> Tensor:
    grey = (255 * photo(name, grey=True)).round() / 255
    return patches(grey, 16, n=n, generator=generator)


def _plus_plus(scales: int, channels: int, layers: int = 1, *, shortcuts: bool = True) -> Model:
    return PixelCNNPP(
        _DIGIT, channels, layers, 2, components=None, scales=scales, shortcuts=shortcuts
    )


_BUDGET = InStages([Stage(2e-3, 1), Stage(7e-4, 1), Stage(2e-4, 1)], batch_size=50)
_part = partial(Recipe, data=binarized_mnist, group=PARTS, train=_BUDGET)
_head = partial(Recipe, data=_photographs, group=HEADS, train=_BUDGET)

RECIPES = (
    _part(
        name="parts_plain",
        title="PixelCNN: one stack, rectified units",
        model=lambda: PixelCNN(_DIGIT, 32, 8),
    ),
    _part(
        name="parts_two_stacks",
        title="two stacks instead of one: no blind spot",
        model=lambda: GatedPixelCNN(_DIGIT, 20, 5, gates=False),
    ),
    _part(
        name="parts_gates",
        title="two stacks, and gates instead of rectified units",
        model=lambda: GatedPixelCNN(_DIGIT, 16, 5),
    ),
    _part(
        name="parts_multi_scale",
        title="two stacks with gates, a small picture first",
        model=lambda: MultiScalePixelCNN(_DIGIT, 11, 5),
    ),
    _part(
        name="parts_one_scale",
        title="PixelCNN++ with skip connections, one scale",
        model=lambda: _plus_plus(1, 15),
    ),
    _part(
        name="parts_one_scale_deep",
        title="PixelCNN++ with skip connections, one scale, deeper",
        model=lambda: _plus_plus(1, 12, 3),
    ),
    _part(
        name="parts_two_scales",
        title="PixelCNN++ with skip connections, two scales",
        model=lambda: _plus_plus(2, 12),
    ),
    _part(
        name="parts_three_scales",
        title="PixelCNN++ with skip connections, three scales",
        model=lambda: _plus_plus(3, 11),
    ),
    _part(
        name="parts_no_shortcuts",
        title="PixelCNN++ without skip connections, two scales",
        model=lambda: _plus_plus(2, 13, shortcuts=False),
    ),
    _head(
        name="heads_logits",
        title="gated PixelCNN, 256 logits a pixel",
        model=lambda: GatedPixelCNN((1, 16, 16), 16, 4, 256),
    ),
    _head(
        name="heads_logistics",
        title="gated PixelCNN, 5 logistics a pixel",
        model=lambda: GatedPixelCNN((1, 16, 16), 16, 4, 256, components=5),
    ),
)
