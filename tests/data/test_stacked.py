"""Stacked digits: three grey images as colours, and one label of three."""

import dataclasses

import pytest
import torch

import genlib as gl


@pytest.fixture(scope="module")
def digits():
    return gl.data.strokes(200, size=8)


def test_colours_are_grey_images_of_the_same_split_and_labels_theirs(digits):
    data = gl.data.stacked(digits, 100, seed=3)
    for (name, rows), n in zip(data.splits.items(), (80, 10, 10), strict=True):
        assert rows.shape == (n, 3, 8, 8)
        grey, digit = getattr(digits, name), getattr(digits.labels, name)
        for image, label in zip(rows, getattr(data.labels, name), strict=True):
            found = [
                {int(d) for d in digit[(grey[:, 0] == colour).all((1, 2))]} for colour in image
            ]
            wanted = [int(part) for part in f"{int(label):03d}"]
            assert all(number in each for number, each in zip(wanted, found, strict=True))


def test_draws_are_independent_equally_likely_and_repeat_with_the_seed(digits):
    data = gl.data.stacked(digits, 20_000)
    counts = data.labels.train.bincount(minlength=1000).double()
    shares = digits.labels.train.bincount(minlength=10).double() / len(digits.train)
    expected = len(data.train) * torch.einsum("a,b,c->abc", shares, shares, shares).flatten()
    statistic = ((counts - expected).square() / expected).sum()
    assert abs(statistic - 999) < 6 * (2 * 999) ** 0.5  # once in 10⁸
    assert torch.equal(data.train, gl.data.stacked(digits, 20_000).train)
    assert not torch.equal(data.train, gl.data.stacked(digits, 20_000, seed=1).train)


def test_the_number_of_classes_is_that_of_all_splits():
    grey = torch.rand(6, 1, 4, 4)
    labels = gl.data.Splits(torch.tensor([0, 1]), torch.tensor([2, 0]), torch.tensor([1, 1]))
    data = gl.data.Dataset(grey[:2], grey[2:4], grey[4:], labels=labels)
    assert set(gl.data.stacked(data, 10).labels.test.tolist()) == {9 + 3 + 1}
    shifted = gl.data.Splits(*(part - 1 for _, part in labels.items()))
    with pytest.raises(ValueError, match="expected labels 0, 1, …, got -1"):
        gl.data.stacked(dataclasses.replace(data, labels=shifted), 10)


def test_what_cannot_be_stacked_is_refused(digits):
    bare = dataclasses.replace(digits, labels=None)
    halved = gl.data.Dataset(digits.train, labels=gl.data.Splits(digits.labels.train))
    for data in (bare, halved, digits.flat(), gl.data.cartoon_faces(20, size=16)):
        with pytest.raises(ValueError, match=r"data: expected grey images \(N, 1, H, W\)"):
            gl.data.stacked(data)
    with pytest.raises(TypeError, match="data: expected a Dataset, got Tensor"):
        gl.data.stacked(digits.train)
    for n in (9, 0, 2.5):
        with pytest.raises((TypeError, ValueError), match="n: "):
            gl.data.stacked(digits, n)
