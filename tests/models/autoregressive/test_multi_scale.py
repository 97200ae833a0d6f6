"""The small image first, then the pixels between: against enumeration and a gated PixelCNN."""

import math

import pytest
import torch
from scipy import stats
from torch.nn import functional as F

import genlib as gl
from genlib.models.autoregressive.gated_pixel_cnn import GatedPixelCNN
from genlib.models.autoregressive.multi_scale import MultiScalePixelCNN, coarse_first
from tests.models.autoregressive.test_pixel_models import count_rows
from tests.parameters import scattered

FALSE_ALARM = 1e-6


def make(shape=(1, 2, 4), channels=4, layers=2, seed=0, **options):
    return scattered(MultiScalePixelCNN(shape, channels, layers, **options), 0.4, seed)


def small_mask(shape, step=2):
    """True at every second row and column."""
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[:, ::step, ::step] = True
    return mask


# ------------------------------------------------------------------------------ the order


@pytest.mark.covers("A09")
def test_the_small_image_comes_first_and_both_parts_are_in_reading_order():
    assert make((1, 2, 4)).order.tolist() == [0, 2, 1, 3, 4, 5, 6, 7]
    # red and green of a pixel together: value 0 and 4 are those of the pixel at the top left
    assert make((2, 2, 2)).order.tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


def test_the_small_image_is_in_the_order_of_its_own_model():
    """With three scales, read off the model within."""
    model = make((2, 4, 8), scales=3)
    numbers = torch.arange(64).view(2, 4, 8)
    mask = small_mask(model.event_shape)
    assert torch.equal(model.order[:16], numbers[mask][model.coarse.order])
    assert torch.equal(model.order[:4].sort().values, numbers[small_mask(model.event_shape, 4)])
    assert torch.equal(model.order.sort().values, torch.arange(64))
    assert torch.equal(model.order, coarse_first(model.event_shape, 3))


@pytest.mark.parametrize("scales", [2, 3, 4])
def test_of_several_scales_the_first_quarter_is_the_order_of_one_fewer(scales):
    shape = torch.Size([1, 8, 16])
    small = torch.arange(128).view(shape)[small_mask(shape)]
    half = torch.arange(32) if scales == 2 else coarse_first(torch.Size([1, 4, 8]), scales - 1)
    assert torch.equal(coarse_first(shape, scales)[:32], small[half])


# ------------------------------------------------------------------------------ probabilities


@pytest.mark.covers("A09")
def test_log_prob_is_that_of_the_small_image_and_of_the_other_pixels_given_it():
    model = make((3, 4, 6), 6, scales=2)
    x = model.sample(20, generator=torch.Generator().manual_seed(0))
    logits, rest = model.conditionals(x), ~small_mask(model.event_shape)
    ones = logits.sigmoid()
    given = torch.where(x == 1, ones, 1 - ones).log()[:, rest].sum(1)
    torch.testing.assert_close(model.log_prob(x), model.coarse.log_prob(x[..., ::2, ::2]) + given)


@pytest.mark.covers("A09")
@pytest.mark.parametrize("shape", [(1, 2, 4), (1, 4, 2), (2, 2, 2)], ids=str)
def test_small_images_have_the_probabilities_of_their_own_model(shape):
    """Summed over all pixels between, p(x) is the coarse model's: nothing is counted twice."""
    model = make(shape)
    x = gl.binary_events(8).view(-1, *shape)
    mask = small_mask(shape)
    size = int(mask.sum())
    code = (x[:, mask] @ 2.0 ** torch.arange(size)).long()
    marginal = torch.zeros(2**size).index_add(0, code, model.log_prob(x).exp())
    events = gl.binary_events(size)
    stated = model.coarse.log_prob(events.view(-1, *model.coarse.event_shape)).exp()
    found = marginal[(events @ 2.0 ** torch.arange(size)).long()]
    torch.testing.assert_close(found, stated)
    assert stated.std() > 0.01


@pytest.mark.covers("A09")
@torch.no_grad()
def test_a_known_small_image_is_enlarged_exactly():
    """Counts of 64 completions against p(rest | small image), by Pearson's χ²."""
    model = make(seed=3)
    events = gl.binary_events(8).view(-1, 1, 2, 4)
    mask = small_mask(model.event_shape)
    for number, small in enumerate(([0.0, 0.0], [1.0, 0.0], [1.0, 1.0])):
        agree = events[(events[:, mask] == torch.tensor(small)).all(1)]
        p = model.log_prob(agree).double().softmax(0)
        x = agree[:1].expand(20_000, -1, -1, -1)
        done = model.complete(x, mask, generator=torch.Generator().manual_seed(number))
        codes = (done.flatten(1)[:, None] == agree.flatten(1)).all(2)
        assert codes.any(1).all(), "a completion changed what is known"
        expected = p * len(x)
        assert expected.min() > 10  # enough for χ² to hold
        assert expected.max() > 2 * expected.min()
        assert stats.chisquare(codes.sum(0), expected).pvalue > FALSE_ALARM / 3


# ------------------------------------------------------------------------------ what sees what


def slopes(model, place):
    """Which pixels the conditional at a place depends on, in some of several random images."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(30, *model.event_shape, generator=generator) < 0.5).double().requires_grad_()
    (slope,) = torch.autograd.grad(model._conditionals(x)[:, 0, *place].sum(), x)
    return (slope[:, 0] != 0).any(0)


@pytest.mark.covers("A09")
@pytest.mark.parametrize("place", [(0, 1), (3, 0), (3, 5), (4, 3), (7, 7)], ids=str)
def test_a_pixel_between_sees_all_before_it_and_the_small_image_ahead(place):
    model = make((1, 8, 8), 6, 8, first_kernel_size=7).double()
    number = torch.arange(64).view(8, 8)
    expected = (number < number[place]) | small_mask((1, 8, 8))[0]
    assert torch.equal(slopes(model, place), expected)


@pytest.mark.covers("A09")
@pytest.mark.parametrize("place", [(0, 0), (2, 4), (6, 6)], ids=str)
def test_the_small_image_sees_itself_alone(place):
    model = make((1, 8, 8), 6, 5).double()
    number = torch.arange(64).view(8, 8)
    expected = (number < number[place]) & small_mask((1, 8, 8))[0]
    assert torch.equal(slopes(model, place), expected)


def test_without_its_context_a_pixel_between_is_that_of_a_gated_pixel_cnn():
    """The same weights in a `GatedPixelCNN`, and zeros where the context comes in."""
    model, plain = make((1, 4, 6), 8, 3), GatedPixelCNN((1, 4, 6), 8, 3)
    x = model.sample(20, generator=torch.Generator().manual_seed(0))
    rest = ~small_mask(model.event_shape)
    informed = model.conditionals(x)[:, rest]
    for layer in model.network.layers:
        for parameter in layer.context.parameters():
            torch.nn.init.zeros_(parameter)
    weights = model.network.state_dict()
    plain.network.load_state_dict({name: weights[name] for name in plain.network.state_dict()})
    expected = plain.conditionals(x)[:, rest]
    torch.testing.assert_close(model.conditionals(x)[:, rest], expected)
    assert (informed - expected).abs().mean() > 0.1


# ------------------------------------------------------------------------------ drawing


@torch.no_grad()
def test_each_network_computes_a_place_once(monkeypatch):
    """With a memory, a layer's products have, in all, a row for each image and pixel it covers."""
    images, layers, rows = 3, 2, []
    model = make((1, 4, 6), 4, layers)
    count_rows(monkeypatch, rows)
    model.sample(images)
    pixels, small = 24, 6
    coarse = small * (layers * 4 + 2)  # vertical, link, horizontal, out; hidden, last
    fine = pixels * (layers * 5 + 1) + pixels - small  # and one for the context
    assert sum(rows) == images * (coarse + fine)


@torch.no_grad()
def test_the_context_is_computed_once(monkeypatch):
    model, calls = make((1, 4, 6)), []
    model.network.enlarge.register_forward_hook(lambda *_: calls.append(1))
    model.sample(2)
    assert len(calls) == 1


# ------------------------------------------------------------------------------ the contract


def test_the_small_model_is_counted_and_trained_with_the_rest():
    model = MultiScalePixelCNN((1, 4, 4), 4, 2)
    names = [name for name, _ in model.named_parameters()]
    assert {name.removeprefix("network.coarse.") for name in names if "coarse" in name} == {
        name for name, _ in model.coarse.named_parameters()
    }
    fine = sum(p.numel() for name, p in model.named_parameters() if "coarse" not in name)
    assert model.free_parameters == model.coarse.free_parameters + fine
    x = model.sample(16, generator=torch.Generator().manual_seed(0))
    model.loss(x).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.covers("A09")
def test_learns_to_enlarge():
    """Images of 2 × 2 blocks: four bits for the small image, and nothing for the rest."""
    gl.seed(0)
    small = (torch.rand(512, 1, 2, 2) < 0.5).float()
    x = F.interpolate(small, scale_factor=2)
    model = MultiScalePixelCNN((1, 4, 4), 8, 2)
    model.fit(x, epochs=15, batch_size=32, lr=5e-3, progress=False)
    rest = -(model.log_prob(x) - model.coarse.log_prob(small)).mean()
    assert rest.item() < 0.05
    assert -model.log_prob(x).mean().item() == pytest.approx(4 * math.log(2), abs=0.15)
    mask = small_mask(model.event_shape)
    assert (model.complete(x.where(mask, 0), mask) == x).float().mean() > 0.99


def test_the_small_image_cannot_be_completed_from_pixels_between():
    model = make()
    x = model.sample(2)
    with pytest.raises(ValueError, match="pass particles=100"):
        model.complete(x, ~small_mask(model.event_shape))


def test_images_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"expected shape \(N, 1, 2, 4\)"):
        make().log_prob(torch.zeros(2, 1, 1, 2))
