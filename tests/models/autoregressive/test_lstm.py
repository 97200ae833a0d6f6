"""The LSTM against its equations, one unit at a time."""

import numpy as np
import pytest
import torch

from genlib.models.autoregressive.lstm import LSTM
from tests.models.autoregressive import sequence_truth as truth


@pytest.mark.covers("A05")
@pytest.mark.parametrize(
    ("states", "layers", "embedding"), [(2, 1, None), (6, 1, 2), (3, 2, None), (4, 3, 5)]
)
def test_it_is_its_equations(states, layers, embedding):
    model = LSTM(7, states, hidden=5, layers=layers, embedding=embedding).double()
    for parameter in model.parameters():
        parameter.data.normal_(std=0.8)
    x = model.sample(4)
    for row, logits, log_prob, code in zip(
        x, model.conditionals(x), model.log_prob(x), model.encode(x), strict=True
    ):
        expected, h = truth.lstm(model, row)
        np.testing.assert_allclose(logits.detach(), expected, rtol=1e-10)
        assert log_prob.item() == pytest.approx(truth.log_prob(expected, row), rel=1e-10)
        np.testing.assert_allclose(code.detach(), h[-1], rtol=1e-10)


@pytest.mark.covers("A05")
def test_the_summary_vector_is_all_that_the_future_depends_on():
    """Two beginnings brought to the same memory are continued alike."""
    model = LSTM(10, 3, hidden=4)
    symbols = model._symbols(torch.tensor([[0.0, 1, 2] * 3 + [0]]))
    _, memory = model._read(symbols[:, :5])
    features, _ = model._read(symbols[:, 5:-1], memory)
    expected = model.conditionals(symbols[:, 1:].float())[:, 5:]
    torch.testing.assert_close(model.head(features), expected)


@pytest.mark.covers("A05")
@pytest.mark.parametrize(
    ("states", "hidden", "layers", "embedding"),
    [(2, 128, 1, None), (256, 64, 1, None), (97, 112, 2, 20), (2, 1, 3, 1)],
)
def test_the_number_of_parameters_does_not_depend_on_the_length(states, hidden, layers, embedding):
    size = embedding or min(states + 1, hidden)
    expected = (states + 1) * size + states * (hidden + 1)
    for below in [size] + [hidden] * (layers - 1):
        expected += 4 * hidden * (below + hidden + 2)  # torch counts every bias twice
    for length in (1, 784):
        model = LSTM(length, states, hidden, layers, embedding)
        assert model.free_parameters == expected


@pytest.mark.covers("A05")
def test_weights_trained_at_one_length_serve_at_another():
    short, long = LSTM(5, 3), LSTM(12, 3)
    long.load_state_dict(short.state_dict())
    x = long.sample(6)
    torch.testing.assert_close(long.conditionals(x)[:, :5], short.conditionals(x[:, :5]))


def test_forget_gates_start_open():
    model = LSTM(4, hidden=50, layers=2)
    bound = 1 / 50**0.5
    for layer in range(2):
        bias = getattr(model.lstm, f"bias_ih_l{layer}").detach().view(4, 50)
        assert ((bias[1] - 1).abs() <= bound).all()
        assert (bias[[0, 2, 3]].abs() <= bound).all()


@pytest.mark.parametrize("settings", [{"hidden": 0}, {"layers": 0}, {"embedding": 0}])
def test_bad_settings(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=f"{name}: expected at least 1, got 0"):
        LSTM(4, **settings)
