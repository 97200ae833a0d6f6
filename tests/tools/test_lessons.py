"""Executing notebooks: written back whole and the same every time, or left alone."""

import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import lessons


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a notebook with these code cells where `tools.lessons` looks for them."""
    monkeypatch.setattr(lessons, "ROOT", tmp_path)
    path = tmp_path / "lessons" / "03_toy" / "lesson.ipynb"
    path.parent.mkdir(parents=True)

    def write(*sources):
        cells = [new_markdown_cell("# A toy"), *map(new_code_cell, sources)]
        nbformat.write(new_notebook(cells=cells), path)
        return path

    return write


def outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    return [cell.outputs for cell in cells if cell.cell_type == "code"]


def test_outputs_are_written_and_do_not_change_from_run_to_run(write):
    widget = "import ipywidgets\nipywidgets.IntSlider()"
    path = write("print('a'); print('b')", "x = 2\nx + 1", widget, "object()")
    assert lessons.run(path)
    first = path.read_bytes()
    stream, result, widget, address = outputs(path)
    assert stream == [{"output_type": "stream", "name": "stdout", "text": "a\nb\n"}]
    assert result[0]["data"] == {"text/plain": "3"} and result[0]["execution_count"] == 2
    assert list(widget[0]["data"]) == ["text/plain"]  # the live widget is gone from the file
    assert address[0]["data"] == {"text/plain": "<object>"}
    assert lessons.run(path)
    assert path.read_bytes() == first


def test_the_kernel_is_this_python_alone_with_one_thread_and_without_bars(write):
    names = ["GENLIB_PROGRESS", "OMP_NUM_THREADS", "GENLIB_SEED", "GENLIB_BUDGET", "MPLBACKEND"]
    path = write("import sys\nsys.prefix", f"import os\n[os.environ.get(name) for name in {names}]")
    lessons.run(path)
    prefix, settings = (output[0]["data"]["text/plain"] for output in outputs(path))
    assert prefix == repr(sys.prefix)
    inline = "module://matplotlib_inline.backend_inline"
    assert settings == repr(["0", "1", None, None, inline])


def test_a_failing_notebook_is_left_as_it_was(write, capsys):
    path = write("print('new')", "raise ValueError('too few samples')")
    before = path.read_bytes()
    assert not lessons.run(path)
    assert path.read_bytes() == before
    assert "too few samples" in capsys.readouterr().out
    assert [file.name for file in path.parent.iterdir()] == ["lesson.ipynb"]


def test_seeds_and_budgets_reach_the_notebook_and_nothing_is_kept(write, capsys, monkeypatch):
    path = write("import os\nassert os.environ['GENLIB_SEED'] != '3', 'unlucky'")
    before = path.read_bytes()
    assert lessons.run(path, {"GENLIB_SEED": "2"})
    assert not lessons.run(path, {"GENLIB_SEED": "3"})
    assert "unlucky" in capsys.readouterr().out
    write("import os\nassert os.environ['GENLIB_BUDGET'] == '3'")
    before = path.read_bytes()
    monkeypatch.setattr("sys.argv", ["lessons", "03", "--budget", "3", "--seeds", "1"])
    lessons.main()
    assert "lesson.ipynb  GENLIB_SEED=0  GENLIB_BUDGET=3  " in capsys.readouterr().out
    assert path.read_bytes() == before


def test_metadata_of_editors_and_machines_are_dropped():
    cell = new_code_cell("1", metadata={"tags": ["covers-F10"], "scrolled": True, "execution": {}})
    kernel = {"name": "mine", "display_name": "Mine"}
    metadata = {
        "kernelspec": kernel,
        "widgets": {},
        "language_info": {"name": "python", "version": "3.99"},
    }
    notebook = lessons.normalised(new_notebook(cells=[cell], metadata=metadata))
    assert notebook.metadata == lessons.METADATA
    assert notebook.cells[0].metadata == {"tags": ["covers-F10"]}


def test_an_unknown_lesson_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(lessons, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["lessons", "77"])
    with pytest.raises(SystemExit, match="no notebook in lessons/77"):
        lessons.main()
