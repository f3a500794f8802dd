"""The file of records: order, interrupted writes, damaged lines, duplicates, two writers."""

import os
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from record_examples import EPOCH, record

from pairnet.errors import RecordError
from pairnet.records.reading import LARGEST_RECORD
from pairnet.records.record import FailedRun
from pairnet.records.store import LARGEST_FILE, RECORDS, append, locked, read_records, read_stored, remove
from pairnet.study.environment import environment


def failed(like):
    return FailedRun(
        fingerprint=like.fingerprint,
        run=like.run,
        label=like.run.name,
        error="the loss is nan",
        environment=environment("cpu", engine="processes"),
    )


def test_records_are_read_in_their_order(tmp_path):
    assert read_records(tmp_path) == []
    for number in range(3):
        append(tmp_path, record(number))
    assert read_records(tmp_path) == read_records(str(tmp_path)) == [record(0), record(1), record(2)]


@pytest.mark.parametrize("lost", [1, 5, 200, 100_000])
def test_a_half_written_last_line_is_ignored_and_removed_by_the_next_write(tmp_path, lost):
    append(tmp_path, record(0))
    path = tmp_path / RECORDS
    path.write_bytes(
        path.read_bytes() + record(1).to_json().encode()[:-lost] + (b'{"schema": ' + b"x" * 70_000) * (lost > 1000)
    )
    assert read_records(tmp_path) == [record(0)]
    append(tmp_path, record(2))
    assert read_records(tmp_path) == [record(0), record(2)]


def test_a_last_line_without_a_line_break_is_unfinished(tmp_path):
    (tmp_path / RECORDS).write_text(record(0).to_json())
    assert read_records(tmp_path) == []
    append(tmp_path, record(1))
    assert read_records(tmp_path) == [record(1)]


@pytest.mark.parametrize("line", ["{", "[]", "{}", '"x"', "3", "null", "\xff", '{"epochs": 3}', ""])
def test_any_other_invalid_line_is_refused_with_its_number(tmp_path, line):
    append(tmp_path, record(0))
    with (tmp_path / RECORDS).open("a", encoding="latin-1") as file:
        file.write(line + "\n")
    with pytest.raises(RecordError, match=r"records.jsonl, line 2: .*correct or remove this line"):
        read_records(tmp_path)


def test_the_same_record_twice_counts_once(tmp_path):
    append(tmp_path, record(0))
    append(tmp_path, record(0))
    assert read_records(tmp_path) == [record(0)]


def test_two_different_results_of_one_run_are_refused(tmp_path):
    append(tmp_path, record(0))
    append(tmp_path, record(1))
    append(tmp_path, record(0, accuracy=0.9))
    with pytest.raises(RecordError, match=r"lines 1 and 3 are different results of one run \(fc_1"):
        read_records(tmp_path)


def test_the_record_with_more_measurements_counts(tmp_path):
    unmeasured = replace(EPOCH, validation_loss=None, validation_accuracy=None)
    few = record(0, epochs=(unmeasured, EPOCH))
    for first, second in ((few, record(0)), (record(0), few)):
        (tmp_path / RECORDS).unlink(missing_ok=True)
        append(tmp_path, first)
        append(tmp_path, second)
        assert read_records(tmp_path) == [record(0)]


def test_a_failure_is_kept_until_the_run_succeeds(tmp_path):
    append(tmp_path, failed(record(0)))
    assert read_records(tmp_path) == []
    assert read_stored(tmp_path).failures == {record(0).fingerprint: failed(record(0))}
    append(tmp_path, record(0))
    assert read_records(tmp_path) == [record(0)]
    assert read_stored(tmp_path).failures == {}


def test_one_writer_at_a_time(tmp_path):
    code = f"""
from pathlib import Path
from pairnet.records.store import locked
with locked(Path({str(tmp_path)!r})):
    print("in")
"""
    with locked(tmp_path):
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "is being written by another study" in second.stderr
    third = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert third.stdout == "in\n"


def test_what_is_left_after_a_removal_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    for number in range(3):
        append(tmp_path, record(number))
    synced, replaced = [], []
    fsync, replace_file = os.fsync, Path.replace

    def note_sync(descriptor):
        synced.append(os.fstat(descriptor).st_size)
        fsync(descriptor)

    def note_replace(path, target):
        replaced.append(path.stat().st_size)
        assert synced == replaced  # all of it, before the old file is gone
        return replace_file(path, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_replace)
    assert remove(tmp_path, {record(1).fingerprint}) == 1
    assert len(replaced) == 1


@pytest.mark.timeout(10)
def test_records_that_are_no_file_are_refused(tmp_path):
    os.mkfifo(tmp_path / RECORDS)
    with pytest.raises(RecordError, match="expected a file of records, got a pipe: look at what it is"):
        read_records(tmp_path)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("made", ["pipe", "folder", "device", "link"])
def test_a_lock_that_is_no_file_is_refused_at_once(tmp_path, made):
    lock, theirs = tmp_path / ".lock", tmp_path / "theirs"
    theirs.write_text("theirs")
    match made:
        case "pipe":
            os.mkfifo(lock)
        case "folder":
            lock.mkdir()
        case "device":
            lock.symlink_to("/dev/zero")
        case "link":
            lock.symlink_to(theirs)
    with pytest.raises(RecordError, match="expected the lock of a folder, got a"), locked(tmp_path):
        pass
    assert theirs.read_text() == "theirs"


def test_what_was_left_of_a_replacement_is_never_written_through(tmp_path):
    append(tmp_path, record(0))
    append(tmp_path, record(1))
    theirs = tmp_path / "theirs"
    theirs.write_text("theirs")
    (tmp_path / f".{RECORDS}.new").symlink_to(theirs)
    with locked(tmp_path):
        assert remove(tmp_path, {record(0).fingerprint}) == 1
    assert theirs.read_text() == "theirs"
    assert read_records(tmp_path) == [record(1)]


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(tmp_path):
    append(tmp_path, record(0))
    os.truncate(tmp_path / RECORDS, 3 << 30)  # the rest is a hole
    tracemalloc.start()
    with pytest.raises(RecordError, match=r"records\.jsonl, line 2: expected a record of at most .* bytes, got more"):
        read_records(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 4 * LARGEST_RECORD
    tracemalloc.stop()
    os.truncate(tmp_path / RECORDS, LARGEST_FILE + 1)
    with pytest.raises(RecordError, match=r"expected a file of records of at most 4,294,967,296 bytes"):
        read_records(tmp_path)


def test_a_full_disk_names_the_file_and_loses_no_earlier_record(tmp_path, monkeypatch):
    append(tmp_path, record(0))

    def full(descriptor):
        assert os.fstat(descriptor).st_size > len(record(0).to_json())  # flushed before it is synced
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left") as error:
            append(tmp_path, record(1))
    assert error.value.filename == str(tmp_path / RECORDS)
    assert record(0) in read_records(tmp_path)


@pytest.mark.parametrize("text", ['{"my": "data"}', "thesis", '{"schemas": 3'])
def test_the_end_of_somebody_elses_file_is_not_removed(tmp_path, text):
    (tmp_path / RECORDS).write_text(text)
    for step in (lambda: append(tmp_path, record(0)), lambda: read_records(tmp_path)):
        with pytest.raises(RecordError, match=r"records\.jsonl to end in a record, got something else"):
            step()
    assert (tmp_path / RECORDS).read_text() == text


def test_failures_are_removed_apart_from_records(tmp_path):
    append(tmp_path, failed(record(0)))
    append(tmp_path, record(0))
    append(tmp_path, failed(record(1)))
    assert remove(tmp_path, set(), failed={record(0).fingerprint, record(1).fingerprint}) == 2
    assert read_records(tmp_path) == [record(0)]
    assert remove(tmp_path, {record(0).fingerprint}) == 1
