"""Owns pairs of digits: drawing them, their targets, moments, normalisation and folds."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pairnet import _core
from pairnet.data.core_errors import argument_errors
from pairnet.data.pools import Pool
from pairnet.errors import ArgumentError
from pairnet.extras import needed_by

CHUNK = 8192  # pairs whose unpooled images are in memory at once
MAX_FOLD_SEED = 2**32 - 1  # scikit-learn's limit


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Pairs:
    """Pairs of pooled images.

    A pooled pixel is the sum of a 2x2 block of grey levels, four times their average, and so exact. Row i of `indices`
    holds the numbers of the two images in the pool that pair i was made of.

    Raises ArgumentError for arrays of another shape.
    """

    pixels: NDArray[np.uint16]  # [n,2,14,14], 0..1020
    digits: NDArray[np.uint8]  # [n,2]
    indices: NDArray[np.int64]  # [n,2]

    def __post_init__(self) -> None:
        count = len(self.pixels)
        for name, shape in (("pixels", (count, 2, 14, 14)), ("digits", (count, 2)), ("indices", (count, 2))):
            given = getattr(self, name).shape
            if given != shape:
                raise ArgumentError(f"expected `{name}` of shape {list(shape)}, got {list(given)}")

    def __repr__(self) -> str:
        return f"<Pairs: {len(self):,} pairs of 14x14 images>"

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def targets(self) -> NDArray[np.float32]:
        """1 if the first digit is less than or equal to the second, else 0.  [n]"""
        with argument_errors():
            return _core.targets(np.ascontiguousarray(self.digits))

    def subset(self, rows: NDArray[np.int64]) -> "Pairs":
        """The pairs at `rows` [m], in that order.  ArgumentError for a row that does not exist."""
        try:
            return Pairs(pixels=self.pixels[rows], digits=self.digits[rows], indices=self.indices[rows])
        except IndexError as error:
            raise ArgumentError(f"expected `rows` of {len(self)} pairs, got others: {error}") from None


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Mean and (unbiased) standard deviation of pooled pixels, in grey levels 0..255."""

    mean: float
    std: float


class Batch(NamedTuple):
    """Normalised pairs and their labels, as torch tensors or NumPy arrays."""

    pair: Any  # float32 [B,2,14,14]
    target: Any  # float32 [B], 1 if the first digit is less than or equal to the second
    digits: Any  # int64 [B,2]


def draw_pairs(images: Pool, *, count: int, seed: int, threads: int = 1) -> Pairs:
    """Draws `count` pairs at random from a pool of N images, without replacement.

    The images of the pairs are a function of (N, count, seed): the first 2*count entries of a random permutation, two
    by two. Time and memory grow with count, not with N.

    Parameters: `count` in 1..N//2; `seed` in 0..2**64-1; `threads` in 1..1024, which does not change the result.
    Returns Pairs with pixels uint16 [count,2,14,14], digits uint8 [count,2] and indices int64 [count,2].
    Raises ArgumentError for an argument out of bounds.
    """
    indices = draw_indices(len(images), count=count, seed=seed)
    with argument_errors():
        pixels, digits = np.empty((count, 2, 14, 14), np.uint16), np.empty((count, 2), np.uint8)
        for start in range(0, count, CHUNK):
            chunk = slice(start, start + CHUNK)
            taken, digits[chunk] = images.take(indices[chunk], threads)
            rows = np.arange(2 * len(taken), dtype=np.int64).reshape(-1, 2)
            pixels[chunk] = _core.pool_pairs(taken.reshape(-1, *taken.shape[2:]), rows, threads)
    return Pairs(pixels=pixels, digits=digits, indices=indices)


def draw_indices(images: int, *, count: int, seed: int) -> NDArray[np.int64]:
    """The numbers of the images in the pairs that `draw_pairs` draws from a pool of so many images.  [count,2]

    ArgumentError as there.
    """
    if not 1 <= count <= images // 2:
        raise ArgumentError(
            f"expected `pairs` in 1..{images // 2}, got {count}: each pair needs two of the {images:,} images"
        )
    with argument_errors():
        return _core.draw(images, count, seed)


def moments(pairs: Pairs) -> Moments:
    """Mean and standard deviation over all pixels of all pairs.  ArgumentError if there are no pairs."""
    with argument_errors():
        mean, std = _core.moments(np.ascontiguousarray(pairs.pixels))
    return Moments(mean=mean, std=std)


def normalise(pairs: Pairs, moments: Moments) -> Batch:
    """All n pairs as one batch of NumPy arrays [n,2,14,14], [n], [n,2]; pixels are (grey level - mean) / std.

    Raises ArgumentError unless mean is finite and std is finite and positive.
    """
    return Batch(normalise_pixels(pairs.pixels, moments), pairs.targets, pairs.digits.astype(np.int64))


def normalise_pixels(pixels: NDArray[np.uint16], moments: Moments) -> NDArray[np.float32]:
    """Pooled pixels of any shape -> (grey level - mean) / std in the same shape.

    Raises ArgumentError unless mean is finite and std is finite and positive.
    """
    with argument_errors():
        return _core.normalise(np.ascontiguousarray(pixels), moments.mean, moments.std)


def pool_and_normalise(images: NDArray[np.uint8], moments: Moments) -> NDArray[np.float32]:
    """Unpooled grey levels [...,28,28] -> the input of a network [...,14,14], bit for bit as in training.

    Raises ArgumentError for another shape or type, and unless mean is finite and std is finite and positive.
    """
    if images.shape[-2:] != (28, 28):
        raise ArgumentError(f"expected `images` of shape [...,28,28], got {list(images.shape)}")
    axes = images.shape[:-2]
    with argument_errors():
        pooled = _core.pool(np.ascontiguousarray(images).reshape(math.prod(axes), 28, 28))  # [...,14,14]
    return normalise_pixels(pooled, moments).reshape(*axes, 14, 14)


def accuracy(probability: NDArray[Any], targets: NDArray[Any]) -> float:
    """Fraction of pairs whose comparison is predicted correctly.

    probability [n]: P(first <= second), decided at 0.5; targets [n]: 1 or true if the first digit is less than or equal
    to the second.
    """
    return float(((probability > 0.5) == (targets.astype(np.float32) > 0.5)).mean())


def folds(count: int, k: int, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Training rows and validation rows of each of k folds of range(count), shuffled by `seed`.

    Each row is in one validation set. Raises ArgumentError unless 2 <= k <= count and seed is in 0..2**32-1.
    """
    with needed_by("cross-validation"):
        from sklearn.model_selection import KFold  # slow to import

    if not 2 <= k <= count:
        raise ArgumentError(f"expected `folds` in 2..{count}, the number of pairs, got {k}")
    if not 0 <= seed <= MAX_FOLD_SEED:
        raise ArgumentError(f"expected `seed` in 0..2**32-1, got {seed}")
    return list(KFold(k, shuffle=True, random_state=seed).split(np.empty(count)))
