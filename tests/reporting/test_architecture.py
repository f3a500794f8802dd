"""Diagrams of all variants: every layer and shape is in them, nothing overlaps or is cut off, sharing is visible."""

import math
import re
from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import BoxStyle, FancyBboxPatch, Patch
from matplotlib.text import Text

from pairnet.errors import NotationError
from pairnet.models.notation import BatchNorm, Conv, Dropout, GlobalPool, Linear, Order, Pool, Softmax, shapes
from pairnet.models.variants import IMAGE, PAIR, VARIANTS, Variant, count_parameters, find_variant
from pairnet.reporting.figures.architecture import AUXILIARY, BOTH, FIRST, SECOND, architecture, describe
from pairnet.reporting.figures.drawing import FAINT, INK, SERIES, inline_svg
from pairnet.reporting.figures.rendering import FORMATS, render, save

OWN = (
    Variant(name="one_layer", net="fc(392,1)"),
    Variant(name="n" * 100, net="BN D(0.1) conv(2,1000,14)* fc(1000,1)"),
    Variant(
        name="strides",
        tower="conv(1,24,4)*2 BN conv(24,100,3)*3 P(2) D(0.25) fc(100,9) D(0.5)",
        shared=False,
        head="D(0.1) fc(18,1)",
        auxiliary="D(0.2) fc(9,10)",
    ),
    Variant(name="no_activation", net="conv(2,9,14)* fc(9,1)", activation="none"),
    Variant(name="sigmoid", tower="conv(1,24,14)* fc(24,9)", head="fc(18,9) fc(9,1)", activation="sigmoid"),
    Variant(name="large", tower="conv(1,2000,3)", shared=False, head="fc(784000,1)"),
    Variant(
        name="large_head", tower="fc(196,9)", head="fc(18,99999) fc(99999,1)", auxiliary="fc(9,99999) fc(99999,10)"
    ),
)
ALL = pytest.mark.parametrize("variant", [*VARIANTS, *OWN], ids=lambda variant: variant.name[:20])


def parts(figure, kind):
    return [artist for artist in figure.artists if isinstance(artist, kind)]


def texts_of(figure):
    """The texts of the figure's SVG, in the order in which they are drawn."""
    svg = inline_svg(render(figure, name="test")[0], name="test", description="a network")
    return [element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (Conv(1, 24, 4, padded=False, stride=2), "conv* 4×4, 24, stride 2"),
        (Conv(1, 32, 3), "conv 3×3, 32"),
        (Linear(90, 10), "fc 10"),
        (BatchNorm(), "BN"),
        (Pool(2), "max-pool 2"),
        (Dropout(0.25), "dropout 0.25"),
        (GlobalPool(), "mean of each channel"),
        (Softmax(), "softmax"),
        (Order(10), "order(10)"),
    ],
)
def test_layers_in_words(layer, words):
    assert describe(layer) == words


def parts_of(variant):
    """(layers, shape of the input, number of times they are drawn) of each part."""
    if variant.net:
        return [(variant.net_layers, PAIR, 1)]
    features = shapes(variant.tower_layers, IMAGE)[-1]
    size = math.prod(features)
    parts = [(variant.tower_layers, IMAGE, 1 if variant.shared else 2), (variant.head_layers, (2 * size,), 1)]
    return [*parts, (variant.auxiliary_layers, features, 1)] if variant.auxiliary else parts


@ALL
def test_every_layer_shape_and_count_is_in_the_diagram(variant):
    texts = texts_of(architecture(variant))
    together = " ".join(texts)
    for layers, before, times in parts_of(variant):
        for layer in layers:
            alike = sum(describe(each) == describe(layer) for each in layers)
            assert len(re.findall(rf"{re.escape(describe(layer))}(?![0-9])", together)) >= alike * times, layer
        for shape in shapes(layers, before)[1:]:
            assert "×".join(map(str, shape)) in texts
        count = sum(layer.parameters(shape) for layer, shape in zip(layers, shapes(layers, before), strict=False))
        line = f"{count:,} parameters" if count else "no parameters"
        assert texts.count(line) >= times
    assert f"{count_parameters(variant):,} parameters in total" in texts
    assert {"first digit", "second digit", "1×14×14", "P(first ≤ second)"} <= set(texts)
    assert variant.name in together.replace(" ", "")
    assert ("auxiliary loss" in together) == variant.classifies_digits
    assert ("sigmoid" in texts) == (not variant.orders)
    assert ("ReLU" in together) == (variant.activation == "relu" and variant.name != "one_layer")
    assert ("conv*: without padding" in texts) == ("*" in variant.structure)


@ALL
def test_nothing_overlaps_or_is_cut_off(variant):
    figure = architecture(variant)
    assert figure.get_figwidth() <= 4.6
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts, lines = parts(figure, Text), parts(figure, Line2D)
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts]
    for (a, one), (b, other) in combinations(boxes, 2):
        overlap = min(one.x1, other.x1) > max(one.x0, other.x0) and min(one.y1, other.y1) > max(one.y0, other.y0)
        assert not overlap, f"{a} and {b}"
    for artist in figure.artists:
        extent, page = artist.get_window_extent(renderer), figure.bbox
        assert page.x0 <= extent.x0 <= extent.x1 <= page.x1, artist
        assert page.y0 <= extent.y0 <= extent.y1 <= page.y1, artist
    assert min(text.get_fontsize() for text in texts) >= 7.5
    for line in lines:
        corners = line.get_transform().transform(line.get_xydata())
        for (x0, y0), (x1, y1) in pairwise(corners):  # horizontal and vertical
            for text, extent in boxes:
                apart = max(x0, x1) < extent.x0 or min(x0, x1) > extent.x1
                assert apart or max(y0, y1) < extent.y0 or min(y0, y1) > extent.y1, f"a line through {text}"


@ALL
def test_texts_stay_within_the_boxes_that_they_are_in(variant):
    figure = architecture(variant)
    renderer = FigureCanvasAgg(figure).get_renderer()
    frames = [patch.get_window_extent(renderer) for patch in parts(figure, Patch)]
    for text in parts(figure, Text):
        extent = text.get_window_extent(renderer)
        middle = (extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2
        for frame in frames:
            if frame.contains(*middle):
                assert frame.x0 < extent.x0 < extent.x1 < frame.x1, text.get_text()


@ALL
def test_the_colours_follow_those_of_a_page(variant):
    svg = inline_svg(render(architecture(variant), name="test")[0], name="test", description="a network")
    assert re.findall(r"#[0-9a-f]{6}\b", svg) == []
    assert not any(colour in svg for colour in (INK, FAINT, *SERIES))


def arrows_of(figure, colour):
    return [line for line in parts(figure, Line2D) if line.get_color() == colour]


def frames_of(figure, colour):
    """Rounded boxes outlined in this colour."""
    boxes = [box for box in parts(figure, FancyBboxPatch) if isinstance(box.get_boxstyle(), BoxStyle.Round)]
    return [box for box in boxes if to_hex(box.get_edgecolor()) == colour]


def test_a_shared_tower_is_one_frame_that_both_images_pass():
    shared, own = architecture(find_variant("w_net")), architecture(find_variant("no_w_net"))
    assert (len(frames_of(shared, BOTH)), len(frames_of(shared, FIRST)), len(frames_of(shared, SECOND))) == (7, 0, 0)
    assert (len(frames_of(own, BOTH)), len(frames_of(own, FIRST)), len(frames_of(own, SECOND))) == (0, 7, 7)
    for figure in (shared, own):  # in, twice between blocks, out
        assert len(arrows_of(figure, FIRST)) == len(arrows_of(figure, SECOND)) == 4
    ends = {line.get_xdata()[-1] for colour in (FIRST, SECOND) for line in arrows_of(shared, colour)}
    assert max(ends) - min(ends) < 20
    assert "one tower for both images" in texts_of(shared)
    assert texts_of(own).count("weights of its own") == 2


def test_what_is_used_in_training_only_is_dashed():
    plain, auxiliary = architecture(find_variant("w_net")), architecture(find_variant("a_w_net"))
    assert all(patch.get_linestyle() in ("-", "solid") for patch in parts(plain, Patch))
    frames = frames_of(auxiliary, AUXILIARY)
    assert len(frames) == 5  # three layers, around them, their result
    assert all(frame.get_linestyle() not in ("-", "solid") for frame in frames)
    assert {"auxiliary classifier", "in training only", "digit scores,"} <= set(texts_of(auxiliary))


def test_the_order_head_compares_the_probabilities_of_the_digits():
    texts = set(texts_of(architecture(find_variant("order_net_xs"))))
    assert {"first: 10 probabilities", "second: 10 probabilities", "order(10)", "no parameters"} <= texts


def test_layers_that_belong_together_are_one_box():
    texts = texts_of(architecture(find_variant("order_net_fast")))
    assert {"conv* 4×4, 24, stride 2 · ReLU · BN", "flatten · fc 10", "softmax"} <= set(texts)


@pytest.mark.parametrize("ending", FORMATS)
def test_a_diagram_becomes_a_file(tmp_path, ending):
    path = tmp_path / f"network{ending}"
    save(architecture(find_variant("a_net")), path)
    assert path.stat().st_size > 1000


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(NotationError, match="odd: "):
        architecture(Variant(name="odd", net="fc(391,1)"))
