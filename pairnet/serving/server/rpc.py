"""The protocol over gRPC, on the stubs that tritonclient brings: a second set in one process would clash with them."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, get_args

import grpc
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
from pairnet.serving.server.open_calls import CALL, OpenCalls
from pairnet.serving.server.origin import Origin, of_call
from pairnet.serving.server.protocol import LARGEST_CALL, LONG_BINARY, LONG_TEXT, STATUSES, CheckedRequest
from pairnet.serving.server.receiving import Receiver
from pairnet.serving.server.rpc_format import Message, fill, inflated, is_compressed, parse, parsed, response
from pairnet.serving.server.served import ServedModel, find
from pairnet.serving.server.service import Service
from pairnet.serving.server.tracing import Trace

OPTIONS = (
    ("grpc.so_reuseport", 0),  # otherwise a second server takes a port that is in use
    ("grpc.server_handshake_timeout_ms", round(1000 * SLOWEST)),  # of connections that do not begin with HTTP/2
    ("grpc.http2.settings_timeout", round(1000 * SLOWEST)),  # of those whose client acknowledges nothing
    ("grpc.max_connection_idle_ms", 60_000),  # without calls: a client that has one connects again
    ("grpc.keepalive_time_ms", 60_000),  # otherwise calls of a machine that is gone stay
    ("grpc.keepalive_timeout_ms", round(1000 * SLOWEST)),
    ("grpc.max_concurrent_streams", 100),  # of a connection; a client keeps further calls back
    ("grpc.http2.bdp_probe", 0),  # otherwise a client may send megabytes that nobody has asked for
    ("grpc.per_message_decompression", 0),  # it would inflate messages before they are counted
    ("grpc.max_receive_message_length", LARGEST_CALL),
    ("grpc.max_send_message_length", -1),
)

INFER, INFER_STREAM = (f"/{INFERENCE}/{name}" for name in ("ModelInfer", "ModelStreamInfer"))

CANCELS = 0.1
"""Seconds within which gRPC tells that a call without a message was cancelled."""

NAMES = (INFERENCE, HEALTH, reflection.SERVICE_NAME)
"""Services."""

Receive = Callable[[], Awaitable[list[bytes]]]
"""Waits for the next message of a stream; empty at its end."""


class _Unknown(grpc.GenericRpcHandler):  # type: ignore[misc]  # gRPC has no types
    """Comes last, and answers calls that no other handler knows."""

    def __init__(self, answer: Callable[[str, grpc.aio.ServicerContext], Awaitable[bytes]]) -> None:
        self._answer = answer

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        path = str(handler_call_details.method)

        async def handle(_: object, context: grpc.aio.ServicerContext) -> None:
            await self._answer(path, context)

        return grpc.stream_stream_rpc_method_handler(handle)


class Calls:
    """The handlers of all calls. Requests arrive as bytes: gRPC would answer UNKNOWN for what it cannot read.

    Calls with one message are streams for gRPC, too: it hands them over when their headers are there, so that the time
    of the message can be limited. On the wire they are the same.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stops = False
        self.calls = OpenCalls(service.account)
        self._receiver = Receiver(self.calls)
        self._inflates = asyncio.Lock()
        self._reflection = reflection.aio.ReflectionServicer(NAMES)
        self.health = Health(service)

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """What a gRPC server needs to serve the calls: inference, health and reflection."""
        simple: Mapping[str, Callable[[Message], Message]] = {
            "ServerLive": lambda _: service_pb2.ServerLiveResponse(live=True),
            "ServerReady": lambda _: service_pb2.ServerReadyResponse(ready=self._service.ready),
            "ServerMetadata": lambda _: response("ServerMetadata", description.server_metadata()),
            "ModelReady": self._model_ready,
            "ModelMetadata": lambda asked: response(
                "ModelMetadata", description.model_metadata(self._find(asked), self._service.models)
            ),
            "ModelConfig": lambda asked: response(
                "ModelConfig", {"config": description.served_configuration(self._find(asked))}
            ),
            "ModelStatistics": lambda asked: response(
                "ModelStatistics", description.model_statistics(self._chosen(asked))
            ),
            "RepositoryIndex": lambda asked: response(
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
        reflected = {
            "ServerReflectionInfo": self._stream(f"/{reflection.SERVICE_NAME}/ServerReflectionInfo", self._reflected)
        }
        known = map(grpc.method_handlers_generic_handler, NAMES, (inference, health, reflected))
        return (*known, _Unknown(self._unknown))

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
                asked = parsed(kind, await self._inflated(await self._message(context, origin)))
                origin = origin._replace(model=getattr(asked, "name", ""))
                answer = call(asked)
            except Exception as error:
                return await self._abort(context, self._service.count_refusal(error, origin))
            content = bytes(answer.SerializeToString())
            self.calls.sends(context, len(content))
            return content

        return grpc.stream_unary_rpc_method_handler(handle)

    def _change(self, verb: Verb) -> grpc.RpcMethodHandler:
        """Loads or unloads a model."""

        async def handle(_: object, context: grpc.aio.ServicerContext) -> bytes:
            origin = of_call(f"/{INFERENCE}/RepositoryModel{verb.title()}", context.peer())
            try:
                kind = getattr(service_pb2, f"RepositoryModel{verb.title()}Request")
                asked = parsed(kind, await self._inflated(await self._message(context, origin)))
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
                return await self._abort(context, self._service.count_refusal(error, origin))
            self.calls.sends(context, 0)
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
                        self.calls.sends(context, len(answer))
                        await context.write(answer)
                        self.calls.sent()
            except Exception as error:
                if not self._stops:
                    refusal = self._service.count_refusal(error, of_call(path, context.peer()))
                    await self._abort(context, refusal)

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

    async def _inflated(self, content: bytes) -> bytes:
        """A message as it was before compression. One after the other: what is inflated is counted before the next."""
        if not is_compressed(content):
            return content
        size = len(content)
        self._service.account.take(size)
        try:
            async with self._inflates:
                return await asyncio.get_running_loop().run_in_executor(self._service.large, inflated, content)
        finally:
            self._service.account.give_back(size)

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
            return await self._abort(context, self._service.count_refusal(error, origin))
        trace = self._trace(context)
        try:
            if self._stops:
                stopping = RequestError("expected a running server, this one stops: try another", "busy")
                raise self._service.count_refusal(stopping, origin, trace=trace)
            answer = service_pb2.ModelInferResponse()
            content = await self._answer(origin, contents, answer, answer, trace)
            self.calls.sends(context, len(content))
            return content
        except RequestError as error:
            return await self._abort(context, error)

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

    async def _unknown(self, path: str, context: grpc.aio.ServicerContext) -> bytes:
        error = RequestError(f"expected a method of {', '.join(NAMES)}, got another one", "method")
        return await self._abort(context, self._service.count_refusal(error, of_call(path, context.peer())))

    async def _watched(self, receive: Receive, context: grpc.aio.ServicerContext) -> AsyncGenerator[bytes]:
        for content in await receive():
            asked = parsed(health_pb2.HealthCheckRequest, await self._inflated(content))
            async with aclosing(self.health.watch(asked)) as states:
                async for state in states:
                    yield bytes(state.SerializeToString())

    async def _reflected(self, receive: Receive, _: grpc.aio.ServicerContext) -> AsyncGenerator[bytes]:
        async def requests() -> AsyncGenerator[Message]:
            while contents := await receive():
                yield parsed(reflection_pb2.ServerReflectionRequest, await self._inflated(contents.pop()))

        async for answer in self._reflection.ServerReflectionInfo(requests(), None):
            yield bytes(answer.SerializeToString())

    async def _answer(
        self, origin: Origin, contents: list[bytes], answer: Message, message: Message, trace: Trace | None
    ) -> bytes:
        """Fills in a ModelInferResponse -> the bytes of the message that contains it.  RequestError leaves only its id.

        contents: the message, which is taken out: it would take as much memory as the pairs in it, while they wait.
        """
        try:
            content = await self._inflated(contents.pop())
            size = len(content)
            self._service.account.take(size + CALL)
        except RequestError as error:
            raise self._service.count_refusal(error, origin, trace=trace) from None
        try:
            try:
                sent = [parsed(service_pb2.ModelInferRequest, content)]
            except RequestError as error:
                raise self._service.count_refusal(error, origin, trace=trace) from None
            del content
            answer.id, origin = sent[0].id, origin._replace(model=sent[0].model_name)

            def encode(model: ServedModel, request: CheckedRequest, outputs: NamedOutputs) -> bytes:
                fill(answer, model, request, outputs)
                return bytes(message.SerializeToString())

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
            self._service.account.give_back(size + CALL)

    async def _abort(self, context: grpc.aio.ServicerContext, error: RequestError) -> bytes:
        """Ends a call. gRPC keeps the exception of an abort in a cycle, so it leads to no frames: they have pairs."""
        error.__traceback__ = error.__context__ = None
        self.calls.sends(context, 0)
        await context.abort(getattr(grpc.StatusCode, STATUSES[error.kind][1]), str(error))
        raise AssertionError("abort raises")

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
