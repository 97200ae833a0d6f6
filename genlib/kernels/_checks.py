"""Checks that every kernel makes of its tensors."""

import torch
from torch import Tensor
from torch.autograd import forward_ad


def check_operand(value: object, name: str, like: Tensor, of: str = "x") -> None:
    """Raise unless ``value`` is a dense tensor of floats, with the dtype and on the device of
    ``like``, which the caller knows as ``of``; `NotImplementedError` for a tangent of forward-mode
    differentiation.
    """
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name}: expected a torch.Tensor, got {type(value).__name__}; "
            f"convert it with torch.as_tensor({name})."
        )
    if value.layout != torch.strided:
        raise TypeError(
            f"{name}: expected a dense tensor, got {value.layout}; convert it with "
            f"{name}.to_dense()."
        )
    if value.dtype not in (torch.float32, torch.float64):
        whole = value.is_floating_point()  # of a model that is, too
        mend = "the model and its data with .float()" if whole else f"it with {name}.float()"
        raise TypeError(
            f"{name}: expected torch.float32 or torch.float64, got {value.dtype}; convert {mend}."
        )
    if value.dtype != like.dtype:
        raise TypeError(
            f"{name}: expected the dtype of {of}, {like.dtype}, got {value.dtype}; "
            f"convert it with {name}.to({of}.dtype)."
        )
    if value.device != like.device:
        raise ValueError(
            f"{name}: expected the device of {of}, {like.device}, got {value.device}; "
            f"move it with {name}.to({of}.device)."
        )
    if value.device.type not in ("cpu", "cuda"):
        raise ValueError(
            f"{name}: expected a tensor on a CPU or a CUDA device, got {value.device}; "
            f"move it with {name}.cpu()."
        )
    if forward_ad.unpack_dual(value).tangent is not None:  # torch would drop it without a word
        raise NotImplementedError(
            f"{name}: kernels are differentiated backwards only; use torch.autograd.grad or "
            "torch.func.vjp in place of jvp."
        )


def check_shape(name: str, value: Tensor, *shapes: tuple[int, ...]) -> None:
    """Raise unless ``value`` has one of ``shapes``."""
    if tuple(value.shape) not in shapes:
        expected = " or ".join(map(str, shapes))
        raise ValueError(f"{name}: expected shape {expected}, got {tuple(value.shape)}.")
