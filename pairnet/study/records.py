"""The record of a run: its settings, its environment and its results; one line of JSON, validated when it is read."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Annotated

from msgspec import Meta

from pairnet.artifact.metadata import Seeds
from pairnet.models.notation import show
from pairnet.models.recipes import Recipe
from pairnet.models.variants import Variant
from pairnet.training.history import Epoch

SCHEMA = 2
"""Raised when the meaning of a record changes. Records of schema 1 are still read; see reading.py."""

LONGEST_NAME = 60
"""Characters of a label in a message: anybody may have written the file that it is from."""

Fraction = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
Name = Annotated[str, Meta(min_length=1)]
Checksum = Annotated[str, Meta(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """The images that a run drew its pairs from."""

    name: str  # "mnist", "mnist5k", "glyphs" or "idx:<name of the folder>"
    source: str  # what load_dataset takes to find them again
    origin: str  # for people
    checksum: Checksum  # SHA-256 of both pools
    classes: Annotated[int, Meta(ge=2)]


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A card, without which no time measured on it can be compared."""

    name: str  # e.g. "NVIDIA H100 80GB HBM3"
    driver: str  # version of the driver
    cuda: str  # version of CUDA that torch was built with


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where and with what a run was computed. None of it is chosen for the run, all of it is recorded."""

    versions: dict[str, str]  # of Python and the packages that compute
    hardware: str  # CPU and cores
    device: str  # "cpu" or "cuda"
    revision: str  # git revision of pairnet
    gpu: Gpu | None = None
    node: str = ""  # name of the machine
    engine: str = ""  # "processes", "stacked", "ray" or "single"
    kernels: str = ""  # instruction set of torch's kernels, such as "AVX2": another one rounds differently


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One finished run.

    `variant` holds the whole network and the recipe that it was trained with, so a record never depends on the present
    state of the table of variants.
    """

    fingerprint: Name  # of everything that is chosen for a run; see `fingerprint`
    label: str  # display name of the table row that the run was first computed for
    variant: Variant  # with the run's own recipe
    parameters: Annotated[int, Meta(ge=0)]
    data: DataFacts
    pairs: Count  # drawn for training
    test_pairs: Count  # drawn for testing
    seeds: Seeds
    fold: Annotated[int, Meta(ge=0)] | None  # held out of `folds`; None: the test draw is held out
    folds: Annotated[int, Meta(ge=2)]
    mean: Annotated[float, Meta(ge=0, le=255)]  # of the training pairs' pixels, in grey levels 0..255
    std: Annotated[float, Meta(gt=0, le=255)]
    epochs: Annotated[tuple[Epoch, ...], Meta(min_length=1)]
    measurements: Count  # number of epochs after which the held-out pairs were evaluated
    accuracy: Fraction  # on the held-out pairs after the last epoch
    seconds: Annotated[float, Meta(ge=0, le=1e9)]  # wall time; of stacked runs, each one's share
    environment: Environment
    calibration: tuple[tuple[int, float, int], ...] = ()  # reliability bins on the held-out pairs; see calibration.py
    wrong: tuple[tuple[int, float], ...] | None = None  # held-out pairs decided wrongly: (index, probability)
    answers_sha256: str = ""  # of the float32 probabilities of all held-out pairs
    weights_sha256: str = ""  # of the weights, where they were saved; see saved.py
    schema: int = SCHEMA

    @property
    def recipe(self) -> Recipe:
        """How the network was trained."""
        return self.variant.recipe

    def to_json(self) -> str:
        """One line of JSON, without the line break."""
        return json.dumps(asdict(self), allow_nan=False)


@dataclass(frozen=True, kw_only=True)
class FailedRun:
    """One run that ended with an error of its own, such as a loss that stopped being finite."""

    fingerprint: Name
    label: str
    failure: Name  # the reason, one line
    environment: Environment
    schema: int = SCHEMA

    def to_json(self) -> str:
        """One line of JSON, without the line break."""
        return json.dumps(asdict(self), allow_nan=False)


def name_of(record: RunRecord) -> str:
    """What messages call a run: "final_model, draw 3", and of a cross-validated one ", fold 2/4", counted from 1."""
    label = " ".join(record.label.split())
    fold = "" if record.fold is None else f", fold {record.fold + 1}/{record.folds}"
    if len(label) > LONGEST_NAME:
        label = f"{label[: LONGEST_NAME - 3]}..."
    return f"{label}, draw {record.seeds.weights}{fold}"


def fingerprint(
    *,
    variant: Variant,
    pairs: int,
    test_pairs: int,
    seeds: Seeds,
    fold: int | None,
    folds: int,
    data_checksum: str,
    device: str,
) -> str:
    """24 hexadecimal digits over everything that is chosen for a run: runs with the same fingerprint are the same run.

    What it runs on and with (hardware, versions, revision) is recorded, not chosen. Names and labels change no result
    and are left out, so two tables can share a run; so is the number of measurements.
    """
    identity = {
        "schema": SCHEMA,
        "structure": [show(part) for part in (variant.net_layers, variant.tower_layers, variant.head_layers)],
        "auxiliary": show(variant.auxiliary_layers),
        "shared": variant.shared,
        "recipe": variant.recipe.identity(),
        "pairs": pairs,
        "test_pairs": test_pairs if fold is None else None,
        "seeds": asdict(seeds),
        "fold": None if fold is None else [fold, folds],
        "data": data_checksum,
        "device": device,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]


def fingerprint_of(record: RunRecord) -> str:
    """The fingerprint that follows from a record's own content."""
    return fingerprint(
        variant=record.variant,
        pairs=record.pairs,
        test_pairs=record.test_pairs,
        seeds=record.seeds,
        fold=record.fold,
        folds=record.folds,
        data_checksum=record.data.checksum,
        device=record.environment.device,
    )
