"""Bad input at the door of the autoregressive models: what was expected, and what came."""

import math

import numpy as np
import pytest
import torch

import genlib as gl
from genlib.models.autoregressive import (
    FVSBN,
    LSTM,
    MADE,
    NADE,
    CausalTransformer,
    GatedPixelCNN,
    MultiScalePixelCNN,
    NADEEnsemble,
    PixelCNN,
    PixelCNNPP,
    PixelRNN,
)

MANY = 2**40
GREY = (1, 4, 4)

BAD = {
    "FVSBN, huge": (lambda: FVSBN(10**30), ValueError, r"dim: expected at most .* 100 bits"),
    "order, a word": (lambda: FVSBN(6, "abcdef"), TypeError, r"order: .*integers, got 'abcdef'"),
    "order, words": (lambda: FVSBN(2, ["a", "b"]), TypeError, "order: expected a permutation"),
    "order, none": (lambda: FVSBN(2, [None, 0]), TypeError, "order: expected a permutation"),
    "order, huge": (lambda: FVSBN(2, [0, 10**30]), TypeError, "order: expected a permutation"),
    "orderless": (lambda: NADE(4, 3, orderless="no"), TypeError, "orderless: expected True or"),
    "no model": (lambda: NADEEnsemble(None, [range(6)]), TypeError, "nade: expected a NADE, got"),
    "a number": (lambda: NADEEnsemble(6, [range(6)]), TypeError, "nade: expected a NADE, got int"),
    "order, complex": (
        lambda: FVSBN(2, torch.tensor([0, 1], dtype=torch.complex64)),
        TypeError,
        "order: expected integers, got torch.complex64",
    ),
    "order, unsigned": (
        lambda: FVSBN(2, torch.tensor([0, 2], dtype=torch.uint16)),
        ValueError,
        "order: expected a permutation of 0 … 1",
    ),
    "no orders": (
        lambda: NADE(4, 3, orderless=True).ensemble(None),
        TypeError,
        r"orders: expected several permutations, .* got NoneType",
    ),
    "orders in NumPy": (
        lambda: NADE(4, 3, orderless=True).ensemble(np.array([[0, 1, 2, 3]])),
        TypeError,
        "orders: expected several permutations, .* got ndarray",
    ),
    "masks": (lambda: MADE(6, [5], num_masks=MANY), ValueError, "num_masks: expected at most 1000"),
    "direct": (lambda: MADE(6, [5], direct="no"), TypeError, "direct: expected True or False"),
    "orders": (lambda: MADE(6, [5], sample_orders=1), TypeError, "sample_orders: expected True"),
    "seed": (lambda: MADE(6, [5], seed="a"), TypeError, "seed: expected an integer"),
    "hidden": (lambda: MADE(6, 5), TypeError, "hidden: expected several"),
    "LSTM layers": (lambda: LSTM(6, layers=MANY), ValueError, "layers: expected at most 1000"),
    "transformer layers": (
        lambda: CausalTransformer(6, layers=MANY),
        ValueError,
        "layers: expected at most 1000",
    ),
    "PixelCNN layers": (lambda: PixelCNN(GREY, layers=MANY), ValueError, "layers: .* most 1000"),
    "gated layers": (lambda: GatedPixelCNN(GREY, layers=MANY), ValueError, "layers: .* most 1000"),
    "++ layers": (lambda: PixelCNNPP(GREY, layers=MANY), ValueError, "layers: .* most 1000"),
    "RNN layers": (lambda: PixelRNN(GREY, layers=MANY), ValueError, "layers: .* most 1000"),
    "++ scales": (lambda: PixelCNNPP(GREY, scales=MANY), ValueError, "scales: .* most 1000"),
    "scales": (lambda: MultiScalePixelCNN(GREY, scales=MANY), ValueError, "scales: .* most 1000"),
    "scale layers": (lambda: MultiScalePixelCNN(GREY, layers=MANY), ValueError, "layers: .* most"),
    "gates": (lambda: GatedPixelCNN(GREY, gates="no"), TypeError, "gates: expected True or False"),
    "short-cuts": (lambda: PixelCNNPP(GREY, shortcuts=1), TypeError, "shortcuts: expected True"),
    "shape": (lambda: PixelCNN(28), ValueError, r"shape: expected \(C, H, W\).*got 28"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused(case):
    call, error, message = BAD[case]
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("make", [PixelCNN, GatedPixelCNN, PixelRNN, MultiScalePixelCNN])
@pytest.mark.parametrize("name", ["kernel_size", "first_kernel_size"])
@pytest.mark.parametrize(
    ("size", "error", "message"),
    [
        ("big", TypeError, "expected an integer, got 'big'"),
        (2, ValueError, "expected an odd number.*got 2"),
        (0, ValueError, "expected at least 1"),
        (MANY + 1, ValueError, "expected at most 999"),
    ],
    ids=str,
)
def test_kernel_sizes_are_checked_even_where_no_layer_uses_them(make, name, size, error, message):
    with pytest.raises(error, match=f"{name}: {message}"):
        make((1, 4, 4), 4, 1, **{name: size})


@pytest.mark.parametrize("make", [PixelCNN, GatedPixelCNN, PixelRNN, MultiScalePixelCNN])
@pytest.mark.parametrize("colours", [1, 2, 3])
def test_the_default_number_of_channels_suits_any_number_of_colours(make, colours):
    model = make((colours, 4, 4), layers=1)
    assert model.sample(2).shape == (2, colours, 4, 4)


def spoilt(value):
    noise = torch.full((2, 1, 4, 4, 1), 0.5)
    noise[1, 0, 2, 3] = value
    return noise


@pytest.mark.parametrize(
    ("noise", "error", "message"),
    [
        (
            spoilt(math.nan),
            ValueError,
            r"noise: expected finite.*got nan at index \(1, 0, 2",
        ),
        (spoilt(7.0), ValueError, r"noise: expected values in \[0, 1\), got 7 at index \(1, 0, 2"),
        (spoilt(-1.0), ValueError, r"noise: expected values in \[0, 1\), got -1 at index"),
        (spoilt(1.0), ValueError, r"noise: expected values in \[0, 1\), got 1 at index"),
        (spoilt(0.5).double(), TypeError, r"noise: .* torch\.float32, got torch\.float64"),
        (spoilt(0.5).long(), TypeError, r"noise: expected floating-point values"),
        (spoilt(0.5)[:0], ValueError, "noise: expected at least one value"),
        ([0.5], TypeError, "noise: expected a torch.Tensor, got list"),
    ],
)
def test_noise_that_no_generator_gives_is_refused(noise, error, message):
    with pytest.raises(error, match=message):
        PixelCNN((1, 4, 4), 4, 1).draw(noise)


@pytest.mark.parametrize("call", [
    lambda: PixelCNN(GREY, 4, 1).draw(spoilt(0.5), cached="no"),
    lambda: LSTM(4).generate(None, 2, cache="no"),
])  # fmt: skip
def test_flags_are_true_or_false(call):
    with pytest.raises(TypeError, match=r"cached?: expected True or False, got 'no'"):
        call()


@pytest.mark.parametrize("temperature", [1e-37, 1e-38, 1e-45, 5e-324])
@pytest.mark.parametrize("scale", [1.0, 1e37])
def test_the_coldest_draws_are_the_most_probable_symbol(temperature, scale):
    model = LSTM(3, 5, hidden=4)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(scale * torch.tensor([0.0, 1, 2, 30, 4]))
    assert (model.generate(None, 20, temperature) == 3).all()


def test_the_hottest_draws_are_of_all_symbols():
    model = LSTM(50, 5, hidden=4)
    assert len(model.generate(None, 20, 1e299).unique()) == 5


@pytest.mark.parametrize(
    "model",
    [FVSBN(4), MADE(4, [4]), NADE(4, 3), LSTM(4), PixelCNN((1, 2, 2), 4, 1, 3)],
    ids=lambda model: type(model).__name__,
)
def test_weights_that_are_no_numbers_draw_nothing(model):
    torch.nn.init.constant_(list(model.parameters())[-1], math.nan)
    with pytest.raises(ValueError, match="NaN"):
        model.sample(2)


def test_an_ensemble_leaves_the_global_generator_alone(tmp_path):
    model = NADE(5, 3, orderless=True)
    gl.seed(0)
    mixture = model.ensemble([range(5)])
    mixture.save(tmp_path / "mixture")
    gl.load(tmp_path / "mixture")
    drawn = torch.rand(())
    gl.seed(0)
    assert torch.equal(drawn, torch.rand(()))
