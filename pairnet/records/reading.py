"""Reads one record of a run from JSON, whatever its schema, and validates it whole."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from pairnet.errors import ArgumentError, NotationError, RecordError, one_line
from pairnet.opening import LEFT, read_file
from pairnet.records.calibration import BINS
from pairnet.records.elsewhere import Elsewhere
from pairnet.records.older import read_older, with_kind
from pairnet.records.record import SCHEMA, FailedRun, RunRecord
from pairnet.records.run import name_of
from pairnet.wording import shown

LARGEST_RECORD = 3 << 24
"""Bytes of a record on one line: the most epochs and wrong pairs that a run can have take 45 million."""

MOST_VALUES = 2_000_000
"""Values of a record, counted by their commas before it is read: small ones take much more memory than their text."""

LONGEST_REASON = 200

ROUNDING = 1e-3
"""Largest error of a stored sum of probabilities."""

SLACK = 0.05
"""Largest difference of two accuracies of the same answers: in sums of float32, ties at 0.5 may fall on either side."""


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """The fields that tell how to read a line."""

    schema: Annotated[int, Meta(ge=1, le=10**6)] = 1
    error: str | None = None  # of a run that failed
    failure: str | None = None  # the same, up to schema 2


_decode_kind = msgspec.json.Decoder(_Kind).decode
_decode_finished = msgspec.json.Decoder(RunRecord).decode
_decode_failed = msgspec.json.Decoder(FailedRun).decode


def record_text(path: Path) -> bytes:
    """The text of a record that has a file of its own, where it may be indented.

    RecordError if it cannot be read or is too large.
    """
    largest = 2 * LARGEST_RECORD
    return read_file(path, what="the record of a run", largest=largest, error=RecordError, remedy=LEFT)


def read_record(line: bytes | str) -> RunRecord | FailedRun:
    """The record in one JSON text, of this schema or an older one.  RecordError says what is wrong with it.

    Everything is checked: types, bounds, and that the fingerprint is the one that the run has. A run whose settings or
    results contradict each other is named in the message.
    """
    commas = line.count(",") if isinstance(line, str) else line.count(b",")
    if commas > MOST_VALUES:
        raise RecordError(f"expected a record of at most {MOST_VALUES:,} values, got {commas:,}: no run has so many")
    try:
        record = _decode(line)
    except RecursionError:
        raise RecordError("expected a record of a run, got one of hundreds of levels: no version writes such") from None
    except (msgspec.MsgspecError, ArgumentError, NotationError, UnicodeDecodeError) as error:
        raise RecordError(f"expected a record of a run, got something else: {_reason(error)}") from None
    if record.run is None:
        return record
    try:
        if record.fingerprint != record.run.fingerprint:
            raise RecordError(
                f"expected fingerprint {record.run.fingerprint}, which its settings have, got "
                f"{shown(record.fingerprint)}: it was edited, or a newer pairnet wrote it"
            )
        if isinstance(record, RunRecord):
            _check(record)
    except RecordError as error:
        raise RecordError(f"{name_of(record.run)}: {error}") from None
    return record


def _reason(error: Exception) -> str:
    """msgspec's reason and place; a hostile value that it quotes is shortened, the place stays."""
    text, at, place = str(error).rpartition(" - at ")
    return f"{shown(text)[1:-1]}{at}{place}" if at and len(text) > LONGEST_REASON else one_line(error)


def _decode(line: bytes | str) -> RunRecord | FailedRun:
    kind = _decode_kind(line)  # which skips everything else
    if kind.schema > SCHEMA:
        raise RecordError(f"expected schema {SCHEMA} or older, got {kind.schema}: update pairnet")
    if kind.schema < SCHEMA:
        return read_older(line, schema=kind.schema, failed=kind.failure is not None)
    return _decode_finished(line) if kind.error is None else with_kind(_decode_failed(line))


def _check(record: RunRecord) -> None:
    """RecordError unless the results of a record agree with each other."""
    if record.run.elsewhere is not None:
        _check_elsewhere(record, record.run.elsewhere)
    elif not record.epochs:
        raise RecordError("expected one or more epochs, got none")
    elif not record.epochs[-1].measured:
        raise RecordError("expected the last epoch to be measured, got one without validation figures")
    count = record.run.held_out
    bins = record.calibration
    if bins:
        if len(bins) != BINS or not all(0 <= k <= n and 0 <= total <= n + ROUNDING for n, total, k in bins):
            raise RecordError(f"expected {BINS} calibration bins with counts and sums within them, got others")
        if (binned := sum(n for n, _, _ in bins)) != count:
            raise RecordError(f"expected calibration bins of {count} held-out pairs, got {binned}")
    measured = record.epochs[-1].validation_accuracy if record.epochs else None
    if measured is not None and abs(measured - record.accuracy) > SLACK:
        raise RecordError(f"expected an accuracy of {measured:.4f}, as in the last epoch, got {record.accuracy:.4f}")
    if record.wrong is None:
        return
    places = [at for at, _ in record.wrong]
    if places != sorted(set(places)) or not all(at >= 0 and 0 <= p <= 1 for at, p in record.wrong):
        raise RecordError("expected wrong pairs in order, with probabilities from 0 to 1, got others")
    if places and places[-1] >= count:
        raise RecordError(f"expected wrong pairs below {count}, got {places[-1]}")
    if abs(count * (1 - record.accuracy) - len(places)) > 0.5:
        raise RecordError(f"expected {round(count * (1 - record.accuracy))} wrong pairs, got {len(places)}")


def _check_elsewhere(record: RunRecord, elsewhere: Elsewhere) -> None:
    """RecordError if the record of a network trained elsewhere tells of a training, or of another network."""
    if record.epochs:
        raise RecordError(f"expected no epochs of a network trained elsewhere, got {len(record.epochs)}")
    if record.weights_sha256 not in ("", elsewhere.weights):
        raise RecordError(
            f"expected weights of SHA-256 {elsewhere.weights[:12]}, which the run names, got "
            f"{shown(record.weights_sha256[:12])}"
        )
    stated = (elsewhere.mean, elsewhere.std)
    if stated not in ((None, None), (record.mean, record.std)):
        raise RecordError(f"expected mean and std {stated}, which the run states, got {(record.mean, record.std)}")
