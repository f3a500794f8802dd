"""Owns the axes of the suite, and the class through which benchmarks share the networks that are trained once.

What gets worse upwards (error, time, bytes) is gated: `asv continuous` calls its rise a regression. asv would say the
same of accuracy and pairs per second, which get better upwards: they are charted, in classes called Charted...
"""

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.fixture import NULL, Made, make
from pairnet.models.paper import TABLE_III
from pairnet.models.variants import VARIANTS

DRAWN = [*TABLE_III, "order_net", "order_net_fast"]
"""What people ask about stands first: where nothing is chosen, asv's pages draw the first eight values of the first
parameter, and the first of each other one."""

NAMES = [*DRAWN, *(variant.name for variant in VARIANTS if variant.name not in DRAWN)]
NETS = [NULL, *NAMES]
"""With the null model: a file that answers 0.5 and does nothing else, the floor of what the harness itself costs."""

BATCHES = [1, 64, 1024, 8192]
CPU_PRECISIONS = ["fp32", "int8"]  # ONNX Runtime has no fp16 arithmetic for CPUs: it converts to and fro
GPU_PRECISIONS = ["fp32", "fp16"]

HOUR = 3600.0

Asked = TypeVar("Asked", bound=Callable[..., Any])


class OfTrainedNets:
    """asv runs `setup_cache` once for all classes below this one: it knows it by its module and line.

    Each has a `setup` that asks `made` for what it needs: there NotImplementedError means "skipped", later "failed".
    """

    timeout = 300.0
    version = "1"

    def setup_cache(self) -> Made:
        """Trains and exports every variant into asv's temporary folder."""
        return make(Path.cwd())

    setup_cache.timeout = HOUR  # type: ignore[attr-defined]


def titled(title: str, *, unit: str = "") -> Callable[[Asked], Asked]:
    """What asv's pages call a benchmark instead of `track_error`, and its unit where the class names none."""

    def with_title(benchmark: Asked) -> Asked:
        benchmark.__dict__.update({"pretty_name": title} | ({"unit": unit} if unit else {}))
        return benchmark

    return with_title


def images(batch: int) -> NDArray[np.uint8]:
    """Pairs of noise, uint8 [batch,2,28,28]: the images do not change the speed of a network."""
    return np.random.default_rng(0).integers(0, 256, (batch, 2, 28, 28), dtype=np.uint8)


def has_gpu_driver() -> bool:
    """Whether an NVIDIA driver is installed; cheap enough to ask while asv reads the suite."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True
