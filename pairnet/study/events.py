"""The interface between a study and its engines: runs in, events out; only the study stores records."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pairnet.errors import FailureKind, TrainingError, one_line
from pairnet.records.record import Epoch, FailedRun, RunRecord
from pairnet.records.run import Run
from pairnet.study.environment import environment


@dataclass(frozen=True, kw_only=True)
class Started:
    """An engine began to compute the run."""

    run: Run


@dataclass(frozen=True, kw_only=True)
class EpochDone:
    """The run finished epoch `number`, counted from 1."""

    run: Run
    number: int
    epoch: Epoch


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The run ended well."""

    run: Run
    record: RunRecord


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The run ended with an error of its own; other runs are not affected."""

    run: Run
    reason: str  # one line
    kind: FailureKind = "other"
    epoch: int | None = None  # in which it failed, from 1; None: not known


def failed(run: Run, error: TrainingError) -> Failed:
    """The event of a run that ended with this error."""
    return Failed(run=run, reason=one_line(error), kind=error.kind, epoch=error.epoch)


def failure_of(event: Failed, *, engine: str) -> FailedRun:
    """The record of a run that failed on this machine."""
    return FailedRun(
        fingerprint=event.run.fingerprint,
        run=event.run,
        label=event.run.name,
        error=event.reason,
        kind=event.kind,
        epoch=event.epoch,
        environment=environment(event.run.device, engine=engine),
    )


Event = Started | EpochDone | Finished | Failed


class Engine(Protocol):
    """Computes runs on the images that it was made for."""

    @property
    def name(self) -> str:
        """Name in records and on the command line: "processes", "stacked", "ray"."""

    @property
    def manner(self) -> str:
        """How it computes, for people: "2 at once"."""

    def run(self, runs: Sequence[Run]) -> Generator[Event]:
        """Events in the order in which they happen; each run ends with Finished or Failed.

        Closing the iterator, or an exception such as KeyboardInterrupt in it, stops all work at once. DataError, before
        anything is computed, for a run of other images. WorkerError if a worker process ends before its run does.
        """
