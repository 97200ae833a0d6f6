"""The Triton kernel, on a GPU if there is one, else in the interpreter: test_ista.py starts it."""

import pytest
import torch

from genlib.kernels._dispatch import INTERPRETED
from genlib.kernels.ista import _gpu, duality_gap, lasso_ista, lasso_ista_reference
from tests.kernels.tools import names_of_launches

pytestmark = pytest.mark.skipif(
    not (INTERPRETED or torch.cuda.is_available()), reason="neither a GPU nor the interpreter"
)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def problem(n, dims, atoms):
    generator = torch.Generator().manual_seed(0)
    x, a = (torch.randn(k, dims, generator=generator) for k in (n, atoms))
    a = a / a.norm(dim=1, keepdim=True)
    return x.to(DEVICE), a.to(DEVICE), (x @ a.T).abs().max().item() / 3


@pytest.fixture
def launches(monkeypatch):
    """Names of the kernels that were launched, in order."""
    return names_of_launches(monkeypatch, _gpu)


@pytest.mark.parametrize("momentum", [True, False])
@pytest.mark.parametrize("shape", [(1, 1, 1), (20, 5, 40), (33, 17, 70)], ids=str)
def test_iterates_are_the_reference_s(shape, momentum, launches):
    x, a, sparsity = problem(*shape)
    for count in (1, 4, 13):
        given = {"iterations": count, "momentum": momentum}
        found = lasso_ista(x, a, sparsity, tolerance=0.0, **given)
        expected = lasso_ista_reference(x.double(), a.double(), sparsity, **given)
        torch.testing.assert_close(found.codes.double(), expected.codes, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.gap.double(), expected.gap, rtol=1e-3, atol=1e-4)
    assert launches == ["_iterate_kernel"] * 3


def test_a_tile_stops_where_all_its_rows_are_done():
    x, a, sparsity = problem(40, 6, 20)
    x[16:32] = 0  # the second tile is done at the first look
    found = lasso_ista(x, a, sparsity, iterations=400, tolerance=1e-4)
    assert (found.gap <= 1e-4 * 0.5 * x.square().sum(1)).all()
    assert not found.codes[16:32].any()
    expected = duality_gap(x.double(), found.codes.double(), a.double(), sparsity)
    torch.testing.assert_close(found.gap.double(), expected, rtol=1e-2, atol=1e-4)


def test_a_start_is_gone_on_from_and_kept():
    x, a, sparsity = problem(20, 6, 20)
    options = {"tolerance": 0.0, "momentum": False}
    half = lasso_ista(x, a, sparsity, iterations=3, **options).codes
    before = half.clone()
    whole = lasso_ista(x, a, sparsity, iterations=4, start=half, **options).codes
    expected = lasso_ista(x, a, sparsity, iterations=7, **options).codes
    torch.testing.assert_close(whole, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(half, before)


def test_rows_too_long_for_a_program_and_float64_go_another_way(launches, monkeypatch):
    x, a, sparsity = problem(20, 6, 20)
    lasso_ista(x.double(), a.double(), sparsity)
    monkeypatch.setattr(_gpu, "_MOST_DIMS", 4)
    found = lasso_ista(x, a, sparsity, iterations=5, tolerance=0.0).codes
    expected = lasso_ista_reference(x.double(), a.double(), sparsity, iterations=5).codes
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)
    assert launches == []
