"""`pairnet verify`: what it prints, its exit status, and that it leaves the folder as it was."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from record_examples import IMAGES, record

from pairnet.models.variants import find_variant
from pairnet.records.record import FailedRun
from pairnet.records.run import Run
from pairnet.records.store import RECORDS, append, read_records
from pairnet.study.engines.processes import Processes
from pairnet.study.running import run_study


def conv_1(epochs=2):
    variant = find_variant("conv_1")
    return replace(variant, recipe=replace(variant.recipe, epochs=epochs))


@pytest.fixture(scope="module")
def lines(glyph_set, tmp_path_factory):
    """The records of three runs in their order, one of them a fold, as a study wrote them."""
    folder = tmp_path_factory.mktemp("study")
    runs = [
        Run(variant=conv_1(), images=glyph_set.images, pairs=60, seed=0),
        Run(variant=conv_1(), images=glyph_set.images, pairs=60, seed=1),
        Run(
            variant=conv_1(),
            images=glyph_set.images,
            label="a row with a name longer than a column",
            pairs=60,
            fold=1,
        ),
    ]
    run_study(runs, glyph_set, folder, engine=Processes(dataset=glyph_set, workers=1))  # one after the other
    return (folder / RECORDS).read_bytes()


@pytest.fixture
def runs(tmp_path, lines):
    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / RECORDS).write_bytes(lines)
    return folder


def rewrite(folder, number, **changes):
    """Changes one record of a folder, in values that are not checked against each other."""
    records = read_records(folder)
    (folder / RECORDS).unlink()
    for at, made in enumerate(records):
        append(folder, replace(made, **changes) if at == number else made)
    return records[number]


def words(text):
    return " ".join(text.split())


def test_fresh_runs_are_equal_and_the_folder_is_left_alone(command_line, runs, lines, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, err = command_line("verify", "--sample", 99)
    assert status == 0
    assert words(out).count(" equal, bit for bit") == 4
    assert out.splitlines()[-1] == "3 of 3 runs repeated: 3 equal, bit for bit"
    assert " 2/4 " in out
    assert max(map(len, out.splitlines())) <= 80
    assert err.startswith("repeating 3 of 3 runs\n[1/3] ")
    assert err.count("\n") == 4
    assert [path.name for path in runs.iterdir()] == [RECORDS]
    assert (runs / RECORDS).read_bytes() == lines


def test_an_edited_record_is_named(command_line, runs):
    made = read_records(runs)[1]
    last = replace(made.epochs[-1], validation_accuracy=0.9)
    wrong = tuple((at, 0.25) for at in range(6))
    rewrite(runs, 1, accuracy=0.9, epochs=(*made.epochs[:-1], last), wrong=wrong)
    status, out, err = command_line("verify", runs, "--sample", 3, "--jobs", 2)
    assert status == 1
    assert f"conv_1 1 0.9000 {made.accuracy:.4f} DIFFERS" in words(out)
    assert out.splitlines()[-1] in (
        "3 of 3 runs repeated: 2 equal, bit for bit; 1 DIFFERS",
        "3 of 3 runs repeated: 1 DIFFERS; 2 equal, bit for bit",
    )
    expected = f"expected accuracy 0.9000 and the same answers, got {made.accuracy:.4f}: the record was edited, or "
    assert err.splitlines()[-1].startswith(f"pairnet: conv_1, draw 1: {expected}")


def test_edited_answers_are_found(command_line, runs):
    rewrite(runs, 2, answers_sha256="0" * 64)
    status, _, err = command_line("verify", "--row", "a row with a name longer than a column")
    assert status == 1
    assert "draw 0, fold 2/4: expected accuracy" in err.splitlines()[-1]
    assert "with the same answers, got the accuracy with others" in err.splitlines()[-1]


def test_a_record_of_another_machine_is_judged_with_the_tolerance(command_line, runs):
    environment = read_records(runs)[0].environment
    elsewhere = replace(environment, hardware="Another CPU, 4 cores", versions={**environment.versions, "torch": "1.0"})
    rewrite(runs, 0, environment=elsewhere, answers_sha256="0" * 64)
    status, out, err = command_line("verify", "--sample", 3)
    assert status == 0
    assert "2 equal, bit for bit" in out.splitlines()[-1]
    assert "1 within 13 points" in out.splitlines()[-1]  # 60 pairs
    last = err.splitlines()[-1]
    assert last.startswith("not compared bit for bit: CPU ")
    assert " instead of Another CPU, torch " in last


def test_json_and_the_seed_of_the_choice(command_line, runs):
    status, out, err = command_line("verify", "--sample", 1, "--json")
    found = json.loads(out)
    assert (status, found["records"], len(found["repeated"])) == (0, 3, 1)
    assert f"repeating 1 of 3 runs, chosen at random: --seed {found['seed']} chooses the same\n" in err
    again = json.loads(command_line("verify", "--sample", 1, "--seed", found["seed"], "--json")[1])
    assert again == found
    entry = found["repeated"][0]
    assert (entry["verdict"], entry["repeated"], entry["reason"]) == ("equal", entry["recorded"], "")
    rewrite(runs, 0, answers_sha256="0" * 64)
    status, out, err = command_line("verify", "--row", "conv_1", "--json")
    assert status == 1
    assert [each["verdict"] for each in json.loads(out)["repeated"]] == ["differs", "equal", "equal"]
    assert err.splitlines()[-1].startswith("pairnet: conv_1, draw 0: ")


def test_a_record_that_contradicts_itself_is_named_with_its_line(command_line, runs):
    rewrite(runs, 1, accuracy=0.99)
    status, out, err = command_line("verify")
    assert (status, out) == (2, "")
    assert f"{RECORDS}, line 2: conv_1, draw 1: expected an accuracy of 0." in err


def test_a_damaged_saved_network_is_not_passed_over(command_line, runs):
    (runs / "conv_1-1").mkdir()
    (runs / "conv_1-1" / "record.json").write_text(
        record(accuracy=0.8).to_json().replace('"accuracy": 0.8', '"accuracy": 0.9')
    )
    status, _, err = command_line("verify")
    assert status == 2
    assert "conv_1-1/record.json: fc_1, draw 0: expected an accuracy of 0.8000, as in the last epoch, got 0.9000" in err


FAILED = FailedRun(fingerprint="f" * 24, run=None, label="one", error="loss is nan", environment=record().environment)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("none",), "expected `runs` to be a folder, got none"),
        (("empty",), "expected finished runs in empty, got none: `pairnet reproduce` makes some"),
        (("failed",), "expected finished runs in failed, got only 1 run that failed: `pairnet runs` names the reasons"),
        (("runs", "--sample", 0), "--sample"),
        (("runs", "--seed", -1), "--seed"),
        (("runs", "--jobs", 0), "expected --jobs of at least 1, got 0"),
        (("runs", "--row", "conv_2"), "expected runs of conv_2 in runs, got runs of conv_1, "),
        (("images",), "fc_1, draw 0: expected full MNIST in "),
        (("images", "--data-dir", "none"), "fc_1, draw 0: expected the four MNIST files in --data-dir, got none"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_verified_is_refused_in_one_line(command_line, runs, tmp_path, arguments, reason):
    for name in ("empty", "failed", "images"):
        (tmp_path / name).mkdir()
    append(tmp_path / "failed", FAILED)
    append(tmp_path / "images", record(images=replace(IMAGES, name="mnist", source="mnist")))
    status, out, err = command_line("verify", *arguments)
    assert (status, out) == (2, "")
    assert reason in err.splitlines()[-1]
    assert len([line for line in err.splitlines() if not line.startswith("repeating")]) == 1


def test_ctrl_c_stops_it_and_leaves_the_folder_as_it_was(glyph_set, tmp_path):
    run = Run(variant=conv_1(epochs=1), images=glyph_set.images, pairs=60)
    run_study([run], glyph_set, tmp_path / "runs", engine=Processes(dataset=glyph_set, workers=1))
    made = read_records(tmp_path / "runs")[0]
    endless = replace(made.run.variant, recipe=replace(made.run.recipe, epochs=100_000))
    (tmp_path / "runs" / RECORDS).unlink()
    run = replace(made.run, variant=endless)
    append(tmp_path / "runs", replace(made, run=run, fingerprint=run.fingerprint))
    before = (tmp_path / "runs" / RECORDS).read_bytes()
    command = [sys.executable, "-m", "pairnet", "verify", str(tmp_path / "runs")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"TERM": "dumb"})
    seen = b""
    while b"repeating" not in seen:
        seen += child.stderr.read1()
    child.send_signal(signal.SIGINT)
    out, errors = child.communicate(timeout=300)
    assert (child.returncode, out) == (130, b"")
    assert b"Traceback" not in seen + errors
    assert (tmp_path / "runs" / RECORDS).read_bytes() == before
