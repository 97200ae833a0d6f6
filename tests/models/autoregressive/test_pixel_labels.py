"""A gated PixelCNN with labels."""

import math

import pytest
import torch

import genlib as gl
from genlib.models.autoregressive.gated_pixel_cnn import GatedPixelCNN
from tests.parameters import scattered


@pytest.fixture
def model():
    return scattered(GatedPixelCNN((1, 3, 3), 4, 2, classes=3), 0.5)


@pytest.mark.covers("A09")
def test_each_class_is_a_distribution_of_its_own(model):
    x = gl.binary_events(9).view(-1, 1, 3, 3)
    each = torch.stack([model.log_prob(x, torch.full((512,), k)) for k in range(3)])
    torch.testing.assert_close(each.exp().sum(1), torch.ones(3))
    assert (each[0] - each[1]).abs().max() > 0.5
    torch.testing.assert_close(model.log_prob(x), each.logsumexp(0) - math.log(3))


def test_causal_given_a_label(model):
    gl.verify.causal(model)


def test_samples_are_of_the_class_that_was_asked_for(model):
    """The share of ones at each pixel, against the sum over all images."""
    x = gl.binary_events(9).view(-1, 1, 3, 3)
    for k in range(3):
        p = model.log_prob(x, torch.full((512,), k)).exp()
        drawn = model.sample(
            4_000, torch.full((4_000,), k), generator=torch.Generator().manual_seed(k)
        )
        expected = (p[:, None, None, None] * x).sum(0)
        assert (drawn.mean(0) - expected).abs().max() < 5 * 0.5 / math.sqrt(4_000)


@pytest.mark.covers("A09")
@pytest.mark.parametrize("how", ["sample", "complete"])
def test_where_nothing_is_given_each_row_has_a_label_of_its_own(how):
    """The share of ones at each pixel, against the sum over all images and labels."""
    model = scattered(GatedPixelCNN((1, 3, 3), 4, 2, classes=3), 1.0, seed=6)
    x, n = gl.binary_events(9).view(-1, 1, 3, 3), 4_000
    shares = [
        (model.log_prob(x, y).exp()[:, None, None, None] * x).sum(0)
        for y in (None, *(torch.full((512,), k) for k in range(3)))
    ]
    assert all((given - shares[0]).abs().max() > 0.07 for given in shares[1:])
    generator = torch.Generator().manual_seed(0)
    if how == "sample":
        drawn = model.sample(n, generator=generator)
    else:
        nothing = torch.zeros(1, 3, 3, dtype=torch.bool)
        drawn = model.complete(torch.zeros(n, 1, 3, 3), nothing, generator=generator)
    assert (drawn.mean(0) - shares[0]).abs().max() < 5 * 0.5 / math.sqrt(n)


def test_completions_take_the_label_from_what_is_known():
    """The last pixel, given the others, against the marginal; and not with labels at random."""
    model = scattered(GatedPixelCNN((1, 3, 3), 4, 2, classes=3), 1.0)
    mask = torch.ones(1, 3, 3, dtype=torch.bool)
    mask[0, 2, 2] = False
    events = gl.binary_events(9).view(-1, 2, 1, 3, 3)  # pairs that differ in the last pixel
    exact = model.log_prob(events.flatten(0, 1)).view(-1, 2).softmax(1)[:, 1]
    each = [
        model.conditionals(events[:, 0], torch.full((256,), k))[:, 0, 2, 2].sigmoid()
        for k in range(3)
    ]
    case = (torch.stack(each).mean(0) - exact).abs().argmax()
    assert (torch.stack(each).mean(0) - exact)[case].abs() > 0.2
    x = events[case, :1].expand(4_000, -1, -1, -1)
    done = model.complete(x, mask, generator=torch.Generator().manual_seed(0))
    share = done[:, 0, 2, 2].mean()
    assert (share - exact[case]).abs() < 5 * 0.5 / math.sqrt(4_000)


def test_training_tells_classes_apart():
    gl.seed(0)
    y = torch.randint(2, (256,))
    x = y.view(-1, 1, 1, 1).float().expand(-1, 1, 4, 4).contiguous()
    model = GatedPixelCNN((1, 4, 4), 16, 2, classes=2)
    model.fit(x, y, valid=(x, y), epochs=15, lr=4e-3, batch_size=32, progress=False)
    assert -model.log_prob(x, y).mean() < 0.05
    assert -model.log_prob(x).mean().item() == pytest.approx(math.log(2), abs=0.05)
    assert torch.equal(
        model.sample(2, torch.tensor([0, 1])).mean((1, 2, 3)).round(), torch.arange(2.0)
    )


def test_labels_are_asked_for_where_they_are_needed(model):
    x = torch.zeros(2, 1, 3, 3)
    with pytest.raises(ValueError, match="y: this model has 3 classes"):
        model.fit(x, epochs=1, progress=False)
    with pytest.raises(ValueError, match="y: this model has 3 classes"):
        model.conditionals(x)
    with pytest.raises(ValueError, match="y: expected labels in 0 … 2, got 0 … 3"):
        model.log_prob(x, torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="has no labels; leave y out"):
        GatedPixelCNN((1, 3, 3), 4, 2).log_prob(x, torch.tensor([0, 1]))


def test_noise_and_a_label_decide_an_image(model):
    noise, y = model.noise(20, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3
    assert torch.equal(model.draw(noise, y), model.draw(noise, y, cached=False))
    with pytest.raises(ValueError, match="y: this model has 3 classes"):
        model.draw(noise)


def test_a_model_with_classes_has_no_representation(model):
    with pytest.raises(gl.CannotAnswerError, match=r"cannot answer encode: .* on the label"):
        model.encode(torch.zeros(2, 1, 3, 3))
    assert not model.answers("encode")
    assert model.answers("sample")
    assert GatedPixelCNN.answers("encode")
    assert GatedPixelCNN((1, 3, 3), 4, 2).answers("encode")


def test_particles_weigh_labels_and_what_lies_ahead():
    """The first pixel unknown, all others known: an exact answer is a ratio of two masses."""
    model = scattered(GatedPixelCNN((1, 3, 3), 4, 2, classes=3), 1.0, seed=4)
    mask = torch.ones(1, 3, 3, dtype=torch.bool)
    mask[0, 0, 0] = False
    events = gl.binary_events(9).view(2, 256, 1, 3, 3)  # pairs that differ in the first pixel
    exact = model.log_prob(events.flatten(0, 1)).view(2, -1).softmax(0)[1]
    x, labels = events[0, :1], torch.arange(3)
    blind = model.conditionals(x.expand(3, -1, -1, -1), labels)[:, 0, 0, 0].sigmoid().mean()
    case = ((exact - blind).abs() - 0.4).abs().argmin()
    assert (exact[case] - blind).abs() > 0.3
    x = events[0, case].expand(2_000, -1, -1, -1)
    done = model.complete(x, mask, particles=50, generator=torch.Generator().manual_seed(0))
    assert torch.equal(done[:, mask], x[:, mask])
    assert done[:, 0, 0, 0].mean().item() == pytest.approx(exact[case].item(), abs=0.06)
