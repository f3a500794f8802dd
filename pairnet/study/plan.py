"""A study: what it is, its rows, and the runs that they take."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from pairnet.errors import ArgumentError
from pairnet.models.paper import Printed
from pairnet.models.variants import Variant, with_epochs
from pairnet.records.record import Count
from pairnet.records.run import MEASUREMENTS, PAPER_FOLDS, PAPER_PAIRS, Images, Name, Run, nameless
from pairnet.study.contrasts import Contrast
from pairnet.study.seeding import MOST_DRAWS, Seeding

MOST_RUNS = 1_000_000
"""Runs of one study: as objects they take a gigabyte."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why a measured accuracy may be lower or higher than the paper's; "either" is for both.

    It stands only with its evidence: `row` is the label of a row of the same study that was trained so, and whose mean
    lies within the margin of the paper's figure. Without one (in files of earlier versions) it is not shown.
    """

    text: str
    row: str = ""
    explains: Literal["lower", "higher", "either"] = "either"


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
    steps: int | None = None  # that its epochs follow from: they take at least so many
    base: str = ""  # its label without the values of a grid
    swept: tuple[tuple[str, object], ...] = ()  # these values, by setting
    grid: int = 0  # number of the grid in its file


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What a command chose for rows on one source of images, where the study leaves it open."""

    rows: str | None = None  # one of `Study.sources`
    data: str  # source of the images, as load_dataset takes it
    checksum: Name  # of these images
    pairs: Count
    test_pairs: Count


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study: its rows, and whether each draw is split into folds (tuning) or tested on test pairs.

    What it is, is its name and the digest of what it measures; the file that it was read from is only where it stood.
    """

    name: str
    title: str
    rows: tuple[Row, ...]
    cross_validated: bool = False
    folds: int = PAPER_FOLDS  # of its cross-validated rows
    draws: int = 10  # if the seeding does not say it
    seeding: Seeding = field(default_factory=Seeding)
    pairs: int | None = None  # None: as many as suit the images, the paper's 1,000 at most
    test_pairs: int | None = None
    data: str = "auto"
    contrasts: tuple[Contrast, ...] = ()  # that it states
    compare: str = ""  # short for contrasts: a row's label, ABOVE or NOTHING; empty: the first row, if it states none
    chosen: tuple[Chosen, ...] = ()  # as it was run: one for each of its sources; empty: as it was written
    file: Path | None = field(default=None, compare=False)  # it was read from; None: it comes with the package

    def choice(self, source: str | None) -> Chosen | None:
        """What was chosen for the rows on `source`; None for a study as it was written."""
        return next((chosen for chosen in self.chosen if chosen.rows == source), None)

    @cached_property
    def measures(self) -> tuple[str, ...]:
        """What the study measures, one text for each row: not its title, its draws, or what the paper printed."""
        found = []
        for row in self.rows:
            chosen = self.choice(row.data)
            content = {
                "label": row.label,
                "structure": nameless(row.variant).structure,
                "recipe": row.variant.recipe.identity(),
                "folds": self.folds_of(row),
                "pairs": row.pairs or (chosen.pairs if chosen else self.pairs),
                "test_pairs": None
                if self.folds_of(row)
                else row.test_pairs or (chosen.test_pairs if chosen else self.test_pairs),
                "data": chosen.checksum if chosen else row.data or self.data,
                **self.seeding.identity(),
            }
            found.append(json.dumps(content, sort_keys=True))
        return tuple(found)

    @cached_property
    def digest(self) -> str:
        """8 hexadecimal digits over what the study measures."""
        return hashlib.sha256("\n".join(self.measures).encode()).hexdigest()[:8]

    def folds_of(self, row: Row) -> int | None:
        """Number of folds that each draw of a row is split into; None: it is tested on test pairs."""
        if row.folds is not None:
            return row.folds
        return self.folds if self.cross_validated else None

    @property
    def heading(self) -> str:
        """What the accuracies of its rows are called: of test pairs, of folds, or of both."""
        return heading_of(self.folds_of(row) for row in self.rows)

    @property
    def sources(self) -> tuple[str | None, ...]:
        """The sources of images that rows name, each once; None stands for the study's own."""
        return tuple(dict.fromkeys(row.data for row in self.rows))


def heading_of(folds: Iterable[int | None]) -> str:
    """What the accuracies of some rows are called; folds: the number of folds of each, None for test pairs."""
    manners = {each is None for each in folds}
    return "measured" if len(manners) > 1 else "test" if True in manners else "validation"


def plan(
    study: Study,
    images: Images,
    *,
    draws: int | None = None,
    first_seed: int | None = None,
    epochs: int | None = None,
    pairs: int = PAPER_PAIRS,
    test_pairs: int | None = None,
    folds: int | None = None,
    device: str = "cpu",
    measurements: int | None = MEASUREMENTS,
    source: str | None = None,
) -> list[Run]:
    """The runs of a study on some images, draw after draw: draw 0 of every row, then draw 1; folds of a draw together.

    Draw d of every row sees the same pairs. `draws` and `first_seed` None are those of the study. `epochs` None keeps
    the number of each row's recipe, `measurements` None measures the held-out pairs after every epoch. `source` is one
    of `study.sources`: the rows on `images`.
    """
    draws = _draws(study, draws)
    seeding = study.seeding if first_seed is None else replace(study.seeding, first=first_seed)
    rows = [row for row in study.rows if row.data == source]
    if (count := draws * sum(_split(study, row, folds) or 1 for row in rows)) > MOST_RUNS:
        raise ArgumentError(f"expected at most {MOST_RUNS:,} runs, got {count:,}: use fewer rows, draws or folds")
    if "test" in dict(study.seeding.vary) and any(_split(study, row, folds) for row in rows):
        raise ArgumentError(
            "expected rows with test pairs to vary `test`, got cross-validated ones: vary `pairs` alone"
        )
    firsts = [
        first_run(study, row, images, epochs=epochs, pairs=pairs, test_pairs=test_pairs, folds=folds, device=device)
        for row in rows
    ]
    return [
        replace(
            first,
            seed=seed,
            own_seeds=own_seeds,
            fold=fold,
            measurements=first.recipe.epochs if measurements is None else measurements,
        )
        for seed, own_seeds in seeding.repetitions(draws)
        for first in firsts
        for fold in ((None,) if first.fold is None else range(first.folds))
    ]


def _draws(study: Study, draws: int | None) -> int:
    """Number of repetitions of each row.  ArgumentError for one out of bounds, or another one of a crossed design."""
    count = (study.seeding.count or study.draws) if draws is None else draws
    if not 1 <= count <= MOST_DRAWS:
        raise ArgumentError(f"expected `draws` in 1..{MOST_DRAWS:,}, got {count}")
    if study.seeding.vary and count != study.seeding.count:
        raise ArgumentError(
            f"expected all {study.seeding.count} combinations of a crossed design, got `draws` {count}: change `vary` "
            "in its file"
        )
    return count


def first_run(
    study: Study,
    row: Row,
    images: Images,
    *,
    epochs: int | None,
    pairs: int,
    test_pairs: int | None,
    folds: int | None,
    device: str,
) -> Run:
    """The run of draw 0, and of its first fold, of one row; see `plan`.

    `pairs`, `test_pairs` and `folds` are for a row that states none; `folds` is for rows that are cross-validated.
    """
    split = _split(study, row, folds)
    return Run(
        variant=with_epochs(row.variant, epochs),
        images=images,
        label=row.label,
        pairs=pairs if row.pairs is None else row.pairs,
        test_pairs=test_pairs if row.test_pairs is None else row.test_pairs,
        fold=None if split is None else 0,
        folds=split or PAPER_FOLDS,
        device=device,
    )


def _split(study: Study, row: Row, folds: int | None) -> int | None:
    """Number of folds of a row; `folds` replaces the study's own number."""
    split = study.folds_of(row)
    return folds if folds is not None and split is not None and row.folds is None else split
