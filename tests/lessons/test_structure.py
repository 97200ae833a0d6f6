"""What lesson 02 writes by hand, against independent truth and on inputs it has no time for."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

import genlib as gl
from tests.lessons.definitions import definitions


@pytest.fixture
def lesson():
    return definitions("02_structure")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def binary(n, d, seed=0):
    return (torch.rand(n, d, generator=generator(seed)) < 0.4).float()


@pytest.mark.covers("F06")
@pytest.mark.parametrize("states", [[2], [6], [2, 3, 4], [2] * 7])
def test_free_parameters_are_joint_states_less_one(lesson, states):
    events = list(itertools.product(*map(range, states)))
    assert lesson["free_parameters"](states) == len(events) - 1


@pytest.mark.covers("F06")
def test_windows_are_pieces_of_the_images(lesson):
    torch.manual_seed(0)
    images = torch.arange(2 * 28 * 28).float().view(2, 1, 28, 28)
    for row in lesson["windows"](images, 50):
        first = int(row[0])
        expected = [first + 28 * i + j for i in range(4) for j in range(4)]
        assert row.tolist() == expected
        assert 6 <= first % 28 <= 18 and 6 <= first // 28 % 28 <= 18


@pytest.mark.covers("F06")
def test_windows_come_from_every_place_of_every_image(lesson):
    torch.manual_seed(0)
    images = torch.arange(2 * 28 * 28).float().view(2, 1, 28, 28)
    places = {int(row[0]) for row in lesson["windows"](images, 10_000)}
    assert places == {
        784 * image + 28 * row + column
        for image in range(2)
        for row in range(6, 19)
        for column in range(6, 19)
    }  # one of the 338 is missed in one of 10¹⁰ runs


@pytest.mark.covers("F07")
@pytest.mark.parametrize("size", [1, 3, 4])
def test_a_pixel_of_a_window_looks_above_and_to_the_left(lesson, size):
    grid = np.pad(np.arange(size**2).reshape(size, size), ((1, 0), (1, 0)), constant_values=-1)
    expected = [
        [j for j in (grid[row - 1, column], grid[row, column - 1]) if j >= 0]
        for row in range(1, size + 1)
        for column in range(1, size + 1)
    ]
    assert lesson["above_and_left"](size) == expected


@pytest.mark.covers("F06")
def test_seen_before_are_rows_that_are_among_the_others(lesson):
    x, rows = binary(200, 6, 1), binary(30, 6, 2)
    known = set(map(tuple, rows.tolist()))
    expected = [tuple(row) in known for row in x.tolist()]
    assert lesson["seen_before"](x, rows).tolist() == expected and 0 < sum(expected) < 200


@pytest.mark.covers("F07")
def test_models_are_compared_by_paired_differences_and_their_standard_error(lesson):
    ours, theirs = torch.randn(2, 50, generator=generator(3)).double()
    gap = (ours - theirs).numpy()
    expected = f"{gap.mean():+.2f} ± {stats.sem(gap):.2f}"
    assert lesson["against"](ours, theirs) == expected
    assert lesson["z_of"](ours, theirs).item() == pytest.approx(gap.mean() / stats.sem(gap))


@pytest.mark.covers("F06")
def test_the_smoothing_is_the_one_that_is_best_on_validation_rows(lesson):
    train, valid = binary(30, 4, 4), binary(60, 4, 5)
    loss = {}
    for a in lesson["SMOOTHING"]:
        net = gl.BayesNet([[], [0], [0, 1], [0, 1, 2]], smoothing=a)
        net.fit(train)
        loss[-net.log_prob(valid).mean().item()] = a
    found = lesson["best_net"]([[], [0], [0, 1], [0, 1, 2]], train, valid)
    assert found.smoothing == loss[min(loss)] > lesson["SMOOTHING"][0]


# ------------------------------------------------------------------ networks by hand

GRAPHS = [[[], [0], [1], [2]], [[], [0], [0, 1], [0, 2]], [[], [], [], []], [[2], [0, 3], [], [2]]]
graphs = pytest.mark.parametrize("parents", GRAPHS)


def tables_for(parents, seed=0):
    draw = generator(seed)
    return [0.1 + 0.8 * torch.rand(2 ** len(of), generator=draw).double() for of in parents]


def probability(event, parents, tables):
    """Of one state of all variables, factor by factor."""
    p = 1.0
    for i, of in enumerate(parents):
        on = tables[i][sum(event[j] * 2**place for place, j in enumerate(of))].item()
        p *= on if event[i] else 1 - on
    return p


EVENTS = list(itertools.product((0, 1), repeat=4))


@pytest.mark.covers("F07")
@graphs
@pytest.mark.parametrize("smoothing", [0.5, 2.0])
def test_tables_are_fitted_by_counting(lesson, parents, smoothing):
    x = binary(40, 4)
    tables = lesson["fit"](x, parents, smoothing)
    for i, of in enumerate(parents):
        assert tables[i].shape == (2 ** len(of),)
        for states in itertools.product((0, 1), repeat=len(of)):
            rows = [
                r for r in x.tolist() if all(r[j] == s for j, s in zip(of, states, strict=True))
            ]
            expected = (sum(r[i] for r in rows) + smoothing) / (len(rows) + 2 * smoothing)
            entry = sum(s * 2**place for place, s in enumerate(states))
            assert tables[i][entry].item() == pytest.approx(expected)


@pytest.mark.covers("F07")
@graphs
def test_a_network_by_hand_is_the_product_of_its_conditionals(lesson, parents):
    tables = tables_for(parents)
    found = lesson["log_prob"](torch.tensor(EVENTS).float(), parents, tables).exp()
    expected = [probability(event, parents, tables) for event in EVENTS]
    assert found.tolist() == pytest.approx(expected)
    assert found.sum().item() == pytest.approx(1)


@pytest.mark.covers("F07")
@pytest.mark.parametrize("parents", GRAPHS[:3])
def test_ancestral_samples_follow_the_network(lesson, parents):
    torch.manual_seed(0)
    tables = [table.float() for table in tables_for(parents)]
    drawn = Counter(map(tuple, lesson["sample"](20_000, parents, tables).long().tolist()))
    expected = [20_000 * probability(event, parents, tables) for event in EVENTS]
    counts = [drawn[event] for event in EVENTS]
    expected = np.array(expected) * 20_000 / sum(expected)
    assert stats.chisquare(counts, expected).pvalue > 1e-6  # false alarms: one in a million


@pytest.mark.covers("F07")
@graphs
@pytest.mark.parametrize("given", [{}, {1: 1}, {2: 0, 3: 1}])
def test_a_conditional_by_listing_is_a_ratio_of_two_sums(lesson, parents, given):
    tables = tables_for(parents, 1)
    fits = [e for e in EVENTS if all(e[j] == s for j, s in given.items())]
    below = sum(probability(e, parents, tables) for e in fits)
    above = sum(probability(e, parents, tables) for e in fits if e[0])
    assert lesson["conditional"](0, given, parents, tables) == pytest.approx(above / below)


@pytest.mark.covers("F07")
@pytest.mark.parametrize("n", [1, 2, 7])
def test_the_last_marginal_is_a_sum_over_all_events(lesson, n):
    chain = gl.MarkovChain(n).double()
    chain.fit(binary(40, n, n).double())
    events = gl.binary_events(n, dtype=torch.float64)
    expected = chain.log_prob(events).exp()[events[:, -1] == 1].sum()
    assert lesson["last_marginal"](chain, n)[1].item() == pytest.approx(expected.item())


@pytest.mark.covers("F07")
@pytest.mark.parametrize("k", [0, 1, 4])
def test_nearest_earlier_pixels_are_earlier_and_nearest(lesson, k):
    parents = lesson["nearest"](k)
    assert len(parents) == 64
    for i, of in enumerate(parents):
        squares = [(i // 8 - j // 8) ** 2 + (i % 8 - j % 8) ** 2 for j in range(i)]
        assert len(set(of)) == len(of) == min(k, i) and all(j < i for j in of)
        assert sorted(squares[j] for j in of) == sorted(squares)[:k]
        if k == 1 and i > 0:  # of two that are equally near, the one that was read first
            assert of == [i - 8 if i >= 8 else i - 1]


@pytest.mark.covers("F07")
def test_the_last_pixels_are_those_just_before(lesson):
    assert lesson["last"](2)[:4] == [[], [0], [0, 1], [1, 2]]


# ------------------------------------------------------------------ functions


def softplus(t):
    return math.log1p(math.exp(-abs(t))) + max(t, 0.0)


@pytest.mark.covers("F07")
def test_logistic_conditionals_see_earlier_pixels_only(lesson):
    model, x = lesson["Logistic"](), binary(3, 64, 3)
    with torch.no_grad():
        model.w.normal_(generator=generator(4))
        model.b.normal_(generator=generator(5))
        found = model.log_prob(x)
    for row, value in zip(x.tolist(), found.tolist(), strict=True):
        total = 0.0
        for i in range(64):
            logit = model.b[i].item() + sum(model.w[i, j].item() * row[j] for j in range(i))
            total -= softplus(-logit if row[i] else logit)
        assert value == pytest.approx(total, rel=1e-4)


@pytest.mark.covers("F07")
def test_hidden_layers_see_earlier_pixels_only(lesson):
    torch.manual_seed(0)
    model, x = lesson["Hidden"](), binary(1, 64, 6)
    with torch.no_grad():
        model.c.normal_(generator=generator(7))
        model.b.normal_(generator=generator(8))
        found = model.logits(x)[0].tolist()
        w, c, v, b = (part.double().numpy() for part in (model.w, model.c, model.v, model.b))
    row = x[0].double().numpy()
    for i in range(64):
        hidden = np.maximum(0, c[i] + row[:i] @ w[i, :i])
        assert found[i] == pytest.approx(b[i] + v[i] @ hidden, abs=1e-4)


# ------------------------------------------------------------------ independence


def entropy(p):
    p = p.flatten()
    return -(p * p.log()).sum().item()


@pytest.mark.covers("F07")
def test_information_is_that_of_entropies(lesson):
    p = torch.rand(2, 3, 2, generator=generator(9)).double() + 0.1
    p = p / p.sum()
    alone, known = lesson["information"](p)
    ac, a, c = p.sum(1), p.sum((1, 2)), p.sum((0, 1))
    assert alone == pytest.approx(entropy(a) + entropy(c) - entropy(ac))
    ab, bc, b = p.sum(2), p.sum(0), p.sum((0, 2))
    assert known == pytest.approx(entropy(ab) + entropy(bc) - entropy(b) - entropy(p))


@pytest.mark.covers("F07")
@pytest.mark.parametrize(
    ("known", "expected"), [([], True), ([2], False), ([3], False), ([2, 3], False)]
)
def test_separation_at_a_v_structure(lesson, known, expected):
    assert lesson["separated"]([[], [], [0, 1], [2]], 0, 1, known) is expected


@pytest.mark.covers("F07")
def test_separation_along_chains_and_forks(lesson):
    for parents in ([[], [0], [1]], [[1], [], [1]]):
        assert not lesson["separated"](parents, 0, 2, [])
        assert lesson["separated"](parents, 0, 2, [1])


# ------------------------------------------------------------------ half a picture


@pytest.mark.covers("F08")
def test_a_completion_holds_the_conditionals_given_the_upper_half(lesson):
    """Of a chain whose lower pixels all follow from the last known one."""
    chain = gl.MarkovChain(64, homogeneous=True).double()
    chain.set_tables([torch.tensor([0.5, 0.5]), torch.tensor([[0.9, 0.1], [0.3, 0.7]])])
    for last in (0.0, 1.0):
        picture = torch.zeros(64, dtype=torch.float64)
        picture[31] = last
        filled = lesson["complete"](chain, picture)
        assert torch.equal(filled[:32], picture[:32])
        p = last
        for i in range(32, 64):
            p = 0.1 * (1 - p) + 0.7 * p
            assert filled[i].item() == pytest.approx(p)


@pytest.mark.covers("F08")
def test_later_pixels_of_a_drawn_completion_fit_the_earlier_ones(lesson):
    """Pixel 32 is a coin, and all after it repeat it."""
    torch.manual_seed(0)
    chain = gl.MarkovChain(64)
    repeat = [torch.tensor([0.5, 0.5]), *torch.eye(2).repeat(63, 1, 1)]
    repeat[32] = torch.full((2, 2), 0.5)
    chain.set_tables(repeat)
    drawn = torch.stack([lesson["complete"](chain, torch.zeros(64), draw=True) for _ in range(40)])
    assert set(drawn[:, 32].tolist()) == {0.0, 1.0}  # false alarms: one in 2**39
    assert (drawn[:, 32:] == drawn[:, 32:33]).all()


@pytest.mark.covers("F08")
def test_half_nats_are_of_each_pixel_and_of_the_whole_half(lesson):
    """Of a homogeneous chain, whose marginals and conditionals are known."""
    first, step = torch.tensor([0.5, 0.5]), torch.tensor([[0.9, 0.1], [0.3, 0.7]])
    chain = gl.MarkovChain(64, homogeneous=True).double()
    chain.set_tables([first, step])
    picture = binary(1, 64, 10)[0]
    by_pixel, whole, p = 0.0, 0.0, step[int(picture[31])].double()
    for i in range(32, 64):
        state = int(picture[i])
        by_pixel += math.log(p[state])
        whole += math.log(step[int(picture[i - 1]), state])
        p = p @ step.double()
    found = lesson["half_nats"](chain, picture)
    assert found == pytest.approx((by_pixel, whole), rel=1e-6)


# ------------------------------------------------------------------ naive Bayes


@pytest.mark.covers("F08", "F09")
def test_naive_joint_is_the_prior_times_the_counted_probabilities(lesson):
    x, rows = binary(30, 5, 11), binary(4, 5, 12)
    y = torch.arange(30) % 3
    found = lesson["naive_joint"](x, y, rows, 0.7)
    for n, k in itertools.product(range(4), range(3)):
        of_class = x[y == k]
        expected = math.log(len(of_class) / 30)
        for i in range(5):
            on = (of_class[:, i].sum().item() + 0.7) / (len(of_class) + 1.4)
            expected += math.log(on if rows[n, i] else 1 - on)
        assert found[n, k].item() == pytest.approx(expected)


@pytest.mark.covers("F08")
def test_marks_are_wrong_labels_and_the_log_probability_of_the_right_one(lesson):
    p, y = torch.tensor([0.9, 0.4, 0.2, 0.7]).double(), torch.tensor([1, 1, 0, 0])
    wrong, log_p = lesson["marks"](p, y)
    assert wrong == pytest.approx(50)
    assert log_p == pytest.approx(np.mean(np.log([0.9, 0.4, 0.8, 0.3])))


# ------------------------------------------------------------------ what the lesson prints


@pytest.mark.covers("F07")
def test_a_network_is_a_product_of_counted_tables():
    """p(x) = Π p(x_i | parents), with p = (count + α) / (count of parents + α · states)."""
    parents, states, alpha = [[], [0], [0, 1], [2]], [2, 3, 2, 3], 0.7
    sizes = torch.tensor(states)
    x = (torch.rand(80, 4, generator=generator(6)) * sizes).floor()
    net = gl.BayesNet(parents, states, smoothing=alpha).double()
    net.fit(x.double())
    families, contexts = Counter(), Counter()
    for row, (i, of) in itertools.product(x.long().tolist(), enumerate(parents)):
        families[i, tuple(row[j] for j in of), row[i]] += 1
        contexts[i, tuple(row[j] for j in of)] += 1
    for event in itertools.product(*map(range, states)):
        p = 1.0
        for i, of in enumerate(parents):
            seen = tuple(event[j] for j in of)
            p *= (families[i, seen, event[i]] + alpha) / (contexts[i, seen] + alpha * states[i])
        found = net.log_prob(torch.tensor([event]).double()).exp().item()
        assert found == pytest.approx(p)


@pytest.mark.covers("F07")
def test_free_parameters_of_chains_and_networks_are_those_that_the_lesson_prints():
    for n in (2, 9, 30):
        assert gl.MarkovChain(n).free_parameters == 2 * n - 1
        assert gl.MarkovChain(n, order=0).free_parameters == n
        assert gl.MarkovChain(n, homogeneous=True).free_parameters == 3
        parents = [range(max(0, i - 3), i) for i in range(n)]
        assert gl.BayesNet(parents).free_parameters == sum(2 ** len(of) for of in parents)
    assert gl.BayesNet([range(i) for i in range(9)]).free_parameters == 2**9 - 1
