"""Bits that are drawn anew in every pass."""

import pytest
import torch
from scipy import stats

import genlib as gl
from genlib.data.loaders import binarizing_loader, unpaired_loader


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


class TestTwoSets:
    X, Y = torch.arange(10.0)[:, None], 100 + torch.arange(4.0)[:, None].repeat(1, 2)

    @pytest.mark.parametrize("turned", [False, True])
    def test_a_pass_goes_over_the_larger_set_and_the_smaller_one_as_often_as_needed(self, turned):
        sets = (self.Y, self.X) if turned else (self.X, self.Y)
        torch.manual_seed(0)
        passes = []
        for _ in range(2):
            batches = list(unpaired_loader(*sets, batch_size=4))
            assert [[len(part) for part in batch] for batch in batches] == [[4, 4], [4, 4], [2, 2]]
            parts = [torch.cat(each) for each in zip(*batches, strict=True)]
            large, small = parts[::-1] if turned else parts
            assert torch.equal(large.sort(0).values, self.X)
            for start in (0, 4):  # each time once, in a new order
                assert torch.equal(small[start : start + 4].sort(0).values, self.Y)
            assert not torch.equal(small[:4], small[4:8])
            assert len(small[8:, 0].unique()) == 2
            passes.append(large)
        assert not torch.equal(*passes)

    def test_a_row_meets_others_in_every_pass(self):
        """Over 200 passes each pair of 10 × 4 comes 50 times, to 5 standard errors."""
        torch.manual_seed(0)
        counts = torch.zeros(10, 4)
        for _ in range(200):
            for x, y in unpaired_loader(self.X, self.Y, 10):
                counts[x[:, 0].long(), y[:, 0].long() - 100] += 1
        assert (counts - 50).abs().max() < 5 * (200 * 0.25 * 0.75) ** 0.5

    def test_sets_may_be_of_one_size_or_of_one_row(self):
        assert len(list(unpaired_loader(self.X, self.X, 5))) == 2
        ((x, y),) = unpaired_loader(self.X, self.Y[:1])
        assert len(x) == 10 and torch.equal(y, self.Y[:1].expand(10, 2))

    @pytest.mark.parametrize(
        ("change", "error", "words"),
        [
            ({"x": [1.0]}, TypeError, r"x: expected a torch\.Tensor"),
            ({"y": torch.zeros(0, 2)}, ValueError, "y: expected at least one value"),
            ({"y": torch.zeros(2) / 0}, ValueError, "y: expected finite values"),
            ({"batch_size": 0}, ValueError, "batch_size: expected at least 1"),
        ],
    )
    def test_bad_input(self, change, error, words):
        with pytest.raises(error, match=words):
            unpaired_loader(**{"x": self.X, "y": self.Y, "batch_size": 3, **change})
