"""Accuracy as a curve over one setting, such as the loss ratio or the dropout rate, with its band over draws."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from pairnet.reporting.figures.drawing import SERIES, panel, style


@dataclass(frozen=True, kw_only=True)
class Value:
    """The accuracy at one value of the setting, as fractions of 1; the paper's where it prints one."""

    at: float
    mean: float
    std: float | None
    paper_mean: float | None = None
    paper_std: float | None = None


def curve(values: Sequence[Value], *, setting: str, logarithmic: bool = False) -> Figure:
    """Mean and band of one standard deviation over draws; the paper's figures as hollow marks with theirs."""
    values = sorted(values, key=lambda value: value.at)
    at, means = [value.at for value in values], [value.mean for value in values]
    with style():
        figure, axes = panel()
        axes.fill_between(
            at,
            [value.mean - (value.std or 0) for value in values],
            [value.mean + (value.std or 0) for value in values],
            color=SERIES[0],
            alpha=0.2,
            linewidth=0,
        )
        axes.plot(at, means, "o-", color=SERIES[0], markersize=4, label="measured, mean ± std over draws")
        printed = [value for value in values if value.paper_mean is not None]
        if printed:
            axes.errorbar(
                [value.at for value in printed],
                [value.paper_mean or 0 for value in printed],
                yerr=[value.paper_std or 0 for value in printed],
                fmt="o",
                color=SERIES[1],
                markerfacecolor="none",
                linewidth=1,
                label="paper",
            )
        if logarithmic:
            axes.set_xscale("log")
            axes.set_xticks(at, [f"{value:g}" for value in at])
            axes.minorticks_off()
        axes.set_xlabel(setting)
        axes.set_ylabel("accuracy, cross-validated")
        axes.legend(loc="best", fontsize=8)
    return figure
