"""Progress of a single run: a bar with the time left in a terminal, a line elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from pairnet.cli.output import printable
from pairnet.wording import counted

if TYPE_CHECKING:
    from pairnet.records.record import Epoch
    from pairnet.records.run import Run


@contextmanager
def interrupt_not_echoed() -> Iterator[None]:
    """Keeps a terminal from showing ^C, which would move the rows of a display by a line."""
    import termios

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


@contextmanager
def run_display(console: Console, run: "Run") -> Iterator[Callable[[int, "Epoch"], None]]:
    """One bar that counts the epochs of a run; elsewhere than in a terminal, one line at its end."""
    start = time.monotonic()
    progress = Progress(
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
    task = progress.add_task(printable(run.variant.name), total=run.recipe.epochs, accuracy="")

    def show(epoch: int, last: "Epoch") -> None:
        progress.update(task, completed=epoch)
        if last.validation_accuracy is not None:
            progress.update(task, accuracy=f"{last.validation_accuracy:.4f}")
        if epoch == run.recipe.epochs and not console.is_terminal:
            took = time.monotonic() - start
            console.print(printable(f"{run.variant.name}: {counted(epoch, 'epoch')} in {took:.1f} s"))

    with interrupt_not_echoed(), progress:
        try:
            yield show
        finally:
            if not progress.tasks[0].completed:  # nothing was trained: no bar is left behind
                progress.remove_task(task)
