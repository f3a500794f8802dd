"""Owns how images of a user's own differ from MNIST's: what networks learn from arrays, but pictures then lack.

A network answers for the arrays that it was trained on, however they look. A picture of a digit is made light on dark,
upright, 20 pixels high and centred, so networks of other images would read it wrongly. Only what is certain is said.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pairnet.data.pools import GLYPH_SIDE, Glyphs, Pool

Polarity = Literal["light on dark", "dark on light"]
LIGHT_ON_DARK: Polarity = "light on dark"
DARK_ON_LIGHT: Polarity = "dark on light"

SAMPLE = 2000  # images that are looked at, evenly spaced: files may be sorted by class
CLEAR = 0.9  # share of images of one polarity that decides for all
MIXED = 0.1  # share of the rarer polarity from which on it is named
TAIL = 2  # percent of the darkest and of the lightest pixels that are left out: noise is there
EDGE = 0.1  # of an image's range, from its middle to a background that is certainly dark or light; noise: 0.09
CONTRAST = 0.15  # of the range from black to white; a digit with less is invisible
NOISE = 4.0  # standard deviations of the background that no pixel of it exceeds
FAINT = 128  # grey levels from background to ink of a typical image; MNIST: 254, glyphs: 235
SIZES = (14, 25)  # pixels of 28 that a typical digit is high or wide; MNIST: 20
PLACE = 4.0  # pixels of 28 between the centres of a typical digit and of its image; MNIST: 0.8
ALIKE = 0.4  # correlation with the glyphs, mean of all classes; MNIST: 0.5, ten other shapes reach 0.3 in 1 of 100
MARGIN = 0.2  # by which another orientation or numbering is more alike than the images as they are

ORIENTATIONS = {  # what was done to the images -> what undoes it
    "transposed, as in the files of EMNIST": "images.transpose(0, 2, 1)",
    "turned by 90 degrees anticlockwise": "np.rot90(images, -1, (1, 2))",
    "turned by 90 degrees clockwise": "np.rot90(images, 1, (1, 2))",
    "upside down": "np.rot90(images, 2, (1, 2))",
    "mirrored from left to right": "images[:, :, ::-1]",
    "mirrored from top to bottom": "images[:, ::-1]",
    "mirrored at the other diagonal": "np.rot90(images, 2, (1, 2)).transpose(0, 2, 1)",
}


def sample(pool: Pool) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """At most SAMPLE images of a pool, evenly spaced -> pixels [n,side,side], labels [n]."""
    count = min(len(pool), SAMPLE)
    return pool.take(np.arange(count, dtype=np.int64) * len(pool) // count)


def polarity(pixels: NDArray[np.uint8]) -> Polarity | None:
    """What nearly all images [N,side,side] are; None if they differ, or show no even background."""
    dark, light = _shares(pixels)
    return DARK_ON_LIGHT if dark >= CLEAR else LIGHT_ON_DARK if light >= CLEAR else None


def polarity_of(pool: Pool) -> Polarity:
    """What most images of a pool are, clear or not: remarks() says if it is not."""
    return _recorded(sample(pool)[0])


def remarks(train: Pool, test: Pool, classes: int) -> Iterator[str]:
    """What a user should know of images before training on them, each with what to do, in one line."""
    counts = train.counts(classes)
    if missing := np.flatnonzero(counts == 0).tolist():
        names = ", ".join(map(str, missing))
        yield f"no training image has the label {names}: labels are 0 to N-1; if yours begin at 1, subtract 1"
    pixels, labels = sample(train)
    if blank := int((np.ptp(pixels, (1, 2)) == 0).sum()):
        yield f"{blank:,} of {len(pixels):,} training images are blank: leave them out"
    yield from _polarity_remarks(pixels, sample(test)[0])
    light = pixels if _recorded(pixels) == LIGHT_ON_DARK else 255 - pixels
    yield from _level_remarks(light)
    if polarity(pixels):
        yield from _place_remarks(light)
    if classes == 10 and len(np.unique(labels)) == 10:
        yield from _meaning_remarks(light, labels)


def _recorded(pixels: NDArray[np.uint8]) -> Polarity:
    """What most images [N,side,side] are; light on dark if there are as many of each."""
    place = _background_place(pixels)
    return DARK_ON_LIGHT if (place > 0.5).sum() > (place < 0.5).sum() else LIGHT_ON_DARK


def _shares(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Shares of images [N,side,side], without blank ones, that are certainly dark on light, and light on dark."""
    place = _background_place(pixels)
    count = max(len(place), 1)
    return float((place > 0.5 + EDGE).sum() / count), float((place < 0.5 - EDGE).sum() / count)


def _background_place(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The median of the border, from 0 (the darkest level) to 1 (the lightest), of each image that is not blank."""
    pixels = pixels[np.ptp(pixels, (1, 2)) > 0]
    low, high = _levels(pixels)
    place: NDArray[np.float64] = (np.median(_border(pixels), 1) - low) / (high - low)
    return place


def _border(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images [N,side,side] -> the pixels at their edges, corners twice [N,4*side]."""
    return np.concatenate((pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]), axis=1)


def _levels(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The dark and the light level of each image [N,side,side], without noise -> [N], [N]; equal only if it is blank.

    If nearly all of the range is in the tails, the ink is: a digit of few pixels.
    """
    if not len(pixels):
        return np.zeros(0), np.zeros(0)
    darkest, low, high, lightest = np.percentile(pixels, (0, TAIL, 100 - TAIL, 100), axis=(1, 2))
    few = high - low <= CONTRAST * (lightest - darkest)
    return np.where(few, darkest, low), np.where(few, lightest, high)


def _polarity_remarks(train: NDArray[np.uint8], test: NDArray[np.uint8]) -> Iterator[str]:
    one, other = polarity(train), polarity(test)
    dark, light = _shares(train)
    if one == DARK_ON_LIGHT:
        yield (
            "the images are dark on light: networks trained on them take arrays like these; their exported files say "
            "so, and `pairnet predict` and the server invert pictures for them; for other readers write 255 - images"
        )
    elif min(dark, light) >= MIXED:
        yield (
            f"{dark:.0%} of the training images are dark on light, {light:.0%} light on dark, recorded as "
            f"{_recorded(train)}: write 255 - image for each that is dark on light"
        )
    elif one is None:
        yield (
            f"their polarity is unclear, recorded as {_recorded(train)}: {dark:.0%} of the training images are clearly "
            f"dark on light, {light:.0%} light on dark: write images with an even background, light on dark"
        )
    if one and other and one != other:
        yield f"the training images are {one}, the test images {other}: write 255 - images for one of them"
    elif one and not other:
        yield f"the training images are {one}, the polarity of the test images is unclear: make them alike"


def _level_remarks(light: NDArray[np.uint8]) -> Iterator[str]:
    low, high = (int(np.median(each)) for each in _levels(light))
    if high - low < FAINT:
        yield (
            f"the images are faint, typically {high - low} grey levels from background to ink, and pictures have 255: "
            "stretch each to 0..255"
        )


def _place_remarks(light: NDArray[np.uint8]) -> Iterator[str]:
    """Size and place of typical digits, of images light on dark [N,side,side]; nothing if noise hides them."""
    side, border = light.shape[-1], _border(light)
    middle, high = np.percentile(border, (50, 84), axis=1)  # of normally distributed noise: mean, standard deviation
    contrast = _levels(light)[1] - middle
    least = np.maximum(CONTRAST * contrast, NOISE * (high - middle))
    ink = light - middle[:, None, None] > least[:, None, None]  # [N,side,side]
    ink = ink[(least <= contrast / 2) & ink.any((1, 2))]
    if 2 * len(ink) < len(light):
        return
    extents = []
    for axis in (2, 1):
        lines = ink.any(axis)  # [N,side]
        first, last = lines.argmax(1), side - 1 - lines[:, ::-1].argmax(1)
        extents.append((last - first + 1, (first + last) / 2 - (side - 1) / 2))
    (height, down), (width, right) = extents
    size = float(np.median(np.maximum(height, width))) * GLYPH_SIDE / side
    place = float(np.median(np.hypot(down, right))) * GLYPH_SIDE / side
    if not SIZES[0] <= size <= SIZES[1] or place > PLACE:
        yield (
            f"digits are typically {size:.0f} of 28 pixels high or wide, {place:.0f} from the centre, and a picture of "
            "another size than 28x28 is scaled to 20 and centred: make these the same, or give pictures of 28x28"
        )


def _meaning_remarks(light: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Iterator[str]:
    """Whether digits are seen from elsewhere, or numbered otherwise: their class means are compared with glyphs'.

    Other shapes than digits are alike in no orientation, and nothing is said of them.
    """
    glyphs = _class_means(*Glyphs(start=0, count=1000, seed=0).take(np.arange(1000)))
    means = _class_means(light, labels)
    undone = {
        f"the images are {what}: write {ORIENTATIONS[what]}, otherwise pictures will be answered wrongly": each
        for what, each in _undone(means).items()
    }
    found = {text: _alikeness(each, glyphs) for text, each in undone.items()}
    for shift, text in ((1, "plus"), (-1, "minus")):
        what = (
            f"the labels are the digits {text} 1: write the digits, otherwise 0 or 9 has the wrong place in the order"
        )
        found[what] = _alikeness(means, np.roll(glyphs, shift, 0))
    best = max(found, key=lambda text: found[text])
    if found[best] > max(ALIKE, _alikeness(means, glyphs) + MARGIN):
        yield best


def _undone(means: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Class means [10,14,14] with each of ORIENTATIONS undone."""
    turned = [np.rot90(means, turns, (1, 2)) for turns in (-1, 1, 2)]
    undone = (means.transpose(0, 2, 1), *turned, means[:, :, ::-1], means[:, ::-1], turned[2].transpose(0, 2, 1))
    return dict(zip(ORIENTATIONS, undone, strict=True))


def _class_means(pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The mean image of each of ten classes without the mean of all, pooled -> [10,14,14]."""
    means: NDArray[np.float64] = np.stack([pixels[labels == k].mean(0, dtype=np.float64) for k in range(10)])
    if means.shape[-1] == GLYPH_SIDE:
        means = means.reshape(10, 14, 2, 14, 2).mean((2, 4))
    means -= means.mean(0)
    return means


def _alikeness(means: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Correlation of class means [10,14,14], mean of the classes."""
    product = (means * others).sum((1, 2))
    return float((product / np.sqrt((means**2).sum((1, 2)) * (others**2).sum((1, 2)) + 1e-12)).mean())
