"""The parameters of the suite's benchmarks, and the base class of those that need trained networks.

Figures that are better when lower (error, time, bytes) are gated: `asv continuous` reports a rise as a regression. It
would do the same for accuracy and pairs per second, which are better when higher: these are only charted, in classes
whose names begin with Charted.
"""

import ctypes
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from bench.fixture import NULL, Fixture, build
from pairnet.models.paper import TABLE_III
from pairnet.models.variants import VARIANTS

FIRST = [*TABLE_III, "order_net", "order_net_fast"]
"""The variants that asv's pages draw by default: the first eight values of the first parameter."""

NAMES = [*FIRST, *(variant.name for variant in VARIANTS if variant.name not in FIRST)]
NETWORKS = [NULL, *NAMES]
"""The variants and the null model, which always answers 0.5: its time is the overhead of the harness."""

BATCHES = [1, 64, 1024, 8192]
CPU_PRECISIONS = ["fp32", "int8"]  # ONNX Runtime has no fp16 arithmetic for CPUs: it converts to fp32 and back
GPU_PRECISIONS = ["fp32", "fp16"]

HOUR = 3600.0

Step = TypeVar("Step")
Benchmark = TypeVar("Benchmark", bound=Callable[..., Any])


class NeedsNetworks:
    """Base class of benchmarks that need trained networks. asv runs its `setup_cache` once for all subclasses.

    Each subclass requests its networks in `setup`, where asv takes NotImplementedError for "skipped"; raised later, it
    would mean "failed".
    """

    timeout = 300.0
    version = "1"

    def setup_cache(self) -> Fixture:
        """Trains and exports every variant into asv's temporary folder."""
        return build(Path.cwd())

    setup_cache.timeout = HOUR  # type: ignore[attr-defined]


def titled(title: str, *, unit: str = "") -> Callable[[Benchmark], Benchmark]:
    """Sets the title of a benchmark on asv's pages, and its unit if the class has none."""

    def with_title(benchmark: Benchmark) -> Benchmark:
        benchmark.__dict__.update({"pretty_name": title} | ({"unit": unit} if unit else {}))
        return benchmark

    return with_title


def images(batch: int) -> NDArray[np.uint8]:
    """Random pixels, uint8 [batch,2,28,28]: the speed of a network does not depend on its input."""
    return np.random.default_rng(0).integers(0, 256, (batch, 2, 28, 28), dtype=np.uint8)


def with_progress(steps: Sequence[Step], description: str) -> Iterable[Step]:
    """Iterates over `steps` with a bar on stderr that is drawn between steps only, outside the measurements."""
    console = Console(stderr=True)
    return track(
        steps, description, console=console, auto_refresh=False, transient=True, disable=not console.is_terminal
    )


def has_gpu_driver() -> bool:
    """Whether an NVIDIA driver is installed; fast enough to check while asv imports the suite."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
