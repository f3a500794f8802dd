"""Fixture that runs a command line inside the test's process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pairnet.cli import app
from pairnet.cli.common import run_app


@pytest.fixture
def command_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line in an empty folder -> (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        status = run_app(app, list(map(str, arguments)))
        return status, *capsys.readouterr()

    return run
