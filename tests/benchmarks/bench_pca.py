"""Principal components of 50,000 rows of 784 values: genlib against scikit-learn, method by method.

Rows in float32 whose spectrum falls like that of photographs, k^−1.
"""

import time
from collections.abc import Callable

import torch
from sklearn.decomposition import PCA as Peer
from torch import Tensor

from genlib.models import PCA
from tests.benchmarks.harness import compare, rounded

PAIRS = {"svd": "full", "eigen": "covariance_eigh", "randomized": "randomized"}


def run(
    device: str, rounds: int, size: int = 50_000, dims: int = 784, components: int = 50
) -> dict[str, object]:
    """Measure fits on a CPU; print tables, return the record."""
    settings = {
        "rounds": rounds,
        "seconds": "median of a fit; every contender is called once a round",
        "process seconds": "of all threads, one call",
        "times genlib": "seconds over those of genlib",
        "variance": "share of the rows' variance that the directions hold, computed in float64",
    }
    x = rows(size, dims)
    apart = x.double() - x.double().mean(0)
    cases = [_measure(x, apart, components, ours, theirs, rounds) for ours, theirs in PAIRS.items()]
    return {"settings": settings, "results": cases}


def _measure(
    x: Tensor, apart: Tensor, components: int, ours: str, theirs: str, rounds: int
) -> dict[str, object]:
    found: dict[str, Tensor] = {}
    array = x.numpy()

    def genlib() -> None:
        model = PCA(components, ours)
        model.fit(x)
        found[f"genlib, {ours}"] = model.directions

    def peer() -> None:
        model = Peer(components, svd_solver=theirs).fit(array)
        found[f"scikit-learn, {theirs}"] = torch.from_numpy(model.components_)

    contenders: dict[str, Callable[[], None]] = {
        f"genlib, {ours}": genlib,
        f"scikit-learn, {theirs}": peer,
    }

    def more(name: str, seconds: float) -> dict[str, object]:
        codes = apart @ found[name].double().T
        start = time.process_time()
        contenders[name]()
        taken = time.process_time() - start
        share = (codes.square().sum() / apart.square().sum()).item()
        return {"process seconds": rounded(taken, 4), "variance": rounded(share, 8)}

    case = {"rows": len(x), "d": x.shape[1], "components": components}
    return compare(case, contenders, rounds, "cpu", more)


def rows(size: int, dims: int) -> Tensor:
    """Rows whose k-th singular value is in proportion to 1/k, around a mean that is not zero."""
    generator = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(dims, dims, generator=generator)).Q
    scaled = torch.randn(size, dims, generator=generator) / torch.arange(1, dims + 1)
    return scaled @ rotation + 0.1
