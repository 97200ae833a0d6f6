"""What the models of lesson 06 share: symbols read from left to right, with a cache.

Source: the chapter on autoregressive models of document H.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from genlib.core.discrete import state_space
from genlib.core.random import categorical, uniform
from genlib.core.validation import check_count, check_event, check_flag, check_positive
from genlib.models.autoregressive.base import Autoregressive


class SequenceModel(Autoregressive, abstract=True):
    """p(x) = Π_i p(x_i | x_<i) over rows of symbols, by one network that reads from left to right.

    The network reads a start symbol and then the row, and what it has made of all symbols so far
    gives the logits of the next: a categorical distribution, whose softmax is taken over the last
    dimension of ``conditionals(x)``, shape (N, length, states).

    A subclass writes ``_read(symbols, state)``, the features after each of ``symbols`` and the
    state after everything read, and ``_initial_state`` where that is not ``None``.

    Attributes
    ----------
    states : int
        Number of values of a symbol.
    embedding : nn.Embedding
        A vector for each value; the last row, number ``states``, is the start symbol's.
    head : nn.Linear
        From features to logits.
    """

    lesson = "06_sequence_models"

    def __init__(self, length: int, states: int, embedding: int, features: int) -> None:
        check_count(length, "length")
        check_count(states, "states", minimum=2)
        super().__init__(length)
        self.states = states
        self.support = state_space([states] * length)
        self.embedding = nn.Embedding(states + 1, embedding)
        self.head = nn.Linear(features, states)

    @torch.no_grad()
    def generate(
        self,
        prompt: Tensor | None,
        n: int,
        temperature: float = 1.0,
        *,
        cache: bool = True,
        generator: Generator | None = None,
    ) -> Tensor:
        """Draw ``n`` rows that begin with ``prompt``, at a temperature.

        Each symbol is drawn from softmax(logits / temperature). At temperature 1 that is p(rest |
        prompt), what ``complete`` draws from. At any other the rows no longer follow p: below 1 the
        likely symbols come more often than p says, above 1 less often.

        Parameters
        ----------
        prompt : Tensor, shape (k,), or None
            The first k ≤ length symbols of every row.
        n : int
        temperature : float
        cache : bool
            Keep the state after what has been read. Without it the row is read again from its start
            for every symbol: the same numbers, at a cost that grows with the length.
        generator : torch.Generator, optional

        Returns
        -------
        Tensor, shape (n, length)
        """
        check_count(n)
        check_positive(temperature, "temperature")
        check_flag(cache, "cache")
        x = torch.zeros(n, *self.event_shape, dtype=self.dtype, device=self.device)
        known = torch.zeros_like(x, dtype=torch.bool)
        if prompt is not None:
            self._check_prompt(prompt)
            x[:, : len(prompt)] = prompt
            known[:, : len(prompt)] = True
        return self._fill(x, known, generator, temperature, cache)

    def _check_prompt(self, prompt: Tensor) -> None:
        symbol = state_space([self.states])
        check_event(prompt, None, symbol, dtype=self.dtype, device=self.device, name="prompt")
        if prompt.dim() != 1 or len(prompt) > self.event_shape.numel():
            raise ValueError(
                f"prompt: expected one row of at most {self.event_shape.numel()} symbols, the "
                f"model's length, got shape {tuple(prompt.shape)}."
            )

    def _conditionals(self, x: Tensor) -> Tensor:
        features, _ = self._read(self._symbols(x)[:, :-1])
        return self.head(features).to(x.dtype)

    def _log_conditionals(self, x: Tensor) -> Tensor:
        logits = self._conditionals(x)
        return -F.cross_entropy(logits.flatten(0, 1), x.flatten().long(), reduction="none").view(
            x.shape
        )

    def _fill(
        self,
        x: Tensor,
        known: Tensor,
        generator: Generator | None,
        temperature: float = 1.0,
        cache: bool = True,
    ) -> Tensor:
        u = uniform(x.shape, x, generator)
        symbols = self._symbols(x)
        state, read = self._initial_state(len(x)) if cache else None, 0
        # What all rows know at the beginning is read at one go.
        first = int(known.all(0).long().cumprod(0).sum())
        partly = known.any(0).tolist()
        for i in range(first, x.shape[1]):
            features, after = self._read(symbols[:, read : i + 1], state)
            if cache:
                state, read = after, i + 1
            weights = _softmax(self.head(features[:, -1]), temperature)
            drawn = categorical(weights.to(u), u[:, i])
            symbols[:, i + 1] = drawn.where(~known[:, i], symbols[:, i + 1]) if partly[i] else drawn
        return symbols[:, 1:].to(x)

    def _symbols(self, x: Tensor) -> Tensor:
        """Rows of ``x`` as integers, with the start symbol in front: (N, 1 + length)."""
        return F.pad(x.long(), (1, 0), value=self.states)

    def _read(self, symbols: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Features after each of ``symbols``, (N, k, features), and the state to go on from."""
        raise NotImplementedError

    def _initial_state(self, n: int) -> Any:
        """State of ``n`` rows of which nothing has been read."""
        return None


def _softmax(logits: Tensor, temperature: float) -> Tensor:
    """softmax(logits / temperature), over the last dimension, at any temperature above zero."""
    # Below the largest, and in float64, no quotient is an infinity less an infinity.
    below = logits.double() - logits.amax(-1, keepdim=True)
    return (below / temperature).softmax(-1)
