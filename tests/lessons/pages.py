"""What a lesson's page and its exercises say of themselves, for tests to compare."""

import ast
import re
import symtable

import nbformat

from tools import ROOT

FOLDED = re.compile(r"# (Set-up|Figure|Table|Check): ")
HOURS = {"two": 120, "two and a half": 150, "three": 180, "three and a half": 210}


def cells(lesson, notebook="lesson"):
    return nbformat.read(ROOT / "lessons" / lesson / f"{notebook}.ipynb", as_version=4).cells


def unnamed_in_folds(lesson):
    """(first line, name) of what a fold holds for visible code and its line leaves out."""
    code = [cell.source for cell in cells(lesson) if cell.cell_type == "code"]
    visible = [source for source in code if not FOLDED.match(source)]
    bound = {name for source in visible for name in bound_in(source)}
    used = {name for source in visible for name in _taken(source)} - bound
    missing = []
    for source in code:
        line = source.partition("\n")[0]
        if line.startswith(("# Set-up: ", "# Table: ")) and line != "# Set-up: imports and seed":
            names = set(bound_in(source)) & used
            missing += [(line, name) for name in sorted(names) if f"`{name}`" not in line]
    return missing


def minutes_of_exercises(lesson):
    """What the exercises take in all: as their opening says, and as their headings sum to."""
    opening, *others = [
        cell.source for cell in cells(lesson, "exercises") if cell.cell_type == "markdown"
    ]
    stated = re.search(r"Together they take about (.+?) hours", opening)[1]
    return HOURS[stated], sum(int(m) for m in re.findall(r"about (\d+) minutes", "\n".join(others)))


def _taken(source):
    """Names that a cell takes from cells before it."""
    tables = [symtable.symtable(source, "cell", "exec")]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            outer = symbol.is_global() or not (symbol.is_assigned() or symbol.is_imported())
            if symbol.is_referenced() and outer and not (symbol.is_parameter() or symbol.is_free()):
                yield symbol.get_name()


def bound_in(source):
    """Names of a cell's functions, classes and variables, as its top defines them."""
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            yield statement.name
        elif isinstance(statement, ast.Assign):
            targets = [part for target in statement.targets for part in ast.walk(target)]
            yield from (part.id for part in targets if isinstance(part, ast.Name))
