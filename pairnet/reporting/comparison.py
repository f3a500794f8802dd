"""Two rows compared draw by draw: the paired difference with its interval and p-values, and how often one is better."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pairnet.errors import RecordError
from pairnet.records.record import RunRecord
from pairnet.records.run import Draw
from pairnet.reporting.student import paired_test, wilson
from pairnet.reporting.summaries import finished_draws

CONFIDENCE = 0.95

ROUNDING = 1e-9
"""Differences of accuracies that are closer are equal: an accuracy is a number of pairs divided by another."""

EXACT = 14
"""Number of draws up to which the signed-rank test tries every choice of signs."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The difference of two rows over their common draws, as fractions of 1: first minus second.

    `low` and `high` bound the 95 % interval of the mean difference, `p_value` is that of the paired t-test, `wilcoxon`
    that of the signed-rank test; all are None if the differences are all the same, so that there is no variation to
    compare the mean with. `better` is the share of draws on which the first row is better, of those on which the two
    differ (the probability of improvement of R. Agarwal et al., Deep RL at the Edge of the Statistical Precipice, 2021,
    but paired), with Wilson's interval; None if all are equal.
    """

    draws: int
    first: float  # mean accuracy
    second: float
    difference: float
    low: float | None
    high: float | None
    p_value: float | None
    wilcoxon: float | None
    equal: int  # draws on which both have the same accuracy
    better: float | None
    better_low: float | None
    better_high: float | None


def compare(first: Sequence[RunRecord], second: Sequence[RunRecord]) -> Comparison:
    """Two rows over the draws that both have; a cross-validated draw counts once.

    RecordError with fewer than two common draws. MissingExtraError without scipy.
    """
    return compare_draws(finished_draws(first), finished_draws(second))


def compare_draws(first: Mapping[Draw, float], second: Mapping[Draw, float]) -> Comparison:
    """Two rows by the accuracy of each draw, over the draws that both have; see `compare`."""
    draws = sorted(seed for seed in first if seed in second)
    if len(draws) < 2:
        raise RecordError(f"expected at least 2 draws that both rows have, got {len(draws)}: run more `draws` of both")
    left, right = [first[seed] for seed in draws], [second[seed] for seed in draws]
    low = high = p_value = wilcoxon = better_low = better_high = None
    differences = [round((a - b) / ROUNDING) * ROUNDING for a, b in zip(left, right, strict=True)]
    wins, losses = sum(each > 0 for each in differences), sum(each < 0 for each in differences)
    if max(differences) - min(differences) > ROUNDING:
        low, high, p_value = paired_test(differences, CONFIDENCE)
        wilcoxon = signed_rank(differences)
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
