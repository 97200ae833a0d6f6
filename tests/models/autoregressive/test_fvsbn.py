"""FVSBN against enumeration, logistic regression and its parameter count."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import genlib as gl
from genlib.models.autoregressive import FVSBN
from tests.models.autoregressive.checks import ORDER, log_prob_from_conditionals
from tests.parameters import scattered

ORDERS = pytest.mark.parametrize("order", [None, ORDER], ids=["as they stand", "permuted"])


@pytest.mark.covers("A01")
@pytest.mark.parametrize("dim", [1, 2, 9, 784])
def test_it_has_as_many_parameters_as_pairs_and_values(dim):
    model = FVSBN(dim)
    assert model.free_parameters == dim * (dim + 1) // 2
    assert sum(parameter.numel() for parameter in model.parameters()) == dim * (dim + 1) // 2


@pytest.mark.covers("A01")
@ORDERS
def test_density_and_samples(order):
    model = scattered(FVSBN(9, order))
    gl.verify.causal(model)
    gl.verify.normalised(model)
    gl.verify.samples_match(model)


@pytest.mark.covers("A01")
@ORDERS
def test_each_conditional_is_a_logistic_regression_on_what_came_before(order):
    model = scattered(FVSBN(6, order and [3, 0, 5, 1, 2, 4]))
    x = gl.binary_events(6)
    sequence, weight = model.order.tolist(), model.weight
    expected = torch.empty(64, 6)
    for place, i in enumerate(sequence):
        expected[:, i] = model.bias[i].detach()
        for j in sequence[:place]:
            expected[:, i] += weight[i, j].detach() * x[:, j]
    torch.testing.assert_close(model.conditionals(x).detach(), expected)
    expected = log_prob_from_conditionals(model, x).float()
    torch.testing.assert_close(model.log_prob(x), expected)


def test_the_same_numbers_draw_the_same_rows_as_full_passes():
    model = scattered(FVSBN(20, torch.randperm(20, generator=torch.Generator().manual_seed(3))))
    u = torch.rand(300, 20, generator=torch.Generator().manual_seed(7))
    x = torch.zeros(300, 20)
    for i in model.order:
        x[:, i] = (u[:, i] < model.conditionals(x)[:, i].sigmoid()).float()
    drawn = model.sample(300, generator=torch.Generator().manual_seed(7))
    assert torch.equal(drawn, x)


@pytest.mark.covers("A01")
def test_training_reaches_the_one_optimum_of_each_regression():
    """The likelihood is concave, and scikit-learn maximises the same one."""
    generator = torch.Generator().manual_seed(0)
    truth = scattered(FVSBN(4), seed=5)
    x = truth.sample(3000, generator=generator)
    model = FVSBN(4)
    for lr in (0.1, 0.01):
        model.fit(x, epochs=200, batch_size=3000, lr=lr)
    logits = model.conditionals(x).detach()
    for i in range(1, 4):
        peer = LogisticRegression(C=np.inf, tol=1e-9).fit(x[:, :i], x[:, i])
        np.testing.assert_allclose(logits[:, i], peer.decision_function(x[:, :i]), atol=2e-2)


def test_it_is_saved_with_its_order(tmp_path):
    model = scattered(FVSBN(9, torch.tensor(ORDER)))
    model.save(tmp_path / "model.safetensors")
    again = gl.load(tmp_path / "model.safetensors")
    x = model.sample(20)
    assert again.order.tolist() == ORDER
    assert torch.equal(again.log_prob(x), model.log_prob(x))


def test_it_has_nothing_hidden_to_encode():
    with pytest.raises(gl.CannotAnswerError, match="FVSBN cannot answer encode: all its variables"):
        FVSBN(4).encode(torch.zeros(1, 4))


BAD = {
    "dim": (0, None, ValueError, "dim: expected at least 1, got 0"),
    "repeated": (3, [0, 1, 1], ValueError, r"order: expected a permutation of 0 … 2.* 2 differ"),
    "short": (3, [0, 1], ValueError, "order: expected a permutation of 0 … 2"),
    "from one": (3, [1, 2, 3], ValueError, r"order: .* torch\.randperm\(3\) makes one"),
    "floats": (3, [0.0, 1.0, 2.0], TypeError, r"order: expected integers, got torch\.float32"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused(case):
    dim, order, error, message = BAD[case]
    with pytest.raises(error, match=message):
        FVSBN(dim, order)


@pytest.mark.parametrize("method", ["log_prob", "conditionals"])
def test_grey_pixels_are_refused(method):
    x = torch.zeros(2, 3)
    x[1, 2] = 0.5
    with pytest.raises(ValueError, match=r"values in \{0, 1\}, got 0\.5 at index \(1, 2\)"):
        getattr(FVSBN(3), method)(x)
