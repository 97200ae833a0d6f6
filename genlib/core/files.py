"""Files that are either written whole or not at all."""

from __future__ import annotations

import json
import os
import platform
import re
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME_BYTES = 255  # of a file's name, on all common file systems
_SPECIAL = {"p": "a FIFO", "s": "a socket", "c": "a character device", "b": "a block device"}


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file so that nobody ever sees half of it.

    The block writes to a temporary path in the same folder. When the block ends, the file is
    flushed to the disk and takes the place of ``path`` in one step. When the block raises (a full
    disk, an interrupt), the temporary file is removed and ``path`` keeps its old content, if it had
    one. A writer that is killed leaves its temporary file behind; the next writer of the same path
    on the same machine removes it. Of two writers at the same time, both complete and the later
    one wins. A file that is replaced leaves its permissions to the new one.

    Parameters
    ----------
    path
        The file to write, a string or a path. Its folder must exist. A symbolic link is followed.

    Yields
    ------
    Path
        Where to write: a name that does not exist yet and ends in the same suffix as ``path``,
        because some writers choose the format by the suffix, or append it where it is missing.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist, or if the block ends without having written anything.
    IsADirectoryError
        If ``path`` is a folder.
    FileExistsError
        If ``path`` is a device, a FIFO or a socket, which a file must not replace.
    PermissionError
        If ``path`` is read-only, whoever asks: root, too, has to make it writable first.
    TypeError, ValueError, OSError
        If ``path`` is not a string or a path, holds a null character, or has too long a name in it.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with atomic_write(path) as temporary:
    ...     _ = temporary.write_text("whole, or not at all")
    >>> path.read_text()
    'whole, or not at all'
    """
    path = checked_path(path).resolve()
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"cannot write {path.name}: there is no folder {path.parent}; create it first."
        )
    writer = f"{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    temporary = path.with_name(f"{_prefix(path)}{writer}.tmp{path.suffix}")
    permissions = _permissions(path)
    _remove_stale(path)
    try:
        yield temporary
        if not temporary.is_file():
            raise FileNotFoundError(f"nothing was written for {path}, which stays as it was.")
        _flush(temporary)
        if permissions is not None:
            temporary.chmod(permissions)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with suppress(OSError):  # not every system can flush a folder; the file itself is safe
        _flush(path.parent)


def write_json(path: str | os.PathLike[str], content: object) -> None:
    """Write ``content`` as indented JSON in UTF-8, whole or not at all; see `atomic_write`."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def checked_path(path: object) -> Path:
    """Return ``path`` as a `Path`, or say what is wrong with it as the name of a file.

    Raises
    ------
    TypeError, ValueError, OSError
        If ``path`` is not a string or a path, holds a null character, or has too long a name in it.
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise TypeError(f"path: expected a string or a pathlib.Path, got {path!r}.")
    path = Path(path)
    if "\0" in str(path):
        raise ValueError(f"path: expected no null character, got {str(path)!r}.")
    for name in path.parts:
        if len(os.fsencode(name)) > _NAME_BYTES:
            raise OSError(
                f"path: expected names of at most {_NAME_BYTES} bytes, got one of "
                f"{len(os.fsencode(name))}: {name[:40]}…; choose a shorter one."
            )
    return path


def _permissions(path: Path) -> int | None:
    """Permissions of the file at ``path``, ``None`` if there is none, and an error unless a new
    file may take its place.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"cannot write a file at {path}: a folder of this name exists.")
    if not stat.S_ISREG(mode):
        kind = _SPECIAL.get(stat.filemode(mode)[0], "something else")
        raise FileExistsError(
            f"cannot write a file at {path}: expected a regular file or none, found {kind}; "
            "choose another name."
        )
    # Root may write anywhere; but whoever took the permission away from all meant root as well.
    if not mode & 0o222 or not os.access(path, os.W_OK):
        raise PermissionError(
            f"cannot write {path}: the file is read-only; make it writable, or choose another name."
        )
    return stat.S_IMODE(mode)


def _remove_stale(path: Path) -> None:
    """Remove temporary files of ``path`` whose writers on this machine are dead."""
    pattern = re.compile(
        re.escape(f"{_prefix(path)}{_host()}-") + r"(\d+)-[0-9a-f]{8}\.tmp" + re.escape(path.suffix)
    )
    for entry in path.parent.iterdir():
        match = pattern.fullmatch(entry.name)
        if match and not _is_alive(int(match[1])):
            entry.unlink(missing_ok=True)


def _prefix(path: Path) -> str:
    return f".{path.stem[:30]}."  # not all of a long name, to which the writer's is added


def _host() -> str:
    """Return this machine's name: on a shared disk, a process id means nothing without it."""
    return re.sub(r"\W", "_", platform.node())


def _is_alive(pid: int) -> bool:
    if os.name != "posix":  # elsewhere, signal 0 is not a question: it may end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it runs, as somebody else
        return True
    return True


def _flush(path: Path) -> None:
    """Wait until ``path`` is on the disk."""
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
