"""Joint files as servers offer them: a name for each, its ports, and its configuration in Triton's words."""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pairnet.artifact.design import Port, input_ports, output_ports
from pairnet.errors import ArgumentError, ModelError
from pairnet.serving import layout
from pairnet.serving.predictor import Predictor

VALID_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Names of models: they are part of paths, of file names and of other servers' configurations."""
VERSION = "1"
"""The version of a file that is in no folder of versions."""
PLATFORM = "onnxruntime_onnx"
DATATYPES = {"uint8": "UINT8", "float32": "FP32"}
"""The Open Inference Protocol's name of each of NumPy's types that a file of pairnet uses."""
MOST_PAIRS = 32768
"""Pairs in one request."""
NAMES = "letters, digits, dots, hyphens and underscores, and a letter or digit first, other than stats"


@dataclass(frozen=True, kw_only=True, eq=False)
class JointModel:
    """A joint file under the name by which clients ask for it."""

    name: str
    predictor: Predictor

    @cached_property
    def input(self) -> Port:
        """The only input of the file."""
        return input_ports("joint", self.predictor.input_kind, 0)[0]

    @cached_property
    def outputs(self) -> tuple[Port, ...]:
        """The outputs of the file."""
        return output_ports("joint", 0, with_digits=self.predictor.has_digits)


@contextmanager
def open_joint(
    files: Sequence[Path], *, provider: str, max_batch: int, max_wait: float, threads: int | None = None
) -> Iterator[dict[str, JointModel]]:
    """Opens each file -> the models by name, which is the file's without .onnx; closes them at the end.

    max_batch, max_wait: pairs, and seconds, by which the server will combine requests. threads: of each model, as for
    Predictor.
    Raises ArgumentError for a name that occurs twice or an option that is out of bounds, ModelError for a file that
    `pairnet export` did not write or that is not joint, and ProviderError if the provider cannot run.
    """
    check_batches(max_batch=max_batch, max_wait=max_wait)
    models: dict[str, JointModel] = {}
    with ExitStack() as opened:
        for name, path in named(files).items():
            predictor = opened.enter_context(Predictor(path, provider=provider, threads=threads))
            check_part(predictor, path)
            models[name] = JointModel(name=name, predictor=predictor)
        yield models


def check_batches(*, max_batch: int, max_wait: float) -> None:
    """ArgumentError for pairs, or seconds, that are out of bounds."""
    if not 1 <= max_batch <= MOST_PAIRS:
        raise ArgumentError(f"`max_batch`: expected 1 to {MOST_PAIRS:,}, got {max_batch}")
    if not 0 <= max_wait <= 10:
        raise ArgumentError(f"`max_wait`: expected 0 to 10,000 ms, got {1000 * max_wait:g}")


def named(files: Sequence[Path]) -> dict[str, Path]:
    """The files by the names of their models.  ArgumentError for a name that is not valid or occurs twice."""
    found: dict[str, Path] = {}
    for path in files:
        name = path.name.removesuffix(".onnx")
        if path.is_dir():
            raise ArgumentError(
                f"{path}: expected a file, got a folder: did you mean `models` {layout.meant(path) or path}?"
            )
        if not is_name(name):
            raise ArgumentError(f"{path}: expected a file name of {NAMES}: rename it")
        if name in found:
            raise ArgumentError(f"{path}: expected a name that no other file has, got {name} twice: rename one")
        found[name] = path
    return found


def is_name(name: str) -> bool:
    """Whether a model may have this name; `stats` is part of a path of the protocol."""
    return VALID_NAME.fullmatch(name) is not None and name != "stats"


def check_part(predictor: Predictor, path: Path) -> None:
    """ModelError if a file holds an encoder or a head only."""
    if (part := predictor.metadata.part) != "joint":
        raise ModelError(f"{path}: expected a joint file, got {part}: serve the file without it")


def configuration(model: JointModel, *, largest: int, preferred: int) -> dict[str, Any]:
    """Triton's ModelConfig as JSON: batches of at most `largest` pairs, best of `preferred`."""
    taken = model.input
    return {
        "name": model.name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": largest,
        "input": [{"name": taken.name, "data_type": f"TYPE_{DATATYPES[taken.dtype]}", "dims": list(taken.axes[1:])}],
        "output": [_configured(port) for port in model.outputs],
        "dynamic_batching": {"preferred_batch_size": [preferred]},
        "default_model_filename": layout.FILE,
    }


def _configured(port: Port) -> dict[str, Any]:
    """An output without its batch axis; one value for each pair is declared as [1] that is reshaped to []."""
    found: dict[str, Any] = {"name": port.name, "data_type": f"TYPE_{DATATYPES[port.dtype]}"}
    if len(port.axes) == 1:
        return {**found, "dims": [1], "reshape": {"shape": []}}
    return {**found, "dims": list(port.axes[1:])}
