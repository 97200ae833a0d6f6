"""What models answer on a GPU is what they answer on a CPU, and what they draw lies there too.
Without a GPU both are the CPU, and the tests say only that they run.
"""

import inspect
import math

import pytest
import torch

import genlib as gl
from tests.models.adversarial.games import GAMES, batch_for
from tests.models.test_door import MODELS, asks, fitted, good_rows

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

MORE = {
    "BernoulliMixture": lambda: gl.BernoulliMixture(2),
    "GaussianMixture": lambda: gl.GaussianMixture(2),
    "KMeans": lambda: gl.KMeans(2),
    "VAE": lambda: gl.VAE(4, 2, (5,)),
    "HierarchicalVAE": lambda: gl.HierarchicalVAE(4, (3, 2), ((5,), (5,))),
    "RealNVP": lambda: gl.RealNVP(4, 2, (8,)),
}
ALL = MODELS | MORE
DRAWS = {"complete"}  # whose answer is random


@pytest.fixture(autouse=True)
def _in_full_precision(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def tensors(answer):
    """The tensors in an answer, which is one, or several."""
    if isinstance(answer, torch.Tensor):
        return [answer]
    return [part for each in answer for part in tensors(each)]


@pytest.mark.parametrize("name", ALL)
def test_answers_are_those_of_the_cpu(name):
    model, x = fitted(name, ALL)
    with torch.no_grad():
        expected = {question: tensors(ask()) for question, ask in asks(model, x)}
        model, x = model.to(DEVICE), x.to(DEVICE)
        found = {question: tensors(ask()) for question, ask in asks(model, x)}
    assert found.keys() == expected.keys()
    for question, parts in found.items():
        assert all(part.device.type == DEVICE for part in parts), question
        if question not in DRAWS:
            parts = [part.cpu() for part in parts]
            torch.testing.assert_close(parts, expected[question], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_samples_lie_there_and_are_drawn_by_its_generator(name):
    model, _ = fitted(name, ALL)
    if not model.answers("sample"):
        pytest.skip("does not sample")
    model = model.to(DEVICE)
    y = torch.zeros(3, dtype=torch.long, device=DEVICE) if model.classes else None
    given = () if y is None else (y,)
    drawn = [
        model.sample(3, *given, generator=torch.Generator(DEVICE).manual_seed(1)) for _ in range(2)
    ]
    assert drawn[0].device.type == DEVICE and torch.equal(*drawn)
    model.check(model.sample(3, *given))


@pytest.mark.parametrize("name", ALL)
def test_training_there(name, tmp_path):
    gl.seed(0)
    model = ALL[name]().to(DEVICE)
    x = good_rows(model).to(DEVICE)
    labels = (x.flatten(1)[:, 0] > 0.5).long()
    rows = (x, labels) if isinstance(model, gl.NaiveBayes | gl.Classifier) else (x,)
    gradients = "epochs" in inspect.signature(model.fit).parameters
    gradients &= not model.fitted_buffers and "table" not in dir(model)
    history = model.fit(*rows, **({"epochs": 2, "batch_size": 8} if gradients else {}))
    assert all(math.isfinite(value) for row in history for value in row.values())
    assert {value.device.type for value in model.state_dict().values()} <= {DEVICE}
    model.save(tmp_path / "model")
    kept, own = gl.load(tmp_path / "model").state_dict(), model.state_dict()
    names = own.keys() - model._training_names()
    assert names
    for name in names:
        assert torch.equal(kept[name].nan_to_num(-7.0), own[name].cpu().nan_to_num(-7.0)), name


@pytest.mark.parametrize("name", GAMES)
def test_games_there(name):
    gl.seed(0)
    model = GAMES[name]().to(DEVICE)
    batch = [part.to(DEVICE) for part in batch_for(model, 12)]
    model.fit(*batch, epochs=2, batch_size=6)
    assert model.sample(12, *batch[1:]).device.type == DEVICE
    assert all(part.isfinite().all() for part in model.parameters())


def test_annealing_and_tempering_there():
    gl.seed(0)
    model = gl.RBM(6, 4).to(DEVICE)
    generator = torch.Generator(DEVICE).manual_seed(0)
    found = model.estimate_log_partition(100, temperatures=300, generator=generator).log_partition
    assert abs(found.value - model.log_partition()) < 6 * found.error + 1e-3  # once in 10⁹
    path, betas = model.annealing_path(), torch.linspace(0, 1, 4)
    start = path.sample(5, generator)
    after = gl.sampling.parallel_tempering(path, betas, [start] * 4, 3, generator=generator)
    assert after.exchanged.shape == (3,) and after.states[-1][0].device.type == DEVICE


def test_metrics_there():
    x, y = torch.randn(2, 200, 3)
    centres = 2 * torch.eye(3)
    for metric in (
        gl.metrics.frechet,
        lambda *rows: gl.metrics.kernel_distance(*rows, "gaussian", 1.0).value.item(),
        lambda *rows: list(gl.metrics.precision_recall(*rows)),
    ):
        assert metric(x.to(DEVICE), y.to(DEVICE)) == pytest.approx(metric(x, y), rel=1e-4)
    there, here = (
        gl.metrics.count_modes(x.to(device), centres.to(device), 1.0) for device in (DEVICE, "cpu")
    )
    assert there.modes == here.modes and torch.equal(there.counts.cpu(), here.counts)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sparse_codes_and_mixtures_there_in_both_precisions(dtype):
    """In float64, kernels go the way of plain torch."""
    gl.seed(0)
    x = torch.randn(500, 8, dtype=dtype)
    for make in (lambda: gl.GaussianMixture(3), gl.Parzen):
        answers = []
        for device in (DEVICE, "cpu"):
            gl.seed(0)
            model = make().to(dtype=dtype, device=device)
            model.fit(x.to(device))
            answers.append(model.log_prob(x.to(device)).detach().cpu())
        torch.testing.assert_close(*answers, rtol=1e-3, atol=1e-3)
    atoms = torch.nn.functional.normalize(torch.randn(20, 8, dtype=dtype))
    there, here = (
        gl.kernels.ista.lasso_active_set(x.to(device), atoms.to(device), 0.2).codes.cpu()
        for device in (DEVICE, "cpu")
    )
    torch.testing.assert_close(there, here, rtol=1e-3, atol=1e-4)
