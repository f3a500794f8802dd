"""Pipes and devices: every command calls one the same where it expects a file or a folder, and harms nothing."""

import csv
import json
import os
import subprocess
import sys

import pytest
from record_examples import record
from serving.pictures.test_reading import seven

from pairnet.records.folders import RECORD, WEIGHTS
from pairnet.records.store import append

pytestmark = pytest.mark.timeout(30)  # opening a pipe could wait for ever
REGULAR = ": name a regular file"


@pytest.fixture
def pairnet(command_line, tmp_path):
    """Runs a command line in a folder with a pipe, a picture and a folder of runs."""
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.onnx")
    (tmp_path / "device.onnx").symlink_to("/dev/null")
    seven().save(tmp_path / "7.png")
    (tmp_path / "runs").mkdir()
    append(tmp_path / "runs", record())
    return command_line


@pytest.mark.parametrize("kind", ["pipe", "device"])
@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("predict FILE 7.png", "FILE: expected a picture, .npy, .npz or IDX file, got a KIND" + REGULAR),
        ("predict 7.png FILE", "FILE: expected a picture, .npy, .npz or IDX file, got a KIND" + REGULAR),
        ("variants --file FILE", "FILE: expected a TOML file with variants, got a KIND" + REGULAR),
        ("study FILE", "FILE: expected a TOML file with a study, got a KIND" + REGULAR),
        ("predict KIND.onnx 7.png 7.png", "KIND.onnx: expected an ONNX file that `pairnet export` wrote, got a KIND"),
        ("serve FILE --port 0", "FILE: expected an ONNX file that `pairnet export` wrote, got a KIND" + REGULAR),
        ("report --markdown FILE", "FILE: expected a document with marked blocks, got a KIND" + REGULAR),
        ("variants --draw fc_1 --output FILE", "--output: expected a file, got FILE, which is a KIND: choose"),
        ("variants --draw fc_1 --output FILE --force", "--output: expected a file, got FILE, which is a KIND: choose"),
        ("variants --draw fc_1 --output FILE/a.svg", "expected a file in a folder, got FILE/a.svg, and FILE is a KIND"),
        (
            "train fc_1 --data glyphs:100 --runs FILE",
            "expected a folder for trained networks, got FILE, which is a KIND",
        ),
        ("train fc_1 --data glyphs:100 --runs FILE/a", "trained networks, got FILE/a, but FILE is a KIND: choose"),
        ("reproduce --table 1 --data glyphs:100 --runs FILE", "for records, got FILE, which is a KIND: choose another"),
        ("runs --runs FILE", "expected --runs to be a folder, got FILE, which is a KIND: name a folder"),
        ("report FILE", "to be a folder, got FILE, which is a KIND: name a folder"),
        ("verify FILE", "to be a folder, got FILE, which is a KIND: name a folder"),
        ("runs merge FILE --runs new", "expected a folder with runs, got FILE, which is a KIND: check"),
        ("runs merge runs --runs FILE", "expected a folder for records, got FILE, which is a KIND: choose"),
        ("report --output FILE/a.html", "got FILE with a KIND in its place: choose another folder"),
        ("data info idx:FILE", 'got "FILE", which is a KIND: check the name'),
    ],
)
def test_what_is_no_regular_file_is_called_by_its_name(pairnet, tmp_path, command, expected, kind):
    file = "/dev/null" if kind == "device" else "pipe"
    status, out, err = pairnet(*command.replace("FILE", file).replace("KIND", kind).split())
    assert (status, out) == (2, "")
    line = err.splitlines()[-1]
    assert expected.replace("FILE", file).replace("KIND", kind) in line
    assert "remove" not in line
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels.idx1-ubyte.gz"])
def test_a_pipe_among_idx_files_is_named(pairnet, idx_folder, name):
    folder = idx_folder()
    usual = name.replace(".idx", "-idx").removesuffix(".gz")
    (folder / usual).unlink()
    os.mkfifo(folder / name)
    status, _, err = pairnet("data", "info", f"idx:{folder}")
    assert (status, err) == (2, f"pairnet: {folder / name}: expected an IDX file, got a pipe: name a regular file\n")
    (folder / name).unlink()
    (folder / name).mkdir()  # as some archives unpack: looked into, and no file
    assert f"lacks {usual}" in pairnet("data", "info", f"idx:{folder}")[2]


@pytest.mark.parametrize("name", [RECORD, WEIGHTS])
def test_a_pipe_in_a_saved_network_is_named_and_may_be_removed(pairnet, tmp_path, name):
    folder = tmp_path / "runs" / "fc_1-00000000"
    folder.mkdir()
    (folder / RECORD).write_text(record().to_json())
    (folder / WEIGHTS).touch()
    (folder / name).unlink()
    os.mkfifo(folder / name)
    status, _, err = pairnet("evaluate", folder)
    assert status == 2
    assert f"{folder / name}: expected a file of a saved run, got a pipe: look at what it is, and remove it if" in err


def test_the_picture_from_a_shell_pipe_is_refused_with_its_kind_and_one_from_a_file_is_read(pairnet, tmp_path):
    command = [sys.executable, "-m", "pairnet", "predict", "--csv", "/dev/stdin", "7.png"]
    picture = (tmp_path / "7.png").read_bytes()
    piped = subprocess.run(command, input=picture, capture_output=True, cwd=tmp_path, check=False)
    assert piped.returncode == 2
    (refused,) = csv.DictReader(piped.stdout.decode().splitlines())
    assert refused["code"] == "format"
    assert "/dev/stdin: expected a picture, .npy, .npz or IDX file, got a pipe: name a regular file" in refused["error"]
    with (tmp_path / "7.png").open("rb") as file:
        read = subprocess.run(command, stdin=file, capture_output=True, cwd=tmp_path, check=False)
    assert read.returncode == 0


@pytest.mark.parametrize(
    ("name", "code"), [("none", "missing"), (".", "missing"), ("pipe", "format"), ("big", "too-large")]
)
def test_a_file_that_is_not_opened_has_a_code(pairnet, tmp_path, name, code):
    (tmp_path / "big").touch()
    os.truncate(tmp_path / "big", 3 << 30)
    status, out, _ = pairnet("predict", "--json", name, "7.png")
    assert (status, json.loads(out)["refused"]["code"]) == (2, code)
