"""The Triton kernels, on a GPU if there is one, else in the interpreter: test_pairwise_l1.py starts
it.
"""

import pytest
import torch

from genlib.kernels import minibatch_features, pairwise_l1
from genlib.kernels._dispatch import INTERPRETED
from genlib.kernels.pairwise_l1 import minibatch_features_reference
from tests.kernels.tools import names_of_launches

pytestmark = pytest.mark.skipif(
    not (INTERPRETED or torch.cuda.is_available()), reason="neither a GPU nor the interpreter"
)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def launches(monkeypatch):
    """Names of the kernels that were launched, in order."""
    return names_of_launches(monkeypatch, pairwise_l1)


def values(*shape):
    generator = torch.Generator().manual_seed(0)
    m = torch.randn(shape, generator=generator)
    m[::3, :, 0] = 0.25  # some are equal
    return m.to(DEVICE)


def evaluate(function, m):
    m = m.detach().clone().requires_grad_()
    out = function(m)
    g = torch.linspace(-1, 2, out.numel(), dtype=out.dtype, device=out.device).view_as(out)
    return out.detach(), torch.autograd.grad(out, m, g)[0]


# One row; fewer rows than a program takes; more rows, columns and values than a program takes.
SHAPES = [(1, 1, 1), (2, 3, 2), (31, 2, 5), (33, 2, 5), (140, 2, 3), (40, 1, 19)]


@pytest.mark.covers("G08")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients_are_those_of_the_definition_in_float64(shape, launches):
    m = values(*shape)
    found, slope = evaluate(minibatch_features, m)
    assert launches == ["_features_kernel", "_gradient_kernel"]
    truth, true_slope = evaluate(minibatch_features_reference, m.double())
    torch.testing.assert_close(found.double(), truth, rtol=2e-6, atol=2e-6)
    assert (slope - true_slope).abs().max() <= 1e-5 * true_slope.abs().max().clamp_min(1)


def test_float64_goes_another_way(launches):
    m = values(20, 3, 4).double()
    found, expected = (evaluate(f, m) for f in (minibatch_features, minibatch_features_reference))
    torch.testing.assert_close(found, expected)
    assert launches == []


def test_a_nan_shows_in_its_feature_alone():
    m = values(9, 2, 3)
    m[4, 1, 2] = torch.nan
    found, slope = evaluate(minibatch_features, m)
    assert found[:, 1].isnan().all() and found[:, 0].isfinite().all()
    assert slope[:, 1].isnan().any(1).all() and slope[:, 0].isfinite().all()


def test_second_derivatives_are_those_of_the_definition():
    m, results = values(21, 2, 3), []
    for function, given in ((minibatch_features, m), (minibatch_features_reference, m.double())):
        leaf = given.clone().requires_grad_()
        (slope,) = torch.autograd.grad(function(leaf).square().sum(), leaf, create_graph=True)
        results.append(torch.autograd.grad(slope.square().sum(), leaf)[0].double())
    assert (results[0] - results[1]).abs().max() <= 1e-5 * results[1].abs().max()


def test_strided_input_is_read_as_it_lies():
    m = values(12, 5, 6)
    strided = m.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    found, expected = (evaluate(minibatch_features, given) for given in (strided, m))
    torch.testing.assert_close(found, expected)
