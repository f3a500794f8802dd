"""One run of pytest in a fork of this process, which has imported what is slow, with a time limit for each test."""

import ctypes
import math
import os
import resource
import runpy
import select
import signal
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

SLOW_IMPORTS = (  # none that a plugin of pytest imports: it would warn
    *("numpy", "torch", "scipy.stats", "sklearn.model_selection", "matplotlib.figure", "onnx", "onnxruntime"),
    *("statsmodels.stats.multitest", "statsmodels.stats.weightstats", "mlxtend.data"),
)
COLLECTION = 120.0  # seconds to import and collect
MEMORY, FILE_SIZE = 12 << 30, 4 << 30  # a mutant's endless loop ends before it fills the machine
SUBREAPER = 36  # of prctl(2)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run ended."""

    status: int  # of pytest; negative: ended by this signal
    failed: tuple[str, ...]  # tests
    seconds: Mapping[str, float]  # by test
    late: str = ""  # the test that was stopped by the time limit


def prepare() -> None:
    """Imports what tests import (no plugin of pytest); becomes the parent of what they leave behind."""
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    for name in SLOW_IMPORTS:
        with suppress(ImportError):
            __import__(name)
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def run(
    copy: Path,
    files: Sequence[str],
    *,
    output: Path,
    first: Sequence[str] = (),
    leave_out: Collection[str] = (),
    limits: Mapping[str, float] | None = None,
    stop: bool = True,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Runs test files in the copy of the tree: the tests `first` in this order, then the others.

    `limits` are seconds by test file; without them no test is stopped. `stop` ends the run at the first failure.
    """
    read, write = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.close(read)
        status = 70
        try:
            _enter(copy, output, environment or {})
            status = _pytest(copy, [*files], write, first, leave_out, stop)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    os.close(write)
    os.set_blocking(read, False)
    failed: list[str] = []
    seconds: dict[str, float] = defaultdict(float)
    current = late = rest = ""
    deadline = time.monotonic() + COLLECTION
    status = None
    try:
        while status is None and not late:
            pid, raw = os.waitpid(child, os.WNOHANG)
            if pid:
                status = os.waitstatus_to_exitcode(raw)
            elif time.monotonic() > deadline:
                late = current or "collection"
            elif not select.select([read], [], [], 0.1)[0]:
                continue
            with suppress(BlockingIOError):
                *lines, rest = (rest + os.read(read, 1 << 20).decode()).split("\n")
                for what, test, value in (line.split("\t") for line in lines):
                    if what == "start":
                        current = test
                        deadline = time.monotonic() + (limits[test.partition("::")[0]] if limits else math.inf)
                    elif what == "failed":
                        failed.append(test)
                    else:
                        seconds[test] += float(value)
    finally:
        os.close(read)
        _end(child)
    return Ended(status=-signal.SIGKILL if status is None else status, failed=tuple(failed), seconds=seconds, late=late)


def _enter(copy: Path, output: Path, environment: Mapping[str, str]) -> None:
    """In the child: a session of its own, the copy's paths first, limits of memory and files."""
    os.setsid()
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.chdir(copy)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
    home = copy / "home"
    home.mkdir(exist_ok=True)
    os.environ.update(environment)
    os.environ.update(PYTHONPATH=str(copy), HOME=str(home), PAIRNET_ATTACK="", HYPOTHESIS_STORAGE_DIRECTORY=str(home))
    sys.path[:] = [str(copy), *(path for path in sys.path if path)]
    runpy.run_path(str(copy / "sitecustomize.py"), run_name="sitecustomize")


class _Watch:
    """Tells the parent what runs, fails and how long it takes; sorts the tests."""

    def __init__(self, pipe: int, first: Sequence[str], leave_out: Collection[str]) -> None:
        self.pipe = pipe
        self.rank = {test: at for at, test in enumerate(first)}
        self.leave_out = leave_out

    def say(self, what: str, test: str, value: float = 0) -> None:
        os.write(self.pipe, f"{what}\t{test}\t{value}\n".encode())

    def pytest_configure(self) -> None:
        from hypothesis import Phase, settings

        phases = (Phase.explicit, Phase.generate)  # a failure is enough, the smallest one is not needed
        settings.register_profile("mutation", deadline=None, derandomize=True, database=None, phases=phases)
        settings.load_profile("mutation")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid not in self.leave_out]
        items.sort(key=lambda item: self.rank.get(item.nodeid, len(self.rank)))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.say("start", nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.say("failed" if report.failed else "ran", report.nodeid, report.duration)


def _pytest(
    copy: Path, files: list[str], pipe: int, first: Sequence[str], leave_out: Collection[str], stop: bool
) -> int:
    temporary = copy / "temporary"
    options = ["-q", "-n0", "-p", "no:cacheprovider", f"--basetemp={temporary}", f"--rootdir={copy}"]
    status = pytest.main([*options, *["-x"][: int(stop)], *files], plugins=[_Watch(pipe, first, leave_out)])
    package = sys.modules.get("pairnet")
    if package is not None and not str(package.__file__).startswith(f"{copy}{os.sep}"):
        raise RuntimeError(f"expected pairnet from {copy}, got {package.__file__}")
    return int(status)


def _end(child: int) -> None:
    """Ends the child and all that descends from it; what it left behind has become a child of this process."""
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    for _ in range(200):
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        if not children:
            return
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.02)
    raise RuntimeError(f"expected all processes of the tests to end, these did not: {', '.join(children)}")
