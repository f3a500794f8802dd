"""Each variant as a validated file for both input kinds; the content of the file; refusals that leave no file."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto

from pairnet.artifact.design import Design
from pairnet.artifact.inspection import inspect
from pairnet.artifact.metadata import keys
from pairnet.data.sources import load_dataset
from pairnet.errors import AccuracyError, ArgumentError, CheckerError, DataError, ModelError, RecordError, ValuesError
from pairnet.exporting import decisions, prepared, validate
from pairnet.exporting import export as exporting
from pairnet.exporting.export import export
from pairnet.models.recipes import Recipe
from pairnet.models.variants import VARIANTS, find_variant
from pairnet.records.folders import load_record
from pairnet.records.run import Run
from pairnet.study.saved import load_run, train_and_save

pytest_plugins = ("trained_runs",)


@pytest.fixture(autouse=True)
def few_further_pairs(monkeypatch):
    monkeypatch.setattr(decisions, "FURTHER_PAIRS", 500)


LAYERS = {"Conv", "Relu", "BatchNormalization", "MaxPool", "GlobalAveragePool", "Gemm", "Softmax", "Sigmoid"}
PIXELS = ["Cast", "AveragePool", "Sub", "Mul"]
SPLITTING = {"Reshape", "Flatten", "Split", "Concat"}
ORDER = {"MatMul", "Mul"}


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def metadata(path: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


@pytest.mark.parametrize("kind", ["images", "pairs"])
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_each_variant_for_both_input_kinds(variant, kind, trained, digits5k, tmp_path):
    folder = trained(variant.name)
    split = bool(variant.tower) and variant.shared
    with_digits = variant.classifies_digits
    exported = export(
        folder, tmp_path / "m.onnx", dataset=digits5k, input_kind=kind, with_digits=with_digits, split=split
    )
    for each in exported:
        assert each.difference <= validate.TOLERANCE
        assert (each.changed, each.accuracy) == (0, load_record(folder).accuracy)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["m.onnx"] or split
    used = operators(tmp_path / "m.onnx")
    if kind == "images":
        assert used[:4] == PIXELS
        used = used[4:]
    assert set(used) <= LAYERS | SPLITTING | (ORDER if variant.orders else set())
    layers = [*variant.net_layers, *variant.tower_layers * (1 if variant.shared else 2), *variant.head_layers]
    layers += variant.auxiliary_layers
    names = [type(layer).__name__ for layer in layers]
    for operator, layer in (("Conv", "Conv"), ("Gemm", "Linear"), ("BatchNormalization", "BatchNorm")):
        assert used.count(operator) == names.count(layer)


@pytest.mark.parametrize("opset", [13, 22])
@pytest.mark.parametrize("name", ["a_net", "order_net_fast"])
def test_oldest_and_newest_opset(name, opset, trained, digits5k, tmp_path):
    export(trained(name), tmp_path / "m.onnx", dataset=digits5k, opset=opset, with_digits=True)
    assert onnx.load(tmp_path / "m.onnx").opset_import[0].version == opset
    assert inspect((tmp_path / "m.onnx").read_bytes(), "m.onnx").variant == name


def test_metadata_is_complete_and_exact(trained, digits5k, tmp_path):
    folder = trained("final_model")
    export(folder, tmp_path / "m.onnx", dataset=digits5k, split=True)
    record = load_record(folder)
    for part, name in (("joint", "m.onnx"), ("encoder", "m.encoder.onnx"), ("head", "m.head.onnx")):
        about = metadata(tmp_path / name)
        assert about.keys() == keys().keys()
        assert about["part"] == part
        assert (float(about["mean"]), float(about["std"])) == (record.mean, record.std)
        assert json.loads(about["seeds"]) == record.run.seeds.identity()
        assert json.loads(about["recipe"]) == record.run.recipe.to_dict()
        assert (about["structure"], about["data_checksum"]) == (record.run.variant.structure, digits5k.checksum)
        assert float(about["test_accuracy"]) == float(about["run_accuracy"]) == record.accuracy
        assert "/" not in about["data_source"]


def test_weights_are_inside_under_their_own_names_and_every_value_has_a_shape(trained, digits5k, tmp_path):
    export(trained("final_model_bn"), tmp_path / "m.onnx", dataset=digits5k)
    model = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    names = {tensor.name for tensor in model.graph.initializer}
    assert {"tower.conv1.weight", "tower.norm3.running_var", "head.fc3.bias", "pixel.mean"} <= names
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer)
    shapes = {value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
              for value in model.graph.value_info}  # fmt: skip
    assert shapes["tower.conv1"] == ["2N", 32, 14, 14]
    assert {output for node in model.graph.node for output in node.output} - {"probability"} <= shapes.keys()


def test_rows_that_a_pooling_drops_are_not_computed(trained, digits5k, tmp_path):
    export(trained("final_model"), tmp_path / "m.onnx", dataset=digits5k)
    pads = {
        node.name: list(attribute.ints)
        for node in onnx.load(tmp_path / "m.onnx").graph.node
        for attribute in node.attribute
        if attribute.name == "pads"
    }
    assert pads == {"tower.conv1": [1, 1, 1, 1], "tower.conv2": [1, 1, 0, 0], "tower.conv3": [1, 1, 0, 0]}


@pytest.mark.parametrize("name", ["final_model", "final_model_bn", "fc_1", "conv_1", "order_net_xs"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_lower_precision_keeps_types_and_reports_accuracy(name, precision, trained, digits5k, tmp_path):
    (exported,) = export(
        trained(name), tmp_path / "m.onnx", dataset=digits5k, precision=precision, max_drop=5, max_changed=5
    )
    assert exported.torch_accuracy == load_record(trained(name)).accuracy
    session = ort.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    assert [(port.name, port.type) for port in session.get_inputs()] == [("pair", "tensor(uint8)")]
    assert [(port.name, port.type) for port in session.get_outputs()] == [("probability", "tensor(float)")]
    run = prepared.prepare(load_run(trained(name)), name, digits5k, "images")
    decided = session.run(None, {"pair": run.testing})[0] > 0.5
    assert exported.accuracy == (decided == run.targets).mean()
    assert exported.changed == (decided != (run.probability > 0.5)).sum()
    types = {tensor.data_type for tensor in onnx.load(tmp_path / "m.onnx").graph.initializer if tensor.dims}
    wanted = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.INT8
    assert wanted in types
    assert precision != "fp16" or TensorProto.FLOAT not in types
    assert metadata(tmp_path / "m.onnx")["test_accuracy"] == repr(exported.accuracy)
    assert metadata(tmp_path / "m.onnx")["precision"] == precision


def test_int8_is_calibrated_on_training_pairs(trained, digits5k, tmp_path, monkeypatch):
    calibrations, real = [], exporting.quantise

    def spy(model, calibration):
        calibrations.append(calibration["pair"])
        return real(model, calibration)

    monkeypatch.setattr(exporting, "quantise", spy)
    export(trained("no_w_net"), tmp_path / "m.onnx", dataset=digits5k, precision="int8", max_drop=100, max_changed=100)
    of_run = prepared.prepare(load_run(trained("no_w_net")), "no_w_net", digits5k, "images")
    assert np.array_equal(calibrations[0], of_run.training)
    assert not np.array_equal(calibrations[0], of_run.testing)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_loss_beyond_max_drop_is_refused_and_leaves_nothing(precision, trained, digits5k, tmp_path, monkeypatch):
    monkeypatch.setattr(
        exporting, "_outputs", lambda _, pairs: {"probability": np.zeros(len(pairs), np.float32)}
    )  # each pair is decided as greater
    with pytest.raises(
        AccuracyError, match=r"lose at most 0.5 percentage points of accuracy, got \d+\.\d\d .*`max_drop`"
    ):
        export(trained("w_net"), tmp_path / "m.onnx", dataset=digits5k, precision=precision)
    assert not list(tmp_path.iterdir())


def test_a_failed_validation_leaves_no_file_and_keeps_older_files(trained, digits5k, tmp_path, monkeypatch):
    real = exporting.expected

    def wrong_head(design, *rest):
        outputs = real(design, *rest)
        return {name: value + (0.01 if design.part == "head" else 0) for name, value in outputs.items()}

    (tmp_path / "m.onnx").write_bytes(b"older")
    monkeypatch.setattr(exporting, "expected", wrong_head)
    with pytest.raises(ValuesError, match=r"m\.head\.onnx: expected probability \[0\] of a batch of 1"):
        export(trained("w_net"), tmp_path / "m.onnx", dataset=digits5k, split=True, force=True)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("m.onnx", b"older")]


@pytest.fixture(scope="module")
def unequal(digits5k, tmp_path_factory):
    """The folder of a run with other numbers of training and test pairs."""
    run = Run(
        variant=replace(find_variant("conv_1"), recipe=Recipe(epochs=1)),
        images=digits5k.images,
        pairs=100,
        test_pairs=150,
    )
    return train_and_save(run, digits5k, tmp_path_factory.mktemp("unequal")).folder


def test_a_file_is_measured_on_the_test_pairs_of_its_run(unequal, digits5k, tmp_path):
    (exported,) = export(unequal, tmp_path / "m.onnx", dataset=digits5k)
    record, about = load_record(unequal), metadata(tmp_path / "m.onnx")
    assert (exported.pairs, about["pairs"], about["test_pairs"]) == (150, "100", "150")
    assert exported.accuracy == record.accuracy == float(about["test_accuracy"])


def test_changed_answers_are_counted_one_by_one(unequal, digits5k, tmp_path, monkeypatch):
    """Two changes that leave the accuracy as it is."""
    trained = prepared.prepare(load_run(unequal), "run", digits5k, "images")
    correct = (trained.probability > 0.5) == trained.targets
    flipped = trained.probability.copy()
    for at in (int(np.flatnonzero(correct)[0]), int(np.flatnonzero(~correct)[0])):
        flipped[at] = 1 - flipped[at]
    monkeypatch.setattr(exporting, "_outputs", lambda sessions, pairs: {"probability": flipped})
    (exported,) = export(unequal, tmp_path / "m.onnx", dataset=digits5k, max_changed=2)
    assert (exported.changed, exported.accuracy) == (2, exported.torch_accuracy)


def test_a_file_that_the_predictor_would_refuse_is_not_written(unequal, digits5k, tmp_path, monkeypatch):
    def refuse(content, name):
        raise ModelError("expected something else")

    monkeypatch.setattr(exporting, "inspect", refuse)
    with pytest.raises(CheckerError, match="expected a file that the predictor accepts, got a refusal: expected some"):
        export(unequal, tmp_path / "m.onnx", dataset=digits5k)
    assert list(tmp_path.iterdir()) == []


def test_a_network_beyond_the_bounds_of_a_file_is_refused_with_the_bound(unequal, digits5k, tmp_path):
    """Two layers multiplied and divided by the same number: the same answers, from weights of 20,000."""
    run = load_run(unequal)
    first, second = run.network.layers.conv2, run.network.layers.norm2
    with torch.no_grad():
        factor = 20_000 / first.weight.abs().max()
        first.weight.mul_(factor)
        first.bias.mul_(factor)
        second.running_mean.mul_(factor)
        second.running_var.copy_((second.running_var + second.eps) * factor**2 - second.eps)
    with pytest.raises(CheckerError) as refusal:
        export(run, tmp_path / "m.onnx", dataset=digits5k)
    message = str(refusal.value)
    assert "exceeds a bound: m.onnx: 'layers.conv2.weight': expected values from -10000 to 10000, got" in message
    assert "right in PyTorch, and the same recipe leads there again" in message
    assert "train and export the run again" not in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("which", "where"), [(0, "the run's test draw"), (1, "further pairs")])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_one_answer_that_is_not_finite_is_refused(wrong, which, where, trained, digits5k, tmp_path, monkeypatch):
    """One in a hundred would be within `max_changed`, counted as a "no"."""
    real, calls = exporting._outputs, []

    def one_wrong(sessions, pairs):
        calls.append(len(pairs))
        found = real(sessions, pairs)
        if len(calls) - 1 == which:
            found["digits"][7, 1, 3] = wrong
        return found

    monkeypatch.setattr(exporting, "_outputs", one_wrong)
    with pytest.raises(ValuesError, match=rf"from the file for {where}, got digits \[7, 1, 3\] = {wrong} "):
        export(trained("final_model"), tmp_path / "m.onnx", dataset=digits5k, precision="fp16", with_digits=True)
    assert list(tmp_path.iterdir()) == []


def test_a_changed_record_or_network_is_refused(trained, digits5k, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained("fc_1"), folder)
    text = (folder / "record.json").read_text()
    (folder / "record.json").write_text(text.replace('"seconds": ', '"seconds": 1'))
    with pytest.raises(RecordError, match=r"record\.json was edited"):
        export(folder, tmp_path / "m.onnx", dataset=digits5k)
    run = load_run(trained("fc_1"))
    for wrong, accepted in ((1, True), (2, False)):  # of 200 pairs
        changed = replace(run, record=replace(run.record, accuracy=run.record.accuracy - wrong / 200))
        if accepted:
            assert prepared.prepare(changed, "fc_1", digits5k, "images").record == changed.record
        else:
            with pytest.raises(RecordError, match=r"recorded accuracy .* to within 1 of 200 pairs, got .*changed"):
                export(changed, tmp_path / "m.onnx", dataset=digits5k)
    assert list(tmp_path.glob("*.onnx")) == []


def test_images_of_another_data_set_are_refused(trained, tmp_path):
    with pytest.raises(
        DataError, match="expected the images it was made with, mnist5k, SHA-256 ee4e028074c4, got procedural"
    ):
        export(trained("fc_1"), tmp_path / "m.onnx", dataset=load_dataset("glyphs:500"))


def test_the_path_of_a_users_folder_is_not_in_the_file(trained, digits5k):
    record = load_record(trained("fc_1"))
    images = replace(record.run.images, name="idx:mi[n]e", source="idx:/home/me/mine")
    record = replace(record, run=replace(record.run, images=images))
    model = onnx.helper.make_model(onnx.helper.make_graph([], "none", [], []))
    design = Design(variant=find_variant("fc_1"))
    about = exporting.metadata_of(design, record, "fp32", model, 0.5, "dark on light").to_text()
    assert about["data"] == "idx:mi_n_e"
    assert "/home" not in json.dumps({key: about[key] for key in about if not key.startswith("versions")})


def test_an_output_that_cannot_be_written_is_refused(trained, digits5k, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ArgumentError, match=r"expected a folder for exported files, got .*file, which is a file"):
        export(trained("fc_1"), tmp_path / "file" / "m.onnx", dataset=digits5k)


def test_rows_repeat_if_a_draw_is_smaller_than_the_largest_batch():
    assert (prepared.enough(np.arange(3))[:7] == [0, 1, 2, 0, 1, 2, 0]).all()
    assert len(prepared.enough(np.arange(3))) == max(validate.BATCHES)
