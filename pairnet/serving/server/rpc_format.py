"""Messages of gRPC calls: from bytes to requests, and from outputs to answers."""

import zlib
from time import perf_counter_ns
from typing import Any

import numpy as np
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2

from pairnet.artifact.design import Port
from pairnet.errors import RequestError
from pairnet.serving.server import protocol
from pairnet.serving.server.batching import NamedOutputs
from pairnet.serving.server.protocol import LARGEST_CALL, PIECE, CheckedRequest
from pairnet.serving.server.served import ServedModel

Message = Any  # a protobuf message; the package has no types


def parsed(kind: Any, content: bytes) -> Message:
    try:
        return kind.FromString(content)
    except DecodeError:
        raise RequestError(f"expected a {kind.DESCRIPTOR.name} in protobuf, got other bytes") from None


def response(call: str, values: dict[str, Any]) -> Message:
    """The response of a call with these values; json_format raises for a field that it does not have."""
    return json_format.ParseDict(values, getattr(service_pb2, f"{call}Response")())


def is_compressed(content: bytes) -> bool:
    """Whether a message is in gzip or zlib's format (RFC 1952, RFC 1950), which gRPC calls gzip and deflate.

    gRPC does not tell: so that it inflates nothing by itself, it hands over what was sent. No request to these services
    begins in the same way, see the tests.
    """
    first = content[:1]
    if first == b"\x1f":
        return True
    return bool(first) and first[0] & 15 == 8 and int.from_bytes(content[:2], "big") % 31 == 0


def inflated(content: bytes) -> bytes:
    """A compressed message -> the message.  RequestError for other bytes, and for more than LARGEST_CALL."""
    inflating = zlib.decompressobj(zlib.MAX_WBITS | 32)  # recognises both formats
    try:
        found = inflating.decompress(content, LARGEST_CALL + 1)
    except zlib.error:
        found = b""
    if len(found) > LARGEST_CALL:
        raise RequestError(f"expected at most {LARGEST_CALL:,} bytes after decompression, got more", "large")
    if not inflating.eof:
        raise RequestError("expected a message in gzip, deflate or none, got other bytes")
    return found


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
    expires = perf_counter_ns() + timeout if timeout else 0
    return CheckedRequest(pairs, sent.id, outputs, expires, frozenset(outputs))


def fill(answer: Message, model: ServedModel, request: CheckedRequest, outputs: NamedOutputs) -> None:
    """Puts the outputs into a ModelInferResponse, as raw contents."""
    answer.model_name, answer.model_version, answer.id = model.name, model.version, request.id
    answer.parameters["digest"].string_param = model.digest
    for name in request.outputs:
        values = outputs[name]
        answer.outputs.add(name=name, datatype="FP32", shape=values.shape)
        answer.raw_output_contents.append(values.astype("<f4", copy=False).tobytes())


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
    given, dtype = getattr(contents, expected), np.uint32 if port.dtype == "uint8" else np.float32
    # In pieces: other threads wait while NumPy reads one.
    pieces = [np.array(given[start : start + PIECE], dtype) for start in range(0, len(given), PIECE)]
    values = np.concatenate(pieces)
    if port.dtype == "uint8":
        if values.max(initial=0) > 255:
            raise RequestError(f"input {port.name}: expected values from 0 to 255, got {values.max()}")
        values = values.astype(np.uint8)
    return protocol.from_bytes(port, shape, values.tobytes())
