"""Files are written whole or not at all, whatever happens to the writer."""

import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

from genlib.core import files
from genlib.core.files import atomic_write

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
