"""Processes that decode pictures for the server: a few, started when needed, each with one picture at a time.

A picture can so be ended, by its limits, by the server, or because its client has left: then its process is killed, and
the next picture gets another. All methods are called from the event loop's thread.
"""

import asyncio
import math
import os
import socket
import subprocess
from collections import Counter
from time import monotonic
from typing import Literal, NamedTuple

from pairnet.errors import DataError, PictureError, Refusal, RequestError
from pairnet.serving.pictures.decoder import LARGEST_ANSWER, LENGTH, NAME, READY, command, picture
from pairnet.serving.pictures.isolation import ended_early
from pairnet.serving.pictures.reading import Picture

MOST = 2
"""Processes: one large picture does not hold the others up."""
MOST_WAITING = 32
"""Pictures in the queue; further ones are refused."""
PATIENCE = 1.5
"""Seconds that a picture waits for a process; then it is refused. None waits two seconds behind others."""
TURN = 0.5
"""Seconds that a picture may take when another has waited for as long; the one that began first may go on."""
LONGEST = 20.0
"""Seconds by the clock for a picture, whatever takes the processors; its CPU time has the limit of isolation.py."""
MOST_PICTURES = 1000
"""Pictures of one process, which is then replaced: what a decoder forgets to free goes back."""
IDLE = 60.0
"""Seconds after which a process without a picture is ended: its memory goes back."""

_LOOK = 0.1  # seconds between two looks at whether a picture has to give way


class Decoders:
    """The processes, and the queue for them."""

    def __init__(self) -> None:
        self.results: Counter[Refusal | Literal["ok"]] = Counter()  # of all pictures
        self._free = MOST
        self._waiting: list[_Waiting] = []  # in the order of their arrival
        self._running: list[_Decoder] = []  # the one that began first comes first
        self._idle: dict[_Decoder, asyncio.TimerHandle] = {}
        self._killed: list[_Decoder] = []  # their memory may take a moment to go back

    async def decode(self, content: bytes | memoryview) -> Picture:
        """The picture in `content`, as `reading.decode` makes it; ended if the call is cancelled.

        PictureError for no usable picture, RequestError if there is too much to do, RuntimeError for a bug.
        """
        result: Refusal | Literal["ok"] = "failed"
        try:
            picture = await self._in_turn(content)
            result = "ok"
        except RequestError as error:
            result = error.kind
            raise
        except PictureError as error:
            result = kind_of(error)
            raise
        except asyncio.CancelledError:
            result = "gone"
            raise
        finally:
            self.results[result] += 1
        return picture

    @property
    def waiting(self) -> int:
        """Pictures in the queue."""
        return len(self._waiting)

    async def _in_turn(self, content: bytes | memoryview) -> Picture:
        await self._wait_for_turn(len(content))
        try:
            return await self._run(content)
        finally:
            self._give_back()

    async def _wait_for_turn(self, size: int) -> None:
        """Returns when a process is free for a picture of `size` bytes; the smallest of those that wait is the next."""
        if self._free:
            self._free -= 1
            return
        if len(self._waiting) >= MOST_WAITING:
            raise _busy(f"a free decoder, got {MOST_WAITING} pictures that wait")
        waiting = _Waiting(size, monotonic(), asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(PATIENCE):
                await waiting.turn
        except BaseException as error:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            else:  # its turn came at the same moment
                self._give_back()
            if isinstance(error, TimeoutError):
                raise _busy(f"a free decoder within {PATIENCE} seconds, got none") from None
            raise

    def _give_back(self) -> None:
        waiting = [each for each in self._waiting if not each.turn.done()]  # others are about to leave
        if not waiting:
            self._free += 1
            return
        smallest = min(waiting, key=lambda each: each.size)
        self._waiting.remove(smallest)
        smallest.turn.set_result(None)

    async def _run(self, content: bytes | memoryview) -> Picture:
        decoder = self._take()
        self._running.append(decoder)
        decoding = asyncio.create_task(decoder.decode(content))
        try:
            while not (await asyncio.wait((decoding,), timeout=_LOOK))[0]:
                self._check_time(decoder)
            return decoding.result()
        finally:
            decoding.cancel()
            try:
                await asyncio.wait((decoding,))  # it lets go of the socket
            finally:
                self._running.remove(decoder)
                if decoder.is_usable and decoder.answered < MOST_PICTURES:
                    self._idle[decoder] = asyncio.get_running_loop().call_later(IDLE, self._end_idle, decoder)
                else:
                    self._end(decoder)

    def _take(self) -> "_Decoder":
        while self._idle:
            decoder, timer = self._idle.popitem()
            timer.cancel()
            if not decoder.has_ended:
                return decoder
            self._end(decoder)
        try:
            return _Decoder()
        except OSError as error:
            raise _busy(f"a process for a decoder, the system gives none ({error.strerror})") from None

    def _check_time(self, decoder: "_Decoder") -> None:
        """RequestError for a picture that takes too long by the clock, or that has to give way to others."""
        now = monotonic()
        took, waits = now - decoder.began, now - self._waiting[0].since if self._waiting else 0
        if took > LONGEST:
            raise _busy(f"a picture decoded within {LONGEST:.0f} seconds, got a processor with too much else to do")
        if min(took, waits) > TURN and decoder is not self._running[0]:
            raise _busy("a small picture while others wait, got one that takes long")

    def _end_idle(self, decoder: "_Decoder") -> None:
        del self._idle[decoder]
        self._end(decoder)

    def _end(self, decoder: "_Decoder") -> None:
        decoder.kill()
        self._killed.append(decoder)
        self._forget_killed()

    def _forget_killed(self) -> None:
        self._killed = [decoder for decoder in self._killed if not decoder.has_ended]
        if self._killed:
            asyncio.get_running_loop().call_later(_LOOK, self._forget_killed)

    def close(self) -> None:
        """Ends all processes, and with them what they decode; waits for their end."""
        for timer in self._idle.values():
            timer.cancel()
        for decoder in (*self._idle, *self._running, *self._killed):
            decoder.kill(wait=True)
        self._idle.clear()


class _Waiting(NamedTuple):
    """A picture in the queue."""

    size: int  # bytes
    since: float  # of monotonic()
    turn: "asyncio.Future[None]"


def kind_of(error: DataError) -> Literal["large", "invalid"]:
    """Why a picture that holds none is refused, as a request is."""
    return "large" if error.code == "too-large" else "invalid"


def _busy(expected_and_got: str) -> RequestError:
    return RequestError(f"expected {expected_and_got}: try again later", "busy")


class _Decoder:
    """One process, and the socket to it."""

    def __init__(self) -> None:
        """Starts the process.  OSError if the system has none."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._socket = ours
        self.is_usable = False  # whether it waits for a picture
        self.answered = 0
        self.began = math.inf  # with its current picture; the time in which it starts is no picture's
        try:
            with theirs:
                self._process = subprocess.Popen(
                    command(),
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # each thread has memory of its own
                )
        except OSError:
            ours.close()
            raise

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    async def decode(self, content: bytes | memoryview) -> Picture:
        """The picture in `content`; raises as Decoders.decode does."""
        loop = asyncio.get_running_loop()
        if not self.answered:
            async with asyncio.timeout(LONGEST):
                if await self._receive(len(READY)) != READY:
                    raise RuntimeError("the process of a decoder did not start: see the lines above")
        self.is_usable, self.began = False, monotonic()
        try:
            await loop.sock_sendall(self._socket, len(content).to_bytes(LENGTH))
            await loop.sock_sendall(self._socket, content)
            size = int.from_bytes(await self._receive(LENGTH))
            answer = await self._receive(min(size, LARGEST_ANSWER))
        except ConnectionError:
            size, answer = 0, b""
        if not size or len(answer) < size:
            raise await self._ended()
        self.is_usable, self.answered = True, self.answered + 1
        return picture(answer)

    async def _receive(self, size: int) -> bytes:
        """The next bytes; fewer at the end."""
        loop, parts = asyncio.get_running_loop(), b""
        while len(parts) < size and (part := await loop.sock_recv(self._socket, size - len(parts))):
            parts += part
        return parts

    async def _ended(self) -> PictureError:
        self._process.kill()  # if it has only closed its socket
        while (status := self._process.poll()) is None:
            await asyncio.sleep(0.01)
        return ended_early(NAME, status)

    def kill(self, *, wait: bool = False) -> None:
        """Ends the process and what waits for it; wait: until the system has taken everything back."""
        self.is_usable = False
        self._process.kill()
        self._socket.close()
        if wait:
            self._process.wait()
