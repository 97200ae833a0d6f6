"""Checks at the door: whole batches at once against one value at a time."""

import pytest
import torch
from torch.distributions import constraints

from genlib.core.validation import check_event


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
