"""Owns the decoding of pictures: a file of any format that Pillow reads safely -> grey levels, the right way up."""

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pairnet.errors import DataError, PictureError

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # others start programs or are rarely tested
MAX_PIXELS = 1 << 24  # of a picture: 4096x4096; decoding takes up to 12 bytes for each
MAX_SIDE = 1 << 14  # of a picture: longer ones hold no digit
STRIP = 1 << 18  # pixels that are converted at once
ORIENTATION = 0x0112  # tag in EXIF metadata


def decoded(name: str, source: BinaryIO, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """The grey levels [H,W] of a picture.  PictureError if it is damaged, too large, or of another format."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata; the size is checked here
            with Image.open(source, formats=FORMATS) as opened:
                _check_size(name, opened.size, max_pixels)
                opened.load()
                orientation = opened.getexif().get(ORIENTATION)
                grey = _grey(opened)
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise PictureError(
            f"{name}: expected at most {max_pixels:,} pixels, got many more: reduce the picture"
        ) from None
    except UnidentifiedImageError:
        raise PictureError(f"{name}: expected a picture, .npy, .npz or IDX file, got another format") from None
    except Exception as error:  # Pillow's decoders raise any exception for damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PictureError(f"{name}: expected a picture, .npy, .npz or IDX file, cannot read it: {reason}") from None
    return _upright(grey, orientation)


def _check_size(name: str, size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise PictureError(f"{name}: expected at most {max_pixels:,} pixels, got {width}x{height}: reduce the picture")
    if max(size) > MAX_SIDE:
        raise PictureError(f"{name}: expected sides of at most {MAX_SIDE:,} pixels, got {width}x{height}: crop it")


def _strips(image: "Image.Image") -> Iterator[tuple[slice, "Image.Image"]]:
    """Horizontal strips of an image and their rows: a conversion of the whole would take several times its memory."""
    width, height = image.size
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        yield slice(top, bottom), image.crop((0, top, width, bottom))


def _grey(image: "Image.Image") -> NDArray[np.uint8]:
    """Grey levels [H,W] of an image of any mode; more than 8 bits are scaled, transparent pixels are background."""
    grey = np.empty((image.size[1], image.size[0]), np.uint8)
    if image.mode.startswith(("I", "F")):
        lows, highs = zip(*(_bounds(np.asarray(strip)) for _, strip in _strips(image)), strict=True)
        low, scale = min(lows), 255 / max(max(highs) - min(lows), 1e-9)
        for rows, strip in _strips(image):
            grey[rows] = np.rint((np.asarray(strip, np.float64) - low) * scale)
        return grey
    opacity = np.empty_like(grey)
    for rows, strip in _strips(image):
        values = np.asarray(strip.convert("RGBA").convert("LA"))
        grey[rows], opacity[rows] = values[..., 0], values[..., 1]
    if opacity.min() == 255:
        return grey
    background = 0 if _mean_level(grey, opacity) > 127 else 255
    for rows, _ in _strips(image):
        share = opacity[rows] / 255
        grey[rows] = np.rint(grey[rows] * share + background * (1 - share))
    return grey


def _bounds(values: NDArray[Any]) -> tuple[float, float]:
    """The smallest and the largest of deep grey levels.  ValueError unless all are finite."""
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(low) or not np.isfinite(high):
        raise ValueError("not all of its grey levels are finite")
    return low, high


def _mean_level(grey: NDArray[np.uint8], opacity: NDArray[np.uint8]) -> float:
    """Mean grey level, weighted by opacity; that of all pixels if all are transparent."""
    total = sum(int(row.sum(dtype=np.int64)) for row in opacity)
    if total == 0:
        return float(grey.mean())
    return sum(int(np.dot(a.astype(np.int64), b)) for a, b in zip(grey, opacity, strict=True)) / total


def _upright(pixels: NDArray[np.uint8], orientation: object) -> NDArray[np.uint8]:
    """An image [H,W] turned as the orientation in its EXIF metadata requires: 1 to 8, anything else means upright."""
    if not isinstance(orientation, int) or not 1 <= orientation <= 8:
        return pixels
    if orientation >= 5:  # mirrored at the main diagonal
        pixels = pixels.T
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
