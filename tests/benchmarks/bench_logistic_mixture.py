"""Discretised logistic mixture: genlib against the expression that PixelCNN++ code uses.

Grey images of 28 × 28 and colour images of 32 × 32, ten components, float32; half of the pixels
black or white, as in drawings. The expression computes both sigmoids, takes the logarithm of their
difference where it exceeds 1e-5, and elsewhere the density at the centre of the bin.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from genlib.kernels.logistic_mixture import logistic_mixture_log_prob
from tests.benchmarks.harness import compare, memory_of, peak_memory, rounded

GENLIB, EAGER = "genlib", "eager torch"
SHAPES = {"grey": (64, 1, 28), "colour": (16, 3, 32)}
TASKS = ("log-probability", "gradients")
COMPONENTS, LEVELS = 10, 256


def run(device: str, rounds: int, memory: bool = True) -> dict[str, object]:
    """Measure the log-probability, and it with its gradients; print tables, return the record."""
    settings = {
        "components": COMPONENTS,
        "levels": LEVELS,
        "dtype": "float32",
        "rounds": rounds,
        "shapes": {name: list(shape) for name, shape in SHAPES.items()},
        "seconds": "median of a call; every contender is called once a round",
        "times genlib": "seconds over those of genlib",
        "memory": "most megabytes that a call adds, in a process that has made a small one",
        "error": "largest error in nats, against genlib in float64",
    }
    cases = [(name, task) for name in SHAPES for task in TASKS]
    results = [_measure(*case, device, rounds, memory) for case in cases]
    return {"settings": settings, "results": results}


def _measure(name: str, task: str, device: str, rounds: int, memory: bool) -> dict[str, object]:
    given = _data(*SHAPES[name], device)
    contenders = _contenders(task, given)
    truth = logistic_mixture_log_prob(*[part.double() for part in given], LEVELS)

    def more(who: str, seconds: float) -> dict[str, object]:
        row = {"memory": memory_of(_peak, name, task, device, who, device=device)} if memory else {}
        if task == TASKS[0]:
            row["error"] = rounded((contenders[who]().double() - truth).abs().max().item(), 2)
        return row

    return compare({"images": name, "task": task}, contenders, rounds, device, more)


def _peak(name: str, task: str, device: str, who: str) -> float | None:
    """Megabytes that one call of one contender adds."""
    n, colours, side = SHAPES[name]
    _contenders(task, _data(1, colours, 4, device))[who]()
    return peak_memory(_contenders(task, _data(n, colours, side, device))[who], device)


def _data(n: int, colours: int, side: int, device: str) -> list[Tensor]:
    """Pixels, logits, means and log-scales."""
    generator = torch.Generator().manual_seed(0)
    level = torch.randint(LEVELS, (n, colours, side, side), generator=generator)
    level[:, :, : side // 4], level[:, :, side // 4 : side // 2] = 0, LEVELS - 1
    logits = torch.randn(n, COMPONENTS, side, side, generator=generator)
    shape = (n, colours, COMPONENTS, side, side)
    means = torch.rand(shape, generator=generator)
    scales = 0.5 * torch.randn(shape, generator=generator) - 3
    return [part.to(device) for part in (level / (LEVELS - 1), logits, means, scales)]


def _contenders(task: str, given: list[Tensor]) -> dict[str, Callable[[], object]]:
    functions = {GENLIB: logistic_mixture_log_prob, EAGER: usual_expression}
    if task == TASKS[0]:
        return {
            name: lambda function=function: function(*given) for name, function in functions.items()
        }
    x, *rest = given
    leaves = [part.clone().requires_grad_() for part in rest]
    return {
        name: lambda function=function: torch.autograd.grad(function(x, *leaves).sum(), leaves)
        for name, function in functions.items()
    }


def usual_expression(x: Tensor, logits: Tensor, means: Tensor, log_scales: Tensor) -> Tensor:
    """As published: a difference of sigmoids, with a way out where it cancels."""
    x, half = x.unsqueeze(2), 0.5 / (LEVELS - 1)
    centred, inverse = x - means, torch.exp(-log_scales)
    upper, lower, middle = (
        inverse * (centred + half),
        inverse * (centred - half),
        inverse * centred,
    )
    inside = torch.sigmoid(upper) - torch.sigmoid(lower)
    density = middle - log_scales - 2 * F.softplus(middle) - math.log(LEVELS - 1)
    mass = torch.where(inside > 1e-5, inside.clamp_min(1e-12).log(), density)
    mass = torch.where(x > 0.999, -F.softplus(lower), mass)
    mass = torch.where(x < 0.001, upper - F.softplus(upper), mass)
    return torch.logsumexp(mass.sum(1) + F.log_softmax(logits, 1), 1)
