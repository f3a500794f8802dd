"""Folders of saved networks: their names, their records, and how they are found, replaced and removed. No torch."""

import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pairnet.errors import RecordError
from pairnet.models.variants import Variant
from pairnet.study.reading import read_record
from pairnet.study.records import FailedRun, RunRecord

WEIGHTS = "weights.safetensors"
RECORD = "record.json"


def load_record(folder: Path | str) -> RunRecord:
    """The record of a saved run.  RecordError if `folder` is not one, or its record was edited."""
    folder = current(Path(folder))
    path = folder / RECORD
    if not path.is_file() or not (folder / WEIGHTS).is_file():
        raise RecordError(
            f"{folder} is not a saved run: expected {RECORD} and {WEIGHTS} in it; `pairnet train` writes them"
        )
    try:
        record = read_record(path.read_bytes())
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from None
    if isinstance(record, FailedRun):
        raise RecordError(f"{path}: expected a finished run, got one that failed: {record.failure}")
    return record


@dataclass(frozen=True, kw_only=True)
class Found:
    """The saved runs of one variant that were looked for."""

    newest: Path | None  # the folder that was saved last, of those that fit
    fitting: int
    other: Path | None  # the folder saved last of those that do not fit
    others: int  # with another recipe or structure, other images, or another number of pairs


def newest(runs: Path, variant: Variant, *, checksum: str | None = None, pairs: int | None = None) -> Found:
    """The network in `runs` that was saved last with the structure and the recipe of `variant`.

    `checksum` keeps only those that were trained on one data set, `pairs` those that were trained on so many pairs. A
    damaged folder is skipped with a warning.
    """
    fitting, others = list[Path](), list[Path]()
    for folder, record in saved_runs(runs, variant.name):
        fits = (
            record.variant == variant
            and record.fold is None
            and checksum in (None, record.data.checksum)
            and pairs in (None, record.pairs)
        )
        (fitting if fits else others).append(folder)
    last, other = (
        max(folders, key=lambda folder: (folder / RECORD).stat().st_mtime_ns, default=None)
        for folders in (fitting, others)
    )
    return Found(newest=last, fitting=len(fitting), other=other, others=len(others))


def saved_runs(runs: Path, variant: str) -> Iterator[tuple[Path, RunRecord]]:
    """Saved runs of a variant in `runs`, by name of their folder."""
    if not runs.is_dir():
        return
    hidden = [path for path in runs.glob(f".{variant}-*.old/{RECORD}") if current(_named(path.parent)) == path.parent]
    for path in sorted([*runs.glob(f"{variant}-*/{RECORD}"), *hidden]):
        try:
            record = load_record(path.parent)
        except RecordError as error:
            warnings.warn(f"skipped {path.parent}: {error}", stacklevel=3)
            continue
        if record.variant.name == variant:
            yield path.parent, record


def old_name(folder: Path) -> Path:
    """Where the previous content of `folder` waits while it is replaced."""
    return folder.parent / f".{folder.name}.old"


def _named(old: Path) -> Path:
    """The folder whose previous content `old` is."""
    return old.with_name(old.name.removeprefix(".").removesuffix(".old"))


def current(folder: Path) -> Path:
    """Where the content of `folder` is: under its name, or where a replacement that is under way or was killed left it.

    Readers change nothing: another process may be between the two steps of a replacement.
    """
    old = old_name(folder)
    return old if old.is_dir() and not folder.exists() else folder


def restore(folder: Path) -> None:
    """Undoes a replacement of `folder` that was killed halfway. Only for the process that writes the folder."""
    old = old_name(folder)
    if old.is_dir():
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(folder)


def remove_folder(folder: Path) -> None:
    """Removes the folder of a saved network, or the link to it.

    A kill leaves the folder whole, or under a name that no command reads.
    """
    hidden = folder.with_name(f".{folder.name}.deleted")
    for left in (old_name(folder), hidden):  # by a replacement or a removal that was killed
        if left.exists():
            shutil.rmtree(left)
    folder.rename(hidden)
    if hidden.is_symlink():
        hidden.unlink()
    else:
        shutil.rmtree(hidden)
