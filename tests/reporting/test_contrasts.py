"""Contrasts computed: against SciPy and a linear model, for rows that share their draws or not; verdicts and files."""

import csv
import html
import io
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from failed_examples import failed
from hypothesis import given
from hypothesis import strategies as st
from record_examples import record
from reporting.studies import MNIST, rows
from rich.console import Console
from scipy import stats

from pairnet.errors import RecordError
from pairnet.records.record import FailedRun
from pairnet.records.seeds import Seeds
from pairnet.reporting.comparison import compare_draws, compare_sides, groups_of, holm
from pairnet.reporting.documents import blocks_in, blocks_of, fill_blocks
from pairnet.reporting.drawings import drawings
from pairnet.reporting.effect_text import counts_text, missing_text, p_text, verdict_text
from pairnet.reporting.effects import corrected, effect_of, families_of, with_goals
from pairnet.reporting.files import summary_of, write_report
from pairnet.reporting.generality import general_of
from pairnet.reporting.markdown import markdown_effects
from pairnet.reporting.report import gather
from pairnet.reporting.results import write_lines
from pairnet.reporting.selection import choose
from pairnet.reporting.summaries import summarise
from pairnet.reporting.terminal import effects_table
from pairnet.study.contrasts import Contrast, margin_note
from pairnet.study.files import read_study
from pairnet.study.levels import Levels, levels_of

OTHER = replace(MNIST, name="glyphs", source="glyphs", origin="glyphs", checksum="e" * 64)
PLACES = {"a": MNIST, "b": MNIST, "c": OTHER, "d": OTHER}
LABELS = tuple(PLACES)
SHARED = dict.fromkeys(LABELS, "these images")
APART = {"a": 1, "b": 1, "c": 2, "d": 2}
DIFFERENCES = ((("a", 1.0), ("b", -1.0)), (("c", 1.0), ("d", -1.0)))


def accuracies(seed, draws=9, labels=LABELS):
    """Accuracies with what all rows of a draw have in common, and a noise of each."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 0.01, draws)
    return {label: rng.uniform(0.8, 0.9) + common + rng.normal(0, 0.005, draws) for label in labels}


def numbered(values, first=0):
    """Accuracies as draws by their numbers."""
    return {label: {(first + at,): float(each) for at, each in enumerate(own)} for label, own in values.items()}


# The tests, against SciPy


@pytest.mark.parametrize("seed", range(5))
def test_two_rows_on_the_same_images_are_a_paired_test(seed):
    values = accuracies(seed)
    found = compare_sides((("a", 1.0),), (("b", 1.0),), numbered(values), SHARED)
    test = stats.ttest_rel(values["a"], values["b"])
    assert (found.p_value, found.groups, found.paired) == (pytest.approx(test.pvalue), (9,), True)
    assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert found == compare_draws(numbered(values)["a"], numbered(values)["b"])


@pytest.mark.parametrize("seed", range(5))
def test_two_rows_on_other_images_are_welchs_test(seed):
    values = accuracies(seed)
    draws = numbered(values)
    del draws["c"][8,]
    found = compare_sides((("a", 1.0),), (("c", 1.0),), draws, APART)
    test = stats.ttest_ind(values["a"], values["c"][:8], equal_var=False)
    assert (found.p_value, found.groups, found.paired) == (pytest.approx(test.pvalue), (9, 8), False)
    assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert found.freedom == pytest.approx(test.df)
    assert (found.wilcoxon, found.better, found.equal) == (None, None, None)


def test_rows_without_common_draws_are_welchs_test():
    values = accuracies(7)
    draws = {**numbered({"a": values["a"]}), **numbered({"b": values["b"]}, first=100)}
    found = compare_sides((("a", 1.0),), (("b", 1.0),), draws, SHARED)
    assert found.p_value == pytest.approx(stats.ttest_ind(values["a"], values["b"], equal_var=False).pvalue)
    assert found.groups == (9, 9)


@pytest.mark.parametrize("seed", range(5))
def test_a_difference_of_differences_is_the_interaction_of_a_linear_model(seed):
    """Accuracy ~ draw + sharing + auxiliary + sharing:auxiliary; its error from the interaction of each draw."""
    values = accuracies(seed)
    found = compare_sides(*DIFFERENCES, numbered(values), SHARED)
    interaction = values["a"] - values["b"] - values["c"] + values["d"]
    design = np.array([(1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 0)], float)  # sharing, auxiliary, both; of a, c, b, d
    outcome = np.concatenate([values[label] for label in "acbd"])
    effects = np.repeat(design, 9, axis=0)
    matrix = np.column_stack([effects, np.tile(np.eye(9), (4, 1))])
    fitted = np.linalg.lstsq(matrix, outcome, rcond=None)[0]
    assert found.difference == pytest.approx(fitted[2])
    test = stats.ttest_1samp(interaction, 0)
    assert (found.p_value, found.freedom) == (pytest.approx(test.pvalue), 8)
    assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval(0.95)))


@pytest.mark.parametrize("seed", range(5))
def test_a_difference_of_differences_on_other_images_is_welchs_test_of_the_differences(seed):
    values = accuracies(seed)
    found = compare_sides(*DIFFERENCES, numbered(values), APART)
    test = stats.ttest_ind(values["a"] - values["b"], values["c"] - values["d"], equal_var=False)
    assert (found.p_value, found.freedom) == (pytest.approx(test.pvalue), pytest.approx(test.df))
    assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert found.groups == (9, 9)


@given(
    st.lists(st.floats(-3, 3), min_size=4, max_size=4),
    st.integers(0, 1000),
    st.lists(st.integers(0, 3), min_size=4, max_size=4),
)
def test_any_linear_combination_is_that_of_satterthwaite(weights, seed, places):
    """The definition, group by group: the sum of means, of their variances, and the degrees of freedom."""
    values = accuracies(seed, draws=5)
    side = tuple(zip(LABELS, weights, strict=True))
    found = compare_sides(side, (), numbered(values), dict(zip(LABELS, places, strict=True)))
    sums = [sum(w * values[label] for (label, w), at in zip(side, places, strict=True) if at == place)
            for place in dict.fromkeys(places)]  # fmt: skip
    parts = [each.var(ddof=1) / 5 for each in sums]
    assert found.difference == pytest.approx(sum(each.mean() for each in sums), abs=1e-9)
    if sum(parts) < 1e-16:
        return
    freedom = sum(parts) ** 2 / sum(part**2 / 4 for part in parts)
    error = np.sqrt(sum(parts))
    assert found.p_value == pytest.approx(2 * stats.t.sf(abs(found.difference / error), freedom), rel=1e-3, abs=1e-9)
    half = stats.t.ppf(0.975, freedom) * error
    assert (found.low, found.high) == (
        pytest.approx(found.difference - half, abs=1e-7),
        pytest.approx(found.difference + half, abs=1e-7),
    )


@pytest.mark.parametrize("margin", [0.001, 0.01, 0.05])
def test_equivalence_is_two_one_sided_tests(margin):
    values = accuracies(3)
    paired = compare_sides((("a", 1.0),), (("b", 1.0),), numbered(values), SHARED)
    shift = np.array([margin, -margin])
    expected = max(
        stats.ttest_rel(values["a"] + shift[0], values["b"], alternative="greater").pvalue,
        stats.ttest_rel(values["a"] + shift[1], values["b"], alternative="less").pvalue,
    )
    assert paired.within(margin) == pytest.approx(expected)
    unpaired = compare_sides((("a", 1.0),), (("c", 1.0),), numbered(values), APART)
    expected = max(
        stats.ttest_ind(values["a"] + margin, values["c"], equal_var=False, alternative="greater").pvalue,
        stats.ttest_ind(values["a"] - margin, values["c"], equal_var=False, alternative="less").pvalue,
    )
    assert unpaired.within(margin) == pytest.approx(expected)


def test_two_draws_are_needed_of_each_group_and_variation():
    draws = numbered(accuracies(1, draws=1))
    with pytest.raises(RecordError, match="expected at least 2 draws that both rows have, got 1"):
        compare_sides((("a", 1.0),), (("c", 1.0),), draws, APART)
    same = {label: {(0,): 0.5, (1,): 0.5} for label in LABELS}
    for images in (SHARED, APART):
        found = compare_sides(*DIFFERENCES, same, images)
        assert (found.p_value, found.low, found.within(0.01), found.above(0)) == (None, None, None, None)


# Families of a study


@pytest.fixture
def asked(tmp_path):
    """A study of rows a to d (c and d on other images) with some [[contrasts]], and its rows' records."""

    def made(contrasts, values, head=""):
        path = tmp_path / "mine.toml"
        text = 'compare = "nothing"\n' if not contrasts else ""
        for at, label in enumerate(LABELS):
            data = f', data = "{PLACES[label].name}"'
            text += f'[[rows]]\nvariant = "conv_1"\nlabel = "{label}"\nset = {{ batch = {at + 1}{data} }}\n'
        path.write_text(head + text + "".join(f"[[contrasts]]\n{each}\n" for each in contrasts))
        study = read_study(path)
        found = {
            row.label: [
                record(draw, variant=row.variant, label=row.label, images=PLACES[row.label], accuracy=float(each),
                       test_pairs=1000)
                for draw, each in enumerate(values[row.label]) if each is not None
            ]
            for row in study.rows if row.label in values
        }  # fmt: skip
        return SimpleNamespace(study=study, rows=found, records=[each for own in found.values() for each in own])

    return made


NOISE = np.array([0.004, -0.006, 0.001, 0.007, -0.002, -0.004, 0.003, -0.001])
OWN = np.array([0.001, -0.001, 0.002, 0.0, -0.002, 0.001, 0.0, -0.001])

VALUES = {
    "a": 0.9 + NOISE + OWN,
    "b": 0.85 + NOISE,
    "c": 0.9 + NOISE - OWN,
    "d": 0.85 + NOISE,
}


def only(asked):
    (family,) = families_of(asked.study, asked.rows)
    return family


@pytest.mark.parametrize(
    ("contrast", "word", "method", "draws"),
    [
        ('first = "a"\nsecond = "b"', "better", "paired t", "8"),
        ('first = "b"\nsecond = "a"', "worse", "paired t", "8"),
        ('first = "a"\nsecond = "b"\nmargin = 6', "equivalent", "paired t", "8"),
        ('first = "a"\nsecond = "c"', "undecided", "Welch's t, unpaired", "8 and 8, unpaired"),
        ('first = "a"\nsecond = "c"\nmargin = 2', "equivalent", "Welch's t, unpaired", "8 and 8, unpaired"),
        ('first = "a"\nsecond = "b"\nminus = { first = "c", second = "d" }\nmargin = 0.5', "equivalent",
         "Welch's t, unpaired", "8 and 8, unpaired"),
        ('first = "a"\ngoal = 0.88', "reached", "one-sided t", "8"),
        ('first = "a"\ngoal = 0.92', "missed", "one-sided t", "8"),
        ('first = "a"\ngoal = 0.899', "undecided", "one-sided t", "8"),
    ],
)  # fmt: skip
def test_the_words_of_verdicts(asked, contrast, word, method, draws):
    (effect,) = only(asked([contrast], VALUES)).effects
    assert (effect.verdict, effect.method, counts_text(effect)) == (word, method, draws)


def test_a_goal_is_a_one_sided_test():
    values = [0.992, 0.9935, 0.9915, 0.993]
    (study,) = rows_of_order(values)
    (effect,) = study.effects
    test = stats.ttest_1samp(values, 0.991, alternative="greater")
    assert effect.comparison.p_value == effect.p_holm == pytest.approx(test.pvalue)
    assert (effect.first, effect.second, effect.verdict) == ("order_net", "0.991", "reached")
    low, high = (end - 0.991 for end in stats.ttest_1samp(values, 0.991).confidence_interval(0.95))
    assert (effect.comparison.low, effect.comparison.high) == (pytest.approx(low), pytest.approx(high))
    wild = rows_of_order([0.9999, 0.97])[0].effects[0].comparison
    assert wild.high == pytest.approx(1 - 0.991), "no mean of accuracies is above 1"


def rows_of_order(values):
    selection = choose(rows("order", {"order_net": values}))
    (table,) = selection.tables
    return [each for each in families_of(table.study, table.rows) if each.name == "order-goals"]


def test_goals_stand_in_the_table_with_their_verdicts(asked):
    report = gather(choose(rows("order", {"order_net": [0.992, 0.9935, 0.9915, 0.993], "order_net_s": [0.97, 0.99]})))
    goals = {each.label: each.goal for each in report.tables[0].summaries}
    assert goals == {"order_net": "≥ 0.991: reached", "order_net_s": "≥ 0.985: undecided"}
    short = rows("order", {"order_net": [0.992, 0.9935]}, pairs=500, test_pairs=500)
    report = gather(choose(short))
    assert [each.goal for each in report.summaries] == [""], "the goal is for the paper's setting"
    assert report.families == ()


def test_one_file_is_one_family_unless_it_names_several(asked):
    pairs = (("a", "b"), ("c", "d"), ("a", "c"), ("b", "d"))
    contrasts = [f'first = "{one}"\nsecond = "{other}"\nmargin = 1' for one, other in pairs]
    family = only(asked(contrasts, VALUES))
    effects = family.effects
    assert [each.p_holm for each in effects] == holm([each.comparison.p_value for each in effects])
    assert [each.p_equivalence_holm for each in effects] == holm([each.p_equivalence for each in effects])
    split = asked([contrasts[0], f'{contrasts[1]}\nfamily = "on glyphs"'], VALUES)
    first, second = families_of(split.study, split.rows)
    assert (first.name, second.name, second.title) == ("mine", "mine-on-glyphs", "mine: on glyphs")
    assert [len(each.effects) for each in (first, second)] == [1, 1]
    assert first.effects[0].p_holm == first.effects[0].comparison.p_value


def test_draws_that_one_row_lacks_are_counted_and_named(asked):
    values = {**VALUES, "b": [None if at in (2, 5) else each for at, each in enumerate(VALUES["b"])]}
    made = asked(['first = "a"\nsecond = "b"', 'first = "a"\nsecond = "c"'], values)
    lost = {"a": made.rows["a"][0].run, "c": made.rows["c"][0].run}
    failed = {
        label: [FailedRun(fingerprint="f", run=replace(lost[label], seed=seed), label=label, error="loss is nan",
                          environment=record().environment)]
        for label, seed in (("a", 8), ("c", 9))
    }  # fmt: skip
    (family,) = families_of(made.study, made.rows, failed)
    paired, unpaired = family.effects
    assert paired.comparison.draws == 6
    assert paired.missing == (("a", ((8,),)), ("b", ((2,), (5,), (8,))))
    assert counts_text(paired) == "6; a without draw 8 (failed: 8); b without draws 2, 5, 8"
    assert [each.verdict for each in family.effects] == ["withheld", "withheld"]
    assert unpaired.missing == (("a", ((8,), (9,))), ("c", ((8,), (9,))))
    report = gather(choose(made.records, own=[made.study]))
    assert "better, b without draws 2, 5;" in report.sentences[1]
    report = gather(choose(made.records, failures=failed["a"], own=[made.study]))
    assert "withheld, a without draw 8 (failed: 8); b without draws 2, 5, 8;" in report.sentences[1]


def test_a_contrast_that_cannot_be_computed_is_named_with_the_reason(asked):
    values = {"a": VALUES["a"], "b": VALUES["b"], "c": VALUES["c"][:1]}
    contrasts = ['first = "a"\nsecond = "b"', 'first = "a"\nsecond = "d"', 'first = "a"\nsecond = "c"']
    family = only(asked(contrasts, values))
    assert [each.name for each in family.effects] == ["a − b"]
    assert family.left_out == (
        "a − d: expected finished draws of d, got none",
        "a − c: expected at least 2 draws that both rows have, got 1: run more `draws`",
    )
    assert "\nNot computed: a − d: expected finished draws of d, got none.\n" in markdown_effects(family)
    assert "not computed: a − d" in str(effects_table(family).caption)


def test_a_contrast_without_enough_draws_says_which_of_them_failed(asked):
    made = asked(['first = "a"\nsecond = "b"', 'first = "a"\nsecond = "c"'], VALUES)
    lost = {"b": [failed(each) for each in made.rows["b"][1:]], "c": [failed(each) for each in made.rows["c"]]}
    (family,) = families_of(made.study, {**made.rows, "b": made.rows["b"][:1], "c": []}, lost)
    few, none = family.left_out
    assert few.endswith("got 1: run more `draws`; b: 7 of 8 draws failed (1, 2, 3, 4, 5, 6, 7): 7 diverged in epoch 2")
    assert none.endswith("got none; c: all 8 draws failed (0, 1, 2, 3, 4, 5, 6, 7): 8 diverged in epoch 2")


def failure_of(run, **changes):
    return FailedRun(
        fingerprint="f", run=replace(run, **changes), label=run.label, error="nan", environment=record().environment
    )


def test_a_contrast_without_a_margin_is_not_called_equivalent_by_one_of_its_name(asked):
    values = {**VALUES, "b": VALUES["a"] + OWN / 10}
    made = asked(['name = "b"\nfirst = "a"\nsecond = "b"\nmargin = 1'], values, head='compare = "row above"\n')
    names = [each.name for each in only(made).effects]
    assert names == ["b", "c", "d"], "the stated one takes the place of the other"
    stated = only(made).effects[0]
    plain = replace(stated, margin=None, p_equivalence=None, verdict="undecided")
    first, second = corrected([stated, plain])
    assert (first.verdict, second.verdict, second.p_equivalence_holm) == ("equivalent", "undecided", None)


def test_contrasts_that_are_not_computed_count_and_stand_in_the_files(asked, tmp_path):
    """The failures of row d make no verdict on a and b less strict."""
    contrasts = [
        'first = "a"\nsecond = "b"\nmargin = 6',
        'first = "a"\nsecond = "d"\nmargin = 1',
        'first = "b"\nsecond = "d"',
    ]
    made = asked(contrasts, VALUES)
    rows = {label: made.rows[label] for label in "ab"}
    failed = {"d": [failure_of(each.run) for each in made.rows["d"]]}
    (family,) = families_of(made.study, rows, failed)
    (effect,) = family.effects
    assert effect.p_holm == pytest.approx(3 * effect.comparison.p_value)
    assert effect.p_equivalence_holm == pytest.approx(2 * effect.p_equivalence)
    report = gather(choose([*rows["a"], *rows["b"]], failures=failed["d"], own=[made.study]))
    write_report(report, tmp_path / "report" / "report.html")
    with (tmp_path / "report" / "contrasts.csv").open(newline="") as file:
        lines = [(each["contrast"], each["verdict"], each["p"] != "", each["reason"]) for each in csv.DictReader(file)]
    reason = "expected finished draws of d, got none"
    assert lines == [
        ("a − b", "equivalent", True, ""),
        ("a − d", "not computed", False, reason),
        ("b − d", "not computed", False, reason),
    ]
    (written,) = json.loads((tmp_path / "report" / "summary.json").read_text())["families"].values()
    assert [(each["name"], each["verdict"], each["reason"]) for each in written["not_computed"]] == [
        ("a − d", "not computed", reason),
        ("b − d", "not computed", reason),
    ]


def test_compared_rows_all_of_whose_draws_failed_count(asked):
    made = asked([], VALUES)
    study = replace(made.study, compare="a")
    rows = {label: made.rows[label] for label in "abc"}
    (family,) = families_of(study, rows, {"d": [failure_of(each.run) for each in made.rows["d"]]})
    assert [each.name for each in family.not_computed] == ["d against a"]
    assert family.effects[0].p_holm == pytest.approx(3 * family.effects[0].comparison.p_value)
    (family,) = families_of(study, rows)
    assert family.not_computed == (), "it has not run yet"


def test_the_verdict_of_a_goal_is_that_of_its_own_test(asked):
    """Another contrast that begins with the row, whatever its family is called, says nothing about the goal."""
    made = asked(['first = "a"\nsecond = "b"\nfamily = "goals!"', 'first = "a"\ngoal = 0.5\nfamily = "Goals"'], VALUES)
    study = replace(made.study, rows=tuple(replace(row, goal="≥ 0.95") for row in made.study.rows[:1]))
    found = families_of(study, {"a": made.rows["a"], "b": made.rows["b"]})
    assert [each.name for each in found] == ["mine-goals", "mine-Goals", "mine-goals-2"]
    (summary,) = with_goals(summarise(study, {"a": made.rows["a"]}), found)
    assert summary.goal == "≥ 0.95: missed"


def test_families_of_one_name_in_files_are_all_there(asked):
    pairs = (("a", "b"), ("c", "d"), ("a", "c"), ("b", "d"))
    names = ("on glyphs", "on-glyphs", "глифы", "буквы")
    contrasts = [
        f'first = "{one}"\nsecond = "{other}"\nfamily = "{name}"'
        for (one, other), name in zip(pairs, names, strict=True)
    ]
    made = asked(contrasts, VALUES)
    report = gather(choose(made.records, own=[made.study]))
    assert [each.name for each in report.families] == ["mine-on-glyphs", "mine-on-glyphs-2", "mine-глифы", "mine-буквы"]
    assert len(summary_of(report)["families"]) == 4
    blocks = [name for name in blocks_of(report) if name.startswith("effects")]
    assert len(blocks) == 4
    assert blocks_in("".join(f"<!-- pairnet report: {name} -->\n<!-- end -->\n" for name in blocks)) == blocks


def test_families_of_two_studies_are_all_there(tmp_path):
    studies, records = [], []
    for at, (name, family) in enumerate((("a", "b-c"), ("a-b", "c"))):
        text = "".join(
            f'[[rows]]\nvariant = "conv_1"\nlabel = "{name} {row}"\nset = {{ batch = {at + row} }}\n' for row in (1, 5)
        )
        path = tmp_path / f"{name}.toml"
        path.write_text(f'{text}[[contrasts]]\nfirst = "{name} 1"\nsecond = "{name} 5"\nfamily = "{family}"\n')
        studies.append(read_study(path))
        records += [
            record(draw, variant=row.variant, label=row.label, images=MNIST, accuracy=0.8 + at / 50 + draw / 70)
            for row in studies[-1].rows
            for draw in range(3)
        ]
    report = gather(choose(records, own=studies))
    assert [each.name for each in report.families] == ["a-b-c", "a-b-c-2"]


def test_missing_draws_of_held_streams_have_all_of_their_seeds(asked):
    made = asked(['first = "a"\nsecond = "b"'], VALUES)
    seeds = [Seeds(train_draw=2 * at, test_draw=1, weights=at, order=at) for at in range(4)]
    held = {
        label: [
            replace(each, run=replace(each.run, own_seeds=own))
            for each, own in zip(made.rows[label], seeds, strict=False)
        ]
        for label in "ab"
    }
    lost = held["b"].pop(3)
    (family,) = families_of(made.study, held, {"b": [failure_of(lost.run)]})
    name = "(pairs 3, test 0, weights 3, order 3)"
    assert lost.run.repetition == name[1:-1]
    assert missing_text(family.effects[0]) == f"b without draw {name} (failed: {name})"


def test_rows_whose_weights_cancel_do_not_count(asked):
    """(a - b) - (a - c) is c - b, on the draws of these, whatever happened to a."""
    contrasts = ['first = "a"\nsecond = "b"\nminus = { first = "a", second = "c" }', 'first = "c"\nsecond = "b"']
    made = asked(contrasts, VALUES)
    rows = {**made.rows, "a": made.rows["a"][:3]}
    (family,) = families_of(made.study, rows, {"a": [failure_of(made.rows["a"][5].run)]})
    cancelled, plain = family.effects
    assert replace(cancelled, name=plain.name, weights=plain.weights) == plain
    assert dict(cancelled.weights) == dict(plain.weights)
    assert cancelled.verdict != "withheld"
    (family,) = families_of(made.study, {label: rows[label] for label in "bc"})
    assert len(family.effects) == 2


def test_a_row_that_lacks_two_draws_of_another_is_told_from_one_that_shares_a_single_draw():
    """Two common draws make a pair, so what the other has is missing; with one in common, the rows are unpaired."""
    draws = {"a": {(at,): 0.5 + at / 100 for at in range(4)}, "b": {(at,): 0.6 + at**2 / 100 for at in (0, 1)}}
    contrast = Contrast(name="x", first=(("a", 1.0),), second=(("b", 1.0),))
    assert effect_of(contrast, draws, SHARED, {}).missing == (("b", ((2,), (3,))),)
    draws["b"] = {(at,): 0.6 + at / 90 for at in (3, 4, 5)}
    assert effect_of(contrast, draws, SHARED, {}).missing == ()


def test_a_row_joins_the_groups_of_others_and_leaves_the_rest_as_they_are():
    shares = {"a": (0, 1), "b": (5, 6), "c": (8, 9), "d": (1, 0, 5, 6)}
    draws = {label: {(at,): 0.5 for at in own} for label, own in shares.items()}
    found = groups_of(list(shares), draws, SHARED)
    assert sorted(map(sorted, found)) == [["a", "b", "d"], ["c"]]
    assert groups_of(["c"], draws, SHARED) == [["c"]]


def test_labels_are_written_as_they_are_in_documents_spreadsheets_and_sentences(tmp_path):
    """A label may look like the end of a block, HTML, code, a border or a formula: it is none of these."""
    labels = ("a <!-- end --> `<b>` | &amp;", "=1+1")
    text = "".join(
        f"[[rows]]\nvariant = 'conv_1'\nlabel = '{label}'\nset = {{ batch = {at} }}\n"
        for at, label in enumerate(labels, 1)
    )
    path = tmp_path / "mine.toml"
    path.write_text(f"{text}[[contrasts]]\nname = 'a − b'\nfirst = '{labels[0]}'\nsecond = '{labels[1]}'\n")
    study = read_study(path)
    records = [
        record(draw, variant=row.variant, label=row.label, images=MNIST, accuracy=float(each))
        for row, values in zip(study.rows, (VALUES["a"], VALUES["b"]), strict=True)
        for draw, each in enumerate(values)
    ]
    lost = failure_of(records[0].run, seed=50)
    report = gather(choose(records, failures=[lost], own=[study]))
    document = tmp_path / "paper.md"
    blocks = "".join(f"<!-- pairnet report: {name} mine -->\n<!-- end -->\n" for name in ("table", "effects"))
    document.write_text(blocks)
    fill_blocks(document, report)
    once = document.read_text()
    fill_blocks(document, report)
    assert document.read_text() == once
    assert once.count("<!-- end -->") == 2
    assert not set("`<") & set(re.sub(r"<!-- .*? -->", "", once))
    for line in once.splitlines():
        assert html.unescape(line).count(labels[0]) == line.count("a &lt;!-- end")
    assert once.count("a &lt;!-- end") >= 3
    for table in re.findall(r"(?:^\|.*\n)+", once, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1
    write_report(report, tmp_path / "report" / "report.html")
    for name, column in (("results.csv", "row"), ("rows.csv", "row"), ("contrasts.csv", "second")):
        with (tmp_path / "report" / name).open(newline="") as file:
            cells = [cell for line in csv.DictReader(file) for key, cell in line.items() if key == column]
        assert f"'{labels[1]}" in cells
        assert labels[1] not in cells


@pytest.mark.parametrize("value", ["=1", "+1", "-1", "@x", "\tx", "a", "", "'=1", -0.5, 3, None])
def test_text_that_a_spreadsheet_would_compute_has_an_apostrophe(tmp_path, value):
    write_lines(tmp_path / "x.csv", [{"key": value, "other": "b"}])
    with (tmp_path / "x.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    text = "" if value is None else str(value)
    formula = isinstance(value, str) and text[:1] in {"=", "+", "-", "@", "\t"}
    assert line == {"key": f"'{text}" if formula else text, "other": "b"}


def test_the_best_network_is_the_best_of_those_on_the_same_images(asked):
    values = {"a": VALUES["b"], "b": VALUES["b"] + 0.01, "c": VALUES["a"] + 0.05, "d": VALUES["a"]}
    made = asked([], values)
    report = gather(choose(made.records, own=[made.study]))
    assert re.findall(r"[Tt]he best network on (\S+) pairs of (\w+) is (\w) with", report.sentences[1]) == [
        ("1,000", "mnist", "b"),
        ("1,000", "glyphs", "c"),
    ]
    assert "the best is" not in " ".join(each.description for each in drawings(report))
    report = gather(choose([*made.rows["a"], *made.rows["b"]], own=[made.study]))
    assert "he best network is b with" in report.sentences[1]
    assert "the best is b" in " ".join(each.description for each in drawings(report))


def test_a_sentence_that_begins_with_a_label_has_its_first_letter(asked):
    for contrast, begin in (('name = "fewer"\n', "Fewer: "), ("", "a − b: "), ('headline = "sharing"\n', "Sharing: ")):
        made = asked([f'{contrast}first = "a"\nsecond = "b"'], VALUES)
        assert gather(choose(made.records, own=[made.study])).sentences[1].startswith(begin)


def test_runs_of_a_crossed_design_are_no_draws(asked):
    made = asked(['first = "a"\nsecond = "b"'], VALUES, head="vary = { pairs = 4, weights = 2 }\n")
    family = only(made)
    assert family.effects == ()
    assert family.left_out == (
        "a − b: runs of a crossed design share seeds and are no draws: ask in a study without `vary`",
    )
    plain = asked([], VALUES, head="vary = { pairs = 4, weights = 2 }\n")
    assert families_of(replace(plain.study, compare="a"), plain.rows) == []


def test_contrasts_are_in_every_file_of_a_report(asked, tmp_path):
    contrasts = [
        'name = "sharing | mine"\nfirst = "a"\nsecond = "b"\nmargin = 0.5\nnote = "A note."',
        'first = ["a", "b"]\nsecond = ["c", "d"]',
        'first = "a"\nsecond = "b"\nminus = { first = "c", second = "d" }\nlevels = { rows = ["with", "without"], '
        'columns = ["mnist", "glyphs"] }',
    ]
    made = asked(contrasts, VALUES)
    report = gather(choose(made.records, own=[made.study]))
    write_report(report, tmp_path / "report" / "report.html")
    page = (tmp_path / "report" / "report.html").read_text()
    for text in ("sharing | mine", "A note.", "8 and 8, unpaired", "Welch&#39;s t, unpaired", "within ±0.5", "glyphs"):
        assert text in page
    table = page.partition('<table class="square">')[2].partition("</table>")[0]
    order = [table.index(f">{name}<") for name in ("glyphs", "mnist", "without", "d", "b", "with", "c", "a")]
    assert order == sorted(order), "what is subtracted stands first"
    with (tmp_path / "report" / "contrasts.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    (written,) = json.loads((tmp_path / "report" / "summary.json").read_text())["families"].values()
    for line, effect, number in zip(lines, report.families[0].effects, written["effects"], strict=True):
        assert (line["contrast"], line["verdict"], line["family"]) == (effect.name, effect.verdict, "mine")
        assert float(line["p_holm"]) == number["p_holm"] == effect.p_holm
        assert (line["test"], number["verdict"]) == (effect.method, effect.verdict)
    assert [line["margin"] for line in lines] == ["0.005", "", ""]
    assert [line["draws"] for line in lines] == ["8", "8 8", "8 8"]
    figure = next(each for each in drawings(report) if each.section == "interactions")
    means = {tuple(round(float(y), 6) for _, y in line.get_xydata()) for line in figure.draw().axes[0].lines
             if len(line.get_xydata()) == 2}  # fmt: skip
    mean = {label: round(float(np.mean(own)), 6) for label, own in VALUES.items()}
    assert {(mean["d"], mean["b"]), (mean["c"], mean["a"])} <= means
    assert "Sharing | mine: +5.0 points (+4.9 to +5.1), better, margin ±0.5; " in report.sentences[1]


def test_only_contrasts_with_a_headline_are_stated_where_there_is_one(asked):
    made = asked(['first = "a"\nsecond = "b"\nheadline = "sharing, too"', 'first = "c"\nsecond = "d"'], VALUES)
    came_out = gather(choose(made.records, own=[made.study])).sentences[1]
    assert "Sharing, too: +5.0 points" in came_out
    assert "c − d" not in came_out


def test_two_studies_with_a_label_for_different_things_keep_their_contrasts(asked, tmp_path):
    made = asked(['first = "a"\nsecond = "b"'], VALUES)
    table = rows("3", {"w_net": (0.8, 0.81), "a_net": (0.9, 0.91)})
    text = made.study.file.read_text().replace('= "a"', '= "w_net"')
    made.study.file.write_text(text)
    records = [replace(each, run=replace(each.run, label="w_net")) if each.run.label == "a" else each
               for each in made.records]  # fmt: skip
    report = gather(choose([*records, *table], own=[read_study(made.study.file)]))
    (family,) = [each for each in report.families if each.name == "mine"]
    assert family.effects[0].first == "w_net (mine)"


def test_the_pairs_of_a_smaller_draw_are_shared_so_numbers_of_pairs_are_compared_draw_by_draw(tmp_path):
    """Sharing at 300 pairs against 1,000: on the same images, draw s of all four rows has the same seeds."""
    path = tmp_path / "sharing.toml"
    path.write_text(
        "".join(f'[[rows]]\nvariant = "{name}"\ngrid = {{ pairs = [300, 1000] }}\n' for name in ("w_net", "no_w_net"))
        + '[[contrasts]]\nname = "300 against 1,000"\nfirst = "w_net, pairs 300"\nsecond = "no_w_net, pairs 300"\n'
        'minus = { first = "w_net, pairs 1000", second = "no_w_net, pairs 1000" }\n'
    )
    study = read_study(path)
    values = accuracies(5, labels=[row.label for row in study.rows])
    found = {
        row.label: [
            record(draw, variant=row.variant, label=row.label, images=MNIST, pairs=row.pairs, accuracy=float(each))
            for draw, each in enumerate(values[row.label])
        ]
        for row in study.rows
    }
    report = gather(choose([each for own in found.values() for each in own], own=[study]))
    (effect,) = report.families[0].effects
    x, y, z, w = (values[row.label] for row in study.rows)  # w_net at 300 and 1,000, no_w_net at 300 and 1,000
    assert effect.comparison.p_value == pytest.approx(stats.ttest_1samp(x - z - y + w, 0).pvalue)
    assert effect.method == "paired t"
    assert "4 rows, 2 trained on 1,000 pairs and 2 on 300, of mnist" in report.sentences[0]


@pytest.mark.parametrize("margin", ["", "\nmargin = 6"])
def test_the_terminal_has_the_same_numbers_and_words(asked, margin):
    family = only(asked([f'first = "a"\nsecond = "b"{margin}', 'first = "b"\nsecond = "d"'], VALUES))
    table = effects_table(family)
    headings = [str(column.header) for column in table.columns]
    assert headings == ["contrast", "difference", "95 % interval", "p", "verdict", "draws"]
    first, second = zip(*(map(str, column.cells) for column in table.columns), strict=True)
    test = stats.ttest_rel(VALUES["a"], VALUES["b"])
    low, high = (100 * end for end in test.confidence_interval(0.95))
    assert first[:3] == ("a − b", "+5.00", f"{low:+.2f} to {high:+.2f}")
    assert (first[-2:], second[-2:]) == (
        ("equivalent\nwithin ±6" if margin else "better", "8"),
        ("undecided", "8 and 8, unpaired"),
    )
    assert ("of equivalence" in str(table.caption)) == bool(margin)


WITH_MARGINS = [
    'name = "order_net_s as good as order_net at 1,000 pairs"\nfirst = "a"\nsecond = "b"\nmargin = 6',
    'first = "b"\nsecond = "a"\nmargin = 0.25',
    'first = "a"\nsecond = "c"\nmargin = 0.25',
    'first = "b"\nsecond = "d"',
]


def test_wherever_a_verdict_stands_its_margin_stands(asked):
    made = asked(WITH_MARGINS, VALUES)
    family = only(made)
    words = ["equivalent within ±6", "worse, margin ±0.25", "undecided within ±0.25", "undecided"]
    assert [verdict_text(each) for each in family.effects] == words
    text = markdown_effects(family)
    for each, line, word in zip(family.effects, text.splitlines()[2:], words, strict=False):
        tested = "" if each.margin is None else html.escape(p_text(each.p_equivalence_holm))
        assert f" | {tested} | {word} | " in line
    assert "| p of equivalence (Holm) | verdict |" in text
    assert "equivalence" not in markdown_effects(only(asked(WITH_MARGINS[3:], VALUES)))
    sentence = gather(choose(made.records, own=[made.study])).sentences[1]
    assert all(word in sentence for word in words)


def test_a_terminal_of_80_columns_has_the_p_of_equivalence_and_the_margins(asked):
    console = Console(file=io.StringIO(), width=80)
    family = only(asked(WITH_MARGINS, VALUES))
    console.print(effects_table(family))
    printed = console.file.getvalue()
    table, _, missing = printed.partition("no room here for: ")
    assert missing.split() in (["draws"], [])
    for each, margin in zip(family.effects, ("within ±6", "margin ±0.25", "within ±0.25"), strict=False):
        assert f" {p_text(each.p_equivalence_holm)}  {margin}" in table


def test_the_title_and_the_notes_of_a_table_begin_at_its_left_edge(asked):
    console = Console(file=io.StringIO(), width=120)
    console.print(effects_table(only(asked(WITH_MARGINS, VALUES))))
    first, *others = console.file.getvalue().splitlines()
    assert first.startswith("Contrasts of")
    assert any(line.startswith("first minus second") for line in others)


def test_a_margin_that_may_be_a_fraction_is_said_to_be_in_points():
    assert margin_note(0.005 / 100) == "the margin 0.005 is in points, as all margins are: 0.5 is half a point"
    assert [margin_note(each) for each in (0.05 / 100, 0.5 / 100, None)] == [""] * 3


@pytest.mark.parametrize(
    ("corners", "rows", "columns"),
    [
        (("w, pairs 300", "n, pairs 300", "w, pairs 1000", "n, pairs 1000"), ("w", "n"), ("pairs 300", "pairs 1000")),
        (("w, 1, x", "w, 2, x", "w, 1, y", "w, 2, y"), ("w, 1", "w, 2"), ("w, x", "w, y")),
        (("w", "n", "aw", "an"), ("w / aw", "n / an"), ("w / n", "aw / an")),
        (("w, 1", "w, 2", "w, 3", "w, 4"), ("w, 1 / w, 3", "w, 2 / w, 4"), ("w, 1 / w, 2", "w, 3 / w, 4")),
    ],
)
def test_sides_without_levels_are_called_by_the_labels_of_their_rows(corners, rows, columns):
    assert levels_of(corners) == Levels(rows=rows, columns=columns)


def test_a_difference_of_differences_without_levels_shows_labels(asked):
    made = asked(['first = "a"\nsecond = "b"\nminus = { first = "c", second = "d" }'], VALUES)
    report = gather(choose(made.records, own=[made.study]))
    (square,) = report.squares
    assert (square.rows, square.columns) == (("b / d", "a / c"), ("c / d", "a / b"))
    assert [each.label for each in square.cells] == ["d", "b", "c", "a"]
    (drawing,) = (each for each in drawings(report) if each.section == "interactions")
    (axes,) = drawing.draw().axes
    assert [each.get_text() for each in axes.get_xticklabels()] == ["c / d", "a / b"]
    assert [each.get_text() for each in axes.get_legend().get_texts()] == ["b / d", "a / c"]


def test_draws_without_variation_have_no_test(asked):
    same = {"a": [0.9] * 4, "b": [0.8] * 4}
    (effect,) = only(asked(['first = "a"\nsecond = "b"\nmargin = 0.5'], same)).effects
    assert (effect.comparison.p_value, effect.p_holm, effect.p_equivalence, effect.low90) == (None,) * 4
    assert (effect.verdict, counts_text(effect)) == ("undecided", "4")
    assert effect.comparison.difference == pytest.approx(0.1)


@pytest.mark.parametrize(("effect", "wrong"), [(0.0, {"better", "worse"}), (0.01, {"worse", "equivalent"})])
def test_false_verdicts_are_rare_in_a_whole_family(effect, wrong):
    """Of 300 simulated families of four contrasts: at most 5 % have a false verdict, but for chance (p 0.001)."""
    rng = np.random.default_rng(1)
    margin = 0.005
    pair = {"first": (("a", 1.0),), "margin": margin}
    contrasts = [
        Contrast(name="paired", second=(("b", 1.0),), **pair),
        Contrast(name="unpaired", second=(("c", 1.0),), **pair),
        Contrast(name="mean", second=(("b", 0.5), ("d", 0.5)), **pair),
        Contrast(name="differences", first=DIFFERENCES[0], second=DIFFERENCES[1], margin=margin),
    ]
    false, covered = 0, 0
    for _ in range(300):
        common = {place: rng.normal(0, 0.008, 10) for place in (1, 2)}
        values = {label: 0.9 + common[APART[label]] + rng.normal(0, 0.007, 10) for label in LABELS}
        draws = numbered({**values, "a": values["a"] + effect})
        found = corrected([effect_of(each, draws, APART, {}) for each in contrasts])
        false += any(each.verdict in wrong for each in found)
        covered += sum(each.comparison.low <= effect <= each.comparison.high for each in found)
    assert false <= stats.binom.ppf(0.999, 300, 0.05)
    assert 0.93 < covered / 1200 < 0.97


def test_a_contrast_has_the_interval_for_images_in_general_of_its_rows(tmp_path):
    rng = np.random.default_rng(5)

    def run(label, seed):
        made = record(seed, label=label)
        held_out = made.run.held_out
        wrong = tuple((int(at), 0.9) for at in np.flatnonzero(rng.uniform(size=held_out) < 0.3))
        return replace(made, accuracy=1 - len(wrong) / held_out, wrong=wrong)

    found = {label: [run(label, seed) for seed in range(4)] for label in "ab"}
    path = tmp_path / "mine.toml"
    path.write_text(
        '[[rows]]\nvariant = "fc_1"\nlabel = "a"\n[[rows]]\nvariant = "fc_1"\nlabel = "b"\nset = { epochs = 3 }\n'
        '[[contrasts]]\nfirst = "a"\nsecond = "b"\n[[contrasts]]\nfirst = "a"\ngoal = 0.5\n'
    )
    (family,) = families_of(read_study(path), found)
    difference, goal = (each.general for each in family.effects)
    assert difference is not None
    assert difference == general_of([[(1.0, found["a"]), (-1.0, found["b"])]])
    mean = general_of([[(1.0, found["a"])]])
    assert (goal.low, goal.high) == pytest.approx((mean.low - 0.5, mean.high - 0.5))
    assert "standard errors are" in markdown_effects(family)
    apart = {
        "a": found["a"],
        "b": [replace(each, run=replace(each.run, seed=each.run.seed + 10)) for each in found["b"]],
    }
    (family,) = families_of(read_study(path), apart)
    unpaired = family.effects[0].general
    assert unpaired == general_of([[(1.0, apart["a"])], [(-1.0, apart["b"])]])
    assert unpaired.error != pytest.approx(difference.error)
    assert "standard errors are" in effects_table(family).caption
