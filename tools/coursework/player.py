"""Plays notebooks that nobody has read: the part of the grader that runs inside the sandbox.

A player serves notebooks one after another, as JSON lines: a `Job` comes in on the standard input,
an `Outcome` for each of its cells goes out. It imports genlib once and forks a *stage* for each
notebook, so a notebook starts in milliseconds and leaves nothing behind in memory.

The stage runs one cell at a time and is watched from outside. When a cell ends the stage, or has to
be ended because it takes too long or too much, only that cell is lost: a new stage plays the cells
before it again, and the notebook goes on with the next. An endless loop in one exercise thus costs
that exercise and no other. At the end everything that the notebook started is killed.

Needs ``fork``, so Linux or macOS; daemons that a notebook leaves are found on Linux only.
"""

import ctypes
import json
import os
import resource
import select
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, NoReturn, TextIO

import psutil
from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

TICK = 0.1  # seconds between two looks at a stage
PATIENCE = 3  # seconds on the clock that a second of processor time may take
START_SECONDS = 30
END_SECONDS = 10
MESSAGE = 2_000  # characters kept of an error's message
REPORT = 100_000  # bytes that a stage may say about one cell
PROCESSES = 64
FILE_BYTES = 256 * 2**20
OUT_OF_MEMORY = 71  # exit status of a stage that lacks the memory to say so
UNSTOPPABLE = 72  # exit status of a player that cannot end what a notebook started
READY = b"ready"
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # of Linux's prctl


@dataclass(frozen=True)
class Limits:
    """What one notebook may use.

    Times are processor time, which does not depend on what else the machine is doing; a sleeper is
    stopped after `PATIENCE` times as long on the clock. Memory is what all processes of the
    notebook hold beyond the course's libraries.
    """

    seconds: float = 60.0
    cell_seconds: float = 10.0
    gibibytes: float = 2.0
    characters: int = 10_000  # kept of what a cell prints

    @property
    def memory(self) -> int:
        """In bytes."""
        return int(self.gibibytes * 2**30)


@dataclass(frozen=True)
class Cell:
    """Code to run. Before a check, what locked cells have defined is put back."""

    name: str
    source: str
    locked: bool = False
    check: bool = False


@dataclass(frozen=True)
class Job:
    """A notebook to play in ``folder``, as the user of this number if there is one."""

    cells: list[Cell]
    folder: str
    seed: int
    limits: Limits = field(default_factory=Limits)
    user: int | None = None

    @classmethod
    def parse(cls, line: str) -> "Job":
        """Read what `line` wrote."""
        record = json.loads(line)
        cells = [Cell(**cell) for cell in record.pop("cells")]
        return cls(cells=cells, limits=Limits(**record.pop("limits")), **record)

    def line(self) -> str:
        """The job as a line of JSON."""
        return json.dumps(asdict(self)) + "\n"


@dataclass(frozen=True)
class Outcome:
    """What became of one cell.

    ``status`` is ``passed``, ``raised`` (an exception, with ``error`` its name), ``died``,
    ``time``, ``memory``, or ``skipped`` when the notebook's time was over. ``place`` is the last
    line of the student's own code that an exception came through. ``output`` is the beginning of
    what the cell printed, ``printed`` how many bytes it was in all.
    """

    status: str
    error: str = ""
    message: str = ""
    place: str = ""
    output: str = ""
    printed: int = 0


# The player, which never runs what a student wrote


def main() -> None:
    """Play the jobs that come in until no more come."""
    requests, replies = claim_streams()
    prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans become the player's children, so it can find them
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # not without ending the stage
    shell = prepared_shell()
    print(READY.decode(), file=replies, flush=True)
    for line in requests:
        for outcome in play(Job.parse(line), shell, private=(requests, replies)):
            print(json.dumps(asdict(outcome)), file=replies, flush=True)


def prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def claim_streams() -> tuple[TextIO, TextIO]:
    """Move the player's streams away from 0 and 1, where notebooks look for theirs."""
    requests, replies = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    return requests, replies


def prepared_shell() -> "Shell":
    """A shell for the stages to inherit, with the course's libraries in memory."""
    # Here once, not in every stage: they take seconds. torch needs its compiler for the first call
    # of a custom operator.
    import torch._dynamo  # noqa: F401

    import genlib  # noqa: F401

    sys.path[0] = ""  # the notebook's folder instead of the repository, where the solutions are
    return Shell.instance(config=Config(HistoryManager={"enabled": False}))


def play(job: Job, shell: "Shell", private: tuple[TextIO, ...]) -> Iterator[Outcome]:
    """Yield the outcome of each cell of a notebook."""
    budget = Budget(job.limits.seconds)
    stage = Stage(job, shell, private)
    survived: list[Cell] = []
    try:
        for cell in job.cells:
            if budget.is_spent():
                yield Outcome("skipped")
                continue
            yield stage.play(cell, budget)
            if stage.alive:
                survived.append(cell)
            while not stage.alive and not budget.is_spent():
                stage = Stage(job, shell, private)
                survived = [again for again in survived if stage.replay(again, budget)]
    finally:
        stage.end()


class Budget:
    """Processor time, and as many times more on the clock, counted from now."""

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

    def __init__(self, job: Job, shell: "Shell", private: tuple[TextIO, ...]) -> None:
        self.limits = job.limits
        self.libraries = psutil.Process().memory_info().rss
        self.alive = True
        self.channel, inside = socket.socketpair()
        self.printed, paper = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            for stream in (self.channel, *private):
                os.close(stream.fileno())
            os.close(self.printed)
            perform(job, shell, inside, paper)
        inside.close()
        os.close(paper)
        os.set_blocking(self.printed, False)
        self._await_ready()

    def _await_ready(self) -> None:
        """Wait until the stage is set up. That it cannot be is no fault of the notebook's."""
        self.channel.settimeout(START_SECONDS)
        if self.channel.recv(len(READY)) != READY:
            output = Output(self.printed, keep=MESSAGE)
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
        if report["status"] not in ("passed", "raised"):
            self.end()
        return Outcome(**report, output=output.text(), printed=output.size)

    def _watch(self, cell: Cell, budget: Budget, output: "Output") -> dict[str, str]:
        """What the stage says of the cell, or what is to be said of the stage."""
        already, spent = self._usage()[0], budget.used
        allowed = Budget(min(self.limits.cell_seconds, budget.left()))
        received = b""
        with suppress(OSError):  # the stage is gone: noticed below
            self.channel.sendall(json.dumps(asdict(cell)).encode() + b"\n")
        while True:
            select.select([self.channel, *output.pipes()], [], [], TICK)
            seconds, memory, processes = self._usage()
            allowed.used = seconds - already
            budget.used = spent + allowed.used
            output.read()
            received += self._received()
            if received.endswith(b"\n"):
                return checked_report(received)
            if (status := self._exit_status()) is not None:
                return obituary(status)
            if len(received) > REPORT:
                return {"status": "died", "message": "It wrote where only the grader writes."}
            if processes > PROCESSES:
                return {"status": "died", "message": f"It started more than {PROCESSES} processes."}
            if memory > self.limits.memory:
                return {"status": "memory"}
            if allowed.is_spent() or budget.is_spent():
                return {"status": "time"}

    def _received(self) -> bytes:
        """What the stage has sent by now."""
        with suppress(OSError):
            if select.select([self.channel], [], [], 0)[0]:
                return self.channel.recv(REPORT)
        return b""

    def _exit_status(self) -> int | None:
        """How the stage's process ended: minus the signal, or the exit status. None if it lives."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def _usage(self) -> tuple[float, int, int]:
        """Processor seconds, bytes beyond the libraries, and number of the notebook's processes."""
        seconds, memory = 0.0, 0
        processes = psutil.Process().children(recursive=True)
        for process in processes:
            with suppress(psutil.NoSuchProcess), process.oneshot():
                seconds += sum(process.cpu_times()[:4])  # its own, and of children that it awaited
                memory += max(0, process.memory_info().rss - self.libraries)
        return seconds, memory, len(processes)

    def end(self) -> None:
        """Kill the stage and everything that it started."""
        if not self.alive:
            return
        self.alive = False
        deadline = time.monotonic() + END_SECONDS
        while processes := psutil.Process().children(recursive=True):
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


def checked_report(received: bytes) -> dict[str, str]:
    """A stage's report, which may come from anybody in there, in the form of an `Outcome`."""
    try:
        report = json.loads(received)
        return {name: str(report[name]) for name in ("status", "error", "message", "place")}
    except (ValueError, KeyError, TypeError):
        return {"status": "died", "message": "It wrote where only the grader writes."}


def obituary(status: int) -> dict[str, str]:
    """How a stage ended, in the form of an `Outcome`."""
    if status == OUT_OF_MEMORY:
        return {"status": "memory"}
    if status < 0:
        return {"status": "died", "message": f"Signal {signal.Signals(-status).name} ended it."}
    return {"status": "died", "message": f"It ended itself with exit status {status}."}


# The stage: from here on, code of the student's may have run in the process


def perform(job: Job, shell: "Shell", channel: socket.socket, paper: int) -> NoReturn:
    """Play the cells that come in, in the forked process, until it is killed."""
    try:
        os.dup2(paper, 1)
        os.dup2(paper, 2)
        os.close(paper)
        set_up(job)
        stage = os.getpid()
        given: dict[str, Any] = {}
        channel.sendall(READY)
        for line in channel.makefile():
            outcome = run(Cell(**json.loads(line)), shell, given)
            if os.getpid() != stage:  # a cell has forked, and this is the other one
                break
            channel.sendall(json.dumps(asdict(outcome)).encode() + b"\n")
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def set_up(job: Job) -> None:
    """Give up what the notebook must not have: files, memory, rights, chance."""
    import genlib

    os.setsid()
    os.makedirs(job.folder, exist_ok=True)  # the stage before this one may have removed it
    os.chdir(job.folder)
    os.environ.update(HOME=job.folder, TMPDIR=job.folder, GENLIB_CHECK_SEED=str(job.seed))
    tempfile.tempdir = None
    sys.stdout.reconfigure(line_buffering=True)
    genlib.seed(job.seed)
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_FSIZE, FILE_BYTES)
    if sys.platform == "linux":  # elsewhere the watch over the whole notebook has to do
        limit(resource.RLIMIT_DATA, psutil.Process().memory_info().data + job.limits.memory)
    if job.user is not None:
        limit(resource.RLIMIT_NPROC, PROCESSES)  # of the user, who has no others
        os.chown(job.folder, job.user, job.user)
        os.setgroups([])
        os.setgid(job.user)
        os.setuid(job.user)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # no stage without a player


def limit(what: int, value: int) -> None:
    resource.setrlimit(what, (value, value))


def run(cell: Cell, shell: "Shell", given: dict[str, Any]) -> Outcome:
    """Run a cell in the shell's namespace.

    ``given`` holds what locked cells have defined. It is put back before every check, so that no
    answer stands on a changed check, by accident or otherwise.
    """
    names = shell.user_ns
    if cell.check:
        names.update(given)
    before = dict(names)
    shell.compile.name = f"<{cell.name}>"
    if not cell.locked:
        shell.compile.students.add(shell.compile.name)
    result = shell.run_cell(cell.source)
    if cell.locked and not cell.check:
        given.update({k: v for k, v in names.items() if k not in before or before[k] is not v})
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed or replaced by the cell
            stream.flush()
    error = result.error_before_exec or result.error_in_exec
    if error is None:
        return Outcome("passed")
    if isinstance(error, MemoryError) or "can't allocate memory" in message_of(error):
        os._exit(OUT_OF_MEMORY)  # whatever fills the memory would be in the way of the next cell
    place = last_place(error, shell.compile.students)
    return Outcome("raised", type(error).__name__, message_of(error), place)


def message_of(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:
        text = "(its message cannot be shown)"
    return text if len(text) <= MESSAGE else text[:MESSAGE] + " …"


def last_place(error: BaseException, students: set[str]) -> str:
    """The innermost line of the student's own cells in an exception's traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename in students]
    return f"line {own[-1].lineno}: {own[-1].line}" if own else ""


class NamingCompiler(CachingCompiler):
    """Gives code the name of its cell."""

    name = ""

    def __init__(self) -> None:
        super().__init__()
        self.students: set[str] = set()

    def get_code_name(self, *_: Any) -> str:
        return self.name


class SilentHook(DisplayHook):
    def __call__(self, result: Any = None) -> None:
        pass


class SilentPublisher(DisplayPublisher):
    def publish(self, *_: Any, **__: Any) -> None:
        pass


class Shell(InteractiveShell):
    """IPython without a front end: magics and ``await`` work, figures and values go nowhere."""

    compiler_class = NamingCompiler
    displayhook_class = SilentHook
    display_pub_class = SilentPublisher

    def showtraceback(self, *_: Any, **__: Any) -> None:
        """Show nothing: what was raised is reported."""

    def showsyntaxerror(self, *_: Any, **__: Any) -> None:
        """Show nothing: what was raised is reported."""

    def enable_gui(self, gui: Any = None) -> None:
        """Accept ``%matplotlib``, which asks for a window system or for none."""

    def ask_exit(self) -> None:
        """``exit()`` ends the cell that calls it."""
        raise SystemExit


if __name__ == "__main__":
    main()
