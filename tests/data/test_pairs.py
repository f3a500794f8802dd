"""Drawing pairs, targets, moments, normalisation and folds."""

import numpy as np
import pytest
import torch

from pairnet.data import pairs as module
from pairnet.data.images import Images
from pairnet.data.pairs import Moments, Pairs, draw_pairs, folds, moments, normalise


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (300, 28, 28), dtype=np.uint8)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 10, 300, dtype=np.uint8)


@pytest.fixture(scope="module")
def pairs(images: np.ndarray, labels: np.ndarray) -> Pairs:
    return draw_pairs(Images(pixels=images, labels=labels), count=100, seed=7)


def test_pairs_hold_what_their_indices_say(pairs: Pairs, images: np.ndarray, labels: np.ndarray) -> None:
    assert len(pairs) == 100
    assert len(np.unique(pairs.indices)) == 200
    assert np.array_equal(pairs.digits, labels[pairs.indices])
    blocks = images[pairs.indices].reshape(100, 2, 14, 2, 14, 2)
    assert np.array_equal(pairs.pixels, blocks.sum((3, 5)))
    assert np.array_equal(pairs.targets, pairs.digits[:, 0] <= pairs.digits[:, 1])
    assert pairs.targets.dtype == np.float32


def test_a_draw_is_a_function_of_its_seed(pairs: Pairs, images: np.ndarray, labels: np.ndarray) -> None:
    pool = Images(pixels=images, labels=labels)
    assert np.array_equal(draw_pairs(pool, count=100, seed=7, threads=3).pixels, pairs.pixels)
    assert not np.array_equal(draw_pairs(pool, count=100, seed=8).indices, pairs.indices)


def test_chunks_change_nothing(
    pairs: Pairs, images: np.ndarray, labels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 7)
    again = draw_pairs(Images(pixels=images, labels=labels), count=100, seed=7)
    assert np.array_equal(again.pixels, pairs.pixels)
    assert np.array_equal(again.digits, pairs.digits)


def test_pooled_images_give_the_same_pairs(images: np.ndarray, labels: np.ndarray) -> None:
    flat = images[:, ::2, ::2].repeat(2, 1).repeat(2, 2)  # blocks of one value, so that pooling rounds nothing
    full = draw_pairs(Images(pixels=np.ascontiguousarray(flat), labels=labels), count=50, seed=3)
    small = draw_pairs(Images(pixels=np.ascontiguousarray(images[:, ::2, ::2]), labels=labels), count=50, seed=3)
    assert np.array_equal(full.pixels, small.pixels)


def test_every_image_can_be_used_and_no_more(images: np.ndarray, labels: np.ndarray) -> None:
    assert len(np.unique(draw_pairs(Images(pixels=images, labels=labels), count=150, seed=0).indices)) == 300
    with pytest.raises(ValueError, match="151 pairs need 302 images, but there are 300: choose --pairs 150 or less"):
        draw_pairs(Images(pixels=images, labels=labels), count=151, seed=0)
    with pytest.raises(ValueError, match="--pairs must be at least 1, not 0"):
        draw_pairs(Images(pixels=images, labels=labels), count=0, seed=0)
    with pytest.raises(ValueError, match=r"labels must be of shape \[300\].*not \[299\]"):
        Images(pixels=images, labels=labels[:-1])


def test_subset_keeps_rows_together(pairs: Pairs) -> None:
    rows = np.array([5, 99, 0])
    subset = pairs.subset(rows)
    assert len(subset) == 3
    assert np.array_equal(subset.pixels, pairs.pixels[rows])
    assert np.array_equal(subset.digits, pairs.digits[rows])
    assert np.array_equal(subset.indices, pairs.indices[rows])
    assert np.array_equal(subset.targets, pairs.targets[rows])


def test_pairs_refuse_arrays_that_do_not_fit(pairs: Pairs) -> None:
    with pytest.raises(ValueError, match=r"digits must be of shape \[100, 2\], not \[99, 2\]"):
        Pairs(pixels=pairs.pixels, digits=pairs.digits[:99], indices=pairs.indices)


def test_moments_and_normalisation_match_torch(pairs: Pairs) -> None:
    grey = torch.from_numpy(pairs.pixels / np.float32(4))
    found = moments(pairs)
    assert (found.mean, found.std) == pytest.approx((grey.mean().item(), grey.std().item()), rel=1e-6)
    pair, target, digits = normalise(pairs, found)
    torch.testing.assert_close(torch.from_numpy(pair), (grey - grey.mean()) / grey.std(), rtol=1e-5, atol=1e-6)
    assert np.array_equal(target, pairs.targets)
    assert np.array_equal(digits, pairs.digits)
    assert (pair.dtype, target.dtype, digits.dtype) == (np.float32, np.float32, np.int64)


def test_normalisation_of_other_pairs_takes_the_moments_given(pairs: Pairs) -> None:
    pair, _, _ = normalise(pairs, Moments(mean=10.0, std=2.0))
    np.testing.assert_allclose(pair, (pairs.pixels / 4.0 - 10) / 2, rtol=1e-6)


@pytest.mark.parametrize(("count", "k"), [(20, 4), (21, 4), (5, 5)])
def test_folds_validate_each_row_once(count: int, k: int) -> None:
    found = folds(count, k, seed=3)
    assert len(found) == k
    assert sorted(np.concatenate([validation for _, validation in found])) == list(range(count))
    for train, validation in found:
        assert sorted([*train, *validation]) == list(range(count))
        assert abs(len(validation) - count / k) < 1
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(found, folds(count, k, seed=3), strict=True))


def test_folds_are_shuffled_by_their_seed() -> None:
    first, other = folds(100, 4, seed=0)[0][1], folds(100, 4, seed=1)[0][1]
    assert first.tolist() != list(range(25))
    assert first.tolist() != other.tolist()


@pytest.mark.parametrize("k", [1, 11])
def test_folds_have_bounds(k: int) -> None:
    with pytest.raises(ValueError, match=rf"folds must be in 2..10, the number of pairs, not {k}"):
        folds(10, k, seed=0)
