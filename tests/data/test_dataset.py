"""The Dataset type: what it carries along, what it refuses, and what binarising means."""

import pytest
import torch
from scipy import stats

from genlib.data import Dataset, Splits

X = torch.ones(3, 2)


def toy(sizes=(40, 12, 8), event=(1, 2, 3)):
    """Grey examples whose label and factor can be told from their first value."""
    generator = torch.Generator().manual_seed(0)
    parts = [torch.rand(n, *event, generator=generator) for n in sizes]
    first = [part.flatten(1)[:, 0] for part in parts]
    return Dataset(
        *parts,
        labels=Splits(*((3 * value).long() for value in first)),
        factors={"first": Splits(*first)},
        name="toy",
    )


def assert_in_step(data):
    """Labels and factors still belong to their examples."""
    for name, part in data.splits.items():
        first = part.reshape(len(part), -1)[:, 0]
        assert torch.equal(getattr(data.factors["first"], name), first)
        assert torch.equal(getattr(data.labels, name), (3 * first).long())


class TestMethods:
    def test_flat(self):
        data = toy()
        flat = data.flat()
        assert flat.event_shape == (6,)
        assert torch.equal(flat.valid.view(-1, 1, 2, 3), data.valid)
        assert_in_step(flat)

    def test_subset_takes_the_first_and_leaves_the_other_splits_whole(self):
        data = toy()
        small = data.subset(5, test=2)
        assert [len(part) for _, part in small.splits.items()] == [5, 12, 2]
        assert torch.equal(small.train, data.train[:5])
        assert_in_step(small)

    def test_subset_with_a_seed_draws_without_replacement(self):
        data = toy()
        small = data.subset(39, seed=1)
        assert len(small.factors["first"].train.unique()) == 39
        assert torch.equal(small.train, data.subset(39, seed=1).train)
        assert not torch.equal(small.train, data.subset(39, seed=2).train)
        assert_in_step(small)

    def test_of_classes_keeps_the_labels_values(self):
        data = toy()
        some = data.of_classes([0, 2])
        assert some.labels.train.unique().tolist() == [0, 2]
        assert len(some.train) == (data.labels.train != 1).sum()
        assert torch.equal(data.of_classes(torch.tensor([0, 2])).train, some.train)
        assert_in_step(some)

    def test_methods_leave_the_original_as_it_is(self):
        data = toy()
        before = [part.clone() for _, part in data.splits.items()]
        for change in (data.binarized, data.stochastically_binarized, data.dynamically_binarized):
            change()
        data.flat(), data.subset(3), data.of_classes([1]), data.to("cpu")
        for part, (_, now) in zip(before, data.splits.items(), strict=True):
            assert torch.equal(part, now)
        with pytest.raises(AttributeError):
            data.train = torch.zeros(1)
        with pytest.raises(TypeError):
            data.factors["new"] = None

    def test_valid_and_test_may_be_missing(self):
        data = Dataset(torch.rand(5, 2)).binarized().flat().subset(3).to("cpu")
        assert data.valid is None and data.test is None and len(data.train) == 3

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    def test_to_moves_everything_and_binarises_alike(self):
        data = toy().to("cuda")
        assert data.labels.test.is_cuda and data.factors["first"].valid.is_cuda
        on_gpu = data.stochastically_binarized(seed=3)
        assert torch.equal(on_gpu.test.cpu(), toy().stochastically_binarized(seed=3).test)
        assert_in_step(data.subset(5, seed=0))
        assert_in_step(data.of_classes([1]))

    def test_repr_shows_shape_type_range_and_what_is_known(self):
        text = repr(toy().binarized())
        assert text.startswith("Dataset: toy, binarised at 0.5\n")
        assert "train  (40, 1, 2, 3) float32 in [0, 1]" in text
        assert "labels 0, 1, 2" in text and "factors first" in text


class TestBinarising:
    def test_threshold(self):
        data = toy()
        for (_, grey), (_, part) in zip(
            data.splits.items(), data.binarized(0.3).splits.items(), strict=True
        ):
            assert torch.equal(part, (grey > 0.3).float())

    def test_draws_are_bernoulli_with_the_grey_value_as_probability(self):
        # Five grey levels with their own counts of ones, in two splits of two kinds of draw:
        # 20 two-sided binomial tests at 5e-8 each, a false alarm rate of at most 1e-6 in all.
        levels = torch.tensor([0.02, 0.25, 0.5, 0.7, 0.99])
        grey = Dataset(levels.expand(20_000, 5), levels.expand(5_000, 5))
        for data in (grey.stochastically_binarized(seed=1), grey.dynamically_binarized(seed=2)):
            for _, part in data.splits.items():
                assert ((part == 0) | (part == 1)).all()
                for p, ones in zip(levels.tolist(), part.sum(0).tolist(), strict=True):
                    assert stats.binomtest(int(ones), len(part), p).pvalue > 5e-8

    def test_certain_pixels_never_change(self):
        values = torch.tensor([0.0, 1.0, 0.5]).expand(1000, 3)
        part = Dataset(values).stochastically_binarized().train
        assert (part[:, 0] == 0).all() and (part[:, 1] == 1).all()

    def test_the_fixed_draw_is_fixed_by_its_seed(self):
        data = toy()
        first, again = data.stochastically_binarized(4), data.stochastically_binarized(4)
        other = data.stochastically_binarized(5)
        for name in ("train", "valid", "test"):
            assert torch.equal(getattr(first, name), getattr(again, name))
            assert not torch.equal(getattr(first, name), getattr(other, name))
        assert torch.equal(data.subset(7).stochastically_binarized(4).test, first.test)

    def test_the_dynamic_draw_renews_training_alone(self):
        data = toy()
        generator = torch.Generator().manual_seed(0)
        first, second = (data.dynamically_binarized(generator) for _ in range(2))
        assert not torch.equal(first.train, second.train)
        assert torch.equal(first.valid, second.valid) and torch.equal(first.test, second.test)
        assert torch.equal(first.test, data.stochastically_binarized(seed=0).test)
        replayed = data.dynamically_binarized(torch.Generator().manual_seed(0))
        assert torch.equal(first.train, replayed.train)
        torch.manual_seed(7)
        a = data.dynamically_binarized().train
        torch.manual_seed(7)
        assert torch.equal(a, data.dynamically_binarized().train)

    def test_no_two_kinds_share_a_name(self):
        data = toy()
        kinds = [
            data,
            data.binarized(),
            data.stochastically_binarized(),
            data.dynamically_binarized(),
        ]
        assert len({kind.name for kind in kinds}) == 4
        assert [kind.binarization for kind in kinds] == [
            None,
            "threshold",
            "fixed sample",
            "dynamic sample",
        ]

    @pytest.mark.parametrize("threshold", [0, 1, -0.1, 1.5, float("nan")])
    def test_thresholds_outside_the_unit_interval(self, threshold):
        with pytest.raises(ValueError, match=r"threshold: expected a number inside \(0, 1\)"):
            toy().binarized(threshold)

    @pytest.mark.parametrize(
        "method", ["binarized", "stochastically_binarized", "dynamically_binarized"]
    )
    def test_what_cannot_be_binarised(self, method):
        def binarise(values):
            getattr(Dataset(values), method)()

        with pytest.raises(ValueError, match=r"train: .*\[0, 1\], got 2 at index \(0, 1\)"):
            binarise(torch.tensor([[0.5, 2.0]]))
        with pytest.raises(ValueError, match="got -1"):
            binarise(torch.tensor([[0.5, -1.0]]))
        with pytest.raises(TypeError, match=r"got torch.uint8; .*/ 255"):
            binarise(torch.tensor([[5, 255]], dtype=torch.uint8))
        with pytest.raises(ValueError, match="0 and 1 already"):
            binarise(torch.tensor([[0.0, 1.0]]))
        with pytest.raises(ValueError, match=r"0 and 1 already .*threshold"):
            getattr(toy().binarized(), method)()


class TestRefusals:
    @pytest.mark.parametrize(
        ("parts", "error", "message"),
        [
            ([None], TypeError, "train: expected a torch.Tensor, got NoneType"),
            ([[1.0, 2.0]], TypeError, "train: expected a torch.Tensor, got list"),
            ([torch.zeros(0, 2)], ValueError, r"train: expected .* N ≥ 1, got \(0, 2\)"),
            ([torch.tensor(1.0)], ValueError, r"train: .*, got \(\)"),
            ([torch.tensor([[1.0, float("nan")]])], ValueError, r"got nan at \(0, 1\)"),
            ([torch.ones(2, 2), torch.full((2, 2), float("inf"))], ValueError, "valid: .* inf"),
            ([torch.ones(2, 2), torch.ones(2, 3)], ValueError, r"valid: .*\(2,\) .*, got \(3,\)"),
            ([torch.ones(2, 2), None, torch.ones(2, 2).double()], TypeError, "test: .*float64"),
        ],
    )
    def test_examples(self, parts, error, message):
        with pytest.raises(error, match=message):
            Dataset(*parts)

    def test_labels_and_factors_that_do_not_fit(self):
        x = torch.ones(3, 2)
        with pytest.raises(ValueError, match=r"labels: .*'train': 3.* got .*'train': 2"):
            Dataset(x, labels=Splits(torch.zeros(2, dtype=torch.int64)))
        with pytest.raises(ValueError, match=r"factors\['slant'\]: one|factors\['slant'\]: expec"):
            Dataset(x, x, factors={"slant": Splits(torch.zeros(3))})
        with pytest.raises(TypeError, match=r"labels.train: .*int64.* got torch.float32"):
            Dataset(x, labels=Splits(torch.zeros(3)))
        with pytest.raises(TypeError, match=r"of shape \(3, 1\)"):
            Dataset(x, labels=Splits(torch.zeros(3, 1, dtype=torch.int64)))

    def test_subsets_that_are_not_there(self):
        with pytest.raises(ValueError, match=r"train: asked for 41 examples of 40 \(toy\)"):
            toy().subset(41)
        with pytest.raises(ValueError, match="valid: asked for 1 examples of 0"):
            Dataset(torch.ones(3, 2)).subset(2, valid=1)
        with pytest.raises(ValueError, match="train: expected at least 1, got 0"):
            toy().subset(0)
        with pytest.raises(TypeError, match="train: expected an integer"):
            toy().subset(2.0)

    def test_classes_that_are_not_there(self):
        with pytest.raises(ValueError, match=r"expected some of \[0, 1, 2\] .*, got \[3\]"):
            toy().of_classes([3])
        with pytest.raises(ValueError, match=r"got \[\]"):
            toy().of_classes([])
        with pytest.raises(ValueError, match="no labels"):
            Dataset(torch.ones(3, 2)).of_classes([0])

    @pytest.mark.parametrize(
        ("call", "error", "message"),
        [
            (lambda: toy().of_classes(1), TypeError, "classes: expected a collection .*, got 1"),
            (lambda: toy().of_classes("01"), TypeError, "classes: expected a collection"),
            (lambda: toy().of_classes([[0]]), ValueError, r"classes: .*, got \[\[0\]\]"),
            (lambda: toy().binarized("a"), TypeError, r"threshold: .* \(0, 1\), got 'a'"),
            (lambda: toy().stochastically_binarized("a"), TypeError, "seed: expected an integer"),
            (lambda: toy().stochastically_binarized(2**64), ValueError, "seed: expected at most"),
            (lambda: toy().dynamically_binarized(3), TypeError, "generator: expected .* got 3"),
            (lambda: toy().subset(3, seed=-1), ValueError, "seed: expected at least 0, got -1"),
            (lambda: Dataset(torch.ones(2, 2).to_sparse()), TypeError, "train: .* dense"),
            (lambda: Dataset(torch.ones(2, 2, device="meta")), ValueError, "train: .* meta"),
            (lambda: Dataset(X, labels=torch.zeros(3)), TypeError, "labels: .* Splits, got Tensor"),
            (lambda: Dataset(X, labels=Splits([0, 1, 2])), TypeError, "labels.train: .* got list"),
            (lambda: Dataset(X, factors=[1]), TypeError, "factors: expected a mapping of Splits"),
            (lambda: Dataset(X, factors={"a": 1}), TypeError, r"factors\['a'\]: .* got int"),
            (
                lambda: Dataset(X, factors={"a": Splits(torch.tensor(1.0))}),
                ValueError,
                r"factors\['a'\].train: expected shape \(N, ...\), got \(\)",
            ),
            (lambda: toy().to(torch.float64), TypeError, "(?i)device"),
            (lambda: toy().to(3.5), TypeError, "(?i)device"),
            (lambda: Dataset.cut([1, 2], None), TypeError, "rows: expected a torch.Tensor, got li"),
        ],
    )
    def test_calls(self, call, error, message):
        with pytest.raises(error, match=message):
            call()
