"""Trained networks: a run trained in this process, kept in a folder of its own, and loaded again."""

import hashlib
import json
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pairnet.data.drawing import check_images, draw, draw_held_out
from pairnet.data.pairs import Moments, accuracy
from pairnet.data.sources import Dataset
from pairnet.errors import ArgumentError, RecordError, TrainingError, one_line
from pairnet.models.networks import JointNetwork, TwinNetwork, build
from pairnet.models.variants import Variant, count_parameters
from pairnet.opening import LEFT, read_file
from pairnet.records.folders import CONTENT, RECORD, WEIGHTS, load_record, saved_runs
from pairnet.records.reading import record_text
from pairnet.records.record import Epoch, RunRecord
from pairnet.records.run import Run
from pairnet.records.store import append, locked
from pairnet.study.environment import environment
from pairnet.study.events import failed, failure_of
from pairnet.study.execution import execute
from pairnet.training.loop import predict
from pairnet.writing import check_folder, current_file, folder_of_files, make_folder


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedRun:
    """A run with its trained network, on the CPU and in evaluation mode."""

    record: RunRecord
    network: JointNetwork | TwinNetwork

    def __repr__(self) -> str:
        return f"TrainedRun({self.record.run.variant.name}, accuracy {self.record.accuracy:.4f})"

    @property
    def moments(self) -> Moments:
        """Mean and standard deviation of the training pairs' pixels, which normalise the network's inputs."""
        return Moments(mean=self.record.mean, std=self.record.std)

    def save(self, folder: Path | str) -> Path:
        """Writes weights and record into `folder` and returns it.

        The folder is new, empty, or one in which a trained network was saved: that is replaced, and nothing else in it.
        A kill at any moment leaves the old one or the new one. ArgumentError for any other folder; OSError names the
        path.
        """
        folder = Path(folder)
        with folder_of_files(folder, content=CONTENT, older=_older(folder)) as new:
            _write(new, self)
        return folder


def train(run: Run, dataset: Dataset, *, on_epoch: Callable[[int, Epoch], None] | None = None) -> TrainedRun:
    """Trains one network in this process and evaluates it on the held-out pairs.

    `on_epoch` is called with the number of epochs done and the figures of the last one. The result is the same, bit for
    bit, as that of a study's worker. ArgumentError if the images are too few, TrainingError if the loss stops being
    finite.
    """
    pairs, held_out = draw(run, dataset)
    place = environment(run.device, engine="single")
    trained, record = execute(run, place, pairs, held_out, on_epoch)
    return TrainedRun(record=record, network=trained.network.cpu().eval())


@dataclass(frozen=True, kw_only=True)
class SavedRun:
    """The folder of a trained network."""

    folder: Path
    record: RunRecord
    fresh: bool  # False: the folder had been there before


def train_and_save(
    run: Run,
    dataset: Dataset,
    runs: Path,
    *,
    force: bool = False,
    on_epoch: Callable[[int, Epoch], None] | None = None,
) -> SavedRun:
    """Trains one network and keeps it in a folder of `runs`.

    If this very run is there already, nothing is trained, unless `force` asks to train it again. One whose held-out
    pairs were evaluated less often than `run` asks is trained again, and replaced. TrainingError if it fails; that is
    recorded in `runs`, so that the runs there are not those that survived.
    """
    check_images(run, dataset)
    there = next((each for each in saved_runs(runs, run.variant.name) if each[1].fingerprint == run.fingerprint), None)
    if there is not None and not force and there[1].answers(run):
        return SavedRun(folder=there[0], record=there[1], fresh=False)
    folder = there[0] if there is not None else runs / f"{run.variant.name}-{run.fingerprint[:8]}"
    check_folder(folder, content=CONTENT, older=_older(folder), names=(RECORD, WEIGHTS))
    make_folder(runs, content="trained networks")
    tempfile.TemporaryFile(dir=runs).close()  # nothing is trained that could not be kept
    try:
        trained = train(run, dataset, on_epoch=on_epoch)
    except TrainingError as error:
        _keep_failure(run, runs, error)
        raise
    trained.save(folder)
    return SavedRun(folder=folder, record=load_record(folder), fresh=True)


def _keep_failure(run: Run, runs: Path, error: TrainingError) -> None:
    """Records a run that failed; only warns if the records are packed or in use."""
    try:
        with locked(runs):
            append(runs, failure_of(failed(run, error), engine="single"))
    except RecordError as busy:
        warnings.warn(f"the failed run is not recorded: {busy}", stacklevel=2)


def load_run(folder: Path | str) -> TrainedRun:
    """A saved run with its network.

    RecordError if the folder is not one, if the weights are not those of the record, or if either was changed.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    folder = Path(folder)
    record = load_record(folder)
    path = current_file(folder, WEIGHTS)
    largest = largest_file(record.run.variant)
    content = read_file(path, what="the weights of this network", largest=largest, error=RecordError, remedy=LEFT)
    try:
        weights = load(content)
        metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]).get("__metadata__", {})
    except (SafetensorError, ValueError, RuntimeError, KeyError, TypeError, AssertionError) as error:
        raise RecordError(f"{path}: expected the weights of a network, got something else: {one_line(error)}") from None
    _check_pair(folder, record, metadata, weights)
    network = build(record.run.variant)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise RecordError(f"{path}: expected the weights of {record.run.variant.name}, got others: {reason}") from None
    return TrainedRun(record=record, network=network.eval())


def largest_file(variant: Variant) -> int:
    """Bytes that a file of a network's weights has at most, its statistics and the header of the file included."""
    return 16 * count_parameters(variant) + (1 << 20)


def evaluate(trained: TrainedRun, dataset: Dataset, *, any_images: bool = False, seed: int | None = None) -> float:
    """Accuracy on the run's recorded held-out pairs, or on the test pairs of the draw `seed`.

    DataError if `dataset` is not the one it was recorded on, unless `any_images` allows that: the same numbers then
    draw from these images. ArgumentError for a `seed` with a run that was measured on a fold.
    """
    run = trained.record.run
    if seed is not None:
        if run.fold is not None:
            raise ArgumentError(
                f"expected a run with test pairs for `seed`, got fold {run.fold}: leave out one of them"
            )
        run = replace(run, seed=seed, own_seeds=None)
    pairs = draw_held_out(replace(run, images=dataset.images) if any_images else run, dataset)
    return accuracy(predict(trained.network, pairs, trained.moments).numpy(), pairs.targets)


def _older(folder: Path) -> tuple[str, ...]:
    """The files of a network that was saved before folders carried a mark."""
    try:
        load_record(folder)
    except RecordError:
        return ()
    return (RECORD, WEIGHTS)


def _write(folder: Path, trained: TrainedRun) -> None:
    """Record and weights, each with the digest of the other."""
    from safetensors.torch import save_file

    weights = {name: value.contiguous().cpu() for name, value in trained.network.state_dict().items()}
    record = replace(trained.record, weights_sha256=weights_digest(weights))
    text = record.to_json(indent=1) + "\n"
    metadata = {"fingerprint": record.fingerprint, "record_sha256": hashlib.sha256(text.encode()).hexdigest()}
    try:
        save_file(weights, folder / WEIGHTS, metadata=metadata)
        (folder / RECORD).write_text(text)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(folder)) from None


def _check_pair(folder: Path, record: RunRecord, metadata: Mapping[str, str], weights: Mapping[str, Tensor]) -> None:
    """RecordError unless record and weights were written together and neither was changed since."""
    if record.schema == 1:  # which wrote fewer digests
        found = json.loads(record_text(current_file(folder, RECORD)))["fingerprint"]
        if metadata.get("fingerprint", found) != found:
            raise RecordError(f"{folder}: {WEIGHTS} belongs to another run than {RECORD}: train it again")
        return
    if metadata.get("fingerprint") != record.fingerprint:
        raise RecordError(f"{folder}: {WEIGHTS} belongs to another run than {RECORD}: train it again")
    if (digest := weights_digest(weights)) != record.weights_sha256:
        raise RecordError(
            f"{folder}: expected weights of SHA-256 {record.weights_sha256[:12]}, as in {RECORD}, got {digest[:12]}: "
            "they were changed; train the run again"
        )
    if hashlib.sha256(record_text(current_file(folder, RECORD))).hexdigest() != metadata.get("record_sha256"):
        raise RecordError(f"{folder}: {RECORD} was edited after training, {WEIGHTS} names another: train it again")


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over name, type, shape and bytes of every tensor, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        value = weights[name].contiguous().cpu()
        digest.update(f"{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(np.ascontiguousarray(value.reshape(-1).view(torch.uint8).numpy()).tobytes())
    return digest.hexdigest()
