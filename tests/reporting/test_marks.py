"""Marks and what matplotlib holds of them: positions in inches from the lower left, colours, widths, fonts, order."""

import pytest
from matplotlib.colors import to_hex, to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import BoxStyle, FancyBboxPatch, PathPatch, Polygon
from matplotlib.text import Text
from reporting.test_layout import EVERY

from pairnet.reporting.figures.architecture import architecture, diagram
from pairnet.reporting.figures.drawing import INK
from pairnet.reporting.figures.marks import Arrow, Box, Diagram, Picture, Words, draw


def on_page(artist, points, figure):
    """Points of an artist in points from the upper left of the page."""
    (_, height), dots = figure.get_size_inches(), figure.dpi
    pixels = artist.get_transform().transform(points)
    return [(72 * x / dots, 72 * (height - y / dots)) for x, y in pixels]


def corners_of(patch):
    """Left, top, right and bottom of a path without its control points of curves."""
    xs, ys = patch.get_path().vertices.T
    return xs.min(), ys.min(), xs.max(), ys.max()


def check(mark, artists, figure):
    """Compares a mark with its artists, which it takes from the front of `artists`."""
    artist = artists.pop(0)
    match mark:
        case Words():
            assert isinstance(artist, Text)
            assert on_page(artist, [artist.get_position()], figure)[0] == pytest.approx((mark.x, mark.middle))
            assert (artist.get_text(), artist.get_fontsize(), artist.get_ha(), artist.get_va()) == (
                mark.text,
                mark.size,
                mark.align,
                "center",
            )
            assert artist.get_weight() == ("bold" if mark.bold else "normal")
            assert not artist.get_parse_math()
            assert to_hex(artist.get_color()) == INK
        case Box():
            assert isinstance(artist, FancyBboxPatch)
            low, high = on_page(artist, [artist.get_path().vertices.min(0), artist.get_path().vertices.max(0)], figure)
            assert low == pytest.approx((mark.left, mark.top))
            assert high == pytest.approx((mark.left + mark.width, mark.top + mark.height))
            shape = artist.get_boxstyle()
            assert isinstance(shape, BoxStyle.Round if mark.radius else BoxStyle.Square)
            assert shape.pad == 0
            assert getattr(shape, "rounding_size", 0) == mark.radius
            assert artist.get_edgecolor() == to_rgba(mark.colour)
            assert artist.get_facecolor() == to_rgba(mark.colour, mark.fill)
            assert artist.get_linewidth() == (0.8 if mark.radius else 1)
            assert artist.get_linestyle() == ((0, (3, 2)) if mark.dashed else "-")
        case Arrow():
            assert isinstance(artist, Line2D)
            x, end = mark.points[-1]
            line = on_page(artist, artist.get_xydata(), figure)
            assert [pytest.approx(point) for point in line[:-1]] == list(mark.points[:-1])
            assert (to_hex(artist.get_color()), artist.get_linewidth()) == (mark.colour, 1)
            assert artist.get_linestyle() == ("--" if mark.dashed else "-")
            assert artist._unscaled_dash_pattern == ((0, (3, 2)) if mark.dashed else (0, None))
            assert artist.get_solid_capstyle() == "butt"
            head = artists.pop(0)
            assert isinstance(head, Polygon)
            *back, tip, _ = on_page(head, head.get_xy(), figure)
            assert tip == pytest.approx((x, end))
            (left, above), (right, other) = back
            assert (x - left, right - x, above - other) == pytest.approx((2.5, 2.5, 0)), "the head is symmetric"
            assert 3 < end - above < 8
            assert line[-1][0] == pytest.approx(x)
            assert above < line[-1][1] < end, "the line ends in the head"
            assert (to_hex(head.get_facecolor()), head.get_edgecolor()[3]) == (mark.colour, 0)
        case Picture():
            assert isinstance(artist, PathPatch)
            squares = [artist.get_path().vertices[at : at + 5] for at in range(0, len(artist.get_path().vertices), 5)]
            assert len(squares) == len(mark.corners)
            for square, (left, top) in zip(squares, mark.corners, strict=True):
                low, high = on_page(artist, [square.min(0), square.max(0)], figure)
                assert low == pytest.approx((left, top))
                assert high == pytest.approx((left + mark.side, top + mark.side))
            assert (to_hex(artist.get_facecolor()), artist.get_edgecolor()[3]) == (mark.colour, 0)


@pytest.mark.parametrize("variant", EVERY, ids=lambda variant: variant.name[:20])
def test_matplotlib_holds_the_marks_in_their_order(variant):
    figure, expected = architecture(variant), diagram(variant)
    assert figure.get_size_inches() == pytest.approx((expected.width / 72, expected.height / 72))
    artists = list(figure.artists + figure.lines + figure.patches + figure.texts)
    assert len(artists) == len(expected.marks) + sum(isinstance(mark, Arrow) for mark in expected.marks)
    for kind in (Words, Box, Arrow, Picture):
        assert any(isinstance(mark, kind) for mark in expected.marks)
    for mark in expected.marks:
        check(mark, artists, figure)


def test_marks_without_a_variant():
    marks = (
        Words(text="$x$ and_y", x=5, middle=10, size=9, bold=True, align="left"),
        Box(left=10, top=20, width=30, height=40, colour="#123456", fill=0.5, radius=4, dashed=True),
        Box(left=1, top=2, width=3, height=4, colour="#654321", fill=0, radius=0, dashed=False),
        Arrow(points=((3, 4), (3, 50), (80, 50), (80, 90)), colour="#abcdef", dashed=True),
        Picture(corners=((1, 2), (7, 9)), side=3, colour="#fedcba"),
    )
    figure = draw(Diagram(width=144, height=108, marks=marks))
    assert figure.get_size_inches() == pytest.approx((2, 1.5))
    artists = list(figure.artists)
    for mark in marks:
        check(mark, artists, figure)
    assert artists == []
