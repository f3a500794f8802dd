"""Progress of a study or a run: bars with the time left in a terminal, lines elsewhere."""

import time
from collections import Counter
from collections.abc import Sequence
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
    from pairnet.study.running import Progress as Step
    from pairnet.study.runs import Run
    from pairnet.training.history import Epoch


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


class StudyDisplay:
    """One bar for each row of a table and one for the whole study; counts epochs, which take similar times."""

    def __init__(self, console: Console, runs: "Sequence[Run]") -> None:
        self._console = console
        self._runs = len(runs)
        self._ended = 0
        self._kept = 0
        self._began = time.monotonic()
        self._done: Counter[Run] = Counter()  # epochs
        self._accuracies: dict[str, list[float]] = {}
        self._progress = _bars(console)
        epochs = Counter[str]()
        for run in runs:
            epochs[run.row] += run.recipe.epochs
        self._rows: dict[str, TaskID] = {
            row: self._progress.add_task(printable(row), total=total, accuracy="", start=False)
            for row, total in epochs.items()
        }
        self._whole = self._progress.add_task("all", total=epochs.total(), accuracy="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, step: "Step") -> None:
        """Shows one step of the study."""
        row = self._rows[step.run.row]
        if not step.kept and self._kept:
            self._reset_clocks()
        gained = step.epoch - self._done[step.run]
        self._done[step.run] = step.epoch
        if self._progress.tasks[row].start_time is None:
            self._progress.start_task(row)
        self._progress.advance(row, gained)
        self._progress.advance(self._whole, gained)
        if step.record is not None:
            self._ended += 1
            accuracies = self._accuracies.setdefault(step.run.row, [])
            accuracies.append(step.record.accuracy)
            self._progress.update(row, accuracy=f"{sum(accuracies) / len(accuracies):.4f}")
            if step.kept:
                self._kept += 1
            elif not self._console.is_terminal:
                self._console.print(self._line(step))

    def _reset_clocks(self) -> None:
        """Reports how many runs were there before, and leaves them out of the speed that the time left follows from."""
        self._console.print(f"{self._kept} of {self._runs} runs were there before")
        self._kept = 0
        for task in self._progress.tasks:
            self._progress.reset(task.id, start=task.started, completed=int(task.completed))

    def _line(self, step: "Step") -> str:
        run, record = step.run, step.record
        fold = "" if run.fold is None else f" fold {run.fold + 1}/{run.folds}"
        took = "" if record is None else f"{record.accuracy:.4f} in {record.seconds:.1f} s"
        elapsed = time.monotonic() - self._began
        line = f"[{self._ended}/{self._runs}] {run.row}, draw {run.seed}{fold}: {took} ({elapsed:.0f} s so far)"
        return printable(line)


class RunDisplay:
    """One bar that counts the epochs of a single run; elsewhere than in a terminal, one line at its end."""

    def __init__(self, console: Console, run: "Run") -> None:
        self._console = console
        self._run = run
        self._began = time.monotonic()
        self._progress = _bars(console)
        self._task = self._progress.add_task(printable(run.variant.name), total=run.recipe.epochs, accuracy="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, epoch: int, last: "Epoch") -> None:
        """Shows one epoch."""
        self._progress.update(self._task, completed=epoch)
        if last.validation_accuracy is not None:
            self._progress.update(self._task, accuracy=f"{last.validation_accuracy:.4f}")
        if epoch == self._run.recipe.epochs and not self._console.is_terminal:
            took = time.monotonic() - self._began
            self._console.print(printable(f"{self._run.variant.name}: {epoch} epochs in {took:.1f} s"))
