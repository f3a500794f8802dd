"""Merges the records of several folders into one. No torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pairnet.errors import RecordError
from pairnet.study.files import KEPT, keep_file
from pairnet.study.folders import RECORD
from pairnet.study.reading import read_record
from pairnet.study.records import RunRecord, name_of
from pairnet.study.store import RECORDS, agree, extend, locked, read_lines


@dataclass(frozen=True, kw_only=True)
class Merged:
    """What a merge did, in numbers."""

    folders: int  # that were merged, each counted once, without the one that they were merged into
    added: int  # runs
    there: int  # runs that the folder held already
    failures: int  # failed runs that were added
    networks: int  # saved networks, which stay in their folders
    studies: int  # study files that were added


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A record, the text of its line, and the file that it is from."""

    record: RunRecord
    text: bytes
    place: str  # for messages


def merge(folders: Sequence[Path], into: Path) -> Merged:
    """Adds the runs in `folders` to the records of `into` (created if missing), each run once.

    These are the runs that `pairnet runs` lists: those of studies, and the records of saved networks; the networks
    themselves are not copied. Of two records of one run, the one with more measurements counts. A failure is added
    unless there is a record of its run. Lines are copied as they are. `into` may be among the folders.

    RecordError for a folder that does not exist or holds no run, for an invalid record, for two different results of
    one run (CPUs of different kinds may round differently), for two different study files of one name, and if `into`
    is in use; then nothing is written.
    """
    sources: dict[Path, Path] = {}
    for folder in folders:
        sources.setdefault(folder.resolve(), folder)
    sources.pop(into.resolve(), None)
    found: dict[str, _Entry] = {}
    failed: dict[str, bytes] = {}
    networks = 0
    for folder in sources.values():
        entries, failures, saved = _runs_in(folder)
        if not entries and not failures:
            raise RecordError(
                f"expected a folder with runs, got {folder}, which has no finished line in {RECORDS} and no saved "
                "network: leave it out, or wait for its study"
            )
        for entry in entries:
            before = found.get(entry.record.fingerprint)
            if before is None or _is_better(entry, before):
                found[entry.record.fingerprint] = entry
        failed = {**failures, **failed}
        networks += saved
    files = _study_files([*sources.values(), into])
    with locked(into):
        records, own_failures = read_lines(into)
        own = {
            key: _Entry(record=line.record, text=line.text, place=f"{into / RECORDS}, line {line.number}")
            for key, line in records.items()
        }
        new = [entry for key, entry in found.items() if key not in own or _is_better(entry, own[key])]
        new_failures = [text for key, text in failed.items() if key not in {**found, **own, **own_failures}]
        if new or new_failures:
            extend(into, [*(entry.text for entry in new), *new_failures])
        added_files = [path for name, path in files.items() if not (into / KEPT / name).exists()]
        for path in added_files:
            keep_file(path, into)
    return Merged(
        folders=len(sources),
        added=len(new),
        there=len(found) - len(new),
        failures=len(new_failures),
        networks=networks,
        studies=len(added_files),
    )


def _study_files(folders: Sequence[Path]) -> dict[str, Path]:
    """The study files that are kept in the folders, by name.  RecordError for two different ones of one name."""
    found: dict[str, Path] = {}
    for path in (path for folder in folders for path in sorted((folder / KEPT).glob("[!.]*"))):
        first = found.setdefault(path.name, path)
        if first.read_bytes() != path.read_bytes():
            raise RecordError(f"{first} and {path} are different studies of one name: rename one of them")
    return found


def _runs_in(folder: Path) -> tuple[list[_Entry], dict[str, bytes], int]:
    """Records and the lines of failures in `folder`, and its number of saved networks.

    The record of a saved network counts where no study has recorded its run.
    """
    if not folder.is_dir():
        raise RecordError(f"expected a folder with runs, got {folder}, which is no folder: check the path")
    records, failures = read_lines(folder)
    found = {
        key: _Entry(record=line.record, text=line.text, place=f"{folder / RECORDS}, line {line.number}")
        for key, line in records.items()
    }
    networks = 0
    for path in sorted(folder.glob(f"[!.]*/{RECORD}")):
        text = path.read_bytes()
        try:
            record = read_record(text)
        except RecordError as error:
            raise RecordError(f"{path}: {error}; correct or remove this folder") from None
        if isinstance(record, RunRecord):
            networks += 1
            line = msgspec.json.format(text, indent=-1)
            found.setdefault(record.fingerprint, _Entry(record=record, text=line, place=str(path)))
    return list(found.values()), {key: line.text for key, line in failures.items()}, networks


def _is_better(entry: _Entry, before: _Entry) -> bool:
    """Whether `entry` was measured more often.  RecordError if the two are different results of one run."""
    if not agree(before.record, entry.record):
        raise RecordError(
            f"{before.place} and {entry.place} are different results of one run ({name_of(entry.record)}, fingerprint "
            f"{entry.record.fingerprint}), as engines and CPUs that round differently give: remove one of them, or "
            "leave its folder out"
        )
    return entry.record.measurements > before.record.measurements
