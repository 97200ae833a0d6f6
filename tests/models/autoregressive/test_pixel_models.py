"""What every pixel model must do: look back only, sum to one, draw what it says, remember."""

import functools

import pytest
import torch
from torch.nn import functional as F

import genlib as gl
from genlib.core import binary_events, discrete_events
from genlib.models.autoregressive.gated_pixel_cnn import GatedPixelCNN
from genlib.models.autoregressive.multi_scale import MultiScalePixelCNN
from genlib.models.autoregressive.pixel_cnn import PixelCNN
from genlib.models.autoregressive.pixel_cnn_pp import PixelCNNPP
from genlib.models.autoregressive.pixel_rnn import PixelRNN
from genlib.models.autoregressive.pixels import pixel_order
from tests.models.autoregressive.pixel_models import MODELS
from tests.parameters import scattered

SMALL = {
    "PixelCNN": lambda: PixelCNN((1, 3, 3), 6, 2),
    "gated": lambda: GatedPixelCNN((1, 3, 3), 4, 2),
    "gated, labels": lambda: GatedPixelCNN((1, 3, 3), 4, 2, classes=3),
    "colours": lambda: PixelCNN((3, 1, 3), 6, 1),
    "++": lambda: PixelCNNPP((1, 3, 3), 4, 1, levels=2, components=2, scales=1),
    "++, 2 scales": lambda: PixelCNNPP((1, 2, 4), 4, 1, levels=2, components=2),
    "row": lambda: PixelRNN((1, 3, 3), 4, 1),
    "diagonal": lambda: PixelRNN((1, 3, 3), 4, 1, kind="diagonal"),
    "multi-scale": lambda: MultiScalePixelCNN((1, 2, 4), 4, 2),
    "multi-scale, colours": lambda: MultiScalePixelCNN((3, 2, 2), 6, 2),
    "multi-scale, 3 scales": lambda: MultiScalePixelCNN((1, 4, 4), 4, 1, scales=3),
}


def make(name, kinds=MODELS):
    return scattered(kinds[name](), 0.3)


@pytest.mark.covers("A07", "A09")
@pytest.mark.parametrize("name", MODELS)
def test_every_output_against_every_input(name):
    gl.verify.causal(make(name))


@pytest.mark.covers("A07")
@pytest.mark.parametrize("name", MODELS)
def test_every_output_sees_something_of_what_comes_before(name):
    """Causal would also be a model that sees nothing."""
    model = make(name)
    x = torch.zeros(1, *model.event_shape, requires_grad=True)
    last = model._conditionals(x)[0, -1, -1, -1]
    (slope,) = torch.autograd.grad(last.abs().sum(), x)
    assert (slope != 0).float().mean() > 0.5


@pytest.mark.covers("A07", "A09")
@pytest.mark.parametrize("name", SMALL)
def test_the_probabilities_of_all_images_sum_to_one(name):
    model = make(name, SMALL)
    gl.verify.normalised(model)
    assert model.log_prob(model.sample(50)).std() > 0.1  # not a fair coin for every pixel


@pytest.mark.covers("A07", "A09")
@pytest.mark.parametrize("name", SMALL)
def test_samples_have_the_probabilities_that_are_stated(name):
    gl.verify.samples_match(make(name, SMALL), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "model",
    [PixelCNN((1, 2, 2), 4, 1, 5), GatedPixelCNN((2, 1, 2), 4, 1, 5, components=2)],
    ids=["categorical", "mixture"],
)
def test_several_levels_sum_to_one(model):
    x = discrete_events([5] * 4).view(-1, *model.event_shape) / 4
    assert scattered(model, 0.3).log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_log_prob_is_the_product_of_the_conditionals():
    model = make("PixelCNN, colours")
    x = model.sample(20)
    logits = model.conditionals(x)
    by_hand = torch.where(x == 1, logits.sigmoid(), 1 - logits.sigmoid()).log()
    torch.testing.assert_close(model.log_prob(x), by_hand.flatten(1).sum(1))


def test_the_order_is_reading_order_with_colours_inside():
    assert pixel_order(torch.Size([3, 1, 2])).tolist() == [0, 2, 4, 1, 3, 5]


# ------------------------------------------------------------------------------ the memory


@pytest.mark.covers("A07")
@pytest.mark.parametrize("name", MODELS)
def test_the_same_noise_gives_the_same_images_with_and_without_a_memory(name):
    model = make(name)
    noise = model.noise(40, generator=torch.Generator().manual_seed(1))
    cached = model.draw(noise)
    assert torch.equal(cached, model.draw(noise, cached=False))
    assert 0 < cached.mean() < 1
    model.check(cached)


@pytest.mark.covers("A07")
@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_the_memory_gives_the_outputs_of_the_whole_image(name, monkeypatch):
    """Every input of the head, at every place, to 1e-5."""
    model, outputs = make(name), []
    original = model.head.conditionals

    def remembered(out, x):
        outputs.append(out)
        return original(out, x)

    monkeypatch.setattr(model.head, "conditionals", remembered)
    drawn = model.sample(10)
    whole = model._out(drawn)
    colours = model.event_shape[0]
    found = torch.stack(outputs)[model.rank].view(*model.event_shape, *whole.shape[:2])
    expected = whole.permute(2, 3, 0, 1)
    last = found[-1]  # when the last colour is drawn
    if colours == 1 or name.endswith(("mixture", "scales")):
        torch.testing.assert_close(last, expected, rtol=1e-5, atol=1e-5)
    else:
        own = whole.shape[1] // colours
        for c in range(colours):
            part = slice(c * own, (c + 1) * own)
            torch.testing.assert_close(
                found[c, ..., part], expected[..., part], rtol=1e-5, atol=1e-5
            )


def count_rows(monkeypatch, rows):
    """Append to ``rows`` how many each matrix product has, those of a layer with a cache."""
    original = F.linear
    monkeypatch.setattr(
        F, "linear", lambda x, w, b: rows.append(x.shape[:-1].numel()) or original(x, w, b)
    )


@torch.no_grad()
def test_a_place_is_all_that_a_layer_computes(monkeypatch):
    """With a memory, products have a row for each image, not one for each pixel."""
    model, rows = PixelCNN((1, 6, 6), 4, 2), []
    count_rows(monkeypatch, rows)
    model.sample(3)
    assert set(rows) == {3}
    assert len(rows) == 36 * (1 + 3 * 2 + 2)


def test_noise_of_another_shape_is_refused():
    model = make("PixelCNN")
    with pytest.raises(ValueError, match=r"noise: expected shape \(N, 1, 4, 5, 1\), got \(2, 1"):
        model.draw(torch.rand(2, 1, 4, 5))


# ------------------------------------------------------------------------------ completing


@pytest.mark.parametrize(
    "name", ["PixelCNN", "gated, labels", "colours", "++, 2 scales", "multi-scale, colours"]
)
def test_completions_are_draws_from_the_conditional(name):
    """The first places known: counts of completions against p(x) over all that agree."""
    model = make(name, SMALL)
    size = model.event_shape.numel()
    events = binary_events(size).view(-1, *model.event_shape)
    mask = torch.zeros(size, dtype=torch.bool)
    mask[model.order[: size - 3]] = True
    mask = mask.view(model.event_shape)
    x = torch.ones(6_000, *model.event_shape)
    done = model.complete(x, mask, generator=torch.Generator().manual_seed(0))
    assert torch.equal(done[:, mask], x[:, mask])
    agree = (events == 1)[:, mask].all(1)
    p = model.log_prob(events[agree]).softmax(0)
    codes = [(events[agree] == row).flatten(1).all(1).nonzero().item() for row in done]
    share = torch.bincount(torch.tensor(codes), minlength=len(p)) / len(done)
    assert ((share - p).abs() < 5 * (p * (1 - p) / len(done)).sqrt() + 1e-9).all()


@pytest.mark.parametrize("name", ["PixelCNN", "colours"])
def test_particles_take_notice_of_what_lies_ahead(name):
    """The first place unknown, all others known: an exact answer is a ratio of two masses."""
    model = make(name, SMALL)
    first = model.order[0]
    x = torch.ones(2_000, model.event_shape.numel())
    mask = torch.ones(x.shape[1], dtype=torch.bool)
    mask[first] = False
    pair = x[:2].clone()
    pair[0, first] = 0
    p = model.log_prob(pair.view(2, *model.event_shape)).softmax(0)[1].item()
    given = x.view(-1, *model.event_shape), mask.view(model.event_shape)
    with pytest.raises(ValueError, match="pass particles=100"):
        model.complete(*given)
    done = model.complete(*given, particles=30, generator=torch.Generator().manual_seed(0))
    assert done.flatten(1)[:, first].mean().item() == pytest.approx(p, abs=0.06)
    assert torch.equal(done.flatten(1)[:, mask], x[:, mask])


def test_known_values_come_back_as_they_went_in():
    model = make("PixelCNN, 5 levels")
    x = torch.full((3, 1, 3, 4), 0.25 + 1e-6)
    mask = torch.zeros(1, 3, 4, dtype=torch.bool)
    mask[:, 0] = True
    done = model.complete(x, mask)
    assert torch.equal(done[:, :, 0], x[:, :, 0])
    assert not torch.equal(done, x)


# ------------------------------------------------------------------------------ the contract


@pytest.mark.parametrize("name", MODELS)
def test_fits_saves_and_answers(name, tmp_path):
    model = MODELS[name]()
    x = model.sample(32, generator=torch.Generator().manual_seed(0))
    history = model.fit(x, valid=x, epochs=2, batch_size=16, progress=False)
    assert history.last["valid"] < history.rows[0]["loss"]
    assert model.encode(x).shape == (32, model.network.last.in_channels)
    model.save(tmp_path / "model.safetensors")
    again = gl.load(tmp_path / "model.safetensors")
    assert torch.equal(again.log_prob(x), model.log_prob(x))
    generator = functools.partial(torch.Generator().manual_seed, 3)
    assert torch.equal(
        again.sample(3, generator=generator()), model.sample(3, generator=generator())
    )


@pytest.mark.covers("A07")
def test_learns_that_columns_are_constant():
    """Images of vertical stripes: the first row costs a bit a pixel, and the others nothing."""
    gl.seed(0)
    x = (torch.rand(512, 1, 1, 6) < 0.5).float().expand(-1, -1, 5, -1).contiguous()
    model = PixelCNN((1, 5, 6), 16, 2)
    model.fit(x, epochs=25, batch_size=32, lr=5e-3, progress=False)
    assert -model.log_prob(x).mean().item() == pytest.approx(6 * 0.6931, abs=0.4)


def test_float64():
    model = make("gated, mixture").double()
    x = model.sample(3)
    assert x.dtype == model.log_prob(x).dtype == torch.float64


# ------------------------------------------------------------------------------ bad input


def test_pixels_off_the_grid_are_refused():
    with pytest.raises(ValueError, match=r"x: expected values in \{0, 1\}, got 0\.5"):
        make("PixelCNN").log_prob(torch.full((1, 1, 4, 5), 0.5))
    grey = make("PixelCNN, 5 levels")
    with pytest.raises(ValueError, match=r"the 5 levels 0, 1/4, …, 1, got 0\.3 at index \(0, 0"):
        grey.log_prob(torch.full((1, 1, 3, 4), 0.3))
    with pytest.raises(ValueError, match="the 5 levels"):
        grey.fit(torch.full((4, 1, 3, 4), 1.25))
    with pytest.raises(ValueError, match=r"expected shape \(N, 1, 3, 4\)"):
        grey.log_prob(torch.zeros(2, 12))


def test_masks_of_the_wrong_kind_are_refused():
    model, x = make("PixelCNN"), torch.zeros(2, 1, 4, 5)
    with pytest.raises(ValueError, match=r"mask: expected shape \(1, 4, 5\)"):
        model.complete(x, torch.ones(4, 5, dtype=torch.bool))
    with pytest.raises(TypeError, match=r"mask: expected a tensor of torch\.bool"):
        model.complete(x, torch.ones(1, 4, 5))


BAD = {
    "even kernel": (lambda: PixelCNN(kernel_size=4), "kernel_size: expected an odd number"),
    "even first": (lambda: GatedPixelCNN(first_kernel_size=6), "expected an odd number"),
    "shape": (lambda: PixelCNN((28, 28)), r"shape: expected \(C, H, W\)"),
    "no rows": (lambda: PixelCNN((1, 0, 28)), "shape, rows: expected at least 1"),
    "channels": (lambda: PixelCNN((3, 4, 4), 8), "channels: expected a multiple of 6, got 8"),
    "gated channels": (lambda: GatedPixelCNN((3, 4, 4), 8), "a multiple of 3, got 8"),
    "levels": (lambda: PixelCNN(levels=1), "levels: expected at least 2"),
    "layers": (lambda: GatedPixelCNN(layers=0), "layers: expected at least 1"),
    "classes": (lambda: GatedPixelCNN(classes=0), "classes: expected at least 1"),
    "halving": (lambda: PixelCNNPP((1, 28, 30), scales=3), "columns that can be halved 2 times"),
    "odd rows": (lambda: MultiScalePixelCNN((1, 5, 4)), "rows that can be halved once, got 5"),
    "odd columns": (lambda: MultiScalePixelCNN((1, 4, 7)), "columns that can be halved once"),
    "odd halves": (lambda: MultiScalePixelCNN((1, 4, 6), scales=3), "columns .* 2 times, got 6"),
    "scales": (lambda: MultiScalePixelCNN(scales=1), "scales: expected at least 2"),
    "multi-scale channels": (lambda: MultiScalePixelCNN((3, 4, 4), 8), "a multiple of 3, got 8"),
    "multi-scale kernel": (lambda: MultiScalePixelCNN(kernel_size=4), "expected an odd number"),
    "kind": (
        lambda: PixelRNN(kind="column"),
        "kind: expected one of 'row', 'diagonal'",
    ),
    "even rows": (lambda: PixelRNN(kernel_size=2), "expected an odd number"),
    "colours": (lambda: PixelCNNPP((3, 4, 4), components=None), "nothing orders the colours"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused(case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()
