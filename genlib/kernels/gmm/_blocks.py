"""Rows and components in blocks that fit into a cache, on as many threads as torch uses."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from genlib.kernels._threads import parallel_map

_IN_CACHE = 2**18  # whitened values of a block
_LEAST = 64  # rows of a block: fewer, and reading a whitener costs more than the product with it
_SUMMED = 2**13  # rows whose moments are added up in the dtype of x; beyond them in float64


def log_joint(x: Tensor, means: Tensor, whiteners: Tensor, log_peaks: Tensor) -> Tensor:
    """log_peaks_k − ½ ‖(x_n − μ_k) W_k‖², (N, K)."""
    out = x.new_empty(len(x), len(means))

    def compute(rows: slice) -> None:
        for part in _row_blocks(x[rows], rows.start, 1):
            for ks in _component_blocks(means, part.stop - part.start):
                y = _whitened(x[part], means[ks], whiteners[ks])
                out[part, ks] = _exponents(y, log_peaks[ks]).T

    parallel_map(compute, _parts(x, means), x.device)
    return out


def gradients(
    g: Tensor, x: Tensor, means: Tensor, whiteners: Tensor, needs: list[bool]
) -> list[Tensor]:
    """Gradients of Σ g_nk t_nk with respect to x, means and whiteners; empty where not needed."""
    needs_x, needs_means, needs_whiteners = needs
    dx = torch.zeros_like(x) if needs_x else x.new_empty(0)

    def compute(rows: slice) -> tuple[Tensor, Tensor]:
        dm = torch.zeros_like(means)
        dw = torch.zeros_like(whiteners) if needs_whiteners else whiteners.new_empty(0)
        for part in _row_blocks(x[rows], rows.start, 1):
            for ks in _component_blocks(means, part.stop - part.start):
                difference = x[part] - means[ks, None]
                y = difference @ whiteners[ks]
                weighted = y * g[part, ks].T[..., None]
                if needs_whiteners:
                    dw[ks].baddbmm_(difference.mT, weighted, alpha=-1)
                if needs_x or needs_means:
                    pull = weighted @ whiteners[ks].mT  # −∂/∂x of each exponent, weighted
                    dm[ks] += pull.sum(1)
                    if needs_x:
                        dx[part] -= pull.sum(0)
        return dm, dw

    parts = parallel_map(compute, _parts(x, means), x.device)
    sums = [sum(each) for each in zip(*parts, strict=True)]
    return [dx, sums[0] if needs_means else x.new_empty(0), sums[1]]


def moments(
    x: Tensor, means: Tensor, whiteners: Tensor, log_peaks: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """log p(x_n), and the sums over n of r_nk, r_nk y_nk and r_nk y_nk y_nkᵀ in float64."""
    log_p = x.new_empty(len(x))

    def compute(rows: slice) -> list[Tensor]:
        totals = [x.new_zeros(shape, dtype=torch.float64) for shape in _shapes(means)]
        for start in range(rows.start, rows.stop, _SUMMED):
            sums = [x.new_zeros(shape) for shape in _shapes(means)]
            chunk = x[start : min(start + _SUMMED, rows.stop)]
            for part in _row_blocks(chunk, start, len(means)):
                log_p[part] = _add_moments(sums, x[part], means, whiteners, log_peaks)
            for total, each in zip(totals, sums, strict=True):
                total += each
        return totals

    parts = parallel_map(compute, _parts(x, means), x.device)
    return log_p, *(sum(each) for each in zip(*parts, strict=True))


def _add_moments(
    sums: list[Tensor], x: Tensor, means: Tensor, whiteners: Tensor, log_peaks: Tensor
) -> Tensor:
    """Add what a block of rows contributes to the moments; return its log p(x), (n,)."""
    zeroth, first, second = sums
    y = _whitened(x, means, whiteners)
    t = _exponents(y, log_peaks)
    log_p = t.logsumexp(0)
    r = t.sub_(log_p).exp_()
    zeroth += r.sum(1)
    first += torch.bmm(r[:, None], y)[:, 0]
    y.mul_(r.sqrt_()[..., None])
    second.baddbmm_(y.mT, y)
    return log_p


def _whitened(x: Tensor, means: Tensor, whiteners: Tensor) -> Tensor:
    """y_nk = (x_n − μ_k) W_k, (K, n, D). Differences first: nothing cancels afterwards."""
    return torch.bmm(x - means[:, None], whiteners)


def _exponents(y: Tensor, log_peaks: Tensor) -> Tensor:
    """t_nk, (K, n)."""
    return torch.linalg.vector_norm(y, dim=-1).square_().mul_(-0.5).add_(log_peaks[:, None])


def _shapes(means: Tensor) -> list[tuple[int, ...]]:
    k, d = means.shape
    return [(k,), (k, d), (k, d, d)]


def _parts(x: Tensor, means: Tensor) -> list[slice]:
    """Rows of each thread."""
    count = min(len(x), torch.get_num_threads()) if len(x) * means.numel() >= 2**16 else 1
    ends = [len(x) * i // count for i in range(count + 1)]
    return [slice(*pair) for pair in itertools.pairwise(ends)]


def _row_blocks(x: Tensor, start: int, components: int) -> list[slice]:
    """Blocks of rows of ``x``, which begins at row ``start``, for so many components at a time."""
    size = max(_LEAST, _IN_CACHE // (components * x.shape[1]))
    size = min(size, 512)
    return [slice(start + i, start + min(i + size, len(x))) for i in range(0, len(x), size)]


def _component_blocks(means: Tensor, rows: int) -> list[slice]:
    size = max(1, _IN_CACHE // (rows * means.shape[1]))
    return [slice(i, i + size) for i in range(0, len(means), size)]
