"""Full-size training runs. Each leaves a record: metric, data, seed, time, machine, versions.

``python -m genlib.recipes`` lists them; ``python -m genlib.recipes nade`` runs one, or goes on with
it where it was stopped. ``torchrun --nproc-per-node 8 -m genlib.recipes pixel_cnn`` trains on eight
devices.
"""

from genlib.recipes import (
    ablations,
    adversarial,
    boltzmann,
    deep,
    features,
    images,
    latent,
    mnist,
    rings,
    text,
)
from genlib.recipes.features import PretrainedClassifier, label_errors
from genlib.recipes.recipe import (
    InStages,
    Recipe,
    Stage,
    bounded_nats,
    estimated_nats,
    nats,
    pretrained,
    records,
    run,
)

RECIPES = {
    recipe.name: recipe
    for module in (
        mnist,
        latent,
        images,
        features,
        boltzmann,
        deep,
        ablations,
        text,
        rings,
        adversarial,
    )
    for recipe in module.RECIPES
}

__all__ = [
    "RECIPES",
    "InStages",
    "PretrainedClassifier",
    "Recipe",
    "Stage",
    "bounded_nats",
    "estimated_nats",
    "label_errors",
    "nats",
    "pretrained",
    "records",
    "run",
]
