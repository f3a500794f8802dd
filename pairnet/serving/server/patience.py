"""Whether a free model waits for further requests: only if several clients are active and the wait costs nothing.

gRPC delivers calls one by one, so a greedy model computes them one by one. If it waits for a millisecond instead, they
share a batch, which saves time as long as the event loop uses that millisecond to read them. So each wait is measured:
one that the loop slept through is followed by a pause without waits, twice as long each time.
"""

from collections.abc import Callable
from time import perf_counter_ns, thread_time_ns

WAIT = 0.001
"""Seconds of a wait; uvloop's timers have this resolution."""
ENOUGH = 4
"""Requests in the queue that make no wait necessary, or at its end have made it useful."""
SAVED_NS = 50_000
"""What a request in a batch saves, roughly: a wait may sleep as long as it saves."""
ACTIVE = 64
"""Batches after one of several requests for which several clients are taken to be active."""
SHORTEST_NS, LONGEST_NS = 5_000_000, 100_000_000
"""Pauses after a wait that was of no use; the longest limits what waits cost to 1 % of the time."""


class Patience:
    """Learns from the batches and waits of one model.

    clock, worked: nanoseconds, and those that this thread has computed.
    """

    def __init__(self, clock: Callable[[], int] = perf_counter_ns, worked: Callable[[], int] = thread_time_ns) -> None:
        self._clock, self._worked = clock, worked
        self._active = 0  # batches for which several clients are still taken to be active
        self._pause_ns, self._resumes = SHORTEST_NS, 0
        self._began = self._worked_before = 0  # of the current wait

    def computed(self, requests: int) -> None:
        """Learns how many requests shared a batch."""
        self._active = ACTIVE if requests > 1 else max(0, self._active - 1)

    def begin(self, requests: int) -> bool:
        """Whether a queue of so many requests should wait; if so, the wait begins."""
        if not self._active or requests >= ENOUGH:
            return False
        self._began = self._clock()
        if self._began < self._resumes:
            return False
        self._worked_before = self._worked()
        return True

    def end(self, requests: int) -> None:
        """Ends a wait, after which so many requests are in the queue."""
        now = self._clock()
        slept = now - self._began - (self._worked() - self._worked_before)
        if requests >= ENOUGH or slept <= requests * SAVED_NS:
            self._pause_ns = SHORTEST_NS
        else:
            self._resumes = now + self._pause_ns
            self._pause_ns = min(2 * self._pause_ns, LONGEST_NS)
