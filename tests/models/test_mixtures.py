"""Mixtures and k-means against enumeration, quadrature, closed forms and scikit-learn."""

import copy
import itertools
import math
import statistics
import warnings

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from sklearn import cluster, mixture
from torch.utils.data import DataLoader, TensorDataset

import genlib as gl
from genlib.models.mixtures.em import Statistics
from genlib.models.mixtures.gaussian import COVARIANCES
from genlib.models.mixtures.kmeans import plus_plus
from tests.benchmarks.harness import in_fresh_process, peak_memory

PEER = {"full": "full", "tied": "tied", "diagonal": "diag", "spherical": "spherical"}


def clusters(n=400, d=3, k=4, seed=0, spread=5.0, dtype=torch.float32):
    """Rows around k centres, each with a covariance of its own."""
    generator = torch.Generator().manual_seed(seed)
    centres = spread * torch.randn(k, d, generator=generator)
    parts = [
        centres[i]
        + torch.randn(n // k, d, generator=generator)
        @ torch.randn(d, d, generator=generator).mul(0.5)
        for i in range(k)
    ]
    return torch.cat(parts)[torch.randperm(n // k * k, generator=generator)].to(dtype)


def bits(n=300, d=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    p = torch.rand(3, d, generator=generator)[torch.randint(3, (n,), generator=generator)]
    return torch.bernoulli(p, generator=generator)


def megabytes_of_an_assignment():
    model, x = gl.KMeans(500), torch.rand(200_000, 1)
    model.centres = torch.rand(500, 1)
    model.assign(x[:10])
    return peak_memory(lambda: model.assign(x), "cpu")


MIXTURES = {
    **{name: lambda name=name: gl.GaussianMixture(3, covariance=name) for name in COVARIANCES},
    "bernoulli": lambda: gl.BernoulliMixture(3),
}


def data_for(name):
    return bits() if name == "bernoulli" else clusters(300, 2)


@pytest.mark.parametrize("name", MIXTURES)
class TestContract:
    @pytest.fixture
    def fitted(self, name):
        gl.seed(0)
        model = MIXTURES[name]()
        x = data_for(name)
        history = model.fit(x, valid=x[:50])
        return model, x, history

    @pytest.mark.covers("L01")
    def test_the_density_is_normalised_and_samples_follow_it(self, fitted):
        gl.verify.normalised(fitted[0], draws=30_000)
        gl.verify.samples_match(fitted[0], draws=30_000, cells=12)

    @pytest.mark.covers("L02")
    def test_the_likelihood_never_falls(self, name):
        model = MIXTURES[name]().double()
        gl.seed(1)
        losses = model.fit(data_for(name).double(), start="random", tolerance=0.0)["loss"]
        assert len(losses) > 5
        assert all(b <= a + 1e-12 for a, b in itertools.pairwise(losses))

    def test_in_float32_it_falls_by_no_more_than_rounding(self, name):
        gl.seed(1)
        losses = MIXTURES[name]().fit(data_for(name), start="random", tolerance=0.0)["loss"]
        assert all(b <= a + 1e-5 for a, b in itertools.pairwise(losses))

    def test_responsibilities_are_those_of_bayes(self, fitted):
        model, x, _ = fitted
        r = model.encode(x)
        assert r.shape == (len(x), 3)
        torch.testing.assert_close(r.sum(1), torch.ones(len(x)))
        joint = model._joint(x)
        torch.testing.assert_close(
            r.log().clamp_min(-20),
            (joint - model.log_prob(x)[:, None]).clamp_min(-20),
            rtol=1e-4,
            atol=1e-4,
        )

    def test_history_and_validation(self, fitted):
        model, x, history = fitted
        assert history.names == ["restart", "iteration", "loss", "valid"]
        assert history["valid"][-1] == pytest.approx(
            -model.log_prob(x[:50]).mean().item(), rel=1e-5
        )

    def test_saving_keeps_the_density(self, fitted, tmp_path):
        model, x, _ = fitted
        model.save(tmp_path / "model")
        assert torch.equal(gl.load(tmp_path / "model").log_prob(x), model.log_prob(x))

    def test_of_restarts_the_best_is_kept(self, name):
        gl.seed(3)
        model = MIXTURES[name]()
        history = model.fit(data_for(name), start="random", restarts=4, tolerance=1e-7)
        last = {row["restart"]: row["loss"] for row in history}
        assert len(last) == 4
        assert max(last.values()) > min(last.values())
        found = -model.log_prob(data_for(name)).mean().item()
        assert found == pytest.approx(min(last.values()), abs=1e-3)

    @pytest.mark.parametrize("settings", [{}, {"batch_size": 40}], ids=["all rows", "mini-batch"])
    def test_a_resumed_run_is_the_uninterrupted_one(self, name, settings, tmp_path):
        x = data_for(name)
        given = {"restarts": 2, "tolerance": 0.0, "start": "random", **settings}
        gl.seed(0)
        whole = MIXTURES[name]()
        expected = whole.fit(x, iterations=6, **given)

        class Stopped(Exception):
            pass

        gl.seed(0)
        interrupted, calls = MIXTURES[name](), []
        statistics = interrupted._statistics

        def stop(rows):
            calls.append(1)
            if len(calls) == (4 if not settings else 33):
                raise Stopped
            return statistics(rows)

        interrupted._statistics = stop
        file = tmp_path / "run"
        with pytest.raises(Stopped):
            interrupted.fit(x, iterations=6, checkpoint=file, **given)
        gl.seed(99)
        resumed = MIXTURES[name]()
        history = resumed.fit(x, iterations=6, checkpoint=file, resume=True, **given)
        assert history.rows == expected.rows
        a, b = whole.state_dict(), resumed.state_dict()
        assert all(torch.equal(a[key], b[key]) for key in a)
        with pytest.raises(gl.WrongCheckpointError):
            resumed.fit(
                x + 0 if name == "bernoulli" else x + 1,
                iterations=6,
                checkpoint=file,
                resume=True,
                **(given | {"restarts": 3}),
            )

    def test_mini_batches_come_near_to_all_rows(self, name):
        x = data_for(name)
        gl.seed(0)
        whole, parts, loaded = (MIXTURES[name]() for _ in range(3))
        whole.fit(x, iterations=2000, tolerance=1e-8)
        state = whole.state_dict()
        for model in (parts, loaded):
            model.load_state_dict(state)
        parts.fit(x, start="current", batch_size=50, iterations=20, tolerance=0.0)
        loader = DataLoader(TensorDataset(x), batch_size=50, shuffle=True)
        loaded.fit(loader, start="current", iterations=20, tolerance=0.0)
        best = whole.log_prob(x).mean().item()
        for model in (parts, loaded):
            found = model.log_prob(x).mean().item()
            assert best - 0.05 < found <= best + 1e-4

    def test_bad_settings(self, name):
        model, x = MIXTURES[name](), data_for(name)
        for settings, words in [
            ({"iterations": 0}, "iterations: expected at least 1"),
            ({"restarts": 0}, "restarts: expected at least 1"),
            ({"tolerance": -1.0}, "tolerance: expected"),
            ({"start": "kmean"}, "start: expected one of 'kmeans', 'random', 'current'"),
            ({"batch_size": 0}, "batch_size: expected at least 1"),
            ({"forget": 0.3}, "forget: expected a number in"),
            ({"resume": True}, "resume: expected checkpoint="),
        ]:
            with pytest.raises(ValueError, match=words):
                model.fit(x, **settings)
        with pytest.raises(gl.NotFittedError):
            model.fit(x, start="current")
        with pytest.raises(ValueError, match=r"components: expected at most .* rows, 2, got 3"):
            model.fit(x[:2])


class TestExpectationMaximisation:
    """What all mixtures share, on one of them."""

    @pytest.fixture
    def begun(self):
        gl.seed(0)
        x = clusters(100, 2, k=2, dtype=torch.float64)
        model = gl.GaussianMixture(3).double()
        model.fit(x, iterations=1)
        return model, x

    @pytest.mark.parametrize("forget", [0.5, 1.0])
    def test_the_second_of_two_batches_enters_by_hand(self, begun, forget):
        """With the weight 2^−forget, although it has fewer rows than the first."""
        model, x = begun
        by_hand, parts = copy.deepcopy(model), []
        for rows in x.split(60):
            r = by_hand.encode(rows)
            parts.append((r.mean(0), r.T @ rows / len(rows)))
            by_hand.fit(rows, start="current", iterations=1)
        weights, sums = (torch.lerp(*part, 2**-forget) for part in zip(*parts, strict=True))
        loader = DataLoader(TensorDataset(x), batch_size=60)
        model.fit(loader, start="current", iterations=1, forget=forget)
        torch.testing.assert_close(model.log_weights.exp(), weights)
        torch.testing.assert_close(model.means, sums / weights[:, None])

    def test_a_run_stopped_after_its_last_iteration_makes_no_other(self, tmp_path):
        """Each restart ends by its tolerance, whenever the run is stopped."""
        x = clusters(100, 2, k=2, dtype=torch.float64)
        settings = {"restarts": 2, "tolerance": 1e-2, "start": "random"}

        def fitted(**more):
            gl.seed(0)
            return gl.GaussianMixture(3).double().fit(x, **settings, **more)

        whole, original = fitted(), gl.Checkpoint.write
        first = sum(row["restart"] == 1 for row in whole.rows)
        assert 1 < first < 100
        for count in (first - 1, first, first + 1):
            file, writes = tmp_path / f"{count}", []

            def stop(self, state, *, last=False, writes=writes, count=count):
                original(self, state, last=True)
                writes.append(1)
                if len(writes) == count:
                    raise KeyboardInterrupt

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(gl.Checkpoint, "write", stop)
                with pytest.raises(KeyboardInterrupt):
                    fitted(checkpoint=file)
            assert fitted(checkpoint=file, resume=True).rows == whole.rows
            assert fitted(checkpoint=file, resume=True).rows == whole.rows

    def test_rows_of_another_width_are_refused(self, begun):
        model, x = begun
        with pytest.raises(ValueError, match=r"x: expected shape \(N, 2\), got \(100, 1\)"):
            model.fit(x[:, :1], start="current")
        loader = DataLoader([*x, *x[:, :1]], batch_size=100)
        with pytest.raises(ValueError, match=r"x: expected shape \(N, 2\), got \(100, 1\)"):
            gl.GaussianMixture(3).double().fit(loader)

    def test_mini_batches_make_all_iterations(self):
        history = gl.GaussianMixture(2).fit(
            clusters(200, 2), batch_size=50, iterations=9, tolerance=0.5
        )
        assert len(history) == 9

    @pytest.mark.parametrize("third", [2.45, 3.0])
    def test_stops_where_the_loss_falls_by_less_than_the_tolerance(self, third, monkeypatch):
        model, losses = gl.GaussianMixture(2), iter([3.0, 2.5, third, 0.0])
        found = model._statistics

        def told(x):
            return torch.full((len(x),), -next(losses)), found(x)[1]

        monkeypatch.setattr(model, "_statistics", told)
        history = model.fit(clusters(200, 2), iterations=4, tolerance=0.1)
        assert history["loss"] == pytest.approx([3.0, 2.5, third])

    def test_restarts_from_current_parameters_begin_with_the_same(self, begun):
        model, x = begun
        given = {"start": "current", "iterations": 2, "tolerance": 0.0}
        loss = model.fit(x, restarts=2, **given)["loss"]
        assert loss[0] != loss[1] and loss[:2] == loss[2:]

    @pytest.mark.parametrize("start", ["random", "current"])
    def test_stopped_in_its_second_restart_a_run_knows_the_first_and_where_it_began(
        self, begun, start, monkeypatch, tmp_path
    ):
        """From random rows the first of three restarts is the best: its parameters are kept."""
        model, x = begun
        monkeypatch.setattr("genlib.core.checkpoint._LARGEST_SHARE", 1.0)  # each state is written
        given = {"start": start, "restarts": 3, "iterations": 3, "tolerance": 0.0}
        whole, calls, statistics = copy.deepcopy(model), [], model._statistics
        gl.seed(1)
        expected = whole.fit(x, **given)
        if start == "random":
            assert expected["loss"][2] == min(expected["loss"][2::3]) < expected["loss"][8]

        class Stopped(Exception):
            pass

        def stop(rows):
            calls.append(rows)
            if len(calls) == 6:
                raise Stopped
            return statistics(rows)

        gl.seed(1)
        given["checkpoint"] = tmp_path / "run"
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            patch.setattr(model, "_statistics", stop)
            model.fit(x, **given)
        assert model.fit(x, resume=True, **given).rows == expected.rows
        assert torch.equal(model.log_prob(x), whole.log_prob(x))

    @pytest.mark.parametrize(("moved", "held_out"), [(1, 9), (0, 5)], ids=["rows", "held out"])
    def test_a_run_on_other_data_is_another_run(self, moved, held_out, tmp_path):
        x, given = clusters(200, 2), {"iterations": 2, "checkpoint": tmp_path / "run"}
        gl.GaussianMixture(2).fit(x, valid=x[:9], **given)
        with pytest.raises(gl.WrongCheckpointError, match="data ="):
            gl.GaussianMixture(2).fit(x + moved, valid=x[:held_out], resume=True, **given)


def test_mixtures_of_bernoullis_want_bits():
    with pytest.raises(ValueError, match=r"expected values in \{0, 1\}, got 0.5"):
        gl.BernoulliMixture(2).fit(torch.full((5, 3), 0.5))


@pytest.mark.covers("L02")
@pytest.mark.parametrize("covariance", COVARIANCES)
class TestAgainstScikitLearn:
    def peer(self, covariance, **settings):
        return mixture.GaussianMixture(3, covariance_type=PEER[covariance], **settings)

    def test_the_same_start_leads_to_the_same_place(self, covariance):
        x = clusters(600, 4, k=3, spread=2.0, dtype=torch.float64)
        gl.seed(0)
        model = gl.GaussianMixture(3, covariance=covariance).double()
        model.fit(x, iterations=1)
        precisions = torch.linalg.inv(model.covariances())
        given = {
            "full": precisions,
            "tied": precisions[0],
            "diagonal": precisions.diagonal(dim1=1, dim2=2),
            "spherical": precisions[:, 0, 0],
        }[covariance]
        peer = self.peer(
            covariance,
            weights_init=model.log_weights.exp().numpy(),
            means_init=model.means.numpy(),
            precisions_init=given.numpy(),
            reg_covar=0.0,
            tol=0.0,
            max_iter=15,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer.fit(x.numpy())
        model.fit(x, start="current", iterations=15, tolerance=0.0)
        torch.testing.assert_close(model.means, torch.from_numpy(peer.means_))
        torch.testing.assert_close(model.log_weights.exp(), torch.from_numpy(peer.weights_))
        torch.testing.assert_close(
            model.log_prob(x), torch.from_numpy(peer.score_samples(x.numpy()))
        )
        assert model.bic(x) == pytest.approx(peer.bic(x.numpy()) / 2)

    def test_free_parameters(self, covariance):
        model = gl.GaussianMixture(3, covariance=covariance)
        model.fit(clusters(100, 4))
        peer = self.peer(covariance).fit(clusters(100, 4).numpy())
        assert model.free_parameters == peer._n_parameters()


class TestGaussianMixture:
    def test_one_component_is_the_gaussian(self):
        x = clusters(300, 3)
        model, gaussian = gl.GaussianMixture(1), gl.Gaussian()
        model.fit(x)
        gaussian.fit(x)
        torch.testing.assert_close(model.log_prob(x), gaussian.log_prob(x), rtol=1e-5, atol=1e-4)

    @pytest.mark.parametrize("covariance", COVARIANCES)
    def test_a_component_that_shrinks_onto_a_row_is_stopped_by_the_floor(self, covariance):
        x = torch.cat(
            [
                torch.randn(50, 2, generator=torch.Generator().manual_seed(0)),
                torch.full((3, 2), 50.0),
            ]
        )
        gl.seed(0)
        model = gl.GaussianMixture(2, covariance=covariance, floor=0.01)
        losses = model.fit(x)["loss"]
        least = torch.linalg.eigvalsh(model.covariances()).min().item()
        assert least >= 0.01 * (1 - 1e-5)
        if covariance != "tied":
            assert least == pytest.approx(0.01, rel=1e-4)
        assert math.isfinite(losses[-1])
        assert model.log_prob(x).isfinite().all()

    def test_the_floor_leaves_other_directions_alone(self):
        gl.seed(0)
        x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor(
            [1, 1e-3]
        )
        model = gl.GaussianMixture(1, floor=1e-2)
        model.fit(x)
        found = model.covariances()[0]
        assert found[0, 0].item() == pytest.approx(x[:, 0].var(correction=0).item(), rel=1e-4)
        assert found[1, 1].item() == pytest.approx(1e-2, rel=1e-4)

    def test_a_constant_column_and_duplicated_rows(self):
        x = clusters(60, 3)
        x[:, 1] = 7.0
        gl.seed(0)
        model = gl.GaussianMixture(2)
        model.fit(torch.cat([x, x, x]))
        assert model.log_prob(x).isfinite().all()
        with pytest.raises(ValueError, match=r"expected at least 3 rows that differ.*got 2"):
            gl.GaussianMixture(3).fit(torch.tensor([[0.0], [1.0]]).repeat(5, 1))

    @pytest.mark.parametrize("covariance", COVARIANCES)
    def test_a_component_without_rows_stays_where_it_is(self, covariance):
        x = clusters(100, 2)
        gl.seed(0)
        model = gl.GaussianMixture(3, covariance=covariance)
        model.fit(x, iterations=2)
        model.means[1] = 1e4
        before = model.covariances()[1]
        model.fit(x, start="current", iterations=3)
        assert model.log_weights[1] == -math.inf
        assert torch.equal(model.means[1], torch.full((2,), 1e4))
        if covariance != "tied":
            torch.testing.assert_close(model.covariances()[1], before)
        assert model.log_prob(x).isfinite().all()
        assert model.sample(100).isfinite().all()

    def test_ill_conditioned_covariances(self):
        """Condition number 1e8: float32 comes as near to float64 as rounded rows allow."""
        generator = torch.Generator().manual_seed(0)
        basis = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64)).Q
        lengths = torch.logspace(0, -4, 6, dtype=torch.float64)
        x = (torch.randn(4000, 6, generator=generator, dtype=torch.float64) * lengths) @ basis.T
        x[2000:] += 3.0
        results = []
        for dtype in (torch.float32, torch.float64):
            gl.seed(0)
            model = gl.GaussianMixture(2, floor=1e-12).to(dtype)
            model.fit(x.to(dtype), iterations=10, tolerance=0.0)
            results.append(model.log_prob(x.to(dtype)).double().mean().item())
        assert results[0] == pytest.approx(results[1], abs=0.02)

    @pytest.mark.covers("L02")
    def test_log_likelihood_is_elbo_plus_divergence(self):
        """log p(x) = E_q[log p(x, k) − log q(k)] + KL(q ‖ p(k | x)), for any q."""
        x = clusters(48, 2, dtype=torch.float64)
        model = gl.GaussianMixture(3).double()
        model.fit(x)
        q = torch.rand(48, 3, dtype=torch.float64).softmax(1)
        elbo = (q * (model._joint(x) - q.log())).sum(1)
        log_posterior = model._joint(x) - model.log_prob(x)[:, None]
        assert torch.allclose(log_posterior.exp(), model.encode(x))
        divergence = (q * (q.log() - log_posterior)).sum(1)
        torch.testing.assert_close(elbo + divergence, model.log_prob(x))

    @pytest.mark.parametrize("covariance", COVARIANCES)
    def test_posterior_mean_is_that_of_quadrature(self, covariance):
        gl.seed(0)
        x = torch.cat([torch.randn(100, 1) - 2, 0.3 * torch.randn(100, 1) + 1]).double()
        model = gl.GaussianMixture(2, covariance=covariance).double()
        model.fit(x)
        for y in (-3.0, 0.0, 0.9, 4.0):

            def density(value, y=y):
                prior = model.log_prob(torch.tensor([[value]], dtype=torch.float64)).exp().item()
                return prior * math.exp(-((y - value) ** 2) / (2 * 0.7**2))

            top = integrate.quad(lambda v: v * density(v), -15, 15, points=[-2, 1], limit=200)[0]
            below = integrate.quad(density, -15, 15, points=[-2, 1], limit=200)[0]
            found = model.posterior_mean(torch.tensor([[y]], dtype=torch.float64), 0.7).item()
            assert found == pytest.approx(top / below, abs=1e-6)

    def test_posterior_mean_of_one_component_is_gaussian_conditioning(self):
        x = clusters(300, 3, k=1, dtype=torch.float64)
        model = gl.GaussianMixture(1).double()
        model.fit(x)
        covariance, mean = model.covariances()[0], model.means[0]
        y = x[:5] + 1
        gain = covariance @ torch.linalg.inv(covariance + 0.25 * torch.eye(3))
        torch.testing.assert_close(model.posterior_mean(y, 0.5), mean + (y - mean) @ gain.T)

    def test_posterior_mean_lowers_the_error_of_every_other_estimate_tried(self):
        gl.seed(0)
        x = clusters(2000, 2)
        model = gl.GaussianMixture(4)
        model.fit(x)
        clean = model.sample(20_000)
        noisy = clean + torch.randn_like(clean)
        error = (model.posterior_mean(noisy, 1.0) - clean).square().sum(1)
        best = model.means[model._joint(noisy).argmax(1)]
        for other in (
            noisy,
            best,
            model.posterior_mean(noisy, 0.5),
            model.posterior_mean(noisy, 2.0),
        ):
            difference = (other - clean).square().sum(1) - error
            assert difference.mean() > 5 * difference.std() / len(difference) ** 0.5

    def test_gradients_reach_rows(self):
        x = clusters(30, 2, dtype=torch.float64)
        for covariance in COVARIANCES:
            model = gl.GaussianMixture(2, covariance=covariance).double()
            model.fit(x)
            rows = x[:4].clone().requires_grad_()
            assert torch.autograd.gradcheck(lambda r, m=model: m.log_prob(r), rows)

    def test_bad_input(self):
        with pytest.raises(ValueError, match="covariance: expected one of 'full', 'tied'"):
            gl.GaussianMixture(2, covariance="diag")
        with pytest.raises(ValueError, match="floor: expected a finite positive number"):
            gl.GaussianMixture(2, floor=0.0)
        with pytest.raises(ValueError, match="components: expected at least 1"):
            gl.GaussianMixture(0)
        model = gl.GaussianMixture(2)
        model.fit(clusters(50, 2))
        with pytest.raises(ValueError, match="noise: expected"):
            model.posterior_mean(torch.zeros(1, 2), 0.0)
        with pytest.raises(ValueError, match=r"y: expected shape \(N, 2\)"):
            model.posterior_mean(torch.zeros(1, 3), 1.0)


@pytest.mark.covers("L01")
def test_a_mixture_of_bernoullis_in_loops():
    x = bits(20, 3)
    gl.seed(0)
    model = gl.BernoulliMixture(2)
    model.fit(bits(200, 3))
    for row in x:
        total = 0.0
        for k in range(2):
            product = model.log_weights[k].exp().item()
            for i in range(3):
                p = model.means[k, i].item()
                product *= p if row[i] == 1 else 1 - p
            total += product
        assert model.log_prob(row[None]).item() == pytest.approx(math.log(total), rel=1e-5)


def test_bernoullis_stay_between_the_floor_and_one_minus_it():
    model = gl.BernoulliMixture(1, floor=0.1)
    model.fit(torch.tensor([[1.0, 0.0]]).repeat(5, 1))
    torch.testing.assert_close(model.means, torch.tensor([[0.9, 0.1]]))


def test_a_random_start_of_bernoullis_is_between_a_row_and_the_mean_of_all():
    """Of (1, 0) and (0, 1) it makes (¾, ¼), or the reverse."""
    history = gl.BernoulliMixture(1).fit(torch.eye(2), start="random", iterations=1)
    assert history["loss"] == pytest.approx([-math.log(3 / 4) - math.log(1 / 4)])


def test_a_component_of_bernoullis_without_rows_stays_where_it_is():
    gl.seed(0)
    model = gl.BernoulliMixture(2)
    model.fit(bits(), iterations=2)
    model.log_weights, before = torch.tensor([0.0, -math.inf]), model.means[1]
    model.fit(bits(), start="current", iterations=2)
    assert torch.equal(model.means[1], before)


def test_merged_statistics_are_those_of_all_rows():
    x = clusters(60, 3, dtype=torch.float64)
    weights = torch.rand(2, 60, dtype=torch.float64)

    def statistics(rows):
        weight = weights[:, rows].sum(1)
        mean = weights[:, rows] @ x[rows] / weight[:, None]
        apart = x[rows] - mean[:, None]
        scatter = torch.einsum("kn,knd,kne->kde", weights[:, rows], apart, apart)
        return Statistics(weight, mean, scatter / weight[:, None, None])

    first, second = slice(0, 20), slice(20, 60)
    merged = statistics(first).merged(statistics(second), 0.5)
    whole = statistics(slice(0, 60))
    torch.testing.assert_close(2 * merged.weight, whole.weight)
    torch.testing.assert_close(merged[1:], whole[1:])
    along = [
        s._replace(scatter=s.scatter.diagonal(dim1=1, dim2=2))
        for s in map(statistics, (first, second))
    ]
    torch.testing.assert_close(
        along[0].merged(along[1], 0.5).scatter, whole.scatter.diagonal(dim1=1, dim2=2)
    )


@pytest.mark.covers("F01")
class TestKMeans:
    def test_is_scikit_learns_from_the_same_centres(self, monkeypatch):
        x = clusters(500, 3, spread=1.0)
        gl.seed(0)
        start = plus_plus(x, 5)
        monkeypatch.setattr("genlib.models.mixtures.kmeans.plus_plus", lambda rows, k: start)
        model = gl.KMeans(5)
        model.fit(x, iterations=300)
        peer = cluster.KMeans(5, init=start.numpy(), n_init=1, tol=0, max_iter=300).fit(x.numpy())
        torch.testing.assert_close(model.centres, torch.from_numpy(peer.cluster_centers_))
        assert np.array_equal(model.assign(x).numpy(), peer.labels_)
        assert model.validation_loss(x).item() * len(x) == pytest.approx(peer.inertia_, rel=1e-5)

    def test_the_distance_never_rises_and_the_best_restart_is_kept(self):
        gl.seed(0)
        x = clusters(300, 2, k=9, spread=2.0)
        model = gl.KMeans(9)
        history = model.fit(x, restarts=5)
        last = {}
        for row in history:
            before = last.get(row["restart"], math.inf)
            assert row["loss"] <= before + 1e-9
            last[row["restart"]] = row["loss"]
        assert len(set(last.values())) > 1
        assert model.validation_loss(x).item() == pytest.approx(min(last.values()), rel=1e-5)

    def test_seeds_are_the_best_of_draws_in_proportion_to_squared_distances(self):
        """Three points on a line, two seeds, each the better of two draws.

        After 0, a draw is 3 with 9/10, and 3 leaves less than 1 does; after 1 it is 3 with 4/5, and
        3 leaves less than 0; after 3 it is 0 with 9/13, and both leave as much. False alarm: 1e-6.
        """
        x = torch.tensor([[0.0], [1.0], [3.0]])
        gl.seed(0)
        counts = torch.zeros(3, 3)
        for _ in range(3000):
            a, b = plus_plus(x, 2)[:, 0].tolist()
            counts[[0.0, 1.0, 3.0].index(a), [0.0, 1.0, 3.0].index(b)] += 1
        for row, far, p in ((0, 2, 1 - 1 / 100), (1, 2, 1 - 1 / 25), (2, 0, 9 / 13)):
            n, k = int(counts[row].sum()), int(counts[row, far])
            assert stats.binomtest(k, n, p).pvalue > 1e-6 / 6
            assert stats.binomtest(n, 3000, 1 / 3).pvalue > 1e-6 / 6

    def test_starts_as_well_as_scikit_learns(self):
        """Squared distances after seeding alone: medians of 25 within a twentieth of each other."""
        x = torch.cat([row + torch.randn(60, 6) for row in 4 * torch.randn(20, 6)])

        def left(centres):
            return torch.cdist(x, torch.as_tensor(centres)).square().amin(1).mean().item()

        ours = statistics.median(left(plus_plus(x, 20)) for _ in range(25))
        theirs = statistics.median(
            left(cluster.kmeans_plusplus(x.numpy(), 20, random_state=seed)[0]) for seed in range(25)
        )
        assert ours == pytest.approx(theirs, rel=0.05)

    def test_memory_does_not_grow_with_clusters(self):
        """A row's products with 500 centres take more room than its one value."""
        found = in_fresh_process(megabytes_of_an_assignment)
        if found is None:
            pytest.skip("the system does not tell a process's peak memory")
        assert found < 20

    def test_an_empty_cluster_takes_the_farthest_row(self, monkeypatch):
        x = torch.tensor([[0.0], [1.0], [2.0], [100.0]])
        start = torch.tensor([[0.0], [1.0], [-500.0]])
        monkeypatch.setattr("genlib.models.mixtures.kmeans.plus_plus", lambda rows, k: start)
        model = gl.KMeans(3)
        model.fit(x, iterations=1)
        assert model.centres[:, 0].tolist() == pytest.approx([0, 103 / 3, 100])

    def test_rows_far_from_the_origin_keep_their_digits(self):
        x = clusters(500, 3, spread=1.0) + 2.0**13
        model = gl.KMeans(5)
        model.centres = x[:5]
        expected = torch.cdist(x.double(), x[:5].double()).argmin(1)
        assert torch.equal(model.assign(x), expected)

    def test_means_of_many_rows_keep_their_digits(self):
        x = 1000 + torch.rand(2**18, 1, generator=torch.Generator().manual_seed(0))
        model = gl.KMeans(1)
        model.fit(x)
        assert model.centres.item() == pytest.approx(x.double().mean().item(), abs=1e-4)

    @pytest.mark.covers("L02")
    def test_is_the_limit_of_a_mixture_without_variance(self):
        """With one small spherical variance, responsibilities are assignments."""
        gl.seed(0)
        x = clusters(200, 2, spread=1.0, dtype=torch.float64)
        means = gl.KMeans(4).double()
        means.fit(x)
        model = gl.GaussianMixture(4, covariance="spherical").double()
        model.fit(x, iterations=1)
        model.means, model.scales = means.centres, torch.full((4,), 1e-3, dtype=torch.float64)
        assert torch.equal(model.encode(x).argmax(1), means.assign(x))
        torch.testing.assert_close(model.encode(x).max(1).values, torch.ones(200).double())
        distance = (x - means.centres[means.assign(x)]).square().sum(1)
        found = -2e-6 * (model._joint(x).max(1).values - model._joint(means.centres[:1]).max())
        torch.testing.assert_close(found, distance, rtol=1e-3, atol=1e-4)

    def test_representation_and_refusals(self):
        gl.seed(0)
        x = clusters(100, 2)
        model = gl.KMeans(3)
        model.fit(x, valid=x[:10])
        one_hot = model.encode(x)
        assert torch.equal(one_hot.argmax(1), model.assign(x))
        assert torch.equal(one_hot.sum(1), torch.ones(100))
        with pytest.raises(gl.CannotAnswerError, match="centres alone define no density"):
            model.log_prob(x)
        with pytest.raises(gl.CannotAnswerError, match="no distribution to draw from"):
            model.sample(1)
        with pytest.raises(ValueError, match="clusters: expected at most as many"):
            gl.KMeans(5).fit(x[:4])
        with pytest.raises(gl.NotFittedError):
            gl.KMeans(2).assign(x)


def test_a_start_of_one_s_own_is_whole_or_refused():
    x = clusters(dtype=torch.float32)
    model = gl.GaussianMixture(3)
    model.means = x[:3]
    with pytest.raises(gl.NotFittedError, match=r'start="current": .*scales is empty'):
        model.fit(x, start="current")
    model.scales = torch.eye(3).repeat(3, 1, 1)
    model.log_weights = torch.full((3,), -math.log(3))
    expected = -model.log_prob(x).mean().item()
    assert model.fit(x, start="current", iterations=1).last["loss"] == pytest.approx(expected)


def test_a_misspelt_setting_is_named():
    with pytest.raises(
        TypeError, match=r"KMeans\.fit: expected one of iterations, restarts .*, got 'restart'"
    ):
        gl.KMeans(3).fit(clusters(), restart=3)
    with pytest.raises(TypeError, match=r"Gaussian\.fit: it has none .*, got 'restart'"):
        gl.Gaussian().fit(clusters(), restart=3)


def test_a_resumed_fit_has_the_same_limit(tmp_path):
    """With more iterations the first restarts would have ended elsewhere."""
    x, file = clusters(), tmp_path / "run"
    gl.GaussianMixture(3).fit(x, iterations=3, tolerance=0.0, checkpoint=file)
    with pytest.raises(gl.WrongCheckpointError, match="iterations = 8, found 3"):
        gl.GaussianMixture(3).fit(x, iterations=8, tolerance=0.0, checkpoint=file, resume=True)


@pytest.mark.parametrize("wrong", [0.5, 7.0, math.nan])
def test_every_batch_of_a_loader_is_looked_at(wrong):
    x = bits(100)
    x[80, 2] = wrong
    loader = DataLoader(TensorDataset(x), batch_size=50)
    with pytest.raises(ValueError, match="x: expected"):
        gl.BernoulliMixture(2).fit(loader, start="random", iterations=2)


def test_a_floor_that_rounding_swallows_is_refused():
    x = torch.cat([torch.ones(50, 2), torch.zeros(50, 2)])
    with pytest.raises(ValueError, match=r"floor: 1 − 1e-08 is 1 in torch.float32"):
        gl.BernoulliMixture(2, floor=1e-8).fit(x)
    gl.BernoulliMixture(2, floor=1e-8).double().fit(x.double())


def test_a_likelihood_that_is_no_number_ends_with_words():
    x = clusters(60, 2)
    model = gl.GaussianMixture(2, covariance="diagonal")
    model.fit(x)
    model.means = model.means * math.nan
    with pytest.raises(gl.TrainingDivergedError, match="iteration 1 is nan"):
        model.fit(x, start="current")
