"""The discretised logistic mixture against its definition, high precision, and finite sums."""

import math

import mpmath
import pytest
import torch

from genlib.kernels import logistic_mixture
from genlib.kernels._dispatch import HAS_TRITON, INTERPRETED
from genlib.kernels.logistic_mixture import (
    logistic_mixture_log_prob,
    logistic_mixture_log_prob_reference,
)
from tests.kernels.tools import compiled
from tests.processes import passes_in_the_interpreter

SINGLE, DOUBLE = torch.float32, torch.float64


def arguments(n, colours, components, *places, levels=256, dtype=DOUBLE, width=-1.5):
    """Pixels, a third of them at the ends, and mixtures whose tails the definition can follow."""
    generator = torch.Generator().manual_seed(n + components + levels)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=DOUBLE)

    level = torch.randint(levels, (n, colours, *places), generator=generator)
    end = torch.rand(level.shape, generator=generator)
    level = level.where(end > 1 / 6, 0).where(end < 5 / 6, levels - 1)
    shape = (n, colours, components, *places)
    logits, means = normal(n, components, *places), 0.5 + 0.2 * normal(*shape)
    scales = width + 0.2 * normal(*shape)
    return [part.to(dtype) for part in (level / (levels - 1), logits, means, scales)]


def gradients(function, given, g, levels=256):
    x, *leaves = [part.detach().clone() for part in given]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    return torch.autograd.grad(function(x, *leaves, levels), leaves, g)


SHAPES = [(1, 1, 1, 1), (5, 1, 3, 2, 3), (2, 3, 10, 7), (3, 2, 5, 4, 1), (70, 1, 10, 30, 4)]


@pytest.mark.covers("A09")
@pytest.mark.parametrize("levels", [2, 3, 256])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients_are_those_of_the_definition(shape, levels):
    given = arguments(*shape, levels=levels)
    found = logistic_mixture_log_prob(*given, levels)
    expected = logistic_mixture_log_prob_reference(*given, levels)
    assert found.shape == (shape[0], *shape[3:])
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)
    g = torch.randn(found.shape, dtype=DOUBLE)
    pairs = zip(
        gradients(logistic_mixture_log_prob, given, g, levels),
        gradients(logistic_mixture_log_prob_reference, given, g, levels),
        strict=True,
    )
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_float32(shape):
    given = arguments(*shape, dtype=SINGLE)
    wide = [part.double() for part in given]
    found = logistic_mixture_log_prob(*given)
    torch.testing.assert_close(
        found.double(), logistic_mixture_log_prob(*wide), rtol=1e-5, atol=1e-5
    )
    g = torch.randn(found.shape, dtype=DOUBLE)
    pairs = zip(
        gradients(logistic_mixture_log_prob, given, g.float()),
        gradients(logistic_mixture_log_prob, wide, g),
        strict=True,
    )
    for a, b in pairs:
        assert (a - b).abs().max() <= 1e-5 * b.abs().max().clamp_min(1)


def test_gradcheck():
    x, *rest = arguments(2, 2, 3, 4)
    leaves = [part.requires_grad_() for part in rest]
    assert torch.autograd.gradcheck(lambda *parts: logistic_mixture_log_prob(x, *parts), leaves)


@pytest.mark.covers("A09")
@pytest.mark.parametrize("width", [-30.0, -8.0, -2.0, 3.0, 30.0])
@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_the_probabilities_of_all_levels_sum_to_one(dtype, width):
    _, *mixtures = arguments(20, 1, 4, 1, dtype=dtype, width=width)
    x = (torch.arange(256) / 255).to(dtype).expand(20, 1, 256)
    wide = [part.expand(*part.shape[:-1], 256) for part in mixtures]
    total = logistic_mixture_log_prob(x, *wide).double().exp().sum(1)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=2e-5)


def test_all_colours_of_a_pixel_sum_to_one_together():
    levels = 5
    _, *mixtures = arguments(1, 3, 4, 1, levels=levels)
    colours = torch.cartesian_prod(*[torch.arange(levels, dtype=DOUBLE)] * 3).T / (levels - 1)
    wide = [part.expand(*part.shape[:-1], levels**3) for part in mixtures]
    total = logistic_mixture_log_prob(colours[None], *wide, levels).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-12)


# ------------------------------------------------------------------------------ extremes


def true_log_mass(level, mean, log_scale, levels=256):
    """log P of one level, from the definition, in 400 digits and more where a tail needs them."""
    distance = abs(level - (levels - 1) * mean) / ((levels - 1) * math.exp(log_scale))
    with mpmath.workdps(int(400 + distance)):
        scale = (levels - 1) * mpmath.exp(mpmath.mpf(log_scale))
        centre = (levels - 1) * mpmath.mpf(mean)

        def below(edge):
            return 1 / (1 + mpmath.exp(-(edge - centre) / scale))

        lower = below(level - mpmath.mpf(0.5)) if level > 0 else 0
        upper = below(level + mpmath.mpf(0.5)) if level < levels - 1 else 1
        return float(mpmath.log(upper - lower))


EXTREMES = [
    (level, mean, log_scale)
    for level in (0, 1, 128, 254, 255)
    for mean in (-3.0, 0.0, 0.25, 0.5, 128 / 255, 1.0, 40.0)
    for log_scale in (-9.5, -7.0, -3.0, 0.0, 20.0, 70.0, 100.0)
    if abs(level / 255 - mean) < 2e3 * math.exp(log_scale)
]


@pytest.mark.covers("A09")
@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_extreme_parameters_against_high_precision(dtype):
    level, mean, log_scale = torch.tensor(EXTREMES, dtype=dtype).unbind(1)
    truth = torch.tensor(
        [
            true_log_mass(*case)
            for case in zip(level.tolist(), mean.tolist(), log_scale.tolist(), strict=True)
        ],
        dtype=DOUBLE,
    )
    shape = (-1, 1, 1, 1)
    found = logistic_mixture_log_prob(
        (level / 255).view(-1, 1, 1),
        torch.zeros(len(level), 1, 1, dtype=dtype),
        mean.view(shape),
        log_scale.view(shape),
    )
    # A rounding of the mean alone moves log P by |mean| eps / s at most.
    eps = torch.finfo(dtype).eps
    allowed = eps * (8 + 4 * truth.abs() + 2 * (1 + mean.abs()) / log_scale.exp()).double()
    assert truth.min() < -1000
    assert ((found.flatten() - truth).abs() <= allowed).all()


@pytest.mark.covers("A09")
@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
@pytest.mark.parametrize("levels", [2, 256])
def test_nothing_finite_becomes_infinite_or_nan(levels, dtype):
    """Means and scales from end to end of the dtype: values and gradients stay finite."""
    end = torch.finfo(dtype).max
    steps = [-end, -1e4, -87.0, -60.0, -41.0, -30.0, -7.0, 0.0, 60.0, 88.0, 1e4, end]
    places = [-end, -1e15, -1e3, -0.5, 0.0, 0.25, 0.5, 1.0, 7.0, 1e18, 1e30, end]
    level = torch.tensor([0.0, (levels // 2) / (levels - 1), 1.0], dtype=dtype)
    steps, places = torch.tensor(steps, dtype=dtype), torch.tensor(places, dtype=dtype)
    x, mean, scale = torch.cartesian_prod(level, places, steps).T
    given = (
        x[None, None],
        torch.zeros(1, 2, len(x), dtype=dtype),
        torch.stack([mean, torch.full_like(mean, 0.5)])[None, None],
        torch.stack([scale, torch.zeros_like(scale)])[None, None],
    )
    found = logistic_mixture_log_prob(*given, levels)
    assert found.isfinite().all()
    assert (found <= 0).all()
    assert all(
        part.isfinite().all()
        for part in gradients(logistic_mixture_log_prob, given, torch.ones_like(found), levels)
    )


def test_where_the_usual_expression_has_no_gradient_left():
    """A pixel 100 scales from every mean still says which way to go."""
    given = (
        torch.full((1, 1, 1), 0.8),
        torch.zeros(1, 1, 1),
        torch.full((1, 1, 1, 1), 0.2),
        torch.full((1, 1, 1, 1), math.log(0.006)),
    )
    _, of_mean, of_scale = gradients(logistic_mixture_log_prob, given, torch.ones(1, 1))
    assert of_mean.item() == pytest.approx(1 / 0.006, rel=1e-3)
    assert of_scale.item() == pytest.approx(100, rel=0.02)


# ------------------------------------------------------------------------------ operator


def test_blocks_and_threads_change_nothing(monkeypatch):
    given = arguments(9, 2, 3, 50, dtype=SINGLE)
    g, before, results = torch.ones(9, 50), torch.get_num_threads(), []
    try:
        for block, threads in ((2**16, 1), (6, 1), (6, 2), (700, 2)):
            monkeypatch.setattr(logistic_mixture, "_BLOCK", block)
            torch.set_num_threads(threads)
            found = gradients(logistic_mixture_log_prob, given, g)
            results.append([logistic_mixture_log_prob(*given), *found])
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        torch.testing.assert_close(others, results[0], rtol=1e-5, atol=1e-5)


def test_strided_inputs_are_read_as_they_lie_and_left_alone():
    given = arguments(4, 2, 3, 6, dtype=SINGLE)
    strided = [part.transpose(0, -1).contiguous().transpose(0, -1) for part in given]
    before = [part.clone() for part in strided]
    found, expected = (logistic_mixture_log_prob(*parts) for parts in (strided, given))
    torch.testing.assert_close(found, expected)
    g = torch.randn(6, 4).T
    found, expected = (
        gradients(logistic_mixture_log_prob, parts, slope)
        for parts, slope in ((strided, g), (given, g.contiguous()))
    )
    torch.testing.assert_close(found, expected)
    assert all(torch.equal(a, b) for a, b in zip(strided, before, strict=True))


def test_nothing_is_kept_but_the_arguments():
    x, *rest = arguments(3, 1, 4, 5)
    leaves, kept = [part.requires_grad_() for part in rest], []
    with torch.autograd.graph.saved_tensors_hooks(lambda part: kept.append(part) or part, id):
        logistic_mixture_log_prob(x, *leaves)
    assert {part.data_ptr() for part in kept} == {part.data_ptr() for part in (x, *leaves)}


def test_second_derivatives_are_refused():
    x, *rest = arguments(2, 1, 2, 2)
    leaves = [part.requires_grad_() for part in rest]
    value = logistic_mixture_log_prob(x, *leaves).sum()
    (slope,) = torch.autograd.grad(value, leaves[1], create_graph=True)
    with pytest.raises(NotImplementedError, match="second derivatives are not implemented"):
        slope.sum().backward()


def test_opcheck():
    x, *rest = arguments(3, 2, 4, 5, dtype=SINGLE)
    leaves = [part.requires_grad_() for part in rest]
    torch.library.opcheck(torch.ops.genlib.logistic_mixture.default, (x, *leaves, 256))
    plain = [part.detach() for part in leaves]
    torch.library.opcheck(
        torch.ops.genlib.logistic_mixture_backward.default,
        (torch.ones(3, 5), x, *plain, 256),
    )


def test_compiles_without_a_graph_break():
    def loss(x, logits, means, scales):
        return -logistic_mixture_log_prob(x, logits.tanh(), means, scales).mean()

    given, results = arguments(3, 1, 4, 5, dtype=SINGLE), []
    for function in (loss, torch.compile(loss, fullgraph=True, backend="aot_eager")):
        leaf = given[1].clone().requires_grad_()
        value = function(given[0], leaf, *given[2:])
        value.backward()
        results.append((value.detach(), leaf.grad))
    torch.testing.assert_close(results[0], results[1])


def test_what_a_layer_makes_under_autocast_is_taken_in_the_dtype_of_x():
    x, *rest = arguments(3, 2, 4, 5, dtype=SINGLE)
    short = [part.bfloat16().requires_grad_() for part in rest]
    full = [part.detach().float().requires_grad_() for part in short]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = logistic_mixture_log_prob(x, *short)
    expected = logistic_mixture_log_prob(x, *full)
    assert found.dtype == SINGLE
    assert torch.equal(found, expected)
    pairs = zip(
        torch.autograd.grad(found.sum(), short),
        torch.autograd.grad(expected.sum(), full),
        strict=True,
    )
    assert all(torch.equal(a, b.bfloat16()) for a, b in pairs)
    with pytest.raises(TypeError, match=r"logits: expected torch\.float32 or torch\.float64"):
        logistic_mixture_log_prob(x, *short)


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_autocast_changes_nothing_where_the_dtypes_agree(dtype):
    given = arguments(3, 2, 4, 5, dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = logistic_mixture_log_prob(*given)
    assert torch.equal(found, logistic_mixture_log_prob(*given))


# ------------------------------------------------------------------------------ bad input


X, L, M = torch.zeros(2, 1, 4), torch.zeros(2, 3, 4), torch.zeros(2, 1, 3, 4)
BAD = {
    "x list": (([0.0], L, M, M), TypeError, "x: expected a torch.Tensor, got list"),
    "integer x": ((X.int(), L, M, M), TypeError, "x: expected torch.float32 or torch.float64"),
    "mixed": ((X, L, M.double(), M), TypeError, "means: expected the dtype of x"),
    "no places": ((X[..., 0], L, M, M), ValueError, r"x: expected shape \(N, C, \.\.\.\)"),
    "nothing": ((X[:0], L, M, M), ValueError, "x: .* at least one value"),
    "logits": ((X, L[..., 0], M, M), ValueError, r"logits: expected shape \(2, K, 4\)"),
    "rows": ((X, L[:1], M, M), ValueError, r"logits: expected shape \(2, 3, 4\), got \(1, 3, 4\)"),
    "means": ((X, L, M[:, :, :2], M), ValueError, r"means: expected shape \(2, 1, 3, 4\)"),
    "scales": ((X, L, M, L), ValueError, r"log_scales: expected shape \(2, 1, 3, 4\)"),
    "levels": ((X, L, M, M, 1), ValueError, "levels: expected an integer of at least 2, got 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name(case):
    given, error, message = BAD[case]
    with pytest.raises(error, match=message):
        logistic_mixture_log_prob(*given)


# ------------------------------------------------------------------------------ Triton


@pytest.mark.skipif(
    not HAS_TRITON or INTERPRETED, reason="Triton is missing, or interprets already"
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="the GPU runs these tests itself")
def test_triton_agrees_in_its_interpreter():
    passes_in_the_interpreter("tests/kernels/test_logistic_mixture_triton.py")


@pytest.mark.skipif(not HAS_TRITON or INTERPRETED, reason="Triton is missing, or interprets")
@pytest.mark.parametrize("kernel", ["log_prob", "gradients"])
def test_triton_compiles_for_a_gpu_that_need_not_be_there(kernel, tmp_path, monkeypatch):
    tile = logistic_mixture._tile(10)
    warps, function = tile.pop("num_warps"), getattr(logistic_mixture, f"_{kernel}_kernel")
    compiled(function, tile, monkeypatch, tmp_path, types={"steps": "fp32"}, warps=warps)
