"""The Open Inference Protocol, version 2, as REST and gRPC share it: names, limits, refusals, checked requests.

https://github.com/kserve/open-inference-protocol, and Triton's extensions binary_tensor_data, model_configuration,
statistics and model_repository.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pairnet.artifact.design import Port
from pairnet.errors import Refusal, RequestError
from pairnet.serving.joint import DATATYPES, MOST_PAIRS
from pairnet.wording import shown, shown_number

EXTENSIONS = ("binary_tensor_data", "model_configuration", "statistics", "model_repository")

LARGEST_REQUEST = 64 * 2**20
"""Bytes of one request, after decompression."""
LARGEST_CALL = 16 * 2**20
"""Bytes of one gRPC message: gRPC receives messages of many clients at once, and whole, before the server sees them."""
LARGEST_JSON = 16 * 2**20
"""Bytes of the JSON in a request: decoding takes many times its size. 2,500 pairs of grey levels have room."""

LONG_TEXT, LONG_BINARY = 64 * 2**10, 4 * 2**20
"""Bytes of numbers as text or as protobuf's integers, and of tensors, from which a thread reads them: 1 to 2 ms."""
PIECE = 4096
"""Values that are decoded or encoded at once: all other threads of Python, the event loop's too, wait meanwhile."""

LARGEST_PICTURE = 32 * 2**20
"""Bytes of a picture that is decoded; phones write at most 25 million."""

STATUSES: Mapping[Refusal, tuple[int, str]] = {
    "invalid": (400, "INVALID_ARGUMENT"),
    "forbidden": (403, "PERMISSION_DENIED"),
    "unknown": (404, "NOT_FOUND"),
    "method": (405, "UNIMPLEMENTED"),
    "gone": (408, "CANCELLED"),
    "large": (413, "RESOURCE_EXHAUSTED"),
    "media": (415, "INVALID_ARGUMENT"),
    "failed": (500, "INTERNAL"),
    "busy": (503, "UNAVAILABLE"),
    "expired": (504, "DEADLINE_EXCEEDED"),
}
"""HTTP's and gRPC's status of each kind of RequestError."""


class CheckedRequest(NamedTuple):
    """A request that fits the protocol and its model."""

    pairs: NDArray[Any]
    id: str
    outputs: tuple[str, ...]  # their names, in the order in which they are returned
    expires_ns: int  # a time of perf_counter_ns; 0 for never
    binary: frozenset[str] = frozenset()  # outputs that are returned as binary tensors: over gRPC all


REFUSED_IN_INPUTS = ("shared_memory_region", "shared_memory_byte_size", "shared_memory_offset")
REFUSED_IN_OUTPUTS = (*REFUSED_IN_INPUTS, "classification")
REFUSED_IN_REQUESTS = ("sequence_id", "sequence_start", "sequence_end")
"""Parameters of extensions that the server does not have, and which would change the meaning of an answer."""


def check_request(sent: Any, taken: Port, offered: Sequence[Port]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The shape of the input `taken`, and the names of the outputs to return: all that are `offered` if none is named.

    sent: the JSON or the message of a request; their fields have the same names. Parameters that the server does not
    know are ignored, as the protocol asks for. Raises RequestError for everything else that does not fit.
    """
    _check_parameters(sent.parameters, "request", REFUSED_IN_REQUESTS)
    if len(sent.inputs) != 1:
        raise RequestError(f"expected one input, {taken.name}, got {len(sent.inputs)}")
    given = sent.inputs[0]
    _check_parameters(given.parameters, f"input {taken.name}", REFUSED_IN_INPUTS)
    if given.name != taken.name:
        raise RequestError(f"expected the input {taken.name}, got {shown(given.name)}")
    if given.datatype != DATATYPES[taken.dtype]:
        expected = DATATYPES[taken.dtype]
        raise RequestError(f"input {taken.name}: expected the datatype {expected}, got {shown(given.datatype)}")
    shape = tuple(given.shape)
    if shape[1:] != taken.axes[1:] or not shape or shape[0] < 1:
        expected = ",".join(map(str, taken.axes))
        raise RequestError(
            f"input {taken.name}: expected the shape ({expected}), N at least 1, got {_shown_shape(shape)}"
        )
    if shape[0] > MOST_PAIRS:
        got = shown_number(shape[0], ",")
        raise RequestError(f"input {taken.name}: expected at most {MOST_PAIRS:,} pairs, got {got}", "large")
    names = tuple(port.name for port in offered)
    for output in sent.outputs:
        _check_parameters(output.parameters, f"output {shown(output.name)}", REFUSED_IN_OUTPUTS)
        if output.name not in names:
            raise RequestError(f"expected outputs among {', '.join(names)}, got {shown(output.name)}")
    wanted = tuple(output.name for output in sent.outputs)
    if len(set(wanted)) < len(wanted):
        raise RequestError("expected each output once, got one twice")
    return shape, wanted or names


def _check_parameters(parameters: Mapping[str, Any], where: str, refused: Sequence[str]) -> None:
    for name in refused:
        if name in parameters:
            raise RequestError(f"{where}: expected no parameter {name}, which this server does not support")


def from_bytes(port: Port, shape: tuple[int, ...], content: memoryview | bytes) -> NDArray[Any]:
    """The array in the raw little-endian bytes of an input.  RequestError for another number of bytes."""
    dtype = np.dtype(port.dtype).newbyteorder("<")
    expected = math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise RequestError(
            f"input {port.name}: expected {expected:,} bytes for the shape {_shown_shape(shape)}, got {len(content):,}"
        )
    return finite(port, np.frombuffer(content, dtype).reshape(shape))


def finite(port: Port, pairs: NDArray[Any]) -> NDArray[Any]:
    """The same array.  RequestError unless its values are finite."""
    if port.dtype == "float32" and not np.isfinite(pairs).all():
        raise RequestError(f"input {port.name}: expected finite values, got others")
    return pairs


def timeout_ns(parameters: Mapping[str, Any]) -> int:
    """The time that a request may wait, in ns: its parameter `timeout` is in microseconds.  0 for any time."""
    timeout = parameters.get("timeout", 0)
    if isinstance(timeout, str) and timeout.isdecimal() and len(timeout) < 19:
        timeout = int(timeout)
    if not isinstance(timeout, int) or isinstance(timeout, bool) or timeout < 0:
        raise RequestError(f"expected the parameter timeout in whole microseconds, got {shown(timeout)}")
    return timeout * 1000


def _shown_shape(shape: Sequence[Any]) -> str:
    return f"({','.join(map(shown_number, shape[:8]))}{',...' if len(shape) > 8 else ''})"
