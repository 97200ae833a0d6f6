"""The joint table against numpy's counting; the bill for it."""

import math
import tracemalloc

import numpy as np
import pytest
import torch

import genlib as gl
from tests.models.graphical.truth import events, random_rows, tensor


class TestCategorical:
    @pytest.mark.covers("F06")
    @pytest.mark.parametrize("smoothing", [0, 0.5, 1.0])
    @pytest.mark.parametrize("states", [(6,), (2, 2, 2), (3, 2, 4)])
    def test_is_numpy_s_histogram(self, states, smoothing):
        x = random_rows(np.random.default_rng(0), states, 500)
        model = gl.Categorical(states, smoothing).double()
        model.fit(tensor(x, torch.float64))
        found, _ = np.histogramdd(x, bins=[np.arange(s + 1) - 0.5 for s in states])
        share = (found + smoothing) / (500 + smoothing * math.prod(states))
        np.testing.assert_allclose(model.table, share, rtol=1e-12)
        everything = tensor(events(states), torch.float64)
        np.testing.assert_allclose(model.log_prob(everything).exp(), share.ravel(), rtol=1e-12)

    @pytest.mark.covers("F06")
    @pytest.mark.parametrize("n", [1, 2, 10, 20])
    def test_n_binary_variables_need_all_but_one_of_their_events(self, n):
        assert gl.Categorical([2] * n).free_parameters == 2**n - 1

    @pytest.mark.covers("F06")
    def test_a_pixel_in_colour(self):
        """16.8 million entries: counted, looked up and drawn all the same."""
        model = gl.Categorical((256,) * 3, smoothing=0)
        assert model.free_parameters == 256**3 - 1
        x = torch.tensor([[255.0, 0, 7], [255, 0, 7], [0, 1, 2], [255, 255, 255]])
        model.fit(x)
        assert model.log_prob(x).exp().tolist() == pytest.approx([0.5, 0.5, 0.25, 0.25])
        assert model.log_prob(torch.zeros(1, 3)).item() == -math.inf
        drawn = {tuple(row) for row in model.sample(100).tolist()}
        assert drawn == {(255, 0, 7), (0, 1, 2), (255, 255, 255)}

    @pytest.mark.parametrize(
        ("states", "words"),
        [
            ([2] * 27, "need 134,217,728 entries, more than 67,108,864"),
            ([2] * 784, r"need about 10\^236 entries"),
            ([256] * 2352, r"need about 10\^5664 entries"),
        ],
    )
    def test_a_table_that_would_not_fit_is_refused_before_it_is_made(self, states, words):
        tracemalloc.start()
        with pytest.raises(ValueError, match=words):
            gl.Categorical(states)
        assert tracemalloc.get_traced_memory()[1] < 1e6
        tracemalloc.stop()

    def test_one_number_of_states_is_one_variable(self):
        assert gl.Categorical(6).event_shape == (1,)
        assert gl.Categorical().states == (2,)

    def test_each_row_of_a_table_sums_to_one_though_logarithms_are_rounded(self):
        net = gl.BayesNet({"a": [], "b": ["a"]})
        given = torch.tensor([[0.3, 0.7], [0.6, 0.4]]).double()
        net.set_tables({"a": torch.tensor([0.1, 0.9]).double(), "b": given})
        assert (net.table("b").sum(1) - 1).abs().max() < 1e-15
        assert (net.table("b") - given).abs().max() < 1e-7

    def test_given_probabilities(self):
        model = gl.Categorical((2, 3))
        table = torch.tensor([[0.1, 0.2, 0.0], [0.3, 0.0, 0.4]])
        model.set_tables(table)
        assert torch.allclose(model.table.float(), table)
        assert model.log_prob(torch.tensor([[0.0, 2]])).item() == -math.inf

    @pytest.mark.parametrize(
        ("table", "error", "words"),
        [
            (torch.full((2, 3), 0.2), ValueError, "table: .*sum to one, got 1.2"),
            (torch.full((3, 2), 1 / 6), ValueError, r"expected shape \(2, 3\), got \(3, 2\)"),
            (torch.full((6,), 1 / 6), ValueError, r"expected shape \(2, 3\), got \(6,\)"),
            (torch.tensor([[1.0, 0.5, 0], [0, 0, -0.5]]), ValueError,
             r"got -0.5 at index \(1, 2\)"),
            (torch.full((2, 3), math.inf), ValueError, "finite"),
            (np.full((2, 3), 1 / 6), TypeError, "got numpy.ndarray"),
        ],
    )  # fmt: skip
    def test_bad_tables(self, table, error, words):
        with pytest.raises(error, match=words):
            gl.Categorical((2, 3)).set_tables(table)

    @pytest.mark.parametrize(
        ("settings", "error", "words"),
        [
            ({"states": 1}, ValueError, "states: expected at least 2, got 1"),
            ({"states": []}, ValueError, "states: expected at least one variable, got none"),
            ({"states": (2, "3")}, TypeError, "states: expected an integer, got '3'"),
            ({"states": 2.0}, TypeError, "expected an integer, or one a variable, got 2.0"),
            ({"smoothing": -0.5}, ValueError, "smoothing: .* got -0.5"),
            ({"smoothing": math.inf}, ValueError, "smoothing: .* got inf"),
        ],
    )
    def test_bad_settings(self, settings, error, words):
        with pytest.raises(error, match=words):
            gl.Categorical(**settings)
