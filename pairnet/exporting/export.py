"""Export of a trained run: one self-contained ONNX file, or three, none of which appears before it is validated."""

import platform
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata as packages
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from pairnet.artifact.design import DEFAULT_OPSET, Design, InputKind, Precision
from pairnet.artifact.inspection import initializers_digest, inspect
from pairnet.artifact.metadata import PRIVATE_SOURCE, FileMetadata
from pairnet.artifact.recorded import as_input, measure
from pairnet.artifact.runtime import ort
from pairnet.artifact.sessions import open_session
from pairnet.data.appearance import Polarity
from pairnet.data.drawing import draw
from pairnet.data.pairs import Moments, pool_and_normalise
from pairnet.data.sources import Dataset, load_dataset
from pairnet.errors import AccuracyError, ArgumentError, CheckerError, ModelError, RecordError
from pairnet.exporting import graph as graphs
from pairnet.exporting.plan import DEFAULT_MAX_DROP, path_of, plan_files
from pairnet.exporting.quantise import quantise
from pairnet.exporting.validate import BATCHES, TOLERANCE, Arrays, check_file
from pairnet.host import revision
from pairnet.models.networks import JointNetwork, TwinNetwork
from pairnet.records.record import RunRecord
from pairnet.study.saved import TrainedRun, load_run
from pairnet.training.loop import predict, single_thread
from pairnet.wording import is_plain
from pairnet.writing import separate_files

TOLERANCES = {"fp32": (TOLERANCE, TOLERANCE), "fp16": (0.02, 0.002), "int8": (1.0, 0.1)}
"""Tolerance of a single value and of the root mean square, by precision.

The largest differences of all trained variants with seed 0: 5e-6 and 4e-7 in fp32, 6e-3 and 4e-4 in fp16, 0.44 and
0.048 in int8, where the decision on an uncertain pair may change. The accuracy shows what that costs.
"""

RECORD_TOLERANCE = 0.002
"""Fraction of the test pairs (at least one pair) whose decision another kind of CPU may change."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A joint file, or an encoder and its head, with their results on the test draw of the run."""

    paths: tuple[Path, ...]
    precision: Precision
    accuracy: float  # of the file(s)
    torch_accuracy: float  # of the network in PyTorch
    changed: int  # decisions that differ from PyTorch's
    pairs: int  # in the test draw
    difference: float  # the largest difference of any value from PyTorch's, in the validation


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A saved run with the pairs on which its files are calibrated (training) and measured (testing)."""

    record: RunRecord
    network: JointNetwork | TwinNetwork
    training: NDArray[Any]  # as the file takes them: uint8 [n,2,28,28] or float32 [n,2,14,14]
    testing: NDArray[Any]
    targets: NDArray[np.bool_]  # of testing [n]
    probability: NDArray[np.float32]  # PyTorch's, of testing [n]
    polarity: Polarity  # of the images

    @property
    def moments(self) -> Moments:
        """Mean and standard deviation of the training pairs' pixels."""
        return Moments(mean=self.record.mean, std=self.record.std)


def export(
    run: TrainedRun | Path | str,
    output: Path | str,
    *,
    dataset: Dataset | None = None,
    input_kind: InputKind = "images",
    precision: Precision = "fp32",
    with_digits: bool = False,
    split: bool = False,
    opset: int = DEFAULT_OPSET,
    max_drop: float = DEFAULT_MAX_DROP,
    force: bool = False,
) -> list[Exported]:
    """Writes a trained run as `output`, and with `split` also NAME.encoder.onnx and NAME.head.onnx next to it.

    run: the result of `train`, or the folder of a saved run. dataset: the images that it was trained on, from which its
    files are calibrated and validated; by default they are loaded from where the run found them. `max_drop` is the loss
    of accuracy that is allowed, in percentage points. All files are validated first, and appear together.
    Raises ExportError for the first step of the validation that fails; ArgumentError for options that the variant does
    not support, and for an `output` that cannot be written or exists (without `force`); DataError if `dataset` is not
    that of the run; RecordError for a folder that is not a saved run, or whose weights do not match its record.
    """
    output = Path(output)
    saved = run if isinstance(run, TrainedRun) else load_run(run)
    name = saved.record.run.variant.name if isinstance(run, TrainedRun) else str(run)
    groups = plan_files(
        saved.record.run.variant,
        output,
        input_kind=input_kind,
        precision=precision,
        with_digits=with_digits,
        split=split,
        opset=opset,
        max_drop=max_drop,
        force=force,
    )
    trained = prepare(saved, name, dataset or load_dataset(saved.record.run.images.source), input_kind)
    with ExitStack() as stack:
        try:
            paths = [path_of(design, output) for group in groups for design in group]
            output.parent.mkdir(parents=True, exist_ok=True)
            building = stack.enter_context(separate_files(paths, force=force))
        except OSError as error:
            raise ArgumentError(
                f"`output`: expected a file that can be written, got {output}: {error.strerror}"
            ) from None
        exported = [_write(group, trained, precision, max_drop, building / output.name) for group in groups]
    return [replace(group, paths=tuple(output.with_name(path.name) for path in group.paths)) for group in exported]


def prepare(saved: TrainedRun, name: str, dataset: Dataset, input_kind: InputKind) -> Prepared:
    """A trained run with its own draws.  name: what messages call it.

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
    return Prepared(
        record=record,
        network=network,
        training=as_input(training, dataset.train, moments, input_kind),
        testing=as_input(testing, dataset.test, moments, input_kind),
        targets=targets,
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


def metadata_of(
    design: Design, record: RunRecord, precision: Precision, model: onnx.ModelProto, accuracy: float, polarity: Polarity
) -> FileMetadata:
    """The metadata of a file; artifact.metadata.METADATA explains each key."""
    exporters = ("pairnet", "numpy", "onnx", "torch")
    versions = {"python": platform.python_version(), "onnxruntime": ort.__version__}
    versions |= {name: packages.version(name) for name in exporters}
    run = record.run
    is_private = run.images.source.startswith("idx:")
    return FileMetadata(
        variant=run.variant.name,
        structure=run.variant.structure,
        parameters=record.parameters,
        part=design.part,
        input_kind=design.input_kind,
        precision=precision,
        data=_plain(run.images.name),
        data_source=PRIVATE_SOURCE if is_private else run.images.source,
        data_checksum=run.images.checksum,
        pairs=run.pairs,
        test_pairs=run.tested,
        seeds=run.seeds,
        mean=record.mean,
        std=record.std,
        polarity=polarity,
        recipe=run.recipe.to_dict(),
        run=record.fingerprint,
        run_accuracy=record.accuracy,
        test_accuracy=accuracy,
        versions={"trained": record.environment.versions, "exported": versions},
        revision=revision(),
        run_revision=record.environment.revision,
        weights_sha256=initializers_digest(model),
    )


def _plain(name: str) -> str:
    """The name of a user's folder, with "_" for characters that metadata does not accept."""
    return "".join(character if is_plain(character) else "_" for character in name)


def _write(
    designs: tuple[Design, ...],
    trained: Prepared,
    precision: Precision,
    max_drop: float,
    output: Path,
) -> Exported:
    """Builds, measures, writes and validates one group of files."""
    weights = {name: value.detach().contiguous().numpy() for name, value in trained.network.state_dict().items()}
    models = exact = [graphs.build(replace(design, half=False), weights, trained.moments) for design in designs]
    if precision == "fp16":
        models = [graphs.build(design, weights, trained.moments) for design in designs]
    elif precision == "int8":
        models = [
            quantise(model, _feeds(design, trained, trained.training))
            for design, model in zip(designs, models, strict=True)
        ]
    correct = (_probability(models, trained.testing) > 0.5) == trained.targets
    torch_correct = (trained.probability > 0.5) == trained.targets
    accuracy, torch_accuracy = float(correct.mean()), float(torch_correct.mean())
    drop = 100 * (torch_accuracy - accuracy)
    if drop > max_drop + 1e-9:
        raise AccuracyError(
            f"{output.name} as {precision}: expected to lose at most {max_drop:g} percentage points, got {drop:.2f} "
            f"({torch_accuracy:.4f} -> {accuracy:.4f}): choose another `precision`, or raise `max_drop`"
        )
    paths, differences = [], []
    tolerance, rms_tolerance = TOLERANCES[precision]
    for design, model, original in zip(designs, models, exact, strict=True):
        metadata = metadata_of(design, trained.record, precision, model, accuracy, trained.polarity)
        onnx.helper.set_model_props(model, metadata.to_text())
        path = path_of(design, output)
        path.write_bytes(model.SerializeToString(deterministic=True))
        paths.append(path)
        difference = check_file(
            path,
            design.inputs,
            design.outputs,
            feeds={name: _enough(rows) for name, rows in _feeds(design, trained, trained.testing).items()},
            expected=partial(_expected, design, trained),
            exact=original,
            tolerance=tolerance,
            rms_tolerance=rms_tolerance,
        )
        differences.append(difference)
        _check_loadable(path)
    return Exported(
        paths=tuple(paths),
        precision=precision,
        accuracy=accuracy,
        torch_accuracy=torch_accuracy,
        changed=int((correct != torch_correct).sum()),
        pairs=len(correct),
        difference=max(differences),
    )


def _check_loadable(path: Path) -> None:
    """Raises CheckerError if the predictor would refuse the file."""
    try:
        inspect(path.read_bytes(), path.name)
    except ModelError as error:
        raise CheckerError(f"expected a file that the predictor accepts, got a refusal: {error}") from None


def _probability(models: list[onnx.ModelProto], pairs: NDArray[Any]) -> NDArray[np.float32]:
    """P(first <= second) [n] from a joint model, or from an encoder and its head."""
    first, *rest = [open_session(model.SerializeToString(), "cpu") for model in models]
    if not rest:
        probability: NDArray[np.float32] = first.run(["probability"], {"pair": pairs})[0]
    else:
        features = first.run(None, {"image": _single(pairs)})[0]
        probability = rest[0].run(None, {"first": features[0::2], "second": features[1::2]})[0]
    return probability


def _feeds(design: Design, trained: Prepared, pairs: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Inputs of a file of this part for `pairs`; a head gets PyTorch's features."""
    if design.part == "joint":
        return {"pair": pairs}
    if design.part == "encoder":
        return {"image": _single(pairs)}
    features = _expected(replace(design, part="encoder"), trained, {"image": _single(pairs)})["features"]
    return {"first": features[0::2], "second": features[1::2]}


@torch.inference_mode()
def _expected(design: Design, trained: Prepared, feeds: Arrays) -> dict[str, NDArray[Any]]:
    """Outputs of PyTorch for the same inputs."""
    network, inputs = (
        trained.network,
        [torch.from_numpy(_normalised(value, trained.moments)) for value in feeds.values()],
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


def _single(pairs: NDArray[Any]) -> NDArray[Any]:
    """[n,2,H,W] -> [2n,1,H,W], first and second in turn."""
    return pairs.reshape(-1, 1, *pairs.shape[2:])


def _enough(rows: NDArray[Any]) -> NDArray[Any]:
    """At least as many rows as the largest batch of the validation: a few are repeated."""
    return rows if len(rows) >= max(BATCHES) else rows[np.arange(max(BATCHES)) % len(rows)]
