"""Log-probability of discrete levels under a mixture of logistics, and its gradients.

A pixel has C values (colours), each one of L levels, written as x = k / (L − 1). A logistic with
mean μ and scale s puts on level k the mass of its bin, half a level to each side; the bins of the
first and the last level reach to infinity [1]. With distances in levels, d = k − (L − 1) μ and
1/s' = 1 / ((L − 1) s)::

    a = (d − ½) / s',    b = (d + ½) / s',    δ = b − a = 1 / s'

    P(k) = σ(b) − σ(a) inside,    σ(b) at k = 0,    1 − σ(a) at k = L − 1

and K logistics with weights softmax(l), shared by the colours of a pixel, give::

    f = log Σ_j exp(l_j + Σ_c log P_cj(k_c)) − log Σ_j exp(l_j)

**Rounding.** Far from the mean, or between two levels, σ(b) − σ(a) is a difference of equal
numbers. But it factors, and no factor cancels::

    P = σ(b) σ(−a) (1 − exp(−δ))

The bin of an end is the same with a = −∞ or b = ∞. Far out, log σ(−a) is −a to the last digit, and
is taken as such: a tiny mass comes out as the logarithm that it has, where the logarithm of a
difference would be −∞. The usual way out, the density at the centre of the bin times its width
wherever the difference is below 1e-5 [1], errs by some thousandths of a nat there; this does not,
and the gradient of a pixel far from all means is right as well.

**Gradients.** With r_j the share of component j in the sum::

    ∂f/∂l_j     = r_j − softmax(l)_j
    ∂f/∂μ_j     = r_j (σ(a) − σ(−b)) / s
    ∂f/∂log s_j = r_j (a σ(a) − b σ(−b) − δ / (exp(δ) − 1))

Both passes take the pixels in blocks that fit the cache, and the backward pass computes its block
again: between the two, nothing is kept but the arguments. On a CPU, where exp2 takes a third of the
time of exp, exponents are to base 2.

References
----------
[1] Salimans, Karpathy, Chen and Kingma (2017), "PixelCNN++", ICLR.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from genlib.kernels._checks import check_operand, check_shape
from genlib.kernels._dispatch import launch, runs_triton, tl, triton, undo_autocast
from genlib.kernels._threads import parallel_map


def logistic_mixture_log_prob_reference(
    x: Tensor, logits: Tensor, means: Tensor, log_scales: Tensor, levels: int = 256
) -> Tensor:
    """Compute `logistic_mixture_log_prob` as it is defined, from differences of two sigmoids."""
    level = (x * (levels - 1)).round().unsqueeze(2)
    scale = log_scales.exp() * (levels - 1)
    distance = level - means * (levels - 1)
    below = torch.sigmoid((distance - 0.5) / scale).where(level > 0, 0)
    up_to = torch.sigmoid((distance + 0.5) / scale).where(level < levels - 1, 1)
    return ((up_to - below).log().sum(1) + logits.log_softmax(1)).logsumexp(1)


# Scales wider than exp(this) are as good as flat: log P falls by one where log s grows by one.
_FLAT = 60.0
# Beyond so many scales, log σ(−a) is −a to the last digit, and σ(−a) still far from underflow.
_TAIL = 40.0


# --------------------------------------------------------------------- blocks, in plain torch

_BLOCK = 2**16  # values of a block, of which a dozen copies are alive at a time
_LN2 = math.log(2)


class _Bins(NamedTuple):
    """The bins of a block under each component, (n, C, K, p)."""

    a: Tensor  # a / ln 2, within ± _TAIL / ln 2
    minus_b: Tensor  # the same of −b
    beyond: Tensor  # by how much the larger of the two exceeds _TAIL / ln 2
    delta: Tensor  # δ itself
    width: Tensor  # 1 − exp(−δ)
    inverse: Tensor  # 1 / (s' ln 2)


def _level(x: Tensor, levels: int) -> Tensor:
    """Number k of each value's level, (n, C, 1, p)."""
    return (x * (levels - 1)).round_().unsqueeze(2)


def _find_bins(x: Tensor, means: Tensor, log_scales: Tensor, levels: int) -> _Bins:
    largest, tail = torch.finfo(x.dtype).max, _TAIL / _LN2
    # An edge at infinity is one beyond reach, and what would overflow otherwise is cut off.
    infinite, far = largest**0.9, largest**0.45
    level = _level(x, levels)
    below = (level == 0).to(x).mul_(infinite).add_(0.5)
    above = (level == levels - 1).to(x).mul_(infinite).add_(0.5)
    inverse = log_scales.clamp(-math.log(far), _FLAT).mul_(-1 / _LN2)
    inverse.sub_(math.log2((levels - 1) * _LN2)).exp2_()
    delta = (below + above).mul_(_LN2) * inverse
    width = delta.neg().expm1_().neg_()
    d = torch.sub(level, means, alpha=levels - 1).clamp_(-far, far)
    a = (d - below).mul_(inverse)
    minus_b = d.add_(above).mul_(inverse).neg_()
    beyond = torch.maximum(a, minus_b).sub_(tail).relu_()
    a, minus_b = a.clamp_(-tail, tail), minus_b.clamp_(-tail, tail)
    return _Bins(a, minus_b, beyond, delta, width, inverse)


def _log2_joint(bins: _Bins, x: Tensor, logits: Tensor, log_scales: Tensor, levels: int) -> Tensor:
    """log₂ of the weight of each component times the masses of all colours, (n, K, p)."""
    mass = bins.a.exp2().add_(1)
    mass.addcmul_(mass, bins.minus_b.exp2())  # (1 + exp(a)) (1 + exp(−b))
    torch.div(bins.width, mass, out=mass).log2_().sub_(bins.beyond)
    if log_scales.amax() > _FLAT:
        level = _level(x, levels)
        inside = ((level > 0) & (level < levels - 1)).to(x)
        wider = (log_scales - _FLAT).clamp_(0, torch.finfo(x.dtype).max / 64)
        mass.addcmul_(wider, inside, value=-1 / _LN2)
    return mass.sum(1).add_(logits, alpha=1 / _LN2)


def _log_sum_exp2(t: Tensor) -> Tensor:
    """log Σ 2^t over the components."""
    top = t.amax(1, keepdim=True)
    return (t - top).exp2_().sum(1).log2_().add_(top.squeeze(1)).mul_(_LN2)


def _block_log_prob(
    x: Tensor, logits: Tensor, means: Tensor, log_scales: Tensor, levels: int
) -> Tensor:
    bins = _find_bins(x, means, log_scales, levels)
    joint = _log2_joint(bins, x, logits, log_scales, levels)
    return _log_sum_exp2(joint).sub_(_log_sum_exp2(logits / _LN2))


def _block_gradients(
    dout: Tensor, x: Tensor, logits: Tensor, means: Tensor, log_scales: Tensor, levels: int
) -> tuple[Tensor, Tensor, Tensor]:
    bins, dout = _find_bins(x, means, log_scales, levels), dout.unsqueeze(1)
    share = _log2_joint(bins, x, logits, log_scales, levels).mul_(_LN2).softmax(1).mul_(dout)
    dlogits = torch.addcmul(share, logits.softmax(1), dout, value=-1)
    share = share.unsqueeze(1)
    before, after = (t.mul(_LN2).sigmoid_() for t in (bins.a, bins.minus_b))
    delta = bins.delta.clamp_max_(100)
    dlog_scales = bins.beyond.addcmul_(bins.a, before).addcmul_(bins.minus_b, after).mul_(_LN2)
    dlog_scales.add_(delta).sub_(delta.div_(bins.width)).mul_(share)
    dmeans = before.sub_(after).mul_(bins.inverse).mul_(share * ((levels - 1) * _LN2))
    return dlogits, dmeans, dlog_scales


def _blocks(means: Tensor) -> Iterator[tuple[slice, slice]]:
    """Cut (N, C, K, P) into blocks: of whole images, or of a part of one."""
    n, colours, components, pixels = means.shape
    size = colours * components
    columns = min(pixels, max(1, _BLOCK // size))
    rows = max(1, _BLOCK // (size * columns))
    for row in range(0, n, rows):
        for column in range(0, pixels, columns):
            yield slice(row, row + rows), slice(column, column + columns)


def _forward(x: Tensor, logits: Tensor, means: Tensor, log_scales: Tensor, levels: int) -> Tensor:
    if _on_triton(x):
        return _triton_log_prob(x, logits, means, log_scales, levels)
    out = x.new_empty(len(x), x.shape[-1])

    def compute(block: tuple[slice, slice]) -> None:
        rows, pixels = block
        parts = (part[rows, ..., pixels] for part in (x, logits, means, log_scales))
        out[rows, pixels] = _block_log_prob(*parts, levels)

    parallel_map(compute, _blocks(means), x.device)
    return out


def _backward(
    dout: Tensor, x: Tensor, logits: Tensor, means: Tensor, log_scales: Tensor, levels: int
) -> tuple[Tensor, Tensor, Tensor]:
    if _on_triton(x):
        return _triton_gradients(dout, x, logits, means, log_scales, levels)
    out = tuple(
        torch.empty_like(part, memory_format=torch.contiguous_format)
        for part in (logits, means, log_scales)
    )

    def compute(block: tuple[slice, slice]) -> None:
        rows, pixels = block
        parts = (part[rows, ..., pixels] for part in (dout, x, logits, means, log_scales))
        for gradient, part in zip(out, _block_gradients(*parts, levels), strict=True):
            gradient[rows, ..., pixels] = part

    parallel_map(compute, _blocks(means), x.device)
    return out


# --------------------------------------------------------------------- Triton
# For pixels of all images in a row: x is (N, C, P), logits (N, K, P), means (N, C, K, P).


@triton.jit
def _triton_bins(
    x, mean, log_scale, steps, FLAT: tl.constexpr = _FLAT, TAIL: tl.constexpr = _TAIL
):  # fmt: skip
    """Bins of a tile (pixels, components), and log P; x has a column for each pixel."""
    level = tl.floor(x * steps + 0.5)
    low, high = level == 0, level == steps
    d = level - mean * steps
    inverse = tl.exp(-tl.minimum(tl.maximum(log_scale, -80.0), FLAT)) / steps
    a = tl.where(low, -80.0, tl.minimum(tl.maximum((d - 0.5) * inverse, -80.0), 5e36))
    b = tl.where(high, 80.0, tl.minimum(tl.maximum((d + 0.5) * inverse, -5e36), 80.0))
    delta = tl.where(low | high, 80.0, tl.minimum(inverse, 80.0))
    # 1 − exp(−δ) cancels where δ is small: there, by its series.
    series = delta * (1 - delta / 2 * (1 - delta / 3 * (1 - delta / 4)))
    width = tl.where(delta < 0.03, series, 1 - tl.exp(-delta))
    inside = tl.sigmoid(-tl.minimum(a, TAIL)) * tl.sigmoid(tl.maximum(b, -TAIL)) * width
    mass = tl.log(inside) - tl.maximum(a - TAIL, 0.0) - tl.maximum(-TAIL - b, 0.0)
    mass -= tl.where(low | high, 0.0, tl.maximum(log_scale - FLAT, 0.0))
    return a, b, delta, width, inverse, mass


@triton.jit
def _log_sum_exp(t):
    """log Σ exp over the components of each pixel."""
    top = tl.max(t, 1)
    return top + tl.log(tl.sum(tl.exp(t - top[:, None]), 1))


@triton.jit
def _load_colour(
    x_ptr, means_ptr, log_scales_ptr, pixel, mask, c, n_pixels, P, C, K, steps,
    BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Offsets of the components of colour ``c`` of pixels, and their bins."""
    plane = pixel // P * C + c
    offsets = (plane * K * P + pixel % P)[:, None] + tl.arange(0, BLOCK_K)[None, :] * P
    x = tl.load(x_ptr + plane * P + pixel % P, mask=pixel < n_pixels, other=0.0)
    mean = tl.load(means_ptr + offsets, mask=mask, other=0.0)
    log_scale = tl.load(log_scales_ptr + offsets, mask=mask, other=0.0)
    a, b, delta, width, inverse, mass = _triton_bins(x[:, None], mean, log_scale, steps)
    return offsets, a, b, delta, width, inverse, mass


@triton.jit
def _load_joint(
    x_ptr, logits_ptr, means_ptr, log_scales_ptr, pixel, n_pixels, P, C, K, steps,
    BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Mask and offsets of the logits of pixels, the logits, and these with the masses of all
    colours.
    """
    k = tl.arange(0, BLOCK_K)
    mask = (pixel < n_pixels)[:, None] & (k < K)[None, :]
    offsets = (pixel // P * K * P + pixel % P)[:, None] + k[None, :] * P
    logits = tl.load(logits_ptr + offsets, mask=mask, other=0.0)
    logits = tl.where((k < K)[None, :], logits, -float("inf"))
    joint = logits
    for c in range(C):
        _, _, _, _, _, _, mass = _load_colour(
            x_ptr, means_ptr, log_scales_ptr, pixel, mask, c, n_pixels, P, C, K, steps, BLOCK_K,
        )  # fmt: skip
        joint += mass
    return mask, offsets, logits, joint


@triton.jit
def _log_prob_kernel(
    x_ptr, logits_ptr, means_ptr, log_scales_ptr, out_ptr, n_pixels, P, C, K, steps,
    BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """log-probability of BLOCK_N pixels."""
    pixel = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    _, _, logits, joint = _load_joint(
        x_ptr, logits_ptr, means_ptr, log_scales_ptr, pixel, n_pixels, P, C, K, steps, BLOCK_K,
    )  # fmt: skip
    tl.store(out_ptr + pixel, _log_sum_exp(joint) - _log_sum_exp(logits), mask=pixel < n_pixels)


@triton.jit
def _gradients_kernel(
    dout_ptr, x_ptr, logits_ptr, means_ptr, log_scales_ptr,
    dlogits_ptr, dmeans_ptr, dlog_scales_ptr, n_pixels, P, C, K, steps,
    BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Gradients of BLOCK_N pixels."""
    pixel = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    mask, offsets, logits, joint = _load_joint(
        x_ptr, logits_ptr, means_ptr, log_scales_ptr, pixel, n_pixels, P, C, K, steps, BLOCK_K,
    )  # fmt: skip
    dout = tl.load(dout_ptr + pixel, mask=pixel < n_pixels, other=0.0)[:, None]
    share = dout * tl.exp(joint - _log_sum_exp(joint)[:, None])
    prior = dout * tl.exp(logits - _log_sum_exp(logits)[:, None])
    tl.store(dlogits_ptr + offsets, share - prior, mask=mask)
    for c in range(C):
        offsets, a, b, delta, width, inverse, _ = _load_colour(
            x_ptr, means_ptr, log_scales_ptr, pixel, mask, c, n_pixels, P, C, K, steps, BLOCK_K,
        )  # fmt: skip
        before, after = tl.sigmoid(a), tl.sigmoid(-b)
        dmean = share * (before - after) * inverse * steps
        dlog_scale = share * (a * before - b * after - delta * (1 - width) / width)
        tl.store(dmeans_ptr + offsets, dmean, mask=mask)
        tl.store(dlog_scales_ptr + offsets, dlog_scale, mask=mask)


_TILE = 1024  # values of a program's tile


def _on_triton(x: Tensor) -> bool:
    return x.dtype == torch.float32 and runs_triton(x.device)


def _launch(kernel: Callable, arguments: tuple[Tensor, ...], means: Tensor, levels: int) -> None:
    """Run a kernel over all pixels, its tensors first."""
    n, colours, components, pixels = means.shape
    tile = _tile(components)
    launch(
        kernel, (triton.cdiv(n * pixels, tile["BLOCK_N"]),), means.device,
        *arguments, n * pixels, pixels, colours, components, float(levels - 1), **tile,
    )  # fmt: skip


def _tile(components: int) -> dict[str, object]:
    """Shape of a program's tile, powers of two."""
    block_k = triton.next_power_of_2(components)
    block_n = max(1, _TILE // block_k)
    return {"BLOCK_N": block_n, "BLOCK_K": block_k, "num_warps": 4}


def _triton_log_prob(
    x: Tensor, logits: Tensor, means: Tensor, log_scales: Tensor, levels: int
) -> Tensor:
    out = x.new_empty(len(x), x.shape[-1])
    arguments = [part.contiguous() for part in (x, logits, means, log_scales)]
    _launch(_log_prob_kernel, (*arguments, out), means, levels)
    return out


def _triton_gradients(
    dout: Tensor, x: Tensor, logits: Tensor, means: Tensor, log_scales: Tensor, levels: int
) -> tuple[Tensor, Tensor, Tensor]:
    arguments = [part.contiguous() for part in (dout, x, logits, means, log_scales)]
    gradients = tuple(torch.empty_like(part) for part in arguments[2:])
    _launch(_gradients_kernel, (*arguments, *gradients), means, levels)
    return gradients


# --------------------------------------------------------------------- the operator


@torch.library.custom_op(
    "genlib::logistic_mixture",
    mutates_args=(),
    schema="(Tensor x, Tensor logits, Tensor means, Tensor log_scales, int levels) -> Tensor",
)
def _operator(x, logits, means, log_scales, levels):
    with torch.autocast(x.device.type, enabled=False):
        return _forward(x, logits, means, log_scales, levels)


@torch.library.custom_op(
    "genlib::logistic_mixture_backward",
    mutates_args=(),
    schema="(Tensor dout, Tensor x, Tensor logits, Tensor means, Tensor log_scales, int levels)"
    " -> (Tensor, Tensor, Tensor)",
)
def _backward_operator(dout, x, logits, means, log_scales, levels):
    with torch.autocast(x.device.type, enabled=False):
        return _backward(dout, x, logits, means, log_scales, levels)


@_operator.register_fake
def _(x, logits, means, log_scales, levels):
    return x.new_empty(len(x), x.shape[-1])


@_backward_operator.register_fake
def _(dout, x, logits, means, log_scales, levels):
    return tuple(part.new_empty(part.shape) for part in (logits, means, log_scales))


def _save(ctx, inputs, output):
    *tensors, ctx.levels = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx, dout):
    return None, *_backward_operator(dout, *ctx.saved_tensors, ctx.levels), None


def _refuse(ctx, *_):
    raise NotImplementedError(
        "logistic_mixture_log_prob: second derivatives are not implemented; "
        "logistic_mixture_log_prob_reference has them."
    )


_operator.register_autograd(_differentiate, setup_context=_save)
_backward_operator.register_autograd(_refuse)


# --------------------------------------------------------------------- the public function


def logistic_mixture_log_prob(
    x: Tensor, logits: Tensor, means: Tensor, log_scales: Tensor, levels: int = 256
) -> Tensor:
    """Log-probability of pixels under a discretised mixture of K logistics.

    Differentiable once with respect to logits, means and log-scales. Finite for all finite
    arguments: of distances and narrow scales beyond the square root of what the dtype holds, that
    root is taken. Under `torch.autocast`, parameters in its short dtype are taken in that of ``x``,
    in which the result is.

    Parameters
    ----------
    x : Tensor, shape (N, C, \\*places)
        Values k / (levels − 1), rounded to the nearest level. float32 or float64.
    logits : Tensor, shape (N, K, \\*places)
        Weights of the components before the softmax, in the dtype and on the device of ``x``.
    means, log_scales : Tensor, shape (N, C, K, \\*places)
        Of the logistics, in the unit of ``x``: black is 0, white is 1.
    levels : int
        Number of levels, at least 2.

    Returns
    -------
    Tensor, shape (N, \\*places)
        Nats; the C values of a pixel share its component.

    Raises
    ------
    TypeError
        If an argument is not a tensor, is neither float32 nor float64, or has another dtype than
        ``x``.
    ValueError
        If shapes or devices do not agree, there is nothing, or fewer than two levels.

    Notes
    -----
    The mathematics stands at the top of this file.
    """
    logits, means, log_scales = undo_autocast(x, logits, means, log_scales)
    _check(x, logits, means, log_scales, levels)
    flat = [part.flatten(lead) for part, lead in ((x, 2), (logits, 2), (means, 3), (log_scales, 3))]
    return _operator(*flat, levels).view(len(x), *x.shape[2:])


def _check(x: Tensor, logits: Tensor, means: Tensor, log_scales: Tensor, levels: int) -> None:
    """Raise unless types, dtypes, devices and shapes agree."""
    given = {"x": x, "logits": logits, "means": means, "log_scales": log_scales}
    for name, value in given.items():
        check_operand(value, name, x)
    if not isinstance(levels, int) or levels < 2:
        raise ValueError(f"levels: expected an integer of at least 2, got {levels!r}.")
    if x.dim() < 3 or 0 in x.shape:
        raise ValueError(
            "x: expected shape (N, C, ...), at least one value and one dimension of places, got "
            f"{tuple(x.shape)}."
        )
    n, colours, *places = x.shape
    if logits.dim() != x.dim() or logits.shape[1] == 0:
        raise ValueError(
            f"logits: expected shape ({n}, K, {', '.join(map(str, places))}), at least one "
            f"component, got {tuple(logits.shape)}."
        )
    components = logits.shape[1]
    check_shape("logits", logits, (n, components, *places))
    check_shape("means", means, (n, colours, components, *places))
    check_shape("log_scales", log_scales, (n, colours, components, *places))
