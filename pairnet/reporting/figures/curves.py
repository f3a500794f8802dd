"""Accuracy as curves over one setting, such as the loss ratio or the learning rate, with bands over draws."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from pairnet.reporting.figures.drawing import INK, SERIES, band, legend, panel, style
from pairnet.reporting.summaries import Summary

MOST_TICKS = 6
"""Values that each get a number on a logarithmic axis; more would overlap, and powers of ten stand there."""

SPREAD = 10
"""Values whose largest is at least so many times the smallest get a logarithmic axis."""


def curves(lines: Mapping[str, Sequence[tuple[float, Summary]]], *, setting: str, measure: str) -> Figure:
    """Mean and band of one standard deviation over draws; the paper's figures as hollow marks with theirs.

    lines: (value of the setting, row) of each curve by its name, at most as many as there are colours (drawing.SERIES).
    measure: what the vertical axis shows.
    """
    with style():
        figure, axes = panel()
        for (name, unsorted), colour in zip(lines.items(), SERIES, strict=False):
            line = sorted(unsorted, key=lambda value: value[0])
            points = [(value, row.mean, row.std or 0) for value, row in line]
            label = name if len(lines) > 1 else "measured, mean ± std over draws"
            band(axes, points, colour=colour, label=label, size=4)
        values = [value for line in lines.values() for value in line]
        printed = {value: row for value, row in values if row.paper_mean is not None}
        if printed:
            axes.errorbar(
                list(printed),
                [row.paper_mean or 0 for row in printed.values()],
                yerr=[row.paper_std or 0 for row in printed.values()],
                fmt="o",
                color=SERIES[1] if len(lines) == 1 else INK,
                markerfacecolor="none",
                linewidth=1,
                label="paper",
            )
        at = sorted({value for value, _ in values})
        if at[0] > 0 and at[-1] >= SPREAD * at[0]:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            if len(at) <= MOST_TICKS:
                axes.set_xticks(at)
            axes.minorticks_off()
        axes.set_xlabel(setting)
        axes.set_ylabel(measure)
        legend(axes)
    return figure
