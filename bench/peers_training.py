"""How fast 95.2 % is reached: order_net_fast beside final_model's 25 epochs in a plain PyTorch loop, in one process.

    python bench/peers_training.py [--draws 20] [--plain-draws 3] [--data mnist] [--markdown]

Counted is all from the drawing of the pairs to a net with trained weights, for order_net_fast with its measurements
after each epoch; not counted are imports and reading the data set. One run of each is thrown away first.
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
from torch import Tensor, nn

from pairnet.pairs import Pairs, moments, normalise
from pairnet.records import cores, hardware
from pairnet.runs import Run, draw
from pairnet.sources import Dataset, load
from pairnet.training import train
from pairnet.variants import find

PAPER_BEST = 0.952


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds and test accuracy of each draw."""

    name: str
    seconds: tuple[float, ...]
    accuracies: tuple[float, ...]


class PlainFinalModel(nn.Module):
    """final_model as a textbook would write it: the tower is called for one image, then for the other."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(
            *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Dropout(0.4), nn.Flatten()),
        )
        self.head = nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 1))
        self.auxiliary = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, pair: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """pair [N,2,14,14] -> main [N], digit scores of the first and of the second image [N,10]."""
        first, second = self.tower(pair[:, :1]), self.tower(pair[:, 1:])
        main: Tensor = self.head(torch.cat((first, second), dim=1))
        return main.squeeze(1), self.auxiliary(first), self.auxiliary(second)


def plain_loop(pairs: Pairs, test: Pairs, *, seed: int, epochs: int = 25, batch: int = 25) -> float:
    """The paper's recipe in a plain loop, torch's threads as they are -> test accuracy."""
    torch.manual_seed(seed)
    found = moments(pairs)
    pair, target, digits = (torch.from_numpy(part) for part in normalise(pairs, found))
    net = PlainFinalModel()
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    main_loss, digit_loss = nn.BCEWithLogitsLoss(), nn.CrossEntropyLoss()
    for _ in range(epochs):
        for rows in torch.randperm(len(pairs)).split(batch):  # type: ignore[no-untyped-call]
            main, first, second = net(pair[rows])
            loss = 0.5 * main_loss(main, target[rows])
            loss = loss + digit_loss(first, digits[rows, 0]) + digit_loss(second, digits[rows, 1])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    net.eval()
    with torch.no_grad():
        pair, target, _ = (torch.from_numpy(part) for part in normalise(test, found))
        return float(((net(pair)[0] > 0) == (target > 0)).float().mean())


def seconds_of(name: str, dataset: Dataset, draws: int, once: Callable[[Run], float]) -> Timing:
    """Runs `once` for each draw, after a run that is thrown away."""
    variant = find("order_net_fast")
    runs = [Run(row=name, variant=variant, recipe=variant.recipe, seed=seed) for seed in range(draws)]
    once(runs[-1])
    seconds, accuracies = [], []
    for run in runs:
        began = time.perf_counter()
        accuracies.append(once(run))
        seconds.append(time.perf_counter() - began)
    return Timing(name=name, seconds=tuple(seconds), accuracies=tuple(accuracies))


def measure(dataset: Dataset, *, draws: int, plain_draws: int) -> list[Timing]:
    """Both peers, one after the other."""

    def fast(run: Run) -> float:
        pairs, test = draw(run, dataset)
        recipe, seeds = run.recipe, run.seeds
        trained = train(
            run.variant, pairs, test, recipe=recipe, weight_seed=seeds["weights"], order_seed=seeds["order"]
        )
        return trained.epochs[-1].validation_accuracy

    def plain(run: Run) -> float:
        pairs, test = draw(run, dataset)
        return plain_loop(pairs, test, seed=run.seed)

    return [
        seconds_of("order_net_fast, 1 thread", dataset, draws, fast),
        seconds_of(f"final_model, plain loop, {torch.get_num_threads()} threads", dataset, plain_draws, plain),
    ]


def rows_of(timings: list[Timing]) -> list[tuple[str, ...]]:
    """What is shown of each peer."""
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
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=20, help="of order_net_fast (default 20, at least 2)")
    parser.add_argument("--plain-draws", type=int, default=3, help="of the plain loop (default 3, at least 2)")
    parser.add_argument("--data", default="auto", help="as for pairnet")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(cores())
    timings = measure(load(options.data), draws=options.draws, plain_draws=options.plain_draws)
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
