"""Owns what makes the paper of a photograph even: noise is smoothed, slow changes of light are levelled, specks go."""

import math

import numpy as np
from numpy.typing import NDArray

from pairnet.serving.pictures.components import MOST, cell_map, components, spread

APART = 3  # pixels between those that are compared: JPEG makes neighbours alike
CLEAR = 5  # standard deviations of the noise: what differs more from the paper is no noise
WIDEST = 3  # pixels: the largest radius of smoothing
NOISY_SIDE = 64  # pixels: in smaller pictures, the slopes of a digit's edges are no noise
BLOCKS = 12  # on a side; the paper's level is known for each
NEAR = 0.25  # of the picture's range; blocks that differ more from the paper are ink
FLAT = 3  # grey levels: a smaller change of the paper stays
ROUGH = 0.03  # of the picture's range; a paper that differs more from a smooth surface stays as it is
SPECK = 0.1  # of the larger side of the largest part of the ink: smaller parts are specks


def noise_level(pixels: NDArray[np.uint8]) -> float:
    """The standard deviation of the noise of a picture [H,W], in grey levels, from pixels that lie close together."""
    if min(pixels.shape) < NOISY_SIDE:
        return 0.0
    few = pixels[:: max(1, pixels.shape[0] // 512)].astype(np.int16)
    differences = np.abs(few[:, APART:] - few[:, :-APART])
    return float(np.median(differences)) / 0.6745 / math.sqrt(2)


def smoothed(pixels: NDArray[np.uint8], least: float) -> NDArray[np.uint8]:
    """A picture [H,W] whose noise is small against `least` grey levels; a picture with little noise as it is."""
    from PIL import Image, ImageFilter

    radius = min(WIDEST, math.ceil((CLEAR * noise_level(pixels) / least - 1) / 2))
    if radius < 1:
        return pixels
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.BoxBlur(radius)))


def levelled(pixels: NDArray[np.uint8], paper: int, contrast: int, most: float) -> NDArray[np.uint8]:
    """A picture [H,W] whose paper has the level `paper` everywhere, if it changes smoothly and by at most `most`.

    The paper's level is a surface of the second degree through the medians of blocks that are no ink.
    """
    if min(pixels.shape) < 2 * BLOCKS:
        return pixels
    edges = [np.arange(BLOCKS + 1) * side // BLOCKS for side in pixels.shape]
    blocks = [[pixels[slice(*rows), slice(*columns)] for columns in _pairs(edges[1])] for rows in _pairs(edges[0])]
    medians = np.array([[np.median(block) for block in row] for row in blocks])
    y, x = np.meshgrid(*((np.arange(BLOCKS) + 0.5) / BLOCKS,) * 2, indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * y, x**2, y**2], -1)
    known = np.abs(medians - paper) < NEAR * contrast
    for _ in range(2):  # the second time without the blocks that some ink makes differ
        if known.mean() < 0.5:
            return pixels
        weights = np.linalg.lstsq(terms[known], medians[known], rcond=None)[0]
        known &= np.abs(terms @ weights - medians) < ROUGH * contrast
    surface = terms @ weights
    if known.mean() < 0.5 or not FLAT < np.ptp(surface) <= most:
        return pixels
    down, across = (((np.arange(side) + 0.5) / side).astype(np.float32) for side in pixels.shape)
    column = weights[0] + weights[2] * down + weights[5] * down**2
    light = column[:, None] + (weights[1] + weights[3] * down)[:, None] * across + (weights[4] * across**2)
    even: NDArray[np.uint8] = np.clip(np.rint(pixels - light.astype(np.float32) + paper), 0, 255).astype(np.uint8)
    return even


def _pairs(edges: NDArray[np.int64]) -> list[tuple[int, int]]:
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def specks(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pixels of [H,W] are parts of the ink that are small against the largest; none in a map of noise alone."""
    cells, rows, columns = cell_map(ink)
    found = components(cells)
    sides = found.sides()
    small = np.append(False, sides < SPECK * sides.max(initial=0))
    if not small.any() or len(sides) > MOST:
        return np.zeros_like(ink)
    parts: NDArray[np.bool_] = ink & spread(small[found.labels], rows, columns)
    return parts
