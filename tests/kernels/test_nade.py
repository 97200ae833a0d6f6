"""The NADE scan against its definition in float64, and against enumeration."""

import math
from functools import partial

import pytest
import torch

from genlib.core import binary_events
from genlib.kernels._dispatch import HAS_TRITON, INTERPRETED
from genlib.kernels.nade import (
    _blocks,
    _gpu,
    _passes,
    nade_logits,
    nade_logits_reference,
    nade_sample,
    nade_sample_reference,
)
from tests.kernels.tools import Largest, compiled
from tests.processes import passes_in_the_interpreter

SINGLE, DOUBLE = torch.float32, torch.float64
NAMES = ("x", "w", "c", "v", "b")


def arguments(n, dims, units, density=0.2, *, per_value=False, dtype=SINGLE, scale=1.0):
    """Rows of zeros and ones, and weights, the same in either dtype up to rounding."""
    generator = torch.Generator().manual_seed(n + dims + units)

    def normal(*shape):
        return (scale * torch.randn(*shape, generator=generator, dtype=DOUBLE)).to(dtype)

    x = (torch.rand(n, dims, generator=generator) < density).to(dtype)
    c = normal(dims, units) if per_value else normal(units)
    return x, normal(dims, units), c, normal(dims, units) / math.sqrt(units), normal(dims)


def gradients(function, given, g):
    leaves = [part.detach().clone().requires_grad_() for part in given]
    logits = function(*leaves)
    return torch.autograd.grad(logits, leaves, g, materialize_grads=True)


def excess(found, expected, tolerance):
    """Largest error over the tolerance, relative to the largest entry or one."""
    assert found.shape == expected.shape
    return ((found - expected).abs().max() / (tolerance * expected.abs().max().clamp_min(1))).item()


SHAPES = [
    (1, 1, 1),
    (1, 40, 3),
    (7, 15, 5),
    (3, 16, 1),
    (5, 17, 33),
    (130, 33, 8),
    (257, 5, 4),
    (20, 200, 64),
]


@pytest.mark.covers("A02")
@pytest.mark.parametrize("per_value", [False, True], ids=["one c", "c for each value"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients_are_those_of_the_definition(shape, per_value):
    given = arguments(*shape, per_value=per_value)
    wide = [part.double() for part in given]
    assert excess(nade_logits(*given), nade_logits_reference(*wide), 2e-6) < 1
    g = torch.randn(shape[:2], dtype=DOUBLE)
    found = gradients(nade_logits, given, g.float())
    expected = gradients(nade_logits_reference, wide, g)
    for name, a, b in zip(NAMES, found, expected, strict=True):
        assert a.dtype == SINGLE
        assert excess(a, b, 5e-6) < 1, name


@pytest.mark.parametrize("density", [0.0, 0.05, 0.5, 1.0])
def test_any_share_of_ones(density):
    given = arguments(9, 50, 12, density, dtype=DOUBLE)
    g = torch.randn(9, 50, dtype=DOUBLE)
    assert excess(nade_logits(*given), nade_logits_reference(*given), 1e-13) < 1
    x, *weights = given
    # Without a gradient of x, values of zero share a state with those before them.
    found = gradients(lambda *rest: nade_logits(x, *rest), weights, g)
    expected = gradients(lambda *rest: nade_logits_reference(x, *rest), weights, g)
    for name, a, b in zip(NAMES[1:], found, expected, strict=True):
        assert excess(a, b, 1e-13) < 1, name


def test_values_need_not_be_zeros_and_ones():
    x, *weights = arguments(6, 37, 9, dtype=DOUBLE)
    x = torch.randn(6, 37, dtype=DOUBLE) * x
    g = torch.randn(6, 37, dtype=DOUBLE)
    given = (x, *weights)
    assert excess(nade_logits(*given), nade_logits_reference(*given), 1e-13) < 1
    pairs = zip(
        gradients(nade_logits, given, g), gradients(nade_logits_reference, given, g), strict=True
    )
    assert all(excess(a, b, 1e-13) < 1 for a, b in pairs)


def test_the_size_of_a_digit():
    given = arguments(30, 784, 100, 0.13, scale=0.3)
    wide = [part.double() for part in given]
    g = torch.randn(30, 784, dtype=DOUBLE)
    assert excess(nade_logits(*given), nade_logits_reference(*wide), 1e-5) < 1
    found, expected = (
        gradients(nade_logits, given, g.float()),
        gradients(nade_logits_reference, wide, g),
    )
    for name, a, b in zip(NAMES, found, expected, strict=True):
        assert excess(a, b, 1e-5) < 1, name


def test_saturated_units_stay_finite():
    given = arguments(8, 40, 10, 0.5, scale=100.0)
    found = gradients(nade_logits, given, torch.ones(8, 40))
    assert nade_logits(*given).isfinite().all()
    assert all(part.isfinite().all() for part in found)


@pytest.mark.parametrize("per_value", [False, True], ids=["one c", "c for each value"])
def test_gradcheck(per_value):
    given = arguments(4, 18, 3, 0.4, per_value=per_value, dtype=DOUBLE)
    assert torch.autograd.gradcheck(nade_logits, [part.requires_grad_() for part in given])


@pytest.mark.parametrize("wanted", [*NAMES, "wv", "cb", "xw"])
def test_each_gradient_alone(wanted):
    given = dict(zip(NAMES, arguments(12, 35, 6), strict=True))
    everything = gradients(nade_logits, given.values(), torch.ones(12, 35))
    for name in wanted:
        given[name].requires_grad_()
    nade_logits(**given).sum().backward()
    for (name, value), expected in zip(given.items(), everything, strict=True):
        if name in wanted:
            torch.testing.assert_close(value.grad, expected, rtol=1e-4, atol=1e-5)
        else:
            assert value.grad is None


@pytest.mark.covers("A02")
def test_probabilities_of_all_images_sum_to_one():
    _, *weights = arguments(1, 9, 5, dtype=DOUBLE)
    x = binary_events(9, dtype=DOUBLE)
    logits = nade_logits(x, *weights)
    log_p = -torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
    assert log_p.sum(1).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_second_derivatives_are_refused():
    given = [part.requires_grad_() for part in arguments(3, 4, 2)]
    (slope,) = torch.autograd.grad(nade_logits(*given).sum(), given[1], create_graph=True)
    with pytest.raises(NotImplementedError, match="second derivatives are not implemented"):
        slope.sum().backward()


# ------------------------------------------------------------------------------ sampling


@pytest.mark.covers("A02")
@pytest.mark.parametrize("per_value", [False, True], ids=["one c", "c for each value"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_same_numbers_draw_the_same_images_as_full_passes(shape, per_value):
    x, *weights = arguments(*shape, per_value=per_value, dtype=DOUBLE)
    u = torch.rand(x.shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    drawn = nade_sample(u, *weights)
    assert torch.equal(drawn, nade_sample_reference(u, *weights))
    assert 0 < drawn.mean() < 1 or drawn.numel() < 20


def test_draws_obey_the_logits_in_float32():
    """Each value is one where its uniform number lies below the probability, up to rounding."""
    x, *weights = arguments(200, 60, 30)
    u = torch.rand(x.shape, generator=torch.Generator().manual_seed(1))
    drawn = nade_sample(u, *weights)
    p = nade_logits(drawn, *weights).sigmoid()
    assert torch.equal(drawn[(u - p).abs() > 1e-5], (u < p).float()[(u - p).abs() > 1e-5])


def test_numbers_outside_the_unit_interval_decide_a_value():
    x, *weights = arguments(50, 20, 8, 0.5)
    u = torch.rand(50, 20)
    u[:, 5:15] = 1 - 2 * x[:, 5:15]
    assert torch.equal(nade_sample(u, *weights)[:, 5:15], x[:, 5:15])


# ------------------------------------------------------------------------------ memory, operator


def test_the_states_are_never_all_in_memory(monkeypatch):
    given = arguments(300, 200, 64)
    monkeypatch.setattr(_passes, "parallel_map", lambda f, parts, _, serial: list(map(f, parts)))
    with Largest() as largest:
        _passes.forward(*given)
        _passes.backward(torch.ones(300, 200), *given[:4], [False, True, True, True])
    x, w = given[:2]
    assert largest.entries <= max(x.numel(), w.numel(), _blocks.ROWS * _blocks._BLOCK * w.shape[1])
    assert largest.entries < x.numel() * w.shape[1] / 20


def test_the_forward_pass_keeps_nothing_but_its_arguments():
    kept = []
    given = [part.requires_grad_() for part in arguments(20, 30, 8)]
    with torch.autograd.graph.saved_tensors_hooks(lambda part: kept.append(part) or part, id):
        nade_logits(*given)
    assert {part.data_ptr() for part in kept} <= {part.data_ptr() for part in given}


@pytest.fixture
def threads():
    """Sets torch's number of threads, for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_threads_change_the_time_and_nothing_else(threads):
    given, results = arguments(400, 50, 16), []
    u, g = torch.rand(2, 400, 50)
    for number in (1, 2, 3):
        threads(number)
        drawn, logits = nade_sample(u, *given[1:]), nade_logits(*given)
        results.append((drawn, logits, gradients(nade_logits, given, g)))
        assert torch.get_num_threads() == number
    for drawn, logits, found in results[1:]:
        assert torch.equal(drawn, results[0][0])
        torch.testing.assert_close((logits, found), results[0][1:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("rows", "parts"), [(100, 1), (255, 1), (256, 2), (512, 2)])
def test_threads_have_a_block_of_rows_each_and_draws_have_one_thread(
    rows, parts, threads, monkeypatch
):
    """Less work would be lost in waiting for the interpreter; torch divides none of it either."""
    calls = []

    def remember(name, function, *given):
        calls.append((name, torch.get_num_threads()))
        return function(*given)

    for name in ("logits", "gradients", "sample"):
        monkeypatch.setattr(_blocks, name, partial(remember, name, getattr(_blocks, name)))
    given = arguments(rows, 10, 4)
    threads(2)
    gradients(nade_logits, given, torch.ones(rows, 10))
    nade_sample(torch.rand(rows, 10), *given[1:])
    assert calls == [("logits", 1)] * parts + [("gradients", 1)] * parts + [("sample", 1)]


@pytest.mark.parametrize("density", [0.02, 0.3, 0.6])
@pytest.mark.parametrize("rows", [1, 31, 32, 1100])
def test_few_ones_and_many_draw_what_full_passes_draw(rows, density):
    """Both ways to bring the hidden units up to date, and more rows than are drawn together."""
    _, *weights, _ = arguments(rows, 20, 8, dtype=DOUBLE, scale=0.3)
    b = torch.full((20,), math.log(density / (1 - density)), dtype=DOUBLE)
    u = torch.rand(rows, 20, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    drawn = nade_sample(u, *weights, b)
    assert torch.equal(drawn, nade_sample_reference(u, *weights, b))


def test_the_same_numbers_every_time():
    given = arguments(300, 50, 16)
    first, second = (gradients(nade_logits, given, torch.ones(300, 50)) for _ in "12")
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_strided_inputs_are_read_as_they_lie_and_left_alone():
    x, w, c, v, b = arguments(20, 30, 8)
    strided = [part.T.contiguous().T for part in (x, w, v)]
    before = [part.clone() for part in strided]
    g = torch.randn(20, 30)
    found = gradients(nade_logits, (strided[0], strided[1], c, strided[2], b), g.T.clone().T)
    expected = gradients(nade_logits, (x, w, c, v, b), g)
    torch.testing.assert_close(found, expected)
    assert all(torch.equal(a, b) for a, b in zip(strided, before, strict=True))


def test_modes_of_torch_around_the_call_change_nothing():
    given = arguments(50, 40, 8)
    expected = nade_logits(*given)
    with torch.inference_mode():
        assert torch.equal(nade_logits(*given), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(nade_logits(*given), expected)


def test_what_a_layer_makes_under_autocast_is_taken_in_the_dtype_of_x():
    x, *rest = arguments(9, 20, 4)
    short = [part.bfloat16().requires_grad_() for part in rest]
    full = [part.detach().float().requires_grad_() for part in short]
    u = torch.rand(9, 20)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, drawn = nade_logits(x, *short), nade_sample(u, *short)
    expected = nade_logits(x, *full)
    assert found.dtype == drawn.dtype == SINGLE
    assert torch.equal(found, expected)
    assert torch.equal(drawn, nade_sample(u, *full))
    pairs = zip(
        torch.autograd.grad(found.sum(), short),
        torch.autograd.grad(expected.sum(), full),
        strict=True,
    )
    assert all(torch.equal(a, b.bfloat16()) for a, b in pairs)
    with pytest.raises(TypeError, match=r"w: expected torch\.float32 or torch\.float64"):
        nade_logits(x, *short)


@pytest.mark.parametrize("per_value", [False, True], ids=["one c", "c for each value"])
def test_opcheck(per_value):
    x, *weights = arguments(7, 18, 3, per_value=per_value)
    given = [x, *(part.requires_grad_() for part in weights)]
    torch.library.opcheck(torch.ops.genlib.nade_logits.default, given)
    plain = [part.detach() for part in given]
    g = torch.ones(7, 18)
    torch.library.opcheck(
        torch.ops.genlib.nade_logits_backward.default,
        (g, *plain[:4], [per_value, True, True, True]),
    )
    torch.library.opcheck(torch.ops.genlib.nade_sample.default, plain)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiles_without_a_graph_break(backend):
    def loss(x, w, c, v, b):
        return (nade_logits(x, w.tanh(), c, v, b) + nade_sample(x / 2, w, c, v, b)).square().sum()

    compiled = torch.compile(loss, fullgraph=True, backend=backend)
    given = arguments(20, 30, 4)
    results = []
    for function in (loss, compiled):
        leaf = given[1].clone().requires_grad_()
        value = function(given[0], leaf, *given[2:])
        value.backward()
        results.append((value.detach(), leaf.grad))
    torch.testing.assert_close(results[0], results[1])


# ------------------------------------------------------------------------------ bad input


X, W, C, B = torch.zeros(3, 4), torch.ones(4, 2), torch.zeros(2), torch.zeros(4)
BAD = {
    "x list": (([[0.0]], W, C, W, B), TypeError, "x: expected a torch.Tensor, got list"),
    "integer x": ((X.int(), W, C, W, B), TypeError, "x: expected torch.float32 or torch.float64"),
    "mixed": ((X, W.double(), C, W, B), TypeError, "w: expected the dtype of x, torch.float32"),
    "device": ((X, W, C.to("meta"), W, B), ValueError, "c: expected the device of x, cpu, got met"),
    "one row": ((X[0], W, C, W, B), ValueError, r"x: expected shape \(N, D\).*got \(4,\)"),
    "no row": ((X[:0], W, C, W, B), ValueError, r"x: .* at least one row .*got \(0, 4\)"),
    "w rows": ((X, W[:3], C, W, B), ValueError, r"w: expected shape \(4, H\), .* got \(3, 2\)"),
    "no unit": ((X, W[:, :0], C[:0], W[:, :0], B), ValueError, "w: .* at least one hidden unit"),
    "c": ((X, W, B, W, B), ValueError, r"c: expected shape \(2,\) or \(4, 2\), got \(4,\)"),
    "v": ((X, W, C, W.T, B), ValueError, r"v: expected shape \(4, 2\), got \(2, 4\)"),
    "b": ((X, W, C, W, C), ValueError, r"b: expected shape \(4,\), got \(2,\)"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name(case):
    given, error, message = BAD[case]
    with pytest.raises(error, match=message):
        nade_logits(*given)


def test_the_sampler_calls_its_numbers_u():
    with pytest.raises(TypeError, match=r"w: expected the dtype of u, torch\.float32"):
        nade_sample(X, W.double(), C, W, B)
    with pytest.raises(ValueError, match="u: expected shape"):
        nade_sample(X[0], W, C, W, B)


# ------------------------------------------------------------------------------ Triton


@pytest.mark.skipif(
    not HAS_TRITON or INTERPRETED, reason="Triton is missing, or interprets already"
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="test_nade_triton.py runs on the GPU itself")
def test_triton_agrees_in_its_interpreter():
    passes_in_the_interpreter("tests/kernels/test_nade_triton.py")


@pytest.mark.skipif(not HAS_TRITON or INTERPRETED, reason="Triton is missing, or interprets")
@pytest.mark.parametrize(
    ("kernel", "constants"),
    [
        ("scan", {"LOGITS": False}),
        ("scan", {"LOGITS": True}),
        ("gradients", {"LATER": False, "NEEDS_X": True}),
        ("gradients", {"LATER": True, "NEEDS_X": True}),
        ("gradients", {"LATER": True, "NEEDS_X": False}),
        ("sample", {}),
    ],
    ids=str,
)
def test_triton_compiles_for_a_gpu_that_need_not_be_there(kernel, constants, tmp_path, monkeypatch):
    function = getattr(_gpu, f"_{kernel}_kernel")
    tile = {"BLOCK_N": _gpu._BLOCK_N, "BLOCK_H": _gpu._BLOCK_H, "SPAN": _gpu._SPAN}
    tile = {name: value for name, value in tile.items() if name in function.arg_names}
    compiled(function, constants | tile, monkeypatch, tmp_path)
