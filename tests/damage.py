"""Damage for tests of what a program reads: bytes with some changed, and JSON with an odd value somewhere."""

import json
import random
import struct
from collections.abc import Sequence
from typing import Any

TOKENS = (b"\0", b"[", b"]", b"{", b'"', b"-", b"1e999", b"\xff\xff\xff\xff")
"""What is inserted: signs of JSON, zeros and large numbers."""


def damaged(content: bytes, rng: random.Random) -> bytes:
    """A copy of which some bytes are changed, removed, repeated or added; changes near either end are more likely."""
    result = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        span = len(result) if rng.random() < 0.3 else min(len(result), 128)
        at = rng.randrange(span) if rng.random() < 0.7 else len(result) - 1 - rng.randrange(span)
        match rng.randrange(7):
            case 0:
                result[at] ^= 1 << rng.randrange(8)
            case 1:
                result[at] = rng.choice((0, 1, 127, 128, 255))
            case 2:
                result[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice((0, 2**16, 2**31, 2**32 - 1)))
            case 3:
                result = result[:at] or result
            case 4 if len(result) > 9:
                del result[at : at + rng.randint(1, 9)]
            case 5:
                result[at:at] = result[at : at + rng.randint(1, 99)]
            case _:
                result[at:at] = rng.choice(TOKENS)
    return bytes(result)


def odd_value_somewhere(value: Any, rng: random.Random, odd: Sequence[object]) -> Any:
    """A copy of JSON values in which one value, name or entry is replaced, renamed, removed or repeated."""
    inner = copy = json.loads(json.dumps(value))
    while inner is copy or (isinstance(inner, dict | list) and inner and rng.random() < 0.75):
        holder, key = inner, rng.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        inner = holder[key]
    match rng.randrange(4):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[rng.choice((*holder, "parameters", "x" * 300))] = holder.pop(key)
        case 2 if isinstance(holder, list):
            holder.insert(key, holder[key])
        case _:
            holder[key] = rng.choice(odd)
    return copy
