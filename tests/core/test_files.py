"""Files are written whole or not at all, whatever happens to the writer."""

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import threading

import pytest

from genlib.core import files
from genlib.core.checkpoint import Checkpoint
from genlib.core.files import atomic_write
from genlib.core.saving import read_tree

OLD, NEW = b"old content", b"new content"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(OLD)
    return path


def run(code, path, **options):
    """Start another Python that runs ``code`` with ``path`` and ``atomic_write`` at hand."""
    # The module alone: importing all of genlib would take longer than the test.
    head = f"import runpy\natomic_write = runpy.run_path({files.__file__!r})['atomic_write']\n"
    head += f"path = {str(path)!r}\n"
    return subprocess.Popen([sys.executable, "-c", head + code], text=True, **options)


HOLD = """
with atomic_write(path) as temporary, open(temporary, "wb") as file:
    file.write(b"from the other process")
    file.flush()
    print("writing", flush=True)
    input()
"""


def test_the_file_is_replaced_and_nothing_else_remains(path):
    with atomic_write(path) as temporary:
        assert temporary.parent == path.parent and temporary.suffix == path.suffix
        assert not temporary.exists()
        temporary.write_bytes(NEW)
        assert path.read_bytes() == OLD
    assert path.read_bytes() == NEW
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()]
)
def test_on_an_error_the_old_file_stays_and_nothing_else_remains(path, error):
    with pytest.raises(type(error)), atomic_write(path) as temporary:
        temporary.write_bytes(NEW[:3])
        raise error
    assert path.read_bytes() == OLD
    assert os.listdir(path.parent) == [path.name]


def test_a_full_disk_leaves_the_old_file(path):
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    with atomic_write(path) as temporary:
        temporary.write_bytes(bytes(100_000))
except OSError as error:
    sys.exit(error.errno)
"""
    assert run(code, path).wait() == errno.EFBIG
    assert path.read_bytes() == OLD
    assert os.listdir(path.parent) == [path.name]


def test_a_killed_writer_leaves_the_old_file_and_the_next_writer_cleans_up(path):
    with run(HOLD, path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == "writing\n"
        writer.send_signal(signal.SIGKILL)
    assert path.read_bytes() == OLD
    assert len(os.listdir(path.parent)) == 2
    with atomic_write(path) as temporary:
        temporary.write_bytes(NEW)
    assert path.read_bytes() == NEW
    assert os.listdir(path.parent) == [path.name]


def test_of_two_writers_both_complete_and_the_later_wins(path):
    with run(HOLD, path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == "writing\n"
        with atomic_write(path) as temporary:
            temporary.write_bytes(NEW)
        assert path.read_bytes() == NEW
        other.communicate("go on\n")
    assert other.returncode == 0
    assert path.read_bytes() == b"from the other process"
    assert os.listdir(path.parent) == [path.name]


def test_readers_never_see_half_a_file(path):
    contents = {bytes([letter]) * 200_000 for letter in b"abcd"}
    path.write_bytes(min(contents))

    def write(content):
        for _ in range(20):
            with atomic_write(path) as temporary:
                temporary.write_bytes(content)

    writers = [threading.Thread(target=write, args=[content]) for content in contents]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert path.read_bytes() in contents
    assert os.listdir(path.parent) == [path.name]


def test_only_the_same_files_dead_writers_on_this_machine_are_cleaned_up(path):
    with run("print(1)", path, stdout=subprocess.PIPE) as finished:
        dead = finished.pid
    with atomic_write(path) as temporary:
        temporary.write_bytes(NEW)
        host = temporary.name.split(".")[2].rsplit("-", 2)[0]
    others = [
        f".weights.elsewhere-{dead}-0123abcd.tmp.safetensors",
        f".other.{host}-{dead}-0123abcd.tmp.safetensors",
        f".weights.{host}-{os.getpid()}-0123abcd.tmp.safetensors",
        ".weights.notes.tmp.safetensors",
    ]
    stale = f".weights.{host}-{dead}-0123abcd.tmp.safetensors"
    for name in [*others, stale]:
        (path.parent / name).touch()
    with atomic_write(path) as temporary:
        temporary.write_bytes(NEW)
    assert sorted(os.listdir(path.parent)) == sorted([*others, path.name])


def test_a_link_stays_a_link(path):
    link = path.with_name("latest.safetensors")
    link.symlink_to(path)
    with atomic_write(link) as temporary:
        temporary.write_bytes(NEW)
    assert link.is_symlink() and path.read_bytes() == NEW


@pytest.mark.parametrize("mode", [0o640, 0o600, 0o755, 0o666])
def test_a_file_keeps_its_permissions(path, mode):
    path.chmod(mode)
    with atomic_write(path) as temporary:
        temporary.write_bytes(NEW)
    assert path.read_bytes() == NEW
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_file_has_the_permissions_that_the_system_gives(path):
    plain, ours = path.with_name("plain"), path.with_name("ours")
    plain.touch()
    with atomic_write(ours) as temporary:
        temporary.write_bytes(NEW)
    assert ours.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("mode", [0o444, 0o000])
def test_a_read_only_file_is_left_alone_even_by_root(path, mode):
    path.chmod(mode)
    with (
        pytest.raises(PermissionError, match=r"safetensors: the file is read-only; make it wri"),
        atomic_write(path) as temporary,
    ):
        temporary.write_bytes(NEW)
    path.chmod(0o600)
    assert path.read_bytes() == OLD
    assert os.listdir(path.parent) == [path.name]


def test_a_fifo_and_a_socket_are_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for name, kind in {"fifo": "a FIFO", "link": "a FIFO", "socket": "a socket"}.items():
            with (
                pytest.raises(FileExistsError, match=f"a regular file or none, found {kind}; ch"),
                atomic_write(tmp_path / name) as temporary,
            ):
                temporary.write_bytes(NEW)
        assert stat.S_ISSOCK((tmp_path / "socket").stat().st_mode)
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)
    assert sorted(os.listdir(tmp_path)) == ["fifo", "link", "socket"]


@pytest.mark.parametrize(
    ("kind", "words"), [(stat.S_IFCHR, "a character device"), (stat.S_IFBLK, "a block device")]
)
def test_a_device_is_never_replaced(path, monkeypatch, kind, words):
    # No device is put at risk: an ordinary file says that it is one.
    found = os.stat_result((kind | 0o666, *[0] * 9))
    monkeypatch.setattr(type(path), "stat", lambda self: found)
    with pytest.raises(FileExistsError, match=f"found {words}; choose another name"):
        files._permissions(path)


def test_a_name_as_long_as_the_disk_takes_it_can_be_written(path):
    long = path.with_name("é" * 121 + ".safetensors")
    for content in (OLD, NEW):
        with atomic_write(long) as temporary:
            temporary.write_bytes(content)
    assert long.read_bytes() == NEW
    assert sorted(os.listdir(path.parent)) == sorted([path.name, long.name])


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (b"weights", TypeError, r"path: expected a string or a pathlib.Path, got b'weights'"),
        (1, TypeError, "path: expected a string or a pathlib.Path, got 1"),
        (None, TypeError, "path: expected a string or a pathlib.Path, got None"),
        ("a\0b", ValueError, r"path: expected no null character, got 'a\\x00b'"),
        ("a" * 256, OSError, "names of at most 255 bytes, got one of 256: a{40}…; choose"),
        ("é" * 128 + "/a", OSError, "names of at most 255 bytes, got one of 256: é{40}…; ch"),
    ],
)
def test_what_is_no_name_of_a_file_is_refused(bad, error, message):
    with pytest.raises(error, match=message), atomic_write(bad):
        pass
    for use in (read_tree, lambda path: Checkpoint(path, {})):
        with pytest.raises(error, match=message):
            use(bad)


def test_misuse_is_named(path):
    with (
        pytest.raises(FileNotFoundError, match=r"no folder .*nowhere; create it first"),
        atomic_write(path.parent / "nowhere" / "file"),
    ):
        pass
    with pytest.raises(IsADirectoryError, match="a folder of this name"), atomic_write(path.parent):
        pass
    with pytest.raises(FileNotFoundError, match="nothing was written"), atomic_write(path):
        pass
    assert path.read_bytes() == OLD
