"""A study while it runs: in a terminal its table, figures so far next to the paper's; elsewhere a line for each run."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from types import TracebackType
from typing import Self

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.live import Live
from rich.progress import Progress
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pairnet.cli.output import printable
from pairnet.cli.progress import interrupt_not_echoed
from pairnet.records.failures import MARK, how_they_failed
from pairnet.records.record import FailedRun, RunRecord
from pairnet.records.run import Draw, Run
from pairnet.reporting.formats import accuracy_text
from pairnet.reporting.summaries import finished_draws, mean_and_std
from pairnet.study.events import EpochDone, Event, Failed, Finished, Started
from pairnet.study.plan import Row, Study
from pairnet.study.running import FailedBefore, Kept

REFRESHES = 4
"""Pictures per second: the display shares the machine with the study."""

SPEED_OVER = 300.0
"""Seconds whose speed gives the time left: rows differ in speed, and a while of all of them is needed."""

_LONGEST = 100 * 86_400.0
"""Seconds left that are shown at most: --minutes may be any number."""

_FIGURE, _BAR, _LONG_BAR, _GAP = 13, 8, 24, 2
"""Widths of "0.951 ± 0.009", of a row's bar, of the whole's, and of the space between two columns."""

_SHORTEST_LABEL = 28
"""Other columns are left out before labels become shorter than this."""

_AROUND = 6
"""Lines that are no rows: title, headings, rule, an empty one, the whole, and the cursor's."""


def display_of(console: Console, study: Study, runs: Sequence[Run], *, minutes: float | None = None) -> "StudyDisplay":
    """The display that suits the output of a study: its table in a terminal, lines otherwise."""
    if console.is_terminal and not console.is_dumb_terminal:
        return TableDisplay(console, study, runs, minutes=minutes)
    return StudyDisplay(console, runs)


class StudyDisplay:
    """A line for each run that ended: for files, pipes, and terminals whose cursor cannot be moved."""

    failures_only = False
    """Whether finished runs are shown otherwise, and need no line."""

    def __init__(self, console: Console, runs: Sequence[Run]) -> None:
        self._console = console
        self._runs = len(runs)
        self._ended = 0
        self._kept = 0  # that are not reported yet
        self._failed_before = list[FailedRun]()  # that are not reported yet
        self._start = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._report_kept()

    def __call__(self, event: Event | Kept | FailedBefore) -> None:
        """Shows one event of the study."""
        if not isinstance(event, Kept | FailedBefore):
            self._report_kept()
        match event:
            case Kept():
                self._ended += 1
                self._kept += 1
            case FailedBefore(failure=failure):
                self._ended += 1
                self._failed_before.append(failure)
            case Finished(run=run, record=record):
                self._ended += 1
                if not self.failures_only:
                    self._print(run, f"{record.accuracy:.4f} in {record.seconds:.1f} s")
            case Failed(run=run, reason=reason):
                self._ended += 1
                self._print(run, f"failed: {reason}")

    def _report_kept(self) -> None:
        """Prints how many runs were there before, and how many had failed."""
        if self._kept:
            self._console.print(f"{self._kept} of {self._runs} runs are kept from before")
            self._kept = 0
        if failed := self._failed_before:
            what = f"{len(failed)} of {self._runs} runs failed before"
            text = f"{what}: {how_they_failed(failed)}; --retry-failed runs them again"
            self._console.print(printable(text))
            self._failed_before = []

    def _print(self, run: Run, outcome: str) -> None:
        fold = "" if run.fold is None else f" fold {run.fold + 1}/{run.folds}"
        elapsed = time.monotonic() - self._start
        place = f"[{self._ended}/{self._runs}] {run.name}, {run.repetition}{fold}"
        self._console.print(printable(f"{place}: {outcome} ({elapsed:.0f} s so far)"))


@dataclass(kw_only=True)
class _Line:
    """One row of the table and what is known of it so far."""

    label: str
    paper: str
    draws: int  # wanted
    epochs: int  # of each run
    records: list[RunRecord] = field(default_factory=list)
    failed: set[Draw] = field(default_factory=set)
    running: dict[str, int] = field(default_factory=dict)  # epochs done, by fingerprint
    measured: str = ""
    finished: int = 0  # draws
    current: bool = True  # whether `measured` and `finished` are those of `records`

    def update(self) -> None:
        """Recomputes what follows from the records, if there are new ones."""
        if not self.current:
            accuracies = list(finished_draws(self.records).values())
            text = accuracy_text(*mean_and_std(accuracies), places=3) if accuracies else ""
            self.measured = f"{text} {MARK}" if text and self.failed else text
            self.finished = len(accuracies)
            self.current = True


class TableDisplay(StudyDisplay):
    """The table itself: it vanishes when the study is done, and stays as it is after an interruption.

    A thread draws it, a few times a second, so that the clock runs on between two events.
    """

    failures_only = True

    def __init__(self, console: Console, study: Study, runs: Sequence[Run], *, minutes: float | None = None) -> None:
        super().__init__(console, runs)
        self._study = study
        self._limit = None if minutes is None else 60 * minutes
        self._lock = Lock()  # guards the lines: held to change them, and while a picture is made; never while printing
        self._lines = {row.label: _line(row, runs) for row in study.rows if any(row.label == run.name for run in runs)}
        self._progress = Progress(console=console, speed_estimate_period=SPEED_OVER)  # counts epochs, is never drawn
        self._whole = self._progress.add_task("starting", total=sum(run.recipe.epochs for run in runs))
        self._live = Live(console=console, get_renderable=self.picture, refresh_per_second=REFRESHES)
        self._terminal = ExitStack()

    def __enter__(self) -> Self:
        self._terminal.enter_context(interrupt_not_echoed())
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._report_kept()
        with self._lock:
            for line in self._lines.values():
                line.running.clear()
        self._live.transient = kind is None
        self._live.stop()
        self._terminal.close()

    def __call__(self, event: Event | Kept | FailedBefore) -> None:
        """Shows one event of the study."""
        super().__call__(event)
        run, fingerprint = event.run, event.run.fingerprint
        with self._lock:
            line = self._lines[run.name]
            before, done = line.running.pop(fingerprint, 0), run.recipe.epochs
            match event:
                case Started():
                    self._progress.update(self._whole, description="all")
                    done = line.running[fingerprint] = 0
                case EpochDone(number=number):
                    done = line.running[fingerprint] = number
                case Finished(record=record) | Kept(record=record):
                    line.records.append(record)
                    line.current = False
                case Failed() | FailedBefore():
                    line.failed.add(run.draw)
                    line.current = False
            self._progress.advance(self._whole, done - before)

    def _report_kept(self) -> None:
        """Prints how many runs were there before, and leaves them out of the speed that gives the time left."""
        if self._kept:
            self._progress.reset(self._whole, completed=int(self._progress.tasks[self._whole].completed))
        super()._report_kept()

    def picture(self) -> RenderableType:
        """Title, table and the bar of the whole, as they are now."""
        width, height = self._console.size
        with self._lock:
            for line in self._lines.values():
                line.update()
            title = Text(self._study.title, style="italic", no_wrap=True, overflow="ellipsis")
            return Group(title, *self._table(width, height - _AROUND), "", self._all(width))

    def _table(self, width: int, height: int) -> list[RenderableType]:
        """At most `height` lines of rows; the last columns are left out where `width` does not suffice."""
        lines = list(self._lines.values())
        failed = max(len(line.failed) for line in lines)
        columns = _fitted(
            {
                "row": max(cell_len(line.label) for line in lines),
                self._study.heading: _FIGURE + 2 * bool(failed),
                "paper": _FIGURE if any(line.paper for line in lines) else 0,
                "draws": max(len(f"{line.draws}/{line.draws}") for line in lines),
                "failed": len(str(failed)) if failed else 0,
                "": _BAR,
            },
            width,
        )
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for heading, wide in columns.items():
            justify: JustifyMethod = "right" if heading in ("draws", "failed") else "left"
            if wide:
                table.add_column(heading, width=max(wide, len(heading)), no_wrap=True, justify=justify)
        shown = lines if len(lines) <= height else lines[: max(height - 1, 1)]
        for line in shown:
            cells = zip(_cells(line), columns.values(), strict=True)
            table.add_row(*(cell for cell, wide in cells if wide))
        more = Text(f"and {len(lines) - len(shown)} more", style="dim")
        return [table, more] if len(shown) < len(lines) else [table]

    def _all(self, width: int) -> RenderableType:
        """The bar of the whole: epochs done, time elapsed, time left."""
        whole = self._progress.tasks[self._whole]
        epochs = f"{whole.completed:.0f}/{whole.total:.0f} epochs"
        elapsed = whole.elapsed or 0.0
        left = whole.time_remaining
        if self._limit is not None:
            until = max(self._limit - elapsed, 0.0)
            left = until if left is None else min(left, until)
        texts = (
            f"{epochs}  {_clock(elapsed)} so far, {_clock(left)} left",
            f"{epochs}  {_clock(left)} left",
            f"{_clock(left)} left",
        )
        room = width - len(whole.description) - _BAR - 2
        text = next((text for text in texts if len(text) <= room), texts[-1])
        bar = ProgressBar(
            total=whole.total, completed=whole.completed, width=min(_BAR + max(room - len(text), 0), _LONG_BAR)
        )
        line = Table.grid(padding=(0, 1, 0, 0))
        line.add_row(whole.description, bar, Text(text, no_wrap=True, overflow="ellipsis"))
        return line


def _fitted(columns: dict[str, int], width: int) -> dict[str, int]:
    """The widths of the columns in a terminal of `width`; 0 for one that is left out, and labels get what is left."""
    fitted = dict(columns)
    for left_out in ("", "paper", "test", "validation", "measured", None):
        others = sum(max(wide, len(name)) + _GAP for name, wide in fitted.items() if wide and name != "row")
        fitted["row"] = max(min(columns["row"], width - others), 1)
        if left_out in fitted and fitted["row"] < min(columns["row"], _SHORTEST_LABEL):
            fitted[left_out] = 0
    return fitted


def _line(row: Row, runs: Sequence[Run]) -> _Line:
    paper = "" if row.paper is None else accuracy_text(row.paper.mean, row.paper.std, places=3)
    own = [run for run in runs if run.name == row.label]
    draws = len({run.draw for run in own})
    return _Line(label=printable(row.label), paper=paper, draws=draws, epochs=own[0].recipe.epochs)


def _cells(line: _Line) -> tuple[RenderableType, ...]:
    """Label, measured, paper, draws, those that failed, and a bar while the row is being computed."""
    sign: RenderableType = ""
    if line.running:
        sign = ProgressBar(total=line.epochs * len(line.running), completed=sum(line.running.values()), width=_BAR)
    return (
        Text(line.label, style="bold" if line.running else "", no_wrap=True, overflow="ellipsis"),
        Text(line.measured, style="cyan"),
        Text(line.paper),
        Text(f"{line.finished}/{line.draws}"),
        Text(str(len(line.failed)) if line.failed else "", style="red"),
        sign,
    )


def _clock(seconds: float | None) -> str:
    """1:02:03; dashes for a time that is not known yet, or of no use."""
    return "-:--:--" if seconds is None or seconds > _LONGEST else str(timedelta(seconds=int(seconds)))
