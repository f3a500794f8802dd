"""The contrasts of studies, computed: estimates, intervals, tests and verdicts; each family is corrected as a whole."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pairnet.errors import RecordError
from pairnet.records.failures import failed_draws, lost_text
from pairnet.records.record import FailedRun, RunRecord
from pairnet.records.run import Draw
from pairnet.reporting.comparison import Comparison, Draws, compare_draws, compare_sides, groups_of, holm
from pairnet.reporting.equivalence import LEVEL
from pairnet.reporting.family import Effect, Family, Missing, NotComputed, Word
from pairnet.reporting.generality import General, general_of
from pairnet.reporting.shown import Selection
from pairnet.reporting.student import quantile
from pairnet.reporting.summaries import Summary, finished_draws, goal_of_row
from pairnet.study.contrasts import GOALS, Contrast, Weights, compare_text, contrasts_of, goal_of, side_text
from pairnet.study.plan import Row, Study


def families(selection: Selection) -> tuple[Family, ...]:
    """The families of contrasts that the rows of a page allow; those without any are left out.

    Networks of no table are compared with final_model, or with the first row that was tested.
    """
    found = list(_networks_of_no_table(selection))
    for table in selection.tables:
        found += families_of(table.study, table.rows, table.failed)
    names: list[str] = []  # a study "a" with a family "b" and a study "a-b" must not be one entry of a file
    for family in found:
        names.append(_unlike(family.name, names))
    return tuple(replace(family, name=name) for family, name in zip(found, names, strict=True))


def families_of(
    study: Study, rows: Mapping[str, Sequence[RunRecord]], failed: Mapping[str, Sequence[FailedRun]] | None = None
) -> list[Family]:
    """The families of a study's contrasts, from the records of its rows.

    failed: runs of each row that failed, whose draws are named where they are missing.
    """
    there = [row.label for row in study.rows if rows.get(row.label)]
    grouped: dict[str, list[Contrast]] = {}
    for contrast in contrasts_of(study, there):
        if contrast.stated or _stands(contrast, study, rows, failed or {}):
            grouped.setdefault(contrast.family, []).append(contrast)
    found: list[Family] = []
    for name, contrasts in grouped.items():
        compared = compare_text(study, there) if not name else ""
        family = Family(
            name=_unlike(_family_name(study, name), [each.name for each in found]),
            study=study.name,
            title=study.title if not name else f"{study.title}: {name}",
            note=" ".join(dict.fromkeys(text for text in (compared, *(each.note for each in contrasts)) if text)),
            goals=name == GOALS,
            effects=(),
            not_computed=(),
        )
        if study.seeding.vary:
            what = "of a crossed design share" if len(study.seeding.vary) > 1 else "that vary in one stream share their"
            reason = f"runs {what} seeds and are no draws: ask in a study without `vary`"
            found.append(replace(family, not_computed=tuple(_not_computed(each, reason) for each in contrasts)))
            continue
        found.append(_computed(family, contrasts, rows, failed or {}))
    return [family for family in found if family.effects or (family.not_computed and study.file is not None)]


def _family_name(study: Study, family: str) -> str:
    """What a family is called in files: letters, digits and dashes after the name of its study."""
    plain = re.sub(r"\W+", "-", family).strip("-")
    return f"{study.name}-{plain or 'family'}" if family else study.name


def _unlike(name: str, taken: Sequence[str]) -> str:
    """The name, with the first number that makes it unlike those that are taken."""
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return next(each for each in itertools.chain([name], numbered) if each not in taken)


def _stands(
    contrast: Contrast,
    study: Study,
    rows: Mapping[str, Sequence[RunRecord]],
    failed: Mapping[str, Sequence[FailedRun]],
) -> bool:
    """Whether the runs are such that a contrast which nobody wrote down is computed, or named as one that cannot be.

    Not that of a goal which is for another setting, nor that of a row with the first one where their pairs differ.
    """
    if study.seeding.vary or not all(rows.get(label) or failed.get(label) for label in contrast.rows):
        return False
    if not all(rows.get(label) for label in contrast.rows):
        return study.file is not None and (bool(study.compare) or contrast.family == GOALS)
    if contrast.family == GOALS:
        (row,) = (row for row in study.rows if row.label == contrast.first[0][0])
        return bool(goal_of_row(study, row, rows[row.label]))
    return bool(study.compare) or len({rows[label][0].run.pairs_drawn for label in contrast.rows}) == 1


def with_goals(summaries: Sequence[Summary], found: Sequence[Family]) -> tuple[Summary, ...]:
    """The rows of a table with the verdicts on their goals: "≥ 0.991: reached"."""
    words = {
        (effect.weights, effect.goal): effect.verdict for family in found if family.goals for effect in family.effects
    }
    said = [words.get((((each.label, 1.0),), goal_of(each.goal))) for each in summaries]
    return tuple(
        replace(each, goal=f"{each.goal}: {word}") if word else each for each, word in zip(summaries, said, strict=True)
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
    failed: Mapping[str, Sequence[FailedRun]],
) -> Family:
    """The family with its contrasts computed, and the reasons of those that cannot be."""
    draws = {label: finished_draws(records) for label, records in rows.items()}
    images = {label: records[0].run.images.checksum for label, records in rows.items() if records}
    effects, left_out, reasons = [], [], []
    for contrast in contrasts:
        try:
            effect = effect_of(contrast, draws, images, failed)
            effects.append(replace(effect, general=_in_general(contrast, draws, images, rows)))
        except RecordError as error:
            if contrast.stated or any(failed.get(label) for label in contrast.rows):
                left_out.append(contrast)
                reasons.append(str(error))
    return replace(
        family,
        effects=corrected(effects, left_out),
        not_computed=tuple(map(_not_computed, left_out, reasons)),
    )


def _not_computed(contrast: Contrast, reason: str) -> NotComputed:
    first, second = _sides_text(contrast)
    return NotComputed(
        name=contrast.name,
        first=first,
        second=second,
        margin=contrast.margin,
        goal=contrast.goal,
        reason=reason,
    )


def _sides_text(contrast: Contrast) -> tuple[str, str]:
    """The sides that are compared, in words; the second of a goal is the number."""
    first, second = contrast.sides
    return side_text(first), side_text(second) if contrast.goal is None else f"{contrast.goal:g}"


def effect_of(
    contrast: Contrast,
    draws: Mapping[str, Draws],
    images: Mapping[str, str],
    failed: Mapping[str, Sequence[FailedRun]],
) -> Effect:
    """One contrast, before its p-values are corrected.

    draws, images: the accuracy of each draw of each row, and the checksum of its images. RecordError for fewer than two
    draws, or two common ones where rows share their draws; it says which draws failed.
    """
    labels = list(contrast.rows)
    lost = {label: tuple(sorted({each.run.draw for each in failed.get(label, ()) if each.run})) for label in labels}
    try:
        found = _compared(contrast, labels, draws, images)
    except RecordError as error:
        reasons = [
            f"; {label}: {text}"
            for label in labels
            if (text := lost_text(failed_draws(failed.get(label, ())), finished=len(draws.get(label, ()))))
        ]
        raise RecordError(f"{error}{''.join(reasons)}") from None
    margin, low90, high90 = contrast.margin, None, None
    if margin is not None and found.error is not None:
        half = float(quantile(0.95, found.freedom)) * found.error
        low90, high90 = found.difference - half, found.difference + half
    first, second = _sides_text(contrast)
    return Effect(
        name=contrast.name,
        first=first,
        second=second,
        comparison=found,
        p_holm=None,
        margin=margin,
        low90=low90,
        high90=high90,
        p_equivalence=None if margin is None else found.within(margin),
        p_equivalence_holm=None,
        goal=contrast.goal,
        verdict="undecided",
        missing=tuple(_missing(labels, draws, lost)),
        failed=tuple((label, own) for label, own in lost.items() if own),
        general=None,
        weights=tuple(contrast.rows.items()),
        headline=contrast.headline,
    )


def _compared(
    contrast: Contrast, labels: Sequence[str], draws: Mapping[str, Draws], images: Mapping[str, str]
) -> Comparison:
    for label in labels:
        if not draws.get(label):
            raise RecordError(f"expected finished draws of {label}, got none")
    if contrast.goal is None:
        return compare_sides(*contrast.sides, draws, images)
    return _against_goal(contrast.first, contrast.goal, draws)


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


def corrected(effects: Sequence[Effect], left_out: Sequence[Contrast] = ()) -> tuple[Effect, ...]:
    """A family of effects with corrected p-values (Holm), of differences and of equivalence each, and with verdicts.

    The chance of a false "better" or "worse" anywhere in the family is at most 5 %, and so is that of a false
    "equivalent". Those that are left out, since runs do not allow them, count as well: otherwise the failures of
    one row would make the verdicts on the others less strict.
    """
    differences = _holm([each.comparison.p_value for each in effects], len(left_out))
    tested = [at for at, each in enumerate(effects) if each.margin is not None]
    others = sum(each.margin is not None for each in left_out)
    within = dict(zip(tested, _holm([effects[at].p_equivalence for at in tested], others), strict=True))
    found = []
    for at, (each, p_holm) in enumerate(zip(effects, differences, strict=True)):
        made = replace(each, p_holm=p_holm, p_equivalence_holm=within.get(at))
        found.append(replace(made, verdict=_verdict(made)))
    return tuple(found)


def _holm(p_values: Sequence[float | None], more: int) -> list[float | None]:
    """p-values corrected for their family, of which `more` are not known."""
    return holm([*p_values, *[None] * more])[: len(p_values)]


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
