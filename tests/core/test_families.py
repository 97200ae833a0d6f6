"""What the families to come need of the contract, on small members with known answers."""

import functools
import math

import pytest
import torch
from scipy import stats
from torch.utils.data import DataLoader, TensorDataset

import genlib as gl
from genlib.core import latent
from tests.benchmarks.harness import in_fresh_process, peak_memory
from tests.core.families import (
    Binarised,
    Clusters,
    CycleMaps,
    ImageToImage,
    LinearVAE,
    PersistentMachine,
    Unpaired,
    WassersteinGAN,
    as_drawn,
)
from tests.core.toys import IsingRing, TrainedGaussian

FALSE_ALARM = 1e-6


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def vae():
    gl.seed(0)
    x = torch.randn(400, 2) @ torch.randn(2, 5) + 0.3 * torch.randn(400, 5)
    model = LinearVAE(5, 2)
    model.fit(x, epochs=40, lr=0.02)
    return model, x


class TestLatentVariables:
    def test_the_estimate_is_the_exact_value_up_to_its_error(self, vae):
        model, x = vae
        found = model.estimate_log_prob(x, samples=2000)
        z = ((found.value - model.exact(x)) / found.error).detach()
        # Errors are estimates too, and the logarithm biases a little: wide, but not vacuous.
        assert stats.kstest(z.numpy(), "norm").statistic < 0.12
        assert z.std() == pytest.approx(1, abs=0.2)

    def test_its_error_tells_the_effective_sample_size(self, vae):
        model, x = vae
        draws = (torch.Generator().manual_seed(1) for _ in range(2))
        error = model.estimate_log_prob(x, samples=50, generator=next(draws)).error
        with torch.no_grad():
            w = model._log_weights(x, 50, next(draws)).softmax(0)
        stated = 50 / (1 + 50 * error.square())
        assert (stated / (1 / w.square().sum(0)) - 1).abs().max() < 0.03

    def test_bounds_lie_below_and_rise(self, vae):
        model, x = vae
        elbo, iwae = (bound(x, samples=200).mean() for bound in (model.elbo, model.iwae))
        assert elbo < iwae < model.exact(x).mean() + 0.01

    def test_iwae_with_one_sample_is_the_elbo_and_draws_follow_the_generator(self, vae):
        model, x = vae
        generators = (torch.Generator().manual_seed(1) for _ in range(2))
        one, other = (
            bound(x, samples=1, generator=g)
            for bound, g in zip((model.iwae, model.elbo), generators, strict=True)
        )
        torch.testing.assert_close(one, other)

    def test_log_prob_says_what_to_ask_instead(self, vae):
        with pytest.raises(gl.CannotAnswerError, match="elbo bounds it, and estimate_log_prob"):
            vae[0].log_prob(vae[1])

    def test_an_annealed_loss_is_not_what_validation_watches(self, vae):
        class Annealed(LinearVAE):
            def loss(self, x):
                return 0 * super().loss(x)

        model, x = vae
        annealed = Annealed(5, 2)
        annealed.load_state_dict(model.state_dict())
        gl.seed(3)
        mean = torch.stack([annealed.validation_loss(x) for _ in range(50)]).mean()
        assert mean.item() == pytest.approx(-model.elbo(x, samples=200).mean().item(), abs=0.05)

    @pytest.mark.parametrize("samples", [0, 1, 1.5])
    def test_an_error_needs_two_samples(self, vae, samples):
        with pytest.raises((ValueError, TypeError), match="samples: expected"):
            vae[0].estimate_log_prob(vae[1], samples=samples)

    @pytest.mark.parametrize(
        "spoil",
        [lambda w: w.T, lambda w: w[:1], lambda w: torch.cat([w, w]), lambda w: w.mean(0)],
    )
    def test_weights_of_another_shape_are_refused(self, vae, spoil):
        class Spoilt(LinearVAE):
            def _log_weights(self, x, samples, generator):
                return spoil(super()._log_weights(x, samples, generator))

        model, x = Spoilt(5, 2), vae[1][:7]
        for ask in (model.elbo, model.iwae, model.estimate_log_prob):
            with pytest.raises(ValueError, match=r"_log_weights: expected shape \(3, 7\)"):
                ask(x, samples=3)

    def test_parts_are_estimated_as_if_each_were_alone(self, vae, monkeypatch):
        model, x = vae
        monkeypatch.setattr(latent, "_VALUES_AT_ONCE", 4 * 300 * 5)  # four rows at once
        generator, again = (torch.Generator().manual_seed(2) for _ in range(2))
        found = model.estimate_log_prob(x[:10], samples=300, generator=generator)
        parts = [
            model.estimate_log_prob(part, samples=300, generator=again) for part in x[:10].split(4)
        ]
        for whole, each in zip(found, zip(*parts, strict=True), strict=True):
            assert torch.equal(whole, torch.cat(each))
            assert not whole.requires_grad

    def test_memory_does_not_grow_with_the_rows(self):
        found = in_fresh_process(megabytes_of_an_estimate)
        if found is None:
            pytest.skip("the system does not tell a process's peak memory")
        assert found < 150


class LargeTemporaries(LinearVAE):
    """Weights out of intermediate results of 4 MB a row, as those of a hidden layer are."""

    def _log_weights(self, x, samples, generator):
        z = torch.randn(samples, len(x), 50, generator=generator)
        hidden = z.repeat(1, 1, 4)
        for _ in range(3):
            hidden = hidden + 1
        return hidden.mean(-1)


def megabytes_of_an_estimate():
    model, x = LargeTemporaries(784, 2), torch.zeros(300, 784)
    model.estimate_log_prob(x[:4], samples=5000)
    return peak_memory(lambda: model.estimate_log_prob(x, samples=5000), "cpu")


class TestEnergies:
    @pytest.fixture
    def rows(self):
        x = (torch.rand(256, 6, generator=torch.Generator().manual_seed(0)) < 0.5).float()
        x[:, 1], x[:, 4] = x[:, 0], 1 - x[:, 3]
        return x

    def train(self, rows, path, *pieces):
        gl.seed(1)
        for epochs in pieces:
            model = PersistentMachine(6, 4, chains=32)
            settings = {"batch_size": 64, "lr": 0.02, "checkpoint": path, "resume": True}
            history = model.fit(rows, valid=rows, epochs=epochs, **settings)
            gl.seed(77)
        return model, history

    def test_persistent_chains_resume_bit_for_bit_and_learn(self, rows, tmp_path):
        gl.seed(1)
        whole, history = self.train(rows, tmp_path / "a", 30)
        gl.seed(1)
        pieces, _ = self.train(rows, tmp_path / "b", 10, 21, 30)
        assert same(whole, pieces)
        assert history["valid"][-1] < history["valid"][0] - 0.2  # exact, by enumeration

    def test_chains_are_in_checkpoints_and_not_in_saved_models(self, rows, tmp_path):
        model, _ = self.train(rows, tmp_path / "c", 2)
        model.save(tmp_path / "model")
        loaded = gl.load(tmp_path / "model")
        assert model.chains.any() and not loaded.chains.any()
        assert torch.equal(loaded.log_prob(rows), model.log_prob(rows))

    def test_the_loss_has_the_gradient_of_the_likelihood_when_negatives_are_exact(self):
        class Enumerated(IsingRing):
            def _negatives(self, x):
                events = gl.binary_events(4)
                counts = (self.log_prob(events).exp() * 2**20).round().long()
                return events.repeat_interleave(counts, 0)

        x = torch.tensor([[1.0, 1, 0, 1], [0, 0, 0, 0]])
        slopes = []
        for kind in (Enumerated, IsingRing):
            model = kind(4, 0.3)
            model.loss(x).backward()
            slopes.append(model.coupling.grad.item())
        assert slopes[0] == pytest.approx(slopes[1], abs=1e-4)

    def test_states_of_any_number_are_listed(self):
        class Dice(gl.EnergyModel):
            support = gl.Categorical([3, 4]).support
            event_shape = torch.Size([2])

            def _energy(self, x):
                return x.sum(1)

        exact = sum(math.exp(-i - j) for i in range(3) for j in range(4))
        assert Dice().log_partition().item() == pytest.approx(math.log(exact), rel=1e-6)

    def test_validation_is_the_likelihood_and_takes_no_steps(self, rows):
        class Plain(PersistentMachine):
            validation_loss = gl.EnergyModel.validation_loss

        model = Plain(6, 4, chains=8)
        history = model.fit(rows, valid=rows, epochs=1)
        assert history.last["valid"] == pytest.approx(-model.log_prob(rows).mean().item(), rel=1e-5)
        with pytest.raises(gl.CannotAnswerError, match="cannot list its events"):
            Plain(40, 4, chains=8).fit(torch.zeros(9, 40), valid=torch.zeros(9, 40))

    def test_energies_refuse_autocast_in_words(self, rows):
        with pytest.raises(ValueError, match="precision: PersistentMachine computes in its own"):
            PersistentMachine(6, 4, 2).fit(rows, precision=torch.bfloat16)


class TestGames:
    def test_a_gradient_penalty_trains(self):
        gl.seed(0)
        x = 0.5 * torch.randn(512, 2) + torch.tensor([2.0, -1.0])
        model = WassersteinGAN(2)
        before = (model.sample(2000).mean(0) - x.mean(0)).norm()
        history = model.fit(x, epochs=80, batch_size=64, lr=2e-3)
        assert history.names == ["epoch", "seconds", "critic", "generator"]
        assert (model.sample(2000).mean(0) - x.mean(0)).norm() < 0.5 * before

    def test_a_player_s_own_optimiser_gives_way_to_the_caller_s(self):
        x = torch.randn(64, 2)

        class Own(WassersteinGAN):
            def players(self):
                still = functools.partial(torch.optim.SGD, lr=0.0)
                return [
                    gl.Player(p.name, p.parameters, p.loss, p.steps, still)
                    for p in super().players()
                ]

        gl.seed(0)
        model = Own(2)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        model.fit(x, epochs=1)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        model.fit(x, epochs=1, optimizer=functools.partial(torch.optim.SGD, lr=0.1))
        moved = [not torch.equal(v, before[name]) for name, v in model.state_dict().items()]
        assert sum(moved) >= len(moved) - 1  # the critic's last bias cancels
        with pytest.raises(ValueError, match="lr: player 'critic' brings an optimiser"):
            model.fit(x, epochs=1, lr=0.1)

    def test_validation_of_a_game_is_refused_at_the_door(self):
        model = WassersteinGAN(2)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        with pytest.raises(gl.CannotAnswerError, match="cannot answer log_prob"):
            model.fit(torch.randn(64, 2), valid=torch.randn(8, 2))
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class TestLoaders:
    def test_dynamic_binarisation_shows_other_bits_every_epoch(self):
        seen = []

        class Noting(gl.NADE):
            def loss(self, x):
                seen.append(x)
                return super().loss(x)

        grey = torch.rand(50, 9)
        Noting(9, 4).fit(DataLoader(Binarised(grey), 50, collate_fn=as_drawn), epochs=2)
        assert len(seen) == 2 and not torch.equal(*seen)
        assert set(torch.cat(seen).unique().tolist()) == {0.0, 1.0}

    def test_two_sets_of_unequal_size(self):
        gl.seed(0)
        a, b = torch.randn(90, 3), torch.randn(37, 3) + 1
        model = CycleMaps(3)
        loader = DataLoader(Unpaired(a, b), 30, shuffle=True, collate_fn=as_drawn)
        history = model.fit(loader, epochs=60, lr=0.02)
        assert history["loss"][-1] < 0.1 * history["loss"][0]

    def test_a_loader_s_run_resumes_bit_for_bit(self, tmp_path):
        grey = torch.rand(60, 5)

        def run(path, *pieces):
            gl.seed(2)
            for epochs in pieces:
                model = gl.FVSBN(5)
                loader = DataLoader(Binarised(grey), 16, shuffle=True, collate_fn=as_drawn)
                history = model.fit(
                    loader, valid=loader, epochs=epochs, checkpoint=path, resume=True
                )
                gl.seed(99)
            return model, history["loss"]

        (whole, losses), (pieces, others) = run(tmp_path / "a", 5), run(tmp_path / "b", 2, 5)
        assert same(whole, pieces) and losses == others

    def test_a_loader_s_own_generator_resumes_too(self, tmp_path):
        x = torch.randn(60, 2)

        def run(path, *pieces):
            for epochs in pieces:
                model = TrainedGaussian(2)
                own = torch.Generator().manual_seed(3)
                loader = DataLoader(TensorDataset(x), 8, shuffle=True, generator=own)
                model.fit(loader, epochs=epochs, checkpoint=path, resume=True)
            return model

        assert same(run(tmp_path / "a", 5), run(tmp_path / "b", 2, 5))

    def test_another_way_to_deal_rows_is_another_run(self, tmp_path):
        x = TensorDataset(torch.randn(20, 2))
        model = TrainedGaussian(2)
        model.fit(DataLoader(x, 8, shuffle=True), epochs=1, checkpoint=tmp_path / "c")
        with pytest.raises(gl.WrongCheckpointError, match=r"Sequential.*found.*RandomSampler"):
            model.fit(DataLoader(x, 8), epochs=2, checkpoint=tmp_path / "c", resume=True)
        stubborn = DataLoader(x, 8, num_workers=1, persistent_workers=True)
        with pytest.raises(ValueError, match="without persistent_workers"):
            model.fit(stubborn, checkpoint=tmp_path / "d")

    @pytest.mark.parametrize(
        ("batches", "error", "words"),
        [
            (torch.zeros(4, 3), ValueError, r"expected shape \(N, 2\), got \(2, 3\)"),
            (torch.zeros(4, 2, dtype=torch.float64), TypeError, "computes in torch.float32"),
            (torch.full((4, 2), math.nan), ValueError, "expected finite values"),
            (["a", "b", "c", "d"], TypeError, "a loader of tensors"),
            ([{"x": 1}] * 4, TypeError, "got a batch of type dict"),
            ([], ValueError, "x: expected a loader of at least one batch, got none"),
        ],
    )
    def test_the_first_batch_is_checked(self, batches, error, words):
        model = TrainedGaussian(2)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        with pytest.raises(error, match=words):
            model.fit(DataLoader(batches, 2))
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

    def test_held_out_loaders_are_checked_too_and_labels_come_with_the_rows(self):
        model, x = TrainedGaussian(2), torch.zeros(4, 2)
        with pytest.raises(ValueError, match=r"valid: expected shape \(N, 2\)"):
            model.fit(x, valid=DataLoader(torch.zeros(4, 3), 2))
        with pytest.raises(ValueError, match="expected the loader to yield the labels"):
            model.fit(DataLoader(x, 2), torch.zeros(4, dtype=torch.int64))


class TestConditions:
    def test_a_condition_may_be_an_image(self):
        gl.seed(0)
        y = torch.rand(300, 1, 2, 2)
        x = y.flatten(1)[:, :3] * 2 + 0.1 * torch.randn(300, 3)
        model = ImageToImage((1, 2, 2), 3)
        model.fit(x, y, valid=(x, y), epochs=100, lr=0.05)
        assert (model.map.weight - 2 * torch.eye(4)[:3]).abs().max() < 0.15
        assert model.sample(5, y[:5]).shape == (5, 3)
        assert model.log_prob(x, y).shape == (300,)

    @pytest.mark.parametrize(
        ("y", "error", "words"),
        [
            (torch.zeros(4, 2, 2), ValueError, r"y: expected shape \(N, 1, 2, 2\)"),
            (torch.zeros(4, dtype=torch.int64), TypeError, "y: expected floating-point values"),
            (torch.zeros(3, 1, 2, 2), ValueError, "y: expected one condition a row, 4, got 3"),
            (torch.zeros(4, 1, 2, 2).double(), TypeError, "y: the model computes in"),
        ],
    )
    def test_conditions_are_checked(self, y, error, words):
        model, x = ImageToImage((1, 2, 2), 3), torch.zeros(4, 3)
        for ask in (lambda: model.log_prob(x, y), lambda: model.fit(x, y)):
            with pytest.raises(error, match=words):
                ask()


class TestExpectationMaximisation:
    def test_iterations_resume_bit_for_bit(self, tmp_path):
        gl.seed(0)
        x = torch.cat([torch.randn(200, 1) - 2, torch.randn(200, 1) + 3])

        def run(path, *pieces):
            gl.seed(4)
            for iterations in pieces:
                model = Clusters()
                history = model.fit(x, valid=x, iterations=iterations, checkpoint=path, resume=True)
                gl.seed(55)
            return model, history["loss"]

        (whole, losses), (pieces, others) = run(tmp_path / "a", 20), run(tmp_path / "b", 7, 20)
        assert same(whole, pieces) and losses == others and len(losses) == 20
        assert whole.means[:, 0].tolist() == pytest.approx([-2, 3], abs=0.3)
