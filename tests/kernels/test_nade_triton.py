"""The Triton kernels, on a GPU if there is one, else in the interpreter: test_nade.py starts it."""

import math

import pytest
import torch

from genlib.kernels._dispatch import INTERPRETED
from genlib.kernels.nade import (
    _gpu,
    nade_logits,
    nade_logits_reference,
    nade_sample,
    nade_sample_reference,
)
from tests.kernels.tools import names_of_launches

pytestmark = pytest.mark.skipif(
    not (INTERPRETED or torch.cuda.is_available()), reason="neither a GPU nor the interpreter"
)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def arguments(n, dims, units, per_value):
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(n, dims, generator=generator) < 0.3).float()
    shapes = (dims, units), (dims, units) if per_value else (units,), (dims, units), (dims,)
    w, c, v, b = (torch.randn(*shape, generator=generator) for shape in shapes)
    return [part.to(DEVICE) for part in (x, w, c, v / math.sqrt(units), b)]


def evaluate(function, given, g, needs_x):
    leaves = [part.detach().clone().requires_grad_() for part in given]
    leaves[0].requires_grad_(needs_x)
    logits = function(*leaves)
    wanted = leaves if needs_x else leaves[1:]
    return logits.detach(), torch.autograd.grad(logits, wanted, g, materialize_grads=True)


@pytest.fixture
def launches(monkeypatch):
    """Names of the kernels that were launched, in order."""
    return names_of_launches(monkeypatch, _gpu)


SHAPES = [(1, 1, 1, False), (5, 3, 70, True), (9, 70, 5, False), (40, 33, 20, True)]


@pytest.mark.parametrize("needs_x", [False, True], ids=["weights", "x too"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients(shape, needs_x, launches):
    given = arguments(*shape)
    g = torch.randn(shape[:2], generator=torch.Generator().manual_seed(1)).to(DEVICE)
    logits, found = evaluate(nade_logits, given, g, needs_x)
    assert launches == ["_scan_kernel"] * 3 + ["_gradients_kernel"] * 2
    wide = [part.double() for part in given]
    true_logits, expected = evaluate(nade_logits_reference, wide, g.double(), needs_x)
    torch.testing.assert_close(logits.double(), true_logits, rtol=1e-5, atol=1e-5)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= 1e-5 * b.abs().max().clamp_min(1)


@pytest.mark.parametrize("per_value", [False, True], ids=["one c", "c for each value"])
def test_rows_in_chunks_that_are_split_and_then_taken_by_turns(per_value, monkeypatch):
    """Two chunks of rows; in each two programs, of two turns, the last ones short; three spans."""
    for name, value in {"ROWS": 11, "_BLOCK_N": 4, "_SPAN": 2}.items():
        monkeypatch.setattr(_gpu, name, value)
    monkeypatch.setattr(_gpu, "processors", lambda device: 2)
    given = arguments(21, 5, 10, per_value)
    g = torch.ones(21, 5, device=DEVICE)
    logits, found = evaluate(nade_logits, given, g, True)
    wide = [part.double() for part in given]
    true_logits, expected = evaluate(nade_logits_reference, wide, g.double(), True)
    torch.testing.assert_close(logits.double(), true_logits, rtol=1e-5, atol=1e-5)
    for a, b in zip(found, expected, strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max().clamp_min(1)


@pytest.mark.parametrize("shape", [(3, 20, 5, False), (4, 9, 40, True)], ids=str)
def test_draws(shape, launches):
    x, *weights = arguments(*shape)
    u = torch.rand(x.shape, generator=torch.Generator().manual_seed(2)).to(DEVICE)
    wide = [part.double() for part in weights]
    assert torch.equal(nade_sample(u, *weights).double(), nade_sample_reference(u.double(), *wide))
    assert launches == ["_sample_kernel"]


def test_float64_does_not_go_through_float32(launches):
    given = [part.double() for part in arguments(3, 5, 4, False)]
    torch.testing.assert_close(
        nade_logits(*given), nade_logits_reference(*given), rtol=1e-13, atol=1e-13
    )
    assert launches == []
