"""Two rows compared draw by draw: the paired difference with its interval and p-value."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pairnet.errors import RecordError
from pairnet.extras import needed_by
from pairnet.reporting.summaries import finished_draws
from pairnet.study.records import RunRecord

CONFIDENCE = 0.95

ROUNDING = 1e-9
"""Differences of accuracies that are closer are equal: an accuracy is a number of pairs divided by another."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The difference of two rows over their common draws, as fractions of 1: first minus second.

    `low` and `high` bound the 95 % interval of the mean difference, `p_value` is that of the paired t-test; all three
    are None if the differences are all the same, so that there is no variation to compare the mean with.
    """

    draws: int
    first: float  # mean accuracy
    second: float
    difference: float
    low: float | None
    high: float | None
    p_value: float | None


def compare(first: Sequence[RunRecord], second: Sequence[RunRecord]) -> Comparison:
    """Paired t-test over the draws that both rows have.

    RecordError with fewer than two common draws. MissingExtraError without scipy.
    """
    with needed_by("comparing two rows"):
        from scipy import stats

    one, other = finished_draws(first), finished_draws(second)
    draws = [seed for seed in one if seed in other]
    if len(draws) < 2:
        raise RecordError(f"expected at least 2 draws that both rows have, got {len(draws)}: run more `draws` of both")
    left, right = [one[seed] for seed in draws], [other[seed] for seed in draws]
    low = high = p_value = None
    differences = [a - b for a, b in zip(left, right, strict=True)]
    if max(differences) - min(differences) > ROUNDING:
        test = stats.ttest_rel(left, right)
        interval = test.confidence_interval(CONFIDENCE)
        low, high, p_value = float(interval.low), float(interval.high), float(test.pvalue)
    return Comparison(
        draws=len(draws),
        first=statistics.fmean(left),
        second=statistics.fmean(right),
        difference=statistics.fmean(left) - statistics.fmean(right),
        low=low,
        high=high,
        p_value=p_value,
    )
