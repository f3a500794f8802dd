"""Each step of the validation raises its own error, in the fixed order, with what was expected and what was given."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pairnet.artifact.design import Design, Port
from pairnet.artifact.inspection import initializers_digest
from pairnet.errors import (
    AccuracyError,
    AxesError,
    CheckerError,
    ExportError,
    NamesError,
    ShapesError,
    ValuesError,
    WeightsError,
)
from pairnet.exporting import export as exporting
from pairnet.exporting import validate
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


@pytest.mark.parametrize(("batch", "refused"), [(1, False), (1000, True)])
def test_the_mean_difference_counts_in_the_largest_batch(batch, refused, tmp_path):
    """A single pair may be off by more than all pairs on average."""
    runs = [{"y": X[rows] @ WEIGHT} for rows in validate._batches()]
    largest = next(run for run in runs if len(run["y"]) == batch)
    largest["y"] = largest["y"] + 0.05 * max(1.0, float(np.abs(largest["y"]).max()))
    arguments = (tmp_path / "tiny.onnx", runs, {"x": X}, expected, 0.1, 0.01)
    if refused:
        with pytest.raises(ValuesError, match=r"root mean square is 0\.05"):
            validate.check_values(*arguments)
    else:
        assert validate.check_values(*arguments) == pytest.approx(0.05, rel=0.01)


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
    run = exporting.prepare(load_run(trained("final_model")), "final_model", digits5k, "images")
    design = Design(variant=find_variant("final_model"), with_digits=True)
    feeds = {"pair": exporting._enough(run.testing)}
    with pytest.raises(ValuesError if forged else WeightsError):
        check_file(
            path, design.inputs, design.outputs, feeds=feeds, expected=lambda f: exporting._expected(design, run, f)
        )


@pytest.mark.parametrize("part", ["joint", "encoder"])
@pytest.mark.parametrize(
    ("precision", "name"),
    [
        ("fp16", "tower.conv2.weight"),
        ("fp16", "tower.norm2.bias"),
        ("int8", "tower.conv2.weight_quantized"),
        ("int8", "tower.conv3.bias_quantized"),
        ("int8", "tower.norm2.weight"),
    ],
)
def test_one_corrupted_weight_is_detected_in_lower_precision(part, precision, name, trained, digits5k, tmp_path):
    """The file is damaged after it is built and before it is validated, so its checksum is correct."""
    wanted = {"joint": "m.onnx", "encoder": "m.encoder.onnx"}[part]

    def damaged(path, *arguments):
        model = onnx.load(path)
        weight = next(tensor for tensor in model.graph.initializer if tensor.name == name)
        values = numpy_helper.to_array(weight).copy()
        values.flat[7] = values.flat[7] + np.asarray(2, values.dtype)
        weight.CopyFrom(numpy_helper.from_array(values, name))
        if path.name == wanted:
            path.write_bytes(model.SerializeToString())
            return original(path, model, *arguments[1:])
        return original(path, *arguments)

    original = validate.check_rounding
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validate, "check_rounding", damaged)
        options = {"dataset": digits5k, "precision": precision, "split": True, "max_drop": 100}
        message = rf"{wanted}: expected tower\.\w+\.\w+ \[.*7?.*\] to be .* 1 of \d+ weights"
        with pytest.raises(WeightsError, match=message):
            exporting.export(trained("final_model_bn"), tmp_path / "m.onnx", **options)
    assert list(tmp_path.iterdir()) == []


def test_step_6_values_if_many_differ_a_little(tmp_path):
    shift = numpy_helper.from_array(np.array([0, 0.01], np.float32), "shift")
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny(product("Add", "shift"), extra=[shift]).SerializeToString())
    check_file(path, INPUTS, OUTPUTS, feeds={"x": X}, expected=expected, tolerance=0.1, rms_tolerance=0.01)
    with pytest.raises(ValuesError, match=r"root mean square is .*: the tolerance is 0\.0001"):
        check_file(path, INPUTS, OUTPUTS, feeds={"x": X}, expected=expected, tolerance=0.1, rms_tolerance=1e-4)


def test_all_steps_raise_export_errors():
    errors = (CheckerError, WeightsError, NamesError, AxesError, ShapesError, ValuesError, AccuracyError)
    assert all(issubclass(error, ExportError) for error in errors)
    assert len(set(errors)) == 7
