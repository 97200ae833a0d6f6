"""NADE, convolutional VAEs and pixel models of images that genlib draws itself; one is of MNIST.

A run takes about an hour on one core, or less. `pretrained` loads what those came to whose weights
come with the library.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from genlib.core import Estimate, Model
from genlib.data import Dataset, cartoon_faces, mnist, strokes
from genlib.models import NADE, VAE, GatedPixelCNN, PixelCNN, PixelRNN
from genlib.recipes.recipe import (
    ROWS_AT_ONCE,
    InStages,
    Recipe,
    Stage,
    bounded_nats,
    mean_of_rows,
)

STROKES, FACES = "convolutional VAE of stroke digits", "convolutional VAEs of cartoon faces"
IN_ORDER = "NADE of stroke digits"
LABELLED = "pixel models that are given a label"
RECURRENT = "convolution and recurrence over the pixels of stroke digits"


def _strokes(n: int = 20_000, seed: int = 0, size: int = 28) -> Dataset:
    """Stroke digits of ``size`` × ``size`` pixels, 0 or 1."""
    return strokes(n, size=size, seed=seed).binarized()


def _rows_of_strokes() -> Dataset:
    """Stroke digits of 28 × 28 pixels, 0 or 1, an image a row."""
    return _strokes().flat()


def _mnist_bits() -> Dataset:
    """MNIST and its labels: grey training rows, whose bits are drawn; bits of the other rows."""
    grey = mnist()
    bits = grey.stochastically_binarized()
    name, drawn = "MNIST, binarised anew at each epoch", "dynamic sample"
    return replace(grey, valid=bits.valid, test=bits.test, name=name, binarization=drawn)


@torch.no_grad()
def labelled_nats(model: Model, data: Dataset) -> dict[str, Estimate]:
    """Mean of log p(x) over the test rows, in nats, all labels equally likely, and of log p(x | y);
    and the fraction of test rows whose label is the one that Bayes' rule finds most likely.

    The error is that of the rows: they are a sample.
    """
    given = torch.cat([_given_each_label(model, part) for part in data.test.split(ROWS_AT_ONCE)], 1)
    whole = given.logsumexp(0) - math.log(model.classes)
    right = (given.argmax(0) == data.labels.test).double()
    of_label = given.gather(0, data.labels.test[None])[0]
    return {
        "nats": mean_of_rows(whole),
        "nats given the label": mean_of_rows(of_label),
        "labels named": mean_of_rows(right),
    }


def _given_each_label(model: Model, x: Tensor) -> Tensor:
    """log p(x | y) for every label y, (classes, N) in float64."""
    labels = torch.arange(model.classes)[:, None].expand(-1, len(x))
    return torch.stack([model.log_prob(x, y) for y in labels]).double()


def _vae_of_strokes() -> Model:
    return VAE((1, 28, 28), 16, (128,), channels=(32, 64), activation="silu")


def _faces(n: int = 10_000, seed: int = 0) -> Dataset:
    """Cartoon faces of 32 × 32 pixels in colour."""
    return cartoon_faces(n, seed=seed)


def _vae_of_faces(beta: float) -> Model:
    return VAE(
        (3, 32, 32),
        16,
        (128,),
        channels=(32, 64, 128),
        activation="silu",
        likelihood="gaussian",
        beta=beta,
    )


_shown = partial(Recipe, measure=bounded_nats, metric="mean test ELBO, nats")
_face = partial(
    _shown,
    data=_faces,
    train=InStages([Stage(1e-3, 45), Stage(3e-4, 15), Stage(1e-4, 5)], batch_size=50),
    group=FACES,
)

_walk = partial(
    Recipe,
    data=partial(_strokes, n=10_000, size=14),
    train=InStages([Stage(2e-3, 7), Stage(7e-4, 3), Stage(2e-4, 2)], batch_size=50),
    group=RECURRENT,
)

RECIPES = (
    Recipe(
        name="strokes_nade",
        title="NADE, 500 hidden units, reading order",
        data=_rows_of_strokes,
        model=lambda: NADE(784, hidden=500),
        train=InStages([Stage(1e-2, 16), Stage(3e-3, 10), Stage(1e-3, 6), Stage(3e-4, 4)]),
        group=IN_ORDER,
    ),
    _shown(
        name="vae_strokes",
        title="convolutional VAE, 16 latent variables, Bernoulli",
        data=_strokes,
        model=_vae_of_strokes,
        train=InStages([Stage(1e-3, 25), Stage(3e-4, 10), Stage(1e-4, 5)], batch_size=50),
        group=STROKES,
    ),
    _face(
        name="vae_faces",
        title="convolutional VAE, 16 latent variables, Gaussian",
        model=partial(_vae_of_faces, 1.0),
    ),
    _face(
        name="beta_vae_faces",
        title="the same, trained with β = 16",
        model=partial(_vae_of_faces, 16.0),
    ),
    Recipe(
        name="strokes_pixel_cnn",
        title="gated PixelCNN given a label, 6 layers of 24 channels",
        data=partial(_strokes, n=10_000),
        model=lambda: GatedPixelCNN((1, 28, 28), 24, 6, classes=10),
        train=InStages([Stage(2e-3, 8), Stage(7e-4, 4), Stage(2e-4, 2)], batch_size=50),
        measure=labelled_nats,
        group=LABELLED,
    ),
    Recipe(
        name="mnist_pixel_cnn",
        title="gated PixelCNN of MNIST given a label, 5 layers of 16 channels",
        data=_mnist_bits,
        model=lambda: GatedPixelCNN((1, 28, 28), 16, 5, classes=10),
        train=InStages(
            [Stage(2e-3, 2), Stage(7e-4, 2), Stage(2e-4, 1)], batch_size=50, binarize=True
        ),
        measure=labelled_nats,
        group=LABELLED,
    ),
    _walk(
        name="walk_convolution",
        title="PixelCNN, 6 blocks of 34 channels",
        model=lambda: PixelCNN((1, 14, 14), 34, 6),
    ),
    _walk(
        name="walk_rows",
        title="PixelRNN, 3 row LSTMs",
        model=lambda: PixelRNN((1, 14, 14), 28, 3),
    ),
    _walk(
        name="walk_diagonals",
        title="PixelRNN, 3 diagonal LSTMs",
        model=lambda: PixelRNN((1, 14, 14), 26, 3, kind="diagonal"),
    ),
)
