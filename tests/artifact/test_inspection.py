"""Inspection of a file: each file that an export writes passes, and a damaged or hostile one never reaches a run."""

import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pairnet.artifact import inspection, sizes
from pairnet.artifact.inspection import EARLIER, RULES, inspect, read_file
from pairnet.artifact.weights import initializers_digest
from pairnet.errors import ModelError
from pairnet.exporting.export import export
from pairnet.models.recipes import Recipe
from pairnet.models.variants import VARIANTS, find_variant
from pairnet.records.run import Run
from pairnet.serving.model import Model
from pairnet.study.saved import train_and_save

pytest_plugins = ("trained_runs",)

COPIES = 60


def files_of(path):
    """The joint file with its encoder and head, if it has them."""
    paths = [path, *(path.with_suffix(f".{part}.onnx") for part in ("encoder", "head"))]
    return [each for each in paths if each.is_file()]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("kind", ["images", "pairs"])
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_each_file_that_an_export_writes_passes(variant, kind, precision, models):
    for path in files_of(models(variant.name, kind, precision)):
        metadata = inspect(path.read_bytes(), path.name)
        assert (metadata.variant, metadata.input_kind, metadata.precision) == (variant.name, kind, precision)
        assert metadata.to_text() == {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def test_files_of_earlier_versions_are_read(models):
    """Without `test_pairs`, and with a sum over an axis in place of a product with ones."""
    model = onnx.load(models("order_net"))
    graph = model.graph
    model.metadata_props.remove(next(entry for entry in model.metadata_props if entry.key == "test_pairs"))
    product, last = (next(node for node in graph.node if node.name == name) for name in ("head.sum", "probability"))
    product.CopyFrom(node(EARLIER, [product.input[0], "axis"], ["probability"], keepdims=0))
    graph.node.remove(last)
    for name in ("ones", "probability.shape"):
        graph.initializer.remove(next(tensor for tensor in graph.initializer if tensor.name == name))
    graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "axis"))
    graph.value_info.remove(next(value for value in graph.value_info if value.name == "head.sum"))
    about = inspect(signed(model).SerializeToString(), "earlier.onnx")
    assert about.test_pairs == about.pairs == 200


def test_the_allow_list_has_only_operators_that_exports_write(models, digits5k, tmp_path):
    names = ("final_model", "final_model_bn", "a_net", "order_net", "conv_1")
    paths = [models(name, "images", precision) for name in names for precision in ("fp32", "fp16", "int8")]
    tanh = replace(find_variant("a_w_net"), name="tanh", activation="tanh", recipe=Recipe(epochs=1, batch=20))
    run = train_and_save(Run(variant=tanh, images=digits5k.images, pairs=100), digits5k, tmp_path).folder
    paths += export(run, tmp_path / "tanh.onnx", dataset=digits5k)[0].paths
    used = {node.op_type for path in paths for each in files_of(path) for node in onnx.load(each).graph.node}
    assert used == RULES.keys() - {EARLIER}


def signed(model, about=()):
    """The model with the metadata of another one and the checksum of its own weights."""
    model.metadata_props.extend(about)
    with suppress(ModelError):  # weights that cannot be read have no checksum
        next(e for e in model.metadata_props if e.key == "weights_sha256").value = initializers_digest(model)
    return model


def wide(channels, convolutions, kernel):
    """A graph of operators that exports write, whose size is in its numbers: convolutions that share one weight."""
    pads, names = [kernel // 2] * 4, [f"v{i}" for i in range(convolutions)]
    nodes = [helper.make_node("Cast", ["pair"], ["x"], to=TensorProto.FLOAT)]
    nodes += [
        helper.make_node("Conv", ["x", "w", "b"], [name], kernel_shape=[kernel] * 2, pads=pads, strides=[1, 1])
        for name in names
    ]
    for i, name in enumerate(names[1:]):
        nodes.append(helper.make_node("Add", [names[0] if i == 0 else f"s{i - 1}", name], [f"s{i}"]))
    last = f"s{convolutions - 2}" if convolutions > 1 else names[0]
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"], axis=1),
        helper.make_node("Gemm", ["f", "fw"], ["m"], transB=1),
        helper.make_node("Reshape", ["m", "shape"], ["r"]),
        helper.make_node("Sigmoid", ["r"], ["probability"]),
    ]
    weights = {
        "w": np.zeros((channels, 2, kernel, kernel), np.float32),
        "b": np.zeros(channels, np.float32),
        "fw": np.zeros((1, channels), np.float32),
        "shape": np.array([-1], np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "wide",
        [helper.make_tensor_value_info("pair", TensorProto.UINT8, ["N", 2, 28, 28])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N"])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((2000, 3, 1), r"expected at most 2,097,152 elements in all values of a pair, got"),
        ((1000, 1, 27), r"expected at most 1,073,741,824 multiply-adds for a pair, got 1,1"),
    ],
    ids=str,
)
def test_small_files_that_compute_much_are_refused(size, message, models):
    about = onnx.load(models("conv_1")).metadata_props
    content = signed(wide(*size), about).SerializeToString()
    assert len(content) < 8_000_000
    with pytest.raises(ModelError, match=message):
        inspect(content, "wide.onnx")
    inspect(signed(wide(10, 2, 3), about).SerializeToString(), "wide.onnx")  # a harmless one


def test_the_largest_files_of_pairnet_are_far_from_the_limits(models, monkeypatch):
    monkeypatch.setattr(sizes, "MOST_ELEMENTS", sizes.MOST_ELEMENTS // 5)
    monkeypatch.setattr(sizes, "MOST_MULTIPLY_ADDS", sizes.MOST_MULTIPLY_ADDS // 40)
    for name in ("order_net", "fc_3"):
        for path in files_of(models(name, "images", "int8")):
            inspect(path.read_bytes(), path.name)


@pytest.mark.parametrize(
    ("name", "precision"), [("final_model", "fp32"), ("a_net", "int8"), ("order_net_fast", "fp16")]
)
def test_a_damaged_copy_is_refused_or_answers_exactly_as_the_original(name, precision, models, digits5k):
    content = models(name, "images", precision).read_bytes()
    pairs = digits5k.test.pixels[:20].reshape(10, 2, 28, 28)
    expected = Model(content, "cpu").run({"pair": pairs})
    weights = np.zeros(len(content), bool)  # SHA-256 covers them: a third of the copies is enough
    for tensor in onnx.ModelProto.FromString(content).graph.initializer:
        if len(tensor.raw_data) > 100:
            start = content.find(tensor.raw_data)
            weights[start : start + len(tensor.raw_data)] = True
    rng, messages = np.random.default_rng(0), list[str]()
    for copy in range(COPIES):
        places = np.flatnonzero(weights == (copy % 3 == 0))
        damaged = bytearray(content)
        damaged[rng.choice(places)] ^= int(rng.integers(1, 256))
        try:
            results = Model(bytes(damaged), "cpu").run({"pair": pairs})
        except ModelError as error:
            messages.append(str(error))
        else:
            assert all((a == b).all() for a, b in zip(results, expected, strict=True))
    assert len(messages) > COPIES / 2
    assert all(map(str.isprintable, messages))


def test_damaged_files_print_nothing(models, tmp_path):
    content = models("final_model").read_bytes()
    rng = np.random.default_rng(1)
    for copy in range(10):
        damaged = bytearray(content)
        damaged[int(rng.integers(len(content) - 6000, len(content)))] ^= 1 << (copy % 8)
        (tmp_path / f"{copy}.onnx").write_bytes(damaged)
    (tmp_path / "cut.onnx").write_bytes(content[:1000])
    (tmp_path / "empty.onnx").write_bytes(b"")
    program = """
import sys
from pathlib import Path
from pairnet.errors import ModelError
from pairnet.serving.predictor import Predictor
for path in sorted(Path(sys.argv[1]).glob("*.onnx")):
    try:
        Predictor(path, provider="cpu").close()
    except ModelError:
        pass
"""
    child = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert (child.stdout, child.stderr) == ("", "")


def node(operator, inputs, outputs, **attributes):
    return helper.make_node(operator, inputs, outputs, name=operator.lower(), **attributes)


def replace_last(model, *nodes, constants=()):
    """The last node, Sigmoid of "score", makes room for `nodes`."""
    del model.graph.node[-1]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants)


def constant_of_shape(model):
    size = ("size", np.array([10 * 2**30], np.int64))
    replace_last(model, node("ConstantOfShape", ["size"], ["probability"]), constants=[size])


def subgraph(operator, inputs, *names):
    bodies = {name: helper.make_graph([], "body", [], []) for name in names}
    return lambda model: replace_last(model, node(operator, inputs, ["probability"], **bodies))


def external(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")


def convolution(name, values):
    def change(model):
        first = next(node for node in model.graph.node if node.op_type == "Conv")
        next(each for each in first.attribute if each.name == name).ints[:] = values

    return change


def extra(**attribute):
    return lambda model: model.graph.node[-1].attribute.append(helper.make_attribute(*attribute.popitem()))


def doubling(model):
    flat = ("flat", np.array([-1, 1], np.int64))
    steps = [node("Reshape", ["score", "flat"], ["x0"])]
    steps += [node("Concat", [f"x{k}", f"x{k}"], [f"x{k + 1}"], axis=1) for k in range(40)]
    line = ("line", np.array([-1], np.int64))
    replace_last(
        model, *steps, node("Reshape", ["x40", "line"], ["y"]), node("Sigmoid", ["y"], ["probability"]),
        constants=[flat, line],
    )  # fmt: skip


def square(model):
    column, line = (("column", np.array([-1, 1], np.int64)), ("line", np.array([-1], np.int64)))
    replace_last(
        model, node("Reshape", ["score", "column"], ["c"]), node("Mul", ["c", "score"], ["table"]),
        node("Reshape", ["table", "line"], ["y"]), node("Sigmoid", ["y"], ["probability"]), constants=[column, line],
    )  # fmt: skip


def many_nodes(model):
    nodes = [node("Relu", [f"x{k}" if k else "score"], [f"x{k + 1}"]) for k in range(1001)]
    replace_last(model, *nodes, node("Sigmoid", ["x1001"], ["probability"]))


def computed_shape(model):
    replace_last(model, node("Reshape", ["score", "score"], ["y"]), node("Sigmoid", ["y"], ["probability"]))


def input_of(operator, position, name):
    def change(model):
        next(node for node in model.graph.node if node.op_type == operator).input[position] = name

    return change


def size_of(name, axis, size):
    def change(model):
        value = next(value for value in model.graph.value_info if value.name == name)
        value.type.tensor_type.shape.dim[axis].dim_value = size

    return change


def wrong_dims(model):
    next(tensor for tensor in model.graph.initializer if tensor.dims).dims[0] = 10**12


TEXT = helper.make_tensor("x", TensorProto.STRING, [1], [b"text"])
UNUSED = numpy_helper.from_array(np.zeros(1, np.float32), "unused")
HOSTILE = {
    "constant of shape": (constant_of_shape, "an operator that `pairnet export` writes, got 'ConstantOfShape'"),
    "loop": (subgraph("Loop", ["", ""], "body"), "AttributeProto.g"),
    "conditional": (subgraph("If", ["score"], "then_branch", "else_branch"), "AttributeProto.g"),
    "other domain": (lambda model: setattr(model.graph.node[-1], "domain", "com.microsoft"), "NodeProto.domain"),
    "other opset": (lambda model: model.opset_import.add(domain="com.microsoft", version=1), "opset 13 to 22"),
    "old opset": (lambda model: setattr(model.opset_import[0], "version", 12), "opset 13 to 22"),
    "newer format": (lambda model: setattr(model, "ir_version", 99), "checker accepts"),
    "function": (lambda model: model.functions.add(name="f", domain=""), "ModelProto.functions"),
    "sparse": (lambda model: model.graph.sparse_initializer.add(), "GraphProto.sparse_initializer"),
    "external": (external, "TensorProto.external_data"),
    "external without entry": (
        lambda model: setattr(model.graph.initializer[0], "data_location", TensorProto.EXTERNAL),
        "numbers inside the file",
    ),
    "huge padding": (convolution("pads", [10**9] * 4), "attributes that `pairnet export` writes"),
    "stride zero": (convolution("strides", [0, 0]), "attributes that `pairnet export` writes"),
    "extra number": (extra(alpha=2.0), "AttributeProto.f"),
    "extra attribute": (extra(axis=1), "attributes that `pairnet export` writes"),
    "doubling": (doubling, "at most 16777216 elements"),
    "square": (square, "elements|known shape|checker accepts"),
    "many nodes": (many_nodes, "at most 1000 nodes"),
    "computed shape": (computed_shape, "expected a constant shape"),
    "negative size": (size_of("score", 0, -1), "at most 16777216 elements, got"),
    "two of one name": (
        lambda model: model.graph.initializer.append(model.graph.initializer[0]),
        "a different name for each value",
    ),
    "unused value": (
        lambda model: model.graph.initializer.append(UNUSED),
        "a use for each value, got none for 'unused'",
    ),
    "unknown input": (input_of("Relu", 0, "nowhere"), "a use for each value|checker accepts"),
    "absent input": (input_of("Conv", 2, ""), "all inputs of Conv, got 2"),
    "text weights": (lambda model: model.graph.initializer[0].CopyFrom(TEXT), "TensorProto.string_data"),
    "wrong dims": (wrong_dims, "expected numbers"),
    "escape in a name": (lambda model: setattr(model.graph.node[0], "name", "\x1b[2J"), "name: expected plain text"),
    "other output": (lambda model: setattr(model.graph.output[0], "name", "features"), "expected "),
    "fixed batch": (
        lambda model: setattr(model.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 1),
        r"\(N,2,28,28\), got pair uint8 \(1,2,28,28\)",
    ),
    "wrong shape": (size_of("tower.conv1", 1, 33), "checker accepts"),
}


@pytest.mark.parametrize(("change", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_graph_is_refused(change, message, models):
    model = onnx.load(models("w_net"))
    change(model)
    signed(model)
    with pytest.raises(ModelError, match=rf"^bad\.onnx: .*(?:{message})") as error:
        inspect(model.SerializeToString(), "bad.onnx")
    assert str(error.value).isprintable()


def test_weights_are_compared_with_their_checksum(models):
    model = onnx.load(models("w_net"))
    tensor = model.graph.initializer[3]
    tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(1), tensor.name))
    with pytest.raises(ModelError, match=r"weights of SHA-256 \w{12}, as recorded in the metadata, got \w{12}"):
        inspect(model.SerializeToString(), "m.onnx")


def test_a_large_file_is_refused_before_it_is_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(inspection, "LARGEST_FILE", 1000)
    (tmp_path / "large.onnx").write_bytes(bytes(1001))
    with pytest.raises(ModelError, match=r"large\.onnx: expected .* of at most 1,000 bytes, got 1,001 bytes"):
        read_file(tmp_path / "large.onnx")
    with pytest.raises(ModelError, match="MiB"):
        inspect(bytes(1001), "bytes")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path, got in ((tmp_path / "none.onnx", "no such file"), (tmp_path, "a folder")):
        with pytest.raises(ModelError, match=f"expected an ONNX file that `pairnet export` wrote, got {got}"):
            read_file(path)
