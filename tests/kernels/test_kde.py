"""The kernel sum against its definition in extended precision, closed forms and scikit-learn."""

import math
import re
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy import integrate
from sklearn.neighbors import KernelDensity

from genlib.kernels import log_kernel_sum
from genlib.kernels._dispatch import HAS_TRITON, INTERPRETED
from genlib.kernels.kde import _direct, _forms, _gpu, _passes, _tiles, log_kernel_sum_reference
from tests.kernels import truth
from tests.kernels.tools import Largest, compiled
from tests.processes import passes_in_the_interpreter, run_python

SINGLE, DOUBLE = torch.float32, torch.float64
OPERATOR = torch.ops.genlib.log_kernel_sum.default
VALUE_OPERATOR = torch.ops.genlib.log_kernel_sum_value.default
needs_wide_floats = pytest.mark.skipif(
    np.finfo(np.longdouble).eps > 1e-18, reason="NumPy's longdouble is no wider than float64 here"
)


def points(n, m, d, dtype=SINGLE, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=DOUBLE)
    y = torch.randn(m, d, generator=generator, dtype=DOUBLE)
    return x.to(dtype), y.to(dtype)


def positive(size, dtype=SINGLE, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return 0.1 + torch.rand(size, generator=generator, dtype=DOUBLE).to(dtype)


@pytest.fixture(params=["as chosen", "tiles"])
def way(request, monkeypatch):
    """The way that suits the size, and the tiles that otherwise only large inputs see."""
    if request.param == "tiles":
        monkeypatch.setattr(_direct, "forward_for", lambda *_: None)
        monkeypatch.setattr(_direct, "suits_differences", lambda *_: False)


both_ways = pytest.mark.usefixtures("way")


# ------------------------------------------------------------------------------ values


SHAPES = [
    (1, 1, 1),
    (1, 700, 2),
    (700, 1, 3),
    (129, 257, 4),
    (64, 64, 5),
    (33, 1030, 17),
    (100, 90, 32),
    (65, 130, 33),
    (70, 50, 784),
    (2049, 515, 2),
    (2100, 600, 7),
]


@both_ways
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_float32_agrees_with_the_definition(shape, weighted):
    (n, m, d) = shape
    x, y = points(n, m, d)
    h = positive(d) if weighted else torch.tensor(0.4)
    w = positive(m, seed=2) if weighted else None
    assert truth.excess(log_kernel_sum(x, y, h, w), truth.log_kernel_sum(x, y, h, w)) < 1


@both_ways
@needs_wide_floats
@pytest.mark.parametrize("shape", [s for s in SHAPES if s[0] < 700], ids=str)
def test_float64_is_float64_throughout(shape):
    (n, m, d) = shape
    x, y = points(n, m, d, DOUBLE)
    h, w = positive(d, DOUBLE), positive(m, DOUBLE, seed=2)
    found = log_kernel_sum(x, y, h, w)
    assert found.dtype == DOUBLE
    assert truth.excess(found, truth.log_kernel_sum(x, y, h, w)) < 1


@both_ways
@pytest.mark.parametrize("d", [1, 2, 5, 40, 784])
@pytest.mark.parametrize("bandwidth", [1e-6, 1e-3, 0.05, 1e3, 1e6])
def test_extreme_bandwidths_lose_no_accuracy(bandwidth, d):
    x, y = points(40, 300, d)
    x[:10] = y[-10:]  # some queries lie on points: there the answer is near −log M
    x[10:20] = y[-10:] + 2e-6 * x[10:20]
    found = log_kernel_sum(x, y, bandwidth)
    assert truth.excess(found, truth.log_kernel_sum(x, y, np.float32(bandwidth))) < 1


@both_ways
@pytest.mark.parametrize("d", [1, 2, 5, 40, 784])
@pytest.mark.parametrize("offset", [1e4, -3e6])
def test_the_origin_does_not_matter(offset, d):
    x, y = points(40, 300, d)
    x, y = x + offset, y + offset
    h = torch.full((d,), 0.3)
    assert truth.excess(log_kernel_sum(x, y, h), truth.log_kernel_sum(x, y, h)) < 1


@both_ways
@pytest.mark.parametrize("d", [2, 40])
@pytest.mark.parametrize("unit", [1e-30, 1e-15, 1e15, 1e30])
def test_the_unit_of_the_data_does_not_matter(unit, d):
    x, y = points(20, 50, d)
    x, y, h = x * unit, y * unit, positive(d) * unit
    assert truth.excess(log_kernel_sum(x, y, h), truth.log_kernel_sum(x, y, h)) < 1


@both_ways
@pytest.mark.parametrize("d", [2, 8, 64])
def test_columns_of_very_different_scale(d):
    x, y = points(30, 80, d)
    scale = torch.logspace(-8, 8, d)
    x, y, h = x * scale, y * scale, positive(d) * scale
    assert truth.excess(log_kernel_sum(x, y, h), truth.log_kernel_sum(x, y, h)) < 1


@both_ways
@pytest.mark.parametrize("d", [1, 3, 31, 100, 784])
def test_roundings_that_all_go_one_way(d):
    """All points in one corner of a cube: each dimension rounds alike, and so does each column."""
    x, y = torch.full((5, d), 0.1), torch.full((2000, d), 1.2)
    h = torch.tensor(0.7)
    assert truth.excess(log_kernel_sum(x, y, h), truth.log_kernel_sum(x, y[:1], h)) < 1


@both_ways
def test_equal_points_give_the_log_of_the_weights():
    x = torch.full((3, 9), 1e4)
    y = x[:1].expand(5000, 9)
    w = torch.full((5000,), 0.1)
    assert log_kernel_sum(x, y, 1e-6).tolist() == pytest.approx([0.0] * 3, abs=1e-6)
    assert log_kernel_sum(x, y, 1e-6, w).tolist() == pytest.approx([math.log(500)] * 3, rel=1e-6)


@pytest.mark.parametrize("order", [1, -1], ids=["far first", "near first"])
@pytest.mark.parametrize("d", [1, 20])
def test_a_reference_that_is_far_too_low_is_raised(d, order):
    """Sorted points: the first tile says nothing about the last, 1e6 bandwidths away."""
    y = torch.linspace(0, 1, 3000).sort(descending=order < 0).values[:, None].repeat(1, d)
    x = torch.tensor([0.0, 0.5, 1.0, 3.0])[:, None].repeat(600, d)
    expected = truth.log_kernel_sum(x[:4], y, np.float32(1e-6))
    found = log_kernel_sum(x, y, 1e-6)
    assert truth.excess(found[:4], expected) < 1
    torch.testing.assert_close(found, found[:4].repeat(600), rtol=1e-5, atol=1e-5)


@both_ways
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("d", [2, 12])
def test_weights_of_any_size(scale, d):
    x, y = points(50, 4000, d)
    w = positive(4000) * scale
    w[1:] *= torch.logspace(0, -7, 3999)
    assert (
        truth.excess(log_kernel_sum(x, y, 0.3, w), truth.log_kernel_sum(x, y, np.float32(0.3), w))
        < 1
    )


@both_ways
@pytest.mark.parametrize("d", [2, 12])
def test_a_tiny_weight_on_the_nearest_point_counts(d):
    y = torch.cat([torch.zeros(1, d), torch.full((3000, d), 40.0)])
    w = torch.cat([torch.tensor([1e-37]), torch.ones(3000)])
    assert log_kernel_sum(y[:1], y, 1.0, w).item() == pytest.approx(math.log(1e-37), rel=1e-6)


@both_ways
def test_points_of_weight_zero_do_not_count():
    x, y = points(30, 3000, 3)
    w = positive(3000)
    w[:2500] = 0
    expected = truth.log_kernel_sum(x, y[2500:], np.float32(0.2), w[2500:])
    assert truth.excess(log_kernel_sum(x, y, 0.2, w), expected) < 1


@both_ways
@pytest.mark.parametrize("shape", [(2, 1), (50, 2), (700, 3), (2300, 2), (130, 30)], ids=str)
def test_leave_one_out_leaves_one_out(shape):
    (n, d) = shape
    x, _ = points(n, 1, d)
    w = positive(n)
    found = log_kernel_sum(x, x, 0.05, w, leave_one_out=True)
    expected = truth.log_kernel_sum(x, x, np.float32(0.05), w, leave_one_out=True)
    assert truth.excess(found, expected) < 1
    without = torch.arange(n) != n // 2
    alone = log_kernel_sum(x[n // 2 : n // 2 + 1], x[without], 0.05, w[without])
    assert found[n // 2].item() == pytest.approx(alone.item(), rel=1e-5)


@both_ways
def test_minus_infinity_where_nothing_is_left_and_only_there():
    x = torch.tensor([[0.0], [1.0], [2.0]])
    w = torch.tensor([1.0, 0.0, 0.0])
    found = log_kernel_sum(x, x, 1.0, w, leave_one_out=True)
    assert found.tolist() == pytest.approx([-math.inf, -0.5, -2.0], rel=1e-6)


def test_a_float_bandwidth_is_the_tensor_of_it():
    x, y = points(20, 30, 3)
    expected = log_kernel_sum(x, y, torch.full((3,), 0.3))
    assert torch.equal(log_kernel_sum(x, y, 0.3), expected)
    assert torch.equal(log_kernel_sum(x, y, torch.tensor(0.3)), expected)


@both_ways
def test_strided_inputs_are_read_as_they_lie_and_left_alone():
    x, y = points(20, 60, 12)
    x, y = x[:, ::2], y.T.contiguous().T[::2, ::2]
    before = x.clone(), y.clone()
    assert truth.excess(log_kernel_sum(x, y, 0.5), truth.log_kernel_sum(x, y, 0.5)) < 1
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])


@both_ways
@pytest.mark.covers("F12")
@pytest.mark.parametrize("d", [1, 2, 20])
def test_the_density_is_scikit_learns(d):
    x, y = points(50, 400, d, DOUBLE)
    exact = KernelDensity(bandwidth=0.5, leaf_size=len(y), rtol=0, atol=0).fit(y.numpy())
    log_p = log_kernel_sum(x, y, 0.5) - d * math.log(0.5) - d / 2 * math.log(2 * math.pi)
    np.testing.assert_allclose(log_p.numpy(), exact.score_samples(x.numpy()), rtol=1e-10)


@pytest.mark.covers("F12")
def test_the_density_integrates_to_one():
    y = torch.tensor([[-1.0], [0.5], [3.0]], dtype=DOUBLE)

    def density(x):
        f = log_kernel_sum(torch.tensor([[x]], dtype=DOUBLE), y, 0.3)
        return math.exp(f.item()) / (0.3 * math.sqrt(2 * math.pi))

    total, error = integrate.quad(density, -4, 6, points=[-1, 0.5, 3])
    assert total == pytest.approx(1, abs=max(1e-9, error))


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE], ids=["float32", "float64"])
@pytest.mark.parametrize("d", [2, 5, 16, 64, 300])
def test_errors_stay_within_the_bounds_that_choose_the_form(d, dtype):
    """Each form, taken alone over bandwidths that suit it and that do not, keeps its own word."""
    x, y = points(60, 400, d, dtype)
    weights = _passes.Weights.of(None, y)
    for bandwidth in (0.05, 0.3, 1.0, 5.0):
        h = torch.full((d,), bandwidth, dtype=dtype)
        expected = truth.log_kernel_sum(x, y, h)
        for kind in (_forms.Differences, _forms.Products):
            form = kind(y, h, dtype)
            placed = form.place(x)
            f = _tiles.log_sum(form, placed, torch.zeros(400, dtype=dtype), None) * math.log(2)
            f += weights.peak
            bound = form.error(placed, -f)
            finite = bound.isfinite()
            error = np.abs(f[finite].numpy() - expected[finite.numpy()]).astype(float)
            assert (error <= bound[finite].numpy()).all(), (kind, bandwidth)


@needs_wide_floats
@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE], ids=["float32", "float64"])
@pytest.mark.parametrize("d", [1, 2, 8, 20])
def test_small_inputs_go_directly_where_that_is_exact(d, dtype):
    """Ever further from the origin, until the bounds send even these inputs to the tiles."""
    ways = set()
    for n, m in ((9, 20), (70, 80)):
        x, y = points(n, m, d, dtype)
        for h in (0.05, 0.7, 20.0):
            for offset in (0, 4, 50, 1e4, 1e8, 1e14):
                a, b = x + offset, y - offset / 3
                way = _direct.forward_for(a, b, max(a.abs().max(), b.abs().max()).item() / h)
                ways.add(way and way.__name__)
                expected = truth.log_kernel_sum(a, b, torch.tensor(h, dtype=dtype))
                assert truth.excess(log_kernel_sum(a, b, h), expected) < 1, (n, h, offset)
    assert {None, "_by_differences"} < ways | {"_by_products"}
    assert "_by_products" in ways or dtype == DOUBLE


@pytest.mark.parametrize("shape", [(50, 60, 3), (90, 90, 3), (600, 600, 3)], ids=str)
def test_all_ways_give_the_same_weighted_sums(shape, monkeypatch):
    (n, m, d) = shape
    x, y = points(n, m, d)
    x = y.clone()[:n]
    w = positive(m)
    w[::3] = 0
    found = log_kernel_sum(x, y, 0.3, w, leave_one_out=n == m)
    monkeypatch.setattr(_direct, "forward_for", lambda *_: None)
    tiled = log_kernel_sum(x, y, 0.3, w, leave_one_out=n == m)
    torch.testing.assert_close(found, tiled, rtol=2e-5, atol=2e-5)


# ------------------------------------------------------------------------------ gradients


def gradients(function, x, y, h, w, g, **options):
    leaves = [part.detach().clone().requires_grad_() for part in (x, y, h, w)]
    return torch.autograd.grad(function(*leaves, **options), leaves, g)


@both_ways
@pytest.mark.parametrize("leave_one_out", [False, True], ids=["all", "leave-one-out"])
@pytest.mark.parametrize("scalar", [False, True], ids=["h vector", "h scalar"])
@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE], ids=["float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 9, 1), (40, 3000, 2), (300, 300, 5), (70, 50, 40)], ids=str)
def test_gradients_are_those_of_the_definition(shape, dtype, scalar, leave_one_out):
    (n, m, d) = shape
    x, y = points(n, m, d, dtype)
    if leave_one_out:
        n, y = max(n, 2), points(max(n, 2), 1, d, dtype)[0]
        x = y.clone()
    h = torch.tensor(0.5, dtype=dtype) if scalar else positive(d, dtype) + 0.3
    w, g = positive(len(y), dtype), points(n, 1, 1, dtype, seed=5)[0][:, 0]
    options = {"leave_one_out": leave_one_out}
    found = gradients(log_kernel_sum, x, y, h, w, g, **options)
    wide = (part.double() for part in (x, y, h, w, g))
    expected = gradients(log_kernel_sum_reference, *wide, **options)
    for name, a, b in zip("xyhw", found, expected, strict=True):
        assert a.dtype == dtype
        assert a.shape == b.shape
        tolerance = 1e-4 if dtype == SINGLE else 1e-12
        assert (a - b).abs().max() <= tolerance * b.abs().max(), name


@both_ways
@pytest.mark.parametrize("d", [2, 7])
def test_gradcheck(d):
    x, y = points(5, 6, d, DOUBLE)
    inputs = [part.requires_grad_() for part in (x, y, positive(d, DOUBLE), positive(6, DOUBLE))]
    assert torch.autograd.gradcheck(log_kernel_sum, inputs)


@both_ways
@pytest.mark.parametrize("bandwidth", [1e-6, 1e6])
@pytest.mark.parametrize("d", [2, 40])
def test_gradients_at_extreme_bandwidths(d, bandwidth):
    x, y = points(30, 90, d)
    x[:10] = y[:10] + bandwidth * x[:10]  # in float32, at most a few steps of the grid from y
    h, w = torch.full((d,), bandwidth), positive(90)
    found = gradients(log_kernel_sum, x[:10], y, h, w, torch.ones(10))
    wide = (part.double() for part in (x[:10], y, h, w, torch.ones(10)))
    expected = gradients(log_kernel_sum_reference, *wide)
    for name, a, b in zip("xyhw", found, expected, strict=True):
        assert (a - b).abs().max() <= 1e-3 * b.abs().max(), name


@both_ways
@pytest.mark.parametrize("wanted", ["x", "y", "h", "w", "xw", "yh"])
@pytest.mark.parametrize("d", [2, 12])
def test_each_gradient_alone(wanted, d):
    x, y = points(30, 40, d)
    given = {"x": x, "y": y, "h": positive(d) + 0.3, "w": positive(40)}
    everything = gradients(log_kernel_sum, **given, g=torch.ones(30))
    for name in wanted:
        given[name].requires_grad_()
    log_kernel_sum(**given).sum().backward()
    for (name, value), expected in zip(given.items(), everything, strict=True):
        if name in wanted:
            torch.testing.assert_close(value.grad, expected)
        else:
            assert value.grad is None


@both_ways
@pytest.mark.parametrize("d", [1, 20])
def test_the_gradient_of_a_weight_at_zero(d):
    """∂f_i/∂w_j = exp(−s_ij − f_i) needs no w_j: of these two points, one has weight zero."""
    y = torch.zeros(2, d)
    y[1, 0] = 3.0
    w = torch.tensor([1.0, 0.0], requires_grad=True)
    log_kernel_sum(y[:1], y, 1.0, w).sum().backward()
    assert w.grad.tolist() == pytest.approx([1.0, math.exp(-4.5)], rel=1e-5)


@both_ways
def test_no_gradient_where_the_sum_is_empty():
    x = torch.tensor([[0.0], [1.0], [2.0]], requires_grad=True)
    w = torch.tensor([1.0, 0.0, 0.0])
    log_kernel_sum(x, x.detach(), 1.0, w, leave_one_out=True).sum().backward()
    assert x.grad.flatten().tolist() == pytest.approx([0.0, -1.0, -2.0], rel=1e-6)


def test_second_derivatives_are_refused():
    x, y = points(4, 5, 2)
    x.requires_grad_()
    (slope,) = torch.autograd.grad(log_kernel_sum(x, y, 0.5).sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="second derivatives are not implemented"):
        slope.sum().backward()


# ------------------------------------------------------------------------------ memory, operator


@pytest.mark.parametrize("d", [2, 12])
def test_the_matrix_is_never_whole(d, monkeypatch):
    x, y = points(3000, 6000, d)
    monkeypatch.setattr(_passes, "parallel_map", lambda f, parts, *_, **__: list(map(f, parts)))
    with Largest() as largest:
        f = _passes.forward(x, y, torch.tensor(0.4), None, False)
        _passes.backward(
            torch.ones(3000), x, y, torch.tensor(0.4), None, f, False, _forms.Needs(*[True] * 4)
        )
    assert largest.entries <= 3 * 2**20 < len(x) * len(y) / 5


@pytest.mark.parametrize("d", [2, 12])
def test_threads_change_the_time_and_nothing_else(d):
    """Parts of rows go to threads of our own; torch's settings, here and in new threads, stay."""
    x, y = points(3000, 700, d)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            leaf = x.clone().requires_grad_()
            f = log_kernel_sum(leaf, y, 0.4)
            f.sum().backward()
            results.append((f.detach(), leaf.grad))
            assert torch.get_num_threads() == threads
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(torch.get_num_threads).result() == threads
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(results[2], results[0], rtol=1e-4, atol=1e-5)


def test_the_same_numbers_every_time():
    x, y = points(3000, 700, 3)
    w = positive(700)
    first, second = (gradients(log_kernel_sum, x, y, 0.1 + x[0].abs(), w, x[:, 0]) for _ in "12")
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_fast_matrix_products_are_not_used():
    x, y = points(50, 300, 40)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        found = log_kernel_sum(x, y, 1.0)
        assert _passes.forms_for(y, torch.ones(40))[0]().dtype == DOUBLE
    finally:
        torch.set_float32_matmul_precision(before)
    assert truth.excess(found, truth.log_kernel_sum(x, y, 1.0)) < 1


@pytest.mark.parametrize("shape", [(20, 30), (100, 100), (3000, 700)], ids=str)
@pytest.mark.parametrize("d", [2, 12])
def test_modes_of_torch_around_the_call_change_nothing(d, shape):
    x, y = points(*shape, d)
    expected = log_kernel_sum(x, y, 0.4)
    with torch.inference_mode():
        assert torch.equal(log_kernel_sum(x, y, 0.4), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(log_kernel_sum(x, y, 0.4), expected)
        shortened = log_kernel_sum(x, y.bfloat16(), 0.4)  # as a layer would give the points
        leaf = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(log_kernel_sum(leaf, y, 0.4).sum(), leaf)
    assert torch.equal(shortened, log_kernel_sum(x, y.bfloat16().float(), 0.4))
    assert torch.equal(slope, torch.autograd.grad(log_kernel_sum(leaf, y, 0.4).sum(), leaf)[0])
    with torch.no_grad():
        assert torch.equal(log_kernel_sum(x.clone().requires_grad_(), y, 0.4), expected)


@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
@pytest.mark.parametrize("d", [2, 6])
def test_opcheck(d, weighted):
    x, y = points(7, 7, d)
    w = positive(7).requires_grad_() if weighted else None
    arguments = x.requires_grad_(), y.requires_grad_(), positive(d).requires_grad_(), w
    torch.library.opcheck(OPERATOR, (*arguments, weighted))
    plain = [None if part is None else part.detach() for part in arguments]
    torch.library.opcheck(VALUE_OPERATOR, (*plain, weighted))
    f = log_kernel_sum(*arguments).detach()
    torch.library.opcheck(
        torch.ops.genlib.log_kernel_sum_backward.default,
        (torch.ones(7), *plain, f, False, [True, True, False, weighted]),
    )


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiles_without_a_graph_break(backend):
    x, y = points(20, 30, 4)

    def loss(x, y, h):
        return (
            log_kernel_sum(x.tanh(), y, 0.5) + log_kernel_sum(x, x, h, leave_one_out=True)
        ).sum()

    compiled = torch.compile(loss, fullgraph=True, backend=backend)
    h = positive(4)
    results = []
    for function in (loss, compiled):
        leaf = x.clone().requires_grad_()
        value = function(leaf, y, h)
        value.backward()
        results.append((value.detach(), leaf.grad))
    torch.testing.assert_close(results[0], results[1])
    with torch.no_grad():
        torch.testing.assert_close(compiled(x, y, h), results[0][0])


def test_vmap_sees_one_operator():
    x, y = points(6, 9, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch loops, and says that it is slow
        found = torch.func.vmap(lambda row: log_kernel_sum(row[None], y, 0.5))(x)
    torch.testing.assert_close(found[:, 0], log_kernel_sum(x, y, 0.5))


# ------------------------------------------------------------------------------ bad input


X, Y = torch.zeros(3, 2), torch.ones(4, 2)
NAN, INF = torch.tensor(math.nan), torch.tensor(math.inf)


def marred(value, shape=(3, 2)):
    tensor = torch.zeros(shape)
    tensor.view(-1)[-1] = value
    return tensor


BAD = {
    "x list": (([[0.0]], Y, 1.0), TypeError, "x: expected a torch.Tensor, got list"),
    "y array": ((X, Y.numpy(), 1.0), TypeError, "y: expected a torch.Tensor, got ndarray"),
    "h None": ((X, Y, None), TypeError, "h: expected a torch.Tensor, got NoneType"),
    "h bool": ((X, Y, True), TypeError, "h: expected a torch.Tensor, got bool"),
    "integer x": ((X.int(), Y, 1.0), TypeError, "x: expected torch.float32 or torch.float64"),
    "half y": ((X, Y.half(), 1.0), TypeError, "y: expected torch.float32 or torch.float64"),
    "mixed": ((X, Y.double(), 1.0), TypeError, "y: expected the dtype of x, torch.float32"),
    "mixed h": ((X, Y, torch.ones(2, dtype=DOUBLE)), TypeError, "h: expected the dtype of x"),
    "mixed w": ((X, Y, 1.0, torch.ones(4, dtype=DOUBLE)), TypeError, "w: expected the dtype of x"),
    "device": ((X, Y.to("meta"), 1.0), ValueError, "y: expected the device of x, cpu, got meta"),
    "odd device": ((X.to("meta"), Y.to("meta"), 1.0), ValueError, "x: expected a tensor on a CPU"),
    "one row": ((X[0], Y, 1.0), ValueError, r"x: expected shape \(n, d\).*got \(2,\)"),
    "empty x": ((X[:0], Y, 1.0), ValueError, r"x: expected .* at least one row.*got \(0, 2\)"),
    "empty y": ((X, Y[:0], 1.0), ValueError, r"y: expected .* at least one row.*got \(0, 2\)"),
    "no columns": ((X[:, :0], Y[:, :0], 1.0), ValueError, "x: expected .* one column"),
    "columns": ((X, Y[:, :1], 1.0), ValueError, "y: expected as many columns as x has, 2, got 1"),
    "h shape": ((X, Y, torch.ones(3)), ValueError, r"h: .* each of 2 columns, got shape \(3,\)"),
    "h matrix": ((X, Y, torch.ones(1, 2)), ValueError, r"h: .* got shape \(1, 2\)"),
    "w length": ((X, Y, 1.0, torch.ones(3)), ValueError, r"w: .* shape \(4,\), got \(3,\)"),
    "w scalar": ((X, Y, 1.0, torch.tensor(1.0)), ValueError, r"w: .* shape \(4,\), got \(\)"),
    "x NaN": ((marred(NAN), Y, 1.0), ValueError, r"x: .* finite values, got nan at index \(2, 1\)"),
    "y inf": ((X, marred(INF), 1.0), ValueError, r"y: .* finite values, got inf at index \(2, 1\)"),
    "y −inf": ((X, marred(-INF), 1.0), ValueError, "y: .* finite values, got -inf"),
    "h NaN": ((X, Y, math.nan), ValueError, "h: expected finite values, got nan"),
    "h huge": ((X, Y, 10**400), ValueError, "h: expected finite values, got inf"),
    "sparse x": ((X.to_sparse(), Y, 1.0), TypeError, "x: expected a dense tensor"),
    "h zero": ((X, Y, 0), ValueError, "h: expected bandwidths above zero, got 0"),
    "h sign": ((X, Y, torch.tensor([1.0, -2.0])), ValueError, r"h: .* got -2 at index \(1,\)"),
    "h tiny": ((X.double(), Y.double() * 1e100, 1e-60), ValueError, "h: .* above 1e-150 of the"),
    "w NaN": ((X, Y, 1.0, marred(NAN, 4)), ValueError, r"w: .* finite values, got nan"),
    "w sign": ((X, Y, 1.0, marred(-1, 4)), ValueError, r"w: .* below zero, got -1 at index \(3,\)"),
    "w zero": ((X, Y, 1.0, torch.zeros(4)), ValueError, "w: expected a weight above zero"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name(case):
    arguments, error, message = BAD[case]
    with pytest.raises(error, match=message):
        log_kernel_sum(*arguments)


@pytest.mark.parametrize("flag", ["no", 1, None])
def test_leave_one_out_is_a_flag(flag):
    with pytest.raises(TypeError, match="leave_one_out: expected True or False, got"):
        log_kernel_sum(X, X, 1.0, leave_one_out=flag)


@pytest.mark.parametrize(("n", "m"), [(3, 4), (1, 1)])
def test_leave_one_out_needs_one_set_of_two_rows(n, m):
    with pytest.raises(ValueError, match=f"same rows, two at least, got {n} and {m} rows"):
        log_kernel_sum(torch.zeros(n, 2), torch.zeros(m, 2), 1.0, leave_one_out=True)


# ------------------------------------------------------------------------------ Triton


@pytest.mark.skipif(
    not HAS_TRITON or INTERPRETED, reason="Triton is missing, or interprets already"
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="test_kde_triton.py runs on the GPU itself")
def test_triton_agrees_in_its_interpreter():
    passes_in_the_interpreter("tests/kernels/test_kde_triton.py")


ONES = {True: ("stride_xn", "stride_ym"), False: ("stride_xd", "stride_yd")}  # as kept


@pytest.mark.skipif(not HAS_TRITON or INTERPRETED, reason="Triton is missing, or interprets")
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("direct", [True, False], ids=["differences", "products"])
@pytest.mark.parametrize("moments", [False, True], ids=["log sum", "moments"])
def test_triton_compiles_for_a_gpu_that_need_not_be_there(
    moments, direct, capability, tmp_path, monkeypatch
):
    _, y = points(1, 5, 64)
    form = (_forms.Differences if direct else _forms.Products)(y, torch.ones(64), SINGLE)
    blocks = _gpu.Blocks.of(form, moments)
    constants = {"LEAVE_OUT": True, "DIRECT": direct} | dict.fromkeys(ONES[direct], 1)
    constants |= {"BLOCK_N": blocks.n, "BLOCK_M": blocks.m, "BLOCK_K": blocks.k}
    kernel = _gpu._moments_kernel if moments else _gpu._log_sum_kernel
    if moments:
        constants |= {"SECOND": True, "BLOCK_D": blocks.d}
    ids = {name: "*i64" for name in kernel.arg_names if "_id_" in name}
    done = compiled(
        kernel, constants, monkeypatch, tmp_path,
        types=ids, capability=capability, warps=blocks.warps,
    )  # fmt: skip
    if not (direct or moments):  # every chunk is summed by itself, from zero
        sums = re.findall(r"tt\.dot \S+ \S+ (\S+?),? ", done.asm["ttgir"])
        assert sums
        assert all(start.startswith("%cst") for start in sums)


def test_imports_and_runs_without_triton():
    program = (
        "import sys; sys.modules['triton'] = None\n"
        "import torch\n"
        "from genlib.kernels.kde import log_kernel_sum\n"
        "print(log_kernel_sum(torch.zeros(1, 1), torch.full((1, 1), 2.0), 1.0).tolist())"
    )
    done = run_python("-c", program)
    assert done.stdout.strip() == "[-2.0]", done.stderr
