"""What lesson 07 writes by hand, against independent truth and on inputs it has no time for."""

import math

import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import genlib as gl
from genlib.nn.heads import LogisticMixtureHead
from tests.lessons.definitions import definitions, rates
from tests.parameters import scattered


@pytest.fixture(scope="module")
def lesson():
    return definitions("07_pixel_models")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def total_probability(network, shape):
    """Sum over all binary pictures of Π p(x_i | x_<i), from a network's logits."""
    x = gl.binary_events(math.prod(shape)).view(-1, 1, *shape).double()
    with torch.no_grad():
        cost = F.binary_cross_entropy_with_logits(network(x), x, reduction="none")
    return torch.exp(-cost.flatten(1).sum(1)).sum().item()


# ------------------------------------------------------------------ masks


@pytest.mark.covers("A07")
@pytest.mark.parametrize("size", [1, 3, 5, 7])
def test_masks_open_what_comes_before(lesson, size):
    for kind in "AB":
        for row in range(size):
            for column in range(size):
                offset = (row - size // 2, column - size // 2)
                expected = offset < (0, 0) or (kind == "B" and offset == (0, 0))
                assert lesson["mask"](kind, size)[row, column] == expected


@pytest.mark.covers("A07", "A10")
@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (5, 2), (1, 6), (6, 1)], ids=str)
@pytest.mark.parametrize("layers", [0, 1, 4])
def test_hand_written_pixel_cnn_sums_to_one(lesson, shape, layers):
    network = scattered(lesson["pixel_cnn"](6, layers), 0.8, seed=layers).double()
    assert total_probability(network, shape) == pytest.approx(1, abs=1e-9)


@pytest.mark.covers("A07")
def test_mask_b_in_the_first_layer_is_no_density(lesson):
    network = scattered(lesson["pixel_cnn"](6, 1, "BB"), 0.8).double()
    assert abs(total_probability(network, (3, 3)) - 1) > 0.01


@pytest.mark.covers("A07")
@pytest.mark.parametrize("side", [3, 5, 8])
def test_sees_finds_what_flipping_a_pixel_changes(lesson, side):
    network = scattered(lesson["pixel_cnn"](8, 2), 0.6).double()
    x = torch.rand(12, 1, side, side, generator=generator(1)).round().double()
    with torch.no_grad():
        base = network(x).flatten(1)
        flipped = []
        for j in range(side * side):
            other = x.flatten(1).clone()
            other[:, j] = 1 - other[:, j]
            moved = (network(other.view_as(x)).flatten(1) - base).abs() > 1e-12
            flipped.append(moved.any(0))
    # the lesson's function takes networks in single precision
    found = lesson["sees"](network.float(), side, images=40)
    assert torch.equal(found, torch.stack(flipped, 1))


@pytest.mark.covers("A07")
@pytest.mark.parametrize("place", [(0, 0), (3, 2), (6, 0), (6, 6)], ids=str)
def test_blind_spot_of_the_hand_written_network(lesson, place):
    """Seen: before the pixel, no further to the right than up, within the reach of the layers."""
    network = scattered(lesson["pixel_cnn"](8, 3), 0.6)
    row, column = torch.meshgrid(torch.arange(7), torch.arange(7), indexing="ij")
    up, right = place[0] - row, column - place[1]
    before = (up > 0) | ((up == 0) & (right < 0))
    expected = before & (right <= up) & (up <= 4) & (right >= -4)
    found = lesson["sees"](network, 7, images=40)[place[0] * 7 + place[1]].view(7, 7)
    assert torch.equal(found, expected)


# ------------------------------------------------------------------ PixelRNN


def cell_of_gates(hidden):
    """Torch's LSTM cell, whose input are the gates (N, 4 · hidden) themselves: o, f, i, g."""
    cell = nn.LSTMCell(4 * hidden, hidden).double()
    order = torch.arange(4 * hidden).view(4, hidden)[[2, 1, 3, 0]].flatten()  # torch: i, f, g, o
    with torch.no_grad():
        cell.weight_ih.copy_(torch.eye(4 * hidden)[order])
        for rest in (cell.weight_hh, cell.bias_hh, cell.bias_ih):
            rest.zero_()
    return cell


@pytest.mark.covers("A08")
@pytest.mark.parametrize("size", [1, 3, 5])
def test_row_lstm_is_torchs_lstm_cell_at_every_place(lesson, size):
    """With weights and states gathered by hand, a place at a time."""
    n, hidden, height, width = 3, 4, 5, 6
    source = generator(size)
    gates = torch.randn(n, 4 * hidden, height, width, generator=source).double()
    weight = torch.randn(4 * hidden, hidden, size, generator=source).double()
    bias = torch.randn(4 * hidden, generator=source).double()
    cell = cell_of_gates(hidden)
    found = lesson["row_lstm"](gates, weight, bias)
    reach = size // 2
    h = [gates.new_zeros(n, hidden)] * width
    c = [gates.new_zeros(n, hidden)] * width
    with torch.no_grad():
        for row in range(height):
            above = h
            states = []
            for column in range(width):
                total = gates[:, :, row, column] + bias
                for tap in range(size):
                    at = column + tap - reach
                    if 0 <= at < width:
                        total = total + above[at] @ weight[:, :, tap].T
                states.append(cell(total, (torch.zeros_like(c[column]), c[column])))
            h, c = [list(part) for part in zip(*states, strict=True)]
            assert torch.allclose(found[:, :, row], torch.stack(h, 2), atol=1e-12)


@pytest.mark.covers("A08")
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 1), (3, 4), (5, 3)], ids=str)
def test_skewed_columns_are_diagonals(lesson, shape):
    height, width = shape
    x = torch.arange(1, height * width + 1).view(height, width)
    found = lesson["skew"](x)
    assert found.shape == (height, width + height - 1)
    for diagonal in range(found.shape[1]):
        for row in range(height):
            column = diagonal - row
            expected = x[row, column].item() if 0 <= column < width else 0
            assert found[row, diagonal].item() == expected


@pytest.mark.covers("A08")
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (4, 1), (3, 4), (5, 3)], ids=str)
def test_diagonal_lstm_is_torchs_lstm_cell_at_every_place(lesson, shape):
    """A place at a time, from the states to the left and above, gathered by hand."""
    n, hidden, (height, width) = 3, 4, shape
    source = generator(height)
    gates = torch.randn(n, 4 * hidden, height, width, generator=source).double()
    weight = torch.randn(4 * hidden, hidden, 2, generator=source).double()
    bias = torch.randn(4 * hidden, generator=source).double()
    cell = cell_of_gates(hidden)
    found = lesson["diagonal_lstm"](gates, weight, bias)
    assert found.shape == (n, hidden, height, width)
    h, c = {}, {}
    nothing = gates.new_zeros(n, hidden)
    with torch.no_grad():
        for row in range(height):
            for column in range(width):
                above, left = (row - 1, column), (row, column - 1)
                total = gates[:, :, row, column] + bias
                total = total + h.get(above, nothing) @ weight[:, :, 0].T
                total = total + h.get(left, nothing) @ weight[:, :, 1].T
                # the cell state is handed on along the row
                before = nothing, c.get(left, nothing)
                h[row, column], c[row, column] = cell(total, before)
                assert torch.allclose(found[:, :, row, column], h[row, column], atol=1e-12)


@pytest.mark.covers("A08")
@pytest.mark.parametrize("shape", [(4, 6), (5, 3)], ids=str)
@pytest.mark.parametrize("kind", ["row", "diagonal"])
def test_recurrent_layers_take_a_step_for_each_row_or_diagonal(kind, shape):
    height, width = shape
    model = gl.PixelRNN((1, *shape), 6, 2, kind=kind)
    renewed = []
    for part in model.modules():
        if isinstance(part, nn.Conv1d):  # from one state to the next
            part.register_forward_hook(lambda *_: renewed.append(1))
    model.conditionals(torch.zeros(2, 1, *shape))
    # two layers; the diagonal one has two directions, which do not wait for each other
    expected = 2 * height if kind == "row" else 2 * 2 * (height + width - 1)
    assert len(renewed) == expected


# ------------------------------------------------------------------ gated layers


@pytest.mark.covers("A09")
def test_gate_is_a_product_of_tanh_and_sigmoid(lesson):
    x = torch.randn(3, 8, 2, 2, generator=generator()).double()
    found = lesson["gate"](x)
    for unit in range(4):
        value, opening = x[:, unit], x[:, 4 + unit]
        expected = (value.exp() - (-value).exp()) / (value.exp() + (-value).exp())
        assert torch.allclose(found[:, unit], expected / (1 + (-opening).exp()), atol=1e-12)


@pytest.mark.covers("A09")
@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("first", [True, False])
def test_gated_layer_is_its_definition_at_every_place(lesson, size, first):
    inputs, channels, height, width = 3, 2, 4, 5
    inputs = inputs if first else channels  # a residual connection wants as many
    layer = scattered(lesson["GatedLayer"](inputs, channels, size, first), 0.5).double()
    v, h = torch.randn(2, 2, inputs, height, width, generator=generator(size)).double()
    with torch.no_grad():
        new_v, new_h = layer(v, h)
    reach = size // 2
    for row in range(height):
        for column in range(width):
            above, left = layer.vertical.bias, layer.horizontal.bias
            for up in range(int(first), reach + 1):
                for right in range(-reach, reach + 1):
                    r, c = row - up, column + right
                    if r >= 0 and 0 <= c < width:
                        above = (
                            above
                            + v[:, :, r, c]
                            @ layer.vertical.weight[:, :, reach - up, right + reach].T
                        )
            for back in range(int(first), reach + 1):
                if column >= back:
                    left = (
                        left
                        + h[:, :, row, column - back]
                        @ layer.horizontal.weight[:, :, 0, reach - back].T
                    )
            above = above.expand(2, -1)
            seen = left + layer.link.bias + above @ layer.link.weight[:, :, 0, 0].T
            gated = [p[:, :channels].tanh() * p[:, channels:].sigmoid() for p in (above, seen)]
            out = gated[1] @ layer.out.weight[:, :, 0, 0].T + layer.out.bias
            out = out if first else out + h[:, :, row, column]
            assert torch.allclose(new_v[:, :, row, column], gated[0], atol=1e-10)
            assert torch.allclose(new_h[:, :, row, column], out, atol=1e-10)


@pytest.mark.covers("A09")
@pytest.mark.parametrize("label", [0, 2])
def test_a_label_adds_a_bias_to_what_goes_into_the_gates_of_either_stack(lesson, label):
    """genlib's network given a label is the lesson's layers with other biases."""
    network = scattered(gl.GatedPixelCNN((1, 5, 5), 4, 3, classes=3), 0.4).double().network
    x = torch.randn(2, 1, 5, 5, generator=generator(label)).double()
    v = h = x
    for number, layer in enumerate(network.layers):
        size = 7 if number == 0 else 3
        by_hand = lesson["GatedLayer"](1 if number == 0 else 4, 4, size, number == 0).double()
        with torch.no_grad():
            for name in ("vertical", "horizontal", "link", "out"):
                own, given = getattr(by_hand, name), getattr(layer, name)
                own.weight.copy_(given.weight[..., : own.weight.shape[3]])
                own.bias.copy_(given.bias)
            above, left = layer.label.weight[label].chunk(2)
            by_hand.vertical.bias += above
            by_hand.link.bias -= layer.link.weight[..., 0, 0] @ above  # handed on without it
            by_hand.horizontal.bias += left
            v, h = by_hand(v, h)
    found = network.hidden(h.relu()).relu()
    expected = network.features(x, y=torch.full((2,), label))
    assert torch.allclose(found, expected, atol=1e-10)
    assert not torch.allclose(found, network.features(x, y=torch.full((2,), 1)), atol=1e-3)


# ------------------------------------------------------------------ logistic mixture


@pytest.mark.covers("A09")
@pytest.mark.parametrize("levels", [2, 5, 256])
@pytest.mark.parametrize("components", [1, 4])
def test_level_probabilities_are_differences_of_scipys_logistic(lesson, levels, components):
    source = generator(levels)
    logits = torch.randn(components, generator=source).double()
    means = torch.rand(components, generator=source).double() * 1.4 - 0.2
    scales = torch.rand(components, generator=source).double() * 0.2 + 0.5 / levels
    found = lesson["level_probabilities"](logits, means, scales.log(), levels)
    expected = torch.zeros(levels).double()
    half = 0.5 / (levels - 1)
    for share, mean, scale in zip(logits.softmax(0), means, scales, strict=True):
        law = stats.logistic(mean.item(), scale.item())
        for k in range(levels):
            x = k / (levels - 1)
            upper = 1 if k == levels - 1 else law.cdf(x + half)
            lower = 0 if k == 0 else law.cdf(x - half)
            expected[k] += share * (upper - lower)
    assert torch.allclose(found, expected, atol=1e-12)
    assert found.sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.covers("A09")
def test_mass_beyond_the_ends_goes_to_the_end_levels(lesson):
    for mean, end in ((-3.0, 0), (4.0, -1)):
        p = lesson["level_probabilities"](*torch.tensor([[0.0], [mean], [-2.0]]).double())
        assert p[end] > 1 - 1e-6


@pytest.mark.covers("A09")
def test_neighbouring_levels_are_as_alike_as_the_smallest_scale_allows(lesson):
    """Between the ends |log P(k + 1) − log P(k)| < 1 / ((L − 1) s), and at the ends it fails."""
    source = generator(5)
    for levels in (8, 256):
        logits, means = torch.randn(2, 3, generator=source).double()
        scales = 0.02 + torch.rand(3, generator=source).double()
        p = lesson["level_probabilities"](logits, means, scales.log(), levels)
        steps = p.log().diff().abs()
        assert (steps[1:-1] < 1 / (levels - 1) / scales.min()).all()
    p = lesson["level_probabilities"](*torch.tensor([[0.0], [1.0], [-3.0]]).double(), 256)
    assert p[255].log() - p[254].log() > 1 / 255 / math.exp(-3)


@pytest.mark.covers("A09")
@pytest.mark.parametrize("rgb", [(1, 4, 2), (0, 2, 4), (3, 0, 1)], ids=str)
def test_colours_of_a_component_are_shifted_linearly_by_those_before(lesson, rgb):
    """p(r, g, b) as printed, against genlib's head, of two components and five levels."""
    head = LogisticMixtureHead(2, 5)
    out = torch.randn(1, 20, 1, 1, generator=generator(7)).double()
    weight, mu, log_s, slopes = out.view(10, 2).split([1, 3, 3, 3])
    r, g, b = rgb
    total = 0
    for j, start in enumerate((0.25, 0.75)):  # where genlib's means begin
        shifts = 0, slopes[0, j] * r / 4, (slopes[1, j] * r + slopes[2, j] * g) / 4
        red, green, blue = (
            lesson["level_probabilities"](
                torch.zeros(1).double(),
                mu[c, j : j + 1] + start + shifts[c],
                log_s[c, j : j + 1] - 2,
                5,
            )
            for c in range(3)
        )
        total = total + weight[0].softmax(0)[j] * red[r] * green[g] * blue[b]
    x = torch.tensor(rgb).double().view(1, 3, 1, 1) / 4
    assert torch.allclose(total.log(), head.log_prob(out, x), atol=1e-5)


@pytest.mark.covers("A07")
def test_closed_colours_do_not_see_each_other(lesson):
    model = scattered(gl.PixelCNN((3, 3, 3), 12, 1, levels=3, first_kernel_size=3), 0.5)
    lesson["close_colours"](model)
    x = torch.rand(40, 3, 3, 3, generator=generator(6)).mul(2).round().div(2).requires_grad_()
    for colour in range(3):
        asked = model.conditionals(x)[:, colour, 1, 1].exp().sum()
        slope = torch.autograd.grad(asked, x)[0].abs().sum(0)
        assert (slope[:, 1, 1] == 0).all()  # of the pixel itself no colour
        assert (slope[:, 0, 0] > 0).all()  # of an earlier one all
    small = scattered(gl.PixelCNN((3, 1, 2), 6, 1, first_kernel_size=3), 0.5)
    lesson["close_colours"](small)
    gl.verify.normalised(small)


@pytest.mark.covers("A07", "A10")
@pytest.mark.parametrize("shape", [(1, 2, 3), (3, 1, 2)], ids=str)
def test_bits_a_value_are_logarithms_to_base_two(lesson, shape):
    """The mean over all values, of all colours, of −log₂ p(value | those before)."""
    model = scattered(gl.PixelCNN(shape, 12, 1, first_kernel_size=3), 0.6).double()
    x = gl.binary_events(6, dtype=torch.float64).view(-1, *shape)
    p = model.conditionals(x).sigmoid()
    expected = -torch.where(x == 1, p, 1 - p).log2().flatten(1).mean(1)
    assert torch.allclose(lesson["bits"](model, x), expected, atol=1e-9)


@pytest.mark.covers("A07", "A09", "A10")
def test_paired_differences_are_those_of_the_t_test(lesson):
    values, others = torch.randn(2, 30, generator=generator()).double()
    mean, error = lesson["paired"](values, others)
    assert mean == pytest.approx((values - others).mean().item())
    assert mean / error == pytest.approx(stats.ttest_rel(values, others).statistic)


@pytest.mark.covers("A07", "A09")
def test_the_rule_for_all_models_lets_the_rate_fall_to_zero(lesson):
    asked = {}

    class Model:
        def fit(self, x, y, **settings):
            asked.update(settings, labels=y)

    rows = [torch.zeros(70, 3), torch.arange(70)]
    lesson["finish"](Model(), rows, torch.ones(7, 3), epochs=2, lr=0.5)
    schedule, stop = asked["hooks"]
    assert isinstance(stop, gl.EarlyStopping) and asked["batch_size"] == 32
    assert len(asked["valid"]) == 7 and torch.equal(asked["labels"], rows[1])
    steps = 3 * asked["epochs"]
    *taken, after = rates(schedule, asked["lr"], steps)
    assert taken == pytest.approx([0.5 * (1 - step / steps) for step in range(steps)])
    assert after == 0


@pytest.mark.covers("A07")
def test_reduced_pictures_are_the_level_next_to_the_mean_of_four(lesson):
    x = torch.rand(2, 3, 4, 6, generator=generator())
    found = lesson["reduced"](x, levels=8)
    assert found.shape == (2, 3, 2, 3)
    for row in range(2):
        for column in range(3):
            block = x[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            away = block.mean((2, 3))[..., None] - torch.arange(8) / 7
            assert torch.allclose(found[:, :, row, column], away.abs().argmin(-1) / 7)


@pytest.mark.covers("A09")
@pytest.mark.parametrize("place", [(15, 9), (3, 12)], ids=str)
def test_the_field_of_a_pixel_is_what_flipping_others_changes(lesson, place):
    model = scattered(gl.PixelCNNPP((1, 16, 16), 4, 1, 2, components=1, scales=1), 0.4)
    x = torch.rand(1, 1, 16, 16, generator=generator()).round()
    flipped = (x - torch.eye(256).view(256, 1, 16, 16)).abs()
    with torch.no_grad():
        means = model.double().conditionals(torch.cat([x, flipped]).double())[:, 0, *place, 0, 1]
    moved = (means[1:] - means[0]).abs().gt(1e-12).view(16, 16)
    torch.manual_seed(0)
    assert torch.equal(lesson["field_of"](model.float(), *place), moved)


@pytest.mark.covers("A09", "A10")
def test_a_model_with_labels_is_the_mean_over_them_and_bayes_rule_follows():
    model = scattered(gl.GatedPixelCNN((1, 2, 3), 4, 2, classes=3), 0.5).double()
    every = gl.binary_events(6).view(-1, 1, 2, 3).double()
    with torch.no_grad():
        given = torch.stack([model.log_prob(every, torch.full((64,), y)) for y in range(3)], 1)
        alone = model.log_prob(every)
    assert torch.allclose(given.exp().sum(0), torch.ones(3).double(), atol=1e-9)
    assert torch.allclose(alone.exp(), given.exp().mean(1), atol=1e-12)
    posterior = given.exp() / 3 / alone.exp()[:, None]
    assert torch.allclose(posterior, given.softmax(1), atol=1e-9)


# ------------------------------------------------------------------ drawing and the probe


@pytest.mark.covers("A10")
@pytest.mark.parametrize("kind", [gl.PixelCNN, gl.GatedPixelCNN])
def test_cached_drawing_follows_the_exact_probabilities(kind):
    model = scattered(kind((1, 2, 3), 6, 2), 0.6).double()
    noise = model.noise(6000, generator=generator(3))
    drawn = model.draw(noise)
    assert torch.equal(drawn, model.draw(noise, cached=False))
    every = gl.binary_events(6).view(-1, 1, 2, 3).double()
    with torch.no_grad():
        expected = model.log_prob(every).exp()
    codes = drawn.flatten(1) @ (2.0 ** torch.arange(5, -1, -1)).double()
    keys = every.flatten(1) @ (2.0 ** torch.arange(5, -1, -1)).double()
    counts = (codes[:, None] == keys).sum(0)
    assert stats.chisquare(counts, 6000 * expected / expected.sum()).pvalue > 1e-4


@pytest.mark.covers("A10")
@pytest.mark.parametrize("side", [3, 5])
def test_whole_passes_take_n_times_the_products_of_a_cache(side):
    model = gl.PixelCNN((1, side, side), 8, 1)
    products = {}
    for cached in (True, False):
        with FlopCounterMode(display=False) as counter:
            model.draw(model.noise(4), cached=cached)
        products[cached] = counter.get_total_flops()
    assert products[False] == side * side * products[True]


@pytest.mark.covers("A11")
def test_features_of_the_probe_are_the_layers_one_after_another(lesson):
    model = scattered(gl.PixelCNN((1, 5, 5), 6, 2), 0.3).double()
    x = torch.rand(4, 1, 5, 5, generator=generator(4)).round().double()
    taken = []
    for layer in (model.network.first, *model.network.blocks, model.network.hidden):
        layer.register_forward_hook(lambda module, inputs, out: taken.append(out))
    features = model.encode(x)
    expected = [*taken[:-1], taken[-1].relu()]
    found = lesson["features_of"](model, x)
    assert len(found) == len(expected) == 4
    assert all(torch.allclose(a, b) for a, b in zip(found, expected, strict=True))
    assert torch.allclose(features, found[-1].mean((2, 3)))  # of the whole image
