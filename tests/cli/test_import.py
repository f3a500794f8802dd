"""`pairnet import`, and what the other commands say of networks trained elsewhere."""

import json

import pytest
from safetensors.torch import save_file

from pairnet.models.networks import build
from pairnet.models.variants import find_variant

SMALL = ("--data", "glyphs:400", "--pairs", 100)
NAME = "conv_1 (trained elsewhere: own loop)"


def write_weights(path, seed):
    state = build(find_variant("conv_1"), seed=seed).state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, path)


@pytest.fixture
def imported(command_line, tmp_path):
    """The command line, after weights were imported -> it, and the folder of the network."""
    write_weights(tmp_path / "w.safetensors", 5)
    options = ("--variant", "conv_1", *SMALL, "--origin", "own loop", "--json")
    status, out, err = command_line("import", "w.safetensors", *options)
    assert status == 0, err
    assert "of the 100 training pairs of draw 0; --mean and --std state others" in err
    return command_line, json.loads(out)["folder"]


def test_it_is_listed_measured_and_exported_as_what_it_is(imported):
    pairnet, folder = imported
    _, out, _ = pairnet("runs", "--json")
    (row,) = json.loads(out)
    assert (row["row"], row["epochs"], row["trained_elsewhere"]) == (NAME, None, True)
    assert NAME in pairnet("runs", "--long")[1]
    status, out, _ = pairnet("evaluate", folder)
    assert status == 0
    assert out.startswith(NAME)
    _, out, _ = pairnet("evaluate", folder, "--seed", 0, "--seed", 1, "--json")
    first, second = json.loads(out)
    assert first["accuracy"] == first["recorded"] == row["accuracy"]
    assert (second["draw"], second["recorded"]) == (1, None)
    status, _, err = pairnet("export", "--model", "conv_1")
    assert status == 0, err
    assert "trained elsewhere: own loop, tested on 100 pairs" in err
    status, _, err = pairnet("predict", "conv_1.onnx", "--test", "--data", "glyphs:400")
    assert status == 0
    assert "conv_1: trained elsewhere: own loop" in err


def test_it_is_left_out_where_runs_of_pairnet_are_asked_for(imported, tmp_path):
    pairnet, _ = imported
    status, _, err = pairnet("verify")
    assert status == 2
    assert "1 network trained elsewhere, which cannot be trained again" in err
    pairnet("train", "conv_1", *SMALL, "--epochs", 1)
    status, _, err = pairnet("verify")
    assert status == 0
    assert "left out: 1 network trained elsewhere" in err
    write_weights(tmp_path / "v.safetensors", 6)
    pairnet("import", "v.safetensors", "--variant", "conv_1", *SMALL, "--origin", "own loop", "--seed", 1)
    pairnet("train", "conv_1", *SMALL, "--epochs", 1, "--seed", 1)
    status, _, err = pairnet("runs", "compare", "conv_1", NAME)
    assert status == 0, err
    assert f"{NAME}: trained elsewhere, tested on 100 pairs of glyphs" in err
    status, _, err = pairnet("export", "--model", "conv_1")
    assert status == 0
    listed = json.loads(pairnet("runs", "--json")[1])
    folders = sorted(each["folders"][0] for each in listed if each["trained_elsewhere"])
    assert len(folders) == 2
    assert f"left out 2 networks trained elsewhere: export one with --run {' or --run '.join(folders)}\n" in err
    status, _, err = pairnet("export", "--run", folders[1], "--output", "other.onnx")
    assert (status, "own loop" in err) == (0, True)
    status, _, err = pairnet("report")
    assert status == 0, err
    assert f"left out of the report: 2 runs of {NAME}" in err


def test_mean_and_std_are_stated_together(command_line):
    status, _, err = command_line("import", "w.safetensors", "--variant", "conv_1", "--mean", 33)
    assert (status, err.count("\n")) == (2, 1)
    assert "expected both --mean and --std, or neither" in err


def test_the_tensors_of_a_variant_are_listed(command_line):
    _, out, _ = command_line("variants", "--tensors", "order_net_xs", "--json")
    state = build(find_variant("order_net_xs")).state_dict()
    assert [(each["name"], each["shape"]) for each in json.loads(out)] == [
        (name, list(value.shape)) for name, value in state.items()
    ]
    _, out, _ = command_line("variants", "--tensors", "conv_1")
    assert out.splitlines()[0] == "layers.conv1.weight float32 [10, 2, 5, 5]"
    status, _, err = command_line("variants", "--tensors", "conv_1", "--draw", "conv_1")
    assert (status, "--tensors and --draw" in err) == (2, True)
