"""The device that a run is computed on. Imports torch only where there may be a GPU: that takes seconds."""

import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

from pairnet.errors import ArgumentError, ProviderError

_DRIVERS = ("/proc/driver/nvidia", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""Where Linux shows the driver of a GPU that torch can use: NVIDIA's, the one of Windows in WSL, AMD's."""


def resolve_device(name: str) -> str:
    """The device that `name` selects: "cpu" or "cuda"; "auto" is the GPU if torch can use one, else the CPU.

    A GPU is compared with the CPU first, once per process (verification.py): if it computes something else, "auto"
    warns and is the CPU.
    Raises ArgumentError for another name, ProviderError if "cuda" is not available or computes something else, and
    ModuleNotFoundError if torch is not installed.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ArgumentError(f'expected `device` to be auto, cpu or cuda, got "{name}": choose one of the three')
    if find_spec("torch") is None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    if name == "cpu" or (name == "auto" and not _may_have_gpu()):
        return "cpu"
    import torch

    if not torch.cuda.is_available():
        if name == "auto":
            return "cpu"
        raise ProviderError(
            f"expected a CUDA device, but torch {torch.__version__} finds none: set `device` to cpu or auto"
        )
    from pairnet.training.verification import failure

    reason = failure("cuda")
    if not reason:
        return "cuda"
    if name == "cuda":
        raise ProviderError(
            f"expected a CUDA device that computes what the CPU does, got another result: {reason}: check its driver "
            f"and torch {torch.__version__} (built for CUDA {torch.version.cuda}), or set `device` to cpu"
        )
    warnings.warn(f"the GPU is not used, it does not compute what the CPU does: {reason}", stacklevel=2)
    return "cpu"


def _may_have_gpu() -> bool:
    """Whether asking torch is worth its import: Linux shows a driver, another system may have one."""
    return sys.platform != "linux" or any(Path(path).exists() for path in _DRIVERS)
