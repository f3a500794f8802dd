"""Pairs per second of the C++ loader compared with memcpy, tensor indexing and torch's DataLoader, in one process.

    python -m bench.peers_data [--pairs 5000] [--batch 1000] [--threads 2] [--rounds 15] [--markdown | --json]

Each peer delivers an epoch of shuffled, normalised float32 batches with their targets and digits through iteration;
memcpy only copies as many bytes. The peers take turns (bench/turns.py), a warm-up of each is discarded, and the loader
is measured twice: the ratio of the two is the noise. Printed are median and quartiles. Indexing and the DataLoader get
pixels that are already pooled and normalised. The last row compares loading with training as `train_network` does it:
time of an epoch divided by its batches.
"""

import argparse
import ctypes
import json
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, TensorDataset

from bench.turns import AGAIN, markdown, ratios, seconds_of, spread, take_turns
from pairnet import _core
from pairnet.data.loader import PairLoader
from pairnet.data.pairs import Batch, Moments, Pairs, normalise
from pairnet.host import hardware, revision
from pairnet.models.recipes import Recipe, Warp
from pairnet.models.variants import find_variant
from pairnet.training.loop import train_network

LEAST = 0.2  # minimum seconds of one measurement
MOMENTS = Moments(mean=33.0, std=77.0)
EPOCHS = 4  # of a timed training
SHARE = 0.03
"""Goal: largest share of loading in the time of training."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One way to iterate over epochs."""

    name: str
    run: Callable[[int], None]  # called with a number of epochs
    ratio: float | None = None  # goal: the loader is this many times as fast
    rate: float | None = None  # goal of the loader itself: pairs/s


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Pairs per second of one peer in each round."""

    peer: Peer
    rates: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.rates)


@dataclass(frozen=True, kw_only=True)
class Share:
    """Time of loading and of training in each round, in seconds per batch."""

    loading: tuple[float, ...]
    training: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(a / b for a, b in zip(self.loading, self.training, strict=True))


def noise(count: int) -> Pairs:
    """Random pixels: no peer is faster for certain values."""
    random = np.random.default_rng(0)
    return Pairs(
        pixels=random.integers(0, 1021, (count, 2, 14, 14), dtype=np.uint16),
        digits=random.integers(0, 10, (count, 2), dtype=np.uint8),
        indices=np.arange(2 * count).reshape(count, 2),
    )


def iterated(batches: Iterable[Any]) -> Callable[[int], None]:
    """Iterates over the batches of an epoch without using them."""

    def run(epochs: int) -> None:
        for _ in range(epochs):
            for _batch in batches:
                pass

    return run


def indexed(ready: Batch, batch: int) -> Callable[[int], None]:
    """The fast idiom of plain PyTorch, with torch's own threads."""
    pair, target, digits = ready

    def run(epochs: int) -> None:
        for _ in range(epochs):
            order = torch.randperm(len(pair))
            for start in range(0, len(pair), batch):
                rows = order[start : start + batch]
                Batch(pair[rows], target[rows], digits[rows])

    return run


def copied(size: int, threads: int) -> Callable[[int], None]:
    """memcpy of `size` bytes for each epoch, in equal shares for the threads."""
    target, source = np.zeros(size, np.uint8), np.ones(size, np.uint8)
    share = -(-size // threads)
    pool = ThreadPoolExecutor(threads)

    def copy(start: int, epochs: int) -> None:
        length = min(share, size - start)
        for _ in range(epochs):
            ctypes.memmove(target.ctypes.data + start, source.ctypes.data + start, length)  # releases the GIL

    def run(epochs: int) -> None:
        for done in [pool.submit(copy, start, epochs) for start in range(0, size, share)]:
            done.result()

    return run


def timed_epochs(run: Callable[[int], None]) -> Callable[[], float]:
    """A function that measures seconds per epoch, over as many epochs as last LEAST seconds."""
    run(2)
    epochs = max(1, round(LEAST / (seconds_of(lambda: run(2)) / 2)))
    return lambda: seconds_of(lambda: run(epochs)) / epochs


def measured(peers: list[Peer], pairs: int, rounds: int) -> list[Speed]:
    """The speeds of all peers in turns."""
    seconds = take_turns({peer.name: timed_epochs(peer.run) for peer in peers}, rounds, description="pairs per second")
    return [Speed(peer=peer, rates=tuple(pairs / each for each in seconds[peer.name])) for peer in peers]


def share_of_training(pairs: Pairs, rounds: int) -> Share:
    """Loading of the recipe's batches compared with training of final_model on them, each on one thread."""
    recipe, variant = Recipe(epochs=EPOCHS), find_variant("final_model")
    held_out = pairs.subset(np.arange(1))

    def train() -> float:
        return seconds_of(
            lambda: train_network(variant, pairs, held_out, recipe=recipe, weight_seed=0, order_seed=0, measurements=1)
        )

    with PairLoader(pairs, MOMENTS, batch=recipe.batch, threads=1) as loader:
        load, batches = timed_epochs(iterated(loader)), len(loader)
        train()
        peers = {"loading": lambda: load() / batches, "training": lambda: train() / batches / EPOCHS}
        seconds = take_turns(peers, rounds, description="share of training")
    return Share(**seconds)


def all_peers(pairs: Pairs, ready: Batch, *, batch: int, threads: int) -> list[Peer]:
    """All peers, the loader first."""
    dataset = TensorDataset(*ready)
    workers = DataLoader(dataset, batch_size=batch, shuffle=True, num_workers=2, persistent_workers=True)
    iter(workers)  # forks before threads exist

    def loader(warp: Warp | None) -> Callable[[int], None]:
        return iterated(PairLoader(pairs, MOMENTS, batch=batch, threads=threads, warp=warp))

    return [
        Peer(name="loader", run=loader(None)),
        Peer(name=f"loader{AGAIN}", run=loader(None)),
        Peer(name="memcpy of the same bytes", run=copied(sum(part.nbytes for part in ready), threads), ratio=0.8),
        Peer(name="tensor indexing", run=indexed(ready, batch), ratio=10),
        Peer(name="DataLoader(num_workers=2)", run=iterated(workers), ratio=300),
        Peer(name="loader, affine warps", run=loader(Warp()), rate=1e6),
        Peer(name="loader, elastic warps too", run=loader(Warp(elastic=1.0)), rate=1e6),
    ]


def verdict(goal: str, met: bool) -> str:
    """A goal, marked if it is missed."""
    return goal if met else f"{goal}: MISSED"


def rows_of(speeds: list[Speed], share: Share) -> Iterator[tuple[str, ...]]:
    """The cells of each peer."""
    for speed in speeds:
        rates, ratio = spread(tuple(rate / 1e6 for rate in speed.rates)), ratios(speeds[0].rates, speed.rates)
        goal = ""
        if speed.peer.ratio is not None:
            goal = verdict(f"≥ {speed.peer.ratio:g}", ratio.median >= speed.peer.ratio)
        elif speed.peer.rate is not None:
            goal = verdict(f"≥ {speed.peer.rate / 1e6:g} M pairs/s", speed.median >= speed.peer.rate)
        yield speed.peer.name, rates.show(1 if rates.median > 1 else 3), ratio.show(2 if ratio.median < 10 else 0), goal
    loading, training = (statistics.median(times) * 1e6 for times in (share.loading, share.training))
    cell = f"{loading:.1f} µs of {training:,.0f} µs: {share.median:.2%}"
    yield (
        f"batch {Recipe().batch} in a step of training, 1 thread",
        cell,
        "",
        verdict(f"< {SHARE:.0%}", share.median < SHARE),
    )


def main() -> None:
    """Measures all peers and prints the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5000, help="in an epoch (default 5000)")
    parser.add_argument("--batch", type=int, default=1000, help="pairs in a batch (default 1000)")
    parser.add_argument("--threads", type=int, default=2, help="of each peer except the DataLoader (default 2)")
    parser.add_argument("--rounds", type=int, default=15, help="of measurements (default 15)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true")
    form.add_argument("--json", action="store_true")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    pairs = noise(options.pairs)
    ready = Batch(*(torch.from_numpy(part) for part in normalise(pairs, MOMENTS)))
    speeds = measured(all_peers(pairs, ready, batch=options.batch, threads=options.threads), len(pairs), options.rounds)
    share = share_of_training(pairs, options.rounds)

    where = f"{hardware()}; Python {platform.python_version()}, torch {torch.__version__}, {_core.simd_levels()[0]}"
    rounds = f"median (quartiles) of {options.rounds} rounds"
    title = f"{options.pairs:,} pairs, batches of {options.batch}, {options.threads} threads, {rounds}"
    head = ("peer", "M pairs/s", "loader ÷ peer", "goal")
    rows = list(rows_of(speeds, share))
    if options.json:
        facts = {"settings": title, "machine": where, "revision": revision()}
        rates = {speed.peer.name: speed.rates for speed in speeds}
        sys.stdout.write(json.dumps(facts | {"pairs_per_second": rates, "seconds": asdict(share)}, indent=1) + "\n")
    elif options.markdown:
        sys.stdout.write(f"{title}; {where}\n\n{markdown(head, rows)}\n")
    else:
        table = Table(*head, title=title, caption=where)
        for row in rows:
            table.add_row(*row)
        Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    main()
