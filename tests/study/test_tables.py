"""The tables: the paper's rows and figures, cross-validation, and the steps of the ablation."""

import hashlib
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from record_examples import IMAGES

from pairnet.errors import ArgumentError
from pairnet.models import paper
from pairnet.models.variants import find_variant
from pairnet.study.plan import plan
from pairnet.study.tables import PAPER, studies


def test_tables_hold_the_papers_rows_and_figures():
    tables = studies()
    assert {row.label: row.paper for row in tables["1"].rows} == paper.TABLE_I
    assert [row.paper for row in tables["2"].rows] == list(paper.TABLE_II.values())
    assert {row.label: row.paper for row in tables["3"].rows if row.paper} == paper.TABLE_III
    assert [row.label for row in tables["3"].rows if not row.paper] == ["a_w_net_bn", "final_model_bn"]
    assert [name for name, study in tables.items() if study.cross_validated] == ["dropout", "2-folds"]


def test_table_two_is_of_test_pairs_and_the_one_of_folds_has_the_same_networks():
    tables = studies()
    assert paper.TABLE_II[0.5] == paper.TABLE_III["a_w_net"]  # to the last digit: one measurement, so on test pairs
    tested, folded = ({row.variant for row in tables[name].rows} for name in ("2", "2-folds"))
    assert tested == folded
    (shared,) = [run for run in plan(tables["2"], IMAGES, draws=1) if run.recipe.loss_ratio == 0.5]
    assert shared.fingerprint in {run.fingerprint for run in plan(tables["3"], IMAGES, draws=1)}


def test_a_reason_names_the_row_that_is_its_evidence():
    for study in studies().values():
        labels = {row.label for row in study.rows}
        assert all(row.reason.row in labels - {row.label} for row in study.rows if row.reason)


def test_plans_count_draws_folds_and_settings():
    tables = studies()
    assert len(plan(tables["3"], IMAGES)) == 80
    assert len(plan(tables["2"], IMAGES, draws=3)) == 5 * 3
    assert len(plan(tables["2-folds"], IMAGES, draws=3)) == 5 * 3 * 4
    ratios = {run.recipe.loss_ratio for run in plan(tables["2"], IMAGES)}
    assert ratios == set(paper.TABLE_II)
    assert {run.recipe.epochs for run in plan(tables["1"], IMAGES, epochs=3)} == {3}
    assert (
        "D(0.2)"
        in {run.label: run for run in plan(tables["dropout"], IMAGES)}["final_model, dropout 0.2"].variant.tower
    )
    assert {(run.pairs, run.tested) for run in plan(tables["1"], IMAGES, pairs=50, test_pairs=40)} == {(50, 40)}
    assert {run.measurements for run in plan(tables["1"], IMAGES)} == {5}
    assert {run.measurements for run in plan(tables["1"], IMAGES, measurements=2)} == {2}
    for run in plan(tables["ablation"], IMAGES, measurements=None):  # of rows with unlike numbers of epochs
        assert run.measurements == run.recipe.epochs
    with pytest.raises(ArgumentError, match=r"`draws` in 1\.\.10,000, got 0"):
        plan(tables["1"], IMAGES, draws=0)


@pytest.mark.parametrize("name", ["2-folds", "3"])
def test_a_plan_goes_draw_after_draw_through_all_rows_and_folds(name):
    study = studies()[name]
    folds = range(4) if study.cross_validated else [None]
    assert [(run.seed, run.name, run.fold) for run in plan(study, IMAGES, draws=3)] == [
        (seed, row.label, fold) for seed in range(3) for row in study.rows for fold in folds
    ]


def test_all_means_the_papers_tables():
    assert PAPER == ("1", "2", "3", "dropout")
    assert set(PAPER) < set(studies())


def test_the_ablation_goes_from_final_model_to_order_net():
    rows = studies()["ablation"].rows
    assert rows[0].variant == find_variant("final_model")
    assert rows[-1].variant == find_variant("order_net")


def test_each_step_of_the_ablation_changes_the_structure_or_the_recipe_and_not_both():
    rows = studies()["ablation"].rows[1:]
    for before, after in pairwise(rows):
        structure = before.variant.tower != after.variant.tower
        assert structure != (before.variant.recipe != after.variant.recipe), after.label


def frozen():
    """The rows of all tables and a digest of the runs of each: those of table 2 since it is one of test pairs, the
    others as they were before the tables became files (those of 2-folds were in table 2).
    """
    return [json.loads(line) for line in Path(__file__).with_name("tables_frozen.jsonl").read_text().splitlines()]


def identity(run):
    return replace(run, images=replace(IMAGES, checksum="frozen")).fingerprint


def test_the_tables_plan_the_runs_that_they_planned_before_they_became_files():
    expected = frozen()
    found = []
    for name, study in studies().items():
        runs = plan(study, IMAGES)
        for row in study.rows:
            own = [identity(run) for run in runs if run.label == row.label]
            found.append(
                {
                    "table": name,
                    "label": row.label,
                    "variant": row.variant.name,
                    "structure": row.variant.structure,
                    "recipe": row.variant.recipe.identity(),
                    "paper": None if row.paper is None else [row.paper.mean, row.paper.std],
                    "goal": row.goal,
                    "runs": len(own),
                    "fingerprints": hashlib.sha256("".join(sorted(own)).encode()).hexdigest()[:16],
                }
            )
    for row in (*expected, *found):  # the first steps of the ablation have names of their own now
        if row["variant"].startswith("order_head") or row["label"].startswith("+ "):
            row["variant"] = "a step"
    assert found == expected
