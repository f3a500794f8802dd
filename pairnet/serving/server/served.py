"""A version of a model as the server offers it: a joint file with its queue and its statistics."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from pairnet.serving.joint import JointModel
from pairnet.serving.predictor import Predictor
from pairnet.serving.server.batching import Batcher, NamedOutputs
from pairnet.serving.server.statistics import Statistics

if TYPE_CHECKING:
    from pairnet.serving.server.registry import Registry

MOST_WAITING = 8192
"""Pairs in the queue of a model beyond which requests are refused: a third of a second of work for final_model."""


class Uses:
    """How many requests have found a model and are not answered yet; changed from the event loop only."""

    def __init__(self) -> None:
        self.count = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class ServedModel(JointModel):
    """A joint file that is ready to answer requests."""

    version: str
    file_sha256: str  # of the whole file, to recognise it
    unchecked: str  # why its accuracy was not measured again; empty if it was
    memory: int  # bytes that it needs, as estimated
    max_batch: int
    batcher: Batcher
    statistics: Statistics
    uses: Uses

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights, which the file records, and which was checked when it was opened."""
        return self.predictor.metadata.weights_sha256

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The parameters of each answer."""
        return {"digest": self.digest}

    def close(self) -> None:
        """Ends its threads, after what they compute.  Further requests to it fail."""
        self.batcher.close()
        self.predictor.close()


def find(models: "Registry", name: str, version: str = "") -> ServedModel:
    """The model of that name, its highest version if `version` is empty.  RequestError if there is none."""
    return models.find(name, version)


def compute(predictor: Predictor, pairs: NDArray[Any], with_threads: bool) -> NamedOutputs:
    """What a batcher runs."""
    return predictor.outputs(pairs, split=with_threads)
