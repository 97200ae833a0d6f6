"""The shape of the project: which way imports run, and what no file may contain."""

import ast
import doctest
import graphlib
import importlib
import os
import re

import pytest
import yaml

from tests.book.toc import sources
from tools import ROOT

# Later layers may import earlier ones, never the reverse.
LAYERS = (
    "kernels",
    "core",
    "nn",
    "sampling",
    "data",
    "models",
    "verify",
    "metrics",
    "plots",
    "widgets",
    "recipes",
)
# The families of models, in the order of their lessons: later families may import earlier ones.
FAMILIES = (
    "density",
    "graphical",
    "autoregressive",
    "mixtures",
    "flows",
    "vae",
    "pca",
    "ica",
    "sparse_coding",
    "autoencoders",
    "boltzmann",
    "classifier",
    "adversarial",
    "frame",
    "patches",
    "deep_image_prior",
    "denoising",
)

PATHS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "genlib").rglob("*.py"))
}


def executed(node):
    """``node`` and all under it, without what only a type checker reads."""
    yield node
    if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
        for child in ast.iter_child_nodes(node):
            yield from executed(child)


def imports(module):
    """The modules of genlib that ``module`` imports when it runs, anywhere in its text."""
    for node in executed(ast.parse(PATHS[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in PATHS)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                target = inner if inner in PATHS else node.module
                if target in PATHS:
                    yield target


GRAPH = {module: set(imports(module)) for module in PATHS}


def position(module, level, order):
    """Where ``module`` stands in ``order``, by its name at ``level`` (genlib is level 0)."""
    name = module.split(".")[level]
    assert name in order, f"{module}: give it a place in the order of tests/test_structure.py"
    return order.index(name)


def inside(package):
    return [module for module in PATHS if module.startswith(f"{package}.")]


@pytest.mark.parametrize("module", inside("genlib"))
def test_imports_run_down_the_layers(module):
    place = position(module, 1, LAYERS)
    assert [m for m in GRAPH[module] if m == "genlib" or position(m, 1, LAYERS) > place] == []


@pytest.mark.parametrize("module", inside("genlib.models"))
def test_imports_run_from_later_families_of_models_to_earlier_ones(module):
    place = position(module, 2, FAMILIES)
    relatives = [m for m in GRAPH[module] if m.startswith("genlib.models")]
    assert [m for m in relatives if m.count(".") < 2 or position(m, 2, FAMILIES) > place] == []


def test_imports_have_no_cycle():
    graphlib.TopologicalSorter(GRAPH).prepare()


@pytest.mark.parametrize("module", PATHS)
def test_the_examples_in_docstrings_are_true(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0


@pytest.mark.parametrize("module", PATHS)
def test_no_docstring_stops_the_book(module):
    """Between bars, reStructuredText looks for a name to substitute; and a literal has to end
    before a letter or a power.
    """
    with open(PATHS[module], encoding="utf-8") as file:
        tree = ast.parse(file.read())
    kinds = ast.FunctionDef | ast.ClassDef
    for node in ast.walk(tree):
        if isinstance(node, kinds) and not node.name.startswith("_"):
            written = ast.get_docstring(node) or ""
            literals = re.compile(r"``.+?``", re.DOTALL)
            for literal in literals.finditer(written):
                after = written[literal.end() : literal.end() + 1]
                assert not after.isalnum(), f"{node.name}: {literal[0]}{after}"
            text = literals.sub("", written)
            prose = re.sub(r"::\n\n(?: .*\n|\n)+", "\n", text + "\n")  # without literal blocks
            assert not re.search(r"\|\S[^|]*\S\||\|\w\|", prose), f"{node.name}: {prose}"


def written_files():
    """Every file of the project that is written by people, as path from the root and text."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name not in ("_build", "__pycache__")
            and (not name.startswith(".") or name in (".ci", ".github"))
            and not name.endswith(".egg-info")
        ]
        for name in names:
            path = os.path.join(folder, name)
            try:
                with open(path, encoding="utf-8") as file:
                    yield os.path.relpath(path, ROOT), file.read()
            except UnicodeDecodeError:
                continue  # a picture, or weights


def test_no_file_names_a_path_of_somebodys_machine():
    machine = re.compile(r"(?<![\w.])/(?:work|root|Users|home/\w+)/\w")
    found = [name for name, text in written_files() if machine.search(text)]
    assert found == []


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda p: p.name)
def test_a_workflow_names_its_triggers_and_jobs(path):
    workflow = yaml.load(path.read_text(), yaml.BaseLoader)  # BaseLoader: "on" is no truth value
    assert {"name", "on", "jobs"} <= set(workflow)
    for job in workflow["jobs"].values():
        assert all("uses" in step or "run" in step for step in job["steps"])


def test_every_lesson_stands_in_the_book():
    lessons = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("lessons/*/lesson.ipynb")}
    assert lessons - {path.relative_to(ROOT).as_posix() for path in sources()} == set()


def test_every_lesson_folder_is_complete_and_its_exercises_stand_in_the_book():
    listed = {path.relative_to(ROOT).as_posix() for path in sources()}
    for folder in ROOT.glob("lessons/[0-9]*/"):
        names = {path.name for path in folder.iterdir()}
        assert {"lesson.ipynb", "exercises.ipynb", "wrong_answers.py"} <= names
        assert (folder / "exercises.ipynb").relative_to(ROOT).as_posix() in listed
