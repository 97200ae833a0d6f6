"""Minibatch features against loops over the formula, closed forms, and autograd of the formula."""

import itertools
import math

import pytest
import torch

from genlib.kernels import minibatch_features, pairwise_l1
from genlib.kernels._dispatch import HAS_TRITON, INTERPRETED
from genlib.kernels.pairwise_l1 import minibatch_features_reference
from tests.kernels.tools import Largest, compiled
from tests.processes import passes_in_the_interpreter

SINGLE, DOUBLE = torch.float32, torch.float64
SHAPES = [(1, 1, 1), (2, 3, 1), (7, 1, 4), (33, 5, 3), (64, 2, 17), (100, 40, 5), (259, 3, 5)]
FUNCTIONS = minibatch_features, minibatch_features_reference
BACKWARD = torch.ops.genlib.minibatch_features_backward.default
DOUBLE_BACKWARD = torch.ops.genlib.minibatch_features_double_backward.default


def values(n, features, size, dtype=DOUBLE, scale=1.0):
    """Rows, of which some are equal in some values: there the slope of the norm jumps."""
    generator = torch.Generator().manual_seed(n + features + size)
    m = scale * torch.randn(n, features, size, generator=generator, dtype=DOUBLE)
    m[::3, :, 0] = 0.25
    return m.to(dtype)


def by_loops(m):
    """The formula of the paper, but for j = i, in Python's floats."""
    n, features, size = m.shape
    rows, out = m.tolist(), torch.zeros(n, features, dtype=DOUBLE)
    for i, j, b in itertools.product(range(n), range(n), range(features)):
        if j != i:
            norm = math.fsum(abs(rows[i][b][c] - rows[j][b][c]) for c in range(size))
            out[i, b] += math.exp(-norm)
    return out


def slopes(function, m, g):
    m = m.detach().clone().requires_grad_()
    return torch.autograd.grad(function(m), m, g)[0]


def second_slopes(function, m, g, v):
    """Slopes of Σ v ∂L/∂M with respect to g and M."""
    m, g = (part.detach().clone().requires_grad_() for part in (m, g))
    (slope,) = torch.autograd.grad(function(m), m, g, create_graph=True)
    return torch.autograd.grad(slope, (g, m), v)


# ------------------------------------------------------------------------------ values


@pytest.mark.covers("G08")
@pytest.mark.parametrize("shape", [(1, 2, 3), (2, 1, 1), (5, 3, 2), (40, 2, 3)], ids=str)
def test_features_are_the_sums_of_the_paper_without_the_row_itself(shape):
    m = values(*shape)
    torch.testing.assert_close(minibatch_features(m), by_loops(m), rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(minibatch_features_reference(m), by_loops(m), rtol=1e-12, atol=1e-14)


@pytest.mark.covers("G08")
def test_closed_forms():
    copies = torch.full((9, 2, 3), 1e4)
    assert torch.equal(minibatch_features(copies), torch.full((9, 2), 8.0))  # N − 1, not N
    apart = torch.arange(4.0)[:, None, None] * 1e3
    assert (minibatch_features(apart) < 1e-30).all()
    assert torch.equal(minibatch_features(copies[:1]), torch.zeros(1, 2))
    # Rows at 0, 1, … N − 1: two geometric series.
    line = torch.arange(50, dtype=DOUBLE)[:, None, None]
    i, r = torch.arange(50, dtype=DOUBLE), math.exp(-1)
    expected = (r * (1 - r**i) + r * (1 - r ** (49 - i))) / (1 - r)
    torch.testing.assert_close(minibatch_features(line)[:, 0], expected)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_float64_values_and_gradients_are_those_of_the_definition(shape):
    m = values(*shape)
    found, expected = minibatch_features(m), minibatch_features_reference(m)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)
    g = torch.randn(found.shape, dtype=DOUBLE)
    pair = [slopes(function, m, g) for function in FUNCTIONS]
    torch.testing.assert_close(*pair, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_float32(shape, scale):
    m = values(*shape, dtype=SINGLE, scale=scale)
    truth = minibatch_features_reference(m.double())
    error = (minibatch_features(m) - truth).abs()
    assert (error <= 2e-6 * truth.clamp_min(1)).all()
    g = torch.randn(truth.shape, dtype=DOUBLE)
    found, expected = slopes(minibatch_features, m, g.float()), slopes(FUNCTIONS[1], m.double(), g)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max().clamp_min(1)


@pytest.mark.parametrize("offset", [1e3, -1e5])
def test_the_origin_does_not_matter(offset):
    """Values with few enough digits that the sum is exact: then so is every difference."""
    m = (values(40, 6, 5, dtype=SINGLE) * 64).round() / 64
    assert torch.equal(minibatch_features(m + offset), minibatch_features(m))


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_no_subnormal_number_slows_down_rows_that_are_far_apart(dtype):
    """exp(−D) of them would be one, or zero, on which exp2 takes three times as long."""
    tiny = torch.finfo(dtype).tiny
    for distance in (-math.log(tiny) + 5, 1e4):
        far = torch.tensor([0.0, distance], dtype=dtype)[:, None, None]
        expected = torch.full((2, 1), tiny, dtype=dtype)
        torch.testing.assert_close(minibatch_features(far), expected, rtol=1e-2, atol=0)


def test_rows_may_come_in_any_order():
    m, order = values(70, 4, 5), torch.randperm(70)
    torch.testing.assert_close(minibatch_features(m[order]), minibatch_features(m)[order])


def test_extremes_stay_finite_and_nan_shows():
    end = torch.finfo(SINGLE).max
    m = torch.tensor([-end, -1e30, 0.0, 0.0, 1e-38, 1e30, end])[:, None, None].repeat(1, 2, 2)
    g = torch.ones(7, 2)
    assert minibatch_features(m)[2].tolist() == pytest.approx([2, 2])
    assert slopes(minibatch_features, m, g).isfinite().all()
    m[3, 1, 0] = torch.nan
    found = minibatch_features(m)
    assert found[:, 1].isnan().all() and found[:, 0].isfinite().all()


# ------------------------------------------------------------------------------ gradients


@pytest.mark.covers("G08")
def test_gradients_are_those_of_finite_differences_once_and_twice():
    m = torch.randn(6, 2, 3, dtype=DOUBLE, requires_grad=True)
    assert torch.autograd.gradcheck(minibatch_features, m)
    assert torch.autograd.gradgradcheck(minibatch_features, m)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_second_derivatives_are_those_of_the_definition(shape):
    m = values(*shape)
    g, v = torch.randn(m.shape[:2], dtype=DOUBLE), torch.randn(m.shape, dtype=DOUBLE)
    pairs = zip(*(second_slopes(function, m, g, v) for function in FUNCTIONS), strict=True)
    for found, expected in pairs:
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-11)


def test_third_derivatives_are_refused():
    m = values(4, 2, 3).requires_grad_()
    value = minibatch_features(m)
    for _ in range(2):
        (value,) = torch.autograd.grad(value.square().sum(), m, create_graph=True)
    with pytest.raises(NotImplementedError, match="third derivatives are not implemented"):
        value.sum().backward()


def test_equal_values_have_the_slope_that_torch_gives_to_an_absolute_value_at_zero():
    m = torch.tensor([[[0.0, 1.0]], [[0.0, 3.0]]], dtype=DOUBLE)
    slope = slopes(minibatch_features, m, torch.ones(2, 1, dtype=DOUBLE))
    e = 2 * math.exp(-2)
    torch.testing.assert_close(slope, torch.tensor([[[0.0, e]], [[0.0, -e]]], dtype=DOUBLE))


# ------------------------------------------------------------------------------ operator


def test_tiles_and_threads_change_nothing(monkeypatch):
    m, before, results = values(41, 3, 2), torch.get_num_threads(), []
    g, v = torch.randn(41, 3, dtype=DOUBLE), torch.randn(m.shape, dtype=DOUBLE)
    try:
        for tile, threads in ((2**15, 1), (1, 1), (50, 2), (1500, 2), (2**22, 3)):
            monkeypatch.setattr(pairwise_l1, "_TILE", {"cpu": tile})
            torch.set_num_threads(threads)
            found = slopes(minibatch_features, m, g), *second_slopes(minibatch_features, m, g, v)
            results.append([minibatch_features(m), *found])
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        torch.testing.assert_close(others, results[0], rtol=1e-10, atol=1e-11)


def test_no_array_of_all_differences_is_made():
    m = values(256, 100, 5, dtype=SINGLE).requires_grad_()
    with Largest() as largest:
        minibatch_features(m).sum().backward()
    assert largest.entries <= 2 * pairwise_l1._TILE["cpu"] < 256 * m.numel() / 30


def test_strided_input_is_read_as_it_lies_and_left_alone():
    m = values(12, 5, 6, dtype=SINGLE)
    strided = m.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    before, g = strided.clone(), torch.randn(5, 12).T
    assert torch.equal(minibatch_features(strided), minibatch_features(m))
    found = slopes(minibatch_features, strided, g), slopes(minibatch_features, m, g.contiguous())
    assert torch.equal(*found)
    assert torch.equal(strided, before)


def test_nothing_is_kept_but_the_argument():
    m, kept = values(5, 4, 3).requires_grad_(), []
    with torch.autograd.graph.saved_tensors_hooks(lambda part: kept.append(part) or part, id):
        minibatch_features(m)
    assert {part.data_ptr() for part in kept} == {m.data_ptr()}


def test_opcheck():
    m = values(9, 4, 3, dtype=SINGLE)
    g, v = torch.randn(9, 4), torch.randn(9, 4, 3)
    leaves = [part.clone().requires_grad_() for part in (g, m)]
    operator = torch.ops.genlib.minibatch_features.default
    torch.library.opcheck(operator, (leaves[1],))
    torch.library.opcheck(BACKWARD, tuple(leaves))
    torch.library.opcheck(DOUBLE_BACKWARD, (v, g, m))


def test_compiles_without_a_graph_break():
    def loss(m):
        return minibatch_features(m.tanh()).mean()

    results = []
    for function in (loss, torch.compile(loss, fullgraph=True, backend="aot_eager")):
        leaf = values(6, 4, 3, dtype=SINGLE).requires_grad_()
        value = function(leaf)
        value.backward()
        results.append((value.detach(), leaf.grad))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_autocast_changes_nothing(dtype):
    m = values(6, 4, 3, dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = minibatch_features(m)
    assert torch.equal(found, minibatch_features(m))


M = torch.zeros(3, 2, 4)
BAD = {
    "list": ([[[0.0]]], TypeError, "m: expected a torch.Tensor, got list"),
    "integers": (M.int(), TypeError, "m: expected torch.float32 or torch.float64"),
    "short": (M.half(), TypeError, "m: expected torch.float32 or torch.float64"),
    "flat": (M.flatten(1), ValueError, r"m: expected shape \(N, B, C\), .* got \(3, 8\)"),
    "no rows": (M[:0], ValueError, "m: .* at least one row"),
    "no features": (M[:, :0], ValueError, "m: .* one feature"),
    "no values": (M[:, :, :0], ValueError, "m: .* one value"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name(case):
    given, error, message = BAD[case]
    with pytest.raises(error, match=message):
        minibatch_features(given)


# ------------------------------------------------------------------------------ Triton


@pytest.mark.skipif(
    not HAS_TRITON or INTERPRETED, reason="Triton is missing, or interprets already"
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="the GPU runs these tests itself")
def test_triton_agrees_in_its_interpreter():
    passes_in_the_interpreter("tests/kernels/test_pairwise_l1_triton.py")


@pytest.mark.skipif(not HAS_TRITON or INTERPRETED, reason="Triton is missing, or interprets")
@pytest.mark.parametrize("kernel", ["features", "gradient"])
@pytest.mark.parametrize("size", [1, 5, 40])
def test_triton_compiles_for_a_gpu_that_need_not_be_there(kernel, size, tmp_path, monkeypatch):
    constants = dict(pairwise_l1._BLOCKS)
    if kernel == "gradient":
        constants["BLOCK_C"] = pairwise_l1._block_c(size)
    function = getattr(pairwise_l1, f"_{kernel}_kernel")
    compiled(function, constants, monkeypatch, tmp_path, warps=pairwise_l1._WARPS)
