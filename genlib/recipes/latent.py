"""Latent-variable models on MNIST whose bits are drawn anew in every epoch [1].

Of the 60,000 training images a thousand choose the weights. Test bits are one fixed draw.

[1] Burda, Grosse and Salakhutdinov (2016), "Importance weighted autoencoders", ICLR.
"""

from __future__ import annotations

import torch

from genlib.core import Model
from genlib.data import Dataset, mnist
from genlib.models import VAE
from genlib.recipes.recipe import InStages, Recipe, Stage, estimated_nats

LATENT = "latent-variable models on MNIST, binarised anew in every epoch"
_VALID = 1000


def _rows() -> Dataset:
    """Grey training rows, to be binarised batch by batch; validation and test rows of 0 and 1."""
    grey = mnist()
    fixed = grey.stochastically_binarized()
    train = torch.cat([grey.train, grey.valid[:-_VALID]])
    return Dataset(
        train,
        fixed.valid[-_VALID:],
        fixed.test,
        name="MNIST, binarised anew at each epoch",
        source=grey.source,
        licence=grey.licence,
        binarization="dynamic sample",
    ).flat()


def _one_layer(objective: str = "elbo", samples: int = 1) -> Model:
    return VAE(784, 50, (200, 200), activation="tanh", objective=objective, samples=samples)


RECIPES = (
    Recipe(
        name="vae",
        title="VAE, 50 latent variables, two layers of 200 units",
        data=_rows,
        model=_one_layer,
        train=InStages([Stage(1e-3, 300), Stage(3e-4, 250), Stage(1e-4, 150)], binarize=True),
        measure=estimated_nats,
        metric="mean test log-likelihood by 5,000 importance samples, nats",
        published=-86.76,
        source="burda2016",
        group=LATENT,
    ),
    Recipe(
        name="iwae",
        title="the same, trained by the importance-weighted bound, 50 draws",
        data=_rows,
        model=lambda: _one_layer("iwae", 50),
        train=InStages(
            [Stage(1e-3, 30), Stage(5e-4, 20), Stage(2e-4, 15), Stage(5e-5, 10)],
            binarize=True,
            precision="bfloat16",
        ),
        measure=estimated_nats,
        metric="mean test log-likelihood by 5,000 importance samples, nats",
        published=-84.78,
        source="burda2016",
        group=LATENT,
        remarks="layers computed in bfloat16",
    ),
)
