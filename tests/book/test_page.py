"""What the extensions make of a page: its head, its figures, what its text mentions by number."""

import html
import importlib
import itertools
import json
import re
from types import SimpleNamespace

import pytest
from docutils import nodes
from docutils.utils import new_document
from PIL import Image
from sphinx.errors import ConfigError, ExtensionError

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
    "lesson 4.7": ["", "[lesson 4.7]", ""],
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


@pytest.mark.parametrize(
    "text",
    [
        "section 4.8",
        "lesson 34",
        "lesson 0",
        "sections 4.7 and 5.1",
        "lesson 4.9",
        "lessons 4 and 7.9",
    ],
)
def test_a_place_that_does_not_exist_is_an_error_of_the_build(crossrefs, text, caplog):
    builder = SimpleNamespace(get_relative_uri=lambda *_: "")
    list(crossrefs.linked(text, PLACES, "book/x", builder))
    assert "book/x: expected a lesson or a section of one" in caplog.text


def contents(*titles):
    """The table of contents of a page, as Sphinx has it."""
    return nodes.bullet_list("", *(nodes.reference("", t, anchorname=f"#{i}") for i, t in titles))


def test_sections_of_lessons_are_known_by_their_numbers_and_no_other_pages(crossrefs):
    tocs = {
        "lessons/04_b/lesson": contents(("", "4 · B"), ("seven", "4.7 Last"), ("goals", "Goals")),
        "lessons/04_b/lesson_of_before": contents(("old", "4.8 Old")),
        "lessons/04_b/exercises": contents(("ex", "4.9 Not one")),
    }
    assert crossrefs.known_places(SimpleNamespace(tocs=tocs)) == PLACES


@pytest.mark.parametrize("title", ["After lesson 95", "As in section 4.8", "Lesson 4.9"])
def test_a_title_names_no_place_that_does_not_exist(crossrefs, monkeypatch, title, caplog):
    monkeypatch.setattr(crossrefs, "known_places", lambda _: PLACES)
    page = new_document("x")
    page += nodes.title("", "After lessons 4 and 33, section 4.7")
    page.settings.env = SimpleNamespace(docname="book/x", app=SimpleNamespace(builder=None))
    crossrefs.CrossReferences(page).run()
    assert caplog.text == "" and page[0].astext() == "After lessons 4 and 33, section 4.7"
    page += nodes.title("", title)
    crossrefs.CrossReferences(page).run()
    assert "book/x: expected a lesson or a section of one" in caplog.text
    assert len(page[1]) == 1  # as it was


NOTEBOOK = """# {title}

| time | {column} | sources |
|---|---|---|
| an hour | {needs} | a book |
"""


def lesson(root, number, needs="", title=None, column="needs"):
    folder = root / "lessons" / f"{number:02}_x"
    folder.mkdir(parents=True)
    title = f"{number} · Name" if title is None else title
    source = NOTEBOOK.format(title=title, column=column, needs=needs or "patience")
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
    paths = [
        [int(n) for n in re.findall(r"-?\d+", path)] for path in re.findall(r'd="(M[^"]*)"', drawn)
    ]
    _, *arrows = paths  # the head of all of them is the first
    down, high = lessonmap.DOWN, lessonmap.HEIGHT
    ends = sorted((arrow[1] // down, arrow[-1] // down) for arrow in arrows)  # in which boxes
    assert ends == [(0, 0), (1, 3), (2, 2)]
    straight = [arrow for arrow in arrows if len(arrow) == 3]
    assert [arrow[1:] for arrow in straight] == [[high, down - 2], [2 * down + high, 3 * down - 2]]


def test_titles_of_the_map_are_text(tmp_path):
    lessonmap = importlib.import_module("lessonmap")
    lesson(tmp_path, 1, title="1 · <b> & p < q")
    assert ">1 · &lt;b&gt; &amp; p &lt; q</text>" in lessonmap.drawing(lessonmap.read(tmp_path))


@pytest.mark.parametrize(
    ("needs", "numbers"),
    [
        ("lessons 1–3", (1, 2, 3)),
        ("lessons 1, 3 to 5 and 7", (1, 3, 4, 5, 7)),
        ("lesson 01 and Bayes' rule; 2 cups", (1,)),
        ("Lesson 4", (4,)),
        ("the normal distribution", ()),
    ],
)
def test_what_a_lesson_needs(needs, numbers):
    lessonmap = importlib.import_module("lessonmap")
    opening = NOTEBOOK.format(title="9 · Name", column="needs", needs=needs)
    assert lessonmap.needs(opening, "09_x") == numbers


@pytest.mark.parametrize(
    "needs",
    [
        "",
        " ",
        "lesson one",
        "lessons",
        "1",
        "1 and 3",
        "1; patience",
        "Lesson 1 and 3",
        "Lesson 4, 5",
        "section 1.2",
        "lesson 1.2",
        "lessons 1 and 2.3",
    ],
)
def test_needs_that_are_unclear_are_an_error_of_the_build(needs):
    lessonmap = importlib.import_module("lessonmap")
    opening = NOTEBOOK.format(title="9 · Name", column="needs", needs=needs)
    with pytest.raises(ExtensionError, match="lessons/09_x: expected to need 'lesson 1'"):
        lessonmap.needs(opening, "09_x")


def test_a_row_with_a_cell_too_many_is_an_error_of_the_build():
    lessonmap = importlib.import_module("lessonmap")
    opening = NOTEBOOK.format(title="9 · Name", column="needs", needs="a | b")
    with pytest.raises(ExtensionError, match="expected a table with a column 'needs'"):
        lessonmap.needs(opening, "09_x")


def test_hardly_any_arrows_of_the_map_cross():
    """2 → 5, 3 → 8 and 4 → 17 cross each other in pairs, so that two sides cannot part them."""
    lessonmap = importlib.import_module("lessonmap")
    assert lessonmap.cross((1, 3), (2, 4)) and lessonmap.cross((2, 4), (1, 3))
    assert not any(map(lessonmap.cross, [(1, 3), (1, 4), (1, 2)], [(3, 5), (2, 3), (3, 4)]))
    steps = lessonmap.edges(lessonmap.read(ROOT))
    side = lessonmap.sides([step for step in steps if step[1] - step[0] > 1])
    assert len(side) >= 3
    pairs = itertools.combinations(side, 2)
    assert sum(side[a] == side[b] and lessonmap.cross(a, b) for a, b in pairs) <= 1


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
    check, setup, plain, table, figure = folded(
        "# Check: one is one\nassert x == 1",
        "# Set-up: all\n\nimport a",
        "x = 1  # Check: this",
        "# Table: sums\nprint(x)",
        "# Figure: a line\n%time plt.plot(x)",
    )
    assert check["metadata"]["tags"] == ["hide-input"]
    assert check["source"] == "assert x == 1"
    marked = check, setup, table, figure
    lines = [cell["metadata"]["mystnb"]["code_prompt_show"] for cell in marked]
    assert lines == [
        "✓ Checked: one is one",
        "Set-up: all",
        "Code of the table: sums",
        "Code of the figure: a line",
    ]
    assert table["source"] == "print(x)"
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
        ("# Table: sums\nprint(x)\nassert x", "the check needs a cell of its own"),
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
        ("# Tables: a\nprint(x)", "which is like a mark"),
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
    alt = {"mystnb": {"image": {"alt": "A thin <line>."}}}
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
    assert 'alt="A thin &lt;line&gt;."' in drawn
    assert (tmp_path / "_images" / "03_x-a.svg").read_text().startswith("<svg width")
    assert '<a href="lessons/03_x/lesson.html">Lesson 3</a>' in drawn
    assert INTERACTIVE in shown(tmp_path, tmp_path, "03_x", "b")
    assert html.unescape(drawn).count("A thin <line>.") == 2
    for cell in "cd":
        with pytest.raises(
            ExtensionError, match=f"expected a picture or figure of the cell '{cell}'"
        ):
            shown(tmp_path, tmp_path, "03_x", cell)


@pytest.mark.parametrize("metadata", [{}, {"mystnb": {"image": {"alt": ""}}}])
def test_a_picture_without_words_is_not_shown_elsewhere(tmp_path, metadata):
    shown = importlib.import_module("borrow").shown
    outputs = [{"data": {"image/svg+xml": '<svg width="72pt" height="36pt"></svg>'}}]
    folder = tmp_path / "lessons" / "03_x"
    folder.mkdir(parents=True)
    cells = [{"id": "a", "metadata": metadata, "outputs": outputs}]
    (folder / "lesson.ipynb").write_text(json.dumps({"cells": cells}))
    message = "lessons/03_x: expected alternative text of the picture of the cell 'a'"
    with pytest.raises(ExtensionError, match=message):
        shown(tmp_path, tmp_path, "03_x", "a")


def test_what_is_shown_of_a_lesson_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(ExtensionError, match="no lesson 'lessons/99_x'"):
        importlib.import_module("borrow").shown(tmp_path, tmp_path, "99_x", "a")


@pytest.mark.parametrize(
    "placeholder",
    [
        "<!-- output 03_x -->",
        "<!--output 03_x a-->",
        "<!-- Output 03_x a -->",
        "<!-- outputs a b -->",
    ],
)
def test_a_mistyped_placeholder_is_an_error_and_no_comment(tmp_path, placeholder):
    expand = importlib.import_module("borrow").expand
    with pytest.raises(
        ExtensionError, match=r"index: expected '<!-- output FOLDER CELL -->', .* got"
    ):
        expand(SimpleNamespace(srcdir=tmp_path, outdir=tmp_path), "index", [f"a\n{placeholder}\nb"])


def test_the_edition_and_how_to_cite_it(monkeypatch):
    edition = importlib.import_module("edition")
    assert re.fullmatch(
        r"Edition \d+\.\d+\.\d+ of \d{1,2} \w+ 20\d\d( \(`\w+`\))?", edition.edition(ROOT)
    )
    entry = edition.citation(ROOT, "https://github.com/Some/course")
    assert entry.count("{") == entry.count("}") and "https://github.com/Some/course" in entry
    assert "url" not in edition.citation(ROOT, "")
    monkeypatch.setattr(edition, "last_change", lambda _: ("2031-02-07", "abc"))
    assert edition.edition(ROOT).endswith(" of 7 February 2031 (`abc`)")
    assert "  year    = {2031},\n" in edition.citation(ROOT, "")


def test_pictures_are_as_large_as_they_were_drawn(tmp_path):
    size = importlib.import_module("figures").size
    for suffix, dots in ((".png", 100), (".png", 200), (".jpg", 200)):
        path = tmp_path / f"a{suffix}"
        Image.new("RGB", (6 * dots, 3 * dots)).save(path, dpi=(dots, dots))
        assert size(path) == (576, 288)
    for sides in ('width="432pt" height="216.0pt"', 'height="216pt" version="1" width="432pt"'):
        (tmp_path / "a.svg").write_text(f'<?xml version="1.0"?>\n<svg xmlns="x" {sides}></svg>')
        assert size(tmp_path / "a.svg") == (576, 288)
    path = tmp_path / "b.png"
    Image.new("RGB", (200, 200)).save(path, dpi=(200, 100))  # as faxes are
    assert size(path) == (96, 192)
    (tmp_path / "b.svg").write_text('<svg viewBox="0 0 9 9"></svg>')
    with pytest.raises(ExtensionError, match=r"b\.svg: expected a drawing with width and height"):
        size(tmp_path / "b.svg")


def test_a_figure_without_words_is_an_error_of_the_build(caplog):
    wrap = importlib.import_module("figures").wrap
    cell = nodes.container("", nodes.image(uri="a.png"))
    wrap(cell[0], "3.1", "lessons/03_x/lesson")
    assert "lessons/03_x/lesson: figure 3.1 has no alternative text" in caplog.text


def test_a_figure_has_a_place_and_a_caption_in_plain_words():
    wrap = importlib.import_module("figures").wrap
    label = "Curves of p &lt; q &amp; more"
    cell = nodes.container("", nodes.raw("", f'<div aria-label="{label}">', format="html"))
    wrap(cell[0], "3.1", "lessons/03_x/lesson")
    (figure,) = cell
    assert figure["ids"] == ["figure-3-1"]
    assert figure[-1].astext() == "Figure 3.1. Curves of p < q & more"


def test_a_description_is_a_paragraph_of_the_text_and_is_quoted():
    head = importlib.import_module("head")
    page, section = new_document("x"), nodes.section()
    section += [nodes.note("", nodes.paragraph("", "In a box.")), nodes.paragraph("", "The first.")]
    page += section
    assert head.first_paragraph(page) == "The first."
    assert 'content="p &lt; &quot;q&quot; &amp; r"' in head.tag("description", 'p < "q" & r')


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        "http://a.org/",
        "a.org/course",
        "https://a.org/course?x=1",
        "https://a.org/#x",
        "https://localhost/",
        "https://a.org/a b/",
        " https://a.org/",
        "https://a.org//",
        True,
        5,
    ],
)
def test_the_pages_address_is_one(address):
    config = SimpleNamespace(html_baseurl=address, html_theme_options={"repository_url": ""})
    with pytest.raises(ConfigError, match="Expected https://HOST/ or https://HOST/FOLDER/"):
        importlib.import_module("head").find_address(None, config)


def test_the_pages_address_is_github_s_unless_another_is_given():
    find_address = importlib.import_module("head").find_address
    for repository, given, expected in (
        ("https://github.com/Some/course", "", "https://some.github.io/course/"),
        ("https://github.com/Some/course", "https://a.org/", "https://a.org/"),
        ("https://github.com/Some/course", "https://a.org/course", "https://a.org/course/"),
        ("https://github.com/Some/some.github.io", "", "https://some.github.io/"),
        ("https://gitlab.org/Some/course", "", ""),
        ("", "", ""),
    ):
        options = {"repository_url": repository}
        config = SimpleNamespace(html_baseurl=given, html_theme_options=options)
        find_address(None, config)
        assert config.html_baseurl == expected


def test_a_formula_in_a_line_keeps_the_full_stop_after_it():
    equations = importlib.import_module("equations")
    document = new_document("page")
    x, y, z = (nodes.math("", name) for name in "xyz")
    document += nodes.paragraph("", "", nodes.Text("If "), x, nodes.Text(", then "), y)
    document[0] += [nodes.Text(" and "), z, nodes.Text(").")]
    for kind in ("latex", "html"):
        app = SimpleNamespace(builder=SimpleNamespace(format=kind))
        equations.keep_together(app, document, "page")
        joined = [node.astext() for node in document.findall(nodes.inline)]
        assert joined == ([] if kind == "latex" else ["x,", "z)."])
        assert document.astext() == "If x, then y and z)."
