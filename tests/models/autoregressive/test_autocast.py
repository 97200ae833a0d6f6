"""Under autocast: answers in the model's dtype, which differ by the rounding of bfloat16 alone."""

import pytest
import torch

import genlib as gl
from genlib.models.autoregressive import FVSBN, LSTM, MADE, NADE, RNADE, CausalTransformer
from tests.models.autoregressive.pixel_models import MODELS as PIXEL_MODELS
from tests.parameters import scattered

MODELS = {
    "FVSBN": lambda: FVSBN(9),
    "NADE": lambda: NADE(9, 5),
    "orderless NADE": lambda: NADE(9, 5, orderless=True),
    "ensemble": lambda: NADE(9, 5, orderless=True).ensemble([range(9), range(8, -1, -1)]),
    "MADE": lambda: MADE(9, [8, 8], direct=True),
    "MADE, several masks": lambda: MADE(9, [8], num_masks=3, sample_orders=True),
    "RNADE": lambda: RNADE(4, 6, 2),
    "LSTM": lambda: LSTM(6, 3, hidden=8),
    "transformer": lambda: CausalTransformer(6, 3, width=8, heads=2),
} | {
    name: PIXEL_MODELS[name]
    for name in (
        "PixelCNN",
        "PixelCNN, 5 levels",
        "PixelCNN, colours, mixture",
        "gated, colours",
        "gated, mixture",
        "++",
        "row",
        "diagonal",
        "multi-scale",
        "multi-scale, colours, mixture",
    )
}


@pytest.mark.parametrize("name", MODELS)
def test_answers_are_in_the_models_dtype_and_right(name):
    model = scattered(MODELS[name](), 0.3)
    x = model.sample(64, generator=torch.Generator().manual_seed(0))
    expected = model.log_prob(x).detach()
    with torch.autocast("cpu", torch.bfloat16):
        log_prob, loss = model.log_prob(x), model.loss(x)
        answers = [log_prob, model.sample(8)]
        if model.answers("encode"):
            answers.append(model.encode(x))
        if hasattr(model, "conditionals"):
            answers.append(model.conditionals(x))
    assert {answer.dtype for answer in answers} == {torch.float32}
    model.check(answers[1])
    # bfloat16 has 8 bits; a sum of dim terms of some 0.7 nats, each off by less than 5 %.
    size = model.event_shape.numel()
    torch.testing.assert_close(log_prob, expected, rtol=0, atol=0.05 * size)
    assert (log_prob - expected).mean().abs() < 0.01 * size
    loss.backward()
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in model.parameters())


@pytest.mark.parametrize("name", ["FVSBN", "MADE", "MADE, several masks", "NADE", "ensemble"])
def test_the_sum_over_all_events_stays_one(name):
    """Each conditional is rounded as a whole, so that what is lost by one value the other gains."""
    with torch.autocast("cpu", torch.bfloat16):
        gl.verify.normalised(scattered(MODELS[name](), 0.5))
