"""Owns IDX, the file format of MNIST: arrays of bytes, checked while they are read and written atomically."""

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
from pairnet.opening import open_file

OTHER_TYPES = {0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
GZIP_MAGIC = b"\x1f\x8b"
MAX_RANK = 64  # NumPy 2's
CHUNK = 1 << 24  # bytes read at a time: memory grows with the content of a file, not with the claim of its header
MAX_BYTES = 1 << 31  # of a file with its data inflated: 2.7 million images of 28x28
LARGE = 1 << 27  # bytes beyond which a file must not be compressed more than images of digits can be
MAX_RATIO = 100  # MNIST's ratio is 5
COPY_AGAIN = "copy or download the file again"


def header(shape: tuple[int, ...]) -> bytes:
    """The bytes before the data of a uint8 array: 00 00 08 rank, then each dimension as a big-endian uint32."""
    if len(shape) > MAX_RANK or any(size >= 2**32 for size in shape):
        raise IdxError(f"expected at most {MAX_RANK} dimensions below 2**32 for an IDX file, got shape {list(shape)}")
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)


def read_idx(path: Path | str, *, max_bytes: int = MAX_BYTES) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes, plain or gzip (recognised by its content), of any rank.

    IdxError if the file is missing, not IDX, not 8-bit, truncated, too long, or corrupt, or if its header claims more
    than `max_bytes` (2 GiB), or 100 times the size of a compressed file and more than 128 MiB. Memory grows with the
    content of a file, not with the claim of its header.
    """
    path = Path(path)
    try:
        with open_file(path, what="an IDX file", largest=max_bytes, error=IdxError) as file:
            if file.peek(2)[:2] != GZIP_MAGIC:
                return _read(file, path, compressed=None, max_bytes=max_bytes)
            with gzip.open(file) as stream:
                return _read(stream, path, compressed=os.fstat(file.fileno()).st_size, max_bytes=max_bytes)
    except IdxError:
        raise
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise IdxError(f"{path}: truncated or corrupt gzip data ({error}): {COPY_AGAIN}") from None
    except (OSError, MemoryError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "not enough memory"
        raise IdxError(f"{path}: expected an IDX file, cannot read it: {reason}: check the name") from None


def write_idx(path: Path | str, array: NDArray[np.uint8]) -> None:
    """Writes a uint8 array as an IDX file, compressed if the name ends in .gz.

    The write is atomic: the content is written to a temporary file in the same folder, synced, then renamed.
    IdxError for another dtype, a shape beyond the format, or a failed write (full disk, read-only folder).
    """
    path = Path(path)
    if array.dtype != np.uint8:
        raise IdxError(f"{path}: expected a uint8 array, got {array.dtype}: convert it to grey levels 0..255")
    content = header(array.shape) + array.tobytes()
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)  # without a time stamp: the same array gives the same file
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise IdxError(
            f"{path}: cannot be written: {error.strerror or error}: check the folder and the free space"
        ) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def is_idx(magic: bytes) -> bool:
    """Whether a file that begins with these 4 bytes is an IDX file of any type."""
    return magic[:2] == b"\0\0" and magic[2:3] != b"" and magic[2] in {8, *OTHER_TYPES}


def _remedy(magic: bytes) -> str:
    """What to do with a file that begins otherwise than IDX, if its first 4 bytes tell what it is."""
    if magic.startswith(GZIP_MAGIC):
        return ", but compressed twice: decompress it once"
    if magic == b"vers":
        return ", but the pointer of Git LFS: run `git lfs pull`"
    return f": {COPY_AGAIN}"


def _read(
    stream: BufferedReader | gzip.GzipFile, path: Path, *, compressed: int | None, max_bytes: int
) -> NDArray[np.uint8]:
    """The array in `stream`, which is plain or inflated from a file of `compressed` bytes."""
    magic = stream.read(4)
    if len(magic) < 4:
        raise IdxError(f"{path}: truncated: expected a header of at least 4 bytes, got {len(magic)}: {COPY_AGAIN}")
    code, rank = magic[2], magic[3]
    if not is_idx(magic):
        raise IdxError(
            f"{path}: wrong magic: expected 00 00 08 <rank>, got {magic.hex(' ')}: not an IDX file{_remedy(magic)}"
        )
    if code != 8:
        raise IdxError(f"{path}: expected unsigned bytes (type 08), got {OTHER_TYPES[code]}: convert it to uint8")
    if rank > MAX_RANK:
        raise IdxError(f"{path}: expected at most {MAX_RANK} dimensions, got {rank}: {COPY_AGAIN}")
    sizes = stream.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise IdxError(f"{path}: truncated: expected {rank} dimensions, got {len(sizes) // 4}: {COPY_AGAIN}")
    shape = struct.unpack(f">{rank}I", sizes)
    start, total = 4 + len(sizes), 4 + len(sizes) + math.prod(shape)
    expected = f"expected {total:,} bytes for shape {list(shape)}"
    if total > max_bytes:
        raise IdxError(f"{path}: expected at most {max_bytes:,} bytes, got a header for {total:,}: split the file")
    if compressed is not None and total > LARGE and total > MAX_RATIO * compressed:
        raise IdxError(
            f"{path}: {expected}, got a gzip file of {compressed:,} bytes, too few for images: decompress it first"
        )
    data = bytearray()
    while piece := stream.read(min(CHUNK, total - start - len(data))):
        data += piece
    if start + len(data) < total:
        raise IdxError(f"{path}: truncated: {expected}, got {start + len(data):,}: {COPY_AGAIN}")
    if stream.read(1):  # at the end of gzip data this also verifies the checksum
        raise IdxError(f"{path}: trailing bytes: {expected}, got more: {COPY_AGAIN}")
    try:
        return np.frombuffer(data, np.uint8).reshape(shape)
    except ValueError as error:  # a dimension of 0 together with very large ones
        raise IdxError(f"{path}: expected a possible shape, got {list(shape)} ({error}): {COPY_AGAIN}") from None
