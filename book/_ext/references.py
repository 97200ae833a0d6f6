"""Sphinx extension: references by author and year, in the text and in the bibliography alike.

Two works of the same authors and year are told apart by a letter after the year. It is written into
the year of each, from which sphinxcontrib.bibtex makes a citation, its label and its entry.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from types import SimpleNamespace

from pybtex.backends.plaintext import Backend
from pybtex.database import Entry
from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style
from pybtex.style.labels import BaseLabelStyle
from pybtex.style.sorting import BaseSortingStyle
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinxcontrib.bibtex.style.referencing import PersonStyle

LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Made once: each of them asks all installed packages for pybtex's plug-ins.
PERSONS = PersonStyle()  # the style of citations in the text
PLAIN = Backend()


def label(entry: Entry) -> str:
    """Authors and year, as a citation in the text gives them: "van den Oord et al., 2016"."""
    template = PERSONS.author_or_editor_or_title(full=False)
    authors = template.format_data({"entry": entry, "style": SimpleNamespace(person=PERSONS)})
    return f"{authors.render(PLAIN)}, {entry.fields['year']}"


def order(entry: Entry) -> tuple[str, str]:
    return label(entry).casefold(), entry.fields["title"].casefold()


def add_letters(entries: Iterable[Entry]) -> None:
    """Add a letter to the year of each entry whose label another one has, in order of titles."""
    for _, same in groupby(sorted(entries, key=order), key=label):
        alike = list(same)
        if len(alike) > 1:
            for entry, letter in zip(alike, LETTERS, strict=False):
                entry.fields["year"] += letter


class AuthorYearLabels(BaseLabelStyle):
    """The label of an entry is how the text cites it."""

    def format_labels(self, sorted_entries: Iterable[Entry]) -> Iterator[str]:
        return map(label, sorted_entries)


class AuthorYearSorting(BaseSortingStyle):
    """By label, so that a reader finds an entry under what the text calls it."""

    def sorting_key(self, entry: Entry) -> tuple[str, str]:
        return order(entry)


class AuthorYearStyle(Style):
    """The plain style of BibTeX, labelled and sorted by author and year."""

    default_label_style = AuthorYearLabels
    default_sorting_style = AuthorYearSorting


def tell_apart(app: Sphinx, env: BuildEnvironment, pages: list[str]) -> None:
    add_letters(env.get_domain("cite").bibdata.data.entries.values())


def setup(app: Sphinx) -> dict[str, bool]:
    register_plugin("pybtex.style.formatting", "author_year", AuthorYearStyle)
    app.connect("env-before-read-docs", tell_apart)
    return {"parallel_read_safe": True}
