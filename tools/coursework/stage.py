"""The process in which a notebook's cells run, forked from a player.

Everything here runs beside what students wrote, so nothing that it says is believed without a
check, and nothing here decides on points.
"""

import ctypes
import json
import os
import resource
import signal
import socket
import sys
import tempfile
import traceback
from contextlib import suppress
from dataclasses import asdict
from typing import Any, NoReturn

import psutil
from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from tools.coursework.records import READY, Cell, Job, Outcome

OUT_OF_MEMORY = 71  # exit status: without memory, it could not say so otherwise
MESSAGE = 2_000  # characters kept of an error's message
FILE_BYTES = 256 * 2**20
USER_PROCESSES = 64
PR_SET_PDEATHSIG = 1


def shell() -> "Shell":
    """A shell for stages to inherit, with the course's libraries in memory."""
    # Here once, not in every stage: they take seconds. torch needs its compiler for the first call
    # of a custom operator.
    import torch._dynamo  # noqa: F401

    import genlib  # noqa: F401

    sys.path[0] = ""  # the notebook's folder instead of the repository, where the solutions are
    return Shell.instance(config=Config(HistoryManager={"enabled": False}))


def perform(job: Job, shell: "Shell", channel: socket.socket, paper: int) -> NoReturn:
    """Play the cells that come in, in the forked process, until it is killed."""
    try:
        os.dup2(paper, 1)
        os.dup2(paper, 2)
        os.close(paper)
        set_up(job)
        this = os.getpid()
        given: dict[str, Any] = {}
        channel.sendall(READY.encode())
        for line in channel.makefile():
            outcome = run(Cell(**json.loads(line)), shell, given)
            if os.getpid() != this:  # a cell has forked, and this is the other one
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
    if sys.platform == "linux":  # elsewhere the player's watch over the whole has to do
        limit(resource.RLIMIT_DATA, psutil.Process().memory_info().data + job.limits.memory)
    if job.user is not None:
        limit(resource.RLIMIT_NPROC, USER_PROCESSES)
        os.chown(job.folder, job.user, job.user)
        os.setgroups([])
        os.setgid(job.user)
        os.setuid(job.user)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # not without a player


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
