"""Sweeps: learning curves, curves over structure and interaction plots, as values and as they are drawn."""

import json
from dataclasses import replace

import numpy as np
import pytest
from record_examples import record
from reporting.studies import MNIST, epochs

from pairnet.reporting.drawings import drawings
from pairnet.reporting.figures.curves import curves
from pairnet.reporting.files import summary_of, write_report
from pairnet.reporting.report import gather
from pairnet.reporting.selection import choose
from pairnet.reporting.summaries import interval_of_mean
from pairnet.reporting.sweeps import sweeps_of
from pairnet.study.files import read_study

PAIRS = (100, 300, 1000)
LEARNING = "".join(f'[[rows]]\nvariant = "{name}"\ngrid = {{ pairs = {list(PAIRS)} }}\n' for name in ("fc_1", "conv_1"))
WORDS = (
    '[[rows]]\nvariant = "fc_1"\ngrid = { optimiser = ["adam", "sgd"], schedule = ["constant", "cosine", "linear"] }\n'
)
STRUCTURE = """
[variants.mine]
net = "fc(392,{units}) fc({units},1)"
[[rows]]
variant = "mine"
grid = { units = [2, 5, 9] }
"""


def accuracy_of(row, draw):
    return round(0.5 + 0.4 * (hash_of(row.label) % 97) / 97 + 0.01 * draw, 6)


def hash_of(text):
    return sum(ord(letter) * 31**at for at, letter in enumerate(text))


@pytest.fixture
def report_on(tmp_path):
    def make(text, draws=4):
        path = tmp_path / "my.toml"
        path.write_text(text)
        study = read_study(path)
        own = [
            record(
                draw,
                variant=row.variant,
                label=row.label,
                images=MNIST,
                pairs=row.pairs or 1000,
                epochs=epochs(row.variant.recipe.epochs, 0.7),
                accuracy=accuracy_of(row, draw),
            )
            for row in study.rows
            for draw in range(draws)
        ]
        return gather(choose(own, own=[study]))

    return make


def only(report):
    (table,) = [table for table in report.tables if table.study.name == "my"]
    return table, list(sweeps_of(table))


def test_a_grid_over_pairs_is_a_learning_curve_of_each_row(report_on):
    table, (sweep,) = only(report_on(LEARNING))
    assert (sweep.key, sweep.setting, sweep.words, sweep.geometric) == ("pairs", "pairs", (), True)
    assert list(sweep.lines) == ["fc_1", "conv_1"]
    rows = {row.label: row for row in table.study.rows}
    for name, line in sweep.lines.items():
        assert [at for at, _ in line] == [*PAIRS]
        for at, each in line:
            row = rows[f"{name}, pairs {at:g}"]
            accuracies = [accuracy_of(row, draw) for draw in range(4)]
            assert each.mean == pytest.approx(np.mean(accuracies))
            assert (each.low, each.high) == pytest.approx(interval_of_mean(accuracies))


def test_a_learning_curve_has_a_logarithmic_axis_and_an_interval_at_each_point(report_on):
    (drawing,) = [each for each in drawings(report_on(LEARNING)) if each.section == "settings"]
    _, (sweep,) = only(report_on(LEARNING))
    (axes,) = drawing.draw().axes
    assert (axes.get_xscale(), axes.get_xlabel()) == ("log", "pairs")
    assert axes.get_xticks().tolist() == [*PAIRS]
    drawn = [each for each in axes.collections if hasattr(each, "get_segments") and len(each.get_segments())]
    for bars, line in zip(drawn, sweep.lines.values(), strict=True):
        expected = [[[at, each.low], [at, each.high]] for at, each in line]
        assert np.allclose([segment.tolist() for segment in bars.get_segments()], expected)


def test_the_interval_of_two_draws_is_not_drawn(report_on):
    (drawing,) = [each for each in drawings(report_on(LEARNING, 2)) if each.section == "settings"]
    (axes,) = drawing.draw().axes
    assert not any(hasattr(each, "get_segments") and len(each.get_segments()) for each in axes.collections)


@pytest.mark.parametrize(("count", "ticks"), [(3, 3), (6, 6), (9, 5)])
def test_a_logarithmic_axis_within_a_decade_has_numbers(report_on, count, ticks):
    at = [100 + 50 * step for step in range(count)]
    _, (sweep,) = only(report_on(f'[[rows]]\nvariant = "fc_1"\ngrid = {{ pairs = {at} }}\n'))
    (axes,) = curves(sweep.lines, setting="pairs", measure="accuracy", geometric=True).axes
    assert axes.get_xscale() == "log"
    assert len(axes.get_xticks()) == ticks
    assert set(axes.get_xticks()) <= set(at)


def test_steps_are_held_while_pairs_are_swept(report_on):
    _, (sweep,) = only(report_on(LEARNING.replace("grid", "set = { steps = 80 }\ngrid")))
    assert [at for at, _ in sweep.lines["fc_1"]] == [*PAIRS]


def test_a_grid_over_structure_is_a_curve_over_its_number(report_on):
    _, (sweep,) = only(report_on(STRUCTURE))
    assert (sweep.setting, sweep.geometric) == ("units", False)
    assert [(at, row.structure) for at, row in sweep.lines["mine"]] == [
        (units, f"fc(392,{units}) fc({units},1)") for units in (2, 5, 9)
    ]


def test_two_settings_of_words_are_an_interaction_plot(report_on):
    report = report_on(WORDS)
    _, (sweep,) = only(report)
    assert (sweep.setting, sweep.words) == ("schedule", ("constant", "cosine", "linear"))
    assert list(sweep.lines) == ["fc_1, adam", "fc_1, sgd"]
    for name, line in sweep.lines.items():
        optimiser = name.removeprefix("fc_1, ")
        assert [(at, row.label) for at, row in line] == [
            (at, f"fc_1, optimiser {optimiser}, schedule {word}") for at, word in enumerate(sweep.words)
        ]
    (drawing,) = [each for each in drawings(report) if each.section == "settings"]
    best = max((row for line in sweep.lines.values() for _, row in line), key=lambda row: row.mean)
    word = best.label.rpartition(" ")[2]
    assert drawing.description.endswith(f"The highest mean is {best.mean:.4f}, at {word}.")
    (axes,) = drawing.draw().axes
    assert [text.get_text() for text in axes.get_xticklabels()] == [*sweep.words]
    assert [line.get_ydata().tolist() for line in axes.lines] == [
        [row.mean for _, row in line] for line in sweep.lines.values()
    ]


@pytest.mark.parametrize(
    ("grid", "settings"),
    [
        ('optimiser = ["adam", "sgd"]', []),  # one setting of two words is no curve
        ('optimiser = ["adam", "sgd"], schedule = ["cosine"]', []),
        ("recalibrate = [true, false], warp = [false, { rotation = 3 }]", ["recalibrate"]),
        ('optimiser = ["adam", "sgd"], learning_rate = [1e-3, 3e-3]', ["learning rate"]),
        ('optimiser = ["adam", "sgd"], schedule = ["cosine", "linear"], batch = [25, 50]', ["batch"]),
    ],
)
def test_what_is_swept_decides_which_figures_there_are(report_on, grid, settings):
    _, found = only(report_on(f'[[rows]]\nvariant = "fc_1"\ngrid = {{ {grid} }}\n'))
    assert [sweep.setting for sweep in found] == settings


def test_a_row_without_a_finished_draw_is_no_point(report_on):
    report = report_on(WORDS)
    table, _ = only(report)
    fewer = replace(table, summaries=table.summaries[1:])
    (sweep,) = sweeps_of(fewer)
    assert sum(len(line) for line in sweep.lines.values()) == 5


def test_the_values_of_each_figure_are_in_the_summary(report_on, tmp_path):
    report = report_on(LEARNING + WORDS)
    write_report(report, tmp_path / "out" / "report.html")
    stored = json.loads((tmp_path / "out" / "summary.json").read_text())["sweeps"]
    assert stored == summary_of(report)["sweeps"]
    _, sweeps = only(report)
    assert [each["setting"] for each in stored] == [sweep.setting for sweep in sweeps] == ["pairs", "schedule"]
    for each, sweep in zip(stored, sweeps, strict=True):
        assert each["words"] == [*sweep.words]
        for name, line in sweep.lines.items():
            assert [(point["at"], point["mean"], point["low"]) for point in each["lines"][name]] == [
                (at, row.mean, row.low) for at, row in line
            ]
