"""What a run is: network and recipe, images, pairs, seeds, fold and device. It is said here, and nowhere else."""

import hashlib
import json
import operator
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Annotated, Any

from msgspec import Meta

from pairnet.errors import ArgumentError
from pairnet.models.notation import show
from pairnet.models.recipes import MOST_PAIRS, Recipe
from pairnet.models.variants import Variant, check, in_standard_notation
from pairnet.records.elsewhere import Elsewhere
from pairnet.records.seeds import APART, Seeds, seeds_of_draw

PAPER_PAIRS = 1000
"""Number of pairs that the paper draws, for training and for testing."""

PAPER_FOLDS = 4
"""Number of folds of the paper's cross-validation."""

MEASUREMENTS = 5
"""Number of epochs of a run after which its held-out pairs are evaluated, unless asked otherwise."""

MOST_TEST_PAIRS = 500_000
"""Pairs that a run is evaluated on: its record lists those that were decided wrongly."""

MOST_MEASUREMENTS = 10**9
"""More than any run has epochs: it stands for a measurement after each of them."""

MOST_IMAGES = 2**40
"""Images of one pool, more than any data set has."""

LONGEST_TEXT = 10_000
"""Characters of a text in a record, such as a structure, a label or the path of a folder."""

LARGEST_SEED = 2**62 - 1
LARGEST_FOLD_SEED = 2**31 - 1
"""Of a cross-validated run: scikit-learn takes seeds of 32 bits, and the one of the training draw is twice as large."""

_KNOWN = 4096
"""Number of networks whose derived values are kept in memory."""

Text = Annotated[str, Meta(max_length=LONGEST_TEXT)]
Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_TEXT)]

Draw = tuple[int, ...]
"""The number of a draw; or all seeds of a run whose seeds do not follow from one."""


def seeds_text(draw: Draw) -> str:
    """All seeds of a run in words; see `Run.repetition`."""
    train_draw, test_draw, weights, order, *masks = draw
    pairs = f"train_draw {train_draw}" if train_draw % 2 else f"pairs {train_draw // 2}"
    test = f"test {test_draw // 2}" if test_draw % 2 else f"test_draw {test_draw}"
    return ", ".join([pairs, test, f"weights {weights}", f"order {order}", *(f"masks {each}" for each in masks)])


@dataclass(frozen=True, kw_only=True)
class Images:
    """The images that a run draws its pairs from. Equal if the checksum is, whatever they are called and wherever."""

    name: Text = field(compare=False)  # "mnist", "mnist5k", "glyphs" or "idx:<name of the folder>"
    source: Text = field(compare=False)  # what load_dataset takes to find them again
    origin: Text = field(compare=False)  # for people
    checksum: Name  # SHA-256 of both pools
    classes: Annotated[int, Meta(ge=2, le=256)] = field(compare=False)
    train: Annotated[int, Meta(ge=0, le=MOST_IMAGES)] = field(default=0, compare=False)
    test: Annotated[int, Meta(ge=0, le=MOST_IMAGES)] = field(default=0, compare=False)
    """Numbers of images to train on and to test on, where the name does not say them; 0: not recorded."""

    @property
    def title(self) -> str:
        """What messages call them: the name, and of glyphs also their number and a seed, as `load_dataset` takes it."""
        return self.source.removesuffix(":0") if self.name == "glyphs" else self.name

    def are_called(self, data: str) -> bool:
        """Whether `data` names these images: by the name of their source, or as it is given to `load_dataset`."""
        return data in (self.name, self.source, self.source.removesuffix(":0"))


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that is chosen for a run, and so what the run is.

    `variant` is the network with the recipe that it is trained with: `replace(variant, recipe=...)` changes that. With
    `fold` None the run trains on the training draw and is evaluated on the test draw; otherwise it trains on the other
    folds of the training draw and is evaluated on that one, and no test pairs are drawn.

    `seed` is the number of the draw, from which the seeds of pairs, weights and order follow, unless `own_seeds` states
    them. `label` and `measurements` change no result and are not part of the fingerprint.

    `elsewhere` marks a network that pairnet did not train: the run is its evaluation on the test draw. The recipe is
    not known then, and is the default one. `seeds` says which pairs are drawn, and nothing of its training.

    ArgumentError for a number out of bounds, NotationError for layers that do not fit.
    """

    variant: Variant
    images: Images
    label: str = ""  # display name; the variant's name if empty
    pairs: int = PAPER_PAIRS  # to train on
    test_pairs: int | None = None  # to test on; None: as many as `pairs`
    seed: int = 0
    own_seeds: Seeds | None = None
    fold: int | None = None  # 0 to folds-1
    folds: int = PAPER_FOLDS
    device: Name = "cpu"
    measurements: int = MEASUREMENTS
    elsewhere: Elsewhere | None = None  # of a network that pairnet did not train

    def __post_init__(self) -> None:
        for name, kind, remedy in (
            ("variant", Variant, 'find_variant("final_model")'),
            ("images", Images, "dataset.images"),
        ):
            if not isinstance(getattr(self, name), kind):
                given = type(getattr(self, name)).__name__
                raise ArgumentError(f"expected `{name}` to be {kind.__name__}, got {given}: give {remedy}")
        _checked(self.variant)
        for name in ("pairs", "test_pairs", "seed", "fold", "folds", "measurements"):
            value = getattr(self, name)
            if type(value) is not int and value is not None:  # NumPy's numbers are as good
                try:
                    object.__setattr__(self, name, operator.index(value))
                except TypeError:
                    raise ArgumentError(f"expected `{name}` to be a whole number, got {value!r}: give one") from None
        if not self.device:
            raise ArgumentError('expected `device` to be "cpu" or "cuda", got an empty text: name one')
        for name, most in (
            ("pairs", MOST_PAIRS),
            ("test_pairs", MOST_TEST_PAIRS),
            ("measurements", MOST_MEASUREMENTS),
            ("folds", MOST_PAIRS),
        ):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ArgumentError(f"expected `{name}` of at least 1, got {value}: choose a larger number")
            if value is not None and value > most:
                raise ArgumentError(f"expected `{name}` of at most {most:,}, got {value}: choose a smaller number")
        if self.fold is None and self.tested > MOST_TEST_PAIRS:
            raise ArgumentError(
                f"expected `test_pairs` of at most {MOST_TEST_PAIRS:,}, got {self.tested:,}, as many as for training: "
                "choose a smaller number"
            )
        for what in ("name", "net", "tower", "head", "auxiliary", "note"):
            _check_length(what, getattr(self.variant, what))
        for what in ("label", "device"):
            _check_length(what, getattr(self, what))
        if self.folds < 2 or (self.fold is not None and not 0 <= self.fold < self.folds):
            raise ArgumentError(
                f"expected `fold` in 0..folds-1 and 2 `folds` or more, got {self.fold} of {self.folds}: choose others"
            )
        if self.fold is not None and self.pairs < self.folds:
            raise ArgumentError(
                f"expected `pairs` of at least {self.folds}, the number of folds, got {self.pairs}: use fewer folds"
            )
        largest, power = (LARGEST_SEED, "62-1") if self.fold is None else (LARGEST_FOLD_SEED, "31-1")
        if not 0 <= self.seed <= largest:
            what = "" if self.fold is None else " for a cross-validated run"
            raise ArgumentError(f"expected `seed` in 0..2**{power}{what}, got {self.seed}: choose another one")
        if self.own_seeds is not None and self.fold is not None and self.own_seeds.train_draw >= 2**32:
            raise ArgumentError(
                "expected the seed `train_draw` in 0..2**32-1 for a cross-validated run, got "
                f"{self.own_seeds.train_draw}: choose another one"
            )
        if self.elsewhere is not None:
            if self.fold is not None:
                raise ArgumentError(
                    f"expected a network trained elsewhere on a test draw, got fold {self.fold}: leave out `fold`"
                )
            object.__setattr__(self, "variant", replace(self.variant, recipe=Recipe()))
        own = self.own_seeds
        if own is not None and own.masks == own.weights:
            own = replace(own, masks=None)
        object.__setattr__(self, "own_seeds", None if own == seeds_of_draw(self.seed) else own)  # one run, one value

    @property
    def recipe(self) -> Recipe:
        """How the network is trained."""
        return self.variant.recipe

    @property
    def name(self) -> str:
        """The display name, which says of a network trained elsewhere that it is one."""
        own = self.label or self.variant.name
        return own if self.elsewhere is None else f"{own} ({self.elsewhere.words})"

    @property
    def seeds(self) -> Seeds:
        """Every seed of the run."""
        return self.own_seeds or seeds_of_draw(self.seed)

    @property
    def draw(self) -> Draw:
        """What tells the repetitions of a row apart: of one row, runs of one draw are its folds.

        The number of the draw, or all seeds if they do not follow from it: other weights on the same pairs are another
        repetition. Equal for equal fingerprints, whatever `seed` is then.
        """
        return (self.seed,) if self.own_seeds is None else tuple(self.own_seeds.identity().values())

    @property
    def repetition(self) -> str:
        """The draw in words: "draw 3", or of seeds that do not follow from one, "pairs 0, test 0, weights 3, order 3".

        The numbers are those of the draws that have these seeds, as in a study file; a seed that no draw has there is
        named as it is in `Seeds`.
        """
        return f"draw {self.seed}" if self.own_seeds is None else seeds_text(self.draw)

    @property
    def tested(self) -> int:
        """Number of pairs in the test draw."""
        return self.pairs if self.test_pairs is None else self.test_pairs

    @property
    def held_out(self) -> int:
        """Number of pairs that the run is evaluated on: of the test draw, or of its fold."""
        if self.fold is None:
            return self.tested
        return self.pairs // self.folds + (self.fold < self.pairs % self.folds)

    @cached_property
    def fingerprint(self) -> str:
        """24 hexadecimal digits over everything that is chosen for a run: the same fingerprint, the same run.

        What it runs on and with (hardware, versions, revision) is recorded, not chosen. Names and labels change no
        result and are left out, so two tables can share a run; so is the number of measurements. A field that is added
        to a recipe, or here, counts only where it is not at its default: no fingerprint changes, no run is repeated.
        """
        identity = {
            **_network(self.variant),
            "schema": 2,  # of the rule by which this is computed
            "pairs": self.pairs,
            "test_pairs": self.tested if self.fold is None else None,
            "seeds": self.seeds.identity(),
            "fold": None if self.fold is None else [self.fold, self.folds],
            "data": self.images.checksum,
            "device": self.device,
        } | ({} if self.elsewhere is None else {"elsewhere": asdict(self.elsewhere)})
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]

    @cached_property
    def setting(self) -> "Run":
        """The run without seeds and fold: what all draws and folds of one row share, equal for all of them.

        It is a run itself, the first one of the row, without its name; names of the network and images do not count.
        Runs whose seeds do not follow from the number of a draw have one of their own: they are no draws, since some of
        them share their pairs or their weights.
        """
        return Run(
            variant=nameless(self.variant),
            images=self.images,
            pairs=self.pairs,
            test_pairs=self.tested if self.fold is None else None,
            fold=None if self.fold is None else 0,
            folds=PAPER_FOLDS if self.fold is None else self.folds,
            device=self.device,
            own_seeds=None if self.own_seeds is None else APART,
            elsewhere=None if self.elsewhere is None else self.elsewhere.shared,
        )

    @property
    def pairs_drawn(self) -> tuple[object, ...]:
        """What decides, with the seed, which pairs a run draws: runs that agree in it compare draw by draw."""
        setting = self.setting
        return setting.images.checksum, setting.pairs, setting.test_pairs, setting.fold, setting.folds


def _check_length(what: str, text: str) -> None:
    """ArgumentError for a text that a record could not hold."""
    if len(text) > LONGEST_TEXT:
        raise ArgumentError(f"expected `{what}` of at most {LONGEST_TEXT:,} characters, got {len(text):,}: shorten it")


def names_of(images: Sequence[Images]) -> list[str]:
    """What to call images so that different ones differ: by the name where it is enough, then as they are loaded."""
    for names in ([each.name for each in images], [each.title for each in images], [each.source for each in images]):
        if len(set(zip(names, images, strict=True))) == len(set(names)):
            return names
    return [f"{each.title} (SHA-256 {each.checksum[:8]})" for each in images]


def name_of(run: Run) -> str:
    """What messages call a run: "final_model, draw 3", and of a cross-validated one ", fold 2/4", counted from 1."""
    label = " ".join(run.name.split())
    if len(label) > _LONGEST_NAME:
        label = f"{label[: _LONGEST_NAME - 3]}..."
    return f"{label}, {run.repetition}{'' if run.fold is None else f', fold {run.fold + 1}/{run.folds}'}"


_LONGEST_NAME = 60
"""Characters of a label in a message: anybody may have written the file that it is from."""


def check_trainable(run: Run) -> None:
    """ArgumentError for a run of a network that was trained elsewhere: it holds no recipe."""
    if run.elsewhere is not None:
        raise ArgumentError(
            f"expected a run to train, got {name_of(run)}: build one without `elsewhere`, with a recipe of your own"
        )


@lru_cache(_KNOWN)
def nameless(variant: Variant) -> Variant:
    """What a network is and how it is trained: the variant without its name, in the notation's standard form."""
    return in_standard_notation(replace(variant, name="", note="", parameters=None))


@lru_cache(_KNOWN)
def _network(variant: Variant) -> dict[str, Any]:
    """What distinguishes networks and recipes in a fingerprint."""
    return {
        "structure": [show(part) for part in (variant.net_layers, variant.tower_layers, variant.head_layers)],
        "auxiliary": show(variant.auxiliary_layers),
        "shared": variant.shared,
        **({} if variant.activation == "relu" else {"activation": variant.activation}),
        "recipe": variant.recipe.identity(),
    }


@lru_cache(_KNOWN)
def _checked(variant: Variant) -> None:
    """NotationError for layers that do not fit."""
    check(variant)
