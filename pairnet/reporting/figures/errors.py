"""Errors by the difference of the two digits."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from pairnet.reporting.figures.drawing import SERIES, legend, panel, series_name, style


def errors_by_difference(rates: Mapping[str, Sequence[tuple[int, float, float]]]) -> Figure:
    """For each row: (second digit minus first, mean rate over draws, half the width of its 95 % interval)."""
    with style():
        figure, axes = panel()
        for colour, (label, line) in zip(SERIES, rates.items(), strict=False):
            differences, means = [difference for difference, _, _ in line], [100 * mean for _, mean, _ in line]
            low = [max(0.0, 100 * (mean - half)) for _, mean, half in line]
            high = [min(100.0, 100 * (mean + half)) for _, mean, half in line]
            axes.fill_between(differences, low, high, color=colour, alpha=0.15, linewidth=0)
            axes.plot(differences, means, "o-", color=colour, markersize=3, linewidth=1.2, label=series_name(label))
        axes.set_xlabel("second digit minus first")
        axes.set_ylabel("pairs decided wrongly, %")
        axes.set_ylim(bottom=0)
        axes.set_xticks(range(-9, 10, 3))
        legend(axes)
    return figure
