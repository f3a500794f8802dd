"""Runs a study: everything that its folder does not hold yet, on an engine, resumable at any moment."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pairnet.data.sources import Dataset
from pairnet.host import cores
from pairnet.study import store
from pairnet.study.engines.processes import Processes
from pairnet.study.environment import environment
from pairnet.study.jobs import Engine, Event, Failed, Finished, Job, job_of
from pairnet.study.records import FailedRun, RunRecord
from pairnet.study.runs import Run, check_size, is_answered_by


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A run that did not have to be computed: the folder holds its record."""

    job: Job
    record: RunRecord


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """The outcome of a study, in the order of its runs."""

    records: tuple[RunRecord | None, ...]  # one for each run; None for one that failed
    failures: tuple[FailedRun, ...]

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
    on_event: Callable[[Event | Kept], None] | None = None,
) -> StudyResult:
    """Computes those of `runs` that `folder` holds no record of, and returns the records of all.

    `engine` is by default one process for each core on a CPU, and stacked networks on a GPU; it changes no result
    beyond rounding. A record is on the disk before it is reported. A run that fails (its loss stops being finite) does
    not stop the others: its failure is recorded, and it is computed again only with `retry_failed`. An interruption
    (Ctrl-C) stops the runs in progress and passes through; finished runs are kept.

    RecordError if `folder` is in use or holds an invalid line, before anything runs. WorkerError if a worker process
    dies. ArgumentError for a run that does not fit the images.
    """
    folder = Path(folder)
    for run in runs:
        check_size(run, dataset)
    jobs = [job_of(run, dataset) for run in runs]
    engine = engine or default_engine(runs, dataset)
    report = on_event or (lambda event: None)
    with store.locked(folder):
        stored = store.read_stored(folder)
        records, failures = dict(stored.records), {} if retry_failed else dict(stored.failures)
        left: dict[str, Job] = {}
        for job in jobs:
            record = records.get(job.fingerprint)
            if record is not None and is_answered_by(job.run, record):
                report(Kept(job=job, record=record))
            elif job.fingerprint not in failures:
                left.setdefault(job.fingerprint, job)
        with closing(engine.run(list(left.values()))) as events:
            for event in events:
                if isinstance(event, Finished):
                    store.append(folder, event.record)
                    records[event.record.fingerprint] = event.record
                elif isinstance(event, Failed):
                    failure = _failure(event, engine)
                    store.append(folder, failure)
                    failures[failure.fingerprint] = failure
                report(event)
        for job in jobs:  # the same run under several labels is computed once
            if job is not left.get(job.fingerprint, job) and job.fingerprint in records:
                report(Kept(job=job, record=records[job.fingerprint]))
    return StudyResult(
        records=tuple(records.get(job.fingerprint) for job in jobs),
        failures=tuple(failures[job.fingerprint] for job in jobs if job.fingerprint in failures),
    )


def default_engine(runs: Sequence[Run], dataset: Dataset, *, workers: int | None = None) -> Engine:
    """One process for each core (or `workers` of them) on a CPU, stacked networks where a run asks for a GPU."""
    if any(run.device != "cpu" for run in runs):
        from pairnet.study.engines.stacked import Stacked

        return Stacked(dataset=dataset)
    return Processes(dataset=dataset, workers=cores() if workers is None else workers)


def _failure(event: Failed, engine: Engine) -> FailedRun:
    run = event.job.run
    return FailedRun(
        fingerprint=event.job.fingerprint,
        label=run.name,
        failure=event.reason,
        environment=environment(run.device, engine=engine.name),
    )
