"""Threads that take whole parts of a computation and run torch serially inside.

Torch divides every operation among its threads and waits for all of them, one operation after the
other. A kernel made of a thousand short operations therefore stands still whenever another process
holds one of the cores. Here each thread takes whole parts, and they meet once, at the end.
"""

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Part, Result = TypeVar("Part"), TypeVar("Result")

_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def parallel_map(
    function: Callable[[Part], Result],
    parts: Iterable[Part],
    device: torch.device,
    *,
    serial: bool = False,
) -> list[Result]:
    """``[function(part) for part in parts]`` without autograd, on as many threads as torch uses.

    The parts must be independent of each other. Torch's settings are left as they are. A part that
    is the only one runs where it is called, and torch may divide its operations; with ``serial`` it
    has a thread of its own, where torch does not. Where the tensors lie on another ``device`` than
    the CPU, all runs where it is called: other threads do not know of the caller's stream, and
    libraries that are loaded on first use may not be called first by several at once.
    """
    parts = list(parts)
    threads = min(torch.get_num_threads(), len(parts)) if device.type == "cpu" else 0
    apart = threads > 1 or (serial and threads == 1 < torch.get_num_threads())
    inference = torch.is_inference_mode_enabled()

    def run(part: Part) -> Result:
        with torch.inference_mode(inference), torch.no_grad():
            return function(part)

    return list(_threads(threads).map(run, parts) if apart else map(run, parts))


def _threads(size: int) -> ThreadPoolExecutor:
    with _lock:
        if size not in _pools:
            _pools[size] = _start(size)
        return _pools[size]


def _start(size: int) -> ThreadPoolExecutor:
    """Start threads for which torch's own number of threads is one."""
    pool, all_started, default = ThreadPoolExecutor(size), threading.Barrier(size), []

    def become_serial() -> None:
        default.append(torch.get_num_threads())  # a new thread takes the default when first asked
        all_started.wait()
        torch.set_num_threads(1)

    for future in [pool.submit(become_serial) for _ in range(size)]:
        future.result()
    # Each thread has its own number, but setting it also sets the default of threads to come.
    restorer = threading.Thread(target=torch.set_num_threads, args=(default[0],))
    restorer.start()
    restorer.join()
    return pool


def _forget() -> None:
    global _lock
    _lock = threading.Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):  # a forked child inherits the pools without their threads
    os.register_at_fork(after_in_child=_forget)
