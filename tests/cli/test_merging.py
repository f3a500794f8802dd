"""`pairnet runs merge`: shards of a study put together, and what cannot be merged."""

import json

import pytest
from record_examples import record

from pairnet.models.variants import find_variant
from pairnet.records.record import FailedRun
from pairnet.records.store import RECORDS, append, read_records


@pytest.fixture
def pairnet(command_line, tmp_path):
    """Runs a command line; the folders `one` and `two` hold two runs each, one of which is the same."""
    for name, numbers in (("one", (0, 1)), ("two", (1, 2))):
        (tmp_path / name).mkdir()
        for number in numbers:
            append(tmp_path / name, record(number))
    return command_line


def test_one_line_says_what_was_merged(pairnet, tmp_path):
    assert pairnet("runs", "merge", "one", "two", "--runs", "all") == (
        0,
        "merged 3 runs of 2 folders into all, 0 were there already\n",
        "",
    )
    assert len(read_records(tmp_path / "all")) == 3
    status, out, err = pairnet("runs", "merge", "one", "one", "all", "--runs", "all")
    assert (status, out, err) == (0, "merged 0 runs of 1 folder into all, 2 were there already\n", "")
    assert pairnet("runs", "merge", "two")[1] == "merged 2 runs of 1 folder into runs, 0 were there already\n"
    append(tmp_path / "one", record(5))
    assert pairnet("runs", "merge", "one", "--runs", "two")[1].endswith("two, 1 was there already\n")


def test_failed_runs_and_saved_networks_are_noted(pairnet, tmp_path):
    for number in (1, 8, 9):
        like = record(number)
        append(
            tmp_path / "one",
            FailedRun(
                fingerprint=like.fingerprint,
                run=like.run,
                label="fc_1",
                error="loss is nan",
                environment=like.environment,
            ),
        )
    (tmp_path / "two" / "fc_3-1").mkdir()
    (tmp_path / "two" / "fc_3-1" / "record.json").write_text(record(variant=find_variant("fc_3")).to_json())
    status, out, err = pairnet("runs", "merge", "one", "two", "--runs", "all")
    assert (status, out) == (0, "merged 4 runs of 2 folders into all, 0 were there already\n")
    assert err == (
        "added too: 2 failed runs\nnot copied: the weights of 1 saved network, which stay in their folders\n"
    )
    status, out, err = pairnet("runs", "--runs", "all")
    assert ("4 runs in all" in out, err.count("failed: fc_1, draw ")) == (True, 2)


def test_folders_that_cannot_be_merged_are_refused_in_one_line(pairnet, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / RECORDS).write_text("{}\n")
    (tmp_path / "other").mkdir()
    append(tmp_path / "other", record(0, accuracy=0.9))
    (tmp_path / "file").touch()
    for arguments, reason in (
        (("none",), "expected a folder with runs, got none, which is no folder: check the path"),
        (("one", "file"), "expected a folder with runs, got file, which is a file"),
        (("one", "empty"), f"got empty, which has no finished line in {RECORDS} and no saved network"),
        (("one", "bad"), f"bad/{RECORDS}, line 1: expected a record of a run, got something else"),
        (("one", "other"), f"one/{RECORDS}, line 1 and other/{RECORDS}, line 1 are different results of one run (fc_1"),
        ((), "Missing argument 'DIR'"),
    ):
        status, out, err = pairnet("runs", "merge", *arguments, "--runs", "all")
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert reason in err
        assert not (tmp_path / "all").exists()
    status, out, err = pairnet("runs", "merge", "one", "--runs", "file")
    advice = "expected a folder for records, got file, which is a file: choose another folder"
    assert (status, out, err) == (2, "", f"pairnet: {advice}\n")


def test_shards_that_are_merged_are_the_whole_study(command_line, tmp_path):
    common = ("--table", 1, "--draws", 1, "--epochs", 1, "--pairs", 20, "--data", "glyphs:200", "--json", "--no-report")
    for number in (1, 2, 3):
        assert command_line("reproduce", *common, "--shard", f"{number}/3", "--runs", f"shard-{number}")[0] == 0
    out = command_line("runs", "merge", "shard-1", "shard-2", "shard-3", "--runs", "study")[1]
    assert out == "merged 7 runs of 3 folders into study, 0 were there already\n"
    _, out, err = command_line("reproduce", *common, "--runs", "study")
    assert "7 of 7 runs are kept from before" in err
    merged = json.loads(out)["1"]
    computed = json.loads(command_line("reproduce", *common, "--runs", "whole")[1])["1"]
    assert [row["mean"] for row in merged] == [row["mean"] for row in computed]
