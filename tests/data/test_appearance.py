"""What is noticed about images of a user's own: each change of MNIST-like digits is named, and nothing else is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pairnet.data.appearance import (
    DARK_ON_LIGHT,
    LIGHT_ON_DARK,
    ORIENTATIONS,
    SAMPLE,
    polarity,
    polarity_of,
    remarks,
    sample,
)
from pairnet.data.idx import write_idx
from pairnet.data.pools import Glyphs, LoadedImages
from pairnet.data.sources import Dataset, load_dataset

Change = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def mnist() -> tuple[np.ndarray, np.ndarray]:
    """Genuine digits of the embedded images: pixels [1000,28,28] and labels [1000]."""
    train = load_dataset("mnist5k").train
    chosen = np.random.default_rng(0).permutation(len(train))[:1000]
    return train.take(chosen)


def said(pixels: np.ndarray, labels: np.ndarray, test: np.ndarray | None = None) -> list[str]:
    """The remarks on images, whose test images are the same ones unless others are given."""
    train = LoadedImages(pixels=np.ascontiguousarray(pixels).astype(np.uint8), labels=labels.astype(np.uint8))
    testing = train if test is None else LoadedImages(pixels=test, labels=train.labels)
    found = list(remarks(train, testing, int(labels.max()) + 1))
    assert all("\n" not in remark for remark in found)
    return found


def pooled(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(-1, 14, 2, 14, 2).mean((2, 4)).astype(np.uint8)


def test_nothing_is_said_of_mnist_and_glyphs(mnist: tuple[np.ndarray, np.ndarray]) -> None:
    assert said(*mnist) == said(mnist[0][:60], mnist[1][:60]) == said(pooled(mnist[0]), mnist[1]) == []
    for spec in ("glyphs:100", "glyphs:1000:7", "mnist5k"):
        dataset = load_dataset(spec)
        assert (list(remarks(dataset.train, dataset.test, 10)), dataset.polarity) == ([], LIGHT_ON_DARK)


DONE: dict[str, Change] = {
    "transposed": lambda x: x.transpose(0, 2, 1),
    "anticlockwise": lambda x: np.rot90(x, 1, (1, 2)),
    " clockwise": lambda x: np.rot90(x, -1, (1, 2)),
    "upside down": lambda x: x[:, ::-1, ::-1],
    "left to right": lambda x: x[:, :, ::-1],
    "top to bottom": lambda x: x[:, ::-1],
    "other diagonal": lambda x: x[:, ::-1, ::-1].transpose(0, 2, 1),
}


@pytest.mark.parametrize("side", [28, 14])
@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("name", DONE)
def test_other_orientations_are_named_with_what_undoes_them(
    mnist: tuple[np.ndarray, np.ndarray], name: str, inverted: bool, side: int
) -> None:
    pixels, labels = mnist
    changed = DONE[name](pooled(pixels) if side == 14 else pixels)
    found = said(255 - changed if inverted else changed, labels)
    assert [name in remark for remark in found] == [False, True][1 - inverted :]
    remedy = next(code for what, code in ORIENTATIONS.items() if name in f" {what}")
    assert f"write {remedy}," in found[-1]
    upright = eval(remedy, {"images": changed, "np": np})
    np.testing.assert_array_equal(upright, pooled(pixels) if side == 14 else pixels)


@pytest.mark.parametrize(("shift", "words"), [(1, "the digits plus 1"), (9, "the digits minus 1")])
def test_shifted_labels_are_named(mnist: tuple[np.ndarray, np.ndarray], shift: int, words: str) -> None:
    (found,) = said(mnist[0], (mnist[1] + shift) % 10)
    assert words in found


def test_labels_from_1_leave_a_class_empty(mnist: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, labels = mnist
    few = labels < 4
    (found,) = said(pixels[few], labels[few] + 1)
    assert "the label 0: " in found
    assert "subtract 1" in found


@settings(max_examples=30)
@given(order=st.permutations(range(10)), seed=st.integers(0, 9))
def test_classes_that_are_no_digits_in_order_have_no_orientation(order: list[int], seed: int) -> None:
    """Nothing is said of ten shapes that are numbered as their owner likes, unless nearly all are digits in order."""
    pixels, labels = Glyphs(start=0, count=300, seed=seed).take(np.arange(300))
    moved = np.array(order)[labels]
    if any(((moved - labels) % 10 == shift).mean() > 0.25 for shift in (0, 1, 9)):
        return
    if len(set(labels.tolist())) == 10:
        assert said(pixels, moved) == []


def test_polarity_and_what_is_mixed(mnist: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, labels = mnist
    assert (polarity(pixels), polarity(255 - pixels)) == (LIGHT_ON_DARK, DARK_ON_LIGHT)
    assert polarity_of(LoadedImages(pixels=255 - pixels, labels=labels)) == DARK_ON_LIGHT
    (found,) = said(255 - pixels, labels)
    assert "the images are dark on light" in found
    assert "255 - images" in found
    third = np.where((np.arange(len(pixels)) % 3 == 0)[:, None, None], 255 - pixels, pixels)
    (found,) = said(third, labels)
    assert found.startswith("33% of the training images are dark on light, 67% light on dark")
    assert polarity(third) is None
    (found,) = said(pixels, labels, test=255 - pixels)
    assert "the training images are light on dark, the test images dark on light" in found
    noise = np.random.default_rng(0).integers(0, 256, (100, 28, 28), dtype=np.uint8)
    assert (polarity(noise), polarity(np.zeros_like(noise)), said(noise, np.arange(100) % 10)) == (None, None, [])


@given(low=st.integers(0, 60), span=st.integers(40, 195), dark=st.booleans())
def test_polarity_does_not_depend_on_the_levels(low: int, span: int, dark: bool) -> None:
    glyphs = Glyphs(start=0, count=50, seed=1).take(np.arange(50))[0]
    pixels = (low + glyphs.astype(int) * span // 255).astype(np.uint8)
    assert polarity(255 - pixels if dark else pixels) == (DARK_ON_LIGHT if dark else LIGHT_ON_DARK)


def test_levels_size_place_and_blank_images(mnist: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, labels = mnist
    (found,) = said(pixels // 3 + 60, labels)
    assert "faint, typically 85 grey levels" in found
    small = pooled(pixels)
    (found,) = said(np.pad(small, ((0, 0), (7, 7), (7, 7))), labels)
    assert "typically 10 of 28 pixels" in found
    (found,) = said(np.pad(small, ((0, 0), (0, 14), (0, 14))), labels)
    assert "10 from the centre" in found
    (found,) = said(np.where((np.arange(len(pixels)) % 4 == 0)[:, None, None], 0, pixels), labels)
    assert found.startswith("250 of 1,000 training images are blank")


@settings(max_examples=50)
@given(
    count=st.integers(1, 30),
    side=st.sampled_from([14, 28]),
    levels=st.sampled_from([1, 2, 256]),
    seed=st.integers(0, 99),
)
def test_any_images_can_be_looked_at(count: int, side: int, levels: int, seed: int) -> None:
    """Also a single one, blank ones and noise: NumPy's warnings are errors in tests."""
    rng = np.random.default_rng(seed)
    said(rng.integers(0, levels, (count, side, side)), rng.integers(0, 10, count))


def test_a_sample_covers_a_sorted_pool() -> None:
    labels = np.repeat(np.arange(10, dtype=np.uint8), 1000)
    pixels, found = sample(LoadedImages(pixels=np.zeros((10_000, 14, 14), np.uint8), labels=labels))
    assert pixels.shape == (SAMPLE, 14, 14)
    assert np.bincount(found).tolist() == [SAMPLE // 10] * 10


def test_loading_says_it_once_and_changes_nothing(tmp_path: Path, mnist: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, labels = mnist
    for part in ("train", "t10k"):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", 255 - pixels.transpose(0, 2, 1))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", labels)
    with pytest.warns(UserWarning, match="the images are ") as caught:
        dataset: Dataset = load_dataset(f"idx:{tmp_path}")
    assert [str(each.message).startswith(f"{tmp_path}: the images are ") for each in caught] == [True, True]
    np.testing.assert_array_equal(dataset.train.take(np.arange(1000))[0], 255 - pixels.transpose(0, 2, 1))
    assert dataset.polarity == DARK_ON_LIGHT
