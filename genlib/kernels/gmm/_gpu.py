"""The passes in Triton: a program whitens a tile of rows, for one component after the other."""

from __future__ import annotations

import torch
from torch import Tensor

from genlib.kernels._dispatch import launch, processors, tl, triton

# Rows of a tile, columns of W that a program holds, and the depth of a product; powers of two, 16
# at least, where `tl.dot` sees them. Products in full float32: what tensor cores round to ten bits
# would be gone from the small eigenvalues.
_BLOCK_N, _BLOCK_E, _BLOCK_D = 64, 64, 16


@triton.jit
def _whitened(
    x_ptr, mean_ptr, whitener_ptr, n, mask_n, e, D,
    BLOCK_N: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Columns ``e`` of y = (x_n − μ) W, (BLOCK_N, BLOCK_E); zero in rows that are none."""
    y = tl.zeros([BLOCK_N, BLOCK_E], tl.float32)
    for start in range(0, D, BLOCK_D):
        d = start + tl.arange(0, BLOCK_D)
        mask_d = d < D
        x_mask = mask_n[:, None] & mask_d[None, :]
        x = tl.load(x_ptr + n[:, None] * D + d[None, :], mask=x_mask, other=0.0)
        mean = tl.load(mean_ptr + d, mask=mask_d, other=0.0)
        difference = tl.where(x_mask, x - mean[None, :], 0.0)
        w_mask = mask_d[:, None] & (e < D)[None, :]
        w = tl.load(whitener_ptr + d[:, None] * D + e[None, :], mask=w_mask, other=0.0)
        y += tl.dot(difference, w, input_precision="ieee")
    return y


@triton.jit
def _log_joint_kernel(
    x_ptr, means_ptr, whiteners_ptr, log_peaks_ptr, out_ptr, N, D, K,
    BLOCK_N: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """t_nk of a tile of rows, for the components that are this program's."""
    n = (tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    mask_n = n < N
    for k in range(tl.program_id(1), K, tl.num_programs(1)):
        square = tl.zeros([BLOCK_N], tl.float32)
        for start in range(0, D, BLOCK_E):
            e = start + tl.arange(0, BLOCK_E)
            y = _whitened(
                x_ptr, means_ptr + k * D, whiteners_ptr + k * D * D, n, mask_n, e, D,
                BLOCK_N, BLOCK_E, BLOCK_D,
            )  # fmt: skip
            square += tl.sum(y * y, 1)
        t = tl.load(log_peaks_ptr + k) - 0.5 * square
        tl.store(out_ptr + n * K + k, t, mask=mask_n)


@triton.jit
def _moments_kernel(
    x_ptr, means_ptr, whiteners_ptr, r_ptr, first_ptr, second_ptr, N, D, K, rows_each,
    BLOCK_N: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Σ r y and a tile of Σ r yᵀ y, of one component and a span of rows."""
    k, tiles = tl.program_id(0), tl.cdiv(D, BLOCK_E)
    e = tl.program_id(1) // tiles * BLOCK_E + tl.arange(0, BLOCK_E)
    f = tl.program_id(1) % tiles * BLOCK_E + tl.arange(0, BLOCK_E)
    begin = tl.program_id(2) * rows_each
    end = tl.minimum(begin + rows_each, N)
    mean_ptr, whitener_ptr = means_ptr + k * D, whiteners_ptr + k * D * D
    first = tl.zeros([BLOCK_E], tl.float32)
    second = tl.zeros([BLOCK_E, BLOCK_E], tl.float32)
    for start in range(begin, end, BLOCK_N):
        n = (start + tl.arange(0, BLOCK_N)).to(tl.int64)
        mask_n = n < end
        r = tl.load(r_ptr + n * K + k, mask=mask_n, other=0.0)
        a = _whitened(x_ptr, mean_ptr, whitener_ptr, n, mask_n, e, D, BLOCK_N, BLOCK_E, BLOCK_D)
        b = _whitened(x_ptr, mean_ptr, whitener_ptr, n, mask_n, f, D, BLOCK_N, BLOCK_E, BLOCK_D)
        weighted = a * r[:, None]
        first += tl.sum(weighted, 0)
        second += tl.dot(tl.trans(weighted), b, input_precision="ieee")
    part = tl.program_id(2).to(tl.int64) * K + k
    mask_e, mask_f = e < D, f < D
    if tl.program_id(1) % tiles == 0:
        tl.store(first_ptr + part * D + e, first, mask=mask_e)
    out = (part * D + e)[:, None] * D + f[None, :]
    tl.store(second_ptr + out, second, mask=mask_e[:, None] & mask_f[None, :])


def log_joint(x: Tensor, means: Tensor, whiteners: Tensor, log_peaks: Tensor) -> Tensor:
    """`_blocks.log_joint` in one launch."""
    x, means, whiteners, log_peaks = (
        part.contiguous() for part in (x, means, whiteners, log_peaks)
    )
    (n, d), k = x.shape, len(means)
    tiles = triton.cdiv(n, _BLOCK_N)
    splits = max(1, min(k, 4 * processors(x.device) // tiles))
    out = x.new_empty(n, k)
    launch(
        _log_joint_kernel, (tiles, splits), x.device,
        x, means, whiteners, log_peaks, out, n, d, k, **_tile(),
    )  # fmt: skip
    return out


def moments(
    x: Tensor, means: Tensor, whiteners: Tensor, log_peaks: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`_blocks.moments`: one launch for the responsibilities, one for their sums."""
    x, means, whiteners = (part.contiguous() for part in (x, means, whiteners))
    (n, d), k = x.shape, len(means)
    t = log_joint(x, means, whiteners, log_peaks)
    log_p = t.logsumexp(1)
    r = t.sub_(log_p[:, None]).exp_()
    tiles = triton.cdiv(d, _BLOCK_E)
    row_tiles = triton.cdiv(n, _BLOCK_N)
    wanted = max(1, 4 * processors(x.device) // (k * tiles * tiles))
    rows_each = triton.cdiv(row_tiles, min(row_tiles, wanted)) * _BLOCK_N
    parts = triton.cdiv(n, rows_each)
    first, second = x.new_empty(parts, k, d), x.new_empty(parts, k, d, d)
    launch(
        _moments_kernel, (k, tiles * tiles, parts), x.device,
        x, means, whiteners, r, first, second, n, d, k, rows_each, **_tile(),
    )  # fmt: skip
    sums = (r.sum(0, dtype=torch.float64), *(each.double().sum(0) for each in (first, second)))
    return log_p, *sums


def _tile() -> dict[str, int]:
    return {"BLOCK_N": _BLOCK_N, "BLOCK_E": _BLOCK_E, "BLOCK_D": _BLOCK_D, "num_warps": 4}
