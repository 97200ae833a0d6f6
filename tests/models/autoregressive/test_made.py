"""MADE against enumeration, an FVSBN, and a network without masks."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

import genlib as gl
from genlib.models.autoregressive import FVSBN, MADE
from tests.models.autoregressive.checks import ORDER, completion_probabilities
from tests.parameters import scattered

KINDS = {
    "one layer": {"hidden": [20]},
    "three layers": {"hidden": [7, 12, 6], "order": ORDER},
    "direct": {"hidden": [5, 5], "direct": True, "order": ORDER},
    "only direct": {"hidden": [], "direct": True},
    "connectivities": {"hidden": [8, 8], "order": ORDER, "num_masks": 3},
    "orders": {"hidden": [8], "num_masks": 3, "sample_orders": True, "direct": True},
}


@pytest.fixture(params=KINDS)
def model(request):
    return scattered(MADE(9, **KINDS[request.param]), scale=0.7, seed=1)


def component(model, k):
    """What `verify.causal` looks at, of one set of masks."""
    return SimpleNamespace(
        event_shape=model.event_shape,
        support=model.support,
        classes=None,
        condition_shape=None,
        dtype=model.dtype,
        device=model.device,
        order=model.orders[k],
        conditionals=lambda x: model._logits(x, k),
    )


@pytest.mark.covers("A04")
def test_density_and_samples(model):
    gl.verify.causal(model)
    gl.verify.normalised(model)
    gl.verify.samples_match(model)


def by_loops(model, x, k):
    """Logits of one row under masks ``k``, unit by unit: a unit sees units of degrees up to its
    own, an output those below.
    """
    w = {name: value.double() for name, value in model.state_dict().items()}
    degrees = [w[f"degrees_{number}"][k] for number in range(len(model.layers) + 1)]
    h = x.double()
    for number in range(len(model.layers)):
        weight, below = w[f"layers.{number}.weight"], h
        h = w[f"layers.{number}.bias"].clone()
        for unit, other in itertools.product(range(len(h)), range(len(below))):
            if degrees[number][other] <= degrees[number + 1][unit]:
                h[unit] += weight[unit, other] * below[other]
        h = h.clamp(min=0)
    logits = torch.zeros(len(x), dtype=torch.float64)
    for name, seen, into in (("output", h, degrees[-1]), ("direct", x, degrees[0])):
        if getattr(model, name) is not None:
            logits += w.get(f"{name}.bias", 0)
            for i, other in itertools.product(range(len(x)), range(len(seen))):
                if into[other] < degrees[0][i]:
                    logits[i] += w[f"{name}.weight"][i, other] * seen[other]
    return logits


@pytest.mark.covers("A04")
@torch.no_grad()
def test_it_is_its_formulas(model):
    """Logits under the first masks, and the mean of the probabilities under all of them."""
    model = model.double()
    x = model.sample(3, generator=torch.Generator().manual_seed(0))
    for row, logits, log_prob in zip(x, model.conditionals(x), model.log_prob(x), strict=True):
        each = torch.stack([by_loops(model, row, k) for k in range(len(model.orders))])
        torch.testing.assert_close(logits, each[0], rtol=1e-10, atol=1e-10)
        p = torch.where(row == 1, each.sigmoid(), (-each).sigmoid()).prod(1).mean()
        torch.testing.assert_close(log_prob, p.log(), rtol=1e-10, atol=1e-10)


@pytest.mark.covers("A04")
def test_every_set_of_masks_is_causal_in_its_own_order(model):
    for k in range(len(model.orders)):
        gl.verify.causal(component(model, k))


@pytest.mark.covers("A04")
def test_without_masks_it_does_not_normalise():
    """A plain autoencoder: the same network sees what it should predict."""
    model = scattered(MADE(9, [20]), seed=1)
    model._select(0)
    for layer in (model.layers[0], model.output):
        layer.keep(torch.ones_like(layer.mask, dtype=torch.bool))
    with pytest.raises(gl.verify.VerificationError, match="depends on input"):
        gl.verify.causal(model)
    with pytest.raises(gl.verify.VerificationError, match="not to 1"):
        gl.verify.normalised(model)


def test_log_prob_averages_probabilities_over_the_masks():
    model = scattered(MADE(9, [8], num_masks=4, sample_orders=True), seed=3)
    x = gl.binary_events(9)
    each = torch.stack(
        [
            -F.binary_cross_entropy_with_logits(model._logits(x, k), x, reduction="none").sum(1)
            for k in range(4)
        ]
    )
    assert (each - each[0]).abs().max() > 0.1
    torch.testing.assert_close(model.log_prob(x).exp(), each.exp().mean(0))
    torch.testing.assert_close(model.validation_loss(x), -model.log_prob(x).mean())


def test_training_draws_every_set_of_masks():
    model, x = scattered(MADE(9, [8], num_masks=3), seed=3), gl.binary_events(9)
    values = {-model._terms(x, k).sum(1).mean().item() for k in range(3)}
    gl.seed(0)
    assert {model.loss(x).item() for _ in range(40)} == values
    assert len(values) == 3


def test_masks_selected_in_inference_mode_serve_training():
    model, x = MADE(9, [8], num_masks=2), gl.binary_events(9)
    with torch.inference_mode():
        model.log_prob(x)
    for k in range(2):
        model._terms(x, k).sum().backward()


def test_only_direct_connections_make_an_fvsbn():
    model, peer = scattered(MADE(9, [], ORDER, direct=True)), FVSBN(9, ORDER)
    with torch.no_grad():
        peer.bias.copy_(model.direct.bias)
        weight = model.direct.weight[model.order][:, model.order]
        peer.lower.copy_(weight[tuple(torch.tril_indices(9, 9, -1))])
    x = gl.binary_events(9)
    torch.testing.assert_close(model.log_prob(x), peer.log_prob(x))
    assert model.free_parameters == peer.free_parameters == 45


@pytest.mark.parametrize("k", range(3))
def test_the_same_numbers_draw_the_same_rows_as_full_passes(k):
    model = scattered(MADE(9, [8, 6], num_masks=3, sample_orders=True, direct=True), seed=2)
    u = torch.rand(300, 9, generator=torch.Generator().manual_seed(7))
    x = torch.zeros(300, 9)
    for i in model.orders[k]:
        x[:, i] = (u[:, i] < model._logits(x, k)[:, i].sigmoid()).float()
    with torch.no_grad():
        assert torch.equal(model._draw_by(u, k), x)


@pytest.mark.parametrize("kind", ["three layers", "connectivities"])
@pytest.mark.parametrize("particles", [None, 50])
def test_completions(kind, particles):
    """Total variation against enumeration; Hoeffding's bound at a false-alarm rate of 1e-6."""
    # Weights this large make the known values speak for some sets of masks, and against others.
    model, n = scattered(MADE(9, **KINDS[kind]), scale=0.7 if particles else 1.5, seed=2), 10_000
    mask = torch.zeros(9, dtype=torch.bool)
    mask[ORDER[5:] if particles else ORDER[:5]] = True
    x = model.sample(1, generator=torch.Generator().manual_seed(0))[0]
    events, p = completion_probabilities(model, x, mask)
    generator = torch.Generator().manual_seed(1)
    found = model.complete(x.repeat(n, 1), mask, particles=particles, generator=generator)
    share = (found[:, None] == events).all(2).float().mean(0)
    assert share.sum().item() == pytest.approx(1)
    noise = math.sqrt((len(p) * math.log(2) + math.log(1e6)) / (2 * n))
    assert (share - p).abs().sum() / 2 < noise


def test_an_exact_answer_needs_the_known_values_first_in_every_order():
    model = MADE(9, [8], num_masks=3, sample_orders=True)
    mask = torch.zeros(9, dtype=torch.bool)
    mask[0] = True
    with pytest.raises(ValueError, match="known value 0 comes after unknown ones"):
        model.complete(torch.zeros(2, 9), mask)


@pytest.mark.covers("A04")
@pytest.mark.parametrize("num_masks", [1, 4])
def test_every_hidden_unit_is_seen_by_some_output_and_sees_some_input(num_masks):
    model = MADE(5, [40, 40], num_masks=num_masks, sample_orders=True)
    for degrees in (model.degrees_1, model.degrees_2):
        assert all(set(each.tolist()) == {1, 2, 3, 4} for each in degrees)


@pytest.mark.covers("A04")
def test_loaded_masks_replace_those_that_are_selected():
    several = {"hidden": [8], "num_masks": 3, "sample_orders": True}
    model, other = (scattered(MADE(9, **several, seed=seed), seed=seed) for seed in (1, 2))
    x = gl.binary_events(9)[::37]
    assert not torch.allclose(model.conditionals(x), other.conditionals(x), atol=0.1)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(other.conditionals(x), model.conditionals(x))


@pytest.mark.covers("A04")
def test_codes_are_those_under_the_first_masks():
    model = scattered(MADE(9, **KINDS["orders"]), scale=0.7, seed=1)
    x = gl.binary_events(9)[::37]
    expected = model.encode(x)
    layer, degrees = model.layers[0], model.degrees_1[0]
    seen = model.degrees_0[0] <= degrees[:, None]  # by definition of a degree
    torch.testing.assert_close(expected, (x @ (layer.weight * seen).T + layer.bias).relu())
    model.log_prob(x)  # under all masks in turn
    assert torch.equal(model.encode(x), expected)


def test_codes_are_the_last_hidden_layer(model):
    x = model.sample(4)
    if not model.layers:
        assert torch.equal(model.encode(x), x)
        return
    code = model.encode(x)
    h = x
    for layer in model.layers:
        h = torch.relu(h @ (layer.weight * layer.mask).T + layer.bias)
    torch.testing.assert_close(code, h)


@pytest.mark.covers("A04")
def test_it_counts_the_weights_that_some_mask_keeps():
    assert MADE(3, [2]).free_parameters == (1 + 2) + 2 + (1 + 2) + 3
    model = MADE(9, [8, 8], num_masks=2, seed=1)
    x = gl.binary_events(9)
    for k in range(2):
        model._terms(x, k).sum().backward()
    reached = [
        getattr(model, f"degrees_{i + 1}")[:, :, None] >= getattr(model, f"degrees_{i}")[:, None]
        for i in range(2)
    ]
    kept = sum(int(mask.any(0).sum()) for mask in reached)
    outputs = (model.degrees_0[:, :, None] > model.degrees_2[:, None]).any(0)
    assert model.free_parameters == kept + int(outputs.sum()) + 8 + 8 + 9


def test_it_is_saved_with_its_masks(tmp_path):
    model = scattered(MADE(9, [8, 7], num_masks=3, sample_orders=True, seed=5))
    model.save(tmp_path / "model.safetensors")
    again = gl.load(tmp_path / "model.safetensors")
    x = gl.binary_events(9)
    assert torch.equal(again.log_prob(x), model.log_prob(x))


@pytest.mark.covers("A04")
def test_it_learns_parity():
    gl.seed(0)
    x = gl.binary_events(4)
    even = x[x.sum(1) % 2 == 0].repeat(16, 1)
    model = MADE(4, [48, 48])
    model.fit(even, epochs=200, batch_size=128, lr=0.01)
    assert -model.log_prob(even).mean().item() == pytest.approx(3 * math.log(2), abs=0.02)


BAD = {
    "dim": ({"dim": 1}, "dim: expected at least 2, got 1"),
    "no masks": ({"num_masks": 0}, "num_masks: expected at least 1, got 0"),
    "no units": ({"hidden": [3, 0]}, "hidden: expected at least 1, got 0"),
    "no layer": ({"hidden": []}, "hidden: .* got none: .* outputs are then unreachable"),
    "one unit": ({"hidden": [5, 1]}, r"hidden: expected at least 2 .* outputs are unreachable"),
    "order": ({"order": [0] * 9}, "order: expected a permutation of 0 … 8"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused(case):
    arguments, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        MADE(**{"dim": 9, "hidden": [4]} | arguments)


def test_direct_connections_reach_what_one_unit_does_not():
    gl.verify.normalised(scattered(MADE(5, [1], direct=True)))


def test_grey_pixels_are_refused():
    with pytest.raises(ValueError, match=r"values in \{0, 1\}, got 0\.5"):
        MADE(4, [3]).log_prob(torch.full((1, 4), 0.5))
