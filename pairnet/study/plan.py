"""A study: its rows, and the runs that they take."""

from dataclasses import dataclass, replace
from typing import Literal

from pairnet.errors import ArgumentError
from pairnet.models.paper import Printed
from pairnet.models.variants import Variant
from pairnet.study.runs import MEASUREMENTS, PAPER_FOLDS, PAPER_PAIRS, Run

ABOVE, PAPERS_SQUARE, NOTHING = "row above", "square", "nothing"
"""What a study's rows can be compared with, apart from one of them: the row above, the paper's 2x2, nothing."""

MOST_DRAWS = 10_000
"""Draws of one study: ten thousand runs of each row take days."""

MOST_RUNS = 1_000_000
"""Runs of one study: as objects they take a gigabyte."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why a measured accuracy may be lower or higher than the paper's; "either" is for both."""

    text: str
    explains: Literal["lower", "higher", "either"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table: the network with its recipe, and the paper's figure for it if the paper prints one.

    What a row leaves open (None) is that of its study.
    """

    label: str
    variant: Variant
    paper: Printed | None = None
    reason: Reason | None = None  # why it may differ from the paper
    goal: str = ""  # what this project set out to reach where the paper has no figure
    pairs: int | None = None
    test_pairs: int | None = None
    folds: int | None = None  # cross-validated in so many
    data: str | None = None  # source of its images, as load_dataset takes it
    base: str = ""  # its label without the values of a grid
    swept: tuple[tuple[str, object], ...] = ()  # these values, by setting
    grid: int = 0  # number of the grid in its file


@dataclass(frozen=True, kw_only=True)
class Study:
    """One table: its rows, and whether each draw is split into folds (tuning) or tested on test pairs."""

    name: str
    title: str
    rows: tuple[Row, ...]
    cross_validated: bool = False
    folds: int = PAPER_FOLDS  # of its cross-validated rows
    draws: int = 10
    pairs: int | None = None  # None: as many as suit the images, the paper's 1,000 at most
    test_pairs: int | None = None
    data: str = "auto"
    compare: str = ""  # label of the row that the others are compared with, or one of the words above; empty: the first

    def folds_of(self, row: Row) -> int | None:
        """Number of folds that each draw of a row is split into; None: it is tested on test pairs."""
        if row.folds is not None:
            return row.folds
        return self.folds if self.cross_validated else None

    @property
    def sources(self) -> tuple[str | None, ...]:
        """The sources of images that rows name, each once; None stands for the study's own."""
        return tuple(dict.fromkeys(row.data for row in self.rows))


def plan(
    study: Study,
    *,
    draws: int = 10,
    epochs: int | None = None,
    pairs: int = PAPER_PAIRS,
    test_pairs: int | None = None,
    folds: int | None = None,
    device: str = "cpu",
    measurements: int | None = MEASUREMENTS,
    source: str | None = None,
) -> list[Run]:
    """The runs of a study, draw after draw: draw 0 of every row, then draw 1; the folds of a draw together.

    Draw d of every row sees the same pairs. `epochs` None keeps the number of each row's recipe, `measurements` None
    measures the held-out pairs after every epoch. `source` is one of `study.sources`: the rows on these images.
    """
    if not 1 <= draws <= MOST_DRAWS:
        raise ArgumentError(f"expected `draws` in 1..{MOST_DRAWS:,}, got {draws}")
    rows = [replace(row, variant=_with_epochs(row.variant, epochs)) for row in study.rows if row.data == source]
    if (count := draws * sum(_split(study, row, folds) or 1 for row in rows)) > MOST_RUNS:
        raise ArgumentError(f"expected at most {MOST_RUNS:,} runs, got {count:,}: use fewer rows, draws or folds")
    return [
        Run(
            variant=row.variant,
            label=row.label,
            pairs=pairs if row.pairs is None else row.pairs,
            test_pairs=test_pairs if row.test_pairs is None else row.test_pairs,
            seed=seed,
            fold=fold,
            folds=split or PAPER_FOLDS,
            device=device,
            measurements=row.variant.recipe.epochs if measurements is None else measurements,
        )
        for seed in range(draws)
        for row in rows
        for split in [_split(study, row, folds)]
        for fold in (range(split) if split else (None,))
    ]


def _split(study: Study, row: Row, folds: int | None) -> int | None:
    """Number of folds of a row; `folds` replaces the study's own number."""
    split = study.folds_of(row)
    return folds if folds is not None and split is not None and row.folds is None else split


def _with_epochs(variant: Variant, epochs: int | None) -> Variant:
    return variant if epochs is None else replace(variant, recipe=replace(variant.recipe, epochs=epochs))
