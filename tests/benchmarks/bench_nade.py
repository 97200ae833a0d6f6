"""The NADE scan: genlib against a loop over the pixels and against whole tensors, in PyTorch.

Binarised stroke digits of 28 × 28 pixels, 500 hidden units, float32. The loop is the reference of
the kernel: one step of the running sum after another, differentiated by autograd. The vectorised
version makes all N × D × H hidden units at once.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from genlib.data import strokes
from genlib.kernels.nade import nade_logits, nade_logits_reference, nade_sample
from tests.benchmarks.harness import compare, memory_of, peak_memory, rounded

GENLIB, LOOP, WHOLE = "genlib", "loop over pixels", "vectorised torch"
DENSE, PASSES = "all units for each pixel", "a full pass for each pixel"
TASKS = ("logits", "logits and gradients", "sampling")


def run(
    device: str, rounds: int, size: int = 100, hidden: int = 500, memory: bool = True
) -> dict[str, object]:
    """Measure each task, print tables, return the record."""
    settings = {
        "images": size,
        "pixels": 784,
        "hidden units": hidden,
        "dtype": "float32",
        "rounds": rounds,
        "pixels that are one": rounded(_data(size, hidden, device)[0].mean().item(), 2),
        "sampling": "for each pixel, peers compute all hidden units of the running sum anew, or "
        "make one full pass of genlib's own logits",
        "seconds": "median of a call; every contender is called once a round",
        "times genlib": "seconds over those of genlib",
        "memory": "most megabytes that a call adds, in a process that has made a small one",
        "error": "largest error of a logit against float64",
    }
    results = [_measure(task, device, rounds, size, hidden, memory) for task in TASKS]
    return {"settings": settings, "results": results}


def _measure(
    task: str, device: str, rounds: int, size: int, hidden: int, memory: bool
) -> dict[str, object]:
    given = _data(size, hidden, device)
    contenders = _contenders(task, given)
    truth = nade_logits_reference(*(part.double() for part in given)) if task == "logits" else None

    def more(name: str, seconds: float) -> dict[str, object]:
        row = {}
        if memory:
            row["memory"] = memory_of(_peak, task, device, size, hidden, name, device=device)
        if truth is not None:
            row["error"] = rounded((contenders[name]() - truth).abs().max().item(), 2)
        return row

    return compare({"task": task}, contenders, rounds, device, more)


def _peak(task: str, device: str, size: int, hidden: int, name: str) -> float | None:
    """Megabytes that one call of one contender adds."""
    _contenders(task, _data(10, 8, device))[name]()
    return peak_memory(_contenders(task, _data(size, hidden, device))[name], device)


def _data(size: int, hidden: int, device: str) -> tuple[Tensor, ...]:
    """Images and weights: x, w, c, v, b."""
    x = strokes(2 * size, size=28).binarized().flat().train[:size]
    generator = torch.Generator().manual_seed(0)
    shapes = (784, hidden), (hidden,), (784, hidden), (784,)
    w, c, v, b = (0.05 * torch.randn(*shape, generator=generator) for shape in shapes)
    b += x.mean().logit()  # so that draws have as many ones as the data
    return tuple(part.to(device) for part in (x, w, c, v, b))


def _contenders(task: str, given: tuple[Tensor, ...]) -> dict[str, Callable[[], object]]:
    x, *weights = given
    if task == "sampling":
        u = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
        return {
            GENLIB: lambda: nade_sample(u, *weights),
            DENSE: lambda: _sample_densely(u, *weights),
            PASSES: lambda: _sample_by_passes(u, *weights),
        }
    functions = {GENLIB: nade_logits, LOOP: nade_logits_reference, WHOLE: _vectorised_logits}
    if task == "logits":
        return {name: partial(function, *given) for name, function in functions.items()}
    leaves = [part.clone().requires_grad_() for part in weights]
    return {
        name: lambda function=function: torch.autograd.grad(function(x, *leaves).sum(), leaves)
        for name, function in functions.items()
    }


def _vectorised_logits(x: Tensor, w: Tensor, c: Tensor, v: Tensor, b: Tensor) -> Tensor:
    terms = x[:, :, None] * w
    h = (terms.cumsum(1) - terms + c).sigmoid()
    return (h * v).sum(2) + b


def _sample_densely(u: Tensor, w: Tensor, c: Tensor, v: Tensor, b: Tensor) -> Tensor:
    a, x = c.repeat(len(u), 1), torch.empty_like(u.T)
    h = torch.empty_like(a)
    for i in range(u.shape[1]):
        torch.sigmoid(a, out=h)
        x[i] = u[:, i] < torch.mv(h, v[i]).add_(b[i]).sigmoid_()
        a.addr_(x[i], w[i])
    return x.T


def _sample_by_passes(u: Tensor, w: Tensor, c: Tensor, v: Tensor, b: Tensor) -> Tensor:
    x = torch.zeros_like(u)
    for i in range(u.shape[1]):
        x[:, i] = u[:, i] < nade_logits(x, w, c, v, b)[:, i].sigmoid()
    return x
