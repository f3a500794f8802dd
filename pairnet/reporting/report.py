"""The report on the runs of a folder, as values: everything that its page, its files and its Markdown say."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pairnet.data.sources import Dataset
from pairnet.models.variants import Variant
from pairnet.records.failures import failures_text
from pairnet.records.record import RunRecord
from pairnet.records.run import nameless, names_of
from pairnet.reporting.calibrations import Calibration, calibrations
from pairnet.reporting.component_tables import drawn_text
from pairnet.reporting.effect_text import effect_text
from pairnet.reporting.effects import families, with_goals
from pairnet.reporting.equivalence import MARGIN
from pairnet.reporting.family import Effect, Family
from pairnet.reporting.figures.history import ENOUGH
from pairnet.reporting.formats import accuracy_text
from pairnet.reporting.mistakes import Mistakes, find_mistakes
from pairnet.reporting.origins import Origins, origins_of
from pairnet.reporting.shown import Selection, StudyRuns
from pairnet.reporting.summaries import Summary, best_of, summarise, unlike_the_paper
from pairnet.study.levels import levels_of
from pairnet.study.plan import Row, Study
from pairnet.study.seeding import Seeding
from pairnet.wording import capitalised, counted

MOST_HEADLINES = 5
"""Contrasts of a study of one's own that the first sentences state, where the study does not choose."""

MOST_SETTINGS = 3
"""Images and numbers of pairs whose best network the first sentences name."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table of results."""

    study: Study
    summaries: tuple[Summary, ...]
    remark: str  # settings that are not the paper's, so that there are no verdicts; empty if there are none


@dataclass(frozen=True, kw_only=True)
class Square:
    """The four rows of a difference of differences, as a table of two by two; what is subtracted stands first.

    `cells` are those of the first line, then of the second.
    """

    name: str
    rows: tuple[str, str]
    columns: tuple[str, str]
    cells: tuple[Summary, Summary, Summary, Summary]


@dataclass(frozen=True, kw_only=True)
class Course:
    """The history of one row, and whether it was measured often enough to show the course of a loss."""

    label: str
    records: tuple[RunRecord, ...]
    failed: int  # draws without a course
    measurements: int  # the smallest number of the row's runs
    epochs: int

    @property
    def enough(self) -> bool:
        """Whether the measurements show the course of a loss."""
        return self.measurements >= min(ENOUGH, self.epochs)


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything on one page."""

    selection: Selection
    tables: tuple[Table, ...]
    others: tuple[Summary, ...]  # networks of no table
    families: tuple[Family, ...]
    squares: tuple[Square, ...]  # of differences of differences
    tested: tuple[Summary, ...]  # every row that was tested on test pairs, once
    courses: tuple[Course, ...]
    networks: tuple[Variant, ...]  # that have a diagram
    calibrations: tuple[Calibration, ...]
    mistakes: Mistakes | None  # None: no images are at hand
    origins: Origins
    margin: float

    @property
    def summaries(self) -> list[Summary]:
        """Every row of the page, in its order; a row of two tables is there twice."""
        return [*(each for table in self.tables for each in table.summaries), *self.others]

    @property
    def title(self) -> str:
        """What was measured, in a few words."""
        if self.others:
            named = _listed([each.label for each in self.others]) if len(self.others) <= 3 else "Networks of your own"
            return f"{named}, measured"
        whole = "Weight sharing and auxiliary losses, measured"
        return self.tables[0].study.title if len(self.tables) == 1 else whole

    @property
    def sentences(self) -> tuple[str, ...]:
        """What was asked, what came out, what differs, and what failed if anything did."""
        return (_asked(self), _came_out(self), _differs(self), *_failed(self))


def gather(selection: Selection, *, margin: float = MARGIN, images: Sequence[Dataset] = ()) -> Report:
    """The report on `selection`.  MissingExtraError without scipy.

    images: those that the pairs were drawn from; rows on others are left out of the pairs that are decided wrongly.
    """
    found = families(selection)
    tables = tuple(_table(table, margin, found) for table in selection.tables)
    others = _others(selection, margin)
    every = (*others, *(each for table in tables[::-1] for each in table.summaries))
    rows = {each.label: each for each in every if each.mean is not None}
    tested = tuple(rows[label] for label in selection.tested if label in rows)  # as the first table has it
    chosen = _chosen(tested)
    return Report(
        selection=selection,
        tables=tables,
        others=others,
        families=found,
        squares=tuple(each for table in tables for each in _squares(table)),
        tested=tested,
        courses=tuple(_course(label, records, rows) for label, records in selection.tested.items()),
        networks=tuple(_networks(selection)),
        calibrations=tuple(calibrations(selection, chosen)),
        mistakes=find_mistakes(selection, {each.checksum: each for each in images}, rows=chosen)
        if images and tested
        else None,
        origins=origins_of(selection),
        margin=margin,
    )


def _table(table: StudyRuns, margin: float, found: Sequence[Family]) -> Table:
    return Table(
        study=table.study,
        summaries=with_goals(
            summarise(table.study, table.rows, table.failed, margin=margin),
            [family for family in found if family.study == table.study.name],
        ),
        remark=unlike_the_paper(table.study, table.rows),
    )


def _others(selection: Selection, margin: float) -> tuple[Summary, ...]:
    """Networks of no table, each as a row without a figure of the paper."""
    failed = selection.others_failed
    variants = {label: each.run.variant for label, found in failed.items() for each in found if each.run}
    variants = {label: records[0].run.variant for label, records in selection.others.items()} | variants
    rows = tuple(Row(label=label, variant=variant, paper=None) for label, variant in variants.items())
    study = Study(name="others", title="Other networks", rows=rows)
    return tuple(summarise(study, selection.others, failed, margin=margin))


def _chosen(tested: Sequence[Summary]) -> list[str]:
    """Labels of rows for details: the paper's first and best networks where they are, and the best of all."""
    there = {each.label for each in tested}
    best = best_of(tested)
    names = ("cnn_base", "w_net", "final_model", *((best.label,) if best else ()))
    return [label for label in dict.fromkeys(names) if label in there]


def _squares(table: Table) -> list[Square]:
    """A table for each difference of differences of four rows that are there."""
    rows = {each.label: each for each in table.summaries}
    found = []
    for contrast in table.study.contrasts:
        corners = contrast.corners
        if corners is None or any(label not in rows for label in corners):
            continue
        a, b, c, d = (rows[label] for label in corners)
        levels = contrast.levels or levels_of(corners)
        (first, second), (difference, minus) = levels.rows, levels.columns
        found.append(Square(name=contrast.name, rows=(second, first), columns=(minus, difference), cells=(d, b, c, a)))
    return found


def _course(label: str, records: Sequence[RunRecord], rows: Mapping[str, Summary]) -> Course:
    return Course(
        label=label,
        records=tuple(records),
        failed=len(rows[label].failed) if label in rows else 0,
        measurements=min(record.measurements for record in records),
        epochs=min(len(record.epochs) for record in records),
    )


def _networks(selection: Selection) -> list[Variant]:
    """The variants of the page, each structure once, whatever its dropout rates; two of one name are both there."""
    found: dict[str, Variant] = {}
    for _, records in selection.labelled:
        variant = records[0].run.variant
        found.setdefault(re.sub(r"D\([^)]*\)", "D", nameless(variant).structure), variant)
    return list(found.values())


# Sentences


def _asked(report: Report) -> str:
    rows = {each.label: each.draws + len(each.failed) for each in report.summaries}
    draws = sorted(set(rows.values()))
    drawn: dict[tuple[str, str], list[str]] = {}
    for title, seeding in _titles(report):
        drawn.setdefault(drawn_text(seeding), []).append(title)
    (what, how), *others = drawn
    if others:
        kinds = (f"{noun}s {differ} ({_listed(titles)})" for (noun, differ), titles in drawn.items())
        what, how = "repetition", f"each: {'; '.join(kinds)}"
    times = counted(draws[0], what) if len(draws) == 1 else f"{draws[0]} to {draws[-1]} {what}s"
    names = [title for title, _ in _titles(report)]
    return (
        "From two handwritten digits, is the first equal to or less than the second? "
        f"{capitalised(_listed(names))}: {counted(len(rows), 'row')}, {_trained_on(report.selection)}, "
        f"with {times} {how}."
    )


def _titles(report: Report) -> list[tuple[str, Seeding]]:
    """What the page is about, and how it is repeated: its studies, and networks of no table."""
    titles = [(table.study.title.partition(":")[0], table.study.seeding) for table in report.tables]
    return [*titles, *([("networks of your own", Seeding())] if report.others else [])]


def _trained_on(selection: Selection) -> str:
    """ "each trained on 1,000 pairs of mnist", or "6 trained on 1,000 pairs and 5 on 750, of mnist or glyphs".

    A run of a fold is trained on the pairs of the others.
    """
    runs = selection.runs
    counts = Counter(run.pairs - (0 if run.fold is None else run.held_out) for run in runs.values())
    names = _listed(list(dict.fromkeys(names_of([run.images for run in runs.values()]))), "or")
    (pairs, first), *others = sorted(counts.items(), reverse=True)
    if not others:
        return f"each trained on {counted(pairs, 'pair')} of {names}"
    parts = [f"{first} trained on {counted(pairs, 'pair')}", *(f"{count} on {pairs:,}" for pairs, count in others)]
    return f"{_listed(parts)}, of {names}"


def _came_out(report: Report) -> str:
    parts = []
    if judged := {each.label: each.verdict.name for each in report.summaries if each.verdict}:
        words = {"replicated": "replicated", "differs": "different", "undecided": "undecided"}
        counts = {word: sum(each == name for each in judged.values()) for name, word in words.items()}
        named = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        parts.append(f"of {counted(len(judged), 'row')} with a figure of the paper: {named}")
    first = _headlines(report)
    begins = bool(first) and not parts and _begins_with_label(first[0])
    parts += [effect_text(effect, effect.headline or effect.name) for effect in first]
    complete = " of those whose draws all finished" if any(each.failed for each in report.summaries) else ""
    for setting, rows in comparable_rows(report).items():
        if best := best_of(rows):
            where = f" on {setting}" if setting else ""
            parts.append(f"the best network{where}{complete} is {best.label} with {accuracy_text(best.mean, None)}")
    if report.tested and not any(best_of([each]) for each in report.tested):
        parts.append("no network finished all of its draws, so none is called the best")
    text = "; ".join(parts) or "no draw is complete yet"
    return f"{text if begins else capitalised(text)}."


def _begins_with_label(effect: Effect) -> bool:
    """Whether its name begins with the label of a row, whose first letter is as it is written."""
    return not effect.headline and any(effect.name.startswith(f"{label} ") for label, _ in effect.weights)


def comparable_rows(report: Report) -> dict[str, list[Summary]]:
    """The tested rows by what they were trained on, "300 pairs of mnist", where several were; one has no name.

    Rows on other images, or on more of them, are no rivals: none of them is the best network of all.
    """
    runs = report.selection.runs
    found: dict[tuple[int, str], list[Summary]] = {}
    for each in report.tested:
        run = runs[each.label]
        found.setdefault((run.pairs, run.images.checksum), []).append(each)
    if len(found) == 1:
        return {"": [*report.tested]}
    several = [rows for rows in found.values() if len(rows) > 1][:MOST_SETTINGS]
    names = names_of([run.images for run in runs.values()])
    called = dict(zip(runs, names, strict=True))
    return {f"{counted(runs[rows[0].label].pairs, 'pair')} of {called[rows[0].label]}": rows for rows in several}


def _headlines(report: Report) -> list[Effect]:
    """The contrasts that the first sentences state: those with a headline; in a study without any, the first stated."""
    found = []
    for table in report.tables:
        stated = {each.name: each for each in table.study.contrasts}
        own = [
            effect
            for family in report.families
            if family.study == table.study.name
            for effect in family.effects
            if effect.name in stated
        ]
        found += [each for each in own if each.headline] or own[:MOST_HEADLINES]
    return found


def _differs(report: Report) -> str:
    if remarks := {table.remark: None for table in report.tables if table.remark}:
        return f"{capitalised('; '.join(remarks))}."
    reasons: dict[str, dict[str, None]] = {}
    for each in report.summaries:
        if each.verdict and each.verdict.name == "differs":
            moved = f"{each.label} by {100 * each.verdict.difference:+.1f} points"
            reasons.setdefault(each.explained or "unexplained", {})[moved] = None
    if reasons:
        parts = (f"{_listed(list(rows))} ({reason})" for reason, rows in reasons.items())
        return f"What differs from the paper: {'; '.join(parts)}."
    judged = [each.verdict.name for each in report.summaries if each.verdict]
    if "undecided" in judged:
        undecided = judged.count("undecided")
        return f"No figure is shown to differ from the paper's; {undecided} of {len(judged)} are undecided."
    if judged:
        return f"Each of these figures is replicated, within ±{100 * report.margin:g} points."
    if any(each.paper_mean is not None and not each.failed for each in report.summaries):
        return "A single draw has no spread, so there is no verdict on the paper's figures: more draws give one."
    if any(each.withheld for each in report.summaries):
        return "Draws of each row with a figure of the paper failed, so there are no verdicts."
    return "There is no figure of the paper to compare with."


def _failed(report: Report) -> tuple[str, ...]:
    """Each row with failed draws, in one sentence; nothing if there is none."""
    rows = {each.label: each for each in report.summaries if each.failed}
    if not rows:
        return ()
    withheld = " None of these rows has a verdict." if any(each.withheld for each in rows.values()) else ""
    parts = (f"{each.label}: {failures_text(each.failed, finished=each.draws)}" for each in rows.values())
    return (f"What failed: {'; '.join(parts)}.{withheld}",)


def _listed(names: Sequence[str], last: str = "and") -> str:
    """ "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}" if names else ""
