"""The machine and the code that runs on it: CPU, cores, node, revision."""

import math
import os
import platform
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

CHECKOUT = Path(__file__).resolve().parents[1]
"""The folder above the package: the root of the repository when pairnet runs from a checkout."""

NO_HOME = Path("/nonexistent")
"""The home folder of a user who has none, as Debian names it: nothing is found there, and nothing can be written."""

CPU_INFO = Path("/proc/cpuinfo")


def cores() -> int:
    """Number of cores that this process may use, at least 1: those that it may run on, at most its CPU quota.

    A quota such as 1.5 is rounded up: rounded down, a third of it could never be used.
    """
    quota = cpu_quota()
    return allowed_cores() if quota is None else max(1, min(allowed_cores(), math.ceil(quota)))


def allowed_cores() -> int:
    """Number of cores that this process may run on, whatever time it gets on them."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13: also what PYTHON_CPU_COUNT says
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ensure_home() -> None:
    """Sets HOME where nothing says what it is, as for `docker run --user 54321`; for the beginning of a program.

    pairnet and the libraries then find an empty home folder, instead of failing in as many ways as there are libraries.
    """
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(NO_HOME)


def apply_quota() -> None:
    """Keeps libraries that count cores by themselves, such as torch, from starting more threads than the quota grants.

    For the beginning of a program: they read the environment when they are loaded.
    """
    if cores() < allowed_cores():
        os.environ.setdefault("OMP_NUM_THREADS", str(cores()))


@cache
def cpu_quota(root: Path = Path("/")) -> float | None:
    """Cores' worth of time that the control groups of this process grant, as containers limit it; None: no limit.

    The least of the process's group and all groups around it that are visible here; version 1 and 2 of control groups,
    so Linux only. root: the folder that contains proc and sys.
    """
    try:
        quotas = [_quota(folder) for folder in _groups(root)]
    except ValueError:  # not what Linux writes
        return None
    return min((quota for quota in quotas if quota is not None), default=None)


def _groups(root: Path) -> Iterator[Path]:
    """The folders of this process's control groups for CPU time, and of the groups around them."""
    groups = {}
    for line in _lines(root / "proc/self/cgroup"):  # "4:cpu,cpuacct:/docker/0123", or version 2: "0::/docker/0123"
        _, controllers, group = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            groups["cgroup" if controllers else "cgroup2"] = PurePosixPath(group)
    for line in _lines(root / "proc/self/mountinfo"):
        # "32 31 0:29 /docker/0123 /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu": the group that is mounted, and where
        before, _, after = line.partition(" - ")
        _, _, _, mounted, point, *_ = before.split(" ")
        kind, _, options = after.split(" ", 2)
        if kind not in groups or (kind == "cgroup" and "cpu" not in options.split(",")):
            continue
        inside = PurePosixPath()
        if groups[kind].is_relative_to(mounted) and ".." not in groups[kind].parts:  # else: outside of what is visible
            inside = groups[kind].relative_to(mounted)
        folder = root / point.replace("\\040", " ").lstrip("/")
        yield from (folder / part for part in (inside, *inside.parents))


def _quota(folder: Path) -> float | None:
    """The quota of one control group in cores; None if it has none."""
    quota, period = ["".join(_lines(folder / f"cpu.cfs_{name}_us")) for name in ("quota", "period")]  # "-1": no limit
    if lines := _lines(folder / "cpu.max"):  # version 2: "50000 100000", "max 100000"
        quota, period = lines[0].split(" ")
    return int(quota) / int(period) if quota.isdecimal() and int(quota) and int(period) else None


def _lines(path: Path) -> list[str]:
    """The lines of a small file; none if it cannot be read."""
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []


@cache
def hardware() -> str:
    """Name of the CPU and number of cores that this process may use, e.g. "AMD EPYC 9654, 2 cores"."""
    name = platform.processor() or platform.machine()
    values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in _lines(CPU_INFO))}
    name = values.get("model name", name)
    if "cpu family" in values:
        name += f" (family {values['cpu family']} model {values.get('model', '?')})"
    return f"{name}, {cores()} cores"


def node() -> str:
    """Name of this machine in its network."""
    return platform.node()


@cache
def revision() -> str:
    """Git revision of the code: of the checkout it runs in, else the one built into the wheel, else "unknown"."""
    if (CHECKOUT / ".git").exists() and (CHECKOUT / "csrc").exists():
        command = ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            pass
    from pairnet import _core

    return _core.revision
