"""Errors by the difference of the two digits."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from pairnet.reporting.figures.drawing import SERIES, band, legend, panel, style
from pairnet.reporting.figures.labels import IN_LEGEND, shortened


def errors_by_difference(rates: Mapping[str, Sequence[tuple[int, float, float]]]) -> Figure:
    """For each row: (second digit minus first, mean rate over draws, half the width of its 95 % interval)."""
    with style():
        figure, axes = panel()
        for colour, label, line in zip(SERIES, shortened(list(rates), IN_LEGEND), rates.values(), strict=False):
            points = [(difference, 100 * mean, 100 * half) for difference, mean, half in line]
            band(axes, points, colour=colour, label=label, limits=(0, 100))
        axes.set_xlabel("second digit minus first")
        axes.set_ylabel("pairs decided wrongly, %")
        axes.set_ylim(bottom=0)
        axes.set_xticks(range(-9, 10, 3))
        legend(axes)
    return figure
