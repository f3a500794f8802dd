"""The interface between a study and its engines: runs in, events out; only the study stores records."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pairnet.records.record import Epoch, RunRecord
from pairnet.records.run import Run


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
