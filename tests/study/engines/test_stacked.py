"""Grouping of a table's runs for the stacked engine."""

from pairnet.models.variants import find_variant
from pairnet.study.engines.stacked import groups
from pairnet.study.runs import with_dropout
from pairnet.study.tables import plan, studies


def test_runs_of_one_variant_form_one_group():
    tables = studies()
    assert [len(group) for group in groups(plan(tables["3"], repeats=10))] == [10] * 8
    assert [len(group) for group in groups(plan(tables["2"], repeats=2))] == [2 * 4 * len(tables["2"].rows)]
    dropouts = groups(plan(tables["dropout"], repeats=1))
    assert [len(group) for group in dropouts] == [4] * 6
    assert dropouts[0][0].variant == with_dropout(find_variant("final_model"), 0.0)
