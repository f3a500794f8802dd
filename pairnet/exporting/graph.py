"""The ONNX graph of a variant and its weights, with one node for each layer of the paper.

The graph is built from the table of variants and not traced. torch.onnx.export(dynamo=True) computes correct values,
but names them val_19, merges two weights that happen to be equal, writes the exporter's source paths into the file, and
computes rows that a pooling then drops. The layers of `notation.py` already define the graph.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pairnet.artifact.design import Axes, Design, Port
from pairnet.data.pairs import Moments
from pairnet.errors import ArgumentError
from pairnet.models.notation import (
    Activation,
    BatchNorm,
    Conv,
    Dropout,
    GlobalPool,
    Layer,
    Linear,
    Order,
    Pool,
    Shape,
    Softmax,
)
from pairnet.models.steps import steps
from pairnet.models.variants import CLASSES, IMAGE, PAIR, Variant
from pairnet.version import __version__

Weights = Mapping[str, NDArray[Any]]
"""The state of a network, by torch's names (tower.conv1.weight)."""

_FC = {"transB": 1}  # torch stores the weights of a fully-connected layer as [outputs,inputs]
ACTIVATIONS: Mapping[Activation, str] = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}
TYPES = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}


def build(design: Design, weights: Weights, moments: Moments) -> onnx.ModelProto:
    """The model with its weights.  Raises ArgumentError for a head that cannot be split between two images."""
    graph = _Graph(half=design.half)
    if design.part == "head":
        _split_head(graph, design, weights)
    else:
        pixels = _pixels(graph, design, moments)
        if design.part == "encoder":
            _encoder(graph, pixels, design.variant, weights)
        elif design.variant.net:
            layers = design.variant.net_layers
            _probability(graph, _stack(graph, pixels, layers, PAIR, "layers", design.variant, weights, scores=True))
        else:
            _twin(graph, pixels, design, weights)
    return _model(graph, design)


@dataclass
class _Graph:
    """Nodes and weights in the order of their addition; a value has the name of the node that computes it."""

    half: bool
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, onnx.TensorProto] = field(default_factory=dict)
    known: list[onnx.ValueInfoProto] = field(default_factory=list)  # shapes that inference cannot derive with names

    def add(
        self, operator: str, inputs: Sequence[str], name: str, attributes: Mapping[str, int | list[int]] | None = None
    ) -> str:
        """Adds one node and returns the name of its only output."""
        node = helper.make_node(operator, inputs, [name], name=name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in (attributes or {}).items())
        self.nodes.append(node)
        return name

    def weight(self, name: str, value: NDArray[Any]) -> str:
        """Adds a trained or constant value, in float16 if the graph computes in it, and returns its name."""
        if self.half and value.dtype == np.float32:
            value = value.astype(np.float16)
        self.weights[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def exact(self, name: str, value: NDArray[Any]) -> str:
        """Adds a value that keeps its type in any graph, and returns its name."""
        self.weights[name] = numpy_helper.from_array(value, name)
        return name

    def reshape(self, x: str, axes: Axes, name: str) -> str:
        """Constant sizes, -1 for the named axis: nothing is computed from shapes when the graph runs."""
        shape = np.array([-1 if isinstance(size, str) else size for size in axes], np.int64)
        self.known.append(helper.make_tensor_value_info(name, TYPES["float16" if self.half else "float32"], axes))
        constant = f"{name.removesuffix('.float16')}.shape"  # the same in any precision
        return self.add("Reshape", [x, self.exact(constant, shape)], name)

    def halves(self, x: str, each: int) -> tuple[str, str]:
        """The values of the first image and those of the second: two parts of size `each` along axis 1."""
        inputs = [x, self.exact("each", np.array([each, each], np.int64))]
        self.nodes.append(helper.make_node("Split", inputs, ["first", "second"], name="halves", axis=1))
        return "first", "second"

    def cast(self, x: str, dtype: str, name: str) -> str:
        """x converted to another type."""
        return self.add("Cast", [x], name, {"to": TYPES[dtype]})


def _pixels(graph: _Graph, design: Design, moments: Moments) -> str:
    """The input as [N,2,14,14] (of an encoder [N,1,14,14]), normalised with the same bits as in training."""
    x = design.inputs[0].name
    if design.input_kind == "images":
        x = graph.cast(x, "float32", "grey")
        x = graph.add("AveragePool", [x], "pooled", {"kernel_shape": [2, 2], "strides": [2, 2]})
        x = graph.add("Sub", [x, graph.exact("pixel.mean", np.array(moments.mean, np.float32))], "centred")
        # a product, as in csrc/kernels_body.h: a quotient would round differently
        x = graph.add("Mul", [x, graph.exact("pixel.inverse_std", np.array(1 / moments.std, np.float32))], "normalised")
    return graph.cast(x, "float16", "half") if design.half else x


def _twin(graph: _Graph, pixels: str, design: Design, weights: Weights) -> None:
    """Both images through one tower as one batch of 2N, or each through its own; then the head."""
    variant, size = design.variant, design.features
    if variant.shared:
        single = graph.reshape(pixels, ("2N", *IMAGE), "single_images")  # first and second in turn
        features = _stack(graph, single, variant.tower_layers, IMAGE, "tower", variant, weights)
    else:
        towers = [
            _stack(graph, image, variant.tower_layers, IMAGE, name, variant, weights)
            for image, name in zip(graph.halves(pixels, 1), ("tower", "other_tower"), strict=True)
        ]
        features = graph.add("Concat", towers, "both", {"axis": 1})
    pair = graph.reshape(features, ("N", 2 * size), "pair_features")
    if variant.orders:
        _order(graph, *graph.halves(pair, size), size)
    else:
        score = _stack(graph, pair, variant.head_layers, (2 * size,), "head", variant, weights, scores=True)
        _probability(graph, score)
    if design.with_digits:
        _digits(graph, features, design, weights)


def _digits(graph: _Graph, features: str, design: Design, weights: Weights) -> None:
    """Features of single images -> the output [N,2,10]: from the auxiliary classifier, or from the tower itself."""
    variant, size = design.variant, design.features
    if not variant.orders:
        single = graph.reshape(features, ("2N", size), "single_features")
        layers = variant.auxiliary_layers
        features = _stack(graph, single, layers, (size,), "auxiliary", variant, weights, scores=True)
    name = "digit_scores"
    if variant.orders:
        name = "digits.float16" if graph.half else "digits"
    digits = graph.reshape(features, ("N", 2, CLASSES), name)
    if graph.half:
        digits = graph.cast(digits, "float32", "digits" if variant.orders else "digit_scores.float32")
    if not variant.orders:
        graph.add("Softmax", [digits], "digits", {"axis": -1})


def _encoder(graph: _Graph, pixels: str, variant: Variant, weights: Weights) -> None:
    features = _stack(graph, pixels, variant.tower_layers, IMAGE, "tower", variant, weights)
    if graph.half:
        features = graph.cast(features, "float32", "tower.float32")
    graph.add("Flatten", [features], "features", {"axis": 1})


def _split_head(graph: _Graph, design: Design, weights: Weights) -> None:
    """first [N,F] and second [N,F] -> probability.

    The first layer is split into two halves, one for each side, and their results are added. So the features are not
    concatenated, and one row on either side is compared with each row of the other (broadcasting, as in NumPy).
    """
    size = design.features
    first, second = ("first", "second")
    if graph.half:
        first, second = (graph.cast(name, "float16", f"{name}.float16") for name in (first, second))
    layer, *rest = design.variant.head_layers
    if isinstance(layer, Order):
        _order(graph, first, second, size)
        return
    if not isinstance(layer, Linear) or not rest:
        raise ArgumentError(
            f"`split`: expected a head that begins with a fully-connected layer and has more, or an order, got "
            f"{design.variant.head} of {design.variant.name}: omit `split`"
        )
    weight = weights["head.fc1.weight"]
    left = graph.add("Gemm", [first, graph.weight("head.fc1.weight.first", weight[:, :size])], "head.fc1.first", _FC)
    parts = [graph.weight("head.fc1.weight.second", weight[:, size:])]
    parts.append(graph.weight("head.fc1.bias", weights["head.fc1.bias"]))
    right = graph.add("Gemm", [second, *parts], "head.fc1.second", _FC)
    variant, x = design.variant, graph.add("Add", [left, right], "head.fc1")
    if variant.activation != "none":
        x = graph.add(ACTIVATIONS[variant.activation], [x], f"head.{variant.activation}1")
    x = _stack(graph, x, tuple(rest), (layer.outputs,), "head", variant, weights, scores=True, number=1)
    _probability(graph, x)


def _order(graph: _Graph, first: str, second: str, classes: int) -> None:
    """Class probabilities p, q [N,C] of two images -> the output: the sum of p_i q_j over i <= j."""
    at_least = graph.weight("at_least", np.tri(classes, dtype=np.float32))  # [j,i] = 1 where j >= i
    x = graph.add("MatMul", [second, at_least], "head.at_least")  # [N,C]: P(second >= i)
    x = graph.add("Mul", [first, x], "head.joint")
    # A product with ones: ONNX Runtime's ReduceSum rounds a row differently in batches of different sizes.
    x = graph.add("MatMul", [x, graph.weight("ones", np.ones((classes, 1), np.float32))], "head.sum")  # [N,1]
    x = graph.reshape(x, ("N",), "probability.float16" if graph.half else "probability")
    if graph.half:
        graph.cast(x, "float32", "probability")


def _probability(graph: _Graph, score: str) -> None:
    """Score [N,1] or [N,1,1,1] -> the output."""
    score = graph.reshape(score, ("N",), "score")
    if graph.half:
        score = graph.cast(score, "float32", "score.float32")
    graph.add("Sigmoid", [score], "probability")


def _stack(
    graph: _Graph,
    x: str,
    layers: tuple[Layer, ...],
    shape: Shape,
    prefix: str,
    variant: Variant,
    weights: Weights,
    *,
    scores: bool = False,
    number: int = 0,
) -> str:
    """Nodes for `layers` of `variant`, named by `steps` as PyTorch's modules are (conv1, relu1, norm1, pool1, ...).

    `number` is the number of conv and fc layers that were added before.
    """
    walk = steps(layers, shape, activation=variant.activation, scores=scores, number=number)
    for index, step in enumerate(walk):
        layer, name = step.layer, f"{prefix}.{step.name}"
        match layer:
            case Conv():
                attributes = _conv(layer, layers[index + 1 :], step.before)
                x = graph.add("Conv", [x, *_trained(graph, name, weights)], name, attributes)
            case Linear():
                if step.flattens:
                    x = graph.add("Flatten", [x], f"{prefix}.flatten{step.number}", {"axis": 1})
                x = graph.add("Gemm", [x, *_trained(graph, name, weights)], name, _FC)
            case BatchNorm():
                parts = ("weight", "bias", "running_mean", "running_var")
                x = graph.add("BatchNormalization", [x, *_trained(graph, name, weights, parts)], name)
            case Pool(size):
                x = graph.add("MaxPool", [x], name, {"kernel_shape": [size, size], "strides": [size, size]})
            case GlobalPool():
                pool = f"{prefix}.pool{step.number}"
                if any(node.name == pool for node in graph.nodes):  # a P(k) before it
                    pool = f"{prefix}.global_pool{step.number}"
                x = graph.add("GlobalAveragePool", [x], pool)
                x = graph.add("Flatten", [x], name, {"axis": 1})
            case Softmax():
                x = graph.add("Softmax", [x], name, {"axis": -1})
            case Dropout():
                pass  # has no effect after training
        if step.activation_name:
            x = graph.add(ACTIVATIONS[step.activation], [x], f"{prefix}.{step.activation_name}")
    return x


def _trained(graph: _Graph, name: str, weights: Weights, parts: Sequence[str] = ("weight", "bias")) -> list[str]:
    return [graph.weight(f"{name}.{part}", weights[f"{name}.{part}"]) for part in parts]


def _conv(layer: Conv, later: tuple[Layer, ...], before: Shape) -> dict[str, int | list[int]]:
    """Attributes of a convolution that receives `before` and is followed by `later` layers.

    Rows and columns that the next pooling drops at the right and lower edge (one of 7, one of 3) are not computed: the
    padding there is omitted. This changes no value that is used, and saves 37 % of the multiply-adds of final_model's
    tower.
    """
    padding = layer.kernel // 2 if layer.padded else 0
    following = next((after for after in later if not isinstance(after, BatchNorm | Dropout)), None)
    side = layer.output(before)[1]
    dropped = min(side % following.size, padding) if isinstance(following, Pool) else 0
    end = padding - dropped
    size, stride = [layer.kernel, layer.kernel], [layer.stride, layer.stride]
    return {"kernel_shape": size, "strides": stride, "pads": [padding, padding, end, end]}


def _model(graph: _Graph, design: Design) -> onnx.ModelProto:
    made = helper.make_graph(
        graph.nodes,
        f"{design.variant.name}.{design.part}",
        [_value(port) for port in design.inputs],
        [_value(port) for port in design.outputs],
        list(graph.weights.values()),
        value_info=[value for value in graph.known if value.name not in {port.name for port in design.outputs}],
        doc_string=design.variant.structure,
    )
    opsets = [helper.make_opsetid("", design.opset)]
    model = helper.make_model(
        made,
        opset_imports=opsets,
        ir_version=helper.find_min_ir_version_for(opsets),
        producer_name="pairnet",
        producer_version=__version__,
    )
    return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)


def _value(port: Port) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(port.name, TYPES[port.dtype], port.axes)
