"""Owns the reading of grey levels from NumPy's .npy and .npz files, checked before memory is allocated for them."""

import ast
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from io import BufferedReader, FileIO
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from pairnet.errors import DataError

NPY_MAGIC = b"\x93NUMPY"
MAX_HEADER = 4096  # bytes of the text that describes an array; NumPy writes 128
MAX_READ = 1 << 17  # bytes that zipfile may read at once: bounds the list of members
MAX_RANK = 64
MAX_RATIO = 1100  # of inflated to compressed bytes; deflate cannot exceed 1032
CHUNK = 1 << 16  # bytes read at a time
SHOWN = 5  # members named in a message
DTYPE = re.compile(r"[<>|=]?[A-Za-z?]\d{0,4}(\[[\w/]{1,8}\])?")
DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    MemoryError,
    OverflowError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
"""Exceptions of zipfile and zlib for damaged or hostile files."""


def read_npy(path: Path, *, max_bytes: int) -> NDArray[np.uint8]:
    """The uint8 array in an .npy file, of any shape.

    DataError if the file is damaged, has another type, or claims more than `max_bytes` or its own size.
    """
    with _named(path, "an .npy file"), path.open("rb") as file:
        size = path.stat().st_size
        return _array(file, str(path), available=size, max_bytes=max_bytes)


def read_npz(path: Path, names: tuple[str, ...], *, max_bytes: int) -> dict[str, NDArray[np.uint8]]:
    """The uint8 arrays `names` of an .npz file if it has all of them, else its only array, by name.

    Members that are not returned are not inflated. DataError if the file is damaged or encrypted, has other arrays or
    other types, or if the arrays claim more than `max_bytes` in total.
    """
    with _named(path, "an .npz file"), _ShortReads(FileIO(path)) as file, zipfile.ZipFile(file) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if not set(names) <= members.keys():
            if len(members) != 1:
                raise DataError(f"{path}: expected one array, or {' and '.join(names)}, got {_listed(members)}")
            names = tuple(members)
        arrays: dict[str, NDArray[np.uint8]] = {}
        for name in names:
            used = sum(array.nbytes for array in arrays.values())
            arrays[name] = _member(archive, members[name], path, max_bytes=max_bytes - used)
        return arrays


class _ShortReads(BufferedReader):
    """A file that refuses to read more than MAX_READ bytes at once, as zipfile does for a large list of members."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0 or size > MAX_READ:
            content = super().read(MAX_READ + 1)
            if len(content) > MAX_READ:
                raise zipfile.BadZipFile(f"more than {MAX_READ:,} bytes for the list of its members")
            return content
        return super().read(size)


class _named:
    """A context in which damage to a file becomes a DataError that names it."""

    def __init__(self, path: Path, expected: str) -> None:
        self._path, self._expected = path, expected

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, DAMAGE) and not isinstance(error, DataError):
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"{self._path}: expected {self._expected}, cannot read it: {reason}") from None


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, *, max_bytes: int) -> NDArray[np.uint8]:
    where = f"{path}: {_short(info.filename)}"
    if not info.filename.endswith(".npy"):
        raise DataError(f"{where}: expected an array (.npy) in the archive")
    if info.flag_bits & 1:
        raise DataError(f"{where}: expected an array without encryption: write it with numpy.savez")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{where}: expected no compression or deflate, got method {info.compress_type}")
    if info.file_size > MAX_RATIO * max(info.compress_size, 1):
        raise DataError(f"{where}: expected {info.file_size:,} bytes, got {info.compress_size:,} compressed ones")
    with archive.open(info) as stream:
        array = _array(stream, where, available=info.file_size, max_bytes=max_bytes)
        if stream.read(1):  # at the end of a member, this also verifies its checksum
            raise DataError(f"{where}: expected the end of the array, got more bytes")
        return array


def _array(stream: IO[bytes], where: str, *, available: int, max_bytes: int) -> NDArray[np.uint8]:
    """The array in a stream of `available` bytes."""
    start = _exactly(stream, 8, where)
    if start[:6] != NPY_MAGIC or start[6] not in (1, 2):
        raise DataError(f"{where}: expected an .npy file of version 1 or 2, got bytes {start.hex(' ')}")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(_exactly(stream, width, where), "little")
    if length > MAX_HEADER:
        raise DataError(f"{where}: expected a header of at most {MAX_HEADER:,} bytes, got {length:,}")
    shape, fortran = _described(bytes(_exactly(stream, length, where)), where)
    size = math.prod(shape)
    if size > available - 8 - width - length:
        raise DataError(
            f"{where}: truncated: expected {size:,} bytes for shape {list(shape)}, got "
            f"{available - 8 - width - length:,}: write the file again"
        )
    if size > max_bytes:
        raise DataError(f"{where}: expected at most {max_bytes:,} bytes of images, got {size:,}: split the file")
    data = np.frombuffer(_exactly(stream, size, where), np.uint8)
    try:
        return data.reshape(shape, order="F" if fortran else "C")
    except ValueError:  # a dimension of 0 together with very large ones
        raise DataError(f"{where}: expected a possible shape, got {list(shape)}") from None


def _described(header: bytes | bytearray, where: str) -> tuple[tuple[int, ...], bool]:
    """Shape and order in the text of a header, which must describe a uint8 array."""
    try:
        fields = ast.literal_eval(header.decode("latin-1").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or set(fields) != {"descr", "fortran_order", "shape"}:
        raise DataError(f"{where}: expected a header with descr, fortran_order and shape, got another one")
    dtype, fortran, shape = fields["descr"], fields["fortran_order"], fields["shape"]
    plain = isinstance(shape, tuple) and len(shape) <= MAX_RANK and all(type(n) is int and n >= 0 for n in shape)
    if not isinstance(dtype, str) or not DTYPE.fullmatch(dtype) or not isinstance(fortran, bool) or not plain:
        raise DataError(f"{where}: expected a plain array of numbers, got another type or shape")
    try:
        name = np.dtype(dtype).name
    except (TypeError, ValueError):
        name = dtype
    if name != "uint8":
        raise DataError(f"{where}: expected uint8 grey levels, got {name} {list(shape)}: convert them")
    return shape, fortran


def _exactly(stream: IO[bytes], size: int, where: str) -> bytearray:
    data = bytearray()
    read: Callable[[int], bytes] = stream.read
    while len(data) < size and (piece := read(min(CHUNK, size - len(data)))):
        data += piece
    if len(data) < size:
        raise DataError(f"{where}: truncated: expected {size:,} more bytes, got {len(data):,}: write the file again")
    return data


def _listed(members: dict[str, zipfile.ZipInfo]) -> str:
    names = [_short(name) for name in sorted(members)]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more or "none"


def _short(name: str) -> str:
    """The name of a member for a message: printable, at most 40 characters."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in name)
    return printable if len(printable) <= 40 else printable[:37] + "..."
