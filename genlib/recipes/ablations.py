"""What the parts of pixel models are worth: variants with and without each, at an equal budget.

The first group takes four passes over the fixed binarisation of MNIST, with models whose passes
take about as long. The second predicts 256 grey levels of photographs, with one network and either
head: photographs of the training, the validation and the test rows are different ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from genlib.core import Model
from genlib.data import Dataset, binarized_mnist, patches, photo
from genlib.models import GatedPixelCNN, PixelCNN, PixelCNNPP
from genlib.recipes.recipe import Recipe, Stage

PARTS, HEADS = "parts of a pixel model", "heads of a pixel model"

_DIGIT = (1, 28, 28)
_PHOTOS = {
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
        for split, names in _PHOTOS.items()
    }
    return Dataset(**parts, name="16 × 16 patches of bundled photographs")


def _squares(name: str, n: int, generator: torch.Generator) -> Tensor:
    grey = (255 * photo(name, grey=True)).round() / 255
    return patches(grey, 16, n=n, generator=generator)


def _plus_plus(scales: int, channels: int, *, shortcuts: bool = True) -> Model:
    return PixelCNNPP(_DIGIT, channels, 1, 2, components=None, scales=scales, shortcuts=shortcuts)


def _variant(
    group: str, name: str, title: str, model: Callable[[], Model], **settings: object
) -> Recipe:
    data = {PARTS: binarized_mnist, HEADS: _photographs}[group]
    return Recipe(
        name=name, title=title, data=data, model=model, stages=_stages(), group=group, **settings
    )


def _stages() -> Sequence[Stage]:
    return [Stage(2e-3, 2), Stage(7e-4, 1), Stage(2e-4, 1)]


_part = partial(_variant, PARTS, batch_size=50)
_head = partial(_variant, HEADS, batch_size=50)

RECIPES = (
    _part("parts_plain", "PixelCNN: one stack, rectified units", lambda: PixelCNN(_DIGIT, 32, 8)),
    _part(
        "parts_two_stacks",
        "two stacks instead of one: no blind spot",
        lambda: GatedPixelCNN(_DIGIT, 20, 5, gates=False),
    ),
    _part(
        "parts_gates",
        "two stacks, and gates instead of rectified units",
        lambda: GatedPixelCNN(_DIGIT, 16, 5),
    ),
    _part(
        "parts_one_scale",
        "PixelCNN++ with short-cuts, one scale",
        lambda: _plus_plus(1, 15),
    ),
    _part(
        "parts_two_scales",
        "PixelCNN++ with short-cuts, two scales",
        lambda: _plus_plus(2, 12),
    ),
    _part(
        "parts_three_scales",
        "PixelCNN++ with short-cuts, three scales",
        lambda: _plus_plus(3, 11),
    ),
    _part(
        "parts_no_shortcuts",
        "PixelCNN++ without short-cuts, two scales",
        lambda: _plus_plus(2, 13, shortcuts=False),
    ),
    _head(
        "heads_logits",
        "gated PixelCNN, 256 logits a pixel",
        lambda: GatedPixelCNN((1, 16, 16), 16, 4, 256),
    ),
    _head(
        "heads_logistics",
        "gated PixelCNN, 5 logistics a pixel",
        lambda: GatedPixelCNN((1, 16, 16), 16, 4, 256, components=5),
    ),
)
