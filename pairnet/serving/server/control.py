"""The protocol's model repository extension: the index for everybody, loads and unloads for those who may.

There is no authorisation. So loads and unloads are refused unless the server was told who may ask: clients on this
machine, or all. A proxy on this machine, and a web page in a browser on it, ask for somebody else, and show it by their
headers.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response

from pairnet.errors import RequestError
from pairnet.serving.server.admission import host_name, is_here
from pairnet.serving.server.changes import Verb
from pairnet.serving.server.origin import plain_address
from pairnet.serving.server.service import Service
from pairnet.wording import shown

LARGEST = 64 * 1024
"""Bytes of a request: it names a model, and brings none."""
FOR_OTHERS = frozenset(
    (
        "forwarded",
        "x-real-ip",
        "via",
        "origin",
        "sec-fetch-site",
        "cf-connecting-ip",
        "true-client-ip",
        "x-client-ip",
        "x-original-forwarded-for",
        "x-envoy-external-address",
    )
)
"""Headers of requests that a client on this machine passes on for somebody else, besides x-forwarded-..."""
TAKEN = ("unload_dependents",)
"""Parameters that mean nothing here, and which clients send always."""


class Asked(msgspec.Struct):
    """The JSON of a request."""

    ready: bool = False
    parameters: dict[str, Any] = {}


_ASKED = msgspec.json.Decoder(Asked)


def add_routes(app: FastAPI, service: Service) -> None:
    """The extension over REST."""

    @app.post("/v2/repository/index", tags=["repository"], summary="Names, versions and states of all models")
    async def index(request: Request) -> list[dict[str, str]]:
        return service.models.index(ready=(await _asked(request)).ready)

    @app.post("/v2/repository/models/{name}/load", tags=["repository"], summary="Reads a model again, all its versions")
    async def load(name: str, request: Request) -> Response:
        return await _changed(service, "load", name, request)

    @app.post(
        "/v2/repository/models/{name}/unload",
        tags=["repository"],
        summary="Unloads a model, all its versions",
    )
    async def unload(name: str, request: Request) -> Response:
        return await _changed(service, "unload", name, request)


async def change(
    service: Service,
    verb: Verb,
    name: str,
    *,
    client: str,
    headers: Sequence[str],
    parameters: Sequence[str],
    host: str = "",
) -> None:
    """Loads or unloads a model.

    client: the address that asks. headers: the names of those that came with the request. parameters: names, too.
    host: the header Host, if there is one.
    Raises RequestError if the client may not, for a parameter, and what the registry refuses.
    """
    _check_allowed(service, verb, client, headers, host)
    for parameter in parameters:
        if parameter not in TAKEN:
            raise RequestError(
                f"expected no parameter {shown(parameter)}: a model is loaded from its files in the server's folder, "
                "with their own configuration; copy the files there"
            )
    if service.stops:
        raise RequestError("expected a running server, this one stops: try another", "busy")
    await (service.models.load if verb == "load" else service.models.unload)(name)


def _check_allowed(service: Service, verb: Verb, client: str, headers: Sequence[str], host: str) -> None:
    if not service.control:
        raise RequestError(f"expected a server with `--control`, got {_a(verb)} to one without", "forbidden")
    if service.control == "anywhere":
        return
    if not _is_loopback(client):
        raise RequestError(
            f"expected {_a(verb)} from the server's own machine, got one from {shown(client)}: ask there, or start it "
            "with `--control-anywhere`",
            "forbidden",
        )
    if passed := [each for each in headers if each in FOR_OTHERS or each.startswith("x-forwarded")]:
        raise RequestError(
            f"expected {_a(verb)} from the server's own machine, got one with the header {passed[0]}, which a proxy or "
            "a browser adds: ask without, or start it with `--control-anywhere`",
            "forbidden",
        )
    if not is_here(host_name(host).strip("[]")):
        raise RequestError(
            f"expected {_a(verb)} from the server's own machine, got one with the Host {shown(host)}, as of a proxy: "
            "ask for localhost, or start it with `--control-anywhere`",
            "forbidden",
        )


def _a(verb: Verb) -> str:
    return "an unload" if verb == "unload" else "a load"


def _is_loopback(client: str) -> bool:
    try:
        return plain_address(client).is_loopback
    except ValueError:
        return False


async def _changed(service: Service, verb: Verb, name: str, request: Request) -> Response:
    client = request.client.host if request.client else ""
    headers, host = request.headers.keys(), request.headers.get("host", "")
    _check_allowed(service, verb, client, headers, host)  # before the body is read
    asked = await _asked(request)
    await change(service, verb, name, client=client, headers=headers, parameters=list(asked.parameters), host=host)
    return Response()


async def _asked(request: Request) -> Asked:
    """The body of a request; it may be empty."""
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > LARGEST:
            raise RequestError(
                f"expected at most {LARGEST:,} bytes, got more: models are loaded from files in the server's folder",
                "large",
            )
    if not content.strip():
        return Asked()
    try:
        return _ASKED.decode(content)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise RequestError(f"expected the JSON of a request to the model repository: {str(error)[:200]}") from None
