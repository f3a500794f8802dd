"""Time to 95.2 %: order_net_fast compared with final_model's 25 epochs in a plain PyTorch loop, in one process.

    python -m bench.peers_training [--draws 20] [--plain-draws 3] [--data mnist] [--markdown]

The time covers drawing the pairs and training, for order_net_fast also its measurements of accuracy; it does not cover
imports and reading the data set. A warm-up run of each is discarded.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table

from bench.common import with_progress
from bench.plain import plain_loop
from pairnet.data.pairs import accuracy
from pairnet.data.sources import Dataset, load_dataset
from pairnet.host import cores, hardware
from pairnet.models.variants import find_variant
from pairnet.study.runs import Run, draw
from pairnet.training.loop import train_network

PAPER_BEST = 0.952


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds and test accuracy of each draw."""

    name: str
    seconds: tuple[float, ...]
    accuracies: tuple[float, ...]


def seconds_of(name: str, dataset: Dataset, draws: int, once: Callable[[Run], float]) -> Timing:
    """Runs `once` for each draw, after a warm-up run that is discarded."""
    variant = find_variant("order_net_fast")
    runs = [Run(label=name, variant=variant, seed=seed) for seed in range(draws)]
    once(runs[-1])
    seconds, accuracies = [], []
    for run in with_progress(runs, name):
        began = time.perf_counter()
        accuracies.append(once(run))
        seconds.append(time.perf_counter() - began)
    return Timing(name=name, seconds=tuple(seconds), accuracies=tuple(accuracies))


def measure(dataset: Dataset, *, draws: int, plain_draws: int) -> list[Timing]:
    """Timings of both peers, one after the other."""

    def fast(run: Run) -> float:
        pairs, test = draw(run, dataset)
        recipe, seeds = run.recipe, run.seeds
        trained = train_network(
            run.variant, pairs, test, recipe=recipe, weight_seed=seeds.weights, order_seed=seeds.order
        )
        return accuracy(trained.probability.numpy(), test.targets)

    def plain(run: Run) -> float:
        pairs, test = draw(run, dataset)
        return plain_loop("final_model", pairs, test, seed=run.seed)

    return [
        seconds_of("order_net_fast, 1 thread", dataset, draws, fast),
        seconds_of(f"final_model, plain loop, {torch.get_num_threads()} threads", dataset, plain_draws, plain),
    ]


def rows_of(timings: list[Timing]) -> list[tuple[str, ...]]:
    """Cells of the printed table."""
    return [
        (
            timing.name,
            str(len(timing.seconds)),
            f"{statistics.median(timing.seconds):.3f} ({min(timing.seconds):.3f}-{max(timing.seconds):.3f})",
            f"{statistics.fmean(timing.accuracies):.4f} ± {statistics.stdev(timing.accuracies):.4f}",
            "yes" if statistics.fmean(timing.accuracies) >= PAPER_BEST else "NO",
        )
        for timing in timings
    ]


def main() -> None:
    """Measures both and prints the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=20, help="of order_net_fast (default 20, at least 2)")
    parser.add_argument("--plain-draws", type=int, default=3, help="of the plain loop (default 3, at least 2)")
    parser.add_argument("--data", default="auto", help="as for pairnet")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(cores())
    timings = measure(load_dataset(options.data), draws=options.draws, plain_draws=options.plain_draws)
    head = ("peer", "draws", "seconds a run: median (range)", "test accuracy", f"mean ≥ {PAPER_BEST}")
    if options.markdown:
        lines = ["| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows_of(timings))]
        sys.stdout.write("\n".join(lines) + "\n")
        return
    table = Table(*head, title=f"Time to {PAPER_BEST:.1%}", caption=f"{hardware()}; torch {torch.__version__}")
    for row in rows_of(timings):
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    main()
