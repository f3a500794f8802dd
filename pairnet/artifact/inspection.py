"""Checks of an exported file before anything runs it: its size, its graph against an allow-list, its weights' checksum.

A file may be damaged or hostile. ONNX Runtime executes any valid graph, also one that never ends or that allocates all
memory, so a graph is refused unless it uses only what `pairnet export` writes: its operators, their attributes and
values, its protobuf fields and its sizes. ONNX's own checker and shape inference do the rest: number and type of each
operator's inputs, values that exist before they are used, and the shape of each value.
"""

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from pairnet import opening
from pairnet.artifact.design import NEWEST_OPSET, OLDEST_OPSET, SIDE, Port, input_ports, output_ports
from pairnet.artifact.metadata import FileMetadata, from_text
from pairnet.errors import ModelError
from pairnet.wording import is_plain, shown

LARGEST_FILE = 256 * 2**20  # bytes; the largest variant of the paper has 4 MB
MOST_NODES = 1000
LARGEST_VALUE = 2**24  # elements of any intermediate value, for one pair
MOST_ELEMENTS = 2**21  # of all values together, for one pair; the largest file of pairnet has a tenth
BATCH = 32  # pairs in one run, among which values without a batch axis, weights, are counted
MOST_MULTIPLY_ADDS = 2**30  # for one pair: order_net takes 2**24
SMALL = 16  # elements of an initializer that shape inference may need, such as the shape for a Reshape

EARLIER = "ReduceSum"
"""An operator in files of earlier versions; an export does not write it any more."""

_PLAIN = ("Add", "BatchNormalization", "GlobalAveragePool", "MatMul", "Mul", "QuantizeLinear", "Relu", "Reshape")
_SQUARES = [[side, side] for side in range(1, SIDE + 1)]
_PADS = [[start, start, end, end] for start in range(SIDE // 2 + 1) for end in range(start + 1)]
RULES: Mapping[str, Mapping[str, Collection[Any]]] = {
    **{operator: {} for operator in (*_PLAIN, "Sigmoid", "Sub")},
    **{operator: {"axis": (1,)} for operator in ("Concat", "Flatten", "Split")},
    **{operator: {"kernel_shape": _SQUARES, "strides": _SQUARES} for operator in ("AveragePool", "MaxPool")},
    "Cast": {"to": (TensorProto.FLOAT, TensorProto.FLOAT16)},
    "Conv": {"kernel_shape": _SQUARES, "strides": _SQUARES, "pads": _PADS},
    "DequantizeLinear": {"axis": (None, 0)},
    "Gemm": {"transB": (1,)},
    EARLIER: {"keepdims": (0,)},
    "Softmax": {"axis": (-1,)},
}
"""The operators that `pairnet export` writes, the attributes of each, and their values (None: may be absent); tests
compare them with every file it can write."""

INPUTS = {"Conv": 3, "DequantizeLinear": 3, "QuantizeLinear": 3}
"""Operators with an optional input that an export always writes; ONNX's checker counts the inputs of the others."""

_TENSOR = ("dims", "data_type", "name", "raw_data", "float_data", "int32_data", "int64_data", "data_location")
FIELDS = {
    "ModelProto": ("ir_version", "producer_name", "producer_version", "graph", "opset_import", "metadata_props"),
    "GraphProto": ("node", "name", "initializer", "doc_string", "input", "output", "value_info"),
    "NodeProto": ("input", "output", "name", "op_type", "attribute"),
    "AttributeProto": ("name", "type", "i", "ints"),
    "TensorProto": _TENSOR,
}
"""Protobuf fields that may be set: no functions, subgraphs, other domains, sparse or external data."""

TENSOR_TYPES = [getattr(TensorProto, name) for name in ("FLOAT", "FLOAT16", "INT64", "INT32", "INT8", "UINT8")]


def read_file(path: Path) -> bytes:
    """The bytes of a file, read once.  Raises ModelError if it cannot be read or is larger than LARGEST_FILE."""
    if not path.is_file():
        got = "a folder" if path.is_dir() else "no such file"
        raise ModelError(f"{path}: expected an ONNX file, got {got}: `pairnet export` writes one")
    return opening.read_file(path, what="an ONNX file", largest=LARGEST_FILE, error=ModelError)


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
        _check_fields(model)
        if (digest := initializers_digest(model)) != metadata.weights_sha256:
            raise ModelError(
                f"expected weights of SHA-256 {metadata.weights_sha256[:12]}, as recorded in the metadata, got "
                f"{digest[:12]}: the file is damaged or was changed; export the run again"
            )
        _check_graph(model)
        _check_sizes(model)
        _check_ports(model, metadata)
    except ModelError as error:
        raise ModelError(f"{name}: {error}") from None
    except UnicodeError:  # protobuf decodes a text when it is read
        raise ModelError(f"{name}: expected text in UTF-8, got other bytes: export the run again") from None
    return metadata


def declared_ports(values: Iterable[onnx.ValueInfoProto]) -> tuple[Port, ...]:
    """Inputs or outputs as a graph declares them.  Raises ModelError for values that are not tensors of numbers."""
    ports = []
    for value in values:
        tensor = value.type.tensor_type
        try:
            dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
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


def _array(tensor: TensorProto) -> NDArray[Any]:
    """The numbers of an initializer, which is never read from another file."""
    if tensor.data_location != TensorProto.DEFAULT or tensor.data_type not in TENSOR_TYPES:
        raise ModelError(f"initializer {shown(tensor.name)}: expected numbers inside the file, got other data")
    try:
        return onnx.numpy_helper.to_array(tensor)
    except Exception as error:  # onnx and NumPy raise many kinds for damaged tensors
        raise ModelError(f"initializer {shown(tensor.name)}: expected numbers, got {type(error).__name__}") from None


def _parsed(content: bytes) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception:  # protobuf's DecodeError, whose package has no types
        raise ModelError("expected an ONNX model, got other bytes: name a file that `pairnet export` wrote") from None
    return model


def _check_fields(message: Any) -> None:
    """Only FIELDS are set, in this protobuf message and all inside it; every text is plain."""
    kind = message.DESCRIPTOR.name
    for field, value in message.ListFields():
        if field.name not in FIELDS.get(kind, (field.name,)):
            raise ModelError(f"expected a graph that `pairnet export` writes, got {kind}.{field.name}")
        if field.name in ("metadata_props", "doc_string"):  # checked as metadata; read by nobody
            continue
        if field.cpp_type == field.CPPTYPE_MESSAGE:
            for each in [value] if hasattr(value, "ListFields") else value:
                _check_fields(each)
        elif field.type == field.TYPE_STRING:
            for each in [value] if isinstance(value, str) else value:
                if not is_plain(each):
                    raise ModelError(f"{field.name}: expected plain text, got {shown(each)}")


def _check_graph(model: onnx.ModelProto) -> None:
    """Opset, operators, attributes and constant shapes are those of an export; each value has one source and a use."""
    graph, opsets = model.graph, [(each.domain, each.version) for each in model.opset_import]
    if len(opsets) != 1 or opsets[0][0] not in ("", "ai.onnx") or not OLDEST_OPSET <= opsets[0][1] <= NEWEST_OPSET:
        raise ModelError(f"expected ONNX's own operators, opset {OLDEST_OPSET} to {NEWEST_OPSET}, got {shown(opsets)}")
    if len(graph.node) > MOST_NODES:
        raise ModelError(f"expected at most {MOST_NODES} nodes, got {len(graph.node)}")
    constants = {tensor.name for tensor in _small(graph.initializer)}
    for node in graph.node:
        rule, name = RULES.get(node.op_type), f"node {shown(node.name)}"
        if rule is None:
            raise ModelError(f"{name}: expected an operator that `pairnet export` writes, got {shown(node.op_type)}")
        values = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        if "" in node.input or len(node.input) != INPUTS.get(node.op_type, len(node.input)):
            raise ModelError(
                f"{name}: expected all inputs of {node.op_type}, got {len(list(filter(None, node.input)))}"
            )
        known = len(values) == len(node.attribute) and values.keys() <= rule.keys()
        if not known or not all(values.get(key) in allowed for key, allowed in rule.items()):
            raise ModelError(f"{name}: expected attributes that `pairnet export` writes, got {shown(values)}")
        if node.op_type in ("Reshape", "Split", EARLIER) and not constants & set(node.input[1:]):
            raise ModelError(f"{name}: expected a constant shape, got another")
    sources = [[value.name] for value in (*graph.input, *graph.initializer)] + [
        list(node.output) for node in graph.node
    ]
    names = [name for source in sources for name in source]
    if len(set(names)) != len(names):
        raise ModelError("expected a different name for each value, got one twice")
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    if unused := [source for source in sources if not used & set(source)]:
        raise ModelError(f"expected a use for each value, got none for {shown(unused[0][0])}")


def _check_sizes(model: onnx.ModelProto) -> None:
    """ONNX's checker accepts the graph, and each value has one free axis at most, the first, and a bounded size."""
    outline, graph = _without_weights(model), model.graph
    try:
        onnx.checker.check_model(outline)
        inferred = onnx.shape_inference.infer_shapes(outline, check_type=True, strict_mode=True, data_prop=True).graph
    except Exception as error:  # the checker's and the inference's exceptions have no common class
        reason = " ".join(ascii(str(error))[1:-1].replace("\\n", " ").split())
        raise ModelError(f"expected a model that ONNX's checker accepts, it reports: {reason}") from None
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *inferred.value_info, *inferred.output):
        if value.type.tensor_type.HasField("shape"):
            shapes[value.name] = [axis.dim_value for axis in value.type.tensor_type.shape.dim]  # 0: a free axis
    if lacking := [name for node in graph.node for name in node.output if name not in shapes]:
        raise ModelError(f"{shown(lacking[0])}: expected a value of known shape, got none")
    for name, axes in shapes.items():
        if min(axes, default=1) < 0 or 0 in axes[1:] or _elements(axes) > LARGEST_VALUE:
            raise ModelError(f"{shown(name)}: expected at most {LARGEST_VALUE} elements, got {shown(axes)}")
    elements = sum(_elements(axes) // (BATCH if all(axes) else 1) for axes in shapes.values())
    if elements > MOST_ELEMENTS:
        raise ModelError(f"expected at most {MOST_ELEMENTS:,} elements in all values of a pair, got {elements:,}")
    work = sum(_multiply_adds(node, shapes) for node in graph.node if node.op_type in ("Conv", "Gemm", "MatMul"))
    if work > MOST_MULTIPLY_ADDS:
        raise ModelError(f"expected at most {MOST_MULTIPLY_ADDS:,} multiply-adds for a pair, got {work:,}")


def _elements(axes: Iterable[int]) -> int:
    """Elements for one pair."""
    return math.prod(max(1, size) for size in axes)


def _multiply_adds(node: onnx.NodeProto, shapes: Mapping[str, list[int]]) -> int:
    """Multiply-adds of a convolution or product for one pair: each result sums over a column of the weights."""
    weights = shapes.get(node.input[1], [])
    return _elements(shapes[node.output[0]]) * _elements(weights[:-1] if node.op_type == "MatMul" else weights[1:])


def _small(tensors: Iterable[TensorProto]) -> list[TensorProto]:
    """Initializers whose values shape inference may need, such as the shape for a Reshape."""
    return [tensor for tensor in tensors if math.prod(tensor.dims) <= SMALL]


def _without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with inputs instead of its large initializers: fast to check, and with the same shapes."""
    graph, small = model.graph, _small(model.graph.initializer)
    kept = {tensor.name for tensor in small}
    large = [
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in graph.initializer
        if tensor.name not in kept
    ]
    outline = helper.make_graph(
        graph.node, graph.name, [*graph.input, *large], graph.output, small, value_info=graph.value_info
    )
    made = helper.make_model(outline, opset_imports=model.opset_import, ir_version=model.ir_version)
    size = made.ByteSize()
    made.DiscardUnknownFields()
    if made.ByteSize() != size:
        raise ModelError("expected an ONNX model, got unknown fields: the file is damaged; export the run again")
    return made


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
                f"expected the ports of {metadata.part} for {metadata.input_kind}, {', '.join(map(str, expected))}, "
                f"got {', '.join(map(str, got)) or 'none'}: export the run again"
            )
