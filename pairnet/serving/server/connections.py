"""HTTP connections: uvicorn's, with limits for slow clients and a shutdown that loses no request.

It also ignores a request's header Upgrade, which some clients send with their first request to offer HTTP/2: uvicorn
leaves out the body of such a request.
"""

from time import monotonic
from typing import Any

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

SLOWEST = 20.0
"""Seconds within which a request, or on a new connection its first byte, must arrive whole, and an answer be read."""
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
        self._blocked_since: float | None = None  # None while the client reads what is written
        self._head = 0  # bytes of the head so far; IN_BODY behind it
        self._plain = 0  # bytes of a body that the parser does not read, because of a header Upgrade
        self._stops = False

    def data_received(self, data: bytes) -> None:
        """Reads; refuses a request with an endless head."""
        self._unset_keepalive_if_required()
        if self._plain:
            self._read_plain(data)
            return
        if self._head != IN_BODY:
            self._head += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._begin_plain(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("expected a request in HTTP/1.1, got other bytes")
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
        """The request is whole; with a header Upgrade, only its head is."""
        if self.parser.should_upgrade():
            return
        self._waiting_since, self._head = None, 0
        super().on_message_complete()

    def close_if_slow(self, now: float) -> None:
        """Closes a connection on which a request arrives, or an answer is read, too slowly; now: of monotonic()."""
        if self._waiting_since is not None and now - self._waiting_since > SLOWEST:
            self.transport.close()
        if self._blocked_since is not None and now - self._blocked_since > SLOWEST:
            self.transport.abort()

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self._blocked_since = monotonic()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._blocked_since = None

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends nothing more. If it waits for an answer, the connection stays open for that."""
        answering = self.cycle is not None and not self.cycle.response_complete and self._waiting_since is None
        if answering:
            self.cycle.keep_alive = False
        return answering

    def shutdown(self) -> None:
        """Lets the current request be the last; an idle connection gets a moment for one that is on its way."""
        self._stops = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        if self.cycle is None or self.cycle.response_complete or self._waiting_since is not None:
            self.loop.call_later(LAST_REQUEST, self._close_if_idle)

    def send_400_response(self, msg: str) -> None:
        """Answers bytes that are no HTTP with the protocol's form of an error, and closes the connection."""
        content = msgspec.json.encode({"error": msg})
        head = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
        self.transport.close()

    def _close_if_idle(self) -> None:
        """Closes a connection without a request, or with one that is still arriving."""
        if self.cycle is None or self.cycle.response_complete or self._waiting_since is not None:
            self.transport.close()

    def _begin_plain(self, rest: bytes) -> None:
        """Reads the body of a request with a header Upgrade by its length; the parser stops behind the head."""
        lengths = [value for name, value in self.headers if name == b"content-length"]
        if any(name == b"transfer-encoding" for name, _ in self.headers):
            self.send_400_response("expected a Content-Length in a request with the header Upgrade, got chunks")
            return
        self._plain = int(lengths[0]) if lengths else 0  # the parser has checked that it is a number
        self._read_plain(rest)

    def _read_plain(self, data: bytes) -> None:
        part, rest = data[: self._plain], data[self._plain :]
        self._plain -= len(part)
        if part:
            self.on_body(part)
        if self._plain == 0:
            self.parser = httptools.HttpRequestParser(self)
            self.on_message_complete()
            if rest:
                self.data_received(rest)
