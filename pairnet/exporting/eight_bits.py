"""The sizes that an int8 file has in common with its validation: bits of a weight, batches of the calibration."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

REDUCED_RANGE = True
"""Weights have 7 bits with a sign; quantise.py says why."""

LARGEST_STEP = 64 if REDUCED_RANGE else 127
"""Absolute value of a weight in steps of its scale."""

CALIBRATION_BATCH = 100


def batches(rows: Mapping[str, NDArray[Any]]) -> Iterator[dict[str, NDArray[Any]]]:
    """All rows of each input of a model, CALIBRATION_BATCH at a time."""
    for start in range(0, len(next(iter(rows.values()))), CALIBRATION_BATCH):
        yield {name: np.ascontiguousarray(each[start : start + CALIBRATION_BATCH]) for name, each in rows.items()}
