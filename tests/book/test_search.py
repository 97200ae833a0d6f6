"""What the search makes of words and pages; `test_site` asks it questions."""

import importlib

import pytest
from docutils import nodes
from docutils.utils import new_document

from tools import ROOT


@pytest.fixture
def search(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    return importlib.import_module("search")


@pytest.mark.parametrize(
    ("word", "stem"),
    [
        ("models", "model"),
        ("densities", "density"),
        ("Bayes", "baye"),
        ("loss", "loss"),
        ("bias", "bia"),
        ("analysis", "analysis"),
        ("ties", "tie"),
        ("GANs", "gan"),
        ("its", "its"),
        ("importance", "importance"),
        ("import", "import"),
    ],
)
def test_only_plurals_are_taken_off(search, word, stem):
    assert search.Words({}).stem(word) == stem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a MADE, made of 2 masks", ["made", "mask"]),
        ("the FRAME of a frame", ["frame"]),
        ("Kullback–Leibler", ["kullback", "leibler", "kl"]),
        ("Kullback-Leibler", ["kullback", "leibler", "kl"]),
        ("restricted Boltzmann machines", ["restricted", "boltzmann", "machine", "rbm"]),
        ("a variational autoencoder", ["variational", "autoencoder", "vae"]),
    ],
)
def test_capitals_and_what_abbreviations_stand_for_count(search, text, words):
    assert search.Words({}).words(text) == words


def test_code_and_formulas_are_left_out_and_the_page_stays_whole(search):
    page = new_document("page")
    cell = nodes.container("", nodes.paragraph("", "output"), nb_element="cell_code")
    text = nodes.paragraph("", "", nodes.Text("prose "), nodes.math("", r"\mathrm{KL}"))
    page += [cell, text, nodes.literal_block("", "import this"), nodes.math_block("", "x = y")]
    assert search.readable(page).astext().strip() == "prose"
    assert "import this" in page.astext() and "output" in page.astext()


def test_lessons_count_most(search):
    pages = ["lessons/04_x/lesson", "book/glossary", "lessons/04_x/exercises", "book/api/models"]
    shares = [search.share(page) for page in [*pages, "book/bibliography"]]
    assert shares == sorted(shares, reverse=True) and len(set(shares)) == len(shares)
