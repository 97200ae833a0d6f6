"""What the tests of several kernels look through: launches, memory, and a compiler for a GPU."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Largest(TorchDispatchMode):
    """Remembers the size of the largest tensor that any operation returned."""

    entries = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for part in result if isinstance(result, tuple | list) else (result,):
            if isinstance(part, torch.Tensor):
                self.entries = max(self.entries, part.numel())
        return result


def names_of_launches(monkeypatch, module):
    """A list to which the name of each kernel is added that ``module`` launches from now on."""
    names, original = [], module.launch

    def remembered(kernel, *arguments, **constants):
        names.append(kernel.__name__)
        return original(kernel, *arguments, **constants)

    monkeypatch.setattr(module, "launch", remembered)
    return names


def compiled(kernel, constants, monkeypatch, cache, *, types=(), capability=90, warps=4):
    """``kernel`` as compiled for a GPU that need not be there, in little enough shared memory.

    The interpreter forgives what a compiler does not: types of loops, shapes of dots, memory.
    Arguments are pointers to float32 where their name ends in ``_ptr``, else int32, but for those
    that ``types`` names.
    """
    triton = pytest.importorskip("triton", minversion="3.3")  # signatures named constants otherwise
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    monkeypatch.setenv("TRITON_CACHE_DIR", str(cache))
    known = dict.fromkeys(constants, "constexpr") | dict(types)
    for name in kernel.arg_names:
        known.setdefault(name, "*fp32" if name.endswith("_ptr") else "i32")
    done = triton.compile(
        ASTSource(kernel, {name: known[name] for name in kernel.arg_names}, constants),
        target=GPUTarget("cuda", capability, 32),
        options={"num_warps": warps, "enable_fp_fusion": True},
    )
    assert done.metadata.shared <= 48 * 1024
    assert len(done.asm["cubin"]) > 0
    return done
