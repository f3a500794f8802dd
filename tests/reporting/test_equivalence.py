"""Verdicts: planted truths get the right ones, the test agrees with its intervals, and with an independent one."""

import random
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairnet.errors import ArgumentError
from pairnet.models.paper import Printed
from pairnet.reporting.cells import undecided_text
from pairnet.reporting.equivalence import MOST_DRAWS, judge

PAPER = Printed(mean=0.98, std=0.005)  # above the binomial floor, 0.0044

sides = st.tuples(
    st.floats(0.86, 0.94), st.floats(0.0, 0.03), st.integers(2, 60), st.floats(0.001, 0.03), st.floats(0.005, 0.03)
)


def draws(mean, std, count, seed=0):
    """Accuracies with exactly this mean and deviation."""
    generator = random.Random(seed)
    values = [generator.gauss(0, 1) for _ in range(count)]
    centre, spread = statistics.fmean(values), statistics.stdev(values)
    return [mean + std * (value - centre) / spread for value in values]


def verdict(mean, std, count, paper=PAPER):
    return judge(mean=mean, std=std, draws=count, paper=paper)


def test_a_known_null_is_replicated():
    assert verdict(0.981, 0.007, 10).name == "replicated"


def test_a_known_effect_differs():
    found = verdict(0.95, 0.007, 10)
    assert (found.name, found.needed) == ("differs", None)
    assert found.high < 0


def test_too_few_draws_are_undecided_and_the_number_that_decides_does():
    found = verdict(0.973, 0.012, 3)
    assert found.name == "undecided"
    assert found.needed is not None
    assert 3 < found.needed < 100
    assert undecided_text(found) == f"{found.needed} draws like these would decide, roughly"
    assert verdict(0.973, 0.012, found.needed).name != "undecided"
    assert verdict(0.973, 0.012, found.needed - 1).name == "undecided"


def test_a_wide_spread_agrees_with_nothing():
    """Within two standard deviations, as a wide spread always is, and yet nothing is shown."""
    found = verdict(0.96, 0.05, 10)
    assert abs(found.difference) < 2 * 0.05
    assert found.name == "undecided"


def test_no_number_of_draws_decides_if_the_papers_own_error_is_too_large():
    found = verdict(0.91, 0.01, 10, paper=Printed(mean=0.9, std=0.03))
    assert (found.name, found.needed, found.never) == ("undecided", None, True)
    assert "the paper's own standard error is too large" in undecided_text(found)
    assert verdict(0.91, 0.01, MOST_DRAWS, paper=Printed(mean=0.9, std=0.03)).name == "undecided"


def test_more_draws_than_are_counted():
    found = judge(mean=0.9851, std=0.9, draws=10, paper=Printed(mean=1.0, std=0.00001))
    assert (found.needed, found.never) == (None, False)
    assert undecided_text(found).startswith(f"more than {MOST_DRAWS:,} draws")


def test_a_single_draw_has_no_verdict():
    with pytest.raises(ArgumentError, match="expected at least 2 `draws`"):
        judge(mean=0.9, std=0.0, draws=1, paper=PAPER)


@pytest.mark.parametrize("margin", [0, -0.01, float("nan"), float("inf")])
def test_a_margin_that_is_none_is_refused(margin):
    with pytest.raises(ArgumentError, match="expected `margin` above 0"):
        judge(mean=0.9, std=0.01, draws=10, paper=PAPER, margin=margin)


@given(sides)
def test_each_reading_rejects_exactly_where_its_interval_lies_inside_the_margin(side):
    mean, std, count, paper_std, margin = side
    found = judge(mean=mean, std=std, draws=count, paper=Printed(mean=0.9, std=paper_std), margin=margin)
    for each in found.readings:
        assert each.low <= each.low90 <= found.difference <= each.high90 <= each.high
        if abs(each.p_value - 0.05) > 1e-6:
            assert (each.p_value < 0.05) == (-margin < each.low90 and each.high90 < margin)
        replicated = each.name == "replicated"
        assert replicated == (each.p_value < 0.05)
        assert (each.name == "differs") == (not replicated and not each.low <= 0 <= each.high)


@given(sides)
def test_the_verdict_is_what_all_readings_agree_on(side):
    mean, std, count, paper_std, margin = side
    found = judge(mean=mean, std=std, draws=count, paper=Printed(mean=0.9, std=paper_std), margin=margin)
    names = [each.name for each in found.readings]
    assert [each.reading for each in found.readings] == ["as printed", "binomial floor", "one test set"]
    assert found.name == (names[0] if len(set(names)) == 1 else "undecided")
    assert (found.low, found.high) == (found.readings[0].low, found.readings[0].high)
    if found.needed is not None:
        more = judge(mean=mean, std=std, draws=found.needed, paper=Printed(mean=0.9, std=paper_std), margin=margin)
        assert more.name != "undecided"


@given(sides)
def test_statsmodels_has_the_same_p_values_of_ten_independent_tests(side):
    weightstats = pytest.importorskip("statsmodels.stats.weightstats")
    mean, _, count, paper_std, margin = side
    found = judge(mean=mean, std=0.01, draws=count, paper=Printed(mean=0.9, std=paper_std), margin=margin)
    for each, spread in zip(found.readings, (paper_std, max(paper_std, (0.9 * 0.1 / 1000) ** 0.5)), strict=False):
        ours, theirs = draws(mean, 0.01, count), draws(0.9, spread, 10, seed=1)
        expected, _, _ = weightstats.ttost_ind(np.array(ours), np.array(theirs), -margin, margin, usevar="unequal")
        assert each.p_value == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_a_spread_below_the_floor_decides_only_as_printed():
    """fc_3 of the paper: its ± .003 is a quarter of what 1,000 pairs allow."""
    found = judge(mean=0.821, std=0.011, draws=10, paper=Printed(mean=0.811, std=0.003))
    assert [each.name for each in found.readings] == ["differs", "undecided", "undecided"]
    assert found.name == "undecided"
    assert undecided_text(found).endswith("the paper's own standard error may be too large")
