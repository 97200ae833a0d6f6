"""Bits that are drawn anew in every pass."""

import pytest
import torch
from scipy import stats

import genlib as gl
from genlib.data.loaders import binarizing_loader


def test_bits_follow_the_grey_values_and_change_from_pass_to_pass():
    """False alarm: 1e-6."""
    grey = torch.tensor([0.0, 0.3, 1.0]).repeat(4000, 1)
    torch.manual_seed(0)
    loader = binarizing_loader(grey, batch_size=1000)
    first, second = (torch.cat([x for (x,) in loader]) for _ in range(2))
    assert first.shape == grey.shape
    assert (first[:, 0] == 0).all() and (first[:, 2] == 1).all()
    assert stats.binomtest(int(first[:, 1].sum()), 4000, 0.3).pvalue > 1e-6
    assert not torch.equal(first, second)
    assert binarizing_loader(grey).dataset[0].unique().tolist() in ([0, 1],)


def test_rows_come_once_each_in_a_new_order():
    grey = torch.eye(50)
    (x,) = next(iter(binarizing_loader(grey, batch_size=50)))
    assert torch.equal(x.sum(0), torch.ones(50))
    assert not torch.equal(x, grey)


def test_labels_stay_with_their_rows():
    x, y = next(iter(binarizing_loader(torch.eye(50), 50, labels=torch.arange(50))))
    assert torch.equal(x.argmax(1), y) and not torch.equal(y, torch.arange(50))
    with pytest.raises(ValueError, match="one for each of 50 rows, got 49"):
        binarizing_loader(torch.eye(50), 50, labels=torch.arange(49))


def test_a_model_trains_on_it():
    gl.seed(0)
    grey = torch.rand(60, 8)
    model = gl.NADE(8, hidden=4)
    history = model.fit(binarizing_loader(grey, 20), epochs=3, progress=False)
    assert len(history) == 3


def test_refusals():
    with pytest.raises(ValueError, match="grey: expected values in"):
        binarizing_loader(torch.full((3, 2), 1.5))
    with pytest.raises(ValueError, match="batch_size: expected at least 1"):
        binarizing_loader(torch.rand(3, 2), 0)
    with pytest.raises(TypeError, match="grey: expected"):
        binarizing_loader([[0.5]])
