"""Packed records: the same runs, failures and studies in a small folder that is read like any other and never grows."""

import json
import lzma
import platform
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from failed_examples import failed
from record_examples import record

from pairnet.errors import ArgumentError, RecordError
from pairnet.records import packed
from pairnet.records.collection import collect
from pairnet.records.packed import PACKED, pack_lines, unpack
from pairnet.records.store import RECORDS, append, opened, read_stored
from pairnet.study.kept import KEPT, kept_files
from pairnet.study.merging import merge
from pairnet.study.packing import pack

OLDER = [Path(__file__).parents[1] / "records" / name for name in ("schema1.jsonl", "schema2.jsonl")]
STUDY = 'title = "Mine"\ndata = "mnist5k"\n[[rows]]\nvariant = "fc_1"\n'


@pytest.fixture
def runs(tmp_path):
    """A folder with three runs, one that failed, and a study file."""
    folder = tmp_path / "runs"
    folder.mkdir()
    for number in range(3):
        append(folder, record(number))
    append(folder, failed(record(3)))
    (folder / KEPT).mkdir()
    (folder / KEPT / "mine.toml").write_text(STUDY)
    return folder


def test_what_is_packed_is_what_was_there(runs, tmp_path):
    found = pack(runs, tmp_path / "small")
    assert (found.runs, found.failures, found.studies) == (3, 1, 1)
    assert found.size == (tmp_path / "small" / PACKED).stat().st_size
    before, after = collect(runs), collect(tmp_path / "small")
    assert list(after.records) == list(before.records)
    assert list(after.failures) == list(before.failures)
    for one, other in zip(
        [*before.records.values(), *before.failures.values()],
        [*after.records.values(), *after.failures.values()],
        strict=True,
    ):
        assert other == replace(one, environment=replace(one.environment, node=""))
    assert [study.digest for study in kept_files(tmp_path / "small")] == [study.digest for study in kept_files(runs)]


def test_packed_records_are_merged_into_the_same_lines(runs, tmp_path):
    pack(runs, tmp_path / "small")
    merge([tmp_path / "small"], tmp_path / "again")
    node = json.dumps(platform.node()).encode()
    lines = (runs / RECORDS).read_bytes()
    assert lines.count(b'"node": ' + node) == 4
    assert (tmp_path / "again" / RECORDS).read_bytes() == lines.replace(b'"node": ' + node, b'"node": ""')
    assert pack(tmp_path / "again", tmp_path / "small").runs == 3  # replaces what it wrote before


@pytest.mark.parametrize("path", OLDER, ids=str)
def test_packed_records_name_neither_the_machine_nor_the_folder_of_the_images(path, tmp_path):
    """Of each schema; the results, and what identifies a run, are the same."""
    (tmp_path / "runs").mkdir()
    text = re.sub(r'"origin": "[^"]*"', '"origin": "full MNIST from /home/somebody/mnist"', path.read_text())
    (tmp_path / "runs" / RECORDS).write_text(re.sub(r'"node": "[^"]*"', '"node": "somebodys"', text))
    pack(tmp_path / "runs", tmp_path / "small")
    assert b"somebody" not in unpack(tmp_path / "small" / PACKED)
    before, after = read_stored(tmp_path / "runs"), read_stored(tmp_path / "small")
    assert {key: each.run for key, each in after.records.items()} == {k: each.run for k, each in before.records.items()}
    assert [(each.epochs, each.wrong, each.calibration) for each in after.records.values()] == [
        (each.epochs, each.wrong, each.calibration) for each in before.records.values()
    ]


def test_a_packed_folder_does_not_change(runs, tmp_path):
    pack(runs, tmp_path / "small")
    with (
        pytest.raises(RecordError, match=r"pairnet runs merge .*small --runs NEW` copies them"),
        opened(tmp_path / "small"),
    ):
        pass
    assert sorted(path.name for path in (tmp_path / "small").iterdir()) == [".pairnet.json", PACKED, KEPT]


def test_a_folder_with_both_files_is_refused(runs, tmp_path):
    pack(runs, tmp_path / "small")
    (tmp_path / "small" / RECORDS).write_bytes((runs / RECORDS).read_bytes())
    with pytest.raises(RecordError, match="got both"):
        read_stored(tmp_path / "small")


def test_nothing_is_packed_over_other_files_or_from_an_empty_folder(runs, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(ArgumentError, match="expected a new or empty folder for packed records"):
        pack(runs, tmp_path / "other")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordError, match="which has none"):
        pack(tmp_path / "empty", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "LARGEST_UNPACKED", 1 << 20)
    path = tmp_path / PACKED
    path.write_bytes(lzma.compress(b" " * (1 << 24) + b"\n"))
    assert path.stat().st_size < 5000
    with pytest.raises(RecordError, match="expected at most 1,048,576 bytes of records, got more"):
        unpack(path)
    monkeypatch.setattr(packed, "MEMORY", 1 << 20)  # a dictionary that asks for more
    path.write_bytes(lzma.compress(b" ", filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 26}]))
    with pytest.raises(RecordError, match="expected records that `pairnet runs pack` wrote"):
        unpack(path)


def test_damage_is_named(tmp_path):
    content = pack_lines([b"one", b"two"])
    path = tmp_path / PACKED
    path.write_bytes(content)
    assert unpack(path) == b"one\ntwo\n"
    rng = random.Random(0)
    damaged = [content[:at] for at in range(len(content))]
    damaged += [
        content[:at] + bytes([content[at] ^ rng.randrange(1, 256)]) + content[at + 1 :] for at in range(len(content))
    ]
    damaged += [content + b"more", content + content, b"", lzma.compress(b"no break"), b"{}\n"]
    for each in damaged:
        path.write_bytes(each)
        with pytest.raises(RecordError, match=r"records\.jsonl\.xz: expected records that `pairnet runs pack` wrote"):
            unpack(path)
    for each, reason in ((content[:-1], "it is cut off"), (content + b"more", "something follows its last record")):
        path.write_bytes(each)
        with pytest.raises(RecordError, match=f"got something else: {reason}$"):
            unpack(path)
    with pytest.raises(RecordError, match="none"):
        unpack(tmp_path / "none")


def test_a_line_that_is_no_record_is_named_with_its_file(tmp_path):
    (tmp_path / PACKED).write_bytes(pack_lines([record().to_json().encode(), b"{}"]))
    with pytest.raises(RecordError, match=r"records.jsonl.xz, line 2: "):
        read_stored(tmp_path)


def test_the_command_says_what_was_packed(runs, tmp_path, command_line):
    printed = command_line("runs", "pack", "small")
    size = (tmp_path / "small" / PACKED).stat().st_size
    assert printed == (0, f"packed 3 runs and 1 failed run of runs into small: {size:,} bytes\n", "")
    status, out, _ = command_line("runs", "--runs", "small")
    assert (status, "3 runs in small, 1 more failed" in out) == (0, True)
    assert command_line("runs", "delete", "--all", "--yes", "--runs", "small")[0] == 2
