"""Convolutions one place at a time against whole images, and what a cache keeps."""

import itertools

import pytest
import torch

from genlib.nn.incremental import Cache
from genlib.nn.masked_conv import (
    HorizontalConv2d,
    MaskedConv2d,
    PointConv2d,
    VerticalConv2d,
    Window,
    WindowConv2d,
)

# Of a vertical convolution, a place needs features to its right: it goes row by row.
OF_FEATURES = {
    "B": lambda: MaskedConv2d(4, 6, 3, "B"),
    "B, colours": lambda: MaskedConv2d(6, 9, 3, "B", 3),
    "horizontal B": lambda: HorizontalConv2d(4, 2, 3, "B"),
    "point": lambda: PointConv2d(3, 5),
    "window": lambda: WindowConv2d(2, 3, Window(2, 0, 2, -1)),
}
BY_ROW = OF_FEATURES | {"vertical": lambda: VerticalConv2d(3, 4, 3)}
OF_IMAGES = {
    "A": lambda: MaskedConv2d(3, 6, 5, "A"),
    "A, colours": lambda: MaskedConv2d(3, 6, 5, "A", 3),
    "horizontal A": lambda: HorizontalConv2d(3, 6, 5, "A", 3),
    "vertical, first": lambda: VerticalConv2d(3, 4, 7, first=True),
    "window": lambda: WindowConv2d(2, 3, Window(1, 0, 2, -1), reads_image=True),
    "window above": lambda: WindowConv2d(2, 3, Window(2, -1, 1, 1), reads_image=True),
}


def image(layer, rows=5, columns=4):
    return torch.randn(2, layer.in_channels, rows, columns)


@pytest.mark.covers("A07")
@pytest.mark.parametrize("name", OF_FEATURES)
@torch.no_grad()
def test_places_one_by_one_are_the_whole_image(name):
    layer = OF_FEATURES[name]()
    x = image(layer)
    whole, cache = layer(x), Cache(width=4)
    for r, c in itertools.product(range(5), range(4)):
        cache.seek(r, slice(c, c + 1))
        for _ in range(2):  # a place may be visited again before the next one, by another colour
            out = layer(x[:, :, r : r + 1, c : c + 1], cache)
        torch.testing.assert_close(out[:, :, 0, 0], whole[:, :, r, c])


@pytest.mark.parametrize("name", BY_ROW)
@torch.no_grad()
def test_rows_one_by_one_are_the_whole_image(name):
    layer = BY_ROW[name]()
    x = image(layer)
    whole, cache = layer(x), Cache(width=4)
    for r in range(5):
        cache.seek(r, slice(0, 1))
        out = cache.per_row("it", lambda row, r=r: layer(x[:, :, r : r + 1], row))
        torch.testing.assert_close(out[:, :, 0], whole[:, :, r])


@torch.no_grad()
def test_a_stride_keeps_every_second_place_of_a_row():
    layer = WindowConv2d(2, 3, Window(1, 0, 1, 1), stride=2)
    x = image(layer, 4, 6)
    whole, cache = layer(x), Cache(width=6)
    for r in range(4):
        cache.seek(r, slice(0, 6))
        out = layer(x[:, :, r : r + 1], cache)
        if r % 2 == 0:
            torch.testing.assert_close(out[:, :, 0], whole[:, :, r // 2])


@pytest.mark.parametrize("name", OF_IMAGES)
@torch.no_grad()
def test_a_layer_that_reads_the_image_gives_the_whole_one_at_any_place(name):
    layer = OF_IMAGES[name]()
    x = image(layer)
    whole, cache = layer(x), Cache(width=4)
    for r, (first, last) in itertools.product(range(5), [(0, 1), (1, 2), (3, 4), (0, 4)]):
        cache.seek(r, slice(first, last))
        torch.testing.assert_close(layer(x, cache)[:, :, 0], whole[:, :, r, first:last])


def test_a_cache_keeps_as_many_rows_as_the_window_is_high():
    layer, cache = MaskedConv2d(2, 3, 5, "B"), Cache(width=6)
    with torch.no_grad():
        for r, c in itertools.product(range(9), range(6)):
            cache.seek(r, slice(c, c + 1))
            layer(torch.randn(4, 2, 1, 1), cache)
    assert cache.state(layer, dict).values.shape == (4, 3, 6 + 4, 2)


def test_what_is_computed_per_row_is_computed_once_a_row():
    cache, made = Cache(width=3), []
    for r, c in itertools.product(range(2), range(3)):
        cache.seek(r, slice(c, c + 1))
        cache.per_row("it", lambda row: made.append((row.row, row.columns)))
        assert cache.columns == slice(c, c + 1)
    assert made == [(0, slice(0, 3)), (1, slice(0, 3))]
    assert len(cache.state(("it", "row"), dict)) == 1  # rows that are done are forgotten


def test_half_the_size_is_at_half_the_place():
    cache = Cache(width=6)
    for r, c in itertools.product(range(4), range(6)):
        cache.seek(r, slice(c, c + 1))
        half = cache.halved()
        assert (half.width, half.row, half.columns.start) == (3, r // 2, c // 2)
        assert half is cache.halved()
