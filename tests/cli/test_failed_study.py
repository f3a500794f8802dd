"""A study a third of whose runs diverge, from its display to its last file: nothing hides it or repeats it."""

import csv
import json

import pytest

from pairnet.records.store import read_stored

FILE = """
title = "Thirds"
draws = 2
pairs = 40
data = "glyphs:400"
[variants.mine]
net = "fc(392,8) fc(8,1)"
[[rows]]
variant = "mine"
label = "calm"
set = { epochs = 2 }
[[rows]]
variant = "mine"
label = "steady"
set = { epochs = 2, learning_rate = 3e-3 }
[[rows]]
variant = "mine"
label = "wild"
set = { epochs = 2, learning_rate = 1e28, optimiser = "sgd" }
"""
WILD = "wild: all 2 draws failed: 2 diverged in epoch 1"


@pytest.fixture
def pairnet(command_line, tmp_path):
    """Runs a command line; thirds.toml is a study file."""
    (tmp_path / "thirds.toml").write_text(FILE)
    return command_line


def words(text):
    return " ".join(text.split())


def test_nothing_hides_runs_that_diverge(pairnet, tmp_path):
    status, out, err = pairnet("study", "thirds.toml", "--jobs", 1)
    assert status == 1
    assert WILD in words(out)
    assert "none †" in words(out)
    assert f"† {WILD}" in err
    assert "2 of 6 runs failed (2 diverged in epoch 1): wild 2; the first: mine: expected a finite loss" in err
    failures = read_stored(tmp_path / "runs").failures.values()
    assert [(each.kind, each.epoch, each.run.seed, each.run.recipe.optimiser) for each in failures] == [
        ("diverged", 1, draw, "sgd") for draw in range(2)
    ]
    folder = tmp_path / "runs" / "report"
    assert (folder / "report.html").read_text().count(WILD) >= 2  # in the first sentences, and below the table
    with (folder / "results.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["row"], line["outcome"], line["failed_epoch"], line["accuracy"] == "") for line in lines] == [
        *((label, "finished", "", False) for label in ("calm", "steady") for _ in range(2)),
        *(("wild", "diverged", "1", True) for _ in range(2)),
    ]
    summary = json.loads((folder / "summary.json").read_text())
    found = {row["label"]: row for row in summary["tables"]["thirds"]["rows"]}
    assert [(each["seed"], each["kind"], each["epoch"]) for each in found["wild"]["failed"]] == [
        (0, "diverged", 1),
        (1, "diverged", 1),
    ]
    assert (found["wild"]["draws"], found["wild"]["mean"], found["calm"]["failed"]) == (0, None, [])
    assert f"What failed: {WILD}." in summary["sentences"]


def test_a_repeated_study_says_what_failed_before_and_how_to_run_it_again(pairnet, tmp_path):
    pairnet("study", "thirds.toml", "--jobs", 1, "--no-report")
    before = (tmp_path / "runs" / "records.jsonl").read_bytes()
    status, out, err = pairnet("study", "thirds.toml", "--no-report")
    assert (status, WILD in words(out)) == (1, True)
    assert "4 of 6 runs are kept from before\n2 of 6 runs failed before: 2 diverged in epoch 1; --retry-failed" in err
    assert (tmp_path / "runs" / "records.jsonl").read_bytes() == before
    _, _, err = pairnet("study", "thirds.toml", "--jobs", 1, "--no-report", "--retry-failed")
    assert err.count("failed: mine: expected a finite loss") == 2
    assert len((tmp_path / "runs" / "records.jsonl").read_text().splitlines()) == 8
    printed = pairnet("study", "thirds.toml", "--no-report", "--markdown")[1]
    assert f"† {WILD}." in printed
    rows = json.loads(pairnet("study", "thirds.toml", "--no-report", "--json")[1])["thirds"]
    assert [(row["label"], row["draws"], len(row["failed"])) for row in rows] == [
        ("calm", 2, 0),
        ("steady", 2, 0),
        ("wild", 0, 2),
    ]


def test_lists_count_them(pairnet):
    pairnet("study", "thirds.toml", "--jobs", 1, "--no-report")
    status, out, err = pairnet("runs")
    assert (status, "4 runs in runs, 2 more failed" in out) == (0, True)
    assert "wild 2 epochs, 40 pairs of glyphs 0 of 2 †" in words(out)
    assert "† wild, 2 epochs, 40 pairs of glyphs: all 2 draws failed: 2 diverged in epoch 1" in err
    assert words(pairnet("runs", "--long")[1]).count("diverged in epoch 1") == 2
    found = json.loads(pairnet("runs", "--row", "wild", "--json")[1])
    assert [(run["draw"], run["accuracy"], run["outcome"], run["failed_epoch"]) for run in found] == [
        (0, None, "diverged", 1),
        (1, None, "diverged", 1),
    ]
