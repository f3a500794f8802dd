"""How long does an epoch of batches take without training? The C++ loader, torch's DataLoader and tensor indexing.

The loader shuffles, warps, normalises and copies; the other two shuffle and gather pairs that are already normalised.
"""

import statistics
import time
from typing import Any

import numpy as np

from bench.common import titled
from pairnet.data.loader import PairLoader
from pairnet.data.pairs import Moments, Pairs, normalise
from pairnet.models.recipes import Warp

PAIRS = 8_000
MOMENTS = Moments(mean=33.0, std=75.0)  # near MNIST's
WARPS = {"plain": None, "warped": Warp(elastic=0.4)}
THREADS, BATCHES = [1, 2, 4], [25, 100, 1000]
EPOCHS = 5  # timed for charted figures after a warm-up epoch; the median is reported


def noise() -> Pairs:
    """PAIRS pairs of random pixels."""
    random = np.random.default_rng(0)
    return Pairs(
        pixels=random.integers(0, 1021, (PAIRS, 2, 14, 14), dtype=np.uint16),
        digits=random.integers(0, 10, (PAIRS, 2), dtype=np.uint8),
        indices=np.arange(2 * PAIRS, dtype=np.int64).reshape(PAIRS, 2),
    )


def iterate(batches: Any) -> int:
    """Iterates over one epoch and returns the number of pairs in it."""
    return sum(len(batch[1]) for batch in batches)


class LoaderBenchmark:
    """Base class of the loader's benchmarks."""

    param_names = ["images", "threads", "batch"]
    params = [list(WARPS), THREADS, BATCHES]
    version = "1"
    rounds = 1
    number = 1  # one epoch per sample
    repeat = (3, 10, 0.5)
    warmup_time = 0.05

    def setup(self, kind: str, threads: int, batch: int) -> None:
        self.loader = PairLoader(noise(), MOMENTS, batch=batch, threads=threads, warp=WARPS[kind], output="numpy")

    def teardown(self, kind: str, threads: int, batch: int) -> None:
        self.loader.close()


class Loader(LoaderBenchmark):
    """pairnet.data.loader, NumPy batches."""

    @titled("an epoch through the C++ loader")
    def time_epoch(self, kind: str, threads: int, batch: int) -> None:
        iterate(self.loader)


class ChartedLoader(LoaderBenchmark):
    """The same, as pairs per second."""

    @titled("pairs per second through the loader (charted)", unit="pairs/s")
    def track_pairs_per_second(self, kind: str, threads: int, batch: int) -> float:
        return PAIRS / self.seconds()

    @titled("the loader compared with memcpy (charted)", unit="of memcpy's speed")
    def track_fraction_of_memcpy(self, kind: str, threads: int, batch: int) -> float:
        """Speed relative to copying the same batches into one buffer in this process; 1 is as fast."""
        copied = [[array.copy() for array in arrays] for arrays in self.loader]
        buffers = [np.empty_like(array) for array in copied[0]]
        copies = []
        for _ in range(EPOCHS + 1):
            began = time.perf_counter()
            for arrays in copied:
                for buffer, array in zip(buffers, arrays, strict=True):
                    np.copyto(buffer, array)
            copies.append(time.perf_counter() - began)
        return statistics.median(copies[1:]) / self.seconds()

    def seconds(self) -> float:
        """Median time of EPOCHS epochs."""
        times = []
        for _ in range(EPOCHS + 1):
            began = time.perf_counter()
            iterate(self.loader)
            times.append(time.perf_counter() - began)
        return statistics.median(times[1:])


class Without:
    """The same epoch in torch without the loader, on one thread."""

    param_names = ["batch"]
    params = [BATCHES]
    version = "1"
    rounds = 1
    number = 1
    repeat = (3, 10, 0.5)
    warmup_time = 0.05

    def setup(self, batch: int) -> None:
        import torch
        from torch.utils.data import DataLoader, TensorDataset

        torch.set_num_threads(1)
        torch.manual_seed(0)
        self.tensors = [torch.from_numpy(part) for part in normalise(noise(), MOMENTS)]
        self.loader = DataLoader(TensorDataset(*self.tensors), batch_size=batch, shuffle=True)

    @titled("an epoch through torch's DataLoader")
    def time_torch_data_loader(self, batch: int) -> None:
        """torch.utils.data.DataLoader with its default collation: pair by pair, then stacked."""
        iterate(self.loader)

    @titled("an epoch by indexing tensors")
    def time_tensor_indexing(self, batch: int) -> None:
        """A random permutation; each batch is gathered from the tensors by index."""
        import torch

        for rows in torch.split(torch.randperm(PAIRS), batch):
            [part[rows] for part in self.tensors]
