"""The scan in plain torch, a block of values at a time, and the draws."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Values a block: products with a block of weights do 2 · _BLOCK operations for each unit of a
# state, and a block costs a state for each row, so that neither should outweigh a sigmoid.
_BLOCK = 16
# Rows taken together, so that a block's states stay in the cache and memory does not grow with N;
# those of draws, which have but one state each.
ROWS, _DRAWN_ROWS = 128, 1024
# Below so many rows, to find those that drew a one costs more than to compute all of them.
_MANY = 32


class _States(NamedTuple):
    """The states that differ, block after block, each block's sorted by row, then by column."""

    counts: list[int]  # M_k, the number of states of each block
    row: tuple[Tensor, ...]  # (M_k,) for each block
    seen: tuple[Tensor, ...]  # (M_k, block), the values that a state has added in its block
    index: Tensor  # (N, D), where in (M, block) the state of a value meets its column

    def gather(self, products: Tensor) -> Tensor:
        """What each value finds in its state's row, at its own column: (N, D) from (M, block)."""
        return products.view(-1)[self.index]

    def scatter(self, dlogits: Tensor) -> tuple[Tensor, ...]:
        """The transpose of `gather`, a part for each block: zero where no value meets a state."""
        dproducts = dlogits.new_zeros(sum(self.counts), _BLOCK)
        dproducts.view(-1)[self.index] = dlogits
        return dproducts.split(self.counts)


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
    index = (number * _BLOCK + steps).transpose(0, 1).reshape(n, -1)[:, :dims]
    return _States(counts, row.split(counts), seen.split(counts), index)


class _Scan:
    """The hidden states of some rows, a block of values at a time."""

    def __init__(self, x: Tensor, w: Tensor, c: Tensor, *, every: bool) -> None:
        self.states = _find_states(x, every or c.dim() == 2)
        self.x, self.w = x.split(_BLOCK, 1), w.split(_BLOCK)
        shared, self.c = (c, None) if c.dim() == 1 else (torch.zeros_like(c[0]), c.split(_BLOCK))
        self.start = shared.repeat(len(x), 1)
        self.memory = x.new_empty(max(self.states.counts), w.shape[1])

    def advance(self, k: int, start: Tensor) -> Tensor:
        """Turn the sums at the start of block ``k`` into those at its end."""
        return start.addmm_(self.x[k], self.w[k])

    def backwards(self) -> Iterator[tuple[int, Tensor]]:
        """Yield the blocks from last to first, each with the sums at its start, (n, H).

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
        """Compute the states of block ``k``, (M_k, H), from the sums at its start.

        They lie where those of the block before lay.
        """
        states, w = self.states, self.w[k]
        h = self.memory[: states.counts[k]]
        torch.index_select(start, 0, states.row[k], out=h)
        h.addmm_(states.seen[k][:, : len(w)], w)
        if self.c is not None:
            h.view(len(start), _BLOCK, -1)[:, : len(w)] += self.c[k]
        return h.sigmoid_()


def logits(x: Tensor, w: Tensor, c: Tensor, v: Tensor) -> Tensor:
    """V_i · h_i, (n, D)."""
    return torch.cat([_logits(rows, w, c, v) for rows in x.split(ROWS)])


def _logits(x: Tensor, w: Tensor, c: Tensor, v: Tensor) -> Tensor:
    scan = _Scan(x, w, c, every=False)
    counts = scan.states.counts
    products = x.new_empty(sum(counts), _BLOCK)
    for k, (out, v_k) in enumerate(zip(products.split(counts), v.split(_BLOCK), strict=True)):
        torch.mm(scan.hidden(k, scan.start), v_k.T, out=out[:, : len(v_k)])
        scan.advance(k, scan.start)
    return scan.states.gather(products)


def gradients(
    dlogits: Tensor, x: Tensor, w: Tensor, c: Tensor, v: Tensor, needs: list[bool]
) -> tuple[Tensor, ...]:
    """Gradients of x, w, c and v, without entries where not needed."""
    pairs = zip((x, w, c, v), needs, strict=True)
    dx, *sums = (torch.zeros_like(part) if need else part.new_zeros(0) for part, need in pairs)
    for rows in (slice(i, i + ROWS) for i in range(0, len(x), ROWS)):
        _add_gradients((dx[rows], *sums), dlogits[rows], x[rows], w, c, v, needs)
    return dx, *sums


def _add_gradients(
    sums: tuple[Tensor, ...],
    dlogits: Tensor,
    x: Tensor,
    w: Tensor,
    c: Tensor,
    v: Tensor,
    needs: list[bool],
) -> None:
    """Add what some rows contribute to the gradients."""
    (dx, dw, dc, dv), (needs_x, needs_w, needs_c, needs_v) = sums, needs
    scan = _Scan(x, w, c, every=needs_x)
    states, dproducts = scan.states, scan.states.scatter(dlogits)
    memory, later = torch.empty_like(scan.memory), torch.zeros_like(scan.start)
    for k, start in scan.backwards():
        w_k, block = scan.w[k], slice(k * _BLOCK, k * _BLOCK + len(scan.w[k]))
        dproducts_k, seen = dproducts[k][:, : len(w_k)], states.seen[k][:, : len(w_k)]
        h = scan.hidden(k, start)
        delta = torch.mm(dproducts_k, v[block], out=memory[: states.counts[k]])
        torch.ops.aten.sigmoid_backward(delta, h, grad_input=delta)
        if needs_v:
            dv[block].addmm_(dproducts_k.T, h)
        if needs_w:
            dw[block].addmm_(scan.x[k].T, later).addmm_(seen.T, delta)
        if needs_c and c.dim() == 2:
            dc[block] += delta.view(len(x), _BLOCK, -1).sum(0)[: len(w_k)]
        if needs_x:  # then every value has a state, and those below the diagonal come after it
            ahead = (delta @ w_k.T).view(len(x), _BLOCK, -1).tril(-1).sum(1)
            dx[:, block] = ahead.addmm_(later, w_k.T)
        later.index_add_(0, states.row[k], delta)
    if needs_c and c.dim() == 1:
        dc.add_(later.sum(0))


def sample(u: Tensor, w: Tensor, c: Tensor, v: Tensor, b: Tensor) -> Tensor:
    """Zeros and ones, (n, D)."""
    return torch.cat([_sample(rows, w, c, v, b) for rows in u.split(_DRAWN_ROWS)])


def _sample(u: Tensor, w: Tensor, c: Tensor, v: Tensor, b: Tensor) -> Tensor:
    """Draw some rows; with one bias c, the hidden units change only where a one was drawn."""
    n, shared = len(u), c.dim() == 1
    a = (c if shared else torch.zeros_like(c[0])).repeat(n, 1)
    h, x = a.sigmoid(), u.new_empty(len(w), n)
    # u < σ(b + V · h) where logit(u) − b < V · h
    thresholds = (u.clamp(0, 1).logit() - b).T.contiguous()
    for i, (x_i, threshold, w_i, v_i) in enumerate(zip(x, thresholds, w, v, strict=True)):
        if not shared:
            torch.add(a, c[i], out=h).sigmoid_()
        torch.gt(torch.mv(h, v_i), threshold, out=x_i)
        if shared and n >= _MANY and 3 * len(ones := x_i.nonzero().squeeze(1)) < n:
            changed = a.index_select(0, ones).add_(w_i)
            a.index_copy_(0, ones, changed)
            h.index_copy_(0, ones, changed.sigmoid_())
        else:
            a.addr_(x_i, w_i)
            if shared:
                torch.sigmoid(a, out=h)
    return x.T
