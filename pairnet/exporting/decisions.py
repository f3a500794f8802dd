"""What a file decides, compared with PyTorch: on the recorded test draw, and on further pairs of the same images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pairnet.data.drawing import draw_test
from pairnet.data.pairs import Pairs
from pairnet.data.sources import Dataset
from pairnet.errors import AccuracyError, DecisionsError, ValuesError
from pairnet.exporting.rounding import Arrays
from pairnet.records.seeds import Seeds
from pairnet.wording import counted

FURTHER_PAIRS = 10_000
MOST_DRAWS = 100
FIRST_SEED = 1_000_000_007
BATCH = 1000  # pairs that are computed at once


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a file may lose."""

    max_drop: float  # of accuracy, in percentage points
    max_changed: float  # decisions that differ from PyTorch's, in percent


def further_pairs(seeds: Seeds, dataset: Dataset) -> Pairs:
    """Up to FURTHER_PAIRS different pairs of the test images, drawn with seeds that the run does not use.

    A draw takes each image once, so several draws are needed. Few images make fewer pairs: those of MOST_DRAWS draws.
    """
    each = min(len(dataset.test) // 2, FURTHER_PAIRS)
    unused = (seed for seed in count(FIRST_SEED) if seed not in seeds.identity().values())
    draws = [
        draw_test(dataset, count=each, seed=next(unused)) for _ in range(min(-(-FURTHER_PAIRS // each), MOST_DRAWS))
    ]
    pixels, digits, indices = (
        np.concatenate([getattr(one, name) for one in draws]) for name in ("pixels", "digits", "indices")
    )
    _, first = np.unique(indices, axis=0, return_index=True)
    return Pairs(pixels=pixels, digits=digits, indices=indices).subset(np.sort(first)[:FURTHER_PAIRS])


def computed(outputs: Callable[[NDArray[Any]], Arrays], pairs: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The outputs for all pairs, in batches; none for none."""
    parts = [outputs(pairs[start : start + BATCH]) for start in range(0, len(pairs), BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}


def check_finite(name: str, file: Arrays, torch: Arrays, pairs: str) -> None:
    """ValuesError for a value that is NaN or infinite, which would count as a "no".  pairs: which pairs they are of."""
    for source, outputs, remedy in (
        ("PyTorch", torch, "train another network"),
        ("the file", file, "choose another `precision`"),
    ):
        _check_finite(f"{name}: expected finite values from {source}", outputs, pairs, remedy)


def _check_finite(expected: str, outputs: Arrays, pairs: str, remedy: str) -> None:
    for output, values in outputs.items():
        wrong = ~np.isfinite(values)
        if wrong.any():
            at = tuple(np.argwhere(wrong)[0].tolist())
            raise ValuesError(
                f"{expected} for {pairs}, got {output} {list(at)} = {values[at]} and {int(wrong.sum()):,} such values "
                f"in all: {remedy}"
            )


def decided(outputs: Arrays) -> dict[str, NDArray[np.int64]]:
    """Whether each first digit is equal to or less than the second [n]; the most likely digits [n,2]."""
    return {
        name: values.argmax(-1) if name == "digits" else (values > 0.5).astype(np.int64)
        for name, values in outputs.items()
    }


def changed(file: Arrays, torch: Arrays) -> dict[str, int]:
    """Number of decisions that differ, by output of the file."""
    one, other = decided(file), decided(torch)
    return {name: int((one[name] != other[name]).sum()) for name in one}


def check_drop(name: str, file: Arrays, torch: Arrays, targets: Arrays, limits: Limits) -> None:
    """AccuracyError if the share of right decisions falls by more than `max_drop`, for any output."""
    one, other = decided(file), decided(torch)
    for output in one:
        after, before = ((each[output] == targets[output]).mean() for each in (one, other))
        drop = 100 * (before - after)
        if drop > limits.max_drop + 1e-9:
            raise AccuracyError(
                f"{name}: expected {output} to lose at most {limits.max_drop:g} percentage points of accuracy, got "
                f"{drop:.2f} ({before:.4f} -> {after:.4f}): choose another `precision`, or raise `max_drop`"
            )


def check_changed(
    name: str, draw: Mapping[str, int], further: Mapping[str, int], pairs: tuple[int, int], limits: Limits
) -> None:
    """DecisionsError if more than `max_changed` percent of the decisions differ, for any output.

    draw, further: what `changed` counted on `pairs` pairs of the test draw and of the further ones.
    """
    for output, differ in draw.items():
        total, more = (2 if output == "digits" else 1) * sum(pairs), further.get(output, 0)
        if 100 * (differ + more) > limits.max_changed * total:
            raise DecisionsError(
                f"{name}: expected at most {limits.max_changed:g} % of {total:,} decisions of {output} to change, got "
                f"{differ + more:,}: {differ:,} on {counted(pairs[0], 'pair')} of the run's test draw and {more:,} on "
                f"{counted(pairs[1], 'further pair')}: choose another `precision`, or raise `max_changed`"
            )
