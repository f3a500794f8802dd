"""What the server says about itself and its models: metadata, configuration, repository index; plain JSON values."""

from collections.abc import Iterable
from typing import Any

from pairnet import __version__
from pairnet.artifact.design import Port
from pairnet.serving.server.protocol import DATATYPES, EXTENSIONS, MOST_PAIRS, VERSION
from pairnet.serving.server.served import ServedModel

PLATFORM = "onnxruntime_onnx"


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
    return configuration(model.name, model.input, model.outputs, largest=MOST_PAIRS, preferred=model.max_batch)


def configuration(name: str, taken: Port, outputs: Iterable[Port], *, largest: int, preferred: int) -> dict[str, Any]:
    """Triton's ModelConfig as JSON: batches of at most `largest` pairs, best of `preferred`."""
    return {
        "name": name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": largest,
        "input": [{"name": taken.name, "data_type": f"TYPE_{DATATYPES[taken.dtype]}", "dims": list(taken.axes[1:])}],
        "output": [_configured(port) for port in outputs],
        "dynamic_batching": {"preferred_batch_size": [preferred]},
        "default_model_filename": "model.onnx",
    }


def repository_index(models: Iterable[ServedModel]) -> list[dict[str, str]]:
    """Name, version and state of each model."""
    return [{"name": model.name, "version": VERSION, "state": "READY", "reason": ""} for model in models]


def statistics(models: Iterable[ServedModel]) -> dict[str, Any]:
    """The statistics of some models."""
    return {"model_stats": [model.statistics.as_json(model.name, VERSION) for model in models]}


def _tensor(port: Port) -> dict[str, Any]:
    return {"name": port.name, "datatype": DATATYPES[port.dtype], "shape": [-1, *port.axes[1:]]}


def _configured(port: Port) -> dict[str, Any]:
    """An output without its batch axis; one value for each pair is declared as [1] that is reshaped to []."""
    found: dict[str, Any] = {"name": port.name, "data_type": f"TYPE_{DATATYPES[port.dtype]}"}
    if len(port.axes) == 1:
        return {**found, "dims": [1], "reshape": {"shape": []}}
    return {**found, "dims": list(port.axes[1:])}
