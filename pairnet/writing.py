"""How files and folders are written: nothing is replaced or removed that pairnet did not write, or that was not named.

A folder of files carries a mark, `.pairnet.json`: what they are, and the SHA-256 of each. A writer replaces and removes
only those that the mark lists and that nobody has changed since. New files are written into a hidden folder, which
becomes `.pairnet-next` in one step; only then do they take their places, the mark last. So a kill at any moment leaves
the old files or the new ones: readers find them with `current_file`, and the next writer finishes what was begun.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path, PurePosixPath

from pairnet.errors import ArgumentError
from pairnet.opening import FILE, kind_of, open_file, read_file

MARK = ".pairnet.json"
NEXT = ".pairnet-next"
NEW = ".pairnet-new-"

LARGEST_MARK = 1 << 24
LARGEST_WRITTEN = 1 << 31
"""Bytes of a mark, and of a file that it lists."""


@contextmanager
def folder_of_files(folder: Path, *, content: str, older: Collection[str] = ()) -> Iterator[Path]:
    """Yields a hidden folder to write into, subfolders too; its files take their places in `folder` at the end.

    content: what the files are, such as "a report"; a folder of something else is refused. older: the names of those
    that a version without marks wrote, if the caller knows `folder` as its own. Other files stay as they are.
    ArgumentError as of `check_folder`, before the block, and after it for a file that is in the way. A folder that was
    created is removed again if the block fails.
    """
    check_folder(folder, content=content, older=older)
    with _created(folder, content), _hidden(folder) as new:
        yield new
        with _locked(folder):
            _check_folder(folder, content=content, older=older)  # again: the block may have taken its time
            _finish(folder)
            files = {path.relative_to(new).as_posix(): _digest(path) for path in new.rglob("*") if path.is_file()}
            _check_places(folder, files, owned := _owned(folder, older))
            if not _marks(folder) and owned:
                _write_mark(new, content, {name: digest for name, digests in owned.items() for digest in digests})
                (new / MARK).replace(folder / MARK)
            _write_mark(new, content, files)
            for path in (*new.rglob("*"), new):
                _sync(path)
            new.rename(folder / NEXT)
            _finish(folder)
            _sync(folder)


def check_folder(folder: Path, *, content: str, older: Collection[str] = (), names: Collection[str] = ()) -> None:
    """ArgumentError unless `folder_of_files` can write there: call it before work that would be lost.

    A new folder, an empty one, or one with the mark of the same content; `older` as there. In it, the files `names`
    must be missing, or as they were written.
    """
    with _locked(folder) if folder.is_dir() else nullcontext():  # not while another writer's files take their places
        _check_folder(folder, content=content, older=older, names=names)


def _check_folder(folder: Path, *, content: str, older: Collection[str] = (), names: Collection[str] = ()) -> None:
    """The same, for a writer that holds the folder."""
    if not os.path.lexists(folder):
        return
    others = [mark[0] for mark in _marks(folder) if mark[0] != content]
    if not folder.is_dir():
        others = [f"{kind_of(folder) or 'a link that leads nowhere'} in its place"]
    elif not _marks(folder):
        found = sorted(path.name for path in folder.iterdir() if not _is_left(path))
        others = [name for name in found if not older or name in (MARK, NEXT)]
    if others:
        raise ArgumentError(
            f"expected a new or empty folder for {content}, or the one that pairnet wrote before, got {folder} with "
            f"{others[0]}: choose another folder"
        )
    _check_places(folder, names, _owned(folder, older))


def make_folder(folder: Path, *, content: str) -> None:
    """Creates `folder` and those above it, unless they are there.  ArgumentError if something else is in the way."""
    there = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), folder)
    if os.path.lexists(there) and not there.is_dir():
        kind = kind_of(there) or "a link that leads nowhere"
        found = "which" if there == folder else f"but {there}"
        raise ArgumentError(f"expected a folder for {content}, got {folder}, {found} is {kind}: choose another folder")
    folder.mkdir(parents=True, exist_ok=True)


def current_file(folder: Path, name: str) -> Path:
    """Where the file `name` of a folder is: in its place, or where a writer that was killed left the new one."""
    waiting = folder / NEXT / name
    return waiting if waiting.exists() else folder / name


def marked_files(folder: Path, content: str) -> Mapping[str, str]:
    """SHA-256 of the files that the mark of `folder` lists, by name; empty without a mark of this content."""
    found = _read_mark(current_file(folder, MARK))
    return found[1] if found is not None and found[0] == content else {}


@contextmanager
def one_file(path: Path, *, force: bool, what: str = "output") -> Iterator[Path]:
    """Yields a path of the same name in a hidden folder; at the end of the block the file appears as `path`, whole.

    ArgumentError, before and after the block, if `path` exists (without `force`) or is no file; `what` is the name of
    the parameter. With `force`, a kill leaves the old file or the new one. FileNotFoundError if its folder is missing.
    """
    with separate_files([path], force=force, what=what) as new:
        yield new / path.name


@contextmanager
def separate_files(paths: Sequence[Path], *, force: bool, what: str = "output") -> Iterator[Path]:
    """As `one_file`, for several files of one folder: yields the hidden folder, and each appears under its name."""
    for path in paths:
        check_file(path, force=force, what=what)
    folder, placed = paths[0].parent, list[Path]()
    if not folder.is_dir():
        if kind := kind_of(folder):
            found = f"{paths[0]}, and {folder} is {kind}"
            raise ArgumentError(f"`{what}`: expected a file in a folder, got {found}: choose another name")
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(paths[0]))
    with _hidden(folder) as new:
        yield new
        try:
            for path in paths:
                _sync(new / path.name)
                _place(new / path.name, path, force=force, what=what)
                placed.append(path)
        except BaseException:
            for path in placed if not force else ():
                path.unlink()
            raise
        _sync(folder)


def check_file(path: Path, *, force: bool, what: str = "output") -> None:
    """ArgumentError if `path` exists, unless it is a file and `force` allows to replace it."""
    if (kind := kind_of(path)) not in ("", FILE):
        raise ArgumentError(f"`{what}`: expected a file, got {path}, which is {kind}: choose another name")
    if os.path.lexists(path) and not force:
        raise ArgumentError(f"`{what}`: expected a new file, got {path}, which exists: replace it with `force`")


def _place(new: Path, path: Path, *, force: bool, what: str) -> None:
    """Gives the file `new` the name `path`, in one step."""
    check_file(path, force=force, what=what)
    if force:
        if path.exists():
            shutil.copymode(path, new)
        new.replace(path)
        return
    try:
        os.link(new, path)  # unlike a renaming, it never replaces a file
    except OSError:  # created since the check; or a file system without links
        check_file(path, force=False, what=what)
        new.rename(path)


Mark = tuple[str, dict[str, str]]
"""What the files are, and the SHA-256 of each by its name."""


def _read_mark(path: Path) -> Mark | None:
    """A mark that pairnet wrote, otherwise None: names lead nowhere but into its folder."""
    try:
        mark = None if path.is_symlink() else json.loads(_content(path))
    except (ValueError, RecursionError):  # an ArgumentError, too
        return None
    match mark:
        case {"content": str(content), "files": dict(files)} if all(
            isinstance(digest, str) and name and not name.startswith("/") and ".." not in name.split("/")
            for name, digest in files.items()
        ):
            return content, files
    return None


def _content(path: Path) -> bytes:
    return read_file(path, what="a mark of pairnet", largest=LARGEST_MARK, error=ArgumentError)


def _write_mark(folder: Path, content: str, files: Mapping[str, str]) -> None:
    text = json.dumps({"content": content, "files": dict(sorted(files.items()))}, indent=1)
    (folder / MARK).write_text(f"{text}\n")
    _sync(folder / MARK)


def _marks(folder: Path) -> list[Mark]:
    """The mark of `folder`, and that of new files which a killed writer left in it."""
    return [mark for place in (folder, folder / NEXT) if (mark := _read_mark(place / MARK)) is not None]


def _owned(folder: Path, older: Collection[str]) -> dict[str, set[str]]:
    """The files in `folder` that may be replaced, by name: the SHA-256 that they must have."""
    owned: dict[str, set[str]] = {}
    for _, files in _marks(folder):
        for name, digest in files.items():
            owned.setdefault(name, set()).add(digest)
    if not _marks(folder):
        owned = {name: {_digest(folder / name)} for name in older if _is_within(folder, name)}
    return owned


def _is_within(folder: Path, name: str) -> bool:
    """Whether `name` is a regular file in `folder`, and no link or behind one."""
    path = folder / name
    try:
        return path.is_file() and Path(os.path.realpath(path)) == Path(os.path.realpath(folder)) / name
    except OSError:  # a name that no file can have
        return False


def _is_one_of(folder: Path, name: str, digests: Collection[str]) -> bool:
    """Whether `name` is a regular file in `folder` with one of these SHA-256."""
    with suppress(ArgumentError):  # it is larger than what pairnet writes
        return bool(digests) and _is_within(folder, name) and _digest(folder / name) in digests
    return False


def _check_places(folder: Path, names: Collection[str], owned: Mapping[str, Collection[str]]) -> None:
    """ArgumentError if a file of `names` would replace one in `folder` that is not as `owned` says, or be behind it."""
    for name in names:
        inner = [folder / parent for parent in PurePosixPath(name).parents][:-1]
        blocking = [each for each in inner if each.is_symlink() or (each.exists() and not each.is_dir())]
        if os.path.lexists(folder / name) and not _is_one_of(folder, name, owned.get(name, ())):
            blocking.append(folder / name)
        if blocking:
            raise ArgumentError(
                f"expected to replace only files that pairnet wrote and nobody changed, got {blocking[0]}: move it away"
            )


def _finish(folder: Path) -> None:
    """Gives the files of `.pairnet-next` their places, and removes those of the old mark that the new one lacks."""
    waiting = folder / NEXT
    if waiting.is_symlink() or not waiting.is_dir():
        return
    if (mark := _read_mark(waiting / MARK)) is not None:
        new, old = mark[1], (_read_mark(folder / MARK) or ("", {}))[1]
        left = [name for name in new if _is_within(waiting, name)]
        _check_places(folder, left, {name: [digest] for name, digest in old.items()})
        for name in old.keys() - new.keys():
            if _is_one_of(folder, name, [old[name]]):
                (folder / name).unlink()
            for parent in PurePosixPath(name).parents[:-1]:  # the innermost first
                with suppress(OSError):  # it holds other files, or is gone
                    if Path(os.path.realpath(folder / parent)) == Path(os.path.realpath(folder)) / parent:
                        (folder / parent).rmdir()
        for name in left:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (waiting / name).replace(folder / name)
        (waiting / MARK).replace(folder / MARK)
    for path in sorted((path for path in waiting.rglob("*") if path.is_dir()), reverse=True):
        path.rmdir()
    waiting.rmdir()


@contextmanager
def _created(folder: Path, content: str) -> Iterator[None]:
    """Creates `folder`; if the block fails, removes again what was created and is empty."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    make_folder(folder, content=content)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for path in missing:
                path.rmdir()
        raise


@contextmanager
def _hidden(folder: Path) -> Iterator[Path]:
    """A new hidden folder in `folder`, removed at the end; those that killed writers left are removed first.

    An OSError about a file in it names the place in `folder` that the file was meant for.
    """
    new = folder / f"{NEW}{secrets.token_hex(4)}"
    try:
        with _locked(folder):
            for path in folder.iterdir():
                if _is_left(path):
                    with suppress(OSError), _locked(path, wait=False):  # a writer that is alive holds it
                        shutil.rmtree(path)
            new.mkdir()
            lock = _lock(new)
        try:
            yield new
        finally:
            shutil.rmtree(new, ignore_errors=True)
            os.close(lock)
    except OSError as error:
        if isinstance(error.filename, str) and Path(error.filename).is_relative_to(new):
            error.filename = str(folder / Path(error.filename).relative_to(new))
        raise


def _is_left(path: Path) -> bool:
    """Whether `path` is the hidden folder of a writer."""
    ours = re.fullmatch(rf"{re.escape(NEW)}[0-9a-f]{{8}}", path.name)
    return ours is not None and path.is_dir() and not path.is_symlink()


@contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Holds the folder `path` for one writer at a time; without `wait`, OSError if another one holds it."""
    lock = _lock(path, wait=wait)
    try:
        yield
    finally:
        os.close(lock)


def _lock(path: Path, *, wait: bool = True) -> int:
    """A descriptor of the folder `path` that holds its lock until it is closed."""
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if not wait:
            os.close(lock)
            raise  # otherwise a file system without locks: one writer at a time is the user's responsibility
    return lock


def _digest(path: Path) -> str:
    with open_file(path, what="a file that pairnet wrote", largest=LARGEST_WRITTEN, error=ArgumentError) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Returns once a file, or the list of names in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
