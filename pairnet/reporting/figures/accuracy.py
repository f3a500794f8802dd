"""Accuracy against what a network costs: its parameters, or the multiply-adds for a pair."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from pairnet.reporting.figures.drawing import FAINT, INK, SERIES, cross_out, legend, panel, style
from pairnet.reporting.figures.labels import shortened

WIDE = 0.7
"""Decades that a label takes, about."""

FEW_DECADES = 1.5
"""An axis of fewer decades has numbers between the powers of ten, too."""

LONGEST = 20
"""Characters of a label; longer ones are shortened, so that they end inside the figure."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One network; accuracies as fractions of 1."""

    label: str
    cost: int
    mean: float
    std: float | None
    paper: float | None  # the paper's mean
    failed: bool = False  # whether draws failed, so that the mean is that of the others


def accuracy_against(points: Sequence[Point], *, cost: str) -> Figure:
    """Each network with its deviation, the paper's as hollow marks, and the Pareto front as a line.

    A network some of whose draws failed is crossed out, and not part of the front.

    cost: name of the horizontal axis, which is logarithmic.
    """
    with style():
        figure, axes = panel(height=3.8)
        front = pareto([point for point in points if not point.failed])
        axes.step([point.cost for point in front], [point.mean for point in front], where="post", color=FAINT, zorder=1)
        for point in points:
            if point.paper is not None:
                axes.plot(point.cost, point.paper, "o", color=SERIES[1], markerfacecolor="none", markersize=6, zorder=2)
            axes.errorbar(point.cost, point.mean, yerr=point.std, fmt="o", color=SERIES[0], markersize=4, linewidth=1)
        cross_out(axes, [(point.cost, point.mean) for point in points if point.failed])
        for text, at, height in names(points):
            axes.annotate(
                text,
                (at, height),
                xytext=(6, 4),
                textcoords="offset points",
                fontsize=7,
                va="center",
                color=INK,
                parse_math=False,
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
        axes.xaxis.set_minor_formatter(NullFormatter())
        costs = [point.cost for point in points]
        decades = math.log10(max(costs) / min(costs)) or 1
        axes.set_xlim(right=max(costs) * 10 ** (decades * 0.35), left=min(costs) / 10 ** (decades * 0.06))
        if decades < FEW_DECADES:
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.set_xlabel(f"{cost} (logarithmic)")
        axes.set_ylabel("accuracy, mean ± std over draws")
        axes.plot([], [], "o", color=SERIES[0], markersize=4, label="measured")
        if any(point.paper is not None for point in points):
            axes.plot([], [], "o", color=SERIES[1], markerfacecolor="none", label="paper")
        if len(front) > 1:
            axes.plot([], [], color=FAINT, label="best for its size")
        legend(axes, place="lower right")
    return figure


def pareto(points: Sequence[Point]) -> list[Point]:
    """The points that no cheaper or equally cheap one reaches or exceeds in mean accuracy, by cost."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.cost, -point.mean)):
        if not front or point.mean > front[-1].mean:
            front.append(point)
    return front


def names(points: Sequence[Point]) -> list[tuple[str, int, float]]:
    """(text, cost, height) of labels next to the points, moved down where two of them would overlap.

    Where several points have the same cost, as steps of an ablation do, only the best of them and those that the paper
    has are named.
    """
    best = {point.cost: point for point in sorted(points, key=lambda point: point.mean)}
    named = [point for point in points if point is best[point.cost] or point.paper is not None]
    labels = [point.label for point in named]
    texts = dict(zip(labels, shortened(labels, LONGEST), strict=True))
    found: list[tuple[str, int, float]] = []
    low, high = min(point.mean for point in points), max(point.mean for point in points)
    line = max(high - low, 0.02) / 20  # height of a label
    for point in sorted(named, key=lambda point: -point.mean):
        y = point.mean
        while any(abs(math.log10(point.cost / cost)) < WIDE and abs(y - height) < line for _, cost, height in found):
            y -= line / 4
        found.append((texts[point.label], point.cost, y))
    return found
