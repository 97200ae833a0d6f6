"""Sparse codes of image patches: genlib against scikit-learn, at the same objective.

Rows are 8 × 8 patches of photographs, each without its mean, in float32; atoms are other such
patches, after some passes of dictionary learning. All contenders minimise ½ ‖x − z A‖² + λ ‖z‖₁.
"""

import time
import warnings
from collections.abc import Callable

import torch
from sklearn.decomposition import sparse_encode
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

import genlib as gl
from genlib.kernels.ista import lasso_active_set, lasso_ista
from tests.benchmarks.harness import compare, median, rounded

ACTIVE_SET, FISTA = "genlib, active set", "genlib, FISTA"
PHOTOS = ("astronaut", "camera", "chelsea", "coffee", "coins", "motorcycle_left", "rocket")


def run(
    device: str,
    rounds: int,
    size: int = 10_000,
    atoms: int = 256,
    sparsities: tuple[float, ...] = (0.1, 0.03),
) -> dict[str, object]:
    """Measure the code step; print tables, return the record."""
    settings = {
        "rounds": rounds,
        "seconds": "median of a call, wall clock; every contender is called once a round",
        "process seconds": "median of the same calls, time of all threads on the processor",
        "times genlib": "seconds over those of the active set",
        "excess": "mean objective over that of the active set, less 1",
        "active": "mean number of atoms of a code",
        "FISTA": "with restarts, to a duality gap of 1e-5 times half the squared row",
        "scikit-learn": "sparse_encode, one job, its own tolerance",
    }
    x, dictionary = _patches(size), _dictionary(atoms)
    results = [_measure(x, dictionary, sparsity, rounds, device) for sparsity in sparsities]
    return {"settings": settings, "results": results}


def _measure(
    x: Tensor, atoms: Tensor, sparsity: float, rounds: int, device: str
) -> dict[str, object]:
    case = {"rows": len(x), "d": x.shape[1], "atoms": len(atoms), "sparsity": sparsity}
    found: dict[str, Tensor] = {}
    spent: dict[str, list[float]] = {}
    least = []

    def timed(name: str, solve: Callable[[], Tensor]) -> Callable[[], None]:
        spent[name] = []

        def call() -> None:
            start = time.process_time()
            found[name] = solve()
            spent[name].append(time.process_time() - start)

        return call

    def more(name: str, seconds: float) -> dict[str, object]:
        z = found[name].double().to(x.device)
        error = 0.5 * (x.double() - z @ atoms.double()).square().sum(1)
        objective = (error + sparsity * z.abs().sum(1)).mean().item()
        least.append(objective)
        return {
            "process seconds": median(spent[name][1:]),
            "excess": rounded(objective / least[0] - 1, 2),
            "active": rounded((z != 0).sum(1).double().mean().item(), 3),
        }

    x, atoms = x.to(device), atoms.to(device)
    contenders = {
        ACTIVE_SET: lambda: lasso_active_set(x, atoms, sparsity).codes,
        FISTA: lambda: lasso_ista(x, atoms, sparsity).codes,
    }
    if device == "cpu":
        for algorithm in ("lasso_lars", "lasso_cd"):
            contenders[f"scikit-learn, {algorithm}"] = _peer(x, atoms, sparsity, algorithm)
    calls = {name: timed(name, solve) for name, solve in contenders.items()}
    return compare(case, calls, rounds, device, more)


def _peer(x: Tensor, atoms: Tensor, sparsity: float, algorithm: str) -> Callable[[], Tensor]:
    """scikit-learn divides alpha by the number of columns, as its own objective is a mean."""
    rows, dictionary = x.numpy(), atoms.numpy()

    def solve() -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            codes = sparse_encode(rows, dictionary, algorithm=algorithm, alpha=sparsity, n_jobs=1)
        return torch.from_numpy(codes)

    return solve


def _patches(size: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    each = -(-size // len(PHOTOS))
    parts = [
        gl.data.patches(gl.data.photo(name, grey=True), 8, n=each, generator=generator).flatten(1)
        for name in PHOTOS
    ]
    x = torch.cat(parts)
    x = x - x.mean(1, keepdim=True)
    return x[torch.randperm(len(x), generator=generator)[:size]]


def _dictionary(atoms: int) -> Tensor:
    gl.seed(0)
    model = gl.SparseCoding(atoms, sparsity=0.1)
    x = _patches(10 * atoms, seed=1)
    model.fit(x[x.norm(dim=1) > 0.1], iterations=10)
    return model.dictionary
