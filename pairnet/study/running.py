"""What carries out a list of runs: many at once, resumable, with results that do not depend on how many."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from pairnet.data.pairs import Pairs
from pairnet.data.sources import Dataset
from pairnet.errors import RecordError, TrainingError
from pairnet.study import records
from pairnet.study.engines.stacked import carry_out_together
from pairnet.study.records import Environment, RunRecord
from pairnet.study.runs import Run, carry_out, check, draw, facts, fingerprint
from pairnet.training.history import Epoch

RECORDS = "records.jsonl"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a study reports as it goes: `record` where a run has ended, else the epoch it has done."""

    run: Run
    epoch: int
    last: Epoch | None = None
    record: RunRecord | None = None
    kept: bool = False  # the record was there before


def carry_out_all(
    runs: Sequence[Run],
    dataset: Dataset,
    out: Path,
    *,
    jobs: int,
    on_progress: Callable[[Progress], None],
    together: bool | None = None,
) -> list[RunRecord]:
    """Carries out what `out` does not hold yet, `jobs` at once, and returns the records of all `runs`, in their order.

    Each run has a process and a thread of its own, so that its result does not depend on `jobs`. With `together`, the
    default on a GPU, all runs of a variant are one program in this process instead. A record is on the disk before it
    is reported. An interruption (Ctrl-C) ends the runs under way and passes through; what ended before is kept.
    RecordError where `out` is in use or holds a line that is no record.
    """
    if jobs < 1:
        raise ValueError(f"--jobs must be at least 1, not {jobs}")
    for run in runs:
        check(run, dataset)
    prints = {run: fingerprint(run, dataset) for run in runs}
    with records.locked(out):
        done = {record.fingerprint: record for record in records.read(out / RECORDS)}
        left = [run for run in runs if prints[run] not in done]
        for run in runs:
            if prints[run] in done:
                on_progress(Progress(run=run, epoch=run.recipe.epochs, record=done[prints[run]], kept=True))
        if together or (together is None and any(run.device != "cpu" for run in left)):
            for record in _carry_out_as_one(left, dataset, out, on_progress):
                done[record.fingerprint] = record
        elif left:
            for record in _carry_out_side_by_side(left, prints, dataset, out, min(jobs, len(left)), on_progress):
                done[record.fingerprint] = record
    return [done[prints[run]] for run in runs]


def _carry_out_as_one(
    runs: Sequence[Run], dataset: Dataset, out: Path, on_progress: Callable[[Progress], None]
) -> Iterator[RunRecord]:
    def on_epoch(run: Run, number: int, epoch: Epoch) -> None:
        on_progress(Progress(run=run, epoch=number, last=epoch))

    for run, record in carry_out_together(runs, dataset, records.environment(runs[0].device), on_epoch):
        records.append(out / RECORDS, record)
        on_progress(Progress(run=run, epoch=run.recipe.epochs, record=record))
        yield record


def _carry_out_side_by_side(
    runs: Sequence[Run],
    prints: dict[Run, str],
    dataset: Dataset,
    out: Path,
    jobs: int,
    on_progress: Callable[[Progress], None],
) -> list[RunRecord]:
    context = multiprocessing.get_context("spawn")
    stop, epochs = context.Event(), context.SimpleQueue()
    about, place = facts(dataset), {device: records.environment(device) for device in {run.device for run in runs}}
    waiting = list(reversed(runs))
    running: dict[Future[RunRecord], int] = {}
    finished: list[RunRecord] = []
    failed: list[str] = []
    with ProcessPoolExecutor(jobs, context, initializer=_begin_worker, initargs=(stop, epochs)) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < jobs + 1:  # one ahead, so that no worker waits for its pairs
                    run = waiting.pop()
                    number = len(runs) - len(waiting) - 1
                    with _interrupts_held():  # a worker that starts here inherits that, and Ctrl-C is the parent's
                        future = pool.submit(_work, number, run, about, place, prints[run], *draw(run, dataset))
                    running[future] = number
                ended, _ = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
                while not epochs.empty():
                    number, epoch, last = epochs.get()
                    on_progress(Progress(run=runs[number], epoch=epoch, last=last))
                for future in ended:
                    run = runs[running.pop(future)]
                    if isinstance(error := future.exception(), TrainingError):
                        failed.append(str(error))  # and the others go on
                        continue
                    record = future.result()
                    records.append(out / RECORDS, record)
                    finished.append(record)
                    on_progress(Progress(run=run, epoch=run.recipe.epochs, record=record))
        except BrokenProcessPool:
            raise RecordError(
                "a worker process ended before its run did (out of memory, or killed); finished runs are kept: "
                "start again with fewer --jobs"
            ) from None
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    if failed:
        raise TrainingError(f"{len(failed)} of {len(runs)} runs failed, the others are kept; the first: {failed[0]}")
    return finished


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Lets a Ctrl-C wait."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Stopped(Exception):
    """The study has been interrupted."""


@dataclass(frozen=True, kw_only=True)
class _Parent:
    """A worker's ties to the process that started it."""

    stop: Event
    epochs: "SimpleQueue[tuple[int, int, Epoch]]"


_parents: list[_Parent] = []
"""In a worker: its parent. Queues and events reach a process only as it starts, so they have to wait here."""


def _begin_worker(stop: Event, epochs: "SimpleQueue[tuple[int, int, Epoch]]") -> None:
    """Runs once in each worker: Ctrl-C left to the parent, an end when the parent is gone."""
    _parents.append(_Parent(stop=stop, epochs=epochs))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _work(
    number: int,
    run: Run,
    about: dict[str, Any],
    place: dict[str, Environment],
    print_: str,
    pairs: Pairs,
    held_out: Pairs,
) -> RunRecord:
    """One run, in a worker."""
    (parent,) = _parents

    def on_epoch(epoch: int, last: Epoch) -> None:
        if parent.stop.is_set():
            raise _Stopped
        parent.epochs.put((number, epoch, last))

    return carry_out(run, about, place[run.device], print_, pairs, held_out, on_epoch)[1]
