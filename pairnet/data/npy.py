"""Owns the reading of grey levels from NumPy's .npy and .npz files, checked before memory is allocated for them."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from io import BufferedReader, BytesIO, FileIO
from pathlib import Path
from reprlib import repr as shortened
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pairnet.errors import DataError, one_line
from pairnet.opening import open_file

NPY_MAGIC = b"\x93NUMPY"
MAX_HEADER = 4096  # bytes of the text that describes an array; NumPy writes 128
MAX_READ = 1 << 17  # bytes that zipfile may read at once: bounds the list of members
CHUNK = 1 << 16  # bytes read at a time
LARGEST_FILE = 1 << 32  # bytes; of an .npz file, other arrays than the ones that are read


def read_npy(path: Path, *, max_bytes: int) -> NDArray[np.uint8]:
    """The uint8 array in an .npy file, of any shape.

    DataError if the file is damaged, has another type, or claims more than `max_bytes` or its own size.
    """
    with _named(path, "an .npy file"), _opened(path, "an .npy file") as file:
        return _array(file, str(path), max_bytes)


def read_npz(path: Path, names: tuple[str, ...], *, max_bytes: int) -> dict[str, NDArray[np.uint8]]:
    """The uint8 arrays `names` of an .npz file if it has all of them, else its only array, by name.

    Members that are not returned are not inflated. DataError if the file is damaged or encrypted, has other arrays or
    other types, or if the arrays claim more than `max_bytes` in total.
    """
    arrays: dict[str, NDArray[np.uint8]] = {}
    with (
        _named(path, "an .npz file"),
        _opened(path, "an .npz file") as opened,
        _ShortReads(FileIO(opened.fileno(), closefd=False)) as file,
        zipfile.ZipFile(file) as archive,
    ):
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if not set(names) <= members.keys():
            if len(members) != 1:
                found = shortened(sorted(members))
                raise DataError(f"{path}: expected one array, or {' and '.join(names)}, got {found}")
            names = tuple(members)
        for name in names:
            where, method = f"{path}: {shortened(name)}", members[name].compress_type
            if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # zipfile inflates others without a limit
                raise DataError(f"{where}: expected no compression or deflate, got method {method}")
            with archive.open(members[name]) as stream:
                arrays[name] = _array(stream, where, max_bytes - sum(array.nbytes for array in arrays.values()))
    return arrays


def _opened(path: Path, what: str) -> AbstractContextManager[BufferedReader]:
    return open_file(path, what=what, largest=LARGEST_FILE, error=DataError)


class _ShortReads(BufferedReader):
    """A file that refuses to read more than MAX_READ bytes at once, as zipfile does for a large list of members."""

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size if size is not None and 0 <= size <= MAX_READ else MAX_READ + 1)
        if len(content) > MAX_READ:
            raise zipfile.BadZipFile(f"more than {MAX_READ:,} bytes for the list of its members")
        return content


@contextmanager
def _named(path: Path, expected: str) -> Iterator[None]:
    """A context in which damage to a file becomes a DataError that names it."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # zipfile and NumPy's reader of headers raise any exception for damaged files
        raise DataError(f"{path}: expected {expected}, cannot read it: {one_line(error)}") from None


def _array(stream: IO[bytes], where: str, max_bytes: int) -> NDArray[np.uint8]:
    """The array in a stream, which must end with it."""
    head = BytesIO(stream.read(MAX_HEADER))
    read_header = npy.read_array_header_1_0 if npy.read_magic(head) == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read_header(head)
    if dtype != np.uint8:
        raise DataError(f"{where}: expected uint8 grey levels, got {dtype.name} {list(shape)}: convert them")
    if min(shape, default=0) < 0:
        raise DataError(f"{where}: expected a shape of sizes from 0 on, got {list(shape)}: write the file again")
    size = math.prod(shape)
    if size > max_bytes:
        raise DataError(f"{where}: expected at most {max_bytes:,} bytes of images, got {size:,}: split the file")
    data = bytearray(head.read())
    while len(data) <= size and (piece := stream.read(CHUNK)):  # to the end, where zipfile verifies the checksum
        data += piece
    if len(data) != size:
        fault = "truncated" if len(data) < size else "trailing bytes"
        raise DataError(f"{where}: {fault}: expected {size:,} bytes for shape {list(shape)}: write the file again")
    return np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran else "C")
