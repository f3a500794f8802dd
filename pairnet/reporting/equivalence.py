"""Whether a measured accuracy replicates the paper's: an equivalence test with a stated margin.

The two one-sided tests (TOST) of D. J. Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15 (1987), with Welch's
degrees of freedom: both sides are means of independent draws with deviations of their own. The paper's own error can be
read in three ways (see sensitivity.py); what they do not agree on is undecided.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from pairnet.errors import ArgumentError
from pairnet.models.paper import Printed
from pairnet.reporting.sensitivity import READINGS, ReadingName, parts_of_error
from pairnet.reporting.student import quantile, satterthwaite, upper_tail

MARGIN = 0.015
"""Differences below this are of no consequence: the smallest effect that the paper claims is 1.6 points."""

LEVEL = 0.05
"""Largest p-value that counts as shown."""

MOST_DRAWS = 1000
"""Number of draws up to which it is computed how many would decide."""

Name = Literal["replicated", "differs", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The verdict under one reading of the paper's standard error; see `Verdict` for the names and intervals."""

    reading: ReadingName
    name: Name
    low: float  # 95 % interval
    high: float
    low90: float
    high90: float
    p_value: float  # of the equivalence test, the larger one of its two


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the draws say about the paper's figure; differences are measured minus paper, as fractions of 1.

    Under a reading of the paper's standard error, "replicated": the 90 % interval of the difference lies inside the
    margin, so both one-sided tests reject at 5 %. "differs": it does not, and the 95 % interval excludes zero.
    "undecided": neither. The verdict is what all readings agree on, otherwise "undecided". `low` and `high` are those
    of the first reading, with the error as printed.

    `needed` is the number of draws that would decide an undecided one if they had the same mean and deviation; None if
    none would, because the paper's own standard error is too large, or if it takes more than MOST_DRAWS (`never` tells
    which).
    """

    name: Name
    margin: float
    difference: float
    low: float  # 95 % interval
    high: float
    readings: tuple[Reading, ...]
    needed: int | None = None
    never: bool = False


def judge(*, mean: float, std: float, draws: int, paper: Printed, margin: float = MARGIN) -> Verdict:
    """The verdict on `draws` accuracies of this mean and unbiased standard deviation.

    ArgumentError for fewer than two draws, or a margin that is not above 0. MissingExtraError without scipy.
    """
    if draws < 2:
        raise ArgumentError(f"expected at least 2 `draws` for an interval, got {draws}: run more draws")
    if not (margin > 0 and math.isfinite(margin)):
        raise ArgumentError(f"expected `margin` above 0, got {margin:g}: choose another one")
    difference = mean - paper.mean
    readings = tuple(_read(difference, std, draws, paper, margin, reading) for reading in READINGS)
    names = {each.name for each in readings}
    name: Name = names.pop() if len(names) == 1 else "undecided"
    needed = _draws_needed(difference, std, draws, paper, margin) if name == "undecided" else None
    return Verdict(
        name=name,
        margin=margin,
        difference=difference,
        low=readings[0].low,
        high=readings[0].high,
        readings=readings,
        needed=needed,
        never=name == "undecided" and needed is None and not _decides(difference, 0.0, 2, paper, margin),
    )


def _read(difference: float, std: float, draws: int, paper: Printed, margin: float, reading: ReadingName) -> Reading:
    variance, freedom = _error(std, draws, paper, reading)
    error = math.sqrt(variance)
    half90, half95 = (float(quantile((1 + level) / 2, freedom)) * error for level in (0.90, 0.95))
    p_value = upper_tail((margin - abs(difference)) / error, freedom)
    return Reading(
        reading=reading,
        name="replicated" if p_value < LEVEL else "differs" if abs(difference) > half95 else "undecided",
        low=difference - half95,
        high=difference + half95,
        low90=difference - half90,
        high90=difference + half90,
        p_value=p_value,
    )


def _error(std: float, draws: Any, paper: Printed, reading: ReadingName) -> tuple[Any, Any]:
    """Variance of the difference and its degrees of freedom; `draws` is a number or an array of numbers."""
    return satterthwaite([(std**2 / draws, draws - 1), *parts_of_error(paper, reading)])


def _decides(difference: float, std: float, draws: Any, paper: Printed, margin: float) -> Any:
    """Whether so many draws of this mean and deviation are not undecided; elementwise for an array of numbers."""
    inside, outside = True, True
    for reading in READINGS:
        variance, freedom = _error(std, draws, paper, reading)
        within = abs(difference) + quantile(0.95, freedom) * variance**0.5 < margin
        inside &= within
        outside &= ~within & (abs(difference) > quantile(0.975, freedom) * variance**0.5)
    return inside | outside


def _draws_needed(difference: float, std: float, draws: int, paper: Printed, margin: float) -> int | None:
    """The smallest larger number of draws that decides, up to MOST_DRAWS."""
    import numpy as np

    numbers = np.arange(draws + 1, MOST_DRAWS + 1)
    deciding = numbers[_decides(difference, std, numbers, paper, margin)]
    return int(deciding[0]) if len(deciding) else None
