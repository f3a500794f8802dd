"""Studies: the paper's tables as runs; many at once, killed, interrupted and gone on with."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pairnet.errors import RecordError, TrainingError
from pairnet.models import paper
from pairnet.models.variants import find_variant
from pairnet.study import records
from pairnet.study.running import RECORDS, carry_out_all
from pairnet.study.tables import Row, Study, plan

SMALL = Study(
    name="small",
    title="small",
    rows=(
        Row(label="conv_1", variant=find_variant("conv_1"), paper=None),
        Row(label="final_model", variant=find_variant("final_model"), paper=None),
    ),
)


def small_runs(**changes):
    return plan(SMALL, **{"repeats": 2, "epochs": 1, "pairs": 60, **changes})


def carry_out(runs, dataset, out, jobs=2):
    steps = []
    return carry_out_all(runs, dataset, out, jobs=jobs, on_progress=steps.append), steps


def without_times(record):
    return replace(record, seconds=0.0)


def test_results_do_not_depend_on_jobs_and_come_in_the_runs_order(glyph_set, tmp_path):
    runs = small_runs()
    alone, _ = carry_out(runs, glyph_set, tmp_path / "one", jobs=1)
    together, steps = carry_out(runs, glyph_set, tmp_path / "two", jobs=2)
    assert [*map(without_times, alone)] == [*map(without_times, together)]
    assert [(record.row, record.seeds["weights"]) for record in together] == [(run.row, run.seed) for run in runs]
    assert sum(step.record is not None for step in steps) == len(runs)
    assert len(records.read(tmp_path / "two" / RECORDS)) == len(runs)


def test_runs_of_a_variant_trained_as_one_give_what_each_gives_alone(glyph_set, tmp_path):
    runs = small_runs(epochs=2, pairs=100)
    alone, _ = carry_out(runs, glyph_set, tmp_path / "alone")
    steps = []
    as_one = carry_out_all(runs, glyph_set, tmp_path / "one", jobs=1, on_progress=steps.append, together=True)
    for ours, theirs in zip(as_one, alone, strict=True):
        assert (ours.fingerprint, ours.row, ours.mean) == (theirs.fingerprint, theirs.row, theirs.mean)
        assert ours.accuracy == pytest.approx(theirs.accuracy, abs=0.021)  # two pairs of a hundred
        assert ours.epochs[-1].train_loss == pytest.approx(theirs.epochs[-1].train_loss, rel=1e-3)
    assert [step.epoch for step in steps if step.run == runs[0] and step.record is None] == [1, 2]
    assert len(records.read(tmp_path / "one" / RECORDS)) == len(runs)


def test_what_is_done_is_not_repeated_and_more_is_added(glyph_set, tmp_path):
    first, _ = carry_out(small_runs(repeats=1), glyph_set, tmp_path)
    both, steps = carry_out(small_runs(repeats=2), glyph_set, tmp_path)
    assert [record for record in both if record.seeds["weights"] == 0] == first
    assert sum(step.record is None for step in steps) <= 2  # epochs of the two new runs only
    assert len(records.read(tmp_path / RECORDS)) == 4
    other, _ = carry_out(small_runs(repeats=1, epochs=2), glyph_set, tmp_path)
    assert {record.fingerprint for record in other}.isdisjoint(record.fingerprint for record in both)


def test_cross_validation_leaves_the_test_draw_alone(glyph_set, tmp_path):
    runs = plan(replace(SMALL, rows=SMALL.rows[:1], cross_validated=True), repeats=1, epochs=1, pairs=60)
    found, _ = carry_out(runs, glyph_set, tmp_path)
    assert [record.fold for record in found] == [0, 1, 2, 3]
    assert len({record.mean for record in found}) == 4  # each fold's own training pairs


def test_two_studies_in_one_folder_are_told(glyph_set, tmp_path):
    with records.locked(tmp_path):
        pid = os.fork()
        if pid == 0:
            try:
                carry_out(small_runs(), glyph_set, tmp_path)
            except RecordError:
                os._exit(3)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3


def test_nonsense_jobs_are_refused(glyph_set, tmp_path):
    with pytest.raises(ValueError, match="--jobs must be at least 1, not 0"):
        carry_out(small_runs(), glyph_set, tmp_path, jobs=0)


COMMAND = [
    *(
        sys.executable,
        "-m",
        "pairnet",
        "reproduce",
        "--table",
        "1",
        "--repeats",
        "3",
        "--epochs",
        "2",
        "--pairs",
        "200",
    ),
    *("--data", "glyphs:1000", "--jobs", "2", "--json"),
]


def lines_in(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_study_that_is_stopped_goes_on_and_repeats_nothing(tmp_path, sent):
    out = tmp_path / "study"
    command = [*COMMAND, "--runs", str(out)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while lines_in(out / RECORDS) < 3 and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(sent)
    _, errors = child.communicate(timeout=60)
    before = records.read(out / RECORDS)
    assert 3 <= len(before) < 21
    if sent == signal.SIGINT:
        assert child.returncode == 130
        assert errors.splitlines()[-1] == "pairnet: stopping; finished runs are kept"
        assert "Traceback" not in errors
    again = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    after = records.read(out / RECORDS)
    assert after[: len(before)] == before
    assert len(after) == len({record.fingerprint for record in after}) == 21
    table = json.loads(again.stdout)["1"]
    assert [row["label"] for row in table] == list(paper.TABLE_I)
    assert {row["draws"] for row in table} == {3}


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_ctrl_c_in_a_terminal_reaches_everybody_at_once_and_is_still_one_line(tmp_path):
    command = [*COMMAND, "--runs", str(tmp_path / "study")]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    seen = b""
    while b"records in" not in seen:
        seen += child.stderr.read1()
    time.sleep(0.7)  # the workers are importing torch
    os.killpg(child.pid, signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130
    assert b"Traceback" not in seen + errors
    assert errors.splitlines()[-1] == b"pairnet: stopping; finished runs are kept"


def test_a_run_that_diverges_does_not_stop_the_others(glyph_set, tmp_path):
    runs = small_runs(repeats=1)
    bad = replace(runs[0], row="bad", recipe=replace(runs[0].recipe, learning_rate=1e30))
    with pytest.raises(TrainingError, match="1 of 3 runs failed, the others are kept; the first: conv_1: the loss"):
        carry_out([bad, *runs], glyph_set, tmp_path)
    assert [record.row for record in records.read(tmp_path / RECORDS)] != []
    assert len(records.read(tmp_path / RECORDS)) == 2


def runs_still(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_workers_end_with_their_parent(tmp_path):
    out = tmp_path / "study"
    child = subprocess.Popen([*COMMAND, "--runs", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while lines_in(out / RECORDS) < 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    workers = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
    child.kill()
    child.wait()
    assert len(workers) >= 2
    while any(map(runs_still, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(runs_still, workers))
