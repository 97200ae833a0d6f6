"""Properties that a model must have, as checks that anybody can call.

Each check returns nothing and raises `VerificationError`, with the first index at which the
property fails and a sentence on the likely cause. Checks on random samples state their false-alarm
rate: `FALSE_ALARM` is the probability, over all the comparisons of one call, that a correct model
fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from scipy import stats
from torch import Generator, Tensor
from torch.distributions import constraints

from genlib.core import Model, discrete_events
from genlib.core.discrete import Levels, States, place_values, state_counts
from genlib.core.validation import check_count, describe, first_index

FALSE_ALARM = 1e-6


class VerificationError(AssertionError):
    """A property that a model should have and has not."""


# ---------------------------------------------------------------------- autoregressive models


@torch.no_grad()
def causal(model: Model, rows: int = 2, generator: Generator | None = None) -> None:
    """Check that each conditional looks only at the values before it: every output against every
    input.

    Changes one input after another, and looks for outputs at the same place or earlier that notice.
    Outputs are ``model.conditionals(x)``, the parameters of p(x_i | x_<i), shape (N,
    \\*event_shape, ...); the order is ``model.order``, a permutation of the flattened event, or
    reading order where the model has none.

    Parameters
    ----------
    model : Model
        An autoregressive model.
    rows : int
        Random events to try.

    Raises
    ------
    VerificationError
        Some output depends on an input at its own place or later in the order.
    """
    check_count(rows, "rows")
    size = model.event_shape.numel()
    order = getattr(model, "order", None)
    order = torch.arange(size) if order is None else torch.as_tensor(order).cpu()
    rank = order.argsort()
    x = _arbitrary(model, rows, generator)
    before = model.conditionals(x).reshape(rows, size, -1)
    for i in order.tolist():
        changed = x.reshape(rows, size).clone()
        changed[:, i] = _another_value(changed[:, i], model.support)
        after = model.conditionals(changed.reshape(x.shape)).reshape(rows, size, -1)
        moved = ((after - before).abs() > 1e-6 * (1 + before.abs())).any(-1).any(0).cpu()
        leaks = moved & (rank <= rank[i])
        if leaks.any():
            (output,) = first_index(leaks)
            cause = (
                "the mask lets an output see its own input (type A belongs in the first layer, "
                "type B after it)"
                if output == i
                else "an output sees its future: look at the direction of a mask, a shift, or "
                "the order itself"
            )
            raise VerificationError(
                f"output {output} depends on input {i}, at place {rank[i]} of the order, "
                f"though its own place is {rank[output]}; {cause}."
            )


# ---------------------------------------------------------------------- densities


@torch.no_grad()
def normalised(
    model: Model,
    draws: int = 50_000,
    around: Tensor | None = None,
    generator: Generator | None = None,
) -> None:
    """Check that probabilities sum, or a density integrates, to one.

    Discrete events are listed where there are at most 2**20. Elsewhere the integral is estimated by
    importance sampling from a broad mixture around the model's own samples (or around the rows of
    ``around``), and tested against one at `FALSE_ALARM`.

    Raises
    ------
    VerificationError
        The total differs from one.
    """
    if _listable(model):
        total = model.log_prob(_all_events(model)).exp().sum().item()
        if abs(total - 1) > 1e-4:
            raise VerificationError(
                f"probabilities of all {math.prod(_states(model))} events sum to "
                f"{total:.6g}, not to 1; " + _normaliser_hint(total)
            )
        return
    weights = _Proposal(model, around, generator).weights(draws)[1]
    mean, error = weights.mean().item(), weights.std().item() / math.sqrt(draws)
    if abs(mean - 1) > stats.norm.isf(FALSE_ALARM / 2) * error + 1e-4:
        raise VerificationError(
            f"the density integrates to {mean:.6g} ± {error:.2g} (standard error), not to 1; "
            + _normaliser_hint(mean)
        )


@torch.no_grad()
def samples_match(
    model: Model, draws: int = 50_000, cells: int = 32, generator: Generator | None = None
) -> None:
    """Check that ``sample`` draws from the density that ``log_prob`` states.

    Discrete events are counted one by one where there are at most 2**20. Elsewhere space is cut
    into ``cells`` nearest-point cells around samples, and the share of samples in each is compared
    with the density's integral over it, estimated by importance sampling. Both are tests at
    `FALSE_ALARM` over all events or cells.

    Raises
    ------
    VerificationError
        Some event or cell is drawn more or less often than its probability allows.
    """
    x = model.sample(draws, generator=generator)
    if _listable(model):
        _counts_match(model, x)
        return
    x = x.flatten(1).cpu()
    centres, x = x[:cells], x[cells:]
    proposed, weights = _Proposal(model, None, generator).weights(draws)
    share = torch.bincount(_nearest(x, centres), minlength=cells) / len(x)
    inside = (
        torch.nn.functional.one_hot(_nearest(proposed.flatten(1), centres), cells)
        * weights[:, None]
    )
    stated, variance = inside.mean(0), inside.var(0) / draws
    z = (share - stated) / (
        variance + stated * (1 - stated).clamp_min(0) / len(x)
    ).sqrt().clamp_min(1e-12)
    wrong = z.abs() > stats.norm.isf(FALSE_ALARM / cells / 2)
    if wrong.any():
        (cell,) = first_index(wrong)
        raise VerificationError(
            f"the cell around {_row(centres[cell])} holds {share[cell]:.4f} of the samples, and "
            f"{stated[cell]:.4f} "
            f"of the density (z = {z[cell]:.1f}): sample and log_prob describe different "
            "distributions."
        )


# ---------------------------------------------------------------------- gradients and chains


def gradient(
    function: Callable[[Tensor], Tensor],
    x: Tensor,
    claimed: Callable[[Tensor], Tensor] | None = None,
    tolerance: float = 1e-4,
) -> None:
    """Check a gradient against central differences, entry by entry, in float64.

    Parameters
    ----------
    function : callable
        Maps (N, \\*event_shape) to (N,), each row on its own: an energy, a log density.
    x : Tensor, shape (N, \\*event_shape)
    claimed : callable, optional
        Maps ``x`` to the gradient, of the shape of ``x``; autograd's gradient of ``function`` by
        default.
    tolerance : float
        Largest difference, relative to 1 + the size of the gradient.

    Raises
    ------
    VerificationError
        Some entry differs.
    """
    x = x.detach().double()
    if claimed is None:
        point = x.clone().requires_grad_()
        (found,) = torch.autograd.grad(function(point).sum(), point)
    else:
        found = claimed(x)
    if found.shape != x.shape:
        raise VerificationError(
            f"expected a gradient of shape {tuple(x.shape)}, got {tuple(found.shape)}."
        )
    expected = _central_differences(function, x)
    wrong = ~((found - expected).abs() <= tolerance * (1 + expected.abs()))
    if wrong.any():
        index = first_index(wrong)
        raise VerificationError(
            f"at index {index} the gradient is {found[index]:.6g}, central differences give "
            f"{expected[index]:.6g}; " + _gradient_hint(found, expected)
        )


@torch.no_grad()
def detailed_balance(
    step: Callable[[Tensor], Tensor],
    log_prob: Callable[[Tensor], Tensor],
    states: Tensor,
    draws: int = 4_000,
) -> None:
    """Check that a Markov chain is reversible: π(i) T(i → j) = π(j) T(j → i) for every pair of
    states.

    Takes ``draws`` steps from each state and counts where they lead. Given the sum of the counts i
    → j and j → i, the first is binomial with a share decided by π alone; each pair is tested so, at
    `FALSE_ALARM` over all pairs.

    Parameters
    ----------
    step : callable
        Maps states (N, d) to the next states (N, d), each row a chain of its own.
    log_prob : callable
        Maps states (N, d) to (N,), log π up to a constant.
    states : Tensor, shape (S, d)
        All the states there are.

    Raises
    ------
    VerificationError
        Some pair is out of balance, or a step leads to a state that is not listed.
    """
    count = len(states)
    counts = torch.zeros(count, count, dtype=torch.int64)
    for i in range(count):
        reached = step(states[i].expand(draws, -1).clone())
        match = (reached[:, None] == states[None]).all(-1)
        if not match.any(1).all():
            raise VerificationError(
                f"from state {i} the chain reaches {_row(reached[~match.any(1)][0])}, not in "
                "states."
            )
        counts[i] = torch.bincount(match.int().argmax(1), minlength=count)
    log_pi = log_prob(states).double()
    pairs = count * (count - 1) // 2
    for i in range(count):
        for j in range(i + 1, count):
            there, back = counts[i, j].item(), counts[j, i].item()
            share = torch.sigmoid(
                log_pi[j] - log_pi[i]
            ).item()  # T(i→j) / (T(i→j) + T(j→i)) under balance
            if (
                there + back
                and stats.binomtest(there, there + back, share).pvalue < FALSE_ALARM / pairs
            ):
                raise VerificationError(
                    f"states ({i}, {j}): {there} steps there and {back} back in {draws} from "
                    "each, where balance wants a "
                    f"share of {share:.3f} there; look at the acceptance ratio, or at a sweep "
                    "whose order is fixed."
                )


# ---------------------------------------------------------------------- helpers


def _states(model: Model) -> tuple[int, ...] | None:
    return state_counts(model.support, model.event_shape.numel())


def _listable(model: Model) -> bool:
    states = _states(model)
    return states is not None and math.prod(states) <= 2**20


def _all_events(model: Model) -> Tensor:
    events = discrete_events(_states(model), dtype=model.dtype, device=model.device)
    return events.reshape(-1, *model.event_shape)


def _arbitrary(model: Model, rows: int, generator: Generator | None) -> Tensor:
    """Random events of the model's support, to be looked at and not to be likely."""
    shape = (rows, *model.event_shape)
    if model.support is constraints.real:
        x = torch.randn(shape, generator=generator)
    elif model.support is constraints.boolean:
        x = (torch.rand(shape, generator=generator) < 0.5).float()
    elif isinstance(model.support, constraints.interval):
        low, high = model.support.lower_bound, model.support.upper_bound
        x = low + (high - low) * torch.rand(shape, generator=generator)
    elif isinstance(model.support, States):
        counts = torch.tensor(model.support.states)
        x = (counts * torch.rand(shape, generator=generator)).floor()
    elif isinstance(model.support, Levels):
        steps = model.support.levels - 1
        x = (torch.rand(shape, generator=generator) * steps).round() / steps
    else:
        raise ValueError(
            "expected a support of reals, an interval or finitely many states, got "
            f"{describe(model.support)}."
        )
    return x.to(device=model.device, dtype=model.dtype)


def _another_value(x: Tensor, support: constraints.Constraint) -> Tensor:
    """A value of the support that differs from ``x`` everywhere."""
    if support is constraints.real:
        return x + 1
    if support is constraints.boolean or isinstance(support, States):
        return (x == 0).to(x)
    low, high = support.lower_bound, support.upper_bound
    return torch.where(x - low > 0.5 * (high - low), low, high).to(x)


def _counts_match(model: Model, x: Tensor) -> None:
    """Exact binomial tests of the counts of all events."""
    events = _all_events(model)
    places = torch.tensor(place_values(_states(model)))
    codes = (x.flatten(1).long().cpu() * places).sum(1)
    counts = torch.bincount(codes, minlength=len(events)).numpy()
    stated = model.log_prob(events).double().exp().clamp(0, 1).cpu().numpy()
    n = len(x)
    tails = 2 * torch.from_numpy(stats.binom.cdf(counts, n, stated)).minimum(
        torch.from_numpy(stats.binom.sf(counts - 1, n, stated))
    )
    wrong = tails < FALSE_ALARM / len(events)
    if wrong.any():
        (event,) = first_index(wrong)
        raise VerificationError(
            f"event {tuple(events[event].flatten().int().tolist())} is drawn {counts[event]} times "
            f"in {n}, where log_prob makes one expect {n * stated[event]:.1f}: sample and log_prob "
            "describe different distributions."
        )


class _Proposal:
    """A broad density around reference points: each point carries a Student t of its own and a
    share of a wide one.

    Heavy tails keep importance weights p/q bounded wherever p's tails are Gaussian or lighter.
    """

    def __init__(self, model: Model, around: Tensor | None, generator: Generator | None) -> None:
        if model.support.is_discrete:
            raise ValueError(
                "expected real values, or at most 2**20 discrete events; got events of "
                f"{model.event_shape.numel()} values in {describe(model.support)}, too many to "
                "list."
            )
        self.model = model
        self.generator = generator
        points = model.sample(256, generator=generator) if around is None else around[:256]
        self.points = points.flatten(1).double().cpu()
        dim = self.points.shape[1]
        scale = self.points.std(0, correction=0).clamp_min(1e-6)
        rule = len(self.points) ** (-1 / (dim + 4))
        self.scales = torch.stack([rule * scale, 3 * scale])
        self.shares = torch.tensor([0.8, 0.2], dtype=torch.float64)
        self.freedom = 5.0

    def weights(self, draws: int) -> tuple[Tensor, Tensor]:
        """Draws of the proposal, as events, and p/q at each."""
        wide = (torch.rand(draws, generator=self.generator) < self.shares[1]).long()
        origin = torch.randint(len(self.points), (draws,), generator=self.generator)
        dim = self.points.shape[1]
        normal = torch.randn(draws, dim, generator=self.generator, dtype=torch.float64)
        halves = torch.full((draws, 1), self.freedom / 2, dtype=torch.float64)
        chi2 = 2 * torch._standard_gamma(halves, generator=self.generator)
        x = self.points[origin] + self.scales[wide] * normal / (chi2 / self.freedom).sqrt()
        events = x.to(self.model.dtype)
        log_p = (
            self.model._log_prob(events.reshape(-1, *self.model.event_shape).to(self.model.device))
            .cpu()
            .double()
        )
        return events, (log_p - self._log_density(events.double())).exp()

    def _log_density(self, x: Tensor) -> Tensor:
        nu, dim = self.freedom, self.points.shape[1]
        constant = (
            math.lgamma((nu + dim) / 2)
            - math.lgamma(nu / 2)
            - dim / 2 * math.log(nu * math.pi)
            - math.log(len(self.points))
        )
        parts = []
        for scale, share in zip(self.scales, self.shares, strict=True):
            squares = torch.cat(
                [torch.cdist(part / scale, self.points / scale) ** 2 for part in x.split(4096)]
            )
            log_t = -(nu + dim) / 2 * torch.log1p(squares / nu)
            parts.append(share.log() + constant - scale.log().sum() + torch.logsumexp(log_t, 1))
        return torch.logsumexp(torch.stack(parts), 0)


def _nearest(x: Tensor, centres: Tensor) -> Tensor:
    return torch.cat([torch.cdist(part, centres).argmin(1) for part in x.split(8192)])


def _central_differences(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    flat = x.flatten(1)
    step = 1e-5 * (1 + flat.abs())
    result = torch.empty_like(flat)
    for i in range(flat.shape[1]):
        shift = torch.zeros_like(flat)
        shift[:, i] = step[:, i]
        up, down = (
            function((flat + shift).reshape(x.shape)),
            function((flat - shift).reshape(x.shape)),
        )
        result[:, i] = ((up - down) / (2 * step[:, i])).detach()
    return result.reshape(x.shape)


def _normaliser_hint(total: float) -> str:
    if not math.isfinite(total):
        return "a probability is infinite or not a number."
    return (
        f"the normalising constant is off by a factor of {total:.4g} (log "
        f"{math.log(max(total, 1e-300)):+.4f} nats)."
    )


def _gradient_hint(found: Tensor, expected: Tensor) -> str:
    if torch.allclose(found, -expected, rtol=1e-3, atol=1e-6):
        return "every sign is reversed."
    ratio = ((found * expected).sum() / (expected**2).sum()).item()
    if torch.allclose(found, ratio * expected, rtol=1e-3, atol=1e-6):
        return f"the whole gradient is off by a factor of {ratio:.4g}."
    return "look at the terms that touch this entry."


def _row(x: Tensor) -> str:
    return (
        "("
        + ", ".join(f"{value:.3g}" for value in x[:6].tolist())
        + (", …)" if len(x) > 6 else ")")
    )
