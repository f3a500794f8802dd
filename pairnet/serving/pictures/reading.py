"""Owns the reading of images from files: pictures, .npy, .npz or IDX -> uint8 28x28, as a network takes them."""

import re
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from pairnet.data.appearance import LIGHT_ON_DARK, Polarity, polarity
from pairnet.data.idx import GZIP_MAGIC, is_idx, read_idx
from pairnet.data.npy import NPY_MAGIC, read_npy, read_npz
from pairnet.errors import PictureError
from pairnet.opening import open_file
from pairnet.serving.pictures.decoding import decoded
from pairnet.serving.pictures.digits import INVERTED, SIDE, as_mnist
from pairnet.serving.pictures.raster import NAMES

MAX_BYTES = 1 << 26  # of arrays in a file: 85,000 images
LARGEST_FILE = 1 << 28  # bytes
FIELD = re.compile(rb"[\w.%+\[\]-]{1,100}=")  # application/x-www-form-urlencoded


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """The images in one file: arrays as they are, a picture light on dark, as in MNIST."""

    pixels: NDArray[np.uint8]  # [N,28,28] images or [N,2,28,28] pairs; a single image: [1,28,28]
    notes: tuple[str, ...]  # changes made to the image, for people
    is_array: bool = False
    inverted: bool = False  # whether a picture has another polarity than its file


def read(path: Path) -> Picture:
    """The images in a file: [28,28], [N,28,28] or pairs [N,2,28,28] as IDX, .npy or .npz, or one picture.

    A picture is a file of one of decoding.FORMATS, with at most decoding.MAX_BYTES and the pixels of raster.LIMITS; its
    first frame is used. Arrays have at most 64 MiB. All sizes are checked before the file is decoded. DataError, in one
    line that names the file, and with a code for programs, if it has no usable image.
    """
    with _opened(path) as file:
        magic = file.read(6)
    if not magic:
        raise PictureError(
            f"{path}: expected a picture, .npy, .npz or IDX file, got an empty file: copy or save it again", "damaged"
        )
    if is_idx(magic) or magic[:2] == GZIP_MAGIC:
        return _array(path, read_idx(path, max_bytes=MAX_BYTES))
    if magic == NPY_MAGIC or path.suffix == ".npy":
        return _array(path, read_npy(path, max_bytes=MAX_BYTES))
    if path.suffix == ".npz":
        return _archive(path)
    with _opened(path) as file:
        return _picture(str(path), file)


def _opened(path: Path) -> AbstractContextManager[BufferedReader]:
    return open_file(path, what="a picture, .npy, .npz or IDX file", largest=LARGEST_FILE, error=PictureError)


def suited(picture: Picture, wanted: Polarity) -> Picture:
    """An image for a network whose training images are `wanted`.

    A picture is inverted if they are dark on light. Arrays stay as they are, with a note if they are clearly otherwise.
    """
    if picture.is_array:
        images = picture.pixels.reshape(-1, SIDE, SIDE)
        if blank := int((np.ptp(images, (1, 2)) == 0).sum()):
            note = f"{blank:,} of {len(images):,} images are blank: their answers mean nothing"
            picture = replace(picture, notes=(*picture.notes, note))
        found = polarity(images)
        if found in (None, wanted):
            return picture
        note = f"{found}, and the network was trained on {wanted}: its answers are right for 255 - images only"
        return replace(picture, notes=(*picture.notes, note))
    if wanted == LIGHT_ON_DARK:
        return picture
    if picture.inverted:
        notes = tuple(note for note in picture.notes if note != INVERTED)
    else:
        notes = (*picture.notes, f"inverted: the network was trained on digits that are {wanted}")
    return replace(picture, pixels=255 - picture.pixels, notes=notes, inverted=not picture.inverted)


def decode(content: bytes, name: str, *, apart: bool = True) -> Picture:
    """The image in the bytes of a picture, treated as `read` treats a file; `name` stands for it in messages.

    apart: see decoding.decoded. Raises PictureError, in one line, if there is no usable image.
    """
    got = _wrapped(content)
    if got:
        raise PictureError(
            f"{name}: expected the bytes of a picture ({NAMES}), got {got}: send the file itself, as in "
            "`curl --data-binary @FILE`",
            "format",
        )
    return _picture(name, BytesIO(content), apart)


def _wrapped(content: bytes) -> str | None:
    """What bytes are that hold no picture by themselves; None for all others."""
    if not content:
        return "an empty body"
    if content.startswith(b"--"):
        return "the parts of a form"
    if content.startswith((NPY_MAGIC, b"PK", GZIP_MAGIC)) or is_idx(content[:6]):
        return "an array or an archive"
    if FIELD.match(content):
        return "a field of a form"
    return None


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
    return Picture(pixels=values[None] if values.ndim == 2 else values, notes=(), is_array=True)


def _picture(name: str, source: BinaryIO, apart: bool = True) -> Picture:
    """The first frame of a picture -> [1,28,28], light on dark."""
    found = decoded(name, source, apart=apart)
    pixels, notes = as_mnist(name, found.grey)
    if (factor := max(found.size) // max(found.grey.shape)) > 1:
        notes = (f"{found.size[0]}x{found.size[1]}: reduced by {factor}, a large picture", *notes)
    return Picture(pixels=pixels[None], notes=notes, inverted=INVERTED in notes)
