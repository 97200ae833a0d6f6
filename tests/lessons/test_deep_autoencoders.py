"""What lesson 16 writes by hand, against quadrature, loops and torch's own optimisers."""

import itertools
import math
import re

import nbformat
import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.decomposition import PCA, TruncatedSVD
from torch.nn import functional as F

from tests.lessons.definitions import definitions
from tests.lessons.pages import bound_in
from tools import ROOT


@pytest.fixture
def lesson():
    return definitions("16_deep_autoencoders")


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def machines(widths, R=2, seed=0):
    """Stacks of R machines, from the lowest."""
    found = []
    for number, (D, H) in enumerate(itertools.pairwise(widths)):
        shapes = ((R, D, H), (R, 1, D), (R, 1, H))
        found.append(tuple(drawn(*s, seed=seed + 10 * number + i) for i, s in enumerate(shapes)))
    return found


@pytest.mark.covers("R09")
def test_hidden_means_are_those_of_the_energies(lesson):
    """Real hidden units by quadrature, binary ones by their two states."""
    v, W, c = drawn(5, 3), drawn(3, 2, seed=1), drawn(1, 2, seed=2)
    line = torch.linspace(-30, 30, 6001, dtype=torch.float64)
    for gaussian in (True, False):
        found = lesson["means"](v, W, c, gaussian)
        for n, j in itertools.product(range(5), range(2)):
            a = sum(v[n, i] * W[i, j] for i in range(3))
            if gaussian:
                p = (a * line - (line - c[0, j]) ** 2 / 2).softmax(0)
                assert abs(found[n, j] - p @ line) < 1e-8
            else:
                assert abs(found[n, j] - 1 / (1 + math.exp(-a - c[0, j]))) < 1e-12


@pytest.mark.covers("R09")
@pytest.mark.parametrize("gaussian", [False, True])
def test_a_machine_learns_the_gradient_of_cd_on_average(lesson, gaussian, monkeypatch):
    """The first step of 20,000 machines against its expectation, by listing v, h and v again.

    For Gaussian units the expectation over h is by quadrature. All entries are within 6 standard
    errors: by chance less than once in 10⁷.
    """
    R, rate, lesson["BATCH"] = 20_000, 0.5, 1
    x = torch.tensor([[0.6, 0.3]]).expand(R, 1, 2)
    torch.manual_seed(3)
    start = torch.tensor([[[1.5], [-1.0]]])
    with monkeypatch.context() as patch:  # every machine begins with the same weights
        patch.setattr(torch, "randn", lambda *shape: (10 * start).expand(shape))
        W, b, c = lesson["train_machine"](x, 1, rate, 1, gaussian)
    w, bias = start[0].double(), torch.logit(torch.tensor([0.6, 0.3]).double())
    states = torch.tensor([*itertools.product((0.0, 1.0), repeat=2)]).double()
    p_v = (states * x[0, 0] + (1 - states) * (1 - x[0, 0])).prod(1)
    expected = torch.zeros(2, 1).double()
    for v, p in zip(states, p_v, strict=True):
        field = (v @ w).item()
        if gaussian:
            h = torch.linspace(field - 9, field + 9, 2001, dtype=torch.float64)
            p_h = (-((h - field) ** 2) / 2).softmax(0)
        else:
            h = torch.tensor([0.0, 1.0]).double()
            p_h = torch.tensor([1 - expit(field), expit(field)]).double()
        expected += p * v[:, None] * (p_h @ h)
        on = torch.sigmoid(h[:, None] * w.T + bias)
        for end in states:
            chance = p_h @ (on * end + (1 - on) * (1 - end)).prod(1)
            a = end @ w
            expected -= p * chance * end[:, None] * (a if gaussian else a.sigmoid())
    moved = (W - start).double() / (rate * (0.1 if gaussian else 1))
    error = moved.std(0) / math.sqrt(R)
    assert ((moved.mean(0) - expected).abs() <= 6 * error).all()
    assert expected.abs().max() > 20 * error.max()  # else the test could not fail
    assert b.shape == (R, 1, 2) and c.shape == (R, 1, 1)


@pytest.mark.covers("R09")
def test_an_unrolled_stack_is_one_pass_up_and_down(lesson):
    stack = machines((5, 4, 3, 2))
    x = torch.rand(2, 6, 5, generator=torch.Generator().manual_seed(9)).double()
    net = lesson["unroll"](stack)
    code, logits = lesson["run"](x, net)
    for r in range(2):
        for n in range(6):
            h = x[r, n].numpy()
            for number, (W, _, c) in enumerate(stack, 1):
                field = c[r, 0].numpy() + W[r].numpy().T @ h
                h = field if number == 3 else expit(field)
            np.testing.assert_allclose(code[r, n].detach(), h, atol=1e-12)
            for number, (W, b, _) in enumerate(stack[::-1], 1):
                field = b[r, 0].numpy() + W[r].numpy() @ h
                h = field if number == 3 else expit(field)
            np.testing.assert_allclose(logits[r, n].detach(), h, atol=1e-12)


@pytest.mark.covers("R09")
def test_the_error_is_a_sum_over_pixels_and_a_mean_over_rows(lesson):
    net = lesson["unroll"](machines((4, 3, 2)))
    x = torch.rand(2, 5, 4, generator=torch.Generator().manual_seed(1)).double()
    p = lesson["run"](x, net)[1].sigmoid()
    wanted = torch.zeros(2).double()
    for r, n, i in itertools.product(range(2), range(5), range(4)):
        value, q = x[r, n, i], p[r, n, i]
        wanted[r] -= (value * q.log() + (1 - value) * (1 - q).log()) / 5
    assert torch.allclose(lesson["nats"](x, net), wanted)
    squared = (x[0] - p[0]).square().sum(1).mean()
    assert torch.allclose(lesson["squares"](x[0], net)[0], squared)


@pytest.mark.covers("R09")
@pytest.mark.parametrize("rule", ["momentum", "Adam"])
def test_steps_are_those_of_torch_each_network_at_its_own_rate(lesson, rule):
    target, rates, steps = drawn(3, 4, 2), torch.tensor([0.01, 0.05, 0.2]), 12
    net = [drawn(3, 4, 1, seed=5).requires_grad_(), drawn(3, 1, 2, seed=6).requires_grad_()]
    begun = [part.detach().clone() for part in net]

    def loss_of(parts, r=None):
        each = (parts[0] * parts[1].sin() - (target if r is None else target[r])) ** 2
        return each.flatten(1).sum(1) if r is None else each.sum()

    seen = lesson["descend"](
        net, lambda: loss_of(net), rates.view(-1, 1, 1), steps, rule, lambda: rates
    )
    assert len(seen) == 12
    for r, rate in enumerate(rates.tolist()):
        own = [part[r].clone().requires_grad_() for part in begun]
        if rule == "momentum":
            optimizer = torch.optim.SGD(own, lr=rate, momentum=0.9)
        else:
            optimizer = torch.optim.Adam(own, lr=rate, betas=(0.9, 0.99))
        velocity = [torch.zeros_like(part) for part in own]
        for step in range(steps):
            now = rate * (1 - step / steps)
            optimizer.param_groups[0]["lr"] = now
            optimizer.zero_grad()
            loss_of(own, r).backward()
            if rule == "Adam":
                optimizer.step()
                continue
            with torch.no_grad():
                for part, v in zip(own, velocity, strict=True):
                    v.mul_(0.9).add_(part.grad)
                    part -= now * v
        for part, mine in zip(net, own, strict=True):
            assert torch.allclose(part[r], mine, atol=1e-6)


@pytest.mark.covers("R08")
def test_shallow_stacks_have_the_shapes_of_unrolled_machines(lesson):
    torch.manual_seed(0)
    x = torch.rand(2, 30, 6)
    rate = torch.full((2, 1, 1), 0.1)
    net = lesson["stack_shallow"](x, (6, 4, 2), rate, 3)
    wanted = [(2, 6, 4), (2, 1, 4), (2, 4, 2), (2, 1, 2)]
    wanted += [(2, 2, 4), (2, 1, 4), (2, 4, 6), (2, 1, 6)]
    assert [tuple(part.shape) for part in net] == wanted
    logits = lesson["run"](x, net)[1]
    loss = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(2).mean(1)
    assert torch.allclose(lesson["nats"](x, net), loss)
    longer = lesson["stack_shallow"](x, (6, 4, 2), rate, 300)
    assert (lesson["nats"](x, longer) < loss).all()


@pytest.mark.covers("R11")
def test_scores_are_those_of_a_network_without_a_last_sigmoid(lesson):
    torch.manual_seed(1)
    net = [part.double() for part in lesson["fresh"]("He", (5, 4, 3, 10), 2)]
    x = drawn(2, 7, 5)
    found = lesson["scores"](x, net, torch.relu)
    h = x[1].numpy()
    for W, bias in ((net[0], net[1]), (net[2], net[3])):
        h = np.maximum(h @ W[1].detach().numpy() + bias[1].detach().numpy(), 0)
    wanted = h @ net[4][1].detach().numpy() + net[5][1].detach().numpy()
    np.testing.assert_allclose(found[1].detach(), wanted, atol=1e-12)


@pytest.mark.covers("R09")
def test_random_weights_have_the_scales_they_are_named_after(lesson):
    """Standard deviations of 200,000 weights, within 2 %: 12 standard errors."""
    torch.manual_seed(2)
    glorot = math.sqrt(2 / 60)
    scales = {"small": 0.1, "Glorot": glorot, "4 Glorot": 4 * glorot, "He": math.sqrt(2 / 40)}
    for kind, scale in scales.items():
        W, bias = lesson["fresh"](kind, (40, 20), 250)
        assert abs(W.std().item() / scale - 1) < 0.02 and not bias.any()


@pytest.mark.covers("R09")
def test_shuffling_keeps_the_entries_of_each_matrix_and_moves_them(lesson):
    torch.manual_seed(3)
    net = [drawn(2, 5, 4), drawn(2, 1, 4, seed=1)]
    mixed = lesson["shuffled"](net)
    assert not torch.equal(mixed[0], net[0]) and torch.equal(mixed[1], net[1])
    for one, other in zip(net[0], mixed[0], strict=True):
        assert torch.equal(one.flatten().sort().values, other.detach().flatten().sort().values)


@pytest.mark.covers("R10")
def test_linear_codes_are_those_of_scikit_learn(lesson):
    """LSA is a truncated SVD of the rows as they are, PCA one of the centred rows."""
    rows = drawn(40, 6, seed=3) + 1
    lesson["table"] = {"train": rows}
    for middle, peer in (
        (torch.zeros(6).double(), TruncatedSVD(2, algorithm="arpack")),
        (rows.mean(0), PCA(2)),
    ):
        found = lesson["linear_code"](middle)(rows)[:, :2]
        wanted = torch.as_tensor(peer.fit_transform(rows.numpy()))
        assert torch.allclose(found.abs(), wanted.abs(), atol=1e-8)


@pytest.mark.covers("R10")
def test_average_precision_is_a_mean_over_relevant_ranks(lesson):
    rows = (torch.rand(8, 30, generator=torch.Generator().manual_seed(4)) < 0.3).float()
    rows[:, 7] = 1
    found = lesson["average_precision"](rows)
    for row, value in zip(rows.tolist(), found, strict=True):
        hits = [rank for rank, hit in enumerate(row, 1) if hit]
        wanted = sum(number / rank for number, rank in enumerate(hits, 1)) / len(hits)
        assert abs(value.item() - wanted) < 1e-6


def test_the_cells_that_the_last_exercise_names_are_enough_for_it():
    """They define what its text says, and train a scaled network and a pretrained one."""
    folder = ROOT / "lessons" / "16_deep_autoencoders"
    exercise = nbformat.read(folder / "exercises.ipynb", as_version=4)
    text = next(
        cell.source for cell in exercise.cells if "· What pretraining gains ·" in cell.source
    )
    names = set(re.findall(r"`(\w+)`", text))
    assert {"train_stack", "fine_tune", "fresh"} < names
    namespace = {}
    for cell in nbformat.read(folder / "lesson.ipynb", as_version=4).cells:
        if cell.cell_type == "code" and (cell.id == "set-up" or names & {*bound_in(cell.source)}):
            exec(cell.source, namespace)
            names -= {*bound_in(cell.source)}
    assert not names
    n = namespace
    seeds = torch.full((2, 1, 1), 0.01)
    scaled = n["fresh"]("Glorot", n["SIZES"], 2)
    machines = n["train_stack"](n["train"].expand(2, -1, -1), (*n["WIDTHS"], n["CODE"]), 0.2, 1)
    for net in (scaled, n["unroll"](machines)):
        n["fine_tune"](net, seeds, 1)
        assert n["held_out"](net).isfinite().all()
