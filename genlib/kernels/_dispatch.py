"""Where a kernel runs: Triton if it is installed, on the devices that it can reach."""

import os
from types import SimpleNamespace

import torch

try:
    import triton
    import triton.language as tl
except ImportError:  # the kernels still parse, as plain functions that nobody calls
    triton, tl = SimpleNamespace(jit=lambda function: function), SimpleNamespace(constexpr=None)
    HAS_TRITON = False
else:
    HAS_TRITON = True

INTERPRETED = HAS_TRITON and os.environ.get("TRITON_INTERPRET") == "1"


def runs_triton(device: torch.device) -> bool:
    """Whether Triton kernels take tensors on ``device``; under Triton's interpreter they take all."""
    return INTERPRETED or (HAS_TRITON and device.type == "cuda" and torch.version.cuda is not None)


def processors(device: torch.device) -> int:
    """How many programs of a kernel run side by side on ``device``."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).multi_processor_count
    return 8  # the interpreter runs them one by one; enough for a test to see the work divided
