"""What the processes of `test_parallel` run: ``python -m tests.core.two_processes PART FOLDER``."""

import functools
import json
import sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader, TensorDataset

import genlib as gl
from genlib.core import parallel
from tests.core.toys import TrainedGaussian, TugOfWar

SGD = functools.partial(torch.optim.SGD, lr=0.1)


def rows():
    return 2 * torch.randn(512, 2, generator=torch.Generator().manual_seed(1)) + 1


def reached(model, history):
    columns = {name: history[name] for name in history.names if name != "seconds"}
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    return {"weights": weights, "history": columns}


def train():
    """An ordinary model, a game, and a model whose loss is a custom operator; whole batches."""
    x, settings = rows(), {"optimizer": SGD, "progress": False}
    gl.seed(0)
    gaussian = TrainedGaussian(2)
    fitted = gaussian.fit(x, valid=x[:99], epochs=6, batch_size=512, clip_norm=1.0, **settings)
    game = TugOfWar()
    played = game.fit(torch.full((64, 1), 3.0), epochs=40, batch_size=16, **settings)
    gl.seed(3)
    nade = gl.NADE(9, 5)
    bits = (torch.rand(256, 9, generator=torch.Generator().manual_seed(2)) < 0.3).float()
    summed = nade.fit(bits, epochs=3, batch_size=256, **settings)
    return {
        "gaussian": reached(gaussian, fitted),
        "game": reached(game, played),
        "operator": reached(nade, summed),
    }


class Noisy(TrainedGaussian):
    """Training noise, which must differ between processes."""

    def loss(self, x):
        self.noise = torch.randn_like(x)
        return super().loss(x + 0.1 * self.noise)


class Fragile(TrainedGaussian):
    """A loss that is infinite in one process alone."""

    def loss(self, x):
        return super().loss(x) + (torch.inf if parallel.rank() == 1 else 0.0)


def refusals():
    """What each request that cannot be met says, by its name."""
    x = rows()
    requests = {
        "other data": lambda: TrainedGaussian(2).fit(x + parallel.rank()),
        "odd batch": lambda: TrainedGaussian(2).fit(x, batch_size=7),
        "plain loader": lambda: TrainedGaussian(2).fit(DataLoader(TensorDataset(x), 8)),
        "one diverges": lambda: Fragile(2).fit(x),
        "one fails": lambda: TrainedGaussian(2).fit(x if parallel.rank() == 0 else x / 0),
        "other rates": lambda: TrainedGaussian(2).fit(x, lr=0.1 if parallel.rank() else 0.01),
    }
    said = {}
    for name, request in requests.items():
        try:
            request()
        except (ValueError, ArithmeticError) as error:
            said[name] = str(error)
    return said


class Stopping(gl.Hook):
    """One process wants to stop."""

    def after_epoch(self, run):
        run.stopped = parallel.rank() == 1 and len(run.history) == 2


class Noting(TrainedGaussian):
    """Keeps the first column of the rows that it saw."""

    def loss(self, x):
        if self.training:
            self.seen += x[:, 0].tolist()
        return super().loss(x)


def rows_seen():
    """The rows of each of three fits in a row, the last of them stopped by one process."""
    x, seen = rows()[:64], []
    gl.seed(parallel.rank())  # whatever the generators were
    model = Noting(2)
    for hooks in ([], [], [Stopping()]):
        model.seen = []
        epochs = 9 if hooks else 1
        history = model.fit(x, valid=x[:1], epochs=epochs, batch_size=16, hooks=hooks)
        seen.append((len(history), model.seen[-32:]))
    return seen


def noisy(folder):
    """A run with noise, early stopping and a checkpoint."""
    x = rows()
    gl.seed(0)
    model = Noisy(2)
    settings = {"epochs": 50, "batch_size": 8, "lr": 0.1, "patience": 2, "progress": False}
    history = model.fit(x[:8], valid=x, checkpoint=folder / "run", **settings)
    weights = [parameter.tolist() for parameter in model.parameters()]
    return {"weights": weights, "noise": model.noise[0].tolist(), "epochs": len(history)}


def main(part, folder):
    with parallel.processes():
        if part == "refusals":
            print(json.dumps(refusals()))
            return
        found = train()
        seen = rows_seen()
        print(json.dumps(noisy(folder) | {"seen": seen}))
        if parallel.rank() == 0:
            torch.save(found, folder / "two.pt")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
