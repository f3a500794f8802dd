"""`pairnet study`: a file is planned, run, continued and reported; its mistakes are one line."""

import json
import shlex
from collections import Counter
from pathlib import Path

import pytest

from pairnet.records import store
from pairnet.records.store import read_records

FILE = """
title = "Rates"
draws = 2
pairs = 40
test_pairs = 60
data = "glyphs:400"
[variants.mine]
net = "fc(392,8) fc(8,1)"
[[rows]]
variant = "mine"
set = { epochs = 2 }
grid = { learning_rate = [1e-3, 1e-2] }
[[rows]]
variant = "conv_1"
set = { epochs = 1, folds = 2, pairs = 20 }
"""


@pytest.fixture
def pairnet(command_line, tmp_path):
    """Runs a command line; my.toml is a study file."""
    (tmp_path / "my.toml").write_text(FILE)
    return command_line


def test_a_dry_run_counts_and_runs_nothing(pairnet, tmp_path):
    status, out, _ = pairnet("study", "my.toml", "--dry-run")
    assert status == 0
    assert "3 rows, 8 runs, about" in out
    assert not (tmp_path / "runs").exists()
    plan = json.loads(pairnet("study", "my.toml", "--dry-run", "--draws", 5, "--json")[1])
    assert (plan["runs"], [row["runs"] for row in plan["rows"]]) == (20, [5, 5, 10])
    assert plan["core_seconds"] > 0


def test_a_study_is_run_reported_and_continued(pairnet, tmp_path):
    status, out, err = pairnet("study", "my.toml")
    assert status == 0
    assert "Rates" in out
    assert "mine, learning rate 0.001" in out
    assert err.endswith("report  runs/report/report.html\n")
    records = read_records(tmp_path / "runs")
    assert len(records) == 8
    assert {record.run.pairs for record in records} == {20, 40}
    summary = json.loads((tmp_path / "runs" / "report" / "summary.json").read_text())
    assert [row["label"] for row in summary["tables"]["my"]["rows"]] == [
        "mine, learning rate 0.001",
        "mine, learning rate 0.01",
        "conv_1",
    ]
    assert [row["draws"] for row in summary["tables"]["my"]["rows"]] == [2, 2, 2]
    (effect,) = summary["families"]["my"]["effects"]  # conv_1 has other pairs
    assert effect["first"] == "mine, learning rate 0.01"
    status, out, err = pairnet("study", "my.toml", "--no-report", "--draws", 3, "--json")
    assert "8 of 12 runs are kept from before" in err
    assert {row["draws"] for row in json.loads(out)["my"]} == {3}
    status, out, _ = pairnet("report", "--json")  # later, the file is found with the runs
    assert list(json.loads(out)["tables"]) == ["my"]


def test_a_variant_of_the_file_trains_by_itself(pairnet):
    status, out, _ = pairnet("train", "mine", "--file", "my.toml", "--epochs", 1, "--pairs", 40, "--data", "glyphs:400")
    assert (status, "mine: test accuracy" in out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("study", "gone.toml"), "gone.toml: expected a TOML file with a study, got no such file"),
        (("study", "my.toml", "--draws", 0), "expected --draws in 1..10,000, got 0"),
        (("study", "my.toml", "--engine", "rey"), "expected --engine to be processes, stacked or ray"),
        (("study", "my.toml", "--shard", "3/2"), "expected --shard to be I/N"),
        (("study",), "expected a study file, or --table for one of the paper, got none"),
        (("study", "my.toml", "--epochs", 3), "expected the numbers of --epochs in my.toml, got 3: write set"),
        (("study", "my.toml", "--table", "3"), "expected a study file or --table, got both"),
        (("reproduce", "my.toml", "--table", "1"), "expected a study file or --table, got both"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_run(pairnet, tmp_path, arguments, message):
    status, out, err = pairnet(*arguments)
    assert message in err.splitlines()[-1]
    assert (status, out) == (2, "")
    assert not (tmp_path / "runs" / "records.jsonl").exists()


def test_a_dry_run_counts_its_shard_and_takes_other_images(pairnet):
    whole = json.loads(pairnet("study", "my.toml", "--dry-run", "--json")[1])["runs"]
    shares = [
        json.loads(pairnet("study", "my.toml", "--dry-run", "--json", "--shard", f"{n}/2")[1])["runs"] for n in (1, 2)
    ]
    assert all(0 < share < whole for share in shares)
    assert sum(shares) == whole
    assert pairnet("study", "my.toml", "--draws", 1, "--data", "glyphs:500", "--no-report")[0] == 0
    assert {record.run.images.source for record in read_records(Path("runs"))} == {"glyphs:500:0"}


def test_a_study_with_a_failed_run_ends_with_its_reason_and_status_1(pairnet, tmp_path):
    rows = '[[rows]]\nvariant = "conv_1"\nset = { epochs = 1 }\ngrid = { learning_rate = [1e-3, 1e30] }\n'
    (tmp_path / "bad.toml").write_text(f'draws = 1\npairs = 50\ntest_pairs = 50\ndata = "glyphs:400"\n{rows}')
    status, _, err = pairnet("study", "bad.toml", "--no-report")
    assert status == 1
    assert "1 of 2 runs failed (1 diverged in epoch 1): conv_1, learning rate 1e+30 1; the first: conv_1: exp" in err
    assert len(read_records(tmp_path / "runs")) == 1


def test_shards_that_are_merged_give_the_report_of_the_whole_study(pairnet, tmp_path):
    for number in (1, 2):
        assert pairnet("study", "my.toml", "--shard", f"{number}/2", "--runs", f"part{number}", "--no-report")[0] == 0
    assert pairnet("runs", "merge", "part1", "part2", "--runs", "whole")[0] == 0
    assert pairnet("report", "whole")[0] == 0
    summary = json.loads((tmp_path / "whole" / "report" / "summary.json").read_text())
    assert [row["draws"] for row in summary["tables"]["my"]["rows"]] == [2, 2, 2]


@pytest.mark.parametrize("name", ["my", "3"])
@pytest.mark.parametrize("options", [(), ("--pairs", 30, "--measurements", "every"), ("--data", "glyphs:500")], ids=str)
def test_the_command_on_the_page_repeats_the_study_and_computes_nothing_again(pairnet, tmp_path, name, options):
    (tmp_path / f"{name}.toml").write_text((tmp_path / "my.toml").read_text())
    assert pairnet("study", f"{name}.toml", *options)[0] == 0
    before = (tmp_path / "runs" / "records.jsonl").read_bytes()
    (tmp_path / f"{name}.toml").unlink()  # the copy that is kept with the runs says all of what was run
    summary = json.loads(pairnet("report", "--json")[1])
    (table,) = summary["tables"].values()
    assert [row["draws"] for row in table["rows"]] == [2, 2, 2]
    (command,) = summary["origins"]["commands"]
    status, _, err = pairnet(*shlex.split(command)[1:], "--no-report")
    assert (status, "8 of 8 runs are kept from before" in err) == (0, True)
    assert (tmp_path / "runs" / "records.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [("study", "my.toml"), ("runs",), ("report",), ("runs", "compare", "conv_1", "conv_1"), ("calibration", "conv_1")],
)
def test_each_record_is_read_once(pairnet, monkeypatch, arguments):
    assert pairnet("study", "my.toml", "--no-report")[0] == 0
    read, read_record = Counter(), store.read_record

    def counting(line):
        read[line] += 1
        return read_record(line)

    monkeypatch.setattr(store, "read_record", counting)
    pairnet(*arguments)
    assert set(read.values()) == {1}
    assert len(read) == 8
