"""Validation of an exported file, in a fixed order: checker, weights, names, axes, shapes, values."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from pairnet.designs import Port

BATCHES = (1, 2, 7, 1000)
"""Batch sizes that are run; nothing in a file is made with any of them."""

TOLERANCE = 1e-5
"""Of a float32 file's values: sums are made in another order than in PyTorch, no more."""

Arrays = Mapping[str, NDArray[Any]]


class ExportError(RuntimeError):
    """A file that is not what it should be. What was expected, what was found, what to do."""


class CheckerError(ExportError):
    """ONNX's own checker refuses the model, or the file is no model."""


class WeightsError(ExportError):
    """The weights are not those whose checksum stands in the metadata."""


class NamesError(ExportError):
    """Inputs or outputs have other names."""


class AxesError(ExportError):
    """An input or output is declared with another type or other axes."""


class ShapesError(ExportError):
    """A run fails, or gives something of another shape or type."""


class ValuesError(ExportError):
    """A run gives other values than PyTorch."""


class AccuracyError(ExportError):
    """The file answers worse than it may."""


def check(
    path: Path,
    inputs: tuple[Port, ...],
    outputs: tuple[Port, ...],
    *,
    feeds: Arrays,
    expected: Callable[[Arrays], Arrays],
    tolerance: float = TOLERANCE,
) -> float:
    """The largest difference between the file's values and the expected ones, over all of BATCHES.

    A difference counts in units of the largest expected value, or of 1 where that is smaller. `feeds` holds at least as
    many rows as the largest batch; `expected` is what PyTorch makes of some of them. The first step that fails raises
    its error.
    """
    model = check_model(path)
    check_names(path, model, inputs, outputs)
    check_axes(path, model, inputs, outputs)
    found = check_shapes(path, outputs, feeds)
    return check_values(path, found, feeds, expected, tolerance)


def check_model(path: Path) -> onnx.ModelProto:
    """Step 1 and 2: what ONNX's checker says, with strict shape inference; the weights' checksum."""
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # protobuf's, onnx.checker's and shape inference's have no common class
        reason = " ".join(str(error).split())
        raise CheckerError(f"{path.name}: expected a model that ONNX's checker accepts, it says: {reason}") from None
    recorded = {entry.key: entry.value for entry in model.metadata_props}.get("weights_sha256", "none")
    if (digest := weights_digest(model)) != recorded:
        raise WeightsError(
            f"{path.name}: expected weights of SHA-256 {recorded[:12]}, as its metadata says, found {digest[:12]}: "
            "the file is damaged or was changed; export it again"
        )
    return model


def weights_digest(model: onnx.ModelProto) -> str:
    """SHA-256 over name, type, shape and bytes of every initializer, in the order of their names."""
    digest = hashlib.sha256()
    for tensor in sorted(model.graph.initializer, key=lambda tensor: tensor.name):
        array = onnx.numpy_helper.to_array(tensor)
        digest.update(f"{tensor.name} {array.dtype} {list(array.shape)}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def check_names(path: Path, model: onnx.ModelProto, inputs: tuple[Port, ...], outputs: tuple[Port, ...]) -> None:
    """Step 3: names of inputs and outputs, in their order."""
    for side, ports, values in (("inputs", inputs, model.graph.input), ("outputs", outputs, model.graph.output)):
        expected, found = [port.name for port in ports], [value.name for value in values]
        if expected != found:
            raise NamesError(f"{path.name}: expected {side} {', '.join(expected)}, found {', '.join(found)}")


def check_axes(path: Path, model: onnx.ModelProto, inputs: tuple[Port, ...], outputs: tuple[Port, ...]) -> None:
    """Step 4: declared types and axes; the batch axis has a name and no size."""
    values = [*model.graph.input, *model.graph.output]
    for port, value in zip((*inputs, *outputs), values, strict=True):
        tensor = value.type.tensor_type
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
        axes = tuple(axis.dim_param or axis.dim_value for axis in tensor.shape.dim)
        if (port.dtype, port.axes) != (dtype, axes):
            raise AxesError(
                f"{path.name}: expected {port.name} {_show(port.dtype, port.axes)}, found {_show(dtype, axes)}"
            )


def check_shapes(path: Path, outputs: tuple[Port, ...], feeds: Arrays) -> list[dict[str, NDArray[Any]]]:
    """Step 5: what comes out of a run at each of BATCHES -> those outputs."""
    runs: list[dict[str, NDArray[Any]]] = []
    try:
        session = cpu_session(path.read_bytes())
        for rows in _batches():
            values = session.run(None, {name: value[rows] for name, value in feeds.items()})
            runs.append({port.name: np.asarray(value) for port, value in zip(outputs, values, strict=True)})
    except Exception as error:  # ONNX Runtime's exceptions have no common class
        reason = " ".join(str(error).split())
        batch = BATCHES[len(runs)]
        raise ShapesError(f"{path.name}: expected a batch of {batch} to run, ONNX Runtime says: {reason}") from None
    for batch, values in zip(BATCHES, runs, strict=True):
        for port in outputs:
            shape = tuple(batch if isinstance(axis, str) else axis for axis in port.axes)
            value = values[port.name]
            if (port.dtype, shape) != (value.dtype.name, value.shape):
                raise ShapesError(
                    f"{path.name}: expected {port.name} {_show(port.dtype, shape)} from a batch of {batch}, "
                    f"found {_show(value.dtype.name, value.shape)}"
                )
    return runs


def cpu_session(model: bytes) -> ort.InferenceSession:
    """A session on one thread of the CPU: for answers, not for speed."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def check_values(
    path: Path,
    runs: list[dict[str, NDArray[Any]]],
    feeds: Arrays,
    expected: Callable[[Arrays], Arrays],
    tolerance: float,
) -> float:
    """Step 6: every value against PyTorch's -> the largest difference."""
    largest = 0.0
    for batch, rows, values in zip(BATCHES, _batches(), runs, strict=True):
        for name, wanted in expected({name: value[rows] for name, value in feeds.items()}).items():
            difference = np.abs(values[name] - wanted) / max(1.0, float(np.abs(wanted).max()))
            worst = np.unravel_index(np.argmax(np.nan_to_num(difference, nan=np.inf)), difference.shape)
            if not difference[worst] <= tolerance:
                raise ValuesError(
                    f"{path.name}: expected {name} {list(map(int, worst))} of a batch of {batch} to be "
                    f"{wanted[worst]:.6f} as in PyTorch, found {values[name][worst]:.6f}: the largest difference is "
                    f"{difference[worst]:.2g}, allowed is {tolerance:g}"
                )
            largest = max(largest, float(difference[worst]))
    return largest


def _batches() -> list[slice]:
    """Rows of each batch: no two begin with the same row, but for the largest, which takes all."""
    starts = (sum(BATCHES[:-1][:k]) for k in range(len(BATCHES) - 1))
    return [*(slice(start, start + size) for start, size in zip(starts, BATCHES, strict=False)), slice(0, BATCHES[-1])]


def _show(dtype: str, axes: tuple[str | int, ...]) -> str:
    return f"{dtype} [{','.join(map(str, axes))}]"
