"""From a file to a model that can be served: read once, inspected, within the memory, measured, opened, warmed up."""

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pairnet.artifact.inspection import read_file
from pairnet.errors import ModelError, RequestError
from pairnet.serving.built_in import built_in_model
from pairnet.serving.joint import check_part
from pairnet.serving.predictor import Predictor
from pairnet.serving.server.accuracy import Check
from pairnet.serving.server.batching import Batcher
from pairnet.serving.server.served import MOST_WAITING, ServedModel, Uses, compute
from pairnet.serving.server.statistics import Statistics

LEAST_MEMORY = 16 * 2**20
MEMORY_PER_BYTE = 8
"""A model is taken to need LEAST_MEMORY, and MEMORY_PER_BYTE for each byte of its file: the parsed file, the session
with its copy of the weights, and the values of a batch. Tests compare this with what models really need."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How each model is opened."""

    provider: str = "auto"
    max_batch: int = 64
    max_wait: float | None = None
    threads: int | None = None


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a file is to become."""

    name: str
    version: str
    path: Path


def open_file(
    place: Place, options: Options, *, kept: ServedModel | None, room: float, check: Check | None
) -> ServedModel:
    """Opens a file that anybody may have put there.

    kept: the model that is served in its place now. It is returned if it has the same bytes and was measured; otherwise
    its statistics continue. room: bytes that the model may need. check: measures its accuracy; None: it is not checked.
    Raises ModelError for a file that changes, that `pairnet export` did not write, that is not joint or has another
    accuracy than it records; ProviderError if the provider cannot run; RequestError if there is no room.
    """
    path = place.path
    content = _read(path)
    digest = hashlib.sha256(content).hexdigest()
    if kept is not None and kept.file_sha256 == digest and not kept.unchecked:
        return kept
    memory = LEAST_MEMORY + MEMORY_PER_BYTE * len(content)
    if memory > room:
        raise RequestError(
            f"{path}: expected a model of at most {max(room, 0) / 2**20:.0f} MiB next to the loaded ones, got one that "
            f"needs {memory / 2**20:.0f} MiB: unload another one, or start the server with a larger `--memory`",
            "large",
        )
    predictor = Predictor(content, provider=options.provider, threads=options.threads, name=str(path))
    try:
        check_part(predictor, path)
        unchecked = _unchecked(path) if check is None else check(predictor, path)
    except BaseException:
        predictor.close()
        raise
    statistics = Statistics() if kept is None else kept.statistics
    batcher = Batcher(
        partial(compute, predictor),
        max_batch=options.max_batch,
        max_wait=options.max_wait,
        most_waiting=MOST_WAITING,
        on_batch=statistics.add_batch,
    )
    return ServedModel(
        name=place.name,
        version=place.version,
        predictor=predictor,
        file_sha256=digest,
        unchecked=unchecked,
        memory=memory,
        max_batch=options.max_batch,
        batcher=batcher,
        statistics=statistics,
        uses=Uses(),
    )


def _unchecked(path: Path) -> str:
    return "it is part of pairnet" if path == built_in_model() else "its file was named on the command line"


def _read(path: Path) -> bytes:
    """The bytes of a file, read once.  ModelError if it changes meanwhile: it is being copied."""
    before = _state(path)
    content = read_file(path)
    if _state(path) != before or len(content) != before[0]:
        raise ModelError(f"{path}: expected a complete file, it changed while it was read: load it when it is copied")
    return content


def _state(path: Path) -> tuple[int, ...]:
    """Size, time of the last change, and identity of a file; zeros if there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return (0, 0, 0, 0)
    return found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev
