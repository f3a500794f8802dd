"""The test draw on which an exported file was measured, drawn again from its metadata; no torch."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pairnet import _core
from pairnet.artifact.design import SIDE, InputKind
from pairnet.artifact.metadata import PRIVATE_SOURCE, FileMetadata
from pairnet.data.drawing import draw_test, require_same_images
from pairnet.data.pairs import Moments, Pairs, accuracy
from pairnet.data.pools import Pool
from pairnet.data.sources import Dataset
from pairnet.errors import ArgumentError, DataError
from pairnet.wording import shown

T = TypeVar("T")

PUBLIC_SOURCE = re.compile(r"mnist|mnist5k|glyphs(:[0-9]+){0,2}")
"""Sources that a file may name: no folder that a stranger chose is opened."""


def as_input(pairs: Pairs, images: Pool, moments: Moments, kind: InputKind) -> NDArray[Any]:
    """Pairs drawn from `images` as a file takes them: uint8 [n,2,28,28] or float32 [n,2,14,14].

    Raises DataError if raw pixels are wanted and the images are smaller than 28x28.
    """
    if kind == "pairs":
        return _core.normalise(pairs.pixels, moments.mean, moments.std)
    if images.side != SIDE:
        raise DataError(
            f"expected images of {SIDE}x{SIDE}, got {images.side}x{images.side}: export the run for input pairs, which "
            "are pooled"
        )
    return images.take(pairs.indices)[0]


def recorded_source(metadata: FileMetadata) -> str:
    """What `load_dataset` takes for the images that a file was made with.

    Raises ArgumentError if the file names none of the public sources: it may come from anybody, so it does not say
    which folder is read.
    """
    source = metadata.data_source
    if source == PRIVATE_SOURCE:
        raise ArgumentError(
            f"expected `data`: the network was trained on images of its owner, {metadata.data}, and the file does not "
            "say where they are: add `data` idx:PATH"
        )
    if not PUBLIC_SOURCE.fullmatch(source):
        raise ArgumentError(
            f"expected `data`: the file names the images {shown(source)}, and only mnist, mnist5k and glyphs are "
            "loaded by a file's word: add `data` with their source"
        )
    return source


def recorded_draw(metadata: FileMetadata, dataset: Dataset) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The recorded test pairs as the file takes them, and whether the first digit is equal to or less: [n].

    Raises DataError if `dataset` is not the one that the file was made with.
    """
    require_same_images(dataset, owner=metadata.variant, name=metadata.data, checksum=metadata.data_checksum)
    pairs = draw_test(dataset, count=metadata.test_pairs, seed=metadata.seeds.test_draw)
    return as_input(pairs, dataset.test, metadata.moments, metadata.input_kind), pairs.targets > 0.5


def measure(probability: Callable[[T], NDArray[Any]], draw: tuple[T, NDArray[Any]]) -> float:
    """Fraction of correct decisions on a draw of test pairs, for example with Predictor.probability.

    draw: the pairs, as `probability` takes them, and for each whether its first digit is equal to or less [n]; such as
    `recorded_draw` returns. For an exported file, the fraction equals its `metadata.test_accuracy`.
    """
    pairs, targets = draw
    return accuracy(probability(pairs), targets)
