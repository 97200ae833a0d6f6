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

import torch
from torch import Tensor

from genlib.kernels._checks import check_operand, check_shape
from genlib.kernels._dispatch import undo_autocast
from genlib.kernels.nade._passes import backward, forward, sample


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


# --------------------------------------------------------------------- the operators


@torch.library.custom_op(
    "genlib::nade_logits",
    mutates_args=(),
    schema="(Tensor x, Tensor w, Tensor c, Tensor v, Tensor b) -> Tensor",
)
def _operator(x, w, c, v, b):
    with torch.autocast(x.device.type, enabled=False):
        return forward(x, w, c, v, b)


@torch.library.custom_op(
    "genlib::nade_logits_backward",
    mutates_args=(),
    schema="(Tensor dlogits, Tensor x, Tensor w, Tensor c, Tensor v, bool[] needs) -> Tensor[]",
)
def _backward_operator(dlogits, x, w, c, v, needs):
    with torch.autocast(x.device.type, enabled=False):
        gradients = backward(dlogits, x, w, c, v, needs)
    pairs = zip(gradients, needs, strict=True)
    return [part.contiguous() if need else part.new_empty(0) for part, need in pairs]


@torch.library.custom_op(
    "genlib::nade_sample",
    mutates_args=(),
    schema="(Tensor u, Tensor w, Tensor c, Tensor v, Tensor b) -> Tensor",
)
def _sample_operator(u, w, c, v, b):
    with torch.autocast(u.device.type, enabled=False):
        return sample(u, w, c, v, b)


@_operator.register_fake
def _(x, w, c, v, b):
    return x.new_empty(x.shape)


@_backward_operator.register_fake
def _(dlogits, x, w, c, v, needs):
    pairs = zip((x, w, c, v), needs, strict=True)
    return [x.new_empty(like.shape if need else 0) for like, need in pairs]


@_sample_operator.register_fake
def _(u, w, c, v, b):
    return u.new_empty(u.shape)


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs[:4])


def _differentiate(ctx, dlogits):
    *needs, needs_b = ctx.needs_input_grad
    gradients = _backward_operator(dlogits, *ctx.saved_tensors, needs)
    wanted = (gradient if need else None for gradient, need in zip(gradients, needs, strict=True))
    return *wanted, dlogits.sum(0) if needs_b else None


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
    with D · H for each thread; never with N · D · H. Time grows, on a CPU, with the number of
    values that are not zero; a gradient of ``x`` and a bias for each value make all values count.
    Under `torch.autocast`, weights in its short dtype are taken in that of ``x``, in which the
    result is.

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
    w, c, v, b = undo_autocast(x, w, c, v, b)
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
    w, c, v, b = undo_autocast(u, w, c, v, b)
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
