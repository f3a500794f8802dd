"""A saved run with its own pairs, and PyTorch's answers for them, with which its files are compared."""

from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pairnet.artifact.design import Design, InputKind
from pairnet.artifact.recorded import as_input, measure
from pairnet.data.appearance import Polarity
from pairnet.data.drawing import draw
from pairnet.data.pairs import Moments, pool_and_normalise
from pairnet.data.sources import Dataset
from pairnet.errors import RecordError
from pairnet.exporting.decisions import further_pairs
from pairnet.exporting.rounding import Arrays
from pairnet.exporting.validate import BATCHES
from pairnet.models.networks import JointNetwork, TwinNetwork
from pairnet.records.record import RunRecord
from pairnet.study.saved import TrainedRun
from pairnet.training.loop import predict, single_thread

RECORD_TOLERANCE = 0.002
"""Fraction of the test pairs (at least one pair) whose decision another kind of CPU may change."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A saved run with the pairs on which its files are calibrated (training) and measured (testing, further)."""

    record: RunRecord
    network: JointNetwork | TwinNetwork
    training: NDArray[Any]  # as the file takes them: uint8 [n,2,28,28] or float32 [n,2,14,14]
    testing: NDArray[Any]
    further: NDArray[Any]  # pairs of the same images as testing; none where a file is compared value by value
    targets: NDArray[np.bool_]  # of testing [n]
    digits: NDArray[np.uint8]  # of testing [n,2]
    probability: NDArray[np.float32]  # PyTorch's, of testing [n]
    polarity: Polarity  # of the images

    @property
    def moments(self) -> Moments:
        """Mean and standard deviation of the training pairs' pixels."""
        return Moments(mean=self.record.mean, std=self.record.std)


def prepare(
    saved: TrainedRun, name: str, dataset: Dataset, input_kind: InputKind, *, with_further: bool = False
) -> Prepared:
    """A trained run with its own draws, and further pairs if asked.  name: what messages call it.

    The network is measured again on the recorded test draw. Raises DataError if `dataset` is not that of the run, and
    RecordError if the accuracy differs from the recorded one by more than RECORD_TOLERANCE: the weights or the record
    were changed.
    """
    record, network, moments = saved.record, saved.network, saved.moments
    if record.run.fold is not None:
        raise RecordError(f"{name}: expected a run that was measured on its test draw, got fold {record.run.fold}")
    training, testing = draw(replace(record.run, label=name), dataset)
    targets, probability = testing.targets > 0.5, predict(network, testing, moments).numpy()
    accuracy = measure(lambda _: probability, (testing, targets))
    _check_recorded(name, record, accuracy)
    more = further_pairs(record.run.seeds, dataset) if with_further else testing.subset(np.arange(0))
    return Prepared(
        record=record,
        network=network,
        training=as_input(training, dataset.train, moments, input_kind),
        testing=as_input(testing, dataset.test, moments, input_kind),
        further=as_input(more, dataset.test, moments, input_kind),
        targets=targets,
        digits=testing.digits,
        probability=probability,
        polarity=dataset.polarity,
    )


def _check_recorded(name: str, record: RunRecord, accuracy: float) -> None:
    tested = record.run.tested
    allowed = ceil(RECORD_TOLERANCE * tested)
    if not abs(accuracy - record.accuracy) * tested <= allowed + 1e-6:
        raise RecordError(
            f"{name}: expected the recorded accuracy {record.accuracy:.4f} to within {allowed} of {tested} "
            f"pairs, got {accuracy:.4f}: the weights or the record were changed; train the run again"
        )


def feeds(design: Design, trained: Prepared, pairs: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Inputs of a file of this part for `pairs`; a head gets PyTorch's features."""
    if design.part == "joint":
        return {"pair": pairs}
    if design.part == "encoder":
        return {"image": single(pairs)}
    features = expected(replace(design, part="encoder"), trained, {"image": single(pairs)})["features"]
    return {"first": features[0::2], "second": features[1::2]}


@torch.inference_mode()
def expected(design: Design, trained: Prepared, given: Arrays) -> dict[str, NDArray[Any]]:
    """Outputs of PyTorch for the same inputs."""
    network, inputs = (
        trained.network,
        [torch.from_numpy(_normalised(value, trained.moments)) for value in given.values()],
    )
    with single_thread():
        if isinstance(network, JointNetwork) or design.part == "joint":
            scores = network(inputs[0])
            outputs = {"probability": scores.main.sigmoid()}
            if design.with_digits:
                outputs["digits"] = scores.digits.softmax(-1)
        elif design.part == "encoder":
            features = network.encode(inputs[0])
            outputs = {"features": features.exp() if design.variant.orders else features}  # PyTorch keeps logarithms
        else:
            features = torch.cat(inputs, dim=1)
            outputs = {"probability": network.compare(features.log() if design.variant.orders else features).sigmoid()}
    return {name: value.numpy() for name, value in outputs.items()}


def _normalised(values: NDArray[Any], moments: Moments) -> NDArray[np.float32]:
    """Grey levels pooled and normalised as in training; float32 values are returned unchanged."""
    return pool_and_normalise(values, moments) if values.dtype == np.uint8 else np.ascontiguousarray(values)


def single(pairs: NDArray[Any]) -> NDArray[Any]:
    """[n,2,H,W] -> [2n,1,H,W], first and second in turn."""
    return pairs.reshape(-1, 1, *pairs.shape[2:])


def enough(rows: NDArray[Any]) -> NDArray[Any]:
    """At least as many rows as the largest batch of the validation: a few are repeated."""
    return rows if len(rows) >= max(BATCHES) else rows[np.arange(max(BATCHES)) % len(rows)]
