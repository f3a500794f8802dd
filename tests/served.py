"""A `pairnet serve` of its own for tests: started on free ports, stopped at the end."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pairnet.serving.built_in import built_in_model

pytest_plugins = ("trained_runs",)


@dataclass(frozen=True, kw_only=True)
class RunningServer:
    """A server in a process of its own."""

    process: subprocess.Popen[str]
    rest: str  # "127.0.0.1:40123"
    grpc: str
    log: list[str]  # the lines on standard error so far

    @property
    def resident_mb(self) -> float:
        """Memory of the process in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1000


@contextmanager
def running_server(*arguments: str | Path, check: bool = True) -> Iterator[RunningServer]:
    """Starts `pairnet serve` with these arguments on free ports; afterwards it must end by itself with status 0."""
    command = [sys.executable, "-m", "pairnet", "serve", "--port", "0", "--grpc-port", "0", *map(str, arguments)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    log: list[str] = []
    for line in process.stderr:
        log.append(line)
        if "Ctrl-C" in line:
            break
    text = "".join(log)
    found = re.search(r"REST +http://([^/]+)/v2", text), re.search(r"gRPC +(\S+)", text)
    if not all(found):
        process.kill()
        pytest.fail(f"pairnet serve did not start: {text}")
    reader = threading.Thread(target=lambda: log.extend(process.stderr or ()), daemon=True)
    reader.start()
    try:
        yield RunningServer(process=process, rest=found[0][1], grpc=found[1][1], log=log)
    finally:
        if process.poll() is None:
            process.terminate()
        status = process.wait(timeout=20)
        reader.join(timeout=5)
        process.stderr.close()
    if check:
        assert status == 0, "".join(log)
        assert not [line for line in log if "Traceback" in line], "".join(log)


@pytest.fixture(scope="module")
def served_files(models) -> Sequence[Path]:
    """The built-in model and others: raw and pooled input, with and without digits, fp32 and int8."""
    return (
        built_in_model(),
        models("final_model"),
        models("w_net", "pairs"),
        models("order_net_fast", "images", "int8"),
    )


@pytest.fixture(scope="module")
def server(served_files) -> Iterator[RunningServer]:
    """One server of all `served_files` for the tests of a module."""
    with running_server(*served_files) as running:
        yield running
