"""Owns the width of a digit's strokes: measured on a map of its ink, and widened where MNIST has none so thin."""

import math

import numpy as np
from numpy.typing import NDArray

FINE = 160  # sides of the map on which strokes are measured and widened: 8 to a pixel of the digit in 28x28
INK = 0.3  # of the digit's highest level; more is ink in the map
REACH = 16  # cells of the map: distances beyond are not told apart


def ink_map(crop: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """A map of the ink in a crop [H,W] of 0..255 whose longer side is FINE: a cell is ink if any of its pixels is.

    So a line of one pixel stays a line, however many pixels a cell has.
    """
    from PIL import Image

    scale = FINE / max(crop.shape)
    size = [max(1, round(side * scale)) for side in crop.shape]
    if scale >= 1:
        large = Image.fromarray(crop).resize((size[1], size[0]), Image.Resampling.BICUBIC)
        return np.asarray(large) > INK * 255
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, crop.shape, strict=True))
    ink: NDArray[np.uint8] = np.maximum.reduceat(np.maximum.reduceat(crop, rows, axis=0), columns, axis=1)
    return ink > INK * 255


def pen_width(ink: NDArray[np.bool_]) -> float:
    """The mean width of the strokes [H,W], in cells.

    Across a stroke of n cells, the distances to the background are 1, 2, .. 2, 1: their mean is (n + 2 + 1/n) / 4.
    """
    distance = _distances(~np.pad(ink, 1))[np.pad(ink, 1)]
    twice = max(2.0, 4 * float(distance.mean()) - 2)
    return (twice + math.sqrt(twice**2 - 4)) / 2


def widened(ink: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """The strokes [H,W], wider by `radius` < REACH cells on each side -> [H + 2 margin, W + 2 margin]."""
    return _distances(np.pad(ink, int(np.ceil(radius)))) <= radius


def _distances(to: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The distance of each cell [H,W] to the nearest one of `to`, at most REACH: down each column, then across."""
    limit = float(REACH**2)
    vertical = np.where(to, np.float32(0), np.float32(limit))
    best = vertical.copy()
    for step in range(1, REACH):
        np.minimum(best[step:], vertical[:-step] + step**2, out=best[step:])
        np.minimum(best[:-step], vertical[step:] + step**2, out=best[:-step])
    across = best.copy()
    for step in range(1, REACH):
        np.minimum(across[:, step:], best[:, :-step] + step**2, out=across[:, step:])
        np.minimum(across[:, :-step], best[:, step:] + step**2, out=across[:, :-step])
    return np.sqrt(np.minimum(across, limit))
