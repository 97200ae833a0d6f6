"""Adversarial networks of pictures that genlib draws itself, and the classifiers that judge them.

The classifiers take minutes on one core, the games of digits and of faces up to an hour; the games
of stacked digits are for a GPU. The weights of the classifiers come with the library: see
`pretrained`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from genlib.core import Estimate, History, WeightAverage
from genlib.data import Dataset, cartoon_faces, stacked, strokes
from genlib.data.cartoon_faces import HAIR
from genlib.metrics import frechet_corrected, precision_recall
from genlib.models import DCGAN, GAN, WGAN, Classifier, UnrolledGAN
from genlib.models.adversarial.dcgan import ADAM
from genlib.models.adversarial.networks import DCGANDiscriminator, DCGANGenerator
from genlib.recipes.recipe import (
    ROWS_AT_ONCE,
    InStages,
    Recipe,
    Stage,
    mean_of_rows,
    pretrained,
)

JUDGES = "classifiers that judge samples"
PICTURES = "convolutional adversarial networks"
STACKED = "adversarial networks on stacked digits"

_SAMPLES = 4000
_STACKED_SAMPLES = 25_600  # as many as Metz et al. (2017) draw


@dataclass(frozen=True)
class Play:
    """Play a game for so many epochs; the weights that are kept are a running average.

    Attributes
    ----------
    epochs, batch_size : int
    decay : float
        See `WeightAverage`.
    """

    epochs: int
    batch_size: int = 64
    decay: float = 0.999

    def __call__(
        self, model: GAN, data: Dataset, folder: Path, *, progress: bool | None = None
    ) -> History:
        """Train ``model``, or go on with what stands in ``folder``."""
        return model.fit(
            data.train,
            epochs=self.epochs,
            batch_size=self.batch_size,
            hooks=[WeightAverage(self.decay)],
            checkpoint=folder / "game.safetensors",
            resume=True,
            progress=progress,
        )


# --------------------------------------------------------------------- data


def _digits() -> Dataset:
    return strokes(20_000)


def attributes(faces: Dataset) -> Dataset:
    """Faces whose label tells three attributes: 4 · hair + 2 · glasses + (smile > 0), 0 … 15."""
    hair, glasses, smile = (faces.factors[name] for name in ("hair", "glasses", "smile"))

    def told(split: str, kind: Tensor) -> Tensor:
        return 4 * kind + 2 * getattr(glasses, split) + (getattr(smile, split) > 0).long()

    return replace(faces, labels=hair.map(told))


def _faces() -> Dataset:
    return attributes(cartoon_faces(20_000))


def _stacked() -> Dataset:
    return stacked(_digits(), 32_000)


# --------------------------------------------------------------------- measures


@torch.no_grad()
def labels_named(model: Classifier, data: Dataset) -> dict[str, Estimate]:
    """Share of the test rows, and of the validation rows, that are given their own label.

    The error is that of the rows: they are a sample.
    """
    found = {}
    for name, rows, labels in (
        ("labels named", data.test, data.labels.test),
        ("validation labels named", data.valid, data.labels.valid),
    ):
        guessed = torch.cat([model.predict(part) for part in rows.split(ROWS_AT_ONCE)])
        found[name] = mean_of_rows((guessed == labels).double())
    return found


@torch.no_grad()
def fidelity(model: GAN, data: Dataset, *, judge: str) -> dict[str, Estimate]:
    """Fréchet distance, without its bias of first order, between the features of samples and of
    training rows that the classifier ``judge`` computes; and precision and recall.
    """
    classifier = pretrained(judge).to(data.train.device)
    sets = data.train[:_SAMPLES], model.sample(_SAMPLES)
    rows, drawn = (torch.cat([classifier.encode(p) for p in x.split(ROWS_AT_ONCE)]) for x in sets)
    found = precision_recall(rows, drawn)
    none = torch.zeros(())
    return {
        "Fréchet distance": frechet_corrected(rows.double(), drawn.double()),
        "precision": Estimate(torch.tensor(found.precision), none),
        "recall": Estimate(torch.tensor(found.recall), none),
    }


@torch.no_grad()
def stacked_modes(model: GAN, data: Dataset) -> dict[str, Estimate]:
    """Modes, of a thousand, that 25,600 samples show to the classifier of digits, and the
    divergence of the samples' labels from equal shares, in nats. It is that of one run.
    """
    classifier = pretrained("strokes_classifier").to(data.train.device)
    counts = torch.zeros(1000, device=data.train.device)
    for _ in range(_STACKED_SAMPLES // 800):
        x = model.sample(800)
        red, green, blue = (classifier.predict(x[:, c : c + 1]) for c in range(3))
        counts += (100 * red + 10 * green + blue).bincount(minlength=1000)
    share, none = counts.double() / counts.sum(), torch.zeros(())
    return {
        "modes": Estimate((counts > 0).sum(), none),
        "KL": Estimate(math.log(1000) - torch.special.entr(share).sum(), none),
    }


# --------------------------------------------------------------------- models


def _networks(batch_norm: bool) -> tuple[DCGANGenerator, DCGANDiscriminator]:
    """For stacked digits: a discriminator of half the generator's channels."""
    shape = (3, 28, 28)
    generator = DCGANGenerator(64, shape, (64, 32))
    return generator, DCGANDiscriminator(shape, (16, 32), batch_norm=batch_norm)


_BOTH = {"discriminator_optimizer": ADAM, "generator_optimizer": ADAM}


def _plain() -> GAN:
    return GAN(*_networks(True), latent=64, **_BOTH)


def _unrolled() -> GAN:
    return UnrolledGAN(*_networks(True), latent=64, unroll=5, **_BOTH)


def _wasserstein() -> GAN:
    optimizers = {"critic_optimizer": ADAM, "generator_optimizer": ADAM}
    return WGAN(*_networks(False), latent=64, **optimizers)


_judge = partial(
    Recipe,
    measure=labels_named,
    metric="share of the test rows that are given their label",
    train=InStages([Stage(1e-3, 4), Stage(3e-4, 2)], batch_size=64),
    group=JUDGES,
)
_picture = partial(
    Recipe,
    metric="Fréchet distance of features from those of training rows, less its bias",
    train=Play(40),
    group=PICTURES,
)
_stack = partial(
    Recipe,
    data=_stacked,
    measure=stacked_modes,
    metric="modes of 1,000 in 25,600 samples",
    train=Play(25),
    group=STACKED,
)

RECIPES = (
    _judge(
        name="strokes_classifier",
        title="classifier of stroke digits, 64 features",
        data=_digits,
        model=Classifier,
    ),
    _judge(
        name="faces_classifier",
        title="classifier of cartoon faces: hair, glasses, smile",
        data=_faces,
        model=lambda: Classifier((3, 32, 32), 4 * len(HAIR), (32, 64), 64),
        train=InStages([Stage(1e-3, 15), Stage(3e-4, 5)], batch_size=64),
    ),
    _picture(
        name="strokes_dcgan",
        title="DCGAN of stroke digits, 32 latent variables",
        data=_digits,
        model=lambda: DCGAN((1, 28, 28), 32, (32, 64)),
        measure=partial(fidelity, judge="strokes_classifier"),
    ),
    _picture(
        name="faces_dcgan",
        title="DCGAN of cartoon faces, 32 latent variables",
        data=_faces,
        model=lambda: DCGAN((3, 32, 32), 32, (32, 64, 128)),
        measure=partial(fidelity, judge="faces_classifier"),
    ),
    _stack(name="stacked_plain", title="non-saturating", model=_plain),
    _stack(name="stacked_unrolled", title="unrolled, 5 steps", model=_unrolled),
    _stack(
        name="stacked_wgan_gp",
        title="Wasserstein with gradient penalty",
        model=_wasserstein,
        train=Play(125),  # a round takes five batches: as many steps of the generator
    ),
)
