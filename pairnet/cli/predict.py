"""`pairnet predict`: answers from an exported file; no torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from pairnet.cli.common import DataDir, Json, console, print_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pairnet.serving.pictures import Picture
    from pairnet.serving.predictor import Predictor

DRAWN = 8  # pairs or images that are drawn in the terminal; more are counted


def predict(
    model: Annotated[Path, typer.Argument(help="A file of `pairnet export`.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Two files of as many images each, or one of pairs: any picture, .npy, .npz, IDX."),
    ] = None,
    rank: Annotated[
        bool,
        typer.Option("--rank", help="Put all images in order, least digit first; needs `pairnet export --split`."),
    ] = False,
    test: Annotated[bool, typer.Option("--test", help="Measure the file on its recorded test draw.")] = False,
    provider: Annotated[str, typer.Option(help="auto, cpu, cuda, tensorrt or another provider's full name.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="On a CPU.", show_default="one for each core")] = None,
    data: Annotated[str | None, typer.Option(help="For --test.", show_default="the file's own")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Say of pairs of digits whether the first is equal or less than the second; with ONNX Runtime alone."""
    from pairnet.serving import pictures
    from pairnet.serving.predictor import Predictor

    if test == bool(files):
        raise ValueError("expected pictures to answer for, or --test")
    with Predictor(model, provider=provider, threads=threads) as predictor:
        if test:
            _test(predictor, data, data_dir, as_json=as_json)
            return
        read = [pictures.read(path) for path in files or ()]
        notes = [
            f"{path.name}: {note}" for path, picture in zip(files or (), read, strict=True) for note in picture.notes
        ]
        if not as_json:
            for note in notes:
                console(stderr=True).print(escape(note))
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
        print_json({"accuracy": accuracy, "recorded": recorded, "pairs": about.pairs})
    else:
        console().print(
            f"{about.variant} on {about.pairs} pairs of {about.data}: {accuracy:.4f} "
            f"(recorded {recorded:.4f}), {predictor.provider}"
        )
    if accuracy != recorded:
        turned = round(abs(accuracy - recorded) * about.pairs)
        console(stderr=True).print(
            f"expected the recorded accuracy, came {turned} of {about.pairs} pairs more or less: a damaged file? "
            "One or two may turn with another ONNX Runtime or kind of CPU"
        )
        raise typer.Exit(1)


def _pairs(predictor: "Predictor", read: "Sequence[Picture]", notes: list[str], *, as_json: bool) -> None:
    pairs = _paired([picture.pixels for picture in read])
    probability = predictor.probability(_as_taken(predictor, pairs))
    if as_json:
        answers = [{"probability": float(p), "equal_or_less": bool(p > 0.5)} for p in probability]
        print_json({"provider": predictor.provider, "notes": notes, "pairs": answers})
        return
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
    order, score = predictor.rank(_as_taken(predictor, images))
    if as_json:
        print_json({"provider": predictor.provider, "notes": notes, "order": order.tolist(), "score": score.tolist()})
        return
    output = console()
    table = Table("place", "image", "goes before", "")
    for place, number in enumerate(order[:DRAWN], start=1):
        picture = _drawn(images[number], output.is_terminal)
        table.add_row(str(place), str(number), f"{100 * score[number]:.1f} %", picture)
    output.print(table)
    if len(order) > DRAWN:
        output.print(f"then {' '.join(map(str, order[DRAWN:]))}", highlight=False)


def _as_taken(predictor: "Predictor", images: "NDArray[np.uint8]") -> "NDArray[Any]":
    """Grey levels as the file takes them: pooled and normalised where it was exported with --input pairs."""
    from pairnet.data.pairs import pool_and_normalise

    if predictor.input_kind == "images":
        return images
    return pool_and_normalise(images, predictor.metadata.moments)


def _paired(arrays: "list[NDArray[np.uint8]]") -> "NDArray[np.uint8]":
    """One file of pairs, or two of as many single images -> [N,2,28,28]."""
    import numpy as np

    shapes = " and ".join(str(list(array.shape)) for array in arrays)
    if len(arrays) == 1 and arrays[0].ndim == 4:
        return arrays[0]
    if len(arrays) == 2 and arrays[0].ndim == arrays[1].ndim == 3 and len(arrays[0]) == len(arrays[1]):
        return np.stack(arrays, axis=1)
    raise ValueError(
        f"expected two files of as many images each, or one of pairs [N,2,28,28], came {shapes}: "
        "--rank takes any number of images"
    )


def _drawn(image: "NDArray[np.uint8]", colour: bool) -> Any:
    from pairnet.cli.drawing import drawn

    return drawn(image, colour=colour)
