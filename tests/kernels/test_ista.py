"""Sparse codes against loops in float64, against the conditions of a minimum, and scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import sparse_encode

from genlib.kernels._dispatch import HAS_TRITON, INTERPRETED
from genlib.kernels.ista import (
    _blocks,
    _gpu,
    active,
    lasso_active_set,
    lasso_ista,
    lasso_ista_reference,
)
from genlib.kernels.ista.operator import duality_gap
from tests.kernels.tools import Largest, compiled
from tests.processes import passes_in_the_interpreter

SINGLE, DOUBLE = torch.float32, torch.float64
SHAPES = [(1, 1, 1), (5, 3, 2), (37, 8, 20), (130, 20, 7), (65, 30, 64)]


def problem(n, dims, atoms, *, dtype=SINGLE, seed=0):
    """Rows and a dictionary of atoms of about unit length; λ a third of the largest |x · a|."""
    generator = torch.Generator().manual_seed(seed + n + dims + atoms)
    x, a = (torch.randn(k, dims, generator=generator, dtype=DOUBLE) for k in (n, atoms))
    a = a / a.norm(dim=1, keepdim=True)
    return x.to(dtype), a.to(dtype), (x @ a.T).abs().max().item() / 3


def objective(x, z, a, sparsity):
    """½ ‖x − z A‖² + λ ‖z‖₁ in float64, (N,)."""
    x, z, a = x.double(), z.double(), a.double()
    return 0.5 * (x - z @ a).square().sum(1) + sparsity * z.abs().sum(1)


def loops(x, a, sparsity, iterations, momentum):
    """The iterations of one row after the other, number by number."""
    x, a = x.double().numpy(), a.double().numpy()
    bound, codes = np.linalg.eigvalsh(a @ a.T).max(), []
    for row in x:
        z, y, t = np.zeros(len(a)), np.zeros(len(a)), 1.0
        for _ in range(iterations):
            residual, new = row - y @ a, np.zeros(len(a))
            for k in range(len(a)):
                u = y[k] + a[k] @ residual / bound
                new[k] = np.sign(u) * max(abs(u) - sparsity / bound, 0)
            if (y - new) @ (new - z) > 0:
                t = 1.0
            after = (1 + np.sqrt(1 + 4 * t * t)) / 2
            y = new + ((t - 1) / after if momentum else 0) * (new - z)
            z, t = new, after
        codes.append(z)
    return torch.tensor(np.array(codes))


def violation(x, z, a, sparsity):
    """How far codes are from the conditions of a minimum: c_k = λ sign(z_k), or |c_k| ≤ λ."""
    x, z, a = x.double(), z.double(), a.double()
    c = (x - z @ a) @ a.T
    on = z != 0
    return torch.where(on, (c - sparsity * z.sign()).abs(), (c.abs() - sparsity).clamp_min(0)).max()


@pytest.mark.covers("R03")
@pytest.mark.parametrize("momentum", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_iterates_are_those_of_loops(shape, momentum):
    x, a, sparsity = problem(*shape)
    for count in (1, 3, 6):  # later, rounding decides on restarts
        given = {"iterations": count, "momentum": momentum}
        expected = loops(x, a, sparsity, **given)
        found = lasso_ista(x, a, sparsity, tolerance=0.0, **given).codes
        wide = lasso_ista(x.double(), a.double(), sparsity, tolerance=0.0, **given).codes
        reference = lasso_ista_reference(x.double(), a.double(), sparsity, **given).codes
        torch.testing.assert_close(reference, expected, rtol=1e-10, atol=1e-11)
        torch.testing.assert_close(wide, expected, rtol=1e-4, atol=1e-5)  # 1e-6 in the step
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=3e-5)


@pytest.mark.parametrize("solve", [lasso_ista, lasso_active_set], ids=["ista", "active set"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_codes_meet_the_conditions_of_a_minimum(shape, solve):
    x, a, sparsity = problem(*shape, dtype=DOUBLE)
    options = {"iterations": 20_000, "tolerance": 1e-13} if solve is lasso_ista else {}
    found = solve(x, a, sparsity, **options)
    assert violation(x, found.codes, a, sparsity) < 1e-5
    assert (found.codes != 0).any()
    if solve is lasso_active_set:
        assert violation(x, found.codes, a, sparsity) < 1e-10
        single = solve(x.float(), a.float(), sparsity).codes
        assert violation(x, single, a, sparsity) < 1e-5


@pytest.mark.parametrize("fraction", [0.02, 0.2, 0.6])
def test_the_objective_is_scikit_learns(fraction):
    x, a, sparsity = problem(60, 16, 40, dtype=DOUBLE)
    sparsity *= fraction
    peer = sparse_encode(x.numpy(), a.numpy(), algorithm="lasso_lars", alpha=sparsity)
    expected = objective(x, torch.tensor(peer), a, sparsity)
    exact = objective(x, lasso_active_set(x, a, sparsity).codes, a, sparsity)
    torch.testing.assert_close(exact, expected, rtol=1e-9, atol=1e-9)
    close = lasso_ista(x, a, sparsity, iterations=20_000, tolerance=1e-8).codes
    torch.testing.assert_close(objective(x, close, a, sparsity), expected, rtol=1e-7, atol=1e-7)


def test_the_gap_bounds_what_is_left_and_ends_the_iterations():
    x, a, sparsity = problem(80, 16, 40, dtype=DOUBLE)
    best = objective(x, lasso_active_set(x, a, sparsity).codes, a, sparsity)
    for count in (1, 10, 100):
        codes, gap = lasso_ista(x, a, sparsity, iterations=count, tolerance=0.0)
        left = objective(x, codes, a, sparsity) - best
        assert (left <= gap + 1e-12).all()
        torch.testing.assert_close(gap, duality_gap(x, codes, a, sparsity))
    found = lasso_ista(x, a, sparsity, iterations=5000, tolerance=1e-4)
    assert (found.gap <= 1e-4 * 0.5 * x.square().sum(1)).all()
    assert found.gap.max() > 1e-9  # it did stop
    hasty = lasso_ista(x, a, sparsity, iterations=10, tolerance=0.0)
    assert (hasty.gap > 1e-4 * 0.5 * x.square().sum(1)).any()


def test_the_gap_is_that_of_primal_and_dual():
    """P(z) − D(s r) as the two values are defined, at codes that are far from the minimum."""
    x, a, sparsity = problem(20, 6, 9, dtype=DOUBLE)
    z = torch.randn(20, 9, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    for n in range(20):
        r = x[n] - z[n] @ a
        theta = r * min(1.0, sparsity / (a @ r).abs().max().item())
        primal = 0.5 * r @ r + sparsity * z[n].abs().sum()
        dual = 0.5 * x[n] @ x[n] - 0.5 * (x[n] - theta) @ (x[n] - theta)
        assert duality_gap(x, z, a, sparsity)[n].item() == pytest.approx((primal - dual).item())


def test_without_momentum_the_objective_never_rises():
    x, a, sparsity = problem(40, 10, 30, dtype=DOUBLE)
    z = torch.randn(40, 30, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    for _ in range(30):
        new = lasso_ista(x, a, sparsity, iterations=1, tolerance=0.0, momentum=False, start=z).codes
        assert (objective(x, new, a, sparsity) <= objective(x, z, a, sparsity) + 1e-12).all()
        z = new


def test_ten_iterations_twice_are_twenty_without_momentum():
    x, a, sparsity = problem(40, 10, 30, dtype=DOUBLE)
    options = {"tolerance": 0.0, "momentum": False}
    half = lasso_ista(x, a, sparsity, iterations=10, **options).codes
    before = half.clone()
    whole = lasso_ista(x, a, sparsity, iterations=10, start=half, **options).codes
    torch.testing.assert_close(whole, lasso_ista(x, a, sparsity, iterations=20, **options).codes)
    assert torch.equal(half, before)


@pytest.mark.parametrize("solve", [lasso_ista, lasso_active_set], ids=["ista", "active set"])
class TestSpecialCases:
    def test_no_atom_is_worth_its_price(self, solve):
        x, a, sparsity = problem(30, 8, 12)
        codes, gap = solve(x, a, 3.01 * sparsity)
        assert not codes.any()
        assert (gap == 0).all()

    def test_rows_of_zeros(self, solve):
        _, a, sparsity = problem(30, 8, 12)
        codes, gap = solve(torch.zeros(3, 8), a, sparsity)
        assert not codes.any()
        assert not gap.any()

    def test_without_a_price_it_is_least_squares(self, solve):
        x, a, _ = problem(30, 12, 8, dtype=DOUBLE)
        options = {"iterations": 5000, "tolerance": 0.0} if solve is lasso_ista else {}
        expected = torch.linalg.lstsq(a.T, x.T).solution.T
        torch.testing.assert_close(solve(x, a, 0.0, **options).codes, expected)

    def test_an_orthonormal_dictionary_is_one_threshold(self, solve):
        x, a, sparsity = problem(30, 12, 12, dtype=DOUBLE)
        a = torch.linalg.qr(a).Q
        b = x @ a.T
        expected = b.sign() * (b.abs() - sparsity).clamp_min(0)
        torch.testing.assert_close(solve(x, a, sparsity).codes, expected, rtol=1e-4, atol=1e-4)

    def test_atoms_that_are_equal_zero_or_nearly_dependent(self, solve):
        x, a, sparsity = problem(50, 8, 12)
        a = torch.cat([a, a[:3], torch.zeros(2, 8), a[3:6] + 1e-4 * torch.randn(3, 8)])
        codes, gap = solve(x, a, sparsity / 3)
        assert codes.isfinite().all()
        assert (gap <= 1e-4 * x.square().sum(1)).all()

    def test_atoms_of_any_length(self, solve):
        x, a, sparsity = problem(50, 8, 12, dtype=DOUBLE)
        a = a * torch.logspace(-2, 2, 12, dtype=DOUBLE)[:, None]
        options = {"iterations": 200_000, "tolerance": 1e-10} if solve is lasso_ista else {}
        found = solve(x, a, sparsity, **options)
        assert (found.gap <= 1e-9 * x.square().sum(1)).all()

    def test_a_single_row_is_as_it_is_among_others(self, solve):
        x, a, sparsity = problem(70, 8, 12, dtype=DOUBLE)
        codes = solve(x, a, sparsity).codes
        torch.testing.assert_close(solve(x[33:34], a, sparsity).codes[0], codes[33])

    @pytest.mark.parametrize("threads", [1, 2, 3])
    def test_threads_and_blocks_change_the_time_and_nothing_else(self, solve, threads, monkeypatch):
        for module in (_blocks, active):
            monkeypatch.setattr(module, "_IN_CACHE", 1)  # blocks of as few rows as there may be
        (x, a, sparsity), before = problem(300, 11, 19), torch.get_num_threads()
        expected = lasso_active_set(x.double(), a.double(), sparsity).codes
        try:
            torch.set_num_threads(threads)
            found = solve(x, a, sparsity).codes
        finally:
            torch.set_num_threads(before)
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=0.02)

    def test_autocast_changes_nothing(self, solve):
        x, a, sparsity = problem(20, 8, 12)
        with torch.autocast("cpu", torch.bfloat16):
            under = solve(x, a, sparsity)
        assert all(torch.equal(a, b) for a, b in zip(under, solve(x, a, sparsity), strict=True))

    def test_arguments_are_left_as_they_are(self, solve):
        x, a, sparsity = problem(40, 8, 12)
        copies = x.clone(), a.clone()
        solve(x.requires_grad_(), a.requires_grad_(), sparsity)
        assert torch.equal(x, copies[0])
        assert torch.equal(a, copies[1])


def test_rows_that_run_in_circles_are_finished_by_ista(monkeypatch):
    """With a search that ends at once the codes are ista's."""
    x, a, sparsity = problem(40, 8, 12)
    monkeypatch.setattr(active, "_limit", lambda atoms: 1)
    codes, gap = lasso_active_set(x, a, sparsity)
    assert (gap <= 1e-5 * 0.5 * x.square().sum(1)).all()
    assert violation(x, codes, a, sparsity) < 0.02


def test_of_all_iterates_two_are_kept(monkeypatch):
    for module in (_blocks, active):
        monkeypatch.setattr(module, "_IN_CACHE", 2**12)
        monkeypatch.setattr(module, "parallel_map", lambda f, parts, _: [*map(f, parts)])
    x, a, sparsity = problem(4000, 8, 24)
    for solve in (lasso_ista, lasso_active_set):
        with Largest() as largest:
            solve(x, a, sparsity)
        assert largest.entries == 4000 * 24


def test_opcheck():
    x, a, sparsity = problem(7, 5, 9)
    given = (x, a, torch.zeros(7, 9), sparsity, 20, 1e-5, True)
    torch.library.opcheck(torch.ops.genlib.ista.default, given)
    torch.library.opcheck(torch.ops.genlib.lasso_active_set.default, (x, a, sparsity))


@pytest.mark.parametrize("solve", [lasso_ista, lasso_active_set], ids=["ista", "active set"])
def test_compiles_without_a_graph_break(solve):
    x, a, sparsity = problem(7, 5, 9)

    def codes(x, a):
        return solve(x.tanh(), a, sparsity).codes.square()

    compiled = torch.compile(codes, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, a), codes(x, a))


def spoiled(**changes):
    x, a, sparsity = problem(5, 3, 2)
    return {"x": x, "atoms": a, "sparsity": sparsity} | changes


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (spoiled(x=[[1.0]]), TypeError, r"x: expected a torch\.Tensor, got list"),
        (spoiled(x=torch.zeros(3)), ValueError, r"x: expected shape \(N, D\)"),
        (spoiled(x=torch.zeros(0, 3)), ValueError, "at least one row"),
        (spoiled(x=torch.zeros(5, 3).long()), TypeError, r"x: expected torch\.float32"),
        (spoiled(atoms=torch.zeros(2, 4)), ValueError, r"atoms: expected shape \(K, 3\)"),
        (spoiled(atoms=torch.zeros(0, 3)), ValueError, "at least one atom"),
        (spoiled(atoms=torch.zeros(2, 3).double()), TypeError, "atoms: expected the dtype of x"),
        (spoiled(sparsity=-1.0), ValueError, "sparsity: expected a finite number, zero or posit"),
        (spoiled(sparsity=float("nan")), ValueError, "sparsity: expected a finite number"),
        (spoiled(sparsity="a"), TypeError, "sparsity: expected a number, zero or positive"),
        (spoiled(atoms=torch.full((2, 3), torch.nan)), ValueError, "atoms: expected finite"),
    ],
)
def test_bad_input_is_refused_by_name(given, error, message):
    for function in (lasso_ista, lasso_active_set):
        with pytest.raises(error, match=message):
            function(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"iterations": 0}, "iterations: expected at least 1, got 0"),
        ({"iterations": 2.5}, "iterations: expected an integer, got 2.5"),
        ({"tolerance": -1.0}, "tolerance: expected a finite number, zero or positive"),
        ({"start": torch.zeros(5, 3)}, r"start: expected shape \(5, 2\)"),
    ],
)
def test_settings_are_refused_by_name(given, message):
    with pytest.raises((TypeError, ValueError), match=message):
        lasso_ista(**spoiled(), **given)


def test_the_gap_is_asked_of_codes_of_the_rows():
    given = spoiled(codes=torch.zeros(5, 2))
    for change, message in [
        ({"sparsity": -0.1}, "sparsity: expected a finite number"),
        ({"codes": torch.zeros(1, 2)}, r"codes: expected shape \(5, 2\), got \(1, 2\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            duality_gap(**given | change)


@pytest.mark.skipif(not HAS_TRITON or INTERPRETED, reason="Triton is missing, or interprets")
def test_triton_agrees_in_its_interpreter():
    passes_in_the_interpreter("tests/kernels/test_ista_triton.py")


@pytest.mark.skipif(not HAS_TRITON or INTERPRETED, reason="Triton is missing, or interprets")
@pytest.mark.parametrize("dims", [64, 128])
@pytest.mark.parametrize("momentum", [True, False])
def test_triton_compiles_for_a_gpu_that_need_not_be_there(dims, momentum, tmp_path, monkeypatch):
    tile = _gpu.tile(dims) | {"MOMENTUM": momentum}
    warps = tile.pop("num_warps")
    floats = dict.fromkeys(("sparsity", "step", "tolerance"), "fp32")
    compiled(_gpu._iterate_kernel, tile, monkeypatch, tmp_path, types=floats, warps=warps)
