"""The numbers in an exported file: how an initializer stores them, their checksum, and the values that training leaves.

Values are bounded so that no file answers with overflow or with constants that no training reaches. Within the bounds
anybody can write other weights and sign them: only a measurement on test pairs tells what a file does.
"""

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from pairnet.artifact.limits import COUNTS, LARGEST_VARIANCE, LARGEST_WEIGHT
from pairnet.artifact.metadata import FileMetadata
from pairnet.errors import ModelError
from pairnet.wording import shown

Numbers = NDArray[Any]

STORED: Mapping[int, str] = {
    TensorProto.FLOAT: "float_data",
    TensorProto.FLOAT16: "int32_data",
    TensorProto.INT64: "int64_data",
    TensorProto.INT32: "int32_data",
    TensorProto.INT8: "int32_data",
    TensorProto.UINT8: "int32_data",
}
"""The types of an initializer, and the field that holds its numbers where `raw_data` does not."""

AGAIN = "train and export the run again"
SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


def read_array(tensor: TensorProto) -> Numbers:
    """The numbers of an initializer, as ONNX Runtime reads them; never from another file.

    Raises ModelError unless the shape is of bounded rank, and one field holds as many numbers as it has elements.
    """
    name = f"initializer {shown(tensor.name)}"
    if tensor.data_location != TensorProto.DEFAULT or tensor.data_type not in STORED:
        raise ModelError(f"{name}: expected numbers inside the file, got other data")
    dims = list(tensor.dims[: COUNTS["dims"] + 1])
    if len(dims) > COUNTS["dims"] or min(dims, default=1) < 1:
        raise ModelError(f"{name}: expected numbers of a shape with at most 4 axes of 1 or more, got {shown(dims)}")
    held = {"raw_data": len(tensor.raw_data)} if tensor.HasField("raw_data") else {}
    held |= {field: len(getattr(tensor, field)) for field in {*STORED.values()} if len(getattr(tensor, field))}
    field = "raw_data" if tensor.HasField("raw_data") else STORED[tensor.data_type]
    size = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize if field == "raw_data" else 1
    if held != {field: math.prod(dims) * size}:
        raise ModelError(f"{name}: expected numbers for {shown(dims)}, once, got {shown(held)}")
    try:
        array: Numbers = onnx.numpy_helper.to_array(tensor)
    except Exception as error:  # onnx and NumPy raise many kinds for numbers that are out of range
        raise ModelError(f"{name}: expected numbers, got {type(error).__name__}") from None
    if field == "int32_data" and not np.array_equal(_as_stored(array).ravel(), tensor.int32_data):
        raise ModelError(f"{name}: expected numbers of {array.dtype}, got others")
    return array


def initializers_digest(model: onnx.ModelProto) -> str:
    """SHA-256 over name, type, shape and bytes of each initializer, in the order of names.

    Raises ModelError for an initializer that cannot be read.
    """
    digest = hashlib.sha256()
    for tensor in sorted(model.graph.initializer, key=lambda tensor: tensor.name):
        array = read_array(tensor)
        digest.update(f"{tensor.name} {array.dtype} {list(array.shape)}\n".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def check_values(model: onnx.ModelProto, metadata: FileMetadata) -> None:
    """Raises ModelError for weights, scales or zero points that no training and no quantisation leaves.

    The constants that normalise pixels are those of the metadata.
    """
    arrays = {tensor.name: read_array(tensor) for tensor in model.graph.initializer}
    pixels = {"pixel.mean": metadata.mean, "pixel.inverse_std": 1 / metadata.std}
    for name, wanted in pixels.items():
        if name in arrays and not np.array_equal(arrays[name], np.float32(wanted)):
            raise ModelError(
                f"{name}: expected {wanted:g}, as in the metadata, got {shown(arrays[name].tolist())}: {AGAIN}"
            )
    variances = {node.input[4] for node in model.graph.node if node.op_type == "BatchNormalization"}
    for name, array in arrays.items():
        if array.dtype.kind == "f" and name not in pixels:
            low, high = (0.0, LARGEST_VARIANCE) if name in variances else (-LARGEST_WEIGHT, LARGEST_WEIGHT)
            _check_range(name, array, low, high)
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            _check_scale(node, arrays)


def _check_range(name: str, array: Numbers, low: float, high: float) -> None:
    """All values are within low..high, and not all of them vanish in products: a constant answer, and a slow one."""
    least, most = float(array.min()), float(array.max())  # nan if any value is nan
    if not (low <= least and most <= high):
        raise ModelError(f"{shown(name)}: expected values from {low:g} to {high:g}, got {least:g} to {most:g}: {AGAIN}")
    if 0 < max(-least, most) < SMALLEST_NORMAL:
        raise ModelError(
            f"{shown(name)}: expected values of {SMALLEST_NORMAL:.2g} or more, got {most:g} at most: {AGAIN}"
        )


def _check_scale(node: onnx.NodeProto, arrays: Mapping[str, Numbers]) -> None:
    """Scale and zero point are constants in range, and so is a weight in 8 bits or a bias in 32 that they scale."""
    name, scale, zero = node.input[0], arrays.get(node.input[1]), arrays.get(node.input[2])
    if scale is None or zero is None or scale.dtype.kind != "f" or scale.shape != zero.shape or scale.ndim > 1:
        raise ModelError(
            f"{shown(node.name)}: expected a constant scale and zero point of one shape, got others: {AGAIN}"
        )
    if not scale.min() >= SMALLEST_NORMAL:
        raise ModelError(f"{shown(node.input[1])}: expected scales above 0, got {scale.min():g}: {AGAIN}")
    if zero.dtype != np.uint8 and zero.any():
        raise ModelError(f"{shown(node.input[2])}: expected a zero point of 0 for {zero.dtype}, got another: {AGAIN}")
    if name not in arrays:
        return
    stored = arrays[name]
    if scale.ndim and (not stored.ndim or len(scale) not in (1, len(stored))):
        raise ModelError(f"{shown(name)}: expected a scale for each of its rows, got {len(scale)}: {AGAIN}")
    rows = stored.reshape(scale.size, -1)
    ends = np.stack((rows.min(1), rows.max(1)), axis=1).astype(np.float64) - zero.reshape(-1, 1)  # [rows,2]
    _check_range(name, ends * scale.reshape(-1, 1), -LARGEST_WEIGHT, LARGEST_WEIGHT)


def _as_stored(array: Numbers) -> Numbers:
    """The numbers of `int32_data` for an array: float16 is stored as its bits."""
    return array.view(np.uint16) if array.dtype == np.float16 else array
