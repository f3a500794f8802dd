"""The time that a study may take: how many whole draws are computed next, so that none begins that cannot end in it."""

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from time import monotonic

from pairnet.errors import ArgumentError
from pairnet.records.run import Run
from pairnet.study.estimate import core_seconds

_LEAST = 1e-6
"""Minutes that stand for none: enough to compute one draw, since the first is always computed."""


def check_minutes(minutes: float | None) -> None:
    """ArgumentError unless `minutes` is a time that a study can take."""
    if minutes is not None and not (math.isfinite(minutes) and minutes > 0):
        raise ArgumentError(
            f"expected `minutes` to be a finite number above 0, got {minutes:g}: choose how long the study may take"
        )


def limits(minutes: float | None, studies: int) -> Iterator[float | None]:
    """The minutes of each study, to be asked for when it begins: an equal share of what is left then, and above 0."""
    start = monotonic()
    for left in range(studies, 0, -1):
        yield None if minutes is None else max(minutes - (monotonic() - start) / 60, _LEAST) / left


def chunks(runs: Sequence[Run], minutes: float | None) -> Iterator[list[Run]]:
    """The runs to compute next: all at once, or with `minutes` as many whole draws as fit.

    Ask for the next chunk when the one before has been computed: the time it took gives the speed. The first draw is
    always computed. A later one is, if it is expected to end in time. A chunk of several draws, which lets an engine
    compute them side by side, is expected to take at most half of the time left, so a wrong estimate is soon corrected.
    """
    if minutes is None:
        yield from [list(runs)] if runs else []
        return
    start, computed, chunk = monotonic(), 0.0, 1
    waiting = _by_draw(runs)
    while waiting and chunk:
        yield list(chain(*waiting[:chunk]))
        computed += _work(*waiting[:chunk])
        del waiting[:chunk]
        spent = monotonic() - start
        chunk = _fitting(waiting, seconds_per_work=spent / computed, seconds=60 * minutes - spent)


def _by_draw(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs of each draw, in the order of their first ones."""
    draws: dict[int, list[Run]] = {}
    for run in runs:
        draws.setdefault(run.seed, []).append(run)
    return list(draws.values())


def _fitting(draws: Sequence[Sequence[Run]], *, seconds_per_work: float, seconds: float) -> int:
    """How many of the next draws fill half of the time left; one that fills more, if it fits; 0 if none fits."""
    count, expected = 0, 0.0
    for draw in draws:
        expected += seconds_per_work * _work(draw)
        if expected > (seconds / 2 if count else seconds):
            break
        count += 1
    return count


def _work(*draws: Sequence[Run]) -> float:
    """Expected work, of any unit: a draw of which some runs are kept takes less time."""
    return core_seconds(list(chain(*draws)))
