"""Run a recipe from the command line: ``python -m genlib.recipes NAME``."""

import argparse
from pathlib import Path

from genlib.core import parallel
from genlib.recipes import RECIPES, Recipe, records, run


def main() -> None:
    """Train by a recipe, or list the recipes with what they have reached."""
    parser = argparse.ArgumentParser(prog="python -m genlib.recipes", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(RECIPES), help="leave out to list them")
    parser.add_argument(
        "--folder", type=Path, help="where to work; runs/NAME by default, with the seed if not 0"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", help="this process's GPU by default, where there is one")
    arguments = parser.parse_args()
    if arguments.name is None:
        _list()
        return
    recipe = RECIPES[arguments.name]
    suffix = f"-seed-{arguments.seed}" if arguments.seed else ""
    folder = arguments.folder or Path("runs") / f"{recipe.name}{suffix}"
    with parallel.processes() as device:
        device = arguments.device or device
        record = run(recipe, folder, seed_number=arguments.seed, device=device)
        if parallel.rank() == 0:
            print(f"{recipe.title}: {_reached(record)}{_published(recipe)}; written to {folder}")


def _reached(record: dict[str, object]) -> str:
    value = record[record.get("measure", "nats")]
    return f"{record['metric']}, {value:.2f} ± {record['standard error']:.2f}"


def _list() -> None:
    found = records()
    for recipe in RECIPES.values():
        reached = _reached(found[recipe.name]) if recipe.name in found else "not run yet"
        print(f"{recipe.name:18} {recipe.title}: {reached}{_published(recipe)}")


def _published(recipe: Recipe) -> str:
    return "" if recipe.published is None else f" (published {recipe.published:.2f})"


if __name__ == "__main__":
    main()
