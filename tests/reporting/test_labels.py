"""Labels in figures: short enough, and different where they were."""

import random
from itertools import pairwise

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from reporting.studies import bins

from pairnet.reporting.figures.accuracy import LONGEST, Point, names
from pairnet.reporting.figures.calibration import reliability_diagram
from pairnet.reporting.figures.labels import shortened


def is_shortened(text, label):
    """Whether a text has parts of a label in their order, with … for what is left out."""
    at = 0
    for part in text.split("…"):
        at = label.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


@pytest.mark.parametrize(
    "labels",
    [
        ["mine, channels 6, pairs 100", "mine, channels 6, pairs 300", "mine, channels 12, pairs 100"],
        ["w_net, learning rate 0.01", "w_net, learning rate 0.6", "w_net, learning rate 10"],
        [f"a network of my own, {where} 3, and the same end of each of them" for where in ("pairs", "steps", "draws")],
    ],
)
@pytest.mark.parametrize("longest", [12, 20, 26])
def test_rows_can_be_told_apart(labels, longest):
    texts = shortened(labels, longest)
    assert len(set(texts)) == len(labels)
    assert all(len(text) <= longest and is_shortened(text, label) for text, label in zip(texts, labels, strict=True))


@pytest.mark.parametrize(("longest", "end"), [(20, 14), (26, 18)])
def test_the_part_in_which_labels_differ_is_shown_to_the_end_where_it_fits(longest, end):
    labels = [f"{'x' * 30}{number}{'e' * end}" for number in (1, 2)]
    for number, text in enumerate(shortened(labels, longest), start=1):
        assert text.startswith("…")
        assert text.endswith(f"{number}{'e' * end}")


def test_short_labels_stay_and_different_labels_stay_different():
    chance = random.Random(3)
    for _ in range(500):
        labels = ["".join(chance.choices("ab ", k=chance.randint(1, 30))) for _ in range(chance.randint(1, 9))]
        texts = shortened(labels, 10)
        assert len(set(texts)) == len(set(labels))
        for label, text in zip(labels, texts, strict=True):
            assert text == label or (len(label) > 10 >= len(text) and is_shortened(text, label))


def test_the_points_of_a_figure_have_different_names():
    labels = ["mine, channels 6, pairs 100", "mine, channels 6, pairs 300", "mine, channels 7, pairs 300"]
    points = [Point(label=each, cost=10**at, mean=0.8, std=None, paper=None) for at, each in enumerate(labels, start=3)]
    texts = [text for text, *_ in names(points)]
    assert len(set(texts)) == 3
    assert max(map(len, texts)) <= LONGEST


@pytest.mark.parametrize("label", ["w_net", "mine, channels 6, pairs 100", "WWWWWW, learning rate 0.01 " * 4])
def test_the_title_of_a_calibration_diagram_ends_in_the_figure(label):
    figure = reliability_diagram({label: bins(1000), f"{label}, other": bins(1000)}, width=3.6)
    renderer = FigureCanvasAgg(figure).get_renderer()
    titles = [axes._left_title for axes in figure.axes if axes._left_title.get_text()]
    extents = [each.get_window_extent(renderer) for each in titles]
    assert len(extents) == 2
    assert all(one.x1 < other.x0 for one, other in pairwise(extents))
    assert extents[-1].x1 <= figure.bbox.x1
    assert max(each.y1 for each in extents) <= figure.bbox.y1
    assert all("pooled ECE " in each.get_text() for each in titles)
