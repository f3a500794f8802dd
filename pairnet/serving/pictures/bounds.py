"""Owns the bounds on the work of decoding that only a look into the file shows: scans, metadata, parts, reads.

A decoder's work follows from the number of pixels, except where a small file can ask for the same pixels again and
again. Such files are refused before they are decoded.
"""

import re
import struct
from typing import BinaryIO

from pairnet.errors import PictureError

MAX_SCANS = 64  # of a JPEG: cameras and editors write 1 to 12
MAX_BLOCKS = 1 << 25  # of 8x8 samples that all scans of a JPEG visit: 12 scans of the largest picture have 18 million
MAX_COEFFICIENTS = 80_000_000  # that a JPEG of several scans holds, 2 bytes each: 50 million pixels of 4:2:0
MAX_PARTS = 1 << 15  # segments of a JPEG or chunks of a PNG: 72 MiB in chunks of 4 KiB have 18,000
MAX_INFLATED = 16  # chunks of a PNG that may each be inflated to a megabyte
MAX_READS = 1 << 21  # calls by which a file is read: two for each of a million pixels in SLOW formats
MAX_ICON = 256  # pixels a side, as the format has it

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_BLOCK = 1 << 20
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # the markers SOF0 to SOF15
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_ARITHMETIC = frozenset(range(0xC9, 0xD0)) - {0xCC}


class CountedFile:
    """A file that refuses to be read in very many small pieces, as parsers in Python do with a hostile one."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self._name = name
        self._file = file
        self._left = MAX_READS

    def read(self, size: int = -1) -> bytes:
        """The next bytes.  PictureError after too many calls."""
        self._left -= 1
        if self._left < 0:
            raise _work(self._name, f"at most {MAX_READS:,} parts", "more")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Moves to another place."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The place of the next byte."""
        return self._file.tell()


def check_work(name: str, file: BinaryIO) -> None:
    """PictureError for a file that takes much more time or memory than its pixels need; moves to the file's start."""
    counted = CountedFile(name, file)
    magic = counted.read(8)
    if magic.startswith(b"\xff\xd8"):
        _check_jpeg(name, counted)
    elif magic == b"\x89PNG\r\n\x1a\n":
        _check_png(name, counted)
    elif magic.startswith(b"\0\0\1\0"):
        _check_icon(name, counted)
    file.seek(0)


def _work(name: str, expected: str, got: str) -> PictureError:
    return PictureError(f"{name}: expected {expected}, got {got}: save the picture again", "too-much-work")


def _check_jpeg(name: str, file: CountedFile) -> None:
    """Follows the markers as libjpeg does.  What it cannot follow, libjpeg cannot decode either."""
    file.seek(2)
    blocks, frame, count, scans, visited, exif = list[tuple[int, int]](), 0, 0, 0, 0, 0
    while (marker := _next_marker(file)) not in (None, 0xD8, 0xD9):
        count += 1
        if count > MAX_PARTS:
            raise _work(name, f"at most {MAX_PARTS:,} segments", "more")
        if marker == 0x01:
            continue  # has no length
        (length,) = struct.unpack(">H", file.read(2).rjust(2, b"\0"))
        if length < 2:
            return
        start = file.tell()
        if marker in _FRAMES and not frame:
            frame, blocks = marker, _blocks(file.read(length - 2))
            if frame in _ARITHMETIC:
                raise PictureError(
                    f"{name}: expected a JPEG with Huffman coding, got arithmetic coding: save it again", "format"
                )
        elif marker == 0xDA:
            parts = file.read(length - 2)
            used = parts[1 : 1 + 2 * parts[0] : 2] if parts else b""
            scans, visited = scans + 1, visited + sum(number for part, number in blocks if part in used)
            if scans > MAX_SCANS:
                raise _work(name, f"at most {MAX_SCANS} scans", "more")
            if visited > MAX_BLOCKS:
                raise _work(name, f"scans of at most {MAX_BLOCKS:,} blocks", "more")
            several = frame in _PROGRESSIVE or len(used) < len(blocks)
            held = 64 * sum(number for _, number in blocks) if several else 0
            if held > MAX_COEFFICIENTS:
                raise PictureError(
                    f"{name}: expected at most {MAX_COEFFICIENTS:,} coefficients in a JPEG of several scans, got "
                    f"{held:,}: reduce the picture, or save it as a baseline JPEG",
                    "too-large",
                )
        elif marker == 0xE1 and not scans:
            exif += file.read(4) == b"Exif"
            if exif > 1:
                raise _work(name, "one part of EXIF metadata", "several")
        file.seek(start + length - 2)


def _next_marker(file: CountedFile) -> int | None:
    """The next marker that is not one of a restart; the file is then behind it.  None at the end of the file."""
    block = file.read(64)  # most markers follow at once
    while len(block) > 1:
        if found := _MARKER.search(block):
            file.seek(found.end() - len(block), 1)
            return block[found.end() - 1]
        if block.endswith(b"\xff"):
            file.seek(-1, 1)
        block = file.read(_BLOCK)
    return None


def _blocks(header: bytes) -> list[tuple[int, int]]:
    """The name of each component, and the number of its 8x8 blocks, from the header of a frame."""
    if len(header) < 6:
        return []
    height, width, count = struct.unpack(">HHB", header[1:6])
    parts = [header[at : at + 3] for at in range(6, min(len(header) - 2, 6 + 3 * count), 3)]
    sampling = [(part[0], part[1] >> 4, part[1] & 15) for part in parts]
    columns = -(-width // (8 * max((h for _, h, _ in sampling), default=1) or 8))  # of MCUs
    rows = -(-height // (8 * max((v for _, _, v in sampling), default=1) or 8))
    return [(part, columns * h * rows * v) for part, h, v in sampling]


def _check_png(name: str, file: CountedFile) -> None:
    """Counts the chunks, and those with text or a colour profile, which are inflated while the file is opened."""
    file.seek(8)
    count, inflated = 0, 0
    while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
        length, kind = struct.unpack(">I4s", head)
        count, inflated = count + 1, inflated + (kind in (b"zTXt", b"iTXt", b"iCCP"))
        if count > MAX_PARTS:
            raise _work(name, f"at most {MAX_PARTS:,} chunks", "more")
        if inflated > MAX_INFLATED:
            raise _work(name, f"at most {MAX_INFLATED} chunks of compressed text", "more")
        file.seek(length + 4, 1)


def _check_icon(name: str, file: CountedFile) -> None:
    """The pictures in an icon have sizes of their own, which may differ from those in its list."""
    file.seek(4)
    (count,) = struct.unpack("<H", file.read(2).ljust(2, b"\0"))
    if count > MAX_ICON:
        raise _work(name, f"at most {MAX_ICON} pictures in an icon", f"{count:,}")
    for index in range(count):
        file.seek(6 + 16 * index + 12)
        (start,) = struct.unpack("<I", file.read(4).ljust(4, b"\0"))
        file.seek(start)
        head = file.read(24)
        png = head.startswith(b"\x89PNG")
        sides = struct.unpack(">II", head[16:24]) if png and len(head) == 24 else (0, 0)
        if not png and len(head) >= 12:
            width, height = struct.unpack("<ii", head[4:12])
            sides = abs(width), abs(height) // 2  # the picture and its mask
        if max(sides) > MAX_ICON:
            raise PictureError(
                f"{name}: expected at most {MAX_ICON}x{MAX_ICON} pixels in an icon, got {sides[0]}x{sides[1]}: save it "
                "as PNG",
                "too-large",
            )
