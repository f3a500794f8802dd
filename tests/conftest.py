"""Fixtures of more than one test file: settings of the user are hidden, small synthetic data sets."""

import hashlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings

from pairnet.data.download import MNIST_SHA256
from pairnet.data.idx import write_idx

settings.register_profile("pairnet", deadline=None)  # no timing assertions: machines are shared
settings.load_profile("pairnet")

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before a test imports onnxruntime by itself
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: more threads slow such small networks down

if TYPE_CHECKING:
    from pairnet.data.sources import Dataset


def pytest_configure() -> None:
    """Handles SIGINT: background jobs of a shell ignore it, and the child processes of the tests would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache and no data settings of the user, so that `auto` means the embedded images."""
    for name in ("PAIRNET_DATA", "PAIRNET_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PAIRNET_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def command_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line inside the test's process, in an empty folder -> (exit status, stdout, stderr)."""
    from pairnet.cli import app
    from pairnet.cli.common import run_app

    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        status = run_app(app, list(map(str, arguments)))
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def idx_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes random images with labels 0, 1, ... in turn under the file names of MNIST -> their folder.

    As in digits, the background is dark, and five sevenths of each side are not.
    """

    def make(name: str = "set", *, side: int = 28, classes: int = 10, suffix: str = "") -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        for part, count in (("train", 40), ("t10k", 20)):
            pixels = rng.integers(0, 256, (count, side, side), dtype=np.uint8)
            ink = slice(side // 7, side - side // 7)
            dark = pixels // 6
            dark[:, ink, ink] = pixels[:, ink, ink]
            write_idx(folder / f"{part}-images-idx3-ubyte{suffix}", dark)
            write_idx(folder / f"{part}-labels-idx1-ubyte{suffix}", (np.arange(count) % classes).astype(np.uint8))
        return folder

    return make


@pytest.fixture
def small_mnist(idx_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of 40 + 20 images whose checksums replace those of MNIST during a test."""
    folder = idx_folder("mnist")
    for name in MNIST_SHA256:
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        monkeypatch.setitem(MNIST_SHA256, name, digest)
    return folder


@pytest.fixture(scope="session")
def glyph_set() -> "Dataset":
    """2,000 procedural digits for training and 2,000 for testing."""
    from pairnet.data.sources import load_dataset

    return load_dataset("glyphs:2000")
