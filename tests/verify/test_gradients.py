"""`gradient` passes what is right, and names the entry that is wrong."""

import math

import pytest
import torch

import genlib as gl
from genlib.verify import VerificationError
from tests.core.toys import TrainedGaussian
from tests.verify.toys import DEVICE

X = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double()


def energy(x):
    return (x**4).sum(1) + x[:, 0] * x[:, 1]


def exact(x):
    return 4 * x**3 + torch.stack([x[:, 1], x[:, 0], 0 * x[:, 2]], 1)


def test_passes_autograd_and_a_right_formula():
    gl.verify.gradient(energy, X)
    gl.verify.gradient(energy, X, exact)


@pytest.mark.parametrize("shape", [(5,), (2, 1, 2, 2)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_single_numbers_and_images_of_either_dtype(shape, dtype):
    x = torch.linspace(-1, 2, math.prod(shape), dtype=dtype, device=DEVICE).reshape(shape)
    gl.verify.gradient(lambda x: (x**3).reshape(len(x), -1).sum(1), x, lambda x: 3 * x**2)
    with pytest.raises(VerificationError, match=r"at index \(0"):
        gl.verify.gradient(lambda x: (x**3).reshape(len(x), -1).sum(1), x, lambda x: 2 * x**2)


def test_a_density_in_float64():
    gl.verify.gradient(TrainedGaussian(3).double().log_prob, X)


@pytest.mark.parametrize(
    ("claimed", "words"),
    [
        (lambda x: -exact(x), "every sign is reversed"),
        (lambda x: exact(x) / 2, "off by a factor of 0.5"),
        (lambda x: 4 * x**3, r"at index \(0, 0\)"),
        (lambda x: exact(x)[:, :2], r"expected a gradient of shape \(4, 3\), got \(4, 2\)"),
        (lambda x: exact(x) * math.nan, r"at index \(0, 0\) the gradient is nan"),
        (lambda x: exact(x).tolist(), r"expected a gradient of shape \(4, 3\), got list"),
    ],
)
def test_finds_what_is_wrong(claimed, words):
    with pytest.raises(VerificationError, match=words):
        gl.verify.gradient(energy, X, claimed)


def test_finds_a_function_that_autograd_cannot_see_through():
    with pytest.raises(VerificationError, match="no way back from the function's values"):
        gl.verify.gradient(lambda x: energy(x.detach()), X)
    with pytest.raises(VerificationError, match=r"at index \(0, 0\) the gradient is 0"):
        gl.verify.gradient(lambda x: energy(x.detach()) + 0 * x.sum(1), X)


def test_an_infinite_function_proves_nothing():
    def barrier(x):
        return torch.where(x > X[1, 1], torch.inf, x).sum(1)

    with pytest.raises(VerificationError, match=r"index \(.*the function is not finite there"):
        gl.verify.gradient(barrier, X, torch.zeros_like)


@pytest.mark.parametrize(
    ("function", "x", "tolerance", "error", "words"),
    [
        (energy, X[:0], 1e-4, ValueError, r"x: expected at least one value, got .* \(0, 3\)"),
        (energy, X * math.nan, 1e-4, ValueError, "x: expected finite values"),
        (energy, X.tolist(), 1e-4, TypeError, "x: expected a torch.Tensor, got list"),
        (energy, X, math.inf, ValueError, "tolerance: expected a finite positive number, got inf"),
        (energy, X, math.nan, ValueError, "got nan"),
        (energy, X, -1e-4, ValueError, "got -0.0001"),
        (energy, X, 0, ValueError, "got 0"),
        (energy, X, None, TypeError, "tolerance: expected a positive number, got None"),
        (energy, X, 1.0, ValueError, "tolerance: expected less than 1, .* got 1"),
        (lambda x: energy(x).sum(), X, 1e-4, ValueError, r"a number a row, shape \(4,\), got \(\)"),
        (lambda x: 1.0, X, 1e-4, ValueError, r"function: expected .* shape \(4,\), got float"),
    ],
)
@pytest.mark.parametrize("claimed", [None, exact])
def test_bad_input(function, x, tolerance, error, words, claimed):
    with pytest.raises(error, match=words):
        gl.verify.gradient(function, x, claimed, tolerance)
