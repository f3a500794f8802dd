"""The paper's experiments as lists of runs, and what carries such a list out: many at once, resumable, in any order."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing.connection import wait as wait_for
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from pairnet import paper, records
from pairnet.pairs import Pairs
from pairnet.records import Epoch, RecordError, RunRecord
from pairnet.runs import Run, carry_out, draw, facts, fingerprint, with_dropout
from pairnet.sources import Dataset
from pairnet.variants import Variant, find

RECORDS = "records.jsonl"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table: what is run, and the paper's figure for it where it prints one."""

    label: str
    variant: Variant
    paper: paper.Figure | None
    loss_ratio: float | None = None  # None: the recipe's own
    explained: str = ""  # why it may differ from the paper


@dataclass(frozen=True, kw_only=True)
class Study:
    """One table: its rows, and whether each draw is split into folds (tuning) or tested on test pairs."""

    name: str
    title: str
    rows: tuple[Row, ...]
    cross_validated: bool = False


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a study reports as it goes: `record` where a run has ended, else the epoch it has done."""

    run: Run
    epoch: int
    last: Epoch | None = None
    record: RunRecord | None = None


_SIGMOID = (
    "the paper's figure is that of sigmoid hidden units; with ReLU, its stated default, fully-connected nets do better"
)
_NO_BN = "trained as printed, without BN; with BN, as the paper's text has it, see a_w_net_bn"
_CHANNELS = "(50, 100) channels, as the printed count demands; the paper prints (32, 64)"
_EXPLAINED = {"fc_1": _SIGMOID, "fc_2": _SIGMOID, "fc_3": _SIGMOID, "conv_2": _CHANNELS, "a_w_net": _NO_BN}
DROPOUT_RATES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6)


def _of_variants(figures: dict[str, paper.Figure], *extra: str) -> tuple[Row, ...]:
    rows = [Row(label=n, variant=find(n), paper=f, explained=_EXPLAINED.get(n, "")) for n, f in figures.items()]
    return (*rows, *(Row(label=name, variant=find(name), paper=None) for name in extra))


def _of_loss_ratios() -> tuple[Row, ...]:
    return tuple(
        Row(label=f"a_w_net, loss ratio {ratio:g}", variant=find("a_w_net"), paper=figure, loss_ratio=ratio)
        for ratio, figure in paper.TABLE_II.items()
    )


def _of_dropout_rates() -> tuple[Row, ...]:
    rows = (with_dropout(find("final_model"), rate) for rate in DROPOUT_RATES)
    return tuple(
        Row(label=f"final_model, dropout {rate:g}", variant=variant, paper=None)
        for rate, variant in zip(DROPOUT_RATES, rows, strict=True)
    )


def studies() -> dict[str, Study]:
    """The paper's experiments, by the name that --table takes."""
    found = (
        Study(name="1", title="Table I: baselines", rows=_of_variants(paper.TABLE_I)),
        Study(name="2", title="Table II: loss ratios", rows=_of_loss_ratios(), cross_validated=True),
        Study(
            name="3",
            title="Table III: main results",
            rows=_of_variants(paper.TABLE_III, "a_w_net_bn", "final_model_bn"),
        ),
        Study(name="dropout", title="Section VII: dropout rates", rows=_of_dropout_rates(), cross_validated=True),
    )
    return {study.name: study for study in found}


def plan(
    study: Study,
    *,
    repeats: int = 10,
    epochs: int | None = None,
    pairs: int = 1000,
    folds: int = 4,
    device: str = "cpu",
) -> list[Run]:
    """The runs of a study.  Repeat r of each row sees the same draw of pairs; `epochs` None is the recipe's own."""
    if repeats < 1:
        raise ValueError(f"--repeats must be at least 1, not {repeats}")
    runs = []
    for row in study.rows:
        recipe = row.variant.recipe
        recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
        recipe = recipe if row.loss_ratio is None else replace(recipe, loss_ratio=row.loss_ratio)
        for seed in range(repeats):
            for fold in range(folds) if study.cross_validated else (None,):
                runs.append(
                    Run(
                        row=row.label,
                        variant=row.variant,
                        recipe=recipe,
                        pairs=pairs,
                        seed=seed,
                        fold=fold,
                        folds=folds,
                        device=device,
                    )
                )
    return runs


def carry_out_all(
    runs: Sequence[Run], dataset: Dataset, out: Path, *, jobs: int, on_progress: Callable[[Progress], None]
) -> list[RunRecord]:
    """Carries out what `out` does not hold yet, `jobs` at once, and returns the records of all `runs`, in their order.

    Each run has a process and a thread of its own, so that its result does not depend on `jobs`. A record is on the
    disk before it is reported. An interruption (Ctrl-C) ends the runs under way and passes through; what ended before
    is kept. RecordError where `out` is in use or holds a line that is no record.
    """
    if jobs < 1:
        raise ValueError(f"--jobs must be at least 1, not {jobs}")
    prints = {run: fingerprint(run, dataset) for run in runs}
    with records.locked(out):
        done = {record.fingerprint: record for record in records.read(out / RECORDS)}
        left = [run for run in runs if prints[run] not in done]
        for run in runs:
            if prints[run] in done:
                on_progress(Progress(run=run, epoch=run.recipe.epochs, record=done[prints[run]]))
        if left:
            for record in _carry_out_side_by_side(left, prints, dataset, out, min(jobs, len(left)), on_progress):
                done[record.fingerprint] = record
    return [done[prints[run]] for run in runs]


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
    about = facts(dataset)
    waiting = list(reversed(runs))
    running: dict[Future[RunRecord], int] = {}
    finished = []
    with ProcessPoolExecutor(jobs, context, initializer=_begin_worker, initargs=(stop, epochs)) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < jobs + 1:  # one ahead, so that no worker waits for its pairs
                    run = waiting.pop()
                    number = len(runs) - len(waiting) - 1
                    future = pool.submit(_work, number, run, about, prints[run], *draw(run, dataset))
                    running[future] = number
                ended, _ = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
                while not epochs.empty():
                    number, epoch, last = epochs.get()
                    on_progress(Progress(run=runs[number], epoch=epoch, last=last))
                for future in ended:
                    run, record = runs[running.pop(future)], future.result()
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
    return finished


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


def _work(number: int, run: Run, about: dict[str, Any], print_: str, pairs: Pairs, held_out: Pairs) -> RunRecord:
    """One run, in a worker."""
    (parent,) = _parents

    def on_epoch(epoch: int, last: Epoch) -> None:
        if parent.stop.is_set():
            raise _Stopped
        parent.epochs.put((number, epoch, last))

    return carry_out(run, about, print_, pairs, held_out, on_epoch)[1]
