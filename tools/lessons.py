"""Execute the course's notebooks: in place, or under other seeds and budgets, keeping nothing.

A notebook runs from top to bottom in a fresh kernel of this Python, with one thread and without
progress bars. It is written back, atomically, only if every cell passed; what is written depends on
the notebook alone, so that differences between two runs are differences in results.
"""

import argparse
import datetime
import importlib.metadata
import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError
from nbformat import NotebookNode
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, NbvalKernelspecManager

from genlib.core.files import atomic_write
from tools import ROOT
from tools.settings import environment

SECONDS = {"lesson.ipynb": 30, "exercises.ipynb": 6}
GIBIBYTES = 2
RECORD = "record.json"
VERSIONS = ("torch", "numpy", "scikit-learn")

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}
KEPT = ("tags", "nbgrader", "mystnb")
ADDRESS = re.compile(r" at 0x[0-9a-f]+>")
WIDGET = "application/vnd.jupyter.widget-view+json"  # names a live kernel's object: nothing to keep


def main() -> None:
    parser = argparse.ArgumentParser(prog="make lessons")
    parser.add_argument("lesson", nargs="?", default="", help="number of one lesson, such as 03")
    parser.add_argument(
        "--seeds", type=int, help="run under GENLIB_SEED = 0 … SEEDS - 1, keep nothing"
    )
    parser.add_argument(
        "--budget", help="train so many times as long (GENLIB_BUDGET), keep nothing"
    )
    arguments = parser.parse_args()
    notebooks = sorted(ROOT.glob(f"lessons/{arguments.lesson}*/*.ipynb"))
    if not notebooks:
        sys.exit(f"There is no notebook in lessons/{arguments.lesson}*/.")
    budget = {} if arguments.budget is None else {"GENLIB_BUDGET": arguments.budget}
    seeds = (
        [{}]
        if arguments.seeds is None
        else [{"GENLIB_SEED": str(n)} for n in range(arguments.seeds)]
    )
    runs = [run(path, seed | budget) for path in notebooks for seed in seeds]
    if not all(runs):
        sys.exit("Not every notebook passed: see above. Those that failed stand as they were.")


def run(path: Path, changed: Mapping[str, str] | None = None) -> bool:
    """Execute one notebook and report on it; write it back unless variables were ``changed``."""
    changed = changed or {}
    settings = [f"{variable}={value}" for variable, value in changed.items()]
    print(path.relative_to(ROOT).as_posix(), *settings, sep="  ", end="  ", flush=True)
    start = time.perf_counter()
    try:
        notebook, memory = executed(path, changed)
    except (CellControlSignal, DeadKernelError) as error:
        print(f"failed\n\n{error}", flush=True)
        return False
    seconds = time.perf_counter() - start
    limit = SECONDS.get(path.name, SECONDS["lesson.ipynb"])
    over = " (over its budget)" * (seconds > limit or memory > GIBIBYTES)
    print(f"{seconds:.1f} s of {limit}, {memory:.2f} GiB of {GIBIBYTES}{over}", flush=True)
    if not changed:
        write(normalised(notebook), path)
        record(path, seconds, memory)
    return True


def record(path: Path, seconds: float, memory: float) -> None:
    """Note what an execution took in ``lessons/record.json``, of which the book shows a page."""
    file = ROOT / "lessons" / RECORD
    runs = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    runs[path.relative_to(ROOT / "lessons").as_posix()] = {
        "date": datetime.date.today().isoformat(),
        "seconds": round(seconds, 1),
        "gibibytes": round(memory, 2),
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
    }
    with atomic_write(file) as temporary:
        temporary.write_text(json.dumps(runs, indent=1, sort_keys=True) + "\n", "utf-8")


def executed(path: Path, changed: Mapping[str, str] | None = None) -> tuple[NotebookNode, float]:
    """The notebook with fresh outputs, and the most memory that its kernel held, in GiB."""
    notebook = nbformat.read(path, as_version=4)
    manager = AsyncKernelManager(
        kernel_name=CURRENT_ENV_KERNEL_NAME,  # this Python, whatever the machine calls "python3"
        kernel_spec_manager=NbvalKernelspecManager(),
    )
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=600,
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=False,
        resources={"metadata": {"path": path.parent}},
    )
    with client.setup_kernel(env=environment(changed), cleanup_kc=True, stderr=subprocess.DEVNULL):
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
        memory = peak_memory(client)
    return notebook, memory


def peak_memory(client: NotebookClient) -> float:
    """The most memory that the kernel has held, in GiB, asked of it in a passing cell."""
    cells = client.nb.cells
    cells.append(nbformat.v4.new_code_cell("__import__('resource').getrusage(0).ru_maxrss"))
    client.execute_cell(cells[-1], len(cells) - 1)
    size = int(cells.pop().outputs[0].data["text/plain"])
    return size / (2**30 if sys.platform == "darwin" else 2**20)


def normalised(notebook: NotebookNode) -> NotebookNode:
    """The notebook without what differs between machines and editors."""
    notebook.metadata = METADATA
    for cell in notebook.cells:
        cell.metadata = {name: cell.metadata[name] for name in KEPT if name in cell.metadata}
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            data.pop(WIDGET, None)
            if "text/plain" in data:
                data["text/plain"] = ADDRESS.sub(">", data["text/plain"])
    return nbformat.from_dict(notebook)


def write(notebook: NotebookNode, path: Path) -> None:
    with atomic_write(path) as temporary:
        nbformat.write(notebook, temporary)


if __name__ == "__main__":
    main()
