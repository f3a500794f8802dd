"""How often pictures of digits are read right: pens from thin to thick, sizes from small to large, frames at the edge.

    python -m bench.pens [--digits 100] [--model FILE] [--data mnist5k] [--seed 0]

The strokes are the centre lines of the source's test images (bench/handwriting.py), drawn with a round pen, half of
them with grey edges, half of them dark on light. The reader is that of `pairnet predict`, the page and /decode, then
the model. Each digit of a row is compared with PARTNERS others of the row: right is a pair that is ordered as its
labels, sure and wrong one with a probability beyond 0.9 on the wrong side, refused one with a picture that the reader
refuses. All shares are of all pairs. Prints Markdown tables; the first row of each is the model's bound.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.frames import KINDS, framed, photographed
from bench.handwriting import Strokes, drawn, strokes
from pairnet.data.sources import load_dataset
from pairnet.errors import PictureError
from pairnet.host import hardware
from pairnet.serving.built_in import built_in_model
from pairnet.serving.pictures.digits import as_mnist
from pairnet.serving.predictor import Predictor

PENS = (100, 50, 25, 12, 6)  # parts of the digit's height
SIZES = (30, 100, 300, 1000, 3000)  # pixels
PARTNERS = 20  # pairs for each digit
SURE = 0.9
FRAMED_SIZE, FRAMED_PEN = 200, 12


@dataclass(frozen=True, kw_only=True)
class Score:
    """Shares of the pairs of one row."""

    digits: int
    right: float
    sure_wrong: float
    refused: float  # pairs with a picture that is refused

    def cells(self) -> str:
        return f"{self.right:.1%} | {self.sure_wrong:.1%} | {self.refused:.1%} | {self.digits}"


HEADER = "right | sure and wrong | refused | digits |"


def score(predictor: Predictor, images: Sequence[NDArray[np.uint8] | None], labels: NDArray[np.uint8]) -> Score:
    """Compares each of N images [28,28] with PARTNERS others.  None is a picture that was refused."""
    rng = np.random.default_rng(0)
    total = len(labels)
    pairs = np.array([(i, int(j)) for i in range(total) for j in rng.integers(0, total, PARTNERS) if i != j])
    read = np.array([image is not None for image in images])[pairs].all(1)
    pixels = np.stack([np.zeros((28, 28), np.uint8) if image is None else image for image in images])
    first, second = pairs[read].T
    probability = predictor.probability(pixels[pairs[read]]) if read.any() else np.zeros(0)
    truth = labels[first] <= labels[second]
    return Score(
        digits=total,
        right=float(((probability > 0.5) == truth).sum() / len(pairs)),
        sure_wrong=float((np.where(truth, 1 - probability, probability) > SURE).sum() / len(pairs)),
        refused=float(1 - read.mean()),
    )


def read(picture: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """The digit in a picture as `pairnet predict` reads it; None if it is refused."""
    try:
        return as_mnist("picture", picture)[0]
    except PictureError:
        return None


def picture(digit: Strokes, number: int, *, height: int, pen: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture of a digit with margins of 5 to 40 %: every other `number` is smooth, every other two light on dark."""
    above, below, left, right = (int(side) for side in rng.integers(max(2, height // 20), height * 2 // 5, 4))
    ink = drawn(digit, height=height, pen=pen, margins=(above, below, left, right), smooth=number % 2 == 0)
    return coloured(ink, dark=number // 2 % 2 == 0, rng=rng)


def coloured(ink: NDArray[np.uint8], *, dark: bool, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Ink of 0..255 as grey levels on paper of another one, not quite black and not quite white."""
    light, low = int(rng.integers(200, 256)), int(rng.integers(0, 56))
    paper, pen = (light, low) if dark else (low, light)
    levels = np.rint(paper + np.arange(256) * (pen - paper) / 255).astype(np.uint8)
    return levels[ink]


def pen_rows(
    digits: Sequence[Strokes], labels: NDArray[np.uint8], predictor: Predictor, seed: int
) -> Iterator[tuple[str, Score]]:
    """A row for each pen and size."""
    for size in SIZES:
        if size == 1000:  # larger ones take a second each
            digits, labels = digits[::4], labels[::4]
        for part in PENS:
            rng = np.random.default_rng((seed, size, part))
            pen = max(1.0, size / part)
            images = [read(picture(each, i, height=size, pen=pen, rng=rng)) for i, each in enumerate(digits)]
            yield f"{size} | 1/{part}, {pen:.3g} px", score(predictor, images, labels)


def frame_rows(
    digits: Sequence[Strokes], labels: NDArray[np.uint8], predictor: Predictor, seed: int
) -> Iterator[tuple[str, Score]]:
    """A row for each kind of frame."""
    for name, kind in KINDS.items():
        rng = np.random.default_rng((seed, 1))
        images = []
        for i, each in enumerate(digits):
            height = FRAMED_SIZE // (3 if kind.around else 1)
            margins = rng.integers(height // 10, height // 3, 4)
            margins[list(kind.tight)] = 0
            ink = drawn(
                each, height=height, pen=height / FRAMED_PEN, margins=tuple(margins.tolist()), smooth=i % 2 == 0
            )
            dark = kind.photo or i // 2 % 2 == 0
            sheet = coloured(framed(ink, kind, margins.tolist(), rng), dark=dark, rng=rng)
            images.append(read(photographed(sheet, kind, rng) if kind.photo else sheet))
        yield name, score(predictor, images, labels)


def enlarged(image: NDArray[np.uint8], side: int, number: int) -> NDArray[np.uint8]:
    """An image [28,28] as a picture of side x side, every other one dark on light."""
    large = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
    return 255 - large if number % 2 else large


def image_rows(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], predictor: Predictor
) -> Iterator[tuple[str, Score]]:
    """The source's own images: as they are, read, and enlarged."""
    yield "as they are, not read", score(predictor, list(images), labels)
    yield "28 x 28, read", score(predictor, [read(each) for each in images], labels)
    for side in (40, 56, 100, 280, 1120):
        large = [read(enlarged(each, side, i)) for i, each in enumerate(images)]
        yield f"enlarged to {side} x {side}", score(predictor, large, labels)


def balanced(labels: NDArray[np.uint8], count: int, seed: int) -> NDArray[np.int64]:
    """Indices of `count` random images, equally many of each digit."""
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(np.flatnonzero(labels == digit))[: count // 10] for digit in range(10)]
    return np.concatenate(chosen)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.pens", description=__doc__.splitlines()[0])
    parser.add_argument("--digits", type=int, default=100, help="of each row, a multiple of 10")
    parser.add_argument("--model", type=Path, default=built_in_model(), help="a file of pairnet export")
    parser.add_argument("--data", default="mnist5k", help="the test images of this source")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("images", "pens", "frames"))
    options = parser.parse_args(arguments)
    test = load_dataset(options.data).test
    chosen = balanced(test.take(np.arange(len(test)))[1], options.digits, options.seed)
    images, labels = test.take(chosen)
    found = strokes(images)
    drawable = np.array([each is not None for each in found])
    digits, drawn_labels = [each for each in found if each], labels[drawable]
    tables: dict[str, tuple[str, Callable[[], Iterator[tuple[str, Score]]]]] = {
        "images": (f"images of {options.data}", lambda: image_rows(images, labels, predictor)),
        "pens": ("height | pen", lambda: pen_rows(digits, drawn_labels, predictor, options.seed)),
        "frames": ("frame", lambda: frame_rows(digits, drawn_labels, predictor, options.seed)),
    }
    with Predictor(options.model) as predictor:
        print(f"{options.model.stem}, {options.data}, seed {options.seed}; {hardware()}")  # noqa: T201
        for name, (title, rows) in tables.items():
            if options.only in (None, name):
                columns = (f"{title} | {HEADER}").count("|")
                print(f"\n| {title} | {HEADER}\n{'|---' * columns}|")  # noqa: T201
                for row, shares in rows():
                    print(f"| {row} | {shares.cells()} |", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
