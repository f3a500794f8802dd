"""A trained run -> one self-contained ONNX file, or three; nothing gets its name before it has been validated."""

import json
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import metadata as packages
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from pairnet.artifact.design import DEFAULT_MAX_DROP, DEFAULT_OPSET, FORMAT, Design, Kind, Precision, path_of, plan
from pairnet.artifact.recorded import as_input
from pairnet.artifact.sessions import cpu_session
from pairnet.data.pairs import Moments, draw_pairs, pool_and_normalise
from pairnet.data.sources import Dataset
from pairnet.errors import AccuracyError, RecordError
from pairnet.exporting import graph as graphs
from pairnet.exporting.quantise import quantise
from pairnet.exporting.validate import BATCHES, TOLERANCE, Arrays, check, weights_digest
from pairnet.host import revision
from pairnet.models.networks import JointNetwork, TwinNetwork
from pairnet.study.records import RunRecord
from pairnet.study.saved import load_run
from pairnet.training.loop import predict, single_thread

TOLERANCES = {"fp32": (TOLERANCE, TOLERANCE), "fp16": (0.02, 0.002), "int8": (1.0, 0.1)}
"""Of a single value and of the root mean square, by precision.

Largest found in any trained variant, seed 0: 5e-6 and 4e-7 in fp32, 6e-3 and 4e-4 in fp16, 0.44 and 0.048 in int8,
where a pair in doubt may fall to the other side. What that costs is judged by the accuracy.
"""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A joint file, or an encoder and its head, and how they answer on the run's test draw."""

    paths: tuple[Path, ...]
    precision: Precision
    accuracy: float  # of the file(s)
    torch_accuracy: float  # of the net they were made from
    changed: int  # decisions that are not PyTorch's
    pairs: int  # in the test draw
    difference: float  # the largest of any value from PyTorch's, in the validation


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """A saved run with the pairs that its files are calibrated on (training) and measured on (testing)."""

    record: RunRecord
    net: JointNetwork | TwinNetwork
    training: NDArray[Any]  # as the file takes them: uint8 [n,2,28,28] or float32 [n,2,14,14]
    testing: NDArray[Any]
    targets: NDArray[np.bool_]  # of testing
    probability: NDArray[np.float32]  # PyTorch's, of testing

    @property
    def moments(self) -> Moments:
        """Of the training pairs' pixels."""
        return Moments(mean=self.record.mean, std=self.record.std)


def export(
    folder: Path,
    dataset: Dataset,
    output: Path,
    *,
    kind: Kind = "images",
    precision: Precision = "fp32",
    digits: bool = False,
    split: bool = False,
    opset: int = DEFAULT_OPSET,
    max_drop: float = DEFAULT_MAX_DROP,
    force: bool = False,
) -> list[Exported]:
    """Writes the run in `folder` as `output`, and with `split` also NAME.encoder.onnx and NAME.head.onnx beside it.

    All are validated first, and appear together. checking.ExportError says which step failed, FileExistsError what is
    there already (without `force`), RecordError that `dataset` is not the run's, ValueError what a variant cannot have.
    """
    trained = load_trained(folder, dataset, kind)
    groups = plan(
        trained.record.variant,
        output,
        kind=kind,
        precision=precision,
        digits=digits,
        split=split,
        opset=opset,
        max_drop=max_drop,
        force=force,
    )
    with _folder_beside(output) as building:
        found = [_write(group, trained, precision, max_drop, Path(building) / output.name) for group in groups]
        for path in Path(building).iterdir():
            path.replace(output.with_name(path.name))
    paths = [tuple(output.with_name(path.name) for path in each.paths) for each in found]
    return [replace(each, paths=there) for each, there in zip(found, paths, strict=True)]


@contextmanager
def _folder_beside(output: Path) -> Iterator[str]:
    """A hidden folder on the same disk, gone afterwards.  OSError that names `output` where it cannot be had."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=f".{output.stem}-", dir=output.parent)
    except OSError as error:
        raise OSError(error.errno, f"cannot be written: {error.strerror}", str(output)) from None
    with folder as name:
        yield name


def load_trained(folder: Path, dataset: Dataset, kind: Kind) -> Trained:
    """The run in `folder` with its own draws.  RecordError where `dataset` is not the one it was trained on."""
    saved = load_run(folder)
    record, net = saved.record, saved.network
    if dataset.checksum != record.data.checksum:
        raise RecordError(
            f"{folder} was trained on {record.data.origin}, sha256 {record.data.checksum[:12]}, and its files "
            f"are validated on the same; these have {dataset.checksum[:12]}: name the run's own with --data-dir"
        )
    moments = Moments(mean=record.mean, std=record.std)
    seeds, train = record.seeds, dataset.train
    training = draw_pairs(train, count=record.pairs, seed=seeds.train_draw)
    testing = draw_pairs(dataset.test, count=record.test_pairs, seed=seeds.test_draw)
    return Trained(
        record=record,
        net=net,
        training=as_input(training, train, moments, kind),
        testing=as_input(testing, dataset.test, moments, kind),
        targets=testing.targets > 0.5,
        probability=predict(net, testing, moments).numpy(),
    )


def describe(
    design: Design, record: RunRecord, precision: Precision, model: onnx.ModelProto, accuracy: float
) -> dict[str, str]:
    """The file's metadata; designs.METADATA says what each key means."""
    exporters = ("pairnet", "numpy", "onnx", "torch")
    versions = {"python": platform.python_version(), "onnxruntime": ort.__version__}
    versions |= {name: packages.version(name) for name in exporters}
    folder_of_the_users = record.data.source.startswith("idx:")  # its path is nobody else's business
    return {
        "pairnet": FORMAT,
        "variant": record.variant.name,
        "structure": record.variant.structure,
        "parameters": str(record.parameters),
        "part": design.part,
        "input": design.kind,
        "precision": precision,
        "data": record.data.name,
        "data_source": "idx:FOLDER" if folder_of_the_users else record.data.source,
        "data_checksum": record.data.checksum,
        "pairs": str(record.pairs),
        "seeds": json.dumps(asdict(record.seeds)),
        "mean": repr(record.mean),
        "std": repr(record.std),
        "recipe": json.dumps(record.recipe.to_dict()),
        "run": record.fingerprint,
        "run_accuracy": repr(record.accuracy),
        "test_accuracy": repr(accuracy),
        "versions": json.dumps({"trained": record.environment.versions, "exported": versions}),
        "revision": revision(),
        "run_revision": record.environment.revision,
        "weights_sha256": weights_digest(model),
    }


def _write(
    designs: tuple[Design, ...],
    trained: Trained,
    precision: Precision,
    max_drop: float,
    output: Path,
) -> Exported:
    """Builds, measures, writes and validates one group of files."""
    weights = {name: value.detach().contiguous().numpy() for name, value in trained.net.state_dict().items()}
    models = exact = [graphs.build(replace(design, half=False), weights, trained.moments) for design in designs]
    if precision == "fp16":
        models = [graphs.build(design, weights, trained.moments) for design in designs]
    elif precision == "int8":
        models = [
            quantise(model, _feeds(design, trained, trained.training))
            for design, model in zip(designs, models, strict=True)
        ]
    right = (_answer(models, trained.testing) > 0.5) == trained.targets
    torch_right = (trained.probability > 0.5) == trained.targets
    accuracy, torch_accuracy = float(right.mean()), float(torch_right.mean())
    drop = 100 * (torch_accuracy - accuracy)
    if drop > max_drop + 1e-9:
        raise AccuracyError(
            f"{output.name} as {precision}: expected to lose at most {max_drop:g} percentage points, found {drop:.2f} "
            f"({torch_accuracy:.4f} -> {accuracy:.4f}): choose another --precision, or allow it with --max-drop"
        )
    paths, differences = [], []
    tolerance, rms_tolerance = TOLERANCES[precision]
    for design, model, original in zip(designs, models, exact, strict=True):
        onnx.helper.set_model_props(model, describe(design, trained.record, precision, model, accuracy))
        path = path_of(design, output)
        path.write_bytes(model.SerializeToString(deterministic=True))
        paths.append(path)
        difference = check(
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
    return Exported(
        paths=tuple(paths),
        precision=precision,
        accuracy=accuracy,
        torch_accuracy=torch_accuracy,
        changed=int((right != torch_right).sum()),
        pairs=len(right),
        difference=max(differences),
    )


def _answer(models: list[onnx.ModelProto], pairs: NDArray[Any]) -> NDArray[np.float32]:
    """P(first <= second) [n] from a joint model, or from an encoder and its head."""
    first, *rest = [cpu_session(model.SerializeToString()) for model in models]
    if not rest:
        answer: NDArray[np.float32] = first.run(["probability"], {"pair": pairs})[0]
    else:
        features = first.run(None, {"image": _single(pairs)})[0]
        answer = rest[0].run(None, {"first": features[0::2], "second": features[1::2]})[0]
    return answer


def _feeds(design: Design, trained: Trained, pairs: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """What a file of this part is fed to see `pairs`; a head gets PyTorch's features."""
    if design.part == "joint":
        return {"pair": pairs}
    if design.part == "encoder":
        return {"image": _single(pairs)}
    features = _expected(replace(design, part="encoder"), trained, {"image": _single(pairs)})["features"]
    return {"first": features[0::2], "second": features[1::2]}


@torch.inference_mode()
def _expected(design: Design, trained: Trained, feeds: Arrays) -> dict[str, NDArray[Any]]:
    """What PyTorch makes of the same."""
    net, inputs = trained.net, [torch.from_numpy(_normalised(value, trained.moments)) for value in feeds.values()]
    with single_thread():
        if isinstance(net, JointNetwork) or design.part == "joint":
            scores = net(inputs[0])
            found = {"probability": scores.main.sigmoid()}
            if design.digits:
                found["digits"] = scores.digits.softmax(-1)
        elif design.part == "encoder":
            features = net.encode(inputs[0])
            found = {"features": features.exp() if design.variant.orders else features}  # nets.py keeps logarithms
        else:
            features = torch.cat(inputs, dim=1)
            found = {"probability": net.compare(features.log() if design.variant.orders else features).sigmoid()}
    return {name: value.numpy() for name, value in found.items()}


def _normalised(values: NDArray[Any], moments: Moments) -> NDArray[np.float32]:
    """Grey levels pooled and normalised as in training; what is float32 already stays as it is."""
    return pool_and_normalise(values, moments) if values.dtype == np.uint8 else np.ascontiguousarray(values)


def _single(pairs: NDArray[Any]) -> NDArray[Any]:
    """[n,2,H,W] -> [2n,1,H,W], first and second in turn."""
    return pairs.reshape(-1, 1, *pairs.shape[2:])


def _enough(rows: NDArray[Any]) -> NDArray[Any]:
    """At least as many rows as the largest batch of the validation; few are repeated."""
    return rows if len(rows) >= max(BATCHES) else rows[np.arange(max(BATCHES)) % len(rows)]
