"""How long does an epoch of batches take, before any network sees them?  The C++ loader, and two ways without it.

The loader shuffles, warps, normalises and copies; the two others only shuffle and gather what was normalised before.
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
EPOCHS = 5  # of what is charted, after one that is thrown away; the median counts


def noise() -> Pairs:
    """PAIRS pairs of random pixels."""
    random = np.random.default_rng(0)
    return Pairs(
        pixels=random.integers(0, 1021, (PAIRS, 2, 14, 14), dtype=np.uint16),
        digits=random.integers(0, 10, (PAIRS, 2), dtype=np.uint8),
        indices=np.arange(2 * PAIRS, dtype=np.int64).reshape(PAIRS, 2),
    )


def run_through(batches: Any) -> int:
    """One epoch -> the number of pairs seen."""
    return sum(len(batch[1]) for batch in batches)


class OfLoader:
    """What the loader's benchmarks have in common."""

    param_names = ["images", "threads", "batch"]
    params = [list(WARPS), THREADS, BATCHES]
    version = "1"
    rounds = 1
    number = 1  # the loader continues from epoch to epoch; asv would call `setup` once for several of them
    repeat = (3, 10, 0.5)
    warmup_time = 0.05

    def setup(self, kind: str, threads: int, batch: int) -> None:
        self.loader = PairLoader(noise(), MOMENTS, batch=batch, threads=threads, warp=WARPS[kind], output="numpy")

    def teardown(self, kind: str, threads: int, batch: int) -> None:
        self.loader.close()


class Loader(OfLoader):
    """pairnet.data.loader, NumPy batches."""

    @titled("an epoch through the C++ loader")
    def time_epoch(self, kind: str, threads: int, batch: int) -> None:
        run_through(self.loader)


class ChartedLoader(OfLoader):
    """The same, the way people say it."""

    @titled("pairs per second through the loader (charted)", unit="pairs/s")
    def track_pairs_per_second(self, kind: str, threads: int, batch: int) -> float:
        return PAIRS / self.seconds()

    @titled("the loader next to memcpy (charted)", unit="of memcpy's speed")
    def track_fraction_of_memcpy(self, kind: str, threads: int, batch: int) -> float:
        """1 would be as quick as copying the same batches, each into the place of the one before, in this process."""
        batches = [[part.copy() for part in one] for one in self.loader]
        there = [np.empty_like(part) for part in batches[0]]
        copies = []
        for _ in range(EPOCHS + 1):
            began = time.perf_counter()
            for one in batches:
                for to, part in zip(there, one, strict=True):
                    np.copyto(to, part)
            copies.append(time.perf_counter() - began)
        return statistics.median(copies[1:]) / self.seconds()

    def seconds(self) -> float:
        """Of an epoch, the middle one of EPOCHS."""
        found = []
        for _ in range(EPOCHS + 1):
            began = time.perf_counter()
            run_through(self.loader)
            found.append(time.perf_counter() - began)
        return statistics.median(found[1:])


class Without:
    """The same epoch without the loader, in torch, on one thread."""

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
        """torch.utils.data.DataLoader as most people use it: a pair at a time, then stacked."""
        run_through(self.loader)

    @titled("an epoch by indexing tensors")
    def time_tensor_indexing(self, batch: int) -> None:
        """A permutation, and each batch indexed out of the tensors."""
        import torch

        for rows in torch.split(torch.randperm(PAIRS), batch):
            [part[rows] for part in self.tensors]
