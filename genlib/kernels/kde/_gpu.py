"""Both passes in Triton: a program takes some rows and walks over some columns."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from genlib.kernels._dispatch import launch, processors, tl, triton
from genlib.kernels.kde._forms import LN_2, Form, Moments, Needs, Points


@triton.jit
def _exponents(
    x_ptr, y_ptr, factor_ptr, y_bias_ptr, x_id_ptr, y_id_ptr,
    n, mask_n, x_bias, m, mask_m,
    dims, stride_xn, stride_xd, stride_ym, stride_yd,
    LEAVE_OUT: tl.constexpr, DIRECT: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """A tile (m, n) of exponents; n, m are int64.

    Lanes of a warp lie along n, so that sums over m mostly stay within a thread.
    """
    y_bias = tl.load(y_bias_ptr + m, mask=mask_m, other=-float("inf"))
    if DIRECT:
        t = y_bias[:, None] + x_bias[None, :]
        x_ptrs, y_ptrs = x_ptr + n * stride_xn, y_ptr + m * stride_ym
        for k in range(dims):
            a = tl.load(x_ptrs, mask=mask_n, other=0.0)
            b = tl.load(y_ptrs, mask=mask_m, other=0.0)
            difference = a[None, :] - b[:, None]
            t -= tl.load(factor_ptr + k) * difference * difference
            x_ptrs += stride_xd
            y_ptrs += stride_yd
    else:
        t = tl.zeros([m.shape[0], n.shape[0]], dtype=tl.float32)
        k = tl.arange(0, BLOCK_K)
        x_ptrs = x_ptr + n[None, :] * stride_xn + k[:, None] * stride_xd
        y_ptrs = y_ptr + m[:, None] * stride_ym + k[None, :] * stride_yd
        for start in range(0, dims, BLOCK_K):
            mask_k = k < dims - start
            a = tl.load(x_ptrs, mask=mask_k[:, None] & mask_n[None, :], other=0.0)
            b = tl.load(y_ptrs, mask=mask_m[:, None] & mask_k[None, :], other=0.0)
            # Added, it would be compiled into one long sum; subtracted, chunks stay apart.
            t -= tl.dot(b, -a, input_precision="ieee")
            x_ptrs += BLOCK_K * stride_xd
            y_ptrs += BLOCK_K * stride_yd
        t += x_bias[None, :]
        t += y_bias[:, None]
    if LEAVE_OUT:
        x_id = tl.load(x_id_ptr + n, mask=mask_n, other=-1)
        y_id = tl.load(y_id_ptr + m, mask=mask_m, other=-2)
        t = tl.where(y_id[:, None] == x_id[None, :], -float("inf"), t)
    return t


@triton.jit
def _log_sum_kernel(
    x_ptr, y_ptr, factor_ptr, x_bias_ptr, y_bias_ptr, x_id_ptr, y_id_ptr, out_ptr,
    N, M, span, dims, stride_xn, stride_xd, stride_ym, stride_yd,
    LEAVE_OUT: tl.constexpr, DIRECT: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Online log₂-sum-exp₂ of a block of rows over a span of columns."""
    n = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    mask_n = n < N
    x_bias = tl.load(x_bias_ptr + n, mask=mask_n, other=0.0)
    top = tl.full([BLOCK_N], -float("inf"), tl.float32)
    total = tl.zeros([BLOCK_N], tl.float64)  # thousands of terms alike would round the same way
    begin = tl.program_id(1) * span
    end = tl.minimum(begin + span, M)
    for start in range(begin, end, BLOCK_M):
        m = (start + tl.arange(0, BLOCK_M)).to(tl.int64)
        t = _exponents(
            x_ptr, y_ptr, factor_ptr, y_bias_ptr, x_id_ptr, y_id_ptr,
            n, mask_n, x_bias, m, m < end,
            dims, stride_xn, stride_xd, stride_ym, stride_yd, LEAVE_OUT, DIRECT, BLOCK_K,
        )  # fmt: skip
        new = tl.maximum(top, tl.max(t, 0))
        shift = tl.where(new == -float("inf"), 0.0, new)  # −∞ − (−∞) would be NaN
        total = total * tl.exp2(top - shift) + tl.sum(tl.exp2(t - shift[None, :]), 0)
        top = new
    f = top + tl.log2(total.to(tl.float32))
    tl.store(out_ptr + tl.program_id(1).to(tl.int64) * N + n, f, mask=mask_n)


@triton.jit
def _moments_kernel(
    x_ptr, y_ptr, factor_ptr, x_bias_ptr, y_bias_ptr, weight_ptr, x_id_ptr, y_id_ptr,
    zeroth_ptr, first_ptr, second_ptr,
    N, M, span, dims, stride_xn, stride_xd, stride_ym, stride_yd,
    LEAVE_OUT: tl.constexpr, DIRECT: tl.constexpr, SECOND: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Moments of x_n − y_m under 2^t weight_m: some rows, some dimensions, a span of columns."""
    n = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    mask_n = n < N
    x_bias = tl.load(x_bias_ptr + n, mask=mask_n, other=-float("inf"))
    lanes = tl.arange(0, BLOCK_D)
    first_dim = tl.program_id(1) * BLOCK_D
    d = (first_dim + lanes).to(tl.int64)
    mask_d = d < dims
    zeroth = tl.zeros([BLOCK_N], tl.float32)
    first = tl.zeros([BLOCK_D, BLOCK_N], tl.float32)
    second = tl.zeros([BLOCK_D, BLOCK_N], tl.float32)
    begin = tl.program_id(2) * span
    end = tl.minimum(begin + span, M)
    for start in range(begin, end, BLOCK_M):
        m = (start + tl.arange(0, BLOCK_M)).to(tl.int64)
        mask_m = m < end
        t = _exponents(
            x_ptr, y_ptr, factor_ptr, y_bias_ptr, x_id_ptr, y_id_ptr,
            n, mask_n, x_bias, m, mask_m,
            dims, stride_xn, stride_xd, stride_ym, stride_yd, LEAVE_OUT, DIRECT, BLOCK_K,
        )  # fmt: skip
        weight = tl.load(weight_ptr + m, mask=mask_m, other=0.0)
        p = tl.exp2(tl.minimum(t, 126.0)) * weight[:, None]
        zeroth += tl.sum(p, 0)
        if DIRECT:
            x_ptrs = x_ptr + n * stride_xn + first_dim.to(tl.int64) * stride_xd
            y_ptrs = y_ptr + m * stride_ym + first_dim.to(tl.int64) * stride_yd
            for lane in range(tl.minimum(dims - first_dim, BLOCK_D)):
                a = tl.load(x_ptrs, mask=mask_n, other=0.0)
                b = tl.load(y_ptrs, mask=mask_m, other=0.0)
                difference = a[None, :] - b[:, None]
                weighted = p * difference
                here = (lanes == lane)[:, None]
                first += tl.where(here, tl.sum(weighted, 0)[None, :], 0.0)
                if SECOND:
                    second += tl.where(here, tl.sum(weighted * difference, 0)[None, :], 0.0)
                x_ptrs += stride_xd
                y_ptrs += stride_yd
        else:
            y_ptrs = y_ptr + m[None, :] * stride_ym + d[:, None] * stride_yd
            b = tl.load(y_ptrs, mask=mask_m[None, :] & mask_d[:, None], other=0.0)
            first += tl.dot(b, p, input_precision="ieee")
            if SECOND:
                second += tl.dot(b * b, p, input_precision="ieee")
    mask = mask_d[:, None] & mask_n[None, :]
    if not DIRECT:  # so far these are moments of y_m alone
        x_ptrs = x_ptr + n[None, :] * stride_xn + d[:, None] * stride_xd
        a = tl.load(x_ptrs, mask=mask, other=0.0)
        second += a * (a * zeroth[None, :] - 2 * first)
        first = a * zeroth[None, :] - first
    row = tl.program_id(2).to(tl.int64) * N + n
    if first_dim == 0:
        tl.store(zeroth_ptr + row, zeroth, mask=mask_n)
    out = row[None, :] * dims + d[:, None]
    tl.store(first_ptr + out, first, mask=mask)
    if SECOND:
        tl.store(second_ptr + out, second, mask=mask)


class Blocks(NamedTuple):
    """Shape of a program's work, in powers of two, and 16 at least where ``tl.dot`` sees them."""

    n: int  # rows
    m: int  # columns at a time
    k: int  # dimensions a product sums
    d: int  # dimensions whose moments a program keeps
    warps: int

    @classmethod
    def of(cls, form: Form, moments: bool) -> "Blocks":
        """A row a thread for differences; for products as much as registers hold, factors too."""
        dims = triton.next_power_of_2(form.dims)
        if form.direct:
            return cls(n=128, m=32, k=16, d=min(16, max(4, dims)), warps=4)
        return cls(n=64, m=16 if moments else 64, k=16, d=min(64, max(16, dims)), warps=8)


def _spans(programs: int, m: int, block: int, device: torch.device) -> tuple[int, int]:
    """Columns that one program walks over, and programs a row: more of them where rows are few."""
    blocks = math.ceil(m / block)
    wanted = max(1, 4 * processors(device) // programs)
    span = math.ceil(blocks / min(blocks, wanted)) * block
    return span, math.ceil(m / span)


def log_sum(form: Form, x: Points, log_w: Tensor, left_out: Tensor | None) -> Tensor:
    """`_tiles.log_sum` in one launch."""
    n, m, blocks = len(x.half), len(log_w), Blocks.of(form, moments=False)
    programs, device = math.ceil(n / blocks.n), log_w.device
    span, splits = _spans(programs, m, blocks.m, device)
    columns = torch.arange(m, device=device)
    out = log_w.new_empty(splits, n)
    launch(
        _log_sum_kernel, (programs, splits), device,
        x.at, form.y.at, log_w.new_tensor(form.factors), -x.half, log_w - form.y.half,
        columns if left_out is None else left_out, columns, out,
        n, m, span, form.dims, *form.by_point(x.at).stride(), *form.by_point(form.y.at).stride(),
        LEAVE_OUT=left_out is not None, DIRECT=form.direct,
        BLOCK_N=blocks.n, BLOCK_M=blocks.m, BLOCK_K=blocks.k, num_warps=blocks.warps,
    )  # fmt: skip
    return (out.double() * LN_2).logsumexp(0) / LN_2


def moments(
    form: Form,
    x: Points,
    f: Tensor,
    g: Tensor,
    w: Tensor,
    left_out: Tensor | None,
    needs: Needs,
) -> Moments:
    """`_tiles.moments`, along rows and along columns: the same kernel with x and y exchanged."""
    rows, columns = (x.at, -x.half - f), (form.y.at, -form.y.half)
    ids = None if left_out is None else (left_out, torch.arange(len(w), device=w.device))
    row = square = column = weight = None
    if needs.x or needs.h:
        _, first, second = _one_sided_moments(form, rows, columns, w, ids, needs.h)
        row = form.by_point(first * g[:, None])
        square = g.double() @ second.double()
    if needs.y or needs.w:
        # With w_j in the exponents nothing overflows; where w_j = 0, only ∂f/∂w_j can, and may.
        counts = w > 0
        counted = w.where(counts, 1)
        columns = (form.y.at, counted.log2() - form.y.half)
        zeroth, first, _ = _one_sided_moments(form, columns, rows, g, ids and ids[::-1], False)
        weight, column = zeroth / counted, form.by_point(first.where(counts[:, None], 0))
    return Moments(row, column, square, weight)


def _one_sided_moments(
    form: Form,
    outer: tuple[Tensor, Tensor],
    inner: tuple[Tensor, Tensor],
    weight: Tensor,
    ids: tuple[Tensor, Tensor] | None,
    second_needed: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Moments of outer − inner points of order 0, 1 and, where needed, 2: (n,), (n, d), (n, d)."""
    (x, x_bias), (y, y_bias) = outer, inner
    n, m, blocks = len(x_bias), len(y_bias), Blocks.of(form, moments=True)
    programs = math.ceil(n / blocks.n), math.ceil(form.dims / blocks.d)
    span, splits = _spans(math.prod(programs), m, blocks.m, x.device)
    zeroth, first = x.new_empty(splits, n), x.new_empty(splits, n, form.dims)
    second = torch.empty_like(first) if second_needed else first
    launch(
        _moments_kernel, (*programs, splits), x.device,
        x, y, x.new_tensor(form.factors), x_bias, y_bias, weight, *(ids or (weight, weight)),
        zeroth, first, second,
        n, m, span, form.dims, *form.by_point(x).stride(), *form.by_point(y).stride(),
        LEAVE_OUT=ids is not None, DIRECT=form.direct, SECOND=second_needed,
        BLOCK_N=blocks.n, BLOCK_M=blocks.m, BLOCK_K=blocks.k, BLOCK_D=blocks.d,
        num_warps=blocks.warps,
    )  # fmt: skip
    return zeroth.sum(0), first.sum(0), second.sum(0)
