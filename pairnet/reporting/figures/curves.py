"""Accuracy as curves over one setting, such as the loss ratio or the learning rate, with bands over draws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from pairnet.reporting.figures.drawing import INK, SERIES, band, legend, panel, series_name, style


@dataclass(frozen=True, kw_only=True)
class Value:
    """The accuracy at one value of the setting, as fractions of 1; the paper's where it prints one."""

    at: float
    mean: float
    std: float | None
    paper_mean: float | None = None
    paper_std: float | None = None


MOST_TICKS = 6
"""Values that each get a number on a logarithmic axis; more would overlap, and powers of ten stand there."""

SPREAD = 10
"""Values whose largest is at least so many times the smallest get a logarithmic axis."""


def curves(lines: Mapping[str, Sequence[Value]], *, setting: str, measure: str) -> Figure:
    """Mean and band of one standard deviation over draws; the paper's figures as hollow marks with theirs.

    lines: the values of each curve by its name, at most as many as there are colours (drawing.SERIES). measure: what
    the vertical axis shows.
    """
    with style():
        figure, axes = panel()
        for (name, unsorted), colour in zip(lines.items(), SERIES, strict=False):
            points = [(value.at, value.mean, value.std or 0) for value in sorted(unsorted, key=lambda value: value.at)]
            label = series_name(name) if len(lines) > 1 else "measured, mean ± std over draws"
            band(axes, points, colour=colour, label=label, size=4)
        values = [value for line in lines.values() for value in line]
        printed = list({value.at: value for value in values if value.paper_mean is not None}.values())
        if printed:
            axes.errorbar(
                [value.at for value in printed],
                [value.paper_mean or 0 for value in printed],
                yerr=[value.paper_std or 0 for value in printed],
                fmt="o",
                color=SERIES[1] if len(lines) == 1 else INK,
                markerfacecolor="none",
                linewidth=1,
                label="paper",
            )
        at = sorted({value.at for value in values})
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
