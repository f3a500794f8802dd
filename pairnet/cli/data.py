"""`pairnet data list|fetch|info|pictures`: where the images come from, and some of them to look at."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pairnet.cli.common import DataDir, Json, console, print_json


def data_list(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the sources of images and whether they are ready."""
    from pairnet.data.sources import available

    found = available(data_dir=data_dir)
    if as_json:
        print_json([asdict(source) for source in found])
        return
    table = Table("source", "state", "images", "where")
    for source in found:
        table.add_row(escape(source.name), source.state, source.images, escape(source.where))
    console().print(table)


def data_fetch(source: Annotated[str, typer.Argument(help="mnist: the only one that is fetched.")]) -> None:
    """Download full MNIST into the cache; what broke off is resumed, and every file is checked."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from pairnet.data.sources import fetch_mnist

    if source != "mnist":
        raise ValueError(f'only mnist is fetched, not "{source}"; `pairnet data list` shows the other sources')
    notes = console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=notes, disable=not notes.is_terminal) as progress:
        tasks: dict[str, Any] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=None)
            progress.update(tasks[name], completed=done, total=total or None)

        folder = fetch_mnist(progress=show)
    console().print(f"full MNIST is in {folder}")


def data_info(
    source: Annotated[str, typer.Argument(help="As --data takes it.")] = "auto",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Load one source and describe it: sizes, classes, checksum, images of each class."""
    from pairnet.data.sources import describe, load_dataset
    from pairnet.host import cores

    dataset = load_dataset(source, data_dir=data_dir)
    counts = {
        part: images.counts(dataset.classes, cores()).tolist()
        for part, images in (("train", dataset.train), ("test", dataset.test))
    }
    if as_json:
        about = {
            "name": dataset.name,
            "origin": dataset.origin,
            "checksum": dataset.checksum,
            "classes": dataset.classes,
        }
        print_json({**about, "images_of_each_class": counts})
        return
    table = Table("class", *map(str, range(dataset.classes)))
    for part, numbers in counts.items():
        table.add_row(part, *(f"{number:,}" for number in numbers))
    printed = console()
    printed.print(escape(describe(dataset)))
    printed.print(table)


def data_pictures(
    source: Annotated[str, typer.Argument(help="As --data takes it.")] = "auto",
    count: Annotated[int, typer.Option(help="Of each class.")] = 1,
    output: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("pictures"),
    data_dir: DataDir = None,
) -> None:
    """Write test images as PNG files, named after their class and number: something to ask a net about."""
    import numpy as np
    from PIL import Image

    from pairnet.data.sources import load_dataset

    if count < 1:
        raise ValueError(f"--count must be at least 1, not {count}")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ValueError(f"{output} is not an empty folder: name another --output")
    dataset = load_dataset(source, data_dir=data_dir)
    pixels, labels = dataset.test.take(np.arange(len(dataset.test)))
    output.mkdir(parents=True, exist_ok=True)
    for label in range(dataset.classes):
        for number in np.flatnonzero(labels == label)[:count].tolist():
            Image.fromarray(pixels[number]).save(output / f"{label}-{number:05d}.png")
    console().print(f"{len(list(output.iterdir()))} pictures are in {escape(str(output))}")
