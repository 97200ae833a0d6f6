"""Naive Bayes against scikit-learn, enumeration and numpy's counting."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from sklearn.datasets import load_digits
from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB

import genlib as gl
from tests.models.graphical.truth import events, tensor

LIKELIHOODS = ("bernoulli", "multinomial", "gaussian")
PEERS = {
    "bernoulli": lambda alpha: BernoulliNB(alpha=alpha),
    "multinomial": lambda alpha: MultinomialNB(alpha=alpha),
    "gaussian": lambda alpha: GaussianNB(var_smoothing=0),
}
FALSE_ALARM = 1e-6


def rows(likelihood, n=300, d=6, classes=3, seed=0):
    """Rows with labels, the classes unequal in size and in their features."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes), rng.choice(classes, n - classes, p=_shares(classes))])
    if likelihood == "bernoulli":
        x = rng.random((n, d)) < rng.uniform(0.05, 0.95, (classes, d))[y]
    elif likelihood == "multinomial":
        x = rng.poisson(rng.uniform(0.1, 4, (classes, d))[y])
    else:
        x = 3 * rng.normal(size=(classes, d))[y] + rng.normal(size=(n, d)) * rng.uniform(0.3, 2, d)
    return x.astype(np.float64), y


def _shares(classes):
    weights = np.arange(1, classes + 1)
    return weights / weights.sum()


def fitted(likelihood, smoothing=1.0, dtype=torch.float64, **settings):
    x, y = rows(likelihood, **settings)
    model = gl.NaiveBayes(likelihood, smoothing).to(dtype)
    model.fit(tensor(x, dtype), torch.from_numpy(y))
    return model


def bernoulli_joint(x, y, smoothing):
    """p(x, y) for every x (in the order of `events`) and label, by counting and multiplying."""
    everything, columns = events([2] * x.shape[1]), []
    for label in range(y.max() + 1):
        mine = x[y == label]
        p = (mine.sum(0) + smoothing) / (len(mine) + 2 * smoothing)
        columns.append(len(mine) / len(x) * np.where(everything, p, 1 - p).prod(1))
    return np.stack(columns, 1)


class TestScikitLearn:
    @pytest.mark.covers("F08", "F09")
    @pytest.mark.parametrize("likelihood", LIKELIHOODS)
    @pytest.mark.parametrize("alpha", [1.0, 0.1, 3])
    @pytest.mark.parametrize(("dtype", "exact"), [(torch.float64, 1e-10), (torch.float32, 1e-6)])
    def test_posterior_and_prediction_are_the_same(self, likelihood, alpha, dtype, exact):
        x, y = rows(likelihood, seed=1)
        new, _ = rows(likelihood, n=200, seed=2)
        x, new = tensor(x, dtype), tensor(new, dtype)
        peer = PEERS[likelihood](alpha).fit(x.double().numpy(), y)
        model = gl.NaiveBayes(likelihood, 0 if likelihood == "gaussian" else alpha).to(dtype)
        model.fit(x, torch.from_numpy(y))
        expected = peer.predict_proba(new.double().numpy())
        np.testing.assert_allclose(model.predict_proba(new), expected, atol=exact)
        np.testing.assert_allclose(model.encode(new), expected, atol=exact)
        assert model.predict(new).tolist() == peer.predict(new.double().numpy()).tolist()
        joint = peer.predict_joint_log_proba(new.double().numpy())
        if likelihood == "multinomial":  # scikit-learn leaves out the number of orders
            n = new.double().numpy()
            joint += (special.gammaln(n.sum(1) + 1) - special.gammaln(n + 1).sum(1))[:, None]
        np.testing.assert_allclose(model.joint_log_prob(new), joint, rtol=exact, atol=exact)

    @pytest.mark.covers("F08")
    def test_on_real_digits(self):
        x, y = load_digits(return_X_y=True)
        x = (x > 7).astype(np.float64)
        expected = BernoulliNB().fit(x, y).predict_proba(x)
        model = gl.NaiveBayes()
        model.fit(tensor(x), torch.from_numpy(y))
        np.testing.assert_allclose(model.predict_proba(tensor(x)), expected, atol=1e-6)


class TestBernoulli:
    @pytest.mark.covers("F09")
    @pytest.mark.parametrize("smoothing", [1.0, 0.25])
    def test_posterior_is_bayes_rule_over_all_events(self, smoothing):
        x, y = rows("bernoulli")
        model = fitted("bernoulli", smoothing)
        joint = bernoulli_joint(x, y, smoothing)
        everything = tensor(events([2] * 6), torch.float64)
        np.testing.assert_allclose(model.joint_log_prob(everything).exp(), joint, atol=1e-12)
        posterior = joint / joint.sum(1, keepdims=True)
        np.testing.assert_allclose(model.predict_proba(everything), posterior, atol=1e-12)
        np.testing.assert_allclose(model.log_prob(everything), np.log(joint.sum(1)), atol=1e-12)
        for label in range(3):
            given = torch.full((64,), label)
            np.testing.assert_allclose(
                model.log_prob(everything, given), np.log(joint[:, label] / joint[:, label].sum())
            )

    @pytest.mark.covers("F08")
    def test_missing_features_are_summed_out(self):
        x, y = rows("bernoulli")
        model = fitted("bernoulli")
        joint, everything = bernoulli_joint(x, y, 1), events([2] * 6)
        rng = np.random.default_rng(0)
        seen = everything[rng.integers(0, 64, 40)]
        observed = rng.random(seen.shape) < 0.5
        observed[0], observed[1] = False, True
        question = tensor(seen, torch.float64), torch.from_numpy(observed)
        found = model.predict_proba(*question), model.joint_log_prob(*question)
        filled = model.predict_missing(*question)
        for i, (row, known) in enumerate(zip(seen, observed, strict=True)):
            possible = (everything[:, known] == row[known]).all(1)
            p = joint[possible].sum(0)
            np.testing.assert_allclose(found[0][i], p / p.sum(), atol=1e-12)
            np.testing.assert_allclose(found[1][i].exp(), p, atol=1e-12)
            mean = joint[possible].sum(1) @ everything[possible] / p.sum()
            np.testing.assert_allclose(filled[i], mean, atol=1e-12)

    def test_what_is_not_observed_is_not_looked_at(self):
        model = fitted("bernoulli")
        x = tensor(events([2] * 6), torch.float64)
        observed = torch.tensor([True, False, True, False, False, True]).expand(64, 6)
        changed = torch.where(observed, x, 1 - x)
        assert torch.equal(model.predict_proba(x, observed), model.predict_proba(changed, observed))

    @pytest.mark.covers("F08")
    def test_is_a_bayesian_network_with_the_label_as_root(self):
        x, y = rows("bernoulli")
        model = fitted("bernoulli", smoothing=0)
        net = gl.BayesNet([[], *[[0]] * 6], [3, *[2] * 6], smoothing=0).double()
        net.fit(torch.cat([tensor(y, torch.float64)[:, None], tensor(x, torch.float64)], 1))
        for row in events([2] * 6)[::5]:
            given = {j + 1: int(value) for j, value in enumerate(row)}
            np.testing.assert_allclose(
                net.conditional(0, given),
                model.predict_proba(tensor(row, torch.float64)[None])[0],
                atol=1e-12,
            )
            del given[2], given[5]
            observed = torch.tensor([[True, False, True, True, False, True]])
            known = tensor(row, torch.float64)[None], observed
            np.testing.assert_allclose(
                net.conditional(0, given), model.predict_proba(*known)[0], atol=1e-12
            )
            filled = model.predict_missing(*known)[0, [1, 4]]
            alone = [net.conditional(j, given)[1].item() for j in (2, 5)]
            np.testing.assert_allclose(alone, filled, atol=1e-12)

    def test_a_tiny_pseudo_count_is_no_zero(self):
        """Always seen in class 0, so 1 − p rounds to zero, but its logarithm does not."""
        x, y = torch.tensor([[1.0], [1.0], [0.0]]), torch.tensor([0, 0, 1])
        model = gl.NaiveBayes(smoothing=1e-30)
        model.fit(x, y)
        assert torch.equal(model.predict(x), y)
        found = model.joint_log_prob(torch.zeros(1, 1))[0].tolist()
        assert found == pytest.approx([math.log(2 / 3 * 0.5e-30), math.log(1 / 3)], rel=1e-6)

    def test_every_one_of_many_rows_is_counted(self):
        rng = np.random.default_rng(0)
        x, y = rng.random((70_001, 3)) < [0.1, 0.5, 0.99], rng.integers(0, 2, 70_001)
        model = gl.NaiveBayes()
        model.fit(tensor(x), torch.from_numpy(y))
        assert model.feature_counts.tolist() == [x[y == label].sum(0).tolist() for label in (0, 1)]
        assert model.class_counts.tolist() == np.bincount(y).tolist()

    def test_thousands_of_words_do_not_underflow(self):
        rng = np.random.default_rng(0)
        x = (rng.random((40, 5000)) < 0.5).astype(np.float32)
        y = np.arange(40) % 2
        peer = BernoulliNB().fit(x.astype(np.float64), y)
        model = gl.NaiveBayes()
        model.fit(torch.from_numpy(x), torch.from_numpy(y))
        new = (rng.random((20, 5000)) < 0.5).astype(np.float32)
        np.testing.assert_allclose(
            model.predict_proba(torch.from_numpy(new)), peer.predict_proba(new), atol=1e-6
        )
        assert (model.log_prob(torch.from_numpy(new)) < -3000).all()


class TestMultinomial:
    @pytest.mark.covers("F09")
    def test_mass_is_scipy_s(self):
        x, y = rows("multinomial")
        model = fitted("multinomial", 0.5)
        for label in range(3):
            counts = x[y == label].sum(0) + 0.5
            expected = stats.multinomial.logpmf(x, x.sum(1), counts / counts.sum())
            found = model.log_prob(tensor(x, torch.float64), torch.full((len(x),), label))
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-9)

    def test_sums_to_one_over_all_texts_of_a_length(self):
        model = fitted("multinomial", d=4)
        texts = events([6] * 4)
        texts = tensor(texts[texts.sum(1) == 5], torch.float64)
        assert model.log_prob(texts).exp().sum().item() == pytest.approx(1, abs=1e-12)

    def test_the_empty_text_has_the_prior_for_posterior(self):
        _, y = rows("multinomial")
        found = fitted("multinomial").predict_proba(torch.zeros(1, 6).double())[0]
        np.testing.assert_allclose(found, np.bincount(y) / len(y))

    def test_counts_beyond_float32_are_kept(self):
        x = torch.tensor([[2.0**24, 1.0], [1.0, 1.0], [3.0, 1.0]])
        model = gl.NaiveBayes("multinomial", smoothing=0.5)
        model.fit(x, torch.tensor([0, 0, 1]))
        assert model.feature_counts.tolist() == [[2**24 + 1, 2], [3, 1]]
        found = model.double().log_prob(torch.tensor([[1.0, 0]]).double(), torch.tensor([0]))
        assert found.item() == pytest.approx(-math.log1p(2.5 / (2**24 + 1.5)), rel=1e-9)


class TestGaussian:
    @pytest.mark.covers("F09")
    def test_density_is_scipy_s(self):
        x, y = rows("gaussian")
        model = fitted("gaussian", 0)
        for label in range(3):
            mine = x[y == label]
            expected = stats.norm(mine.mean(0), mine.std(0)).logpdf(x).sum(1)
            found = model.log_prob(tensor(x, torch.float64), torch.full((len(x),), label))
            np.testing.assert_allclose(found, expected, rtol=1e-10)

    def test_smoothing_adds_rows_with_the_variance_of_all(self):
        x, y = rows("gaussian")
        model = fitted("gaussian", 2.5)
        for label in range(3):
            mine = x[y == label]
            expected = (len(mine) * mine.var(0) + 2.5 * x.var(0)) / (len(mine) + 2.5)
            np.testing.assert_allclose(model.variances[label], expected)
            np.testing.assert_allclose(model.means[label], mine.mean(0))

    @pytest.mark.covers("F08")
    def test_missing_features_are_integrated_out(self):
        """A product of normals loses the factors: as fitted to the other columns alone."""
        x, y = rows("gaussian")
        model, some = fitted("gaussian", 0), [0, 2, 5]
        peer = GaussianNB(var_smoothing=0).fit(x[:, some], y)
        observed = torch.zeros(len(x), 6, dtype=torch.bool)
        observed[:, some] = True
        hidden = tensor(x, torch.float64).masked_fill(~observed, 1e200)
        np.testing.assert_allclose(
            model.predict_proba(hidden, observed), peer.predict_proba(x[:, some]), atol=1e-10
        )
        filled = model.predict_missing(hidden, observed)
        np.testing.assert_allclose(filled[:, some], x[:, some])
        expected = peer.predict_proba(x[:, some]) @ model.means.numpy()
        np.testing.assert_allclose(filled[:, 1], expected[:, 1], atol=1e-10)

    def test_integrates_to_one_and_samples_follow_it(self):
        model = fitted("gaussian", d=2)
        gl.verify.normalised(model, draws=20_000)
        gl.verify.samples_match(model, draws=20_000, cells=12)

    def test_far_from_the_origin(self):
        x, y = rows("gaussian")
        far = tensor(x + 1000)
        model, near = gl.NaiveBayes("gaussian"), gl.NaiveBayes("gaussian").double()
        model.fit(far, torch.from_numpy(y))
        near.fit(far.double() - 1000, torch.from_numpy(y))
        found = near.log_prob(far.double() - 1000)
        np.testing.assert_allclose(model.log_prob(far), found, atol=1e-2)

    @pytest.mark.parametrize("scale", [1e-150, 1e-8, 1.0, 1e8])
    @pytest.mark.parametrize("offset", [0, 1e3, 1e7])
    @pytest.mark.parametrize("spread", [0, 1.0, 1e2, 1e5, 1e8])
    def test_no_digit_is_lost(self, scale, offset, spread):
        """Means and variances, and the joint density by differences, in extended precision: classes
        ``spread`` standard deviations apart, all of them ``offset`` away from the origin.
        """
        rng = np.random.default_rng(0)
        y = np.arange(300) % 3
        x = (rng.normal(size=(300, 4)) + spread * (y[:, None] - 0.7) + offset) * scale
        model = gl.NaiveBayes("gaussian", smoothing=0).double()
        model.fit(torch.from_numpy(x), torch.from_numpy(y))
        wide = x.astype(np.longdouble)
        for label in range(3):
            mine = wide[y == label]
            mean, variance = mine.mean(0), mine.var(0)
            np.testing.assert_allclose(model.means[label], mean.astype(float), rtol=1e-14)
            np.testing.assert_allclose(model.variances[label], variance.astype(float), rtol=1e-13)
        mean, variance = (
            part.numpy().astype(np.longdouble) for part in (model.means, model.variances)
        )
        terms = (wide[:, None] - mean) ** 2 / variance + np.log(2 * np.longdouble(np.pi) * variance)
        expected = np.log(np.longdouble(1) / 3) - terms.sum(2) / 2
        found = model.joint_log_prob(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(found, expected.astype(float), rtol=1e-14, atol=1e-9)

    def test_a_square_that_overflows_is_impossible_and_no_nan(self):
        model = fitted("gaussian")
        x = torch.full((2, 6), 1e200, dtype=torch.float64)
        x[1] = -1e300
        assert model.log_prob(x).tolist() == [-math.inf, -math.inf]


class TestSampling:
    @pytest.mark.covers("F08")
    def test_binary_events_follow_their_probabilities(self):
        model = fitted("bernoulli", dtype=torch.float32)
        gl.verify.normalised(model)
        gl.verify.samples_match(model)

    @pytest.mark.covers("F08")
    @pytest.mark.parametrize("likelihood", LIKELIHOODS)
    def test_given_labels_decide_the_features(self, likelihood):
        """z-tests of every feature's mean in every class; false-alarm rate 1e-6 in all."""
        model = fitted(likelihood)
        y = torch.arange(30_000) % 3
        x = model.sample(len(y), y, generator=torch.Generator().manual_seed(0))
        data, labels = rows(likelihood)
        z = []
        for label in range(3):
            mine, drawn = data[labels == label], x[y == label].numpy()
            if likelihood == "bernoulli":
                p = (mine.sum(0) + 1) / (len(mine) + 2)
                mean, variance, n = p, p * (1 - p), len(drawn)
            elif likelihood == "multinomial":
                p = (mine.sum(0) + 1) / (mine.sum() + 6)
                mean, variance, n = p, p * (1 - p), drawn.sum()
                drawn = drawn * len(drawn) / n
            else:
                mean, n = mine.mean(0), len(drawn)
                variance = (len(mine) * mine.var(0) + data.var(0)) / (len(mine) + 1)
                z.append((drawn.var(0) / variance - 1) * math.sqrt(n / 2))
            z.append((drawn.mean(0) - mean) / np.sqrt(variance / n))
        z = np.concatenate(z)
        assert (np.abs(z) < stats.norm.isf(FALSE_ALARM / len(z) / 2)).all()

    @pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
    def test_features_are_independent_once_the_label_is_known(self, likelihood):
        """Correlations within a class, by Fisher's z; false-alarm rate 1e-6 in all."""
        model, n = fitted(likelihood), 30_000
        x = model.sample(n, torch.ones(n, dtype=torch.int64))
        r = torch.corrcoef(x.T)[*torch.triu_indices(6, 6, 1)]
        assert (r.atanh().abs() * math.sqrt(n - 3) < stats.norm.isf(FALSE_ALARM / 15 / 2)).all()

    @pytest.mark.parametrize("likelihood", LIKELIHOODS)
    def test_labels_are_drawn_from_their_shares(self, likelihood):
        """Seen in features that give the label away; false-alarm rate 1e-6 in all."""
        y = np.repeat([0, 1, 2], [20, 30, 50])
        x = tensor(np.eye(3)[y])
        if likelihood == "gaussian":
            x += 0.01 * torch.randn(x.shape)
        model = gl.NaiveBayes(likelihood, smoothing=1e-9)
        model.fit(x, torch.from_numpy(y))
        drawn = model.sample(20_000).argmax(1).bincount(minlength=3).numpy()
        share = np.array([0.2, 0.3, 0.5])
        z = (drawn - 20_000 * share) / np.sqrt(20_000 * share * (1 - share))
        assert (np.abs(z) < stats.norm.isf(FALSE_ALARM / 6)).all()

    def test_texts_have_lengths_that_were_seen(self):
        """Each seen length as often as it was seen; false-alarm rate 1e-6 in all."""
        x = torch.tensor([[2.0, 1], [0, 3], [0, 0], [4, 3]])
        model = gl.NaiveBayes("multinomial")
        model.fit(x, torch.tensor([0, 1, 0, 1]))
        assert not torch.equal(model.sample(40).sum(1), model.sample(40).sum(1))
        lengths = model.sample(20_000).sum(1).long().bincount(minlength=8).numpy()
        share = np.array([1, 0, 0, 2, 0, 0, 0, 1]) / 4
        assert (lengths[share == 0] == 0).all()
        lengths, share = lengths[share > 0], share[share > 0]
        z = (lengths - 20_000 * share) / np.sqrt(20_000 * share * (1 - share))
        assert (np.abs(z) < stats.norm.isf(FALSE_ALARM / 6)).all()

    @pytest.mark.parametrize("likelihood", LIKELIHOODS)
    def test_the_generator_alone_decides_the_draw(self, likelihood):
        model = fitted(likelihood)
        draws = []
        for _ in range(2):
            torch.rand(1)
            draws.append(model.sample(40, generator=torch.Generator().manual_seed(7)))
        assert torch.equal(*draws)
        gl.seed(3)
        first = model.sample(40)
        gl.seed(3)
        assert torch.equal(first, model.sample(40))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
class TestContract:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_saving_keeps_everything(self, likelihood, dtype, tmp_path):
        model = fitted(likelihood, smoothing=0.7, dtype=dtype)
        model.save(tmp_path / "model")
        loaded = gl.load(tmp_path / "model")
        x = tensor(rows(likelihood)[0], dtype)
        assert (loaded.likelihood, loaded.smoothing, loaded.dtype) == (likelihood, 0.7, dtype)
        assert (loaded.classes, loaded.event_shape) == (3, (6,))
        assert torch.equal(loaded.log_prob(x), model.log_prob(x))
        draws = [m.sample(9, generator=torch.Generator().manual_seed(0)) for m in (model, loaded)]
        assert torch.equal(*draws)

    def test_float64_is_float64_throughout(self, likelihood):
        model = fitted(likelihood)
        x = tensor(rows(likelihood)[0], torch.float64)
        answers = [model.log_prob(x), model.sample(3), model.encode(x), model.predict_proba(x)]
        assert {answer.dtype for answer in answers} == {torch.float64}
        with pytest.raises(TypeError, match=r"computes in torch.float64, got torch.float32"):
            model.log_prob(x.float())

    def test_nothing_is_answered_before_fitting(self, likelihood):
        model, x = gl.NaiveBayes(likelihood), torch.zeros(2, 6)
        assert model.classes is None and model.event_shape is None
        observed = torch.ones(2, 6, dtype=torch.bool)
        for ask in [
            lambda: model.log_prob(x),
            lambda: model.sample(1),
            lambda: model.encode(x),
            lambda: model.predict(x),
            lambda: model.predict_proba(x),
            lambda: model.joint_log_prob(x),
            lambda: model.predict_missing(x, observed),
        ]:
            with pytest.raises(gl.NotFittedError, match=r"call fit\(x\) before"):
                ask()

    def test_in_parts_is_as_at_once(self, likelihood, monkeypatch):
        x, y = rows(likelihood)
        x, y = tensor(x, torch.float64), torch.from_numpy(y)
        whole, parted = (gl.NaiveBayes(likelihood).double() for _ in range(2))
        whole.fit(x, y)
        expected = whole.joint_log_prob(x)
        monkeypatch.setattr("genlib.models.graphical.naive_bayes.VALUES_AT_ONCE", 6 * 7)
        parted.fit(x, y)
        torch.testing.assert_close(parted.joint_log_prob(x), expected, rtol=1e-12, atol=1e-12)

    def test_refitting_forgets_and_the_data_decide_the_sizes(self, likelihood):
        model = fitted(likelihood)
        x, y = rows(likelihood, d=4, classes=2)
        model.fit(tensor(x, torch.float64), torch.from_numpy(y))
        assert (model.classes, model.event_shape) == (2, (4,))

    def test_a_single_class_is_certain(self, likelihood):
        x, _ = rows(likelihood)
        model = gl.NaiveBayes(likelihood)
        model.fit(tensor(x), torch.zeros(len(x), dtype=torch.int64))
        assert model.predict_proba(tensor(x)).unique().tolist() == [1]

    def test_held_out_rows_are_recorded_in_nats(self, likelihood):
        x, y = rows(likelihood)
        x, y = tensor(x, torch.float64), torch.from_numpy(y)
        model = gl.NaiveBayes(likelihood).double()
        history = model.fit(x[50:], y[50:], valid=(x[:50], y[:50]))
        share = y[50:].bincount() / 250
        expected = model.log_prob(x[:50], y[:50]) + share.log()[y[:50]]
        assert history.last["valid"] == pytest.approx(-expected.mean().item())

    def test_a_fit_that_fails_changes_nothing(self, likelihood):
        model = fitted(likelihood, smoothing=0)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        x, y = rows(likelihood)
        x, y = tensor(x, torch.float64), torch.from_numpy(y)
        gap = torch.where(y == 1, 2, y)
        for arguments, settings in [
            ((x - 9e9 if likelihood != "gaussian" else x * math.nan, y), {}),
            ((x, y[:9]), {}),
            ((x, gap), {}),
            ((torch.zeros_like(x), y), {}),
            ((x[:, :2], y), {"valid": (x, y)}),
            ((x[:, :2], y), {"valid": (x[:, :2], y + 1)}),
            ((x[:, :2], y), {"valid": (x[:, :2], y[:9])}),
        ]:
            with pytest.raises(ValueError, match=r"expected|never occurs|is constant"):
                model.fit(*arguments, **settings)
        after = model.state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(value, after[name]) for name, value in before.items())


class TestDoor:
    x = torch.tensor([[1.0, 0], [0, 1], [1, 1], [0, 0]])
    y = torch.tensor([0, 1, 1, 0])

    @pytest.mark.parametrize("likelihood", LIKELIHOODS)
    @pytest.mark.parametrize(
        ("x", "y", "error", "words"),
        [
            (x, y.float(), TypeError, r"y: expected integer labels \(torch.int64\), got .*float32"),
            (x, y.float() * math.nan, TypeError, "got torch.float32"),
            (x, y.int(), TypeError, "got torch.int32"),
            (x, y.bool(), TypeError, "got torch.bool"),
            (x, [0, 1, 1, 0], TypeError, "got list"),
            (x, y[:3], ValueError, r"one label a row, shape \(4,\), got \(3,\)"),
            (x, y[:, None], ValueError, r"shape \(4,\), got \(4, 1\)"),
            (x, y[:0], ValueError, r"shape \(4,\), got \(0,\)"),
            (x, y - 1, ValueError, "labels from 0 on, got -1 … 0"),
            (x, y + 10**12, ValueError, "in 0 … 1000000000001, got none of class 0"),
            (x, 2 * y, ValueError, "every class in 0 … 2, got none of class 1; number"),
            (x, y + 1, ValueError, "every class in 0 … 2, got none of class 0; number"),
            (x[0], y[:2], ValueError, r"matrix of shape \(N, d\), got \(2,\)"),
            (x[0, 0], y[:1], ValueError, r"matrix of shape \(N, d\), got \(\)"),
            (x[None], y[:1], ValueError, r"matrix of shape \(N, d\), got \(1, 4, 2\)"),
            (x[:0], y[:0], ValueError, "empty tensor"),
            (x[:, :0], y, ValueError, "empty tensor"),
            (x.long(), y, TypeError, "got torch.int64"),
            (x.double(), y, TypeError, "computes in torch.float32, got torch.float64"),
            (x.numpy(), y, TypeError, "got numpy.ndarray"),
            (x * math.nan, y, ValueError, r"got nan at index \(0, 0\)"),
            (x.clamp(max=0) + math.inf, y, ValueError, r"got inf at index \(0, 0\)"),
        ],
    )
    def test_fit_wants_rows_and_labels(self, likelihood, x, y, error, words):
        with pytest.raises(error, match=words):
            gl.NaiveBayes(likelihood).fit(x, y)

    @pytest.mark.parametrize(
        ("likelihood", "value", "words"),
        [
            ("bernoulli", 2.0, r"values in \{0, 1\}, got 2 at index \(0, 0\)"),
            ("bernoulli", 0.5, r"values in \{0, 1\}, got 0.5"),
            ("multinomial", -1.0, r"values in \{0, 1, 2, …\}, got -1"),
            ("multinomial", 0.5, r"values in \{0, 1, 2, …\}, got 0.5"),
        ],
    )
    def test_features_are_checked(self, likelihood, value, words):
        model = gl.NaiveBayes(likelihood)
        wrong = torch.full((4, 2), value)
        with pytest.raises(ValueError, match=words):
            model.fit(wrong, self.y)
        model.fit(self.x, self.y)
        for ask in (model.log_prob, model.predict, model.predict_proba, model.joint_log_prob):
            with pytest.raises(ValueError, match=words):
                ask(wrong)
            with pytest.raises(ValueError, match=r"shape \(N, 2\), got \(4, 3\)"):
                ask(torch.zeros(4, 3))

    @pytest.mark.parametrize(
        ("likelihood", "column", "words"),
        [
            ("bernoulli", [0, 1, 1, 0], "feature 1 never occurs in class 0; .*smoothing=1"),
            ("bernoulli", [1, 1, 0, 1], "feature 1 always occurs in class 0; .*smoothing=1"),
            ("multinomial", [0, 1, 5, 0], "feature 1 never occurs in class 0; .*smoothing=1"),
            ("gaussian", [3, 1, 2, 3], "column 1 is constant in class 0, .*smoothing=1"),
        ],
    )
    def test_zeros_without_smoothing_are_refused(self, likelihood, column, words):
        x = torch.stack([self.x[:, 0], torch.tensor(column).float()], 1)
        x[:, 0] = torch.tensor([0.0, 1, 0, 1])
        with pytest.raises(ValueError, match=words):
            gl.NaiveBayes(likelihood, smoothing=0).fit(x, self.y)
        model = gl.NaiveBayes(likelihood)
        model.fit(x, self.y)
        assert torch.isfinite(model.log_prob(x)).all()

    def test_a_variance_beyond_the_dtype_is_refused(self):
        x, y = 1e20 * torch.randn(20, 3), torch.arange(20) % 2
        with pytest.raises(ValueError, match=r"variance of column 0 in class 0 overflows"):
            gl.NaiveBayes("gaussian").fit(x, y)

    def test_a_variance_that_rounds_to_zero_is_refused(self):
        x = torch.tensor([[1e-25], [2e-25], [3e-25], [4e-25]])
        with pytest.raises(ValueError, match=r"rounds to zero in torch.float32; multiply"):
            gl.NaiveBayes("gaussian").fit(x, self.y)
        gl.NaiveBayes("gaussian").fit(x * 1e25, self.y)

    @pytest.mark.parametrize("smoothing", [0, 1])
    def test_a_constant_column_is_refused_with_what_helps(self, smoothing):
        """The corner of a digit's picture is white in all of them: no smoothing helps."""
        x, y = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
        model = gl.NaiveBayes("gaussian", smoothing).double()
        with pytest.raises(ValueError, match="column 0 is constant, 0 in every row") as raised:
            model.fit(x, y)
        assert str(raised.value).endswith("as in x[:, (x != x[0]).any(0)].")
        kept = x[:, (x != x[0]).any(0)]
        assert kept.shape[1] == 61
        if smoothing:
            model.fit(kept, y)
            assert (model.predict(kept) == y).double().mean() > 0.75
        else:
            with pytest.raises(ValueError, match=r"is constant in class \d, .* use smoothing=1"):
                model.fit(kept, y)

    @pytest.mark.parametrize("value", [0.1, 1e8 + 0.1, 1e-30])
    def test_rounding_makes_no_variance(self, value):
        """Three times 0.1 is not 0.3, but their variance is zero all the same."""
        x = torch.full((6, 1), value, dtype=torch.float64)
        x[3:, 0] = torch.arange(3)
        y = torch.tensor([0, 0, 0, 1, 1, 1])
        with pytest.raises(ValueError, match="column 0 is constant in class 0"):
            gl.NaiveBayes("gaussian", smoothing=0).double().fit(x, y)

    @pytest.mark.parametrize(
        ("valid", "error", "words"),
        [
            (x, TypeError, r"valid: expected a pair \(x, y\) of rows and labels, got Tensor"),
            ((x,), TypeError, "valid: expected a pair"),
            ((x[:, :1], y), ValueError, r"valid: expected shape \(N, 2\), got \(4, 1\)"),
            ((x + 1, y), ValueError, r"valid: expected values in \{0, 1\}, got 2"),
            ((x, y[:2]), ValueError, r"shape \(4,\), got \(2,\)"),
            ((x, y + 1), ValueError, "labels in 0 … 1, got 1 … 2"),
            ((x, None), TypeError, "got NoneType"),
        ],
    )
    def test_held_out_rows_are_checked(self, valid, error, words):
        with pytest.raises(error, match=words):
            gl.NaiveBayes().fit(self.x, self.y, valid=valid)

    @pytest.mark.parametrize(
        ("y", "error", "words"),
        [
            (y + 1, ValueError, "labels in 0 … 1, got 1 … 2"),
            (y[:2], ValueError, r"shape \(4,\), got \(2,\)"),
            (y.float(), TypeError, "got torch.float32"),
        ],
    )
    def test_queries_check_their_labels(self, y, error, words):
        model = gl.NaiveBayes()
        model.fit(self.x, self.y)
        with pytest.raises(error, match=words):
            model.log_prob(self.x, y)
        with pytest.raises(error, match=words):
            model.sample(4, y)

    @pytest.mark.parametrize(
        ("observed", "error", "words"),
        [
            (
                torch.ones(4, 2),
                TypeError,
                "observed: expected a tensor of torch.bool, .*torch.float32",
            ),
            ([[True, True]], TypeError, "observed: expected a torch.Tensor, got list"),
            (torch.ones(4, dtype=torch.bool), ValueError, r"\(4, 2\) for one a row, got \(4,\)"),
            (torch.ones(1, 2, dtype=torch.bool), ValueError, r"\(4, 2\) .*, got \(1, 2\)"),
        ],
    )
    @pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
    def test_observed_is_checked(self, likelihood, observed, error, words):
        model = gl.NaiveBayes(likelihood)
        model.fit(self.x, self.y)
        for ask in (model.predict_proba, model.joint_log_prob, model.predict_missing):
            with pytest.raises(error, match=words):
                ask(self.x, observed)

    def test_words_that_are_counted_cannot_be_left_out(self):
        model = gl.NaiveBayes("multinomial")
        model.fit(self.x, self.y)
        observed = torch.ones(4, 2, dtype=torch.bool)
        for ask in (model.predict_proba, model.joint_log_prob, model.predict_missing):
            with pytest.raises(ValueError, match=r"given their number, .*likelihood=\"bernoulli\""):
                ask(self.x, observed)

    @pytest.mark.parametrize(
        ("settings", "error", "words"),
        [
            ({"likelihood": "poisson"}, ValueError,
             "one of 'bernoulli', 'multinomial', 'gaussian', got 'poisson'"),
            ({"smoothing": -1.0}, ValueError, "smoothing: .* got -1.0"),
            ({"smoothing": math.nan}, ValueError, "smoothing: .* got nan"),
            ({"smoothing": "1"}, TypeError, "smoothing: expected a number, .*, got '1'"),
        ],
    )  # fmt: skip
    def test_bad_settings(self, settings, error, words):
        with pytest.raises(error, match=words):
            gl.NaiveBayes(**settings)


def test_the_class_that_is_missing_is_named_though_its_number_exceeds_the_rows():
    with pytest.raises(ValueError, match="every class in 0 … 5, got none of class 1; number"):
        gl.NaiveBayes().fit(torch.eye(2), torch.tensor([0, 5]))
