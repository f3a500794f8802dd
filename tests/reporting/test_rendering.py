"""Files of figures: the same as those of matplotlib's own backends, which draw each format by itself."""

import io
import re
from functools import partial
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from reporting.studies import bins
from reporting.test_figures import POINTS

from pairnet.errors import ArgumentError
from pairnet.models.variants import find_variant
from pairnet.reporting.figures.accuracy import accuracy_against
from pairnet.reporting.figures.architecture import architecture
from pairnet.reporting.figures.calibration import reliability_diagram
from pairnet.reporting.figures.drawing import FAINT, INK, SERIES, inline_svg, style
from pairnet.reporting.figures.errors import errors_by_difference
from pairnet.reporting.figures.rendering import render, save

FIGURES = {
    "accuracy": partial(accuracy_against, POINTS["decades"], cost="parameters"),
    "calibration": partial(reliability_diagram, {"w_net": bins(1000)}),
    "errors": partial(errors_by_difference, {"w_net": [(-3, 0.1, 0.02), (0, 0.9, 0.3), (4, 0.2, 0.1)]}),
    "network": partial(architecture, find_variant("a_w_net")),
}
EACH = pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def by_matplotlib(figure, ending, **options):
    file = io.BytesIO()
    with style(salt="x"):
        figure.savefig(file, format=ending, **options)
    return file.getvalue()


def pixels_of(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(float)


@EACH
def test_pixels_are_those_of_matplotlib(make):
    _, png = render(make(), name="x")
    image = Image.open(io.BytesIO(png))
    assert image.mode == "RGB"
    assert image.info["dpi"] == pytest.approx((140, 140), abs=0.1)
    width, height = make().get_size_inches()
    assert image.size == (round(140 * width), round(140 * height))
    other = pixels_of(by_matplotlib(make(), "png", dpi=140))
    own = pixels_of(png)[: other.shape[0], : other.shape[1]]
    other = other[: own.shape[0], : own.shape[1]]
    assert np.abs(own - other).mean() < 2, "they differ in where texts and lines fall between pixels"
    ink = [(each.min(2) < 200).mean() for each in (own, other)]
    assert ink[0] == pytest.approx(ink[1], rel=0.1)


def elements_of(svg):
    """(name, text, numbers of its place) of all elements of an SVG that are drawn."""
    found = []
    for element in ElementTree.fromstring(svg).iter():
        name = element.tag.rpartition("}")[2]
        if name in ("path", "text", "use", "g"):
            place = " ".join(element.get(key, "") for key in ("d", "x", "y", "transform"))
            numbers = [float(number) for number in NUMBER.findall(place)]
            found.append((name, element.text or "", element.get("style", ""), numbers))
    return [each for each in found if each[0] != "g" or each[3]]


@EACH
def test_the_vectors_are_those_of_matplotlib(make):
    svg, _ = render(make(), name="x")
    own, other = elements_of(svg), elements_of(by_matplotlib(make(), "svg").decode())
    assert [each[:3] for each in own] == [each[:3] for each in other]
    for one, two in zip(own, other, strict=True):
        assert one[3] == pytest.approx(two[3], abs=0.6), one
    head = re.search(r"<svg[^>]*>", svg)[0]
    width, height = (72 * inches for inches in make().get_size_inches())
    assert [float(number) for number in re.search(r'viewBox="([^"]*)"', head)[1].split()] == pytest.approx(
        [0, 0, width, height], abs=1e-3
    )
    assert "<dc:date>" not in svg, "the same bytes each time"
    assert svg == render(make(), name="x")[0]
    ids = [set(re.findall(r'id="([a-z]*[0-9a-f]{10})"', render(make(), name=name)[0])) for name in ("x", "y")]
    assert not ids[0] & ids[1], "names in two figures of one page are different"


@pytest.mark.parametrize(("ending", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG\r\n"), ("pdf", b"%PDF-")])
def test_the_ending_says_what_is_written(tmp_path, ending, start):
    make = FIGURES["errors"]
    save(make(), tmp_path / f"figure.{ending}")
    content = (tmp_path / f"figure.{ending}").read_bytes()
    assert content.startswith(start)
    svg, png = render(make(), name="figure")
    assert content == {"svg": svg.encode(), "png": png}.get(ending, content)


@pytest.mark.parametrize("name", ["figure.gif", "figure", "figure.svgz"])
def test_other_endings_are_refused(tmp_path, name):
    with pytest.raises(ArgumentError, match=r"expected a figure that ends in \.svg, \.png, \.pdf, got "):
        save(FIGURES["errors"](), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@EACH
def test_on_a_page_a_figure_has_the_page_colours_and_names_of_its_own(make):
    svg, _ = render(make(), name="x")
    element = inline_svg(svg, "mine", 'of "two" <nets>')
    root = ElementTree.fromstring(element)
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'of "two" <nets>'
    assert (root.get("width"), root.get("height")) == (None, None)
    assert root.get("viewBox") == ElementTree.fromstring(svg).get("viewBox")
    assert "metadata" not in element
    identifiers = re.findall(r'\bid="([^"]*)"', element)
    assert identifiers
    assert all(each.startswith("mine-") for each in identifiers)
    used = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', element)
    assert {one or two for one, two in used} <= set(identifiers)
    names = {INK: "currentColor", FAINT: "var(--faint)"}
    names |= {colour: f"var(--series-{number + 1})" for number, colour in enumerate(SERIES)}
    for colour, name in names.items():
        assert colour not in element
        assert element.count(name) == svg.count(colour)
    white = svg.count("fill: #ffffff")
    assert element.count("fill: none") == svg.count("fill: none") + white
    texts = [[each.text for each in ElementTree.fromstring(one).iter() if each.tag.endswith("text")]
             for one in (svg, element)]  # fmt: skip
    assert texts[0] == texts[1]
