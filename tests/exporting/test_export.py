"""Every variant as a validated file, in both input kinds; what is in it; and what is refused, leaving nothing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from pairnet.artifact.design import METADATA, Design
from pairnet.cli import app
from pairnet.cli.common import run_app
from pairnet.data.sources import load_dataset
from pairnet.errors import AccuracyError, RecordError, ValuesError
from pairnet.exporting import export as exporting
from pairnet.exporting import validate as checking
from pairnet.exporting.export import export
from pairnet.models import variants
from pairnet.models.variants import VARIANTS, find_variant
from pairnet.serving.predictor import Predictor
from pairnet.study.runs import load_record, newest

pytest_plugins = ("trained_runs",)

PAPERS = {"Conv", "Relu", "BatchNormalization", "MaxPool", "GlobalAveragePool", "Gemm", "Softmax", "Sigmoid"}
PIXELS = ["Cast", "AveragePool", "Sub", "Mul"]
PARTING = {"Reshape", "Flatten", "Split", "Concat"}
ORDER = {"MatMul", "Mul", "ReduceSum"}


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def metadata(path: Path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


@pytest.mark.parametrize("kind", ["images", "pairs"])
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_every_variant_in_both_kinds(variant, kind, trained, digits5k, tmp_path):
    folder = trained(variant.name)
    split = bool(variant.tower) and variant.shared
    found = export(folder, digits5k, tmp_path / "m.onnx", kind=kind, digits=variant.classifies_digits, split=split)
    for each in found:
        assert each.difference <= checking.TOLERANCE
        assert (each.changed, each.accuracy) == (0, load_record(folder).accuracy)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["m.onnx"] or split
    used = operators(tmp_path / "m.onnx")
    if kind == "images":
        assert used[:4] == PIXELS
        used = used[4:]
    assert set(used) <= PAPERS | PARTING | (ORDER if variant.orders else set())
    layers = [*variant.net_layers, *variant.tower_layers * (1 if variant.shared else 2), *variant.head_layers]
    layers += variant.auxiliary_layers
    names = [type(layer).__name__ for layer in layers]
    for operator, layer in (("Conv", "Conv"), ("Gemm", "Linear"), ("BatchNormalization", "BatchNorm")):
        assert used.count(operator) == names.count(layer)


@pytest.mark.parametrize("opset", [13, 22])
@pytest.mark.parametrize("name", ["a_net", "order_net_fast"])
def test_oldest_and_newest_opset(name, opset, trained, digits5k, tmp_path):
    export(trained(name), digits5k, tmp_path / "m.onnx", opset=opset, digits=True)
    assert onnx.load(tmp_path / "m.onnx").opset_import[0].version == opset


def test_metadata_is_complete_and_exact(trained, digits5k, tmp_path):
    folder = trained("final_model")
    export(folder, digits5k, tmp_path / "m.onnx", split=True)
    record = load_record(folder)
    for part, name in (("joint", "m.onnx"), ("encoder", "m.encoder.onnx"), ("head", "m.head.onnx")):
        about = metadata(tmp_path / name)
        assert about.keys() == METADATA.keys()
        assert about["part"] == part
        assert (float(about["mean"]), float(about["std"])) == (record.mean, record.std)
        assert (json.loads(about["seeds"]), json.loads(about["recipe"])) == (record.seeds, record.recipe)
        assert (about["structure"], about["data_checksum"]) == (record.structure, digits5k.checksum)
        assert float(about["test_accuracy"]) == float(about["run_accuracy"]) == record.accuracy
        assert "/" not in about["data_source"]


def test_every_key_is_in_the_guide():
    guide = (Path(__file__).parent.parent / "docs" / "export.md").read_text()
    assert [key for key in METADATA if f"`{key}`" not in guide] == []


def test_weights_are_inside_under_their_own_names_and_every_value_has_a_shape(trained, digits5k, tmp_path):
    export(trained("final_model_bn"), digits5k, tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    names = {tensor.name for tensor in model.graph.initializer}
    assert {"tower.conv1.weight", "tower.norm3.running_var", "head.fc3.bias", "pixel.mean"} <= names
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer)
    shapes = {value.name: [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
              for value in model.graph.value_info}  # fmt: skip
    assert shapes["tower.conv1"] == ["2N", 32, 14, 14]
    assert {output for node in model.graph.node for output in node.output} - {"probability"} <= shapes.keys()


def test_rows_that_a_pooling_drops_are_not_computed(trained, digits5k, tmp_path):
    export(trained("final_model"), digits5k, tmp_path / "m.onnx")
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
    (found,) = export(trained(name), digits5k, tmp_path / "m.onnx", precision=precision, max_drop=5)
    assert found.torch_accuracy == load_record(trained(name)).accuracy
    assert abs(found.accuracy - found.torch_accuracy) <= found.changed / found.pairs + 1e-9
    assert metadata(tmp_path / "m.onnx")["test_accuracy"] == repr(found.accuracy)
    assert metadata(tmp_path / "m.onnx")["precision"] == precision


def test_int8_figures_are_of_the_file_and_scales_of_the_training_pairs(trained, digits5k, tmp_path, monkeypatch):
    fed, real = [], exporting.quantise

    def spy(model, calibration):
        fed.append(calibration["pair"])
        return real(model, calibration)

    monkeypatch.setattr(exporting, "quantise", spy)
    (found,) = export(trained("no_w_net"), digits5k, tmp_path / "m.onnx", precision="int8", max_drop=100)
    of_run = exporting.load_trained(trained("no_w_net"), digits5k, "images")
    assert np.array_equal(fed[0], of_run.training)
    assert not np.array_equal(fed[0], of_run.testing)
    with Predictor(tmp_path / "m.onnx") as predictor:
        decided = predictor.probability(of_run.testing) > 0.5
    assert found.changed == (decided != (of_run.probability > 0.5)).sum() > 0
    assert found.accuracy == (decided == of_run.targets).mean()


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_loss_beyond_max_drop_is_refused_and_leaves_nothing(precision, trained, digits5k, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "_answer", lambda _, pairs: np.full(len(pairs), np.nan))  # every pair: greater
    with pytest.raises(AccuracyError, match=r"lose at most 0.5 percentage points, found \d+\.\d\d .*--max-drop"):
        export(trained("w_net"), digits5k, tmp_path / "m.onnx", precision=precision)
    assert not list(tmp_path.iterdir())


def test_a_failed_validation_leaves_nothing_and_keeps_what_was_there(trained, digits5k, tmp_path, monkeypatch):
    real = exporting._expected

    def wrong_head(design, *rest):
        found = real(design, *rest)
        return {name: value + (0.01 if design.part == "head" else 0) for name, value in found.items()}

    (tmp_path / "m.onnx").write_bytes(b"older")
    monkeypatch.setattr(exporting, "_expected", wrong_head)
    with pytest.raises(ValuesError, match=r"m\.head\.onnx: expected probability \[0\] of a batch of 1"):
        export(trained("w_net"), digits5k, tmp_path / "m.onnx", split=True, force=True)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("m.onnx", b"older")]


def test_what_is_there_is_kept_without_force(trained, digits5k, tmp_path):
    (tmp_path / "m.head.onnx").write_bytes(b"older")
    with pytest.raises(FileExistsError, match="--force"):
        export(trained("w_net"), digits5k, tmp_path / "m.onnx", split=True)
    assert [path.name for path in tmp_path.iterdir()] == ["m.head.onnx"]
    export(trained("w_net"), digits5k, tmp_path / "m.onnx", split=True, force=True)
    assert len(list(tmp_path.iterdir())) == 3


def test_other_images_than_the_runs_are_refused(trained, tmp_path):
    with pytest.raises(RecordError, match="was trained on 5,000 MNIST images"):
        export(trained("fc_1"), load_dataset("glyphs:500"), tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("w_net", {"digits": True}, "no auxiliary classifier"),
        ("no_w_net", {"part": "encoder"}, "no encoder that both images share"),
        ("fc_1", {"part": "head"}, "no encoder that both images share"),
        ("fc_1", {"opset": 12}, r"--opset must lie in 13\.\.22, not 12"),
    ],
)
def test_what_a_variant_cannot_have(name, options, said):
    with pytest.raises(ValueError, match=said):
        Design(variant=find_variant(name), **options)


def test_a_users_folder_is_not_named_in_the_file(trained, digits5k):
    record = load_record(trained("fc_1"))
    record = replace(record, data={**record.data, "name": "idx:mine", "source": "idx:/home/me/mine"})
    model = onnx.helper.make_model(onnx.helper.make_graph([], "none", [], []))
    about = exporting.describe(Design(variant=find_variant("fc_1")), record, "fp32", model, 0.5)
    assert "/home" not in json.dumps({key: about[key] for key in about if not key.startswith("versions")})


def command(capsys, *arguments):
    status = run_app(app, list(map(str, arguments)))
    return status, *capsys.readouterr()


def test_the_command_trains_what_is_missing_then_takes_the_newest(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    export_it = ("export", "--model", "order_net_fast", "--json", "--data", "mnist5k")
    status, out, err = command(capsys, *export_it)
    assert status == 0
    assert "no net kept in runs, so one is trained now" in err
    assert json.loads(out)[0]["paths"] == ["order_net_fast.onnx"]
    status, _, err = command(capsys, *export_it)
    assert (status, err.count("\n")) == (1, 1)
    assert "order_net_fast.onnx: is there already: --force" in err
    assert (
        newest(Path("runs"), "order_net_fast", checksum=load_dataset("glyphs:200").checksum) is None
    )  # is trained, if asked
    assert newest(Path("runs"), "order_net_fast", checksum=load_dataset("mnist5k").checksum) is not None
    assert command(capsys, *export_it, "--force", "--split")[0] == 0
    assert {path.name for path in tmp_path.glob("*.onnx")} == {
        "order_net_fast.onnx", "order_net_fast.encoder.onnx", "order_net_fast.head.onnx"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--opset", "5"], "--opset must lie in 13..22, not 5"),
        (["--max-drop", "nan"], "--max-drop must lie in 0..100 percentage points, not nan"),
        (["--max-drop", "-3"], "--max-drop must lie in 0..100 percentage points, not -3"),
        (["--with-digits"], "no auxiliary classifier"),
        (["--split"], "no encoder that both images share"),
        (["--output", "there.onnx"], "there.onnx: is there already: --force"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_trained_for_it(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.onnx").write_bytes(b"older")
    status, _, err = command(capsys, "export", "--model", "fc_1", *arguments)
    assert status != 0
    assert said in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["there.onnx"]


def test_a_place_that_cannot_be_written_is_named(trained, digits5k, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="cannot be written") as error:
        export(trained("fc_1"), digits5k, tmp_path / "file" / "m.onnx")
    assert error.value.filename == str(tmp_path / "file" / "m.onnx")


def test_all_of_them_each_with_what_it_can_have(trained, tmp_path, monkeypatch, capsys):
    rows = tuple(map(find_variant, ("fc_1", "no_w_net", "final_model")))
    monkeypatch.setattr(variants, "VARIANTS", rows)
    out = {trained(row.name).parent for row in rows}.pop()
    arguments = ("export", "--all", "--split", "--with-digits", "--runs", out, "--output", tmp_path / "models")
    status, printed, _ = command(capsys, *arguments)
    assert status == 0
    assert "0 of 200" in printed
    assert {path.name for path in (tmp_path / "models").iterdir()} == {
        "fc_1.onnx", "no_w_net.onnx", "final_model.onnx", "final_model.encoder.onnx", "final_model.head.onnx"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "expected one of --model, --run and --all"),
        (["--model", "final_modl"], "did you mean final_model"),
        (["--model", "fc_1", "--all"], "expected one of"),
        (["--run", "nowhere"], "nowhere is no saved run"),
    ],
)
def test_the_command_refuses_in_one_line(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status, out, err = command(capsys, "export", *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_rows_repeat_where_a_draw_is_smaller_than_the_largest_batch():
    assert (exporting._enough(np.arange(3))[:7] == [0, 1, 2, 0, 1, 2, 0]).all()
    assert len(exporting._enough(np.arange(3))) == max(checking.BATCHES)
