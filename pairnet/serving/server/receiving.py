"""Messages of gRPC calls that are on their way: how long, and how many of them, may hold memory.

gRPC collects the parts of a message before the server sees it, and tells nobody how many have arrived; a stream that
waits for its next request looks the same. So calls that wait are bounded in time and in number, and, once the memory of
the process has grown by `SHORT`, to as many as fit. Nothing is done for a single message: one
timer looks at all calls that wait.
"""

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import Any

import grpc

from pairnet.errors import RequestError
from pairnet.serving.server.account import MOST_HELD
from pairnet.serving.server.connections import SLOWEST
from pairnet.serving.server.memory import give_back, resident
from pairnet.serving.server.open_calls import OpenCalls
from pairnet.serving.server.protocol import LARGEST_CALL

MOMENT = 0.1
"""Seconds in which a message may arrive without being counted as waiting."""
IDLE = 60.0
"""Seconds that a stream may wait for its next message."""
PATIENCE = 2.0
"""Seconds for which a call that waits keeps its place if others need it; after that the longest ends."""
MOST_WAITING = 256
"""Calls and streams that may wait for a message."""
MOST_IF_SHORT = MOST_HELD // 2 // LARGEST_CALL
"""The same while memory is short: if each of them had received all but its last byte, they would fit."""
LOOKS = 0.03
"""Seconds between two looks at the calls that wait."""
SHORT = MOST_HELD * 3 // 4
"""Bytes by which the process has grown when memory is short: the rest is for what arrives between two looks."""
FREED = MOST_HELD // 8
"""Bytes by which the process may grow before free memory is given back."""
GIVES, SELDOM = 2.0, 10.0
"""Seconds between two times that free memory is given back: at first, and if that is of no use."""


@dataclass(kw_only=True, eq=False, slots=True)
class Waiting:
    """A call that waits for a message."""

    task: "asyncio.Task[Any]"
    since: float  # of monotonic()
    longest: float  # seconds
    is_stream: bool  # whether the message is one of many
    ended: RequestError | None = None


class Receiver:
    """Receives the messages of all calls. Its methods are called from the event loop's thread."""

    def __init__(self, calls: OpenCalls) -> None:
        self._calls = calls
        self._waiting: dict[Waiting, None] = {}  # the longest first
        self._timer: asyncio.TimerHandle | None = None
        self._start = resident()
        self._giving: asyncio.TimerHandle | None = None  # the next time that memory is given back
        self._pause = GIVES

    async def message(self, context: grpc.aio.ServicerContext, *, is_stream: bool = False) -> bytes | None:
        """The next message of a call -> its bytes, or None if the client sends no further one.

        Raises RequestError: "expired" if it takes longer than SLOWEST, in a stream IDLE; "busy" if too many calls wait,
        or the server stops.
        """
        task = asyncio.current_task()
        assert task is not None
        self._calls.begin(task, context)
        waiting = Waiting(task=task, since=monotonic(), longest=IDLE if is_stream else SLOWEST, is_stream=is_stream)
        self._waiting[waiting] = None
        if self._timer is None:
            self._look_later()
        try:
            content = await context.read()
        except asyncio.CancelledError:
            if waiting.ended is None:  # by the client
                raise
            task.uncancel()
            raise waiting.ended from None
        finally:
            self._waiting.pop(waiting, None)
        return None if content is grpc.aio.EOF else content

    def stop(self) -> None:
        """Ends the streams that wait for a message."""
        for waiting in [each for each in self._waiting if each.is_stream]:
            self._end(waiting, RequestError("expected a running server, this one stops: try another", "busy"))

    def _end(self, waiting: Waiting, error: RequestError) -> None:
        del self._waiting[waiting]
        waiting.ended = error
        if self._giving is not None:
            self._giving.cancel()
            self._giving = None
        waiting.task.cancel()

    def _look_later(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOKS, self._look)

    def _look(self) -> None:
        """Ends the calls that wait too long, and those that are too many."""
        now = monotonic()
        self._timer = None
        slow = []
        for waiting in self._waiting:
            if now - waiting.since < MOMENT:
                break
            slow.append(waiting)
        kept = []
        for waiting in slow:
            if now - waiting.since < waiting.longest:
                kept.append(waiting)
            else:
                text = f"expected a message within {waiting.longest:.0f} seconds, got none or a part of one"
                self._end(waiting, RequestError(text, "expired"))
        size = resident()
        for waiting in _superfluous(kept, now, is_short=not size or size - self._start > SHORT):
            text = f"expected a free server, {len(kept)} calls wait for their messages: try again later"
            self._end(waiting, RequestError(text, "busy"))
        if size - self._start > FREED and self._giving is None:
            self._pause = GIVES
            self._giving = asyncio.get_running_loop().call_later(GIVES, self._give)
        self._calls.look(now)
        if self._waiting or self._calls:
            self._look_later()

    def _give(self) -> None:
        """Gives free memory back, and does so again, later and later, as long as much is in use."""
        before = resident()
        give_back()
        size = resident()
        self._giving = None
        if size - self._start > FREED:
            self._pause = GIVES if before - size > FREED else min(2 * self._pause, SELDOM)
            self._giving = asyncio.get_running_loop().call_later(self._pause, self._give)


def _superfluous(slow: list[Waiting], now: float, *, is_short: bool) -> list[Waiting]:
    """Those of `slow` that have to end: the first, which waited longest, or before their time, the last."""
    excess = max(0, len(slow) - (MOST_IF_SHORT if is_short else MOST_WAITING))
    impatient = sum(now - waiting.since > PATIENCE for waiting in slow[:excess])
    return slow[:impatient] + slow[len(slow) - (excess - impatient) :]
