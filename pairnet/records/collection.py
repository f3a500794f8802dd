"""All runs in a folder: those of studies and those saved with their networks, each once. No torch."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from pairnet.errors import RecordError
from pairnet.opening import kind_of
from pairnet.records.folders import RECORD, read_saved, saved_folders
from pairnet.records.record import FailedRun, RunRecord
from pairnet.records.run import Run
from pairnet.records.settings import by_setting, describe
from pairnet.records.store import Stored, read_stored
from pairnet.writing import current_file

SHOWN = 3
"""Number of settings that a message lists."""


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What a folder of runs holds, by fingerprint: each run once, read once."""

    records: dict[str, RunRecord]
    failures: dict[str, FailedRun]  # runs that failed and did not succeed later
    folders: dict[str, tuple[Path, ...]]  # that hold the network of a run, where it was saved


def collect(runs: Path, *, strict: bool = False, stored: Stored | None = None) -> Collected:
    """The runs in `runs`. The damaged record of a saved network is skipped with a warning.

    stored: what the folder's file of records holds, if it has been read. RecordError if `runs` is no folder, or for an
    invalid line among its records; if `strict`, also for what would be skipped.
    """
    if not runs.is_dir():
        kind = kind_of(runs)
        found = f", which is {kind}: name a folder" if kind else ": `pairnet train` and `pairnet reproduce` make it"
        raise RecordError(f"expected `runs` to be a folder, got {runs}{found}")
    stored = stored or read_stored(runs)
    records, folders = dict(stored.records), dict[str, tuple[Path, ...]]()
    for folder in saved_folders(runs):
        path = current_file(folder, RECORD)
        try:
            record = read_saved(path)
        except RecordError as error:
            if strict:
                raise
            warnings.warn(f"skipped {error}", stacklevel=2)
            continue
        if isinstance(record, RunRecord):
            records.setdefault(record.fingerprint, record)
            folders[record.fingerprint] = (*folders.get(record.fingerprint, ()), folder)
    failures = {key: failure for key, failure in stored.failures.items() if key not in records}
    return Collected(records=records, failures=failures, folders=folders)


def not_found(row: str, records: Sequence[RunRecord], runs: Path) -> RecordError:
    """The error for a selection of `row` that holds no run: what the folder has instead."""
    own = [record for record in records if row in (record.run.name, record.run.variant.name)]
    if own:
        return RecordError(
            f"expected runs of {row} that were selected, got none: {runs} has {list_settings(own)}: select one of these"
        )
    known = list(dict.fromkeys(record.run.name for record in records))
    if not known:
        return RecordError(f"expected runs of {row} in {runs}, got none at all: `pairnet reproduce` makes some")
    near = get_close_matches(row, known, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "name one of these"
    return RecordError(f"expected runs of {row} in {runs}, got runs of {', '.join(known)}: {hint}")


def list_settings(records: Sequence[RunRecord]) -> str:
    """The settings of some records, "or" between them; only the first few of many."""
    return text_of_settings(list(by_setting(records)))


def text_of_settings(settings: Sequence[Run]) -> str:
    """Some settings, as `list_settings` lists them."""
    names = describe(settings)
    more = f" or {len(names) - SHOWN} more (`pairnet runs` lists them)" if len(names) > SHOWN else ""
    return " or ".join(names[:SHOWN]) + more
