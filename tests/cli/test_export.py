"""`pairnet export`: which run it takes, what it says about it, and what it refuses before anything is trained."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pairnet.models import variants
from pairnet.models.recipes import Recipe
from pairnet.models.variants import find_variant
from pairnet.records.folders import RECORD, load_record, newest
from pairnet.records.run import Run
from pairnet.study.saved import train_and_save

pytest_plugins = ("trained_runs",)

EXPORT = ("export", "--model", "conv_1")


@pytest.fixture(scope="module")
def kept(digits5k, tmp_path_factory):
    """Three runs of conv_1, none with its own recipe or number of pairs; seeds 0, 2, 1 in the order of saving."""
    runs = tmp_path_factory.mktemp("kept") / "runs"
    for age, seed in ((30, 0), (20, 2), (10, 1)):
        variant = replace(find_variant("conv_1"), recipe=Recipe(epochs=1, learning_rate=0.002))
        run = Run(variant=variant, images=digits5k.images, pairs=100, test_pairs=150, seed=seed)
        folder = train_and_save(run, digits5k, runs).folder
        os.utime(folder / RECORD, (1e9 - age, 1e9 - age))
    return runs


@pytest.fixture
def runs(kept, tmp_path):
    return Path(shutil.copytree(kept, tmp_path / "runs"))


def by_seed(runs, seed):
    return next(folder for folder in runs.iterdir() if load_record(folder).run.seed == seed)


def exported_seed(path):
    import onnx

    return json.loads({entry.key: entry.value for entry in onnx.load(path).metadata_props}["seeds"])["weights"]


def test_the_newest_run_is_taken_whatever_its_recipe_and_named(runs, tmp_path, command_line):
    status, _, err = command_line(*EXPORT)
    assert (status, exported_seed("conv_1.onnx"), len(list(runs.iterdir()))) == (0, 1, 3)
    assert "conv_1: the newest of 3 runs in runs" in err
    assert f"from {by_seed(runs, 1).relative_to(tmp_path)}, saved 2001-09-09" in err
    assert "1 epoch on 100 pairs of mnist5k, seed 1, learning_rate 0.002, test accuracy 0." in err


def test_the_newest_run_is_found_in_a_folder_of_any_name(runs, command_line):
    by_seed(runs, 1).rename(runs / "best")
    assert command_line(*EXPORT)[0] == 0
    assert exported_seed("conv_1.onnx") == 1


def test_of_runs_saved_at_one_moment_the_later_folder_by_name_is_taken(runs):
    for folder in runs.iterdir():
        os.utime(folder / RECORD, (1e9, 1e9))
    assert newest(runs, find_variant("conv_1")).newest[0] == max(runs.iterdir())


def test_data_selects_runs_on_these_images_and_trains_only_if_asked(runs, command_line):
    other = ("--data", "glyphs:400", "--output", "g.onnx")
    status, out, err = command_line(*EXPORT, *other)
    assert (status, out, err.count("\n"), len(list(runs.iterdir()))) == (2, "", 1, 3)
    assert "expected a run of conv_1 on glyphs:400 in runs, got 3 other runs; the newest is on other images" in err
    assert "1 epoch on 100 pairs of mnist5k, seed 1" in err
    assert "choose it with --run, or train another one with --train" in err
    assert command_line("train", "conv_1", "--data", "glyphs:400", "--epochs", "1")[0] == 0
    status, _, err = command_line(*EXPORT, *other)
    assert (status, "1 epoch on" in err, "of glyphs:400, seed 0" in err) == (0, True, True)
    assert command_line(*EXPORT, "--data", "mnist5k")[0] == 0
    assert exported_seed("conv_1.onnx") == 1


def test_train_trains_a_new_one_once(runs, command_line):
    asked = (*EXPORT, "--train", "--data", "glyphs:400", "--force")
    status, _, err = command_line(*asked)
    assert (status, len(list(runs.iterdir()))) == (0, 4)
    assert "25 epochs on " in err
    status, _, err = command_line(*asked)
    assert (status, len(list(runs.iterdir()))) == (0, 4)
    assert "holds this very run already" in err


def test_without_any_run_of_that_name_one_is_trained_and_that_is_said(tmp_path, command_line):
    status, out, err = command_line("export", "--model", "order_net_fast", "--json", "--data", "glyphs:400")
    assert status == 0
    assert "order_net_fast: no network of that name in runs, so one is trained now" in err
    assert json.loads(out)[0]["paths"] == ["order_net_fast.onnx"]
    status, _, err = command_line("export", "--model", "order_net_fast", "--data", "glyphs:400")
    assert (status, err.count("\n")) == (2, 1)
    assert "order_net_fast.onnx, which exists: replace it with" in err


def test_a_folder_of_runs_that_does_not_exist_is_refused_unless_a_new_network_is_asked_for(tmp_path, command_line):
    for chosen in (("--model", "conv_1"), ("--all",)):
        status, out, err = command_line("export", *chosen, "--runs", "mine", "--data", "glyphs:400")
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "--runs: expected a folder of trained networks, got mine, which does not exist" in err
        assert "--train" in err
        assert [*tmp_path.iterdir()] == []
    new = ("--model", "conv_1", "--runs", "mine", "--data", "glyphs:400", "--train")
    assert command_line("export", *new)[0] == 0
    assert len([*(tmp_path / "mine").glob("conv_1-*")]) == 1


def test_damaged_folders_are_counted_and_named(runs, command_line):
    last = by_seed(runs, 1)
    (last / RECORD).write_text("{")
    (other := runs / "fc_1-0123abcd").mkdir()  # of another variant, by its name
    for name in (RECORD, "weights.safetensors"):
        (other / name).write_text("{")
    status, _, err = command_line(*EXPORT)
    assert (status, exported_seed("conv_1.onnx")) == (0, 2)
    assert f"left out 1 damaged folder, runs/{last.name}: " in err
    assert "fc_1" not in err
    for folder in runs.iterdir():
        (folder / RECORD).write_text("{")
    status, _, err = command_line(*EXPORT, "--force")
    assert (status, err.count("\n")) == (2, 1)
    assert "got 3 damaged folders, runs/conv_1-" in err
    assert "train one with --train" in err
    assert len(list(runs.iterdir())) == 4


def test_a_run_of_another_structure_is_not_taken_for_the_one_asked_for(runs):
    found = newest(runs, replace(find_variant("conv_1"), net="conv(2,16,5)* P(2) fc(400,1)", parameters=None))
    assert (found.newest, found.others) == (None, 3)


def test_all_exports_the_newest_of_each_variant_and_refuses_before_the_first(
    trained, tmp_path, monkeypatch, command_line
):
    rows = tuple(load_record(trained(name)).run.variant for name in ("fc_1", "no_w_net", "final_model"))
    monkeypatch.setattr(variants, "VARIANTS", rows)
    out = {trained(row.name).parent for row in rows}.pop()
    arguments = ("export", "--all", "--split", "--with-digits", "--runs", out, "--output", tmp_path / "models")
    status, _, err = command_line(*arguments, "--data", "glyphs:400")
    assert (status, (tmp_path / "models").exists()) == (2, False)
    assert "expected a run of fc_1 on glyphs" in err
    status, printed, _ = command_line(*arguments)
    assert status == 0
    assert "0 of 200" in printed
    assert {path.name for path in (tmp_path / "models").iterdir()} == {
        "fc_1.onnx", "no_w_net.onnx", "final_model.onnx", "final_model.encoder.onnx", "final_model.head.onnx"
    }  # fmt: skip


def test_all_continues_after_a_refusal_and_names_it(trained, tmp_path, monkeypatch, command_line):
    """A network whose int8 decisions change, a saved run that is damaged, and two that are as they should be."""
    from pairnet.exporting import export as exporting

    rows = tuple(load_record(trained(name)).run.variant for name in ("fc_1", "conv_1", "w_net", "final_model"))
    monkeypatch.setattr(variants, "VARIANTS", rows)
    monkeypatch.setattr("pairnet.exporting.decisions.FURTHER_PAIRS", 100)
    real = exporting._outputs

    def wrong(sessions, pairs):
        found, name = real(sessions, pairs), sessions[0].get_modelmeta().graph_name
        return {key: 1 - value if name.startswith("conv_1") else value for key, value in found.items()}

    monkeypatch.setattr(exporting, "_outputs", wrong)
    runs = shutil.copytree(trained("fc_1").parent, tmp_path / "runs")
    damaged = runs / trained("w_net").name / "weights.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-8])
    arguments = ("export", "--all", "--with-digits", "--precision", "int8", "--max-drop", "20", "--max-changed", "20")
    arguments = (*arguments, "--runs", runs, "--output", tmp_path / "models")
    status, out, err = command_line(*arguments)
    assert status == 1
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"fc_1.int8.onnx", "final_model.int8.onnx"}
    assert ("fc_1.int8.onnx" in out, "final_model.int8.onnx" in out, "conv_1" in out) == (True, True, False)
    (reason,) = (
        line for line in err.splitlines() if line.startswith("conv_1: not written: conv_1.int8.onnx as int8: ")
    )
    assert "choose another --precision, or raise --max-" in reason
    assert "w_net: not written: " in err
    assert err.endswith("wrote 2 of 4 variants: export each of the others with --model\n")
    status, out, _ = command_line(*arguments, "--force", "--json")
    assert (status, [Path(each["paths"][0]).name for each in json.loads(out)]) == (
        1, ["fc_1.int8.onnx", "final_model.int8.onnx"]
    )  # fmt: skip


def test_a_table_names_what_was_written_before_the_command_ends(trained, tmp_path, monkeypatch, command_line):
    """An error that concerns all files ends the command; those that exist are reported."""
    from pairnet.exporting import export as exporting

    rows = tuple(load_record(trained(name)).run.variant for name in ("fc_1", "conv_1"))
    monkeypatch.setattr(variants, "VARIANTS", rows)
    real = exporting.export

    def full(run, output, **options):
        if output.name.startswith("conv_1"):
            raise OSError(28, "No space left on device", str(output))
        return real(run, output, **options)

    monkeypatch.setattr(exporting, "export", full)
    status, out, err = command_line(
        "export", "--all", "--runs", trained("fc_1").parent, "--output", tmp_path / "models"
    )
    assert (status, "fc_1.onnx" in out) == (1, True)
    assert "No space left" in err


def test_digits_have_a_column_if_any_file_has_them(trained, monkeypatch, command_line):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("pairnet.exporting.decisions.FURTHER_PAIRS", 100)
    options = ("--max-drop", "20", "--max-changed", "20", "--precision", "int8", "--json")
    run = ("export", "--run", trained("final_model"))
    status, out, _ = command_line(*run, "--with-digits", "--split", *options)
    changed = json.loads(out)[0]["digits_changed"]
    assert status == 0
    status, out, _ = command_line(*run, "--with-digits", "--split", *options[:-1], "--force")
    header, lines = out.splitlines()[1], out.splitlines()
    assert status == 0
    assert {"changed", "further", "digits"} <= set(header.split())
    assert max(map(len, lines)) <= 80
    joint = next(line for line in lines if " final_model.int8.onnx " in line)
    assert joint.split()[-1] == str(changed)
    assert next(line for line in lines if ".encoder" in line).split()[-1] == "-"
    status, out, _ = command_line(*run, *options[:-1], "--force")
    assert (status, "digits" in out) == (0, False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "fc_1", "--opset", "5"], "expected 13 to 22, got 5"),
        (["--model", "fc_1", "--max-drop", "nan"], "expected 0 to 100 percentage points, got nan"),
        (["--model", "fc_1", "--max-drop", "-3"], "expected 0 to 100 percentage points, got -3"),
        (["--model", "fc_1", "--max-changed", "nan"], "--max-changed: expected 0 to 100 percent, got nan"),
        (["--model", "fc_1", "--max-changed", "100.1"], "--max-changed: expected 0 to 100 percent, got 100.1"),
        (["--model", "fc_1", "--with-digits"], "no auxiliary classifier"),
        (["--model", "fc_1", "--split"], "one encoder for both images"),
        (["--model", "no_w_net", "--split"], "one encoder for both images"),
        (["--model", "fc_1", "--output", "there.onnx"], "there.onnx, which exists: replace it with"),
        ([], "expected one of --model, --run and --all, got none: name a variant with --model"),
        (["--model", "fc_1", "--all"], "got --model and --all: leave out the others"),
        (["--run", "a-1", "a-2", "a-3"], "expected one folder with --run, got 3, a-1 and a-2, a-3: name one"),
        (["fc_1"], "expected options only, got fc_1: name a variant with --model"),
        (["--run", "nowhere", "--file", "my.toml"], "expected --model with --file, got none"),
        (["--model", "fc_1", "--max-changed", "2"], "expected --precision fp16 or int8 with --max-changed, got fp32"),
        (["--model", "fc_1", "--max-drop", "0.5"], "expected --precision fp16 or int8 with --max-drop, got fp32"),
        (["--model", "final_modl"], "did you mean final_model"),
        (["--run", "nowhere"], "nowhere is not a saved run"),
        (["--run", "nowhere", "--train"], "expected --model or --all with --train, got --run"),
    ],
)
def test_the_command_refuses_in_one_line_before_anything_is_trained(arguments, message, tmp_path, command_line):
    (tmp_path / "there.onnx").write_bytes(b"older")
    status, out, err = command_line("export", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert [path.name for path in tmp_path.iterdir()] == ["there.onnx"]
