"""Comparison of two rows: paired over common draws, by hand arithmetic and a published example."""

import math

import pytest
from record_examples import record

from pairnet.errors import RecordError
from pairnet.reporting.comparison import compare


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
