"""`pairnet predict`: answers of an exported file, without torch."""

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairnet.cli.common import DataDir, Json
from pairnet.cli.output import console, note, print_json, print_line, printable
from pairnet.errors import ArgumentError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console

    from pairnet.serving.pictures import Picture
    from pairnet.serving.predictor import Predictor

DRAWN = 8
"""Number of pairs or images that are drawn in the terminal; of further ones there is a line each, or a count."""
UNSURE = 0.1
"""An answer whose probability is no further than this from 0.5 is called unsure."""
FULL_SIZE = 100
"""Columns of a terminal in which two images have room at full size."""


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
    from pairnet.serving import pictures
    from pairnet.serving.built_in import NAME, built_in_model
    from pairnet.serving.predictor import Predictor

    model, inputs = _model(files or [])
    built_in = model == built_in_model()
    if as_csv and as_json:
        raise ArgumentError("expected one of `as_csv` and `as_json`, got both")
    if test == bool(inputs):
        raise ArgumentError("expected either pictures or `test`, got " + ("both" if test else "neither"))
    if rank and built_in:
        raise ArgumentError("expected a file of `pairnet export --split` with `rank`, got the built-in model")
    with Predictor(model, provider=provider, threads=threads) as predictor:
        if test:
            _test(predictor, data, data_dir, as_json=as_json)
            return
        read = [pictures.read(path) for path in inputs]
        notes = [
            f"{path.name}: {remark}" for path, picture in zip(inputs, read, strict=True) for remark in picture.notes
        ]
        if rank:
            images = _ranked(predictor, inputs, read)
            report = {"provider": predictor.provider, "notes": notes, **_ranking(images)}
        else:
            answers = _answers(predictor, inputs, read)
            report = {"provider": predictor.provider, "notes": notes, "pairs": list(map(_answer, answers))}
    if built_in:
        note(f"no .onnx file is named: the built-in model, {NAME}, answers")
    for remark in [] if as_json else notes:
        note(remark)
    if as_json:
        print_json(report)
    elif as_csv:
        _print_csv([_place(each) for each in images] if rank else list(map(_answer, answers)))
    elif rank:
        _show_ranking(images)
    else:
        _show_answers(answers)


def _model(files: Sequence[Path]) -> tuple[Path, Sequence[Path]]:
    """The model, which is the first file if that ends in .onnx and the built-in one otherwise, and the other files."""
    from pairnet.serving.built_in import built_in_model

    if files and files[0].suffix == ".onnx":
        return files[0], files[1:]
    return built_in_model(), files


def _test(predictor: "Predictor", data: str | None, data_dir: Path | None, *, as_json: bool) -> None:
    from pairnet.artifact.metadata import PRIVATE_SOURCE
    from pairnet.artifact.recorded import measure, recorded_draw
    from pairnet.data.sources import load_dataset

    about = predictor.metadata
    if data is None and about.data_source == PRIVATE_SOURCE:
        raise ArgumentError(
            f"expected `data`: the network was trained on images of its owner, {about.data}, and the file does not "
            "say where they are: add `data` idx:PATH"
        )
    dataset = load_dataset(data or about.data_source, data_dir=data_dir)
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


@dataclass(frozen=True, kw_only=True, eq=False)
class _Image:
    """One image with its name, and what the file says about it."""

    name: str
    pixels: "NDArray[np.uint8]"  # [28,28]
    digit: int | None = None  # the most likely one, if the file has digits
    score: float = 0.0  # of a ranking
    number: int = 0  # in the order in which the images were given


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pair:
    """Two images and the answer."""

    first: _Image
    second: _Image
    probability: float

    @property
    def sign(self) -> str:
        """The answer: ≤ or >."""
        return "≤" if self.probability > 0.5 else ">"

    @property
    def unsure(self) -> bool:
        """Whether the probability is too close to 0.5 to rely on the answer."""
        return abs(self.probability - 0.5) <= UNSURE


def _answers(predictor: "Predictor", files: Sequence[Path], read: "Sequence[Picture]") -> list[_Pair]:
    pairs, names = _paired(files, [picture.pixels for picture in read])
    given = _as_input(predictor, pairs)
    outputs = predictor.outputs(given)
    probability = outputs["probability"]
    digits = outputs["digits"].argmax(2).tolist() if "digits" in outputs else [[None, None]] * len(pairs)
    return [
        _Pair(
            first=_Image(name=names[i][0], pixels=pairs[i, 0], digit=digits[i][0]),
            second=_Image(name=names[i][1], pixels=pairs[i, 1], digit=digits[i][1]),
            probability=float(probability[i]),
        )
        for i in range(len(pairs))
    ]


def _ranked(predictor: "Predictor", files: Sequence[Path], read: "Sequence[Picture]") -> list[_Image]:
    """The images, least digit first."""
    import numpy as np

    images = np.concatenate([picture.pixels.reshape(-1, 28, 28) for picture in read])
    names = [name for path, picture in zip(files, read, strict=True) for name in _names(path, picture.pixels)]
    given = _as_input(predictor, images)
    order, score = predictor.rank(given)
    digits: list[Any] = [None] * len(images)
    if predictor.has_digits:
        digits = predictor.digits(np.stack((given, given), axis=1))[:, 0].argmax(1).tolist()
    return [
        _Image(name=names[i], pixels=images[i], digit=digits[i], score=float(score[i]), number=i)
        for i in order.tolist()
    ]


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


def _answer(pair: _Pair) -> dict[str, Any]:
    """One pair, for JSON and CSV."""
    answer = {
        "first": pair.first.name,
        "second": pair.second.name,
        "probability": pair.probability,
        "equal_or_less": pair.probability > 0.5,
        "unsure": pair.unsure,
    }
    if pair.first.digit is not None:
        answer |= {"first_digit": pair.first.digit, "second_digit": pair.second.digit}
    return answer


def _ranking(images: Sequence[_Image]) -> dict[str, Any]:
    """The order, and names and scores of the images in the order in which they were given, for JSON."""
    given = sorted(images, key=lambda image: image.number)
    ranking: dict[str, Any] = {
        "order": [image.number for image in images],
        "names": [image.name for image in given],
        "score": [image.score for image in given],
    }
    if given and given[0].digit is not None:
        ranking["digits"] = [image.digit for image in given]
    return ranking


def _place(image: _Image) -> dict[str, Any]:
    """One image of a ranking, for CSV."""
    return {"image": image.name, "score": image.score} | ({} if image.digit is None else {"digit": image.digit})


def _print_csv(rows: Sequence[dict[str, Any]]) -> None:
    writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: printable(value) if isinstance(value, str) else value for key, value in row.items()})


def _show_answers(pairs: Sequence[_Pair]) -> None:
    from rich.table import Table

    output = console()
    table = Table("first", "", "second", "P(first ≤ second)")
    for pair in pairs[:DRAWN]:
        probability = f"{pair.probability:.4f}" + ("\nunsure" if pair.unsure else "")
        table.add_row(_drawn(pair.first, output), pair.sign, _drawn(pair.second, output), probability)
    output.print(table)
    for pair in pairs[DRAWN : 4 * DRAWN]:
        unsure = ", unsure" if pair.unsure else ""
        first, second = printable(pair.first.name), printable(pair.second.name)
        output.print(f"{first} {pair.sign} {second}: {pair.probability:.4f}{unsure}")
    if len(pairs) > 4 * DRAWN:
        less = sum(pair.probability > 0.5 for pair in pairs)
        output.print(f"and {len(pairs) - 4 * DRAWN:,} more, all with --csv; {less:,} of {len(pairs):,} are ≤")


def _show_ranking(images: Sequence[_Image]) -> None:
    from rich.table import Table

    output = console()
    table = Table(
        "place",
        "image",
        "score",
        caption="score: mean probability that the digit is less than the others",
        caption_justify="left",
    )
    for place, image in enumerate(images[:DRAWN], start=1):
        table.add_row(str(place), _drawn(image, output), f"{100 * image.score:.1f} %")
    output.print(table)
    for place, image in enumerate(images[DRAWN:], start=DRAWN + 1):
        output.print(f"{place:>4}  {printable(image.name)}  {100 * image.score:.1f} %")


def _drawn(image: _Image, output: "Console") -> Any:
    """Name, digit and picture of an image; at half size in a narrow terminal."""
    from rich.text import Text

    from pairnet.cli.drawing import drawn

    digit = "" if image.digit is None else f"\na {image.digit}"
    picture = drawn(image.pixels, colour=output.is_terminal, half=output.width < FULL_SIZE)
    return Text(f"{printable(image.name)}{digit}\n", overflow="fold").append_text(picture)
