"""What the head of a request over REST may be, and what it costs."""

import httptools

from pairnet.errors import RequestError

LARGEST_HEAD = 64 * 1024
"""Bytes of a request's line and headers; also of trailers, and of what else stands around the parts of a body."""
MOST_FIELDS = 200
"""Header fields of a request: each takes far more memory than its bytes."""
COST_OF_FIELD = 150
"""Bytes of memory, about, of a header field besides its name and value."""
SMALL_HEAD = 16 * 1024
"""Bytes of memory up to which a head is taken even if too many bytes wait: probes are answered."""


def with_path(url: bytes) -> bytes:
    """A request's target with the path / if it is an URL without one (RFC 9112, section 3.2.2)."""
    parsed = httptools.parse_url(url)
    return url if parsed.path is not None else b"/" if parsed.query is None else b"/?" + parsed.query


def too_large_head() -> RequestError:
    return RequestError(f"expected a head of at most {LARGEST_HEAD:,} bytes, got more")


def too_many_fields() -> RequestError:
    return RequestError(f"expected at most {MOST_FIELDS} header fields, got more")
