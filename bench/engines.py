"""What an engine costs per run: one-epoch runs of the smallest variant in each engine and without any, in turns.

    python -m bench.engines [--runs 100] [--rounds 8] [--engines processes,stacked,ray] [--address HOST:PORT]
    python -m bench.engines --memory 2000 [--engines ray]

In each round each peer trains the same runs. "train" is the reference: the runs one after the other in this process,
without an engine. Engines compute side by side, so their seconds are multiplied by the number of runs at once; what
remains above those of "train" is the overhead per run. The start of an engine, up to its first run, is not part of it.
With --memory, one engine after the other computes that many runs once, and the memory of this process and of all its
children is printed after a quarter of them, after half, and at the end.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from bench.turns import AGAIN, Spread, markdown, ratios, spread, take_turns
from pairnet.data.drawing import draw
from pairnet.data.sources import Dataset, load_dataset
from pairnet.errors import TrainingError
from pairnet.host import cores, hardware
from pairnet.models.variants import VARIANTS, count_multiply_adds
from pairnet.records.run import Run
from pairnet.study.environment import environment
from pairnet.study.events import Engine, Failed, Finished, Started
from pairnet.study.execution import execute
from pairnet.study.running import ENGINES, choose_engine

ALONE = "train"
"""Name of the reference."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One peer: milliseconds of a core per run, their ratio to those of `train`, and seconds to start."""

    peer: str
    each: Spread  # milliseconds
    ratio: Spread  # peer / train
    start: float  # median


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Memory in MB of this process and all its children, after a quarter of the runs, half of them and all of them."""

    engine: str
    runs: int
    quarter: float
    half: float
    end: float
    seconds: float


def runs_of(dataset: Dataset, count: int, pairs: int) -> list[Run]:
    """One-epoch runs of the variant with the fewest multiply-adds."""
    smallest = min(VARIANTS, key=count_multiply_adds)
    variant = replace(smallest, recipe=replace(smallest.recipe, epochs=1))
    return [Run(variant=variant, images=dataset.images, pairs=pairs, seed=seed) for seed in range(count)]


def alone(runs: list[Run], dataset: Dataset) -> float:
    """Trains one run after the other in this process -> milliseconds per run."""
    began = time.perf_counter()
    for run in runs:
        execute(run, environment("cpu", engine="single"), *draw(run, dataset))
    return 1000 * (time.perf_counter() - began) / len(runs)


def in_engine(engine: Engine, runs: list[Run], at_once: int, starts: list[float]) -> float:
    """Trains the runs -> milliseconds of a core per run, from the start of the first to the end of the last."""
    called, started, ended = time.perf_counter(), None, 0.0
    for event in engine.run(runs):
        if isinstance(event, Started) and started is None:
            started = time.perf_counter()
        elif isinstance(event, Finished):
            ended = time.perf_counter()
        elif isinstance(event, Failed):
            raise TrainingError(f"{event.run.name}: {event.reason}")
    assert started is not None
    starts.append(started - called)
    return 1000 * (ended - started) * min(at_once, len(runs)) / len(runs)


def compare(engines: dict[str, Engine], runs: list[Run], dataset: Dataset, rounds: int) -> list[Cost]:
    """Measures all peers in turns."""
    starts: dict[str, list[float]] = {name: [] for name in engines}

    def peer(name: str, engine: Engine) -> Callable[[], float]:
        return lambda: in_engine(engine, runs, 1 if name == "stacked" else cores(), starts[name])

    peers: dict[str, Callable[[], float]] = {ALONE: lambda: alone(runs, dataset)}
    peers |= {name: peer(name, engine) for name, engine in engines.items()}
    peers[f"{ALONE}{AGAIN}"] = peers[ALONE]
    times = take_turns(peers, rounds, description=f"{len(runs)} runs")
    return [
        Cost(
            peer=name,
            each=spread(found),
            ratio=ratios(found, times[ALONE]),
            start=statistics.median(starts.get(name) or [0.0]),
        )
        for name, found in times.items()
    ]


def memory_of(engine: Engine, runs: list[Run]) -> Memory:
    """Trains all runs once, and measures memory on the way."""
    began, done, found = time.perf_counter(), 0, dict[int, float]()
    marks = len(runs) // 4, len(runs) // 2, len(runs)
    for event in engine.run(runs):
        if isinstance(event, Finished):
            done += 1
            if done in marks:
                found[done] = _megabytes()
    quarter, half, end = (found[mark] for mark in marks)
    spent = time.perf_counter() - began
    return Memory(engine=engine.name, runs=done, quarter=quarter, half=half, end=end, seconds=spent)


def _megabytes() -> float:
    """Resident memory of this process and its descendants, each page counted by its share of users."""
    found = [os.getpid()]
    total = 0
    for pid in found:
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue  # it has ended
        found += map(int, children)
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def main() -> None:
    """Measures, and prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100, help="of each peer in a round (default 100)")
    parser.add_argument("--rounds", type=int, default=8, help="turns of each peer (default 8)")
    parser.add_argument("--pairs", type=int, default=100, help="of each run (default 100)")
    parser.add_argument("--engines", default=",".join(ENGINES), help="(default all)")
    parser.add_argument("--address", help="Ray cluster (default: Ray is started for each turn)")
    parser.add_argument("--memory", type=int, metavar="RUNS", help="measure memory over this number of runs instead")
    parser.add_argument("--json", type=Path, help="write all figures to this file, too")
    options = parser.parse_args()
    dataset = load_dataset("glyphs:2000")
    torch.set_num_threads(1)
    runs = runs_of(dataset, options.memory or options.runs, options.pairs)
    engines = {
        name: choose_engine(name, runs, dataset, workers=cores(), address=options.address if name == "ray" else None)
        for name in options.engines.split(",")
    }
    headings: tuple[str, ...]
    rows: list[tuple[str, ...]]
    if options.memory:
        measured = [memory_of(engine, runs) for engine in engines.values()]
        headings = ("engine", "runs", "MB after a quarter", "after half", "at the end", "s")
        rows = [
            (m.engine, str(m.runs), f"{m.quarter:.0f}", f"{m.half:.0f}", f"{m.end:.0f}", f"{m.seconds:.0f}")
            for m in measured
        ]
        figures = [asdict(one) for one in measured]
    else:
        costs = compare(engines, runs, dataset, options.rounds)
        headings = ("peer", "core ms per run", "÷ train", "start, s")
        rows = [(cost.peer, cost.each.show(1), cost.ratio.show(), f"{cost.start:.2f}") for cost in costs]
        figures = [asdict(one) for one in costs]
    what = f"{len(runs)} runs of {runs[0].name}, 1 epoch, {options.pairs} pairs"
    about = f"{what}; {hardware()}; torch {torch.__version__}"
    if options.json:
        options.json.write_text(json.dumps({"about": about, "figures": figures}, indent=1) + "\n")
    sys.stdout.write(f"{about}\n\n{markdown(headings, rows)}\n")


if __name__ == "__main__":
    main()
