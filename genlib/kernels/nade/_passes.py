"""Logits, gradients and draws: in Triton or in torch, and which rows on which threads."""

import functools
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from genlib.kernels._dispatch import runs_triton
from genlib.kernels._threads import parallel_map
from genlib.kernels.nade import _blocks, _gpu

Result = TypeVar("Result")


def forward(x: Tensor, w: Tensor, c: Tensor, v: Tensor, b: Tensor) -> Tensor:
    """Logits, (N, D)."""
    backend = _gpu if _on_triton(x) else _blocks
    return torch.cat(_over_rows(lambda x: backend.logits(x, w, c, v).add_(b), x))


def backward(
    dlogits: Tensor, x: Tensor, w: Tensor, c: Tensor, v: Tensor, needs: list[bool]
) -> tuple[Tensor, ...]:
    """Gradients of x, w, c and v; where one is not needed, anything may stand."""
    backend = _gpu if _on_triton(x) else _blocks
    parts = _over_rows(lambda dlogits, x: backend.gradients(dlogits, x, w, c, v, needs), dlogits, x)
    dx, *others = zip(*parts, strict=True)
    return torch.cat(dx), *(functools.reduce(Tensor.add_, sums) for sums in others)


def sample(u: Tensor, w: Tensor, c: Tensor, v: Tensor, b: Tensor) -> Tensor:
    """Zeros and ones, (N, D)."""
    if _on_triton(u):
        return _gpu.sample(u, w, c, v, b)
    # On a CPU, a draw is some thousands of short operations, over which threads of Python, and
    # torch's own, would lose more in waiting for each other than they gain.
    return parallel_map(lambda u: _blocks.sample(u, w, c, v, b), [u], u.device, serial=True)[0]


def _over_rows(function: Callable[..., Result], *tensors: Tensor) -> list[Result]:
    """``function`` of some rows of the tensors, then of others.

    On a CPU every thread has a part, if there is a block of rows for each: shorter operations lose
    more in waiting for the interpreter than they gain.
    """
    if _on_triton(tensors[0]):
        parts = zip(*(tensor.split(_gpu.ROWS) for tensor in tensors), strict=True)
    elif tensors[0].device.type == "cpu":
        count = min(torch.get_num_threads(), len(tensors[0]) // _blocks.ROWS)
        parts = zip(*(tensor.chunk(max(1, count)) for tensor in tensors), strict=True)
        return parallel_map(lambda part: function(*part), parts, tensors[0].device, serial=True)
    else:
        parts = [tensors]
    return [function(*part) for part in parts]


def _on_triton(x: Tensor) -> bool:
    return x.dtype == torch.float32 and runs_triton(x.device)
