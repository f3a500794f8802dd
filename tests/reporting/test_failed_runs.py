"""Rows with failed draws: no output of a study hides them, and survivors alone win nothing and have no verdict."""

import csv
import io
import json
from dataclasses import replace

import pytest
from failed_examples import failed
from record_examples import record
from reporting.studies import MNIST, rows
from rich.console import Console

from pairnet.reporting import files, page, results, terminal
from pairnet.reporting.cells import cells
from pairnet.reporting.changes import compare_folders
from pairnet.reporting.drawings import drawings
from pairnet.reporting.figures.accuracy import pareto
from pairnet.reporting.markdown import markdown_table
from pairnet.reporting.report import gather
from pairnet.reporting.selection import choose
from pairnet.reporting.summaries import best_of
from pairnet.study.files import read_study

NEAR = (0.951, 0.95, 0.949, 0.95, 0.951, 0.95)


def study_in_thirds():
    """Records and failures of Table III: a row whose draws all finish, one that loses 2 of 6, one that loses all."""
    records = rows("3", {"w_net": NEAR, "final_model": [each + 0.03 for each in NEAR], "a_net": NEAR})
    lost = {("final_model", 1): 2, ("final_model", 4): 5, **{("a_net", draw): 1 for draw in range(6)}}
    failures = [failed(each, epoch=epoch) for each in records if (epoch := lost.get((each.run.name, each.run.seed)))]
    done = {each.fingerprint for each in failures}
    return [each for each in records if each.fingerprint not in done], failures


RECORDS, FAILURES = study_in_thirds()


def report_on(records=RECORDS, failures=FAILURES):
    return gather(choose(records, failures=failures))


def outputs(report, folder):
    """The text of each output of a report, without figures."""
    table = report.tables[0]
    console = Console(file=io.StringIO(), width=60)
    console.print(terminal.study_table(table.study, table.summaries))
    results.write_results(folder / "results.csv", *runs_of(report))
    with (folder / "results.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    return {
        "terminal": " ".join(console.file.getvalue().split()),
        "Markdown": markdown_table(table.summaries),
        "page": page.report_page(report, [], {}),
        "results.csv": "\n".join(f"{each['row']} {each['outcome']} {each['failed_epoch']}" for each in lines),
        "summary.json": json.dumps(files.summary_of(report)["tables"]["3"]["rows"]),
        "sentences": " ".join(report.sentences),
        "origins": json.dumps(report.origins.failed),
    }


def runs_of(report):
    return report.selection.records, [each for found in report.selection.failures.values() for each in found]


WORDS = (
    "final_model: 2 of 6 draws failed: 2 diverged in epochs 2 to 5; the mean is over the other 4",
    "a_net: all 6 draws failed: 6 diverged in epoch 1",
)


def hiding(found):
    """The outputs that do not say how many draws of each row failed, how, and when."""
    counts = {
        "results.csv": lambda text: (text.count("final_model diverged"), text.count("a_net diverged 1")),
        "summary.json": lambda text: tuple(
            sum(draw["kind"] == "diverged" for draw in row["failed"])
            for label in ("final_model", "a_net")
            for row in json.loads(text)
            if row["label"] == label
        ),
        "origins": lambda text: tuple(
            int(dict(json.loads(text)).get(label, "0").split()[0]) for label in ("final_model", "a_net")
        ),
    }
    return {
        name
        for name, text in found.items()
        if (counts[name](text) != (2, 6) if name in counts else not all(words in text for words in WORDS))
    }


def test_every_output_counts_and_names_the_failed_draws(tmp_path):
    assert hiding(outputs(report_on(), tmp_path)) == set()


@pytest.mark.parametrize(
    ("module", "function", "output"),
    [
        (terminal, "failure_notes", {"terminal"}),
        (page, "failure_notes", set()),  # the first sentences of the page say it, too
        ("pairnet.reporting.markdown", "failure_notes", {"Markdown"}),
        ("pairnet.reporting.report", "_failed", {"sentences"}),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_an_output_that_drops_them_is_noticed(tmp_path, monkeypatch, module, function, output):
    name = module if isinstance(module, str) else module.__name__
    monkeypatch.setattr(f"{name}.{function}", lambda *_: [])
    assert hiding(outputs(report_on(), tmp_path)) == output


def test_failures_that_are_dropped_from_the_rows_are_noticed_everywhere(tmp_path):
    assert hiding(outputs(report_on(failures=[]), tmp_path)) == {
        "terminal",
        "Markdown",
        "page",
        "results.csv",
        "summary.json",
        "sentences",
        "origins",
    }


def test_a_row_all_of_whose_draws_failed_stays_a_row():
    (table,) = report_on().tables
    row = next(each for each in table.summaries if each.label == "a_net")
    assert (row.draws, len(row.failed), row.mean, row.std, row.low, row.seconds) == (0, 6, None, None, None, None)
    headings, lines = cells(table.summaries, places=4)
    shown = {line[0]: dict(zip(headings, line, strict=True)) for line in lines}
    assert shown["a_net"]["measured"] == "none †"
    assert shown["final_model"]["measured"].endswith(" †")
    assert "†" not in shown["w_net"]["measured"]


def test_a_row_with_failed_draws_has_no_verdict_and_says_so():
    (table,) = report_on().tables
    found = {each.label: each for each in table.summaries}
    assert found["w_net"].verdict is not None
    assert not found["w_net"].withheld
    for label in ("final_model", "a_net"):
        assert (found[label].verdict, found[label].deviations, found[label].withheld) == (None, None, True)
    headings, lines = cells(table.summaries, places=4)
    assert {line[0]: line[headings.index("verdict")] for line in lines}["a_net"] == "withheld"
    whole = report_on([*RECORDS], []).tables[0]
    assert next(each for each in whole.summaries if each.label == "final_model").verdict is not None


def test_survivors_win_nothing():
    report = report_on()
    assert max(report.tested, key=lambda each: each.mean).label == "final_model"
    assert best_of(report.tested).label == "w_net"
    assert "the best network of those whose draws all finished is w_net with 0.95" in report.sentences[1]
    none_whole = [failed(each) for each in RECORDS if each.run.name == "w_net" and each.run.seed == 0]
    records = [each for each in RECORDS if each.fingerprint != none_whole[0].fingerprint]
    report = report_on(records, [*FAILURES, *none_whole])
    assert best_of(report.tested) is None
    assert "No network finished all of its draws, so none is called the best" in report.sentences[1]


def test_a_point_of_survivors_is_crossed_out_and_not_on_the_front():
    (drawing,) = (each for each in drawings(report_on()) if each.name == "accuracy-parameters")
    (axes,) = drawing.draw().axes
    (crosses,) = (line for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata()))
    (row,) = (each for each in report_on().tested if each.label == "final_model")
    assert crosses.get_xydata().tolist() == [[row.parameters, row.mean]]
    assert "the best is w_net" in drawing.description
    assert WORDS[0] in drawing.caption
    points = drawing.draw.args[0]
    assert {point.label for point in points if point.failed} == {"final_model"}
    assert "final_model" in {point.label for point in pareto(points)}  # by its mean it would be


def test_a_curve_over_a_setting_does_not_join_survivors_and_marks_what_has_no_point(tmp_path):
    text = (
        'title = "Rates"\ndata = "mnist"\n[[rows]]\nvariant = "fc_1"\ngrid = { learning_rate = [0.001, 0.01, 0.1] }\n'
    )
    (tmp_path / "rates.toml").write_text(text)
    study = read_study(tmp_path / "rates.toml")
    made = [
        record(draw, label=row.label, variant=row.variant, images=MNIST, accuracy=accuracy)
        for row, accuracy in zip(study.rows, (0.7, 0.9, 0.8), strict=True)
        for draw in range(3)
    ]
    lost = [failed(each) for each in (made[3], *made[6:])]  # a draw of the best rate, and every draw of the largest
    done = [each for each in made if each.fingerprint not in {each.fingerprint for each in lost}]
    report = gather(choose(done, failures=lost, own=[study]))
    (drawing,) = (each for each in drawings(report) if each.section == "settings")
    assert drawing.description.endswith("The highest mean is 0.7000, at 0.001.")
    assert "learning rate 0.01: 1 of 3 draws failed" in drawing.caption
    assert "learning rate 0.1: all 3 draws failed" in drawing.caption
    (axes,) = drawing.draw().axes
    marks = {
        marker: [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == marker] for marker in "Dxo"
    }
    assert marks["D"] == [[[0.01, 0.9]], []]  # the second is the legend's
    ((cross,), _) = marks["x"]
    assert (cross[0], axes.lines[2].get_transform() == axes.get_xaxis_transform()) == (0.1, True)
    (joined,) = marks["o"]
    assert [x for x, y in joined if y == y] == [0.001]
    assert sorted(text.get_text() for text in axes.texts) == ["3 of 3 failed", "†"]
    (area,) = (each for each in axes.collections if each.get_alpha() == 0.2)
    assert {x for path in area.get_paths() for x, _ in path.vertices} <= {0.001}
    (bars,) = (each for each in axes.collections if each is not area)
    assert {x for segment in bars.get_segments() for x, _ in segment} == {0.001}  # no interval of survivors
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names[1:] == ["† some draws failed: mean of the others", "all draws failed"]


def test_a_curve_without_any_finished_draw_is_in_the_figure(tmp_path):
    (tmp_path / "two.toml").write_text(
        'data = "mnist"\n[[rows]]\nvariant = "fc_1"\ngrid = { optimiser = ["adam", "sgd"], batch = [10, 20] }\n'
    )
    study = read_study(tmp_path / "two.toml")
    made = [record(draw, label=row.label, variant=row.variant, images=MNIST) for row in study.rows for draw in range(2)]
    report = gather(choose(made[:4], failures=[failed(each) for each in made[4:]], own=[study]))
    (drawing,) = (each for each in drawings(report) if each.section == "settings")
    (axes,) = drawing.draw().axes
    assert [text.get_text() for text in axes.texts] == ["2 of 2 failed"] * 2
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "fc_1, adam",
        "fc_1, sgd",
        "all draws failed",
    ]


def test_courses_say_over_how_many_draws_they_are():
    captions = {each.group: each.caption for each in drawings(report_on()) if each.section == "courses"}
    assert captions["final_model"] == "Over 4 of 6 draws: the others failed."
    assert captions["w_net"] == ""


def test_failures_of_another_setting_are_left_out_and_named():
    other = [failed(each) for each in rows("3", {"w_net": [0.9, 0.9]}, pairs=100, test_pairs=100)]
    report = report_on(failures=[*FAILURES, *other, replace(other[0], run=None, label="old")])
    assert hiding({"sentences": " ".join(report.sentences)}) == set()
    lines = [line for line in report.selection.left_out if "failed" in line]
    assert lines == [
        "2 failed runs of w_net: 25 epochs, 100 pairs of mnist, on cpu",
        "1 failed run of old, recorded without settings",
    ]


def test_a_network_of_no_table_may_have_nothing_but_failed_draws():
    other = [failed(each) for each in rows("3", {"w_net": [0.9, 0.9]}, label="mine")]
    variant = replace(other[0].run.variant, head="fc(256,64) fc(64,1)", parameters=None, name="mine")
    other = [
        replace(each, run=(run := replace(each.run, variant=variant)), fingerprint=run.fingerprint) for each in other
    ]
    report = report_on(failures=[*FAILURES, *other])
    (row,) = report.others
    assert (row.label, row.draws, len(row.failed)) == ("mine", 0, 2)
    assert "mine: all 2 draws failed" in report.sentences[-1]


def test_two_folders_with_other_failures_are_undecided():
    records = rows("3", {"w_net": NEAR, "a_net": NEAR})
    lost = [each for each in records if each.run.name == "w_net" and each.run.seed in (1, 2)]
    left = [each for each in records if each not in lost]
    changes = compare_folders(records, left, new_failed=[failed(each) for each in lost])
    found = {row.label: row for row in changes.rows}
    assert (found["w_net"].verdict, found["w_net"].old_failed, found["w_net"].new_failed) == ("undecided", 0, 2)
    assert found["a_net"].verdict == "identical"
    assert "w_net 0 → 2" in changes.sentences[0]
    assert "0 → 2" in page.changes_page(changes)
    gone = [failed(each) for each in records if each.run.name == "a_net"]
    changes = compare_folders(records, [each for each in records if each.run.name != "a_net"], new_failed=gone)
    assert any("6 failed draws in the second folder" in line for line in changes.left_out)
