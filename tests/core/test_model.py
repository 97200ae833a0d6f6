"""The contract: three queries, teaching errors, checks at the door, energies and saving."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.distributions import MultivariateNormal, constraints

import genlib as gl
from genlib.core.validation import check_event
from tests.core.toys import IsingRing, TrainedGaussian, TugOfWar


@pytest.fixture
def gaussian():
    gl.seed(0)
    model = TrainedGaussian(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5)
    return model


class TestQueries:
    def test_log_prob_is_that_of_torch_distributions(self, gaussian):
        x = torch.randn(50, 3)
        peer = MultivariateNormal(gaussian.loc, scale_tril=gaussian.scale_tril())
        torch.testing.assert_close(gaussian.log_prob(x), peer.log_prob(x))

    def test_samples_have_the_declared_moments(self, gaussian):
        """Hotelling's T² on the mean; false-alarm rate 1e-6."""
        n = 5_000
        x = gaussian.sample(n, generator=torch.Generator().manual_seed(1)).double()
        gap = x.mean(0) - gaussian.loc.detach().double()
        t2 = n * gap @ torch.linalg.solve(torch.cov(x.T), gap)
        assert t2 < stats.chi2.ppf(1 - 1e-6, 3)

    def test_encode_whitens(self, gaussian):
        codes = gaussian.encode(gaussian.sample(5)).detach()
        assert codes.shape == (5, 3)

    def test_generator_alone_decides_the_draw(self, gaussian):
        draws = [gaussian.sample(4, generator=torch.Generator().manual_seed(7)) for _ in range(2)]
        assert torch.equal(*draws)

    def test_seed_decides_the_global_draw(self, gaussian):
        draws = []
        for _ in range(2):
            gl.seed(3)
            draws.append((gaussian.sample(2), np.random.rand()))
        assert torch.equal(draws[0][0], draws[1][0]) and draws[0][1] == draws[1][1]

    def test_a_query_without_an_answer_says_why_and_names_the_lesson(self):
        with pytest.raises(
            gl.CannotAnswerError,
            match=r"TugOfWar cannot answer log_prob: a game .*17_adversarial_game",
        ):
            TugOfWar().log_prob(torch.zeros(2, 1))
        with pytest.raises(gl.CannotAnswerError, match="no hidden units"):
            IsingRing(4).encode(torch.zeros(2, 4))

    def test_declarations_tell_who_answers_what(self):
        answers = {
            model: [model.answers(query) for query in ("log_prob", "sample", "encode")]
            for model in (TrainedGaussian, IsingRing, TugOfWar)
        }
        assert answers == {
            TrainedGaussian: [True, True, True],
            IsingRing: [True, False, False],
            TugOfWar: [False, True, False],
        }


class TestShapes:
    @pytest.mark.parametrize("spoil", [lambda e: e[:, None], lambda e: e[:-1], lambda e: e.sum()])
    def test_an_answer_is_one_number_a_row(self, spoil):
        class Ring(IsingRing):
            def _energy(self, x):
                return spoil(super()._energy(x))

        class Gaussian(TrainedGaussian):
            def _log_prob(self, x):
                return spoil(super()._log_prob(x))

        rings, points = torch.zeros(4, 3), torch.zeros(4, 3)
        asks = [
            lambda: Ring(3).energy(rings),
            lambda: Gaussian(3).log_prob(points),
            lambda: Gaussian(3).fit(points),
        ]
        for ask in asks:
            with pytest.raises(ValueError, match="expected one number for each of 4 rows"):
                ask()


class TestReasons:
    def test_subclasses_inherit_reasons_but_for_what_they_answer(self):
        class Base(gl.Model, abstract=True):
            cannot = {"encode": "nothing inside.", "sample": "no way."}  # noqa: RUF012

        class Sampler(Base):
            cannot = {"log_prob": "no density."}  # noqa: RUF012

            def _sample(self, n, generator):
                return torch.zeros(n, 1)

        assert Sampler.cannot == {"encode": "nothing inside.", "log_prob": "no density."}
        assert Sampler.answers("sample") and not Base.answers("sample")

    def test_an_instance_may_have_reasons_of_its_own(self, gaussian):
        assert gaussian.answers("encode")
        gaussian.cannot = gaussian.cannot | {"encode": "not this one."}
        assert not gaussian.answers("encode") and TrainedGaussian.answers("encode")
        with pytest.raises(gl.CannotAnswerError, match="cannot answer encode: not this one"):
            gaussian.encode(torch.zeros(2, 3))

    def test_a_wrong_argument_gets_python_s_own_message(self):
        with pytest.raises(TypeError, match=r"TrainedGaussian.__init__\(\) got an unexpected keyw"):
            TrainedGaussian(dimm=3)

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_nothing_is_drawn_from_broken_parameters(self, gaussian, value):
        with torch.no_grad():
            gaussian.loc[1] = value
        with pytest.raises(ValueError, match="found NaN or infinity in loc"):
            gaussian.sample(2)


class TestDoor:
    @pytest.mark.parametrize(
        ("x", "error", "words"),
        [
            (
                np.zeros((2, 3), np.float32),
                TypeError,
                r"expected a torch.Tensor, got numpy.ndarray; .*as_tensor",
            ),
            ([[0.0, 0.0, 0.0]], TypeError, "got list"),
            (
                torch.zeros(2, 3, dtype=torch.uint8),
                TypeError,
                r"got torch.uint8; convert with x.float\(\) / 255",
            ),
            (
                torch.zeros(2, 3, dtype=torch.int64),
                TypeError,
                r"got torch.int64; convert with x.float\(\)",
            ),
            (
                torch.zeros(2, 3, dtype=torch.float64),
                TypeError,
                r"computes in torch.float32, got torch.float64",
            ),
            (torch.zeros(2, 4), ValueError, r"expected shape \(N, 3\), got \(2, 4\)"),
            (torch.zeros(3), ValueError, r"single event needs a batch dimension: x.unsqueeze\(0\)"),
            (torch.zeros(2, 1, 3), ValueError, r"reshape\(-1, 3\)"),
            (torch.zeros(0, 3), ValueError, r"empty tensor of shape \(0, 3\)"),
            (torch.tensor([[0.0, 1.0, float("nan")]]), ValueError, r"got nan at index \(0, 2\)"),
            (torch.tensor([[0.0, float("-inf"), 1.0]]), ValueError, r"got -inf at index \(0, 1\)"),
            (torch.zeros(2, 3, device="meta"), ValueError, r"on the meta device, which holds none"),
            (torch.zeros(2, 3).to_sparse(), TypeError, r"dense tensor, got .*x.to_dense\(\)"),
        ],
    )
    @pytest.mark.parametrize("method", ["log_prob", "encode", "fit"])
    def test_bad_input_names_expected_and_found(self, gaussian, method, x, error, words):
        with pytest.raises(error, match=words):
            getattr(gaussian, method)(x)

    @pytest.mark.parametrize("shape", [(3,), [3], torch.Size([3])])
    def test_a_shape_may_be_declared_as_a_tuple(self, gaussian, shape):
        class Declared(TrainedGaussian):
            event_shape = shape

        gaussian.event_shape = shape
        for shaped in (Declared, gaussian):
            assert isinstance(shaped.event_shape, torch.Size) and shaped.event_shape == (3,)
        for x, words in ((torch.zeros(2, 4), r"got \(2, 4\)"), (torch.zeros(2, 1, 3), "reshape")):
            with pytest.raises(ValueError, match=words):
                gaussian.log_prob(x)

    def test_an_estimator_may_be_given_its_shape_as_a_tuple(self):
        class Given(gl.core.Estimator, abstract=True):
            pass

        assert isinstance(Given((3,)).event_shape, torch.Size)

    def test_a_declared_shape_has_sizes(self, gaussian):
        with pytest.raises(TypeError, match="event_shape: expected"):
            gaussian.event_shape = (2.0,)

    def test_data_and_model_live_on_one_device(self, gaussian):
        with pytest.raises(ValueError, match="the model is on meta, the data on cpu"):
            gaussian.to("meta").log_prob(torch.zeros(2, 3))

    def test_finite_values_may_have_an_infinite_sum(self):
        check_event(torch.full((4, 3), 3e38), torch.Size([3]))
        with pytest.raises(ValueError, match=r"got inf at index \(0, 0\)"):
            check_event(torch.tensor([[math.inf], [-math.inf]]), torch.Size([1]))

    def test_a_large_batch_is_checked_to_its_last_value(self):
        x = torch.zeros(1001, 1000)
        x[1000, 999] = 2
        with pytest.raises(ValueError, match=r"got 2 at index \(1000, 999\)"):
            check_event(x, torch.Size([1000]), constraints.boolean)

    def test_support_is_checked(self):
        x = torch.zeros(3, 4)
        x[1, 2] = 0.5
        with pytest.raises(
            ValueError, match=r"expected values in \{0, 1\}, got 0.5 at index \(1, 2\)"
        ):
            IsingRing(4).log_prob(x)

    @pytest.mark.parametrize(
        ("n", "error"),
        [
            (0, ValueError),
            (-1, ValueError),
            (2**40, ValueError),
            (10**400, ValueError),
            (2.0, TypeError),
            (True, TypeError),
        ],
    )
    def test_sample_wants_a_count(self, gaussian, n, error):
        with pytest.raises(error, match="n: expected"):
            gaussian.sample(n)

    def test_labels_are_refused_where_there_are_none(self, gaussian):
        with pytest.raises(ValueError, match="TrainedGaussian has no labels"):
            gaussian.log_prob(torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64))

    @pytest.mark.parametrize(
        ("y", "error", "words"),
        [
            (torch.zeros(2), TypeError, "int64.*got torch.float32"),
            ([0, 1], TypeError, "got list"),
            (torch.zeros(3, dtype=torch.int64), ValueError, r"shape \(2,\), got \(3,\)"),
            (torch.tensor([0, 5]), ValueError, "labels in 0 … 1, got 0 … 5"),
        ],
    )
    def test_labels_are_checked_where_there_are_some(self, gaussian, y, error, words):
        gaussian.classes = 2
        with pytest.raises(error, match=words):
            gaussian.log_prob(torch.zeros(2, 3), y)

    def test_a_model_without_data_says_fit_first(self):
        class Unfitted(TrainedGaussian):
            def __init__(self):
                super().__init__(2)
                self.event_shape = None

        with pytest.raises(gl.NotFittedError, match=r"call fit\(x\) before sample"):
            Unfitted().sample(1)


class TestEnergy:
    @pytest.mark.parametrize(("spins", "coupling"), [(3, 0.7), (6, -0.4), (15, 1.1)])
    def test_enumerated_partition_function_is_the_transfer_matrix_s(self, spins, coupling):
        exact = math.log((2 * math.cosh(coupling)) ** spins + (2 * math.sinh(coupling)) ** spins)
        assert IsingRing(spins, coupling).log_partition().item() == pytest.approx(exact, rel=1e-5)

    def test_log_prob_sums_to_one(self):
        events = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6)))
        assert IsingRing(6).log_prob(events).exp().sum().item() == pytest.approx(1, abs=1e-5)

    def test_gradient_of_log_prob_runs_through_the_partition_function(self):
        model = IsingRing(5, 0.3).double()
        x = torch.tensor([[1.0, 1, 0, 0, 1]], dtype=torch.float64)
        model.log_prob(x).sum().backward()
        c, s, j = math.cosh(0.3), math.sinh(0.3), 0.3
        log_z_slope = 5 * (c**4 * s + s**4 * c) / (c**5 + s**5)
        assert model.coupling.grad.item() == pytest.approx(
            -model.energy(x).item() / j - log_z_slope
        )

    def test_too_large_to_list_says_so(self):
        with pytest.raises(gl.CannotAnswerError, match="at most 1048576 of them, got events of 21"):
            IsingRing(21).log_prob(torch.zeros(1, 21))

    def test_real_valued_energy_is_not_enumerated(self):
        model = IsingRing(3)
        model.support = constraints.real
        with pytest.raises(gl.CannotAnswerError, match="annealed importance sampling"):
            model.log_partition()

    def test_binary_events_count_upwards(self):
        expected = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4)))
        assert torch.equal(gl.binary_events(4), expected)


class TestSaving:
    def test_round_trip(self, gaussian, tmp_path):
        gaussian.save(tmp_path / "model.safetensors")
        loaded = gl.load(tmp_path / "model.safetensors")
        x = torch.randn(5, 3)
        assert isinstance(loaded, TrainedGaussian)
        assert torch.equal(loaded.log_prob(x), gaussian.log_prob(x))

    def test_arguments_and_dtype_survive(self, tmp_path):
        IsingRing(4, coupling=0.25).double().save(tmp_path / "m")
        loaded = gl.load(tmp_path / "m")
        assert loaded.arguments == {"spins": 4, "coupling": 0.25} and loaded.dtype == torch.float64

    @pytest.mark.parametrize("damage", ["truncated", "altered", "foreign", "empty"])
    def test_a_damaged_file_is_reported_and_not_used(self, gaussian, tmp_path, damage):
        path = tmp_path / "model.safetensors"
        gaussian.save(path)
        payload = bytearray(path.read_bytes())
        if damage == "truncated":
            payload = payload[:-7]
        elif damage == "altered":
            payload[-3] ^= 1
        elif damage == "foreign":
            payload = b"this is not a model, whatever its name says"
        else:
            payload = b""
        path.write_bytes(payload)
        with pytest.raises(gl.DamagedFileError, match=r"model.safetensors: expected"):
            gl.load(path)

    def test_a_missing_file_and_an_unknown_class(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no such file"):
            gl.load(tmp_path / "nothing")

        class Fleeting(TrainedGaussian):
            pass

        Fleeting(2).save(tmp_path / "fleeting")
        del gl.Model.registry[f"{__name__}.{Fleeting.__qualname__}"]
        with pytest.raises(ValueError, match="Fleeting, which is not defined"):
            gl.load(tmp_path / "fleeting")

    def test_what_cannot_be_saved_says_so_and_leaves_the_old_file(self, gaussian, tmp_path):
        path = tmp_path / "model"
        gaussian.save(path)
        before = path.read_bytes()
        gaussian.arguments["callback"] = print
        with pytest.raises(TypeError, match="cannot save a builtin_function_or_method"):
            gaussian.save(path)
        assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]

    def test_full_disk_leaves_the_old_file_and_nothing_else(self, gaussian, tmp_path, monkeypatch):
        path = tmp_path / "model"
        gaussian.save(path)
        before = path.read_bytes()

        def no_space(self, data):
            with open(self, "wb") as file:
                file.write(data[: len(data) // 2])
            raise OSError(28, "No space left on device", str(self))

        monkeypatch.setattr("pathlib.Path.write_bytes", no_space)
        with pytest.raises(OSError, match="No space left"):
            gaussian.save(path)
        assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
