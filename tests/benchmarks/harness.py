"""One process, contenders by turns, medians: how every benchmark measures and what it records.

Contenders take turns round by round, so that whatever else the machine does falls on all of them,
and the first round, in which peers compile and allocators grow, is not counted.
"""

import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import torch

from genlib.core.files import write_json
from genlib.core.provenance import machine, versions

T = TypeVar("T")

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "triton", "numpy", "scikit-learn", "pykeops")


def measure(
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    device: str,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each contender's calls, ``rounds`` of them, by turns, after one uncounted."""
    seconds = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, call in contenders.items():
            _synchronise(device)
            start = clock()
            call()
            _synchronise(device)
            if turn:
                seconds[name].append(clock() - start)
    return seconds


def compare(
    case: Mapping[str, object],
    contenders: Mapping[str, Callable[[], object]],
    rounds: int,
    device: str,
    more: Callable[[str, float], Mapping[str, object]],
) -> dict[str, object]:
    """Measure contenders by turns, the first being genlib's; print a table; return the record.

    ``case`` says what they do, and ``more(name, seconds)`` what else is to be told of each.
    """
    seconds = measure(contenders, rounds, device)
    ours, found = median(next(iter(seconds.values()))), {}
    for name, taken in seconds.items():
        row = {"seconds": median(taken), "times genlib": rounded(median(taken) / ours, 3)}
        found[name] = row | more(name, row["seconds"])
    columns = dict.fromkeys(column for row in found.values() for column in row)
    rows = [
        {**case, "contender": name} | {column: row.get(column) for column in columns}
        for name, row in found.items()
    ]
    print(table(rows) + "\n")
    for name, row in found.items():
        row["all seconds"] = [rounded(value, 4) for value in seconds[name]]
    return {**case, "contenders": found}


def peak_memory(call: Callable[[], object], device: str) -> float | None:
    """Most megabytes that one call adds to what is in use; None where the system does not tell."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return round((torch.cuda.max_memory_allocated() - before) / 1e6, 1)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, the high-water mark
    except OSError:
        return None
    before = _status("VmRSS")
    call()
    return round((_status("VmHWM") - before) / 1e3, 1)


def in_fresh_process(function: Callable[..., T], *arguments: object) -> T:
    """``function(*arguments)``, where no earlier call has left memory behind."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def memory_of(peak: Callable[..., T], *arguments: object, device: str) -> T:
    """``peak(*arguments)``: on a CPU in a fresh process, while torch keeps the account of a GPU's
    memory call by call.
    """
    return peak(*arguments) if device == "cuda" else in_fresh_process(peak, *arguments)


def record(
    benchmark: str, device: str, results: Mapping[str, object], folder: Path = RESULTS
) -> Path:
    """Write ``<benchmark>-<device>.json``, whole or not at all."""
    path = folder / f"{benchmark}-{device}.json"
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "benchmark": benchmark,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(device),
        "versions": versions(PACKAGES),
        **results,
    }
    write_json(path, content)
    return path


def median(seconds: list[float]) -> float:
    """Median, to the four digits at most that a benchmark repeats to."""
    return rounded(statistics.median(seconds), 4)


def rounded(value: float, digits: int) -> float:
    """``value`` to so many significant digits."""
    return float(f"{value:.{digits}g}")


def table(rows: list[dict[str, object]]) -> str:
    """Rows as aligned text, the keys of the first as its header."""
    lines = [list(rows[0])] + [[_cell(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _status(field: str) -> int:
    """A field of this process's status, in kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))
