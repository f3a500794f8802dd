"""What contrasts will probably show: the size of their family, and the spread of their own values."""

import json

import numpy as np
import pytest
from record_examples import IMAGES, record

from pairnet.reporting.effects import families_of
from pairnet.reporting.planned import DIFFERENCES_OF_DIFFERENCES, expected_of, family_sizes, unknown_text
from pairnet.reporting.power import smallest_difference, smallest_margin
from pairnet.study.files import read_study
from pairnet.study.plan import plan
from pairnet.study.tables import studies

ROWS = "".join(
    f'[[rows]]\nvariant = "fc_1"\nlabel = "{label}"\nset = {{ batch = {at}, test_pairs = 1000, pairs = 1000 }}\n'
    for at, label in enumerate("abcd", 10)
)
SIMPLE = '[[contrasts]]\nfirst = "a"\nsecond = "b"\nmargin = 0.5\n'
TWICE = '[[contrasts]]\nfirst = "a"\nsecond = "b"\nminus = { first = "c", second = "d" }\n'
GOAL = '[[contrasts]]\nfirst = "a"\ngoal = 0.7\n'


@pytest.fixture
def study_of(tmp_path):
    def made(text):
        (tmp_path / "my.toml").write_text(ROWS + text)
        return read_study(tmp_path / "my.toml")

    return made


def planned_of(study, draws=7):
    return plan(study, IMAGES, draws=draws)


def records_of(study, draws):
    rng = np.random.default_rng(3)
    return [
        record(draw, label=row.label, variant=row.variant, accuracy=round(float(rng.uniform(0.7, 0.9)), 3))
        for row in study.rows
        for draw in range(draws)
    ]


def values(records, label):
    return np.array([each.accuracy for each in records if each.run.label == label])


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        (SIMPLE, {"": 1}),
        (SIMPLE + TWICE, {"": 2}),
        (SIMPLE + TWICE.replace("first", 'family = "two"\nfirst', 1), {"": 1, "two": 1}),
        (SIMPLE + GOAL, {"": 2}),
        ("", {"": 3}),  # each row against the first
    ],
)
def test_the_number_of_comparisons_is_that_of_the_family_in_the_results(study_of, text, sizes):
    study = study_of(text)
    assert family_sizes(study, planned_of(study)) == sizes
    records = records_of(study, 3)
    rows = {row.label: [each for each in records if each.run.label == row.label] for row in study.rows}
    assert sorted(len(family.effects) for family in families_of(study, rows)) == sorted(sizes.values())


def test_table_three_has_one_family_of_its_contrasts():
    study = studies()["3"]
    assert max(family_sizes(study, planned_of(study)).values()) == len(study.contrasts)


def test_each_contrast_has_the_spread_of_its_own_values(study_of):
    study = study_of(SIMPLE + TWICE + GOAL)
    records = records_of(study, 6)
    simple, twice, goal = expected_of(study, planned_of(study), records)
    a, b, c, d = (values(records, label) for label in "abcd")
    for each, own in ((simple, a - b), (twice, a - b - c + d), (goal, a)):
        std = np.std(own, ddof=1)
        assert (each.recorded, each.draws, each.comparisons) == (6, 7, 3)
        assert each.std == pytest.approx(std)
        assert each.difference == pytest.approx(smallest_difference(std, 7))
        assert each.corrected == pytest.approx(smallest_difference(std, 7, level=0.05 / 3))
    assert (simple.margin, goal.margin) == (pytest.approx(smallest_margin(simple.std, 7)), None)
    assert unknown_text(study, [simple, twice, goal]) == ""


def test_contrasts_without_three_common_draws_are_left_out_and_the_assumption_is_stated(study_of):
    study = study_of(SIMPLE + TWICE)
    records = records_of(study, 6)
    for there in (records_of(study, 2), [each for each in records if each.run.label != "d"]):
        found = expected_of(study, planned_of(study), there)
        assert "(a − b) − (c − d)" not in {each.contrast for each in found}
        assert unknown_text(study, found) == DIFFERENCES_OF_DIFFERENCES
    assert unknown_text(study_of(SIMPLE), []) == ""
    (single, _) = expected_of(study, planned_of(study, draws=1), records)
    assert (single.difference, single.corrected, single.margin) == (None, None, None)


def test_a_difference_of_independent_differences_has_root_two_times_the_spread():
    a, b, c, d = np.random.default_rng(1).normal(0, 1, (4, 100_000))
    assert np.std(a - b - c + d) / np.std(a - b) == pytest.approx(2**0.5, rel=0.01)


def test_a_dry_run_knows_the_contrasts_of_its_file(command_line, tmp_path):
    (tmp_path / "my.toml").write_text(ROWS.replace("1000", "60") + SIMPLE)
    arguments = ("study", "my.toml", "--dry-run", "--data", "glyphs:4000", "--draws", 7)
    status, out, err = command_line(*arguments)
    assert (status, "tested together" in out, "√2" in out) == (0, False, False)
    (tmp_path / "my.toml").write_text(ROWS.replace("1000", "60") + SIMPLE.replace("0.5", "0.005") + TWICE)
    status, out, err = command_line(*arguments)
    assert "where 2 are tested together" in " ".join(out.split())
    assert DIFFERENCES_OF_DIFFERENCES in " ".join(out.split())
    assert "the margin 0.005 is in points" in err
    assert json.loads(command_line(*arguments, "--json")[1])["contrasts"] == {"my": []}
