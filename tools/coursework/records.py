"""What is said between the grader and the player, in lines of JSON."""

import json
from dataclasses import asdict, dataclass, field

READY = "ready"  # a player's first word, and a stage's
PATIENCE = 3  # seconds on the clock that a second of processor time may take


@dataclass(frozen=True)
class Limits:
    """What one notebook may use.

    Times are processor time, which does not depend on what else the machine is doing; a sleeper is
    stopped after `PATIENCE` times as long on the clock. Memory is what all processes of the
    notebook hold together, libraries included.
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

    @property
    def ended(self) -> bool:
        """Whether the cell came to its own end, good or bad."""
        return self.status in ("passed", "raised")
