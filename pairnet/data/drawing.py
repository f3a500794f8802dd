"""The pairs of a run, drawn from its images: the same ones for training, export, reports and verification."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pairnet.data.pairs import Pairs, draw_indices, draw_pairs, folds
from pairnet.data.sources import Dataset, numbers_of_images
from pairnet.errors import ArgumentError, DataError
from pairnet.records.run import PAPER_PAIRS, Run


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Numbers of pairs that suit a data set."""

    pairs: int
    test_pairs: int
    note: str  # what is smaller than the default and why; empty if nothing is


def choose_sizes(dataset: Dataset, *, pairs: int | None = None, test_pairs: int | None = None) -> Sizes:
    """Numbers of pairs to train and to test on, where `None` leaves the choice to the data set.

    By default these are the paper's 1,000 for training, and as many for testing, or fewer if `dataset` has too few
    images. A number that is given stays as it is: check_images refuses one that does not fit.
    """
    wanted = PAPER_PAIRS if pairs is None else pairs
    training = wanted if pairs is not None else min(wanted, max(len(dataset.train) // 2, 1))
    testing = test_pairs if test_pairs is not None else min(wanted, max(len(dataset.test) // 2, 1))
    smaller = [
        f"{count:,} {what} pairs instead of {wanted:,}"
        for what, count, given in (("training", training, pairs), ("test", testing, test_pairs))
        if given is None and count < wanted
    ]
    note = f"{' and '.join(smaller)}: {dataset.name} has no more images" if smaller else ""
    return Sizes(pairs=training, test_pairs=testing, note=note)


def check_images(run: Run, dataset: Dataset) -> None:
    """DataError unless `dataset` is the one that `run` names; ArgumentError if it is too small for the run's pairs."""
    require_same_images(dataset, owner=run.name, name=run.images.title, checksum=run.images.checksum)
    parts = [("pairs", run.pairs, "training", len(dataset.train))]
    if run.fold is None:
        parts.append(("pairs" if run.test_pairs is None else "test_pairs", run.tested, "test", len(dataset.test)))
    for name, count, part, images in parts:
        if 2 * count > images:
            raise ArgumentError(
                f"{count} pairs need {2 * count} {part} images, {dataset.images.title} has {images}: "
                f"choose `{name}` of at most {images // 2}"
            )


def require_same_images(dataset: Dataset, *, owner: str, name: str, checksum: str) -> None:
    """DataError unless `dataset` has the SHA-256 `checksum`, that of the images called `name`.

    owner: the run or file that was made with them, for the message.
    """
    if dataset.checksum != checksum:
        raise DataError(
            f"{owner}: expected the images it was made with, {name}, SHA-256 {checksum[:12]}, got {dataset.origin}, "
            f"SHA-256 {dataset.checksum[:12]}: choose the same images with `data` or `data_dir`"
        )


def draw(run: Run, dataset: Dataset) -> tuple[Pairs, Pairs]:
    """The pairs to train on, and the pairs held out: the test draw, or the run's fold of the training draw.

    DataError if `dataset` is not the one that `run` names, ArgumentError if it is too small.
    """
    check_images(run, dataset)
    training = draw_pairs(dataset.train, count=run.pairs, seed=run.seeds.train_draw)
    if run.fold is None:
        return training, draw_test(dataset, count=run.tested, seed=run.seeds.test_draw)
    rows, held_out = folds(run.pairs, run.folds, run.seeds.train_draw)[run.fold]
    return training.subset(rows), training.subset(held_out)


def draw_held_out(run: Run, dataset: Dataset) -> Pairs:
    """The second part of `draw`, without drawing the first where that is not needed."""
    if run.fold is not None:
        return draw(run, dataset)[1]
    check_images(run, dataset)
    return draw_test(dataset, count=run.tested, seed=run.seeds.test_draw)


def held_out_indices(run: Run) -> NDArray[np.int64] | None:
    """The numbers of the images of the held-out pairs, row by row as in `draw_held_out`, without any image.  [n,2]

    None if it is not known how many images there are. MissingExtraError for a fold without scikit-learn.
    """
    numbers = numbers_of_images(run.images)
    if numbers is None or 2 * (run.tested if run.fold is None else run.pairs) > numbers[run.fold is None]:
        return None
    train, test = numbers
    if run.fold is None:
        return draw_indices(test, count=run.tested, seed=run.seeds.test_draw)
    _, held_out = folds(run.pairs, run.folds, run.seeds.train_draw)[run.fold]
    return draw_indices(train, count=run.pairs, seed=run.seeds.train_draw)[held_out]


def draw_test(dataset: Dataset, *, count: int, seed: int) -> Pairs:
    """The test draw of a run or of an exported file, by its numbers.  ArgumentError if there are too few images."""
    return draw_pairs(dataset.test, count=count, seed=seed)
