"""Is every printed formula held by a test? Change one at a time, and see a test fail.

``tests/mutations/`` lists the changes. Each is made in a copy of the project, in which the tests
that should notice it are run. ``make mutants`` runs all of them; ``make mutants ARGS="05 gate"``
those whose words hold all of the given ones.
"""

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools import ROOT
from tools.settings import environment

COPIED = ("genlib", "tests", "tools", "lessons", "book", "conftest.py", "pyproject.toml")
LIMIT = 600  # seconds for the tests of one mutation
NOTICED, SURVIVED, BROKEN = "noticed", "SURVIVED", "BROKEN"


@dataclass(frozen=True)
class Mutation:
    """A change to a formula that some test must notice.

    Attributes
    ----------
    formula : str
        Lesson and formula, and what is wrong with the changed one.
    file : str
        Where it stands, from the root of the project.
    old, new : str
        ``old`` stands there exactly once.
    tests : tuple of str
        What pytest is to run.
    """

    formula: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def applied(self, text):
        """``text`` of the file with the change, or an error where it does not fit any more."""
        count = text.count(self.old)
        if count != 1 or self.old == self.new:
            raise ValueError(
                f"{self.formula}: expected the old text once in {self.file}, found it {count} "
                "times, or the new one is the same."
            )
        return text.replace(self.old, self.new)


def outcome(mutation, root):
    """What the tests say of a mutation made in the project at ``root``, and their last lines."""
    path = root / mutation.file
    original = path.read_text(encoding="utf-8")
    path.write_text(mutation.applied(original), encoding="utf-8")
    try:
        # As a package of its own: not the genlib that is installed in the environment.
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutation.tests],
            cwd=root,
            env=environment() | {"PYTHONPATH": os.fspath(root), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
    except subprocess.TimeoutExpired:
        return BROKEN, f"no end after {LIMIT} s"
    finally:
        path.write_text(original, encoding="utf-8")
    last = "\n".join(done.stdout.strip().splitlines()[-3:])
    # pytest: 0 all passed, 1 some failed; anything else says that the tests could not be run.
    return {0: SURVIVED, 1: NOTICED}.get(done.returncode, BROKEN), last


@contextmanager
def copies(count):
    """So many copies of the project, to be changed."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        roots = [Path(folder) / str(i) for i in range(count)]
        for root in roots:
            for name in COPIED:
                source = ROOT / name
                if source.is_dir():
                    ignored = shutil.ignore_patterns("__pycache__", "_build", ".ipynb_checkpoints")
                    shutil.copytree(source, root / name, ignore=ignored)
                else:
                    shutil.copy(source, root / name)
        yield roots


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutations that hold all of these")
    parser.add_argument("--copies", type=int, default=2, help="how many to try at once")
    options = parser.parse_args(arguments)
    mutations = [
        mutation
        for mutation in importlib.import_module("tests.mutations").MUTATIONS
        if all(word in f"{mutation.formula} {mutation.file}" for word in options.words)
    ]
    started, counts = time.monotonic(), {NOTICED: 0, SURVIVED: 0, BROKEN: 0}
    with copies(options.copies) as roots, ThreadPoolExecutor(options.copies) as pool:
        free = list(roots)

        def attempt(mutation):
            root = free.pop()
            try:
                return outcome(mutation, root)
            finally:
                free.append(root)

        for mutation, (found, last) in zip(mutations, pool.map(attempt, mutations), strict=True):
            counts[found] += 1
            print(f"{found:9} {mutation.formula}", flush=True)
            if found != NOTICED:
                print(f"          {mutation.file}: {mutation.old!r} -> {mutation.new!r}\n{last}")
    minutes = (time.monotonic() - started) / 60
    print(", ".join(f"{n} {what}" for what, n in counts.items()) + f"; {minutes:.0f} minutes")
    return 0 if counts[NOTICED] == len(mutations) else 1


if __name__ == "__main__":
    sys.exit(main())
