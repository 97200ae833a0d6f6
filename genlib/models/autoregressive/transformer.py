"""A causal transformer over characters or pixels: the whole past in view.

Sources: the chapter on autoregressive models of document H; Vaswani et al. (2017), "Attention is
all you need"; Radford et al. (2019), "Language models are unsupervised multitask learners", whose
layout this is: normalisation before each part of a layer, and once more at the end.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.core.validation import check_count
from genlib.models.autoregressive.base import MOST_PARTS
from genlib.models.autoregressive.sequence import SequenceModel


class CausalTransformer(SequenceModel):
    """Decoder-only transformer: each symbol is predicted from all before it, weighted by attention.

    A log mass over rows of ``length`` symbols 0 … ``states`` − 1, in reading order. Position i
    holds the symbol before x_i (position 0 the start symbol) as the sum of its embedding and a
    learned vector of the position, which begins as `sinusoids`. In every layer a position makes a
    query, a key and a value of its vector in each of ``heads`` heads, and adds a mixture of values,
    its own and earlier ones::

        a_ij = softmax_{j ≤ i}(q_i · k_j / √d),    h_i ← h_i + W Σ_j a_ij v_j,    d = width / heads

    and then the output of a network of one hidden layer (4 · width units, GELU) of its own vector.
    Both parts read normalised vectors; the logits of x_i are linear in the last one, normalised.

    Keys and values of a position never change once it has been read. Sampling keeps them: a new
    symbol costs one position in each layer, not the whole row.

    Parameters
    ----------
    length : int
        Symbols in an event, and rows of the positional table.
    states : int
        Values of a symbol: 2 for binary pixels, 256 for grey levels (given as 0 … 255), the size of
        the alphabet for characters.
    width : int
        Size of a position's vector, a multiple of ``heads``.
    heads, layers : int

    Raises
    ------
    ValueError
        From any query, when ``x`` is longer than the positional table.

    Notes
    -----
    ``conditionals`` gives logits, shape (N, length, states); ``encode`` the mean over all positions
    of the normalised last vectors, shape (N, width), as Chen et al. (2020), "Generative pretraining
    from pixels", read such a model. They have seen all symbols but the last one, which no position
    holds.

    Examples
    --------
    >>> CausalTransformer(length=64, states=97).free_parameters
    116769
    """

    def __init__(
        self, length: int, states: int = 2, width: int = 64, heads: int = 4, layers: int = 2
    ) -> None:
        check_count(width, "width")
        check_count(heads, "heads")
        check_count(layers, "layers", maximum=MOST_PARTS)
        if width % heads:
            raise ValueError(f"heads: expected a divisor of width, {width}, got {heads}.")
        super().__init__(length, states, embedding=width, features=width)
        self.position = nn.Parameter(sinusoids(length, width))
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def check(self, x: Tensor, name: str = "x") -> None:
        """Raise unless ``x`` is a batch of events of this model, no longer than its table."""
        length = len(self.position)
        if isinstance(x, Tensor) and x.dim() == 2 and x.shape[1] > length:
            raise ValueError(
                f"{name}: expected rows of {length} symbols, got {x.shape[1]}, and the positional "
                f"table ends at {length}; cut them into windows of {length}, or make the model "
                f"with length={x.shape[1]}."
            )
        super().check(x, name)

    def attention(self, x: Tensor) -> Tensor:
        """The weights a_ij with which each position mixes the values of those before it.

        Returns
        -------
        Tensor, shape (N, layers, heads, length, length)
            Entry (i, j) of a head is the weight of position j when x_i is predicted: of the start
            symbol for j = 0, of x_{j−1} for others. Rows sum to one; entries j > i are zero.
        """
        self.check(x)
        h, weights = self._embed(self._symbols(x)[:, :-1], 0), []
        for block in self.blocks:
            weights.append(block.attention.weights(block.norm_1(h)))
            h = block(h)
        return torch.stack(weights, 1)

    def _encode(self, x: Tensor) -> Tensor:
        features, _ = self._read(self._symbols(x)[:, :-1])
        return features.mean(1).to(x.dtype)

    def _read(
        self, symbols: Tensor, state: list[_KeyValueCache] | None = None
    ) -> tuple[Tensor, list[_KeyValueCache] | None]:
        """With a cache: the first symbols all at once, later ones one at a time."""
        h = self._embed(symbols, state[0].length if state else 0)
        for block, cache in zip(self.blocks, state or [None] * len(self.blocks), strict=True):
            h = block(h, cache)
        return self.norm(h), state

    def _embed(self, symbols: Tensor, first: int) -> Tensor:
        return self.embedding(symbols) + self.position[first : first + symbols.shape[1]]

    def _initial_state(self, n: int) -> list[_KeyValueCache]:
        length, width = self.position.shape
        heads = self.blocks[0].attention.heads
        shape = (2, n, heads, length, width // heads)
        return [_KeyValueCache(self.position.new_empty(shape)) for _ in self.blocks]


def sinusoids(length: int, width: int) -> Tensor:
    """Sines and cosines of the position at geometrically spaced frequencies, (length, width).

    A step to the left is a rotation, the same at every place: attention finds "the symbol before
    this one" sooner than from random vectors.
    """
    frequencies = 10_000 ** -torch.linspace(0, 1, (width + 1) // 2 + 1)[:-1]
    angles = torch.arange(length)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1)[:, :width].contiguous()


class _KeyValueCache:
    """Keys and values of the positions that a layer has read, with room for those to come."""

    def __init__(self, room: Tensor) -> None:
        self.room = room
        self.length = 0

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Put in those of new positions, (N, heads, k, d); return all so far."""
        start, self.length = self.length, self.length + key.shape[2]
        for room, new in zip(self.room, (key, value), strict=True):
            room[:, :, start : self.length] = new
        return tuple(self.room[:, :, :, : self.length])


class _Block(nn.Module):
    """One layer: attention, then a network at each position, each added to what it read."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(width)
        self.attention = _Attention(width, heads)
        self.norm_2 = nn.LayerNorm(width)
        self.network = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, h: Tensor, cache: _KeyValueCache | None = None) -> Tensor:
        h = h + self.attention(self.norm_1(h), cache)
        return h + self.network(self.norm_2(h))


class _Attention(nn.Module):
    """Causal attention in several heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, h: Tensor, cache: _KeyValueCache | None = None) -> Tensor:
        query, key, value = self._split(h)
        if cache is not None:
            key, value = cache.extend(key, value)
        # A single new position may see everything there is; a mask is for several.
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=query.shape[2] > 1)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def weights(self, h: Tensor) -> Tensor:
        """The attention weights alone, written out: (N, heads, L, L)."""
        query, key, _ = self._split(h)
        scores = query @ key.mT / math.sqrt(query.shape[-1])
        future = torch.ones_like(scores, dtype=torch.bool).triu(1)
        return scores.masked_fill(future, -math.inf).softmax(-1)

    def _split(self, h: Tensor) -> Tensor:
        """Queries, keys and values, each (N, heads, L, d)."""
        return self.query_key_value(h).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
