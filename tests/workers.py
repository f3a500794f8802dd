"""The processes of a study: its workers, as Linux lists them, and waiting for its records and for its end."""

import subprocess
import time
from pathlib import Path


def workers_of(pid: int) -> list[int]:
    """Process numbers of the workers of the study that process `pid` runs: the forks of its fork server."""
    servers = [child for child in _children(pid) if b"forkserver" in Path(f"/proc/{child}/cmdline").read_bytes()]
    return [worker for server in servers for worker in _children(server)]


def descendants_of(pid: int) -> list[int]:
    """Process numbers of the children of process `pid`, of their children, and so on."""
    found = _children(pid)
    for child in found:
        try:
            found += _children(child)  # the loop visits these, too
        except OSError:
            continue  # it has ended
    return found


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for_lines(study: subprocess.Popen, records: Path, count: int) -> None:
    """Waits until the file `records` has `count` lines, the study has ended, or five minutes are over."""
    deadline = time.monotonic() + 300
    while study.poll() is None and time.monotonic() < deadline:
        if records.exists() and records.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.01)


def all_end(pids: list[int]) -> bool:
    """Whether all these processes end within five minutes."""
    deadline = time.monotonic() + 300
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(is_running, pids))


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
