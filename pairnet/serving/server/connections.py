"""HTTP connections: uvicorn's, with bounds for what clients send, and a shutdown that loses no request.

uvicorn has none of these for httptools: it limits only the time between two requests, closes idle connections at once,
takes trailers for headers, reads on while requests wait for their turn, and loses them if what follows is no HTTP.
"""

import sys
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

import httptools
import msgspec
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from pairnet.errors import RequestError
from pairnet.serving.server.account import Entry
from pairnet.serving.server.crowding import make_room
from pairnet.serving.server.flow import Flow
from pairnet.serving.server.heads import (
    COST_OF_FIELD,
    LARGEST_HEAD,
    MOST_FIELDS,
    SMALL_HEAD,
    too_large_head,
    too_many_fields,
    with_path,
)
from pairnet.serving.server.origin import Origin, of_scope
from pairnet.serving.server.protocol import STATUSES

if TYPE_CHECKING:
    from pairnet.serving.server.app import Application

SLOWEST = 20.0
"""Seconds within which a request, or on a new connection its first byte, must arrive whole, and an answer be read."""
COST_OF_WAITING = 4096
"""Bytes of memory, about, of a request that waits until those before it on its connection are answered."""
IN_BODY = -1
ENDED: Final = "pairnet.ended"
"""In the scope of a request: True once its client has closed its side. It may still read the answer, or have left."""
LAST_REQUEST = 0.5
"""Seconds in which an idle connection may still bring a request when the server stops: it may be on its way."""
LAST_READ = 3.0
"""Seconds in which a client must have read something of its answer when the server stops."""
LINGER = 1.0
"""Seconds for which a refused client may go on sending: a connection that is closed before may lose the answer."""
MOST_DROPPED = 4 * 2**20
"""Bytes that it may go on sending."""


class Connection(HttpToolsProtocol):
    """One connection. The server calls `close_if_slow` once a second."""

    def connection_made(self, transport: Any) -> None:
        """Begins to wait for a request."""
        super().connection_made(transport)
        self.flow = Flow(transport, self.pipeline)
        self._service = cast("Application", self.app).service
        self._account = self._service.account
        self._waiting_since: float | None = monotonic()  # None while no request is being received
        self._blocked_since: float | None = None  # None while the client reads what is written
        self._idle_since = self._unread_since = monotonic()
        self._unread = 0  # bytes of answers in the transport when it was looked at last
        self._head = 0  # bytes of the head so far, with what was received before it; IN_BODY behind it
        self._around = 0  # bytes since the last part of the body
        self._size = 0  # bytes of the names and values of its fields
        self._held = 0  # bytes of a head or an answer in the account
        self._running: Any = None  # the cycle of the request that is being answered, or was last
        self._refusal: RequestError | None = None  # the last answer: what has arrived is no request
        self._stops = False
        if self._service.stops:
            self.shutdown()
        make_room(self, cast("set[Connection]", self.connections))

    def connection_lost(self, exc: Exception | None) -> None:
        """Gives back what nobody else does: what a request holds that is being answered stays until that has ended."""
        self._hold(0)
        lost = []
        for cycle, _ in self.pipeline:
            cast("Any", cycle.scope)["pairnet.entry"].close()
            lost.append(of_scope(cycle.scope))
        self.pipeline.clear()
        if self._refusal is None:  # nobody else counts these
            lost += [self._origin()] if self._head > 0 else []
            for origin in lost:
                text = "expected a whole request and a client that waits, the connection was closed"
                self._service.count_refusal(RequestError(text, "gone"), origin)
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads; refuses what is no HTTP, an endless head, and endless trailers."""
        self._unset_keepalive_if_required()
        if self._refusal is not None:
            self._around += len(data)
            if self._around > MOST_DROPPED:
                self.transport.close()
            return
        if self._head != IN_BODY:
            self._head += len(data)
        else:
            self._around += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            refusal = error.__context__
            known = refusal if isinstance(refusal, RequestError) else None
            self._refuse(known or RequestError("expected a request in HTTP/1.1, got other bytes"))
        else:
            if self._head > 0:
                self._check_begun_head()
            elif self._head == IN_BODY and self._around > LARGEST_HEAD:
                self._refuse(RequestError(f"expected trailers of at most {LARGEST_HEAD:,} bytes, got more"))

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._waiting_since, self._head, self._size = monotonic(), self._head or 1, 0
        self.scope["pairnet.connection"] = self.transport  # type: ignore[typeddict-unknown-key]
        self.scope["pairnet.entry"] = self._entry = Entry(self._account)  # type: ignore[typeddict-unknown-key]

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, without white space around its value. Those of trailers come to nothing."""
        if self._head == IN_BODY:
            return
        name, value = name.lower(), value.rstrip(b" \t")
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        elif name == b"host" and any(known == b"host" for known, _ in self.headers):
            raise RequestError("expected one header field Host, got another one")
        self.headers.append((name, value))
        self._size += len(name) + len(value)

    def on_headers_complete(self) -> None:
        """The head is whole, and now counted. A request that comes after `shutdown` is the last on its connection."""
        if self.parser.should_upgrade():
            return
        if len(self.headers) > MOST_FIELDS:
            raise too_many_fields()
        size = self._size + len(self.url)
        if size > LARGEST_HEAD:
            raise too_large_head()
        if not self.url.startswith(b"/"):
            self.url = with_path(self.url)
        super().on_headers_complete()  # raises for what is no target; until then there is no request
        self._head, self._around = IN_BODY, 0
        if self._held and self._blocked_since is None:
            self._hold(0)
        size += COST_OF_FIELD * len(self.headers)
        if self._stops:
            self.cycle.keep_alive = False
        if not self.pipeline and size <= SMALL_HEAD:
            self._entry.add_anyway(size)
        elif not self._entry.add(size + COST_OF_WAITING):
            self._entry.check()

    def on_body(self, body: bytes) -> None:
        """A part of a body: counted before anybody asks for it."""
        self._around, cycle = 0, self.cycle
        if cycle.response_complete:
            return
        if not self._entry.add(len(body)):
            cycle.body = bytearray()  # the handler sees that there was no room
        elif not cycle.body:
            cycle.body = body  # type: ignore[assignment]  # without a copy
        else:
            if isinstance(cycle.body, bytes):
                cycle.body = bytearray(cycle.body)
            cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self.parser.should_upgrade():
            return
        self._waiting_since, self._head = None, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The next request has its turn, or the refusal of what came behind the last one."""
        last, self._idle_since = not self.pipeline, monotonic()
        self._running.body = b""  # of a body that nobody has asked for
        super().on_response_complete()
        if last and self._refusal is not None:
            self._answer_refusal(self._refusal)
        if self._stops:
            self.loop.call_later(LAST_REQUEST, self._close_if_idle)

    def close_if_slow(self, now: float) -> None:
        """Closes a connection on which a request arrives, or an answer is read, too slowly; now: of monotonic().

        Lets go of what an idle one still keeps of its last request.
        """
        if self._waiting_since is not None and self.pipeline:
            self._waiting_since = now  # nothing is read until those before it are answered
        if self._waiting_since is not None and now - self._waiting_since > SLOWEST:
            self.transport.close()
        if self._blocked_since is not None and now - self._blocked_since > SLOWEST:
            self.transport.abort()
        unread = self.transport.get_write_buffer_size()
        if not unread or unread < self._unread:
            self._unread_since = now
        elif now - self._unread_since > SLOWEST:  # too little for `pause_writing`, or closed and not yet read
            self.transport.abort()
        self._unread = unread
        if self._waiting_since is None and self.cycle is not None and self.cycle.response_complete:
            self.cycle = self._running = self.scope = None  # type: ignore[assignment]
            self.url, self.headers = b"", []

    def useless_since(self) -> float | None:
        """Since when it is idle, slow to send or slow to read; None while a request is answered."""
        if self._blocked_since is not None:
            return self._blocked_since
        return None if self._answers else self._waiting_since or self._idle_since

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self._blocked_since = monotonic()
        self._hold(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._blocked_since = None
        self._hold(0)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends nothing more. If it waits for an answer, the connection stays open for that."""
        if not self._answers:
            return False
        for cycle in {self.cycle, self._running}:
            cycle.scope[ENDED] = True
            cycle.message_event.set()  # for who waits for it
        if self._refusal is None:
            self.cycle.keep_alive = False
        return True

    def shutdown(self) -> None:
        """Lets the current request be the last; an idle connection gets a moment for one that is on its way."""
        self._stops = True
        if self.cycle is not None:
            self.cycle.keep_alive = False
        self.loop.call_later(LAST_REQUEST, self._close_if_idle)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    @property
    def _answers(self) -> bool:
        """Whether a whole request waits for its answer."""
        if self.pipeline or (self._running is not self.cycle and not self._running.response_complete):
            return True
        return self.cycle is not None and not self.cycle.response_complete and self._waiting_since is None

    def _close_if_idle(self) -> None:
        if not self._answers:
            self.transport.close()
            self._abort_if_unread(sys.maxsize)

    def _abort_if_unread(self, before: int) -> None:
        """Waits for a client that still reads its answer: every LAST_READ seconds there must be fewer bytes left."""
        unread = self.transport.get_write_buffer_size()
        if unread >= before:
            self.transport.abort()
        elif unread:
            self.loop.call_later(LAST_READ, self._abort_if_unread, unread)

    def _hold(self, count: int) -> None:
        """Sets what the account counts for a head that arrives in parts, or for an answer that is not read."""
        self._account.take_anyway(count - self._held)
        self._held = count

    def _check_begun_head(self) -> None:
        """Refuses a head that is not whole yet, if it is too large or too many bytes wait."""
        if self._head > LARGEST_HEAD:
            self._refuse(too_large_head())
        elif self.headers is not None and len(self.headers) > MOST_FIELDS:
            self._refuse(too_many_fields())
        elif self._blocked_since is None:
            try:
                self._account.take(self._head - self._held)
            except RequestError as error:
                self._refuse(error)
            else:
                self._held = self._head

    def _refuse(self, error: RequestError) -> None:
        """Refuses what has arrived, after the answers to the whole requests before it; reads nothing more."""
        self._service.count_refusal(error, self._origin())
        self._refusal, broken = error, self._waiting_since is not None and self._head == IN_BODY
        if broken:
            self._entry.close()
        if broken and self.cycle is not self._running:
            self.pipeline.popleft()
            self.cycle = self._running
        elif broken:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._waiting_since = None
        if self.cycle is None or self.cycle.response_complete or (broken and self.cycle.disconnected):
            self._answer_refusal(error)

    def _origin(self) -> Origin:
        """What is known of the request that is being received, if one is."""
        client, begun = self.client[0] if self.client else "", self._waiting_since is not None and bool(self.url)
        method, path = (self.parser.get_method(), self.url.partition(b"?")[0]) if begun else (b"", b"")
        return Origin("rest", client, method.decode("latin-1"), path.decode("latin-1"))

    def _answer_refusal(self, error: RequestError) -> None:
        """Sends the protocol's form of an error, and closes the connection."""
        if self.transport.is_closing():
            return
        content = msgspec.json.encode({"error": str(error)})
        status = STATUSES[error.kind][0]
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(content)
        self.transport.write(STATUS_LINE[status] + head + content)
        self._unset_keepalive_if_required()
        self.transport.write_eof()
        self.loop.call_later(LINGER, self.transport.close)

    def _read_without_upgrade(self, rest: bytes) -> None:
        """Reads a request again without its header Upgrade, which some clients send with their first request.

        It offers HTTP/2 or WebSocket, and the parser leaves out the body. rest: what has arrived behind the head.
        """
        headers = [b"%s: %s\r\n" % each for each in self.headers if each[0] != b"upgrade"]
        if len(headers) == len(self.headers):  # the method CONNECT
            self._refuse(RequestError("expected a request to this server, got one to a proxy"))
            return
        version = self.parser.get_http_version().encode()
        line = b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, version)
        self.parser = httptools.HttpRequestParser(self)
        self._head = 0
        self.data_received(b"".join((line, *headers, b"\r\n", rest)))
