"""Sphinx extension: what a reader can run, and the buttons that lead there.

What the Download button gives is the reader's edition of a notebook (`tools.readers`), never its
source; all of them together are ``notebooks.zip``, which the publishing workflow unpacks into the
branch that Binder and Colab open. Their buttons need the repository's address: the environment
variable ``REPOSITORY``, which that workflow sets, or else ``repository.url`` of ``_config.yml``.
Without one there are no such buttons, since they would lead nowhere.
"""

import os
import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from references import label
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.errors import ConfigError

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the course's own tools

from tools.coursework.assignment import SOURCE, Assignment
from tools.readers.bundle import archive
from tools.readers.notebook import Source, commit_of, edition
from tools.readers.text import Book, Plain, Target, Work

ADDRESS = re.compile(r"https://[\w-]+(\.[\w-]+)+/[\w.-]+/[\w.-]+(?<!\.git)", re.ASCII)
GITHUB = re.compile(r"https://(?:www\.)?github\.com/", re.IGNORECASE)  # one host, in many spellings
BUNDLE = "notebooks.zip"


def offer_buttons(app: Sphinx, config: Config) -> None:
    options = config.html_theme_options
    address = os.environ.get("REPOSITORY") or options["repository_url"] or ""
    if address and not ADDRESS.fullmatch(str(address)):
        raise ConfigError(
            f"The repository's address is {address!r}. Expected https://HOST/OWNER/NAME and "
            "nothing after it: mend `repository.url` in _config.yml, or REPOSITORY in the "
            "environment; leave it empty where there is none."
        )
    address = GITHUB.sub("https://github.com/", str(address))
    options["repository_url"] = address
    options["use_repository_button"] = bool(address)
    if not address:
        del options["launch_buttons"]
    elif not address.startswith("https://github.com/"):
        del options["launch_buttons"]["colab_url"]  # Colab opens nothing from elsewhere


def write_editions(app: Sphinx, error: Exception | None) -> None:
    """Put the reader's edition of every notebook where the Download button leads."""
    if error:
        return
    root, book = Path(app.srcdir), known_targets(app.env, app.config.html_baseurl)
    address = app.config.html_theme_options["repository_url"]
    source = Source(address, commit_of(root)) if address else None
    editions = {}
    for page in sorted(app.env.found_docs):
        path = Path(app.env.doc2path(page))
        if path.suffix == ".ipynb":
            editions[page] = edition(given_out(path), Plain(book, page, root), source)
            nbformat.write(editions[page], Path(app.outdir, "_sources", f"{page}.ipynb"))
    archive(Path(app.outdir, BUNDLE), editions, source)


def given_out(path: Path) -> NotebookNode:
    """A lesson as it stands; exercises without solutions and hidden tests."""
    if path.name == SOURCE:
        return Assignment(path).released()
    return nbformat.read(path, as_version=4)


def known_targets(env: BuildEnvironment, site: str) -> Book:
    """What the book knows of the targets of its references."""
    std, numbers = env.get_domain("std"), env.toc_fignumbers
    labels = {
        name: Target(title, page, anchor) for name, (page, anchor, title) in std.labels.items()
    }
    figures = {
        name: Target("Figure " + dotted(numbers[page]["figure"][anchor]), page, anchor)
        for name, (page, anchor) in std.anonlabels.items()
        if anchor in numbers.get(page, {}).get("figure", {})
    }
    terms = {
        name.lower(): Target(name, page, anchor)
        for name, _, kind, page, anchor, _ in std.get_objects()
        if kind == "term"
    }
    equations = {
        name: Target(str(number), page, f"equation-{name}")
        for name, (page, number) in env.get_domain("math").equations.items()
    }
    titles = {page: Target(title.astext(), page) for page, title in env.titles.items()}
    roles = {"doc": titles, "ref": labels, "numref": figures, "term": terms, "eq": equations}
    site = (site or "").rstrip("/")
    return Book(roles, works_of(env, site), site)


def dotted(number: tuple[int, ...]) -> str:
    return ".".join(map(str, number))


def works_of(env: BuildEnvironment, site: str) -> dict[str, Work]:
    """The bibliography: authors and year as the text names them, and where the work is found."""
    works = {}
    for citation in env.get_domain("cite").citations:
        fields, place = citation.entry.fields, citation.bibliography_key.docname
        listed = f"{site}/{place}.html#{citation.citation_id}" if site else ""
        found = f"https://doi.org/{fields['doi']}" if "doi" in fields else fields.get("url", listed)
        works[citation.key] = Work(*label(citation.entry).rsplit(", ", 1), found)
    return works


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", offer_buttons)
    app.connect("build-finished", write_editions)
    return {"parallel_read_safe": True}
