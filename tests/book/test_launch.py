"""The line that installs genlib elsewhere appears with the repository's address, and only then."""

import importlib
import json
from types import SimpleNamespace

import pytest

from tools import ROOT

NOTEBOOK = json.dumps({"cells": [{"source": "# Title"}, {"source": "import genlib"}]})
ADDRESS = "https://code.example/course"


@pytest.fixture
def launch(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    return importlib.import_module("launch")


def read(launch, url, path="lesson.ipynb"):
    config = SimpleNamespace(html_theme_options={"repository_url": url})
    app = SimpleNamespace(config=config, env=SimpleNamespace(doc2path=lambda page: path))
    source = [NOTEBOOK]
    launch.tell_how_to_install(app, "lesson", source)
    return source[0]


def test_the_line_stands_between_title_and_code(launch):
    cells = json.loads(read(launch, ADDRESS))["cells"]
    assert [cell["source"] for cell in cells[::2]] == ["# Title", "import genlib"]
    assert f"%pip install --no-deps git+{ADDRESS}" in cells[1]["source"]


def test_without_an_address_nothing_is_offered(launch):
    assert read(launch, "") == NOTEBOOK
    assert read(launch, ADDRESS, "index.md") == NOTEBOOK


def test_the_address_of_the_environment_counts(launch, monkeypatch):
    monkeypatch.setenv("REPOSITORY", ADDRESS)
    options = {"repository_url": "", "launch_buttons": {}}
    launch.offer_buttons(None, SimpleNamespace(html_theme_options=options))
    assert options["repository_url"] == ADDRESS and "launch_buttons" in options


def test_without_one_there_are_no_buttons(launch, monkeypatch):
    monkeypatch.delenv("REPOSITORY", raising=False)
    options = {"repository_url": "", "launch_buttons": {}}
    launch.offer_buttons(None, SimpleNamespace(html_theme_options=options))
    assert "launch_buttons" not in options
