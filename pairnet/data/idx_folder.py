"""Owns a folder of four IDX files named like MNIST's: which of them it has, what is in them, what to do otherwise."""

import re
from collections.abc import Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pairnet.data.appearance import CONTRAST
from pairnet.data.download import MNIST_SHA256
from pairnet.data.idx import read_idx
from pairnet.data.pools import LoadedImages, sha256
from pairnet.errors import DataError

SIZES = ((28, 28), (14, 14))
LOOKED_AT = 1000
"""Entries of a folder, and of the folders in it, among which files with other names are looked for."""


def _find(folder: Path, name: str) -> Path | None:
    """The file with the name `name` in MNIST, under any of its usual names; plain files precede gzip.

    Without one, what has such a name and is no folder, such as a pipe: who opens it says so.
    """
    stems = [stem.replace("-idx", dot) for stem in (name, name.replace("t10k-", "test-")) for dot in ("-idx", ".idx")]
    paths = [path for stem in stems for path in (folder / stem, folder / f"{stem}.gz") if path.exists()]
    return next((path for path in paths if path.is_file()), next((path for path in paths if not path.is_dir()), None))


def missing_from(folder: Path) -> str:
    """The names, as MNIST's files have them, of what `folder` lacks; empty if it is complete."""
    return ", ".join(name for name in MNIST_SHA256 if not _find(folder, name))


def how_to_complete(folder: Path) -> str:
    """What to do with a folder that lacks files: a folder in it may have them, or they have other names."""
    names: list[str] = []
    found = {_find(folder, name) for name in MNIST_SHA256}
    with suppress(OSError):  # a folder that may not be read
        for pattern in ("*", "*/*"):
            for path in sorted(islice(folder.glob(pattern), LOOKED_AT)):
                if path.is_dir() and not missing_from(path):
                    return f"did you mean idx:{path}?"
                if path.is_file() and path not in found and re.search("(?i)(images|labels).idx", path.name):
                    names.append(str(path.relative_to(folder)))
    if not names:
        return "add what is missing, or write pictures as IDX files"
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    emnist = "; EMNIST's images are transposed, write images.transpose(0, 2, 1)" if "emnist" in names[0].lower() else ""
    return f"move or rename {names[0]}{more}{emnist}"


def read_folder(folder: Path, checksums: Mapping[str, str]) -> tuple[LoadedImages, LoadedImages]:
    """Training and test images of a complete folder; `checksums` are those of the decompressed files."""
    paths = [_find(folder, name) or folder / name for name in MNIST_SHA256]
    arrays = [read_idx(path) for path in paths]
    for name, path, array in zip(MNIST_SHA256, paths, arrays, strict=True):
        if name in checksums and (found := sha256(array)) != checksums[name]:
            raise DataError(
                f"{path}: expected {name} of MNIST with SHA-256 {checksums[name][:12]}, got {found[:12]}: "
                "run `pairnet data fetch mnist`, or use another set as idx:FOLDER"
            )
    train, test = (_checked(arrays[k], arrays[k + 1], pixels_path=paths[k], labels_path=paths[k + 1]) for k in (0, 2))
    side, other = train.side, test.side
    if side != other:
        raise DataError(
            f"{folder}: expected test images of {side}x{side}, as in training, got {other}x{other}: resize one"
        )
    for images, path in ((train, paths[0]), (test, paths[2])):
        _check_levels(images.pixels, path)
    return train, test


def _checked(
    pixels: NDArray[np.uint8], labels: NDArray[np.uint8], *, pixels_path: Path, labels_path: Path
) -> LoadedImages:
    """Images with their labels; DataError unless they are 28x28 or 14x14, with one label in 0..9 for each."""
    if pixels.ndim != 3 or pixels.shape[1:] not in SIZES:
        raise DataError(
            f"{pixels_path}: expected images [N,28,28] or [N,14,14], got {list(pixels.shape)}: {_reshaping(pixels)}"
        )
    if labels.ndim != 1:
        one_hot = labels.ndim == 2 and len(labels) == len(pixels)
        remedy = "write labels.argmax(1)" if one_hot else "check that the files are not swapped"
        raise DataError(f"{labels_path}: expected labels [N], got {list(labels.shape)}: {remedy}")
    if len(pixels) != len(labels) or not len(labels):
        raise DataError(
            f"{pixels_path}: expected one label for each image, and at least one, got {len(pixels):,} images and "
            f"{len(labels):,} labels in {labels_path.name}: take both files from one set"
        )
    if labels.max() > 9:
        at = int(np.argmax(labels > 9))
        least = int(labels.min())
        fewer = least > 0 and int(labels.max()) - least <= 9
        remedy = f"write labels - {least}, labels begin at 0" if fewer else "use at most 10 classes"
        raise DataError(f"{labels_path}: expected labels in 0..9, got {labels[at]} for image {at}: {remedy}")
    return LoadedImages(pixels=pixels, labels=labels)


def _check_levels(pixels: NDArray[np.uint8], path: Path) -> None:
    """DataError for images in which nothing is visible: a network would learn them, but no picture looks like them."""
    low, high = int(pixels.min()), int(pixels.max())
    if high - low >= CONTRAST * 255:
        return
    remedy = "check how they were written"
    if high > low:
        remedy = f"write {f'(images - {low})' if low else 'images'} * {255 // (high - low)}"
    raise DataError(f"{path}: expected grey levels 0..255, got {low}..{high} in all images: {remedy}")


def _reshaping(pixels: NDArray[np.uint8]) -> str:
    """What to do with images of another shape."""
    if pixels.ndim == 1:
        return "check that the files are not swapped"
    for side, _ in SIZES:
        if len(pixels) and pixels.size == len(pixels) * side * side:
            return f"write images.reshape(-1, {side}, {side})"
    return "resize them"
