"""HTTP connections: uvicorn's, with limits for clients that are slow to send, and a shutdown that loses no request."""

from time import monotonic
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

SLOWEST = 20.0
"""Seconds within which a request, or on a new connection its first byte, must arrive whole."""
LARGEST_HEAD = 64 * 1024
"""Bytes of a request's line and headers."""
IN_BODY = -1
LAST_REQUEST = 0.5
"""Seconds in which an idle connection may still bring a request when the server stops: it may be on its way."""


class Connection(HttpToolsProtocol):
    """One connection. The server calls `close_if_slow` once a second."""

    def connection_made(self, transport: Any) -> None:
        """Begins to wait for a request."""
        super().connection_made(transport)
        self._waiting_since: float | None = monotonic()  # None while no request is being received
        self._head = 0  # bytes of the head so far; IN_BODY behind it
        self._stops = False

    def data_received(self, data: bytes) -> None:
        """Reads; refuses a request with an endless head."""
        if self._head != IN_BODY:
            self._head += len(data)
        super().data_received(data)
        if self._head > LARGEST_HEAD and not self.transport.is_closing():
            self.send_400_response(f"expected a head of at most {LARGEST_HEAD:,} bytes, got more")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._waiting_since = monotonic()
        self.scope["pairnet.connection"] = self.transport  # type: ignore[typeddict-unknown-key]

    def on_headers_complete(self) -> None:
        """The head is whole. A request that comes after `shutdown` is the last on its connection."""
        self._head = IN_BODY
        super().on_headers_complete()
        if self._stops and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._waiting_since, self._head = None, 0
        super().on_message_complete()

    def close_if_slow(self, now: float) -> None:
        """Closes the connection if a request has been arriving for too long; `now` is a time of monotonic()."""
        if self._waiting_since is not None and now - self._waiting_since > SLOWEST:
            self.transport.close()

    def shutdown(self) -> None:
        """Lets the current request be the last; an idle connection gets a moment for one that is on its way."""
        self._stops = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        else:
            self.loop.call_later(LAST_REQUEST, self._close_if_idle)

    def send_400_response(self, msg: str) -> None:
        """Answers bytes that are no HTTP with the protocol's form of an error, and closes the connection."""
        content = msgspec.json.encode({"error": msg})
        head = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
        self.transport.close()

    def _close_if_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
