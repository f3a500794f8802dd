"""The table of a study while it runs, in a terminal: figures so far next to the paper's, and one bar for the whole."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from types import TracebackType
from typing import Self

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pairnet.cli.output import printable
from pairnet.cli.progress import StudyDisplay, interrupt_not_echoed
from pairnet.records.record import RunRecord
from pairnet.records.run import Run
from pairnet.reporting.summaries import accuracy_text, finished_draws, mean_and_std
from pairnet.study.events import EpochDone, Event, Failed, Finished, Started
from pairnet.study.plan import Row, Study
from pairnet.study.running import Kept

REFRESHES = 4
"""Pictures per second: the display shares the machine with the study."""

SPEED_OVER = 300.0
"""Seconds whose speed gives the time left: rows differ in speed, and a while of all of them is needed."""

_LONGEST = 100 * 86_400.0
"""Seconds left that are shown at most: --minutes may be any number."""

_FIGURE, _BAR, _LONG_BAR, _GAP = 13, 8, 24, 2
"""Widths of "0.951 ± 0.009", of a row's bar, of the whole's, and of the space between two columns."""

_SHORTEST_LABEL = 16
"""Other columns are left out before labels become shorter than this."""

_AROUND = 6
"""Lines that are no rows: title, headings, rule, an empty one, the whole, and the cursor's."""


def display_of(console: Console, study: Study, runs: Sequence[Run], *, minutes: float | None = None) -> StudyDisplay:
    """The display that suits a study: its table in a terminal if it has several rows, bars or plain lines otherwise."""
    if console.is_terminal and not console.is_dumb_terminal and len({run.name for run in runs}) > 1:
        return TableDisplay(console, study, runs, minutes=minutes)
    return StudyDisplay(console, runs)


@dataclass(kw_only=True)
class _Line:
    """One row of the table and what is known of it so far."""

    label: str
    paper: str
    draws: int  # wanted
    records: list[RunRecord] = field(default_factory=list)
    failed: int = 0  # runs
    running: dict[str, tuple[int, int]] = field(default_factory=dict)  # epochs done and wanted, by fingerprint
    measured: str = ""
    finished: int = 0  # draws
    current: bool = True  # whether `measured` and `finished` are those of `records`

    def update(self) -> None:
        """Recomputes what follows from the records, if there are new ones."""
        if not self.current:
            accuracies = list(finished_draws(self.records).values())
            self.measured = accuracy_text(*mean_and_std(accuracies), places=3) if accuracies else ""
            self.finished = len(accuracies)
            self.current = True


class TableDisplay(StudyDisplay):
    """The table itself: it vanishes when the study is done, and stays as it is after an interruption.

    A thread draws it, a few times a second, so that the clock runs on between two events.
    """

    def __init__(self, console: Console, study: Study, runs: Sequence[Run], *, minutes: float | None = None) -> None:
        super().__init__(console, runs)
        self._progress.speed_estimate_period = SPEED_OVER
        self._study = study
        self._limit = None if minutes is None else 60 * minutes
        self._lock = Lock()  # guards the lines: held to change them, and while a picture is made; never while printing
        seeds: dict[str, set[int]] = {}
        for run in runs:
            seeds.setdefault(run.name, set()).add(run.seed)
        self._lines = {row.label: _line(row, len(seeds[row.label])) for row in study.rows if row.label in seeds}
        self._live = Live(console=console, get_renderable=self.picture, refresh_per_second=REFRESHES)

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

    def __call__(self, event: Event | Kept) -> None:
        """Shows one event of the study."""
        run, fingerprint = event.run, event.run.fingerprint
        with self._lock:
            line = self._lines[run.name]
            match event:
                case Started():
                    line.running[fingerprint] = (0, run.recipe.epochs)
                case EpochDone(number=number):
                    line.running[fingerprint] = (number, run.recipe.epochs)
                case Finished(record=record) | Kept(record=record):
                    line.running.pop(fingerprint, None)
                    line.records.append(record)
                    line.current = False
                case Failed():
                    line.running.pop(fingerprint, None)
                    line.failed += 1
        super().__call__(event)

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
        columns = _fitted(
            {
                "row": max(cell_len(line.label) for line in lines),
                "validation" if self._study.cross_validated else "test": _FIGURE,
                "paper": _FIGURE if any(line.paper for line in lines) else 0,
                "draws": max(len(f"{line.draws}/{line.draws}") for line in lines),
                "": _BAR,
            },
            width,
        )
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
        for heading, wide in columns.items():
            justify: JustifyMethod = "right" if heading == "draws" else "left"
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
    for left_out in ("", "paper", None):
        others = sum(max(wide, len(name)) + _GAP for name, wide in fitted.items() if wide and name != "row")
        fitted["row"] = max(min(columns["row"], width - others), 1)
        if fitted["row"] < min(columns["row"], _SHORTEST_LABEL) and left_out is not None:
            fitted[left_out] = 0
    return fitted


def _line(row: Row, draws: int) -> _Line:
    paper = "" if row.paper is None else accuracy_text(row.paper.mean, row.paper.std, places=3)
    return _Line(label=printable(row.label), paper=paper, draws=draws)


def _cells(line: _Line) -> tuple[RenderableType, ...]:
    """Label, measured, paper, draws, and a bar while the row is being computed."""
    sign: RenderableType = Text(f"{line.failed} failed", style="red") if line.failed else ""
    if line.running:
        done, wanted = map(sum, zip(*line.running.values(), strict=True))
        sign = ProgressBar(total=wanted, completed=done, width=_BAR)
    return (
        Text(line.label, style="bold" if line.running else "", no_wrap=True, overflow="ellipsis"),
        Text(line.measured, style="cyan"),
        Text(line.paper),
        Text(f"{line.finished}/{line.draws}"),
        sign,
    )


def _clock(seconds: float | None) -> str:
    """1:02:03; dashes for a time that is not known yet, or of no use."""
    return "-:--:--" if seconds is None or seconds > _LONGEST else str(timedelta(seconds=int(seconds)))
