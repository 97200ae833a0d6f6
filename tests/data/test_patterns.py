"""Bars and stripes against a plain enumeration."""

import itertools

import pytest
import torch

from genlib.data import bars_and_stripes


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_all_and_only_the_distinct_images(n):
    expected = {
        image
        for image in itertools.product([0.0, 1.0], repeat=n * n)
        if all(len(set(image[i * n : (i + 1) * n])) == 1 for i in range(n))
        or all(len(set(image[i::n])) == 1 for i in range(n))
    }
    data = bars_and_stripes(n)
    found = [tuple(row) for row in data.train.tolist()]
    assert set(found) == expected and len(found) == len(expected)
    assert data.train.dtype == torch.float32 and data.valid is None


def test_three_by_three_has_fourteen():
    assert bars_and_stripes(3).train.shape == (14, 9)


@pytest.mark.parametrize("n", [0, 13, 20_000, 2**40, 10**4000])
def test_sizes_out_of_range(n):
    with pytest.raises(ValueError, match="n: expected at"):
        bars_and_stripes(n)
