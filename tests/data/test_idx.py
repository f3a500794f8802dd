"""IDX files: round trips, and a one-line error for each kind of damage."""

import errno
import gzip
import os
import struct
import tracemalloc
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pairnet.data import idx
from pairnet.data.idx import header, read_idx, write_idx
from pairnet.errors import DataError, IdxError

THREE = bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9])  # the array [7, 8, 9]


@pytest.fixture(params=["plain", "gzip"])
def packed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "gzip")


def put(folder: Path, content: bytes, *, packed: bool = False) -> Path:
    path = folder / "file-idx1-ubyte"
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


def test_a_gzip_file_that_is_too_small_for_images_is_refused(tmp_path: Path) -> None:
    """Zeros compress a thousand times: 2 MB would become 2 GB of memory."""
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb") as file:
        file.write(header((200_000, 28, 28)))
        for _ in range(20):
            file.write(bytes(10_000 * 28 * 28))
    tracemalloc.start()
    assert "too few for images: decompress it first" in refusal(path)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def refusal(path: Path) -> str:
    """The one-line error of reading `path`."""
    with pytest.raises(IdxError) as caught:
        read_idx(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@given(
    array=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6)), packed=st.booleans()
)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, packed: bool) -> None:
    path = tmp_path_factory.getbasetemp() / ("round-trip.gz" if packed else "round-trip")
    write_idx(path, array)
    back = read_idx(path)
    assert back.dtype == np.uint8
    assert back.flags.writeable
    np.testing.assert_array_equal(back, array, strict=True)


@given(content=st.binary(max_size=40) | st.binary(max_size=40).map(lambda tail: b"\0\0\x08" + tail))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = put(tmp_path_factory.getbasetemp(), content)
    try:
        array = read_idx(path)
    except IdxError:
        return
    assert header(array.shape) + array.tobytes() == content


def test_the_bytes_are_those_of_the_format(tmp_path: Path) -> None:
    write_idx(tmp_path / "plain", np.array([7, 8, 9], np.uint8))
    assert (tmp_path / "plain").read_bytes() == THREE
    write_idx(tmp_path / "columns", np.arange(6, dtype=np.uint8).reshape(2, 3).T)  # not in C order
    assert (tmp_path / "columns").read_bytes() == bytes([0, 0, 8, 2, 0, 0, 0, 3, 0, 0, 0, 2, 0, 3, 1, 4, 2, 5])


def test_compression_is_recognised_by_content(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(THREE)
    (tmp_path / "b").write_bytes(gzip.compress(THREE[:5]) + gzip.compress(THREE[5:]))  # gzip may have several members
    assert read_idx(tmp_path / "a.gz").tolist() == read_idx(str(tmp_path / "b")).tolist() == [7, 8, 9]


def test_compressed_files_are_reproducible(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        write_idx(tmp_path / name, np.arange(9, dtype=np.uint8))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


@pytest.mark.parametrize("magic", [b"\x89PNG", b"\0\x01\x08\x01", b"\0\0\x07\x01", b"\0\0\0\0"])
def test_wrong_magic(tmp_path: Path, packed: bool, magic: bytes) -> None:
    assert f"wrong magic: expected 00 00 08 <rank>, got {magic.hex(' ')}" in refusal(
        put(tmp_path, magic + THREE[4:], packed=packed)
    )


@pytest.mark.parametrize(
    ("code", "name"), [(0x09, "int8"), (0x0B, "int16"), (0x0C, "int32"), (0x0D, "float32"), (0x0E, "float64")]
)
def test_other_types(tmp_path: Path, code: int, name: str) -> None:
    assert f"expected unsigned bytes (type 08), got {name}" in refusal(put(tmp_path, bytes([0, 0, code]) + THREE[3:]))


@pytest.mark.parametrize("length", range(len(THREE)))
def test_truncated(tmp_path: Path, packed: bool, length: int) -> None:
    text = refusal(put(tmp_path, THREE[:length], packed=packed))
    assert "truncated" in text
    if length >= 8:
        assert f"expected 11 bytes for shape [3], got {length}" in text


def test_trailing_bytes(tmp_path: Path, packed: bool) -> None:
    text = refusal(put(tmp_path, THREE + b"ab", packed=packed))
    assert "trailing bytes: expected 11 bytes for shape [3], got more" in text


def test_truncated_gzip(tmp_path: Path) -> None:
    path = put(tmp_path, THREE, packed=True)
    for length in range(2, path.stat().st_size):
        path.write_bytes(gzip.compress(THREE)[:length])
        assert "truncated or corrupt gzip data" in refusal(path)


@pytest.mark.parametrize("position", [2, 12, -6, -2])  # method, data, checksum, length
def test_corrupt_gzip(tmp_path: Path, position: int) -> None:
    content = bytearray(gzip.compress(THREE))
    content[position] ^= 0xFF
    path = tmp_path / "file.gz"
    path.write_bytes(content)
    assert "corrupt gzip data" in refusal(path)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (60_000, 2**31, 2**31),
            "expected at most 2,147,483,648 bytes, got a header for 276,701,161,105,643,274,240,016",
        ),
        ((2**31,), "expected at most 2,147,483,648 bytes, got a header for 2,147,483,656"),
        ((2**30,), "1,073,741,832 bytes for shape [1073741824], got "),
    ],
)
def test_claims_of_a_header_allocate_no_memory(
    tmp_path: Path, packed: bool, shape: tuple[int, ...], message: str
) -> None:
    path = put(tmp_path, header(shape) + bytes(100), packed=packed)
    tracemalloc.start()
    assert message in refusal(path)
    assert tracemalloc.get_traced_memory()[1] < 2**26
    tracemalloc.stop()


def test_impossible_shapes(tmp_path: Path) -> None:
    empty_but_large = struct.pack(">HBB4I", 0, 8, 4, 0, *[2**32 - 1] * 3)
    assert "expected a possible shape" in refusal(put(tmp_path, empty_but_large))
    assert "at most 64 dimensions, got 65" in refusal(put(tmp_path, b"\0\0\x08\x41" + bytes(4 * 65)))


def test_paths_that_are_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "expected an IDX file, got no such file: " in refusal(tmp_path / "missing")
    assert "expected an IDX file, got a folder: " in refusal(tmp_path)
    assert "a name that no file can have" in refusal(tmp_path / "a\0b")
    path = put(tmp_path, THREE)
    for error in (OSError(errno.EIO, "Input/output error"), MemoryError("not enough memory")):
        monkeypatch.setattr(idx, "open_file", Mock(side_effect=error))
        assert f"cannot read it: {error.args[-1]}: check" in refusal(path)


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(errno.ENOSPC, "No space left on device"), IdxError), (KeyboardInterrupt("Ctrl-C"), KeyboardInterrupt)],
)
def test_a_failed_or_interrupted_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, raised: type[BaseException]
) -> None:
    path = put(tmp_path, THREE)
    monkeypatch.setattr(os, "fsync", Mock(side_effect=error))
    with pytest.raises(raised, match=error.args[-1]):
        write_idx(path, np.zeros(5, np.uint8))
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == THREE


def test_arrays_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a uint8 array, got float32"):
        write_idx(tmp_path / "a", np.zeros(3, np.float32))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="cannot be written: No such file or directory"):
        write_idx(tmp_path / "missing" / "a", np.zeros(3, np.uint8))
    with pytest.raises(DataError, match="expected at most 64 dimensions below"):
        header((2**32,))


def test_the_largest_size_can_be_chosen(tmp_path: Path) -> None:
    with pytest.raises(IdxError, match="expected an IDX file of at most 10 bytes, got 11 bytes"):
        read_idx(put(tmp_path, THREE), max_bytes=10)
    assert read_idx(put(tmp_path, THREE), max_bytes=11).tolist() == [7, 8, 9]


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (gzip.compress(gzip.compress(b"\0\0\x08\x01\0\0\0\x01x")), "compressed twice: decompress it once"),
        (b"version https://git-lfs.github.com/spec/v1\n", "the pointer of Git LFS: run `git lfs pull`"),
        (b"<!DOCTYPE html><title>403 Forbidden</title>", "not an IDX file: copy or download the file again"),
    ],
    ids=("gzip twice", "git lfs", "a page"),
)
def test_what_was_downloaded_instead_is_named(tmp_path: Path, content: bytes, remedy: str) -> None:
    (tmp_path / "file.gz").write_bytes(content)
    with pytest.raises(IdxError) as caught:
        read_idx(tmp_path / "file.gz")
    assert str(caught.value).endswith(remedy)
