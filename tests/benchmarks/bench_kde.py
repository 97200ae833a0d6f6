"""Kernel density estimate: genlib against scikit-learn, SciPy, pykeops and eager PyTorch.

Standard normal queries and points in d dimensions, float32, bandwidth by Scott's rule. scikit-learn
is set to be exact: one leaf, no tolerances; it computes in float64 on one thread, as SciPy does.
"""

import math
from collections.abc import Callable

import torch
from scipy.stats import gaussian_kde
from sklearn.neighbors import KernelDensity
from torch import Tensor

from genlib.kernels.kde import log_kernel_sum
from genlib.kernels.kde._passes import forms_for
from tests.benchmarks.harness import compare, memory_of, peak_memory, rounded

try:
    from pykeops.torch import LazyTensor
except ImportError:
    LazyTensor = None

GENLIB, SKLEARN, KEOPS, EAGER = "genlib", "scikit-learn", "pykeops", "eager torch"
TASKS = ("log density", "gradient")
SMALL_DIMS, CALLS = (2, 8), 100


def run(
    device: str,
    rounds: int,
    size: int = 10_000,
    dims: tuple[int, ...] = (2, 64),
    memory: bool = True,
    small: tuple[tuple[int, int], ...] = ((1, 100), (100, 100)),
) -> dict[str, object]:
    """Measure the log density and its gradient in x at each d; on a CPU what small inputs cost, on
    a GPU five times as many points too. Print tables, return the record.
    """
    if LazyTensor is None:
        print("pykeops is not installed: it sits this one out.")
    settings = {
        "queries": "as many as points",
        "dtype": "float32",
        "rounds": rounds,
        "bandwidth": "n ** (-1 / (d + 4))",
        "scikit-learn": "KernelDensity(leaf_size=n, rtol=0, atol=0), float64, one thread",
        "seconds": "median of a call; every contender is called once a round",
        "small": f"so many queries and points; seconds of {CALLS} calls",
        "SciPy": "gaussian_kde, float64; its bandwidth follows the covariance of the points",
        "times genlib": "seconds over those of genlib",
        "memory": "most megabytes that a call adds, in a process that has made a small one",
        "error": "largest error in nats, against float64 differences",
    }
    if device == "cuda":
        settings["roofline"] = " ".join(_roofline.__doc__.split())
    sizes = (size, 5 * size) if device == "cuda" else (size,)
    cases = [(task, d, points) for points in sizes for d in dims for task in TASKS]
    results = [_measure(task, d, device, rounds, points, memory) for task, d, points in cases]
    if device == "cpu":
        results += [_measure_small(n, m, d, rounds) for n, m in small for d in SMALL_DIMS]
    return {"settings": settings, "results": results}


def _measure_small(n: int, m: int, d: int, rounds: int) -> dict[str, object]:
    x, y, h = _data(m, d, "cpu")
    x, scipy = x[:n], gaussian_kde(y.numpy().T)
    calls = _contenders("log density", x, y, h) | {"SciPy": lambda: scipy.logpdf(x.numpy().T)}
    contenders = {
        name: lambda call=call: [call() for _ in range(CALLS)] for name, call in calls.items()
    }
    case = {"task": "small", "queries": n, "points": m, "d": d}
    return compare(case, contenders, rounds, "cpu", lambda name, seconds: {})


def _measure(
    task: str, d: int, device: str, rounds: int, size: int, memory: bool
) -> dict[str, object]:
    x, y, h = _data(size, d, device)
    contenders = _contenders(task, x, y, h)
    truth = _truth(x, y, h) if task == "log density" else None

    def more(name: str, seconds: float) -> dict[str, object]:
        row = (
            {"memory": memory_of(_peak, task, d, device, size, name, device=device)}
            if memory
            else {}
        )
        if truth is not None:
            error = torch.as_tensor(contenders[name]()).to(truth).flatten() - truth
            row["error"] = rounded(error.abs().max().item(), 2)
            if name == GENLIB and device == "cuda":
                row["roofline"] = _roofline(y, seconds)
        return row

    return compare({"task": task, "points": size, "d": d}, contenders, rounds, device, more)


def _peak(task: str, d: int, device: str, size: int, name: str) -> float | None:
    """Megabytes that one call of one contender adds."""
    _contenders(task, *_data(200, d, device))[name]()
    return peak_memory(_contenders(task, *_data(size, d, device))[name], device)


def _data(size: int, d: int, device: str) -> tuple[Tensor, Tensor, float]:
    """Queries, points, and a bandwidth that float32 has, so that it is the same for all."""
    generator = torch.Generator().manual_seed(d)
    x, y = (torch.randn(size, d, generator=generator).to(device) for _ in range(2))
    return x, y, torch.tensor(size ** (-1 / (d + 4))).item()


def _contenders(task: str, x: Tensor, y: Tensor, h: float) -> dict[str, Callable[[], object]]:
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
    if x.device.type == "cpu":
        model = KernelDensity(bandwidth=h, leaf_size=len(y), rtol=0, atol=0).fit(y.numpy())
        constant = x.shape[1] * (math.log(h) + math.log(2 * math.pi) / 2)
        calls[SKLEARN] = lambda: model.score_samples(x.numpy()) + constant
    return calls


def _truth(x: Tensor, y: Tensor, h: float) -> Tensor:
    """The definition in float64, from differences, some rows at a time."""
    x, y = x.double() / h, y.double() / h
    rows = [
        torch.cdist(part, y, compute_mode="donot_use_mm_for_euclid_dist")
        .square()
        .div(-2)
        .logsumexp(1)
        for part in x.split(500)
    ]
    return torch.cat(rows) - math.log(len(y))


def _roofline(y: Tensor, seconds: float) -> float | None:
    """Least time over time taken, for the log density.

    Least is the slower of the arithmetic (3 d FLOP a pair by differences, 2 d by products; a lane
    does two a cycle) and the exponentials (one a pair; a multiprocessor does 16 a cycle). Reading x
    and y once takes less than either.
    """
    properties = torch.cuda.get_device_properties(y.device)
    if not hasattr(properties, "clock_rate"):
        return None
    (size, d), cycles = y.shape, properties.clock_rate * 1e3 * properties.multi_processor_count
    lanes = 64 if (properties.major, properties.minor) in ((7, 0), (7, 5), (8, 0)) else 128
    differences = forms_for(y, y.new_ones(d))[0]().direct
    arithmetic = (3 if differences else 2) * d / (2 * lanes)
    return rounded(size**2 * max(arithmetic, 1 / 16) / cycles / seconds, 3)
