"""Comparison of two rows: paired over common draws, by hand arithmetic and a published example."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_examples import record
from scipy import stats

from pairnet.errors import RecordError
from pairnet.reporting.comparison import compare, compare_draws, holm, signed_rank
from pairnet.reporting.student import wilson


def row(*accuracies, first=0):
    return [record(draw, accuracy=accuracy) for draw, accuracy in enumerate(accuracies, start=first)]


def test_the_difference_is_paired_over_common_draws():
    found = compare(row(0.9, 0.8, 0.7, 0.1), row(0.85, 0.79, 0.66)[::-1])  # the fourth draw has no partner
    assert (found.draws, found.first) == (3, pytest.approx(0.8))
    assert found.difference == pytest.approx(0.1 / 3)
    deviation = math.sqrt((0.05**2 + 0.01**2 + 0.04**2 - 3 * (0.1 / 3) ** 2) / 2)
    margin = 4.302652729696142 * deviation / math.sqrt(3)  # the t distribution's 97.5 % point, 2 degrees of freedom
    assert (found.low, found.high) == (pytest.approx(0.1 / 3 - margin), pytest.approx(0.1 / 3 + margin))


def test_the_p_value_is_that_of_a_published_example():
    """Student's sleep data (1908): the extra sleep of ten patients under two drugs, t = -4.0621, p = 0.002833."""
    first = (0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0)
    second = (1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4)
    found = compare(row(*first), row(*second))
    assert found.p_value == pytest.approx(0.002833, abs=1e-6)
    assert (found.low, found.high) == (pytest.approx(-2.4598858, abs=1e-6), pytest.approx(-0.7001142, abs=1e-6))


def test_folds_do_not_count_as_draws():
    def folds(*accuracies):
        return [record(number // 2, fold=number % 2, folds=2, accuracy=each) for number, each in enumerate(accuracies)]

    found = compare(folds(0.9, 0.7, 0.6, 0.8, 0.5, 0.5), folds(0.7, 0.7, 0.5, 0.5, 0.5, 0.4))
    assert found == compare(row(0.8, 0.7, 0.5), row(0.7, 0.5, 0.45))
    with_half_a_draw = compare(folds(0.9, 0.7, 0.6, 0.8, 0.5), folds(0.7, 0.7, 0.5, 0.5, 0.5, 0.4))
    assert with_half_a_draw == compare(row(0.8, 0.7), row(0.7, 0.5))


def test_too_few_draws_are_refused():
    with pytest.raises(RecordError, match="expected at least 2 draws that both rows have, got 1"):
        compare(row(0.5, 0.6), row(0.7, 0.8, first=1))


def test_equal_differences_have_no_interval():
    found = compare(row(0.5, 0.75), row(0.25, 0.5))
    assert (found.difference, found.low, found.high, found.p_value) == (0.25, None, None, None)
    found = compare(row(0.9, 0.8, 0.7), row(0.85, 0.75, 0.65))  # equal but for rounding
    assert (found.low, found.high, found.p_value) == (None, None, None)


def test_the_probability_of_improvement_is_over_draws_that_differ_and_has_wilsons_interval():
    found = compare(row(0.9, 0.8, 0.7, 0.6), row(0.8, 0.7, 0.7, 0.7))
    assert (found.better, found.equal) == (pytest.approx(2 / 3), 1)
    assert (found.better_low, found.better_high) == wilson(2, 3, 0.95)
    same = compare(row(0.9, 0.8), row(0.9, 0.8))
    assert (same.better, same.better_low, same.equal) == (None, None, 2)


def test_the_signed_rank_test_of_a_published_example():
    """Hollander and Wolfe (1973), depression scores under a tranquilliser, as in R's wilcox.test: V = 40, two-sided."""
    first = (1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30)
    second = (0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29)
    assert compare_draws(dict(enumerate(first)), dict(enumerate(second))).wilcoxon == pytest.approx(2 * 0.01953125)


@given(st.lists(st.integers(-6, 6), min_size=2, max_size=9).filter(any))
def test_the_signed_rank_test_is_exact_also_where_sizes_are_equal(differences):
    signed = np.array([each for each in differences if each])
    ranks = stats.rankdata(np.abs(signed))
    found = ranks[signed > 0].sum()
    sums = [sum(r for r, s in zip(ranks, signs, strict=True) if s) for signs in product((0, 1), repeat=len(signed))]
    tail = min(sum(each >= found - 1e-9 for each in sums), sum(each <= found + 1e-9 for each in sums))
    assert signed_rank([each / 1000 for each in differences]) == pytest.approx(min(1, 2 * tail / len(sums)))


def test_five_equal_signs_are_one_case_in_sixteen():
    assert signed_rank([0.001, 0.001, 0.002, 0.003, 0.004]) == 0.0625
    assert signed_rank([0.0, 0.0]) == 1.0
    assert 0 < signed_rank([0.001 * each for each in range(1, 30)]) < 0.001


def test_holms_correction_of_a_published_example():
    """The three tests in S. Holm's sense: 0.01, 0.04 and 0.03 of four with 0.005 (Wikipedia: Holm-Bonferroni)."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.7, 0.9, None]) == [1.0, 1.0, None]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holms_correction_is_that_of_statsmodels(p_values):
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    _, expected, _, _ = multitest.multipletests(p_values, method="holm")
    assert holm(p_values) == pytest.approx(list(expected))
