"""Sides of a contrast compared: draw by draw where rows share their draws, by Welch's test where they do not."""

import math
import statistics
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pairnet.errors import RecordError
from pairnet.records.record import RunRecord
from pairnet.records.run import Draw
from pairnet.reporting.student import CONFIDENCE, combined_test, paired_test, upper_tail, wilson
from pairnet.reporting.summaries import finished_draws

ROUNDING = 1e-9
"""Differences of accuracies that are closer are equal: an accuracy is a number of pairs divided by another."""

EXACT = 14
"""Number of draws up to which the signed-rank test tries every choice of signs."""

LEAST = 2
"""Draws without which there is no spread."""

Draws = Mapping[Draw, float]
"""The accuracy of each draw of a row."""

Side = Sequence[tuple[str, float]]
"""Labels of rows, each with its weight in a sum."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The difference of two sides, as fractions of 1: first minus second.

    `low` and `high` bound the 95 % interval of the mean difference, `p_value` is that of the t-test, `error` is the
    standard error and `freedom` the degrees of freedom behind them; all are None if there is no variation to compare
    the mean with. In one group, whose rows share their draws, the test is paired; with several it is Welch's, in the
    form for a sum of independent means (F. E. Satterthwaite, Biometrics Bulletin 2, 1946).

    The rest is for one group, and None with several: `wilcoxon` is the p-value of the signed-rank test, `better` the
    share of draws on which the first side is better, of those on which the two differ (the probability of improvement
    of R. Agarwal et al., Deep RL at the Edge of the Statistical Precipice, 2021, but paired), with Wilson's interval;
    None if all are equal.
    """

    draws: int  # of the smallest group
    first: float  # mean accuracy, or a weighted sum of several
    second: float
    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    wilcoxon: float | None
    equal: int | None  # draws on which both have the same accuracy
    better: float | None
    better_low: float | None
    better_high: float | None
    groups: tuple[int, ...]  # number of draws of each group of rows that share their draws
    error: float | None
    freedom: float | None

    @property
    def paired(self) -> bool:
        """Whether all rows share their draws."""
        return len(self.groups) == 1

    def above(self, value: float) -> float | None:
        """The p-value of the one-sided test that the difference is above `value`; None without variation."""
        if self.error is None or self.freedom is None:
            return None
        return upper_tail((self.difference - value) / self.error, self.freedom)

    def within(self, margin: float) -> float | None:
        """The p-value of the test that the difference lies within ±`margin`, the larger one of two one-sided tests.

        D. J. Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15 (1987).
        """
        if self.error is None or self.freedom is None:
            return None
        return max(upper_tail((margin + sign * self.difference) / self.error, self.freedom) for sign in (1, -1))


def compare(first: Sequence[RunRecord], second: Sequence[RunRecord]) -> Comparison:
    """Two rows over the draws that both have; a cross-validated draw counts once.

    RecordError with fewer than two common draws. MissingExtraError without scipy.
    """
    return compare_draws(finished_draws(first), finished_draws(second))


def compare_sides(
    first: Side, second: Side, rows: Mapping[str, Draws], images: Mapping[str, Hashable] | None = None
) -> Comparison:
    """Two weighted sums of rows, each with the accuracies of its draws.

    Rows with the same `images` and at least two draws in common form a group: the same draw has the same seeds, and the
    pairs of a smaller draw are the first ones of a larger, so a group is compared draw by draw, over the draws that all
    of it has. Groups are independent of each other. RecordError for a group with fewer than two common draws.
    """
    labels = list(dict.fromkeys(label for label, _ in (*first, *second)))
    groups = groups_of(labels, rows, images or {})
    for group in groups:
        common = set.intersection(*(set(rows.get(label, {})) for label in group))
        if len(common) < LEAST:
            whose = (
                "both rows have" if len(labels) == 2 else f"all of {', '.join(group)} have" if group[1:] else group[0]
            )
            raise RecordError(f"expected at least {LEAST} draws that {whose}, got {len(common)}: run more `draws`")
    sides = [[_sums([(label, w) for label, w in side if label in group], group, rows) for group in groups]
             for side in (first, second)]  # fmt: skip
    if len(groups) == 1:
        return compare_draws(sides[0][0], sides[1][0])
    values = [[one[draw] - other[draw] for draw in one] for one, other in zip(*sides, strict=True)]
    low = high = p_value = error = freedom = None
    if any(max(each) - min(each) > ROUNDING for each in values):
        low, high, p_value, error, freedom = combined_test(values, CONFIDENCE)
    left, right = (sum(statistics.fmean(sums.values()) for sums in side) for side in sides)
    return Comparison(
        draws=min(map(len, values)),
        first=left,
        second=right,
        difference=left - right,
        low=low,
        high=high,
        p_value=p_value,
        wilcoxon=None,
        equal=None,
        better=None,
        better_low=None,
        better_high=None,
        groups=tuple(map(len, values)),
        error=error,
        freedom=freedom,
    )


def groups_of(labels: Sequence[str], rows: Mapping[str, Draws], images: Mapping[str, Hashable]) -> list[list[str]]:
    """The rows by what they share: two that have images and draws in common are in one group, and so on."""
    groups: list[list[str]] = []
    for label in labels:
        near = [
            group
            for group in groups
            if any(
                images.get(label) == images.get(other)
                and (len(set(rows.get(label, {})) & set(rows.get(other, {}))) >= LEAST)
                for other in group
            )
        ]
        groups = [group for group in groups if group not in near] + [
            [*(each for group in near for each in group), label]
        ]
    return groups


def _sums(side: Side, group: Iterable[str], rows: Mapping[str, Draws]) -> dict[Draw, float]:
    """The weighted sum of a group's rows in each draw that all of the group have."""
    common = set.intersection(*(set(rows[label]) for label in group))
    return {draw: sum(weight * rows[label][draw] for label, weight in side) for draw in sorted(common)}


def compare_draws(first: Draws, second: Draws) -> Comparison:
    """Two rows by the accuracy of each draw, over the draws that both have; see `compare`."""
    draws = sorted(seed for seed in first if seed in second)
    if len(draws) < LEAST:
        raise RecordError(
            f"expected at least {LEAST} draws that both rows have, got {len(draws)}: run more `draws` of both"
        )
    left, right = [first[seed] for seed in draws], [second[seed] for seed in draws]
    low = high = p_value = wilcoxon = better_low = better_high = error = None
    differences = [round((a - b) / ROUNDING) * ROUNDING for a, b in zip(left, right, strict=True)]
    wins, losses = sum(each > 0 for each in differences), sum(each < 0 for each in differences)
    if max(differences) - min(differences) > ROUNDING:
        low, high, p_value = paired_test(differences, CONFIDENCE)
        wilcoxon = signed_rank(differences)
        error = statistics.stdev(differences) / math.sqrt(len(differences))
    if wins + losses:
        better_low, better_high = wilson(wins, wins + losses, CONFIDENCE)
    return Comparison(
        draws=len(draws),
        first=statistics.fmean(left),
        second=statistics.fmean(right),
        difference=statistics.fmean(left) - statistics.fmean(right),
        low=low,
        high=high,
        p_value=p_value,
        wilcoxon=wilcoxon,
        equal=len(draws) - wins - losses,
        better=wins / (wins + losses) if wins + losses else None,
        better_low=better_low,
        better_high=better_high,
        groups=(len(draws),),
        error=error,
        freedom=None if error is None else len(draws) - 1.0,
    )


def signed_rank(differences: Sequence[float]) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test (Biometrics Bulletin 1, 1945), exact also where sizes are equal.

    Equal sizes share their mean rank, and differences of zero, which have no sign, are left out. The exact distribution
    is that of all choices of signs; with more than EXACT differences it is scipy's approximation. 1 without any sign.
    """
    import numpy as np

    signed = np.array([each for each in differences if each])
    if not len(signed):
        return 1.0
    if len(signed) > EXACT:
        from scipy import stats

        return float(stats.wilcoxon(signed, method="asymptotic").pvalue)
    _, which, counts = np.unique(np.abs(signed), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[which]  # equal sizes share the mean
    signs = (np.arange(2 ** len(signed))[:, None] >> np.arange(len(signed))) & 1  # [choices,differences]
    sums = signs @ ranks
    found = ranks[signed > 0].sum()
    return float(min(1.0, 2 * min((sums >= found - 1e-9).mean(), (sums <= found + 1e-9).mean())))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values adjusted for the size of their family, in the same order; None, without variation, counts and stays.

    S. Holm: A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6 (1979). The
    smallest is multiplied by their number, the next by one less, and so on; none may fall below the one before it.
    """
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    in_order = sorted((1.0 if value is None else value, at) for at, value in enumerate(p_values))
    for rank, (value, at) in enumerate(in_order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * value))
        adjusted[at] = None if p_values[at] is None else largest
    return adjusted
