"""The search of readings: what is counted, and what choice alone brings inside, against independent arithmetic."""

from dataclasses import replace

import numpy as np
import pytest
from record_examples import EPOCH, IMAGES, record

from bench import readings
from bench.readings import FOLDER, MARGIN, READINGS, SPAN, by_choice, collect, figures, on_other_draws, page
from pairnet.records.store import append
from pairnet.study.files import read_study
from pairnet.study.plan import plan

KNOWN = figures()


def test_eighteen_figures_and_every_row_of_a_reading_is_one_of_theirs():
    assert [sum(each.table == table for each in KNOWN) for table in ("I", "II", "III")] == [7, 5, 6]
    labels = {each.label for each in KNOWN}
    files = {path.stem for path in FOLDER.glob("*.toml")}
    assert files == {each.file for each in READINGS}
    for file in files:
        rows = {row.label for row in read_study(FOLDER / f"{file}.toml").rows}
        assert rows == labels or (rows < labels and file == "as-in-the-text")


def test_a_reading_that_is_one_setting_apart_from_the_first_changes_nothing_else():
    first = {row.label: row.variant for row in read_study(FOLDER / "as-trained.toml").rows}
    changes = {
        "batch-100": lambda v: replace(v, recipe=replace(v.recipe, batch=100)),
        "no-activation": lambda v: replace(v, activation="none"),
        "sigmoid": lambda v: replace(v, activation="sigmoid"),
        "folds": lambda v: v,
        "fixed-pairs": lambda v: v,
    }
    for file, change in changes.items():
        rows = read_study(FOLDER / f"{file}.toml").rows
        assert {row.label: row.variant for row in rows} == {label: change(v) for label, v in first.items()}
    runs = plan(read_study(FOLDER / "fixed-pairs.toml"), IMAGES, draws=3)
    assert {(run.seeds.train_draw, run.seeds.test_draw) for run in runs} == {(0, 1)}
    assert {run.seeds.weights for run in runs} == {0, 1, 2}


def test_one_reading_brings_by_choice_what_its_margin_covers():
    best, each_row = by_choice(np.zeros((1, 18)), range(18))
    assert best.mean() == pytest.approx(18 * MARGIN / SPAN, rel=0.02)
    assert (best == each_row).all()


def test_more_readings_bring_more_by_choice_as_the_union_of_their_margins_says():
    means = np.array([[0.0, 0.0], [0.02, 0.01], [np.nan, -0.045]])
    best, each_row = by_choice(means, range(2))
    covered = [0.03 + 0.02, 0.015 + 0.025 + 0.02]  # the last one ends at the span
    assert each_row.mean() == pytest.approx(sum(covered) / (2 * SPAN), rel=0.03)
    assert 2 * MARGIN / SPAN < best.mean() < each_row.mean()


def test_figures_outside_the_first_reading_are_drawn_outside_it():
    _, each_row = by_choice(np.array([[0.0], [0.02]]), range(1), least=MARGIN)
    assert each_row.mean() == pytest.approx((0.035 - MARGIN) / (2 * (SPAN - MARGIN)), rel=0.05)


def test_a_figure_that_stands_in_two_tables_is_drawn_once():
    best, _ = by_choice(np.zeros((1, 2)), [0, 0])
    assert set(best) == {0, 2}


def test_a_choice_is_counted_on_draws_that_it_was_not_made_on():
    figure = KNOWN[0]
    right, far = figure.printed.mean, figure.printed.mean + 0.1
    lucky = {"first": {figure.label: [far] * 4}, "other": {figure.label: [right, far, right, far]}}
    assert on_other_draws(lucky, [figure]) == (0.0, 0.0)
    true = {"first": {figure.label: [far] * 4}, "other": {figure.label: [right] * 4}}
    assert on_other_draws(true, [figure]) == (1.0, 0.0)


@pytest.fixture
def runs(tmp_path):
    """Two draws of every row of some readings, each at the paper's figure or two points above."""
    printed = {each.label: each.printed.mean for each in KNOWN}
    for file, shift in (("as-trained", 0.0), ("no-activation", 0.02), ("folds", 0.02)):
        written = set()
        for run in plan(read_study(FOLDER / f"{file}.toml"), IMAGES, draws=2):
            if run.fingerprint not in written:
                written.add(run.fingerprint)
                accuracy = printed[run.label] + shift
                last = replace(EPOCH, validation_accuracy=accuracy)
                made = replace(record(accuracy=accuracy), run=run, fingerprint=run.fingerprint, wrong=None)
                append(tmp_path, replace(made, epochs=(last,) * run.recipe.epochs))
    return tmp_path


def test_the_page_counts_what_is_inside(runs):
    found = collect(runs)
    assert list(found) == ["as trained", "best epoch", "10 epochs", "no activation", "one draw of pairs", "4 folds"]
    text = page(found)
    assert "| I | fc_1 | 0.765 | **+0.0** |" in text
    assert "| as trained | 18 | " in text
    assert "| no activation | 0 | " in text
    assert "With Table II in 4 folds, as it was measured here before, 13 are inside." in text
    assert "| the first reading | 18 | 5.4 | |" in text


def test_a_document_gets_the_tables_between_its_marks(runs, tmp_path, monkeypatch):
    path = tmp_path / "page.md"
    path.write_text("# Readings\n\n<!-- python -m bench.readings -->\nold\n<!-- end -->\nafter\n")
    monkeypatch.setattr("sys.argv", ["readings", str(runs), "--document", str(path)])
    readings.main()
    text = path.read_text()
    assert text.startswith("# Readings\n\n<!-- python -m bench.readings -->\n\n| table | row |")
    assert text.endswith("\n\n<!-- end -->\nafter\n")
    assert "\nold\n" not in text


RECORDS = FOLDER / "records"


@pytest.mark.skipif(not RECORDS.exists(), reason="a source distribution has no records")
def test_the_tables_of_the_page_are_those_of_its_records():
    assert f"\n{page(collect(RECORDS))}\n\n<!-- end -->" in (FOLDER.parent / "readings.md").read_text()
