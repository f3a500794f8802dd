"""A float32 graph -> int8, static: 8-bit weights and activations in QDQ form, a scale for each channel of a weight.

Three choices make it both exact and quick (docs/results.md):
- A convolution over one or two channels stays float32: it has 9 to 50 products for each value, and in 8 bits ONNX
  Runtime spends more time on gathering them than on all later layers.
- The pooling after it stands before its ReLU (graphs.py, pool_first; the same values). ONNX Runtime moves a
  QuantizeLinear up through a MaxPool, where it would take the slow path of an 8-bit pooling; a ReLU stops it.
- The layer that ends in scores stays float32: 8 bits there would round every probability.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from pairnet.checking import Arrays

OPERATORS = ("Conv", "Gemm", "MaxPool", "Relu", "Reshape")
SCORES = ("score", "digit_scores")
CALIBRATION_BATCH = 100


def quantise(model: onnx.ModelProto, calibration: Arrays) -> onnx.ModelProto:
    """The same inputs and outputs, 8 bits inside; scales from the smallest and largest values seen on `calibration`.

    calibration: rows for each of the model's inputs, from training pairs. The metadata is kept.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches = _batches(calibration)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self._batches, None)

    prepared = onnx.ModelProto()
    prepared.CopyFrom(model)
    onnx.helper.set_model_props(prepared, {"onnx.quant.pre_process": "onnxruntime.quant"})  # as it is: no advice wanted
    with tempfile.TemporaryDirectory() as folder:
        quantised = Path(folder) / "int8.onnx"
        quantize_static(
            prepared,
            str(quantised),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(OPERATORS),
            nodes_to_exclude=kept_in_float(model),
        )
        found = onnx.load(quantised)
    del found.metadata_props[:]
    found.metadata_props.extend(model.metadata_props)
    found.producer_name, found.producer_version = model.producer_name, model.producer_version
    return onnx.shape_inference.infer_shapes(found, check_type=True, strict_mode=True, data_prop=True)


def kept_in_float(model: onnx.ModelProto) -> list[str]:
    """Nodes that are not quantised: from the pixels on, up to the first layer that is worth it; and the scores'."""
    channels = {tensor.name: tensor.dims[1] for tensor in model.graph.initializer if len(tensor.dims) == 4}
    early = {value.name for value in model.graph.input}
    kept, makers = [], {output: node.name for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        worth_it = node.op_type == "Gemm" or (node.op_type == "Conv" and channels[node.input[1]] > 2)
        if not worth_it and early & set(node.input):
            early.update(node.output)
            kept.append(node.name)
        if node.name in SCORES:
            kept += [node.name, makers[node.input[0]]]
    return kept


def _batches(calibration: Arrays) -> Iterator[dict[str, NDArray[Any]]]:
    count = len(next(iter(calibration.values())))
    for start in range(0, count, CALIBRATION_BATCH):
        yield {
            name: np.ascontiguousarray(rows[start : start + CALIBRATION_BATCH]) for name, rows in calibration.items()
        }
