"""A fault that `graph.py` builds into the float32 graph is refused, however small it is and in any precision."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from pairnet.artifact.design import Design
from pairnet.data.pairs import Moments
from pairnet.errors import ExportError, GraphError, WeightsError
from pairnet.exporting import decisions
from pairnet.exporting import graph as graphs
from pairnet.exporting.export import export
from pairnet.exporting.network import check_network
from pairnet.exporting.quantise import pool_first
from pairnet.models.networks import build
from pairnet.models.variants import VARIANTS, Variant, find_variant

pytest_plugins = ("trained_runs",)

OTHERS = [
    replace(find_variant(name), name=f"{name}, {activation}", activation=activation)
    for name in ("final_model_bn", "a_net", "order_net_fast", "conv_3")
    for activation in ("none", "sigmoid", "tanh")
]
MOMENTS = Moments(mean=33.1, std=77.3)
ODD = [
    Variant(name=f"odd_{k}", net=net)
    for k, net in enumerate(("conv(2,4,3) P(2) G fc(4,1)", "P(2) conv(2,1,7)*", "conv(2,1,3)* P(12)"))
]


def designs(variant):
    """Every file of a variant."""
    parts = ["joint"] if variant.net or not variant.shared else ["joint", "encoder", "head"]
    for part in parts:
        for kind in ("images", "pairs") if part != "head" else ("images",):
            for digits in {False, part == "joint" and variant.classifies_digits}:
                yield Design(variant=variant, part=part, input_kind=kind, with_digits=digits)


def made(design):
    """A network whose values are all different from their initial ones, and its float32 graph."""
    network = build(design.variant, seed=1).eval()
    rng = np.random.default_rng(0)
    for name, value in network.state_dict().items():
        if "norm" in name and value.ndim:
            value.copy_(value.new_tensor(rng.uniform(0.5, 1.5, value.shape)))
    weights = {name: value.contiguous().numpy() for name, value in network.state_dict().items()}
    return network, graphs.build(design, weights, MOMENTS)


@pytest.mark.parametrize("variant", [*VARIANTS, *ODD, *OTHERS], ids=lambda variant: variant.name)
def test_the_graph_of_every_file_is_that_of_its_network(variant):
    for design in designs(variant):
        network, graph = made(design)
        for each in (graph, pool_first(graph)):
            check_network("m.onnx", each, network, design, MOMENTS)


def changed(graph, change):
    copy = onnx.ModelProto.FromString(graph.SerializeToString())
    change(copy.graph)
    return copy


def planted(graph):
    """Every initializer with its last value changed by one bit, and each attribute and weight of a node changed."""
    for place, tensor in enumerate(graph.graph.initializer):
        value = numpy_helper.to_array(tensor).copy()
        value.reshape(-1).view(np.uint8)[0] ^= 1
        yield (
            f"{tensor.name}, one bit",
            changed(
                graph,
                lambda g, k=place, v=value, n=tensor.name: g.initializer[k].CopyFrom(numpy_helper.from_array(v, n)),
            ),
        )
        yield f"without {tensor.name}", changed(graph, lambda g, k=place: g.initializer.pop(k))
    for place, node in enumerate(graph.graph.node):
        for number, attribute in enumerate(node.attribute):
            given = helper.get_attribute_value(attribute)
            others = [given + 1, given - 1] if isinstance(given, int) else []
            if isinstance(given, list):
                others = [[*given[:k], given[k] + step, *given[k + 1 :]] for k in range(len(given)) for step in (1, -1)]
            for other in (helper.make_attribute(attribute.name, each) for each in others):
                fault = changed(graph, lambda g, k=place, n=number, a=other: g.node[k].attribute[n].CopyFrom(a))
                yield f"{node.name} {other}", fault
            yield (
                f"{node.name} without {attribute.name}",
                changed(graph, lambda g, k=place, n=number: g.node[k].attribute.pop(n)),
            )
        if node.op_type in ("Conv", "Gemm", "BatchNormalization") and len(node.input) > 2:
            yield (
                f"{node.name} with other weights",
                changed(graph, lambda g, k=place: g.node[k].input.append(g.node[k].input.pop(1))),
            )
        if node.op_type in ("Relu", "MaxPool", "BatchNormalization", "Conv"):
            yield f"without {node.name}", changed(graph, lambda g, k=place: g.node.pop(k))
            yield (
                f"{node.name} twice",
                changed(graph, lambda g, k=place: g.node.add(op_type=g.node[k].op_type, name="more", output=["more"])),
            )


@pytest.mark.parametrize(
    ("name", "part"),
    [("final_model_bn", "joint"), ("final_model", "head"), ("order_net_fast", "joint"), ("no_w_net", "joint"),
     ("order_net_fast", "head"), ("final_model", "encoder"), ("conv_3", "joint")],
)  # fmt: skip
def test_each_fault_in_a_graph_is_refused(name, part):
    variant = find_variant(name)
    design = Design(variant=variant, part=part, with_digits=part == "joint" and variant.classifies_digits)
    network, graph = made(design)
    missed = []
    for fault, wrong in planted(graph):
        try:
            check_network("m.onnx", wrong, network, design, MOMENTS)
            missed.append(fault)
        except (GraphError, WeightsError):
            pass
    assert missed == []


def test_the_message_names_the_weight_and_both_values():
    design = Design(variant=find_variant("final_model"))
    network, graph = made(design)
    (weight,) = (tensor for tensor in graph.graph.initializer if tensor.name == "head.fc2.bias")
    value = numpy_helper.to_array(weight).copy()
    right, value[3] = value[3], 0.25
    weight.CopyFrom(numpy_helper.from_array(value, weight.name))
    with pytest.raises(
        WeightsError, match=rf"m\.onnx: expected head\.fc2\.bias \[3\] to be {right}, .*, got 0\.25: 1 of \d+ values"
    ):
        check_network("m.onnx", graph, network, design, MOMENTS)


def plant_weight(monkeypatch, target):
    """One number of `target` is wrong wherever graph.py adds it."""
    real = graphs._trained

    def wrong(graph, name, weights, parts=("weight", "bias")):
        if target in weights:
            value = weights[target].copy()
            value.flat[-1] = value.flat[-1] * 1.5 + 0.01
            weights = {**weights, target: value}
        return real(graph, name, weights, parts)

    monkeypatch.setattr(graphs, "_trained", wrong)


def plant_constant(monkeypatch, target):
    """The same for a value that graph.py computes: half of a split weight, a constant of the pixels or of an order."""
    for method in ("weight", "exact"):
        real = getattr(graphs._Graph, method)

        def wrong(graph, name, value, real=real):
            if name == target:
                value = np.array(value)
                value.flat[-1] = value.flat[-1] * 1.5 + 0.01
            return real(graph, name, value)

        monkeypatch.setattr(graphs._Graph, method, wrong)


def plant_pad(monkeypatch, target):
    """A convolution over `target` channels leaves out a row that the next pooling needs."""
    real = graphs._conv

    def wrong(layer, later, before):
        attributes = real(layer, later, before)
        if before[0] == int(target):
            attributes["pads"] = [*attributes["pads"][:2], *(1 - end for end in attributes["pads"][2:])]
        return attributes

    monkeypatch.setattr(graphs, "_conv", wrong)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize(
    ("name", "plant", "target"),
    [
        ("final_model_bn", plant_weight, "tower.norm3.running_var"),
        ("final_model_bn", plant_weight, "tower.conv1.weight"),
        ("final_model_bn", plant_weight, "auxiliary.fc1.weight"),
        ("fc_1", plant_weight, "layers.fc1.weight"),
        ("no_w_net", plant_weight, "other_tower.conv2.bias"),
        ("w_net", plant_constant, "head.fc1.weight.first"),
        ("w_net", plant_constant, "head.fc1.weight.second"),
        ("w_net", plant_constant, "pixel.mean"),
        ("order_net_fast", plant_constant, "at_least"),
        ("final_model", plant_pad, "1"),
    ],
)
def test_an_export_with_a_fault_in_the_graph_leaves_no_file(
    name, plant, target, precision, trained, digits5k, tmp_path, monkeypatch
):
    monkeypatch.setattr(decisions, "FURTHER_PAIRS", 100)
    variant = find_variant(name)
    plant(monkeypatch, target)
    options = {"with_digits": variant.classifies_digits, "split": variant.shared and not variant.net}
    with pytest.raises(ExportError, match=r"as in the trained network, got"):
        export(
            trained(name), tmp_path / "m.onnx", dataset=digits5k, precision=precision, max_drop=100, max_changed=100,
            **options,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_pixels_of_other_moments_are_refused():
    design = Design(variant=find_variant("conv_1"))
    network, graph = made(design)
    with pytest.raises(WeightsError, match=r"expected pixel\.mean \[\] to be"):
        check_network("m.onnx", graph, network, design, replace(MOMENTS, mean=float(np.float32(33.1)) + 1e-5))
