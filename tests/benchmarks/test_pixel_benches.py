"""The benchmarks of the pixel models, at sizes of a second."""

import torch

from genlib.kernels.logistic_mixture import logistic_mixture_log_prob
from tests.benchmarks import bench_logistic_mixture, bench_pixel_sampling


def test_sampling_is_measured_with_and_without_a_cache():
    results = bench_pixel_sampling.run(
        "cpu", rounds=1, images=2, side=4, models=("PixelCNN",), whole=True
    )["results"]
    (row,) = results
    assert row["difference"] < 1e-5
    assert row["with a cache"] > 0
    assert row["a full pass for each pixel"] > 0


def test_the_usual_expression_agrees_where_it_is_meant_to(monkeypatch):
    monkeypatch.setattr(bench_logistic_mixture, "SHAPES", {"grey": (2, 1, 8)})
    results = bench_logistic_mixture.run("cpu", rounds=1, memory=False)["results"]
    assert [row["task"] for row in results] == ["log-probability", "gradients"]
    given = bench_logistic_mixture._data(2, 3, 8, "cpu")
    expected = logistic_mixture_log_prob(*given)
    found = bench_logistic_mixture.usual_expression(*given)
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)
