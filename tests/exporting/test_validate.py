"""Each step of the validation raises its own error, in the fixed order, with what was expected and what was given."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pairnet.artifact.design import Design, Port
from pairnet.artifact.weights import initializers_digest
from pairnet.errors import (
    AccuracyError,
    AxesError,
    CheckerError,
    DecisionsError,
    ExportError,
    GraphError,
    NamesError,
    ShapesError,
    ValuesError,
    WeightsError,
)
from pairnet.exporting import prepared, validate
from pairnet.exporting.validate import check_file
from pairnet.models.variants import find_variant
from pairnet.study.saved import load_run

pytest_plugins = ("trained_runs",)

INPUTS = (Port(name="x", dtype="float32", axes=("N", 3)),)
OUTPUTS = (Port(name="y", dtype="float32", axes=("N", 2)),)
WEIGHT = np.arange(6, dtype=np.float32).reshape(3, 2)
X = np.random.default_rng(0).standard_normal((1000, 3)).astype(np.float32)


def expected(feeds):
    return {"y": feeds["x"] @ WEIGHT}


def tiny(nodes=None, *, x=("x", ["N", 3]), y=("y", ["N", 2]), y_type=TensorProto.FLOAT, extra=()):
    """A model of y = x @ weight, or of `nodes`, with its checksum."""
    graph = helper.make_graph(
        nodes or [helper.make_node("MatMul", [x[0], "weight"], [y[0]])],
        "tiny",
        [helper.make_tensor_value_info(x[0], TensorProto.FLOAT, x[1])],
        [helper.make_tensor_value_info(y[0], y_type, y[1])],
        [numpy_helper.from_array(WEIGHT, "weight"), *extra],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, {"weights_sha256": initializers_digest(model)})
    return model


def run(model, tmp_path):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return check_file(path, INPUTS, OUTPUTS, feeds={"x": X}, expected=expected)


def test_a_valid_file_passes_and_its_difference_is_returned(tmp_path):
    assert 0 <= run(tiny(), tmp_path) <= validate.TOLERANCE


def product(operator, *inputs, **attributes):
    """Nodes of y = operator(x @ weight, ...)."""
    last = helper.make_node(operator, ["p", *inputs], ["y"], **attributes)
    return [helper.make_node("MatMul", ["x", "weight"], ["p"]), last]


def constant(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"nodes": product("Mystery")}, CheckerError, r"tiny\.onnx: expected a model that ONNX's checker accepts"),
        ({"y": ("z", ["N", 2])}, NamesError, "expected outputs y, got z"),
        ({"x": ("pair", ["N", 3])}, NamesError, "expected inputs x, got pair"),
        ({"x": ("x", [2, 3]), "y": ("y", [2, 2])}, AxesError, r"expected x float32 \(N,3\), got x float32 \(2,3\)"),
        (
            {"nodes": product("Cast", to=10), "y_type": TensorProto.FLOAT16},
            AxesError,
            r"y float32 \(N,2\), got y float16",
        ),
        (
            {"nodes": product("Reshape", "s"), "extra": [constant("s", 1, 2)]},
            ShapesError,
            "expected a batch of 2 to run",
        ),
        (
            {"nodes": product("Gather", "row"), "extra": [constant("row", 0)]},
            ShapesError,
            r"expected y float32 \(2,2\) from a batch of 2, got y float32 \(1,2\)",
        ),
    ],
    ids=["checker", "output", "input", "fixed batch", "type", "batch size in the graph", "output too small"],
)
def test_a_step_that_fails_raises_its_own_error(options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        run(tiny(**options), tmp_path)


@pytest.mark.parametrize("content", [b"not a model", tiny().SerializeToString()[:-20]], ids=["text", "cut off"])
def test_a_file_that_is_no_model_fails_the_first_step(content, tmp_path):
    with pytest.raises(CheckerError):
        run(content, tmp_path)


def test_weights_are_compared_with_their_checksum(tmp_path):
    model = tiny()
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(WEIGHT + 1, "weight"))
    with pytest.raises(WeightsError, match=r"expected weights of SHA-256 \w{12}, .* got \w{12}"):
        run(model, tmp_path)
    del model.metadata_props[:]
    with pytest.raises(WeightsError, match="SHA-256 none"):
        run(model, tmp_path)


@pytest.mark.parametrize(("wrong", "message"), [(0.01, r"0\.0\d+"), (np.nan, "nan")])
def test_step_6_values(wrong, message, tmp_path):
    shift = numpy_helper.from_array(np.array([0, wrong], np.float32), "shift")
    with pytest.raises(ValuesError, match=rf"expected y \[0, 1\] of a batch of 1 .* difference is {message}.*1e-05"):
        run(tiny(product("Add", "shift"), extra=[shift]), tmp_path)


def test_step_6_values_are_compared_at_every_batch_size(tmp_path):
    seen = []

    def spy(feeds):
        seen.append(len(feeds["x"]))
        return expected(feeds)

    (tmp_path / "tiny.onnx").write_bytes(tiny().SerializeToString())
    check_file(tmp_path / "tiny.onnx", INPUTS, OUTPUTS, feeds={"x": X}, expected=spy)
    assert seen == [1, 2, 7, 1000]


@pytest.mark.parametrize("forged", [False, True], ids=["damaged", "with its checksum"])
def test_a_weight_corrupted_after_the_export_is_detected(forged, models, trained, digits5k, tmp_path):
    model = onnx.load(models("final_model"))
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "tower.conv2.weight")
    values = numpy_helper.to_array(weight).copy()
    values.flat[7] += 1
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    if forged:
        helper.set_model_props(model, {"weights_sha256": initializers_digest(model)})
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    run = prepared.prepare(load_run(trained("final_model")), "final_model", digits5k, "images")
    design = Design(variant=find_variant("final_model"), with_digits=True)
    feeds = {"pair": prepared.enough(run.testing)}
    with pytest.raises(ValuesError if forged else WeightsError):
        check_file(
            path, design.inputs, design.outputs, feeds=feeds, expected=lambda f: prepared.expected(design, run, f)
        )


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_refused_in_lower_precision_too(wrong, tmp_path):
    shift = numpy_helper.from_array(np.array([0, wrong], np.float32), "shift")
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny(product("Add", "shift"), extra=[shift]).SerializeToString())
    with pytest.raises(ValuesError, match=r"expected y \[0, 1\] of a batch of 1"):
        check_file(path, INPUTS, OUTPUTS, feeds={"x": X}, expected=expected, precision="fp16")


def test_a_large_difference_in_lower_precision_is_returned_and_not_refused(tmp_path):
    """CPUs with arithmetic in float16 differ by more than 0.02 where no decision changes."""
    shift = numpy_helper.from_array(np.array([0, 0.2], np.float32), "shift")
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny(product("Add", "shift"), extra=[shift]).SerializeToString())
    scale = np.abs(X[:1] @ WEIGHT).max()  # of the first batch, whose difference is the largest relative one or near it
    difference = check_file(path, INPUTS, OUTPUTS, feeds={"x": X}, expected=expected, precision="fp16")
    assert 0.2 / max(1, scale) - 1e-6 <= difference <= 0.2 + 1e-6
    assert difference > 0.02


def test_in_lower_precision_the_float32_graph_has_the_values_of_pytorch(tmp_path):
    """The file equals its float32 graph, which is wrong: as in float32, that is refused."""
    shift = numpy_helper.from_array(np.array([0, 0.01], np.float32), "shift")
    model = tiny(product("Add", "shift"), extra=[shift])
    for node in model.graph.node:
        node.name = node.op_type
    (tmp_path / "tiny.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ValuesError, match=r"the tolerance 0\.0001"):
        check_file(
            tmp_path / "tiny.onnx", INPUTS, OUTPUTS, feeds={"x": X}, expected=expected, precision="int8", exact=model
        )


def test_all_steps_raise_export_errors():
    errors = (CheckerError, WeightsError, GraphError, NamesError, AxesError, ShapesError, ValuesError)
    errors += (DecisionsError, AccuracyError)
    assert all(issubclass(error, ExportError) for error in errors)
    assert len(set(errors)) == 9
