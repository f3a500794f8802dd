"""The float32 graph of a file against the trained network itself: every constant bit by bit, every layer's attributes.

`graph.py` builds the graph in any precision, so a fault there is in the float32 graph, too, and a few answers need not
show it. What is wanted here comes from PyTorch's modules and from the shapes of the notation, not from that code.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from pairnet.artifact.design import Design
from pairnet.data.pairs import Moments
from pairnet.errors import GraphError, WeightsError
from pairnet.models.networks import GlobalMean, JointNetwork, TwinNetwork
from pairnet.models.variants import CLASSES, IMAGE

OPERATORS: Mapping[type[nn.Module], str] = {
    nn.Conv2d: "Conv",
    nn.Linear: "Gemm",
    nn.BatchNorm2d: "BatchNormalization",
    nn.MaxPool2d: "MaxPool",
    nn.ReLU: "Relu",
    nn.Sigmoid: "Sigmoid",
    nn.Tanh: "Tanh",
    nn.LogSoftmax: "Softmax",  # of a graph, whose outputs are probabilities
    GlobalMean: "Flatten",  # after the pooling
}
"""The operator of the node that has the name of a module; other modules have no node by their name."""

ACTIVATIONS = [OPERATORS[module] for module in (nn.ReLU, nn.Sigmoid, nn.Tanh)]

FIXED: Mapping[str, Mapping[str, Any]] = {
    "AveragePool": {"kernel_shape": [2, 2], "strides": [2, 2]},
    "Cast": {"to": TensorProto.FLOAT},
    "Concat": {"axis": 1},
    "Flatten": {"axis": 1},
    "Gemm": {"transB": 1},
    "Softmax": {"axis": -1},
    "Split": {"axis": 1},
}
"""Attributes of the operators that have the same ones in every graph; operators that are not named here have none."""

PARTS: Mapping[str, tuple[str, ...]] = {
    "Conv": ("weight", "bias"),
    "Gemm": ("weight", "bias"),
    "BatchNormalization": ("weight", "bias", "running_mean", "running_var"),
}
"""The trained values of a node, in the order of its inputs."""

SPLIT = {
    "head.fc1.first": ["head.fc1.weight.first"],
    "head.fc1.second": ["head.fc1.weight.second", "head.fc1.bias"],
}
"""Weights of the two nodes of a head whose first layer is split, by node."""

Network = JointNetwork | TwinNetwork


def check_network(file: str, exact: onnx.ModelProto, network: Network, design: Design, moments: Moments) -> None:
    """Raises WeightsError or GraphError unless a float32 graph has the network's weights and layers.

    file: what messages call the graph. design: what the file is to hold. moments: of the training pairs' pixels.
    """
    modules = {
        name: module
        for name, module in network.named_modules()
        if name.split(".")[0] in _prefixes(design) and type(module) in OPERATORS
    }
    _check_constants(file, exact, _constants(exact, network, modules, design, moments))
    _check_layers(file, exact, modules)


def _prefixes(design: Design) -> set[str]:
    """The parts of the network that a file holds."""
    if design.part != "joint":
        return {"tower" if design.part == "encoder" else "head"}
    return {"layers", "tower", "other_tower", "head", *(["auxiliary"] if design.with_digits else [])}


def _constants(
    exact: onnx.ModelProto, network: Network, modules: Mapping[str, nn.Module], design: Design, moments: Moments
) -> dict[str, NDArray[Any]]:
    """The initializers that the graph must have, by name."""
    state = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    wanted = {
        f"{name}.{part}": state[f"{name}.{part}"]
        for name, module in modules.items()
        for part in PARTS.get(OPERATORS[type(module)], ())
    }
    variant, sizes = design.variant, dict[str, list[int]]()
    size = design.features if not variant.net else 0
    if design.part != "head" and design.input_kind == "images":
        wanted["pixel.mean"] = np.array(moments.mean, np.float32)
        wanted["pixel.inverse_std"] = np.array(1 / moments.std, np.float32)
    if design.part == "head" and not variant.orders:
        both = wanted.pop("head.fc1.weight")
        wanted["head.fc1.weight.first"], wanted["head.fc1.weight.second"] = np.split(both, [size], axis=1)
    if design.part == "joint" and not variant.net:
        sizes["pair_features"] = [-1, 2 * size]
        if variant.shared:
            sizes["single_images"] = [-1, *IMAGE]
        if variant.orders or not variant.shared:  # a graph splits either the images or the features
            wanted["each"] = np.full(2, size if variant.orders else 1, np.int64)
        if design.with_digits:
            sizes |= {"digits": [-1, 2, CLASSES]} if variant.orders else {"digit_scores": [-1, 2, CLASSES]}
            sizes |= {} if variant.orders else {"single_features": [-1, size]}
    if design.part != "encoder":
        sizes["probability" if variant.orders else "score"] = [-1]
        if variant.orders:
            classes = np.arange(size)
            wanted["at_least"] = (classes[:, None] >= classes).astype(np.float32)
            wanted["ones"] = np.full((size, 1), 1, np.float32)
    return wanted | {f"{name}.shape": np.array(shape, np.int64) for name, shape in sizes.items()}


def _check_constants(file: str, exact: onnx.ModelProto, wanted: Mapping[str, NDArray[Any]]) -> None:
    got = {tensor.name: numpy_helper.to_array(tensor) for tensor in exact.graph.initializer}
    if other := got.keys() ^ wanted.keys():
        name = min(other)
        raise WeightsError(
            f"{file}: expected {'no ' if name in got else ''}{name}, as in the trained network, got "
            f"{'it' if name in got else 'none'}: the graph is built wrongly, report this"
        )
    for name, array in got.items():
        value = np.ascontiguousarray(wanted[name])
        if (array.dtype, array.shape) != (value.dtype, wanted[name].shape):
            raise WeightsError(
                f"{file}: expected {name} {value.dtype} {list(value.shape)}, as in the trained network, got "
                f"{array.dtype} {list(array.shape)}: the graph is built wrongly, report this"
            )
        bits = [np.ascontiguousarray(each).reshape(-1).view(f"u{each.itemsize}") for each in (array, value)]
        if (wrong := bits[0] != bits[1]).any():
            at = int(np.argmax(wrong))
            raise WeightsError(
                f"{file}: expected {name} {list(map(int, np.unravel_index(at, array.shape)))} to be "
                f"{value.reshape(-1)[at]}, as in the trained network, got {array.reshape(-1)[at]}: {int(wrong.sum())} "
                f"of {array.size} values differ: the graph is built wrongly, report this"
            )


def _check_layers(file: str, exact: onnx.ModelProto, modules: Mapping[str, nn.Module]) -> None:
    nodes = {node.name: node for node in exact.graph.node}

    def differs(what: str, wanted: object, got: object) -> None:
        if wanted != got:
            raise GraphError(
                f"{file}: {what}: expected {wanted}, as in the trained network, got {got}: the graph is built "
                "wrongly, report this"
            )

    for name, module in modules.items():
        split = name == "head.fc1" and "head.fc1.first" in nodes
        operator = "Add" if split else OPERATORS[type(module)]
        differs(f"operator of node {name}", operator, nodes[name].op_type if name in nodes else "none")
    named = set(OPERATORS.values()) - {"Flatten", "Softmax"}  # those have nodes without modules, too
    for node in exact.graph.node:
        if node.op_type in named and node.name not in (*SPLIT, "probability"):
            differs(f"module of node {node.name}", True, node.name in modules)
        attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        match modules.get(node.name):
            case nn.Conv2d() as conv:
                wanted: Mapping[str, Any] = {
                    "kernel_shape": list(conv.kernel_size),
                    "strides": list(conv.stride),
                    "pads": _pads(exact, node, conv, attributes.get("pads", [])),
                }
            case nn.MaxPool2d() as pool:
                wanted = dict.fromkeys(("kernel_shape", "strides"), [pool.kernel_size] * 2)
            case _:
                wanted = FIXED.get(node.op_type, {})
        differs(f"attributes of node {node.name}", wanted, attributes)
        if node.op_type in PARTS:
            own = SPLIT.get(node.name) or [f"{node.name}.{part}" for part in PARTS[node.op_type]]
            differs(f"weights of node {node.name}", own, list(node.input[1:]))


def _pads(exact: onnx.ModelProto, node: onnx.NodeProto, conv: nn.Conv2d, got: list[int]) -> list[int]:
    """The padding of a convolution: the module's, or less at the end where the next pooling drops what it adds."""
    padding, kernel, stride = int(conv.padding[0]), conv.kernel_size[0], conv.stride[0]
    full = [padding] * 4
    if len(got) != 4 or got[2] != got[3] or not 0 <= got[3] <= padding:
        return full
    shapes = {
        value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in [*exact.graph.value_info, *exact.graph.input]
    }
    size = shapes[node.input[0]][2]
    sides = [(size + padding + end - kernel) // stride + 1 for end in (padding, got[3])]
    later = iter(exact.graph.node[list(exact.graph.node).index(node) + 1 :])
    following = next((each for each in later if each.op_type not in ("BatchNormalization", *ACTIVATIONS)), None)
    if following is not None and following.op_type == "MaxPool":
        pools = [int(each.ints[0]) for each in following.attribute if each.name == "strides"]
        if len({side // pool for side in sides for pool in pools}) == 1:
            return [padding, padding, got[3], got[3]]
    return full
