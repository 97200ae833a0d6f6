"""The Triton kernels, on a GPU or else in the interpreter: test_gibbs.py starts it."""

import pytest
import torch

from genlib.kernels import bernoulli, gibbs, gibbs_step
from genlib.kernels._dispatch import INTERPRETED
from genlib.kernels.gibbs import uniform_reference
from tests.kernels.tools import names_of_launches

pytestmark = pytest.mark.skipif(
    not (INTERPRETED or torch.cuda.is_available()), reason="neither a GPU nor the interpreter"
)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def launches(monkeypatch):
    """Names of the kernels that were launched, in order."""
    return names_of_launches(monkeypatch, gibbs)


@pytest.mark.parametrize(("key", "step"), [(0, 0), (1, 1), (2**62 + 5, 16), (16, 2**40)])
@pytest.mark.parametrize("shape", [(1, 1, 1), (20, 5, 40), (70, 40, 67), (17, 33, 300)], ids=str)
def test_draws_are_those_of_the_definition(shape, key, step, launches):
    n, dims, units = shape
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(n, dims, generator=generator) < 0.5).float().to(DEVICE)
    weight = torch.randn(units, dims, generator=generator).to(DEVICE).T
    bias = torch.randn(units, generator=generator).to(DEVICE)
    logits = 0.7 * (x.double() @ weight.double()) + bias.double()
    u = uniform_reference(n, units, key, step).double().to(DEVICE)
    clear, expected = (u - logits.sigmoid()).abs() > 1e-5, u < logits.sigmoid()
    for found in (
        gibbs_step(x, weight, bias, key, step, scale=0.7),
        bernoulli(logits.float(), key, step),
    ):
        assert torch.equal(found[clear], expected.float()[clear])
        assert ((found == 0) | (found == 1)).all()
    assert launches == ["_gibbs_kernel", "_bernoulli_kernel"]
    assert clear.double().mean() > 0.99
