"""How a file that anybody may have made is opened: a regular one only, without waiting, no larger than the caller says.

A named pipe would wait for its writer for ever, a device may never end, and opening one can change it. So what a path
leads to is looked at before it is opened, and again afterwards: it may have been replaced in between. A link to a
regular file is as good as the file. Every module opens files here; `tests/test_opening.py` lists the exceptions.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom, BufferedReader, BufferedWriter, FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pairnet.errors import DataError, PairnetError, PictureCode

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer as Buffer

BUFFER = 1 << 16
"""Bytes that are read at once."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFLNK: "a link",
}
_FLAGS = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_REASONS = {errno.ENOENT: "no such file", errno.ENOTDIR: "no such file", errno.ELOOP: "a link that leads to no file"}

FILE = "a file"
NAMED = "name a regular file"
LEFT = "look at what it is, and remove it if nobody needs it"
"""What to do with something that is no regular file: where a user named it, and where a folder of pairnet's has it."""


@contextmanager
def open_file(
    path: Path, *, what: str, largest: int, error: type[PairnetError], remedy: str = NAMED
) -> Iterator[BufferedReader]:
    """A file opened for reading, at its start.

    what: its content, with an article, for the message. largest: its size in bytes at most; the file may grow later, so
    who reads to its end counts. remedy: what to do if it is no regular file. `error` if it cannot be opened, is no
    regular file, or is larger; a DataError has the code of it.
    """
    with _opened(path, os.O_RDONLY, what, error, remedy) as descriptor:
        if (size := os.fstat(descriptor).st_size) > largest:
            raise _coded(error(_too_large(path, what, largest, f"{size:,} bytes")), "too-large")
        stream: Any = _ReadyFile(descriptor, closefd=False)
        with BufferedReader(stream, BUFFER) as file:
            yield file


class _ReadyFile(FileIO):
    """A file that fails where its next bytes are not there yet, as of some in /proc that the system calls regular."""

    def readinto(self, buffer: "Buffer", /) -> int:
        """Number of bytes read.  OSError if it would have to wait."""
        count: int | None = super().readinto(buffer)
        if count is None:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return count


def read_file(path: Path, *, what: str, largest: int, error: type[PairnetError], remedy: str = NAMED) -> bytes:
    """The bytes of a file, read once; see `open_file`.  `error` also for a file that cannot be read."""
    with open_file(path, what=what, largest=largest, error=error, remedy=remedy) as file:
        try:
            content = file.read(largest + 1)
        except OSError as failure:
            raise _coded(error(_unreadable(path, what, failure)), "missing") from None
    if len(content) > largest:
        raise _coded(error(_too_large(path, what, largest, "more")), "too-large")
    return content


@contextmanager
def open_to_append(
    path: Path, *, what: str, error: type[PairnetError], follow: bool = True, remedy: str = NAMED
) -> Iterator[BufferedRandom]:
    """A file opened for reading and for writing at its end; created if it is missing, never emptied.

    follow: whether it may be a link. remedy: as of `open_file`. `error` if it is no regular file, OSError if it cannot
    be opened otherwise.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | (0 if follow else os.O_NOFOLLOW)
    with _opened(path, flags, what, error, remedy) as descriptor, open(descriptor, "ab+", closefd=False) as file:
        yield file


@contextmanager
def create_file(path: Path) -> Iterator[BufferedWriter]:
    """A new file opened for writing, in place of what a killed writer left there under this name.

    A link there is removed, and what it leads to stays. OSError if a folder is in the way.
    """
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        yield file


@contextmanager
def _opened(path: Path, flags: int, what: str, error: type[PairnetError], remedy: str) -> Iterator[int]:
    """A descriptor of a regular file."""
    creates, follow = bool(flags & os.O_CREAT), not flags & os.O_NOFOLLOW
    try:
        there = not creates or os.path.lexists(path)
        kind = _other_kind(path.stat(follow_symlinks=follow).st_mode) if there else ""
        descriptor = -1 if kind else os.open(path, flags | _FLAGS, 0o666)
    except OSError as failure:
        if creates and failure.errno != errno.ELOOP:
            raise
        raise _coded(error(_unreadable(path, what, failure)), "missing") from None
    except ValueError:  # a null character in the name, or one that the file system cannot have
        message = f"{path}: expected {what}, got a name that no file can have: check the name"
        raise _coded(error(message), "missing") from None
    try:
        kind = kind or _other_kind(os.fstat(descriptor).st_mode)
        if kind:
            folder = kind == _KINDS[stat.S_IFDIR]
            message = f"{path}: expected {what}, got {kind}: {remedy}"
            raise _coded(error(message), "missing" if folder else "format")
        yield descriptor
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def kind_of(path: Path) -> str:
    """What is at `path`, or where a link there leads, with an article: FILE, a folder, a pipe; empty for nothing."""
    return (_other_kind(path.stat().st_mode) or FILE) if path.exists() else ""


def _coded(error: PairnetError, code: PictureCode) -> PairnetError:
    """The same error; one about images says for programs why they cannot be read."""
    if isinstance(error, DataError):
        error.code = code
    return error


def _other_kind(mode: int) -> str:
    """What something is that is no regular file; empty for one."""
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "something else")


def _unreadable(path: Path, what: str, failure: OSError) -> str:
    if reason := _REASONS.get(failure.errno or 0):
        return f"{path}: expected {what}, got {reason}: check the name"
    return f"{path}: expected {what}, which cannot be read: {failure.strerror or failure}: check its permissions"


def _too_large(path: Path, what: str, largest: int, got: str) -> str:
    return f"{path}: expected {what} of at most {largest:,} bytes, got {got}: name another file, or make it smaller"
