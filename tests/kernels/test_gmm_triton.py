"""The Triton kernels, on a GPU if there is one, else in the interpreter: test_gmm.py starts it."""

import math

import pytest
import torch

from genlib.kernels._dispatch import INTERPRETED
from genlib.kernels.gmm import (
    _gpu,
    gmm_log_joint,
    gmm_log_joint_reference,
    gmm_moments,
    gmm_moments_reference,
)
from tests.kernels.tools import names_of_launches

pytestmark = pytest.mark.skipif(
    not (INTERPRETED or torch.cuda.is_available()), reason="neither a GPU nor the interpreter"
)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def arguments(n, dims, components):
    generator = torch.Generator().manual_seed(0)
    shapes = (n, dims), (components, dims), (components, dims, dims), (components,)
    x, means, whiteners, log_peaks = (torch.randn(*s, generator=generator) for s in shapes)
    given = x, means, whiteners / math.sqrt(dims), log_peaks
    return [part.to(DEVICE) for part in given]


@pytest.fixture
def launches(monkeypatch):
    """Names of the kernels that were launched, in order."""
    return names_of_launches(monkeypatch, _gpu)


SHAPES = [(1, 1, 1), (70, 5, 3), (100, 70, 2), (130, 17, 9)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_moments(shape, launches):
    given = arguments(*shape)
    doubles = [part.double() for part in given]
    t = gmm_log_joint(*given)
    assert launches == ["_log_joint_kernel"]
    torch.testing.assert_close(t.double(), gmm_log_joint_reference(*doubles), rtol=1e-5, atol=1e-5)
    found, expected = gmm_moments(*given), gmm_moments_reference(*doubles)
    assert launches == ["_log_joint_kernel"] * 2 + ["_moments_kernel"]
    for a, b in zip(found, expected, strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max().clamp_min(1)


def test_rows_and_components_that_several_programs_share(monkeypatch):
    """Tiles of 16: three of rows, two of columns; components by turns; rows in two spans."""
    for name in ("_BLOCK_N", "_BLOCK_E"):
        monkeypatch.setattr(_gpu, name, 16)
    monkeypatch.setattr(_gpu, "processors", lambda device: 6)
    given = arguments(45, 20, 3)
    doubles = [part.double() for part in given]
    torch.testing.assert_close(
        gmm_log_joint(*given).double(), gmm_log_joint_reference(*doubles), rtol=1e-5, atol=1e-5
    )
    for a, b in zip(gmm_moments(*given), gmm_moments_reference(*doubles), strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max().clamp_min(1)


def test_float64_does_not_go_through_float32(launches):
    given = [part.double() for part in arguments(30, 5, 4)]
    torch.testing.assert_close(
        gmm_log_joint(*given), gmm_log_joint_reference(*given), rtol=1e-13, atol=1e-13
    )
    assert launches == []
