"""Runs the server: takes the ports, serves REST and gRPC in one event loop, and stops without losing a request."""

import asyncio
import contextlib
import errno
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, TextIO

import grpc
import uvicorn

from pairnet.errors import ArgumentError, PortError
from pairnet.serving.server.access_log import AccessLog
from pairnet.serving.server.admission import Admission, is_here
from pairnet.serving.server.app import Application
from pairnet.serving.server.changes import Changes
from pairnet.serving.server.connections import LAST_REQUEST, Connection
from pairnet.serving.server.crowding import raise_file_limit
from pairnet.serving.server.draining import refuse_connections
from pairnet.serving.server.registry import MEMORY, Registry, open_models
from pairnet.serving.server.rpc import OPTIONS, Calls
from pairnet.serving.server.service import Control, Service
from pairnet.serving.server.tracing import open_tracer

LONGEST_STOP = 30.0
"""Seconds after which a server that stops gives up what is still unanswered."""


class Addresses(NamedTuple):
    """Where a server listens."""

    rest: str  # "127.0.0.1:8080", also if that is one of several
    grpc: str


def serve(
    files: Sequence[Path],
    *,
    folder: Path | None = None,
    control: Control = "",
    memory: float = MEMORY,
    host: str = "127.0.0.1",
    port: int = 8080,
    grpc_port: int = 8081,
    provider: str = "auto",
    max_batch: int = 64,
    max_wait: float | None = None,
    threads: int | None = None,
    log: TextIO | None = None,
    access_log: bool = False,
    allowed_hosts: Sequence[str] = (),
    cors_origins: Sequence[str] = (),
    tracing: bool = False,
    on_ready: Callable[[Registry, Addresses], None] = lambda models, addresses: None,
) -> None:
    """Serves exported files and a folder of models until SIGINT, SIGTERM or SIGHUP; a second drops what is open.

    folder: of models, see registry.Registry, as `memory`. control: who may load and unload them; without, there must be
    one. host: address to listen on. port, grpc_port: 0 takes any free port. max_wait: seconds, see batching.Batcher.
    threads: that compute the requests of one model on a CPU (default: the cores that this process may use).
    log: gets a line for each load and unload, and with `access_log` for each request.
    allowed_hosts: names under which clients may ask, besides those of this machine (default: on an address of this
    machine only, no further ones; on others, any). cors_origins: of pages that may read answers, "*" for any.
    tracing: whether OpenTelemetry gets spans, see tracing.open_tracer.
    on_ready: called once both ports are open.
    Raises PortError for a port that cannot be taken, and what registry.open_models and tracing.open_tracer raise.
    """
    for name, number in (("port", port), ("grpc_port", grpc_port)):
        if not 0 <= number <= 65535:
            raise ArgumentError(f"`{name}`: expected 0 to 65535, got {number}")
    if port == grpc_port != 0:
        raise ArgumentError(f"`grpc_port`: expected another port than `port`, got {port} for both")
    raise_file_limit()
    with (
        open_models(
            files,
            folder=folder,
            provider=provider,
            max_batch=max_batch,
            max_wait=max_wait,
            threads=threads,
            memory=memory,
            may_be_none=bool(control and folder),
        ) as models,
        _listening(host, port) as listener,
        open_tracer() if tracing else contextlib.nullcontext() as tracer,
    ):
        hosts = allowed_hosts if allowed_hosts or is_here(listener.getsockname()[0]) else None
        lines = None if log is None else AccessLog(log)
        service = Service(
            models=models,
            control=control,
            changes=Changes(lines),
            log=lines,
            access_log=lines if access_log else None,
            tracer=tracer,
        )
        models.report(service.changes.note)
        config = uvicorn.Config(
            Application(service, Admission(hosts=hosts, origins=cors_origins)),
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=round(LONGEST_STOP),
        )
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # bad requests are answered, not logged

        def announce(grpc_number: int) -> None:
            shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # an address that a browser can open
            name = f"[{shown}]" if ":" in shown else shown
            on_ready(models, Addresses(f"{name}:{listener.getsockname()[1]}", f"{name}:{grpc_number}"))

        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(_serve(config, service, listener, host, grpc_port, announce))


class HttpServer(uvicorn.Server):
    """uvicorn's server, with signals that stop REST and gRPC together."""

    def __init__(self, config: uvicorn.Config, service: Service, calls: Calls, rpc: grpc.aio.Server) -> None:
        super().__init__(config)
        self._service, self._calls, self._rpc = service, calls, rpc

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handles SIGINT, SIGTERM and SIGHUP while the server runs; the process then ends by itself, with status 0.

        A SIGHUP that is ignored, as under nohup, stays ignored.
        """
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """The first signal stops the server, a second one also drops what is unanswered.

        A terminal that is closed may send SIGHUP several times, which is one wish.
        """
        self.force_exit = self.force_exit or (self.should_exit and sig != signal.SIGHUP)
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to stop; once a second, connections that are slow to send are closed."""
        if counter % 10 == 0:
            self._service.account.tidy()
            now = monotonic()
            for connection in list(self.server_state.connections):
                connection.close_if_slow(now)  # type: ignore[union-attr]
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes no further connections, answers what has been sent, closes the connections and then the port.

        When gRPC stops, it drops calls that have not reached their handler. So for a moment before that, new calls
        are refused with UNAVAILABLE, and clients turn to another server.
        """
        self._service.stops = True
        for each in sockets or ():
            refuse_connections(each)
        for connection in list(self.server_state.connections):
            connection.shutdown()
        self._calls.stop()
        self._service.models.stop()

        async def stop_rpc() -> None:
            await asyncio.sleep(0 if self.force_exit else LAST_REQUEST)
            stopped = asyncio.ensure_future(self._rpc.stop(LONGEST_STOP))
            while not stopped.done() and not self.force_exit:
                await asyncio.wait((stopped,), timeout=0.5)
                if not self._calls.calls:  # gRPC would wait for clients that do not tell what they have begun
                    self._calls.calls.end_connections()
            if self.force_exit:
                await self._rpc.stop(0)
                self._calls.calls.end_connections()
            await stopped

        async def stop_rest() -> None:
            await asyncio.sleep(0 if self.force_exit else LAST_REQUEST)  # connections that have begun are accepted
            await super(HttpServer, self).shutdown(sockets)

        await asyncio.gather(stop_rpc(), stop_rest())


async def _serve(
    config: uvicorn.Config,
    service: Service,
    listener: socket.socket,
    host: str,
    grpc_port: int,
    announce: Callable[[int], None],
) -> None:
    rpc = grpc.aio.server(options=OPTIONS)
    calls = Calls(service)
    rpc.add_generic_rpc_handlers(calls.handlers())
    number = calls.calls.port = _add_port(rpc, listener.getsockname()[0], grpc_port)
    await rpc.start()
    sys.setswitchinterval(0.0005)  # a batch that is computed asks for the interpreter; the default makes it wait 5 ms
    gc.collect()
    gc.freeze()  # what is loaded by now stays: the collector need not look at it, which takes 30 ms each time
    server = HttpServer(config, service, calls, rpc)
    with server.capture_signals():  # before anybody knows that the server runs, and could stop it
        announce(number)
        await server.serve(sockets=[listener])
    await rpc.stop(None)  # if a signal came before the server had begun
    service.decoders.close()


@contextlib.contextmanager
def _listening(host: str, port: int, name: str = "port") -> Iterator[socket.socket]:
    """A socket that listens.  Raises PortError if the address or the port cannot be taken."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        both = host == "::" and socket.has_dualstack_ipv6()
        listener = socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=both)
    except socket.gaierror as error:
        raise ArgumentError(f"`host`: expected an address of this machine, got {host!r}: {error.strerror}") from None
    except OSError as error:
        raise _port_error(name, host, port, error) from None
    with listener:
        yield listener


def _add_port(rpc: grpc.aio.Server, host: str, port: int) -> int:
    """The port that gRPC listens on.  gRPC does not say why it cannot take one, so the port is tried first."""
    with _listening(host, port, "grpc_port"):
        pass
    name = f"[{host}]" if ":" in host else host
    try:
        return int(rpc.add_insecure_port(f"{name}:{port}"))
    except RuntimeError:
        raise PortError(f"`grpc_port`: expected a free port, gRPC cannot take {port}") from None


def _port_error(name: str, host: str, port: int, error: OSError) -> PortError:
    if error.errno == errno.EADDRINUSE:
        remedy = "stop that program or name another port, 0 for any"
        return PortError(f"`{name}`: expected a free port, {host}:{port} is in use: {remedy}")
    return PortError(f"`{name}`: expected a port that can be taken, got {port} on {host}: {error.strerror}")
