"""What lesson 12 writes by hand, against independent truth and on inputs it has no time for."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import optimize
from sklearn.linear_model import orthogonal_mp

from tests.lessons.definitions import definitions

DOUBLE = torch.float64


@pytest.fixture
def lesson():
    """The lesson's functions, with float64 by default as in its first four sections."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(DOUBLE)
    yield definitions("12_sparse_coding")
    torch.set_default_dtype(before)


def problem(n=6, d=4, K=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x, A, z = (torch.randn(*s, generator=generator, dtype=DOUBLE) for s in ((n, d), (K, d), (n, K)))
    return x, A, z


def f(z, x, A, lam):
    """½ ‖x − z A‖² + λ ‖z‖₁ of one row, in loops."""
    error = sum(
        (x[j].item() - sum(z[k].item() * A[k, j].item() for k in range(len(A)))) ** 2
        for j in range(len(x))
    )
    return 0.5 * error + lam * sum(abs(v) for v in z.tolist())


# ------------------------------------------------------------------ the model and its penalties


@pytest.mark.covers("R03")
def test_rows_are_made_of_so_many_unit_atoms(lesson):
    A = lesson["random_dictionary"](9, 5)
    torch.testing.assert_close(A.norm(dim=1), torch.ones(9))
    x, z = lesson["sparse_rows"](50, A, 3)
    assert ((z != 0).sum(1) == 3).all()
    assert ((z.abs() >= 0.5) & (z.abs() <= 1.5))[z != 0].all()
    assert 0.2 < (z[z != 0] > 0).double().mean() < 0.8
    torch.testing.assert_close(x, z @ A)


@pytest.mark.covers("R03")
@pytest.mark.parametrize("lam", [0.3, 1.0])
def test_the_soft_threshold_is_the_minimum_in_one_dimension(lesson, lam):
    for u in (-2.0, -0.5, 0.0, 0.2, 1.7):
        found = optimize.minimize_scalar(
            lambda z, u=u: 0.5 * (u - z) ** 2 + lam * abs(z), bounds=(-3, 3), method="bounded",
            options={"xatol": 1e-10},
        ).x  # fmt: skip
        assert lesson["soft"](torch.tensor(u), lam).item() == pytest.approx(found, abs=1e-5)
        grid = lesson["best_on_grid"](torch.tensor([u]), lam, lambda z: z.abs())
        assert grid.item() == pytest.approx(found, abs=1e-3)


@pytest.mark.covers("R03")
def test_the_search_on_a_grid_finds_the_minimum_of_any_penalty(lesson):
    for rho in (lambda z: (1 + z**2).log(), lambda z: -(-(z**2)).exp()):
        u = torch.tensor([-3.0, 0.4, 2.2])
        z = torch.linspace(-4, 4, 100_001)
        for each, found in zip(u, lesson["best_on_grid"](u, 0.7, rho), strict=True):
            values = 0.5 * (each - z) ** 2 + 0.7 * rho(z)
            assert abs(found - z[values.argmin()]) < 2e-3


# ------------------------------------------------------------------ searches


@pytest.mark.covers("R03")
def test_the_objective_is_its_formula(lesson):
    x, A, z = problem()
    expected = [f(code, row, A, 0.3) for code, row in zip(z, x, strict=True)]
    np.testing.assert_allclose(lesson["objective"](x, z, A, 0.3), expected)


@pytest.mark.covers("R03")
def test_the_majoriser_touches_lies_above_and_is_minimised_by_ista(lesson):
    x, A, z0 = problem()
    L = np.linalg.eigvalsh((A @ A.T).numpy()).max()
    lam, above = 0.4, lesson["majoriser"]
    step = lesson["ista_step"](z0, x, A, lam, L)
    np.testing.assert_allclose(
        above(z0, z0, x, A, lam, L), [f(z, row, A, lam) for z, row in zip(z0, x, strict=True)]
    )
    for seed in range(20):
        z = z0 + 0.5 * problem(seed=seed)[2]
        truth = torch.tensor([f(each, row, A, lam) for each, row in zip(z, x, strict=True)])
        assert (above(z, z0, x, A, lam, L) >= truth - 1e-9).all()
        assert (above(z, z0, x, A, lam, L) >= above(step, z0, x, A, lam, L) - 1e-9).all()
    # In the direction of the largest eigenvalue the bound is attained.
    v = torch.linalg.eigh(A @ A.T).eigenvectors[:, -1].expand(6, -1)
    smooth = [0.5 * ((row - z @ A) ** 2).sum() for z, row in zip(z0 + v, x, strict=True)]
    found = above(z0 + v, z0, x, A, 0.0, L)
    torch.testing.assert_close(found, torch.stack(smooth))


@pytest.mark.covers("R03")
def test_ista_and_fista_are_their_recursions(lesson):
    x, A, _ = problem(n=1)
    row, atoms = x[0].numpy(), A.numpy()
    L = np.linalg.eigvalsh(atoms @ atoms.T).max()
    lam = 0.2

    def step(y):
        u = y + atoms @ (row - y @ atoms) / L
        return np.array([math.copysign(max(abs(v) - lam / L, 0), v) for v in u])

    np.testing.assert_allclose(
        lesson["ista_step"](torch.zeros(1, 7), x, A, lam, L)[0], step(np.zeros(7)), atol=1e-12
    )
    path = lesson["fista"](x, A, lam, L, 12)
    assert len(path) == 13
    z, y, t = np.zeros(7), np.zeros(7), 1.0
    for found in path[1:]:
        new = step(y)
        later = (1 + math.sqrt(1 + 4 * t**2)) / 2
        z, y, t = new, new + (t - 1) / later * (new - z), later
        np.testing.assert_allclose(found[0], z, atol=1e-12)


@pytest.mark.covers("R03")
def test_the_duality_gap_is_primal_less_dual(lesson):
    x, A, z = problem()
    gap = lesson["duality_gap"](x, z, A, 0.4)
    for n in range(len(x)):
        r = x[n] - z[n] @ A
        theta = r * min(1.0, 0.4 / (A @ r).abs().max().item())
        dual = 0.5 * (x[n] @ x[n]).item() - 0.5 * ((x[n] - theta) ** 2).sum().item()
        assert gap[n].item() == pytest.approx(f(z[n], x[n], A, 0.4) - dual)
    small = 1e-3 * x
    assert lesson["duality_gap"](small, 0 * z, A, 0.4).abs().max() < 1e-12


@pytest.mark.covers("R03")
@pytest.mark.parametrize("nonzeros", [1, 3, 5])
def test_matching_pursuit_is_scikit_learns(lesson, nonzeros):
    x, A, _ = problem(n=20, d=6, K=11)
    A = A / A.norm(dim=1, keepdim=True)
    found = lesson["omp"](x, A, nonzeros)
    expected = orthogonal_mp(A.T.numpy(), x.T.numpy(), n_nonzero_coefs=nonzeros).T
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_atoms_are_the_same_where_the_largest_are_the_true_ones(lesson):
    truth = torch.tensor([[1.0, 0, -1, 0], [1.0, 0, 0, 0], [0, 1.0, 1, 1]])
    z = torch.tensor([[0.3, 0.1, -0.2, 0], [0.1, 0.3, 0, 0], [0, -0.1, 2, 1]])
    assert lesson["same_atoms"](z, truth).tolist() == [1, 0, 1]


# ------------------------------------------------------------------ dictionaries


@pytest.mark.covers("R03")
def test_dictionary_steps_minimise_what_they_say(lesson):
    x, A, z = problem(n=30, d=4, K=6)
    S, B = z.T @ z / 30, z.T @ x / 30

    def error(A, eta=0.0):
        return 0.5 * ((x - z @ A) ** 2).sum(1).mean() + 0.5 * eta * (A**2).sum()

    A_free = torch.tensor(np.linalg.lstsq(z.numpy(), x.numpy(), rcond=None)[0])
    torch.testing.assert_close(lesson["free_step"](A, S, B), A_free, atol=1e-4, rtol=1e-4)
    ridge = lesson["ridge_step"](A, S, B, eta=0.3).requires_grad_()
    (slope,) = torch.autograd.grad(error(ridge, 0.3), ridge)
    assert slope.abs().max() < 1e-12
    A = A / A.norm(dim=1, keepdim=True)
    before = A.clone()
    ball = lesson["ball_step"](A, S, B)
    assert torch.equal(A, before)
    expected, codes = A.numpy().copy(), z.numpy()
    for _, k in itertools.product(range(5), range(6)):
        rest = x.numpy() - codes @ expected + np.outer(codes[:, k], expected[k])
        free = codes[:, k] @ rest / (codes[:, k] ** 2).sum()
        expected[k] = free / max(1.0, np.linalg.norm(free))
    np.testing.assert_allclose(ball, expected, atol=1e-10)
    assert ball.norm(dim=1).max() <= 1 + 1e-12
    assert error(ball) < error(A)
    for _ in range(100):
        ball = lesson["ball_step"](ball, S, B)
    best = optimize.minimize(
        lambda a: error(torch.tensor(a.reshape(6, 4))).item(), A.flatten().numpy(),
        constraints=[
            {"type": "ineq", "fun": lambda a, k=k: 1 - (a.reshape(6, 4)[k] ** 2).sum()}
            for k in range(6)
        ],
        method="SLSQP", options={"ftol": 1e-12, "maxiter": 500},
    )  # fmt: skip
    assert error(ball).item() == pytest.approx(best.fun, abs=1e-6)


@pytest.mark.covers("R03")
def test_the_rows_of_an_alternation_are_its_half_steps(lesson):
    x, A, _ = problem(n=20, d=4, K=5)
    A = A / A.norm(dim=1, keepdim=True)
    lesson["lam"] = 0.3
    last, rows = lesson["alternate"](x, A, lesson["ridge_step"], 3, eta=0.01)
    assert rows.shape == (6, 3)
    z = lesson["code_step"](x, A)
    S, B = z.T @ z / 20, z.T @ x / 20
    new = torch.linalg.solve(S + 0.01 * torch.eye(5), B)
    for row, atoms in zip(rows, (A, new), strict=False):
        mean = np.mean([f(each, x_n, atoms, 0.3) for each, x_n in zip(z, x, strict=True)])
        assert row[0].item() == pytest.approx(mean + 0.005 * (atoms**2).sum().item())
        assert row[1].item() == pytest.approx(0.3 * z.abs().sum(1).mean().item())
        assert row[2].item() == pytest.approx(atoms.norm(dim=1).mean().item())
    assert all(b <= a + 1e-9 for a, b in itertools.pairwise(rows[:, 0].tolist()))
    assert last.shape == (5, 4)


# ------------------------------------------------------------------ photographs


def test_patches_are_centred(lesson):
    torch.manual_seed(0)
    x = lesson["patches_of"](["camera", "coins"], 30)
    assert x.shape == (60, 64)
    assert x.mean(1).abs().max() < 1e-6


def test_a_crop_is_the_middle(lesson):
    import genlib as gl

    whole = gl.data.photo("camera", grey=True)
    assert torch.equal(lesson["crop"]("camera"), whole[:, 224:288, 224:288])
    assert torch.equal(lesson["crop"]("camera", 128), whole[:, 192:320, 192:320])


def test_overlapping_patches_average_to_the_image_that_they_came_from(lesson):
    image = torch.rand(1, 64, 64)
    torch.testing.assert_close(lesson["patchwise"](image, lambda rows: rows), image)
    means = lesson["patchwise"](image, torch.zeros_like)
    corner = image[0, :8, :8].mean()
    assert means[0, 0, 0].item() == pytest.approx(corner.item())
    wide = torch.rand(1, 20, 12)
    torch.testing.assert_close(lesson["patchwise"](wide, lambda rows: rows), wide)
    inner = [image[0, i : i + 8, j : j + 8].mean() for i in range(13, 21) for j in range(23, 31)]
    assert means[0, 20, 30].item() == pytest.approx(torch.stack(inner).mean().item())


def test_columns_are_shuffled_each_by_itself(lesson):
    torch.manual_seed(0)
    z = torch.arange(300.0).view(100, 3)
    mixed = lesson["shuffle"](z)
    assert torch.equal(mixed.sort(0).values, z)
    assert not torch.equal(mixed[:, 1] - mixed[:, 0], torch.ones(100))


@pytest.mark.covers("R03")
def test_the_pursuit_with_a_stop_is_scikit_learns_and_stops_as_soon_as_it_may(lesson):
    x, A, _ = problem(n=40, d=6, K=11)
    A = A / A.norm(dim=1, keepdim=True)
    x[:10] *= 0.05
    expected = orthogonal_mp(A.T.numpy(), x.T.numpy(), n_nonzero_coefs=3).T
    np.testing.assert_allclose(lesson["omp_until"](x, A, most=3), expected, atol=1e-4)
    found = lesson["omp_until"](x, A, 4.0)
    tolerance = 6 * 0.4**2
    for row, z in zip(x.numpy(), found, strict=True):
        expected = orthogonal_mp(A.T.numpy(), row, tol=tolerance) if row @ row > tolerance else 0
        np.testing.assert_allclose(z, expected * np.ones(11), atol=1e-4)
    assert not found[:10].any() and len(set((found != 0).sum(1).tolist())) > 2


def test_small_measures(lesson):
    assert lesson["psnr"](torch.zeros(10), torch.full((10,), 0.1)) == pytest.approx(20)
    assert lesson["kurtosis"](torch.tensor([1.0, -1, 1, -1])) == 1
    assert lesson["kurtosis"](torch.tensor([0.0, 0, 0, 2])) == 4


@pytest.mark.covers("R03")
def test_wavelets_are_orthogonal_and_blind_to_straight_lines(lesson):
    taps = torch.tensor([1 + 3**0.5, 3 + 3**0.5, 3 - 3**0.5, 1 - 3**0.5]) / 32**0.5
    lesson["taps"] = taps
    for n in (8, 16):
        W = lesson["level"](n)
        torch.testing.assert_close(W @ W.T, torch.eye(n))
        line = 0.3 + 0.7 * torch.arange(n)
        assert (W[n // 2 : -1] @ line).abs().max() < 1e-9  # two vanishing moments, but at the edge
    lesson["steps"] = {n: lesson["level"](n) for n in (64, 32, 16)}
    lesson["moves"] = [(0, 0), (1, 3)]
    image = torch.rand(1, 64, 64)
    torch.testing.assert_close(lesson["wavelets"](image, 0.0), image)
    flat = lesson["wavelets"](image, 1e9)
    assert flat.std() < image.std() / 3
    assert flat.mean().item() == pytest.approx(image.mean().item())


def test_the_shape_of_gratings_and_points(lesson):
    frequencies = torch.fft.fftfreq(32)
    lesson["down"], lesson["across"] = torch.meshgrid(frequencies, frequencies, indexing="ij")
    i, j = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    gratings = [(0.25 * 2 * math.pi * t).cos() for t in (i, j, (i + j) / 2**0.5)]
    point = torch.zeros(8, 8)
    point[3, 4] = 2.0
    atoms = torch.stack([*gratings, point]).flatten(1)
    selectivity, angle, radius = lesson["shape"](atoms)
    assert (selectivity[:3] > 0.7).all()
    assert selectivity[3] < 0.05
    assert radius[3].item() == pytest.approx(0, abs=1e-3)
    even, two = torch.ones(8, 8), torch.zeros(8, 8)
    two[1, 1], two[4, 5] = 3.0, -3.0
    radius = lesson["shape"](torch.stack([even, two]).flatten(1))[2]
    assert radius[0].item() == pytest.approx((2 * 63 / 12) ** 0.5)
    assert radius[1].item() == pytest.approx(2.5)  # half of the distance between them
    expected = torch.tensor([math.pi / 2, 0, math.pi / 4])
    difference = (angle[:3] - expected + math.pi / 2) % math.pi - math.pi / 2
    assert difference.abs().max() < 0.05
