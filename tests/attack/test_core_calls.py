"""Random calls of the C++ core: each returns or raises one of the documented exceptions, and never crashes.

PAIRNET_ATTACK=long makes 46,500 calls in place of 3,000.
"""

import os
import random
from collections.abc import Callable

import numpy as np
import pytest

from pairnet import _core

CALLS = 4_650 if os.environ.get("PAIRNET_ATTACK") == "long" else 300  # for each of 10 seeds
DOCUMENTED = (ValueError, TypeError, RuntimeError, MemoryError, OverflowError)
INTEGERS = (
    *(-1, 0, 1, 2, 3, 7, 13, 28, 1024, 1025, 65536, 65537, 2**28),
    *(2**31, 2**32, 2**62, 2**63, 2**64, -(2**63), 1 << 5000),
)
REALS = (0.0, 1.0, -1.0, 77.5, 1e-300, 1e300, float("inf"), float("nan"))
OTHERS = (None, "x", 2.5, [], {}, b"", object(), True)
DTYPES = (np.uint8, np.uint16, np.int64, np.float32, np.float64, np.int8, bool, ">u2", "U3", object)
SHAPES = (
    *((), (0,), (5,), (5, 2), (0, 2), (5, 14, 14), (5, 28, 28), (0, 28, 28), (5, 38)),
    *((5, 2, 14, 14), (0, 2, 14, 14), (2, 2, 2, 2, 2)),
)


def array(rng: random.Random, expected: type | None = None, *shapes: tuple[int, ...]) -> object:
    """An array of any type, shape and layout, or something else; usually of the expected type and one of the shapes."""
    if rng.random() < 0.05:
        return rng.choice(OTHERS)
    shape = rng.choice(shapes if shapes and rng.random() < 0.8 else SHAPES)
    dtype = np.dtype(expected if expected and rng.random() < 0.8 else rng.choice(DTYPES))
    size = int(np.prod(shape))
    if dtype.kind in "OU":
        return np.zeros(shape, dtype)
    values = np.random.default_rng(rng.getrandbits(32)).integers(0, rng.choice((2, 5, 127)), size).astype(dtype)
    result = values.reshape(shape)
    layout = rng.random()
    if layout < 0.05 and result.ndim:
        return np.repeat(result, 2, axis=0)[::2]
    if layout < 0.1:
        return np.asfortranarray(result)
    if layout < 0.15 and size:
        memory = np.zeros(result.nbytes + 1, np.uint8)
        misaligned = memory[1:].view(dtype).reshape(shape)
        misaligned[...] = result
        return misaligned
    if layout < 0.2 and dtype == np.int64:
        return result - 3
    return result


def integer(rng: random.Random) -> object:
    return rng.choice(OTHERS) if rng.random() < 0.1 else rng.choice(INTEGERS)


def small(rng: random.Random) -> object:
    """Numbers that are valid for most arguments: calls get beyond their checks."""
    return rng.randrange(1, 9) if rng.random() < 0.7 else integer(rng)


def real(rng: random.Random) -> object:
    return rng.choice(OTHERS) if rng.random() < 0.05 else rng.choice(REALS)


def warp(rng: random.Random) -> object:
    if rng.random() < 0.1:
        return rng.choice(OTHERS)
    return tuple(rng.choice((0.0, 0.1, 0.5, *REALS)) for _ in range(5 if rng.random() < 0.9 else rng.randrange(8)))


def simd(rng: random.Random) -> object:
    return rng.choice(("auto", "auto", "baseline", "avx2", "avx512", "", "mmx", None, 5))


def pixels(rng: random.Random) -> object:
    if rng.random() < 0.3:
        return array(rng)
    return np.random.default_rng(0).integers(0, 1021, (rng.choice((0, 1, 5, 40)), 2, 14, 14), dtype=np.uint16)


def loader(rng: random.Random) -> None:
    """A loader with random options, used in a random order."""
    if rng.random() < 0.05:
        core = _core.Loader.__new__(_core.Loader)
    else:
        given = pixels(rng)
        digits = np.zeros((len(given), 2), np.uint8) if isinstance(given, np.ndarray) and given.ndim else array(rng)
        core = _core.Loader(
            given,  # type: ignore[arg-type]
            digits if rng.random() < 0.9 else array(rng),  # type: ignore[arg-type]
            mean=rng.choice((0.0, 33.0, real(rng))),
            std=rng.choice((1.0, 77.0, real(rng))),
            batch=small(rng),
            seed=small(rng),
            shuffle=rng.choice((True, False)),
            drop_last=rng.choice((True, False)),
            threads=rng.choice((1, 2, 3, rng.choice((0, -1, 1025, 10**6, 2**63)))),
            prefetch=small(rng),
            warp=rng.choice((None, None, (12.0, 0.1, 0.1, 1.0, 1.0), warp(rng))),
            simd=simd(rng),
        )
    for _ in range(rng.randrange(12)):
        step = rng.choice(
            (lambda: core.start(small(rng), rng.choice((0, 1, integer(rng)))), core.next, core.next, core.close)
        )
        step = step if rng.random() < 0.9 else lambda: len(core)
        try:
            step()
        except DOCUMENTED:
            continue


CALLABLES: tuple[Callable[[random.Random], object], ...] = (
    lambda rng: _core.draw(small(rng), small(rng), integer(rng)),
    lambda rng: _core.draw(rng.randrange(100), rng.randrange(60), rng.getrandbits(64)),
    lambda rng: _core.pool(array(rng, np.uint8, (5, 28, 28)), small(rng)),
    lambda rng: _core.pool_pairs(
        array(rng, np.uint8, (5, 28, 28), (5, 14, 14)), array(rng, np.int64, (5, 2)), small(rng)
    ),
    lambda rng: _core.targets(array(rng, np.uint8, (5, 2))),
    lambda rng: _core.moments(array(rng, np.uint16), small(rng)),
    lambda rng: _core.normalise(array(rng, np.uint16), real(rng), real(rng), small(rng), simd(rng)),
    lambda rng: _core.glyphs(array(rng, np.int64, (5,)), small(rng), small(rng)),
    lambda rng: _core.warps(array(rng, np.int64, (5,)), warp(rng), small(rng), small(rng)),
    lambda rng: _core.warp(array(rng, np.uint16, (5, 14, 14)), array(rng, np.float32, (5, 38)), simd(rng)),
    loader,
    loader,
)


@pytest.mark.parametrize("seed", range(10))
def test_random_calls_return_or_raise_documented_exceptions(seed: int) -> None:
    rng = random.Random(seed)
    finished = 0
    for _ in range(CALLS):
        call = rng.choice(CALLABLES)
        try:
            call(rng)
            finished += 1
        except DOCUMENTED:
            continue
    assert finished > CALLS // 10  # enough calls pass their checks
