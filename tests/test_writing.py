"""How folders and files are written: what the mark allows, what is refused, and writers at the same time.

tests/attack/test_foreign_files.py holds all commands that write to the same, and kills them.
"""

import json
import threading

import pytest

from pairnet.errors import ArgumentError
from pairnet.writing import (
    MARK,
    NEXT,
    check_folder,
    current_file,
    folder_of_files,
    marked_files,
    one_file,
    separate_files,
)


def write(folder, files, **options):
    with folder_of_files(folder, content="a test", **options) as new:
        for name, text in files.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_text(text)


def texts(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_holds_the_last_files_and_their_mark(tmp_path):
    folder = tmp_path / "new" / "folder"
    write(folder, {"one": "1", "sub/two": "2"})
    write(folder, {"one": "3", "three": "4"})
    assert sorted(path.name for path in folder.iterdir()) == [MARK, "one", "three"]
    assert (folder / "one").read_text() == "3"
    assert marked_files(folder, "a test").keys() == {"one", "three"}
    assert marked_files(folder, "another") == marked_files(tmp_path, "a test") == {}


@pytest.mark.parametrize("names", [("a/b/1", "a/2"), ("a/2", "a/b/c/1"), ("a/b/1", "a/b/2", "3")])
def test_folders_that_become_empty_are_removed_and_others_stay(tmp_path, names):
    for folder in (tmp_path / "all", tmp_path / "some"):
        for written in (names, ("kept",)):
            if folder.name == "some" and written != names:
                (folder / "a" / "mine").write_text("")
            with folder_of_files(folder, content="examples") as new:
                for name in written:
                    (new / name).parent.mkdir(parents=True, exist_ok=True)
                    (new / name).write_text(name)
    assert {path.name for path in (tmp_path / "all").iterdir()} == {"kept", MARK}
    assert [path.name for path in (tmp_path / "some" / "a").iterdir()] == ["mine"]


def test_empty_folders_elsewhere_stay(tmp_path):
    """A link that somebody put in the place of a folder leads to folders of theirs."""
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    with folder_of_files(folder, content="examples") as new:
        (new / "a" / "b").mkdir(parents=True)
        (new / "a" / "b" / "1").write_text("")
    (folder / "a").rename(elsewhere)
    (folder / "a").symlink_to(elsewhere)
    (elsewhere / "b" / "1").unlink()
    with folder_of_files(folder, content="examples") as new:
        (new / "kept").write_text("")
    assert (elsewhere / "b").is_dir()
    with folder_of_files(folder, content="examples") as new:
        (new / "c").mkdir()
        (new / "c" / "1").write_text("")
    (folder / "c" / "1").unlink()
    (folder / "c").rmdir()
    (folder / "c").symlink_to("c")
    with folder_of_files(folder, content="examples") as new:
        (new / "kept").write_text("")
    assert (folder / "c").is_symlink()


def test_a_block_that_fails_changes_nothing(tmp_path):
    write(tmp_path / "old", {"one": "1"})
    before = texts(tmp_path)
    for folder in (tmp_path / "old", tmp_path / "a" / "new"):
        with pytest.raises(FileExistsError):
            write(folder, {"one": "2", "one/two": "2"})
    assert texts(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_files_of_a_version_without_marks_are_replaced_if_they_are_named(tmp_path):
    for name in ("one", "two", "mine"):
        (tmp_path / name).write_text(name)
    with pytest.raises(ArgumentError, match="new or empty folder for a test"):
        write(tmp_path, {"one": "new"})
    with pytest.raises(ArgumentError, match=r"only files that pairnet wrote and nobody changed, got .*mine: move it"):
        write(tmp_path, {"mine": "new"}, older=["one", "two", "none"])
    write(tmp_path, {"one": "new"}, older=["one", "two", "none"])
    assert {**texts(tmp_path), MARK: ""} == {"one": "new", "mine": "mine", MARK: ""}


def test_a_file_in_the_way_is_found_before_work_that_would_be_lost(tmp_path):
    write(tmp_path, {"one": "1"})
    (tmp_path / "mine").write_text("mine")
    check_folder(tmp_path, content="a test", names=["one", "two", "sub/three"])
    for name in ("mine", "mine/three"):
        with pytest.raises(ArgumentError, match=r"got .*mine: move it away"):
            check_folder(tmp_path, content="a test", names=[name])


@pytest.mark.parametrize(
    "mark",
    ["", "[]", '{"content": "a test"}', '{"content": "a test", "files": []}', "[" * 100_000]
    + [json.dumps({"content": "a test", "files": {name: "0"}}) for name in ("../x", "/x", "a/../../x", "")],
)
def test_a_mark_that_is_none_makes_the_folder_somebody_elses(tmp_path, mark):
    (tmp_path / MARK).write_text(mark)
    for older in ((), ("one",)):
        with pytest.raises(ArgumentError, match="new or empty folder"):
            write(tmp_path, {"one": "1"}, older=older)
    assert texts(tmp_path) == {MARK: mark}


def test_new_files_that_a_killed_writer_left_are_found_and_given_their_places(tmp_path):
    write(tmp_path, {"one": "1", "old": "1"})
    write(tmp_path / "other", {"one": "2", "two": "2"})
    (tmp_path / "other").rename(tmp_path / NEXT)
    assert current_file(tmp_path, "one").read_text() == "2"
    assert current_file(tmp_path, "old").read_text() == "1"
    (tmp_path / "two").write_text("mine")
    with pytest.raises(ArgumentError, match=r"got .*two: move it away"):
        write(tmp_path, {"one": "3"})
    (tmp_path / "two").unlink()
    (tmp_path / ".pairnet-new-0123abcd").mkdir()
    write(tmp_path, {"one": "3"})
    assert sorted(path.name for path in tmp_path.iterdir()) == [MARK, "one"]


def test_writers_of_one_folder_take_turns(tmp_path):
    folder = tmp_path / "folder"
    failures = []

    def writer(number):
        try:
            for _ in range(10):
                write(folder, {"one": f"{number}", "sub/two": f"{number}", f"own-{number}": ""})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=writer, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    found = texts(folder)
    assert found["one"] == found["sub/two"]
    assert found.keys() == {MARK, "one", "sub/two", f"own-{found['one']}"}


def write_one(path, text, *, force, meanwhile=None):
    with one_file(path, force=force) as new:
        new.write_text(text)
        if meanwhile is not None:
            path.write_text(meanwhile)


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(ArgumentError, match=r"`output`: expected a new file, got .*file, which exists: .* `force`"):
        write_one(path, "new", force=False, meanwhile="mine")
    assert texts(tmp_path) == {"file": "mine"}
    write_one(path, "new", force=True)
    assert texts(tmp_path) == {"file": "new"}
    with pytest.raises(ArgumentError, match=r"`output`: expected a file, got .*, which is a folder"):
        write_one(tmp_path, "new", force=True)
    with pytest.raises(FileNotFoundError, match="none/file"):
        write_one(tmp_path / "none" / "file", "new", force=True)


def test_of_several_new_files_none_stays_if_one_has_no_place(tmp_path):
    def write(first, second):
        with separate_files([first, second], force=False, what="chart") as new:
            (new / "a").write_text("new")
            (new / "b").write_text("new")
            second.write_text("mine")

    with pytest.raises(ArgumentError, match=r"`chart`: expected a new file, got .*b, which exists"):
        write(tmp_path / "a", tmp_path / "b")
    assert texts(tmp_path) == {"b": "mine"}


def test_a_folder_that_replaces_the_file_meanwhile_is_named_with_the_parameter(tmp_path):
    def write(path):
        with one_file(path, force=True, what="chart") as new:
            new.write_text("new")
            path.mkdir()

    with pytest.raises(ArgumentError, match=r"`chart`: expected a file, got .*, which is a folder"):
        write(tmp_path / "file")
    assert not list((tmp_path / "file").iterdir())


def test_on_a_disk_without_hard_links_a_file_that_appears_meanwhile_is_kept(tmp_path, monkeypatch):
    path = tmp_path / "file"

    def refuse(*_):
        path.write_text("mine")
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    with pytest.raises(ArgumentError, match="`force`"):
        write_one(path, "new", force=False)
    assert texts(tmp_path) == {"file": "mine"}


def test_on_a_disk_without_hard_links_too(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    path = tmp_path / "file"
    write_one(path, "new", force=False)
    assert texts(tmp_path) == {"file": "new"}
    with pytest.raises(ArgumentError, match="`force`"):
        write_one(path, "newer", force=False)
