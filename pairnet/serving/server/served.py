"""A model as the server offers it: its file, its name, its ports, its queue and its statistics."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pairnet.artifact.design import Port, input_ports, output_ports
from pairnet.errors import ArgumentError, ModelError, RequestError
from pairnet.serving.predictor import Predictor
from pairnet.serving.server.batching import Batcher, Outputs
from pairnet.serving.server.protocol import MOST_PAIRS, VERSION
from pairnet.serving.server.statistics import Statistics

MOST_WAITING = 8192
"""Pairs in the queue of a model beyond which requests are refused: a third of a second of work for final_model."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Names of models: they are part of paths, of file names and of other servers' configurations."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ServedModel:
    """One exported file, ready to answer requests."""

    name: str
    predictor: Predictor
    max_batch: int
    batcher: Batcher
    statistics: Statistics

    @cached_property
    def input(self) -> Port:
        """The only input of the file."""
        return input_ports("joint", self.predictor.input_kind, 0)[0]

    @cached_property
    def outputs(self) -> tuple[Port, ...]:
        """The outputs of the file."""
        return output_ports("joint", 0, with_digits=self.predictor.has_digits)

    @property
    def waiting(self) -> int:
        """Number of pairs in the queue."""
        return self.batcher.waiting

    def close(self) -> None:
        """Ends the threads."""
        self.batcher.close()
        self.predictor.close()


def open_models(
    files: Sequence[Path], *, provider: str = "auto", max_batch: int = 64, max_wait: float = 0.0
) -> dict[str, ServedModel]:
    """Opens each file -> the models by name, which is the file's without .onnx.

    max_wait: seconds that a request may wait for others.
    Raises ArgumentError for a name that occurs twice or an option that is out of bounds, ModelError for a file that
    `pairnet export` did not write or that is not joint, and ProviderError if the provider cannot run.
    """
    if not 1 <= max_batch <= MOST_PAIRS:
        raise ArgumentError(f"`max_batch`: expected 1 to {MOST_PAIRS:,}, got {max_batch}")
    if not 0 <= max_wait <= 10:
        raise ArgumentError(f"`max_wait`: expected 0 to 10,000 ms, got {1000 * max_wait:g}")
    models: dict[str, ServedModel] = {}
    for path in files:
        name = path.name.removesuffix(".onnx")
        if not NAME.fullmatch(name) or name == "stats":
            raise ArgumentError(
                f"{path}: expected a file name of letters, digits, dots, hyphens and underscores, and a letter "
                "or digit first, other than stats: rename it"
            )
        if name in models:
            raise ArgumentError(f"{path}: expected a name that no other file has, got {name} twice: rename one")
        predictor = Predictor(path, provider=provider)
        if predictor.metadata.part != "joint":
            raise ModelError(f"{path}: expected a joint file, got {predictor.metadata.part}: serve the file without it")
        statistics = Statistics()
        batcher = Batcher(
            partial(_outputs, predictor),
            max_batch=max_batch,
            max_wait=max_wait,
            most_waiting=MOST_WAITING,
            on_batch=statistics.add_batch,
        )
        models[name] = ServedModel(
            name=name, predictor=predictor, max_batch=max_batch, batcher=batcher, statistics=statistics
        )
    return models


@contextmanager
def closing_all(models: Iterable[ServedModel]) -> Iterator[None]:
    """Closes the models at the end."""
    try:
        yield
    finally:
        for model in models:
            model.close()


def find(models: Mapping[str, ServedModel], name: str, version: str = "") -> ServedModel:
    """The model of that name; `version` may be empty.  RequestError if there is none."""
    model = models.get(name)
    if model is None:
        raise RequestError(f"expected a model among {', '.join(models)}, got {name[:80]!a}", "unknown")
    if version not in ("", VERSION):
        raise RequestError(f"{name}: expected version {VERSION}, got {version[:80]!a}", "unknown")
    return model


def _outputs(predictor: Predictor, pairs: NDArray[Any], with_threads: bool) -> Outputs:
    return predictor.outputs(pairs, split=with_threads)
