"""grpc.health.v1: which services and models take requests, for probes that ask once and for clients that watch.

The messages are those of grpcio-health-checking. Its servicer is not used: it keeps states of its own, and of two that
watch the same name, the second learns nothing more once the first has left (1.80.0).
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from grpc_health.v1 import health, health_pb2
from tritonclient.grpc import service_pb2

from pairnet.errors import RequestError
from pairnet.serving.server.service import Service

NAME = health.SERVICE_NAME
INFERENCE = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
MOST_WATCHERS = 256
"""Clients that may watch at the same time."""


class Health:
    """The states of the server ("", and the names of its services) and of its models."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._changed = asyncio.Event()
        self._watchers = 0
        self._stops = False
        service.models.watch(lambda name, state: self.notify())

    def notify(self) -> None:
        """Tells the watchers what has changed."""
        self._changed.set()
        self._changed = asyncio.Event()

    def stop(self) -> None:
        """Tells the watchers the last state, and ends their streams."""
        self._stops = True
        self.notify()

    def check(self, asked: Any) -> Any:
        """The answer to a HealthCheckRequest.  RequestError for an unknown name."""
        state = self._state(asked.service)
        if state == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN:
            raise RequestError(f"expected a model, a service or nothing, got {asked.service[:80]!a}", "unknown")
        return health_pb2.HealthCheckResponse(status=state)

    async def watch(self, asked: Any) -> AsyncGenerator[Any]:
        """The state now, and whenever it is another one.  RequestError if too many watch."""
        if self._watchers >= MOST_WATCHERS:
            raise RequestError(f"expected at most {MOST_WATCHERS} clients that watch, got another one", "busy")
        self._watchers += 1
        try:
            last = None
            while True:
                changed, state, stops = self._changed, self._state(asked.service), self._stops
                if state != last:
                    yield health_pb2.HealthCheckResponse(status=state)
                    last = state
                if stops:
                    return
                await changed.wait()
        finally:
            self._watchers -= 1

    def _state(self, name: str) -> Any:
        if name in ("", INFERENCE, NAME):
            ready = self._service.ready
        elif name in (states := self._service.models.states()):
            ready = states[name] == "READY"
        else:
            return health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        serves = ready and not self._service.stops
        return health_pb2.HealthCheckResponse.SERVING if serves else health_pb2.HealthCheckResponse.NOT_SERVING
