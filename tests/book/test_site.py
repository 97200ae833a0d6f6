"""The built book: complete, sound in its links, sufficient to itself; as files and in a browser.

All tests of the site stand in this file, so that it is built once.
"""

import functools
import http.server
import importlib
import json
import posixpath
import re
import threading
import zipfile
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlencode, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup

import genlib as gl
from book._ext.exercises import HOW, HOW_ON_A_PAGE
from genlib.core.model import Model
from tests.book.browser import Browser, executable
from tests.book.toc import entries
from tools import ROOT, book, lessons
from tools.coursework.assignment import assignments
from tools.coursework.form import HIDDEN, grade_id

PAGES = [f"{entry}.html" for entry in entries()]
LESSON = re.compile(r"lessons/(\d\d)_\w+/lesson\.html")
LESSONS = [page for page in PAGES if LESSON.search(page)]
GENERATED = ["genindex.html", "search.html"]
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
    return {
        path.relative_to(site).as_posix(): BeautifulSoup(text, "html.parser")
        for path, text in texts_of(site, ".html")
    }


def colour(style):
    """Red, green and blue of a computed colour."""
    return [float(part) for part in re.findall(r"[\d.]+", style)][:3]


def elsewhere(address):
    return bool(urlsplit(address).netloc)


def test_every_page_of_the_table_of_contents_is_there(pages):
    assert {*PAGES, *GENERATED} <= set(pages)


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
    """In its caption, or else in its alternative text."""
    silent = [
        (page, image.get("src"))
        for page, soup in pages.items()
        for image in soup.find_all("img")
        if not (image.find_parent("figure") and image["alt"].startswith("Figure "))
        and not re.search(r"\w+ \w+", image.get("alt", ""))
    ]
    assert silent == []


def test_figures_of_a_lesson_are_numbered_and_have_captions(pages):
    for page in LESSONS:
        number = int(LESSON.search(page)[1])
        figures = pages[page].select("figure.course-figure")
        assert len(figures) > 3
        for i, figure in enumerate(figures, 1):
            caption = figure.find_all("figcaption")[-1].get_text().strip()
            assert re.match(rf"Figure {number}\.{i}\. \w.*\w+ \w+", caption)
            for image in figure.select("img"):
                assert image["loading"] == "lazy"
                assert 100 < int(image["width"]) < 1200 and int(image["height"]) > 50


def test_titles_of_lessons_carry_their_numbers(pages):
    for page in LESSONS:
        number = int(LESSON.search(page)[1])
        assert pages[page].h1.get_text().startswith(f"{number} · ")
        exercises = pages[page.replace("lesson.html", "exercises.html")]
        assert exercises.h1.get_text().startswith(f"Exercises {number}: ")


def test_every_page_describes_itself(pages):
    for page in PAGES:
        (text,) = (tag["content"] for tag in pages[page].select("meta[name=description]"))
        assert 20 < len(text) <= 200
        assert len(pages[page].select("meta[name=viewport]")) == 1
    titles = [pages[page].title.get_text() for page in PAGES]
    assert len(set(titles)) == len(titles)


def test_the_root_is_a_page_and_a_missing_page_says_so(site, pages):
    assert "refresh" not in str(pages["index.html"].head)
    assert pages["404.html"].h1.get_text() == "Page not found"
    assert (site / "robots.txt").read_text("utf-8").startswith("User-agent: *\nAllow: /\n")


def test_no_page_names_a_path_of_the_machine_that_built_it(site):
    machine = re.compile(r"(?<![\w.])/(?:work|root|home|Users|tmp)/\w")
    texts = texts_of(site, ".html", ".txt", ".ipynb", ".md")
    assert [path.name for path, text in texts if machine.search(text)] == []


def test_pages_are_small(site):
    assert [path.name for path in site.rglob("*.html") if path.stat().st_size > PAGE_BYTES] == []


def test_hidden_tests_are_nowhere_and_downloads_are_the_students_versions(site):
    """Neither on a page nor in a source, an index or a download."""
    texts = texts_of(site, ".html", ".ipynb", ".js", ".txt")
    published = unescape("\n".join(text for _, text in texts))
    archive = editions(site)
    assert "between the marks" not in published
    for assignment in assignments().values():
        hidden = [
            cell.source for cell in assignment.source.cells if grade_id(cell).endswith(HIDDEN)
        ]
        secrets = {
            line for source in hidden for line in source.splitlines()[1:-1] if len(line) > 50
        }
        assert secrets
        assert [line for line in secrets if line in published] == []
        offered = archive[f"lessons/{assignment.lesson}/exercises.ipynb"]
        assert HOW in offered and "between the marks" not in offered
        page = (site / f"lessons/{assignment.lesson}/exercises.html").read_text("utf-8")
        assert HOW_ON_A_PAGE in page and "Each answer goes where" not in page
        assert "BEGIN SOLUTION" not in offered
        assert "raise NotImplementedError" in offered


def texts_of(site, *endings):
    """Each file with one of these endings, but for the theme's own, and its text."""
    for path in site.rglob("*"):
        if path.suffix in endings and "_static" not in path.parts:
            yield path, path.read_text("utf-8")


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


def test_equations_are_counted_in_their_lesson_and_referred_to_so(pages):
    numbers = {}
    for page in LESSONS:
        shown = [
            (mark.parent["id"], mark.text.strip("#\N{PILCROW SIGN}"))
            for mark in pages[page].select(".eqno")
        ]
        lesson = int(LESSON.search(page)[1])
        assert [text for _, text in shown] == [f"({lesson}.{i})" for i in range(1, len(shown) + 1)]
        numbers |= dict(shown)
    referred = [
        (urldefrag(link["href"]).fragment, link.get_text())
        for page in LESSONS
        for link in pages[page].select("a.reference[href*='#equation-']")
    ]
    assert len(numbers) > 20 and len(referred) > 10
    assert [(place, text) for place, text in referred if numbers[place] != text] == []


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
    executed, _ = lessons.executed(tmp_path / "lesson.ipynb")
    assert executed.cells[code[2]].execution_count == 3


def test_solutions_are_folded_and_can_be_left_out(pages, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    shown = importlib.import_module("exercises").shown
    for assignment in assignments().values():
        page = pages[f"lessons/{assignment.lesson}/exercises.html"]
        assert len(page.select("details.hide")) == len(assignment.solutions())
        headings = [heading.get_text() for heading in page.select("article h2")]
        assert headings and not any(" points" in heading for heading in headings)
        answers = assignment.solutions()
        others = [cell.source for cell in assignment.source.cells if grade_id(cell) not in answers]
        given = "\n".join(others)  # an exercise may print a line that its solution keeps
        without = "\n".join(cell.source for cell in shown(assignment.path, False).cells)
        for solution in answers.values():
            body = [line.strip() for line in solution.splitlines() if line.startswith("    ")]
            secrets = [line for line in body if len(line) > 20 and line not in given]
            assert secrets
            assert [line for line in secrets if line in without] == []


def test_a_citation_is_what_the_bibliography_calls_the_work(pages):
    works = pages["book/bibliography.html"].select("div.citation")
    labels = [work.select_one(".label").get_text().strip("[]") for work in works]
    assert labels == sorted(set(labels), key=str.casefold)
    assert [work["id"] for work in works if not work.select("a.external")] == []
    label = dict(zip((work["id"] for work in works), labels, strict=True))
    cited = {
        (urldefrag(link["href"]).fragment, " ".join(link.get_text().split()))
        for soup in pages.values()
        for link in soup.select(".bibtex-citation a")
    }
    assert cited
    authors_and_year = {label[id] for id, _ in cited}
    years = {text.rpartition(", ")[2] for text in authors_and_year}
    assert {text for _, text in cited} <= authors_and_year | years
    assert [(id, text) for id, text in cited if not label[id].endswith(text)] == []


def test_the_pages_on_the_library_show_constructors_and_keep_references_whole(pages):
    """No class hides its parameters, and no "[1] Rubin (1987), …" is torn after its first line."""
    found = {page: soup for page, soup in pages.items() if page.startswith("book/api/")}
    terms = [term.get_text() for soup in found.values() for term in soup.select("dt")]
    assert [term for term in terms if re.match(r"\[\d+\]", term)] == []
    classes = [
        (mark["id"], mark.get_text())
        for soup in found.values()
        for mark in soup.select("dl.py.class > dt")
    ]
    assert [name for name, text in classes if "*args" in text] == []
    shown = {name.rpartition(".")[2]: " ".join(text.split()) for name, text in classes}
    assert "bandwidth" in shown["Parzen"] and "hidden" in shown["NADE"]
    table = found["book/api/models.html"].select_one("table")
    listed = {link.get_text() for link in table.select("td:first-child a")}
    assert listed == {
        n for n, m in Model.registry.items() if m.__module__.startswith("genlib.models.")
    }


def test_every_page_leads_to_the_index(pages):
    for page in PAGES:
        (link,) = pages[page].select("nav a[href$='genindex.html']")
        assert link.get_text(strip=True) == "Index"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Answers as the servers of static pages do: what is not there gets the page 404.html."""

    def log_message(self, *_):
        pass

    def send_error(self, code, *_):
        self.send_response(code)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(Path(self.directory, f"{code}.html").read_bytes())


@pytest.fixture(scope="session")
def address(site):
    """The site served to this machine."""
    handler = functools.partial(Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")  # a page left open keeps a core half busy
def browser():
    if executable() is None:
        pytest.skip("no Chromium on this machine: install it to see the pages tested in a browser")
    with Browser() as browser:
        yield browser


@dataclass
class Visit:
    """What one sees of a page on one visit; by width, what is not as it should be."""

    errors: list[str]
    requests: list[str]
    mathematics: list[int]  # formulas, and those that are typeset
    broken_pictures: list[str]
    share_of_code: float | None
    tab_stops: list
    scrolls_on_a_desk: list | None
    loose_links: list[str]
    too_wide: dict[int, bool] = field(default_factory=dict)
    cut_off: dict[int, list] = field(default_factory=dict)
    bad_scrollers: dict[int, list] = field(default_factory=dict)
    wide_pictures: dict[int, list] = field(default_factory=dict)
    not_well_enlarged: dict[int, list] = field(default_factory=dict)


@pytest.fixture(scope="module")
def visit(browser, address):
    """Visits a page when a test first asks for it, and once: laying one out takes seconds."""
    return functools.cache(functools.partial(visited, browser, address))


def visited(browser, address, page):
    """A page as it is opened, and then in every width."""
    browser.open(f"{address}/{page}", 1280)
    seen = Visit(
        errors=list(browser.errors),
        requests=list(browser.requests),
        mathematics=browser.ask(COUNT_MATHEMATICS),
        broken_pictures=browser.ask(BROKEN_PICTURES),
        share_of_code=browser.ask(CODE) if page in LESSONS else None,
        tab_stops=browser.ask(TAB_STOPS) if page in LESSONS else None,
        scrolls_on_a_desk=browser.ask(SCROLLS) if page in LESSONS else None,
        loose_links=browser.ask(LOOSE_LINKS),
    )
    enlarges = browser.ask("!!document.querySelector('a.enlarge')")
    browser.ask(UNFOLD)  # a browser need not lay out again what is folded away
    for width in WIDTHS:
        browser.resize(width)
        seen.too_wide[width] = browser.ask("document.documentElement.scrollWidth") > width
        seen.cut_off[width] = browser.ask(CUT_OFF)
        seen.bad_scrollers[width] = browser.ask(BAD_SCROLLERS)
        seen.wide_pictures[width] = browser.ask(WIDE_PICTURES)
        if enlarges and width in (390, 1280):
            browser.resize(width, 844)
            seen.not_well_enlarged[width] = browser.ask(NOT_WELL_ENLARGED)
            assert browser.ask("document.querySelector('dialog.enlarged')") is None
    return seen


every_page = pytest.mark.parametrize("page", PAGES + GENERATED)
every_lesson = pytest.mark.parametrize("page", LESSONS)


@every_page
def test_a_page_works_in_a_browser_without_network(visit, address, page):
    seen = visit(page)
    assert seen.errors == []
    assert [url for url in seen.requests if not url.startswith((address, "data:"))] == []
    formulas, typeset = seen.mathematics
    assert typeset == formulas


@every_page
def test_nothing_is_cut_off_at_any_width(visit, page):
    seen = visit(page)
    assert seen.too_wide == dict.fromkeys(WIDTHS, False)
    assert seen.cut_off == {width: [] for width in WIDTHS}


@every_page
def test_what_is_too_wide_is_shown_from_its_left_edge_with_a_sign_that_more_follows(visit, page):
    """Formulas, code and what code puts out; what scrolls is reached by keys."""
    assert visit(page).bad_scrollers == {width: [] for width in WIDTHS}


@every_page
def test_pictures_fit_their_place_and_are_enlarged_by_a_click(visit, page):
    seen = visit(page)
    assert seen.broken_pictures == []
    assert seen.wide_pictures == {width: [] for width in WIDTHS}
    assert not any(seen.not_well_enlarged.values())
    assert seen.loose_links == []


@every_lesson
def test_formulas_and_outputs_of_a_lesson_fit_the_page_on_a_desk(visit, page):
    """The number of a formula stands at its end: where the formula scrolls, it is out of sight."""
    assert visit(page).scrolls_on_a_desk == []


@every_lesson
def test_code_takes_a_quarter_of_a_lesson_at_most(visit, page):
    """What sets up, draws and checks is folded; what is left to see is worth reading."""
    assert visit(page).share_of_code <= 0.25


@every_lesson
def test_the_first_figure_is_reached_by_keys(visit, page):
    """The first stop skips the side bar, which grows with the book; the text has few before it."""
    first, from_the_text = visit(page).tab_stops
    assert first == "#main-content"
    assert from_the_text < 60


@pytest.mark.parametrize("missing", ["nothing.html", "lessons/99_x/lesson.html", "a/b/c/"])
def test_a_missing_page_looks_like_the_others_wherever_it_is(browser, address, missing):
    browser.open(f"{address}/{missing}")
    assert browser.ask("document.querySelector('h1').textContent") == "Page not found"
    shown = "getComputedStyle(document.querySelector('.bd-article h1')).fontSize"
    size = browser.ask(shown)
    links = browser.ask(
        "[...document.querySelectorAll('.bd-article a, .bd-links a')].map(a => a.href)"
    )
    assert f"{address}/index.html" in links
    assert {link.rpartition("#")[0] or link for link in links} <= {
        f"{address}/{page}" for page in (*PAGES, *GENERATED)
    }
    browser.open(f"{address}/{PAGES[1]}")
    assert browser.ask(shown) == size


def test_in_the_dark_figures_take_the_colours_of_the_page_and_pictures_stand_on_white(
    browser, address
):
    browser.open(f"{address}/lessons/03_density_estimation/lesson.html", dark=True)
    own, text, behind_figures, behind_pictures = browser.ask(IN_THE_DARK)
    assert own == [text] and min(colour(text)) > 150
    assert behind_figures == ["rgba(0, 0, 0, 0) 0px"]
    assert behind_pictures == ["rgb(255, 255, 255)"]


def test_a_table_of_answers_is_wide_enough_for_words_and_scrolls(browser, address):
    answers = json.dumps(gl.plots.answers([gl.PCA, gl.RBM, gl.KNearest])._repr_html_())
    for width in (390, 1280):
        browser.open(f"{address}/{LESSONS[0]}", width, 844)
        browser.ask(f"document.querySelector('article').insertAdjacentHTML('beforeend', {answers})")
        table, least, box, gap = browser.ask("""
            (table => [table.offsetWidth, getComputedStyle(table).minWidth,
                table.parentElement.clientWidth, getComputedStyle(table).borderCollapse]
            )(document.querySelector(".genlib-answers table"))
        """)
        assert least == f"{34 * 16}px" and table >= box and gap == "collapse"


def test_the_map_of_lessons_can_be_read_on_a_phone(browser, address):
    browser.open(f"{address}/index.html", 390, 844)
    texts = browser.ask("""
        [...document.querySelectorAll(".lesson-map text")].map(text => {
            const drawn = text.ownerSVGElement, box = text.previousElementSibling;
            const scale = drawn.getBoundingClientRect().width / drawn.viewBox.baseVal.width;
            return [parseFloat(getComputedStyle(text).fontSize) * scale,
                    box.getBoundingClientRect().right - text.getBoundingClientRect().right];
        })
    """)
    assert len(texts) == len(LESSONS)
    assert min(size for size, _ in texts) >= 12 and min(room for _, room in texts) > 0
    assert browser.ask("document.querySelector('.lesson-map').scrollWidth") <= 390


def test_nothing_lies_over_what_one_reads_on_a_phone(browser, address):
    browser.open(f"{address}/{LESSONS[0]}", 390, 844)
    browser.ask("scrollTo(0, 9000)")
    browser.ask("scrollTo(0, 8000)")  # upwards, for the theme's button
    browser.ask("new Promise(resolve => setTimeout(resolve, 500))")
    assert browser.ask("document.querySelector('#pst-back-to-top').offsetHeight") == 0


def test_the_magnifier_stands_before_what_one_types(browser, address):
    browser.open(f"{address}/search.html?q=kernel")
    right, left = browser.ask(
        "(field => [document.querySelector('.bd-article-container .bd-search :is(i, svg)')"
        ".getBoundingClientRect().right, field.getBoundingClientRect().left"
        " + parseFloat(getComputedStyle(field).paddingLeft)])"
        "(document.querySelector('.bd-article-container .bd-search input'))"
    )
    assert right < left


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
    assert browser.ask(ON_PAPER_ONLY_IN_THE_WAY) == []
    assert browser.ask(TORN_ON_PAPER) == []
    assert browser.ask("document.querySelector('.bd-article h1').offsetHeight") > 0


# Screens of 700 px, one every tenth of a second: how much of what is in view moves meanwhile.
SHIFT_WHILE_SCROLLING = """(async () => {
    let moved = 0;
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => (moved += entry.value)))
        .observe({ type: "layout-shift" });
    for (let y = 0; y < 21000; y += 700) {
        scrollTo(0, y);
        await new Promise((done) => setTimeout(done, 100));
    }
    return moved;
})()"""


def test_nothing_moves_under_the_eyes_of_one_who_scrolls(browser, address):
    """Formulas are typeset before they come into view."""
    browser.open(f"{address}/{LESSONS[2]}", 390, 844)
    assert browser.ask(SHIFT_WHILE_SCROLLING) < 0.1


def test_a_moving_figure_answers_the_keyboard(browser, address, pages):
    moving = [page for page, soup in pages.items() if soup.select(".genlib-curves")]
    assert moving
    for page in moving:
        browser.open(f"{address}/{page}")
        before = browser.ask(FIGURE_STATE)
        browser.ask("document.querySelector('.genlib-curves input[type=range]').focus()")
        for event in ("keyDown", "keyUp") * 2:  # an E-step alone moves no curve
            browser.send(
                "Input.dispatchKeyEvent",
                type=event,
                key="ArrowRight",
                code="ArrowRight",
                windowsVirtualKeyCode=39,
            )
        after = browser.ask(FIGURE_STATE)
        assert all(a != b for a, b in zip(before, after, strict=True)), page


def test_the_index_has_one_column_on_a_phone(browser, address):
    browser.open(f"{address}/genindex.html", 390, 844)
    assert browser.ask("document.querySelector('.genindextable td').clientWidth") > 300


def ask_for(browser, address, query):
    """What the search answers: the address, title and summary of each result, in order."""
    browser.open(f"{address}/search.html?{urlencode({'q': query})}")
    return browser.ask(SEARCH_RESULTS)


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("KL divergence", "lessons/04_maximum_likelihood/lesson.html"),
        ("kullback-leibler", "lessons/04_maximum_likelihood/lesson.html"),
        ("importance sampling", "lessons/09_variational_autoencoders/lesson.html"),
        ("MADE", "lessons/05_autoregressive_networks/lesson.html"),
        ("made", "lessons/05_autoregressive_networks/lesson.html"),
        ("NADE", "lessons/05_autoregressive_networks/lesson.html"),
        ("Bayesian networks", "lessons/02_structure/lesson.html"),
        ("Parzen", "lessons/03_density_estimation/lesson.html"),
        ("bandwith", "lessons/03_density_estimation/lesson.html"),
        ("softmax(x)", "lessons/06_sequence_models/lesson.html"),
        ("attention", "lessons/06_sequence_models/lesson.html"),
        ("PixelCNN", "lessons/07_pixel_models/lesson.html"),
        ("EM", "lessons/08_mixtures_and_em/lesson.html"),
        ("VAE", "lessons/09_variational_autoencoders/lesson.html"),
        ("RBM", "lessons/14_restricted_boltzmann_machines/lesson.html"),
        ("teacher forcing", "lessons/06_sequence_models/lesson.html"),
        ("perplexity", "book/glossary.html"),
    ],
)
def test_the_search_finds_the_lesson_first(browser, address, query, first):
    page, _, _ = ask_for(browser, address, query)[0]["address"].partition("#")
    assert page == first


@pytest.mark.parametrize("query", ["GAN", "FRAME"])
def test_the_search_knows_what_has_no_lesson_yet(browser, address, query):
    assert "book/coverage.html" in [found["address"] for found in ask_for(browser, address, query)]


@pytest.mark.parametrize(
    ("query", "place", "title"),
    [
        ("KL", "book/glossary.html#term-KullbackLeibler-divergence", "Kullback–Leibler divergence"),
        ("MADE", "book/glossary.html#term-masked-autoencoder", "masked autoencoder"),
        ("PixelCNN", "book/glossary.html#term-PixelCNN", "PixelCNN"),
        (
            "RBM",
            "book/glossary.html#term-restricted-Boltzmann-machine",
            "restricted Boltzmann machine",
        ),
        ("teacher forcing", "book/glossary.html#term-teacher-forcing", "teacher forcing"),
        ("perplexity", "book/glossary.html#term-perplexity", "perplexity"),
        ("MADE", "book/api/models.html#genlib.models.autoregressive.made.MADE", "made.MADE"),
    ],
)
def test_the_search_offers_terms_and_objects_by_name(browser, address, query, place, title):
    titles = {found["address"]: found["title"] for found in ask_for(browser, address, query)}
    assert titles[place].endswith(title)


def test_the_search_says_when_it_has_mended_a_query(browser, address):
    note = "document.querySelector('#search-results .mended')?.textContent"
    for query, said in (
        ("bandwidth", None),
        ("bandwith", "Showing bandwidth."),
        ("bandwwidth", "Showing bandwidth."),
        ("bandwidht", "Showing bandwidth."),
        ("bendwidth", "Showing bandwidth."),
        ("bandw", None),
        ("band", None),
    ):
        found = [result["address"] for result in ask_for(browser, address, query)]
        assert browser.ask(note) == said
        assert "lessons/03_density_estimation/lesson.html" in found


def test_the_search_finds_nothing_in_code_and_shows_none(browser, address):
    assert ask_for(browser, address, "nanmedian") == []
    for query in ("KL divergence", "importance sampling", "normalised"):
        for found in ask_for(browser, address, query):
            assert not re.search(r"\\|import |assert ", found["summary"]), found


def test_the_search_takes_a_word_in_the_browser_as_in_the_index(browser, address, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    stem = importlib.import_module("search").Words({}).stem
    browser.open(f"{address}/search.html")
    words = [*browser.ask("Object.keys(Search._index.weights)"), "ies", "ties", "gans", "s", "axis"]
    stems = browser.ask(f"{json.dumps(words)}.map(word => new Stemmer().stemWord(word))")
    assert stems == [stem(word) for word in words]


SEARCH_RESULTS = """
    new Promise(resolve => {
        const answer = () => {
            const results = [...document.querySelectorAll("ul.search li")];
            const state = document.querySelector("#search-results h2").textContent;
            const summed = results.every(one => one.querySelector("p.context"));
            if (state !== "Search Results" || !summed) return;
            clearInterval(waiting);
            resolve(results.map(one => ({
                address: one.querySelector("a").getAttribute("href"),
                title: one.querySelector("a").textContent,
                summary: one.querySelector("p.context").textContent,
            })));
        };
        const waiting = setInterval(answer, 20);
    })
"""
# The curves (one of them may stand still), the status and the value of the control.
FIGURE_STATE = """
    (figure => ["path[data-curve]", "[role=status]", "output"].map(selector =>
        [...figure.querySelectorAll(selector)]
            .map(part => part.getAttribute("d") || part.textContent).join()
    ))(document.querySelector(".genlib-curves"))
"""
# The part of a page's height that visible code takes.
CODE = """
    [...document.querySelectorAll(".bd-article .cell_input")]
        .filter(cell => !cell.closest("details:not([open])"))
        .reduce((sum, cell) => sum + cell.getBoundingClientRect().height, 0)
        / document.querySelector(".bd-article").getBoundingClientRect().height
"""
# Where the keys lead first, and how many stops of the text come before its first figure.
TAB_STOPS = """
    (() => {
        const figure = document.querySelector(".course-figure, [data-figure]");
        const main = document.querySelector("#main-content");
        const stops = "a[href], button, input, select, textarea, summary, [tabindex]";
        const before = [...document.querySelectorAll(stops)].filter((part) =>
            part.tabIndex >= 0 && !part.disabled
            && part.checkVisibility({ visibilityProperty: true })
            && figure.compareDocumentPosition(part) & Node.DOCUMENT_POSITION_PRECEDING);
        const inside = before.filter((part) => main.contains(part));
        return [before[0].getAttribute("href"), inside.length];
    })()
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
# Triangles and buttons that nobody can click, and boxes with an edge above their first line, which
# may stand alone at the end of a page.
ON_PAPER_ONLY_IN_THE_WAY = """
    [
        ...[...document.querySelectorAll(".bd-article details.hide > summary > p")]
            .filter(line => getComputedStyle(line).listStyleType !== "none"),
        ...[...document.querySelectorAll(".bd-article :is(button, .copybtn, a.headerlink)")]
            .filter(button => button.checkVisibility()),
        ...[...document.querySelectorAll(".bd-article .enlarge")]
            .filter(link => getComputedStyle(link, "::after").content !== "none"),
        ...[...document.querySelectorAll(".bd-article .cell :is(.cell_input, .output, pre)")]
            .filter(box => ["paddingTop", "borderTopWidth"].some(side =>
                parseFloat(getComputedStyle(box)[side]) > 0)),
    ].map(part => `${part.tagName} ${part.className} ${part.textContent.slice(0, 40)}`)
"""
# Formulas and outputs in sight that are wider than their place.
SCROLLS = """
    [...document.querySelectorAll(".bd-article :is(div.math, .cell_output pre)")]
        .filter(part => part.checkVisibility() && part.scrollWidth > part.clientWidth + 4)
        .map(part => part.textContent.slice(0, 60))
"""
# Where what scrolls does not begin at its left edge, is not reached by keys or has no shadow at its
# right one; and formulas that begin left of their box.
BAD_SCROLLERS = """
    new Promise(resolve => setTimeout(resolve, 50)).then(() =>
        [...document.querySelectorAll(".bd-article :is(div.math, pre)")].filter(part => {
            const formula = part.querySelector("mjx-container > *") ?? part;
            const left = formula.getBoundingClientRect().left - part.getBoundingClientRect().left;
            const scrolls = part.scrollWidth > part.clientWidth + 4;
            const told = part.tabIndex === 0 && getComputedStyle(part).boxShadow !== "none"
                && part.classList.contains("more-right") && !part.classList.contains("more-left");
            const bad = left < -1 || part.scrollLeft !== 0 || scrolls && !told;
            return part.checkVisibility() && bad;
        }).map(part => part.textContent.slice(0, 60)))
"""
# Colours of interactive figures, of the page, behind figures and behind pictures, each once.
IN_THE_DARK = """
    (() => {
        const each = (selector, style) => [...new Set(
            [...document.querySelectorAll(selector)].map(part => style(getComputedStyle(part))))];
        const figure = ".cell_output .text_html:has(.genlib-figure)";
        return [
            each(figure, style => style.color),
            getComputedStyle(document.querySelector(".bd-article p")).color,
            each(figure, style => `${style.backgroundColor} ${style.paddingTop}`),
            each(".cell_output img", style => style.backgroundColor),
        ];
    })()
"""
WIDE_PICTURES = """
    [...document.querySelectorAll(".bd-article img")]
        .filter(picture => picture.clientWidth > picture.parentElement.clientWidth + 0.5)
        .map(picture => picture.alt)
"""
# Clicks on every picture and on what then shows it: it fills the window, on white and without a
# frame, and is never smaller than it was drawn.
NOT_WELL_ENLARGED = """
    [...document.querySelectorAll("a.enlarge")].filter(link => {
        link.click();
        const dialog = document.querySelector("dialog.enlarged[open]");
        const picture = dialog.querySelector("img");
        const {width, height} = picture.getBoundingClientRect();
        const box = dialog.getBoundingClientRect();
        const {backgroundColor, borderTopWidth, paddingTop} = getComputedStyle(dialog);
        const [across, down] = ["width", "height"].map(side => picture.getAttribute(side));
        const [wide, high] = [0.94 * innerWidth, 0.94 * innerHeight * across / down];
        const good = Math.abs(width - Math.max(across, Math.min(wide, high))) < 1
            && Math.abs(height - width * down / across) < 2
            && box.left >= 0 && box.right <= innerWidth && box.bottom <= innerHeight + 1
            && box.width >= Math.min(width, innerWidth)
            && box.height >= Math.min(height, innerHeight)
            && backgroundColor === "rgb(255, 255, 255)" && borderTopWidth === "0px"
            && paddingTop === "0px";
        picture.click();
        return !good;
    }).map(link => link.ariaLabel)
"""
# Links that are higher than their picture, which therefore stands on a line of text.
LOOSE_LINKS = """
    [...document.querySelectorAll(".course-figure a.enlarge")]
        .filter(link => link.offsetHeight - link.firstElementChild.offsetHeight > 1)
        .map(link => link.ariaLabel)
"""
# What must not be torn between two pages, and what must be where it is longer than one; and titles
# at the end of a page.
TORN_ON_PAPER = """
    [["img, svg, div.math, tr, .genlib-figure", "breakInside", "avoid"],
     [":is(div, details, figure, pre, blockquote):not(.math, .genlib-figure, .genlib-figure *)",
      "breakInside", "auto"],
     ["h1, h2, h3, h4", "breakAfter", "avoid"]].flatMap(([selector, property, value]) =>
        [...document.querySelectorAll(`.bd-article :is(${selector})`)]
            .filter(part => part.checkVisibility() && getComputedStyle(part)[property] !== value)
            .map(part => `${part.tagName} ${part.className}`))
"""
# What is wider than one of the boxes around it that cuts it off: neither to be seen nor, on a
# screen, to be scrolled to.
UNFOLD = "document.querySelectorAll('details').forEach(part => { part.open = true; })"
CUT_OFF = """
    [...document.querySelectorAll(".bd-article *, .bd-toc a")].filter(part => {
        const text = document.createRange();
        text.selectNodeContents(part);
        const box = (part.childElementCount ? part : text).getBoundingClientRect();
        const inside = part.parentElement.closest("mjx-container, svg, script, [hidden]");
        if (inside || !box.width || !box.height) return false;
        if (getComputedStyle(part).clipPath !== "none") return false; // is there to be heard
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
