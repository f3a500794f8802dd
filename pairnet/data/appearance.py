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
LEAST_RANGE = 38  # grey levels; a picture with less contrast shows no digit, see serving.digits.CONTRAST
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
    """What most images of a pool are; light on dark if that is not clear."""
    dark, light = _shares(sample(pool)[0])
    return DARK_ON_LIGHT if dark > max(light, 0.5) else LIGHT_ON_DARK


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
    found = polarity(pixels)
    if found is None:
        return
    light = pixels if found == LIGHT_ON_DARK else 255 - pixels
    yield from _level_remarks(light)
    yield from _place_remarks(light)
    if classes == 10 and len(np.unique(labels)) == 10:
        yield from _meaning_remarks(light, labels)


def _shares(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Shares of images [N,side,side] that are certainly dark on light, and light on dark.

    Certain is a border whose median is in the outer quarter of the image's grey levels.
    """
    border = np.concatenate((pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]), axis=1)
    low, high = (each.astype(np.float64) for each in (pixels.min((1, 2)), pixels.max((1, 2))))
    place = (np.median(border, axis=1) - low) / np.maximum(high - low, 1)
    drawn = high > low
    return float((drawn & (place > 0.75)).mean()), float((drawn & (place < 0.25)).mean())


def _polarity_remarks(train: NDArray[np.uint8], test: NDArray[np.uint8]) -> Iterator[str]:
    dark, light = _shares(train)
    if dark >= CLEAR:
        yield (
            "the images are dark on light: networks trained on them take arrays like these; their exported files say "
            "so, and `pairnet predict` and the server invert pictures for them; for other readers write 255 - images"
        )
    elif min(dark, light) >= MIXED:
        yield (
            f"{dark:.0%} of the training images are dark on light, {light:.0%} light on dark: write 255 - image for "
            "each that is dark on light"
        )
    one, other = polarity(train), polarity(test)
    if one and other and one != other:
        yield f"the training images are {one}, the test images {other}: write 255 - images for one of them"


def _level_remarks(light: NDArray[np.uint8]) -> Iterator[str]:
    low, high = (int(np.median(each)) for each in (light.min((1, 2)), light.max((1, 2))))
    if high - low < FAINT:
        yield (
            f"the images are faint, typically {high - low} grey levels from background to ink, and pictures have 255: "
            "stretch each to 0..255"
        )


def _place_remarks(light: NDArray[np.uint8]) -> Iterator[str]:
    """Size and place of typical digits, of images light on dark [N,side,side]."""
    side = light.shape[-1]
    low, high = (each.astype(np.float32)[:, None, None] for each in (light.min((1, 2)), light.max((1, 2))))
    ink = light - low > 0.15 * np.maximum(high - low, 1)  # [N,side,side]
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
