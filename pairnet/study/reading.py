"""Reads one record of a run from JSON, whatever its schema, and validates it whole."""

from dataclasses import dataclass

import msgspec

from pairnet.errors import NotationError, RecordError, one_line
from pairnet.study.records import SCHEMA, FailedRun, RunRecord, fingerprint_of, name_of
from pairnet.study.schema1 import upgrade
from pairnet.training.calibration import BINS

ROUNDING = 1e-3
"""Largest error of a stored sum of probabilities."""

SLACK = 0.05
"""Largest difference of two accuracies of the same answers: in sums of float32, ties at 0.5 may fall on either side."""


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """The fields that tell how to read a line."""

    schema: int = 1
    failure: str | None = None


def read_record(line: bytes | str) -> RunRecord | FailedRun:
    """The record in one JSON text, of this schema or an older one.  RecordError says what is wrong with it.

    Everything is checked: types, bounds, and that the fingerprint is the one that the content has. A run whose settings
    or results contradict each other is named in the message.
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
    try:
        _check(record, expected)
    except RecordError as error:
        raise RecordError(f"{name_of(record)}: {error}") from None
    return record


def _check(record: RunRecord, fingerprint: str) -> None:
    """RecordError unless a record has the `fingerprint` of its settings, and its results agree with each other."""
    if record.fingerprint != fingerprint:
        raise RecordError(
            f"expected fingerprint {fingerprint}, which its settings have, got {record.fingerprint}: it was edited"
        )
    if not record.epochs[-1].measured:
        raise RecordError("expected the last epoch to be measured, got one without validation figures")
    bins = record.calibration
    if bins:
        if len(bins) != BINS or not all(0 <= k <= n and 0 <= total <= n + ROUNDING for n, total, k in bins):
            raise RecordError(f"expected {BINS} calibration bins with counts and sums within them, got others")
        if not 0 < sum(n for n, _, _ in bins) <= max(record.pairs, record.test_pairs):
            raise RecordError("expected calibration bins of the held-out pairs, got another number of pairs")
    measured = record.epochs[-1].validation_accuracy
    if measured is not None and abs(measured - record.accuracy) > SLACK:
        raise RecordError(f"expected an accuracy of {measured:.4f}, as in the last epoch, got {record.accuracy:.4f}")
    if record.wrong is None:
        return
    places = [at for at, _ in record.wrong]
    if places != sorted(set(places)) or not all(at >= 0 and 0 <= p <= 1 for at, p in record.wrong):
        raise RecordError("expected wrong pairs in order, with probabilities from 0 to 1, got others")
    if record.fold is None:
        count = record.test_pairs
        if places and places[-1] >= count:
            raise RecordError(f"expected wrong pairs below {count}, got {places[-1]}")
        if abs(count * (1 - record.accuracy) - len(places)) > 0.5:
            raise RecordError(f"expected {round(count * (1 - record.accuracy))} wrong pairs, got {len(places)}")
