"""Tests and intervals on scipy.special: to import scipy.stats takes longer than all the statistics of a report.

Each function has its counterpart in scipy.stats; the tests compare them, to the last digit.
"""

import math
from collections.abc import Sequence
from typing import Any

from pairnet.extras import needed_by

CONFIDENCE = 0.95
"""Of every interval that a report shows, unless it says another one."""


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
    variance, freedom = satterthwaite([(float(np.var(group, ddof=1)) / len(group), len(group) - 1) for group in groups])
    error = math.sqrt(variance)
    half = float(quantile((1 + confidence) / 2, freedom)) * error
    return total - half, total + half, 2 * upper_tail(abs(total / error), freedom), error, freedom


def satterthwaite(parts: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Variance and degrees of freedom of a sum, from those of its independent parts; numbers or arrays.

    F. E. Satterthwaite, Biometrics Bulletin 2 (1946). Of two means it is what Welch's test takes.
    """
    variance = sum(part for part, _ in parts)
    return variance, variance**2 / sum(part**2 / freedom for part, freedom in parts)


def chi_square_below(value: float, freedom: float) -> float:
    """The probability of less than `value`: scipy.stats.chi2.cdf."""
    return float(_special().chdtr(freedom, value))


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
