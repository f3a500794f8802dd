"""How fast a study is: Table III as `pairnet reproduce` trains it, compared with the same runs in a plain PyTorch loop.

    python -m bench.peers_study [--repeats 2] [--plain-repeats 1] [--rows w_net,...] [--epochs 25] [--markdown]

Both are timed in one run of this file. First the plain loop (bench/plain.py) trains one network after the other with as
many threads as there are cores, after a warm-up epoch for each row, and evaluates it once at the end. Then the study
trains all rows as one list of runs, including the start of its workers. The study's time for a row is the wall time of
a run divided by the number of parallel runs.
"""

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from bench.common import with_progress
from bench.plain import plain_loop
from pairnet.data.sources import Dataset, load_dataset
from pairnet.host import cores, hardware
from pairnet.study.running import default_engine, run_study
from pairnet.study.runs import draw
from pairnet.study.tables import plan, studies
from pairnet.training.device import resolve_device

ROWS = ("cnn_base", "no_w_net", "w_net", "a_net", "a_w_net", "final_model")


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One row, or all of them: seconds per run and test accuracies, in the plain loop and in the study."""

    row: str
    plain: float
    study: float
    plain_accuracies: tuple[float, ...]
    accuracies: tuple[float, ...]


def measure(
    rows: list[str], dataset: Dataset, *, repeats: int, plain_repeats: int, epochs: int, device: str
) -> list[Timing]:
    """Times the rows of the table in the plain loop and in the study; the last item is the total."""
    table = studies()["3"]
    chosen = tuple(found for found in table.rows if found.label in rows)
    runs = plan(replace(table, rows=chosen), draws=repeats, epochs=epochs, device=device)
    plain: dict[str, list[tuple[float, float]]] = {row: [] for row in rows}  # seconds, accuracy
    for row in with_progress(rows, "plain loop"):
        drawn = [draw(run, dataset) for run in runs if run.label == row][:plain_repeats]
        plain_loop(row, *drawn[0], seed=0, epochs=1, device=device)
        for number, each in enumerate(drawn):
            began = time.perf_counter()
            accuracy = plain_loop(row, *each, seed=number, epochs=epochs, device=device)
            plain[row].append((time.perf_counter() - began, accuracy))
    with tempfile.TemporaryDirectory() as out:
        began = time.perf_counter()
        engine = default_engine(runs, dataset, workers=cores())
        sys.stderr.write(f"study: {len(runs)} runs\n")
        records = run_study(runs, dataset, Path(out), engine=engine).finished
        wall = time.perf_counter() - began
    jobs = cores() if device == "cpu" else 1
    timings = [
        Timing(
            row=row,
            plain=statistics.fmean(seconds for seconds, _ in plain[row]),
            study=statistics.fmean(record.seconds / jobs for record in records if record.label == row),
            plain_accuracies=tuple(accuracy for _, accuracy in plain[row]),
            accuracies=tuple(record.accuracy for record in records if record.label == row),
        )
        for row in rows
    ]
    whole = Timing(
        row="all",
        plain=statistics.fmean(timing.plain for timing in timings),
        study=wall / len(runs),
        plain_accuracies=tuple(found for timing in timings for found in timing.plain_accuracies),
        accuracies=tuple(found for timing in timings for found in timing.accuracies),
    )
    return [*timings, whole]


def rows_of(timings: list[Timing]) -> list[tuple[str, ...]]:
    """Cells of the printed table."""
    return [
        (
            timing.row,
            f"{timing.plain:.2f}",
            f"{timing.study:.2f}",
            f"{timing.plain / timing.study:.2f}",
            f"{statistics.fmean(timing.plain_accuracies):.4f}",
            f"{statistics.fmean(timing.accuracies):.4f}",
        )
        for timing in timings
    ]


def main() -> None:
    """Measures both and prints the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=2, help="of each row in the study (default 2)")
    parser.add_argument("--plain-repeats", type=int, default=1, help="of each row in the plain loop (default 1)")
    parser.add_argument("--epochs", type=int, default=25, help="of each run (default 25, the paper's)")
    parser.add_argument("--rows", default=",".join(ROWS), help="of Table III (default all)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto (default cpu)")
    parser.add_argument("--data", default="auto", help="as for pairnet")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    device, dataset = resolve_device(options.device), load_dataset(options.data)
    torch.set_num_threads(cores())
    timings = measure(
        options.rows.split(","),
        dataset,
        repeats=options.repeats,
        plain_repeats=min(options.plain_repeats, options.repeats),
        epochs=options.epochs,
        device=device,
    )
    head = ("row", "plain loop: s a run", "study: s a run", "plain ÷ study", "plain: accuracy", "study: accuracy")
    about = (
        f"{options.repeats} draws, plain loop {options.plain_repeats}, {options.epochs} epochs, {device}, "
        f"{dataset.name}; {hardware()}; torch {torch.__version__}"
    )
    if options.markdown:
        lines = ["| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows_of(timings))]
        sys.stdout.write("\n".join([about, "", *lines]) + "\n")
        return
    table = Table(*head, title="Table III, one run", caption=about)
    for row in rows_of(timings):
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    main()
