"""Folders of saved networks: their names, their records, and how they are found and removed. No torch."""

import os
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pairnet.errors import RecordError
from pairnet.models.variants import Variant, in_standard_notation
from pairnet.opening import FILE, LEFT, kind_of
from pairnet.records.reading import read_record, record_text
from pairnet.records.record import FailedRun, RunRecord
from pairnet.writing import MARK, NEXT, current_file

WEIGHTS = "weights.safetensors"
RECORD = "record.json"

CONTENT = "a saved run"
"""What the mark of such a folder says."""


def load_record(folder: Path | str) -> RunRecord:
    """The record of a saved run.  RecordError if `folder` is not one, or its record was edited."""
    folder = Path(folder)
    path = current_file(folder, RECORD)
    kinds = {each: kind_of(each) for each in (path, current_file(folder, WEIGHTS))}
    if "" in kinds.values():
        raise RecordError(
            f"{folder} is not a saved run: expected {RECORD} and {WEIGHTS} in it; `pairnet train` writes them"
        )
    for each, kind in kinds.items():
        if kind != FILE:
            raise RecordError(f"{each}: expected a file of a saved run, got {kind}: {LEFT}")
    record = read_saved(path)
    if isinstance(record, FailedRun):
        raise RecordError(f"{path}: expected a finished run, got one that failed: {record.error}")
    return record


def read_saved(path: Path) -> RunRecord | FailedRun:
    """The record in a file of its own.  RecordError, with the path, if it cannot be read or is none."""
    text = record_text(path)
    try:
        return read_record(text)
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from None


@dataclass(frozen=True, kw_only=True)
class Found:
    """The saved runs of one variant, as far as they can be exported."""

    newest: tuple[Path, RunRecord] | None  # of those that fit, the one that was saved last
    fitting: int
    other: tuple[Path, RunRecord] | None  # the one saved last of those that do not fit
    others: int  # of another structure, or on other images
    damaged: tuple[tuple[Path, str], ...]  # folders that may hold such runs and cannot be read, and why
    elsewhere: tuple[Path, ...] = ()  # that would fit and are left out: trained elsewhere, while others were not


def newest(runs: Path, variant: Variant, *, checksum: str | None = None) -> Found:
    """The network in `runs` with the name and the structure of `variant` that was saved last, whatever its recipe.

    `checksum` keeps only those that were trained on one data set. A run was saved when its record was written; of two
    saved at the same moment, the folder that comes later by name is the newer one. Cross-validated runs are left out,
    and networks that were trained elsewhere if there are others.
    """
    structure = in_standard_notation(variant).structure
    fitting, others = list[tuple[float, Path, RunRecord]](), list[tuple[float, Path, RunRecord]]()
    damaged = list[tuple[Path, str]]()
    for folder in saved_folders(runs):
        try:
            record = load_record(folder)
        except RecordError as error:
            if folder.name.startswith(f"{variant.name}-") or not _OF_A_VARIANT.fullmatch(folder.name):
                damaged.append((folder, str(error)))
            continue
        run = record.run
        if run.variant.name == variant.name and run.fold is None:
            same = in_standard_notation(run.variant).structure == structure
            fits = same and checksum in (None, run.images.checksum)
            (fitting if fits else others).append((saved_at(folder), folder, record))
    ours = [each for each in fitting if each[2].run.elsewhere is None]
    left_out = [each[1] for each in fitting if each[2].run.elsewhere is not None] if ours else []
    fitting = ours or fitting
    last, other = (max(found, key=lambda each: each[:2])[1:] if found else None for found in (fitting, others))
    return Found(
        newest=last,
        fitting=len(fitting),
        other=other,
        others=len(others),
        damaged=tuple(damaged),
        elsewhere=tuple(left_out),
    )


_OF_A_VARIANT = re.compile(r".+-[0-9a-f]{8}")
"""Names of folders as `pairnet train` makes them: VARIANT-FINGERPRINT."""


def saved_at(folder: Path) -> float:
    """When the record of a saved run was written, in seconds since 1970."""
    return current_file(folder, RECORD).stat().st_mtime


def saved_runs(runs: Path, variant: str) -> Iterator[tuple[Path, RunRecord]]:
    """Saved runs of a variant in `runs`, by name of their folder."""
    for folder in saved_folders(runs):
        if not folder.name.startswith(f"{variant}-"):
            continue
        try:
            record = load_record(folder)
        except RecordError as error:
            warnings.warn(f"skipped {folder}: {error}", stacklevel=3)
            continue
        if record.run.variant.name == variant:
            yield folder, record


def saved_folders(runs: Path) -> list[Path]:
    """The folders in `runs` that hold the record of a saved network, by name; it may be one that cannot be read."""
    if not runs.is_dir():
        return []
    with os.scandir(runs) as entries:  # which knows a folder without asking for each of a million files
        names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    return [runs / name for name in names if os.path.lexists(current_file(runs / name, RECORD))]


def remove_folder(folder: Path) -> None:
    """Removes a saved network: its files, and the folder if it holds nothing else; of a link to it, the link.

    A kill leaves the network whole, or files that no command takes for one.
    """
    if folder.is_symlink():
        folder.unlink()
        return
    shutil.rmtree(folder / NEXT, ignore_errors=True)
    for name in (RECORD, WEIGHTS, MARK):
        path = folder / name
        if path.is_symlink() or not path.is_dir():  # a folder of this name is somebody else's
            path.unlink(missing_ok=True)
    with suppress(OSError):  # other files are in it
        folder.rmdir()
