"""Folders merged into one: each run once, nothing half-written, nothing changed by an error."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from record_examples import EPOCH, record

from pairnet.errors import RecordError
from pairnet.models.variants import find_variant
from pairnet.records.collection import collect
from pairnet.records.folders import RECORD
from pairnet.records.record import FailedRun
from pairnet.records.store import RECORDS, append, locked, read_records, read_stored
from pairnet.study.files import read_study
from pairnet.study.kept import KEPT, keep_file
from pairnet.study.merging import Merged, merge

FEW = record(0, epochs=(replace(EPOCH, validation_loss=None, validation_accuracy=None), EPOCH))


def failed(like, reason="the loss is nan"):
    run = like.run
    return FailedRun(fingerprint=run.fingerprint, run=run, label=run.name, error=reason, environment=like.environment)


@pytest.fixture
def folder(tmp_path):
    """Makes a folder with these records."""

    def made(name, *records):
        (tmp_path / name).mkdir()
        for each in records:
            append(tmp_path / name, each)
        return tmp_path / name

    return made


def save(runs, name, made, **changes):
    """A saved network in a folder, as far as merging reads it."""
    (runs / name).mkdir(parents=True)
    (runs / name / RECORD).write_text(json.dumps({**made.to_dict(), **changes}, indent=1) + "\n")


def numbers(**changes):
    return Merged(**{"folders": 2, "added": 0, "there": 0, "failures": 0, "networks": 0, "studies": 0, **changes})


def test_the_runs_of_two_folders_are_added_to_those_that_are_there(folder):
    into, one, two = folder("into", record(9)), folder("one", record(1), record(0)), folder("two", record(2), record(1))
    before = [(path / RECORDS).read_bytes() for path in (one, two)]
    assert merge([one, two], into) == numbers(added=3)
    assert read_records(into) == [record(9), record(1), record(0), record(2)]
    assert [(path / RECORDS).read_bytes() for path in (one, two)] == before
    inode = (into / RECORDS).stat().st_ino
    assert merge([one, two], into) == numbers(there=3)
    assert (into / RECORDS).stat().st_ino == inode  # not written again


def test_a_missing_folder_is_made_and_gets_each_line_as_it_was_written(folder, tmp_path):
    one = folder("one")
    newer = json.dumps({**record(1).to_dict(), "novel": 1e100})
    old = (Path(__file__).parents[1] / "records" / "schema1.jsonl").read_text()
    (one / RECORDS).write_text(f"{old}{newer}\n")
    into = tmp_path / "new" / "into"
    assert merge([one], into).added == len(read_records(one)) > 30
    assert set((into / RECORDS).read_text().splitlines()) <= {*old.splitlines(), newer}
    assert newer in (into / RECORDS).read_text()
    assert read_records(into) == read_records(one)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_record_with_more_measurements_counts(folder, tmp_path, order):
    folders = [folder("few", FEW), folder("more", record(0))]
    assert merge([folders[at] for at in order], tmp_path / "into").added == 1
    assert read_records(tmp_path / "into") == [record(0)]


def test_more_measurements_than_those_that_are_there_are_added(folder):
    few, more = folder("few", FEW), folder("more", record(0))
    assert merge([few], more) == numbers(folders=1, there=1)
    assert merge([more], few) == numbers(folders=1, added=1)
    assert read_records(few) == read_records(more) == [record(0)]


def test_different_results_of_one_run_are_refused_with_their_places(folder, tmp_path):
    one, two = folder("one", record(1), record(0)), folder("two", record(0, accuracy=0.9))
    with pytest.raises(RecordError) as error:
        merge([one, two], tmp_path / "into")
    places = f"{one / RECORDS}, line 2 and {two / RECORDS}, line 1"
    assert str(error.value).startswith(f"{places} are different results of one run (fc_1, draw 0, fingerprint ")
    with pytest.raises(RecordError, match="are different results of one run"):
        merge([two, one], tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_results_that_differ_from_those_that_are_there_change_nothing(folder):
    into, one = folder("into", record(3), record(0)), folder("one", record(1), record(0, accuracy=0.9))
    before = (into / RECORDS).read_bytes()
    with pytest.raises(RecordError) as error:
        merge([one], into)
    assert str(error.value).startswith(f"{into / RECORDS}, line 2 and {one / RECORDS}, line 2 are different results")
    assert (into / RECORDS).read_bytes() == before


def test_failures_are_added_unless_their_run_has_a_record(folder, tmp_path):
    one = folder("one", failed(record(0)), failed(record(1)), failed(record(2), "first"))
    two = folder("two", record(0), failed(record(2), "second"))
    into = folder("into", record(1))
    assert merge([one, two], into) == numbers(added=1, failures=1)
    assert read_records(into) == [record(1), record(0)]
    assert read_stored(into).failures == {record(2).fingerprint: failed(record(2), "first")}
    before = (into / RECORDS).read_bytes()
    assert merge([one, two], into) == numbers(there=1)
    assert (into / RECORDS).read_bytes() == before
    assert merge([folder("three", record(2))], into).added == 1
    assert read_stored(into).failures == {}


def test_a_folder_of_failures_only_is_merged(folder, tmp_path):
    assert merge([folder("one", failed(record(0)))], tmp_path / "into") == numbers(folders=1, failures=1)
    assert list(read_stored(tmp_path / "into").failures) == [record(0).fingerprint]


def test_a_folder_that_is_named_twice_or_is_the_result_counts_once(folder, tmp_path, monkeypatch):
    into, one = folder("into", record(0)), folder("one", record(1))
    (tmp_path / "link").symlink_to(one)
    monkeypatch.chdir(tmp_path)
    folders = [one, one, Path("one"), Path("into/../one"), tmp_path / "link", into, Path("into")]
    assert merge(folders, into) == numbers(folders=1, added=1)
    assert merge([into], Path("into")) == numbers(folders=0)
    assert read_records(into) == [record(0), record(1)]


def test_records_of_saved_networks_are_merged_and_their_weights_are_not(folder, tmp_path):
    one = folder("one", record(0))
    saved = record(7, variant=find_variant("fc_3"), weights_sha256="w" * 64)
    save(one, "fc_3-1", saved)
    save(one, "fc_1-1", record(0), accuracy=0.69, wrong=None)  # what the study recorded counts, as in `pairnet runs`
    save(one, ".fc_1-2.old", record(5))
    assert merge([one], tmp_path / "into") == numbers(folders=1, added=2, networks=2)
    assert read_records(tmp_path / "into") == [record(0), saved]
    assert [path.name for path in (tmp_path / "into").iterdir() if path.is_dir()] == []
    assert collect(one).records == collect(tmp_path / "into").records


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "expected a folder with runs, got .*one, which is no folder: check the path$"),
        (
            {},
            "expected a folder with runs, got .*one, which has no finished line in records.jsonl and no saved network",
        ),
        ({RECORDS: ""}, "which has no finished line in records.jsonl and no saved network: leave it out"),
        ({RECORDS: record().to_json()}, "which has no finished line in records.jsonl"),
        ({RECORDS: f"{record().to_json()}\n[]\n"}, r"one/records.jsonl, line 2: expected a record .*remove this line$"),
        ({f"fc_1-1/{RECORD}": "{"}, r"one/fc_1-1/record.json: expected a record .*; correct or remove this folder$"),
    ],
    ids=["missing", "empty", "empty file", "unfinished", "invalid line", "damaged network"],
)
def test_folders_that_cannot_be_merged_are_refused_before_anything_is_written(folder, tmp_path, content, reason):
    for name, text in (content or {}).items():
        (tmp_path / "one" / name).parent.mkdir(parents=True)
        (tmp_path / "one" / name).write_text(text)
    if content == {}:
        (tmp_path / "one").mkdir()
    with pytest.raises(RecordError, match=reason):
        merge([folder("good", record(3)), tmp_path / "one"], tmp_path / "into")
    assert not (tmp_path / "into").exists()


def test_an_invalid_line_of_the_result_is_refused(folder):
    into = folder("into", record(0))
    (into / RECORDS).write_text("{}\n")
    with pytest.raises(RecordError, match=r"into/records.jsonl, line 1: "):
        merge([folder("one", record(1))], into)
    assert (into / RECORDS).read_text() == "{}\n"


def test_unfinished_lines_are_left_out_and_do_not_join_others(folder):
    into, one = folder("into", record(0)), folder("one", record(1))
    for path in (into, one):
        with (path / RECORDS).open("a") as file:
            file.write(record(5).to_json()[:-9])
    merge([one], into)
    assert read_records(into) == [record(0), record(1)]


def test_nothing_is_merged_into_a_folder_that_a_study_writes(folder):
    into, one = folder("into", record(0)), folder("one", record(1))
    with locked(into), pytest.raises(RecordError, match="is being written by another study"):
        merge([one], into)
    assert read_records(into) == [record(0)]


def test_a_folder_that_a_study_writes_can_be_merged(folder, tmp_path):
    one = folder("one", record(1))
    with locked(one):
        assert merge([one], tmp_path / "into").added == 1


def test_the_lock_is_held_while_the_file_is_replaced(folder, monkeypatch):
    into, one = folder("into", record(0)), folder("one", record(1))
    replace_file = Path.replace

    def replaced(path, target):
        with pytest.raises(RecordError, match="is being written"), locked(into):
            pass
        return replace_file(path, target)

    monkeypatch.setattr(Path, "replace", replaced)
    assert merge([one], into).added == 1


def test_all_lines_are_on_the_disk_before_the_file_has_its_name(folder, monkeypatch):
    into, one = folder("into", record(0)), folder("one", record(1), record(2))
    synced, replaced = [], []
    fsync, replace_file = os.fsync, Path.replace

    def note_sync(descriptor):
        synced.append(os.fstat(descriptor).st_size)
        fsync(descriptor)

    def note_replace(path, target):
        replaced.append(path.stat().st_size)
        assert synced == replaced
        assert read_records(into) == [record(0)]
        return replace_file(path, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "replace", note_replace)
    merge([one], into)
    assert len(replaced) == 1
    assert len(read_records(into)) == 3


def test_a_full_disk_names_the_file_and_changes_nothing(folder, monkeypatch):
    into, one = folder("into", record(0)), folder("one", record(1))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left") as error:
            merge([one], into)
    assert error.value.filename.startswith(str(into))
    assert read_records(into) == [record(0)]
    assert merge([one], into).added == 1


def test_study_files_are_merged_and_two_different_ones_of_a_name_are_both_kept(folder, tmp_path):
    one, two, into = folder("one", record(0)), folder("two", record(1)), tmp_path / "into"
    file = tmp_path / "my.toml"
    file.write_text(same := '[[rows]]\nvariant = "w_net"\n')
    for each in (one, two):
        keep_file(read_study(file), each)
    assert merge([one, two], into) == numbers(added=2, studies=1)
    assert (into / KEPT / "my.toml").read_text() == same
    assert merge([one, two], into) == numbers(there=2)
    file.write_text(other := '[[rows]]\nvariant = "a_net"\n')
    keep_file(read_study(file), two)
    assert merge([one, two], into) == numbers(there=2, studies=1)
    assert sorted(path.read_text() for path in (into / KEPT).iterdir()) == sorted([same, other])


@pytest.mark.parametrize("name", ["thesis.tex", "weights.safetensors"])
def test_a_folder_of_other_files_is_refused_and_left_as_it_is(folder, tmp_path, name):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("mine")
    with pytest.raises(RecordError, match=r"one with runs, got .*mine, which holds other files: choose another"):
        merge([folder("one", record(0))], tmp_path / "mine")
    assert [(path.name, path.read_text()) for path in (tmp_path / "mine").iterdir()] == [(name, "mine")]


def test_what_a_study_leaves_before_its_first_run_is_a_folder_of_runs(folder, tmp_path):
    (tmp_path / "begun" / KEPT).mkdir(parents=True)
    (tmp_path / "begun" / ".lock").touch()
    assert merge([folder("one", record(0))], tmp_path / "begun").added == 1
    (tmp_path / "other" / "sub").mkdir(parents=True)
    (tmp_path / "other" / "sub" / RECORD).write_text("{}")
    with pytest.warns(UserWarning, match="skipped"), pytest.raises(RecordError, match="which holds other files"):
        merge([tmp_path / "one"], tmp_path / "other")
