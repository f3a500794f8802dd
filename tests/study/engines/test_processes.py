"""The engine of processes: workers that die, and how it stops."""

import os
import signal
from pathlib import Path

import pytest
from workers import workers_of

from pairnet.errors import ArgumentError, WorkerError
from pairnet.models.variants import find_variant
from pairnet.records.run import Run
from pairnet.study.engines.processes import Processes
from pairnet.study.events import EpochDone, Started


@pytest.fixture
def run(glyph_set):
    return Run(variant=find_variant("conv_1"), images=glyph_set.images, pairs=100)


def test_no_workers_are_refused(glyph_set):
    with pytest.raises(ArgumentError, match="`workers` of at least 1, got 0"):
        Processes(dataset=glyph_set, workers=0)


def test_no_jobs_need_no_worker(glyph_set):
    assert list(Processes(dataset=glyph_set, workers=2).run([])) == []


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_worker_that_is_killed_is_named(glyph_set, run):
    events = Processes(dataset=glyph_set, workers=1).run([run])
    assert isinstance(next(events), Started)
    assert isinstance(next(events), EpochDone)
    (worker,) = workers_of(os.getpid())
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(WorkerError, match=r"computed conv_1 was killed by signal 9 .*fewer `workers`"):
        list(events)
    assert workers_of(os.getpid()) == []


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_closing_the_events_ends_the_workers_at_once(glyph_set, run):
    events = Processes(dataset=glyph_set, workers=2).run([run] * 4)
    next(events)
    assert len(workers_of(os.getpid())) == 2
    events.close()
    assert workers_of(os.getpid()) == []


def test_a_bug_in_a_worker_is_reported_with_its_traceback(glyph_set, run, monkeypatch):
    monkeypatch.setattr("pairnet.study.engines.processes.draw", lambda *_: ("not pairs", "not pairs"))
    with pytest.raises(RuntimeError, match=r"(?s)conv_1 failed:.*Traceback"):
        list(Processes(dataset=glyph_set, workers=1).run([run]))
