"""Export of a trained run: one self-contained ONNX file, or three, none of which appears before it is validated."""

import platform
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata as packages
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from pairnet.artifact.design import DEFAULT_OPSET, Design, InputKind, Precision
from pairnet.artifact.inspection import inspect
from pairnet.artifact.metadata import PRIVATE_SOURCE, TRAINED_HERE, FileMetadata
from pairnet.artifact.runtime import ort
from pairnet.artifact.sessions import open_session
from pairnet.artifact.weights import AGAIN, initializers_digest
from pairnet.data.appearance import Polarity
from pairnet.data.sources import Dataset, load_dataset
from pairnet.errors import ArgumentError, CheckerError, ModelError
from pairnet.exporting import graph as graphs
from pairnet.exporting.decisions import Limits, changed, check_changed, check_drop, check_finite, computed, decided
from pairnet.exporting.network import check_network
from pairnet.exporting.plan import DEFAULT_MAX_CHANGED, DEFAULT_MAX_DROP, path_of, plan_files
from pairnet.exporting.prepared import Prepared, enough, expected, feeds, prepare, single
from pairnet.exporting.quantise import pool_first, quantise
from pairnet.exporting.rounding import Arrays
from pairnet.exporting.validate import check_file
from pairnet.host import revision
from pairnet.records.record import RunRecord
from pairnet.study.saved import TrainedRun, load_run
from pairnet.wording import is_plain
from pairnet.writing import make_folder, separate_files


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A joint file, or an encoder and its head, with their results on the test draw of the run."""

    paths: tuple[Path, ...]
    precision: Precision
    accuracy: float  # of the file(s), on the test draw
    torch_accuracy: float  # of the network in PyTorch
    changed: int  # decisions on the test draw that differ from PyTorch's
    pairs: int  # in the test draw
    further_changed: int  # decisions on further pairs that differ
    further_pairs: int  # 0 in fp32, which is compared value by value
    digits_changed: int | None  # digits that differ, two for each of all these pairs; None without them
    difference: float  # the largest difference of any value from PyTorch's


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
    max_changed: float = DEFAULT_MAX_CHANGED,
    force: bool = False,
) -> list[Exported]:
    """Writes a trained run as `output`, and with `split` also NAME.encoder.onnx and NAME.head.onnx next to it.

    run: the result of `train`, or the folder of a saved run. dataset: the images that it was trained on, from which its
    files are calibrated and validated; by default they are loaded from where the run found them. `max_drop` is the loss
    of accuracy that is allowed, in percentage points, and `max_changed` the percentage of decisions that may differ
    from PyTorch's, on the test draw and further pairs together. All files are validated first, and appear together.
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
        max_changed=max_changed,
        force=force,
    )
    images = dataset or load_dataset(saved.record.run.images.source)
    trained = prepare(saved, name, images, input_kind, with_further=precision != "fp32")
    joint = groups[0][0]
    torch_outputs = [
        computed(lambda pairs: expected(joint, trained, {"pair": pairs}), pairs)
        for pairs in (trained.testing, trained.further)
    ]
    torch_outputs[0]["probability"] = trained.probability
    limits = Limits(max_drop=max_drop, max_changed=max_changed)
    with ExitStack() as stack:
        try:
            paths = [path_of(design, output) for group in groups for design in group]
            make_folder(output.parent, content="exported files")
            building = stack.enter_context(separate_files(paths, force=force))
        except OSError as error:
            raise ArgumentError(
                f"`output`: expected a file that can be written, got {output}: {error.strerror}"
            ) from None
        exported = [
            _write(group, trained, torch_outputs, precision, limits, building / output.name) for group in groups
        ]
    return [replace(group, paths=tuple(output.with_name(path.name) for path in group.paths)) for group in exported]


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
        recipe=run.recipe.to_dict() if run.elsewhere is None else {},
        origin=TRAINED_HERE if run.elsewhere is None else run.elsewhere.words,
        run=record.fingerprint,
        run_accuracy=record.accuracy,
        test_accuracy=accuracy,
        versions={
            "trained" if run.elsewhere is None else "evaluated": record.environment.versions,
            "exported": versions,
        },
        revision=revision(),
        run_revision=record.environment.revision,
        weights_sha256=initializers_digest(model),
    )


def _plain(name: str) -> str:
    """The name of a user's folder, with "_" for characters that metadata does not accept."""
    return "".join(character if is_plain(character) else "_" for character in name)


def _write(
    group: tuple[Design, ...],
    trained: Prepared,
    torch_outputs: Sequence[Arrays],
    precision: Precision,
    limits: Limits,
    output: Path,
) -> Exported:
    """Builds, measures, writes and validates one group of files.

    torch_outputs: PyTorch's for the test draw and for the further pairs.
    """
    weights = {name: value.detach().contiguous().numpy() for name, value in trained.network.state_dict().items()}
    exact = [graphs.build(replace(design, half=False), weights, trained.moments) for design in group]
    if precision == "int8":
        exact = [pool_first(model) for model in exact]
    for design, model in zip(group, exact, strict=True):
        check_network(path_of(design, output).name, model, trained.network, design, trained.moments)
    models, calibrations = exact, list[Arrays | None]([None] * len(group))
    if precision == "fp16":
        models = [graphs.build(design, weights, trained.moments) for design in group]
    elif precision == "int8":
        calibrations = [feeds(design, trained, trained.training) for design in group]
        models = [quantise(model, rows or {}) for model, rows in zip(exact, calibrations, strict=True)]
    sessions = [open_session(model.SerializeToString(), "cpu") for model in models]
    draw, further = (computed(partial(_outputs, sessions), pairs) for pairs in (trained.testing, trained.further))
    targets = {"probability": trained.targets, "digits": trained.digits}
    accuracy, torch_accuracy = (
        float((decided(outputs)["probability"] == trained.targets).mean()) for outputs in (draw, torch_outputs[0])
    )
    paths, differences = [], []
    for design, model, original, calibration in zip(group, models, exact, calibrations, strict=True):
        metadata = metadata_of(design, trained.record, precision, model, accuracy, trained.polarity)
        onnx.helper.set_model_props(model, metadata.to_text())
        path = path_of(design, output)
        path.write_bytes(model.SerializeToString(deterministic=True))
        paths.append(path)
        difference = check_file(
            path,
            design.inputs,
            design.outputs,
            feeds={name: enough(rows) for name, rows in feeds(design, trained, trained.testing).items()},
            expected=partial(expected, design, trained),
            precision=precision,
            exact=original,
            calibration=calibration,
        )
        differences.append(difference)
        _check_loadable(path)
    name = f"{output.name} as {precision}"
    check_finite(name, draw, torch_outputs[0], "the run's test draw")
    check_finite(name, further, torch_outputs[1], "further pairs")
    counts = [changed(one, other) for one, other in zip((draw, further), torch_outputs, strict=True)]
    pairs = len(trained.testing), len(trained.further)
    check_drop(name, draw, torch_outputs[0], targets, limits)
    check_changed(name, counts[0], counts[1], pairs, limits)
    if further:
        differences += [float(np.abs(each - torch_outputs[1][output]).max()) for output, each in further.items()]
    return Exported(
        paths=tuple(paths),
        precision=precision,
        accuracy=accuracy,
        torch_accuracy=torch_accuracy,
        changed=counts[0]["probability"],
        pairs=pairs[0],
        further_changed=counts[1].get("probability", 0),
        further_pairs=pairs[1],
        digits_changed=sum(each.get("digits", 0) for each in counts) if "digits" in draw else None,
        difference=max(differences),
    )


def _check_loadable(path: Path) -> None:
    """Raises CheckerError if the predictor would refuse the file: nobody could use it."""
    try:
        inspect(path.read_bytes(), path.name)
    except ModelError as error:
        bound = str(error).removesuffix(f": {AGAIN}")
        if bound == str(error):
            raise CheckerError(f"expected a file that the predictor accepts, got a refusal: {error}") from None
        raise CheckerError(
            f"expected a network within the bounds of an exported file, got one that exceeds a bound: {bound}: it is "
            "right in PyTorch, and the same recipe leads there again; train it with another recipe (a smaller learning "
            "rate, other seeds)"
        ) from None


def _outputs(sessions: Sequence[ort.InferenceSession], pairs: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
    """What a joint model computes for pairs, or an encoder and its head: probability [n] and, if it has it, digits."""
    first, *rest = sessions
    if not rest:
        names = [port.name for port in first.get_outputs()]
        return dict(zip(names, first.run(names, {"pair": pairs}), strict=True))
    features = first.run(None, {"image": single(pairs)})[0]
    return {"probability": rest[0].run(None, {"first": features[0::2], "second": features[1::2]})[0]}
