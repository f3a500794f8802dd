"""Calibration: reliability bins of predicted probabilities, and the error computed from them.

A model is calibrated if the first digit is equal to or less in a fraction p of the pairs that get probability p.
"""

from collections.abc import Sequence

BINS = 15
"""Number of bins, of equal width over [0, 1]."""

Bin = tuple[int, float, int]
"""Number of pairs in a bin, sum of their probabilities, and number of those in order (first <= second)."""


def pooled(runs: Sequence[Sequence[Bin]]) -> tuple[Bin, ...]:
    """The bins of several runs added up, bin by bin."""
    return tuple(
        (sum(b[0] for b in bins), sum(b[1] for b in bins), sum(b[2] for b in bins)) for bins in zip(*runs, strict=True)
    )


def expected_calibration_error(bins: Sequence[Bin]) -> float:
    """Mean over pairs of |mean probability - fraction in order| of their bin, as a fraction of 1.

    Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks (2017), with bins over P(first <= second).
    """
    pairs = sum(count for count, _, _ in bins)
    return sum(abs(total - in_order) for _, total, in_order in bins) / pairs
