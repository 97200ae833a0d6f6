"""The kernel's definition in extended precision, and the accuracy that is promised against it."""

import numpy as np
import torch
from torch import Tensor

PROMISE = {torch.float32: 1e-5, torch.float64: 2e-14}


def log_kernel_sum(x, y, h, w=None, leave_one_out=False) -> np.ndarray:
    """log Σ_j w_j exp(−½‖(x_i − y_j)/h‖²), from differences, in NumPy's widest floats."""
    x, y, h = (np.asarray(_plain(part), dtype=np.longdouble) for part in (x, y, h))
    w = np.full(len(y), 1 / np.longdouble(len(y))) if w is None else _plain(w).astype(np.longdouble)
    h = np.broadcast_to(h, x.shape[1:])
    energy = np.zeros((len(x), len(y)), dtype=np.longdouble)
    for k in range(x.shape[1]):
        energy += ((x[:, k, None] - y[:, k]) / h[k]) ** 2 / 2
    if leave_one_out:
        np.fill_diagonal(energy, np.inf)
    with np.errstate(divide="ignore"):
        exponents = np.log(w) - energy
    top = exponents.max(1)
    shift = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        return shift + np.log(np.exp(exponents - shift[:, None]).sum(1))


def excess(found: Tensor, expected: np.ndarray) -> float:
    """Largest error over the promised one, which is relative to max(1, |expected|)."""
    assert found.isfinite().all()
    error = np.abs(_plain(found).astype(np.longdouble) - expected)
    return float((error / np.maximum(1, np.abs(expected))).max() / PROMISE[found.dtype])


def _plain(value) -> np.ndarray:
    return value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
