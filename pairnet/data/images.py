"""Owns pools of images that pairs are drawn from: held in memory, or drawn glyph by glyph when asked for."""

import hashlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pairnet import _core
from pairnet.data.idx import header

GLYPH_SIDE = 28
CHUNK = 1 << 16  # glyphs that are held at once where all are looked at
SAMPLE = 1000  # glyphs in a checksum


class Pool(Protocol):
    """Grey images and the class of each, by number."""

    def __len__(self) -> int: ...

    @property
    def side(self) -> int:
        """Pixels of an image in a row, and rows: 28 or 14."""

    def take(self, numbers: NDArray[np.int64], threads: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Some of them: numbers [...] -> pixels [...,side,side], labels [...].  IndexError for one beyond the last."""

    def counts(self, classes: int, threads: int = 1) -> NDArray[np.int64]:
        """Images of each class -> [classes]."""

    def evidence(self) -> tuple[NDArray[np.uint8], ...]:
        """What a checksum is taken over: all that is in it, or all that it follows from."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """Images in memory.  ValueError where there is not one label for each."""

    pixels: NDArray[np.uint8]  # [N,28,28] or [N,14,14]
    labels: NDArray[np.uint8]  # [N], 0 to classes-1

    def __post_init__(self) -> None:
        if self.labels.shape != (len(self.pixels),):
            raise ValueError(
                f"labels must be of shape [{len(self.pixels)}], one for each image, not {list(self.labels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def side(self) -> int:
        return int(self.pixels.shape[-1])

    def take(self, numbers: NDArray[np.int64], threads: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        return self.pixels[numbers], self.labels[numbers]

    def counts(self, classes: int, threads: int = 1) -> NDArray[np.int64]:
        return np.bincount(self.labels, minlength=classes)

    def evidence(self) -> tuple[NDArray[np.uint8], ...]:
        return self.pixels, self.labels


@dataclass(frozen=True, kw_only=True)
class Glyphs:
    """`count` glyphs of the endless stream `seed`, from `start` on: none is drawn before it is taken."""

    start: int
    count: int
    seed: int

    def __len__(self) -> int:
        return self.count

    @property
    def side(self) -> int:
        return GLYPH_SIDE

    def take(self, numbers: NDArray[np.int64], threads: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < self.count:
            raise IndexError(f"expected glyphs 0..{self.count - 1}, came {numbers.min()}..{numbers.max()}")
        pixels, labels = _core.glyphs(self.start + numbers.reshape(-1), self.seed, threads)
        return pixels.reshape(*numbers.shape, GLYPH_SIDE, GLYPH_SIDE), labels.reshape(numbers.shape)

    def counts(self, classes: int, threads: int = 1) -> NDArray[np.int64]:
        found = np.zeros(classes, np.int64)
        for start in range(0, self.count, CHUNK):
            numbers = np.arange(start, min(start + CHUNK, self.count), dtype=np.int64)
            found += np.bincount(self.take(numbers, threads)[1], minlength=classes)
        return found

    def evidence(self) -> tuple[NDArray[np.uint8], ...]:
        """Its place in the stream and its first glyphs: as long as those are the same, so are all."""
        place = np.array([self.start, self.count, self.seed], "<i8").view(np.uint8)
        return place, *self.take(np.arange(min(self.count, SAMPLE), dtype=np.int64))


def checksum(*pools: Pool) -> str:
    """SHA-256 of the pools' evidence."""
    return sha256(*(array for pool in pools for array in pool.evidence()))


def sha256(*arrays: NDArray[np.uint8]) -> str:
    """Of each array's IDX header, which tells its shape, and its bytes: for one array, the checksum of its IDX file."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(header(array.shape))
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
