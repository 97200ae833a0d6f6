"""The scan of a neural autoregressive density estimator, without its N × D × H hidden states.

For rows x of D values, weights W, V of shape (D, H), biases b of shape (D,) and c of shape (H,)::

    a_1 = c,   a_{i+1} = a_i + x_i W_i       what the hidden units have summed before value i
    h_i = σ(a_i)
    l_i = b_i + V_i · h_i                    the logit of value i

so that one addition for each value and unit replaces a sum over all values before it [1]: D · H a
row, not D² · H. With a gradient g_i of the logits, and δ_i = g_i V_i h_i (1 − h_i), both (H,)::

    ∂/∂V_i = Σ_rows g_i h_i                  ∂/∂b_i = Σ_rows g_i
    ∂/∂W_i = Σ_rows x_i Σ_{j>i} δ_j          ∂/∂c = Σ_rows Σ_j δ_j
    ∂/∂x_i = W_i · Σ_{j>i} δ_j

A bias c_i for each value, shape (D, H), is also taken: then h_i = σ(c_i + Σ_{j<i} x_j W_j) and
∂/∂c_i = Σ_rows δ_i.

**States.** A value of zero adds nothing: the hidden units change only behind the others, and of the
pixels of a binarised digit seven in eight are zero. On a CPU the values are cut into blocks. In
each, the *states* that differ are found, one at the start of a block for each row and one after
each value that is not zero; their sums are one matrix product with a block of W, their logits
another with a block of V, and every value picks the logit of the state that holds before it.

**Memory.** The forward pass keeps nothing but its inputs. The backward pass computes the sums at
the start of the blocks again, for some rows at a time, and takes the blocks from last to first with
a running Σ δ; it keeps the sums of every √K-th of K blocks, and adds up the others once more. Sums
are only added up: to run them backwards, as a_i = a_{i+1} − x_i W_i, would drift.

**Triton.** Few rows make a long scan of little work, so the scan is cut into spans of values that
run side by side: one launch adds up x_i W_i over each span, and the sums of spans before it say
where each begins. The backward pass goes through each span twice, first for Σ δ, then with that of
all later spans. It does subtract, from the kept sum at the end of its span, and no further.

References
----------
[1] Larochelle and Murray (2011), "The neural autoregressive distribution estimator", AISTATS.
"""

import functools
import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from genlib.kernels._checks import check_operand, check_shape
from genlib.kernels._dispatch import launch, processors, runs_triton, tl, triton
from genlib.kernels._threads import parallel_map


def nade_logits_reference(x: Tensor, w: Tensor, c: Tensor, v: Tensor, b: Tensor) -> Tensor:
    """Compute `nade_logits` as it is defined, one value after another, every state in memory."""
    a = x.new_zeros(len(x), w.shape[1])
    logits = []
    for i in range(len(w)):
        h = torch.sigmoid(a + (c if c.dim() == 1 else c[i]))
        logits.append(h @ v[i] + b[i])
        a = a + x[:, i, None] * w[i]
    return torch.stack(logits, 1)


def nade_sample_reference(u: Tensor, w: Tensor, c: Tensor, v: Tensor, b: Tensor) -> Tensor:
    """Compute `nade_sample` as it is defined, with a whole forward pass for every value."""
    x = torch.zeros_like(u)
    for i in range(len(w)):
        x[:, i] = u[:, i] < nade_logits_reference(x, w, c, v, b)[:, i].sigmoid()
    return x


# --------------------------------------------------------------------- blocks, in plain torch

# Values a block: products with a block of weights do 2 · _BLOCK operations for each unit of a
# state, and a block costs a state for each row, so that neither should outweigh a sigmoid.
_BLOCK = 16
# Rows taken together, so that a block's states stay in the cache and memory does not grow with N.
_ROWS = 128


class _Gradients(NamedTuple):
    """Sums of gradients, of the shapes of the arguments; without entries where not asked for."""

    x: Tensor
    w: Tensor
    c: Tensor
    v: Tensor

    @classmethod
    def zeros(cls, arguments: tuple[Tensor, ...], needs: list[bool]) -> "_Gradients":
        pairs = zip(arguments, needs, strict=True)
        return cls(*(torch.zeros_like(like) if need else like.new_zeros(0) for like, need in pairs))

    @classmethod
    def joined(cls, parts: list["_Gradients"]) -> "_Gradients":
        """Gradients of all rows from those of some; the first part's sums become the whole's."""
        of_x, *others = zip(*parts, strict=True)
        return cls(torch.cat(of_x), *(functools.reduce(Tensor.add_, sums) for sums in others))


class _States(NamedTuple):
    """The states that differ, block after block, each block's sorted by row, then by column."""

    counts: list[int]  # M_k, the number of states of each block
    row: tuple[Tensor, ...]  # (M_k,) for each block
    seen: tuple[Tensor, ...]  # (M_k, block), the values that a state has added in its block
    of_value: Tensor  # (N, D), where in (M, block) the state of a value meets its column

    def gather(self, products: Tensor) -> Tensor:
        """What each value finds in its state's row, at its own column: (N, D) from (M, block)."""
        return products.view(-1)[self.of_value]

    def scatter(self, g: Tensor) -> tuple[Tensor, ...]:
        """The transpose of `gather`, a part for each block: zero where no value meets a state."""
        shares = g.new_zeros(sum(self.counts), _BLOCK)
        shares.view(-1)[self.of_value] = g
        return shares.split(self.counts)


def _find_states(x: Tensor, every: bool) -> _States:
    """Find the states of the rows of ``x``: one for every value, or those that differ."""
    (n, dims), blocks = x.shape, math.ceil(x.shape[1] / _BLOCK)
    values = F.pad(x, (0, blocks * _BLOCK - dims)).view(n, blocks, _BLOCK).transpose(0, 1)
    new = torch.ones_like(values, dtype=torch.bool)
    if not every:
        new[:, :, 1:] = values[:, :, :-1] != 0
    number = new.flatten().cumsum(0).view_as(new) - 1
    block, row, column = new.nonzero(as_tuple=True)
    steps = torch.arange(_BLOCK, device=x.device)
    seen = values[block, row].where(steps < column[:, None], 0)
    counts = new.sum((1, 2)).tolist()
    of_value = (number * _BLOCK + steps).transpose(0, 1).reshape(n, -1)[:, :dims]
    return _States(counts, row.split(counts), seen.split(counts), of_value)


class _Scan:
    """The hidden states of some rows, a block of values at a time."""

    def __init__(self, x: Tensor, states: _States, w: Tensor, c: Tensor) -> None:
        self.x, self.w, self.states = x.split(_BLOCK, 1), w.split(_BLOCK), states
        shared, self.c = (c, None) if c.dim() == 1 else (torch.zeros_like(c[0]), c.split(_BLOCK))
        self.start = shared.repeat(len(x), 1)
        self.memory = x.new_empty(max(self.states.counts), w.shape[1])

    def advance(self, k: int, start: Tensor) -> Tensor:
        """Turn the sums at the start of block ``k`` into those at its end."""
        return start.addmm_(self.x[k], self.w[k])

    def backwards(self) -> Iterator[tuple[int, Tensor]]:
        """The blocks from last to first, each with the sums at its start, (n, H).

        Of K blocks, each √K-th keeps its sums; those between two are added up again when their turn
        comes.
        """
        count = len(self.w)
        stride, kept, start = math.isqrt(count - 1) + 1, [], self.start
        for k in range(count):
            if k % stride == 0:
                kept.append(start.clone())
            self.advance(k, start)
        while kept:
            first, starts = stride * (len(kept) - 1), [kept.pop()]
            for k in range(first, min(first + stride, count) - 1):
                starts.append(self.advance(k, starts[-1].clone()))
            while starts:
                yield first + len(starts) - 1, starts.pop()

    def hidden(self, k: int, start: Tensor) -> Tensor:
        """The states of block ``k``, (M_k, H), from the sums at its start.

        They lie where those of the block before lay.
        """
        states, w = self.states, self.w[k]
        h = self.memory[: states.counts[k]]
        torch.index_select(start, 0, states.row[k], out=h)
        h.addmm_(states.seen[k][:, : len(w)], w)
        if self.c is not None:
            h.view(len(start), _BLOCK, -1)[:, : len(w)] += self.c[k]
        return h.sigmoid_()


def _blocked_logits(x: Tensor, w: Tensor, c: Tensor, v: Tensor) -> Tensor:
    """V_i · h_i for some rows, (n, D)."""
    scan = _Scan(x, _find_states(x, every=c.dim() == 2), w, c)
    counts = scan.states.counts
    products = x.new_empty(sum(counts), _BLOCK)
    for k, (out, v_k) in enumerate(zip(products.split(counts), v.split(_BLOCK), strict=True)):
        torch.mm(scan.hidden(k, scan.start), v_k.T, out=out[:, : len(v_k)])
        scan.advance(k, scan.start)
    return scan.states.gather(products)


def _add_blocked_gradients(
    sums: _Gradients,
    shares: tuple[Tensor, ...],
    scan: _Scan,
    c: Tensor,
    v: Tensor,
    needs: list[bool],
) -> None:
    """Add what some rows and units contribute to gradients; ``shares`` are those of the logits."""
    needs_x, needs_w, needs_c, needs_v = needs
    states, rows = scan.states, len(scan.start)
    memory, later = torch.empty_like(scan.memory), torch.zeros_like(scan.start)
    for k, start in scan.backwards():
        w_k, v_k = scan.w[k], v[k * _BLOCK : (k + 1) * _BLOCK]
        block = slice(k * _BLOCK, k * _BLOCK + len(w_k))
        share, seen = shares[k][:, : len(w_k)], states.seen[k][:, : len(w_k)]
        h = scan.hidden(k, start)
        delta = torch.mm(share, v_k, out=memory[: states.counts[k]])
        torch.ops.aten.sigmoid_backward(delta, h, grad_input=delta)
        if needs_v:
            sums.v[block].addmm_(share.T, h)
        if needs_w:
            sums.w[block].addmm_(scan.x[k].T, later).addmm_(seen.T, delta)
        if needs_c and c.dim() == 2:
            sums.c[block] += delta.view(rows, _BLOCK, -1).sum(0)[: len(w_k)]
        if needs_x:  # then every value has a state, and those below the diagonal come after it
            ahead = (delta @ w_k.T).view(rows, _BLOCK, -1).tril(-1).sum(1)
            sums.x[:, block] = ahead.addmm_(later, w_k.T)
        later.index_add_(0, states.row[k], delta)
    if needs_c and c.dim() == 1:
        sums.c.add_(later.sum(0))


def _add_gradients(
    sums: _Gradients, g: Tensor, x: Tensor, w: Tensor, c: Tensor, v: Tensor, needs: list[bool]
) -> None:
    """Add the gradients of some rows; threads divide the hidden units, and so share no sum."""
    states = _find_states(x, every=needs[0] or c.dim() == 2)
    shares = states.scatter(g)

    def add(units: slice) -> Tensor:
        own = _Gradients(torch.zeros_like(sums.x), *(part[..., units] for part in sums[1:]))
        scan = _Scan(x, states, w[:, units], c[..., units])
        _add_blocked_gradients(own, shares, scan, c[..., units], v[:, units], needs)
        return own.x

    sums.x.add_(functools.reduce(Tensor.add_, parallel_map(add, _parts(w.shape[1], x.device))))


def _parts(count: int, device: torch.device) -> list[slice]:
    """So many rows or units, divided among threads where that pays."""
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    parts = threads if count >= 8 * threads else 1
    ends = [count * i // parts for i in range(parts + 1)]
    return [slice(*pair) for pair in itertools.pairwise(ends)]


def _forward(x: Tensor, w: Tensor, c: Tensor, v: Tensor) -> Tensor:
    if _on_triton(x):
        return _triton_logits(x, w, c, v)
    rows = [block for part in _parts(len(x), x.device) for block in x[part].split(_ROWS)]
    return torch.cat(parallel_map(lambda block: _blocked_logits(block, w, c, v), rows))


def _backward(
    g: Tensor, x: Tensor, w: Tensor, c: Tensor, v: Tensor, needs: list[bool]
) -> _Gradients:
    if _on_triton(x):
        return _triton_gradients(g, x, w, c, v, needs)
    sums = _Gradients.zeros((x, w, c, v), needs)
    for rows in (slice(i, i + _ROWS) for i in range(0, len(x), _ROWS)):
        _add_gradients(sums._replace(x=sums.x[rows]), g[rows], x[rows], w, c, v, needs)
    return sums


def _sample(u: Tensor, w: Tensor, c: Tensor, v: Tensor, b: Tensor) -> Tensor:
    if _on_triton(u):
        return _triton_sample(u, w, c, v, b)
    parts = _parts(len(u), u.device)
    return torch.cat(parallel_map(lambda rows: _scan_sample(u[rows], w, c, v, b), parts))


def _scan_sample(u: Tensor, w: Tensor, c: Tensor, v: Tensor, b: Tensor) -> Tensor:
    """Draw some rows; with one bias c, the hidden units change only where a one was drawn."""
    x, a = torch.zeros_like(u), torch.zeros_like(w[0]).repeat(len(u), 1)
    h = (a + c).sigmoid_() if c.dim() == 1 else None
    for i in range(len(w)):
        if c.dim() == 2:
            h = (a + c[i]).sigmoid_()
        x[:, i] = u[:, i] < (h @ v[i]).add_(b[i]).sigmoid_()
        ones = x[:, i].nonzero().squeeze(1)
        if len(ones):
            a[ones] += w[i]
            if c.dim() == 1:
                h[ones] = (a[ones] + c).sigmoid_()
    return x


# --------------------------------------------------------------------- Triton


@triton.jit
def _sigmoid(a):
    return 1 / (1 + tl.exp2(-1.4426950408889634 * a))


@triton.jit
def _sums_kernel(
    x_ptr, w_ptr, out_ptr, n, dims, units,
    ROWS: tl.constexpr, UNITS: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Σ x_i W_i over a span of values: some rows, some units; x is (D, N), out (spans, N, H)."""
    span = tl.program_id(2)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    unit = tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    in_row, in_unit = row < n, unit < units
    first = (span * SPAN).to(tl.int64)
    x_at, w_at = x_ptr + first * n + row, w_ptr + first * units + unit
    a = tl.zeros([ROWS, UNITS], tl.float32)
    for _ in range(tl.minimum(SPAN, dims - span * SPAN)):
        x = tl.load(x_at, mask=in_row, other=0.0)
        a += x[:, None] * tl.load(w_at, mask=in_unit, other=0.0)[None, :]
        x_at += n
        w_at += units
    at = (span.to(tl.int64) * n + row)[:, None] * units + unit[None, :]
    tl.store(out_ptr + at, a, mask=in_row[:, None] & in_unit[None, :])


@triton.jit
def _logits_kernel(
    x_ptr, w_ptr, c_ptr, v_ptr, start_ptr, out_ptr, n, dims, units, c_step,
    ROWS: tl.constexpr, UNITS: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """What some units contribute to a span of logits of some rows; x and out are (D, N)."""
    span = tl.program_id(2)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    unit = tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    in_row, in_unit = row < n, unit < units
    first = (span * SPAN).to(tl.int64)
    x_at, w_at = x_ptr + first * n + row, w_ptr + first * units + unit
    c_at, v_at = c_ptr + first * c_step + unit, v_ptr + first * units + unit
    out_at = out_ptr + (tl.program_id(1).to(tl.int64) * dims + first) * n + row
    at = (span.to(tl.int64) * n + row)[:, None] * units + unit[None, :]
    a = tl.load(start_ptr + at, mask=in_row[:, None] & in_unit[None, :], other=0.0)
    for _ in range(tl.minimum(SPAN, dims - span * SPAN)):
        c = tl.load(c_at, mask=in_unit, other=0.0)
        v = tl.load(v_at, mask=in_unit, other=0.0)
        tl.store(out_at, tl.sum(_sigmoid(a + c[None, :]) * v[None, :], 1), mask=in_row)
        x = tl.load(x_at, mask=in_row, other=0.0)
        a += x[:, None] * tl.load(w_at, mask=in_unit, other=0.0)[None, :]
        x_at += n
        w_at += units
        c_at += c_step
        v_at += units
        out_at += n


@triton.jit
def _gradients_kernel(
    g_ptr, x_ptr, w_ptr, c_ptr, v_ptr, end_ptr, later_ptr, of_x_ptr, of_w_ptr, of_c_ptr, of_v_ptr,
    n, dims, units, c_step, rows_each,
    LATER: tl.constexpr, NEEDS_X: tl.constexpr,
    ROWS: tl.constexpr, UNITS: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """Gradients of a span of values from some units and some rows; g, x and of_x are (D, N).

    Without LATER: those of v and, one for each value, of c; and Σ δ over the span, into later_ptr.
    With it: those of w and x, from the Σ δ of later spans that stand in later_ptr. A program alone
    writes its entries, row tile after row tile: the result is the same every time.
    """
    span = tl.program_id(2)
    unit = tl.program_id(0) * UNITS + tl.arange(0, UNITS)
    in_unit = unit < units
    begin = tl.program_id(1) * rows_each
    end = tl.minimum(begin + rows_each, n)
    last = (tl.minimum((span + 1) * SPAN, dims) - 1).to(tl.int64)
    of_weights = (tl.program_id(1).to(tl.int64) * dims + last) * units + unit
    for tile in range(begin, end, ROWS):
        row = tile + tl.arange(0, ROWS)
        in_row = row < end
        in_both = in_row[:, None] & in_unit[None, :]
        at = (span.to(tl.int64) * n + row)[:, None] * units + unit[None, :]
        a = tl.load(end_ptr + at, mask=in_both, other=0.0)
        if LATER:
            later = tl.load(later_ptr + at, mask=in_both, other=0.0)
        else:
            later = tl.zeros([ROWS, UNITS], tl.float32)
        x_at, g_at = x_ptr + last * n + row, g_ptr + last * n + row
        w_at, v_at = w_ptr + last * units + unit, v_ptr + last * units + unit
        c_at = c_ptr + last * c_step + unit
        of_x_at = of_x_ptr + (tl.program_id(0).to(tl.int64) * dims + last) * n + row
        of_w_at, of_c_at, of_v_at = (
            of_w_ptr + of_weights,
            of_c_ptr + of_weights,
            of_v_ptr + of_weights,
        )
        for _ in range(tl.minimum(SPAN, dims - span * SPAN)):
            x = tl.load(x_at, mask=in_row, other=0.0)[:, None]
            g = tl.load(g_at, mask=in_row, other=0.0)[:, None]
            w = tl.load(w_at, mask=in_unit, other=0.0)[None, :]
            v = tl.load(v_at, mask=in_unit, other=0.0)[None, :]
            a -= x * w
            h = _sigmoid(a + tl.load(c_at, mask=in_unit, other=0.0)[None, :])
            delta = g * v * h * (1 - h)
            if LATER:
                of_w = tl.load(of_w_at, mask=in_unit, other=0.0)
                tl.store(of_w_at, of_w + tl.sum(x * later, 0), mask=in_unit)
                if NEEDS_X:
                    tl.store(of_x_at, tl.sum(w * later, 1), mask=in_row)
            else:
                of_v = tl.load(of_v_at, mask=in_unit, other=0.0)
                tl.store(of_v_at, of_v + tl.sum(g * h, 0), mask=in_unit)
                if c_step > 0:
                    of_c = tl.load(of_c_at, mask=in_unit, other=0.0)
                    tl.store(of_c_at, of_c + tl.sum(delta, 0), mask=in_unit)
            later += delta
            x_at -= n
            g_at -= n
            of_x_at -= n
            w_at -= units
            v_at -= units
            of_w_at -= units
            of_c_at -= units
            of_v_at -= units
            c_at -= c_step
        if not LATER:
            tl.store(later_ptr + at, later, mask=in_both)
        tl.debug_barrier()  # the next rows are added to what these have written


@triton.jit
def _sample_kernel(
    u_ptr, w_ptr, c_ptr, v_ptr, b_ptr, out_ptr, dims, units, c_step, UNITS: tl.constexpr,
):  # fmt: skip
    """Draw one row."""
    row = tl.program_id(0).to(tl.int64) * dims
    unit = tl.arange(0, UNITS)
    in_unit = unit < units
    w_at, c_at, v_at = w_ptr + unit, c_ptr + unit, v_ptr + unit
    a = tl.zeros([UNITS], tl.float32)
    for i in range(dims):
        c = tl.load(c_at, mask=in_unit, other=0.0)
        v = tl.load(v_at, mask=in_unit, other=0.0)
        logit = tl.sum(_sigmoid(a + c) * v, 0) + tl.load(b_ptr + i)
        x = (tl.load(u_ptr + row + i) < _sigmoid(logit)).to(tl.float32)
        tl.store(out_ptr + row + i, x)
        a += x * tl.load(w_at, mask=in_unit, other=0.0)
        w_at += units
        v_at += units
        c_at += c_step


# Shape of a program's work, in powers of two: values, rows, units. The spans are scanned side by
# side, each from a sum that is kept: N · D · H / _SPAN numbers, for _CHUNK rows at a time.
_SPAN, _TILE_ROWS, _TILE_UNITS = 32, 32, 32
_CHUNK = 1024


def _on_triton(x: Tensor) -> bool:
    return x.dtype == torch.float32 and runs_triton(x.device)


def _c_step(c: Tensor) -> int:
    """How far the bias of the next value lies: nowhere, where all values share one."""
    return 0 if c.dim() == 1 else c.shape[1]


class _Launcher:
    """Launches over some rows, and what they share: weights as they must lie, and the sums."""

    def __init__(self, x: Tensor, w: Tensor, c: Tensor, v: Tensor) -> None:
        (self.n, self.dims), self.units = x.shape, w.shape[1]
        self.x = x.T.contiguous()
        self.w, self.c, self.v = w.contiguous(), c.contiguous(), v.contiguous()
        self.spans = triton.cdiv(self.dims, _SPAN)
        self.across = triton.cdiv(self.units, _TILE_UNITS)
        self.tile = {"ROWS": _TILE_ROWS, "UNITS": _TILE_UNITS, "SPAN": _SPAN, "num_warps": 4}
        grid = triton.cdiv(self.n, _TILE_ROWS), self.across, self.spans
        sums = x.new_zeros(1 + self.spans, self.n, self.units)
        launch(
            _sums_kernel, grid, x.device,
            self.x, self.w, sums[1:], self.n, self.dims, self.units, **self.tile,
        )  # fmt: skip
        self.grid, self.sums = grid, sums.cumsum(0)

    def logits(self) -> Tensor:
        """V_i · h_i, (n, D)."""
        out = self.x.new_empty(self.across, self.dims, self.n)
        launch(
            _logits_kernel, self.grid, out.device,
            self.x, self.w, self.c, self.v, self.sums, out,
            self.n, self.dims, self.units, _c_step(self.c), **self.tile,
        )  # fmt: skip
        return out.sum(0).T

    def gradients(self, g: Tensor, needs_x: bool) -> _Gradients:
        """Gradients of x, w, c and v; that of x only where needed."""
        programs = self.across * self.spans
        splits = min(self.grid[0], max(1, 4 * processors(g.device) // programs))
        rows_each = triton.cdiv(self.grid[0], splits) * _TILE_ROWS
        grid = self.across, triton.cdiv(self.n, rows_each), self.spans
        of_w, of_v, of_c = (self.x.new_zeros(grid[1], self.dims, self.units) for _ in range(3))
        of_x = self.x.new_empty(self.across, self.dims, self.n if needs_x else 0)
        delta, g = torch.empty_like(self.sums[1:]), g.T.contiguous()

        def run(sums: Tensor, *, later: bool) -> None:
            launch(
                _gradients_kernel, grid, g.device,
                g, self.x, self.w, self.c, self.v, self.sums[1:], sums, of_x, of_w, of_c, of_v,
                self.n, self.dims, self.units, _c_step(self.c), rows_each,
                LATER=later, NEEDS_X=needs_x, **self.tile,
            )  # fmt: skip

        run(delta, later=False)
        from_here = delta.flip(0).cumsum(0).flip(0)
        run(F.pad(from_here[1:], (0, 0, 0, 0, 0, 1)), later=True)
        of_c = from_here[0].sum(0) if self.c.dim() == 1 else of_c.sum(0)
        return _Gradients(of_x.sum(0).T, of_w.sum(0), of_c, of_v.sum(0))


def _triton_logits(x: Tensor, w: Tensor, c: Tensor, v: Tensor) -> Tensor:
    """V_i · h_i, (N, D)."""
    return torch.cat([_Launcher(rows, w, c, v).logits() for rows in x.split(_CHUNK)])


def _triton_gradients(
    g: Tensor, x: Tensor, w: Tensor, c: Tensor, v: Tensor, needs: list[bool]
) -> _Gradients:
    """Gradients of x, w, c and v; that of x only where needed."""
    chunks = zip(g.split(_CHUNK), x.split(_CHUNK), strict=True)
    return _Gradients.joined(
        [_Launcher(part, w, c, v).gradients(g_part, needs[0]) for g_part, part in chunks]
    )


def _triton_sample(u: Tensor, w: Tensor, c: Tensor, v: Tensor, b: Tensor) -> Tensor:
    """Draw all rows in one launch."""
    (n, dims), units = u.shape, w.shape[1]
    u, w, c, v, b = (part.contiguous() for part in (u, w, c, v, b))
    out = torch.empty_like(u)
    launch(
        _sample_kernel, (n,), u.device,
        u, w, c, v, b, out, dims, units, _c_step(c),
        UNITS=triton.next_power_of_2(units), num_warps=4,
    )  # fmt: skip
    return out


# --------------------------------------------------------------------- the operators


@torch.library.custom_op(
    "genlib::nade_logits",
    mutates_args=(),
    schema="(Tensor x, Tensor w, Tensor c, Tensor v, Tensor b) -> Tensor",
)
def _operator(x, w, c, v, b):
    with torch.autocast(x.device.type, enabled=False):
        return _forward(x, w, c, v).add_(b)


@torch.library.custom_op(
    "genlib::nade_logits_backward",
    mutates_args=(),
    schema="(Tensor g, Tensor x, Tensor w, Tensor c, Tensor v, bool[] needs) -> Tensor[]",
)
def _backward_operator(g, x, w, c, v, needs):
    with torch.autocast(x.device.type, enabled=False):
        gradients = _backward(g, x, w, c, v, needs)
    pairs = zip(gradients, needs, strict=True)
    return [part.contiguous() if need else part.new_empty(0) for part, need in pairs]


@torch.library.custom_op(
    "genlib::nade_sample",
    mutates_args=(),
    schema="(Tensor u, Tensor w, Tensor c, Tensor v, Tensor b) -> Tensor",
)
def _sample_operator(u, w, c, v, b):
    with torch.autocast(u.device.type, enabled=False):
        return _sample(u, w, c, v, b)


@_operator.register_fake
def _(x, w, c, v, b):
    return x.new_empty(x.shape)


@_backward_operator.register_fake
def _(g, x, w, c, v, needs):
    pairs = zip((x, w, c, v), needs, strict=True)
    return [x.new_empty(like.shape if need else 0) for like, need in pairs]


@_sample_operator.register_fake
def _(u, w, c, v, b):
    return u.new_empty(u.shape)


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs[:4])


def _differentiate(ctx, g):
    *needs, needs_b = ctx.needs_input_grad
    gradients = _backward_operator(g, *ctx.saved_tensors, needs)
    wanted = (gradient if need else None for gradient, need in zip(gradients, needs, strict=True))
    return *wanted, g.sum(0) if needs_b else None


def _refuse(ctx, *_):
    raise NotImplementedError(
        "nade_logits: second derivatives are not implemented; nade_logits_reference has them, "
        "with every state in memory."
    )


_operator.register_autograd(_differentiate, setup_context=_save)
_backward_operator.register_autograd(_refuse)


# --------------------------------------------------------------------- the public functions


def nade_logits(x: Tensor, w: Tensor, c: Tensor, v: Tensor, b: Tensor) -> Tensor:
    """Logits b_i + V_i · σ(c + Σ_{j<i} x_j W_j) of every value, given those before it.

    Differentiable once with respect to all arguments. Memory grows with N · D and, while it runs,
    with D · H; never with N · D · H. Time grows, on a CPU, with the number of values that are not
    zero; a gradient of ``x`` and a bias for each value make all values count.

    Parameters
    ----------
    x : Tensor, shape (N, D)
        Values, in the order in which they are predicted: zeros and ones, as a rule; any numbers
        will do. float32 or float64.
    w : Tensor, shape (D, H)
        What each value adds to the hidden units, in the dtype and on the device of ``x``.
    c : Tensor, shape (H,) or (D, H)
        Bias of the hidden units: one for all values, or one for each.
    v : Tensor, shape (D, H)
        Weights from the hidden units to each logit.
    b : Tensor, shape (D,)
        Bias of each logit.

    Returns
    -------
    Tensor, shape (N, D)

    Raises
    ------
    TypeError
        If an argument is not a tensor, is neither float32 nor float64, or has another dtype than x.
    ValueError
        If shapes or devices do not agree, or there is no row, value or hidden unit.

    Notes
    -----
    The mathematics stands at the top of this file.
    """
    _check("x", x, w, c, v, b)
    return _operator(x, w, c, v, b)


@torch.no_grad()
def nade_sample(u: Tensor, w: Tensor, c: Tensor, v: Tensor, b: Tensor) -> Tensor:
    """Draw zeros and ones from the model whose logits `nade_logits` computes.

    Value i is one where u_i < σ(b_i + V_i · h_i), so uniform numbers make exact draws, and a number
    below zero or from one on decides a value beforehand. Each logit is computed once: a draw costs
    what one forward pass does. It has no gradient.

    Parameters
    ----------
    u : Tensor, shape (N, D)
        Uniform numbers from [0, 1), float32 or float64.
    w, c, v, b : Tensor
        As for `nade_logits`, in the dtype and on the device of ``u``.

    Returns
    -------
    Tensor, shape (N, D)
        Zeros and ones, in the dtype of ``u``.

    Raises
    ------
    TypeError, ValueError
        As for `nade_logits`.
    """
    _check("u", u, w, c, v, b)
    return _sample_operator(u, w, c, v, b)


def _check(name: str, x: Tensor, w: Tensor, c: Tensor, v: Tensor, b: Tensor) -> None:
    """Raise unless types, dtypes, devices and shapes agree."""
    for other, value in {name: x, "w": w, "c": c, "v": v, "b": b}.items():
        check_operand(value, other, x, name)
    if x.dim() != 2 or 0 in x.shape:
        raise ValueError(
            f"{name}: expected shape (N, D), at least one row and one column, got {tuple(x.shape)}."
        )
    dims = x.shape[1]
    if w.dim() != 2 or len(w) != dims or w.shape[1] == 0:
        raise ValueError(
            f"w: expected shape ({dims}, H), a row for each column of {name} and at least one "
            f"hidden unit, got {tuple(w.shape)}."
        )
    check_shape("c", c, (w.shape[1],), tuple(w.shape))
    check_shape("v", v, tuple(w.shape))
    check_shape("b", b, (dims,))
