"""[[contrasts]] of study files: what they stand for, what `compare` and goals are short for, mistakes in one line."""

import pytest

from pairnet.errors import ArgumentError
from pairnet.study.contrasts import contrasts_of, goal_of, relabelled, side_text
from pairnet.study.files import read_study
from pairnet.study.kept import keep_file, kept_studies
from pairnet.study.tables import studies

ROWS = "".join(f'[[rows]]\nvariant = "conv_1"\nlabel = "{label}"\nset = {{ batch = {at} }}\n' for at, label in
               enumerate("abcd", 1))  # fmt: skip


@pytest.fixture
def read(tmp_path):
    def study(*contrasts, head="", rows=ROWS):
        path = tmp_path / "my.toml"
        path.write_text(head + rows + "".join(f"[[contrasts]]\n{each}\n" for each in contrasts))
        return read_study(path)

    return study


def only(study):
    (contrast,) = study.contrasts
    return contrast


def test_two_rows(read):
    found = only(read('first = "a"\nsecond = "b"\nmargin = 0.5'))
    assert (found.name, found.rows, found.margin, found.corners) == ("a − b", {"a": 1, "b": -1}, 0.005, None)


@pytest.mark.parametrize("others", ['["b", "c", "d"]', '"others"'])
def test_a_row_against_the_mean_of_others(read, others):
    found = only(read(f'name = "mine"\nfirst = "a"\nsecond = {others}'))
    assert found.rows == {"a": 1, **dict.fromkeys("bcd", pytest.approx(-1 / 3))}
    assert (found.name, side_text(found.second)) == ("mine", "mean of b, c and d")


def test_a_row_called_others_is_that_row(read):
    rows = ROWS.replace('"d"', '"others"')
    assert only(read('first = "a"\nsecond = "others"', rows=rows)).rows == {"a": 1, "others": -1}


def test_a_difference_of_differences(read):
    found = only(read('first = "a"\nsecond = "b"\nminus = { first = "c", second = "d" }'))
    assert (found.rows, found.corners) == ({"a": 1, "b": -1, "c": -1, "d": 1}, ("a", "b", "c", "d"))
    assert found.name == "(a − b) − (c − d)"
    means = only(read('first = ["a", "b"]\nsecond = "c"\nminus = { first = "a", second = "d" }'))
    assert means.rows == {"a": -0.5, "b": 0.5, "c": -1, "d": 1}
    assert (means.name, means.corners) == ("(mean of a and b − c) − (a − d)", None)


def test_weights_are_any_linear_combination(read):
    found = only(read("weights = { a = -3, b = -1, c = 1, d = 3 }"))
    assert found.rows == {"a": -3, "b": -1, "c": 1, "d": 3}
    assert found.name == "c + 3 d − 3 a + b"


def test_a_goal(read):
    found = only(read('first = "a"\ngoal = 0.95'))
    assert (found.name, found.goal, found.second) == ("a ≥ 0.95", 0.95, ())


@pytest.mark.parametrize(
    ("contrast", "message"),
    [
        ('first = "a"', "contrast 1: expected `first` and `second` (and `minus`), `first` and `goal`"),
        ('first = "a"\nsecond = "a"', "contrast 1: expected each row on one side, got 'a' on both: remove one"),
        ('first = "a"\nsecond = "x"', "contrast 1.second: expected the name of a row, got 'x': choose one of a"),
        ('first = "a"\nsecond = ["b", "b"]', "contrast 1.second: expected different rows, got one twice: remove it"),
        ('first = "a"\nsecond = 3', "contrast 1.second: expected the label of a row or a list of labels, got 3"),
        ('first = "a"\nsecond = "b"\nminus = "c"', "contrast 1.minus: expected a difference, got 'c'"),
        (
            'first = "a"\nsecond = "b"\nminus = { first = "a", second = "b" }',
            "contrast 1: expected different rows on the two sides, got the same: change one",
        ),
        ("weights = { a = 1, b = 1 }", "contrast 1.weights: expected weights that add up to 0, got others"),
        (
            "weights = { a = 1e308, b = -1e308 }",
            "contrast 1.weights.'a': expected a weight of 1e-06 to 1e+06 in size, or 0, got 1e+308: multiply",
        ),
        ("weights = { a = 1e-9, b = -1e-9 }", "contrast 1.weights.'a': expected a weight of 1e-06 to 1e+06 in size"),
        ("weights = { a = inf, b = -inf }", "contrast 1.weights: expected weights that add up to 0, got others"),
        ('first = "a"\nsecond = "b"\nfamily = "goals"', 'contrast 1.family: expected another name than "goals"'),
        ("weights = { a = nan, b = 1 }", "contrast 1.weights: expected weights that add up to 0, got others"),
        ('frist = "a"', "contrast 1.frist: expected a known key: did you mean first?"),
        ('first = "a"\nsecond = "b"\nmargin = 0', "contrast 1.margin: expected a number above 0, up to 100, got 0"),
        ('first = "a"\ngoal = 99', "contrast 1.goal: expected a number above 0, up to 1, got 99"),
        ('first = "a"\ngoal = 0.9\nmargin = 1', "contrast 1: expected `margin` without `goal`, got both: remove one"),
        ('first = "a"\nsecond = "b"\nname = ""', "contrast 1.name: expected one line of text, got ''"),
        (
            'first = "a"\nsecond = "b"\nlevels = { rows = ["x", "y"], columns = ["z", "w"] }',
            "contrast 1.levels: expected a difference of differences of four rows: remove `levels`",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_place_and_a_remedy(read, contrast, message):
    with pytest.raises(ArgumentError) as raised:
        read(contrast)
    text = str(raised.value)
    assert message in text
    assert text.count(": ") >= 2
    assert "\n" not in text


def test_two_contrasts_of_one_name_are_refused(read):
    with pytest.raises(ArgumentError, match='expected different names, got two "a − b": give one a `name`'):
        read('first = "a"\nsecond = "b"', 'first = "a"\nsecond = "b"')
    with pytest.raises(ArgumentError, match=r"contrast: expected \[\[contrasts\]\] tables, got 1"):
        read(head="contrasts = 1\n")


# What is short for contrasts


def pairs_of(study, there="abcd"):
    return [(side_text(each.first), side_text(each.second)) for each in contrasts_of(study, there)]


def test_compare_is_short_for_contrasts(read):
    assert pairs_of(read(head='compare = "b"\n')) == [("a", "b"), ("c", "b"), ("d", "b")]
    assert pairs_of(read(head='compare = "row above"\n')) == [("b", "a"), ("c", "b"), ("d", "c")]
    assert pairs_of(read(head='compare = "nothing"\n')) == []
    assert pairs_of(read(), "bcd") == [("a", "b"), ("c", "b"), ("d", "b")], "the first that has finished"
    assert pairs_of(read('first = "a"\nsecond = "d"')) == [("a", "d")], (
        "its own contrasts take the place of the first row"
    )
    both = read('first = "a"\nsecond = "d"', head='compare = "row above"\n')
    assert pairs_of(both) == [("a", "d"), ("b", "a"), ("c", "b"), ("d", "c")]


def test_a_stated_contrast_takes_the_place_of_one_of_its_name(read):
    found = read('name = "b against a"\nfirst = "b"\nsecond = ["a", "c"]', head='compare = "a"\n')
    assert pairs_of(found) == [("b", "mean of a and c"), ("c", "a"), ("d", "a")]
    labels = ("no_w_net", "w_net", "a_net", "a_w_net_bn")
    rows = "".join(f'[[rows]]\nvariant = "{name}"\n' for name in labels)
    (name, *_) = [each.name for each in read(head='compare = "square"\n', rows=rows).contrasts]
    stated = f'name = "{name}"\nfirst = "w_net"\nsecond = "a_net"'
    names = [each.name for each in read(stated, head='compare = "square"\n', rows=rows).contrasts]
    assert names[0] == name
    assert len(set(names)) == len(names) == 5


def test_square_is_short_for_those_contrasts_of_table_iii_whose_rows_are_there(read):
    rows = "".join(f'[[rows]]\nvariant = "{name}"\n' for name in ("no_w_net", "w_net", "a_net", "a_w_net_bn"))
    found = read(head='compare = "square"\n', rows=rows).contrasts
    labels = {"no_w_net", "w_net", "a_net", "a_w_net_bn"}
    assert found == tuple(each for each in studies()["3"].contrasts if set(each.rows) <= labels)
    assert len(found) == 5
    assert read(head='compare = "square"\n').contrasts == ()


def test_goals_of_rows_are_contrasts_of_a_family_of_their_own(read):
    rows = ROWS + '[[rows]]\nvariant = "conv_2"\ngoal = 0.9\n[[rows]]\nvariant = "conv_3"\ngoal = "≥ 0.95, or nearly"\n'
    study = read('first = "a"\nsecond = "b"', rows=rows)
    assert [row.goal for row in study.rows[-2:]] == ["≥ 0.9", "≥ 0.95, or nearly"]
    goals = [(each.first[0][0], each.goal, each.family) for each in contrasts_of(study, "ab") if each.goal]
    assert goals == [("conv_2", 0.9, "goals"), ("conv_3", 0.95, "goals")]
    with pytest.raises(ArgumentError, match=r"row 1\.goal: expected an accuracy above 0, up to 1, got 91"):
        read(rows='[[rows]]\nvariant = "conv_2"\ngoal = 91.0\n')


@pytest.mark.parametrize(
    ("text", "goal"),
    [("≥ 0.991", 0.991), ("≥0.5", 0.5), ("≥ 1.0", 1.0), ("≥ .9 at least", 0.9), ("≥ 2.5", None), ("as good", None),
     ("", None), ("≥ 0.9.1", None), ("≥ 1.5", None), ("≥ 10", None)],
)  # fmt: skip
def test_a_goal_in_words_has_no_test(text, goal):
    assert goal_of(text) == goal


# What contrasts are not


def test_contrasts_are_no_part_of_what_a_study_measures(read, tmp_path):
    plain, asked = read(), read('first = "a"\nsecond = "b"')
    assert plain.digest == asked.digest
    runs = tmp_path / "runs"
    runs.mkdir()
    for contrasts in ((), ('first = "a"\nsecond = "b"',)):
        study = read(*contrasts)
        keep_file(study, runs)
        (kept,) = kept_studies(runs)
        assert kept.contrasts == study.contrasts, "the kept file asks what the newest file asks"


def test_rows_that_get_another_label_keep_their_contrasts(read):
    found = relabelled(only(read('first = "a"\nsecond = ["b", "c"]')), {"a": "a (my)", "c": "c (my)"})
    assert found.rows == {"a (my)": 1, "b": -0.5, "c (my)": -0.5}


def test_each_contrast_of_the_tables_names_rows_of_its_table():
    for study in studies().values():
        labels = [row.label for row in study.rows]
        for contrast in contrasts_of(study, labels):
            assert set(contrast.rows) <= set(labels)
