"""Owns pairs of digits: how they are drawn, their targets, moments, normalisation and folds."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pairnet import _core
from pairnet.data.images import Pool

CHUNK = 8192  # pairs whose whole images are held at once


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Pairs of pooled images.

    A pooled pixel is the sum of a 2x2 block of grey levels, four times their average, and so exact. Row i of `indices`
    says which two images of the source pair i was made of.

    Raises ValueError for arrays of another shape.
    """

    pixels: NDArray[np.uint16]  # [n,2,14,14], 0..1020
    digits: NDArray[np.uint8]  # [n,2]
    indices: NDArray[np.int64]  # [n,2]

    def __post_init__(self) -> None:
        count = len(self.pixels)
        for name, shape in (("pixels", (count, 2, 14, 14)), ("digits", (count, 2)), ("indices", (count, 2))):
            given = getattr(self, name).shape
            if given != shape:
                raise ValueError(f"{name} must be of shape {list(shape)}, not {list(given)}")

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def targets(self) -> NDArray[np.float32]:
        """1 where the first digit is equal or less than the second, else 0.  [n]"""
        return _core.targets(self.digits)

    def subset(self, rows: NDArray[np.int64]) -> "Pairs":
        """The pairs at `rows`, in their order."""
        return Pairs(pixels=self.pixels[rows], digits=self.digits[rows], indices=self.indices[rows])


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Mean and (unbiased) standard deviation of pooled pixels, in grey levels 0..255."""

    mean: float
    std: float


class Batch(NamedTuple):
    """Normalised pairs with what is to be learned about them, as torch tensors or NumPy arrays."""

    pair: Any  # float32 [B,2,14,14]
    target: Any  # float32 [B], 1 where the first digit is equal or less than the second
    digits: Any  # int64 [B,2]


def draw_pairs(images: Pool, *, count: int, seed: int, threads: int = 1) -> Pairs:
    """Draws `count` pairs from N images; no image is used twice.

    A function of (N, count, seed) alone: the first 2*count entries of a random permutation, two by two. Time and memory
    grow with count, not with N. Raises ValueError when there are fewer than 2*count images.
    """
    if count < 1:
        raise ValueError(f"--pairs must be at least 1, not {count}")
    if 2 * count > len(images):
        raise ValueError(
            f"{count} pairs need {2 * count} images, but there are {len(images)}: "
            f"choose --pairs {len(images) // 2} or less"
        )
    indices = _core.draw(len(images), count, seed)
    pixels, digits = np.empty((count, 2, 14, 14), np.uint16), np.empty((count, 2), np.uint8)
    for start in range(0, count, CHUNK):
        chunk = slice(start, start + CHUNK)
        taken, digits[chunk] = images.take(indices[chunk], threads)
        rows = np.arange(2 * len(taken), dtype=np.int64).reshape(-1, 2)
        pixels[chunk] = _core.pool_pairs(taken.reshape(-1, *taken.shape[2:]), rows, threads)
    return Pairs(pixels=pixels, digits=digits, indices=indices)


def moments(pairs: Pairs) -> Moments:
    """Mean and standard deviation over all pixels of all pairs.  Raises ValueError when there are no pairs."""
    mean, std = _core.moments(pairs.pixels)
    return Moments(mean=mean, std=std)


def normalise(pairs: Pairs, moments: Moments) -> Batch:
    """All pairs as one batch of NumPy arrays, pixels as (grey level - mean) / std.

    Raises ValueError when std is not positive.
    """
    pair = _core.normalise(pairs.pixels, moments.mean, moments.std)
    return Batch(pair, pairs.targets, pairs.digits.astype(np.int64))


def pool_and_normalise(images: NDArray[np.uint8], moments: Moments) -> NDArray[np.float32]:
    """Grey levels as they are [...,28,28] -> what a net takes [...,14,14], bit for bit as in training.

    Raises ValueError when std is not positive.
    """
    *axes, height, width = images.shape
    sums = images.reshape(*axes, height // 2, 2, width // 2, 2).sum((-3, -1), dtype=np.uint16)
    return _core.normalise(sums, moments.mean, moments.std)


def accuracy(probability: NDArray[Any], targets: NDArray[Any]) -> float:
    """Fraction of pairs that are decided correctly.

    probability [n]: P(first <= second), decided at 0.5; targets [n]: 1 or true where
    the first digit is equal or less than the second.
    """
    return float(((probability > 0.5) == (targets.astype(np.float32) > 0.5)).mean())


def folds(count: int, k: int, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows to train on and rows to validate on, for each of k folds of range(count), shuffled by seed (0..2**32-1).

    Each row is validated on once. Raises ValueError unless 2 <= k <= count.
    """
    from sklearn.model_selection import KFold  # slow to import

    if not 2 <= k <= count:
        raise ValueError(f"folds must be in 2..{count}, the number of pairs, not {k}")
    return list(KFold(k, shuffle=True, random_state=seed).split(np.empty(count)))
