"""The table of a study while it runs: what a terminal shows after each event, and what is left at the end."""

import io
import re
from dataclasses import replace

import pytest
from record_examples import EPOCH, IMAGES, record
from rich.cells import cell_len
from rich.console import Console

from pairnet.cli.study_display import display_of
from pairnet.models.paper import Printed
from pairnet.models.variants import find_variant
from pairnet.records.record import FailedRun
from pairnet.study.events import EpochDone, Failed, Finished, Started
from pairnet.study.plan import Row, Study, plan
from pairnet.study.running import FailedBefore, Kept
from pairnet.study.tables import studies

STUDY = Study(
    name="x",
    title="Table X",
    rows=(
        Row(label="fc_1", variant=find_variant("fc_1"), paper=Printed(mean=0.75, std=0.03)),
        Row(label="conv_1", variant=find_variant("conv_1"), paper=None),
    ),
)


class Screen:
    """A display of STUDY, or another one, on a terminal of some size, and what it shows."""

    def __init__(self, study=STUDY, *, width=80, height=24, draws=3, minutes=None, **changes):
        self.output = io.StringIO()
        self.now = 0.0
        self.console = Console(
            file=self.output,
            force_terminal=True,
            width=width,
            height=height,
            no_color=True,
            highlight=False,
            get_time=lambda: self.now,
            _environ={"TERM": "xterm"},  # whatever starts the tests
        )
        self.runs = plan(study, IMAGES, draws=draws, epochs=4, pairs=40, **changes)
        self.display = display_of(self.console, study, self.runs, minutes=minutes)

    def run(self, label, draw, fold=None):
        (run,) = (run for run in self.runs if (run.name, run.seed, run.fold) == (label, draw, fold))
        return run

    def start(self, label, draw, fold=None, *, epochs=0):
        run = self.run(label, draw, fold)
        self.display(Started(run=run))
        for number in range(1, epochs + 1):
            self.display(EpochDone(run=run, number=number, epoch=EPOCH))

    def end(self, label, draw, accuracy, fold=None, *, event=Finished):
        self.display(event(run=self.run(label, draw, fold), record=record(draw, accuracy=accuracy, fold=fold)))

    def fail(self, label, draw, fold=None):
        self.display(Failed(run=self.run(label, draw, fold), reason="the loss is nan"))

    def lines(self):
        """The picture as it is now."""
        with self.console.capture() as captured:
            self.console.print(self.display.picture())
        return re.sub(r"\x1b\[[0-9;]*m", "", captured.get()).splitlines()

    def row(self, label):
        """The cells of a row as one text with single spaces."""
        (line,) = (line for line in self.lines() if line.startswith(label))
        return " ".join(line.split())


def left_on(output, lines=24):
    """What a terminal shows after `output`: enough of an emulator for what rich writes."""
    screen, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", output):
        if token == "\r":
            column = 0
        elif token == "\n":
            row, column = row + 1, 0
            screen += [""] * (row + 1 - len(screen))
        elif token.startswith("\x1b["):
            if token.endswith("A"):
                row -= int(token[2:-1] or 1)
            elif token == "\x1b[2K":
                screen[row] = ""
        else:
            screen[row] = screen[row].ljust(column)[:column] + token + screen[row][column + len(token) :]
            column += len(token)
    return [line.rstrip() for line in screen if line.strip()]


def test_figures_so_far_stand_beside_the_papers():
    screen = Screen()
    assert screen.lines()[0] == "Table X"
    assert screen.lines()[1].split() == ["row", "test", "paper", "draws"]
    assert screen.row("fc_1") == "fc_1 0.750 ± 0.030 0/3"
    screen.end("fc_1", 0, 0.7)
    assert screen.row("fc_1") == "fc_1 0.700 0.750 ± 0.030 1/3"
    screen.end("fc_1", 1, 0.8)
    assert screen.row("fc_1") == "fc_1 0.750 ± 0.071 0.750 ± 0.030 2/3"
    screen.end("conv_1", 0, 0.9)
    assert screen.row("conv_1") == "conv_1 0.900 1/3"
    screen.end("fc_1", 2, 0.9)
    assert screen.row("fc_1") == "fc_1 0.800 ± 0.100 0.750 ± 0.030 3/3"


def test_a_table_without_figures_of_the_paper_has_no_column_for_them():
    screen = Screen(replace(STUDY, rows=STUDY.rows[1:]))
    assert screen.lines()[1].split() == ["row", "test", "draws"]
    assert screen.row("conv_1") == "conv_1 0/3"


def test_a_draw_counts_when_all_its_folds_are_there():
    screen = Screen(replace(STUDY, cross_validated=True))
    assert screen.lines()[1].split() == ["row", "validation", "paper", "draws"]
    for fold, accuracy in enumerate((0.6, 0.7, 0.8)):
        screen.end("conv_1", 0, accuracy, fold)
        assert screen.row("conv_1") == "conv_1 0/3"
    screen.end("conv_1", 1, 0.5, 0)
    screen.end("conv_1", 0, 0.9, 3)
    assert screen.row("conv_1") == "conv_1 0.750 1/3"


def test_a_row_that_is_computed_shows_its_epochs_and_no_longer_when_it_ends():
    screen = Screen()
    screen.start("conv_1", 0, epochs=2)
    assert screen.row("conv_1").startswith("conv_1 0/3 ━━━━")
    assert "━" not in screen.row("fc_1")
    screen.end("conv_1", 0, 0.9)
    assert screen.row("conv_1") == "conv_1 0.900 1/3"


def test_the_whole_counts_epochs_of_all_runs():
    screen = Screen()
    assert "starting" in screen.lines()[-1]
    assert "0/24 epochs" in screen.lines()[-1]
    screen.start("conv_1", 0, epochs=2)
    assert re.fullmatch(r"all ━+.* 2/24 epochs  0:00:00 so far, .* left", screen.lines()[-1].rstrip())
    screen.end("conv_1", 0, 0.9)
    assert "4/24 epochs" in screen.lines()[-1]
    screen.start("fc_1", 0, epochs=1)
    screen.fail("fc_1", 0)
    assert "8/24 epochs" in screen.lines()[-1]


def test_a_failed_run_is_a_line_above_the_table_and_a_mark_in_it():
    screen = Screen()
    screen.start("fc_1", 0)
    screen.fail("fc_1", 0)
    assert "[1/6] fc_1, draw 0: failed: the loss is nan" in screen.output.getvalue()
    assert screen.lines()[1].split() == ["row", "test", "paper", "draws", "failed"]
    assert screen.row("fc_1") == "fc_1 0.750 ± 0.030 0/3 1"
    screen.end("fc_1", 1, 0.8)
    assert screen.row("fc_1") == "fc_1 0.800 † 0.750 ± 0.030 1/3 1"
    screen.start("fc_1", 2, epochs=1)
    assert screen.row("fc_1").startswith("fc_1 0.800 † 0.750 ± 0.030 1/3 1 ")


def test_runs_that_failed_before_are_counted_with_the_way_to_run_them_again():
    screen = Screen()
    run = screen.run("fc_1", 0)
    failure = FailedRun(
        fingerprint=run.fingerprint,
        run=run,
        label="fc_1",
        error="nan",
        kind="diverged",
        epoch=2,
        environment=record().environment,
    )
    screen.display(FailedBefore(run=run, failure=failure))
    screen.start("fc_1", 1)
    assert (
        "1 of 6 runs failed before: 1 diverged in epoch 2; --retry-failed runs them again" in screen.output.getvalue()
    )
    assert screen.row("fc_1") == "fc_1 0.750 ± 0.030 0/3 1"


def test_kept_runs_are_figures_at_once_and_no_speed():
    screen = Screen()
    for draw in (0, 1):
        screen.end("fc_1", draw, 0.6 + 0.2 * draw, event=Kept)
    assert screen.row("fc_1") == "fc_1 0.700 ± 0.141 0.750 ± 0.030 2/3"
    screen.start("fc_1", 2)
    assert "2 of 6 runs are kept from before" in screen.output.getvalue()
    assert "8/24 epochs" in screen.lines()[-1]
    assert "-:--:-- left" in screen.lines()[-1]


def test_the_time_left_ends_with_the_minutes_given():
    screens = {minutes: Screen(minutes=minutes) for minutes in (None, 3, 60)}
    assert "0:00:00 so far, 0:03:00 left" in screens[3].lines()[-1]
    for screen in screens.values():
        for draw in (0, 1):
            screen.now += 60
            screen.start("fc_1", draw, epochs=4)
    left = {minutes: screen.lines()[-1].partition("so far, ")[2].split()[0] for minutes, screen in screens.items()}
    assert left[None] == left[60] == "0:02:00"  # what the speed says
    assert left[3] == "0:01:00"
    for minutes in (None, 1e300):
        assert "-:--:-- left" in Screen(minutes=minutes).lines()[-1]


@pytest.mark.parametrize("name", studies())
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 50), (60, 24), (44, 24), (30, 20), (80, 10)], ids=str)
def test_every_table_fits_the_terminal(name, width, height):
    study = studies()[name]
    screen = Screen(study, width=width, height=height, draws=100)
    first = study.rows[0].label
    fold = 0 if study.cross_validated else None
    screen.start(first, 0, fold, epochs=2)
    screen.end(study.rows[1].label, 0, 0.912, fold)
    lines = screen.lines()
    assert len(lines) < height
    assert max(cell_len(line.rstrip()) for line in lines) <= width
    assert "left" in lines[-1]
    assert {"row", "draws"} <= set(lines[1].split())
    assert "…" not in lines[1]
    if height > 20 or len(study.rows) <= 4:
        assert len(lines) == len(study.rows) + 5
        assert sum("/100" in line for line in lines) == len(study.rows)
    if width >= 80:
        assert ("paper" in lines[1]) == any(row.paper for row in study.rows)
    if height == 10:
        assert f"and {len(study.rows) - 3} more" in "\n".join(lines)


def test_nothing_is_left_of_a_study_that_is_done():
    screen = Screen()
    with screen.display:
        screen.start("fc_1", 0, epochs=4)
        screen.end("fc_1", 0, 0.7)
        screen.fail("fc_1", 1)
        screen.display._live.refresh()
    shown = left_on(screen.output.getvalue())
    assert len(shown) == 1
    assert "fc_1, draw 1: failed" in shown[0]


def test_one_line_is_left_of_a_study_whose_runs_are_all_kept():
    screen = Screen()
    with screen.display:
        for run in screen.runs:
            screen.end(run.name, run.seed, 0.7, event=Kept)
        screen.display._live.refresh()
    assert left_on(screen.output.getvalue()) == ["6 of 6 runs are kept from before"]


def test_one_table_is_left_of_a_study_that_is_interrupted():
    screen = Screen()

    def study():
        screen.end("fc_1", 0, 0.6, event=Kept)
        screen.start("fc_1", 1, epochs=4)
        screen.end("fc_1", 1, 0.8)
        screen.display._live.refresh()
        screen.start("conv_1", 0, epochs=2)
        screen.display._live.refresh()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), screen.display:
        study()
    shown = left_on(screen.output.getvalue())
    assert [line.split()[0] for line in shown if "─" not in line] == ["1", "Table", "row", "fc_1", "conv_1", "all"]
    assert " ".join(shown[4].split()) == "fc_1 0.700 ± 0.141 0.750 ± 0.030 2/3"
    assert " ".join(shown[5].split()) == "conv_1 0/3"  # and no bar: nothing is being computed


@pytest.mark.parametrize("terminal", [{}, {"force_terminal": True, "_environ": {"TERM": "dumb"}}], ids=["file", "dumb"])
def test_lines_are_for_files_and_dumb_terminals(terminal):
    screen = Screen(replace(STUDY, rows=STUDY.rows[:1], cross_validated=True), draws=1)
    screen.console = Console(file=screen.output, width=80, **terminal)
    screen.display = display_of(screen.console, STUDY, screen.runs)
    with screen.display:
        screen.end("fc_1", 0, 0.6, 0, event=Kept)
        screen.start("fc_1", 0, 1, epochs=4)
        screen.end("fc_1", 0, 0.7, 1)
        screen.fail("fc_1", 0, 2)
    assert screen.output.getvalue().splitlines() == [
        "1 of 4 runs are kept from before",
        "[2/4] fc_1, draw 0 fold 2/4: 0.7000 in 1.5 s (0 s so far)",
        "[3/4] fc_1, draw 0 fold 3/4: failed: the loss is nan (0 s so far)",
    ]


def test_a_label_cannot_control_the_terminal():
    study = replace(STUDY, rows=(replace(STUDY.rows[0], label="\x1b[31mred [bold]"), STUDY.rows[1]))
    screen = Screen(study)
    assert screen.row("\\x1b[31mred [bold]").endswith("0/3")
