"""The C++ core against independent references in NumPy, torch and plain Python."""

import ast
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pairnet
from pairnet import _core

RANGE = (12.0, 0.12, 0.1, 1.0, 0.0)


def random_pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1021, shape, dtype=np.uint16)


def philox_words(seed: int, purpose: int, epoch: int = 0, index: int = 0) -> Iterator[int]:
    """Philox4x32-10 in Python integers: the words that the core uses for (seed, purpose, epoch, index)."""
    for block in range(2**32):
        a, b, c, d = block, index % 2**32, index >> 32, purpose << 28 | epoch
        k, m = seed % 2**32, seed >> 32
        for _ in range(10):
            (high, low), (high2, low2) = divmod(0xD2511F53 * a, 2**32), divmod(0xCD9E8D57 * c, 2**32)
            a, b, c, d = high2 ^ b ^ k, low2, high ^ d ^ m, low
            k, m = (k + 0x9E3779B9) % 2**32, (m + 0xBB67AE85) % 2**32
        yield from (a, b, c, d)


def reference_draw(size: int, pairs: int, seed: int) -> list[list[int]]:
    """Fisher-Yates from the front over the whole pool, with unbiased bounded numbers."""
    words, pool = philox_words(seed, purpose=1), list(range(size))
    for place in range(2 * pairs):
        bound = size - place
        word = next(w for w in words if w * bound % 2**32 >= 2**32 % bound)
        other = place + word * bound // 2**32
        pool[place], pool[other] = pool[other], pool[place]
    return [pool[k : k + 2] for k in range(0, 2 * pairs, 2)]


def reference_warp(image: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    """Bilinear warp of one [14,14] image in double precision, zeros around it."""
    degrees, across, along, shear, dx, dy, *knots = parameters.astype(np.float64)
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    forward = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, shear], [0, 1]]) @ np.diag([across, along])
    grid = np.stack(np.meshgrid(np.arange(14), np.arange(14)), -1) - 6.5 - np.array([dx, dy])  # [y,x,(x,y)]
    knots = torch.tensor(knots).reshape(1, 2, 4, 4)
    displacement = torch.nn.functional.interpolate(knots, size=14, mode="bicubic", align_corners=True)[0].numpy()
    x, y = np.moveaxis(grid @ np.linalg.inv(forward).T + 6.5, -1, 0) + displacement
    x, y = np.clip(x, -2, 15), np.clip(y, -2, 15)  # zero outside the image
    padded = np.pad(image / 4.0, 3)
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    right, down = x - column, y - row
    corner = {(j, i): padded[row + 3 + j, column + 3 + i] for j in (0, 1) for i in (0, 1)}
    upper = corner[0, 0] * (1 - right) + corner[0, 1] * right
    lower = corner[1, 0] * (1 - right) + corner[1, 1] * right
    return upper * (1 - down) + lower * down


@given(st.integers(2, 60), st.integers(0, 2**64 - 1), st.data())
@settings(deadline=None)
def test_draw_is_fisher_yates_over_philox(size: int, seed: int, data: st.DataObject) -> None:
    pairs = data.draw(st.integers(0, size // 2))
    drawn = _core.draw(size, pairs, seed)
    assert drawn.shape == (pairs, 2)
    assert drawn.dtype == np.int64
    assert drawn.tolist() == reference_draw(size, pairs, seed)


def test_draw_from_a_pool_too_large_to_hold() -> None:
    drawn = _core.draw(4_000_000_000, 1000, 1)
    assert len(np.unique(drawn)) == 2000
    assert drawn.max() > 3_900_000_000


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_pooling_is_torch_average_pooling_times_four(threads: int) -> None:
    images = np.random.default_rng(1).integers(0, 256, (20, 28, 28), dtype=np.uint8)
    indices = _core.draw(20, 9, 2)
    pooled = _core.pool_pairs(images, indices, threads)
    chosen = torch.from_numpy(images[indices].astype(np.float32))  # [9,2,28,28]
    assert np.array_equal(pooled / np.float32(4), torch.nn.functional.avg_pool2d(chosen, 2).numpy())


def test_pool_equals_pool_pairs() -> None:
    images = np.random.default_rng(1).integers(0, 256, (7, 28, 28), dtype=np.uint8)
    expected = _core.pool_pairs(images, np.arange(7).repeat(2).reshape(7, 2))[:, 0]
    for threads in (1, 3):
        assert np.array_equal(_core.pool(images, threads), expected)
    assert _core.pool(images[:0]).shape == (0, 14, 14)


def test_targets() -> None:
    digits = np.stack(np.divmod(np.arange(100), 10), 1).astype(np.uint8)
    expected = [float(first <= second) for first, second in digits.tolist()]
    assert _core.targets(digits).tolist() == expected
    assert sum(expected) == 55


@given(st.integers(2, 5000), st.integers(0, 1000))
@settings(deadline=None)
def test_moments_match_torch_for_any_number_of_threads(count: int, seed: int) -> None:
    pixels = random_pixels(count, seed=seed)
    mean, std = _core.moments(pixels)
    grey = torch.from_numpy(pixels / 4.0)
    assert mean == pytest.approx(grey.mean().item(), rel=1e-12)
    assert std == pytest.approx(grey.std().item(), rel=1e-12, abs=1e-12)
    assert all(_core.moments(pixels, threads) == (mean, std) for threads in (2, 7))


def test_moments_of_very_many_bright_pixels_do_not_overflow() -> None:
    pixels = np.full(10_000_000, 65535, np.uint16)
    pixels[::2] = 65531
    assert _core.moments(pixels, 2) == pytest.approx((65533 / 4, 0.5 * (1 + 0.5e-7)), rel=1e-12)


@pytest.mark.parametrize("simd", ["auto", *_core.simd_levels()])
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_normalise(simd: str, threads: int) -> None:
    pixels = random_pixels(13, 2, 14, 14)
    result = _core.normalise(pixels, 33.3, 71.9, threads, simd)
    np.testing.assert_allclose(result, (pixels / 4.0 - 33.3) / 71.9, rtol=1e-6, atol=1e-7)
    assert result.tobytes() == _core.normalise(pixels, 33.3, 71.9, simd="baseline").tobytes()


def test_glyphs_depend_only_on_seed_and_index() -> None:
    images, labels = _core.glyphs(np.arange(100), 5, 1)
    for threads in (2, 7):
        again, labels_again = _core.glyphs(np.arange(100), 5, threads)
        assert np.array_equal(images, again)
        assert np.array_equal(labels, labels_again)
    some = np.array([70, 3, 3], np.int64)
    assert np.array_equal(_core.glyphs(some, 5)[0], images[some])
    assert not np.array_equal(_core.glyphs(some, 6)[0], images[some])


def test_glyphs_look_like_their_digits() -> None:
    """A least-squares fit of ten digits over pooled pixels generalises to unseen glyphs."""
    images, labels = _core.glyphs(np.arange(6000), 0, 2)
    pooled = _core.pool_pairs(images, np.arange(6000).reshape(-1, 2)).reshape(6000, 196) / 1020
    inputs = np.column_stack([pooled, np.ones(6000)])
    weights = np.linalg.lstsq(inputs[:4000], np.eye(10)[labels[:4000]], rcond=None)[0]
    assert np.mean((inputs[4000:] @ weights).argmax(1) == labels[4000:]) > 0.85


@pytest.mark.parametrize(
    "range_",
    [RANGE, (180.0, 0.9, 1.0, 9.0, 0.0), (0.0,) * 5, (0.0, 0.0, 0.0, 0.0, 1.0), (12.0, 0.12, 0.1, 1.0, 0.7)],
)
def test_warps_match_a_double_precision_reference(range_: tuple[float, ...]) -> None:
    images = random_pixels(60, 14, 14)
    parameters = _core.warps(np.arange(30), range_, seed=3, epoch=4).reshape(60, 38)
    expected = np.stack([reference_warp(*each) for each in zip(images, parameters, strict=True)])
    result = _core.warp(images, parameters)
    np.testing.assert_allclose(result, expected, atol=5e-3)
    for simd in _core.simd_levels():
        assert _core.warp(images, parameters, simd).tobytes() == result.tobytes()


@given(
    seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 2**28 - 1), index=st.integers(0, 2**30), side=st.integers(0, 1)
)
def test_displacements_are_box_muller_over_philox(seed: int, epoch: int, index: int, side: int) -> None:
    warps = _core.warps(np.array([index]), (0.0, 0.0, 0.0, 0.0, 2.0), seed, epoch)  # [1,2,38]
    words = philox_words(seed, purpose=5, epoch=epoch, index=2 * index + side)
    lengths, directions = (np.array([next(words) for _ in range(16)]) for _ in range(2))
    length = 2 * np.sqrt(-2 * np.log(((lengths >> 8) + 1) / 2**24))
    angle = directions.astype(np.uint32).astype(np.int32) / 2**32 * np.pi / 2  # from the nearest axis
    along = np.where(directions & 1, -length, length) * [np.cos(angle), np.sin(angle)]  # [2,16]
    knots = warps[0, side, 6:].reshape(2, 16)
    np.testing.assert_allclose(knots, np.where(directions & 2, along[::-1], along), atol=1e-5)


def test_elastic_adds_to_the_same_affine_warps() -> None:
    plain = _core.warps(np.arange(20), RANGE, seed=1, epoch=3)
    elastic = _core.warps(np.arange(20), (*RANGE[:4], 1.0), seed=1, epoch=3)
    assert np.array_equal(plain[..., :6], elastic[..., :6])
    assert not plain[..., 6:].any()
    assert elastic[..., 6:].all()


def test_warps_fill_their_range_and_change_with_the_epoch() -> None:
    parameters = _core.warps(np.arange(2000), RANGE, seed=1, epoch=0)[..., :6]
    largest = np.abs(parameters - [0, 1, 1, 0, 0, 0]).max((0, 1))
    assert np.all(largest <= np.array([12, 0.12, 0.12, 0.1, 1, 1]) * (1 + 1e-6))
    assert np.all(largest > np.array([12, 0.12, 0.12, 0.1, 1, 1]) * 0.99)
    np.testing.assert_allclose(parameters.mean((0, 1)), [0, 1, 1, 0, 0, 0], atol=0.4)
    assert len(np.unique(parameters[..., 0])) > 3900
    assert abs(np.corrcoef(parameters[..., 1].ravel(), parameters[..., 2].ravel())[0, 1]) < 0.06  # axes are independent
    assert not np.any(parameters == _core.warps(np.arange(2000), RANGE, seed=1, epoch=1)[..., :6])


PIXELS = random_pixels(4, 2, 14, 14)
DIGITS = np.zeros((4, 2), np.uint8)
INDICES = np.zeros((1, 2), np.int64)


def misaligned(array: np.ndarray) -> np.ndarray:
    """The same values at an odd address."""
    memory = np.zeros(array.nbytes + 1, np.uint8)
    shifted = memory[1:].view(array.dtype) if memory.ctypes.data % 2 == 0 else memory[:-1].view(array.dtype)
    shifted = shifted.reshape(array.shape)
    shifted[:] = array
    assert not shifted.flags.aligned
    return shifted


def loader(pixels: np.ndarray = PIXELS, digits: np.ndarray = DIGITS, **changes: object) -> _core.Loader:
    options = {"mean": 0.0, "std": 1.0, "batch": 2, "seed": 0} | changes
    return _core.Loader(pixels, digits, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: _core.draw(9, 5, 0), "expected at most 4 `pairs` from 9 images, got 5"),
        (lambda: _core.draw(-1, 0, 0), r"expected `size` in 0..2\*\*64-1, got -1"),
        (lambda: _core.draw(2**32, 5, 0), "expected `size` in 0..4294967295, got 4294967296"),
        (lambda: _core.draw(10, 1, 2**64), r"expected `seed` in 0..2\*\*64-1, got 18446744073709551616"),
        (lambda: _core.pool_pairs(np.zeros((3, 28, 28), np.float32), INDICES), r"images.*uint8.*float32 \[3,28,28\]"),
        (lambda: _core.pool_pairs(np.zeros((3, 20, 20), np.uint8), INDICES), r"\[n,28,28\] or \[n,14,14\], got uint8"),
        (lambda: _core.pool_pairs(np.zeros((6, 28, 28), np.uint8)[::2], INDICES), "got strided uint8"),
        (
            lambda: _core.pool_pairs(np.zeros((3, 28, 28), np.uint8), INDICES + 3),
            "expected `indices` of 3 images, got 3",
        ),
        (lambda: _core.pool_pairs(np.zeros((3, 28, 28), np.uint8), INDICES[0]), r"indices.*\[n,2\], got int64 \[2\]"),
        (lambda: _core.targets(np.zeros((3, 2), np.int64)), "expected `digits` as a contiguous uint8 array"),
        (lambda: _core.moments(np.zeros(1, np.uint16)), "at least 2 pixels, got 1"),
        (lambda: _core.moments(np.zeros(4, np.uint16), 0), "expected `threads` in 1..1024, got 0"),
        (lambda: _core.normalise(PIXELS, 0.0, 0.0), "expected a finite and positive `std`, got 0"),
        (lambda: _core.normalise(PIXELS, float("nan"), 1.0), "expected a finite `mean`, got nan"),
        (lambda: _core.normalise(PIXELS, 0.0, 1.0, simd="mmx"), "expected `simd` as one of auto, .*baseline, got mmx"),
        (lambda: _core.glyphs(np.array([-1]), 0), "expected `indices` of at least 0, got -1"),
        (lambda: _core.warps(np.arange(2), (0.0, 1.0, 0.0, 0.0, 0.0), 0, 0), "expected `scale` below 1, got 1"),
        (
            lambda: _core.warps(np.arange(2), (0.0, 0.0, 0.0, 0.0, -1.0), 0, 0),
            "expected a finite `elastic` of at least 0",
        ),
        (lambda: _core.warps(np.arange(2), RANGE, 0, 2**28), "expected `epoch` in 0..268435455, got 268435456"),
        (
            lambda: _core.warp(PIXELS[0], np.zeros((2, 38), np.float32)),
            "expected finite `parameters` .* in row 0",
        ),
        (lambda: _core.warp(PIXELS[0], np.zeros((3, 38), np.float32)), r"float32 array \[2,38\], got float32 \[3,38\]"),
        (
            lambda: loader(digits=DIGITS[:3]),
            r"expected `digits` as a contiguous uint8 array \[4,2\], got uint8 \[3,2\]",
        ),
        (lambda: loader(batch=0), "expected `batch` of at least 1, got 0"),
        (lambda: loader(threads=0), "expected `threads` in 1..1024, got 0"),
        (lambda: loader(threads=10**6), "expected `threads` in 1..1024, got 1000000"),
        (lambda: _core.moments(np.zeros(4, np.uint16), 10**6), "expected `threads` in 1..1024, got 1000000"),
        (lambda: loader(prefetch=10**6), "expected `prefetch` in 1..65536, got 1000000"),
        (lambda: loader(prefetch=2**62), "expected `prefetch` in 1..65536, got 4611686018427387904"),
        (lambda: loader(seed=-1), "expected `seed` in"),
        (lambda: loader(seed=1 << 100_000), "expected `seed` in .*, got an integer of 100001 bits"),
        (lambda: loader(misaligned(PIXELS)), "got misaligned uint16"),
        (lambda: _core.moments(misaligned(PIXELS)), "got misaligned uint16"),
        (lambda: _core.normalise(misaligned(PIXELS), 0.0, 1.0), "got misaligned uint16"),
        (lambda: _core.pool(np.zeros((3, 14, 14), np.uint8)), r"array \[n,28,28\], got uint8 \[3,14,14\]"),
        (lambda: loader(std=-1.0), "expected a finite and positive `std`, got -1"),
        (lambda: loader(warp=(-1.0, 0.0, 0.0, 0.0, 0.0)), "expected a finite `rotation` of at least 0, got -1"),
        (lambda: loader().start(0, 3), "expected `first_batch` in 0..2, got 3"),
    ],
)
def test_invalid_arguments_are_refused_in_one_line(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        call()  # type: ignore[operator]
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [2.5, "5", None, [1]])
def test_arguments_that_are_no_integers_are_named(value: object) -> None:
    with pytest.raises(TypeError, match=r"expected `seed` as an integer, got (float|str|NoneType|list)$"):
        _core.draw(9, 2, value)  # type: ignore[arg-type]


def documented() -> dict[str, str]:
    """The docstring of each function in _core.pyi."""
    tree = ast.parse(Path(pairnet.__file__).with_name("_core.pyi").read_text())
    return {node.name: ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(
    ("name", "call", "shapes"),
    [
        ("draw", lambda: _core.draw(9, 3, 0), ["[pairs,2]"]),
        ("pool", lambda: _core.pool(np.zeros((3, 28, 28), np.uint8)), ["[N,14,14]"]),
        ("pool_pairs", lambda: _core.pool_pairs(np.zeros((3, 28, 28), np.uint8), INDICES), ["[n,2,14,14]"]),
        ("targets", lambda: _core.targets(DIGITS), ["[n]"]),
        ("glyphs", lambda: _core.glyphs(np.arange(3), 0), ["[n,28,28]", "[n]"]),
        ("warps", lambda: _core.warps(np.arange(3), RANGE, 0, 0), ["[n,2,38]"]),
        ("warp", lambda: _core.warp(PIXELS[0], _core.warps(np.arange(1), RANGE, 0, 0)[0]), ["[m,14,14]"]),
        ("next", lambda: started().next(), ["[B,2,14,14]", "[B]", "[B,2]"]),
    ],
)
def test_documented_shapes_are_the_real_ones(name: str, call: Callable[[], object], shapes: list[str]) -> None:
    results = call()
    arrays = results if isinstance(results, tuple) else (results,)
    text = documented()[name].partition("->")[2] or documented()[name]
    for array, shape in zip(arrays, shapes, strict=True):
        assert shape in text
        sizes = shape[1:-1].split(",")
        assert len(sizes) == array.ndim
        assert all(not size.isdecimal() or int(size) == real for size, real in zip(sizes, array.shape, strict=True))
    assert f"parameters [m,{_core.warps(np.arange(1), RANGE, 0, 0).shape[-1]}]" in documented()["warp"]


def started() -> _core.Loader:
    core = loader()
    core.start(0)
    return core


def another_thread_runs_during(call: Callable[[], object]) -> bool:
    """Whether a thread that waits for the GIL gets it during one call, where the interpreter itself cannot switch."""
    begin, ran = threading.Event(), list[bool]()
    thread = threading.Thread(target=lambda: ran.append(begin.wait()))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # seconds: no thread is made to give the GIL away
    try:
        thread.start()
        begin.set()
        call()
        return bool(ran)
    finally:
        sys.setswitchinterval(interval)
        thread.join()


@pytest.mark.parametrize(
    "call",
    [
        partial(_core.draw, 4_000_000, 500_000, 0),
        partial(_core.pool, np.zeros((20_000, 28, 28), np.uint8)),
        partial(_core.pool_pairs, np.zeros((1, 28, 28), np.uint8), np.zeros((20_000, 2), np.int64)),
        partial(_core.targets, np.zeros((5_000_000, 2), np.uint8)),
        partial(_core.moments, np.zeros(10_000_000, np.uint16)),
        partial(_core.normalise, np.zeros(5_000_000, np.uint16), 0.0, 1.0),
        partial(_core.glyphs, np.arange(500), 0),
        partial(_core.warps, np.arange(20_000), (0.0, 0.0, 0.0, 0.0, 1.0), 0, 0),
        partial(_core.warp, np.zeros((5_000, 14, 14), np.uint16), np.ones((5_000, 38), np.float32)),
    ],
    ids=lambda call: call.func.__name__,
)
def test_the_gil_is_released_during_work(call: Callable[[], object]) -> None:
    """Several attempts, since the operating system may run the other thread too late; with the GIL held, none works."""
    assert any(another_thread_runs_during(call) for _ in range(200))


def test_the_gil_test_detects_a_call_that_holds_it() -> None:
    numbers = list(range(100_000))
    assert not any(another_thread_runs_during(partial(sum, numbers)) for _ in range(20))
