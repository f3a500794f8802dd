"""The protocol over gRPC, on the stubs that tritonclient brings: a second set in one process would clash with them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from time import perf_counter_ns
from typing import Any, get_args

import grpc
import numpy as np
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from pairnet.artifact.design import Port
from pairnet.errors import RequestError
from pairnet.serving.server import control, description, protocol
from pairnet.serving.server.batching import NamedOutputs
from pairnet.serving.server.protocol import LARGEST_CALL, STATUSES, CheckedRequest
from pairnet.serving.server.served import ServedModel, find
from pairnet.serving.server.service import Service

SERVICE = "inference.GRPCInferenceService"
MOST_CALLS = 256
"""Calls at the same time; gRPC refuses further ones."""

OPTIONS = (
    ("grpc.so_reuseport", 0),  # otherwise a second server takes a port that is in use
    ("grpc.max_receive_message_length", LARGEST_CALL),
    ("grpc.max_send_message_length", -1),
)

Message = Any  # a protobuf message; the package has no types


class Calls:
    """The handlers of all calls. Requests arrive as bytes: gRPC would answer UNKNOWN for what it cannot read."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stops = asyncio.Event()

    def handlers(self) -> grpc.GenericRpcHandler:
        """What a gRPC server needs to serve the calls."""
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
        calls = {name: grpc.unary_unary_rpc_method_handler(self._simple(name, call)) for name, call in simple.items()}
        calls["ModelInfer"] = grpc.unary_unary_rpc_method_handler(self._infer)
        for verb in get_args(control.Verb):
            calls[f"RepositoryModel{verb.title()}"] = grpc.unary_unary_rpc_method_handler(self._change(verb))
        calls["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self._stream)
        return grpc.method_handlers_generic_handler(SERVICE, calls)

    def _simple(self, name: str, call: Callable[[Message], Message]) -> Any:
        async def handle(content: bytes, context: grpc.aio.ServicerContext) -> bytes:
            try:
                answer = call(_parsed(getattr(service_pb2, f"{name}Request"), content))
            except Exception as error:
                return await _abort(context, self._service.count_refusal(error, "grpc"))
            return bytes(answer.SerializeToString())

        return handle

    def _change(self, verb: control.Verb) -> Any:
        """Loads or unloads a model."""

        async def handle(content: bytes, context: grpc.aio.ServicerContext) -> bytes:
            try:
                asked = _parsed(getattr(service_pb2, f"RepositoryModel{verb.title()}Request"), content)
                client = control.peer_address(context.peer())
                headers = [name for name, _ in context.invocation_metadata() or ()]
                await control.change(
                    self._service,
                    verb,
                    asked.model_name,
                    client=client,
                    headers=headers,
                    parameters=[*asked.parameters],
                )
            except Exception as error:
                return await _abort(context, self._service.count_refusal(error, "grpc"))
            return b""

        return handle

    async def _infer(self, content: bytes, context: grpc.aio.ServicerContext) -> bytes:
        try:
            if self._stops.is_set():
                stopping = RequestError("expected a running server, this one stops: try another", "busy")
                raise self._service.count_refusal(stopping, "grpc")
            return bytes((await self._answer(content)).SerializeToString())
        except RequestError as error:
            return await _abort(context, error)

    async def _stream(self, contents: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        """Answers the requests of a stream in their order; an error is a message of the stream and does not end it.

        When the server stops, the stream ends after the current answer.
        """
        stops = asyncio.ensure_future(self._stops.wait())
        try:
            while True:
                received = asyncio.ensure_future(anext(contents))
                await asyncio.wait((received, stops), return_when=asyncio.FIRST_COMPLETED)
                if not received.done():
                    received.cancel()
                    return
                answer = service_pb2.ModelStreamInferResponse()
                try:
                    answer.infer_response.CopyFrom(await self._answer(received.result()))
                except StopAsyncIteration:
                    return
                except RequestError as error:
                    answer.error_message = str(error)
                yield answer.SerializeToString()
        finally:
            stops.cancel()

    def stop(self) -> None:
        """Refuses further calls and ends open streams."""
        self._stops.set()

    async def _answer(self, content: bytes) -> Message:
        try:
            try:
                self._service.hold(len(content))
                sent = _parsed(service_pb2.ModelInferRequest, content)
            except RequestError as error:
                raise self._service.count_refusal(error, "grpc") from None
            model, request, outputs = await self._service.infer(
                "grpc", sent.model_name, sent.model_version, lambda model: parse(model, sent)
            )
        finally:
            self._service.held -= len(content)
        return encode(model, request, outputs)

    def _model_ready(self, asked: Message) -> Message:
        try:
            find(self._service.models, asked.name, asked.version)
        except RequestError:
            return service_pb2.ModelReadyResponse(ready=False)
        return service_pb2.ModelReadyResponse(ready=self._service.ready)

    def _find(self, asked: Message) -> ServedModel:
        return find(self._service.models, asked.name, asked.version)

    def _chosen(self, asked: Message) -> list[ServedModel]:
        return [self._find(asked)] if asked.name else self._service.models.all_versions()


def parse(model: ServedModel, sent: Message) -> CheckedRequest:
    """A ModelInferRequest -> the checked request.

    Raises RequestError for everything that the protocol or the model does not allow.
    """
    shape, outputs = protocol.check_request(sent, model.input, model.outputs)
    pairs = _values(model.input, shape, sent.inputs[0].contents, sent.raw_input_contents)
    parameters = {
        name: getattr(each, each.WhichOneof("parameter_choice") or "bool_param")
        for name, each in sent.parameters.items()
    }
    timeout = protocol.timeout_ns(parameters)
    return CheckedRequest(pairs, sent.id, outputs, perf_counter_ns() + timeout if timeout else 0)


def encode(model: ServedModel, request: CheckedRequest, outputs: NamedOutputs) -> Message:
    """A ModelInferResponse with raw contents."""
    answer = service_pb2.ModelInferResponse(model_name=model.name, model_version=model.version, id=request.id)
    answer.parameters["digest"].string_param = model.digest
    for name in request.outputs:
        values = outputs[name]
        answer.outputs.add(name=name, datatype="FP32", shape=values.shape)
        answer.raw_output_contents.append(values.astype("<f4", copy=False).tobytes())
    return answer


def _values(port: Port, shape: tuple[int, ...], contents: Message, raw: Any) -> NDArray[Any]:
    """The values of an input, from typed or raw contents."""
    typed = [field.name for field, _ in contents.ListFields()]
    if len(raw) > 1 or bool(raw) == bool(typed):
        raise RequestError(
            f"input {port.name}: expected either raw or typed contents, got {len(raw)} raw and {len(typed)} typed"
        )
    if raw:
        return protocol.from_bytes(port, shape, raw[0])
    expected = "uint_contents" if port.dtype == "uint8" else "fp32_contents"
    if typed != [expected]:
        raise RequestError(f"input {port.name}: expected {expected}, got {', '.join(typed)}")
    values = np.array(getattr(contents, expected), np.uint32 if port.dtype == "uint8" else np.float32)
    if port.dtype == "uint8":
        if values.max(initial=0) > 255:
            raise RequestError(f"input {port.name}: expected values from 0 to 255, got {values.max()}")
        values = values.astype(np.uint8)
    return protocol.from_bytes(port, shape, values.tobytes())


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
