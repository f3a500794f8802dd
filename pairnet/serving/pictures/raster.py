"""Owns what Pillow is asked for: an opened picture file -> grey levels, at a reduced scale if it is large."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pairnet.errors import PictureError, one_line

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 50_000_000  # of a picture; phones make 48 million
MAX_SIDE = 1 << 14  # of a picture: longer ones hold no digit
LARGE = 1 << 22  # pixels; a picture with more is reduced by 2 or 4, which shortens all that follows
STRIP = 1 << 18  # pixels that are converted at once
ORIENTATION = 0x0112  # tag in EXIF metadata
MAX_EXIF = 1 << 16  # bytes, as in a JPEG; entries that share bytes take a multiple of them

LIMITS = {
    "PNG": MAX_PIXELS,
    "JPEG": MAX_PIXELS,
    "GIF": MAX_PIXELS,
    "BMP": MAX_PIXELS,
    "WEBP": 1 << 24,  # decoding takes 16 bytes for each pixel, four times as many as the others
    "PPM": MAX_PIXELS,
    "ICO": 1 << 16,
    "TIFF": MAX_PIXELS,
    "AVIF": MAX_PIXELS,
    "HEIF": MAX_PIXELS,
    "JPEG2000": 1 << 24,  # decoding takes a second for four million pixels
    "TGA": MAX_PIXELS,  # has no signature: the last to be tried
}
"""The most pixels of a picture, by Pillow's name of its format."""

NAMES = ", ".join(LIMITS)

SLOW = {"bmp_rle": 1 << 20, "ppm": 1 << 20, "ppm_plain": 1 << 20}
"""The most pixels for those of Pillow's decoders that are written in Python: a second of work."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Raster:
    """The grey levels of a picture, and its size in the file."""

    grey: NDArray[np.uint8]  # [H,W], the right way up
    size: tuple[int, int]  # width and height


def raster(name: str, file: BinaryIO, formats: Sequence[str]) -> Raster:
    """The first frame of a picture of one of `formats`.  PictureError if it is too large.

    Damage raises what Pillow raises: any exception.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about metadata; the size is checked here
        with _opened(file, formats) as image:
            size = image.size
            _check_size(name, image)
            factor = _factor(size)
            _reduce_early(image, factor)
            image.load()
            orientation = _orientation(name, image)
            remaining = max(1, factor * image.size[0] // size[0])
            grey = _upright(_grey(image, remaining), orientation)
    return Raster(grey=grey, size=size)


def refusal(name: str, error: Exception) -> PictureError:
    """What to raise for an exception of Pillow's decoders, which raise any for damaged files."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, PictureError):
        return error
    if isinstance(error, Image.DecompressionBombError):
        return PictureError(
            f"{name}: expected at most {MAX_PIXELS:,} pixels, got many more: reduce the picture", "too-large"
        )
    if isinstance(error, MemoryError):
        return PictureError(
            f"{name}: expected a picture that fits into memory, got a larger one: reduce it", "too-large"
        )
    if isinstance(error, UnidentifiedImageError):
        return PictureError(f"{name}: expected a picture ({NAMES}), got another format: save it as PNG", "format")
    return PictureError(
        f"{name}: expected a whole picture, cannot read it: {one_line(error)}: save it again", "damaged"
    )


def _opened(file: BinaryIO, formats: Sequence[str]) -> "Image.Image":
    from PIL import Image

    if "HEIF" not in formats:
        return Image.open(file, formats=tuple(formats))
    from pillow_heif import HeifImageFile

    opened: Image.Image = HeifImageFile(file)
    return opened


def _check_size(name: str, image: "Image.Image") -> None:
    (width, height), kind = image.size, image.format or ""
    most = min(
        [LIMITS.get(kind, MAX_PIXELS)]  # other names are kinds of JPEG
        + [SLOW.get(tile[0], MAX_PIXELS) for tile in getattr(image, "tile", [])]
    )
    if width * height > most:
        raise PictureError(
            f"{name}: expected at most {most:,} pixels, got {width}x{height}: reduce the picture", "too-large"
        )
    if max(image.size) > MAX_SIDE:
        raise PictureError(
            f"{name}: expected sides of at most {MAX_SIDE:,} pixels, got {width}x{height}: crop it", "too-large"
        )


def _factor(size: tuple[int, int]) -> int:
    """1, 2 or 4: by how much a picture is reduced in each direction."""
    factor = 1
    while size[0] * size[1] > LARGE * factor**2 and min(size) >= 2 * factor:
        factor *= 2
    return factor


def _reduce_early(image: "Image.Image", factor: int) -> None:
    """Lets those decoders that can do so return a reduced picture."""
    if factor == 1:
        return
    width, height = image.size
    if image.format == "JPEG2000":
        image.reduce = factor.bit_length() - 1  # type: ignore[assignment,method-assign]
    elif image.format in ("JPEG", "MPO"):
        image.draft("L" if image.mode in ("L", "RGB") else None, (width // factor, height // factor))


def _orientation(name: str, image: "Image.Image") -> object:
    if (length := len(image.info.get("exif") or b"")) > MAX_EXIF:
        raise PictureError(
            f"{name}: expected at most {MAX_EXIF:,} bytes of EXIF metadata, got {length:,}: remove them",
            "too-much-work",
        )
    return image.getexif().get(ORIENTATION)


def _strips(image: "Image.Image", factor: int) -> Iterator[tuple[slice, "Image.Image"]]:
    """Horizontal strips of an image and their rows in the result.

    A conversion of the whole would take several times its memory. Up to factor - 1 rows and columns at the ends, which
    fill no pixel of the result, are left out.
    """
    width, height = (side // factor * factor for side in image.size)
    rows = max(1, STRIP // (width * factor)) * factor
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        yield slice(top // factor, bottom // factor), image.crop((0, top, width, bottom))


def _grey(image: "Image.Image", factor: int) -> NDArray[np.uint8]:
    """Grey levels [H/factor,W/factor] of an image of any mode.

    More than 8 bits are scaled, transparent pixels are background.
    """
    grey = np.empty((image.size[1] // factor, image.size[0] // factor), np.uint8)
    if image.mode.startswith(("I", "F")):
        lows, highs = zip(*(_bounds(np.asarray(strip)) for _, strip in _strips(image, 1)), strict=True)
        low, scale = min(lows), 255 / max(max(highs) - min(lows), 1e-9)
        for rows, strip in _strips(image, factor):
            grey[rows] = np.rint((_means(np.asarray(strip, np.float64), factor) - low) * scale)
        return grey
    if not image.has_transparency_data:
        for rows, strip in _strips(image, factor):
            grey[rows] = np.asarray(strip.convert("L").reduce(factor))
        return grey
    opacity = np.empty_like(grey)
    for rows, strip in _strips(image, factor):
        values = np.asarray(strip.convert("RGBA").convert("LA").reduce(factor))
        grey[rows], opacity[rows] = values[..., 0], values[..., 1]
    if opacity.min() == 255:
        return grey
    background = 0 if _mean_level(grey, opacity) > 127 else 255
    for row, alpha in zip(grey, opacity, strict=True):
        share = alpha / 255
        row[:] = np.rint(row * share + background * (1 - share))
    return grey


def _means(values: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """The mean of each square of factor x factor values [H,W]."""
    height, width = (side // factor for side in values.shape)
    means: NDArray[np.float64] = values.reshape(height, factor, width, factor).mean((1, 3))
    return means


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
