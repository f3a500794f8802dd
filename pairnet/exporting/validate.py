"""Validation of an exported file, in a fixed order: checker, weights, names, axes, shapes, values."""

import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from pairnet.artifact.design import Port
from pairnet.artifact.sessions import cpu_session
from pairnet.errors import AxesError, CheckerError, NamesError, ShapesError, ValuesError, WeightsError

BATCHES = (1, 2, 7, 1000)
"""Batch sizes that are run; nothing in a file is made with any of them."""

TOLERANCE = 1e-5
"""Of a float32 file's values: sums are made in another order than in PyTorch, no more."""

Arrays = Mapping[str, NDArray[Any]]


def check(
    path: Path,
    inputs: tuple[Port, ...],
    outputs: tuple[Port, ...],
    *,
    feeds: Arrays,
    expected: Callable[[Arrays], Arrays],
    exact: onnx.ModelProto | None = None,
    tolerance: float = TOLERANCE,
    rms_tolerance: float = math.inf,
) -> float:
    """The largest difference between the file's values and the expected ones, over all of BATCHES.

    A difference counts in units of the largest expected value, or of 1 where that is smaller; `rms_tolerance` is for
    the root of their mean square, in the largest batch. `feeds` holds at least as many rows as that; `expected` is what
    PyTorch makes of some of them. `exact` is the same graph in float32, whose weights the file's must be, rounded.
    The first step that fails raises its error.
    """
    model = check_model(path)
    if exact is not None:
        check_rounding(path, model, exact)
    check_names(path, model, inputs, outputs)
    check_axes(path, model, inputs, outputs)
    found = check_shapes(path, outputs, feeds)
    return check_values(path, found, feeds, expected, tolerance, rms_tolerance)


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


def check_rounding(path: Path, model: onnx.ModelProto, exact: onnx.ModelProto) -> None:
    """Step 2 of a file in lower precision: each weight is the float32 one, to half a step of what it was rounded to.

    Values alone would not show one wrong weight: what 8 bits change is larger.
    """
    found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for tensor in exact.graph.initializer:
        wanted, name = onnx.numpy_helper.to_array(tensor).astype(np.float64), tensor.name
        if name in found:
            value = found[name].astype(np.float64)
            half = found[name].dtype == np.float16
            step = np.spacing(np.abs(found[name])).astype(np.float64) if half else np.zeros(())
        elif f"{name}_quantized" in found:
            about = name if f"{name}_scale" in found else f"{name}_quantized"  # of a weight, of a bias
            scale, zero = (found[f"{about}_{part}"].astype(np.float64) for part in ("scale", "zero_point"))
            each = (-1, *[1] * (wanted.ndim - 1)) if scale.ndim else ()  # a scale for each output
            step = scale.reshape(each)
            value = (found[f"{name}_quantized"] - zero.reshape(each)) * step
        else:
            raise WeightsError(f"{path.name}: expected a weight {name}, found none")
        wrong = np.abs(value - wanted) > 0.5001 * step
        if wrong.any():
            at = tuple(np.argwhere(wrong)[0].tolist())
            raise WeightsError(
                f"{path.name}: expected {name} {list(at)} to be {wanted[at]:.6f}, rounded, as in the trained net, "
                f"found {value[at]:.6f}: {int(wrong.sum())} of {wanted.size} weights are wrong; export it again"
            )


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


def check_values(
    path: Path,
    runs: list[dict[str, NDArray[Any]]],
    feeds: Arrays,
    expected: Callable[[Arrays], Arrays],
    tolerance: float,
    rms_tolerance: float = math.inf,
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
            rms = float(np.sqrt(np.square(difference).mean()))
            if batch == max(BATCHES) and rms > rms_tolerance:
                raise ValuesError(
                    f"{path.name}: expected {name} of a batch of {batch} to be as in PyTorch, found differences whose "
                    f"root mean square is {rms:.2g}: allowed is {rms_tolerance:g}"
                )
    return largest


def _batches() -> list[slice]:
    """Rows of each batch: no two begin with the same row, but for the largest, which takes all."""
    starts = (sum(BATCHES[:-1][:k]) for k in range(len(BATCHES) - 1))
    return [*(slice(start, start + size) for start, size in zip(starts, BATCHES, strict=False)), slice(0, BATCHES[-1])]


def _show(dtype: str, axes: tuple[str | int, ...]) -> str:
    return f"{dtype} [{','.join(map(str, axes))}]"
