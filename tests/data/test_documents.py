"""Bundled documents: the file against its own rules, and against the packages it was made from."""

import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from genlib import data
from tools import docstrings as tool


@pytest.fixture(scope="module")
def docs():
    return data.docstrings()


def all_rows(docs):
    return torch.cat([part for _, part in docs.splits.items()])


def test_shapes_and_splits(docs):
    assert docs.train.dtype == torch.float32 and docs.event_shape == (1000,)
    assert [len(part) for _, part in docs.splits.items()] == [3045, 387, 363]
    assert len(docs.words) == len(set(docs.words)) == 1000 and list(docs.words) == sorted(
        docs.words
    )
    assert len(docs.titles) == len(set(docs.titles)) == 3795


def test_counts_are_whole_and_documents_long_enough(docs):
    rows = all_rows(docs)
    assert torch.equal(rows, rows.round()) and rows.min() == 0 and rows.max() <= 255
    assert rows.sum(1).min() >= tool.FEWEST
    assert (docs.train > 0).sum(0).min() >= tool.FEWEST_DOCUMENTS


@pytest.mark.covers("R10")
def test_every_split_has_every_package(docs):
    assert docs.packages == tuple(tool.PACKAGES)
    for _, labels in docs.labels.items():
        shares = labels.bincount(minlength=8) / len(labels)
        assert shares.min() > 0.06 and shares.max() < 0.18
    assert torch.cat([part for _, part in docs.labels.items()]).bincount().max() <= 500


def test_labels_are_the_packages_of_the_titles(docs):
    for split, labels in docs.labels.items():
        for label, title in zip(
            labels.tolist(), getattr(docs.factors["title"], split), strict=True
        ):
            folder = tool.PACKAGES[docs.packages[label]]
            first = docs.titles[title].split(".")[0]
            assert first == folder if folder else first not in tool.PACKAGES.values()


def test_no_document_is_like_another(docs):
    rows = all_rows(docs)
    alike = np.tril(cosine_similarity(rows.double()), -1)
    assert alike.max() < tool.ALIKE


def test_the_hash_of_a_title_decides_its_split(docs):
    for number, (split, titles) in enumerate(docs.factors["title"].items()):
        assert len(titles) == len(getattr(docs, split))
        for title in titles.tolist()[::20]:
            assert tool.Document("", docs.titles[title], None).split == number


def test_names_of_packages_are_no_words(docs):
    names = {"numpy", "scipy", "sklearn", "learn", "scikit", "skimage", "matplotlib", "plt", "mpl"}
    names |= {"networkx", "sympy", "torch", "pytorch", "python", "sci", "num", "pyplot"}
    assert not (names - {"learn", "num"}) & set(docs.words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Fit n_features of MaxPool by FFTs, or an FFT.", "features fit max pool fft"),
        ("SciPy's ndarray, as PyTorch has it. NumPy: SymPy; np.dot", "ndarray dot"),
        ("Shape\n-----\nsame\n\n    Args:\n  batch", "batch"),
        ("A note.\n\n>>> import tree\n... graph\nleaf\n\nRoot :class:`node`", "note root node"),
        (".. math:: \\alpha beta\n:math:`\\frac gamma`", "gamma"),
    ],
)
def test_words_of_a_text(text, words):
    assert set(tool.bag(text)) == set(words.split())


@pytest.mark.parametrize("package", ["scikit-image", "networkx"])
def test_documents_are_those_of_the_packages(docs, package):
    """Counted again from the same version."""
    if dict(zip(tool.PACKAGES, tool.versions(), strict=True))[package] not in docs.source:
        pytest.skip(f"the file was made from another version than that of {package} here")
    column = {word: number for number, word in enumerate(docs.words)}
    again = {document.title: document.words for document in tool.documents(package)}
    for split, labels in docs.labels.items():
        rows = getattr(docs, split)[labels == docs.packages.index(package)]
        titles = getattr(docs.factors["title"], split)[labels == docs.packages.index(package)]
        for row, title in zip(rows, titles.tolist(), strict=True):
            counted = torch.zeros(1000)
            for word, number in again[docs.titles[title]].items():
                if word in column:
                    counted[column[word]] = min(number, 255)
            assert torch.equal(row, counted), docs.titles[title]


def test_methods_keep_what_the_columns_mean(docs):
    few = docs.of_classes([docs.packages.index("sympy")]).subset(10)
    assert few.words == docs.words and few.packages == docs.packages
    titles = [docs.titles[number] for number in few.factors["title"].valid]
    assert all(title.startswith("sympy.") for title in titles)


def test_it_is_small_and_read_quickly():
    assert tool.FILE.stat().st_size < 2**20
    data.docstrings()
    begin = time.process_time()
    data.docstrings()
    assert time.process_time() - begin < 0.3


def test_it_needs_no_package_that_it_was_made_from():
    code = (
        "import sys; from genlib import data; docs = data.docstrings(); "
        "assert not {'sklearn', 'skimage', 'networkx', 'sympy', 'matplotlib'} & "
        "{name for name in sys.modules}, sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
