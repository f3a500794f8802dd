"""Drawing pairs, targets, moments, normalisation and folds."""

import numpy as np
import pytest
import torch

from pairnet.data import pairs as module
from pairnet.data.pairs import Moments, Pairs, draw_pairs, folds, moments, normalise, pool_and_normalise
from pairnet.data.pools import LoadedImages
from pairnet.errors import ArgumentError


@pytest.fixture(scope="module")
def pool() -> LoadedImages:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (300, 28, 28), dtype=np.uint8)
    return LoadedImages(pixels=pixels, labels=rng.integers(0, 10, 300, dtype=np.uint8))


@pytest.fixture(scope="module")
def pairs(pool: LoadedImages) -> Pairs:
    return draw_pairs(pool, count=100, seed=7)


def test_pairs_hold_the_images_at_their_indices(pairs: Pairs, pool: LoadedImages) -> None:
    assert len(pairs) == 100
    assert len(np.unique(pairs.indices)) == 200
    assert np.array_equal(pairs.digits, pool.labels[pairs.indices])
    blocks = pool.pixels[pairs.indices].reshape(100, 2, 14, 2, 14, 2)
    assert np.array_equal(pairs.pixels, blocks.sum((3, 5)))
    assert np.array_equal(pairs.targets, pairs.digits[:, 0] <= pairs.digits[:, 1])
    assert pairs.targets.dtype == np.float32


def test_a_draw_is_a_function_of_its_seed(pairs: Pairs, pool: LoadedImages) -> None:
    assert np.array_equal(draw_pairs(pool, count=100, seed=7, threads=3).pixels, pairs.pixels)
    assert not np.array_equal(draw_pairs(pool, count=100, seed=8).indices, pairs.indices)


def test_the_size_of_chunks_does_not_change_the_result(
    pairs: Pairs, pool: LoadedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 7)
    again = draw_pairs(pool, count=100, seed=7)
    assert np.array_equal(again.pixels, pairs.pixels)
    assert np.array_equal(again.digits, pairs.digits)


def test_pooled_images_give_the_same_pairs(pool: LoadedImages) -> None:
    small = np.ascontiguousarray(pool.pixels[:, ::2, ::2])
    full = small.repeat(2, 1).repeat(2, 2)  # blocks of one value: pooling them loses nothing
    drawn = [draw_pairs(LoadedImages(pixels=pixels, labels=pool.labels), count=50, seed=3) for pixels in (small, full)]
    assert np.array_equal(drawn[0].pixels, drawn[1].pixels)


def test_each_image_can_be_used_once(pool: LoadedImages) -> None:
    assert len(np.unique(draw_pairs(pool, count=150, seed=0).indices)) == 300
    with pytest.raises(ArgumentError, match=r"expected `labels` of shape \[300\], one for each image, got \[299\]"):
        LoadedImages(pixels=pool.pixels, labels=pool.labels[:-1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 151}, "expected `pairs` in 1..150, got 151: each pair needs two of the 300 images"),
        ({"count": 0}, "expected `pairs` in 1..150, got 0"),
        ({"seed": -1}, r"expected `seed` in 0..2\*\*64-1, got -1"),
        ({"seed": 0.5}, "expected `seed` as an integer, got float"),
        ({"threads": 0}, "expected `threads` in 1..1024, got 0"),
    ],
)
def test_draws_have_bounds(pool: LoadedImages, options: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        draw_pairs(pool, **({"count": 1, "seed": 0} | options))


def test_numbers_beyond_a_pool_are_refused(pool: LoadedImages) -> None:
    for number in (-1, 300):
        with pytest.raises(ArgumentError, match=rf"expected `numbers` in 0..299 .*, got {number}..{number}"):
            pool.take(np.array([number]))


def test_reprs_are_one_short_line(pairs: Pairs, pool: LoadedImages) -> None:
    assert repr(pairs) == "<Pairs: 100 pairs of 14x14 images>"
    assert repr(pool) == "<LoadedImages: 300 of 28x28>"


def test_subset_keeps_rows_together(pairs: Pairs) -> None:
    rows = np.array([5, 99, 0])
    subset = pairs.subset(rows)
    assert len(subset) == 3
    for name in ("pixels", "digits", "indices", "targets"):
        assert np.array_equal(getattr(subset, name), getattr(pairs, name)[rows])


def test_pairs_of_other_shapes_are_refused(pairs: Pairs) -> None:
    with pytest.raises(ArgumentError, match=r"expected `digits` of shape \[100, 2\], got \[99, 2\]"):
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


@pytest.mark.parametrize(("count", "k"), [(20, 4), (21, 4), (5, 5)])
def test_folds_validate_each_row_once(count: int, k: int) -> None:
    found = folds(count, k, seed=3)
    assert len(found) == k
    assert sorted(np.concatenate([validation for _, validation in found])) == list(range(count))
    for train, validation in found:
        assert sorted([*train, *validation]) == list(range(count))
        assert abs(len(validation) - count / k) < 1
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(found, folds(count, k, seed=3), strict=True))


def test_folds_depend_on_their_seed() -> None:
    first, other = folds(100, 4, seed=0)[0][1], folds(100, 4, seed=1)[0][1]
    assert first.tolist() != list(range(25))
    assert first.tolist() != other.tolist()


@pytest.mark.parametrize(
    ("k", "seed", "message"),
    [
        (1, 0, "`folds` in 2..10, the number of pairs, got 1"),
        (11, 0, "`folds` in 2..10, the number of pairs, got 11"),
        (2, -1, r"`seed` in 0..2\*\*32-1, got -1"),
        (2, 2**32, r"`seed` in 0..2\*\*32-1, got 4294967296"),
    ],
)
def test_folds_have_bounds(k: int, seed: int, message: str) -> None:
    with pytest.raises(ArgumentError, match=f"expected {message}"):
        folds(10, k, seed=seed)


@pytest.mark.parametrize("shape", [(28, 28), (3, 28, 28), (5, 2, 28, 28), (0, 2, 28, 28), (2, 3, 2, 28, 28)])
def test_images_are_pooled_and_normalised_as_pairs_are(shape: tuple[int, ...]) -> None:
    images, found = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8), Moments(mean=33.3, std=77.7)
    blocks = images.reshape(*shape[:-2], 14, 2, 14, 2).sum((-3, -1), dtype=np.uint16)
    result = pool_and_normalise(images, found)
    assert result.dtype == np.float32
    assert result.shape == (*shape[:-2], 14, 14)
    assert result.tobytes() == module.normalise_pixels(blocks, found).tobytes()
    strided = np.repeat(images, 2, axis=-1)[..., ::2]
    assert pool_and_normalise(strided, found).tobytes() == result.tobytes()


def test_images_that_cannot_be_pooled_are_refused() -> None:
    found = Moments(mean=0.0, std=1.0)
    with pytest.raises(ArgumentError, match=r"expected `images` of shape \[...,28,28\], got \[2, 14, 14\]"):
        pool_and_normalise(np.zeros((2, 14, 14), np.uint8), found)
    with pytest.raises(ArgumentError, match="expected `images` as a contiguous uint8 array"):
        pool_and_normalise(np.zeros((2, 28, 28)), found)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="expected a finite and positive `std`"):
        pool_and_normalise(np.zeros((2, 28, 28), np.uint8), Moments(mean=0.0, std=0.0))
