"""Owns the pools of images that pairs are drawn from: stored in memory, or procedural glyphs drawn on request."""

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pairnet import _core
from pairnet.data.core_errors import argument_errors
from pairnet.data.idx import header
from pairnet.errors import ArgumentError

GLYPH_SIDE = 28
CHUNK = 1 << 16  # glyphs that are in memory at once when all are counted
SAMPLE = 1000  # glyphs in a checksum


class Pool(Protocol):
    """Grey images and the class of each, selected by number."""

    def __len__(self) -> int: ...

    @property
    def side(self) -> int:
        """Width and height of each image in pixels: 28 or 14."""

    def take(self, numbers: NDArray[np.int64], threads: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Selected images: numbers [...] -> pixels [...,side,side], labels [...].

        ArgumentError if a number is not in 0..len-1, or `threads` is out of bounds.
        """

    def counts(self, classes: int, threads: int = 1) -> NDArray[np.int64]:
        """Number of images of each class -> [classes]."""

    def evidence(self) -> tuple[NDArray[np.uint8], ...]:
        """The arrays that identify the pool's content; its checksum is computed from them."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class LoadedImages:
    """Images in memory.  ArgumentError unless there is one label for each."""

    pixels: NDArray[np.uint8]  # [N,28,28] or [N,14,14]
    labels: NDArray[np.uint8]  # [N], 0 to classes-1

    def __post_init__(self) -> None:
        if self.labels.shape != (len(self.pixels),):
            raise ArgumentError(
                f"expected `labels` of shape [{len(self.pixels)}], one for each image, got {list(self.labels.shape)}"
            )

    def __repr__(self) -> str:
        return f"<LoadedImages: {len(self):,} of {self.side}x{self.side}>"

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def side(self) -> int:
        return int(self.pixels.shape[-1])

    def take(self, numbers: NDArray[np.int64], threads: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        _check_numbers(numbers, len(self))
        return self.pixels[numbers], self.labels[numbers]

    def counts(self, classes: int, threads: int = 1) -> NDArray[np.int64]:
        return np.bincount(self.labels, minlength=classes)

    def evidence(self) -> tuple[NDArray[np.uint8], ...]:
        return self.pixels, self.labels


@dataclass(frozen=True, kw_only=True)
class Glyphs:
    """`count` glyphs of the endless stream `seed`, starting at number `start`; each is drawn when it is taken."""

    start: int
    count: int
    seed: int

    def __len__(self) -> int:
        return self.count

    @property
    def side(self) -> int:
        return GLYPH_SIDE

    def take(self, numbers: NDArray[np.int64], threads: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        _check_numbers(numbers, self.count)
        with argument_errors():
            pixels, labels = _core.glyphs(self.start + numbers.reshape(-1), self.seed, threads)
        return pixels.reshape(*numbers.shape, GLYPH_SIDE, GLYPH_SIDE), labels.reshape(numbers.shape)

    def counts(self, classes: int, threads: int = 1) -> NDArray[np.int64]:
        total = np.zeros(classes, np.int64)
        for start in range(0, self.count, CHUNK):
            numbers = np.arange(start, min(start + CHUNK, self.count), dtype=np.int64)
            total += np.bincount(self.take(numbers, threads)[1], minlength=classes)
        return total

    def evidence(self) -> tuple[NDArray[np.uint8], ...]:
        """The position in the stream and the first glyphs: they determine all others."""
        position = np.array([self.start, self.count, self.seed], "<i8").view(np.uint8)
        return position, *self.take(np.arange(min(self.count, SAMPLE), dtype=np.int64))


def checksum(*pools: Pool) -> str:
    """SHA-256 of the pools' evidence, as hexadecimal digits."""
    return sha256(*(array for pool in pools for array in pool.evidence()))


def sha256(*arrays: NDArray[np.uint8]) -> str:
    """SHA-256 of each array's IDX header and bytes, as hexadecimal digits: for one array, that of its IDX file."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(header(array.shape))
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _check_numbers(numbers: NDArray[Any], count: int) -> None:
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < count:
        raise ArgumentError(
            f"expected `numbers` in 0..{count - 1} (one for each image), got {numbers.min()}..{numbers.max()}"
        )
