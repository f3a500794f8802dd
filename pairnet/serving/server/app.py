"""Everything over HTTP except inference: health, metadata, statistics, metrics, documentation, and the page to draw on.

Inference is in rest.py, pictures are in decode.py; here are only their routes and the documentation of inference.
"""

import re
from collections.abc import Callable, Coroutine
from functools import partial
from importlib.resources import files
from typing import Annotated, Any

import msgspec
from fastapi import FastAPI, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from pairnet.errors import RequestError
from pairnet.serving.server import control, description
from pairnet.serving.server.admission import Admission
from pairnet.serving.server.decode import add_decode
from pairnet.serving.server.metrics import Metrics
from pairnet.serving.server.origin import Origin, of_scope
from pairnet.serving.server.protocol import STATUSES
from pairnet.serving.server.registry import Registry
from pairnet.serving.server.rest import Inference, Receive, Scope, Send, refuse
from pairnet.serving.server.rest_format import HEADER_LENGTH, Body
from pairnet.serving.server.served import ServedModel, find
from pairnet.serving.server.service import Service
from pairnet.version import __version__

Name = Annotated[str, Path(description="Name of a model")]
Version = Annotated[str, Path(description="Version of the model")]

PAGE = {
    "/": ("index.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
"""The files of the page, by path."""

DOCUMENTATION = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
"""The files of /docs, of the package fastapi-offline."""

INFER = ("/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer")
"""The routes of inference."""
INFER_PATH = re.compile(r"/v2/models/([^/]*)(?:/versions/([^/]*))?/infer")
"""The same as one expression, which takes less time than the router."""

EXAMPLE = {
    "inputs": [{"name": "pair", "datatype": "UINT8", "shape": [1, 2, 28, 28], "data": [0] * 1568}],
    "outputs": [{"name": "probability"}],
}
"""A request for the documentation."""

REFUSALS = {
    400: "The request does not fit the protocol or the model",
    403: "A page of another site asks, or for another host",
    404: "No such model or version",
    413: "Too large",
    415: "Another type or encoding than the server reads",
    503: "The queue is full",
    504: "The request's timeout passed before its turn",
}

SECURITY = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
"""Headers of the page: it loads nothing from elsewhere."""


class Application:
    """The whole ASGI application: inference takes a short path, everything else goes through FastAPI."""

    def __init__(self, service: Service, admission: Admission | None = None) -> None:
        self.service = service
        self.admission = admission or Admission()
        self.infer = Inference(service)
        self.rest = make_app(service, self.infer)
        self.answer: Any = self._answer
        if self.admission.origins:
            self.answer = CORSMiddleware(
                self._answer,
                allow_origins=[origin.decode() for origin in self.admission.origins],
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
                expose_headers=[HEADER_LENGTH.decode(), "retry-after"],
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        headers = scope["pairnet.headers"] = dict(scope.get("headers", ()))
        try:
            if (refusal := self.admission.refusal(scope.get("method", ""), headers, scope.get("path", ""))) is None:
                await self.answer(scope, receive, send)
            else:
                error = self.service.count_refusal(refusal, of_scope(scope))
                await refuse(send, error, closes=b"expect" in headers)
        finally:
            if (entry := scope.get("pairnet.entry")) is not None:
                entry.close()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # uvicorn, which has the original, leaves out the body
        if scope["type"] == "http" and scope["method"] == "POST" and (found := INFER_PATH.fullmatch(scope["path"])):
            scope["path_params"] = {"name": found[1], "version": found[2] or ""}
            return await self.infer(scope, receive, send)
        return await self.rest(scope, receive, send)


def make_app(service: Service, infer: Inference) -> FastAPI:
    """The routes of the server, documented under /docs without resources from elsewhere."""
    app = FastAPI(
        title="pairnet",
        version=__version__,
        description="Two handwritten digits: is the first equal to or less than the second? Open Inference Protocol 2.",
        docs_url=None,
        redoc_url=None,
    )
    _add_page(app)
    _add_documentation(app)
    _add_health(app, service)
    _add_models(app, service)
    control.add_routes(app, service)
    _add_metrics(app, service)
    add_decode(app, service)
    for path in INFER:
        app.router.routes.append(Route(path, infer, methods=["POST"]))
    for kind in (HTTPException, RequestValidationError, RequestError, ClientDisconnect):
        app.add_exception_handler(kind, partial(_explained, service))
    app.add_exception_handler(Exception, partial(_failed, service))
    app.router.redirect_slashes = False  # its redirections lead to http, also behind a proxy that speaks https
    documented = app.openapi
    app.openapi = lambda: _completed(documented(), service.models)  # type: ignore[method-assign]
    return app


def _add_page(app: FastAPI) -> None:
    folder = files(__package__) / "page"

    def serve(name: str, kind: str) -> Callable[[], Response]:
        content = (folder / name).read_bytes()
        return lambda: Response(content, media_type=kind, headers=SECURITY)

    for path, (name, kind) in PAGE.items():
        app.get(path, include_in_schema=False)(serve(name, kind))


def _add_documentation(app: FastAPI) -> None:
    """/docs, with relative addresses only: a proxy may put the server under any path.

    Its files are kept in memory, once for all clients: sent from the disk, each takes a thread and memory of its own.
    """
    folder = "static-offline-docs"

    def serve(name: str, kind: str) -> Callable[[], Coroutine[Any, Any, Response]]:
        content = (files("fastapi_offline") / "static" / name).read_bytes()

        async def send() -> Response:
            return Response(content, media_type=kind, headers={"cache-control": "max-age=3600"})

        return send

    for name, kind in DOCUMENTATION.items():
        app.get(f"/{folder}/{name}", include_in_schema=False)(serve(name, kind))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=f"{app.title} - Swagger UI",
            swagger_js_url=f"{folder}/swagger-ui-bundle.js",
            swagger_css_url=f"{folder}/swagger-ui.css",
            swagger_favicon_url=f"{folder}/favicon.png",
        )


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/v2/health/live", tags=["health"], summary="Whether the server runs")
    async def live() -> Response:
        return Response()

    @app.get("/v2/health/ready", tags=["health"], summary="Whether the server has a model that takes requests")
    async def ready() -> Response:
        return _readiness(service.ready)

    @app.get("/v2", tags=["metadata"], summary="Name, version and extensions of the server")
    async def server_metadata() -> dict[str, Any]:
        return description.server_metadata()


def _readiness(ready: bool) -> Response:
    return Response(status_code=200 if ready else 503)


def _add_models(app: FastAPI, service: Service) -> None:
    """The routes of one model, with and without its version, and those of all models."""
    models = service.models
    answers: dict[str, tuple[str, str, Callable[[ServedModel], Any]]] = {
        "": ("metadata", "Versions, inputs and outputs of a model", partial(description.described, models=models)),
        "/ready": ("health", "Whether a model takes requests", lambda _: _readiness(not service.stops)),
        "/config": ("metadata", "Configuration of a model", description.served_configuration),
        "/stats": ("metrics", "Statistics of a model", lambda model: description.model_statistics([model])),
    }

    @app.get("/v2/models/stats", tags=["metrics"], summary="Statistics of all models")
    async def statistics() -> dict[str, Any]:
        return description.model_statistics(models.all_versions())

    def add(ending: str, tag: str, summary: str, answer: Callable[[ServedModel], Any]) -> None:
        async def unversioned(name: Name) -> Any:
            return answer(find(models, name))

        async def versioned(name: Name, version: Version) -> Any:
            return answer(find(models, name, version))

        responses: dict[int | str, dict[str, Any]] = {404: {"description": "No such model or version"}}
        for path, call in (("/v2/models/{name}", unversioned), ("/v2/models/{name}/versions/{version}", versioned)):
            app.get(f"{path}{ending}", tags=[tag], summary=summary, responses=responses, response_model=None)(call)

    for ending, (tag, summary, answer) in answers.items():
        add(ending, tag, summary, answer)


def _add_metrics(app: FastAPI, service: Service) -> None:
    registry = CollectorRegistry()
    registry.register(Metrics(service))
    ProcessCollector(registry=registry)

    @app.get("/metrics", tags=["metrics"], summary="Metrics for Prometheus", response_class=PlainTextResponse)
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


async def _explained(service: Service, request: Request, error: Exception) -> Response:
    """The protocol's form of an error, {"error": ...}, for everything that a route or the router refuses; counted."""
    headers = MutableHeaders(error.headers) if isinstance(error, HTTPException) else MutableHeaders()
    refusal = error if isinstance(error, RequestError) else _refusal(service, request, error, headers)
    service.count_refusal(refusal, _origin(request))
    if refusal.kind == "busy":
        headers["retry-after"] = "1"
    if "expect" in request.headers:  # a body may follow that nobody reads
        headers["connection"] = "close"
    code = {} if refusal.code is None else {"code": refusal.code}
    return JSONResponse({"error": str(refusal), **code}, STATUSES[refusal.kind][0], headers=dict(headers))


def _origin(request: Request) -> Origin:
    named = request.path_params.get("name") or request.query_params.get("model", "")  # of /decode
    return of_scope(request.scope, named)


def _hint(path: str) -> str:
    """What to do about a path that there is not."""
    if path.rstrip("/") == "/v2/models":
        return "POST /v2/repository/index lists the models"
    return "leave out the slash at its end" if path.endswith("/") else "see /docs"


def _refusal(service: Service, request: Request, error: Exception, headers: Headers) -> RequestError:
    """What a client is told about an error of the router or of FastAPI."""
    if isinstance(error, HTTPException) and error.status_code == 404:
        return RequestError(
            f"expected a path of the protocol, got {request.url.path[:200]!a}: {_hint(request.url.path)}", "unknown"
        )
    if isinstance(error, HTTPException) and error.status_code == 405:
        allowed = headers.get("allow", "another method")
        return RequestError(f"expected {allowed} for this path, got {request.method}", "method")
    if isinstance(error, RequestValidationError):  # `model` of /decode: the other parameters are part of a path
        return RequestError(f"expected ?model=NAME, one of {', '.join(service.models)}, got none", "invalid")
    if isinstance(error, ClientDisconnect):
        return RequestError("expected a whole request, the connection was closed", "gone")
    return RequestError(str(getattr(error, "detail", error)), "invalid")


async def _failed(service: Service, request: Request, error: Exception) -> Response:
    """An error of ours: counted, with its traceback in the log."""
    return JSONResponse({"error": str(service.count_refusal(error, _origin(request)))}, 500)


def _completed(document: dict[str, Any], models: Registry) -> dict[str, Any]:
    """FastAPI's OpenAPI document with the routes of inference, and with `models` as the values of their parameters.

    The schema of inference is that of the type which reads requests.
    """
    (schema,), components = msgspec.json.schema_components([Body], ref_template="#/components/schemas/{name}")
    document["components"] = {"schemas": components}  # instead of FastAPI's errors, which are answered in another form
    for path in INFER:
        names = ["name", "version"] if "version" in path else ["name"]
        document["paths"][path] = {
            "post": {
                "tags": ["inference"],
                "summary": "P(first ≤ second) for pairs of digits",
                "description": "JSON, or JSON followed by binary tensors, whose length the header "
                "Inference-Header-Content-Length then separates.",
                "parameters": [{"name": each, "in": "path", "required": True} for each in names],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": schema, "example": EXAMPLE}},
                },
                "responses": {
                    "200": {
                        "description": "The outputs",
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    },
                    **{str(status): {"description": text} for status, text in REFUSALS.items()},
                },
            }
        }
    document["servers"] = [{"url": ".", "description": "this server"}]  # relative to the document itself
    names, versions = list(models), {model.version for model in models.all_versions()}
    values = {"name": names, "model": names, "version": sorted(versions, key=int)}
    for operation in (each for operations in document["paths"].values() for each in operations.values()):
        operation["responses"].pop("422", None)  # what FastAPI answers unless it is told otherwise; here it is 400
        for parameter in operation.get("parameters", ()):
            parameter["schema"] = {"type": "string", "enum": values[parameter["name"]]}
    return document
