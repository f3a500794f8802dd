"""The body of a request and of an answer over REST: JSON, or JSON and binary tensors."""

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from time import perf_counter_ns
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pairnet.artifact.design import Port
from pairnet.errors import RequestError
from pairnet.serving.server import protocol
from pairnet.serving.server.account import Entry
from pairnet.serving.server.batching import NamedOutputs
from pairnet.serving.server.content_encoding import SMALLEST_COMPRESSED, Headers, inflated
from pairnet.serving.server.protocol import (
    LARGEST_JSON,
    LONG_BINARY,
    LONG_TEXT,
    PIECE,
    CheckedRequest,
)
from pairnet.serving.server.served import ServedModel
from pairnet.wording import shown

LONGEST_KNOWN = 1024
"""Bytes of the JSON before a binary tensor up to which it is remembered."""
HEADER_LENGTH = b"inference-header-content-length"
JSON, BINARY = b"application/json", b"application/octet-stream"

Parameter = str | int | float | bool
Parameters = dict[str, Parameter]

Data = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "array", "items": {}})]
"""An array, decoded when its type is known."""


class Input(msgspec.Struct):
    """An input; `data` is flat, or nested as `shape` says, or absent for a binary tensor."""

    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters | None = {}
    data: Data | msgspec.UnsetType = msgspec.UNSET


class RequestedOutput(msgspec.Struct):
    """An output that a request asks for."""

    name: str
    parameters: Parameters | None = {}


class Body(msgspec.Struct):
    """The JSON of a request; null stands for a member that is absent."""

    inputs: list[Input]
    id: str | None = ""
    parameters: Parameters | None = {}
    outputs: list[RequestedOutput] | None = []


def _flat(kind: type[int] | type[float]) -> msgspec.json.Decoder[Any]:
    """Decodes a body whose data are a flat array of `kind`: one pass over the text instead of two."""
    data = ("data", list[kind] | msgspec.UnsetType, msgspec.UNSET)  # type: ignore[valid-type]
    inputs = ("inputs", list[msgspec.defstruct("Input", [data], bases=(Input,))])  # type: ignore[misc]
    return msgspec.json.Decoder(msgspec.defstruct("Body", [inputs], bases=(Body,), kw_only=True))


_BODY = msgspec.json.Decoder(Body)
_FLAT = {"uint8": _flat(int), "float32": _flat(float)}
_DATA: dict[tuple[str, int], msgspec.json.Decoder[list[Any]]] = {  # by type and number of axes; all inputs have four
    ("uint8", 1): msgspec.json.Decoder(list[int]),
    ("uint8", 4): msgspec.json.Decoder(list[list[list[list[int]]]]),
    ("float32", 1): msgspec.json.Decoder(list[float]),
    ("float32", 4): msgspec.json.Decoder(list[list[list[list[float]]]]),
}


class CheckedJson(NamedTuple):
    """The JSON of a request, checked."""

    shape: tuple[int, ...]
    data: list[Any] | bytes | None  # flat values, another JSON array, or None for a binary tensor
    size: Parameter  # bytes of the binary tensor
    id: str
    timeout: int  # ns; 0 for none
    outputs: tuple[str, ...]
    binary: frozenset[str]  # outputs that are returned as binary tensors


def parse(model: ServedModel, body: bytes | bytearray, headers: Headers, entry: Entry) -> CheckedRequest:
    """A request as it was sent -> the checked request.

    entry: what it holds in the account, which grows by what is made of it.
    Raises RequestError for everything that the protocol or the model does not allow, and if there is no room.
    """
    body = inflated(body, headers, entry.take)
    length = _header_length(headers, body)
    text = body[:length] if isinstance(body, bytes) else bytes(memoryview(body)[:length])
    binary = memoryview(body)[length:]
    # Clients of binary tensors repeat their JSON: decoding and checking it takes half of the time of such a request.
    read = _known_json if len(text) <= LONGEST_KNOWN and len(binary) else _checked_json
    port = model.input
    checked = read(port, model.outputs, text)
    if checked.data is not None:
        if len(binary):
            raise RequestError(
                f"input {port.name}: expected binary_data_size for {len(binary):,} bytes after the JSON, got none"
            )
        pairs = _from_json(port, checked.shape, checked.data)
        entry.take_up_to(pairs.nbytes)
    else:
        if checked.size != len(binary):
            raise RequestError(
                f"input {port.name}: expected a binary_data_size of the {len(binary):,} bytes after the JSON, "
                f"got {shown(checked.size)}"
            )
        pairs = protocol.from_bytes(port, checked.shape, binary)
    expires = perf_counter_ns() + checked.timeout if checked.timeout else 0
    return CheckedRequest(pairs, checked.id, checked.outputs, expires, checked.binary)


def _checked_json(port: Port, offered: tuple[Port, ...], text: bytes) -> CheckedJson:
    sent = _decoded(port.dtype, text)
    shape, outputs = protocol.check_request(sent, port, offered)
    given = sent.inputs[0]
    size, data = given.parameters.get("binary_data_size"), given.data
    if (size is None) == (data is msgspec.UNSET):
        got = "neither" if size is None else "both"
        raise RequestError(f"input {port.name}: expected data or binary_data_size, got {got}")
    if isinstance(size, bool):
        raise RequestError(f"input {port.name}: expected a number as binary_data_size, got {shown(size)}")
    default = _flag(sent.parameters, "binary_data_output", False)
    flags = {output.name: _flag(output.parameters, "binary_data", default) for output in sent.outputs}
    return CheckedJson(
        shape=shape,
        data=data if isinstance(data, list) else None if data is msgspec.UNSET else bytes(data),
        size=0 if size is None else size,
        id=sent.id,
        timeout=protocol.timeout_ns(sent.parameters),
        outputs=outputs,
        binary=frozenset(name for name in outputs if flags.get(name, default)),
    )


def _decoded(dtype: str, text: bytes) -> Any:
    reason = ""
    for decoder in (_FLAT[dtype], _BODY) if len(text) <= LONG_TEXT else (_BODY,):
        try:
            return _without_nulls(decoder.decode(text))
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            reason = _reason(error)
    raise RequestError(f"expected the JSON of an inference request: {reason}")


def _without_nulls(sent: Body) -> Body:
    """The same request, with the defaults in place of null."""
    sent.id, sent.outputs = sent.id or "", sent.outputs or []
    sent.parameters = sent.parameters or {}
    for output in sent.outputs:
        output.parameters = output.parameters or {}
    for each in sent.inputs:
        each.parameters = each.parameters or {}
        if isinstance(each.data, msgspec.Raw) and bytes(memoryview(each.data)[:5]) == b"null":
            each.data = msgspec.UNSET
    return sent


_known_json = lru_cache(maxsize=1024)(_checked_json)  # by ports, not by model: a closed model must not be kept


def encode(
    model: ServedModel, request: CheckedRequest, outputs: NamedOutputs
) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of an answer: JSON, followed by binary tensors as raw little-endian bytes."""
    described, tensors = [], []
    for name in request.outputs:
        values = outputs[name]
        tensor: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": values.shape}
        if name in request.binary:
            content = values.astype("<f4", copy=False).tobytes()
            tensors.append(content)
            tensor["parameters"] = {"binary_data_size": len(content)}
        else:
            tensor["data"] = msgspec.Raw(_as_json(values.ravel()))
        described.append(tensor)
    answer: dict[str, Any] = {
        "model_name": model.name,
        "model_version": model.version,
        "parameters": model.parameters,
        "outputs": described,
    }
    if request.id:
        answer["id"] = request.id
    text = msgspec.json.encode(answer)
    if not tensors:
        return [(b"content-type", JSON)], text
    headers = [(b"content-type", BINARY), (HEADER_LENGTH, b"%d" % len(text))]
    return headers, b"".join((text, *tensors))


def _as_json(values: NDArray[Any]) -> bytes:
    """A JSON array of flat values, encoded in pieces."""
    pieces = (msgspec.json.encode(values[start : start + PIECE].tolist()) for start in range(0, len(values), PIECE))
    return b"[%s]" % b",".join(piece[1:-1] for piece in pieces)


def _header_length(headers: Headers, body: bytes | bytearray) -> int:
    """Number of bytes of the JSON at the beginning of a body."""
    text = headers.get(HEADER_LENGTH)
    length = len(body) if text is None else int(text) if text.isdigit() and len(text) < 12 else -1
    if not 0 < length <= len(body):
        if not body:
            raise RequestError("expected the JSON of an inference request, got an empty body")
        got = shown((text or b"").decode("latin-1"))
        raise RequestError(f"expected JSON of 1 to {len(body):,} bytes, as long as the body at most, got {got}")
    if length > LARGEST_JSON:
        raise RequestError(f"expected at most {LARGEST_JSON:,} bytes of JSON, got {length:,}", "large")
    return length


def _from_json(port: Port, shape: tuple[int, ...], data: list[Any] | bytes) -> NDArray[Any]:
    """The values of an input in a JSON array, flat or nested like `shape`."""
    decoded: Iterable[list[Any]] = (data,) if isinstance(data, list) else _decoded_pieces(port, shape, data)
    try:
        pieces = [_array(port, values) for values in decoded]
        pairs = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
    except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError) as error:
        expected = "whole numbers from 0 to 255" if port.dtype == "uint8" else "numbers"
        reason = _reason(error) if isinstance(error, msgspec.MsgspecError | RecursionError) else "got others"
        reason = reason.replace("`$", "`$.inputs[0].data")
        if "inhomogeneous" in str(error) or "concatenation" in str(error):
            reason = "got rows of different lengths"
        raise RequestError(f"input {port.name}: expected data of {expected} in the shape: {reason}") from None
    flat = pairs.ndim == 1
    if pairs.shape != ((math.prod(shape),) if flat else shape):
        count = f"{pairs.size:,} values" if flat else f"arrays of shape {list(pairs.shape)}"
        raise RequestError(
            f"input {port.name}: expected {math.prod(shape):,} values, flat or nested like the shape, got {count}"
        )
    return protocol.finite(port, pairs.reshape(shape))


def _array(port: Port, values: list[Any]) -> NDArray[Any]:
    """Values as an array of the input's type.  ValueError for what does not fit it, or rows of different lengths."""
    if port.dtype == "uint8" and (not values or not isinstance(values[0], list)):
        return np.frombuffer(bytes(values), np.uint8)  # several times as fast as an array of the list
    with np.errstate(over="ignore"):
        return np.array(values, port.dtype)


def _decoded_pieces(port: Port, shape: tuple[int, ...], text: bytes) -> Iterator[list[Any]]:
    """The elements of a JSON array in pieces, decoded when they are asked for.  RequestError for another depth."""
    decoder, between = _array_decoder(port, shape, text)
    return (decoder.decode(piece) for piece in _pieces(text, between))


def _pieces(text: bytes, between: bytes, length: int = LONG_TEXT) -> Iterator[bytes]:
    """A JSON array as several that have its elements, of about `length` bytes each; one that is shorter as it is.

    text: valid JSON. between: the end of an element and its comma, which occur together between elements only; inside
    a string they would split it, and no piece with half a string can be decoded.
    """
    if len(text) <= length:
        yield text
        return
    blocks = (text[start : start + length] for start in range(0, len(text), length))
    text = b"".join(block.translate(None, b" \t\r\n") for block in blocks)
    start, last = 1, len(text) - 1  # between the brackets
    while (end := text.find(between, min(start + length, last), last)) >= 0:
        end += len(between)
        yield b"[%s]" % text[start : end - 1]
        start = end
    yield b"[%s]" % text[start:last]


def _array_decoder(port: Port, shape: tuple[int, ...], text: bytes) -> tuple[msgspec.json.Decoder[list[Any]], bytes]:
    """The decoder of an array with as many levels as `text` opens, and what separates its elements."""
    start = text[:64].translate(None, b" \t\r\n")
    levels = len(start) - len(start.lstrip(b"["))
    decoder = _DATA.get((port.dtype, levels))
    if decoder is None:
        raise RequestError(f"input {port.name}: expected a JSON array, flat or of {len(shape)} levels, got another")
    return decoder, b"]" * (levels - 1) + b","


def takes_long(headers: Headers, size: int) -> bool:
    """Whether it takes more than 1 or 2 ms to read a body of so many bytes: it is long, or compressed."""
    if b"content-encoding" in headers and size > SMALLEST_COMPRESSED:
        return True
    return size > (LONG_BINARY if HEADER_LENGTH in headers else LONG_TEXT)


def _flag(parameters: Mapping[str, Parameter], name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise RequestError(f"expected the parameter {name} to be true or false, got {shown(value)}")
    return value


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error).replace(" - at ", " at ")  # of msgspec, in which nothing stands that the client has sent
