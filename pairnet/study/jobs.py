"""The interface between a study and its engines: jobs in, events out; only the study stores records."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pairnet.data.sources import Dataset
from pairnet.study.records import DataFacts, RunRecord
from pairnet.study.runs import Run, facts, fingerprint
from pairnet.training.history import Epoch


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run to compute, with what its record needs to know of the images; plain data that can cross processes."""

    run: Run
    fingerprint: str
    data: DataFacts


@dataclass(frozen=True, kw_only=True)
class Started:
    """An engine began to compute the run."""

    job: Job


@dataclass(frozen=True, kw_only=True)
class EpochDone:
    """The run finished epoch `number`, counted from 1."""

    job: Job
    number: int
    epoch: Epoch


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The run ended well."""

    job: Job
    record: RunRecord


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The run ended with an error of its own; other runs are not affected."""

    job: Job
    reason: str  # one line


Event = Started | EpochDone | Finished | Failed


class Engine(Protocol):
    """Computes jobs on the images that it was made for."""

    @property
    def name(self) -> str:
        """Name in records and on the command line: "processes", "stacked", "ray"."""

    @property
    def manner(self) -> str:
        """How it computes, for people: "2 at once"."""

    def run(self, jobs: Sequence[Job]) -> Generator[Event]:
        """Events in the order in which they happen; each job ends with Finished or Failed.

        Closing the iterator, or an exception such as KeyboardInterrupt in it, stops all work at once. WorkerError if a
        worker process ends before its run does.
        """


def job_of(run: Run, dataset: Dataset) -> Job:
    """The job that computes `run` on `dataset`."""
    return Job(run=run, fingerprint=fingerprint(run, dataset), data=facts(dataset))
