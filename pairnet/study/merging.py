"""Merges the records of several folders into one. No torch."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pairnet.errors import RecordError
from pairnet.opening import kind_of
from pairnet.records.collection import collect
from pairnet.records.folders import RECORD, saved_folders
from pairnet.records.reading import read_record, record_text
from pairnet.records.record import RunRecord
from pairnet.records.run import name_of
from pairnet.records.store import RECORDS, Line, agree, extend, locked, read_stored, records_of
from pairnet.study.kept import KEPT, keep_file, kept_files
from pairnet.writing import current_file


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
class Entry:
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
    one run (CPUs of different kinds may round differently), and if `into` is in use or holds something else; then
    nothing is written. Study files are kept as `files.keep_file` has it: two different ones of one name are both there.
    """
    sources: dict[str, Path] = {}
    for folder in folders:
        sources.setdefault(os.path.realpath(folder), folder)  # unlike Path.resolve, it takes a loop of links
    sources.pop(os.path.realpath(into), None)
    if into.is_dir() and _is_foreign(into):
        raise RecordError(
            f"expected `runs` to be a new folder, an empty one, or one with runs, got {into}, which holds other files: "
            "choose another folder"
        )
    found: dict[str, Entry] = {}
    failed: dict[str, bytes] = {}
    networks = 0
    for folder in sources.values():
        entries, failures, saved = runs_in(folder)
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
    studies = [study for folder in sources.values() for study in kept_files(folder)]
    with locked(into):
        own, own_failures = _read(into)
        new = [entry for key, entry in found.items() if key not in own or _is_better(entry, own[key])]
        new_failures = [text for key, text in failed.items() if key not in {**found, **own, **own_failures}]
        if new or new_failures:
            extend(into, [*(entry.text for entry in new), *new_failures])
        added_studies = [study for study in studies if keep_file(study, into)]
    return Merged(
        folders=len(sources),
        added=len(new),
        there=len(found) - len(new),
        failures=len(new_failures),
        networks=networks,
        studies=len(added_studies),
    )


def _is_foreign(folder: Path) -> bool:
    """Whether a folder holds something, but no runs, nor what a study leaves before its first one."""
    ours = {".lock", KEPT, RECORDS, f".{RECORDS}.new"}
    return any(path.name not in ours for path in folder.iterdir()) and not collect(folder).records


def _read(folder: Path) -> tuple[dict[str, Entry], dict[str, bytes]]:
    """Records and the lines of failures of the studies in `folder`, by fingerprint."""
    texts: dict[int, bytes] = {}

    def keep(line: Line) -> None:
        texts[line.number] = line.text

    path, stored = records_of(folder), read_stored(folder, on_line=keep)

    def entry(key: str, record: RunRecord) -> Entry:
        number = stored.lines[key]
        return Entry(record=record, text=texts[number], place=f"{path}, line {number}")

    return (
        {key: entry(key, record) for key, record in stored.records.items()},
        {key: texts[stored.lines[key]] for key in stored.failures},
    )


def runs_in(folder: Path) -> tuple[list[Entry], dict[str, bytes], int]:
    """Records and the lines of failures in `folder`, and its number of saved networks.

    The record of a saved network counts where no study has recorded its run.
    """
    if not folder.is_dir():
        kind = kind_of(folder) or "no folder"
        raise RecordError(f"expected a folder with runs, got {folder}, which is {kind}: check the path")
    found, failures = _read(folder)
    networks = 0
    for saved in saved_folders(folder):
        path = current_file(saved, RECORD)
        text = record_text(path)
        try:
            record = read_record(text)
        except RecordError as error:
            raise RecordError(f"{path}: {error}; correct or remove this folder") from None
        if isinstance(record, RunRecord):
            networks += 1
            line = msgspec.json.format(text, indent=-1)
            found.setdefault(record.fingerprint, Entry(record=record, text=line, place=str(path)))
    return list(found.values()), failures, networks


def _is_better(entry: Entry, before: Entry) -> bool:
    """Whether `entry` was measured more often.  RecordError if the two are different results of one run."""
    if not agree(before.record, entry.record):
        raise RecordError(
            f"{before.place} and {entry.place} are different results of one run ({name_of(entry.record.run)}, "
            f"fingerprint {entry.record.fingerprint}), as engines and CPUs that round differently give: remove one of "
            "them, or leave its folder out"
        )
    return entry.record.measurements > before.record.measurements
