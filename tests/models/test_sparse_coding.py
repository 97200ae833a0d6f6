"""Sparse coding against conditions of a minimum, loops, planted dictionaries and scikit-learn."""

import itertools
import math

import pytest
import torch
from sklearn.decomposition import sparse_encode
from torch.utils.data import DataLoader, TensorDataset

import genlib as gl
from genlib.models.sparse_coding.codes import matching_pursuit
from genlib.models.sparse_coding.learning import Statistics, improved, worst_rows
from genlib.models.sparse_coding.model import SOLVERS

L1 = SOLVERS["l1"]
DOUBLE = torch.float64


def unit(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(*shape, generator=generator, dtype=DOUBLE)
    return a / a.norm(dim=1, keepdim=True)


def planted(n=2000, d=16, k=32, nonzeros=3, noise=0.01, seed=0, dtype=DOUBLE):
    """Rows of ``nonzeros`` atoms each, with coefficients ±(½ … 1½): the rows and the atoms."""
    generator = torch.Generator().manual_seed(seed)
    atoms = unit(k, d, seed=seed + 1)
    places = torch.rand(n, k, generator=generator).argsort(1)[:, :nonzeros]
    size = 0.5 + torch.rand(n, nonzeros, generator=generator, dtype=DOUBLE)
    sign = 2.0 * torch.randint(2, (n, nonzeros), generator=generator) - 1
    z = torch.zeros(n, k, dtype=DOUBLE).scatter_(1, places, size * sign)
    x = z @ atoms + noise * torch.randn(n, d, generator=generator, dtype=DOUBLE)
    return x.to(dtype), atoms.to(dtype)


def recovered(found, atoms):
    """Fraction of the planted atoms that some atom found points along, |cos| > 0.99."""
    found = found / found.norm(dim=1, keepdim=True)
    return ((atoms @ found.T).abs().amax(1) > 0.99).double().mean().item()


def model_of(atoms, **settings):
    model = gl.SparseCoding(len(atoms), **settings).to(atoms.dtype)
    model.dictionary = atoms
    return model


def penalty(name, z, scale):
    u = abs(z / scale)
    return {"l1": u, "log": math.log(1 + u * u), "exponential": 1 - math.exp(-u * u)}[name]


PENALISED = [("l1", 1.0), ("log", 0.3), ("exponential", 0.3)]


class TestObjective:
    @pytest.mark.covers("R03")
    @pytest.mark.parametrize(("name", "scale"), PENALISED)
    def test_it_is_the_formula_in_loops(self, name, scale):
        atoms, x, z = unit(5, 3), unit(4, 3, seed=1), unit(4, 5, seed=2)
        model = model_of(atoms, penalty=name, sparsity=0.7, scale=scale)
        for n in range(4):
            error = sum(
                (x[n, d] - sum(z[n, k] * atoms[k, d] for k in range(5))) ** 2 for d in range(3)
            )
            price = sum(penalty(name, z[n, k].item(), scale) for k in range(5))
            expected = 0.5 * error.item() + 0.7 * price
            assert model.objective(x, z)[n].item() == pytest.approx(expected)
        assert torch.equal(model.objective(x), model.objective(x, model.encode(x)))

    def test_of_l0_it_is_the_error(self):
        atoms, x, z = unit(5, 3), unit(4, 3, seed=1), unit(4, 5, seed=2)
        model = model_of(atoms, penalty="l0", nonzeros=2)
        expected = 0.5 * (x - z @ atoms).square().sum(1)
        torch.testing.assert_close(model.objective(x, z), expected)
        torch.testing.assert_close(model.decode(z), z @ atoms)

    @pytest.mark.covers("R03")
    def test_without_the_ball_scaling_takes_the_penalty_to_zero(self):
        """A → s A, z → z / s: the same error, ever less penalty."""
        atoms, x = unit(5, 3), unit(4, 3, seed=1)
        model = model_of(atoms, sparsity=0.1)
        z = model.encode(x)
        values = [model_of(atoms * s).objective(x, z / s).mean().item() for s in (1, 10, 1e6)]
        error = 0.5 * (x - z @ atoms).square().sum(1).mean().item()
        assert values[0] > values[1] > values[2]
        assert values[2] == pytest.approx(error, rel=1e-5)


class TestCodes:
    @pytest.mark.covers("R03")
    @pytest.mark.parametrize("solver", L1)
    def test_l1_meets_the_conditions_of_a_minimum(self, solver):
        x, atoms = planted(200)
        tight = {"iterations": 50_000, "tolerance": 1e-13}
        model = model_of(atoms, sparsity=0.05, solver=solver, **tight)
        z = model.encode(x)
        c = (x - z @ atoms) @ atoms.T
        on = z != 0
        assert 0 < on.sum(1).double().mean() < 10
        torch.testing.assert_close(c[on], 0.05 * z[on].sign(), rtol=0, atol=1e-5)
        assert c[~on].abs().max() <= 0.05 + 1e-5

    @pytest.mark.parametrize("solver", L1)
    def test_l1_has_scikit_learn_s_objective(self, solver):
        x, atoms = planted(100)
        model = model_of(atoms, sparsity=0.05, solver=solver, tolerance=1e-9, iterations=20_000)
        peer = sparse_encode(x.numpy(), atoms.numpy(), algorithm="lasso_lars", alpha=0.05)
        expected = model.objective(x, torch.tensor(peer))
        torch.testing.assert_close(model.objective(x), expected, rtol=1e-7, atol=1e-9)

    @pytest.mark.parametrize("nonzeros", [1, 3, 7])
    def test_omp_is_scikit_learn_s(self, nonzeros):
        x, atoms = planted(100)
        z = model_of(atoms, penalty="l0", nonzeros=nonzeros).encode(x)
        peer = sparse_encode(x.numpy(), atoms.numpy(), algorithm="omp", n_nonzero_coefs=nonzeros)
        torch.testing.assert_close(z, torch.tensor(peer), rtol=1e-7, atol=1e-9)
        assert ((z != 0).sum(1) == nonzeros).all()

    def test_omp_does_not_look_at_the_lengths_of_atoms_and_stops_at_zero(self):
        x, atoms = planted(50, nonzeros=2, noise=0.0)
        lengths = torch.linspace(0.1, 1, 32, dtype=DOUBLE)[:, None]
        plain, scaled = (
            model_of(a, penalty="l0", nonzeros=4).encode(x) for a in (atoms, atoms * lengths)
        )
        torch.testing.assert_close(scaled * lengths.T, plain)
        exact = (x - plain @ atoms).norm(dim=1) < 1e-12
        assert exact.double().mean() > 0.8
        assert ((plain[exact] != 0).sum(1) <= 4).all()
        assert ((plain != 0).sum(1) == 2).double().mean() > 0.8
        model = model_of(atoms, penalty="l0", nonzeros=4)
        assert not model.encode(torch.zeros(3, 16, dtype=DOUBLE)).any()

    def test_omp_in_float32_ends_at_rounding(self):
        x, atoms = planted(50, nonzeros=2, noise=0.0, dtype=torch.float32)
        z = matching_pursuit(x, atoms, 16)
        assert ((x - z @ atoms).norm(dim=1) < 1e-4 * x.norm(dim=1)).all()

    def test_omp_of_a_row_does_not_look_at_the_others(self):
        x, atoms = planted(50)
        lone = matching_pursuit(x[:1], atoms, 3)
        together = matching_pursuit(torch.cat([x[:1], 1e18 * x[1:]]), atoms, 3)
        torch.testing.assert_close(together[0], lone[0])

    @pytest.mark.covers("R03")
    @pytest.mark.parametrize(("name", "scale"), PENALISED)
    def test_no_iteration_of_ista_raises_the_objective(self, name, scale):
        x, atoms = planted(60)
        losses = []
        for count in range(1, 40):
            model = model_of(
                atoms, penalty=name, scale=scale, sparsity=0.05, solver="ista",
                iterations=count, tolerance=0.0,
            )  # fmt: skip
            losses.append(model.objective(x))
        assert all((b <= a + 1e-12).all() for a, b in itertools.pairwise(losses))
        assert (losses[-1] < 0.9 * losses[0]).all()

    @pytest.mark.parametrize(("name", "scale"), PENALISED[1:])
    def test_codes_of_a_smooth_penalty_are_stationary_and_not_sparse(self, name, scale):
        x, atoms = planted(60)
        model = model_of(
            atoms, penalty=name, scale=scale, sparsity=0.05, iterations=20_000, tolerance=1e-12
        )
        z = model.encode(x).requires_grad_()
        (slope,) = torch.autograd.grad(model.objective(x, z).sum(), z)
        assert slope.abs().max() < 1e-8
        assert (z != 0).all()

    def test_the_sum_of_rows_is_not_coded_by_the_sum_of_codes(self):
        """EC15: the best encoder of sparse coding is not linear."""
        x, atoms = planted(2)
        model = model_of(atoms, sparsity=0.1)
        apart = model.encode(x).sum(0)
        assert (model.encode(x.sum(0, keepdim=True))[0] - apart).abs().max() > 0.05
        assert not torch.allclose(model.encode(2 * x), 2 * model.encode(x), atol=0.05)


class TestDictionaryStep:
    def statistics(self):
        x, _ = planted(300)
        z = model_of(unit(32, 16, seed=9), sparsity=0.05).encode(x)
        return x, z, Statistics.of(x, z)

    def error(self, x, z, atoms):
        return 0.5 * (x - z @ atoms).square().sum(1).mean().item()

    def test_one_atom_s_place_is_the_best_in_the_ball(self):
        """Against projected gradient descent on that atom alone."""
        x, z, statistics = self.statistics()
        for shrunk in (1.0, 0.2):  # with short atoms around, the best one lies outside the ball
            atoms = shrunk * unit(32, 16, seed=9)
            alone = Statistics(statistics.gram.clone(), statistics.product)
            k = int(statistics.gram.diagonal().argmax())
            found = atoms.clone()
            best = atoms[k] + (alone.product[k] - alone.gram[k] @ atoms) / alone.gram[k, k]
            found[k] = best / best.norm().clamp_min(1)
            moved = atoms.clone()
            for _ in range(3000):
                slope = z[:, k] @ (z @ moved - x) / len(x)
                new = moved[k] - 0.1 * slope / alone.gram[k, k]
                moved[k] = new / new.norm().clamp_min(1)
            torch.testing.assert_close(found, moved, rtol=0, atol=1e-6)

    def test_it_lowers_the_error_and_keeps_the_ball(self):
        x, z, statistics = self.statistics()
        atoms = unit(32, 16, seed=9)
        before = atoms.clone()
        errors = [self.error(x, z, atoms)]
        for _ in range(5):
            atoms = improved(atoms, statistics)
            errors.append(self.error(x, z, atoms))
        assert all(b <= a + 1e-12 for a, b in itertools.pairwise(errors))
        assert errors[1] < 0.9 * errors[0]
        assert atoms.norm(dim=1).max() <= 1 + 1e-12
        assert torch.equal(before, unit(32, 16, seed=9))

    def test_it_ends_where_no_feasible_direction_leads_down(self):
        """Conditions of the minimum over the ball: the gradient is zero, or points out of it."""
        _, _, statistics = self.statistics()
        atoms = unit(32, 16, seed=9)
        for _ in range(500):
            atoms = improved(atoms, statistics)
        slope = statistics.gram @ atoms - statistics.product
        inside = atoms.norm(dim=1) < 1 - 1e-9
        outward = -(slope * atoms).sum(1, keepdim=True)
        assert (outward[~inside] >= -1e-4).all()
        tangent = slope + outward * atoms
        assert slope[inside].abs().max() < 1e-3 if inside.any() else True
        assert tangent[~inside].abs().max() < 1e-3

    def test_atoms_that_are_best_inside_the_ball_stay_inside(self):
        _, z, _ = self.statistics()
        z = z[:, :10] + unit(len(z), 10, seed=5)
        atoms = 0.3 * unit(10, 16, seed=6)
        found = unit(10, 16, seed=7)
        for _ in range(50):
            found = improved(found, Statistics.of(z @ atoms, z))
        torch.testing.assert_close(found, atoms, rtol=0, atol=1e-3)

    def test_merged_statistics_are_those_of_all_rows(self):
        x, z, whole = self.statistics()
        parts = Statistics.of(x[:90], z[:90]).merged(Statistics.of(x[90:], z[90:]), 0.3)
        for a, b in zip(parts, whole, strict=True):
            torch.testing.assert_close(a, b)

    def test_a_dead_atom_leaves_no_statistics(self):
        whole = Statistics(torch.ones(3, 3), torch.ones(3, 2))
        found = whole.without(torch.tensor([False, True, False]))
        assert found.gram.tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 1]]
        assert found.product.tolist() == [[1, 1], [0, 0], [1, 1]]

    def test_dead_atoms_become_the_worst_rows(self):
        x = torch.diag(torch.tensor([3.0, 1.0, 2.0, 0.0], dtype=DOUBLE))
        atoms, z = torch.eye(4, dtype=DOUBLE)[:1], torch.zeros(4, 1, dtype=DOUBLE)
        found = worst_rows(x, z, atoms, 2)
        torch.testing.assert_close(found, torch.eye(4, dtype=DOUBLE)[[0, 2]])
        assert len(worst_rows(x, z, atoms, 9)) == 3  # a row of zeros has no direction
        z[0] = 3.0  # the longest row is coded without error
        torch.testing.assert_close(worst_rows(x, z, atoms, 1), torch.eye(4, dtype=DOUBLE)[[2]])


METHODS = {
    "l1": {"sparsity": 0.1},
    "log": {"sparsity": 0.02, "penalty": "log", "scale": 0.2},
    "exponential": {"sparsity": 0.05, "penalty": "exponential", "scale": 0.2},
    "l0": {"penalty": "l0", "nonzeros": 3},
}


class TestFit:
    @pytest.mark.covers("R03")
    @pytest.mark.parametrize("method", METHODS)
    def test_no_half_step_raises_the_objective(self, method, monkeypatch):
        gl.seed(1)
        x, _ = planted(400)
        model = gl.SparseCoding(32, **METHODS[method], iterations=200).double()
        values, last = [], None
        codes, step = gl.SparseCoding._codes, improved

        def coded(self, rows, before):
            nonlocal last
            if last is not None:  # after the dictionary step, with the codes before
                values.append(self._objective(rows, last).mean().item())
            last = codes(self, rows, before)
            values.append(self._objective(rows, last).mean().item())
            return last

        monkeypatch.setattr(gl.SparseCoding, "_codes", coded)
        history = model.fit(x, iterations=12, tolerance=0.0)
        assert len(values) == 23
        assert all(b <= a + 1e-10 for a, b in itertools.pairwise(values))
        assert values[0::2] == pytest.approx(history["loss"])
        assert values[-1] < 0.8 * values[0]
        assert model.dictionary.norm(dim=1).max() <= 1 + 1e-12
        assert step is improved

    @pytest.mark.covers("R03")
    @pytest.mark.parametrize(("d", "k", "nonzeros"), [(24, 36, 2), (32, 48, 3)])
    @pytest.mark.parametrize("seed", range(3))
    def test_a_planted_dictionary_is_found(self, d, k, nonzeros, seed):
        gl.seed(seed)
        x, atoms = planted(4000, d, k, nonzeros, seed=seed, dtype=torch.float32)
        model = gl.SparseCoding(k, sparsity=0.1)
        model.fit(x, iterations=60, tolerance=1e-6)
        assert recovered(model.dictionary, atoms) >= 0.95

    @pytest.mark.parametrize("seed", range(3))
    def test_and_online_in_mini_batches(self, seed):
        gl.seed(seed)
        x, atoms = planted(3000, 24, 36, 2, seed=seed, dtype=torch.float32)
        model = gl.SparseCoding(36, sparsity=0.1)
        loader = DataLoader(TensorDataset(x), batch_size=25, shuffle=True)
        history = model.fit(loader, iterations=5, forget=0.5, start="random")
        assert recovered(model.dictionary, atoms) >= 0.95
        assert history["loss"][-1] < 0.9 * history["loss"][0]

    def test_from_where_there_is_no_structure_nothing_is_found(self):
        """Rows of Gaussian noise: the recovery above is not for the asking."""
        gl.seed(0)
        _, atoms = planted(10)
        model = gl.SparseCoding(32, sparsity=0.1).double()
        model.fit(torch.randn(2000, 16, dtype=DOUBLE), iterations=20)
        assert recovered(model.dictionary, atoms) == 0

    @pytest.mark.parametrize("forget", [0.6, 1.0])
    def test_online_the_statistics_of_a_batch_enter_by_its_number(self, forget, monkeypatch):
        kept, merged = [], Statistics.merged

        def noted(self, other, keep):
            kept.append(keep)
            return merged(self, other, keep)

        monkeypatch.setattr(Statistics, "merged", noted)
        gl.seed(0)
        model = model_of(unit(20, 16), sparsity=0.1)
        settings = {"start": "current", "batch_size": 20, "iterations": 2}
        model.fit(planted(80)[0], forget=forget, **settings)
        assert kept == pytest.approx([1 - t**-forget for t in range(2, 9)])

    def test_online_the_loss_is_the_mean_over_all_rows(self):
        x, _ = planted(50)
        atoms, costs, original = unit(20, 16), [], gl.SparseCoding._objective

        def noted(self, rows, z):
            costs.append(original(self, rows, z))
            return costs[-1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gl.SparseCoding, "_objective", noted)
            history = model_of(atoms, sparsity=0.1).fit(
                x, start="current", batch_size=20, iterations=1
            )
        assert [len(part) for part in costs] == [20, 20, 10]
        assert history["loss"] == pytest.approx([torch.cat(costs).mean().item()])

    def test_an_atom_that_only_the_first_batch_uses_is_not_dead(self):
        atoms = torch.eye(3, dtype=DOUBLE)
        x = torch.cat([atoms[:2].repeat(5, 1), atoms[2:].repeat(10, 1)])
        loader = DataLoader(TensorDataset(x), batch_size=10)
        history = model_of(atoms, sparsity=0.1).fit(loader, start="current", iterations=1)
        assert history["replaced"] == [0]

    def test_a_dead_atom_forgets_its_codes(self):
        """The second pass brings rows that do not use it: what it becomes is not undone."""
        atoms, calls = torch.eye(3, dtype=DOUBLE), []
        model = model_of(atoms, sparsity=0.1)

        class Passes(torch.utils.data.IterableDataset):
            def __iter__(self):
                calls.append(1)
                return iter(atoms.repeat(5, 1) if len(calls) <= 2 else atoms[:2].repeat(8, 1))

        without = Statistics.without
        seen = []

        def noted(self, dead):
            seen.append(dead.tolist())
            return without(self, dead)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Statistics, "without", noted)
            model.fit(DataLoader(Passes(), batch_size=20), start="current", iterations=2)
        assert seen == [[False] * 3, [False, False, True]]

    def test_online_all_iterations_are_made(self):
        gl.seed(0)
        model = gl.SparseCoding(10, sparsity=0.1).double()
        history = model.fit(planted(60)[0], batch_size=20, iterations=5, tolerance=0.9)
        assert len(history) == 5

    def test_rows_of_zeros_are_no_atoms(self):
        gl.seed(0)
        x, _ = planted(20)
        x[10:] = 0
        model = gl.SparseCoding(10, sparsity=0.1).double()
        model.fit(x, iterations=1)
        assert model.dictionary.isfinite().all()

    def test_random_directions_are_of_both_signs_and_one_row_replaces_one_atom(self):
        gl.seed(0)
        model = gl.SparseCoding(200, sparsity=1e3).double()
        model.fit(torch.ones(1, 16, dtype=DOUBLE), start="random", iterations=1)
        assert (model.dictionary < 0).double().mean() > 0.3

    def test_active_counts_atoms_of_both_signs(self):
        x, _ = planted(100)
        model = model_of(unit(20, 16), sparsity=0.1)
        z = model.encode(x)
        history = model.fit(x, start="current", iterations=1)
        assert history["active"] == [(z != 0).sum(1).double().mean().item()]
        assert (z < 0).any()

    def test_a_finished_fit_that_is_resumed_stays_as_it_is(self, tmp_path):
        x, _ = planted(200)
        histories, dictionaries = [], []
        for _ in range(3):
            gl.seed(0)
            model = gl.SparseCoding(20, sparsity=0.1).double()
            history = model.fit(x, tolerance=1e-2, checkpoint=tmp_path / "run", resume=True)
            histories.append(history.rows)
            dictionaries.append(model.dictionary)
        assert 2 < len(histories[0]) < 50
        assert histories[0] == histories[1] == histories[2]
        assert all(torch.equal(dictionaries[0], found) for found in dictionaries[1:])

    def test_a_resumed_fit_remembers_the_loss_before(self, tmp_path):
        """Stopped before its last iteration, it ends there, by its tolerance."""
        x, _ = planted(200)
        settings = {"tolerance": 1e-2, "start": "current"}
        whole = model_of(unit(20, 16), sparsity=0.1)
        history = whole.fit(x, **settings)
        writes, original = [], gl.Checkpoint.write

        def stop(self, state, *, last=False):
            original(self, state, last=True)
            writes.append(1)
            if len(writes) == len(history) - 1:
                raise KeyboardInterrupt

        file, model = tmp_path / "run", model_of(unit(20, 16), sparsity=0.1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gl.Checkpoint, "write", stop)
            with pytest.raises(KeyboardInterrupt):
                model.fit(x, **settings, checkpoint=file)
        again = model.fit(x, **settings, checkpoint=file, resume=True)  # its dictionary has moved
        assert again.rows == history.rows
        assert torch.equal(model.dictionary, whole.dictionary)
        with pytest.raises(gl.WrongCheckpointError, match="data"):
            model.fit(x + 1, **settings, checkpoint=file, resume=True)

    def test_atoms_that_no_row_uses_are_replaced(self):
        gl.seed(0)
        x, _ = planted(500)
        x[:, 8:] = 0  # rows of half of the dimensions
        model = gl.SparseCoding(32, sparsity=0.1).double()
        model.dictionary = torch.zeros(32, 16, dtype=DOUBLE)
        model.dictionary[:24, :8] = unit(24, 8)
        model.dictionary[24:, 8:] = unit(8, 8)
        history = model.fit(x, start="current", iterations=3, tolerance=0.0)
        assert history["replaced"][0] >= 8
        assert (model.encode(x) != 0).any(0).double().mean() > 0.9
        assert history["loss"][1] < history["loss"][0]

    def test_history_and_validation(self):
        gl.seed(0)
        x, _ = planted(300)
        model = gl.SparseCoding(20, sparsity=0.1).double()
        history = model.fit(x, valid=x[:50], iterations=3, tolerance=0.0)
        assert history.names == ["iteration", "loss", "active", "replaced", "valid"]
        assert history["valid"][-1] == pytest.approx(model.objective(x[:50]).mean().item())
        again = model.fit(x, start="current", iterations=1)
        assert again["loss"][0] <= history["loss"][-1]
        z = model.encode(x)
        model.fit(x, start="current", iterations=2, tolerance=0.9)  # ends when little is gained
        assert z.shape == (300, 20)

    def test_saving_keeps_the_codes(self, tmp_path):
        gl.seed(0)
        x, _ = planted(100)
        model = gl.SparseCoding(20, penalty="log", scale=0.5).double()
        model.fit(x, iterations=2)
        model.save(tmp_path / "model")
        loaded = gl.load(tmp_path / "model")
        assert loaded.penalty == "log"
        assert torch.equal(loaded.encode(x), model.encode(x))

    @pytest.mark.parametrize("settings", [{}, {"batch_size": 50}], ids=["all rows", "batches"])
    @pytest.mark.parametrize("method", ["l1", "log", "l0"])
    def test_a_fit_resumes_to_the_same_numbers(self, method, settings, tmp_path):
        x, _ = planted(200)
        given = {"iterations": 5, "tolerance": 0.0, **settings}

        def fitted(**more):
            gl.seed(4)
            model = gl.SparseCoding(20, **METHODS[method], iterations=20).double()
            return model, model.fit(x, **given, **more)

        whole, history = fitted()
        writes, original = 0, gl.Checkpoint.write

        def stop(self, state, *, last=False):
            nonlocal writes
            original(self, state, last=True)
            writes += 1
            if writes == 2:
                raise KeyboardInterrupt

        file = tmp_path / "run"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gl.Checkpoint, "write", stop)
            with pytest.raises(KeyboardInterrupt):
                fitted(checkpoint=file)
        resumed, rows = fitted(checkpoint=file, resume=True)
        assert torch.equal(resumed.dictionary, whole.dictionary)
        assert rows.rows == history.rows
        with pytest.raises(gl.WrongCheckpointError):
            gl.SparseCoding(21, **METHODS[method], iterations=20).double().fit(
                x, **given, checkpoint=file, resume=True
            )


class TestRefusals:
    @pytest.mark.parametrize(
        ("settings", "error", "message"),
        [
            ({"sparsity": -0.1}, ValueError, "sparsity: expected a finite number, zero or"),
            ({"penalty": "l2"}, ValueError, "penalty: expected one of 'l1', 'log'"),
            ({"solver": "omp"}, ValueError, "solver of the penalty 'l1': expected one of 'act"),
            (
                {"penalty": "l0"},
                ValueError,
                'nonzeros: expected a number of atoms with penalty="l0"',
            ),
            ({"nonzeros": 3}, ValueError, "and only there, got 3 with 'l1'"),
            (
                {"penalty": "l0", "nonzeros": 11},
                ValueError,
                "nonzeros: expected at most 10, got 11",
            ),
            ({"scale": 0.5}, ValueError, "scale: expected 1 for l1, whose λ does the same"),
            ({"scale": 0.0, "penalty": "log"}, ValueError, "scale: expected a finite positive"),
            ({"iterations": 0}, ValueError, "iterations: expected at least 1, got 0"),
            ({"tolerance": -1.0}, ValueError, "tolerance: expected"),
        ],
    )
    def test_of_the_constructor(self, settings, error, message):
        with pytest.raises(error, match=message):
            gl.SparseCoding(10, **settings)
        with pytest.raises(ValueError, match="atoms: expected at least 1"):
            gl.SparseCoding(0)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda x: x[:0], "expected at least one value, got an empty tensor"),
            (
                lambda x: x[:9],
                "atoms: expected at most as many as there are rows that are not zero",
            ),
            (lambda x: x * 0, r"that are not zero, 0, got 10"),
            (
                lambda x: x.index_fill(0, torch.tensor([3]), math.nan),
                "expected finite values, got nan",
            ),
            (lambda x: x[0], r"expected a matrix of shape \(N, d\)"),
        ],
    )
    def test_of_rows(self, change, message):
        x, _ = planted(30, dtype=torch.float32)
        with pytest.raises(ValueError, match=message):
            gl.SparseCoding(10).fit(change(x))
        loader = DataLoader(TensorDataset(x[:0]))
        with pytest.raises(ValueError, match="at least one batch, got none"):
            gl.SparseCoding(10).fit(loader)

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"start": "pca"}, "start: expected one of 'rows', 'random', 'current'"),
            ({"iterations": 0}, "iterations: expected at least 1"),
            ({"forget": 0.2}, r"forget: expected a number in \[0.5, 1\]"),
            ({"batch_size": 0}, "batch_size: expected at least 1"),
            ({"tolerance": -1.0}, "tolerance: expected"),
            ({"start": "random", "valid": torch.zeros(3, 5)}, r"valid: expected shape \(N, 16\)"),
        ],
    )
    def test_of_settings(self, settings, message):
        x, _ = planted(30, dtype=torch.float32)
        with pytest.raises(ValueError, match=message):
            gl.SparseCoding(10).fit(x, **settings)

    def test_of_a_dictionary_of_one_s_own(self):
        x, _ = planted(30, dtype=torch.float32)
        model = gl.SparseCoding(10)
        with pytest.raises(gl.NotFittedError, match="expected a dictionary from an earlier fit"):
            model.fit(x, start="current")
        with pytest.raises(gl.NotFittedError):
            model.encode(x)
        atoms = unit(10, 16).float()
        model.dictionary = atoms * (torch.arange(10) != 4)[:, None]
        for call in (lambda: model.encode(x), lambda: model.fit(x, start="current")):
            with pytest.raises(ValueError, match="atoms that are not zero, got one at index 4"):
                call()
        model.dictionary = atoms * torch.ones(10).index_fill(0, torch.tensor([6]), 1e-25)[:, None]
        for solver in SOLVERS["l1"]:
            model.solver = solver
            with pytest.raises(ValueError, match="not zero, got one at index 6 whose squared"):
                model.encode(x)
        model.dictionary = atoms.index_fill(0, torch.tensor([2]), math.nan)
        z = torch.zeros(30, 10)
        for call in (
            lambda: model.encode(x),
            lambda: model.decode(z),
            lambda: model.objective(x, z),
        ):
            with pytest.raises(ValueError, match="dictionary: expected finite values, got nan"):
                call()
        model.dictionary = atoms
        loader = DataLoader(TensorDataset(x[:, :5]), batch_size=30)
        for rows in (x[:, :5], loader):
            with pytest.raises(ValueError, match=r"x: expected shape \(N, 16\), got \(30, 5\)"):
                model.fit(rows, start="current")
        model.dictionary = 3 * atoms
        with pytest.raises(ValueError, match="atoms in the unit ball, got one of length 3"):
            model.fit(x, start="current")
        model.dictionary = atoms[:7]
        with pytest.raises(ValueError, match="dictionary: expected 10 atoms, got 7"):
            model.encode(x)

    def test_of_queries_and_codes(self):
        x, _ = planted(30, dtype=torch.float32)
        model = model_of(unit(10, 16).float())
        with pytest.raises(gl.CannotAnswerError, match="no closed form"):
            model.log_prob(x)
        with pytest.raises(gl.CannotAnswerError, match="no distribution of codes"):
            model.sample(3)
        with pytest.raises(ValueError, match=r"z: expected shape \(N, 10\)"):
            model.decode(x)
        with pytest.raises(ValueError, match="z: expected a code for each of 30 rows, got 2"):
            model.objective(x, torch.zeros(2, 10))
        with pytest.raises(ValueError, match=r"x: expected shape \(N, 16\)"):
            model.objective(x[:, :3])

    def test_of_a_later_batch_of_another_width(self):
        loader = [torch.ones(20, 16), torch.ones(20, 5)]
        loader = DataLoader([row for part in loader for row in part], batch_size=20)
        with pytest.raises(ValueError, match=r"x: expected shape \(N, 16\), got \(20, 5\)"):
            gl.SparseCoding(10).fit(loader, start="random")

    @pytest.mark.parametrize("wrong", [math.nan, math.inf])
    def test_every_batch_of_a_loader_is_looked_at(self, wrong):
        x, _ = planted(100, dtype=torch.float32)
        x[80, 2] = wrong
        loader = DataLoader(TensorDataset(x), batch_size=50)
        with pytest.raises(ValueError, match="x: expected finite"):
            gl.SparseCoding(10).fit(loader, iterations=2)
