"""Inference over REST: an ASGI application that reads a request in JSON, or JSON and binary tensors, and answers it.

It is written for ASGI itself, without a framework: routing and validation by a framework take longer than the
computation of a pair.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import msgspec

from pairnet.errors import RequestError
from pairnet.serving.server.account import Entry
from pairnet.serving.server.batching import never
from pairnet.serving.server.content_encoding import Headers, compressed
from pairnet.serving.server.origin import Origin, of_scope
from pairnet.serving.server.protocol import LARGEST_JSON, LARGEST_REQUEST, STATUSES
from pairnet.serving.server.rest_format import (
    BINARY,
    HEADER_LENGTH,
    JSON,
    encode,
    parse,
    takes_long,
)
from pairnet.serving.server.service import Service
from pairnet.serving.server.tracing import Trace
from pairnet.wording import shown

Scope = MutableMapping[str, Any]
FORM = b"application/x-www-form-urlencoded"

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Inference:
    """ASGI application for POST v2/models/NAME[/versions/VERSION]/infer; the scope holds both as path parameters."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or refuses it."""
        headers: Headers = scope.get("pairnet.headers") or dict(scope["headers"])
        name, version = scope["path_params"]["name"], scope["path_params"].get("version", "")
        origin, connection = of_scope(scope, name), scope.get("pairnet.connection")
        entry = entry_of(scope, self._service)
        is_gone = never if connection is None else connection.is_closing
        trace = None
        if self._service.tracer is not None or b"traceparent" in headers:
            trace = self._service.trace(
                *(_values(scope["headers"], field) for field in (b"traceparent", b"tracestate"))
            )
        if trace is not None:
            send = _traced(send, trace.traceparent)
        parts: list[bytes | bytearray] = []
        try:
            try:
                size = await self._receive(origin, headers, receive, parts, entry, trace)
                found, content = await self._service.infer(
                    origin,
                    name,
                    version,
                    lambda model: parse(model, whole(parts), headers, entry),
                    lambda model, request, outputs: compressed(headers, *encode(model, request, outputs)),
                    is_gone,
                    is_large=takes_long(headers, size),
                    compresses=b"accept-encoding" in headers,
                    trace=trace,
                )
            finally:  # held until the answer is there, and not while the client reads it
                entry.close()
                parts.clear()
        except Exception as error:
            refusal = error if isinstance(error, RequestError) else self._service.count_refusal(error, origin)
            await refuse(send, refusal, closes=b"expect" in headers)
        else:
            await respond(send, 200, found, content)

    async def _receive(
        self,
        origin: Origin,
        headers: Headers,
        receive: Receive,
        parts: list[bytes | bytearray],
        entry: Entry,
        trace: Trace | None,
    ) -> int:
        """Adds the body of a request to `parts`, as it was sent -> its length."""
        more, total = True, 0
        try:
            limit = _limit(headers)
            while more:
                part, more = await next_part(receive)
                entry.check()
                add_part(parts, part)
                total += len(part)
                if total > limit:
                    raise RequestError(f"expected at most {limit:,} bytes, got more", "large")
        except RequestError as error:
            refusal = self._service.count_refusal(error, origin, trace=trace)
            entry.close()  # what still arrives is dropped
            if more and error.kind in ("large", "media", "busy") and b"expect" not in headers:
                await _discard(receive)
            raise refusal from None
        return total


def _values(headers: Iterable[tuple[bytes, bytes]], field: bytes) -> list[str]:
    """The values of all headers of this name."""
    return [value.decode("latin-1") for name, value in headers if name == field]


def _traced(send: Send, traceparent: str) -> Send:
    """Sends as `send` does, and answers the trace of the request."""

    async def send_with_trace(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"].append((b"traceparent", traceparent.encode()))
        await send(message)

    return send_with_trace


def entry_of(scope: Scope, service: Service) -> Entry:
    """What a request holds in the account of its connection; without a connection, an entry that counts nothing."""
    return scope.get("pairnet.entry") or Entry(service.account)


def add_part(parts: list[bytes | bytearray], part: bytes) -> None:
    """Adds a part of a body: the first as it is, others to one buffer.

    A list of many parts and their join would take twice the memory, and leave it in pieces.
    """
    if not parts:
        parts.append(part)
        return
    if isinstance(parts[0], bytes):
        parts[0] = bytearray(parts[0])
    parts[0] += part


def whole(parts: list[bytes | bytearray]) -> bytes | bytearray:
    """The body that `add_part` has put together; it is no longer kept."""
    return parts.pop()


async def next_part(receive: Receive) -> tuple[bytes, bool]:
    """The next part of a body, and whether there are more.  RequestError if the client is gone."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise RequestError("expected a whole request, the connection was closed", "gone")
    return message.get("body", b""), message.get("more_body", False)


async def _discard(receive: Receive) -> None:
    """Waits for the end of a body, which is dropped: a client that is still sending does not look for the answer."""
    while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
        pass


async def respond(send: Send, status: int, headers: list[tuple[bytes, bytes]], content: bytes) -> None:
    """Sends a whole response."""
    headers.append((b"content-length", b"%d" % len(content)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def refuse(send: Send, error: RequestError, *, closes: bool = False) -> None:
    """Sends {"error": ...} with the status of its kind; closes: whether a body may follow that nobody reads."""
    headers = [(b"content-type", JSON)]
    if error.kind == "busy":
        headers.append((b"retry-after", b"1"))
    if closes or error.kind in ("busy", "gone", "large", "media"):  # the rest of the body is not read
        headers.append((b"connection", b"close"))
    await respond(send, STATUSES[error.kind][0], headers, msgspec.json.encode({"error": str(error)}))


def _limit(headers: Headers) -> int:
    """How many bytes a body may have.  RequestError for a type or length that is refused before it is read."""
    # curl sends FORM unless it is told otherwise; Triton takes it for JSON, too
    kind = headers.get(b"content-type", JSON).partition(b";")[0].strip().lower()
    if kind not in (JSON, BINARY, FORM):
        got = shown(kind.decode("latin-1"))
        raise RequestError(
            f"expected the Content-Type application/json or application/octet-stream, got {got}", "media"
        )
    limit = LARGEST_REQUEST if HEADER_LENGTH in headers or b"content-encoding" in headers else LARGEST_JSON
    if (length := headers.get(b"content-length", b"0")).isdigit() and int(length[:20]) > limit:
        raise RequestError(f"expected at most {limit:,} bytes, got {int(length[:20]):,}", "large")
    return limit
