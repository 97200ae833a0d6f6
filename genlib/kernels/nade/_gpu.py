"""The scan in Triton: spans of values side by side, each from the sum of all that came before."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from genlib.kernels._dispatch import launch, processors, tl, triton

# Shape of a program's work, in powers of two: values, rows, units. The spans are scanned side by
# side, each from a sum that is kept: N · D · H / _SPAN numbers, for ROWS rows at a time.
_SPAN, _BLOCK_N, _BLOCK_H = 32, 32, 32
ROWS = 1024


@triton.jit
def _add(ptrs, values, mask):
    tl.store(ptrs, tl.load(ptrs, mask=mask, other=0.0) + values, mask=mask)


@triton.jit
def _scan_kernel(
    x_ptr, w_ptr, c_ptr, v_ptr, sums_ptr, logits_ptr, N, D, H, stride_cd,
    LOGITS: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_H: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Scan a span of values for some rows and units; x and logits are (D, N), sums (spans, N, H).

    Without LOGITS: Σ x_i W_i over the span, into sums. With it: what the units contribute to the
    logits of the span, from the sums at its start.
    """
    span = tl.program_id(2).to(tl.int64)
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    h = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    mask_n, mask_h = n < N, h < H
    mask = mask_n[:, None] & mask_h[None, :]
    sums_ptrs = sums_ptr + (span * N + n)[:, None] * H + h[None, :]
    logits_ptr += tl.program_id(1).to(tl.int64) * D * N
    if LOGITS:
        a = tl.load(sums_ptrs, mask=mask, other=0.0)
    else:
        a = tl.zeros([BLOCK_N, BLOCK_H], tl.float32)
    for i in range(span * SPAN, tl.minimum((span + 1) * SPAN, D)):
        if LOGITS:
            c = tl.load(c_ptr + i * stride_cd + h, mask=mask_h, other=0.0)
            v = tl.load(v_ptr + i * H + h, mask=mask_h, other=0.0)
            logits = tl.sum(tl.sigmoid(a + c[None, :]) * v[None, :], 1)
            tl.store(logits_ptr + i * N + n, logits, mask=mask_n)
        x = tl.load(x_ptr + i * N + n, mask=mask_n, other=0.0)
        w = tl.load(w_ptr + i * H + h, mask=mask_h, other=0.0)
        a += x[:, None] * w[None, :]
    if not LOGITS:
        tl.store(sums_ptrs, a, mask=mask)


@triton.jit
def _gradients_kernel(
    dlogits_ptr, x_ptr, w_ptr, c_ptr, v_ptr, ends_ptr, later_ptr, dx_ptr, dw_ptr, dc_ptr, dv_ptr,
    N, D, H, stride_cd, rows_each,
    LATER: tl.constexpr, NEEDS_X: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_H: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Gradients of a span of values from some units and some rows; dlogits, x and dx are (D, N).

    Without LATER: those of v and, one for each value, of c; and Σ δ over the span, into later_ptr.
    With it: those of w and x, from the Σ δ of later spans that stand in later_ptr. A program alone
    writes its entries, row tile after row tile: the result is the same every time.
    """
    span = tl.program_id(2).to(tl.int64)
    h = tl.program_id(0) * BLOCK_H + tl.arange(0, BLOCK_H)
    mask_h = h < H
    begin = tl.program_id(1) * rows_each
    end = tl.minimum(begin + rows_each, N)
    dx_ptr += tl.program_id(0).to(tl.int64) * D * N
    part = tl.program_id(1).to(tl.int64) * D * H
    stop = tl.minimum((span + 1) * SPAN, D)
    for tile in range(begin, end, BLOCK_N):
        n = tile + tl.arange(0, BLOCK_N)
        mask_n = n < end
        mask = mask_n[:, None] & mask_h[None, :]
        sums = (span * N + n)[:, None] * H + h[None, :]
        a = tl.load(ends_ptr + sums, mask=mask, other=0.0)
        if LATER:
            later = tl.load(later_ptr + sums, mask=mask, other=0.0)
        else:
            later = tl.zeros([BLOCK_N, BLOCK_H], tl.float32)
        for back in range(1, stop - span * SPAN + 1):
            i = stop - back
            at_n, at_h = i * N + n, i * H + h
            x = tl.load(x_ptr + at_n, mask=mask_n, other=0.0)[:, None]
            dlogits = tl.load(dlogits_ptr + at_n, mask=mask_n, other=0.0)[:, None]
            w = tl.load(w_ptr + at_h, mask=mask_h, other=0.0)[None, :]
            v = tl.load(v_ptr + at_h, mask=mask_h, other=0.0)[None, :]
            c = tl.load(c_ptr + i * stride_cd + h, mask=mask_h, other=0.0)[None, :]
            a -= x * w
            hidden = tl.sigmoid(a + c)
            delta = dlogits * v * hidden * (1 - hidden)
            if LATER:
                _add(dw_ptr + part + at_h, tl.sum(x * later, 0), mask_h)
                if NEEDS_X:
                    tl.store(dx_ptr + at_n, tl.sum(w * later, 1), mask=mask_n)
            else:
                _add(dv_ptr + part + at_h, tl.sum(dlogits * hidden, 0), mask_h)
                if stride_cd > 0:
                    _add(dc_ptr + part + at_h, tl.sum(delta, 0), mask_h)
            later += delta
        if not LATER:
            tl.store(later_ptr + sums, later, mask=mask)
        tl.debug_barrier()  # the next rows are added to what these have written


@triton.jit
def _sample_kernel(
    u_ptr, w_ptr, c_ptr, v_ptr, b_ptr, out_ptr, D, H, stride_cd, BLOCK_H: tl.constexpr,
):  # fmt: skip
    """Draw one row."""
    row = tl.program_id(0).to(tl.int64) * D
    h = tl.arange(0, BLOCK_H)
    mask = h < H
    a = tl.zeros([BLOCK_H], tl.float32)
    for i in range(D):
        c = tl.load(c_ptr + i * stride_cd + h, mask=mask, other=0.0)
        v = tl.load(v_ptr + i * H + h, mask=mask, other=0.0)
        logit = tl.sum(tl.sigmoid(a + c) * v, 0) + tl.load(b_ptr + i)
        x = (tl.load(u_ptr + row + i) < tl.sigmoid(logit)).to(tl.float32)
        tl.store(out_ptr + row + i, x)
        a += x * tl.load(w_ptr + i * H + h, mask=mask, other=0.0)


class _Scan:
    """Launches over some rows, and what they share: weights as they must lie, and the sums."""

    def __init__(self, x: Tensor, w: Tensor, c: Tensor, v: Tensor) -> None:
        (self.n, self.dims), self.units = x.shape, w.shape[1]
        self.across = triton.cdiv(self.units, _BLOCK_H)
        self.spans = triton.cdiv(self.dims, _SPAN)
        self.x, self.weights = x.T.contiguous(), [part.contiguous() for part in (w, c, v)]
        self.stride_cd = _stride_cd(c)
        sums = x.new_zeros(1 + self.spans, self.n, self.units)
        self._scan(sums[1:], x.new_empty(0), LOGITS=False)
        self.sums = sums.cumsum(0)  # those before each span, and after the last

    def logits(self) -> Tensor:
        """V_i · h_i, (n, D)."""
        out = self.x.new_empty(self.across, self.dims, self.n)
        self._scan(self.sums, out, LOGITS=True)
        return out.sum(0).T

    def gradients(self, dlogits: Tensor, needs_x: bool) -> tuple[Tensor, ...]:
        """Gradients of x, w, c and v; that of x only where needed."""
        row_tiles, programs = triton.cdiv(self.n, _BLOCK_N), self.across * self.spans
        splits = min(row_tiles, max(1, 4 * processors(self.x.device) // programs))
        rows_each = triton.cdiv(row_tiles, splits) * _BLOCK_N
        parts = triton.cdiv(self.n, rows_each)
        dw, dc, dv = (self.x.new_zeros(parts, self.dims, self.units) for _ in range(3))
        dx = self.x.new_empty(self.across, self.dims, self.n if needs_x else 0)
        dlogits, delta = dlogits.T.contiguous(), torch.empty_like(self.sums[1:])

        def run(later: Tensor, *, is_known: bool) -> None:
            self._launch(
                _gradients_kernel, (self.across, parts, self.spans),
                dlogits, self.x, *self.weights, self.sums[1:], later, dx, dw, dc, dv,
                self.n, self.dims, self.units, self.stride_cd, rows_each,
                LATER=is_known, NEEDS_X=needs_x,
            )  # fmt: skip

        run(delta, is_known=False)
        from_here = delta.flip(0).cumsum(0).flip(0)
        run(F.pad(from_here[1:], (0, 0, 0, 0, 0, 1)), is_known=True)
        dc = dc.sum(0) if self.stride_cd else from_here[0].sum(0)
        return dx.sum(0).T, dw.sum(0), dc, dv.sum(0)

    def _scan(self, sums: Tensor, logits: Tensor, **constants: bool) -> None:
        self._launch(
            _scan_kernel, (triton.cdiv(self.n, _BLOCK_N), self.across, self.spans),
            self.x, *self.weights, sums, logits,
            self.n, self.dims, self.units, self.stride_cd, **constants,
        )  # fmt: skip

    def _launch(
        self, kernel: Callable, grid: tuple[int, ...], *arguments, **constants: bool
    ) -> None:
        tile = {"BLOCK_N": _BLOCK_N, "BLOCK_H": _BLOCK_H, "SPAN": _SPAN, "num_warps": 4}
        launch(kernel, grid, self.x.device, *arguments, **constants, **tile)


def logits(x: Tensor, w: Tensor, c: Tensor, v: Tensor) -> Tensor:
    """V_i · h_i for some rows, (n, D)."""
    return _Scan(x, w, c, v).logits()


def gradients(
    dlogits: Tensor, x: Tensor, w: Tensor, c: Tensor, v: Tensor, needs: list[bool]
) -> tuple[Tensor, ...]:
    """What some rows contribute to the gradients of x, w, c and v; that of x only where needed."""
    return _Scan(x, w, c, v).gradients(dlogits, needs[0])


def sample(u: Tensor, w: Tensor, c: Tensor, v: Tensor, b: Tensor) -> Tensor:
    """Draw all rows in one launch."""
    (n, dims), units = u.shape, w.shape[1]
    u, w, c, v, b = (part.contiguous() for part in (u, w, c, v, b))
    out = torch.empty_like(u)
    launch(
        _sample_kernel, (n,), u.device,
        u, w, c, v, b, out, dims, units, _stride_cd(c),
        BLOCK_H=triton.next_power_of_2(units), num_warps=4,
    )  # fmt: skip
    return out


def _stride_cd(c: Tensor) -> int:
    """How far the bias of the next value lies: nowhere, where all values share one."""
    return 0 if c.dim() == 1 else c.shape[1]
