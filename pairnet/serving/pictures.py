"""Owns the reading of images from files: pictures, .npy, .npz or IDX -> uint8 28x28, light digits on dark."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pairnet.data.idx import GZIP_MAGIC, is_idx, read_idx
from pairnet.data.npy import NPY_MAGIC, read_npy, read_npz
from pairnet.errors import DataError, PictureError

if TYPE_CHECKING:
    from PIL import Image

SIDE = 28
DIGIT_SIDE = 20  # MNIST's digits were scaled to 20x20, then centred by their centre of mass in 28x28
CONTRAST = 0.15  # of the range from black to white; a digit with less is invisible
UNEVEN = 0.2  # of the contrast; a background that changes more across the picture would count as part of the digit
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")  # others start programs or are rarely tested
MAX_PIXELS = 1 << 24  # of a picture: 4096x4096; decoding takes up to 12 bytes for each
MAX_SIDE = 1 << 14  # of a picture: longer ones hold no digit
MAX_BYTES = 1 << 26  # of arrays in a file: 85,000 images
STRIP = 1 << 18  # pixels that are converted at once
ORIENTATION = 0x0112  # tag in EXIF metadata


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """The images in one file: light digits on dark, as in MNIST."""

    pixels: NDArray[np.uint8]  # [N,28,28] images or [N,2,28,28] pairs; a single image: [1,28,28]
    notes: tuple[str, ...]  # changes made to the image, for people


def read(path: Path) -> Picture:
    """The images in a file: [28,28], [N,28,28] or pairs [N,2,28,28] as IDX, .npy or .npz, or one picture of any size.

    A picture is a file of one of FORMATS with at most 16.8 million pixels; its first frame is used. Arrays have at most
    64 MiB. All sizes are checked before the file is decoded. DataError, in one line that names the file, if it has no
    usable image.
    """
    if "\0" not in str(path) and path.is_dir():
        raise PictureError(f"{path}: expected a picture, .npy, .npz or IDX file, got a folder: name files in it")
    if "\0" in str(path) or not path.is_file():
        raise PictureError(f"{path}: expected a picture, .npy, .npz or IDX file, got no such file: check the name")
    try:
        with path.open("rb") as file:
            magic = file.read(6)
    except OSError as error:
        raise PictureError(f"{path}: cannot be read: {error.strerror or error}") from None
    if is_idx(magic) or magic[:2] == GZIP_MAGIC:
        return _array(path, read_idx(path, max_bytes=MAX_BYTES))
    if magic == NPY_MAGIC or path.suffix == ".npy":
        return _array(path, read_npy(path, max_bytes=MAX_BYTES))
    if path.suffix == ".npz":
        return _archive(path)
    return _picture(str(path), path)


def decode(content: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Picture:
    """The image in the bytes of a picture, treated as `read` treats a file; `name` stands for it in messages.

    Raises PictureError, in one line, if there is no usable image or one with more pixels.
    """
    return _picture(name, BytesIO(content), max_pixels)


def is_dark_on_light(pixels: NDArray[np.uint8]) -> bool:
    """Whether the background of an image [H,W] is lighter than the middle of its grey levels."""
    return _background(pixels) > (int(pixels.min()) + int(pixels.max())) / 2


def _archive(path: Path) -> Picture:
    arrays = read_npz(path, ("first", "second"), max_bytes=MAX_BYTES)
    if len(arrays) == 1:
        return _array(path, *arrays.values())
    first, second = arrays["first"], arrays["second"]
    if first.shape != second.shape:
        raise PictureError(
            f"{path}: expected as many first as second images, got {list(first.shape)} and {list(second.shape)}"
        )
    return _array(path, np.stack((first, second), axis=max(0, first.ndim - 2)))


def _array(path: Path, values: NDArray[np.uint8]) -> Picture:
    shape = list(values.shape)
    if values.shape[-2:] != (SIDE, SIDE) or values.ndim > 4 or (values.ndim == 4 and values.shape[1] != 2):
        raise PictureError(
            f"{path}: expected [28,28], [N,28,28] or pairs [N,2,28,28], got {shape}: reshape or resize them"
        )
    if not values.size:
        raise PictureError(f"{path}: expected at least one image, got {shape}")
    return Picture(pixels=values[None] if values.ndim == 2 else values, notes=())


def _picture(name: str, source: Path | BytesIO, max_pixels: int = MAX_PIXELS) -> Picture:
    """The first frame of a picture -> [1,28,28], light on dark."""
    pixels, notes = _decoded(name, source, max_pixels), list[str]()
    if is_dark_on_light(pixels):
        pixels, notes = 255 - pixels, ["inverted: it is dark on light"]
    background = _background(pixels)
    if pixels.max() - background < CONTRAST * 255:
        raise PictureError(f"{name}: expected a digit that differs from its background, got none: raise the contrast")
    if pixels.shape != (SIDE, SIDE):
        _check_background(name, pixels, background)
        levels = _stretched(pixels, background)
        digit = (levels > CONTRAST * 255)[pixels]  # [H,W]
        _check_alone(name, digit)
        notes.append(f"{pixels.shape[1]}x{pixels.shape[0]}: cropped to the digit, scaled and centred as in MNIST")
        pixels = _fitted(pixels, digit, levels)
        if pixels.max() < CONTRAST * 255:
            raise PictureError(f"{name}: expected a digit visible in 20x20 pixels, got thin lines: crop the picture")
    return Picture(pixels=pixels[None], notes=tuple(notes))


def _decoded(name: str, source: Path | BytesIO, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
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


def _background(pixels: NDArray[np.uint8]) -> float:
    """The median grey level of the border."""
    return float(np.median(_border(pixels)))


def _border(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate((pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))


def _check_background(name: str, pixels: NDArray[np.uint8], background: float) -> None:
    """PictureError for a background that changes across the picture, as in photographs.

    Compared are the darkest pixels of the picture's 3x3 parts, where a digit leaves some background, and the pixels of
    its border, which may be cut by a digit in a few places.
    """
    parts = [part for rows in np.array_split(pixels, 3) for part in np.array_split(rows, 3, axis=1) if part.size]
    levels = [float(np.quantile(part, 0.02)) for part in parts]
    border = _border(pixels)
    change = min(max(levels) - min(levels), float(np.quantile(border, 0.9) - np.quantile(border, 0.1)))
    if change > UNEVEN * (float(pixels.max()) - background):
        raise PictureError(
            f"{name}: expected an even background, got one that changes by {change:.0f} of 255 grey levels: take the "
            "picture in even light, or crop it to the digit"
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
        raise PictureError(f"{name}: expected one digit, got {len(tall)} side by side: crop the picture to one of them")


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
            f"{name}: expected one digit, got {count} one above the other: crop the picture to one of them"
        )


def _fitted(pixels: NDArray[np.uint8], digit: NDArray[np.bool_], levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The pixels [H,W] around those of `digit`, with new `levels`, scaled and centred -> [28,28]."""
    from PIL import Image

    rows, columns = (np.flatnonzero(digit.any(axis)) for axis in (1, 0))
    region = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    crop = Image.fromarray(np.minimum(levels, 255).astype(np.uint8)[region])
    scale = DIGIT_SIDE / max(crop.size)
    width, height = (max(1, round(size * scale)) for size in crop.size)
    small = np.asarray(crop.resize((width, height), Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC))
    mass = small.astype(np.float64)
    if not mass.any():
        return np.zeros((SIDE, SIDE), np.uint8)
    y, x = (float((np.indices(small.shape)[axis] * mass).sum() / mass.sum()) for axis in (0, 1))
    top, left = (
        int(np.clip(round((SIDE - 1) / 2 - centre), 0, SIDE - size))
        for centre, size in ((y, small.shape[0]), (x, small.shape[1]))
    )
    fitted = np.zeros((SIDE, SIDE), np.uint8)
    fitted[top : top + small.shape[0], left : left + small.shape[1]] = small
    return fitted
