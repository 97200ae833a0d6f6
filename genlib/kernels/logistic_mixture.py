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
difference would be −∞.

**Gradients.** With r_j the share of component j in the sum::

    ∂f/∂l_j     = r_j − softmax(l)_j
    ∂f/∂μ_j     = r_j (σ(a) − σ(−b)) / s
    ∂f/∂log s_j = r_j (a σ(a) − b σ(−b) − δ / (exp(δ) − 1))

Both passes take the pixels in blocks that fit the cache, and the backward pass computes its block
again: between the two, nothing is kept but the arguments.

References
----------
[1] Salimans, Karpathy, Chen and Kingma (2017), "PixelCNN++", ICLR.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from genlib.kernels._checks import check_operand, check_shape
from genlib.kernels._dispatch import launch, runs_triton, tl, triton
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
_TAIL = 60.0


# --------------------------------------------------------------------- blocks, in plain torch

_BLOCK = 2**16  # values of a block, of which ten copies or so are alive at a time


class _Edges(NamedTuple):
    """Where the bins of a block lie under each component, (n, C, K, p)."""

    a: Tensor
    b: Tensor
    delta: Tensor
    inverse: Tensor  # 1 / s'

    @classmethod
    def of(cls, x: Tensor, means: Tensor, log_scales: Tensor, levels: int) -> "_Edges":
        limits = torch.finfo(x.dtype)
        level = (x * (levels - 1)).round_().unsqueeze(2)
        # An edge at infinity is one beyond reach: what is then too large is cut off below.
        far = limits.max**0.9
        below = (level == 0).to(x).mul_(far).add_(0.5)
        above = (level == levels - 1).to(x).mul_(far).add_(0.5)
        # Torch is slow where an exponential leaves the range of its dtype.
        narrowest = math.log(limits.tiny) + 1 + math.log(levels - 1)
        inverse = (-math.log(levels - 1) - log_scales.clamp(narrowest, _FLAT)).exp_()
        d = torch.sub(level, means, alpha=levels - 1)
        most = limits.max / 64
        a = (d - below).mul_(inverse).clamp_(-most, most)
        b = d.add_(above).mul_(inverse).clamp_(-most, most)
        return cls(a, b, (below + above) * inverse, inverse)


def _log_mass(edges: _Edges, x: Tensor, log_scales: Tensor, levels: int) -> Tensor:
    """log P of each value under each component, (n, C, K, p)."""
    a, b = edges.a.clamp_max(_TAIL), edges.b.clamp_min(-_TAIL)
    mass = a.neg().sigmoid_().mul_(b.sigmoid()).mul_(edges.delta.neg().expm1_()).neg_().log_()
    mass.sub_(edges.a - a).sub_(b - edges.b)
    if log_scales.max() > _FLAT:
        level = (x * (levels - 1)).round().unsqueeze(2)
        mass -= (log_scales - _FLAT).relu_().where((level > 0) & (level < levels - 1), 0)
    return mass


def _block_log_prob(
    x: Tensor, logits: Tensor, means: Tensor, log_scales: Tensor, levels: int
) -> Tensor:
    edges = _Edges.of(x, means, log_scales, levels)
    mass = _log_mass(edges, x, log_scales, levels)
    return (mass.sum(1) + logits).logsumexp(1) - logits.logsumexp(1)


def _block_gradients(
    g: Tensor, x: Tensor, logits: Tensor, means: Tensor, log_scales: Tensor, levels: int
) -> tuple[Tensor, Tensor, Tensor]:
    edges = _Edges.of(x, means, log_scales, levels)
    joint = _log_mass(edges, x, log_scales, levels).sum(1).add_(logits)
    share = joint.softmax(1).mul_(g.unsqueeze(1))
    of_logits = torch.addcmul(share, logits.softmax(1), g.unsqueeze(1), value=-1)
    share = share.unsqueeze(1)
    before, after = edges.a.sigmoid(), edges.b.neg().sigmoid_()
    of_log_scales = edges.a.mul_(before).sub_(edges.b.mul_(after))
    delta = edges.delta.clamp_(1e-30, 100)
    of_log_scales.sub_(delta.div_(delta.expm1())).mul_(share)
    of_means = before.sub_(after).mul_(edges.inverse).mul_(share).mul_(levels - 1)
    return of_logits, of_means, of_log_scales


def _blocks(means: Tensor) -> Iterator[tuple[slice, slice]]:
    """Cut (N, C, K, P) into blocks: of whole images, or of a part of one."""
    n, colours, components, places = means.shape
    size = colours * components
    columns = min(places, max(1, _BLOCK // size))
    rows = max(1, _BLOCK // (size * columns))
    for row in range(0, n, rows):
        for column in range(0, places, columns):
            yield slice(row, row + rows), slice(column, column + columns)


def _forward(x: Tensor, logits: Tensor, means: Tensor, log_scales: Tensor, levels: int) -> Tensor:
    if _on_triton(x):
        return _triton_log_prob(x, logits, means, log_scales, levels)
    out = x.new_empty(len(x), x.shape[-1])

    def compute(block: tuple[slice, slice]) -> None:
        rows, places = block
        parts = (part[rows, ..., places] for part in (x, logits, means, log_scales))
        out[rows, places] = _block_log_prob(*parts, levels)

    parallel_map(compute, _blocks(means))
    return out


def _backward(
    g: Tensor, x: Tensor, logits: Tensor, means: Tensor, log_scales: Tensor, levels: int
) -> tuple[Tensor, Tensor, Tensor]:
    if _on_triton(x):
        return _triton_gradients(g, x, logits, means, log_scales, levels)
    out = tuple(
        torch.empty_like(part, memory_format=torch.contiguous_format)
        for part in (logits, means, log_scales)
    )

    def compute(block: tuple[slice, slice]) -> None:
        rows, places = block
        parts = (part[rows, ..., places] for part in (g, x, logits, means, log_scales))
        for gradient, part in zip(out, _block_gradients(*parts, levels), strict=True):
            gradient[rows, ..., places] = part

    parallel_map(compute, _blocks(means))
    return out


# --------------------------------------------------------------------- Triton


@triton.jit
def _triton_sigmoid(t):
    return 1 / (1 + tl.exp(-tl.minimum(tl.maximum(t, -80.0), 80.0)))


@triton.jit
def _triton_edges(x, mean, log_scale, steps, FLAT: tl.constexpr, TAIL: tl.constexpr):
    """Edges of a tile (pixels, components), and log P; x has a column for each pixel."""
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
    inside = _triton_sigmoid(-tl.minimum(a, TAIL)) * _triton_sigmoid(tl.maximum(b, -TAIL)) * width
    mass = tl.log(inside) - tl.maximum(a - TAIL, 0.0) - tl.maximum(-TAIL - b, 0.0)
    mass -= tl.where(low | high, 0.0, tl.maximum(log_scale - FLAT, 0.0))
    return a, b, delta, width, inverse, mass


@triton.jit
def _log_sum(t):
    """log Σ exp over the components of each pixel."""
    top = tl.max(t, 1)
    return top + tl.log(tl.sum(tl.exp(t - top[:, None]), 1))


@triton.jit
def _triton_colour(
    x_ptr, mean_ptr, scale_ptr, i, inside, c, pixels, places, colours, components, steps,
    FLAT: tl.constexpr, TAIL: tl.constexpr, COMPONENTS: tl.constexpr,
):  # fmt: skip
    """Where the components of colour ``c`` of pixels ``i`` stand, and their edges."""
    plane, place = i // places * colours + c, i % places
    j = tl.arange(0, COMPONENTS)
    at = (plane * components * places + place)[:, None] + j[None, :] * places
    x = tl.load(x_ptr + plane * places + place, mask=i < pixels, other=0.0)
    mean = tl.load(mean_ptr + at, mask=inside, other=0.0)
    log_scale = tl.load(scale_ptr + at, mask=inside, other=0.0)
    a, b, delta, width, inverse, mass = _triton_edges(
        x[:, None], mean, log_scale, steps, FLAT, TAIL
    )
    return at, a, b, delta, width, inverse, mass


@triton.jit
def _triton_joint(
    x_ptr, logit_ptr, mean_ptr, scale_ptr, i, pixels, places, colours, components, steps,
    FLAT: tl.constexpr, TAIL: tl.constexpr, COMPONENTS: tl.constexpr,
):  # fmt: skip
    """Which entries of the tile there are, where their logits stand, these, and with all masses."""
    j = tl.arange(0, COMPONENTS)
    inside = (i < pixels)[:, None] & (j < components)[None, :]
    logit_at = (i // places * components * places + i % places)[:, None] + j[None, :] * places
    logit = tl.load(logit_ptr + logit_at, mask=inside, other=0.0)
    logit = tl.where((j < components)[None, :], logit, -float("inf"))
    joint = logit
    for c in range(colours):
        _, _, _, _, _, _, mass = _triton_colour(
            x_ptr, mean_ptr, scale_ptr, i, inside, c, pixels, places, colours, components, steps,
            FLAT, TAIL, COMPONENTS,
        )  # fmt: skip
        joint += mass
    return inside, logit_at, logit, joint


@triton.jit
def _log_prob_kernel(
    x_ptr, logit_ptr, mean_ptr, scale_ptr, out_ptr, pixels, places, colours, components, steps,
    FLAT: tl.constexpr, TAIL: tl.constexpr, PIXELS: tl.constexpr, COMPONENTS: tl.constexpr,
):  # fmt: skip
    """log-probability of PIXELS pixels."""
    i = tl.program_id(0).to(tl.int64) * PIXELS + tl.arange(0, PIXELS)
    _, _, logit, joint = _triton_joint(
        x_ptr, logit_ptr, mean_ptr, scale_ptr, i, pixels, places, colours, components, steps,
        FLAT, TAIL, COMPONENTS,
    )  # fmt: skip
    tl.store(out_ptr + i, _log_sum(joint) - _log_sum(logit), mask=i < pixels)


@triton.jit
def _gradients_kernel(
    g_ptr, x_ptr, logit_ptr, mean_ptr, scale_ptr, of_logit_ptr, of_mean_ptr, of_scale_ptr,
    pixels, places, colours, components, steps,
    FLAT: tl.constexpr, TAIL: tl.constexpr, PIXELS: tl.constexpr, COMPONENTS: tl.constexpr,
):  # fmt: skip
    """Gradients of PIXELS pixels."""
    i = tl.program_id(0).to(tl.int64) * PIXELS + tl.arange(0, PIXELS)
    inside, logit_at, logit, joint = _triton_joint(
        x_ptr, logit_ptr, mean_ptr, scale_ptr, i, pixels, places, colours, components, steps,
        FLAT, TAIL, COMPONENTS,
    )  # fmt: skip
    g = tl.load(g_ptr + i, mask=i < pixels, other=0.0)[:, None]
    share = g * tl.exp(joint - _log_sum(joint)[:, None])
    prior = g * tl.exp(logit - _log_sum(logit)[:, None])
    tl.store(of_logit_ptr + logit_at, share - prior, mask=inside)
    for c in range(colours):
        at, a, b, delta, width, inverse, _ = _triton_colour(
            x_ptr, mean_ptr, scale_ptr, i, inside, c, pixels, places, colours, components, steps,
            FLAT, TAIL, COMPONENTS,
        )  # fmt: skip
        before, after = _triton_sigmoid(a), _triton_sigmoid(-b)
        of_mean = share * (before - after) * inverse * steps
        of_scale = share * (a * before - b * after - delta * (1 - width) / width)
        tl.store(of_mean_ptr + at, of_mean, mask=inside)
        tl.store(of_scale_ptr + at, of_scale, mask=inside)


_TILE = 1024  # values of a program's tile


def _on_triton(x: Tensor) -> bool:
    return x.dtype == torch.float32 and runs_triton(x.device)


def _tile(means: Tensor) -> dict[str, object]:
    """Shape of a program's tile, powers of two."""
    components = triton.next_power_of_2(means.shape[2])
    pixels = max(1, _TILE // components)
    shape = {"PIXELS": pixels, "COMPONENTS": components, "num_warps": 4}
    return shape | {"FLAT": _FLAT, "TAIL": _TAIL}


def _triton_log_prob(
    x: Tensor, logits: Tensor, means: Tensor, log_scales: Tensor, levels: int
) -> Tensor:
    n, colours, components, places = means.shape
    out, tile = x.new_empty(n, places), _tile(means)
    arguments = [part.contiguous() for part in (x, logits, means, log_scales)]
    launch(
        _log_prob_kernel, (triton.cdiv(n * places, tile["PIXELS"]),), x.device,
        *arguments, out, n * places, places, colours, components, float(levels - 1), **tile,
    )  # fmt: skip
    return out


def _triton_gradients(
    g: Tensor, x: Tensor, logits: Tensor, means: Tensor, log_scales: Tensor, levels: int
) -> tuple[Tensor, Tensor, Tensor]:
    n, colours, components, places = means.shape
    tile = _tile(means)
    arguments = [part.contiguous() for part in (g, x, logits, means, log_scales)]
    out = tuple(torch.empty_like(part) for part in arguments[2:])
    launch(
        _gradients_kernel, (triton.cdiv(n * places, tile["PIXELS"]),), x.device,
        *arguments, *out, n * places, places, colours, components, float(levels - 1), **tile,
    )  # fmt: skip
    return out


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
    schema="(Tensor g, Tensor x, Tensor logits, Tensor means, Tensor log_scales, int levels)"
    " -> (Tensor, Tensor, Tensor)",
)
def _backward_operator(g, x, logits, means, log_scales, levels):
    with torch.autocast(x.device.type, enabled=False):
        return _backward(g, x, logits, means, log_scales, levels)


@_operator.register_fake
def _(x, logits, means, log_scales, levels):
    return x.new_empty(len(x), x.shape[-1])


@_backward_operator.register_fake
def _(g, x, logits, means, log_scales, levels):
    return tuple(part.new_empty(part.shape) for part in (logits, means, log_scales))


def _save(ctx, inputs, output):
    *tensors, ctx.levels = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx, g):
    return None, *_backward_operator(g, *ctx.saved_tensors, ctx.levels), None


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
    arguments: what float32 cannot hold comes out as a number close to its largest.

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
