"""`pairnet predict`: answers of an exported file, without torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairnet.cli.common import DataDir, Json
from pairnet.cli.output import console, note, print_json, print_line
from pairnet.errors import ArgumentError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pairnet.serving.pictures import Picture
    from pairnet.serving.predictor import Predictor

DRAWN = 8
"""Number of pairs or images that are drawn in the terminal; further ones are counted."""


def predict(
    model: Annotated[Path, typer.Argument(help="A file that `pairnet export` wrote.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Two files with equal numbers of images, or one of pairs: pictures, .npy, .npz, IDX."),
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
    as_json: Json = False,
) -> None:
    """Predict with an exported file.

    Answers for pairs of digits whether the first is equal or less than the second. Needs no torch.
    """
    from pairnet.serving import pictures
    from pairnet.serving.predictor import Predictor

    if test == bool(files):
        raise ArgumentError("expected either pictures or `test`, got " + ("both" if test else "neither"))
    with Predictor(model, provider=provider, threads=threads) as predictor:
        if test:
            _test(predictor, data, data_dir, as_json=as_json)
            return
        read = [pictures.read(path) for path in files or ()]
        notes = [
            f"{path.name}: {remark}"
            for path, picture in zip(files or (), read, strict=True)
            for remark in picture.notes
        ]
        if not as_json:
            for remark in notes:
                note(remark)
        if rank:
            _rank(predictor, read, notes, as_json=as_json)
        else:
            _pairs(predictor, read, notes, as_json=as_json)


def _test(predictor: "Predictor", data: str | None, data_dir: Path | None, *, as_json: bool) -> None:
    from pairnet.artifact.recorded import measure, recorded_draw
    from pairnet.data.sources import load_dataset

    about = predictor.metadata
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


def _pairs(predictor: "Predictor", read: "Sequence[Picture]", notes: list[str], *, as_json: bool) -> None:
    pairs = _paired([picture.pixels for picture in read])
    probability = predictor.probability(_as_input(predictor, pairs))
    if as_json:
        answers = [{"probability": float(p), "equal_or_less": bool(p > 0.5)} for p in probability]
        print_json({"provider": predictor.provider, "notes": notes, "pairs": answers})
        return
    from rich.table import Table

    output = console()
    table = Table("first", "", "second", "P(first ≤ second)")
    for pair, p in list(zip(pairs, probability, strict=True))[:DRAWN]:
        first, second = (_drawn(image, output.is_terminal) for image in pair)
        table.add_row(first, "\n" * 6 + ("≤" if p > 0.5 else ">"), second, "\n" * 6 + f"{p:.4f}")
    output.print(table)
    if len(pairs) > DRAWN:
        output.print(f"and {len(pairs) - DRAWN:,} more; {int((probability > 0.5).sum()):,} of {len(pairs):,} are ≤")


def _rank(predictor: "Predictor", read: "Sequence[Picture]", notes: list[str], *, as_json: bool) -> None:
    import numpy as np

    images = np.concatenate([picture.pixels.reshape(-1, 28, 28) for picture in read])
    order, score = predictor.rank(_as_input(predictor, images))
    if as_json:
        print_json({"provider": predictor.provider, "notes": notes, "order": order.tolist(), "score": score.tolist()})
        return
    from rich.table import Table

    output = console()
    table = Table("place", "image", "score", "")
    for place, number in enumerate(order[:DRAWN], start=1):
        picture = _drawn(images[number], output.is_terminal)
        table.add_row(str(place), str(number), f"{100 * score[number]:.1f} %", picture)
    output.print(table)
    if len(order) > DRAWN:
        output.print(f"then {' '.join(map(str, order[DRAWN:]))}")


def _as_input(predictor: "Predictor", images: "NDArray[np.uint8]") -> "NDArray[Any]":
    """Grey levels as the file takes them: pooled and normalised if it was exported with --input pairs."""
    from pairnet.data.pairs import pool_and_normalise

    return images if predictor.input_kind == "images" else pool_and_normalise(images, predictor.metadata.moments)


def _paired(arrays: "list[NDArray[np.uint8]]") -> "NDArray[np.uint8]":
    """One file of pairs, or two files with equal numbers of images -> [N,2,28,28]."""
    import numpy as np

    shapes = " and ".join(str(list(array.shape)) for array in arrays)
    if len(arrays) == 1 and arrays[0].ndim == 4:
        return arrays[0]
    if len(arrays) == 2 and arrays[0].ndim == arrays[1].ndim == 3 and len(arrays[0]) == len(arrays[1]):
        return np.stack(arrays, axis=1)
    raise InputError(
        f"expected two files with equal numbers of images, or one of pairs [N,2,28,28], got {shapes}: "
        "`rank` takes any number of images"
    )


def _drawn(image: "NDArray[np.uint8]", colour: bool) -> Any:
    from pairnet.cli.drawing import drawn

    return drawn(image, colour=colour)
