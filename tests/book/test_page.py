"""What the extensions make of a page: its head, its figures, what its text mentions by number."""

import importlib
import json
import re
from types import SimpleNamespace

import pytest
from docutils import nodes
from PIL import Image
from sphinx.errors import ExtensionError

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
    "lesson 04, lessons 04 and 08": [
        "",
        "[lesson 04]",
        ", lessons ",
        "[04]",
        " and ",
        "08",
        "<planned>",
        "",
    ],
    "lesson 4, 2 cups": ["", "[lesson 4]", ", 2 cups"],
    "see document H, §4.7": ["see ", "[document H]", ", §4.7"],
    "documents A": ["documents A"],
    "their section 43, their section 6.1.1": ["their section 43, their section 6.1.1"],
}


@pytest.mark.parametrize("text", MENTIONS)
def test_mentions_become_links_and_planned_lessons_are_marked(crossrefs, text):
    builder = SimpleNamespace(get_relative_uri=lambda page, target: f"{target}.html")
    found = []
    for node in crossrefs.linked(text, PLACES, "book/x", builder):
        if isinstance(node, nodes.reference):
            page, anchor = PLACES.get(node.astext().split()[-1].lstrip("0"), ("book/documents", ""))
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


NOTEBOOK = """# {title}

| time | {column} | sources |
|---|---|---|
| an hour | {needs} | a book |
"""


def lesson(root, number, needs="", title=None, column="needs"):
    folder = root / "lessons" / f"{number:02}_x"
    folder.mkdir(parents=True)
    title = f"{number} · Name" if title is None else title
    source = NOTEBOOK.format(title=title, column=column, needs=needs or "nothing")
    (folder / "lesson.ipynb").write_text(json.dumps({"cells": [{"source": source}]}))


def test_the_map_puts_each_lesson_below_what_it_needs(tmp_path):
    lessonmap = importlib.import_module("lessonmap")
    lesson(tmp_path, 1)
    lesson(tmp_path, 2, "lesson 1; patience")
    lesson(tmp_path, 3)
    lesson(tmp_path, 4, "lessons [2](/lessons/02_x/lesson.ipynb) and [3](/x); 17 apples")
    lessons = lessonmap.read(tmp_path)
    assert [lesson.needs for lesson in lessons.values()] == [(), (1,), (), (2, 3)]
    assert lessonmap.edges(lessons) == [(1, 2), (2, 4), (3, 4)]
    drawn = lessonmap.drawing(lessons)
    assert drawn.count("marker-end") == 3 and drawn.count("<a href=") == 4


def test_no_arrows_of_the_map_cross():
    lessonmap = importlib.import_module("lessonmap")
    assert lessonmap.cross((1, 3), (2, 4)) and lessonmap.cross((2, 4), (1, 3))
    assert not any(map(lessonmap.cross, [(1, 3), (1, 4), (1, 2)], [(3, 5), (2, 3), (3, 4)]))
    steps = lessonmap.edges(lessonmap.read(ROOT))
    side = lessonmap.sides([step for step in steps if step[1] - step[0] > 1])
    assert len(side) >= 3
    assert not [(a, b) for a in side for b in side if side[a] == side[b] and lessonmap.cross(a, b)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"title": "Name"}, "lessons/02_x: expected a title such as '# 2 · Name', got '# Name'"),
        ({"title": "3 · Name"}, "expected a title such as '# 2 · Name', got '# 3 · Name'"),
        ({"column": "wants"}, "lessons/02_x: expected a table with a column 'needs'"),
        ({"needs": "lesson 3"}, "lessons/02_x/lesson: expected to need earlier lessons .*, got 3"),
        ({"needs": "lesson 2"}, "expected to need earlier lessons .*, got 2"),
    ],
)
def test_a_lesson_without_number_or_needs_is_an_error_of_the_build(tmp_path, settings, message):
    lessonmap = importlib.import_module("lessonmap")
    lesson(tmp_path, 2, **settings)
    with pytest.raises(ExtensionError, match=message):
        lessonmap.edges(lessonmap.read(tmp_path))


def folded(*sources, kind="code"):
    """The cells of a lesson with these sources, as the page gets them."""
    folding = importlib.import_module("folding")
    cells = [
        {"cell_type": kind, "id": f"c{i}", "metadata": {}, "source": source}
        for i, source in enumerate(sources)
    ]
    cells[-1]["metadata"] = {"tags": ["a"], "mystnb": {"image": {"alt": "A line."}}}
    return json.loads(folding.fold(json.dumps({"cells": cells}), "lessons/02_x/lesson"))["cells"]


def test_marked_cells_are_folded_under_their_line():
    check, setup, plain, figure = folded(
        "# Check: one is one\nassert x == 1",
        "# Set-up: all\n\nimport a",
        "x = 1  # Check: this",
        "# Figure: a line\n%time plt.plot(x)",
    )
    assert check["metadata"]["tags"] == ["hide-input"]
    assert check["source"] == "assert x == 1"
    lines = [cell["metadata"]["mystnb"]["code_prompt_show"] for cell in (check, setup, figure)]
    assert lines == ["✓ Checked: one is one", "Set-up: all", "Code of the figure: a line"]
    assert setup["source"] == "import a"
    assert (plain["metadata"], plain["source"]) == ({}, "x = 1  # Check: this")
    assert figure["metadata"]["tags"] == ["a", "hide-input"]
    assert figure["metadata"]["mystnb"]["image"] == {"alt": "A line."}


def test_a_heading_is_no_mark():
    (cell,) = folded("# Figure: a heading\nof a text", kind="markdown")
    assert cell["source"] == "# Figure: a heading\nof a text"
    assert cell["metadata"]["tags"] == ["a"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("# Check: nothing", "'# Check: nothing', has a mark and no code"),
        ("# Check: nothing\nx = 1", "checks nothing"),
        ("# Check: nothing\nassert True", "checks nothing"),
        ("# Check: nothing\nassert 1 == 1", "checks nothing"),
        ("# Check: nothing\nassert (x, 'words')", "checks nothing"),
        ("# Check: nothing\nassert (x == y for x in z)", "checks nothing"),
        ("# Check: nothing\nif False:\n    assert x", "checks nothing"),
        ("# Check: nothing\nif 1:\n    y\nelse:\n    assert x", "checks nothing"),
        ("# Check: nothing\nwhile 0:\n    assert x", "checks nothing"),
        ("# Check: nothing\ndef f():\n    assert x", "checks nothing"),
        ("# Check: nothing\n%time assert x", "checks nothing"),
        ("# Figure: a line\nplt.plot(x)\nassert x", "the check needs a cell of its own"),
        ("# Set-up: all\nimport a\na.assert_close(1, 1)", "the check needs a cell of its own"),
        ("# Figure: a line\ngenlib.verify.causal(x)", "the check needs a cell of its own"),
        ("# Set-up: all\ngl.verify.causal(x)", "the check needs a cell of its own"),
        ("# Check: a\nassert x ==", "is no Python: invalid syntax"),
        ("x = 1\n# Check: a\nassert x", "has '# Check: a', which is like a mark"),
        ("\n# Check: a\nassert x", "which is like a mark"),
        (" # Check: a\nassert x", "which is like a mark"),
        ("# check: a\nassert x", "has '# check: a', which is like a mark"),
        ("# Check a\nassert x", "which is like a mark"),
        ("# Check:\nassert x", "which is like a mark"),
        ("# Check: \nassert x", "which is like a mark"),
        ("#Check: a\nassert x", "which is like a mark"),
        ("## Check: a\nassert x", "which is like a mark"),
        ("# Checked: a\nassert x", "which is like a mark"),
        ("# Chek: a\nassert x", "which is like a mark"),
        ("# Setup: a\nimport a", "which is like a mark"),
        ("# Figures: a\nplt.plot(x)", "which is like a mark"),
        ("# Figure: a\n# Check: b\nassert x", "has '# Check: b', which is like a mark"),
    ],
)
def test_a_mark_that_is_not_true_or_not_in_its_place_is_an_error_of_the_build(source, message):
    with pytest.raises(ExtensionError, match="lessons/02_x/lesson: the cell 'c1', ") as error:
        folded("x = 1", source)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "source",
    [
        "for x in y:\n    assert x",
        "def f():\n    assert x\n\nf()",
        "def f(x):\n    assert x\n\nlist(map(f, y))",
        "if y:\n    assert x",
        "if True:\n    assert x",
        "torch.testing.assert_close(x, y)",
        "gl.verify.causal(x)",
        "genlib.verify.causal(x)",
        "%matplotlib inline\nassert x, 'words'",
        "# A note: why\nassert x",
    ],
)
def test_what_can_fail_is_a_check(source):
    (cell,) = folded(f"# Check: it is so\n{source}")
    assert cell["source"] == source


INTERACTIVE = '<div class="genlib-figure genlib-x">'


def test_what_a_lesson_shows_can_be_shown_elsewhere_and_nothing_else(tmp_path):
    shown = importlib.import_module("borrow").shown
    picture = {"data": {"image/svg+xml": ['<svg width="72pt" ', 'height="36pt"></svg>']}}
    alt = {"mystnb": {"image": {"alt": "A <line>."}}}
    cells = [
        {"id": "a", "metadata": alt, "outputs": [picture]},
        {
            "id": "b",
            "metadata": {},
            "outputs": [{"data": {"text/html": INTERACTIVE}}],
        },
        {"id": "c", "metadata": {}, "outputs": [{"text": "7"}]},
    ]
    folder = tmp_path / "lessons" / "03_x"
    folder.mkdir(parents=True)
    (folder / "lesson.ipynb").write_text(json.dumps({"cells": cells}))
    drawn = shown(tmp_path, tmp_path, "03_x", "a")
    assert 'src="_images/03_x-a.svg"' in drawn and 'width="96" height="48"' in drawn
    assert 'alt="A &lt;line&gt;."' in drawn
    assert (tmp_path / "_images" / "03_x-a.svg").read_text().startswith("<svg width")
    assert '<a href="lessons/03_x/lesson.html">Lesson 3</a>' in drawn
    assert INTERACTIVE in shown(tmp_path, tmp_path, "03_x", "b")
    for cell in "cd":
        with pytest.raises(
            ExtensionError, match=f"expected a picture or figure of the cell '{cell}'"
        ):
            shown(tmp_path, tmp_path, "03_x", cell)


def test_the_edition_and_how_to_cite_it():
    edition = importlib.import_module("edition")
    assert re.fullmatch(
        r"Edition \d+\.\d+\.\d+ of \d{1,2} \w+ 20\d\d( \(`\w+`\))?", edition.edition(ROOT)
    )
    entry = edition.citation(ROOT, "https://github.com/Some/course")
    assert entry.count("{") == entry.count("}") and "https://github.com/Some/course" in entry
    assert "url" not in edition.citation(ROOT, "")


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
