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
