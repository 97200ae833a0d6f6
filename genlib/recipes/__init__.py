"""Full-size training runs. Each leaves a record: metric, data, seed, time, machine, versions.

``python -m genlib.recipes`` lists them; ``python -m genlib.recipes nade`` runs one, or goes on with
it where it was stopped.
"""

from genlib.recipes.mnist import RECIPES as _MNIST
from genlib.recipes.recipe import Recipe, Stage, records, run

RECIPES = {recipe.name: recipe for recipe in _MNIST}

__all__ = ["RECIPES", "Recipe", "Stage", "records", "run"]
