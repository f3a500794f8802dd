"""Interaction plots: the four rows of a difference of differences, one line for each side."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from pairnet.reporting.figures.drawing import SERIES, legend, panel, style
from pairnet.reporting.figures.labels import IN_LEGEND, shortened
from pairnet.reporting.summaries import Summary


def interaction(lines: Sequence[tuple[str, Sequence[Summary]]], *, columns: Sequence[str]) -> Figure:
    """Means with their 95 % intervals. Lines that are parallel have no interaction; their distance is the difference.

    lines: the name of each line and its row, which has a mean, in each of `columns`, those of the horizontal axis.
    """
    with style():
        figure, axes = panel()
        shift = 0.03  # so that bars do not hide each other
        names = shortened([name for name, _ in lines], IN_LEGEND)
        for at, (colour, name, (_, rows)) in enumerate(zip(SERIES, names, lines, strict=False)):
            places = [column + shift * (2 * at - len(lines) + 1) / 2 for column in range(len(columns))]
            means = [row.mean or 0.0 for row in rows]
            below = [0.0 if row.low is None else mean - row.low for mean, row in zip(means, rows, strict=True)]
            above = [0.0 if row.high is None else row.high - mean for mean, row in zip(means, rows, strict=True)]
            label = f"\u200b{name}" if name.startswith("_") else name  # matplotlib would hide it in a legend
            axes.errorbar(
                places, means, yerr=(below, above), fmt="o-", color=colour, markersize=4, linewidth=1.4, label=label
            )
        axes.set_xticks(range(len(columns)), columns, parse_math=False)
        axes.set_xlim(-0.4, len(columns) - 0.6)
        axes.set_ylabel("accuracy, mean with 95 % interval")
        legend(axes)
    return figure
