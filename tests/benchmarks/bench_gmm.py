"""EM for a mixture of Gaussians with full covariances: genlib against scikit-learn, and against the
matrix products that it cannot do without.

Rows of K Gaussians, N/K of each; all contenders begin from the same means, weights and covariances,
and take the same number of iterations, in float32 but where it is said.
"""

import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sklearn
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

from genlib.kernels.gmm import gmm_log_joint
from genlib.models import GaussianMixture as Mixture
from tests.benchmarks.harness import compare, memory_of, peak_memory, rounded

GENLIB, PRODUCTS, EAGER = "genlib", "products alone", "eager torch"
SKLEARN, SKLEARN_SINGLE = "scikit-learn, float64", "scikit-learn, float32"
SKLEARN_TORCH = "scikit-learn, torch tensors"
FLOOR = 1e-6


def run(
    device: str,
    rounds: int,
    size: int = 50_000,
    dims: int = 64,
    components: int = 50,
    iterations: int = 10,
    e_step: tuple[int, int, int] = (1_000_000, 64, 200),
) -> dict[str, object]:
    """Measure EM on a CPU, the E-step on a GPU; print tables, return the record."""
    settings = {
        "rounds": rounds,
        "seconds": "median of a fit, or of an E-step; every contender is called once a round",
        "times genlib": "seconds over those of genlib",
        "products alone": "for each component and iteration x W and yᵀ y, N × D × D, nothing else",
        "log-likelihood": "mean of a row before the last M-step, nats",
        "torch tensors": "array_api_dispatch, float32",
        "memory": "most megabytes that a call adds",
    }
    if device == "cuda":
        return {"settings": settings, "results": [_measure_e_step(*e_step, rounds)]}
    case = {"rows": size, "d": dims, "components": components, "iterations": iterations}
    return {"settings": settings, "results": [_measure_fit(case, rounds)]}


def _measure_fit(case: dict[str, int], rounds: int) -> dict[str, object]:
    contenders, found = _fits(*case.values())

    def more(name: str, seconds: float) -> dict[str, object]:
        return {"log-likelihood": rounded(found[name], 9)} if name in found else {}

    return compare(case, contenders, rounds, "cpu", more)


def _fits(
    size: int, dims: int, components: int, iterations: int
) -> tuple[dict[str, Callable[[], None]], dict[str, float]]:
    """Fits from one start, and the log-likelihoods that they come to, once they have run."""
    x, means, covariance = _rows(size, dims, components)
    found: dict[str, float] = {}

    def ours(dtype: torch.dtype, name: str) -> Callable[[], None]:
        rows = x.to(dtype)

        def fit() -> None:
            model = Mixture(components, floor=FLOOR).to(dtype)
            factor = torch.linalg.cholesky(covariance)
            model.log_weights = torch.full((components,), -math.log(components), dtype=dtype)
            model.means = means.to(dtype)
            model.scales = factor.to(dtype).repeat(components, 1, 1)
            history = model.fit(rows, start="current", iterations=iterations, tolerance=0.0)
            found[name] = -history.last["loss"]

        return fit

    def theirs(rows, name: str, convert: Callable[[Tensor], object]) -> Callable[[], None]:
        weights = torch.full((components,), 1 / components, dtype=torch.float64)
        precisions = torch.linalg.inv(covariance).repeat(components, 1, 1)

        def fit() -> None:
            model = GaussianMixture(
                components,
                max_iter=iterations,
                tol=0.0,
                reg_covar=FLOOR,
                init_params="random_from_data",  # drawn, and not used: all is given
                weights_init=convert(weights),
                means_init=convert(means),
                precisions_init=convert(precisions),
            )
            model.fit(rows)
            found[name] = float(model.lower_bound_)

        return fit

    def single(value: Tensor) -> Tensor:
        return value.float()

    def with_torch() -> None:
        with _array_api():
            theirs(x, SKLEARN_TORCH, single)()

    def quiet(call: Callable[[], None]) -> Callable[[], None]:
        def fit() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                call()

        return fit

    calls = {
        GENLIB: ours(torch.float32, GENLIB),
        "genlib, float64": ours(torch.float64, "genlib, float64"),
        PRODUCTS: lambda: _products(x, components, iterations),
        SKLEARN: theirs(x.double().numpy(), SKLEARN, lambda value: value.numpy()),
        SKLEARN_SINGLE: theirs(x.numpy(), SKLEARN_SINGLE, lambda value: value.float().numpy()),
    }
    if os.environ.get("SCIPY_ARRAY_API") == "1":
        calls[SKLEARN_TORCH] = with_torch
    else:
        print("SCIPY_ARRAY_API=1 is not set: scikit-learn takes no torch tensors.")
    return {name: quiet(call) for name, call in calls.items()}, found


def _products(x: Tensor, components: int, iterations: int) -> None:
    w = torch.randn(components, x.shape[1], x.shape[1])
    for _ in range(iterations):
        for each in w:
            y = x @ each
            y.T @ y


def _measure_e_step(size: int, dims: int, components: int, rounds: int) -> dict[str, object]:
    case = {"rows": size, "d": dims, "components": components, "task": "E-step"}

    def more(name: str, seconds: float) -> dict[str, object]:
        return {"memory": memory_of(_peak, size, dims, components, name, device="cuda")}

    return compare(case, _e_steps(size, dims, components), rounds, "cuda", more)


def _peak(size: int, dims: int, components: int, name: str) -> float | None:
    _e_steps(200, dims, components)[name]()
    return peak_memory(_e_steps(size, dims, components)[name], "cuda")


def _e_steps(size: int, dims: int, components: int) -> dict[str, Callable[[], Tensor]]:
    x, means, covariance = (part.cuda() for part in _rows(size, dims, components))
    whitener = torch.linalg.inv(torch.linalg.cholesky(covariance)).mT.float()
    whiteners, peaks = whitener.repeat(components, 1, 1), torch.zeros(components, device="cuda")

    def eager() -> Tensor:
        columns = [(x @ w - m @ w).square().sum(1) for w, m in zip(whiteners, means, strict=True)]
        return peaks - 0.5 * torch.stack(columns, 1)

    means = means.float()
    return {GENLIB: lambda: gmm_log_joint(x, means, whiteners, peaks), EAGER: eager}


def _rows(size: int, dims: int, components: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows in float32; means, some of the rows, and their covariance in float64."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    parts = [
        normal(dims) + normal(size // components, dims) @ normal(dims, dims) / math.sqrt(dims)
        for _ in range(components)
    ]
    x = torch.cat(parts)[torch.randperm(size // components * components, generator=generator)]
    covariance = torch.cov(x.T.double(), correction=0)
    return x, x[:components].double(), covariance


@contextmanager
def _array_api() -> Iterator[None]:
    with sklearn.config_context(array_api_dispatch=True):
        yield
