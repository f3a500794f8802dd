"""Sizes and errors that the suite tracks, against the networks, the files and the pairs themselves."""

from dataclasses import replace

import onnx
import pytest
import torch
from torch import nn

from bench import fixture, quality, size
from bench.common import NAMES
from pairnet.models.networks import GlobalMean, build
from pairnet.models.paper import TABLE_I, TABLE_III
from pairnet.models.variants import find_variant

pytest_plugins = ("trained_runs",)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_those_of_the_network_that_torch_builds(name):
    network = build(find_variant(name))
    assert size.Structure().track_parameters(name) == sum(each.numel() for each in network.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_multiply_adds_are_those_that_torch_computes_for_a_pair(name):
    """A layer with weights has one for each value of its output and weight that leads there, the auxiliary classifier
    left out; a mean has one per value; to compare two digits takes at most the products of their probabilities.
    """
    network, total = build(find_variant(name)).eval(), 0

    def count(module, inputs, output):
        nonlocal total
        total += inputs[0].numel() if isinstance(module, GlobalMean) else output.numel() * module.weight[0].numel()

    for place, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d | GlobalMean) and "auxiliary" not in place:
            module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, 2, 14, 14))
    products = 100 if find_variant(name).orders else 0
    assert total <= size.Structure().track_multiply_adds(name) <= total + products


@pytest.fixture
def built(tmp_path):
    """Two networks whose figures are all different, and files of other lengths."""
    networks = {}
    for at, (name, errors) in enumerate({"w_net": (12.0, 13.0, 11.0), "fc_1": (23.0, 24.5)}.items()):
        files = {}
        for precision, wrong in zip(fixture.PRECISIONS, (12.0 + at, 12.5 + at, 14.0 + at), strict=True):
            (tmp_path / f"{name}-{precision}.onnx").write_bytes(b"0" * int(100 * wrong))
            files[precision] = fixture.File(variant=name, precision=precision, error=wrong)
        networks[name] = fixture.Network(errors=errors, seconds_to_goal=(), files=files)
    return fixture.Fixture(folder=tmp_path, networks=networks)


@pytest.mark.parametrize(
    ("name", "precision", "expected"), [("w_net", "fp32", 12.0), ("w_net", "int8", 14.0), ("fc_1", "fp16", 13.5)]
)
def test_figures_of_a_file_are_of_its_network_and_precision(built, name, precision, expected):
    size.File().setup(built, name, precision)
    assert size.File().track_bytes(built, name, precision) == 100 * expected
    quality.FileError().setup(built, name, precision)
    assert quality.FileError().track_error(built, name, precision) == expected


def test_error_and_accuracy_are_means_over_the_runs(built):
    for name, error in (("w_net", 12.0), ("fc_1", 23.75)):
        quality.Error().setup(built, name)
        assert quality.Error().track_error(built, name) == pytest.approx(error)
        quality.ChartedAccuracy().setup(built, name)
        assert quality.ChartedAccuracy().track_accuracy(built, name) == pytest.approx(100 - error)
        quality.ChartedAbovePaper().setup(built, name)
        printed = {**TABLE_I, **TABLE_III}[name].mean
        above = 100 * (1 - error / 100 - printed)
        assert quality.ChartedAbovePaper().track_points_above_paper(built, name) == pytest.approx(above)


@pytest.mark.parametrize("kind", [size.File, quality.FileError])
def test_a_refused_file_fails_in_setup_with_its_message(built, kind):
    refused = fixture.File(variant="w_net", precision="int8", refused="changed 30 % of the decisions")
    network = built.networks["w_net"]
    damaged = replace(built, networks={"w_net": replace(network, files={**network.files, "int8": refused})})
    with pytest.raises(RuntimeError, match="changed 30 % of the decisions"):
        kind().setup(damaged, "w_net", "int8")
    kind().setup(damaged, "w_net", "fp32")


def test_a_file_in_fp32_holds_the_tracked_parameters(models):
    """fp32 stores each parameter once, in four bytes; without BN, which is folded into convolutions."""
    values = onnx.load(models("a_w_net")).graph.initializer
    stored = sum(len(value.raw_data) for value in values if value.data_type == onnx.TensorProto.FLOAT) // 4
    parameters = size.Structure().track_parameters("a_w_net")
    auxiliary = 128 * 64 + 64 + 64 * 64 + 64 + 64 * 10 + 10  # its classifier, which answers digits only
    assert parameters - auxiliary <= stored <= parameters + 10
