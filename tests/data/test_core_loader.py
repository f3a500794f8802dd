"""The C++ loader by itself: instruction sets, waiting, errors, misuse, and the end of the process."""

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from pairnet import _core

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 1021, (31, 2, 14, 14), dtype=np.uint16)
DIGITS = RNG.integers(0, 10, (31, 2), dtype=np.uint8)


def small(**changes: object) -> _core.Loader:
    options = {"mean": 0.0, "std": 1.0, "batch": 10, "seed": 0} | changes
    return _core.Loader(PIXELS, DIGITS, **options)


@pytest.mark.parametrize("warp", [None, (12.0, 0.12, 0.1, 1.0, 0.0), (12.0, 0.12, 0.1, 1.0, 1.0)])
@pytest.mark.parametrize("simd", _core.simd_levels())
def test_instruction_sets_change_no_bit(simd: str, warp: tuple[float, ...] | None) -> None:
    found = []
    for level in (simd, "baseline"):
        core = small(mean=33.0, std=77.0, batch=31, seed=2, warp=warp, simd=level)
        core.start(3)
        found.append(b"".join(part.tobytes() for part in core.next() or ()))
    assert found[0] == found[1]


def test_arrays_are_read_in_place_and_kept_alive_by_the_loader() -> None:
    pixels, digits = PIXELS.copy(), DIGITS.copy()
    unused = [sys.getrefcount(array) for array in (pixels, digits)]
    core = _core.Loader(pixels, digits, mean=0.0, std=0.25, batch=31, seed=0)
    assert [sys.getrefcount(array) for array in (pixels, digits)] == [count + 1 for count in unused]
    pixels[:] = 7
    core.start(0)
    pair = (core.next() or ())[0]
    assert (pair == 7).all()
    del core
    assert [sys.getrefcount(array) for array in (pixels, digits)] == unused


def test_a_closed_loader_raises() -> None:
    closed = small()
    closed.close()
    closed.close()
    for call in (lambda: closed.start(0), closed.next):
        with pytest.raises(RuntimeError, match="the loader is closed"):
            call()


def test_a_loader_that_was_not_started_has_no_batches() -> None:
    assert small().next() is None


@pytest.mark.parametrize("call", [len, _core.Loader.next, _core.Loader.close, lambda core: _core.Loader.start(core, 0)])
@pytest.mark.parametrize("kind", ["empty", "None", "int"])
def test_an_object_without_a_loader_is_refused(call: Callable[[object], object], kind: str) -> None:
    core = {"empty": _core.Loader.__new__(_core.Loader), "None": None, "int": 5}[kind]
    with pytest.raises(
        TypeError, match=r"expected a Loader that was created|has no len|incompatible function arguments"
    ):
        call(core)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_loader_cannot_be_copied_or_pickled(duplicate: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="cannot pickle"):
        duplicate(small())


def run(program: str) -> str:
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


BIG = """
import numpy as np
from pairnet import _core
def big(count, **options):
    return _core.Loader(np.zeros((count, 2, 14, 14), np.uint16), np.zeros((count, 2), np.uint8), mean=0.0, std=1.0,
                        batch=count, seed=0, simd="baseline", **options)
"""


def test_ctrl_c_ends_the_wait_without_losing_a_batch() -> None:
    program = """
import signal
loader = big(100_000, warp=(12.0, 0.1, 0.1, 1.0, 1.0))
loader.start(0)
signal.signal(signal.SIGALRM, signal.default_int_handler)
signal.setitimer(signal.ITIMER_REAL, 0.01)
try:
    loader.next()
except KeyboardInterrupt:
    print("interrupted", loader.next() is not None, loader.next() is None)
"""
    assert run(BIG + program) == "interrupted True True\n"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_error_in_a_worker_is_raised_in_python() -> None:
    program = """
import resource
loader = big(100_000)
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 50_000_000,) * 2)
for _ in range(2):  # the block of a batch is 160 MB
    loader.start(0)
    try:
        loader.next()
    except MemoryError:
        print("no memory")
"""
    assert run(BIG + program) == "no memory\n" * 2
