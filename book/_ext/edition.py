"""Sphinx extension: ``<!-- edition -->`` says which edition of the course this is, and
``<!-- citation -->`` how to cite it, from CITATION.cff and the repository.
"""

import datetime
import subprocess
from pathlib import Path

import yaml
from sphinx.application import Sphinx

EDITION, CITATION = "<!-- edition -->", "<!-- citation -->"
BIBTEX = """\
```bibtex
@software{{generative_models_course,
  title   = {{{title}}},
  author  = {{{{{authors}}}}},
  version = {{{version}}},
  year    = {{{year}}},{url}
}}
```"""


def last_change(root: Path) -> tuple[str, str]:
    """Date and commit of the last change; today and nothing outside a repository."""
    command = ["git", "log", "-1", "--format=%cs %h"]
    try:
        said = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return datetime.date.today().isoformat(), ""
    date, _, commit = said.strip().partition(" ")
    return date, commit


def edition(root: Path) -> str:
    """Version and date, in words."""
    date, commit = last_change(root)
    day = datetime.date.fromisoformat(date)
    from_commit = f" (`{commit}`)" if commit else ""
    return f"Edition {cited(root)['version']} of {day.day} {day:%B %Y}{from_commit}"


def citation(root: Path, address: str) -> str:
    """An entry for BibTeX."""
    work = cited(root)
    url = f"\n  url     = {{{address}}}," if address else ""
    authors = " and ".join(author["name"] for author in work["authors"])
    year = last_change(root)[0][:4]
    fields = {"title": work["title"], "version": work["version"], "authors": authors}
    return BIBTEX.format(**fields, year=year, url=url)


def cited(root: Path) -> dict:
    return yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))


def expand(app: Sphinx, page: str, source: list[str]) -> None:
    root, address = Path(app.srcdir), app.config.html_theme_options["repository_url"]
    if EDITION in source[0]:
        source[0] = source[0].replace(EDITION, edition(root))
    if CITATION in source[0]:
        source[0] = source[0].replace(CITATION, citation(root, address))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", expand)
    return {"parallel_read_safe": True}
