"""How much a graph computes: the shape of each of its values, and the sums over them, without running it.

Shapes are inferred twice: with free axes, to see which values grow with the number of pairs, and for SAMPLE pairs,
since a free axis may be many times that number.
"""

import math
from collections.abc import Iterable, Mapping

import onnx
from onnx import TensorProto, helper

from pairnet.artifact.limits import BATCH, LARGEST_VALUE, MOST_ELEMENTS, MOST_MULTIPLY_ADDS, SAMPLE
from pairnet.errors import ModelError
from pairnet.wording import shown

SMALL = 16  # elements of an initializer that shape inference may need, such as the shape for a Reshape


def check_sizes(model: onnx.ModelProto) -> None:
    """ONNX's checker accepts the graph, and each value has one free axis at most, the first, and a bounded size.

    Raises ModelError otherwise.
    """
    outline, graph = _without_weights(model), model.graph
    weights = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    shapes = _shapes(outline, weights)
    if lacking := [name for node in graph.node for name in node.output if name not in shapes]:
        raise ModelError(f"{shown(lacking[0])}: expected a value of known shape, got none")
    for name, axes in shapes.items():
        if min(axes, default=1) < 0 or 0 in axes[1:] or _elements(axes) > LARGEST_VALUE:
            raise ModelError(f"{shown(name)}: expected at most {LARGEST_VALUE} elements, got {shown(axes)}")
    for value in list(outline.graph.input)[: len(graph.input)]:  # a free axis may be many times the number of pairs
        value.type.tensor_type.shape.dim[0].dim_value = SAMPLE
    del outline.graph.value_info[:]
    sampled = _shapes(outline, weights)
    sizes = {name: _elements(axes) / (1 if all(shapes[name]) else SAMPLE) for name, axes in sampled.items()}
    for name, size in sizes.items():
        if 0 in sampled[name] or size > LARGEST_VALUE:
            raise ModelError(
                f"{shown(name)}: expected at most {LARGEST_VALUE} elements for a pair, got {shown(sampled[name])} for "
                f"{SAMPLE}"
            )
    elements = sum(size / (BATCH if all(shapes[name]) else 1) for name, size in sizes.items())
    if elements > MOST_ELEMENTS:
        raise ModelError(f"expected at most {MOST_ELEMENTS:,} elements in all values of a pair, got {elements:,.0f}")
    products = [node for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    work = sum(sizes[node.output[0]] * _products(node, sampled) for node in products)
    if work > MOST_MULTIPLY_ADDS:
        raise ModelError(f"expected at most {MOST_MULTIPLY_ADDS:,} multiply-adds for a pair, got {work:,.0f}")


def _shapes(outline: onnx.ModelProto, weights: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """The axes of each value of known rank, 0 for a free one.  ModelError if ONNX's checker refuses the graph."""
    try:
        onnx.checker.check_model(outline)
        graph = onnx.shape_inference.infer_shapes(outline, check_type=True, strict_mode=True, data_prop=True).graph
    except Exception as error:  # the checker's and the inference's exceptions have no common class
        reason = " ".join(ascii(str(error))[1:-1].replace("\\n", " ").split())
        raise ModelError(f"expected a model that ONNX's checker accepts, it reports: {reason}") from None
    shapes = dict(weights)
    for value in (*graph.input, *graph.value_info, *graph.output):
        if value.type.tensor_type.HasField("shape"):
            shapes[value.name] = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
    return shapes


def _elements(axes: Iterable[int]) -> int:
    """Elements of a value; a free axis counts as 1."""
    return math.prod(max(1, size) for size in axes)


def _products(node: onnx.NodeProto, shapes: Mapping[str, list[int]]) -> int:
    """Multiply-adds for one result of a convolution or product: a sum over a column of the weights."""
    weights = shapes.get(node.input[1], [])
    return _elements(weights[:-1] if node.op_type == "MatMul" else weights[1:])


def small(tensors: Iterable[TensorProto]) -> list[TensorProto]:
    """Initializers whose values shape inference may need, such as the shape for a Reshape."""
    return [tensor for tensor in tensors if math.prod(tensor.dims) <= SMALL]


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with inputs instead of its large initializers: fast to check, and with the same shapes."""
    graph, constants = model.graph, small(model.graph.initializer)
    kept = {tensor.name for tensor in constants}
    large = [
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in graph.initializer
        if tensor.name not in kept
    ]
    outline = helper.make_graph(
        graph.node, graph.name, [*graph.input, *large], graph.output, constants, value_info=graph.value_info
    )
    made = helper.make_model(outline, opset_imports=model.opset_import, ir_version=model.ir_version)
    size = made.ByteSize()
    made.DiscardUnknownFields()
    if made.ByteSize() != size:
        raise ModelError("expected an ONNX model, got unknown fields: the file is damaged; export the run again")
    return made
