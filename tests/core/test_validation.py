"""Checks at the door: whole batches at once against one value at a time."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.distributions import constraints

import genlib as gl
from genlib.core.validation import check_between, check_count, check_event, check_positive


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "support", [constraints.boolean, constraints.nonnegative_integer, constraints.real], ids=str
)
def test_a_batch_is_refused_for_one_value_outside_the_support(support, dtype):
    """The fast checks against the constraint's own, among values that are all right."""
    info = torch.finfo(dtype)
    values = [0.0, -0.0, 1.0, 2.0, -1.0, 0.5, 3.5, 1 + info.eps, 1 - info.eps / 2, 2 / info.eps]
    values += [1 / info.eps - 0.5, info.tiny, info.smallest_normal * info.eps, info.max, info.min]
    refused = 0
    for value in values:
        x = torch.ones(7, 3, dtype=dtype)
        x[4, 1] = value
        if support.check(x).all():
            check_event(x, torch.Size([3]), support, dtype=dtype)
        else:
            refused += 1
            with pytest.raises(ValueError, match=r"at index \(4, 1\)"):
                check_event(x, torch.Size([3]), support, dtype=dtype)
    assert (
        refused
        == {"Boolean()": 12, "IntegerGreaterThan(lower_bound=0)": 9, "Real()": 0}[str(support)]
    )


class Frame:
    def to_numpy(self):
        return np.eye(2)


@pytest.mark.parametrize(
    ("x", "advice"),
    [
        (SimpleNamespace(train=torch.eye(2), valid=None), r"fit\(x.train, valid=x.valid\)"),
        (Frame(), r"torch.tensor\(x.to_numpy\(\)\).float\(\)"),
        ([torch.zeros(2), torch.ones(2)], r"torch.stack\(x\)"),
        ([[0.0, 1.0]], r"torch.as_tensor\(x\).float\(\)"),
        (np.eye(2), r"torch.as_tensor\(x\).float\(\)"),
    ],
)
def test_the_advice_to_who_brings_no_tensor_can_be_followed(x, advice):
    with pytest.raises(TypeError, match=advice):
        gl.FVSBN(2).fit(x)


@pytest.mark.parametrize("model", [gl.Gaussian(), gl.FVSBN(1)], ids=["any size", "one value"])
def test_numbers_without_columns_become_rows_of_one_value(model):
    x = (torch.rand(50) > 0.5).float()
    with pytest.raises(ValueError, match=r"x.unsqueeze\(1\) makes rows of one value"):
        model.fit(x)
    check_event(x.unsqueeze(1), torch.Size([1]))


@pytest.mark.parametrize(
    ("check", "value", "mend"),
    [
        (check_count, np.int64(3), r"int\(n\)"),
        (lambda n, name: check_positive(n, name), np.float32(3), r"n.item\(\)"),
        (lambda n, name: check_positive(n, name), np.array([3.0]), r"n.tolist\(\)"),
        (lambda n, name: check_between(n, 0, 9, name), np.int32(3), r"n.item\(\)"),
    ],
)
def test_numbers_of_numpy_are_refused_with_the_way_to_convert_them(check, value, mend):
    with pytest.raises(TypeError, match=f"; convert it with {mend}"):
        check(value, "n")
