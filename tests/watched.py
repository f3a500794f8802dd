"""Runs Python in a child process with a new home folder, and says what it wrote there and whose names it looked up."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "lookups.c"

CHOICES = ("ORT_DISABLE_TELEMETRY", "RAY_USAGE_STATS_ENABLED", "MPLCONFIGDIR", "MPLBACKEND", "MATPLOTLIBRC")
"""Variables of the user that would change what a child process does."""


@dataclass(frozen=True, kw_only=True)
class Watched:
    """What a child process left behind."""

    output: str
    files: list[str]  # below its home folder
    lookups: list[str]  # "getaddrinfo NAME", "connect ADDRESS" of other machines


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that notes look-ups and connections of the process into which it is loaded."""
    compiler = next((each for each in ("cc", "gcc", "clang") if shutil.which(each)), None)
    if sys.platform != "linux" or compiler is None:
        pytest.skip("needs Linux and a C compiler")
    library = tmp_path_factory.mktemp("preloaded") / "lookups.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return library


@pytest.fixture
def watched(preloaded: Path, tmp_path: Path) -> Callable[..., Watched]:
    """Runs Python code with these settings of the user; it must end with status 0."""

    def run(code: str, settings: Mapping[str, str] | None = None) -> Watched:
        home, log = tmp_path / "home", tmp_path / "lookups"
        home.mkdir(exist_ok=True)
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith("XDG_") and name not in CHOICES
        }
        own = {"HOME": str(home), "LOOKUPS": str(log), "LD_PRELOAD": str(preloaded)}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**kept, **own, **(settings or {})},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        files = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
        return Watched(output=done.stdout, files=files, lookups=log.read_text().splitlines() if log.exists() else [])

    return run
