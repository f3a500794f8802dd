"""Reliability bins against counting by hand, and against the accuracy of the same pairs."""

import numpy as np

from pairnet.records.calibration import BINS
from pairnet.study.execution import reliability


def test_bins_count_the_pairs_whose_target_is_1():
    probability = np.array([0.01, 0.02, 0.03, 0.99], np.float32)
    bins = reliability(probability, np.array([1, 0, 0, 1], np.float32))
    assert [(count, in_order) for count, _, in_order in bins] == [(3, 1), *[(0, 0)] * (BINS - 2), (1, 1)]


def test_perfect_predictions_have_all_pairs_in_order_in_the_last_bin():
    target = np.array([1, 1, 1, 0], np.float32)
    bins = reliability(target, target)
    assert bins[0] == (1, 0.0, 0)
    assert bins[-1] == (3, 3.0, 3)
