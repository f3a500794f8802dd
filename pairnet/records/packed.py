"""A file of records in compressed form, as it stands in a repository: written once, read by every command."""

import lzma
from collections.abc import Iterable
from pathlib import Path

from pairnet.errors import RecordError
from pairnet.opening import LEFT, read_file

PACKED = "records.jsonl.xz"
"""The same lines as in `records.jsonl`, as one xz stream, in place of that file."""

LARGEST_PACKED = 1 << 26
"""Bytes of a packed file."""

LARGEST_UNPACKED = 1 << 28
"""Bytes of its lines: some 20,000 runs of 1,000 pairs. A few kilobytes of xz can become gigabytes."""

MEMORY = 1 << 27
"""Bytes that reading may take for the dictionary of xz; its highest preset asks for half of it."""


def unpack(path: Path) -> bytes:
    """The lines of a packed file.

    RecordError if it cannot be read, is no xz stream, is cut off or followed by something, or holds more than
    LARGEST_UNPACKED bytes; it is never unpacked any further.
    """
    content = read_file(path, what="packed records", largest=LARGEST_PACKED, error=RecordError, remedy=LEFT)
    stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY)
    try:
        lines = stream.decompress(content, LARGEST_UNPACKED + 1)
    except (lzma.LZMAError, EOFError) as error:
        raise _damaged(path, str(error)) from None
    if len(lines) > LARGEST_UNPACKED:
        raise RecordError(
            f"{path}: expected at most {LARGEST_UNPACKED:,} bytes of records, got more: pack fewer runs in one folder"
        )
    if not stream.eof or stream.unused_data or not lines.endswith(b"\n"):
        raise _damaged(path, "it is cut off" if not stream.eof else "something follows its last record")
    return lines


def _damaged(path: Path, reason: str) -> RecordError:
    return RecordError(f"{path}: expected records that `pairnet runs pack` wrote, got something else: {reason}")


def pack_lines(lines: Iterable[bytes]) -> bytes:
    """Lines, given without line breaks, as the content of a packed file."""
    return lzma.compress(b"".join(line + b"\n" for line in lines), preset=9 | lzma.PRESET_EXTREME)
