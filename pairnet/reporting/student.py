"""Tests and intervals on scipy.special: to import scipy.stats takes longer than all the statistics of a report.

Each function has its counterpart in scipy.stats; the tests compare them, to the last digit.
"""

import math
from collections.abc import Sequence
from typing import Any

from pairnet.extras import needed_by


def quantile(probability: float, freedom: Any) -> Any:
    """The quantile of Student's t with so many degrees of freedom, a number or an array: scipy.stats.t.ppf."""
    return _special().stdtrit(freedom, probability)


def upper_tail(t: float, freedom: float) -> float:
    """The probability of more than `t`: scipy.stats.t.sf, the p-value of a one-sided test."""
    return float(_special().stdtr(freedom, -t))


def paired_test(differences: Sequence[float], confidence: float) -> tuple[float, float, float]:
    """Ends of the interval of the mean, and the two-sided p-value of a mean of 0: scipy.stats.ttest_1samp."""
    import numpy as np

    values, freedom = np.asarray(differences), len(differences) - 1
    mean = values.mean()
    error = math.sqrt(((values - mean) ** 2).mean() * (len(values) / freedom) / len(values))
    tail = (1 - confidence) / 2
    low, high = quantile(tail, freedom) * error + mean, quantile(1 - tail, freedom) * error + mean
    return float(low), float(high), 2 * upper_tail(abs(mean / error), freedom)


def combined_test(groups: Sequence[Sequence[float]], confidence: float) -> tuple[float, float, float, float, float]:
    """Of the sum of independent means: ends of its interval, p-value of a sum of 0, standard error, degrees of freedom.

    One group's variance does not stand for another's: with two groups this is scipy.stats.ttest_ind(equal_var=False).
    """
    import numpy as np

    total = float(sum(np.mean(group) for group in groups))
    parts = [float(np.var(group, ddof=1)) / len(group) for group in groups]
    error = math.sqrt(sum(parts))
    freedom = sum(parts) ** 2 / sum(part**2 / (len(group) - 1) for part, group in zip(parts, groups, strict=True))
    half = float(quantile((1 + confidence) / 2, freedom)) * error
    return total - half, total + half, 2 * upper_tail(abs(total / error), freedom), error, freedom


def welch_test(difference: float, std: float, draws: int, other_std: float, other_draws: int) -> float:
    """The p-value of a difference of means above 0: scipy.stats.ttest_ind_from_stats with alternative="greater"."""
    import numpy as np

    ours, theirs = np.float64(std * std / draws), np.float64(other_std * other_std / other_draws)
    freedom = (ours + theirs) ** 2 / (ours**2 / (draws - 1) + theirs**2 / (other_draws - 1))
    return upper_tail(difference / math.sqrt(ours + theirs), freedom)


def wilson(wins: int, trials: int, confidence: float) -> tuple[float, float]:
    """Wilson's interval of a share: scipy.stats.binomtest(...).proportion_ci(method="wilson")."""
    share, z = wins / trials, float(_special().ndtri(0.5 + 0.5 * confidence))
    whole = 2 * (trials + z**2)
    centre = (2 * trials * share + z**2) / whole
    half = z / whole * math.sqrt(4 * trials * share * (1 - share) + z**2)
    return (0.0 if wins == 0 else centre - half), (1.0 if wins == trials else centre + half)


def _special() -> Any:
    with needed_by("an interval or a test"):
        from scipy import special

    return special
