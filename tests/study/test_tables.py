"""The tables: the paper's rows and figures, cross-validation, and the steps of the ablation."""

from itertools import pairwise

import pytest

from pairnet.errors import ArgumentError
from pairnet.models import paper
from pairnet.models.variants import check, find_variant
from pairnet.study.tables import PAPER, plan, studies


def test_tables_hold_the_papers_rows_and_figures():
    tables = studies()
    assert {row.label: row.paper for row in tables["1"].rows} == paper.TABLE_I
    assert [row.paper for row in tables["2"].rows] == list(paper.TABLE_II.values())
    assert {row.label: row.paper for row in tables["3"].rows if row.paper} == paper.TABLE_III
    assert [row.label for row in tables["3"].rows if not row.paper] == ["a_w_net_bn", "final_model_bn"]
    assert [name for name, study in tables.items() if study.cross_validated] == ["2", "dropout"]


def test_plans_count_draws_folds_and_settings():
    tables = studies()
    assert len(plan(tables["3"])) == 80
    assert len(plan(tables["2"], draws=3)) == 5 * 3 * 4
    ratios = {run.recipe.loss_ratio for run in plan(tables["2"])}
    assert ratios == set(paper.TABLE_II)
    assert {run.recipe.epochs for run in plan(tables["1"], epochs=3)} == {3}
    assert "D(0.2)" in {run.label: run for run in plan(tables["dropout"])}["final_model, dropout 0.2"].variant.tower
    assert {(run.pairs, run.tested) for run in plan(tables["1"], pairs=50, test_pairs=40)} == {(50, 40)}
    with pytest.raises(ArgumentError, match=r"`draws` in 1\.\.10,000, got 0"):
        plan(tables["1"], draws=0)


def test_all_means_the_papers_tables():
    assert PAPER == ("1", "2", "3", "dropout")
    assert set(PAPER) < set(studies())


def test_the_ablation_goes_from_final_model_to_order_net():
    rows = studies()["ablation"].rows
    assert rows[0].variant == find_variant("final_model")
    assert rows[-1].variant == find_variant("order_net")
    for row in rows:
        check(row.variant)


def test_each_step_of_the_ablation_changes_the_structure_or_the_recipe_and_not_both():
    rows = studies()["ablation"].rows[1:]
    for before, after in pairwise(rows):
        structure = before.variant.tower != after.variant.tower
        assert structure != (before.variant.recipe != after.variant.recipe), after.label


@pytest.mark.parametrize("name", studies())
def test_labels_are_unique_and_every_row_fits(name):
    rows = studies()[name].rows
    assert len({row.label for row in rows}) == len(rows)
    for row in rows:
        check(row.variant)
