"""The records of a folder: one JSON Lines file that survives kills, one writer at a time."""

import fcntl
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pairnet.errors import RecordError
from pairnet.opening import LEFT, create_file, open_file, open_to_append
from pairnet.records.packed import PACKED, unpack
from pairnet.records.reading import LARGEST_RECORD, read_record
from pairnet.records.record import FailedRun, RunRecord
from pairnet.writing import make_folder

RECORDS = "records.jsonl"

LARGEST_FILE = 1 << 32
"""Bytes of a file of records: some 300,000 runs of 1,000 pairs."""

WHAT = "a file of records"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a file of records."""

    number: int  # counted from 1
    text: bytes  # as it was written, without the line break
    record: RunRecord | FailedRun


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What a folder holds, by fingerprint, in the order of the file."""

    records: dict[str, RunRecord]
    failures: dict[str, FailedRun]  # runs that failed and did not succeed later
    lines: dict[str, int]  # number of the line of each


def read_records(folder: Path | str) -> list[RunRecord]:
    """Records of the finished runs in `folder`, in the order in which they finished; none if it holds none.

    Everything is validated. RecordError names the file, the line and what is wrong with it.
    """
    return list(read_stored(Path(folder)).records.values())


def read_stored(folder: Path, *, on_line: Callable[[Line], None] | None = None) -> Stored:
    """Records and failures in `folder`.  `on_line` is called with each line, before it is known whether it counts.

    A last line without its line break is what a killed run leaves: it is ignored. Any other invalid line is a
    RecordError, and so are two different records of one run. Of two that differ only in how often the held-out pairs
    were measured, the one with more measurements counts.
    """
    stored = Stored(records={}, failures={}, lines={})
    path = records_of(folder)
    for line in _lines(path):
        if on_line is not None:
            on_line(line)
        record, key = line.record, line.record.fingerprint
        if isinstance(record, FailedRun):
            stored.failures[key] = record
            if key not in stored.records:
                stored.lines[key] = line.number
            continue
        stored.failures.pop(key, None)
        before = stored.records.get(key)
        if before is not None and not agree(before, record):
            raise RecordError(
                f"{path}: lines {stored.lines[key]} and {line.number} are different results of one run "
                f"({record.run.variant.name}, fingerprint {key}): remove the line that is wrong"
            )
        if before is None or record.measurements > before.measurements:
            stored.records[key] = record
            stored.lines[key] = line.number
    return stored


def records_of(folder: Path) -> Path:
    """The file that holds the records of a folder, or would: records.jsonl, or the packed one that is there.

    RecordError if both are there.
    """
    plain, packed = folder / RECORDS, folder / PACKED
    if not os.path.lexists(packed):
        return plain
    if os.path.lexists(plain):
        raise RecordError(f"expected {RECORDS} or {PACKED} in {folder}, got both: move one of them to another folder")
    return packed


def _lines(path: Path) -> Iterator[Line]:
    for number, text in enumerate(_whole_lines(path), start=1):
        try:
            yield Line(number=number, text=text, record=read_record(text))
        except RecordError as error:
            raise RecordError(f"{path}, line {number}: {error}; correct or remove this line") from None


def _whole_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file without their line breaks, and without a last one that is unfinished."""
    if path.name == PACKED:
        yield from unpack(path).splitlines()
        return
    if not os.path.lexists(path):
        return
    with open_file(path, what=WHAT, largest=LARGEST_FILE, error=RecordError, remedy=LEFT) as file:
        for number in itertools.count(1):
            if not (line := file.readline(LARGEST_RECORD + 1)):
                return
            if len(line) > LARGEST_RECORD:
                raise RecordError(
                    f"{path}, line {number}: expected a record of at most {LARGEST_RECORD:,} bytes, got more: remove "
                    "this line"
                )
            if line.endswith(b"\n"):
                yield line[:-1]
            else:
                _check_unfinished(line, path)


def agree(one: RunRecord, other: RunRecord) -> bool:
    """Whether two records of the same run can stand side by side: the same result, or not measured equally often."""
    same = one.accuracy == other.accuracy and one.epochs[-1:] == other.epochs[-1:]
    return same or one.measurements != other.measurements


def append(folder: Path, record: RunRecord | FailedRun) -> None:
    """Adds one line and returns once it is on the disk. What a killed run left of its last line is removed first.

    OSError names the file.
    """
    path = folder / RECORDS
    with _named(path), open_to_append(path, what=WHAT, error=RecordError, remedy=LEFT) as file:
        _remove_unfinished_line(file.fileno(), path)
        file.write(record.to_json().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Names `path` in an OSError: that of a full disk names no file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


BEGINNINGS = (b'{"schema": ', b'{"fingerprint": ')
"""How the lines begin that pairnet writes, and has written."""


def _check_unfinished(text: bytes, path: Path) -> None:
    """RecordError for the end of a file that is no line of pairnet's, begun and not finished."""
    if not any(text.startswith(each[: len(text)]) for each in BEGINNINGS):
        raise RecordError(f"expected {path} to end in a record, got something else: name another folder")


def _remove_unfinished_line(descriptor: int, path: Path) -> None:
    end = os.fstat(descriptor).st_size
    kept = end
    while kept > 0:
        start = max(0, kept - 65536)
        newline = os.pread(descriptor, kept - start, start).rfind(b"\n")
        if newline >= 0:
            kept = start + newline + 1
            break
        kept = start
    if kept < end:
        _check_unfinished(os.pread(descriptor, 100, kept), path)
        os.ftruncate(descriptor, kept)


def remove(folder: Path, fingerprints: Set[str], *, failed: Set[str] = frozenset()) -> int:
    """Removes all lines of some runs, and the failures of those that `failed` names -> number of lines removed.

    The file is replaced whole: a kill at any moment leaves the old one or the new one. Call it while holding `locked`.
    OSError names the file.
    """

    def goes(text: bytes) -> bool:
        record = read_record(text)
        of_failure = isinstance(record, FailedRun) and record.fingerprint in failed
        return of_failure or record.fingerprint in fingerprints

    lines = list(_whole_lines(folder / RECORDS))
    kept = [line for line in lines if not goes(line)]
    if len(kept) < len(lines):
        _replace(folder / RECORDS, kept)
    return len(lines) - len(kept)


def extend(folder: Path, lines: Iterable[bytes]) -> None:
    """Adds several lines, given without line breaks, and returns once they are on the disk.

    As with `remove`, a kill at any moment leaves none of them or all, and the caller holds `locked`. OSError names the
    file.
    """
    _replace(folder / RECORDS, [*_whole_lines(folder / RECORDS), *lines])


def _replace(path: Path, lines: Iterable[bytes]) -> None:
    """Writes the lines into a new file that then takes the place of `path`."""
    new = path.with_name(f".{path.name}.new")
    with _named(new), create_file(new) as file:
        file.writelines(line + b"\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


@contextmanager
def opened(folder: Path) -> Iterator[Stored]:
    """Holds `folder` as `locked` does -> what it holds, read once for everything that is done with it."""
    with locked(folder):
        yield read_stored(folder)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds `folder` (created if missing) for one writer at a time.

    RecordError if another program holds it or its records are packed, ArgumentError if it is no folder.
    """
    if records_of(folder).name == PACKED:
        raise RecordError(
            f"expected a folder whose records can be changed, got {folder} with {PACKED}: `pairnet runs merge {folder} "
            "--runs NEW` copies them into a new one"
        )
    make_folder(folder, content="records")
    lock = folder / ".lock"
    with open_to_append(lock, what="the lock of a folder", error=RecordError, follow=False, remedy=LEFT) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RecordError(
                f"{folder} is being written by another study: wait for it, or choose another folder for `runs`"
            ) from None
        yield
