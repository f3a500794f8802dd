"""Checks of an exported file before anything runs it: its size, its graph against an allow-list, its weights.

A file may be damaged or hostile. ONNX Runtime executes any valid graph, also one that never ends or that allocates all
memory, so a graph is refused unless it uses only what `pairnet export` writes: its operators, their attributes and
values, its protobuf fields and, within `limits`, its sizes. ONNX's own checker and shape inference do the rest: number
and type of each operator's inputs, values that exist before they are used, and the shape of each value. What is cheap
is checked first: bytes before they are parsed, counts before each entry is looked at.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
from onnx import AttributeProto, TensorProto, helper

from pairnet import opening
from pairnet.artifact.design import NEWEST_OPSET, OLDEST_OPSET, SIDE, Port, input_ports, output_ports
from pairnet.artifact.limits import (
    COUNTS,
    LARGEST_FILE,
    LONGEST_NAME,
    LONGEST_STRUCTURE,
    MOST_METADATA,
)
from pairnet.artifact.metadata import FileMetadata, from_text
from pairnet.artifact.sizes import check_sizes, small
from pairnet.artifact.structure import read_structure
from pairnet.artifact.weights import check_values, initializers_digest
from pairnet.artifact.wire import check_outline, not_a_model
from pairnet.errors import ModelError, NotationError
from pairnet.models.variants import check
from pairnet.wording import is_plain, shown

EARLIER = "ReduceSum"
"""An operator in files of earlier versions; an export does not write it any more."""

_PLAIN = ("Add", "BatchNormalization", "GlobalAveragePool", "MatMul", "Mul", "QuantizeLinear", "Relu", "Reshape")
_SQUARES = [[side, side] for side in range(1, SIDE + 1)]
_PADS = [[start, start, end, end] for start in range(SIDE // 2 + 1) for end in range(start + 1)]
RULES: Mapping[str, Mapping[str, Collection[Any]]] = {
    **{operator: {} for operator in (*_PLAIN, "Sigmoid", "Sub", "Tanh")},
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
    "ValueInfoProto": ("name", "type"),
    "TypeProto": ("tensor_type",),
    "Tensor": ("elem_type", "shape"),
    "TensorShapeProto": ("dim",),
    "Dimension": ("dim_value", "dim_param"),
    "OperatorSetIdProto": ("domain", "version"),
}
"""Protobuf fields that may be set: no functions, subgraphs, other domains, sparse or external data."""


def read_file(path: Path) -> bytes:
    """The bytes of a file, read once.  Raises ModelError if it cannot be read or is larger than LARGEST_FILE."""
    what = "an ONNX file that `pairnet export` wrote"
    return opening.read_file(path, what=what, largest=LARGEST_FILE, error=ModelError)


def inspect(content: bytes, name: str) -> FileMetadata:
    """The metadata of a serialised model, after all checks.  `name` stands for the model in messages.

    The checks, SHA-256 of the weights included, take 5 ms of CPU time for a file of 0.6 MB and 8 ms for one of 3.7 MB
    (AMD EPYC, the fastest of 30); the import of onnx takes about 90 ms.
    Raises ModelError for anything that `pairnet export` does not write.
    """
    try:
        if len(content) > LARGEST_FILE:
            raise ModelError(f"expected at most {LARGEST_FILE / 2**20:.0f} MiB, got {len(content) / 2**20:.0f} MiB")
        check_outline(content)
        model = _parsed(content)
        metadata = from_text(_metadata(model))
        _check_fields(model)
        _check_structure(model, metadata)
        if (digest := initializers_digest(model)) != metadata.weights_sha256:
            raise ModelError(
                f"expected weights of SHA-256 {metadata.weights_sha256[:12]}, as recorded in the metadata, got "
                f"{digest[:12]}: the file is damaged or was changed; export the run again"
            )
        _check_graph(model)
        check_sizes(model)
        check_values(model, metadata)
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


def _parsed(content: bytes) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception:  # protobuf's DecodeError, whose package has no types
        raise not_a_model(content) from None
    return model


def _metadata(model: onnx.ModelProto) -> dict[str, str]:
    """The entries of the metadata, each key once."""
    entries = model.metadata_props
    values = {entry.key: entry.value for entry in entries[: MOST_METADATA + 1]}
    if len(entries) > MOST_METADATA or len(values) != len(entries):
        raise ModelError(f"expected at most {MOST_METADATA} different keys of metadata, got {len(entries):,} entries")
    for key, value in values.items():
        if len(key) > LONGEST_NAME or len(value) > LONGEST_STRUCTURE:
            raise ModelError(
                f"metadata: expected keys of at most {LONGEST_NAME} characters and values of at most "
                f"{LONGEST_STRUCTURE:,}, got {len(key):,} and {len(value):,}"
            )
    return values


def _check_fields(message: Any) -> None:
    """Only FIELDS are set, in this protobuf message and all inside it, within COUNTS; every text is plain and short."""
    kind = message.DESCRIPTOR.name
    for field, value in message.ListFields():
        name = field.name
        if name not in FIELDS.get(kind, ()):
            raise ModelError(f"expected a graph that `pairnet export` writes, got {kind}.{name}")
        if name in ("metadata_props", "doc_string"):  # checked as metadata and as structure
            continue
        many = not isinstance(value, str | int) and not hasattr(value, "ListFields")
        if name in COUNTS and len(value) > COUNTS[name]:
            plural = name if name.endswith("s") else f"{name}s"
            raise ModelError(f"expected at most {COUNTS[name]} {plural} in {kind}, got {len(value):,}")
        if field.cpp_type == field.CPPTYPE_MESSAGE:
            for each in value if many else [value]:
                _check_fields(each)
        elif field.type == field.TYPE_STRING:
            for each in value if many else [value]:
                if not is_plain(each) or len(each) > LONGEST_NAME:
                    raise ModelError(
                        f"{name}: expected plain text of at most {LONGEST_NAME} characters, got {shown(each)}"
                    )


def _check_structure(model: onnx.ModelProto, metadata: FileMetadata) -> None:
    """The recorded structure is a network with as many parameters as are recorded, and the file's only description."""
    try:
        check(replace(read_structure(metadata.structure), parameters=metadata.parameters))
    except NotationError as error:
        raise ModelError(f"metadata {error}; export the run again") from None
    if model.graph.doc_string not in ("", metadata.structure):
        raise ModelError(
            f"GraphProto.doc_string: expected the structure, got {shown(model.graph.doc_string)}: export the run again"
        )


def _check_graph(model: onnx.ModelProto) -> None:
    """Opset, operators, attributes and constant shapes are those of an export; each value has one source and a use."""
    graph, opsets = model.graph, [(each.domain, each.version) for each in model.opset_import]
    if len(opsets) != 1 or opsets[0][0] not in ("", "ai.onnx") or not OLDEST_OPSET <= opsets[0][1] <= NEWEST_OPSET:
        raise ModelError(f"expected ONNX's own operators, opset {OLDEST_OPSET} to {NEWEST_OPSET}, got {shown(opsets)}")
    constants = {
        tensor.name
        for tensor in small(graph.initializer)
        if tensor.data_type == TensorProto.INT64 and len(tensor.dims) == 1
    }
    for node in graph.node:
        rule, name = RULES.get(node.op_type), f"node {shown(node.name)}"
        if rule is None:
            raise ModelError(f"{name}: expected an operator that `pairnet export` writes, got {shown(node.op_type)}")
        values = {each.name: _attribute(each) for each in node.attribute}
        if "" in node.input or len(node.input) != INPUTS.get(node.op_type, len(node.input)):
            raise ModelError(
                f"{name}: expected all inputs of {node.op_type}, got {len(list(filter(None, node.input)))}"
            )
        if "" in node.output or not node.output:
            raise ModelError(f"{name}: expected outputs with names, got {shown(list(node.output))}")
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


def _attribute(attribute: AttributeProto) -> int | list[int] | str:
    """The value of an attribute; an empty text for one of a type that no export writes."""
    if attribute.type == AttributeProto.INT and not attribute.ints:
        return attribute.i
    return list(attribute.ints) if attribute.type == AttributeProto.INTS and not attribute.i else ""


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
