"""Owns what makes the digit of a picture one of MNIST's: found, alone, light on dark, scaled and centred in 28x28."""

import numpy as np
from numpy.typing import NDArray

from pairnet.data.appearance import CONTRAST
from pairnet.errors import PictureError
from pairnet.serving.pictures.components import MOST, Components, components, has_stroke, surrounded
from pairnet.serving.pictures.frames import check_not_ruled, inside_lines, paper_level
from pairnet.serving.pictures.paper import levelled, smoothed, specks
from pairnet.serving.pictures.strokes import FINE, ink_map, pen_width, widened

SIDE = 28
DIGIT_SIDE = 20  # MNIST's digits were scaled to 20x20, then centred by their centre of mass in 28x28
LEAST_PEN = 1.8  # pixels of 28x28: thinner strokes, as of one MNIST digit in forty, are widened; with more, loops close
PARTS = 20  # of a digit, at most; what has more is drawn with dots, or on noise, which would grow with its strokes
LEAST_SIDE = 6  # pixels of a digit's larger side: smaller ones have no shape
LEAST_PART = 0.01  # of the picture's larger side
LEVELLED = 0.35  # of the picture's range; a paper that changes smoothly, and by less, is made even
INVERTED = "inverted: it is dark on light"
UNEVEN = 0.2  # of the contrast; a background that changes more across the picture would count as part of the digit


def as_mnist(name: str, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """The digit in a picture [H,W] -> [28,28], light on dark, and notes on the changes made, for people.

    A picture of 28x28 is at most inverted. PictureError, in one line that opens with `name`, if there is no digit, more
    than one, or an uneven background.
    """
    notes, size = list[str](), f"{pixels.shape[1]}x{pixels.shape[0]}"
    resized = pixels.shape != (SIDE, SIDE)
    if resized:
        pixels, notes = _inside(name, pixels)
    else:
        _check_border(name, pixels)
    if _is_dark_on_light(pixels):
        pixels = 255 - pixels
        notes.append(INVERTED)
    background = _background(pixels)
    if pixels.max() - background < CONTRAST * 255:
        raise PictureError(
            f"{name}: expected a digit that differs from its background, got one of nearly its "
            "brightness, which counts whatever the colours: raise the contrast",
            "low-contrast",
        )
    if resized:
        _check_background(name, pixels, background)
        ink = pixels > background + CONTRAST * (float(pixels.max()) - background)  # [H,W]
        if (small := specks(ink)).any():
            _check_not_dashed(name, ink)
            pixels = np.where(small, np.uint8(background), pixels)
            notes.append("left out: specks")
        levels = _stretched(pixels, background)
        digit = (levels > CONTRAST * 255)[pixels]  # [H,W]
        _check_alone(name, digit)
        notes.append(f"{size}: cropped to the digit, scaled and centred as in MNIST")
        pixels, wider = _fitted(name, pixels, digit, levels)
        notes += ["widened: its strokes are thinner than MNIST's"] * wider
    return pixels, tuple(notes)


def _inside(name: str, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], list[str]]:
    """The part of a picture [H,W] inside the lines at its edge, its paper even, and notes on the changes."""
    _, contrast = paper_level(pixels)
    pixels = smoothed(pixels, max(1, CONTRAST * contrast))
    paper, contrast = paper_level(pixels)
    pixels = levelled(pixels, paper, contrast, LEVELLED * contrast)
    inside, notes = inside_lines(name, pixels), list[str]()
    if inside.shape != pixels.shape:
        pixels, notes = inside, ["left out: the lines at the edge"]
    paper, contrast = paper_level(pixels)
    if abs(_background(pixels) - paper) > CONTRAST * contrast:  # lines along most of the border
        _check_paper(name, pixels)
    check_not_ruled(name, pixels)
    return pixels, notes


def _check_border(name: str, pixels: NDArray[np.uint8]) -> None:
    """PictureError for an image of 28x28 whose border is nearly all ink: a cell with its lines, not one of MNIST's."""
    paper, contrast = paper_level(pixels)
    if abs(_background(pixels) - paper) > contrast / 2:
        raise PictureError(
            f"{name}: expected an image of 28x28 with paper along its border, got lines there: crop the picture to the "
            "digit, inside the lines",
            "lines",
        )


def _is_dark_on_light(pixels: NDArray[np.uint8]) -> bool:
    """Whether the background of an image [H,W] is lighter than the middle of its grey levels."""
    return _background(pixels) > (int(pixels.min()) + int(pixels.max())) / 2


def _background(pixels: NDArray[np.uint8]) -> float:
    """The median grey level of the border."""
    return float(np.median(_border(pixels)))


def _border(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate((pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))


def _check_paper(name: str, pixels: NDArray[np.uint8]) -> None:
    """PictureError for a digit surrounded by ink, which may be most of the border: by what differs from the paper."""
    paper, contrast = paper_level(pixels)
    differs = (np.abs(np.arange(256) - paper) > CONTRAST * max(contrast, 1))[pixels]
    if differs.mean() > 0.5:  # light that changes is no ink
        return
    ink = ink_map(differs.astype(np.uint8) * 255)
    _check_not_surrounded(name, ink, components(ink))


def _check_background(name: str, pixels: NDArray[np.uint8], background: float) -> None:
    """PictureError for a background that changes across the picture, as in photographs, or for lines around a digit.

    Compared are the darkest pixels of the picture's 3x3 parts, where a digit leaves some background, and the pixels of
    its border, which may be cut by a digit in a few places.
    """
    parts = [part for rows in np.array_split(pixels, 3) for part in np.array_split(rows, 3, axis=1) if part.size]
    levels = [float(np.quantile(part, 0.02)) for part in parts]
    border = _border(pixels)
    change = min(max(levels) - min(levels), float(np.quantile(border, 0.9) - np.quantile(border, 0.1)))
    if change > UNEVEN * (float(pixels.max()) - background):
        _check_paper(name, pixels)
        raise PictureError(
            f"{name}: expected an even background, got one that changes by {change:.0f} of 255 grey levels: take the "
            "picture in even light, or crop it to the digit",
            "uneven-background",
        )


def _stretched(pixels: NDArray[np.uint8], background: float) -> NDArray[np.float32]:
    """The new level of each grey level [256]: 0 up to the background, 255 for the lightest pixel."""
    levels: NDArray[np.float32] = np.clip(np.arange(256, dtype=np.float32) - background, 0, None)
    levels *= 255 / levels[pixels.max()]
    return levels


def _check_alone(name: str, digit: NDArray[np.bool_]) -> None:
    """PictureError if `digit` [H,W] is several digits, side by side or one above the other.

    Side by side: tall parts with empty columns between them. One above the other: parts with empty rows between them,
    each with the proportions of a digit, which neither the bar of a broken 5 nor the halves of a broken 1 have.
    """
    _check_not_stacked(name, digit)
    rows, columns = np.flatnonzero(digit.any(1)), digit.sum(0)
    height = int(rows[-1] - rows[0] + 1)
    tall = [
        (start, end)
        for start, end in _parts(columns, 5)
        if np.ptp(np.flatnonzero(digit[:, start:end].any(1))) + 1 > height / 2
    ]
    if len(tall) > 1 and tall[-1][1] - tall[0][0] >= height:  # a single digit in two parts is narrower
        raise PictureError(
            f"{name}: expected one digit, got {len(tall)} side by side: crop the picture to one of them",
            "several-digits",
        )


def _parts(ink: NDArray[np.int64], share: int) -> list[tuple[int, int]]:
    """Ranges of rows or columns with ink between empty ones, those with more than 1/`share` of all ink."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], ink > 0, [0])).astype(np.int8))).reshape(-1, 2)
    before = np.concatenate(([0], np.cumsum(ink)))
    sums = before[edges[:, 1]] - before[edges[:, 0]]
    return [(int(start), int(end)) for start, end in edges[sums > before[-1] / share]]


def _check_not_stacked(name: str, digit: NDArray[np.bool_]) -> None:
    count, least = 0, np.ptp(np.flatnonzero(digit.any(1))) / 4
    for start, end in _parts(digit.sum(1), 4):
        width, height = np.ptp(np.flatnonzero(digit[start:end].any(0))) + 1, end - start
        count += bool(height > least and 0.4 * height < width < 1.6 * height)
    if count > 1:
        raise PictureError(
            f"{name}: expected one digit, got {count} one above the other: crop the picture to one of them",
            "several-digits",
        )


def _check_not_surrounded(name: str, ink: NDArray[np.bool_], parts: Components) -> None:
    """PictureError for parts of a map of ink [H,W] that have others around them: rings, combs, dashed lines."""
    if len(parts.boxes) <= MOST and surrounded(ink, parts):
        raise PictureError(
            f"{name}: expected a digit by itself, got other ink around it: crop the picture to the digit, inside the "
            "lines",
            "lines",
        )


def _check_not_dashed(name: str, ink: NDArray[np.bool_]) -> None:
    """PictureError for a map [H,W] with its specks, if they surround the digit: they may be a dashed line."""
    fine = ink_map(ink[_box(ink)].astype(np.uint8) * 255)
    _check_not_surrounded(name, fine, components(fine))


def _box(marks: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns of [H,W] from the first to the last with a mark."""
    rows, columns = (np.flatnonzero(marks.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _fitted(
    name: str, pixels: NDArray[np.uint8], digit: NDArray[np.bool_], levels: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], bool]:
    """The pixels [H,W] around those of `digit`, with new `levels`, strokes as wide as in MNIST, scaled and centred.

    PictureError if there is no stroke, or less ink than in a line of half the digit's size, or other ink around the
    digit. -> [28,28], and whether the strokes are wider than they were
    """
    crop = np.minimum(levels, 255).astype(np.uint8)[pixels[_box(digit)]]
    if max(crop.shape) < max(LEAST_SIDE, LEAST_PART * max(pixels.shape)):
        raise PictureError(
            f"{name}: expected a digit of at least {LEAST_SIDE} pixels and 1 % of the picture, got ink of "
            f"{crop.shape[1]}x{crop.shape[0]}: crop the picture to the digit, or enlarge it",
            "no-digit",
        )
    ink = ink_map(crop)
    parts = components(ink)
    if ink.sum() < FINE / 2 or not has_stroke(parts):
        raise PictureError(
            f"{name}: expected a digit visible in 20x20 pixels, got dots: crop the picture to the digit", "no-digit"
        )
    _check_not_surrounded(name, ink, parts)
    wanted, width = LEAST_PEN * FINE / DIGIT_SIDE, pen_width(ink)
    wider = width < wanted and len(parts.boxes) <= PARTS
    if wider:
        radius = (wanted - width) / 2 / (1 - LEAST_PEN / DIGIT_SIDE)  # the digit grows, and is scaled down by as much
        crop = widened(ink, radius).astype(np.uint8) * 255
        crop = crop[_box(crop > 0)]
    return _centred(_scaled(crop)), wider


def _scaled(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A crop [H,W] whose longer side becomes DIGIT_SIDE."""
    from PIL import Image

    scale = DIGIT_SIDE / max(crop.shape)
    height, width = (max(1, round(size * scale)) for size in crop.shape)
    method = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(crop).resize((width, height), method))


def _centred(small: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A digit [H,W] of at most 28x28 with its centre of mass in the middle of [28,28]."""
    fitted = np.zeros((SIDE, SIDE), np.uint8)
    mass = small.astype(np.float64)
    if not mass.any():
        return fitted
    y, x = (float((np.indices(small.shape)[axis] * mass).sum() / mass.sum()) for axis in (0, 1))
    top, left = (
        int(np.clip(round((SIDE - 1) / 2 - centre), 0, SIDE - size))
        for centre, size in ((y, small.shape[0]), (x, small.shape[1]))
    )
    fitted[top : top + small.shape[0], left : left + small.shape[1]] = small
    return fitted
