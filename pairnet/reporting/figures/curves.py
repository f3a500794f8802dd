"""Accuracy as curves over one setting, such as the number of pairs or the optimiser, with bands over draws."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pairnet.reporting.figures.drawing import INK, SERIES, band, cross_out, legend, panel, style
from pairnet.reporting.figures.labels import IN_LEGEND, shortened
from pairnet.reporting.summaries import Summary

MOST_TICKS = 6
"""Values that each get a number on a logarithmic axis; more would overlap, and powers of ten stand there."""

LEAST_DRAWS = 3
"""Draws whose interval is drawn: that of two is thirteen standard errors wide on each side, and hides the curve."""

SPREAD = 10
"""Values whose largest is at least so many times the smallest get a logarithmic axis."""


def curves(
    lines: Mapping[str, Sequence[tuple[float, Summary]]],
    *,
    setting: str,
    measure: str,
    words: Sequence[str] = (),
    geometric: bool = False,
) -> Figure:
    """Mean, 95 % interval as a bar, band of one standard deviation over draws; the paper's figures as hollow marks.

    A mean of surviving draws is crossed out; a row all of whose draws failed has no mark.

    lines: (value of the setting, row) of each curve by its name, at most as many as there are colours (drawing.SERIES).
    measure: what the vertical axis shows.
    words: what stands at 0, 1, ... of the axis, if the values are no numbers.
    geometric: whether the axis is logarithmic also for values that are less than a decade apart.
    """
    with style():
        figure, axes = panel()
        for name, unsorted, colour in zip(shortened(list(lines), IN_LEGEND), lines.values(), SERIES, strict=False):
            line = sorted(unsorted, key=lambda value: value[0])
            points = [(value, row.mean, row.std or 0) for value, row in line if row.mean is not None]
            label = name if len(lines) > 1 else "measured, mean ± std over draws"
            band(axes, points, colour=colour, label=label, size=4)
            bars = [(at, row.low, row.high) for at, row in line if row.low is not None and row.draws >= LEAST_DRAWS]
            if bars:
                axes.vlines(*zip(*bars, strict=True), color=colour, linewidth=1)
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
        cross_out(axes, [(value, row.mean) for value, row in values if row.failed and row.mean is not None])
        at = sorted({value for value, _ in values})
        decade = at[-1] >= SPREAD * at[0]
        if words:
            axes.set_xticks(range(len(words)), words, parse_math=False)
            axes.set_xlim(-0.4, len(words) - 0.6)
        elif at[0] > 0 and (decade or geometric):
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            if len(at) <= MOST_TICKS or not decade:
                axes.set_xticks(at[:: math.ceil(len(at) / MOST_TICKS)])
            axes.minorticks_off()
        axes.yaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))  # a step of 0.0025 would have wide labels
        axes.set_xlabel(setting)
        axes.set_ylabel(measure)
        legend(axes)
    return figure
