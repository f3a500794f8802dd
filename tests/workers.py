"""The worker processes of a study, as Linux lists them."""

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


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
