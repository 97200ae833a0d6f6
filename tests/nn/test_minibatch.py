"""Layers that see the whole batch, against loops over its rows, and against torch's batch norm."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from genlib.nn.minibatch import (
    MinibatchDiscrimination,
    ReferenceBatchNorm,
    VirtualBatchNorm,
    WithReference,
)

NORMS = ReferenceBatchNorm, VirtualBatchNorm


# ------------------------------------------------------------------------------ discrimination


@pytest.mark.covers("G08")
def test_discrimination_appends_how_close_the_other_rows_are():
    layer, x = MinibatchDiscrimination(4, kernels=3, dim=2).double(), torch.randn(5, 4).double()
    out, weight = layer(x), layer.weight.detach()
    assert torch.equal(out[:, :4], x)
    for i in range(5):
        for b in range(3):
            own = x[i] @ weight[:, b]
            norms = [(own - x[j] @ weight[:, b]).abs().sum() for j in range(5) if j != i]
            expected = sum(math.exp(-norm) for norm in norms)
            assert out[i, 4 + b].item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.covers("G08")
def test_copies_are_told_from_rows_that_differ():
    layer = MinibatchDiscrimination(6)
    copies, apart = torch.ones(20, 6), torch.randn(20, 6)
    assert (layer(copies)[:, 6:] == 19).all()
    assert layer(apart)[:, 6:].mean() < 3


def test_projections_of_standard_rows_begin_with_variance_one():
    """Of 3 · 10⁵ products with one draw of T; five standard errors of the mean square of T."""
    layer = MinibatchDiscrimination(200, 30, 10)
    scale = (layer.weight.square().sum(0)).mean().item()
    assert scale == pytest.approx(1, abs=5 * math.sqrt(2 / layer.weight.numel()))


def test_discrimination_learns_by_the_gradient_of_the_formula():
    layer, x = MinibatchDiscrimination(3, 2, 4).double(), torch.randn(6, 3).double()
    inputs = x.requires_grad_(), layer.weight
    v = torch.randn(6, 5).double()
    found = torch.autograd.grad(layer(x), inputs, v)
    m = torch.einsum("na,abc->nbc", *inputs)
    o = (-(m[:, None] - m).abs().sum(3)).exp().sum(1) - 1
    expected = torch.autograd.grad(torch.cat([x, o], 1), inputs, v)
    torch.testing.assert_close(found, expected)


def test_features_are_computed_in_full_under_autocast():
    layer, x = MinibatchDiscrimination(4, 3, 2), torch.randn(5, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        short = (x.bfloat16() @ layer.weight.bfloat16().flatten(1)).view(5, 3, 2)
        found = layer(x)
    assert found.dtype == torch.float32
    distance = (short.float()[:, None] - short.float()).abs().sum(3)
    torch.testing.assert_close(found[:, 4:], distance.neg().exp().sum(1) - 1)


@pytest.mark.parametrize("sizes", [(0,), (2, 0), (2, 3, 0)], ids=str)
def test_sizes_of_nothing_are_refused(sizes):
    name = ("inputs", "kernels", "dim")[len(sizes) - 1]
    with pytest.raises(ValueError, match=f"{name}: expected at least 1, got 0"):
        MinibatchDiscrimination(*sizes)


def test_rows_of_another_length_are_refused():
    layer = MinibatchDiscrimination(4)
    with pytest.raises(ValueError, match=r"x: expected shape \(N, 4\), got \(2, 3\)"):
        layer(torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"flatten with x\.flatten\(1\)"):
        layer(torch.zeros(2, 1, 2, 2))


# ------------------------------------------------------------------------------ reference norms


def normalised(rows, at, eps=1e-5):
    """``at``, (C, *places), by mean and variance over ``rows``, (n, C, *places), in loops."""
    out = torch.empty_like(at)
    for c in range(at.shape[0]):
        values = rows[:, c].flatten().tolist()
        mean = math.fsum(values) / len(values)
        variance = math.fsum((value - mean) ** 2 for value in values) / len(values)
        out[c] = (at[c] - mean) / math.sqrt(variance + eps)
    return out


def statistics_rows(norm, reference, rows):
    """For each row, those over which its mean and variance are taken."""
    if norm is ReferenceBatchNorm:
        return [reference for _ in rows]
    return [torch.cat([reference, row[None]]) for row in rows]


def batches(*places, rows=6, reference=4, channels=3):
    """A reference batch and a batch that is nothing like it."""
    shape = channels, *places
    return (
        1 + 2 * torch.randn(reference, *shape).double(),
        -3 + 0.5 * torch.randn(rows, *shape).double(),
    )


PLACES = [(), (5,), (3, 2)]


@pytest.mark.covers("G06")
@pytest.mark.parametrize("places", PLACES, ids=str)
def test_reference_norm_takes_the_reference_rows_alone(places):
    reference, x = batches(*places)
    network = WithReference(ReferenceBatchNorm(3).double(), reference)
    expected = torch.stack([normalised(reference, row) for row in x])
    torch.testing.assert_close(network(x), expected)


@pytest.mark.covers("G06")
@pytest.mark.parametrize("places", PLACES, ids=str)
def test_virtual_norm_takes_the_reference_rows_and_the_row_itself(places):
    reference, x = batches(*places)
    network = WithReference(VirtualBatchNorm(3).double(), reference)
    expected = [normalised(torch.cat([reference, row[None]]), row) for row in x]
    torch.testing.assert_close(network(x), torch.stack(expected))
    # Torch's own batch norm of the reference and one row says the same.
    alone = F.batch_norm(torch.cat([reference, x[2:3]]), None, None, training=True)[-1]
    torch.testing.assert_close(network(x)[2], alone)


@pytest.mark.covers("G06")
@pytest.mark.parametrize("norm", NORMS)
def test_deeper_layers_see_the_reference_as_the_present_weights_make_it(norm):
    """Two layers: a row's features are normalised by the reference's features, at both."""
    layers = [nn.Linear(3, 4), norm(4), nn.Tanh(), nn.Linear(4, 2), norm(2)]
    network = nn.Sequential(*layers).double()
    reference, x = batches()
    found = WithReference(network, reference)(x)
    ahead, rows = reference, x
    for layer in layers:
        if isinstance(layer, norm):
            pairs = zip(statistics_rows(norm, ahead, rows), rows, strict=True)
            rows = torch.stack([normalised(*pair) for pair in pairs])
            ahead = torch.stack([normalised(ahead, row) for row in ahead])
        else:
            ahead, rows = layer(ahead), layer(rows)
    torch.testing.assert_close(found, rows)


@pytest.mark.covers("G06")
@pytest.mark.parametrize("norm", NORMS)
def test_no_row_depends_on_who_is_beside_it_as_it_does_under_batch_norm(norm):
    reference, x = batches(2, 2)
    network = WithReference(norm(3).double(), reference)
    together = network(x)
    for part in (x[:1], x[3:], x.flip(0)):
        rows = [int((x == row).flatten(1).all(1).nonzero()) for row in part]
        torch.testing.assert_close(network(part), together[rows])
    ordinary = nn.BatchNorm2d(3).double()
    assert not torch.allclose(ordinary(x)[:2], ordinary(x[:2]))
    assert torch.equal(network.eval()(x), together)


@pytest.mark.parametrize("norm", NORMS)
def test_weight_bias_and_eps_are_those_of_batch_norm(norm):
    layer = norm(3, eps=0.3).double()
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    reference, x = batches(2)
    bare = norm(3, eps=0.3, affine=False).double()
    found, expected = (WithReference(part, reference)(x) for part in (layer, bare))
    torch.testing.assert_close(found, expected * layer.weight[:, None] + layer.bias[:, None])
    pairs = zip(statistics_rows(norm, reference, x), x, strict=True)
    by_loops = torch.stack([normalised(*pair, eps=0.3) for pair in pairs])
    torch.testing.assert_close(expected, by_loops)
    assert list(bare.parameters()) == []


@pytest.mark.parametrize("norm", NORMS)
def test_gradients_flow_through_the_statistics_too(norm):
    layer = nn.Sequential(nn.Linear(3, 2), norm(2)).double()
    reference, x = batches(rows=3)
    network = WithReference(layer, reference)
    names, parameters = zip(*layer.named_parameters(), strict=True)

    def out(x, *parameters):
        given = {f"network.{name}": value for name, value in zip(names, parameters, strict=True)}
        return torch.func.functional_call(network, given, (x,))

    assert torch.autograd.gradcheck(out, (x.requires_grad_(), *parameters))


@pytest.mark.parametrize("norm", NORMS)
def test_statistics_are_computed_in_full_of_short_numbers(norm):
    """Of a mean of 100 and a deviation of 1, bfloat16 would keep one digit."""
    reference, x = (100 + torch.randn(n, 3, 5).bfloat16() for n in (40, 6))
    layer = norm(3)
    found = WithReference(layer, reference)(x)
    expected = WithReference(layer, reference.float())(x.float())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=2**-8, atol=2**-8)


def test_variances_far_from_the_origin_do_not_cancel():
    reference, x = batches(4)
    found = WithReference(VirtualBatchNorm(3).double(), reference)(x)
    shifted = WithReference(VirtualBatchNorm(3).double(), reference + 1e6)(x + 1e6)
    torch.testing.assert_close(shifted, found, rtol=1e-6, atol=1e-8)


class TwoOfEach(nn.Module):
    """Two inputs, two outputs."""

    def __init__(self):
        super().__init__()
        self.norm = VirtualBatchNorm(3)

    def forward(self, x, y):
        return self.norm(x), y + 1


def test_several_inputs_and_outputs():
    x, y = torch.randn(5, 3), torch.arange(5)
    network = WithReference(TwoOfEach(), torch.randn(4, 3), torch.arange(4))
    normed, moved = network(x, y)
    assert normed.shape == (5, 3) and torch.equal(moved, y + 1)
    with pytest.raises(ValueError, match=r"inputs: expected 2, as many as reference .* got 1"):
        network(x)


def test_the_reference_is_saved_with_the_weights_and_is_a_copy():
    reference, x = torch.randn(4, 3), torch.randn(5, 3)
    network = WithReference(VirtualBatchNorm(3), reference)
    before = network(x)
    other = WithReference(VirtualBatchNorm(3), torch.zeros(4, 3))
    other.load_state_dict(network.state_dict())
    reference.zero_()
    assert torch.equal(network(x), before) and torch.equal(other(x), before)
    assert torch.equal(copy.deepcopy(network)(x), before)


# ------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize("norm", NORMS)
def test_outside_a_reference_the_layers_refuse(norm):
    layer, x = norm(3), torch.randn(8, 3)
    with pytest.raises(RuntimeError, match=f"{norm.__name__}: .* WithReference"):
        layer(x)
    network = WithReference(nn.Sequential(layer, nn.Linear(9, 1)), x)
    with pytest.raises(RuntimeError):
        network(x)  # the layer after it fails
    with pytest.raises(RuntimeError, match=f"{norm.__name__}: .* WithReference"):
        layer(x)


def test_bad_arguments_are_refused_by_name():
    layer, x = VirtualBatchNorm(3), torch.randn(4, 3)
    cases = [
        (lambda: WithReference(3, x), TypeError, r"network: expected a torch\.nn\.Module, got 3"),
        (lambda: WithReference(nn.Linear(3, 3), x), ValueError, "network: .* VirtualBatchNorm"),
        (lambda: WithReference(layer), ValueError, "reference: .* got none"),
        (lambda: WithReference(layer, x[:1]), ValueError, r"reference: expected two rows .*\(1, 3"),
        (lambda: WithReference(layer, x, x[:3]), ValueError, r"as many of each input, .*\(3, 3"),
        (lambda: WithReference(layer, x * torch.nan), ValueError, "reference: expected finite"),
        (lambda: WithReference(layer, [1.0]), TypeError, "reference: expected a torch.Tensor"),
        (lambda: VirtualBatchNorm(0), ValueError, "channels: expected at least 1, got 0"),
        (lambda: VirtualBatchNorm(3, eps=0), ValueError, "eps: expected a finite positive"),
        (lambda: VirtualBatchNorm(3, affine=1), TypeError, "affine: expected True or False"),
    ]
    for make, error, message in cases:
        with pytest.raises(error, match=message):
            make()


def test_rows_unlike_the_reference_are_refused():
    layers = nn.Sequential(nn.Flatten(), VirtualBatchNorm(4))
    network = WithReference(layers, torch.randn(4, 1, 2, 2))
    for x in (torch.zeros(3, 1, 2, 3), torch.zeros(3, 1, 2, 2).double()):
        with pytest.raises(ValueError, match="inputs: expected rows as those of the reference"):
            network(x)
    wrong = WithReference(VirtualBatchNorm(5), torch.randn(4, 3))
    with pytest.raises(ValueError, match=r"VirtualBatchNorm: expected shape \(N, 5, \.\.\.\), got"):
        wrong(torch.randn(2, 3))
