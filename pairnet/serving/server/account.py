"""The account of bytes that wait: requests that are received, wait or are computed, and answers that are not yet read.

Whatever the door. Over REST each connection counts what arrives, before any handler asks for it; gRPC counts messages.
"""

import threading

from pairnet.errors import RequestError
from pairnet.serving.server.memory import give_back

MOST_HELD = 256 * 2**20
"""Bytes that may wait; further requests are refused until some are answered."""
MOST_KEPT = 32 * 2**20
"""Bytes that may be free and yet kept by the memory allocator."""


class Account:
    """Bytes that wait, and their bound. lock: of all that is counted here, also in entries; threads inflate bodies."""

    def __init__(self) -> None:
        self.held, self.bound, self.peak = 0, MOST_HELD, 0
        self.lock = threading.RLock()

    def take(self, count: int) -> None:
        """Counts bytes, which the caller gives back.  RequestError, and nothing is counted, if too many wait."""
        with self.lock:
            held = self.held + count
            if held > self.bound:
                raise RequestError("expected a free server, got too many large requests: try again later", "busy")
            self.held = held
            if held > self.peak:
                self.peak = held

    def take_anyway(self, count: int) -> None:
        """Counts bytes that wait whether there is room or not, such as an answer that its client does not read."""
        with self.lock:
            self.held += count
            if self.held > self.peak:
                self.peak = self.held

    def give_back(self, count: int) -> None:
        """Bytes that wait no longer."""
        with self.lock:
            self.held -= count

    def tidy(self) -> None:
        """Gives memory back to the system once many bytes wait no longer; the server calls it once a second.

        The C library keeps what is freed between blocks that are in use, which after a flood is most of it.
        """
        if self.peak - self.held > MOST_KEPT:
            self.peak = self.held
            give_back()


class Entry:
    """What one request over REST holds. The connection adds what arrives; whoever has done with it closes it."""

    __slots__ = ("_account", "_held", "_refusal", "closed")

    def __init__(self, account: Account) -> None:
        self._account, self._held, self.closed = account, 0, False
        self._refusal: RequestError | None = None

    def add(self, count: int) -> bool:
        """Whether bytes that have arrived are to be kept; they are not once the entry is closed, or too many wait."""
        with self._account.lock:
            if self.closed:
                return False
            try:
                self._account.take(count)
            except RequestError as error:
                self._refusal = error
                self.close()
                return False
            self._held += count
            return True

    def add_anyway(self, count: int) -> None:
        """Counts bytes whether there is room or not."""
        with self._account.lock:
            self._account.take_anyway(count)
            self._held += count

    def take(self, count: int) -> None:
        """Counts bytes that the server makes of the request.  RequestError if they find no room, or nobody waits."""
        if not self.add(count):
            self.check()
            raise RequestError("expected a client that waits for its answer, the connection was closed", "gone")

    def take_up_to(self, total: int) -> None:
        """Counts what the request takes beyond what is counted.  Raises what `take` raises."""
        if total > self._held:
            self.take(total - self._held)

    def check(self) -> None:
        """RequestError if bytes of this request found no room."""
        if self._refusal is not None:
            raise self._refusal

    def close(self) -> None:
        """Gives back what the request holds; what still arrives is dropped."""
        with self._account.lock:
            self.closed = True
            self._account.held -= self._held
            self._held = 0
