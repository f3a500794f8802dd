"""Accuracies, differences, intervals and times as text."""

from pairnet.reporting.equivalence import Verdict


def difference_text(verdict: Verdict | None) -> str:
    """Measured minus paper in points with half the width of its 95 % interval: "-0.8 ± 1.1"."""
    if verdict is None:
        return ""
    return f"{100 * verdict.difference:+.1f} ± {50 * (verdict.high - verdict.low):.1f}"


def accuracy_text(mean: float | None, std: float | None, places: int = 4) -> str:
    """0.9512 ± 0.0090; empty if there is none."""
    if mean is None:
        return ""
    return f"{mean:.{places}f}" if std is None else f"{mean:.{places}f} ± {std:.{places}f}"


def interval_text(low: float | None, high: float | None, form: str = "+.2f", *, scale: int = 100) -> str:
    """An interval in points, "-0.71 to +1.88"; empty if there is none.  form: of each end, times `scale`."""
    return "" if low is None or high is None else f"{scale * low:{form}} to {scale * high:{form}}"


def duration(seconds: float) -> str:
    """ "45 s", "12 min", "3.4 h"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
