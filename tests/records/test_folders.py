"""Folders of saved networks: how they are found, and that removing one leaves what is somebody else's."""

import os

import pytest
from record_examples import record

from pairnet.errors import RecordError
from pairnet.records.collection import collect
from pairnet.records.folders import RECORD, WEIGHTS, remove_folder, saved_folders
from pairnet.writing import MARK


def saved(folder):
    folder.mkdir()
    for name in (WEIGHTS, MARK):
        (folder / name).touch()
    (folder / RECORD).write_text(record().to_json())
    return folder


@pytest.mark.parametrize("other", [RECORD, WEIGHTS, MARK])
def test_a_folder_in_the_place_of_a_file_stays_and_the_others_go(tmp_path, other):
    folder = saved(tmp_path / "fc_1-00000000")
    (folder / other).unlink()
    (folder / other).mkdir()
    (folder / other / "theirs").touch()
    remove_folder(folder)
    assert [path.name for path in folder.iterdir()] == [other]
    assert (folder / other / "theirs").exists()


def test_a_link_in_the_place_of_a_file_goes_and_its_target_stays(tmp_path):
    folder, theirs = saved(tmp_path / "fc_1-00000000"), tmp_path / "theirs"
    theirs.mkdir()
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).symlink_to(theirs)
    remove_folder(folder)
    assert not folder.exists()
    assert theirs.is_dir()


@pytest.mark.timeout(10)
@pytest.mark.parametrize("made", ["pipe", "folder", "device", "loop", "large"])
def test_a_record_that_is_no_file_is_skipped_by_name_and_the_others_are_read(tmp_path, made):
    saved(tmp_path / "fc_1-00000000")
    path = saved(tmp_path / "fc_1-11111111") / RECORD
    path.unlink()
    match made:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
        case "loop":
            path.symlink_to(RECORD)
        case "large":
            path.touch()
            os.truncate(path, 3 << 30)
    assert len(saved_folders(tmp_path)) == 2
    with pytest.warns(UserWarning, match=r"skipped .*fc_1-11111111/record\.json: expected the record of a run"):
        found = collect(tmp_path)
    assert list(found.records) == [record().fingerprint]
    with pytest.raises(RecordError, match=r"fc_1-11111111/record\.json: expected the record of a run"):
        collect(tmp_path, strict=True)


def test_files_and_hidden_folders_are_no_saved_networks(tmp_path):
    saved(tmp_path / ".pairnet-new-00000000")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(saved(tmp_path / "fc_1-00000000"))
    assert [folder.name for folder in saved_folders(tmp_path)] == ["fc_1-00000000", "link"]
