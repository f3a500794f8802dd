"""Which requests of browsers are answered: names in the header Host, and origins of pages.

A page of any site can send requests to a server on this machine. Without these checks it could read the answers, too,
under a name of its own that it lets point to 127.0.0.1 (DNS rebinding).
"""

import ipaddress
import re
from collections.abc import Collection, Mapping
from contextlib import suppress

from pairnet.errors import ArgumentError, RequestError
from pairnet.serving.server.origin import plain_address
from pairnet.wording import shown

ANY = "*"
PROBES = "/v2/health/"
"""Paths that are answered under any name: they tell nothing that is secret, and kubelet asks by address."""
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.IGNORECASE)
_ORIGIN = re.compile(r"https?://[^/\s?#@]+")
_MOST_KNOWN = 100


class Admission:
    """What is checked of each request, before anything else."""

    def __init__(self, *, hosts: Collection[str] | None = None, origins: Collection[str] = ()) -> None:
        """hosts: names besides those of this machine; None for any.  origins: of pages that may read answers.

        Raises ArgumentError for what is no name of a host, and what is no origin.
        """
        for origin in origins:
            if origin != ANY and not _ORIGIN.fullmatch(origin):
                raise ArgumentError(
                    f"`cors_origins`: expected an origin such as https://example.org, or {ANY}, got {shown(origin)}"
                )
        self.hosts = None if hosts is None else frozenset(map(_host, hosts))
        self.origins = frozenset(origin.encode() for origin in origins)
        self._known: set[bytes] = set()  # values of Host that were found right

    def refusal(self, method: str, headers: Mapping[bytes, bytes], path: str = "") -> RequestError | None:
        """Why a request is not answered, if so."""
        host = headers.get(b"host")
        if host is not None and host not in self._known and not path.startswith(PROBES):
            error = self._host_refusal(host)
            if error is not None:
                return error
        if headers.get(b"sec-fetch-site") == b"cross-site":
            linked = headers.get(b"sec-fetch-mode") == b"navigate" and method in ("GET", "HEAD")
            if not linked and headers.get(b"origin") not in self.origins and ANY.encode() not in self.origins:
                return RequestError(
                    "expected a request of a page of this server, got one of another site: name its origin with "
                    "--cors-origin when the server is started",
                    "forbidden",
                )
        return None

    def _host_refusal(self, host: bytes) -> RequestError | None:
        name = host_name(host.decode("latin-1")).removesuffix(".")
        if self.hosts is None or name in self.hosts or is_here(name) or _is_address(name):
            if len(self._known) < _MOST_KNOWN:
                self._known.add(host)
            return None
        names = ", ".join(sorted({"localhost", *self.hosts}))
        return RequestError(
            f"expected a name of this server as Host ({names}), got {shown(name)}: name it with --allowed-host when "
            "the server is started",
            "forbidden",
        )


def _host(name: str) -> str:
    """A name of --allowed-host as it is compared.  ArgumentError for what no header Host could match."""
    if not (_NAME.fullmatch(known := name.removesuffix(".")) or _is_address(name) or _is_address(f"[{name}]")):
        raise ArgumentError(
            f"`allowed_hosts`: expected a name of a host such as digits.example.org, without a port, got {shown(name)}"
        )
    return known.lower()


def _is_address(name: str) -> bool:
    """Whether a Host is an IP address, that of IPv6 in brackets: no other site can let one point to this machine."""
    with suppress(ValueError):
        return bool(ipaddress.IPv6Address(name[1:-1]) if name[:1] == "[" else ipaddress.IPv4Address(name))
    return False


def host_name(host: str) -> str:
    """The name or address in a header Host, without the port, in lower case."""
    return re.sub(r":\d*$", "", host.strip().lower())


def is_here(name: str) -> bool:
    """Whether a name or address of an URL means the machine of whoever asks."""
    with suppress(ValueError):
        return plain_address(name.strip("[]")).is_loopback
    name = name.removesuffix(".")
    return name in ("", "localhost") or name.endswith(".localhost")
