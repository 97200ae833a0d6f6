"""A notebook that runs wherever it is carried: it sees to genlib itself, and shows no MyST."""

import copy
import subprocess
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.readers.text import Plain, TextError
from tools.readers.wheel import NAME

INSTALL_ID = "install-genlib"
HEAD = """\
# genlib is the library of this course. (The genlib of the package index is another project.)
# Where it is missing, this cell installs it, with what it needs.
import importlib.util
"""
FROM_REPOSITORY = """
genlib_course = "{requirement}"
hint = "This takes a network and git."
"""
FROM_FILE = """\
from pathlib import Path

wheel = "{wheel}"  # lies with the notebooks
near = [folder / wheel for folder in (Path.cwd(), *Path.cwd().parents)]
genlib_course = next(filter(Path.exists, near), wheel)
hint = f"This takes a network, and {{wheel}} from notebooks.zip beside or above the notebook."
"""
INSTALL = """\
if importlib.util.find_spec("genlib") is None:
    %pip install --quiet "{genlib_course}"
    importlib.invalidate_caches()
if importlib.util.find_spec("genlib") is None:
    raise ImportError(f"genlib is missing and could not be installed: see above. {hint}")

import genlib

again = (
    f'install genlib-course again by %pip install --force-reinstall --no-deps "{genlib_course}" '
    "(in a cell of its own), restart the kernel, and run this cell again."
)
if genlib.__file__ is None:
    raise ImportError(
        f"genlib is there only in part, in {list(genlib.__path__)}, as after the removal of "
        f"another package of that name. Please {again}"
    )
if not hasattr(genlib, "LatentVariableModel"):
    raise ImportError(
        f"Another genlib is in the way: {genlib.__file__}. Remove it (a package of that name by "
        f"%pip uninstall -y genlib), {again}"
    )
"""


@dataclass(frozen=True)
class Source:
    """Where genlib is installed from: the repository's address, and the commit of the book."""

    address: str
    commit: str

    @property
    def requirement(self) -> str:
        """What pip is asked for."""
        return f"genlib-course @ git+{self.address}@{self.commit}"


def commit_of(folder: Path) -> str:
    """The commit that is checked out in a folder.

    Raises
    ------
    ValueError
        The folder is no clone of a repository.
    """
    git = ["git", "-C", folder, "rev-parse", "HEAD"]
    answer = subprocess.run(git, capture_output=True, text=True)
    if answer.returncode:
        raise ValueError(
            "A book that names its repository's address installs genlib at the commit that it is "
            f"built from, and {folder} is no clone: {answer.stderr.strip()}"
        )
    return answer.stdout.strip()


def edition(notebook: NotebookNode, plain: Plain, source: Source | None) -> NotebookNode:
    """The reader's edition of a notebook, which itself stays as it is.

    Raises
    ------
    TextError
        A text cell cannot be written without MyST.
    """
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            try:
                text, attachments = plain.cell(cell.source)
            except TextError as error:
                raise TextError(f"{error} (In the cell {cell.id!r}.)") from error
            if text != cell.source:
                lock(cell)
            cell.source = text
            if attachments:
                cell.attachments = attachments
    notebook.cells.insert(0, first_cell(source))
    nbformat.validate(notebook)
    return notebook


def first_cell(source: Source | None) -> NotebookNode:
    """The cell that brings genlib: from its repository, or from the file in the archive."""
    where = (
        FROM_REPOSITORY.format(requirement=source.requirement)
        if source
        else FROM_FILE.format(wheel=NAME)
    )
    return lock(nbformat.v4.new_code_cell((HEAD + where + INSTALL).strip(), id=INSTALL_ID))


def lock(cell: NotebookNode) -> NotebookNode:
    """Mark a cell as the course's own, so that in an assignment it is not taken for an answer."""
    cell.metadata.setdefault(
        "nbgrader",
        {
            "schema_version": 3,
            "cell_type": cell.cell_type,
            "grade_id": cell.id,
            "grade": False,
            "solution": False,
            "locked": True,
            "task": False,
        },
    )
    return cell
