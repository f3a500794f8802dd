"""`pairnet export-repository`: exported files as a model repository, and files for containers and their platforms."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pairnet.cli.output import note, print_line, printable


def export_repository(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE.onnx...", help="Files that `pairnet export` wrote.", show_default=False),
    ],
    output: Annotated[Path, typer.Option(help="Folder to write: new, empty, or written by this command.")] = Path(
        "repository"
    ),
    max_batch: Annotated[int, typer.Option(help="Pairs that Triton computes at once.")] = 64,
    max_wait: Annotated[float, typer.Option(help="Milliseconds that a request may wait for others.")] = 0.0,
    instances: Annotated[int, typer.Option(help="Copies of each model that compute at the same time.")] = 1,
    wheel: Annotated[
        Path | None,
        typer.Option(
            help="Wheel of pairnet for the container, whose Python the Containerfile then names.",
            show_default="one that lies in the folder",
        ),
    ] = None,
    constraints: Annotated[
        Path | None,
        typer.Option(
            help="Versions that the container installs, as constraints.txt of pairnet's repository.",
            show_default="the one that was named before, else pip chooses",
        ),
    ] = None,
    image: Annotated[
        str, typer.Option(help="Image in the manifests, such as registry.example.org/pairnet:1.")
    ] = "pairnet:1",
    kind: Annotated[Literal["auto", "cpu", "gpu"], typer.Option(help="Where Triton computes.")] = "auto",
) -> None:
    """Write a model repository for other servers.

    A folder with a configuration for each file, for NVIDIA's Triton Inference Server, and a manifest with which KServe
    runs it (kserve.yaml). For `pairnet serve`: a Containerfile, manifests for Kubernetes and KServe, alerts for
    Prometheus and a dashboard for Grafana. Written again, the folder has the files that are named then: others that it
    wrote before are removed, unless somebody has changed them. docs/serving.md says how each of them is checked.
    """
    from pairnet.serving.repository import write_repository

    written = write_repository(
        files,
        output,
        max_batch=max_batch,
        max_wait=max_wait / 1000,
        instances=instances,
        kind=kind,
        wheel=wheel,
        constraints=constraints,
        image=image,
    )
    for path in written.files:
        print_line(str(path))
    for path in written.removed:
        note(f"removed {printable(str(path))}")
    for path in written.changed:
        note(f"kept {printable(str(path))}, which is not as it was written")
