"""What diagrams consist of, as values: words, boxes, arrows and small pictures; and how these become a figure.

Lengths are points and y counts downwards.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

from pairnet.reporting.figures.drawing import style
from pairnet.reporting.figures.rendering import POINTS, size_of


@dataclass(frozen=True, kw_only=True)
class Words:
    """A line of text. `align` is the side of it that `x` is on."""

    text: str
    x: float
    middle: float  # y of its middle
    size: float
    bold: bool
    align: Literal["left", "center"]


@dataclass(frozen=True, kw_only=True)
class Box:
    """A box that is filled with its own colour, as opaque as `fill`."""

    left: float
    top: float
    width: float
    height: float
    colour: str
    fill: float
    radius: float  # of its corners; 0: square
    dashed: bool


@dataclass(frozen=True, kw_only=True)
class Arrow:
    """A line through `points`, with a head at its end, which points down."""

    points: tuple[tuple[float, float], ...]
    colour: str
    dashed: bool


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Squares of one size."""

    corners: tuple[tuple[float, float], ...]  # left and top of each square
    side: float
    colour: str


Mark = Words | Box | Arrow | Picture


@dataclass(frozen=True, kw_only=True)
class Diagram:
    """Everything in one figure, in the order in which it is drawn."""

    width: float
    height: float
    marks: tuple[Mark, ...]


def draw(diagram: Diagram) -> Figure:
    """The figure of a diagram."""
    with style():
        figure = Figure(figsize=(diagram.width / POINTS, diagram.height / POINTS))
        artists = [artist for mark in diagram.marks for artist in _artists(mark)]
    to_inches = Affine2D().scale(1, -1).translate(0, diagram.height).scale(1 / POINTS)
    for artist in artists:
        artist.set_transform(to_inches + figure.dpi_scale_trans)
        figure.add_artist(artist)
    return figure


def _artists(mark: Mark) -> list[Artist]:
    match mark:
        case Words():
            font = _font(mark.size, mark.bold)
            place = {"fontproperties": font, "ha": mark.align, "va": "center", "parse_math": False}
            return [Text(mark.x, mark.middle, mark.text, **place)]  # type: ignore[arg-type]
        case Box():
            corners = f"round,pad=0,rounding_size={mark.radius}" if mark.radius else "square,pad=0"
            box = FancyBboxPatch(
                (mark.left, mark.top), mark.width, mark.height, boxstyle=corners, edgecolor=mark.colour
            )
            box.set(facecolor=(mark.colour, mark.fill), linewidth=0.8 if mark.radius else 1.0)
            box.set_linestyle(_line(mark.dashed))
            return [box]
        case Arrow():
            x, end = mark.points[-1]
            xs, ys = zip(*mark.points[:-1], (x, end - 3), strict=True)  # it ends inside of the head
            line = Line2D(xs, ys, color=mark.colour, linewidth=1, solid_capstyle="butt")
            line.set_linestyle(_line(mark.dashed))
            head = [(x - 2.5, end - 5), (x + 2.5, end - 5), (x, end)]
            return [line, Polygon(head, facecolor=mark.colour, edgecolor="none")]
        case Picture():
            squares = (Affine2D().scale(mark.side).translate(*corner) for corner in mark.corners)
            path = Path.make_compound_path(*(Path.unit_rectangle().transformed(square) for square in squares))
            return [PathPatch(path, facecolor=mark.colour, edgecolor="none")]


def width_of(text: str, *, size: float, bold: bool) -> float:
    """Width of a line of text."""
    return size_of(text, _font(size, bold))[0]


@cache
def _font(size: float, bold: bool) -> FontProperties:
    return FontProperties(size=size, weight="bold" if bold else "normal")


def _line(dashed: bool) -> Any:
    return (0, (3, 2)) if dashed else "-"
