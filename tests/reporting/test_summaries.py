"""Tables: means, deviations and intervals against hand arithmetic; rows that differ are marked."""

import io
from dataclasses import replace

import pytest
from record_examples import IMAGES, record, rerun
from rich.console import Console

from pairnet.models.paper import Printed
from pairnet.models.recipes import Recipe
from pairnet.models.variants import find_variant
from pairnet.reporting.generality import general_of
from pairnet.reporting.markdown import markdown_table
from pairnet.reporting.summaries import by_row, measured_on, summarise, unlike_the_paper
from pairnet.reporting.terminal import study_table
from pairnet.study.plan import Reason, Row, Study

REASON = Reason(text="for a reason", row="as in the text", explains="higher")
STUDY = Study(
    name="x",
    title="Table X",
    rows=(
        Row(label="fc_1", variant=find_variant("fc_1"), paper=Printed(mean=0.75, std=0.03)),
        Row(label="fc_2", variant=find_variant("fc_2"), paper=Printed(mean=0.5, std=0.01)),
        Row(label="fc_3", variant=find_variant("fc_3"), paper=Printed(mean=0.5, std=0.01), reason=REASON),
        Row(label="conv_1", variant=find_variant("conv_1"), paper=None),
        Row(label="conv_2", variant=find_variant("conv_2"), paper=None),
        Row(label="as in the text", variant=find_variant("fc_1"), paper=None),
    ),
)


def records_of(*accuracies, folds=1):
    """One record for each accuracy, `folds` of them in a draw."""
    draws = [number // folds for number in range(len(accuracies))]
    return [
        record(
            d,
            accuracy=a,
            variant=replace(find_variant("fc_1"), recipe=Recipe()),
            images=replace(IMAGES, name="mnist"),
            fold=None if folds == 1 else number % folds,
            folds=max(2, folds),
        )
        for number, (a, d) in enumerate(zip(accuracies, draws, strict=True))
    ]


ROWS = {
    "fc_1": records_of(0.70, 0.78),
    "fc_2": records_of(0.70, 0.71, 0.72),
    "fc_3": records_of(0.70, 0.71, 0.72),
    "conv_1": records_of(0.9),
    "as in the text": records_of(0.499, 0.500, 0.501),
}
SUMMARIES = summarise(STUDY, ROWS)


def test_means_deviations_and_differences():
    fc_1, fc_2, fc_3, conv_1, _ = SUMMARIES
    assert (fc_1.label, fc_1.draws, fc_1.parameters, fc_1.paper_parameters) == ("fc_1", 2, 96_433, 96_433)
    assert fc_1.mean == pytest.approx(0.74)
    assert fc_1.std == pytest.approx(0.08 / 2**0.5)  # over two draws, unbiased
    assert fc_1.deviations == pytest.approx((0.74 - 0.75) / (0.0032 + 0.0009) ** 0.5)
    half = 12.706204736432095 * 0.04  # the t distribution's 97.5 % point, 1 degree of freedom; standard error
    assert (fc_1.low, fc_1.high) == (pytest.approx(0.74 - half), 1.0)  # cut off: 1.25 is no accuracy
    names = [each.verdict and each.verdict.name for each in (fc_1, fc_2, fc_3, conv_1)]
    assert names == ["undecided", "differs", "differs", None]
    assert (conv_1.std, conv_1.low, conv_1.deviations) == (None, None, None)


@pytest.mark.parametrize("accuracies", [(0.55, 0.97), (0.02, 0.3), (0.7, 0.71, 0.72)])
def test_both_intervals_of_a_mean_are_cut_off_at_0_and_1(accuracies):
    records = [record(number, accuracy=accuracy) for number, accuracy in enumerate(accuracies)]
    (summary,) = summarise(STUDY, {"fc_1": records})
    whole = general_of([[(1.0, records)]])
    assert summary.general == replace(whole, low=max(whole.low, 0), high=min(whole.high, 1))
    assert 0 <= summary.general.low < summary.general.high <= 1


def test_a_cross_validated_draw_counts_once_with_the_mean_of_its_folds():
    folds = records_of(0.6, 0.7, 0.8, 0.9, 0.7, 0.7, 0.8, 0.8, folds=4)
    (summary,) = summarise(STUDY, {"conv_2": folds})
    assert summary.draws == 2
    assert summary.mean == pytest.approx(0.75)
    assert summary.std == pytest.approx(0.0, abs=1e-12)


def test_a_draw_that_lacks_a_fold_does_not_count():
    folds = records_of(0.6, 0.7, 0.8, 0.9, 0.99, folds=4)
    (summary,) = summarise(STUDY, {"fc_1": folds})
    assert (summary.draws, summary.mean, summary.verdict) == (1, pytest.approx(0.75), None)
    assert summarise(STUDY, {"fc_1": folds[-1:]}) == []


def test_records_are_assigned_by_the_run_and_not_by_their_own_label():
    first, second = records_of(0.7, 0.8)
    rows = by_row(STUDY, ["fc_2", "fc_1", "fc_3"], [first, second, None])
    assert rows == {"fc_1": [second], "fc_2": [first]}


def printed(study=STUDY, summaries=SUMMARIES, *, width=80):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(study_table(study, summaries))
    return console.export_text()


@pytest.mark.parametrize("width", [120, 80])
def test_the_table_marks_rows_that_disagree_and_gives_the_reason(width):
    lines = {line.split()[0]: line for line in printed(width=width).splitlines() if line.strip()}
    assert "0.740 ± 0.057" in lines["fc_1"]
    assert "undecided" in lines["fc_1"]
    assert "DIFFERS" in lines["fc_2"]
    assert "differs*" in lines["fc_3"]
    shown = " ".join(printed(width=width).split())
    assert "* fc_3: for a reason (as in the text: 0.5000 ± 0.0010, +0.0 ± 0.7 points, undecided)" in shown
    assert "DIFFERS: unexplained (fc_2)" in shown
    assert "…" not in printed(width=width)


@pytest.mark.parametrize(
    ("changes", "evidence", "stands"),
    [
        ({}, records_of(0.499, 0.500, 0.501), True),
        ({}, records_of(0.519, 0.520, 0.521), False),  # it differs, too
        ({}, records_of(0.45, 0.5, 0.55), True),  # undecided, with its mean inside: the verdict stands beside it
        ({}, records_of(0.5), False),  # no spread
        ({}, None, False),  # not measured
        ({}, records_of(*[0.499, 0.5, 0.501, 0.5] * 3, folds=4), False),  # measured in another manner
        ({}, [rerun(each, pairs=500) for each in records_of(0.499, 0.500, 0.501)], False),  # not the paper's setting
        ({"row": ""}, records_of(0.499, 0.500, 0.501), False),  # of an earlier version: it names none
        ({"explains": "lower"}, records_of(0.499, 0.500, 0.501), False),
        ({"explains": "either"}, records_of(0.499, 0.500, 0.501), True),
    ],
)
def test_a_reason_stands_only_where_a_row_trained_so_has_the_figure(changes, evidence, stands):
    row = replace(STUDY.rows[2], reason=replace(REASON, **changes))
    study = replace(STUDY, rows=(row, STUDY.rows[-1]))
    records = {"fc_3": ROWS["fc_3"]} | ({} if evidence is None else {"as in the text": evidence})
    summary = summarise(study, records)[0]
    assert summary.verdict.name == "differs"
    assert summary.explained.startswith("for a reason (as in the text: 0.5") == stands
    assert (summary.explained != "") == stands


def test_rows_of_folds_and_of_test_pairs_in_one_table_say_which():
    folded = records_of(*[0.7, 0.72, 0.74, 0.76] * 2, folds=4)
    mixed = summarise(STUDY, {**ROWS, "conv_2": folded})
    text = markdown_table(mixed)
    assert text.startswith("| row | parameters | measured | on | paper |")
    assert "| fc_1 | 96,433 | 0.7400 ± 0.0566 | test pairs | 0.7500" in text
    assert "| conv_2 | 48,851 | 0.7300 ± 0.0000 | 4 folds |  |" in text
    study = replace(STUDY, rows=(*STUDY.rows[:4], replace(STUDY.rows[4], folds=4), STUDY.rows[5]))
    assert study.heading == "measured"
    headings = [str(column.header) for column in study_table(study, mixed).columns]
    assert headings[:4] == ["row", "parameters", "measured", "on"]
    assert "test" not in headings
    assert "| on |" not in markdown_table(SUMMARIES)
    assert (STUDY.heading, replace(STUDY, cross_validated=True).heading) == ("test", "validation")


def test_a_label_is_never_markup():
    study = replace(STUDY, rows=(replace(STUDY.rows[3], label="[red]mine[/]"),))
    assert "[red]mine[/]" in printed(study, summarise(study, {"[red]mine[/]": records_of(0.9)}))


def test_markdown_has_the_same_figures():
    text = markdown_table(SUMMARIES)
    assert "| fc_1 | 96,433 | 0.7400 ± 0.0566 | 0.7500 ± 0.0300 | -1.0 ± " in text
    assert "| fc_3 | 924,337 | 0.7100 ± 0.0100 | 0.5000 ± 0.0100 | +21.0 ± 2.0 | differs* |" in text
    assert "| conv_1 | 2,571 | 0.9000 |  |  |  |  |" in text
    assert "\n\\* fc_3: for a reason (as in the text: " in text
    assert "\nDIFFERS: unexplained (fc_2).\n" in text
    assert text.splitlines()[-1].startswith("Readings of the paper's ±: as printed, binomial floor, one test set; R ")


def test_columns_that_would_be_empty_are_left_out():
    goal = replace(STUDY.rows[3], goal="≥ 0.8")
    assert markdown_table(summarise(replace(STUDY, rows=(goal,)), {"conv_1": records_of(0.9)})).splitlines() == [
        "| row | parameters | measured | goal |",
        "|---|--:|--:|---|",
        "| conv_1 | 2,571 | 0.9000 | ≥ 0.8 |",
    ]
    (first, *_) = markdown_table(summarise(STUDY, {"conv_1": records_of(0.9)})).splitlines()
    assert first == "| row | parameters | measured |"


def test_the_line_below_a_table_names_all_machines():
    first = record()
    other = replace(first, environment=replace(first.environment, hardware="another CPU, 64 cores"))
    line = measured_on([first, other])
    kernels = f", {first.environment.kernels} kernels" if first.environment.kernels else ""
    assert f"{first.environment.hardware}, cpu{kernels} / another CPU, 64 cores, cpu{kernels}" in line
    assert "torch " in line


def test_two_kinds_of_kernels_in_one_table_are_both_named():
    first = record()
    records = [replace(first, environment=replace(first.environment, kernels=each)) for each in ("AVX2", "", "AVX512")]
    own = f"{first.environment.hardware}, cpu"
    assert f"; {own} / {own}, AVX2 kernels / {own}, AVX512 kernels; " in measured_on(records)


def test_settings_unlike_the_papers_are_named():
    usual = record(variant=replace(find_variant("fc_1"), recipe=Recipe()), images=replace(IMAGES, name="mnist"))
    assert unlike_the_paper(STUDY, {"fc_1": [usual]}) == ""
    variant = replace(usual.run.variant, recipe=Recipe(epochs=1))
    other = rerun(usual, variant=variant, pairs=20, test_pairs=20, images=IMAGES)
    assert unlike_the_paper(STUDY, {"fc_1": [other]}) == (
        "not the paper's setting, so no verdicts: 1 epoch instead of the recipe's; 20 pairs instead of 1,000; "
        "images of mnist5k instead of full MNIST"
    )
    drawn = [rerun(replace(other, accuracy=each.accuracy), seed=each.run.seed) for each in records_of(0.1, 0.2)]
    (summary,) = summarise(STUDY, {"fc_1": drawn})
    assert (summary.deviations, summary.verdict, summary.explained) == (None, None, "")
    eight = [rerun(usual, fold=fold, folds=8) for fold in range(8)]
    assert unlike_the_paper(STUDY, {"fc_1": eight}) == "not the paper's setting, so no verdicts: 8 folds instead of 4"
    assert "50 test pairs instead of 1,000" in unlike_the_paper(STUDY, {"fc_1": [rerun(usual, test_pairs=50)]})
