"""`pairnet predict`: answers of an exported file, without torch."""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairnet.cli.common import DataDir, Json
from pairnet.cli.output import console, note, print_json, print_line, printable
from pairnet.errors import ArgumentError, DataError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console
    from rich.text import Text

    from pairnet.serving.pictures.reading import Picture
    from pairnet.serving.predictor import Predictor

DRAWN = 8
"""Number of pairs or images that are drawn in the terminal; of further ones there is a line each, or a count."""
UNSURE = 0.1
"""An answer whose probability is no further than this from 0.5 is called unsure."""
FULL_SIZE = 100
"""Columns of a terminal in which two images have room at full size."""

HALF_SIZE = 54
"""Columns in which two images have room at half size. In a narrower terminal there are only their names."""

Row = dict[str, Any]
"""One pair with its answer, or one image of a ranking, as CSV has it."""


def predict(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[MODEL.onnx] FILES...",
            help="A file that `pairnet export` wrote, the built-in model without it; and two files with equal numbers "
            "of images, or one of pairs: pictures, .npy, .npz, IDX. With --rank, any number of images.",
            show_default=False,
        ),
    ] = None,
    rank: Annotated[
        bool,
        typer.Option("--rank", help="Sort all images, least digit first; needs `pairnet export --split`."),
    ] = False,
    test: Annotated[bool, typer.Option("--test", help="Measure the file on its recorded test draw.")] = False,
    provider: Annotated[
        str, typer.Option(help="auto, cpu, cuda, tensorrt or the full name of another provider.")
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Number of threads on a CPU.", show_default="one for each core")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Images for --test.", show_default="the file's")] = None,
    data_dir: DataDir = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, one line for each pair or image.")] = False,
    as_json: Json = False,
) -> None:
    """Predict with an exported file.

    Answers for pairs of digits whether the first is equal to or less than the second, and names the digits if the file
    has them (`pairnet export --with-digits`). An answer with a probability of 0.4 to 0.6 is marked as unsure. Needs no
    torch.
    """
    from pairnet.serving.built_in import NAME, built_in_model
    from pairnet.serving.pictures.reading import suited
    from pairnet.serving.predictor import Predictor

    model, inputs = _model(files or [])
    built_in = model == built_in_model()
    if as_csv and as_json:
        raise ArgumentError("expected one of `as_csv` and `as_json`, got both")
    if test == bool(inputs):
        raise ArgumentError("expected either pictures or `test`, got " + ("both" if test else "neither"))
    for name, given in (("data", data), ("data_dir", data_dir)):
        if given is not None and not test:
            raise ArgumentError(f"expected `{name}` with `test` only, got it with pictures: leave it out")
    if rank and built_in:
        raise ArgumentError("expected a file of `pairnet export --split` with `rank`, got the built-in model")
    with Predictor(model, provider=provider, threads=threads) as predictor:
        if test:
            _test(predictor, data, data_dir, as_json=as_json)
            return
        polarity = predictor.metadata.polarity
        read = [suited(_read(path, as_csv=as_csv, as_json=as_json), polarity) for path in inputs]
        report, rows, pixels = (_ranked if rank else _answered)(predictor, inputs, read)
        provider = predictor.provider
    notes = [f"{path.name}: {remark}" for path, picture in zip(inputs, read, strict=True) for remark in picture.notes]
    if built_in:
        note(f"no .onnx file is named: the built-in model, {NAME}, answers")
    for remark in [] if as_json else notes:
        note(remark)
    if as_json:
        print_json({"provider": provider, "notes": notes, **report})
    elif as_csv:
        _print_csv(rows)
    else:
        (_show_ranking if rank else _show_answers)(rows, pixels)


def _model(files: Sequence[Path]) -> tuple[Path, Sequence[Path]]:
    """The model, which is the first file if that ends in .onnx and the built-in one otherwise, and the other files."""
    from pairnet.serving.built_in import built_in_model

    if files and files[0].suffix == ".onnx":
        return files[0], files[1:]
    return built_in_model(), files


def _read(path: Path, *, as_csv: bool, as_json: bool) -> "Picture":
    """The images in a file; one that is refused ends the command, and is printed for programs, too."""
    from pairnet.serving.pictures.reading import read

    try:
        return read(path)
    except DataError as error:
        refused = {"file": str(path), "code": error.code, "error": str(error)}
        if as_json:
            print_json({"refused": refused})
        elif as_csv:
            _print_csv([refused])
        raise


def _test(predictor: "Predictor", data: str | None, data_dir: Path | None, *, as_json: bool) -> None:
    from pairnet.artifact.recorded import measure, recorded_draw, recorded_source
    from pairnet.data.sources import load_dataset

    about = predictor.metadata
    dataset = load_dataset(recorded_source(about) if data is None else data, data_dir=data_dir)
    accuracy, recorded = measure(predictor.probability, recorded_draw(about, dataset)), about.test_accuracy
    if as_json:
        print_json({"accuracy": accuracy, "recorded": recorded, "pairs": about.test_pairs})
    else:
        print_line(
            f"{about.variant} on {about.test_pairs} pairs of {about.data}: {accuracy:.4f} "
            f"(recorded {recorded:.4f}), {predictor.provider}"
        )
    if accuracy != recorded:
        changed = round(abs(accuracy - recorded) * about.test_pairs)
        note(
            f"expected the recorded accuracy, got a difference of {changed} of {about.test_pairs} pairs: the file may "
            "be damaged; one or two pairs may differ with another ONNX Runtime or kind of CPU"
        )
        raise typer.Exit(1)


def _answered(
    predictor: "Predictor", files: Sequence[Path], read: "Sequence[Picture]"
) -> "tuple[dict[str, Any], list[Row], NDArray[np.uint8]]":
    """The answers for JSON, the same as rows of CSV, and the pairs [N,2,28,28]."""
    pairs, names = _paired(files, [picture.pixels for picture in read])
    outputs = predictor.outputs(_as_input(predictor, pairs))
    rows: list[Row] = [
        {
            "first": first,
            "second": second,
            "probability": probability,
            "equal_or_less": probability > 0.5,
            "unsure": abs(probability - 0.5) <= UNSURE,
        }
        for (first, second), probability in zip(names, outputs["probability"].tolist(), strict=True)
    ]
    if "digits" in outputs:
        for row, (first, second) in zip(rows, outputs["digits"].argmax(2).tolist(), strict=True):
            row |= {"first_digit": first, "second_digit": second}
    return {"pairs": rows}, rows, pairs


def _ranked(
    predictor: "Predictor", files: Sequence[Path], read: "Sequence[Picture]"
) -> "tuple[dict[str, Any], list[Row], NDArray[np.uint8]]":
    """A ranking for JSON, in the order given; its rows for CSV and the images [N,28,28], least digit first."""
    import numpy as np

    images = np.concatenate([picture.pixels.reshape(-1, 28, 28) for picture in read])
    given = _as_input(predictor, images)
    order, score = (each.tolist() for each in predictor.rank(given))
    names = [name for path, picture in zip(files, read, strict=True) for name in _names(path, picture.pixels)]
    ranking: dict[str, Any] = {"order": order, "names": names, "score": score}
    rows: list[Row] = [{"image": names[i], "score": score[i]} for i in order]
    if predictor.has_digits:
        ranking["digits"] = predictor.digits(np.stack((given, given), axis=1))[:, 0].argmax(1).tolist()
        rows = [{**row, "digit": ranking["digits"][i]} for i, row in zip(order, rows, strict=True)]
    return ranking, rows, images[order]


def _names(path: Path, pixels: "NDArray[np.uint8]") -> list[str]:
    """A name for each image of a file: that of the file, with the image's place in it if there are several."""
    if pixels.ndim == 4:
        return [f"{path}[{i},{k}]" for i in range(len(pixels)) for k in (0, 1)]
    return [str(path)] if len(pixels) == 1 else [f"{path}[{i}]" for i in range(len(pixels))]


def _paired(
    files: Sequence[Path], arrays: "list[NDArray[np.uint8]]"
) -> "tuple[NDArray[np.uint8], list[tuple[str, str]]]":
    """One file of pairs, or two files with equal numbers of images -> [N,2,28,28] and the names of both images."""
    import numpy as np

    if len(arrays) == 1 and arrays[0].ndim == 4:
        names = _names(files[0], arrays[0])
        return arrays[0], list(zip(names[::2], names[1::2], strict=True))
    if len(arrays) == 2 and arrays[0].ndim == arrays[1].ndim == 3 and len(arrays[0]) == len(arrays[1]):
        first, second = (_names(path, array) for path, array in zip(files, arrays, strict=True))
        return np.stack(arrays, axis=1), list(zip(first, second, strict=True))
    if all(array.ndim == 3 and len(array) == 1 for array in arrays):
        raise InputError(
            f"expected two pictures, got {len(arrays)}: give two at a time, many pairs as .npy [N,2,28,28], or `rank` "
            "any number"
        )
    shapes = " and ".join(str(list(array.shape)) for array in arrays)
    raise InputError(
        f"expected two files with equal numbers of images, or one of pairs [N,2,28,28], got {shapes}: "
        "`rank` takes any number of images"
    )


def _as_input(predictor: "Predictor", images: "NDArray[np.uint8]") -> "NDArray[Any]":
    """Grey levels as the file takes them: pooled and normalised if it was exported with --input pairs."""
    from pairnet.data.pairs import pool_and_normalise

    return images if predictor.input_kind == "images" else pool_and_normalise(images, predictor.metadata.moments)


def _print_csv(rows: Sequence[Row]) -> None:
    writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: printable(value) if isinstance(value, str) else value for key, value in row.items()})


def _show_answers(rows: Sequence[Row], pairs: "NDArray[np.uint8]") -> None:
    from rich.table import Table

    output = console()
    table = Table("first", "", "second", "P(first ≤ second)")
    for row, (first, second) in zip(rows[:DRAWN], pairs, strict=False):
        left = _drawn(row["first"], row.get("first_digit"), first, output)
        right = _drawn(row["second"], row.get("second_digit"), second, output)
        table.add_row(left, _sign(row), right, f"{row['probability']:.4f}" + ("\nunsure" if row["unsure"] else ""))
    output.print(table)
    for row in rows[DRAWN : 4 * DRAWN]:
        unsure = ", unsure" if row["unsure"] else ""
        answer = f"{printable(row['first'])} {_sign(row)} {printable(row['second'])}"
        output.print(f"{answer}: {row['probability']:.4f}{unsure}")
    if len(rows) > 4 * DRAWN:
        less = sum(row["equal_or_less"] for row in rows)
        output.print(f"and {len(rows) - 4 * DRAWN:,} more, all with --csv; {less:,} of {len(rows):,} are ≤")


def _sign(row: Row) -> str:
    return "≤" if row["equal_or_less"] else ">"


def _show_ranking(rows: Sequence[Row], images: "NDArray[np.uint8]") -> None:
    from rich.table import Table

    output = console()
    table = Table(
        "place",
        "image",
        "score",
        caption="score: mean probability that the digit is less than the others",
        caption_justify="left",
    )
    for place, (row, pixels) in enumerate(zip(rows[:DRAWN], images, strict=False), start=1):
        table.add_row(str(place), _drawn(row["image"], row.get("digit"), pixels, output), f"{100 * row['score']:.1f} %")
    output.print(table)
    for place, row in enumerate(rows[DRAWN:], start=DRAWN + 1):
        output.print(f"{place:>4}  {printable(row['image'])}  {100 * row['score']:.1f} %")


def _drawn(name: str, digit: int | None, pixels: "NDArray[np.uint8]", output: "Console") -> "Text":
    """Name, digit and picture of an image; at half size in a narrow terminal, and without picture in a narrower one."""
    from rich.text import Text

    from pairnet.cli.drawing import drawn

    known = "" if digit is None else f"\na {digit}"
    if output.width < HALF_SIZE:
        return Text(f"{printable(name)}{known}", overflow="fold")
    picture = drawn(pixels, colour=output.is_terminal, half=output.width < FULL_SIZE)
    return Text(f"{printable(name)}{known}\n", overflow="fold").append_text(picture)
