"""Bounds on what a graph computes for one pair: the elements of its values and its multiply-adds."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import onnx

from pairnet.errors import ModelError
from pairnet.wording import shown

LARGEST_VALUE = 2**24  # elements of any intermediate value, for one pair
MOST_ELEMENTS = 2**21  # of all values together, for one pair; the largest file of pairnet has a tenth
BATCH = 32  # pairs in one run, among which values without a batch axis, weights, are counted
MOST_MULTIPLY_ADDS = 2**30  # for one pair: order_net takes 2**24
SMALL = 16  # elements of an initializer that shape inference may need, such as the shape for a Reshape


def check_sizes(model: onnx.ModelProto) -> None:
    """ONNX's checker accepts the graph, and each value has one free axis at most, the first, and a bounded size."""
    outline = _without_weights(model)
    try:
        onnx.checker.check_model(outline)
        inferred = onnx.shape_inference.infer_shapes(outline, check_type=True, strict_mode=True, data_prop=True)
    except Exception as error:  # the checker's and the inference's exceptions have no common class
        reason = " ".join(ascii(str(error))[1:-1].replace("\\n", " ").split())
        raise ModelError(f"expected a model that ONNX's checker accepts, it reports: {reason}") from None
    values = [*inferred.graph.value_info, *inferred.graph.output]
    sizes = {}
    for value in values:
        axes = [axis.dim_value if axis.HasField("dim_value") else 0 for axis in value.type.tensor_type.shape.dim]
        if 0 in axes[1:] or math.prod(axes[1:]) * max(1, axes[0] if axes else 1) > LARGEST_VALUE:
            raise ModelError(f"{shown(value.name)}: expected at most {LARGEST_VALUE} elements, got {shown(axes)}")
        sizes[value.name] = axes
    if lacking := [name for node in model.graph.node for name in node.output if name not in sizes]:
        raise ModelError(f"{shown(lacking[0])}: expected a value of known shape, got none")
    elements = sum(math.prod(axes[1:]) if axes and not axes[0] else math.prod(axes) // BATCH for axes in sizes.values())
    if elements > MOST_ELEMENTS:
        raise ModelError(f"expected at most {MOST_ELEMENTS:,} elements in all values of a pair, got {elements:,}")
    constants = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    work = sum(_multiply_adds(node, sizes, constants) for node in model.graph.node)
    if work > MOST_MULTIPLY_ADDS:
        raise ModelError(f"expected at most {MOST_MULTIPLY_ADDS:,} multiply-adds for a pair, got {work:,}")


def _multiply_adds(node: onnx.NodeProto, sizes: Mapping[str, Sequence[int]], constants: Mapping[str, Any]) -> int:
    """Multiply-adds of a node for one pair; 0 for one that multiplies no weights.

    Each element of the result of a convolution or product sums over a column of the weights: all their elements divided
    by the number of outputs.
    """
    if node.op_type not in ("Conv", "Gemm", "MatMul"):
        return 0
    weights = next((constants[name] for name in node.input if name in constants and len(constants[name]) > 1), ())
    weights = weights or next((sizes[name] for name in node.input[1:] if len(sizes.get(name, ())) > 1), ())
    outputs = sizes[node.output[0]]
    channels = max(1, outputs[1] if len(outputs) > 1 else 1)
    return math.prod(map(int, outputs[1:])) * max(1, outputs[0]) * math.prod(map(int, weights)) // channels


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with inputs instead of its large initializers: fast to check, and with the same shapes."""
    outline = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = outline.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    for tensor in model.graph.initializer:
        if math.prod(tensor.dims) <= SMALL:
            graph.initializer.add().CopyFrom(tensor)
        else:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    size = outline.ByteSize()
    outline.DiscardUnknownFields()
    if outline.ByteSize() != size:
        raise ModelError("expected an ONNX model, got unknown fields: the file is damaged; export the run again")
    return outline
