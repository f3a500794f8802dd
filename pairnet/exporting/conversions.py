"""Which values a lower precision converts, told from the float32 graph: a file converts these and no others.

quantise.py names the nodes that stay float32 and leaves the rest to ONNX Runtime; graph.py adds its casts where it
builds a node. Neither is used here.
"""

import onnx
from onnx import TensorProto

SCORES = {"score", "digit_scores"}  # values
SMALL = 2  # channels of the input of a convolution that is faster in float32


def layers_in_8_bits(exact: onnx.ModelProto) -> set[str]:
    """Names of the layers with weights in 8 bits.

    Those are all but the last of a classifier, whose values are scores, and convolutions over one or two channels
    before any other layer.
    """
    sizes = {tensor.name: list(tensor.dims) for tensor in exact.graph.initializer}
    final = {node.input[0] for node in exact.graph.node if node.output[0] in SCORES}
    layers, later = set[str](), set[str]()  # later: values that depend on a layer of more channels
    for node in exact.graph.node:
        large = node.op_type == "Gemm" or (node.op_type == "Conv" and sizes[node.input[1]][1] > SMALL)
        if large or later & set(node.input):
            later.update(node.output)
            if node.op_type in ("Gemm", "Conv") and node.output[0] not in final:
                layers.add(node.name)
    return layers


def values_in_8_bits(exact: onnx.ModelProto) -> set[str]:
    """Values that are 8 bits: inputs and outputs of those layers, and what poolings and reshapes make of them.

    A ReLU is a part of its layer.
    """
    layers, values = layers_in_8_bits(exact), set[str]()
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in exact.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in exact.graph.node:
        if node.name in layers:
            after = readers.get(node.output[0], [])
            is_relu = [each.op_type for each in after] == ["Relu"]
            values |= {node.input[0], after[0].output[0] if is_relu else node.output[0]}
        elif node.op_type in ("MaxPool", "Reshape") and node.input[0] in values:
            values.add(node.output[0])
    return values


def casts(exact: onnx.ModelProto) -> list[tuple[str, int]]:
    """The casts of an fp16 file, as the value of the float32 graph and the type: pixels down, each output up.

    Sigmoid and softmax of an output are float32.
    """
    source = {output: node for node in exact.graph.node for output in node.output}
    down = ["normalised"] if "normalised" in source else [value.name for value in exact.graph.input]
    up = [
        value.name if source[value.name].op_type == "Reshape" else source[value.name].input[0]
        for value in exact.graph.output
    ]
    return [*((name, int(TensorProto.FLOAT16)) for name in down), *((name, int(TensorProto.FLOAT)) for name in up)]
