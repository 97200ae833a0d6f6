"""Costs of adversarial games against sums by hand, numerical suprema and minima on a grid."""

import math

import pytest
import torch
from scipy.optimize import minimize_scalar

from genlib.models.adversarial.costs import (
    COSTS,
    F_DIVERGENCES,
    Cost,
    as_cost,
    f_gan,
    smoothed,
    smoothed_probability,
    smoothed_threshold,
)

# A world of three points: how often each comes among 8 rows of the data, and of the generator.
P_COUNTS, Q_COUNTS = [1, 4, 3], [4, 2, 2]
P, Q = (torch.tensor(counts, dtype=torch.float64) / 8 for counts in (P_COUNTS, Q_COUNTS))
LOG_RATIO = P.log() - Q.log()

# Where f* is finite.
DOMAINS = {"forward-kl": (-3.0, 2.0), "reverse-kl": (-5.0, -0.05), "jensen-shannon": (-4.0, 0.65)}
# The divergences written out, p first.
DIVERGENCES = {
    "forward-kl": lambda p, q: (p * (p / q).log()).sum(),
    "reverse-kl": lambda p, q: (q * (q / p).log()).sum(),
    "jensen-shannon": lambda p, q: 2 * jensen_shannon(p, q),
}
OPTIMAL = [name for name, cost in COSTS.items() if cost.optimum is not None]
LABELLED = ["minimax", "non-saturating", "least-squares"]


def jensen_shannon(p, q):
    m = (p + q) / 2
    return 0.5 * (p * (p / m).log()).sum() + 0.5 * (q * (q / m).log()).sum()


def rows(v, counts):
    """Logits of eight rows, those of a point being ``v`` there: means over them are exact."""
    return torch.repeat_interleave(v, torch.tensor(counts))


def sigma(v):
    return 1 / (1 + math.exp(-v))


def by_hand(name, real, fake):
    """Both losses, written out: of the discriminator and of the generator."""

    def mean(function, values):
        return sum(map(function, values)) / len(values)

    if name in ("minimax", "non-saturating"):
        judge = -mean(lambda v: math.log(sigma(v)), real)
        judge -= mean(lambda v: math.log(1 - sigma(v)), fake)
        if name == "minimax":
            return judge, mean(lambda v: math.log(1 - sigma(v)), fake)
        return judge, -mean(lambda v: math.log(sigma(v)), fake)
    if name == "least-squares":
        judge = mean(lambda v: 0.5 * (v - 1) ** 2, real) + mean(lambda v: 0.5 * v**2, fake)
        return judge, mean(lambda v: 0.5 * (v - 1) ** 2, fake)
    if name == "wasserstein":
        return sum(fake) / len(fake) - sum(real) / len(real), -sum(fake) / len(fake)
    if name == "hinge":
        judge = mean(lambda v: max(0, 1 - v), real) + mean(lambda v: max(0, 1 + v), fake)
        return judge, -sum(fake) / len(fake)
    if name == "forward-kl":
        g, conjugate = (lambda v: v), (lambda t: math.exp(t - 1))
    elif name == "reverse-kl":
        g, conjugate = (lambda v: -math.exp(-v)), (lambda t: -1 - math.log(-t))
    else:
        g = lambda v: math.log(2) - math.log(1 + math.exp(-v))  # noqa: E731
        conjugate = lambda t: -math.log(2 - math.exp(t))  # noqa: E731
    lowered = mean(lambda v: conjugate(g(v)), fake)
    return lowered - mean(g, real), -lowered


@pytest.mark.covers("G01", "G03", "G10")
class TestLosses:
    REAL, FAKE = [0.7, -1.2, 3.0, 0.1], [-0.4, 2.2, -1.5]

    @pytest.mark.parametrize("name", COSTS)
    def test_are_the_formulas_written_out(self, name):
        cost = COSTS[name]
        real, fake = (torch.tensor(v, dtype=torch.float64) for v in (self.REAL, self.FAKE))
        judge, generator = by_hand(name, self.REAL, self.FAKE)
        assert cost.discriminator(real, fake).item() == pytest.approx(judge, abs=1e-12)
        assert cost.generator(fake).item() == pytest.approx(generator, abs=1e-12)

    @pytest.mark.parametrize("name", COSTS)
    def test_discriminator_raises_reals_and_lowers_fakes_and_the_generator_raises_its_own(
        self, name
    ):
        """Fake rows count as generated for the one and as real for the other."""
        real, fake = (torch.full((5,), 0.5, requires_grad=True) for _ in range(2))
        COSTS[name].discriminator(real, fake).backward()
        assert (real.grad < 0).all() and (fake.grad > 0).all()
        fake.grad = None
        COSTS[name].generator(fake).backward()
        assert (fake.grad < 0).all()

    def test_minimax_is_twice_the_balanced_cross_entropy(self):
        """EC7: 2 log 2, not log 2, where the discriminator is at ½; EC6: + E log (1 − D)."""
        real, fake = (torch.tensor(v, dtype=torch.float64) for v in (self.REAL[:3], self.FAKE))
        labels = torch.tensor([1.0] * 3 + [0.0] * 3, dtype=torch.float64)
        balanced = torch.nn.functional.binary_cross_entropy_with_logits(
            torch.cat([real, fake]), labels
        )
        minimax, nothing = COSTS["minimax"], torch.zeros(2)
        torch.testing.assert_close(minimax.discriminator(real, fake), 2 * balanced)
        assert minimax.discriminator(nothing, nothing).item() == pytest.approx(2 * math.log(2))
        assert minimax.generator(nothing).item() == pytest.approx(-math.log(2))

    @pytest.mark.parametrize("name", COSTS)
    def test_are_finite_and_have_finite_slopes_far_out(self, name):
        far = 60.0 if name == "forward-kl" else 80.0  # exp(v) is its own; float32 ends at exp(88)
        v = torch.tensor([-far, far], requires_grad=True)
        total = COSTS[name].discriminator(v, v) + COSTS[name].generator(v)
        total.backward()
        assert torch.isfinite(total) and torch.isfinite(v.grad).all()

    def test_a_sure_discriminator_still_has_a_gradient(self):
        """−log σ(v) has the slope −σ(−v), which 1 − σ(v) would round to nothing in float32."""
        v = torch.tensor([20.0], requires_grad=True)
        COSTS["minimax"].discriminator(v, torch.zeros(1)).backward()
        assert v.grad.item() == pytest.approx(-math.exp(-20), rel=1e-5)
        fake = torch.tensor([-20.0], requires_grad=True)
        COSTS["minimax"].generator(fake).backward()
        assert fake.grad.item() == pytest.approx(-math.exp(-20), rel=1e-5)
        fake.grad = None
        COSTS["non-saturating"].generator(fake).backward()
        assert fake.grad.item() == pytest.approx(-1.0)


@pytest.mark.covers("G02", "G10")
class TestOptima:
    GRID = torch.arange(-800, 801, dtype=torch.float64) / 200

    @pytest.mark.parametrize("name", OPTIMAL)
    def test_are_minima_on_a_grid(self, name):
        """At each point the loss is p a(v) + q b(v), a and b being those of single rows."""
        cost, zero = COSTS[name], torch.zeros(1, dtype=torch.float64)
        a = torch.stack([cost.discriminator(v[None], zero) for v in self.GRID])
        b = torch.stack([cost.discriminator(zero, v[None]) for v in self.GRID])
        best = cost.optimum(LOG_RATIO)
        for p, q, found in zip(P, Q, best, strict=True):
            assert abs(self.GRID[(p * a + q * b).argmin()] - found) <= 1 / 400 + 1e-9

    @pytest.mark.parametrize("name", OPTIMAL)
    def test_no_other_discriminator_has_a_lower_loss(self, name):
        cost = COSTS[name]

        def loss(v):
            return cost.discriminator(rows(v, P_COUNTS), rows(v, Q_COUNTS))

        best, generator = cost.optimum(LOG_RATIO), torch.Generator().manual_seed(0)
        for scale in (0.01, 0.1, 1.0):
            noise = torch.randn(50, 3, generator=generator, dtype=torch.float64)
            others = torch.stack([loss(best + scale * each) for each in noise])
            assert (others > loss(best)).all()

    def test_value_of_the_minimax_game_is_twice_js_minus_two_log_two(self):
        minimax = COSTS["minimax"]
        v = minimax.optimum(LOG_RATIO)
        torch.testing.assert_close(v.sigmoid(), P / (P + Q))
        value = -minimax.discriminator(rows(v, P_COUNTS), rows(v, Q_COUNTS))
        torch.testing.assert_close(value, 2 * jensen_shannon(P, Q) - 2 * math.log(2))

    @pytest.mark.parametrize(
        ("name", "loss"),
        [("minimax", 2 * math.log(2)), ("least-squares", 0.25), ("hinge", 2.0)]
        + [(name, 0.0) for name in F_DIVERGENCES],
    )
    def test_what_is_left_at_p_equal_to_q(self, name, loss):
        v = COSTS[name].optimum(torch.zeros(4, dtype=torch.float64))
        assert COSTS[name].discriminator(v, v).item() == pytest.approx(loss, abs=1e-12)

    def test_a_critic_s_optimum_is_no_function_of_the_ratio(self):
        assert COSTS["wasserstein"].optimum is None


@pytest.mark.covers("G02", "G04")
@pytest.mark.parametrize("name", F_DIVERGENCES)
class TestFDivergences:
    def test_the_conjugate_is_the_supremum(self, name):
        """f*(t) = sup_u (u t − f(u)), u = exp(s) searched by SciPy."""
        divergence = F_DIVERGENCES[name]
        for t in torch.linspace(*DOMAINS[name], 9, dtype=torch.float64).tolist():

            def negative(s, t=t):
                u = torch.tensor(math.exp(s), dtype=torch.float64)
                return (divergence.f(u) - u * t).item()

            found = minimize_scalar(negative, bounds=(-20, 8), method="bounded")
            conjugate = divergence.conjugate(torch.tensor(t, dtype=torch.float64)).item()
            assert -found.fun == pytest.approx(conjugate, abs=1e-7)

    def test_f_is_convex_zero_at_one_and_its_derivative_is_autograd_s(self, name):
        divergence = F_DIVERGENCES[name]
        u = torch.linspace(0.05, 6, 200, dtype=torch.float64, requires_grad=True)
        f = divergence.f(u)
        (slope,) = torch.autograd.grad(f.sum(), u)
        torch.testing.assert_close(divergence.derivative(u), slope)
        assert (slope.diff() > 0).all()
        assert divergence.f(torch.ones(())).item() == 0

    def test_the_activation_is_increasing_and_reaches_what_is_needed(self, name):
        divergence = F_DIVERGENCES[name]
        v = torch.linspace(-6, 6, 101, dtype=torch.float64)
        t = divergence.activation(v)
        assert (t.diff() > 0).all() and torch.isfinite(divergence.conjugate(t)).all()
        torch.testing.assert_close(divergence.penalty(v), divergence.conjugate(t))
        best = divergence.activation(divergence.optimum(v))
        torch.testing.assert_close(best, divergence.derivative(v.exp()))

    def test_the_best_discriminator_reaches_the_divergence_and_no_other_does(self, name):
        cost, expected = COSTS[name], DIVERGENCES[name](P, Q)
        u = P / Q
        torch.testing.assert_close((Q * F_DIVERGENCES[name].f(u)).sum(), expected)
        v = cost.optimum(LOG_RATIO)
        bound = -cost.discriminator(rows(v, P_COUNTS), rows(v, Q_COUNTS))
        torch.testing.assert_close(bound, expected)
        for other in (torch.zeros(3), v + 0.3, -v):
            other = other.double()
            assert -cost.discriminator(rows(other, P_COUNTS), rows(other, Q_COUNTS)) < expected

    def test_the_other_cost_of_the_generator(self, name):
        v = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
        cost, saturating = f_gan(name, non_saturating=True), COSTS[name]
        torch.testing.assert_close(cost.generator(v), -F_DIVERGENCES[name].activation(v).mean())
        torch.testing.assert_close(cost.discriminator(v, 2 * v), saturating.discriminator(v, 2 * v))
        assert cost.name == f"{name}, non-saturating"


@pytest.mark.covers("G05")
class TestSmoothing:
    @pytest.mark.parametrize(("alpha", "beta"), [(0.1, 0.0), (0.3, 0.0), (0.1, 0.2)])
    @pytest.mark.parametrize("name", LABELLED)
    def test_optimum_on_a_world_of_two_points_is_what_steps_find(self, name, alpha, beta):
        """Frequencies .75, .25 and .25, .75: D = ((1 − α) p + β q) / (p + q)."""
        cost = smoothed(COSTS[name], alpha, beta)
        v = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([v], max_iter=200, tolerance_grad=1e-12, tolerance_change=0)

        def closure():
            optimizer.zero_grad()
            loss = cost.discriminator(rows(v, [3, 1]), rows(v, [1, 3]))
            loss.backward()
            return loss

        optimizer.step(closure)
        p, q = torch.tensor([[0.75, 0.25], [0.25, 0.75]], dtype=torch.float64)
        expected = ((1 - alpha) * p + beta * q) / (p + q)
        log_ratio = (p / q).log()
        probability = v.detach() if name == "least-squares" else v.detach().sigmoid()
        torch.testing.assert_close(probability, expected, rtol=0, atol=1e-6)
        torch.testing.assert_close(smoothed_probability(log_ratio, alpha, beta), expected)
        torch.testing.assert_close(cost.optimum(log_ratio), v.detach(), rtol=0, atol=1e-5)

    def test_one_sided_leaves_the_generated_rows_and_the_generator_alone(self):
        plain, cost = COSTS["non-saturating"], smoothed(COSTS["non-saturating"], 0.1)
        real, fake = torch.tensor([0.4, -2.0]), torch.tensor([1.0, -0.5, 3.0])
        assert torch.equal(cost.generator(fake), plain.generator(fake))
        moved = fake + 1
        torch.testing.assert_close(
            cost.discriminator(real, moved) - cost.discriminator(real, fake),
            plain.discriminator(real, moved) - plain.discriminator(real, fake),
        )
        expected = -(0.9 * real.sigmoid().log() + 0.1 * (1 - real.sigmoid()).log()).mean()
        torch.testing.assert_close(
            cost.discriminator(real, fake), expected - (1 - fake.sigmoid()).log().mean()
        )

    def test_accuracy_needs_another_threshold(self):
        """EC10: D > ½ is not p > q any more; D > (1 − α + β) / 2 is."""
        log_ratio = torch.linspace(-3, 3, 61, dtype=torch.float64) + 0.01
        for alpha, beta in [(0.1, 0.0), (0.4, 0.0), (0.1, 0.3)]:
            d, threshold = smoothed_probability(log_ratio, alpha, beta), 0.5 * (1 - alpha + beta)
            assert smoothed_threshold(alpha, beta) == pytest.approx(threshold)
            assert torch.equal(d > smoothed_threshold(alpha, beta), log_ratio > 0)
            assert not torch.equal(d > 0.5, log_ratio > 0)

    def test_two_sided_smoothing_keeps_d_up_where_only_the_generator_is(self):
        alone = torch.tensor(-50.0)
        assert smoothed_probability(alone, 0.1, 0.2).item() == pytest.approx(0.2)
        assert smoothed_probability(alone, 0.1, 0.0).item() == pytest.approx(0.0, abs=1e-12)

    def test_extreme_ratios_have_finite_logits(self):
        far = torch.tensor([-90.0, 90.0])
        v = smoothed(COSTS["minimax"], 0.1).optimum(far)
        assert v[0] < -80 and v[1].item() == pytest.approx(math.log(9), rel=1e-4)

    @pytest.mark.parametrize("name", [name for name in COSTS if name not in LABELLED])
    def test_costs_without_labels_refuse(self, name):
        words = f"teaches labels \\(minimax, non-saturating, least-squares\\), got '{name}'"
        with pytest.raises(ValueError, match=words):
            smoothed(COSTS[name], 0.1)

    def test_smoothed_labels_are_not_smoothed_again(self):
        """That would leave the first α and β out without a word."""
        cost = smoothed(COSTS["minimax"], 0.1, 0.2)
        with pytest.raises(
            ValueError, match=r"got 'minimax, labels 0\.9 and 0\.2', which has none"
        ):
            smoothed(cost, 0.1)

    @pytest.mark.parametrize(
        ("alpha", "beta", "words"),
        [
            (-0.1, 0.0, r"smoothing: expected a number in \[0, 1\], got -0.1"),
            (0.1, 1.5, "beta: expected a number in"),
            (1.0, 0.0, "expected real rows to have a larger label than generated ones, got 0 and"),
            (0.5, 0.5, "got 0.5 and 0.5"),
        ],
    )
    def test_labels_are_checked(self, alpha, beta, words):
        for function in (smoothed_threshold, lambda *a: smoothed(COSTS["minimax"], *a)):
            with pytest.raises(ValueError, match=words):
                function(alpha, beta)


class TestNames:
    def test_a_misspelt_name_lists_those_that_there_are(self):
        with pytest.raises(ValueError, match="cost: expected one of ") as refusal:
            as_cost("minmax")
        assert all(repr(name) in str(refusal.value) for name in COSTS)
        assert str(refusal.value).endswith("got 'minmax'.")
        with pytest.raises(ValueError, match="divergence: expected one of 'forward-kl', "):
            f_gan("kl")

    def test_costs_are_data(self):
        assert {name: cost.name for name, cost in COSTS.items()} == {name: name for name in COSTS}
        own = Cost("own", "", lambda real, fake: fake.mean() - real.mean(), torch.mean, None)
        assert as_cost(own) is own and as_cost("hinge") is COSTS["hinge"]
        with pytest.raises(AttributeError):
            own.name = "other"
