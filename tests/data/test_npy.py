""".npy and .npz files: round trips, bounds on what is read, and a one-line error for each kind of damage."""

import tracemalloc
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pairnet.data.npy import read_npy, read_npz
from pairnet.errors import DataError

LIMIT = 1 << 20


def refusal(path: Path, *names: str) -> str:
    """The one-line error of reading a file."""
    with pytest.raises(DataError) as caught:
        read_npz(path, names, max_bytes=LIMIT) if path.suffix == ".npz" else read_npy(path, max_bytes=LIMIT)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def content(array: np.ndarray) -> bytes:
    """The bytes of an .npy file."""
    file = BytesIO()
    np.save(file, array)
    return file.getvalue()


def with_header_of(size: int, array: np.ndarray) -> bytes:
    """The bytes of an .npy file whose data begin at `size`: spaces fill its header, as NumPy's own alignment does."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {array.shape}}}".encode()
    return b"\x93NUMPY\x01\x00" + (size - 10).to_bytes(2, "little") + text.ljust(size - 11) + b"\n" + array.tobytes()


@given(
    array=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6)),
    fortran=st.booleans(),
    packed=st.booleans(),
)
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, fortran: bool, packed: bool) -> None:
    folder = tmp_path_factory.mktemp("npy")
    stored = np.asarray(array, order="F") if fortran else array
    np.save(folder / "a.npy", stored)
    (np.savez_compressed if packed else np.savez)(folder / "a.npz", one=stored, two=stored[..., None])
    found = read_npz(folder / "a.npz", ("one", "two"), max_bytes=2 * array.nbytes)
    for each in (read_npy(folder / "a.npy", max_bytes=array.nbytes), found["one"], found["two"][..., 0]):
        np.testing.assert_array_equal(each, array)
        assert (each.shape, each.dtype) == (array.shape, np.uint8)


@pytest.mark.parametrize("size", [4095, 4096, 4097, (1 << 16) - 1, 1 << 16, 200_000, LIMIT])
def test_arrays_of_several_reads(tmp_path: Path, size: int) -> None:
    array = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", a=array)
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy", max_bytes=LIMIT), array)
    np.testing.assert_array_equal(read_npz(tmp_path / "a.npz", ("a",), max_bytes=LIMIT)["a"], array)
    if size > 1:
        (tmp_path / "a.npy").write_bytes(content(array)[:-1])
        assert f"truncated: expected {size:,} bytes for shape [{size}]" in refusal(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes(content(array) + b"x")
    assert f"trailing bytes: expected {size:,} bytes for shape [{size}]" in refusal(tmp_path / "a.npy")


def test_a_header_has_at_most_4096_bytes(tmp_path: Path) -> None:
    array, path = np.arange(200, dtype=np.uint8), tmp_path / "a.npy"
    for size in (128, 4095, 4096):
        path.write_bytes(with_header_of(size, array))
        np.testing.assert_array_equal(read_npy(path, max_bytes=LIMIT), array)
    path.write_bytes(with_header_of(4097, array))
    np.testing.assert_array_equal(np.load(path), array)  # NumPy's bound is another
    assert "expected an .npy file, cannot read it: " in refusal(path)


@pytest.mark.parametrize("longer", [0, 1])
def test_the_list_of_members_has_at_most_128_kib(tmp_path: Path, longer: int) -> None:
    """A member takes 46 bytes of it, and those of its name."""
    path = tmp_path / "many.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(1024):
            archive.writestr(f"{number:082}" + "x" * (longer if number == 0 else 0), b"")
    expected = "more than 131,072 bytes for the list of its members" if longer else "expected one array, or a, got "
    assert expected in refusal(path, "a")


@pytest.mark.parametrize("claimed", [1, 784])
def test_what_follows_an_array_is_not_inflated(tmp_path: Path, claimed: int) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", content(np.zeros(claimed, np.uint8)) + bytes(1 << 25))
    tracemalloc.start()
    assert f"trailing bytes: expected {claimed} bytes" in refusal(path, "a")
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()


def test_other_members_are_named_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, labels=np.zeros(3, np.uint8), images=np.zeros(3, np.uint8))
    assert refusal(path, "first", "second").endswith(
        ": expected one array, or first and second, got ['images', 'labels']"
    )
    assert list(read_npz(path, ("images",), max_bytes=3)) == ["images"]
    with pytest.raises(DataError, match="expected at most 2 bytes of images, got 3: split the file"):
        read_npz(path, ("images", "labels"), max_bytes=5)


def test_other_types_and_shapes(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((2, 3)))
    assert "expected uint8 grey levels, got float64 [2, 3]: convert them" in refusal(path)
    path.write_bytes(content(np.zeros((2, 3), np.uint8)).replace(b"(2, 3), ", b"(2, -3),"))
    assert "expected a shape of sizes from 0 on, got [2, -3]: write the file again" in refusal(path)
