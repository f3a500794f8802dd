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
"""Number of pairs or images that are drawn in the terminal; further ones have their names, or are counted."""
UNSURE = 0.1
"""An answer whose probability is no further than this from 0.5 is called unsure."""
FULL_SIZE = 100
"""Columns of a terminal in which two images have room at full size."""

HALF_SIZE = 54
"""Columns in which two images have room at half size. In a narrower terminal there are only their names."""

OTHER_COLUMNS = 24
"""Columns of a terminal that a table takes apart from its images: frames, a sign, the probability."""

NO_ROOM = f"no room here for the drawings: they need {HALF_SIZE} columns"

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
    from pairnet.artifact.metadata import TRAINED_HERE
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
    if about.origin != TRAINED_HERE:
        note(f"{about.variant}: {about.origin}")
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
            f"expected two pictures, got {len(arrays)}: give two at a time (a pattern may match several), many pairs "
            "as .npy [N,2,28,28], or `rank` any number"
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
    from rich.text import Text

    output, shown = console(), rows[: 4 * DRAWN]
    called = _called([row[key] for row in shown for key in ("first", "second")], (output.width - OTHER_COLUMNS) // 2)
    names = list(zip(called[::2], called[1::2], strict=True))
    answers = [f"{row['probability']:.4f}{', unsure' * row['unsure']}" for row in shown]
    if output.width < HALF_SIZE:
        for row, answer in zip(shown, answers, strict=True):
            first, second = (
                printable(row[key]) + (f", a {row[digit]}" if digit in row else "")
                for key, digit in (("first", "first_digit"), ("second", "second_digit"))
            )
            output.print(Text(f"{first}\n  {_sign(row)} {second}\n  {answer}", overflow="fold"))
        output.print(NO_ROOM)
    else:
        table = Table("first", "", "second", "P(first ≤ second)")
        for number, (row, (first, second), answer) in enumerate(zip(shown, names, answers, strict=True)):
            images = pairs[number] if number < DRAWN else (None, None)
            left = _drawn(first, row.get("first_digit"), images[0], output)
            right = _drawn(second, row.get("second_digit"), images[1], output)
            table.add_row(left, _sign(row), right, answer.replace(", ", "\n"))
        output.print(table)
    if len(rows) > len(shown):
        less = sum(row["equal_or_less"] for row in rows)
        output.print(f"and {len(rows) - len(shown):,} more, all with --csv; {less:,} of {len(rows):,} are ≤")


def _called(names: Sequence[str], room: int) -> list[str]:
    """The names of files, without their folders where that makes them fit into so many columns and differ as before."""
    short = [Path(name).name for name in names]
    fits = max(map(len, short)) <= room and len(set(short)) == len(set(names))
    return [printable(name) for name in (short if fits and max(map(len, names)) > room else names)]


def _sign(row: Row) -> str:
    return "≤" if row["equal_or_less"] else ">"


def _show_ranking(rows: Sequence[Row], images: "NDArray[np.uint8]") -> None:
    from rich.table import Table
    from rich.text import Text

    output = console()
    scores = [f"{100 * row['score']:.1f} %" for row in rows]
    legend = "score: mean probability that the digit is less than the others"
    if output.width < HALF_SIZE:
        for place, (row, score) in enumerate(zip(rows, scores, strict=True), start=1):
            digit = f"  a {row['digit']}" if "digit" in row else ""
            output.print(Text(f"{place:>4}  {printable(row['image'])}\n      {score}{digit}", overflow="fold"))
        output.print(f"{legend}\n{NO_ROOM}")
        return
    table = Table("place", "image", "score", caption=legend, caption_justify="left")
    called = _called([row["image"] for row in rows], output.width - OTHER_COLUMNS)
    for place, (row, name, score) in enumerate(zip(rows, called, scores, strict=True), start=1):
        pixels = images[place - 1] if place <= DRAWN else None
        table.add_row(str(place), _drawn(name, row.get("digit"), pixels, output), score)
    output.print(table)


def _drawn(name: str, digit: int | None, pixels: "NDArray[np.uint8] | None", output: "Console") -> "Text":
    """Name, digit and picture of an image, if it has one; the picture at half size in a narrow terminal."""
    from rich.text import Text

    from pairnet.cli.drawing import drawn

    known = "" if digit is None else f"\na {digit}"
    text = Text(f"{name}{known}", overflow="fold")
    if pixels is None:
        return text
    return text.append("\n").append_text(drawn(pixels, colour=output.is_terminal, half=output.width < FULL_SIZE))
