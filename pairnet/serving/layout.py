"""The folder of models that export-repository writes and servers read: NAME/VERSION/model.onnx, NAME/config.pbtxt."""

import re
from contextlib import suppress
from pathlib import Path

FILE = "model.onnx"
"""The file of a version."""
CONFIG = "config.pbtxt"
"""Triton's configuration of a model, next to its versions; pairnet's own server does not read it."""
VERSION = re.compile(r"[1-9][0-9]{0,17}")
"""Names of versions: whole numbers from 1; other entries of a model's folder are none."""


def file_of(models: Path, name: str, version: str) -> Path:
    """Where the file of a version is, in a folder of models."""
    return models / name / version / FILE


def names(models: Path) -> list[str]:
    """The models of a folder, by name: its folders, without hidden ones.  OSError if it cannot be read."""
    return sorted(each.name for each in models.iterdir() if not each.name.startswith(".") and each.is_dir())


def versions(models: Path, name: str) -> list[str]:
    """The versions of a model, highest first; none if it has no folder.  OSError if that cannot be read."""
    folder = models / name
    found = [each.name for each in folder.iterdir()] if folder.is_dir() else []
    return sorted((each for each in found if VERSION.fullmatch(each)), key=int, reverse=True)


def skipped(models: Path, name: str) -> tuple[str, ...]:
    """The folders of a model that have a file as versions have, and another name; none if it cannot be read."""
    folder = models / name
    with suppress(OSError):
        found = [each.name for each in folder.iterdir() if (each / FILE).is_file()]
        return tuple(sorted(each for each in found if not VERSION.fullmatch(each)))
    return ()


def meant(folder: Path) -> Path | None:
    """The folder of models that is one level above or below `folder`; None if there is none, or it is one itself."""
    with suppress(OSError):
        if _has_models(folder):
            return None
        if versions(folder.parent, folder.name):
            return folder.parent
        if _has_models(folder / "models"):
            return folder / "models"
    return None


def _has_models(folder: Path) -> bool:
    return any(versions(folder, name) for name in names(folder))
