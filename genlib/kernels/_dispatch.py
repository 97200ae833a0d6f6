"""Where a kernel runs: in Triton, if that is installed, on the devices that it can reach."""

import os
from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:  # kernels are then plain functions that nobody calls
    triton, tl = SimpleNamespace(jit=lambda function: function), SimpleNamespace(constexpr=None)
    HAS_TRITON = False
else:
    HAS_TRITON = True

INTERPRETED = HAS_TRITON and os.environ.get("TRITON_INTERPRET") == "1"


def runs_triton(device: torch.device) -> bool:
    """Whether Triton's kernels take tensors on ``device``; its interpreter takes them anywhere."""
    return INTERPRETED or (HAS_TRITON and device.type == "cuda")


def processors(device: torch.device) -> int:
    """How many programs of a kernel ``device`` runs side by side, at the least."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).multi_processor_count
    return 2  # the interpreter runs one; two, so that tests see work divided


def launch(
    kernel: Callable, grid: tuple[int, ...], device: torch.device, *arguments, **constants
) -> None:
    """Run ``kernel`` over ``grid`` on ``device``, with products and sums fused."""
    with torch.cuda.device(device if device.type == "cuda" else -1):
        kernel[grid](*arguments, **constants, enable_fp_fusion=True)


def undo_autocast(like: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    """``others``, in the dtype of ``like`` where autocast has made them shorter.

    A layer under `torch.autocast` answers in float16 or bfloat16 to a caller who knows of float32
    only. Kernels, like torch's own softmax, compute in full; without autocast, mixed dtypes are
    an error of the caller's.
    """
    device = like.device.type if isinstance(like, Tensor) else "cpu"
    if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
        return others
    short = torch.get_autocast_dtype(device)
    return tuple(
        other.to(like.dtype) if isinstance(other, Tensor) and other.dtype == short else other
        for other in others
    )
