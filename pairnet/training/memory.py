"""Errors of a device whose memory is too small for a run."""

import torch

from pairnet.errors import TrainingError
from pairnet.models.variants import Variant


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether `error`, or an error during whose handling it was raised, is that of a device without memory.

    While a CUDA graph is captured, the end of the capture fails too and hides the first error. On a CPU torch raises a
    RuntimeError that names its allocator.
    """
    while error is not None:
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error):
            return True
        error = error.__context__
    return False


def out_of_memory(variant: Variant, device: str) -> TrainingError:
    """The error of a run that does not fit into the memory of its device."""
    remedy = "set `device` to cpu" if device != "cpu" else "use a smaller network or batch"
    return TrainingError(f"{variant.name}: the memory of {device} is too small: {remedy}", "memory")
