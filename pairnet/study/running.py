"""Runs a study: everything that its folder does not hold yet, on an engine, resumable at any moment."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

from pairnet.data.drawing import check_images
from pairnet.data.sources import Dataset
from pairnet.errors import ArgumentError
from pairnet.host import cores
from pairnet.records import store
from pairnet.records.record import FailedRun, RunRecord
from pairnet.records.run import Run, check_trainable
from pairnet.study.budget import check_minutes, chunks
from pairnet.study.engines.processes import Processes
from pairnet.study.events import Engine, Event, Failed, Finished, failure_of

ENGINES = ("processes", "stacked", "ray")
"""Names of the engines: processes of this machine, stacked networks in this process, a Ray cluster."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A run that did not have to be computed: the folder holds its record."""

    run: Run
    record: RunRecord


@dataclass(frozen=True, kw_only=True)
class FailedBefore:
    """A run that is not computed again: it failed, and nobody asked to retry it."""

    run: Run
    failure: FailedRun


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """The outcome of a study, in the order of its runs."""

    records: tuple[RunRecord | None, ...]  # one for each run; None for one that failed or was not begun
    failures: tuple[FailedRun, ...]
    left: tuple[Run, ...] = ()  # those that were not begun, since the time was up

    @property
    def finished(self) -> list[RunRecord]:
        """The records there are."""
        return [record for record in self.records if record is not None]


def run_study(
    runs: Sequence[Run],
    dataset: Dataset,
    folder: Path | str,
    *,
    engine: Engine | None = None,
    retry_failed: bool = False,
    minutes: float | None = None,
    on_event: Callable[[Event | Kept | FailedBefore], None] | None = None,
    stored: store.Stored | None = None,
) -> StudyResult:
    """Computes those of `runs` that `folder` holds no record of, and returns the records of all.

    All runs are on the images of `dataset`. `engine` is by default one process for each core on a CPU, and stacked
    networks on a GPU; it changes no result beyond rounding. A record is on the disk before it is reported. A run that
    fails (its loss stops being finite, or memory is short) does not stop the others: its failure is recorded with its
    epoch, and it is computed again only with `retry_failed`; until then it is reported as FailedBefore. An interruption
    (Ctrl-C) stops the runs in progress and passes through; finished runs are kept.

    With `minutes`, as many whole draws (all runs of one seed) are computed as are expected to end in that time, and at
    least one; `left` of the result names the other runs. The same call computes them later.

    `stored` is what `store.opened(folder)` yields, for several studies in a folder that is read once; new records are
    added to it.

    RecordError if `folder` is in use or holds an invalid line, before anything runs. WorkerError if a worker process
    dies. DataError for a run of other images than those of `dataset` or of the engine. ArgumentError for a run that
    they are too few for or that was trained elsewhere, and for `minutes` that are not finite or not above 0.
    """
    check_minutes(minutes)
    folder = Path(folder)
    for run in runs:
        check_images(run, dataset)
        check_trainable(run)
    engine = engine or default_engine(runs, dataset)
    report = on_event or (lambda event: None)
    with nullcontext(stored) if stored is not None else store.opened(folder) as stored:
        records, failures = dict(stored.records), {} if retry_failed else dict(stored.failures)
        missing: dict[str, Run] = {}
        for run in runs:
            if (record := _answer(run, records)) is not None:
                report(Kept(run=run, record=record))
            elif run.fingerprint in failures:
                report(FailedBefore(run=run, failure=failures[run.fingerprint]))
            else:
                missing.setdefault(run.fingerprint, run)
        with closing(_events(engine, list(missing.values()), minutes)) as events:
            for event in events:
                if isinstance(event, Finished):
                    store.append(folder, event.record)
                    records[event.record.fingerprint] = event.record
                    stored.records[event.record.fingerprint] = event.record
                    stored.failures.pop(event.record.fingerprint, None)
                elif isinstance(event, Failed):
                    failure = failure_of(event, engine=engine.name)
                    store.append(folder, failure)
                    failures[failure.fingerprint] = stored.failures[failure.fingerprint] = failure
                report(event)
        for run in runs:  # the same run under several labels is computed once
            again = run is not missing.get(run.fingerprint, run)
            if again and (record := _answer(run, records)) is not None:
                report(Kept(run=run, record=record))
            elif again and run.fingerprint in failures:
                report(FailedBefore(run=run, failure=failures[run.fingerprint]))
    answers = tuple(_answer(run, records) for run in runs)
    return StudyResult(
        records=answers,
        failures=tuple(failures[run.fingerprint] for run in runs if run.fingerprint in failures),
        left=tuple(
            run for run, answer in zip(runs, answers, strict=True) if answer is None and run.fingerprint not in failures
        ),
    )


def recorded(runs: Sequence[Run], stored: store.Stored) -> tuple[RunRecord | None, ...]:
    """The record of each run, measured as often as the run asks; None for one that a folder holds no such record of."""
    return tuple(_answer(run, stored.records) for run in runs)


def _answer(run: Run, records: Mapping[str, RunRecord]) -> RunRecord | None:
    """The record of a run, if there is one that was measured as often as it asks."""
    record = records.get(run.fingerprint)
    return record if record is not None and record.answers(run) else None


def _events(engine: Engine, runs: Sequence[Run], minutes: float | None) -> Generator[Event]:
    for chunk in chunks(runs, minutes):
        with closing(engine.run(chunk)) as events:
            yield from events


def default_engine(runs: Sequence[Run], dataset: Dataset, *, workers: int | None = None) -> Engine:
    """One process for each core (or `workers` of them) on a CPU, stacked networks where a run asks for a GPU."""
    if any(run.device != "cpu" for run in runs):
        from pairnet.study.engines.stacked import Stacked

        return Stacked(dataset=dataset)
    return Processes(dataset=dataset, workers=cores() if workers is None else workers)


def choose_engine(
    name: str | None,
    runs: Sequence[Run],
    dataset: Dataset,
    *,
    workers: int | None = None,
    address: str | None = None,
) -> Engine:
    """The engine of that name, or default_engine for None.

    `address` is that of a Ray cluster: "auto" for the one of this machine, or HOST:PORT; with None, the engine starts
    Ray on this machine. ArgumentError for another name, and for an address without "ray". MissingExtraError if the
    engine needs a package that is not installed.
    """
    if name is not None and name not in ENGINES:
        raise ArgumentError(f'expected `engine` to be {", ".join(ENGINES[:-1])} or {ENGINES[-1]}, got "{name}"')
    if address is not None and name != "ray":
        chosen = "none" if name is None else f'"{name}"'
        raise ArgumentError(f'expected `engine` "ray" with `address`, got {chosen}: choose it, or leave out `address`')
    if name == "ray":
        from pairnet.study.engines.ray_cluster import RayCluster

        return RayCluster(dataset=dataset, address=address, workers=workers)
    if name == "stacked":
        from pairnet.study.engines.stacked import Stacked

        return Stacked(dataset=dataset)
    if name == "processes":
        return Processes(dataset=dataset, workers=cores() if workers is None else workers)
    return default_engine(runs, dataset, workers=workers)
