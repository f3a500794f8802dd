"""The Open Inference Protocol, version 2, as REST and gRPC share it: names, limits, refusals, checked requests.

https://github.com/kserve/open-inference-protocol, and Triton's extensions binary_tensor_data, model_configuration,
statistics and model_repository (only its index).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pairnet.artifact.design import Port
from pairnet.errors import RequestError
from pairnet.wording import shown

EXTENSIONS = ("binary_tensor_data", "model_configuration", "statistics", "model_repository")
VERSION = "1"
"""The only version of each model."""

MOST_PAIRS = 32768
"""Pairs in one request."""
LARGEST_REQUEST = 64 * 2**20
"""Bytes of one request, after decompression."""
LARGEST_CALL = 16 * 2**20
"""Bytes of one gRPC message: gRPC receives messages of many clients at once, and whole, before the server sees them."""
MOST_HELD = 4 * LARGEST_REQUEST
"""Bytes of all requests that are received, wait or are computed; further ones are refused until some are answered."""
LARGEST_JSON = 16 * 2**20
"""Bytes of the JSON in a request: decoding takes many times its size. 2,500 pairs of grey levels have room."""

LARGEST_PICTURE = 4 * 2**20
"""Bytes of a picture that is decoded for the page."""

MOST_PIXELS = 4 * 2**20
"""Pixels of such a picture."""

DATATYPES = {"uint8": "UINT8", "float32": "FP32"}
"""The protocol's name of each of NumPy's types that a file of pairnet uses."""

STATUSES = {
    "invalid": (400, "INVALID_ARGUMENT"),
    "unknown": (404, "NOT_FOUND"),
    "gone": (408, "CANCELLED"),
    "large": (413, "RESOURCE_EXHAUSTED"),
    "media": (415, "INVALID_ARGUMENT"),
    "failed": (500, "INTERNAL"),
    "busy": (503, "UNAVAILABLE"),
    "expired": (504, "DEADLINE_EXCEEDED"),
}
"""HTTP's and gRPC's status of each kind of RequestError."""


class Request(NamedTuple):
    """A checked request."""

    pairs: NDArray[Any]
    id: str
    outputs: tuple[str, ...]  # their names, in the order in which they are returned
    expires_ns: int  # a time of perf_counter_ns; 0 for never


def check_shape(name: str, datatype: str, shape: Sequence[int], port: Port) -> tuple[int, ...]:
    """The shape of an input as the model takes it.  RequestError for another name, type or shape."""
    if name != port.name:
        raise RequestError(f"expected the input {port.name}, got {shown(name)}")
    if datatype != DATATYPES[port.dtype]:
        raise RequestError(f"input {port.name}: expected the datatype {DATATYPES[port.dtype]}, got {shown(datatype)}")
    if tuple(shape[1:]) != port.axes[1:] or not shape or shape[0] < 1:
        expected = ",".join(map(str, port.axes))
        raise RequestError(
            f"input {port.name}: expected the shape ({expected}), N at least 1, got {_shown_shape(shape)}"
        )
    if shape[0] > MOST_PAIRS:
        raise RequestError(f"input {port.name}: expected at most {MOST_PAIRS:,} pairs, got {shape[0]:,}", "large")
    return tuple(shape)


def from_bytes(port: Port, shape: tuple[int, ...], content: memoryview | bytes) -> NDArray[Any]:
    """The array in the raw little-endian bytes of an input.  RequestError for another number of bytes."""
    dtype = np.dtype(port.dtype).newbyteorder("<")
    expected = math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise RequestError(
            f"input {port.name}: expected {expected:,} bytes for the shape {_shown_shape(shape)}, got {len(content):,}"
        )
    return checked(port, np.frombuffer(content, dtype).reshape(shape))


def checked(port: Port, pairs: NDArray[Any]) -> NDArray[Any]:
    """The same array.  RequestError unless its values are finite."""
    if port.dtype == "float32" and not np.isfinite(pairs).all():
        raise RequestError(f"input {port.name}: expected finite values, got others")
    return pairs


def check_outputs(names: Sequence[str], ports: Sequence[Port]) -> tuple[str, ...]:
    """The names of requested outputs; all outputs if none is named.  RequestError for one that the model lacks."""
    offered = tuple(port.name for port in ports)
    for name in names:
        if name not in offered:
            raise RequestError(f"expected outputs among {', '.join(offered)}, got {shown(name)}")
    if len(set(names)) < len(names):
        raise RequestError("expected each output once, got one twice")
    return tuple(names) or offered


def check_parameters(parameters: Mapping[str, Any], where: str, refused: Sequence[str]) -> None:
    """Ignores parameters that the server does not know, as the protocol asks for.

    Raises RequestError for those in `refused`, which would change the meaning of the answer.
    """
    for name in refused:
        if name in parameters:
            raise RequestError(f"{where}: expected no parameter {name}, which this server does not support")


REFUSED_IN_INPUTS = ("shared_memory_region", "shared_memory_byte_size", "shared_memory_offset")
REFUSED_IN_OUTPUTS = (*REFUSED_IN_INPUTS, "classification")
REFUSED_IN_REQUESTS = ("sequence_id", "sequence_start", "sequence_end")
"""Parameters of extensions that the server does not have."""


def timeout_ns(parameters: Mapping[str, Any]) -> int:
    """The time that a request may wait, in ns: its parameter `timeout` is in microseconds.  0 for any time."""
    timeout = parameters.get("timeout", 0)
    if isinstance(timeout, str) and timeout.isdecimal() and len(timeout) < 19:
        timeout = int(timeout)
    if not isinstance(timeout, int) or isinstance(timeout, bool) or timeout < 0:
        raise RequestError(f"expected the parameter timeout in whole microseconds, got {shown(timeout)}")
    return timeout * 1000


def _shown_shape(shape: Sequence[Any]) -> str:
    text = f"({','.join(map(str, shape[:8]))}{',...' if len(shape) > 8 else ''})"
    return text if len(text) <= 100 else f"{text[:97]}..."
