"""When a free model waits for further requests: never for one client, and not if waiting is idle."""

import asyncio

import numpy as np
import pytest

from pairnet.serving.server.batching import Batcher
from pairnet.serving.server.patience import ACTIVE, ENOUGH, LONGEST_NS, SAVED_NS, SHORTEST_NS, WAIT, Patience


class Clocks:
    """The time, and the time that the thread has computed, in ns."""

    def __init__(self):
        self.now = self.worked = 10**12

    def wait(self, *, worked):
        self.now += round(WAIT * 1e9)
        self.worked += worked


@pytest.fixture
def clocks():
    return Clocks()


@pytest.fixture
def patience(clocks):
    return Patience(lambda: clocks.now, lambda: clocks.worked)


def test_a_single_client_never_waits(patience):
    for _ in range(1000):
        assert not patience.begin(1)
        patience.computed(1)


def test_several_clients_wait_until_they_are_gone(patience):
    patience.computed(2)
    assert patience.begin(1)
    patience.end(ENOUGH)
    for _ in range(ACTIVE):
        assert patience.begin(1)
        patience.end(ENOUGH)
        patience.computed(1)
    assert not patience.begin(1)


def test_enough_requests_do_not_wait(patience):
    patience.computed(2)
    assert not patience.begin(ENOUGH)


def test_idle_waits_take_at_most_a_hundredth_of_the_time(patience, clocks):
    """Also if clients are always active: each idle wait is followed by a longer pause."""
    waits, began = 0, clocks.now
    while clocks.now - began < 20 * 10**9:
        patience.computed(2)
        if patience.begin(1):
            clocks.wait(worked=0)
            patience.end(1)
            waits += 1
        else:
            clocks.now += 10**5
    assert 0 < waits * WAIT < 0.015 * 20
    assert LONGEST_NS > SHORTEST_NS


@pytest.mark.parametrize("requests", [2, 3])
def test_a_wait_in_which_the_loop_worked_is_followed_by_the_next(patience, clocks, requests):
    patience.computed(2)
    for _ in range(100):
        assert patience.begin(1)
        clocks.wait(worked=round(WAIT * 1e9) - requests * SAVED_NS)
        patience.end(requests)
    assert patience.begin(1)


@pytest.mark.parametrize("max_wait", [None, 0.0])
def test_one_client_at_a_time_is_answered_without_a_timer(monkeypatch, max_wait):
    async def check():
        loop = asyncio.get_running_loop()
        batcher = Batcher(
            lambda pairs, _: {"probability": pairs},
            max_batch=64,
            max_wait=max_wait,
            most_waiting=100,
            on_batch=lambda pairs, ns: None,
        )
        timers = []
        monkeypatch.setattr(loop, "call_later", lambda *arguments: timers.append(arguments))
        for value in range(100):
            assert (await batcher.submit(np.array([value]))).outputs["probability"] == value
        batcher.close()
        assert not timers

    asyncio.run(check())


def test_several_clients_get_their_own_answers_with_waits():
    async def client(batcher, number):
        for value in range(50):
            given = np.array([1000 * number + value])
            assert (await batcher.submit(given)).outputs["probability"] == given
            await asyncio.sleep(0.0001 * (number % 3))

    async def check():
        sizes = []
        batcher = Batcher(
            lambda pairs, _: {"probability": pairs},
            max_batch=64,
            most_waiting=100,
            on_batch=lambda pairs, ns: sizes.append(pairs),
        )
        await asyncio.wait_for(asyncio.gather(*[client(batcher, number) for number in range(6)]), 30)
        batcher.close()
        assert sum(sizes) == 300

    asyncio.run(check())
