"""Records: round trip, what a killed run leaves, and two writers."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest
from record_examples import record

from pairnet.errors import RecordError
from pairnet.host import revision
from pairnet.study.records import RunRecord, append, environment, locked, read


def test_a_record_is_one_line_and_comes_back_whole():
    line = record().to_json()
    assert "\n" not in line
    assert RunRecord.from_json(line) == record()


def test_records_come_back_in_their_order(tmp_path):
    path = tmp_path / "records.jsonl"
    assert read(path) == []
    for number in range(3):
        append(path, record(number))
    assert read(path) == [record(0), record(1), record(2)]


@pytest.mark.parametrize("lost", [1, 5, 200, 100_000])
def test_a_half_written_last_line_is_passed_over_and_cut_off_by_the_next(tmp_path, lost):
    path = tmp_path / "records.jsonl"
    append(path, record(0))
    whole = path.read_bytes()
    path.write_bytes(whole + record(1).to_json().encode()[:-lost] + b"x" * (lost > 1000) * 70_000)
    assert read(path) == [record(0)]
    append(path, record(2))
    assert read(path) == [record(0), record(2)]


def test_a_last_line_without_its_end_is_unfinished(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text(record(0).to_json())
    assert read(path) == []
    append(path, record(1))
    assert read(path) == [record(1)]


@pytest.mark.parametrize("line", ["{", "[]", "{}", '"x"', "3", "null", "\xff", '{"epochs": 3}'])
def test_any_other_bad_line_is_told_with_its_number(tmp_path, line):
    path = tmp_path / "records.jsonl"
    append(path, record(0))
    with path.open("a", encoding="latin-1") as file:
        file.write(line + "\n")
    with pytest.raises(RecordError, match=r"records.jsonl, line 2: .*mend or remove the line"):
        read(path)


def test_epochs_of_the_wrong_kind_are_no_record():
    values = dataclasses.asdict(record())
    for bad in (5, [5], [{"loss": 1}], None):
        with pytest.raises(RecordError, match="not a run record"):
            RunRecord.from_json(json.dumps({**values, "epochs": bad}))


@pytest.mark.parametrize(
    "change",
    [
        {"accuracy": 7},
        {"accuracy": "x"},
        {"accuracy": None},
        {"seeds": 3},
        {"seeds": {}},
        {"data": []},
        {"epochs": []},
        {"recipe": None},
        {"schema": 99},
    ],
)
def test_values_that_no_run_writes_are_no_record(change):
    with pytest.raises(RecordError):
        RunRecord.from_json(json.dumps({**dataclasses.asdict(record()), **change}))


def test_fields_of_a_newer_version_are_passed_over():
    assert RunRecord.from_json(json.dumps({**dataclasses.asdict(record()), "novel": 1})) == record()


def test_one_writer_at_a_time(tmp_path):
    code = f"""
from pathlib import Path
from pairnet.study.records import locked
with locked(Path({str(tmp_path)!r})):
    print("in")
"""
    with locked(tmp_path):
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "is being written by another run" in second.stderr
    third = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert third.stdout == "in\n"


def test_a_full_disk_passes_through_and_loses_no_earlier_record(tmp_path, monkeypatch):
    path = tmp_path / "records.jsonl"
    append(path, record(0))

    def full(descriptor):
        assert os.fstat(descriptor).st_size > len(record(0).to_json())  # flushed before it is synced
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            append(path, record(1))
    assert record(0) in read(path)


def test_the_environment_names_versions_hardware_and_revision():
    found = environment("cpu")
    assert {"python", "pairnet", "torch", "numpy"} <= found.versions.keys()
    assert found.hardware.endswith("cores")
    assert found.device == "cpu"
    assert revision()
