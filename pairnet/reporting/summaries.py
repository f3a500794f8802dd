"""The results of a study as values: mean and deviation over draws, and the verdict on the paper's figure."""

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from pairnet.models import paper
from pairnet.models.variants import count_multiply_adds, count_parameters
from pairnet.records.failures import FailedDraw, failed_draws
from pairnet.records.record import FailedRun, RunRecord
from pairnet.records.run import PAPER_FOLDS, PAPER_PAIRS, Draw
from pairnet.records.seeds import Seeds
from pairnet.records.settings import SEEDS_APART
from pairnet.reporting.components import Components, components_of
from pairnet.reporting.equivalence import MARGIN, Verdict, judge
from pairnet.reporting.formats import accuracy_text, difference_text
from pairnet.reporting.generality import General, general_of
from pairnet.reporting.student import CONFIDENCE, quantile
from pairnet.study.plan import Row, Study


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One line of a table; accuracies as fractions of 1.

    `draws` are those that finished: mean, deviation and interval are over them alone. Draws that failed are in
    `failed`, and a row all of whose draws did has no mean. A row with a failed draw has no verdict: the mean of the
    draws that survived is another quantity than the paper's, and `withheld` says that there would be one.

    `std` is over draws and None for a single one; a cross-validated draw counts once, with the mean of its folds. `low`
    and `high` bound the 95 % interval of the mean over draws from these images, `general` that for images in general.
    `deviations` is (measured - paper) / sqrt(std^2 + paper std^2), a measure that a wide spread always satisfies; the
    verdict is from a test of equivalence. Both are None if there is nothing to compare: no figure of the paper, a
    single draw, or another setting than the paper's.
    """

    label: str
    structure: str
    parameters: int
    multiply_adds: int
    draws: int
    failed: tuple[FailedDraw, ...] = ()
    mean: float | None
    std: float | None
    low: float | None
    high: float | None
    general: General | None  # None: one draw, crossed streams, or records that do not say which pairs are wrong
    seconds: float | None  # mean wall time of a run
    paper_mean: float | None
    paper_std: float | None
    paper_parameters: int | None
    deviations: float | None
    verdict: Verdict | None
    withheld: bool = False
    explained: str  # why it differs, with the evidence, if that is known
    goal: str  # with its verdict, once there is one (effects.with_goals)
    components: Components | None = None  # of a row whose streams are crossed: `std`, `low` and `high` are from these
    folds: int | None = None  # that each draw is split into; None: it was tested on test pairs


def by_row(study: Study, labels: Sequence[str], records: Sequence[RunRecord | None]) -> dict[str, list[RunRecord]]:
    """The records of each row of a study that has any.

    labels: the row of each run, in the order of `records`; None stands for a run that failed. A record's own label
    does not count: two tables can share a run.
    """
    found: dict[str, list[RunRecord]] = {row.label: [] for row in study.rows}
    for label, record in zip(labels, records, strict=True):
        if record is not None:
            found[label].append(record)
    return {label: each for label, each in found.items() if each}


def summarise(
    study: Study,
    rows: Mapping[str, Sequence[RunRecord]],
    failed: Mapping[str, Sequence[FailedRun]] | None = None,
    *,
    margin: float = MARGIN,
) -> list[Summary]:
    """The table of a study from the records and the failed runs of its rows, by label.

    Rows without a draw that finished or failed are left out. `margin` is that of the test of equivalence, as a
    fraction of 1.
    """
    found: dict[str, tuple[Row, Summary]] = {}
    for row in study.rows:
        records, failures = rows.get(row.label, ()), failed_draws((failed or {}).get(row.label, ()))
        if finished_draws(records) or failures:
            goal = goal_of_row(study, row, records)
            unlike = _unlike(study, row, records)
            own = _summary(row, records, failures, None if unlike else margin, goal, _wanted(study, row, failed or {}))
            run = records[0].run if records else None
            folds = study.folds_of(row) if run is None else None if run.fold is None else run.folds
            found[row.label] = row, replace(own, folds=folds)
    like = {label: each for label, (row, each) in found.items() if not _unlike(study, row, rows.get(label, ()))}
    return [replace(each, explained=_explained(row, each, like)) for row, each in found.values()]


def best_of(summaries: Sequence[Summary]) -> Summary | None:
    """The row with the highest mean of those whose draws all finished: survivors alone win nothing."""
    return max((each for each in summaries if not each.failed), key=lambda each: each.mean or 0.0, default=None)


def goal_of_row(study: Study, row: Row, records: Sequence[RunRecord]) -> str:
    """The goal of a row; empty without one, and for a row of our own tables in another setting than the paper's."""
    return row.goal if study.file is not None or not _unlike(study, row, records) else ""


def finished_draws(records: Sequence[RunRecord]) -> dict[Draw, float]:
    """Accuracy of each draw by its seed, for records of one setting.

    A cross-validated draw has the mean of its folds; one that lacks folds is left out.
    """
    draws = defaultdict(list)
    for record in records:
        draws[record.run.draw].append(record.accuracy)
    needed = {1 if record.run.fold is None else record.run.folds for record in records}
    return {seed: statistics.fmean(folds) for seed, folds in draws.items() if {len(folds)} == needed}


def mean_and_std(accuracies: Sequence[float]) -> tuple[float, float | None]:
    """Mean and unbiased standard deviation over draws, which a single draw has not."""
    return statistics.fmean(accuracies), statistics.stdev(accuracies) if len(accuracies) > 1 else None


def interval_of_mean(accuracies: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float | None, float | None]:
    """Student's interval of the mean over draws, which a single draw has not."""
    if len(accuracies) < 2:
        return None, None
    mean, std = statistics.fmean(accuracies), statistics.stdev(accuracies)
    half = float(quantile((1 + confidence) / 2, len(accuracies) - 1)) * std / math.sqrt(len(accuracies))
    return mean - half, mean + half


def interval_of_accuracy(accuracies: Sequence[float]) -> tuple[float | None, float | None]:
    """The same for fractions of 1, cut off at 0 and 1: their mean lies between, so the interval covers it as often."""
    low, high = interval_of_mean(accuracies)
    return (None, None) if low is None or high is None else (max(low, 0.0), min(high, 1.0))


def _general_of_mean(records: Sequence[RunRecord]) -> General | None:
    """The wider interval of a row's mean, cut off at 0 and 1 as well; its standard error stays what it is."""
    found = general_of([[(1.0, records)]])
    return None if found is None else replace(found, low=max(found.low, 0.0), high=min(found.high, 1.0))


def _wanted(study: Study, row: Row, failed: Mapping[str, Sequence[FailedRun]]) -> set[Seeds]:
    """The seeds of the runs that a row should have: those of its design, and those of runs that failed."""
    return {*study.seeding.combinations, *(each.run.seeds for each in failed.get(row.label, ()) if each.run)}


def _summary(
    row: Row,
    records: Sequence[RunRecord],
    failed: tuple[FailedDraw, ...],
    margin: float | None,
    goal: str,
    wanted: Set[Seeds],
) -> Summary:
    """One line of a table; `margin` is None in another setting than the paper's; `wanted`: see `components_of`."""
    finished = finished_draws(records)
    accuracies = list(finished.values())
    mean, std = mean_and_std(accuracies) if accuracies else (None, None)
    low, high = interval_of_accuracy(accuracies)
    if (
        components := components_of(records, finished, wanted=wanted) if finished else None
    ) is not None:  # its runs are no draws: they share seeds
        std, low, high, margin = components.std, components.low, components.high, None
    deviations = verdict = None
    compared = margin is not None and row.paper is not None
    if margin is not None and row.paper is not None and mean is not None and std is not None and not failed:
        deviations = (mean - row.paper.mean) / math.hypot(std, row.paper.std)
        verdict = judge(mean=mean, std=std, draws=len(accuracies), paper=row.paper, margin=margin)
    return Summary(
        label=row.label,
        structure=row.variant.structure,
        parameters=count_parameters(row.variant),
        multiply_adds=count_multiply_adds(row.variant),
        draws=len(accuracies),
        failed=failed,
        mean=mean,
        std=std,
        low=low,
        high=high,
        general=_general_of_mean(records) if components is None else None,
        seconds=statistics.fmean(record.seconds for record in records) if records else None,
        paper_mean=row.paper.mean if row.paper else None,
        paper_std=row.paper.std if row.paper else None,
        paper_parameters=paper.PARAMETERS.get(row.variant.name),
        deviations=deviations,
        verdict=verdict,
        withheld=compared and bool(failed),
        explained="",
        goal=goal,
        components=components,
    )


def _explained(row: Row, summary: Summary, others: Mapping[str, Summary]) -> str:
    """The row's reason with its evidence: another row that was trained so and has the figure of this one.

    Its mean lies within the margin of the figure, and does not differ from it.

    Empty for a row that does not differ in this direction, and without such a row: what it would explain is not known.
    """
    reason, own = row.reason, summary.verdict
    if reason is None or row.paper is None or own is None or own.name != "differs":
        return ""
    evidence = others.get(reason.row)
    if evidence is None or evidence.failed or evidence.components or evidence.folds != summary.folds:
        return ""
    if evidence.mean is None or evidence.std is None:
        return ""
    found = judge(mean=evidence.mean, std=evidence.std, draws=evidence.draws, paper=row.paper, margin=own.margin)
    if abs(found.difference) > own.margin or found.name == "differs":
        return ""
    if reason.explains not in ("lower" if own.difference < 0 else "higher", "either"):
        return ""
    measured = accuracy_text(evidence.mean, evidence.std)
    return f"{reason.text} ({evidence.label}: {measured}, {difference_text(found)} points, {found.name})"


def measured_on(records: Sequence[RunRecord]) -> str:
    """Data, hardware and versions of a table's records, on one line; if there are several of a kind, all are named."""
    origins = {record.run.images.origin for record in records}
    machines = {", ".join(filter(None, (r.environment.hardware, r.run.device, kernels_of(r)))) for r in records}
    versions = {f"torch {record.environment.versions.get('torch', '?')}" for record in records}
    revisions = {f"pairnet {record.environment.revision}" for record in records}
    return "; ".join(" / ".join(sorted(found)) for found in (origins, machines, versions, revisions))


def kernels_of(record: RunRecord) -> str:
    """ "AVX512 kernels", as another instruction set rounds differently; empty where a record does not say."""
    return f"{record.environment.kernels} kernels" if record.environment.kernels else ""


def unlike_the_paper(study: Study, rows: Mapping[str, Sequence[RunRecord]]) -> str:
    """Settings of these records that are not the paper's, on one line; empty if there are none.

    Without the paper's setting there is no verdict on whether a figure agrees with the paper's.
    """
    if not any(row.paper for row in study.rows):
        return ""  # nothing to have a verdict on
    found = [_unlike(study, row, rows[row.label]) for row in study.rows if row.label in rows]
    merged = {text: None for each in found for text in each}
    return f"not the paper's setting, so no verdicts: {'; '.join(merged)}" if merged else ""


def _unlike(study: Study, row: Row, records: Sequence[RunRecord]) -> list[str]:
    """What the records of one row have in place of the paper's setting."""
    found, runs = [], [record.run for record in records]
    if other := {r.recipe.epochs for r in runs} - {row.variant.recipe.epochs}:
        found.append(f"{_counted(other, 'epoch')} instead of the recipe's")
    if other := {r.pairs for r in runs} - {PAPER_PAIRS}:
        found.append(f"{_counted(other, 'pair')} instead of {PAPER_PAIRS:,}")
    if other := {r.tested for r in runs if r.fold is None and r.tested not in (PAPER_PAIRS, r.pairs)}:
        found.append(f"{_counted(other, 'test pair')} instead of {PAPER_PAIRS:,}")
    if other := {r.folds for r in runs if r.fold is not None} - {PAPER_FOLDS}:
        found.append(f"{_counted(other, 'fold')} instead of {PAPER_FOLDS}")
    if names := {r.images.name for r in runs} - {"mnist"}:
        found.append(f"images of {'/'.join(sorted(names))} instead of full MNIST")
    if study.seeding.held or any(r.own_seeds is not None for r in runs):
        found.append(f"{SEEDS_APART} instead of draws of their own")
    return found


def _counted(numbers: set[int], noun: str) -> str:
    """ "1 epoch", "2/5 epochs"."""
    return f"{'/'.join(f'{number:,}' for number in sorted(numbers))} {noun}{'' if numbers == {1} else 's'}"
