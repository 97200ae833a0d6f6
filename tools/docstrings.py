"""Write ``genlib/data/docstrings.npz``, the corpus of ``gl.data.docstrings``.

Sources of installed packages are read, not imported: what the file holds depends on their versions
alone, and it records them. A hash of its name decides where a document stands, and with that its
split.
"""

from __future__ import annotations

import ast
import hashlib
import platform
import re
import sysconfig
import warnings
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from sklearn.preprocessing import normalize

from tools import ROOT

FILE = ROOT / "genlib" / "data" / "docstrings.npz"

# By the name of the distribution, which is the label: the folder of the package.
PACKAGES = {
    "standard library": None,
    "scipy": "scipy",
    "scikit-learn": "sklearn",
    "scikit-image": "skimage",
    "matplotlib": "matplotlib",
    "networkx": "networkx",
    "sympy": "sympy",
    "torch": "torch",
}
MOST_DOCUMENTS = 500  # of a package
FEWEST = 20  # words of a document that are in the vocabulary
WORDS = 1000  # of the vocabulary
FEWEST_DOCUMENTS, LARGEST_SHARE = 10, 0.5  # of the training documents that have a word
ALIKE = 0.8  # cosine of two documents' counts, from which on they are duplicates
TRAIN, VALID = 0.8, 0.9  # up to where hashes are training documents, and validation documents

SKIPPED = {"test", "tests", "testing", "benchmarks", "externals", "site-packages", "distutils"}
SKIPPED |= {"idlelib", "lib2to3", "turtledemo", "ensurepip", "pydoc_data"}
# Names of packages are left out, since they would tell the label, and markup, since it would tell
# the style of a package.
NOT_WORDS = re.compile(
    r"""
    ^[ ]*>>>.*(?:\n[ ]*\S.*)*               # an example and what it prints
    | ^[ ]*[A-Z][\w ]*\n[ ]*[-=~]{3,}[ ]*$  # an underlined heading
    | ^[ ]*[A-Z]\w*(?:[ ]\w+)?::?[ ]*$      # a heading with a colon
    | ^[ ]*\.\.[ ].*$                       # a directive
    | :(?:\w+:)?\w+:`                       # a role
    | \\\w+                                 # a command of LaTeX
    | https?://\S+
    | sphx_glr\w+                           # a link to a gallery of examples
    | (?i:(?:num|sci|sym)py|scikit-(?:learn|image)|matplotlib|networkx|(?:py|lib)?torch)
    | (?i:c?python|sklearn|skimage|pyplot|pylab)|\b(?:mpl|plt)\b
    """,
    re.MULTILINE | re.VERBOSE,
)
WORD = re.compile(r"[A-Z]{3,}(?![a-z])|[A-Z]?[a-z]{2,}")


@dataclass(frozen=True)
class Document:
    """A doc string, as a bag of words."""

    package: str
    title: str
    words: Counter[str]

    def hashed(self, purpose: str) -> float:
        """A number in [0, 1) that looks random and is always the same for a title."""
        digest = hashlib.sha256(f"{purpose}: {self.title}".encode()).digest()
        return int.from_bytes(digest[:6]) / 2**48

    @property
    def split(self) -> int:
        """0 for training, 1 for validation, 2 for testing."""
        return bisect((TRAIN, VALID), self.hashed("split"))


def main() -> None:
    everything = [document for package in PACKAGES for document in documents(package)]
    everything.sort(key=lambda document: document.hashed("order"))
    words = vocabulary(at_most(distinct(everything)))
    sizes = counts(everything, words).sum(1)
    long = [document for document, size in zip(everything, sizes, strict=True) if size >= FEWEST]
    chosen = at_most(distinct(long, words))
    save(sorted(chosen, key=lambda document: document.split), words)


def documents(package: str) -> Iterator[Document]:
    """All doc strings of modules, public classes and functions, with words enough."""
    folder = source(package)
    titles = set()
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder).with_suffix("").parts
        if skipped(parts, package):
            continue
        prefix = ".".join([PACKAGES[package] or "", *(p for p in parts if p[0] != "_")])
        for name, text in doc_strings(file):
            title = f"{prefix}.{name}".strip(".")
            words = bag(text)
            if title not in titles and words.total() >= FEWEST:
                titles.add(title)
                yield Document(package, title, words)


def source(package: str) -> Path:
    if PACKAGES[package] is None:
        return Path(sysconfig.get_path("stdlib"))
    return Path(util.find_spec(PACKAGES[package]).origin).parent


def skipped(parts: Sequence[str], package: str) -> bool:
    """Whether a file is a test, a copy of something else's, or private."""
    folders, file = parts[:-1], parts[-1]
    # Within a package, what is public is often defined in a private file.
    private = any(part[0] == "_" for part in folders if part) or (
        file[0] == "_" and file != "__init__" and not (PACKAGES[package] and folders)
    )
    return private or bool(SKIPPED & set(parts))


def doc_strings(file: Path) -> Iterator[tuple[str, str]]:
    """Name and doc string of a module (an empty name), its public classes and functions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # escapes in other people's strings
        module = ast.parse(file.read_text(encoding="utf-8"))
    pending: list[tuple[str, ast.Module | ast.ClassDef | ast.FunctionDef]] = [("", module)]
    while pending:
        name, node = pending.pop(0)
        yield name, ast.get_docstring(node) or ""
        for part in node.body:
            if isinstance(part, ast.ClassDef | ast.FunctionDef) and part.name[0] != "_":
                pending.append((f"{name}.{part.name}".strip("."), part))


def bag(text: str) -> Counter[str]:
    """Words of three letters or more, in lower case; ``n_features`` and ``MaxPool`` are parted."""
    found = (word.lower() for word in WORD.findall(NOT_WORDS.sub(" ", text)))
    return Counter(word for word in found if len(word) > 2 and word not in ENGLISH_STOP_WORDS)


def vocabulary(chosen: Sequence[Document]) -> list[str]:
    """The words that most training documents have, without those that too many have."""
    training = [document for document in chosen if document.split == 0]
    has = Counter(word for document in training for word in document.words)
    ends = FEWEST_DOCUMENTS, LARGEST_SHARE * len(training)
    fitting = [word for word, number in has.items() if ends[0] <= number <= ends[1]]
    return sorted(sorted(fitting, key=lambda word: (-has[word], word))[:WORDS])


def counts(chosen: Sequence[Document], words: Sequence[str]) -> sparse.csr_matrix:
    column = {word: number for number, word in enumerate(words)}
    entries = [
        (row, column[word], number)
        for row, document in enumerate(chosen)
        for word, number in sorted(document.words.items())
        if word in column
    ]
    rows, columns, values = np.array(entries, dtype=np.int64).reshape(-1, 3).T
    shape = len(chosen), len(words)
    return sparse.csr_matrix((values.clip(max=255).astype(np.uint8), (rows, columns)), shape=shape)


def distinct(chosen: Sequence[Document], words: Sequence[str] | None = None) -> list[Document]:
    """Leave out whatever is a duplicate, in ``words`` or else in all, of a document before it."""
    words = words or sorted(set().union(*(document.words for document in chosen)))
    directions = normalize(counts(chosen, words).astype(np.float64))
    alike = sparse.tril(directions @ directions.T >= ALIKE, -1).tocsr()
    kept = np.ones(len(chosen), dtype=bool)
    for row in range(len(chosen)):
        before = alike.indices[alike.indptr[row] : alike.indptr[row + 1]]
        kept[row] = not kept[before].any()
    return [document for document, keep in zip(chosen, kept, strict=True) if keep]


def at_most(chosen: Iterable[Document]) -> list[Document]:
    """The first ``MOST_DOCUMENTS`` of each package."""
    seen = Counter()
    kept = []
    for document in chosen:
        seen[document.package] += 1
        if seen[document.package] <= MOST_DOCUMENTS:
            kept.append(document)
    return kept


def versions() -> list[str]:
    """Each package with its version."""
    return [
        f"{name} {metadata.version(name) if folder else platform.python_version()}"
        for name, folder in PACKAGES.items()
    ]


def save(chosen: Sequence[Document], words: Sequence[str]) -> None:
    table = counts(chosen, words)
    np.savez_compressed(
        FILE,
        values=table.data,
        columns=table.indices.astype(np.uint16),
        row_ends=table.indptr[1:].astype(np.int32),
        splits=np.array([document.split for document in chosen], np.uint8),
        labels=np.array([list(PACKAGES).index(document.package) for document in chosen], np.uint8),
        **{
            name: np.frombuffer("\n".join(lines).encode(), np.uint8)
            for name, lines in {
                "words": words,
                "titles": [document.title for document in chosen],
                "packages": PACKAGES,
                "versions": versions(),
            }.items()
        },
    )
    print(f"{FILE.name}: {len(chosen)} documents, {FILE.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
