"""Peers that take turns: each is timed once per round, and ratios are taken within a round.

Other load on a shared machine comes and goes within minutes, so that one peer timed after the other can differ by half
for no reason of its own. Within a round it affects all of them. A peer that is measured against itself shows the noise
that remains.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from bench.common import with_progress

T = TypeVar("T")

AGAIN = " (again)"
"""Added to the name of the peer that is measured a second time in each round."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Median and quartiles of a figure over the rounds."""

    median: float
    low: float
    high: float

    def show(self, digits: int = 2) -> str:
        """ "3.21 (3.10-3.35)"."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


def spread(values: tuple[float, ...]) -> Spread:
    """Median and quartiles of at least one value."""
    low, median, high = (float(value) for value in np.percentile(values, (25, 50, 75)))
    return Spread(median=median, low=low, high=high)


def ratios(numerator: tuple[float, ...], denominator: tuple[float, ...]) -> Spread:
    """The ratio within each round."""
    return spread(tuple(one / other for one, other in zip(numerator, denominator, strict=True)))


def take_turns(peers: Mapping[str, Callable[[], T]], rounds: int, *, description: str) -> dict[str, tuple[T, ...]]:
    """Calls each peer once per round -> what it returned, by name and round.

    The order is reversed in every second round, so that no peer always follows the same other one.
    """
    found: dict[str, list[T]] = {name: [] for name in peers}
    for number in with_progress(range(rounds), description):
        for name in list(peers)[:: -1 if number % 2 else 1]:
            found[name].append(peers[name]())
    return {name: tuple(values) for name, values in found.items()}


def seconds_of(run: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown: the first column to the left, the others to the right."""
    rule = ("---", *("---:" for _ in headings[1:]))
    return "\n".join("| " + " | ".join(line) + " |" for line in (headings, rule, *rows))
