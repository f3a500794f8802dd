"""What diagrams show, read back from matplotlib and compared with NumPy, SciPy and the records: points, bars, bands,
limits, ticks, labels, looks and legends."""

import math
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from record_examples import record
from reporting.held import Line, band_of, bars_of, legend_looks, look, margins, points_of
from reporting.studies import MNIST, bins, rows

from pairnet.models.variants import find_variant
from pairnet.reporting.figures.accuracy import Point, accuracy_against, names, pareto
from pairnet.reporting.figures.calibration import reliability_diagram
from pairnet.reporting.figures.curves import curves
from pairnet.reporting.figures.drawing import FAINT, INK, SERIES, STYLE, band, legend, panel, style
from pairnet.reporting.figures.errors import errors_by_difference
from pairnet.reporting.figures.history import PANELS, course, history
from pairnet.reporting.figures.rendering import render
from pairnet.reporting.summaries import summarise
from pairnet.study.tables import studies

MEASURED = Line(colour=SERIES[0], marker="o", size=4, hollow=False, width=0, style="")
PAPER = Line(colour=SERIES[1], marker="o", size=6, hollow=True, width=0, style="")
FRONT = Line(colour=FAINT, marker="", size=0, hollow=False, width=1.5, style="-")


def point(label, cost, mean, std=0.01, paper=None):
    return Point(label=label, cost=cost, mean=mean, std=std, paper=paper)


POINTS = {
    "decades": [
        point("small", 1_000, 0.8, 0.02, 0.81),
        point("middle", 30_000, 0.9, 0.03),
        point("worse", 40_000, 0.7, None, 0.6),
        point("large $x_1$", 2_000_000, 0.95, 0.005, 0.96),
        point("last", 3_000_000, 0.94, 0.01),
    ],
    "near": [point("one", 100_000, 0.9), point("two", 220_000, 0.9), point("three", 250_000, 0.89, 0.02)],
    "alone": [point("alone", 500, 0.5, None)],
    "equal": [point("a", 500, 0.5), point("b", 500, 0.6, None, 0.7), point("c", 500, 0.55)],
    "two": [point("a", 500, 0.5), point("b", 15_000, 0.6)],
    "a decade and a half": [point("a", 1_000, 0.5), point("b", 1_000 * 10**1.5, 0.4)],
}
GROUPS = pytest.mark.parametrize("points", POINTS.values(), ids=POINTS)


@GROUPS
def test_accuracy_against_cost_shows_each_network_with_its_deviation_and_the_papers(points):
    (axes,) = accuracy_against(points, cost="parameters").axes
    containers = [bars_of(container) for container in axes.containers]
    bars = [[] if each.std is None else [(each.cost, each.mean - each.std, each.mean + each.std)] for each in points]
    assert [[pytest.approx(bar) for bar in each] for each in bars] == containers
    for container, each in zip(axes.containers, points, strict=True):
        assert points_of(container[0]) == [(each.cost, each.mean)]
        assert look(container[0]) == MEASURED
        for collection in container[2]:
            assert [to_hex(colour) for colour in collection.get_colors()] == [SERIES[0]]
            assert collection.get_linewidths() == [1]
    hollow = [line for line in axes.lines if look(line) == PAPER and points_of(line)]
    assert [points_of(line) for line in hollow] == [[(each.cost, each.paper)] for each in points if each.paper]
    (front,) = [line for line in axes.lines if look(line) == FRONT and points_of(line)]
    better = [
        each
        for each in points
        if not any(
            (o.cost <= each.cost and o.mean > each.mean) or (o.cost < each.cost and o.mean == each.mean) for o in points
        )
    ]
    assert points_of(front) == [(each.cost, each.mean) for each in sorted(better, key=lambda each: each.cost)]
    assert front.get_drawstyle() == "steps-post"
    marks = [container[0].get_zorder() for container in axes.containers]
    assert front.get_zorder() < min(marks)
    assert all(line.get_zorder() < min(marks) for line in hollow)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("parameters (logarithmic)", "accuracy, mean ± std over draws")


@GROUPS
def test_the_axis_of_costs_has_room_for_labels_and_numbers_that_can_be_read(points):
    figure = accuracy_against(points, cost="parameters")
    (axes,) = figure.axes
    costs = [math.log10(each.cost) for each in points]
    span = max(costs) - min(costs) or 1
    left, right = map(math.log10, axes.get_xlim())
    assert (min(costs) - left, right - max(costs)) == pytest.approx((0.06 * span, 0.35 * span))
    assert axes.get_xscale() == "log"
    ticks = [tick for tick in axes.get_xticks() if 10**left <= tick <= 10**right]
    numbers = [digit * 10.0**power for power in range(9) for digit in ((1, 2, 5) if span < 1.5 else (1,))]
    assert ticks == pytest.approx([number for number in numbers if 10**left <= number <= 10**right])
    prefixes = {"": 1, "k": 1e3, "M": 1e6}
    for tick in ticks:
        number, _, prefix = axes.xaxis.get_major_formatter()(tick).partition(" ")
        assert float(number) * prefixes[prefix] == pytest.approx(tick)
    assert axes.xaxis.get_minor_formatter()(30.0) == ""


@GROUPS
def test_the_legend_looks_like_what_it_explains(points):
    (axes,) = accuracy_against(points, cost="parameters").axes
    expected = {"measured": MEASURED}
    if any(each.paper is not None for each in points):
        expected["paper"] = PAPER
    if len(pareto(points)) > 1:
        expected["best for its size"] = FRONT
    assert legend_looks(axes) == expected
    assert list(legend_looks(axes)) == list(expected)
    assert axes.get_legend()._get_loc() == 4, "lower right, where no label is"


@GROUPS
def test_the_labels_are_next_to_their_marks(points):
    (axes,) = accuracy_against(points, cost="parameters").axes
    assert [(text.get_text(), *text.xy) for text in axes.texts] == names(points)
    for text in axes.texts:
        assert (text.xyann, text.anncoords) == ((6, 4), "offset points")
        assert (text.get_fontsize(), text.get_va(), text.get_color()) == (7, "center", INK)
        assert not text.get_parse_math()


ANY_POINTS = st.lists(
    st.builds(
        Point,
        label=st.text("ab ", min_size=1, max_size=40).map(str.strip).filter(bool),
        cost=st.sampled_from([100, 150, 1_000, 5_500, 100_000]),
        mean=st.integers(50, 100).map(lambda value: value / 100),
        std=st.none(),
        paper=st.sampled_from([None, None, 0.9]),
    ),
    min_size=1,
    max_size=12,
)


@given(points=ANY_POINTS)
def test_labels_never_overlap_and_move_no_further_than_they_must(points):
    best = {cost: max(each.mean for each in points if each.cost == cost) for cost in {each.cost for each in points}}
    named = [each for each in points if each.paper is not None]
    found = names(points)
    assert len(found) >= max(len(named), len(best))
    means = [each.mean for each in points]
    line = max(max(means) - min(means), 0.02) / 20
    assert {cost for _, cost, _ in found} == set(best)
    assert max(height for *_, height in found) == max(means)
    for number, (text, cost, height) in enumerate(found):
        assert len(text) <= 20
        of_it = re.compile(".*".join(map(re.escape, text.split("…"))))
        owners = [each for each in points if each.cost == cost and of_it.fullmatch(each.label)]
        assert owners
        close = [other for _, at, other in found[:number] if abs(math.log10(at / cost)) < 0.7]
        assert all(abs(height - other) > line * (1 - 1e-9) for other in close)
        steps = [(each.mean - height) / (line / 4) for each in owners]
        assert any(step >= -1e-6 and abs(step - round(step)) < 1e-6 for step in steps), "in steps of a quarter line"
        if not any(abs(step) < 1e-6 for step in steps):  # it moved: one step higher it would overlap
            assert any(abs(height + line / 4 - other) < line * (1 + 1e-9) for other in close)


@pytest.mark.parametrize(("length", "shown"), [(19, "x" * 19), (20, "x" * 20), (21, "x" * 6 + "…" + "x" * 13)])
def test_long_labels_are_shortened(length, shown):
    ((text, cost, height),) = names([point("x" * length, 100, 0.5)])
    assert (text, cost, height) == (shown, 100, 0.5)
    assert names([point("x" * 5 + " " + "y" * 19, 100, 0.5)])[0][0] == "x" * 5 + "…" + "y" * 13


@given(points=ANY_POINTS)
def test_the_front_is_what_no_other_network_reaches(points):
    expected = {
        (each.cost, each.mean)
        for each in points
        if not any(
            (o.cost <= each.cost and o.mean > each.mean) or (o.cost < each.cost and o.mean >= each.mean) for o in points
        )
    }
    found = [(each.cost, each.mean) for each in pareto(points)]
    assert found == sorted(expected)


# What figures share


@pytest.mark.parametrize("height", [None, 2.5, 3.8])
def test_margins_are_the_same_in_all_panels(height):
    with style():
        figure, axes = panel() if height is None else panel(height=height)
    assert figure.get_size_inches() == pytest.approx((4.4, height or 3.3))
    assert margins(axes) == pytest.approx((0.68, 0.48, 0.12, 0.12))
    axes.set_xlabel("x")
    figure.draw_without_rendering()
    place = axes.xaxis.label.get_transform().transform(axes.xaxis.label.get_position()) / figure.dpi
    assert place == pytest.approx(((4.4 - 0.12 + 0.68) / 2, 0.48 - 0.28))


@given(
    points=st.lists(
        st.tuples(st.integers(-9, 9), st.floats(-1, 2), st.floats(0, 1)), min_size=2, unique_by=lambda each: each[0]
    ),
    size=st.sampled_from([None, 4]),
    limits=st.sampled_from([None, (0.0, 1.0)]),
    marks=st.sampled_from([None, "-"]),
    label=st.sampled_from(["plain", "_hidden", "$x$"]),
)  # fmt: skip
def test_a_band_is_the_means_with_so_much_on_both_sides(points, size, limits, marks, label):
    with style():
        _, axes = panel()
        more = {"size": size, "limits": limits, "marks": marks}
        band(axes, points, colour="#123456", label=label, **{k: v for k, v in more.items() if v is not None})
    (line,), (area,) = axes.lines, axes.collections
    assert points_of(line) == [(x, mean) for x, mean, _ in points]
    low, high = limits or (-math.inf, math.inf)
    expected = {x: sorted((max(low, mean - half), min(high, mean + half))) for x, mean, half in points}
    assert band_of(area) == {x: pytest.approx(tuple(ends)) for x, ends in sorted(expected.items())}
    assert look(line) == Line(
        colour="#123456",
        marker="o" if marks is None else "",
        size=(size or 3) if marks is None else 0,
        hollow=False,
        width=1.4,
        style="-",
    )
    assert line.get_label() == ("\u200b_hidden" if label == "_hidden" else label)
    assert (to_hex(area.get_facecolor()[0]), area.get_alpha(), area.get_linewidths()[0]) == ("#123456", 0.2, 0)


def test_a_legend_is_small_and_shows_text():
    with style():
        _, axes = panel()
        axes.plot([1, 2], [3, 4], label="$x$")
        legend(axes)
    assert list(legend_looks(axes)) == ["$x$"]
    assert axes.get_legend()._get_loc() == 0, "where there is room"
    assert not axes.get_legend().get_frame_on()


def test_the_style_of_all_figures():
    figure = errors_by_difference({"w_net": [(-1, 0.1, 0.02), (0, 0.2, 0.01)]})
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert {name: spine.get_visible() for name, spine in axes.spines.items()} == {
        "left": True, "bottom": True, "right": False, "top": False,
    }  # fmt: skip
    assert {to_hex(spine.get_edgecolor()) for spine in axes.spines.values()} == {INK}
    for axis in (axes.xaxis, axes.yaxis):
        assert to_hex(axis.label.get_color()) == INK
        for tick in axis.get_major_ticks():
            assert to_hex(tick.label1.get_color()) == to_hex(tick.tick1line.get_color()) == INK
            assert (to_hex(tick.gridline.get_color()), tick.gridline.get_visible()) == (FAINT, True)
            assert (tick.gridline.get_alpha(), tick.gridline.get_linewidth()) == (0.35, 0.6)
            assert (tick.label1.get_fontsize(), tick.label1.get_fontfamily()) == (9, ["sans-serif"])
    assert to_hex(axes.get_legend().get_texts()[0].get_color()) == INK
    svg, _ = render(figure, name="x")
    assert "<text" in svg, "text stays text"
    title = reliability_diagram({"w_net": bins(100)}).axes[0]
    assert title.get_title(loc="left").startswith("w_net")
    assert (title._left_title.get_fontsize(), STYLE["axes.titlelocation"]) == (10, "left")
    assert STYLE["text.hinting"] == "none", "as wide in pixels as in points"
    assert (STYLE["savefig.transparent"], STYLE["axes.titley"], "backend" in STYLE) == (False, 1, False)


@pytest.mark.parametrize("one", SERIES)
def test_the_colours_can_be_told_apart_and_seen_on_white(one):
    colours = {name: [int(name[at : at + 2], 16) for at in (1, 3, 5)] for name in (*SERIES, INK, FAINT)}
    own = colours.pop(one)
    assert all(math.dist(own, other) > 50 for other in colours.values())
    linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in own]
    luminance = np.dot((0.2126, 0.7152, 0.0722), linear)
    assert 1.05 / (luminance + 0.05) > 3, "the contrast that WCAG asks of graphics"


# Errors by difference


def test_errors_are_percent_with_their_intervals():
    rates = {
        "one": [(-3, 0.1, 0.02), (0, 0.5, 0.7), (9, 0.25, 0.05)],
        "two": [(-9, 0.0, 0.01), (1, 1.0, 0.1)],
    }
    (axes,) = errors_by_difference(rates).axes
    assert len(axes.lines) == len(axes.collections) == 2
    for line, area, colour, values in zip(axes.lines, axes.collections, SERIES, rates.values(), strict=False):
        assert points_of(line) == [(x, pytest.approx(100 * mean)) for x, mean, _ in values]
        expected = {x: (max(0, 100 * (mean - half)), min(100, 100 * (mean + half))) for x, mean, half in values}
        assert band_of(area) == {x: pytest.approx(ends) for x, ends in expected.items()}
        assert (look(line).colour, look(line).marker, to_hex(area.get_facecolor()[0])) == (colour, "o", colour)
    assert {label: each.colour for label, each in legend_looks(axes).items()} == dict(zip(rates, SERIES, strict=False))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("second digit minus first", "pairs decided wrongly, %")
    assert axes.get_ylim()[0] == 0
    ticks = axes.get_xticks().tolist()
    assert (ticks[0], ticks[-1]) == (-9, 9), "the differences of two digits"
    assert set(np.diff(ticks)) == {3}


# Courses


def course_records():
    """Two draws of three folds whose metrics are all different."""
    found = []
    for number, each in enumerate(rows("2-folds", {"a_w_net in 4 folds, loss ratio 1": (0.8, 0.9)}, folds=3)):
        changed = [
            replace(epoch, **{
                name: None if value is None else value + 0.01 * number * (at + 1)
                for name, value in asdict(epoch).items()
            })
            for at, epoch in enumerate(each.epochs)
        ]  # fmt: skip
        found.append(replace(each, epochs=tuple(changed[:5])))
    return found


METRICS = {
    "loss": {"training": "train_loss", "held-out pairs": "validation_loss"},
    "auxiliary-loss": {"training": "train_auxiliary_loss", "held-out pairs": "validation_auxiliary_loss"},
    "accuracy": {
        "training": "train_accuracy",
        "held-out pairs": "validation_accuracy",
        "held-out digits": "validation_digit_accuracy",
    },
}


def test_courses_are_means_and_deviations_over_draws():
    records = course_records()
    figures = history(records)
    assert list(figures) == list(METRICS)
    for name, draw in figures.items():
        (axes,) = draw().axes
        assert axes.get_xlabel() == "epoch"
        assert axes.get_ylabel() == {each[0]: each[1] for each in PANELS}[name]
        assert (axes.get_ylim()[0] == 0) == ("loss" in name)
        assert list(legend_looks(axes)) == list(METRICS[name])
        for colour, line, area, (label, metric) in zip(
            SERIES, axes.lines, axes.collections, METRICS[name].items(), strict=False
        ):
            values = np.array([[getattr(epoch, metric) for epoch in each.epochs] for each in records])
            draws = values.reshape(2, 3, -1).mean(1)  # [draws,epochs]: the folds of a draw are one value
            means, spreads = draws.mean(0), draws.std(0, ddof=1)
            assert points_of(line) == [(at + 1, pytest.approx(mean)) for at, mean in enumerate(means)]
            ends = {at + 1: (m - s, m + s) for at, (m, s) in enumerate(zip(means, spreads, strict=True))}
            assert band_of(area) == {at: pytest.approx(each) for at, each in ends.items()}
            assert (look(line).colour, line.get_label()) == (colour, label)


@pytest.mark.parametrize("count", [1, 2, 9, 10, 25])
def test_few_measurements_are_marked(count):
    (each,) = rows("3", {"w_net": (0.8,)})
    (axes,) = history([replace(each, epochs=each.epochs[:count])])["loss"]().axes
    assert {look(line).marker for line in axes.lines} == {"o" if count < 10 else ""}
    axes.figure.draw_without_rendering()
    ticks = axes.get_xticks()
    assert all(tick == round(tick) for tick in ticks), "epochs are whole"


def test_an_epoch_counts_only_where_every_run_measured_it():
    one, other = rows("3", {"w_net": (0.8, 0.9)})
    epochs = [replace(each, validation_loss=None) if at % 2 else each for at, each in enumerate(other.epochs)]
    found = course([one, replace(other, epochs=tuple(epochs[:9]))], lambda epoch: epoch.validation_loss)
    assert [at for at, *_ in found] == [1, 3, 5, 7, 9]
    assert "auxiliary-loss" not in history(
        [replace(one, epochs=tuple(replace(e, train_auxiliary_loss=None, validation_auxiliary_loss=None)
                                   for e in one.epochs))])  # fmt: skip
    assert [spread for *_, spread in course([one], lambda epoch: epoch.train_loss)] == [0] * 25


# Curves over a setting


def summary(mean, std, paper=None, paper_std=None):
    (study,) = [studies()["3"]]
    (made,) = summarise(
        replace(study, rows=study.rows[:1]), {study.rows[0].label: rows("3", {study.rows[0].label: (0.8, 0.9)})}
    )
    return replace(made, mean=mean, std=std, paper_mean=paper, paper_std=paper_std)


LINE = [(0.5, summary(0.8, 0.02, 0.82, 0.03)), (0.1, summary(0.7, None)), (0.2, summary(0.75, 0.01, 0.7, None))]


@pytest.mark.parametrize("several", [False, True])
def test_curves_show_means_deviations_and_the_papers(several):
    lines = {"one": LINE, **({"two": [(at, summary(0.9, 0.1)) for at in (0.3, 0.6)]} if several else {})}
    (axes,) = curves(lines, setting="rate", measure="accuracy, cross-validated").axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("rate", "accuracy, cross-validated")
    bands = [collection for collection in axes.collections if collection.get_alpha() == 0.2]
    drawn = [line for line in axes.lines if look(line).width]
    assert len(bands) == len(drawn) == len(lines)
    for colour, line, area, values in zip(SERIES, drawn, bands, lines.values(), strict=False):
        values = sorted(values, key=lambda value: value[0])
        assert points_of(line) == [(at, row.mean) for at, row in values]
        ends = {at: (row.mean - (row.std or 0), row.mean + (row.std or 0)) for at, row in values}
        assert band_of(area) == {at: pytest.approx(each) for at, each in ends.items()}
        expected = Line(colour=colour, marker="o", size=4, hollow=False, width=1.4, style="-")
        assert look(line) == expected
    (container,) = axes.containers
    assert points_of(container[0]) == [(0.5, 0.82), (0.2, 0.7)]
    assert bars_of(container) == [pytest.approx((0.5, 0.79, 0.85)), pytest.approx((0.2, 0.7, 0.7))]
    mark = Line(colour=INK if several else SERIES[1], marker="o", size=6, hollow=True, width=0, style="")
    assert look(container[0]) == mark
    assert container[2][0].get_linewidths() == [1]
    assert to_hex(container[2][0].get_colors()[0]) == mark.colour
    shown = legend_looks(axes)
    assert list(shown) == [*(lines if several else ["measured, mean ± std over draws"]), "paper"]
    assert shown["paper"] == mark


@pytest.mark.parametrize(
    ("at", "logarithmic", "ticks"),
    [
        ((1, 5, 9.9), False, None),
        ((1, 5, 10), True, [1, 5, 10]),
        ((0, 1, 100), False, None),
        ((0.001, 0.003, 0.01, 0.03, 0.1, 0.3), True, [0.001, 0.003, 0.01, 0.03, 0.1, 0.3]),
        ((0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1), True, None),
    ],
)
def test_settings_over_a_decade_have_a_logarithmic_axis_with_their_own_numbers(at, logarithmic, ticks):
    figure = curves({"one": [(each, summary(0.8, 0.1)) for each in at]}, setting="rate", measure="accuracy")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert (axes.get_xscale() == "log") == logarithmic
    assert list(legend_looks(axes)) == ["measured, mean ± std over draws"], "nothing of the paper"
    if ticks:
        assert axes.get_xticks().tolist() == ticks
    if logarithmic:
        shown = [tick for tick in axes.get_xticks() if at[0] <= tick <= at[-1]]
        assert [axes.xaxis.get_major_formatter()(tick, 0) for tick in shown] == [f"{tick:g}" for tick in shown]
        assert len(axes.xaxis.get_minorticklocs()) == 0
        assert ticks or all(math.log10(tick) == pytest.approx(round(math.log10(tick))) for tick in shown)


# Calibration


@pytest.mark.parametrize("width", [None, 3.6])
@pytest.mark.parametrize("count", [1, 2])
def test_a_reliability_diagram_shows_fractions_counts_and_the_error(width, count):
    found = [(0, 0.0, 0)] * len(bins(100))
    found[2], found[9], found[-1] = (10, 1.3, 2), (1, 0.47, 1), (4_000, 3_900.0, 3_950)
    names = {"one $x$": tuple(found), "two": bins(1000)}
    shown = dict(list(names.items())[:count])
    figure = reliability_diagram(shown) if width is None else reliability_diagram(shown, width=width)
    assert len(figure.axes) == 2 * count
    for number, (name, own) in enumerate(shown.items()):
        above, below = figure.axes[number], figure.axes[count + number]
        filled = np.array([each for each in own if each[0]])
        at, fraction = filled[:, 1] / filled[:, 0], filled[:, 2] / filled[:, 0]
        diagonal, line = above.lines
        assert points_of(diagonal) == [(0, 0), (1, 1)]
        assert look(diagonal) == Line(colour=FAINT, marker="", size=0, hollow=False, width=1, style="--")
        assert line.get_xydata() == pytest.approx(np.stack([at, fraction], 1))
        assert look(line) == Line(colour=SERIES[0], marker="o", size=4, hollow=False, width=1.5, style="-")
        heights = [(bar.get_x() + bar.get_width() / 2, bar.get_width(), bar.get_height()) for bar in below.patches]
        assert np.array(heights) == pytest.approx(np.stack([at, np.full(len(at), 0.05), filled[:, 0]], 1))
        assert {to_hex(bar.get_facecolor()) for bar in below.patches} == {SERIES[0]}
        error = np.average(np.abs(at - fraction), weights=filled[:, 0])
        assert above.get_title(loc="left") == f"{name}, pooled ECE {100 * error:.2f} %"
        assert not above._left_title.get_parse_math()
        assert (below.get_yscale(), below.get_xlabel(), above.get_xlabel()) == ("log", "P(first ≤ second)", "")
        assert (above.get_ylabel(), below.get_ylabel()) == (("fraction in order", "pairs") if not number else ("", ""))
    check_places(figure, width or 4.2, count)


def check_places(figure: Figure, width, count):
    """The squares are square and in their places, the counts below them as wide."""
    assert figure.get_size_inches() == pytest.approx((width * count, width + 0.4))
    figure.draw_without_rendering()
    side = 0.8 * (width - 0.45)
    for number in range(count):
        above, below = (figure.axes[at].get_window_extent() for at in (number, count + number))
        dots = figure.dpi
        assert (above.width / dots, above.height / dots) == pytest.approx((side, side), abs=0.03)
        assert above.x0 / dots == pytest.approx(number * width + 0.72, abs=0.02)
        assert (below.x0, below.x1) == pytest.approx((above.x0, above.x1), abs=2)
        assert below.y0 / dots == pytest.approx(0.48)
        assert (figure.bbox.height - above.y1) / dots == pytest.approx(0.25, abs=0.03)
        assert below.height / above.height == pytest.approx(1 / 4, abs=0.02)
        assert (above.y0 - below.y1) / dots == pytest.approx(0.12, abs=0.03)
        assert figure.axes[number].get_xlim() == figure.axes[count + number].get_xlim()
        assert figure.axes[number].get_ylim() == figure.axes[0].get_ylim()
        assert figure.axes[count + number].get_ylim() == figure.axes[count].get_ylim()


def test_counts_are_written_as_powers_of_ten():
    axes = reliability_diagram({"one": bins(1000)}).axes[1]
    axes.figure.draw_without_rendering()
    major, minor = axes.yaxis.get_major_formatter(), axes.yaxis.get_minor_formatter()

    def value(text):
        whole = re.fullmatch(r"(?:(\d+)×)?10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)", text)
        return float(whole[1] or 1) * 10 ** float(whole[2].translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))

    axes.set_ylim(20, 60)  # where numbers between the powers are shown
    for power in (-2, 0, 1, 2, 10):
        assert value(major(10.0**power)) == pytest.approx(10.0**power)
    axes.figure.draw_without_rendering()
    texts = [tick.label1.get_text() for tick in axes.yaxis.get_minor_ticks() if tick.label1.get_text()]
    assert texts
    for tick in axes.yaxis.get_minor_ticks():
        if text := tick.label1.get_text():
            assert value(text) == pytest.approx(tick.get_loc())
    assert not re.search(r"[\\${}^]", "".join([*texts, major(100.0), minor(20.0)]))


# A single thread from records to the ends of a band


@given(accuracies=st.lists(st.integers(1, 999).map(lambda n: n / 1000), min_size=2, max_size=6))
def test_the_band_of_a_course_is_the_deviation_of_its_draws(accuracies):
    made = [record(draw, variant=find_variant("w_net"), images=MNIST, accuracy=each)
            for draw, each in enumerate(accuracies)]  # fmt: skip
    (_, _, spread) = course(made, lambda epoch: epoch.validation_accuracy)[-1]
    assert spread == pytest.approx(np.std(accuracies, ddof=1), abs=1e-12)
