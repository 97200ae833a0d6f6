"""`estimate` and `bound` on a linear Gaussian model with hidden units, whose log p(x) is known in
closed form: right ones pass, and those that are wrong on purpose do not.
"""

import math

import pytest
import torch
from scipy import stats
from torch.distributions import MultivariateNormal, Normal, kl_divergence

import genlib as gl
from genlib import Estimate
from genlib.verify import VerificationError
from tests.verify.toys import DEVICE, failures


class LinearGaussian(gl.LatentVariableModel):
    """z ~ N(0, I) of two values, x = W z + b + σ ε of four; q(z | x) is the posterior, its mean
    moved by ``shift`` and its standard deviations multiplied by ``width``.
    """

    event_shape = torch.Size([4])

    def __init__(self, shift=0.3, width=1.3, dtype=torch.float32):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.register_buffer("w", torch.randn(4, 2, generator=generator).to(DEVICE, dtype))
        self.register_buffer("b", torch.randn(4, generator=generator).to(DEVICE, dtype))
        self.noise, self.shift, self.width = 0.7, shift, width
        self.prior = Normal(torch.zeros(2).to(self.b), 1)
        precision = torch.eye(2).to(self.b) + self.w.T @ self.w / self.noise**2
        self.covariance = precision.inverse()

    def rows(self, n):
        generator = torch.Generator().manual_seed(2)
        return torch.randn(n, 4, generator=generator).to(self.b) + self.b

    def exact(self, x):
        covariance = self.w @ self.w.T + self.noise**2 * torch.eye(4).to(x)
        return MultivariateNormal(self.b.double(), covariance.double()).log_prob(x.double()).to(x)

    def posterior(self, x):
        mean = (x - self.b) @ self.w @ self.covariance / self.noise**2
        return MultivariateNormal(mean + self.shift, self.width**2 * self.covariance)

    def _log_weights(self, x, samples, generator):
        q = self.posterior(x)
        z = q.sample((samples,))
        likelihood = Normal(z @ self.w.T + self.b, self.noise).log_prob(x).sum(-1)
        return likelihood + self.prior.log_prob(z).sum(-1) - q.log_prob(z)

    def reconstruction(self, x):
        z = self.posterior(x).sample()
        return Normal(z @ self.w.T + self.b, self.noise).log_prob(x).sum(-1)

    def elbo_with_exact_divergence(self, x):
        prior = MultivariateNormal(torch.zeros(2).to(x), torch.eye(2).to(x))
        return self.reconstruction(x) - kl_divergence(self.posterior(x), prior)


class TestEstimate:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_passes_importance_sampling(self, dtype):
        model = LinearGaussian(dtype=dtype)
        x = model.rows(200)
        gl.verify.estimate(model.estimate_log_prob(x, samples=2000), model.exact(x))
        gl.verify.estimate(
            model.estimate_log_prob(x, samples=2000), model.exact(x), independent=False
        )

    @pytest.mark.parametrize(("factor", "word"), [(0.5, "small"), (2.0, "large")])
    def test_finds_errors_halved_and_doubled(self, factor, word):
        """The factor is told to within five standard errors: a quarter, of 200 estimates."""
        model = LinearGaussian()
        x = model.rows(200)
        found = model.estimate_log_prob(x, samples=2000)
        with pytest.raises(VerificationError, match=f"errors are too {word} by a factor") as error:
            gl.verify.estimate(found._replace(error=factor * found.error), model.exact(x))
        told = float(str(error.value).split("by a factor of ")[1].split(";")[0])
        assert 1.6 < told < 2.5

    def test_finds_errors_that_forget_the_number_of_draws(self):
        model = LinearGaussian()
        x = model.rows(200)
        found = model.estimate_log_prob(x, samples=2000)
        with pytest.raises(
            VerificationError, match=r"at index .* errors are too small by a factor"
        ):
            gl.verify.estimate(found._replace(error=found.error / 40), model.exact(x))

    def test_finds_a_missing_log_of_k(self):
        model = LinearGaussian()
        x = model.rows(200)
        found = model.estimate_log_prob(x, samples=2000)
        with pytest.raises(
            VerificationError,
            match=r"at index \(0,\) the estimate is .* off by about \+7\.60?.*of K",
        ):
            gl.verify.estimate(found._replace(value=found.value + math.log(2000)), model.exact(x))

    def test_finds_one_entry_among_many(self):
        model = LinearGaussian()
        x = model.rows(200)
        value, error = model.estimate_log_prob(x, samples=2000)
        value[17] += 10 * error[17]
        with pytest.raises(VerificationError, match=r"index \(17,\).*drawn for this entry"):
            gl.verify.estimate(Estimate(value, error), model.exact(x))

    def test_entries_that_share_draws(self):
        truth = torch.arange(100.0)
        shared = Estimate(truth + 0.3, torch.full((100,), 0.1))
        gl.verify.estimate(shared, truth, independent=False)
        with pytest.raises(VerificationError, match="say independent=False"):
            gl.verify.estimate(shared, truth)
        off = Estimate(truth + 0.7, torch.full((100,), 0.1))
        with pytest.raises(VerificationError, match=r"at index \(0,\)"):
            gl.verify.estimate(off, truth, independent=False)

    def test_numbers_without_error_are_right_or_wrong(self):
        truth = torch.tensor([[-3.0, 2.0]])
        none = torch.zeros(1, 2)
        gl.verify.estimate(Estimate(truth, none), truth)
        gl.verify.estimate(Estimate(truth * (1 + 1e-6), none), truth)
        with pytest.raises(
            VerificationError, match=r"at index \(0, 0\) .* inf standard errors off"
        ):
            gl.verify.estimate(Estimate(truth * 1.001, none), truth)

    def test_a_posterior_without_error_has_rounded_weights(self):
        """Where q is exact all weights agree, and standard errors are those of rounding."""
        model = LinearGaussian(shift=0, width=1)
        x = model.rows(200)
        gl.verify.estimate(model.estimate_log_prob(x, samples=2000), model.exact(x))

    def test_single_numbers(self):
        gl.verify.estimate(Estimate(3.0, 0.1), 3.1)
        with pytest.raises(VerificationError, match=r"at index \(\) the estimate is 3 ± 0.1"):
            gl.verify.estimate(Estimate(3.0, 0.1), torch.tensor(4.0))

    @pytest.mark.parametrize("independent", [True, False])
    def test_false_alarms_are_as_rare_as_stated(self, monkeypatch, independent):
        """At a rate of one in ten: 400 calls, with a false-alarm rate of 1e-6."""
        truth = torch.linspace(-5, 5, 30)
        error = torch.linspace(0.1, 2, 30)

        def check():
            found = Estimate(truth + error * torch.randn(30), error)
            gl.verify.estimate(found, truth, independent)

        assert 0 < failures(check, 400, monkeypatch) <= stats.binom.isf(1e-6, 400, 0.1)

    @pytest.mark.parametrize(
        ("value", "error", "words"),
        [
            (0.0, math.nan, r"the error at index \(1,\) is nan: .* one draw alone has none"),
            (0.0, -0.1, "is -0.1: "),
            (0.0, math.inf, "the error at index .* is inf"),
            (math.nan, 0.1, r"the value at index \(1,\) is nan"),
            (-math.inf, 0.1, "the value at index .* is -inf"),
        ],
    )
    def test_finds_what_is_no_estimate(self, value, error, words):
        found = Estimate(torch.tensor([0.0, value]), torch.tensor([1.0, error]))
        with pytest.raises(VerificationError, match=words):
            gl.verify.estimate(found, torch.zeros(2))

    @pytest.mark.parametrize(
        ("found", "truth", "error", "words"),
        [
            (torch.zeros(2), torch.zeros(2), TypeError, "a value and an error, got Tensor"),
            (None, torch.zeros(2), TypeError, "a value and an error, got NoneType"),
            (
                Estimate(torch.zeros(3), torch.ones(3)),
                torch.zeros(3, 1),
                ValueError,
                r"of one shape, got \(3,\), \(3,\) and \(3, 1\)",
            ),
            (Estimate(torch.zeros(3), torch.tensor(1.0)), torch.zeros(3), ValueError, "one shape"),
            (Estimate(torch.zeros(3), torch.ones(3)), torch.zeros(3) / 0, ValueError, "truth: "),
            (Estimate(torch.zeros(0), torch.ones(0)), torch.zeros(0), ValueError, "at least one"),
            (Estimate("a", 1.0), 1.0, TypeError, "value: expected a tensor or a number, got str"),
        ],
    )
    def test_bad_input(self, found, truth, error, words):
        with pytest.raises(error, match=words):
            gl.verify.estimate(found, truth)

    def test_a_flag_is_a_flag(self):
        with pytest.raises(TypeError, match="independent: expected True or False"):
            gl.verify.estimate(Estimate(3.0, 0.1), 3.1, independent="no")


class TestBound:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("width", [1.0, 0.7, 1.5])
    @pytest.mark.parametrize("shift", [0.0, 0.3])
    def test_passes_lower_bounds(self, shift, width, dtype):
        """Tight ones too: with the exact posterior, the ELBO is log p(x) up to rounding, and with
        the divergence in closed form log p(x) plus noise.
        """
        model = LinearGaussian(shift, width, dtype)
        x = model.rows(10)
        for lower in (model.elbo, model.iwae, model.elbo_with_exact_divergence):
            gl.verify.bound(lower, x, model.exact(x), draws=150)

    def test_finds_a_missing_log_of_k(self):
        model = LinearGaussian()
        x = model.rows(20)
        with pytest.raises(VerificationError, match=r"row 0 .* off by about \+\d.*log of K"):
            gl.verify.bound(lambda x: model.iwae(x, samples=5) + math.log(5), x, model.exact(x))

    def test_finds_a_divergence_that_is_left_out(self):
        model = LinearGaussian()
        x = model.rows(20)
        with pytest.raises(VerificationError, match="above the truth"):
            gl.verify.bound(model.reconstruction, x, model.exact(x))

    def test_finds_one_row_among_many(self):
        model = LinearGaussian(shift=0, width=1)
        x = model.rows(20)
        moved = 0.05 * (torch.arange(20, device=x.device) == 7)
        with pytest.raises(VerificationError, match=r"the bound of row 7 averages"):
            gl.verify.bound(lambda x: model.elbo(x) + moved, x, model.exact(x))

    def test_weights_that_are_mostly_a_little_too_large(self):
        """E w = 1, and yet most sets of draws show nothing but log w > 0: no reason to fail."""

        def log_w(x):
            rare = torch.rand(len(x)) < 1e-5
            return torch.where(rare, -torch.inf, -math.log1p(-1e-5))

        x = torch.zeros(50, 1, dtype=torch.float64)
        gl.verify.bound(lambda x: log_w(x).double(), x, x[:, 0])

    @pytest.mark.parametrize("gap", [0.0, 0.5])
    def test_false_alarms_are_as_rare_as_stated(self, monkeypatch, gap):
        """At a rate of one in ten: 100 calls, with a false-alarm rate of 1e-6; with noise around
        the truth, and with log-normal weights.
        """
        x = torch.zeros(5, 1, dtype=torch.float64)

        def check():
            gl.verify.bound(lambda x: torch.randn(5).double() - gap, x, x[:, 0], draws=100)

        assert failures(check, 100, monkeypatch) <= stats.binom.isf(1e-6, 100, 0.1)

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_finds_what_bounds_nothing(self, value):
        with pytest.raises(VerificationError, match=f"the bound of row 0 is {value}"):
            gl.verify.bound(lambda x: x[:, 0] + value, torch.zeros(3, 1), torch.zeros(3))

    def test_minus_infinity_is_a_lower_bound(self):
        gl.verify.bound(lambda x: x[:, 0] - math.inf, torch.zeros(3, 1), torch.zeros(3))

    @pytest.mark.parametrize(
        ("lower", "truth", "draws", "error", "words"),
        [
            (lambda x: x.sum(), torch.zeros(3), 1000, ValueError, r"shape \(3,\), got \(\)"),
            (lambda x: 0.0, torch.zeros(3), 1000, ValueError, "lower: .* got float"),
            (lambda x: x[:, 0], torch.zeros(3, 1), 1000, ValueError, r"truth: .* got \(3, 1\)"),
            (lambda x: x[:, 0], torch.zeros(3) / 0, 1000, ValueError, "truth: expected finite"),
            (lambda x: x[:, 0], [0.0] * 3, 1000, TypeError, "truth: expected a torch.Tensor"),
            (lambda x: x[:, 0], torch.zeros(3), 1, ValueError, r"draws: expected at least 10\d"),
            (lambda x: x[:, 0], torch.zeros(3), None, TypeError, "draws: expected an integer"),
        ],
    )
    def test_bad_input(self, lower, truth, draws, error, words):
        with pytest.raises(error, match=words):
            gl.verify.bound(lower, torch.zeros(3, 1), truth, draws)

    def test_no_rows(self):
        with pytest.raises(ValueError, match="x: expected at least one value"):
            gl.verify.bound(lambda x: x[:, 0], torch.zeros(0, 1), torch.zeros(0))
