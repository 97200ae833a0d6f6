"""One half step of block Gibbs sampling: all units of a layer, given the other layer.

For rows x_1 … x_N of D values, weights W (D × H) and biases b, the units h_j of a Boltzmann machine
without connections among them are independent given the row:

    p(h_nj = 1 | x_n) = σ(scale · Σ_i x_ni W_ij + b_j)        h_nj = 1 where u_nj < p, else 0

(`scale` is the inverse temperature of annealing and tempering; 1 elsewhere.) The uniform numbers
are a function of ``key``, ``step`` and the place (n, j) alone: Philox-4x64-10, a counter-based
generator (Salmon, Moraes, Dror and Shaw 2011), whose counter is the place, eight numbers each, and
the step. So a chain is the same however it is cut into blocks, and on whatever device: but for
units whose u lies within rounding of p.

    blocks in a row B = ⌈H / 8⌉        counter = (n B + ⌊j / 8⌋, step, 0, 0)        key = (key, 0)
    number j mod 8 of the block's four 64-bit words, low half first: u = ⌊half / 2⁸⌋ / 2²⁴

A probability is therefore rounded up to a multiple of 2⁻²⁴, about 6 · 10⁻⁸.

**Blocks.** On a CPU, rows are taken in blocks that fit into a cache: a matrix product, a sigmoid,
numbers from NumPy's Philox, which is in C, and a comparison, in place. In Triton a program makes
the numbers of its tile in registers. Nothing but the sample is stored.

Draws have no gradient.
"""

from __future__ import annotations

import math
import threading

import numpy as np
import torch
from torch import Tensor

from genlib.kernels._checks import check_operand, check_shape
from genlib.kernels._dispatch import launch, runs_triton, tl, triton, undo_autocast
from genlib.kernels._threads import parallel_map

_LANES = 8  # numbers of a counter
_IN_CACHE = 2**17  # probabilities of a block
_ROUNDS = 10
_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_BUMPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_local = threading.local()


def gibbs_step_reference(
    x: Tensor, weight: Tensor, bias: Tensor, key: int, step: int = 0, *, scale: float = 1.0
) -> Tensor:
    """Compute `gibbs_step` as it is defined, all rows at once."""
    return bernoulli_reference(scale * (x @ weight) + bias, key, step)


def bernoulli_reference(logits: Tensor, key: int, step: int = 0) -> Tensor:
    """Compute `bernoulli` as it is defined."""
    u = uniform_reference(*logits.shape, key, step)
    return (u.to(logits.device) < logits.sigmoid()).to(logits.dtype)


def uniform_reference(rows: int, columns: int, key: int, step: int = 0) -> Tensor:
    """The numbers u, float32 of shape (rows, columns)."""
    blocks = _blocks_in_a_row(columns)
    place = np.arange(rows * blocks, dtype=np.uint64)
    counter = [place, np.full_like(place, step), np.zeros_like(place), np.zeros_like(place)]
    words = _philox(counter, [key, 0])
    halves = [half for word in words for half in (word & np.uint64(2**32 - 1), word >> _u64(32))]
    u = (np.stack(halves, 1) >> _u64(8)).astype(np.float32) / np.float32(2**24)
    return torch.from_numpy(u.reshape(rows, -1)[:, :columns].copy())


def _philox(counter: list[np.ndarray], key: list[int]) -> list[np.ndarray]:
    """Four words for each counter of four words."""
    for _ in range(_ROUNDS):
        high, low = zip(
            *(
                _wide_product(multiplier, word)
                for multiplier, word in zip(_MULTIPLIERS, counter[::2], strict=True)
            ),
            strict=True,
        )
        counter = [
            high[1] ^ counter[1] ^ _u64(key[0]),
            low[1],
            high[0] ^ counter[3] ^ _u64(key[1]),
            low[0],
        ]
        key = [(k + bump) % 2**64 for k, bump in zip(key, _BUMPS, strict=True)]
    return counter


def _wide_product(a: int, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The upper and lower 64 bits of a · b, by halves of 32 bits."""
    a_high, a_low, mask, half = _u64(a >> 32), _u64(a % 2**32), _u64(2**32 - 1), _u64(32)
    b_high, b_low = b >> half, b & mask
    middle = a_high * b_low + ((a_low * b_low) >> half)
    lower_middle = (middle & mask) + a_low * b_high
    return a_high * b_high + (middle >> half) + (lower_middle >> half), _u64(a) * b


def _u64(value: int) -> np.uint64:
    return np.uint64(value)


def _blocks_in_a_row(columns: int) -> int:
    return -(-columns // _LANES)


# --------------------------------------------------------------------- blocks of rows


def _draw(logits: Tensor, key: int, step: int, first: int) -> Tensor:
    """Samples of rows ``first`` and on; ``logits`` become probabilities on the way."""
    rows, columns = logits.shape
    width = _blocks_in_a_row(columns) * _LANES
    numbers = _numbers(rows * width, key, step, first * width // _LANES)
    u = torch.from_numpy(numbers.reshape(rows, width)[:, :columns])
    p = logits.sigmoid_()
    return torch.lt(u, p, out=p)


def _numbers(count: int, key: int, step: int, block: int) -> np.ndarray:
    """``count`` numbers from ``block`` on, by NumPy, which adds one to a counter before use."""
    if not hasattr(_local, "philox"):
        _local.philox = np.random.Philox(0)
        _local.generator, _local.state = np.random.Generator(_local.philox), _local.philox.state
    before = ((step << 64) + block - 1) % 2**256
    state = _local.state
    state["state"]["counter"][:] = [(before >> shift) % 2**64 for shift in (0, 64, 128, 192)]
    state["state"]["key"][:] = [key, 0]
    state["buffer_pos"], state["has_uint32"] = 4, 0  # nothing is left of former numbers
    _local.philox.state = state
    return _local.generator.random(count, dtype=np.float32)


def _in_blocks(x: Tensor, columns: int, logits_of, key: int, step: int) -> Tensor:
    """Samples for the rows of ``x``; ``logits_of(part)`` gives a new array of logits for some."""
    rows, size = len(x), max(16, _IN_CACHE // columns)
    if x.device.type != "cpu":  # a GPU without Triton: the numbers come from the CPU
        u, p = uniform_reference(rows, columns, key, step), logits_of(x).sigmoid_()
        return torch.lt(u.to(x.device), p, out=p)
    if rows <= size:
        return _draw(logits_of(x), key, step, 0)
    out = x.new_empty(rows, columns)

    def fill(first: int) -> None:
        part = slice(first, min(first + size, rows))
        out[part] = _draw(logits_of(x[part]), key, step, first)

    parallel_map(fill, range(0, rows, size), x.device)
    return out


# --------------------------------------------------------------------- Triton

# Rows and units of a tile, and the depth of a product; powers of two, 16 at least.
_BLOCK_N, _BLOCK_H, _BLOCK_D = 64, 64, 32
_ROWS, _UNITS = 16, 256  # of a tile without a product


@triton.jit
def _philox_round(c0, c1, c2, c3, k0, k1):
    M0: tl.constexpr = 0xD2E7470EE14C6C93
    M1: tl.constexpr = 0xCA5A826395121157
    zero = tl.zeros_like(c0)
    m0, m1 = zero + M0, zero + M1
    high0, high1 = tl.umulhi(m0, c0), tl.umulhi(m1, c2)
    return high1 ^ c1 ^ k0, m1 * c2, high0 ^ c3 ^ k1, m0 * c0


@triton.jit
def _float(bits):
    """The 24 upper bits of 32, as a number in [0, 1)."""
    return (bits >> 8).to(tl.float32) * (1.0 / 16777216.0)


@triton.jit
def _uniform(n, h8, key, step, blocks, BLOCK_N: tl.constexpr, BLOCK_H: tl.constexpr):
    """The numbers of rows n and of eights h8 of units, (BLOCK_N, BLOCK_H)."""
    W0: tl.constexpr = 0x9E3779B97F4A7C15
    W1: tl.constexpr = 0xBB67AE8584CAA73B
    c0 = (n[:, None] * blocks + h8[None, :]).to(tl.uint64)
    zero = tl.zeros_like(c0)
    c1, c2, c3, k0, k1 = zero + step, zero, zero, zero + key, zero
    for _ in tl.static_range(10):
        c0, c1, c2, c3 = _philox_round(c0, c1, c2, c3, k0, k1)
        k0 += W0
        k1 += W1
    # Words 0 to 3, low half before high: each join adds the dimension that runs next faster.
    low = tl.join(
        tl.join(_float(c0.to(tl.uint32)), _float(c2.to(tl.uint32))),
        tl.join(_float(c1.to(tl.uint32)), _float(c3.to(tl.uint32))),
    )
    high = tl.join(
        tl.join(_float((c0 >> 32).to(tl.uint32)), _float((c2 >> 32).to(tl.uint32))),
        tl.join(_float((c1 >> 32).to(tl.uint32)), _float((c3 >> 32).to(tl.uint32))),
    )
    return tl.reshape(tl.join(low, high), [BLOCK_N, BLOCK_H])


@triton.jit
def _gibbs_kernel(
    x_ptr, weight_ptr, bias_ptr, out_ptr, N, D, H, key, step, scale, stride_wd, stride_wh,
    BLOCK_N: tl.constexpr, BLOCK_H: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Samples of a tile of rows and units."""
    n = (tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    h = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    mask_n, mask_h = n < N, h < H
    total = tl.zeros([BLOCK_N, BLOCK_H], tl.float32)
    for start in range(0, D, BLOCK_D):
        d = start + tl.arange(0, BLOCK_D)
        x = tl.load(
            x_ptr + n[:, None] * D + d[None, :],
            mask=mask_n[:, None] & (d < D)[None, :], other=0.0,
        )  # fmt: skip
        w = tl.load(
            weight_ptr + d[:, None] * stride_wd + h[None, :] * stride_wh,
            mask=(d < D)[:, None] & mask_h[None, :], other=0.0,
        )  # fmt: skip
        total += tl.dot(x, w, input_precision="tf32x3")
    bias = tl.load(bias_ptr + h, mask=mask_h, other=0.0)
    p = tl.sigmoid(scale * total + bias[None, :])
    h8 = tl.program_id(1) * (BLOCK_H // 8) + tl.arange(0, BLOCK_H // 8)
    u = _uniform(n, h8, key, step, tl.cdiv(H, 8), BLOCK_N, BLOCK_H)
    out = tl.where(u < p, 1.0, 0.0)
    tl.store(out_ptr + n[:, None] * H + h[None, :], out, mask=mask_n[:, None] & mask_h[None, :])


@triton.jit
def _bernoulli_kernel(
    logits_ptr, out_ptr, N, H, key, step, BLOCK_N: tl.constexpr, BLOCK_H: tl.constexpr
):
    n = (tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    h = tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H)
    place, mask = n[:, None] * H + h[None, :], (n < N)[:, None] & (h < H)[None, :]
    p = tl.sigmoid(tl.load(logits_ptr + place, mask=mask, other=0.0))
    h8 = tl.program_id(1) * (BLOCK_H // 8) + tl.arange(0, BLOCK_H // 8)
    u = _uniform(n, h8, key, step, tl.cdiv(H, 8), BLOCK_N, BLOCK_H)
    tl.store(out_ptr + place, tl.where(u < p, 1.0, 0.0), mask=mask)


def _step_in_triton(x, weight, bias, key, step, scale) -> Tensor:
    x, bias, out = x.contiguous(), bias.contiguous(), x.new_empty(len(x), len(bias))
    launch(
        _gibbs_kernel, (triton.cdiv(len(x), _BLOCK_N), triton.cdiv(len(bias), _BLOCK_H)), x.device,
        x, weight, bias, out, *x.shape, len(bias), key, step, scale, *weight.stride(), **tile(),
    )  # fmt: skip
    return out


def _bernoulli_in_triton(logits, key, step) -> Tensor:
    logits = logits.contiguous()
    (n, h), out = logits.shape, torch.empty_like(logits)
    launch(
        _bernoulli_kernel, (triton.cdiv(n, _ROWS), triton.cdiv(h, _UNITS)), logits.device,
        logits, out, n, h, key, step, BLOCK_N=_ROWS, BLOCK_H=_UNITS, num_warps=4,
    )  # fmt: skip
    return out


def tile() -> dict[str, int]:
    """Constants of the kernel."""
    return {"BLOCK_N": _BLOCK_N, "BLOCK_H": _BLOCK_H, "BLOCK_D": _BLOCK_D, "num_warps": 4}


# --------------------------------------------------------------------- the operators


def _step(x: Tensor, weight: Tensor, bias: Tensor, key: int, step: int, scale: float) -> Tensor:
    if torch.is_autocast_enabled(x.device.type):
        with torch.autocast(x.device.type, enabled=False):
            return _step(x, weight, bias, key, step, scale)
    if x.dtype == torch.float32 and runs_triton(x.device):
        return _step_in_triton(x, weight, bias, key, step, scale)

    def logits_of(part: Tensor) -> Tensor:
        return torch.addmm(bias, part, weight, alpha=scale)

    return _in_blocks(x, len(bias), logits_of, key, step)


def _bernoulli(logits: Tensor, key: int, step: int) -> Tensor:
    if logits.dtype == torch.float32 and runs_triton(logits.device):
        return _bernoulli_in_triton(logits, key, step)
    return _in_blocks(logits, logits.shape[1], Tensor.clone, key, step)


def _traced(x: Tensor) -> bool:
    """Whether somebody records operators; calling one costs more than a small layer's draw."""
    return torch.compiler.is_compiling() or type(x) not in (Tensor, torch.nn.Parameter)


@torch.library.custom_op(
    "genlib::gibbs_step",
    mutates_args=(),
    schema="(Tensor x, Tensor weight, Tensor bias, int key, int step, float scale) -> Tensor",
)
def _step_operator(x, weight, bias, key, step, scale):
    return _step(x, weight, bias, key, step, scale)


@_step_operator.register_fake
def _(x, weight, bias, key, step, scale):
    return x.new_empty(len(x), len(bias))


@torch.library.custom_op(
    "genlib::bernoulli",
    mutates_args=(),
    schema="(Tensor logits, int key, int step) -> Tensor",
)
def _bernoulli_operator(logits, key, step):
    return _bernoulli(logits, key, step)


@_bernoulli_operator.register_fake
def _(logits, key, step):
    return logits.new_empty(logits.shape)


# --------------------------------------------------------------------- the public functions


@torch.no_grad()
def gibbs_step(
    x: Tensor, weight: Tensor, bias: Tensor, key: int, step: int = 0, *, scale: float = 1.0
) -> Tensor:
    """Draw a layer of binary units, given the other layer: p(h_nj = 1) = σ(scale · (x W)_nj + b_j).

    Parameters
    ----------
    x : Tensor, shape (N, D)
        The states given; float32 or float64.
    weight : Tensor, shape (D, H)
        May be the transpose of another, as in ``W.T`` for the way back.
    bias : Tensor, shape (H,)
    key : int
        Decides the draw; from 0 to 2⁶³ − 1. Two chains of one key are the same chain.
    step : int
        Number of the draw within the chain, from 0 to 2⁶³ − 1: other numbers for each.
    scale : float
        Inverse temperature of the weights; of the biases the caller takes care.

    Returns
    -------
    Tensor, shape (N, H)
        Zeros and ones.

    Raises
    ------
    TypeError
        If an argument is not a tensor, is neither float32 nor float64, or has another dtype than x.
    ValueError
        If shapes or devices do not agree, or a number is out of range.

    Notes
    -----
    The mathematics stands at the top of this file. Values are trusted: models check theirs.
    """
    weight, bias = undo_autocast(x, weight, bias)
    for value, name in ((x, "x"), (weight, "weight"), (bias, "bias")):
        check_operand(value, name, x)
    _check_rows(x, "x")
    check_shape("weight", weight, (x.shape[1], weight.shape[-1] if weight.dim() else 0))
    check_shape("bias", bias, (weight.shape[1],))
    _check_draw(key, step)
    if not isinstance(scale, int | float) or not math.isfinite(scale):
        raise ValueError(f"scale: expected a finite number, got {scale!r}.")
    draw = _step_operator if _traced(x) else _step
    return draw(x, weight, bias, key, step, float(scale))


@torch.no_grad()
def bernoulli(logits: Tensor, key: int, step: int = 0) -> Tensor:
    """Draw binary units whose logits are known already, with the numbers of `gibbs_step`.

    Parameters
    ----------
    logits : Tensor, shape (N, H)
        float32 or float64.
    key, step : int
        As for `gibbs_step`.

    Returns
    -------
    Tensor, shape (N, H)
        Zeros and ones.

    Raises
    ------
    TypeError, ValueError
        As for `gibbs_step`.
    """
    check_operand(logits, "logits", logits)
    _check_rows(logits, "logits")
    _check_draw(key, step)
    return (_bernoulli_operator if _traced(logits) else _bernoulli)(logits, key, step)


def _check_rows(x: Tensor, name: str) -> None:
    if x.dim() != 2 or 0 in x.shape:
        raise ValueError(
            f"{name}: expected at least one row and one column, shape (N, D), got {tuple(x.shape)}."
        )


def _check_draw(key: int, step: int) -> None:
    for value, name in ((key, "key"), (step, "step")):
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name}: expected an integer, got {value!r}.")
        if not 0 <= value < 2**63:
            raise ValueError(f"{name}: expected an integer from 0 to 2**63 − 1, got {value}.")
