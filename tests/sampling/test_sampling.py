"""Samplers against transition matrices, integrals and sums over all states."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

import genlib as gl
from genlib.core.random import normal
from genlib.models.boltzmann.restricted import MachinePath
from genlib.sampling import ais, gibbs, parallel_tempering, reverse_ais

STATES = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
COUPLINGS = np.array([[0, 1.5, -0.5], [1.5, 0, 2.0], [-0.5, 2.0, 0]])


def energy(x):
    """−½ x·Jx − 0.3 Σ x."""
    J = torch.as_tensor(COUPLINGS, dtype=x.dtype)
    return -0.5 * (x @ J * x).sum(1) - 0.3 * x.sum(1)


def sweep_matrix():
    """Transition probabilities of a sweep, variable by variable, written out."""
    E = energy(torch.from_numpy(STATES)).numpy()
    place = {tuple(state): i for i, state in enumerate(STATES)}
    whole = np.eye(8)
    for site in range(3):
        step = np.zeros((8, 8))
        for i, state in enumerate(STATES):
            ends = []
            for value in (0.0, 1.0):
                other = state.copy()
                other[site] = value
                ends.append(place[tuple(other)])
            w = np.exp(-E[ends])
            for end, p in zip(ends, w / w.sum(), strict=True):
                step[i, end] += p
        whole = whole @ step
    return whole


def surely_equal(counts, p, alarms):
    n = counts.sum()
    sure = (p > 0) & (p < 1)
    z = (counts[sure] - n * p[sure]) / np.sqrt(n * p[sure] * (1 - p[sure]))
    assert np.abs(z).max() < norm.isf(alarms / 2 / sure.sum())


def counted(x):
    return torch.bincount((x @ torch.tensor([4.0, 2, 1]).double()).long(), minlength=8).numpy()


@pytest.mark.covers("B02")
def test_sweeps_have_the_probabilities_of_single_draws():
    matrix = sweep_matrix()
    for sweeps in (1, 3):
        expected = np.linalg.matrix_power(matrix, sweeps)
        for i, state in enumerate(STATES):
            start = torch.from_numpy(state).repeat(30_000, 1)
            generator = torch.Generator().manual_seed(i)
            chain = gibbs(energy, start, sweeps, generator=generator)
            surely_equal(counted(chain.x), expected[i], 1e-6 / 16)
            torch.testing.assert_close(chain.energy, energy(chain.x))
            assert torch.equal(start, torch.from_numpy(state).repeat(30_000, 1))
            assert chain.flips.shape == (sweeps,)


def test_sweeps_leave_the_distribution_invariant():
    p = np.exp(-energy(torch.from_numpy(STATES)).numpy())
    p /= p.sum()
    np.testing.assert_allclose(p @ sweep_matrix(), p, atol=1e-12)


def test_bad_states_are_refused_by_name():
    with pytest.raises(ValueError, match="x: expected values in"):
        gibbs(energy, torch.full((2, 3), 0.5))
    with pytest.raises(ValueError, match=r"expected states of shape \(N, d\)"):
        gibbs(energy, torch.zeros(3))
    with pytest.raises(ValueError, match="energy: expected one number for each of 2 rows"):
        gibbs(lambda x: x, torch.zeros(2, 3))


class Gaussians:
    """From N(0, 1) to N(2, 0.5²) without their constants; a Metropolis step."""

    def log_partition(self):
        return torch.tensor(0.5 * math.log(2 * math.pi), dtype=torch.float64)

    def sample(self, n, generator):
        return normal((n,), torch.zeros(1).double(), generator)

    def state(self, x):
        return x

    def energy(self, x, beta):
        return (1 - beta) * 0.5 * x**2 + beta * 2 * (x - 2) ** 2

    def step(self, x, beta, generator):
        moved = x + normal(x.shape, x, generator)
        accept = torch.rand(x.shape, generator=generator).double().log() < self.energy(
            x, beta
        ) - self.energy(moved, beta)
        return torch.where(accept, moved, x)


EXACT = 0.5 * math.log(2 * math.pi) + math.log(0.5)
BETAS = torch.linspace(0, 1, 60, dtype=torch.float64)


@pytest.mark.covers("B05")
def test_both_sides_of_annealing_meet_the_integral():
    """Within five errors of the delta method; the mean of the weights within five of its own."""
    generator = torch.Generator().manual_seed(0)
    below = ais(Gaussians(), BETAS, 4000, generator=generator)
    x = 2 + 0.5 * torch.randn(4000, generator=generator, dtype=torch.float64)
    above = reverse_ais(Gaussians(), BETAS, x, generator=generator)
    for found in (below, above):
        value, error = found.log_partition
        assert abs(value - EXACT) < 5 * error
    weights = (below.log_weights + Gaussians().log_partition()).exp()
    assert abs(weights.mean() - math.exp(EXACT)) < 5 * weights.std() / 4000**0.5


def test_the_estimate_is_the_logarithm_of_the_mean_of_weights():
    found = ais(Gaussians(), BETAS, 50, generator=torch.Generator().manual_seed(0))
    w = found.log_weights.exp()
    expected = Gaussians().log_partition() + w.mean().log()
    torch.testing.assert_close(found.log_partition.value, expected)
    torch.testing.assert_close(found.log_partition.error, w.std() / w.mean() / 50**0.5)
    assert abs(found.effective_sample_size - (w.sum() ** 2 / (w**2).sum()).item()) < 1e-9


@pytest.mark.filterwarnings("ignore:annealing ended:RuntimeWarning")
def test_sides_are_ordered_on_average_where_temperatures_are_few():
    """Means over 1,000 runs of each; log Z between them, by more than five errors."""
    coarse, sides = torch.linspace(0, 1, 3, dtype=torch.float64), ([], [])
    generator = torch.Generator().manual_seed(0)
    for _ in range(1000):
        x = 2 + 0.5 * torch.randn(20, generator=generator, dtype=torch.float64)
        below = ais(Gaussians(), coarse, 20, generator=generator)
        above = reverse_ais(Gaussians(), coarse, x, generator=generator)
        for found, side in zip((below, above), sides, strict=True):
            side.append(found.log_partition.value.item() - EXACT)
    below, above = (np.mean(side) / (np.std(side) / 1000**0.5) for side in sides)
    assert below < -5
    assert above > 5


def test_few_effective_samples_are_warned_of():
    with pytest.warns(RuntimeWarning, match=r"effective sample of \d\.\d of 20 chains"):
        ais(Gaussians(), torch.tensor([0.0, 1.0]), 20, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "betas",
    [torch.tensor([1.0]), torch.tensor([0.0, 0.5]), torch.tensor([0.0, 1.0, 0.5]), torch.eye(2)],
)
def test_temperatures_that_do_not_rise_from_0_to_1_are_refused(betas):
    with pytest.raises(ValueError, match="betas: expected at least two numbers that rise"):
        ais(Gaussians(), betas)


def test_one_chain_is_refused():
    with pytest.raises(ValueError, match="chains: expected at least 2"):
        ais(Gaussians(), BETAS, 1)


class Wells(Gaussians):
    """From N(0, 3²) to two narrow wells at ±4; the right one has three quarters of the mass."""

    def sample(self, n, generator):
        return 3 * super().sample(n, generator)

    def energy(self, x, beta):
        left = -0.5 * ((x + 4) / 0.5) ** 2
        right = -0.5 * ((x - 4) / 0.5) ** 2 + math.log(3)
        return (1 - beta) * x**2 / 18 - beta * torch.logaddexp(left, right)


@pytest.mark.covers("B05")
def test_tempering_finds_the_wells_masses_and_a_chain_does_not():
    """All chains begin in the wrong well. 2,000 chains; within five binomial errors."""
    generator, path = torch.Generator().manual_seed(0), Wells()
    start = torch.full((2000,), -4.0, dtype=torch.float64)
    betas = torch.tensor([0.0, 0.03, 0.1, 0.3, 0.6, 1.0], dtype=torch.float64)
    found = parallel_tempering(path, betas, [start] * 6, 400, generator=generator)
    mass = (found.states[-1] > 0).double().mean().item()
    assert abs(mass - 0.75) < 5 * (0.75 * 0.25 / 2000) ** 0.5
    assert (found.exchanged > 0.2).all() and (found.exchanged < 1).all()
    x = start
    for _ in range(400):
        x = path.step(x, 1.0, generator)
    assert (x > 0).double().mean() < 0.01


def test_one_state_a_temperature():
    with pytest.raises(ValueError, match="states: expected one for each of 2 betas, got 1"):
        parallel_tempering(Wells(), torch.tensor([0.0, 1.0]), [torch.zeros(3)], 5)


def test_flips_are_the_part_that_changed():
    assert gibbs(lambda s: 1e4 * s.sum(1), torch.ones(3, 2)).flips == 1


def test_energies_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="got NaN where a chain begins"):
        gibbs(lambda s: s.sum(1) * torch.nan, torch.ones(3, 2))


class Still(MachinePath):
    """A path on which nothing moves by itself."""

    def step(self, state, beta, generator):
        return state


def still():
    machine = gl.RBM(3, 2)
    machine.W.data.zero_()
    return Still(machine)


def test_all_parts_of_a_state_are_exchanged():
    path = still()  # without weights every exchange is accepted
    zeros, ones = path.state(torch.zeros(4, 3)), path.state(torch.ones(4, 3))
    after = parallel_tempering(path, torch.tensor([0.0, 1.0]), [zeros, ones], 1)
    assert after.exchanged == 1
    for found, expected in zip(after.states, (ones, zeros), strict=True):
        assert all(map(torch.equal, found, expected))


def test_replicas_of_other_numbers_of_chains_are_refused():
    path = still()
    states = [path.state(torch.zeros(n, 3)) for n in (3, 1)]
    with pytest.raises(ValueError, match=r"equally many chains in each, got \[3, 1\]"):
        parallel_tempering(path, torch.tensor([0.0, 1.0]), states, 1)
