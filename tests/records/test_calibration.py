"""Reliability bins and their error, against arithmetic by hand."""

import numpy as np
import pytest

from pairnet.records.calibration import BINS, expected_calibration_error, pooled
from pairnet.study.execution import reliability


def test_every_pair_is_counted_in_the_bin_of_its_probability():
    probability = np.array([0.0, 0.01, 0.5, 0.999, 1.0], np.float32)
    bins = reliability(probability, np.array([0, 1, 1, 1, 0], np.float32))
    assert len(bins) == BINS
    assert bins[0] == (2, pytest.approx(0.01), 1)
    assert bins[BINS // 2] == (1, 0.5, 1)
    assert bins[-1] == (2, pytest.approx(1.999), 1)
    assert sum(count for count, _, _ in bins) == 5
    assert reliability(np.array([0.2], np.float32), np.array([1], np.float32))[3] == (1, pytest.approx(0.2), 1)


def test_the_error_is_the_mean_distance_of_probability_and_fraction():
    rng = np.random.default_rng(0)
    probability = rng.random(200_000).astype(np.float32)
    target = (rng.random(200_000) < probability).astype(np.float32)
    assert expected_calibration_error(reliability(probability, target)) < 0.005
    certain = np.ones(1000, np.float32)
    right = (np.arange(1000) < 900).astype(np.float32)
    assert expected_calibration_error(reliability(certain, right)) == pytest.approx(0.1)


def test_pooled_bins_equal_the_bins_of_all_pairs():
    rng = np.random.default_rng(1)
    probability, target = rng.random(300).astype(np.float32), rng.integers(0, 2, 300).astype(np.float32)
    whole = reliability(probability, target)
    parts = pooled([reliability(probability[:100], target[:100]), reliability(probability[100:], target[100:])])
    assert [(n, k) for n, _, k in parts] == [(n, k) for n, _, k in whole]
    assert np.allclose([s for _, s, _ in parts], [s for _, s, _ in whole], atol=1e-5)
