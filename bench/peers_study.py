"""How fast a study is: the rows of Table III in pairnet's engine, compared with a plain PyTorch loop, in turns.

    python -m bench.peers_study [--rounds 8] [--epochs 25] [--rows w_net,...] [--device cpu] [--json FILE] [--markdown]

In each round, each row is trained by the plain loop (bench/plain.py, one network, torch on all cores) and by the
engine of `pairnet reproduce` (on a CPU one network per core in parallel, on a GPU --draws networks as one program). The
time of the engine is from the start of its first run to the end of its last, divided by the number of runs; starting
worker processes is printed separately, since a study does it once. The last row is trained twice by the plain loop: the
ratio of the two is the noise.
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
from pairnet.data.sources import Dataset, load_dataset
from pairnet.errors import TrainingError
from pairnet.host import cores, hardware
from pairnet.records.run import Run
from pairnet.study.events import Engine, Failed, Finished, Started
from pairnet.study.plan import plan
from pairnet.study.running import default_engine
from pairnet.study.tables import studies
from pairnet.training.device import resolve_device

ROWS = ("cnn_base", "no_w_net", "w_net", "a_net", "a_w_net", "final_model")


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One row, or all rows together: seconds per run of both peers, their ratio in each round, and test accuracies."""

    row: str
    plain: Spread
    study: Spread
    ratio: Spread  # plain / study
    plain_accuracies: tuple[float, ...]
    accuracies: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Result:
    """The comparison of all rows, the noise, and the time to start the engine."""

    rows: tuple[Comparison, ...]  # the last one is all rows together
    noise: Spread  # the plain loop of the last row / the same again
    start: float  # seconds from the call of the engine to its first run, median over all calls


class _Study:
    """Trains some draws of a row per call, with the engine of `pairnet reproduce`."""

    def __init__(self, runs: list[Run], dataset: Dataset, starts: list[float]) -> None:
        self._runs = list(runs)
        self._engine: Engine = default_engine(runs, dataset, workers=cores())
        self._starts = starts
        self.accuracies: list[float] = []

    def __call__(self) -> float:
        """Seconds per run."""
        called, started, ended = time.perf_counter(), None, 0.0
        for event in self._engine.run(self._runs):
            if isinstance(event, Started) and started is None:
                started = time.perf_counter()
            elif isinstance(event, Finished):
                ended = time.perf_counter()
                self.accuracies.append(event.record.accuracy)
            elif isinstance(event, Failed):
                raise TrainingError(f"{event.run.name}: {event.reason}")
        assert started is not None
        self._starts.append(started - called)
        return (ended - started) / len(self._runs)


class _Plain:
    """Trains one draw of a row per call, with the plain loop: another draw each time."""

    def __init__(self, row: str, runs: list[Run], dataset: Dataset, epochs: int, device: str) -> None:
        self._row, self._epochs, self._device = row, epochs, device
        self._drawn = [draw(run, dataset) for run in runs]
        self._numbers = count()
        self.accuracies: list[float] = []
        plain_loop(row, *self._drawn[0], seed=0, epochs=1, device=device)

    def __call__(self) -> float:
        """Seconds of the run."""
        number = next(self._numbers) % len(self._drawn)
        began = time.perf_counter()
        accuracy = plain_loop(self._row, *self._drawn[number], seed=number, epochs=self._epochs, device=self._device)
        self.accuracies.append(accuracy)
        return time.perf_counter() - began


def compare(rows: list[str], dataset: Dataset, *, draws: int, rounds: int, epochs: int, device: str) -> Result:
    """Measures all rows in turns."""
    table = studies()["3"]
    chosen = tuple(found for found in table.rows if found.label in rows)
    planned = plan(replace(table, rows=chosen), dataset.images, draws=draws, epochs=epochs, device=device)
    measured = max(1, 5 * epochs // 25)  # as often per epoch as in a whole run
    runs = {row: [replace(run, measurements=measured) for run in planned if run.name == row] for row in rows}
    starts: list[float] = []
    plain = {row: _Plain(row, runs[row], dataset, epochs, device) for row in rows}
    study = {row: _Study(runs[row], dataset, starts) for row in rows}
    last = rows[-1]
    again = _Plain(last, runs[last], dataset, epochs, device)
    peers: dict[str, Callable[[], float]] = {}
    for row in rows:
        peers |= {f"{row} plain": plain[row], f"{row} study": study[row]}
    peers[f"{last} plain{AGAIN}"] = again
    seconds = take_turns(peers, rounds, description=f"Table III, {epochs} epochs, {device}")
    single = [
        Comparison(
            row=row,
            plain=spread(seconds[f"{row} plain"]),
            study=spread(seconds[f"{row} study"]),
            ratio=ratios(seconds[f"{row} plain"], seconds[f"{row} study"]),
            plain_accuracies=tuple(plain[row].accuracies),
            accuracies=tuple(study[row].accuracies),
        )
        for row in rows
    ]
    means = {
        kind: tuple(statistics.fmean(times) for times in zip(*(seconds[f"{row} {kind}"] for row in rows), strict=True))
        for kind in ("plain", "study")
    }
    whole = Comparison(
        row="all rows, mean",
        plain=spread(means["plain"]),
        study=spread(means["study"]),
        ratio=ratios(means["plain"], means["study"]),
        plain_accuracies=tuple(value for row in single for value in row.plain_accuracies),
        accuracies=tuple(value for row in single for value in row.accuracies),
    )
    return Result(
        rows=(*single, whole),
        noise=ratios(seconds[f"{last} plain"], seconds[f"{last} plain{AGAIN}"]),
        start=statistics.median(starts),
    )


HEADINGS = ("row", "plain: s per run", "study: s per run", "plain ÷ study", "plain: accuracy", "study: accuracy")


def rows_of(result: Result) -> list[tuple[str, ...]]:
    """Cells of the printed table."""
    rows = [
        (
            each.row,
            each.plain.show(),
            each.study.show(),
            each.ratio.show(),
            f"{statistics.fmean(each.plain_accuracies):.4f}",
            f"{statistics.fmean(each.accuracies):.4f}",
        )
        for each in result.rows
    ]
    return [*rows, (f"{result.rows[-2].row}, plain ÷ plain{AGAIN}", "", "", result.noise.show(), "", "")]


def main() -> None:
    """Measures both peers and prints the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8, help="turns of each peer (default 8)")
    parser.add_argument("--draws", type=int, help="runs of a row at once (default: cores on a CPU, 10 on a GPU)")
    parser.add_argument("--epochs", type=int, default=25, help="of each run (default 25, the paper's)")
    parser.add_argument("--rows", default=",".join(ROWS), help="of Table III (default all)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto (default cpu)")
    parser.add_argument("--data", default="auto", help="as for pairnet")
    parser.add_argument("--json", type=Path, help="write all figures to this file, too")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    options = parser.parse_args()
    device, dataset = resolve_device(options.device), load_dataset(options.data)
    draws = options.draws or (cores() if device == "cpu" else 10)
    torch.set_num_threads(cores())
    rows = options.rows.split(",")
    if unknown := [row for row in rows if row not in ROWS]:
        parser.error(f"expected rows of {', '.join(ROWS)}, got {', '.join(unknown)}")
    result = compare(rows, dataset, draws=draws, rounds=options.rounds, epochs=options.epochs, device=device)
    about = (
        f"median (quartiles) of {options.rounds} rounds, {draws} runs at once, {options.epochs} epochs, {device}, "
        f"{dataset.name}; start of the engine {result.start:.2f} s; {hardware()}; torch {torch.__version__}"
    )
    if options.json:
        options.json.write_text(json.dumps({"about": about, **asdict(result)}, indent=1) + "\n")
    if options.markdown:
        sys.stdout.write(f"{about}\n\n{markdown(HEADINGS, rows_of(result))}\n")
        return
    table = Table(*HEADINGS, title="Table III, one run", caption=about)
    for row in rows_of(result):
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    main()
