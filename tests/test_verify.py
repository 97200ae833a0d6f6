"""Each check passes what is right, and fails what is wrong at the place where it is wrong."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import constraints

import genlib as gl
from genlib.core.discrete import States
from genlib.verify import VerificationError
from tests.core.toys import IsingRing, TrainedGaussian


class Autoregressive(gl.Model):
    """Binary logits from a weight matrix: causal where it is strictly lower triangular in the
    order.
    """

    density = gl.Density.EXACT
    support = constraints.boolean

    def __init__(self, size=6, order=None):
        super().__init__()
        self.event_shape = torch.Size([size])
        self.order = torch.arange(size) if order is None else torch.as_tensor(order)
        rank = self.order.argsort()
        mask = (rank[None] < rank[:, None]).float()
        self.weight = nn.Parameter(mask * torch.randn(size, size))
        self.bias = nn.Parameter(torch.randn(size))

    def conditionals(self, x):
        return torch.sigmoid(x @ self.weight.T + self.bias)

    def _log_prob(self, x):
        return torch.distributions.Bernoulli(self.conditionals(x)).log_prob(x).sum(1)

    def _sample(self, n, generator):
        x = torch.zeros(n, *self.event_shape)
        for i in self.order:
            x[:, i] = torch.bernoulli(self.conditionals(x)[:, i], generator=generator)
        return x


class Pair(gl.Model):
    """Two variables of two and three states, by one table."""

    density = gl.Density.EXACT
    support = States((2, 3))
    event_shape = torch.Size([2])
    stated = torch.tensor([[0.1, 0.2, 0.05], [0.3, 0.0, 0.35]])
    drawn = stated

    def _log_prob(self, x):
        return self.stated[tuple(x.long().T)].log()

    def _sample(self, n, generator):
        number = torch.multinomial(self.drawn.flatten(), n, True, generator=generator)
        return torch.stack([number // 3, number % 3], 1).float()


@pytest.fixture(autouse=True)
def _seed():
    gl.seed(0)


class TestCausal:
    @pytest.mark.parametrize("order", [None, [3, 0, 5, 1, 2, 4]])
    def test_passes_a_causal_model(self, order):
        gl.verify.causal(Autoregressive(order=order))

    @pytest.mark.parametrize(("output", "given"), [(1, 4), (0, 5), (2, 3)])
    def test_finds_every_leak_from_the_future(self, output, given):
        model = Autoregressive()
        model.weight.data[output, given] = 0.01
        with pytest.raises(
            VerificationError, match=f"output {output} depends on input {given}.*sees its future"
        ):
            gl.verify.causal(model)

    def test_finds_an_output_that_sees_itself(self):
        model = Autoregressive()
        model.weight.data[3, 3] = -0.2
        with pytest.raises(VerificationError, match=r"output 3 depends on input 3.*type A"):
            gl.verify.causal(model)

    def test_the_order_is_the_model_s(self):
        model = Autoregressive(order=[5, 4, 3, 2, 1, 0])
        model.order = torch.arange(6)
        with pytest.raises(VerificationError):
            gl.verify.causal(model)

    @pytest.mark.parametrize("support", [constraints.real, constraints.unit_interval])
    def test_other_supports_and_image_shapes(self, support):
        class Picture(gl.Model):
            event_shape = torch.Size([1, 3, 3])
            shift = 1

            def conditionals(self, x):
                return x.flatten(1).cumsum(1).roll(self.shift, 1).reshape(x.shape) * (
                    torch.arange(9) > 0
                ).reshape(1, 3, 3)

        model = Picture()
        model.support = support
        gl.verify.causal(model)
        model.shift = 0
        with pytest.raises(VerificationError, match="output 1 depends on input 1"):
            gl.verify.causal(model)

    @pytest.mark.parametrize("support", [constraints.boolean, States((2, 3, 4, 5))])
    @pytest.mark.parametrize("place", range(4))
    def test_tries_other_events_of_a_discrete_support(self, support, place):
        """Whatever state the random events hold, the one tried beside it differs, and is one."""

        class Own(gl.Model):
            event_shape = torch.Size([4])

            def conditionals(self, x):
                self.check(x)
                return x * (torch.arange(4) == place)

        model = Own()
        model.support = support
        for _ in range(10):
            with pytest.raises(VerificationError, match=f"output {place} depends on input {place}"):
                gl.verify.causal(model, rows=1)


class Scaled(TrainedGaussian):
    """A Gaussian whose log_prob is off by a constant."""

    shift = 0.0

    def _log_prob(self, x):
        return super()._log_prob(x) + self.shift


class TestNormalised:
    def test_passes_exact_models(self):
        gl.verify.normalised(Autoregressive())
        gl.verify.normalised(IsingRing(8))
        gl.verify.normalised(Pair())
        gl.verify.normalised(TrainedGaussian(4))

    @pytest.mark.parametrize("shift", [-0.05, 0.05, math.log(2)])
    def test_finds_a_constant_off(self, shift):
        model = Scaled(3)
        model.shift = shift
        with pytest.raises(
            VerificationError, match=r"integrates to .* not to 1; the normalising constant"
        ):
            gl.verify.normalised(model)

    def test_finds_a_mass_that_does_not_sum(self):
        model = Autoregressive()
        model.weight.data[0, 5] = (
            1.0  # a cycle: the product of conditionals is no longer a distribution
        )
        with pytest.raises(VerificationError, match="probabilities of all 64 events sum to"):
            gl.verify.normalised(model)

    @pytest.mark.parametrize("factor", [0.99, 1.01])
    def test_finds_a_mass_over_more_than_two_states_that_does_not_sum(self, factor):
        model = Pair()
        model.stated = model.stated * factor
        with pytest.raises(
            VerificationError, match=f"probabilities of all 6 events sum to {factor:g}, not to 1"
        ):
            gl.verify.normalised(model)

    @pytest.mark.parametrize("check", [gl.verify.normalised, gl.verify.samples_match])
    @pytest.mark.parametrize("support", [States((3,) * 13), constraints.nonnegative_integer])
    def test_events_too_many_to_list_are_refused_in_words(self, check, support):
        class Many(Pair):
            event_shape = torch.Size([13])

            def _sample(self, n, generator):
                return torch.zeros(n, 13)

        Many.support = support
        with pytest.raises(
            ValueError, match=r"at most 2\*\*20 .* 13 values in \{.*too many to list"
        ):
            check(Many())

    def test_around_serves_models_that_cannot_draw(self):
        class NoDraws(gl.Model):
            density = gl.Density.EXACT
            event_shape = torch.Size([2])

            def _log_prob(self, x):
                return -0.5 * (x**2).sum(1) - math.log(2 * math.pi)

        gl.verify.normalised(NoDraws(), around=torch.randn(100, 2))


class TestSamplesMatch:
    def test_passes_exact_models(self):
        gl.verify.samples_match(Autoregressive())
        gl.verify.samples_match(Pair())
        gl.verify.samples_match(TrainedGaussian(3))

    def test_finds_samples_that_are_too_wide(self):
        class Wide(TrainedGaussian):
            def _sample(self, n, generator):
                return 1.1 * super()._sample(n, generator)

        with pytest.raises(VerificationError, match="different distributions"):
            gl.verify.samples_match(Wide(3))

    def test_finds_a_wrong_bit(self):
        class Flipped(Autoregressive):
            def _sample(self, n, generator):
                x = super()._sample(n, generator)
                x[: n // 4, 2] = 1 - x[: n // 4, 2]
                return x

        with pytest.raises(
            VerificationError, match=r"event \((?:[01], ){5}[01]\) is drawn .* times"
        ):
            gl.verify.samples_match(Flipped())

    @pytest.mark.parametrize("first", [0, 1])
    def test_finds_a_wrong_share_among_more_than_two_states(self, first):
        """In row 1, draws of an event that should never come."""
        model = Pair()
        moved = torch.tensor([-0.03, 0.03, 0])
        model.drawn = model.stated + moved * (torch.arange(2) == first)[:, None]
        with pytest.raises(
            VerificationError, match=rf"event \({first}, [01]\) is drawn \d+ times in 50000"
        ):
            gl.verify.samples_match(model)


class TestGradient:
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double()

    @staticmethod
    def energy(x):
        return (x**4).sum(1) + x[:, 0] * x[:, 1]

    @staticmethod
    def exact(x):
        return 4 * x**3 + torch.stack([x[:, 1], x[:, 0], 0 * x[:, 2]], 1)

    def test_passes_autograd_and_a_right_formula(self):
        gl.verify.gradient(self.energy, self.x)
        gl.verify.gradient(self.energy, self.x, self.exact)

    @pytest.mark.parametrize(
        ("claimed", "words"),
        [
            (lambda x: -TestGradient.exact(x), "every sign is reversed"),
            (lambda x: TestGradient.exact(x) / 2, "off by a factor of 0.5"),
            (lambda x: 4 * x**3, r"at index \(0, 0\)"),
            (
                lambda x: TestGradient.exact(x)[:, :2],
                r"expected a gradient of shape \(4, 3\), got \(4, 2\)",
            ),
            (
                lambda x: TestGradient.exact(x) * float("nan"),
                r"at index \(0, 0\) the gradient is nan",
            ),
        ],
    )
    def test_finds_what_is_wrong(self, claimed, words):
        with pytest.raises(VerificationError, match=words):
            gl.verify.gradient(self.energy, self.x, claimed)


class TestDetailedBalance:
    states = gl.binary_events(2)
    log_pi = torch.tensor([0.1, 0.2, 0.3, 0.4]).log()

    def log_prob(self, x):
        return self.log_pi[(2 * x[:, 0] + x[:, 1]).long()]

    def metropolis(self, x, temperature=1.0):
        flip = torch.nn.functional.one_hot(torch.randint(2, (len(x),)), 2)
        proposal = (x - flip).abs()
        accept = (
            torch.rand(len(x)).log() < (self.log_prob(proposal) - self.log_prob(x)) / temperature
        )
        return torch.where(accept[:, None], proposal, x)

    def test_passes_metropolis(self):
        gl.verify.detailed_balance(self.metropolis, self.log_prob, self.states)

    def test_finds_a_wrong_acceptance_ratio(self):
        with pytest.raises(
            VerificationError, match=r"states \(0, 1\).*look at the acceptance ratio"
        ):
            gl.verify.detailed_balance(
                lambda x: self.metropolis(x, 2.0), self.log_prob, self.states
            )

    def test_finds_a_one_way_street(self):
        def rotate(x):
            code = (2 * x[:, 0] + x[:, 1] + 1) % 4
            return torch.stack([code // 2, code % 2], 1)

        with pytest.raises(VerificationError, match=r"4000 steps there and 0 back"):
            gl.verify.detailed_balance(rotate, self.log_prob, self.states)

    def test_finds_a_step_out_of_the_states(self):
        with pytest.raises(VerificationError, match="not in states"):
            gl.verify.detailed_balance(lambda x: x + 2, self.log_prob, self.states)
