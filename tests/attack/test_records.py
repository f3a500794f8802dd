"""Damaged records: each line is read as it was written, or refused in one line; never another exception.

PAIRNET_ATTACK=long tries 20,000 lines in place of 500.
"""

import json
import os
import random
from dataclasses import asdict

from damage import damaged, odd_value_somewhere
from record_examples import record

from pairnet.errors import RecordError
from pairnet.records.reading import read_record

LINES = 20_000 if os.environ.get("PAIRNET_ATTACK") == "long" else 500
VALUES = (None, True, -1, 0, 1e308, 2**70, "", "x", "\x1b[31m", [], {}, [[]], {"a": 1}, [1, "b"], "conv(1,1,3)")


def test_damaged_lines_are_read_or_refused_in_one_line():
    rng = random.Random(0)
    original = record()
    values = json.loads(original.to_json())
    refusals = []
    for number in range(LINES):
        if number % 2:
            line = json.dumps(odd_value_somewhere(values, rng, VALUES)).encode()
        else:
            line = damaged(original.to_json().encode(), rng)
        try:
            found = read_record(line)
        except RecordError as error:
            refusals.append(str(error))
            continue
        json.dumps(asdict(found), allow_nan=False)
        assert found.fingerprint
    assert len(refusals) > LINES / 2
    assert all(len(reason.splitlines()) == 1 for reason in refusals)
