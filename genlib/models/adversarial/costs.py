"""What the two players of an adversarial game minimise, as data.

A discriminator puts out one number v for a row: any real number, the larger the more real the row
looks to it. This number is called its *logit*, although only some of the costs read it as the logit
of a probability D = σ(v). A `Cost` says what the discriminator minimises, given the logits of real
and of generated rows; what the generator minimises, given the logits of its own; and which
discriminator is the best one against a generator that does not move. `COSTS` holds them by name.
Below, p is the density of the data and q that of the generator.

==================  ==================================  ======================  =================
cost                the discriminator minimises         the generator           best v
==================  ==================================  ======================  =================
minimax             −E_p[log D] − E_q[log (1 − D)]      +E_q[log (1 − D)]       log p/q
non-saturating      the same                            −E_q[log D]             log p/q
least-squares       ½ E_p[(v − 1)²] + ½ E_q[v²]         ½ E_q[(v − 1)²]         p/(p + q)
wasserstein         E_q[v] − E_p[v]                     −E_q[v]                 a potential
hinge               E_p[(1 − v)₊] + E_q[(1 + v)₊]       −E_q[v]                 sign (p − q)
forward-kl          E_q[exp (v − 1)] − E_p[v]           −E_q[exp (v − 1)]       1 + log p/q
reverse-kl          E_q[v − 1] + E_p[exp (−v)]          −E_q[v − 1]             log p/q
jensen-shannon      E_q[f*(g(v))] − E_p[g(v)]           −E_q[f*(g(v))]          log p/q
==================  ==================================  ======================  =================

Each expectation has the weight one. The minimax discriminator's loss is therefore *twice* the
cross-entropy of telling real from generated rows where both come equally often: 2 log 2 at D = ½.
Minus that loss is the value of the game, 2 JS(p, q) − 2 log 2 at the best D.

Sources: the chapters on adversarial networks of documents C and U; Goodfellow et al. (2014),
"Generative adversarial nets"; Goodfellow (2016), "NIPS 2016 tutorial: Generative adversarial
networks"; Nowozin, Cseke and Tomioka (2016), "f-GAN"; Mao et al. (2017), "Least squares generative
adversarial networks"; Arjovsky, Chintala and Bottou (2017), "Wasserstein generative adversarial
networks"; Lim and Ye (2017), "Geometric GAN", for the hinge.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from genlib.core.validation import check_between, check_choice, check_flag

OfLogits = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LabelLoss:
    """A loss of single logits, for a discriminator that is taught labels between 0 and 1.

    Attributes
    ----------
    loss : callable
        Logits and their label to the loss of each.
    optimum : callable
        log p/q, α and β to the best logit, where real rows have the label 1 − α and generated ones
        the label β.
    """

    loss: Callable[[Tensor, float], Tensor]
    optimum: Callable[[Tensor, float, float], Tensor]


@dataclass(frozen=True)
class Cost:
    """What the players of an adversarial game minimise.

    Attributes
    ----------
    name : str
    formula : str
        The two losses in a line, v being the logit.
    discriminator : callable
        Logits of real rows, any shape, and of generated ones, any shape, to the discriminator's
        loss: one number, each expectation a mean.
    generator : callable
        Logits of generated rows to the generator's loss: one number.
    optimum : callable or None
        log p(x)/q(x), any shape, to what the best discriminator puts out at x. ``None`` where this
        is not a function of the ratio: the best critic of the Wasserstein cost is a potential of
        the transport between p and q, and without a bound on its slope there is none.
    labels : LabelLoss or None
        For costs that teach the discriminator labels 1 and 0, which can be `smoothed`.
    encoder : callable or None
        Logits of real rows to the loss of a player that works on these, as the encoder of a
        `genlib.models.adversarial.bi.BiGAN` does: what the generator's loss is with the roles of
        p and q exchanged. Without it there are no such games.

    Examples
    --------
    At p = q the best discriminator cannot do better than D = ½, whose loss is 2 log 2:

    >>> cost = COSTS["minimax"]
    >>> v = cost.optimum(torch.zeros(1))
    >>> round(cost.discriminator(v, v).item(), 4)
    1.3863
    """

    name: str
    formula: str
    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: OfLogits
    optimum: OfLogits | None
    labels: LabelLoss | None = None
    encoder: OfLogits | None = None


# ---------------------------------------------------------------------- labels


def smoothed(cost: Cost, alpha: float, beta: float = 0.0) -> Cost:
    """``cost`` with smoothed labels: 1 − ``alpha`` for real rows, ``beta`` for generated ones.

    One-sided smoothing, ``beta`` = 0, is the useful one: with ``beta`` > 0 the best discriminator
    tends to ``beta`` and no lower where the generator alone puts mass, so that rows which are wrong
    have little reason to move (Salimans et al., 2016).

    The generator's loss is what it was. What comes back cannot be smoothed once more.

    Raises
    ------
    TypeError, ValueError
        The cost teaches no labels, or smoothed ones already; one of the numbers is not in [0, 1];
        or real rows would have no larger label than generated ones.
    """
    if cost.labels is None:
        able = ", ".join(name for name, known in COSTS.items() if known.labels is not None)
        raise ValueError(
            f"smoothing: expected a cost that teaches labels ({able}), got {cost.name!r}, which "
            "has none to smooth."
        )
    _check_smoothing(alpha, beta)
    return replace(
        cost,
        name=f"{cost.name}, labels {1 - alpha:g} and {beta:g}",
        discriminator=partial(_taught, cost.labels.loss, 1 - alpha, beta),
        optimum=partial(cost.labels.optimum, alpha=alpha, beta=beta),
        labels=None,
    )


def smoothed_probability(log_ratio: Tensor, alpha: float, beta: float = 0.0) -> Tensor:
    """Best discriminator under smoothed labels, as a probability:
    D = ((1 − α) p + β q) / (p + q).

    It is the mean label at x. Whether p > q at x must be read off at `smoothed_threshold`, not at
    ½: with α = 0.1 and β = 0, D stays below 0.9 and is 0.45 where p = q.

    Parameters
    ----------
    log_ratio : Tensor
        log p(x) − log q(x).
    alpha, beta : float
        Real rows have the label 1 − α, generated ones the label β.
    """
    _check_smoothing(alpha, beta)
    return (1 - alpha) * torch.sigmoid(log_ratio) + beta * torch.sigmoid(-log_ratio)


def smoothed_threshold(alpha: float, beta: float = 0.0) -> float:
    """The best discriminator under smoothed labels where p = q: (1 − α + β) / 2."""
    _check_smoothing(alpha, beta)
    return (1 - alpha + beta) / 2


def _smoothed_logit(log_ratio: Tensor, alpha: float, beta: float) -> Tensor:
    """Logit of `smoothed_probability`: log ((1 − α) p + β q) − log (α p + (1 − β) q)."""
    real, fake = _log_sum(log_ratio, 1 - alpha, beta), _log_sum(log_ratio, alpha, 1 - beta)
    return real - fake


def _log_sum(log_ratio: Tensor, a: float, b: float) -> Tensor:
    """log (a r + b), r being the ratio."""
    log_a, log_b = (log_ratio.new_tensor(c).log() for c in (a, b))
    return torch.logaddexp(log_ratio + log_a, log_b)


def _check_smoothing(alpha: float, beta: float) -> None:
    check_between(alpha, 0, 1, "smoothing")
    check_between(beta, 0, 1, "beta")
    if not beta < 1 - alpha:
        raise ValueError(
            "smoothing: expected real rows to have a larger label than generated ones, got "
            f"{1 - alpha:g} and {beta:g}."
        )


def _cross_entropy(v: Tensor, label: float) -> Tensor:
    """−label · log D − (1 − label) · log (1 − D), with D = σ(v)."""
    if label in (0, 1):  # the other term costs as much, and is zero
        return -F.logsigmoid(v if label else -v)
    return -label * F.logsigmoid(v) - (1 - label) * F.logsigmoid(-v)


def _squared_error(v: Tensor, label: float) -> Tensor:
    return 0.5 * (v - label).square()


def _taught(
    loss: Callable[[Tensor, float], Tensor],
    for_real: float,
    for_fake: float,
    real: Tensor,
    fake: Tensor,
) -> Tensor:
    """Mean loss of real rows plus that of generated ones, each with their label."""
    return loss(real, for_real).mean() + loss(fake, for_fake).mean()


CROSS_ENTROPY = LabelLoss(_cross_entropy, _smoothed_logit)
SQUARED_ERROR = LabelLoss(_squared_error, smoothed_probability)


# ---------------------------------------------------------------------- f-divergences


@dataclass(frozen=True)
class FDivergence:
    """D_f(p ‖ q) = ∫ q(x) f(p(x) / q(x)) dx, and what a game needs in order to bound it.

    With the convex conjugate f*(t) = sup_u (u t − f(u)), every function T gives a lower bound::

        D_f(p ‖ q) ≥ E_p[T(x)] − E_q[f*(T(x))]

    which is an equality at T = f'(p/q). The discriminator's T = g_f(v) is its logit v through an
    *activation* whose values are those at which f* is finite.

    Attributes
    ----------
    name : str
    formula : str
        Of f.
    f : callable
        Convex, f(1) = 0; of positive numbers.
    derivative : callable
        f'.
    conjugate : callable
        f*.
    activation : callable
        g_f, increasing.
    penalty : callable
        f*(g_f(v)), in one expression that neither overflows nor cancels where it need not.
    optimum : callable
        log p/q to the best logit v, at which g_f(v) = f'(p/q).

    References
    ----------
    Nowozin, Cseke and Tomioka (2016), tables 1, 2 and 6 (the last in the appendix).
    """

    name: str
    formula: str
    f: OfLogits
    derivative: OfLogits
    conjugate: OfLogits
    activation: OfLogits
    penalty: OfLogits
    optimum: OfLogits


FORWARD_KL = FDivergence(
    name="forward-kl",  # KL(p ‖ q): what maximum likelihood minimises
    formula="u log u",
    f=lambda u: torch.xlogy(u, u),
    derivative=lambda u: 1 + u.log(),
    conjugate=lambda t: (t - 1).exp(),
    activation=lambda v: v,
    penalty=lambda v: (v - 1).exp(),
    optimum=lambda log_ratio: 1 + log_ratio,
)
REVERSE_KL = FDivergence(
    name="reverse-kl",  # KL(q ‖ p)
    formula="−log u",
    f=lambda u: -u.log(),
    derivative=lambda u: -1 / u,
    conjugate=lambda t: -1 - (-t).log(),
    activation=lambda v: -(-v).exp(),
    penalty=lambda v: v - 1,
    optimum=lambda log_ratio: log_ratio,
)
JENSEN_SHANNON = FDivergence(
    name="jensen-shannon",  # 2 JS(p, q): the sum of two divergences, not their mean
    formula="u log u − (u + 1) log ((u + 1) / 2)",
    f=lambda u: torch.xlogy(u, u) - (u + 1) * ((u + 1) / 2).log(),
    derivative=lambda u: math.log(2) + (u / (u + 1)).log(),
    conjugate=lambda t: -(2 - t.exp()).log(),
    activation=lambda v: math.log(2) + F.logsigmoid(v),
    penalty=lambda v: -math.log(2) - F.logsigmoid(-v),
    optimum=lambda log_ratio: log_ratio,
)
F_DIVERGENCES = {each.name: each for each in (FORWARD_KL, REVERSE_KL, JENSEN_SHANNON)}


def f_gan(divergence: str | FDivergence, *, non_saturating: bool = False) -> Cost:
    """The game whose discriminator bounds an f-divergence from below, and whose generator lowers
    the bound.

    Parameters
    ----------
    divergence : {"forward-kl", "reverse-kl", "jensen-shannon"} or FDivergence
        From the data to the generator: forward is KL(p ‖ q).
    non_saturating : bool
        Let the generator raise E_q[g_f(v)] in place of lowering −E_q[f*(g_f(v))]: another game, as
        with `COSTS` ``["non-saturating"]``, with larger gradients where the discriminator is sure.
    """
    if not isinstance(divergence, FDivergence):
        check_choice(divergence, F_DIVERGENCES, "divergence")
        divergence = F_DIVERGENCES[divergence]
    check_flag(non_saturating, "non_saturating")
    suffix, formula = "", "−E_q[f*(g(v))]"
    if non_saturating:
        suffix, formula = ", non-saturating", "−E_q[g(v)]"
    return Cost(
        name=divergence.name + suffix,
        formula=f"E_q[f*(g(v))] − E_p[g(v)];  {formula};  f(u) = {divergence.formula}",
        discriminator=partial(_bound, divergence),
        generator=partial(_lowered, divergence, non_saturating),
        optimum=divergence.optimum,
        encoder=partial(_lowered_by_encoder, divergence, non_saturating),
    )


def _bound(divergence: FDivergence, real: Tensor, fake: Tensor) -> Tensor:
    """Minus the lower bound of the divergence."""
    return divergence.penalty(fake).mean() - divergence.activation(real).mean()


def _lowered(divergence: FDivergence, non_saturating: bool, fake: Tensor) -> Tensor:
    of_fakes = divergence.activation if non_saturating else divergence.penalty
    return -of_fakes(fake).mean()


def _lowered_by_encoder(divergence: FDivergence, non_saturating: bool, real: Tensor) -> Tensor:
    of_real = divergence.penalty if non_saturating else divergence.activation
    return of_real(real).mean()


# ---------------------------------------------------------------------- the costs

MINIMAX = Cost(
    name="minimax",
    formula="−E_p[log D] − E_q[log (1 − D)];  +E_q[log (1 − D)];  D = σ(v)",
    discriminator=partial(_taught, CROSS_ENTROPY.loss, 1.0, 0.0),
    generator=lambda fake: F.logsigmoid(-fake).mean(),
    optimum=lambda log_ratio: log_ratio,  # D = p / (p + q)
    labels=CROSS_ENTROPY,
    encoder=lambda real: F.logsigmoid(real).mean(),
)
NON_SATURATING = replace(
    MINIMAX,
    name="non-saturating",
    formula="−E_p[log D] − E_q[log (1 − D)];  −E_q[log D];  D = σ(v)",
    generator=lambda fake: -F.logsigmoid(fake).mean(),
    encoder=lambda real: -F.logsigmoid(-real).mean(),
)
LEAST_SQUARES = Cost(
    name="least-squares",
    formula="½ E_p[(v − 1)²] + ½ E_q[v²];  ½ E_q[(v − 1)²]",
    discriminator=partial(_taught, SQUARED_ERROR.loss, 1.0, 0.0),
    generator=lambda fake: _squared_error(fake, 1.0).mean(),
    optimum=torch.sigmoid,  # v = p / (p + q)
    labels=SQUARED_ERROR,
    encoder=lambda real: _squared_error(real, 0.0).mean(),
)
WASSERSTEIN = Cost(
    name="wasserstein",
    formula="E_q[v] − E_p[v];  −E_q[v];  v with slope 1 at most",
    discriminator=lambda real, fake: fake.mean() - real.mean(),
    generator=lambda fake: -fake.mean(),
    optimum=None,
    encoder=lambda real: real.mean(),
)
HINGE = Cost(
    name="hinge",
    formula="E_p[max(0, 1 − v)] + E_q[max(0, 1 + v)];  −E_q[v]",
    discriminator=lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
    generator=lambda fake: -fake.mean(),
    optimum=torch.sign,  # where p = q, anything in [−1, 1] is as good
    encoder=lambda real: real.mean(),
)

COSTS = {
    each.name: each
    for each in (
        MINIMAX,
        NON_SATURATING,
        LEAST_SQUARES,
        WASSERSTEIN,
        HINGE,
        *map(f_gan, F_DIVERGENCES),
    )
}


def as_cost(cost: str | Cost) -> Cost:
    """``cost``, or that of `COSTS` with such a name.

    Raises
    ------
    ValueError
        There is none; the message lists those that there are.
    """
    if isinstance(cost, Cost):
        return cost
    check_choice(cost, COSTS, "cost")
    return COSTS[cost]
