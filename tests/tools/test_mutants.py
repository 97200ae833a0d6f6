"""The list of mutations fits the code, and what tries them tells the noticed from the rest."""

import dataclasses
import json
import re

import pytest

from tests.mutations import MUTATIONS
from tools import ROOT
from tools.mutants import BROKEN, NOTICED, SURVIVED, Mutation, outcome


def programs(file, text):
    """The code of a file: that of its cells, if it is a notebook."""
    if not file.endswith(".ipynb"):
        return [text]
    return ["".join(c["source"]) for c in json.loads(text)["cells"] if c["cell_type"] == "code"]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.formula)
def test_every_mutation_fits_the_code(mutation):
    original = (ROOT / mutation.file).read_text(encoding="utf-8")
    changed = programs(mutation.file, mutation.applied(original))
    assert changed != programs(mutation.file, original)  # not in the prose or in an output
    for program in changed:
        compile(program, mutation.file, "exec")
    for name in mutation.tests:
        file, *inside = name.split("::")
        source = (ROOT / file).read_text(encoding="utf-8")
        assert all(re.search(rf"(def|class) {part.partition('[')[0]}\b", source) for part in inside)


def test_formulas_are_named_once():
    names = [mutation.formula for mutation in MUTATIONS]
    assert len(set(names)) == len(names)
    assert {name.split()[0] for name in names} >= {f"0{lesson}" for lesson in range(1, 8)}


@pytest.fixture
def project(tmp_path):
    (tmp_path / "sum.py").write_text("def add(a, b):\n    return a + b\n")
    (tmp_path / "test_sum.py").write_text(
        "from sum import add\n\ndef test_zero():\n    assert add(2, 0) == 2\n"
        "\ndef test_more():\n    assert add(2, 3) == 5\n"
    )
    return tmp_path


SIGN = Mutation("00 sum, the sign", "sum.py", "a + b", "a - b", ("test_sum.py",))


@pytest.mark.parametrize(
    ("mutation", "found"),
    [
        (SIGN, NOTICED),
        (dataclasses.replace(SIGN, tests=("test_sum.py::test_zero",)), SURVIVED),
        (dataclasses.replace(SIGN, tests=("test_other.py",)), BROKEN),
        (dataclasses.replace(SIGN, new="a +"), BROKEN),
    ],
)
def test_the_outcome_is_what_the_tests_say_and_the_file_is_as_it_was(project, mutation, found):
    before = (project / "sum.py").read_text()
    assert outcome(mutation, project)[0] == found
    assert (project / "sum.py").read_text() == before


@pytest.mark.parametrize("old", ["a * b", "a", "a - b"])
def test_a_mutation_that_does_not_fit_is_refused(project, old):
    with pytest.raises(ValueError, match=r"expected the old text once in sum\.py"):
        outcome(dataclasses.replace(SIGN, old=old), project)
