"""A float32 graph -> int8, static, in QDQ form: 8-bit activations, 7-bit weights with a scale for each channel.

Weights keep to -64..64, so that two products never exceed 16 bits: x86 CPUs without VNNI add them there and saturate,
and a file would answer otherwise than where it was validated. The eighth bit brought no accuracy.

Three choices make it both exact and quick (docs/results.md):
- A convolution over one or two channels stays float32: it has 9 to 50 products for each value, and in 8 bits ONNX
  Runtime spends more time on gathering them than on all later layers.
- A pooling goes before what it may (pool_first; the same values). After the first convolution that is its ReLU: ONNX
  Runtime moves a QuantizeLinear up through a MaxPool, where it would take the slow path of an 8-bit pooling, and a ReLU
  stops it. After all others it is batch normalisation, which stays float32 and then has a quarter of the values.
- The layer that ends in scores stays float32: 8 bits there would round every probability.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from pairnet.exporting.validate import Arrays

OPERATORS = ("Conv", "Gemm", "MaxPool", "Relu", "Reshape")
SCORES = ("score", "digit_scores")
CALIBRATION_BATCH = 100
FEW_CHANNELS = 2
WARNINGS, ERRORS = 2, 3  # ONNX Runtime's levels


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

    prepared = pool_first(model)
    onnx.helper.set_model_props(prepared, {"onnx.quant.pre_process": "onnxruntime.quant"})  # as it is: no advice wanted
    with tempfile.TemporaryDirectory() as folder:
        quantised = Path(folder) / "int8.onnx"
        ort.set_default_logger_severity(ERRORS)  # the calibration's own sessions warn of what is no matter
        quantize_static(
            prepared,
            str(quantised),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(OPERATORS),
            nodes_to_exclude=kept_in_float(prepared),
        )
        ort.set_default_logger_severity(WARNINGS)  # ONNX Runtime's default
        found = onnx.load(quantised)
    del found.metadata_props[:]
    found.metadata_props.extend(model.metadata_props)
    found.producer_name, found.producer_version = model.producer_name, model.producer_version
    return onnx.shape_inference.infer_shapes(found, check_type=True, strict_mode=True, data_prop=True)


def pool_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function bit for bit: poolings before batch normalisation, the first one also before its ReLU.

    The largest of four values is the same one before and after a function that rises. A normalisation that turns a
    channel upside down keeps its place.
    """
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in model.graph.node]
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    makers = {output: node for node in nodes for output in node.output}

    def may_follow(node: onnx.NodeProto) -> bool:
        if node.op_type == "BatchNormalization":
            return bool((onnx.numpy_helper.to_array(weights[node.input[1]]) > 0).all())
        maker = makers.get(node.input[0])
        return (
            node.op_type == "Relu"
            and maker is not None
            and maker.op_type == "Conv"
            and not _is_worth_it(maker, weights)
        )

    swapped = set[str]()
    for place in range(len(nodes)):
        here = place
        while here and nodes[here].op_type == "MaxPool" and may_follow(nodes[here - 1]):
            before, pool = nodes[here - 1], nodes[here]
            for reader in nodes[here + 1 :]:
                reader.input[:] = [before.output[0] if name == pool.output[0] else name for name in reader.input]
            pool.input[0], before.input[0] = before.input[0], pool.output[0]
            nodes[here - 1], nodes[here] = pool, before
            swapped |= {before.output[0], pool.output[0]}
            here -= 1
    moved = onnx.ModelProto()
    moved.CopyFrom(model)
    del moved.graph.node[:], moved.graph.value_info[:]
    moved.graph.node.extend(nodes)
    moved.graph.value_info.extend(value for value in model.graph.value_info if value.name not in swapped)
    return onnx.shape_inference.infer_shapes(moved, check_type=True, strict_mode=True, data_prop=True)


def kept_in_float(model: onnx.ModelProto) -> list[str]:
    """Nodes that are not quantised: from the pixels on, up to the first layer that is worth it; and the scores'."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    early = {value.name for value in model.graph.input}
    kept, makers = [], {output: node.name for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        if early & set(node.input) and not _is_worth_it(node, weights):
            early.update(node.output)
            kept.append(node.name)
        if node.name in SCORES:
            kept += [node.name, makers[node.input[0]]]
    return kept


def _is_worth_it(node: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto]) -> bool:
    return node.op_type == "Gemm" or (node.op_type == "Conv" and weights[node.input[1]].dims[1] > FEW_CHANNELS)


def _batches(calibration: Arrays) -> Iterator[dict[str, NDArray[Any]]]:
    count = len(next(iter(calibration.values())))
    for start in range(0, count, CALIBRATION_BATCH):
        yield {
            name: np.ascontiguousarray(rows[start : start + CALIBRATION_BATCH]) for name, rows in calibration.items()
        }
