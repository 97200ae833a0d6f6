"""Minibatch features: genlib against the plain expression, and against `torch.cdist`.

The plain expression has the differences of all pairs of rows in memory at once, as the usual
implementations do; `torch.cdist`, the distances alone.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from genlib.kernels.pairwise_l1 import minibatch_features
from tests.benchmarks.harness import compare, memory_of, peak_memory, rounded

GENLIB, EAGER, CDIST = "genlib", "eager torch", "torch.cdist"
TASKS = ("features", "features and gradients")
SHAPES = ((256, 100, 5), (64, 100, 5))  # rows, features, values of each


def run(
    device: str,
    rounds: int,
    shapes: Sequence[tuple[int, int, int]] = SHAPES,
    memory: bool = True,
) -> dict[str, object]:
    """Measure the features, and them with their gradients; print tables, return the record."""
    settings = {
        "dtype": "float32",
        "rounds": rounds,
        "seconds": "median of a call; every contender is called once a round",
        "times genlib": "seconds over those of genlib",
        "memory": "most megabytes that a call adds, in a process that has made a small one",
        "error": "largest error, against the definition in float64",
    }
    results = [_measure(shape, task, device, rounds, memory) for shape in shapes for task in TASKS]
    return {"settings": settings, "results": results}


def _measure(
    shape: tuple[int, int, int], task: str, device: str, rounds: int, memory: bool
) -> dict[str, object]:
    m = _data(shape, device)
    contenders, truth = _contenders(task, m), usual_expression(m.double())

    def more(who: str, seconds: float) -> dict[str, object]:
        row = (
            {"memory": memory_of(_peak, shape, task, device, who, device=device)} if memory else {}
        )
        if task == TASKS[0]:
            row["error"] = rounded((contenders[who]().double() - truth).abs().max().item(), 2)
        return row

    rows, features, values = shape
    case = {"rows": rows, "features": features, "values": values, "task": task}
    return compare(case, contenders, rounds, device, more)


def _peak(shape: tuple[int, int, int], task: str, device: str, who: str) -> float | None:
    """Megabytes that one call of one contender adds."""
    _contenders(task, _data((4, 2, shape[2]), device))[who]()
    return peak_memory(_contenders(task, _data(shape, device))[who], device)


def _data(shape: tuple[int, int, int], device: str) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator).to(device)


def _contenders(task: str, m: Tensor) -> dict[str, Callable[[], Tensor]]:
    functions = {GENLIB: minibatch_features, EAGER: usual_expression, CDIST: by_cdist}
    if task == TASKS[0]:
        return {name: lambda function=function: function(m) for name, function in functions.items()}
    leaf = m.clone().requires_grad_()
    return {
        name: lambda function=function: torch.autograd.grad(function(leaf).sum(), leaf)[0]
        for name, function in functions.items()
    }


def usual_expression(m: Tensor) -> Tensor:
    """As in the usual implementations: all differences, and one taken off for the row itself."""
    return (m[:, None] - m[None]).abs().sum(3).neg().exp().sum(1) - 1


def by_cdist(m: Tensor) -> Tensor:
    """By torch's distances, a feature at a time: N × N of them for each."""
    m = m.transpose(0, 1).contiguous()
    return torch.cdist(m, m, p=1.0).neg().exp().sum(2).T - 1
