"""A recipe of seconds; as a program, the command line with this recipe alone."""

import torch

import genlib as gl
from genlib import recipes
from genlib.recipes.__main__ import main


def rows(n, seed):
    return (torch.rand(n, 6, generator=torch.Generator().manual_seed(seed)) < 0.3).float()


def toy_data():
    return gl.data.Dataset(rows(300, 0), rows(100, 1), rows(200, 2), name="coins")


TOY = recipes.Recipe(
    name="toy",
    title="a toy",
    data=toy_data,
    model=lambda: gl.FVSBN(6),
    train=recipes.InStages(
        [recipes.Stage(0.05, 4), recipes.Stage(0.01, 3)],
        batch_size=50,
        weight_decay={"lower": 1e-3},
    ),
    published=-3.6,
    source="frey1998",
)

if __name__ == "__main__":
    recipes.RECIPES.clear()
    recipes.RECIPES["toy"] = TOY
    main()
