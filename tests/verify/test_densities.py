"""`normalised` and `samples_match` pass what is right, and fail what is wrong at the place where it
is wrong; and never pass for want of a look.
"""

import math

import pytest
import torch
from scipy import stats
from torch import nn
from torch.distributions import constraints

import genlib as gl
from genlib.core.discrete import Levels, States
from genlib.verify import VerificationError
from genlib.verify._importance import Proposal, cell_p_values, log_probs
from tests.core.toys import IsingRing, TrainedGaussian, TugOfWar
from tests.parameters import scattered
from tests.verify.toys import DEVICE, Autoregressive, Pair, failures

BOTH = pytest.mark.parametrize("check", [gl.verify.normalised, gl.verify.samples_match])


class Scaled(TrainedGaussian):
    """A Gaussian whose log_prob is off by a constant."""

    shift = 0.0

    def _log_prob(self, x):
        return super()._log_prob(x) + self.shift


class Triangle(gl.Model):
    """Two values in [0, 1] with density 4 x₁ x₂, by a formula that goes on outside."""

    density = gl.Density.EXACT
    support = constraints.unit_interval
    event_shape = torch.Size([2])
    factor = 4.0
    power = 0.5

    def _log_prob(self, x):
        return math.log(self.factor) + x.abs().log().sum(1)

    def _sample(self, n, generator):
        return torch.rand(n, 2, generator=generator) ** self.power


class Picture(gl.Model):
    """Normal pixels of an image (1, 2, 2), each with a mean and a scale of its own."""

    density = gl.Density.EXACT
    event_shape = torch.Size([1, 2, 2])
    stretch = 1.0

    def __init__(self):
        super().__init__()
        self.loc = nn.Parameter(torch.arange(4.0).reshape(1, 2, 2))
        self.scale = nn.Parameter(0.5 + torch.arange(4.0).reshape(1, 2, 2))

    def _log_prob(self, x):
        return torch.distributions.Normal(self.loc, self.scale).log_prob(x).flatten(1).sum(1)

    def _sample(self, n, generator):
        noise = gl.core.random.normal((n, 1, 2, 2), self.loc, generator)
        return self.loc + self.stretch * self.scale * noise


class Grey(gl.Model):
    """Two pixels of three levels, by one table."""

    density = gl.Density.EXACT
    support = Levels(3)
    event_shape = torch.Size([1, 1, 2])
    stated = torch.tensor([[0.1, 0.2, 0.05], [0.1, 0.1, 0.2], [0.05, 0.05, 0.15]])
    drawn = stated

    def _log_prob(self, x):
        return self.stated[tuple((2 * x.flatten(1)).long().T)].log()

    def _sample(self, n, generator):
        number = torch.multinomial(self.drawn.flatten(), n, True, generator=generator)
        return torch.stack([number // 3, number % 3], 1).reshape(n, 1, 1, 2) / 2


def coins(stated, drawn):
    """``size`` independent bits: their probabilities of a one as stated, and as drawn."""

    class Coins(gl.Model):
        density = gl.Density.EXACT
        support = constraints.boolean
        event_shape = stated.shape

        def _log_prob(self, x):
            return torch.distributions.Bernoulli(stated).log_prob(x).sum(1)

        def _sample(self, n, generator):
            return torch.bernoulli(drawn.expand(n, -1), generator=generator)

    return Coins()


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
        # A cycle: the product of conditionals is no longer a distribution.
        model.weight.data[0, 5] = 1.0
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

    def test_around_serves_models_that_cannot_draw(self):
        class NoDraws(gl.Model):
            density = gl.Density.EXACT
            event_shape = torch.Size([2])

            def _log_prob(self, x):
                return -0.5 * (x**2).sum(1) - math.log(2 * math.pi)

        gl.verify.normalised(NoDraws(), 10_000, around=torch.randn(100, 2))
        # Every part of the rows counts, not the first of them alone.
        twins = torch.cat([torch.randn(1000, 2), torch.randn(1000, 2) + 8])

        class Twins(NoDraws):
            def _log_prob(self, x):
                parts = [super(Twins, self)._log_prob(x - place) for place in (0, 8)]
                return torch.logsumexp(torch.stack(parts), 0) - math.log(2)

        gl.verify.normalised(Twins(), 10_000, around=twins)

    def test_far_from_the_origin(self):
        """Squared distances of 1e9 have no digits left for a scale of one."""
        model = Picture().double()
        model.loc.data += 1e9
        gl.verify.normalised(model, draws=10_000)

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_what_is_no_probability(self, value):
        model = Scaled(2)
        model.shift = value
        with pytest.raises(VerificationError, match=f"log_prob is {value} at .*not a number"):
            gl.verify.normalised(model)
        model = Pair()
        model.stated = model.stated + value
        with pytest.raises(VerificationError, match=rf"sum to {value}, .*not a number"):
            gl.verify.normalised(model)

    @pytest.mark.parametrize("shift", [-1000, 1000])
    def test_a_constant_beyond_all_floats(self, shift):
        model = Scaled(2)
        model.shift = shift
        with pytest.raises(VerificationError, match=r"integrates to (0|inf) "):
            gl.verify.normalised(model, draws=5000)

    def test_false_alarms_are_as_rare_as_stated(self, monkeypatch):
        """At a rate of one in ten: 60 calls, with a false-alarm rate of 1e-6."""
        model = TrainedGaussian(2)
        count = failures(lambda: gl.verify.normalised(model, draws=3000), 60, monkeypatch)
        assert 0 < count <= stats.binom.isf(1e-6, 60, 0.1)


class TestSamplesMatch:
    def test_passes_exact_models(self):
        gl.verify.samples_match(Autoregressive())
        gl.verify.samples_match(Pair())
        gl.verify.samples_match(TrainedGaussian(3))

    @pytest.mark.parametrize("stretch", [0.9, 1.1])
    def test_finds_samples_of_another_width(self, stretch):
        class Wide(TrainedGaussian):
            def _sample(self, n, generator):
                return stretch * super()._sample(n, generator)

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

    def test_finds_a_wrong_value_where_events_are_too_many_to_come_often(self):
        """65,536 equal events: each comes less than once, and a value's own share tells."""
        fair = torch.full((16,), 0.5)
        gl.verify.samples_match(coins(fair, fair))
        loaded = fair + 0.03 * (torch.arange(16) == 3)
        with pytest.raises(VerificationError, match=r"value 3 is in state 0 2\d{4} times in 50000"):
            gl.verify.samples_match(coins(fair, loaded))

    def test_rounded_certainty_is_no_promise(self):
        """1 − 1e-7 is rounded to 1, and may still fail to happen once in a while."""

        class AlmostSure(gl.Model):
            density = gl.Density.EXACT
            support = constraints.boolean
            event_shape = torch.Size([1])

            def _log_prob(self, x):
                return torch.where(x[:, 0] == 0, 0.0, -16.0)

            def _sample(self, n, generator):
                return (torch.arange(n) == 7).float()[:, None]

        gl.verify.normalised(AlmostSure())
        gl.verify.samples_match(AlmostSure())

    @pytest.mark.parametrize("dim", [1, 3])
    def test_false_alarms_are_as_rare_as_stated(self, monkeypatch, dim):
        """At a rate of one in ten: 60 calls, with a false-alarm rate of 1e-6."""
        model = TrainedGaussian(dim)

        def check():
            gl.verify.samples_match(model, draws=4000, cells=8)

        assert 0 < failures(check, 60, monkeypatch) <= stats.binom.isf(1e-6, 60, 0.1)

    def test_false_alarms_among_listed_events(self, monkeypatch):
        """At a rate of one in ten: 200 calls, with a false-alarm rate of 1e-6."""
        model = Pair()
        count = failures(lambda: gl.verify.samples_match(model, draws=2000), 200, monkeypatch)
        assert 0 < count <= stats.binom.isf(1e-6, 200, 0.1)

    def test_finds_samples_that_are_no_events(self):
        model = Triangle()
        model._sample = lambda n, generator: 1.5 * torch.rand(n, 2)
        with pytest.raises(VerificationError, match=r"no event of the model. samples: .*\[0, 1\]"):
            gl.verify.samples_match(model)
        model = Pair()
        model._sample = lambda n, generator: torch.full((n, 2), 2.0)
        with pytest.raises(VerificationError, match="no event of the model"):
            gl.verify.samples_match(model)
        model._sample = lambda n, generator: torch.zeros(3, 2)
        with pytest.raises(VerificationError, match="asked for 50000 events and drew 3"):
            gl.verify.samples_match(model)

    def test_finds_probabilities_that_are_none(self):
        model = Pair()
        model.stated = model.stated * math.nan
        with pytest.raises(VerificationError, match="one expect nan"):
            gl.verify.samples_match(model)
        model = Scaled(2)
        model.shift = 1000.0
        with pytest.raises(VerificationError, match="inf of the density"):
            gl.verify.samples_match(model)


class TestSupports:
    @pytest.mark.parametrize(("levels", "shape"), [(3, (1, 1, 2)), (5, (1, 2, 2)), (2, (1, 3, 3))])
    @BOTH
    def test_pixels_of_few_levels_are_listed(self, check, levels, shape):
        model = scattered(gl.PixelCNN(shape, 4, 1, levels=levels), 0.5)
        check(model)
        log_prob = model._log_prob
        model._log_prob = lambda x: 1.1 * log_prob(x)
        with pytest.raises(
            VerificationError, match=f"{levels ** math.prod(shape)} events sum|draw"
        ):
            check(model)

    def test_finds_a_wrong_level(self):
        model = Grey()
        gl.verify.normalised(model)
        gl.verify.samples_match(model)
        model.drawn = model.stated + torch.tensor([[0, 0, 0], [-0.02, 0, 0.02], [0, 0, 0]])
        with pytest.raises(VerificationError, match=r"event \(0.5, [01]\) is drawn"):
            gl.verify.samples_match(model)

    @BOTH
    def test_nobody_is_asked_outside_the_support(self, check):
        model = Triangle()
        check(model, draws=10_000)
        model.factor = 6.0
        with pytest.raises(VerificationError, match=r"integrates to 1\.|different distributions"):
            check(model, draws=10_000)

    def test_finds_samples_that_crowd_in_an_interval(self):
        model = Triangle()
        model.power = 0.43
        with pytest.raises(VerificationError, match="different distributions"):
            gl.verify.samples_match(model, draws=20_000)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_images_of_either_dtype(self, dtype):
        model = Picture().to(DEVICE, dtype)
        gl.verify.normalised(model, draws=10_000)
        gl.verify.samples_match(model, draws=10_000)
        gl.verify.normalised(model, draws=10_000, around=model.sample(500))
        model.stretch = 1.25
        with pytest.raises(VerificationError, match="different distributions"):
            gl.verify.samples_match(model, draws=10_000)

    def test_a_generator_repeats_what_is_found(self):
        def found():
            model = Scaled(2)
            model.shift = 0.2
            with pytest.raises(VerificationError) as error:
                gl.verify.normalised(model, 5000, generator=torch.Generator().manual_seed(3))
            return str(error.value)

        assert found() == found()

    @BOTH
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


def test_the_proposal_draws_from_the_density_that_it_states():
    """Around two far points: its density by scipy, and the share of draws in a box about one of
    them, in a test with a false-alarm rate of 1e-6.
    """
    around = torch.tensor([[0.0, 0.0], [100.0, 30.0]]).repeat(50, 1)
    proposal = Proposal(TrainedGaussian(2), 20_000, around, None)
    x = torch.tensor([[0.5, 0.1], [-40.0, 7.0], [99.0, 31.0], [400.0, -300.0]]).double()
    expected = 0
    for scale, share in zip(proposal.scales, proposal.shares, strict=True):
        for point in ([0, 0], [100, 30]):
            t = stats.multivariate_t(point, torch.diag(scale**2).numpy(), df=5)
            expected = expected + share.item() / 2 * t.pdf(x)
    torch.testing.assert_close(proposal._log_density(x).exp(), torch.tensor(expected))

    box, share = [20.0, 6.0], 0
    for scale, weight in zip(proposal.scales, proposal.shares, strict=True):
        for point in ([0, 0], [100, 30]):
            t = stats.multivariate_t(point, torch.diag(scale**2).numpy(), df=5)
            low = [-20.0, -6.0]
            share += weight.item() / 2 * t.cdf(box, lower_limit=low, random_state=0)
    drawn = proposal._draw()
    inside = (drawn.abs() < torch.tensor(box)).all(1).sum().item()
    assert stats.binomtest(inside, len(drawn), share).pvalue > 1e-6


@pytest.mark.parametrize("weight", [1.0, 2.0, 0.25])
def test_cells_of_equal_weights_are_compared_by_exact_binomial_tests(weight):
    """Of k samples and m draws that stand for ``weight`` of them each."""
    m = torch.tensor([3, 0, 10, 50, 7, 400])
    k = torch.tensor([5, 2, 0, 90, 7, 310])
    weights = torch.full((m.sum(),), weight, dtype=torch.float64)
    cell = torch.arange(6).repeat_interleave(m)
    stated, p = cell_p_values(k, weights, cell)
    torch.testing.assert_close(stated, weight * m.double() / m.sum())
    share = weight / (1 + weight)
    few, many = stats.binom.cdf(k, k + m, share), stats.binom.sf(k - 1, k + m, share)
    torch.testing.assert_close(p, 2 * torch.from_numpy(few).minimum(torch.from_numpy(many)))


def test_probabilities_some_rows_at_a_time_are_all_in_order():
    model = TrainedGaussian(2)
    x = torch.randn(10_001, 2)
    torch.testing.assert_close(log_probs(model, x), model.log_prob(x).double())


class TestNothingPassesUnseen:
    """Models that are wrong, in calls that could not tell."""

    @pytest.mark.parametrize("draws", [1, 2, 100, 1500])
    def test_few_draws_of_an_integral(self, draws):
        model = Scaled(2)
        model.shift = 1.0
        with pytest.raises(ValueError, match=rf"at least 15\d\d, so that .* got {draws}"):
            gl.verify.normalised(model, draws=draws)

    @pytest.mark.parametrize(
        ("draws", "cells", "words"),
        [
            (4, 32, "at least 15"),
            (2000, 32, r"at least 39\d\d, so that each of 32 cells holds some 12\d; got 2000"),
            (500, 1000, "at least 15"),
            (50_000, 1000, r"so that each of 1000 cells holds some 15\d"),
            (50_000, 1, "cells: expected at least 2, got 1"),
        ],
    )
    def test_few_draws_for_cells(self, draws, cells, words):
        with pytest.raises(ValueError, match=words):
            gl.verify.samples_match(TrainedGaussian(2), draws=draws, cells=cells)

    def test_few_draws_for_events(self):
        model = Pair()
        model.drawn = model.stated.flip(0)
        with pytest.raises(ValueError, match=r"at least 3\d\d, so that each of the 3 states of"):
            gl.verify.samples_match(model, draws=4)

    def test_the_fewest_draws_that_are_taken_tell_what_they_promise(self):
        """A state that comes twice as often as it should."""
        with pytest.raises(ValueError, match="at least") as refused:
            gl.verify.samples_match(Pair(), draws=1)
        draws = int(str(refused.value).split("at least ")[1].split(",")[0])
        stated = torch.full((2, 3), 1 / 6)
        model = Pair()
        model.stated, model.drawn = stated, stated * torch.tensor([0.5, 0.5, 2])
        for _ in range(20):
            with pytest.raises(VerificationError, match=r"drawn|state"):
                gl.verify.samples_match(model, draws=draws)

    def test_a_density_that_lies_elsewhere(self):
        with pytest.raises(ValueError, match=r"are worth .* does not lie about the rows of around"):
            gl.verify.normalised(TrainedGaussian(2), around=torch.randn(100, 2) * 0.01 + 100)

    def test_more_dimensions_than_importance_sampling_can_bear(self):
        with pytest.raises(ValueError, match="are needed; give more for events of 64 values"):
            gl.verify.normalised(TrainedGaussian(64))

    @pytest.mark.parametrize(
        ("around", "error", "words"),
        [
            (torch.randn(50, 2) * math.nan, ValueError, "around: expected finite values, got nan"),
            (torch.randn(50, 3), ValueError, r"around: expected shape \(N, 2\), got \(50, 3\)"),
            (torch.randn(50, 2)[:0], ValueError, "around: expected at least one value"),
            (torch.randn(50, 2).double(), TypeError, "around: the model computes in"),
            (torch.randn(1, 2), ValueError, "around: expected rows that differ .* got 1 with"),
            (torch.ones(50, 2), ValueError, "got 50 with the same value 0"),
            ([[0.0, 1.0]], TypeError, "around: expected a torch.Tensor, got list"),
        ],
    )
    def test_points_that_tell_nothing(self, around, error, words):
        with pytest.raises(error, match=words):
            gl.verify.normalised(TrainedGaussian(2), around=around)

    @BOTH
    def test_samples_that_are_all_the_same(self, check):
        model = TrainedGaussian(2)
        model._sample = lambda n, generator: torch.zeros(n, 2)
        with pytest.raises(VerificationError, match="samples: expected rows that differ"):
            check(model)


class TestBadInput:
    @BOTH
    @pytest.mark.parametrize("draws", [None, 1e4, "many", True])
    def test_draws_of_the_wrong_kind(self, check, draws):
        with pytest.raises(TypeError, match="draws: expected an integer"):
            check(TrainedGaussian(2), draws=draws)

    @BOTH
    def test_what_is_no_model(self, check):
        with pytest.raises(TypeError, match=r"expected one with log_prob.*Linear has no log_prob"):
            check(nn.Linear(2, 2))
        with pytest.raises(gl.CannotAnswerError, match="a game between two players"):
            gl.verify.normalised(TugOfWar())
        with pytest.raises(gl.CannotAnswerError, match="needs a Markov chain"):
            gl.verify.samples_match(IsingRing(4))
        with pytest.raises(gl.NotFittedError, match="has seen no data yet"):
            check(gl.Gaussian())
