"""A notebook that runs wherever it is carried: it sees to genlib itself, and shows no MyST."""

import copy
import subprocess
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from tools.readers.text import Plain

INSTALL_ID = "install-genlib"
HERE = """\
# genlib is the library of this course. (The genlib of the package index is another project.)
"""
INSTALL = """\
# Where it is missing, this cell installs it, at the version that this notebook was written for.
import importlib.util

if importlib.util.find_spec("genlib") is None:
    %pip install --quiet "{requirement}"
    importlib.invalidate_caches()

"""
COPY = """\
# It comes with a copy of the course: run this notebook there, with `.venv/bin/jupyter lab`, after
# `make book` has set up `.venv`; or install genlib from the copy with `pip install .`
"""
CHECK = """\
import genlib

if not hasattr(genlib, "LatentVariableModel"):
    place = genlib.__spec__.submodule_search_locations or [genlib.__file__]
    raise ImportError(
        f"Another genlib is in the way, in {list(place)}. Remove it (a package of that name by "
        "%pip uninstall -y genlib), restart the kernel, and run this cell again."
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
            text, attachments = plain.cell(cell.source)
            if text != cell.source:
                lock(cell)
            cell.source = text
            if attachments:
                cell.attachments = attachments
    notebook.cells.insert(0, first_cell(source))
    nbformat.validate(notebook)
    return notebook


def first_cell(source: Source | None) -> NotebookNode:
    """The cell that brings genlib, or says where it is found."""
    how = INSTALL.format(requirement=source.requirement) if source else COPY
    return lock(nbformat.v4.new_code_cell((HERE + how + CHECK).strip(), id=INSTALL_ID))


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
