"""Folders of models for tests of `pairnet serve --models`, and changed copies of exported files."""

from pathlib import Path
from shutil import rmtree

import onnx

from pairnet.serving import layout


def put(folder: Path, name: str, version: int | str, file: Path | bytes) -> Path:
    """Copies a file, or writes these bytes, as a version of a model."""
    path = layout.file_of(folder, name, str(version))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file if isinstance(file, bytes) else file.read_bytes())
    return path


def drop(folder: Path, name: str, version: int | str = "") -> None:
    """Removes a version, or a whole model."""
    rmtree(folder / name / str(version))


def with_metadata(file: Path, **values: str) -> bytes:
    """The file with other metadata."""
    model = onnx.load(file)
    known = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, known | values)
    return bytes(model.SerializeToString())


def digest_of(file: Path) -> str:
    """The digest that the answers of a file have."""
    return next(each.value for each in onnx.load(file).metadata_props if each.key == "weights_sha256")
