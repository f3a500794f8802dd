"""Bodies of requests and answers in gzip and deflate."""

import zlib
from collections.abc import Callable, Mapping

from pairnet.errors import RequestError
from pairnet.serving.server.protocol import LARGEST_REQUEST
from pairnet.wording import shown

Headers = Mapping[bytes, bytes]

SMALLEST_COMPRESSED = 1024
"""Bytes of an answer from which it is compressed, if the client accepts that."""
MOST_MEMBERS = 4096
"""Members of a gzip body: each takes time, also an empty one."""
LARGEST_PART = 2**20
"""Bytes of content that are counted and kept at once."""
INFLATED_AT_ONCE = 64 * 1024
"""Compressed bytes that are inflated in one call, which copies those behind the end of a member."""


def compressed(
    headers: Headers, found: list[tuple[bytes, bytes]], content: bytes
) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The answer in an encoding that the client accepts, if it is large enough."""
    accepted = headers.get(b"accept-encoding")
    if accepted is None or len(content) < SMALLEST_COMPRESSED:
        return found, content
    names = {part.partition(b";")[0].strip().lower() for part in accepted.split(b",") if not _is_refused(part)}
    for name, bits in ((b"gzip", zlib.MAX_WBITS | 16), (b"deflate", zlib.MAX_WBITS)):
        if name in names:
            compressor = zlib.compressobj(1, wbits=bits)
            return [*found, (b"content-encoding", name)], compressor.compress(content) + compressor.flush()
    return found, content


def _is_refused(part: bytes) -> bool:
    """Whether an entry of Accept-Encoding has the weight 0."""
    weight = part.partition(b";")[2].replace(b" ", b"")
    return weight.startswith(b"q=0") and not weight.strip(b"q=0.")


def inflated(body: bytes | bytearray, headers: Headers, take: Callable[[int], None]) -> bytes | bytearray:
    """The body without its Content-Encoding: gzip or deflate.

    take: called with the bytes of each part before it is kept; raises RequestError if there is no room.
    """
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding == b"identity":
        return body
    if encoding not in (b"gzip", b"x-gzip", b"deflate"):
        got = shown(encoding.decode("latin-1"))
        raise RequestError(f"expected the Content-Encoding gzip, deflate or none, got {got}", "media")
    try:
        content = _members(body, take)
    except zlib.error:
        content = None
    if content is None:
        raise RequestError("expected a body in the declared Content-Encoding, got other bytes")
    return content


def _members(body: bytes | bytearray, take: Callable[[int], None]) -> bytearray | None:
    """What a body holds: one zlib stream, or one or more gzip members (RFC 1952); None if the last is not whole.

    Raises zlib.error for other bytes, RequestError for too much content, and what `take` raises.
    """
    content, start, members, is_full = bytearray(), 0, 0, False
    inflating = zlib.decompressobj(zlib.MAX_WBITS | 32)  # recognises both formats
    while start < len(body) or (is_full and not inflating.eof):
        if inflating.eof:
            members += 1
            if body[:2] != b"\x1f\x8b" or members >= MOST_MEMBERS:
                return None
            inflating = zlib.decompressobj(zlib.MAX_WBITS | 16)
        given = body[start : start + INFLATED_AT_ONCE]
        part = inflating.decompress(given, LARGEST_PART)
        start += len(given) - len(inflating.unused_data) - len(inflating.unconsumed_tail)
        is_full = len(part) == LARGEST_PART  # there may be more of what was given
        if len(content) + len(part) > LARGEST_REQUEST:
            raise RequestError(f"expected at most {LARGEST_REQUEST:,} bytes after decompression, got more", "large")
        take(len(part))
        content += part
    return content if inflating.eof else None
