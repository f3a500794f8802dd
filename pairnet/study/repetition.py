"""Repeats recorded runs and compares the results: bit for bit on the same kind of CPU, within a tolerance elsewhere."""

import math
import random
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pairnet.data.drawing import check_images
from pairnet.data.sources import Dataset, load_dataset
from pairnet.errors import ArgumentError, DataError, RecordError
from pairnet.records.record import Environment, RunRecord
from pairnet.records.run import Run, name_of
from pairnet.study.events import Failed, Finished
from pairnet.study.running import default_engine
from pairnet.training.device import resolve_device

TOLERANCE = 0.03
"""Largest difference of two accuracies of one run where rounding differs, measured on 1,000 pairs or more.

Training amplifies another rounding, at most as much as other initial weights. Measured with five of the paper's
networks on 1,000 pairs of mnist5k: the accuracy of one run with torch's kernels for AVX2 and with those for any x86-64
differs by 0.5 points (root mean square of 9 runs, 1.0 at most), with other initial weights on the same pairs by 1.8 (of
12 runs, 3.9 at most). The rows of docs/results.md spread over draws with standard deviations of 0.6 to 1.7 points. So 3
points are six times what rounding did; a run that it changes as much as a seed does is within them 11 times of 12.
"""

TOLERANCE_PAIRS = 1000
"""Number of held-out pairs that TOLERANCE is for; with fewer it grows by the square root, as a standard error does."""

Verdict = Literal["equal", "within", "differs"]


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """A recorded run and its repetition."""

    recorded: RunRecord
    repeated: RunRecord | None  # None: the repetition failed
    unlike: tuple[str, ...]  # why the two may differ by rounding; empty: they must be equal bit for bit
    tolerance: float  # largest difference in accuracy; 0 if they must be equal bit for bit
    reason: str  # what differs and why that may be, one line; empty if nothing differs by more than it may

    @property
    def verdict(self) -> Verdict:
        """Whether both are equal bit for bit, agree within the tolerance, or differ."""
        if self.reason:
            return "differs"
        return "within" if self.unlike else "equal"


def choose_records(records: Sequence[RunRecord], count: int, *, seed: int) -> list[RunRecord]:
    """`count` of the records at random, or all if there are fewer; in the order of `records`.

    The same runs for the same `seed`, in whatever order they were recorded. ArgumentError for `count` below 1.
    """
    if count < 1:
        raise ArgumentError(f"expected `sample` of at least 1, got {count}")
    known = sorted(record.fingerprint for record in records)
    chosen = set(random.Random(seed).sample(known, min(count, len(known))))
    return [record for record in records if record.fingerprint in chosen]


def verify_runs(
    records: Sequence[RunRecord],
    *,
    data_dir: Path | None = None,
    workers: int | None = None,
    on_result: Callable[[Repetition], None] | None = None,
) -> list[Repetition]:
    """Repeats each recorded run and compares the results -> one Repetition for each record, in their order.

    The images are loaded again, those of full MNIST from `data_dir` if it is given. `workers` is the number of runs at
    once, by default one for each core. A run of a GPU is repeated on the CPU if there is none here. Nothing is stored.
    `on_result` is called with each result as soon as it is known.

    A repetition that fails is a result that differs. DataError, before anything runs, if images are missing or are not
    those of the record. RecordError for a record that no run can have. WorkerError if a worker process dies.
    """
    for record in records:
        if record.run.elsewhere is not None:
            raise RecordError(
                f"expected runs that pairnet trained, got {name_of(record.run)}, which cannot be repeated: leave it out"
            )
    datasets = _load_images(records, data_dir)
    planned: dict[tuple[str, str], dict[Run, list[RunRecord]]] = {}
    for record in records:
        source = record.run.images.source
        run = _plan(record, datasets[source])
        planned.setdefault((source, run.device), {}).setdefault(run, []).append(record)
    results: dict[str, Repetition] = {}
    for (source, _), runs in planned.items():
        engine = default_engine(list(runs), datasets[source], workers=workers)
        with closing(engine.run(list(runs))) as events:
            for event in events:
                if not isinstance(event, Finished | Failed):
                    continue
                for record in runs[event.run]:
                    if isinstance(event, Finished):
                        result = compare(record, event.record)
                    else:
                        result = _failed(record, event.reason)
                    results[record.fingerprint] = result
                    if on_result is not None:
                        on_result(result)
    return [results[record.fingerprint] for record in records]


def compare(recorded: RunRecord, repeated: RunRecord) -> Repetition:
    """Compares a record with its repetition.

    On the same kind of CPU, with the same versions of torch and numpy, every result must be the same, bit for bit.
    Elsewhere accuracies may differ by the tolerance, and only what follows from the pairs alone must be the same.
    """
    reasons = unlike(recorded, repeated)
    tolerance = tolerance_of(recorded) if reasons else 0.0
    difference = _different_settings(recorded, repeated)
    if not difference and reasons:
        difference = _different_accuracy(recorded, repeated, tolerance)
    elif not difference:
        difference = _different_results(recorded, repeated)
    return Repetition(
        recorded=recorded,
        repeated=repeated,
        unlike=reasons,
        tolerance=tolerance,
        reason=difference and f"{difference}: {_cause(recorded.environment, repeated.environment)}",
    )


def unlike(one: RunRecord, other: RunRecord) -> tuple[str, ...]:
    """Why a run may round differently in its repetition `other` than where it was recorded; nothing if it must not.

    The number of cores, the version of Python and the name of the machine change no result.
    """
    recorded, here = one.environment, other.environment
    facts = [
        ("CPU", _cpu(recorded.hardware), _cpu(here.hardware)),
        *((name, recorded.versions.get(name), here.versions.get(name)) for name in ("torch", "numpy")),
        *([("kernels for", recorded.kernels, here.kernels)] if recorded.kernels and here.kernels else []),
        ("device", one.run.device, other.run.device),
    ]
    found = [f"{name} {new or 'unknown'} instead of {old or 'unknown'}" for name, old, new in facts if old != new]
    if not found and ("stacked" in (recorded.engine, here.engine) or other.run.device != "cpu"):
        found.append("stacked networks, whose rounding may depend on their number")
    return tuple(found)


def tolerance_of(record: RunRecord) -> float:
    """Largest difference of two accuracies of one run where rounding differs: TOLERANCE, or more, in whole points."""
    tolerance = TOLERANCE * math.sqrt(max(TOLERANCE_PAIRS / record.run.held_out, 1))
    return math.ceil(round(100 * tolerance, 6)) / 100


def _load_images(records: Sequence[RunRecord], data_dir: Path | None) -> Mapping[str, Dataset]:
    """The images of all records, by source.  DataError with the first run whose images are not to be had."""
    datasets: dict[str, Dataset] = {}
    for record in records:
        images = record.run.images
        source = images.source
        if source not in datasets:
            try:
                datasets[source] = load_dataset(source, data_dir=data_dir)
            except DataError as error:
                raise DataError(f"{name_of(record.run)}: {error}") from None
        found = datasets[source]
        if found.checksum != images.checksum:
            remedy = "choose their folder with `data_dir`" if source == "mnist" else f"{source} was something else then"
            raise DataError(
                f"{name_of(record.run)}: expected the images it was trained on, {images.title}, "
                f"SHA-256 {images.checksum[:12]}, got {found.origin}, SHA-256 {found.checksum[:12]}: {remedy}"
            )
    return datasets


def _plan(record: RunRecord, dataset: Dataset) -> Run:
    """The run that repeats a recorded one.  RecordError for numbers that no run can have."""
    run = replace(record.run, device=resolve_device("cpu" if record.run.device == "cpu" else "auto"))
    try:
        check_images(run, dataset)
    except ArgumentError as error:
        raise RecordError(
            f"{name_of(record.run)}: expected the record of a run, got an impossible one: {error}"
        ) from None
    return run


def _failed(record: RunRecord, reason: str) -> Repetition:
    return Repetition(
        recorded=record,
        repeated=None,
        unlike=(),
        tolerance=0.0,
        reason=f"expected accuracy {record.accuracy:.4f}, got a run that failed: {reason}",
    )


def _different_settings(recorded: RunRecord, repeated: RunRecord) -> str:
    """What differs of the figures that rounding does not touch; empty if nothing does."""
    for name, old, new in (
        ("seeds", recorded.run.seeds, repeated.run.seeds),
        ("parameters", recorded.parameters, repeated.parameters),
        ("mean of the pixels", recorded.mean, repeated.mean),
        ("standard deviation of the pixels", recorded.std, repeated.std),
    ):
        if old != new:
            return f"expected {name} {old}, got {new}"
    return ""


def _different_accuracy(recorded: RunRecord, repeated: RunRecord, tolerance: float) -> str:
    """The accuracies if they differ by more than the tolerance, otherwise empty."""
    if abs(recorded.accuracy - repeated.accuracy) <= tolerance + 1e-9:
        return ""
    old, new = _figures(recorded.accuracy, repeated.accuracy)
    return f"expected accuracy {old} within {100 * tolerance:.0f} points, got {new}"


def _different_results(recorded: RunRecord, repeated: RunRecord) -> str:
    """What differs of the results, bit for bit; empty if nothing does.  Schema 1 has no answers and no wrong pairs."""
    if recorded.accuracy != repeated.accuracy:
        old, new = _figures(recorded.accuracy, repeated.accuracy)
        return f"expected accuracy {old} and the same answers, got {new}"
    compared: list[tuple[str, object, object]] = [
        ("figures of the last epoch", recorded.epochs[-1], repeated.epochs[-1]),
    ]
    if recorded.schema != 1:
        compared = [
            ("answers", recorded.answers_sha256, repeated.answers_sha256),
            ("wrong pairs", recorded.wrong, repeated.wrong),
            ("calibration", recorded.calibration, repeated.calibration),
            *compared,
            ("figures of earlier epochs", recorded.epochs[:-1], repeated.epochs[:-1]),
        ]
    changed = [name for name, old, new in compared if old != new]
    if not changed:
        return ""
    return f"expected accuracy {recorded.accuracy:.4f} with the same {', '.join(changed)}, got the accuracy with others"


def _cause(recorded: Environment, here: Environment) -> str:
    """What may explain a difference."""
    old, new = recorded.revision, here.revision
    if old != new:
        return f"the record was edited, or revision {old} of pairnet, which made it, computes something else than {new}"
    if new.endswith("-dirty"):
        return f"the record was edited, or the uncommitted changes in revision {new} of pairnet are others now"
    return "the record was edited, or the two machines differ in what a record does not name"


def _figures(one: float, other: float) -> tuple[str, str]:
    """Two accuracies with as many digits as tell them apart, four or more."""
    for digits in range(4, 17):
        texts = f"{one:.{digits}f}", f"{other:.{digits}f}"
        if texts[0] != texts[1]:
            break
    return texts


def _cpu(hardware: str) -> str:
    """The CPU in a record's hardware, without the number of cores."""
    return re.sub(r", \d+ cores$", "", hardware)
