"""The environment that a record names: versions, hardware, card and revision of this process."""

import platform
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from pairnet.host import hardware, node, revision
from pairnet.records.record import Environment, Gpu
from pairnet.version import __version__

_DRIVER = Path("/proc/driver/nvidia/version")


def environment(device: str, *, engine: str) -> Environment:
    """Versions, hardware and revision of this process, for records of runs on `device`."""
    return Environment(
        versions=versions(),
        hardware=hardware(),
        revision=revision(),
        gpu=None if device == "cpu" else _gpu(device),
        node=node(),
        engine=engine,
        kernels=_kernels(),
    )


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that compute."""
    return {"python": platform.python_version(), **_versions()}


@cache
def _versions() -> dict[str, str]:
    return {"pairnet": __version__, **{name: metadata.version(name) for name in ("torch", "numpy")}}


def _kernels() -> str:
    """What torch chose for this CPU; empty where torch is not loaded, and so computes nothing."""
    torch = sys.modules.get("torch")
    return torch.backends.cpu.get_cpu_capability() if torch is not None else ""


@cache
def _gpu(device: str) -> Gpu:
    import torch

    driver = ""
    if _DRIVER.exists():  # "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  ..."
        numbers = [word for word in _DRIVER.read_text().split() if word.count(".") >= 1 and word[0].isdigit()]
        driver = numbers[0] if numbers else ""
    return Gpu(name=torch.cuda.get_device_name(device), driver=driver, cuda=torch.version.cuda or "")
