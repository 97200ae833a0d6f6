"""An epoch of CD-1: genlib's RBM against scikit-learn's `BernoulliRBM`, and a plain loop in torch.

Rows are binarised stroke digits of 28 × 28. Scikit-learn calls its method persistent; an epoch of
it makes the same products: two for the data's hidden units and the gradient, three for one Gibbs
step and the gradient there. The loop is the algorithm alone: no loss is recorded, nothing is
checked. All take plain stochastic gradient steps.
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from sklearn.neural_network import BernoulliRBM
from torch import Tensor

import genlib as gl
from tests.benchmarks.harness import compare, median

GENLIB, SINGLE, DOUBLE = "genlib", "scikit-learn, float32", "scikit-learn, float64"
PLAIN = "plain torch"
_RATE = 0.05


def run(
    device: str,
    rounds: int,
    size: int = 10_000,
    hidden: int = 500,
    batch_sizes: tuple[int, ...] = (100, 10),
) -> dict[str, object]:
    """Measure the epochs; print tables, return the record."""
    settings = {
        "rounds": rounds,
        "seconds": "median of an epoch, wall clock; every contender is called once a round",
        "process seconds": "median of the same calls, time of all threads on the processor",
        "times genlib": "seconds over those of genlib",
        "rate": _RATE,
    }
    x = gl.data.strokes(size, size=28).binarized().flat()
    x = torch.cat([part for part in (x.train, x.valid, x.test) if part is not None])[:size]
    results = [_measure(x, hidden, each, rounds, device) for each in batch_sizes]
    return {"settings": settings, "results": results}


def _measure(
    x: Tensor, hidden: int, batch_size: int, rounds: int, device: str
) -> dict[str, object]:
    case = {"rows": len(x), "d": x.shape[1], "hidden": hidden, "batch size": batch_size}
    spent: dict[str, list[float]] = {}

    def timed(name: str, epoch: Callable[[], object]) -> Callable[[], None]:
        spent[name] = []

        def call() -> None:
            start = time.process_time()
            epoch()
            spent[name].append(time.process_time() - start)

        return call

    contenders = {
        GENLIB: partial(_ours, x.to(device), hidden, batch_size),
        PLAIN: partial(_plain, x.to(device), hidden, batch_size),
    }
    if device == "cpu":
        for name, dtype in ((SINGLE, np.float32), (DOUBLE, np.float64)):
            contenders[name] = partial(_theirs, x.numpy().astype(dtype), hidden, batch_size)
    calls = {name: timed(name, epoch) for name, epoch in contenders.items()}
    return compare(
        case, calls, rounds, device, lambda name, _: {"process seconds": median(spent[name][1:])}
    )


def _ours(x: Tensor, hidden: int, batch_size: int) -> gl.RBM:
    gl.seed(0)
    model = gl.RBM(x.shape[1], hidden).to(x.device)
    step = partial(torch.optim.SGD, lr=_RATE)
    model.fit(x, epochs=1, batch_size=batch_size, optimizer=step, progress=False)
    return model


def _theirs(x: np.ndarray, hidden: int, batch_size: int) -> BernoulliRBM:
    model = BernoulliRBM(hidden, learning_rate=_RATE, batch_size=batch_size, n_iter=1)
    return model.set_params(random_state=0).fit(x)


@torch.no_grad()
def _plain(x: Tensor, hidden: int, batch_size: int) -> tuple[Tensor, Tensor, Tensor]:
    gl.seed(0)
    W = 0.01 * torch.randn(x.shape[1], hidden, device=x.device)
    b, c = x.new_zeros(x.shape[1]), x.new_zeros(hidden)
    for rows in torch.randperm(len(x)).to(x.device).split(batch_size):
        v = x[rows]
        p = (v @ W + c).sigmoid()
        negatives = (p.bernoulli() @ W.T + b).sigmoid().bernoulli()
        q = (negatives @ W + c).sigmoid()
        W += _RATE / len(v) * (v.T @ p - negatives.T @ q)
        b += _RATE * (v - negatives).mean(0)
        c += _RATE * (p - q).mean(0)
    return W, b, c
