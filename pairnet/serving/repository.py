"""Exported files for other servers: a model repository for Triton, a manifest for KServe, a Containerfile."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pairnet.artifact.inspection import read_file
from pairnet.errors import ArgumentError
from pairnet.extras import needed_by
from pairnet.serving import layout
from pairnet.serving.joint import MOST_PAIRS, VERSION, JointModel, configuration, open_joint
from pairnet.writing import check_folder, folder_of_files, marked_files

Kind = Literal["auto", "cpu", "gpu"]

CONTENT = "a model repository"
"""What the mark of the folder says."""

MANIFEST = """\
# KServe: serves this repository with Triton. Copy the folder `models` to the storage that storageUri names, then
#   kubectl apply -f kserve.yaml
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: pairnet
spec:
  predictor:
    model:
      modelFormat:
        name: triton
      protocolVersion: v2
      runtime: kserve-tritonserver
      storageUri: pvc://models/pairnet
      resources:
        requests: {{cpu: "{instances}", memory: 1Gi}}
        limits: {{cpu: "{instances}", memory: 2Gi{gpu}}}
"""

CONTAINER = """\
# `pairnet serve` in a container. Put a wheel of pairnet next to this file (`pip wheel --no-deps .` in its repository):
#   podman build -t pairnet . && podman run -p 8080:8080 -p 8081:8081 pairnet
# A wheel is for one version of Python, which its name says: cp{tag} is Python {python}. Otherwise change this line.
FROM python:{python}-slim
COPY pairnet-*.whl /wheels/
RUN pip install --no-cache-dir "$(ls /wheels/pairnet-*.whl)[serve]" && rm -r /wheels
{copies}
USER 65534
EXPOSE 8080 8081
# No shell: SIGTERM reaches the server, which then answers what is on its way.
CMD ["pairnet", "serve", "--host", "0.0.0.0", {files}]
"""


def write_repository(
    files: Sequence[Path],
    output: Path,
    *,
    max_batch: int = 64,
    max_wait: float = 0.0,
    instances: int = 1,
    kind: Kind = "auto",
) -> list[Path]:
    """Writes models/NAME/config.pbtxt and models/NAME/1/model.onnx for each file, kserve.yaml and Containerfile.

    max_batch: pairs that Triton computes at once. max_wait: seconds that it lets a request wait for others. instances:
    copies of each model. kind: where they compute.
    Returns the paths of what was written; all of it appears or nothing. Raises ArgumentError for options that are out
    of bounds or a folder of something else, and ModelError for a file that `pairnet export` did not write.
    """
    for name, value, largest in (("max_batch", max_batch, MOST_PAIRS), ("instances", instances, 1024)):
        if not 1 <= value <= largest:
            raise ArgumentError(f"`{name}`: expected 1 to {largest:,}, got {value}")
    check_folder(output, content=CONTENT)
    with (
        open_joint(files, provider="cpu", max_batch=max_batch, max_wait=max_wait) as models,
        folder_of_files(output, content=CONTENT) as folder,
    ):
        for path, (name, model) in zip(files, models.items(), strict=True):
            target = layout.file_of(folder / "models", name, VERSION)
            target.parent.mkdir(parents=True)
            target.write_bytes(read_file(path))
            text = configuration_text(model, max_batch, max_wait=max_wait, instances=instances, kind=kind)
            (folder / "models" / name / layout.CONFIG).write_text(text)
        gpu = ', nvidia.com/gpu: "1"' if kind == "gpu" else ""
        (folder / "kserve.yaml").write_text(MANIFEST.format(instances=instances, gpu=gpu))
        (folder / "Containerfile").write_text(_container(list(models)))
    return sorted(output / name for name in marked_files(output, CONTENT))


def configuration_text(model: JointModel, max_batch: int, *, max_wait: float, instances: int, kind: Kind) -> str:
    """Triton's config.pbtxt of a model, in protobuf's text format, so with fields that its ModelConfig has."""
    with needed_by("export-repository"):
        from tritonclient.grpc import model_config_pb2
    from google.protobuf import json_format, text_format

    values = configuration(model, largest=max_batch, preferred=max_batch)
    values["dynamic_batching"]["max_queue_delay_microseconds"] = round(max_wait * 1e6)
    values["instance_group"] = [{"count": instances, "kind": f"KIND_{kind.upper()}"}]
    # Like the predictor: one thread for each run; in networks of this size, a second one costs more than it brings.
    values["parameters"] = {name: {"string_value": "1"} for name in ("intra_op_thread_count", "inter_op_thread_count")}
    return str(text_format.MessageToString(json_format.ParseDict(values, model_config_pb2.ModelConfig())))


def _container(names: Sequence[str]) -> str:
    """A Containerfile that serves these models."""
    copies = "\n".join(
        f'COPY ["{layout.file_of(Path("models"), name, VERSION)}", "/models/{name}.onnx"]' for name in names
    )
    major, minor, *_ = sys.version_info  # the wheel is probably built by the Python that runs this
    served = ", ".join(f'"/models/{name}.onnx"' for name in names)
    return CONTAINER.format(python=f"{major}.{minor}", tag=f"{major}{minor}", copies=copies, files=served)
