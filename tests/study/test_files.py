"""Study files: rows, settings and grids are expanded; each mistake is one line with the key's path and a remedy."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from record_examples import IMAGES

from pairnet.errors import ArgumentError, NotationError
from pairnet.models import paper
from pairnet.models.recipes import Warp
from pairnet.models.variants import find_variant
from pairnet.study.files import read_study
from pairnet.study.kept import KEPT, keep_file, kept_studies
from pairnet.study.plan import Chosen, plan
from pairnet.study.tables import NAMES

EXAMPLE = """
title = "Optimiser and learning rate"
draws = 10
[variants.mine]
tower = "conv(1,16,3) BN P(2) conv(16,32,3) BN P(2)"
head = "fc(576,1)"
[[rows]]
variant = "final_model"
grid = { optimiser = ["adam", "adamw", "sgd"], learning_rate = [1e-4, 3e-4, 1e-3, 3e-3] }
[[rows]]
variant = "mine"
label = "mine, 50 epochs"
set = { epochs = 50 }
"""


@pytest.fixture
def read(tmp_path):
    def study(text):
        path = tmp_path / "my.toml"
        path.write_text(text)
        return read_study(path)

    return study


def test_the_example_has_thirteen_rows_of_ten_draws(read):
    study = read(EXAMPLE)
    assert (study.name, study.title, study.draws, len(study.rows)) == ("my", "Optimiser and learning rate", 10, 13)
    assert len(plan(study, IMAGES, draws=study.draws)) == 130
    assert [row.label for row in study.rows[:2]] == [
        "final_model, optimiser adam, learning rate 0.0001",
        "final_model, optimiser adam, learning rate 0.0003",
    ]
    recipes = {(row.variant.recipe.optimiser, row.variant.recipe.learning_rate) for row in study.rows[:12]}
    assert recipes == {(o, rate) for o in ("adam", "adamw", "sgd") for rate in (1e-4, 3e-4, 1e-3, 3e-3)}
    assert (study.rows[-1].variant.name, study.rows[-1].variant.recipe.epochs) == ("mine", 50)


def test_everything_can_be_set(read):
    study = read("""
        folds = 3
        pairs = 200
        data = "glyphs:1000"
        [[rows]]
        variant = "final_model"
        [rows.set]
        epochs = 3
        batch = 10
        loss_ratio = 2
        weight_decay = 0.1
        momentum = 0.5
        betas = [0.8, 0.9]
        schedule = "linear"
        warm_up = 0.1
        warp = { elastic = 0.3 }
        dropout = 0.2
        activation = "tanh"
        pairs = 90
        test_pairs = 40
        folds = 2
        data = "glyphs:500"
    """)
    (row,) = study.rows
    recipe = row.variant.recipe
    assert (recipe.epochs, recipe.batch, recipe.loss_ratio, recipe.schedule) == (3, 10, 2.0, "linear")
    assert (recipe.betas, recipe.warp, recipe.momentum) == ((0.8, 0.9), Warp(elastic=0.3), 0.5)
    assert ("D(0.2)" in row.variant.tower, row.variant.activation) == (True, "tanh")
    assert (row.pairs, row.test_pairs, row.folds, row.data) == (90, 40, 2, "glyphs:500")
    assert (study.cross_validated, study.folds, study.pairs, study.data) == (True, 3, 200, "glyphs:1000")
    assert study.sources == ("glyphs:500",)
    runs = plan(study, IMAGES, draws=2, pairs=200, source="glyphs:500")
    assert [(run.seed, run.fold, run.folds, run.pairs, run.tested) for run in runs] == [
        (seed, fold, 2, 90, 40) for seed in range(2) for fold in range(2)
    ]
    assert plan(study, IMAGES, draws=2, pairs=200) == []  # no row is on the study's own images


def test_grids_are_products_of_all_kinds_of_settings(read):
    study = read("""
        [[rows]]
        variant = "final_model"
        label = "final"
        grid = { dropout = [0, 0.5], warp = [false, { rotation = 5 }], pairs = [100, 1000], recalibrate = [true] }
    """)
    assert len(study.rows) == 8
    assert study.rows[0].label == "final, dropout 0, warp none, pairs 100, recalibrate on"
    assert study.rows[-1].label.startswith("final, dropout 0.5, warp rotation 5, scale 0.12")
    assert [row.pairs for row in study.rows[:2]] == [100, 1000]


def test_rows_of_another_activation_are_other_rows(read):
    row = '[[rows]]\nvariant = "fc_1"\n'
    one, two = (read(f'{row}set = {{ activation = "{each}" }}') for each in ("relu", "none"))
    assert one.digest != two.digest
    assert one.rows[0].variant == find_variant("fc_1")
    grid = read(f'{row}grid = {{ activation = ["relu", "none"] }}')
    assert [row.label for row in grid.rows] == ["fc_1, activation relu", "fc_1, activation none"]


def test_figures_of_the_paper_are_looked_up_and_not_repeated(read):
    study = read("""
        [reasons.known]
        text = "it is known"
        row = "a_w_net, loss ratio 0.5"
        explains = "lower"
        [[rows]]
        variant = "w_net"
        paper = "III"
        reason = "known"
        parameters = 142657
        [[rows]]
        variant = "a_w_net"
        grid = { loss_ratio = [2, 0.5] }
        paper = "II"
    """)
    assert [row.paper for row in study.rows] == [
        paper.TABLE_III["w_net"],
        paper.TABLE_II[2.0],
        paper.TABLE_II[0.5],
    ]
    assert study.rows[0].reason.text == "it is known"
    assert study.rows[0].reason.row == "a_w_net, loss ratio 0.5"
    for name in NAMES:  # no figure is typed into the tables of the package
        text = (Path(find_variant.__code__.co_filename).parents[1] / "study" / "tables" / f"{name}.toml").read_text()
        assert not re.search(r"mean|std =", text)


ROW = '[[rows]]\nvariant = "final_model"\n'


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("x = [", ["expected a TOML file", "end of document"]),
        ("a\n", ["expected a TOML file", "line 1"]),
        ("", ["expected a [[rows]] table, got none"]),
        ("rows = 3", ["expected a [[rows]] table, got none"]),
        ("rows = [3]", ["row 1: expected a table, got 3"]),
        (ROW + "drws = 3", ["row 1.drws: expected a known key: remove it; the keys are variant"]),
        ("drws = 3\n" + ROW, ["study.drws: expected a known key: did you mean draws?"]),
        ("draws = 0\n" + ROW, ["draws: expected 1 to 10,000, got 0"]),
        ("draws = 'x'\n" + ROW, ["draws: expected an integer, got 'x'"]),
        ("folds = 1\n" + ROW, ["folds: expected at least 2, got 1"]),
        ("title = ''\n" + ROW, ["title: expected one line of text, got ''"]),
        ("[[rows]]\nlabel = 'a'", ["row 1.variant: expected the name of a variant, got none"]),
        ("[[rows]]\nvariant = 'final_modl'", ["row 1.variant", "got 'final_modl': did you mean final_model?"]),
        ("[[rows]]\nvariant = 3", ["row 1.variant: expected a string, got 3"]),
        (ROW + "grid = {}", ["row 1.grid: expected lists of settings, got {}"]),
        (ROW + "grid = 3", ["row 1.grid: expected lists of settings, got 3"]),
        (ROW + "grid = { epochs = [] }", ["row 1.grid.epochs: expected a list of values, got []"]),
        (ROW + "grid = { epochs = 3 }", ["row 1.grid.epochs: expected a list of values, got 3"]),
        (ROW + "grid = { epoch = [3] }", ["row 1.grid.epoch: expected a known key: did you mean epochs?"]),
        (ROW + "grid = { epochs = [3, 'x'] }", ["row 1.grid.epochs[1]", "expected an integer, got 'x'"]),
        (ROW + "grid = { epochs = [3, 0] }", ["row 1.grid.epochs[1]", "expected epochs to be at least 1, got 0"]),
        (ROW + "grid = { epochs = [3, 3] }", ["row 1.grid.epochs: expected different values, got 3 twice: remove one"]),
        ("[reasons.a]\nexplains = 'x'\n" + ROW, ["reasons.a"]),
        ("pairs = 0\n" + ROW, ["pairs: expected at least 1, got 0"]),
        ("test_pairs = 0\n" + ROW, ["test_pairs: expected at least 1, got 0"]),
        (ROW + "set = { epochs = 2 }\ngrid = { epochs = [3] }", ["row 1.grid.epochs", "remove one"]),
        (ROW + "set = { dropout = 2 }", ["row 1: D(2): expected a probability in [0, 1), got 2"]),
        (ROW + "set = { warp = { elastc = 1 } }", ["row 1.set.warp.elastc", "did you mean elastic?"]),
        (ROW + "set = { optimiser = 'sdg' }", ["row 1.set.optimiser: expected one of adam, adamw, sgd, got 'sdg'"]),
        (ROW + "set = { activation = 'elu' }", ["row 1.set.activation: expected one of relu, none, sigmoid, tanh"]),
        (ROW + "grid = { activation = ['none', 3] }", ["row 1.grid.activation[1]", "expected a string, got 3"]),
        (ROW + "set = { pairs = 0 }", ["row 1.set.pairs: expected at least 1, got 0"]),
        (ROW + "paper = 'IV'", ["row 1.paper: expected I, II or III"]),
        (ROW + "paper = 'I'", ["row 1.paper: expected a row that the paper's table I prints", "got final_model"]),
        (ROW + "reason = 'x'", ["row 1.reason: expected the name of a reason, got 'x': define it"]),
        (ROW + "parameters = 5", ["row 1.parameters: expected 5 as stated, got 155,275"]),
        (ROW + ROW, ['got two rows "final_model": give one a `label`']),
        ("[[rows]]\nvariant = 'w_net'\nset = { dropout = 0.1 }", ["row 1: w_net has no dropout to set"]),
        ("[reasons]\nx = 3\n" + ROW, ["reasons.x: expected"]),
        ("[reasons.x]\ntext = 'a'\nrow = 'final'\n" + ROW, ["reasons.x.row: expected the name of a row, got 'final'"]),
        ("[reasons.x]\ntext = 'a'\nexplain = 'lower'\n" + ROW, ["reasons.x.explain", "did you mean explains?"]),
        ("[variants.a]\nnet = 'fc(391,1)'\n" + ROW, ["a: fc(391,1): expected 391 inputs, got 392"]),
        ("[variants.a]\nnet = 'fcc(392,1)'\n" + ROW, ['got "fcc(392,1)": correct it']),
        (
            ROW + "grid = { epochs = [" + "1," * 200 + "], batch = [" + "1," * 200 + "] }",
            ["at most 10,000 combinations"],
        ),
    ],
)
def test_mistakes_name_the_place_and_the_remedy(read, text, parts):
    with pytest.raises((ArgumentError, NotationError)) as error:
        read(text)
    message = str(error.value)
    assert "my.toml" in message
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_a_file_is_kept_with_its_runs(tmp_path):
    path = tmp_path / "my.toml"
    path.write_text(EXAMPLE)
    keep_file(read_study(path), tmp_path / "runs")
    keep_file(read_study(path), tmp_path / "runs")
    assert [study.title for study in kept_studies(tmp_path / "runs")] == ["Optimiser and learning rate"]
    (tmp_path / "runs" / KEPT / "bad.toml").write_text("x = [")
    with pytest.warns(UserWarning, match=r"skipped .*bad\.toml"):
        assert len(kept_studies(tmp_path / "runs")) == 1
    assert kept_studies(tmp_path / "nowhere") == []


ONE, TWO = '[[rows]]\nvariant = "w_net"\n', '[[rows]]\nvariant = "a_net"\n'


def test_what_rows_are_compared_with_is_a_row_or_a_word(read):
    for chosen in ("a_net", "row above", "nothing"):
        assert read(f'compare = "{chosen}"\n{ONE}{TWO}').compare == chosen
    with pytest.raises(ArgumentError, match=r"my.toml: compare: .* got 'a_nett': did you mean a_net\?"):
        read(f'compare = "a_nett"\n{ONE}{TWO}')


def test_folds_are_those_of_the_row(read):
    study = read(f"folds = 3\n{ONE}{TWO}set = {{ folds = 2 }}\n")
    assert study.cross_validated
    folds = {run.label: run.folds for run in plan(study, IMAGES, draws=1)}
    assert folds == {"w_net": 3, "a_net": 2}
    assert {run.label: run.folds for run in plan(study, IMAGES, draws=1, folds=5)} == {"w_net": 5, "a_net": 2}


def kept(tmp_path, *texts, name="my"):
    """The rows of the studies that are kept after files of one name with these texts, one after the other."""
    path, runs = tmp_path / f"{name}.toml", tmp_path / "runs"
    for text in texts:
        path.write_text(text)
        keep_file(read_study(path), runs)
    return [[row.label for row in study.rows] for study in kept_studies(runs)]


def test_two_different_studies_of_one_name_are_both_kept(tmp_path):
    assert sorted(kept(tmp_path, ONE, TWO)) == [["a_net"], ["w_net"]]
    assert {study.name for study in kept_studies(tmp_path / "runs")} == {"my"}
    assert sorted(kept(tmp_path, ONE, TWO, ONE)) == [["a_net"], ["w_net"]]


@pytest.mark.parametrize("change", ['title = "another"\n', "draws = 3\n", 'compare = "nothing"\n', "# a comment\n"])
def test_a_study_that_measures_the_same_replaces_its_file(tmp_path, change):
    assert kept(tmp_path, ONE, change + ONE) == [["w_net"]]
    assert (tmp_path / "runs" / KEPT / "my.toml").read_text() == change + ONE


def test_a_study_with_more_rows_stands_for_its_earlier_state_which_is_kept(tmp_path):
    assert kept(tmp_path, ONE, ONE + TWO) == [["w_net", "a_net"]]
    assert len(list((tmp_path / "runs" / KEPT).iterdir())) == 2


def test_a_study_is_not_hidden_by_another_with_the_same_rows(tmp_path):
    kept(tmp_path, ONE)
    assert kept(tmp_path, ONE, name="other") == [["w_net"], ["w_net"]]


@pytest.mark.parametrize(
    "change",
    [
        "pairs = 20\n",
        "test_pairs = 20\n",
        "folds = 2\n",
        'data = "glyphs"\n',
        "",
        "set = { epochs = 3 }\n",
        'label = "mine"\n',
    ],
)
def test_what_a_study_measures_is_part_of_what_it_is(read, change):
    changed = ONE + change if change.startswith(("set", "label")) else change + ONE
    assert (read(changed).digest == read(ONE).digest) == (change == "")


def test_a_plan_of_too_many_runs_is_refused_before_it_is_made(read):
    with pytest.raises(ArgumentError, match=r"expected at most 1,000,000 runs, got 9,000,000,000: use fewer rows"):
        plan(read(f"{ONE}set = {{ folds = 900000000 }}\n"), IMAGES)


def test_the_example_in_the_documents_is_the_study_whose_results_they_show():
    study = read_study(Path(__file__).parents[2] / "docs" / "learning-rates.toml")
    assert len(study.rows) == 21
    assert len(plan(study, IMAGES, draws=study.draws)) == 168
    results = (Path(__file__).parents[2] / "docs" / "results.md").read_text()
    assert all(f"| {row.label} |" in results for row in study.rows)


def chosen(**changes):
    usual = {"data": "glyphs:20:0", "checksum": "c", "pairs": 10, "test_pairs": 9}
    return Chosen(**{**usual, **changes})


def test_the_kept_file_says_what_was_chosen_and_is_read_as_it_was_run(tmp_path):
    path, runs = tmp_path / "my.toml", tmp_path / "runs"
    path.write_text("\ufeff" + ONE, encoding="utf-8")
    for data in ("glyphs:20:0", 'idx:/home/me/em\U0001f600\x7f " x'):
        study = replace(read_study(path), chosen=(chosen(data=data, checksum=data),))
        assert keep_file(study, runs)
        assert not keep_file(study, runs)
        assert study in [replace(kept, file=None) for kept in kept_studies(runs)]
    again = kept_studies(runs)[0]
    assert not keep_file(again, runs)  # the copy itself is run


def test_a_file_that_an_earlier_version_kept_is_replaced_by_what_was_chosen(tmp_path):
    path, runs = tmp_path / "my.toml", tmp_path / "runs"
    path.write_text(ONE)
    keep_file(read_study(path), runs)
    keep_file(replace(read_study(path), chosen=(chosen(),)), runs)
    (kept,) = kept_studies(runs)
    assert kept.chosen == (chosen(),)
    keep_file(replace(read_study(path), chosen=(chosen(pairs=4),)), runs)
    assert sorted(study.chosen[0].pairs for study in kept_studies(runs)) == [4, 10]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ('data = "x"\nchecksum = "c"\npairs = -3\ntest_pairs = 1\n', "as_run"),
        ('data = "x"\nchecksum = ""\npairs = 3\ntest_pairs = 1\n', "as_run"),
        ('rows = "zz"\ndata = "x"\nchecksum = "c"\npairs = 3\ntest_pairs = 1\n', "one for each source of images"),
    ],
)
def test_what_was_chosen_is_checked_when_it_is_read(tmp_path, table, reason):
    path = tmp_path / "my.toml"
    path.write_text(f"{ONE}[[as_run]]\n{table}")
    with pytest.raises(ArgumentError, match=reason):
        read_study(path)


def test_as_run_in_a_file_of_ones_own_is_refused_and_nothing_is_kept(tmp_path):
    path = tmp_path / "my.toml"
    path.write_text(f'{ONE}[[as_run]]\ndata = "x"\nchecksum = "c"\npairs = 3\ntest_pairs = 1\n')
    with pytest.raises(ArgumentError, match="which pairnet adds to its copies"):
        keep_file(replace(read_study(path), chosen=(chosen(),)), tmp_path / "runs")
    assert list((tmp_path / "runs" / KEPT).iterdir()) == []


def test_pairs_for_testing_are_no_part_of_a_cross_validated_study(tmp_path):
    path = tmp_path / "my.toml"
    path.write_text(f"folds = 2\n{ONE}")
    study = read_study(path)
    assert replace(study, chosen=(chosen(),)).digest == replace(study, chosen=(chosen(test_pairs=2),)).digest
    assert replace(study, chosen=(chosen(),)).digest != replace(study, chosen=(chosen(checksum="d"),)).digest
