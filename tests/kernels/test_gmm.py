"""The passes of a Gaussian mixture against loops in float64, and against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from genlib.kernels._dispatch import HAS_TRITON, INTERPRETED
from genlib.kernels.gmm import (
    _blocks,
    _gpu,
    gmm_log_joint,
    gmm_log_joint_reference,
    gmm_moments,
    gmm_moments_reference,
)
from tests.kernels.tools import Largest, compiled
from tests.processes import passes_in_the_interpreter

SINGLE, DOUBLE = torch.float32, torch.float64
NAMES = ("x", "means", "whiteners", "log_peaks")
SHAPES = [(1, 1, 1), (5, 3, 2), (130, 17, 7), (700, 2, 40), (65, 70, 3)]


def arguments(n, dims, components, *, dtype=SINGLE):
    generator = torch.Generator().manual_seed(n + dims + components)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=DOUBLE).to(dtype)

    whiteners = normal(components, dims, dims) / math.sqrt(dims)
    return normal(n, dims), normal(components, dims), whiteners, normal(components)


def wide(given):
    return [part.detach().double() for part in given]


def excess(found, expected, tolerance):
    """Largest error over the tolerance, relative to the largest entry or one."""
    assert found.shape == expected.shape
    return ((found - expected).abs().max() / (tolerance * expected.abs().max().clamp_min(1))).item()


def loops(x, means, whiteners, log_peaks):
    """t_nk in plain loops."""
    t = np.zeros((len(x), len(means)))
    for n, row in enumerate(x.double().numpy()):
        for k in range(len(means)):
            y = (row - means[k].double().numpy()) @ whiteners[k].double().numpy()
            t[n, k] = log_peaks[k].item() - 0.5 * float((y * y).sum())
    return torch.from_numpy(t)


@pytest.mark.covers("L01")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_are_those_of_loops(shape):
    given = arguments(*shape)
    expected = loops(*given)
    assert excess(gmm_log_joint(*given), expected, 2e-6) < 1
    assert excess(gmm_log_joint_reference(*wide(given)), expected, 1e-13) < 1
    assert excess(gmm_log_joint(*wide(given)), expected, 1e-13) < 1


@pytest.mark.covers("L02")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_moments_are_those_of_the_definition(shape):
    given = arguments(*shape)
    found, expected = gmm_moments(*given), gmm_moments_reference(*wide(given))
    assert found.log_prob.dtype == SINGLE
    for name, a, b in zip(found._fields, found, expected, strict=True):
        assert excess(a, b, 5e-6) < 1, name
        if name != "log_prob":
            assert a.dtype == DOUBLE
    for name, a, b in zip(found._fields, gmm_moments(*wide(given)), expected, strict=True):
        assert excess(a, b, 1e-12) < 1, name


def test_a_million_rows_that_are_all_alike_cost_four_digits_at_most():
    _, *parameters = arguments(1, 8, 3)
    x = arguments(1, 8, 3)[0].expand(1_000_000, 8).contiguous()
    given = x, *parameters
    found, expected = gmm_moments(*given), gmm_moments(*wide(given))
    for name in ("zeroth", "first", "second"):
        found_sum, expected_sum = getattr(found, name), getattr(expected, name)
        assert (found_sum - expected_sum).abs().max() < 1e-4 * expected_sum.abs().max()


def test_the_reference_s_moments_in_loops():
    x, means, whiteners, log_peaks = arguments(6, 2, 3, dtype=DOUBLE)
    t = loops(x, means, whiteners, log_peaks)
    found = gmm_moments_reference(x, means, whiteners, log_peaks)
    for k in range(3):
        first, second, zeroth = torch.zeros(2), torch.zeros(2, 2), 0.0
        for n in range(6):
            r = math.exp(t[n, k] - t[n].logsumexp(0))
            y = (x[n] - means[k]) @ whiteners[k]
            zeroth, first, second = zeroth + r, first + r * y, second + r * torch.outer(y, y)
        assert found.zeroth[k].item() == pytest.approx(zeroth)
        torch.testing.assert_close(found.first[k], first, check_dtype=False)
        torch.testing.assert_close(found.second[k], second, check_dtype=False)


def test_log_densities_are_scikit_learns():
    x, means, _, _ = arguments(50, 6, 4, dtype=DOUBLE)
    a = torch.randn(4, 6, 6, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    covariances = a @ a.mT + torch.eye(6)
    whiteners = torch.linalg.inv(torch.linalg.cholesky(covariances)).mT
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=DOUBLE)
    log_det = torch.linalg.slogdet(whiteners).logabsdet
    log_peaks = weights.log() + log_det - 3 * math.log(2 * math.pi)
    peer = GaussianMixture(4, weights_init=weights.numpy(), means_init=means.numpy())
    peer.weights_, peer.means_ = weights.numpy(), means.numpy()
    peer.precisions_cholesky_ = whiteners.numpy()
    found = gmm_log_joint(x, means, whiteners, log_peaks)
    expected = torch.from_numpy(peer.score_samples(x.numpy()))
    torch.testing.assert_close(found.logsumexp(1), expected)
    torch.testing.assert_close(found.softmax(1), torch.from_numpy(peer.predict_proba(x.numpy())))


def test_gradcheck():
    given = arguments(9, 3, 4, dtype=DOUBLE)
    assert torch.autograd.gradcheck(gmm_log_joint, [part.requires_grad_() for part in given])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_in_float32_are_those_of_the_definition(shape):
    given, results = arguments(*shape), []
    g = torch.randn(shape[0], shape[2], generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    for function, leaves in ((gmm_log_joint, given), (gmm_log_joint_reference, wide(given))):
        leaves = [part.clone().requires_grad_() for part in leaves]
        t = function(*leaves)
        results.append(torch.autograd.grad(t, leaves, g.to(t.dtype)))
    for name, a, b in zip(NAMES, *results, strict=True):
        assert excess(a, b, 1e-5) < 1, name


@pytest.mark.parametrize("wanted", NAMES)
def test_each_gradient_alone(wanted):
    given = dict(zip(NAMES, arguments(12, 5, 6, dtype=DOUBLE), strict=True))
    leaf = given[wanted].requires_grad_()
    (found,) = torch.autograd.grad(gmm_log_joint(**given).square().sum(), leaf)
    (expected,) = torch.autograd.grad(gmm_log_joint_reference(**given).square().sum(), leaf)
    torch.testing.assert_close(found, expected)


def test_second_derivatives_are_refused():
    given = [part.requires_grad_() for part in arguments(3, 4, 2)]
    (slope,) = torch.autograd.grad(gmm_log_joint(*given).sum(), given[0], create_graph=True)
    with pytest.raises(NotImplementedError, match="second derivatives are not implemented"):
        slope.sum().backward()


class TestRounding:
    """Where products of sums, in place of sums of products of differences, would lose digits."""

    def test_far_from_the_origin(self):
        x, means, whiteners, log_peaks = arguments(200, 5, 3)
        shift = 2.0**12 * torch.ones(5)
        moved = [(x + shift), (means + shift), whiteners, log_peaks]
        expected = gmm_log_joint_reference(*wide(moved))
        assert excess(gmm_log_joint(*moved), expected, 2e-6) < 1

    def test_condition_number_of_1e8(self):
        """The small eigenvalues come out of the moments to their own precision."""
        generator = torch.Generator().manual_seed(0)
        basis = torch.linalg.qr(torch.randn(8, 8, generator=generator, dtype=DOUBLE)).Q
        lengths = torch.logspace(0, -4, 8, dtype=DOUBLE)  # deviations: variances 1 … 1e-8
        z = torch.randn(20_000, 8, generator=generator, dtype=DOUBLE)
        x = (z * lengths) @ basis.T
        whitener = (basis / lengths)[None]
        given = x.float(), torch.zeros(1, 8), whitener.float(), torch.zeros(1)
        moments = gmm_moments(*given)
        back = lengths[:, None] * basis.T
        found = back.T @ (moments.second[0] / len(x)) @ back
        eigenvalues = torch.linalg.eigvalsh(found)
        expected = torch.linalg.eigvalsh(x.T @ x / len(x))
        torch.testing.assert_close(eigenvalues, expected, rtol=2e-3, atol=0)
        # The usual sum, in float32, has no digit of the smallest.
        naive = torch.linalg.eigvalsh((x.float().T @ x.float() / len(x)).double())
        assert abs(naive[0] / expected[0] - 1) > 0.1

    def test_sums_over_a_million_rows(self):
        """Values between 1 and 2, whose sums in float32 alone would lose four digits."""
        x = 1 + torch.rand(2**20, 2, generator=torch.Generator().manual_seed(0))
        found = gmm_moments(x, torch.zeros(1, 2), torch.eye(2)[None], torch.zeros(1))
        wide = x.double()
        torch.testing.assert_close(found.first[0], wide.sum(0), rtol=5e-7, atol=0)
        torch.testing.assert_close(found.second[0], wide.T @ wide, rtol=5e-7, atol=0)


def test_no_array_of_all_rows_components_and_dimensions(monkeypatch):
    monkeypatch.setattr(_blocks, "parallel_map", lambda f, parts, _: [*map(f, parts)])
    x, means, whiteners, log_peaks = arguments(5000, 20, 30)
    with Largest() as largest:
        _blocks.log_joint(x, means, whiteners, log_peaks)
        _blocks.moments(x, means, whiteners, log_peaks)
        g = torch.ones(5000, 30)
        _blocks.gradients(g, x, means, whiteners, [True, True, True])
    assert largest.entries <= max(_blocks._IN_CACHE, g.numel(), x.numel())
    assert largest.entries < x.numel() * len(means) / 10


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_the_time_and_nothing_else(threads):
    given, before = arguments(900, 11, 9), torch.get_num_threads()
    expected = gmm_moments_reference(*wide(given))
    try:
        torch.set_num_threads(threads)
        found, t = gmm_moments(*given), gmm_log_joint(*given)
    finally:
        torch.set_num_threads(before)
    for a, b in zip(found, expected, strict=True):
        assert excess(a, b, 5e-6) < 1
    assert excess(t, gmm_log_joint_reference(*wide(given)), 2e-6) < 1


def test_a_component_of_weight_zero_takes_no_row():
    x, means, whiteners, log_peaks = arguments(40, 3, 4)
    log_peaks[2] = -math.inf
    found = gmm_moments(x, means, whiteners, log_peaks)
    assert found.zeroth[2] == 0
    assert all(part.isfinite().all() for part in found)


def test_opcheck():
    given = [part.requires_grad_() for part in arguments(7, 5, 3)]
    plain = [part.detach() for part in given]
    torch.library.opcheck(torch.ops.genlib.gmm_log_joint.default, given)
    needs = [True, False, True]
    operator = torch.ops.genlib.gmm_log_joint_backward.default
    torch.library.opcheck(operator, (torch.ones(7, 3), *plain[:3], needs))
    torch.library.opcheck(torch.ops.genlib.gmm_moments.default, plain)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiles_without_a_graph_break(backend):
    def loss(x, means, whiteners, log_peaks):
        return gmm_log_joint(x.tanh(), means, whiteners, log_peaks).logsumexp(1).sum()

    given = arguments(20, 4, 3)
    compiled = torch.compile(loss, fullgraph=True, backend=backend)
    results = []
    for function in (loss, compiled):
        leaf = given[1].clone().requires_grad_()
        value = function(given[0], leaf, *given[2:])
        results.append((value.detach(), torch.autograd.grad(value, leaf)[0]))
    torch.testing.assert_close(*results)


def test_autocast_changes_nothing():
    given = arguments(20, 4, 3)
    leaves = [part.clone().requires_grad_() for part in given]

    def found():
        t = gmm_log_joint(*leaves)
        return t, *torch.autograd.grad(t.sum(), leaves), *gmm_moments(*given)

    with torch.autocast("cpu", torch.bfloat16):
        under = found()
    assert under[0].dtype == SINGLE
    assert all(torch.equal(a, b) for a, b in zip(under, found(), strict=True))


def spoiled(**changes):
    return dict(zip(NAMES, arguments(5, 3, 2), strict=True)) | changes


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (spoiled(x=[[1.0]]), TypeError, r"x: expected a torch\.Tensor, got list"),
        (spoiled(x=torch.zeros(3)), ValueError, r"x: expected shape \(N, D\)"),
        (spoiled(x=torch.zeros(0, 3)), ValueError, "at least one row"),
        (spoiled(x=torch.zeros(5, 3).long()), TypeError, r"x: expected torch\.float32"),
        (spoiled(means=torch.zeros(2, 4)), ValueError, r"means: expected shape \(K, 3\)"),
        (spoiled(means=torch.zeros(0, 3)), ValueError, "at least one component"),
        (spoiled(means=torch.zeros(2, 3).double()), TypeError, "means: expected the dtype of x"),
        (
            spoiled(whiteners=torch.zeros(2, 3)),
            ValueError,
            r"whiteners: expected shape \(2, 3, 3\)",
        ),
        (spoiled(log_peaks=torch.zeros(3)), ValueError, r"log_peaks: expected shape \(2,\)"),
    ],
)
def test_bad_input_is_refused_by_name(given, error, message):
    for function in (gmm_log_joint, gmm_moments):
        with pytest.raises(error, match=message):
            function(**given)


@pytest.mark.skipif(not HAS_TRITON or INTERPRETED, reason="Triton is missing, or interprets")
def test_triton_agrees_in_its_interpreter():
    passes_in_the_interpreter("tests/kernels/test_gmm_triton.py")


@pytest.mark.skipif(not HAS_TRITON or INTERPRETED, reason="Triton is missing, or interprets")
@pytest.mark.parametrize("kernel", ["log_joint", "moments"])
def test_triton_compiles_for_a_gpu_that_need_not_be_there(kernel, tmp_path, monkeypatch):
    tile = _gpu._tile()
    warps = tile.pop("num_warps")
    compiled(getattr(_gpu, f"_{kernel}_kernel"), tile, monkeypatch, tmp_path, warps=warps)
