"""`detailed_balance` and `stationary` on chains that are right, and on chains that are wrong on
purpose.
"""

import math
from types import SimpleNamespace

import pytest
import torch
from scipy import stats

import genlib as gl
from genlib.verify import VerificationError
from tests.verify.toys import DEVICE, failures

STATES = gl.binary_events(2)
LOG_PI = torch.tensor([0.1, 0.2, 0.3, 0.4]).log()


def log_prob(x):
    return LOG_PI[(2 * x[:, 0] + x[:, 1]).long()]


def metropolis(x, temperature=1.0):
    flip = torch.nn.functional.one_hot(torch.randint(2, (len(x),)), 2)
    proposal = (x - flip).abs()
    accept = torch.rand(len(x)).log() < (log_prob(proposal) - log_prob(x)) / temperature
    return torch.where(accept[:, None], proposal, x)


class TestDetailedBalance:
    def test_passes_metropolis(self):
        gl.verify.detailed_balance(metropolis, log_prob, STATES)

    def test_a_step_may_tell_more_than_the_state(self):
        def step(x):
            return metropolis(x), SimpleNamespace(accepted=0.5)

        gl.verify.detailed_balance(step, log_prob, STATES)
        with pytest.raises(VerificationError, match="look at the acceptance ratio"):
            gl.verify.detailed_balance(lambda x: (metropolis(x, 2.0), None), log_prob, STATES)

    def test_states_may_be_images(self):
        images = STATES.reshape(4, 1, 1, 2).double().to(DEVICE)

        def step(x, temperature=1.0):
            return metropolis(x.flatten(1).float().cpu(), temperature).to(x).reshape(x.shape)

        def log_pi(x):
            return log_prob(x.flatten(1).cpu()).to(x)

        gl.verify.detailed_balance(step, log_pi, images)
        with pytest.raises(VerificationError, match="look at the acceptance ratio"):
            gl.verify.detailed_balance(lambda x: step(x, 2.0), log_pi, images)

    def test_finds_a_wrong_acceptance_ratio(self):
        with pytest.raises(
            VerificationError, match=r"states \(0, 1\).*look at the acceptance ratio"
        ):
            gl.verify.detailed_balance(lambda x: metropolis(x, 2.0), log_prob, STATES)

    def test_finds_a_one_way_street(self):
        def rotate(x):
            code = (2 * x[:, 0] + x[:, 1] + 1) % 4
            return torch.stack([code // 2, code % 2], 1)

        with pytest.raises(VerificationError, match=r"4000 steps there and 0 back"):
            gl.verify.detailed_balance(rotate, log_prob, STATES)

    def test_finds_a_step_out_of_the_states(self):
        with pytest.raises(VerificationError, match="not in states"):
            gl.verify.detailed_balance(lambda x: x + 2, log_prob, STATES)

    def test_finds_a_chain_that_stands(self):
        with pytest.raises(VerificationError, match="nothing to balance: is every proposal refus"):
            gl.verify.detailed_balance(lambda x: x, log_prob, STATES)

    def test_false_alarms_are_as_rare_as_stated(self, monkeypatch):
        """At a rate of one in ten: 300 calls, with a false-alarm rate of 1e-6."""

        def check():
            gl.verify.detailed_balance(metropolis, log_prob, STATES, draws=200)

        assert 0 < failures(check, 300, monkeypatch) <= stats.binom.isf(1e-6, 300, 0.1)

    def test_the_fewest_draws_that_are_taken_tell_what_they_promise(self):
        """Two states, and a flow four times its return."""
        two = torch.tensor([[0.0], [1.0]])

        def step(x):
            leave = torch.rand(len(x), 1) < torch.where(x == 0, 1.0, 0.25)
            return torch.where(leave, 1 - x, x)

        for _ in range(20):
            with pytest.raises(VerificationError, match=r"states \(0, 1\)"):
                gl.verify.detailed_balance(step, lambda x: 0 * x[:, 0], two, draws=96)

    @pytest.mark.parametrize(
        ("change", "error", "words"),
        [
            ({"step": lambda x: torch.ones_like(x)[:1]}, ValueError, r"step: .*, got \(1, 2\)"),
            ({"step": lambda x: x.tolist()}, TypeError, r"next states, or \(states, info\), got l"),
            ({"step": lambda x: x * math.nan}, VerificationError, "reaches nan at index"),
            ({"draws": 0}, ValueError, "draws: expected at least 1, got 0"),
            ({"draws": 20}, ValueError, r"at least 1[0-3]\d, so that a flow four times"),
            ({"draws": None}, TypeError, "draws: expected an integer, got None"),
            ({"states": STATES[:0]}, ValueError, r"states: expected at least two, .* \(0, 2\)"),
            ({"states": STATES[:1]}, ValueError, "states: expected at least two"),
            ({"states": STATES[:, 0]}, ValueError, r"shape \(S, d\), got shape \(4,\)"),
            ({"states": STATES[[0, 1, 1]]}, ValueError, "got some of them twice"),
            ({"states": [[0, 1]]}, TypeError, "states: expected a torch.Tensor, got list"),
            ({"log_prob": lambda x: x}, ValueError, r"a number a state, shape \(4,\), got \(4, 2"),
            ({"log_prob": lambda x: x[:, 0].log()}, ValueError, "got -inf for state 0; leave"),
            ({"log_prob": lambda x: 1.0}, ValueError, "log_prob: expected .*, got float"),
        ],
    )
    def test_bad_input(self, change, error, words):
        call = {"step": metropolis, "log_prob": log_prob, "states": STATES}
        with pytest.raises(error, match=words):
            gl.verify.detailed_balance(**{**call, **change})


SCALES = torch.tensor([1.0, 0.5])


def target(n):
    """Two bells: at −1 and 1 in the first value, (n, 2)."""
    side = 2.0 * torch.randint(2, (n, 1)) - 1
    return side * torch.tensor([1.0, 0.0]) + SCALES * torch.randn(n, 2)


def energy(x):
    sides = [
        ((x - side * torch.tensor([1.0, 0.0])) / SCALES).square().sum(1) / 2 for side in (-1, 1)
    ]
    return -torch.logsumexp(-torch.stack(sides), 0)


def slope(x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(energy(x).sum(), x)[0]


def random_walk(x, sign=1, scale=0.7):
    """Metropolis with a symmetric proposal; ``sign`` −1 has its ratio upside down."""
    proposal = x + scale * torch.randn_like(x)
    accept = torch.rand(len(x)).log() < sign * (energy(x) - energy(proposal))
    return torch.where(accept[:, None], proposal, x)


def langevin(x, size, adjusted):
    """A step of size ε² / 2 down the slope, with its noise, and its correction where adjusted."""
    proposal = x - size**2 / 2 * slope(x) + size * torch.randn_like(x)

    def log_q(to, start):
        return -((to - start + size**2 / 2 * slope(start)).square().sum(1)) / (2 * size**2)

    ratio = energy(x) - energy(proposal) + log_q(x, proposal) - log_q(proposal, x)
    accept = (torch.rand(len(x)).log() < ratio) | (not adjusted)
    return torch.where(accept[:, None], proposal, x), SimpleNamespace(accepted=accept)


def hamiltonian(x, sign=1.0, size=0.3):
    """Five leapfrog steps; with ``sign`` −1 the momentum's energy enters the ratio reversed."""
    momentum = torch.randn_like(x)
    moved, p = x, momentum - size / 2 * slope(x)
    for i in range(5):
        moved = moved + size * p
        p = p - size * slope(moved) * (0.5 if i == 4 else 1)
    kinetic = (momentum.square() - p.square()).sum(1) / 2
    accept = torch.rand(len(x)).log() < energy(x) - energy(moved) + sign * kinetic
    return torch.where(accept[:, None], moved, x)


class TestStationary:
    @pytest.mark.parametrize(
        "step",
        [
            random_walk,
            lambda x: langevin(x, 0.6, adjusted=True),
            hamiltonian,
            lambda x: -x,
        ],
        ids=["random walk", "adjusted Langevin", "Hamiltonian", "reflection"],
    )
    def test_passes_chains_that_keep_their_target(self, step):
        gl.verify.stationary(step, target)

    @pytest.mark.parametrize(
        "step",
        [
            lambda x: random_walk(x, sign=-1),
            lambda x: langevin(x, 0.6, adjusted=False),
            lambda x: hamiltonian(x, sign=-1.0),
            lambda x: x + 0.02,
            lambda x: 1.01 * x,
        ],
        ids=["ratio upside down", "unadjusted Langevin", "wrong Hamiltonian", "drift", "stretch"],
    )
    def test_finds_chains_that_do_not(self, step):
        with pytest.raises(
            VerificationError, match=r"after 7 steps from exact draws the (mean|variance) of value"
        ):
            gl.verify.stationary(step, target)

    def test_unadjusted_langevin_is_right_in_the_limit_of_small_steps(self):
        gl.verify.stationary(lambda x: langevin(x, 0.02, adjusted=False), target, draws=5000)

    def test_finds_another_shape_of_the_same_mean_and_variance(self):
        """A Gaussian instead of two bells."""

        def forget(x):
            return torch.randn_like(x) * torch.tensor([math.sqrt(1.04), 0.5])

        def bells(n):
            side = 2.0 * torch.randint(2, (n, 1)) - 1
            return side * torch.tensor([1.0, 0.0]) + torch.tensor([0.2, 0.5]) * torch.randn(n, 2)

        with pytest.raises(VerificationError, match=r"chains enter the cell around .* leave it"):
            gl.verify.stationary(forget, bells)

    @pytest.mark.parametrize("shape", [(), (1, 2, 2)])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_numbers_and_images_of_either_dtype(self, dtype, shape):
        """An autoregressive process of order one keeps the standard normal distribution."""

        def step(x, noise=0.6):
            return 0.8 * x + noise * torch.randn_like(x)

        def sample(n):
            return torch.randn(n, *shape, dtype=dtype, device=DEVICE)

        gl.verify.stationary(step, sample)
        with pytest.raises(VerificationError, match="the variance of value 0 goes from"):
            gl.verify.stationary(lambda x: step(x, 0.63), sample)

    def test_the_samples_of_a_model(self):
        """A Gaussian is as it was when seen from the other side of its mean."""
        model = gl.Gaussian()
        model.fit(target(500))
        gl.verify.stationary(lambda x: 2 * model.loc - x, model.sample)
        with pytest.raises(VerificationError, match="the mean of value 0"):
            gl.verify.stationary(lambda x: 2 * model.loc + 0.2 - x, model.sample, steps=1)

    def test_false_alarms_are_as_rare_as_stated(self, monkeypatch):
        """At a rate of one in ten: 100 calls, with a false-alarm rate of 1e-6."""

        def check():
            gl.verify.stationary(
                lambda x: 0.8 * x + 0.6 * torch.randn_like(x),
                lambda n: torch.randn(n, 2),
                steps=1,
                draws=2000,
                cells=8,
            )

        assert 0 < failures(check, 100, monkeypatch) <= stats.binom.isf(1e-6, 100, 0.1)

    @pytest.mark.parametrize(
        ("change", "error", "words"),
        [
            (
                {"step": lambda x: x},
                VerificationError,
                "every chain is where it was 7 steps before",
            ),
            ({"step": lambda x: x / 0}, VerificationError, "the chain reaches -?inf at index"),
            ({"step": lambda x: x[:5]}, ValueError, r"step: expected a state for each .* \(5, 2\)"),
            ({"step": lambda x: None}, TypeError, r"next states, or \(states, info\), got None"),
            ({"sample": lambda n: target(7)}, ValueError, "sample: expected 20032 draws.* got 7"),
            ({"sample": lambda n: [1.0] * n}, TypeError, "sample: expected a torch.Tensor"),
            ({"sample": lambda n: target(n) / 0}, ValueError, "sample: expected finite values"),
            ({"draws": 0}, ValueError, "draws: expected at least 1, got 0"),
            ({"draws": 1000}, ValueError, r"at least 4\d{3}, so that each of 32 cells holds some"),
            ({"draws": None}, TypeError, "draws: expected an integer"),
            ({"cells": 1}, ValueError, "cells: expected at least 2, got 1"),
            ({"cells": 2000}, ValueError, "so that each of 2000 cells"),
            ({"steps": 0}, ValueError, "steps: expected at least 1, got 0"),
        ],
    )
    def test_bad_input(self, change, error, words):
        with pytest.raises(error, match=words):
            gl.verify.stationary(**{"step": random_walk, "sample": target, **change})
