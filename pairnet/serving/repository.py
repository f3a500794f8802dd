"""Exported files for other machines: a model repository for Triton, and deploy/ for containers and their platforms."""

import os
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as files_of
from pathlib import Path
from string import Template
from typing import Literal

from pairnet.artifact.inspection import read_file as read_model
from pairnet.errors import ArgumentError
from pairnet.extras import needed_by
from pairnet.opening import read_file
from pairnet.serving import layout
from pairnet.serving.joint import MOST_PAIRS, VERSION, JointModel, configuration, open_joint
from pairnet.writing import check_folder, folder_of_files, marked_files

Kind = Literal["auto", "cpu", "gpu"]

CONTENT = "a model repository"
"""What the mark of the folder says."""

COPIED = ("alerts.yaml", "dashboard.json", "networkpolicy.yaml", "podmonitor.yaml")
"""The files of deploy/ that are written without changes."""
IMAGE = "pairnet:1"
"""The image of the manifests, unless another one is named."""
IMAGE_NAME = re.compile(
    r"[a-z0-9][a-z0-9._-]*(?::\d+(?=/))?(?:/[a-z0-9][a-z0-9._-]*)*(?::(?!latest$)\w[\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
"""An image's name with its registry, tag and digest."""
VOLUMES = "\n      volumes:\n        - {name: models, persistentVolumeClaim: {claimName: pairnet-models}}"
"""The volume of a pod whose models come and go."""
MODELS_MEMORY = 512
"""MiB of `--memory` in such a pod: of the server's 1 GiB, what is left by the 480 MB of one with a single model."""
PINS = "constraints.txt"
"""The versions that the container installs, for pip."""
LARGEST_PINS = 2**20
"""Bytes of that file."""
NOT_PINNED = f"pip chooses the versions; those that pairnet is tested with: --constraints {PINS} of its repository."
"""What a Containerfile without it says."""
LONGEST_END = 45
"""Seconds that Kubernetes gives a pod to end: more than preStop and the 30 s in which the server answers the rest."""
WHEEL = re.compile(r"pairnet-[^-]+(?:-\d[^-]*)?-cp3(\d+)-.+\.whl")
"""The name of a wheel of pairnet; its tag says for which Python 3 it is."""
LARGEST_WHEEL = 64 * 2**20
"""Bytes of a wheel."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of the files of a folder."""

    files: list[Path]  # that are there now
    removed: list[Path]  # of an earlier call
    changed: list[Path]  # of an earlier call, which somebody has changed since: they stay


def write_repository(
    files: Sequence[Path],
    output: Path,
    *,
    max_batch: int = 64,
    max_wait: float = 0.0,
    instances: int = 1,
    kind: Kind = "auto",
    wheel: Path | None = None,
    constraints: Path | None = None,
    image: str = IMAGE,
) -> Written:
    """Writes models/NAME/config.pbtxt and models/NAME/1/model.onnx for each file, and the files of deploy/.

    max_batch: pairs that Triton computes at once. max_wait: seconds that it lets a request wait for others. instances:
    copies of each model. kind: where they compute. wheel: of pairnet, is copied. The Containerfile is for its Python;
    without one, for that of a wheel which lies in `output` already, else for this Python. constraints: versions that
    the container installs, is copied; without, those that were copied before. image: its name in the manifests, with a
    tag of its own or a digest.
    All files appear or none. Those that were written before and are not written now are removed, unless somebody has
    changed them. Raises ArgumentError for options that are out of bounds or a folder of something else, and ModelError
    for a file that `pairnet export` did not write.
    """
    for name, value, largest in (("max_batch", max_batch, MOST_PAIRS), ("instances", instances, 1024)):
        if not 1 <= value <= largest:
            raise ArgumentError(f"`{name}`: expected 1 to {largest:,}, got {value}")
    if not IMAGE_NAME.fullmatch(image) or not re.search(r"[:@][^/]*$", image):
        raise ArgumentError(
            f"`image`: expected a name with a tag of its own, such as registry.example.org/pairnet:1, got {image!r}: "
            "a node keeps what it has under the same name"
        )
    check_folder(output, content=CONTENT)
    before = marked_files(output, CONTENT)
    if constraints is None and PINS in before and (output / PINS).exists():
        constraints = output / PINS  # as the wheel below
    pins = None if constraints is None else read_file(constraints, what=PINS, largest=LARGEST_PINS, error=ArgumentError)
    if wheel is None:  # one that was copied before stays
        wheel = next((output / name for name in before if name.endswith(".whl")), None)
    python = _python(output, wheel)
    content = None if wheel is None else read_file(wheel, what="a wheel", largest=LARGEST_WHEEL, error=ArgumentError)
    with (
        open_joint(files, provider="cpu", max_batch=max_batch, max_wait=max_wait) as models,
        folder_of_files(output, content=CONTENT) as folder,
    ):
        for path, (name, model) in zip(files, models.items(), strict=True):
            target = layout.file_of(folder / "models", name, VERSION)
            target.parent.mkdir(parents=True)
            target.write_bytes(read_model(path))
            text = configuration_text(model, max_batch, max_wait=max_wait, instances=instances, kind=kind)
            (folder / "models" / name / layout.CONFIG).write_text(text)
        _write(folder, "Containerfile", _container(list(models), python, wheel, pinned=pins is not None))
        _write_manifests(folder, instances=instances, kind=kind, image=image)
        if pins is not None:
            (folder / PINS).write_bytes(pins)
        if wheel is not None and content is not None:
            (folder / wheel.name).write_bytes(content)
    now = marked_files(output, CONTENT)
    gone = [output / name for name in sorted(before.keys() - now.keys())]
    return Written(
        files=sorted(output / name for name in now),
        removed=[path for path in gone if not os.path.lexists(path)],
        changed=[path for path in gone if os.path.lexists(path)],
    )


def _write_manifests(folder: Path, *, instances: int, kind: Kind, image: str) -> None:
    """Writes the files of deploy/ for clusters and for those who watch them."""
    values = {"grace": LONGEST_END, "image": image, "memory": MODELS_MEMORY}
    container = _template("container.yaml").rstrip()
    mounted = Template(_template("container-models.yaml").rstrip()).substitute(values)
    for name, where, text, volumes in (
        ("kubernetes.yaml", "its models are in the image", container, ""),
        ("kubernetes-models.yaml", "its models are in a volume", f"{container}\n{mounted}", VOLUMES),
    ):
        parts = {"where": where, "container": textwrap.indent(text, 10 * " "), "volumes": volumes}
        _write(folder, name, values | parts, template="kubernetes.yaml")
    _write(folder, "kubernetes-volume.yaml", values)
    _write(folder, "kserve-pairnet.yaml", values | {"container": textwrap.indent(container, 8 * " ")})
    _write(folder, "kserve.yaml", {"instances": instances, "gpu": ', nvidia.com/gpu: "1"' if kind == "gpu" else ""})
    rules = _template("alerts.yaml").partition("\n")[2]  # without the comment
    _write(folder, "prometheusrule.yaml", {"groups": textwrap.indent(rules, "  ").rstrip()})
    for name in COPIED:
        (folder / name).write_text(_template(name))


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


def _python(output: Path, wheel: Path | None) -> tuple[int, int]:
    """The Python that the Containerfile is for."""
    wheels = [wheel] if wheel is not None else sorted(output.glob("pairnet-*.whl"))
    found = {path.name: WHEEL.fullmatch(path.name) for path in wheels}
    for name, match in found.items():
        if match is None:
            raise ArgumentError(
                f"`wheel`: expected pairnet-VERSION-cp313-cp313-PLATFORM.whl, or as Python names it, got {name}"
            )
    minors = {int(match[1]) for match in found.values() if match is not None}
    if len(minors) > 1:
        raise ArgumentError(
            f"`wheel`: expected wheels of one version of Python in {output}, got {', '.join(found)}: name one"
        )
    return (3, minors.pop()) if minors else sys.version_info[:2]


def _container(
    names: Sequence[str], python: tuple[int, int], wheel: Path | None, *, pinned: bool
) -> Mapping[str, object]:
    """The values of a Containerfile that serves these models."""
    present = "The wheel of pairnet lies next to it."
    missing = "Put a wheel of pairnet next to this file (`pip wheel --no-deps .` in its repository):"
    return {
        "wheel": missing if wheel is None else present,
        "python": "{}.{}".format(*python),
        "tag": "{}{}".format(*python),
        "pins": f" {PINS}" if pinned else "",
        "pinned": f"-c /wheels/{PINS} " if pinned else "",
        "versions": f"The versions are those of {PINS}." if pinned else NOT_PINNED,
        "copies": "\n".join(
            f'COPY ["{layout.file_of(Path("models"), name, VERSION)}", "/models/{name}.onnx"]' for name in names
        ),
        "files": ", ".join(f'"/models/{name}.onnx"' for name in names),
    }


def _template(name: str) -> str:
    """The text of a file of deploy/."""
    return (files_of(__package__) / "deploy" / name).read_text()


def _write(folder: Path, name: str, values: Mapping[str, object], *, template: str = "") -> None:
    """Writes a file of deploy/, of that name unless `template` is another one, with `values` in its places."""
    (folder / name).write_text(Template(_template(template or name)).substitute(values))
