"""The test draw that an exported file was measured on, drawn again from its metadata; no torch."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pairnet import _core
from pairnet.artifact.design import SIDE, Kind
from pairnet.data.pools import Pool
from pairnet.data.pairs import Moments, Pairs, accuracy, draw_pairs
from pairnet.data.sources import Dataset


def as_input(pairs: Pairs, images: Pool, moments: Moments, kind: Kind) -> NDArray[Any]:
    """Pairs drawn from `images` as a file takes them: uint8 [n,2,28,28] or float32 [n,2,14,14].

    ValueError where 28x28 pixels are wanted and the source has none.
    """
    if kind == "pairs":
        return _core.normalise(pairs.pixels, moments.mean, moments.std)
    if images.side != SIDE:
        raise ValueError(f"this source has no images of {SIDE}x{SIDE} to send: export with --input pairs")
    return images.take(pairs.indices)[0]


def test_draw(metadata: Mapping[str, str], dataset: Dataset) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The recorded test pairs as the file takes them, and whether the first digit is equal or less: [n].

    ValueError where `dataset` is not the one the file was made with.
    """
    if dataset.checksum != metadata["data_checksum"]:
        raise ValueError(
            f"the file was measured on {metadata['data']}, sha256 {metadata['data_checksum'][:12]}; these images "
            f"({dataset.origin}) have {dataset.checksum[:12]}: name the same ones with --data or --data-dir"
        )
    test, seed = dataset.test, json.loads(metadata["seeds"])["test_draw"]
    pairs = draw_pairs(test, count=int(metadata["pairs"]), seed=seed)
    moments = Moments(mean=float(metadata["mean"]), std=float(metadata["std"]))
    kind: Kind = "images" if metadata["input"] == "images" else "pairs"
    return as_input(pairs, test, moments, kind), pairs.targets > 0.5


def measure(
    probability: Callable[[NDArray[Any]], NDArray[Any]], metadata: Mapping[str, str], dataset: Dataset
) -> float:
    """The fraction of right answers on the recorded test draw, e.g. of Predictor.probability; compare test_accuracy."""
    inputs, targets = test_draw(metadata, dataset)
    return accuracy(probability(inputs), targets)
