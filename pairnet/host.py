"""The machine and the code that runs on it: CPU, cores, node, revision."""

import os
import platform
import subprocess
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
"""The folder above the package: the root of the repository when pairnet runs from a checkout."""


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def hardware() -> str:
    """Name of the CPU and number of cores that this process may use, e.g. "AMD EPYC 9654, 2 cores"."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = (line.partition(":") for line in info.read_text().splitlines())
        values = {key.strip(): value.strip() for key, _, value in lines}
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
