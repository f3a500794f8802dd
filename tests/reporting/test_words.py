"""What a report says in words: texts of values are parsed back; titles, sentences and names for each kind of folder."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from record_examples import record
from reporting.studies import MNIST, epochs, rows

from pairnet.models.variants import find_variant
from pairnet.reporting.comparison import compare_draws
from pairnet.reporting.drawings import LONGEST_NAME, _file_name, drawings
from pairnet.reporting.effect_text import p_text
from pairnet.reporting.formats import accuracy_text, difference_text, duration, interval_text
from pairnet.reporting.page import _better, _seeds
from pairnet.reporting.report import gather
from pairnet.reporting.selection import choose
from pairnet.study.tables import studies

NEAR = (0.95, 0.951, 0.949)


@given(mean=st.floats(0, 1), std=st.floats(0, 0.5), places=st.integers(2, 5))
def test_accuracies_are_rounded(mean, std, places):
    text = accuracy_text(mean, std, places)
    one, two = text.split(" ± ")
    assert len(one.partition(".")[2]) == len(two.partition(".")[2]) == places
    assert (float(one), float(two)) == (pytest.approx(mean, abs=10**-places), pytest.approx(std, abs=10**-places))
    assert accuracy_text(mean, None, places) == one
    assert (accuracy_text(None, None), accuracy_text(None, std)) == ("", "")
    assert accuracy_text(0.5, 0.25) == accuracy_text(0.5, 0.25, 4)


@given(low=st.floats(-1, 1), width=st.floats(0, 1))
def test_intervals_are_in_points(low, width):
    one, two = interval_text(low, low + width).split(" to ")
    assert (one[0], two[0]) in {(a, b) for a in "+-" for b in "+-"}
    assert (float(one), float(two)) == (
        pytest.approx(100 * low, abs=0.006),
        pytest.approx(100 * (low + width), abs=0.006),
    )
    assert interval_text(None, low) == interval_text(low, None) == ""
    plain = interval_text(low, low + width, ".3f", scale=1).split(" to ")
    assert [float(each) for each in plain] == [pytest.approx(low, abs=6e-4), pytest.approx(low + width, abs=6e-4)]


def test_a_difference_has_half_its_interval():
    verdict = SimpleNamespace(difference=-0.0123, low=-0.0323, high=0.0077)
    assert difference_text(verdict) == "-1.2 ± 2.0"
    assert difference_text(None) == ""


@given(seconds=st.floats(0, 1e6))
def test_durations_have_a_unit_that_fits(seconds):
    number, unit = duration(seconds).split(" ")
    scale = {"s": 1, "min": 60, "h": 3600}[unit]
    assert float(number) * scale == pytest.approx(seconds, abs=scale * (0.051 if unit == "h" else 0.51))
    assert unit == ("s" if seconds < 120 else "min" if seconds < 7200 else "h")


@pytest.mark.parametrize(("seconds", "text"), [(119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2.0 h")])
def test_units_change_where_the_number_can_still_be_read(seconds, text):
    assert duration(seconds) == text


@given(value=st.floats(0, 1))
def test_p_values_have_two_digits_or_are_below_one_in_ten_thousand(value):
    text = p_text(value)
    assert text == "< 0.0001" if value < 1e-4 else float(text) == pytest.approx(value, rel=0.051)


def test_p_values_at_the_bound_and_none():
    assert (p_text(None), p_text(1e-4), p_text(0.99e-4)) == ("", "0.0001", "< 0.0001")


@given(seeds=st.sets(st.integers(0, 12), min_size=1).map(sorted))
def test_seeds_are_a_range_or_a_list(seeds):
    text = _seeds(seeds)
    whole = len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1
    assert (" to " in text) == whole
    numbers = [int(each) for each in re.findall(r"\d+", text)]
    assert (list(range(numbers[0], numbers[1] + 1)) if whole else numbers) == seeds


def test_better_on_counts_wins_among_those_that_differ():
    def found(*differences):
        draws = range(len(differences))
        return compare_draws({at: 0.5 + differences[at] for at in draws}, dict.fromkeys(draws, 0.5))

    assert _better(found(0, 0, 0)) == "all equal"
    assert re.fullmatch(r"67 % \(21 to 94\)", _better(found(0.1, 0.2, -0.1)))
    assert re.fullmatch(r"50 % \(9 to 91\), 1 equal", _better(found(0.1, 0, -0.1)))


# Names


@given(label=st.text(max_size=150))
def test_names_of_files_are_safe_and_short(label):
    name = _file_name(label)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", name)
    assert len(name) <= LONGEST_NAME == 60
    assert name == "network" or (name[0] != "-" and name[-1] != "-")
    kept = re.sub(r"[^A-Za-z0-9_-]", "-", label[:60]).strip("-")
    assert name == (kept or "network")


@pytest.mark.parametrize("label", ["w_net", "a-b", "x" * 60, "conv_3", "Z09"])
def test_plain_labels_are_names_of_files_as_they_are(label):
    assert _file_name(label) == label


def test_a_single_row_has_no_figure_of_sizes_and_two_have():
    assert not [each for each in drawings(made(w_net=NEAR)) if each.section == "size"]
    assert len([each for each in drawings(made(w_net=NEAR, a_net=NEAR)) if each.section == "size"]) == 2


def test_figures_of_one_name_are_numbered():
    own = [
        *others("a b", "fc(392,7) fc(7,1)"),
        *others("a-b", "fc(392,8) fc(8,1)"),
        *others("a,b", "fc(392,9) fc(9,1)"),
    ]
    names = [each.name for each in drawings(gather(choose(own))) if "a-b-accuracy" in each.name]
    assert names == ["a-b-accuracy", "a-b-accuracy-2", "a-b-accuracy-3"]


def test_each_drawing_has_words_for_those_who_cannot_see_it():
    for each in drawings(made(w_net=NEAR, a_net=NEAR, final_model=NEAR)):
        assert len(each.description) > 20
        assert (each.caption == "") == (each.section == "courses")
        assert (each.group == "") == (each.section not in ("courses", "networks"))
        assert each.draw().get_size_inches()[0] == pytest.approx(
            3.6 if each.name.startswith("calibration") else 4.4, abs=0.01
        )


# Sentences


def made(margin=0.015, **accuracies):
    return gather(choose(rows("3", accuracies)), margin=margin)


def others(label, net, draws=2, accuracy=0.7):
    mine = replace(find_variant("fc_1"), name="mine", net=net, parameters=None)
    return [
        record(draw, variant=mine, label=label, images=MNIST, accuracy=accuracy, epochs=epochs(25, 0.7))
        for draw in range(draws)
    ]


def test_titles_say_what_was_measured():
    assert made(w_net=NEAR).title == studies()["3"].title
    nets = [("one", 7), ("two", 8), ("three", 9), ("four", 10)]
    for count, title in ((1, "one, measured"), (2, "one and two, measured"), (3, "one, two and three, measured"),
                         (4, "Networks of your own, measured")):  # fmt: skip
        own = [each for label, size in nets[:count] for each in others(label, f"fc(392,{size}) fc({size},1)")]
        assert gather(choose(own)).title == title
        asked, came_out, differs = gather(choose(own)).sentences
        assert "Networks of your own: " in asked
        assert f": {count} row{'s' * (count > 1)}, each trained on 1,000 pairs of mnist, with 2 draws" in asked
        assert came_out.startswith("The best network is one with 0.7000")
        assert differs == "There is no figure of the paper to compare with."
    both = gather(choose([*rows("3", {"w_net": NEAR}), *rows("2-folds", {"a_w_net in 4 folds, loss ratio 1": NEAR})]))
    assert both.title == "Weight sharing and auxiliary losses, measured"
    assert (
        "Table III and Table II by cross-validation: 2 rows, 1 trained on 1,000 pairs and 1 on 750, of mnist"
        in both.sentences[0]
    )


def test_the_last_sentence_follows_from_the_verdicts():
    assert made(final_model=NEAR).sentences[2] == "Each of these figures is replicated, within ±1.5 points."
    assert made(final_model=(0.9, 0.99)).sentences[2] == (
        "No figure is shown to differ from the paper's; 1 of 1 are undecided."
    )
    *_, differs = made(w_net=(0.7, 0.701, 0.702), final_model=NEAR).sentences
    assert differs == f"What differs from the paper: w_net by {100 * (0.701 - 0.874):+.1f} points (unexplained)."
    *_, differs = made(w_net=(0.7, 0.701, 0.702), no_w_net=(0.6, 0.601, 0.602)).sentences
    assert re.fullmatch(
        r"What differs from the paper: no_w_net by \S+ points and w_net by \S+ points \(unexplained\)\.", differs
    )


def test_the_middle_sentence_counts_verdicts_and_names_the_best():
    came_out = made(w_net=(0.7, 0.701, 0.702), final_model=NEAR, a_net=(0.9, 0.99)).sentences[1]
    assert came_out.startswith("Of 3 rows with a figure of the paper: 1 replicated, 1 different, 1 undecided;")
    assert came_out.endswith("; the best network is final_model with 0.9500.")
    folded = gather(choose(rows("2-folds", {"a_w_net in 4 folds, loss ratio 1": (0.8,)})))
    assert folded.sentences[1] == "No draw is complete yet."


@pytest.mark.parametrize(("draws", "p_below", "word"), [(10, True, "better"), (2, False, "undecided")])
def test_an_effect_is_undecided_unless_its_corrected_p_is_small(draws, p_below, word):
    noise = (0.001, -0.002, 0.0015, 0.0005, -0.001, 0.002, -0.0005, 0.001, 0.0, -0.0015)[:draws]
    report = made(w_net=[0.85 + each for each in noise], no_w_net=[0.8 + 10 * each for each in noise])
    (family,) = report.families
    (effect,) = [each for each in family.effects if each.name.startswith("weight sharing, without")]
    assert (effect.p_holm < 0.05) == p_below
    assert f"), {word}; the best network" in report.sentences[1]


def test_the_rows_of_the_details():
    report = made(cnn_base=NEAR, w_net=NEAR, a_net=(0.97, 0.98, 0.99), no_w_net=NEAR)
    assert [each.label for each in report.calibrations] == ["cnn_base", "w_net", "a_net"]
    assert [each.label for each in report.courses] == ["cnn_base", "no_w_net", "w_net", "a_net"]
    assert report.squares == ()
    four = made(no_w_net=NEAR, w_net=NEAR, a_net=NEAR, a_w_net_bn=NEAR)
    (square,) = four.squares
    assert [each.label for each in square.cells] == ["no_w_net", "a_net", "w_net", "a_w_net_bn"]
    assert (square.rows[1], square.columns[1]) == ("one shared tower", "auxiliary loss")
    assert report.mistakes is None


@pytest.mark.parametrize(
    ("measurements", "length", "enough"), [(9, 25, False), (10, 25, True), (4, 5, False), (5, 5, True)]
)
def test_a_course_is_shown_as_one_with_ten_measurements_or_every_epoch(measurements, length, enough):
    measured = [
        each if at >= length - measurements else replace(each, validation_loss=None, validation_accuracy=None)
        for at, each in enumerate(epochs(length, 0.8))
    ]
    first, second = rows("3", {"w_net": (0.8, 0.9)})
    short = replace(first, epochs=tuple(measured))
    (course,) = gather(choose([short, second])).courses
    assert (course.measurements, course.epochs, course.enough) == (measurements, length, enough)
