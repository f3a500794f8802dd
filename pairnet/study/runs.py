"""A run: which network is trained on which pairs, with which seeds, and the draws and the record that follow."""

from dataclasses import dataclass, replace

from pairnet.artifact.metadata import Seeds
from pairnet.artifact.recorded import require_same_images
from pairnet.data.pairs import Pairs, draw_pairs, folds
from pairnet.data.sources import Dataset
from pairnet.errors import ArgumentError
from pairnet.models.notation import Dropout, show
from pairnet.models.recipes import Recipe
from pairnet.models.variants import Variant, check
from pairnet.study import records
from pairnet.study.records import DataFacts, RunRecord

PAPER_PAIRS = 1000
"""Number of pairs that the paper draws, for training and for testing."""

PAPER_FOLDS = 4
"""Number of folds of the paper's cross-validation."""

MEASUREMENTS = 5
"""Number of epochs of a run after which its held-out pairs are evaluated, unless asked otherwise."""

LARGEST_SEED = 2**62 - 1


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that is chosen for a run, except the images.

    `variant` is the network with the recipe that it is trained with: `replace(variant, recipe=...)` changes that. With
    `fold` None the run trains on the training draw and is evaluated on the test draw; otherwise it trains on the other
    folds of the training draw and is evaluated on that one, and the test draw stays untouched.

    ArgumentError for a number out of bounds, NotationError for layers that do not fit.
    """

    variant: Variant
    label: str = ""  # display name; the variant's name if empty
    pairs: int = 1000  # to train on
    test_pairs: int | None = None  # to test on; None: as many as `pairs`
    seed: int = 0  # of the draws, the initial weights and the order of the batches
    fold: int | None = None  # 0 to folds-1
    folds: int = PAPER_FOLDS
    device: str = "cpu"
    measurements: int = MEASUREMENTS

    def __post_init__(self) -> None:
        check(self.variant)
        for name, value in (
            ("pairs", self.pairs),
            ("test_pairs", self.test_pairs),
            ("measurements", self.measurements),
        ):
            if value is not None and value < 1:
                raise ArgumentError(f"expected `{name}` of at least 1, got {value}")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise ArgumentError(f"expected `seed` in 0..2**62-1, got {self.seed}")
        if self.folds < 2 or (self.fold is not None and not 0 <= self.fold < self.folds):
            raise ArgumentError(f"expected `fold` in 0..folds-1 and 2 `folds` or more, got {self.fold} of {self.folds}")

    @property
    def recipe(self) -> Recipe:
        """How the network is trained."""
        return self.variant.recipe

    @property
    def name(self) -> str:
        """The display name."""
        return self.label or self.variant.name

    @property
    def seeds(self) -> Seeds:
        """Every seed that follows from `seed`. All rows of a table get the same ones: rows compare draw by draw."""
        return Seeds(train_draw=2 * self.seed, test_draw=2 * self.seed + 1, weights=self.seed, order=self.seed)

    @property
    def tested(self) -> int:
        """Number of pairs in the test draw."""
        return self.pairs if self.test_pairs is None else self.test_pairs


def fingerprint(run: Run, dataset: Dataset) -> str:
    """24 hexadecimal digits over everything that is chosen for `run` on `dataset`; see records.fingerprint."""
    return records.fingerprint(
        variant=run.variant,
        pairs=run.pairs,
        test_pairs=run.tested,
        seeds=run.seeds,
        fold=run.fold,
        folds=run.folds,
        data_checksum=dataset.checksum,
        device=run.device,
    )


def is_answered_by(run: Run, record: RunRecord) -> bool:
    """Whether `record`, which has the run's fingerprint, was measured as often as the run asks."""
    return record.measurements >= min(run.measurements, run.recipe.epochs)


def check_size(run: Run, dataset: Dataset) -> None:
    """ArgumentError if `dataset` is too small for the pairs that `run` draws from it."""
    parts = [("pairs", run.pairs, "training", len(dataset.train))]
    if run.fold is None:
        parts.append(("pairs" if run.test_pairs is None else "test_pairs", run.tested, "test", len(dataset.test)))
    for name, count, part, images in parts:
        if 2 * count > images:
            raise ArgumentError(
                f"{count} pairs need {2 * count} {part} images, {dataset.name} has {images}: "
                f"choose `{name}` of at most {images // 2}"
            )
    if run.fold is not None and run.pairs < run.folds:
        raise ArgumentError(f"expected `pairs` of at least {run.folds}, the number of folds, got {run.pairs}")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Numbers of pairs that suit a data set."""

    pairs: int
    test_pairs: int
    note: str  # what is smaller than the default and why; empty if nothing is


def choose_sizes(dataset: Dataset, *, pairs: int | None = None, test_pairs: int | None = None) -> Sizes:
    """Numbers of pairs to train and to test on, where `None` leaves the choice to the data set.

    By default these are the paper's 1,000 for training, and as many for testing, or fewer if `dataset` has too few
    images. A number that is given stays as it is: check_size refuses one that does not fit.
    """
    wanted = PAPER_PAIRS if pairs is None else pairs
    training = wanted if pairs is not None else min(wanted, max(len(dataset.train) // 2, 1))
    testing = test_pairs if test_pairs is not None else min(wanted, max(len(dataset.test) // 2, 1))
    smaller = [
        f"{count:,} {what} pairs instead of {wanted:,}"
        for what, count, given in (("training", training, pairs), ("test", testing, test_pairs))
        if given is None and count < wanted
    ]
    note = f"{' and '.join(smaller)}: {dataset.name} has no more images" if smaller else ""
    return Sizes(pairs=training, test_pairs=testing, note=note)


def draw(run: Run, dataset: Dataset) -> tuple[Pairs, Pairs]:
    """The pairs to train on and the pairs held out.  ArgumentError if the set is too small."""
    check_size(run, dataset)
    training = draw_pairs(dataset.train, count=run.pairs, seed=run.seeds.train_draw)
    if run.fold is None:
        return training, draw_pairs(dataset.test, count=run.tested, seed=run.seeds.test_draw)
    rows, held_out = folds(run.pairs, run.folds, run.seeds.train_draw)[run.fold]
    return training.subset(rows), training.subset(held_out)


def draw_again(record: RunRecord, dataset: Dataset) -> tuple[Pairs, Pairs]:
    """The pairs of a recorded run: to train on, and held out.  DataError if `dataset` is not the one it names."""
    require_same_images(dataset, owner=record.label, name=record.data.name, checksum=record.data.checksum)
    return draw(run_of(record), dataset)


def run_of(record: RunRecord) -> Run:
    """The run that a record is of."""
    return Run(
        variant=record.variant,
        label=record.label,
        pairs=record.pairs,
        test_pairs=record.test_pairs,
        seed=record.seeds.weights,
        fold=record.fold,
        folds=record.folds,
        device=record.environment.device,
        measurements=record.measurements,
    )


def with_dropout(variant: Variant, probability: float) -> Variant:
    """`variant` with each D(...) of its tower set to `probability`.  ArgumentError if it has none."""
    layers = variant.tower_layers
    if not any(isinstance(layer, Dropout) for layer in layers):
        raise ArgumentError(f"{variant.name} has no dropout to set")
    changed = tuple(Dropout(probability) if isinstance(layer, Dropout) else layer for layer in layers)
    return replace(variant, tower=show(changed))


def facts(dataset: Dataset) -> DataFacts:
    """What a record keeps of a data set."""
    return DataFacts(
        name=dataset.name,
        source=dataset.source,
        origin=dataset.origin,
        checksum=dataset.checksum,
        classes=dataset.classes,
    )
