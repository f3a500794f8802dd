"""What the networks get wrong: the pairs that most of them miss, and the errors by difference of the digits."""

import base64
import io
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pairnet.data.pairs import Pairs, draw_pairs
from pairnet.data.sources import Dataset
from pairnet.reporting.selection import Selection
from pairnet.reporting.summaries import interval_of_mean
from pairnet.study.records import RunRecord

SHOWN = 24
"""Number of pairs that are shown."""

GAP = 2
"""Pixels between the two images of a picture."""


@dataclass(frozen=True, kw_only=True)
class HardPair:
    """A test pair that most networks decide wrongly."""

    first: int  # the digits
    second: int
    draw: int
    networks: int  # that decide it wrongly
    tested: int  # that were tested on it
    probability: float  # P(first <= second), mean over the networks that are wrong
    picture: str  # both images side by side, as a PNG in a data URI


@dataclass(frozen=True, kw_only=True)
class Mistakes:
    """The pairs that are hardest, and the error rates of some rows by second digit minus first.

    A rate is (difference, mean over draws, half the width of its 95 % interval), as fractions of 1.
    """

    hardest: tuple[HardPair, ...]
    by_difference: dict[str, tuple[tuple[int, float, float], ...]]


def find_mistakes(selection: Selection, dataset: Dataset, *, rows: Sequence[str]) -> Mistakes:
    """The hardest test pairs over all rows that were tested, and the errors of `rows` by difference of the digits."""
    tested = {label: _listing(records) for label, records in selection.tested.items()}
    drawn: dict[int, Pairs] = {}
    for records in tested.values():
        for record in records:
            if record.seeds.test_draw not in drawn:
                drawn[record.seeds.test_draw] = draw_pairs(
                    dataset.test, count=record.test_pairs, seed=record.seeds.test_draw
                )
    return Mistakes(
        hardest=tuple(_hardest([record for records in tested.values() for record in records], drawn, dataset)),
        by_difference={label: _by_difference(tested[label], drawn) for label in rows if tested.get(label)},
    )


def _listing(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The records that list their wrong pairs; those of schema 1 do not."""
    return [record for record in records if record.wrong is not None]


def _hardest(records: Sequence[RunRecord], drawn: Mapping[int, Pairs], dataset: Dataset) -> list[HardPair]:
    wrong: Mapping[tuple[int, int], list[float]] = defaultdict(list)
    tested: dict[int, int] = defaultdict(int)
    draws = {record.seeds.test_draw: record.seeds.weights for record in records}
    for record in records:
        tested[record.seeds.test_draw] += 1
        for at, probability in record.wrong or ():
            wrong[record.seeds.test_draw, at].append(probability)

    most = max(tested.values(), default=0)
    wrong = {pair: answers for pair, answers in wrong.items() if 2 * tested[pair[0]] >= most}  # by many networks

    def difficulty(pair: tuple[int, int]) -> tuple[float, float, tuple[int, int]]:
        answers = wrong[pair]
        return -len(answers) / tested[pair[0]], -abs(statistics.fmean(answers) - 0.5), pair

    return [
        HardPair(
            first=int(drawn[test_draw].digits[at, 0]),
            second=int(drawn[test_draw].digits[at, 1]),
            draw=draws[test_draw],
            networks=len(wrong[test_draw, at]),
            tested=tested[test_draw],
            probability=statistics.fmean(wrong[test_draw, at]),
            picture=_picture(dataset.test.take(drawn[test_draw].indices[at])[0]),
        )
        for test_draw, at in sorted(wrong, key=difficulty)[:SHOWN]
    ]


def _picture(images: NDArray[np.uint8]) -> str:
    """Two images [2,side,side] side by side."""
    side = images.shape[-1]
    both = np.zeros((side, 2 * side + GAP, 2), np.uint8)  # grey level and opacity: the gap is transparent
    both[:, :side, 0], both[:, side + GAP :, 0] = images
    both[:, :side, 1] = both[:, side + GAP :, 1] = 255
    file = io.BytesIO()
    Image.fromarray(both, "LA").save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _by_difference(records: Sequence[RunRecord], drawn: Mapping[int, Pairs]) -> tuple[tuple[int, float, float], ...]:
    """Error rates of one row; a draw that has no pair of some difference does not count for that difference."""
    rates: dict[int, list[float]] = defaultdict(list)
    for record in records:
        digits = drawn[record.seeds.test_draw].digits.astype(np.int64)
        differences = digits[:, 1] - digits[:, 0]
        wrong = np.zeros(len(digits), bool)
        wrong[[at for at, _ in record.wrong or ()]] = True
        for difference in np.unique(differences):
            rates[int(difference)].append(float(wrong[differences == difference].mean()))
    found = []
    for difference, values in sorted(rates.items()):
        mean = statistics.fmean(values)
        _, high = interval_of_mean(values)
        found.append((difference, mean, 0.0 if high is None else high - mean))
    return tuple(found)
