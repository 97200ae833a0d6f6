"""Downloaded data: small stand-ins served from this machine, and the real files where they are."""

import dataclasses
import gzip
import hashlib
import io
import os
import struct
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch

from genlib import data
from genlib.core.saving import DamagedFileError
from genlib.data import download, storage

REAL = os.environ.get("GENLIB_DATA", "")
SPLITS = {"train": 12, "valid": 5, "test": 6}


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path):
    """A folder, the address at which this machine serves it, and the requests that came."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{http.server_port}/"
        http.shutdown()
        thread.join()


def pack_idx(array):
    """The idx format: two zero bytes, type 8, number of sizes, sizes, values."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def little_mnist(monkeypatch):
    """Arrays and gzipped files of an MNIST of 17 + 6 images, whose checksums are the expected."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part, n in {"train": 17, "t10k": 6}.items():
        arrays[f"{part}-images-idx3-ubyte"] = rng.integers(0, 256, (n, 28, 28), np.uint8)
        arrays[f"{part}-labels-idx1-ubyte"] = rng.integers(0, 10, n, np.uint8)
    files = {name: pack_idx(array) for name, array in arrays.items()}
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(download, "_MNIST_SHA256", checksums)
    monkeypatch.setattr(download, "_MNIST_VALID", 5)
    return arrays, {f"{name}.gz": gzip.compress(content) for name, content in files.items()}


@pytest.fixture
def little_bits(monkeypatch):
    """Bits of a binarised MNIST of 12 + 5 + 6 images, whose checksums are the expected ones."""
    rng = np.random.default_rng(1)
    bits = {name: rng.integers(0, 2, (n, 784), np.uint8) for name, n in SPLITS.items()}
    checksums = {
        name: hashlib.sha256(np.packbits(part, axis=1)).hexdigest() for name, part in bits.items()
    }
    monkeypatch.setattr(download, "_BINARIZED_SHA256", checksums)
    return bits


MESSAGES = [
    ("ham", "See you at six?  "),
    ("spam", "WINNER!! Claim your £900 prize: call 0906 now"),
    ("ham", 'He said "ok'),
    ("ham", "a tab\tand a next-line sign \x85 within"),
    ("spam", "See you at six?  "),
]


TEXT = "".join(f"{label}\t{message}\n" for label, message in MESSAGES).encode()


def pack_messages(text, member="SMSSpamCollection"):
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        archive.writestr("readme", "about the messages")
        archive.writestr(member, text)
    return buffer.getvalue()


@pytest.fixture
def little_sms(monkeypatch):
    """A collection of five messages by file name, whose checksum is the expected one."""
    monkeypatch.setattr(download, "_SMS_SHA256", hashlib.sha256(TEXT).hexdigest())
    return {"smsspamcollection.zip": pack_messages(TEXT)}


# How people have MNIST's files: what they call each, and what they have done to its content.
PACKED = {
    "gzipped anew": lambda name, content: (f"{name}.gz", gzip.compress(content, 1, mtime=0)),
    "unpacked": lambda name, content: (name, content),
    "unpacked, with a dot": lambda name, content: (name.replace("-idx", ".idx"), content),
    "gzipped, with a dot": lambda name, content: (
        name.replace("-idx", ".idx") + ".gz",
        gzip.compress(content, 1),
    ),
    "unpacked, but called .gz": lambda name, content: (f"{name}.gz", content),
}


def put(folder, files, packed=None):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if packed is not None:
            name, content = PACKED[packed](name, content)
        (folder / name).write_bytes(content)


def assert_mnist(dataset, arrays):
    images = torch.tensor(arrays["train-images-idx3-ubyte"])[:, None] / 255
    labels = torch.tensor(arrays["train-labels-idx1-ubyte"]).long()
    assert torch.equal(dataset.train, images[:12]) and torch.equal(dataset.valid, images[12:])
    assert torch.equal(dataset.labels.train, labels[:12])
    assert torch.equal(dataset.labels.valid, labels[12:])
    assert torch.equal(dataset.test[:, 0] * 255, torch.tensor(arrays["t10k-images-idx3-ubyte"]))
    assert dataset.labels.test.tolist() == arrays["t10k-labels-idx1-ubyte"].tolist()


class TestOwnFolder:
    @pytest.mark.parametrize("layout", ["mnist", "."])
    def test_both_layouts_are_read_without_cache_or_network(
        self, layout, little_mnist, tmp_path, monkeypatch, cache
    ):
        arrays, files = little_mnist
        put(tmp_path / "own" / layout, files)
        monkeypatch.setenv("GENLIB_DATA", str(tmp_path / "own"))
        assert_mnist(data.mnist(), arrays)
        assert not cache.exists()

    @pytest.mark.parametrize("packed", PACKED)
    @pytest.mark.parametrize("folder", ["mnist", ".", "MNIST/raw"])
    def test_however_people_have_packed_them(
        self, folder, packed, little_mnist, tmp_path, monkeypatch, cache
    ):
        arrays, _ = little_mnist
        put(tmp_path / folder, {name: pack_idx(array) for name, array in arrays.items()}, packed)
        monkeypatch.setenv("GENLIB_DATA", str(tmp_path))
        assert_mnist(data.mnist(), arrays)
        assert not cache.exists()

    @pytest.mark.parametrize("packed", PACKED)
    @pytest.mark.parametrize("damage", ["cut", "flip", "longer"])
    def test_other_content_is_named_with_both_checksums(
        self, damage, packed, little_mnist, tmp_path, monkeypatch
    ):
        arrays, _ = little_mnist
        files = {name: pack_idx(array) for name, array in arrays.items()}
        name = "t10k-images-idx3-ubyte"
        original = files[name]
        content = bytearray(original)
        content[500] ^= 1
        files[name] = {"flip": bytes(content), "cut": original[:-1], "longer": original + b"?"}[
            damage
        ]
        put(tmp_path, files, packed)
        monkeypatch.setenv("GENLIB_DATA", str(tmp_path))
        expected, found = (hashlib.sha256(c).hexdigest() for c in (original, files[name]))
        with pytest.raises(
            DamagedFileError,
            match=f"t10k-images.idx3-ubyte.*: expected content with SHA-256 {expected}, found "
            f"{found}; .*not used. Remove it to have it downloaded",
        ):
            data.mnist()

    @pytest.mark.parametrize("damage", [b"", b"not gzip", b"\x1f\x8b", "cut", "flip", b"PK"])
    def test_what_cannot_be_unpacked_is_named_and_left_as_it_is(
        self, damage, little_mnist, tmp_path, monkeypatch
    ):
        _, files = little_mnist
        put(tmp_path, files)
        name = "train-images-idx3-ubyte.gz"
        flipped = bytearray(files[name])
        flipped[500] ^= 1
        content = {"cut": files[name][:-100], "flip": flipped}.get(damage, damage)
        (tmp_path / name).write_bytes(content)
        monkeypatch.setenv("GENLIB_DATA", str(tmp_path))
        with pytest.raises(DamagedFileError, match=rf"{name}: expected content with SHA-256 .* an"):
            data.mnist()
        assert (tmp_path / name).read_bytes() == content

    def test_a_wrong_path_is_named(self, monkeypatch):
        monkeypatch.setenv("GENLIB_DATA", "/no/such/folder")
        for load in (data.mnist, data.binarized_mnist, data.sms_spam):
            with pytest.raises(data.DataUnavailableError, match="is set to /no/such/folder, which"):
                load()


class TestDownload:
    def test_mirrors_are_tried_in_turn_and_files_are_kept(
        self, little_mnist, server, monkeypatch, cache
    ):
        arrays, files = little_mnist
        folder, address = server
        put(folder / "good", files)
        put(folder / "altered", {name: content[:-1] + b"?" for name, content in files.items()})
        mirrors = ["http://nowhere.invalid/", *(f"{address}{m}/" for m in ("gone", "altered"))]
        monkeypatch.setattr(download, "_MNIST_MIRRORS", [*mirrors, f"{address}good/"])
        assert_mnist(data.mnist(), arrays)
        assert sorted(path.name for path in (cache / "mnist").iterdir()) == sorted(files)
        monkeypatch.setattr(download, "_MNIST_MIRRORS", [])
        assert_mnist(data.mnist(), arrays)

    def test_a_damaged_file_in_the_cache_is_fetched_again(
        self, little_mnist, server, monkeypatch, cache
    ):
        arrays, files = little_mnist
        folder, address = server
        put(folder, files)
        monkeypatch.setattr(download, "_MNIST_MIRRORS", [address])
        put(cache / "mnist", {name: content[:-1] for name, content in files.items()})
        with pytest.warns(
            UserWarning, match="truncated, altered, or another.* downloaded again"
        ) as caught:
            assert_mnist(data.mnist(), arrays)
        assert len(caught) == 4
        assert_mnist(data.mnist(), arrays)

    def test_without_a_network_one_sentence_says_what_to_do(self, little_mnist, cache):
        with pytest.raises(data.DataUnavailableError) as caught:
            data.mnist()
        message = str(caught.value)
        assert message.startswith("MNIST is not on this machine and could not be downloaded: ")
        assert "looked for train-images-idx3-ubyte.gz or train-images-idx3-ubyte or" in message
        assert f" in {cache / 'mnist'}, then tried " in message
        for mirror in download._MNIST_MIRRORS:
            assert f"{mirror} (ConnectionError" in message
        assert message.endswith("copy the files into a folder and set GENLIB_DATA to its path.")
        assert not list(cache.rglob("*.*"))

    def test_a_damaged_download_is_never_kept(self, little_mnist, server, monkeypatch, cache):
        _, files = little_mnist
        folder, address = server
        put(folder, {name: content[:-1] for name, content in files.items()})
        monkeypatch.setattr(download, "_MNIST_MIRRORS", [address])
        with pytest.raises(data.DataUnavailableError, match="expected content with SHA-256"):
            data.mnist()
        assert not list(cache.rglob("*.*"))

    def test_a_connection_that_breaks_off_is_a_failure_of_the_mirror(
        self, little_mnist, server, monkeypatch, cache
    ):
        folder, address = server
        put(folder, little_mnist[1])
        # The header promises the file's length, and nothing follows.
        monkeypatch.setattr(Handler, "copyfile", lambda *args: None)
        monkeypatch.setattr(download, "_MNIST_MIRRORS", [address])
        with pytest.raises(data.DataUnavailableError, match=f"{address} .*IncompleteRead"):
            data.mnist()
        assert not list(cache.rglob("*.*"))

    def test_a_full_disk_is_not_taken_for_a_missing_network(self, little_mnist, monkeypatch, cache):
        def full(url, path):
            path.write_bytes(b"some of it")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(download, "_download", full)
        with pytest.raises(OSError, match="No space left"):
            data.mnist()
        assert not list(cache.rglob("*.*"))

    def test_without_pooch_the_sentence_names_it(self, little_mnist, monkeypatch):
        monkeypatch.setitem(sys.modules, "pooch", None)
        with pytest.raises(data.DataUnavailableError, match="needs pooch: pip install pooch"):
            data.mnist()


class TestMessages:
    @staticmethod
    def assert_messages(found):
        assert found.messages == [message for _, message in MESSAGES]
        assert found.labels.tolist() == [0, 1, 0, 0, 1]
        assert found.labels.dtype == torch.int64

    @pytest.mark.parametrize("layout", ["sms_spam", "."])
    def test_both_layouts_are_read_without_cache_or_network(
        self, layout, little_sms, tmp_path, monkeypatch, cache
    ):
        put(tmp_path / "own" / layout, little_sms)
        monkeypatch.setenv("GENLIB_DATA", str(tmp_path / "own"))
        found = data.sms_spam()
        self.assert_messages(found)
        assert repr(found) == "SMS Spam Collection: 5 messages, 3 with label 0, 2 with label 1"
        assert found.licence == "CC BY 4.0" and "Almeida" in found.source
        assert not cache.exists()

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("SMSSpamCollection", TEXT),
            ("SMSSpamCollection.txt", TEXT),
            ("smsspamcollection.zip", pack_messages(TEXT, "SMSSpamCollection.txt")),
            ("smsspamcollection.zip", pack_messages(TEXT, "SMSSpamCollection/SMSSpamCollection")),
            ("sms+spam+collection.zip", pack_messages(TEXT)),
            ("smsspamcollection.zip", TEXT),
        ],
        ids=["text", "txt", "new zip", "folder in zip", "UCI's name", "text called zip"],
    )
    def test_however_people_have_packed_it(
        self, name, content, little_sms, tmp_path, monkeypatch, cache
    ):
        put(tmp_path, {name: content})
        monkeypatch.setenv("GENLIB_DATA", str(tmp_path))
        self.assert_messages(data.sms_spam(download=False))
        assert not cache.exists()

    @pytest.mark.parametrize(
        ("content", "found"),
        [
            (b"", "[0-9a-f]{64}"),
            (TEXT + b"?", "[0-9a-f]{64}"),
            (TEXT.replace(b"\n", b"\r\n"), "[0-9a-f]{64}"),
            (pack_messages(TEXT.replace(b"900", b"800")), "[0-9a-f]{64}"),
            (pack_messages(TEXT)[:-1], "a file that cannot be unpacked"),
            (b"PK half a file", "a file that cannot be unpacked"),
            (pack_messages(TEXT, "another"), ".* the archive has no SMSSpamCollection"),
        ],
        ids=["empty", "longer", "line ends", "altered", "cut", "half", "member"],
    )
    def test_other_content_is_named(self, content, found, little_sms, tmp_path, monkeypatch):
        put(tmp_path, {"smsspamcollection.zip": content})
        monkeypatch.setenv("GENLIB_DATA", str(tmp_path))
        with pytest.raises(
            DamagedFileError, match=rf"smsspamcollection.zip: expected content .*, found {found}"
        ):
            data.sms_spam()

    def test_whether_to_download_is_said_by_true_or_false(self):
        with pytest.raises(TypeError, match="download: expected True or False, got 'no'"):
            data.sms_spam(download="no")

    @pytest.mark.parametrize("name", ["smsspamcollection.zip", "sms+spam+collection.zip"])
    def test_either_name_at_the_owner_fills_the_cache(
        self, name, little_sms, server, monkeypatch, cache
    ):
        folder, address = server
        (content,) = little_sms.values()
        put(folder, {name: content})
        # The names at the owner's server, with this machine in its place.
        urls = [f"{address}{url.rsplit('/', 1)[1]}" for url in download._SMS_URLS]
        monkeypatch.setattr(download, "_SMS_URLS", urls)
        self.assert_messages(data.sms_spam())
        assert [path.name for path in (cache / "sms_spam").iterdir()] == list(little_sms)
        (folder / name).unlink()
        self.assert_messages(data.sms_spam())

    def test_a_damaged_file_in_the_cache_is_fetched_again(
        self, little_sms, server, monkeypatch, cache
    ):
        folder, address = server
        put(folder, little_sms)
        monkeypatch.setattr(download, "_SMS_URLS", [f"{address}smsspamcollection.zip"])
        put(cache / "sms_spam", {"smsspamcollection.zip": b"PK half a file"})
        with pytest.warns(
            UserWarning, match="truncated, altered, or another.* downloaded again"
        ) as caught:
            self.assert_messages(data.sms_spam())
        assert [warning.filename for warning in caught] == [__file__]
        self.assert_messages(data.sms_spam())

    def test_without_a_network_one_sentence_says_what_to_do(self, cache):
        with pytest.raises(data.DataUnavailableError) as caught:
            data.sms_spam()
        message = str(caught.value)
        assert message.startswith("The SMS Spam Collection is not on this machine and could not be")
        assert "looked for smsspamcollection.zip or sms+spam+collection.zip or SMS" in message
        assert f" in {cache / 'sms_spam'}, then tried " in message
        assert "machine-learning-databases/00228/ (ConnectionError" in message
        assert "public/228/sms+spam+collection.zip (ConnectionError" in message
        assert message.endswith("copy the files into a folder and set GENLIB_DATA to its path.")
        assert not list(cache.rglob("*.*"))


class TestBinarized:
    @staticmethod
    def assert_bits(dataset, bits):
        for name, part in dataset.splits.items():
            assert part.shape == (SPLITS[name], 1, 28, 28)
            assert part.flatten(1).int().tolist() == bits[name].tolist()
        assert dataset.labels is None and dataset.binarization == "fixed sample"

    @staticmethod
    def write(folder, bits, form):
        folder.mkdir(parents=True, exist_ok=True)
        if form == "packed":
            packed = {name: np.packbits(part, axis=1) for name, part in bits.items()}
            np.savez_compressed(folder / "binarized_mnist_packed.npz", **packed)
        elif form == "amat":
            for name, part in bits.items():
                np.savetxt(folder / f"binarized_mnist_{name}.amat", part, fmt="%d")
        else:
            floats = {f"{name}_data": part.astype(np.float32) for name, part in bits.items()}
            np.savez(folder / "binarized_mnist.npz", **floats)

    @pytest.mark.parametrize("form", ["packed", "amat", "float"])
    @pytest.mark.parametrize("layout", ["binarized_mnist", "."])
    def test_every_format_is_read(self, form, layout, little_bits, tmp_path, monkeypatch, cache):
        self.write(tmp_path / "own" / layout, little_bits, form)
        monkeypatch.setenv("GENLIB_DATA", str(tmp_path / "own"))
        self.assert_bits(data.binarized_mnist(), little_bits)
        assert not cache.exists()

    @pytest.mark.parametrize("form", ["packed", "amat", "float"])
    def test_one_altered_bit_is_found(self, form, little_bits, tmp_path, monkeypatch):
        altered = {name: part.copy() for name, part in little_bits.items()}
        altered["test"][3, 400] ^= 1
        self.write(tmp_path, altered, form)
        monkeypatch.setenv("GENLIB_DATA", str(tmp_path))
        file = {"packed": "_packed.npz", "amat": "_test.amat", "float": "mnist.npz"}[form]
        with pytest.raises(DamagedFileError, match=rf"{file}: expected test bits with SHA-256 "):
            data.binarized_mnist()

    @pytest.mark.parametrize("form", ["packed", "amat", "float"])
    def test_a_truncated_file_is_found(self, form, little_bits, tmp_path, monkeypatch):
        self.write(tmp_path, little_bits, form)
        for file in tmp_path.glob("binarized_mnist*"):
            file.write_bytes(file.read_bytes()[:-200])
        monkeypatch.setenv("GENLIB_DATA", str(tmp_path))
        with pytest.raises(DamagedFileError, match=r"binarized_mnist.*is not used"):
            data.binarized_mnist()

    def test_pickled_arrays_are_not_opened(self, little_bits, tmp_path, monkeypatch):
        objects = {name: np.array([{}], dtype=object) for name in SPLITS}
        np.savez(tmp_path / "binarized_mnist_packed.npz", **objects)
        monkeypatch.setenv("GENLIB_DATA", str(tmp_path))
        with pytest.raises(DamagedFileError, match="allow_pickle=False"):
            data.binarized_mnist()

    @pytest.mark.parametrize("only", ["amat", "float"])
    def test_either_source_fills_the_cache(self, only, little_bits, server, monkeypatch, cache):
        folder, address = server
        self.write(folder, little_bits, only)
        formats = [
            dataclasses.replace(form, url=form.url and address) for form in download._FORMATS
        ]
        monkeypatch.setattr(download, "_FORMATS", formats)
        self.assert_bits(data.binarized_mnist(), little_bits)
        assert [path.name for path in (cache / "binarized_mnist").iterdir()] == [
            "binarized_mnist_packed.npz"
        ]
        for file in folder.iterdir():
            file.unlink()
        self.assert_bits(data.binarized_mnist(), little_bits)

    def test_a_damaged_cache_is_fetched_again(self, little_bits, server, monkeypatch, cache):
        folder, address = server
        self.write(folder, little_bits, "float")
        put(cache / "binarized_mnist", {"binarized_mnist_packed.npz": b"PK half a file"})
        formats = [
            dataclasses.replace(form, url=form.url and address) for form in download._FORMATS
        ]
        monkeypatch.setattr(download, "_FORMATS", formats)
        with pytest.warns(UserWarning, match="packed.npz.* is downloaded again"):
            self.assert_bits(data.binarized_mnist(), little_bits)
        self.assert_bits(data.binarized_mnist(), little_bits)

    def test_without_a_network_one_sentence_says_what_to_do(self, little_bits, cache):
        with pytest.raises(data.DataUnavailableError) as caught:
            data.binarized_mnist()
        message = str(caught.value)
        assert "looked for binarized_mnist_packed.npz or binarized_mnist_train.amat, " in message
        assert "http://www.cs.toronto.edu" in message and "set GENLIB_DATA" in message
        assert not list(cache.rglob("*.*"))


@pytest.mark.skipif(not REAL, reason="GENLIB_DATA names no folder with the real files")
class TestRealFiles:
    """Facts that the data's owners or other libraries state."""

    @pytest.fixture(autouse=True)
    def _real(self, cache, monkeypatch):
        monkeypatch.setenv("GENLIB_DATA", str(Path(REAL).resolve()))

    def test_mnist(self):
        mnist = data.mnist()
        assert [len(part) for _, part in mnist.splits.items()] == [50_000, 10_000, 10_000]
        train = torch.cat([mnist.train, mnist.valid]).double()
        assert train.mean().item() == pytest.approx(33.31842 / 255, abs=1e-7)
        assert train.std(correction=0).item() == pytest.approx(0.308108, abs=1e-6)
        assert mnist.test.double().mean().item() == pytest.approx(33.79122 / 255, abs=1e-7)
        assert mnist.labels.train[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
        assert mnist.labels.test[:5].tolist() == [7, 2, 1, 0, 4]

    @pytest.mark.parametrize("packed", PACKED)
    def test_mnist_however_people_have_packed_it(self, packed, tmp_path, monkeypatch):
        whole = data.mnist()
        files = {}
        for name in download._MNIST_SHA256:
            found = next(Path(REAL).resolve().rglob(f"{name}.gz"))
            files[name] = gzip.decompress(found.read_bytes())
        put(tmp_path / "MNIST" / "raw", files, packed)
        monkeypatch.setenv("GENLIB_DATA", str(tmp_path))
        again = data.mnist()
        for split in ("train", "valid", "test"):
            assert torch.equal(getattr(again, split), getattr(whole, split))
            assert torch.equal(getattr(again.labels, split), getattr(whole.labels, split))

    def test_sms_spam(self):
        try:
            sms = data.sms_spam(download=False)
        except data.DataUnavailableError:
            pytest.skip("GENLIB_DATA has no SMS Spam Collection")
        # The numbers of its readme.
        assert len(sms.messages) == 5574 and sms.labels.bincount().tolist() == [4827, 747]
        assert all(sms.messages)

    def test_binarized_mnist(self):
        bits = data.binarized_mnist()
        means = [part.double().mean().item() for _, part in bits.splits.items()]
        assert means == pytest.approx([0.130562, 0.131127, 0.132512], abs=1e-6)

    @pytest.mark.parametrize(
        ("split", "checksum"),
        [
            ("train", "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"),
            ("valid", "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"),
            ("test", "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c"),
        ],
    )
    def test_the_bits_are_those_of_the_published_text_files(self, split, checksum):
        # TensorFlow Datasets records these checksums of Larochelle's files.
        bits = getattr(data.binarized_mnist(), split).flatten(1).numpy().astype(np.uint8)
        text = np.full((len(bits), 2 * 784), ord(" "), np.uint8)
        text[:, ::2] = bits + ord("0")
        text[:, -1] = ord("\n")
        assert hashlib.sha256(text).hexdigest() == checksum

    def test_strokes_can_take_mnists_place(self):
        mnist, strokes = data.mnist(), data.strokes(100, cache=False)
        assert strokes.event_shape == mnist.event_shape
        assert strokes.train.dtype == mnist.train.dtype
        assert strokes.labels.train.unique().tolist() == mnist.labels.train.unique().tolist()


def test_the_cache_folder_is_the_platforms_unless_chosen(monkeypatch, tmp_path):
    assert storage.cache_folder() == Path(os.environ["GENLIB_CACHE"])
    monkeypatch.delenv("GENLIB_CACHE")
    assert storage.cache_folder().name == "genlib"
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert storage.cache_folder() == tmp_path / ".cache" / "genlib"
