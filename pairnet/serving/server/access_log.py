"""The access log: lines that a thread writes, so that neither a slow nor a closed reader holds up the server."""

import queue
import threading
from contextlib import suppress
from typing import TextIO

MOST_LINES = 10_000
"""Lines that wait to be written; further ones are dropped."""


class AccessLog:
    """Writes lines to a stream in the background."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: queue.Queue[str] = queue.Queue(MOST_LINES)
        threading.Thread(target=self._write, name="pairnet-access-log", daemon=True).start()

    def add(self, line: str) -> None:
        """Queues one line; drops it if the reader is far behind."""
        with suppress(queue.Full):
            self._lines.put_nowait(line)

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            try:
                self._stream.write(f"{line}\n")
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads it any more
                return
