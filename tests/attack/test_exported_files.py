"""Exported files that somebody changed: each field of protobuf set to anything, and what a stranger would plant.

Each file is refused in one line before ONNX Runtime sees it, or it answers exactly as the genuine one. A change of the
graph itself, signed again, may answer otherwise, but with probabilities. PAIRNET_ATTACK=long tries 20,000 changes in
place of 200.
"""

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pairnet.artifact.inspection import RULES, inspect
from pairnet.artifact.weights import initializers_digest
from pairnet.errors import ModelError
from pairnet.serving.built_in import built_in_model
from pairnet.serving.inputs import check_results
from pairnet.serving.model import Model

pytest_plugins = ("trained_runs",)

CHANGES = 20_000 if os.environ.get("PAIRNET_ATTACK") == "long" else 200
LONGEST_MESSAGE = 1000
PAIRS = np.random.default_rng(0).integers(0, 256, (5, 2, 28, 28), dtype=np.uint8)


@cache
def genuine() -> bytes:
    return built_in_model().read_bytes()


@cache
def answers() -> list[Any]:
    return Model(genuine(), "cpu").run({"pair": PAIRS})


def entry(model: onnx.ModelProto, key: str) -> onnx.StringStringEntryProto:
    return next(entry for entry in model.metadata_props if entry.key == key)


def signed(model: onnx.ModelProto) -> bytes:
    """The bytes of a model with the checksum of its own weights."""
    with suppress(ModelError, StopIteration):
        entry(model, "weights_sha256").value = initializers_digest(model)
    return model.SerializeToString()


def refusal(content: bytes) -> str:
    with pytest.raises(ModelError) as error:
        inspect(content, "model.onnx")
    message = str(error.value)
    assert message.isprintable()
    assert len(message) < LONGEST_MESSAGE
    return message


# Any field, any value

NUMBERS = (0, 1, -1, 2, 3, 7, 16, 255, 10**6, 2**31 - 1, 2**31, 2**62, 2**63 - 1, -(2**63))
FLOATS = (0.0, -1.0, 1e-40, 1e5, 3e38, float("inf"), float("nan"))
TEXTS = ("", "x", "x" * 1000, "\x1b[2J", "\u202e", "a\nb", "[bold]", "1e999", "-1", "nan", "idx:/dev", *RULES)


def places(message: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """Each protobuf message inside a message, with the names of the fields that lead to it."""
    yield message, path
    for field, value in message.ListFields():
        if field.cpp_type == field.CPPTYPE_MESSAGE:
            for each in [value] if hasattr(value, "ListFields") else value:
                yield from places(each, (*path, field.name))


def copy(message: Any) -> Any:
    """A copy that shares nothing: a graph may be put into itself."""
    return type(message).FromString(message.SerializePartialToString())


def any_value(field: Any, old: Any, rng: random.Random, names: list[str]) -> Any:
    """A value of the type of a field."""
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        return rng.choice(FLOATS)
    if field.type == field.TYPE_STRING:
        return rng.choice((*TEXTS, old + "x", rng.choice(names)))
    if field.type == field.TYPE_BYTES:
        cut = rng.randrange(len(old) + 1)
        return rng.choice((old[:cut], old + bytes(4), bytes(old[:cut]) + b"\xff\xff\x7f\x7f" + old[cut + 4 :], b"\xff"))
    if field.cpp_type == field.CPPTYPE_ENUM:
        return rng.choice([each.number for each in field.enum_type.values])
    number = rng.choice((*NUMBERS, old + 1, old - 1, 2 * old))
    wide = field.cpp_type in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64)
    low, high = (-(2**63), 2**63 - 1) if wide else (-(2**31), 2**31 - 1)
    if field.cpp_type in (field.CPPTYPE_UINT64, field.CPPTYPE_UINT32):
        low = 0
    return min(max(number, low), high)


def changed(model: onnx.ModelProto, rng: random.Random) -> tuple[str, ...]:
    """Changes one field anywhere in a model, set or not; returns its path."""
    found = list(places(model))
    names = [node.name for node in model.graph.node]
    message, path = rng.choice(found)
    set_fields = [field for field, _ in message.ListFields()]
    field = rng.choice(set_fields if set_fields and rng.random() < 0.7 else list(message.DESCRIPTOR.fields))
    value = getattr(message, field.name)
    many = hasattr(value, "extend")
    if field.cpp_type == field.CPPTYPE_MESSAGE:
        alike = [other for other, _ in found if other.DESCRIPTOR is field.message_type]
        if many:
            kind = rng.randrange(4)
            if kind == 0 and len(value):
                del value[rng.randrange(len(value))]
            elif kind == 1 and alike:
                value.append(copy(rng.choice(alike)))
            elif kind == 2 and len(value) > 1:
                one, other = rng.sample(range(len(value)), 2)
                first = copy(value[one])
                value[one].CopyFrom(value[other])
                value[other].CopyFrom(first)
            else:
                value.add()
        elif alike and rng.random() < 0.5:
            value.CopyFrom(copy(rng.choice(alike)))
        else:
            message.ClearField(field.name)
    elif many:
        old = value[0] if len(value) else ("" if field.type == field.TYPE_STRING else 0)
        if field.type == field.TYPE_BYTES:
            old = b""
        if len(value) and rng.random() < 0.6:
            place = rng.randrange(len(value))
            value[place] = any_value(field, value[place], rng, names)
        elif len(value) and rng.random() < 0.5:
            del value[rng.randrange(len(value))]
        else:
            value.append(any_value(field, old, rng, names))
    else:
        setattr(message, field.name, any_value(field, value, rng, names))
    return (*path, field.name)


def test_a_changed_file_is_refused_or_answers_as_the_genuine_one() -> None:
    rng, refusals = random.Random(0), list[str]()
    for _ in range(CHANGES):
        model = onnx.ModelProto.FromString(genuine())
        path = changed(model, rng)
        is_signed = rng.random() < 0.7
        try:
            opened = Model(signed(model) if is_signed else model.SerializeToString(), "cpu")
        except ModelError as error:
            refusals.append(str(error))
            continue
        results = opened.run({"pair": PAIRS})
        weights = is_signed and path[:2] == ("graph", "initializer")
        if weights or path[:2] == ("graph", "node"):  # anybody may sign others: they answer, within bounds
            check_results(dict(zip(opened.outputs, results, strict=True)), PAIRS)
        else:
            assert all(map(np.array_equal, results, answers())), path
    assert len(refusals) > CHANGES / 2
    assert all(message.isprintable() and len(message) < LONGEST_MESSAGE for message in refusals)


# What a stranger would plant

Change = Callable[[onnx.ModelProto], None]


def weight(model: onnx.ModelProto, name: str = "tower.conv1.weight") -> TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def filled(name: str, value: float) -> Change:
    """Sets the second number of a weight, or all of them for a denormal value."""

    def change(model: onnx.ModelProto) -> None:
        tensor = weight(model, name)
        numbers = numpy_helper.to_array(tensor).copy()
        numbers.reshape(-1)[slice(1, 2) if abs(value) > 1e-30 else slice(None)] = value
        tensor.CopyFrom(numpy_helper.from_array(numbers, name))

    return change


def stated(key: str, value: str) -> Change:
    return lambda model: setattr(entry(model, key), "value", value)


def tensor_field(name: str, value: Any) -> Change:
    def change(model: onnx.ModelProto) -> None:
        tensor = weight(model)
        if isinstance(value, list):
            tensor.ClearField(name)
            getattr(tensor, name).extend(value)
        else:
            setattr(tensor, name, value)

    return change


def typed(count: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        tensor = weight(model)
        tensor.ClearField("raw_data")
        tensor.float_data.extend([0.5] * count)

    return change


def many_keys(model: onnx.ModelProto) -> None:
    for number in range(100):
        model.metadata_props.add(key=str(number), value="")


def tall(model: onnx.ModelProto) -> None:
    """A column of all pixels times a row: a free axis that is 1,568 times the number of pairs, of wide values."""
    weights = {
        "column": np.array([-1, 1], np.int64),
        "row": np.ones((1, 2**18), np.float32),
        "sum": np.ones((2**18, 1), np.float32),
        "pixels": np.array([-1, 1568], np.int64),
        "one": np.ones((1568, 1), np.float32),
        "line": np.array([-1], np.int64),
    }
    steps = [("Reshape", "x", "column"), ("MatMul", "a", "row"), ("MatMul", "b", "sum"), ("Reshape", "c", "pixels")]
    steps += [("MatMul", "d", "one"), ("Reshape", "e", "line")]
    nodes = [helper.make_node("Cast", ["pair"], ["x"], to=TensorProto.FLOAT)]
    nodes += [helper.make_node(op, [x, other], [y]) for (op, x, other), y in zip(steps, "abcdef", strict=True)]
    nodes += [helper.make_node("Sigmoid", ["f"], ["probability"])]
    outputs = [value for value in model.graph.output if value.name == "probability"]
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    model.graph.CopyFrom(helper.make_graph(nodes, "tall", model.graph.input, outputs, initializers))


def no_output(model: onnx.ModelProto) -> None:
    model.graph.node.add(op_type="Relu", input=[model.graph.node[0].output[0]])


def scalar_shape(model: onnx.ModelProto) -> None:
    shape = next(tensor for tensor in model.graph.initializer if list(numpy_helper.to_array(tensor).flat) == [-1])
    shape.CopyFrom(numpy_helper.from_array(np.array(-1, np.int64), shape.name))


def training(model: onnx.ModelProto) -> None:
    model.training_info.add().algorithm.name = "a"


def annotated(model: onnx.ModelProto) -> None:
    model.graph.quantization_annotation.add(tensor_name="grey")


def sequence(model: onnx.ModelProto) -> None:
    model.graph.value_info[0].type.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT


PLANTED: dict[str, tuple[Change, str]] = {
    "10 MB key": (lambda model: model.metadata_props.add(key="x" * 10**7, value=""), "without its weights"),
    "10 MB value": (stated("revision", "x" * 10**7), "without its weights"),
    "50 MB doc string": (lambda model: setattr(model.graph, "doc_string", "x" * 50_000_000), "without its weights"),
    "long key": (lambda model: model.metadata_props.add(key="x" * 301, value=""), "keys of at most 300 characters"),
    "long value": (lambda model: model.metadata_props.add(key="x", value="x" * 50_000), "values of at most 40,000"),
    "many keys": (many_keys, "at most 100 different keys"),
    "a key twice": (lambda model: model.metadata_props.add(key="mean", value="1"), "100 different keys"),
    "doc string": (lambda model: setattr(model.graph, "doc_string", "\x1b[2J"), "doc_string: expected the structure"),
    "doc string of the model": (lambda model: setattr(model, "doc_string", "x"), "ModelProto.doc_string"),
    "9,000 layers": (stated("structure", " ".join(["fc(392,392)"] * 9000)), "metadata: expected .* at most 40,000"),
    "2,000 layers": (stated("structure", " ".join(["fc(392,392)"] * 2000)), "metadata structure"),
    "layers that do not fit": (stated("structure", "fc(391,1)"), r"metadata structure: .*expected 391 inputs, got 392"),
    "more parameters": (stated("parameters", "2948"), "expected 2,948 parameters as stated, got 2,947"),
    "10**17 pairs": (stated("test_pairs", "1" + 17 * "0"), "metadata test_pairs"),
    "a device": (stated("data_source", "idx:/dev"), "metadata data_source: expected the name of a data source"),
    "a home folder": (stated("data_source", "idx:~/x"), "metadata data_source: expected the name of a data source"),
    "right to left": (stated("variant", "final\u202emodel"), "metadata variant: expected plain text"),
    "tiny deviation": (stated("std", "1e-300"), "metadata std"),
    "other mean": (stated("mean", "33.0"), "pixel.mean: expected 33, as in the metadata"),
    "other deviation": (stated("std", "78.0"), "pixel.inverse_std: expected .* as in the metadata"),
    "huge shape": (tensor_field("dims", [10**6, 10**6]), "expected numbers for"),
    "many axes": (tensor_field("dims", [2**62] * 10_000), "at most 4 dims"),
    "axis of nothing": (tensor_field("dims", [0, 1, 3, 3]), "axes of 1 or more"),
    "numbers twice": (tensor_field("float_data", [0.5] * 72), "once"),
    "too few numbers": (typed(71), "expected numbers for"),
    "cut numbers": (tensor_field("raw_data", b"\0" * 287), "expected numbers for"),
    "huge weight": (filled("tower.conv1.weight", 1e30), r"expected values from -10000 to 10000, got .* to 1e\+30"),
    "infinite weight": (filled("tower.conv1.weight", float("inf")), "expected values from .* to inf"),
    "weight that is no number": (filled("tower.conv1.weight", float("nan")), "expected values from .* nan"),
    "denormal weights": (filled("tower.conv1.weight", 1e-40), r"expected values of 1\.2e-38 or more"),
    "negative variance": (filled("tower.norm1.running_var", -1.0), "expected values from 0 to 1e"),
    "huge variance": (filled("tower.norm1.running_var", 1e9), "expected values from 0 to 1e"),
    "free axis": (tall, "elements for a pair"),
    "node without output": (no_output, "outputs with names"),
    "scalar as shape": (scalar_shape, "constant shape"),
    "training": (training, "ModelProto.training_info"),
    "annotation": (annotated, "GraphProto.quantization_annotation"),
    "sequence": (sequence, "TypeProto.sequence_type"),
    "long name": (lambda model: setattr(model.graph, "name", "x" * 301), "at most 300 characters"),
    "many inputs": (lambda model: model.graph.node[0].input.extend(["pair"] * 5), "at most 5 inputs"),
}


@pytest.mark.parametrize(("change", "message"), PLANTED.values(), ids=PLANTED)
def test_a_planted_file_is_refused(change: Change, message: str) -> None:
    model = onnx.ModelProto.FromString(genuine())
    change(model)
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(refusal(signed(model)))


def scaled(name: str, value: float) -> Change:
    def change(model: onnx.ModelProto) -> None:
        tensor = next(each for each in model.graph.initializer if each.name.endswith(name))
        numbers = numpy_helper.to_array(tensor).copy()
        numbers.reshape(-1)[:1] = value
        tensor.CopyFrom(numpy_helper.from_array(numbers, tensor.name))

    return change


def out_of_type(model: onnx.ModelProto) -> None:
    tensor = next(each for each in model.graph.initializer if each.name.endswith("weight_zero_point"))
    tensor.int32_data[0] = 256


PLANTED_IN_8_BITS: dict[str, tuple[Change, str]] = {
    "scale of nothing": (scaled("weight_scale", 0.0), "scales above 0, got 0"),
    "negative scale": (scaled("weight_scale", -1.0), "scales above 0, got -1"),
    "denormal scale": (scaled("weight_scale", 1e-40), "scales above 0"),
    "scale that is no number": (scaled("weight_scale", float("nan")), "expected values from .* nan"),
    "huge scale": (scaled("weight_scale", 1e6), "expected values from -10000 to 10000"),
    "scale of large weights": (scaled("weight_scale", 9e3), r"weight_quantized'?: expected values from"),
    "zero point of a weight": (scaled("weight_zero_point", 5), "zero point of 0 for int8"),
    "number that int8 does not hold": (out_of_type, "expected numbers of int8, got others"),
}


@pytest.mark.parametrize(("change", "message"), PLANTED_IN_8_BITS.values(), ids=PLANTED_IN_8_BITS)
def test_a_planted_file_in_8_bits_is_refused(change: Change, message: str, models: Callable[..., Path]) -> None:
    model = onnx.load(models("order_net_fast", "images", "int8"))
    change(model)
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(refusal(signed(model)))


def field(number: int, content: bytes) -> bytes:
    """A field of bytes, as protobuf writes it."""

    def varint(value: int) -> bytes:
        return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])

    return varint(number << 3 | 2) + varint(len(content)) + content


ENTRIES = 10**6
PLANTED_BYTES: dict[str, tuple[bytes, str]] = {
    "metadata entries": (field(14, b"") * ENTRIES, "without its weights"),
    "nodes": (field(7, field(1, b"") * ENTRIES), "without its weights"),
    "initializers": (field(7, field(5, b"") * ENTRIES), "without its weights"),
    "initializers of a kind": (field(7, field(5, field(9, b"")) * 100_000), "at most 2000 initializers"),
    "numbers one by one": (field(7, field(5, field(4, bytes(4 * ENTRIES)))), "without its weights"),
    "unknown field": (field(1000, bytes(2 * ENTRIES)), "without its weights"),
    "group": (b"\x0b" + bytes(9), "got other bytes"),
    "endless number": (b"\xff" * 100, "got other bytes"),
    "more than there is": (b"\x3a\xff\xff\xff\x7f", "got other bytes"),
    "too large": (field(7, field(5, field(9, bytes(65 * 2**20)))), "at most 64 MiB"),
}


@pytest.mark.parametrize(("extra", "message"), PLANTED_BYTES.values(), ids=PLANTED_BYTES)
def test_bytes_are_counted_before_they_are_parsed(extra: bytes, message: str) -> None:
    assert message in refusal(genuine() + extra)


PROGRAM = """
import sys
from pathlib import Path
from pairnet.artifact.inspection import inspect, read_file
from pairnet.errors import ModelError
from pairnet.serving.built_in import built_in_model
inspect(built_in_model().read_bytes(), "genuine")
for name in sys.argv[1:]:
    try:
        inspect(read_file(Path(name)), "planted")
    except ModelError:
        print("refused")
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the largest memory of a process")
def test_refusals_take_little_memory(tmp_path: Path) -> None:
    """The largest of what is planted, and a file of 1 GiB without content; 500 MB is the bound of all."""
    for number, (extra, _) in enumerate(PLANTED_BYTES.values()):
        (tmp_path / f"{number}.onnx").write_bytes(genuine() + extra)
    for name in ("10 MB key", "50 MB doc string", "9,000 layers", "free axis", "many axes"):
        model = onnx.ModelProto.FromString(genuine())
        PLANTED[name][0](model)
        (tmp_path / f"{name}.onnx").write_bytes(signed(model))
    with (tmp_path / "sparse.onnx").open("wb") as file:
        file.truncate(2**30)
    names = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run([sys.executable, "-c", PROGRAM, *names], capture_output=True, text=True, check=True)
    *refused, peak = done.stdout.split()
    assert refused == ["refused"] * len(names)
    assert int(peak) * 1024 < 500_000_000
    assert done.stderr == ""
