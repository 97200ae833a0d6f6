"""Convolutional VAEs of the procedural images, whose weights come with the library.

All rows are drawn by genlib, so that nothing has to be downloaded; a run takes some minutes on one
core. `pretrained` loads what they came to.
"""

from __future__ import annotations

from functools import partial

from genlib.core import Model
from genlib.data import Dataset, cartoon_faces, strokes
from genlib.models import VAE
from genlib.recipes.recipe import InStages, Recipe, Stage, bounded_nats

STROKES, FACES = "convolutional VAE of stroke digits", "convolutional VAEs of cartoon faces"


def _strokes(n: int = 20_000, seed: int = 0) -> Dataset:
    """Stroke digits of 28 × 28 pixels, 0 or 1."""
    return strokes(n, seed=seed).binarized()


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

RECIPES = (
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
)
