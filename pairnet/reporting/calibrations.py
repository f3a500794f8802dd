"""The calibration of rows over their networks."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pairnet.records.calibration import Bin, expected_calibration_error, pooled
from pairnet.reporting.shown import Selection
from pairnet.reporting.summaries import interval_of_accuracy


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Calibration of one row: the mean over draws of each network's error, with its 95 % interval.

    `pooled` is the error over the pairs of all draws together. It is that of a mixture of the networks, in which errors
    of opposite sign cancel, so it is never larger than the mean.
    """

    label: str
    bins: tuple[Bin, ...]  # of the pairs of all draws together
    error: float
    low: float | None
    high: float | None
    pooled: float


def calibrations(selection: Selection, labels: Sequence[str]) -> list[Calibration]:
    found, tested = [], selection.tested
    for label in labels:
        if runs := [record.calibration for record in tested[label] if record.calibration]:
            bins, errors = pooled(runs), [expected_calibration_error(each) for each in runs]
            low, high = interval_of_accuracy(errors)
            found.append(
                Calibration(
                    label=label,
                    bins=bins,
                    error=statistics.fmean(errors),
                    low=low,
                    high=high,
                    pooled=expected_calibration_error(bins),
                )
            )
    return found
