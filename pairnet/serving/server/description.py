"""What the server says about itself and its models: metadata, configuration, repository index; plain JSON values."""

from collections.abc import Iterable
from typing import Any

from pairnet.artifact.design import Port
from pairnet.serving.joint import DATATYPES, MOST_PAIRS, PLATFORM, VERSION, configuration
from pairnet.serving.server.protocol import EXTENSIONS
from pairnet.serving.server.served import ServedModel
from pairnet.version import __version__


def server_metadata() -> dict[str, Any]:
    """Name, version and extensions of the server."""
    return {"name": "pairnet", "version": __version__, "extensions": list(EXTENSIONS)}


def model_metadata(model: ServedModel) -> dict[str, Any]:
    """Versions, platform and tensors of a model; -1 stands for the batch axis."""
    return {
        "name": model.name,
        "versions": [VERSION],
        "platform": PLATFORM,
        "inputs": [_tensor(model.input)],
        "outputs": [_tensor(port) for port in model.outputs],
    }


def served_configuration(model: ServedModel) -> dict[str, Any]:
    """The configuration of a model in this server, which answers larger requests than it computes at once."""
    return configuration(model, largest=MOST_PAIRS, preferred=model.max_batch)


def repository_index(models: Iterable[ServedModel]) -> list[dict[str, str]]:
    """Name, version and state of each model."""
    return [{"name": model.name, "version": VERSION, "state": "READY", "reason": ""} for model in models]


def model_statistics(models: Iterable[ServedModel]) -> dict[str, Any]:
    """The statistics of some models."""
    return {"model_stats": [model.statistics.as_json(model.name, VERSION) for model in models]}


def _tensor(port: Port) -> dict[str, Any]:
    return {"name": port.name, "datatype": DATATYPES[port.dtype], "shape": [-1, *port.axes[1:]]}
