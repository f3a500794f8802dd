"""What people see of a study: its figures beside the paper's, as values, as `rich` tables and as Markdown."""

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from pairnet.models import paper
from pairnet.models.variants import count_parameters
from pairnet.study.records import RunRecord
from pairnet.study.tables import Row, Study

PAIRS = 1000
"""Drawn in the paper, for training and for testing."""
AGREES_WITHIN = 2.0
"""Combined standard deviations."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One line of a finished table; accuracies as fractions of 1.

    `std` is over draws and None for a single one; a cross-validated draw counts with the mean of its folds.
    `difference` is (measured - paper) / sqrt(std^2 + paper std^2), None where there is nothing to compare.
    """

    label: str
    structure: str
    parameters: int
    draws: int
    mean: float
    std: float | None
    seconds: float  # mean wall time of a run
    paper_mean: float | None
    paper_std: float | None
    paper_parameters: int | None
    difference: float | None
    explained: str

    @property
    def agrees(self) -> bool | None:
        """Whether measured and printed lie within AGREES_WITHIN; None where the paper has no figure."""
        return None if self.difference is None else abs(self.difference) <= AGREES_WITHIN


def summarise(study: Study, records: Sequence[RunRecord]) -> list[Summary]:
    """The table of a study; rows without a record are left out."""
    by_row = defaultdict(list)
    for record in records:
        by_row[record.row].append(record)
    return [_summary(row, by_row[row.label]) for row in study.rows if by_row[row.label]]


def _summary(row: Row, records: Sequence[RunRecord]) -> Summary:
    by_draw = defaultdict(list)
    for record in records:
        by_draw[record.seeds["train_draw"]].append(record.accuracy)
    accuracies = [statistics.fmean(folds) for folds in by_draw.values()]
    mean = statistics.fmean(accuracies)
    std = statistics.stdev(accuracies) if len(accuracies) > 1 else None
    difference = None
    if row.paper is not None and std is not None:
        difference = (mean - row.paper.mean) / math.hypot(std, row.paper.std)
    return Summary(
        label=row.label,
        structure=row.variant.structure,
        parameters=count_parameters(row.variant),
        draws=len(accuracies),
        mean=mean,
        std=std,
        seconds=statistics.fmean(record.seconds for record in records),
        paper_mean=row.paper.mean if row.paper else None,
        paper_std=row.paper.std if row.paper else None,
        paper_parameters=paper.PARAMETERS.get(row.variant.name),
        difference=difference,
        explained=row.explained,
    )


def measured_on(records: Sequence[RunRecord]) -> str:
    """Data, hardware and versions of a table's records, on one line; several of a kind are all named."""
    origins = {record.data["origin"] for record in records}
    machines = {f"{record.environment.hardware}, {record.environment.device}" for record in records}
    versions = {f"torch {record.environment.versions['torch']}" for record in records}
    revisions = {f"pairnet {record.environment.revision}" for record in records}
    return "; ".join(" / ".join(sorted(found)) for found in (origins, machines, versions, revisions))


def unlike_the_paper(study: Study, records: Sequence[RunRecord]) -> str:
    """What of these records is not the paper's setting, on one line; empty where nothing is."""
    recipes = {row.label: row.variant.recipe for row in study.rows}
    found = []
    if shortened := {r.recipe["epochs"] for r in records if r.recipe["epochs"] != recipes[r.row].epochs}:
        found.append(f"{'/'.join(map(str, sorted(shortened)))} epochs instead of the recipe's")
    if others := {r.pairs for r in records if r.pairs != PAIRS}:
        found.append(f"{'/'.join(map(str, sorted(others)))} pairs instead of {PAIRS:,}")
    if sources := {r.data["name"] for r in records if r.data["name"] != "mnist"}:
        found.append(f"images of {'/'.join(sorted(sources))} instead of full MNIST")
    return f"not the paper's setting: {'; '.join(found)}" if found else ""


def study_table(study: Study, summaries: Sequence[Summary]) -> Table:
    """The table for a terminal: measured beside paper, rows that disagree marked."""
    held_out = "validation" if study.cross_validated else "test"
    table = Table(
        title=study.title,
        title_justify="left",
        caption=_caption(study, summaries),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("row")
    for heading in ("parameters", held_out, "paper", "diff/std"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for summary in summaries:
        table.add_row(
            summary.label,
            f"{summary.parameters:,}",
            accuracy(summary.mean, summary.std, 3),
            accuracy(summary.paper_mean, summary.paper_std, 3),
            "" if summary.difference is None else f"{summary.difference:+.1f}",
            _mark(summary),
        )
    return table


def accuracy(mean: float | None, std: float | None, places: int = 4) -> str:
    """0.9512 ± 0.0090; "–" where there is none."""
    if mean is None:
        return "–"
    return f"{mean:.{places}f}" if std is None else f"{mean:.{places}f} ± {std:.{places}f}"


def _mark(summary: Summary) -> Text:
    if summary.agrees is None:
        return Text("")
    if summary.agrees:
        return Text("agrees", style="green")
    return Text("differs*" if summary.explained else "DIFFERS", style="yellow" if summary.explained else "bold red")


def _caption(study: Study, summaries: Sequence[Summary]) -> str:
    draws = max((summary.draws for summary in summaries), default=0)
    how = "4-fold cross-validation on the training pairs of" if study.cross_validated else "mean and std over"
    lines = [f"{how} {draws} draws; diff/std: (measured - paper) / combined std, marked beyond {AGREES_WITHIN:g}"]
    return "\n".join([*lines, *(f"* {note}" for note in _notes(summaries))])


def _notes(summaries: Sequence[Summary]) -> list[str]:
    """Why marked rows may differ from the paper, each reason once with the rows that it holds for."""
    rows: dict[str, list[str]] = {}
    for summary in summaries:
        if summary.explained and summary.agrees is False:
            rows.setdefault(summary.explained, []).append(summary.label)
    return [f"{'; '.join(labels)}: {reason}" for reason, labels in rows.items()]


def markdown(study: Study, summaries: Sequence[Summary]) -> str:
    """The same table as Markdown, for README and docs."""
    lines = ["| row | parameters | measured | paper | diff/std | |", "|---|--:|--:|--:|--:|---|"]
    for s in summaries:
        difference = "" if s.difference is None else f"{s.difference:+.1f}"
        cells = (s.label, f"{s.parameters:,}", accuracy(s.mean, s.std), accuracy(s.paper_mean, s.paper_std), difference)
        lines.append(f"| {' | '.join(cells)} | {_mark(s).plain} |")
    notes = [f"\\* {note}." for note in _notes(summaries)]
    return "\n".join([*lines, *([""] if notes else []), *notes])
