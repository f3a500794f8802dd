"""The log: lines that a thread writes, so that neither a slow nor a closed reader holds up the server."""

import os
import queue
import threading
import time
from contextlib import suppress
from typing import TextIO

import msgspec

MOST_LINES = 10_000
"""Lines that wait to be written; further ones are dropped."""


class AccessLog:
    """Writes lines to a stream in the background. Lines that are dropped or cannot be written are counted.

    The next line that can be written says how many are missing before it: {"time": ..., "lost": ...}.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._number = stream, _number_of(stream)
        self._lines: queue.Queue[str] = queue.Queue(MOST_LINES)
        self._dropped = 0  # of those that `add` was given
        self._unwritten = 0  # of those that were queued
        threading.Thread(target=self._write, name="pairnet-access-log", daemon=True).start()

    @property
    def lost(self) -> int:
        """Lines that were dropped or could not be written whole, since the start."""
        return self._dropped + self._unwritten

    def add(self, line: str) -> None:
        """Queues one line; drops it if the reader is far behind."""
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def _write(self) -> None:
        lost = counted = 0  # lines that are missing since the last one; those of `_dropped` that are in it
        begun = b""  # ends a line of which only a part could be written
        while True:
            line = self._lines.get().encode() + b"\n"
            lost, counted = lost + self._dropped - counted, self._dropped
            if lost:
                line = msgspec.json.encode({"time": round(time.time(), 3), "lost": lost}) + b"\n" + line
            written = self._written(begun + line)
            if written == len(begun + line):
                lost, begun = 0, b""
            else:
                self._unwritten += 1
                lost, begun = lost + 1, b"\n" if written else begun

    def _written(self, content: bytes) -> int:
        """How many bytes could be written. Past the stream's buffer, which would keep what it could not write."""
        written = 0
        with suppress(OSError, ValueError):
            if self._number is None:
                self._stream.write(content.decode())
                self._stream.flush()
                return len(content)
            while written < len(content):
                written += os.write(self._number, content[written:])
        return written


def _number_of(stream: TextIO) -> int | None:
    """The descriptor of a stream; None if it has none, such as a StringIO."""
    with suppress(OSError, AttributeError):
        return stream.fileno()
    return None
