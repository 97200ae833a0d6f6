"""Where notebooks that nobody has read are played: as far from everything else as can be had.

Student code is untrusted. What keeps it apart depends on the machine; the strongest way that works
is taken:

1. *sandbox*: bubblewrap gives a player namespaces of its own. There is no network and no process
   but the notebook's, nothing can be written but its folder, and solutions, other submissions,
   marks and the home folder cannot be seen.
2. *user*: the superuser, where bubblewrap does not work (in most containers), plays notebooks as
   users who own nothing but the notebook's folder.
3. *nothing*: an ordinary user without bubblewrap. Limits of time and memory hold, but the code may
   do what the user may do, such as delete files or end the grader. Use a container then.

Nothing keeps a notebook from its own checks, which run in its process: who sets out to forge a mark
can, as with every grader that calls a student's functions.
"""

import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tools import ROOT
from tools.coursework.records import PATIENCE, READY, Cell, Job, Limits, Outcome
from tools.settings import SETTINGS

START_SECONDS = 180
GRACE_SECONDS = 60  # beyond a notebook's own limit, for what the player itself has to do
FIRST_USER = 59_000
COPIED_BYTES = 50 * 2**20
INHERITED = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "GENLIB_DATA")
READABLE = (
    "import os, sys; sys.exit(not all(os.access(p, os.R_OK | os.X_OK) for p in sys.argv[1:]))"
)


class PlayerError(RuntimeError):
    """The grader cannot do its work; no notebook is to blame."""


@dataclass(frozen=True)
class Isolation:
    """How student code is kept apart: ``sandbox``, ``user`` or ``nothing``, and what that means."""

    kind: str
    meaning: str


def strongest_isolation() -> Isolation:
    """The strongest isolation that works on this machine."""
    if succeeds([*bubblewrap(), sys.executable, "-c", "pass"]):
        return Isolation("sandbox", "in a sandbox, with no network and no files but its own")
    probe = [sys.executable, "-c", READABLE, *map(str, needed_folders())]
    if os.geteuid() == 0 and succeeds(probe, user=FIRST_USER, group=FIRST_USER, extra_groups=[]):
        return Isolation("user", "as a user who owns nothing but its own folder")
    return Isolation(
        "nothing",
        "WITH ALL YOUR RIGHTS: install bubblewrap, or use a container, unless you trust everybody "
        "who handed in",
    )


def succeeds(command: list[str], **options: object) -> bool:
    try:
        return subprocess.run(command, capture_output=True, cwd="/", **options).returncode == 0
    except OSError:
        return False


def needed_folders() -> list[Path]:
    """What Python and the course need to read."""
    python = Path(sys.executable).resolve().parent.parent
    folders = [ROOT, python, sys.prefix, sys.base_prefix, *sys.path]
    folders += [os.environ["GENLIB_DATA"]] if "GENLIB_DATA" in os.environ else []
    return sorted({Path(folder).resolve() for folder in folders if os.path.isdir(folder)})


def bubblewrap(hidden: Iterable[Path] = (), own: Path | None = None) -> list[str]:
    """The command that makes a sandbox around another command.

    Everything is there to read, except the home folder and the ``hidden`` folders; only the folder
    ``own`` can be written. A folder is not hidden if Python or the course lie in it.
    """
    needed, home = needed_folders(), Path.home().resolve()
    mounts = [("--ro-bind", "/", "/"), ("--dev", "/dev"), ("--proc", "/proc")]
    veils = [home] if home.is_dir() and home != Path("/") else []
    mounts += [("--tmpfs", veil) for veil in veils]
    mounts += [("--ro-bind", path, path) for path in needed if path.is_relative_to(home)]
    for folder in map(Path.resolve, hidden):
        if folder.is_dir() and not any(path.is_relative_to(folder) for path in needed):
            veils.append(folder)
            mounts.append(("--tmpfs", folder))
    mounts += [] if own is None else [("--bind", own, own)]
    mounts += [("--remount-ro", veil) for veil in veils]
    return ["bwrap", "--die-with-parent", "--unshare-all", *(str(a) for m in mounts for a in m)]


class Players:
    """Several players, each of which plays one notebook at a time. A context manager.

    Parameters
    ----------
    isolation
        How to keep notebooks apart, from `strongest_isolation`.
    count
        How many notebooks may be played at the same time, by as many threads.
    hidden
        Folders to keep out of sight, where the isolation can, beside the lessons.
    """

    def __init__(self, isolation: Isolation, count: int, hidden: Iterable[Path] = ()) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="coursework-", ignore_cleanup_errors=True)
        base = Path(self.folder.name).resolve()
        base.chmod(0o711)
        hidden = [*hidden, ROOT / "lessons", base]
        self.starter = ThreadPoolExecutor(1)  # a sandbox ends with the thread that started it
        self.players = [
            Player(isolation, base / str(n), FIRST_USER + n, hidden, self.starter)
            for n in range(count)
        ]
        self.idle: queue.SimpleQueue[Player] = queue.SimpleQueue()
        for player in self.players:
            self.idle.put(player)

    def __enter__(self) -> "Players":
        return self

    def __exit__(self, *_: object) -> None:
        for player in self.players:
            player.end()
        self.starter.shutdown()
        self.folder.cleanup()

    def play(
        self, cells: list[Cell], seed: int, limits: Limits, files: Path | None = None
    ) -> list[Outcome]:
        """Play a notebook next to a copy of the ``files``; one outcome for each cell.

        Waits until a player is idle.

        Raises
        ------
        PlayerError
            If the player cannot be started, or fails, for a reason that is not the notebook's.
        """
        player = self.idle.get()
        try:
            return player.play(cells, seed, limits, files)
        finally:
            self.idle.put(player)


class Player:
    """A player's process, seen from the grader; it is started when it is first needed."""

    def __init__(
        self,
        isolation: Isolation,
        folder: Path,
        user: int,
        hidden: list[Path],
        starter: ThreadPoolExecutor,
    ) -> None:
        self.starter = starter
        self.user = user if isolation.kind == "user" else None
        self.wrapper = bubblewrap(hidden, folder) if isolation.kind == "sandbox" else []
        self.folder = folder
        self.folder.mkdir()
        self.folder.chmod(0o711)
        self.log = folder.with_suffix(".log")
        self.process: subprocess.Popen[str] | None = None

    def play(
        self, cells: list[Cell], seed: int, limits: Limits, files: Path | None
    ) -> list[Outcome]:
        """See `Players.play`."""
        if self.process is None:
            self._start()
        with self._workplace(files) as folder:
            job = Job(cells, str(folder), seed, limits, self.user)
            outcomes = list(self._outcomes(job))
        if len(outcomes) < len(cells):
            self._bury()
            lost = Outcome("died", message="It ended the program that was grading it.")
            outcomes += [lost] * (len(cells) - len(outcomes))
        return outcomes

    def _outcomes(self, job: Job) -> Iterator[Outcome]:
        """What the player says, as long as it says something."""
        with self._deadline(PATIENCE * job.limits.seconds + GRACE_SECONDS):
            with suppress(BrokenPipeError):
                self.process.stdin.write(job.line())
                self.process.stdin.flush()
            for _ in job.cells:
                if line := self.process.stdout.readline():
                    yield Outcome(**json.loads(line))

    def _start(self) -> None:
        """Start the process and wait until it has imported what notebooks need."""
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        if "GENLIB_DATA" in inherited:  # as seen from here
            inherited["GENLIB_DATA"] = os.path.abspath(inherited["GENLIB_DATA"])
        home = {name: str(self.folder) for name in ("HOME", "TMPDIR", "IPYTHONDIR", "MPLCONFIGDIR")}
        quiet = {"MPLBACKEND": "agg", "CUDA_VISIBLE_DEVICES": "", "OMP_THREAD_LIMIT": "1"}
        with self.log.open("w") as log:
            self.process = self.starter.submit(
                subprocess.Popen,
                [*self.wrapper, sys.executable, "-m", "tools.coursework.player"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
                env=inherited | SETTINGS | home | quiet,
                start_new_session=True,  # an interrupt from the keyboard is for the grader
            ).result()
        with self._deadline(START_SECONDS):
            if self.process.stdout.readline().strip() != READY:
                self._bury()
                raise PlayerError(f"The player did not start:\n{self.log.read_text()}")

    def _bury(self) -> None:
        """Clear away a player that has ended, and find out whether it is the notebook's doing."""
        status = self.process.wait()
        self.end()
        if status == 1:  # an exception in the player; other ends are the notebook's
            raise PlayerError(f"The player failed:\n{self.log.read_text()}")

    @contextmanager
    def _deadline(self, seconds: float) -> Iterator[None]:
        """Kill the player if this takes longer."""
        timer = threading.Timer(seconds, self.process.kill)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @contextmanager
    def _workplace(self, files: Path | None) -> Iterator[Path]:
        """A folder for one notebook, with a copy of its files, gone afterwards."""
        self.folder.mkdir(exist_ok=True)  # the notebook before this one may have removed it
        with tempfile.TemporaryDirectory(dir=self.folder, ignore_cleanup_errors=True) as name:
            folder = Path(name)
            if files is not None:
                copy_files(files, folder)
            if self.user is not None:
                for path in (folder, *folder.rglob("*")):
                    os.chown(path, self.user, self.user)
            yield folder

    def end(self) -> None:
        """End the process, if there is one, and all that it started."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        process, self.process = self.process, None
        process.stdout.close()
        with suppress(BrokenPipeError):  # a job that nobody took
            process.stdin.close()


def copy_files(source: Path, target: Path) -> None:
    """Copy ordinary files, up to `COPIED_BYTES` in all; links and the like are left out."""
    left = COPIED_BYTES
    for folder, _, names in os.walk(source):
        for path in (Path(folder, name) for name in sorted(names)):
            if path.is_file() and not path.is_symlink() and path.stat().st_size <= left:
                left -= path.stat().st_size
                copy = target / path.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
