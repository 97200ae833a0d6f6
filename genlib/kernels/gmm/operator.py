"""Log-densities of Gaussian components with full covariances, and the moments that EM needs.

For rows x_1 … x_N in D dimensions and K components with mean μ_k, whitener W_k (D × D, Σ_k⁻¹ = W_k
W_kᵀ) and log peak a_k = log(π_k abs det W_k) − (D/2) log 2π::

    y_nk = (x_n − μ_k) W_k                   the row as component k sees it
    t_nk = a_k − ½ ‖y_nk‖²                   = log π_k N(x_n; μ_k, Σ_k)
    r_nk = exp(t_nk − log Σ_j exp t_nj)      responsibility of component k for row n

    M⁰_k = Σ_n r_nk      M¹_k = Σ_n r_nk y_nk      M²_k = Σ_n r_nk y_nkᵀ y_nk

The moments are those of the whitened rows: with δ = M¹/M⁰ and C = M²/M⁰ − δᵀδ, the M-step is

    μ ← μ + δ W⁻¹        Σ ← W⁻ᵀ C W⁻¹

In these coordinates C is near the identity once EM has settled, so that float32 sums give all
eigenvalues of Σ to their own precision, whatever the condition number; a sum of r x xᵀ would give
the small ones to that of the largest, and lose as much again to the mean. For the same reason t is
computed from differences: ‖x‖² − 2 x·μ + ‖μ‖² is cheaper by little, and cancels.

**Blocks.** No N × K × D array exists. On a CPU, rows are taken in blocks whose y, for all
components, fit into a cache; in `gmm_moments` each block is whitened once, weighted and multiplied
with itself, so that an iteration of EM reads the rows once. In Triton, a program whitens a tile of
rows for one component after the other; the moments take a second launch, which whitens again.

The gradients of Σ g_nk t_nk, with P_k = W_k W_kᵀ::

    ∂/∂x_n = −Σ_k g_nk (x_n − μ_k) P_k       ∂/∂μ_k = Σ_n g_nk (x_n − μ_k) P_k
    ∂/∂W_k = −Σ_n g_nk (x_n − μ_k)ᵀ y_nk     ∂/∂a_k = Σ_n g_nk
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from genlib.kernels._checks import check_operand, check_shape
from genlib.kernels._dispatch import runs_triton, undo_autocast
from genlib.kernels.gmm import _blocks, _gpu


class Moments(NamedTuple):
    """What one pass over the rows says to EM; the sums in float64."""

    log_prob: Tensor  # (N,), log p(x_n) in nats
    zeroth: Tensor  # (K,)
    first: Tensor  # (K, D)
    second: Tensor  # (K, D, D)


def gmm_log_joint_reference(
    x: Tensor, means: Tensor, whiteners: Tensor, log_peaks: Tensor
) -> Tensor:
    """Compute `gmm_log_joint` as it is defined, with all whitened rows in memory."""
    y = torch.einsum("nkd,kde->nke", x[:, None] - means, whiteners)
    return log_peaks - 0.5 * y.square().sum(-1)


def gmm_moments_reference(
    x: Tensor, means: Tensor, whiteners: Tensor, log_peaks: Tensor
) -> Moments:
    """Compute `gmm_moments` as it is defined, with all whitened rows in memory."""
    y = torch.einsum("nkd,kde->nke", x[:, None] - means, whiteners)
    t = log_peaks - 0.5 * y.square().sum(-1)
    log_p = t.logsumexp(1)
    r = (t - log_p[:, None]).exp()
    second = torch.einsum("nk,nkd,nke->kde", r, y, y)
    sums = r.sum(0), torch.einsum("nk,nkd->kd", r, y), second
    return Moments(log_p, *(each.double() for each in sums))


# --------------------------------------------------------------------- the operators


@torch.library.custom_op(
    "genlib::gmm_log_joint",
    mutates_args=(),
    schema="(Tensor x, Tensor means, Tensor whiteners, Tensor log_peaks) -> Tensor",
)
def _operator(x, means, whiteners, log_peaks):
    with torch.autocast(x.device.type, enabled=False):
        return _backend(x).log_joint(x, means, whiteners, log_peaks)


@torch.library.custom_op(
    "genlib::gmm_log_joint_backward",
    mutates_args=(),
    schema="(Tensor g, Tensor x, Tensor means, Tensor whiteners, bool[] needs) -> Tensor[]",
)
def _backward_operator(g, x, means, whiteners, needs):
    with torch.autocast(x.device.type, enabled=False):
        return _blocks.gradients(g, x, means, whiteners, needs)


@torch.library.custom_op(
    "genlib::gmm_moments",
    mutates_args=(),
    schema="(Tensor x, Tensor means, Tensor whiteners, Tensor log_peaks)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
)
def _moments_operator(x, means, whiteners, log_peaks):
    with torch.autocast(x.device.type, enabled=False):
        return _backend(x).moments(x, means, whiteners, log_peaks)


@_operator.register_fake
def _(x, means, whiteners, log_peaks):
    return x.new_empty(len(x), len(means))


@_backward_operator.register_fake
def _(g, x, means, whiteners, needs):
    pairs = zip((x, means, whiteners), needs, strict=True)
    return [torch.empty_like(like) if need else like.new_empty(0) for like, need in pairs]


@_moments_operator.register_fake
def _(x, means, whiteners, log_peaks):
    k, d = means.shape
    wide = [x.new_empty(shape, dtype=torch.float64) for shape in ((k,), (k, d), (k, d, d))]
    return x.new_empty(len(x)), *wide


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs[:3])


def _differentiate(ctx, g):
    *needs, needs_peaks = ctx.needs_input_grad
    found = _backward_operator(g, *ctx.saved_tensors, needs)
    wanted = (part if need else None for part, need in zip(found, needs, strict=True))
    return *wanted, g.sum(0) if needs_peaks else None


def _refuse(ctx, *_):
    raise NotImplementedError(
        "gmm_log_joint: second derivatives are not implemented; gmm_log_joint_reference has them, "
        "with all whitened rows in memory."
    )


_operator.register_autograd(_differentiate, setup_context=_save)
_backward_operator.register_autograd(_refuse)


def _backend(x: Tensor):
    return _gpu if x.dtype == torch.float32 and runs_triton(x.device) else _blocks


# --------------------------------------------------------------------- the public functions


def gmm_log_joint(x: Tensor, means: Tensor, whiteners: Tensor, log_peaks: Tensor) -> Tensor:
    """log π_k N(x_n; μ_k, Σ_k) = log_peaks_k − ½ ‖(x_n − μ_k) W_k‖² of each row and component.

    Differentiable once with respect to all arguments. Memory grows with
    N · K, not with N · K · D.

    Parameters
    ----------
    x : Tensor, shape (N, D)
        float32 or float64.
    means : Tensor, shape (K, D)
        In the dtype and on the device of ``x``, as are the others.
    whiteners : Tensor, shape (K, D, D)
        W_k, with Σ_k⁻¹ = W_k W_kᵀ: the inverse transpose of the Cholesky factor of Σ_k, or any
        other.
    log_peaks : Tensor, shape (K,)
        log(π_k abs det W_k) − (D/2) log 2π: what t is at the mean.

    Returns
    -------
    Tensor, shape (N, K)
        Nats. With κ the condition number of Σ_k and ε that of the dtype, the relative error of the
        square is about ε √κ √D; nothing is lost to the distance from the origin.

    Raises
    ------
    TypeError
        If an argument is not a tensor, is neither float32 nor float64, or has another dtype than x.
    ValueError
        If shapes or devices do not agree, or there is no row, dimension or component.

    Notes
    -----
    The mathematics stands at the top of this file.
    """
    means, whiteners, log_peaks = undo_autocast(x, means, whiteners, log_peaks)
    _check(x, means, whiteners, log_peaks)
    return _operator(x, means, whiteners, log_peaks)


@torch.no_grad()
def gmm_moments(x: Tensor, means: Tensor, whiteners: Tensor, log_peaks: Tensor) -> Moments:
    """log p(x_n) of each row, and what an M-step needs, in one pass over the rows.

    It has no gradient. Memory grows with N + K · D².

    Parameters
    ----------
    x, means, whiteners, log_peaks : Tensor
        As for `gmm_log_joint`.

    Returns
    -------
    Moments
        log_prob (N,), and in float64 the sums over rows of r_nk, r_nk y_nk and r_nk y_nkᵀ y_nk,
        where y_nk = (x_n − μ_k) W_k and r are the responsibilities. Within a block of rows float32
        is summed in float32: an error of about 1e-6 of the largest sum, and of up to 1e-4 where a
        million rows are all alike and their roundings do not cancel.

    Raises
    ------
    TypeError, ValueError
        As for `gmm_log_joint`.
    """
    means, whiteners, log_peaks = undo_autocast(x, means, whiteners, log_peaks)
    _check(x, means, whiteners, log_peaks)
    return Moments(*_moments_operator(x, means, whiteners, log_peaks))


def _check(x: Tensor, means: Tensor, whiteners: Tensor, log_peaks: Tensor) -> None:
    """Raise unless types, dtypes, devices and shapes agree."""
    named = {"x": x, "means": means, "whiteners": whiteners, "log_peaks": log_peaks}
    for name, value in named.items():
        check_operand(value, name, x)
    if x.dim() != 2 or 0 in x.shape:
        raise ValueError(
            f"x: expected shape (N, D), at least one row and one column, got {tuple(x.shape)}."
        )
    dims = x.shape[1]
    if means.dim() != 2 or len(means) == 0 or means.shape[1] != dims:
        raise ValueError(
            f"means: expected shape (K, {dims}), a row for each of at least one component, got "
            f"{tuple(means.shape)}."
        )
    check_shape("whiteners", whiteners, (len(means), dims, dims))
    check_shape("log_peaks", log_peaks, (len(means),))
