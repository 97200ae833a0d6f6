"""Plays notebooks that nobody has read: the part of the grader that runs inside the sandbox.

A player serves notebooks one after another: a `Job` comes in on the standard input, an `Outcome`
for each of its cells goes out. It imports genlib once and forks a `stage` for each notebook, so a
notebook starts in milliseconds and leaves nothing behind in memory.

The stage runs one cell at a time and is watched from here. When a cell ends the stage, or has to be
ended because it takes too long or too much, only that cell is lost: a new stage plays the cells
before it again, and the notebook goes on with the next. An endless loop in one exercise thus costs
that exercise and no other. At the end everything that the notebook started is killed.

Needs ``fork``, so Linux or macOS; daemons that a notebook leaves are found on Linux only.
"""

import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import TextIO

import psutil

from tools.coursework import stage
from tools.coursework.records import PATIENCE, READY, Cell, Job, Outcome

TICK = 0.1  # seconds between two looks at a stage
START_SECONDS = 30
END_SECONDS = 10
REPORT_BYTES = 100_000  # that a stage may say about one cell
PROCESSES = 64
UNSTOPPABLE = 72  # exit status of a player that cannot end what a notebook started
PR_SET_CHILD_SUBREAPER = 36

Streams = tuple[TextIO, TextIO]


def main() -> None:
    """Play the jobs that come in until no more come."""
    requests, replies = claim_streams()
    if sys.platform == "linux":  # orphans become the player's children, so it can find them
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # not without ending the stage
    shell = stage.shell()
    print(READY, file=replies, flush=True)
    for line in requests:
        for outcome in play(Job.parse(line), shell, private=(requests, replies)):
            print(json.dumps(asdict(outcome)), file=replies, flush=True)


def claim_streams() -> Streams:
    """Move the player's streams away from 0 and 1, where notebooks look for theirs."""
    requests, replies = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    return requests, replies


def play(job: Job, shell: stage.Shell, private: Streams) -> Iterator[Outcome]:
    """Yield the outcome of each cell of a notebook."""
    budget = Budget(job.limits.seconds)
    current = Stage(job, shell, private)
    survived: list[Cell] = []
    try:
        for cell in job.cells:
            if budget.is_spent():
                yield Outcome("skipped")
                continue
            yield current.play(cell, budget)
            if current.alive:
                survived.append(cell)
            while not current.alive and not budget.is_spent():
                current = Stage(job, shell, private)
                survived = [again for again in survived if current.replay(again, budget)]
    finally:
        current.end()


class Budget:
    """Processor time, and `PATIENCE` times as long on the clock, counted from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.used = 0.0
        self.start = time.monotonic()

    def left(self) -> float:
        """Processor time that is left."""
        return self.seconds - self.used

    def is_spent(self) -> bool:
        """Whether either time is over."""
        return self.left() <= 0 or time.monotonic() - self.start > PATIENCE * self.seconds


class Stage:
    """A process in which cells are played, as the player sees it."""

    def __init__(self, job: Job, shell: stage.Shell, private: Streams) -> None:
        self.limits = job.limits
        self.alive = True
        self.looked = time.monotonic()
        self.channel, inside = socket.socketpair()
        self.printed, paper = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            for stream in (self.channel, *private):
                os.close(stream.fileno())
            os.close(self.printed)
            stage.perform(job, shell, inside, paper)
        inside.close()
        os.close(paper)
        os.set_blocking(self.printed, False)
        self._await_ready()

    def _await_ready(self) -> None:
        """Wait until the stage is set up. That it cannot be is no fault of the notebook's."""
        self.channel.settimeout(START_SECONDS)
        if self.channel.recv(REPORT_BYTES) != READY.encode():
            output = Output(self.printed, keep=REPORT_BYTES)
            output.read()
            self.end()
            raise RuntimeError("a notebook could not be started:\n" + output.text())

    def replay(self, cell: Cell, budget: Budget) -> bool:
        """Play a cell again if the stage is there. Whether it is there afterwards."""
        if self.alive:
            self.play(cell, budget)
        return self.alive

    def play(self, cell: Cell, budget: Budget) -> Outcome:
        """Play one cell: wait until it ends or has to be ended."""
        output = Output(self.printed, self.limits.characters)
        report = self._watch(cell, budget, output)
        output.read()
        outcome = Outcome(**report, output=output.text(), printed=output.size)
        if not outcome.ended:
            self.end()
        return outcome

    def _watch(self, cell: Cell, budget: Budget, output: "Output") -> dict[str, str]:
        """What the stage says of the cell, or what is to be said of the stage."""
        already, spent = seconds_used(offspring()), budget.used
        allowed = Budget(min(self.limits.cell_seconds, budget.left()))
        received = b""
        with suppress(OSError):  # the stage is gone: noticed below
            self.channel.sendall(json.dumps(asdict(cell)).encode() + b"\n")
        while True:
            select.select([self.channel, *output.pipes()], [], [], TICK)
            processes = offspring()
            allowed.used = seconds_used(processes) - already
            budget.used = spent + allowed.used
            output.read()
            received += self._received()
            if received.endswith(b"\n"):
                return checked_report(received)
            if (status := self._exit_status()) is not None:
                return obituary(status)
            if len(received) > REPORT_BYTES:
                return died("It wrote where only the grader writes.")
            if len(processes) > PROCESSES:
                return died(f"It started more than {PROCESSES} processes.")
            if self._may_look() and bytes_held(processes) > self.limits.memory:
                return {"status": "memory"}
            if allowed.is_spent() or budget.is_spent():
                return {"status": "time"}

    def _received(self) -> bytes:
        """What the stage has sent by now."""
        with suppress(OSError):
            if select.select([self.channel], [], [], 0)[0]:
                return self.channel.recv(REPORT_BYTES)
        return b""

    def _exit_status(self) -> int | None:
        """How the stage's process ended: minus the signal, or the exit status. None if it lives."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def _may_look(self) -> bool:
        """Whether it is time again to look at the memory, which is slow."""
        now = time.monotonic()
        if now - self.looked < TICK:
            return False
        self.looked = now
        return True

    def end(self) -> None:
        """Kill the stage and everything that it started."""
        if not self.alive:
            return
        self.alive = False
        deadline = time.monotonic() + END_SECONDS
        while processes := offspring():
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if time.monotonic() > deadline:
                sys.exit(UNSTOPPABLE)
            time.sleep(0.001)
        self.channel.close()
        os.close(self.printed)


class Output:
    """What a cell prints: the beginning is kept, the rest read, counted and forgotten."""

    def __init__(self, pipe: int, keep: int) -> None:
        self.pipe = pipe
        self.keep = keep
        self.kept = b""
        self.size = 0
        self.is_open = True

    def pipes(self) -> list[int]:
        """What to wait for."""
        return [self.pipe] if self.is_open else []

    def read(self) -> None:
        """Take what there is, if it is not too much at once."""
        with suppress(BlockingIOError):
            for _ in range(16):
                chunk = os.read(self.pipe, 2**16)
                self.is_open = bool(chunk)
                self.kept += chunk[: self.keep - len(self.kept)]
                self.size += len(chunk)

    def text(self) -> str:
        """The beginning."""
        return self.kept.decode(errors="replace")


def offspring() -> list[psutil.Process]:
    """All processes of the notebook."""
    return psutil.Process().children(recursive=True)


def seconds_used(processes: list[psutil.Process]) -> float:
    """Processor time of processes, and of those children of theirs that have ended."""
    seconds = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            seconds += sum(process.cpu_times()[:4])
    return seconds


def bytes_held(processes: list[psutil.Process]) -> int:
    """Memory of processes; what several share is counted once, where the system can tell."""
    held = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            memory = process.memory_full_info()
            held += getattr(memory, "pss", memory.uss)
    return held


def checked_report(received: bytes) -> dict[str, str]:
    """A stage's report, which may come from anybody in there, in the form of an `Outcome`."""
    try:
        report = json.loads(received)
        return {name: str(report[name]) for name in ("status", "error", "message", "place")}
    except (ValueError, KeyError, TypeError):
        return died("It wrote where only the grader writes.")


def obituary(status: int) -> dict[str, str]:
    """How a stage ended, in the form of an `Outcome`."""
    if status == stage.OUT_OF_MEMORY:
        return {"status": "memory"}
    if status < 0:
        return died(f"Signal {signal.Signals(-status).name} ended it.")
    return died(f"It ended itself with exit status {status}.")


def died(message: str) -> dict[str, str]:
    return {"status": "died", "message": message}


if __name__ == "__main__":
    main()
