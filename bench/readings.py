"""Which reading of the paper's text gives its figures, and how much of that is choice: the studies in docs/readings/.

    python -m bench.readings RUNS [--document docs/readings.md]

RUNS is the folder that `pairnet study docs/readings/NAME.toml --runs RUNS` wrote, one command for each file there. A
reading is one of these studies, or what another one would have reported (after fewer epochs, at its best epoch); a row
that a file leaves out is that of as-trained.toml. A figure is inside if the mean over draws lies within the margin of
the equivalence test. With --document, the tables are written between the marks of that file instead of printed.
"""

import argparse
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pairnet.models.paper import Printed
from pairnet.records.record import RunRecord
from pairnet.records.store import read_records
from pairnet.reporting.equivalence import MARGIN, judge
from pairnet.study.files import read_study
from pairnet.study.plan import plan
from pairnet.study.seeding import MOST_DRAWS
from pairnet.study.tables import studies

FOLDER = Path("docs/readings")
SPAN = 0.05
"""How far from the first reading a figure may lie that has nothing to do with any of them."""
SIMULATIONS = 20_000
MARKS = re.compile(r"(<!-- python -m bench\.readings -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How one study reports its runs: after the last epoch (None), after so many, or at the best one (0)."""

    title: str
    file: str
    epoch: int | None = None


READINGS = (
    Reading(title="as trained", file="as-trained"),
    Reading(title="best epoch", file="as-trained", epoch=0),
    Reading(title="10 epochs", file="as-trained", epoch=10),
    Reading(title="batch 100", file="batch-100"),
    Reading(title="no activation", file="no-activation"),
    Reading(title="sigmoid", file="sigmoid"),
    Reading(title="structure of the text", file="as-in-the-text"),
    Reading(title="one draw of pairs", file="fixed-pairs"),
    Reading(title="4 folds", file="folds"),
)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One of the eighteen accuracies that the paper prints."""

    table: str
    label: str
    printed: Printed


Numbers = NDArray[Any]
Values = Mapping[str, Sequence[float]]
"""The accuracy of each draw of a reading, by the label of the row."""


def figures() -> list[Figure]:
    """The eighteen: each row with a figure in the paper's three tables."""
    return [
        Figure(table=table, label=row.label, printed=row.paper)
        for name, table in (("1", "I"), ("2", "II"), ("3", "III"))
        for row in studies()[name].rows
        if row.paper is not None
    ]


def measured(records: Mapping[str, RunRecord], reading: Reading) -> Values:
    """The finished draws of each row of a reading, in order."""
    images = next(iter(records.values())).run.images
    most = min(MOST_DRAWS, 1 + max(record.run.seed for record in records.values()))
    draws: dict[tuple[str, int], list[float | None]] = {}
    for run in plan(read_study(FOLDER / f"{reading.file}.toml"), images, draws=most):
        record = records.get(run.fingerprint)
        draws.setdefault((run.label, run.seed), []).append(None if record is None else accuracy(record, reading.epoch))
    found: dict[str, list[float]] = {}
    for (label, _), folds in draws.items():
        whole = [each for each in folds if each is not None]
        if len(whole) == len(folds):
            found.setdefault(label, []).append(statistics.fmean(whole))
    return found


def accuracy(record: RunRecord, epoch: int | None) -> float | None:
    """What a run reports; None if it was not measured after that epoch, or for the best one not after every epoch."""
    if epoch is None:
        return record.accuracy
    history = [each.validation_accuracy for each in record.epochs]
    if epoch:
        return history[epoch - 1] if epoch <= len(history) else None
    return max(each for each in history if each is not None) if None not in history else None


def collect(runs: Path) -> dict[str, Values]:
    """The readings that have runs, by title; rows that a file leaves out are those of the first one."""
    records = {record.fingerprint: record for record in read_records(runs)}
    found = {reading.title: measured(records, reading) for reading in READINGS}
    first = found[READINGS[0].title]
    stated = {each.title: {row.label for row in read_study(FOLDER / f"{each.file}.toml").rows} for each in READINGS}
    return {
        title: {**{label: draws for label, draws in first.items() if label not in stated[title]}, **values}
        for title, values in found.items()
        if values
    }


def is_inside(draws: Sequence[float], printed: Printed) -> bool:
    """Whether the mean of some draws is within the margin of a printed figure."""
    return bool(draws) and abs(statistics.fmean(draws) - printed.mean) <= MARGIN


def by_choice(means: Numbers, same: Sequence[int], *, least: float = 0.0, seed: int = 0) -> tuple[Numbers, Numbers]:
    """Figures that no reading explains: how many the best single reading brings inside, and the best one of each row.

    means: [readings,figures], NaN where there is none. Each simulated figure is uniform from `least` to SPAN away from
    the first reading, on either side. same: for each figure the position of the first one that is the same number of
    the paper (cnn_base and a_w_net stand in two tables), with which it moves. Returns two arrays [SIMULATIONS] of
    counts.
    """
    rng = np.random.default_rng(seed)
    shape = SIMULATIONS, means.shape[1]
    drawn = means[0] + (rng.uniform(least, SPAN, shape) * rng.choice((-1, 1), shape))[:, same]
    inside = np.abs(means[None] - drawn[:, None]) <= MARGIN  # [simulations,readings,figures]
    return inside.sum(2).max(1), inside.any(1).sum(1)


def on_other_draws(readings: Mapping[str, Values], all_figures: Sequence[Figure]) -> tuple[float, float]:
    """Numbers of figures inside if each row's reading is chosen on half of its draws and counted on the other half, and
    if it is the first reading on the same draws: means over both directions.
    """
    counts, first = [], []
    for half in (0, 1):
        chosen_inside = first_inside = 0
        for figure in all_figures:
            split = {
                title: (values[figure.label][half::2], values[figure.label][1 - half :: 2])
                for title, values in readings.items()
                if len(values.get(figure.label, ())) > 1
            }
            best = min(split, key=lambda title: abs(statistics.fmean(split[title][0]) - figure.printed.mean))
            chosen_inside += is_inside(split[best][1], figure.printed)
            first_inside += is_inside(split[next(iter(split))][1], figure.printed)
        counts.append(chosen_inside)
        first.append(first_inside)
    return statistics.fmean(counts), statistics.fmean(first)


def page(readings: Mapping[str, Values]) -> str:
    """The tables in Markdown."""
    known = figures()
    titles = list(readings)
    lines = [f"| table | row | paper | {' | '.join(titles)} | nearest |", f"|---|---|--:|{'--:|' * len(titles)}---|"]
    for figure in known:
        cells = []
        for values in readings.values():
            draws = values.get(figure.label, ())
            text = f"{100 * (statistics.fmean(draws) - figure.printed.mean):+.1f}" if draws else "–"
            cells.append(f"**{text}**" if is_inside(draws, figure.printed) else text)
        words = (figure.table, figure.label, f"{figure.printed.mean:.3f}", *cells, nearest(readings, figure))
        lines.append(f"| {' | '.join(words)} |")
    lines += [
        "",
        "| reading | inside ±1.5 points | replicated | differs | undecided | draws |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, values in readings.items():
        inside = sum(is_inside(values.get(figure.label, ()), figure.printed) for figure in known)
        verdicts = [verdict(values.get(figure.label, ()), figure.printed) for figure in known]
        counts = [verdicts.count(each) for each in ("replicated", "differs", "undecided")]
        numbers = sorted({len(values.get(figure.label, ())) for figure in known})
        drawn = "–".join(dict.fromkeys((str(numbers[0]), str(numbers[-1]))))
        lines.append(f"| {name} | {inside} | {' | '.join(map(str, counts))} | {drawn} |")
    return "\n".join([*lines, *before(readings, known), "", *choice(readings, known)])


def before(readings: Mapping[str, Values], known: Sequence[Figure]) -> list[str]:
    """How many figures were inside while Table II was cross-validated."""
    first, folds = readings[READINGS[0].title], readings.get(READINGS[-1].title, {})
    rows = [(folds if each.table == "II" else first).get(each.label, ()) for each in known]
    if not all(rows):
        return []
    count = sum(is_inside(draws, each.printed) for draws, each in zip(rows, known, strict=True))
    return ["", f"With Table II in 4 folds, as it was measured here before, {count} are inside."]


def nearest(readings: Mapping[str, Values], figure: Figure) -> str:
    """The reading whose mean is nearest to a figure."""
    there = {title: values[figure.label] for title, values in readings.items() if values.get(figure.label)}
    return min(there, key=lambda title: abs(statistics.fmean(there[title]) - figure.printed.mean))


def verdict(draws: Sequence[float], printed: Printed) -> str:
    """The verdict on a figure; empty for fewer than two draws."""
    if len(draws) < 2:
        return ""
    return judge(mean=statistics.fmean(draws), std=statistics.stdev(draws), draws=len(draws), paper=printed).name


def choice(readings: Mapping[str, Values], known: Sequence[Figure]) -> list[str]:
    """Lines on how much of the best match is choice."""
    means = np.array(
        [
            [statistics.fmean(values[each.label]) if values.get(each.label) else np.nan for each in known]
            for values in readings.values()
        ]
    )
    inside = np.abs(means - [each.printed.mean for each in known]) <= MARGIN  # NaN is not
    best, each_row = inside.sum(1).max(), inside.any(0).sum()
    printed = [each.printed for each in known]
    by_best, by_row = by_choice(means, [printed.index(each) for each in printed])
    lines = [
        "| choice | inside | expected if no reading is right | probability of as many |",
        "|---|--:|--:|--:|",
        f"| the first reading | {inside[0].sum()} | {len(known) * MARGIN / SPAN:.1f} | |",
        f"| the best single reading of {len(means)} | {best} | {by_best.mean():.1f} | {(by_best >= best).mean():.2g} |",
        f"| for each row its best reading | {each_row} | {by_row.mean():.1f} | {(by_row >= each_row).mean():.2g} |",
    ]
    left = [int(each) for each in np.flatnonzero(~inside[0])]
    if left:
        printed = [known[each].printed for each in left]
        _, others = by_choice(means[:, left], [printed.index(each) for each in printed], least=MARGIN)
        brought = inside[:, left].any(0).sum()
        chance = f"{others.mean():.1f} | {(others >= brought).mean():.2g}"
        lines.append(f"| of the {len(left)} that the first leaves outside, by any other | {brought} | {chance} |")
    if all(sum(len(values.get(each.label, ())) > 1 for values in readings.values()) for each in known):
        chosen, first = on_other_draws(readings, known)
        lines += [
            "",
            f"Chosen row by row on half of the draws and counted on the other half, {chosen:.1f} are inside; the first "
            f"reading on the same draws: {first:.1f}.",
        ]
    return lines


def main() -> None:
    """Prints the page, or writes it into a document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="folder of the runs")
    parser.add_argument("--document", type=Path, help="file with the marks to write between")
    chosen = parser.parse_args()
    text = page(collect(chosen.runs))
    if chosen.document is None:
        sys.stdout.write(f"{text}\n")
        return
    content = chosen.document.read_text(encoding="utf-8")
    chosen.document.write_text(MARKS.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", content), encoding="utf-8")


if __name__ == "__main__":
    main()
