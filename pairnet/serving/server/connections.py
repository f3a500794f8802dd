"""HTTP connections: uvicorn's, with limits for slow clients and a shutdown that loses no request.

uvicorn has neither for httptools: it limits only the time between two requests, and closes idle connections at once.
"""

from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pairnet.errors import RequestError

if TYPE_CHECKING:
    from pairnet.serving.server.app import Application

SLOWEST = 20.0
"""Seconds within which a request, or on a new connection its first byte, must arrive whole, and an answer be read."""
LARGEST_HEAD = 64 * 1024
"""Bytes of a request's line and headers."""
IN_BODY = -1
ENDED: Final = "pairnet.ended"
"""In the scope of a request: True once its client has closed its side. It may still read the answer, or have left."""
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
        self._stops = False

    def data_received(self, data: bytes) -> None:
        """Reads; refuses a request with an endless head."""
        self._unset_keepalive_if_required()
        if self._head != IN_BODY:
            self._head += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_without_upgrade(data[upgrade.args[0] :])
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
        if self.parser.should_upgrade():
            return
        self._head = IN_BODY
        super().on_headers_complete()
        if self._stops:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The request is whole."""
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
        if self._answers:
            self.cycle.keep_alive = False
            self.cycle.scope[ENDED] = True  # type: ignore[typeddict-unknown-key]
            self.cycle.message_event.set()  # for who waits for it
        return self._answers

    def shutdown(self) -> None:
        """Lets the current request be the last; an idle connection gets a moment for one that is on its way."""
        self._stops = True
        if self.cycle is not None:
            self.cycle.keep_alive = False
        self.loop.call_later(LAST_REQUEST, self._close_if_idle)

    def send_400_response(self, msg: str) -> None:
        """Answers bytes that are no HTTP with the protocol's form of an error, and closes the connection."""
        cast("Application", self.app).service.count_refusal(RequestError(msg), "rest")
        content = msgspec.json.encode({"error": msg})
        head = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
        self.transport.close()

    @property
    def _answers(self) -> bool:
        """Whether a whole request waits for its answer."""
        return self.cycle is not None and not self.cycle.response_complete and self._waiting_since is None

    def _close_if_idle(self) -> None:
        if not self._answers:
            self.transport.close()

    def _read_without_upgrade(self, rest: bytes) -> None:
        """Reads a request again without its header Upgrade, which some clients send with their first request.

        It offers HTTP/2 or WebSocket, and the parser leaves out the body. rest: what has arrived behind the head.
        """
        headers = [b"%s: %s\r\n" % each for each in self.headers if each[0] != b"upgrade"]
        if len(headers) == len(self.headers):  # the method CONNECT
            self.send_400_response("expected a request to this server, got one to a proxy")
            return
        version = self.parser.get_http_version().encode()
        line = b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, version)
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"".join((line, *headers, b"\r\n", rest)))
