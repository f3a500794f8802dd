"""Whether a measured accuracy replicates the paper's: an equivalence test with a stated margin.

The two one-sided tests (TOST) of D. J. Schuirmann, J. Pharmacokinetics and Biopharmaceutics 15 (1987), with Welch's
degrees of freedom: both sides are means of independent draws with deviations of their own.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from pairnet.errors import ArgumentError
from pairnet.models.paper import Printed
from pairnet.reporting.student import quantile, welch_test

MARGIN = 0.015
"""Differences below this are of no consequence: the smallest effect that the paper claims is 1.6 points."""

PAPER_DRAWS = 10
"""Number of tests of each network in the paper."""

LEVEL = 0.05
"""Largest p-value that counts as shown."""

MOST_DRAWS = 1000
"""Number of draws up to which it is computed how many would decide."""

Name = Literal["replicated", "differs", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the draws say about the paper's figure; differences are measured minus paper, as fractions of 1.

    "replicated": the 90 % interval of the difference lies inside the margin, so both one-sided tests reject at 5 %.
    "differs": it does not, and the 95 % interval excludes zero. "undecided": neither, and `needed` is the number of
    draws that would decide if they had the same mean and deviation; None if none would, because the paper's own
    standard error is too large, or if it takes more than MOST_DRAWS (`never` tells which).
    """

    name: Name
    margin: float
    difference: float
    low: float  # 95 % interval
    high: float
    low90: float
    high90: float
    p_value: float  # of the equivalence test, the larger one of its two
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
    p_value = max(
        welch_test(mean + margin - paper.mean, std, draws, paper.std, PAPER_DRAWS),
        welch_test(paper.mean - (mean - margin), std, draws, paper.std, PAPER_DRAWS),
    )
    half90, half95 = (_half_width(std, draws, paper, level) for level in (0.90, 0.95))
    name: Name = "undecided"
    if p_value < LEVEL:
        name = "replicated"
    elif abs(difference) > half95:
        name = "differs"
    needed = _draws_needed(difference, std, draws, paper, margin) if name == "undecided" else None
    return Verdict(
        name=name,
        margin=margin,
        difference=difference,
        low=difference - float(half95),
        high=difference + float(half95),
        low90=difference - float(half90),
        high90=difference + float(half90),
        p_value=p_value,
        needed=needed,
        never=name == "undecided" and needed is None and not _decides(difference, 0.0, 1, paper, margin),
    )


def _half_width(std: float, draws: Any, paper: Printed, level: float) -> Any:
    """Half the width of Welch's interval of the difference; `draws` is a number or an array of numbers."""
    ours, theirs = std**2 / draws, paper.std**2 / PAPER_DRAWS
    freedom = (ours + theirs) ** 2 / (ours**2 / (draws - 1 + (std == 0)) + theirs**2 / (PAPER_DRAWS - 1))
    return quantile((1 + level) / 2, freedom) * (ours + theirs) ** 0.5


def _decides(difference: float, std: float, draws: Any, paper: Printed, margin: float) -> Any:
    """Whether so many draws of this mean and deviation are not undecided; elementwise for an array of numbers."""
    inside = abs(difference) + _half_width(std, draws, paper, 0.90) < margin
    return inside | (abs(difference) > _half_width(std, draws, paper, 0.95))


def _draws_needed(difference: float, std: float, draws: int, paper: Printed, margin: float) -> int | None:
    """The smallest larger number of draws that decides, up to MOST_DRAWS."""
    import numpy as np

    numbers = np.arange(draws + 1, MOST_DRAWS + 1)
    deciding = numbers[_decides(difference, std, numbers, paper, margin)]
    return int(deciding[0]) if len(deciding) else None
