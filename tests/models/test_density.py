"""Density estimators against closed forms, quadrature, brute force and scikit-learn."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from sklearn.neighbors import KernelDensity

import genlib as gl
from genlib.models.density import histogram, laplace, nearest, windows

ESTIMATORS = {
    "gaussian": lambda: gl.Gaussian(),
    "diagonal": lambda: gl.Gaussian(covariance="diagonal"),
    "laplace": lambda: gl.Laplace(),
    "histogram": lambda: gl.Histogram(bins=6),
    "smoothed histogram": lambda: gl.Histogram(bins=6, smoothing=0.5),
    "parzen": lambda: gl.Parzen(bandwidth=0.4),
    "hypercube": lambda: gl.Parzen(kernel="hypercube", bandwidth=0.8),
    "epanechnikov": lambda: gl.Parzen(kernel="epanechnikov", bandwidth=0.9),
}


def cloud(n, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator)
    return x @ torch.randn(d, d, generator=generator) + torch.arange(d)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("d", [1, 2, 3])
class TestContract:
    def test_the_density_integrates_to_one_and_samples_follow_it(self, name, d):
        model = ESTIMATORS[name]()
        model.fit(cloud(200, d))
        gl.verify.normalised(model, draws=30_000)
        gl.verify.samples_match(model, draws=30_000, cells=12)

    def test_saving_keeps_the_density(self, name, d, tmp_path):
        model = ESTIMATORS[name]()
        x = cloud(50, d)
        model.fit(x)
        model.save(tmp_path / "model")
        assert torch.equal(gl.load(tmp_path / "model").log_prob(x), model.log_prob(x))

    def test_float64_is_float64_throughout(self, name, d):
        model = ESTIMATORS[name]().double()
        x = cloud(50, d).double()
        model.fit(x)
        assert model.log_prob(x).dtype == model.sample(3).dtype == torch.float64
        with pytest.raises(TypeError, match=r"torch.float64, got torch.float32"):
            model.log_prob(x.float())

    def test_autocast_changes_nothing(self, name, d):
        x, plain, under = cloud(50, d), ESTIMATORS[name](), ESTIMATORS[name]()
        plain.fit(x)
        with torch.autocast("cpu", torch.bfloat16):
            under.fit(x)
            log_p = under.log_prob(x)
            drawn = under.sample(50, generator=torch.Generator().manual_seed(3))
        assert log_p.dtype == drawn.dtype == torch.float32
        assert torch.equal(log_p, plain.log_prob(x))
        assert torch.equal(drawn, plain.sample(50, generator=torch.Generator().manual_seed(3)))

    def test_float64_draws_have_more_than_24_bits(self, name, d):
        model = ESTIMATORS[name]().double()
        model.fit(cloud(50, d).double())
        drawn = model.sample(30) - model.sample(30)
        assert ((drawn * 2**26) % 1 != 0).float().mean() > 0.9


@pytest.mark.parametrize("name", [*ESTIMATORS, "neighbours"])
class TestDoor:
    @pytest.fixture
    def model(self, name):
        return gl.KNearest(k=3) if name == "neighbours" else ESTIMATORS[name]()

    def ask(self, model, x):
        return (
            model.unnormalised_log_prob(x) if isinstance(model, gl.KNearest) else model.log_prob(x)
        )

    def test_fit_wants_a_finite_float_matrix(self, model):
        for x, error, words in [
            (torch.zeros(0, 2), ValueError, "empty tensor"),
            (torch.zeros(5), ValueError, r"matrix of shape \(N, d\), got \(5,\)"),
            (torch.zeros(5, 1, 8, 8), ValueError, r"flatten with x.flatten\(1\)"),
            (torch.zeros(5, 2, dtype=torch.uint8), TypeError, "got torch.uint8"),
            (torch.full((5, 2), math.nan), ValueError, r"got nan at index \(0, 0\)"),
            (torch.zeros(5, 2).double(), TypeError, "computes in torch.float32, got torch.float64"),
            (np.zeros((5, 2), np.float32), TypeError, "got numpy.ndarray"),
        ]:
            with pytest.raises(error, match=words):
                model.fit(x)
        with pytest.raises(gl.NotFittedError):
            self.ask(model, torch.zeros(1, 2))

    def test_queries_want_the_fitted_number_of_columns(self, model):
        model.fit(cloud(30, 2))
        with pytest.raises(ValueError, match=r"expected shape \(N, 2\), got \(4, 3\)"):
            self.ask(model, torch.zeros(4, 3))

    def test_the_model_keeps_its_own_copy(self, model):
        x = cloud(30, 2)
        model.fit(x)
        before = self.ask(model, x[:5] + 0.01)
        at = x[:5] + 0.01
        x.mul_(5)
        assert torch.equal(self.ask(model, at), before)

    def test_refitting_forgets(self, model):
        model.fit(cloud(30, 2))
        model.fit(cloud(40, 3))
        assert model.event_shape == (3,)

    def test_representation_is_refused_with_a_reason(self, model):
        model.fit(cloud(30, 2))
        with pytest.raises(
            gl.CannotAnswerError, match=r"no inner variable .*03_density_estimation"
        ):
            model.encode(torch.zeros(1, 2))


@pytest.mark.parametrize(
    ("model", "x", "words"),
    [
        (gl.Gaussian(), cloud(3, 3), "singular"),
        (gl.Gaussian(), 1e-42 * cloud(60, 2), "deviation, .* column 0 is .* multiply the data"),
        (gl.Gaussian("diagonal"), 1e-42 * cloud(60, 2), "deviation, .* too small for torch.float3"),
        (gl.Laplace(), torch.ones(5, 3), "column 0 is constant"),
        (gl.Histogram(), torch.ones(5, 3), "column 0 spans"),
        (gl.Histogram(bins=2**31 - 1), cloud(9, 3), "cannot be numbered"),
        (gl.Histogram(bins="scott", low=-99.0, high=99.0), torch.ones(5, 3), "column 0 is const"),
        (gl.Parzen(), torch.ones(5, 3), "column 0 is constant"),
        # All 26 candidates have been tried when this is known.
        (gl.Parzen("hypercube", "leave-one-out"), 1e6 * torch.eye(1000, 1), "density zero"),
        (gl.KNearest(k=5), cloud(4, 3), "at most the number of rows"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, gl.Model) else None,
)
def test_a_failed_fit_leaves_the_model_as_it_was(model, x, words):
    model = copy.deepcopy(model)  # parameters of a test are shared by its runs
    if model.state_dict().keys() & {"shape"}:
        good = gl.Histogram(bins=3)
        good.fit(cloud(60, 2))
    else:
        good = copy.deepcopy(model)
        good.fit(cloud(60, 2))
    model.load_state_dict(good.state_dict())
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=words):
        model.fit(x)
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


class TestGaussian:
    @pytest.mark.covers("F10")
    def test_is_the_sample_s_mean_and_covariance(self):
        x = cloud(200, 3)
        model = gl.Gaussian()
        model.fit(x)
        peer = stats.multivariate_normal(x.double().mean(0), np.cov(x.double().T, bias=True))
        np.testing.assert_allclose(model.log_prob(x), peer.logpdf(x), rtol=1e-5, atol=1e-4)

    @pytest.mark.covers("F10")
    def test_no_gaussian_fits_its_data_better(self):
        """Moving any parameter either way lowers the likelihood: a maximum, not a formula."""
        x = cloud(100, 2).double()
        model = gl.Gaussian().double()
        model.fit(x)
        best = model.log_prob(x).mean()
        for buffer, index in [
            ("loc", (0,)),
            ("loc", (1,)),
            *(("scale_tril", i) for i in [(0, 0), (1, 0), (1, 1)]),
        ]:
            for step in (-1e-2, 1e-2):
                getattr(model, buffer)[index] += step
                assert model.log_prob(x).mean() < best
                getattr(model, buffer)[index] -= step

    def test_diagonal_is_the_product_of_its_columns(self):
        x = cloud(100, 3)
        model = gl.Gaussian(covariance="diagonal")
        model.fit(x)
        peer = stats.norm(x.mean(0), x.std(0, correction=0)).logpdf(x).sum(1)
        np.testing.assert_allclose(model.log_prob(x), peer, rtol=1e-4)

    @pytest.mark.parametrize(
        "x",
        [cloud(3, 3), torch.ones(10, 2), cloud(50, 2)[:, [0, 0]]],
        ids=["N=d", "constant", "copy"],
    )
    def test_a_singular_covariance_says_so(self, x):
        with pytest.raises(ValueError, match=r"is singular .*ridge"):
            gl.Gaussian().fit(x)
        model = gl.Gaussian(ridge=1e-2)
        model.fit(x)
        assert torch.isfinite(model.log_prob(x)).all()

    def test_far_from_the_origin(self):
        x = cloud(100, 2) + 1e4
        model = gl.Gaussian()
        model.fit(x)
        centred = gl.Gaussian().double()
        centred.fit(x.double() - 1e4)
        np.testing.assert_allclose(model.log_prob(x), centred.log_prob(x.double() - 1e4), atol=1e-2)

    @pytest.mark.parametrize("d", [1, 2, 50, 128, 129, 300])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_every_size_equals_scipy_s(self, d, dtype):
        x = cloud(3 * d + 20, d).double()
        x = (x / x.std(0)).to(dtype)
        model = gl.Gaussian(ridge=0.01).to(dtype)
        model.fit(x)
        sigma = np.cov(x.double().T, bias=True).reshape(d, d) + 0.01 * np.eye(d)
        peer = stats.multivariate_normal(x.double().mean(0), sigma)
        tolerance = {torch.float32: 2e-5, torch.float64: 1e-12}[dtype]
        np.testing.assert_allclose(model.log_prob(x), peer.logpdf(x.numpy()), rtol=tolerance)
        np.testing.assert_allclose(
            model.log_prob(x[:1]), peer.logpdf(x[:1].numpy()), rtol=tolerance
        )

    @pytest.mark.parametrize("d", [2, 10, 60])
    @pytest.mark.parametrize(
        ("dtype", "share"), [(torch.float32, 1e-6), (torch.float64, 1e-12)], ids=["f32", "f64"]
    )
    def test_the_smallest_variance_left_is_that_of_the_dtype(self, d, dtype, share):
        """Half of the columns are others plus a residual: refused below the limit that the class
        states; above it, right to 0.005 nats for each of them, against extended precision.
        """
        generator = torch.Generator().manual_seed(d)
        x = torch.randn(50 * d, d, generator=generator, dtype=torch.float64)
        half = d // 2
        for residual in (0.7, 1.5):
            copies = x[:, :half] + residual * math.sqrt(share) * x[:, half:]
            y = torch.cat([x[:, :half], copies], 1).to(dtype)
            model = gl.Gaussian().to(dtype)
            if residual < 1:
                with pytest.raises(ValueError, match=f"singular in {dtype}"):
                    model.fit(y)
            else:
                model.fit(y)
                expected = gaussian_log_prob(y.numpy().astype(np.longdouble))
                assert np.abs(model.log_prob(y).numpy() - expected).max() < 0.005 * half

    def test_draws_have_the_tails_of_a_gaussian_in_float64(self):
        model = gl.Gaussian().double()
        model.fit(torch.tensor([[-1.0], [1.0]]).double())
        assert len(model.sample(10_000).unique()) == 10_000  # false alarm 5e-9, with 53 bits

    @pytest.mark.parametrize(
        ("settings", "error", "words"),
        [
            ({"covariance": "spherical"}, ValueError, "'full', 'diagonal', got 'spherical'"),
            ({"covariance": None}, ValueError, "'full', 'diagonal', got None"),
            ({"ridge": -1.0}, ValueError, "ridge"),
            ({"ridge": math.nan}, ValueError, "ridge"),
            ({"ridge": 10**400}, ValueError, "got an integer of 1329 bits"),
            ({"ridge": None}, TypeError, "ridge"),
            ({"ridge": ""}, TypeError, "ridge"),
        ],
    )
    def test_bad_settings(self, settings, error, words):
        with pytest.raises(error, match=words):
            gl.Gaussian(**settings)

    def test_a_ridge_that_the_dtype_cannot_hold(self):
        with pytest.raises(ValueError, match=r"overflows torch\.float32"):
            gl.Gaussian(ridge=1e290).fit(cloud(5, 2))


def gaussian_log_prob(x):
    """log N of each row under all rows' mean and covariance, in the dtype of x, in loops."""
    centred, d = x - x.mean(0), x.shape[1]
    sigma = centred.T @ centred / len(x)
    scale = np.zeros_like(sigma)
    for i in range(d):
        scale[i, i] = np.sqrt(sigma[i, i] - scale[i, :i] @ scale[i, :i])
        scale[i + 1 :, i] = (sigma[i + 1 :, i] - scale[i + 1 :, :i] @ scale[i, :i]) / scale[i, i]
    white = np.zeros_like(centred)
    for i in range(d):
        white[:, i] = (centred[:, i] - white[:, :i] @ scale[i, :i]) / scale[i, i]
    log_scale = np.log(np.diagonal(scale)).sum()
    return -(white**2).sum(1) / 2 - log_scale - d / 2 * np.log(2 * np.longdouble(np.pi))


class TestLaplace:
    @pytest.mark.covers("F10")
    def test_equals_scipy_s_maximum_likelihood(self):
        x = cloud(101, 2)
        model = gl.Laplace()
        model.fit(x)
        peer = sum(
            stats.laplace(*stats.laplace.fit(x[:, i].numpy())).logpdf(x[:, i]) for i in range(2)
        )
        np.testing.assert_allclose(model.log_prob(x), peer, rtol=1e-4)

    def test_a_constant_column_is_named(self):
        x = cloud(10, 3)
        x[:, 1] = 4
        with pytest.raises(ValueError, match="column 1 is constant"):
            gl.Laplace().fit(x)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_the_smallest_uniform_number_gives_a_finite_draw(self, dtype, monkeypatch):
        model = gl.Laplace().to(dtype)
        model.fit(torch.tensor([[-1.0], [0.0], [1.0]], dtype=dtype))
        lowest = torch.tensor([[0.0], [torch.finfo(dtype).eps / 2], [0.5]], dtype=dtype)
        monkeypatch.setattr(laplace, "uniform", lambda shape, like, generator: lowest)
        drawn = model.sample(3)
        assert torch.isfinite(model.log_prob(drawn)).all()
        assert drawn[0] < drawn[1] < drawn[2] == 0

    def test_a_draw_that_was_infinite(self):
        """Seed 84 has a zero among its first hundred thousand numbers."""
        model = gl.Laplace()
        model.fit(torch.tensor([[-1.0], [0.0], [1.0]]))
        generator = torch.Generator().manual_seed(84)
        assert (torch.rand(100_000, generator=generator) == 0).any()
        drawn = model.sample(100_000, generator=generator.manual_seed(84))
        assert torch.isfinite(model.log_prob(drawn)).all()


class TestHistogram:
    @pytest.mark.covers("F12")
    @pytest.mark.parametrize("d", [1, 2, 3])
    def test_equals_numpy_s(self, d):
        x = cloud(500, d)
        model = gl.Histogram(bins=5)
        model.fit(x)
        heights, edges = np.histogramdd(x.double().numpy(), bins=5, density=True)
        for cell in itertools.product(range(5), repeat=d):
            centre = [(edges[i][k] + edges[i][k + 1]) / 2 for i, k in enumerate(cell)]
            found = model.log_prob(torch.tensor([centre], dtype=torch.float32)).exp().item()
            assert found == pytest.approx(heights[cell], rel=1e-4, abs=1e-12)

    @pytest.mark.covers("F11", "F12")
    def test_is_k_over_nv(self):
        x = torch.tensor([[0.1], [0.2], [0.3], [0.9]])
        model = gl.Histogram(bins=4, low=0.0, high=2.0)
        model.fit(x)
        assert model.log_prob(torch.tensor([[0.25]])).exp().item() == pytest.approx(3 / (4 * 0.5))
        assert model.log_prob(torch.tensor([[0.75]])).exp().item() == pytest.approx(1 / (4 * 0.5))

    def test_outside_the_grid_the_density_is_zero(self):
        model = gl.Histogram(bins=4, low=0.0, high=1.0)
        model.fit(torch.rand(50, 2))
        outside = torch.tensor([[1.1, 0.5], [0.5, -0.1], [9.0, 9.0]])
        assert torch.equal(model.log_prob(outside), torch.full((3,), -math.inf))

    def test_the_upper_edge_belongs_to_the_last_cell(self):
        model = gl.Histogram(bins=[2, 3], low=0.0, high=1.0)
        model.fit(torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
        assert model.log_prob(
            torch.tensor([[1.0, 1.0], [0.0, 0.0]])
        ).exp().tolist() == pytest.approx([3.0, 3.0])

    def test_memory_follows_the_rows_not_the_cells(self):
        x = torch.rand(100, 12)
        model = gl.Histogram(bins=10)  # 10**12 cells
        model.fit(x)
        assert len(model.cells) <= 100
        assert torch.isfinite(model.log_prob(x)).all()

    def test_smoothing_is_a_count_in_every_cell(self):
        model = gl.Histogram(bins=2, low=0.0, high=1.0, smoothing=1.0)
        model.fit(torch.tensor([[0.1], [0.2]]))
        assert model.log_prob(torch.tensor([[0.1], [0.9]])).exp().tolist() == pytest.approx(
            [2 * 3 / 4, 2 * 1 / 4]
        )

    @pytest.mark.parametrize(
        ("data", "bins"),
        [
            (lambda: torch.randn(1000, 1), 1000),
            (lambda: torch.randn(1000, 2), [7, 300]),
            (lambda: torch.randint(2000, 2021, (500, 1)).float(), 20),
            (lambda: torch.randint(2000, 2021, (500, 1)).float(), 100_000),
            (lambda: torch.randint(256, (3000, 3)).float() / 255, 256),
            (lambda: 1e6 + torch.rand(300, 1), 10_000),  # cells narrower than the numbers' spacing
            (lambda: -1e-30 * torch.rand(300, 1), 77),
        ],
        ids=["fine", "plane", "years", "days", "colours", "far", "tiny"],
    )
    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_every_draw_lies_in_a_cell_that_holds_data(self, data, bins, smoothing, dtype):
        x = data().to(dtype)
        model = gl.Histogram(bins=bins, smoothing=smoothing).to(dtype)
        model.fit(x)
        assert (model.log_prob(x) > -math.inf).all()
        assert (model.log_prob(model.sample(300_000)) > -math.inf).all()

    @pytest.mark.parametrize("u", [0.0, 1 - 2**-24])
    def test_a_draw_lies_in_the_very_cell_drawn_from(self, u, monkeypatch):
        """Both ends of every cell of a grid over the years, where 2000 + (place + u) is rounded."""
        model = gl.Histogram(bins=1000)
        years = torch.linspace(2000, 2020, 4001)[:, None]
        model.fit(years)
        assert len(model.cells) == 1000
        monkeypatch.setattr(histogram, "uniform", lambda shape, like, _: torch.full(shape, u))
        rows = torch.arange(len(years))
        monkeypatch.setattr(histogram, "integers", lambda high, shape, like, _: rows)
        drawn = gl.Histogram(bins=1000, low=2000.0, high=2020.0)
        drawn.fit(model.sample(len(rows)))
        assert torch.equal(drawn.counts, model.counts)

    @pytest.mark.parametrize("bins", [3, 40, 5000])
    def test_a_number_for_every_cell_and_a_search_among_the_stored_agree(self, bins):
        x = cloud(300, 2)
        model = gl.Histogram(bins=bins, low=-99.0, high=99.0, smoothing=0.1)
        model.fit(x)
        queries = torch.cat([x, 30 * torch.randn(200, 2), 200 * torch.randn(200, 2)])
        one_by_one = torch.cat([model.log_prob(query[None]) for query in queries])
        assert torch.equal(model.log_prob(queries), one_by_one)
        cells = {}
        for row in ((x - -99.0) / (99.0 - -99.0) * bins).long().tolist():
            cells[tuple(row)] = cells.get(tuple(row), 0) + 1
        assert sorted(cells.values()) == sorted(model.counts.tolist())

    def test_scott_s_rule_chooses_the_width(self):
        x = torch.randn(1000, 1)
        model = gl.Histogram(bins="scott")
        model.fit(x)
        width = 3.49 * x.std(correction=0).item() / 10
        assert model.shape.item() == math.ceil((x.max() - x.min()).item() / width)

    @pytest.mark.parametrize(
        ("settings", "x", "words"),
        [
            ({"bins": 0}, None, "bins: expected at least 1, got 0"),
            ({"bins": "doane"}, None, "expected a count"),
            ({"bins": [3, 3, 3]}, torch.rand(5, 2), "expected one number, or 2 of them"),
            ({"bins": 10_000}, torch.rand(5, 6), "cannot be numbered"),
            ({"low": 0.5}, torch.rand(50, 2), "lies outside the grid"),
            ({"low": 1.0, "high": 0.0}, torch.rand(5, 2), "expected low < high"),
            ({}, torch.ones(5, 2), "column 0 spans .* give low= and high="),
            ({"smoothing": -1.0}, None, "smoothing"),
            ({"low": math.nan, "high": 9.0}, None, "low: expected a finite number"),
            ({"low": 0.0, "high": math.inf}, None, "high: expected a finite number"),
            ({"low": [0.0, -math.inf]}, None, "low: expected a finite number"),
            ({"low": -(10**400)}, None, "low: expected a finite number"),
            ({"high": 1e39}, None, "high: expected numbers that torch.float32 can hold"),
            ({"low": -3e38, "high": 3e38}, None, "span of column 0 overflows"),
            ({"bins": 2**40}, None, "bins: expected at most"),
        ],
    )
    def test_bad_settings(self, settings, x, words):
        with pytest.raises(ValueError, match=words):
            gl.Histogram(**settings).fit(torch.rand(5, 2) if x is None else x)

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"bins": np.int64(10)}, r"bins: expected an integer, got np.int64\(10\)"),
            ({"bins": np.array([3, 3])}, r"bins: expected an integer, got array"),
            ({"bins": 2.5}, "bins: expected an integer, got 2.5"),
            ({"bins": None}, "bins: expected an integer, got None"),
            ({"bins": True}, "bins: expected an integer, got True"),
            ({"bins": [3, "4"]}, "bins: expected an integer, got '4'"),
            ({"bins": torch.tensor([3, 4])}, "bins: expected an integer, got tensor"),
            ({"low": "0"}, "low: expected a number, got '0'"),
            ({"high": torch.zeros(2)}, "high: expected a number, got tensor"),
            ({"smoothing": None}, "smoothing: expected a number, zero or positive, got None"),
        ],
    )
    def test_settings_of_the_wrong_kind(self, settings, words):
        with pytest.raises(TypeError, match=words):
            gl.Histogram(**settings)


def brute_force(kernel, x, y, h, w):
    """The definition, in float64 numpy, one pair at a time."""
    x, y, h, w = (np.asarray(a, np.float64) for a in (x, y, h, w))
    d = y.shape[1]
    h = np.broadcast_to(h, d)
    ball = math.pi ** (d / 2) / math.gamma(d / 2 + 1)

    def window(u):
        if kernel == "gaussian":
            return math.exp(-0.5 * (u**2).sum()) / (2 * math.pi) ** (d / 2)
        if kernel == "hypercube":
            return float((abs(u) < 0.5).all())
        return max(0.0, 1 - (u**2).sum()) * (d + 2) / (2 * ball)

    return np.array(
        [sum(b * window((a - c) / h) for b, c in zip(w, y, strict=True)) / h.prod() for a in x]
    )


class TestParzen:
    @pytest.mark.covers("F12")
    @pytest.mark.parametrize("kernel", ["gaussian", "hypercube", "epanechnikov"])
    @pytest.mark.parametrize("h", [0.7, [0.9, 0.5, 1.3]])
    @pytest.mark.parametrize("weighted", [False, True])
    def test_equals_the_definition(self, kernel, h, weighted):
        y, x = cloud(40, 3), cloud(25, 3, seed=1)
        w = torch.rand(40) if weighted else torch.ones(40)
        w = w / w.sum()
        model = gl.Parzen(kernel=kernel, bandwidth=h)
        model.fit(y, weights=w if weighted else None)
        np.testing.assert_allclose(
            model.log_prob(x).exp(), brute_force(kernel, x, y, h, w), rtol=1e-4, atol=1e-7
        )

    @pytest.mark.covers("F12")
    @pytest.mark.parametrize("kernel", ["gaussian", "epanechnikov"])
    def test_equals_scikit_learn_s(self, kernel):
        y, x = cloud(200, 2), cloud(50, 2, seed=1)
        model = gl.Parzen(kernel=kernel, bandwidth=0.8)
        model.fit(y)
        peer = KernelDensity(kernel=kernel, bandwidth=0.8, rtol=0, atol=0).fit(y.numpy())
        # the library's log of zero is a large negative number
        expected = np.maximum(peer.score_samples(x.numpy()), -700)
        np.testing.assert_allclose(
            np.maximum(model.log_prob(x).numpy(), -700), expected, rtol=1e-4, atol=1e-4
        )

    @pytest.mark.parametrize("kernel", ["gaussian", "hypercube", "epanechnikov"])
    def test_integrates_to_one_by_quadrature(self, kernel):
        model = gl.Parzen(kernel=kernel, bandwidth=0.5).double()
        y = cloud(5, 1).double()
        model.fit(y)
        breaks = np.sort(
            np.concatenate([y.numpy().ravel() + shift for shift in (-0.5, -0.25, 0, 0.25, 0.5)])
        )
        grid = np.concatenate([[breaks[0] - 5], breaks, [breaks[-1] + 5]])
        total = sum(
            integrate.quad(
                lambda t: model.log_prob(torch.tensor([[t]]).double()).exp().item(), a, b
            )[0]
            for a, b in itertools.pairwise(grid)
        )
        assert total == pytest.approx(1, abs=1e-6)

    @pytest.mark.covers("F12")
    @pytest.mark.parametrize("kernel", ["gaussian", "hypercube", "epanechnikov"])
    def test_leave_one_out_leaves_one_out(self, kernel):
        y = cloud(30, 2)
        w = torch.rand(30)
        w = w / w.sum()
        model = gl.Parzen(kernel=kernel, bandwidth=1.5)
        model.fit(y, weights=w)
        expected = []
        for i in range(30):
            rest = torch.arange(30) != i
            expected.append(
                brute_force(kernel, y[i : i + 1], y[rest], 1.5, w[rest] / w[rest].sum())[0]
            )
        np.testing.assert_allclose(
            model.leave_one_out_log_prob().exp(), expected, rtol=1e-3, atol=1e-9
        )

    @pytest.mark.covers("F12")
    def test_leave_one_out_search_finds_the_best_bandwidth(self):
        """Against a fine one-dimensional search by brute force."""
        y = torch.cat([torch.randn(60, 1), 6 + 0.3 * torch.randn(60, 1)])
        model = gl.Parzen(bandwidth="leave-one-out")
        history = model.fit(y)
        differences = (y - y.T).double()

        def score(h):
            p = torch.exp(-0.5 * (differences / h) ** 2).fill_diagonal_(0).sum(1) / (
                119 * h * math.sqrt(2 * math.pi)
            )
            return p.log().mean().item()

        grid = np.geomspace(0.05, 3, 400)
        best = max(score(h) for h in grid)
        assert score(model.h.item()) == pytest.approx(best, abs=2e-3)
        assert -history.best("loss")["loss"] == pytest.approx(score(model.h.item()), abs=1e-4)

    def test_held_out_search_prefers_what_the_held_out_rows_say(self):
        y, valid = torch.randn(200, 2), torch.randn(200, 2)
        chosen = gl.Parzen(bandwidth="held-out")
        chosen.fit(y, valid=valid)
        for factor in (0.5, 2.0):
            other = gl.Parzen(bandwidth=(chosen.h * factor).tolist())
            other.fit(y)
            assert other.log_prob(valid).mean() < chosen.log_prob(valid).mean()

    @pytest.mark.parametrize("kernel", ["gaussian", "hypercube", "epanechnikov"])
    def test_rules_are_stated_for_the_window_s_standard_deviation(self, kernel):
        """Draws around a single point have the rule's standard deviation; false-alarm rate 1e-6
        (4.9 σ).
        """
        x = torch.randn(500, 2)
        model = gl.Parzen(kernel=kernel, bandwidth="scott")
        model.fit(x)
        silverman = gl.Parzen(kernel=kernel, bandwidth="silverman")
        silverman.fit(x)
        assert torch.equal(model.h, silverman.h)  # at d = 2 the two rules agree
        expected = x.std(0, correction=0) * 500 ** (-1 / 6)
        model.points, model.weights = torch.zeros(1, 2), torch.ones(1)
        spread = model.sample(20_000).std(0)
        assert ((spread / expected - 1).abs() < 4.9 / math.sqrt(2 * 20_000)).all()

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"bandwidth": 0.0}, "bandwidth: expected a finite positive number, got 0.0"),
            ({"bandwidth": -1.0}, "got -1.0"),
            ({"bandwidth": math.nan}, "got nan"),
            ({"bandwidth": [0.1, 0.0]}, "got 0.0"),
            (
                {"bandwidth": "magic"},
                "'scott', 'silverman', 'leave-one-out', 'held-out', got 'magic'",
            ),
            ({"kernel": "triangle"}, "'gaussian', 'hypercube', 'epanechnikov', got 'triangle'"),
        ],
    )
    def test_bad_settings(self, settings, words):
        with pytest.raises(ValueError, match=words):
            gl.Parzen(**settings)

    @pytest.mark.parametrize(
        ("w", "error", "words"),
        [
            (torch.ones(5), ValueError, "expected a sum of 1, got 5; divide"),
            (torch.tensor([0.5, 0.5]), ValueError, "expected one a row, 5, got 2"),
            (
                torch.tensor([1.5, -0.5, 0.0, 0.0, 0.0]),
                ValueError,
                "none negative, got -0.5 at index 1",
            ),
            (torch.full((5,), math.nan), ValueError, "got nan"),
            (torch.ones(5, dtype=torch.int64), TypeError, "got torch.int64"),
        ],
    )
    def test_bad_weights(self, w, error, words):
        with pytest.raises(error, match=words):
            gl.Parzen().fit(cloud(5, 2), weights=w)

    @pytest.mark.parametrize("rule", ["scott", "silverman"])
    @pytest.mark.parametrize("d", [1, 3])
    def test_weighted_rules_equal_scipy_s(self, rule, d):
        x = cloud(100, d).double()
        w = torch.rand(100, dtype=torch.float64) ** 4
        w[::7] = 0
        w = w / w.sum()
        model = gl.Parzen(bandwidth=rule).double()
        model.fit(x, weights=w)
        peer = stats.gaussian_kde(x.T.numpy(), rule, weights=w.numpy())
        # theirs is the unbiased variance, ours the maximum-likelihood one, as without weights
        expected = peer.covariance.diagonal() * (1 - (w**2).sum().item())
        np.testing.assert_allclose(model.h**2, expected, rtol=1e-12)

    @pytest.mark.parametrize("rule", gl.Parzen.rules)
    @pytest.mark.parametrize("kernel", ["gaussian", "epanechnikov"])
    def test_a_row_of_weight_zero_is_no_row(self, rule, kernel):
        x, valid = torch.randn(200, 1), torch.randn(50, 1)
        far = torch.cat([x, torch.tensor([[1000.0]])])
        w = torch.full((200,), 1 / 200)
        without, given = gl.Parzen(kernel, rule), gl.Parzen(kernel, rule)
        without.fit(x, weights=w, valid=valid)
        given.fit(far, weights=torch.cat([w, torch.zeros(1)]), valid=valid)
        assert torch.equal(given.h, without.h)
        torch.testing.assert_close(given.log_prob(valid), without.log_prob(valid))

    @pytest.mark.parametrize("rule", gl.Parzen.rules)
    def test_equal_weights_are_no_weights(self, rule):
        x, valid = cloud(64, 2), cloud(20, 2, seed=1)
        given, default = gl.Parzen(bandwidth=rule), gl.Parzen(bandwidth=rule)
        given.fit(x, weights=torch.full((64,), 1 / 64), valid=valid)
        default.fit(x, valid=valid)
        torch.testing.assert_close(given.h, default.h, rtol=1e-5, atol=0)

    def test_scores_of_the_leave_one_out_search_are_weighted(self):
        x = torch.randn(40, 1).double()
        w = torch.rand(40, dtype=torch.float64) ** 3
        w = w / w.sum()
        model = gl.Parzen(bandwidth="leave-one-out").double()
        history = model.fit(x, weights=w)
        p = torch.exp(-0.5 * ((x - x.T) / model.h) ** 2) / (model.h * math.sqrt(2 * math.pi))
        others = (p.fill_diagonal_(0) @ w) / (1 - w)
        assert history.best("loss")["loss"] == pytest.approx(-(w @ others.log()).item(), rel=1e-9)

    @pytest.mark.parametrize("kernel", ["gaussian", "epanechnikov"])
    def test_leave_one_out_with_a_row_of_nearly_all_the_weight(self, kernel):
        y = torch.tensor([[0.0], [0.5], [-0.5]])
        w = torch.tensor([1.0, 3e-9, 1e-9])
        model = gl.Parzen(kernel, bandwidth=2.0)
        model.fit(y, weights=w)
        expected = [
            brute_force(
                kernel, y[i : i + 1], y[rest], 2.0, w[rest].double() / w[rest].double().sum()
            )
            for i, rest in enumerate(([1, 2], [0, 2], [0, 1]))
        ]
        np.testing.assert_allclose(
            model.leave_one_out_log_prob().exp(), np.concatenate(expected), rtol=1e-5
        )

    def test_a_row_of_all_the_weight_leaves_nothing_to_estimate_from(self):
        model = gl.Parzen(bandwidth=1.0)
        model.fit(torch.tensor([[0.0], [1.0]]), weights=torch.tensor([0.0, 1.0]))
        assert torch.isfinite(model.log_prob(torch.zeros(1, 1))).all()
        with pytest.raises(ValueError, match="row 1 has all the weight"):
            model.leave_one_out_log_prob()
        with pytest.raises(ValueError, match="column 0 is constant"):
            gl.Parzen().fit(torch.tensor([[0.3], [1.0]]), weights=torch.tensor([1.0, 0.0]))
        with pytest.raises(ValueError, match=r"two rows \(of weight above zero\)"):
            gl.Parzen(bandwidth="leave-one-out").fit(
                torch.tensor([[0.3], [1.0]]), weights=torch.tensor([1.0, 0.0])
            )

    @pytest.mark.parametrize("kernel", ["hypercube", "epanechnikov"])
    @pytest.mark.parametrize(
        ("offset", "h"), [(0.0, 1.0), (1000.0, 0.01), (-1000.0, 1e-4), (1.0, 1e-7), (1e6, 1e-9)]
    )
    def test_every_draw_lies_in_the_window_drawn_from(self, kernel, offset, h):
        """Windows that do not overlap, so that none can stand in for another."""
        model = gl.Parzen(kernel, bandwidth=h)
        model.fit(offset + torch.tensor([[0.0, 0.0], [4.0, 4.0]]))
        assert (model.log_prob(model.sample(500_000)) > -math.inf).all()

    def test_the_smallest_uniform_number_lies_in_the_cube(self, monkeypatch):
        monkeypatch.setattr(windows, "uniform", lambda shape, like, _: torch.zeros(shape))
        model = gl.Parzen("hypercube", bandwidth=0.5)
        model.fit(torch.tensor([[0.0], [4.0]]))
        assert (model.log_prob(model.sample(10)) > -math.inf).all()

    @pytest.mark.parametrize(("bandwidth", "x"), [(1e-60, 1.0), (1e60, 1.0), ("scott", 3e38)])
    def test_bandwidths_that_the_dtype_cannot_hold(self, bandwidth, x):
        with pytest.raises(ValueError, match=r"torch\.float32 can hold|overflows torch\.float32"):
            gl.Parzen("hypercube", bandwidth).fit(torch.tensor([[-x], [x]]))

    @pytest.mark.parametrize("kernel", ["hypercube", "epanechnikov"])
    def test_many_weights_are_summed_without_losing_digits(self, kernel):
        """Added one after another in float32, 200,000 of them lose some 1e-4 nats."""
        model = gl.Parzen(kernel, 10.0)
        model.fit(torch.full((200_000, 1), 0.25))
        height = {"hypercube": 1.0, "epanechnikov": 0.75}[kernel]  # of a window, at its middle
        found = model.log_prob(torch.tensor([[0.25]])).item()
        assert found == pytest.approx(math.log(height / 10), abs=2e-6)

    def test_a_search_among_rows_that_all_repeat_finds_no_bandwidth(self):
        twice = torch.randn(20, 1, generator=torch.Generator().manual_seed(0)).repeat(2, 1)
        with pytest.raises(ValueError, match="do they repeat"):
            gl.Parzen(bandwidth="leave-one-out").fit(twice)

    def test_searches_say_what_they_need(self):
        with pytest.raises(ValueError, match="pass valid="):
            gl.Parzen(bandwidth="held-out").fit(cloud(5, 2))
        with pytest.raises(ValueError, match="at least two rows"):
            gl.Parzen(bandwidth="leave-one-out").fit(cloud(1, 2))
        with pytest.raises(ValueError, match="column 0 is constant"):
            gl.Parzen().fit(torch.ones(5, 2))
        with pytest.raises(ValueError, match="expected one number, or 2 of them"):
            gl.Parzen(bandwidth=[0.1, 0.2, 0.3]).fit(cloud(5, 2))


class TestKNearest:
    @pytest.mark.covers("F13")
    @pytest.mark.parametrize("d", [1, 2, 5])
    def test_is_k_over_nv_with_the_growing_ball(self, d):
        y, x = cloud(100, d), cloud(20, d, seed=1)
        model = gl.KNearest(k=7)
        model.fit(y)
        radius = np.sort(np.linalg.norm(x[:, None].numpy() - y[None].numpy(), axis=2), axis=1)[:, 6]
        volume = math.pi ** (d / 2) / math.gamma(d / 2 + 1) * radius**d
        np.testing.assert_allclose(
            model.unnormalised_log_prob(x), np.log(7 / (100 * volume)), rtol=1e-4, atol=1e-4
        )

    @pytest.mark.covers("F13")
    def test_its_integral_grows_without_bound(self):
        """In one dimension the mass between R and 10 R is (K/N) log 10 for every large R: the tail
        never ends.
        """
        model = gl.KNearest(k=5).double()
        model.fit(torch.randn(50, 1).double())
        for far in (1e3, 1e5):
            x = torch.linspace(math.log(far), math.log(10 * far), 20_001).double().exp()[:, None]
            p = model.unnormalised_log_prob(x).exp()
            mass = 2 * torch.trapezoid(p, x[:, 0]).item()
            assert mass == pytest.approx(5 / 50 * math.log(10), rel=1e-2)

    @pytest.mark.parametrize("d", [1, 3, 11, 64, 200])
    @pytest.mark.parametrize("offset", [0.0, 1e4, 1e8])
    @pytest.mark.parametrize("k", [1, 10, 300])
    def test_is_exact_far_from_the_origin(self, d, offset, k):
        """Among 400 rows, by differences in float64; 300 are more than there are groups of 16."""
        y, x = (torch.randn(n, d, dtype=torch.float64) + offset for n in (400, 50))
        model = gl.KNearest(k).double()
        model.fit(y)
        torch.testing.assert_close(
            model.unnormalised_log_prob(x), self.by_differences(x, y, k), rtol=1e-13, atol=1e-11
        )

    @pytest.mark.parametrize("d", [2, 30])
    def test_is_exact_where_a_product_keeps_no_digit(self, d):
        """Two clouds 2e9 deviations apart; rows that are training rows; rows that coincide."""
        y = torch.randn(300, d, dtype=torch.float64)
        y[150:] += 2e9
        y[:20] = y[0]
        x = torch.cat([torch.randn(20, d, dtype=torch.float64), y[10:160]])
        for k in (1, 7, 20, 40):
            model = gl.KNearest(k).double()
            model.fit(y)
            expected = self.by_differences(x, y, k)
            torch.testing.assert_close(model.unnormalised_log_prob(x), expected)
            assert (model.unnormalised_log_prob(y[:1]) == math.inf) == (k <= 20)

    def by_differences(self, x, y, k):
        d = x.shape[1]
        squares = sum((x[:, i, None] - y[:, i]).square() for i in range(d))
        ball = d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1)
        return math.log(k / len(y)) - ball - d / 2 * squares.sort(1).values[:, k - 1].log()

    @pytest.mark.parametrize("d", [2, 30])
    def test_the_search_is_kept_until_the_points_change(self, d, monkeypatch, tmp_path):
        made = []
        for name in ("_Tree", "_Products"):
            kind = getattr(nearest, name)
            monkeypatch.setattr(
                nearest, name, lambda points, kind=kind: made.append(len(points)) or kind(points)
            )
        x, y = torch.randn(5, d), torch.randn(60, d)
        model = gl.KNearest(k=3)
        model.fit(y)
        assert made == []  # a tree is made when it is first asked for

        def agrees(model, rows, x=x):
            """Ask three times; the search is to be made once at most, and the answers be right."""
            before = len(made)
            for _ in range(3):
                answer = model.unnormalised_log_prob(x)
            expected = self.by_differences(x.double(), rows.double(), 3)
            torch.testing.assert_close(answer.double(), expected, rtol=1e-5, atol=1e-5)
            return len(made) - before

        assert agrees(model, y) == 1
        assert agrees(model, y) == 0
        twin = copy.deepcopy(model)
        model.fit(y + 1)
        assert agrees(model, y + 1) == 1
        assert agrees(twin, y) <= 1
        model.points.mul_(2)
        assert agrees(model, 2 * (y + 1)) == 1
        model.load_state_dict(twin.state_dict())
        assert agrees(model, y) == 1
        model.double()
        assert agrees(model, y, x.double()) == 1
        model.save(tmp_path / "model")
        assert agrees(gl.load(tmp_path / "model"), y, x.double()) == 1
        assert set(model.state_dict()) == {"points"}
        with torch.inference_mode():
            model.fit(y.double() + 3)
        assert agrees(model, y.double() + 3, x.double()) == 1

    @pytest.mark.parametrize("query", ["log_prob", "sample"])
    def test_refuses_what_it_cannot_answer_and_says_why(self, query):
        model = gl.KNearest()
        with pytest.raises(gl.CannotAnswerError, match=r"integral is infinite.*lesson 03"):
            getattr(model, query)(3)
        assert model.density is gl.Density.UNNORMALISED

    def test_gradient_points_to_the_data(self):
        model = gl.KNearest(k=1)
        model.fit(torch.zeros(1, 2))
        x = torch.tensor([[3.0, 4.0]], requires_grad=True)
        model.unnormalised_log_prob(x).sum().backward()
        torch.testing.assert_close(x.grad, -2 * x.detach() / 25)

    @pytest.mark.parametrize(("k", "error"), [(0, ValueError), (2.5, TypeError)])
    def test_k_is_a_count(self, k, error):
        with pytest.raises(error, match="k: expected"):
            gl.KNearest(k=k)

    def test_distances_beyond_every_number(self):
        model, far = gl.KNearest(k=1).double(), torch.full((2, 1), 1e200, dtype=torch.float64)
        with pytest.raises(ValueError, match="at most 1e150"):
            model.fit(far)
        model.fit(torch.zeros(2, 1).double())
        with pytest.raises(ValueError, match="at most 1e150"):
            model.unnormalised_log_prob(far)

    def test_more_neighbours_than_rows(self):
        with pytest.raises(ValueError, match="at most the number of rows, 4, got 5"):
            gl.KNearest(k=5).fit(torch.randn(4, 2))
