"""Reads one record of a run from JSON, whatever its schema, and validates it whole."""

from dataclasses import dataclass

import msgspec

from pairnet.errors import NotationError, RecordError, one_line
from pairnet.study.records import SCHEMA, FailedRun, RunRecord, fingerprint_of
from pairnet.study.schema1 import upgrade


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """The fields that tell how to read a line."""

    schema: int = 1
    failure: str | None = None


def read_record(line: bytes | str) -> RunRecord | FailedRun:
    """The record in one JSON text, of this schema or an older one.  RecordError says what is wrong with it.

    Everything is checked: types, bounds, and that the fingerprint is the one that the content has.
    """
    try:
        kind = msgspec.json.decode(line, type=_Kind)
        if kind.schema > SCHEMA:
            raise RecordError(f"expected schema {SCHEMA} or older, got {kind.schema}: update pairnet")
        if kind.schema == 1:
            return upgrade(line)
        if kind.failure is not None:
            return msgspec.json.decode(line, type=FailedRun)
        record = msgspec.json.decode(line, type=RunRecord)
        expected = fingerprint_of(record)
    except (msgspec.MsgspecError, NotationError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(f"expected a record of a run, got something else: {one_line(error)}") from None
    if record.fingerprint != expected:
        raise RecordError(
            f"expected fingerprint {expected}, which its settings have, got {record.fingerprint}: it was edited"
        )
    if not record.epochs[-1].measured:
        raise RecordError("expected the last epoch to be measured, got one without validation figures")
    return record
