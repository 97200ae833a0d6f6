"""Kernel density estimate: genlib against scikit-learn, pykeops and eager PyTorch.

Standard normal queries and points in d dimensions, float32, bandwidth by Scott's rule. scikit-learn
is set to be exact: one leaf, no tolerances; it computes in float64 on one thread.
"""

import math
from collections.abc import Callable

import torch
from sklearn.neighbors import KernelDensity
from torch import Tensor

from genlib.kernels import kde, log_kernel_sum
from tests.benchmarks.harness import measure, median, peak_memory, table

try:
    from pykeops.torch import LazyTensor
except ImportError:
    LazyTensor = None

GENLIB, SKLEARN, KEOPS, EAGER = "genlib", "scikit-learn", "pykeops", "eager torch"


def run(device: str, rounds: int, size: int = 10_000, dims: tuple[int, ...] = (2, 64)) -> dict:
    """Measure forward at each d, and forward with the gradient in x; print a table."""
    if LazyTensor is None:
        print("pykeops is not installed: it sits this one out.")
    tasks = [
        _measure(task, device, rounds, size, d)
        for d in dims
        for task in ("log density", "gradient")
    ]
    settings = {
        "points": size,
        "queries": size,
        "dtype": "float32",
        "rounds": rounds,
        "bandwidth": "n ** (-1 / (d + 4))",
        "scikit-learn": "KernelDensity(leaf_size=n, rtol=0, atol=0), float64, one thread",
        "error": "largest error of the log density in nats, against float64 differences",
        "memory": "most megabytes that one call adds to the process",
    }
    if device == "cuda":
        settings["roofline"] = " ".join(_roofline.__doc__.split())
    return {"settings": settings, "results": tasks}


def _measure(task: str, device: str, rounds: int, size: int, d: int) -> dict[str, object]:
    generator = torch.Generator().manual_seed(d)
    x, y = (torch.randn(size, d, generator=generator).to(device) for _ in range(2))
    h = torch.tensor(size ** (-1 / (d + 4))).item()  # one that float32 has, for all alike
    contenders = _contenders(x, y, h, task, device)
    seconds = measure(contenders, rounds, device)
    truth = _truth(x, y, h) if task == "log density" else None
    rows = []
    for name, call in contenders.items():
        row = {"task": task, "d": d, "contender": name, "seconds": median(seconds[name])}
        row["times genlib"] = float(f"{row['seconds'] / median(seconds[GENLIB]):.3g}")
        memory = peak_memory(call, device)
        row["memory"] = None if memory is None else round(memory, 1)
        if truth is not None:
            error = (torch.as_tensor(call()).to(truth).flatten() - truth).abs().max().item()
            row["error"] = float(f"{error:.2g}")
        if name == GENLIB and device == "cuda":
            direct = kde._forms(y, torch.full((d,), h))[0]().direct
            row["roofline"] = _roofline(size * size, d, direct, row["seconds"])
        rows.append(row)
    print(table(rows), end="\n\n", flush=True)
    return {
        "task": task,
        "d": d,
        "contenders": {
            row["contender"]: {
                **{key: row[key] for key in list(row)[3:]},
                "all seconds": [float(f"{value:.4g}") for value in seconds[row["contender"]]],
            }
            for row in rows
        },
    }


def _contenders(
    x: Tensor, y: Tensor, h: float, task: str, device: str
) -> dict[str, Callable[[], object]]:
    """Each computes log Σ_j exp(−½‖(x_i − y_j)/h‖²), up to a constant, or its gradient in x."""
    log_m = math.log(len(y))

    def ours(x: Tensor) -> Tensor:
        return log_kernel_sum(x, y, h)

    def eager(x: Tensor) -> Tensor:
        return torch.logsumexp(torch.cdist(x / h, y / h).square() / -2, 1) - log_m

    def keops(x: Tensor) -> Tensor:
        difference = LazyTensor(x[:, None] / h) - LazyTensor(y[None] / h)
        return ((difference**2).sum(-1) / -2).logsumexp(1).flatten() - log_m

    functions = {GENLIB: ours, EAGER: eager} | ({KEOPS: keops} if LazyTensor else {})
    if task == "gradient":
        leaf = x.clone().requires_grad_()
        return {
            name: lambda function=function: torch.autograd.grad(function(leaf).sum(), leaf)
            for name, function in functions.items()
        }
    calls = {name: lambda function=function: function(x) for name, function in functions.items()}
    if device == "cpu":
        model = KernelDensity(bandwidth=h, leaf_size=len(y), rtol=0, atol=0).fit(y.numpy())
        constant = x.shape[1] * (math.log(h) + math.log(2 * math.pi) / 2)
        calls[SKLEARN] = lambda: model.score_samples(x.numpy()) + constant
    return calls


def _truth(x: Tensor, y: Tensor, h: float) -> Tensor:
    """The definition in float64, from differences, some rows at a time."""
    x, y = x.double().cpu() / h, y.double().cpu() / h
    rows = [
        torch.cdist(part, y, compute_mode="donot_use_mm_for_euclid_dist")
        .square()
        .div(-2)
        .logsumexp(1)
        for part in x.split(500)
    ]
    return torch.cat(rows) - math.log(len(y))


def _roofline(pairs: int, d: int, direct: bool, seconds: float) -> float | None:
    """Least time over time taken, for the log density.

    Least is the slower of the arithmetic (3 d FLOP a pair by differences, 2 d by products; a lane
    does two a cycle) and the exponentials (one a pair; a multiprocessor does 16 a cycle). Reading x
    and y once takes less than either.
    """
    properties = torch.cuda.get_device_properties(0)
    if not hasattr(properties, "clock_rate"):
        return None
    lanes = 64 if (properties.major, properties.minor) in ((7, 0), (7, 5), (8, 0)) else 128
    cycles = properties.clock_rate * 1e3 * properties.multi_processor_count
    arithmetic = pairs * d * (3 if direct else 2) / (2 * lanes * cycles)
    return round(max(arithmetic, pairs / (16 * cycles)) / seconds, 3)
