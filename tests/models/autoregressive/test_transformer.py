"""The causal transformer against its equations, one position at a time, and its cache."""

import numpy as np
import pytest
import torch

from genlib.models.autoregressive.transformer import CausalTransformer
from tests.models.autoregressive import sequence_truth as truth


def uneven(*settings):
    model = CausalTransformer(*settings)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.7)
    return model


@pytest.mark.covers("A06")
@pytest.mark.parametrize(
    ("states", "width", "heads", "layers"), [(2, 4, 1, 1), (5, 6, 3, 1), (3, 8, 2, 3)]
)
def test_it_is_its_equations(states, width, heads, layers):
    model = uneven(7, states, width, heads, layers).double()
    x = model.sample(3)
    for row, logits, log_prob, maps in zip(
        x, model.conditionals(x), model.log_prob(x), model.attention(x), strict=True
    ):
        expected, weights = truth.transformer(model, row)
        np.testing.assert_allclose(logits.detach(), expected, rtol=1e-9)
        assert log_prob.item() == pytest.approx(truth.log_prob(expected, row), rel=1e-9)
        np.testing.assert_allclose(maps.detach(), weights, rtol=1e-9)


@pytest.mark.covers("A06")
def test_the_attention_shown_is_the_attention_used():
    """Mixing the values by hand with `attention` gives what each layer's attention put out."""
    model = uneven(9, 4, 12, 3, 2)
    x = model.sample(5)
    seen = []
    for block in model.blocks:
        block.attention.register_forward_hook(lambda _, given, out: seen.append((given[0], out)))
    model.conditionals(x)
    maps = model.attention(x)
    assert maps.shape == (5, 2, 3, 9, 9)
    for layer, (read, put_out) in enumerate(seen[:2]):
        attention = model.blocks[layer].attention
        values = attention.query_key_value(read)[..., 24:].view(5, 9, 3, 4).transpose(1, 2)
        mixed = (maps[:, layer] @ values).transpose(1, 2).reshape(5, 9, 12)
        torch.testing.assert_close(attention.output(mixed), put_out, rtol=1e-4, atol=1e-5)


@pytest.mark.covers("A06")
def test_attention_weights_are_shares_of_the_past():
    maps = uneven(6, 3).attention(torch.zeros(2, 6))
    torch.testing.assert_close(maps.sum(-1), torch.ones(2, 2, 4, 6))
    assert (maps.triu(1) == 0).all()
    assert (maps[..., 0, 0] == 1).all()


def reach(model, x, i):
    """Norms of the gradient of log p(x_i | x_<i) by the embedding at each position."""
    vectors = []
    handle = model.embedding.register_forward_hook(lambda _, given, out: vectors.append(out))
    term = model._log_conditionals(x)[:, i].sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(term, vectors)
    return gradient.norm(dim=-1)


@pytest.mark.covers("A06")
@pytest.mark.parametrize("i", [0, 1, 20, 39])
def test_one_layer_reaches_every_symbol_of_the_past_and_none_ahead(i):
    model = CausalTransformer(40, 5, layers=1)
    x = torch.randint(5, (3, 40)).float()
    norms = reach(model, x, i)
    assert (norms[:, : i + 1] > 0).all()
    assert (norms[:, i + 1 :] == 0).all()


@pytest.mark.covers("A06")
@pytest.mark.parametrize("prompt", [0, 1, 5])
def test_with_the_cache_a_new_symbol_costs_one_position_in_each_layer(prompt):
    model, read = CausalTransformer(8, 3), []
    for block in model.blocks:
        block.register_forward_hook(lambda _, given, out: read.append(given[0].shape[1]))
    begin = torch.ones(prompt) if prompt else None
    model.generate(begin, 2)
    assert read == [length for length in [prompt + 1] + [1] * (7 - prompt) for _ in range(2)]
    read.clear()
    model.generate(begin, 2, cache=False)
    assert read == [length for length in range(prompt + 1, 9) for _ in range(2)]


@pytest.mark.covers("A06")
@pytest.mark.parametrize(
    ("length", "states", "width", "heads", "layers"), [(64, 97, 64, 4, 2), (10, 2, 6, 3, 5)]
)
def test_the_number_of_parameters(length, states, width, heads, layers):
    model = CausalTransformer(length, states, width, heads, layers)
    norm = 2 * width
    attention = 4 * width**2 + 4 * width
    network = 8 * width**2 + 5 * width
    tables = (states + 1 + length) * width
    head = states * (width + 1)
    expected = tables + layers * (2 * norm + attention + network) + norm + head
    assert model.free_parameters == expected


@pytest.mark.covers("A06")
def test_positions_matter():
    """Without its table, the network could not tell one order of the past from another."""
    model = uneven(4, 3, 8, 2, 1)
    a, b = torch.tensor([[0.0, 1, 2, 0]]), torch.tensor([[1.0, 0, 2, 0]])
    assert not torch.allclose(model.conditionals(a)[:, 3], model.conditionals(b)[:, 3])
    model.position.data.zero_()
    torch.testing.assert_close(model.conditionals(a)[:, 3], model.conditionals(b)[:, 3])


@pytest.mark.covers("A06")
@pytest.mark.parametrize("width", [8, 5])
def test_the_positional_table_begins_as_sinusoids(width):
    table = CausalTransformer(30, width=width, heads=1).position.detach().numpy()
    half = (width + 1) // 2
    for place in range(30):
        angles = [place / 10_000 ** (k / half) for k in range(half)]
        np.testing.assert_allclose(table[place, :half], np.sin(angles), atol=1e-5)
        np.testing.assert_allclose(table[place, half:], np.cos(angles)[: width - half], atol=1e-5)


def test_encode_is_the_mean_of_the_last_vectors():
    model = uneven(6, 3).double()
    x = model.sample(4)
    features, _ = model._read(model._symbols(x)[:, :-1])
    torch.testing.assert_close(model.head(features), model.conditionals(x))
    torch.testing.assert_close(model.encode(x), features.mean(1))


@pytest.mark.parametrize("query", ["log_prob", "conditionals", "attention", "encode", "fit"])
def test_a_row_longer_than_the_positional_table_is_refused(query):
    with pytest.raises(ValueError, match=r"positional table ends at 8.*length=9"):
        getattr(CausalTransformer(8, 3), query)(torch.zeros(2, 9))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"width": 64, "heads": 5}, "heads: expected a divisor of width, 64, got 5"),
        ({"width": 0}, "width: expected at least 1"),
        ({"heads": 0}, "heads: expected at least 1"),
        ({"layers": 0}, "layers: expected at least 1"),
    ],
)
def test_bad_settings(settings, words):
    with pytest.raises(ValueError, match=words):
        CausalTransformer(4, **settings)
