"""Rows in parts: all of them, in order, of a size that the device decides."""

import pytest
import torch

from genlib.core.rows import row_chunks


@pytest.mark.parametrize(("shape", "values"), [((10, 3), 7), ((10, 3), 1), ((5, 2, 2), 100)])
def test_parts_are_the_rows_in_order_and_small_enough(shape, values):
    x = torch.arange(torch.Size(shape).numel()).view(shape)
    parts = row_chunks(x, values)
    assert torch.equal(torch.cat(parts), x)
    row = x[0].numel()
    assert all(len(part) == 1 or part.numel() <= values for part in parts)
    assert len(parts) <= -(-len(x) // max(1, values // row))


def test_on_another_device_parts_are_larger():
    x = torch.empty(2**20, 64, device="meta")
    assert len(row_chunks(x, 2**16)) == 1
    assert len(row_chunks(torch.empty(2**21, 64, device="meta"), 2**16)) == 2
