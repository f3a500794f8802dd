"""The loader: each pair once, the same bytes for any number of threads, resumable, interruptible, ends its threads."""

import copy
import gc
import json
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple
from itertools import islice, pairwise
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pairnet import _core
from pairnet.data.loader import PairLoader
from pairnet.data.pairs import Batch, Moments, Pairs, normalise
from pairnet.errors import ArgumentError, ClosedError
from pairnet.models.recipes import Warp

DIGITS = np.zeros((4, 2), np.uint8)
IDENTITY = Moments(mean=0.0, std=0.25)  # normalised pixels are the pooled ones


def numbered(count: int) -> Pairs:
    """Distinguishable pairs: all pixels of pair k are k % 1021."""
    k = np.arange(count)
    return Pairs(
        pixels=np.broadcast_to((k % 1021).astype(np.uint16)[:, None, None, None], (count, 2, 14, 14)).copy(),
        digits=np.stack([k % 10, k // 10 % 10], 1).astype(np.uint8),
        indices=k.repeat(2).reshape(-1, 2),
    )


def noisy(count: int) -> Pairs:
    rng = np.random.default_rng(0)
    return Pairs(
        pixels=rng.integers(0, 1021, (count, 2, 14, 14), dtype=np.uint16),
        digits=rng.integers(0, 10, (count, 2), dtype=np.uint8),
        indices=rng.permutation(2 * count).reshape(-1, 2),
    )


def content(batch: Batch) -> bytes:
    return b"".join(np.asarray(part).tobytes() for part in batch)


def numbers(batch: Batch) -> list[int]:
    return np.asarray(batch.pair)[:, 0, 0, 0].astype(int).tolist()


def threads_now() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@given(
    count=st.integers(1, 60),
    batch=st.integers(1, 70),
    threads=st.integers(1, 4),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    seed=st.integers(0, 2**64 - 1),
)
@settings(deadline=None)
def test_an_epoch_has_each_pair_once(
    count: int, batch: int, threads: int, shuffle: bool, drop_last: bool, seed: int
) -> None:
    pairs = numbered(count)
    options = {"batch": batch, "seed": seed, "shuffle": shuffle, "drop_last": drop_last, "threads": threads}
    with PairLoader(pairs, IDENTITY, output="numpy", **options) as loader:
        batches = list(loader)
        again = list(loader)
    assert len(batches) == len(loader) == (count // batch if drop_last else -(-count // batch))
    assert all(len(b.pair) == batch for b in (batches if drop_last else batches[:-1]))
    order = [number for b in batches for number in numbers(b)]
    kept = count // batch * batch if drop_last else count
    assert len(set(order)) == len(order) == kept
    assert shuffle or order == list(range(kept))
    assert shuffle or order == [number for b in again for number in numbers(b)]
    for b in batches:
        rows = numbers(b)
        assert (b.pair == np.array(rows)[:, None, None, None]).all()
        assert np.array_equal(b.digits, pairs.digits[rows])
        assert np.array_equal(b.target, pairs.targets[rows])


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 2), st.data())
@settings(deadline=None)
def test_a_restored_loader_continues_with_the_next_batch(
    count: int, batch: int, epoch: int, data: st.DataObject
) -> None:
    pairs = numbered(count)
    with PairLoader(pairs, IDENTITY, batch=batch, seed=1, threads=2, output="numpy") as loader:
        for _ in range(epoch):
            list(loader)
        taken = data.draw(st.integers(0, len(loader)))
        iterator = iter(loader)
        before = [content(b) for b in islice(iterator, taken)]
        state = json.loads(json.dumps(loader.state_dict()))
        after = [content(b) for b in iterator] + [content(b) for b in loader]
        with PairLoader(pairs, IDENTITY, batch=batch, seed=1, threads=1, output="numpy") as other:
            other.load_state_dict(state)
            assert other.epoch == epoch
            assert [content(b) for b in other] + [content(b) for b in other] == after
        whole = PairLoader(pairs, IDENTITY, batch=batch, seed=1, threads=1, output="numpy")
        whole.load_state_dict(state | {"handed_out": 0})
        assert [content(b) for b in whole] == before + after[: len(loader) - taken]


@pytest.mark.parametrize("warp", [None, Warp(), Warp(elastic=0.8)])
def test_threads_change_no_byte(warp: Warp | None) -> None:
    pairs, found = noisy(203), []
    for threads in (1, 2, 7):
        with PairLoader(pairs, IDENTITY, batch=10, threads=threads, warp=warp, output="numpy") as loader:
            found.append([content(b) for _ in range(3) for b in loader])
    assert found[0] == found[1] == found[2]
    assert len(set(found[0])) == len(found[0])


def test_batches_equal_normalise() -> None:
    pairs, moments = noisy(30), Moments(mean=127.0, std=70.0)
    with PairLoader(pairs, moments, batch=30, shuffle=False, output="numpy") as loader:
        (batch,) = loader
    for part, expected in zip(batch, normalise(pairs, moments), strict=True):
        assert part.dtype == expected.dtype
        assert np.array_equal(part, expected)


@pytest.mark.parametrize("elastic", [0.0, 0.8])
def test_warped_batches_hold_each_image_warped_by_its_own_parameters(elastic: float) -> None:
    pairs, moments, warp = noisy(20), Moments(mean=127.0, std=70.0), Warp(elastic=elastic)
    with PairLoader(pairs, moments, batch=20, seed=9, shuffle=False, warp=warp, output="numpy") as loader:
        epochs = [next(iter(loader)) for _ in range(2)]
    for epoch, batch in enumerate(epochs):
        parameters = _core.warps(np.arange(20), astuple(warp), seed=9, epoch=epoch).reshape(40, 38)
        grey = _core.warp(pairs.pixels.reshape(40, 14, 14), parameters)
        np.testing.assert_allclose(batch.pair.reshape(40, 14, 14), (grey - 127) / 70, atol=1e-5)
        assert np.array_equal(batch.target, pairs.targets)
    assert not np.array_equal(epochs[0].pair, epochs[1].pair)


def test_torch_batches_are_tensors_that_share_the_memory_of_the_batch() -> None:
    pairs = noisy(50)
    with PairLoader(pairs, IDENTITY, batch=20) as loader, PairLoader(pairs, IDENTITY, batch=20, output="numpy") as twin:
        for batch, arrays in zip(loader, twin, strict=True):
            assert (batch.pair.dtype, batch.target.dtype, batch.digits.dtype) == (
                torch.float32,
                torch.float32,
                torch.int64,
            )
            assert batch.pair.shape == (len(batch.target), 2, 14, 14)
            assert batch.pair.data_ptr() % 64 == 0
            assert content(batch) == content(arrays)
            block = [part.untyped_storage().data_ptr() for part in batch]
            assert all(0 < b - a <= 20 * 392 * 4 + 64 for a, b in pairwise(block))


def test_each_epoch_has_another_order() -> None:
    with PairLoader(numbered(100), IDENTITY, batch=100, output="numpy") as loader:
        orders = [numbers(next(iter(loader))) for _ in range(5)]
        assert loader.epoch == 4
    assert len({tuple(order) for order in orders}) == 5


def test_an_abandoned_epoch_counts_as_finished() -> None:
    with PairLoader(numbered(100), IDENTITY, batch=10, output="numpy") as loader:
        for _ in loader:
            break
        assert (loader.epoch, loader.state_dict()["handed_out"]) == (0, 1)
        assert len(list(loader)) == 10
        assert loader.epoch == 2


def test_one_iteration_at_a_time() -> None:
    with PairLoader(numbered(100), IDENTITY, batch=10, output="numpy") as loader:
        old = iter(loader)
        next(old)
        assert len(list(loader)) == 10
        with pytest.raises(ClosedError, match="one iteration of this loader at a time, got a newer one"):
            next(old)
        assert loader.state_dict()["handed_out"] == 0


@pytest.mark.parametrize("before", [0, 1, 2])
def test_an_iteration_ends_where_a_state_is_loaded(before: int) -> None:
    with PairLoader(numbered(100), IDENTITY, batch=10, output="numpy") as loader:
        for _ in range(before):
            list(loader)
        old = iter(loader)
        next(old)
        state = loader.state_dict()
        loader.load_state_dict(state)
        with pytest.raises(ClosedError, match="one iteration of this loader at a time, got a newer one"):
            next(old)
        assert loader.state_dict() == state
        assert len(list(loader)) == 9


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_batches_are_copied_to_a_gpu_one_ahead(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Without a GPU: torch's calls are replaced, and their order says what overlaps."""
    events: list[str] = []

    def copied(part: torch.Tensor, device: torch.device, *, non_blocking: bool) -> torch.Tensor:
        assert (device.type, non_blocking, current) == ("cuda", True, ["copying"])
        return part.clone()

    @contextmanager
    def entered(stream: Mock) -> Iterator[None]:
        current.append(stream.name)
        yield
        current.pop()

    current: list[str] = []
    copying, working = Mock(), Mock()
    copying.name, working.name = "copying", "working"
    copying.record_event.side_effect = lambda: events.append("begin") or f"copy {events.count('begin')}"
    working.wait_event.side_effect = lambda event: events.append(f"wait for {event}")
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: copying)
    monkeypatch.setattr(torch.cuda, "stream", entered)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: working)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda part: part)
    monkeypatch.setattr(torch.Tensor, "to", copied)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda part, stream: events.append(f"used by {stream.name}"))

    pairs = noisy(max(10 * count, 1))
    options = {"batch": 10, "drop_last": count == 0, "threads": 1}
    with PairLoader(pairs, IDENTITY, device="cuda", **options) as loader, PairLoader(pairs, IDENTITY, **options) as own:
        assert [content(batch) for batch in loader] == [content(batch) for batch in own]
        assert loader.state_dict() == own.state_dict()
    expected = ["begin"] * (count > 0)
    for k in range(1, count + 1):
        expected += ["begin"] * (k < count) + [f"wait for copy {k}"] + ["used by working"] * 3
    assert events == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 5}, "expected a `state` with batch=5, got 10"),
        ({"seed": 1}, "expected a `state` with seed=1, got 0"),
        ({"shuffle": False}, "expected a `state` with shuffle=False, got True"),
        ({"warp": Warp()}, "expected a `state` with warp=.*, got None"),
    ],
)
def test_the_state_of_another_loader_is_refused(change: dict[str, object], message: str) -> None:
    pairs = numbered(100)
    state = PairLoader(pairs, IDENTITY, batch=10).state_dict()
    with pytest.raises(ArgumentError, match=message):
        PairLoader(pairs, IDENTITY, **({"batch": 10} | change)).load_state_dict(state)
    with pytest.raises(ArgumentError, match="expected a `state` with pairs=50, got 100"):
        PairLoader(pairs.subset(np.arange(50)), IDENTITY, batch=10).load_state_dict(state)
    with pytest.raises(ArgumentError, match="expected a `state` with draw="):
        PairLoader(pairs.subset(np.arange(100)[::-1].copy()), IDENTITY, batch=10).load_state_dict(state)
    bounds = {"handed_out": "0..10", "epoch": "0..268435455"}
    for name, value in (("handed_out", 11), ("handed_out", 1.0), ("epoch", -1)):
        with pytest.raises(ArgumentError, match=f"expected a `state` with {name} in {bounds[name]}, got {value}"):
            PairLoader(pairs, IDENTITY, batch=10).load_state_dict(state | {name: value})
    del state["epoch"]
    with pytest.raises(ArgumentError, match=r"expected a `state` with epoch in .*, got None"):
        PairLoader(pairs, IDENTITY, batch=10).load_state_dict(state)


def test_output_and_device_are_checked() -> None:
    with pytest.raises(ArgumentError, match='expected `output` as "torch" or "numpy", got "jax"'):
        PairLoader(numbered(4), IDENTITY, output="jax")
    with pytest.raises(ArgumentError, match='expected no `device` with output="numpy", got "cuda"'):
        PairLoader(numbered(4), IDENTITY, output="numpy", device="cuda")


def test_batches_outlive_their_loader_and_are_not_overwritten() -> None:
    loader = PairLoader(numbered(100), IDENTITY, batch=10, threads=2, output="numpy")
    batches = list(loader)
    held = [content(b) for b in batches]
    last = batches[-1].digits  # one part keeps the whole block
    for _ in range(5):
        list(loader)
    loader.close()
    del loader
    gc.collect()
    assert [content(b) for b in batches] == held
    expected = last.copy()
    del batches
    gc.collect()
    assert np.array_equal(last, expected)


@linux
@pytest.mark.parametrize("taken", [0, 3])
def test_deleting_a_loader_joins_its_threads(taken: int) -> None:
    before = threads_now()
    loader = PairLoader(noisy(500), IDENTITY, batch=10, threads=5, warp=Warp(), output="numpy")
    batches = list(islice(loader, taken))
    assert threads_now() == before + 4  # and the one that iterates
    del loader
    gc.collect()
    until = time.monotonic() + 5
    while threads_now() > before and time.monotonic() < until:
        time.sleep(0.001)  # a joined thread may stay in the list for a moment
    assert threads_now() == before
    assert len(batches) == taken


def test_iterating_a_closed_loader_raises() -> None:
    loader = PairLoader(numbered(10), IDENTITY, batch=5, output="numpy")
    iterator = iter(loader)
    next(iterator)
    loader.close()
    for each in (iterator, iter(loader)):
        with pytest.raises(ClosedError, match="the loader is closed"):
            next(each)


def run(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@linux
def test_ctrl_c_ends_an_endless_loop() -> None:
    program = """
import os, signal, threading
import numpy as np
from pairnet.data.loader import PairLoader
from pairnet.data.pairs import Moments, Pairs
pairs = Pairs(pixels=np.zeros((100, 2, 14, 14), np.uint16), digits=np.zeros((100, 2), np.uint8),
              indices=np.zeros((100, 2), np.int64))
loader = PairLoader(pairs, Moments(mean=0.0, std=1.0), output="numpy")
threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    while True:
        for batch in loader:
            pass
except KeyboardInterrupt:
    print("interrupted")
"""
    assert run(program) == "interrupted\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, "expected `batch` of at least 1, got 0"),
        ({"batch": "5"}, "expected `batch` as an integer, got str"),
        ({"threads": 10**6}, "expected `threads` in 1..1024, got 1000000"),
        ({"moments": Moments(mean=0.0, std=0.0)}, "expected a finite and positive `std`, got 0"),
        ({"moments": Moments(mean="0", std=1.0)}, "incompatible constructor arguments"),
        (
            {"pairs": Pairs(pixels=np.zeros((4, 2, 14, 14)), digits=DIGITS, indices=DIGITS)},
            "expected `pixels` as .*uint16",
        ),
    ],
)
def test_arguments_out_of_bounds_are_refused_in_one_line(change: dict[str, object], message: str) -> None:
    options = {"pairs": numbered(4), "moments": IDENTITY} | change
    with pytest.raises(ArgumentError, match=message) as error:
        PairLoader(**options)
    assert "\n" not in str(error.value)


def test_no_epoch_follows_the_last() -> None:
    with PairLoader(numbered(4), IDENTITY, output="numpy") as loader:
        loader.load_state_dict(loader.state_dict() | {"epoch": 2**28 - 1})
        assert len(list(loader)) == 1
        with pytest.raises(ArgumentError, match=r"expected `epoch` in 0..268435455, got 268435456"):
            list(loader)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_loader_cannot_be_copied_or_pickled(duplicate: Callable[[object], object]) -> None:
    with (
        PairLoader(numbered(4), IDENTITY) as loader,
        pytest.raises(TypeError, match="create another one with"),
    ):
        duplicate(loader)


PROGRAM = """
import os, sys, threading, time
import numpy as np
from pairnet.data.loader import PairLoader
from pairnet.data.pairs import Moments, Pairs
from pairnet.errors import ClosedError
from pairnet.models.recipes import Warp
pairs = Pairs(pixels=np.zeros((400, 2, 14, 14), np.uint16), digits=np.zeros((400, 2), np.uint8),
              indices=np.zeros((400, 2), np.int64))
def loader(threads):
    return PairLoader(pairs, Moments(mean=0.0, std=1.0), batch=5, threads=threads, warp=Warp(elastic=1.0),
                      output="numpy")
"""
FORK = """
live, idle = loader(4), loader(1)
iterator = iter(live)
batch = next(iterator)
for _ in range(8):
    child = os.fork()
    if child == 0:
        refused = 0
        for use in (lambda: next(iterator), lambda: list(live), lambda: list(idle)):
            try:
                use()
            except ClosedError as error:
                refused += "in a fork of it: create a loader there" in str(error)
        live.close()
        del batch, iterator, live, idle
        with loader(3) as own:
            refused += len(list(own)) == 80
        sys.exit(refused)  # with the finalisation of the interpreter
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    next(iterator)
"""


@linux
def test_a_forked_process_can_neither_use_nor_block_on_a_loader_of_its_parent() -> None:
    assert run(PROGRAM + FORK) == "4\n" * 8


DAEMON = """
live = loader(int(sys.argv[1]))
begun = threading.Event()
def forever():
    while True:
        for batch in live:
            begun.set()
threading.Thread(target=forever, daemon=True).start()
begun.wait()
time.sleep(float(sys.argv[2]))
print("end")
"""


@pytest.mark.parametrize("threads", [1, 3])
def test_an_interpreter_exits_while_a_daemon_thread_iterates(threads: int) -> None:
    for attempt in range(8):
        assert run(PROGRAM + DAEMON, str(threads), str(attempt / 1000)) == "end\n"
