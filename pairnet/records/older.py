"""Records of schemas 1 and 2, read as records of today: they are matched by what they ran, and never run again."""

import re
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec
from msgspec import Meta

from pairnet.errors import RecordError
from pairnet.models.recipes import Recipe
from pairnet.models.variants import Variant
from pairnet.records.record import (
    Bins,
    Count,
    Environment,
    Epochs,
    FailedRun,
    Fraction,
    Parameters,
    RunRecord,
    Seconds,
    WrongPairs,
)
from pairnet.records.run import Images, Name, Run, Text
from pairnet.records.seeds import Seeds

_STRUCTURE = re.compile(
    r"(?P<sharing>both images|each image its own): \[(?P<tower>[^\]]+)\] \| head: (?P<head>[^|]+?)"
    r"(?: \| auxiliary, both images: (?P<auxiliary>.+))?"
)

_DIVERGED = re.compile(r"expected a finite loss, got .{1,30} in epoch ([1-9]\d{0,4})\b")
_NO_MEMORY = re.compile(r"the memory of \w+ is too small")
"""How the errors of failed runs read, also of those that were recorded without their kind."""


@dataclass(frozen=True, kw_only=True)
class _Environment(Environment):
    """Both schemas kept the device here."""

    device: Text = "cpu"


@dataclass(frozen=True, kw_only=True)
class _Results:
    """What both schemas kept of a run and its results, side by side."""

    fingerprint: Name
    parameters: Parameters
    pairs: Count
    seeds: Seeds
    fold: Annotated[int, Meta(ge=0)] | None
    folds: Annotated[int, Meta(ge=2)]
    mean: Annotated[float, Meta(ge=0, le=255)]
    std: Annotated[float, Meta(gt=0, le=255)]
    epochs: Epochs
    accuracy: Fraction
    seconds: Seconds
    environment: _Environment
    calibration: Bins = ()


@dataclass(frozen=True, kw_only=True)
class _Data:
    """The images of schema 1."""

    name: Text
    origin: Text
    checksum: Name
    source: Text = ""
    classes: Annotated[int, Meta(ge=2, le=256)] = 10


@dataclass(frozen=True, kw_only=True)
class _Schema1(_Results):
    row: Text
    variant: Text
    structure: Text
    recipe: Recipe
    data: _Data
    note: Text = ""


@dataclass(frozen=True, kw_only=True)
class _Schema2(_Results):
    label: Text
    variant: Variant
    data: Images
    test_pairs: Count
    measurements: Count
    wrong: WrongPairs | None = None
    answers_sha256: Text = ""
    weights_sha256: Text = ""


@dataclass(frozen=True, kw_only=True)
class _Failure2:
    fingerprint: Name
    label: Text
    failure: Name
    environment: _Environment


def read_older(line: bytes | str, *, schema: int, failed: bool) -> RunRecord | FailedRun:
    """A line of schema 1 or 2.  msgspec's errors pass through; RecordError for a structure that cannot be read.

    Schema 1 had other fingerprints, which covered the label, and no failures; fingerprints of schema 2 are those of
    today and stay as they were written. What was not recorded (wrong pairs, answers, engine) stays empty.
    """
    if schema == 1:
        first = msgspec.json.decode(line, type=_Schema1)
        images = Images(
            name=first.data.name,
            source=first.data.source or first.data.name,
            origin=first.data.origin,
            checksum=first.data.checksum,
            classes=first.data.classes,
        )
        run = _run(first, _variant(first), images, label=first.row, test_pairs=first.pairs, measurements=1)
        record = _record(first, run, run.fingerprint)
        return replace(record, schema=1, run=replace(run, measurements=record.measurements))
    if failed:
        failure = msgspec.json.decode(line, type=_Failure2)
        return with_kind(
            FailedRun(
                schema=2,
                fingerprint=failure.fingerprint,
                run=None,
                label=failure.label,
                error=failure.failure,
                environment=_today(failure.environment),
            )
        )
    second = msgspec.json.decode(line, type=_Schema2)
    run = _run(
        second,
        second.variant,
        second.data,
        label=second.label,
        test_pairs=second.test_pairs,
        measurements=second.measurements,
    )
    return replace(
        _record(second, run, second.fingerprint),
        schema=2,
        wrong=second.wrong,
        answers_sha256=second.answers_sha256,
        weights_sha256=second.weights_sha256,
    )


def with_kind(failure: FailedRun) -> FailedRun:
    """A failure that was recorded before its kind and epoch had fields of their own, with both from its error."""
    if failure.kind != "other":
        return failure
    if match := _DIVERGED.search(failure.error):
        return replace(failure, kind="diverged", epoch=int(match[1]))
    return replace(failure, kind="memory") if _NO_MEMORY.search(failure.error) else failure


def _run(old: _Results, variant: Variant, images: Images, *, label: str, test_pairs: int, measurements: int) -> Run:
    """The run that an older record is of. Both schemas called a draw by the seed of its weights."""
    return Run(
        variant=variant,
        images=images,
        label=label,
        pairs=old.pairs,
        test_pairs=test_pairs,
        seed=old.seeds.weights,
        own_seeds=old.seeds,
        fold=old.fold,
        folds=old.folds,
        device=old.environment.device,
        measurements=measurements,
    )


def _record(old: _Results, run: Run, fingerprint: str) -> RunRecord:
    return RunRecord(
        fingerprint=fingerprint,
        run=run,
        environment=_today(old.environment),
        parameters=old.parameters,
        mean=old.mean,
        std=old.std,
        epochs=old.epochs,
        accuracy=old.accuracy,
        seconds=old.seconds,
        calibration=old.calibration,
    )


def _today(old: _Environment) -> Environment:
    return Environment(
        versions=old.versions,
        hardware=old.hardware,
        revision=old.revision,
        gpu=old.gpu,
        node=old.node,
        engine=old.engine,
        kernels=old.kernels,
    )


def _variant(old: _Schema1) -> Variant:
    """The network that the one-line structure of schema 1 describes."""
    match = _STRUCTURE.fullmatch(old.structure)
    if match is None and ("[" in old.structure or "|" in old.structure):
        raise RecordError(f"expected the structure of a network, got {old.structure!r}")
    if match is None:
        return Variant(net=old.structure, recipe=old.recipe, name=old.variant, parameters=old.parameters, note=old.note)
    return Variant(
        name=old.variant,
        tower=match["tower"],
        shared=match["sharing"] == "both images",
        head=match["head"],
        auxiliary=match["auxiliary"] or "",
        parameters=old.parameters,
        recipe=old.recipe,
        note=old.note,
    )
