"""The paper's spreads against what 1,000 pairs allow: the floor by simulation, the test of all of them by SciPy."""

import numpy as np
import pytest
from scipy import stats

from pairnet.models.paper import TABLE_I, TABLE_II, TABLE_III, Printed
from pairnet.reporting.sensitivity import (
    FINITE_POOL,
    READINGS,
    binomial_variance,
    parts_of_error,
    printed_figures,
    spreads_against_floor,
)


def test_each_figure_of_the_paper_counts_once():
    every = [*TABLE_I.values(), *TABLE_II.values(), *TABLE_III.values()]
    assert len(every) == 18
    assert len(printed_figures()) == 16  # cnn_base and .936 stand in two tables
    assert set(map(repr, printed_figures())) == set(map(repr, every))


def test_all_spreads_together_are_too_small_for_chance():
    found = spreads_against_floor(printed_figures())
    floors = [each.mean * (1 - each.mean) / 1000 for each in printed_figures()]
    ratios = [each.std**2 / floor for each, floor in zip(printed_figures(), floors, strict=True)]
    assert (found.figures, found.freedom, found.below) == (16, 144, sum(ratio < 1 for ratio in ratios))
    assert found.p_value == pytest.approx(stats.chi2(144).cdf(9 * sum(ratios)))
    assert found.p_value < 2e-5
    assert found.p_value < spreads_against_floor(printed_figures(), floor=FINITE_POOL).p_value < 0.01


@pytest.mark.parametrize("between", [0.0, 0.01])
def test_the_test_of_spreads_has_its_level(between):
    """Ten binomial tests of sixteen networks: 5 % of p-values are below .05, and fewer where networks differ."""
    rng = np.random.default_rng(1)
    p_values = []
    for _ in range(1000):
        rates = np.clip(0.85 + between * rng.normal(size=(16, 10)), 0, 1)
        tests = rng.binomial(1000, rates) / 1000
        figures = [Printed(mean=each.mean(), std=each.std(ddof=1)) for each in tests]
        p_values.append(spreads_against_floor(figures).p_value)
    low, high = stats.binom(1000, 0.05).ppf([0.001, 0.999]) / 1000
    share = np.mean(np.array(p_values) < 0.05)
    assert share <= high
    assert (share >= low) == (between == 0)


@pytest.mark.parametrize("printed", [0.002, 0.02])
def test_readings_never_have_a_smaller_error_than_printed(printed):
    paper = Printed(mean=0.9, std=printed)
    variances = [sum(part for part, _ in parts_of_error(paper, reading)) for reading in READINGS]
    floor = binomial_variance(0.9)
    assert variances == pytest.approx([printed**2 / 10, max(printed**2, floor) / 10, printed**2 / 10 + floor])


def test_the_mean_of_networks_on_one_test_set_has_the_variance_of_the_third_reading():
    """Networks of their own true accuracy, answers that depend on the pair alone otherwise: the formula is exact."""
    rng = np.random.default_rng(2)
    means, spreads = [], []
    for _ in range(4000):
        difficulty = rng.uniform(size=1000)  # of the pairs of the one test set
        rates = 0.9 + 0.008 * rng.normal(size=10)
        tests = (difficulty < rates[:, None]).mean(1)
        means.append(tests.mean())
        spreads.append(tests.var(ddof=1))
    paper = Printed(mean=0.9, std=np.mean(spreads) ** 0.5)
    expected = sum(part for part, _ in parts_of_error(paper, "one test set"))
    assert np.var(means) == pytest.approx(expected, rel=0.1)
    assert np.var(means) > 5 * sum(part for part, _ in parts_of_error(paper, "as printed"))
