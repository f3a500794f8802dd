"""Models in two files, an encoder and a head: where they are, and whether they belong together."""

import os
from collections.abc import Callable
from pathlib import Path

from pairnet.errors import ModelError
from pairnet.serving.model import Model


def find_split(path: Path | None, model: Model, open_model: Callable[[Path], Model]) -> tuple[Model, Model]:
    """The encoder and the head next to the file `path`, which holds `model`; None stands for a model given as bytes.

    Raises ModelError if one is missing or was exported from another run.
    """
    if path is None:
        raise ModelError(
            "`model`: expected a file with its encoder and head next to it, got bytes: use "
            "Predictor.from_split(encoder, head)"
        )
    stem = path.name.removesuffix(".onnx")
    if model.part == "encoder":  # it finds its own head
        stem = stem.removesuffix(".encoder")
    paths = [path.with_name(f"{stem}.{part}.onnx") for part in ("encoder", "head")]
    if missing := [each.name for each in paths if not os.path.lexists(each)]:
        raise ModelError(
            f"{path}: expected {' and '.join(missing)} next to it, got no such file: "
            "`pairnet export --split` writes them, for variants with one encoder for both images"
        )
    encoder, head = matching(*map(open_model, paths))
    if difference := _difference(encoder, model):
        raise ModelError(
            f"{paths[0].name}: expected the {difference} of {path.name}, got another: export all together "
            "with `pairnet export --split`"
        )
    return encoder, head


def matching(encoder: Model, head: Model) -> tuple[Model, Model]:
    """The same two models.  Raises ModelError unless they are an encoder and a head that were exported together."""
    if (encoder.part, head.part) != ("encoder", "head"):
        raise ModelError(
            f"expected an encoder and a head, got {encoder.part} ({encoder.name}) and {head.part} ({head.name})"
        )
    if difference := _difference(encoder, head):
        raise ModelError(
            f"{head.name}: expected the {difference} of the encoder {encoder.name}, got another: export both together "
            "with `pairnet export --split`"
        )
    return encoder, head


def _difference(one: Model, other: Model) -> str:
    """The property in which two files do not belong together; empty if they do."""
    pairs = {
        "run": (one.metadata.run, other.metadata.run),
        "input": (one.metadata.input_kind, other.metadata.input_kind),
        "precision": (one.metadata.precision, other.metadata.precision),
    }
    return next((name for name, (first, second) in pairs.items() if first != second), "")
