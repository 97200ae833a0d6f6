"""Run a recipe from the command line: ``python -m genlib.recipes NAME``."""

import argparse
from pathlib import Path

import torch

from genlib.recipes import RECIPES, Recipe, records, run


def main() -> None:
    """Train by a recipe, or list the recipes with what they have reached."""
    parser = argparse.ArgumentParser(prog="python -m genlib.recipes", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(RECIPES), help="leave out to list them")
    parser.add_argument("--folder", type=Path, help="where to work; runs/NAME by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    if arguments.name is None:
        _list()
        return
    recipe = RECIPES[arguments.name]
    folder = arguments.folder or Path("runs") / recipe.name
    record = run(recipe, folder, seed_number=arguments.seed, device=arguments.device)
    print(
        f"{recipe.title}: {record['nats']:.2f} ± {record['standard error']:.2f} nats a test image"
        f"{_published(recipe)}; written to {folder}"
    )


def _list() -> None:
    found = records()
    for recipe in RECIPES.values():
        reached = f"{found[recipe.name]['nats']:.2f}" if recipe.name in found else "not run yet"
        print(f"{recipe.name:18} {recipe.title}: {reached}{_published(recipe)}")


def _published(recipe: Recipe) -> str:
    return "" if recipe.published is None else f" (published {recipe.published:.2f})"


if __name__ == "__main__":
    main()
