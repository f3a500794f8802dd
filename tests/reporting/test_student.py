"""Tests and intervals on scipy.special: the same numbers as those of scipy.stats, to the last digit."""

import numpy as np
import pytest
from scipy import stats

from pairnet.reporting.student import chi_square_below, paired_test, quantile, satterthwaite, upper_tail, wilson

SEEDS = pytest.mark.parametrize("seed", range(200))


@SEEDS
def test_the_paired_test_is_that_of_scipy(seed):
    rng = np.random.default_rng(seed)
    differences = rng.normal(rng.normal() / 100, 0.02, int(rng.integers(2, 40))).tolist()
    found = stats.ttest_1samp(differences, 0.0)
    interval = found.confidence_interval(0.95)
    assert paired_test(differences, 0.95) == (interval.low, interval.high, found.pvalue)


@SEEDS
def test_the_test_of_two_means_is_that_of_scipy(seed):
    rng = np.random.default_rng(seed)
    (mean, other), (std, spread), draws = (
        rng.uniform(0.7, 0.9, 2),
        rng.uniform(0.001, 0.03, 2),
        int(rng.integers(2, 40)),
    )
    args = (mean, std, draws, other, spread, 10)
    greater = stats.ttest_ind_from_stats(*args, equal_var=False, alternative="greater").pvalue
    less = stats.ttest_ind_from_stats(*args, equal_var=False, alternative="less").pvalue
    variance, freedom = satterthwaite([(std**2 / draws, draws - 1), (spread**2 / 10, 9)])
    t = (mean - other) / variance**0.5
    assert upper_tail(t, freedom) == pytest.approx(greater, rel=1e-12)
    assert upper_tail(-t, freedom) == pytest.approx(less, rel=1e-12)


def test_the_sum_of_squares_is_that_of_scipy():
    for value, freedom in np.random.default_rng(0).uniform(1, 200, (200, 2)):
        assert chi_square_below(value, freedom) == stats.chi2.cdf(value, freedom)


@pytest.mark.parametrize("trials", [1, 2, 7, 30])
def test_wilsons_interval_is_that_of_scipy(trials):
    for wins in range(trials + 1):
        found = stats.binomtest(wins, trials).proportion_ci(0.95, method="wilson")
        assert wilson(wins, trials, 0.95) == (found.low, found.high)


def test_quantiles_are_those_of_scipy():
    freedom = np.random.default_rng(0).uniform(1, 1000, 500)
    for probability in (0.95, 0.975, 0.995):
        assert np.array_equal(quantile(probability, freedom), stats.t.ppf(probability, freedom))
