"""A first look at the bytes of an ONNX file: how many of them are not weights, before protobuf makes objects of them.

Protobuf makes an object of some hundred bytes for a message of two. So the size of a file does not bound what parsing
it costs; the number of bytes outside the weights does.
"""

from collections.abc import Iterator

from pairnet.artifact.limits import MOST_OUTLINE
from pairnet.errors import ModelError

WEIGHTS = (7, 5, 9)
"""The numbers of the fields that lead to weights: ModelProto.graph, GraphProto.initializer, TensorProto.raw_data."""

_LONGEST_VARINT = 10  # bytes


def check_outline(content: bytes) -> None:
    """Raises ModelError if more than MOST_OUTLINE bytes are not weights, or if the bytes are no protobuf message.

    Reads the headers of fields only, and no more of them than are within the bound.
    """
    outline = 0
    for size in _outline(content, 0, len(content), WEIGHTS):
        outline += size
        if outline > MOST_OUTLINE:
            raise ModelError(
                f"expected at most {MOST_OUTLINE:,} bytes in an ONNX file without its weights, got more: name a file "
                "that `pairnet export` wrote"
            )


def _outline(content: bytes, start: int, end: int, path: tuple[int, ...]) -> Iterator[int]:
    """The number of bytes of each field that are not weights, for the message from `start` to `end`."""
    while start < end:
        key, begin = _varint(content, start, end)
        match kind := key & 7:  # protobuf's wire types; ONNX has no groups, 3 and 4
            case 0:
                _, stop = _varint(content, begin, end)
            case 1:
                stop = begin + 8
            case 2:
                length, begin = _varint(content, begin, end)
                stop = begin + length
            case 5:
                stop = begin + 4
            case _:
                raise not_a_model(content)
        if stop > end:
            raise not_a_model(content)
        if kind == 2 and key >> 3 == path[0]:
            yield begin - start
            if path[1:]:
                yield from _outline(content, begin, stop, path[1:])
        else:
            yield stop - start
        start = stop


def _varint(content: bytes, start: int, end: int) -> tuple[int, int]:
    """A number of 7 bits in each byte, least first, and the place after it."""
    if start < end and content[start] < 128:  # almost every one
        return content[start], start + 1
    value = 0
    for place in range(start, min(end, start + _LONGEST_VARINT)):
        value |= (content[place] & 127) << 7 * (place - start)
        if content[place] < 128:
            return value, place + 1
    raise not_a_model(content)


def not_a_model(content: bytes) -> ModelError:
    """The error for bytes that are no model; the first bytes of one are none, too."""
    return ModelError(
        f"expected an ONNX model, got other bytes, or a part of one ({len(content):,} bytes): name a file that "
        "`pairnet export` wrote, or copy it again"
    )
