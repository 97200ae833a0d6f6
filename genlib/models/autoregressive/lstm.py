"""A recurrent network over characters or pixels: the past in one vector.

Sources: the chapter on autoregressive models of document H; Hochreiter and Schmidhuber (1997),
"Long short-term memory"; Gers, Schmidhuber and Cummins (2000), "Learning to forget".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genlib.core.validation import check_count
from genlib.models.autoregressive.base import MOST_PARTS
from genlib.models.autoregressive.sequence import SequenceModel

State = tuple[Tensor, Tensor]


class LSTM(SequenceModel):
    """Long short-term memory over sequences of symbols: p(x) = Π_i p(x_i | h_i).

    A log mass over rows of ``length`` symbols 0 … ``states`` − 1, in reading order. With e_i the
    embedding of the symbol before x_i (of the start symbol for the first), one layer computes::

        i, f, o = σ(W e_i + U h_{i−1} + b)         (input, forget and output gates)
        g = tanh(W_g e_i + U_g h_{i−1} + b_g)
        c_i = f c_{i−1} + i g,    h_i = o tanh(c_i)

    and the logits of x_i are linear in h_i. All steps share their weights, so the number of
    parameters does not depend on the length, and weights trained at one length serve at another.
    Steps follow one another, in training too. Whatever the network knows of the past is in (h, c).

    Parameters
    ----------
    length : int
        Symbols in an event.
    states : int
        Values of a symbol: 2 for binary pixels, 256 for grey levels (given as 0 … 255), the size of
        the alphabet for characters.
    hidden : int
        Size of h and of c, in each layer.
    layers : int
        Recurrent layers, each reading the h of the one below.
    embedding : int, optional
        Size of e; by default one for each symbol and the start, which restricts nothing, but no
        more than ``hidden``.

    Notes
    -----
    ``conditionals`` gives logits, shape (N, length, states); ``encode`` the last layer's h after
    the last symbol, shape (N, hidden). Forget gates start open, with 1 added to their bias, so that
    gradients reach back from the first step on.

    Examples
    --------
    >>> LSTM(length=784).free_parameters == LSTM(length=10).free_parameters == 68363
    True
    """

    def __init__(
        self,
        length: int,
        states: int = 2,
        hidden: int = 128,
        layers: int = 1,
        embedding: int | None = None,
    ) -> None:
        check_count(states, "states", minimum=2)
        check_count(hidden, "hidden")
        check_count(layers, "layers", maximum=MOST_PARTS)
        embedding = min(states + 1, hidden) if embedding is None else embedding
        check_count(embedding, "embedding")
        super().__init__(length, states, embedding, features=hidden)
        self.lstm = nn.LSTM(embedding, hidden, layers, batch_first=True)
        for layer in range(layers):
            _, forget, _, _ = getattr(self.lstm, f"bias_ih_l{layer}").data.chunk(4)
            forget += 1

    def _encode(self, x: Tensor) -> Tensor:
        _, (h, _) = self._read(self._symbols(x))
        return h[-1].to(x.dtype)

    def _read(self, symbols: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        # In bfloat16 oneDNN's LSTM needs AVX-512: on a processor it stays in the weights' dtype.
        with torch.autocast("cpu", enabled=False):
            return self.lstm(self.embedding(symbols), state)
