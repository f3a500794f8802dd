"""The record of a run: the run, its environment and its results; one line of JSON, validated when it is read."""

import json
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from pairnet.errors import FailureKind
from pairnet.models.recipes import MOST_EPOCHS
from pairnet.models.variants import MOST_PARAMETERS
from pairnet.records.calibration import BINS
from pairnet.records.run import MOST_TEST_PAIRS, Name, Run, Text

SCHEMA = 3
"""Raised when the meaning of a record changes. Records of schemas 1 and 2 are still read; see older.py.

What can be added without raising it: fields of a run, a recipe or a result whose default is what was so far.
"""

Fraction = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
Loss = Annotated[float, Meta(ge=0, le=3.4028234663852886e38)]
"""A loss is computed in float32, and one that is not finite there fails the run."""
Parameters = Annotated[int, Meta(ge=0, le=MOST_PARAMETERS)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Version = Annotated[int, Meta(ge=1, le=SCHEMA)]
Place = Annotated[int, Meta(le=MOST_TEST_PAIRS)]
"""Index or number of held-out pairs; that none is negative is checked with what belongs together."""
WrongPair = tuple[Place, float]
"""Index of a held-out pair that was decided wrongly, and its probability."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """The metrics of one epoch. Losses are means over pairs, and accuracies are fractions of 1.

    The auxiliary loss is the sum over both digits. Training metrics are collected during the epoch, with dropout and
    while the weights change. Validation metrics are measured at the end of the epoch on the held-out pairs, and are
    None after an epoch without a measurement (the last epoch always has one). Auxiliary metrics are None for a variant
    that does not classify digits.
    """

    train_loss: Loss
    train_auxiliary_loss: Loss | None
    train_accuracy: Fraction
    validation_loss: Loss | None
    validation_auxiliary_loss: Loss | None
    validation_accuracy: Fraction | None
    validation_digit_accuracy: Fraction | None

    @property
    def measured(self) -> bool:
        """Whether the held-out pairs were evaluated after this epoch."""
        return self.validation_accuracy is not None


Epochs = Annotated[tuple[Epoch, ...], Meta(max_length=MOST_EPOCHS)]
Bins = Annotated[tuple[tuple[Place, float, Place], ...], Meta(max_length=BINS)]
WrongPairs = Annotated[tuple[WrongPair, ...], Meta(max_length=MOST_TEST_PAIRS)]


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A card, without which no time measured on it can be compared."""

    name: Text  # e.g. "NVIDIA H100 80GB HBM3"
    driver: Text  # version of the driver
    cuda: Text  # version of CUDA that torch was built with


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where and with what a run was computed. None of it is chosen for the run, all of it is recorded."""

    versions: Annotated[dict[Text, Text], Meta(max_length=100)]  # of Python and the packages that compute
    hardware: Text  # CPU and cores
    revision: Text  # git revision of pairnet
    gpu: Gpu | None = None
    node: Text = ""  # name of the machine
    engine: Text = ""  # "processes", "stacked", "ray", "single" or "import"
    kernels: Text = ""  # instruction set of torch's kernels, such as "AVX2": another one rounds differently


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One finished run. It holds the whole run, so it does not depend on the present state of the table of variants."""

    schema: Version = SCHEMA  # that it was read from
    fingerprint: Name  # of `run`
    run: Run
    environment: Environment
    parameters: Parameters  # trainable values of the network
    mean: Annotated[float, Meta(ge=0, le=255)]  # of the training pairs' pixels, in grey levels 0..255
    std: Annotated[float, Meta(gt=0, le=255)]
    epochs: Epochs  # none of a network trained elsewhere, at least one of any other
    accuracy: Fraction  # on the held-out pairs after the last epoch
    seconds: Seconds  # wall time; of stacked runs, each one's share
    calibration: Bins = ()  # reliability bins on the held-out pairs; see calibration.py
    wrong: WrongPairs | None = None  # held-out pairs decided wrongly; None: not recorded (schema 1)
    answers_sha256: Text = ""  # of the float32 probabilities of all held-out pairs
    weights_sha256: Text = ""  # of the weights, where they were saved

    @property
    def measurements(self) -> int:
        """Number of epochs after which the held-out pairs were evaluated."""
        return max(1, sum(epoch.measured for epoch in self.epochs))

    def answers(self, run: Run) -> bool:
        """Whether this record, which has the fingerprint of `run`, was measured as often as `run` asks."""
        return self.measurements >= min(run.measurements, run.recipe.epochs)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON has them."""
        return _plain(self)

    def to_json(self, *, indent: int | None = None) -> str:
        """JSON on one line without the line break, or indented.  ValueError for a number that is not finite."""
        return json.dumps(self.to_dict(), allow_nan=False, indent=indent)


@dataclass(frozen=True, kw_only=True)
class FailedRun:
    """One run that ended with an error of its own, such as a loss that stopped being finite."""

    schema: Version = SCHEMA
    fingerprint: Name
    run: Run | None  # None: schemas 1 and 2 recorded its label only
    label: Text  # display name of the run
    error: Name  # one line
    kind: FailureKind = "other"
    epoch: Annotated[int, Meta(ge=1, le=MOST_EPOCHS)] | None = None  # in which it failed, from 1; None: not known
    environment: Environment

    def to_json(self) -> str:
        """JSON on one line without the line break."""
        return json.dumps(_plain(self), allow_nan=False)


def _plain(record: RunRecord | FailedRun) -> dict[str, Any]:
    """Plain values, as JSON has them; a network with the paper's activation is written as before there was another."""
    found: dict[str, Any] = msgspec.to_builtins(record)
    if record.run is not None and record.run.variant.activation == "relu":
        found["run"]["variant"].pop("activation", None)  # msgspec leaves out what it has not read
    return found
