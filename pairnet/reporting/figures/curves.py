"""Accuracy as curves over one setting, such as the number of pairs or the optimiser, with bands over draws."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pairnet.records.failures import MARK
from pairnet.reporting.figures.drawing import INK, SERIES, band, legend, panel, style
from pairnet.reporting.figures.labels import IN_LEGEND, shortened
from pairnet.reporting.summaries import Summary

MOST_TICKS = 6
"""Values that each get a number on a logarithmic axis; more would overlap, and powers of ten stand there."""

LEAST_DRAWS = 3
"""Draws whose interval is drawn: that of two is thirteen standard errors wide on each side, and hides the curve."""

OPEN = "D"
"""The mark of a mean of survivors; the paper's figures are open circles."""

LOWEST, STEP = 0.03, 0.06
"""Height of the crosses of the first curve in that of the diagram, and of the next one above it."""

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

    A mean of surviving draws is an open mark with a †, which neither the line nor the band joins; it has no interval.
    A row all of whose draws failed has a cross at the axis, with their number.

    lines: (value of the setting, row) of each curve by its name, at most as many as there are colours (drawing.SERIES).
    measure: what the vertical axis shows.
    words: what stands at 0, 1, ... of the axis, if the values are no numbers.
    geometric: whether the axis is logarithmic also for values that are less than a decade apart.
    """
    with style():
        figure, axes = panel()
        names = shortened(list(lines), IN_LEGEND)
        for number, (name, unsorted, colour) in enumerate(zip(names, lines.values(), SERIES, strict=False)):
            line = sorted(unsorted, key=lambda value: value[0])
            points = [(value, _joined(row), row.std or 0) for value, row in line if row.mean is not None or row.failed]
            label = name if len(lines) > 1 else "measured, mean ± std over draws"
            band(axes, points, colour=colour, label=label, size=4)
            bars = [
                (at, row.low, row.high)
                for at, row in line
                if row.low is not None and row.draws >= LEAST_DRAWS and not row.failed
            ]
            if bars:
                axes.vlines(*zip(*bars, strict=True), color=colour, linewidth=1)
            _mark_failures(axes, line, colour=colour, height=LOWEST + number * STEP)
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
        if any(row.failed and row.mean is not None for _, row in values):
            label = f"{MARK} some draws failed: mean of the others"
            axes.plot([], [], OPEN, color=INK, markerfacecolor="none", markersize=6, label=label)
        if any(row.failed and row.mean is None for _, row in values):
            axes.plot([], [], "x", color=INK, markersize=6, label="all draws failed")
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


def _joined(row: Summary) -> float:
    """The mean, if line and band go through it; otherwise they have a gap."""
    return math.nan if row.mean is None or row.failed else row.mean


def _mark_failures(axes: Axes, line: Sequence[tuple[float, Summary]], *, colour: str, height: float) -> None:
    """The means of survivors of a curve, and the settings without any, at this part of the height."""
    last = max(at for at, _ in line)
    for at, row in line:
        if row.failed and row.mean is not None:
            axes.plot(at, row.mean, OPEN, color=colour, markerfacecolor="none", markersize=6)
            axes.annotate(MARK, (at, row.mean), xytext=(5, 3), textcoords="offset points", fontsize=9, color=colour)
        elif row.failed:
            place = axes.get_xaxis_transform()
            axes.plot(at, height, "x", color=colour, markersize=6, transform=place)
            axes.annotate(
                f"{len(row.failed)} of {len(row.failed)} failed",
                (at, height),
                xycoords=place,
                xytext=(-6 if at == last else 6, 0),
                textcoords="offset points",
                fontsize=7,
                ha="right" if at == last else "left",
                va="center",
                color=colour,
            )
