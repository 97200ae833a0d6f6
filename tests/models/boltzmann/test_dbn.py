"""Deep belief networks against sums over all states."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import norm

import genlib as gl
from genlib.core import CannotAnswerError
from genlib.models.boltzmann import DBN, dbn
from tests.models.boltzmann import truth
from tests.models.boltzmann.test_rbm import arrays, filled, frequencies, rows, surely_equal


def layer(weight, bias, given):
    """Probabilities of all states of a layer, unit by unit."""
    p = 1 / (1 + np.exp(-(weight @ given + bias)))
    return np.array([np.prod(np.where(s == 1, p, 1 - p)) for s in truth.states(len(bias))])


def parameters(linear):
    return tuple(part.detach().double().numpy() for part in linear.parameters())


def joint(network):
    """p(x, h_1) of all pairs, (states of x, states of h_1), with h_2 summed out in loops."""
    top = truth.joint(*arrays(network.top))[0].sum(1)
    h = truth.states(network.up[0].out_features)
    return np.array([layer(*parameters(network.down[0]), state) for state in h]).T * top


def log_p_x(network):
    return np.log(joint(network).sum(1))


def exact_bounds(network):
    """E_q[log p(x, h_1) − log q(h_1 | x)] of all x."""
    q = np.array([layer(*parameters(network.up[0]), x) for x in truth.states(4)])
    return (q * (np.log(joint(network)) - np.log(q))).sum(1)


@pytest.fixture
def network():
    return filled(DBN([4, 3, 3]), 0.8)


@pytest.mark.covers("B07")
def test_the_density_is_that_of_directed_layers_under_a_machine(network):
    expected = log_p_x(network)
    np.testing.assert_allclose(np.exp(expected).sum(), 1)
    value, error = network.estimate_log_prob(
        rows(4), samples=4000, generator=torch.Generator().manual_seed(0)
    )
    z = (value.numpy() - expected) / error.numpy()
    assert np.abs(z).max() < norm.isf(0.5e-6 / 16)


@pytest.mark.covers("B07")
def test_the_bound_is_the_sum_over_q_written_out(network):
    expected = exact_bounds(network)
    generator = torch.Generator().manual_seed(0)
    found = network._log_weights(rows(4), 4000, generator).detach()
    z = (found.mean(0).numpy() - expected) / (found.std(0) / 4000**0.5).numpy()
    assert np.abs(z).max() < norm.isf(0.5e-6 / 16)
    assert (expected < log_p_x(network)).all()


def test_samples_come_from_the_network(network):
    counts = frequencies(network.sample(40_000, generator=torch.Generator().manual_seed(0)))
    surely_equal(counts, np.exp(log_p_x(network)))


def put_under(network, machine, x):
    """The network as greedy training leaves it after its first machine."""
    with torch.no_grad():
        for linear, weight, bias in (
            (network.down[0], machine.W, machine.b),
            (network.up[0], machine.W.T, machine.c),
        ):
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
    dbn._begin_transposed(network.top, machine, network._upwards(x)[-1])


@pytest.mark.covers("B07")
def test_with_transposed_weights_above_the_network_is_the_machine_and_training_raises_the_bound():
    x = rows(4)[[3, 5, 9, 12]].repeat(100, 1)
    machine = filled(gl.RBM(4, 3), 2.0)
    network = DBN([4, 3, 4], method="exact").double()
    put_under(network, machine, x)
    expected = machine.log_prob(rows(4)).detach().numpy()
    np.testing.assert_allclose(log_p_x(network), expected, atol=1e-9)
    used = [3, 5, 9, 12]
    before = exact_bounds(network)[used]
    np.testing.assert_allclose(before, expected[used], atol=1e-9)  # q is the posterior itself
    generator = torch.Generator().manual_seed(0)
    h = network._upwards(x.repeat(20, 1), generator)[-1]
    network.top.fit(h, epochs=300, batch_size=len(h), lr=0.03, progress=False)
    after = exact_bounds(network)[used]
    assert after.mean() > before.mean() + 0.05
    assert log_p_x(network)[used].mean() >= after.mean()


def test_pretraining_trains_every_machine_on_the_states_below():
    x = rows(4).float()[[3, 12]].repeat(100, 1)
    y = torch.arange(2).repeat(100)
    gl.seed(0)
    network = DBN([4, 3, 3], classes=2)
    histories = network.pretrain(x, y, epochs=30, lr=0.05, progress=False)
    assert len(histories) == 2
    assert (network.predict(x) == y).double().mean() == 1
    machine = gl.RBM(4, 3)
    machine.W.data, machine.c.data = network.up[0].weight.T, network.up[0].bias
    torch.testing.assert_close(machine.encode(x), network._means(x))


@pytest.mark.covers("B08")
def test_up_down_has_the_gradients_of_its_three_phases(network):
    """Against autograd of each phase alone, at the states that were drawn."""
    x = rows(4)[[3, 5, 5, 9]]
    torch.manual_seed(0)
    network.loss(x).backward()
    found = {name: p.grad for name, p in network.named_parameters()}
    torch.manual_seed(0)
    with torch.no_grad():
        _, h = network._upwards(x)
        negatives = network.top.gibbs(h)
        dream, above = network._downwards(negatives)
    V, b = network.down[0].weight, network.down[0].bias
    p = (h @ V.T + b).sigmoid()
    torch.testing.assert_close(found["down.0.weight"], -(x - p).T @ h / 4)
    torch.testing.assert_close(found["down.0.bias"], -(x - p).mean(0))
    R, r = network.up[0].weight, network.up[0].bias
    q = (dream @ R.T + r).sigmoid()
    torch.testing.assert_close(found["up.0.weight"], -(above - q).T @ dream / 4)
    torch.testing.assert_close(found["up.0.bias"], -(above - q).mean(0))
    on, off = (network.top.hidden_probabilities(v) for v in (h, negatives))
    torch.testing.assert_close(found["top.W"], -(h.T @ on - negatives.T @ off) / 4)
    assert torch.equal(above, negatives)


@pytest.mark.covers("B08")
def test_up_down_raises_the_exact_log_p():
    x = rows(4)[[3, 12]].repeat(50, 1)
    gl.seed(0)
    network = DBN([4, 3, 3], k=3).double()
    network.pretrain(x, epochs=10, lr=0.02, progress=False)
    before = log_p_x(network)[[3, 12]].mean()
    network.fit(x, epochs=150, batch_size=20, lr=0.01, progress=False)
    assert log_p_x(network)[[3, 12]].mean() > before + 0.1


@pytest.mark.covers("B09")
def test_labels_are_clamped_in_dreams_and_samples():
    x = rows(4).float()[[3, 12]].repeat(100, 1)
    y = torch.arange(2).repeat(100)
    gl.seed(0)
    network = DBN([4, 6, 6], classes=2, method="exact")
    network.pretrain(x, y, epochs=60, batch_size=20, lr=0.05, progress=False)
    pictures = network.dream(x[:50], torch.zeros(50, dtype=torch.int64), 50)
    assert pictures.shape == (50, 4)
    assert ((pictures > 0.5).float() == x[0]).double().mean() > 0.8
    drawn = network.sample(200, torch.ones(200, dtype=torch.int64))
    assert (drawn == x[1]).double().mean() > 0.8


def test_a_bound_needs_log_z_and_says_so():
    network = DBN([5, 20, 18])
    with pytest.raises(gl.CannotAnswerError, match="call estimate_log_partition"):
        network.elbo(torch.zeros(2, 5))
    network.estimate_log_partition(20, temperatures=100)
    assert network.elbo(torch.zeros(2, 5)).isfinite().all()
    network.fit(torch.zeros(4, 5), epochs=1, progress=False)
    with pytest.raises(gl.CannotAnswerError, match="call estimate_log_partition"):
        network.elbo(torch.zeros(2, 5))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DBN([784, 500]), "at least three layers"),
        (lambda: DBN([784, 0, 3]), "sizes: expected at least 1"),
        (lambda: DBN([4, 3, 3], k=0), "k: expected at least 1"),
        (lambda: DBN([4, 3, 3]).predict(torch.zeros(1, 4)), "this network has no labels"),
        (lambda: DBN([4, 3, 3], 2).fit(torch.zeros(2, 4)), "expected labels y as well"),
        (lambda: DBN([4, 3, 3], 2).dream(torch.zeros(2, 4), None), "expected labels y as well"),
        (lambda: DBN([4, 3, 3], 2).pretrain(torch.zeros(2, 5)), r"x: expected .*\(N, 4\)"),
    ],
)
def test_bad_input_is_refused_by_name(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


@pytest.mark.covers("R11")
@pytest.mark.parametrize("classes", [None, 2])
def test_a_classifier_begins_with_the_way_up_and_leaves_the_network_alone(classes):
    network = filled(DBN([4, 3, 5], classes=classes), 0.8)
    before = [value.clone() for value in network.parameters()]
    stack, x = network.classifier(3), rows(4)
    way_up, top = network.up[0], network.top
    h = (x @ way_up.weight.T + way_up.bias).sigmoid()
    code = (h @ top.W[:3] + top.c).sigmoid()
    torch.testing.assert_close(stack.encode(x), code)
    expected = (code @ stack.head.weight.T + stack.head.bias).softmax(1)
    torch.testing.assert_close(stack.predict_proba(x), expected)
    down = network.down[0]
    h = (code @ top.W[:3].T + top.b[:3]).sigmoid()
    torch.testing.assert_close(stack.decode(code), (h @ down.weight.T + down.bias).sigmoid())
    y = x[:, 0].long()
    stack.fit(x, y, epochs=200, lr=0.05, progress=False)
    assert torch.equal(stack.predict(x), y)
    assert all(map(torch.equal, before, network.parameters()))


# --------------------------------------------------------------------- two directed layers


def log_mass(linear, given, state):
    logits = given @ linear.weight.T + linear.bias
    return torch.distributions.Bernoulli(logits=logits).log_prob(state).sum(-1)


def log_p_of_two_layers(network):
    """log p(x) of all x, with both hidden layers listed."""
    x, h = rows(4), rows(3)
    top = -network.top.free_energy(h) - network.top.log_partition()
    first = torch.stack([log_mass(network.down[1], h, a) + top for a in h]).logsumexp(1)
    return torch.stack([log_mass(network.down[0], h, v) + first for v in x]).logsumexp(1)


@pytest.mark.covers("B07")
def test_two_directed_layers_are_estimated_and_sampled():
    """False alarm: 1e-6 each."""
    network = filled(DBN([4, 3, 3, 2]), 0.8)
    log_p = log_p_of_two_layers(network).detach()
    torch.testing.assert_close(log_p.logsumexp(0).item(), 0.0)
    generator = torch.Generator().manual_seed(0)
    value, error = network.estimate_log_prob(rows(4), samples=4000, generator=generator)
    assert ((value - log_p) / error).abs().max() < norm.isf(0.5e-6 / 16)
    x = network.sample(40_000, generator=generator)
    surely_equal(frequencies(x), log_p.exp().numpy())


@pytest.mark.covers("B08")
def test_the_phases_of_two_directed_layers_are_paired_layer_by_layer():
    network, x = filled(DBN([4, 3, 3, 2]), 0.8), rows(4)
    torch.manual_seed(0)
    loss = network.loss(x)
    torch.manual_seed(0)
    with torch.no_grad():
        awake = network._upwards(x)
        negatives = network.top.gibbs(awake[-1])
        asleep = network._downwards(negatives)
    expected = network.top.free_energy(awake[-1]).mean() - network.top.free_energy(negatives).mean()
    for layer in range(2):
        expected = expected - log_mass(network.down[layer], awake[layer + 1], awake[layer]).mean()
        expected = expected - log_mass(network.up[layer], asleep[layer], asleep[layer + 1]).mean()
    torch.testing.assert_close(loss, expected)


# --------------------------------------------------------------------- labels, log Z, beginnings


def test_up_down_hands_labels_to_the_top_machine(monkeypatch):
    network, seen = filled(DBN([4, 3, 3], classes=2)), []
    joined = network.top._joined
    monkeypatch.setattr(network.top, "_joined", lambda v, y: seen.append(y) or joined(v, y))
    y = torch.arange(16) % 2
    network.loss(rows(4), y)
    assert torch.equal(seen[0], y)


def test_the_bound_given_labels_is_the_sum_over_q():
    network, x, y = filled(DBN([4, 3, 3], classes=2), 2.0), rows(4)[[3, 9]], torch.tensor([0, 1])
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([network.elbo(x, y, samples=100, generator=generator) for _ in range(40)])
    h = rows(3)
    for i in range(2):
        log_q = log_mass(network.up[0], x[i], h)
        log_w = network.top.log_prob(h, y[i].expand(8)) + log_mass(network.down[0], h, x[i]) - log_q
        z = (draws[:, i].mean() - (log_q.exp() * log_w).sum()) / (draws[:, i].std() / 40**0.5)
        assert abs(z) < 6  # false alarm: 1e-6, by Student's t


def test_labels_given_to_a_large_network_are_refused_with_the_reason():
    with pytest.raises(CannotAnswerError, match=r"for each label.* leave y out"):
        DBN([30, 30, 28], classes=3).elbo(torch.zeros(2, 30), torch.tensor([0, 1]))


def test_a_kept_log_z_is_that_of_the_machine_as_it_is():
    network, x = DBN([5, 20, 18]), (torch.rand(20, 5) < 0.5).float()
    settings = {"epochs": 1, "progress": False}
    changes = (
        lambda: network.pretrain(x, **settings),
        lambda: network.fit(x, **settings),
        lambda: network.top.fit((torch.rand(20, 20) < 0.5).float(), **settings),
        lambda: network.top.c.data.add_(0.1),
    )
    for change in changes:
        found = network.estimate_log_partition(50, temperatures=100)
        assert network.log_z == found.value and network.elbo(x).isfinite().all()
        change()
        with pytest.raises(CannotAnswerError, match="estimate_log_partition"):
            network.elbo(x)


def test_a_kept_log_z_is_saved(tmp_path):
    network, x = DBN([5, 20, 18]), torch.zeros(2, 5)
    network.estimate_log_partition(50, temperatures=100)
    network.save(tmp_path / "network")
    for loaded in (gl.load(tmp_path / "network"), gl.load(tmp_path / "network").double()):
        assert loaded.elbo(x.to(loaded.dtype)).isfinite().all()


def test_machines_of_pretraining_begin_transposed(monkeypatch):
    weights, fit = [], gl.RBM.fit

    def noted(machine, *args, **settings):
        before = machine.W.detach().clone()
        history = fit(machine, *args, **settings)
        weights.append((before, machine.W.detach().clone()))
        return history

    monkeypatch.setattr(gl.RBM, "fit", noted)
    x = (torch.rand(20, 4) < 0.5).float()
    DBN([4, 3, 4, 3]).pretrain(x, epochs=1, progress=False)
    for (_, below), (above, _) in pairwise(weights):
        assert torch.equal(above, below.T)


def test_biases_of_a_transposed_machine_are_those_below():
    low, top = filled(gl.RBM(4, 3)), filled(gl.RBM(3, 4), seed=1)
    x = rows(3)
    dbn._begin_transposed(top, low, x)
    top.fit(x, epochs=1, lr=1e-9, progress=False)
    torch.testing.assert_close(top.b, low.c, atol=1e-6, rtol=0)


def test_labels_are_those_of_the_top_machine_at_means():
    network, x = filled(DBN([4, 3, 3], classes=2)), rows(4)
    means = (x @ network.up[0].weight.T + network.up[0].bias).sigmoid()
    torch.testing.assert_close(
        network.predict_proba(x), (-network.top._energies_by_label(means)).softmax(1)
    )


@pytest.mark.parametrize("name", ["valid", "checkpoint"])
def test_pretraining_refuses_what_is_for_fit_before_it_begins(name, tmp_path):
    network, x = DBN([4, 3, 3]), rows(4).float()
    before = [part.clone() for part in network.parameters()]
    value = {"valid": x, "checkpoint": tmp_path / "c"}[name]
    with pytest.raises(ValueError, match=f"{name}: expected none"):
        network.pretrain(x, epochs=1, **{name: value})
    assert all(map(torch.equal, before, network.parameters()))


def test_up_down_needs_chains():
    network, x = DBN([4, 3, 3], method="exact"), rows(4).float()
    network.pretrain(x, epochs=1, progress=False)
    with pytest.raises(ValueError, match="for up–down"):
        network.fit(x, epochs=1, progress=False)


def test_a_network_computes_in_its_own_precision():
    with pytest.raises(ValueError, match="DBN computes in its own"):
        DBN([4, 3, 3]).fit(rows(4).float(), epochs=1, precision=torch.bfloat16)
