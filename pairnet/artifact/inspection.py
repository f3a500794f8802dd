"""Checks of an exported file before anything runs it: its size, its graph against an allow-list, its weights' checksum.

A file may be damaged or hostile. ONNX Runtime executes any valid graph, also one that never ends or that allocates all
memory, so a graph is refused unless it uses only what `pairnet export` writes: its operators, their attributes and
values, its protobuf fields and its sizes.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto

from pairnet.artifact.design import NEWEST_OPSET, OLDEST_OPSET, SIDE, Port, input_ports, output_ports
from pairnet.artifact.metadata import FileMetadata, from_text
from pairnet.artifact.sizes import LARGEST_VALUE, check_sizes
from pairnet.artifact.text import is_plain, shown
from pairnet.errors import ModelError

LARGEST_FILE = 256 * 2**20  # bytes; the largest variant of the paper has 4 MB
MOST_NODES = 1000
IR_VERSIONS = range(7, 14)

Test = Callable[[Mapping[str, Any]], bool]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How `pairnet export` writes one operator."""

    inputs: tuple[int, ...]  # the numbers of inputs that occur
    outputs: int = 1
    attributes: tuple[tuple[str, ...], ...] = ((),)  # the sets of names that occur
    test: Test = field(default=lambda _: True)  # of the attributes' values


def _is_window(values: Mapping[str, Any]) -> bool:
    """A pooling without overlap: square, as large as its stride."""
    size = values["kernel_shape"]
    return len(size) == 2 and size[0] == size[1] and 1 <= size[0] <= SIDE and values["strides"] == size


def _is_convolution(values: Mapping[str, Any]) -> bool:
    kernel, strides, pads = values["kernel_shape"], values["strides"], values["pads"]
    square = len(kernel) == len(strides) == 2 and kernel[0] == kernel[1] and strides[0] == strides[1]
    bounded = square and 1 <= kernel[0] <= SIDE and 1 <= strides[0] <= SIDE and len(pads) == 4
    return bounded and pads[0] == pads[1] and pads[2] == pads[3] and 0 <= pads[2] <= pads[0] <= kernel[0] // 2


def _is(**expected: tuple[int, ...]) -> Test:
    """Each attribute has one of the expected values."""
    return lambda values: all(value in expected[name] for name, value in values.items())


EARLIER = "ReduceSum"
"""An operator in files of earlier versions; an export does not write it any more."""

_POOL = Rule(inputs=(1,), attributes=(("kernel_shape", "strides"),), test=_is_window)
RULES = {
    "Add": Rule(inputs=(2,)),
    "AveragePool": _POOL,
    "BatchNormalization": Rule(inputs=(5,)),
    "Cast": Rule(inputs=(1,), attributes=(("to",),), test=_is(to=(TensorProto.FLOAT, TensorProto.FLOAT16))),
    "Concat": Rule(inputs=(2,), attributes=(("axis",),), test=_is(axis=(1,))),
    "Conv": Rule(inputs=(3,), attributes=(("kernel_shape", "pads", "strides"),), test=_is_convolution),
    "DequantizeLinear": Rule(inputs=(3,), attributes=((), ("axis",)), test=_is(axis=(0,))),
    "Flatten": Rule(inputs=(1,), attributes=(("axis",),), test=_is(axis=(1,))),
    "Gemm": Rule(inputs=(2, 3), attributes=(("transB",),), test=_is(transB=(1,))),
    "GlobalAveragePool": Rule(inputs=(1,)),
    "MatMul": Rule(inputs=(2,)),
    "MaxPool": _POOL,
    "Mul": Rule(inputs=(2,)),
    "QuantizeLinear": Rule(inputs=(3,)),
    EARLIER: Rule(inputs=(2,), attributes=(("keepdims",),), test=_is(keepdims=(0,))),
    "Relu": Rule(inputs=(1,)),
    "Reshape": Rule(inputs=(2,)),
    "Sigmoid": Rule(inputs=(1,)),
    "Softmax": Rule(inputs=(1,), attributes=(("axis",),), test=_is(axis=(-1,))),
    "Split": Rule(inputs=(2,), outputs=2, attributes=(("axis",),), test=_is(axis=(1,))),
    "Sub": Rule(inputs=(2,)),
}
"""The operators of the domain "" that `pairnet export` writes; tests compare them with every file it can write."""

FIELDS = {
    "ModelProto": (*("ir_version", "producer_name", "producer_version", "graph", "opset_import", "metadata_props"),),
    "GraphProto": ("node", "name", "initializer", "doc_string", "input", "output", "value_info"),
    "NodeProto": ("input", "output", "name", "op_type", "attribute"),
    "AttributeProto": ("name", "type", "i", "ints"),
    "TensorProto": ("dims", "data_type", "name", "raw_data", "float_data", "int32_data", "int64_data", "data_location"),
}
"""Protobuf fields that may be set: no functions, subgraphs, other domains, sparse or external data."""

TENSOR_TYPES = (
    *(
        TensorProto.FLOAT,
        TensorProto.FLOAT16,
        TensorProto.INT64,
        TensorProto.INT32,
        TensorProto.INT8,
        TensorProto.UINT8,
    ),
)


def read_file(path: Path) -> bytes:
    """The bytes of a file, read once.  Raises ModelError if it cannot be read or is larger than LARGEST_FILE."""
    if not path.is_file():
        got = "a folder" if path.is_dir() else "no such file"
        raise ModelError(f"{path}: expected an ONNX file, got {got}: `pairnet export` writes one")
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise ModelError(f"{path}: expected a readable file, got: {error.strerror}") from None
    if len(content) > LARGEST_FILE:
        raise ModelError(f"{path}: expected an ONNX file of at most {LARGEST_FILE / 2**20:.0f} MiB, got a larger file")
    return content


def inspect(content: bytes, name: str) -> FileMetadata:
    """The metadata of a serialised model, after all checks.  `name` stands for the model in messages.

    The checks, SHA-256 of the weights included, take 3 ms for a file of 0.6 MB and 11 ms for one of 3.7 MB (AMD EPYC,
    Zen 4, the fastest of 30); the import of onnx takes about 90 ms.
    Raises ModelError for anything that `pairnet export` does not write.
    """
    try:
        if len(content) > LARGEST_FILE:
            raise ModelError(f"expected at most {LARGEST_FILE / 2**20:.0f} MiB, got {len(content) / 2**20:.0f} MiB")
        model = _parsed(content)
        metadata = from_text({entry.key: entry.value for entry in model.metadata_props})
        check_graph(model)
        _check_ports(model, metadata)
        _check_weights(model, metadata)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from None
    except UnicodeError:  # protobuf decodes a text when it is read
        raise ModelError(f"{name}: expected text in UTF-8, got other bytes: export the run again") from None
    return metadata


def check_graph(model: onnx.ModelProto) -> None:
    """Raises ModelError if the graph uses anything that `pairnet export` does not write."""
    _check_fields(model)
    _check_versions(model)
    graph = model.graph
    if len(graph.node) > MOST_NODES:
        raise ModelError(f"expected at most {MOST_NODES} nodes, got {len(graph.node)}")
    for node in graph.node:
        _check_node(node)
    for tensor in graph.initializer:
        if tensor.data_location != TensorProto.DEFAULT or tensor.data_type not in TENSOR_TYPES:
            raise ModelError(f"initializer {shown(tensor.name)}: expected numbers inside the file, got other data")
    _check_edges(graph)
    _check_reshapes(graph)
    check_sizes(model)


def declared_ports(values: Iterable[onnx.ValueInfoProto]) -> tuple[Port, ...]:
    """Inputs or outputs as a graph declares them.  Raises ModelError for values that are not tensors of numbers."""
    ports = []
    for value in values:
        tensor = value.type.tensor_type
        try:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
        except KeyError:
            raise ModelError(f"{shown(value.name)}: expected a tensor of numbers, got another type") from None
        axes = tuple(axis.dim_param or axis.dim_value for axis in tensor.shape.dim)
        ports.append(Port(name=value.name, dtype=dtype, axes=axes))
    return tuple(ports)


def initializers_digest(model: onnx.ModelProto) -> str:
    """SHA-256 over name, type, shape and bytes of each initializer, in the order of names.

    Raises ModelError for an initializer that cannot be read.
    """
    digest = hashlib.sha256()
    for tensor in sorted(model.graph.initializer, key=lambda tensor: tensor.name):
        array = _array(tensor)
        digest.update(f"{tensor.name} {array.dtype} {list(array.shape)}\n".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _parsed(content: bytes) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception:  # protobuf's DecodeError, whose package has no types
        raise ModelError("expected an ONNX model, got other bytes: name a file that `pairnet export` wrote") from None
    return model


def _check_fields(message: Any) -> None:
    """Only FIELDS are set, in this protobuf message and all inside it; every text is plain."""
    allowed = FIELDS.get(message.DESCRIPTOR.name)
    for descriptor, value in message.ListFields():
        if allowed is not None and descriptor.name not in allowed:
            raise ModelError(
                f"expected a graph that `pairnet export` writes, got {message.DESCRIPTOR.name}.{descriptor.name}"
            )
        if descriptor.name in ("metadata_props", "doc_string"):  # checked as metadata; read by nobody
            continue
        if descriptor.cpp_type == descriptor.CPPTYPE_MESSAGE:
            for each in [value] if hasattr(value, "ListFields") else value:
                _check_fields(each)
        elif descriptor.type == descriptor.TYPE_STRING:
            for each in [value] if isinstance(value, str) else value:
                if not is_plain(each):
                    raise ModelError(f"{descriptor.name}: expected plain text, got {shown(each)}")


def _check_versions(model: onnx.ModelProto) -> None:
    opsets = [(each.domain, each.version) for each in model.opset_import]
    if len(opsets) != 1 or opsets[0][0] not in ("", "ai.onnx") or not OLDEST_OPSET <= opsets[0][1] <= NEWEST_OPSET:
        raise ModelError(f"expected ONNX's own operators, opset {OLDEST_OPSET} to {NEWEST_OPSET}, got {shown(opsets)}")
    if model.ir_version not in IR_VERSIONS:
        raise ModelError(f"expected IR version {IR_VERSIONS[0]} to {IR_VERSIONS[-1]}, got {model.ir_version}")


def _check_node(node: onnx.NodeProto) -> None:
    rule, name = RULES.get(node.op_type), f"node {shown(node.name)}"
    if rule is None:
        raise ModelError(f"{name}: expected an operator that `pairnet export` writes, got {shown(node.op_type)}")
    if len(node.input) not in rule.inputs or len(node.output) != rule.outputs:
        raise ModelError(
            f"{name}: expected {node.op_type} with {' or '.join(map(str, rule.inputs))} inputs and {rule.outputs} "
            f"outputs, got {len(node.input)} and {len(node.output)}"
        )
    values = {each.name: list(each.ints) if each.type == AttributeProto.INTS else each.i for each in node.attribute}
    typed = all(
        each.type == (AttributeProto.INTS if each.name in ("kernel_shape", "pads", "strides") else AttributeProto.INT)
        for each in node.attribute
    )
    names = tuple(sorted(each.name for each in node.attribute))
    if not typed or names not in rule.attributes or not rule.test(values):
        raise ModelError(f"{name}: expected attributes that `pairnet export` writes, got {shown(values)}")


def _check_edges(graph: onnx.GraphProto) -> None:
    """Each value has one source, which comes before it is used, and none is left unused."""
    sources = [value.name for value in graph.input] + [tensor.name for tensor in graph.initializer]
    known, used = set(sources), {value.name for value in graph.output}
    for node in graph.node:
        if unknown := [name for name in node.input if name not in known]:
            raise ModelError(f"node {shown(node.name)}: expected inputs that exist, got {shown(unknown[0])}")
        used.update(node.input)
        known.update(node.output)
        sources.extend(node.output)
    if "" in known or len(known) != len(sources):
        raise ModelError("expected a different name for each value, got one twice")
    unused = [name for name in sources if name not in used]
    spare = {name for node in graph.node if set(node.output) & used for name in node.output}  # a second output
    if unused := [name for name in unused if name not in spare]:
        raise ModelError(f"expected a use for each value, got none for {shown(unused[0])}")


def _check_reshapes(graph: onnx.GraphProto) -> None:
    """Each shape is a constant, whose first axis alone is computed when the graph runs."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in ("Reshape", "Split", EARLIER):
            tensor = constants.get(node.input[1])
            values = _array(tensor).ravel().tolist() if tensor is not None else []
            bounded = all(1 <= size <= LARGEST_VALUE for size in values[1:])
            if not values or not bounded or not -1 <= values[0] <= LARGEST_VALUE:
                raise ModelError(f"node {shown(node.name)}: expected a constant shape, got another")


def _check_ports(model: onnx.ModelProto, metadata: FileMetadata) -> None:
    inputs, outputs = declared_ports(model.graph.input), declared_ports(model.graph.output)
    features = [port.axes[1] for port in (*inputs, *outputs) if len(port.axes) == 2]
    size = features[0] if features and isinstance(features[0], int) else 0
    with_digits = any(port.name == "digits" for port in outputs)
    for got, expected in (
        (inputs, input_ports(metadata.part, metadata.input_kind, size)),
        (outputs, output_ports(metadata.part, size, with_digits=with_digits)),
    ):
        if got != expected:
            raise ModelError(
                f"expected the ports of {metadata.part} for {metadata.input_kind}, {shown_ports(expected)}, "
                f"got {shown_ports(got)}: export the run again"
            )


def shown_ports(ports: Iterable[Port]) -> str:
    """Ports for a message: "pair uint8 (N,2,28,28)"."""
    return ", ".join(f"{shown(port.name)} {port.dtype} ({','.join(map(str, port.axes))})" for port in ports) or "none"


def _check_weights(model: onnx.ModelProto, metadata: FileMetadata) -> None:
    if (digest := initializers_digest(model)) != metadata.weights_sha256:
        raise ModelError(
            f"expected weights of SHA-256 {metadata.weights_sha256[:12]}, as recorded in the metadata, got "
            f"{digest[:12]}: the file is damaged or was changed; export the run again"
        )


def _array(tensor: TensorProto) -> Any:
    if tensor.data_type not in TENSOR_TYPES:
        raise ModelError(f"initializer {shown(tensor.name)}: expected numbers, got another type")
    try:
        return onnx.numpy_helper.to_array(tensor)
    except Exception as error:  # onnx and NumPy raise many kinds for damaged tensors
        raise ModelError(f"initializer {shown(tensor.name)}: expected numbers, got {type(error).__name__}") from None
