"""Progress of a study or a run: bars with the time left in a terminal, lines elsewhere."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pairnet.cli.output import printable

if TYPE_CHECKING:  # these import torch
    from pairnet.records.record import Epoch, RunRecord
    from pairnet.records.run import Run
    from pairnet.study.events import Event
    from pairnet.study.running import Kept


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn("epochs"),
        TextColumn("{task.fields[accuracy]}", style="cyan", markup=False),
        TimeElapsedColumn(),
        TextColumn("so far,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        disable=not console.is_terminal,
    )


@contextmanager
def interrupt_not_echoed() -> Iterator[None]:
    """Keeps a terminal from showing ^C, which would move the rows of a display by a line."""
    try:
        import termios
    except ImportError:  # Windows
        yield
        return
    try:
        before = termios.tcgetattr(sys.stdin.fileno())
    except (termios.error, OSError, ValueError):  # standard input is no terminal
        yield
        return
    changed = [*before]
    changed[3] &= ~termios.ECHOCTL
    termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, changed)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, before)


class StudyDisplay:
    """One bar for each row of a table and one for the whole; counts epochs, so the time left is honest."""

    def __init__(self, console: Console, runs: "Sequence[Run]") -> None:
        self._console = console
        self._runs = len(runs)
        self._ended = 0
        self._kept = 0
        self._start = time.monotonic()
        self._epochs: Counter[str] = Counter()  # done, by fingerprint
        self._accuracies: dict[str, list[float]] = {}
        self._progress = _bars(console)
        self._terminal = ExitStack()
        epochs = Counter[str]()
        for run in runs:
            epochs[run.name] += run.recipe.epochs
        self._rows: dict[str, TaskID] = {
            row: self._progress.add_task(printable(row), total=total, accuracy="", start=False)
            for row, total in epochs.items()
        }
        self._whole = self._progress.add_task("starting", total=epochs.total(), accuracy="")

    def __enter__(self) -> Self:
        self._terminal.enter_context(interrupt_not_echoed())
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._report_kept()
        self._progress.update(self._whole, description="all")  # also if every run was there before
        self._progress.stop()
        self._terminal.close()

    def __call__(self, event: "Event | Kept") -> None:
        """Shows one event of the study."""
        from pairnet.study.events import EpochDone, Failed, Finished, Started
        from pairnet.study.running import Kept

        run, fingerprint = event.run, event.run.fingerprint
        if not isinstance(event, Kept):
            self._report_kept()
        match event:
            case Started():
                self._progress.update(self._whole, description="all")
                self._advance(run.name, 0)
            case EpochDone(number=number):
                self._advance(run.name, number - self._epochs[fingerprint])
                self._epochs[fingerprint] = number
            case Kept(record=record):
                self._kept += 1
                self._end(run, run.recipe.epochs, record)
            case Finished(record=record):
                self._end(run, run.recipe.epochs - self._epochs[fingerprint], record)
                self._print(run, f"{record.accuracy:.4f} in {record.seconds:.1f} s")
            case Failed(reason=reason):
                self._end(run, run.recipe.epochs - self._epochs[fingerprint], None)
                self._print(run, f"failed: {reason}", always=True)

    def _advance(self, row: str, epochs: int) -> None:
        task = self._rows[row]
        if self._progress.tasks[task].start_time is None:
            self._progress.start_task(task)
        self._progress.advance(task, epochs)
        self._progress.advance(self._whole, epochs)

    def _end(self, run: "Run", epochs: int, record: "RunRecord | None") -> None:
        """Counts a run as ended, with the epochs that have not been shown yet."""
        self._advance(run.name, epochs)
        self._ended += 1
        if record is not None:
            seen = self._accuracies.setdefault(run.name, [])
            seen.append(record.accuracy)
            self._progress.update(self._rows[run.name], accuracy=f"{sum(seen) / len(seen):.4f}")

    def _report_kept(self) -> None:
        """Prints how many runs were there before, and leaves them out of the speed that gives the time left."""
        if not self._kept:
            return
        self._console.print(f"{self._kept} of {self._runs} runs are kept from before")
        self._kept = 0
        for task in self._progress.tasks:
            self._progress.reset(task.id, start=task.started, completed=int(task.completed))
            self._progress.update(task.id)  # the clock of a row that is complete stands still

    def _print(self, run: "Run", outcome: str, *, always: bool = False) -> None:
        """A line for a run that ended: to files and pipes, and to a terminal if it matters."""
        if self._console.is_terminal and not always:
            return
        fold = "" if run.fold is None else f" fold {run.fold + 1}/{run.folds}"
        elapsed = time.monotonic() - self._start
        place = f"[{self._ended}/{self._runs}] {run.name}, draw {run.seed}{fold}"
        self._console.print(printable(f"{place}: {outcome} ({elapsed:.0f} s so far)"))


class RunDisplay:
    """One bar that counts the epochs of a single run; elsewhere than in a terminal, one line at its end."""

    def __init__(self, console: Console, run: "Run") -> None:
        self._console = console
        self._run = run
        self._start = time.monotonic()
        self._begun = False
        self._progress = _bars(console)
        self._terminal = ExitStack()
        self._task = self._progress.add_task(printable(run.variant.name), total=run.recipe.epochs, accuracy="")

    def __enter__(self) -> Self:
        self._terminal.enter_context(interrupt_not_echoed())
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._begun:  # nothing was trained: no bar is left behind
            self._progress.remove_task(self._task)
        self._progress.stop()
        self._terminal.close()

    def __call__(self, epoch: int, last: "Epoch") -> None:
        """Shows one epoch."""
        self._begun = True
        self._progress.update(self._task, completed=epoch)
        if last.validation_accuracy is not None:
            self._progress.update(self._task, accuracy=f"{last.validation_accuracy:.4f}")
        if epoch == self._run.recipe.epochs and not self._console.is_terminal:
            took = time.monotonic() - self._start
            self._console.print(printable(f"{self._run.variant.name}: {epoch} epochs in {took:.1f} s"))
