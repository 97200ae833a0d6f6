"""Documents as counts of words. Nothing here uses the network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from genlib.data.dataset import SPLITS, Dataset, Splits

_FILE = Path(__file__).with_name("docstrings.npz")


@dataclass(frozen=True, eq=False, repr=False)
class Documents(Dataset):
    """Documents as counts of words, in three splits.

    Parameters
    ----------
    train, valid, test, labels, factors, name, source, licence, binarization
        As for `Dataset`; a row holds the counts of a document's words, (N, V). The factor
        ``"title"`` is the place of a document's title in ``titles``.
    words : tuple of str
        The vocabulary, in the order of the columns.
    packages : tuple of str
        What the labels mean.
    titles : tuple of str
        Of all documents.
    """

    words: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()


def docstrings() -> Documents:
    """Return 3,795 doc strings of the standard library and of seven scientific packages, as counts.

    Documents are the doc strings of public modules, classes, functions and methods, at most 500 a
    package; labels are the packages. Columns count the 1,000 words that most training documents
    have, without stop words and without those that more than half of them have; every document
    holds 20 of them at least. Left out are words of fewer than three letters, examples with what
    they print, headings, markup, the names of the packages (numpy's and Python's among them), and
    every document whose counts have a cosine of 0.8 or more with those of another one. A hash of
    its title decides a document's split, 80/10/10.

    Counts and titles come with genlib, made by ``tools/docstrings.py`` from the versions that
    ``source`` names. The doc strings themselves are not here.

    Returns
    -------
    Documents
        Counts as float32, (N, 1000).

    Examples
    --------
    >>> import genlib as gl
    >>> docs = gl.data.docstrings()
    >>> docs.train.shape, docs.packages[:3]
    (torch.Size([3045, 1000]), ('standard library', 'scipy', 'scikit-learn'))
    """
    with np.load(_FILE, allow_pickle=False) as file:
        arrays = dict(file)
    lines = {
        name: tuple(arrays[name].tobytes().decode().split("\n"))
        for name in ("words", "titles", "packages", "versions")
    }
    counts = np.zeros((len(lines["titles"]), len(lines["words"])), np.float32)
    row = np.repeat(np.arange(len(counts)), np.diff(arrays["row_ends"], prepend=0))
    counts[row, arrays["columns"]] = arrays["values"]
    rows = torch.from_numpy(counts)
    sizes = np.bincount(arrays["splits"]).tolist()

    def cut(values: torch.Tensor) -> Splits:
        return Splits(**dict(zip(SPLITS, values.split(sizes), strict=True)))

    return Documents(
        **dict(cut(rows).items()),
        labels=cut(torch.as_tensor(arrays["labels"], dtype=torch.int64)),
        factors={"title": cut(torch.arange(len(rows)))},
        name="doc strings",
        source=", ".join(lines["versions"]),
        licence="counts and titles of texts under the PSF licence, BSD licences and Matplotlib's",
        words=lines["words"],
        packages=lines["packages"],
        titles=lines["titles"],
    )
