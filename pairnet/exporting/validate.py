"""Validation of an exported file, in a fixed order: checker, checksum, graph, names, axes, shapes, values."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from pairnet.artifact.design import Port, Precision
from pairnet.artifact.inspection import declared_ports
from pairnet.artifact.sessions import open_session
from pairnet.artifact.weights import initializers_digest
from pairnet.errors import AxesError, CheckerError, NamesError, ShapesError, ValuesError, WeightsError
from pairnet.exporting.rounding import Arrays, check_rounding

BATCHES = (1, 2, 7, 1000)
"""Batch sizes that are run; no file depends on any of them."""

TOLERANCE = 1e-5
"""Tolerance of a float32 file's values: only the order of sums differs from PyTorch."""

EXACT_TOLERANCE = 1e-4
"""Tolerance of the float32 graph that a file in lower precision rounds: a fault in the graph differs by far more."""


def check_file(
    path: Path,
    inputs: tuple[Port, ...],
    outputs: tuple[Port, ...],
    *,
    feeds: Arrays,
    expected: Callable[[Arrays], Arrays],
    precision: Precision = "fp32",
    exact: onnx.ModelProto | None = None,
    calibration: Arrays | None = None,
) -> float:
    """Returns the largest difference between the file's values and the expected ones, over all of BATCHES.

    A difference is relative to the largest expected value, or to 1 if that is smaller. `feeds` has at least as many
    rows as the largest batch; `expected` computes the outputs of PyTorch for some of them. `exact` is the same graph in
    float32 and `calibration` what it was quantised with (`rounding.check_rounding`). In a lower precision, the values
    of `exact` are compared with PyTorch's in place of the file's, and the difference of the file is only returned. The
    first step that fails raises its own ExportError.
    """
    model = check_model(path)
    if exact is not None:
        check_rounding(path.name, model, exact, precision=precision, calibration=calibration)
    check_names(path, model, inputs, outputs)
    check_axes(path, model, inputs, outputs)
    runs = check_shapes(path, path.read_bytes(), outputs, feeds)
    tolerance = TOLERANCE if precision == "fp32" else math.inf
    if precision != "fp32" and exact is not None:
        check_values(
            path, check_shapes(path, exact.SerializeToString(), outputs, feeds), feeds, expected, EXACT_TOLERANCE
        )
    return check_values(path, runs, feeds, expected, tolerance)


def check_model(path: Path) -> onnx.ModelProto:
    """Steps 1 and 2: ONNX's checker, with strict shape inference; the checksum of the weights."""
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # protobuf's, onnx.checker's and shape inference's have no common class
        reason = " ".join(str(error).split())
        raise CheckerError(f"{path.name}: expected a model that ONNX's checker accepts, it reports: {reason}") from None
    recorded = {entry.key: entry.value for entry in model.metadata_props}.get("weights_sha256", "none")
    if (digest := initializers_digest(model)) != recorded:
        raise WeightsError(
            f"{path.name}: expected weights of SHA-256 {recorded[:12]}, as in its metadata, got {digest[:12]}: "
            "the file is damaged or was changed; export the run again"
        )
    return model


def check_names(path: Path, model: onnx.ModelProto, inputs: tuple[Port, ...], outputs: tuple[Port, ...]) -> None:
    """Step 4: names of inputs and outputs, in their order."""
    for side, ports, values in (("inputs", inputs, model.graph.input), ("outputs", outputs, model.graph.output)):
        expected, got = [port.name for port in ports], [value.name for value in values]
        if expected != got:
            raise NamesError(f"{path.name}: expected {side} {', '.join(expected)}, got {', '.join(got)}")


def check_axes(path: Path, model: onnx.ModelProto, inputs: tuple[Port, ...], outputs: tuple[Port, ...]) -> None:
    """Step 5: declared types and axes; the batch axis has a name and no size."""
    declared = declared_ports([*model.graph.input, *model.graph.output])
    for port, got in zip((*inputs, *outputs), declared, strict=True):
        if port != got:
            raise AxesError(f"{path.name}: expected {port}, got {got}")


def check_shapes(path: Path, content: bytes, outputs: tuple[Port, ...], feeds: Arrays) -> list[dict[str, NDArray[Any]]]:
    """Step 6: types and shapes of the outputs at each of BATCHES; returns these outputs.  content: the model."""
    runs: list[dict[str, NDArray[Any]]] = []
    try:
        session = open_session(content, "cpu", name=path.name)
        for rows in _batches():
            values = session.run(None, {name: value[rows] for name, value in feeds.items()})
            runs.append({port.name: np.asarray(value) for port, value in zip(outputs, values, strict=True)})
    except Exception as error:  # ONNX Runtime's exceptions have no common class
        reason = " ".join(str(error).split())
        batch = BATCHES[len(runs)]
        raise ShapesError(f"{path.name}: expected a batch of {batch} to run, ONNX Runtime reports: {reason}") from None
    for batch, values in zip(BATCHES, runs, strict=True):
        for port in outputs:
            expected = replace(port, axes=tuple(batch if isinstance(axis, str) else axis for axis in port.axes))
            got = replace(port, dtype=values[port.name].dtype.name, axes=values[port.name].shape)
            if expected != got:
                raise ShapesError(f"{path.name}: expected {expected} from a batch of {batch}, got {got}")
    return runs


def check_values(
    path: Path,
    runs: list[dict[str, NDArray[Any]]],
    feeds: Arrays,
    expected: Callable[[Arrays], Arrays],
    tolerance: float,
) -> float:
    """Step 7: each value compared with PyTorch's; returns the largest difference, which is finite in any case."""
    largest = 0.0
    for batch, rows, values in zip(BATCHES, _batches(), runs, strict=True):
        for name, wanted in expected({name: value[rows] for name, value in feeds.items()}).items():
            difference = np.abs(values[name] - wanted) / max(1.0, float(np.abs(wanted).max()))
            worst = np.unravel_index(np.argmax(np.nan_to_num(difference, nan=np.inf)), difference.shape)
            if not difference[worst] <= min(tolerance, np.finfo(np.float32).max):
                raise ValuesError(
                    f"{path.name}: expected {name} {list(map(int, worst))} of a batch of {batch} to be "
                    f"{wanted[worst]:.6f} as in PyTorch, got {values[name][worst]:.6f}: the largest difference is "
                    f"{difference[worst]:.2g}, the tolerance {tolerance:g}"
                )
            largest = max(largest, float(difference[worst]))
    return largest


def _batches() -> list[slice]:
    """Rows of each batch: no two begin with the same row, except the largest, which takes all rows."""
    starts = (sum(BATCHES[:-1][:k]) for k in range(len(BATCHES) - 1))
    return [*(slice(start, start + size) for start, size in zip(starts, BATCHES, strict=False)), slice(0, BATCHES[-1])]
