"""Every pixel model against its formulas in plain loops, in float64."""

import functools

import numpy as np
import pytest
import torch

from genlib.models.autoregressive import (
    GatedPixelCNN,
    MultiScalePixelCNN,
    PixelCNN,
    PixelCNNPP,
    PixelRNN,
)
from tests.models.autoregressive import pixel_truth as truth
from tests.parameters import scattered

MODELS = {
    "PixelCNN": (lambda: PixelCNN((1, 3, 4), 4, 2), truth.pixel_cnn),
    "PixelCNN, colours": (lambda: PixelCNN((3, 2, 3), 6, 2, 4), truth.pixel_cnn),
    "PixelCNN, mixture": (lambda: PixelCNN((3, 2, 3), 4, 1, 6, components=2), truth.pixel_cnn),
    "gated": (lambda: GatedPixelCNN((1, 3, 4), 3, 3), truth.gated),
    "gated, colours": (lambda: GatedPixelCNN((2, 3, 3), 4, 2), truth.gated),
    "gated, no gates": (
        lambda: GatedPixelCNN((1, 3, 4), 3, 2, gates=False),
        functools.partial(truth.gated, gates=False),
    ),
    "++": (lambda: PixelCNNPP((1, 3, 4), 3, 2, 8, scales=1), truth.pixel_cnn_pp),
    "++, colours, 2 scales": (
        lambda: PixelCNNPP((3, 4, 2), 3, 1, 6, components=2),
        truth.pixel_cnn_pp,
    ),
    "++, 3 scales": (lambda: PixelCNNPP((1, 4, 8), 3, 2, 6, scales=3), truth.pixel_cnn_pp),
    "++, no short-cuts": (
        lambda: PixelCNNPP((1, 4, 4), 3, 1, 4, components=None, shortcuts=False),
        truth.pixel_cnn_pp,
    ),
    "row": (lambda: PixelRNN((1, 3, 4), 6, 2), truth.row_lstm),
    "row, colours": (lambda: PixelRNN((2, 3, 3), 8, 1), truth.row_lstm),
    "diagonal": (lambda: PixelRNN((1, 3, 4), 6, 2, kind="diagonal"), truth.diagonal_lstm),
    "diagonal, colours": (
        lambda: PixelRNN((2, 3, 3), 8, 1, kind="diagonal"),
        truth.diagonal_lstm,
    ),
    "multi-scale": (lambda: MultiScalePixelCNN((1, 4, 4), 3, 2), truth.multi_scale),
    "multi-scale, colours": (lambda: MultiScalePixelCNN((2, 2, 4), 4, 1), truth.multi_scale),
    "multi-scale, 3 scales": (
        lambda: MultiScalePixelCNN((1, 4, 8), 3, 1, 5, scales=3),
        truth.multi_scale,
    ),
}


def agree(model, by_loops, **labels):
    """``model`` gives each of three images the conditionals and the log_prob that loops give."""
    y = {name: torch.full((3,), value) for name, value in labels.items()}
    x = model.sample(3, generator=torch.Generator().manual_seed(0), **y)
    with torch.no_grad():
        found = zip(x, model.conditionals(x, **y), model.log_prob(x, **y), strict=True)
    for image, conditionals, log_prob in found:
        image = image.numpy()
        out = by_loops(model, image, **labels)
        expected = truth.conditionals(model, out, image)
        np.testing.assert_allclose(conditionals, expected, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(log_prob, truth.log_prob(model, out, image), rtol=1e-10)


@pytest.mark.covers("A07", "A08", "A09")
@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_its_formulas(name):
    make, by_loops = MODELS[name]
    agree(scattered(make(), 0.25).double(), by_loops)


@pytest.mark.covers("A09")
@pytest.mark.parametrize("shape", [(1, 3, 4), (2, 3, 3)], ids=str)
@pytest.mark.parametrize("label", [0, 2])
def test_a_label_shifts_both_stacks_before_their_gates(shape, label):
    model = scattered(GatedPixelCNN(shape, 4, 2, classes=3), 0.25).double()
    agree(model, truth.gated, y=label)
