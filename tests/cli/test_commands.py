"""The commands as a user types them: output and exit status."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from record_examples import record
from typer.main import get_command

from pairnet.cli import app
from pairnet.cli.common import number_of
from pairnet.data.sources import load_dataset
from pairnet.models.variants import VARIANTS, count_parameters
from pairnet.records.run import MEASUREMENTS
from pairnet.records.seeds import seeds_of_draw
from pairnet.records.store import append, read_records
from pairnet.serving.pictures.reading import read


@pytest.fixture
def pairnet(command_line):
    return command_line


def test_variants_as_json_are_the_rows_of_the_table(pairnet):
    status, out, _ = pairnet("variants", "--json")
    rows = json.loads(out)
    assert status == 0
    assert [(row["name"], row["parameters"]) for row in rows] == [(v.name, count_parameters(v)) for v in VARIANTS]
    assert {row["name"]: row["paper_parameters"] for row in rows}["w_net"] == 142_658
    assert all(row["multiply_adds"] > 0 and row["structure"] for row in rows)


def test_variants_as_a_table(pairnet):
    status, out, _ = pairnet("variants", "--long")
    assert status == 0
    assert all(variant.name in out for variant in VARIANTS)
    assert "[conv(1,32,3) BN" in out  # brackets are no markup


MY_NET = """
[variants.my_net]
net = "fc(392,8) fc(8,1)"
"""


def test_variants_of_a_file_are_listed_and_trained(pairnet, tmp_path):
    (tmp_path / "my.toml").write_text(MY_NET)
    status, out, _ = pairnet("variants", "--file", "my.toml", "--json")
    rows = {row["name"]: row["parameters"] for row in json.loads(out)}
    assert (status, rows["my_net"]) == (0, 393 * 8 + 9)
    assert {variant.name for variant in VARIANTS} < rows.keys()
    common = ("--file", "my.toml", "--data", "glyphs:400", "--pairs", 20, "--epochs", 1)
    status, out, _ = pairnet("train", "my_net", *common)
    assert (status, out.partition(":")[0]) == (0, "my_net")
    status, _, err = pairnet("train", "your_net", *common)
    assert (status, err) == (2, 'pairnet: --file my.toml: expected one of its variants (my_net), got "your_net"\n')


def test_train_evaluate_and_train_again(pairnet):
    command = ("train", "conv_1", "--data", "glyphs:400", "--pairs", 100, "--epochs", 1, "--runs", "kept")
    status, out, err = pairnet(*command, "--json")
    record = json.loads(out)
    assert (status, record["run"]["variant"]["name"]) == (0, "conv_1")
    assert "glyphs: 400 training and 400 test images" in err
    status, out, _ = pairnet("evaluate", record["folder"], "--json")
    assert (status, json.loads(out)["accuracy"]) == (0, record["accuracy"])
    status, out, err = pairnet(*command)
    assert status == 0
    assert "holds this run already; --force" in err
    assert out == f"conv_1: test accuracy {record['accuracy']:.4f}, {record['folder']} holds this run already\n"
    assert f"pairnet export --run {record['folder']}" in err
    assert pairnet(*command, "--seed", 1)[0] == 0
    folders = sorted(map(str, Path("kept").iterdir()))
    status, out, _ = pairnet("evaluate", *folders)
    assert (status, [line.partition(":")[0] for line in out.splitlines()]) == (0, folders)
    status, out, _ = pairnet("evaluate", *folders, "--json")
    assert [each["run"] for each in json.loads(out)] == folders


def test_pairs_that_do_not_fit_are_refused_before_anything_is_said_about_them(pairnet):
    status, out, err = pairnet("train", "conv_1", "--data", "glyphs:3000", "--pairs", 5000)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "glyphs:3000 has 3000: choose --pairs of at most 1500" in err


def test_reproduce_prints_the_table_and_writes_the_report(pairnet, tmp_path):
    command = ("reproduce", "--table", 1, "--draws", 2, "--epochs", 1, "--pairs", 50, "--data", "glyphs:200")
    status, out, err = pairnet(*command)
    assert status == 0
    assert "Table I: baselines" in out
    assert all(name in out for name in ("fc_1", "cnn_base", "0.826 ± 0.011"))
    assert "procedural digits" in err
    assert "[14/14]" in err
    assert err.endswith("report  runs/report/report.html\n")
    assert (tmp_path / "runs" / "report" / "report.html").stat().st_size > 10_000
    status, out, err = pairnet(*command, "--markdown", "--no-report")
    assert out.startswith("| row | parameters |")
    assert "report" not in err


def test_reproduce_with_little_time_prints_what_there_is_and_continues(pairnet):
    command = ("reproduce", "--table", 1, "--draws", 2, "--epochs", 1, "--pairs", 20, "--data", "glyphs:200")
    command += ("--json", "--no-report")
    status, out, err = pairnet(*command, "--minutes", 1e-6)
    assert (status, {row["draws"] for row in json.loads(out)["1"]}) == (0, {1})
    assert "draws done: 1 of 2, after 0.0 minutes; the same command continues" in err
    status, out, err = pairnet(*command, "--minutes", 1000)
    assert (status, {row["draws"] for row in json.loads(out)["1"]}) == (0, {2})
    assert "7 of 14 runs are kept from before" in err
    assert "continues" not in err


def test_each_table_gets_a_draw_if_several_share_little_time(pairnet):
    small = ("--draws", 2, "--epochs", 1, "--pairs", 20, "--data", "glyphs:200", "--no-report")
    status, out, _ = pairnet("reproduce", "--table", "all", "--json", "--minutes", 1e-6, *small)
    tables = json.loads(out)
    assert (status, list(tables)) == (0, ["1", "2", "3", "dropout"])
    assert {row["draws"] for rows in tables.values() for row in rows} == {1}
    assert [len(rows) for rows in tables.values()] == [7, 5, 8, 6]


def test_shards_compute_each_run_once_and_show_what_their_folder_holds(pairnet, tmp_path):
    command = ("reproduce", "--table", 1, "--draws", 4, "--epochs", 1, "--pairs", 20, "--data", "glyphs:200", "--json")
    records = []
    for number in (1, 2):
        status, out, err = pairnet(*command, "--shard", f"{number}/2", "--runs", f"shard-{number}")
        records.append(read_records(tmp_path / f"shard-{number}"))
        draws = Counter(found.run.name for found in records[-1])
        assert (status, {row["label"]: row["draws"] for row in json.loads(out)["1"]}) == (0, draws)
        assert f"shard {number}/2, {len(records[-1])} of 28 runs" in err
        assert f"report  shard-{number}/report/report.html" in err
    assert [len(found) for found in records] == [14, 14]
    assert len({found.fingerprint for each in records for found in each}) == 28
    status, out, err = pairnet(*command, "--shard", "2/2", "--runs", "shard-1", "--no-report", "--minutes", 1e-6)
    assert "draws done: 1 of 2" in err
    assert sum(row["draws"] for row in json.loads(out)["1"]) == len(read_records(tmp_path / "shard-1")) == 21


def test_a_table_without_runs_in_a_shard_is_left_out(pairnet, tmp_path):
    command = ("reproduce", "--table", "all", "--draws", 1, "--epochs", 1, "--pairs", 20, "--data", "glyphs:200")
    status, out, err = pairnet(*command, "--shard", "24/24", "--no-report")
    assert (status, "Section VII" in out, "Table" in out) == (0, True, False)
    assert "Table I: baselines: shard 24/24, none of 7 runs" in err
    assert {found.run.name for found in read_records(tmp_path / "runs")} == {"final_model, dropout 0.6"}


@pytest.mark.parametrize("shard", ["3/2", "1", "1/1000"])
def test_a_shard_that_there_is_not_is_refused_in_one_line(pairnet, tmp_path, shard):
    status, out, err = pairnet("reproduce", "--shard", shard, "--data", "glyphs:200", "--pairs", 20)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("pairnet: expected --shard ")
    assert not (tmp_path / "runs").exists()


def test_options_reach_the_runs_and_more_measurements_are_made_up_for(pairnet, tmp_path):
    common = ("--epochs", 7, "--pairs", 20, "--data", "glyphs:200")
    command = ("reproduce", "--table", "order", "--draws", 1, *common, "--test-pairs", 30, "--no-report")

    def facts():
        found = read_records(tmp_path / "runs")
        return {(each.measurements, each.run.pairs, each.run.tested) for each in found}

    for options, expected in (((), 5), (("--measurements", 6), 6), (("--measurements", "every"), 7)):
        assert pairnet(*command, *options)[0] == 0
        assert facts() == {(expected, 20, 30)}
    status, _, err = pairnet(*command)  # fewer: everything is kept
    assert (status, "5 of 5 runs are kept" in err) == (0, True)
    assert facts() == {(7, 20, 30)}
    train = ("train", "fc_1", *common, "--json")
    for options, expected in (((), 5), (("--measurements", "2"), 5), (("--measurements", "every"), 7)):
        status, out, _ = pairnet(*train, *options)
        assert (status, json.loads(out)["run"]["measurements"]) == (0, expected)


@pytest.mark.parametrize("command", ["reproduce", "train"])
def test_the_default_number_of_measurements_is_that_of_a_run(command):
    (option,) = (each for each in get_command(app).commands[command].params if each.name == "measurements")
    assert number_of(option.default) == MEASUREMENTS


def test_version_and_a_bare_command(pairnet):
    status, out, _ = pairnet("--version")
    assert status == 0
    assert out.startswith("pairnet 0.")
    for words in ((), ("data",)):
        status, out, err = pairnet(*words)
        assert (status, err) == (2, "")
        assert "Commands:" in out


def test_a_setting_that_is_not_the_papers_is_named(pairnet):
    common = ("reproduce", "--table", "I", "--draws", 1, "--pairs", 20, "--data", "glyphs:200", "--epochs", 1)
    common += ("--no-report",)
    _, out, _ = pairnet(*common)
    remark = "epochs instead of the recipe's; 20 pairs instead of 1,000; images of glyphs instead of full MNIST"
    assert f"not the paper's setting, so no verdicts: 1 {remark.replace('epochs', 'epoch', 1)}" in " ".join(out.split())
    _, out, err = pairnet(*common, "--markdown")
    assert "Not the paper's setting, so no verdicts: 1 epoch instead" in out
    assert "so far" not in err


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
    assert "mnist5k: 3,000 training and 2,000 test images" in out


def commands():
    """Every command and group of commands, as words."""
    waiting = [((), get_command(app))]
    while waiting:
        words, command = waiting.pop()
        yield words
        waiting += [((*words, name), below) for name, below in getattr(command, "commands", {}).items()]


@pytest.mark.parametrize("command", sorted(commands()), ids=" ".join)
def test_every_command_has_help_with_examples(pairnet, command):
    status, out, err = pairnet(*command, "--help")
    assert (status, err) == (0, "")
    if command not in {(), ("data",)}:
        assert f"  pairnet {' '.join(command)}" in out.partition("Examples:")[2]


@pytest.mark.parametrize("command", [command for command in commands() if command], ids=" ".join)
def test_options_have_one_name_everywhere(command):
    found = get_command(app)
    for word in command:
        found = found.commands[word]
    options = {option for parameter in found.params for option in parameter.opts}
    assert not options & {"--out", "--figure", "--dir", "--folder", "--result"}


def test_python_m_pairnet_runs_and_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m pairnet variants --json | head -1"
    found = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert found.stdout == "[\n"
    assert found.stderr == ""


def test_pictures_of_each_class(pairnet):
    status, out, _ = pairnet("data", "pictures", "glyphs:400", "--count", 2, "--output", "some")
    assert (status, out) == (0, "wrote 20 pictures to the folder some\n")
    found = sorted(path.name for path in Path("some").glob("*.png"))
    assert [name[0] for name in found] == [digit for digit in "0123456789" for _ in range(2)]
    test = load_dataset("glyphs:400").test
    pixels, labels = test.take(np.array([int(found[5][2:7])]))
    assert labels.tolist() == [2]
    assert (read(Path("some") / found[5]).pixels == pixels).all()
    (Path("some") / "mine.png").write_bytes(b"mine")
    assert pairnet("data", "pictures", "glyphs:400", "--output", "some")[0] == 0
    assert len(list(Path("some").glob("*.png"))) == 11
    Path("other").mkdir()
    Path("other/mine.png").write_bytes(b"mine")
    status, _, err = pairnet("data", "pictures", "glyphs:400", "--output", "other")
    assert (status, err) == (
        2,
        "pairnet: expected a new or empty folder for pictures, or the one that pairnet wrote before, got other with "
        "mine.png: choose another folder\n",
    )
    assert pairnet("data", "pictures", "--count", 0)[0] == 2


def test_runs_lists_the_records_of_studies_and_of_saved_networks(pairnet, tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    append(folder, record(label="[red]row"))
    (folder / "saved").mkdir()
    (folder / "saved" / "record.json").write_text(record(1, label="saved").to_json())
    status, out, _ = pairnet("runs", "--json")
    rows = json.loads(out)
    assert (status, [row["row"] for row in rows]) == (0, ["[red]row", "saved"])
    assert rows[1]["folders"] == ["runs/saved"]
    assert rows[0] == {
        "row": "[red]row", "variant": "fc_1", "data": "mnist5k", "source": "mnist5k", "pairs": 1000,
        "test_pairs": 1000, "epochs": 2, "draw": 0, "fold": None, "accuracy": 0.7, "folders": [],
        "seeds": seeds_of_draw(0).identity(), "trained_elsewhere": False,
        "outcome": "finished", "failed_epoch": None, "error": None,
    }  # fmt: skip
    status, out, _ = pairnet("runs")
    assert status == 0
    assert "2 runs in runs" in out
    assert "[red]row" in out
    (folder / "saved" / "record.json").write_text("{}")
    status, out, err = pairnet("runs")
    assert (status, "1 run in runs" in out) == (0, True)
    assert err.startswith("skipped runs/saved/record.json: ")
    assert pairnet("runs", "--runs", "nowhere")[0] == 2


def test_doctor_calls_no_folder_ready_that_holds_other_images(pairnet, idx_folder):
    folder = idx_folder("mine")
    found = json.loads(pairnet("doctor", "--data-dir", folder, "--json")[1])
    (mnist,) = (each for each in found if each["name"] == "mnist")
    assert (mnist["ready"], "with SHA-256" in mnist["text"]) == (False, True)


def test_doctor_names_versions_providers_devices_and_sources(pairnet):
    status, out, err = pairnet("doctor", "--json")
    found = {(finding["group"].partition(" (")[0], finding["name"]): finding for finding in json.loads(out)}
    assert (status, err) == (0, "")
    assert found["system", "pairnet"]["text"].startswith("0.")
    assert found["packages", "base"]["ready"]
    assert "torch" in found["packages", "train"]["text"]
    assert found["providers of ONNX Runtime", "cpu"]["ready"]
    assert found["devices of torch", "cpu"]["ready"]
    assert found["data sources", "mnist"] | {"group": ""} == {
        "group": "", "name": "mnist", "ready": False, "text": "run `pairnet data fetch mnist`"
    }  # fmt: skip
    status, out, _ = pairnet("doctor")
    assert status == 0
    assert len(out.splitlines()) <= 24
