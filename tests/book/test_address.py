"""What the book says of its own address, and what it leaves out with SOLUTIONS=0.

A book of four pages with the course's own extensions, built once, from a repository that has an
address.
"""

import importlib
import os
import re
import subprocess
import sys
import zipfile

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from book._ext.exercises import HOW, HOW_ON_A_PAGE
from tests.coursework import toy
from tools import ROOT
from tools.coursework.form import grade_id

REPOSITORY = "https://github.com/Owner/course"
SITE = "https://owner.github.io/course"
LESSON, EXERCISES = f"lessons/{toy.LESSON}/lesson", f"lessons/{toy.LESSON}/exercises"
PAGES = ["index", LESSON, EXERCISES, "book/works"]
CONF = f"""\
import sys
sys.path.insert(0, {str(ROOT / "book" / "_ext")!r})
project = html_title = "Tiny & small"
extensions = ["myst_nb", "sphinxcontrib.bibtex", "crossrefs", "edition", "equations", "exercises"]
extensions += ["figures", "folding", "head", "launch", "references"]
myst_enable_extensions = ["dollarmath"]
nb_execution_mode = "off"
bibtex_bibfiles = ["works.bib"]
bibtex_reference_style = bibtex_default_style = "author_year"
html_theme = "sphinx_book_theme"
html_theme_options = {{
    "repository_url": "",
    "repository_branch": "notebooks",
    "launch_buttons": {{
        "notebook_interface": "jupyterlab",
        "binderhub_url": "https://binder.example",
        "colab_url": "https://colab.example",
    }},
}}
html_static_path = [{str(ROOT / "book" / "_static")!r}]
exclude_patterns = ["html"]
"""
INDEX = """\
# Tiny

The first paragraph: p < "q". <!-- edition -->

<!-- citation -->

```{toctree}
lessons/90_toy/lesson
lessons/90_toy/exercises
book/works
```
"""
WORKS = """\
# Works

Three of them.

```{bibliography}
:all:
```
"""
BIBLIOGRAPHY = """\
@article{doi, author = {Ada Ay}, title = {A}, journal = {J}, year = 2001, doi = {10.1/a}, url = {https://a.example}}
@article{url, author = {Bob Be}, title = {B}, journal = {J}, year = 2002, url = {https://b.example/b}}
@book{none, author = {Cyd Ce}, title = {C}, publisher = {P}, year = 2003}
"""
TEXT = """\
# 90 · Toy

Words by {cite:t}`doi,url,none`, in [the works](/book/works.md).

$$
a = b
$$ (eq-a)
"""
DRAWING = '<svg width="72pt" height="36pt" xmlns="http://www.w3.org/2000/svg"></svg>'


def write(folder):
    """The sources, as one commit."""
    picture = new_code_cell(
        "# Figure: a line\nplot(x)",
        metadata={"mystnb": {"image": {"alt": "Words < a line of points."}}},
        outputs=[new_output("display_data", {"image/svg+xml": DRAWING})],
    )
    kernel = {"kernelspec": {"display_name": "P", "language": "python", "name": "python3"}}
    lesson = new_notebook(cells=[new_markdown_cell(TEXT), picture], metadata=kernel)
    first = new_markdown_cell(f"# Exercises 90: Toy\n\nOf lesson 90's {{eq}}`eq-a`. {HOW}")
    toy.write(folder, [first, *toy.cells()])
    nbformat.write(lesson, folder / f"{LESSON}.ipynb")
    (folder / "book").mkdir()
    files = {"conf.py": CONF, "index.md": INDEX, "book/works.md": WORKS, "works.bib": BIBLIOGRAPHY}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "CITATION.cff").write_bytes((ROOT / "CITATION.cff").read_bytes())
    git = ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@a.example"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    answer = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return answer.stdout.strip()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The built pages, and the commit that they are of."""
    folder = tmp_path_factory.mktemp("tiny")
    commit = write(folder)
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "-q", "--keep-going"]
    environment = os.environ | {"REPOSITORY": REPOSITORY, "SOLUTIONS": "0"}
    environment["PYTHONPATH"] = str(ROOT)
    run = subprocess.run(
        [*command, folder, folder / "html"], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return folder / "html", commit


@pytest.fixture(scope="module")
def pages(built):
    return {
        page: BeautifulSoup((built[0] / f"{page}.html").read_text("utf-8"), "html.parser")
        for page in PAGES
    }


def editions(site):
    """The texts in the notebooks' archive, by name."""
    with zipfile.ZipFile(site / "notebooks.zip") as archive:
        names = [name for name in archive.namelist() if not name.endswith(".whl")]
        return {name: archive.read(name).decode() for name in names}


def content(soup, name):
    (tag,) = soup.select(f'meta[name="{name}"], meta[property="{name}"]')
    return tag["content"]


def test_each_page_says_where_it_is(built, pages):
    for page, soup in pages.items():
        (canonical,) = soup.select("link[rel=canonical]")
        assert canonical["href"] == content(soup, "og:url") == f"{SITE}/{page}.html"


def test_each_page_has_a_card(built, pages):
    for soup in pages.values():
        assert content(soup, "twitter:card") == "summary_large_image"
        address = content(soup, "og:image")
        assert address.startswith(f"{SITE}/")
        assert (built[0] / address.removeprefix(f"{SITE}/")).read_bytes().startswith(b"\x89PNG")
        assert content(soup, "og:site_name") == "Tiny & small"
    assert content(pages["index"], "og:description").startswith("The first paragraph: p < “q”.")
    assert content(pages[LESSON], "og:title") == "90 · Toy"


def test_the_site_map_lists_the_pages_and_search_engines_are_told_of_it(built):
    site, _ = built
    places = re.findall("<loc>(.*?)</loc>", (site / "sitemap.xml").read_text("utf-8"))
    assert sorted(places) == sorted(f"{SITE}/{page}.html" for page in PAGES)
    lines = (site / "robots.txt").read_text("utf-8").splitlines()
    assert lines == ["User-agent: *", "Allow: /", f"Sitemap: {SITE}/sitemap.xml"]


def test_buttons_open_the_readers_edition(pages):
    for page in (LESSON, EXERCISES):
        links = {
            link["href"] for link in pages[page].select("header a[href], .article-header-buttons a")
        }
        binder = "https://binder.example/v2/gh/Owner/course/notebooks?urlpath=lab/tree/"
        assert f"{binder}{page}.ipynb" in links
        colab = "https://colab.example/github/Owner/course/blob/notebooks/"
        assert f"{colab}{page}.ipynb" in links
        assert REPOSITORY in links


def test_notebooks_install_genlib_at_the_commit_of_the_book(built):
    site, commit = built
    requirement = f"genlib-course @ git+{REPOSITORY}@{commit}"
    found = editions(site)
    assert set(found) >= {f"{LESSON}.ipynb", f"{EXERCISES}.ipynb", "environment.yml", "postBuild"}
    for page in (LESSON, EXERCISES):
        notebook = nbformat.reads(found[f"{page}.ipynb"], as_version=4)
        assert f'genlib_course = "{requirement}"' in notebook.cells[0].source
        assert notebook == nbformat.read(site / "_sources" / f"{page}.ipynb", as_version=4)
    assert requirement in found["postBuild"]
    assert commit in found["README.md"] and REPOSITORY in found["README.md"]


def test_links_of_notebooks_lead_to_places_of_the_site(built, pages):
    found = editions(built[0])
    text = nbformat.reads(found[f"{LESSON}.ipynb"], as_version=4).cells[1].source
    (listed,) = [
        work["id"]
        for work in pages["book/works"].select("div.citation")
        if "Cyd" in work.get_text()
    ]
    assert "[Ay (2001)](https://doi.org/10.1/a)" in text
    assert "[Be (2002)](https://b.example/b)" in text
    assert f"[Ce (2003)]({SITE}/book/works.html#{listed})" in text
    assert f"[the works]({SITE}/book/works.html)" in text
    question = nbformat.reads(found[f"{EXERCISES}.ipynb"], as_version=4).cells[1].source
    address, _, anchor = re.search(r"\[\(90\.1\)\]\(([^)]*)\)", question)[1].partition("#")
    assert address == f"{SITE}/{LESSON}.html" and pages[LESSON].find(id=anchor)


def test_without_solutions_there_are_none_and_the_page_says_how_to_answer(built, pages):
    site, _ = built
    words = pages[EXERCISES].get_text()
    assert "def double(x)" in words and HOW_ON_A_PAGE in words.replace("`", "") and HOW not in words
    assert not pages[EXERCISES].select("details.hide")
    texts = [words, *editions(site).values()]
    texts += [path.read_text("utf-8") for path in site.rglob("*.ipynb")]
    texts += [(site / "searchindex.js").read_text("utf-8")]
    secrets = ("2 * x", "x**2", "secret = -7", "BEGIN SOLUTION")
    assert [secret for secret in secrets for text in texts if secret in text] == []


def test_solutions_stand_folded_behind_their_checks(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    shown = importlib.import_module("exercises").shown
    last = new_code_cell("x = 1")
    cells = shown(toy.write(tmp_path, [*toy.cells(), last]), True).cells
    names = [grade_id(cell) for cell in cells if cell.cell_type == "code"]
    assert names == ["set-up", "double-visible", "double", "square-visible", "square", ""]
    folded = [grade_id(cell) for cell in cells if "mystnb" in cell.metadata]
    assert folded == ["double", "square"]
    (double,) = [cell for cell in cells if grade_id(cell) == "double"]
    assert double.source == "def double(x):\n    return 2 * x"


def test_the_first_page_says_which_edition_this_is_and_how_to_cite_it(built, pages):
    words = pages["index"].get_text()
    assert re.search(rf"Edition [\d.]+ of \d+ \w+ \d{{4}} \({built[1][:7]}\w*\)", words)
    assert f"url     = {{{REPOSITORY}}}" in words
