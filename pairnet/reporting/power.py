"""What a study will probably show: the smallest difference for its number of draws, from spreads that were measured."""

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pairnet.extras import needed_by
from pairnet.records.record import RunRecord
from pairnet.records.run import Draw, Run
from pairnet.reporting.equivalence import LEVEL
from pairnet.reporting.summaries import finished_draws
from pairnet.study.seeding import Seeding
from pairnet.wording import counted

POWER = 0.80

LEAST = 3
"""Draws from which a spread is taken: two have one degree of freedom."""

STEPS = 2000
"""Values of the sample's standard deviation that the power of an equivalence is averaged over."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Standard deviation over draws of a difference of two rows, or of one row: fractions of 1."""

    std: float  # the median over pairs of rows, or over rows
    low: float  # the smallest of them
    high: float
    source: str


KNOWN = {
    True: (
        Spread(std=0.0140, low=0.0108, high=0.0197, source="eight effects of Table III, 1,000 pairs"),
        Spread(std=0.0091, low=0.0057, high=0.0127, source="five dropout rates of a network, 1,000 pairs"),
        Spread(std=0.0038, low=0.0014, high=0.0091, source="ten steps to order_net, 1,000 pairs"),
    ),
    False: (
        Spread(std=0.0103, low=0.0071, high=0.0135, source="eight rows of Table III, 1,000 pairs"),
        Spread(std=0.0037, low=0.0024, high=0.0069, source="eleven rows to order_net, 1,000 pairs"),
    ),
}
"""Spreads of paired differences (True) and of rows, each over 10 draws of 1,000 pairs of full MNIST, tested on 1,000:
the intervals and standard deviations of docs/results.md, which a test compares with these."""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What comparisons of one kind will probably show; differences as fractions of 1, None for a single draw."""

    paired: bool
    draws: int
    comparisons: int
    spread: Spread
    difference: float | None  # smallest one that a test at 5 % shows with 80 % power
    corrected: float | None  # the same, where all comparisons are corrected together (Holm's first step)
    margin: float | None  # smallest one within which equal rows are shown to be equivalent, with 80 % power


def smallest_difference(
    std: float, draws: int, *, paired: bool = True, level: float = LEVEL, power: float = POWER
) -> float:
    """The difference of two means that a two-sided t-test shows with this power, in the unit of `std`.

    std: over draws, of the paired differences; or of each of two rows, if not `paired`. draws: of each row, 2 or more.
    The statistic has a noncentral t distribution; the tail on the wrong side, below 1e-5, is left out.
    MissingExtraError without scipy.
    """
    freedom, error = _error(std, draws, paired)
    with needed_by("the power of a study"):
        from scipy import special
    critical = special.stdtrit(freedom, 1 - level / 2)
    return float(special.nctdtrinc(freedom, 1 - power, critical)) * error


def equivalence_power(std: float, draws: int, margin: float, *, paired: bool = True, level: float = LEVEL) -> float:
    """Probability that two one-sided t-tests show equal rows to be within `margin`; see `smallest_difference`.

    Given the sample's standard deviation, the mean must lie within the margin less the quantile times the standard
    error; that is averaged over the distribution of the standard deviation (chi-squared), by its quantiles.
    """
    import numpy as np

    with needed_by("the power of a study"):
        from scipy import special
    freedom, error = _error(std, draws, paired)
    quantiles = (np.arange(STEPS) + 0.5) / STEPS
    samples = error * np.sqrt(special.chdtri(freedom, 1 - quantiles) / freedom)
    room = (margin - special.stdtrit(freedom, 1 - level) * samples) / error
    return float(np.maximum(2 * special.ndtr(room) - 1, 0).mean())


def smallest_margin(
    std: float, draws: int, *, paired: bool = True, level: float = LEVEL, power: float = POWER
) -> float:
    """The margin within which equal rows are shown to be equivalent with this power; see `equivalence_power`."""
    if not std:
        return 0.0
    low, high = 0.0, 2 * smallest_difference(std, draws, paired=paired, level=level, power=power)
    for _ in range(50):
        middle = (low + high) / 2
        if equivalence_power(std, draws, middle, paired=paired, level=level) < power:
            low = middle
        else:
            high = middle
    return high


def _error(std: float, draws: int, paired: bool) -> tuple[int, float]:
    """Degrees of freedom, and standard error of the difference."""
    return (draws - 1, std / math.sqrt(draws)) if paired else (2 * draws - 2, std * math.sqrt(2 / draws))


def outlooks(
    planned: Sequence[Run], records: Sequence[RunRecord], *, seeding: Seeding, comparisons: int | None = None
) -> list[Outlook]:
    """What the comparisons of the rows of a study will probably show: paired ones, and those of rows on other pairs.

    planned: all runs, of a study with this `seeding`; nothing is said of a crossed design, whose runs are no draws.
    records: of the folder, for the spread: that of the study's own rows where three draws of two of them are there,
    otherwise that of other rows on as many pairs of the same images, otherwise KNOWN. Those of streams that are held
    count for a study that holds the same ones, and only there.
    comparisons: that are corrected together; None: as if each row were compared with the first.
    """
    if seeding.vary:
        return []
    draws: dict[Run, set[Draw]] = {}
    for run in planned:
        draws.setdefault(row_of(run), set()).add(run.draw)
    pairs = dict.fromkeys(row.pairs_drawn for row in draws)
    finished = {row: each for row, each in recorded_draws(records, seeding).items() if row.pairs_drawn in pairs}
    there = {row: each for row, each in finished.items() if len(each) >= LEAST}
    kinds = ((True, len(draws) - len(pairs), _paired_stds), (False, len(pairs) - 1, _row_stds))
    return [
        _outlook(paired, min(map(len, draws.values())), comparisons or count, spread)
        for paired, count, stds in kinds
        if count > 0
        for spread in _spreads(paired, stds, there, draws)
    ]


def recorded_draws(records: Sequence[RunRecord], seeding: Seeding) -> dict[Run, dict[Draw, float]]:
    """The accuracy of each finished draw of each row, of runs whose seeds are those of a study with this seeding."""
    found: dict[Run, list[RunRecord]] = {}
    for record in records:
        if seeding.includes(record.run) if seeding.hold else record.run.own_seeds is None:
            found.setdefault(row_of(record.run), []).append(record)
    return {row: finished_draws(each) for row, each in found.items()}


def row_of(run: Run) -> Run:
    """The setting of a row, whether its seeds are held apart or not: the first draw of a study has none that are."""
    return replace(run.setting, own_seeds=None)


def _spreads(
    paired: bool,
    stds: Callable[[Mapping[Run, Mapping[Draw, float]]], list[float]],
    there: Mapping[Run, Mapping[Draw, float]],
    own: Mapping[Run, object],
) -> Sequence[Spread]:
    """The spread to plan with; of the known ones, each."""
    for rows, whose in (({each: there[each] for each in own if each in there}, "its own"), (there, "other")):
        if values := stds(rows):
            draws = min(map(len, rows.values()))
            source = f"{counted(len(rows), 'row')} here, {whose} records of {draws} draws or more"
            return [Spread(std=statistics.median(values), low=min(values), high=max(values), source=source)]
    return KNOWN[paired]


def _paired_stds(rows: Mapping[Run, Mapping[Draw, float]]) -> list[float]:
    """The standard deviation of the differences of each pair of rows with three common draws."""
    found = []
    for one, other in itertools.combinations(rows, 2):
        common = [rows[one][draw] - rows[other][draw] for draw in rows[one] if draw in rows[other]]
        if one.pairs_drawn == other.pairs_drawn and len(common) >= LEAST:
            found.append(statistics.stdev(common))
    return [each for each in found if each > 0]


def _row_stds(rows: Mapping[Run, Mapping[Draw, float]]) -> list[float]:
    found = [statistics.stdev(draws.values()) for draws in rows.values()]
    return [each for each in found if each > 0]


def _outlook(paired: bool, draws: int, comparisons: int, spread: Spread) -> Outlook:
    enough = draws >= 2
    return Outlook(
        paired=paired,
        draws=draws,
        comparisons=comparisons,
        spread=spread,
        difference=smallest_difference(spread.std, draws, paired=paired) if enough else None,
        corrected=smallest_difference(spread.std, draws, paired=paired, level=LEVEL / comparisons) if enough else None,
        margin=smallest_margin(spread.std, draws, paired=paired) if enough else None,
    )


HEADINGS = ("spread like that of", "std", "difference", "corrected", "equivalence")


def outlook_cells(outlook: Outlook) -> tuple[str, ...]:
    """The texts under HEADINGS, differences in points."""
    spread = outlook.spread
    std = f"{100 * spread.std:.2f} ({100 * spread.low:.2f} to {100 * spread.high:.2f})"
    figures = (outlook.difference, outlook.corrected, outlook.margin)
    how = "" if outlook.paired else ", on other pairs"
    return (f"{spread.source}{how}", std, *("" if each is None else f"{100 * each:.2f}" for each in figures))


def outlook_title(outlooks: Sequence[Outlook]) -> str:
    """What the figures of some outlooks on one study are."""
    draws = counted(outlooks[0].draws, "draw")
    if outlooks[0].draws < 2:
        return f"{draws} of a row shows no difference"
    most = max(each.comparisons for each in outlooks)
    several = f"; corrected: where {most} are tested together" if most > 1 else ""
    return (
        f"Smallest difference in points that {draws} of each row will probably show (80 % power, 5 % two-sided"
        f"{several}); equivalence: the margin for rows that do not differ"
    )
