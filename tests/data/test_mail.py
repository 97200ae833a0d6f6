"""Synthetic mail: its probabilities by enumeration and integration, its draws by counting."""

import itertools
import math

import pytest
import torch
from scipy import stats

from genlib import data

DEPENDENCES = [0.0, 0.3, 0.9, 1.0]
# Groups of one to five words, equal probabilities and both orders among them: 2¹¹ mails.
GROUPS = [
    {"tea": (0.3, 0.6)},
    {"left": (0.2, 0.7), "right": (0.2, 0.4)},
    {"a": (0.5, 0.5), "b": (0.1, 0.9), "c": (0.8, 0.05)},
    {"i": (0.7, 0.3), "j": (0.6, 0.35), "k": (0.4, 0.4), "l": (0.25, 0.5), "m": (0.1, 0.99)},
]
SIZES = [len(group) for group in GROUPS]
MAILS = torch.tensor(list(itertools.product([0.0, 1.0], repeat=sum(SIZES))), dtype=torch.float64)


@pytest.fixture(params=DEPENDENCES)
def little(request):
    return data.Mail(GROUPS, request.param, spam=0.35)


def group_probability(words, pairs, label, dependence):
    """p(words of a group | label), where a word is 0, 1 or None (unknown), from the definition.

    u is integrated over the pieces of [0, 1] between the probabilities: within a piece nothing
    changes.
    """
    known = [
        (word, pair[label]) for word, pair in zip(words, pairs, strict=True) if word is not None
    ]
    cuts = sorted({0.0, 1.0, *(p for _, p in known)})
    shared = sum(
        high - low
        for low, high in itertools.pairwise(cuts)
        if all(((low + high) / 2 < p) == word for word, p in known)
    )
    own = math.prod(p if word else 1 - p for word, p in known)
    return dependence * shared + (1 - dependence) * own


def probability(x, label, dependence, groups=GROUPS):
    """p(x | label) of a list of 0, 1 and None."""
    words = iter(x)
    return math.prod(
        group_probability(
            list(itertools.islice(words, len(group))), list(group.values()), label, dependence
        )
        for group in groups
    )


def bayes(x, dependence, spam, groups=GROUPS):
    """[p(ham | x), p(spam | x)] of a list of 0, 1 and None."""
    joint = [
        prior * probability(x, label, dependence, groups)
        for label, prior in enumerate([1 - spam, spam])
    ]
    return [part / sum(joint) for part in joint]


def labelled(label, rows=MAILS):
    return torch.full((len(rows),), label)


class TestProbabilities:
    def test_log_prob_is_the_definition(self, little):
        for label in (0, 1):
            expected = [probability(x, label, little.dependence) for x in MAILS.tolist()]
            expected = torch.tensor(expected, dtype=torch.float64)
            found = little.log_prob(MAILS, labelled(label)).exp()
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-15)

    def test_all_mails_sum_to_one(self, little):
        totals = [little.log_prob(MAILS, y).exp().sum().item() for y in (labelled(0), labelled(1))]
        totals.append(little.log_prob(MAILS).exp().sum().item())
        assert totals == pytest.approx([1, 1, 1], abs=1e-12)

    @pytest.mark.parametrize("size", range(1, 6))
    @pytest.mark.parametrize("dependence", DEPENDENCES)
    def test_the_states_of_one_group_sum_to_one(self, size, dependence):
        probabilities = torch.rand(size, 2, generator=torch.Generator().manual_seed(size))
        group = {str(i): tuple(pair) for i, pair in enumerate(probabilities.tolist())}
        mail = data.Mail([group], dependence)
        states = torch.tensor(list(itertools.product([0.0, 1.0], repeat=size)), dtype=torch.float64)
        assert mail.log_prob(states).exp().sum().item() == pytest.approx(1, abs=1e-12)

    def test_every_word_keeps_its_probability(self, little):
        pairs = [pair for group in GROUPS for pair in group.values()]
        assert little.word_probability.T.tolist() == [list(pair) for pair in pairs]
        for label in (0, 1):
            marginals = little.log_prob(MAILS, labelled(label)).exp() @ MAILS
            torch.testing.assert_close(
                marginals, little.word_probability[label], rtol=0, atol=1e-12
            )

    def test_two_words_of_a_group_occur_together_as_often_as_stated(self, little):
        # p(i and j | y) = (1 − d) p_i p_j + d min(p_i, p_j) in a group; p_i p_j across groups.
        group = torch.arange(len(SIZES)).repeat_interleave(torch.tensor(SIZES))
        for label in (0, 1):
            p = little.word_probability[label]
            apart = p[:, None] * p
            tied = torch.minimum(p[:, None], p)
            d = little.dependence * (group[:, None] == group).double()
            expected = (1 - d) * apart + d * tied
            expected.fill_diagonal_(0)
            found = MAILS.T @ (little.log_prob(MAILS, labelled(label)).exp()[:, None] * MAILS)
            found.fill_diagonal_(0)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)

    def test_posterior_is_bayes_rule(self, little):
        possible = little.log_prob(MAILS) > -math.inf
        assert bool(possible.all()) == (little.dependence < 1)
        x = MAILS[possible]
        expected = [bayes(row, little.dependence, little.spam) for row in x.tolist()]
        expected = torch.tensor(expected, dtype=torch.float64)
        torch.testing.assert_close(little.posterior(x), expected, rtol=1e-9, atol=1e-15)

    def test_at_dependence_zero_the_posterior_is_logistic(self):
        mail = data.mail(0.0, spam=0.25)
        x, _ = mail.sample(500, torch.Generator().manual_seed(0))
        ham, spam = mail.word_probability
        weights = spam.logit() - ham.logit()
        offset = math.log(0.25 / 0.75) + ((1 - spam).log() - (1 - ham).log()).sum()
        expected = torch.sigmoid(x.double() @ weights + offset)
        torch.testing.assert_close(mail.posterior(x.double())[:, 1], expected)

    def test_the_dtype_of_x_is_kept(self):
        mail = data.mail(0.5)
        x, y = mail.sample(20)
        for query in (mail.log_prob, mail.posterior, lambda x: mail.log_prob(x, y)):
            single, double = query(x), query(x.double())
            assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
            torch.testing.assert_close(single, double.float())

    def test_words_that_never_occur_together_are_refused_a_posterior(self):
        mail = data.Mail([{"rare": (0.1, 0.2), "common": (0.6, 0.7)}], dependence=1.0)
        x = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        assert mail.log_prob(x).exp().tolist() == pytest.approx([0.5, 0.0])
        with pytest.raises(ValueError, match="x: row 1 has probability zero at dependence 1"):
            mail.posterior(x)
        observed = torch.tensor([[True, True], [True, False]])
        assert mail.posterior(x, observed)[1].tolist() == pytest.approx([0.06 / 0.14, 0.08 / 0.14])


class TestObserved:
    @pytest.fixture
    def cut(self):
        """Random mails of the four groups with a random half of their words unknown."""
        generator = torch.Generator().manual_seed(4)
        rows = MAILS[torch.randint(len(MAILS), (60,), generator=generator)]
        observed = torch.rand(rows.shape, generator=generator) < 0.5
        observed[0], observed[1] = True, False
        return rows, observed

    def test_log_prob_sums_over_the_unknown_words(self, little, cut):
        x, observed = cut
        for label in (None, 0, 1):
            whole = little.log_prob(MAILS, None if label is None else labelled(label)).exp()
            agree = ((x[:, None] == MAILS) | ~observed[:, None]).all(-1)
            expected = (agree * whole).sum(1)
            y = None if label is None else labelled(label, x)
            found = little.log_prob(x, y, observed=observed).exp()
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-15)

    def test_posterior_sums_over_the_unknown_words(self, little, cut):
        x, observed = cut
        joint = torch.stack([little.log_prob(MAILS, labelled(y)).exp() for y in (0, 1)], 1)
        joint = joint * torch.tensor([1 - little.spam, little.spam], dtype=torch.float64)
        agree = ((x[:, None] == MAILS) | ~observed[:, None]).all(-1)
        evidence = agree.double() @ joint
        possible = evidence.sum(1) > 0
        expected = evidence[possible] / evidence[possible].sum(1, keepdim=True)
        found = little.posterior(x[possible], observed[possible])
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)

    def test_what_stands_at_unknown_words_makes_no_difference(self, little, cut):
        x, observed = cut
        other = torch.where(observed, x, 1 - x)
        assert torch.equal(
            little.log_prob(x, observed=observed), little.log_prob(other, observed=observed)
        )

    def test_one_mask_holds_for_every_row(self, little, cut):
        x, observed = cut
        every = observed[2].expand_as(observed)
        assert torch.equal(
            little.log_prob(x, observed=observed[2]), little.log_prob(x, observed=every)
        )

    def test_with_all_words_or_none(self, little):
        everything = torch.ones_like(MAILS, dtype=torch.bool)
        assert torch.equal(little.log_prob(MAILS, observed=everything), little.log_prob(MAILS))
        prior = little.posterior(MAILS, ~everything)
        torch.testing.assert_close(prior, torch.tensor([0.65, 0.35]).double().expand_as(prior))


class TestSamples:
    N = 200_000
    LEVEL = stats.norm.isf(1e-6 / 2 / (len(DEPENDENCES) * (2 * len(MAILS) + 1)))

    def test_every_mail_is_drawn_as_often_as_stated(self, little):
        # 4 dependences × (2 × 2048 mails and one label), false alarm 1e-6 over all of them, by the
        # exact binomial tails: many counts are too small for the normal distribution.
        x, y = little.sample(self.N, torch.Generator().manual_seed(2))
        rate = (y.sum().item() - 0.35 * self.N) / math.sqrt(self.N * 0.35 * 0.65)
        assert abs(rate) < self.LEVEL
        number = (x @ 2.0 ** torch.arange(x.shape[1]).flip(0)).long()
        prior = torch.tensor([0.65, 0.35], dtype=torch.float64)
        for label in (0, 1):
            counts = torch.bincount(number[y == label], minlength=len(MAILS))
            p = (prior[label] * little.log_prob(MAILS, labelled(label)).exp()).numpy()
            tails = stats.binom.cdf(counts, self.N, p), stats.binom.sf(counts - 1, self.N, p)
            assert min(tail.min() for tail in tails) > stats.norm.sf(self.LEVEL)

    def test_words_of_the_full_mail_have_their_probabilities(self):
        # 3 dependences × 2 labels × 36 words at 1e-6 in all.
        level = stats.norm.isf(1e-6 / 2 / (3 * 2 * 36))
        for dependence in (0.0, 0.5, 1.0):
            mail = data.mail(dependence)
            x, y = mail.sample(100_000, torch.Generator().manual_seed(3))
            for label in (0, 1):
                rows, p = x[y == label].double(), mail.word_probability[label]
                z = (rows.mean(0) - p) / (p * (1 - p) / len(rows)).sqrt()
                assert z.abs().max() < level

    def test_another_dependence_leaves_labels_and_first_words(self):
        (apart, y), (tied, same) = (
            data.mail(d).sample(300, torch.Generator().manual_seed(1)) for d in (0.0, 1.0)
        )
        assert torch.equal(y, same)
        words = data.mail().words
        first = [words.index(word) for word in ("free", "lottery", "meeting", "thanks")]
        assert torch.equal(apart[:, first], tied[:, first])
        assert not torch.equal(apart, tied)

    def test_seeds(self):
        mail = data.mail(0.5)
        draws = [mail.sample(50, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
        assert all(map(torch.equal, draws[0], draws[1]))
        assert not torch.equal(draws[0][0], draws[2][0])
        torch.manual_seed(8)
        x, _ = mail.sample(50)
        torch.manual_seed(8)
        assert torch.equal(x, mail.sample(50)[0])

    def test_dataset(self):
        mail = data.mail(0.5)
        drawn = mail.dataset(1003, seed=5)
        assert [len(part) for _, part in drawn.splits.items()] == [803, 100, 100]
        assert drawn.event_shape == mail.event_shape == (36,)
        assert drawn.labels.test.unique().tolist() == [0, 1]
        x, y = mail.sample(1003, torch.Generator().manual_seed(5))
        assert torch.equal(torch.cat([part for _, part in drawn.splits.items()]), x)
        assert torch.equal(torch.cat([part for _, part in drawn.labels.items()]), y)
        assert not torch.equal(drawn.train, mail.dataset(1003, seed=6).train)
        assert drawn.train.dtype == torch.float32 and "dependence 0.5" in drawn.name


class TestTheFullMail:
    def test_vocabulary(self):
        mail = data.mail()
        assert len(mail.words) == len(set(mail.words)) == 36
        assert {"meeting", "invoice", "lottery", "winner"} <= set(mail.words)
        assert mail.word_probability.shape == (2, 36)

    @pytest.mark.parametrize(
        ("dependence", "best", "naive", "believed"),
        [(0.0, 0.035, 0.035, 0.035), (0.9, 0.105, 0.137, 0.051)],
    )
    def test_errors_are_those_of_the_docstring(self, dependence, best, naive, believed):
        # Means over 100,000 mails of the exact posterior: their standard errors are below 0.0006,
        # so 0.003 is five of them.
        mail = data.mail(dependence)
        x, _ = mail.sample(100_000, torch.Generator().manual_seed(7))
        truth = mail.posterior(x.double())
        belief = data.mail(0.0).posterior(x.double())  # naive Bayes with the true parameters
        chosen = belief.argmax(1, keepdim=True)
        assert (1 - truth.amax(1)).mean().item() == pytest.approx(best, abs=0.003)
        assert (1 - truth.gather(1, chosen)).mean().item() == pytest.approx(naive, abs=0.003)
        assert (1 - belief.amax(1)).mean().item() == pytest.approx(believed, abs=0.003)


X = torch.zeros(4, 36)
META = torch.zeros(4, 36, device="meta")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: data.mail(1.1), ValueError, r"dependence: expected a number in \[0, 1\], got 1.1"),
        (lambda: data.mail(-0.1), ValueError, "dependence: expected"),
        (lambda: data.mail(math.nan), ValueError, "dependence: expected .* got nan"),
        (
            lambda: data.mail(spam=0.0),
            ValueError,
            r"spam: expected a number inside \(0, 1\), got 0",
        ),
        (lambda: data.mail(spam=1.0), ValueError, "spam: expected"),
        (lambda: data.Mail([]), ValueError, "groups: expected at least one group"),
        (lambda: data.Mail([{"a": (0.1, 0.2)}, {}]), ValueError, "and a word in each"),
        (lambda: data.Mail([{"a": (0.1, 0.2)}] * 2), ValueError, "the word 'a' comes twice"),
        (
            lambda: data.Mail([{"a": (0.0, 0.2)}]),
            ValueError,
            r"p\(a \| ham\) and p\(a \| spam\) in",
        ),
        (lambda: data.Mail([{"a": (0.1, 0.2, 0.3)}]), ValueError, r"got \(0.1, 0.2, 0.3\)"),
        (
            lambda: data.mail().log_prob(X + 0.5),
            ValueError,
            r"values in \{0, 1\}, got 0.5 at index",
        ),
        (lambda: data.mail().log_prob(X * math.nan), ValueError, "x: expected finite values"),
        (lambda: data.mail().log_prob(X[:, :35]), ValueError, r"shape \(N, 36\), got \(4, 35\)"),
        (lambda: data.mail().posterior(X[0]), ValueError, "needs a batch dimension"),
        (lambda: data.mail().posterior(X.long()), TypeError, "expected floating-point values"),
        (lambda: data.mail().posterior([[0.0] * 36]), TypeError, "x: expected a torch.Tensor"),
        (
            lambda: data.mail().log_prob(X, torch.full((4,), 2)),
            ValueError,
            "labels in 0 … 1, got 2",
        ),
        (lambda: data.mail().log_prob(X, torch.zeros(3).long()), ValueError, r"shape \(4,\), got"),
        (lambda: data.mail().log_prob(X, torch.zeros(4)), TypeError, "y: expected integer labels"),
        (lambda: data.mail().posterior(X, X), TypeError, "observed: .*torch.bool.* got torch.flo"),
        (lambda: data.mail().posterior(X, [True]), TypeError, "observed: .*torch.Tensor, got list"),
        (
            lambda: data.mail().posterior(X, X[:3] == 0),
            ValueError,
            r"observed: .*\(4, 36\) for one",
        ),
        (lambda: data.mail().posterior(X, META == 0), ValueError, "observed: .* meta device"),
        (lambda: data.mail().posterior(META), ValueError, "x: .* meta device"),
        (lambda: data.mail().log_prob(X, META[:, 0].long()), ValueError, "y: .* meta device"),
        (lambda: data.mail("a"), TypeError, r"dependence: expected a number in \[0, 1\], got 'a'"),
        (lambda: data.mail(spam=None), TypeError, r"spam: .* inside \(0, 1\), got None"),
        (lambda: data.Mail(None), TypeError, "groups: expected a list of mappings .* got None"),
        (lambda: data.Mail("ab"), TypeError, "groups: expected a list of mappings .* got 'ab'"),
        (lambda: data.Mail([{"a": 0.5}]), ValueError, r"p\(a \| ham\) and .*, got 0.5"),
        (lambda: data.Mail([{"a": ("b", 0.5)}]), ValueError, r"p\(a \| ham\) and .*, got \('b'"),
        (lambda: data.mail().sample(2**40), ValueError, "n: expected at most 59652323, got"),
        (lambda: data.mail().sample(3, 4), TypeError, "generator: expected .* got 4"),
        (
            lambda: data.mail().dataset(10, seed="a"),
            TypeError,
            "seed: expected an integer, got 'a'",
        ),
        (lambda: data.mail().sample(0), ValueError, "n: expected at least 1, got 0"),
        (lambda: data.mail().dataset(9), ValueError, "n: expected at least 10, got 9"),
    ],
)
def test_refusals(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_it_says_what_it_is():
    assert repr(data.mail(0.25, 0.5)) == "mail: 36 words in 13 groups, dependence 0.25, spam 0.5"
