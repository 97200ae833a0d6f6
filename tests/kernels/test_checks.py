"""What every kernel says of a tensor that it cannot take."""

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad

from genlib.kernels import log_kernel_sum
from genlib.kernels._checks import check_operand, check_shape

LIKE = torch.ones(2)

BAD = {
    "a list": ([1.0], TypeError, r"w: expected a torch.Tensor, got list.*torch.as_tensor\(w\)"),
    "an array": (np.ones(2), TypeError, "w: expected a torch.Tensor, got ndarray"),
    "integers": (torch.ones(2).int(), TypeError, r"w: .* got torch.int32; convert it with w.float"),
    "halves": (LIKE.half(), TypeError, "w: .* got torch.float16; convert the model and its"),
    "complex": (LIKE.cfloat(), TypeError, "w: expected torch.float32 or torch.float64"),
    "another dtype": (LIKE.double(), TypeError, r"w: expected the dtype of u, .*w.to\(u.dtype\)"),
    "sparse": (LIKE.to_sparse(), TypeError, r"w: expected a dense tensor.*w.to_dense\(\)"),
    "another device": (LIKE.to("meta"), ValueError, r"w: expected the device of u, cpu, got meta"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_operand_is_refused_by_name(case):
    value, error, message = BAD[case]
    with pytest.raises(error, match=message):
        check_operand(value, "w", LIKE, of="u")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_operand_that_is_like_the_other_passes(dtype):
    like = LIKE.to(dtype)
    for value in (
        like,
        torch.zeros(0, 3, dtype=dtype),
        torch.nn.Parameter(like),
        like.expand(5, 2),
    ):
        check_operand(value, "w", like)


@pytest.mark.filterwarnings("ignore:.torch.jit.script")  # torch's own, on its first tangent
def test_tangents_are_refused_and_not_dropped():
    """Forward mode through an operator that has none would answer zero."""
    x = torch.ones(5, 2)
    with pytest.raises(NotImplementedError, match="x: kernels are differentiated backwards only"):
        torch.func.jvp(lambda x: log_kernel_sum(x, torch.zeros(3, 2), 1.0), (x,), (x,))
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match=r"w: .*backwards only"):
        check_operand(forward_ad.make_dual(LIKE, LIKE), "w", LIKE)


def test_devices_without_kernels_are_refused():
    meta = LIKE.to("meta")
    with pytest.raises(
        ValueError, match=r"w: expected a tensor on a CPU or a CUDA device, got meta"
    ):
        check_operand(meta, "w", meta)


def test_a_shape_is_one_of_those_named():
    check_shape("w", torch.ones(2, 3), (2, 3))
    check_shape("w", torch.ones(3), (2, 3), (3,))
    with pytest.raises(ValueError, match=r"w: expected shape \(2, 3\) or \(3,\), got \(2,\)"):
        check_shape("w", torch.ones(2), (2, 3), (3,))
