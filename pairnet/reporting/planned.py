"""What each contrast of a study will probably show, from records of its rows: the spread is that of its own values."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pairnet.records.record import RunRecord
from pairnet.records.run import Run
from pairnet.reporting.equivalence import LEVEL
from pairnet.reporting.power import LEAST, recorded_draws, row_of, smallest_difference, smallest_margin
from pairnet.study.contrasts import GOALS, Contrast, contrasts_of
from pairnet.study.plan import Study
from pairnet.wording import counted

DIFFERENCES_OF_DIFFERENCES = (
    "a difference of differences has about √2 times the spread of a difference, if the two vary alike and "
    "independently: its smallest difference is 1.4 times as large"
)
"""What is said of those without records of their rows."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """One contrast of a study's file; differences as fractions of 1, None for a single planned draw."""

    contrast: str
    recorded: int  # draws that all its rows have in the folder
    std: float  # over these, of the value of the contrast
    draws: int  # planned ones, of the row with the fewest
    comparisons: int  # contrasts of its family
    difference: float | None  # smallest one that a test at 5 % shows with 80 % power
    corrected: float | None  # the same at the first step of Holm's correction for the family
    margin: float | None  # smallest one within which no difference is shown to be equivalent to none, with 80 % power


def family_sizes(study: Study, planned: Sequence[Run]) -> Counter[str]:
    """The number of contrasts in each family of a study that compares rows; goals of rows, a family too, do not.

    planned: all runs of the study. As in its results, without `compare` a row is compared with the first one if it has
    as many pairs of the same images.
    """
    pairs = {run.label: run.pairs_drawn for run in planned}
    there = [row.label for row in study.rows if row.label in pairs]
    return Counter(
        each.family
        for each in contrasts_of(study, there)
        if each.family != GOALS
        and (each.stated or study.compare or len({pairs.get(label) for label in each.rows}) == 1)
    )


def expected_of(study: Study, planned: Sequence[Run], records: Sequence[RunRecord]) -> list[Expected]:
    """What the contrasts of a study's file will probably show, those whose rows have common draws in `records`.

    Left out are contrasts with fewer than three such draws or without variation, of rows on different images, and all
    of a crossed design.
    """
    if study.seeding.vary:
        return []
    rows = {run.label: row_of(run) for run in planned}
    draws = Counter(run.label for run in {(run.label, run.draw): run for run in planned}.values())
    finished = recorded_draws(records, study.seeding)
    sizes = family_sizes(study, planned)
    found = []
    for contrast in study.contrasts:
        settings = {label: rows.get(label) for label in contrast.rows}
        if len({each.images.checksum if each else None for each in settings.values()}) > 1:
            continue
        there = {label: finished.get(each, {}) if each else {} for label, each in settings.items()}
        common = set.intersection(*(set(each) for each in there.values()))
        values = [sum(contrast.rows[label] * each[draw] for label, each in there.items()) for draw in sorted(common)]
        if len(values) >= LEAST and (std := statistics.stdev(values)) > 0:
            least = min(draws[label] for label in there)
            found.append(_expected(contrast, std, len(values), least, sizes[contrast.family]))
    return found


def _expected(contrast: Contrast, std: float, recorded: int, draws: int, comparisons: int) -> Expected:
    plain = Expected(
        contrast=contrast.name,
        recorded=recorded,
        std=std,
        draws=draws,
        comparisons=comparisons,
        difference=None,
        corrected=None,
        margin=None,
    )
    if draws < 2:
        return plain
    return replace(
        plain,
        difference=smallest_difference(std, draws),
        corrected=smallest_difference(std, draws, level=LEVEL / comparisons),
        margin=smallest_margin(std, draws) if contrast.goal is None else None,
    )


def unknown_text(study: Study, found: Sequence[Expected]) -> str:
    """What is assumed of the differences of differences that are not among `found`; empty without such ones."""
    named = {each.contrast for each in found}
    unknown = any(each.corners and each.name not in named for each in study.contrasts)
    return DIFFERENCES_OF_DIFFERENCES if unknown and not study.seeding.vary else ""


HEADINGS = ("contrast", "recorded", "std", "difference", "corrected", "equivalence")


def expected_cells(expected: Expected) -> tuple[str, ...]:
    """The texts under HEADINGS, differences in points."""
    figures = (expected.std, expected.difference, expected.corrected, expected.margin)
    recorded = counted(expected.recorded, "draw")
    return (expected.contrast, recorded, *("" if each is None else f"{100 * each:.2f}" for each in figures))


def expected_title(study: Study) -> str:
    """What the figures of a study's contrasts are."""
    return f"The same for each contrast of {study.title}, with the spread of its own recorded values"
