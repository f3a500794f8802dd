"""The contrasts of studies, computed: estimates, intervals, tests and verdicts; each family is corrected as a whole."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pairnet.errors import RecordError
from pairnet.records.record import FailedRun, RunRecord
from pairnet.records.run import Draw
from pairnet.reporting.comparison import Comparison, Draws, compare_draws, compare_sides, groups_of, holm
from pairnet.reporting.equivalence import LEVEL
from pairnet.reporting.formats import interval_text
from pairnet.reporting.generality import General, general_of
from pairnet.reporting.shown import Selection
from pairnet.reporting.student import quantile
from pairnet.reporting.summaries import Summary, finished_draws, goal_of_row
from pairnet.study.contrasts import GOALS, Contrast, Weights, compare_text, contrasts_of, side_text
from pairnet.study.plan import Row, Study

Word = Literal["better", "worse", "equivalent", "undecided", "reached", "missed", "withheld"]

Missing = tuple[str, tuple[Draw, ...]]
"""A row, and draws of it that are not there."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One contrast and what the draws say about it; differences are first minus second, as fractions of 1.

    "equivalent": the difference is shown to lie within ±`margin`, so `p_equivalence_holm` is below 5 %. "better" and
    "worse": it is not, and the difference is shown not to be 0, so `p_holm` is below 5 %; which one, its sign says.
    "undecided": neither. Against a goal, the test is one-sided: "reached" if the mean is shown to be above the goal,
    "missed" if the 95 % interval lies below it. "withheld": draws of a row failed, and those that survive are no random
    sample of all.
    """

    name: str
    first: str  # the sides in words
    second: str
    comparison: Comparison  # against a goal, `second` is the goal, and the p-value is that of the one-sided test
    p_holm: float | None  # p-value of the t-test, corrected for its family; None if there is no variation
    margin: float | None
    low90: float | None  # 90 % interval of the difference: within ±margin exactly if p_equivalence is below 5 %
    high90: float | None
    p_equivalence: float | None
    p_equivalence_holm: float | None
    goal: float | None
    verdict: Word
    missing: tuple[Missing, ...]  # draws that failed, or that other rows of the contrast have
    failed: tuple[Missing, ...]  # those of them that failed
    general: General | None  # for images in general; None where records do not say which pairs are wrong
    weights: Weights  # of each row in the difference
    headline: str  # what the first sentences call it; empty: they leave it out

    @property
    def method(self) -> str:
        """The test, in a few words."""
        if self.goal is not None:
            return "one-sided t"
        return "paired t" if self.comparison.paired else "Welch's t, unpaired"


@dataclass(frozen=True, kw_only=True)
class Family:
    """Contrasts that are read together, so their p-values are corrected together."""

    name: str  # that of their study, with that of the family where a study has several
    study: str  # name of the study
    title: str
    note: str
    effects: tuple[Effect, ...]
    left_out: tuple[str, ...]  # contrasts that the study states and the runs do not allow, each with the reason


def families(selection: Selection) -> tuple[Family, ...]:
    """The families of contrasts that the rows of a page allow; those without any are left out.

    Networks of no table are compared with final_model, or with the first row that was tested.
    """
    found = list(_networks_of_no_table(selection))
    for table in selection.tables:
        found += families_of(table.study, table.rows, table.failed)
    return tuple(found)


def families_of(
    study: Study, rows: Mapping[str, Sequence[RunRecord]], failed: Mapping[str, Sequence[FailedRun]] | None = None
) -> list[Family]:
    """The families of a study's contrasts, from the records of its rows.

    failed: runs of each row that failed, whose draws are named where they are missing.
    """
    lost = {label: [each.run.draw for each in runs if each.run] for label, runs in (failed or {}).items()}
    there = [row.label for row in study.rows if rows.get(row.label)]
    grouped: dict[str, list[Contrast]] = {}
    for contrast in contrasts_of(study, there):
        if contrast.stated or _stands(contrast, study, rows):
            grouped.setdefault(contrast.family, []).append(contrast)
    found = []
    for name, contrasts in grouped.items():
        compared = compare_text(study, there) if not name else ""
        family = Family(
            name=study.name if not name else f"{study.name}-{re.sub(r'[^A-Za-z0-9_]+', '-', name).strip('-')}",
            study=study.name,
            title=study.title if not name else f"{study.title}: {name}",
            note=" ".join(dict.fromkeys(text for text in (compared, *(each.note for each in contrasts)) if text)),
            effects=(),
            left_out=(),
        )
        if study.seeding.vary:
            what = "of a crossed design share" if len(study.seeding.vary) > 1 else "that vary in one stream share their"
            reason = f"runs {what} seeds and are no draws: ask in a study without `vary`"
            found.append(replace(family, left_out=tuple(f"{each.name}: {reason}" for each in contrasts)))
            continue
        found.append(_computed(family, contrasts, rows, lost))
    return [family for family in found if family.effects or (family.left_out and study.file is not None)]


def _stands(contrast: Contrast, study: Study, rows: Mapping[str, Sequence[RunRecord]]) -> bool:
    """Whether the runs are such that a contrast which nobody wrote down is computed.

    Not that of a goal which is for another setting, nor that of a row with the first one where their pairs differ.
    """
    if study.seeding.vary or not all(rows.get(label) for label in contrast.rows):
        return False
    if contrast.family == GOALS:
        (row,) = (row for row in study.rows if row.label == contrast.first[0][0])
        return bool(goal_of_row(study, row, rows[row.label]))
    return bool(study.compare) or len({rows[label][0].run.pairs_drawn for label in contrast.rows}) == 1


def with_goals(summaries: Sequence[Summary], found: Sequence[Family]) -> tuple[Summary, ...]:
    """The rows of a table with the verdicts on their goals: "≥ 0.991: reached"."""
    words = {
        effect.first: effect.verdict
        for family in found
        if family.name == f"{family.study}-{GOALS}"
        for effect in family.effects
    }
    return tuple(
        replace(each, goal=f"{each.goal}: {words[each.label]}") if each.goal and each.label in words else each
        for each in summaries
    )


def _networks_of_no_table(selection: Selection) -> list[Family]:
    """Every network of no table against a known one."""
    tested = {  # runs whose seeds are held apart are no draws
        label: records
        for label, records in selection.tested.items()
        if all(record.run.own_seeds is None for record in records)
    }
    own = [label for label in tested if label in selection.others]
    if not own or len(tested) < 2:
        return []
    known = "final_model" if "final_model" in tested else next(iter(tested))
    rows = tuple(Row(label=label, variant=tested[label][0].run.variant) for label in dict.fromkeys((known, *own)))
    study = Study(name="others", title="Networks of no table", rows=rows, compare=known)
    return families_of(study, {row.label: tested[row.label] for row in rows}, selection.failures)


def _computed(
    family: Family,
    contrasts: Sequence[Contrast],
    rows: Mapping[str, Sequence[RunRecord]],
    failed: Mapping[str, Sequence[Draw]],
) -> Family:
    """The family with its contrasts computed, and the reasons of those that cannot be."""
    draws = {label: finished_draws(records) for label, records in rows.items()}
    images = {label: records[0].run.images.checksum for label, records in rows.items() if records}
    effects, left_out = [], []
    for contrast in contrasts:
        try:
            effect = effect_of(contrast, draws, images, failed)
            effects.append(replace(effect, general=_in_general(contrast, draws, images, rows)))
        except RecordError as error:
            if contrast.stated:
                left_out.append(f"{contrast.name}: {error}")
    return replace(family, effects=corrected(effects), left_out=tuple(left_out))


def effect_of(
    contrast: Contrast,
    draws: Mapping[str, Draws],
    images: Mapping[str, str],
    failed: Mapping[str, Sequence[Draw]],
) -> Effect:
    """One contrast, before its p-values are corrected.

    draws, images: the accuracy of each draw of each row, and the checksum of its images. RecordError for fewer than two
    draws, or two common ones where rows share their draws.
    """
    labels = list(dict.fromkeys(label for label, _ in (*contrast.first, *contrast.second)))
    for label in labels:
        if not draws.get(label):
            raise RecordError(f"expected finished draws of {label}, got none")
    if contrast.goal is None:
        found = compare_sides(contrast.first, contrast.second, draws, images)
    else:
        found = _against_goal(contrast.first, contrast.goal, draws)
    margin, low90, high90 = contrast.margin, None, None
    if margin is not None and found.error is not None:
        half = float(quantile(0.95, found.freedom)) * found.error
        low90, high90 = found.difference - half, found.difference + half
    return Effect(
        name=contrast.name,
        first=side_text(contrast.first),
        second=side_text(contrast.second) if contrast.goal is None else f"{contrast.goal:g}",
        comparison=found,
        p_holm=None,
        margin=margin,
        low90=low90,
        high90=high90,
        p_equivalence=None if margin is None else found.within(margin),
        p_equivalence_holm=None,
        goal=contrast.goal,
        verdict="undecided",
        missing=tuple(_missing(labels, draws, failed)),
        failed=tuple((label, lost) for label in labels if (lost := tuple(sorted({*failed.get(label, ())})))),
        general=None,
        weights=tuple(contrast.rows.items()),
        headline=contrast.headline,
    )


def _in_general(
    contrast: Contrast,
    draws: Mapping[str, Draws],
    images: Mapping[str, str],
    rows: Mapping[str, Sequence[RunRecord]],
) -> General | None:
    """The interval of the difference for images in general; against a goal it is that of the mean, less the goal."""
    groups = groups_of(list(contrast.rows), draws, images)
    found = general_of([[(contrast.rows[label], rows[label]) for label in group] for group in groups])
    if found is None or contrast.goal is None:
        return found
    return replace(found, low=found.low - contrast.goal, high=found.high - contrast.goal)


def _against_goal(side: Weights, goal: float, draws: Mapping[str, Draws]) -> Comparison:
    """The mean of a side against a number. The interval ends where the mean would be 0 or 1."""
    common = set.intersection(*(set(draws[label]) for label, _ in side))
    sums = {draw: sum(weight * draws[label][draw] for label, weight in side) for draw in common}
    found = compare_draws(sums, dict.fromkeys(common, goal))
    if found.low is None or found.high is None:
        return found
    return replace(found, low=max(found.low, -goal), high=min(found.high, 1 - goal), p_value=found.above(0.0))


def _missing(labels: Sequence[str], draws: Mapping[str, Draws], failed: Mapping[str, Sequence[Draw]]) -> list[Missing]:
    """The draws that a row lacks: those that failed, and those of rows with which it has draws in common."""
    found = []
    for label in labels:
        own = set(draws[label])
        wanted = set(failed.get(label, ()))
        for other in labels:
            if len(own & set(draws[other])) > 1:
                wanted |= {*draws[other], *failed.get(other, ())}
        if lacking := sorted(wanted - own):
            found.append((label, tuple(lacking)))
    return found


def corrected(effects: Sequence[Effect]) -> tuple[Effect, ...]:
    """A family of effects with corrected p-values (Holm), of differences and of equivalence each, and with verdicts.

    The chance of a false "better" or "worse" anywhere in the family is at most 5 %, and so is that of a false
    "equivalent".
    """
    equivalence = [each for each in effects if each.margin is not None]
    within = dict(
        zip((each.name for each in equivalence), holm([each.p_equivalence for each in equivalence]), strict=True)
    )
    found = []
    for each, p_holm in zip(effects, holm([each.comparison.p_value for each in effects]), strict=True):
        made = replace(each, p_holm=p_holm, p_equivalence_holm=within.get(each.name))
        found.append(replace(made, verdict=_verdict(made)))
    return tuple(found)


def _verdict(effect: Effect) -> Word:
    found = effect.comparison
    if effect.failed:
        return "withheld"
    shown = effect.p_holm is not None and effect.p_holm < LEVEL
    if effect.goal is not None:
        if shown:
            return "reached"
        return "missed" if found.high is not None and found.high < 0 else "undecided"
    if effect.p_equivalence_holm is not None and effect.p_equivalence_holm < LEVEL:
        return "equivalent"
    if shown:
        return "better" if found.difference > 0 else "worse"
    return "undecided"


# Text


def effect_text(effect: Effect, name: str) -> str:
    """An effect in a sentence: "dropout: +3.9 points (+3.2 to +4.6), better"."""
    found = effect.comparison
    interval = "" if found.low is None else f" ({interval_text(found.low, found.high, '+.1f')})"
    missing = f", {text}" if (text := missing_text(effect)) else ""
    return f"{name}: {100 * found.difference:+.1f} points{interval}, {verdict_text(effect)}{missing}"


def verdict_text(effect: Effect) -> str:
    """The verdict, with the margin within which a difference is equivalent: "equivalent within ±0.5"."""
    return f"equivalent within ±{100 * (effect.margin or 0):g}" if effect.verdict == "equivalent" else effect.verdict


def counts_text(effect: Effect) -> str:
    """Numbers of draws, and what is missing: "10", "10 and 8, unpaired", "9, w_net without draw 3"."""
    groups = effect.comparison.groups
    counts = str(groups[0]) if len(groups) == 1 else f"{', '.join(map(str, groups[:-1]))} and {groups[-1]}, unpaired"
    return f"{counts}; {text}" if (text := missing_text(effect)) else counts


def missing_text(effect: Effect) -> str:
    """Which draws the rows lack: "w_net without draws 3, 7 (failed: 7)"; empty if they lack none."""
    failed = {label: f" (failed: {_numbers(draws)})" for label, draws in effect.failed}
    return "; ".join(
        f"{label} without draw{'s' * (len(draws) > 1)} {_numbers(draws)}{failed.get(label, '')}"
        for label, draws in effect.missing
    )


def _numbers(draws: Sequence[Draw]) -> str:
    return ", ".join(str(draw[0]) for draw in draws)


def p_text(value: float | None) -> str:
    """A p-value: two digits, or "< 0.0001"; empty if there is none."""
    if value is None:
        return ""
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"
