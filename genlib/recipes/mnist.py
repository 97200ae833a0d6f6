"""Autoregressive networks on the fixed binarisation of MNIST, on which likelihoods are compared."""

from __future__ import annotations

import math
from functools import partial

import torch

from genlib.core import Estimate
from genlib.data import Dataset, binarized_mnist
from genlib.models import FVSBN, MADE, NADE, GatedPixelCNN, PixelCNN, PixelCNNPP
from genlib.recipes.recipe import InStages, Recipe, Stage, log_likelihoods, mean_of_rows


def binary_rows() -> Dataset:
    """The fixed binarisation of MNIST, an image a row."""
    return binarized_mnist().flat()


def _random_orders(n: int, dim: int = 784) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randperm(dim, generator=generator).tolist() for _ in range(n)]


def nats_of_mixture(model: NADE, data: Dataset, *, orders: int) -> dict[str, Estimate]:
    """Mean log-likelihood of the test rows, in nats, under the mixture of an orderless NADE's
    densities in ``orders`` random orders, and the mean over these orders, one at a time.

    The error is that of the rows: they are a sample.
    """
    drawn = _random_orders(orders, data.event_shape.numel())
    each = torch.stack([log_likelihoods(model.ensemble([order]), data.test) for order in drawn])
    return {
        "nats": mean_of_rows(each.logsumexp(0) - math.log(orders)),
        "nats in one order": mean_of_rows(each.mean(0)),
    }


_FOR_A_GPU = [Stage(1e-3, 40), Stage(3e-4, 20), Stage(1e-4, 10)]

RECIPES = (
    Recipe(
        name="fvsbn",
        title="FVSBN",
        data=binary_rows,
        model=lambda: FVSBN(784, order=_random_orders(1)[0]),
        train=InStages(
            [Stage(1e-2, 12), Stage(3e-3, 10), Stage(1e-3, 8), Stage(3e-4, 6), Stage(1e-4, 4)],
            weight_decay={"lower": 5e-5},
        ),
        published=-97.45,
        source="larochelle2011",
        remarks="pixels in one random order, with weight decay",
    ),
    Recipe(
        name="nade",
        title="NADE, 500 hidden units",
        data=binary_rows,
        model=lambda: NADE(784, hidden=500),
        train=InStages(
            [Stage(1e-3, 12), Stage(5e-4, 10), Stage(2e-4, 10), Stage(1e-4, 8), Stage(3e-5, 5)]
        ),
        published=-88.33,
        source="germain2015",
        remarks="pixels in reading order; the published figure is that of a fixed order in the "
        "table of MADE's paper",
    ),
    Recipe(
        name="made",
        title="MADE, two layers of 500 units, one mask",
        data=binary_rows,
        model=lambda: MADE(784, hidden=[500, 500], direct=True),
        train=InStages([Stage(1e-3, 20), Stage(3e-4, 8), Stage(1e-4, 6)]),
        published=-89.59,
        same_model=False,
        source="germain2015",
        remarks="with direct connections; the published network had layers of 8000 units",
    ),
    Recipe(
        name="nade_orderless",
        title="orderless NADE, 500 hidden units, mixture of 16 orders",
        data=binary_rows,
        model=lambda: NADE(784, hidden=500, orderless=True),
        train=InStages([Stage(1e-3, 36), Stage(3e-4, 14), Stage(1e-4, 6)]),
        measure=partial(nats_of_mixture, orders=16),
        published=-87.71,
        same_model=False,
        source="germain2015",
        remarks="the published figure is that of a mixture of 128 orders",
    ),
    Recipe(
        name="made_masks",
        title="MADE, two layers of 500 units, mixture of 8 sets of masks",
        data=binary_rows,
        model=lambda: MADE(784, hidden=[500, 500], num_masks=8, direct=True),
        train=InStages([Stage(1e-3, 48), Stage(3e-4, 16), Stage(1e-4, 8)]),
        published=-86.64,
        same_model=False,
        source="germain2015",
        remarks="with direct connections; the published network had layers of 8000 units and 32 "
        "sets of masks",
    ),
    Recipe(
        name="pixel_cnn_pp",
        title="PixelCNN++ for black and white, 16 channels, three scales",
        data=binarized_mnist,
        model=lambda: PixelCNNPP(channels=16, layers=1, levels=2, components=None, scales=3),
        train=InStages(
            [Stage(2e-3, 8), Stage(1e-3, 5), Stage(4e-4, 3), Stage(1e-4, 2)], batch_size=50
        ),
        published=-81.30,
        same_model=False,
        source="oord2016pixel",
        remarks="the published figure is that of a PixelCNN; what an hour of one core gives",
    ),
    Recipe(
        name="pixel_cnn",
        title="PixelCNN, 7 blocks of 64 channels",
        data=binarized_mnist,
        model=PixelCNN,
        train=InStages(_FOR_A_GPU, batch_size=50),
        published=-81.30,
        source="oord2016pixel",
    ),
    Recipe(
        name="gated_pixel_cnn",
        title="gated PixelCNN, 7 layers of 32 channels",
        data=binarized_mnist,
        model=GatedPixelCNN,
        train=InStages(_FOR_A_GPU, batch_size=50),
        published=-81.30,
        same_model=False,
        source="oord2016pixel",
        remarks="the published figure is that of a PixelCNN",
    ),
)
