"""Where a request comes from: protocol, client, method, path and the name of the model, as the access log has them."""

import ipaddress
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote

LONGEST_TEXT = 200
"""Characters of each of these in the access log, and of an error."""


class Origin(NamedTuple):
    """What is known of a request before it is read; empty what is not."""

    protocol: str  # rest or grpc
    client: str = ""  # its address, without the port
    method: str = ""  # of HTTP
    path: str = ""  # without what follows "?"
    model: str = ""  # its name as the client wrote it

    def fields(self) -> dict[str, str]:
        """The fields of a line, of bounded length."""
        return {name: value[:LONGEST_TEXT] for name, value in self._asdict().items()}


def of_scope(scope: Mapping[str, Any], model: str = "") -> Origin:
    """The origin of a request over HTTP, from ASGI's scope."""
    client = scope.get("client")
    return Origin("rest", client[0] if client else "", scope.get("method", ""), scope.get("path", ""), model)


def of_call(path: str, peer: str, model: str = "") -> Origin:
    """The origin of a gRPC call; peer: gRPC's name of the client."""
    return Origin("grpc", peer_address(peer), "POST", path, model)


def plain_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IP address, of version 4 if it is one that is written in version 6.  ValueError for another text."""
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def peer_address(peer: str) -> str:
    """The address in gRPC's name of a client: "ipv6:%5B::1%5D:5000" -> "::1"."""
    return unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")
