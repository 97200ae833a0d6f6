"""The bibliography's source: each work can be looked up, and is told apart from every other."""

import importlib
import re
from collections import Counter

import pytest
from pybtex.database import Entry, Person, parse_file

from tools import ROOT

ENTRIES = parse_file(ROOT / "book" / "references.bib").entries
REQUIRED = {
    "article": {"author", "title", "journal", "year"},
    "book": {"author", "title", "publisher", "year"},
    "incollection": {"author", "title", "booktitle", "year"},
    "inproceedings": {"author", "title", "booktitle", "year"},
    "misc": {"author", "title", "howpublished", "year"},
    "phdthesis": {"author", "title", "school", "year"},
    "techreport": {"author", "title", "institution", "year"},
}
DOI = re.compile(r"10\.\d{4,9}/[-._;()/:<>A-Za-z0-9]+")
URL = re.compile(r"https://[a-z0-9.-]+/[-._~()/:?=A-Za-z0-9]+")


@pytest.fixture
def references(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    return importlib.import_module("references")


@pytest.mark.parametrize("key", ENTRIES)
def test_an_entry_has_the_fields_of_its_type_and_one_address(key):
    entry = ENTRIES[key]
    assert REQUIRED[entry.type] - {*entry.fields, *entry.persons} == set()
    assert re.fullmatch(r"\d{4}", entry.fields["year"])
    assert ("doi" in entry.fields) != ("url" in entry.fields)
    assert DOI.fullmatch(entry.fields.get("doi", "10.1000/0"))
    assert URL.fullmatch(entry.fields.get("url", "https://example.org/0"))


def test_a_preprint_has_the_doi_of_its_number():
    preprints = {
        entry.fields["doi"]: re.fullmatch(r"arXiv preprint arXiv:(.*)", entry.fields["journal"])[1]
        for entry in ENTRIES.values()
        if "arXiv" in entry.fields.get("journal", "")
    }
    assert preprints
    assert list(preprints) == [f"10.48550/arXiv.{number}" for number in preprints.values()]


def test_no_two_entries_share_an_address_or_a_title():
    for name in ("doi", "url", "title"):
        values = [entry.fields[name].lower() for entry in ENTRIES.values() if name in entry.fields]
        assert [value for value, count in Counter(values).items() if count > 1] == []


def work(year, title, *authors):
    return Entry("book", {"year": year, "title": title}, {"author": list(map(Person, authors))})


def test_labels_are_those_of_the_text_and_equal_ones_get_letters(references):
    works = [
        work("2016", "Pixels", "van den Oord, A.", "Kalchbrenner, N.", "Kavukcuoglu, K."),
        work("2016", "Decoders", "van den Oord, A.", "Vinyals, O.", "Graves, A."),
        work("1987", "Coding", "Witten, I.", "Neal, R."),
        work("1994", "Gradients", "Bengio, Y.", "Simard, P.", "Frasconi, P."),
        work("2000", "Discrete data", "Bengio, Y.", "Bengio, S."),
    ]
    references.add_letters(works)
    references.add_letters(works)  # a second build from the same environment changes nothing
    style = references.AuthorYearStyle()
    assert list(style.format_labels(style.sort(works))) == [
        "Bengio and Bengio, 2000",
        "Bengio et al., 1994",
        "van den Oord et al., 2016a",
        "van den Oord et al., 2016b",
        "Witten and Neal, 1987",
    ]
    assert [entry.fields["year"] for entry in works[:2]] == ["2016b", "2016a"]
