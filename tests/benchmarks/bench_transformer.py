"""Sampling symbol by symbol: the causal transformer with and without its cache, and the LSTM.

Text-like rows over 64 symbols, models of some 100,000 parameters as they are initialised, float32.
All three draw with the same noise; the two transformers are one model, and draw the same rows.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from genlib.models.autoregressive.lstm import LSTM
from genlib.models.autoregressive.sequence import SequenceModel
from genlib.models.autoregressive.transformer import CausalTransformer
from tests.benchmarks.harness import compare, rounded

CACHED, NAIVE, RECURRENT = "genlib", "no cache", "genlib LSTM"
STATES = 64


def run(
    device: str, rounds: int, lengths: tuple[int, ...] = (64, 128, 256, 512), rows: int = 4
) -> dict[str, object]:
    """Measure at each length, print tables, return the record."""
    settings = {
        "rows": rows,
        "states": STATES,
        "dtype": "float32",
        "rounds": rounds,
        "genlib": "CausalTransformer(length, 64), keys and values kept",
        "no cache": "the same model reads the row again from its start for every symbol",
        "genlib LSTM": "LSTM(length, 64, hidden=112)",
        "seconds": "median of a call; every contender is called once a round",
        "milliseconds a symbol": "seconds over the length",
        "times genlib": "seconds over those of genlib",
        "different": "share of the symbols that are not those of genlib",
    }
    return {"settings": settings, "results": [_measure(n, device, rounds, rows) for n in lengths]}


def _measure(length: int, device: str, rounds: int, rows: int) -> dict[str, object]:
    contenders = _contenders(length, device, rows)
    answer = contenders[CACHED]()

    def more(name: str, seconds: float) -> dict[str, object]:
        row = {"milliseconds a symbol": rounded(1e3 * seconds / length, 3)}
        if name == NAIVE:
            row["different"] = (contenders[name]() != answer).float().mean().item()
        return row

    return compare({"task": "sampling", "length": length}, contenders, rounds, device, more)


def _contenders(length: int, device: str, rows: int) -> dict[str, Callable[[], Tensor]]:
    torch.manual_seed(0)
    transformer = CausalTransformer(length, STATES).to(device)
    recurrent = LSTM(length, STATES, hidden=112).to(device)

    def draw(model: SequenceModel, cache: bool) -> Tensor:
        return model.generate(
            None, rows, cache=cache, generator=torch.Generator().manual_seed(length)
        )

    return {
        CACHED: lambda: draw(transformer, True),
        NAIVE: lambda: draw(transformer, False),
        RECURRENT: lambda: draw(recurrent, True),
    }
