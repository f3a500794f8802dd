"""Studies: resumed, interrupted, with failing runs and shared runs; the result does not depend on how."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from workers import all_end, is_running, wait_for_lines, workers_of

from pairnet.errors import ArgumentError, MissingExtraError, RecordError
from pairnet.models import paper
from pairnet.models.variants import find_variant
from pairnet.records.store import RECORDS, locked, read_records
from pairnet.study.engines.processes import Processes
from pairnet.study.events import EpochDone, Failed, Finished, Started
from pairnet.study.plan import Row, Study, plan
from pairnet.study.running import ENGINES, FailedBefore, Kept, choose_engine, run_study

SMALL = Study(
    name="small",
    title="small",
    rows=(
        Row(label="conv_1", variant=find_variant("conv_1"), paper=None),
        Row(label="final_model", variant=find_variant("final_model"), paper=None),
    ),
)


def small_runs(dataset, **changes):
    return plan(SMALL, dataset.images, **{"draws": 2, "epochs": 1, "pairs": 60, **changes})


def study(runs, dataset, folder, workers=2, **options):
    """A study in processes -> (records, events)."""
    events = []
    engine = Processes(dataset=dataset, workers=workers)
    result = run_study(runs, dataset, folder, engine=engine, on_event=events.append, **options)
    return result, events


def computed(events):
    return [event for event in events if isinstance(event, Finished)]


def without_times(record):
    return replace(record, seconds=0.0)


def test_results_do_not_depend_on_the_number_of_workers(glyph_set, tmp_path):
    runs = small_runs(glyph_set)
    one, _ = study(runs, glyph_set, tmp_path / "one", workers=1)
    two, events = study(runs, glyph_set, tmp_path / "two", workers=2)
    assert [*map(without_times, one.records)] == [*map(without_times, two.records)]
    assert [(record.run.name, record.run.seed) for record in two.records] == [(run.label, run.seed) for run in runs]
    assert len(read_records(tmp_path / "two")) == len(computed(events)) == len(runs)
    for run in runs:
        mine = [event for event in events if event.run == run]
        assert [type(event) for event in mine] == [Started, EpochDone, Finished]


def test_draws_are_computed_in_order(glyph_set, tmp_path):
    runs = small_runs(glyph_set, draws=3)
    _, events = study(runs, glyph_set, tmp_path / "two", workers=2)
    assert [event.run for event in events if isinstance(event, Started)] == runs
    _, events = study(runs, glyph_set, tmp_path / "one", workers=1)
    finished = [at for at, event in enumerate(events) if isinstance(event, Finished) and event.run.seed == 0]
    started = [at for at, event in enumerate(events) if isinstance(event, Started) and event.run.seed == 2]
    assert len(finished) == len(started) == len(SMALL.rows)
    assert max(finished) < min(started)


def test_finished_runs_are_not_repeated_and_new_ones_are_added(glyph_set, tmp_path):
    first, _ = study(small_runs(glyph_set, draws=1), glyph_set, tmp_path)
    both, events = study(small_runs(glyph_set, draws=2), glyph_set, tmp_path)
    assert [record for record in both.records if record.run.seed == 0] == list(first.records)
    assert len(computed(events)) == 2
    assert len([event for event in events if isinstance(event, Kept)]) == 2
    assert len(read_records(tmp_path)) == 4
    longer, _ = study(small_runs(glyph_set, draws=1, epochs=2), glyph_set, tmp_path)
    assert {r.fingerprint for r in longer.records}.isdisjoint(r.fingerprint for r in both.records)


def test_a_run_that_two_rows_share_is_computed_once_and_found_by_both(glyph_set, tmp_path):
    run = small_runs(glyph_set, draws=1)[0]
    result, events = study([run, replace(run, label="the same")], glyph_set, tmp_path)
    assert len(computed(events)) == 1
    assert result.records[0] == result.records[1]
    assert [event.run.name for event in events if isinstance(event, Kept)] == ["the same"]
    again, events = study([replace(run, label="a third name")], glyph_set, tmp_path)
    assert computed(events) == []
    assert again.records == result.records[:1]


def test_a_run_is_repeated_if_more_measurements_are_asked_for(glyph_set, tmp_path):
    few = [replace(run, measurements=1) for run in small_runs(glyph_set, draws=1, epochs=3)[:1]]
    study(few, glyph_set, tmp_path)
    more, events = study([replace(few[0], measurements=3)], glyph_set, tmp_path)
    assert len(computed(events)) == 1
    assert more.records[0].measurements == 3
    fewer, events = study(few, glyph_set, tmp_path)
    assert computed(events) == []
    assert fewer.records == more.records
    assert [found.measurements for found in read_records(tmp_path)] == [3]
    assert len((tmp_path / RECORDS).read_text().splitlines()) == 2


def test_cross_validation_leaves_the_test_draw_alone(glyph_set, tmp_path):
    runs = plan(
        replace(SMALL, rows=SMALL.rows[:1], cross_validated=True), glyph_set.images, draws=1, epochs=1, pairs=60
    )
    result, _ = study(runs, glyph_set, tmp_path)
    assert [record.run.fold for record in result.records] == [0, 1, 2, 3]
    assert len({record.mean for record in result.records}) == 4  # each fold's own training pairs


def test_a_run_that_diverges_does_not_stop_the_others_and_is_retried_on_request(glyph_set, tmp_path):
    runs = small_runs(glyph_set, draws=1)
    variant = runs[0].variant
    bad = replace(runs[0], label="bad", variant=replace(variant, recipe=replace(variant.recipe, learning_rate=1e30)))
    result, events = study([bad, *runs], glyph_set, tmp_path)
    assert [record and record.run.name for record in result.records] == [None, "conv_1", "final_model"]
    (failure,) = result.failures
    assert (failure.label, len(result.finished)) == ("bad", 2)
    assert "expected a finite loss, got nan" in failure.error
    assert (failure.kind, failure.epoch, failure.run) == ("diverged", 1, bad)
    assert [event.reason for event in events if isinstance(event, Failed)] == [failure.error]
    again, events = study([bad, *runs], glyph_set, tmp_path)
    assert (again.failures, again.records) == (result.failures, result.records)
    assert result.left == again.left == ()  # a failed run was begun
    assert {type(event) for event in events} == {Kept, FailedBefore}
    assert [event.failure for event in events if isinstance(event, FailedBefore)] == [failure]
    retried, events = study([bad, *runs], glyph_set, tmp_path, retry_failed=True)
    assert [type(event) for event in events if not isinstance(event, Kept | EpochDone)] == [Started, Failed]
    assert len(retried.failures) == 1


def test_invalid_records_are_refused_before_anything_runs(glyph_set, tmp_path):
    (tmp_path / RECORDS).write_text("{}\n")
    events = []
    with pytest.raises(RecordError, match="line 1"):
        run_study(small_runs(glyph_set), glyph_set, tmp_path, on_event=events.append)
    assert events == []


def test_a_run_that_does_not_fit_is_refused_before_anything_runs(glyph_set, tmp_path):
    events = []
    with pytest.raises(ArgumentError, match="choose `pairs` of at most 1000"):
        run_study(
            [*small_runs(glyph_set), *small_runs(glyph_set, pairs=2000)], glyph_set, tmp_path, on_event=events.append
        )
    assert events == []


def test_two_studies_in_one_folder_are_refused(glyph_set, tmp_path):
    with locked(tmp_path):
        pid = os.fork()
        if pid == 0:
            try:
                run_study(small_runs(glyph_set), glyph_set, tmp_path)
            except RecordError:
                os._exit(3)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3


def test_an_engine_is_chosen_by_name_or_by_the_device(glyph_set, monkeypatch):
    runs = small_runs(glyph_set)
    assert choose_engine(None, runs, glyph_set, workers=3) == Processes(dataset=glyph_set, workers=3)
    assert choose_engine(None, [replace(run, device="cuda") for run in runs], glyph_set).name == "stacked"
    assert [choose_engine(name, runs, glyph_set).name for name in ENGINES[:2]] == list(ENGINES[:2])
    with pytest.raises(ArgumentError, match='`engine` to be processes, stacked or ray, got "Ray"'):
        choose_engine("Ray", runs, glyph_set)
    for name, given in ((None, "none"), ("stacked", '"stacked"')):
        with pytest.raises(ArgumentError, match=f'`engine` "ray" with `address`, got {given}: choose it, or leave out'):
            choose_engine(name, runs, glyph_set, address="auto")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"the engine ray needs ray, .*: pip install 'pairnet\[ray\]'"):
        choose_engine("ray", runs, glyph_set)


COMMAND = [
    *(sys.executable, "-m", "pairnet", "reproduce", "--table", "1", "--draws", "3", "--epochs", "2"),
    *("--pairs", "200", "--data", "glyphs:1000", "--jobs", "2", "--json", "--no-report"),
]


def test_a_study_that_is_interrupted_resumes_and_repeats_nothing(tmp_path):
    """tests/attack/test_kills.py kills studies."""
    folder = tmp_path / "study"
    command = [*COMMAND, "--runs", str(folder)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_lines(child, folder / RECORDS, 3)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=300)
    before = read_records(folder)
    assert 3 <= len(before) < 21
    assert child.returncode == 130
    assert "finished runs are kept" in errors
    assert "Traceback" not in errors
    again = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    after = read_records(folder)
    assert after[: len(before)] == before
    assert len(after) == len({record.fingerprint for record in after}) == 21
    table = json.loads(again.stdout)["1"]
    assert [row["label"] for row in table] == list(paper.TABLE_I)
    assert {row["draws"] for row in table} == {3}


@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c_in_a_terminal_reaches_everybody_and_prints_no_traceback(tmp_path, times):
    command = [*COMMAND, "--runs", str(tmp_path / "study")]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    seen = b""
    while b"records in" not in seen:
        seen += child.stderr.read1()
    time.sleep(0.7)  # the workers are importing torch
    for _ in range(times):
        os.killpg(child.pid, signal.SIGINT)
    _, errors = child.communicate(timeout=300)
    assert child.returncode == 130
    assert b"Traceback" not in seen + errors
    assert b"finished runs are kept" in errors


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_one_ctrl_c_ends_a_study_whose_worker_is_stopped(tmp_path):
    folder = tmp_path / "study"
    child = subprocess.Popen([*COMMAND, "--runs", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for_lines(child, folder / RECORDS, 1)
    workers = workers_of(child.pid)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=300)
    assert child.returncode == 130
    assert b"Traceback" not in errors
    assert not any(map(is_running, workers))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_workers_end_with_their_parent(tmp_path):
    folder = tmp_path / "study"
    command = [*COMMAND, "--runs", str(folder)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_lines(child, folder / RECORDS, 1)
    workers = workers_of(child.pid)
    child.kill()
    child.wait()
    assert len(workers) >= 2
    assert all_end(workers)
