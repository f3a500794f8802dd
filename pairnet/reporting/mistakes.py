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

from pairnet.data.drawing import draw_held_out
from pairnet.data.pairs import Pairs
from pairnet.data.sources import Dataset
from pairnet.errors import ArgumentError, DataError
from pairnet.records.record import RunRecord
from pairnet.records.run import Run
from pairnet.reporting.shown import Selection
from pairnet.reporting.summaries import interval_of_mean

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
    left_out: tuple[str, ...]  # rows whose images are not at hand, or do not have their pairs


Draw = tuple[str, int, int]
"""Which test pairs a run was evaluated on: checksum of the images, number of pairs, seed."""


def draw_of(run: Run) -> Draw:
    """The test pairs of a run: two runs of one draw have the same ones."""
    return run.images.checksum, run.tested, run.seeds.test_draw


def find_mistakes(selection: Selection, images: Mapping[str, Dataset], *, rows: Sequence[str]) -> Mistakes:
    """The hardest test pairs over all rows that were tested, and the errors of `rows` by difference of the digits.

    images: by checksum. Rows on others are left out, and named, and so are rows that state more pairs than these have.
    """
    listed = {label: _listing(records) for label, records in selection.tested.items()}
    tested = {label: each for label, each in listed.items() if all(r.run.images.checksum in images for r in each)}
    drawn: dict[Draw, Pairs] = {}
    for label, records in list(tested.items()):
        try:
            for run in (record.run for record in records):
                if draw_of(run) not in drawn:
                    drawn[draw_of(run)] = draw_held_out(run, images[run.images.checksum])
        except (ArgumentError, DataError):  # the record states pairs that these images do not have
            del tested[label]
    return Mistakes(
        hardest=tuple(_hardest([record for records in tested.values() for record in records], drawn, images)),
        by_difference={label: _by_difference(tested[label], drawn) for label in rows if tested.get(label)},
        left_out=tuple(label for label in listed if label not in tested),
    )


def _listing(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The records that list their wrong pairs; those of schema 1 do not."""
    return [record for record in records if record.wrong is not None]


def _hardest(
    records: Sequence[RunRecord], drawn: Mapping[Draw, Pairs], images: Mapping[str, Dataset]
) -> list[HardPair]:
    wrong: Mapping[tuple[Draw, int], list[float]] = defaultdict(list)
    tested: dict[Draw, int] = defaultdict(int)
    for record in records:
        draw = draw_of(record.run)
        tested[draw] += 1
        for at, probability in record.wrong or ():
            wrong[draw, at].append(probability)

    most = max(tested.values(), default=0)
    wrong = {pair: answers for pair, answers in wrong.items() if 2 * tested[pair[0]] >= most}  # by many networks

    def difficulty(pair: tuple[Draw, int]) -> tuple[float, float, int, int]:
        answers, (draw, at) = wrong[pair], pair
        return -len(answers) / tested[draw], -abs(statistics.fmean(answers) - 0.5), draw[2], at

    return [
        HardPair(
            first=int(drawn[draw].digits[at, 0]),
            second=int(drawn[draw].digits[at, 1]),
            draw=draw[2] // 2,
            networks=len(wrong[draw, at]),
            tested=tested[draw],
            probability=statistics.fmean(wrong[draw, at]),
            picture=_picture(images[draw[0]].test.take(drawn[draw].indices[at])[0]),
        )
        for draw, at in sorted(wrong, key=difficulty)[:SHOWN]
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


def _by_difference(records: Sequence[RunRecord], drawn: Mapping[Draw, Pairs]) -> tuple[tuple[int, float, float], ...]:
    """Error rates of one row; a draw that has no pair of some difference does not count for that difference."""
    rates: dict[int, list[float]] = defaultdict(list)
    for record in records:
        digits = drawn[draw_of(record.run)].digits.astype(np.int64)
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
