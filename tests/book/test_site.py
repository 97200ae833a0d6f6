"""The built book: complete, sound in its links, sufficient to itself; as files and in a browser.

All tests of the site stand in this file, so that it is built once.
"""

import functools
import http.server
import importlib
import posixpath
import re
import threading
import zipfile
from html import unescape
from urllib.parse import unquote, urldefrag, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup

from tests.book.browser import Browser, executable
from tests.book.toc import entries
from tools import ROOT, book, lessons
from tools.coursework.assignment import assignments
from tools.coursework.form import HIDDEN, grade_id

PAGES = [f"{entry}.html" for entry in entries()]
PAGE_BYTES = 3_000_000
MYST = re.compile(r"\{[\w:-]+\}`|^ *:::|\(eq-[\w-]+\)|^\([\w-]+\)=$|\]\([^)]*\)\{", re.MULTILINE)
CODE_OR_FORMULA = re.compile(r"`[^`]*`|\$\$.*?\$\$|\$[^$]*\$", re.DOTALL)
WIDTHS = (390, 768, 1024, 1280, 1920)
LOADING = ("src", "srcset", "data", "poster")  # attributes whose address the browser fetches


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    return book.build(tmp_path_factory.mktemp("book"))


@pytest.fixture(scope="session")
def pages(site):
    """Every HTML page that a reader can come to, parsed."""
    paths = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    return {
        path.relative_to(site).as_posix(): BeautifulSoup(path.read_text("utf-8"), "html.parser")
        for path in paths
    }


def colour(style):
    """Red, green and blue of a computed colour."""
    return [float(part) for part in re.findall(r"[\d.]+", style)][:3]


def elsewhere(address):
    return bool(urlsplit(address).netloc)


def test_every_page_of_the_table_of_contents_is_there(pages):
    assert set(PAGES) <= set(pages)


def test_no_page_loads_anything_from_another_server(pages):
    loads = [
        (page, address)
        for page, soup in pages.items()
        for tag in soup.find_all(True)
        for address in [
            *(tag[name] for name in LOADING if tag.has_attr(name)),
            *([tag["href"]] if tag.name == "link" and tag.has_attr("href") else []),
        ]
    ]
    assert [load for load in loads if elsewhere(load[1])] == []


def test_no_style_sheet_loads_anything_from_another_server(site):
    load = re.compile(r"""(?:@import\s+|url\()["']?((?:https?:)?//[^"')]+)""")
    sheets = list(site.rglob("*.css"))
    assert sheets
    assert {sheet.name: load.findall(sheet.read_text("utf-8")) for sheet in sheets} == {
        sheet.name: [] for sheet in sheets
    }


def test_every_internal_link_leads_somewhere(site, pages):
    targets = {
        page: {
            tag[name]
            for tag in soup.find_all(True)
            for name in ("id", "name")
            if tag.has_attr(name)
        }
        for page, soup in pages.items()
    }
    broken = []
    for page, soup in pages.items():
        for link in soup.find_all("a", href=True):
            address, anchor = urldefrag(link["href"])
            if elsewhere(address) or address.startswith("mailto:"):
                continue
            target = (
                (site / page).parent / unquote(urlsplit(address).path) if address else site / page
            )
            name = target.resolve().relative_to(site.resolve()).as_posix()
            if not target.is_file() or (anchor and unquote(anchor) not in targets.get(name, ())):
                broken.append((page, link["href"]))
    assert broken == []


def test_every_picture_says_in_words_what_it_shows(pages):
    silent = [
        (page, image.get("src"))
        for page, soup in pages.items()
        for image in soup.find_all("img")
        if not re.search(r"\w+ \w+", image.get("alt", ""))
    ]
    assert silent == []


def test_no_page_names_a_path_of_the_machine_that_built_it(site):
    machine = re.compile(r"(?<![\w.])/(?:work|root|home|Users|tmp)/\w")
    texts = [path for path in site.rglob("*") if path.suffix in (".html", ".txt", ".ipynb", ".md")]
    texts = [path for path in texts if "_static" not in path.parts]
    assert [path.name for path in texts if machine.search(path.read_text("utf-8"))] == []


def test_pages_are_small(site):
    assert [path.name for path in site.rglob("*.html") if path.stat().st_size > PAGE_BYTES] == []


def test_hidden_tests_are_nowhere_and_downloads_are_the_students_versions(site):
    """Neither on a page nor in a source, an index or a download."""
    for assignment in assignments().values():
        hidden = [
            cell.source for cell in assignment.source.cells if grade_id(cell).endswith(HIDDEN)
        ]
        secrets = {
            line for source in hidden for line in source.splitlines()[1:-1] if len(line) > 50
        }
        assert secrets
        texts = [p for p in site.rglob("*") if p.suffix in (".html", ".ipynb", ".js", ".txt")]
        published = "\n".join(
            path.read_text("utf-8") for path in texts if "_static" not in path.parts
        )
        assert [line for line in secrets if line in unescape(published)] == []
        offered = editions(site)[f"lessons/{assignment.lesson}/exercises.ipynb"]
        assert "BEGIN SOLUTION" not in offered
        assert "raise NotImplementedError" in offered


def editions(site):
    """The text of every notebook in the archive, by name."""
    with zipfile.ZipFile(site / "notebooks.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".ipynb")]
        return {name: archive.read(name).decode() for name in names}


def test_every_notebook_is_offered_in_its_readers_edition(site, pages):
    """The Download button's and the archive's are the same, whole and without MyST."""
    sources = {f"{entry}.ipynb" for entry in entries() if entry.startswith("lessons/")}
    assert set(editions(site)) == sources
    for name, text in editions(site).items():
        page = pages[name.replace(".ipynb", ".html")]
        (button,) = page.select("a.btn-download-source-button")
        downloaded = (site / name).parent / button["href"]
        notebook = nbformat.reads(downloaded.read_text("utf-8"), as_version=4)
        nbformat.validate(notebook)
        assert notebook == nbformat.reads(text, as_version=4)
        assert "import genlib" in notebook.cells[0].source
        words = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        assert [raw for source in words for raw in MYST.findall(source)] == []


def test_equations_have_the_same_numbers_as_on_the_page(site, pages):
    numbered = 0
    for name, text in editions(site).items():
        cells = nbformat.reads(text, as_version=4).cells
        words = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        page = pages[name.replace(".ipynb", ".html")]
        shown = [re.search(r"\(([\d.]+)\)", mark.text)[1] for mark in page.select(".eqno")]
        assert re.findall(r"\\tag\{(.+?)\}", words) == shown
        numbered += len(shown)
    assert numbered


def test_links_between_the_notebooks_lead_somewhere(site):
    found = editions(site)
    links = [
        (name, link)
        for name, text in found.items()
        for cell in nbformat.reads(text, as_version=4).cells
        if cell.cell_type == "markdown"
        for link in re.findall(r"\]\(([^()\s]+)\)", CODE_OR_FORMULA.sub("", cell.source))
        if not elsewhere(link)
    ]
    assert links
    assert [
        (name, link)
        for name, link in links
        if posixpath.normpath(posixpath.join(posixpath.dirname(name), link)) not in found
    ] == []


def test_a_readers_edition_runs_from_its_top(site, tmp_path):
    """The first cells of a lesson, which bring genlib, in a folder that holds nothing else."""
    notebook = nbformat.reads(editions(site)["lessons/02_structure/lesson.ipynb"], as_version=4)
    code = [n for n, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    notebook.cells = notebook.cells[: code[2] + 1]
    nbformat.write(notebook, tmp_path / "lesson.ipynb")
    executed, _ = lessons.executed(tmp_path / "lesson.ipynb", None)
    assert executed.cells[code[2]].execution_count == 3


def test_solutions_are_folded_and_can_be_left_out(pages, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    shown = importlib.import_module("exercises").shown
    for assignment in assignments().values():
        page = pages[f"lessons/{assignment.lesson}/exercises.html"]
        assert len(page.select("details.hide")) == len(assignment.solutions())
        answers = assignment.solutions()
        others = [cell.source for cell in assignment.source.cells if grade_id(cell) not in answers]
        given = "\n".join(others)  # an exercise may print a line that its solution keeps
        without = "\n".join(cell.source for cell in shown(assignment.path, False).cells)
        for solution in answers.values():
            body = [line.strip() for line in solution.splitlines() if line.startswith("    ")]
            secrets = [line for line in body if len(line) > 30 and line not in given]
            assert secrets
            assert [line for line in secrets if line in without] == []


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def address(site):
    """The site served to this machine."""
    handler = functools.partial(Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def browser():
    if executable() is None:
        pytest.skip("no Chromium on this machine: install it to see the pages tested in a browser")
    with Browser() as browser:
        yield browser


@pytest.mark.parametrize("page", PAGES)
def test_a_page_works_in_a_browser_without_network(browser, address, page):
    """Complete, and nothing cut off at any width."""
    browser.open(f"{address}/{page}", 1280)
    assert browser.errors == []
    assert [url for url in browser.requests if not url.startswith((address, "data:"))] == []
    mathematics, typeset = browser.ask(COUNT_MATHEMATICS)
    assert typeset == mathematics
    assert browser.ask(BROKEN_PICTURES) == []
    for width in WIDTHS:
        browser.resize(width)
        assert browser.ask("document.documentElement.scrollWidth") <= width
        assert browser.ask(CUT_OFF) == [], width


def test_what_is_cut_off_is_found(browser, address):
    browser.open(f"{address}/{PAGES[0]}", 1280)
    browser.ask(
        "document.querySelector('.bd-article').insertAdjacentHTML('beforeend', "
        '\'<div style="overflow:hidden;width:5em"><div style="white-space:nowrap">'
        "a line that is too long</div></div>"
        '<p style="position:absolute;left:1200px;width:200px">in no margin</p>'
        '<div style="overflow:auto;width:5em"><pre>a line that one can scroll to</pre></div>\')'
    )
    found = browser.ask(CUT_OFF)
    assert [text for _, text in found] == ["a line that is too long", "in no margin"]


@pytest.mark.parametrize("page", [page for page in PAGES if "lessons" in page or "api" in page])
def test_on_paper_nothing_is_cut_off_and_all_is_light(browser, address, page):
    """Where nobody can scroll, and whatever the screen's colours."""
    browser.open(f"{address}/{page}", dark=True)
    browser.lay_out_on_paper()
    assert browser.ask(CUT_OFF) == []
    ink, paper = browser.ask(
        "[getComputedStyle(document.querySelector('.bd-article p')).color, "
        "getComputedStyle(document.documentElement).backgroundColor]"
    )
    assert max(colour(ink)) < 80 and min(colour(paper)) == 255


def test_a_moving_figure_answers_the_keyboard(browser, address, pages):
    moving = [page for page, soup in pages.items() if soup.select(".genlib-explorer")]
    assert moving
    for page in moving:
        browser.open(f"{address}/{page}")
        before = browser.ask(FIGURE_STATE)
        browser.ask("document.querySelector('.genlib-explorer input[type=range]').focus()")
        for event in ("keyDown", "keyUp"):
            browser.send(
                "Input.dispatchKeyEvent",
                type=event,
                key="ArrowRight",
                code="ArrowRight",
                windowsVirtualKeyCode=39,
            )
        after = browser.ask(FIGURE_STATE)
        assert all(a != b for a, b in zip(before, after, strict=True)), page


FIGURE_STATE = """
    ["path[data-curve]", "[role=status]", "output"].map(selector => {
        const part = document.querySelector(".genlib-explorer " + selector);
        return part.getAttribute("d") || part.textContent;
    })
"""
COUNT_MATHEMATICS = """
    [".math", "mjx-container"].map(selector => document.querySelectorAll(selector).length)
"""
BROKEN_PICTURES = """
    Promise.all([...document.images].map(image => {
        image.loading = "eager";
        return image.decode().then(() => null, () => image.src);
    })).then(all => all.filter(Boolean))
"""
# What is wider than one of the boxes around it that cuts it off: neither to be seen nor, on a
# screen, to be scrolled to.
CUT_OFF = """
    [...document.querySelectorAll(".bd-article *, .bd-toc a")].filter(part => {
        const text = document.createRange();
        text.selectNodeContents(part);
        const box = (part.childElementCount ? part : text).getBoundingClientRect();
        const inside = part.parentElement.closest("mjx-container, svg, script, [hidden]");
        if (inside || !box.width || !box.height) return false;
        for (let around = part.parentElement; around; around = around.parentElement) {
            const {overflowX} = getComputedStyle(around);
            const limits = around.getBoundingClientRect();
            const out = box.right > limits.right + 1.5 || box.left < limits.left - 1.5;
            const scrolls = overflowX === "auto" || overflowX === "scroll";
            if (scrolls && !matchMedia("print").matches) return false;
            if (out && (around === document.body || overflowX !== "visible")) return true;
        }
    }).map(part => [part.tagName, part.textContent.trim().slice(0, 60)])
"""
