"""IDX, the file format of MNIST: arrays of bytes, read with every doubt raised and written whole or not at all."""

import gzip
import math
import os
import secrets
import struct
import zlib
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pairnet.errors import IdxError

OTHER_TYPES = {0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
GZIP_MAGIC = b"\x1f\x8b"
MAX_RANK = 64  # NumPy 2's
CHUNK = 1 << 24  # bytes read at a time: memory grows with what a file holds, never with what its header claims
COPY_AGAIN = "copy or download the file again"


def header(shape: tuple[int, ...]) -> bytes:
    """The bytes before the data of a uint8 array: 00 00 08 rank, then every dimension as a big-endian uint32."""
    if len(shape) > MAX_RANK or any(size >= 2**32 for size in shape):
        raise IdxError(f"shape {shape} does not fit IDX: at most {MAX_RANK} dimensions, each below 2**32")
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)


def read_idx(path: Path | str) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes, plain or gzip (told by its content), of any rank.

    IdxError when the file is missing, not IDX, not 8-bit, truncated, too long, or corrupt. A header that claims more
    than the file holds is refused without asking for that memory.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if file.peek(2)[:2] != GZIP_MAGIC:
                return _read(file, path, os.fstat(file.fileno()).st_size)
            with gzip.open(file) as stream:
                return _read(stream, path, None)
    except FileNotFoundError:
        raise IdxError(f"{path}: expected an IDX file, found none: check the name and the folder") from None
    except IsADirectoryError:
        raise IdxError(f"{path}: expected an IDX file, found a folder: name the file itself") from None
    except EOFError:
        raise IdxError(f"{path}: truncated: its gzip data ends early: {COPY_AGAIN}") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise IdxError(f"{path}: corrupt gzip data ({error}): {COPY_AGAIN}") from None
    except OSError as error:
        raise IdxError(f"{path}: cannot be read: {error.strerror or error}") from None


def write_idx(path: Path | str, array: NDArray[np.uint8]) -> None:
    """Writes a uint8 array as an IDX file, compressed when the name ends in .gz.

    The file appears whole or not at all: it is written beside its place under another name, synced, then renamed.
    IdxError for another dtype, a shape beyond the format, or a failed write (full disk, read-only folder).
    """
    path = Path(path)
    if array.dtype != np.uint8:
        raise IdxError(f"{path}: expected a uint8 array, came {array.dtype}: IDX here means unsigned bytes")
    content = header(array.shape) + array.tobytes()
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)  # no time stamp: the same array gives the same file
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise IdxError(f"{path}: cannot be written: {error.strerror or error}: nothing was left behind") from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def is_idx(magic: bytes) -> bool:
    """Whether a file that begins with these 4 bytes is an IDX file, of any type."""
    return magic[:2] == b"\0\0" and magic[2:3] != b"" and magic[2] in {8, *OTHER_TYPES}


def _read(stream: BufferedReader | gzip.GzipFile, path: Path, size: int | None) -> NDArray[np.uint8]:
    """Header and data from the start of `stream`, whose length in bytes is `size` where that is known beforehand."""
    magic = stream.read(4)
    if len(magic) < 4:
        raise IdxError(f"{path}: truncated: expected a header of at least 4 bytes, found {len(magic)}: {COPY_AGAIN}")
    code, rank = magic[2], magic[3]
    if not is_idx(magic):
        raise IdxError(f"{path}: wrong magic: expected 00 00 08 <rank>, found {magic.hex(' ')}: not an IDX file")
    if code != 8:
        raise IdxError(f"{path}: expected unsigned bytes (type 08), found {OTHER_TYPES[code]}: convert it to uint8")
    if rank > MAX_RANK:
        raise IdxError(f"{path}: expected at most {MAX_RANK} dimensions, found {rank}: {COPY_AGAIN}")
    sizes = stream.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise IdxError(f"{path}: truncated: expected {rank} dimensions, found {len(sizes) // 4}: {COPY_AGAIN}")
    shape = struct.unpack(f">{rank}I", sizes)
    start, total = 4 + len(sizes), 4 + len(sizes) + math.prod(shape)
    expected = f"expected {total:,} bytes for shape {list(shape)}"
    if size is not None and size < total:
        raise IdxError(f"{path}: truncated: {expected}, found {size:,}: {COPY_AGAIN}")
    if size is not None and size > total:
        raise IdxError(f"{path}: {size - total:,} trailing bytes: {expected}, found {size:,}: {COPY_AGAIN}")
    data = bytearray()
    while piece := stream.read(min(CHUNK, total - start - len(data))):
        data += piece
    if start + len(data) < total:
        raise IdxError(f"{path}: truncated: {expected}, found {start + len(data):,}: {COPY_AGAIN}")
    if stream.read(1):  # at the end of gzip data this also verifies their checksum
        raise IdxError(f"{path}: trailing bytes: {expected}, found more: {COPY_AGAIN}")
    try:
        return np.frombuffer(data, np.uint8).reshape(shape)
    except ValueError as error:  # a dimension of 0 beside giant ones
        raise IdxError(f"{path}: shape {list(shape)} is not possible ({error}): {COPY_AGAIN}") from None
