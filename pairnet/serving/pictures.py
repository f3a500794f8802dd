"""Pictures from files, and back to the eye: any image, .npy, .npz or IDX -> uint8 28x28 -> signs in a terminal."""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from pairnet.data.idx import is_idx, read_idx
from pairnet.errors import PictureError

SIDE = 28
INK = 20  # MNIST's digits were scaled to 20x20, then centred by their mass in 28x28
CONTRAST = 0.15  # of black to white; below it there is no ink to be seen
SHADES = " ·:-=+*#%@"


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """What one file holds, light ink on dark, as MNIST has it."""

    pixels: NDArray[np.uint8]  # [N,28,28] images or [N,2,28,28] pairs; a single image: [1,28,28]
    notes: tuple[str, ...]  # what was done to make it so, for people


def read(path: Path) -> Picture:
    """The images in a file.  PictureError (or IDX's own error) where there are none."""
    if not path.is_file():
        raise PictureError(f"{path}: expected a picture, .npy, .npz or IDX file, found none: check the name")
    with path.open("rb") as file:
        magic = file.read(4)
    if is_idx(magic) or magic[:2] == b"\x1f\x8b":
        return _array(path, read_idx(path))
    if magic == b"\x93NUM" or path.suffix == ".npy":
        return _array(path, *_load(path).values())
    if path.suffix == ".npz":
        return _archive(path)
    return _picture(path)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz by their names, or that of an .npy under an empty name; no pickles."""
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
            arrays = {name: found[name] for name in found.files} if path.suffix == ".npz" else {"": found}
    except (ValueError, OSError, EOFError, MemoryError, AttributeError, zlib.error, zipfile.BadZipFile) as error:
        reason = "it holds no plain array of numbers" if isinstance(error, ValueError) else " ".join(str(error).split())
        raise PictureError(f"{path}: expected NumPy's {path.suffix}, cannot read it: {reason}") from None
    for name, value in arrays.items():
        if not isinstance(value, np.ndarray):
            raise PictureError(f"{path}: expected an array, found {type(value).__name__} {name}".rstrip())
    return arrays


def _archive(path: Path) -> Picture:
    arrays = _load(path)
    if {"first", "second"} <= arrays.keys():
        first, second = arrays["first"], arrays["second"]
        if first.shape != second.shape:
            raise PictureError(f"{path}: expected as many first as second, came {first.shape} and {second.shape}")
        return _array(path, np.stack((first, second), axis=max(0, first.ndim - 2)))
    if len(arrays) != 1:
        found = ", ".join(sorted(arrays)) or "none"
        raise PictureError(f"{path}: expected one array, or first and second, found {found}")
    return _array(path, *arrays.values())


def _array(path: Path, values: NDArray[Any]) -> Picture:
    shape = list(values.shape)
    if values.dtype != np.uint8:
        raise PictureError(f"{path}: expected uint8 grey levels, came {values.dtype} {shape}: convert them")
    if values.shape[-2:] != (SIDE, SIDE) or values.ndim > 4 or (values.ndim == 4 and values.shape[1] != 2):
        raise PictureError(
            f"{path}: expected [28,28], [N,28,28] or pairs [N,2,28,28], came {shape}: reshape or resize them"
        )
    if not values.size:
        raise PictureError(f"{path}: expected at least one image, came {shape}")
    return Picture(pixels=values[None] if values.ndim == 2 else values, notes=())


def _picture(path: Path) -> Picture:
    """One image of any format that Pillow reads -> 28x28, light on dark."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened)
            grey = _grey(upright)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise PictureError(f"{path}: expected a picture, .npy, .npz or IDX file, cannot read it: {reason}") from None
    pixels, notes = grey, list[str]()
    if is_dark_on_light(pixels):
        pixels, notes = 255 - pixels, ["dark on light, so turned to light on dark"]
    ground = _ground(pixels)
    if pixels.max() - ground < CONTRAST * 255:
        raise PictureError(f"{path}: expected a digit that stands out from its ground, found none: more contrast?")
    if pixels.shape != (SIDE, SIDE):
        notes.append(f"{pixels.shape[1]}x{pixels.shape[0]}, cut to its ink, scaled and centred as MNIST's digits are")
        pixels = _fitted(pixels, ground)
    return Picture(pixels=pixels[None], notes=tuple(notes))


def _grey(image: Any) -> NDArray[np.uint8]:
    """A Pillow image of any mode -> grey levels [H,W]; more than 8 bits are scaled, and what is clear is ground."""
    if image.mode.startswith(("I", "F")):
        deep = np.asarray(image, np.float64)
        if not np.isfinite(deep).all():
            raise ValueError("not all of its grey levels are finite")
        stretched: NDArray[np.uint8] = np.rint((deep - deep.min()) * (255 / max(np.ptp(deep), 1e-9))).astype(np.uint8)
        return stretched
    values = np.asarray(image.convert("RGBA").convert("LA"), np.float64)
    level, cover = values[..., 0], values[..., 1] / 255
    ground = 0 if cover.min() < 1 and np.average(level, weights=cover + 1e-9) > 127 else 255
    grey: NDArray[np.uint8] = np.rint(level * cover + ground * (1 - cover)).astype(np.uint8)
    return grey


def is_dark_on_light(pixels: NDArray[np.uint8]) -> bool:
    """Whether the ground is lighter than the middle of all grey levels."""
    return _ground(pixels) > (int(pixels.min()) + int(pixels.max())) / 2


def _ground(pixels: NDArray[np.uint8]) -> float:
    """The grey level that the border mostly shows."""
    return float(np.median(np.concatenate((pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))))


def _fitted(pixels: NDArray[np.uint8], ground: float) -> NDArray[np.uint8]:
    """Light ink on dark of any size -> 28x28, the ink stretched to full contrast."""
    from PIL import Image

    ink = np.clip(pixels.astype(np.float32) - ground, 0, None)
    ink *= 255 / ink.max()
    rows, columns = (np.flatnonzero((ink > CONTRAST * 255).any(axis)) for axis in (1, 0))
    cut = Image.fromarray(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8))
    scale = INK / max(cut.size)
    width, height = (max(1, round(size * scale)) for size in cut.size)
    small = np.asarray(cut.resize((width, height), Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC))
    mass = small.astype(np.float64)
    y, x = (float((np.indices(small.shape)[axis] * mass).sum() / mass.sum()) for axis in (0, 1))
    top, left = (
        int(np.clip(round((SIDE - 1) / 2 - centre), 0, SIDE - size))
        for centre, size in ((y, small.shape[0]), (x, small.shape[1]))
    )
    fitted = np.zeros((SIDE, SIDE), np.uint8)
    fitted[top : top + small.shape[0], left : left + small.shape[1]] = small
    return fitted


def drawn(pixels: NDArray[np.uint8], *, colour: bool) -> Text:
    """[28,28] -> 14 lines of 28 characters: two grey pixels in each with `colour`, else a sign as dense as they are."""
    upper, lower = pixels[0::2], pixels[1::2]  # [14,28]
    lines = []
    for top, bottom in zip(upper.tolist(), lower.tolist(), strict=True):
        line = Text()
        for a, b in zip(top, bottom, strict=True):
            if colour:
                line.append("▀", f"rgb({a},{a},{a}) on rgb({b},{b},{b})")
            else:
                line.append(SHADES[(a + b) * len(SHADES) // 511])
        lines.append(line)
    return Text("\n").join(lines)
