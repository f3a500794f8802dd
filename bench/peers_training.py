"""Time to 95.2 %: order_net_fast compared with final_model's 25 epochs in a plain PyTorch loop, in turns.

    python -m bench.peers_training [--rounds 10] [--data mnist] [--device cpu] [--json FILE] [--markdown]

Each round is one draw. The time covers drawing the pairs and training, for order_net_fast also its measurements of
accuracy; it does not cover imports and reading the data set. A warm-up run of each is discarded. order_net_fast is
trained twice: the ratio of the two is the noise.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from bench.plain import plain_loop
from bench.turns import AGAIN, Spread, markdown, ratios, spread, take_turns
from pairnet.data.drawing import draw
from pairnet.data.pairs import accuracy
from pairnet.data.sources import Dataset, load_dataset
from pairnet.host import cores, hardware
from pairnet.models.paper import TABLE_III
from pairnet.models.variants import find_variant
from pairnet.records.run import Images, Run
from pairnet.training.device import resolve_device
from pairnet.training.loop import train_network

GOAL = TABLE_III["final_model"].mean


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds and test accuracy of one peer's runs, and the first peer's time as a fraction of its own."""

    name: str
    seconds: Spread
    ratio: Spread
    accuracies: tuple[float, ...]


class _Peer:
    """Trains draw 0, 1, 2, ... with one function, which returns the test accuracy."""

    def __init__(self, train: Callable[[Run], float], images: Images) -> None:
        self._train, self._numbers = train, count()
        self._run = Run(variant=find_variant("order_net_fast"), images=images)
        self.accuracies: list[float] = []
        train(replace(self._run, seed=2**20))

    def __call__(self) -> float:
        """Seconds of the run."""
        run = replace(self._run, seed=next(self._numbers))
        began = time.perf_counter()
        self.accuracies.append(self._train(run))
        return time.perf_counter() - began


def compare(dataset: Dataset, *, rounds: int, epochs: int, device: str) -> list[Timing]:
    """Timings of all peers, order_net_fast first."""

    def fast(run: Run) -> float:
        pairs, test = draw(run, dataset)
        trained = train_network(
            run.variant,
            pairs,
            test,
            recipe=run.recipe,
            weight_seed=run.seeds.weights,
            order_seed=run.seeds.order,
            device=device,
        )
        return accuracy(trained.probability.numpy(), test.targets)

    def plain(run: Run) -> float:
        pairs, test = draw(run, dataset)
        return plain_loop("final_model", pairs, test, seed=run.seed, epochs=epochs, device=device)

    threads = "" if device != "cpu" else f", {torch.get_num_threads()} threads"
    first = f"order_net_fast{', 1 thread' if device == 'cpu' else ''}"
    trained: dict[str, Callable[[Run], float]] = {
        first: fast,
        f"{first}{AGAIN}": fast,
        f"final_model, plain loop{threads}": plain,
    }
    peers = {name: _Peer(train, dataset.images) for name, train in trained.items()}
    seconds = take_turns(peers, rounds, description=f"time to {GOAL:.1%}")
    return [
        Timing(
            name=name,
            seconds=spread(seconds[name]),
            ratio=ratios(seconds[name], seconds[first]),
            accuracies=tuple(peer.accuracies),
        )
        for name, peer in peers.items()
    ]


HEADINGS = ("peer", "draws", "seconds per run", "÷ order_net_fast", "test accuracy", f"mean ≥ {GOAL}")


def rows_of(timings: list[Timing]) -> list[tuple[str, ...]]:
    """Cells of the printed table."""
    return [
        (
            timing.name,
            str(len(timing.accuracies)),
            timing.seconds.show(3),
            timing.ratio.show(),
            f"{statistics.fmean(timing.accuracies):.4f} ± {statistics.stdev(timing.accuracies):.4f}",
            "yes" if statistics.fmean(timing.accuracies) >= GOAL else "NO",
        )
        for timing in timings
    ]


def main() -> None:
    """Measures both peers and prints the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="draws of each peer (default 10, at least 2)")
    parser.add_argument("--epochs", type=int, default=25, help="of the plain loop (default 25, the paper's)")
    parser.add_argument("--data", default="auto", help="as for pairnet")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto (default cpu)")
    parser.add_argument("--json", type=Path, help="write all figures to this file, too")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    options = parser.parse_args()
    device = resolve_device(options.device)
    torch.set_num_threads(cores())
    dataset = load_dataset(options.data)
    timings = compare(dataset, rounds=options.rounds, epochs=options.epochs, device=device)
    machine = f"{device}; {hardware()}; torch {torch.__version__}"
    about = f"median (quartiles) of {options.rounds} rounds; {dataset.name}; {machine}"
    if options.json:
        options.json.write_text(
            json.dumps({"about": about, "peers": [asdict(each) for each in timings]}, indent=1) + "\n"
        )
    if options.markdown:
        sys.stdout.write(f"{about}\n\n{markdown(HEADINGS, rows_of(timings))}\n")
        return
    table = Table(*HEADINGS, title=f"Time to {GOAL:.1%}", caption=about)
    for row in rows_of(timings):
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    main()
