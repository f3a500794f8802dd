"""What the paper's printed spreads leave open: three readings of its standard error, and how credible the spreads are.

A test on n pairs that are drawn afresh is binomial at least: whatever the network, the variance of its accuracy over
tests is p(1-p)/n or more. Many printed spreads are smaller, so either they are something else than the deviation over
independent tests, or chance was kind. A verdict should not depend on which.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pairnet.models.paper import TABLE_I, TABLE_II, TABLE_III, Printed
from pairnet.records.run import PAPER_PAIRS
from pairnet.reporting.student import chi_square_below

PAPER_DRAWS = 10
"""Number of tests of each network in the paper."""

FINITE_POOL = 0.8
"""Smallest part of the binomial variance that tests on 1,000 of the 5,000 pairs in 10,000 test images can have.

Pairs that are drawn without repetition vary less. With N images, n pairs, and the covariance c of two pairs that share
an image, the variance is close to p(1-p)/n - 4c/N, and c is at most half of p(1-p).
"""

ReadingName = Literal["as printed", "binomial floor", "one test set"]

Part = tuple[float, float]
"""A part of the variance of a mean, and its degrees of freedom."""

READINGS: tuple[ReadingName, ...] = ("as printed", "binomial floor", "one test set")


@dataclass(frozen=True, kw_only=True)
class Spreads:
    """All printed spreads together against the binomial floor: the chi-square test of a variance, summed up."""

    figures: int
    below: int  # how many of them are below the floor
    statistic: float  # sum of 9 s^2 / floor^2
    freedom: int
    p_value: float  # probability of so small a sum if every spread were at the floor


def parts_of_error(paper: Printed, reading: ReadingName) -> tuple[Part, ...]:
    """The variance of a printed mean, in parts with degrees of freedom of their own, under a reading.

    With the printed deviation s over ten tests and the binomial variance b = p(1-p)/1000 of a test:

    - "as printed": s^2/10, with 9 degrees of freedom: ten independent tests.
    - "binomial floor": max(s^2, b)/10, with 9: ten independent tests, which cannot vary less.
    - "one test set": s^2/10, with 9, plus b, with 999: ten networks on the same 1,000 pairs, whose mean keeps the error
      of these pairs. Where s is the deviation of the networks' true accuracies this is their variance; as far as s is
      noise of single answers on the same pairs, 0.9 s^2 of it are in b already, so it is an upper bound, by less than
      that.
    """
    printed, binomial = paper.std**2, binomial_variance(paper.mean)
    if reading == "as printed":
        return ((printed / PAPER_DRAWS, PAPER_DRAWS - 1),)
    if reading == "binomial floor":
        return ((max(printed, binomial) / PAPER_DRAWS, PAPER_DRAWS - 1),)
    return ((printed / PAPER_DRAWS, PAPER_DRAWS - 1), (binomial, PAPER_PAIRS - 1))


def binomial_variance(mean: float) -> float:
    """The variance of the accuracy in a test on the paper's number of independent pairs."""
    return mean * (1 - mean) / PAPER_PAIRS


def printed_figures() -> tuple[Printed, ...]:
    """Every accuracy of the paper, once: two stand in two of its tables."""
    found = {(each.mean, each.std): each for each in (*TABLE_I.values(), *TABLE_II.values(), *TABLE_III.values())}
    return tuple(found.values())


def spreads_against_floor(figures: Sequence[Printed], *, floor: float = 1.0) -> Spreads:
    """How probable such small spreads are, if tests are binomial at least.  MissingExtraError without scipy.

    floor: the least variance of a test, as a part of the binomial one; see FINITE_POOL. Spreads are taken as unbiased
    deviations and figures as independent of each other. Differences between networks make spreads larger, so the
    p-value is an upper bound.
    """
    ratios = [each.std**2 / (floor * binomial_variance(each.mean)) for each in figures]
    statistic, freedom = (PAPER_DRAWS - 1) * sum(ratios), (PAPER_DRAWS - 1) * len(ratios)
    return Spreads(
        figures=len(ratios),
        below=sum(ratio < 1 for ratio in ratios),
        statistic=statistic,
        freedom=freedom,
        p_value=chi_square_below(statistic, freedom),
    )
