"""Benchmark data that have to be fetched once, from their owners or a mirror.

A file is looked for in ``$GENLIB_DATA``, then in genlib's cache, and is downloaded only if it is in
neither. What is read is what was published: the content of every file, however it is packed and
wherever it lies, is compared with its checksum before use.
"""

from __future__ import annotations

import gzip
import io
import struct
import tempfile
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from torch import Tensor

from genlib.core.files import atomic_write
from genlib.core.progress import progress_bar
from genlib.core.saving import DamagedFileError
from genlib.core.validation import check_flag
from genlib.data.dataset import Dataset, Splits
from genlib.data.storage import DataUnavailableError, cache_folder, data_folder

_TIMEOUT = 30.0  # seconds without an answer, before the next mirror is tried

_MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
_MNIST_SHA256 = {  # of the published files, unpacked
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_MNIST_FOLDERS = ("mnist", ".", "MNIST/raw")  # the last is torchvision's
_MNIST_VALID = 10_000

# The bits of each split, packed eight to a byte: the same whatever file format they came in.
_BINARIZED_SHA256 = {
    "train": "727146c35424b019f3e350e1e69faa05644a0abaf787e3f4e1a9632220a13906",
    "valid": "a256ac44ae26be720fad8616a05ed6ecfd1619930d9a208379bb2a4405df5b6d",
    "test": "9fcd8da6f0fdf09b2ba30fe63a0bb784042a0de82563172530229b983e294ff2",
}
_PACKED = "binarized_mnist_packed.npz"

_SMS_FILES = (
    "smsspamcollection.zip",
    "sms+spam+collection.zip",
    "SMSSpamCollection",
    "SMSSpamCollection.txt",
)
_SMS_URLS = (
    "https://archive.ics.uci.edu/ml/machine-learning-databases/00228/smsspamcollection.zip",
    "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip",
)
_SMS_SHA256 = "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"  # of the text
_SMS_LABELS = {"ham": 0, "spam": 1}


def mnist() -> Dataset:
    """Return MNIST: 70,000 handwritten digits, (N, 1, 28, 28) with values k/255, labels 0 … 9.

    Training has 50,000 images, validation the last 10,000 of the original training file, test the
    original 10,000. The files are the original ``idx`` ones (Y. LeCun, C. Cortes, C. Burges). In
    ``$GENLIB_DATA``, in its ``mnist``, or in torchvision's ``MNIST/raw`` there, they may be gzipped
    or not, whatever their names say, and be called ``train-images-idx3-ubyte`` or
    ``train-images.idx3-ubyte``: their content is what counts.

    Raises
    ------
    DataUnavailableError
        If the files are not here and cannot be downloaded.
    DamagedFileError
        If a file in ``$GENLIB_DATA`` is truncated, altered, or another.
    """
    parts = []
    for name, expected in _MNIST_SHA256.items():
        dotted = name.replace("-idx", ".idx")  # as the published .gz names what is in it
        names = [f"{name}.gz", name, dotted, f"{dotted}.gz"]
        urls = [f"{mirror}{name}.gz" for mirror in _MNIST_MIRRORS]
        content = _Published("MNIST", _MNIST_FOLDERS, name, names, expected, urls).content()
        parts.append(torch.from_numpy(_read_idx(content)))
    images, labels, test_images, test_labels = parts
    images, test_images = (part.unsqueeze(1).float().div_(255) for part in (images, test_images))
    labels, test_labels = labels.long(), test_labels.long()
    split = len(images) - _MNIST_VALID
    return Dataset(
        images[:split],
        images[split:],
        test_images,
        labels=Splits(labels[:split], labels[split:], test_labels),
        name="MNIST",
        source="Y. LeCun, C. Cortes, C. Burges, from NIST Special Databases 1 and 3",
        licence="CC BY-SA 3.0",
    )


def binarized_mnist() -> Dataset:
    """Return the fixed binarisation of MNIST: (N, 1, 28, 28), 0 or 1, 50,000/10,000/10,000 rows.

    Each pixel was drawn once, with its grey value as probability, by Salakhutdinov and Murray
    (ICML 2008); H. Larochelle distributes the bits, on which log-likelihoods are compared. The rows
    are not in MNIST's order, and there are no labels.

    Raises
    ------
    DataUnavailableError
        If the files are not here and cannot be downloaded.
    DamagedFileError
        If a file in ``$GENLIB_DATA`` is truncated or altered.
    """
    own = _own_folders(["binarized_mnist", "."])
    bits = next((found for folder in own if (found := _bits_in(folder)) is not None), None)
    if bits is None:
        bits = _cached_bits(cache_folder() / "binarized_mnist", own)
    return Dataset(
        **{name: torch.from_numpy(part).float().view(-1, 1, 28, 28) for name, part in bits.items()},
        name="binarised MNIST (Salakhutdinov and Murray's fixed sample)",
        source="R. Salakhutdinov and I. Murray (ICML 2008), distributed by H. Larochelle",
        licence="derived from MNIST, CC BY-SA 3.0",
        binarization="fixed sample",
    )


@dataclass(frozen=True, eq=False, repr=False)
class Messages:
    """Short texts with their labels.

    Attributes
    ----------
    messages
        The texts, in their published order.
    labels
        The class of each, int64 (N,).
    name, source, licence
        What the messages are, where they come from, and on what terms.
    """

    messages: list[str]
    labels: Tensor
    name: str
    source: str
    licence: str

    def __repr__(self) -> str:
        counts = enumerate(self.labels.bincount().tolist())
        labels = ", ".join(f"{count} with label {label}" for label, count in counts)
        return f"{self.name}: {len(self.messages)} messages, {labels}"


def sms_spam(*, download: bool = True) -> Messages:
    """Return the SMS Spam Collection: 5,574 English text messages, labels 0 (ham) and 1 (spam).

    747 of them are spam. Messages are as published, capitals, digits and misspellings included, and
    some occur more than once: remove duplicates before splitting, or test messages are trained on.
    In ``$GENLIB_DATA``, or in its ``sms_spam``, the owner's zip is taken under either of its names,
    the text in it (``SMSSpamCollection``), and an archive of that text made by somebody else.

    Parameters
    ----------
    download
        Whether the file may be fetched where it is neither in ``$GENLIB_DATA`` nor in the cache.

    Raises
    ------
    DataUnavailableError
        If the file is not here and cannot be downloaded.
    DamagedFileError
        If the file in ``$GENLIB_DATA`` is truncated, altered, or another.
    """
    check_flag(download, "download")
    file = _Published(
        "The SMS Spam Collection",
        ("sms_spam", "."),
        "SMSSpamCollection",
        _SMS_FILES,
        _SMS_SHA256,
        _SMS_URLS if download else (),
    )
    messages, labels = _read_messages(file.content())
    return Messages(
        messages,
        labels,
        name="SMS Spam Collection",
        source="T. A. Almeida and J. M. Gómez Hidalgo (2011), UCI Machine Learning Repository",
        licence="CC BY 4.0",
    )


# Finding and fetching files


def _own_folders(names: Sequence[str]) -> list[Path]:
    """Where in ``$GENLIB_DATA`` a data set may lie."""
    top = data_folder()
    return [] if top is None else [top / name for name in names]


@dataclass(frozen=True)
class _Published:
    """A file of a data set, known by its content: people keep it packed anew, unpacked or renamed.

    Attributes
    ----------
    what
        The data set.
    folders
        Where in ``$GENLIB_DATA`` the file may lie; the first is also its folder in the cache.
    name
        What it is called in a zip archive, but for a suffix.
    files
        What it may be called elsewhere, packed or not; the first is also its name in the cache.
    sha256
        Checksum of the content.
    urls
        Where it is to be had, packed.
    """

    what: str
    folders: Sequence[str]
    name: str
    files: Sequence[str]
    sha256: str
    urls: Sequence[str]

    def content(self) -> bytes:
        """The published bytes, from ``$GENLIB_DATA``, the cache, or the network by way of it."""
        own = _own_folders(self.folders)
        for path in (folder / file for folder in own for file in self.files):
            if path.is_file():
                return self._read(path, "Remove it to have it downloaded.")
        cached = cache_folder() / self.folders[0] / self.files[0]
        if cached.is_file():
            try:
                return self._read(cached, "It is downloaded again.")
            except DamagedFileError as error:
                warnings.warn(str(error), stacklevel=3)
        cached.parent.mkdir(parents=True, exist_ok=True)
        failures = []
        for url in self.urls:
            try:
                with atomic_write(cached) as temporary:
                    _download(url, temporary)
                    return self._read(temporary)
            except (DamagedFileError, _Unreachable) as error:
                failures.append(f"{url.removesuffix(self.files[0])} ({error})")
        raise _unavailable(self.what, " or ".join(self.files), [*own, cached.parent], failures)

    def _read(self, path: Path, mend: str = "") -> bytes:
        """Unpack ``path``, or raise `DamagedFileError` unless it holds the published bytes."""
        packed = path.read_bytes()
        try:
            content = _unpacked(packed, self.name)
        except (OSError, EOFError, zlib.error, BadZipFile, LookupError, RuntimeError) as error:
            found = f"a file that cannot be unpacked: {error}"
        else:
            found = sha256(content).hexdigest()
        if found == self.sha256:
            return content
        raise DamagedFileError(
            f"{path}: expected content with SHA-256 {self.sha256}, found {found}; "
            f"the file is truncated, altered, or another, and is not used. {mend}".rstrip()
        )


def _unpacked(packed: bytes, name: str) -> bytes:
    """What a gzip file or a zip archive holds, in the latter under ``name``; else the bytes."""
    if packed.startswith(b"\x1f\x8b"):
        return gzip.decompress(packed)
    if packed.startswith(b"PK"):
        with ZipFile(io.BytesIO(packed)) as archive:
            for member in archive.namelist():
                if PurePosixPath(member).stem == name and not member.endswith("/"):
                    return archive.read(member)
            raise LookupError(f"the archive has no {name}")
    return packed


class _Unreachable(Exception):
    """A server that did not deliver."""


def _download(url: str, path: Path) -> None:
    """Download ``url`` to ``path``, or raise `_Unreachable`. Errors of the disk pass through."""
    try:
        from pooch import HTTPDownloader
        from requests import RequestException
    except ImportError as error:
        raise _Unreachable("downloading needs pooch: pip install pooch") from error
    bar = progress_bar(1, url.rsplit("/", 1)[-1])
    try:
        fetch = HTTPDownloader(progressbar=bar, chunk_size=2**16, timeout=_TIMEOUT)
        fetch(url, str(path), None)
    except RequestException as error:
        raise _Unreachable(f"{type(error).__name__}: {error}") from error
    finally:
        bar.close()


def _unavailable(
    what: str, files: str, folders: list[Path], failures: list[str]
) -> DataUnavailableError:
    tried = f", then tried {'; '.join(failures)}" if failures else " and was not to download it"
    return DataUnavailableError(
        f"{what} is not on this machine{' and could not be downloaded' if failures else ''}: "
        f"looked for {files} in {', '.join(map(str, folders))}{tried}. "
        "Without a network, copy the files into a folder and set GENLIB_DATA to its path."
    )


def _read_idx(content: bytes) -> np.ndarray:
    """Read an array of bytes from an idx file: magic number, sizes, values."""
    dimensions = content[3]
    shape = struct.unpack(f">{dimensions}I", content[4 : 4 + 4 * dimensions])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape).copy()


def _read_messages(content: bytes) -> tuple[list[str], Tensor]:
    """Read messages and labels from lines of ``label, tab, message``."""
    # str.splitlines would also split at separators that may stand within a message.
    lines = content.decode().removesuffix("\n").split("\n")
    labels, messages = zip(*(line.split("\t", 1) for line in lines), strict=True)
    return list(messages), torch.tensor([_SMS_LABELS[label] for label in labels])


# The formats in which the binarised MNIST goes around. Each reader gives the bits, (N, 784).

Bits = dict[str, np.ndarray]


def _read_packed(folder: Path) -> Bits:
    arrays = _read_npz(folder / _PACKED, "{}")
    return {name: np.unpackbits(part, axis=1) for name, part in arrays.items()}


def _read_amat(folder: Path) -> Bits:
    """Read Larochelle's files: a row of 784 digits, 0 or 1, on each line."""
    bits = {}
    for name in _BINARIZED_SHA256:
        content = (folder / f"binarized_mnist_{name}.amat").read_bytes()
        digits = np.frombuffer(content, np.uint8) - ord("0")
        bits[name] = digits[digits < 2].reshape(-1, 784)
    return bits


def _read_float_npz(folder: Path) -> Bits:
    """Read the file that M. Germain published with MADE (ICML 2015)."""
    arrays = _read_npz(folder / "binarized_mnist.npz", "{}_data")
    return {name: part.astype(np.uint8).reshape(-1, 784) for name, part in arrays.items()}


def _read_npz(path: Path, key: str) -> Bits:
    # Opened here, because NumPy leaves a damaged file open.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {name: arrays[key.format(name)] for name in _BINARIZED_SHA256}


@dataclass(frozen=True)
class _Format:
    """Files that together hold the bits, how to read them, and where they are published."""

    files: tuple[str, ...]
    read: Callable[[Path], Bits]
    url: str | None = None

    def load(self, folder: Path) -> Bits:
        """Read the bits and compare them with their checksums."""
        try:
            bits = self.read(folder)
        except (ValueError, TypeError, KeyError, EOFError, zlib.error, BadZipFile) as error:
            files = ", ".join(self.files)
            raise DamagedFileError(
                f"{files} in {folder}: cannot be read, and is not used: {error}"
            ) from error
        for i, (name, expected) in enumerate(_BINARIZED_SHA256.items()):
            found = sha256(np.packbits(bits[name], axis=1).tobytes()).hexdigest()
            if found != expected:
                path = folder / self.files[i % len(self.files)]  # one for all splits, or one each
                raise DamagedFileError(
                    f"{path}: expected {name} bits with SHA-256 {expected}, found {found}; "
                    "the file is truncated or altered and is not used."
                )
        return bits


_FORMATS = (
    _Format((_PACKED,), _read_packed),
    _Format(
        tuple(f"binarized_mnist_{name}.amat" for name in _BINARIZED_SHA256),
        _read_amat,
        "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
    ),
    _Format(
        ("binarized_mnist.npz",),
        _read_float_npz,
        "https://github.com/mgermain/MADE/releases/download/ICML2015/",
    ),
)


def _bits_in(folder: Path) -> Bits | None:
    """Bits that lie in a folder in one of the formats; ``None`` if there are none."""
    for form in _FORMATS:
        if all((folder / file).is_file() for file in form.files):
            return form.load(folder)
    return None


def _cached_bits(cache: Path, looked_in: list[Path]) -> Bits:
    """Bits from the cache; before that, if need be, from the network into the cache."""
    try:
        bits = _bits_in(cache)
        if bits is not None:
            return bits
    except DamagedFileError as error:
        warnings.warn(f"{error} It is downloaded again.", stacklevel=3)
    failures = []
    for form in (form for form in _FORMATS if form.url is not None):
        try:
            bits = _downloaded_bits(form)
        except (DamagedFileError, _Unreachable) as error:
            failures.append(f"{form.url} ({error})")
            continue
        cache.mkdir(parents=True, exist_ok=True)
        with atomic_write(cache / _PACKED) as temporary:
            packed = {name: np.packbits(part, axis=1) for name, part in bits.items()}
            np.savez_compressed(temporary, **packed)
        return bits
    files = " or ".join(", ".join(form.files) for form in _FORMATS)
    raise _unavailable("The binarised MNIST", files, [*looked_in, cache], failures)


def _downloaded_bits(form: _Format) -> Bits:
    with tempfile.TemporaryDirectory() as folder:
        for file in form.files:
            _download(f"{form.url}{file}", Path(folder) / file)
        return form.load(Path(folder))
