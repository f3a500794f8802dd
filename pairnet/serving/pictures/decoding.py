"""Owns the decoding of pictures: a file of any of FORMATS -> grey levels, the right way up."""

import os
from importlib.util import find_spec
from typing import BinaryIO, cast

from pairnet.errors import PictureError
from pairnet.serving.pictures.bounds import CountedFile, check_work
from pairnet.serving.pictures.isolation import raster_apart
from pairnet.serving.pictures.raster import LIMITS, Raster, raster, refusal

FORMATS = tuple(LIMITS)
"""Pillow's names of the formats that are read; others start programs or are rarely tested."""
APART = ("TIFF", "AVIF", "HEIF", "JPEG2000")
"""Those that are decoded in a process of their own."""
MAX_BYTES = 72 << 20  # of a file: 4096x4096 pixels of 4 bytes have room

_TIFF = (b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"II+\0", b"MM\0+")
_JPEG2000 = (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")
_AVIF = (b"avif", b"avis")
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")


def decoded(name: str, file: BinaryIO, *, apart: bool = True) -> Raster:
    """The grey levels of a picture.

    apart: whether a picture of one of APART gets a process of its own; False in a process that has those limits itself.

    PictureError, in one line that opens with `name`, if it is damaged, too large, takes too much work, or is of another
    format. Nothing is printed.
    """
    size = file.seek(0, os.SEEK_END)
    if size > MAX_BYTES:
        raise PictureError(
            f"{name}: expected a picture of at most {MAX_BYTES:,} bytes, got {size:,}: reduce the picture", "too-large"
        )
    file.seek(0)
    limited = _format_apart(file.read(12))
    try:
        if limited is not None:
            if limited == "HEIF" and find_spec("pillow_heif") is None:
                raise PictureError(
                    f"{name}: expected a format that is installed, got HEIC: pip install 'pairnet[heic]', or save it "
                    "as JPEG",
                    "format",
                )
            return raster_apart(name, file, [limited]) if apart else raster(name, file, [limited])
        file.seek(0)
        check_work(name, file)
        counted = cast(BinaryIO, CountedFile(name, file))
        return raster(name, counted, [each for each in FORMATS if each not in APART])
    except Exception as error:  # Pillow's decoders raise any exception for damaged files
        raise refusal(name, error) from None


def _format_apart(head: bytes) -> str | None:
    """Which of APART the first 12 bytes of a file announce; None for another format."""
    if head.startswith(_TIFF):
        return "TIFF"
    if head.startswith(_JPEG2000):
        return "JPEG2000"
    if head[4:8] == b"ftyp":
        return "AVIF" if head[8:12] in _AVIF else "HEIF" if head[8:12] in _HEIF else None
    return None
