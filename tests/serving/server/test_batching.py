"""The queue of a model: batches, bounds, requests that are not computed, failures that stay with their request."""

import asyncio
import threading
import time

import numpy as np
import pytest

from pairnet.errors import InputError, RequestError
from pairnet.serving.server.batching import EFFICIENT, INLINE, Batcher


class Model:
    """Doubles its input, remembers its batches, and fails for negative values."""

    def __init__(self):
        self.sizes, self.threads, self.free = [], set(), threading.Event()
        self.free.set()

    def __call__(self, pairs, with_threads):
        self.free.wait(10)
        self.sizes.append(len(pairs))
        self.threads.add(threading.current_thread().name)
        if (pairs < 0).any():
            raise InputError("expected no negative values")
        return {"probability": 2 * pairs}


@pytest.fixture
def model():
    return Model()


def run(check, model, **options):
    """Runs `check(batcher)` in an event loop."""

    async def inside():
        settings = {"max_batch": 8, "most_waiting": 100, "on_batch": lambda pairs, ns: None} | options
        batcher = Batcher(model, **settings)
        try:
            return await asyncio.wait_for(check(batcher), 20)
        finally:
            model.free.set()
            batcher.close()

    return asyncio.run(inside())


def pairs(*values):
    return np.array(values, np.float32)


def test_requests_of_one_moment_share_a_batch_and_get_their_own_rows(model):
    async def check(batcher):
        waiting = [batcher.submit(pairs(i, i + 0.5)) for i in range(5)]
        for i, answer in enumerate(await asyncio.gather(*waiting)):
            assert answer.outputs["probability"].tolist() == [2 * i, 2 * i + 1]

    run(check, model)
    assert model.sizes == [8, 2]


def test_a_request_larger_than_a_batch_is_answered_whole_and_by_itself(model):
    async def check(batcher):
        large = batcher.submit(np.arange(50, dtype=np.float32))
        small = batcher.submit(pairs(7))
        assert (await large).outputs["probability"].tolist() == list(range(0, 100, 2))
        assert (await small).outputs["probability"].tolist() == [14]

    run(check, model)
    assert model.sizes == [50, 1]


def test_small_batches_run_in_the_loop_and_large_ones_in_a_thread(model):
    async def check(batcher):
        await batcher.submit(np.zeros(INLINE, np.float32))
        assert model.threads == {threading.current_thread().name}
        await batcher.submit(np.zeros(INLINE + 1, np.float32))
        assert len(model.threads) == 2

    run(check, model)


def test_the_loop_goes_on_while_a_thread_computes(model):
    async def check(batcher):
        model.free.clear()
        large = batcher.submit(np.zeros(INLINE + 1, np.float32))
        await asyncio.sleep(0.05)
        later = [batcher.submit(pairs(i)) for i in range(3)]
        await asyncio.sleep(0.05)
        assert not large.done()
        assert batcher.waiting == 3
        model.free.set()
        await asyncio.gather(large, *later)
        assert batcher.waiting == 0

    run(check, model)
    assert model.sizes == [INLINE + 1, 3]


def test_half_of_many_waiting_requests_are_computed_while_the_others_are_read(model):
    async def check(batcher):
        model.free.clear()
        running = batcher.submit(np.zeros(INLINE + 1, np.float32))
        await asyncio.sleep(0.05)
        waiting = [batcher.submit(pairs(i)) for i in range(44)]
        model.free.set()
        await asyncio.gather(running, *waiting)

    run(check, model, max_batch=64)
    assert model.sizes == [INLINE + 1, 22, EFFICIENT, 6]


def test_a_failure_stays_with_its_request(model):
    async def check(batcher):
        waiting = [batcher.submit(pairs(value)) for value in (1, -1, 3)]
        first, bad, last = await asyncio.gather(*waiting, return_exceptions=True)
        assert first.outputs["probability"].tolist() == [2]
        assert last.outputs["probability"].tolist() == [6]
        assert isinstance(bad, InputError)

    run(check, model)


def test_a_full_queue_refuses_but_an_empty_one_takes_everything(model):
    async def check(batcher):
        model.free.clear()
        running = batcher.submit(np.zeros(500, np.float32))
        await asyncio.sleep(0.05)
        waiting = batcher.submit(np.zeros(500, np.float32))
        with pytest.raises(RequestError, match="500 pairs that wait") as caught:
            batcher.submit(pairs(1))
        assert caught.value.kind == "busy"
        model.free.set()
        await asyncio.gather(running, waiting)
        await batcher.submit(pairs(1))

    run(check, model)


def test_cancelled_expired_and_abandoned_requests_are_not_computed(model):
    async def check(batcher):
        model.free.clear()
        running = batcher.submit(np.zeros(INLINE + 1, np.float32))
        await asyncio.sleep(0.05)
        cancelled = batcher.submit(pairs(1))
        expired = batcher.submit(pairs(2), expires_ns=time.perf_counter_ns() + 1000)
        abandoned = batcher.submit(pairs(3), is_gone=lambda: True)
        kept = batcher.submit(pairs(4), expires_ns=time.perf_counter_ns() + 10**11)
        cancelled.cancel()
        model.free.set()
        found = await asyncio.gather(running, cancelled, expired, abandoned, kept, return_exceptions=True)
        assert isinstance(found[1], asyncio.CancelledError)
        assert [found[2].kind, found[3].kind] == ["expired", "gone"]
        assert found[4].outputs["probability"].tolist() == [8]

    run(check, model)
    assert model.sizes == [INLINE + 1, 1]


def test_a_request_waits_for_others_if_asked_to(model):
    async def check(batcher):
        began = time.monotonic()
        first = batcher.submit(pairs(1))
        await asyncio.sleep(0.02)
        second = batcher.submit(pairs(2))
        await asyncio.gather(first, second)
        assert time.monotonic() - began >= 0.2

    run(check, model, max_wait=0.2)
    assert model.sizes == [2]


def test_many_requests_share_a_batch_and_a_full_one_does_not_wait(model):
    async def check(batcher):
        await asyncio.gather(*[batcher.submit(pairs(i)) for i in range(64)])

    run(check, model, max_wait=1000.0, max_batch=64)
    assert model.sizes == [64]


def test_a_fault_in_the_statistics_stops_nothing(model):
    def fail(count, ns):
        raise ValueError("planted")

    async def check(batcher):
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        for _ in range(2):
            await batcher.submit(pairs(1))
            await batcher.submit(np.zeros(INLINE + 1, np.float32))

    run(check, model, on_batch=fail)


def test_each_batch_is_reported(model):
    seen = []

    async def check(batcher):
        await asyncio.gather(batcher.submit(pairs(1)), batcher.submit(pairs(2, 3)))

    run(check, model, on_batch=lambda count, ns: seen.append((count, ns > 0)))
    assert seen == [(3, True)]
