"""A `pairnet serve` of its own for tests: started on free ports, stopped at the end."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


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
def running_server(*arguments: str | Path, check: bool = True, before: str = "") -> Iterator[RunningServer]:
    """Starts `pairnet serve` with these arguments on free ports; afterwards it must end by itself with status 0.

    before: Python code that its process runs first.
    """
    command = [sys.executable, "-c", f"{before}\nimport pairnet.__main__ as it; raise SystemExit(it.main())"]
    command += ["serve", "--port", "0", "--grpc-port", "0", *map(str, arguments)]
    own = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}  # memory goes back
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=own)
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
        status = process.wait(timeout=40)
        reader.join(timeout=5)
        process.stderr.close()
    if check:
        assert status == 0, "".join(log)
        assert not [line for line in log if "Traceback" in line], "".join(log)
