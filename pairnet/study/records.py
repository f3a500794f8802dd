"""Frozen result records, one JSON line each: what a run was, on what, and what came out."""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, fields
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from pairnet import __version__
from pairnet.errors import RecordError
from pairnet.host import hardware, revision
from pairnet.training.history import Epoch

SCHEMA = 1
"""Raised when the meaning of a record changes, so that an older run is not taken for a newer one."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where a run ran."""

    versions: dict[str, str]
    hardware: str
    device: str
    revision: str


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One finished run."""

    fingerprint: str  # of everything that decides the result; see runs.fingerprint
    row: str  # the line of a table that the run counts for
    variant: str
    structure: str
    parameters: int
    recipe: dict[str, Any]
    data: dict[str, Any]  # name, origin, checksum, classes
    pairs: int  # drawn for training, and as many for testing
    seeds: dict[str, int]  # train_draw, test_draw, weights, order
    fold: int | None  # held out of `folds` for validation; None: the test draw is held out
    folds: int
    mean: float  # of the training pairs' pixels, grey levels
    std: float
    epochs: tuple[Epoch, ...]
    accuracy: float  # on the held-out pairs after the last epoch
    seconds: float  # wall time of training and evaluation; of runs trained as one, each one's share
    environment: Environment
    calibration: tuple[tuple[int, float, int], ...] = ()  # reliability bins on the held-out pairs, see calibration.py
    note: str = ""  # the variant's: where it came from, how it was chosen
    schema: int = SCHEMA

    def to_json(self) -> str:
        """One line of JSON, without the line's end."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """The inverse of to_json.  RecordError says what is missing or of the wrong kind."""
        try:
            values = json.loads(line)
            known = {field.name for field in fields(cls)}
            needed = {field.name for field in fields(cls) if field.default is MISSING}
            if not isinstance(values, dict) or (missing := sorted(needed - values.keys())):
                raise RecordError(f"a record lacks {', '.join(missing) if isinstance(values, dict) else 'its fields'}")
            values = {name: value for name, value in values.items() if name in known}
            _check(values)
            values["calibration"] = tuple(tuple(found) for found in values.get("calibration", ()))
            values["epochs"] = tuple(Epoch(**epoch) for epoch in values["epochs"])
            values["environment"] = Environment(**values["environment"])
            return cls(**values)
        except (json.JSONDecodeError, TypeError, AttributeError) as error:
            raise RecordError(f"not a run record: {error}") from None


def _check(values: dict[str, Any]) -> None:
    """RecordError where a record holds what no run writes."""
    if values.get("schema", SCHEMA) > SCHEMA:
        raise RecordError(f"schema {values['schema']} is newer than this pairnet's, {SCHEMA}: update pairnet")
    kinds = {"row": str, "variant": str, "fingerprint": str, "data": dict, "seeds": dict, "recipe": dict}
    for name, kind in kinds.items():
        if not isinstance(values[name], kind):
            raise RecordError(f"not a run record: {name} is {values[name]!r}")
    if not 0 <= values["accuracy"] <= 1 or not values["epochs"]:
        raise RecordError(f"not a run record: accuracy {values['accuracy']!r}, {len(values['epochs'])} epochs")
    if lacking := {"train_draw", "test_draw", "weights", "order"} - values["seeds"].keys():
        raise RecordError(f"not a run record: seeds lack {', '.join(sorted(lacking))}")


def read(path: Path) -> list[RunRecord]:
    """The records of a JSON Lines file, in its order; none where there is no file.

    A last line without its end is what a killed run leaves: it is passed over. Any other bad line is a RecordError.
    """
    if not path.exists():
        return []
    *lines, _unfinished = path.read_bytes().split(b"\n")
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(RunRecord.from_json(line.decode()))
        except (RecordError, UnicodeDecodeError) as error:
            raise RecordError(f"{path}, line {number}: {error}; mend or remove the line and start again") from None
    return found


def append(path: Path, record: RunRecord) -> None:
    """Adds one line and returns when it is on the disk.  What a killed run left of its last line is cut off first."""
    with path.open("ab+") as file:
        _cut_unfinished_line(file.fileno())
        file.write(record.to_json().encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _cut_unfinished_line(descriptor: int) -> None:
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
        os.ftruncate(descriptor, kept)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds `folder` (made where missing) for one writer at a time.  RecordError where another program holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # no such lock on Windows: one writer is then the user's own care
        yield
        return
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RecordError(
                f"{folder} is being written by another run; wait for it or choose another --out"
            ) from None
        yield


def environment(device: str) -> Environment:
    """This process's versions, hardware and revision of pairnet."""
    return Environment(
        versions={"python": platform.python_version(), **_versions()},
        hardware=hardware(),
        device=device,
        revision=revision(),
    )


@cache
def _versions() -> dict[str, str]:
    return {"pairnet": __version__, **{name: metadata.version(name) for name in ("torch", "numpy")}}
