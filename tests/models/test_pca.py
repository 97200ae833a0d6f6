"""PCA against NumPy's decomposition and scikit-learn; probabilistic PCA against its closed forms,
scikit-learn and Gaussian conditioning.
"""

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch.distributions import MultivariateNormal

import genlib as gl
from genlib.models import pca
from tests.benchmarks.harness import in_fresh_process, peak_memory


def rows(n=300, d=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x @ torch.randn(d, d, generator=generator, dtype=torch.float64) + torch.arange(d)


def planted(n, lengths, seed=0, dtype=torch.float64):
    """Centred rows with these singular values, and their right singular vectors as rows."""
    generator = torch.Generator().manual_seed(seed)
    d = len(lengths)
    left = torch.randn(n, d, generator=generator, dtype=torch.float64)
    left = torch.linalg.qr(left - left.mean(0)).Q
    right = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64)).Q
    lengths = torch.as_tensor(lengths, dtype=torch.float64)
    return (left * lengths @ right.T).to(dtype), right.T


def angle(a, b):
    """Sine of the largest principal angle between the spans of rows."""
    a, b = (torch.linalg.qr(rows.double().T).Q for rows in (a, b))
    return torch.linalg.matrix_norm(b - a @ (a.T @ b), ord=2).item()


METHODS = ("svd", "eigen", "randomized")


@pytest.mark.covers("R01")
class TestPCA:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("shape", [(300, 12), (13, 12), (12, 12), (7, 40)])
    def test_is_numpys_decomposition(self, method, shape):
        x = 5 + rows(*shape)
        gl.seed(0)
        q = min(4, shape[0] - 1)
        model = gl.PCA(q, method).double()
        model.fit(x)
        apart = x.numpy() - x.numpy().mean(0)
        _, lengths, right = np.linalg.svd(apart, full_matrices=False)
        assert model.singular_values.numpy() == pytest.approx(lengths[:q], rel=1e-8)
        assert model.explained_variance.numpy() == pytest.approx(lengths[:q] ** 2 / len(x))
        assert model.total_variance.item() == pytest.approx((apart**2).sum() / len(x))
        ratio = lengths[:q] ** 2 / (lengths**2).sum()
        assert model.explained_variance_ratio.numpy() == pytest.approx(ratio)
        cosines = (model.directions.numpy() * right[:q]).sum(1)
        assert np.abs(cosines) == pytest.approx(1)
        largest = model.directions.gather(1, model.directions.abs().argmax(1, keepdim=True))
        assert (largest > 0).all()

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("whiten", [False, True])
    def test_codes_are_scikit_learns(self, method, whiten):
        """Scikit-learn whitens by N − 1."""
        x = rows(200, 6)
        gl.seed(0)
        model = gl.PCA(3, method, whiten).double()
        model.fit(x)
        peer = PCA(3, whiten=whiten, svd_solver="full").fit(x.numpy())
        expected = torch.from_numpy(peer.transform(x.numpy()))
        if whiten:
            expected = expected * (len(x) / (len(x) - 1)) ** 0.5
        signs = (model.encode(x) * expected).sum(0).sign()
        torch.testing.assert_close(model.encode(x), expected * signs)
        back = torch.from_numpy(peer.inverse_transform(peer.transform(x.numpy())))
        torch.testing.assert_close(model.reconstruct(x), back)
        torch.testing.assert_close(model.decode(model.encode(x)), back)
        if whiten:
            covariance = torch.cov(model.encode(x).T, correction=0)
            torch.testing.assert_close(covariance, torch.eye(3, dtype=torch.float64))

    @pytest.mark.parametrize("method", METHODS)
    def test_error_is_the_sum_of_the_dropped_eigenvalues(self, method):
        """To 1e-5, as the lesson says, in float32 too."""
        x = rows(500, 20)
        dropped = np.linalg.eigvalsh(np.cov(x.numpy().T, bias=True))[:-7].sum()
        for dtype in (torch.float64, torch.float32):
            gl.seed(0)
            model = gl.PCA(7, method).to(dtype)
            history = model.fit(x.to(dtype), valid=x.to(dtype))
            error = (x - model.reconstruct(x.to(dtype)).double()).square().sum(1).mean().item()
            assert error == pytest.approx(dropped, rel=1e-5)
            assert history.last["valid"] == pytest.approx(dropped, rel=1e-5)
            left = model.total_variance - model.explained_variance.sum()
            assert left.item() == pytest.approx(dropped, rel=1e-5)

    def test_svd_keeps_what_eigen_squares_away(self):
        """Singular values from 1 to 1e-8: their squares end at the precision of float64."""
        lengths = torch.logspace(0, -8, 9, dtype=torch.float64)
        x, directions = planted(400, lengths)
        exact, squared = (gl.PCA(9, method).double() for method in ("svd", "eigen"))
        for model in (exact, squared):
            model.fit(x)
        assert exact.singular_values[-1].item() == pytest.approx(1e-8, rel=1e-6)
        assert angle(exact.directions[:8], directions[:8]) < 1e-6
        assert squared.singular_values[:6].numpy() == pytest.approx(lengths[:6].numpy(), rel=1e-4)
        assert abs(squared.singular_values[-1].item() / 1e-8 - 1) > 1e-3

    @pytest.mark.parametrize(("method", "least"), [("svd", 1e-5), ("randomized", 1e-5)])
    def test_float32_keeps_small_singular_values(self, method, least):
        lengths = torch.logspace(0, math.log10(least), 30)
        x, directions = planted(5000, lengths, dtype=torch.float32)
        gl.seed(0)
        model = gl.PCA(20, method)
        model.fit(x)
        assert model.singular_values.numpy() == pytest.approx(lengths[:20].numpy(), rel=2e-3)
        assert angle(model.directions, directions[:20]) < 2e-3

    @pytest.mark.parametrize("method", METHODS)
    def test_many_rows_far_from_the_origin(self, method):
        """Sums of 70,000 rows in float32, in several blocks, around a mean of 1000 deviations."""
        lengths = torch.cat([torch.tensor([5, 4.5, 4, 3.5, 3]), torch.full((65,), 0.5)])
        x, directions = planted(70_000, lengths * 70_000**0.5)
        near = (x + 1000).float()
        gl.seed(0)
        model = gl.PCA(5, method)
        model.fit(near)
        wide = near.double() - near.double().mean(0)
        expected = torch.linalg.svdvals(wide)[:5]
        assert model.singular_values.numpy() == pytest.approx(expected.numpy(), rel=1e-4)
        assert angle(model.directions, directions[:5]) < 0.02
        assert (model.directions @ model.directions.T - torch.eye(5)).abs().max() < 1e-5

    @pytest.mark.parametrize("method", METHODS)
    def test_planted_plane_is_found(self, method):
        x = rows(100, 3) @ rows(3, 30, seed=1)
        gl.seed(0)
        model = gl.PCA(3, method).double()
        model.fit(x)
        assert angle(model.directions, rows(3, 30, seed=1)) < 0.3  # an offset moves the mean only
        torch.testing.assert_close(model.reconstruct(x), x)

    def test_randomized_is_as_good_as_the_best_where_the_spectrum_falls(self):
        x, _ = planted(2000, 1 / torch.arange(1.0, 201))
        best, found = gl.PCA(20).double(), gl.PCA(20, "randomized").double()
        best.fit(x)
        for seed in range(5):
            gl.seed(seed)
            found.fit(x)
            assert 1 <= found.validation_loss(x) / best.validation_loss(x) < 1.001

    @pytest.mark.parametrize("seed", range(3))
    def test_randomized_parts_directions_that_are_four_fifths_as_long(self, seed):
        """Sines of 0.26 to 0.34 were measured with seven steps, of 0.85 to 0.91 with three."""
        x, directions = planted(1000, [1.0] * 5 + [0.8] * 195)
        gl.seed(seed)
        model = gl.PCA(5, "randomized").double()
        model.fit(x)
        assert angle(model.directions, directions[:5]) < 0.5

    def test_randomized_repeats_with_the_seed(self):
        x, models = rows(50, 9).float(), [gl.PCA(2, "randomized") for _ in range(2)]
        for model in models:
            gl.seed(3)
            model.fit(x)
        assert torch.equal(models[0].directions, models[1].directions)

    def test_memory_stays_below_a_copy_of_the_data(self):
        for method in ("svd", "eigen", "randomized"):
            found = in_fresh_process(megabytes_of_a_fit, method)
            if found is None:
                pytest.skip("the system does not tell a process's peak memory")
            assert found < 100, method  # the rows are 160

    @pytest.mark.parametrize("constant", [7.0, 100.7])
    def test_constant_columns_are_no_matter_but_for_whitening(self, constant):
        x = rows(60, 4)
        x = torch.cat([x, torch.full((60, 2), constant, dtype=torch.float64)], 1)
        for method in METHODS:
            gl.seed(0)
            for dtype in (torch.float64, torch.float32):
                model = gl.PCA(5, method).to(dtype)
                model.fit(x.to(dtype))
                torch.testing.assert_close(
                    model.reconstruct(x.to(dtype)), x.to(dtype), rtol=1e-4, atol=1e-4
                )
                with pytest.raises(ValueError, match=r"direction 5 on; ask for 4 components"):
                    gl.PCA(5, method, whiten=True).to(dtype).fit(x.to(dtype))
                gl.PCA(4, method, whiten=True).to(dtype).fit(x.to(dtype))

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("constant", [5.3, 100.7, 1000.3])
    def test_the_rounding_of_a_mean_is_no_direction(self, method, constant):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(1000, 4, generator=generator)
        x = torch.cat([x, torch.full((1000, 1), constant)], 1)
        gl.seed(0)
        with pytest.raises(ValueError, match="direction 5 on; ask for 4 components"):
            gl.PCA(5, method, whiten=True).fit(x)
        model = gl.PCA(4, method, whiten=True)
        model.fit(x)
        assert (torch.cov(model.encode(x).T, correction=0) - torch.eye(4)).abs().max() < 1e-4

    @pytest.mark.parametrize("method", METHODS)
    def test_rows_that_are_all_the_same_are_refused(self, method):
        for seed in range(5):
            generator = torch.Generator().manual_seed(seed)
            x = torch.randn(1, 5, generator=generator).repeat(60, 1)
            for same in (x, 1000 * x, x.double(), x[:, :1] * 0):
                with pytest.raises(ValueError, match="rows that are all the same"):
                    gl.PCA(1, method).to(same.dtype).fit(same)

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("unit", [2.0**-83, 2.0**66])
    def test_the_unit_does_not_matter(self, method, unit):
        """Units of about 1e-25 and 1e20, in float32, whose squares it does not hold."""
        x, models = rows(200, 6).float(), [gl.PCA(3, method, whiten=True) for _ in range(2)]
        for model, size in zip(models, (1.0, unit), strict=True):
            gl.seed(0)
            model.fit(x * size)
        plain, scaled = models
        torch.testing.assert_close(scaled.directions, plain.directions, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(scaled.singular_values / unit, plain.singular_values)
        torch.testing.assert_close(scaled.encode(x * unit), plain.encode(x), rtol=1e-4, atol=1e-4)
        found = scaled.reconstruct(x * unit) / unit
        torch.testing.assert_close(found, plain.reconstruct(x), rtol=1e-4, atol=1e-4)
        ratio = plain.explained_variance_ratio
        torch.testing.assert_close(scaled.explained_variance_ratio, ratio)

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
    def test_directions_without_variance_are_orthogonal(self, method, shape):
        """Rows in a plane; eigenvalues of zero round to below it."""
        gl.seed(0)
        x = rows(shape[0], 2) @ torch.randn(2, shape[1], dtype=torch.float64)
        model = gl.PCA(6, method).double()
        model.fit(x)
        torch.testing.assert_close(model.directions @ model.directions.T, torch.eye(6).double())
        small = model.singular_values[2:] / model.singular_values[0]
        assert small.isfinite().all()
        assert (small < 1e-6).all()

    @pytest.mark.parametrize("method", METHODS)
    def test_what_rounding_leaves_of_no_variance_is_not_whitened(self, method):
        """Small integers, whose products are exact: 20 directions of 300 columns."""
        generator = torch.Generator().manual_seed(0)
        codes = torch.randint(-2, 3, (2000, 20), generator=generator).float()
        x = codes @ torch.randint(-1, 2, (20, 300), generator=generator).float()
        gl.seed(0)
        with pytest.raises(ValueError, match="direction 21 on; ask for 20 components"):
            gl.PCA(30, method, whiten=True).fit(x)
        model = gl.PCA(20, method, whiten=True)
        model.fit(x)
        covariance = torch.cov(model.encode(x).T, correction=0)
        assert (covariance - torch.eye(20)).abs().max() < 1e-3

    def test_saving_keeps_it_and_double_is_double(self, tmp_path):
        x = rows(30, 5)
        model = gl.PCA(2, whiten=True).double()
        model.fit(x)
        model.save(tmp_path / "pca")
        again = gl.load(tmp_path / "pca")
        assert torch.equal(again.encode(x), model.encode(x))
        assert torch.equal(again.explained_variance_ratio, model.explained_variance_ratio)

    def test_training_rows_and_gradients_are_left_alone(self):
        x = rows(30, 5).float()
        before = x.clone()
        for method in METHODS:
            model = gl.PCA(2, method)
            model.fit(x)
            assert torch.equal(x, before)
        probe = x.clone().requires_grad_()
        model.reconstruct(probe).square().sum().backward()
        assert probe.grad.isfinite().all()

    def test_no_density_and_says_which_model_has_one(self):
        model = gl.PCA(2)
        model.fit(rows().float())
        assert model.density is gl.Density.NONE
        for ask in (lambda: model.log_prob(rows().float()), lambda: model.sample(3)):
            with pytest.raises(gl.CannotAnswerError, match="ProbabilisticPCA"):
                ask()

    def test_bad_input(self):
        x = rows(10, 4).float()
        for bad, words in [
            (gl.PCA(5), "components: expected at most 4, for 10 rows of 4 columns"),
            (gl.PCA(3), "components: expected at most 2, for 3 rows"),
        ]:
            data = x if bad.components == 5 else x[:3]
            with pytest.raises(ValueError, match=words):
                bad.fit(data)
        for data, words in [
            (x[:1], "at most 0, for 1 rows"),
            (x[:0], "at least one value"),
            (x.where(x != x[2, 1], math.nan), r"expected finite values, got nan at index \(2, 1\)"),
            (torch.ones(9, 3), "rows that are all the same"),
            (x[:, :, None], r"expected a matrix of shape \(N, d\)"),
        ]:
            for method in METHODS:
                model = gl.PCA(1, method)
                with pytest.raises(ValueError, match=words):
                    model.fit(data)
                assert model.event_shape is None
        with pytest.raises(TypeError, match=r"computes in torch\.float32, got torch\.float64"):
            gl.PCA(1).fit(x.double())
        for arguments, words in [
            ((0,), "components: expected at least 1"),
            ((2, "arpack"), "method: expected one of 'svd', 'eigen', 'randomized'"),
        ]:
            with pytest.raises(ValueError, match=words):
                gl.PCA(*arguments)
        with pytest.raises(TypeError, match="components: expected an integer"):
            gl.PCA(0.9)
        with pytest.raises(TypeError, match="whiten: expected True or False"):
            gl.PCA(2, whiten=1)
        with pytest.raises(gl.NotFittedError):
            gl.PCA(2).decode(torch.zeros(1, 2))
        model = gl.PCA(2)
        model.fit(x)
        with pytest.raises(ValueError, match=r"z: expected shape \(N, 2\)"):
            model.decode(torch.zeros(1, 3))


def megabytes_of_a_fit(method):
    gl.PCA(2, method).fit(torch.randn(100, 20))
    x = torch.randn(200_000, 200)
    return peak_memory(lambda: gl.PCA(10, method).fit(x), "cpu")


@pytest.fixture(scope="module")
def fitted():
    model = gl.ProbabilisticPCA(2).double()
    x = 3 * rows()  # σ² is not near 1: it is not taken for σ
    model.fit(x, valid=x[:20])
    return model, x


@pytest.mark.covers("L07")
class TestProbabilisticPCA:
    def test_covariance_is_scikit_learns(self, fitted):
        """Scikit-learn divides by N − 1."""
        model, x = fitted
        peer = PCA(2).fit(x.numpy())
        expected = torch.from_numpy(peer.get_covariance()) * (len(x) - 1) / len(x)
        torch.testing.assert_close(model.covariance(), expected)
        torch.testing.assert_close(model.mean, torch.from_numpy(peer.mean_))

    def test_density_is_the_normal_one(self, fitted):
        model, x = fitted
        expected = MultivariateNormal(model.mean, model.covariance()).log_prob(x)
        torch.testing.assert_close(model.log_prob(x), expected)

    @pytest.mark.parametrize("deviation", [1e-2, 1e-3, 1e-4])
    def test_float32_keeps_its_digits_where_noise_is_small(self, deviation):
        """Squared distances from the plane, in units of σ², and not differences of large squares.

        A row's coordinates are rounded by 6e-8 of their size, 10: against σ that is the error.
        """
        x = 3 * rows(200, 3) @ rows(3, 17, seed=1)
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(2)).double()
        wide = gl.ProbabilisticPCA(3, floor=1e-12).double()
        wide.fit(x + deviation * noise)
        model = gl.ProbabilisticPCA(3, floor=1e-12)
        model.load_state_dict({name: part.float() for name, part in wide.state_dict().items()})
        rounded = (x + deviation * noise).float()
        apart = model.log_prob(rounded).double() - model.double().log_prob(rounded.double())
        size = rounded.abs().max().item() * torch.finfo(torch.float32).eps / deviation
        assert apart.abs().max() < 17 * (10 * size + (10 * size) ** 2)

    def test_is_the_maximum_of_the_likelihood(self, fitted):
        """No step of a hundred random ones, in all parameters, raises it."""
        model, x = fitted
        best = model.log_prob(x).mean()
        torch.manual_seed(0)
        for _ in range(100):
            moved = gl.ProbabilisticPCA(2).double()
            moved.mean = model.mean + 0.01 * torch.randn(5, dtype=torch.float64)
            moved.weight = model.weight + 0.01 * torch.randn(5, 2, dtype=torch.float64)
            moved.variance = model.variance * (1 + 0.01 * torch.randn(()).double())
            assert moved.log_prob(x).mean() < best

    def test_gradients_of_the_likelihood_vanish(self, fitted):
        model, x = fitted
        mean, weight, variance = (
            part.clone().requires_grad_() for part in (model.mean, model.weight, model.variance)
        )
        covariance = weight @ weight.T + variance * torch.eye(5)
        MultivariateNormal(mean, covariance).log_prob(x).mean().backward()
        for part in (mean, weight, variance):
            assert part.grad.abs().max() < 1e-7

    def test_codes_are_gaussian_conditioning(self, fitted):
        model, x = fitted
        w, s = model.weight, model.covariance()
        torch.testing.assert_close(model.encode(x), (x - model.mean) @ torch.linalg.inv(s) @ w)
        expected = torch.eye(2) - w.T @ torch.linalg.inv(s) @ w
        torch.testing.assert_close(model.posterior_covariance(), expected)

    def test_samples_follow_and_saving_keeps(self, fitted, tmp_path):
        model, x = fitted
        gl.verify.samples_match(model, draws=30_000, cells=12)
        gl.verify.normalised(model, draws=30_000)
        model.save(tmp_path / "pca")
        assert torch.equal(gl.load(tmp_path / "pca").log_prob(x), model.log_prob(x))
        z = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
        torch.testing.assert_close(model.decode(z)[0], model.mean + model.weight @ z[0])

    def test_rows_in_a_plane_meet_the_floor(self):
        x = rows(50, 2) @ rows(2, 5, seed=1)
        model = gl.ProbabilisticPCA(2, floor=1e-4).double()
        model.fit(x)
        assert model.variance == 1e-4
        assert model.log_prob(x).isfinite().all()

    def test_directions_without_variance_have_no_weight(self):
        x = torch.zeros(20, 4)
        x[:, 0] = torch.randn(20, generator=torch.Generator().manual_seed(0))
        model = gl.ProbabilisticPCA(2, floor=0.01)
        model.fit(x)
        assert torch.equal(model.weight[:, 1], torch.zeros(4))
        assert model.log_prob(x).isfinite().all()

    def test_bad_input(self):
        with pytest.raises(ValueError, match="latent: expected fewer than the 5 dimensions"):
            gl.ProbabilisticPCA(5).double().fit(rows())
        with pytest.raises(ValueError, match="latent: expected at least 1"):
            gl.ProbabilisticPCA(0)
        for ask in ("covariance", "posterior_covariance"):
            with pytest.raises(gl.NotFittedError):
                getattr(gl.ProbabilisticPCA(2), ask)()


def with_gaps(n=60, d=5, gone=0.3, seed=1):
    x = rows(n, d)
    known = torch.rand(n, d, generator=torch.Generator().manual_seed(seed)) > gone
    known[0] = False  # a row of which nothing is known
    return x, known


@pytest.fixture(scope="module")
def with_missing():
    x, known = with_gaps()
    model = gl.ProbabilisticPCA(2).double()
    history = model.fit(x.where(known, 1e6), observed=known, tolerance=1e-9, iterations=5000)
    return model, x, known, history


@pytest.mark.covers("L07")
class TestMissingValues:
    def test_density_is_the_normal_one_of_the_known_values(self, with_missing):
        model, x, known, _ = with_missing
        found = model.marginal_log_prob(x.where(known, -1e6), known)
        assert abs(found[0]) < 1e-12
        for row, mask, value in zip(x[1:], known[1:], found[1:], strict=True):
            covariance = model.covariance()[mask][:, mask]
            expected = MultivariateNormal(model.mean[mask], covariance).log_prob(row[mask])
            torch.testing.assert_close(value, expected)
        every = torch.ones(5, dtype=torch.bool)
        torch.testing.assert_close(model.marginal_log_prob(x, every), model.log_prob(x))

    def test_prediction_is_gaussian_conditioning(self, with_missing):
        model, x, known, _ = with_missing
        found = model.predict_missing(x.where(known, 1e6), known)
        for row, mask, value in zip(x, known, found, strict=True):
            s = model.covariance()
            gain = s[:, mask] @ torch.linalg.inv(s[mask][:, mask])
            expected = model.mean + gain @ (row[mask] - model.mean[mask])
            torch.testing.assert_close(value, torch.where(mask, row, expected))

    def test_em_never_falls_and_says_what_it_reached(self, with_missing):
        model, x, known, history = with_missing
        losses = torch.tensor(history["loss"])
        assert len(losses) > 10
        assert (losses.diff() < 1e-12).all()
        reached = -model.marginal_log_prob(x, known).mean().item()
        assert history.last["loss"] == pytest.approx(reached, rel=1e-10)

    def test_the_end_is_a_maximum(self, with_missing):
        """The gradient of the likelihood of what is known, by Gaussian marginals and autograd."""
        model, x, known, _ = with_missing
        parts = [p.clone().requires_grad_() for p in (model.mean, model.weight, model.variance)]
        mean, weight, variance = parts
        covariance = weight @ weight.T + variance * torch.eye(5)
        total = 0
        for row, mask in zip(x[1:], known[1:], strict=True):
            normal = MultivariateNormal(mean[mask], covariance[mask][:, mask])
            total = total + normal.log_prob(row[mask])
        (total / len(x)).backward()
        for part in parts:
            assert part.grad.abs().max() < 1e-3

    def test_one_step_is_the_em_of_loops(self):
        """The M-step against sums over rows, entry by entry."""
        x, known = with_gaps(20)
        mean, weight, variance = rows(1, 5)[0], rows(5, 2, seed=3), torch.tensor(0.7).double()
        before = pca._Parameters(mean, weight, variance)
        _, found = pca._em_step(x.where(known, 0.0), known, before, 1e-9)
        moments = []
        for row, mask in zip(x, known, strict=True):
            w = weight[mask]
            cov = torch.linalg.inv(torch.eye(2) + w.T @ w / variance)
            z = cov @ w.T @ (row[mask] - mean[mask]) / variance
            moments.append(
                (torch.cat([z, torch.ones(1)]), torch.block_diag(cov, torch.zeros(1, 1)))
            )
        total = 0.0
        for j in range(5):
            a = sum(torch.outer(z, z) + c for (z, c), m in zip(moments, known, strict=True) if m[j])
            b = sum(z * row[j] for (z, _), row, m in zip(moments, x, known, strict=True) if m[j])
            slope = torch.linalg.solve(a, b)
            torch.testing.assert_close(found.weight[j], slope[:2])
            torch.testing.assert_close(found.mean[j], slope[2])
            for (z, c), row, m in zip(moments, x, known, strict=True):
                total += ((row[j] - slope @ z) ** 2 + slope @ c @ slope) * m[j]
        torch.testing.assert_close(found.variance, total / known.sum())

    def test_complete_rows_lead_to_the_closed_form(self):
        """From elsewhere EM climbs to it; from it, EM does not move."""
        x = rows(200, 4)
        known = torch.ones(200, 4, dtype=torch.bool)
        model = gl.ProbabilisticPCA(1).double()
        model.fit(x)
        stays = gl.ProbabilisticPCA(1).double()
        assert len(stays.fit(x, observed=known[0])) == 2
        torch.testing.assert_close(stays.covariance(), model.covariance())
        current = pca._Parameters(
            torch.zeros(4).double(), rows(4, 1, seed=5), torch.ones(()).double()
        )
        for _ in range(3000):
            log_p, current = pca._em_step(x, known, current, 1e-9)
        assert log_p / 200 == pytest.approx(model.log_prob(x).mean().item(), abs=1e-8)
        w = current.weight
        reached = w @ w.T + current.variance * torch.eye(4)
        torch.testing.assert_close(reached, model.covariance(), rtol=1e-4, atol=1e-4)

    def test_weight_is_in_its_usual_form(self, with_missing):
        model = with_missing[0]
        inner = model.weight.T @ model.weight
        assert inner[0, 1].abs() < 1e-9 * inner[0, 0]
        assert inner[0, 0] > inner[1, 1]

    def test_blocks_of_rows_add_up(self, monkeypatch):
        x, known = with_gaps()
        found = []
        for size in (2**20, 40):
            monkeypatch.setattr(pca, "_IN_CACHE", size)
            model = gl.ProbabilisticPCA(2).double()
            model.fit(x, observed=known, iterations=5)
            found.append((model.covariance(), model.predict_missing(x, known)))
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other)

    def test_float32_rows(self):
        x, known = with_gaps()
        model = gl.ProbabilisticPCA(2)
        model.fit(x.float(), observed=known, iterations=20)
        assert model.predict_missing(x.float(), known).dtype == torch.float32

    def test_bad_input(self):
        x, known = with_gaps()
        known[:, 3] = False
        model = gl.ProbabilisticPCA(2).double()
        with pytest.raises(ValueError, match=r"observed: .* got column 3 known in none"):
            model.fit(x, observed=known)
        with pytest.raises(TypeError, match=r"observed: expected a tensor of torch\.bool"):
            model.fit(x, observed=known.double())
        with pytest.raises(ValueError, match=r"observed: expected shape \(5,\), or \(60, 5\)"):
            model.fit(x, observed=known[:4])
        with pytest.raises(ValueError, match="iterations: expected at least 1"):
            model.fit(x, observed=known[0], iterations=0)
        assert model.event_shape is None
        with pytest.raises(gl.NotFittedError):
            model.predict_missing(x, known)
