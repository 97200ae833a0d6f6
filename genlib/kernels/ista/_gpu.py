"""All iterations of a tile of rows by one program, in one launch."""

from __future__ import annotations

from torch import Tensor

from genlib.kernels._dispatch import launch, tl, triton
from genlib.kernels.ista import _blocks
from genlib.kernels.ista._blocks import LOOK

# Rows of a tile and atoms that a program holds at a time; powers of two, 16 at least, where
# `tl.dot` sees them. Products in full float32: steps near the minimum are small against z.
_BLOCK_N, _BLOCK_K = 16, 32
_MOST_DIMS = 128  # a program holds four tiles of rows


@triton.jit
def _iterate_kernel(
    x_ptr, atoms_ptr, z_ptr, gap_ptr, N, D, K, sparsity, step, iterations, tolerance,
    MOMENTUM: tl.constexpr, LOOK: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Codes of a tile of rows. z_ptr holds two iterates, (2, N, K); the last is the first one."""
    n = (tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    d = tl.arange(0, BLOCK_D)
    mask_n, mask_d = n < N, d < D
    tile = n[:, None] * D + d[None, :]
    x = tl.load(x_ptr + tile, mask=mask_n[:, None] & mask_d[None, :], other=0.0)
    # r = x − z A of the start
    r = x
    for start in range(0, K, BLOCK_K):
        k = start + tl.arange(0, BLOCK_K)
        place = n[:, None] * K + k[None, :]
        mask = mask_n[:, None] & (k < K)[None, :]
        z = tl.load(z_ptr + place, mask=mask, other=0.0)
        a = tl.load(
            atoms_ptr + k[:, None] * D + d[None, :],
            mask=(k < K)[:, None] & mask_d[None, :], other=0.0,
        )  # fmt: skip
        r -= tl.dot(z, a, input_precision="ieee")
    before = r
    beta = tl.zeros([BLOCK_N], tl.float32)
    t = beta + 1.0
    enough = tolerance * 0.5 * tl.sum(x * x, 1)
    i = 0
    going = iterations > 0
    while going:
        # The iterate z_i and its forerunner change places at every iteration.
        now = z_ptr + (i % 2) * N.to(tl.int64) * K
        then = z_ptr + ((i + 1) % 2) * N.to(tl.int64) * K
        r_y = r + beta[:, None] * (r - before)
        before = r
        r = x
        uphill = tl.zeros([BLOCK_N], tl.float32)
        for start in range(0, K, BLOCK_K):
            k = start + tl.arange(0, BLOCK_K)
            place = n[:, None] * K + k[None, :]
            mask = mask_n[:, None] & (k < K)[None, :]
            z = tl.load(now + place, mask=mask, other=0.0)
            old = tl.load(then + place, mask=mask, other=0.0)
            a = tl.load(
                atoms_ptr + k[:, None] * D + d[None, :],
                mask=(k < K)[:, None] & mask_d[None, :], other=0.0,
            )  # fmt: skip
            y = z + beta[:, None] * (z - old)
            u = y + step * tl.dot(r_y, tl.trans(a), input_precision="ieee")
            size = tl.maximum(tl.abs(u) - sparsity * step, 0.0)
            new = tl.where(u < 0, -size, size)
            uphill += tl.sum((y - new) * (new - z), 1)
            r -= tl.dot(new, a, input_precision="ieee")
            tl.store(then + place, new, mask=mask)
        tl.debug_barrier()  # what one thread has stored another may load
        if MOMENTUM:
            t = tl.where(uphill > 0, 1.0, t)
            after = (1.0 + tl.sqrt(1.0 + 4.0 * t * t)) / 2.0
            beta = (t - 1.0) / after
            t = after
        i += 1
        going = i < iterations
        if (i % LOOK == 0) | (i == iterations):
            now = z_ptr + (i % 2) * N.to(tl.int64) * K
            largest = tl.zeros([BLOCK_N], tl.float32)
            absolute = tl.zeros([BLOCK_N], tl.float32)
            product = tl.zeros([BLOCK_N], tl.float32)
            for start in range(0, K, BLOCK_K):
                k = start + tl.arange(0, BLOCK_K)
                place = n[:, None] * K + k[None, :]
                mask = mask_n[:, None] & (k < K)[None, :]
                z = tl.load(now + place, mask=mask, other=0.0)
                a = tl.load(
                    atoms_ptr + k[:, None] * D + d[None, :],
                    mask=(k < K)[:, None] & mask_d[None, :], other=0.0,
                )  # fmt: skip
                c = tl.dot(r, tl.trans(a), input_precision="ieee")
                largest = tl.maximum(largest, tl.max(tl.abs(c), 1))
                absolute += tl.sum(tl.abs(z), 1)
                product += tl.sum(z * c, 1)
            s = tl.minimum(sparsity / tl.maximum(largest, 1e-37), 1.0)
            gap = 0.5 * (1.0 - s) * (1.0 - s) * tl.sum(r * r, 1) + sparsity * absolute - s * product
            tl.store(gap_ptr + n, gap, mask=mask_n)
            short = tl.where(mask_n & (gap > enough), 1, 0)
            going = going & (tl.sum(short, 0) > 0)
    if i % 2 == 1:  # the last iterate belongs where the caller looks
        last = z_ptr + N.to(tl.int64) * K
        for start in range(0, K, BLOCK_K):
            k = start + tl.arange(0, BLOCK_K)
            place = n[:, None] * K + k[None, :]
            mask = mask_n[:, None] & (k < K)[None, :]
            tl.store(z_ptr + place, tl.load(last + place, mask=mask, other=0.0), mask=mask)


def ista(
    x: Tensor,
    atoms: Tensor,
    start: Tensor,
    sparsity: float,
    step: float,
    iterations: int,
    tolerance: float,
    momentum: bool,
) -> tuple[Tensor, Tensor]:
    """`_blocks.ista` in one launch; where a row has too many dimensions, an iteration at a time."""
    (n, d), k = x.shape, len(atoms)
    if d > _MOST_DIMS:
        return _blocks.ista(x, atoms, start, sparsity, step, iterations, tolerance, momentum)
    x, atoms = x.contiguous(), atoms.contiguous()
    z, gap = start.repeat(2, 1, 1), x.new_empty(n)
    launch(
        _iterate_kernel, (triton.cdiv(n, _BLOCK_N),), x.device,
        x, atoms, z, gap, n, d, k, sparsity, step, iterations, tolerance,
        MOMENTUM=momentum, **tile(d),
    )  # fmt: skip
    return z[0].clone(), gap


def tile(d: int) -> dict[str, int]:
    """Constants of the kernel for rows in ``d`` dimensions."""
    return {
        "LOOK": LOOK,
        "BLOCK_N": _BLOCK_N,
        "BLOCK_K": _BLOCK_K if d <= 64 else _BLOCK_K // 2,  # as shared memory allows
        "BLOCK_D": max(16, triton.next_power_of_2(d)),
        "num_warps": 4,
    }
