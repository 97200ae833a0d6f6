"""What the extensions make of a page: its head, its figures, what its text mentions by number."""

import importlib
from types import SimpleNamespace

import pytest
from docutils import nodes
from PIL import Image

from tools import ROOT


@pytest.fixture(autouse=True)
def extensions(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")


@pytest.fixture
def crossrefs():
    return importlib.import_module("crossrefs")


PLACES = {"4": ("lessons/04_b/lesson", ""), "4.7": ("lessons/04_b/lesson", "#seven")}
MENTIONS = {
    "as in lesson 4.": ["as in ", "[lesson 4]", "."],
    "Section 4.7, then": ["", "[Section 4.7]", ", then"],
    "(lessons 4 and 8)": ["(lessons ", "[4]", " and ", "8", "<planned>", ")"],
    "lessons 4, 4 to 9": ["lessons ", "[4]", ", ", "[4]", " to ", "9", "<planned>", ""],
    "lesson 4, 2 cups": ["", "[lesson 4]", ", 2 cups"],
    "document H, §4.7": ["document H, §4.7"],
    "their section 43, their section 6.1.1": ["their section 43, their section 6.1.1"],
}


@pytest.mark.parametrize("text", MENTIONS)
def test_mentions_become_links_and_planned_lessons_are_marked(crossrefs, text):
    builder = SimpleNamespace(get_relative_uri=lambda page, target: f"{target}.html")
    found = []
    for node in crossrefs.linked(text, PLACES, "book/x", builder):
        if isinstance(node, nodes.reference):
            number = node.astext().split()[-1]
            page, anchor = PLACES[number]
            assert node["refuri"] == f"{page}.html{anchor}"
            found.append(f"[{node.astext()}]")
        else:
            mark = "<{}>" if isinstance(node, nodes.superscript) else "{}"
            found.append(mark.format(node.astext()))
    assert found == MENTIONS[text]


@pytest.mark.parametrize("text", ["section 4.8", "lesson 34", "lesson 0", "sections 4.7 and 5.1"])
def test_a_place_that_does_not_exist_is_an_error_of_the_build(crossrefs, text, caplog):
    builder = SimpleNamespace(get_relative_uri=lambda *_: "")
    list(crossrefs.linked(text, PLACES, "book/x", builder))
    assert "book/x: expected a lesson or a section of one" in caplog.text


def test_pictures_are_as_large_as_they_were_drawn(tmp_path):
    size = importlib.import_module("figures").size
    for suffix, dots in ((".png", 100), (".png", 200), (".jpg", 200)):
        path = tmp_path / f"a{suffix}"
        Image.new("RGB", (6 * dots, 3 * dots)).save(path, dpi=(dots, dots))
        assert size(path) == (576, 288)
    for sides in ('width="432pt" height="216.0pt"', 'height="216pt" version="1" width="432pt"'):
        (tmp_path / "a.svg").write_text(f'<?xml version="1.0"?>\n<svg xmlns="x" {sides}></svg>')
        assert size(tmp_path / "a.svg") == (576, 288)


def test_a_figure_without_words_is_an_error_of_the_build(caplog):
    wrap = importlib.import_module("figures").wrap
    cell = nodes.container("", nodes.image(uri="a.png"))
    wrap(cell[0], "3.1", "lessons/03_x/lesson")
    assert "lessons/03_x/lesson: figure 3.1 has no alternative text" in caplog.text


def test_the_pages_address_is_github_s_unless_another_is_given():
    find_address = importlib.import_module("head").find_address
    for repository, given, expected in (
        ("https://github.com/Some/course", "", "https://some.github.io/course/"),
        ("https://github.com/Some/course", "https://a.org/", "https://a.org/"),
        ("https://gitlab.org/Some/course", "", ""),
        ("", "", ""),
    ):
        options = {"repository_url": repository}
        config = SimpleNamespace(html_baseurl=given, html_theme_options=options)
        find_address(None, config)
        assert config.html_baseurl == expected
