"""All runs in a folder: those of studies and those saved with their networks, each once. No torch."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from pairnet.errors import RecordError
from pairnet.study.folders import RECORD
from pairnet.study.reading import read_record
from pairnet.study.records import RunRecord
from pairnet.study.settings import by_setting, describe
from pairnet.study.store import read_records

SHOWN = 3
"""Number of settings that a message lists."""


@dataclass(frozen=True, kw_only=True)
class Collected:
    """A run: its record, and the folders that hold its network."""

    record: RunRecord
    folders: tuple[Path, ...] = ()


def collect(runs: Path, *, strict: bool = False) -> list[Collected]:
    """The runs in `runs`. The damaged record of a saved network is skipped with a warning.

    RecordError if `runs` is no folder, or for an invalid line among its records; if `strict`, also for what would be
    skipped.
    """
    if not runs.is_dir():
        raise RecordError(
            f"expected `runs` to be a folder, got {runs}: `pairnet train` and `pairnet reproduce` make it"
        )
    records = {record.fingerprint: record for record in read_records(runs)}
    folders: dict[str, tuple[Path, ...]] = {}
    for path in sorted(runs.glob(f"[!.]*/{RECORD}")):
        try:
            record = read_record(path.read_bytes())
        except RecordError as error:
            if strict:
                raise RecordError(f"{path}: {error}") from None
            warnings.warn(f"skipped {path}: {error}", stacklevel=2)
            continue
        if isinstance(record, RunRecord):
            records.setdefault(record.fingerprint, record)
            folders[record.fingerprint] = (*folders.get(record.fingerprint, ()), path.parent)
    return [Collected(record=record, folders=folders.get(key, ())) for key, record in records.items()]


def not_found(row: str, records: Sequence[RunRecord], runs: Path) -> RecordError:
    """The error for a selection of `row` that holds no run: what the folder has instead."""
    own = [record for record in records if row in (record.label, record.variant.name)]
    if own:
        return RecordError(
            f"expected runs of {row} that were selected, got none: {runs} has {list_settings(own)}: select one of these"
        )
    known = list(dict.fromkeys(record.label for record in records))
    if not known:
        return RecordError(f"expected runs of {row} in {runs}, got none at all: `pairnet reproduce` makes some")
    near = get_close_matches(row, known, n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "name one of these"
    return RecordError(f"expected runs of {row} in {runs}, got runs of {', '.join(known)}: {hint}")


def list_settings(records: Sequence[RunRecord]) -> str:
    """The settings of some records, "or" between them; only the first few of many."""
    names = describe(list(by_setting(records)))
    more = f" or {len(names) - SHOWN} more (`pairnet runs` lists them)" if len(names) > SHOWN else ""
    return " or ".join(names[:SHOWN]) + more
