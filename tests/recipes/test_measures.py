"""Bits per character, and nats with labels, against what a model's own answers come to."""

import math

import pytest
import torch

import genlib as gl
from genlib.recipes.images import labelled_nats
from genlib.recipes.mnist import nats_of_mixture
from genlib.recipes.text import bits_per_character


def symbols(n, length, states, seed):
    return torch.randint(states, (n, length), generator=torch.Generator().manual_seed(seed)).float()


def test_bits_per_character_are_means_over_characters():
    gl.seed(0)
    model = gl.LSTM(12, 5, hidden=6)
    data = gl.data.Dataset(
        symbols(3, 12, 5, 0), symbols(40, 12, 5, 1), symbols(1100, 12, 5, 2), name="symbols"
    )
    found = bits_per_character(model, data)
    assert list(found) == ["bits per character", "validation bits per character"]
    for (value, error), rows in zip(found.values(), (data.test, data.valid), strict=True):
        p = model.conditionals(rows).detach().softmax(2).gather(2, rows.long()[..., None])[..., 0]
        of_rows = -p.double().log2().mean(1)
        assert value.item() == pytest.approx(of_rows.mean().item(), rel=1e-5)
        assert error.item() == pytest.approx(of_rows.std().item() / len(rows) ** 0.5, rel=1e-4)


def test_labels_are_summed_over_given_and_named():
    gl.seed(0)
    model = gl.GatedPixelCNN((1, 3, 3), 4, 2, classes=3, first_kernel_size=3)
    with torch.no_grad():
        for layer in model.network.layers:
            layer.label.weight.mul_(3)
    rows = symbols(60, 9, 2, 0).view(-1, 1, 3, 3)
    labels = torch.randint(3, (60,), generator=torch.Generator().manual_seed(1))
    data = gl.data.Dataset(rows, rows, rows, labels=gl.data.Splits(labels, labels, labels))
    found = labelled_nats(model, data)
    assert list(found) == ["nats", "nats given the label", "labels named"]
    with torch.no_grad():
        each = torch.stack([model.log_prob(rows, torch.full((60,), y)) for y in range(3)])
        whole = model.log_prob(rows)
    likely = each.exp().argmax(0)
    assert 0 < (likely == labels).sum() < 60 and len(set(likely.tolist())) > 1
    assert found["nats"].value.item() == pytest.approx(whole.mean().item(), rel=1e-5)
    assert found["nats given the label"].value.item() == pytest.approx(
        sum(each[y, i].item() for i, y in enumerate(labels.tolist())) / 60, rel=1e-5
    )
    named = (likely == labels).float().mean().item()
    assert found["labels named"].value.item() == pytest.approx(named)
    assert found["labels named"].error.item() == pytest.approx(
        math.sqrt(named * (1 - named) / 59), rel=1e-4
    )


def test_probabilities_of_orders_are_averaged_and_single_orders_told_by_their_mean():
    gl.seed(0)
    model = gl.NADE(6, 5, orderless=True)
    with torch.no_grad():
        for part in model.parameters():
            part.normal_(std=1.5)
    rows = symbols(50, 6, 2, 0)
    found = nats_of_mixture(model, gl.data.Dataset(rows[:9], rows[:9], rows), orders=3)
    generator = torch.Generator().manual_seed(1)
    p = torch.ones(3, 50, dtype=torch.float64)
    for k in range(3):
        given = torch.zeros(6)
        for i in torch.randperm(6, generator=generator).tolist():
            a = model.c + (given * rows) @ model.w + given @ model.m
            on = torch.sigmoid(model.b[i] + a.sigmoid() @ model.v[i]).detach().double()
            p[k] *= torch.where(rows[:, i] == 1, on, 1 - on)
            given[i] = 1
    mixed = p.mean(0).log()
    assert found["nats"].value.item() == pytest.approx(mixed.mean().item(), rel=1e-5)
    assert found["nats"].error.item() == pytest.approx(mixed.std().item() / 50**0.5, rel=1e-5)
    assert found["nats in one order"].value.item() == pytest.approx(p.log().mean().item(), rel=1e-5)
    assert mixed.mean() - p.log().mean() > 0.1
