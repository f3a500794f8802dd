"""`pairnet export-repository`: exported files as a model repository for Triton and KServe, and a container for ours."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pairnet.cli.output import print_line


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
    kind: Annotated[Literal["auto", "cpu", "gpu"], typer.Option(help="Where Triton computes.")] = "auto",
) -> None:
    """Write a model repository for other servers.

    A folder with a configuration for each file, for NVIDIA's Triton Inference Server; a manifest for KServe
    (kserve.yaml); and a Containerfile for `pairnet serve`. They are checked against the formats, but have not been run
    by these systems.
    """
    from pairnet.serving.repository import write_repository

    for path in write_repository(
        files, output, max_batch=max_batch, max_wait=max_wait / 1000, instances=instances, kind=kind
    ):
        print_line(str(path))
