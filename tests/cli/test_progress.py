"""The display of a run: what a terminal shows while it is there, and what is left of it."""

import io
import os
import termios

import pytest
from record_examples import record
from rich.console import Console

from pairnet.cli import progress


def test_no_bar_is_left_of_a_run_that_did_not_begin():
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=80, no_color=True)
    with progress.run_display(console, record().run):
        pass
    assert "fc_1" not in output.getvalue().rpartition("\x1b[2K")[2]


def test_a_terminal_shows_no_interrupt_while_a_display_is_there(monkeypatch):
    ours, theirs = os.openpty()
    with open(theirs) as terminal:  # noqa: PTH123
        monkeypatch.setattr("sys.stdin", terminal)

        def echoes():
            return bool(termios.tcgetattr(theirs)[3] & termios.ECHOCTL)

        assert echoes()
        with progress.interrupt_not_echoed():
            assert not echoes()
        assert echoes()
        with pytest.raises(KeyboardInterrupt), progress.interrupt_not_echoed():
            raise KeyboardInterrupt
        assert echoes()
    os.close(ours)
