"""Everything that writes files or folders: what pairnet did not write, or what was not named, stays byte for byte.

Also after a kill at any step: each writer runs in a process that kills itself before its first, second, ... change of
the file system. PAIRNET_ATTACK=long takes all writers and all steps in place of some.
"""

import builtins
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from reporting.studies import rows

from pairnet.cli import app
from pairnet.cli.common import run_app
from pairnet.data.sources import load_dataset
from pairnet.errors import ArgumentError
from pairnet.models.recipes import Recipe
from pairnet.models.variants import find_variant
from pairnet.records.run import Run
from pairnet.records.store import append
from pairnet.serving.built_in import built_in_model
from pairnet.writing import MARK, current_file, folder_of_files, marked_files, separate_files

LONG = os.environ.get("PAIRNET_ATTACK") == "long"


class Refused(Exception):
    """The one line with which a command refuses."""


def command(*arguments: object) -> None:
    """Runs a command line.  Refused with its line on stderr."""
    printed, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        status = run_app(app, list(map(str, arguments)))
    if status:
        (line,) = [line for line in errors.getvalue().splitlines() if line.startswith("pairnet: ")]
        raise Refused(f"{status} {line}")


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Something that writes a folder, or files, in the version 0 or 1."""

    name: str
    write: Callable[[Path, int, Path], None]  # into this folder, this version, with a folder of inputs
    one: str  # a file that both versions write
    cheap: bool = True
    differing: tuple[str, ...] = ()  # files that are not the same twice: safetensors orders its metadata at random


def raw(folder: Path, version: int, inputs: Path) -> None:
    with folder_of_files(folder, content="a test") as new:
        (new / "sub").mkdir()
        for name in ("one", "sub/two", f"only-{version}", f"sub-{version}/three"):
            (new / name).parent.mkdir(exist_ok=True)
            (new / name).write_text(f"{name} {version}")


def pictures(folder: Path, version: int, inputs: Path) -> None:
    command("data", "pictures", "glyphs:200", "--count", 1 + version, "--output", folder)


def report(folder: Path, version: int, inputs: Path) -> None:
    command("report", inputs / f"runs-{version}", "--output", folder / "page.html", "--data-dir", inputs)


def changes(folder: Path, version: int, inputs: Path) -> None:
    both = [inputs / "runs-0", inputs / "runs-1"]
    command("report", *(both[::-1] if version else both), "--output", folder / "page.html")


def repository(folder: Path, version: int, inputs: Path) -> None:
    command("export-repository", built_in_model(), "--instances", 1 + version, "--output", folder)


@cache
def trained(version: int):
    from pairnet.study.saved import train

    variant = replace(find_variant("w_net"), recipe=Recipe(epochs=1))
    dataset = load_dataset("glyphs:200")
    return train(Run(variant=variant, images=dataset.images, pairs=40 + version), dataset)


def save(folder: Path, version: int, inputs: Path) -> None:
    trained(version).save(folder)


FOLDERS = [
    Writer(name="folder_of_files", write=raw, one="one"),
    Writer(name="data pictures", write=pictures, one="3-00002.png"),
    Writer(name="report", write=report, one="results.csv", cheap=False),
    Writer(name="report OLD NEW", write=changes, one="summary.json"),
    Writer(name="export-repository", write=repository, one="kserve.yaml", cheap=False),
    Writer(name="TrainedRun.save", write=save, one="record.json", cheap=False, differing=("weights.safetensors", MARK)),
]


def draw(folder: Path, version: int, inputs: Path, *, force: bool = True) -> None:
    name = ("w_net", "a_net")[version]
    command("variants", "--draw", name, "--output", folder / "x.svg", *(["--force"] if force else []))


def diagram(folder: Path, version: int, inputs: Path, *, force: bool = True) -> None:
    forced = ["--force"] if force else []
    measured = ["w_net", "a_net"][: 1 + version]
    command("calibration", *measured, "--runs", inputs / "runs-1", "--output", folder / "x.png", *forced)


def two(folder: Path, version: int, inputs: Path, *, force: bool = True) -> None:
    with separate_files([folder / "x", folder / "y"], force=force) as new:
        (new / "x").write_text(f"x {version}")
        (new / "y").write_text(f"y {version}")


def export(folder: Path, version: int, inputs: Path, *, force: bool = True) -> None:
    from pairnet.exporting.export import export as export_run

    export_run(trained(version), folder / "x.onnx", dataset=load_dataset("glyphs:200"), split=True, force=force)


SEPARATE = [
    Writer(name="separate_files", write=two, one="x"),
    Writer(name="variants --draw", write=draw, one="x.svg"),
    Writer(name="calibration --output", write=diagram, one="x.png", cheap=False),
    Writer(name="export --split", write=export, one="x.encoder.onnx", cheap=False),
]


def markdown(folder: Path, version: int, inputs: Path) -> None:
    command("report", inputs / f"runs-{version}", "--markdown", folder / "x.md")


def fill(inputs: Path) -> Path:
    """The records of two small studies in `inputs`, which is returned."""
    for version, row in enumerate(({"w_net": (0.87, 0.88)}, {"w_net": (0.87, 0.89), "a_net": (0.91, 0.92)})):
        folder = inputs / f"runs-{version}"
        folder.mkdir(parents=True)
        for each in rows("3", row):
            append(folder, each)
    return inputs


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("inputs"))


def snapshot(folder: Path) -> dict[str, object]:
    """Everything in a folder: bytes of files, targets of links, None for folders."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else None
        if path.is_dir()
        else path.read_bytes()
        for path in folder.rglob("*")
    }


def foreign(folder: Path) -> dict[str, object]:
    """Puts files, links and a subfolder of somebody else into `folder` -> its snapshot of them."""
    outside = folder.parent / f"{folder.name}-outside"
    outside.mkdir()
    (outside / "photo.png").write_bytes(b"outside")
    folder.mkdir(exist_ok=True)
    (folder / "notes.txt").write_bytes(b"mine\r\n")
    (folder / ".hidden").write_bytes(b"")
    (folder / "figures").mkdir(exist_ok=True)
    (folder / "figures" / "photo.png").write_bytes(b"\0mine")
    (folder / "link").symlink_to(outside / "photo.png")
    (folder / "dangling").symlink_to(outside / "none")
    (folder / "others").symlink_to(outside)
    names = ("notes.txt", ".hidden", "figures/photo.png", "link", "dangling", "others")
    return {name: value for name, value in snapshot(folder).items() if name in names}


def refuse(writer: Writer, place: Path, version: int, inputs: Path, **options: bool) -> str:
    """The line with which a writer refuses, after which everything around `place` is as it was."""
    before = snapshot(place.parent)
    with pytest.raises((Refused, ArgumentError)) as caught:
        writer.write(place, version, inputs, **options)
    assert snapshot(place.parent) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def names(writers):
    return pytest.mark.parametrize("writer", writers, ids=lambda writer: writer.name)


@names(FOLDERS)
def test_a_folder_of_somebody_else_is_refused(writer, inputs, tmp_path):
    kinds: dict[str, Callable[[Path], object]] = {
        "mixed": foreign,
        "file": lambda place: place.write_text("a file"),
        "dangling": lambda place: place.symlink_to("nowhere"),
        "loop": lambda place: place.symlink_to(place.name),
        "a link to one": lambda place: (foreign(tmp_path / "target"), place.symlink_to(tmp_path / "target")),
        "one of our names": lambda place: (place.mkdir(), (place / writer.one).write_text("mine")),
        "an empty folder in it": lambda place: (place / "empty").mkdir(parents=True),
        "a mark of something else": lambda place: (place.mkdir(), (place / MARK).write_text("{}")),
        "a marked folder of something else": lambda place: raw_of_another(place),
    }
    for name, make in kinds.items():
        make(tmp_path / name)
        assert "new or empty folder" in refuse(writer, tmp_path / name, 0, inputs), name


def raw_of_another(place: Path) -> None:
    with folder_of_files(place, content="another thing") as new:
        (new / "one").write_text("another")


@names(FOLDERS)
def test_in_its_own_folder_a_writer_replaces_only_its_own_files(writer, inputs, tmp_path):
    place, reference = tmp_path / "own", tmp_path / "reference"
    (tmp_path / "beside.txt").write_text("beside")
    place.mkdir()
    writer.write(place, 0, inputs)
    writer.write(reference, 1, inputs)
    theirs = foreign(place)
    writer.write(place, 1, inputs)
    expected = {"figures": None, **snapshot(reference), **theirs}
    different = {name for name, content in snapshot(place).items() if expected.get(name, b"") != content}
    assert different <= set(writer.differing)
    assert snapshot(place).keys() == expected.keys()
    writer.write(place, 1, inputs)
    assert (tmp_path / "beside.txt").read_text() == "beside"
    assert snapshot(tmp_path / "own-outside") == {"photo.png": b"outside"}
    link = tmp_path / "link"
    link.symlink_to("own")
    writer.write(link, 1, inputs)
    assert theirs.items() <= snapshot(place).items()

    original = (place / writer.one).read_bytes()
    (place / writer.one).write_bytes(b"changed by its user")
    assert str(place / writer.one) in refuse(writer, place, 0, inputs)
    (place / writer.one).unlink()
    (tmp_path / "same").write_bytes(original)
    (place / writer.one).symlink_to(tmp_path / "same")
    assert str(place / writer.one) in refuse(writer, place, 0, inputs)
    (place / writer.one).unlink()
    (place / writer.one).mkdir()
    assert str(place / writer.one) in refuse(writer, place, 0, inputs)
    (place / writer.one).rmdir()
    writer.write(place, 0, inputs)
    assert {name: value for name, value in snapshot(place).items() if name in theirs} == theirs


@names(SEPARATE)
def test_a_file_is_replaced_only_with_force(writer, inputs, tmp_path):
    place = tmp_path / "place"
    theirs = foreign(place)
    path = place / writer.one
    path.write_bytes(b"mine")
    assert "force" in refuse(writer, place, 0, inputs, force=False)
    path.unlink()
    path.symlink_to("nowhere")
    assert "force" in refuse(writer, place, 0, inputs, force=False)
    path.unlink()
    path.mkdir()
    for force in (False, True):
        assert "is a folder" in refuse(writer, place, 0, inputs, force=force)
    path.rmdir()
    writer.write(place, 0, inputs, force=False)
    first = path.read_bytes()
    writer.write(place, 1, inputs)
    assert path.read_bytes() != first
    path.unlink()
    path.symlink_to(place / "notes.txt")
    writer.write(place, 1, inputs)
    assert not path.is_symlink()
    assert {name: value for name, value in snapshot(place).items() if name in theirs} == theirs
    assert not list(place.glob(".pairnet*"))


def test_a_document_keeps_every_byte_outside_its_blocks(inputs, tmp_path):
    theirs = foreign(tmp_path)
    before, after = b"\xff\r\n one \n\r\x00 \xe2\x82\xac", b"\r\n\xfe end"
    document = tmp_path / "x.md"
    for newline in (b"\n", b"\r\n"):
        document.write_bytes(before + b"<!-- pairnet report: table 3 -->" + newline + b"<!-- end -->" + after)
        document.chmod(0o640)
        markdown(tmp_path, 0, inputs)
        text = document.read_bytes()
        assert text.startswith(before + b"<!-- pairnet report: table 3 -->" + newline)
        assert text.endswith(b"<!-- end -->" + after)
        assert text.removeprefix(before).removesuffix(after).count(newline) > 3
        assert document.stat().st_mode & 0o777 == 0o640
    document.rename(tmp_path / "real.md")
    document.symlink_to("real.md")
    markdown(tmp_path, 1, inputs)
    assert document.is_symlink()
    assert document.read_bytes() != text
    assert {name: value for name, value in snapshot(tmp_path).items() if name in theirs} == theirs


KILLED = [writer for writer in (*FOLDERS, *SEPARATE) if writer.cheap or LONG]


@names(KILLED)
@pytest.mark.timeout(3600)
def test_a_kill_at_any_step_destroys_nothing(writer, tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    child = [sys.executable, __file__, writer.name, str(tmp_path)]
    result = subprocess.run(child, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def kill_at(step: int) -> list[int]:
    """From now on, kills this process before its change number `step` of the file system -> [number of changes]."""
    done = [0]

    def counted(function):
        def call(*arguments, **options):
            if done[0] == step:
                os.kill(os.getpid(), signal.SIGKILL)
            done[0] += 1
            return function(*arguments, **options)

        return call

    for name in ("replace", "rename", "unlink", "link", "mkdir", "rmdir", "chmod"):
        setattr(os, name, counted(getattr(os, name)))

    plain, change = io.open, counted(io.open)

    def opened(file, mode="r", *arguments, **options):
        return (plain if set(mode) <= set("rbt") else change)(file, mode, *arguments, **options)

    io.open = builtins.open = opened
    return done


def killed(write: Callable[[], None], step: int, count: Path) -> bool:
    """Runs `write` in a child that is killed at `step` -> whether it was; `count` then has its number of steps."""
    child = os.fork()
    if child == 0:
        try:
            done = kill_at(step)
            write()
            os.write(os.open(count, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), str(done[0]).encode())
            os._exit(0)
        finally:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
    return status != 0


def kill_everywhere(writer: Writer, root: Path) -> None:
    """Kills a writer over nothing, and over its older version, at some steps or all; then it must work again."""
    inputs, count, wanted = fill(root / "inputs"), root / "count", list[dict[str, object]]()
    is_folder = writer in FOLDERS
    for version in (0, 1):
        (root / f"{version}").mkdir()
        writer.write(root / f"{version}", version, inputs)
        wanted.append({name: value for name, value in snapshot(root / f"{version}").items() if name != MARK})
    for older in (False, True):
        (root / f"trial-{older}").mkdir()
        if older:
            writer.write(root / f"trial-{older}", 0, inputs)
        assert not killed(lambda place=root / f"trial-{older}": writer.write(place, 1, inputs), -1, count)
        steps = int(count.read_text())
        chosen = (
            range(steps) if LONG or steps < 20 else sorted({*range(0, steps, steps // 8), *range(steps - 4, steps)})
        )
        for step in chosen:
            place = root / f"{older}-{step}"
            place.mkdir()
            if older:
                writer.write(place, 0, inputs)
            theirs = foreign(place) if older or not is_folder else {}
            assert killed(lambda place=place: writer.write(place, 1, inputs), step, count)
            there = {name: value for name, value in snapshot(place).items() if not name.startswith(".pairnet")}
            assert {name: there.get(name) for name in theirs} == theirs, (older, step)
            files = [{name for name, value in each.items() if value is not None} for each in wanted]
            current = {
                name: found.read_bytes()
                for name in files[0] | files[1]
                if (found := current_file(place, name)).is_file()
            }
            states = [{name: each[name] for name in names} for each, names in zip(wanted, files, strict=True)]
            if is_folder:
                assert (current == (states[0] if older else {})) or states[1].items() <= current.items(), (older, step)
            else:
                assert all(current[name] in [state[name] for state in states] for name in current), (older, step)
            writer.write(place, 1, inputs)
            after = {name: value for name, value in snapshot(place).items() if name not in (MARK, "figures")}
            assert after == {name: value for name, value in {**wanted[1], **theirs}.items() if name != "figures"}, step
            assert not is_folder or marked_files(place, _content(place)).keys() == files[1]


def _content(folder: Path) -> str:
    return json.loads((folder / MARK).read_text())["content"]


if __name__ == "__main__":
    kill_everywhere(next(each for each in (*FOLDERS, *SEPARATE) if each.name == sys.argv[1]), Path(sys.argv[2]))
