"""PixelRNN: long short-term memories that run over the rows or the diagonals of an image.

Each layer is written twice, for whole images and for one place of an image that is being drawn. It
is worth it: with a cache 64 images of 28 × 28 pixels are drawn some 200 times as fast.

Sources: the chapter on autoregressive models of document C; van den Oord, Kalchbrenner and
Kavukcuoglu (2016), "Pixel recurrent neural networks".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.core.validation import check_choice, check_count
from genlib.models.autoregressive.base import MOST_PARTS
from genlib.models.autoregressive.pixel_cnn import MaskedNetwork
from genlib.models.autoregressive.pixels import (
    PixelModel,
    check_channels,
    colour_groups,
    pixel_head,
)
from genlib.nn.incremental import Cache
from genlib.nn.masked_conv import (
    HorizontalConv2d,
    MaskedConv2d,
    PointConv2d,
    WindowConv2d,
    check_kernel_sizes,
)


class PixelRNN(PixelModel):
    """PixelRNN: p(x) = Π_i p(x_i | x_<i), what comes before summed up by recurrent states.

    A log mass over images, (C, H, W), exact. Each layer is an LSTM over the image, with a residual
    connection. Its gates add what a convolution makes of the input (the current row to the left)
    and what another makes of neighbouring states:

    - ``"row"``: the states of the row above, ``kernel_size`` columns wide. All pixels of a row are
      computed at once, and training takes a step for each row. Each layer sees a triangle above.
    - ``"diagonal"``: the states to the left and above, and in a second LSTM those to the right and
      above. The rows are skewed, so that a step computes a diagonal; training takes H + W − 1 of
      them. One layer sees every pixel before the current one but the last one of the row above,
      which only the first convolution may reach.

    Parameters
    ----------
    shape : (int, int, int)
        Colours, rows and columns of an image.
    channels : int, optional
        Channels between the layers, twice those of a state, a multiple of 2 · colours; by default
        32, or where that is none the next one.
    layers : int
        Number of recurrent layers.
    levels : int
        Values a pixel can take: 0 and 1 for 2, else k / (levels − 1).
    kind : {"row", "diagonal"}
    components : int, optional
        Number of logistics that a pixel's levels are predicted by, instead of a logit each; see
        `genlib.nn.heads.LogisticMixtureHead`.
    kernel_size, first_kernel_size : int
        Sizes of the convolutions; odd.

    Raises
    ------
    TypeError, ValueError
        A number is not what it must be.

    Notes
    -----
    ``conditionals`` and ``encode`` are those of `PixelCNN`.

    References
    ----------
    van den Oord, Kalchbrenner and Kavukcuoglu (2016), "Pixel recurrent neural networks", ICML.

    Examples
    --------
    >>> model = PixelRNN(shape=(1, 8, 8), channels=8, layers=1)
    >>> model.sample(2).shape
    torch.Size([2, 1, 8, 8])
    """

    def __init__(
        self,
        shape: Sequence[int] = (1, 28, 28),
        channels: int | None = None,
        layers: int = 3,
        levels: int = 2,
        *,
        kind: str = "row",
        components: int | None = None,
        kernel_size: int = 3,
        first_kernel_size: int = 7,
    ) -> None:
        super().__init__(shape, pixel_head(levels, components))
        groups = colour_groups(self.event_shape, self.head)
        check_count(layers, "layers", maximum=MOST_PARTS)
        check_kernel_sizes(kernel_size=kernel_size, first_kernel_size=first_kernel_size)
        check_choice(kind, ("row", "diagonal"), "kind")
        channels = check_channels(channels, 2 * groups, default=32)
        colours = self.event_shape[0]
        first = MaskedConv2d(colours, channels, first_kernel_size, "A", groups)
        layer = _RowLSTM if kind == "row" else _DiagonalLSTM
        blocks = (layer(channels, kernel_size, groups) for _ in range(layers))
        self.network = MaskedNetwork(first, blocks, self.head.channels(colours), groups)


class _RowLSTM(nn.Module):
    """x plus an LSTM that goes down the rows."""

    def __init__(self, channels: int, size: int, groups: int) -> None:
        super().__init__()
        self.groups, hidden = groups, channels // 2
        self.input = HorizontalConv2d(channels, 4 * hidden, size, "B", groups)
        self.state = nn.Conv1d(hidden, 4 * hidden, size, padding="same")
        self.out = MaskedConv2d(hidden, channels, 1, "B", groups)

    def forward(self, x: Tensor, cache: Cache | None) -> Tensor:
        gates = self.input(x, cache)
        h = self._rows(gates) if cache is None else self._place(gates, cache)
        return x + self.out(h, cache)

    def _rows(self, gates: Tensor) -> Tensor:
        rows = []
        h = c = gates.new_zeros(len(gates), self.out.in_channels, gates.shape[-1])
        for row in gates.unbind(2):
            h, c = _lstm(row + self.state(h), c, self.groups)
            rows.append(h)
        return torch.stack(rows, 2)

    def _place(self, gates: Tensor, cache: Cache) -> Tensor:
        shape = 2, len(gates), self.out.in_channels, cache.width
        newest = cache.state(self, lambda: gates.new_zeros(shape))  # h and c of each column

        def from_above(_: Cache) -> tuple[Tensor, Tensor]:
            return self.state(newest[0]), newest[1].clone()

        above, c = (part[..., cache.columns] for part in cache.per_row(self, from_above))
        h, c = _lstm(gates[:, :, 0] + above, c, self.groups)
        newest[..., cache.columns] = torch.stack([h, c])
        return h.unsqueeze(2)


class _DiagonalLSTM(nn.Module):
    """x plus two LSTMs that go along the diagonals, from the left and from the right.

    The one from the right is taken a row later: at the current pixel its own row is not known yet.
    """

    def __init__(self, channels: int, size: int, groups: int) -> None:
        super().__init__()
        hidden = channels // 2
        self.left = _Diagonals(MaskedConv2d(channels, 4 * hidden, 1, "B", groups), groups)
        self.right = _Diagonals(PointConv2d(channels, 4 * hidden), groups)
        self.out = MaskedConv2d(hidden, channels, 1, "B", groups)

    def forward(self, x: Tensor, cache: Cache | None) -> Tensor:
        if cache is None:
            right = F.pad(self.right(x.flip(3)).flip(3), (0, 0, 1, -1))
            h = self.left(x) + right
        else:
            h = self._place(x, cache)
        return x + self.out(h, cache)

    def _place(self, x: Tensor, cache: Cache) -> Tensor:
        n, hidden, column = len(x), self.out.in_channels, cache.columns.start
        left, right = cache.state(self, lambda: x.new_zeros(2, n, hidden, cache.width))
        inputs = cache.state((self, "inputs"), lambda: x.new_zeros(*x.shape[:2], cache.width))
        beside = cache.state((self, "beside"), lambda: x.new_zeros(2, n, hidden, cache.width + 1))

        def from_above(row: Cache) -> Tensor:
            """States from the left in the row above; those from the right go there as well."""
            if row.row:
                right.copy_(self.right.row(inputs.flip(2), right.flip(2)).flip(2))
            return left.clone()

        above = cache.per_row(self, from_above)[..., column]
        gates = self.left.input(x, cache)[:, :, 0, 0]
        h, c = self.left.step(gates, above, *beside[..., column])
        beside[..., column + 1] = torch.stack([h, c])
        left[..., column], inputs[..., column] = h, x[:, :, 0, 0]
        return (h + right[..., column])[..., None, None]


class _Diagonals(nn.Module):
    """An LSTM whose states come from the left and from above."""

    def __init__(self, input: WindowConv2d, groups: int) -> None:
        super().__init__()
        self.groups, self.hidden = groups, input.out_channels // 4
        self.input = input
        self.state = nn.Conv1d(self.hidden, 4 * self.hidden, 2)

    def forward(self, x: Tensor) -> Tensor:
        """States of whole images, a diagonal a step: skewed, it is a column."""
        rows, columns = x.shape[2:]
        gates = skew(self.input(x))
        inside = skew(x.new_ones(rows, columns)).unbind(1)
        h = c = x.new_zeros(len(x), self.hidden, rows)
        diagonals = []
        for diagonal, mask in zip(gates.unbind(3), inside, strict=True):
            h, c = _lstm(diagonal + self.state(F.pad(h, (1, 0))), c, self.groups)
            h, c = h * mask, c * mask  # states beyond the border stay zero
            diagonals.append(h)
        return unskew(torch.stack(diagonals, 3))

    def row(self, x: Tensor, above: Tensor) -> Tensor:
        """States of one row (N, C, W), from those of the row above."""
        gates = self.input(x.unsqueeze(2))[:, :, 0]
        h = c = torch.zeros_like(above[..., 0])
        states = []
        for column in range(x.shape[-1]):
            h, c = self.step(gates[..., column], above[..., column], h, c)
            states.append(h)
        return torch.stack(states, -1)

    def step(self, gates: Tensor, above: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """State of one place, from that above and those to the left."""
        return _lstm(gates + self.state(torch.stack([above, h], -1))[..., 0], c, self.groups)


def _lstm(gates: Tensor, c: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """States h and c after one step, (N, hidden, ...); each group of channels has its own gates."""
    out, forget, take, new = gates.unflatten(1, (groups, 4, -1)).unbind(2)
    kept = forget.sigmoid().flatten(1, 2) * c
    c = kept + (take.sigmoid() * new.tanh()).flatten(1, 2)
    return out.sigmoid().flatten(1, 2) * c.tanh(), c


def skew(x: Tensor) -> Tensor:
    """Shift row r of (..., H, W) to the right by r: (..., H, W + H − 1), zeros elsewhere."""
    rows, columns = x.shape[-2:]
    wide = F.pad(x, (0, rows)).flatten(-2)[..., : rows * (columns + rows - 1)]
    return wide.unflatten(-1, (rows, columns + rows - 1))


def unskew(x: Tensor) -> Tensor:
    """Undo `skew`."""
    rows, wide = x.shape[-2:]
    columns = wide - rows + 1
    return F.pad(x.flatten(-2), (0, rows)).unflatten(-1, (rows, wide + 1))[..., :columns]
