"""The report: means, deviations and differences against hand arithmetic; rows that disagree are marked."""

import io
from dataclasses import replace

import pytest
from record_examples import record
from rich.console import Console

from pairnet.models.paper import Figure
from pairnet.models.variants import find_variant
from pairnet.reporting import report
from pairnet.study.tables import Row, Study

STUDY = Study(
    name="x",
    title="Table X",
    rows=(
        Row(label="fc_1", variant=find_variant("fc_1"), paper=Figure(mean=0.75, std=0.03)),
        Row(label="fc_2", variant=find_variant("fc_2"), paper=Figure(mean=0.5, std=0.01)),
        Row(label="fc_3", variant=find_variant("fc_3"), paper=Figure(mean=0.5, std=0.01), explained="for a reason"),
        Row(label="conv_1", variant=find_variant("conv_1"), paper=None),
        Row(label="conv_2", variant=find_variant("conv_2"), paper=None),
    ),
)


def records_of(label, *accuracies, fold=None):
    return [
        replace(
            record(), row=label, accuracy=accuracy, seeds={**record().seeds, "train_draw": number // (4 if fold else 1)}
        )
        for number, accuracy in enumerate(accuracies)
    ]


RECORDS = [
    *records_of("fc_1", 0.70, 0.78),
    *records_of("fc_2", 0.70, 0.72),
    *records_of("fc_3", 0.70, 0.72),
    *records_of("conv_1", 0.9),
]


def test_means_deviations_and_differences():
    fc_1, fc_2, fc_3, conv_1 = report.summarise(STUDY, RECORDS)
    assert (fc_1.label, fc_1.draws, fc_1.parameters, fc_1.paper_parameters) == ("fc_1", 2, 96_433, 96_433)
    assert fc_1.mean == pytest.approx(0.74)
    assert fc_1.std == pytest.approx(0.08 / 2**0.5)  # over two draws, unbiased
    assert fc_1.difference == pytest.approx((0.74 - 0.75) / (0.0032 + 0.0009) ** 0.5)
    assert (fc_1.agrees, fc_2.agrees, fc_3.agrees, conv_1.agrees) == (True, False, False, None)
    assert (conv_1.std, conv_1.difference) == (None, None)


def test_a_cross_validated_draw_counts_once_with_the_mean_of_its_folds():
    (summary,) = report.summarise(STUDY, records_of("conv_2", 0.6, 0.7, 0.8, 0.9, 0.7, 0.7, 0.8, 0.8, fold=True))
    assert summary.draws == 2
    assert summary.mean == pytest.approx(0.75)
    assert summary.std == pytest.approx(0.0, abs=1e-12)


def shown(width=120):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(report.study_table(STUDY, report.summarise(STUDY, RECORDS)))
    return console.export_text()


@pytest.mark.parametrize("width", [120, 80])
def test_the_table_marks_rows_that_disagree_and_says_why(width):
    lines = {line.split()[0]: line for line in shown(width).splitlines() if line.strip()}
    assert "0.740 ± 0.057" in lines["fc_1"]
    assert "agrees" in lines["fc_1"]
    assert "DIFFERS" in lines["fc_2"]
    assert "differs*" in lines["fc_3"]
    assert "* fc_3: for a reason" in shown(width)
    assert "…" not in shown(width)


def test_markdown_says_the_same():
    text = report.markdown(STUDY, report.summarise(STUDY, RECORDS))
    assert "| fc_1 | 96,433 | 0.7400 ± 0.0566 | 0.7500 ± 0.0300 | -0.2 | agrees |" in text
    assert "| conv_1 | 2,571 | 0.9000 | – |  |  |" in text
    assert text.endswith("\\* fc_3: for a reason.")


def test_the_line_below_a_table_names_all_machines():
    first = record()
    other = replace(first, environment=replace(first.environment, hardware="another CPU, 64 cores"))
    line = report.measured_on([first, other])
    assert f"{first.environment.hardware}, cpu / another CPU, 64 cores, cpu" in line
    assert "torch " in line
