"""The paper's Figure 4 for any network: losses and accuracies over the epochs, mean with band over draws."""

import statistics
from collections.abc import Callable, Sequence
from functools import partial

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pairnet.records.record import Epoch, RunRecord
from pairnet.records.run import Draw
from pairnet.reporting.figures.drawing import SERIES, band, legend, panel, style
from pairnet.reporting.summaries import mean_and_std

Metric = Callable[[Epoch], float | None]

PANELS: tuple[tuple[str, str, tuple[tuple[str, Metric], ...]], ...] = (
    (
        "loss",
        "loss of the comparison (BCE)",
        (("training", lambda e: e.train_loss), ("held-out pairs", lambda e: e.validation_loss)),
    ),
    (
        "auxiliary-loss",
        "auxiliary loss (sum of both digits)",
        (("training", lambda e: e.train_auxiliary_loss), ("held-out pairs", lambda e: e.validation_auxiliary_loss)),
    ),
    (
        "accuracy",
        "accuracy",
        (
            ("training", lambda e: e.train_accuracy),
            ("held-out pairs", lambda e: e.validation_accuracy),
            ("held-out digits", lambda e: e.validation_digit_accuracy),
        ),
    ),
)
"""Name, vertical axis and series of each diagram."""

ENOUGH = 10
"""Number of measurements of the held-out pairs that show the course of a loss."""


def history(records: Sequence[RunRecord]) -> dict[str, Callable[[], Figure]]:
    """What draws each of PANELS that the runs have metrics of, by its name; the runs are of one row."""
    found: dict[str, Callable[[], Figure]] = {}
    for name, axis, series in PANELS:
        lines = [(label, line) for label, metric in series if (line := course(records, metric))]
        if lines:
            found[name] = partial(_diagram, axis, lines)
    return found


def course(records: Sequence[RunRecord], metric: Metric) -> list[tuple[int, float, float]]:
    """(epoch, mean over draws, standard deviation) of a metric, after the epochs in which every run has it.

    The folds of a draw count as one value, their mean. Epochs are counted from 1.
    """
    found = []
    for at in range(min(len(record.epochs) for record in records)):
        draws: dict[Draw, list[float]] = {}
        for record in records:
            value = metric(record.epochs[at])
            if value is not None:
                draws.setdefault(record.run.draw, []).append(value)
        if sum(map(len, draws.values())) == len(records):
            mean, std = mean_and_std([statistics.fmean(folds) for folds in draws.values()])
            found.append((at + 1, mean, std or 0.0))
    return found


def _diagram(axis: str, lines: Sequence[tuple[str, Sequence[tuple[int, float, float]]]]) -> Figure:
    with style():
        figure, axes = panel()
        for colour, (label, line) in zip(SERIES, lines, strict=False):
            band(axes, line, colour=colour, label=label, marks="o-" if len(line) < ENOUGH else "-")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlabel("epoch")
        axes.set_ylabel(axis)
        axes.set_ylim(bottom=0 if "loss" in axis else None)
        legend(axes)
    return figure
