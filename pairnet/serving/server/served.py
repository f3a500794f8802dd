"""A model as the server offers it: a joint file with its queue and its statistics."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pairnet.errors import RequestError
from pairnet.serving.joint import VERSION, JointModel, open_joint
from pairnet.serving.predictor import Predictor
from pairnet.serving.server.batching import Batcher, NamedOutputs
from pairnet.serving.server.statistics import Statistics

MOST_WAITING = 8192
"""Pairs in the queue of a model beyond which requests are refused: a third of a second of work for final_model."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ServedModel(JointModel):
    """A joint file that is ready to answer requests."""

    max_batch: int
    batcher: Batcher
    statistics: Statistics


@contextmanager
def open_models(
    files: Sequence[Path],
    *,
    provider: str = "auto",
    max_batch: int = 64,
    max_wait: float = 0.0,
    threads: int | None = None,
) -> Iterator[dict[str, ServedModel]]:
    """Opens each file -> the models by name; ends their threads afterwards.

    max_wait: seconds that a request may wait for others. threads: of each model, as for Predictor.
    Raises what joint.open_joint raises.
    """
    models: dict[str, ServedModel] = {}
    with (
        open_joint(files, provider=provider, max_batch=max_batch, max_wait=max_wait, threads=threads) as opened,
        ExitStack() as batchers,
    ):
        for name, model in opened.items():
            statistics = Statistics()
            batcher = Batcher(
                partial(_compute, model.predictor),
                max_batch=max_batch,
                max_wait=max_wait,
                most_waiting=MOST_WAITING,
                on_batch=statistics.add_batch,
            )
            batchers.callback(batcher.close)
            models[name] = ServedModel(
                name=name, predictor=model.predictor, max_batch=max_batch, batcher=batcher, statistics=statistics
            )
        yield models


def find(models: Mapping[str, ServedModel], name: str, version: str = "") -> ServedModel:
    """The model of that name; `version` may be empty.  RequestError if there is none."""
    model = models.get(name)
    if model is None:
        raise RequestError(f"expected a model among {', '.join(models)}, got {name[:80]!a}", "unknown")
    if version not in ("", VERSION):
        raise RequestError(f"{name}: expected version {VERSION}, got {version[:80]!a}", "unknown")
    return model


def _compute(predictor: Predictor, pairs: NDArray[Any], with_threads: bool) -> NamedOutputs:
    return predictor.outputs(pairs, split=with_threads)
