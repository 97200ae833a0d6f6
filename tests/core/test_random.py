"""Seeds and draws against NumPy's, exact arithmetic and stated false-alarm rates."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

import genlib as gl
from genlib.core.random import categorical, integers, normal, uniform

FALSE_ALARM = 1e-6


@pytest.mark.parametrize(
    ("n", "error"),
    [
        ("1", TypeError),
        (1.0, TypeError),
        (True, TypeError),
        (2**64, ValueError),
        (-(2**64), ValueError),
    ],
)
def test_a_seed_is_an_integer_that_torch_takes(n, error):
    with pytest.raises(error, match="n: expected"):
        gl.seed(n)


def test_numpys_integers_are_seeds_too():
    gl.seed(np.int64(3))
    drawn = torch.rand(4)
    gl.seed(3)
    assert torch.equal(torch.rand(4), drawn)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_follow_a_tensor_and_their_generator(dtype):
    like = torch.zeros(1, dtype=dtype)
    for draw in (uniform, normal):
        first, again = (draw((5, 2), like, torch.Generator().manual_seed(1)) for _ in range(2))
        assert first.dtype == dtype
        assert torch.equal(first, again)
    first, again = (integers(7, (50,), like, torch.Generator().manual_seed(1)) for _ in range(2))
    assert first.dtype == torch.int64
    assert torch.equal(first, again)
    assert set(first.tolist()) == set(
        range(7)
    )  # false alarm 7 · (6/7)⁵⁰ = 0.3 %, but the seed is fixed


def test_float64_draws_have_more_than_24_bits():
    like = torch.zeros(1, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    for draw in (uniform, normal):
        x = draw((100,), like, generator)
        assert not torch.equal(x, x.float().double())


class TestCategorical:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_counts_are_those_of_the_weights(self, dtype):
        weights = torch.tensor([0.0, 2.0, 0.0, 5.0, 1.0, 0.0], dtype=dtype)
        u = uniform((40_000,), weights, torch.Generator().manual_seed(2))
        counts = torch.bincount(categorical(weights, u), minlength=6)
        assert counts[weights == 0].sum() == 0
        possible = weights > 0
        expected = len(u) * weights[possible] / weights.sum()
        assert stats.chisquare(counts[possible], expected.to(counts)).pvalue > FALSE_ALARM

    def test_each_row_has_weights_of_its_own(self):
        weights = torch.tensor([[[1.0, 0.0, 0.0]], [[0.0, 0.0, 3.0]]])
        assert categorical(weights, torch.full((2, 1), 0.5)).tolist() == [[0], [2]]

    def test_the_largest_number_below_one_meets_no_state_of_weight_zero(self):
        generator = torch.Generator().manual_seed(3)
        for dtype in (torch.float32, torch.float64):
            weights = uniform((5_000, 7), torch.zeros(1, dtype=dtype), generator)
            weights[:, -2:] = 0
            u = torch.ones(5_000, dtype=dtype).nextafter(torch.zeros(5_000, dtype=dtype))
            assert (categorical(weights, u) == 4).all()
            assert (categorical(weights, torch.zeros_like(u)) == 0).all()

    @pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
    def test_weights_that_are_no_distribution_are_refused(self, value):
        with pytest.raises(
            ValueError, match="weights: expected a positive finite sum in every row"
        ):
            categorical(torch.tensor([[1.0, 1.0], [value, value]]), torch.rand(2))

    def test_a_state_holds_from_where_those_before_it_end(self):
        chances = torch.tensor([0.25, 0.0, 0.5, 0.25, 0.0])
        u = torch.tensor([0.0, 0.2, 0.25, 0.5, 0.7, 0.75, 0.99])
        for weights in (chances, chances.expand(7, 5)):
            assert categorical(weights, u).tolist() == [0, 0, 2, 2, 2, 3, 3]

    def test_states_are_numpy_s_for_any_shape_in_front(self):
        generator = torch.Generator().manual_seed(0)
        chances = torch.rand(3, 4, 5, generator=generator, dtype=torch.float64)
        u = torch.rand(3, 4, generator=generator, dtype=torch.float64)
        found = categorical(chances, u)
        for place in np.ndindex(3, 4):
            ends = np.cumsum(chances[place].numpy())
            assert found[place] == np.searchsorted(ends / ends[-1], u[place].item(), side="right")
