"""The protocol over gRPC, on the stubs that tritonclient brings: a second set in one process would clash with them."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, get_args

import grpc
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2
from tritonclient.grpc import service_pb2

from pairnet.errors import RequestError
from pairnet.serving.server import control, description
from pairnet.serving.server.batching import NamedOutputs
from pairnet.serving.server.changes import Verb
from pairnet.serving.server.connections import SLOWEST
from pairnet.serving.server.health import INFERENCE, Health
from pairnet.serving.server.health import NAME as HEALTH
from pairnet.serving.server.origin import Origin, of_call
from pairnet.serving.server.protocol import LARGEST_CALL, LONG_BINARY, LONG_TEXT, STATUSES, CheckedRequest
from pairnet.serving.server.receiving import Receiver
from pairnet.serving.server.rpc_format import Message, fill, parse
from pairnet.serving.server.served import ServedModel, find
from pairnet.serving.server.service import Service
from pairnet.serving.server.tracing import Trace

OPTIONS = (
    ("grpc.so_reuseport", 0),  # otherwise a second server takes a port that is in use
    ("grpc.server_handshake_timeout_ms", round(1000 * SLOWEST)),  # of connections that do not begin with HTTP/2
    ("grpc.http2.settings_timeout", round(1000 * SLOWEST)),  # of those whose client acknowledges nothing
    ("grpc.max_connection_idle_ms", 300_000),  # without calls: a client that has one connects again
    ("grpc.keepalive_time_ms", 60_000),  # otherwise calls of a machine that is gone stay
    ("grpc.keepalive_timeout_ms", round(1000 * SLOWEST)),
    ("grpc.max_concurrent_streams", 100),  # of a connection; a client keeps further calls back
    ("grpc.http2.bdp_probe", 0),  # otherwise a client may send megabytes that nobody has asked for
    ("grpc.max_receive_message_length", LARGEST_CALL),
    ("grpc.max_send_message_length", -1),
)

INFER, INFER_STREAM = (f"/{INFERENCE}/{name}" for name in ("ModelInfer", "ModelStreamInfer"))

CANCELS = 0.1
"""Seconds within which gRPC tells that a call without a message was cancelled."""

Receive = Callable[[], Awaitable[list[bytes]]]
"""Waits for the next message of a stream; empty at its end."""


class Calls:
    """The handlers of all calls. Requests arrive as bytes: gRPC would answer UNKNOWN for what it cannot read.

    Calls with one message are streams for gRPC, too: it hands them over when their headers are there, so that the time
    of the message can be limited. On the wire they are the same.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stops = False
        self._receiver = Receiver()
        self.health = Health(service)

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """What a gRPC server needs to serve the calls: inference, health and reflection."""
        simple: Mapping[str, Callable[[Message], Message]] = {
            "ServerLive": lambda _: service_pb2.ServerLiveResponse(live=True),
            "ServerReady": lambda _: service_pb2.ServerReadyResponse(ready=self._service.ready),
            "ServerMetadata": lambda _: _message("ServerMetadata", description.server_metadata()),
            "ModelReady": self._model_ready,
            "ModelMetadata": lambda asked: _message(
                "ModelMetadata", description.model_metadata(self._find(asked), self._service.models)
            ),
            "ModelConfig": lambda asked: _message(
                "ModelConfig", {"config": description.served_configuration(self._find(asked))}
            ),
            "ModelStatistics": lambda asked: _message(
                "ModelStatistics", description.model_statistics(self._chosen(asked))
            ),
            "RepositoryIndex": lambda asked: _message(
                "RepositoryIndex", {"models": self._service.models.index(ready=asked.ready)}
            ),
        }
        inference = {
            name: self._simple(f"/{INFERENCE}/{name}", getattr(service_pb2, f"{name}Request"), call)
            for name, call in simple.items()
        }
        inference["ModelInfer"] = grpc.stream_unary_rpc_method_handler(self._infer)
        for verb in get_args(Verb):
            inference[f"RepositoryModel{verb.title()}"] = self._change(verb)
        inference["ModelStreamInfer"] = self._stream(INFER_STREAM, self._inferred)
        health = {
            "Check": self._simple(f"/{HEALTH}/Check", health_pb2.HealthCheckRequest, self.health.check),
            "Watch": self._stream(f"/{HEALTH}/Watch", self._watched),
        }
        names = (INFERENCE, HEALTH, reflection.SERVICE_NAME)
        reflected = {
            "ServerReflectionInfo": self._stream(
                f"/{reflection.SERVICE_NAME}/ServerReflectionInfo",
                partial(_reflected, reflection.aio.ReflectionServicer(names)),
            )
        }
        return tuple(map(grpc.method_handlers_generic_handler, names, (inference, health, reflected)))

    def stop(self) -> None:
        """Refuses further calls and ends open streams after their current answer."""
        self._stops = True
        self._receiver.stop()
        self.health.stop()

    def _simple(self, path: str, kind: Any, call: Callable[[Message], Message]) -> grpc.RpcMethodHandler:
        """A call that is answered at once."""

        async def handle(_: object, context: grpc.aio.ServicerContext) -> bytes:
            origin = of_call(path, context.peer())
            try:
                asked = _parsed(kind, await self._message(context, origin))
                origin = origin._replace(model=getattr(asked, "name", ""))
                answer = call(asked)
            except Exception as error:
                return await _abort(context, self._service.count_refusal(error, origin))
            return bytes(answer.SerializeToString())

        return grpc.stream_unary_rpc_method_handler(handle)

    def _change(self, verb: Verb) -> grpc.RpcMethodHandler:
        """Loads or unloads a model."""

        async def handle(_: object, context: grpc.aio.ServicerContext) -> bytes:
            origin = of_call(f"/{INFERENCE}/RepositoryModel{verb.title()}", context.peer())
            try:
                kind = getattr(service_pb2, f"RepositoryModel{verb.title()}Request")
                asked = _parsed(kind, await self._message(context, origin))
                origin = origin._replace(model=asked.model_name)
                headers = [name for name, _ in context.invocation_metadata() or ()]
                await control.change(
                    self._service,
                    verb,
                    asked.model_name,
                    client=origin.client,
                    headers=headers,
                    parameters=[*asked.parameters],
                )
            except Exception as error:
                return await _abort(context, self._service.count_refusal(error, origin))
            return b""

        return grpc.stream_unary_rpc_method_handler(handle)

    def _stream(
        self, path: str, answers: Callable[[Receive, grpc.aio.ServicerContext], AsyncGenerator[bytes]]
    ) -> grpc.RpcMethodHandler:
        """A stream of requests, and of answers in the same order."""

        async def handle(_: object, context: grpc.aio.ServicerContext) -> None:
            async def receive() -> list[bytes]:
                content = None if self._stops else await self._receiver.message(context, is_stream=True)
                return [] if content is None else [content]

            try:
                async with aclosing(answers(receive, context)) as answered:
                    async for answer in answered:
                        await context.write(answer)
            except Exception as error:
                if not self._stops:
                    refusal = self._service.count_refusal(error, of_call(path, context.peer()))
                    await _abort(context, refusal)

        return grpc.stream_stream_rpc_method_handler(handle)

    async def _message(self, context: grpc.aio.ServicerContext, origin: Origin) -> bytes:
        try:
            content = await self._receiver.message(context)
            if content is None:  # also if the client has gone or gRPC refuses the message; then the task is cancelled
                await asyncio.sleep(CANCELS)
        except asyncio.CancelledError:
            # gRPC does not tell which: a message that is too large looks like a client that has left
            text = f"expected a message of at most {LARGEST_CALL:,} bytes, got a larger one, or a client that has left"
            self._service.count_refusal(RequestError(text, "gone"), origin)
            raise
        if content is None:
            raise RequestError("expected one message, got none")
        return content

    def _trace(self, context: grpc.aio.ServicerContext) -> Trace | None:
        """The trace of a call; its trailing metadata answer it."""
        sent = context.invocation_metadata() or ()
        trace = self._service.trace(
            *([value for name, value in sent if name == field] for field in ("traceparent", "tracestate"))
        )
        if trace is not None:
            context.set_trailing_metadata((("traceparent", trace.traceparent),))
        return trace

    async def _infer(self, _: object, context: grpc.aio.ServicerContext) -> bytes:
        origin = of_call(INFER, context.peer())
        try:
            contents = [await self._message(context, origin)]
        except RequestError as error:
            return await _abort(context, self._service.count_refusal(error, origin))
        trace = self._trace(context)
        try:
            if self._stops:
                stopping = RequestError("expected a running server, this one stops: try another", "busy")
                raise self._service.count_refusal(stopping, origin, trace=trace)
            answer = service_pb2.ModelInferResponse()
            return await self._answer(origin, contents, answer, answer, trace)
        except RequestError as error:
            return await _abort(context, error)

    async def _inferred(self, receive: Receive, context: grpc.aio.ServicerContext) -> AsyncGenerator[bytes]:
        """An error is a message of the stream, with the id of its request, and does not end it."""
        origin = of_call(INFER_STREAM, context.peer())
        while contents := await receive():
            answer = service_pb2.ModelStreamInferResponse()
            try:
                message = await self._answer(origin, contents, answer.infer_response, answer, self._trace(context))
            except RequestError as error:
                answer.error_message = str(error)
                message = bytes(answer.SerializeToString())
            yield message

    async def _watched(self, receive: Receive, context: grpc.aio.ServicerContext) -> AsyncGenerator[bytes]:
        for content in await receive():
            async with aclosing(self.health.watch(_parsed(health_pb2.HealthCheckRequest, content))) as states:
                async for state in states:
                    yield bytes(state.SerializeToString())

    async def _answer(
        self, origin: Origin, contents: list[bytes], answer: Message, message: Message, trace: Trace | None
    ) -> bytes:
        """Fills in a ModelInferResponse -> the bytes of the message that contains it.  RequestError leaves only its id.

        contents: the message, which is taken out: it would take as much memory as the pairs in it, while they wait.
        """
        size = len(contents[0])
        try:
            sent = [_parsed(service_pb2.ModelInferRequest, contents.pop())]
        except RequestError as error:
            raise self._service.count_refusal(error, origin, trace=trace) from None
        answer.id, origin = sent[0].id, origin._replace(model=sent[0].model_name)

        def encode(model: ServedModel, request: CheckedRequest, outputs: NamedOutputs) -> bytes:
            fill(answer, model, request, outputs)
            return bytes(message.SerializeToString())

        try:
            self._service.account.take(size)
        except RequestError as error:
            raise self._service.count_refusal(error, origin, trace=trace) from None
        try:
            return await self._service.infer(
                origin,
                sent[0].model_name,
                sent[0].model_version,
                lambda model: parse(model, sent.pop()),
                encode,
                is_large=size > (LONG_BINARY if sent[0].raw_input_contents else LONG_TEXT),
                trace=trace,
            )
        finally:
            self._service.account.give_back(size)

    def _model_ready(self, asked: Message) -> Message:
        try:
            find(self._service.models, asked.name, asked.version)
        except RequestError:
            return service_pb2.ModelReadyResponse(ready=False)
        return service_pb2.ModelReadyResponse(ready=not self._service.stops)

    def _find(self, asked: Message) -> ServedModel:
        return find(self._service.models, asked.name, asked.version)

    def _chosen(self, asked: Message) -> list[ServedModel]:
        return [self._find(asked)] if asked.name else self._service.models.all_versions()


async def _reflected(servicer: Any, receive: Receive, _: grpc.aio.ServicerContext) -> AsyncGenerator[bytes]:
    async def requests() -> AsyncGenerator[Message]:
        while contents := await receive():
            yield _parsed(reflection_pb2.ServerReflectionRequest, contents.pop())

    async for answer in servicer.ServerReflectionInfo(requests(), None):
        yield bytes(answer.SerializeToString())


def _parsed(kind: Any, content: bytes) -> Message:
    try:
        return kind.FromString(content)
    except DecodeError:
        raise RequestError(f"expected a {kind.DESCRIPTOR.name} in protobuf, got other bytes") from None


def _message(call: str, values: dict[str, Any]) -> Message:
    """The response of a call with these values; json_format raises for a field that it does not have."""
    return json_format.ParseDict(values, getattr(service_pb2, f"{call}Response")())


async def _abort(context: grpc.aio.ServicerContext, error: RequestError) -> bytes:
    await context.abort(getattr(grpc.StatusCode, STATUSES[error.kind][1]), str(error))
    raise AssertionError("abort raises")
