"""A whole report from synthetic studies: what it says, what is on its page, and the files next to it."""

import csv
import html
import json
import re
from dataclasses import replace

import pytest
from record_examples import record
from reporting.studies import MNIST, epochs, rows
from reporting.test_effects import planted

from pairnet.errors import ArgumentError
from pairnet.models.variants import find_variant
from pairnet.reporting.drawings import drawings
from pairnet.reporting.figures.accuracy import Point, accuracy_against
from pairnet.reporting.figures.errors import errors_by_difference
from pairnet.reporting.files import write_report
from pairnet.reporting.report import gather
from pairnet.reporting.selection import choose
from pairnet.study.files import read_study

MANY = [
    *rows("3", planted(dropout=0.04)),
    *rows("2-folds", {f"a_w_net in 4 folds, loss ratio {ratio}": (0.89, 0.9, 0.91) for ratio in ("2", "1", "0.5")}),
    *rows("dropout", {f"final_model, dropout {rate}": (0.9, 0.92) for rate in ("0", "0.4", "0.6")}),
]


def made(records, **more):
    return gather(choose(records), **more)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(made(MANY), path)
    return path


def test_three_sentences_say_what_was_asked_what_came_out_and_what_differs():
    asked, came_out, differs = made(MANY).sentences
    assert "Table III, Section VII and Table II by cross-validation" in asked
    assert "12 rows, 6 trained on 1,000 pairs and 6 on 750, of mnist" in asked
    assert "weight sharing by itself: +3.0 points (+3.0 to +3.0), better;" in came_out
    assert "the auxiliary loss by itself: +8.0 points (+7.9 to +8.1), better;" in came_out
    assert "dropout: +4.0 points (+4.0 to +4.0), better;" in came_out
    assert "sharing with the auxiliary loss against sharing without: -0.0 points (-0.0 to +0.0), equivalent within" in (
        came_out
    )
    assert came_out.startswith("Of 5 rows with a figure of the paper: 4 different, 1 undecided; weight sharing")
    assert differs.startswith("What differs from the paper: ")
    assert "and a_w_net by -3.6 points" in differs  # a_w_net_bn does not have the figure here either
    assert differs.endswith("(unexplained).")


def test_another_setting_than_the_papers_gets_no_verdicts():
    report = made(rows("3", planted(), pairs=500, test_pairs=500))
    assert all(summary.verdict is None for table in report.tables for summary in table.summaries)
    assert report.sentences[2].startswith("Not the paper's setting, so no verdicts: 500 pairs instead of 1,000")


def test_a_single_run_is_a_report():
    report = made(rows("3", {"w_net": (0.87,)}))
    ((summary,),) = (table.summaries for table in report.tables)
    assert (summary.draws, summary.std, summary.verdict) == (1, None, None)
    assert report.families == ()
    assert "1 row, each trained" in report.sentences[0]


def test_images_that_are_not_at_hand_are_said_to_be_missing(written):
    assert made(MANY).mistakes is None
    assert "were not at hand when this page was written" in written.read_text()


def test_the_page_needs_nothing_else_and_has_every_section(written):
    page = written.read_text()
    for section in ("results", "effects", "size", "settings", "courses", "networks", "mistakes", "origins"):
        assert f'id="{section}"' in page
    outside = re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"|url\((?!#)([^)]*)\)', page)
    assert outside == []
    assert "<script" not in page
    assert page.count("<svg") == page.count('role="img"') > 10
    identifiers = re.findall(r'\bid="([^"]*)"', page)
    assert len(identifiers) == len(set(identifiers))


def test_every_result_is_on_the_page(written):
    page = html.unescape(written.read_text())
    report = made(MANY)
    for table in report.tables:
        for each in table.summaries:
            assert each.label in page
            assert f"{each.mean:.4f} ± {each.std:.4f}" in page
            if each.verdict:
                assert f"{100 * each.verdict.difference:+.1f} ± " in page
    for family in report.families:
        for effect in family.effects:
            assert f"{100 * effect.comparison.difference:+.2f}" in page
    assert MNIST.checksum in page
    assert "pairnet reproduce --table 3 --draws 10 --data mnist --measurements every" in page


def test_text_of_records_is_never_markup(tmp_path):
    label = '<script>alert(1)</script> $x_1$ & "mine"'
    mine = replace(find_variant("fc_1"), name="mine", net="fc(392,7) fc(7,1)", parameters=None)
    own = [record(draw, variant=mine, label=label, images=MNIST, epochs=epochs(25, 0.7)) for draw in range(2)]
    write_report(made([*own, *rows("3", {"w_net": (0.87, 0.88)})]), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page
    assert html.escape(label, quote=False)[:20] in page
    assert all(path.parent == tmp_path / "figures" for path in (tmp_path / "figures").rglob("*"))


def test_the_files_beside_the_page(written):
    folder = written.parent
    with (folder / "results.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(MANY)
    assert sorted(float(line["accuracy"]) for line in lines) == sorted(each.accuracy for each in MANY)
    summary = json.loads((folder / "summary.json").read_text())
    assert set(summary["tables"]) == {"2-folds", "3", "dropout"}
    assert summary["tables"]["3"]["rows"][0]["label"] == "no_w_net"
    assert summary["families"]["3"]["effects"][0]["comparison"]["draws"] == 10
    names = {path.stem for path in (folder / "figures").iterdir()}
    assert {"accuracy-parameters", "loss-ratio", "dropout-rate", "a_w_net-loss", "network-a_w_net"} <= names
    for name in names:
        assert (folder / "figures" / f"{name}.svg").stat().st_size > 1000
        assert (folder / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    files = [".pairnet.json", "contrasts.csv", "figures", "report.html", "results.csv", "rows.csv", "summary.json"]
    assert sorted(path.name for path in folder.iterdir()) == files


def test_the_same_records_make_the_same_page(tmp_path):
    for name in ("one", "other"):
        write_report(made(rows("3", {"w_net": (0.87, 0.88)})), tmp_path / name / "report.html")
    one, other = (tmp_path / name / "report.html" for name in ("one", "other"))
    assert one.read_text() == other.read_text()


def test_files_of_something_else_are_not_overwritten(tmp_path):
    (tmp_path / "results.csv").write_text("mine")
    with pytest.raises(ArgumentError, match=r"new or empty folder for a report, .* with results\.csv"):
        write_report(made(rows("3", {"w_net": (0.87, 0.88)})), tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]
    with pytest.raises(ArgumentError, match=r'expected `output` to end in \.html, got "report.pdf"'):
        write_report(made(rows("3", {"w_net": (0.87, 0.88)})), tmp_path / "report.pdf")


def test_a_report_replaces_an_older_one_whole_and_nothing_else(tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "photo.png").write_text("mine")
    (tmp_path / "index.html").write_text("mine")
    report = made(rows("3", {"w_net": (0.87, 0.88)}))
    for name in ("index.html", "new.html"):
        with pytest.raises(ArgumentError, match="expected a new or empty folder for a report"):
            write_report(report, tmp_path / name)
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(ArgumentError, match="expected a new or empty folder for a report"):
        write_report(report, tmp_path / "folder.html")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures", "folder.html", "index.html"]
    write_report(report, tmp_path / "own" / "report.html")
    (tmp_path / "own" / "figures" / "photo.png").write_text("mine")
    write_report(made(rows("3", {"a_net": (0.91, 0.92, 0.93)})), tmp_path / "own" / "report.html")
    assert len((tmp_path / "own" / "results.csv").read_text().splitlines()) == 4
    names = {path.name for path in (tmp_path / "own" / "figures").iterdir()}
    assert {"photo.png", "a_net-loss.svg"} <= names
    assert "w_net-loss.svg" not in names


def test_a_report_of_a_version_without_marks_is_replaced(tmp_path):
    path, report = tmp_path / "report.html", made(rows("3", {"a_net": (0.91, 0.92)}))
    write_report(report, path)
    for each in (".pairnet.json", "rows.csv"):  # which those versions did not write
        (tmp_path / each).unlink()
    (tmp_path / "figures" / "photo.png").write_text("mine")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ArgumentError, match="expected a new or empty folder for a report"):
        write_report(report, tmp_path / "other.html")
    write_report(made(rows("3", {"w_net": (0.87, 0.88)})), path)
    assert not (tmp_path / "figures" / "a_net-loss.svg").exists()
    assert [(tmp_path / name).read_text() for name in ("figures/photo.png", "notes.txt")] == ["mine", "mine"]
    with pytest.raises(ArgumentError, match=r"report\.html for `output`, the page there, got .*other\.html"):
        write_report(report, tmp_path / "other.html")


def test_labels_that_are_alike_or_long_have_figures_of_their_own():
    mine = replace(find_variant("fc_1"), name="mine", net="fc(392,7) fc(7,1)", parameters=None)
    other = replace(mine, net="fc(392,9) fc(9,1)")
    own = [
        record(draw, variant=variant, label=label, images=MNIST, epochs=epochs(25, 0.7))
        for variant, label in ((mine, "a b"), (other, "a-b"), (replace(mine, net="fc(392,1)"), "ü" * 400))
        for draw in range(2)
    ]
    names = [drawing.name for drawing in drawings(made(own))]
    assert len(names) == len(set(names))
    assert max(map(len, names)) < 100
    assert sum(name.startswith("network-mine") for name in names) == 3


def lines(figure):
    """The points of the lines of a diagram."""
    return [line.get_xydata().tolist() for line in figure.axes[0].lines if len(line.get_xydata()) > 1]


def drawn_of_grids(tmp_path, *grids, accuracy_of=lambda row: 0.8):
    """The curves of a report on a study file with these [[rows]]."""
    path = tmp_path / "grid.toml"
    path.write_text('title = "Rates"\n' + "".join(f"[[rows]]\n{grid}\n" for grid in grids))
    study = read_study(path)
    shared = {"images": MNIST, "epochs": epochs(25, 0.7)}
    own = [
        record(draw, variant=row.variant, label=row.label, accuracy=accuracy_of(row), **shared)
        for row in study.rows
        for draw in range(2)
    ]
    return [each for each in drawings(gather(choose(own, own=[study]))) if each.section == "settings"]


def test_rows_of_folds_and_of_test_pairs_say_which_on_the_page(tmp_path):
    (tmp_path / "both.toml").write_text(
        '[[rows]]\nvariant = "fc_1"\n[[rows]]\nvariant = "fc_1"\nlabel = "folded"\nset = { folds = 2 }\n'
    )
    study = read_study(tmp_path / "both.toml")
    tested = [record(draw, label="fc_1", images=MNIST) for draw in range(2)]
    folded = [record(draw, label="folded", images=MNIST, fold=fold, folds=2) for draw in range(2) for fold in (0, 1)]
    pages = {}
    for name, records in (("both", [*tested, *folded]), ("one", tested)):
        write_report(gather(choose(records, own=[study])), tmp_path / name / "report.html")
        table = (tmp_path / name / "report.html").read_text().partition('id="table-both"')[2].partition("</table>")[0]
        pages[name] = (
            re.findall(r"<th>(\w+), mean ± std</th>", table),
            re.findall(r'data-label="on"[^>]*>([^<]*)', table),
        )
    assert pages == {"both": (["measured"], ["test pairs", "2 folds"]), "one": (["test"], [])}


def legend_of(drawing):
    return [text.get_text() for text in drawing.draw().axes[0].get_legend().get_texts()]


def legends(tmp_path, *grids):
    return [(each.name, legend_of(each)) for each in drawn_of_grids(tmp_path, *grids)]


def test_a_grid_of_ones_own_gets_a_curve_for_each_combination_of_the_others(tmp_path):
    accuracy = {0.0001: 0.7, 0.001: 0.9, 0.003: 0.8}
    (drawing,) = drawn_of_grids(
        tmp_path,
        'variant = "final_model"\ngrid = { optimiser = ["adam", "sgd"], learning_rate = [1e-4, 1e-3, 3e-3] }',
        'variant = "w_net"',
        accuracy_of=lambda row: accuracy[row.variant.recipe.learning_rate] - (0.1 if "sgd" in row.label else 0.0),
    )
    assert (drawing.name, drawing.caption) == ("learning-rate", "Rates.")
    adam, sgd = lines(drawing.draw())
    assert adam == [[at, pytest.approx(mean)] for at, mean in accuracy.items()]
    assert sgd == [[at, pytest.approx(mean - 0.1)] for at, mean in accuracy.items()]
    assert drawing.draw().axes[0].get_xscale() == "log"
    assert legend_of(drawing) == ["final_model, adam", "final_model, sgd"]


def test_figures_show_the_numbers_of_the_records():
    report = made(MANY)
    figures = {drawing.name: drawing.draw() for drawing in drawings(report)}
    ratios = lines(figures["loss-ratio"])[0]
    assert ratios == [[0.5, pytest.approx(0.9)], [1.0, pytest.approx(0.9)], [2.0, pytest.approx(0.9)]]
    band = figures["loss-ratio"].axes[0].collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(0.9 + 0.01)  # over three draws, not twelve folds
    training, held_out = lines(figures["a_w_net-loss"])
    assert training[0] == [1, pytest.approx(0.7)]
    assert held_out[-1] == [25, pytest.approx(0.6)]
    best = max(report.tested, key=lambda each: each.mean)
    assert best.label == "final_model"
    costs = [figures[f"accuracy-{name}"].axes[0].get_xlim() for name in ("parameters", "multiply-adds")]
    assert costs[0] != costs[1]
    front = [line for line in lines(figures["accuracy-parameters"]) if len(line) > 1]
    assert any(point[1] == pytest.approx(best.mean) for line in front for point in line)
    calibration = figures["calibration-w_net"].axes
    assert calibration[0].lines[1].get_xydata().tolist() == [[0.9, 0.8], [0.98, 0.96]]
    assert [bar.get_height() for bar in calibration[1].patches] == [5000, 5000]


def test_the_square_holds_the_four_networks(written):
    page = html.unescape(written.read_text())
    square = page.partition('<table class="square">')[2].partition("</table>")[0]
    order = [square.index(name) for name in (">no_w_net<", ">a_net<", ">w_net<", ">a_w_net_bn<")]
    assert order == sorted(order)


def test_few_measurements_are_said_to_be_too_few(tmp_path):
    few = [
        replace(each, epochs=epochs(25, each.accuracy, measured=False)) for each in rows("3", {"a_w_net": (0.9, 0.91)})
    ]
    report = made(few)
    assert [course.enough for course in report.courses] == [False]
    write_report(report, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "The held-out pairs were measured 1 times in 25 epochs, too few" in page
    assert "--measurements every" in page


def test_of_rows_with_the_same_cost_the_best_and_those_of_the_paper_are_named():
    points = [
        Point(label="low", cost=100, mean=0.8, std=0.01, paper=None),
        Point(label="printed", cost=100, mean=0.7, std=0.01, paper=0.7),
        Point(label="+ a change with a very long name", cost=100, mean=0.9, std=0.01, paper=None),
        Point(label="alone", cost=1000, mean=0.6, std=None, paper=None),
    ]
    figure = accuracy_against(points, cost="parameters")
    assert {text.get_text() for text in figure.axes[0].texts} == {"printed", "+ a ch…ery long name", "alone"}


def test_a_single_draw_is_said_to_have_no_verdict():
    *_, differs = made(rows("3", {"final_model": (0.95,), "w_net": (0.87,)})).sentences
    assert differs.startswith("A single draw has no spread, so there is no verdict")


def test_an_effect_that_chance_may_explain_is_not_stated_as_one():
    accuracies = planted()
    accuracies["final_model"] = (0.94, 0.86, 0.9)
    _, came_out, _ = made(rows("3", accuracies)).sentences
    assert re.search(r"dropout: [^;]*, undecided, final_model without draws 3, 4, 5, 6, 7, 8, 9;", came_out)
    assert re.search(r"auxiliary loss by itself: [^;]*\), better;", came_out)


def test_error_bands_end_at_100_percent():
    figure = errors_by_difference({"wild": [(-1, 0.9, 0.8), (0, 0.5, 0.1)]})
    vertices = figure.axes[0].collections[0].get_paths()[0].vertices
    assert vertices[:, 1].min() == pytest.approx(10)
    assert vertices[:, 1].max() == 100


def test_an_axis_of_less_than_a_decade_has_numbers():
    points = [Point(label=str(cost), cost=cost, mean=0.9, std=None, paper=None) for cost in (110_000, 250_000)]
    figure = accuracy_against(points, cost="parameters")
    figure.draw_without_rendering()
    low, high = figure.axes[0].get_xlim()
    assert sum(low <= at <= high for at in figure.axes[0].get_xticks()) >= 1


def test_two_grids_of_one_label_are_two_curves(tmp_path):
    figures = legends(
        tmp_path,
        'variant = "w_net"\nset = { optimiser = "sgd" }\ngrid = { learning_rate = [0.1, 0.3] }',
        'variant = "w_net"\ngrid = { learning_rate = [0.001, 0.003] }',
    )
    assert figures == [("learning-rate", ["w_net (rows 1)", "w_net (rows 2)"])]


def test_each_swept_number_has_a_figure_and_switches_have_none(tmp_path):
    figures = legends(
        tmp_path,
        'variant = "w_net"\n'
        "grid = { learning_rate = [0.001, 0.003, 0.01], batch = [25, 50], recalibrate = [true, false] }",
    )
    assert [name for name, _ in figures] == ["learning-rate", "batch"]
    assert figures[0][1] == [f"w_net, batch {n}, recalibrate {on}" for n in (25, 50) for on in ("on", "off")]
    assert len(figures[1][1]) == 6


def test_more_curves_than_colours_are_several_figures(tmp_path):
    figures = legends(
        tmp_path, 'variant = "w_net"\ngrid = { learning_rate = [0.001, 0.003], loss_ratio = [1, 2, 3, 4, 5, 6, 7] }'
    )
    assert [(name, len(labels)) for name, labels in figures] == [
        ("learning-rate", 6),
        ("learning-rate-2", 1),
        ("loss-ratio", 2),
    ]


def test_labels_of_curves_are_text_and_none_is_hidden(tmp_path):
    figures = legends(
        tmp_path,
        'variant = "w_net"\nlabel = "fc $\\\\frac$ 1"\ngrid = { learning_rate = [0.001, 0.003] }',
        'variant = "a_net"\nlabel = "_mine"\ngrid = { learning_rate = [0.001, 0.003] }',
    )
    ((_, labels),) = figures
    assert labels == ["fc $\\frac$ 1", "\u200b_mine"]
    for each in drawings(gather(choose(rows("3", {"w_net": (0.8, 0.9)})))):
        each.draw().draw_without_rendering()
