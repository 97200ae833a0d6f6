"""What lesson 11 writes by hand, against independent truth and on inputs it has no time for."""

import itertools

import numpy as np
import pytest
import torch
from scipy import linalg, stats

from tests.lessons.definitions import definitions


@pytest.fixture
def lesson():
    return definitions("11_pca")


def rows(n, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw = {"generator": generator, "dtype": torch.float64}
    return torch.randn(n, d, **draw) @ torch.randn(d, d, **draw) + 5 * torch.randn(d, **draw)


# ------------------------------------------------------------------ the decomposition


@pytest.mark.covers("R01")
@pytest.mark.parametrize("way", ["by_covariance", "by_svd"])
def test_eigenvalues_and_directions_are_numpys(lesson, way):
    x = rows(50, 6)
    mean, values, U = lesson[way](x)
    expected, vectors = np.linalg.eigh(np.cov(x.numpy().T, bias=True))
    np.testing.assert_allclose(mean, x.numpy().mean(0))
    np.testing.assert_allclose(values, expected[::-1], rtol=1e-9)
    cosines = np.abs((U.numpy() * vectors[:, ::-1]).sum(0))
    np.testing.assert_allclose(cosines, 1, atol=1e-9)


@pytest.mark.covers("R01")
@pytest.mark.parametrize("k", [1, 3, 6])
def test_the_error_is_a_loop_over_rows_and_the_dropped_eigenvalues(lesson, k):
    x = rows(40, 6)
    mean, values, U = lesson["by_covariance"](x)
    back = lesson["reconstruct"](x, mean, U[:, :k])
    total, summed = 0.0, 0.0
    for row in x.numpy():
        codes = [U[:, j].numpy() @ (row - mean.numpy()) for j in range(k)]
        point = mean.numpy() + sum(z * U[:, j].numpy() for j, z in enumerate(codes))
        total += np.sum((row - point) ** 2) / len(x)
        summed += np.sum((row - point) ** 2)
    assert lesson["error"](x, back).item() == pytest.approx(total, abs=1e-12)
    assert total == pytest.approx(values[k:].sum().item(), rel=1e-9, abs=1e-12)
    s = np.linalg.svd(x.numpy() - x.numpy().mean(0), compute_uv=False)
    assert summed == pytest.approx((s[k:] ** 2).sum(), rel=1e-9, abs=1e-10)


# ------------------------------------------------------------------ optimality


@pytest.mark.covers("R01")
def test_the_projected_error_is_that_of_least_squares(lesson):
    """Columns that are not orthonormal; the nearest points by numpy's lstsq."""
    x = rows(30, 7)
    apart = (x - x.mean(0)).numpy()
    S = torch.from_numpy(apart.T @ apart / len(apart))
    for seed in range(5):
        A = rows(7, 3, seed=seed + 1)
        found = lesson["projected_error"](A, S).item()
        _, residues, *_ = np.linalg.lstsq(A.numpy(), apart.T, rcond=None)
        assert found == pytest.approx(residues.sum() / len(x), rel=1e-9)
        assert found >= np.linalg.eigvalsh(S.numpy())[:-3].sum() - 1e-12


@pytest.mark.covers("R02")
def test_cosines_are_those_of_scipys_angles(lesson):
    for seed, k in itertools.product(range(4), (1, 2, 4)):
        A, B = (rows(9, k, seed=2 * seed + i)[:, :k] for i in range(2))
        expected = np.cos(linalg.subspace_angles(A.numpy(), B.numpy()))
        np.testing.assert_allclose(np.sort(lesson["cosines"](A, B)), expected, atol=1e-9)


@pytest.mark.covers("R02")
def test_the_linear_autoencoder_is_trained_on_the_error_of_its_rows(lesson):
    """The loss through a root of S is the mean squared error of W and A on the rows."""
    x = rows(60, 5)
    mean, values, U = lesson["by_covariance"](x)
    lesson.update(n=5, lam=values, U=U, root=U * values.sqrt())
    seed = 0
    torch.set_default_dtype(torch.float64)
    try:
        torch.manual_seed(seed)
        W, A, ratios = lesson["train_linear"](2, 1)
        torch.manual_seed(seed)
        W0, A0 = 0.1 * torch.randn(2, 5), 0.1 * torch.randn(5, 2)
        error = (x - mean - (x - mean) @ W0.T @ A0.T).square().sum(1).mean()
        assert ratios[0].item() == pytest.approx((error / values[2:].sum()).item())
        assert not torch.equal(W, W0) and not torch.equal(A, A0)
        *_, ratios = lesson["train_linear"](2, 1500)
        assert 1 - 1e-9 < ratios.min() < 1.001
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.covers("R02")
def test_the_best_code_of_one_entry_is_the_best_of_all(lesson):
    """Against least squares on each of three columns alone, at 200 points."""
    turns = torch.tensor([90.0, 210.0, 330.0]).deg2rad()
    atoms, best = torch.stack([turns.cos(), turns.sin()]), lesson["best_single"]
    lesson["atoms"] = atoms
    for v in rows(200, 2).to(atoms):
        code = best(v)
        assert (code != 0).sum() <= 1
        least = min((v - atoms[:, j] * (atoms[:, j] @ v)).norm() for j in range(3))
        assert (v - atoms @ code).norm().item() == pytest.approx(least.item(), abs=1e-6)


# ------------------------------------------------------------------ sigmoids


@pytest.mark.covers("R02")
def test_the_best_decoder_is_numpys_regression_with_an_intercept(lesson):
    x = rows(50, 6)
    lesson.update(x=x, mu=x.mean(0))
    h = torch.sigmoid(rows(50, 2, seed=3))
    design = np.column_stack([h.numpy(), np.ones(50)])
    _, residues, *_ = np.linalg.lstsq(design, x.numpy(), rcond=None)
    assert lesson["best_decoder_error"](h).item() == pytest.approx(residues.sum() / 50)


@pytest.mark.covers("R02")
def test_no_trained_autoencoder_gets_below_pca(lesson):
    x = rows(80, 6).float()
    centred = x - x.mean(0)
    bound = lesson["by_covariance"](x.double())[1][2:].sum()
    lesson.update(centred=centred, bound=bound)
    torch.manual_seed(0)
    nn = torch.nn
    net = nn.Sequential(nn.Linear(6, 20), nn.Tanh(), nn.Linear(20, 2), nn.Linear(2, 6))
    with torch.no_grad():
        first = (net(centred) - centred).square().sum(1).mean() / bound
    ratios = lesson["train_autoencoder"](net, 400)
    assert ratios[0].item() == pytest.approx(first.item(), rel=1e-5)
    assert ratios.min() > 1 - 1e-5 and ratios[-1] < ratios[0]


# ------------------------------------------------------------------ how many


@pytest.mark.covers("L07")
def test_likelihoods_of_each_number_are_scipys(lesson):
    train, valid = rows(60, 5)[:40], rows(60, 5)[40:]
    found = lesson["by_likelihood"](train, valid, [1, 3])
    values, vectors = np.linalg.eigh(np.cov(train.numpy().T, bias=True))
    for column, k in enumerate((1, 3)):
        noise = values[: 5 - k].mean()
        spread = np.where(np.arange(5) >= 5 - k, values, noise)
        covariance = vectors * spread @ vectors.T
        gaussian = stats.multivariate_normal(train.numpy().mean(0), covariance)
        expected = [gaussian.logpdf(part.numpy()).mean() for part in (train, valid)]
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-5)


@pytest.mark.covers("R01")
def test_the_elbow_is_farthest_from_the_chord(lesson):
    """The distance to a line, in the plane, is largest at the same place as the height."""
    for seed in range(5):
        values = rows(20, 1, seed=seed)[:, 0].square().sort(descending=True).values.float()
        ends = np.array([[0, values[0]], [19, values[-1]]], dtype=float)
        along = ends[1] - ends[0]
        places = np.column_stack([np.arange(20), values.numpy()]) - ends[0]
        distance = places[:, 1] * along[0] - places[:, 0] * along[1]  # negative below the chord
        assert lesson["elbow"](values) == distance.argmin() + 1
    assert lesson["elbow"](torch.tensor([10.0, 9, 1, 0.9, 0.8])) == 3


@pytest.mark.covers("R01")
def test_bumps_are_gaussians_on_a_ring(lesson):
    torch.manual_seed(1)
    found = lesson["bumps"](3, rows=50, pixels=24)
    torch.manual_seed(1)
    places = 24 * torch.rand(50, 1)
    for row, place in zip(found, places[:, 0].tolist(), strict=True):
        for pixel in range(24):
            gap = min(abs(pixel - place), 24 - abs(pixel - place))
            assert row[pixel].item() == pytest.approx(np.exp(-(gap**2) / 18), abs=1e-5)


@pytest.mark.covers("R01")
def test_bumps_on_a_segment_end_at_its_ends(lesson):
    torch.manual_seed(1)
    found = lesson["bumps"](3, rows=50, pixels=24, ring=False)
    torch.manual_seed(1)
    gaps = np.arange(24) - 24 * torch.rand(50, 1).numpy()
    np.testing.assert_allclose(found, np.exp(-(gaps**2) / 18), atol=1e-5)


@pytest.mark.covers("R01")
def test_the_accuracy_of_class_means_is_a_loop_over_halves(lesson):
    """On rows whose classes lie apart along the second of the columns alone."""
    torch.manual_seed(0)
    labels = torch.arange(60) % 3
    wide, narrow = 100 * torch.randn(60, 1), labels[:, None] + 0.01 * torch.randn(60, 1)
    table = torch.cat([wide, narrow], 1).double()
    lesson["cultivar"] = labels
    assert lesson["accuracy"](table, components=1).mean() < 0.6
    assert lesson["accuracy"](table, components=2).shape == (20,)
    three = torch.cat([table, 2 * table[:, 1:]], 1)  # wide again, unless standardised
    assert lesson["accuracy"](three, False, components=1).mean() < 0.6
    assert lesson["accuracy"](three, True, components=1).mean() > 0.95


# ------------------------------------------------------------------ likelihood and missing values


@pytest.mark.covers("L07")
def test_the_height_from_the_covariance_is_scipys_mean(lesson):
    x = rows(40, 5)
    mean, values, U = lesson["by_covariance"](x)
    lesson.update(n=5, S=torch.cov(x.T, correction=0), lam=values, U=U)
    torch.set_default_dtype(torch.float64)
    try:
        W, noise = lesson["stationary"]([0, 1])
        found = lesson["height"](W, noise)
    finally:
        torch.set_default_dtype(torch.float32)
    assert noise.item() == pytest.approx(values[2:].mean().item())
    gaussian = stats.multivariate_normal(mean.numpy(), (W @ W.T + noise * torch.eye(5)).numpy())
    assert found.item() == pytest.approx(gaussian.logpdf(x.numpy()).mean())
    for j, length in ((0, values[0]), (1, values[1])):
        assert (U[:, j] @ W @ W.T @ U[:, j] + noise).item() == pytest.approx(length.item())


@pytest.mark.covers("L07")
def test_hidden_pixels_by_pairs_are_conditional_means(lesson):
    images = rows(7, 4, seed=2)
    C = torch.cov(rows(50, 4).T)
    hidden = rows(7, 4, seed=3) > 0
    lesson.update(pairwise=C, by_mean=images.mean(0))
    torch.set_default_dtype(torch.float64)
    try:
        found = lesson["by_pairs"](images, hidden, 0.5)
    finally:
        torch.set_default_dtype(torch.float32)
    precision = np.linalg.inv(C.numpy() + 0.5 * np.eye(4))
    for row, image, h in zip(found.numpy(), images.numpy(), hidden.numpy(), strict=True):
        apart = image - images.numpy().mean(0)  # by the precision matrix, not the covariance
        expected = -np.linalg.solve(precision[h][:, h], precision[h][:, ~h] @ apart[~h])
        np.testing.assert_allclose(row[h], images.numpy().mean(0)[h] + expected, rtol=1e-7)
        np.testing.assert_array_equal(row[~h], image[~h])
