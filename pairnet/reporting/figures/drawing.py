"""What all figures share: their style, their colours, and how they become elements of a page."""

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#2b2f36"
"""Colour of text, axes and outlines; on a page, that of the text around the figure."""

FAINT = "#8a919c"
"""Colour of grids and guides."""

SERIES = ("#1f6fb4", "#d1571c", "#2a8f62", "#8a5bb0", "#b8860b", "#c2427a")
"""Colours that distinguish series, in this order; on a page, `--series-1` and so on of its style sheet."""

STYLE: dict[Any, Any] = {
    **{key: value for key, value in matplotlib.rcParamsDefault.items() if key != "backend"},  # not those of the user
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # where it is anyway; matplotlib would look at all ticks to find that out
    "font.family": "sans-serif",
    "font.size": 9,
    "grid.alpha": 0.35,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.transparent": False,
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and copied
    "text.color": INK,
    "text.hinting": "none",  # so that a text is as wide in pixels as in points
    "xtick.color": INK,
    "ytick.color": INK,
}


@contextmanager
def style(*, salt: str | None = None) -> Iterator[None]:
    """Everything that is drawn in this block looks like a figure of pairnet; `salt` is that of the names in an SVG."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": salt}):
        yield


def panel(*, height: float = 3.3) -> tuple[Figure, Axes]:
    """A figure of one diagram, its height in inches: narrow enough to be read on a phone. Call it in a `style` block.

    Its margins are fixed and have room for labels of one line: matplotlib's layouts draw each figure twice more.
    """
    width = 4.4
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0.68 / width, 0.48 / height, 1 - 0.8 / width, 1 - 0.6 / height))
    axes.xaxis.set_label_coords(0.5, -0.28 / (height - 0.6))
    return figure, axes


def band(
    axes: Axes,
    points: Sequence[tuple[float, float, float]],
    *,
    colour: str,
    label: str,
    marks: str = "o-",
    size: float = 3,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> None:
    """A line through the means of `points` (x, mean, half the width of the band), and its band, within `limits`."""
    label = f"\u200b{label}" if label.startswith("_") else label  # matplotlib would hide it in a legend
    xs, means = [x for x, _, _ in points], [mean for _, mean, _ in points]
    low = [max(limits[0], mean - half) for _, mean, half in points]
    high = [min(limits[1], mean + half) for _, mean, half in points]
    axes.fill_between(xs, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(xs, means, marks, color=colour, markersize=size, linewidth=1.4, label=label)


def cross_out(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """Crosses over `points` (x, mean) of rows some of whose draws failed, with an entry of the legend."""
    if points:
        label = "some draws failed: mean of the others"
        axes.plot(*zip(*points, strict=True), "x", color=INK, markersize=8, zorder=4, label=label)


def legend(axes: Axes, *, place: Literal["best", "lower right"] = "best") -> None:
    """A small legend whose labels are text, not mathematics."""
    for text in axes.legend(loc=place, fontsize=8).get_texts():
        text.set_parse_math(False)


def inline_svg(svg: str, name: str, description: str) -> str:
    """The text of an SVG file as an <svg> element for a page: as wide as its place, in the colours of the page.

    `name` distinguishes its parts from those of other figures on the page; programs for the blind read `description`.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    for number, colour in enumerate(SERIES, start=1):
        svg = svg.replace(colour, f"var(--series-{number})")
    svg = svg.replace(INK, "currentColor").replace(FAINT, "var(--faint)").replace("fill: #ffffff", "fill: none")
    head, _, body = svg.partition(">")
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)  # the view box keeps the proportions
    return f'{head} role="img" aria-label="{escape(description)}">{body}'
