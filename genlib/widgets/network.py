"""Small networks that run in the page: what Python hands over, and what it refuses.

Weights travel as float32 in base64, and the page and torch agree within 10⁻⁶ of the largest output.
In half precision they would be half as long, but its 11 bits move outputs by 10⁻⁴ and more.
"""

from __future__ import annotations

import base64
import copy
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from genlib.core.validation import check_count

LARGEST_WEIGHTS = 300_000  # bytes: a page is read on phones
LARGEST_WORK = 20_000_000  # multiplications a pass: a tenth of a second on a laptop
Layer = dict[str, Any]
Shape = tuple[int, ...]


def exported(net: nn.Sequential, event_shape: Sequence[int]) -> list[Layer]:
    """The layers of ``net``, in evaluation mode, for ``kit.network`` of the page.

    Each has the shape of what it puts out, and its weights in float32.

    Parameters
    ----------
    net : nn.Sequential
        Of Linear, Conv2d, ConvTranspose2d, BatchNorm, nearest Upsample, Flatten, Unflatten,
        Dropout, Softmax, ReLU, LeakyReLU, ELU, Softplus, Sigmoid, Tanh, SiLU, GELU and Sequential
        again; at most 300,000 bytes of weights, and 20 million multiplications a pass.
    event_shape : sequence of int
        Shape of one input, without rows.

    Raises
    ------
    TypeError, ValueError
        Another network or layer, a variant of one that the page does not compute, too many weights
        or multiplications, weights that are not finite, or layers that do not fit together or onto
        the input.
    """
    if not _is_plain(net):
        raise TypeError(f"net: expected an nn.Sequential, got {type(net).__name__}.")
    numbers = sum(value.numel() for value in net.state_dict().values())
    if 4 * numbers > LARGEST_WEIGHTS:
        raise ValueError(
            f"net: expected at most {LARGEST_WEIGHTS:,} bytes of weights, which are "
            f"{LARGEST_WEIGHTS // 4:,} numbers in float32, got {numbers:,} numbers; make it "
            "narrower."
        )
    for size in event_shape:
        check_count(size, "event_shape")
    x, layers, work = torch.zeros(2, *event_shape, dtype=torch.float32), [], 0
    for name, layer in _flattened(copy.deepcopy(net).float().cpu().eval(), "net"):
        described = f"{name}, {layer}"
        for weight, values in layer.state_dict().items():
            if not torch.isfinite(values).all():
                raise ValueError(f"{described}: expected finite weights, got others in {weight}.")
        shape = tuple(x.shape[1:])
        x = _passed(layer, x, described)
        _check_known(layer, described)
        form = _form(layer, shape, described)
        layers.append({**form, "shape": list(x.shape[1:])})
        work += _multiplications(layer, shape, x.shape[1:])
    if not layers:
        raise ValueError("net: expected at least one layer, got none.")
    if work > LARGEST_WORK:
        raise ValueError(
            f"net: expected at most {LARGEST_WORK:,} multiplications for one input, so that a "
            f"figure follows the hand, got {work:,}; make its images smaller, or it narrower."
        )
    return layers


def weights(values: Tensor) -> str:
    """Numbers as little-endian float32 in base64."""
    return base64.b64encode(values.detach().numpy().astype("<f4").tobytes()).decode()


def _multiplications(layer: nn.Module, before: Shape, after: Shape) -> int:
    """How many a layer makes of one input: each weight once a place where it is used."""
    if isinstance(layer, nn.Linear):
        return layer.weight.numel()
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        places = before if isinstance(layer, nn.ConvTranspose2d) else after
        return layer.weight.numel() * math.prod(places[1:])
    return math.prod(after)


def _is_plain(net: object) -> bool:
    """Whether it runs its layers one after another, and does nothing else."""
    return isinstance(net, nn.Sequential) and type(net).forward is nn.Sequential.forward


def _flattened(net: nn.Sequential, name: str) -> Iterator[tuple[str, nn.Module]]:
    _check_unhooked(net, name)
    for i, layer in enumerate(net):
        if _is_plain(layer):
            yield from _flattened(layer, f"{name}[{i}]")
        else:
            _check_unhooked(layer, f"{name}[{i}]")
            yield f"{name}[{i}]", layer


def _check_unhooked(layer: nn.Module, name: str) -> None:
    """Hooks run in Python alone; the page would compute something else without a word."""
    if layer._forward_hooks or layer._forward_pre_hooks or "forward" in vars(layer):
        raise ValueError(
            f"{name}, {type(layer).__name__}: expected no forward hooks and no forward of its own, "
            "which the page does not run; remove them, as nn.utils.remove_weight_norm does."
        )


@torch.no_grad()
def _passed(layer: nn.Module, x: Tensor, described: str) -> Tensor:
    try:
        y = layer(x)
    except (RuntimeError, ValueError, IndexError) as error:
        raise ValueError(
            f"{described}: does not take an input of shape {tuple(x.shape[1:])}: {error}"
        ) from error
    if not isinstance(y, Tensor) or len(y) != len(x):
        raise ValueError(f"{described}: expected to keep rows apart; use Flatten(1) or Unflatten.")
    return y


# ---------------------------------------------------------------------- one form for each layer


@functools.singledispatch
def _form(layer: nn.Module, shape: Shape, described: str) -> Layer:
    """What the page computes for ``layer`` on an input of this shape."""
    raise NotImplementedError


def _check_known(layer: nn.Module, described: str) -> None:
    """A layer derived from a known one may compute something else, as a masked convolution does."""
    known = sorted(kind.__name__ for kind in _form.registry if kind is not object)
    if type(layer) not in _form.registry:
        raise TypeError(f"{described}: expected one of {', '.join(known)}, or Sequential.")


def _need(fulfilled: bool, described: str, what: str) -> None:
    if not fulfilled:
        raise ValueError(f"{described}: expected {what}.")


@_form.register
def _(layer: nn.Linear, shape: Shape, described: str) -> Layer:
    _need(len(shape) == 1, described, f"a vector, got {shape}; put Flatten before it")
    return {"kind": "linear", **_weight_and_bias(layer, layer.out_features)}


@_form.register(nn.Conv2d)
@_form.register(nn.ConvTranspose2d)
def _(layer: nn.Conv2d | nn.ConvTranspose2d, shape: Shape, described: str) -> Layer:
    plain = layer.groups == 1 and layer.dilation == (1, 1) and layer.padding_mode == "zeros"
    _need(plain, described, "groups=1, dilation=1 and padding with zeros")
    _need(not isinstance(layer.padding, str), described, "padding in numbers")
    _need(len(shape) == 3, described, f"channels, rows and columns, got {shape}")
    return {
        "kind": "transposed" if isinstance(layer, nn.ConvTranspose2d) else "convolution",
        "kernel": list(layer.kernel_size),
        "stride": list(layer.stride),
        "padding": list(layer.padding),
        **_weight_and_bias(layer, layer.out_channels),
    }


def _weight_and_bias(layer: nn.Module, size: int) -> Layer:
    bias = torch.zeros(size) if layer.bias is None else layer.bias
    return {"weight": weights(layer.weight), "bias": weights(bias)}


@_form.register(nn.BatchNorm1d)
@_form.register(nn.BatchNorm2d)
def _(layer: nn.BatchNorm1d | nn.BatchNorm2d, shape: Shape, described: str) -> Layer:
    _need(layer.running_mean is not None, described, "running statistics")
    scale, bias = (layer.running_var.double() + layer.eps).rsqrt(), torch.zeros(shape[0])
    if layer.affine:
        scale, bias = scale * layer.weight, layer.bias
    # The mean apart: folded into the bias it would cost digits where it is many deviations long.
    means = {"mean": weights(layer.running_mean), "scale": weights(scale), "bias": weights(bias)}
    return {"kind": "normalised", **means}


@_form.register(nn.Upsample)
@_form.register(nn.UpsamplingNearest2d)
def _(layer: nn.Upsample, shape: Shape, described: str) -> Layer:
    _need(len(shape) == 3, described, f"channels, rows and columns, got {shape}")
    out = layer(torch.zeros(1, *shape, dtype=torch.float32)).shape[2:]
    whole = all(large % small == 0 for large, small in zip(out, shape[1:], strict=True))
    _need(layer.mode == "nearest" and whole, described, 'mode "nearest" and a whole factor')
    return {"kind": "upsample"}


@_form.register
def _(layer: nn.Softmax, shape: Shape, described: str) -> Layer:
    _need(len(shape) == 1 and layer.dim in (1, -1), described, "dim=1, on a vector")
    return {"kind": "softmax"}


@_form.register(nn.Flatten)
@_form.register(nn.Unflatten)
@_form.register(nn.Identity)
@_form.register(nn.Dropout)
@_form.register(nn.Dropout2d)
def _(layer: nn.Module, shape: Shape, described: str) -> Layer:
    return {"kind": "same"}


@_form.register(nn.ReLU)
@_form.register(nn.Sigmoid)
@_form.register(nn.Tanh)
@_form.register(nn.SiLU)
def _(layer: nn.Module, shape: Shape, described: str) -> Layer:
    return {"kind": type(layer).__name__.lower()}


@_form.register
def _(layer: nn.LeakyReLU, shape: Shape, described: str) -> Layer:
    return {"kind": "leakyrelu", "slope": layer.negative_slope}


@_form.register
def _(layer: nn.ELU, shape: Shape, described: str) -> Layer:
    return {"kind": "elu", "alpha": layer.alpha}


@_form.register
def _(layer: nn.Softplus, shape: Shape, described: str) -> Layer:
    return {"kind": "softplus", "beta": layer.beta, "threshold": layer.threshold}


@_form.register
def _(layer: nn.GELU, shape: Shape, described: str) -> Layer:
    return {"kind": "gelu" if layer.approximate == "none" else "gelutanh"}
