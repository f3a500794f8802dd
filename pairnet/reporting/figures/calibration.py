"""Reliability diagrams: how far the probabilities of networks can be trusted."""

import re
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation

from pairnet.records.calibration import Bin, expected_calibration_error
from pairnet.reporting.figures.drawing import FAINT, SERIES, style
from pairnet.reporting.figures.labels import shortened
from pairnet.reporting.figures.marks import width_of

TITLE, LONGEST = 10.0, 60
"""Size of a title, and characters of a label in it, where there is room for them."""

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def reliability_diagram(bins: Mapping[str, Sequence[Bin]], *, width: float = 4.2) -> Figure:
    """For each variant: the fraction of pairs in order against the probability that they were given, and how many.

    width: of one variant's diagram, in inches.
    """
    side, left, below, between, above = 0.8 * (width - 0.45), 0.72, 0.48, 0.12, 0.25  # inches; side: of the square
    with style():
        titles = _titles(bins, room=72 * (width - left))
    above += 0.16 * any("\n" in title for title in titles)
    whole, height = width * len(bins), width + 0.15 + above
    margins = {
        "height_ratios": (4, 1),
        "left": left / whole,
        "right": 1 - (width - left - side) / whole,
        "bottom": below / height,
        "top": 1 - above / height,
        "wspace": (width - side) / side,
        "hspace": between / (side * 5 / 8),
    }
    with style():
        figure = Figure(figsize=(whole, height))
        axes = figure.subplots(2, len(bins), squeeze=False, sharex=True, sharey="row", gridspec_kw=margins)
        for column, (title, found) in enumerate(zip(titles, bins.values(), strict=True)):
            _draw(axes[0, column], axes[1, column], found)
            axes[0, column].set_title(title, parse_math=False)
        axes[0, 0].set_ylabel("fraction in order")
        axes[1, 0].set_ylabel("pairs")
    return figure


def _titles(bins: Mapping[str, Sequence[Bin]], *, room: float) -> list[str]:
    """Label and error of each diagram, no wider than `room` in points: on two lines, and shortened, if they must be."""
    errors = [f"pooled ECE {100 * expected_calibration_error(found):.2f} %" for found in bins.values()]
    titles = [f"{label}, {error}" for label, error in zip(bins, errors, strict=True)]
    longest = LONGEST
    while max(width_of(line, size=TITLE, bold=False) for title in titles for line in title.split("\n")) > room:
        labels = shortened(list(bins), longest)
        titles = [f"{label}\n{error}" for label, error in zip(labels, errors, strict=True)]
        longest -= 1
        if longest < 8:
            break
    return titles


def _draw(above: Axes, below: Axes, bins: Sequence[Bin]) -> None:
    """The bins that have pairs, above as fractions, below as counts."""
    filled = [(count, total / count, in_order / count) for count, total, in_order in bins if count]
    probabilities = [probability for _, probability, _ in filled]
    above.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
    above.plot(probabilities, [fraction for _, _, fraction in filled], "o-", color=SERIES[0], markersize=4)
    above.set_aspect("equal")
    below.bar(probabilities, [count for count, _, _ in filled], width=0.05, color=SERIES[0])
    below.set_yscale("log")
    below.yaxis.set_major_formatter(_Powers())
    below.yaxis.set_minor_formatter(_Powers(labelOnlyBase=False))
    below.set_xlabel("P(first ≤ second)")


class _Powers(LogFormatterSciNotation):
    """Powers of ten as text, 10², and not as mathematics, which takes long to parse."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        text = re.sub(r"\$|\\mathdefault|[{}]", "", super().__call__(x, pos)).replace(r"\times", "×")
        base, _, power = text.partition("^")
        return base + power.translate(SUPERSCRIPTS)
