"""Probabilistic PCA against its closed forms, scikit-learn and Gaussian conditioning."""

import pytest
import torch
from sklearn.decomposition import PCA
from torch.distributions import MultivariateNormal

import genlib as gl


def rows(n=300, d=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x @ torch.randn(d, d, generator=generator, dtype=torch.float64) + torch.arange(d)


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
