"""What matplotlib holds of a figure, in plain values, for comparisons with numbers that are computed by themselves."""

from dataclasses import dataclass

from matplotlib.colors import to_hex
from matplotlib.lines import Line2D


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line or marks without their place."""

    colour: str
    marker: str
    size: float  # of a mark; 0 without
    hollow: bool
    width: float  # of the line; 0 without
    style: str


def look(line):
    """How a line of matplotlib looks, whether it has points or stands for others in a legend."""
    marker = "" if line.get_marker() in ("None", None) else line.get_marker()
    style = "" if line.get_linestyle() == "None" else line.get_linestyle()
    face = line.get_markerfacecolor()
    return Line(
        colour=to_hex(line.get_color()),
        marker=marker,
        size=line.get_markersize() if marker else 0,
        hollow=bool(marker) and (isinstance(face, str) and face == "none"),
        width=line.get_linewidth() if style else 0,
        style=style,
    )


def legend_looks(axes):
    """The looks of the entries of a legend, by label: of lines, and of the line of error bars."""
    legend = axes.get_legend()
    found = {}
    for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True):
        assert not text.get_parse_math()
        assert text.get_fontsize() == 8
        if not isinstance(handle, Line2D):  # of an error bar: its mark is drawn, too
            marks = [each for each in legend.findobj(Line2D) if each not in legend.legend_handles]
            (handle,) = [each for each in marks if each.get_marker() != "none"]
        found[text.get_text()] = look(handle)
    return found


def points_of(line):
    """The points of a line: [(x, y)]."""
    return [tuple(map(float, point)) for point in line.get_xydata()]


def bars_of(container):
    """(x, low, high) of each bar of an error bar's container."""
    _, _, collections = container
    return [tuple(map(float, (low[0], low[1], high[1]))) for one in collections for low, high in one.get_segments()]


def band_of(collection):
    """{x: (low, high)} of a band between two lines."""
    found = {}
    for x, y in collection.get_paths()[0].vertices:
        low, high = found.get(x, (y, y))
        found[x] = (min(low, y), max(high, y))
    return {float(x): (float(low), float(high)) for x, (low, high) in sorted(found.items())}


def margins(axes):
    """Inches between the edges of a figure and its axes: left, bottom, right, top."""
    width, height = axes.figure.get_size_inches()
    place = axes.get_position()
    return place.x0 * width, place.y0 * height, (1 - place.x1) * width, (1 - place.y1) * height
