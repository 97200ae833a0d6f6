"""What a notebook can do where it is played: run, within limits, and reach little else."""

import json

import pytest

from tools import ROOT
from tools.coursework.records import Cell, Job, Limits
from tools.coursework.sandbox import copy_files

LIMITS = Limits(seconds=20, cell_seconds=2)


@pytest.fixture
def play(players):
    def play(*sources, limits=LIMITS, files=None):
        cells = [Cell(f"cell {number}", source) for number, source in enumerate(sources)]
        return players.play(cells, seed=7, limits=limits, files=files)

    return play


def said(outcome):
    """What a cell printed as JSON."""
    assert outcome.status == "passed", outcome
    return json.loads(outcome.output)


def test_a_job_comes_through_a_line_as_it_was():
    job = Job([Cell("a", "x = 'é\n'", check=True)], "/folder", 3, Limits(seconds=1.5), user=4)
    assert job.line().count("\n") == 1
    assert Job.parse(job.line()) == job


def test_one_lost_cell_leaves_what_was_before_it(play):
    outcomes = play("x = [1]", "x.append(2)", "import os\nos._exit(3)", "print(x)")
    assert [outcome.status for outcome in outcomes] == ["passed", "passed", "died", "passed"]
    assert said(outcomes[3]) == [1, 2]


def test_a_notebook_whose_time_is_over_is_cut_short(play):
    loop = "while True:\n    pass"
    outcomes = play(loop, loop, loop, "x = 1", limits=Limits(seconds=0.5, cell_seconds=0.3))
    assert [outcome.status for outcome in outcomes] == ["time", "time", "skipped", "skipped"]


def test_the_same_notebook_draws_the_same_numbers(play):
    source = """
import json, random
import numpy as np, torch
print(json.dumps([random.random(), np.random.rand(), torch.rand(1).item()]))"""
    assert said(play(source)[0]) == said(play(source)[0])


def test_gradients_work_after_a_fork(play):
    source = "import torch\nx = torch.ones(3, requires_grad=True)\n(x**2).sum().backward()"
    outcomes = play(source, "print(x.grad.tolist())")
    assert said(outcomes[1]) == [2, 2, 2]


def test_the_notebooks_files_are_there_and_the_graders_variables_are_not(play, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "numbers.txt").write_text("1 2 3")
    (tmp_path / "link").symlink_to("/etc/passwd")
    look = """
import json, os
found = sorted(os.path.join(f, n) for f, _, names in os.walk(".") for n in names)
names = ("PYTEST_CURRENT_TEST", "GENLIB_CHECK_SEED")
print(json.dumps([found, *map(os.environ.get, names)]))"""
    assert said(play(look, files=tmp_path)[0]) == [["./data/numbers.txt"], None, "7"]


def test_too_large_files_are_left_behind(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    with (source / "large").open("wb") as file:
        file.truncate(2**40)
    (source / "small").write_text("kept")
    copy_files(source, target)
    assert [path.name for path in target.iterdir()] == ["small"]


def test_no_notebook_finds_what_another_left(play):
    source = "import os\nopen('left', 'w').close()\nleft = 1"
    look = "import json, os\nprint(json.dumps([os.listdir('.'), 'left' in globals()]))"
    assert play(source)[0].status == "passed"
    assert [said(play(look)[0]) for _ in range(2)] == [[[], False]] * 2


def test_a_sandbox_hides_the_course_and_the_network(play, isolation, tmp_path):
    if isolation.kind != "sandbox":
        pytest.skip(f"there is no bubblewrap that works here: notebooks run {isolation.meaning}")
    (tmp_path / "submission").write_text("another student's")
    look = f"""
import json, os, pathlib, socket
def refused(action, *arguments):
    try:
        action(*arguments)
    except OSError as error:
        return type(error).__name__
    return "done"
print(json.dumps({{
    "solutions": os.listdir({str(ROOT / "lessons")!r}),
    "submission": os.path.exists({str(tmp_path / "submission")!r}),
    "course": refused(pathlib.Path({str(ROOT / "note")!r}).touch),
    "hidden": refused(pathlib.Path({str(ROOT / "lessons" / "note")!r}).touch),
    "network": refused(socket.create_connection, ("192.0.2.1", 80), 1),
    "processes": sum(name.isdigit() for name in os.listdir("/proc")) < 10,
}}))"""
    assert said(play(look)[0]) == {
        "solutions": [],
        "submission": False,
        "course": "OSError",
        "hidden": "OSError",
        "network": "OSError",
        "processes": True,
    }
