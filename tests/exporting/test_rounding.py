"""A graph may differ from the float32 graph in its precision and in nothing else: each planted fault is refused."""

import os
from functools import cache

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pairnet.artifact.design import Design
from pairnet.errors import ExportError
from pairnet.exporting import graph as graphs
from pairnet.exporting import quantise as quantising
from pairnet.exporting.prepared import feeds, prepare
from pairnet.exporting.quantise import pool_first, quantise
from pairnet.exporting.rounding import check_rounding
from pairnet.models.variants import find_variant
from pairnet.study.saved import load_run

pytest_plugins = ("trained_runs",)

FILES = [("final_model_bn", "joint", "images"), ("order_net_fast", "joint", "pairs"), ("final_model", "head", "images")]
if os.environ.get("PAIRNET_ATTACK") == "long":
    FILES += [("no_w_net", "joint", "images"), ("w_net", "encoder", "images"), ("a_net", "joint", "pairs")]


@pytest.fixture(scope="module")
def built(trained, digits5k):
    """The model, the float32 graph and the rows of its calibration."""

    @cache
    def build(name, part, kind, precision):
        run = prepare(load_run(trained(name)), name, digits5k, kind)
        variant = find_variant(name)
        design = Design(
            variant=variant, part=part, input_kind=kind, with_digits=part == "joint" and variant.classifies_digits
        )
        weights = {key: value.numpy() for key, value in run.network.state_dict().items()}
        exact = graphs.build(design, weights, run.moments)
        if precision == "fp32":
            return exact, exact, None
        if precision == "fp16":
            half = Design(variant=variant, part=part, input_kind=kind, with_digits=design.with_digits, half=True)
            return graphs.build(half, weights, run.moments), exact, None
        rows = {key: value[:20] for key, value in feeds(design, run, run.training).items()}
        return quantise(exact, rows), pool_first(exact), rows

    return build


def refused(model, exact, precision, rows):
    """Whether the steps of the validation that look at the file itself refuse it."""
    try:
        check_rounding("m.onnx", model, exact, precision=precision, calibration=rows)
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ExportError):
        return True
    return False


def copy(model):
    return onnx.ModelProto.FromString(model.SerializeToString())


def wrong_values(name, value, exact):
    """Small changes of one initializer: its last element by the smallest step that counts."""
    last = (-1,) * value.ndim
    if value.dtype.kind == "f":
        changed = value.copy()
        factor = np.float32(1.01) if name.endswith("_scale") else None  # a scale is computed, its last bits may differ
        changed[last] = value[last] * factor if factor else np.nextafter(value[last], value.dtype.type(np.inf))
        yield "larger", changed
        yield "zero", np.zeros_like(value) if value.any() else np.ones_like(value)
        if value.size > 1 and (value.reshape(-1) != value.reshape(-1)[::-1]).any():
            yield "in another order", np.ascontiguousarray(value.reshape(-1)[::-1].reshape(value.shape))
        return
    changed = value.copy()
    step = -1 if value[last] == np.iinfo(value.dtype).max else 1
    if name.endswith("_quantized"):  # away from the weight, so by more than half a step
        source = exact[name.removesuffix("_quantized")]
        step = -1 if source[last] < 0 else 1
        changed[last] = value[last] + 2 * step
    else:
        changed[last] = value[last] + step * (2 if value.dtype == np.uint8 else 1)  # one step may be as near
    yield "another number", changed


def planted(model, exact):
    """Every initializer, attribute and node of a model, changed one at a time, with a name for the fault."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in exact.graph.initializer}
    for place, tensor in enumerate(model.graph.initializer):
        for what, value in wrong_values(tensor.name, numpy_helper.to_array(tensor), constants):
            changed = copy(model)
            changed.graph.initializer[place].CopyFrom(numpy_helper.from_array(value, tensor.name))
            yield f"{tensor.name} {what}", changed
    for place, node in enumerate(model.graph.node):
        for number, attribute in enumerate(node.attribute):
            given = helper.get_attribute_value(attribute)
            for other in (
                [[*given[:k], given[k] + 1, *given[k + 1 :]] for k in range(len(given))]
                if isinstance(given, list)
                else [given + 1, *([TensorProto.FLOAT16 if given == 1 else 1] if node.op_type == "Cast" else [])]
            ):
                changed = copy(model)
                changed.graph.node[place].attribute[number].CopyFrom(helper.make_attribute(attribute.name, other))
                yield f"{node.name} {attribute.name} {other}", changed
            changed = copy(model)
            del changed.graph.node[place].attribute[number]
            yield f"{node.name} without {attribute.name}", changed
        for one in range(len(node.input)):
            for other in range(one):
                if node.input[one] != node.input[other]:
                    changed = copy(model)
                    inputs = changed.graph.node[place].input
                    inputs[one], inputs[other] = node.input[other], node.input[one]
                    yield f"{node.name} inputs {other} and {one} swapped", changed
        changed = copy(model)
        changed.graph.node[place].op_type = "Tanh" if node.op_type != "Tanh" else "Relu"
        yield f"{node.name} Tanh", changed
        changed = copy(model)
        extra = helper.make_node("Relu", [node.output[0]], ["extra"], name="extra")
        for reader in changed.graph.node:
            reader.input[:] = ["extra" if name == node.output[0] else name for name in reader.input]
        changed.graph.node.insert(place + 1, extra)
        if any("extra" in reader.input for reader in changed.graph.node):
            yield f"Relu after {node.name}", changed
        readers = {reader.op_type for reader in model.graph.node if node.output[0] in reader.input}
        unneeded = node.op_type == "Relu" and readers == {"QuantizeLinear"}  # from zero point 0, 8 bits are a ReLU
        if not unneeded and node.output[0] not in {value.name for value in model.graph.output}:
            changed = copy(model)
            for reader in changed.graph.node:
                reader.input[:] = [node.input[0] if name == node.output[0] else name for name in reader.input]
            del changed.graph.node[place]
            yield f"without {node.name}", changed
    changed = copy(model)
    changed.opset_import[0].version += 1
    yield "opset", changed


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize(("name", "part", "kind"), FILES)
def test_each_planted_fault_is_refused(name, part, kind, precision, built):
    model, exact, rows = built(name, part, kind, precision)
    check_rounding("m.onnx", model, exact, precision=precision, calibration=rows)
    faults = list(planted(model, exact))
    assert len(faults) > 50
    assert [fault for fault, changed in faults if not refused(changed, exact, precision, rows)] == []


def constants(model):
    return {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in model.graph.initializer}


def store(model, **arrays):
    """Replaces initializers."""
    for name, array in arrays.items():
        place = next(k for k, tensor in enumerate(model.graph.initializer) if tensor.name == name)
        model.graph.initializer[place].CopyFrom(numpy_helper.from_array(np.asarray(array), name))


def node_of(model, name):
    return next(node for node in model.graph.node if node.name == name)


def conversion(model, operator, value):
    """The QuantizeLinear or DequantizeLinear node that reads a value."""
    return next(node for node in model.graph.node if (node.op_type, node.input[0]) == (operator, value))


def scaled(name, factor):
    """An initializer multiplied by `factor`."""

    def change(model, exact):
        value = constants(model)[name]
        store(model, **{name: (value * factor).astype(value.dtype)})

    return change


def scaled_together(model, exact):
    """A scale that is too large, with weights and biases that are the nearest steps of it."""
    for name, source in (("weight", "head.fc2.weight"), ("bias_quantized", "head.fc2.bias")):
        scaled(f"head.fc2.{name}_scale", 1 + 6e-4)(model, exact)
        scale, value = constants(model)[f"head.fc2.{name}_scale"], constants(exact)[source]
        stored = f"{source}_quantized"
        steps = np.round(value.astype(np.float64) / scale.reshape(-1, *[1] * (value.ndim - 1)))
        store(model, **{stored: steps.astype(constants(model)[stored].dtype)})


def steps_off(model, exact):
    """A weight one step away from a value that it was almost exactly: an error of one step, twice what is allowed."""
    stored, scale = (constants(model)[f"head.fc2.weight_{part}"] for part in ("quantized", "scale"))
    rest = np.abs(constants(exact)["head.fc2.weight"] / scale[:, None] - stored)
    at = np.unravel_index(np.argmin(rest + (np.abs(stored.astype(int)) > 60)), stored.shape)
    assert rest[at] < 0.01
    stored[at] += 1
    store(model, **{"head.fc2.weight_quantized": stored})


def bias_off(model, exact):
    stored = constants(model)["head.fc2.bias_quantized"]
    stored[0] += 2
    store(model, **{"head.fc2.bias_quantized": stored})


def beyond(model, exact):
    stored = constants(model)["head.fc2.weight_quantized"]
    stored.flat[int(np.argmax(stored))] = 65
    store(model, **{"head.fc2.weight_quantized": stored})


def wider(model, exact):
    stored = constants(model)["head.fc2.weight_quantized"].astype(np.int32)
    store(model, **{"head.fc2.weight_quantized": stored})


def narrower_bias(model, exact):
    store(model, **{"head.fc2.bias_quantized": constants(model)["head.fc2.bias_quantized"].astype(np.int8)})


def not_of_zero(model, exact):
    """The zero point of a value after a ReLU that 8 bits replace."""
    node = conversion(model, "QuantizeLinear", "head.relu1")
    store(model, **{node.input[2]: np.uint8(1)})


def other_pair(model, exact):
    """A value that is turned back with the scale of another one."""
    back = conversion(model, "DequantizeLinear", conversion(model, "QuantizeLinear", "head.relu1").output[0])
    back.input[1] = conversion(model, "QuantizeLinear", "head.relu2").input[1]


def negative_scale(model, exact):
    store(model, **{conversion(model, "QuantizeLinear", "head.relu1").input[1]: np.float32(-1)})


def zero_point_of_weights(model, exact):
    node = conversion(model, "DequantizeLinear", "head.fc2.weight_quantized")
    store(model, **{node.input[2]: np.full_like(constants(model)[node.input[2]], 1)})


def other_axis(model, exact):
    conversion(model, "DequantizeLinear", "head.fc2.weight_quantized").attribute[0].i = 1


def float_weights(model, exact):
    """Weights in float32 with a bias in 32 bits."""
    model.graph.initializer.append(numpy_helper.from_array(constants(exact)["head.fc2.weight"], "head.fc2.weight"))
    node_of(model, "head.fc2").input[1] = "head.fc2.weight"


def packed_normalisation(model, exact):
    """A correct 8-bit copy of a value that batch normalisation reads in float32."""
    name = "tower.norm2.weight"
    value = constants(exact)[name]
    scale = np.float32(np.abs(value).max() / 64)
    parts = {"quantized": np.round(value / scale).astype(np.int8), "scale": scale, "zero_point": np.int8(0)}
    for part, array in parts.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), f"{name}_{part}"))
    inputs = [f"{name}_{part}" for part in parts]
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", inputs, ["back"], name="planted", axis=0))
    node_of(model, "tower.norm2").input[1] = "back"


def swapped_outputs(model, exact):
    nodes = [node_of(model, name) for name in ("probability", "digits")]
    nodes[0].output[0], nodes[1].output[0] = "digits", "probability"


def one_more_output(model, exact):
    node_of(model, "tower.pool2").output.append("indices")


def another_shape(model, exact):
    store(model, **{"head.fc3.bias": constants(model)["head.fc3.bias"][None]})


def insert_after(model, name, *nodes):
    place = next(k for k, node in enumerate(model.graph.node) if node.name == name) + 1
    for number, node in enumerate(nodes):
        model.graph.node.insert(place + number, node)


def quantised_scores(model, exact):
    """A correct pair of conversions where none belongs."""
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0.1), "s"))
    model.graph.initializer.append(numpy_helper.from_array(np.uint8(100), "z"))
    down = helper.make_node("QuantizeLinear", ["score", "s", "z"], ["q"], name="down")
    insert_after(model, "score", down, helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], name="up"))
    node_of(model, "probability").input[0] = "d"


def casts_there_and_back(model, exact):
    """Two casts that round a value where none belongs."""
    down = helper.make_node("Cast", ["score.float32"], ["a"], name="down", to=TensorProto.FLOAT16)
    up = helper.make_node("Cast", ["a"], ["b"], name="up", to=TensorProto.FLOAT)
    insert_after(model, "score.float32", down, up)
    node_of(model, "probability").input[0] = "b"


def softmax_in_half(model, exact):
    """The cast of the digits after their softmax, and not before it."""
    cast, softmax = node_of(model, "digit_scores.float32"), node_of(model, "digits")
    softmax.input[0], softmax.output[0] = cast.input[0], "digits.half"
    model.graph.node.remove(cast)
    model.graph.node.append(helper.make_node("Cast", ["digits.half"], ["digits"], name="up", to=TensorProto.FLOAT))


def without(name):
    return lambda model, exact: model.graph.node.remove(node_of(model, name))


@pytest.mark.parametrize(
    ("precision", "fault", "message"),
    [
        ("int8", scaled_together, r"expected head\.fc2\.weight in steps of"),
        ("int8", scaled("head.fc2.bias_quantized_scale", 1 + 6e-4), r"expected head\.fc2\.bias in steps of"),
        ("int8", steps_off, r"expected head\.fc2\.weight \[.*rounded.*: 1 of"),
        ("int8", bias_off, r"expected head\.fc2\.bias \[0\].*rounded"),
        ("int8", beyond, r"expected head\.fc2\.weight within -64\.\.64"),
        ("int8", wider, r"expected head\.fc2\.weight within -64\.\.64"),
        ("int8", narrower_bias, "expected 8 bits with a bias of 32"),
        ("int8", not_of_zero, r"zero point in place of head\.relu1: expected 0.*got 1"),
        ("int8", other_pair, "expected scale and zero point"),
        ("int8", negative_scale, "expected one positive scale for a value of 8 bits"),
        ("int8", zero_point_of_weights, r"with a scale for each output and zero points of 0"),
        ("int8", other_axis, "a trained weight, with a scale for each output"),
        ("int8", float_weights, "a bias in float32, as the weights"),
        ("int8", packed_normalisation, r"inputs of node tower\.norm2: expected a value in float32"),
        ("int8", quantised_scores, r"values in 8 bits: expected no more, .*got \['score'\]"),
        ("fp16", casts_there_and_back, r"casts: expected no more, .*got .*score"),
        ("fp16", softmax_in_half, r"casts: expected \[.*digit_scores.*got \[.*digits"),
        ("fp32", swapped_outputs, "output: expected probability.*got digits"),
        ("fp32", one_more_output, r"number of outputs of node tower\.pool2: expected 1"),
        ("fp32", another_shape, r"expected head\.fc3\.bias float32 \[1\], .*got float32 \[1, 1\]"),
        ("fp32", without("digits"), "nodes: expected digits, .*got none"),
    ],
)
def test_each_refusal_names_what_is_wrong(precision, fault, message, built):
    model, exact, rows = built("final_model_bn", "joint", "images", precision)
    model = copy(model)
    fault(model, exact)
    with pytest.raises(ExportError, match=message):
        check_rounding("m.onnx", model, exact, precision=precision, calibration=rows)


@pytest.mark.parametrize("factor", [1 + 4e-5, 1 - 4e-5])
def test_the_scale_of_an_activation_is_that_of_its_range(factor, built):
    model, exact, rows = built("final_model_bn", "joint", "images", "int8")
    model = copy(model)
    scaled(conversion(model, "QuantizeLinear", "head.relu2").input[1], factor)(model, exact)
    with pytest.raises(ExportError, match=r"expected the 8 bits of head\.relu2 to span"):
        check_rounding("m.onnx", model, exact, precision="int8", calibration=rows)


def test_a_layer_that_should_be_8_bits_and_is_not_is_refused(built, monkeypatch):
    real = quantising.kept_in_float
    monkeypatch.setattr(quantising, "kept_in_float", lambda model: [*real(model), "head.fc2", "head.relu2"])
    _, exact, rows = built("final_model_bn", "joint", "images", "int8")
    with pytest.raises(ExportError, match=r"layers in 8 bits: expected \['head\.fc2'\], .*got none"):
        check_rounding("m.onnx", quantise(exact, rows), exact, precision="int8", calibration=rows)


def test_scores_in_8_bits_are_refused(built, monkeypatch):
    monkeypatch.setattr(quantising, "SCORES", ("score",))
    _, exact, rows = built("final_model_bn", "joint", "images", "int8")
    with pytest.raises(ExportError, match=r"layers in 8 bits: expected no more, .*got \['auxiliary\.fc3'\]"):
        check_rounding("m.onnx", quantise(exact, rows), exact, precision="int8", calibration=rows)


def test_weights_beyond_float16_are_refused_with_their_bound(built):
    _, exact, _ = built("final_model_bn", "joint", "images", "fp32")
    exact, large = copy(exact), constants(exact)["head.fc2.weight"]
    large[3, 4] = 70_000
    store(exact, **{"head.fc2.weight": large})
    model, _, _ = built("final_model_bn", "joint", "images", "fp16")
    model = copy(model)
    with np.errstate(over="ignore"):
        store(model, **{"head.fc2.weight": large.astype(np.float16)})
    with pytest.raises(ExportError, match=r"head\.fc2\.weight from -65,504 to 65,504, .*got 70000: .*`precision`"):
        check_rounding("m.onnx", model, exact, precision="fp16")
