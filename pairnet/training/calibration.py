"""Calibration: reliability bins of predicted probabilities, and the error computed from them. Does not import torch.

A model is calibrated if the first digit is equal to or less in a fraction p of the pairs that get probability p.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BINS = 15

Bin = tuple[int, float, int]
"""Number of pairs in a bin, sum of their probabilities, and number of those in order (first <= second)."""


def reliability(probability: NDArray[np.float32], target: NDArray[np.float32]) -> tuple[Bin, ...]:
    """Count pairs in BINS bins of equal width over [0, 1].

    probability [N]: P(first <= second). target [N]: 1 if the first digit is equal to or less, else 0.
    """
    indices = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(indices, minlength=BINS)
    sums = np.bincount(indices, weights=probability, minlength=BINS)
    in_order = np.bincount(indices, weights=target, minlength=BINS).astype(np.int64)
    return tuple((int(n), round(float(s), 6), int(k)) for n, s, k in zip(counts, sums, in_order, strict=True))


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
