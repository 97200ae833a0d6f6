"""The Triton kernels, on a GPU if there is one, else in the interpreter: test_kde.py starts it."""

import math

import numpy as np
import pytest
import torch

from genlib.kernels import log_kernel_sum
from genlib.kernels._dispatch import INTERPRETED
from genlib.kernels.kde import _forms, _gpu, log_kernel_sum_reference
from tests.kernels import truth

pytestmark = [
    pytest.mark.skipif(
        not (INTERPRETED or torch.cuda.is_available()), reason="neither a GPU nor the interpreter"
    ),
    # NumPy, which interprets, warns of log 0 where a lane of a tile is empty.
    pytest.mark.filterwarnings("ignore:divide by zero encountered in log2:RuntimeWarning"),
]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def points(n, m, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.randn(n, d, generator=generator), torch.randn(m, d, generator=generator)
    return x.to(DEVICE), y.to(DEVICE)


def positive(size):
    generator = torch.Generator().manual_seed(1)
    return (0.1 + torch.rand(size, generator=generator)).to(DEVICE)


@pytest.fixture
def launches(monkeypatch):
    """The forms that Triton computed, in order."""
    forms = []

    def remember(name):
        original = getattr(_gpu, name)

        def remembered(form, *arguments):
            forms.append(type(form))
            return original(form, *arguments)

        monkeypatch.setattr(_gpu, name, remembered)

    remember("log_sum")
    remember("moments")
    return forms


SHAPES = [
    (1, 1, 1),
    (1, 700, 2),
    (130, 1, 3),
    (70, 200, 15),
    (65, 130, 16),
    (66, 67, 33),
    (20, 300, 130),
]


@pytest.mark.parametrize("leave_one_out", [False, True], ids=["all", "leave-one-out"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients(shape, leave_one_out, launches):
    (n, m, d) = shape
    x, y = points(n, m, d)
    if leave_one_out:
        x = y = points(max(n, 2), 1, d)[0]
    h, w = positive(d) + 0.5, positive(len(y))
    g = points(len(x), 1, 1, seed=5)[0][:, 0]

    def evaluate(function, *parts):
        leaves = [part.detach().clone().requires_grad_() for part in parts]
        f = function(*leaves, leave_one_out=leave_one_out)
        return f.detach(), torch.autograd.grad(f, leaves, g.to(f.dtype))

    f, found = evaluate(log_kernel_sum, x, y, h, w)
    assert launches
    assert truth.excess(f, truth.log_kernel_sum(x, y, h, w, leave_one_out)) < 1
    _, expected = evaluate(log_kernel_sum_reference, x.double(), y.double(), h.double(), w.double())
    for name, a, b in zip("xyhw", found, expected, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= 1e-4 * b.abs().max(), name


@pytest.mark.parametrize("d", [2, 20, 784])
@pytest.mark.parametrize("bandwidth", [1e-6, 0.05, 1e6])
def test_extreme_bandwidths(bandwidth, d):
    x, y = points(40, 100, d)
    x[:10] = y[-10:]
    found = log_kernel_sum(x, y, bandwidth)
    assert truth.excess(found, truth.log_kernel_sum(x, y, np.float32(bandwidth))) < 1


@pytest.mark.parametrize("d", [2, 20])
def test_far_from_the_origin(d, launches):
    x, y = points(40, 100, d)
    x, y, h = x + 1e4, y + 1e4, positive(d)
    assert truth.excess(log_kernel_sum(x, y, h), truth.log_kernel_sum(x, y, h)) < 1
    assert launches


@pytest.mark.parametrize("d", [3, 20])
def test_the_nearest_point_comes_last(d):
    y = torch.linspace(0, 1, 500, device=DEVICE)[:, None].expand(-1, d).contiguous()
    found = log_kernel_sum(y[-1:], y, 1e-5)
    assert found.item() == pytest.approx(-math.log(500), rel=1e-5)


def test_products_that_round_too_much_become_differences(launches):
    x, y = points(70, 70, 20)
    x = y + 1e-3 * x
    found = log_kernel_sum(x, y, 1e-3)
    assert truth.excess(found, truth.log_kernel_sum(x, y, np.float32(1e-3))) < 1
    assert launches == [_forms.Products, _forms.Differences]


def test_a_point_of_weight_zero_that_would_outweigh_all():
    """Its own derivative is out of range; the others are not, and stay clear of it."""
    x = torch.zeros(300, 20, device=DEVICE)
    y = torch.stack([x[0], x[0] + 20]).requires_grad_()
    w = torch.tensor([0.0, 1.0], device=DEVICE).requires_grad_()
    f = log_kernel_sum(x, y, 1.0, w)
    f.sum().backward()
    assert f.tolist() == pytest.approx([-4000.0] * 300, rel=1e-6)
    torch.testing.assert_close(y.grad[0], torch.zeros_like(x[0]))
    torch.testing.assert_close(y.grad[1], torch.full_like(x[0], -300 * 20), rtol=1e-3, atol=0)
    assert w.grad[0] > 1e37
    assert w.grad[1].item() == pytest.approx(300, rel=1e-3)


def test_weight_zero_and_nothing_left():
    x = torch.tensor([[0.0], [1.0], [2.0]], device=DEVICE).requires_grad_()
    w = torch.tensor([1.0, 0.0, 0.0], device=DEVICE).requires_grad_()
    f = log_kernel_sum(x, x.detach(), 1.0, w, leave_one_out=True)
    f.sum().backward()
    assert f.tolist() == pytest.approx([-math.inf, -0.5, -2.0], rel=1e-6)
    assert x.grad.flatten().tolist() == pytest.approx([0.0, -1.0, -2.0], rel=1e-6)
    # Row 1 sees points 0 and 2, row 2 points 0 and 1, each through exp(−s_ij − f_i).
    assert w.grad.tolist() == pytest.approx([1 + 1, math.exp(1.5), 1.0], rel=1e-5)
