"""The memory of this process: how much it has, and how free memory goes back to the system."""

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path


def resident() -> int:
    """Bytes of memory that this process has in use; 0 where the system does not tell."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def give_back() -> None:
    """Returns free memory to the system, where its C library can: glibc, and musl has no need of it."""
    if sys.platform == "linux":
        with suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
