"""Records of schema 1, read as records of today: they are matched by what they ran, and never run again."""

import re
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec
from msgspec import Meta

from pairnet.artifact.metadata import Seeds
from pairnet.errors import RecordError
from pairnet.models.recipes import Recipe
from pairnet.models.variants import Variant
from pairnet.study.records import Checksum, Count, DataFacts, Environment, Fraction, RunRecord, fingerprint_of
from pairnet.training.history import Epoch

_STRUCTURE = re.compile(
    r"(?P<sharing>both images|each image its own): \[(?P<tower>[^\]]+)\] \| head: (?P<head>[^|]+?)"
    r"(?: \| auxiliary, both images: (?P<auxiliary>.+))?"
)


@dataclass(frozen=True, kw_only=True)
class _Data:
    name: str
    origin: str
    checksum: Checksum
    source: str = ""
    classes: Annotated[int, Meta(ge=2)] = 10


@dataclass(frozen=True, kw_only=True)
class _Record:
    """The fields of schema 1."""

    fingerprint: str
    row: str
    variant: str
    structure: str
    parameters: int
    recipe: Recipe
    data: _Data
    pairs: Count
    seeds: Seeds
    fold: Annotated[int, Meta(ge=0)] | None
    folds: Annotated[int, Meta(ge=2)]
    mean: float
    std: Annotated[float, Meta(gt=0)]
    epochs: Annotated[tuple[Epoch, ...], Meta(min_length=1)]
    accuracy: Fraction
    seconds: Annotated[float, Meta(ge=0)]
    environment: Environment
    calibration: tuple[tuple[int, float, int], ...] = ()
    note: str = ""


def upgrade(line: bytes | str) -> RunRecord:
    """A record of schema 1 -> today's.  msgspec's errors pass through; RecordError for a structure it cannot read.

    Its fingerprint is computed again by today's rule, which leaves out the label. What schema 1 did not record (wrong
    pairs, answers, node, engine) stays empty.
    """
    old = msgspec.json.decode(line, type=_Record)
    record = RunRecord(
        fingerprint=old.fingerprint,
        label=old.row,
        variant=_variant(old),
        parameters=old.parameters,
        data=DataFacts(
            name=old.data.name,
            source=old.data.source or old.data.name,
            origin=old.data.origin,
            checksum=old.data.checksum,
            classes=old.data.classes,
        ),
        pairs=old.pairs,
        test_pairs=old.pairs,
        seeds=old.seeds,
        fold=old.fold,
        folds=old.folds,
        mean=old.mean,
        std=old.std,
        epochs=old.epochs,
        measurements=max(1, sum(epoch.measured for epoch in old.epochs)),
        accuracy=old.accuracy,
        seconds=old.seconds,
        environment=old.environment,
        calibration=old.calibration,
        schema=1,
    )
    return replace(record, fingerprint=fingerprint_of(record))


def _variant(old: _Record) -> Variant:
    """The network that the one-line structure of schema 1 describes."""
    if match := _STRUCTURE.fullmatch(old.structure):
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
    if "[" in old.structure or "|" in old.structure:
        raise RecordError(f"expected the structure of a network, got {old.structure!r}")
    return Variant(name=old.variant, net=old.structure, parameters=old.parameters, recipe=old.recipe, note=old.note)
