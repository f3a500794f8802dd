"""A float32 graph -> int8, static, in QDQ form: 8-bit activations, 7-bit weights with a scale for each channel.

Weights are limited to -64..64, so that the sum of two products never exceeds 16 bits. x86 CPUs without VNNI compute it
in 16 bits and saturate, and a file would give other results there than where it was validated. The eighth bit did not
improve accuracy.

Three choices make the result both exact and fast (docs/results.md):
- A convolution over one or two channels stays float32: it has 9 to 50 products for each value, and in 8 bits ONNX
  Runtime spends more time on gathering them than on all later layers.
- Poolings move forward where no value changes (pool_first). After the first convolution, the pooling moves before its
  ReLU: ONNX Runtime moves a QuantizeLinear up through a MaxPool, which would then use a slow 8-bit implementation, and
  a ReLU stops that. After the other convolutions it moves before batch normalisation, which stays float32 and then has
  a quarter of the values.
- The layer that computes the scores stays float32: 8 bits would round every probability.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from pairnet.artifact.runtime import ort
from pairnet.exporting.eight_bits import REDUCED_RANGE, batches
from pairnet.exporting.rounding import Arrays

OPERATORS = ("Conv", "Gemm", "MaxPool", "Relu", "Reshape")
SCORES = ("score", "digit_scores")
FEW_CHANNELS = 2
WARNINGS, ERRORS = 2, 3  # ONNX Runtime's levels


def quantise(model: onnx.ModelProto, calibration: Arrays) -> onnx.ModelProto:
    """The model in 8 bits, with the same inputs, outputs and metadata.

    calibration: rows for each input of the model, from training pairs. Their smallest and largest values in each layer
    determine its scale.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._batches = batches(calibration)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self._batches, None)

    prepared = pool_first(model)
    onnx.helper.set_model_props(
        prepared, {"onnx.quant.pre_process": "onnxruntime.quant"}
    )  # suppresses the advice to preprocess
    with tempfile.TemporaryDirectory() as folder:
        quantised = Path(folder) / "int8.onnx"
        ort.set_default_logger_severity(ERRORS)  # the sessions of the calibration print irrelevant warnings
        try:
            quantize_static(
                prepared,
                str(quantised),
                Reader(),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=REDUCED_RANGE,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=list(OPERATORS),
                nodes_to_exclude=kept_in_float(prepared),
            )
        finally:
            ort.set_default_logger_severity(WARNINGS)  # ONNX Runtime's default
        result = onnx.load(quantised)
    del result.metadata_props[:]
    result.metadata_props.extend(model.metadata_props)
    result.producer_name, result.producer_version = model.producer_name, model.producer_version
    return onnx.shape_inference.infer_shapes(result, check_type=True, strict_mode=True, data_prop=True)


def pool_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function, to the bit, with poolings before batch normalisation and the first also before its ReLU.

    The maximum of four values is at the same place before and after an increasing function. A normalisation with a
    scale that is not positive keeps its place.
    """
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in model.graph.node]
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    sources = {output: node for node in nodes for output in node.output}

    def may_follow(node: onnx.NodeProto) -> bool:
        if node.op_type == "BatchNormalization":
            return bool((onnx.numpy_helper.to_array(weights[node.input[1]]) > 0).all())
        source = sources.get(node.input[0])
        return (
            node.op_type == "Relu"
            and source is not None
            and source.op_type == "Conv"
            and not _profits_from_8_bits(source, weights)
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
    """Names of the nodes that stay float32: those before the first layer that profits from 8 bits, and the scores'."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    early = {value.name for value in model.graph.input}
    kept, sources = [], {output: node.name for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        if early & set(node.input) and not _profits_from_8_bits(node, weights):
            early.update(node.output)
            kept.append(node.name)
        if node.name in SCORES:
            kept += [node.name, sources[node.input[0]]]
    return kept


def _profits_from_8_bits(node: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto]) -> bool:
    return node.op_type == "Gemm" or (node.op_type == "Conv" and weights[node.input[1]].dims[1] > FEW_CHANNELS)
