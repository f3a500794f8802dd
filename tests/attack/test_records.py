"""Damaged records: each line is read as it was written, or refused in one line; never another exception.

PAIRNET_ATTACK=long tries 20,000 lines in place of 500.
"""

import json
import os
import random
from dataclasses import asdict

from record_examples import record

from pairnet.errors import RecordError
from pairnet.records.reading import read_record

LINES = 20_000 if os.environ.get("PAIRNET_ATTACK") == "long" else 500
VALUES = (None, True, -1, 0, 1e308, 2**70, "", "x", "\x1b[31m", [], {}, [[]], {"a": 1}, [1, "b"], "conv(1,1,3)")


def paths(value, prefix=()):
    """The path of every value in nested JSON."""
    yield prefix
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*prefix, key))


def replaced(values, rng):
    """A copy with one value replaced or removed."""
    copy = json.loads(json.dumps(values))
    path = rng.choice([path for path in paths(copy) if path])
    parent = copy
    for key in path[:-1]:
        parent = parent[key]
    if rng.random() < 0.3 and isinstance(parent, dict):
        del parent[path[-1]]
    else:
        parent[path[-1]] = rng.choice(VALUES)
    return json.dumps(copy).encode()


def flipped(line, rng):
    """A copy with some bytes changed, removed or cut off."""
    result = bytearray(line)
    for _ in range(rng.choice((1, 1, 3))):
        at = rng.randrange(len(result))
        match rng.randrange(3):
            case 0:
                result[at] ^= 1 << rng.randrange(8)
            case 1:
                del result[at]
            case _:
                result = result[:at] or result
    return bytes(result)


def test_damaged_lines_are_read_or_refused_in_one_line():
    rng = random.Random(0)
    original = record()
    values = json.loads(original.to_json())
    refusals = []
    for number in range(LINES):
        line = replaced(values, rng) if number % 2 else flipped(original.to_json().encode(), rng)
        try:
            found = read_record(line)
        except RecordError as error:
            refusals.append(str(error))
            continue
        json.dumps(asdict(found), allow_nan=False)
        assert found.fingerprint
    assert len(refusals) > LINES / 2
    assert all(len(reason.splitlines()) == 1 for reason in refusals)
