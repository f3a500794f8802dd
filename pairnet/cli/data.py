"""`pairnet data list|fetch|info|pictures`: the sources of images, and pictures from them."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from pairnet.cli.common import DataDir, Json
from pairnet.cli.output import console, note, plain_table, print_json, print_line, printable, writing
from pairnet.errors import ArgumentError

Source = Annotated[str, typer.Argument(help="auto, mnist, mnist5k, glyphs[:SIZE[:SEED]] or idx:FOLDER.")]


def data_list(data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the sources of images and their states."""
    from pairnet.data.sources import available

    found = available(data_dir=data_dir)
    if as_json:
        print_json([asdict(source) for source in found])
        return
    table = plain_table("source", "state", "images", "where")
    for source in found:
        table.add_row(printable(source.name), source.state, source.images, printable(source.where))
    console().print(table)


def data_fetch(source: Annotated[str, typer.Argument(help="mnist, the only source that is downloaded.")]) -> None:
    """Download full MNIST into the cache.

    Interrupted downloads are resumed, and every file is checked.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from pairnet.data.download import fetch_mnist

    if source != "mnist":
        raise ArgumentError(f'expected mnist, got "{source}": the other sources need no download (`pairnet data list`)')
    notes = console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=notes, disable=not notes.is_terminal) as progress:
        tasks: dict[str, Any] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=None)
            progress.update(tasks[name], completed=done, total=total or None)

        folder = fetch_mnist(progress=show)
    print_line(f"full MNIST is in {folder}")


def data_info(
    source: Source = "auto",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Load one source and describe it.

    Number of images, classes, checksum, number of images of each class.
    """
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
    table = plain_table("class")
    for heading in ("training images", "test images"):
        table.add_column(heading, justify="right")
    for label, (train, test) in enumerate(zip(counts["train"], counts["test"], strict=True)):
        table.add_row(str(label), f"{train:,}", f"{test:,}")
    output = console()
    output.print(printable(describe(dataset)))
    output.print(f"SHA-256 {dataset.checksum}")
    most = (len(dataset.train) // 2, len(dataset.test) // 2)
    output.print(f"no image is used twice: at most {most[0]:,} pairs to train on, {most[1]:,} to test on")
    output.print(table)


def data_pictures(
    source: Source = "auto",
    count: Annotated[int, typer.Option(help="Number of pictures of each class.")] = 1,
    output: Annotated[Path, typer.Option(help="Folder to write: new, empty, or written by this command.")] = Path(
        "pictures"
    ),
    data_dir: DataDir = None,
) -> None:
    """Write test images as PNG files.

    They are named after their class and number, and `pairnet predict` reads them.
    """
    import numpy as np
    from PIL import Image

    from pairnet.data.sources import describe, load_dataset
    from pairnet.writing import check_folder, folder_of_files

    if count < 1:
        raise ArgumentError(f"expected `count` to be at least 1, got {count}")
    check_folder(output, content="pictures")
    dataset = load_dataset(source, data_dir=data_dir)
    note(f"data   {describe(dataset)}")
    pixels, labels = dataset.test.take(np.arange(len(dataset.test)))
    numbers = {label: np.flatnonzero(labels == label)[:count].tolist() for label in range(dataset.classes)}
    with writing(output), folder_of_files(output, content="pictures") as folder:
        for label, chosen in numbers.items():
            for number in chosen:
                Image.fromarray(pixels[number]).save(folder / f"{label}-{number:05d}.png")
    print_line(f"wrote {sum(map(len, numbers.values()))} pictures to the folder {output}")
