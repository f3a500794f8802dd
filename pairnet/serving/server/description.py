"""What the server says about itself and its models: metadata, configuration, statistics; plain JSON values."""

from collections.abc import Iterable
from typing import Any

from pairnet.artifact.design import Port
from pairnet.serving.joint import DATATYPES, MOST_PAIRS, PLATFORM, configuration
from pairnet.serving.server.protocol import EXTENSIONS
from pairnet.serving.server.registry import Registry
from pairnet.serving.server.served import ServedModel
from pairnet.version import __version__


def server_metadata() -> dict[str, Any]:
    """Name, version and extensions of the server."""
    return {"name": "pairnet", "version": __version__, "extensions": list(EXTENSIONS)}


def model_metadata(model: ServedModel, models: Registry) -> dict[str, Any]:
    """Versions, platform and tensors of a model; -1 stands for the batch axis."""
    return {
        "name": model.name,
        "versions": models.versions(model.name),
        "platform": PLATFORM,
        "inputs": [_tensor(model.input)],
        "outputs": [_tensor(port) for port in model.outputs],
    }


def described(model: ServedModel, models: Registry) -> dict[str, Any]:
    """The metadata, and as parameters, for which gRPC's message has no field, those of the configuration."""
    return {**model_metadata(model, models), "parameters": {"version": model.version, **_facts(model)}}


def served_configuration(model: ServedModel) -> dict[str, Any]:
    """The configuration of a model in this server, which answers larger requests than it computes at once."""
    values = configuration(model, largest=MOST_PAIRS, preferred=model.max_batch)
    facts = {key: {"string_value": value} for key, value in _facts(model).items()}
    return {**values, "version_policy": {"all": {}}, "parameters": facts}


def model_statistics(models: Iterable[ServedModel]) -> dict[str, Any]:
    """The statistics of some models."""
    return {"model_stats": [model.statistics.as_json(model.name, model.version) for model in models]}


def _facts(model: ServedModel) -> dict[str, str]:
    """Which file answers, and whether its accuracy was measured again."""
    recorded = f"{model.predictor.metadata.test_accuracy:.4f} recorded"
    checked = f"not checked: {model.unchecked}" if model.unchecked else "measured again when it was loaded"
    return {"digest": model.digest, "accuracy": f"{recorded}, {checked}"}


def _tensor(port: Port) -> dict[str, Any]:
    return {"name": port.name, "datatype": DATATYPES[port.dtype], "shape": [-1, *port.axes[1:]]}
