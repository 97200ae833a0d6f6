"""The Triton kernels, on a GPU if there is one, else in the interpreter: test_logistic_mixture.py
starts it.
"""

import pytest
import torch

from genlib.kernels import logistic_mixture
from genlib.kernels._dispatch import INTERPRETED
from genlib.kernels.logistic_mixture import (
    logistic_mixture_log_prob,
    logistic_mixture_log_prob_reference,
)
from tests.kernels.tools import names_of_launches

pytestmark = pytest.mark.skipif(
    not (INTERPRETED or torch.cuda.is_available()), reason="neither a GPU nor the interpreter"
)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def launches(monkeypatch):
    """Names of the kernels that were launched, in order."""
    return names_of_launches(monkeypatch, logistic_mixture)


def arguments(n, colours, components, places, levels):
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(levels, (n, colours, places), generator=generator) / (levels - 1)
    x[0], x[-1] = 0, 1
    shape = (n, colours, components, places)
    logits = torch.randn(n, components, places, generator=generator)
    means = torch.rand(shape, generator=generator)
    scales = torch.randn(shape, generator=generator) - 2
    return [part.to(DEVICE) for part in (x, logits, means, scales)]


def evaluate(function, given, levels):
    x, *leaves = [part.detach().clone() for part in given]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    out = function(x, *leaves, levels)
    g = torch.linspace(-1, 2, out.numel(), dtype=out.dtype, device=out.device).view_as(out)
    return out.detach(), torch.autograd.grad(out, leaves, g)


SHAPES = [(1, 1, 1, 1, 2), (3, 3, 5, 40, 256), (2, 1, 10, 200, 256), (5, 2, 17, 33, 5)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients(shape, launches):
    given, levels = arguments(*shape), shape[-1]
    found, slopes = evaluate(logistic_mixture_log_prob, given, levels)
    assert launches == ["_log_prob_kernel", "_gradients_kernel"]
    wide = [part.double() for part in given]
    truth, true_slopes = evaluate(logistic_mixture_log_prob, wide, levels)
    assert len(launches) == 2  # float64 does not go through float32
    torch.testing.assert_close(found.double(), truth, rtol=1e-5, atol=1e-5)
    for a, b in zip(slopes, true_slopes, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= 1e-5 * b.abs().max().clamp_min(1)


def test_the_definition_in_float64_is_met_too():
    given = arguments(3, 2, 4, 50, 16)
    found = logistic_mixture_log_prob(*given, 16)
    truth = logistic_mixture_log_prob_reference(*[part.double() for part in given], 16)
    torch.testing.assert_close(found.double(), truth, rtol=1e-5, atol=1e-5)


def test_extremes_are_those_of_the_path_without_triton(monkeypatch):
    steps = torch.tensor([-30.0, -7.0, 0.0, 20.0, 59.0, 70.0, 88.0])
    places = torch.tensor([-100.0, -0.5, 0.0, 0.25, 0.5, 1.0, 7.0])
    x, mean, scale = torch.cartesian_prod(torch.tensor([0.0, 0.2, 1.0]), places, steps).T
    given = (
        x[None, None],
        torch.zeros(1, 1, len(x)),
        mean[None, None, None],
        scale[None, None, None],
    )
    given = [part.to(DEVICE) for part in given]
    found, slopes = evaluate(logistic_mixture_log_prob, given, 256)
    monkeypatch.setattr(logistic_mixture, "_on_triton", lambda x: False)
    truth, true_slopes = evaluate(logistic_mixture_log_prob, given, 256)
    torch.testing.assert_close(found, truth, rtol=2e-5, atol=2e-5)
    for a, b in zip(slopes, true_slopes, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
